package directory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	scim "github.com/muster-id/scim"
)

// A TaskKind says what a [Task] does.
type TaskKind string

// The kinds of tasks.
const (
	TaskReconcile    TaskKind = "reconcile"     // the accounts of a directory are worked out anew: a domain, a switch, a policy has changed
	TaskApplyMapping TaskKind = "apply-mapping" // the same, for a new mapping (rule C5)
	TaskResync       TaskKind = "resync"        // the same, and everybody is told, whether or not something has changed (rule B12)
	TaskRetire       TaskKind = "retire"        // the accounts of a retired directory are given up (rule B9)
)

// A TaskState says how far a [Task] is.
type TaskState string

// The states of tasks.
const (
	TaskWaiting    TaskState = "waiting"    // for its turn, or for Next
	TaskRunning    TaskState = "running"    // somebody is at it
	TaskDone       TaskState = "done"       // everybody
	TaskFailed     TaskState = "failed"     // everybody but Failures
	TaskSuperseded TaskState = "superseded" // a newer task does it all
)

// Over reports whether nothing more will be done.
func (s TaskState) Over() bool { return s == TaskDone || s == TaskFailed || s == TaskSuperseded }

// A Task is work about the people of a directory that goes on after what caused
// it: batch after batch in order of the users' ids, each a transaction of its
// own, so that other requests of the tenant get their turn. How far it is is
// kept in the store. If the process ends, another one goes on; a batch that is
// done twice has the same result. [Service.Run] works tasks off in the
// background, [Service.Work] one of them here and now.
//
// Who arrives while a task is under way is provisioned under the new state
// already; who changes is worked out by whichever comes last, with one result.
type Task struct {
	ID        string    `json:"id"`
	Directory scim.Key  `json:"directory"`
	Kind      TaskKind  `json:"kind"`
	State     TaskState `json:"state"`

	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`

	Total   int `json:"total"`   // people, as counted when it began; at the end, those looked at
	Done    int `json:"done"`    // of them
	Changed int `json:"changed"` // accounts that are not what they were

	// Failures are people whom the application would not take, tried again
	// several times before the task counts as failed. They keep nobody else
	// waiting.
	Failures []TaskFailure `json:"failures,omitempty"`

	// Error says in plain words why the task stopped last, "" if it did not. It
	// goes on at Next, which is later after each attempt.
	Error    string    `json:"error,omitempty"`
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`

	Mapping uint64          `json:"mapping,omitempty"` // the version that TaskApplyMapping applies
	How     scim.Retirement `json:"how,omitempty"`     // what TaskRetire does
	Users   []string        `json:"users,omitempty"`   // those it is about, in order of id; none: everybody in the directory
}

// A TaskFailure is a person whose account could not be brought up to date.
type TaskFailure struct {
	User  string `json:"user"`
	Error string `json:"error"` // in plain words; the cause is logged
}

// ErrBusy says that another process is at the task, and will finish it.
var ErrBusy = errors.New("directory: another process is at this task")

// A taskRecord is a task as it is kept.
type taskRecord struct {
	Task
	Lease lease `json:"lease,omitzero"`

	// After is the last user of the batches that are done, Failed those to be
	// tried again once all are.
	After string `json:"after,omitempty"`

	version uint64
}

// A lease makes a record one worker's until it runs out. It is taken, renewed
// and given up by changing the record's version, so two never hold it; a worker
// that finds its record changed has lost it.
type lease struct {
	Owner string    `json:"owner,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// take makes the lease the owner's; false: somebody else holds it.
func (l *lease) take(owner string, now time.Time, length time.Duration) bool {
	if l.Owner != "" && l.Owner != owner && isAhead(l.Until, now, length) {
		return false
	}
	*l = lease{owner, now.Add(length)}
	return true
}

// isAhead reports whether a time is still to come that was set at most length
// ahead. One that is much farther away was set by a clock that was wrong, and is
// not waited for.
func isAhead(t, now time.Time, length time.Duration) bool {
	left := t.Sub(now)
	return left > 0 && left <= length+clocksDiffer
}

const (
	failuresKept  = 1000             // more are a fault of the application, not of people
	failuresTried = 6                // passes over them
	failuresAtOnc = 20               // in one batch
	firstPause    = 10 * time.Second // after the first failure; doubled each time
	longestPause  = 10 * time.Minute
)

func pause(attempts int) time.Duration {
	p := firstPause
	for ; attempts > 1 && p < longestPause; attempts-- {
		p *= 2
	}
	return min(p, longestPause)
}

// enqueue stores a new task in the transaction of the context, to be done after
// its commit, and returns it with its ID. Unfinished tasks whose work it
// includes are superseded.
func (s *Service) enqueue(ctx context.Context, tx scim.Tx, t Task) (*Task, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	tally, err := tx.Tally(ctx)
	if err != nil {
		return nil, err
	}
	t.ID, t.Created, t.State = id.String(), s.now(), TaskWaiting
	t.Total = tally.Directories[t.Directory.Directory].Accounts
	if len(t.Users) > 0 {
		t.Total = len(t.Users)
	}
	older, err := s.tasks(ctx, t.Directory.Tenant)
	if err != nil {
		return nil, err
	}
	for _, old := range older {
		if old.State.Over() || !t.includes(&old.Task) {
			continue
		}
		old.State, old.Finished, old.Lease = TaskSuperseded, s.now(), lease{}
		if err := s.save(ctx, old); err != nil {
			return nil, err
		}
	}
	if _, err := s.put(ctx, taskKey(t.Directory.Tenant, t.ID), 0, &taskRecord{Task: t}); err != nil {
		return nil, err
	}
	s.worker.wake(t.Directory.Tenant)
	return &t, nil
}

// includes reports whether the task, done from its beginning, does all that the
// older one would.
func (t *Task) includes(old *Task) bool {
	if t.Directory != old.Directory || len(t.Users) > 0 {
		return false
	}
	switch t.Kind {
	case TaskRetire:
		return true
	case TaskResync:
		return old.Kind != TaskRetire
	case TaskReconcile, TaskApplyMapping:
		return old.Kind == TaskReconcile || old.Kind == TaskApplyMapping && t.Kind == TaskApplyMapping
	}
	return false
}

// Task returns a task of the tenant. The error wraps [scim.ErrNotFound] if
// there is none; finished ones are forgotten after [Retention].Tasks.
func (s *Service) Task(ctx context.Context, tenant, id string) (*Task, error) {
	r, err := s.task(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	return &r.Task, nil
}

// Tasks returns the tenant's tasks, the newest first.
func (s *Service) Tasks(ctx context.Context, tenant string) ([]*Task, error) {
	all, err := s.tasks(ctx, tenant)
	if err != nil {
		return nil, err
	}
	tasks := make([]*Task, len(all))
	for i, r := range all {
		tasks[len(all)-1-i] = &r.Task
	}
	return tasks, nil
}

func taskKey(tenant, id string) RecordKey { return RecordKey{tenant, KindTask, id} }

func (s *Service) task(ctx context.Context, tenant, id string) (*taskRecord, error) {
	if id == upkeepID {
		return nil, fmt.Errorf("%w: task %q", scim.ErrNotFound, id)
	}
	r, err := s.store.Record(ctx, taskKey(tenant, id))
	if err != nil {
		return nil, err
	}
	return decodeTask(r)
}

func decodeTask(r *Record) (*taskRecord, error) {
	d, err := decode[taskRecord](r)
	if err != nil {
		return nil, err
	}
	d.Value.version = d.Version
	return &d.Value, nil
}

// tasks returns all tasks of the tenant, the oldest first.
func (s *Service) tasks(ctx context.Context, tenant string) ([]*taskRecord, error) {
	var found []*taskRecord
	for r, err := range s.records(ctx, tenant, KindTask) {
		if err != nil {
			return nil, err
		}
		if r.ID == upkeepID {
			continue
		}
		t, err := decodeTask(r)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	return found, nil
}

// save stores a task that is the caller's. The error wraps [ErrConflict] if it
// no longer is.
func (s *Service) save(ctx context.Context, r *taskRecord) (err error) {
	r.version, err = s.put(ctx, taskKey(r.Directory.Tenant, r.ID), r.version, r)
	return err
}

// Work does a task here and now, or what is left of it, and returns it as it is
// then. An error is why it stopped: it goes on from there when Work is called
// again, or in [Service.Run]. The error wraps [ErrBusy] if somebody else is at
// it, and the context's error if that ended: the batch under way has then been
// rolled back. A task that is over is returned as it is.
func (s *Service) Work(ctx context.Context, tenant, id string) (*Task, error) {
	return s.work(ctx, tenant, id, 0)
}

// errTurn: the task goes on when other tenants have had their turn.
var errTurn = errors.New("directory: the task has had its turn")

// work is Work for a time, 0 for as long as it takes. The error is errTurn if
// that was too short.
func (s *Service) work(ctx context.Context, tenant, id string, length time.Duration) (*Task, error) {
	r, err := s.task(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	owner := uuid.NewString()
	for !r.State.Over() {
		if err := ctx.Err(); err != nil {
			return &r.Task, err
		}
		if !r.Lease.take(owner, s.now(), s.o.Worker.Lease) {
			return &r.Task, ErrBusy
		}
		if r.State != TaskRunning {
			r.State, r.Next = TaskRunning, time.Time{}
		}
		if r.Started.IsZero() {
			r.Started = s.now()
		}
		err := s.save(ctx, r)
		if err == nil {
			err = s.workOn(ctx, r, length)
		}
		switch {
		case errors.Is(err, ErrConflict):
			// Superseded, or taken over after the lease ran out.
			if r, err = s.task(ctx, tenant, id); err != nil {
				return nil, err
			}
			if !r.State.Over() && r.Lease.Owner != owner {
				return &r.Task, ErrBusy
			}
		case err != nil:
			return &r.Task, s.stop(ctx, r, err)
		case r.State == TaskWaiting: // for another pass over the failures
			return &r.Task, nil
		}
	}
	return &r.Task, nil
}

// stop gives the task up for now. It returns the reason.
func (s *Service) stop(ctx context.Context, r *taskRecord, reason error) error {
	r.State, r.Lease = TaskWaiting, lease{}
	if ctx.Err() == nil && !errors.Is(reason, errTurn) { // a process that ends is no fault of the task
		r.Attempts++
		r.Error, r.Next = plainly(reason), s.now().Add(pause(r.Attempts))
		s.log.ErrorContext(ctx, "directory: a task stopped and will go on", "tenant", r.Directory.Tenant, "directory", r.Directory.Directory,
			"task", r.ID, "kind", string(r.Kind), "done", r.Done, "next", r.Next, "error", reason)
	}
	// If this fails the lease runs out.
	if err := s.save(context.WithoutCancel(ctx), r); err != nil && !errors.Is(err, ErrConflict) {
		s.log.WarnContext(ctx, "directory: a task could not be given up before its lease runs out", "tenant", r.Directory.Tenant, "task", r.ID, "error", err)
	}
	return reason
}

// workOn does batches of the task until it is over, and keeps how far it is
// after each.
func (s *Service) workOn(ctx context.Context, r *taskRecord, length time.Duration) error {
	began := time.Now()
	for {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case length > 0 && time.Since(began) >= length:
			return errTurn
		}
		users, err := s.nextBatch(ctx, r)
		if err != nil {
			return err
		}
		if users == nil {
			if err := s.finish(ctx, r); err != nil {
				return err
			}
			s.endPass(r)
			return s.save(ctx, r)
		}
		d, err := s.serving(ctx, r.Directory)
		if isNotFound(err) { // the directory is gone, and with it the task
			r.State, r.Finished, r.Lease = TaskSuperseded, s.now(), lease{}
			return s.save(ctx, r)
		}
		if err != nil {
			return err
		}
		changed, failed, err := s.perform(ctx, r, d, users.ids)
		if err != nil {
			return err
		}
		r.After, r.Done, r.Changed = users.last, r.Done+len(users.ids), r.Changed+changed
		r.Failures = append(r.Failures, failed...)
		if len(r.Failures) > failuresKept {
			return fmt.Errorf("directory: more than %d people could not be brought up to date, the last one: %s", failuresKept, failed[len(failed)-1].Error)
		}
		r.Error, r.Attempts = "", r.Attempts*min(1, len(r.Failures)) // it goes on
		r.Lease.Until = s.now().Add(s.o.Worker.Lease)
		// The batch is done, also if the process is about to end.
		if err := s.save(context.WithoutCancel(ctx), r); err != nil {
			return err
		}
	}
}

// finish does what is left to be done once everybody is.
func (s *Service) finish(ctx context.Context, r *taskRecord) error {
	if r.Kind != TaskRetire || len(r.Failures) > 0 {
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := s.serving(ctx, r.Directory)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := s.engine.RetireRest(ctx, d, s.o.Worker.Batch)
		if err != nil || n < s.o.Worker.Batch {
			return err
		}
	}
}

// endPass finishes the task, or lets those who failed have another turn.
func (s *Service) endPass(r *taskRecord) {
	r.Lease, r.Finished, r.State = lease{}, s.now(), TaskDone
	r.Total, r.Error, r.Next = max(r.Done, 0), "", time.Time{}
	if len(r.Failures) == 0 {
		return
	}
	r.Attempts++
	if r.Attempts >= failuresTried {
		r.State = TaskFailed
		return
	}
	r.State, r.Finished, r.After = TaskWaiting, time.Time{}, ""
	r.Next = s.now().Add(pause(r.Attempts))
	r.Users = make([]string, len(r.Failures))
	for i, f := range r.Failures {
		r.Users[i] = f.User
	}
	slices.Sort(r.Users)
	r.Done -= len(r.Users)
	r.Failures = nil
}

// A batch is people to be done in one transaction.
type batch struct {
	ids  []string
	last string // where the next one begins after
}

// nextBatch returns who is next, nil if nobody is left.
func (s *Service) nextBatch(ctx context.Context, r *taskRecord) (*batch, error) {
	if len(r.Users) > 0 {
		at, found := slices.BinarySearch(r.Users, r.After)
		if found {
			at++
		}
		rest := r.Users[at:]
		if len(rest) == 0 {
			return nil, nil
		}
		ids := rest[:min(len(rest), s.o.Worker.Batch)]
		return &batch{slices.Clone(ids), ids[len(ids)-1]}, nil
	}
	accounts, err := s.store.Accounts(ctx, r.Directory, r.After, s.o.Worker.Batch)
	if err != nil || len(accounts) == 0 {
		return nil, err
	}
	b := &batch{last: accounts[len(accounts)-1].User.ID}
	for _, a := range accounts {
		if a.Unmanaged || a.Deleted && !a.Waits() {
			continue // nothing to be done, now or ever
		}
		b.ids = append(b.ids, a.User.ID)
	}
	return b, nil
}

// perform does a batch: in one transaction, or, if somebody in it cannot be
// done, in smaller ones until that person is alone.
func (s *Service) perform(ctx context.Context, r *taskRecord, d *scim.Directory, users []string) (changed int, failed []TaskFailure, err error) {
	if len(users) == 0 {
		return 0, nil, nil
	}
	n, err := s.performAll(ctx, r, d, users)
	switch {
	case err == nil:
		return n, nil, nil
	case ctx.Err() != nil, isOutage(err):
		return 0, nil, err
	case len(users) == 1:
		if isNotFound(err) { // deleted meanwhile
			return 0, nil, nil
		}
		s.log.ErrorContext(ctx, "directory: an account could not be brought up to date", "tenant", r.Directory.Tenant,
			"directory", r.Directory.Directory, "user", users[0], "task", r.ID, "error", err)
		return 0, []TaskFailure{{users[0], plainly(err)}}, nil
	}
	for half := range slices.Chunk(users, (len(users)+1)/2) {
		n, f, err := s.perform(ctx, r, d, half)
		if err != nil {
			return 0, nil, err
		}
		changed, failed = changed+n, append(failed, f...)
		if len(failed) > failuresAtOnc {
			return 0, nil, fmt.Errorf("directory: more than %d people in one batch could not be brought up to date, the last one: %s", failuresAtOnc, failed[len(failed)-1].Error)
		}
	}
	return changed, failed, nil
}

func (s *Service) performAll(ctx context.Context, r *taskRecord, d *scim.Directory, users []string) (changed int, err error) {
	if r.Kind == TaskRetire {
		return len(users), s.engine.Retire(ctx, d, r.How, users...)
	}
	changed, err = s.engine.Reconcile(ctx, d, users...)
	if err != nil || r.Kind != TaskResync {
		return changed, err
	}
	existing, err := s.existing(ctx, r.Directory, users)
	if err != nil || len(existing) == 0 {
		return changed, err
	}
	return changed, s.engine.Resync(ctx, d, existing...)
}

// existing returns those of the users that are there: one that was deleted has
// nothing to be told again.
func (s *Service) existing(ctx context.Context, key scim.Key, users []string) (existing []string, err error) {
	err = s.store.Do(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		people, err := tx.UserStates(ctx, key, users)
		if err != nil {
			return err
		}
		existing = nil
		for i := range people {
			if people[i].User != nil {
				existing = append(existing, users[i])
			}
		}
		return nil
	})
	return existing, err
}

// serving returns the directory as requests are served with it now.
func (s *Service) serving(ctx context.Context, key scim.Key) (*scim.Directory, error) {
	tally, err := s.store.Tally(ctx, key.Tenant)
	if err != nil {
		return nil, err
	}
	return s.Current(ctx, tally, key)
}

// isOutage reports whether an error would meet everybody: the application or
// the store does not answer.
func isOutage(err error) bool {
	if errors.Is(err, scim.ErrUnavailable) {
		return true
	}
	e, ok := errors.AsType[*scim.Error](err)
	return ok && e.Status == http.StatusServiceUnavailable
}

// plainly returns what an administrator may read of an error: what the
// library or the application says to clients, nothing internal.
func plainly(err error) string {
	if e, ok := errors.AsType[*scim.Error](err); ok && e.Detail != "" {
		return e.Detail
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "the application or its store did not answer in time"
	case errors.Is(err, scim.ErrNotFound):
		return "the directory or the person is gone"
	}
	return "the application or its store could not do it; the cause is in the application's log"
}
