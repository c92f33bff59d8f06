package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/roles"
	"github.com/muster-id/scim/sqlstore"
)

// previewAtMost is how long a preview of a mapping for everybody may take.
const previewAtMost = 2 * time.Second

const memoryName = "memory"

// A directoryRun is what the flags of the command "directories" say.
type directoryRun struct {
	users      int
	rate       int
	quiet      time.Duration
	previews   int
	databases  *regexp.Regexp
	statements bool
	dsn        string
}

// runDirectories is the command "directories": on each store, a role mapping that
// changes everybody's roles in a large directory is looked at beforehand and applied,
// by a process that ends in the middle of it and one that goes on, while the
// directory's provider goes on sending requests.
func runDirectories(ctx context.Context, arguments []string, w io.Writer) error {
	flags := flag.NewFlagSet("directories", flag.ExitOnError)
	var s directoryRun
	flags.IntVar(&s.users, "users", 50_000, "users of the directory, all of them in one group")
	flags.IntVar(&s.rate, "rate", 50, "requests of each kind in a second")
	flags.DurationVar(&s.quiet, "quiet", 10*time.Second, "how long requests are timed while nothing else happens, and while previews are made")
	flags.IntVar(&s.previews, "previews", 3, "previews that are timed")
	databases := flags.String("databases", "", "measure only the stores whose name this regular expression matches: memory, SQLite, PostgreSQL")
	flags.BoolVar(&s.statements, "statements", false, "print every statement of the task, how often a batch sends it and how long the driver has it")
	flags.StringVar(&s.dsn, "postgresql", "", "the data source name of an empty PostgreSQL to use instead of a private one")
	_ = flags.Parse(arguments) // it exits
	var err error
	if s.databases, err = regexp.Compile(*databases); err != nil {
		return err
	}
	if s.users < 10*hundredLength || s.rate < 1 || s.previews < 1 {
		return fmt.Errorf("-users: %d at least; -rate, -previews: 1 at least", 10*hundredLength)
	}
	kept := true
	for _, open := range []struct {
		name string
		do   func() (*database, error)
	}{
		{memoryName, func() (*database, error) { return nil, nil }},
		{postgresqlName, func() (*database, error) { return openPostgreSQL(ctx, s.dsn, "max_wal_size=4GB") }},
		{sqliteName, openSQLite},
	} {
		if !s.databases.MatchString(open.name) {
			continue
		}
		d, err := open.do()
		if errors.Is(err, errNoPostgreSQL) {
			fmt.Fprintf(w, "%s: skipped: %v\n", open.name, err)
			continue
		}
		if err != nil {
			return err
		}
		ok, err := s.run(ctx, w, open.name, d)
		if d != nil {
			err = errors.Join(err, d.close())
		}
		if err != nil {
			return fmt.Errorf("%s: %w", open.name, err)
		}
		kept = kept && ok
	}
	if !kept {
		return errShort
	}
	return nil
}

// The mapping that the directory has at first, and the one that takes its place: it
// changes the roles of everybody.
var (
	mappingBefore = roles.Mapping{Default: "viewer", Rules: []roles.Rule{
		{GroupName: hundredName, Role: "editor"}, {GroupName: everyoneName, Role: "member"},
	}}
	mappingAfter = roles.Mapping{Default: "viewer", Rules: []roles.Rule{
		{GroupName: hundredName, Role: "manager"}, {GroupName: teamName(0), Role: "owner"}, {GroupName: everyoneName, Role: "staff"},
	}}
)

// A controlled directory is one of a [directory.Service], and what its provider needs
// to send requests.
type controlled struct {
	key     scim.Key
	service *directory.Service
	host    *countingHost
	secret  string
	p       *population
}

// A countingHost is an application that takes whatever it is told. When it has been
// told after more times, it ends.
type countingHost struct {
	told  atomic.Int64
	after int64
	end   context.CancelFunc
}

func (h *countingHost) Provision(_ context.Context, a *scim.Account) (string, error) {
	if h.told.Add(1) == h.after {
		h.end()
	}
	return a.ID, nil
}

func (h *countingHost) service(store directory.Storage) (*directory.Service, error) {
	return directory.New(store, &scim.Config{Provisioner: h, BaseURL: baseURL, ProvisionTimeout: time.Minute, DirectHooks: true}, nil)
}

// store opens the store of a database, in memory without one.
func (s *directoryRun) store(ctx context.Context, d *database) (store directory.Storage, shut func() error, err error) {
	if d == nil {
		return memstore.New(scim.CoreTypes(), nil), func() error { return nil }, nil
	}
	if err := sqlstore.Migrate(ctx, d.db, d.dialect, nil); err != nil {
		return nil, nil, err
	}
	stored, err := sqlstore.New(ctx, d.db, d.dialect, scim.CoreTypes(), nil)
	if err != nil {
		return nil, nil, err
	}
	return stored, stored.Close, nil
}

// run measures one store.
func (s *directoryRun) run(ctx context.Context, w io.Writer, name string, d *database) (kept bool, err error) {
	store, shut, err := s.store(ctx, d)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, shut()) }()
	began := time.Now()
	c, err := s.fill(ctx, store)
	if err != nil {
		return false, err
	}
	if d != nil && d.name == postgresqlName {
		if _, err := d.db.ExecContext(ctx, "VACUUM ANALYZE"); err != nil {
			return false, err
		}
	}
	runtime.GC()
	fmt.Fprintf(w, "%s: %d users in a group, filled in %v\n", name, s.users, time.Since(began).Round(time.Second))

	preview, kept, err := s.preview(ctx, w, c)
	if err != nil {
		return false, err
	}
	quiet, err := s.during(c, "quiet", func() error { return pauseFor(ctx, s.quiet) })
	if err != nil {
		return false, err
	}
	previewing, err := s.during(c, "previews", func() error {
		for until := time.Now().Add(s.quiet); time.Now().Before(until); {
			if _, err := c.service.PreviewMapping(ctx, c.key, mappingAfter); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	applying, err := s.during(c, "applying", func() error { return s.apply(ctx, w, c, store, d, preview) })
	if err != nil {
		return false, err
	}
	if err := verifyApplied(ctx, store, c.key, preview); err != nil {
		return false, err
	}
	fmt.Fprintln(w, "  everybody has the roles of the preview")
	return kept, reportPhases(w, []*phase{quiet, previewing, applying})
}

// fillAtOnce is how many users are created in one transaction.
const fillAtOnce = 250

// fill makes a directory with users in it through requests of its provider.
func (s *directoryRun) fill(ctx context.Context, store directory.Storage) (*controlled, error) {
	c := &controlled{host: &countingHost{}}
	var err error
	if c.service, err = c.host.service(store); err != nil {
		return nil, err
	}
	made, err := c.service.Create(ctx, directory.Directory{Tenant: benchTenant, ID: benchDirectory, Name: "Bench", Policy: scim.Policy{Domain: scim.AnyDomain}})
	if err != nil {
		return nil, err
	}
	c.key = made.Key()
	if c.secret, _, err = c.service.IssueToken(ctx, c.key, directory.TokenOptions{Label: "bench"}); err != nil {
		return nil, err
	}
	if _, err := c.service.SetMapping(ctx, c.key, mappingBefore, 0); err != nil {
		return nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	c.p = &population{client: client, n: s.users, step: 1, groups: make(map[string]string)}
	template := client.template
	var document []byte
	for len(c.p.ids) < s.users {
		ids := c.p.ids
		err := store.Do(ctx, c.key.Tenant, func(ctx context.Context, _ scim.Tx) error {
			client.template = *template.WithContext(ctx)
			c.p.ids = ids // if the store begins anew
			for range min(fillAtOnce, s.users-len(ids)) {
				document = appendUser(document[:0], len(c.p.ids), titleFirst)
				m := client.message(http.MethodPost, "/Users", "", document)
				id, err := client.create(&m)
				if err != nil {
					return fmt.Errorf("user %d: %w", len(c.p.ids), err)
				}
				c.p.ids = append(c.p.ids, id)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	client.template = template
	if err := c.p.createGroups(); err != nil {
		return nil, err
	}
	// The task of the mapping before the users came.
	return c, c.service.RunOnce(ctx)
}

// client returns a client with the directory's token.
func (c *controlled) client() (*client, error) {
	to, err := newClient(subject{handler: c.service.Handler()})
	if err != nil {
		return nil, err
	}
	to.template.Header.Set("Authorization", "Bearer "+c.secret)
	return to, nil
}

// preview times previews.
func (s *directoryRun) preview(ctx context.Context, w io.Writer, c *controlled) (preview *directory.Preview, kept bool, err error) {
	var times []time.Duration
	for range s.previews {
		began := time.Now()
		if preview, err = c.service.PreviewMapping(ctx, c.key, mappingAfter); err != nil {
			return nil, false, err
		}
		times = append(times, time.Since(began))
	}
	if len(preview.Changes) != s.users || preview.People != s.users {
		return nil, false, fmt.Errorf("the preview has %d people and %d changes, expected %d of both", preview.People, len(preview.Changes), s.users)
	}
	slices.Sort(times)
	worst := times[len(times)-1]
	kept = worst <= previewAtMost
	fmt.Fprintf(w, "  preview of %d changes: %v, at most %v of %d runs  (promised: %v)  %s\n", len(preview.Changes), times[len(times)/2].Round(time.Millisecond),
		worst.Round(time.Millisecond), len(times), previewAtMost, okMark(kept))
	return preview, kept, nil
}

// apply sets the mapping and works its task off: a first process ends in the middle of
// a batch, a second one goes on.
func (s *directoryRun) apply(ctx context.Context, w io.Writer, c *controlled, store directory.Storage, d *database, preview *directory.Preview) (err error) {
	began := time.Now()
	task, err := c.service.SetMapping(ctx, c.key, mappingAfter, preview.Version)
	if err != nil {
		return err
	}
	set := time.Since(began)

	first, end := context.WithCancel(ctx)
	defer end()
	mortal := &countingHost{after: int64(s.users/2 + 100), end: end}
	service, err := mortal.service(store)
	if err != nil {
		return err
	}
	began = time.Now()
	stopped, err := service.Work(first, c.key.Tenant, task.ID)
	if !errors.Is(err, context.Canceled) || stopped.Done == 0 || stopped.Done >= s.users {
		return fmt.Errorf("the process was to end in the middle of the task, and has done %d of %d: %w", stopped.Done, s.users, err)
	}
	firstTook := time.Since(began)

	var sent *trace
	if d != nil && d.name == postgresqlName { // two pools over one file of SQLite would wait for each other by polling
		again := *d
		again.db, sent = traced(d.db, d.dsn)
		again.db.SetMaxOpenConns(connections)
		again.db.SetMaxIdleConns(connections)
		defer func() { err = errors.Join(err, again.db.Close()) }()
		other, shut, err := s.store(ctx, &again)
		if err != nil {
			return err
		}
		defer func() { _ = shut() }() // all is committed
		store = other
		sent.take()
	}
	if service, err = (&countingHost{}).service(store); err != nil {
		return err
	}
	began = time.Now()
	done, err := service.Work(ctx, c.key.Tenant, task.ID)
	if err != nil {
		return err
	}
	took := time.Since(began)
	if done.State != directory.TaskDone || done.Total != s.users {
		return fmt.Errorf("the task is %s with %d users, expected all %d", done.State, done.Total, s.users)
	}
	both, rest := firstTook+took, done.Done-stopped.Done
	fmt.Fprintf(w, "  apply: set in %v; %d users by a process that ended in a batch, %d by the next one: %v, %.0f users a second\n",
		set.Round(time.Millisecond), stopped.Done, rest, both.Round(time.Millisecond), float64(s.users)/both.Seconds())
	batches := math.Ceil(float64(rest) / taskBatch)
	fmt.Fprintf(w, "  a batch of %d: %v", taskBatch, time.Duration(float64(took)/batches).Round(time.Millisecond))
	if sent != nil {
		var statements int
		var driver time.Duration
		costs := sent.take()
		for _, c := range costs {
			statements += c.count
			driver += c.took
		}
		fmt.Fprintf(w, ", %.1f statements, %v of it in the driver", float64(statements)/batches, time.Duration(float64(driver)/batches).Round(time.Millisecond))
		if s.statements {
			for _, c := range costs {
				fmt.Fprintf(w, "\n    %6.2f × %8.0f µs  %s", float64(c.count)/batches, float64(c.took.Microseconds())/float64(max(c.count, 1)), oneLine(c.text))
			}
		}
	}
	fmt.Fprintln(w)
	return nil
}

// taskBatch is how many users a task does in one transaction, as package directory has
// it by default.
const taskBatch = 500

// verifyApplied compares what the accounts have come to with what the preview said.
func verifyApplied(ctx context.Context, store directory.Storage, key scim.Key, preview *directory.Preview) error {
	said := make(map[string][]scim.Grant, len(preview.Changes))
	for _, c := range preview.Changes {
		said[c.User] = c.After
	}
	people := 0
	for after := ""; ; {
		const atOnce = 1000
		accounts, err := store.Accounts(ctx, key, after, atOnce)
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if !a.Active || !slices.Equal(a.Grants, said[a.User.ID]) {
				return fmt.Errorf("user %s has (active: %t) %v, the preview said %v", a.User.ID, a.Active, a.Grants, said[a.User.ID])
			}
			people++
			after = a.User.ID
		}
		if len(accounts) < atOnce {
			break
		}
	}
	if people != len(said) {
		return fmt.Errorf("there are %d accounts, the preview said %d", people, len(said))
	}
	return nil
}

// The requests that are timed while something else happens.
var duringCalls = [...]string{callGet, callHit, callPatch}

// A phase is what requests took while something happened: for each of duringCalls, in
// ascending order.
type phase struct {
	name      string
	latencies [len(duringCalls)][]time.Duration
}

// during sends requests of each kind at the run's rate while fn runs.
func (s *directoryRun) during(c *controlled, name string, fn func() error) (*phase, error) {
	p := &phase{name: name}
	var errs [len(duringCalls)]error
	over := make(chan struct{})
	var group sync.WaitGroup
	for i, name := range duringCalls {
		group.Go(func() { p.latencies[i], errs[i] = s.paced(c, name, over) })
	}
	err := fn()
	close(over)
	group.Wait()
	if err = errors.Join(append(errs[:], err)...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, l := range p.latencies {
		slices.Sort(l)
	}
	return p, nil
}

// paced sends a request each time one is due, whether or not those before it have been
// answered, as many clients would. What it took counts from then.
func (s *directoryRun) paced(c *controlled, name string, over <-chan struct{}) (latencies []time.Duration, err error) {
	interval := time.Second / time.Duration(s.rate)
	var mu sync.Mutex
	var idle []*client
	send := func(n int) (*client, error) {
		mu.Lock()
		var with *client
		if last := len(idle) - 1; last >= 0 {
			with, idle = idle[last], idle[:last]
		}
		mu.Unlock()
		if with == nil {
			var err error
			if with, err = c.client(); err != nil {
				return nil, err
			}
		}
		return with, c.send(with, name, n)
	}
	var group sync.WaitGroup
	n := 0
	for due := time.Now(); ; due = due.Add(interval) {
		select {
		case <-over:
			group.Wait()
			if name != callPatch {
				return latencies, err
			}
			for k := range min(n, hotLength) { // everybody is active again
				with, failed := send(hotLength + k)
				idle, err = append(idle, with), errors.Join(err, failed)
				if err != nil {
					break
				}
			}
			return latencies, err
		case <-time.After(time.Until(due)):
		}
		number := n
		n++
		group.Go(func() {
			with, failed := send(number)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			latencies, err = append(latencies, took), errors.Join(err, failed)
			if with != nil {
				idle = append(idle, with)
			}
		})
	}
}

// send sends the request number n of one kind, each about another user. Those that
// deactivate a thousand users are followed by those that activate them.
func (c *controlled) send(with *client, name string, n int) error {
	user := int(mix(n%hotLength) % uint64(c.p.n))
	want, m := &oneUser, message{}
	switch name {
	case callGet:
		m = with.message(http.MethodGet, c.p.userPath(user), "", nil)
	case callHit:
		m = with.message(http.MethodGet, "/Users", filterQuery(`userName eq "`+userName(user)+`"`), nil)
	default:
		want, m = &anySuccess, with.message(http.MethodPatch, c.p.userPath(user), "", patchActive(n/hotLength%2 == 1))
	}
	return with.expect(&m, want)
}

// reportPhases prints what requests took.
func reportPhases(w io.Writer, phases []*phase) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "\tcall\trequests\tp50 ms\tp99 ms\tmax ms\t")
	for _, p := range phases {
		for i, l := range p.latencies {
			if len(l) == 0 {
				continue
			}
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			fmt.Fprintf(out, "%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t\n", p.name, duringCalls[i], len(l), ms(l[len(l)/2]), ms(l[len(l)*99/100]), ms(l[len(l)-1]))
		}
	}
	return out.Flush()
}

// pauseFor waits, unless the context ends.
func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
