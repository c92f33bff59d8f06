package attr

import (
	"math"
	"slices"
	"strings"

	"github.com/muster-id/scim/internal/wire"
)

// Stored is a document at rest: its canonical JSON and, beside it, a table of
// where in it each value stands. The table has no pointers, so the garbage
// collector has nothing to follow; a GET is a copy, a lookup stops early, and
// documents are equal bytes if they are equal in the order of their values too.
// A Stored is immutable.
type Stored struct {
	typ    *Type
	json   string
	nodes  []node
	hidden bool // holds attributes that are not returned by default
}

// A node is a value's place in the JSON. Children follow their parent.
type node struct {
	off  uint32 // with escaped
	end  uint32
	attr uint16
	size uint16 // nodes of the value with all below it; 0: more than fit
}

// escaped marks a string whose text is not just what stands between the quotes.
const escaped = 1 << 31

// Type returns the document's resource type, nil for the zero Stored.
func (s *Stored) Type() *Type { return s.typ }

// JSON returns the canonical JSON: no meta, no white space, attributes in
// schema order.
func (s *Stored) JSON() string { return s.json }

// Value returns the document as a value to match and read.
func (s *Stored) Value() Value { return Value{stored: s, end: int32(len(s.nodes))} }

// ID returns the document's id, a view of its JSON.
func (s *Stored) ID() string { return s.Value().Get(s.typ.ID).Text() }

func (s *Stored) first(at int32) byte { return s.json[s.nodes[at].off&^escaped] }

func (s *Stored) text(at int32) string {
	n := &s.nodes[at]
	raw := s.json[n.off&^escaped : n.end]
	switch {
	case raw[0] == '{', raw[0] == '[':
		return ""
	case raw[0] != '"':
		return raw
	case n.off&escaped != 0:
		return wire.Unquote(raw)
	}
	return raw[1 : len(raw)-1]
}

// after returns the place that follows the value at at and all below it.
func (s *Stored) after(at int32) int32 {
	n := &s.nodes[at]
	if n.size != 0 {
		return at + int32(n.size)
	}
	for at++; int(at) < len(s.nodes) && s.nodes[at].off&^escaped < n.end; at++ {
	}
	return at
}

func (s *Stored) child(at int32) Value {
	if end := s.after(at); at+1 < end {
		return Value{stored: s, at: at + 1, end: end}
	}
	return Value{}
}

// Freeze turns the document into its stored form. The schemas attribute is
// derived: the type's own schema and the extensions that have values. Freezing
// copies, so that nothing of a request's body outlives the request.
func (d *Doc) Freeze() Stored {
	d.deriveSchemas()
	d.json, d.nodes = d.json[:0], d.nodes[:0]
	hidden := d.freeze(d.root)
	return Stored{typ: d.typ, json: string(d.json), nodes: slices.Clone(d.nodes), hidden: hidden}
}

func (d *Doc) deriveSchemas() {
	urns := d.List(d.typ.Schemas)
	name := func(urn string) {
		n := d.Text(d.typ.Schemas, urn)
		n.shape = plain // NewType takes no other
		urns.Append(n)
	}
	name(d.typ.Schema.ID)
	for c := d.root.first; c != nil; c = c.next {
		if c.attr.Extension && !c.vacant() {
			name(c.attr.Name)
		}
	}
	d.root.Put(urns)
}

// freeze writes the node; empty objects and lists are left out, because they
// are no values (RFC 7643 section 2.5).
func (d *Doc) freeze(n *Node) (hidden bool) {
	at := len(d.nodes)
	d.nodes = append(d.nodes, node{off: uint32(len(d.json)), attr: n.attr.index})
	hidden = d.typ.hidden[n.attr.index]
	switch n.shape {
	case object, list:
		open, shut := byte('{'), byte('}')
		if n.shape == list {
			open, shut = '[', ']'
		}
		d.json = append(d.json, open)
		for c := n.first; c != nil; c = c.next {
			if c.vacant() {
				continue
			}
			if len(d.nodes) > at+1 {
				d.json = append(d.json, ',')
			}
			if n.shape == object {
				d.json = append(d.json, c.attr.key...)
			}
			if d.freeze(c) {
				hidden = true
			}
		}
		d.json = append(d.json, shut)
	case text:
		var esc bool
		if d.json, esc = wire.AppendString(d.json, n.text); esc {
			d.nodes[at].off |= escaped
		}
	case plain:
		d.json = wire.AppendPlain(d.json, n.text)
	case literal:
		d.json = append(d.json, n.text...)
	case sealed:
		return d.copySealed(n)
	}
	d.nodes[at].end = uint32(len(d.json))
	if size := len(d.nodes) - at; size <= math.MaxUint16 {
		d.nodes[at].size = uint16(size)
	}
	return hidden
}

// copySealed writes a value as it is stored: its JSON, and its nodes moved to
// where that stands now.
func (d *Doc) copySealed(n *Node) (hidden bool) {
	from := &d.thawed.nodes[n.at]
	move := d.nodes[len(d.nodes)-1].off - from.off&^escaped // modulo 2^32
	d.nodes = d.nodes[:len(d.nodes)-1]
	for _, c := range d.thawed.nodes[n.at:d.thawed.after(n.at)] {
		c.off, c.end = c.off+move, c.end+move
		d.nodes = append(d.nodes, c)
		hidden = hidden || d.typ.hidden[c.attr]
	}
	d.json = append(d.json, d.thawed.json[from.off&^escaped:from.end]...)
	return hidden
}

// vacant reports whether nothing of the node would be written.
func (n *Node) vacant() bool {
	if n.shape > list {
		return false
	}
	for c := n.first; c != nil; c = c.next {
		if !c.vacant() {
			return false
		}
	}
	return true
}

// Thaw returns a document to work on with the stored one's values. It may
// share strings with s.
func (s *Stored) Thaw() *Doc {
	d := NewDoc(s.typ)
	s.thaw(d, d.root, s.Value())
	return d
}

// ThawOnly is Thaw for who works on some attributes of a document and leaves
// the others as they are. Those, complex or multi-valued, at the top of the
// document and not wanted, are sealed: they can be removed or replaced as a
// whole, and [Doc.Freeze] copies them, but nothing can be read of them.
func (s *Stored) ThawOnly(wanted func(*Attribute) bool) *Doc {
	d := NewDoc(s.typ)
	d.thawed = s
	for v := s.Value().First(); v.Exists(); v = v.Next() {
		a := v.Attr()
		if first := s.first(v.at); first != '{' && first != '[' || wanted(a) {
			d.root.Append(s.thawValue(d, v))
			continue
		}
		n := d.alloc(a, sealed)
		n.at = v.at
		d.root.Append(n)
	}
	return d
}

func (s *Stored) thaw(d *Doc, into *Node, from Value) {
	for v := from.First(); v.Exists(); v = v.Next() {
		into.Append(s.thawValue(d, v))
	}
}

func (s *Stored) thawValue(d *Doc, v Value) (n *Node) {
	a := s.typ.all[s.nodes[v.at].attr]
	switch s.first(v.at) {
	case '{':
		n = d.Object(a)
		s.thaw(d, n, v)
	case '[':
		n = d.List(a)
		s.thaw(d, n, v)
	case '"':
		n = d.Text(a, s.text(v.at))
		if s.nodes[v.at].off&escaped == 0 {
			n.shape = plain
		}
	default:
		n = d.Literal(a, s.text(v.at))
	}
	return n
}

// Equal reports whether two documents say the same: values equal, the order of
// multi-valued attributes ignored (rule D4).
func (s *Stored) Equal(t *Stored) bool {
	if s.json == t.json {
		return true
	}
	// The canonical form of a document does not change its length when values
	// change places.
	return len(s.json) == len(t.json) && s.typ == t.typ && equal(s.Value(), t.Value())
}

func equal(v, w Value) bool {
	if raw := v.raw(); raw == w.raw() {
		return true
	} else if raw[0] != '{' && raw[0] != '[' || raw[0] != w.raw()[0] {
		return false
	}
	if v.IsList() {
		return slices.Equal(sorted(v), sorted(w))
	}
	v, w = v.First(), w.First()
	for v.Exists() && w.Exists() {
		if v.Attr() != w.Attr() || !equal(v, w) {
			return false
		}
		v, w = v.Next(), w.Next()
	}
	return v.Exists() == w.Exists()
}

// sorted returns the values of a list, each as [unordered] does, in an order of
// their own.
func sorted(v Value) []string {
	var all []string
	for c := v.First(); c.Exists(); c = c.Next() {
		all = append(all, unordered(c))
	}
	slices.Sort(all)
	return all
}

// unordered returns a text that is the same for values which say the same: the
// canonical JSON, but with every list in an order of its own.
func unordered(v Value) string {
	raw := v.raw()
	switch {
	case raw[0] == '[':
		return strings.Join(sorted(v), ",")
	case raw[0] != '{' || !strings.Contains(raw, "["):
		return raw
	}
	var b strings.Builder
	for c := v.First(); c.Exists(); c = c.Next() {
		b.WriteString(c.Attr().key)
		b.WriteString(unordered(c))
	}
	return b.String()
}

// raw returns the JSON of a stored value.
func (v Value) raw() string {
	n := &v.stored.nodes[v.at]
	return v.stored.json[n.off&^escaped : n.end]
}

func appendKey(b []byte, name string) ([]byte, bool) {
	b, esc := wire.AppendString(b, name)
	return append(b, ':'), esc
}
