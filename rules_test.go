package scim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// A ruleRig is a handler behind a real server, for tests of the rules about
// people and groups: every write goes over HTTP, and every answer is checked
// for what holds of all of them.
type ruleRig struct {
	*rig
	t      *testing.T
	store  scim.Ledger // nil in a rig on a plain store
	server *httptest.Server
	clock  *steppingClock
	seen   uint64 // the last event that events has returned
}

// steppingClock is a clock that goes on by a second with every request.
type steppingClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *steppingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steppingClock) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
}

// acme is a directory with one registered domain and that policy.
func acme(policy scim.Policy) *scim.Directory {
	return &scim.Directory{Tenant: "acme", ID: "okta", Domains: []string{"acme.example"}, Policy: policy}
}

// newManagedRig is a rig on a managed store.
func newManagedRig(t *testing.T, mapper scim.RoleMapper, d *scim.Directory, configure func(*scim.Config)) *ruleRig {
	t.Helper()
	clock := &steppingClock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	store := newManaged(scim.CoreTypes(), &memstore.Options{Now: clock.Now})
	r := newRuleRig(t, store, mapper, d, clock, configure)
	r.store = store
	return r
}

// newPlainRig is a rig on the least that a host may write.
func newPlainRig(t *testing.T, mapper scim.RoleMapper, d *scim.Directory, configure func(*scim.Config)) *ruleRig {
	t.Helper()
	clock := &steppingClock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	store := newNaiveStore()
	store.now = clock.Now
	return newRuleRig(t, store, mapper, d, clock, configure)
}

func newRuleRig(t *testing.T, store scim.Store, mapper scim.RoleMapper, d *scim.Directory, clock *steppingClock, configure func(*scim.Config)) *ruleRig {
	t.Helper()
	r := &ruleRig{t: t, clock: clock}
	r.rig = newRig(t, store, mapper, d, func(cfg *scim.Config) {
		cfg.Now = clock.Now
		if configure != nil {
			configure(cfg)
		}
	})
	r.server = httptest.NewServer(r.rig)
	t.Cleanup(r.server.Close)
	return r
}

// onEveryStore runs a test of what a plain store promises too.
func onEveryStore(t *testing.T, d func() *scim.Directory, test func(*testing.T, *ruleRig)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		test(t, newPlainRig(t, scim.NoRoles{}, d(), nil))
	})
	t.Run("managed", func(t *testing.T) {
		t.Parallel()
		test(t, newManagedRig(t, scim.NoRoles{}, d(), nil))
	})
}

// A reply is what the provider was answered.
type reply struct {
	t      *testing.T
	what   string // the request
	status int
	header http.Header
	body   any
}

// do sends a request as a provider would.
func (r *ruleRig) do(method, path, body string) *reply {
	r.t.Helper()
	r.clock.step()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, r.server.URL+"/scim/v2"+path, content)
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+testToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	res, err := r.server.Client().Do(req)
	require.NoError(r.t, err)
	defer func() { require.NoError(r.t, res.Body.Close()) }()
	data, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	a := &reply{t: r.t, what: method + " " + path + " " + body, status: res.StatusCode, header: res.Header, body: absent}
	if len(data) > 0 {
		a.body, err = decodeJSON(data)
		require.NoErrorf(r.t, err, "%s: %s", a.what, data)
	}
	require.Empty(r.t, invariants(a.status, a.header, a.body), a.what)
	return a
}

// is requires a status.
func (a *reply) is(status int) *reply {
	a.t.Helper()
	require.Equalf(a.t, status, a.status, "%s: %s", a.what, show(a.body))
	return a
}

// refused requires an error whose detail says all of that.
func (a *reply) refused(status int, scimType string, says ...string) {
	a.t.Helper()
	a.is(status)
	if scimType == "" {
		assert.Equal(a.t, absent, a.at("/scimType"), a.what)
	} else {
		assert.Equal(a.t, scimType, a.at("/scimType"), a.what)
	}
	for _, s := range says {
		assert.Contains(a.t, a.at("/detail"), s, a.what)
	}
}

// at returns what a JSON pointer leads to, [absent] if nothing.
func (a *reply) at(pointer string) any { return resolve(a.body, pointer) }

// shows requires what pointers lead to; absent requires that it leads nowhere.
func (a *reply) shows(pointer string, want any) *reply {
	a.t.Helper()
	assert.Equalf(a.t, want, a.at(pointer), "%s: %s", a.what, pointer)
	return a
}

func (a *reply) id() string {
	a.t.Helper()
	id, ok := a.at("/id").(string)
	require.Truef(a.t, ok, "%s: %s", a.what, show(a.body))
	return id
}

func (a *reply) etag() string { return a.header.Get("Etag") }

// post creates a resource and returns its id.
func (r *ruleRig) post(path, body string) string {
	r.t.Helper()
	return r.do(http.MethodPost, path, body).is(http.StatusCreated).id()
}

// get reads what is there.
func (r *ruleRig) get(path string) *reply {
	r.t.Helper()
	return r.do(http.MethodGet, path, "").is(http.StatusOK)
}

// find returns the ids that a provider finds with a filter.
func (r *ruleRig) find(endpoint, filter string) []string {
	r.t.Helper()
	list := r.get(endpoint + "?filter=" + url.QueryEscape(filter))
	found, ok := list.at("/Resources").([]any)
	require.True(r.t, ok)
	ids := make([]string, len(found))
	for i := range found {
		ids[i], _ = resolve(found[i], "/id").(string)
	}
	return ids
}

// patchBody is a PATCH with those operations, RFC 7644 section 3.5.2.
func patchBody(operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(operations, ",") + `]}`
}

// replaceOp is an operation that replaces the value at a path.
func replaceOp(path, value string) string {
	return fmt.Sprintf(`{"op":"replace","path":%q,"value":%s}`, path, value)
}

// patch sends a PATCH.
func (r *ruleRig) patch(path string, operations ...string) *reply {
	r.t.Helper()
	return r.do(http.MethodPatch, path, patchBody(operations...))
}

// set replaces one attribute, which must succeed.
func (r *ruleRig) set(path, attribute, value string) *reply {
	r.t.Helper()
	return r.patch(path, replaceOp(attribute, value)).is(http.StatusOK)
}

// deactivate does what its name says, as most providers do.
func (r *ruleRig) deactivate(user string) { r.t.Helper(); r.set("/Users/"+user, "active", "false") }

// reactivate does what its name says.
func (r *ruleRig) reactivate(user string) { r.t.Helper(); r.set("/Users/"+user, "active", "true") }

// join makes a user a member of a group.
func (r *ruleRig) join(group, user string) {
	r.t.Helper()
	r.patch("/Groups/"+group, fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, user)).is(http.StatusNoContent)
}

// leave ends the membership of a user in a group.
func (r *ruleRig) leave(group, user string) {
	r.t.Helper()
	r.patch("/Groups/"+group, fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, user)).is(http.StatusNoContent)
}

// person is a user with a userName, an externalId and one address.
func person(name string) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"externalId":%q,"active":true,
		"emails":[{"value":%q,"type":"work","primary":true}]}`, name, "ext-"+name, name+"@acme.example")
}

// team is a group with that name and those members.
func team(name string, users ...string) string {
	members := make([]string, len(users))
	for i, u := range users {
		members[i] = fmt.Sprintf(`{"value":%q}`, u)
	}
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q,"members":[%s]}`, name, strings.Join(members, ","))
}

// account returns the account as the host would be told now.
func (r *ruleRig) account(user string) *scim.Account {
	r.t.Helper()
	a, err := r.scim.Engine().Account(context.Background(), r.dir, user)
	require.NoError(r.t, err)
	return a
}

// state returns what the store keeps about a user's account.
func (r *ruleRig) state(user string) *scim.AccountState {
	r.t.Helper()
	var state *scim.AccountState
	require.NoError(r.t, r.store.Do(context.Background(), r.dir.Tenant, func(ctx context.Context, tx scim.Tx) error {
		people, err := tx.UserStates(ctx, r.dir.Key(), []string{user})
		state = people[0].Account
		return err
	}))
	require.NotNil(r.t, state)
	return state
}

// events returns what happened since it was asked last, and checks that the
// sequence has no gap.
func (r *ruleRig) events() []*scim.Event {
	r.t.Helper()
	all, err := r.store.Events(context.Background(), r.dir.Tenant, r.seen, 1000)
	require.NoError(r.t, err)
	for _, e := range all {
		r.seen++
		require.Equal(r.t, r.seen, e.Seq, "the sequence is gapless (rule D2)")
	}
	return all
}

// happened requires the types of all events since it was asked last.
func (r *ruleRig) happened(want ...scim.EventType) []*scim.Event {
	r.t.Helper()
	events := r.events()
	types := make([]scim.EventType, len(events))
	for i, e := range events {
		types[i] = e.Type
	}
	if len(want) == 0 {
		require.Empty(r.t, types)
	} else {
		require.Equal(r.t, want, types)
	}
	return events
}

// told requires that the host was told once since it was asked last, and
// returns what.
func (r *ruleRig) told() *scim.Account {
	r.t.Helper()
	all := r.app.drain()
	require.Len(r.t, all, 1)
	return all[0]
}

// toldNothing requires that the host was not told anything.
func (r *ruleRig) toldNothing() {
	r.t.Helper()
	require.Empty(r.t, r.app.drain())
}

// forget makes told and happened speak of what comes from now on.
func (r *ruleRig) forget() {
	r.t.Helper()
	r.app.drain()
	if r.store != nil {
		r.events()
	}
}

// logged returns the last line of the request log.
func (r *ruleRig) logged() *scim.LogEntry {
	r.t.Helper()
	entries, err := r.store.Requests(context.Background(), r.dir.Key(), 1)
	require.NoError(r.t, err)
	require.Len(r.t, entries, 1)
	return entries[0]
}

// fromGroup and byDefault are grants as provisioning makes them, byHand is one
// that somebody gave.
func fromGroup(role, group string) scim.Grant {
	return scim.Grant{Role: role, Source: scim.FromGroup, Group: group}
}
func byDefault(role string) scim.Grant { return scim.Grant{Role: role, Source: scim.FromDefault} }
func byHand(role string) scim.Grant    { return scim.Grant{Role: role, Source: scim.Manual} }

// groupIDs returns the ids of an account's groups.
func groupIDs(a *scim.Account) []string {
	ids := make([]string, len(a.Groups))
	for i, g := range a.Groups {
		ids[i] = g.ID
	}
	slices.Sort(ids)
	return ids
}

// send sends a write from any goroutine and returns only the status, 0 if it
// failed.
func (r *ruleRig) send(method, path, body string) int {
	req, err := http.NewRequestWithContext(context.Background(), method, r.server.URL+"/scim/v2"+path, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/scim+json")
	res, err := r.server.Client().Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}
