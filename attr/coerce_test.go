package attr_test

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

// Every tolerance of decoding: what it accepts, that it alone is what fires,
// and the refusal that names the attribute where it is off.
func TestTolerances(t *testing.T) {
	const syntax, value = attr.InvalidSyntax, attr.InvalidValue
	for _, c := range []struct {
		rule      string
		tolerance attr.Lenience
		sent      string // members of the body
		stored    string // members of the canonical JSON
		refusal   attr.ErrorType
		names     string // what the refusal names
	}{
		{"quirk 12: True", attr.StringBoolean, `"bool":"True"`, `"bool":true`, value, "bool "},
		{"quirk 12: False", attr.StringBoolean, `"bool":"False"`, `"bool":false`, value, "bool "},
		{"quirk 13: lower case", attr.StringBoolean, `"bool":"false"`, `"bool":false`, value, "bool "},
		{"quirk 12: upper case", attr.StringBoolean, `"bool":"TRUE"`, `"bool":true`, value, "bool "},
		{"quirk 15: primary", attr.StringBoolean, `"list":[{"value":"x","primary":"True"}]`, `"list":[{"value":"x","primary":true}]`, value, "list.primary "},
		{"quirk 14: in an array", attr.StringBoolean, `"bools":["true",false]`, `"bools":[true,false]`, value, "bools "},

		{"quirk 17: {value}", attr.WrappedScalar, `"text":{"value":"x"}`, `"text":"x"`, value, "text "},
		{"quirk 17: {$ref, value}", attr.WrappedScalar, `"text":{"$ref":null,"Value":"x","more":[{}]}`, `"text":"x"`, value, "text "},
		{"quirk 17: [{$ref, value}]", attr.WrappedScalar, `"text":[{"$ref":null,"value":"x"}]`, `"text":"x"`, syntax, "text "},
		{"quirk 17: a boolean", attr.WrappedScalar, `"bool":[{"value":true}]`, `"bool":true`, syntax, "bool "},
		{"quirk 17: null", attr.WrappedScalar, `"text":[{"$ref":null,"value":null}]`, ``, syntax, "text "},
		{"quirk 17: values of a simple array", attr.WrappedScalar, `"texts":[{"value":"x"},"y"]`, `"texts":["x","y"]`, value, "texts "},

		{"quirk 18: complex", attr.SingleInArray, `"complex":[{"value":"x"}]`, `"complex":{"value":"x"}`, syntax, "complex "},
		{"quirk 18: simple", attr.SingleInArray, `"text":["x"]`, `"text":"x"`, syntax, "text "},
		{"quirk 18: number", attr.SingleInArray, `"integer":[7]`, `"integer":7`, syntax, "integer "},
		{"quirk 54: [] for a simple value", attr.SingleInArray, `"text":[]`, ``, syntax, "text "},
		{"quirk 54: [] for a complex value", attr.SingleInArray, `"complex":[]`, ``, syntax, "complex "},
		{"quirk 54: [null]", attr.SingleInArray, `"complex":[null]`, ``, syntax, "complex "},

		{"quirk 19: string", attr.ScalarForComplex, `"complex":"x"`, `"complex":{"value":"x"}`, value, "complex "},
		{"quirk 19: in a list", attr.ScalarForComplex, `"list":["x",{"value":"y"}]`, `"list":[{"value":"x"},{"value":"y"}]`, value, "list "},
		{"quirk 22: a JSON document in a string", attr.ScalarForComplex, `"list":["{\"a\":[1]}"]`, `"list":[{"value":"{\"a\":[1]}"}]`, value, "list "},

		{"quirk 20: object", attr.ArrayMissing, `"list":{"value":"x"}`, `"list":[{"value":"x"}]`, syntax, "list "},
		{"quirk 20: string", attr.ArrayMissing, `"texts":"x"`, `"texts":["x"]`, syntax, "texts "},
		{"quirk 20: empty object", attr.ArrayMissing, `"list":{}`, ``, syntax, "list "},
		{"quirk 20: in a list", attr.ArrayMissing, `"list":[{"tags":"x"}]`, `"list":[{"tags":["x"]}]`, syntax, "list.tags "},

		{"quirk 21: number for string", attr.Stringified, `"text":1.50`, `"text":"1.50"`, value, "text "},
		{"quirk 21: boolean for string", attr.Stringified, `"text":true`, `"text":"true"`, value, "text "},
		{"quirk 21: string for integer", attr.Stringified, `"integer":"-12"`, `"integer":-12`, value, "integer "},
		{"quirk 21: string for decimal", attr.Stringified, `"decimal":"1.5e+3"`, `"decimal":1.5e+3`, value, "decimal "},
		{"quirk 21: huge", attr.Stringified, `"decimal":"1E999"`, `"decimal":1E999`, value, "decimal "},

		{"quirk 51: string", attr.Blank, `"bool":""`, ``, value, "bool "},
		{"quirk 51: integer", attr.Blank, `"integer":""`, ``, value, "integer "},
		{"quirk 56: dateTime", attr.Blank, `"time":""`, ``, value, "time "},
		{"quirk 53: complex", attr.Blank, `"complex":""`, ``, value, "complex "},

		{"quirk 36, 93: unknown attribute", attr.UnknownAttribute, `"shoeSize":{"a":[1,{"b":null}]}`, ``, syntax, `"shoeSize" `},
		{"quirk 93: unknown sub-attribute", attr.UnknownAttribute, `"complex":{"x":1,"value":"x"}`, `"complex":{"value":"x"}`, syntax, `"x" `},
		{"quirk 75: unknown extension", attr.UnknownAttribute, `"urn:test:none":{}`, ``, syntax, `"urn:test:none" `},

		{
			"RFC 7643 section 2.4: primary", attr.SecondPrimary,
			`"list":[{"value":"a","primary":true},{"value":"b","primary":false},{"value":"c","primary":true},{"value":"d","primary":true}]`,
			`"list":[{"value":"a","primary":true},{"value":"b","primary":false},{"value":"c","primary":false},{"value":"d","primary":false}]`, value, "list ",
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			for _, l := range []attr.Lenience{c.tolerance, attr.Lenient} {
				d := decode(t, everything, body(c.sent), l)
				require.Equal(t, c.tolerance.Names(), d.Fired().Names(), "allowed: %v", l.Names())
				s := d.Freeze()
				require.Equal(t, body(c.stored), s.JSON())
				d.Release()
			}
			off := attr.Strict
			if c.tolerance == attr.SecondPrimary {
				off = attr.Lenient &^ attr.SecondPrimary // its refusal does not depend on another tolerance
			}
			e := refuse(t, everything, body(c.sent), off)
			require.Equal(t, c.refusal, e.Type, e.Detail)
			require.Contains(t, e.Detail, c.names)
		})
	}
}

// Tolerances that have to come together.
func TestTolerancesTogether(t *testing.T) {
	for _, c := range []struct {
		rule, sent, stored string
		fired              attr.Lenience
	}{
		{"quirk 17, 12", `"bool":[{"$ref":null,"value":"False"}]`, `"bool":false`, attr.WrappedScalar | attr.StringBoolean},
		{"quirk 17, 51", `"text":[{"value":""}]`, ``, attr.WrappedScalar | attr.Blank},
		{"quirk 18, 19", `"complex":["x"]`, `"complex":{"value":"x"}`, attr.SingleInArray | attr.ScalarForComplex},
		{"quirk 20, 19", `"list":"x"`, `"list":[{"value":"x"}]`, attr.ArrayMissing | attr.ScalarForComplex},
		{"quirk 19, 21: number", `"complex":7`, `"complex":{"value":"7"}`, attr.ScalarForComplex | attr.Stringified},
		{"quirk 19, 21: boolean", `"complex":false`, `"complex":{"value":"false"}`, attr.ScalarForComplex | attr.Stringified},
		{"quirk 20, 51", `"list":""`, ``, attr.ArrayMissing | attr.Blank},
		{"quirk 53", `"complex":{"value":"","other":""}`, ``, attr.Blank},
		{"quirk 56: in a list", `"list":[{"value":""},{"value":"x","type":""}]`, `"list":[{"value":"x"}]`, attr.Blank},
		{"quirk 56: nothing but a type is left", `"list":[{"value":"","type":"work","primary":true},{"value":"x","type":"work"}]`, `"list":[{"value":"x","type":"work"}]`, attr.Blank},
		{"quirk 56: nothing but a type was sent", `"list":[{"type":"work"}]`, `"list":[{"type":"work"}]`, 0},
		{"quirk 51: null is no tolerance", `"text":null,"complex":null,"list":null,"bool":null`, ``, 0},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := decode(t, everything, body(c.sent), attr.Lenient)
			defer d.Release()
			require.Equal(t, c.fired.Names(), d.Fired().Names())
			s := d.Freeze()
			require.Equal(t, body(c.stored), s.JSON())

			// Each of them is needed.
			for rest := uint64(c.fired &^ attr.Blank); rest != 0; rest &= rest - 1 {
				one := attr.Lenience(1) << bits.TrailingZeros64(rest)
				_ = refuse(t, everything, body(c.sent), attr.Lenient&^one)
			}
		})
	}
}

// Without [attr.Blank] an empty string is a value (quirk 99: stored verbatim).
func TestBlankOff(t *testing.T) {
	const sent = `"text":"","reference":"","complex":{"value":""},"texts":[""]`
	s := freeze(t, everything, body(sent), attr.Lenient&^attr.Blank)
	require.Equal(t, body(sent), s.JSON())
	s = freeze(t, everything, body(`"complex":""`), attr.Lenient&^attr.Blank)
	require.Equal(t, body(`"complex":{"value":""}`), s.JSON())
}

// Values that no tolerance saves.
func TestInvalidValues(t *testing.T) {
	const syntax, value = attr.InvalidSyntax, attr.InvalidValue
	for _, c := range []struct {
		rule, sent string
		refusal    attr.ErrorType
		names      string
	}{
		{"RFC 7643 section 2.3.2", `"bool":"yes"`, value, "bool "},
		{"RFC 7643 section 2.3.2", `"bool":1`, value, "bool "},
		{"RFC 7643 section 2.3.3", `"decimal":true`, value, "decimal "},
		{"RFC 7643 section 2.3.3", `"decimal":"one"`, value, "decimal "},
		{"RFC 7643 section 2.3.3", `"decimal":"NaN"`, value, "decimal "},
		{"RFC 7643 section 2.3.3", `"decimal":" 1"`, value, "decimal "},
		{"RFC 7643 section 2.3.4", `"integer":1.0`, value, "integer "},
		{"RFC 7643 section 2.3.4", `"integer":1e3`, value, "integer "},
		{"RFC 7643 section 2.3.4", `"integer":"1E3"`, value, "integer "},
		{"RFC 7643 section 2.3.4", `"integer":false`, value, "integer "},
		{"RFC 7643 section 2.3.5", `"time":"yesterday"`, value, "time "},
		{"RFC 7643 section 2.3.5", `"time":"2008-01-23"`, value, "time "},
		{"RFC 7643 section 2.3.5", `"time":1201064182`, value, "time "},
		{"RFC 7643 section 2.3.6", `"binary":"not base64!"`, value, "binary "},
		{"RFC 7643 section 2.3.6", `"binary":7`, value, "binary "},
		{"RFC 7643 section 2.3.7", `"reference":7`, value, "reference "},
		{"RFC 7643 section 2.3.8", `"valueless":"x"`, value, "valueless "},
		{"RFC 7643 section 2.3.8", `"valueless":7`, value, "valueless "},
		{"an object without value", `"text":{"val":"x"}`, value, "text "},
		{"an empty object", `"text":{}`, value, "text "},
		{"an object with two values", `"text":{"value":"x","VALUE":"y"}`, value, "text "},
		{"an object in an object", `"text":{"value":{"value":"x"}}`, value, "text "},
		{"an array in an object", `"text":{"value":["x"]}`, value, "text "},
		{"an array of two", `"complex":[{"value":"a"},{"value":"b"}]`, value, "complex "},
		{"an array of two", `"text":["a","b"]`, value, "text "},
		{"an array in an array", `"texts":[["a"]]`, syntax, "texts "},
		{"an array in an array", `"list":[[{"value":"a"}]]`, syntax, "list "},
		{"quirk 19", `"complex":{"value":{"value":"x","other":[]}, "flag":[[]], "other":[[["deep","er"]]]}`, value, "complex.other "},
	} {
		t.Run(c.rule+" "+c.sent, func(t *testing.T) {
			e := refuse(t, everything, body(c.sent), attr.Lenient)
			require.Equal(t, c.refusal, e.Type, e.Detail)
			require.Contains(t, e.Detail, c.names)
		})
	}
}

// RFC 7643 section 2.3: values are stored as they were sent (quirk 99).
func TestValuesVerbatim(t *testing.T) {
	for _, members := range []string{
		`"text":"x"`, `"text":" X "`, `"text":"\"\\\b\f\n\r\t\u0001/"`, `"text":"é 😀 ` + "\u2028" + `"`,
		`"bool":true`, `"bool":false`,
		`"integer":0`, `"integer":-0`, `"integer":123456789012345678901234567890123456789012345678901234567890`,
		`"decimal":1`, `"decimal":1.50`, `"decimal":-0.0`, `"decimal":1e999`, `"decimal":1E-400`, `"decimal":0.1e+10`,
		`"time":"2008-01-23T04:56:22Z"`, `"time":"2010-01-23T04:56:22.1234567Z"`, `"time":"2011-05-13T04:42:34+02:00"`, `"time":"2011-05-13T04:42:34"`,
		`"reference":"../Users/2819c223"`, `"reference":"not a URI"`,
		`"binary":""`, `"binary":"QQ=="`, `"binary":"QQ"`, `"binary":"-_-_"`, `"binary":"+/+/"`,
		`"texts":["b","a","b"]`, `"list":[{"value":"a"},{"value":"a"}]`,
	} {
		s := freeze(t, everything, body(members), attr.Strict)
		require.Equal(t, body(members), s.JSON())
	}
}

// RFC 7643 section 2.5: null, an empty array and nothing are the same.
func TestUnassigned(t *testing.T) {
	for _, members := range []string{
		``, `"text":null`, `"list":null`, `"list":[]`, `"list":[null]`, `"list":[{}]`, `"list":[{"value":null}]`, `"complex":null`,
		`"complex":{}`, `"complex":{"value":null,"flag":null}`, `"texts":[]`, `"` + extensionURN + `":null`, `"` + extensionURN + `":{}`,
		`"` + extensionURN + `":{"manager":{"value":null},"tags":[]}`, `"readOnly":"x","id":"x","meta":{"version":"1","x":[{}]}`,
	} {
		d := decode(t, everything, body(members), attr.Strict)
		s := d.Freeze()
		require.Equal(t, body(""), s.JSON(), members)
		require.Zero(t, d.Fired(), members)
		d.Release()
	}
}

// RFC 7643 sections 3 and 3.1, quirk 92.
func TestSchemas(t *testing.T) {
	const own, extension = `"` + everythingURN + `"`, `"` + extensionURN + `"`
	const department = `,"` + extensionURN + `":{"department":"x"}`
	plain := body("")
	for _, c := range []struct {
		rule, sent, stored string
		refusal            attr.ErrorType // "" where there is none
	}{
		{"own", `{"schemas":[` + own + `]}`, plain, ""},
		{"any case", `{"SCHEMAS":["URN:TEST:everything"]}`, plain, ""},
		{"extension without values", `{"schemas":[` + extension + `,` + own + `]}`, plain, ""},
		{"extension", `{"schemas":[` + extension + `,` + own + `]` + department + `}`, `{"schemas":[` + own + `,` + extension + `]` + department + `}`, ""},
		{"missing", `{}`, plain, attr.InvalidValue},
		{"null", `{"schemas":null}`, plain, attr.InvalidSyntax},
		{"empty", `{"schemas":[]}`, plain, attr.InvalidValue},
		{"a string", `{"schemas":` + own + `}`, plain, attr.InvalidSyntax},
		{"an object", `{"schemas":{"a":[]}}`, plain, attr.InvalidSyntax},
		{"no strings", `{"schemas":[1,{"a":[]},` + own + `]}`, plain, attr.InvalidSyntax},
		{"SCIM 1.0", `{"schemas":["urn:scim:schemas:core:1.0"]}`, plain, attr.InvalidValue},
		{"malformed", `{"schemas":[` + own + `,"urn:test:2.0Extension"]}`, plain, attr.InvalidValue},
		{"foreign", `{"schemas":[` + own + `,"http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]}`, plain, attr.InvalidValue},
		{"an attribute's name", `{"schemas":[` + own + `,"text"]}`, plain, attr.InvalidValue},
		{"twice", `{"schemas":[` + own + `,` + own + `]}`, plain, attr.InvalidValue},
		{"without the extension", `{"schemas":[` + own + `]` + department + `}`, `{"schemas":[` + own + `,` + extension + `]` + department + `}`, attr.InvalidValue},
		{"without the own", `{"schemas":[` + extension + `]` + department + `}`, `{"schemas":[` + own + `,` + extension + `]` + department + `}`, attr.InvalidValue},
	} {
		t.Run(c.rule, func(t *testing.T) {
			want := attr.OddSchemas
			if c.refusal == "" {
				want = 0
			}
			d := decode(t, everything, c.sent, attr.OddSchemas)
			defer d.Release()
			require.Equal(t, want.Names(), d.Fired().Names())
			s := d.Freeze()
			require.Equal(t, c.stored, s.JSON())
			if c.refusal != "" {
				e := refuse(t, everything, c.sent, attr.Lenient&^attr.OddSchemas)
				require.Equal(t, c.refusal, e.Type)
				require.Contains(t, e.Detail, "schemas ")
				return
			}
			s = freeze(t, everything, c.sent, attr.Strict)
			require.Equal(t, c.stored, s.JSON())
		})
	}
}

func TestLenienceNames(t *testing.T) {
	require.Empty(t, attr.Strict.Names())
	names := attr.Lenient.Names()
	require.Len(t, names, bits.OnesCount64(uint64(attr.Lenient)))
	seen := map[string]bool{}
	for _, n := range names {
		require.NotEmpty(t, n)
		require.False(t, seen[n], n)
		seen[n] = true
	}
	for l, name := range map[attr.Lenience]string{
		attr.StringBoolean: "string-boolean", attr.SecondPrimary: "second-primary", attr.OperationCase: "operation-case",
		attr.StringifiedObject: "stringified-object", attr.ValuePathFilter: "value-path-filter", attr.BareToken: "bare-token",
	} {
		require.Equal(t, []string{name}, l.Names())
		require.True(t, attr.Lenient.Has(l))
		require.False(t, (attr.Lenient &^ l).Has(l|attr.Blank))
	}
	require.Equal(t, []string{"blank", "bare-token"}, (attr.BareToken | attr.Blank).Names())
}
