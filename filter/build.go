package filter

import (
	"cmp"
	"strings"

	"github.com/muster-id/scim/attr"
)

// Equal returns the expression that a textual attribute, one of type string or
// reference, has the value text. It needs no escaping.
func Equal(a *attr.Attribute, text string) *Compare {
	return &Compare{Attr: a, Op: Eq, Value: textLiteral(text, a.CaseExact)}
}

// Order compares two values of an attribute, given as [attr.Value.Text] returns
// them, in the order that sorting and the operators gt and lt use (RFC 7644
// section 3.4.2.3): it is negative, zero or positive.
func Order(a *attr.Attribute, x, y string) int {
	switch a.Kind {
	case attr.Integer:
		right, _ := parseDecimal(y)
		return right.compareInteger(x)
	case attr.Decimal:
		left, _ := parseDecimal(x)
		right, _ := parseDecimal(y)
		return cmp.Compare(left.float, right.float)
	case attr.DateTime:
		left, _ := instant(x)
		right, _ := instant(y)
		return left.Compare(right)
	case attr.Boolean, attr.Binary:
		return strings.Compare(x, y)
	case attr.String, attr.Reference, attr.Complex:
	}
	if a.CaseExact {
		return strings.Compare(x, y)
	}
	return attr.CompareFold(x, attr.Fold(y))
}
