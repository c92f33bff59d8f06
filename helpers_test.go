package scim_test

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/memstore"
)

// A naiveStore is the least that a host may write: five methods over a map,
// lists by looking at everything.
type naiveStore struct {
	mu   sync.Mutex
	rows map[scim.Ref]*scim.Resource
	now  func() time.Time
}

func newNaiveStore() *naiveStore {
	return &naiveStore{rows: map[scim.Ref]*scim.Resource{}, now: time.Now}
}

func (s *naiveStore) Get(_ context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rows[ref]; r != nil {
		return r, nil
	}
	return nil, scim.ErrNotFound
}

func (s *naiveStore) List(_ context.Context, q *scim.Query) (*scim.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return scim.Select(q, maps.Values(s.rows)), nil
}

func (s *naiveStore) Create(_ context.Context, r *scim.Resource) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := scim.CheckUnique(r, maps.Values(s.rows)); err != nil {
		return nil, err
	}
	now := s.now()
	r = r.WithMeta(scim.Meta{Created: now, LastModified: now, Version: 1})
	s.rows[r.Ref()] = r
	return r, nil
}

func (s *naiveStore) Replace(_ context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.rows[r.Ref()]
	switch {
	case old == nil:
		return nil, scim.ErrNotFound
	case was != 0 && old.Version() != was:
		return nil, scim.ErrVersion
	}
	if err := scim.CheckUnique(r, maps.Values(s.rows)); err != nil {
		return nil, err
	}
	r = r.WithMeta(scim.Meta{Created: old.Meta().Created, LastModified: s.now(), Version: old.Version() + 1})
	s.rows[r.Ref()] = r
	return r, nil
}

func (s *naiveStore) Delete(_ context.Context, ref scim.Ref, was scim.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.rows[ref]
	switch {
	case old == nil:
		return scim.ErrNotFound
	case was != 0 && old.Version() != was:
		return scim.ErrVersion
	}
	delete(s.rows, ref)
	return nil
}

// A hostApp is an application that remembers what it was told.
type hostApp struct {
	mu   sync.Mutex
	told []*scim.Account
	last map[string]*scim.Account // by user id
}

func newHostApp() *hostApp { return &hostApp{last: map[string]*scim.Account{}} }

func (a *hostApp) Provision(_ context.Context, acc *scim.Account) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, acc)
	a.last[acc.ID] = acc
	if acc.HostID != "" {
		return acc.HostID, nil
	}
	return "host-" + acc.ID, nil
}

// drain returns what the application was told since it was asked last.
func (a *hostApp) drain() []*scim.Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	told := a.told
	a.told = nil
	return told
}

// account returns the last state that the application was told of a user.
func (a *hostApp) account(id string) *scim.Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[id]
}

const testToken = "test-token-0123456789abcdef"

// A rig is a handler with everything around it.
type rig struct {
	http.Handler
	scim *scim.Handler
	app  *hostApp
	dir  *scim.Directory

	mu    sync.Mutex
	fired attr.Lenience
	log   []scim.LogEntry
}

// newRig mounts a handler at /scim/v2 over the store.
func newRig(t testing.TB, store scim.Store, mapper scim.RoleMapper, d *scim.Directory, configure func(*scim.Config)) *rig {
	t.Helper()
	r := &rig{app: newHostApp(), dir: d}
	auth, err := scim.StaticTokens(scim.Token{Secret: testToken, Label: "test", Directory: d})
	require.NoError(t, err)
	cfg := &scim.Config{Provisioner: r.app, OnRequest: func(_ context.Context, e *scim.LogEntry) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fired |= e.Fired
		r.log = append(r.log, *e)
		checkReason(t, e)
	}}
	if configure != nil {
		configure(cfg)
	}
	r.scim, err = scim.NewHandler(store, mapper, auth, cfg)
	require.NoError(t, err)
	r.Handler = scim.Mount("/scim/v2", r.scim, nil)
	return r
}

func (r *rig) drainFired() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := r.fired.Names()
	r.fired = 0
	return names
}

func newConversationHandler(t *testing.T, store scim.Store, c *conversation) (http.Handler, string) {
	t.Helper()
	dialect, err := scim.ParseDialect(c.Directory.Dialect)
	require.NoError(t, err)
	email, ok := map[string]scim.EmailPolicy{
		"": scim.RejectEmailChange, "reject": scim.RejectEmailChange, "keep": scim.KeepEmail,
		"domains": scim.EmailWithinDomains, "allow": scim.AllowEmailChange,
	}[c.Directory.Email]
	require.True(t, ok, c.Directory.Email)
	d := &scim.Directory{Tenant: "acme", ID: "directory", Domains: c.Directory.Domains, Dialect: dialect, Policy: scim.Policy{Email: email}}
	r := newRig(t, store, scim.NoRoles{}, d, nil)
	_, managed := store.(scim.Ledger)
	if !managed {
		// Without transactions a change that is none is told all the same.
		for _, s := range c.Steps {
			s.Accounts = nil
		}
	}
	c.provisioned = func() (told []toldAccount) {
		for _, a := range r.app.drain() {
			told = append(told, toldAccount{ID: a.ID, Email: a.Email, Active: a.Active, Change: string(a.Change)})
		}
		return told
	}
	c.fired = r.drainFired
	c.left = func() leftOut {
		r.mu.Lock()
		defer r.mu.Unlock()
		last := r.log[len(r.log)-1]
		return leftOut{Ignored: last.Ignored, Unknown: last.Unknown}
	}
	return r, testToken
}

// newManaged returns the managed store that the tests run on. `make test-sql` puts
// a store in a database in its place.
var newManaged = func(types *scim.Types, opts *memstore.Options) scim.Ledger { return memstore.New(types, opts) }

// stores are what the handler's tests run on: a managed store, and the least
// that a host may write.
var stores = map[string]func() scim.Store{
	"memstore": func() scim.Store { return newManaged(scim.CoreTypes(), &memstore.Options{Events: 1 << 20}) },
	"naive":    func() scim.Store { return newNaiveStore() },
}
