package patch

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A writer applies one patch to one document.
type writer struct {
	*Patch
	*operation
	doc *attr.Doc

	chosen  *attr.Node   // the value that the operation made primary
	added   []*operation // that gave the document an extension it did not have
	scratch [2][]byte
}

// ApplyTo returns what [Patch.Apply] makes of a stored document, which stays as
// it is. What no operation is about is copied without being looked at.
func (p *Patch) ApplyTo(s *attr.Stored) (attr.Stored, error) {
	d := s.ThawOnly(func(a *attr.Attribute) bool {
		for i := range p.operations {
			if h := p.operations[i].holder; h == a || h.Parent == a {
				return true
			}
		}
		return false
	})
	defer d.Release()
	if err := p.Apply(d); err != nil {
		return attr.Stored{}, err
	}
	return d.Freeze(), nil
}

// Apply does the operations to d one after the other, each to what the one
// before has left (RFC 7644 section 3.5.2). It does not do what is about
// [Patch.Members]. If the error is not nil, it is an [*attr.Error] and d is to
// be thrown away: work on a thawed copy and the request is atomic.
//
// What the request does not touch is not looked at: a stored resource that has
// come to break its schema can still be changed. d holds views of the request's
// body until it is frozen.
func (p *Patch) Apply(d *attr.Doc) error {
	w := writer{Patch: p, doc: d}
	defer func() { p.note(d) }()
	for i := range p.operations {
		w.operation, w.chosen = &p.operations[i], nil
		if err := w.apply(); err != nil {
			return err
		}
	}
	for _, o := range w.added {
		if n := d.Root().Child(o.holder.Parent); n != nil {
			if err := complete(n); err != nil {
				return o.explain(err)
			}
		}
	}
	return nil
}

// apply does the operation at hand.
func (w *writer) apply() error {
	a := w.holder
	switch {
	case a == w.typ.Schemas:
		return w.schemas()
	case a.Extension:
		return w.dropExtension()
	case w.target().Dropped || a.Dropped:
		return w.forget()
	}
	var before string
	if a.Mutability == attr.Immutable {
		if n := w.get(); n != nil {
			before = string(appendIdentity(nil, n, true))
		}
	}
	if err := w.change(); err != nil {
		return err
	}
	if before != "" {
		if n := w.get(); n == nil || string(appendIdentity(nil, n, true)) != before {
			return w.immutable(a)
		}
	}
	return nil
}

func (w *writer) change() error {
	a := w.holder
	switch {
	case a.MultiValued && (w.filter != nil || w.sub != nil):
		return w.selected()
	case a.MultiValued:
		return w.list()
	case a.Kind == attr.Complex:
		return w.complex()
	}
	return w.simple()
}

func (w *writer) immutable(a *attr.Attribute) error {
	return w.fail(attr.Mutable, a.Path(), " is immutable and has another value, RFC 7643 section 7; leave it out")
}

func (w *writer) required(a *attr.Attribute) error {
	return w.fail(attr.Mutable, a.Path(), " is required and cannot be removed, RFC 7644 section 3.5.2.2; replace it by another value")
}

// absent is the outcome of a remove operation that found nothing. An attribute
// without value is unassigned already, which is what RFC 7644 section 3.5.2.2
// asks for; only a filter that yields no match has no target (section 3.12).
func (w *writer) absent() error {
	if w.filter == nil || w.allow(attr.RemoveAbsent) {
		return nil
	}
	return w.fail(attr.NoTarget, "there is no such value, RFC 7644 section 3.12; leave the operation out")
}

// decode reads the operation's value, or another one, for an attribute.
func (w *writer) decode(raw []byte, a *attr.Attribute, one bool) (*attr.Node, error) {
	if a.Kind != attr.Complex && emptyObject(raw) && w.allow(attr.Blank) {
		return nil, nil
	}
	n, err := w.doc.DecodeValue(raw, a, one, w.lenience, w.limits)
	if err != nil {
		return nil, w.explain(err)
	}
	return n, nil
}

func emptyObject(raw []byte) bool {
	return raw[0] == '{' && len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}

// get returns the holder's value in the document, or nil.
func (w *writer) get() *attr.Node {
	at := w.doc.Root()
	if up := w.holder.Parent; up != nil {
		if at = at.Child(up); at == nil {
			return nil
		}
	}
	return at.Child(w.holder)
}

// put makes n the holder's value.
func (w *writer) put(n *attr.Node) {
	at := w.doc.Root()
	if up := w.holder.Parent; up != nil {
		extension := at.Child(up)
		if extension == nil {
			extension = w.doc.Object(up)
			at.Put(extension)
			w.added = append(w.added, w.operation)
		}
		at = extension
	}
	at.Put(n)
}

// drop makes the holder unassigned, with its extension if that is left empty.
func (w *writer) drop() error {
	if w.holder.Required {
		return w.required(w.holder)
	}
	root := w.doc.Root()
	if up := w.holder.Parent; up != nil {
		extension := root.Child(up)
		extension.Remove(w.holder)
		if extension.Empty() {
			if up.Required {
				return w.required(up)
			}
			root.Remove(up)
		}
		return nil
	}
	root.Remove(w.holder)
	return nil
}

// schemas checks what is said of "schemas". It is not kept: which schemas a
// resource has follows from its values.
func (w *writer) schemas() error {
	if w.op == remove {
		return w.required(w.holder)
	}
	n, err := w.decode(w.raw, w.holder, false)
	if err != nil || w.lenience.Has(attr.OddSchemas) {
		return err
	}
	if n == nil {
		if w.op == add {
			return nil
		}
		return w.required(w.holder)
	}
	for c := n.First(); c != nil; c = c.Next() {
		extension, _ := w.typ.Lookup(c.Text(), attr.Strict)
		if !strings.EqualFold(c.Text(), w.typ.Schema.ID) && (extension == nil || !extension.Extension) {
			return w.fail(attr.InvalidValue, attr.Quote(c.Text()), " is not a schema of ", w.typ.Name)
		}
	}
	return nil
}

// forget reads the value of an attribute that is not kept, to refuse a wrong
// one.
func (w *writer) forget() error {
	if w.raw == nil {
		return nil
	}
	a := w.target()
	_, err := w.decode(w.raw, a, !a.MultiValued)
	return err
}

// dropExtension removes all of an extension that a client may change.
func (w *writer) dropExtension() error {
	root := w.doc.Root()
	n := root.Child(w.holder)
	if n == nil {
		if w.op == remove {
			return w.absent()
		}
		return nil
	}
	if w.holder.Required {
		return w.required(w.holder)
	}
	for c := n.First(); c != nil; c = c.Next() {
		if c.Attr().Mutability == attr.Immutable {
			return w.immutable(c.Attr())
		}
	}
	n.Filter(func(c *attr.Node) bool { return c.Attr().Mutability == attr.ReadOnly })
	if n.Empty() {
		root.Remove(w.holder)
	}
	return nil
}

// simple changes a single-valued attribute that has no sub-attributes.
func (w *writer) simple() error {
	if w.op == remove {
		return w.remove()
	}
	n, err := w.decode(w.raw, w.holder, true)
	switch {
	case err != nil:
		return err
	case n != nil:
		w.put(n)
	case w.get() != nil:
		return w.drop()
	case w.holder.Required:
		return w.required(w.holder)
	}
	return nil
}

// remove removes all of the holder. A value that a client sends along with a
// single-valued attribute says nothing (RFC 7644 section 3.5.2.2).
func (w *writer) remove() error {
	if w.get() == nil {
		return w.absent()
	}
	return w.drop()
}

// complex changes a single-valued complex attribute or a sub-attribute of it.
func (w *writer) complex() error {
	n := w.get()
	if w.op == remove {
		switch {
		case w.sub == nil && n != nil:
			return w.dropComplex(n)
		case w.sub == nil || n == nil || n.Child(w.sub) == nil:
			return w.absent()
		}
		if removed, err := w.unset(n); !removed || err != nil {
			return err
		}
	} else {
		m, err := w.merger()
		switch {
		case err != nil:
			return err
		case m.clear && n != nil:
			return w.dropComplex(n)
		case n == nil && m.set.Empty():
			if w.holder.Required && m.clear {
				return w.required(w.holder)
			}
			return nil
		case n == nil:
			n = w.doc.Object(w.holder)
			if err := w.merge(n, &m); err != nil {
				return err
			}
			if err := complete(n); err != nil {
				return w.explain(err)
			}
			w.put(n)
			return nil
		}
		if err := w.merge(n, &m); err != nil {
			return err
		}
	}
	if n.Empty() {
		return w.drop()
	}
	return nil
}

func (w *writer) dropComplex(n *attr.Node) error {
	for c := n.First(); c != nil; c = c.Next() {
		if c.Attr().Mutability == attr.Immutable {
			return w.immutable(c.Attr())
		}
	}
	return w.drop()
}

// list changes the whole of a multi-valued attribute.
func (w *writer) list() error {
	n := w.get()
	if w.op == remove && w.raw == nil {
		return w.remove()
	}
	if w.op == remove && !w.allow(attr.RemoveByValue) {
		return w.fail(attr.InvalidValue, "remove takes no value, RFC 7644 section 3.5.2.2; select what to remove by a filter in the path")
	}
	values, err := w.decode(w.raw, w.holder, false)
	if err != nil {
		return err
	}
	switch {
	case w.op == remove:
		if n == nil || values == nil || removeValues(n, values) == 0 {
			return w.absent()
		}
		if n.Empty() {
			return w.drop()
		}
		return nil
	case values == nil && w.op == add:
		return nil
	case values == nil && n != nil:
		return w.drop()
	case values == nil:
		if w.holder.Required {
			return w.required(w.holder)
		}
		return nil
	}
	for c := values.First(); c != nil; c = c.Next() {
		if err := complete(c); err != nil {
			return w.explain(err)
		}
	}
	if w.op == replace || n == nil && values.First().Next() == nil {
		w.put(values)
		return nil
	}
	if n == nil {
		n = w.doc.List(w.holder)
		w.put(n)
	}
	if err := w.append(n, values); err != nil {
		return err
	}
	w.demote(n)
	return nil
}

// append adds to a list the values that it does not have. The value of
// type and value that an element has already is merged into it: no combination
// of the two is there twice (RFC 7643 section 2.4).
func (w *writer) append(list, values *attr.Node) error {
	known := newIndex(list, values, &w.scratch)
	grown := false
	for c := values.First(); c != nil; {
		next := c.Next()
		n := known.find(c)
		if n == nil {
			list.Append(c)
			known.add(c)
			n, grown = c, true
		} else {
			for s := c.First(); s != nil; s = s.Next() {
				a := s.Attr()
				switch old := n.Child(a); {
				case old == nil:
					n.Put(w.doc.Clone(s))
				case a.Mutability == attr.Immutable: // stays as it is
				case a.MultiValued:
					w.extend(old, s)
				case !w.equal(old, s, false):
					n.Put(w.doc.Clone(s))
				}
			}
		}
		if p := w.holder.PrimarySub(); p != nil && c.Value().Get(p).Bool() {
			if err := w.choose(n); err != nil {
				return err
			}
		}
		c = next
	}
	if grown {
		return w.bounded(list)
	}
	return nil
}

// bounded refuses a list that an operation has made too long.
func (w *writer) bounded(list *attr.Node) error {
	n := 0
	for c := list.First(); c != nil; c = c.Next() {
		n++
	}
	if most := w.limits.Values; most > 0 && n > most {
		return w.fail(attr.TooMany, list.Attr().Path(), " would have more than ", strconv.Itoa(most), " values; remove some first")
	}
	return nil
}

// choose notes that the operation made n primary.
func (w *writer) choose(n *attr.Node) error {
	switch {
	case w.chosen == nil || w.chosen == n:
		w.chosen = n
	case w.allow(attr.SecondPrimary):
		n.Child(w.holder.PrimarySub()).SetLiteral("false")
	default:
		return w.fail(attr.InvalidValue, "two values would be primary; RFC 7643 section 2.4 allows one")
	}
	return nil
}

// demote makes every other value of the list not primary where the operation
// made one primary (RFC 7644 section 3.5.2).
func (w *writer) demote(list *attr.Node) {
	if w.chosen == nil {
		return
	}
	for c := list.First(); c != nil; c = c.Next() {
		if p := c.Child(w.holder.PrimarySub()); p != nil && c != w.chosen && p.Value().Bool() {
			p.SetLiteral("false")
		}
	}
}

// selected changes values of a multi-valued attribute, or a sub-attribute in
// each: those a filter selects, all without filter.
func (w *writer) selected() error {
	list := w.get()
	path := filter.Path{Attr: w.holder, Filter: w.filter, Sub: w.sub}
	var m merger
	if w.op != remove {
		var err error
		if m, err = w.merger(); err != nil {
			return err
		}
	}
	whole := m.clear || w.op == remove && w.sub == nil
	var found, removed int
	if whole && list != nil {
		given, err := w.given()
		if err != nil {
			return err
		}
		found = list.Filter(func(n *attr.Node) bool { return !path.Matches(n.Value()) || given != nil && !given.has(n) })
		removed = found
	} else {
		for n := range path.Select(list) {
			var err error
			gone := false
			switch {
			case w.op != remove:
				gone, err = len(m.unset) > 0, w.merge(n, &m)
				found++
			case n.Child(w.sub) != nil:
				if gone, err = w.unset(n); gone {
					found++
				}
			}
			if err != nil {
				return err
			}
			if gone {
				removed++
			}
		}
	}
	switch {
	case found == 0 && w.op == remove:
		return w.absent()
	case found == 0:
		return w.create(list, &m)
	case removed > 0:
		if !whole {
			list.Filter(func(n *attr.Node) bool { return !n.Empty() })
		}
		if list.Empty() {
			return w.drop()
		}
	}
	w.demote(list)
	return nil
}

// given returns the values that a remove operation with a filter has beside it:
// of what the filter selects just those go. Nil: all go.
func (w *writer) given() (valueSet, error) {
	if w.op != remove || w.raw == nil || !w.lenience.Has(attr.RemoveByValue) {
		return nil, nil
	}
	values, err := w.decode(w.raw, w.holder, false)
	if err != nil || values == nil {
		return nil, err
	}
	w.fired |= attr.RemoveByValue
	return newValueSet(values), nil
}

// create adds the value that the filter of a path describes, and which it did
// not find (quirks 38 to 45).
func (w *writer) create(list *attr.Node, m *merger) error {
	lenient := w.lenience.Has(attr.CreateElement)
	if lenient && (m.clear || m.set.Empty()) {
		return nil // there is nothing to unassign
	}
	if !lenient {
		return w.fail(attr.NoTarget, "no value matches, RFC 7644 section 3.5.2.3; add the value to ", w.holder.Path())
	}
	n := w.doc.Object(w.holder)
	if !w.describe(n, w.filter) {
		return w.fail(attr.NoTarget, "no value matches, and only a conjunction of eq describes one to create; add the value to ", w.holder.Path())
	}
	if err := w.merge(n, m); err != nil {
		return err
	}
	if w.filter != nil && !filter.Match(w.filter, n.Value()) {
		return w.fail(attr.NoTarget, "no value matches, and one with this value would not either; add the value to ", w.holder.Path())
	}
	if err := complete(n); err != nil {
		return w.explain(err)
	}
	w.fired |= attr.CreateElement
	if p := w.holder.PrimarySub(); p != nil && n.Value().Get(p).Bool() {
		w.chosen = n
	}
	if list == nil {
		list = w.doc.List(w.holder)
		w.put(list)
	}
	list.Append(n)
	w.demote(list)
	return w.bounded(list)
}

// describe puts into n the values that a conjunction of equalities asks for;
// false for any other filter.
func (w *writer) describe(n *attr.Node, e filter.Expr) bool {
	switch e := e.(type) {
	case nil:
		return true
	case *filter.And:
		return w.describe(n, e.Left) && w.describe(n, e.Right)
	case *filter.Compare:
		if e.Op != filter.Eq || e.Attr.Parent != w.holder || e.Attr.Mutability == attr.ReadOnly {
			return false
		}
		if e.Value.IsNull() {
			return true
		}
		c, err := w.doc.DecodeValue([]byte(e.Value.String()), e.Attr, false, attr.Strict, w.limits)
		if err != nil || c == nil {
			return false
		}
		n.Put(c)
		return true
	case *filter.Or, *filter.Not, *filter.Present, *filter.ValuePath:
	}
	return false
}

// complete reports the first required sub-attribute that a complex value, or an
// extension, does not have.
func complete(n *attr.Node) error {
	if !n.IsObject() {
		return nil
	}
	for _, a := range n.Attr().Subs {
		if a.Required && a.Mutability != attr.ReadOnly && n.Child(a) == nil {
			return &attr.Error{Type: attr.InvalidValue, Detail: a.Path() + " is required and has no value; send one"}
		}
	}
	return nil
}
