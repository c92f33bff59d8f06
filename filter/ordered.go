package filter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
)

// Ordered returns a text for a value of an attribute, given as
// [attr.Value.Text] returns it, so that a store which can only compare bytes
// compares as [Match] and [Key.Compare] do: two texts are equal, less or greater
// as the values are to eq, lt and gt, and of strings one contains, begins or ends
// with another as the values do to co, sw and ew. Texts of different attributes
// are not to be compared.
func Ordered(a *attr.Attribute, text string) string {
	switch a.Kind {
	case attr.Integer:
		n := integer(text)
		return n.ordered()
	case attr.Decimal:
		f, _ := strconv.ParseFloat(text, 64) // beyond the range it is infinite, which is in order
		return orderedFloat(f)
	case attr.DateTime:
		t, _ := instant(text)
		return orderedTime(t)
	case attr.String, attr.Reference, attr.Binary, attr.Boolean, attr.Complex:
	}
	return Canonical(a, text)
}

// Ordered returns the text of [Ordered] for the literal of the comparison. Of
// null there is none.
func (e *Compare) Ordered() string {
	l := &e.Value
	switch l.kind {
	case Text:
		return l.folded
	case Number:
		if e.Attr.Kind == attr.Integer {
			return l.number.ordered()
		}
		return orderedFloat(l.number.float)
	case Time:
		return orderedTime(l.time)
	case Octets:
		return Canonical(e.Attr, l.text)
	case Bool, Null:
	}
	return l.text
}

// ordered writes a number so that bytes order as numbers do: the sign, the
// exponent at a fixed width, the digits. Of a negative number every digit is its
// complement to nine, and the end is greater than a digit.
func (d *decimal) ordered() string {
	digits := strings.TrimRight(d.digits, "0") // integers have zeros at the end
	if digits == "" {
		return "1"
	}
	const bias = 5_000_000_000 // ten digits, beyond any exponent
	s := fmt.Sprintf("%010d", bias+d.exponent) + digits
	if !d.negative {
		return "2" + s
	}
	return "0" + strings.Map(func(r rune) rune { return '0' + '9' - r }, s) + "~"
}

func orderedFloat(f float64) string {
	if f == 0 {
		f = 0 // not -0
	}
	bits := math.Float64bits(f)
	if f < 0 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return fmt.Sprintf("%016x", bits)
}

func orderedTime(t time.Time) string {
	return fmt.Sprintf("%016x%08x", uint64(t.Unix())^1<<63, t.Nanosecond())
}
