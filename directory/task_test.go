package directory_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// inBatchesOf makes tasks do so many people at once.
func inBatchesOf(n int) func(*scim.Config, *directory.Options) {
	return func(_ *scim.Config, o *directory.Options) { o.Worker.Batch = n }
}

// A process that is killed between two batches, or in one, leaves a task that
// another one goes on with.
func TestC5AnotherProcessGoesOnWithATask(t *testing.T) {
	t.Parallel()
	for name, killedAt := range map[string]int{"between batches": 10, "in a batch": 13, "in the first batch": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, inBatchesOf(5))
			people := w.people(23)
			w.team("Engineers", people...)
			task := w.set(byName("viewer", "Engineers editor"))

			ctx, kill := context.WithCancel(t.Context())
			n := 0
			w.app.before = func() {
				if n++; n == killedAt {
					kill()
				}
			}
			stopped, err := w.Work(ctx, "acme", task.ID)
			require.ErrorIs(t, err, context.Canceled)
			assert.False(t, stopped.State.Over())
			assert.Empty(t, stopped.Error, "that the process ended is no fault of the task")
			assert.Less(t, stopped.Done, 23)
			w.app.before = nil

			other := w.replica(inBatchesOf(5))
			seen, err := other.Task(t.Context(), "acme", task.ID)
			require.NoError(t, err)
			assert.Equal(t, stopped.Done, seen.Done, "how far it is is in the store")
			before := w.app.count()
			done, err := other.Work(t.Context(), "acme", task.ID)
			require.NoError(t, err)
			assert.Equal(t, directory.TaskDone, done.State)
			assert.Equal(t, [2]int{23, 23}, [2]int{done.Total, done.Done})
			assert.LessOrEqual(t, w.app.count()-before, 23-seen.Done, "what was done is not done again")
			for _, p := range people {
				assert.Equal(t, []string{"editor"}, w.app.roleNames(p))
			}
		})
	}
}

// A process that dies holds its task no longer than its lease.
func TestC5ALeaseRunsOut(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(5))
	people := w.people(10)
	task := w.set(byName("viewer"))
	other := w.replica(inBatchesOf(5))

	// While the first process is in its second batch, which it never finishes.
	hangs, goOn := make(chan struct{}), make(chan struct{})
	n := 0
	w.app.before = func() {
		if n++; n == 6 {
			close(hangs)
			<-goOn
		}
	}
	var group sync.WaitGroup
	var first error
	group.Go(func() { _, first = w.Work(t.Context(), "acme", task.ID) })
	<-hangs
	_, err := other.Work(t.Context(), "acme", task.ID)
	require.ErrorIs(t, err, directory.ErrBusy)
	seen, err := other.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskRunning, seen.State)
	assert.Equal(t, 5, seen.Done)

	w.clock.pass(time.Minute + time.Second)
	close(goOn) // it holds the tenant's lock until here: a store has only so many
	done, err := other.Work(t.Context(), "acme", task.ID)
	group.Wait()
	if errors.Is(err, directory.ErrBusy) { // it was quicker, and renewed its lease
		require.NoError(t, first)
	} else {
		require.NoError(t, err)
		assert.Equal(t, directory.TaskDone, done.State)
		if first != nil {
			require.ErrorIs(t, first, directory.ErrBusy)
		}
	}
	seen, err = w.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, seen.State)
	assert.Equal(t, 10, seen.Done)
	for _, p := range people {
		assert.Equal(t, []string{"viewer"}, w.app.roleNames(p))
	}
}

// A lease that another process has taken over is lost, whoever wakes up.
func TestC5WhoLostTheLeaseStops(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(5))
	w.people(10)
	task := w.set(byName("viewer"))
	other := w.replica(inBatchesOf(5))
	n := 0
	w.app.before = func() {
		if n++; n == 5 { // the end of the first batch: the clock of the other process is ahead
			w.clock.pass(2 * time.Minute)
		}
	}
	// Between the batch and the note that it is done, somebody else takes it.
	taken := false
	w.hooks.onPutTask = func() {
		if n >= 5 && !taken {
			taken = true
			_, err := other.Work(t.Context(), "acme", task.ID)
			assert.NoError(t, err)
		}
	}
	done, err := w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err, "it finds the task over")
	assert.True(t, taken)
	assert.Equal(t, directory.TaskDone, done.State)
	assert.Equal(t, 10, done.Done, "counted once")
}

// Two processes share the work of many tenants: everything is done, and no task
// by both at the same time.
func TestC5TwoProcessesShareTheWork(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(3))
	other := w.replica(inBatchesOf(3))
	var tasks []*directory.Task
	var people []string
	for _, tenant := range []string{"acme", "b", "c", "d", "e"} {
		if tenant != "acme" {
			w.key, w.secret = w.create(directory.Directory{Tenant: tenant, ID: "idp", Policy: scim.Policy{Domain: scim.AnyDomain}})
		}
		people = append(people, w.people(10)...)
		tasks = append(tasks, w.set(byName("viewer")))
	}
	var group sync.WaitGroup
	for _, process := range []*workshop{w, other, w, other} {
		group.Go(func() { assert.NoError(t, process.RunOnce(t.Context())) })
	}
	group.Wait()
	require.NoError(t, w.RunOnce(t.Context()))
	for _, task := range tasks {
		done, err := w.Task(t.Context(), task.Directory.Tenant, task.ID)
		require.NoError(t, err)
		assert.Equal(t, directory.TaskDone, done.State)
		assert.Equal(t, 10, done.Done, "each batch is counted once")
		assert.Equal(t, 10, done.Changed)
	}
	for _, p := range people {
		assert.Equal(t, []string{"viewer"}, w.app.roleNames(p))
	}
	assert.Equal(t, 2*len(people), w.app.count(), "each person is created, and told of the role once")
}

func TestC5ANewerMappingSupersedesTheTask(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(2))
	people := w.people(6)
	first := w.set(byName("viewer"))
	second := w.set(byName("editor"))
	over, err := w.Work(t.Context(), "acme", first.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskSuperseded, over.State)
	assert.Zero(t, over.Done)

	require.NoError(t, w.RunOnce(t.Context()))
	done, err := w.Task(t.Context(), "acme", second.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, done.State)
	assert.EqualValues(t, 2, done.Mapping)
	for _, p := range people {
		assert.Equal(t, []string{"editor"}, w.app.roleNames(p))
	}
	tasks, err := w.Tasks(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, tasks, 2)
	assert.Equal(t, second.ID, tasks[0].ID, "the newest first")
}

// A newer mapping stops a task that is under way.
func TestC5ANewerMappingStopsTheTaskUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(2))
	people := w.people(6)
	first := w.set(byName("viewer"))
	batches := 0
	w.hooks.onPutTask = func() {
		if batches++; batches == 3 { // the lease, and the first batches
			w.hooks.onPutTask = nil
			w.set(byName("editor"))
		}
	}
	over, err := w.Work(t.Context(), "acme", first.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskSuperseded, over.State)
	assert.Less(t, over.Done, 6)
	require.NoError(t, w.RunOnce(t.Context()))
	for _, p := range people {
		assert.Equal(t, []string{"editor"}, w.app.roleNames(p))
	}
}

var errNotHim = &scim.Error{Status: http.StatusForbidden, Detail: "the application does not take this person"}

// One person whom the application does not take keeps nobody else waiting, and
// is tried again.
func TestC5OnePersonKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(8))
	people := w.people(20)
	task := w.set(byName("viewer"))
	refused := people[5]
	w.app.set(func(a *app) {
		a.refuse = func(account *scim.Account) error {
			if account.ID == refused {
				return errNotHim
			}
			return nil
		}
	})
	stopped, err := w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskWaiting, stopped.State)
	assert.Equal(t, []string{refused}, stopped.Users, "only this one is left")
	assert.Equal(t, 19, stopped.Done)
	for i, p := range people {
		assert.Equal(t, i != 5, slices.Equal(w.app.roleNames(p), []string{"viewer"}))
	}
	// Not before it is time.
	require.NoError(t, w.RunOnce(t.Context()))
	seen, err := w.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, stopped, seen)

	w.app.set(func(a *app) { a.refuse = nil })
	w.clock.pass(time.Minute)
	require.NoError(t, w.RunOnce(t.Context()))
	seen, err = w.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, seen.State)
	assert.Equal(t, 20, seen.Done)
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(refused))
}

func TestC5ATaskFailsForThoseWhomTheApplicationNeverTakes(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(8))
	people := w.people(9)
	task := w.set(byName("viewer"))
	w.app.set(func(a *app) {
		a.refuse = func(account *scim.Account) error {
			if account.ID == people[3] {
				return errNotHim
			}
			return nil
		}
	})
	for range 10 {
		require.NoError(t, w.RunOnce(t.Context()))
		w.clock.pass(11 * time.Minute)
	}
	seen, err := w.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskFailed, seen.State)
	assert.Equal(t, []directory.TaskFailure{{User: people[3], Error: errNotHim.Detail}}, seen.Failures)
	st, err := w.Status(t.Context(), w.key)
	require.NoError(t, err)
	assert.Equal(t, directory.NeedsAttention, st.Health)
	assert.Contains(t, st.Attention[0], "1 account")
}

// When nobody can be done it is not people's fault: the task waits, longer each
// time, and nothing internal is told.
func TestC5ATaskWaitsForAnApplicationThatIsDown(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]error{
		"it says so":     &scim.Error{Status: http.StatusServiceUnavailable, Detail: "the application is being updated"},
		"it fails":       errors.New("dial tcp 10.0.0.7:5432: connection refused"),
		"it fails often": &scim.Error{Status: http.StatusForbidden, Detail: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, nil)
			w.people(60)
			task := w.set(byName("viewer"))
			w.app.set(func(a *app) { a.refuse = func(*scim.Account) error { return down } })
			var pauses []time.Duration
			for range 9 {
				stopped, err := w.Work(t.Context(), "acme", task.ID)
				require.Error(t, err)
				assert.Equal(t, directory.TaskWaiting, stopped.State)
				assert.NotContains(t, stopped.Error, "10.0.0.7")
				assert.NotEmpty(t, stopped.Error)
				assert.Zero(t, stopped.Done)
				pauses = append(pauses, stopped.Next.Sub(w.clock.Now()))
				w.clock.pass(stopped.Next.Sub(w.clock.Now()))
			}
			assert.True(t, slices.IsSorted(pauses), "%v", pauses)
			assert.Equal(t, 10*time.Second, pauses[0])
			assert.Equal(t, 10*time.Minute, pauses[8])
			w.app.set(func(a *app) { a.refuse = nil })
			done, err := w.Work(t.Context(), "acme", task.ID)
			require.NoError(t, err)
			assert.Equal(t, directory.TaskDone, done.State)
			assert.Empty(t, done.Error)
			assert.Equal(t, 60, done.Changed)
		})
	}
}

func TestB9RetiringGivesUpEverybody(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(3))
	people := w.people(10)
	w.team("Engineers", people[:4]...)
	w.apply(byName("viewer", "Engineers editor"))
	pending := w.set(byName("editor"))
	task, err := w.Retire(t.Context(), w.key, scim.DeactivateAll)
	require.NoError(t, err)
	done, err := w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, done.State)
	assert.Equal(t, 10, done.Done)
	for _, p := range people {
		assert.False(t, w.app.account(p).Active)
	}
	over, err := w.Task(t.Context(), "acme", pending.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskSuperseded, over.State, "there is nobody left to apply it to")
	page, err := w.store.List(t.Context(), &scim.Query{Directory: w.key, Type: scim.CoreTypes().Type("Group"), StartIndex: 1, Count: 1})
	require.NoError(t, err)
	assert.Zero(t, page.Total, "groups are gone too")
}

func TestB12ResyncTellsTheApplicationAgain(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, inBatchesOf(3))
	people := w.people(8)
	w.setActive(people[0], false)
	w.do(http.MethodDelete, "/Users/"+people[1], "")
	w.app.set(func(a *app) { clear(a.accounts) }) // its tables are lost
	task, err := w.Resync(t.Context(), w.key, people[2], people[1], people[2], "unknown")
	require.NoError(t, err)
	assert.Equal(t, 3, task.Total)
	done, err := w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, done.State)
	assert.Len(t, w.app.accounts, 1, "who is gone is left out")
	assert.Equal(t, scim.Resynced, w.app.account(people[2]).Change)

	task, err = w.Resync(t.Context(), w.key)
	require.NoError(t, err)
	require.NoError(t, w.RunOnce(t.Context()))
	done, err = w.Task(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, done.State)
	assert.Len(t, w.app.accounts, 7)
	assert.False(t, w.app.account(people[0]).Active)

	_, err = w.Resync(t.Context(), scim.Key{Tenant: "globex", Directory: "idp"})
	require.ErrorIs(t, err, scim.ErrNotFound)
	_, err = w.Resync(t.Context(), w.key, make([]string, 10_001)...)
	require.Error(t, err)
}

func TestTasksAreATenantsOwn(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	task := w.set(byName("viewer"))
	for _, try := range []func() error{
		func() error { _, err := w.Task(t.Context(), "globex", task.ID); return err },
		func() error { _, err := w.Work(t.Context(), "globex", task.ID); return err },
		func() error { _, err := w.Task(t.Context(), "acme", "unknown"); return err },
		func() error { _, err := w.Task(t.Context(), "acme", "upkeep"); return err },
	} {
		require.ErrorIs(t, try(), scim.ErrNotFound)
	}
	tasks, err := w.Tasks(t.Context(), "globex")
	require.NoError(t, err)
	assert.Empty(t, tasks)
}
