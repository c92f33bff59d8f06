package scim_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

const (
	deviceURN = "urn:example:params:scim:schemas:core:2.0:Device"
	rackURN   = "urn:example:params:scim:schemas:extension:rack:2.0:Device"
	leaseURN  = "urn:example:params:scim:schemas:extension:lease:2.0:Device"
	acmeURN   = "urn:example:params:scim:schemas:extension:acme:2.0:User"
)

// inventory is the core types and the Device of testdata/types.
func inventory(t testing.TB) *scim.Types {
	t.Helper()
	document, err := os.ReadFile("testdata/types/device.json")
	require.NoError(t, err)
	devices, err := attr.ParseTypes(document)
	require.NoError(t, err)
	types, err := scim.CoreTypes().With(devices...)
	require.NoError(t, err)
	return types
}

// badges is an extension of users by a host.
func badges() attr.Extension {
	return attr.Extension{Schema: schema.Schema{
		ID: acmeURN, Name: optional.NewString("Acme"),
		Attributes: schema.Attributes{
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "badge", Uniqueness: schema.AttributeUniquenessServer()})),
			schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{Name: "floor", Type: schema.AttributeTypeInteger()})),
		},
	}}
}

// worlds are a handler for the types on every store of the tests.
func worlds(t *testing.T, types *scim.Types, f func(t *testing.T, w *world)) {
	t.Helper()
	for name, store := range map[string]scim.Store{"memstore": newManaged(types, nil), "naive": newNaiveStore()} {
		t.Run(name, func(t *testing.T) {
			f(t, newWorld(t, store, func(c *scim.Config) { c.Types = types }))
		})
	}
}

// characteristics are all that is said of an attribute, to compare registries.
type characteristics struct {
	Path, Description                                    string
	Kind, Mutability, Returned, Uniqueness               string
	MultiValued, CaseExact, Required, Dropped, Extension bool
	CanonicalValues, ReferenceTypes                      string
}

func described(t *scim.ResourceType) (all []characteristics) {
	for _, a := range t.Attributes()[1:] {
		all = append(all, characteristics{
			a.Path(), a.Description, a.Kind.String(), a.Mutability.String(), a.Returned.String(), a.Uniqueness.String(),
			a.MultiValued, a.CaseExact, a.Required, a.Dropped, a.Extension,
			strings.Join(a.CanonicalValues, "|"), strings.Join(a.ReferenceTypes, "|"),
		})
	}
	return all
}

// RFC 7644 section 4: what /Schemas and /ResourceTypes print is all that there
// is to know: it can be read back, into the same registry, which prints the
// same.
func TestRFC7644_4_DiscoveryReadsBack(t *testing.T) {
	extended, err := inventory(t).Extend("User", badges())
	require.NoError(t, err)
	for name, types := range map[string]*scim.Types{"core": scim.CoreTypes(), "extended": extended} {
		worlds(t, types, func(t *testing.T, w *world) {
			printed := func(w *world) [2]string {
				var bodies [2]string
				for i, target := range []string{"/ResourceTypes", "/Schemas"} {
					a := ask{method: http.MethodGet, target: target}.do(t, w)
					require.Equal(t, http.StatusOK, a.Code)
					bodies[i] = a.Body.String()
				}
				return bodies
			}
			first := printed(w)
			read, err := attr.ParseTypes([]byte(first[0]), []byte(first[1]))
			require.NoError(t, err)
			again, err := scim.NewTypes(read...)
			require.NoError(t, err, name)
			require.Len(t, again.All(), len(types.All()))
			for i, was := range types.All() {
				is := again.All()[i]
				require.Equal(t, []string{was.Name, was.Endpoint, was.Description}, []string{is.Name, is.Endpoint, is.Description})
				require.Equal(t, described(was), described(is))
			}
			require.Equal(t, first, printed(newWorld(t, newNaiveStore(), func(c *scim.Config) { c.Types = again })))
		})
	}
}

// RFC 7643 section 6: discovery shows types, extensions and which of them are
// required.
func TestRFC7643_6_DiscoveryShowsExtensions(t *testing.T) {
	worlds(t, inventory(t), func(t *testing.T, w *world) {
		device := ask{method: http.MethodGet, target: "/ResourceTypes/Device"}.do(t, w)
		require.Equal(t, "/Devices", device.doc["endpoint"])
		require.Equal(t, deviceURN, device.doc["schema"])
		require.Equal(t, []any{
			map[string]any{"schema": rackURN, "required": true},
			map[string]any{"schema": leaseURN, "required": false},
		}, device.doc["schemaExtensions"])
		require.Equal(t, "Rack", ask{method: http.MethodGet, target: "/Schemas/" + rackURN}.do(t, w).doc["name"])
		require.Contains(t, w.scim.Routes(), "PATCH /Devices/{id}")
	})
}

// device is the body of a device.
func device(more string) string {
	return `{"schemas":["` + deviceURN + `","` + rackURN + `"],"` + rackURN + `":{"row":"A"}` + more + `}`
}

// RFC 7644 section 3: a resource type of the host is served like users and
// groups are.
func TestRFC7644_3_CustomType(t *testing.T) {
	worlds(t, inventory(t), func(t *testing.T, w *world) {
		var ids []string
		for _, more := range []string{
			`,"serial":"S1","model":"Mill","weight":1.5,"pin":"1234","notes":"dusty","health":"good","ports":[{"value":"p1","type":"lan","primary":true},{"value":"p2"}]`,
			`,"serial":"S2","model":"crane","weight":20,"bought":"2024-02-29T12:00:00Z"`,
			`,"serial":"S3","model":"Anvil","weight":3.25,"tags":["x","y"]`,
		} {
			a := ask{method: http.MethodPost, target: "/Devices", body: device(more)}.do(t, w)
			require.Equal(t, http.StatusCreated, a.Code, a.Body)
			id := a.doc["id"].(string)
			ids = append(ids, id)
			require.NotContains(t, a.doc, "pin", "returned never")
			require.NotContains(t, a.doc, "health", "read-only, and nobody has set it")
			meta := a.doc["meta"].(map[string]any)
			require.Equal(t, "Device", meta["resourceType"])
			require.True(t, strings.HasSuffix(meta["location"].(string), "/Devices/"+id), meta["location"])
		}

		got := ask{method: http.MethodGet, target: "/Devices/" + ids[0]}.do(t, w)
		require.Equal(t, http.StatusOK, got.Code)
		require.Equal(t, "Mill", got.doc["model"])
		require.NotContains(t, got.doc, "notes", "returned on request")
		got = ask{method: http.MethodGet, target: "/Devices/" + ids[0] + "?attributes=notes,ports.type," + rackURN}.do(t, w)
		require.Equal(t, "dusty", got.doc["notes"])
		require.Equal(t, []any{map[string]any{"type": "lan"}}, got.doc["ports"])
		require.NotContains(t, got.doc, "serial")
		require.Equal(t, map[string]any{"row": "A"}, got.doc[rackURN])

		patched := ask{method: http.MethodPatch, target: "/Devices/" + ids[0], body: `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
			{"op":"add","path":"` + leaseURN + `:until","value":"2030-01-01T00:00:00Z"},
			{"op":"replace","path":"ports[value eq \"p2\"].primary","value":true},
			{"op":"remove","path":"model"}]}`}.do(t, w)
		require.Equal(t, http.StatusOK, patched.Code, patched.Body)
		require.Equal(t, []any{deviceURN, rackURN, leaseURN}, patched.doc["schemas"])
		require.Equal(t, []any{
			map[string]any{"value": "p1", "type": "lan", "primary": false},
			map[string]any{"value": "p2", "primary": true},
		}, patched.doc["ports"])
		require.NotContains(t, patched.doc, "model")

		for _, c := range []struct{ why, body, scimType string }{
			{"section 7: immutable", device(`,"serial":"S9"`), "mutability"},
			{"section 7: required", device(`,"model":"x"`), "invalidValue"},
			{"section 6: the extension is required", `{"schemas":["` + deviceURN + `"],"serial":"S1"}`, "invalidValue"},
			{"section 2.3: the type", device(`,"serial":"S1","weight":"heavy"`), "invalidValue"},
		} {
			a := ask{method: http.MethodPut, target: "/Devices/" + ids[0], body: c.body}.do(t, w)
			require.Equal(t, http.StatusBadRequest, a.Code, c.why)
			require.Equal(t, c.scimType, a.doc["scimType"], c.why)
		}
		replaced := ask{method: http.MethodPut, target: "/Devices/" + ids[0], body: device(`,"serial":"S1","model":"Mill"`)}.do(t, w)
		require.Equal(t, http.StatusOK, replaced.Code, replaced.Body)
		require.NotContains(t, replaced.doc, "ports")

		for _, c := range [][2]string{
			{"", "S1 S2 S3"},
			{`?filter=serial eq "s2"`, "S2"},
			{`?filter=weight gt 2 and weight lt 10`, "S3"},
			{`?filter=` + rackURN + `:row eq "a"`, "S1 S2 S3"},
			{`?filter=` + deviceURN + `:tags eq "Y"`, "S3"},
			{`?filter=not (model co "n")`, "S1"},
			{`?filter=bought pr and meta.version pr`, "S2"},
			{`?filter=meta.resourceType eq "Device"`, "S1 S2 S3"},
			{`?sortBy=model`, "S3 S2 S1"},
			{`?sortBy=weight&sortOrder=descending&count=2`, "S1 S2"},
			{`?sortBy=serial&startIndex=2&count=1`, "S2"},
			{`?filter=serial pr&sortBy=serial&startIndex=3`, "S3"},
			{`?attributes=serial&sortBy=meta.created&count=9`, "S1 S2 S3"},
		} {
			query, want := c[0], c[1]
			target := "/Devices"
			if at := strings.IndexByte(query, '='); at > 0 {
				first, rest, more := strings.Cut(query[at+1:], "&")
				target += query[:at+1] + url.QueryEscape(first)
				if more {
					target += "&" + rest
				}
			}
			a := ask{method: http.MethodGet, target: target}.do(t, w)
			require.Equal(t, http.StatusOK, a.Code, "%s: %s", query, a.Body)
			var serials []string
			resources, _ := a.doc["Resources"].([]any)
			for _, r := range resources {
				serials = append(serials, r.(map[string]any)["serial"].(string))
			}
			if strings.Contains(query, "sortBy") {
				require.Equal(t, strings.Fields(want), serials, query)
			} else {
				require.ElementsMatch(t, strings.Fields(want), serials, query)
			}
		}
		require.Equal(t, http.StatusBadRequest, ask{method: http.MethodGet, target: "/Devices?filter=pin%20eq%20%221234%22"}.do(t, w).Code, "what is never returned cannot be guessed")

		require.Equal(t, http.StatusNoContent, ask{method: http.MethodDelete, target: "/Devices/" + ids[0]}.do(t, w).Code)
		require.Equal(t, http.StatusNotFound, ask{method: http.MethodGet, target: "/Devices/" + ids[0]}.do(t, w).Code)
		require.Equal(t, http.StatusNotFound, ask{method: http.MethodGet, target: "/Devices/" + ids[1], dir: sibling}.do(t, w).Code, "another directory's")
		require.Equal(t, http.StatusNotFound, ask{method: http.MethodGet, target: "/Users/" + ids[1]}.do(t, w).Code, "another type's")
	})
}

// RFC 7643 section 7: what a schema declares unique belongs to one resource of
// the directory, as the operator eq compares it.
func TestRFC7643_7_Uniqueness(t *testing.T) {
	for _, c := range []struct {
		attribute, one, taken, other string
	}{
		{"serial", `"serial":"Abc"`, `"serial":"aBC"`, `"serial":"abcd"`},
		{"asset", `"asset":"Abc"`, `"asset":"Abc"`, `"asset":"abc"`}, // caseExact
		{"rank", `"rank":7`, `"rank":7`, `"rank":70`},
		{"weight", `"weight":1.5`, `"weight":15e-1`, `"weight":1.25`},
		{"bought", `"bought":"2024-02-29T12:00:00Z"`, `"bought":"2024-02-29T13:00:00.000+01:00"`, `"bought":"2024-02-29T12:00:00+01:00"`},
		{"key", `"key":"+w=="`, `"key":"-w"`, `"key":"+g=="`},
		{"tags", `"tags":["a","b"]`, `"tags":["c","B"]`, `"tags":["d"]`},
		{"owner.value", `"owner":{"value":"u"}`, `"owner":{"value":"U"}`, `"owner":{"value":"v"}`},
		{"ports.value", `"ports":[{"value":"p"},{"value":"q"}]`, `"ports":[{"value":"r"},{"value":"Q"}]`, `"ports":[{"value":"s"},{"type":"q"}]`},
		{rackURN + ":slot", `"` + rackURN + `":{"row":"A","slot":"1a"}`, `"` + rackURN + `":{"row":"B","slot":"1A"}`, `"` + rackURN + `":{"row":"A","slot":"2"}`},
		{rackURN + ":units.value", `"` + rackURN + `":{"row":"A","units":[{"value":"1"},{"value":"x"}]}`, `"` + rackURN + `":{"row":"B","units":[{"value":"2"},{"value":"X"}]}`, `"` + rackURN + `":{"row":"A","units":[{"value":"3"}]}`},
		{"externalId", `"externalId":"x"`, `"externalId":"x"`, `"externalId":"X"`},
	} {
		worlds(t, inventory(t), func(t *testing.T, w *world) {
			body := func(serial, more string) string {
				b := `{"schemas":["` + deviceURN + `","` + rackURN + `"]`
				if c.attribute != "serial" {
					b += `,"serial":"` + serial + `"`
				}
				if !strings.Contains(more, rackURN) {
					b += `,"` + rackURN + `":{"row":"A"}`
				}
				return b + `,` + more + `}`
			}
			create := func(d *scim.Directory, serial, more string) *response {
				return ask{method: http.MethodPost, target: "/Devices", body: body(serial, more), dir: d}.do(t, w)
			}
			requireTaken := func(a *response) {
				t.Helper()
				require.Equal(t, http.StatusConflict, a.Code, "%s: %s", c.attribute, a.Body)
				require.Equal(t, "uniqueness", a.doc["scimType"])
				require.Contains(t, a.doc["detail"], c.attribute)
			}
			first := create(ours, "1", c.one)
			require.Equal(t, http.StatusCreated, first.Code, first.Body)
			requireTaken(create(ours, "2", c.taken))
			require.Equal(t, http.StatusCreated, create(sibling, "1", c.one).Code, "another directory's values are its own")

			second := create(ours, "3", c.other)
			require.Equal(t, http.StatusCreated, second.Code, second.Body)
			if c.attribute != "serial" { // which is immutable
				requireTaken(ask{method: http.MethodPut, target: "/Devices/" + second.doc["id"].(string), body: body("3", c.taken)}.do(t, w))
				target := "/Devices/" + first.doc["id"].(string)
				again := ask{method: http.MethodPut, target: target, body: body("1", c.taken)}.do(t, w)
				require.Equal(t, http.StatusOK, again.Code, "a resource may spell its own value anew: %s", again.Body)
				require.Equal(t, http.StatusOK, ask{method: http.MethodPut, target: target, body: body("1", `"model":"x"`)}.do(t, w).Code)
				free := ask{method: http.MethodPut, target: "/Devices/" + second.doc["id"].(string), body: body("3", c.one)}.do(t, w)
				require.Equal(t, http.StatusOK, free.Code, "what was given up is free: %s", free.Body)
			}
			require.Equal(t, http.StatusNoContent, ask{method: http.MethodDelete, target: "/Devices/" + first.doc["id"].(string)}.do(t, w).Code)
			if c.attribute == "serial" {
				require.Equal(t, http.StatusCreated, create(ours, "4", c.one).Code, "what was deleted is free")
			}
		})
	}
}

// What must be unique in users and groups is what the rules say, and nothing
// that their schemas do not declare.
func TestUniqueOfCoreTypes(t *testing.T) {
	paths := func(name string) (all []string) {
		for _, a := range scim.CoreTypes().Type(name).Unique() {
			all = append(all, a.Path())
		}
		return all
	}
	require.Equal(t, []string{"id", "externalId", "userName"}, paths("User"))
	require.Equal(t, []string{"id", "externalId"}, paths("Group"))
}

// An empty string is nobody's, however often it is there.
func TestRFC7643_7_UniquenessOfNothing(t *testing.T) {
	types := inventory(t)
	key := scim.Key{Tenant: "acme", Directory: "okta"}
	for name, store := range map[string]scim.Store{"memstore": newManaged(types, nil), "naive": newNaiveStore()} {
		for _, id := range []string{"1", "2"} {
			r, err := types.Decode(key, "Device", []byte(`{"schemas":["`+deviceURN+`"],"id":"`+id+`","asset":"","tags":[""],"ports":[{"value":""}]}`), scim.Meta{})
			require.NoError(t, err)
			_, err = store.Create(t.Context(), r)
			require.NoError(t, err, name)
		}
	}
}

// A host extends users in one call, and the extension is served, checked and
// unique like any attribute.
func TestRFC7643_3_3_Extend(t *testing.T) {
	types, err := scim.CoreTypes().Extend("User", badges())
	require.NoError(t, err)
	require.Len(t, types.Type("User").Extensions, 2)
	require.Len(t, scim.CoreTypes().Type("User").Extensions, 1, "the registry that was extended is as before")
	require.True(t, types.Type("Group").IsGroup())
	worlds(t, types, func(t *testing.T, w *world) {
		user := func(name, badge string) *response {
			return ask{method: http.MethodPost, target: "/Users", body: `{"schemas":["` + schema.UserSchema + `","` + acmeURN + `"],"userName":"` + name + `@example.com",
				"` + acmeURN + `":{"badge":"` + badge + `","floor":3}}`}.do(t, w)
		}
		require.Equal(t, http.StatusCreated, user("ada", "B1").Code)
		taken := user("eve", "b1")
		require.Equal(t, http.StatusConflict, taken.Code)
		require.Contains(t, taken.doc["detail"], acmeURN+":badge")
		found := ask{method: http.MethodGet, target: "/Users?filter=" + url.QueryEscape(acmeURN+`:floor gt 2 and badge eq "b1"`)}.do(t, w)
		require.Equal(t, json.Number("1"), found.doc["totalResults"], found.Body)
	})

	required := badges()
	required.Required = true
	types, err = types.Extend("User", required)
	require.NoError(t, err)
	require.Len(t, types.Type("User").Extensions, 2, "the one of that URN is replaced")
	worlds(t, types, func(t *testing.T, w *world) {
		a := ask{method: http.MethodPost, target: "/Users", body: `{"schemas":["` + schema.UserSchema + `"],"userName":"ada@example.com"}`}.do(t, w)
		require.Equal(t, http.StatusBadRequest, a.Code)
		require.Contains(t, a.doc["detail"], acmeURN)
	})

	_, err = types.Extend("Robot", badges())
	require.ErrorContains(t, err, `no resource type "Robot"`)
	_, err = types.Extend("User", attr.Extension{Schema: schema.Schema{ID: "acme"}})
	require.ErrorContains(t, err, "not identified by a URN")
}

// A registry is refused where what it says could not be served.
func TestNewTypesErrors(t *testing.T) {
	newType := func(name, endpoint string, attributes string) *attr.Type {
		s, err := attr.ParseSchema([]byte(`{"id":"urn:example:` + name + `","attributes":[` + attributes + `]}`))
		require.NoError(t, err)
		typ, err := attr.NewType(name, endpoint, "", s)
		require.NoError(t, err)
		return typ
	}
	const userName, active = `{"name":"userName"}`, `{"name":"active","type":"boolean"}`
	for _, c := range []struct {
		why   string
		types []*attr.Type
		says  string
	}{
		{"no users", []*attr.Type{newType("Device", "/Devices", "")}, `type "User" with userName and active is required`},
		{"users without a state", []*attr.Type{newType("User", "/Users", userName)}, `type "User" with userName and active is required`},
		{"no type", []*attr.Type{nil}, "different names"},
		{"one name", []*attr.Type{newType("User", "/Users", userName+","+active), newType("User", "/People", userName+","+active)}, "different names"},
		{"one endpoint", []*attr.Type{newType("User", "/Users", userName+","+active), newType("Device", "/Users", "")}, "different names"},
		{"RFC 7644 section 3.2: discovery is there", []*attr.Type{newType("Device", "/schemas", "")}, "/schemas is another one's"},
		{"RFC 7644 section 3.2: so are bulk operations", []*attr.Type{newType("Device", "/Bulk", "")}, "/Bulk is another one's"},
		{"one schema, two contents", []*attr.Type{newType("User", "/Users", userName+","+active), func() *attr.Type {
			s, err := attr.ParseSchema([]byte(`{"id":"urn:example:User","attributes":[` + userName + `]}`))
			require.NoError(t, err)
			typ, err := attr.NewType("Person", "/People", "", s)
			require.NoError(t, err)
			return typ
		}()}, "urn:example:User with another content"},
		{"a number for a name", []*attr.Type{newType("User", "/Users", `{"name":"userName","type":"integer"},`+active)}, "userName must be single-valued and of type string"},
		{"a text for a state", []*attr.Type{newType("User", "/Users", userName+`,{"name":"active"}`)}, "active must be single-valued and of type boolean"},
		{"one email", []*attr.Type{newType("User", "/Users", userName+","+active+`,{"name":"emails"}`)}, "emails must be multi-valued and of type complex"},
		{"emails of nothing", []*attr.Type{newType("User", "/Users", userName+","+active+`,{"name":"emails","type":"complex","multiValued":true,"subAttributes":[{"name":"address"}]}`)}, "emails needs a sub-attribute value"},
		{"members as texts", []*attr.Type{newType("Group", "/Groups", `{"name":"members","multiValued":true}`)}, "members must be multi-valued and of type complex"},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := scim.NewTypes(c.types...)
			require.ErrorContains(t, err, c.says)
			if strings.Contains(c.says, "different") {
				return
			}
			_, err = scim.CoreTypes().With(c.types...)
			if !strings.Contains(c.why, "no users") {
				require.ErrorContains(t, err, c.says)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// RFC 7643 section 3.1: a resource decodes into the host's struct as it is
// answered, with id and meta and its extensions by their URNs.
func TestRFC7643_3_1_DecodeWhole(t *testing.T) {
	created := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	r, err := inventory(t).New(scim.Key{Tenant: "acme", Directory: "okta"}, "Device").ID("7").
		Set("serial", "S1").Set("ports", []map[string]any{{"value": "p", "primary": true}}).
		Set(rackURN, map[string]string{"row": "A"}).
		Meta(scim.Meta{Created: created, LastModified: created.Add(time.Hour), Version: 3}).Resource()
	require.NoError(t, err)
	type meta struct {
		ResourceType          string
		Created, LastModified time.Time
		Version               string
	}
	var got struct {
		Schemas []string
		ID      string
		Serial  string
		Model   *string
		Weight  float64
		Ports   []struct {
			Value   string
			Primary bool
		}
		Rack  struct{ Row string } `json:"urn:example:params:scim:schemas:extension:rack:2.0:Device"`
		Lease *struct{}            `json:"urn:example:params:scim:schemas:extension:lease:2.0:Device"`
		Meta  meta
	}
	got.Weight = 5
	require.NoError(t, r.Decode("", &got))
	require.Equal(t, []string{deviceURN, rackURN}, got.Schemas)
	require.Equal(t, "7", got.ID)
	require.Equal(t, "S1", got.Serial)
	require.Nil(t, got.Model, "no value")
	require.Equal(t, 5.0, got.Weight, "what has no value is left alone")
	require.True(t, got.Ports[0].Primary)
	require.Equal(t, "A", got.Rack.Row)
	require.Nil(t, got.Lease)
	require.Equal(t, meta{"Device", created, created.Add(time.Hour), `W/"3"`}, got.Meta)

	var rack struct{ Row, Slot string }
	rack.Slot = "kept"
	require.NoError(t, r.Decode(rackURN, &rack))
	require.Equal(t, "A", rack.Row)
	require.Equal(t, "kept", rack.Slot)
	require.NoError(t, r.Decode(leaseURN, &rack), "an extension without values")
	require.ErrorContains(t, r.Decode("colour", &rack), `Device has no attribute "colour"`)
	require.ErrorContains(t, r.Decode("meta", &rack), "Meta returns it")
	require.Error(t, r.Decode("serial", &rack), "a string is no struct")
}

// A builder sets what a schema has, by its path, and says what it cannot set.
func TestBuilder(t *testing.T) {
	types := inventory(t)
	set := func(path string, value any) (*scim.Resource, error) {
		return types.New(scim.Key{}, "Device").Set("model", "Mill").Set(path, value).Resource()
	}
	until := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		path  string
		value any
		want  string
	}{
		{"serial", "S1", `"serial":"S1","model":"Mill"`},
		{"SERIAL", "S1", `"serial":"S1","model":"Mill"`},
		{deviceURN + ":serial", "S1", `"serial":"S1","model":"Mill"`},
		{"model", "Crane", `"model":"Crane"`},
		{"model", "", ``},
		{"model", nil, ``},
		{"rank", 7, `"model":"Mill","rank":7`},
		{"weight", 1.5, `"model":"Mill","weight":1.5`},
		{"bought", until, `"model":"Mill","bought":"2030-01-01T00:00:00Z"`},
		{"key", []byte{0xfb}, `"model":"Mill","key":"+w=="`},
		{"tags", []string{"x", "y"}, `"model":"Mill","tags":["x","y"]`},
		{"tags", "x", `"model":"Mill","tags":["x"]`},
		{"tags", []string{}, `"model":"Mill"`},
		{"health", "good", `"model":"Mill","health":"good"`},
		{"owner", map[string]string{"value": "u", "display": "Ada"}, `"model":"Mill","owner":{"value":"u","display":"Ada"}`},
		{"owner.value", "u", `"model":"Mill","owner":{"value":"u"}`},
		{"owner.value", nil, `"model":"Mill"`},
		{"ports", []map[string]any{{"value": "p", "primary": true}}, `"model":"Mill","ports":[{"value":"p","primary":true}]`},
		{leaseURN, struct {
			Until time.Time `json:"until"`
		}{until}, `"model":"Mill","` + leaseURN + `":{"until":"2030-01-01T00:00:00Z"}`},
		{leaseURN + ":until", until, `"model":"Mill","` + leaseURN + `":{"until":"2030-01-01T00:00:00Z"}`},
		{"until", until, `"model":"Mill","` + leaseURN + `":{"until":"2030-01-01T00:00:00Z"}`},
	} {
		r, err := set(c.path, c.value)
		require.NoError(t, err, c.path)
		urns := `"` + deviceURN + `"`
		if strings.Contains(c.want, leaseURN) {
			urns += `,"` + leaseURN + `"`
		}
		want := `{"schemas":[` + urns + `]`
		if c.want != "" {
			want += "," + c.want
		}
		require.Equal(t, want+"}", r.JSON(), c.path)
	}
	for _, c := range []struct {
		path  string
		value any
		says  string
	}{
		{"colour", "red", `Device has no attribute "colour"`},
		{"owner.colour", "red", `Device has no attribute "owner.colour"`},
		{"weight", "heavy", "set weight: "},
		{"rank", 1.5, "rank is a whole number"},
		{"bought", "yesterday", "bought is a dateTime"},
		{"key", "é", "key is binary"},
		{"model", []string{"a", "b"}, "model has one value"},
		{"owner", map[string]any{"colour": "red"}, `"colour" is not defined`},
		{"ports.value", "p", "set ports as a whole"},
		{"serial", func() {}, "serial: json: unsupported type"},
		{"meta.version", "1", "meta.version is not set"},
		{"schemas", []string{"urn:a"}, "schemas is not set"},
	} {
		_, err := set(c.path, c.value)
		require.ErrorContains(t, err, c.says, c.path)
	}
	r, err := types.New(scim.Key{}, "Device").Set("owner.value", "u").Set("owner.value", nil).Resource()
	require.NoError(t, err)
	require.Equal(t, `{"schemas":["`+deviceURN+`"]}`, r.JSON())
	_, err = types.New(scim.Key{}, "Robot").ID("1").Set("model", "x").Resource()
	require.ErrorContains(t, err, `no resource type "Robot"`)
}
