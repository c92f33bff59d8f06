package patch

import (
	"bytes"

	"github.com/muster-id/scim/attr"
)

// Keep makes of a document that a client sent by PUT what the resource becomes
// (RFC 7644 section 3.5.1): it carries over from before what a client cannot
// write.
//
//   - A read-only attribute is as it was.
//   - An immutable one is as it was where it is left out. Another value for it
//     is refused; order does not count.
//   - What is below a complex attribute goes with it: what the server said of a
//     "value" is not said of another one, nor of none. A value of a multi-valued
//     attribute is the one that it was by its "value" and type, or by its "value".
//   - An extension is a part of the document and not a value: what of it cannot
//     be written stays where it is left out.
//
// The error is an [*attr.Error]. d may share strings with before.
func Keep(d *attr.Doc, before attr.Value) error { return keep(d, d.Root(), before) }

// keep does it for an object: the document, an extension, a complex value.
func keep(d *attr.Doc, n *attr.Node, before attr.Value) error {
	for _, a := range n.Attr().Kept() {
		if a.Mutability == attr.ReadOnly {
			continue
		}
		if was := before.Get(a); was.Exists() {
			if err := keepAttribute(d, n, was); err != nil {
				return err
			}
		}
	}
	if !sameValue(d, n, before) {
		return nil
	}
	for _, a := range n.Attr().Kept() {
		if a.Mutability != attr.ReadOnly {
			continue
		}
		if was := before.Get(a); was.Exists() {
			n.Put(d.Copy(was))
		}
	}
	return nil
}

// sameValue reports whether a complex value is still about the same.
func sameValue(d *attr.Doc, n *attr.Node, before attr.Value) bool {
	a := n.Attr()
	v := a.ValueSub()
	switch {
	case n == d.Root(), a.Extension:
		return true
	case n.Empty():
		return false
	case a.MultiValued, v == nil, v.Mutability == attr.ReadOnly:
		return true // keepValues has looked; there is nothing to look at
	}
	return attr.Same(before.Get(v), n.Value().Get(v))
}

// keepAttribute does it for an attribute of n that had a value.
func keepAttribute(d *attr.Doc, n *attr.Node, was attr.Value) error {
	a := was.Attr()
	sent := n.Child(a)
	switch {
	case a.Mutability == attr.Immutable:
		if sent != nil && !bytes.Equal(appendIdentity(nil, sent, true), appendIdentity(nil, writable(d.Copy(was)), true)) {
			return &attr.Error{Type: attr.Mutable, Detail: a.Path() + " is immutable and has another value; send that one, RFC 7644 section 3.5.1"}
		}
		n.Put(d.Copy(was))
		return nil
	case a.MultiValued && sent == nil:
		return nil
	case a.MultiValued:
		return keepValues(d, sent, was)
	case sent != nil:
		return keep(d, sent, was)
	}
	left := d.Object(a)
	if err := keep(d, left, was); err != nil {
		return err
	}
	if !left.Empty() {
		n.Put(left)
	}
	return nil
}

// writable removes what is read-only from a value: a client cannot send it.
func writable(n *attr.Node) *attr.Node {
	n.Filter(func(c *attr.Node) bool {
		writable(c)
		return c.Attr().Mutability != attr.ReadOnly
	})
	return n
}

// keepValues does it for the values of a multi-valued attribute: first for
// those that have kept value and type, then for those that have kept the value.
func keepValues(d *attr.Doc, list *attr.Node, before attr.Value) error {
	was := d.Copy(before)
	done := map[*attr.Node]bool{} // of either list
	for _, typed := range []bool{true, false} {
		old := map[string]*attr.Node{}
		for c := was.First(); c != nil; c = c.Next() {
			if key := string(appendKey(nil, c, typed)); !done[c] && old[key] == nil {
				old[key] = c
			}
		}
		for c := list.First(); c != nil; c = c.Next() {
			key := string(appendKey(nil, c, typed))
			if done[c] || old[key] == nil {
				continue
			}
			if err := keep(d, c, old[key].Value()); err != nil {
				return err
			}
			done[c], done[old[key]] = true, true
			delete(old, key)
		}
	}
	return nil
}
