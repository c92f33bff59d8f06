package filter

import (
	"iter"

	"github.com/muster-id/scim/attr"
)

// An Expr is a parsed filter: an [*And], [*Or], [*Not], [*Compare], [*Present]
// or [*ValuePath]. Expressions are not changed after [Parse] made them.
//
//sumtype:decl
type Expr interface {
	// String returns the canonical text: keywords in lower case, attributes by
	// their full path unless they stand in brackets, parentheses only where the
	// order needs them. Parsed strictly it gives an equal expression.
	String() string

	expr()
}

// And matches what both sides match.
type And struct{ Left, Right Expr }

// Or matches what at least one side matches.
type Or struct{ Left, Right Expr }

// Not matches what its expression does not.
type Not struct{ Expr Expr }

// Compare compares the values of an attribute with a literal.
//
// Attr is what is compared: where the client named a complex attribute it is
// the sub-attribute "value" of it. Only with the literal null can it be
// complex, since null says something about presence.
type Compare struct {
	Attr  *attr.Attribute
	Op    Op
	Value Literal
}

// Present matches where the attribute has a value.
type Present struct{ Attr *attr.Attribute }

// ValuePath matches where one value of the complex attribute Attr matches
// Filter, whose attributes are sub-attributes of Attr. It does not nest.
type ValuePath struct {
	Attr   *attr.Attribute
	Filter Expr
}

func (*And) expr()       {}
func (*Or) expr()        {}
func (*Not) expr()       {}
func (*Compare) expr()   {}
func (*Present) expr()   {}
func (*ValuePath) expr() {}

// Op is an operator that compares, RFC 7644 table 3. "pr" is [Present].
type Op uint8

// The operators of RFC 7644 table 3.
const (
	Eq Op = iota
	Ne
	Co
	Sw
	Ew
	Gt
	Ge
	Lt
	Le
)

var opNames = [...]string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"}

// String returns the operator as RFC 7644 spells it.
func (op Op) String() string { return opNames[op] }

func opNamed(name string) (Op, bool) {
	for i := range Le + 1 {
		if isKeyword(name, opNames[i]) {
			return i, true
		}
	}
	return 0, false
}

// partial reports whether op looks at parts of a text.
func (op Op) partial() bool { return op == Co || op == Sw || op == Ew }

// Walk calls f for e and, where f returns true, for the expressions below it,
// from left to right. A nil expression has nothing to walk.
func Walk(e Expr, f func(Expr) bool) {
	if e == nil || !f(e) {
		return
	}
	switch e := e.(type) {
	case *And:
		Walk(e.Left, f)
		Walk(e.Right, f)
	case *Or:
		Walk(e.Left, f)
		Walk(e.Right, f)
	case *Not:
		Walk(e.Expr, f)
	case *ValuePath:
		Walk(e.Filter, f)
	case *Compare, *Present:
	}
}

// Uses reports whether the result of e can depend on a value of a or of
// something below it. The presence of a complex attribute depends on all of
// its sub-attributes.
func Uses(e Expr, a *attr.Attribute) bool {
	uses := false
	Walk(e, func(e Expr) bool {
		switch e := e.(type) {
		case *Compare:
			uses = uses || e.Attr.Within(a) || a.Within(e.Attr)
		case *Present:
			uses = uses || e.Attr.Within(a) || a.Within(e.Attr)
		case *ValuePath:
			uses = uses || e.Attr.Within(a)
		case *And, *Or, *Not:
		}
		return !uses
	})
	return uses
}

// Equalities returns the equalities that everything e matches satisfies, left to
// right: of e itself if it is `attribute eq "text"`, of a value path around one,
// of both sides of an and. A store with an index on one of the attributes finds
// the candidates there; unless the whole filter is that one comparison it has
// to ask [Match] about each.
//
// Only texts count: other types have several spellings of one value. Where the
// attribute is not caseExact the index key is [Literal.Folded].
func Equalities(e Expr) iter.Seq2[*attr.Attribute, Literal] {
	return func(yield func(*attr.Attribute, Literal) bool) { equalities(e, yield) }
}

func equalities(e Expr, yield func(*attr.Attribute, Literal) bool) bool {
	switch e := e.(type) {
	case *And:
		return equalities(e.Left, yield) && equalities(e.Right, yield)
	case *ValuePath:
		return equalities(e.Filter, yield)
	case *Compare:
		if e.Op == Eq && e.Value.kind == Text {
			return yield(e.Attr, e.Value)
		}
	case *Or, *Not, *Present, nil:
	}
	return true
}
