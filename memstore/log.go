package memstore

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
)

// A ring keeps the latest of what is added to it, limit at most. It grows as it
// fills, so that thousands of quiet directories cost little.
type ring[T any] struct {
	limit   int
	entries []T
	added   uint64 // ever; the latest is at (added-1) % len(entries) once the ring is full
}

func (r *ring[T]) add(v T) {
	if len(r.entries) < r.limit {
		r.entries = append(r.entries, v)
	} else {
		r.entries[r.added%uint64(r.limit)] = v
	}
	r.added++
}

// at returns the entry that was added as number i, counted from 0. It must be
// one of the latest len(r.entries).
func (r *ring[T]) at(i uint64) T { return r.entries[i%uint64(r.limit)] }

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
	for _, event := range all {
		e.ring.add(event)
	}
}

// after returns events with a greater Seq, limit at most. Seq is the number at
// which an event was added.
func (e *events) after(seq uint64, limit int) []*scim.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := max(seq, e.added-uint64(len(e.entries)))
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
	for _, e := range events {
		if err := x.open(e.Directory.Tenant); err != nil {
			return err
		}
	}
	seq := x.tenant.events.latest() + uint64(len(x.events))
	for _, e := range events {
		seq++
		e.Seq = seq
	}
	x.events = append(x.events, events...)
	return nil
}

// Events implements [scim.Ledger].
func (s *Store) Events(ctx context.Context, tenant string, after uint64, limit int) ([]*scim.Event, error) {
	x, t, err := s.known(ctx, tenant)
	if err != nil || t == nil {
		return nil, err
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

// known returns the tenant of that name, nil if it is not known, and the
// transaction that runs.
func (s *Store) known(ctx context.Context, tenant string) (*tx, *tenant_, error) {
	return nil, nil, nil
}

// requests is the latest of a directory's request log.
type requests struct {
	mu sync.Mutex
	ring[*scim.RequestLog]
}

func (r *requests) add(entry *scim.RequestLog) {
	r.mu.Lock()
	r.ring.add(entry)
	r.mu.Unlock()
}

// newest returns the latest entries, the newest first.
func (r *requests) newest(limit int) []*scim.RequestLog {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(limit, len(r.entries))
	if n <= 0 {
		return nil
	}
	all := make([]*scim.RequestLog, n)
	for i := range all {
		all[i] = r.at(r.added - 1 - uint64(i))
	}
	return all
}
var _ = cmp.Compare[int]
var _ = slices.Sort[[]int]
var _ time.Time
