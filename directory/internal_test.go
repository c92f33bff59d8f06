package directory

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestE2WhatIsCountedOfAddressesIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	th := newThrottle(now)
	th.most = 1000
	for i := range 10 * th.most {
		address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		require.Zero(t, th.fail(address, now))
		require.Zero(t, th.read(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), now))
	}
	require.LessOrEqual(t, len(th.young)+len(th.old), 2*th.most)
	for range mostFailures {
		require.Zero(t, th.fail(netip.Addr{}, now), "what is no address is one")
	}
	require.Equal(t, failWindow, th.fail(netip.Addr{}, now))
	require.Zero(t, th.fail(netip.Addr{}, now.Add(-time.Hour)), "a clock that is set back locks nobody out")
}

func TestE2WhatIsKeptOfTenantsIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	g := newGenerations[int](time.Minute, 10, now)
	for i := range 1000 {
		g.put(strconv.Itoa(i), i, now)
	}
	require.LessOrEqual(t, len(g.young)+len(g.old), 20)
	v, ok := g.get("999", now)
	require.True(t, ok)
	require.Equal(t, 999, v)

	// Asked for from time to time it stays; with nobody asking it is forgotten.
	g.put("idle", 1, now)
	for range 10 {
		now = now.Add(time.Minute)
		_, ok = g.get("999", now)
		require.True(t, ok)
	}
	_, ok = g.peek("idle", now)
	require.False(t, ok)
	now = now.Add(2 * time.Minute)
	_, ok = g.get("999", now)
	require.False(t, ok, "after two generations, however they were spent")
}

func TestE2APanicOfTheStorageIsAnOutage(t *testing.T) {
	t.Parallel()
	c := &cache{
		read:     func(context.Context, string, *snapshot) (*snapshot, error) { panic("in the storage") },
		now:      time.Now,
		known:    newGenerations[*snapshot](time.Minute, 10, time.Now()),
		unknown:  newGenerations[struct{}](time.Minute, 10, time.Now()),
		names:    newGenerations[struct{}](time.Minute, 10, time.Now()),
		readings: map[string]*reading{},
	}
	_, err := c.get(t.Context(), encodeTenant("acme"), time.Now(), func() error { return nil })
	require.ErrorContains(t, err, "in the storage")
	require.Empty(t, c.readings)
}

func TestE2SecretsAreRandom(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	counts := map[rune]int{}
	const n = 2000
	for range n {
		s := newSecret("muster", "acme")
		require.False(t, seen[s])
		seen[s] = true
		name, wrong := tenantOf("muster", s)
		require.Empty(t, wrong)
		tenant, ok := decodeTenant(name)
		require.True(t, ok)
		require.Equal(t, "acme", tenant)
		for _, r := range s[len(s)-50 : len(s)-7] {
			counts[r]++
		}
	}
	require.Len(t, counts, len(base62))
	const expected = n * secretLength / 62
	for r, c := range counts {
		require.InDelta(t, expected, c, expected/4, "%q", r) // nine standard deviations
	}
}

func FuzzToken(f *testing.F) {
	f.Add(newSecret("muster", "acme"), 7, byte('x'))
	f.Add("muster___", 0, byte(0))
	f.Fuzz(func(t *testing.T, secret string, at int, c byte) {
		name, wrong := tenantOf("muster", secret)
		if wrong != "" {
			require.Empty(t, name)
			return
		}
		if tenant, ok := decodeTenant(name); ok {
			require.Equal(t, name, encodeTenant(tenant), "a tenant is written in one way")
		}
		if at < 0 || at >= len(secret) || secret[at] == c {
			return
		}
		_, wrong = tenantOf("muster", secret[:at]+string([]byte{c})+secret[at+1:])
		require.NotEmpty(t, wrong, "one wrong character is always told")
		require.False(t, strings.Contains(string(wrong), secret))
	})
}

func TestA6NamesAreLookedUpUnderNoOtherDomain(t *testing.T) {
	t.Parallel()
	o := Options{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no network")
	}}}
	require.NoError(t, o.resolve())
	_, err := o.Resolver.LookupTXT(t.Context(), "acme.example")
	dns, ok := errors.AsType[*net.DNSError](err)
	require.True(t, ok)
	require.Equal(t, "acme.example.", dns.Name, "a search list does not apply to a name with a dot at its end")
	o = Options{}
	require.NoError(t, o.resolve())
	require.Equal(t, rooted{net.DefaultResolver}, o.Resolver)
}
