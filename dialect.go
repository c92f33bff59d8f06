package scim

import (
	"fmt"
	"strings"

	"github.com/muster-id/scim/attr"
)

// A Dialect is a named set of tolerances ([attr.Lenience]) for what identity
// providers send beyond the RFCs. Which of them a request needed is in its
// [LogEntry]. docs/dialects.md lists what every tolerance forgives, who needs it
// and which recorded conversation shows it.
type Dialect uint8

// The dialects. No two tolerances contradict each other, so that Auto is all of
// them; Strict is none. Every other dialect is what one client is known to
// need: those tolerances that nobody can mean another way, and those beside
// them that its entry names. A client that is not listed, and one of which no
// requests are public (Ping, Rippling), is best served by Auto.
const (
	Auto Dialect = iota
	Strict
	// Okta sends its token bare in applications with header authentication
	// (quirk 115), and numbers in entitlements (quirk 21).
	Okta
	// Entra is Microsoft Entra ID with and without aadOptscim062020: capitalised
	// operations (quirk 1), booleans in strings (12–16), wrapped, bare and lone
	// values (17–19), blanks (51–53), keys that are paths (24, 25), short
	// paths (32), elements replaced that are not there (38–44), members removed
	// by value (58), filters of its own (80–82, 85).
	Entra
	// Google is the automatic provisioning of Google Workspace: SCIM 1.0 URNs
	// (quirk 92) and no more.
	Google
	// OneLogin fills a template of the administrator's and leaves blanks where a
	// macro has no value (quirk 56).
	OneLogin
	// JumpCloud removes members by an array of values (quirk 58).
	JumpCloud
	// Authentik removed members so until 2026 (quirk 58).
	Authentik
	// Keycloak is its plugins: scim-for-keycloak renames groups with an object
	// in a string (quirk 23).
	Keycloak
	// CyberArk is CyberArk Identity: slashes at the end of a path (quirk 113).
	CyberArk
	// SailPoint is SailPoint's SCIM connectors: complex values in part (quirk
	// 50), which needs no tolerance.
	SailPoint
	// WSO2 is WSO2 Identity Server: emails that are partly plain strings (quirk
	// 20).
	WSO2
	// Salesforce is clients that remove members by {"members": […]} (quirk 62).
	Salesforce
	// Ping is PingOne and PingFederate, of which no requests are public.
	Ping
	// Rippling is a client of which no requests are public.
	Rippling
)

// everyClient is tolerated of every named provider: deviations that RFC 7644
// section 3.3 leaves to the service provider, or that nobody sends meaning
// something else.
const everyClient = attr.UnknownAttribute | attr.OddSchemas | attr.ReadOnlyInValue | attr.RemoveAbsent |
	attr.ArrayMissing | attr.SecondPrimary | attr.OperationsName | attr.EmptySegment

var dialects = [...]struct {
	name     string
	lenience attr.Lenience
}{
	Auto:   {"auto", attr.Lenient},
	Strict: {"strict", attr.Strict},
	Okta:   {"okta", everyClient | attr.BareToken | attr.Stringified},
	Entra: {"entra", everyClient | attr.StringBoolean | attr.WrappedScalar | attr.SingleInArray | attr.ScalarForComplex |
		attr.Blank | attr.OperationCase | attr.DottedKeys | attr.ShortExtensionPath | attr.CreateElement |
		attr.RemoveByValue | attr.ValuePathFilter | attr.UnquotedLiteral | attr.DoubleEncoded},
	Google:     {"google", everyClient},
	OneLogin:   {"onelogin", everyClient | attr.Blank},
	JumpCloud:  {"jumpcloud", everyClient | attr.RemoveByValue},
	Authentik:  {"authentik", everyClient | attr.RemoveByValue},
	Keycloak:   {"keycloak", everyClient | attr.StringifiedObject},
	CyberArk:   {"cyberark", everyClient},
	SailPoint:  {"sailpoint", everyClient},
	WSO2:       {"wso2", everyClient | attr.ScalarForComplex},
	Salesforce: {"salesforce", everyClient | attr.RemoveByValue | attr.RemoveNested},
	Ping:       {"ping", everyClient},
	Rippling:   {"rippling", everyClient},
}

// Dialects lists the dialects, Auto and Strict first, for a setting to choose
// from.
func Dialects() []Dialect {
	all := make([]Dialect, len(dialects))
	for i := range all {
		all[i] = Dialect(i)
	}
	return all
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
	var names strings.Builder
	for d, known := range dialects {
		if known.name == name {
			return Dialect(d), nil
		}
		switch d {
		case 0:
		case len(dialects) - 1:
			names.WriteString(" or ")
		default:
			names.WriteString(", ")
		}
		names.WriteString(known.name)
	}
	return 0, fmt.Errorf("scim: no dialect %q: %s", name, names.String())
}

// Lenience returns the dialect's tolerances; none for a value that is no
// dialect.
func (d Dialect) Lenience() attr.Lenience {
	if int(d) < len(dialects) {
		return dialects[d].lenience
	}
	return attr.Strict
}
