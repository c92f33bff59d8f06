package filter

import (
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
)

// Canonical returns a text that is the same for values of an attribute which
// the operator eq says are equal, and only for those: what an index of unique
// values keeps. text is the value as [attr.Value.Text] returns it.
func Canonical(a *attr.Attribute, text string) string {
	switch a.Kind {
	case attr.String, attr.Reference:
		if !a.CaseExact {
			return attr.Fold(text)
		}
	case attr.Integer:
		n := integer(text)
		if n.negative {
			return "-" + n.digits
		}
		return n.digits
	case attr.Decimal:
		f, _ := strconv.ParseFloat(text, 64) // beyond the range it is infinite, as it is compared
		if f == 0 {
			f = 0 // not -0
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	case attr.DateTime:
		if t, ok := instant(text); ok {
			return t.UTC().Format(time.RFC3339Nano)
		}
	case attr.Binary:
		return strings.Map(func(r rune) rune { return rune(standardAlphabet(byte(r))) }, strings.TrimRight(text, "="))
	case attr.Boolean, attr.Complex:
	}
	return text
}
