package directory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/roles"
)

// An app is the application: what it was told of people, and what it says.
type app struct {
	mu        sync.Mutex
	accounts  map[string]scim.Account // as told last, by user
	calls     int
	committed map[string]int
	usage     scim.Usage
	refuse    func(*scim.Account) error // of Provision
	forget    func(*scim.Account) error // of Committed
	before    func()                    // each Provision
}

// newApp returns an application that has an administrator of its own, so that
// no directory has the last one.
func newApp() *app {
	return &app{accounts: map[string]scim.Account{}, committed: map[string]int{}, usage: scim.Usage{Administrators: 1}}
}

func (a *app) Provision(_ context.Context, account *scim.Account) (string, error) {
	if a.before != nil {
		a.before()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	if a.refuse != nil {
		if err := a.refuse(account); err != nil {
			return "", err
		}
	}
	a.accounts[account.ID] = *account
	return "host-" + account.Email, nil
}

func (a *app) Committed(_ context.Context, account *scim.Account) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.forget != nil {
		if err := a.forget(account); err != nil {
			return err
		}
	}
	a.committed[account.ID]++
	return nil
}

func (a *app) Usage(context.Context, string) (scim.Usage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.usage, nil
}

// set changes what the application says.
func (a *app) set(change func(*app)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *app) account(id string) scim.Account {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accounts[id]
}

func (a *app) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// roleNames are the roles that the application was told of.
func (a *app) roleNames(id string) []string {
	account := a.account(id)
	return account.RoleNames()
}

// A workshop is a console with an application behind it and a directory with
// people in it.
type workshop struct {
	*console
	app    *app
	hooks  *hookedStorage
	key    scim.Key
	secret string
}

// A hookedStorage lets a test do something right before the storage does.
type hookedStorage struct {
	directory.Storage
	onPutTask    func()
	onRecords    func(tenant string) error
	onUserStates func(users []string)
	onPeople     func() error
}

func (h *hookedStorage) People(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	if h.onPeople != nil {
		if err := h.onPeople(); err != nil {
			return nil, err
		}
	}
	return h.Storage.People(ctx, tenant, hostID, email)
}

func (h *hookedStorage) Records(ctx context.Context, tenant string, kind directory.Kind, after string, limit int) ([]*directory.Record, error) {
	if h.onRecords != nil {
		if err := h.onRecords(tenant); err != nil {
			return nil, err
		}
	}
	return h.Storage.Records(ctx, tenant, kind, after, limit)
}

func (h *hookedStorage) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	return h.Storage.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error { return fn(ctx, hookedTx{tx, h}) })
}

type hookedTx struct {
	scim.Tx
	h *hookedStorage
}

func (x hookedTx) UserStates(ctx context.Context, key scim.Key, users []string) ([]scim.UserState, error) {
	if x.h.onUserStates != nil {
		x.h.onUserStates(users)
	}
	return x.Tx.UserStates(ctx, key, users)
}

func (h *hookedStorage) PutRecord(ctx context.Context, r *directory.Record) (uint64, error) {
	if r.Kind == directory.KindTask && h.onPutTask != nil {
		h.onPutTask()
	}
	return h.Storage.PutRecord(ctx, r)
}

// newWorkshop returns a service with an enabled directory of the tenant acme,
// into which everybody may be provisioned.
func newWorkshop(t testing.TB, change func(*scim.Config, *directory.Options)) *workshop {
	t.Helper()
	c := newClock()
	h := &hookedStorage{Storage: newStorage(scim.CoreTypes(), &memstore.Options{Now: c.Now})}
	w := openWorkshop(t, &probe{Storage: h}, c, newApp(), change)
	w.hooks = h
	w.key, w.secret = w.create(directory.Directory{ID: "idp", Name: "Okta", Policy: scim.Policy{Domain: scim.AnyDomain}})
	return w
}

// replica returns another process over the same storage and application.
func (w *workshop) replica(change func(*scim.Config, *directory.Options)) *workshop {
	w.t.Helper()
	r := openWorkshop(w.t, w.store, w.clock, w.app, change)
	r.key, r.secret = w.key, w.secret
	return r
}

func openWorkshop(t testing.TB, store *probe, c *clock, a *app, change func(*scim.Config, *directory.Options)) *workshop {
	t.Helper()
	k := &console{t: t, store: store, clock: c, dns: &zone{}, log: &bytes.Buffer{}, from: "192.0.2.1:4711"}
	cfg := &scim.Config{Catalog: catalog, Now: c.Now, Provisioner: a, DirectHooks: true, Logger: slog.New(slog.NewTextHandler(k.log, nil))}
	o := &directory.Options{Resolver: k.dns}
	if change != nil {
		change(cfg, o)
	}
	var err error
	k.Service, err = directory.New(store, cfg, o)
	require.NoError(t, err)
	k.http = scim.Mount("/scim/v2", k.Handler(), nil)
	return &workshop{console: k, app: a}
}

// send sends a request of the provider and returns the status and the id in the
// answer.
func (w *workshop) send(method, path, body string) (status int, id string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "/scim/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+w.secret)
	r.Header.Set("Content-Type", "application/scim+json")
	answer := httptest.NewRecorder()
	w.http.ServeHTTP(answer, r)
	var document struct{ ID string }
	if answer.Body.Len() > 0 {
		require.NoError(w.t, json.Unmarshal(answer.Body.Bytes(), &document), answer.Body.String())
	}
	return answer.Code, document.ID
}

// do sends a request that must succeed.
func (w *workshop) do(method, path, body string) string {
	w.t.Helper()
	status, id := w.send(method, path, body)
	require.Lessf(w.t, status, 300, "%s %s %s", method, path, body)
	return id
}

func userBody(name string) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"externalId":%q,"displayName":%q,
		"emails":[{"value":%q,"primary":true}],"active":true}`, name, "ext-"+name, strings.ToUpper(name), name+"@acme.example")
}

func (w *workshop) person(name string) string {
	w.t.Helper()
	return w.do(http.MethodPost, "/Users", userBody(name))
}

func (w *workshop) people(n int) []string {
	w.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = w.person(fmt.Sprintf("p%05d", i))
	}
	return ids
}

func (w *workshop) team(name string, members ...string) string {
	w.t.Helper()
	return w.teamAs(name, "ext-"+name, members...)
}

func (w *workshop) teamAs(name, externalID string, members ...string) string {
	w.t.Helper()
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = fmt.Sprintf(`{"value":%q}`, m)
	}
	return w.do(http.MethodPost, "/Groups", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q,"externalId":%q,"members":[%s]}`,
		name, externalID, strings.Join(list, ",")))
}

func patchBody(operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(operations, ",") + `]}`
}

func (w *workshop) join(group, user string) {
	w.t.Helper()
	w.do(http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, user)))
}

func (w *workshop) leave(group, user string) {
	w.t.Helper()
	w.do(http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, user)))
}

func (w *workshop) rename(group, name string) {
	w.t.Helper()
	w.do(http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"replace","path":"displayName","value":%q}`, name)))
}

func (w *workshop) setActive(user string, active bool) {
	w.t.Helper()
	w.do(http.MethodPatch, "/Users/"+user, patchBody(fmt.Sprintf(`{"op":"replace","path":"active","value":%t}`, active)))
}

// update changes the directory.
func (w *workshop) update(change func(*directory.Directory)) {
	w.t.Helper()
	d, err := w.Get(w.t.Context(), w.key)
	require.NoError(w.t, err)
	change(d)
	_, err = w.Update(w.t.Context(), d)
	require.NoError(w.t, err)
}

// byName maps groups by their names, "group role" each.
func byName(fallback string, rules ...string) roles.Mapping {
	m := roles.Mapping{Default: fallback}
	for _, r := range rules {
		group, role, _ := strings.Cut(r, " ")
		m.Rules = append(m.Rules, roles.Rule{GroupName: group, Role: role})
	}
	return m
}

// set sets a mapping and returns its task.
func (w *workshop) set(m roles.Mapping) *directory.Task {
	w.t.Helper()
	_, version, err := w.Mapping(w.t.Context(), w.key)
	require.NoError(w.t, err)
	task, err := w.SetMapping(w.t.Context(), w.key, m, version)
	require.NoError(w.t, err)
	return task
}

// apply sets a mapping and does its task.
func (w *workshop) apply(m roles.Mapping) *directory.Task {
	w.t.Helper()
	task, err := w.Work(w.t.Context(), w.key.Tenant, w.set(m).ID)
	require.NoError(w.t, err)
	require.Equal(w.t, directory.TaskDone, task.State)
	return task
}

// state returns what is kept of an account.
func (w *workshop) state(user string) scim.AccountState {
	w.t.Helper()
	var state scim.AccountState
	require.NoError(w.t, w.store.Do(w.t.Context(), w.key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		people, err := tx.UserStates(ctx, w.key, []string{user})
		if err == nil && people[0].Account != nil {
			state = *people[0].Account
		}
		return err
	}))
	return state
}

// attention returns the names of the directory.attention events after a sequence
// number, and types of all events.
func (w *workshop) happened(after uint64) (names []string, last uint64) {
	w.t.Helper()
	const all = 10_000
	events, err := w.store.Events(w.t.Context(), w.key.Tenant, after, all)
	require.NoError(w.t, err)
	last = after
	for _, e := range events {
		name := string(e.Type)
		if e.Type == scim.DirectoryAttention {
			name += " " + e.Name
		}
		names, last = append(names, name), e.Seq
	}
	return names, last
}

const testDay = 24 * time.Hour

// inMemory reports whether the tests run on the storage in memory.
func inMemory() bool {
	_, is := newStorage(scim.CoreTypes(), nil).(*memstore.Store)
	return is
}
