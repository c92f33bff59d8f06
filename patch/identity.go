package patch

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// appendIdentity appends bytes that are equal for equal values: in any order
// where there are several, and unless exact is set as the operator eq compares
// them, in any case or spelling that does not count for the attribute.
func appendIdentity(b []byte, n *attr.Node, exact bool) []byte {
	switch {
	case n.IsList():
		var values [][]byte
		for c := n.First(); c != nil; c = c.Next() {
			values = append(values, appendIdentity(nil, c, exact))
		}
		slices.SortFunc(values, bytes.Compare)
		for _, v := range values {
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		}
		return b
	case n.IsObject():
		for c := n.First(); c != nil; c = c.Next() {
			b = binary.AppendUvarint(b, uint64(c.Attr().Index()))
			b = appendIdentity(b, c, exact)
		}
		return append(b, 0)
	}
	s := n.Text()
	if !exact {
		s = filter.Canonical(n.Attr(), s)
	}
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// equal reports whether two values are equal; exact as in [appendIdentity].
func (w *writer) equal(m, n *attr.Node, exact bool) bool {
	w.scratch[0] = appendIdentity(w.scratch[0][:0], m, exact)
	w.scratch[1] = appendIdentity(w.scratch[1][:0], n, exact)
	return bytes.Equal(w.scratch[0], w.scratch[1])
}

// appendKey appends what tells one value of a multi-valued attribute from
// another. Where it has a value that is value and, if typed, type (RFC 7643
// section 2.4: no combination of the two is there twice), else all of it but
// whether it is primary and what is read-only.
func appendKey(b []byte, n *attr.Node, typed bool) []byte {
	if !n.IsObject() {
		return appendIdentity(b, n, false)
	}
	a := n.Attr()
	var value, kind *attr.Node
	if v := a.ValueSub(); v != nil && v.Mutability != attr.ReadOnly {
		value = n.Child(v)
	}
	if value == nil {
		for c := n.First(); c != nil; c = c.Next() {
			if c.Attr() != a.PrimarySub() && c.Attr().Mutability != attr.ReadOnly {
				b = binary.AppendUvarint(b, uint64(c.Attr().Index()))
				b = appendIdentity(b, c, false)
			}
		}
		return append(b, 'x')
	}
	b = appendIdentity(b, value, false)
	if t := a.Sub("type"); t != nil && typed {
		kind = n.Child(t)
	}
	if kind != nil {
		b = appendIdentity(b, kind, false)
		return append(b, 't')
	}
	return append(b, 'v')
}

// few is up to how many values are looked for one by one.
const few = 8

// An index finds values in the list of a multi-valued attribute. Whatever the
// number of values looked for, the list is read few times.
type index struct {
	list    *attr.Node
	keys    map[string]*attr.Node // nil where few are looked for
	scratch *[2][]byte
}

// newIndex returns an index of list, to find values of the list values in it.
func newIndex(list, values *attr.Node, scratch *[2][]byte) index {
	x := index{list: list, scratch: scratch}
	wanted := 0
	for c := values.First(); c != nil && wanted <= few; c = c.Next() {
		wanted++
	}
	if wanted > few {
		x.keys = make(map[string]*attr.Node)
		for c := list.First(); c != nil; c = c.Next() {
			x.add(c)
		}
	}
	return x
}

// add notes that n is in the list now.
func (x *index) add(n *attr.Node) {
	if x.keys == nil {
		return
	}
	x.scratch[0] = appendKey(x.scratch[0][:0], n, true)
	if _, there := x.keys[string(x.scratch[0])]; !there {
		x.keys[string(x.scratch[0])] = n
	}
}

// find returns the first value in the list with the key of n, or nil.
func (x *index) find(n *attr.Node) *attr.Node {
	x.scratch[0] = appendKey(x.scratch[0][:0], n, true)
	if x.keys != nil {
		return x.keys[string(x.scratch[0])]
	}
	for c := x.list.First(); c != nil; c = c.Next() {
		x.scratch[1] = appendKey(x.scratch[1][:0], c, true)
		if bytes.Equal(x.scratch[0], x.scratch[1]) {
			return c
		}
	}
	return nil
}

// valueSet holds the keys of values that a client wants removed. One given
// without type stands for those of every type.
type valueSet map[string]struct{}

// newValueSet returns the set of the values in a list, or of the one value.
func newValueSet(values *attr.Node) valueSet {
	set := valueSet{}
	if !values.IsList() {
		set[string(appendKey(nil, values, true))] = struct{}{}
		return set
	}
	for c := values.First(); c != nil; c = c.Next() {
		set[string(appendKey(nil, c, true))] = struct{}{}
	}
	return set
}

// has reports whether n is meant.
func (s valueSet) has(n *attr.Node) bool {
	var buf [64]byte
	if _, typed := s[string(appendKey(buf[:0], n, true))]; typed {
		return true
	}
	_, untyped := s[string(appendKey(buf[:0], n, false))]
	return untyped
}

// removeValues removes the values from the list and reports how many it found.
func removeValues(list, values *attr.Node) int {
	set := newValueSet(values)
	return list.Filter(func(n *attr.Node) bool { return !set.has(n) })
}
