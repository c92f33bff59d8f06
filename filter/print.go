package filter

import "github.com/muster-id/scim/attr"

// How tight an expression binds, RFC 7644 section 3.4.2.2.
const (
	bindsOr = iota
	bindsAnd
	bindsMost
)

func (e *And) String() string       { return string(appendExpr(nil, e, nil, bindsOr)) }
func (e *Or) String() string        { return string(appendExpr(nil, e, nil, bindsOr)) }
func (e *Not) String() string       { return string(appendExpr(nil, e, nil, bindsOr)) }
func (e *Compare) String() string   { return string(appendExpr(nil, e, nil, bindsOr)) }
func (e *Present) String() string   { return string(appendExpr(nil, e, nil, bindsOr)) }
func (e *ValuePath) String() string { return string(appendExpr(nil, e, nil, bindsOr)) }

// appendExpr writes e where something that binds at least as tight as binds is
// needed. In the brackets of a value path, of is what stands before them.
func appendExpr(b []byte, e Expr, of *attr.Attribute, binds int) []byte {
	switch e := e.(type) {
	case *And:
		return appendLogical(b, e.Left, " and ", e.Right, of, bindsAnd, binds)
	case *Or:
		return appendLogical(b, e.Left, " or ", e.Right, of, bindsOr, binds)
	case *Not:
		b = append(b, "not ("...)
		b = appendExpr(b, e.Expr, of, bindsOr)
		return append(b, ')')
	case *Compare:
		b = appendPath(b, e.Attr, of)
		b = append(b, ' ')
		b = append(b, e.Op.String()...)
		b = append(b, ' ')
		return e.Value.append(b)
	case *Present:
		b = appendPath(b, e.Attr, of)
		return append(b, " pr"...)
	case *ValuePath:
		b = appendPath(b, e.Attr, of)
		b = append(b, '[')
		b = appendExpr(b, e.Filter, e.Attr, bindsOr)
		return append(b, ']')
	}
	return b
}

// appendLogical writes an and or an or. Both group from the left, so the right
// side must bind tighter.
func appendLogical(b []byte, left Expr, word string, right Expr, of *attr.Attribute, own, binds int) []byte {
	if own < binds {
		b = append(b, '(')
	}
	b = appendExpr(b, left, of, own)
	b = append(b, word...)
	b = appendExpr(b, right, of, own+1)
	if own < binds {
		b = append(b, ')')
	}
	return b
}

func appendPath(b []byte, a, of *attr.Attribute) []byte {
	if of != nil && a.Parent == of {
		return append(b, a.Name...)
	}
	return append(b, a.Path()...)
}
