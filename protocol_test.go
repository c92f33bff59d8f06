package scim_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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
	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
)

// onWorlds runs a test on each kind of store.
func onWorlds(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, open(), nil)) })
	}
}

func (w *world) get(t testing.TB, target string) *response {
	t.Helper()
	return ask{method: "GET", target: target}.do(t, w)
}

func (w *world) filtered(t testing.TB, endpoint, filter string) []string {
	t.Helper()
	return w.get(t, endpoint+"?filter="+url.QueryEscape(filter)).ids(t)
}

// Section 3.1: requests and answers are application/scim+json, and
// application/json is accepted.
func TestRFC7644Section3_1MediaTypes(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ada@example.com", "")
		for _, accept := range []string{"", "*/*", "application/scim+json", "application/json", "application/json;q=0.5, application/scim+json", "text/html", "application/*; v=2"} {
			a := ask{method: "GET", target: "/Users/" + id, header: map[string]string{"Accept": accept}}.do(t, w).must(t, http.StatusOK, accept)
			require.Equal(t, "application/scim+json", a.Header().Get("Content-Type"))
			require.Equal(t, "no-store", a.Header().Get("Cache-Control"), "answers are about people")
		}
		for _, sent := range []string{"application/scim+json", "application/json", "application/scim+json; charset=utf-8", "application/json;charset=UTF-8", ""} {
			body := onePatch("replace", "title", quoted(sent))
			ask{method: "PATCH", target: "/Users/" + id, body: body, header: map[string]string{"Content-Type": sent}}.do(t, w).must(t, http.StatusOK, sent)
		}
	})
}

// Section 3.2: which methods there are, and where.
func TestRFC7644Section3_2Methods(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		for path, methods := range map[string]map[string]int{
			"/Users":                 {"GET": 200, "PUT": 405, "PATCH": 405, "DELETE": 405},
			"/Groups":                {"GET": 200, "PUT": 405, "PATCH": 405, "DELETE": 405},
			"/Users/" + user:         {"GET": 200, "POST": 405},
			"/Groups/" + group:       {"GET": 200, "POST": 405},
			"/ServiceProviderConfig": {"GET": 200, "POST": 405, "PUT": 405, "PATCH": 405, "DELETE": 405},
			"/ResourceTypes":         {"GET": 200, "POST": 405},
			"/ResourceTypes/User":    {"GET": 200, "PUT": 405},
			"/Schemas":               {"GET": 200, "POST": 405},
			"/Schemas/" + userURN:    {"GET": 200, "DELETE": 405},
			"":                       {"GET": 200, "POST": 405, "PUT": 405, "DELETE": 405},
			"/":                      {"GET": 200, "PATCH": 405},
			"/.search":               {"POST": 200, "GET": 405, "PUT": 405},
			"/Users/.search":         {"POST": 200, "GET": 405, "DELETE": 405},
			"/Groups//.search/":      {"POST": 200, "PATCH": 405},
			"/Nothing/.search":       {"POST": 404, "GET": 404},
			"/Schemas/.search":       {"POST": 405, "GET": 404},
			"/.search/Nothing":       {"POST": 404},
			"/Me":                    {"GET": 501, "POST": 501, "PUT": 501, "PATCH": 501, "DELETE": 501},
			"/Me/x":                  {"GET": 404, "DELETE": 404},
			"/Me/.search":            {"POST": 404},

			"/Users/" + user + "/.search": {"POST": 404},

			"/users":                   {"GET": 404},
			"/Nothing":                 {"GET": 404, "DELETE": 404},
			"/Nothing/" + user:         {"GET": 404},
			"/Users/" + user + "/x":    {"GET": 404, "DELETE": 404},
			"/ServiceProviderConfig/x": {"GET": 404},
		} {
			for method, status := range methods {
				ask{method: method, target: path, body: "{}"}.do(t, w).must(t, status, method, path)
			}
		}
	})
}

// Section 3.3: a created resource is answered whole, with its URL and version.
func TestRFC7644Section3_3Create(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		began := time.Now().Add(-time.Second)
		body := object("schemas", []string{userURN, enterpriseURN}, "userName", "ada@example.com", "externalId", "701984",
			"id", "mine", "meta", map[string]string{"location": "http://evil.example", "version": `W/"77"`}, "groups", []any{map[string]string{"value": "x"}},
			"name", map[string]string{"givenName": "Ada"}, enterpriseURN, map[string]string{"department": "Engines"})
		a := ask{method: "POST", target: "/Users", body: body}.do(t, w).must(t, http.StatusCreated)
		id := a.text("/id")
		require.NotEqual(t, "mine", id, "the id is the service provider's, RFC 7643 section 3.1")
		location := "http://example.com" + conversationBase + "/Users/" + id
		require.Equal(t, location, a.Header().Get("Location"))
		require.Equal(t, location, a.text("/meta/location"))
		require.Equal(t, "User", a.text("/meta/resourceType"))
		require.Equal(t, a.Header().Get("ETag"), a.text("/meta/version"), "section 3.14")
		require.Equal(t, a.text("/meta/created"), a.text("/meta/lastModified"))
		created, err := time.Parse(time.RFC3339, a.text("/meta/created"))
		require.NoError(t, err)
		require.WithinRange(t, created, began, time.Now().Add(time.Second))
		require.Equal(t, "Engines", a.text("/"+enterpriseURN+"/department"))
		require.ElementsMatch(t, []any{userURN, enterpriseURN}, a.doc["schemas"])
		require.False(t, a.has("/groups"), "groups is readOnly: what was sent is ignored")

		got := ask{method: "GET", target: "/Users/" + id}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, a.doc, got.doc, "what was created is what is got")

		twice := ask{method: "POST", target: "/Users", body: strings.Replace(body, "701984", "2", 1)}.do(t, w)
		twice.refused(t, http.StatusConflict, scim.Uniqueness)
		require.Contains(t, twice.text("/detail"), "userName")
		twice = ask{method: "POST", target: "/Users", body: strings.Replace(body, "ada@", "eve@", 1)}.do(t, w)
		twice.refused(t, http.StatusConflict, scim.Uniqueness)
		require.Contains(t, twice.text("/detail"), "externalId")
		ask{method: "POST", target: "/Users", body: `{"userName":"ADA@example.com"}`}.do(t, w).refused(t, http.StatusConflict, scim.Uniqueness, "userName is unique without case")
		ask{method: "POST", target: "/Users", body: `{"displayName":"nobody"}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, "userName is required")
		ask{method: "POST", target: "/Groups", body: `{"externalId":"x"}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, "displayName is required")
	})
}

// Section 3.4.1: a known resource.
func TestRFC7644Section3_4_1Get(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", `,"displayName":"Ada"`)
		group := w.addGroup(t, ours, "team", "", user)
		u := w.get(t, "/Users/"+user).must(t, http.StatusOK)
		base := "http://example.com" + conversationBase
		require.Equal(t, []any{map[string]any{"value": group, "$ref": base + "/Groups/" + group, "display": "team", "type": "direct"}}, u.doc["groups"], "RFC 7643 section 4.1.2")
		g := w.get(t, "/Groups/"+group).must(t, http.StatusOK)
		members := g.doc["members"].([]any)
		require.Len(t, members, 1)
		m := members[0].(map[string]any)
		require.Equal(t, user, m["value"])
		require.Equal(t, "User", m["type"])
		if _, managed := w.store.(scim.MemberStore); managed {
			require.Equal(t, base+"/Users/"+user, m["$ref"])
			require.Equal(t, "Ada", m["display"])
		}
		w.get(t, "/Users/"+group).refused(t, http.StatusNotFound, "", "a group is no user")
		w.get(t, "/Groups/"+user).refused(t, http.StatusNotFound, "")
	})
}

// Section 3.4.2: a list has its total, and Resources also where it is empty.
func TestRFC7644Section3_4_2List(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		empty := w.get(t, "/Users").must(t, http.StatusOK)
		require.Equal(t, []any{listURN}, empty.doc["schemas"])
		require.Equal(t, []any{}, empty.doc["Resources"], "quirk 78: an empty list, never null")
		require.Equal(t, "0", fmt.Sprint(empty.doc["totalResults"]))
		for i := range 5 {
			w.addUser(t, ours, fmt.Sprintf("user%d@example.com", i), "")
		}
		w.addGroup(t, ours, "team", "")
		all := w.get(t, "/Users").must(t, http.StatusOK)
		require.Equal(t, "5 5 1", fmt.Sprintf("%v %v %v", all.doc["totalResults"], all.doc["itemsPerPage"], all.doc["startIndex"]))
		for _, r := range all.resources(t) {
			require.Equal(t, any(w.get(t, "/Users/"+r["id"].(string)).doc), any(r), "a resource in a list is what it is alone")
		}
	})
}

// Section 3.4.2.2: filters. Their grammar has its own tests; here it is what
// the handler gives them to look at.
func TestRFC7644Section3_4_2_2Filter(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		ada := w.addUser(t, ours, "Ada@example.com", `,"externalId":"Ext-1","active":true,"name":{"familyName":"O'Malley"},"emails":[{"value":"ada@example.com","type":"work"},{"value":"a@home.example","type":"home"}],`+
			quoted(enterpriseURN)+`:{"employeeNumber":"7","manager":{"value":"boss"}}`)
		eve := w.addUser(t, ours, "eve@example.com", `,"active":false,"title":"Dr."`)
		team := w.addGroup(t, ours, "Team", "", ada)
		none := w.addGroup(t, ours, "Empty", "")
		version := w.get(t, "/Users/"+ada).Header().Get("ETag")
		for filter, want := range map[string][]string{
			`userName eq "ada@EXAMPLE.com"`:               {ada},
			`externalId eq "Ext-1"`:                       {ada},
			`externalId eq "ext-1"`:                       nil,
			`id eq "` + ada + `"`:                         {ada},
			`name.familyName co "o'm"`:                    {ada},
			`active eq false`:                             {eve},
			`not (active eq true)`:                        {eve},
			`title pr`:                                    {eve},
			`not (title pr)`:                              {ada},
			`emails.type eq "home"`:                       {ada},
			`emails[type eq "work" and value co "@home"]`: nil,
			`emails[type eq "home" and value co "@home"]`: {ada},
			`groups eq "` + team + `"`:                    {ada},
			`groups.value eq "` + team + `"`:              {ada},
			`groups.display eq "team"`:                    {ada},
			`not (groups pr)`:                             {eve},
			`meta.resourceType eq "User"`:                 {ada, eve},
			`meta.created gt "2020-01-01T00:00:00Z"`:      {ada, eve},
			`meta.lastModified lt "2020-01-01T00:00:00Z"`: nil,
			`meta.version eq ` + quoted(version) + ` and id eq "` + ada + `"`: {ada},
			enterpriseURN + `:employeeNumber eq "7"`:                          {ada},
			enterpriseURN + `:manager.value eq "boss"`:                        {ada},
			userURN + `:userName sw "eve"`:                                    {eve},
			`userName sw "a" or userName sw "e"`:                              {ada, eve},
			`schemas eq "` + enterpriseURN + `"`:                              {ada},
		} {
			require.ElementsMatch(t, want, w.filtered(t, "/Users", filter), filter)
		}
		for filter, want := range map[string][]string{
			`displayName eq "team"`:                               {team},
			`members eq "` + ada + `"`:                            {team},
			`members.value eq "` + ada + `"`:                      {team},
			`members[value eq "` + ada + `"]`:                     {team},
			`members[value eq "` + ada + `" and type eq "Group"]`: nil,
			`not (members pr)`:                                    {none},
			`id eq "` + team + `" and members eq "` + eve + `"`:   nil,
			`id eq "` + team + `" and members eq "` + ada + `"`:   {team},
		} {
			require.ElementsMatch(t, want, w.filtered(t, "/Groups", filter), filter)
			require.ElementsMatch(t, want, w.get(t, "/Groups?excludedAttributes=members&filter="+url.QueryEscape(filter)).ids(t), "%s, members not shown", filter)
		}
		require.Equal(t, []string{ada}, w.get(t, "/Users?filter=userName+eq+%22ada%40example.com%22").ids(t), "plus is a space")
	})
}

// Section 3.4.2.3: sorting, by the primary value of what has several.
func TestRFC7644Section3_4_2_3Sort(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		email := func(values ...string) string {
			var list []map[string]any
			for _, v := range values {
				list = append(list, map[string]any{"value": strings.TrimPrefix(v, "*"), "primary": strings.HasPrefix(v, "*")})
			}
			return `,"emails":` + quoted(list)
		}
		c := w.addUser(t, ours, "c@example.com", `,"title":"beta","name":{"familyName":"Ångström"}`+email("z@example.com", "*a@example.com"))
		a := w.addUser(t, ours, "A@example.com", `,"title":"Alpha"`+email("c@example.com", "a2@example.com"))
		b := w.addUser(t, ours, "b@example.com", email("*b@example.com", "a0@example.com"))
		for query, want := range map[string][]string{
			"sortBy=userName":                         {a, b, c},
			"sortBy=userName&sortOrder=ascending":     {a, b, c},
			"sortBy=userName&sortOrder=descending":    {c, b, a},
			"sortBy=USERNAME&sortOrder=Descending":    {c, b, a},
			"sortBy=title":                            {a, c, b},
			"sortBy=title&sortOrder=descending":       {b, c, a},
			"sortBy=emails":                           {c, b, a},
			"sortBy=emails.value":                     {c, b, a},
			"sortBy=emails&sortOrder=descending":      {a, b, c},
			"sortBy=name.familyName":                  {c, a, b},
			"sortBy=id":                               {c, a, b},
			"sortBy=meta.resourceType":                {c, a, b},
			"sortBy=" + userURN + ":userName":         {a, b, c},
			"sortBy=" + enterpriseURN + ":department": {c, a, b},
		} {
			require.Equal(t, want, w.get(t, "/Users?"+query).ids(t), query)
			for i := range want {
				require.Equal(t, want[i:i+1], w.get(t, fmt.Sprintf("/Users?%s&count=1&startIndex=%d", query, i+1)).ids(t), "%s, page by page", query)
			}
		}
		require.Equal(t, []string{a, b, c}, w.get(t, "/Users?sortBy=userName&sortOrder=").ids(t))
		require.Equal(t, []string{b, c}, w.get(t, "/Users?sortBy=userName&filter="+url.QueryEscape(`userName gt "a@example.com"`)).ids(t))
	})
}

// Section 3.4.2.4: pages cover everything once.
func TestRFC7644Section3_4_2_4Paging(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		var all []string
		for i := range 23 {
			all = append(all, w.addUser(t, ours, fmt.Sprintf("user%02d@example.com", i), fmt.Sprintf(`,"active":%t`, i%2 == 0)))
		}
		for _, count := range []int{1, 2, 5, 22, 23, 24, 1000, 5000} {
			for _, more := range []string{"", "&sortBy=userName", "&filter=" + url.QueryEscape(`userName co "user"`)} {
				var seen []string
				for start := 1; ; start += count {
					a := w.get(t, fmt.Sprintf("/Users?count=%d&startIndex=%d%s", count, start, more))
					ids := a.ids(t)
					require.LessOrEqual(t, len(ids), count)
					require.Equal(t, "23", fmt.Sprint(a.doc["totalResults"]))
					require.Equal(t, fmt.Sprint(start), fmt.Sprint(a.doc["startIndex"]))
					if len(ids) == 0 {
						break
					}
					seen = append(seen, ids...)
				}
				require.ElementsMatch(t, all, seen, "pages of %d%s", count, more)
			}
		}
		a := w.get(t, "/Users?count=3&startIndex=2&filter="+url.QueryEscape("active eq true"))
		require.Equal(t, "12 3 2", fmt.Sprintf("%v %v %v", a.doc["totalResults"], a.doc["itemsPerPage"], a.doc["startIndex"]))
		a = w.get(t, "/Users?count=0")
		require.Equal(t, "23 0", fmt.Sprintf("%v %v", a.doc["totalResults"], a.doc["itemsPerPage"]), "the total alone")
		require.Empty(t, w.get(t, "/Users?startIndex=24").ids(t), "beyond the end: an empty page")
	})
	w := newWorld(t, stores["memstore"](), func(cfg *scim.Config) { cfg.Limits.Page, cfg.Limits.DefaultPage = 5, 3 })
	for i := range 9 {
		w.addUser(t, ours, fmt.Sprintf("user%d@example.com", i), "")
	}
	require.Len(t, w.get(t, "/Users").ids(t), 3, "the default page")
	require.Len(t, w.get(t, "/Users?count=100").ids(t), 5, "the longest page")
	require.Equal(t, "5", fmt.Sprint(w.get(t, "/ServiceProviderConfig").doc["filter"].(map[string]any)["maxResults"]))
}

// Section 3.9 (and 3.4.2.5): attributes and excludedAttributes mean the same on
// every verb that answers a resource.
func TestRFC7644Section3_9Attributes(t *testing.T) {
	const extra = `,"externalId":"e","displayName":"Ada","title":"x","password":"hunter2","name":{"givenName":"A","familyName":"L"},` +
		`"emails":[{"value":"ada@example.com","type":"work"}],"` + enterpriseURN + `":{"department":"D","employeeNumber":"7"}`
	always := []string{"id", "schemas"}
	cases := map[string]struct{ want, absent []string }{
		"":                                   {[]string{"/userName", "/name/givenName", "/emails/0/value", "/meta/location", "/" + enterpriseURN + "/department"}, nil},
		"attributes=userName":                {[]string{"/userName"}, []string{"/displayName", "/meta", "/name", "/emails", "/" + enterpriseURN}},
		"attributes=USERNAME,Name.GIVENNAME": {[]string{"/userName", "/name/givenName"}, []string{"/name/familyName", "/displayName"}},
		"attributes=name":                    {[]string{"/name/givenName", "/name/familyName"}, []string{"/userName"}},
		"attributes=emails.value":            {[]string{"/emails/0/value"}, []string{"/emails/0/type"}},
		"attributes=meta.version":            {[]string{"/meta/version"}, []string{"/meta/location", "/userName"}},
		"attributes=" + enterpriseURN + ":department":       {[]string{"/" + enterpriseURN + "/department"}, []string{"/" + enterpriseURN + "/employeeNumber", "/userName"}},
		"attributes=" + userURN + ":userName":               {[]string{"/userName"}, []string{"/displayName"}},
		"attributes=password":                               {nil, []string{"/password", "/userName"}},
		"attributes=nonsense":                               {nil, []string{"/userName", "/nonsense"}},
		"attributes=userName&attributes=title":              {[]string{"/userName", "/title"}, []string{"/displayName"}},
		"excludedAttributes=userName,meta":                  {[]string{"/displayName", "/name/givenName"}, []string{"/userName", "/meta"}},
		"excludedAttributes=name.givenName":                 {[]string{"/name/familyName"}, []string{"/name/givenName"}},
		"excludedAttributes=id,schemas":                     {[]string{"/userName"}, nil},
		"excludedAttributes=" + enterpriseURN:               {[]string{"/userName"}, []string{"/" + enterpriseURN}},
		"excludedAttributes=emails.type":                    {[]string{"/emails/0/value"}, []string{"/emails/0/type"}},
		"excludedAttributes=meta.location":                  {[]string{"/meta/version"}, []string{"/meta/location"}},
		"attributes=name&excludedAttributes=name.givenName": {[]string{"/name/familyName"}, []string{"/name/givenName", "/userName"}},
	}
	onWorlds(t, func(t *testing.T, w *world) {
		n := 0
		for query, c := range cases {
			check := func(verb string, doc map[string]any) {
				for _, pointer := range c.want {
					require.NotEqual(t, absent, resolve(doc, pointer), "%s?%s has no %s: %v", verb, query, pointer, doc)
				}
				for _, pointer := range append(slices.Clone(c.absent), "/password") {
					require.Equal(t, absent, resolve(doc, pointer), "%s?%s has %s", verb, query, pointer)
				}
				for _, name := range always {
					require.Contains(t, doc, name, "%s?%s", verb, query)
				}
			}
			n++
			userName := fmt.Sprintf("user%d@example.com", n)
			body := `{"userName":"` + userName + `"` + strings.NewReplacer(`"e"`, quoted(userName), `"ada@example.com"`, quoted(userName)).Replace(extra) + `}`
			created := ask{method: "POST", target: "/Users?" + query, body: body}.do(t, w).must(t, http.StatusCreated)
			check("POST", created.doc)
			require.NotEmpty(t, created.Header().Get("Location"))
			path := "/Users/" + created.text("/id") + "?" + query
			check("GET", w.get(t, path).must(t, http.StatusOK).doc)
			check("PUT", ask{method: "PUT", target: path, body: strings.Replace(body, `"title":"x"`, `"title":"y"`, 1)}.do(t, w).must(t, http.StatusOK).doc)
			check("PATCH", ask{method: "PATCH", target: path, body: onePatch("replace", "title", `"z"`)}.do(t, w).must(t, http.StatusOK).doc)
			for _, listed := range w.get(t, "/Users?"+query).resources(t) {
				if listed["id"] == created.text("/id") {
					check("list", listed)
				}
			}
		}
	})
}

// Section 3.9 for groups: members on demand, and the shape of their values.
func TestRFC7644Section3_9Members(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		for query, want := range map[string]string{
			"excludedAttributes=members": "", "attributes=displayName": "", "attributes=members.value": `[{"value":"` + user + `"}]`,
		} {
			for _, a := range []map[string]any{w.get(t, "/Groups/"+group+"?"+query).doc, w.get(t, "/Groups?"+query).resources(t)[0]} {
				if want == "" {
					require.NotContains(t, a, "members", query)
					continue
				}
				require.JSONEq(t, want, quoted(a["members"]), query)
			}
		}
		name := 0
		patch := func(query string) *response {
			name++
			return ask{method: "PATCH", target: "/Groups/" + group + query, body: onePatch("replace", "displayName", quoted(fmt.Sprint("team ", name)))}.do(t, w)
		}
		a := patch("").must(t, http.StatusOK)
		require.NotContains(t, a.doc, "members", "nobody wants all members back for a new name")
		require.Contains(t, a.doc, "displayName")
		a = patch("?excludedAttributes=displayName").must(t, http.StatusOK)
		require.NotContains(t, a.doc, "members")
		require.NotContains(t, a.doc, "displayName", "excludedAttributes is honoured here too")
		require.Contains(t, a.doc, "meta")
		a = patch("?attributes=members,displayName").must(t, http.StatusOK)
		require.Contains(t, a.doc, "members", "unless it was asked for")
		put := ask{method: "PUT", target: "/Groups/" + group + "?excludedAttributes=members", body: `{"displayName":"t","members":[{"value":"` + user + `"}]}`}.do(t, w).must(t, http.StatusOK)
		require.NotContains(t, put.doc, "members")
	})
}

// Section 3.5.1: PUT replaces what the client can write.
func TestRFC7644Section3_5_1Put(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", `,"active":false,"title":"x","displayName":"Ada","emails":[{"value":"ada@example.com"}],"`+enterpriseURN+`":{"department":"D"}`)
		group := w.addGroup(t, ours, "team", "", user)
		before := w.get(t, "/Users/"+user)
		a := ask{method: "PUT", target: "/Users/" + user, body: object("userName", "ada@example.com", "displayName", "Ada L", "id", "other",
			"groups", []any{map[string]string{"value": "x"}}, "meta", map[string]string{"created": "1999-01-01T00:00:00Z", "version": `W/"99"`, "location": "http://x"})}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, user, a.text("/id"), "readOnly: ignored")
		require.Equal(t, before.text("/meta/created"), a.text("/meta/created"))
		require.NotEqual(t, before.Header().Get("ETag"), a.Header().Get("ETag"))
		require.Equal(t, before.text("/meta/location"), a.text("/meta/location"))
		require.Equal(t, "Ada L", a.text("/displayName"))
		require.False(t, a.has("/title"), "what is left out is cleared")
		require.False(t, a.has("/"+enterpriseURN))
		require.Equal(t, []any{userURN}, a.doc["schemas"])
		require.Equal(t, false, a.doc["active"], "active is kept: leaving it out is no statement (quirk 96)")
		require.Equal(t, []string{group}, values(a.doc["groups"]), "groups are readOnly: memberships are the group's (quirk 72)")
		require.Equal(t, any(a.doc), any(w.get(t, "/Users/"+user).doc))

		same := ask{method: "PUT", target: "/Users/" + user, body: object("displayName", "Ada L", "userName", "ada@example.com", "active", false)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, a.Header().Get("ETag"), same.Header().Get("ETag"), "rule D4: nothing has changed")
		require.Equal(t, a.text("/meta/lastModified"), same.text("/meta/lastModified"))

		ask{method: "PUT", target: "/Users/nobody", body: object("userName", "new@example.com")}.do(t, w).refused(t, http.StatusNotFound, "", "PUT does not create")
		ask{method: "PUT", target: "/Users/" + user, body: object("displayName", "x")}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, "userName is required")
		other := w.addUser(t, ours, "eve@example.com", "")
		ask{method: "PUT", target: "/Users/" + other, body: object("userName", "ada@example.com", "emails", []any{map[string]string{"value": "eve@example.com"}})}.do(t, w).refused(t, http.StatusConflict, scim.Uniqueness)

		g := ask{method: "PUT", target: "/Groups/" + group, body: object("displayName", "team", "members", []any{map[string]string{"value": other}})}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, []string{other}, values(g.doc["members"]))
		g = ask{method: "PUT", target: "/Groups/" + group, body: object("displayName", "team")}.do(t, w).must(t, http.StatusOK)
		require.False(t, g.has("/members"), "what is left out is cleared")
	})
}

// Section 3.5.2: PATCH answers 200 with the resource, or 204 where it was about
// members alone, and is all or nothing.
func TestRFC7644Section3_5_2Patch(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", `,"title":"x"`)
		group := w.addGroup(t, ours, "team", "")
		a := ask{method: "PATCH", target: "/Users/" + user, body: onePatch("replace", "title", `"y"`)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, "y", a.text("/title"))
		require.Equal(t, a.text("/meta/version"), a.Header().Get("ETag"))
		require.Equal(t, any(a.doc), any(w.get(t, "/Users/"+user).doc))

		same := ask{method: "PATCH", target: "/Users/" + user, body: onePatch("replace", "title", `"y"`)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, a.Header().Get("ETag"), same.Header().Get("ETag"), "rule D4")

		was := w.get(t, "/Groups/"+group).Header().Get("ETag")
		members := ask{method: "PATCH", target: "/Groups/" + group, body: onePatch("add", "members", `[{"value":"`+user+`"}]`)}.do(t, w).must(t, http.StatusNoContent)
		now := w.get(t, "/Groups/"+group).Header().Get("ETag")
		require.Equal(t, now, members.Header().Get("ETag"))
		require.NotEqual(t, was, now, "a group's version changes with its members (rule E3a)")
		again := ask{method: "PATCH", target: "/Groups/" + group, body: onePatch("add", "members", `[{"value":"`+user+`"}]`)}.do(t, w).must(t, http.StatusNoContent)
		require.Equal(t, now, again.Header().Get("ETag"), "rule D4")
		asked := ask{method: "PATCH", target: "/Groups/" + group + "?attributes=displayName", body: onePatch("add", "members", `[{"value":"`+user+`"}]`)}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, "team", asked.text("/displayName"), "rule E3a: PATCH with attributes answers 200")
		require.Equal(t, a.Header().Get("ETag"), w.get(t, "/Users/"+user).Header().Get("ETag"), "a user's version does not change with its groups (rule E3a)")

		half := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"z"},{"op":"remove","path":"userName"}]}`
		before := w.fingerprint(t)
		require.Equal(t, http.StatusBadRequest, ask{method: "PATCH", target: "/Users/" + user, body: half}.do(t, w).Code)
		require.Equal(t, before, w.fingerprint(t), "atomic")
		ask{method: "PATCH", target: "/Users/nobody", body: onePatch("replace", "title", `"y"`)}.do(t, w).refused(t, http.StatusNotFound, "")
		for path, want := range map[string]scim.ErrorType{"id": scim.Mutability, "meta.version": scim.Mutability, "groups": scim.Mutability} {
			a := ask{method: "PATCH", target: "/Users/" + user, body: onePatch("replace", path, `"x"`)}.do(t, w)
			if a.Code != http.StatusOK { // readOnly in a value may be tolerated; it must not be changed
				a.refused(t, http.StatusBadRequest, want, path)
			}
			require.Equal(t, user, w.get(t, "/Users/"+user).text("/id"))
		}
	})
}

// Section 3.6: what is deleted is gone, from groups and lists too.
func TestRFC7644Section3_6Delete(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		a := ask{method: "DELETE", target: "/Users/" + user}.do(t, w).must(t, http.StatusNoContent)
		require.Zero(t, a.Body.Len())
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			body := map[string]string{"PUT": object("userName", "ada@example.com"), "PATCH": onePatch("replace", "title", `"x"`)}[method]
			ask{method: method, target: "/Users/" + user, body: body}.do(t, w).refused(t, http.StatusNotFound, "", method)
		}
		require.Empty(t, w.get(t, "/Users").ids(t))
		require.Empty(t, w.filtered(t, "/Users", `userName eq "ada@example.com"`))
		require.False(t, w.get(t, "/Groups/"+group).has("/members"))
		require.Empty(t, w.filtered(t, "/Groups", `members eq "`+user+`"`))
		again := w.addUser(t, ours, "ada@example.com", "")
		require.NotEqual(t, user, again, "rule B4: a new id")

		w.addGroup(t, ours, "other", "", again)
		ask{method: "DELETE", target: "/Groups/" + group}.do(t, w).must(t, http.StatusNoContent)
		w.get(t, "/Groups/"+group).refused(t, http.StatusNotFound, "")
		require.Len(t, w.get(t, "/Users/"+again).doc["groups"], 1)
		w.consistent(t, ours)
	})
}

// Section 3.12: errors in the one form, for 401, 403, 404, 405 and 413 too.
func TestRFC7644Section3_12Errors(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			ask    ask
			status int
		}{
			{ask{method: "GET", target: "/Users", noToken: true}, 401},
			{ask{method: "GET", target: "/Schemas?filter=id+pr"}, 403},
			{ask{method: "GET", target: "/nothing"}, 404},
			{ask{method: "PATCH", target: "/Users"}, 405},
			{ask{method: "POST", target: "/Users", body: strings.Repeat(" ", 3<<20)}, 413},
			{ask{method: "POST", target: "/Users", body: "{"}, 400},
		} {
			a := c.ask.do(t, w).must(t, c.status)
			require.Equal(t, []any{errorURN}, a.doc["schemas"])
			require.Equal(t, fmt.Sprint(c.status), a.doc["status"], "a string")
			require.NotEmpty(t, a.doc["detail"])
			require.Equal(t, fmt.Sprint(a.Body.Len()), a.Header().Get("Content-Length"))
		}
	})
}

// Rule B9: a directory that is switched off answers 403 on everything.
func TestB9Disabled(t *testing.T) {
	off := *ours
	off.Disabled = true
	store := newNaiveStore()
	w := newWorld(t, store, nil)
	user := w.addUser(t, ours, "ada@example.com", "")
	auth, err := scim.StaticTokens(scim.Token{Secret: tokenOf(ours), Directory: &off})
	require.NoError(t, err)
	h, err := scim.NewHandler(store, scim.NoRoles{}, auth, nil)
	require.NoError(t, err)
	before := w.fingerprint(t)
	for _, target := range []string{"/Users", "/Users/" + user, "/Groups", "/Schemas", "/ServiceProviderConfig", "/nothing", "/"} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"} {
			ask{method: method, target: target, body: object("userName", "x@example.com")}.do(t, scim.Mount(conversationBase, h, nil)).refused(t, http.StatusForbidden, "", method, target)
		}
	}
	require.Equal(t, before, w.fingerprint(t))
}

// Section 3.13: a version of the protocol in the path is the mount point's.
func TestRFC7644Section3_13VersionInPath(t *testing.T) {
	w := newWorld(t, stores["memstore"](), nil)
	id := w.addUser(t, ours, "ada@example.com", "")
	for _, prefix := range []string{"/scim/v2", "/v2", "/scim/v1", "/a/b/c"} {
		h := scim.Mount(prefix, w.scim, nil)
		r := ask{method: "GET", target: ""}.request(t, nil)
		r.RequestURI = prefix + "/Users/" + id
		r.URL = &url.URL{Path: r.RequestURI}
		a := &response{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(a.ResponseRecorder, r)
		require.Equal(t, http.StatusOK, a.Code)
		require.NoError(t, json.Unmarshal(a.Body.Bytes(), &a.doc))
		require.Equal(t, "http://example.com"+prefix+"/Users/"+id, a.text("/meta/location"))
	}
}

// Section 3.14: versions guard changes and save answers.
func TestRFC7644Section3_14Versions(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		for endpoint, id := range map[string]string{"/Users/": user, "/Groups/": group} {
			path := endpoint + id
			tag := w.get(t, path).Header().Get("ETag")
			require.Regexp(t, `^W/"[^"]+"$`, tag, "weak: a projection has the same version")
			opaque := strings.TrimPrefix(tag, "W/")
			n := 0
			change := func(method, match string) *response {
				n++
				body := map[string]string{
					"PUT /Users/": object("userName", "ada@example.com", "title", fmt.Sprint(n)), "PATCH /Users/": onePatch("replace", "title", quoted(fmt.Sprint(n))),
					"PUT /Groups/": object("displayName", fmt.Sprint("team", n)), "PATCH /Groups/": onePatch("replace", "displayName", quoted(fmt.Sprint("team", n))),
				}[method+" "+endpoint]
				return ask{method: method, target: path, body: body, header: map[string]string{"If-Match": match}}.do(t, w)
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE"} {
				for _, stale := range []string{`W/"0"`, `"0"`, `W/"99999"`, `W/"0", W/"99999"`, strings.ReplaceAll(opaque, `"`, ""), "nonsense"} {
					change(method, stale).refused(t, http.StatusPreconditionFailed, "", method, stale)
				}
			}
			require.Equal(t, tag, w.get(t, path).Header().Get("ETag"), "nothing has changed")
			for _, match := range []func(tag string) string{
				func(tag string) string { return tag }, func(tag string) string { return strings.TrimPrefix(tag, "W/") },
				func(string) string { return "*" }, func(tag string) string { return `W/"0", ` + tag }, func(tag string) string { return `"x",` + tag + `,"y"` },
			} {
				for _, method := range []string{"PUT", "PATCH"} {
					tag = w.get(t, path).Header().Get("ETag")
					a := change(method, match(tag)).must(t, http.StatusOK, method, match(tag))
					require.NotEqual(t, tag, a.Header().Get("ETag"))
				}
			}
			tag = w.get(t, path).Header().Get("ETag")
			lines := ask{method: "PATCH", target: path, body: onePatch("replace", map[string]string{"/Users/": "title", "/Groups/": "displayName"}[endpoint], `"lines"`)}.request(t, nil)
			lines.Header["If-Match"] = []string{`W/"0"`, tag}
			require.Equal(t, http.StatusOK, serve(t, w, lines).Code, "several lines of If-Match are one list, RFC 9110 section 5.3")

			tag = w.get(t, path).Header().Get("ETag")
			// A user's groups are not covered by its version (rule E3a).
			unread := path + "?excludedAttributes=groups"
			for _, have := range []string{tag, strings.TrimPrefix(tag, "W/"), "*", `W/"0", ` + tag} {
				a := ask{method: "GET", target: unread, header: map[string]string{"If-None-Match": have}}.do(t, w).must(t, http.StatusNotModified, have)
				require.Equal(t, tag, a.Header().Get("ETag"))
				require.Zero(t, a.Body.Len())
			}
			ask{method: "GET", target: unread, header: map[string]string{"If-None-Match": `W/"0"`}}.do(t, w).must(t, http.StatusOK)
			whole := ask{method: "GET", target: path, header: map[string]string{"If-None-Match": tag}}.do(t, w)
			whole.must(t, map[string]int{"/Users/": 200, "/Groups/": 304}[endpoint])
			change("DELETE", tag).must(t, http.StatusNoContent)
			change("DELETE", tag).refused(t, http.StatusNotFound, "")
		}
	})
}

// Section 4: discovery is derived from what is wired.
func TestRFC7644Section4Discovery(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		base := "http://example.com" + conversationBase
		c := w.get(t, "/ServiceProviderConfig").must(t, http.StatusOK)
		require.Equal(t, []any{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"}, c.doc["schemas"])
		for name, want := range map[string]bool{"patch": true, "bulk": true, "filter": true, "changePassword": false, "sort": true, "etag": true} {
			require.Equal(t, want, resolve(c.doc, "/"+name+"/supported"), name)
		}
		for _, number := range []string{"/bulk/maxOperations", "/bulk/maxPayloadSize", "/filter/maxResults"} {
			require.True(t, c.has(number), "RFC 7643 section 5 requires %s", number)
		}
		require.NotEmpty(t, c.doc["authenticationSchemes"])
		require.Equal(t, base+"/ServiceProviderConfig", c.text("/meta/location"))

		types := w.get(t, "/ResourceTypes").resources(t)
		require.Len(t, types, len(scim.CoreTypes().All()))
		for _, typ := range types {
			name := typ["name"].(string)
			alone := w.get(t, "/ResourceTypes/"+name).must(t, http.StatusOK)
			require.Equal(t, any(typ), any(alone.doc))
			require.Equal(t, base+"/ResourceTypes/"+name, alone.text("/meta/location"))
			require.Equal(t, "ResourceType", alone.text("/meta/resourceType"))
			w.get(t, alone.text("/endpoint")).must(t, http.StatusOK, "an endpoint that is named is there")
			w.get(t, "/Schemas/"+alone.text("/schema")).must(t, http.StatusOK, "a schema that is named is there")
			if extensions, ok := typ["schemaExtensions"].([]any); ok {
				for _, x := range extensions {
					w.get(t, "/Schemas/"+x.(map[string]any)["schema"].(string)).must(t, http.StatusOK)
				}
			}
		}
		all := w.get(t, "/Schemas").resources(t)
		var ids []string
		for _, s := range all {
			id := s["id"].(string)
			ids = append(ids, id)
			alone := w.get(t, "/Schemas/"+id).must(t, http.StatusOK)
			require.Equal(t, any(s), any(alone.doc))
			require.Equal(t, base+"/Schemas/"+id, alone.text("/meta/location"))
			checkAttributes(t, id, s["attributes"].([]any))
		}
		require.ElementsMatch(t, []string{userURN, groupURN, enterpriseURN}, ids)
		for _, path := range []string{"/ResourceTypes/Nothing", "/Schemas/urn:nothing"} {
			w.get(t, path).refused(t, http.StatusNotFound, "")
		}
		for _, path := range []string{"/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/Schemas/" + userURN, "/ResourceTypes/User"} {
			w.get(t, path+"?filter="+url.QueryEscape(`id eq "x"`)).refused(t, http.StatusForbidden, "", "section 4: filters are refused")
			w.get(t, path+"?startIndex=2&count=1&sortBy=id&attributes=id").must(t, http.StatusOK, "other parameters are ignored")
			ask{method: "GET", target: path, noToken: true}.do(t, w).must(t, http.StatusUnauthorized, "nothing is served unauthenticated")
		}
	})
}

// checkAttributes requires what RFC 7643 section 7 requires of attributes.
func checkAttributes(t *testing.T, schema string, attributes []any) {
	t.Helper()
	require.NotEmpty(t, attributes, schema)
	for _, a := range attributes {
		a := a.(map[string]any)
		what := fmt.Sprint(schema, " ", a["name"])
		require.Contains(t, []any{"string", "boolean", "decimal", "integer", "dateTime", "reference", "complex", "binary"}, a["type"], what)
		require.Contains(t, []any{"readOnly", "readWrite", "immutable", "writeOnly"}, a["mutability"], what)
		require.Contains(t, []any{"always", "never", "default", "request"}, a["returned"], what)
		require.Contains(t, []any{"none", "server", "global"}, a["uniqueness"], what)
		for _, flag := range []string{"multiValued", "required", "caseExact"} {
			require.IsType(t, true, a[flag], what)
		}
		if subs, ok := a["subAttributes"].([]any); ok {
			require.Equal(t, "complex", a["type"], what)
			checkAttributes(t, what, subs)
		}
		if a["name"] == "password" {
			require.Equal(t, "never", a["returned"])
		}
	}
}

// RFC 7643 section 7: "returned":"never" is never returned, however it came and
// whatever is asked.
func TestRFC7643Section7ReturnedNever(t *testing.T) {
	const word = "correct-horse-battery"
	onWorlds(t, func(t *testing.T, w *world) {
		body := object("userName", "ada@example.com", "password", word)
		a := ask{method: "POST", target: "/Users?attributes=password,userName", body: body}.do(t, w).must(t, http.StatusCreated)
		path := "/Users/" + a.text("/id")
		answers := []*response{
			a,
			w.get(t, path), w.get(t, path+"?attributes=password"), w.get(t, "/Users?attributes=password"), w.get(t, "/Users"),
			ask{method: "PUT", target: path + "?attributes=password", body: body}.do(t, w),
			ask{method: "PATCH", target: path + "?attributes=password", body: onePatch("replace", "password", quoted(word))}.do(t, w),
			ask{method: "PATCH", target: path, body: onePatch("add", "", object("password", word, "title", "x"))}.do(t, w),
			w.get(t, "/Users?filter="+url.QueryEscape(`password eq "`+word+`"`)), w.get(t, "/Users?sortBy=password"),
			ask{method: "POST", target: "/Users", body: body}.do(t, w),
			ask{method: "PATCH", target: path, body: onePatch("replace", "password", `{"value":"`+word+`"}`)}.do(t, w),
		}
		for i, a := range answers {
			require.NotContains(t, a.Body.String(), word, "answer %d", i)
			require.NotContains(t, fmt.Sprint(a.Header()), word)
		}
		require.NotContains(t, w.fingerprint(t), word, "it is not kept either")
		for _, e := range w.logged() {
			require.NotContains(t, fmt.Sprintf("%+v", e), word)
		}
		for _, told := range w.app.drain() {
			require.NotContains(t, told.User.JSON(), word)
		}
		require.Less(t, answers[8].Code, 500)
		require.GreaterOrEqual(t, answers[8].Code, 400, "a filter would tell it bit by bit (rule E3)")
	})
}

// RFC 6750 section 2.1: the token, with the scheme in any case, and bare where
// the dialect allows it (quirk 115).
func TestAuthorization(t *testing.T) {
	for _, dialect := range []scim.Dialect{scim.Auto, scim.Strict, scim.Okta, scim.Entra} {
		d := *ours
		d.Dialect = dialect
		auth, err := scim.StaticTokens(scim.Token{Secret: "s3cret-0123456789abcdef", Directory: &d})
		require.NoError(t, err)
		var fired []string
		h, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, auth, &scim.Config{OnRequest: func(_ context.Context, e *scim.LogEntry) { fired = e.Fired.Names() }})
		require.NoError(t, err)
		bare := map[scim.Dialect]int{scim.Auto: 200, scim.Okta: 200, scim.Strict: 401, scim.Entra: 401}[dialect]
		for header, want := range map[string]int{
			"Bearer s3cret-0123456789abcdef": 200, "bearer s3cret-0123456789abcdef": 200, "BEARER s3cret-0123456789abcdef": 200, "bEaReR  s3cret-0123456789abcdef": 200, " Bearer s3cret-0123456789abcdef ": 200,
			"s3cret-0123456789abcdef": bare, " s3cret-0123456789abcdef ": bare, "Bearer s3cret-0123456789abcdef x": 401, "Bearers3cret-0123456789abcdef": 401, "Basic s3cret-0123456789abcdef": 401, "Bearer S3CRET-0123456789ABCDEF": 401, "": 401, "Bearer": 401,
		} {
			fired = nil
			a := ask{method: "GET", target: "/Users", noToken: true, header: map[string]string{"Authorization": header}}.do(t, scim.Mount(conversationBase, h, nil))
			a.must(t, want, dialect, header)
			if want == 200 {
				require.Equal(t, !strings.Contains(strings.ToLower(header), "bearer"), len(fired) > 0, "the log says when the scheme was missing")
			} else {
				require.Equal(t, "Bearer", a.Header().Get("WWW-Authenticate"))
			}
		}
	}
}

// TestMount reaches the handler through every kind of router: absolute URLs
// come out as the client knows them, trailing and double slashes mean nothing.
func TestMount(t *testing.T) {
	w := newWorld(t, stores["memstore"](), nil)
	id := w.addUser(t, ours, "ada@example.com", "")
	mux := func(pattern string, h http.Handler) http.Handler {
		m := http.NewServeMux()
		m.Handle(pattern, h)
		return m
	}
	fallback := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for name, c := range map[string]struct {
		h      http.Handler
		prefix string
		exact  bool // the router itself redirects double slashes
	}{
		"alone":                      {w.scim, "", false},
		"Mount":                      {scim.Mount("/scim/v2", w.scim, fallback), "/scim/v2", false},
		"Mount with a slash":         {scim.Mount("/scim/v2/", w.scim, fallback), "/scim/v2", false},
		"Mount without a slash":      {scim.Mount("scim", w.scim, nil), "/scim", false},
		"Mount at the root":          {scim.Mount("/", w.scim, nil), "", false},
		"Mount with a wildcard":      {scim.Mount("/t/{tenant}/scim", w.scim, fallback), "/t/acme/scim", false},
		"Mount, escaped tenant":      {scim.Mount("/t/{tenant}/scim", w.scim, fallback), "/t/a%20b/scim", false},
		"Mount within Mount":         {scim.Mount("/a", scim.Mount("/b", w.scim, nil), fallback), "/a/b", false},
		"StripPrefix":                {http.StripPrefix("/scim", w.scim), "/scim", false},
		"StripPrefix in a mux":       {mux("/scim/", http.StripPrefix("/scim", w.scim)), "/scim", true},
		"mux without StripPrefix":    {mux("/scim/v2/", w.scim), "/scim/v2", true},
		"mux with a wildcard":        {mux("/{tenant}/scim/", w.scim), "/acme/scim", true},
		"router that does not strip": {w.scim, "/api/tenants/7/scim", false},
		"StripPrefix around Mount":   {http.StripPrefix("/x", scim.Mount("/y", w.scim, nil)), "/x/y", false},
	} {
		t.Run(name, func(t *testing.T) {
			get := func(path string) *response {
				r := ask{method: "GET"}.request(t, nil)
				r.RequestURI = path
				u, err := url.ParseRequestURI(path)
				require.NoError(t, err)
				r.URL = u
				a := &response{ResponseRecorder: httptest.NewRecorder()}
				c.h.ServeHTTP(a.ResponseRecorder, r)
				if a.Code != http.StatusTeapot {
					require.NoError(t, json.Unmarshal(a.Body.Bytes(), &a.doc), "%s: %s", path, a.Body)
				}
				return a
			}
			location := "http://example.com" + c.prefix + "/Users/" + id
			paths := []string{"/Users/" + id, "/Users/" + id + "?", "/Users/" + id + "?&", "/Users/" + strings.ReplaceAll(id, "-", "%2d"), "/Users/" + id + "/"}
			if !c.exact {
				paths = append(paths, "//Users/"+id, "/Users//"+id+"//", "///Users///"+id)
			}
			for _, path := range paths {
				a := get(c.prefix + path)
				require.Equal(t, http.StatusOK, a.Code, "%s: %s", path, a.Body)
				require.Equal(t, location, a.text("/meta/location"), path)
			}
			require.Equal(t, http.StatusOK, get(c.prefix+"/Users").Code)
			require.Equal(t, http.StatusOK, get(c.prefix+"/Users/").Code)
			require.Equal(t, http.StatusNotFound, get(c.prefix+"/Nothing").Code)
			require.Equal(t, "http://example.com"+c.prefix+"/Schemas/"+userURN, get(c.prefix+"/Schemas/"+userURN).text("/meta/location"))
		})
	}
	for path, want := range map[string]int{
		"/scim/v2/Users": 200, "/scim/v2": 200, "/scim/v2/": 200, "//scim//v2//": 200, "//scim//v2//Users": 200, "/scim/v2x/Users": 418, "/scim/v/2/Users": 418, "/Users": 418, "/": 418, "/scim": 418,
	} {
		r := ask{method: "GET"}.request(t, nil)
		r.URL, r.RequestURI = &url.URL{Path: path}, path
		rec := httptest.NewRecorder()
		scim.Mount("/scim/v2", w.scim, fallback).ServeHTTP(rec, r)
		require.Equal(t, want, rec.Code, path)
	}
	rec := httptest.NewRecorder()
	scim.Mount("/scim/v2", w.scim, nil).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/other", nil))
	require.Equal(t, http.StatusNotFound, rec.Code, "what is not ours is a 404 where there is no next")
}

// TestMountKeepsTheRequest: middleware around sees the request that it had.
func TestMountKeepsTheRequest(t *testing.T) {
	w := newWorld(t, newNaiveStore(), nil)
	r := ask{method: "GET", target: "/Users/a%2Fb"}.request(t, nil)
	serve(t, w, r)
	require.Equal(t, conversationBase+"/Users/a/b", r.URL.Path)
	require.Equal(t, conversationBase+"/Users/a%2Fb", r.URL.RawPath)
}

// TestBaseURL: absolute URLs from the request, or from the configuration.
func TestBaseURL(t *testing.T) {
	w := newWorld(t, stores["memstore"](), nil)
	id := w.addUser(t, ours, "ada@example.com", "")
	secure := ask{method: "GET", target: "/Users/" + id, header: map[string]string{"Host": "scim.example:8443"}}.request(t, nil)
	secure.TLS = &tls.ConnectionState{}
	require.Equal(t, "https://scim.example:8443"+conversationBase+"/Users/"+id, serve(t, w, secure).text("/meta/location"))
	forwarded := ask{method: "GET", target: "/Users/" + id, header: map[string]string{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"}}.do(t, w)
	require.Equal(t, "http://example.com"+conversationBase+"/Users/"+id, forwarded.text("/meta/location"), "what anybody can send is not believed")
	absolute := ask{method: "GET", target: "/Users/" + id}.request(t, nil)
	absolute.RequestURI = "http://example.com" + conversationBase + "/Users/" + id + "?x"
	require.Equal(t, "http://example.com"+conversationBase+"/Users/"+id, serve(t, w, absolute).text("/meta/location"), "the absolute form, RFC 9112 section 3.2.2")

	for _, configured := range []string{"https://api.example.com/scim/v2", "https://api.example.com/scim/v2/"} {
		w := newWorld(t, stores["memstore"](), func(cfg *scim.Config) { cfg.BaseURL = configured })
		a := ask{method: "POST", target: "/Users", body: object("userName", "ada@example.com"), header: map[string]string{"Host": "inner:1234"}}.do(t, w).must(t, http.StatusCreated)
		want := "https://api.example.com/scim/v2/Users/" + a.text("/id")
		require.Equal(t, want, a.Header().Get("Location"))
		require.Equal(t, want, a.text("/meta/location"))
		group := w.addGroup(t, ours, "team", "", a.text("/id"))
		require.Equal(t, "https://api.example.com/scim/v2/Groups/"+group, w.get(t, "/Users/"+a.text("/id")).text("/groups/0/$ref"))
		require.Equal(t, want, w.get(t, "/Groups/"+group).text("/members/0/$ref"))
	}
	for _, wrong := range []string{"api.example.com", "/scim", "ftp://x", "https://x/?q", "https://x/#f", "https://", "::"} {
		_, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, scim.AuthenticatorFunc(nil), &scim.Config{BaseURL: wrong})
		require.Error(t, err, wrong)
	}
}

// TestRoutes: each route that is listed is served, and its method is in Allow.
func TestRoutes(t *testing.T) {
	w := newWorld(t, stores["memstore"](), nil)
	user := w.addUser(t, ours, "ada@example.com", "")
	group := w.addGroup(t, ours, "team", "")
	routes := w.scim.Routes()
	mux := http.NewServeMux()
	for _, route := range routes {
		method, path, ok := strings.Cut(route, " ")
		require.True(t, ok, route)
		mux.HandleFunc(route, func(http.ResponseWriter, *http.Request) {}) // it panics on a pattern that is none, or there twice
		id := map[string]string{"/Users/{id}": user, "/Groups/{id}": group, "/Schemas/{id}": userURN, "/ResourceTypes/{id}": "User"}[path]
		target := strings.TrimSuffix(strings.Replace(path, "{id}", cmp.Or(id, "nobody"), 1), "{$}")
		if method == "DELETE" {
			target = strings.Replace(path, "{id}", "nobody", 1)
		}
		a := ask{method: method, target: target, body: "{}"}.do(t, w)
		require.NotEqual(t, http.StatusMethodNotAllowed, a.Code, route)
		if method == "GET" {
			require.Equal(t, cmp.Or(map[string]int{"/Me": http.StatusNotImplemented}[path], http.StatusOK), a.Code, route)
		}
		refusal := ask{method: "BREW", target: target}.do(t, w).must(t, http.StatusMethodNotAllowed)
		require.Contains(t, strings.Split(refusal.Header().Get("Allow"), ", "), method, route)
	}
	require.Len(t, routes, 26)
}

// TestWriteError: a host's own middleware refuses as the handler does (quirk
// 116), also with the seconds to wait (quirk 117).
func TestWriteError(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		status     int
		scimType   string
		detail     string
		retryAfter string
	}{
		"as it is":          {&scim.Error{Status: 400, Type: scim.InvalidValue, Detail: `say "please"`}, 400, "invalidValue", `say "please"`, ""},
		"wrapped":           {fmt.Errorf("x: %w", &scim.Error{Status: 403, Detail: "no"}), 403, "", "no", ""},
		"retry":             {&scim.Error{Status: 429, Detail: "slow down", RetryAfter: 1500 * time.Millisecond}, 429, "", "slow down", "2"},
		"cause is not told": {&scim.Error{Status: 500, Err: errors.New(secret)}, 500, "", "", ""},
		"unknown":           {errors.New(secret), 500, "", "", ""},
		"status is none":    {&scim.Error{Status: 42, Detail: secret}, 500, "", "", ""},
		"not found":         {fmt.Errorf("%s: %w", secret, scim.ErrNotFound), 404, "", "", ""},
		"version":           {scim.ErrVersion, 412, "", "", ""},
		"uniqueness":        {scim.ErrUniqueness, 409, "uniqueness", "", ""},
		"unavailable":       {fmt.Errorf("%s: %w", secret, scim.ErrUnavailable), 503, "", "", "5"},
		"unauthenticated":   {&scim.Error{Status: 401}, 401, "", "Unauthorized", ""},
		"no detail":         {&scim.Error{Status: 429}, 429, "", "Too Many Requests", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { scim.WriteError(w, c.err) }), ask{method: "GET"}.request(t, nil))
			require.Equal(t, c.status, a.Code)
			require.Equal(t, c.scimType, a.text("/scimType"))
			require.Equal(t, c.retryAfter, a.Header().Get("Retry-After"))
			require.NotContains(t, a.Body.String(), secret)
			if c.detail != "" {
				require.Equal(t, c.detail, a.text("/detail"))
			}
		})
	}
}

// TestNewHandlerRefuses what cannot work, when the program starts.
func TestNewHandlerRefuses(t *testing.T) {
	auth := scim.AuthenticatorFunc(func(*http.Request) (*scim.Caller, error) { return nil, scim.ErrUnauthenticated })
	for name, make := range map[string]func() (*scim.Handler, error){
		"no store":         func() (*scim.Handler, error) { return scim.NewHandler(nil, scim.NoRoles{}, auth, nil) },
		"no roles":         func() (*scim.Handler, error) { return scim.NewHandler(newNaiveStore(), nil, auth, nil) },
		"no authenticator": func() (*scim.Handler, error) { return scim.NewHandler(newNaiveStore(), scim.NoRoles{}, nil, nil) },
		"negative timeout": func() (*scim.Handler, error) {
			return scim.NewHandler(newNaiveStore(), scim.NoRoles{}, auth, &scim.Config{ProvisionTimeout: -1})
		},
		"negative limit": func() (*scim.Handler, error) {
			return scim.NewHandler(newNaiveStore(), scim.NoRoles{}, auth, &scim.Config{Limits: scim.Limits{Page: -1}})
		},
	} {
		h, err := make()
		require.Error(t, err, name)
		require.Nil(t, h, name)
	}
}

// deviceTypes are the core types and one that a host might add, with every
// characteristic that the core schemas lack (RFC 7643 section 7).
func deviceTypes(t *testing.T) *scim.Types {
	t.Helper()
	text := func(name string, m schema.AttributeMutability, r schema.AttributeReturned) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: name, Mutability: m, Returned: r}))
	}
	device, err := attr.NewType("Device", "/Devices", "A device", schema.Schema{
		ID: "urn:example:2.0:Device", Name: optional.NewString("Device"),
		Attributes: []schema.CoreAttribute{
			schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "serial", Required: true, Mutability: schema.AttributeMutabilityImmutable()})),
			text("label", schema.AttributeMutabilityReadWrite(), schema.AttributeReturnedDefault()),
			text("state", schema.AttributeMutabilityReadOnly(), schema.AttributeReturnedDefault()),
			text("pin", schema.AttributeMutabilityWriteOnly(), schema.AttributeReturnedNever()),
			text("notes", schema.AttributeMutabilityReadWrite(), schema.AttributeReturnedRequest()),
			text("kind", schema.AttributeMutabilityReadWrite(), schema.AttributeReturnedAlways()),
		},
	})
	require.NoError(t, err)
	core := scim.CoreTypes().All()
	types, err := scim.NewTypes(core[0].Type, core[1].Type, device)
	require.NoError(t, err)
	return types
}

// A host's own resource type is served as the core ones are: immutable, readOnly,
// writeOnly, and returned on request, always and never.
func TestRFC7643Section7Characteristics(t *testing.T) {
	types := deviceTypes(t)
	for name, store := range map[string]scim.Store{"memstore": newManaged(types, nil), "naive": newNaiveStore()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, store, func(cfg *scim.Config) { cfg.Types = types })
			body := func(serial, label string) string {
				return `{"schemas":["urn:example:2.0:Device"],` + serial + `"label":` + quoted(label) + `,"state":"forged","pin":"1234","notes":"n","kind":"k"}`
			}
			const serial = `"serial":"S-1",`
			a := ask{method: "POST", target: "/Devices", body: body(serial, "one")}.do(t, w).must(t, http.StatusCreated)
			path := "/Devices/" + a.text("/id")
			require.Equal(t, "http://example.com"+conversationBase+path, a.Header().Get("Location"))
			for _, a := range []*response{a, w.get(t, path)} {
				require.Equal(t, "S-1", a.text("/serial"))
				require.Equal(t, "Device", a.text("/meta/resourceType"))
				for _, hidden := range []string{"/state", "/pin", "/notes"} {
					require.False(t, a.has(hidden), hidden)
				}
			}
			require.Equal(t, "n", w.get(t, path+"?attributes=notes").text("/notes"), "returned on request")
			require.Equal(t, "k", w.get(t, path+"?attributes=label").text("/kind"), "always returned")
			require.Equal(t, "k", w.get(t, path+"?excludedAttributes=kind").text("/kind"))
			require.False(t, w.get(t, path+"?attributes=pin").has("/pin"))

			ask{method: "POST", target: "/Devices", body: body("", "x")}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue, "serial is required")
			put := func(serial, label string) *response {
				return ask{method: "PUT", target: path, body: body(serial, label)}.do(t, w)
			}
			require.Equal(t, "two", put(serial, "two").must(t, http.StatusOK, "section 3.5.1: the same value").text("/label"))
			before := w.get(t, path).doc
			put(`"serial":"S-2",`, "three").refused(t, http.StatusBadRequest, scim.Mutability, "another value of an immutable attribute")
			require.Equal(t, http.StatusBadRequest, put("", "three").Code, "and none")
			ask{method: "PATCH", target: path, body: onePatch("replace", "serial", `"S-2"`)}.do(t, w).refused(t, http.StatusBadRequest, scim.Mutability)
			ask{method: "PATCH", target: path, body: onePatch("remove", "serial", "")}.do(t, w).must(t, http.StatusBadRequest)
			require.Equal(t, any(before), any(w.get(t, path).doc))
			require.Equal(t, "four", ask{method: "PATCH", target: path, body: onePatch("replace", "label", `"four"`)}.do(t, w).must(t, http.StatusOK).text("/label"))

			require.Len(t, w.filtered(t, "/Devices", `serial eq "s-1" and notes eq "n"`), 1)
			for _, query := range []string{"filter=" + url.QueryEscape(`pin eq "1234"`), "sortBy=pin"} {
				require.Equal(t, http.StatusBadRequest, w.get(t, "/Devices?"+query).Code, "rule E3: %s would tell what is never returned", query)
			}
			require.Contains(t, w.scim.Routes(), "PATCH /Devices/{id}")
			require.Equal(t, "/Devices", w.get(t, "/ResourceTypes/Device").text("/endpoint"))
			var mutabilities []string
			for _, a := range w.get(t, "/Schemas/urn:example:2.0:Device").doc["attributes"].([]any) {
				mutabilities = append(mutabilities, fmt.Sprint(a.(map[string]any)["name"], "-", a.(map[string]any)["mutability"]))
			}
			require.Subset(t, mutabilities, []string{"serial-immutable", "label-readWrite", "state-readOnly", "pin-writeOnly"})

			ask{method: "DELETE", target: path, header: map[string]string{"If-Match": `W/"0"`}}.do(t, w).refused(t, http.StatusPreconditionFailed, "")
			ask{method: "DELETE", target: path}.do(t, w).must(t, http.StatusNoContent)
			w.get(t, path).refused(t, http.StatusNotFound, "")
			require.Empty(t, w.app.drain(), "a device is no account")
		})
	}
}
