package attr_test

import (
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

const projected = `"text":"t","bool":true,"complex":{"value":"v","other":"o","never":"n","request":"r","always":"a"},` +
	`"texts":["1","2"],"list":[{"value":"1","type":"x","tags":["p","q"],"never":"n"},{"type":"y"},{"never":"n"}],` +
	`"always":"a","never":"n","request":"r","secret":{"value":"s"},` +
	`"` + extensionURN + `":{"department":"d","manager":{"value":"m"}},"` + extensionURN + `:Longer":{"alone":"l","hidden":"h"}`

const projectedSchemas = `{"schemas":["` + everythingURN + `","` + extensionURN + `","` + extensionURN + `:Longer"]`

// RFC 7644 section 3.9 and "returned" of RFC 7643 section 7.
func TestProjection(t *testing.T) {
	const ext = extensionURN
	s := freeze(t, everything, projectedSchemas+","+projected+"}", attr.Strict)

	const always = `"always":"a"`
	const byDefault = `"text":"t","bool":true,"complex":{"value":"v","other":"o","always":"a"},` +
		`"texts":["1","2"],"list":[{"value":"1","type":"x","tags":["p","q"]},{"type":"y"}],` + always +
		`,"` + ext + `":{"department":"d","manager":{"value":"m"}},"` + ext + `:Longer":{"alone":"l"}`
	list := func(names string) []string {
		if names == "" {
			return nil
		}
		return strings.Split(names, ",")
	}
	for _, c := range []struct{ rule, attributes, excluded, want string }{
		{"default", "", "", byDefault},

		{"one", "text", "", `"text":"t",` + always},
		{"case is ignored", "TEXT", "", `"text":"t",` + always},
		{"with the schema's URN", everythingURN + ":text", "", `"text":"t",` + always},
		{"unknown names", "nothing,complex.nothing,", "", always},
		{"complex", "complex", "", `"complex":{"value":"v","other":"o","always":"a"},` + always},
		{"sub-attribute", "complex.other", "", `"complex":{"other":"o","always":"a"},` + always},
		{"sub-attribute of a list", "list.type", "", `"list":[{"type":"x"},{"type":"y"}],` + always},
		{"sub-attribute that not all have", "list.value", "", `"list":[{"value":"1"}],` + always},
		{"multi-valued sub-attribute", "list.tags", "", `"list":[{"tags":["p","q"]}],` + always},
		{"multi-valued", "texts", "", `"texts":["1","2"],` + always},
		{"returned request", "request", "", always + `,"request":"r"`},
		{"returned request, sub-attribute", "complex.request", "", `"complex":{"request":"r","always":"a"},` + always},
		{"returned request is not part of the whole", "complex,complex.request", "", `"complex":{"value":"v","other":"o","request":"r","always":"a"},` + always},
		{"returned never", "never,text", "", `"text":"t",` + always},
		{"returned never, sub-attribute", "complex.never,list.never", "", always},
		{"returned never, below", "secret.value", "", always},
		{"returned always", "always", "", always},
		{"extension", ext, "", always + `,"` + ext + `":{"department":"d","manager":{"value":"m"}}`},
		{"attribute of an extension", ext + ":department", "", always + `,"` + ext + `":{"department":"d"}`},
		{"sub-attribute in an extension", ext + ":manager.value", "", always + `,"` + ext + `":{"manager":{"value":"m"}}`},
		{"extension, request", ext + ":Longer:hidden", "", always + `,"` + ext + `:Longer":{"hidden":"h"}`},
		{"quirk 32", "department", "", always + `,"` + ext + `":{"department":"d"}`},
		{"attribute without value", "decimal,valueless.a", "", always},

		{"excluded", "", "list,complex,texts", `"text":"t","bool":true,` + always + `,"` + ext + `":{"department":"d","manager":{"value":"m"}},"` + ext + `:Longer":{"alone":"l"}`},
		{"excluded sub-attribute", "", "complex.value,list,text,bool,texts," + ext, `"complex":{"other":"o","always":"a"},` + always + `,"` + ext + `:Longer":{"alone":"l"}`},
		{"excluded always", "", "schemas,always,complex.always,text", strings.TrimPrefix(byDefault, `"text":"t",`)},
		{"excluded unknown", "", "nothing", byDefault},
		{"excluded request", "", "request,never,secret", byDefault},
		{"excluded extension's all", "", ext + ":department," + ext + ":manager.value," + ext + ":Longer", strings.Split(byDefault, `,"`+ext)[0]},
		{"both", "text,complex", "complex.value,bool", `"text":"t","complex":{"other":"o","always":"a"},` + always},
		{"both, all taken away", "text", "text", always},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := everything.Project(list(c.attributes), list(c.excluded))
			got := s.AppendOpen([]byte("before "), p)
			require.Equal(t, "before "+projectedSchemas+","+c.want, string(got))
		})
	}
	require.Nil(t, everything.Project(nil, nil))
	require.Nil(t, everything.Project([]string{}, []string{}))
}

func TestProjectionIncludes(t *testing.T) {
	var byDefault *attr.Projection
	for path, want := range map[string]bool{
		"schemas": true, "id": true, "meta": true, "meta.version": true, "text": true, "complex.value": true, "complex.always": true, "always": true,
		"never": false, "request": false, "complex.never": false, "complex.request": false, "secret": false, "secret.value": false,
		extensionURN: true, extensionURN + ":manager.value": true, extensionURN + ":Longer:hidden": false,
	} {
		a := lookup(t, everything, path)
		require.Equal(t, want, byDefault.Includes(a), path)
		require.Equal(t, want, everything.Project(nil, []string{"bool"}).Includes(a), path)
	}
	p := everything.Project([]string{"complex.value", "meta"}, []string{"meta.version", "id"})
	for path, want := range map[string]bool{
		"schemas": true, "id": true, "meta": true, "meta.created": true, "meta.version": false, "text": false, "complex": true, "complex.value": true,
		"complex.other": false, "complex.always": true, "complex.never": false, "always": true, "never": false,
	} {
		require.Equal(t, want, p.Includes(lookup(t, everything, path)), path)
	}
}

// What holds nothing hidden is answered as it is stored.
func TestProjectionOfNothingHidden(t *testing.T) {
	const members = `"text":"t","list":[{"value":"v"}]`
	s := freeze(t, everything, body(members), attr.Strict)
	require.Equal(t, body(members), string(append(s.AppendOpen(nil, nil), '}')))
	require.Equal(t, body(members), string(append(s.AppendOpen(nil, everything.Project(nil, []string{"bool"})), '}')))
}

// RFC 7644 section 3.9: excludedAttributes has no effect on what is returned
// always, and that includes what it consists of.
func TestProjectionExcludedAlwaysComplex(t *testing.T) {
	typ, err := attr.NewType("A", "/A", "", schema.Schema{ID: "urn:test:a", Attributes: schema.Attributes{
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "owner", Returned: schema.AttributeReturnedAlways(), SubAttributes: []schema.SimpleParams{
			schema.SimpleStringParams(schema.StringParams{Name: "value"}),
			schema.SimpleStringParams(schema.StringParams{Name: "type"}),
		}}),
	}})
	require.NoError(t, err)
	s := freeze(t, typ, `{"schemas":["urn:test:a"],"owner":{"value":"v","type":"t"}}`, attr.Strict)
	require.Equal(t, s.JSON(), string(append(s.AppendOpen(nil, typ.Project(nil, []string{"owner"})), '}')))
	require.Equal(t, `{"schemas":["urn:test:a"],"owner":{"type":"t"}`, string(s.AppendOpen(nil, typ.Project(nil, []string{"owner.value"}))))
}
