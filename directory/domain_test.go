package directory_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

func TestA6ADomainIsVerifiedByDNS(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a"})
	require.Equal(t, http.StatusBadRequest, k.post(secret, "ada@acme.example"), "no domain lets in nobody")

	d, err := k.AddDomain(t.Context(), "acme", " ACME.example. ")
	require.NoError(t, err)
	require.Equal(t, "acme.example", d.Name)
	require.Equal(t, directory.DomainPending, d.Status)
	require.Equal(t, "_muster-challenge.acme.example", d.Record.Name)
	require.Regexp(t, `^muster-domain-verification=[0-9A-Za-z]{32}$`, d.Record.Value)
	again, err := k.AddDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	require.Equal(t, d, again, "the record to set stays the same")
	k.create(directory.Directory{ID: "b"}) // so that all is read anew
	require.Equal(t, http.StatusBadRequest, k.post(secret, "ada@acme.example"), "nor does one that is pending")
	_, last := k.events("acme", 0)

	failed, err := k.VerifyDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	require.Equal(t, directory.DomainFailed, failed.Status)
	require.Equal(t, k.clock.Now(), failed.Checked)
	require.Contains(t, failed.Reason, "there is no TXT record _muster-challenge.acme.example")
	require.Contains(t, failed.Reason, d.Record.Value)

	k.dns.set(d.Record.Name, says("something else", " "+d.Record.Value+" "))
	verified, err := k.VerifyDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	require.Equal(t, directory.DomainVerified, verified.Status)
	require.Empty(t, verified.Reason)
	require.Equal(t, http.StatusCreated, k.post(secret, "ada@acme.example"), "at once")
	require.Equal(t, http.StatusBadRequest, k.post(secret, "ada@ext.acme.example"), "exactly")

	k.dns.set(d.Record.Name, func(context.Context) ([]string, error) {
		t.Error("DNS is asked again")
		return nil, nil
	})
	again, err = k.VerifyDomain(t.Context(), "acme", "ACME.EXAMPLE")
	require.NoError(t, err)
	require.Equal(t, verified, again, "once is enough")
	types, _ := k.events("acme", last.Seq)
	require.Equal(t, scim.DomainVerified, types[0])
	require.NotContains(t, types[1:], scim.DomainVerified)
	rows, err := k.store.Storage.Records(t.Context(), "acme", directory.KindTask, "", 10)
	require.NoError(t, err)
	require.Len(t, rows, 2, "in each directory, who was held for the domain is let go")
}

func TestA6TheRecordCountsAtTheDomainItselfToo(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	d, err := k.AddDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	k.dns.set("acme.example", says("v=spf1 -all", d.Record.Value))
	d, err = k.VerifyDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	require.Equal(t, directory.DomainVerified, d.Status)
}

func TestA6WhatDNSSaysIsExplained(t *testing.T) {
	t.Parallel()
	type answers map[string]func(context.Context) ([]string, error)
	const challenge, apex = "_muster-challenge.acme.example", "acme.example"
	many := make([]string, 10_000)
	for i := range many {
		many[i] = "value " + strconv.Itoa(i)
	}
	for _, c := range []struct {
		name   string
		dns    answers
		reason string
	}{
		{"no such name", answers{}, "there is no TXT record " + challenge + ". Set"},
		{"nothing there", answers{challenge: says()}, "there is no TXT record"},
		{"another value", answers{challenge: says("v=spf1 -all")}, `has another value: "v=spf1 -all". Set`},
		{"another tenant's value", answers{challenge: says("a", "b", "c", "muster-domain-verification=x")}, `value: "muster-domain-verification=x", "a", "b" and 1 more`},
		{"another value at the domain", answers{apex: says("a", "muster-domain-verification=y")}, `; the TXT record acme.example has another value: "muster-domain-verification=y"`},
		{"ten thousand records", answers{challenge: says(many...)}, `"value 2" and 9997 more`},
		{"a huge one", answers{challenge: says(strings.Repeat("ü", 1<<20))}, `\u00fc"…`},
		{"bytes that are no text", answers{challenge: says("\x1b[2J\xff\n<script>")}, `"\x1b[2J\xff\n<script>"`},
		{"a server that fails", answers{challenge: func(context.Context) ([]string, error) {
			return nil, &net.DNSError{Err: "server misbehaving", Server: "10.0.0.53:53", IsTemporary: true}
		}}, "answered with an error, such as SERVFAIL"},
		{"a timeout", answers{challenge: func(context.Context) ([]string, error) { return nil, &net.DNSError{IsTimeout: true} }}, "did not answer in time"},
		{"an error of any kind", answers{challenge: func(context.Context) ([]string, error) { return nil, errors.New("dial 10.0.0.53") }}, "answered with an error"},
		{"a panic", answers{challenge: func(context.Context) ([]string, error) { panic("in the resolver") }}, "answered with an error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newConsole(t, func(o *directory.Options) { o.Resolver = &zone{answers: c.dns} })
			_, err := k.AddDomain(t.Context(), "acme", apex)
			require.NoError(t, err)
			d, err := k.VerifyDomain(t.Context(), "acme", apex)
			require.NoError(t, err)
			require.Equal(t, directory.DomainFailed, d.Status)
			require.Contains(t, d.Reason, c.reason)
			require.Less(t, len(d.Reason), 1000)
			require.NotContains(t, d.Reason, "10.0.0.53", "of the network here nothing is told")
			kept, err := k.Domains(t.Context(), "acme")
			require.NoError(t, err)
			require.Equal(t, []*directory.Domain{d}, kept)
		})
	}
}

func TestA6DNSThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		k := newConsoleInMemory(t)
		k.dns.set("_muster-challenge.acme.example", func(context.Context) ([]string, error) {
			<-release // whatever its context says
			return nil, nil
		})
		_, err := k.AddDomain(t.Context(), "acme", "acme.example")
		require.NoError(t, err)
		began := time.Now()
		d, err := k.VerifyDomain(t.Context(), "acme", "acme.example")
		require.NoError(t, err)
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Contains(t, d.Reason, "did not answer within 10s")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		k.clock.pass(time.Hour)
		_, err = k.VerifyDomain(ctx, "acme", "acme.example")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		kept, err := k.Domains(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, d.Checked, kept[0].Checked, "who gives up himself has not found anything out")
		close(release)
	})
}

func TestA6ADomainIsVerifiedForOneTenantAtATime(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, err := k.AssertDomain(t.Context(), "secretive", "acme.example")
	require.NoError(t, err)
	d, err := k.AddDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	k.dns.set(d.Record.Name, says(d.Record.Value))
	_, err = k.VerifyDomain(t.Context(), "acme", "acme.example")
	require.ErrorIs(t, err, directory.ErrDomainTaken)
	require.NotContains(t, err.Error(), "secretive")
	_, err = k.AssertDomain(t.Context(), "acme", "acme.example")
	require.ErrorIs(t, err, directory.ErrDomainTaken)
	domains, err := k.Domains(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, directory.DomainFailed, domains[0].Status)
	require.Contains(t, domains[0].Reason, "another organization")
	require.NotContains(t, domains[0].Reason, "secretive")

	require.NoError(t, k.RemoveDomain(t.Context(), "secretive", "acme.example"))
	types, last := k.events("secretive", 0)
	require.Equal(t, []scim.EventType{scim.DomainVerified, scim.DomainRemoved}, types)
	require.Equal(t, "acme.example", last.Name)
	_, err = k.VerifyDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	require.ErrorIs(t, k.RemoveDomain(t.Context(), "secretive", "acme.example"), scim.ErrNotFound)
	_, err = k.AssertDomain(t.Context(), "secretive", "acme.example")
	require.ErrorIs(t, err, directory.ErrDomainTaken, "a removal gives up nobody else's domain")
}

func TestA6RemovingADomainRefusesNewWritesOnly(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a"})
	_, err := k.AssertDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, k.post(secret, "ada@acme.example"))
	require.NoError(t, k.RemoveDomain(t.Context(), "acme", "acme.example"))
	require.Equal(t, http.StatusBadRequest, k.post(secret, "grace@acme.example"))
	accounts, err := k.store.Accounts(t.Context(), scim.Key{Tenant: "acme", Directory: "a"}, "", 10)
	require.NoError(t, err)
	require.Len(t, accounts, 1)
	require.True(t, accounts[0].Active, "nobody loses access")

	d, err := k.AddDomain(t.Context(), "acme", "pending.example")
	require.NoError(t, err)
	_, last := k.events("acme", 0)
	require.NoError(t, k.RemoveDomain(t.Context(), "acme", d.Name))
	types, _ := k.events("acme", last.Seq)
	require.Empty(t, types, "nobody was let in by it")
}

func TestA6WhatIsNobodysDomainIsRefused(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	long := strings.Repeat("a", 60) + "."
	for _, wrong := range []string{
		"", " ", ".", "localhost", "com", "co.uk", "github.io", "*.acme.example", "acme.*", "@acme.example", "ada@acme.example", "https://acme.example",
		"acme.example/", "acme.example:443", "127.0.0.1", "127.1", "[::1]", "::1", "0x7f.0.0.1", "acme..example", ".acme.example", "-acme.example",
		"acme_x.example", "acme example.com", "acme.example\x00", "acme\u202e.example", "\u200dacme.example", "xn--a.example",
		"ac\u05d0me.example", strings.Repeat("a", 64) + ".example", long + long + long + long + "example", strings.Repeat("x", 1<<20),
		"gmail.com", "GMAIL.com", "ｇmail.com",
	} {
		for name, try := range map[string]func() error{
			"add":    func() error { _, err := k.AddDomain(t.Context(), "acme", wrong); return err },
			"assert": func() error { _, err := k.AssertDomain(t.Context(), "acme", wrong); return err },
			"verify": func() error { _, err := k.VerifyDomain(t.Context(), "acme", wrong); return err },
			"remove": func() error { return k.RemoveDomain(t.Context(), "acme", wrong) },
		} {
			err := try()
			require.Error(t, err, "%s %.100q", name, wrong)
			require.Equal(t, []string{"domain"}, problems(t, err))
			require.Less(t, len(err.Error()), 700)
		}
	}
	for given, name := range map[string]string{
		"bücher.example": "xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example", "ａcme.example": "acme.example",
		"mail.acme.co.uk": "mail.acme.co.uk", "例え.テスト": "xn--r8jz45g.xn--zckzah",
	} {
		d, err := k.AddDomain(t.Context(), "acme", given)
		require.NoError(t, err, given)
		require.Equal(t, name, d.Name)
	}
	d, err := k.AddDomain(t.Context(), "acme", "xn--bcher-kva.example")
	require.NoError(t, err)
	require.Equal(t, "bücher.example", d.Text)
	_, err = k.AddDomain(t.Context(), "", "acme.example")
	require.Equal(t, []string{"tenant"}, problems(t, err))
}

func TestA6ATenantHasAHundredDomains(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	for i := range 100 {
		_, err := k.AddDomain(t.Context(), "acme", "d"+strconv.Itoa(i)+".example")
		require.NoError(t, err)
	}
	_, err := k.AddDomain(t.Context(), "acme", "one-more.example")
	require.Equal(t, []string{"domain"}, problems(t, err))
	_, err = k.AssertDomain(t.Context(), "acme", "one-more.example")
	require.Equal(t, []string{"domain"}, problems(t, err))
	_, err = k.AssertDomain(t.Context(), "acme", "d7.example")
	require.NoError(t, err)
	_, err = k.AddDomain(t.Context(), "globex", "one-more.example")
	require.NoError(t, err)
}
