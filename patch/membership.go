package patch

import (
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/internal/wire"
)

// selections bounds the removals by a filter that looks at all members.
const selections = 16

// membership reads an operation on the attribute that is kept apart.
func (p *parser) membership(o *operation) error {
	if o.sub != nil {
		return p.memberSub(o)
	}
	ids, exact := identified(o.filter, p.apart)
	switch {
	case o.op == remove && o.filter == nil:
		return p.removeMembers(o)
	case o.op == remove:
		return p.removeSelected(o, ids, exact)
	}
	id := ""
	if exact && len(ids) == 1 {
		id = ids[0]
	}
	values, err := p.decodeMembers(o, o.raw, id)
	if err != nil {
		return err
	}
	switch {
	case o.op == replace && o.filter == nil:
		p.steps = append(p.steps, step{what: clearMembers})
	case o.op == replace:
		// The values that match are replaced, RFC 7644 section 3.5.2.3.
		if err := p.removeSelected(o, ids, exact); err != nil {
			return err
		}
	case o.filter != nil:
		// Merged into the values that match, where it can change nothing.
		for _, m := range values {
			if m.Value != id {
				return o.fail(attr.Mutable, "the id of a member is immutable; remove the one and add the other")
			}
		}
	}
	p.steps = append(p.steps, step{what: addMembers, add: values})
	return nil
}

// identified reports whether the filter selects by ids alone, and by which.
func identified(e filter.Expr, members *attr.Attribute) (ids []string, exact bool) {
	switch e := e.(type) {
	case *filter.Compare:
		if e.Op == filter.Eq && e.Attr == members.ValueSub() && e.Attr.CaseExact && e.Value.Kind() == filter.Text {
			return []string{e.Value.Text()}, true
		}
	case *filter.Or:
		left, ok := identified(e.Left, members)
		if !ok {
			return nil, false
		}
		right, ok := identified(e.Right, members)
		return append(left, right...), ok
	case *filter.And, *filter.Not, *filter.Present, *filter.ValuePath, nil:
	}
	return nil, false
}

// removeSelected removes what a filter selects. That it selects nobody is no
// error, as RFC 7644 section 3.5.2.2 says of this very case.
func (p *parser) removeSelected(o *operation, ids []string, exact bool) error {
	if exact {
		p.steps = append(p.steps, step{what: removeMembers, remove: ids})
		return nil
	}
	if p.selections++; p.selections > selections {
		return o.fail(attr.TooMany, "the request removes members by more than ", strconv.Itoa(selections), " filters that look at all of them; select them by value")
	}
	p.steps = append(p.steps, step{what: removeSelected, filter: o.filter})
	return nil
}

// removeMembers removes the members named beside the path, or all of them where
// none are (quirks 58, 61 and 62). An empty value names nobody.
func (p *parser) removeMembers(o *operation) error {
	if o.raw == nil {
		p.steps = append(p.steps, step{what: clearMembers})
		return nil
	}
	if !p.allow(attr.RemoveByValue) {
		return o.fail(attr.InvalidValue, "remove takes no value, RFC 7644 section 3.5.2.2; select members by a filter such as ", o.holder.Name, `[value eq "id"]`)
	}
	raw, err := p.nested(o.raw)
	if err != nil {
		return err
	}
	values, err := p.decodeMembers(o, raw, "")
	if err != nil {
		return err
	}
	ids := make([]string, len(values))
	for i, m := range values {
		p.pace.Step()
		ids[i] = m.Value
	}
	p.steps = append(p.steps, step{what: removeMembers, remove: ids})
	return nil
}

// nested takes the array out of {"members": […]}.
func (p *parser) nested(raw []byte) ([]byte, error) {
	if raw[0] != '{' || !p.lenience.Has(attr.RemoveNested) {
		return raw, nil
	}
	r := borrow(raw, p.limits.Depth)
	defer giveBack(r)
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	for r.More() {
		name, err := r.String()
		if err != nil {
			return nil, syntax(err)
		}
		inner, err := r.Raw()
		if err != nil {
			return nil, syntax(err)
		}
		if strings.EqualFold(name, p.apart.Name) {
			p.fired |= attr.RemoveNested
			return inner, nil
		}
	}
	return raw, nil
}

// memberSub reads an operation on a sub-attribute of members. They do not
// change; only saying again which id a member has is allowed.
func (p *parser) memberSub(o *operation) error {
	if ids, exact := identified(o.filter, p.apart); exact && len(ids) == 1 && o.sub == p.apart.ValueSub() && o.op != remove {
		d := attr.NewDoc(p.typ)
		defer d.Release()
		n, err := d.DecodeValue(o.raw, o.sub, true, p.lenience, p.limits)
		p.fired |= d.Fired()
		if err != nil {
			return o.explain(err)
		}
		if n != nil && n.Text() == ids[0] {
			s := step{what: addMembers}
			if p.allow(attr.CreateElement) {
				s.add = []Member{{Value: ids[0]}}
			}
			p.steps = append(p.steps, s)
			return nil
		}
	}
	return o.fail(attr.Mutable, "what is said of a member is immutable, RFC 7643 section 4.2; remove the member and add it again")
}

// decodeMembers reads members in every form in which values are accepted. One
// without id is the one with the given id.
func (p *parser) decodeMembers(o *operation, raw []byte, id string) ([]Member, error) {
	values := p.sent
	if !p.hasSent {
		r := borrow(raw, p.limits.Depth)
		defer giveBack(r)
		var err error
		if values, err = p.readMembers(r); err != nil {
			return nil, o.explain(err)
		}
	}
	for i := range values {
		p.pace.Step()
		if values[i].Value == "" {
			if id == "" {
				return nil, o.fail(attr.InvalidValue, "a member has no value, RFC 7643 section 4.2; send its id")
			}
			values[i].Value = id
		}
	}
	return values, nil
}

// readMembers reads the members that come next.
func (p *parser) readMembers(r *wire.Reader) ([]Member, error) {
	d := attr.NewDoc(p.typ)
	defer d.Release()
	if p.gathered == nil {
		p.gathered = &gatherer{of: memberSubs(p.apart)}
	}
	p.gathered.all = nil
	limits := p.limits
	limits.Uncounted = p.apart
	err := d.DecodeNext(r, p.lenience, limits, p.apart, p.gathered.take)
	p.note(d)
	return p.gathered.all, err
}
