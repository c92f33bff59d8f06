package memstore

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/internal/pace"
)

// A ring keeps the latest of what is added to it, limit at most. It grows as it
// fills, so that thousands of quiet directories cost little.
type ring[T any] struct {
	limit   int
	entries []T
	added   uint64 // ever
	base    uint64 // number of the entry that is or was at entries[0] first
}

func (r *ring[T]) add(v T) {
	if len(r.entries) < r.limit {
		r.entries = append(r.entries, v)
	} else {
		r.entries[(r.added-r.base)%uint64(r.limit)] = v
	}
	r.added++
}

// skip counts n entries that are pruned before they are seen; at least limit
// others must follow.
func (r *ring[T]) skip(n int) {
	r.entries = append(r.entries, make([]T, r.limit-len(r.entries))...)
	r.added += uint64(n)
}

// at returns the entry that was added as number i, counted from 0. It must be
// one of the latest len(r.entries).
func (r *ring[T]) at(i uint64) T { return r.entries[(i-r.base)%uint64(r.limit)] }

// first returns the number of the oldest entry, of the next one if there is
// none.
func (r *ring[T]) first() uint64 { return r.added - uint64(len(r.entries)) }

// drop removes the entries with a smaller number.
func (r *ring[T]) drop(number uint64) {
	if number = min(number, r.added); number <= r.first() {
		return
	}
	left := make([]T, 0, r.added-number)
	for i := number; i < r.added; i++ {
		left = append(left, r.at(i))
	}
	r.entries, r.base = left, number
}

// events are the latest events of a tenant. They have a lock of their own, so
// that publishing very many makes nobody wait but who reads events.
type events struct {
	mu sync.Mutex
	ring[*scim.Event]
}

func (e *events) add(all []*scim.Event) {
	if len(all) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if pruned := len(all) - e.limit; pruned > 0 {
		e.skip(pruned)
		all = all[pruned:]
	}
	for _, event := range all {
		e.ring.add(event)
	}
}

// after returns events with a greater Seq, limit at most. Seq is the number at
// which an event was added.
func (e *events) after(seq uint64, limit int) []*scim.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := max(seq, e.first())
	if first >= e.added || limit <= 0 {
		return nil
	}
	all := make([]*scim.Event, 0, min(uint64(limit), e.added-first))
	for i := first; i < e.added && len(all) < limit; i++ {
		all = append(all, e.at(i))
	}
	return all
}

func (e *events) latest() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.added
}

// Append implements [scim.Tx].
func (x *tx) Append(_ context.Context, events ...*scim.Event) error {
	var p pace.Pace
	for _, e := range events {
		p.Step()
		if err := x.open(e.Directory.Tenant); err != nil {
			return err
		}
	}
	seq := x.tenant.events.latest() + uint64(len(x.events))
	for _, e := range events {
		p.Step()
		seq++
		e.Seq = seq
	}
	x.events = append(x.events, events...)
	return nil
}

// Events implements [scim.Ledger].
func (s *Store) Events(ctx context.Context, tenant string, after uint64, limit int) ([]*scim.Event, error) {
	t, x, err := s.known(ctx, tenant)
	if t == nil {
		return nil, err
	}
	if x != nil && x.rare != nil {
		after = max(after, x.rare.pruned.events)
	}
	all := t.events.after(after, limit)
	if x != nil {
		for _, e := range x.events {
			if e.Seq > after && len(all) < limit {
				all = append(all, e)
			}
		}
	}
	return all, nil
}

// known returns the tenant of that name, nil if nothing was ever written for
// it, and the transaction of it that runs with the context, nil if none does.
func (s *Store) known(ctx context.Context, name string) (*tenant, *tx, error) {
	if x := s.running(ctx); x != nil {
		if err := x.open(name); err != nil {
			return nil, nil, err
		}
		return x.tenant, x, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[name], nil, nil
}

// requests is the latest of a directory's request log.
type requests struct {
	mu sync.Mutex
	ring[scim.LogEntry]
}

// add copies the entry.
func (r *requests) add(entry *scim.LogEntry) {
	r.mu.Lock()
	r.ring.add(*entry)
	r.mu.Unlock()
}

// newest returns the latest entries, the newest first, without those of a
// smaller number.
func (r *requests) newest(limit int, number uint64) []*scim.LogEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(uint64(max(limit, 0)), r.added-min(max(r.first(), number), r.added))
	if n == 0 {
		return nil
	}
	all := make([]*scim.LogEntry, n)
	for i := range all {
		entry := r.at(r.added - 1 - uint64(i))
		all[i] = &entry
	}
	return all
}

// Log implements [scim.Ledger].
func (s *Store) Log(ctx context.Context, entry *scim.LogEntry) error {
	if x := s.running(ctx); x != nil {
		return x.Log(ctx, entry)
	}
	s.directory(entry.Directory).requests.add(entry)
	return nil
}

// Log implements [scim.Tx].
func (x *tx) Log(_ context.Context, entry *scim.LogEntry) error {
	if err := x.open(entry.Directory.Tenant); err != nil {
		return err
	}
	x.requests = append(x.requests, entry)
	return nil
}

// Requests implements [scim.Ledger].
func (s *Store) Requests(ctx context.Context, key scim.Key, limit int) ([]*scim.LogEntry, error) {
	v, err := s.view(ctx, key)
	if err != nil {
		return nil, err
	}
	var all []*scim.LogEntry
	var pruned uint64
	if x := s.running(ctx); x != nil {
		if x.rare != nil {
			pruned = x.rare.pruned.requests[v.directory]
		}
		for _, entry := range slices.Backward(x.requests) {
			if entry.Directory == key && len(all) < limit {
				copied := *entry
				all = append(all, &copied)
			}
		}
	}
	if v.directory == nil {
		return all, nil
	}
	return append(all, v.requests.newest(limit-len(all), pruned)...), nil
}

// An outbox holds the deliveries of a tenant that are outstanding.
type outbox struct {
	mu      sync.Mutex
	pending map[uint64]scim.Delivery

	given uint64 // the ID given last; of the transaction that runs
}

func (o *outbox) add(deliveries []scim.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending == nil {
		o.pending = make(map[uint64]scim.Delivery)
	}
	for _, d := range deliveries {
		o.pending[d.ID] = d
	}
}

func (o *outbox) remove(deliveries []scim.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range deliveries {
		delete(o.pending, d.ID)
	}
	if len(o.pending) == 0 {
		o.pending = nil // a map does not shrink, and a large one may have been
	}
}

func (o *outbox) since(before time.Time) (all []scim.Delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.pending {
		if d.Since.Before(before) {
			all = append(all, d)
		}
	}
	return all
}

// Deliver implements [scim.Tx]. A delivery without Since is since now.
func (x *tx) Deliver(_ context.Context, changes ...scim.Delivery) ([]scim.Delivery, error) {
	for _, d := range changes {
		if err := x.open(d.User.Directory.Tenant); err != nil {
			return nil, err
		}
	}
	deliveries := slices.Clone(changes)
	for i := range deliveries {
		d := &deliveries[i]
		x.tenant.outbox.given++
		d.ID = x.tenant.outbox.given
		if d.Since.IsZero() {
			d.Since = x.store.now()
		}
	}
	x.deliveries = append(x.deliveries, deliveries...)
	return deliveries, nil
}

// Undelivered implements [scim.Ledger]. The oldest come first.
func (s *Store) Undelivered(ctx context.Context, tenant string, before time.Time, limit int) ([]scim.Delivery, error) {
	t, x, err := s.known(ctx, tenant)
	if t == nil {
		return nil, err
	}
	all := t.outbox.since(before)
	if x != nil {
		for _, d := range x.deliveries {
			if d.Since.Before(before) {
				all = append(all, d)
			}
		}
		all = slices.DeleteFunc(all, func(d scim.Delivery) bool {
			return x.rare != nil && slices.ContainsFunc(x.rare.delivered, func(done scim.Delivery) bool { return done.ID == d.ID })
		})
	}
	slices.SortFunc(all, func(a, b scim.Delivery) int { return cmp.Compare(a.ID, b.ID) })
	return all[:max(0, min(limit, len(all)))], nil
}

// Delivered implements [scim.Ledger].
func (s *Store) Delivered(ctx context.Context, tenant string, deliveries ...scim.Delivery) error {
	t, x, err := s.known(ctx, tenant)
	switch {
	case t == nil:
		return err
	case x != nil:
		rare := x.rarely()
		rare.delivered = append(rare.delivered, deliveries...)
	default:
		t.outbox.remove(deliveries)
	}
	return nil
}
