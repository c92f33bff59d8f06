package filter

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
)

// Equal returns the expression that a textual attribute, one of type string or
// reference, has the value text. It needs no escaping.
func Equal(a *attr.Attribute, text string) *Compare {
	return &Compare{Attr: a, Op: Eq, Value: textLiteral(text, a.CaseExact)}
}

// A Key is a value of an attribute, read once to be ordered many times: what a
// sort of many resources makes of each.
type Key struct {
	kind     attr.Kind
	negative bool    // of an integer
	text     string  // folded unless it is compared exactly; the digits of an integer
	float    float64 // of a decimal
	time     time.Time
}

// NewKey returns the key of a value of the attribute, given as
// [attr.Value.Text] returns it.
func NewKey(a *attr.Attribute, text string) Key {
	k := Key{kind: a.Kind, text: text}
	switch a.Kind {
	case attr.Integer:
		n := integer(text)
		k.negative, k.text = n.negative, n.digits
	case attr.Decimal:
		k.float, _ = strconv.ParseFloat(text, 64) // beyond the range it is infinite, which is in order
	case attr.DateTime:
		k.time, _ = instant(text)
	case attr.String, attr.Reference, attr.Complex:
		if !a.CaseExact {
			k.text = attr.Fold(text)
		}
	case attr.Binary:
		k.text = Canonical(a, text)
	case attr.Boolean:
	}
	return k
}

// Compare orders two values of one attribute as sorting (RFC 7644 section
// 3.4.2.3) and the operators gt and lt do: it is negative, zero or positive.
func (k *Key) Compare(other *Key) int {
	switch k.kind {
	case attr.Integer:
		n, m := k.integer(), other.integer()
		return n.compare(&m)
	case attr.Decimal:
		return cmp.Compare(k.float, other.float)
	case attr.DateTime:
		return k.time.Compare(other.time)
	case attr.String, attr.Reference, attr.Complex, attr.Boolean, attr.Binary:
	}
	return strings.Compare(k.text, other.text)
}

func (k *Key) integer() decimal {
	return decimal{negative: k.negative, digits: k.text, exponent: len(k.text)}
}
