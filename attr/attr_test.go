package attr_test

import (
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

const (
	everythingURN = "urn:test:Everything"
	extensionURN  = "urn:test:2.0:Extension"
)

// everything is a resource type with an attribute of every kind, "returned"
// and mutability, and two extensions.
var everything = func() *attr.Type {
	typ, err := attr.NewType("Everything", "/Everything", "", everythingSchema(),
		attr.Extension{Schema: schema.Schema{ID: extensionURN, Attributes: schema.Attributes{
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "department"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "id"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "both"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "tags", MultiValued: true})),
			schema.ComplexCoreAttribute(schema.ComplexParams{Name: "manager", SubAttributes: []schema.SimpleParams{
				schema.SimpleStringParams(schema.StringParams{Name: "value"}),
				schema.SimpleReferenceParams(schema.ReferenceParams{Name: "$ref"}),
				schema.SimpleStringParams(schema.StringParams{Name: "displayName", Mutability: schema.AttributeMutabilityReadOnly()}),
			}}),
		}}},
		attr.Extension{Schema: schema.Schema{ID: extensionURN + ":Longer", Attributes: schema.Attributes{
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "both"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "alone"})),
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "hidden", Returned: schema.AttributeReturnedRequest()})),
		}}},
	)
	if err != nil {
		panic(err)
	}
	return typ
}()

func everythingSchema() schema.Schema {
	text := func(name string) schema.SimpleParams {
		return schema.SimpleStringParams(schema.StringParams{Name: name})
	}
	return schema.Schema{ID: everythingURN, Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(text("text")),
		schema.SimpleCoreAttribute(schema.SimpleBooleanParams(schema.BooleanParams{Name: "bool"})),
		schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{Name: "integer", Type: schema.AttributeTypeInteger()})),
		schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{Name: "decimal", Type: schema.AttributeTypeDecimal()})),
		schema.SimpleCoreAttribute(schema.SimpleDateTimeParams(schema.DateTimeParams{Name: "time"})),
		schema.SimpleCoreAttribute(schema.SimpleReferenceParams(schema.ReferenceParams{Name: "reference"})),
		schema.SimpleCoreAttribute(schema.SimpleBinaryParams(schema.BinaryParams{Name: "binary"})),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "complex", SubAttributes: []schema.SimpleParams{
			text("value"), text("other"),
			schema.SimpleBooleanParams(schema.BooleanParams{Name: "flag"}),
			schema.SimpleStringParams(schema.StringParams{Name: "never", Returned: schema.AttributeReturnedNever()}),
			schema.SimpleStringParams(schema.StringParams{Name: "request", Returned: schema.AttributeReturnedRequest()}),
			schema.SimpleStringParams(schema.StringParams{Name: "always", Returned: schema.AttributeReturnedAlways()}),
		}}),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "valueless", SubAttributes: []schema.SimpleParams{text("a"), text("b")}}),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "strict", SubAttributes: []schema.SimpleParams{
			schema.SimpleStringParams(schema.StringParams{Name: "must", Required: true}), text("may"),
		}}),
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "texts", MultiValued: true})),
		schema.SimpleCoreAttribute(schema.SimpleBooleanParams(schema.BooleanParams{Name: "bools", MultiValued: true})),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "list", MultiValued: true, SubAttributes: []schema.SimpleParams{
			text("value"), text("type"),
			schema.SimpleBooleanParams(schema.BooleanParams{Name: "primary"}),
			schema.SimpleStringParams(schema.StringParams{Name: "tags", MultiValued: true}),
			schema.SimpleStringParams(schema.StringParams{Name: "never", Returned: schema.AttributeReturnedNever()}),
		}}),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "strictList", MultiValued: true, SubAttributes: []schema.SimpleParams{
			schema.SimpleStringParams(schema.StringParams{Name: "must", Required: true}), text("may"),
		}}),
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "readOnly", Mutability: schema.AttributeMutabilityReadOnly()})),
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "always", Returned: schema.AttributeReturnedAlways()})),
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "never", Returned: schema.AttributeReturnedNever()})),
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "request", Returned: schema.AttributeReturnedRequest()})),
		schema.ComplexCoreAttribute(schema.ComplexParams{
			Name: "secret", Returned: schema.AttributeReturnedNever(), SubAttributes: []schema.SimpleParams{text("value")},
		}),
	}}
}

func userType(t testing.TB) *attr.Type {
	t.Helper()
	typ, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(), attr.Extension{Schema: schema.ExtensionEnterpriseUser()})
	require.NoError(t, err)
	return typ
}

// body makes a document of the type everything of its members.
func body(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"schemas":["` + everythingURN + `"]` + members + `}`
}

// bodyExtended is body for members of which some belong to the extension.
func bodyExtended(members string) string {
	return `{"schemas":["` + everythingURN + `","` + extensionURN + `"],` + members + `}`
}

func decode(t testing.TB, typ *attr.Type, json string, l attr.Lenience) *attr.Doc {
	t.Helper()
	d := attr.NewDoc(typ)
	require.NoError(t, d.Decode([]byte(json), l, attr.Limits{}), "%s", json)
	return d
}

func freeze(t testing.TB, typ *attr.Type, json string, l attr.Lenience) attr.Stored {
	t.Helper()
	d := decode(t, typ, json, l)
	defer d.Release()
	return d.Freeze()
}

// refuse decodes what must not be accepted.
func refuse(t testing.TB, typ *attr.Type, json string, l attr.Lenience) *attr.Error {
	t.Helper()
	d := attr.NewDoc(typ)
	defer d.Release()
	err := d.Decode([]byte(json), l, attr.Limits{})
	return requireError(t, err, json)
}

func requireError(t testing.TB, err error, about string) *attr.Error {
	t.Helper()
	require.Error(t, err, "%s", about)
	var e *attr.Error
	require.ErrorAs(t, err, &e, "%s", about)
	return e
}

func lookup(t testing.TB, typ *attr.Type, path string) *attr.Attribute {
	t.Helper()
	a, fired := typ.Lookup(path, attr.Strict)
	require.NotNil(t, a, path)
	require.Zero(t, fired)
	return a
}
