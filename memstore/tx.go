package memstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	scim "github.com/muster-id/scim"
)

// A tx is a running transaction, a [scim.Tx].
type tx struct {
	store  *Store
	tenant *tenant
	ended  atomic.Bool

	directories []*directory // that it may have changed
	events      []*scim.Event
	requests    []*scim.LogEntry
	deliveries  []scim.Delivery
	tally       *scim.Tally  // nil: as published
	rare        *rareChanges // nil in most

	few struct { // where the first lists begin: most transactions are small
		directories [1]*directory
		events      [4]*scim.Event
		requests    [1]*scim.LogEntry
	}
}

var _ scim.Tx = (*tx)(nil)

// rareChanges are changes of what few transactions change.
type rareChanges struct {
	delivered []scim.Delivery
	records   records // nil: as published
	claims    claimChanges
	pruned    pruned
}

// rarely returns the transaction's rare changes, to be added to.
func (x *tx) rarely() *rareChanges {
	if x.rare == nil {
		x.rare = new(rareChanges)
	}
	return x.rare
}

// errEnded is returned by the methods of a Tx after its transaction: a mistake
// of the caller.
var errEnded = errors.New("memstore: the transaction has ended")

// txKey is the key of the running transaction in its context.
type txKey struct{ *Store }

// running returns the transaction that runs with that context, or nil.
func (s *Store) running(ctx context.Context) *tx {
	if x, _ := ctx.Value(txKey{s}).(*tx); x != nil && !x.ended.Load() {
		return x
	}
	return nil
}

// Do implements [scim.Ledger]. A caller that waits for its turn gives up with
// its context. fn's transaction is rolled back if fn returns an error, if it
// panics, or if ctx is done when it returns. A nested call that joins changes
// what the outer one commits: its error rolls nothing back unless the outer fn
// returns one too.
func (s *Store) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	x := s.running(ctx)
	if x == nil {
		return s.transact(ctx, tenant, func(ctx context.Context, x *tx) error { return fn(ctx, x) })
	}
	if err := x.open(tenant); err != nil {
		return err
	}
	return fn(ctx, x)
}

// do runs one change, in the transaction that runs or in one of its own.
func (s *Store) do(ctx context.Context, tenant string, change func(*tx) error) error {
	if x := s.running(ctx); x != nil {
		return change(x)
	}
	return s.transact(ctx, tenant, func(_ context.Context, x *tx) error { return change(x) })
}

func (s *Store) transact(ctx context.Context, tenant string, fn func(context.Context, *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := s.tenant(tenant)
	select {
	case t.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	x := &tx{store: s, tenant: t}
	x.directories, x.events, x.requests = x.few.directories[:0], x.few.events[:0], x.few.requests[:0]
	defer func() { // also where fn panics
		x.rollback()
		<-t.writer
	}()
	if err := fn(context.WithValue(ctx, txKey{s}, x), x); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	x.commit()
	return nil
}

// commit lets everybody see what the transaction has done.
func (x *tx) commit() {
	x.ended.Store(true)
	for _, d := range x.directories {
		d.publish()
	}
	x.tenant.events.add(x.events)
	x.tenant.outbox.add(x.deliveries)
	for _, entry := range x.requests {
		x.store.directory(entry.Directory).requests.add(entry)
	}
	if x.rare != nil {
		x.rare.commit(x)
	}
	// Last: who sees it may take for granted that the rest is there.
	if x.tally != nil {
		x.tenant.tally.Store(x.tally)
	}
}

func (r *rareChanges) commit(x *tx) {
	if len(r.delivered) > 0 {
		x.tenant.outbox.remove(r.delivered)
	}
	if r.records != nil {
		x.tenant.records.Store(&r.records)
	}
	x.store.claims.settle(r.claims.given)
	r.pruned.commit(x.tenant)
}

// rollback forgets what the transaction has done, unless it is committed.
func (x *tx) rollback() {
	if x.ended.Swap(true) {
		return
	}
	for _, d := range x.directories {
		d.revert()
	}
	if x.rare != nil {
		x.store.claims.settle(x.rare.claims.taken)
	}
}

// open returns an error if the transaction has ended or is another tenant's.
func (x *tx) open(tenant string) error {
	if x.ended.Load() {
		return errEnded
	}
	if tenant != x.tenant.name {
		return fmt.Errorf("memstore: a transaction of one tenant cannot be used for another: %q is not %q", tenant, x.tenant.name)
	}
	return nil
}

// view returns a directory as the transaction sees it.
func (x *tx) view(key scim.Key) (view, error) {
	if err := x.open(key.Tenant); err != nil {
		return view{}, err
	}
	return view{directory: x.store.directories.find(key), within: true}, nil
}

// change returns a directory to be changed.
func (x *tx) change(key scim.Key) (view, error) {
	if err := x.open(key.Tenant); err != nil {
		return view{}, err
	}
	d := x.store.directory(key)
	if !slices.Contains(x.directories, d) {
		x.directories = append(x.directories, d)
	}
	return view{directory: d, within: true}, nil
}

// Get implements [scim.Store].
func (x *tx) Get(_ context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	v, err := x.view(ref.Directory)
	if err != nil {
		return nil, err
	}
	return v.get(ref)
}

// List implements [scim.Store].
func (x *tx) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	v, err := x.view(q.Directory)
	if err != nil {
		return nil, err
	}
	return v.list(ctx, x.store, q)
}

// Create implements [scim.Store].
func (x *tx) Create(_ context.Context, r *scim.Resource) (*scim.Resource, error) { return x.create(r) }

// Replace implements [scim.Store].
func (x *tx) Replace(_ context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	return x.replace(r, was)
}

// Delete implements [scim.Store].
func (x *tx) Delete(_ context.Context, ref scim.Ref, was scim.Version) error {
	return x.delete(ref, was)
}

// Members implements [scim.MemberStore].
func (x *tx) Members(_ context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return membersOf(group, func() (view, error) { return x.view(group.Directory) })
}

// ChangeMembers implements [scim.MemberStore].
func (x *tx) ChangeMembers(_ context.Context, group scim.Ref, change scim.MemberChange, was scim.Version) (*scim.MemberResult, error) {
	return x.changeMembers(group, change, was)
}

// GroupsOf implements [scim.MemberStore].
func (x *tx) GroupsOf(_ context.Context, key scim.Key, users []string) ([][]scim.GroupRef, error) {
	v, err := x.view(key)
	if err != nil {
		return nil, err
	}
	return v.groupsOfEach(users), nil
}
