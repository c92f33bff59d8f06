package main

import (
	"io"
	"log"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

func newLogger(w io.Writer) *log.Logger { return log.New(w, "", 0) }

func TestDefaults(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, &options{
		addr: "127.0.0.1:8080", orgs: []organization{{name: "acme", domains: []string{"example.com"}}},
		store: "muster-quickstart.db", tokenFile: "muster-quickstart.tokens.json", ownTokens: true,
	}, o)
}

func TestFlags(t *testing.T) {
	o, err := parseOptions([]string{
		"-addr", "localhost:0", "-org", "acme:example.com,bücher.example", "-org", "Globex Inc", "-email", "domains",
		"-domains-policy", "guest", "-dialect", "entra", "-seats", "25", "-token-file", "t.json", "-store", "some.db", "-json",
	}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, &options{
		addr:      "localhost:0",
		orgs:      []organization{{name: "acme", domains: []string{"example.com", "bücher.example"}}, {name: "Globex Inc"}},
		policy:    scim.Policy{Email: scim.EmailWithinDomains, Domain: scim.GuestDomain},
		dialect:   scim.Entra,
		seats:     25,
		store:     "some.db",
		tokenFile: "t.json", json: true,
	}, o)
	for name, want := range map[string]scim.EmailPolicy{
		"reject": scim.RejectEmailChange, "keep": scim.KeepEmail, "domains": scim.EmailWithinDomains, "allow": scim.AllowEmailChange,
	} {
		o, err := parseOptions([]string{"-email", name}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, want, o.policy.Email, name)
	}
	for name, want := range map[string]scim.DomainPolicy{"reject": scim.RejectDomain, "guest": scim.GuestDomain, "any": scim.AnyDomain} {
		o, err := parseOptions([]string{"-domains-policy", name}, io.Discard)
		require.NoError(t, err)
		require.Equal(t, want, o.policy.Domain, name)
	}
}

// Where things are kept, and where the tokens are for it: with the store's data, or
// nowhere.
func TestStoreOfTheFlag(t *testing.T) {
	for _, c := range []struct {
		args                    []string
		store, shown, tokenFile string
		temporary               bool
	}{
		{nil, "muster-quickstart.db", "muster-quickstart.db", "muster-quickstart.tokens.json", false},
		{[]string{"-demo"}, "", "", "", true},
		{[]string{"-demo", "-store", "my.db"}, "my.db", "my.db", "my.tokens.json", false},
		{[]string{"-store", "memory"}, "memory", "memory", "", false},
		{[]string{"-store", "memory", "-token-file", "t"}, "memory", "memory", "t", false},
		{[]string{"-store", "dir/x.sqlite"}, "dir/x.sqlite", "dir/x.sqlite", "dir/x.sqlite.tokens.json", false},
		{[]string{"-store", "postgres://me:secret@db.example/app?sslmode=require&password=secret"}, "postgres://me:secret@db.example/app?sslmode=require&password=secret", "postgres://db.example/app", "muster-quickstart.tokens.json", false},
		{[]string{"-store", "postgresql:///app?host=/run"}, "postgresql:///app?host=/run", "postgresql:///app", "muster-quickstart.tokens.json", false},
	} {
		o, err := parseOptions(c.args, io.Discard)
		require.NoError(t, err)
		require.Equal(t, storage(c.store), o.store)
		require.Equal(t, c.shown, o.store.String(), "no password is shown")
		require.Equal(t, c.tokenFile, o.tokenFile)
		require.Equal(t, c.temporary, o.temporary)
	}
}

// Every error names the flag, the rule and the remedy.
func TestFlagsThatAreWrong(t *testing.T) {
	for _, c := range []struct {
		args               []string
		flag, rule, remedy string
	}{
		{[]string{"-org", ""}, "-org", "no name", "name:domain"},
		{[]string{"-org", ":example.com"}, "-org", "no name", "name:domain"},
		{[]string{"-org", " acme"}, "-org", "spaces around", "leave them out"},
		{[]string{"-org", "ac\nme"}, "-org", "control characters", "leave them out"},
		{[]string{"-org", "acme:"}, "-org", "a domain is empty", "name one"},
		{[]string{"-org", "acme:example.com,"}, "-org", "a domain is empty", "name one"},
		{[]string{"-org", "acme:*.example.com"}, "-org", "match exactly", "name each one"},
		{[]string{"-org", "acme:*"}, "-org", "match exactly", "name each one"},
		{[]string{"-org", "acme:ada@example.com"}, "-org", "not a domain", "leave out the @"},
		{[]string{"-org", "acme:example..com"}, "-org", "not a domain", "write it as"},
		{[]string{"-org", "acme:.example.com"}, "-org", "not a domain", "write it as"},
		{[]string{"-org", "acme:example.com:8080"}, "-org", "not a domain", "write it as"},
		{[]string{"-org", "acme:https://example.com"}, "-org", "not a domain", "write it as"},
		{[]string{"-org", "acme: example.com"}, "-org", "not a domain", "write it as"},
		{[]string{"-org", "acme:-example.com"}, "-org", "not a domain", "write it as"},
		{[]string{"-org", "acme:a.example", "-org", "acme:b.example"}, "-org", "acme is there twice", "all its domains at once"},
		{[]string{"-org", "acme:a.example,A.example"}, "-org", "is acme's already", "name it once"},
		{[]string{"-org", "acme:a.example", "-org", "globex:b.example,A.EXAMPLE"}, "-org", "is acme's already", "name it once"},
		{[]string{"-email", "never"}, "-email", `"never"`, "reject, keep, domains, allow"},
		{[]string{"-domains-policy", ""}, "-domains-policy", `""`, "reject, guest, any"},
		{[]string{"-dialect", "Okta"}, "-dialect", `"Okta"`, "auto, strict, okta, entra, google"},
		{[]string{"-seats", "0"}, "-seats", "from 1 on", "leave the flag out"},
		{[]string{"-seats", "many"}, "-seats", "from 1 on", "leave the flag out"},
		{[]string{"-addr", "8080"}, "-addr", `"8080"`, "such as 127.0.0.1:8080"},
		{[]string{"-token-file", ""}, "-token-file", "names a file", "leave the flag out"},
		{[]string{"-store", ""}, "-store", "memory, a file, or", "leave the flag out"},
		{[]string{"-store", "mysql://localhost/app"}, "-store", "no store for mysql://", "memory, a file, or a postgres:// URL"},
		{[]string{"-orgs", "acme"}, "-orgs", "not defined", ""},
		{[]string{"-org"}, "-org", "needs an argument", ""},
		{[]string{"acme:example.com"}, "acme:example.com", "only flags", "-org name:domain"},
		{[]string{"-demo", "-org", "acme"}, "-demo", "acme has no domain", "-org acme:example.com"},
	} {
		status, stdout, stderr := runToEnd(t, c.args...)
		require.Equal(t, 2, status, c.args)
		require.Empty(t, stdout, c.args)
		require.Contains(t, stderr, c.flag)
		require.Contains(t, stderr, c.rule)
		require.Contains(t, stderr, c.remedy)
	}
}

func TestHelpListsTheFlags(t *testing.T) {
	status, stdout, stderr := runToEnd(t, "-help")
	require.Zero(t, status)
	require.Empty(t, stderr)
	for _, name := range []string{"-addr host:port", "-org name[:domain,domain]", "-email reject|keep|domains|allow", "-domains-policy reject|guest|any", "-dialect auto|strict|okta|entra|google|onelogin", "-store memory|FILE.db|postgres://…", "-token-file file", "-json", "-demo"} {
		require.Contains(t, stdout, "  "+name)
	}
}
