package memstore

import (
	"slices"
	"sync/atomic"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/internal/pace"
)

// A directory holds the resources of one directory. What is atomic is for
// readers too; the rest belongs to the transaction that runs.
type directory struct {
	store  *Store
	tenant *tenant
	key    scim.Key

	rows    atomic.Pointer[[]*rows] // by slot/blockRows
	shelves []shelf                 // by kind.number
	index   index
	bound   atomic.Pointer[bindings]

	requests requests

	blocks   []*block // by slot/blockRows
	commits  uint64   // that changed rows
	accounts accounts

	// What the running transaction has found last: it mostly asks about one
	// resource several times. A hint, to be confirmed.
	found struct {
		kind *kind
		slot uint32
	}

	// What the running transaction has changed.
	touched   []uint32  // slots of the rows with a next
	regrouped []uint32  // those of them with another set of members
	nextBound *bindings // nil: as published
}

const blockRows = 128

// rows are the rows of one block. They never move.
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
	res     *scim.Resource // nil only in deleted
	groups  []uint32       // slots of the groups that have the resource as a member, sorted
	members *memberSet     // of a group
	ref     *scim.GroupRef // of a group: what is said of it where its members are read
	commit  uint64         // that published the entry

	alike bool // until it is published: the index finds res as it finds what is published
}

// deleted is the next entry of a row whose resource the transaction deletes.
var deleted = new(entry)

// A shelf is the resources of one kind in a directory.
type shelf struct {
	blocks atomic.Pointer[[]*block]
	count  atomic.Int64 // resources, as published

	free []uint32 // slots to use next, the last one first
}

// A block is rows of one kind and how many of them are taken, so that a page
// far behind is found without looking at the rows before it.
type block struct {
	rows  *rows
	kind  *kind
	first uint32 // slot of the first row
	taken atomic.Int32
}

func newDirectory(s *Store, t *tenant, key scim.Key) *directory {
	d := &directory{store: s, tenant: t, key: key, shelves: make([]shelf, len(s.kinds))}
	d.requests.limit = s.opts.Requests
	d.index.entries = d.entries
	return d
}

func loaded[T any](p *atomic.Pointer[[]T]) []T {
	if s := p.Load(); s != nil {
		return *s
	}
	return nil
}

// push appends to a slice that readers see: those who have loaded it before go
// on with the length it had.
func push[T any](p *atomic.Pointer[[]T], v T) {
	s := append(loaded(p), v)
	p.Store(&s)
}

func (d *directory) row(slot uint32) *row {
	return &(*d.rows.Load())[slot/blockRows][slot%blockRows]
}

func (d *directory) block(slot uint32) *block { return d.blocks[slot/blockRows] }

// take returns a free slot for a resource of the kind.
func (d *directory) take(k *kind) uint32 {
	s := &d.shelves[k.number]
	if len(s.free) == 0 {
		b := &block{rows: new(rows), kind: k, first: uint32(len(d.blocks) * blockRows)}
		d.blocks = append(d.blocks, b)
		push(&d.rows, b.rows)
		push(&s.blocks, b)
		for i := range uint32(blockRows) {
			s.free = append(s.free, b.first+blockRows-1-i)
		}
	}
	slot := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	d.row(slot).born.Store(d.commits + 1)
	return slot
}

func (d *directory) release(slot uint32) {
	s := &d.shelves[d.block(slot).kind.number]
	s.free = append(s.free, slot)
}

// touch returns the running transaction's version of a row, which is not
// deleted, to change its relations.
func (d *directory) touch(slot uint32) *entry {
	r := d.row(slot)
	if r.next == nil {
		r.next = new(*r.live.Load())
		r.next.commit, r.next.alike = d.commits+1, true
		d.touched = append(d.touched, slot)
	}
	return r.next
}

// write makes res the running transaction's resource in a row, nil deletes it.
// The index gains at once what res can be found by: who reads the row as
// published does not find it there. alike says that it finds res as it finds
// what the transaction saw in the row before.
func (d *directory) write(slot uint32, res *scim.Resource, alike bool) {
	r, k := d.row(slot), d.block(slot).kind
	var published, pending *scim.Resource
	live := r.live.Load()
	if live != nil {
		published = live.res
	}
	if r.next != nil {
		pending = r.next.res
		alike = alike && r.next.alike
	} else {
		d.touched = append(d.touched, slot)
	}
	switch {
	case res == nil:
		r.next = deleted
	case r.next != nil:
	case live != nil:
		r.next = new(*live)
	default:
		r.next = new(entry)
	}
	if next := r.next; next != deleted {
		next.res, next.commit, next.alike = res, d.commits+1, alike
		if k.typ.IsGroup() {
			next.ref = d.refOf(k, res)
		}
	}
	if alike {
		return
	}
	// The row comes first: to add can ask for all entries of the rows.
	k.without(pending, published, func(t tag) { d.index.remove(t, slot) })
	k.without(res, published, func(t tag) { d.index.add(t, slot) })
}

// entries yields what the index should hold: by what a resource can be found
// as published and as the running transaction has it.
func (d *directory) entries(yield func(tag, uint32) bool) {
	var p pace.Pace
	for _, b := range d.blocks {
		for i := range b.rows {
			p.Step()
			r, slot, more := &b.rows[i], b.first+uint32(i), true
			each := func(t tag) { more = more && yield(t, slot) }
			var published *scim.Resource
			if e := r.live.Load(); e != nil {
				published = e.res
				b.kind.without(published, nil, each)
			}
			if r.next != nil {
				b.kind.without(r.next.res, published, each)
			}
			if !more {
				return
			}
		}
	}
}

// unbound is what a group that no selector is bound to has claimed. It is not
// nil, which would say that the store is no Ledger.
var unbound = []string{}

// refOf makes what is said of a group, once for all who are in it.
func (d *directory) refOf(k *kind, group *scim.Resource) *scim.GroupRef {
	ref := &scim.GroupRef{ID: group.ID(), ExternalID: group.ExternalID(), Bound: unbound}
	if k.displayName != nil {
		ref.DisplayName = group.Doc().Get(k.displayName).Text()
	}
	if selectors := d.pendingBindings().of(ref.ID); selectors != nil {
		ref.Bound = selectors
	}
	return ref
}

// rebind brings what is said of a group into line with the bindings.
func (d *directory) rebind(group uint32, k *kind) {
	e := d.touch(group)
	e.ref = d.refOf(k, e.res)
}

// pendingBindings returns the bindings as the running transaction sees them;
// nil has none.
func (d *directory) pendingBindings() *bindings {
	if d.nextBound != nil {
		return d.nextBound
	}
	return d.bound.Load()
}

// regroup gives a group another set of members.
func (d *directory) regroup(group uint32, members *memberSet) {
	d.touch(group).members = members
	d.noteRegrouped(group)
}

func (d *directory) noteRegrouped(group uint32) {
	if !slices.Contains(d.regrouped, group) {
		d.regrouped = append(d.regrouped, group)
	}
}

// publish makes the running transaction's version of every row the one that
// readers see.
func (d *directory) publish() {
	d.deriveGroups()
	// Groups come last, so that who sees a group with a member sees the member.
	var p pace.Pace
	for _, groups := range []bool{false, true} {
		for _, slot := range d.touched {
			p.Step()
			if r := d.row(slot); r.next != nil && groups == (r.next.members != nil) {
				d.publishRow(slot, r)
			}
		}
	}
	if len(d.touched) > 0 {
		d.commits++
	}
	if d.nextBound != nil {
		d.bound.Store(d.nextBound)
	}
	d.settle()
}

// deriveGroups brings the lists of groups into line with the sets of members.
func (d *directory) deriveGroups() {
	var p pace.Pace
	for _, group := range d.regrouped {
		r := d.row(group)
		var old *memberSet
		if e := r.live.Load(); e != nil {
			old = e.members
		}
		difference(old, r.next.members, func(slot uint32, added bool) {
			if p.Step(); d.row(slot).next == deleted {
				return
			}
			if e := d.touch(slot); added {
				e.groups = with(e.groups, group)
			} else {
				e.groups = without(e.groups, group)
			}
		})
	}
}

func (d *directory) publishRow(slot uint32, r *row) {
	b := d.block(slot)
	s := &d.shelves[b.kind.number]
	now := r.next
	r.next = nil
	if now == deleted {
		d.release(slot)
		now = nil
	}
	old := r.live.Swap(now)
	switch {
	case old == nil && now != nil:
		b.taken.Add(1)
		s.count.Add(1)
	case old != nil && now == nil:
		b.taken.Add(-1)
		s.count.Add(-1)
		b.kind.without(old.res, nil, func(t tag) { d.index.remove(t, slot) })
	case old != nil && !now.alike:
		b.kind.without(old.res, now.res, func(t tag) { d.index.remove(t, slot) })
	}
}

// revert forgets what the running transaction has changed.
func (d *directory) revert() {
	for _, slot := range d.touched {
		r := d.row(slot)
		var published *scim.Resource
		if e := r.live.Load(); e != nil {
			published = e.res
		} else {
			d.release(slot)
		}
		d.block(slot).kind.without(r.next.res, published, func(t tag) { d.index.remove(t, slot) })
		r.next = nil
	}
	d.accounts.revert()
	d.settle()
}

func (d *directory) settle() {
	const keep = 1024 // a large transaction's lists are not kept for small ones
	if cap(d.touched) > keep {
		d.touched = nil
	}
	d.touched, d.regrouped, d.nextBound = d.touched[:0], d.regrouped[:0], nil
	d.accounts.settle()
}

// with returns sorted slots with one more, in memory of its own.
func with(slots []uint32, slot uint32) []uint32 {
	i, found := slices.BinarySearch(slots, slot)
	if found {
		return slots
	}
	more := make([]uint32, len(slots)+1)
	copy(more, slots[:i])
	more[i] = slot
	copy(more[i+1:], slots[i:])
	return more
}

// without returns sorted slots with one less, in memory of its own.
func without(slots []uint32, slot uint32) []uint32 {
	i, found := slices.BinarySearch(slots, slot)
	if !found {
		return slots
	}
	return slices.Concat(slots[:i], slots[i+1:])
}
