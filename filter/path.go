package filter

import (
	"iter"

	"github.com/muster-id/scim/attr"
)

// A Path is what an operation of PATCH works on, RFC 7644 section 3.5.2.
type Path struct {
	// Attr is what the filter selects from, a multi-valued complex attribute.
	// Without filter it is the target itself, be it a sub-attribute.
	Attr *attr.Attribute
	// Filter selects values of Attr, nil where there is none. Its attributes
	// are sub-attributes of Attr.
	Filter Expr
	// Sub is the sub-attribute behind the filter, nil for the whole value.
	Sub *attr.Attribute
}

// String returns the canonical text, which [ParsePath] reads strictly to an
// equal path.
func (p Path) String() string {
	if p.Attr == nil {
		return ""
	}
	b := append([]byte(nil), p.Attr.Path()...)
	if p.Filter != nil {
		b = append(b, '[')
		b = appendExpr(b, p.Filter, p.Attr, bindsOr)
		b = append(b, ']')
	}
	if p.Sub != nil {
		b = append(b, '.')
		b = append(b, p.Sub.Name...)
	}
	return string(b)
}

// Matches reports whether the filter selects v, one value of Attr. Without
// filter every value is selected.
func (p Path) Matches(v attr.Value) bool { return match(p.Filter, v, nil) }

// Select returns the values in list, the list of values of Attr, that the
// filter selects, in their order. The nil list has none. The node at hand may
// be changed or removed from the list meanwhile.
func (p Path) Select(list *attr.Node) iter.Seq[*attr.Node] {
	return func(yield func(*attr.Node) bool) {
		if list == nil {
			return
		}
		for n := list.First(); n != nil; {
			next := n.Next()
			if p.Matches(n.Value()) && !yield(n) {
				return
			}
			n = next
		}
	}
}

// ParsePath reads the path of a PATCH operation: an attribute, a sub-attribute,
// or values of a multi-valued complex attribute selected by a filter, each also
// qualified by its schema's URN.
//
// The error is an [*attr.Error] to [errors.As], of the type invalidPath or, for
// what stands in the brackets, invalidFilter (RFC 7644 section 3.12). It wraps
// [ErrUnknown] where the type has no such attribute. fired are the tolerances
// that were needed.
func ParsePath(s string, t *attr.Type, o Options) (p Path, fired attr.Lenience, err error) {
	in, err := newParser(s, t, o, attr.InvalidPath)
	if err != nil {
		return Path{}, 0, err
	}
	if p, err = in.path(); err != nil {
		return Path{}, 0, err
	}
	return p, in.fired, nil
}

// path reads the whole text as a path.
func (p *parser) path() (Path, error) {
	p.at = p.skipped(p.at)
	name := p.wordAt(p.at)
	if name == "" {
		return Path{}, p.error(p.at, "an attribute is expected, not ", p.found(p.at), " (RFC 7644 section 3.5.2)")
	}
	a, err := p.attribute(name)
	if err != nil {
		return Path{}, err
	}
	p.at += len(name)
	path := Path{Attr: a}
	if p.sees('[') {
		if path, err = p.selection(a); err != nil {
			return Path{}, err
		}
	}
	if p.at = p.skipped(p.at); p.at < len(p.text) {
		return Path{}, p.error(p.at, "the path should end here, but ", p.found(p.at), " follows (RFC 7644 section 3.5.2)")
	}
	return path, nil
}

// selection reads the filter behind a, and the sub-attribute behind that.
func (p *parser) selection(a *attr.Attribute) (path Path, err error) {
	if !a.MultiValued || a.Kind != attr.Complex {
		return Path{}, p.error(p.at, a.Path(), " is not a multi-valued complex attribute, so no value can be selected from it in brackets (RFC 7644 section 3.5.2)")
	}
	path.Attr = a
	p.kind = attr.InvalidFilter
	if path.Filter, err = p.brackets(a); err != nil {
		return Path{}, err
	}
	p.kind = attr.InvalidPath
	if p.sees('.') {
		name := p.wordAt(p.at + 1)
		if path.Sub, err = p.sub(a, name, p.at+1); err != nil {
			return Path{}, err
		}
		p.at += 1 + len(name)
	}
	return path, nil
}
