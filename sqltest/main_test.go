package sqltest_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sqltest.Close()
	os.Exit(code)
}

var acme = scim.Key{Tenant: "acme", Directory: "okta"}

// onEach runs a test on an empty store in each database.
func onEach(t *testing.T, types *scim.Types, opts *sqlstore.Options, test func(*testing.T, *sqlstore.Store)) {
	t.Helper()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, sqltest.Open(t, name, types, opts))
		})
	}
}

// measured returns types with an extension that has attributes of all kinds,
// and a type whose attributes are declared unique.
func measured(t testing.TB) *scim.Types {
	t.Helper()
	types, err := attr.ParseTypes(
		[]byte(`{"name":"User","endpoint":"/Users","schema":"urn:ietf:params:scim:schemas:core:2.0:User","schemaExtensions":[{"schema":"urn:example:measures","required":false}]}`),
		[]byte(`{"name":"Group","endpoint":"/Groups","schema":"urn:ietf:params:scim:schemas:core:2.0:Group"}`),
		[]byte(`{"name":"Device","endpoint":"/Devices","schema":"urn:example:Device"}`),
		[]byte(`{"id":"urn:example:measures","name":"Measures","attributes":[
			{"name":"level","type":"integer"}, {"name":"score","type":"decimal"}, {"name":"hired","type":"dateTime"},
			{"name":"badge","type":"string","caseExact":true}, {"name":"skills","type":"string","multiValued":true},
			{"name":"levels","type":"integer","multiValued":true}, {"name":"key","type":"binary"}, {"name":"home","type":"reference","referenceTypes":["uri"],"caseExact":true},
			{"name":"trained","type":"boolean"},
			{"name":"desk","type":"complex","subAttributes":[{"name":"floor","type":"integer"},{"name":"room","type":"string"}]},
			{"name":"assets","type":"complex","multiValued":true,"subAttributes":[
				{"name":"value","type":"string"}, {"name":"serial","type":"string","caseExact":true}, {"name":"count","type":"integer"}, {"name":"weight","type":"decimal"},
				{"name":"bought","type":"dateTime"}, {"name":"key","type":"binary"}, {"name":"primary","type":"boolean"}, {"name":"tags","type":"string","multiValued":true}]}
		]}`),
		[]byte(`{"id":"urn:example:Device","name":"Device","attributes":[
			{"name":"serial","type":"string","uniqueness":"server"}, {"name":"number","type":"integer","uniqueness":"global"},
			{"name":"addresses","type":"string","multiValued":true,"uniqueness":"server"}, {"name":"displayName","type":"string"}
		]}`),
	)
	require.NoError(t, err)
	registry, err := scim.NewTypes(types...)
	require.NoError(t, err)
	return registry
}

// make returns a resource of attributes by their paths.
func resource(t testing.TB, types *scim.Types, typ, id string, values map[string]any) *scim.Resource {
	t.Helper()
	b := types.New(acme, typ).ID(id)
	for path, v := range values {
		b.Set(path, v)
	}
	r, err := b.Resource()
	require.NoError(t, err)
	return r
}

func create(t testing.TB, store scim.Store, r *scim.Resource) *scim.Resource {
	t.Helper()
	r, err := store.Create(context.Background(), r)
	require.NoError(t, err)
	return r
}
