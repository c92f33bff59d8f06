package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	scim "github.com/muster-id/scim"
)

// WorkerOptions holds how [Service.Run] works. Zero fields are the defaults.
type WorkerOptions struct {
	// Interval is how long it rests after it has looked at every tenant, 30
	// seconds by default, a half more or less. What is begun by this process is
	// not waited for.
	Interval time.Duration

	// Concurrency is how many tenants are worked for at the same time, 4 by
	// default.
	Concurrency int

	// Batch is how many people a task does in one transaction, during which
	// writes of the tenant wait: 500 by default and at most.
	Batch int

	// Lease is how long a worker that is not heard of keeps others from its
	// task, a minute by default. It must last for a batch: a lease that runs out
	// earlier costs work done twice.
	Lease time.Duration

	// Upkeep is how often a tenant's tokens, silence, usage and old records are
	// looked at, 10 minutes by default.
	Upkeep time.Duration

	// Rhythm is how long each provider may be silent before that is an alarm
	// (rule E5); 0: for ever. Providers that are not in it have the default, which
	// is 2 hours for Entra, three of its cycles, and for ever for all others:
	// they send what changes when it changes.
	Rhythm map[scim.Dialect]time.Duration

	// Failures is how many requests in a row, none of them successful, are an
	// alarm (rule E5): 20 by default.
	Failures int
}

// Retention is how long is kept what would grow for ever. Zero fields are the
// defaults, negative ones mean for ever.
type Retention struct {
	Events   time.Duration // for ever by default: they are the audit trail
	Requests time.Duration // the request log: 90 days
	Tasks    time.Duration // tasks that are over: 30 days
}

const (
	mostBatch       = 500
	defaultRequests = 90 * day
	defaultTasks    = 30 * day

	// turn is how long a tenant's tasks are worked on before other tenants have
	// their turn.
	turn = 30 * time.Second
)

func (o *WorkerOptions) resolve() error {
	if o.Interval < 0 || o.Concurrency < 0 || o.Batch < 0 || o.Batch > mostBatch || o.Lease < 0 || o.Upkeep < 0 || o.Failures < 0 {
		return fmt.Errorf("directory: Options.Worker: no field is negative, and Batch is %d at most", mostBatch)
	}
	orElse(&o.Interval, 30*time.Second)
	orElse(&o.Concurrency, 4)
	orElse(&o.Batch, mostBatch)
	orElse(&o.Lease, time.Minute)
	orElse(&o.Upkeep, 10*time.Minute)
	orElse(&o.Failures, 20)
	return nil
}

func (o *Retention) resolve() {
	orElse(&o.Events, -1)
	orElse(&o.Requests, defaultRequests)
	orElse(&o.Tasks, defaultTasks)
}

func orElse[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// A worker is what the calls of Run of a service share.
type worker struct {
	woken chan string // tenants that have something to do

	mu    sync.Mutex
	tried map[string]attempt // when the waiting accounts of a tenant were looked at last
}

// wokenTenants bounds the tenants that wait to be worked for out of turn; others
// have to wait for theirs.
const wokenTenants = 1 << 10

func newWorker() *worker {
	return &worker{woken: make(chan string, wokenTenants), tried: map[string]attempt{}}
}

// wake lets Run work for a tenant without waiting for its turn.
func (w *worker) wake(tenant string) {
	select {
	case w.woken <- tenant:
	default:
	}
}

// Run does in the background, for all tenants, whatever is to be done, until
// the context ends; then it returns nil. It
//
//   - works tasks off, and goes on with those of processes that have ended;
//   - repeats calls of [scim.Committer] that failed (rule B6);
//   - works out waiting accounts whose cause may be gone (rules A6, B6, B7, E1);
//   - tells of tokens that expire (rule E2) and of silence (rule E5);
//   - files the usage of days (rule E1) and the use of tokens ([Service.Flush]);
//   - removes what is older than [Retention] says.
//
// Any number of processes may run it: each task, and each tenant's upkeep, is
// one process's at a time. What fails is logged and tried again later; it stops
// neither Run nor other tenants. When the context ends the batch under way is
// rolled back, and the next process goes on with it.
//
// Where it runs, [scim.Config.DeferGrants] may be set: 1,000 is a good value.
//
// A host that has no place for a goroutine calls [Service.RunOnce] from time to
// time instead. Where neither is called tasks wait, which [Service.Status] says.
func (s *Service) Run(ctx context.Context) error {
	turns := make(chan struct{}, s.o.Worker.Concurrency)
	var group sync.WaitGroup
	group.Go(func() { s.workWoken(ctx, turns) })
	for {
		_ = s.round(ctx, turns) // logged
		select {
		case <-ctx.Done():
			group.Wait()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
			defer cancel()
			_ = s.reportFlush(last) // logged
			return nil
		case <-time.After(s.o.Worker.Interval/2 + rand.N(s.o.Worker.Interval)):
		}
	}
}

// RunOnce does what is due for all tenants now and returns what went wrong,
// which is logged too. Tasks that take longer than half a minute for one tenant
// are gone on with in the next call.
func (s *Service) RunOnce(ctx context.Context) error {
	return s.round(ctx, make(chan struct{}, s.o.Worker.Concurrency))
}

// RunTenant does what is due for one tenant now, for a host that divides its
// tenants among jobs of its own.
func (s *Service) RunTenant(ctx context.Context, tenant string) error { return s.tend(ctx, tenant) }

// workWoken works for tenants out of turn.
func (s *Service) workWoken(ctx context.Context, turns chan struct{}) {
	var group sync.WaitGroup
	defer group.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case tenant := <-s.worker.woken:
			select {
			case <-ctx.Done():
				return
			case turns <- struct{}{}:
			}
			group.Go(func() {
				defer func() { <-turns }()
				// The transaction that woke us may not have committed yet: after
				// this one it has.
				err := s.store.Do(ctx, tenant, func(context.Context, scim.Tx) error { return nil })
				if err == nil {
					_ = s.attend(ctx, tenant, "tasks", s.workTasks) // logged
				}
			})
		}
	}
}

// tenantsAtOnce is how many names of tenants are read at once.
const tenantsAtOnce = 500

// round works for every tenant in turn.
func (s *Service) round(ctx context.Context, turns chan struct{}) error {
	var mu sync.Mutex
	var failed []error
	fail := func(err error) {
		const most = 100
		mu.Lock()
		defer mu.Unlock()
		if err != nil && len(failed) < most {
			failed = append(failed, err)
		}
	}
	fail(s.reportFlush(ctx))
	var group sync.WaitGroup
	after := ""
	for {
		tenants, err := s.store.Tenants(ctx, after, tenantsAtOnce)
		if err != nil {
			if ctx.Err() == nil {
				s.log.ErrorContext(ctx, "directory: the worker could not read which tenants there are", "error", err)
			}
			fail(err)
			break
		}
		for _, tenant := range tenants {
			select {
			case <-ctx.Done():
			case turns <- struct{}{}:
				group.Go(func() {
					defer func() { <-turns }()
					fail(s.tend(ctx, tenant))
				})
			}
			after = tenant
		}
		if len(tenants) < tenantsAtOnce || ctx.Err() != nil {
			break
		}
	}
	group.Wait()
	fail(ctx.Err())
	return errors.Join(failed...)
}

func (s *Service) reportFlush(ctx context.Context) error {
	err := s.Flush(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "directory: the use of tokens could not be written and is kept for the next time", "error", err)
	}
	return err
}

// tend does all that is due for one tenant.
func (s *Service) tend(ctx context.Context, tenant string) error {
	return errors.Join(
		s.attend(ctx, tenant, "tasks", s.workTasks),
		s.attend(ctx, tenant, "deliveries", s.redeliver),
		s.attend(ctx, tenant, "waiting accounts", s.workWaiting),
		s.attend(ctx, tenant, "upkeep", s.upkeep),
	)
}

// attend does one thing for a tenant, and survives and logs whatever comes of
// it.
func (s *Service) attend(ctx context.Context, tenant, what string, do func(context.Context, string) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "directory: the worker failed for a tenant and will try again", "tenant", tenant, "work", what, "error", err)
		}
		if err != nil {
			err = fmt.Errorf("directory: tenant %q: %s: %w", tenant, what, err)
		}
	}()
	if err := ctx.Err(); err != nil {
		return err
	}
	return do(ctx, tenant)
}

// workTasks works on the tasks that are due, the oldest first.
func (s *Service) workTasks(ctx context.Context, tenant string) error {
	tasks, err := s.tasks(ctx, tenant)
	if err != nil {
		return err
	}
	began := time.Now()
	var failed []error
	for _, t := range tasks {
		if !t.due(s.now(), s.o.Worker.Lease) {
			continue
		}
		left := turn - time.Since(began)
		if left <= 0 {
			s.worker.wake(tenant)
			break
		}
		switch _, err := s.work(ctx, tenant, t.ID, left); {
		case errors.Is(err, errTurn):
			s.worker.wake(tenant)
		case err != nil && !errors.Is(err, ErrBusy):
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// due reports whether it is time for somebody to take the task.
func (r *taskRecord) due(now time.Time, length time.Duration) bool {
	return !r.State.Over() && !isAhead(r.Next, now, longestPause) && (r.Lease.Owner == "" || !isAhead(r.Lease.Until, now, length))
}

// redeliver repeats calls of Committed. Those that are less than a minute old
// are left to the requests that make them.
func (s *Service) redeliver(ctx context.Context, tenant string) error {
	owed, err := s.store.Undelivered(ctx, tenant, s.now().Add(-time.Minute), 1)
	if err != nil || len(owed) == 0 {
		return err
	}
	return s.alone(ctx, tenant, func(ctx context.Context, _ *upkeep) error {
		tally, err := s.store.Tally(ctx, tenant)
		if err != nil {
			return err
		}
		directories, err := s.readDirectories(ctx, tenant, tally.Revision)
		if err != nil {
			return err
		}
		for _, d := range directories {
			if d.err != nil {
				return d.err // to answer that it is gone would be to forget what is owed
			}
		}
		_, err = s.engine.DeliverPending(ctx, tenant, func(key scim.Key) *scim.Directory { return directories[key.Directory].Directory })
		return err
	})
}

// An upkeep is what the worker remembers of a tenant. It is kept with the tasks,
// under an ID that is none of theirs.
type upkeep struct {
	Lease lease     `json:"lease,omitzero"`
	Ran   time.Time `json:"ran,omitzero"` // when all of it was done last

	// Tokens is what was told last of each token that is about to expire, the
	// days left, by the token's id; 0: that it has expired.
	Tokens map[string]int `json:"tokens,omitempty"`

	// Alarms are what was told of each directory and is still so.
	Alarms map[string][]string `json:"alarms,omitempty"`

	// Pruned is the last event that was removed.
	Pruned uint64 `json:"pruned,omitempty"`

	version uint64
}

const upkeepID = "upkeep"

func (s *Service) upkeepOf(ctx context.Context, tenant string) (*upkeep, error) {
	r, err := read[upkeep](ctx, s, taskKey(tenant, upkeepID))
	if err != nil && !errors.Is(err, scim.ErrNotFound) {
		return nil, err
	}
	r.Value.version = r.Version
	return &r.Value, nil
}

func (s *Service) keepUpkeep(ctx context.Context, tenant string, u *upkeep) (err error) {
	u.version, err = s.put(ctx, taskKey(tenant, upkeepID), u.version, u)
	return err
}

// alone does something for a tenant that no other process does at the same
// time. If one is at it nothing is done.
func (s *Service) alone(ctx context.Context, tenant string, do func(context.Context, *upkeep) error) error {
	u, err := s.upkeepOf(ctx, tenant)
	if err != nil {
		return err
	}
	if !u.Lease.take(uuid.NewString(), s.now(), s.o.Worker.Lease) {
		return nil
	}
	if err := s.keepUpkeep(ctx, tenant, u); err != nil {
		if errors.Is(err, ErrConflict) {
			return nil
		}
		return err
	}
	if err = do(ctx, u); errors.Is(err, ErrConflict) {
		return nil // the lease has run out, if only by the clock of who took it over and does the same
	}
	u.Lease = lease{}
	if kept := s.keepUpkeep(context.WithoutCancel(ctx), tenant, u); kept != nil && !errors.Is(kept, ErrConflict) {
		err = errors.Join(err, kept)
	}
	return err
}

// upkeep does what is to be done now and then.
func (s *Service) upkeep(ctx context.Context, tenant string) error {
	u, err := s.upkeepOf(ctx, tenant)
	if err != nil || isAhead(u.Ran.Add(s.o.Worker.Upkeep), s.now(), s.o.Worker.Upkeep) {
		return err
	}
	return s.alone(ctx, tenant, func(ctx context.Context, u *upkeep) error {
		if isAhead(u.Ran.Add(s.o.Worker.Upkeep), s.now(), s.o.Worker.Upkeep) {
			return nil
		}
		err := errors.Join(
			s.watch(ctx, tenant, u),
			s.store.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error { return s.fileUsage(ctx, tx, tenant) }),
			s.forgetTasks(ctx, tenant),
			s.prune(ctx, tenant, u),
		)
		if err == nil {
			u.Ran = s.now()
		}
		return err
	})
}

// forgetTasks removes tasks that have been over for long.
func (s *Service) forgetTasks(ctx context.Context, tenant string) error {
	if s.o.Retention.Tasks < 0 {
		return nil
	}
	tasks, err := s.tasks(ctx, tenant)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if t.State.Over() && s.now().Sub(t.Finished) > s.o.Retention.Tasks {
			if err := s.remove(ctx, taskKey(tenant, t.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	pruneAtOnce = 10_000 // records, in one transaction
	pruneTimes  = 20     // transactions, in one upkeep
)

// prune removes events and lines of request logs that are older than they are to
// be kept.
func (s *Service) prune(ctx context.Context, tenant string, u *upkeep) error {
	p := Prune{Limit: pruneAtOnce}
	if keep := s.o.Retention.Requests; keep > 0 {
		p.Requests = s.now().Add(-keep)
	}
	if keep := s.o.Retention.Events; keep > 0 {
		last, err := s.lastEventBefore(ctx, tenant, u.Pruned, s.now().Add(-keep))
		if err != nil {
			return err
		}
		p.Events = last
	}
	if p.Events == 0 && p.Requests.IsZero() {
		return nil
	}
	for range pruneTimes {
		removed, err := s.store.Prune(ctx, tenant, p)
		if err != nil {
			return err
		}
		if removed < pruneAtOnce {
			u.Pruned = max(u.Pruned, p.Events)
			return nil
		}
	}
	return nil
}

// lastEventBefore returns the number of the last event before a time, of those
// behind after; 0 if there is none.
func (s *Service) lastEventBefore(ctx context.Context, tenant string, after uint64, before time.Time) (last uint64, err error) {
	const atOnce = 1000
	for range pruneTimes {
		events, err := s.store.Events(ctx, tenant, after, atOnce)
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			if !e.Time.Before(before) {
				return last, nil
			}
			last = e.Seq
		}
		if len(events) < atOnce {
			return last, nil
		}
		after = last
	}
	return last, nil
}

// An attempt is when the waiting accounts of a tenant were looked at, and what
// decides about them was like.
type attempt struct {
	at                           time.Time
	revision                     uint64
	seats, administrators, waits int
}

// workWaiting works out the waiting accounts of a tenant whose cause may be
// gone: when something that decides about them has changed, and else now and
// then, because not everything that decides is counted here.
func (s *Service) workWaiting(ctx context.Context, tenant string) error {
	tally, err := s.store.Tally(ctx, tenant)
	if err != nil {
		return err
	}
	now := attempt{at: s.now(), revision: tally.Revision, seats: tally.Seats, administrators: tally.Administrators}
	for _, d := range tally.Directories {
		now.waits += d.Waiting
	}
	if !s.worker.retry(tenant, now, s.o.Worker.Upkeep) {
		return nil
	}
	directories, err := s.readDirectories(ctx, tenant, tally.Revision)
	if err != nil {
		return err
	}
	return s.alone(ctx, tenant, func(ctx context.Context, _ *upkeep) error {
		var failed []error
		for id, d := range directories {
			if d.err == nil && !d.Disabled && tally.Directories[id].Waiting > 0 {
				failed = append(failed, s.releaseWaiting(ctx, d.Directory))
			}
		}
		return errors.Join(failed...)
	})
}

// retry reports whether waiting accounts are to be looked at.
func (w *worker) retry(tenant string, now attempt, every time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.tried[tenant]
	if now.waits == 0 {
		delete(w.tried, tenant)
		return false
	}
	if since := now.at.Sub(last.at); since >= 0 && since < every {
		last.at = now.at
		if last == now {
			return false
		}
	}
	w.tried[tenant] = now
	return true
}

// releaseWaiting works out those waiting accounts of a directory of which the
// cause may be gone. Who waits for a seat is served in the order of coming, and
// as many as there are seats.
func (s *Service) releaseWaiting(ctx context.Context, d *scim.Directory) error {
	tally, usage, _, err := s.usage(ctx, d.Tenant)
	if err != nil {
		return err
	}
	c := causes{dir: d, administrators: tally.Administrators + usage.Administrators}
	var ready, seatless []*scim.AccountState
	for after := ""; ; {
		page, err := s.store.Waiting(ctx, d.Key(), after, mostBatch)
		if err != nil {
			return err
		}
		for _, a := range page {
			switch {
			case c.gone(a):
				ready = append(ready, a)
			case c.needsSeat(a):
				seatless = append(seatless, a)
			}
			after = a.User.ID
		}
		if len(page) < mostBatch {
			break
		}
	}
	if free, limited := seatsOf(tally, usage).Free(); limited {
		slices.SortStableFunc(seatless, func(a, b *scim.AccountState) int { return a.Since.Compare(b.Since) })
		seatless = seatless[:min(len(seatless), free)]
	}
	ready = append(ready, seatless...)
	for some := range slices.Chunk(ready, s.o.Worker.Batch) {
		users := make([]string, len(some))
		for i, a := range some {
			users[i] = a.User.ID
		}
		slices.Sort(users)
		r := &taskRecord{Task: Task{Directory: d.Key(), Kind: TaskReconcile, ID: "-"}}
		_, failed, err := s.perform(ctx, r, d, users)
		if err != nil {
			return err
		}
		for _, f := range failed {
			s.log.WarnContext(ctx, "directory: a waiting account could not be worked out", "tenant", d.Tenant, "directory", d.ID, "user", f.User, "error", f.Error)
		}
	}
	return nil
}

// causes tells whether what an account waits for may have come.
type causes struct {
	dir            *scim.Directory
	administrators int
}

// gone reports whether something in the way of the account, other than a seat,
// may be gone.
func (c *causes) gone(a *scim.AccountState) bool {
	off := c.dir.Policy.Off
	isOn := func(p scim.Pending, part scim.Switches) bool { return a.Pending&p != 0 && off&part == 0 }
	switch {
	case a.Pending&scim.PendingGrants != 0,
		a.Pending&scim.PendingAdmin != 0 && c.administrators > 1,
		isOn(scim.PendingCreate, scim.CreateUsers),
		isOn(scim.PendingUpdate, scim.UpdateAttributes),
		isOn(scim.PendingDeactivate, scim.DeactivateUsers),
		isOn(scim.PendingGroups, scim.SyncGroups):
		return true
	}
	switch a.Held {
	case scim.HeldForDomain:
		return c.dir.Policy.Domain == scim.AnyDomain || isRegistered(c.dir.Domains, a.Email)
	case scim.HeldForEmail:
		return !a.Deleted // whether the other person still has it is known in the transaction only
	}
	return false
}

func (c *causes) needsSeat(a *scim.AccountState) bool {
	return a.Pending&scim.PendingSeat != 0 || a.Held == scim.HeldForSeat
}

// isRegistered reports whether the email is in one of the domains.
func isRegistered(domains []string, email string) bool {
	domain := domainOf(scim.FoldEmail(email))
	return domain != "" && slices.ContainsFunc(domains, func(own string) bool { return domainOf(scim.FoldEmail("x@"+own)) == domain })
}
