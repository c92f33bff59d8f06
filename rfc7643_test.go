package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// below returns the part of an absolute URL that an ask has as its target.
func below(t testing.TB, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	require.NoError(t, err)
	require.True(t, u.IsAbs(), location)
	target, ok := strings.CutPrefix(u.EscapedPath(), conversationBase)
	require.True(t, ok, location)
	return target
}

// Section 2.1: names are as the ABNF has them, and case does not tell two
// apart.
func TestRFC7643Section2_1Names(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		var check func(where string, attributes []any)
		check = func(where string, attributes []any) {
			for _, a := range attributes {
				a := a.(map[string]any)
				require.Regexp(t, `^(\$ref|[A-Za-z][A-Za-z0-9$_-]*)$`, a["name"], where)
				if subs, ok := a["subAttributes"].([]any); ok {
					check(fmt.Sprint(where, " ", a["name"]), subs)
				}
			}
		}
		for _, s := range w.get(t, "/Schemas").resources(t) {
			check(s["id"].(string), s["attributes"].([]any))
		}
		a := ask{method: "POST", target: "/Users", body: `{"SCHEMAS":["` + strings.ToUpper(userURN) + `"],"UserNAME":"ada@example.com","NAME":{"GivenNAME":"Ada"},"` + strings.ToUpper(enterpriseURN) + `":{"DEPARTMENT":"D"}}`}.do(t, w).must(t, http.StatusCreated)
		require.Equal(t, "Ada", a.text("/name/givenName"), "answered in the schema's spelling")
		require.Equal(t, "D", a.text("/"+enterpriseURN+"/department"))
		ask{method: "PUT", target: "/Users/" + a.text("/id"), body: `{"userName":"ada@example.com","title":"x","TITLE":"y"}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidSyntax, "one attribute, twice")
	})
}

// Section 2.3: every type, byte for byte as it was sent, or refused.
func TestRFC7643Section2_3DataTypes(t *testing.T) {
	one := schema.SimpleCoreAttribute
	types := withType(t, "Sample", "/Samples", schema.Schema{ID: "urn:example:2.0:Sample", Attributes: schema.Attributes{
		one(schema.SimpleStringParams(schema.StringParams{Name: "text"})),
		one(schema.SimpleBooleanParams(schema.BooleanParams{Name: "flag"})),
		one(schema.SimpleNumberParams(schema.NumberParams{Name: "ratio", Type: schema.AttributeTypeDecimal()})),
		one(schema.SimpleNumberParams(schema.NumberParams{Name: "count", Type: schema.AttributeTypeInteger()})),
		one(schema.SimpleDateTimeParams(schema.DateTimeParams{Name: "since"})),
		one(schema.SimpleBinaryParams(schema.BinaryParams{Name: "key"})),
		one(schema.SimpleReferenceParams(schema.ReferenceParams{Name: "site"})),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "place", SubAttributes: []schema.SimpleParams{
			schema.SimpleStringParams(schema.StringParams{Name: "room"}), schema.SimpleStringParams(schema.StringParams{Name: "floor"}),
		}}),
	}})
	onTypes(t, types, func(t *testing.T, h http.Handler) {
		send := func(members string) *response {
			return ask{method: "POST", target: "/Samples", body: `{"schemas":["urn:example:2.0:Sample"],` + members + `}`}.do(t, h)
		}
		for _, members := range []string{
			`"text":""`, `"text":"é 😀 \u0001"`, `"flag":true`, `"flag":false`,
			`"ratio":1`, `"ratio":-0.5`, `"ratio":1.50`, `"ratio":6.02e23`, `"count":0`, `"count":-7`, `"count":9007199254740993`,
			`"since":"2008-01-23T04:56:22Z"`, `"since":"2008-01-23T04:56:22.1234567Z"`, `"since":"2008-01-23T04:56:22+05:30"`, `"since":"2008-01-23T04:56:22"`,
			`"key":"QQ=="`, `"key":"QQ"`, `"key":"+/+/"`, `"key":"-_-_"`,
			`"site":"https://example.com/Ada"`, `"site":"../Users/2819c223"`, `"site":"urn:ietf:params:scim"`,
			`"place":{"room":"1","floor":"2"}`,
		} {
			a := send(members).must(t, http.StatusCreated, members)
			require.Contains(t, a.Body.String(), members)
			require.Contains(t, ask{method: "GET", target: "/Samples/" + a.text("/id")}.do(t, h).Body.String(), members)
		}
		ordered := send(`"place":{"floor":"2","room":"1"}`).must(t, http.StatusCreated, "section 2.3.8: in any order")
		require.Equal(t, map[string]any{"room": "1", "floor": "2"}, ordered.doc["place"])
		for _, members := range []string{
			`"text":1`, `"text":true`, `"text":{"value":"x"}`, `"flag":"true"`, `"flag":1`, `"ratio":"1"`, `"ratio":true`,
			`"count":1.0`, `"count":1e3`, `"count":"1"`,
			`"since":"2008-01-23"`, `"since":"04:56:22Z"`, `"since":"2008-01-23 04:56:22Z"`, `"since":"2008-02-30T04:56:22Z"`, `"since":1201064182`,
			`"key":"a b"`, `"key":"QQ*="`, `"key":7`, `"site":7`, `"place":"1"`, `"place":{"room":{"value":"1"}}`,
		} {
			send(members).refused(t, http.StatusBadRequest, scim.InvalidValue, members)
		}
		require.Equal(t, "complex", ask{method: "GET", target: "/Schemas/urn:example:2.0:Sample"}.do(t, h).text("/attributes/7/type"))
	})
}

// Section 2.3.7: the references that are answered are absolute, and lead to
// the resource that they name.
func TestRFC7643Section2_3_7References(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		inner := w.addGroup(t, ours, "inner", "", user)
		outer := w.addGroup(t, ours, "outer", "", inner)
		u, g, o := w.get(t, "/Users/"+user), w.get(t, "/Groups/"+inner), w.get(t, "/Groups/"+outer)
		leads := map[string]string{u.text("/meta/location"): user, g.text("/meta/location"): inner, u.text("/groups/0/$ref"): inner}
		if _, managed := w.store.(scim.MemberStore); managed {
			leads[g.text("/members/0/$ref")] = user
			leads[o.text("/members/0/$ref")] = inner
		}
		for location, id := range leads {
			a := w.get(t, below(t, location)).must(t, http.StatusOK, location)
			require.Equal(t, id, a.text("/id"))
			require.Equal(t, location, a.text("/meta/location"))
		}
		ask{method: "DELETE", target: "/Groups/" + inner}.do(t, w).must(t, http.StatusNoContent)
		for location, id := range leads {
			if id == inner {
				w.get(t, below(t, location)).refused(t, http.StatusNotFound, "")
			}
		}
		require.False(t, w.get(t, "/Users/"+user).has("/groups"), "nor is it named any longer")
		require.False(t, w.get(t, "/Groups/"+outer).has("/members"))
	})
}

// Section 2.4: one value is primary at most; canonical values are suggestions;
// one value may be there under two types.
func TestRFC7643Section2_4MultiValued(t *testing.T) {
	const two = `,"emails":[{"value":"ada@example.com","type":"work","primary":true},{"value":"ada@home.example","type":"home","primary":true}]`
	onWorlds(t, func(t *testing.T, w *world) {
		primaries := func(a *response) (all []string) {
			for _, e := range a.doc["emails"].([]any) {
				if e := e.(map[string]any); e["primary"] == true {
					all = append(all, e["value"].(string))
				}
			}
			return all
		}
		id := w.addUser(t, ours, "ada@example.com", two)
		require.Equal(t, []string{"ada@example.com"}, primaries(w.get(t, "/Users/"+id)), "the first of two")
		a := ask{method: "PATCH", target: "/Users/" + id, body: onePatch("add", "emails", `[{"value":"ada@office.example","type":"other"}]`)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, []string{"ada@example.com"}, primaries(a), "not said: false")
		require.Len(t, w.filtered(t, "/Users", `emails[type eq "other" and not (primary eq true)]`), 1)

		a = ask{method: "PATCH", target: "/Users/" + id, body: onePatch("replace", "phoneNumbers", `[{"value":"1","type":"satellite"},{"value":"1","type":"home"}]`)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, []any{map[string]any{"value": "1", "type": "satellite"}, map[string]any{"value": "1", "type": "home"}}, a.doc["phoneNumbers"])
		a = ask{method: "PATCH", target: "/Users/" + id, body: onePatch("add", "phoneNumbers", `[{"value":"1","type":"home"}]`)}.do(t, w).must(t, http.StatusOK)
		require.Len(t, a.doc["phoneNumbers"], 2, "value and type are there already")
	})
	onStrict(t, func(t *testing.T, h http.Handler) {
		ask{method: "POST", target: "/Users", body: `{"schemas":["` + userURN + `"],"userName":"ada@example.com"` + two + `}`}.do(t, h).refused(t, http.StatusBadRequest, scim.InvalidValue)
	})
}

// Section 2.5: null, an empty array and nothing are the same, in every method,
// and are not answered.
func TestRFC7643Section2_5Unassigned(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		const some = `,"title":"x","emails":[{"value":"ada@example.com"}],"name":{"givenName":"Ada"}`
		const none = `,"title":null,"emails":[],"name":null`
		gone := func(a *response) {
			t.Helper()
			for _, pointer := range []string{"/title", "/emails", "/name"} {
				require.False(t, a.has(pointer), pointer)
			}
		}
		id := w.addUser(t, ours, "ada@example.com", some)
		put := ask{method: "PUT", target: "/Users/" + id, body: `{"userName":"ada@example.com"` + none + `}`}.do(t, w).must(t, http.StatusOK)
		gone(put)
		gone(w.get(t, "/Users/"+id))
		again := ask{method: "PUT", target: "/Users/" + id, body: `{"userName":"ada@example.com"}`}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, put.Header().Get("ETag"), again.Header().Get("ETag"), "left out is the same state")
		ask{method: "PUT", target: "/Users/" + id, body: `{"userName":"ada@example.com"` + some + `}`}.do(t, w).must(t, http.StatusOK)
		for path, value := range map[string]string{"title": "null", "emails": "[]", "name": "null"} {
			require.False(t, ask{method: "PATCH", target: "/Users/" + id, body: onePatch("replace", path, value)}.do(t, w).must(t, http.StatusOK).has("/"+path), path)
		}
		gone(w.get(t, "/Users/"+w.addUser(t, ours, "eve@example.com", none)))
		require.Len(t, w.filtered(t, "/Users", `not (title pr) and not (emails pr) and not (name pr)`), 2)
	})
}

// Section 3: schemas says which schemas the attributes that are there have.
func TestRFC7643Section3Schemas(t *testing.T) {
	const extended = `"` + enterpriseURN + `":{"department":"D"}`
	onWorlds(t, func(t *testing.T, w *world) {
		base, both := []any{userURN}, []any{userURN, enterpriseURN}
		a := ask{method: "POST", target: "/Users", body: `{"schemas":["` + enterpriseURN + `","` + userURN + `","` + userURN + `","urn:example:none"],"userName":"ada@example.com",` + extended + `}`}.do(t, w).must(t, http.StatusCreated)
		require.ElementsMatch(t, both, a.doc["schemas"], "each once, and none that the type does not have")
		path := "/Users/" + a.text("/id")
		for _, c := range []struct {
			method, body string
			want         []any
		}{
			{"PUT", `{"schemas":["` + userURN + `","` + enterpriseURN + `"],"userName":"ada@example.com"}`, base},
			{"PATCH", onePatch("add", enterpriseURN+":department", `"D"`), both},
			{"PATCH", onePatch("remove", enterpriseURN+":department", ""), base},
			{"PATCH", onePatch("add", "", `{`+extended+`}`), both},
			{"PATCH", onePatch("replace", "title", `"x"`), both},
			{"PATCH", onePatch("remove", enterpriseURN, ""), base},
		} {
			require.ElementsMatch(t, c.want, ask{method: c.method, target: path, body: c.body}.do(t, w).must(t, http.StatusOK).doc["schemas"], c.body)
			require.ElementsMatch(t, c.want, w.get(t, path+"?attributes=userName").doc["schemas"], "REQUIRED, whatever is asked for")
		}
		for _, endpoint := range []string{"/ServiceProviderConfig", "/ResourceTypes/User", "/Schemas/" + userURN} {
			require.Len(t, w.get(t, endpoint).doc["schemas"], 1, endpoint)
		}
		w.addGroup(t, ours, "team", "")
		require.Equal(t, []any{groupURN}, w.get(t, "/Groups").resources(t)[0]["schemas"])
	})
	onStrict(t, func(t *testing.T, h http.Handler) {
		post := func(schemas string) *response {
			return ask{method: "POST", target: "/Users", body: `{"schemas":` + schemas + `,"userName":"ada@example.com",` + extended + `}`}.do(t, h)
		}
		for _, wrong := range []string{`[]`, `["` + userURN + `"]`, `["` + enterpriseURN + `"]`, `["` + userURN + `","` + enterpriseURN + `","` + groupURN + `"]`, `["` + userURN + `","` + userURN + `","` + enterpriseURN + `"]`} {
			post(wrong).refused(t, http.StatusBadRequest, scim.InvalidValue, wrong)
		}
		require.ElementsMatch(t, []any{userURN, enterpriseURN}, post(`["`+enterpriseURN+`","`+userURN+`"]`).must(t, http.StatusCreated, "in any order").doc["schemas"])
	})
}

// Section 3.1: the attributes that every resource has.
func TestRFC7643Section3_1CommonAttributes(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		seen := map[string]bool{}
		for i := range 20 {
			for _, id := range []string{w.addUser(t, ours, fmt.Sprintf("user%d@example.com", i), ""), w.addGroup(t, ours, fmt.Sprint("team ", i), "")} {
				require.NotEmpty(t, id)
				require.False(t, seen[id], "unique among all resources")
				require.NotContains(t, strings.ToLower(id), "bulkid")
				seen[id] = true
			}
		}
		id := w.addUser(t, ours, "ada@example.com", `,"id":"mine","meta":{"resourceType":"Group","created":"1999-01-01T00:00:00Z","version":"W/\"9\""}`)
		path := "/Users/" + id
		a := w.get(t, path)
		require.NotEqual(t, "mine", id)
		require.False(t, a.has("/externalId"), "the client's to give")
		created := a.text("/meta/created")
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, created, "section 2.3.5")
		require.Equal(t, created, a.text("/meta/lastModified"), "never modified")
		require.Equal(t, "User", a.text("/meta/resourceType"))
		require.Equal(t, a.Header().Get("ETag"), a.text("/meta/version"))
		require.True(t, strings.HasPrefix(a.text("/meta/version"), `W/"`), "weak: a projection has it too")

		forged := `"meta":{"created":"1999-01-01T00:00:00Z","location":"http://evil.example"}`
		for method, body := range map[string]string{
			"PUT":   `{"userName":"ada@example.com","id":"other","title":"` + "put" + `",` + forged + `}`,
			"PATCH": onePatch("replace", "", `{"title":"patch","id":"other",`+forged+`}`),
		} {
			b := ask{method: method, target: path, body: body}.do(t, w).must(t, http.StatusOK)
			require.Equal(t, id, b.text("/id"), "stable")
			require.Equal(t, created, b.text("/meta/created"))
			require.Equal(t, a.text("/meta/location"), b.text("/meta/location"))
			require.NotEqual(t, a.text("/meta/version"), b.text("/meta/version"))
			modified, err := time.Parse(time.RFC3339, b.text("/meta/lastModified"))
			require.NoError(t, err)
			before, err := time.Parse(time.RFC3339, created)
			require.NoError(t, err)
			require.False(t, modified.Before(before))
			require.Equal(t, any(b.doc), any(w.get(t, path).doc))
		}
		require.Equal(t, id, w.get(t, path+"?attributes=title").text("/id"), "always returned")
		require.Equal(t, id, w.get(t, path+"?excludedAttributes=id").text("/id"))
		require.False(t, w.get(t, path+"?attributes=title").has("/meta"), "returned by default")
	})
}

// Section 3.1: externalId is exact, of one provisioning domain, and the
// client's alone.
func TestRFC7643Section3_1ExternalID(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		upper := w.addUser(t, ours, "ada@example.com", `,"externalId":"AbC"`)
		lower := w.addUser(t, ours, "eve@example.com", `,"externalId":"abc"`)
		other := w.addUser(t, sibling, "ada@example.com", `,"externalId":"AbC"`)
		require.Equal(t, "AbC", w.get(t, "/Users/"+upper).text("/externalId"))
		require.Equal(t, []string{upper}, w.filtered(t, "/Users", `externalId eq "AbC"`))
		require.Equal(t, []string{lower}, w.filtered(t, "/Users", `externalId eq "abc"`))
		require.Equal(t, []string{other}, ask{dir: sibling, method: "GET", target: "/Users?filter=" + url.QueryEscape(`externalId eq "AbC"`)}.do(t, w).ids(t))
		a := ask{method: "PATCH", target: "/Users/" + upper, body: onePatch("replace", "externalId", `"x"`)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, "x", a.text("/externalId"), "readWrite")
		require.False(t, ask{method: "PATCH", target: "/Users/" + upper, body: onePatch("remove", "externalId", "")}.do(t, w).must(t, http.StatusOK).has("/externalId"))
	})
}

// Section 4.1: what a client says of a person is stored and answered as it is.
func TestRFC7643Section4_1Users(t *testing.T) {
	const said = `"name":{"formatted":"Ms. Ada Lovelace","familyName":"Byron","givenName":"Ada","middleName":"A.","honorificPrefix":"Ms.","honorificSuffix":"III"},` +
		`"displayName":"ada","nickName":"Addie","profileUrl":"https://example.com/ada","title":"Countess","userType":"Employee",` +
		`"preferredLanguage":"en_GB","locale":"en-GB","timezone":"Europe/London","active":true,` +
		`"emails":[{"value":"Ada@EXAMPLE.com","display":"Ada","type":"pigeon","primary":true}],"phoneNumbers":[{"value":"+1 201 555 0123","type":"fax"}],` +
		`"ims":[{"value":"Ada L","type":"xmpp"}],"photos":[{"value":"https://example.com/ada.png","type":"photo"},{"value":"https://example.com/ada-small.png","type":"thumbnail"}],` +
		`"addresses":[{"formatted":"1 St James's Square\nLondon","streetAddress":"1 St James's\nSquare","locality":"London","region":"London","postalCode":"SW1","country":"GB","type":"home"}],` +
		`"entitlements":[{"value":"e"}],"roles":[{"value":"r"}],"x509Certificates":[{"value":"MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjELMAkGA1UEBhMCVVM="}]`
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "Ada@example.com", ","+said)
		a := w.get(t, "/Users/"+id)
		require.Equal(t, "Ada@example.com", a.text("/userName"))
		want, err := decodeJSON([]byte("{" + said + "}"))
		require.NoError(t, err)
		for name, value := range want.(map[string]any) {
			require.Equal(t, value, a.doc[name], name)
		}
		for _, method := range []string{"POST", "PUT"} {
			target := map[string]string{"POST": "/Users", "PUT": "/Users/" + id}[method]
			for _, body := range []string{`{}`, `{"userName":null}`, `{"userName":""}`, `{"title":"x"}`} {
				ask{method: method, target: target, body: body}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, method, body)
			}
		}
		ask{method: "PATCH", target: "/Users/" + id, body: onePatch("replace", "x509Certificates", `[{"value":"no base64"}]`)}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue)
	})
}

// Section 4.2: members come and go; what is said of one does not change.
func TestRFC7643Section4_2Members(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		ada, eve := w.addUser(t, ours, "ada@example.com", ""), w.addUser(t, ours, "eve@example.com", "")
		inner := w.addGroup(t, ours, "inner", "")
		group := w.addGroup(t, ours, "team", "", ada, inner)
		patch := func(op, path, value string) *response {
			return ask{method: "PATCH", target: "/Groups/" + group, body: onePatch(op, path, value)}.do(t, w)
		}
		patch("replace", `members[value eq "`+ada+`"].value`, quoted(eve)).refused(t, http.StatusBadRequest, scim.Mutability)
		require.ElementsMatch(t, []string{ada, inner}, values(w.get(t, "/Groups/"+group).doc["members"]), "users and groups")
		patch("add", "members", `[{"value":"`+eve+`"}]`).must(t, http.StatusNoContent)
		patch("remove", `members[value eq "`+ada+`"]`, "").must(t, http.StatusNoContent)
		require.ElementsMatch(t, []string{eve, inner}, values(w.get(t, "/Groups/"+group).doc["members"]))
		require.False(t, w.get(t, "/Users/"+ada).has("/groups"))

		// A user's groups are changed at the group alone (section 4.1.2).
		a := ask{method: "PUT", target: "/Users/" + ada, body: object("userName", "ada@example.com", "groups", []any{map[string]string{"value": group}})}.do(t, w).must(t, http.StatusOK)
		require.False(t, a.has("/groups"))
		require.NotContains(t, values(w.get(t, "/Groups/"+group).doc["members"]), ada)
		ask{method: "POST", target: "/Groups", body: `{"displayName":""}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, "displayName is required")
	})
}

// Section 5: the configuration has what is required of it.
func TestRFC7643Section5Configuration(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		c := w.get(t, "/ServiceProviderConfig").must(t, http.StatusOK)
		for _, feature := range []string{"patch", "bulk", "filter", "changePassword", "sort", "etag"} {
			require.IsType(t, true, resolve(c.doc, "/"+feature+"/supported"), feature)
		}
		for _, number := range []string{"/bulk/maxOperations", "/bulk/maxPayloadSize", "/filter/maxResults"} {
			n, ok := resolve(c.doc, number).(json.Number)
			require.True(t, ok, number)
			_, err := n.Int64()
			require.NoError(t, err, "%s: an integer", number)
		}
		schemes := c.doc["authenticationSchemes"].([]any)
		require.NotEmpty(t, schemes)
		for _, s := range schemes {
			s := s.(map[string]any)
			require.Contains(t, []any{"oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"}, s["type"])
			require.NotEmpty(t, s["name"])
			require.NotEmpty(t, s["description"])
			require.Regexp(t, "^https://", s["specUri"])
		}
		require.False(t, c.has("/documentationUri"), "there is none to point at")
		require.False(t, c.has("/id"), "section 3.1: the configuration has none")
	})
}

// Section 6: resource types, an extension that is required included.
func TestRFC7643Section6ResourceTypes(t *testing.T) {
	one := schema.SimpleCoreAttribute
	extension := schema.Schema{ID: "urn:example:2.0:Warranty", Name: optional.NewString("Warranty"), Attributes: schema.Attributes{
		one(schema.SimpleStringParams(schema.StringParams{Name: "until", Required: true})), one(schema.SimpleStringParams(schema.StringParams{Name: "from"})),
	}}
	types := withType(t, "Device", "/Devices", schema.Schema{ID: "urn:example:2.0:Device", Name: optional.NewString("Device"), Attributes: schema.Attributes{
		one(schema.SimpleStringParams(schema.StringParams{Name: "label"})),
	}}, attr.Extension{Schema: extension, Required: true})
	onTypes(t, types, func(t *testing.T, h http.Handler) {
		get := func(target string) *response { return ask{method: "GET", target: target}.do(t, h) }
		names := map[string]bool{}
		for _, typ := range get("/ResourceTypes").resources(t) {
			for _, required := range []string{"schemas", "id", "name", "endpoint", "schema"} {
				require.NotEmpty(t, typ[required], required)
			}
			require.False(t, names[typ["name"].(string)])
			names[typ["name"].(string)] = true
			require.Equal(t, typ["schema"], get("/Schemas/"+typ["schema"].(string)).must(t, http.StatusOK).doc["id"])
			extensions, _ := typ["schemaExtensions"].([]any)
			for _, x := range extensions {
				x := x.(map[string]any)
				require.Equal(t, x["schema"], get("/Schemas/"+x["schema"].(string)).must(t, http.StatusOK).doc["id"])
				require.Equal(t, typ["name"] == "Device", x["required"])
			}
			require.Equal(t, typ["name"] != "Group", len(extensions) > 0)
		}
		require.Equal(t, map[string]bool{"User": true, "Group": true, "Device": true}, names)

		post := func(members string) *response {
			return ask{method: "POST", target: "/Devices", body: `{"schemas":["urn:example:2.0:Device"` + members + `}`}.do(t, h)
		}
		const urn = `,"urn:example:2.0:Warranty"`
		post(`],"label":"x"`).refused(t, http.StatusBadRequest, scim.InvalidValue, "the extension is required")
		post(urn+`],"label":"x"`+urn+`:{"from":"a"}`).refused(t, http.StatusBadRequest, scim.InvalidValue, "and what it requires")
		a := post(urn+`],"label":"x"`+urn+`:{"until":"b"}`).must(t, http.StatusCreated)
		require.Equal(t, "Device", a.text("/meta/resourceType"), "the type's name")
		require.Equal(t, "b", a.text("/urn:example:2.0:Warranty/until"), "the extension is a JSON container of its own")
		ask{method: "PATCH", target: "/Devices/" + a.text("/id"), body: onePatch("remove", "urn:example:2.0:Warranty", "")}.do(t, h).refused(t, http.StatusBadRequest, scim.Mutability)
		ask{method: "POST", target: "/Users", body: `{"schemas":["` + userURN + `"],"userName":"ada@example.com"}`}.do(t, h).must(t, http.StatusCreated, "one that is not required may be left out")
	})
}

// Section 7: schemas describe themselves, their attributes too.
func TestRFC7643Section7Schemas(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		attributes := map[string]map[string]any{}
		var describe func(path string, list []any)
		describe = func(path string, list []any) {
			for _, a := range list {
				a := a.(map[string]any)
				name := path + a["name"].(string)
				attributes[name] = a
				require.NotEmpty(t, a["description"], name)
				if a["type"] == "complex" {
					require.NotEmpty(t, a["subAttributes"], name)
					describe(name+".", a["subAttributes"].([]any))
				}
				if a["type"] == "reference" {
					require.NotEmpty(t, a["referenceTypes"], name)
				}
			}
		}
		for _, s := range w.get(t, "/Schemas").resources(t) {
			require.Regexp(t, "^urn:", s["id"])
			require.NotEmpty(t, s["name"], s["id"])
			require.NotEmpty(t, s["description"], s["id"])
			describe(s["name"].(string)+":", s["attributes"].([]any))
		}
		for name, want := range map[string]string{ // multiValued required caseExact mutability returned uniqueness
			"User:userName":                       "false true false readWrite default server",
			"User:password":                       "false false false writeOnly never none",
			"User:groups":                         "true false false readOnly default none",
			"User:emails.value":                   "false false false readWrite default none",
			"Group:members":                       "true false false readWrite default none",
			"Group:members.value":                 "false false true immutable default none",
			"Enterprise User:manager.displayName": "false false false readOnly default none",
		} {
			a := attributes[name]
			require.NotNil(t, a, name)
			require.Equal(t, want, fmt.Sprint(a["multiValued"], " ", a["required"], " ", a["caseExact"], " ", a["mutability"], " ", a["returned"], " ", a["uniqueness"]), name)
		}
		require.Equal(t, []any{"work", "home", "other"}, attributes["User:emails.type"]["canonicalValues"])
		for _, common := range []string{"User:id", "User:externalId", "User:meta", "User:schemas"} {
			require.NotContains(t, attributes, common, "section 3.1: of no schema")
		}
	})
}

// Section 7: case is kept whether it is exact or not.
func TestRFC7643Section7CaseExact(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ADA@example.com", `,"externalId":"EXT","title":"DR."`)
		a := w.get(t, "/Users/"+id)
		require.Equal(t, "ADA@example.com EXT DR.", a.text("/userName")+" "+a.text("/externalId")+" "+a.text("/title"))
		for filter, want := range map[string]int{`userName eq "ada@example.com"`: 1, `title eq "dr."`: 1, `externalId eq "ext"`: 0, `externalId eq "EXT"`: 1, `id eq "` + strings.ToUpper(id) + `"`: 0} {
			require.Len(t, w.filtered(t, "/Users", filter), want, filter)
		}
	})
}
