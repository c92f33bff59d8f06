package memstore

import (
	"sync/atomic"

	scim "github.com/muster-id/scim"
)

// A directory holds the resources of one directory. What is atomic is for
// readers too; the rest belongs to the transaction that runs.
type directory struct {
	key    scim.Key
	tenant *tenant

	blocks  atomic.Pointer[[]*rows] // by slot/blockRows
	shelves []shelf                 // by kind.number
	index   index
	bound   atomic.Pointer[bindings]

	requests requests

	// commit numbers the commits that changed rows, from 1.
	commit uint64

	// What the running transaction has changed.
	touched   []uint32  // slots of rows with a next
	regrouped []uint32  // those of them whose set of members is another one
	nextBound *bindings // nil: as published

	accounts accounts
}

const blockRows = 128

// rows is a block of rows, all of one kind. It never moves.
type rows [blockRows]row

// A row is the place of one resource.
type row struct {
	live atomic.Pointer[entry] // as published; nil: free
	born atomic.Uint64         // the commit that put the present resource here

	next    *entry   // the running transaction's version; nil: as published
	account *account // of the user that is here, changed in place and undone if need be
}

// An entry is a version of a resource with its relations: what a reader sees of
// a row, at once. It is immutable once published.
type entry struct {
	res     *scim.Resource // nil only for deleted
	groups  []uint32       // slots of the groups that have the resource as a member, sorted
	members *memberSet     // of a group
	commit  uint64         // that published the entry
}

// deleted is the next entry of a row whose resource the transaction deletes.
var deleted = new(entry)

// A shelf is the resources of one kind in a directory.
type shelf struct {
	blocks atomic.Pointer[[]*block]
	count  atomic.Int64 // resources, as published

	free []uint32 // slots to use again, the next one last
}

// A block is rows and how many of them are taken, so that a page far behind is
// found without looking at the rows before it.
type block struct {
	*rows
	first uint32 // slot of the first row
	taken atomic.Int32
}

func newDirectory(s *Store, t *tenant, key scim.Key) *directory {
	d := &directory{key: key, tenant: t, shelves: make([]shelf, len(s.kinds))}
	d.requests.ring.limit = s.opts.Requests
	return d
}

func loaded[T any](p *atomic.Pointer[[]T]) []T {
	if s := p.Load(); s != nil {
		return *s
	}
	return nil
}

// push appends to a slice that readers see: those who have loaded it before go
// on with its length from before.
func push[T any](p *atomic.Pointer[[]T], v T) {
	s := append(loaded(p), v)
	p.Store(&s)
}

func (d *directory) row(slot uint32) *row {
	return &(*d.blocks.Load())[slot/blockRows][slot%blockRows]
}

// take returns a free slot for a resource of the kind.
func (d *directory) take(k *kind) uint32 {
	s := &d.shelves[k.number]
	if len(s.free) == 0 {
		b := &block{rows: new(rows), first: uint32(len(loaded(&d.blocks)) * blockRows)}
		push(&d.blocks, b.rows)
		push(&s.blocks, b)
		for i := range uint32(blockRows) {
			s.free = append(s.free, b.first+blockRows-1-i)
		}
	}
	slot := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return slot
}

// touch returns the running transaction's version of a row to change, which is
// not deleted.
func (d *directory) touch(slot uint32) *entry {
	r := d.row(slot)
	if r.next == nil {
		r.next = new(*r.live.Load())
		r.next.commit = d.commit + 1
		d.touched = append(d.touched, slot)
	}
	return r.next
}

// put makes e the running transaction's version of a row, and adds to the
// index what it can be found by. Who reads the row as published does not find
// it there.
func (d *directory) put(k *kind, slot uint32, e *entry) {
	r := d.row(slot)
	published, pending := resourceOf(r.live.Load()), resourceOf(r.next)
	k.without(pending, published, func(t tag) { d.index.remove(t, slot) })
	k.without(e.res, published, func(t tag) { d.index.add(t, slot) })
	if r.next == nil {
		d.touched = append(d.touched, slot)
	}
	e.commit = d.commit + 1
	r.next = e
}

func resourceOf(e *entry) *scim.Resource {
	if e == nil {
		return nil
	}
	return e.res
}

// publish makes the running transaction's version of every row the one that
// readers see.
func (d *directory) publish(kindOf func(*scim.ResourceType) *kind) {
	d.deriveGroups()
	// Groups come last, so that who sees a group with a member sees the member.
	for _, groups := range []bool{false, true} {
		for _, slot := range d.touched {
			if r := d.row(slot); r.next != nil && groups == (r.next.members != nil) {
				d.publishRow(slot, r, kindOf)
			}
		}
	}
	if len(d.touched) > 0 {
		d.commit++
	}
	if d.nextBound != nil {
		d.bound.Store(d.nextBound)
	}
	d.reset()
}

// deriveGroups brings the lists of groups into line with the sets of members.
func (d *directory) deriveGroups() {
	for _, group := range d.regrouped {
		r := d.row(group)
		var old *memberSet
		if e := r.live.Load(); e != nil {
			old = e.members
		}
		difference(old, r.next.members, func(slot uint32, added bool) {
			if d.row(slot).next == deleted {
				return
			}
			e := d.touch(slot)
			if added {
				e.groups = with(e.groups, group)
			} else {
				e.groups = without(e.groups, group)
			}
		})
	}
}

func (d *directory) publishRow(slot uint32, r *row, kindOf func(*scim.ResourceType) *kind) {
	old, now := r.live.Load(), r.next
	r.next = nil
	var taken int32
	switch {
	case now == deleted && old == nil: // created and deleted: nobody has seen it
		d.shelfOf(slot).free = append(d.shelfOf(slot).free, slot)
		return
	}
	_ = taken
	_ = kindOf
	_ = old
}
