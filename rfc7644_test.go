package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// strictHandler returns a handler at conversationBase over the store, for the
// directory ours in the strict dialect: nothing is tolerated. types may be nil.
func strictHandler(t testing.TB, store scim.Store, types *scim.Types) http.Handler {
	t.Helper()
	d := *ours
	d.Dialect = scim.Strict
	auth, err := scim.StaticTokens(scim.Token{Secret: tokenOf(ours), Directory: &d})
	require.NoError(t, err)
	h, err := scim.NewHandler(store, scim.NoRoles{}, auth, &scim.Config{Types: types})
	require.NoError(t, err)
	return scim.Mount(conversationBase, h, nil)
}

// onStrict runs a test on each kind of store, in the strict dialect.
func onStrict(t *testing.T, test func(t *testing.T, h http.Handler)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, strictHandler(t, open(), nil)) })
	}
}

// onTypes runs a test on each kind of store of a registry, in the strict
// dialect.
func onTypes(t *testing.T, types *scim.Types, test func(t *testing.T, h http.Handler)) {
	t.Helper()
	for name, store := range map[string]scim.Store{"memstore": newManaged(types, nil), "naive": newNaiveStore()} {
		t.Run(name, func(t *testing.T) { test(t, strictHandler(t, store, types)) })
	}
}

// withType returns a registry of the core types and one more.
func withType(t testing.TB, name, endpoint string, s schema.Schema, extensions ...attr.Extension) *scim.Types {
	t.Helper()
	typ, err := attr.NewType(name, endpoint, "", s, extensions...)
	require.NoError(t, err)
	core := scim.CoreTypes().All()
	types, err := scim.NewTypes(core[0].Type, core[1].Type, typ)
	require.NoError(t, err)
	return types
}

// Section 1.3: a base URL has no query, so that clients can append to it.
func TestRFC7644Section1_3BaseURL(t *testing.T) {
	for base, fine := range map[string]bool{"https://example.com": true, "https://example.com/scim/tenancypath/": true, "https://example.com/scim?t=1": false, "https://example.com/scim?": false} {
		_, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, scim.AuthenticatorFunc(nil), &scim.Config{BaseURL: base})
		require.Equal(t, fine, err == nil, "%s: %v", base, err)
	}
}

// Section 3.1: messages have a schema below urn:ietf:params:scim:api: and are
// not discoverable.
func TestRFC7644Section3_1Messages(t *testing.T) {
	const prefix = "urn:ietf:params:scim:api:"
	onWorlds(t, func(t *testing.T, w *world) {
		for _, a := range []*response{w.get(t, "/Users"), w.get(t, "/Schemas"), w.get(t, "/ResourceTypes"), w.get(t, "/Users/nobody"), w.get(t, "/nothing")} {
			schemas := a.doc["schemas"].([]any)
			require.Len(t, schemas, 1)
			require.True(t, strings.HasPrefix(schemas[0].(string), prefix), schemas)
		}
		for _, s := range w.get(t, "/Schemas").resources(t) {
			require.False(t, strings.HasPrefix(s["id"].(string), prefix), s["id"])
		}
		for _, message := range []string{"ListResponse", "SearchRequest", "PatchOp", "BulkRequest", "BulkResponse", "Error"} {
			w.get(t, "/Schemas/"+prefix+"messages:2.0:"+message).refused(t, http.StatusNotFound, "", message)
		}
	})
}

// Section 3.1: an answer is the state as the service provider has it, whatever
// form the client's had.
func TestRFC7644Section3_1AnswersAreTheState(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		a := ask{method: "POST", target: "/Users", body: object("USERNAME", "ada@example.com", "active", "True", "title", nil, "favouriteColour", "red", "emails", []any{})}.do(t, w).must(t, http.StatusCreated)
		require.Equal(t, true, a.doc["active"])
		require.Equal(t, "ada@example.com", a.text("/userName"))
		for _, pointer := range []string{"/USERNAME", "/title", "/favouriteColour", "/emails"} {
			require.False(t, a.has(pointer), pointer)
		}
		require.Equal(t, any(a.doc), any(w.get(t, "/Users/"+a.text("/id")).doc))
	})
}

// Section 3.3: null and an empty array clear; what is left out stays without
// value, since no attribute has a default.
func TestRFC7644Section3_3Unasserted(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		a := ask{method: "POST", target: "/Users", body: `{"userName":"ada@example.com","title":null,"emails":[],"name":{"givenName":null}}`}.do(t, w).must(t, http.StatusCreated)
		for name := range a.doc {
			require.Contains(t, []string{"schemas", "id", "userName", "meta"}, name)
		}
		require.Empty(t, w.filtered(t, "/Users", "active pr"), "section 3.4.2.2: a filter sees what was answered")
		require.Empty(t, w.filtered(t, "/Users", "active eq true or active eq false"))
	})
}

// Section 3.4.2: parameters that nobody knows are ignored, beside ones that
// are known.
func TestRFC7644Section3_4_2UnknownParameters(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ada@example.com", "")
		w.addUser(t, ours, "eve@example.com", "")
		for _, query := range []string{"?x", "?x=1&x=2", "?Filter=userName+eq+%22eve%22", "?sort=userName&limit=1"} {
			require.Len(t, w.get(t, "/Users"+query).ids(t), 2, query)
			require.Equal(t, id, w.get(t, "/Users/"+id+query).must(t, http.StatusOK, query).text("/id"))
		}
		require.Equal(t, []string{id}, w.get(t, "/Users?y=1&filter=userName+sw+%22ada%22&x").ids(t))
	})
}

// Section 3.5.1: an immutable attribute without value takes one, and keeps it.
func TestRFC7644Section3_5_1Immutable(t *testing.T) {
	text := func(name string, m schema.AttributeMutability) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: name, Mutability: m}))
	}
	types := withType(t, "Device", "/Devices", schema.Schema{ID: "urn:example:2.0:Device", Attributes: schema.Attributes{
		text("tag", schema.AttributeMutabilityImmutable()), text("label", schema.AttributeMutabilityReadWrite()), text("state", schema.AttributeMutabilityReadOnly()),
	}})
	onTypes(t, types, func(t *testing.T, h http.Handler) {
		body := func(members string) string { return `{"schemas":["urn:example:2.0:Device"]` + members + `}` }
		path := "/Devices/" + ask{method: "POST", target: "/Devices", body: body(`,"label":"a"`)}.do(t, h).must(t, http.StatusCreated).text("/id")
		put := func(members string) *response {
			return ask{method: "PUT", target: path, body: body(members)}.do(t, h)
		}
		a := put(`,"tag":"T","label":"b","state":"forged"`).must(t, http.StatusOK)
		require.Equal(t, "T", a.text("/tag"), "there was none: the new value is applied")
		require.False(t, a.has("/state"), "readOnly is ignored")
		put(`,"tag":"U","label":"c"`).refused(t, http.StatusBadRequest, scim.Mutability)
		put(`,"tag":"t","label":"c"`).refused(t, http.StatusBadRequest, scim.Mutability, "another case is another value")
		a = put(`,"label":"d"`).must(t, http.StatusOK)
		require.Equal(t, "T", a.text("/tag"), "leaving it out takes nothing away")
		require.Equal(t, "d", a.text("/label"))
		require.Equal(t, "T", put(`,"tag":"T"`).must(t, http.StatusOK).text("/tag"))
	})
}

// Section 3.5.2: what a body of PATCH must have.
func TestRFC7644Section3_5_2Body(t *testing.T) {
	const schemas = `"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]`
	onStrict(t, func(t *testing.T, h http.Handler) {
		a := ask{method: "POST", target: "/Users", body: object("schemas", []string{userURN}, "userName", "ada@example.com")}.do(t, h).must(t, http.StatusCreated)
		path := "/Users/" + a.text("/id")
		for body, scimType := range map[string]scim.ErrorType{
			`{"Operations":[{"op":"add","path":"title","value":"x"}]}`:                             scim.InvalidSyntax,
			`{"schemas":["` + userURN + `"],"Operations":[{"op":"add","path":"title","value":1}]}`: scim.InvalidSyntax,
			`{` + schemas + `}`:                   scim.InvalidSyntax,
			`{` + schemas + `,"Operations":{}}`:   scim.InvalidSyntax,
			`{` + schemas + `,"Operations":[{}]}`: scim.InvalidSyntax,
			`{` + schemas + `,"Operations":[{"op":"add","op":"add","path":"title","value":"x"}]}`: scim.InvalidSyntax,
			`{` + schemas + `,"Operations":[{"op":"move","path":"title","value":"x"}]}`:           scim.InvalidSyntax,
			`{` + schemas + `,"Operations":[{"op":"Add","path":"title","value":"x"}]}`:            scim.InvalidSyntax,
			`{` + schemas + `,"Operations":[{"op":"add","path":"title"}]}`:                        scim.InvalidValue,
			`{` + schemas + `,"Operations":[{"op":"remove"}]}`:                                    scim.NoTarget,
		} {
			ask{method: "PATCH", target: path, body: body}.do(t, h).refused(t, http.StatusBadRequest, scimType, body)
		}
		require.Equal(t, any(a.doc), any(ask{method: "GET", target: path}.do(t, h).doc), "nothing of it has happened")
		ask{method: "PATCH", target: path, body: `{` + schemas + `,"Operations":[{"op":"add","path":"title","value":"x"}]}`}.do(t, h).must(t, http.StatusOK)
	})
}

// Section 3.5.2.1: adding what is there changes nothing, the time of the last
// change included.
func TestRFC7644Section3_5_2_1AddWhatIsThere(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ada@example.com", `,"title":"x","emails":[{"value":"ada@example.com","type":"work"}],"name":{"givenName":"Ada"}`)
		before := w.get(t, "/Users/"+id)
		for path, value := range map[string]string{"title": `"x"`, "emails": `[{"value":"ada@example.com","type":"work"}]`, "name": `{"givenName":"Ada"}`, "name.givenName": `"Ada"`, "": `{"title":"x"}`} {
			a := ask{method: "PATCH", target: "/Users/" + id, body: onePatch("add", path, value)}.do(t, w).must(t, http.StatusOK, path)
			require.Equal(t, any(before.doc), any(a.doc), path)
		}
		require.Equal(t, any(before.doc), any(w.get(t, "/Users/"+id).doc))
	})
}

// Section 3.8: bodies are UTF-8, whatever characters they have.
func TestRFC7644Section3_8UTF8(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		for i, name := range []string{"Zoë", "Ζωή", "Зоя", "צוֹיָה", "زوي", "ゾエ", "佐伊", "조에", "🦉", "e\u0301", "\u200fx"} {
			id := w.addUser(t, ours, fmt.Sprintf("user%d@example.com", i), `,"displayName":`+quoted(name))
			a := w.get(t, "/Users/"+id)
			require.Equal(t, name, a.text("/displayName"))
			require.Contains(t, a.Body.String(), name, "as the characters that they are")
			require.Equal(t, []string{id}, w.filtered(t, "/Users", `displayName eq `+quoted(name)))
		}
		before := w.fingerprint(t)
		for _, wrong := range []string{"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80"} {
			ask{method: "POST", target: "/Users", body: `{"userName":"eve@example.com","displayName":"` + wrong + `"}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidSyntax)
		}
		require.Equal(t, before, w.fingerprint(t))
	})
}

// Section 3.12, tables 8 and 9: each status and scimType where it belongs.
func TestRFC7644Section3_12Table9(t *testing.T) {
	onStrict(t, func(t *testing.T, h http.Handler) {
		user := func(name, email string) string {
			return object("schemas", []string{userURN}, "userName", name, "emails", []any{map[string]string{"value": email}})
		}
		id := ask{method: "POST", target: "/Users", body: user("ada@example.com", "ada@example.com")}.do(t, h).must(t, http.StatusCreated).text("/id")
		other := ask{method: "POST", target: "/Users", body: user("eve@example.com", "eve@example.com")}.do(t, h).must(t, http.StatusCreated).text("/id")
		filter := func(s string) ask { return ask{method: "GET", target: "/Users?filter=" + url.QueryEscape(s)} }
		patch := func(op, path, value string) ask {
			return ask{method: "PATCH", target: "/Users/" + id, body: onePatch(op, path, value)}
		}
		for _, c := range []struct {
			why      string
			ask      ask
			status   int
			scimType scim.ErrorType
		}{
			{"a filter that is none", filter(`userName`), 400, scim.InvalidFilter},
			{"an unknown operator", filter(`userName regex "x"`), 400, scim.InvalidFilter},
			{"an operator that the type does not have", filter(`active gt true`), 400, scim.InvalidFilter},
			{"a filter in a path", patch("replace", `emails[type is "x"]`, `{}`), 400, scim.InvalidFilter},
			{"userName taken, POST", ask{method: "POST", target: "/Users", body: user("ADA@example.com", "new@example.com")}, 409, scim.Uniqueness},
			{"userName taken, PUT", ask{method: "PUT", target: "/Users/" + other, body: user("ada@example.com", "eve@example.com")}, 409, scim.Uniqueness},
			{"userName taken, PATCH", ask{method: "PATCH", target: "/Users/" + other, body: onePatch("replace", "userName", `"ada@example.com"`)}, 409, scim.Uniqueness},
			{"readOnly", patch("replace", "id", `"x"`), 400, scim.Mutability},
			{"required", patch("remove", "userName", ""), 400, scim.Mutability},
			{"no JSON, POST", ask{method: "POST", target: "/Users", body: `{`}, 400, scim.InvalidSyntax},
			{"no JSON, PUT", ask{method: "PUT", target: "/Users/" + id, body: `[]`}, 400, scim.InvalidSyntax},
			{"no JSON, PATCH", ask{method: "PATCH", target: "/Users/" + id, body: ``}, 400, scim.InvalidSyntax},
			{"an unknown attribute", ask{method: "POST", target: "/Users", body: object("schemas", []string{userURN}, "userName", "x@example.com", "colour", "red")}, 400, scim.InvalidSyntax},
			{"a malformed path", patch("replace", "name..x", `"x"`), 400, scim.InvalidPath},
			{"a path to nothing", patch("replace", "colour", `"x"`), 400, scim.InvalidPath},
			{"no value is selected", patch("replace", `emails[type eq "work"].value`, `"x@example.com"`), 400, scim.NoTarget},
			{"remove without path", patch("remove", "", ""), 400, scim.NoTarget},
			{"a required value is missing, POST", ask{method: "POST", target: "/Users", body: object("schemas", []string{userURN})}, 400, scim.InvalidValue},
			{"a required value is missing, PUT", ask{method: "PUT", target: "/Users/" + id, body: object("schemas", []string{userURN})}, 400, scim.InvalidValue},
			{"of another type, POST", ask{method: "POST", target: "/Users", body: object("schemas", []string{userURN}, "userName", true)}, 400, scim.InvalidValue},
			{"of another type, PATCH", patch("replace", "active", `"yes"`), 400, scim.InvalidValue},
			{"a parameter, GET", ask{method: "GET", target: "/Users?startIndex=x"}, 400, scim.InvalidValue},
			{"another version of the protocol", ask{method: "GET", target: "/v1/Users"}, 400, scim.InvalidVers},
			{"no credential", ask{method: "GET", target: "/Users", noToken: true}, 401, ""},
			{"a filter at discovery", ask{method: "GET", target: "/Schemas?filter=id+pr"}, 403, ""},
			{"no such resource", ask{method: "PUT", target: "/Users/nobody", body: user("x@example.com", "x@example.com")}, 404, ""},
			{"no such endpoint", ask{method: "POST", target: "/Widgets", body: `{}`}, 404, ""},
			{"no such method", ask{method: "PUT", target: "/Users", body: `{}`}, 405, ""},
			{"another version of the resource", ask{method: "PUT", target: "/Users/" + id, body: user("ada@example.com", "ada@example.com"), header: map[string]string{"If-Match": `W/"77"`}}, 412, ""},
			{"too large", ask{method: "POST", target: "/Users", body: strings.Repeat(" ", 3<<20)}, 413, ""},
		} {
			a := c.ask.do(t, h).refused(t, c.status, c.scimType, c.why)
			require.Equal(t, []any{errorURN}, a.doc["schemas"], c.why)
			require.Equal(t, fmt.Sprint(c.status), a.doc["status"], "%s: a string", c.why)
			require.NotEmpty(t, a.text("/detail"), c.why)
		}
	})
}

// Section 3.13: a version right before the endpoint is the protocol's. Another
// one than 2 is refused, whatever is asked; none means 2.
func TestRFC7644Section3_13OtherVersions(t *testing.T) {
	w := newWorld(t, stores["memstore"](), nil)
	id := w.addUser(t, ours, "ada@example.com", "")
	before := w.fingerprint(t)
	for _, version := range []string{"v1", "v1.1", "v3", "v20", "v0", "v2.1"} {
		for _, target := range []string{"/Users", "/Users/" + id, "//Users//" + id + "/", "/Users/%61", "/Groups", "/Schemas", "/ServiceProviderConfig", "/ResourceTypes/User"} {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
				a := ask{method: method, target: "/" + version + target, body: object("userName", "eve@example.com")}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidVers, method, version, target)
				require.Contains(t, a.text("/detail"), version)
			}
		}
	}
	require.Equal(t, before, w.fingerprint(t))
	for _, prefix := range []string{"", "/v2", "/v2.0", "/v", "/vienna", "/v2x", "/1", "/v1/tenants/7", "/V1"} {
		require.Equal(t, id, ask{method: "GET", target: prefix + "/Users/" + id}.do(t, w).must(t, http.StatusOK, prefix).text("/id"))
	}
	require.Equal(t, http.StatusOK, ask{method: "GET", target: "/v2/Users"}.do(t, w).Code)

	// What the handler is mounted under is the host's: it is stripped off.
	for _, h := range []http.Handler{scim.Mount("/api/v1", w.scim, nil), http.StripPrefix("/api/v1", w.scim)} {
		r := ask{method: "GET"}.request(t, nil)
		r.RequestURI = "/api/v1/Users/" + id
		r.URL = &url.URL{Path: r.RequestURI}
		a := &response{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(a, r)
		a.must(t, http.StatusOK)
	}
}

// Section 4: at the discovery endpoints the parameters of a query are ignored,
// sensible or not; a filter alone is refused.
func TestRFC7644Section4ParametersAreIgnored(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/Schemas/" + userURN, "/ResourceTypes/User"} {
			whole := w.get(t, path).must(t, http.StatusOK).Body.String()
			for _, query := range []string{"startIndex=2", "count=0", "count=ten", "sortBy=id&sortOrder=up", "attributes=id", "excludedAttributes=name,attributes", "x=y"} {
				require.Equal(t, whole, w.get(t, path+"?"+query).must(t, http.StatusOK, path, query).Body.String(), "%s?%s", path, query)
			}
			w.get(t, path+"?filter=id+pr").refused(t, http.StatusForbidden, "", path)
		}
		for _, path := range []string{"/ResourceTypes", "/Schemas"} {
			a := w.get(t, path)
			require.Equal(t, []any{listURN}, a.doc["schemas"])
			require.Equal(t, fmt.Sprint(len(a.resources(t))), fmt.Sprint(a.doc["totalResults"]))
		}
	})
}

// Sections 5 and 7.8: strings are prepared before they are compared. What is
// stored and answered is what was sent.
func TestRFC7644Section5Prepared(t *testing.T) {
	const composed, decomposed, wide = "zoë@example.com", "ZOE\u0308@example.com", "ｚｏë@example.com"
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, decomposed, `,"emails":[{"value":"zoe@example.com"}],"displayName":"Zoe\u0308 L."`)
		require.Equal(t, decomposed, w.get(t, "/Users/"+id).text("/userName"))
		for i, name := range []string{composed, wide, strings.ToUpper(composed)} {
			body := object("userName", name, "emails", []any{map[string]string{"value": fmt.Sprintf("other%d@example.com", i)}})
			ask{method: "POST", target: "/Users", body: body}.do(t, w).refused(t, http.StatusConflict, scim.Uniqueness, name)
			require.Equal(t, []string{id}, w.filtered(t, "/Users", `userName eq `+quoted(name)))
		}
		for filter, want := range map[string]int{
			`displayName eq "Zoë L."`: 1, `displayName sw "ZOË"`: 1, `displayName ew "ë l."`: 1, `displayName co "OË "`: 1, `displayName sw "zoe"`: 0,
			`displayName ge "Zoë L." and displayName le "Zoë L."`: 1, `displayName ne "Zoë L."`: 0,
		} {
			require.Len(t, w.filtered(t, "/Users", filter), want, filter)
		}
		w.addUser(t, ours, "zoe@example.com", `,"emails":[{"value":"another@example.com"}]`)

		// One address, however it is written (rule A7).
		w.addUser(t, ours, "jose", `,"emails":[{"value":"jos\u00e9@example.com"}]`)
		ask{method: "POST", target: "/Users", body: object("userName", "jose2", "emails", []any{map[string]string{"value": "jose\u0301@example.com"}})}.do(t, w).refused(t, http.StatusConflict, scim.Uniqueness)
	})
}

// Section 7.5.2: the request log has no filters, which hold personal data.
func TestRFC7644Section7_5_2FiltersAreNotLogged(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		w.addUser(t, ours, "ada@example.com", "")
		w.logged()
		for _, query := range []string{`filter=userName+eq+%22ada%40example.com%22`, `filter=userName+is+%22ada%40example.com%22`, `count=ada`} {
			w.get(t, "/Users?"+query)
		}
		entries := w.logged()
		require.Len(t, entries, 3)
		for _, e := range entries {
			require.Equal(t, "/Users", e.Path)
		}
		require.NotContains(t, fmt.Sprintf("%+v", entries[:2]), "ada")
	})
}

// Section 7.4: a token is kept as its hash, compared as a whole, and never
// answered or logged.
func TestRFC7644Section7_4TokensStayUnknown(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		token := tokenOf(ours)
		for _, a := range []*response{w.get(t, "/Users"), w.get(t, "/nothing"), ask{method: "GET", target: "/Users", header: map[string]string{"Authorization": "Bearer " + token + "x"}}.do(t, w)} {
			require.NotContains(t, a.Body.String(), token)
			require.NotContains(t, fmt.Sprint(a.Header()), token)
		}
		entries := w.logged()
		require.NotEmpty(t, entries)
		for _, e := range entries {
			require.NotContains(t, fmt.Sprintf("%+v", e), token)
		}
		require.NotRegexp(t, regexp.QuoteMeta(token), w.fingerprint(t))
	})
}
