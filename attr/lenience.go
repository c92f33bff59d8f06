package attr

import "math/bits"

// Lenience is a set of tolerances: named deviations from the RFCs that real
// providers need. What a set allows is applied where the text is read, in one
// pass, so that nothing behind it sees a client's habits; what fired is
// collected in a set of the same type.
type Lenience uint64

// The tolerances. The quirk numbers are those of docs/dialects.md, which says
// who sends what and what shows it.
const (
	// StringBoolean reads "True", "true", "False" and "false", in any case, as
	// booleans (quirks 12–16).
	StringBoolean Lenience = 1 << iota
	// WrappedScalar takes the value out of [{"value": x}] or {"value": x}
	// where a simple value is expected (quirk 17).
	WrappedScalar
	// SingleInArray takes the one element of an array where a single value is
	// expected, and an empty array for no value (quirk 18).
	SingleInArray
	// ScalarForComplex reads a simple value as the "value" of a complex
	// attribute (quirks 19, 20).
	ScalarForComplex
	// ArrayMissing reads a single value as an array of one (quirk 20).
	ArrayMissing
	// Stringified accepts numbers and booleans for strings, and numbers in
	// strings (quirk 21).
	Stringified
	// Blank reads an empty string as unassigned, and so a complex value with
	// nothing else, or in a list with nothing else but its type (quirks 51, 53,
	// 56).
	Blank
	// UnknownAttribute ignores attributes that no schema defines (quirks 31,
	// 36, 74, 93, 103). RFC 7644 section 3.3 leaves it to the service provider.
	UnknownAttribute
	// OddSchemas accepts missing, repeated, malformed, foreign and SCIM 1.0 URNs
	// in "schemas" (quirks 3, 75, 92).
	OddSchemas
	// SecondPrimary keeps the first of several primary values (RFC 7643
	// section 2.4 allows one).
	SecondPrimary

	// OperationCase reads "Add", "Replace" and "Remove" (quirk 1).
	OperationCase
	// OperationsName reads the operations under any case of "Operations"
	// (quirk 4).
	OperationsName
	// DottedKeys reads keys such as "name.givenName", "emails[…].value" and
	// "urn:…:User:department" in the value of an operation without path
	// (quirks 24, 25, 35, 42).
	DottedKeys
	// ShortExtensionPath finds an attribute of an extension by its bare name
	// where no other attribute has it (quirks 32, 83).
	ShortExtensionPath
	// CreateElement makes replace create the element that a filter of
	// equalities describes, where RFC 7644 section 3.5.2.3 answers noTarget
	// (quirks 16, 38–44).
	CreateElement
	// RemoveByValue removes just the values given with a remove operation
	// (quirks 48, 58, 62).
	RemoveByValue
	// RemoveNested reads {"members":[…]} as the value of a remove operation
	// on members (quirk 62).
	RemoveNested
	// RemoveAbsent lets a remove succeed whose filter finds nothing, where
	// RFC 7644 section 3.12 answers noTarget (quirk 49).
	RemoveAbsent
	// ReadOnlyInValue ignores id, schemas, meta and other read-only attributes
	// among the values of a PATCH (quirk 37).
	ReadOnlyInValue
	// StringifiedObject reads a JSON object written into a string as the value
	// of an operation without path (quirk 23).
	StringifiedObject

	// ValuePathFilter reads emails[type eq "work"].value eq "x" as
	// emails[type eq "work" and value eq "x"] (quirks 80, 81).
	ValuePathFilter
	// UnquotedLiteral reads an unquoted literal in a filter as a string
	// (quirk 82).
	UnquotedLiteral
	// DoubleEncoded decodes a filter that was percent-encoded twice
	// (quirk 85).
	DoubleEncoded
	// BareToken accepts a token without the word Bearer (quirk 115).
	BareToken
	// EmptySegment reads past a slash at the end of a path and a double one
	// (quirk 113).
	EmptySegment

	lenienceEnd
)

// Strict allows nothing that the RFCs do not; Lenient allows all tolerances.
const (
	Strict  Lenience = 0
	Lenient          = lenienceEnd - 1
)

var lenienceNames = [...]string{
	"string-boolean", "wrapped-scalar", "single-in-array", "scalar-for-complex", "array-missing",
	"stringified", "blank", "unknown-attribute", "odd-schemas", "second-primary",
	"operation-case", "operations-name", "dotted-keys", "short-extension-path", "create-element",
	"remove-by-value", "remove-nested", "remove-absent", "read-only-in-value", "stringified-object",
	"value-path-filter", "unquoted-literal", "double-encoded", "bare-token", "empty-segment",
}

// Has reports whether all of what is in l.
func (l Lenience) Has(what Lenience) bool { return l&what == what }

// Names lists the tolerances in l, as the request log shows them.
func (l Lenience) Names() []string {
	if l == 0 {
		return nil
	}
	names := make([]string, 0, bits.OnesCount64(uint64(l)))
	for rest := uint64(l & Lenient); rest != 0; rest &= rest - 1 {
		names = append(names, lenienceNames[bits.TrailingZeros64(rest)])
	}
	return names
}
