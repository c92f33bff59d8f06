package main

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// A restarter starts the program's wiring again and again over one store.
type restarter struct {
	*testing.T
	db      *database
	service *directory.Service
	tokens  map[string]string // what the providers have kept
	url     string
}

func newRestarter(t *testing.T) *restarter {
	return &restarter{T: t, db: open(t, string(inMemory)), tokens: map[string]string{}}
}

// start starts with flags and returns what is said.
func (r *restarter) start(args ...string) (notes []string, err error) {
	r.Helper()
	o, err := parseOptions(args, io.Discard)
	require.NoError(r, err)
	r.service, err = newService(r.db.store, NewApp(r.db.DB, o.seats, newLogger(io.Discard)), newLogger(io.Discard), slog.New(slog.DiscardHandler))
	require.NoError(r, err)
	notes, err = setUpAll(r.Context(), o, r.db.store, r.service, r.tokens)
	server := httptest.NewServer(scim.Mount(mountPath, r.service.Handler(), nil))
	r.Cleanup(server.Close)
	r.url = server.URL + mountPath
	return notes, err
}

// restart is start that must succeed.
func (r *restarter) restart(args ...string) (notes []string) {
	r.Helper()
	notes, err := r.start(args...)
	require.NoError(r, err)
	return notes
}

// accepts reports whether a request with the token is served.
func (r *restarter) accepts(token string) bool {
	r.Helper()
	status, _ := reached{BaseURL: r.url, Token: token}.send(r.T, http.MethodGet, "/Users", "")
	return status == http.StatusOK
}

func (r *restarter) get(org string) *directory.Directory {
	r.Helper()
	d, err := r.service.Get(r.Context(), scim.Key{Tenant: org, Directory: directoryID})
	require.NoError(r, err)
	return d
}

func (r *restarter) domains(org string) (names []string) {
	r.Helper()
	all, err := r.service.Domains(r.Context(), org)
	require.NoError(r, err)
	for _, d := range all {
		require.Equal(r, directory.DomainVerified, d.Status)
		names = append(names, d.Text)
	}
	return names
}

// What is set up once is found again, and nothing is written for it.
func TestOrganizationIsSetUpOnce(t *testing.T) {
	r := newRestarter(t)
	flags := []string{"-org", "acme:example.com,bücher.example"}
	require.Equal(t, []string{"acme is new: its directory was made, and its token issued. The store has the digest of the token alone."}, r.restart(flags...))
	require.Equal(t, []string{"example.com", "bücher.example"}, r.domains("acme"))
	require.True(t, r.accepts(r.tokens["acme"]))
	m, version, err := r.service.Mapping(t.Context(), r.get("acme").Key())
	require.NoError(t, err)
	require.EqualValues(t, 1, version)
	require.Equal(t, "viewer", m.Default)
	require.Len(t, m.Rules, 2)

	kept := maps.Clone(r.tokens)
	before, err := r.db.store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.Empty(t, r.restart(flags...))
	require.Equal(t, kept, r.tokens)
	require.True(t, r.accepts(kept["acme"]))
	after, err := r.db.store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, before.Revision, after.Revision)
}

func TestChangedFlagsChangeTheOrganization(t *testing.T) {
	r := newRestarter(t)
	r.restart("-org", "acme:example.com,old.example")
	token := r.tokens["acme"]
	require.Empty(t, r.restart("-org", "acme:example.com,new.example", "-email", "domains", "-domains-policy", "guest", "-dialect", "okta"))
	d := r.get("acme")
	require.Equal(t, scim.Policy{Email: scim.EmailWithinDomains, Domain: scim.GuestDomain}, d.Policy)
	require.Equal(t, scim.Okta, d.Provider)
	require.Equal(t, []string{"example.com", "new.example"}, r.domains("acme"))
	require.Equal(t, token, r.tokens["acme"])

	notes := r.restart("-email", "allow", "-domains-policy", "any")
	require.Len(t, notes, 1, "what is allowed and probably not meant is said")
	require.Contains(t, notes[0], "acme: email is allow and domain is any")
	_, err := r.start("-email", "domains", "-domains-policy", "any")
	require.ErrorContains(t, err, "-org acme: directory: directory: policy.email: domains lets an email change")
	require.Equal(t, scim.AllowEmailChange, r.get("acme").Policy.Email)
}

func TestDomainIsOneOrganizations(t *testing.T) {
	r := newRestarter(t)
	r.restart("-org", "acme:example.com")
	_, err := r.start("-org", "globex:example.com")
	require.ErrorIs(t, err, directory.ErrDomainTaken)
	require.ErrorContains(t, err, "-org globex: ")
	_, err = r.service.Get(t.Context(), scim.Key{Tenant: "globex", Directory: directoryID})
	require.ErrorIs(t, err, scim.ErrNotFound, "all of it or nothing")

	// Given up and taken in one start, in whatever order.
	r.restart("-org", "globex:example.com", "-org", "acme:acme.example")
	require.Equal(t, []string{"example.com"}, r.domains("globex"))
	require.Equal(t, []string{"acme.example"}, r.domains("acme"))
}

// An organization that no flag names any more stays as it is, and it is said.
func TestOrganizationThatIsNotNamed(t *testing.T) {
	r := newRestarter(t)
	r.restart("-org", "acme:example.com", "-org", "globex:globex.example")
	token := r.tokens["globex"]
	require.Equal(t, []string{"From starts before, globex: served as before, though no -org names it."}, r.restart("-org", "acme:example.com", "-domains-policy", "any"))
	require.True(t, r.accepts(token))
	require.Equal(t, scim.RejectDomain, r.get("globex").Policy.Domain)
	require.Equal(t, []string{"globex.example"}, r.domains("globex"))
}

// A token that nobody has kept cannot be read again: a new one is issued, and the
// old one goes on for a while, because the provider may have it.
func TestTokenThatIsLost(t *testing.T) {
	r := newRestarter(t)
	r.restart()
	first := r.tokens["acme"]
	r.tokens = map[string]string{}
	notes := r.restart()
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "acme has a new token: the one that was issued before, which ends in "+first[len(first)-6:])
	second := r.tokens["acme"]
	require.NotEqual(t, first, second)
	require.True(t, r.accepts(first))
	require.True(t, r.accepts(second))
	tokens, err := r.service.Tokens(t.Context(), r.get("acme").Key())
	require.NoError(t, err)
	require.Len(t, tokens, 2)
	require.WithinDuration(t, time.Now().Add(7*24*time.Hour), tokens[1].Expires, time.Hour)
	require.Empty(t, r.restart(), "the new one has been kept")

	r.tokens = map[string]string{"acme": first}
	require.Empty(t, r.restart(), "the old one will do as well")
	require.Equal(t, first, r.tokens["acme"])

	r.tokens = map[string]string{}
	r.restart()
	require.False(t, r.accepts(first), "two at a time")
	require.True(t, r.accepts(second))
	require.True(t, r.accepts(r.tokens["acme"]))
}

func TestTokenOfAnotherStore(t *testing.T) {
	other := newRestarter(t)
	other.restart()
	r := newRestarter(t)
	foreign := other.tokens["acme"]
	r.tokens = maps.Clone(other.tokens)
	notes := r.restart()
	require.Len(t, notes, 2)
	require.Equal(t, "acme has a new token: the store does not accept the one that was kept, because it is expired or of another store.", notes[1])
	require.False(t, r.accepts(foreign))
	require.True(t, r.accepts(r.tokens["acme"]))
}

// In memory there is nothing left by which the token in the file could be known.
func TestTokensOfAStoreInMemoryAreNew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	seen := map[string]bool{}
	for range 2 {
		p := start(t, string(inMemory), "-json", "-token-file", file)
		acme := p.reached()
		status, _ := acme.send(t, http.MethodGet, "/Users", "")
		require.Equal(t, http.StatusOK, status)
		require.False(t, seen[acme.Token])
		p.end()
		require.Equal(t, len(seen) > 0, strings.Contains(p.errs.String(), "acme has a new token: the store does not accept"))
		seen[acme.Token] = true
	}
}

// Rule E1, by -seats: whoever comes through a group keeps what needs no seat, and
// gets the rest when one is free.
func TestSeats(t *testing.T) {
	onDurableStores(t, func(t *testing.T, store newStore) {
		same := store(t)
		p := start(t, same, "-json", "-seats", "1")
		acme := p.reached()
		var members []string
		for _, name := range []string{"ada", "grace"} {
			status, user := acme.send(t, http.MethodPost, "/Users", strings.ReplaceAll(ada, "ada@", name+"@"))
			require.Equal(t, http.StatusCreated, status)
			members = append(members, `{"value":"`+user["id"].(string)+`"}`)
		}
		status, _ := acme.send(t, http.MethodPost, "/Groups", `{"displayName":"Engineers","members":[`+strings.Join(members, ",")+`]}`)
		require.Equal(t, http.StatusCreated, status)
		p.end()
		require.Contains(t, p.errs.String(), "<ada@example.com> was updated: access as member")
		require.Contains(t, p.errs.String(), "<grace@example.com> was updated: access as viewer")

		p = start(t, same, "-json", "-seats", "2")
		p.reached()
		require.Eventually(t, func() bool {
			return strings.Contains(p.errs.String(), "<grace@example.com> was updated: access as member")
		}, 10*time.Second, 10*time.Millisecond, p.errs)
		p.end()
	})
}

// As a program: what becomes of the tokens if one of the two files is gone.
func TestFilesThatAreGone(t *testing.T) {
	folder := t.TempDir()
	store, file := filepath.Join(folder, "app.db"), filepath.Join(folder, "app.tokens.json")
	once := func(says string) reached {
		t.Helper()
		p := start(t, store, "-json")
		acme := p.reached()
		status, _ := acme.send(t, http.MethodGet, "/Users", "")
		require.Equal(t, http.StatusOK, status)
		p.end()
		require.Contains(t, p.errs.String(), says)
		require.NotContains(t, p.errs.String(), acme.Token)
		return acme
	}
	first := once("acme is new")
	require.NoError(t, os.Remove(file))
	second := once("acme has a new token")
	require.NotEqual(t, first.Token, second.Token)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), second.Token)

	left, err := filepath.Glob(store + "*")
	require.NoError(t, err)
	for _, name := range left {
		require.NoError(t, os.Remove(name))
	}
	third := once("acme has a new token: the store does not accept the one that was kept")
	require.NotEqual(t, second.Token, third.Token)
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), third.Token)
	require.NotContains(t, string(text), second.Token)
	require.Equal(t, 1, strings.Count(string(text), "muster_"))
}
