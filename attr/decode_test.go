package attr_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

// RFC 7643 section 2.1, quirk 33: names in any case, canonical behind it.
func TestDecodeNamesIgnoreCase(t *testing.T) {
	sent := `{"SCHEMAS":["` + strings.ToUpper(everythingURN) + `","` + extensionURN + `"],"TEXT":"x","coMPlex":{"VALUE":"y"},"` +
		strings.ToUpper(extensionURN) + `":{"Manager":{"$REF":"z"}}}`
	s := freeze(t, everything, sent, attr.Strict)
	require.Equal(t, bodyExtended(`"text":"x","complex":{"value":"y"},"`+extensionURN+`":{"manager":{"$ref":"z"}}`), s.JSON())
}

// RFC 7643 section 2.3.8: the order of attributes does not matter.
func TestDecodeOrderIsSchemaOrder(t *testing.T) {
	s := freeze(t, everything, `{"`+extensionURN+`":{"tags":["b","a"],"department":"d"},"list":[{"type":"t","value":"v"}],"decimal":1,"text":"x","schemas":["`+
		extensionURN+`","`+everythingURN+`"],"bool":true}`, attr.Strict)
	require.Equal(t, bodyExtended(`"text":"x","bool":true,"decimal":1,"list":[{"value":"v","type":"t"}],"`+
		extensionURN+`":{"department":"d","tags":["b","a"]}`), s.JSON())
}

// Two spellings of one attribute are a duplicate wherever they stand, whatever
// the values are.
func TestDecodeDuplicateNames(t *testing.T) {
	for _, c := range []struct{ members, names string }{
		{`"text":"a","text":"b"`, "text"},
		{`"text":"a","TEXT":"a"`, "text"},
		{`"text":null,"Text":"a"`, "text"},
		{`"t\u0065xt":"a","Text":"a"`, "text"},
		{`"list":[],"LIST":[]`, "list"},
		{`"readOnly":"a","readonly":"a"`, "readOnly"},
		{`"id":"a","ID":"a"`, "id"},
		{`"Schemas":["` + everythingURN + `"]`, "schemas"},
		{`"complex":{"value":"a","VALUE":"b"}`, "complex.value"},
		{`"list":[{"value":"a"},{"value":"a","VaLuE":"b"}]`, "list.value"},
		{`"` + extensionURN + `":{},"` + strings.ToUpper(extensionURN) + `":{}`, extensionURN},
		{`"` + extensionURN + `":{"id":"a","ID":"b"}`, extensionURN + ":id"},
	} {
		e := refuse(t, everything, body(c.members), attr.Lenient)
		require.Equal(t, attr.InvalidSyntax, e.Type)
		require.Contains(t, e.Detail, " "+c.names+" is there twice", c.members)
	}
	// Names that no schema defines mean nothing, twice or once.
	decode(t, everything, body(`"x":1,"x":2`), attr.UnknownAttribute).Release()
}

// The same, where an extension has more attributes than the set of seen ones has bits.
func TestDecodeDuplicateNamesInALongExtension(t *testing.T) {
	var attributes schema.Attributes
	for i := range 1000 {
		attributes = append(attributes, schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: fmt.Sprintf("a%d", i)})))
	}
	const urn = "urn:test:long"
	typ, err := attr.NewType("Long", "/Long", "", everythingSchema(), attr.Extension{Schema: schema.Schema{ID: urn, Attributes: attributes}})
	require.NoError(t, err)

	var members []string
	for i := 999; i >= 0; i-- {
		members = append(members, fmt.Sprintf(`"A%d":"%d"`, i, i))
	}
	long := `{"schemas":["` + everythingURN + `","` + urn + `"],"` + urn + `":{` + strings.Join(members, ",")
	s := freeze(t, typ, long+"}}", attr.Strict)
	require.True(t, strings.HasSuffix(s.JSON(), `"a998":"998","a999":"999"}}`))
	for _, twice := range []string{"a0", "a200", "a300", "a999"} {
		e := refuse(t, typ, long+`,"`+twice+`":null}}`, attr.Strict)
		require.Contains(t, e.Detail, urn+":"+twice+" is there twice")
	}
	_ = refuse(t, typ, `{"schemas":["`+everythingURN+`"],"`+urn+`":{"a999":null,"A999":"x"}}`, attr.Strict)
}

// RFC 7644 section 3.3, quirks 37, 94, 95: what a client cannot set is ignored.
func TestDecodeIgnoresWhatClientsCannotSet(t *testing.T) {
	typ := userType(t)
	const schemas = `"schemas":["` + schema.UserSchema + `"]`
	s := freeze(t, typ, `{`+schemas+`,"id":"x","externalId":"e","meta":{"resourceType":"User","created":"nonsense"},"userName":"u","password":"1mz050nq","groups":[{"value":"g"}]}`, attr.Strict)
	require.Equal(t, `{`+schemas+`,"externalId":"e","userName":"u"}`, s.JSON())

	d := attr.NewDoc(everything)
	defer d.Release()
	n, err := d.DecodeValue([]byte(`{"value":"v","displayName":"d"}`), lookup(t, everything, extensionURN+":manager"), false, attr.Strict, attr.Limits{})
	require.NoError(t, err)
	require.Equal(t, "v", n.First().Text())
	require.Nil(t, n.First().Next())
}

// What was stored is read back whole, with id and other read-only attributes.
func TestDecodeStored(t *testing.T) {
	d := decode(t, everything, bodyExtended(`"text":"","list":[{"value":"a\u0001","primary":true}],"`+extensionURN+`":{"manager":{"value":"m"}}`), attr.Strict)
	d.Root().Put(d.Text(everything.ID, "42"))
	d.Root().Put(d.Text(lookup(t, everything, "readOnly"), "ro"))
	manager := lookup(t, everything, extensionURN+":manager")
	d.Root().Child(manager.Parent).Child(manager).Put(d.Text(manager.Sub("displayName"), "M"))
	s := d.Freeze()
	d.Release()
	require.Equal(t, "42", s.ID())

	again := attr.NewDoc(everything)
	require.NoError(t, again.DecodeStored([]byte(s.JSON())))
	frozen := again.Freeze()
	require.Equal(t, s.JSON(), frozen.JSON())
	require.True(t, s.Equal(&frozen))

	// That lasts for the one call.
	again.Release()
	again = attr.NewDoc(everything)
	defer again.Release()
	require.NoError(t, again.Decode([]byte(s.JSON()), attr.Strict, attr.Limits{}))
	require.Nil(t, again.Root().Child(everything.ID))
	e := requireError(t, again.DecodeStored([]byte(`{`)), "truncated")
	require.Equal(t, attr.InvalidSyntax, e.Type)
}

// RFC 7644 section 3.5.2: the value of a PATCH operation.
func TestDecodeValue(t *testing.T) {
	for _, c := range []struct {
		rule, path, raw string
		one             bool
		l               attr.Lenience
		want            string // of the frozen document; "" where it is unassigned
		fired           attr.Lenience
	}{
		{"simple", "text", `"x"`, false, 0, `"text":"x"`, 0},
		{"null", "text", ` null `, false, 0, ``, 0},
		{"list", "list", `[{"value":"a"},{"value":"b"}]`, false, 0, `"list":[{"value":"a"},{"value":"b"}]`, 0},
		{"section 3.5.2.1: one value of a list", "list", `{"value":"a"}`, false, 0, `"list":[{"value":"a"}]`, 0},
		{"section 3.5.2.1: one simple value", "texts", `"a"`, false, attr.Lenient, `"texts":["a"]`, attr.ArrayMissing},
		{"quirk 19", "list", `"a"`, false, attr.Lenient, `"list":[{"value":"a"}]`, attr.ArrayMissing | attr.ScalarForComplex},
		{"null for a list", "list", `null`, false, 0, ``, 0},
		{"empty list", "list", `[]`, false, 0, ``, 0},
		{"one element", "list", `{"value":"a"}`, true, 0, `"list":[{"value":"a"}]`, 0},
		{"one empty element", "list", `{}`, true, 0, ``, 0},
		{"extension", extensionURN, `{"tags":["a"]}`, false, 0, `"` + extensionURN + `":{"tags":["a"]}`, 0},
		{"quirk 20 below an extension", extensionURN, `{"tags":"a"}`, false, attr.Lenient, `"` + extensionURN + `":{"tags":["a"]}`, attr.ArrayMissing},
		{"quirk 12", "bool", `"False"`, false, attr.Lenient, `"bool":false`, attr.StringBoolean},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a := lookup(t, everything, c.path)
			d := attr.NewDoc(everything)
			defer d.Release()
			n, err := d.DecodeValue([]byte(c.raw), a, c.one, c.l, attr.Limits{})
			require.NoError(t, err)
			require.Equal(t, c.fired.Names(), d.Fired().Names())
			if c.want == "" {
				require.Nil(t, n)
				return
			}
			if c.one {
				list := d.List(a)
				list.Append(n)
				n = list
			}
			d.Root().Put(n)
			s := d.Freeze()
			if a.Extension {
				require.Equal(t, bodyExtended(c.want), s.JSON())
			} else {
				require.Equal(t, body(c.want), s.JSON())
			}
		})
	}
}

func TestDecodeValueRefuses(t *testing.T) {
	for _, c := range []struct {
		rule, path, raw string
		one             bool
		refusal         attr.ErrorType
	}{
		{"quirk 20 is no licence for what is below", extensionURN, `{"tags":"a"}`, false, attr.InvalidSyntax},
		{"quirk 20 is no licence for what is below", "list", `{"tags":"a"}`, false, attr.InvalidSyntax},
		{"a list for one element", "list", `[{"value":"a"}]`, true, attr.InvalidSyntax},
		{"a list for one value", "text", `["a"]`, false, attr.InvalidSyntax},
		{"another type", "bool", `"True"`, false, attr.InvalidValue},
		{"unknown sub-attribute", "complex", `{"x":1}`, false, attr.InvalidSyntax},
		{"nothing", "text", ``, false, attr.InvalidSyntax},
		{"nothing", "list", ` `, false, attr.InvalidSyntax},
		{"truncated", "text", `"a`, false, attr.InvalidSyntax},
		{"truncated", "list", `[{"value":"a"}`, false, attr.InvalidSyntax},
		{"truncated", "complex", `{"value":`, true, attr.InvalidSyntax},
		{"something behind", "text", `"a" "b"`, false, attr.InvalidSyntax},
		{"something behind", "list", `null,null`, false, attr.InvalidSyntax},
		{"no JSON", "bool", `True`, false, attr.InvalidSyntax},
		{"a bracket", "bool", `]`, false, attr.InvalidSyntax},
	} {
		t.Run(c.rule+" "+c.raw, func(t *testing.T) {
			d := attr.NewDoc(everything)
			defer d.Release()
			n, err := d.DecodeValue([]byte(c.raw), lookup(t, everything, c.path), c.one, attr.Strict, attr.Limits{})
			require.Nil(t, n)
			require.Equal(t, c.refusal, requireError(t, err, c.raw).Type, err)
		})
	}
}

// RFC 7643 section 2.2, quirk 57.
func TestCheckRequired(t *testing.T) {
	typ, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(), attr.Extension{Schema: everythingSchema(), Required: true})
	require.NoError(t, err)
	always, err := attr.NewType("Always", "/Always", "", schema.Schema{ID: "urn:test:always", Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "name", Required: true, Returned: schema.AttributeReturnedAlways()})),
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "key", Required: true, Mutability: schema.AttributeMutabilityReadOnly()})),
	}})
	require.NoError(t, err)

	const urn = everythingURN
	for _, c := range []struct {
		rule  string
		typ   *attr.Type
		sent  string
		names string // "" if nothing is missing
	}{
		{"nothing at all", typ, `{}`, urn},
		{"userName", typ, `{"` + urn + `":{"text":"x"}}`, "userName "},
		{"userName null", typ, `{"userName":null,"` + urn + `":{"text":"x"}}`, "userName "},
		{"userName blank", typ, `{"userName":"","` + urn + `":{"text":"x"}}`, "userName "},
		{"extension", typ, `{"userName":"x"}`, "extension " + urn},
		{"extension without values", typ, `{"userName":"x","` + urn + `":{"list":[]}}`, "extension " + urn},
		{"both", typ, `{"userName":"x","` + urn + `":{"text":"x"}}`, ""},
		{"sub-attribute", typ, `{"userName":"x","` + urn + `":{"strict":{"may":"x"}}}`, urn + ":strict.must "},
		{"sub-attribute there", typ, `{"userName":"x","` + urn + `":{"strict":{"must":"x"}}}`, ""},
		{"complex value unassigned", typ, `{"userName":"x","` + urn + `":{"text":"x","strict":{"may":null}}}`, ""},
		{"in a list", typ, `{"userName":"x","` + urn + `":{"strictList":[{"must":"x"},{"may":"x"}]}}`, urn + ":strictList.must "},
		{"in a list, there", typ, `{"userName":"x","` + urn + `":{"strictList":[{"must":"x"},{"must":"x"}]}}`, ""},
		{"returned always", always, `{}`, "name "},
		{"read-only", always, `{"name":"x"}`, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := decode(t, c.typ, c.sent, attr.Lenient)
			defer d.Release()
			err := d.Check()
			if c.names == "" {
				require.NoError(t, err)
				return
			}
			e := requireError(t, err, c.sent)
			require.Equal(t, attr.InvalidValue, e.Type)
			require.Contains(t, e.Detail, c.names)
		})
	}
}

// What is left of a value when everything in it was removed does not count.
func TestCheckIgnoresEmptiedValues(t *testing.T) {
	d := decode(t, everything, body(`"strict":{"must":"x"},"strictList":[{"must":"x"}]`), attr.Strict)
	defer d.Release()
	for _, path := range []string{"strict", "strictList"} {
		n := d.Root().Child(lookup(t, everything, path))
		if n.IsList() {
			n = n.First()
		}
		n.Clear()
	}
	require.NoError(t, d.Check())
	s := d.Freeze()
	require.Equal(t, body(""), s.JSON())
}

// The same for an extension: emptied, it is missing where it is required, and
// what it requires is not where it is not.
func TestCheckEmptiedExtension(t *testing.T) {
	const urn = "urn:test:emptied"
	extension := schema.Schema{ID: urn, Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "must", Required: true})),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "owner", SubAttributes: []schema.SimpleParams{schema.SimpleStringParams(schema.StringParams{Name: "value"})}}),
	}}
	for _, required := range []bool{false, true} {
		typ, err := attr.NewType("A", "/A", "", everythingSchema(), attr.Extension{Schema: extension, Required: required})
		require.NoError(t, err)
		d := decode(t, typ, `{"`+urn+`":{"owner":{"value":"x"}}}`, attr.Lenient)
		require.Contains(t, requireError(t, d.Check(), urn).Detail, urn+":must ")
		d.Root().Child(lookup(t, typ, urn)).Child(lookup(t, typ, urn+":owner")).Clear()
		if required {
			require.Contains(t, requireError(t, d.Check(), urn).Detail, "extension "+urn)
		} else {
			require.NoError(t, d.Check())
		}
		d.Release()
	}
}

// A body may be anything.
func TestDecodeNoObject(t *testing.T) {
	for _, sent := range []string{
		"", " ", "null", "true", "7", `"x"`, "[]", "[{}]", "nul", "{", "}", "]", "{]", `{"a"}`, `{"text":}`, `{"text":"x",}`, `{,}`, `{"text" "x"}`,
		`{text:"x"}`, `{'text':'x'}`, "\xef\xbb\xbf{}", "{}{}", "{} x", `{"text":"x"}}`, `{"text":"x"]`, `{"list":[{]}`, `{"list":[}`, `{"list":[{},]}`,
		`{"decimal":01}`, `{"decimal":.5}`, `{"decimal":+1}`, `{"decimal":0x10}`, `{"decimal":1.}`, `{"decimal":NaN}`, `{"text":tru}`, `{"text":"\x"}`, "{\"text\":\"\n\"}",
		`{"text":"\u12"}`, `{7:1}`, `{"schemas":[}`, `{"schemas":["a",}`, `{"schemas":["a"`, `{"text":{"value":}}`, `{"text":{"value"`, `{"text":[`, `{"text":["x"`,
		`{"text":["x"}`, `{"readOnly":[1,}`, `{"unknown":{"a":[}}`, `{"text":{"x":]}}`, `{"complex":{"value":"x"]}`, `{"bools":[true`, `{"text":nul}`, `{"text":{value:1}}`,
	} {
		require.Equal(t, attr.InvalidSyntax, refuse(t, everything, sent, attr.Lenient).Type, sent)
		_ = refuse(t, everything, sent, attr.Strict) // which may find another fault before
	}
}

// A document that ends too early is refused wherever it ends.
func TestDecodeTruncated(t *testing.T) {
	whole := bodyExtended(`"text":"x\u00e9é","bool":"True","integer":-12,"decimal":"1.5e3","complex":{"value":"v","flag":true},"valueless":{"a":null},` +
		`"texts":["a",{"value":"b"}],"list":[{"value":"a","primary":false,"tags":[]},"b"],"reference":["x"],"readOnly":{"a":[1,{}]},"unknown":[[],{"b":"c"}],"` +
		extensionURN + `":{"department":"d","manager":"m"}`)
	decode(t, everything, whole, attr.Lenient).Release()
	for n := range len(whole) {
		e := refuse(t, everything, whole[:n], attr.Lenient)
		require.Equal(t, attr.InvalidSyntax, e.Type, whole[:n])
	}
}

// Strings that are no Unicode text are refused; so is U+0000, which databases
// do not store.
func TestDecodeInvalidText(t *testing.T) {
	for _, bad := range []string{
		"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", `\ud800`, `\udc00x`, `\ud800\ud800`, `\ud83dx`, `\u0000`, "\x00", `a\u0000b`, "\x1f",
	} {
		for _, members := range []string{
			`"text":"` + bad + `"`, `"texts":["a","` + bad + `"]`, `"complex":{"other":"` + bad + `"}`, `"complex":"` + bad + `"`, `"text":{"value":"` + bad + `"}`,
			`"unknown` + bad + `":1`, `"complex":{"` + bad + `":1}`, `"` + extensionURN + `":{"department":"` + bad + `"}`,
		} {
			e := refuse(t, everything, body(members), attr.Lenient)
			require.Equal(t, attr.InvalidSyntax, e.Type, members)
		}
		_ = refuse(t, everything, `{"schemas":["`+everythingURN+`","`+bad+`"]}`, attr.Lenient)
	}
	s := freeze(t, everything, body(`"text":"\ud83d\ude00\u00e9\/"`), attr.Strict)
	require.Equal(t, body(`"text":"😀é/"`), s.JSON())
}

// Nesting is bounded in known and in unknown attributes, by 32 levels or as the
// caller says.
func TestDecodeDeep(t *testing.T) {
	const deep = 10000
	nested := func(open, inner, shut string, levels int) string {
		return strings.Repeat(open, levels) + inner + strings.Repeat(shut, levels)
	}
	for _, member := range []string{
		`"unknown":` + nested("[", "", "]", deep),
		`"unknown":` + nested(`{"a":`, "1", "}", deep),
		`"readOnly":` + nested("[", "", "]", deep),
		`"text":` + nested("[", `"x"`, "]", deep),
		`"text":` + nested(`{"value":`, `"x"`, "}", deep),
		`"complex":` + nested("[", "{}", "]", deep),
		`"complex":` + nested(`{"unknown":`, "{}", "}", deep),
		`"list":` + nested("[", "{}", "]", deep),
		`"schemas":` + nested("[", "", "]", deep),
		`"unknown":` + strings.Repeat("[", deep),
		`"unknown":` + strings.Repeat(`{"a":`, deep),
		`"text":` + strings.Repeat("[", 1000*deep),
	} {
		for _, l := range []attr.Lenience{attr.Strict, attr.Lenient} {
			e := refuse(t, everything, "{"+member+"}", l)
			require.Contains(t, []attr.ErrorType{attr.InvalidSyntax, attr.InvalidValue}, e.Type)
			require.Less(t, len(e.Detail), 200)
		}
	}
	for depth, accepted := range map[int]int{0: 32, 1: 1, 2: 2, 40: 40} {
		limits := attr.Limits{Depth: depth}
		for levels := accepted; levels <= accepted+1; levels++ {
			d := attr.NewDoc(everything)
			sent := nested(`{"x":`, "1", "}", levels)
			err := d.Decode([]byte(sent), attr.Lenient, limits)
			d.Release()
			if levels == accepted {
				require.NoError(t, err)
			} else {
				require.Contains(t, requireError(t, err, sent).Detail, "deeper than")
			}
		}
	}
}

// xsd:dateTime as RFC 7643 section 2.3.5 and quirks 86 and 124 have it.
func TestParseTime(t *testing.T) {
	for s, want := range map[string]string{
		"2008-01-23T04:56:22Z":                "2008-01-23T04:56:22Z",
		"2008-01-23T04:56:22.1Z":              "2008-01-23T04:56:22.1Z",
		"2010-01-23T04:56:22.1234567Z":        "2010-01-23T04:56:22.1234567Z",
		"2010-01-23T04:56:22.123456789Z":      "2010-01-23T04:56:22.123456789Z",
		"2010-01-23T04:56:22.12345678999999Z": "2010-01-23T04:56:22.123456789Z",
		"2011-05-13T04:42:34+02:00":           "2011-05-13T02:42:34Z",
		"2011-05-13T04:42:34.5-09:30":         "2011-05-13T14:12:34.5Z",
		"2011-05-13T04:42:34":                 "2011-05-13T04:42:34Z",
		"2011-05-13T04:42:34.25":              "2011-05-13T04:42:34.25Z",
		"2012-02-29T00:00:00Z":                "2012-02-29T00:00:00Z",
		"2011-02-29T00:00:00Z":                "",
		"2011-05-13T4:42:34Z":                 "",
		"2011-05-13T04:42:34,5Z":              "",
		"2011-05-13T04:42:34,5":               "",
		"2011-05-13T04:42:60Z":                "",
		"2011-05-13T24:42:00Z":                "",
		"2011-05-13T04:42Z":                   "",
		"2011-05-13 04:42:34Z":                "",
		"2011-05-13T04:42:34+0200":            "",
		"2011-05-13":                          "",
		"04:42:34Z":                           "",
		"11-05-13T04:42:34.000000Z":           "",
		" 2011-05-13T04:42:34Z":               "",
		"":                                    "",
	} {
		got, ok := attr.ParseTime(s)
		require.Equal(t, want != "", ok, s)
		if ok {
			require.Equal(t, want, got.UTC().Format("2006-01-02T15:04:05.999999999Z07:00"), s)
		}
	}
}

func TestParseBool(t *testing.T) {
	for s, want := range map[string][2]bool{
		"true": {true, true}, "True": {true, true}, "TRUE": {true, true}, "false": {false, true}, "False": {false, true},
		"": {}, "1": {}, "yes": {}, "true ": {}, "t": {}, "fal\u017fe": {},
	} {
		b, ok := attr.ParseBool(s)
		require.Equal(t, want, [2]bool{b, ok}, s)
	}
}

// Rule E3: how many values an attribute has is bounded where the host says so,
// whatever is in them.
func TestValuesAreBounded(t *testing.T) {
	limits := attr.Limits{Values: 3}
	for sent, ok := range map[string]bool{
		`"texts":["a","b","c"]`:     true,
		`"texts":["a","b","c","d"]`: false,
		`"list":[{},{},null]`:       true,
		`"list":[{},{},{},null]`:    false,
		`"texts":["a","b","c"],"list":[{"value":"a"},{"value":"b"},{"value":"c"}]`: true,
	} {
		d := attr.NewDoc(everything)
		err := d.Decode([]byte(body(sent)), attr.Strict, limits)
		d.Release()
		if ok {
			require.NoError(t, err, sent)
			continue
		}
		var e *attr.Error
		require.ErrorAs(t, err, &e, sent)
		require.Equal(t, attr.TooMany, e.Type)
		require.Contains(t, e.Detail, "more than 3 values")
	}
	d := attr.NewDoc(everything)
	defer d.Release()
	_, err := d.DecodeValue([]byte(`["a","b","c","d"]`), lookup(t, everything, "texts"), false, attr.Strict, limits)
	require.ErrorContains(t, err, "more than 3 values")
	n, err := d.DecodeValue([]byte(`["a","b","c","d"]`), lookup(t, everything, "texts"), false, attr.Strict, attr.Limits{})
	require.NoError(t, err)
	require.NotNil(t, n, "the bound of one request is not that of the next")
}

// An empty object is no value (RFC 7643 section 2.5) and takes no memory, so
// that a body full of them is no way to exhaust it.
func TestEmptyValuesTakeNoMemory(t *testing.T) {
	sent := []byte(body(`"list":[` + strings.Repeat("{},", 100_000) + `{"value":"a"},{"value":null},{"type":"b"}]`))
	var stored attr.Stored
	allocated := testing.AllocsPerRun(3, func() {
		d := attr.NewDoc(everything)
		defer d.Release()
		require.NoError(t, d.Decode(sent, attr.Strict, attr.Limits{}))
		stored = d.Freeze()
	})
	require.Less(t, allocated, 100.0)
	require.Equal(t, body(`"list":[{"value":"a"},{"type":"b"}]`), stored.JSON())
}
