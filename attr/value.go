package attr

// A Value is a read-only view of one value, in a stored document or in one
// being worked on; what reads and matches need not know which. The zero Value
// stands for an attribute without value (RFC 7643 section 2.5).
type Value struct {
	node   *Node
	stored *Stored
	at     int32 // in stored.nodes
	end    int32 // where the siblings end
}

// Exists reports whether there is a value.
func (v Value) Exists() bool { return v.node != nil || v.stored != nil }

// Attr returns the attribute whose value this is. The value must exist.
func (v Value) Attr() *Attribute {
	if v.node != nil {
		return v.node.attr
	}
	return v.stored.typ.all[v.stored.nodes[v.at].attr]
}

// IsList reports whether v is the list of values of a multi-valued attribute.
func (v Value) IsList() bool {
	if v.node != nil {
		return v.node.shape == list
	}
	return v.stored != nil && v.stored.first(v.at) == '['
}

// First returns the first attribute of a complex value, or the first value of
// a list.
func (v Value) First() Value {
	if v.node != nil {
		return Value{node: v.node.first}
	}
	if v.stored == nil {
		return Value{}
	}
	return v.stored.child(v.at)
}

// Next returns what follows v in the same object or list.
func (v Value) Next() Value {
	if v.node != nil {
		return Value{node: v.node.next}
	}
	if v.stored == nil {
		return Value{}
	}
	if at := v.stored.after(v.at); at < v.end {
		return Value{stored: v.stored, at: at, end: v.end}
	}
	return Value{}
}

// Get returns the value of a sub-attribute of a complex value, the whole list
// where it is multi-valued. Of nil, what a schema does not define, there is
// none.
func (v Value) Get(a *Attribute) Value {
	if a == nil {
		return Value{}
	}
	if v.node != nil {
		return Value{node: v.node.Child(a)}
	}
	if v.stored == nil {
		return Value{}
	}
	s := v.stored
	at, end := v.at+1, s.after(v.at)
	for at < end {
		n := &s.nodes[at]
		if n.attr >= a.index {
			if n.attr == a.index {
				return Value{stored: s, at: at, end: end}
			}
			break
		}
		at = s.after(at)
	}
	return Value{}
}

// At returns the value of an attribute anywhere below a document, following
// its path from the top; where a multi-valued attribute is on the way, of its
// first value. Of nil there is none.
func (v Value) At(a *Attribute) Value {
	if a != nil && a.Parent != nil {
		v = v.At(a.Parent)
		if v.IsList() {
			v = v.First()
		}
	}
	return v.Get(a)
}

// Text returns a simple value: the string, or the literal as JSON spells it.
// It is "" for objects and lists.
func (v Value) Text() string {
	if v.node != nil {
		return v.node.text
	}
	if v.stored == nil {
		return ""
	}
	return v.stored.text(v.at)
}

// Bool reports whether v is true.
func (v Value) Bool() bool { return v.Text() == "true" }

// JSON returns a stored value as canonical JSON, and "" for one that is being
// worked on.
func (v Value) JSON() string {
	if v.stored == nil {
		return ""
	}
	return v.raw()
}

// Same reports whether two values are equal, those of multi-valued attributes
// in the same order. It compares stored documents and ones being worked on.
func Same(v, w Value) bool {
	if !v.Exists() || !w.Exists() {
		return v.Exists() == w.Exists()
	}
	if v.Attr() != w.Attr() || v.IsList() != w.IsList() {
		return false
	}
	c, d := v.First(), w.First()
	if !c.Exists() && !d.Exists() {
		return v.Text() == w.Text()
	}
	for c.Exists() && d.Exists() {
		if !Same(c, d) {
			return false
		}
		c, d = c.Next(), d.Next()
	}
	return c.Exists() == d.Exists()
}
