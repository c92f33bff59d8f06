package scim

import (
	"fmt"

	"github.com/muster-id/scim/attr"
)

// A Dialect is a named set of tolerances ([attr.Lenience]) for what identity
// providers send beyond the RFCs.
type Dialect uint8

// The dialects. Auto is all tolerances that do not contradict each other,
// Strict none; the others are those that one provider needs.
const (
	Auto Dialect = iota
	Strict
	Okta
	Entra
)

// everyClient is tolerated of every named provider: deviations that RFC 7644
// section 3.3 leaves to the service provider, or that nobody sends meaning
// something else.
const everyClient = attr.UnknownAttribute | attr.OddSchemas | attr.ReadOnlyInValue | attr.RemoveAbsent |
	attr.ArrayMissing | attr.SecondPrimary | attr.DoubleEncoded

var dialects = [...]struct {
	name     string
	lenience attr.Lenience
}{
	Auto:   {"auto", attr.Lenient},
	Strict: {"strict", attr.Strict},
	Okta: {"okta", everyClient | attr.BareToken | attr.StringBoolean | attr.CreateElement |
		attr.Stringified | attr.RemoveByValue | attr.Blank},
	Entra: {"entra", everyClient | attr.StringBoolean | attr.WrappedScalar | attr.SingleInArray | attr.ScalarForComplex |
		attr.Stringified | attr.Blank | attr.OperationCase | attr.OperationsName | attr.DottedKeys | attr.ShortExtensionPath |
		attr.CreateElement | attr.RemoveByValue | attr.ValuePathFilter | attr.UnquotedLiteral},
}

// String returns the dialect's name.
func (d Dialect) String() string {
	if int(d) < len(dialects) {
		return dialects[d].name
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// ParseDialect returns the dialect of that name.
func ParseDialect(name string) (Dialect, error) {
	for d, known := range dialects {
		if known.name == name {
			return Dialect(d), nil
		}
	}
	return 0, fmt.Errorf("scim: no dialect %q: auto, strict, okta or entra", name)
}

func (d Dialect) lenience() attr.Lenience {
	if int(d) < len(dialects) {
		return dialects[d].lenience
	}
	return attr.Strict
}
