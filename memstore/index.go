package memstore

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync/atomic"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// An index maps hashes of values to the slots of resources that may have them:
// a table of eight bytes an entry with linear probing. One writer changes it
// while readers look, without a lock. That works because an entry stays where
// it is until the table is replaced, a removed one leaves a mark so that no
// search ends early, and nothing is believed that the row does not confirm.
//
// A value that very many resources share would make a long run of entries that
// every other search has to walk. So at most runMost of them are kept; a mark
// then says that the index does not know all, and [index.find] does so too. While
// there is a mark the table is replaced after a while even if it has room: where
// most of those that it knew are gone, the rows are asked who is left, so that a
// value which has become rare is found again.
type index struct {
	// entries yields what the index should hold, each entry once. Nil: nobody
	// can tell, and what is overflowing stays so.
	entries iter.Seq2[tag, uint32]

	table atomic.Pointer[[]atomic.Uint64] // the length is a power of two
	used  int                             // entries that are not empty, removed ones included
	live  int
	marks int // of overflow
	since int // changes since the table was made
}

// An entry has the tag in its upper half. In the lower one is a slot, plus one.
const (
	empty    = 0
	removed  = 1 << 32   // no slot
	overflow = 1<<32 - 1 // for the slot: the tag has more slots than these
	runMost  = 256       // slots of one tag
	leastLen = 64        // of a table
)

// A tag is what the index keeps of a value's hash, salted by its attribute.
type tag = uint32

var valueSeed = maphash.MakeSeed()

func salt(kind, attribute int) uint64 {
	return maphash.Comparable(valueSeed, [2]int{kind, attribute})
}

// tagOf returns the tag of a value; folded says that it is already as
// [filter.Canonical] returns it.
func (i *indexed) tagOf(text string, folded bool) tag {
	const longest = 128
	if !folded && i.attr.Kind != attr.String && i.attr.Kind != attr.Reference {
		text = filter.Canonical(i.attr, text)
	} else if !folded && !i.attr.CaseExact {
		// Folding on the stack, but for what is long or not ASCII.
		var buffer [longest]byte
		if b, ok := foldASCII(buffer[:0], text); ok {
			return fold32(maphash.Bytes(valueSeed, b) + i.salt)
		}
		text = attr.Fold(text)
	}
	return fold32(maphash.String(valueSeed, text) + i.salt)
}

func fold32(h uint64) tag { return tag(h>>32) ^ tag(h) }

func foldASCII(b []byte, s string) ([]byte, bool) {
	if len(s) > cap(b) {
		return nil, false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			return nil, false
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b, true
}

// find yields the slots that may have a value of that tag. The last thing it
// yields is overflow if there are others.
func (x *index) find(t tag) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		p := x.table.Load()
		if p == nil {
			return
		}
		table := *p
		mask := uint32(len(table) - 1)
		more := false
		for at := t & mask; ; at = (at + 1) & mask {
			e := table[at].Load()
			if e == empty {
				break
			}
			slot := uint32(e)
			if tag(e>>32) != t || slot == 0 {
				continue
			}
			if slot == overflow {
				more = true
			} else if !yield(slot - 1) {
				return
			}
		}
		if more {
			yield(overflow)
		}
	}
}

// add adds an entry. One that is there already is none more: a new table, made
// for another entry of the same row, may have it from the rows.
func (x *index) add(t tag, slot uint32) {
	p := x.table.Load()
	const mostOf4 = 3 // quarters of the table in use
	if p == nil || 4*(x.used+1) > mostOf4*len(*p) || x.marks > 0 && 4*x.since > x.live {
		p = x.rebuild()
	}
	x.since++
	table := *p
	mask := uint32(len(table) - 1)
	run, free := 0, -1
	for at := t & mask; ; at = (at + 1) & mask {
		switch e := table[at].Load(); {
		case e == empty:
			if run == runMost {
				slot = overflow - 1
				x.marks++
			}
			if free < 0 {
				free = int(at)
				x.used++
			}
			table[free].Store(uint64(t)<<32 | uint64(slot+1))
			x.live++
			return
		case uint32(e) == 0:
			if free < 0 {
				free = int(at)
			}
		case tag(e>>32) == t:
			if uint32(e) == overflow || uint32(e) == slot+1 {
				return
			}
			run++
		}
	}
}

// remove removes an entry; one that is not there is no mistake, it was too
// many.
func (x *index) remove(t tag, slot uint32) {
	p := x.table.Load()
	if p == nil {
		return
	}
	x.since++
	table := *p
	mask := uint32(len(table) - 1)
	gone := uint64(t)<<32 | uint64(slot+1)
	for at := t & mask; ; at = (at + 1) & mask {
		switch table[at].Load() {
		case gone:
			table[at].Store(removed)
			x.live--
			return
		case empty:
			return
		}
	}
}

// rebuild makes a table with room to grow, aside, and puts it in place.
func (x *index) rebuild() *[]atomic.Uint64 {
	var old []atomic.Uint64
	if p := x.table.Load(); p != nil {
		old = *p
	}
	again, wanted := x.rare(old), x.live+1
	for _, slots := range again {
		wanted += len(slots)
	}
	size := leastLen
	for size < 2*wanted {
		size *= 2
	}
	table := make([]atomic.Uint64, size)
	mask := uint32(size - 1)
	x.live, x.marks, x.since = 0, 0, 0
	put := func(e uint64) {
		if uint32(e) == overflow {
			x.marks++
		}
		at := uint32(e>>32) & mask
		for table[at].Load() != empty {
			at = (at + 1) & mask
		}
		table[at].Store(e)
		x.live++
	}
	for i := range old {
		e := old[i].Load()
		if _, known := again[tag(e>>32)]; uint32(e) != 0 && !known {
			put(e)
		}
	}
	for t, slots := range again {
		for _, slot := range slots {
			put(uint64(t)<<32 | uint64(slot+1))
		}
	}
	x.used = x.live
	x.table.Store(&table)
	return &table
}

// rare returns the tags that are overflowing and need not be any more, with all
// their slots. Half of what a run may have is the bound, so that a value shared
// by about runMost resources does not go back and forth.
func (x *index) rare(table []atomic.Uint64) map[tag][]uint32 {
	const most = runMost / 2
	if x.entries == nil {
		return nil
	}
	var rare map[tag][]uint32
	for i := range table {
		if e := table[i].Load(); uint32(e) == overflow {
			if rare == nil {
				rare = map[tag][]uint32{}
			}
			rare[tag(e>>32)] = nil
		}
	}
	if rare == nil {
		return nil
	}
	known := make(map[tag]int, len(rare))
	for i := range table {
		e := table[i].Load()
		if t := tag(e >> 32); uint32(e) != 0 && uint32(e) != overflow {
			if _, marked := rare[t]; marked {
				known[t]++
			}
		}
	}
	for t, n := range known {
		if n > most {
			delete(rare, t)
		}
	}
	if len(rare) == 0 {
		return nil
	}
	for t, slot := range x.entries {
		if slots, marked := rare[t]; marked {
			if len(slots) == most {
				delete(rare, t)
			} else {
				rare[t] = append(slots, slot)
			}
		}
	}
	return rare
}

// tags returns the tags of a resource, sorted, each once. nil has none. It
// uses the memory of into.
func (k *kind) tags(into []tag, r *scim.Resource) []tag {
	if r == nil {
		return nil
	}
	tags := into[:0]
	for i := range k.indexed {
		x := &k.indexed[i]
		if x.many || x.list != nil && x.list.Parent != nil {
			tags = slices.AppendSeq(tags, x.tagsIn(r))
			continue
		}
		if x.list == nil {
			if v := r.Doc().At(x.attr); v.Exists() {
				tags = append(tags, x.tagOf(v.Text(), false))
			}
			continue
		}
		for v := r.Doc().Get(x.list).First(); v.Exists(); v = v.Next() {
			if text := v.Get(x.attr); text.Exists() {
				tags = append(tags, x.tagOf(text.Text(), false))
			}
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// tagsIn yields the tags of all values of the attribute.
func (i *indexed) tagsIn(r *scim.Resource) iter.Seq[tag] {
	return func(yield func(tag) bool) {
		for v := range r.Doc().All(i.attr) {
			if !yield(i.tagOf(v.Text(), false)) {
				return
			}
		}
	}
}

// sameTags reports whether two resources surely have the same tags.
func (k *kind) sameTags(r, other *scim.Resource) bool {
	if r == other {
		return true
	}
	if r == nil || other == nil {
		return false
	}
	for i := range k.indexed {
		a := k.indexed[i].top()
		if r.Doc().At(a).JSON() != other.Doc().At(a).JSON() {
			return false
		}
	}
	return true
}

// top returns the attribute whose JSON holds all values of the indexed one.
func (i *indexed) top() *attr.Attribute {
	if i.list != nil {
		return i.list
	}
	return i.attr
}

// without calls f with the tags that r has and other has not.
func (k *kind) without(r, other *scim.Resource, f func(tag)) {
	if r == nil || k.sameTags(r, other) {
		return
	}
	const usual = 16
	var b1, b2 [usual]tag
	others := k.tags(b2[:], other)
	for _, t := range k.tags(b1[:], r) {
		if _, both := slices.BinarySearch(others, t); !both {
			f(t)
		}
	}
}
