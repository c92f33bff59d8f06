package attr

import (
	"sync"

	"github.com/muster-id/scim/internal/wire"
)

// A Doc is a document being worked on: a small tree whose nodes are in schema
// order and come from an arena that is used again. POST and PUT decode into
// one, PATCH thaws a stored document into one; all end with [Doc.Freeze]. A
// Doc is not safe for concurrent use, and neither it nor a Node of it may be
// used after [Doc.Release].
type Doc struct {
	typ     *Type
	root    *Node
	fired   Lenience
	reader  *wire.Reader // what is decoded
	own     wire.Reader
	trusted bool // the JSON is our own: read-only attributes are kept

	limits  Limits // of what is decoded
	ignored Ignored

	// Values of apart are given to take, one by one, and are not kept.
	apart *Attribute
	take  func(*Node)

	schemasSent []*Attribute // the schemas that "schemas" names: the document, extensions

	chunks [][]Node
	used   int

	thawed *Stored // that sealed values are of

	json  []byte // scratch of Freeze
	nodes []node
}

// A Node is a value in a Doc: a simple value, an object, or a list of values
// of a multi-valued attribute.
type Node struct {
	attr              *Attribute
	shape             shape
	at                int32 // of a sealed value: its place in Doc.thawed
	text              string
	first, last, next *Node
}

type shape uint8

const (
	object  shape = iota // children are attributes, in schema order
	list                 // children are values of the same attribute
	text                 // a JSON string
	plain                // likewise, and known to need no escapes
	literal              // true, false or a number, as JSON spells it
	sealed               // as it was stored, see ThawOnly
)

const chunkSize = 64

var docs = sync.Pool{New: func() any { return new(Doc) }}

// NewDoc returns an empty document of the type.
func NewDoc(t *Type) *Doc {
	d := docs.Get().(*Doc)
	d.typ, d.reader = t, &d.own
	d.root = d.alloc(t.all[0], object)
	return d
}

// Release gives the document's memory back for the next one.
func (d *Doc) Release() {
	const keepChunks, keepJSON = 64, 1 << 20 // one huge document must not pin its memory
	if len(d.chunks) > keepChunks || cap(d.json) > keepJSON {
		return
	}
	d.rewind(0)
	clear(d.schemasSent)
	d.root, d.fired, d.typ, d.thawed, d.ignored, d.limits = nil, 0, nil, nil, nil, Limits{}
	d.own.Reset(nil, 0)
	docs.Put(d)
}

// Type returns the document's resource type.
func (d *Doc) Type() *Type { return d.typ }

// Root returns the document itself, an object.
func (d *Doc) Root() *Node { return d.root }

// Value returns the document as a value to match and read.
func (d *Doc) Value() Value { return Value{node: d.root} }

// Fired returns the tolerances that decoding into d needed so far.
func (d *Doc) Fired() Lenience { return d.fired }

func (d *Doc) alloc(a *Attribute, s shape) *Node {
	i := d.used / chunkSize
	if i == len(d.chunks) {
		d.chunks = append(d.chunks, make([]Node, chunkSize))
	}
	n := &d.chunks[i][d.used%chunkSize]
	d.used++
	n.attr, n.shape = a, s
	return n
}

// rewind takes back all nodes but the first ones, to be used again.
func (d *Doc) rewind(used int) {
	for d.used > used {
		i := (d.used - 1) / chunkSize
		from := max(used-i*chunkSize, 0)
		clear(d.chunks[i][from : d.used-i*chunkSize])
		d.used = i*chunkSize + from
	}
}

// Object returns a new object for a complex attribute, or for one value of a
// multi-valued one. It is not yet part of the document.
func (d *Doc) Object(a *Attribute) *Node { return d.alloc(a, object) }

// List returns a new empty list for a multi-valued attribute.
func (d *Doc) List(a *Attribute) *Node { return d.alloc(a, list) }

// Text returns a new simple value of a textual attribute. The string must stay
// as it is until the document is frozen.
func (d *Doc) Text(a *Attribute, s string) *Node {
	n := d.alloc(a, text)
	n.text = s
	return n
}

// Literal returns a new simple value that JSON spells without quotes.
func (d *Doc) Literal(a *Attribute, s string) *Node {
	n := d.alloc(a, literal)
	n.text = s
	return n
}

// Bool returns a new boolean value.
func (d *Doc) Bool(a *Attribute, b bool) *Node {
	if b {
		return d.Literal(a, "true")
	}
	return d.Literal(a, "false")
}

// Clone returns a copy of the node and all below it.
func (d *Doc) Clone(n *Node) *Node {
	c := d.alloc(n.attr, n.shape)
	c.text = n.text
	for k := n.first; k != nil; k = k.next {
		c.Append(d.Clone(k))
	}
	return c
}

// Attr returns the attribute whose value n is.
func (n *Node) Attr() *Attribute { return n.attr }

// IsList reports whether n is the list of a multi-valued attribute.
func (n *Node) IsList() bool { return n.shape == list }

// IsObject reports whether n is one complex value.
func (n *Node) IsObject() bool { return n.shape == object }

// Text returns a simple value: the string, or the literal as JSON spells it.
func (n *Node) Text() string { return n.text }

// First returns the first child: an attribute of an object, a value of a list.
func (n *Node) First() *Node { return n.first }

// Next returns the sibling that follows n.
func (n *Node) Next() *Node { return n.next }

// Empty reports whether n is an object or list without children.
func (n *Node) Empty() bool { return n.shape <= list && n.first == nil }

// Value returns the node as a value to match and read.
func (n *Node) Value() Value { return Value{node: n} }

// Child returns the object's value of the attribute, or nil. Of nil, what a
// schema does not define, there is none.
func (n *Node) Child(a *Attribute) *Node {
	if a == nil {
		return nil
	}
	for c := n.first; c != nil && c.attr.index <= a.index; c = c.next {
		if c.attr == a {
			return c
		}
	}
	return nil
}

// Append adds a value to the end of a list. A child of an object is added with
// [Node.Put].
func (n *Node) Append(c *Node) {
	c.next = nil
	if n.last == nil {
		n.first, n.last = c, c
		return
	}
	n.last.next = c
	n.last = c
}

// Put makes c the object's value of c's attribute, at its place in schema
// order, instead of the value it had.
func (n *Node) Put(c *Node) {
	if n.last == nil || n.last.attr.index < c.attr.index {
		n.Append(c)
		return
	}
	var before *Node
	at := n.first
	for at != nil && at.attr.index < c.attr.index {
		before, at = at, at.next
	}
	if at != nil && at.attr == c.attr {
		at = at.next
	}
	c.next = at
	if before == nil {
		n.first = c
	} else {
		before.next = c
	}
	if at == nil {
		n.last = c
	}
}

// Filter keeps the children that keep says and reports how many it removed.
func (n *Node) Filter(keep func(*Node) bool) (removed int) {
	var last *Node
	next := n.first
	n.first, n.last = nil, nil
	for c := next; c != nil; c = next {
		next = c.next
		if !keep(c) {
			removed++
			continue
		}
		if last == nil {
			n.first = c
		} else {
			last.next = c
		}
		c.next = nil
		last = c
	}
	n.last = last
	return removed
}

// Remove removes the object's value of the attribute and reports whether there
// was one.
func (n *Node) Remove(a *Attribute) bool {
	return n.Filter(func(c *Node) bool { return c.attr != a }) > 0
}

// Clear removes all children.
func (n *Node) Clear() { n.first, n.last = nil, nil }

// SetText makes n a simple textual value.
func (n *Node) SetText(s string) { n.shape, n.text = text, s }

// SetLiteral makes n a simple value that JSON spells without quotes.
func (n *Node) SetLiteral(s string) { n.shape, n.text = literal, s }
