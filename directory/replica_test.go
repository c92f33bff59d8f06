package directory_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// A meddled storage lets a test do something right before a transaction, which
// fails if that does.
type meddled struct {
	directory.Storage
	onDo func() error
}

func (m *meddled) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	if on := m.onDo; on != nil {
		m.onDo = nil
		if err := on(); err != nil {
			return err
		}
	}
	return m.Storage.Do(ctx, tenant, fn)
}

// Uses that are given back after a failed flush must not displace those that
// have come since, by a snapshot that was read anew.
func TestE2TheLastUseIsNotLostToAFailedFlush(t *testing.T) {
	t.Parallel()
	k := newConsoleInMemory(t)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	store := &meddled{Storage: k.store}
	service, err := directory.New(store, &scim.Config{Now: k.clock.Now}, nil)
	require.NoError(t, err)
	use := func() {
		k.clock.pass(time.Second)
		_, err := service.Authenticate(bearer(t, secret))
		require.NoError(t, err)
	}
	use()
	store.onDo = func() error {
		// The tenant is changed, so it is read anew, and the token used meanwhile.
		if _, _, err := service.IssueToken(t.Context(), key, directory.TokenOptions{}); err != nil {
			return err
		}
		use()
		return errDown
	}
	require.ErrorIs(t, service.Flush(t.Context()), errDown)
	use()
	require.NoError(t, service.Flush(t.Context()))
	activity, err := k.Activity(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now(), activity.Heard())
}

// A provider shares its addresses with everybody else who uses it: who guesses
// from there keeps no tenant out whose provider has come before, however long it
// was silent.
func TestE2GuessingLocksNobodyElseOut(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	elsewhere := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	require.Equal(t, http.StatusOK, k.get(secret))
	k.clock.pass(20 * time.Hour)
	status := 0
	for i := range 40 {
		_, strange := elsewhere.create(directory.Directory{Tenant: "tenant " + strconv.Itoa(i)})
		status = k.get(strange)
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, http.StatusOK, k.get(secret))
}

// A function of the host's that panics fails a request, not the program.
func TestE2AClientIPThatPanicsEndsARequest(t *testing.T) {
	t.Parallel()
	panics := false
	k := newConsole(t, func(o *directory.Options) {
		o.ClientIP = func(r *http.Request) string {
			if panics {
				panic("in the host")
			}
			return r.RemoteAddr
		}
	})
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	panics = true
	require.Equal(t, http.StatusInternalServerError, k.get(secret))
	panics = false
	require.Equal(t, http.StatusOK, k.get(secret), "nothing is locked")
}

// A clock that was far ahead leaves times behind that are still to come, for
// ever as far as anybody can tell. They stop nothing.
func TestC5AClockThatWasWrongStopsNoTask(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(w *workshop, task string){
		"a pause after a failure": func(w *workshop, task string) {
			w.app.set(func(a *app) { a.refuse = func(*scim.Account) error { return scim.ErrUnavailable } })
			_, err := w.Work(t.Context(), "acme", task)
			require.NoError(t, err)
			w.app.set(func(a *app) { a.refuse = nil })
		},
		"the lease of a process that has ended": func(w *workshop, task string) {
			w.hooks.onUserStates = func([]string) { panic("the end") }
			require.Panics(t, func() { _, _ = w.Work(t.Context(), "acme", task) })
			w.hooks.onUserStates = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, nil)
			w.person("ada")
			task := w.set(byName("viewer"))
			w.clock.pass(1000 * testDay)
			leave(w, task.ID)
			w.clock.pass(-1000 * testDay)
			require.NoError(t, w.replica(nil).RunOnce(t.Context()))
			task, err := w.Task(t.Context(), "acme", task.ID)
			require.NoError(t, err)
			require.Equal(t, directory.TaskDone, task.State)
		})
	}
}

// So is what was heard of a token by such a clock: what is heard afterwards is
// the last use, and silence is told of.
func TestE5AClockThatWasWrongHidesNoSilence(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Provider = scim.Entra })
	wrong := newClock()
	wrong.pass(100 * testDay)
	other := openWorkshop(t, w.store, wrong, w.app, nil)
	other.key, other.secret = w.key, w.secret
	other.person("ada")
	require.NoError(t, other.RunOnce(t.Context()))
	_, last := w.happened(0)

	w.person("bob")
	require.NoError(t, w.RunOnce(t.Context()))
	activity, err := w.Activity(t.Context(), w.key)
	require.NoError(t, err)
	require.Equal(t, w.clock.Now(), activity.Heard())
	w.clock.pass(3 * time.Hour)
	for range 3 {
		require.NoError(t, w.RunOnce(t.Context()))
		w.clock.pass(11 * time.Minute)
	}
	names, _ := w.happened(last)
	require.Contains(t, names, "directory.attention silence")
	require.Equal(t, 1, occurrences(names, "directory.attention silence"), "once an incident")
}

func occurrences(list []string, of string) (n int) {
	for _, s := range list {
		if s == of {
			n++
		}
	}
	return n
}

// Processes whose clocks differ by minutes share the work and tell of things
// once.
func TestE5ReplicasWithDifferentClocksTellOnce(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Provider = scim.Entra })
	w.person("ada")
	late := newClock()
	late.pass(-7 * time.Minute)
	other := openWorkshop(t, w.store, late, w.app, nil)
	other.key, other.secret = w.key, w.secret
	pass := func(d time.Duration) { w.clock.pass(d); late.pass(d) }
	both := func() {
		t.Helper()
		done := make(chan error)
		go func() { done <- other.RunOnce(t.Context()) }()
		require.NoError(t, w.RunOnce(t.Context()))
		require.NoError(t, <-done)
	}
	both()
	_, last := w.happened(0)
	for range 20 {
		pass(9 * time.Minute)
		both()
	}
	pass(335 * testDay)
	for range 4 {
		both()
		pass(11 * time.Minute)
	}
	names, _ := w.happened(last)
	require.Equal(t, 1, occurrences(names, "directory.attention silence"))
	require.Equal(t, 1, occurrences(names, "token.expiring"))
}

// What could not be written is not taken for told.
func TestE2AnEventThatCouldNotBeWrittenIsToldLater(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	k.clock.pass(340 * testDay)
	store := &mute{Storage: k.store, silent: true}
	service, err := directory.New(store, &scim.Config{Now: k.clock.Now}, nil)
	require.NoError(t, err)
	require.Error(t, service.RunTenant(t.Context(), "acme"))
	_, last := k.events("acme", 0)
	store.silent = false
	require.NoError(t, service.RunTenant(t.Context(), "acme"))
	types, _ := k.events("acme", last.Seq)
	require.Equal(t, []scim.EventType{scim.TokenExpiring}, types)
}

// A mute storage takes no events.
type mute struct {
	directory.Storage
	silent bool
}

type muteTx struct{ scim.Tx }

func (muteTx) Append(context.Context, ...*scim.Event) error { return errDown }

func (m *mute) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	return m.Storage.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		if m.silent {
			tx = muteTx{tx}
		}
		return fn(ctx, tx)
	})
}

// What is refused has changed nothing, also where the host commits the
// transaction that it was refused in.
func TestWhatIsRefusedInATransactionOfTheHostChangesNothing(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, _ := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	_, second, err := k.IssueToken(t.Context(), key, directory.TokenOptions{})
	require.NoError(t, err)
	before, err := k.store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.NoError(t, k.store.Do(t.Context(), "acme", func(ctx context.Context, _ scim.Tx) error {
		_, _, err := k.RotateToken(ctx, key, second.ID, time.Hour)
		require.Equal(t, []string{"tokens"}, problems(t, err))
		return nil
	}))
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	for _, token := range tokens {
		require.Equal(t, token.Created.Add(365*testDay), token.Expires)
	}

	// A policy that an application with other roles could save.
	require.NoError(t, k.Pause(t.Context(), key))
	service, err := directory.New(k.store, &scim.Config{Now: k.clock.Now, Catalog: scim.RoleCatalog{Roles: []string{"free", "paid"}, Billable: []string{"paid"}}}, nil)
	require.NoError(t, err)
	d, err := service.Get(t.Context(), key)
	require.NoError(t, err)
	d.Policy.Seats, d.Policy.FreeRole = scim.FreeRoleSeats, "free"
	_, err = service.Update(t.Context(), d)
	require.NoError(t, err)
	require.NoError(t, k.store.Do(t.Context(), "acme", func(ctx context.Context, _ scim.Tx) error {
		require.Equal(t, []string{"policy.freeRole"}, problems(t, k.Enable(ctx, key)))
		return nil
	}))
	d, err = k.Get(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, directory.Paused, d.State)
	after, err := k.store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, before.Revision+2, after.Revision, "of Pause and Update")
}

// Until it is asked for again a replica takes a revoked token for a valid one; in
// the transaction of a write it is found out.
func TestE2ARevokedTokenWritesNothingOnOtherReplicas(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	there := newReplica(t, k.store, k.clock, nil)
	require.Equal(t, http.StatusOK, there.get(secret))
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	_, _, err = k.IssueToken(t.Context(), key, directory.TokenOptions{})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, there.post(secret, "ada@acme.example"), "something has changed, and not this token")
	require.Equal(t, http.StatusOK, there.get(secret))
	require.NoError(t, k.RevokeToken(t.Context(), key, tokens[0].ID))
	require.Equal(t, http.StatusOK, there.get(secret), "within five seconds")
	w := there.request(http.MethodPost, "/Bulk", "Bearer "+secret, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
		"Operations":[{"method":"POST","path":"/Users","bulkId":"x","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eve@acme.example"}}]}`)
	require.Contains(t, w.Body.String(), `"401"`)
	w = k.request(http.MethodGet, "/Users", "Bearer "+secret, "")
	require.Equal(t, http.StatusUnauthorized, w.Code)

	third := newReplica(t, k.store, k.clock, nil)
	fresh, next, err := k.IssueToken(t.Context(), key, directory.TokenOptions{})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, third.get(fresh))
	require.NoError(t, k.RevokeToken(t.Context(), key, next.ID))
	require.Equal(t, http.StatusUnauthorized, third.post(fresh, "eve@acme.example"))
	require.Equal(t, http.StatusUnauthorized, third.get(fresh), "and is known from then on")
	accounts, err := k.store.Accounts(t.Context(), key, "", 10)
	require.NoError(t, err)
	require.Len(t, accounts, 1)
}
