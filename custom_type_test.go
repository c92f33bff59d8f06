package scim_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// frugal is a registry whose users have hardly more than must be: addresses
// without type and primary, no groups, no name.
func frugal(t *testing.T) *scim.Types {
	t.Helper()
	simple := schema.SimpleCoreAttribute
	user, err := attr.NewType("User", "/Users", "", schema.Schema{ID: schema.UserSchema, Attributes: schema.Attributes{
		simple(schema.SimpleStringParams(schema.StringParams{Name: "userName", Required: true, Uniqueness: schema.AttributeUniquenessServer()})),
		simple(schema.SimpleBooleanParams(schema.BooleanParams{Name: "active"})),
		schema.ComplexCoreAttribute(schema.ComplexParams{
			Name: "emails", MultiValued: true,
			SubAttributes: []schema.SimpleParams{schema.SimpleStringParams(schema.StringParams{Name: "value"})},
		}),
	}})
	require.NoError(t, err)
	types, err := scim.NewTypes(user)
	require.NoError(t, err)
	return types
}

// RFC 7643 section 6: what a resource type is made of is the host's to say. A
// schema without the attributes that rules would look at is served like any
// other.
func TestUserSchemaOfTheHost(t *testing.T) {
	types := frugal(t)
	for name, store := range map[string]scim.Store{"managed": newManaged(types, nil), "plain": newNaiveStore()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, store, func(c *scim.Config) { c.Types = types })
			created := ask{method: http.MethodPost, target: "/Users", body: `{"schemas":["` + schema.UserSchema + `"],"userName":"ada@example.com","active":true,
				"emails":[{"value":"ada@example.com"},{"value":"countess@example.com"}]}`}.do(t, w)
			require.Equal(t, http.StatusCreated, created.Code, created.Body)
			target := "/Users/" + created.doc["id"].(string)
			require.Equal(t, "ada@example.com", ask{method: http.MethodGet, target: target}.do(t, w).doc["userName"])

			patched := ask{method: http.MethodPatch, target: target, body: `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
				{"op":"remove","path":"emails[value eq \"countess@example.com\"]"},
				{"op":"replace","path":"active","value":false}]}`}.do(t, w)
			require.Equal(t, http.StatusOK, patched.Code, patched.Body)
			require.Equal(t, false, patched.doc["active"])
			require.Equal(t, []any{map[string]any{"value": "ada@example.com"}}, patched.doc["emails"])

			replaced := ask{method: http.MethodPut, target: target, body: `{"schemas":["` + schema.UserSchema + `"],"userName":"ada@example.com","active":true,
				"emails":[{"value":"ada@example.com"}]}`}.do(t, w)
			require.Equal(t, http.StatusOK, replaced.Code, replaced.Body)

			for _, query := range []string{
				"", "?filter=emails.value%20eq%20%22ADA@example.com%22", "?sortBy=emails&sortOrder=descending",
				"?filter=meta.lastModified%20gt%20%222001-01-01T00:00:00Z%22&sortBy=meta.created",
			} {
				listed := ask{method: http.MethodGet, target: "/Users" + query}.do(t, w)
				require.Equal(t, http.StatusOK, listed.Code, listed.Body)
				require.Equal(t, json.Number("1"), listed.doc["totalResults"], query)
			}
			for _, query := range []string{"?filter=groups%20pr", "?filter=emails.primary%20eq%20true", "?sortBy=name.familyName"} {
				require.Equal(t, http.StatusBadRequest, ask{method: http.MethodGet, target: "/Users" + query}.do(t, w).Code, query)
			}
			require.Equal(t, http.StatusNoContent, ask{method: http.MethodDelete, target: target}.do(t, w).Code)
		})
	}
}
