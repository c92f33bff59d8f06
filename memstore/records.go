package memstore

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
	control "github.com/muster-id/scim/directory"
)

// records are those of a tenant by their kind, in order of ID. They are
// immutable: there are few, and they are read far more often than changed.
type records map[control.Kind][]*control.Record

// place returns where the record of that ID is or would be.
func (r records) place(kind control.Kind, id string) (i int, found bool) {
	return slices.BinarySearchFunc(r[kind], id, func(r *control.Record, id string) int { return cmp.Compare(r.ID, id) })
}

func (r records) find(key control.RecordKey) *control.Record {
	if i, found := r.place(key.Kind, key.ID); found {
		return r[key.Kind][i]
	}
	return nil
}

// with returns the records with another one in place of that of its ID.
func (r records) with(record *control.Record) records {
	next, kind := maps.Clone(r), record.Kind
	if next == nil {
		next = make(records)
	}
	i, found := r.place(kind, record.ID)
	if found {
		next[kind] = slices.Clone(r[kind])
		next[kind][i] = record
	} else {
		next[kind] = slices.Insert(slices.Clip(r[kind]), i, record)
	}
	return next
}

// without returns the records without that one, which there is.
func (r records) without(key control.RecordKey) records {
	i, _ := r.place(key.Kind, key.ID)
	next := maps.Clone(r)
	if next[key.Kind] = slices.Concat(r[key.Kind][:i], r[key.Kind][i+1:]); len(next[key.Kind]) == 0 {
		delete(next, key.Kind)
	}
	return next
}

// recorded returns the records of the tenant as the transaction, if any, sees
// them.
func (t *tenant) recorded(x *tx) records {
	if x != nil && x.rare != nil && x.rare.records != nil {
		return x.rare.records
	}
	if published := t.records.Load(); published != nil {
		return *published
	}
	return nil
}

// Record implements [control.Storage].
func (s *Store) Record(ctx context.Context, key control.RecordKey) (*control.Record, error) {
	t, x, err := s.known(ctx, key.Tenant)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if r := t.recorded(x).find(key); r != nil {
			return r, nil
		}
	}
	return nil, scim.ErrNotFound
}

// Records implements [control.Storage].
func (s *Store) Records(ctx context.Context, tenant string, kind control.Kind, after string, limit int) ([]*control.Record, error) {
	t, x, err := s.known(ctx, tenant)
	if t == nil {
		return nil, err
	}
	all := t.recorded(x)
	i, found := all.place(kind, after)
	if found {
		i++
	}
	page := all[kind][i:]
	return slices.Clone(page[:max(0, min(limit, len(page)))]), nil
}

// PutRecord implements [control.Storage]. The store keeps r's Data.
func (s *Store) PutRecord(ctx context.Context, r *control.Record) (version uint64, err error) {
	if r.Kind == "" || r.ID == "" {
		return 0, errors.New("memstore: put record: a record without kind or ID")
	}
	err = s.do(ctx, r.Tenant, func(x *tx) error {
		if err := x.open(r.Tenant); err != nil {
			return err
		}
		all := x.tenant.recorded(x)
		stored := all.find(r.RecordKey)
		switch {
		case stored == nil && r.Version != 0:
			return scim.ErrNotFound
		case stored != nil && r.Version != stored.Version:
			return scim.ErrVersion
		}
		own := *r
		own.Version++
		version, x.rarely().records = own.Version, all.with(&own)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// DeleteRecord implements [control.Storage].
func (s *Store) DeleteRecord(ctx context.Context, key control.RecordKey) error {
	t, _, err := s.known(ctx, key.Tenant)
	if t == nil {
		return err
	}
	return s.do(ctx, key.Tenant, func(x *tx) error {
		if all := x.tenant.recorded(x); all.find(key) != nil {
			x.rarely().records = all.without(key)
		}
		return nil
	})
}

// Tenants implements [control.Storage].
func (s *Store) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	x := s.running(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return least(func(yield func(string) bool) {
		for name, t := range s.tenants {
			own := x
			if x != nil && x.tenant != t {
				own = nil
			}
			if len(t.recorded(own)) > 0 && !yield(name) {
				return
			}
		}
	}, after, limit), nil
}

// claims are who has which name, in all tenants. A name that a transaction
// claims is its tenant's at once, so that nobody else gets it meanwhile, and is
// given back if it is rolled back; one that it gives up stays its tenant's until
// the commit.
type claims struct {
	mu      sync.Mutex
	holders map[string]string // tenants by name
}

// claimChanges are the names that a running transaction has claimed anew, and
// those that it gives up.
type claimChanges struct{ taken, given map[string]struct{} }

// settle takes names back at the end of a transaction.
func (c *claims) settle(names map[string]struct{}) {
	if len(names) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range names {
		delete(c.holders, name)
	}
}

// Claim implements [control.Storage]. What a transaction of another tenant has
// claimed is taken, although that is not committed.
func (s *Store) Claim(ctx context.Context, name, tenant string) (holder string, err error) {
	err = s.do(ctx, tenant, func(x *tx) error {
		if err := x.open(tenant); err != nil {
			return err
		}
		changes := &x.rarely().claims
		c := &s.claims
		c.mu.Lock()
		defer c.mu.Unlock()
		var taken bool
		if holder, taken = c.holders[name]; taken {
			delete(changes.given, name) // only the tenant's own are there
			return nil
		}
		if c.holders == nil {
			c.holders = make(map[string]string)
		}
		if changes.taken == nil {
			changes.taken = make(map[string]struct{})
		}
		c.holders[name], changes.taken[name] = tenant, struct{}{}
		holder = tenant
		return nil
	})
	if err != nil {
		return "", err
	}
	return holder, nil
}

// Unclaim implements [control.Storage].
func (s *Store) Unclaim(ctx context.Context, name, tenant string) error {
	return s.do(ctx, tenant, func(x *tx) error {
		if err := x.open(tenant); err != nil {
			return err
		}
		changes := &x.rarely().claims
		c := &s.claims
		c.mu.Lock()
		defer c.mu.Unlock()
		if holder, taken := c.holders[name]; !taken || holder != tenant {
			return nil
		}
		if _, own := changes.taken[name]; own {
			delete(changes.taken, name)
			delete(c.holders, name)
			return nil
		}
		if changes.given == nil {
			changes.given = make(map[string]struct{})
		}
		changes.given[name] = struct{}{}
		return nil
	})
}

// pruned is up to where a running transaction has removed events and lines: the
// numbers, in their rings, of the first that are left.
type pruned struct {
	events   uint64
	requests map[*directory]uint64
}

func (p *pruned) commit(t *tenant) {
	if p.events > 0 {
		t.events.mu.Lock()
		t.events.drop(p.events)
		t.events.mu.Unlock()
	}
	for d, number := range p.requests {
		d.requests.mu.Lock()
		d.requests.drop(number)
		d.requests.mu.Unlock()
	}
}

// Prune implements [control.Storage]. Lines are removed from the oldest on, until
// one was written at p.Requests or later.
func (s *Store) Prune(ctx context.Context, tenant string, p control.Prune) (removed int, err error) {
	t, _, err := s.known(ctx, tenant)
	if t == nil || p.Limit <= 0 {
		return 0, err
	}
	err = s.do(ctx, tenant, func(x *tx) error {
		gone := &x.rarely().pruned
		first := max(x.tenant.events.oldest(), gone.events)
		last := min(p.Events, x.tenant.events.latest()+uint64(len(x.events)))
		if last > first {
			gone.events = first + min(last-first, uint64(p.Limit))
			removed = int(gone.events - first)
		}
		if p.Requests.IsZero() {
			return nil
		}
		left := p.Limit
		for _, d := range s.directoriesOf(x.tenant) {
			n, next := d.requests.before(p.Requests, gone.requests[d], left)
			if n == 0 {
				continue
			}
			if gone.requests == nil {
				gone.requests = make(map[*directory]uint64)
			}
			gone.requests[d] = next
			left -= n
			removed += n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// oldest returns how many events were added before the oldest that is left.
func (e *events) oldest() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.first()
}

// before returns how many entries were written before a time, from that number
// on, limit at most, and the number of the next.
func (r *requests) before(t time.Time, number uint64, limit int) (n int, next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number = max(number, r.first())
	for n < limit && number < r.added && r.at(number).Time.Before(t) {
		n++
		number++
	}
	return n, number
}
