package memstore

import (
	"iter"
	"math/bits"
	"slices"
)

// A memberSet is an immutable set of slots: a sorted slice while it is small,
// pages of bits beyond. A change copies what it touches and shares the rest,
// so that its cost hardly depends on the size. The nil set is empty.
type memberSet struct {
	n     int
	small []uint32 // where pages is nil
	pages []*page  // by slot/pageBits; a nil page is empty
}

type page [pageWords]uint64

const (
	pageBits  = 2048 // a change in a set of 100,000 copies 256 bytes of bits and 49 pointers
	pageWords = pageBits / 64

	// A set becomes pages above smallMost and a slice again below smallAgain:
	// apart, so that adding and removing at the border does not convert each
	// time. At the border a slice is 2 KB to copy; pages of a set scattered
	// over 100,000 slots are 12.5 KB.
	smallMost  = 512
	smallAgain = 256
)

func (s *memberSet) has(slot uint32) bool {
	if s == nil {
		return false
	}
	if s.pages == nil {
		_, ok := slices.BinarySearch(s.small, slot)
		return ok
	}
	return s.page(slot / pageBits).has(slot)
}

func (p *page) has(slot uint32) bool {
	return p != nil && p[slot%pageBits/64]&(1<<(slot%64)) != 0
}

func (s *memberSet) page(i uint32) *page {
	if int(i) < len(s.pages) {
		return s.pages[i]
	}
	return nil
}

// all yields the slots in order.
func (s *memberSet) all() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		if s == nil {
			return
		}
		for _, slot := range s.small {
			if !yield(slot) {
				return
			}
		}
		for i, p := range s.pages {
			if p == nil {
				continue
			}
			for w, word := range p {
				for ; word != 0; word &= word - 1 {
					if !yield(slotOf(i, w, word)) {
						return
					}
				}
			}
		}
	}
}

// slotOf returns the slot of the lowest bit of a word.
func slotOf(page, word int, bit uint64) uint32 {
	return uint32(page*pageBits + word*64 + bits.TrailingZeros64(bit))
}

// difference calls f with the slots in one of the sets but not in the other.
// What the sets share costs nothing.
func difference(old, now *memberSet, f func(slot uint32, added bool)) {
	if old == now {
		return
	}
	if old == nil {
		old = new(memberSet)
	}
	if now == nil {
		now = new(memberSet)
	}
	switch {
	case old.pages == nil && now.pages == nil:
		merge(old.small, now.small, f)
		return
	case old.pages == nil || now.pages == nil:
		for slot := range old.all() {
			if !now.has(slot) {
				f(slot, false)
			}
		}
		for slot := range now.all() {
			if !old.has(slot) {
				f(slot, true)
			}
		}
		return
	}
	var none page
	for i := range max(len(old.pages), len(now.pages)) {
		p, q := old.page(uint32(i)), now.page(uint32(i))
		if p == q {
			continue
		}
		if p == nil {
			p = &none
		}
		if q == nil {
			q = &none
		}
		for w := range p {
			for changed := p[w] ^ q[w]; changed != 0; changed &= changed - 1 {
				bit := changed & -changed
				f(slotOf(i, w, bit), q[w]&bit != 0)
			}
		}
	}
}

// merge is [difference] for two sorted slices.
func merge(old, now []uint32, f func(slot uint32, added bool)) {
	for len(old) > 0 && len(now) > 0 {
		switch {
		case old[0] == now[0]:
			old, now = old[1:], now[1:]
		case old[0] < now[0]:
			f(old[0], false)
			old = old[1:]
		default:
			f(now[0], true)
			now = now[1:]
		}
	}
	for _, slot := range old {
		f(slot, false)
	}
	for _, slot := range now {
		f(slot, true)
	}
}

// A memberEdit makes a new set out of another one.
type memberEdit struct {
	was *memberSet
	now memberSet
}

func (s *memberSet) edit() *memberEdit {
	e := &memberEdit{was: s}
	if s != nil {
		e.now = memberSet{n: s.n, small: slices.Clone(s.small), pages: slices.Clone(s.pages)}
	}
	return e
}

// add puts a slot into the set and reports whether it was not there.
func (e *memberEdit) add(slot uint32) bool {
	s := &e.now
	if s.pages == nil {
		i, found := slices.BinarySearch(s.small, slot)
		if found {
			return false
		}
		if s.n < smallMost {
			s.small = slices.Insert(s.small, i, slot)
			s.n++
			return true
		}
		s.paginate()
	}
	if s.page(slot / pageBits).has(slot) {
		return false
	}
	e.own(slot)[slot%pageBits/64] |= 1 << (slot % 64)
	s.n++
	return true
}

// remove takes a slot out of the set and reports whether it was there.
func (e *memberEdit) remove(slot uint32) bool {
	s := &e.now
	if !s.has(slot) {
		return false
	}
	s.n--
	if s.pages == nil {
		i, _ := slices.BinarySearch(s.small, slot)
		s.small = slices.Delete(s.small, i, i+1)
		return true
	}
	e.own(slot)[slot%pageBits/64] &^= 1 << (slot % 64)
	return true
}

// own returns the slot's page, copied if it is shared with the set before.
func (e *memberEdit) own(slot uint32) *page {
	s, i := &e.now, slot/pageBits
	for int(i) >= len(s.pages) {
		s.pages = append(s.pages, nil)
	}
	p := s.pages[i]
	switch {
	case p == nil:
		p = new(page)
	case e.was != nil && p == e.was.page(i):
		p = new(*p)
	}
	s.pages[i] = p
	return p
}

func (s *memberSet) paginate() {
	small := s.small
	s.small, s.pages = nil, make([]*page, small[len(small)-1]/pageBits+1)
	for _, slot := range small {
		p := &s.pages[slot/pageBits]
		if *p == nil {
			*p = new(page)
		}
		(*p)[slot%pageBits/64] |= 1 << (slot % 64)
	}
}

// set returns the new set, nil if it is empty. The edit must not be used again.
func (e *memberEdit) set() *memberSet {
	s := &e.now
	if s.n == 0 {
		return nil
	}
	if s.pages != nil && s.n < smallAgain {
		*s = memberSet{n: s.n, small: slices.AppendSeq(make([]uint32, 0, s.n), s.all())}
	}
	return s
}
