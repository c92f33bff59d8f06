package directory_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// tally changes what is counted of the tenant.
func (w *workshop) tally(change func(*scim.Tally)) {
	w.t.Helper()
	require.NoError(w.t, w.store.Do(w.t.Context(), w.key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		was, err := tx.Tally(ctx)
		if err != nil {
			return err
		}
		next := *was
		change(&next)
		return tx.PutTally(ctx, &next)
	}))
}

// waits tells the tally how many accounts of the directory wait.
func (w *workshop) waits(n int) {
	w.t.Helper()
	w.tally(func(t *scim.Tally) {
		d := t.Directories[w.key.Directory]
		d.Waiting = n
		t.Directories = map[string]scim.DirectoryTally{w.key.Directory: d}
	})
}

// runOnce lets so much time pass and does what is due then.
func (w *workshop) runOnce(after time.Duration) {
	w.t.Helper()
	w.clock.pass(after)
	require.NoError(w.t, w.RunOnce(w.t.Context()))
}

// Run begins what a change asks for without waiting for its turn, goes on until
// its context ends, and then returns nil.
func TestRunWorksInTheBackground(t *testing.T) {
	if !inMemory() {
		t.Skip("a database waits outside of the test's time")
	}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorkshop(t, nil)
		people := w.people(5)
		ctx, stop := context.WithCancel(t.Context())
		returned := make(chan error)
		go func() { returned <- w.Run(ctx) }()
		synctest.Wait()

		task := w.set(byName("viewer"))
		synctest.Wait() // no time passes
		done, err := w.Task(t.Context(), "acme", task.ID)
		require.NoError(t, err)
		assert.Equal(t, directory.TaskDone, done.State)
		for _, p := range people {
			assert.Equal(t, []string{"viewer"}, w.app.roleNames(p))
		}

		// What another process has begun, in the next round.
		task = w.replica(nil).set(byName("editor"))
		synctest.Wait()
		done, err = w.Task(t.Context(), "acme", task.ID)
		require.NoError(t, err)
		assert.Equal(t, directory.TaskWaiting, done.State)
		time.Sleep(time.Minute)
		synctest.Wait()
		done, err = w.Task(t.Context(), "acme", task.ID)
		require.NoError(t, err)
		assert.Equal(t, directory.TaskDone, done.State)

		stop()
		require.NoError(t, <-returned)
		activity, err := w.replica(nil).Activity(t.Context(), w.key)
		require.NoError(t, err)
		assert.False(t, activity.Heard().IsZero(), "the use of tokens was written")
	})
}

// One tenant that fails, or panics, stops neither Run nor other tenants, and no
// secret is in the log.
func TestRunSurvivesATenantThatFails(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.person("ada")
	w.set(byName("viewer"))
	first := w.secret
	w.key, w.secret = w.create(directory.Directory{Tenant: "zebra", ID: "idp", Policy: scim.Policy{Domain: scim.AnyDomain}})
	zoe := w.person("zoe")
	w.set(byName("viewer"))
	broken := true
	w.hooks.onRecords = func(tenant string) error {
		if tenant == "acme" && broken {
			panic("a record that cannot be")
		}
		return nil
	}
	err := w.RunOnce(t.Context())
	require.ErrorContains(t, err, `tenant "acme"`)
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(zoe))
	assert.Contains(t, w.log.String(), "a record that cannot be")
	for _, secret := range []string{first, w.secret} {
		assert.NotContains(t, w.log.String(), secret)
	}
	broken = false
	require.NoError(t, w.RunOnce(t.Context()))
	require.NoError(t, w.RunTenant(t.Context(), "acme"))

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.RunOnce(cancelled), context.Canceled)
	require.NoError(t, w.Run(cancelled), "it was asked to stop")
}

// B6: what Committed owes is repeated until it succeeds.
func TestB6CommittedIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.app.set(func(a *app) { a.forget = func(*scim.Account) error { return errors.New("the session store is down") } })
	ada := w.person("ada")
	assert.Zero(t, w.app.committed[ada])
	st, err := w.Status(t.Context(), w.key)
	require.NoError(t, err)
	assert.Equal(t, 1, st.Undelivered)

	require.NoError(t, w.RunOnce(t.Context()), "it is the request's for a minute")
	require.Error(t, w.runOnceAfter(2*time.Minute))
	w.clock.pass(20 * time.Minute)
	st, err = w.Status(t.Context(), w.key)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(st.Attention, "\n"), "not yet been told")

	w.app.set(func(a *app) { a.forget = nil })
	w.runOnce(time.Minute)
	assert.Equal(t, 1, w.app.committed[ada])
	w.runOnce(time.Hour)
	assert.Equal(t, 1, w.app.committed[ada])
	st, err = w.Status(t.Context(), w.key)
	require.NoError(t, err)
	assert.Zero(t, st.Undelivered)
}

func (w *workshop) runOnceAfter(d time.Duration) error {
	w.clock.pass(d)
	return w.RunOnce(w.t.Context())
}

// Holds go when their cause has, without anybody asking.
func TestA6AHoldGoesWithItsCause(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Policy.Domain = scim.GuestDomain })
	ada := w.person("ada")
	assert.Equal(t, scim.HeldForDomain, w.state(ada).Held)
	w.waits(1)
	w.runOnce(time.Minute)
	assert.Equal(t, scim.HeldForDomain, w.state(ada).Held)
	calls := w.app.count()
	w.runOnce(time.Minute)
	assert.Equal(t, calls, w.app.count())

	_, err := w.AssertDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	w.waits(1)
	w.runOnce(0)
	assert.Empty(t, w.state(ada).Held)
	assert.True(t, w.app.account(ada).Active)
}

// B6: grants that a request left to the worker are on their way, and arrive.
func TestB6DeferredGrantsArrive(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, func(c *scim.Config, o *directory.Options) { c.DeferGrants, o.Worker.Batch = 4, 5 })
	people := w.people(12)
	w.apply(byName("", "Engineers editor"))
	w.team("Engineers", people...)
	waiting, err := w.Waiting(t.Context(), w.key, "", 100)
	require.NoError(t, err)
	require.Len(t, waiting, 8, "beyond what a request does")
	assert.Equal(t, scim.PendingGrants, waiting[0].Pending)
	assert.Equal(t, []string{"new roles are on their way"}, waiting[0].Why)
	w.waits(8)
	require.NoError(t, w.RunOnce(t.Context()))
	for _, p := range people {
		assert.Equal(t, []string{"editor"}, w.app.roleNames(p))
	}
}

// E1: who waits for a seat is served in the order of coming, and no more of them
// than there are seats.
func TestE1SeatsGoToWhoHasWaitedLongest(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	people := w.people(5)
	since := []time.Duration{4, 1, 3, 0, 2} // hours
	require.NoError(t, w.store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		states, err := tx.UserStates(ctx, w.key, people)
		for i := range states {
			next := *states[i].Account
			next.Held, next.Active, next.Since = scim.HeldForSeat, false, w.clock.Now().Add(since[i]*time.Hour)
			err = errors.Join(err, tx.PutAccount(ctx, &next))
		}
		return err
	}))
	w.waits(5)
	w.app.set(func(a *app) { a.usage = scim.Usage{Seats: 1, SeatLimit: 1} })
	var asked []string
	w.hooks.onUserStates = func(users []string) { asked = append(asked, users...) }
	w.runOnce(time.Minute)
	assert.Empty(t, asked, "there is no seat")
	w.app.set(func(a *app) { a.usage.SeatLimit = 3 })
	w.runOnce(11 * time.Minute)
	assert.ElementsMatch(t, []string{people[3], people[1]}, asked, "two seats, for the two who came first")
}

// E2: a token is told of at 30, 7 and 1 days before it ends, and when it has,
// once each.
func TestE2TokensThatExpireAreToldOf(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	_, last := w.happened(0)
	told := map[int][]string{}
	for d := range 370 {
		w.runOnce(testDay)
		var names []string
		if names, last = w.happened(last); len(names) > 0 {
			told[d+1] = names
		}
	}
	assert.Equal(t, map[int][]string{
		335: {"token.expiring"},
		358: {"token.expiring", "directory.attention token"},
		364: {"token.expiring"},
		365: {"token.expired"},
	}, told)
	st, err := w.Status(t.Context(), w.key)
	require.NoError(t, err)
	assert.Equal(t, directory.NeedsAttention, st.Health)
	assert.Contains(t, strings.Join(st.Attention, "\n"), "expired at 2027-11-22")
}

// E2: a token that was replaced ends as it should; one that is used all the
// same is told of.
func TestE2AReplacedTokenIsToldOfWhileItIsUsed(t *testing.T) {
	t.Parallel()
	for name, used := range map[string]bool{"used": true, "not used": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, nil)
			tokens, err := w.Tokens(t.Context(), w.key)
			require.NoError(t, err)
			_, _, err = w.RotateToken(t.Context(), w.key, tokens[0].ID, 0)
			require.NoError(t, err)
			_, last := w.happened(0)
			w.clock.pass(6*testDay + 12*time.Hour)
			if used {
				require.Equal(t, http.StatusOK, w.get(w.secret))
			}
			w.runOnce(time.Minute)
			names, last := w.happened(last)
			if used {
				assert.Equal(t, []string{"token.expiring"}, names, "with a day left")
			} else {
				assert.Empty(t, names)
			}
			w.runOnce(testDay)
			names, _ = w.happened(last)
			assert.Equal(t, []string{"token.expired"}, names)
		})
	}
}

// E5: a provider with a rhythm that keeps silent is told of once, and again when
// it was heard of in between.
func TestE5Silence(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.update(func(d *directory.Directory) { d.Provider = scim.Entra })
	_, last := w.happened(0)
	w.runOnce(testDay)
	names, last := w.happened(last)
	assert.Empty(t, names, "it was never heard of: it is being set up")
	for range 2 {
		require.Equal(t, http.StatusOK, w.get(w.secret))
		w.runOnce(time.Hour)
		names, last = w.happened(last)
		assert.Empty(t, names, "a cycle is 40 minutes")
		for range 3 {
			w.runOnce(2 * time.Hour)
		}
		names, last = w.happened(last)
		assert.Equal(t, []string{"directory.attention silence"}, names)
		st, err := w.Status(t.Context(), w.key)
		require.NoError(t, err)
		assert.Contains(t, strings.Join(st.Attention, "\n"), "no request since")
		require.Equal(t, http.StatusOK, w.get(w.secret))
		w.runOnce(time.Hour)
	}
	require.NoError(t, w.Pause(t.Context(), w.key))
	_, last = w.happened(last)
	w.runOnce(testDay)
	names, last = w.happened(last)
	assert.Empty(t, names, "nobody expects requests of a paused directory")
	require.NoError(t, w.Enable(t.Context(), w.key))
	w.update(func(d *directory.Directory) { d.Provider = scim.Okta })
	_, last = w.happened(last)
	w.runOnce(300 * testDay)
	names, _ = w.happened(last)
	assert.Empty(t, names, "Okta has no rhythm of its own")
}

// E5: only failures, told of once until a request succeeds.
func TestE5OnlyFailures(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, func(_ *scim.Config, o *directory.Options) { o.Worker.Failures = 5 })
	fail := func(n int) {
		for range n {
			status, _ := w.send(http.MethodPost, "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]}`)
			require.Equal(t, http.StatusBadRequest, status)
		}
	}
	_, last := w.happened(0)
	fail(4)
	w.runOnce(time.Hour)
	names, last := w.happened(last)
	assert.Empty(t, names)
	for range 2 {
		fail(5)
		w.runOnce(time.Hour)
		w.runOnce(time.Hour)
		names, last = w.happened(last)
		assert.Equal(t, []string{"directory.attention failures"}, names)
		st, err := w.Status(t.Context(), w.key)
		require.NoError(t, err)
		assert.Contains(t, strings.Join(st.Attention, "\n"), "the last 5 requests all failed")
		require.Equal(t, http.StatusOK, w.get(w.secret))
		w.runOnce(time.Hour)
	}
}

// Tasks that are long over are forgotten; the request log and, where the host
// says so, events are pruned.
func TestRetention(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, func(_ *scim.Config, o *directory.Options) { o.Retention.Events = 200 * testDay })
	w.person("ada")
	task := w.apply(byName("viewer"))
	old, last := w.happened(0)
	w.runOnce(29 * testDay)
	_, err := w.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	w.runOnce(2 * testDay)
	_, err = w.Task(t.Context(), "acme", task.ID)
	require.ErrorIs(t, err, scim.ErrNotFound)

	log := func() int {
		entries, err := w.store.Requests(t.Context(), w.key, 1000)
		require.NoError(t, err)
		return len(entries)
	}
	assert.NotZero(t, log())
	w.runOnce(60 * testDay)
	assert.Zero(t, log(), "90 days by default")
	w.person("grace")
	kept, _ := w.happened(0)
	assert.Greater(t, len(kept), len(old))
	w.runOnce(120 * testDay)
	events, err := w.store.Events(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.NotEmpty(t, events)
	assert.Greater(t, events[0].Seq, last)

	forever := newWorkshop(t, func(_ *scim.Config, o *directory.Options) { o.Retention = directory.Retention{Requests: -1, Tasks: -1} })
	forever.person("ada")
	task = forever.apply(byName("viewer"))
	forever.runOnce(3000 * testDay)
	_, err = forever.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	entries, err := forever.store.Requests(t.Context(), forever.key, 1000)
	require.NoError(t, err)
	assert.NotEmpty(t, entries)
	events, err = forever.store.Events(t.Context(), "acme", 0, 1)
	require.NoError(t, err)
	assert.EqualValues(t, 1, events[0].Seq)
}

func TestNewRefusesAWorkerThatCannotWork(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*directory.WorkerOptions){
		"interval": func(o *directory.WorkerOptions) { o.Interval = -1 },
		"batch":    func(o *directory.WorkerOptions) { o.Batch = 501 },
		"lease":    func(o *directory.WorkerOptions) { o.Lease = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o directory.Options
			change(&o.Worker)
			_, err := directory.New(newStorage(scim.CoreTypes(), nil), nil, &o)
			require.ErrorContains(t, err, "Options.Worker")
		})
	}
}
