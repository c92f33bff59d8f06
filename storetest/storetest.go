// Package storetest checks that a store keeps the contract of [scim.Store],
// [scim.MemberStore], [scim.Ledger] and [directory.Storage]. Who writes a store
// runs it in a test:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, types *scim.Types) scim.Store {
//			return hoststore.New(openDatabase(t), types)
//		}, nil)
//	}
//
// # What is checked
//
// Each case is a subtest with a name, such as "replace/stale-version", and a
// why, which cites the sentence of the contract, the rule or the section of an
// RFC that it holds the store to. The cases of [scim.MemberStore],
// [scim.Ledger] and [directory.Storage] run where the store implements them; there is no way to leave
// one out. A Ledger is also taken through those of the other cases that fit
// inside of one transaction, by the Tx, under "tx/".
//
// Beside the cases there are two searches for what nobody thought of. Under
// "differential/" directories are filled at random with users, groups and
// resources of a type with attributes of every data type; whatever is then
// filtered, sorted and paged must be what [scim.Select] makes of the same
// resources. Under "history/" random creates, replaces, deletes and changes of
// members, in transactions of which some are rolled back, must leave the store
// as they leave a plain model.
//
// # How the store is made
//
// The function is called once for each case, and once before to see what the
// store implements. It must return a store that answers for the resource types
// given, which are the same ones each time: the types of RFC 7643 with an
// extension and one type more, which have attributes that are unique, as
// [scim.ResourceType.Unique] lists them. A store need not be empty: every case
// uses tenants with names of its own that were never used before. So a test over
// a database can open it once and return the same store for every case. What a
// case has written it leaves behind.
//
// What the function needs to clean up it hands to t.Cleanup: t is the test of
// the case, at the first call that of all of them.
//
// # How to read a failure
//
// A failing case says what was wrong and then why it must not be. Cases are
// independent of each other, but the simple ones come first, so the first to
// fail is the one to look at first. Searches report the query or the last steps
// of the history, and a seed. They are the same in each run, unless another seed
// is given, in [Options] or in the environment:
//
//	STORETEST_SEED=42 go test -run 'TestStore/differential' ./hoststore
//
// A case that does not end has most likely met two calls that wait for each
// other; it is given up after a while and says so.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// Options add to what is checked. The zero value, like nil, is ready for use.
type Options struct {
	// Seed starts the random searches. 0: the number in the environment
	// variable STORETEST_SEED, else 1.
	Seed uint64

	// Rounds is how many times each random search is made, with seeds of its
	// own. 0: 4.
	Rounds int

	// Reopen returns a store over what the given one has written, as a program
	// does that was ended and started again; the given one is not used any
	// more. nil: nothing that the store keeps outlives the process.
	Reopen func(t *testing.T, store scim.Store) scim.Store

	// Parallel says that transactions of two tenants can run at the same time,
	// which the contract does not ask for: some databases have one writer. That
	// neither waits for the other is then checked.
	Parallel bool

	// patience is how long a call may take that must not wait for another.
	patience time.Duration
}

// The defaults of [Options].
const (
	defaultSeed     = 1
	defaultRounds   = 4
	defaultPatience = 20 * time.Second
)

// A testCase is one promise of the contract.
type testCase struct {
	name string
	why  string // the sentence, rule or section that promises it
	run  func(*probe)

	// outside says that the case cannot run inside of one transaction: it needs
	// several, or several tenants, or calls at the same time.
	outside bool
}

// Run checks the stores that newStore returns, in a subtest for each case. opts
// may be nil.
func Run(t *testing.T, newStore func(t *testing.T, types *scim.Types) scim.Store, opts *Options) {
	t.Helper()
	s := newSuite(newStore, opts)
	for _, c := range s.cases(newStore(t, kitTypes())) {
		t.Run(c.name, func(t *testing.T) {
			if failure := s.check(t, c); failure != "" {
				t.Errorf("%s\nwhy: %s", failure, c.why)
			}
		})
	}
}

// A suite is what [Run] was asked for.
type suite struct {
	Options
	newStore func(*testing.T, *scim.Types) scim.Store
}

func newSuite(newStore func(*testing.T, *scim.Types) scim.Store, opts *Options) *suite {
	s := &suite{newStore: newStore}
	if opts != nil {
		s.Options = *opts
	}
	if s.Seed == 0 {
		s.Seed, _ = strconv.ParseUint(os.Getenv("STORETEST_SEED"), 10, 64)
	}
	if s.Seed == 0 {
		s.Seed = defaultSeed
	}
	if s.Rounds <= 0 {
		s.Rounds = defaultRounds
	}
	if s.patience <= 0 {
		s.patience = defaultPatience
	}
	return s
}

// cases returns the cases for a store, by what it implements.
func (s *suite) cases(store scim.Store) (all []testCase) {
	_, isMemberStore := store.(scim.MemberStore)
	_, isLedger := store.(scim.Ledger)
	_, isStorage := store.(directory.Storage)
	all = append(all, resourceCases...)
	all = append(all, listCases...)
	if isMemberStore {
		all = append(all, memberCases...)
	} else {
		all = append(all, plainCases...)
	}
	if isLedger {
		for _, c := range all {
			if !c.outside {
				all = append(all, within(c))
			}
		}
		all = append(all, ledgerCases...)
		all = append(all, accountCases...)
		all = append(all, tallyCases...)
		all = append(all, peopleCases...)
		if isStorage {
			all = append(all, recordCases...)
		}
		if s.Parallel {
			all = append(all, parallelCases...)
		}
	}
	if s.Reopen != nil {
		all = append(all, reopenCases...)
		if isLedger {
			all = append(all, reopenLedgerCases...)
		}
		if isStorage {
			all = append(all, reopenRecordCases...)
		}
	}
	for round := range s.Rounds {
		seed := s.Seed + uint64(round)
		all = append(all, differential(seed), histories(seed))
	}
	return all
}

// within returns the case as it runs inside of a transaction.
func within(c testCase) testCase {
	run := c.run
	c.name = "tx/" + c.name
	c.why += "; a Tx is a MemberStore whose methods see what it has done"
	c.run = func(p *probe) {
		err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
			inside := *p.shared
			inside.store, inside.members, inside.ledger, inside.storage = tx, tx, nil, nil
			run(&probe{shared: &inside, ctx: ctx, failing: p.failing})
			return nil
		})
		p.ok(err, "Do with a function that returns nil")
	}
	return c
}

// check runs a case on a store of its own and returns what was wrong, or "".
func (s *suite) check(t *testing.T, c testCase) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*s.patience)
	defer cancel()
	store := s.newStore(t, kitTypes())
	p := &probe{shared: &shared{suite: s, t: t, types: kitTypes(), tenant: newTenant()}, ctx: ctx, failing: new(failing)}
	p.use(store)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			switch r := recover(); r.(type) {
			case nil, stop:
			default:
				p.failing.note(fmt.Sprintf("panic: %v\n%s", r, debug.Stack()))
			}
		}()
		c.run(p)
	}()
	select {
	case <-done:
	case <-time.After(10*s.patience + s.patience/2):
		p.failing.note("the case does not end, and its context is done: a call waits for what does not come")
	}
	return p.failing.text()
}

// A probe is a case at work: the store, and what all cases ask of it.
type probe struct {
	*shared
	ctx     context.Context
	failing *failing
}

// shared is what a case has at hand; members, ledger and storage are nil where
// the store is none.
type shared struct {
	*suite
	t       *testing.T
	types   *scim.Types
	tenant  string
	store   scim.Store
	members scim.MemberStore
	ledger  scim.Ledger
	storage directory.Storage
}

func (p *probe) use(store scim.Store) {
	p.store = store
	p.members, _ = store.(scim.MemberStore)
	p.ledger, _ = store.(scim.Ledger)
	p.storage, _ = store.(directory.Storage)
}

// failing holds the first thing that went wrong. It is kept apart from the
// panic that ends a case, which a store could swallow.
type failing struct {
	mu    sync.Mutex
	first string
}

func (f *failing) note(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == "" {
		f.first = text
	}
}

func (f *failing) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first
}

// stop is the panic that ends a case whose failure is noted.
type stop struct{}

// fatalf ends the case.
func (p *probe) fatalf(format string, args ...any) {
	p.failing.note(fmt.Sprintf(format, args...))
	panic(stop{})
}

// must ends the case unless the condition holds.
func (p *probe) must(condition bool, format string, args ...any) {
	if !condition {
		p.fatalf(format, args...)
	}
}

// ok ends the case if there is an error.
func (p *probe) ok(err error, what any) {
	if err != nil {
		p.fatalf("%s: error %v, want none", what, err)
	}
}

// is ends the case unless the error wraps the sentinel.
func (p *probe) is(err, want error, what string) {
	if !errors.Is(err, want) {
		p.fatalf("%s: error %v, want one that wraps %q", what, err, want)
	}
}

// soon ends the case unless f returns before patience ends. f may end the case
// too.
func (p *probe) soon(what string, f func()) {
	p.wait(what, p.start(f))
}

// start runs f beside the case.
func (p *probe) start(f func()) (done <-chan struct{}) {
	c := make(chan struct{})
	go func() {
		defer close(c)
		defer func() {
			switch r := recover(); r.(type) {
			case nil, stop:
			default:
				p.failing.note(fmt.Sprintf("panic: %v\n%s", r, debug.Stack()))
			}
		}()
		f()
	}()
	return c
}

func (p *probe) wait(what string, done <-chan struct{}) {
	select {
	case <-done:
		if p.failing.text() != "" {
			panic(stop{})
		}
	case <-time.After(p.patience):
		p.fatalf("%s: still waiting after %v", what, p.patience)
	}
}

// random returns a source of numbers for the case.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed^0x5ca1ab1e)) }
