package patch

import (
	"slices"

	"github.com/muster-id/scim/attr"
)

// A merger is what an operation does to one complex value.
type merger struct {
	clear bool              // unassign the whole value
	set   *attr.Node        // an object of the sub-attributes to assign
	unset []*attr.Attribute // sub-attributes to unassign
}

// merger reads the value of an add or replace operation on a complex attribute,
// on one of its values, or on a sub-attribute of it.
func (w *writer) merger() (merger, error) {
	if w.sub == nil {
		return w.readMerger(w.raw)
	}
	m := merger{set: w.doc.Object(w.holder)}
	return m, w.assign(&m, w.sub, w.raw)
}

// assign reads the value of a sub-attribute.
func (w *writer) assign(m *merger, sub *attr.Attribute, raw []byte) error {
	n, err := w.decode(raw, sub, !sub.MultiValued)
	switch {
	case err != nil:
		return err
	case n == nil:
		m.unset = append(m.unset, sub)
	default:
		m.set.Put(n)
	}
	return nil
}

func (w *writer) readMerger(raw []byte) (merger, error) {
	a := w.holder
	if raw[0] == '[' && w.allow(attr.SingleInArray) {
		r := borrow(raw, w.limits.Depth)
		defer giveBack(r)
		if err := r.Begin(); err != nil {
			return merger{}, syntax(err)
		}
		if !r.More() {
			return merger{clear: true, set: w.doc.Object(a)}, nil
		}
		var err error
		if raw, err = r.Raw(); err != nil {
			return merger{}, syntax(err)
		}
		if r.More() {
			return merger{}, w.fail(attr.InvalidValue, "one value is expected; the array holds several")
		}
	}
	m := merger{set: w.doc.Object(a)}
	if raw[0] == '{' {
		return m, w.readObject(&m, raw)
	}
	n, err := w.decode(raw, a, true)
	if n == nil {
		m.clear = true
	} else {
		m.set = n
	}
	return m, err
}

// readObject reads sub-attributes. Unlike decoding it minds what is null, since
// that unassigns.
func (w *writer) readObject(m *merger, raw []byte) error {
	r := borrow(raw, w.limits.Depth)
	defer giveBack(r)
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	for r.More() {
		name, err := r.String()
		if err != nil {
			return syntax(err)
		}
		value, err := r.Raw()
		if err != nil {
			return syntax(err)
		}
		sub := w.holder.Sub(name)
		switch {
		case sub == nil && w.allow(attr.UnknownAttribute):
			w.ignored.Add(w.holder.Path() + "." + name)
		case sub == nil:
			return w.fail(attr.InvalidSyntax, "the attribute ", attr.Quote(name), " is not defined for ", w.holder.Path(), "; leave it out")
		case sub.Mutability == attr.ReadOnly || sub.Dropped:
			// Ignored as in every resource, RFC 7644 section 3.3.
		case m.set.Child(sub) != nil || slices.Contains(m.unset, sub):
			return w.fail(attr.InvalidSyntax, sub.Path(), " is there twice; attribute names do not depend on case")
		default:
			if err := w.assign(m, sub, value); err != nil {
				return err
			}
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	return nil
}

// merge does to the complex value n what m says. m can be used again.
func (w *writer) merge(n *attr.Node, m *merger) error {
	valueless := false
	for _, a := range m.unset {
		if n.Child(a) == nil {
			continue
		}
		if err := w.unassign(n, a); err != nil {
			return err
		}
		valueless = valueless || a == w.holder.ValueSub()
	}
	if valueless { // last, because members of a JSON object have no order
		dropDescription(n, m.set)
	}
	for c := m.set.First(); c != nil; c = c.Next() {
		a := c.Attr()
		old := n.Child(a)
		switch {
		case old != nil && a.MultiValued && w.op == add:
			grown := w.extend(old, c)
			if grown && a.Mutability == attr.Immutable {
				return w.immutable(a)
			}
			if grown {
				if err := w.bounded(old); err != nil {
					return err
				}
			}
			continue
		case old != nil && a.Mutability == attr.Immutable:
			if !w.equal(old, c, true) {
				return w.immutable(a)
			}
			continue
		case old != nil && a == w.holder.ValueSub() && old.Text() != c.Text():
			dropDescription(n, m.set)
		}
		n.Put(w.doc.Clone(c))
	}
	if p := w.holder.PrimarySub(); p != nil && m.set.Value().Get(p).Bool() {
		return w.choose(n)
	}
	return nil
}

// extend adds to the list of a multi-valued sub-attribute copies of the values
// that it does not have, and reports whether there were any.
func (w *writer) extend(list, values *attr.Node) (grown bool) {
	known := newIndex(list, values, &w.scratch)
	for v := values.First(); v != nil; v = v.Next() {
		if known.find(v) == nil {
			v := w.doc.Clone(v)
			list.Append(v)
			known.add(v)
			grown = true
		}
	}
	return grown
}

// dropDescription removes from a complex value what described the former
// "value": the reference to it and what only the server says of it. What is
// said anew stays.
func dropDescription(n, anew *attr.Node) {
	n.Filter(func(c *attr.Node) bool {
		a := c.Attr()
		return a == n.Attr().ValueSub() || a.Kind != attr.Reference && a.Mutability != attr.ReadOnly || anew != nil && anew.Child(a) != nil
	})
}

// unset removes the operation's sub-attribute from n; where a value is sent
// along, only if it is that value (quirk 48).
func (w *writer) unset(n *attr.Node) (removed bool, err error) {
	if w.raw != nil && w.lenience.Has(attr.RemoveByValue) && (w.filter != nil || w.sub.MultiValued) {
		given, err := w.decode(w.raw, w.sub, !w.sub.MultiValued)
		if err != nil {
			return false, err
		}
		if given != nil {
			w.fired |= attr.RemoveByValue
			old := n.Child(w.sub)
			switch {
			case w.sub.MultiValued:
				if removeValues(old, given) == 0 {
					return false, nil
				}
				if !old.Empty() {
					return true, nil
				}
			case !newValueSet(given).has(old):
				return false, nil
			}
		}
	}
	if err := w.unassign(n, w.sub); err != nil {
		return false, err
	}
	if w.sub == w.holder.ValueSub() {
		dropDescription(n, nil)
	}
	return true, nil
}

// unassign removes a sub-attribute that may be removed.
func (w *writer) unassign(n *attr.Node, a *attr.Attribute) error {
	switch {
	case a.Required:
		return w.required(a)
	case a.Mutability == attr.Immutable:
		return w.immutable(a)
	}
	n.Remove(a)
	return nil
}
