package attr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

const deviceURN = "urn:example:params:scim:schemas:core:2.0:Device"

// schemaOf is a schema document with these attributes.
func schemaOf(attributes string) []byte {
	return []byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Schema"],"id":"` + deviceURN + `","name":"Device","attributes":[` + attributes + `]}`)
}

// RFC 7643 section 7: every characteristic is read, and section 2.2 says what
// it is where a document leaves it out.
func TestRFC7643_7_ParseSchema(t *testing.T) {
	s, err := attr.ParseSchema(schemaOf(`
		{"name":"plain"},
		{"name":"serial","type":"string","description":"On the back","required":true,"caseExact":true,"mutability":"immutable","returned":"always","uniqueness":"global"},
		{"name":"owner","type":"complex","multiValued":true,"mutability":"ReadWrite","returned":"REQUEST","subAttributes":[
			{"name":"value","type":"string","uniqueness":"server"},
			{"name":"$ref","type":"reference","referenceTypes":["User","external"],"mutability":"readOnly"},
			{"name":"type","type":"string","canonicalValues":["lender","user"]},
			{"name":"primary","type":"boolean"}]},
		{"name":"secret","type":"binary","mutability":"writeOnly","returned":"never","more":{"x":1}},
		{"name":"weight","type":"DECIMAL","canonicalValues":null,"subAttributes":[]},
		{"name":"ram","type":"integer","multiValued":true},
		{"name":"bought","type":"datetime"},
		{"name":"with-$_1","type":"boolean"}`))
	require.NoError(t, err)
	require.Equal(t, deviceURN, s.ID)
	require.Equal(t, "Device", s.Name.Value())
	typ, err := attr.NewType("Device", "/Devices", "", s)
	require.NoError(t, err)

	plain := lookup(t, typ, "plain")
	require.Equal(t, attr.String, plain.Kind)
	require.False(t, plain.MultiValued || plain.Required || plain.CaseExact)
	require.Equal(t, attr.ReadWrite, plain.Mutability)
	require.Equal(t, attr.Default, plain.Returned)
	require.Equal(t, attr.NotUnique, plain.Uniqueness)
	require.Empty(t, plain.CanonicalValues)

	serial := lookup(t, typ, "serial")
	require.True(t, serial.Required && serial.CaseExact)
	require.Equal(t, "On the back", serial.Description)
	require.Equal(t, attr.Immutable, serial.Mutability)
	require.Equal(t, attr.Always, serial.Returned)
	require.Equal(t, attr.UniqueGlobal, serial.Uniqueness)

	owner := lookup(t, typ, "owner")
	require.True(t, owner.MultiValued)
	require.Equal(t, attr.Request, owner.Returned)
	require.Equal(t, attr.UniqueServer, lookup(t, typ, "owner.value").Uniqueness)
	ref := lookup(t, typ, "owner.$ref")
	require.Equal(t, attr.Reference, ref.Kind)
	require.Equal(t, []string{"User", "external"}, ref.ReferenceTypes)
	require.Equal(t, attr.ReadOnly, ref.Mutability)
	require.Equal(t, []string{"lender", "user"}, lookup(t, typ, "owner.type").CanonicalValues)
	require.NotNil(t, owner.PrimarySub())

	secret := lookup(t, typ, "secret")
	require.Equal(t, attr.Binary, secret.Kind)
	require.Equal(t, attr.WriteOnly, secret.Mutability)
	require.Equal(t, attr.Never, secret.Returned)
	require.Equal(t, attr.Decimal, lookup(t, typ, "weight").Kind)
	require.Equal(t, attr.Integer, lookup(t, typ, "ram").Kind)
	require.True(t, lookup(t, typ, "ram").MultiValued)
	require.Equal(t, attr.DateTime, lookup(t, typ, "bought").Kind)
	require.Equal(t, attr.Boolean, lookup(t, typ, "with-$_1").Kind)
}

// What RFC 7643 forbids is refused by the name of the attribute.
func TestRFC7643_7_ParseSchemaErrors(t *testing.T) {
	for _, c := range []struct{ why, document, says string }{
		{"no JSON", `{`, "JSON"},
		{"no URN", `{"id":"Device","attributes":[]}`, `"Device" is not identified by a URN`},
		{"attributes are a list", `{"id":"urn:a:b","attributes":{}}`, `schema "urn:a:b": attributes cannot be a JSON object`},
		{"an attribute is an object", string(schemaOf(`"serial"`)), `[0]: `},
		{"section 2.1: a name", string(schemaOf(`{"name":"ok"},{"type":"string"}`)), `[1]: an attribute cannot be called ""`},
		{"section 2.1: a letter first", string(schemaOf(`{"name":"1st"}`)), `cannot be called "1st"`},
		{"section 2.1: no dots, they are of paths", string(schemaOf(`{"name":"a.b"}`)), `cannot be called "a.b"`},
		{"section 2.1: no colons, they are of URNs", string(schemaOf(`{"name":"a:b"}`)), `cannot be called "a:b"`},
		{"section 2.1: ASCII", string(schemaOf(`{"name":"größe"}`)), `cannot be called "größe"`},
		{"section 2.4: $ref is a sub-attribute", string(schemaOf(`{"name":"$ref"}`)), `cannot be called "$ref"`},
		{"a name of a sub-attribute", string(schemaOf(`{"name":"a","type":"complex","subAttributes":[{"name":"b c"}]}`)), `a.b c: an attribute cannot be called "b c"`},
		{"twice", string(schemaOf(`{"name":"serial"},{"name":"Serial"}`)), `"Serial" is defined twice`},
		{"twice below", string(schemaOf(`{"name":"a","type":"complex","subAttributes":[{"name":"b"},{"name":"B"}]}`)), `"a.B" is defined twice`},
		{"unknown type", string(schemaOf(`{"name":"a","type":"text"}`)), `a: type cannot be "text"; RFC 7643 section 7 has string, boolean`},
		{"unknown mutability", string(schemaOf(`{"name":"a","mutability":"never"}`)), `a: mutability cannot be "never"`},
		{"unknown returned", string(schemaOf(`{"name":"a","returned":"no"}`)), `a: returned cannot be "no"`},
		{"unknown uniqueness", string(schemaOf(`{"name":"a","type":"complex","subAttributes":[{"name":"b","uniqueness":"yes"}]}`)), `a.b: uniqueness cannot be "yes"`},
		{"a boolean in quotes", string(schemaOf(`{"name":"a","multiValued":"true"}`)), `a: multiValued cannot be a JSON string`},
		{"canonical values are strings", string(schemaOf(`{"name":"a","canonicalValues":[1]}`)), `a: canonicalValues cannot be a JSON number`},
		{"section 2.3.8: complex below complex", string(schemaOf(`{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c"}]}]}`)), "a.b: a sub-attribute cannot be complex"},
		{"section 2.3.8: sub-attributes below a sub-attribute", string(schemaOf(`{"name":"a","type":"complex","subAttributes":[{"name":"b","subAttributes":[{"name":"c"}]}]}`)), "a.b: a sub-attribute cannot be complex"},
		{"complex of nothing", string(schemaOf(`{"name":"a","type":"complex"}`)), "a: a complex attribute needs subAttributes"},
		{"simple with sub-attributes", string(schemaOf(`{"name":"a","type":"integer","subAttributes":[{"name":"b"}]}`)), "a: its type is integer, and only a complex attribute has subAttributes"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := attr.ParseSchema([]byte(c.document))
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "attr: ")
		})
	}
}

// The same holds for schemas made of Go values, where the schema package lets
// it pass.
func TestRFC7643_2_3_8_NewTypeChecksSchemas(t *testing.T) {
	hollow := schema.Schema{ID: "urn:a:hollow", Attributes: schema.Attributes{schema.ComplexCoreAttribute(schema.ComplexParams{Name: "parts"})}}
	_, err := attr.NewType("A", "/A", "", hollow)
	require.ErrorContains(t, err, "urn:a:hollow: parts: a complex attribute needs subAttributes")
	_, err = attr.NewType("A", "/A", "", schema.CoreGroupSchema(), attr.Extension{Schema: hollow})
	require.ErrorContains(t, err, "urn:a:hollow: parts: a complex attribute needs subAttributes")

	for _, name := range []string{`A"`, "A B", "A/B", "Ä", ".."} {
		_, err = attr.NewType(name, "/A", "", schema.CoreGroupSchema())
		require.ErrorContains(t, err, "the name must be of letters", "it stands in JSON and in URLs")
		_, err = attr.NewType("A", "/"+name, "", schema.CoreGroupSchema())
		require.ErrorContains(t, err, "the endpoint must be a slash and one path segment")
	}
}

// RFC 7643 section 6: resource types name their schemas, in whatever form and
// order a service provider's documents come.
func TestRFC7643_6_ParseTypes(t *testing.T) {
	const rackURN = "urn:example:params:scim:schemas:extension:rack:2.0:Device"
	device, rack := string(schemaOf(`{"name":"serial"}`)), `{"id":"`+rackURN+`","attributes":[{"name":"row"}]}`
	deviceType := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],"name":"Device","description":"What is inventoried","endpoint":"Devices","schema":"` + strings.ToUpper(deviceURN) + `",
		"schemaExtensions":[{"schema":"` + rackURN + `","required":true},{"schema":"` + schema.ExtensionEnterpriseUser().ID + `","required":false}]}`
	userType := `{"name":"User","endpoint":"/Users","schema":"` + schema.UserSchema + `"}`
	list := func(resources ...string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":2,"Resources":[` + strings.Join(resources, ",") + `]}`
	}
	for why, documents := range map[string][]string{
		"answers":            {list(deviceType, userType), list(device, rack)},
		"schemas first":      {list(device, rack), list(deviceType, userType)},
		"arrays":             {"[" + deviceType + "," + userType + "]", " [" + device + "," + rack + "]"},
		"all in one":         {"[" + rack + "," + deviceType + "," + device + "," + userType + "]"},
		"one document a use": {rack, deviceType, device, userType},
	} {
		t.Run(why, func(t *testing.T) {
			var all [][]byte
			for _, d := range documents {
				all = append(all, []byte(d))
			}
			types, err := attr.ParseTypes(all...)
			require.NoError(t, err)
			require.Len(t, types, 2)
			got := types[0]
			require.Equal(t, "Device", got.Name)
			require.Equal(t, "/Devices", got.Endpoint)
			require.Equal(t, "What is inventoried", got.Description)
			require.NotNil(t, lookup(t, got, "serial"))
			require.True(t, lookup(t, got, rackURN).Required)
			require.False(t, lookup(t, got, schema.ExtensionEnterpriseUser().ID).Required)
			require.NotNil(t, lookup(t, types[1], "name.givenName"), "RFC 7643's own schema")
		})
	}

	for _, c := range []struct{ why, document, says string }{
		{"nothing", `[]`, "no resource type"},
		{"no JSON", `[`, "document 1: "},
		{"null", `null`, "neither a resource type nor a schema"},
		{"neither", `{"id":"7"}`, "neither a resource type nor a schema"},
		{"both", `{"endpoint":"/A","attributes":[]}`, "neither a resource type nor a schema"},
		{"no schema of that name", `{"name":"A","endpoint":"/A","schema":"urn:a"}`, `"A": its schema "urn:a" is not among the documents`},
		{"no extension of that name", `{"name":"A","endpoint":"/A","schema":"` + schema.UserSchema + `","schemaExtensions":[{"schema":"urn:a","required":true}]}`, `"A": its schema "urn:a" is not among`},
		{"no name", `{"endpoint":"/A","schema":"urn:a"}`, "name, endpoint and schema are required"},
		{"required is a boolean", `{"name":"A","endpoint":"/A","schema":"urn:a","schemaExtensions":[{"schema":"urn:b","required":"no"}]}`, "schemaExtensions.required cannot be a JSON string"},
		{"a schema twice", "[" + device + "," + device + "]", "is declared twice"},
		{"a wrong schema", "[" + deviceType + "," + string(schemaOf(`{"name":"9"}`)) + "]", `cannot be called "9"`},
		{"an absolute endpoint", `{"name":"A","endpoint":"https://example.com/A","schema":"` + schema.UserSchema + `"}`, "one path segment"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := attr.ParseTypes([]byte(c.document))
			require.ErrorContains(t, err, c.says)
		})
	}
}

// The schemas of RFC 7643 survive being written and read.
func TestRFC7643_8_7_CoreSchemasAreRead(t *testing.T) {
	for _, s := range []schema.Schema{schema.CoreUserSchema(), schema.CoreGroupSchema(), schema.ExtensionEnterpriseUser()} {
		document, err := json.Marshal(s)
		require.NoError(t, err)
		read, err := attr.ParseSchema(document)
		require.NoError(t, err)
		again, err := json.Marshal(read)
		require.NoError(t, err)
		require.JSONEq(t, string(document), string(again))
	}
}

func FuzzParseTypes(f *testing.F) {
	f.Add(schemaOf(`{"name":"a","type":"complex","subAttributes":[{"name":"$ref","type":"reference"}]}`))
	f.Add([]byte(`[{"name":"A","endpoint":"A","schema":"urn:a"},{"id":"urn:a","attributes":[{"name":"b","type":"Integer","uniqueness":"server"}]}]`))
	f.Fuzz(func(t *testing.T, document []byte) {
		if s, err := attr.ParseSchema(document); err == nil {
			again, err := json.Marshal(s)
			require.NoError(t, err)
			_, err = attr.ParseSchema(again)
			require.NoError(t, err, "what was read can be written: %s", again)
			_, err = attr.NewType("A", "/A", "", s)
			if err != nil {
				require.ErrorContains(t, err, "65,000", "%s", document)
			}
		}
		types, err := attr.ParseTypes(document)
		if err == nil {
			require.NotEmpty(t, types)
		}
	})
}
