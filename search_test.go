package scim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

const searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// search posts a query; members is JSON with a comma before it.
func (w *world) search(t testing.TB, d *scim.Directory, endpoint, members string) *response {
	t.Helper()
	return ask{dir: d, method: "POST", target: endpoint + "/.search", body: `{"schemas":["` + searchURN + `"]` + members + `}`}.do(t, w)
}

// RFC 7644 section 3.4.3: a query that is posted is answered like the same
// query by GET.
func TestRFC7644_3_4_3_Search(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		w.team(t, ours)
		w.team(t, sibling)
		for _, c := range []struct{ endpoint, members, query string }{
			{"/Users", "", ""},
			{"/Users", `,"filter":"userName sw \"a\" and title pr","sortBy":"userName","sortOrder":"descending"`, "filter=userName%20sw%20%22a%22%20and%20title%20pr&sortBy=userName&sortOrder=descending"},
			{"/Users", `,"startIndex":3,"count":4`, "startIndex=3&count=4"},
			{"/Users", `,"count":0`, "count=0"},
			{"/Users", `,"startIndex":-7,"count":-1`, "startIndex=-7&count=-1"},
			{"/Users", `,"attributes":["userName","name.givenName"],"count":2`, "attributes=userName,name.givenName&count=2"},
			{"/Users", `,"excludedAttributes":["groups"," meta "],"unknown":{"filter":"x"},"Filter":"USERNAME EQ \"bob@example.com\""`, "excludedAttributes=groups,meta&filter=userName%20eq%20%22bob@example.com%22"},
			{"/Users", `,"filter":"","sortBy":null,"sortOrder":"","startIndex":null,"count":null,"cursor":null,"attributes":[],"excludedAttributes":null`, ""},
			{"/Groups", `,"filter":"displayName co \"b\\u006fb\"","excludedAttributes":["members"]`, "filter=displayName%20co%20%22bob%22&excludedAttributes=members"},
			{"/Groups", `,"cursor":"","count":5`, "cursor&count=5"},
			{"", `,"filter":"displayName sw \"b\"","sortBy":"displayName","attributes":["displayName"]`, "filter=displayName%20sw%20%22b%22&sortBy=displayName&attributes=displayName"},
			{"", `,"count":11,"startIndex":2`, "startIndex=2&count=11"},
		} {
			want := w.get(t, c.endpoint+"/?"+c.query).must(t, http.StatusOK, c.query)
			got := w.search(t, ours, c.endpoint, c.members).must(t, http.StatusOK, c.members)
			require.Equal(t, want.Body.String(), got.Body.String(), c.members)
		}
		// A cursor goes on, section 3 of RFC 9865.
		var all []string
		for cursor := ""; ; {
			a := w.search(t, ours, "/Users", `,"sortBy":"userName","count":3,"cursor":`+quoted(cursor))
			all = append(all, a.ids(t)...)
			if cursor = a.text("/nextCursor"); cursor == "" {
				break
			}
			require.False(t, a.has("/startIndex"))
			require.LessOrEqual(t, len(all), 10)
		}
		require.Equal(t, w.get(t, "/Users?sortBy=userName").ids(t), all)
		w.search(t, ours, "/Users", `,"cursor":"forged"`).refused(t, http.StatusBadRequest, scim.InvalidCursor)
		w.search(t, ours, "/Users", `,"cursor":"","count":1.5`).refused(t, http.StatusBadRequest, scim.InvalidCount)
		w.search(t, ours, "/Users", `,"cursor":"","startIndex":1`).refused(t, http.StatusBadRequest, scim.InvalidValue)
		require.NotContains(t, w.search(t, sibling, "/Users", "").ids(t), all[0], "rule A1")
		w.logged()
		w.search(t, ours, "", "")
		w.search(t, ours, "/Users", "")
		paths := []string{}
		for _, entry := range w.logged() {
			paths = append(paths, entry.Method+" "+entry.Path)
			require.Equal(t, http.StatusOK, entry.Status)
		}
		require.Equal(t, []string{"POST /.search", "POST /Users/.search"}, paths)
	})
}

// A body that is no SearchRequest is refused by the name of what is wrong.
func TestRFC7644_3_4_3_BadSearch(t *testing.T) {
	dir := &scim.Directory{Tenant: "acme", ID: "strict", Dialect: scim.Strict}
	r := newRig(t, newNaiveStore(), scim.NoRoles{}, dir, withCursors)
	post := func(endpoint, body string) *response {
		return ask{method: "POST", target: endpoint + "/.search", body: body, header: map[string]string{"Authorization": "Bearer " + testToken}}.do(t, r)
	}
	schemas := `"schemas":["` + searchURN + `"]`
	for member, values := range map[string][]string{
		"schemas":            {`"` + searchURN + `"`, `{}`, `[1]`, `7`},
		"filter":             {`1`, `true`, `["userName pr"]`, `{}`},
		"sortBy":             {`1`, `["userName"]`},
		"sortOrder":          {`false`, `[]`},
		"startIndex":         {`"1"`, `true`, `[1]`},
		"count":              {`"1"`, `{}`, `false`},
		"cursor":             {`1`, `[]`},
		"attributes":         {`"userName"`, `[1]`, `[["userName"]]`, `{}`, `[null]`},
		"excludedAttributes": {`"userName"`, `["a",{}]`, `3`},
	} {
		for _, value := range values {
			body := `{` + schemas + `,` + quoted(member) + `:` + value + `}`
			if member == "schemas" {
				body = `{"schemas":` + value + `}`
			}
			for _, endpoint := range []string{"/Users", "/Groups", ""} {
				a := post(endpoint, body).refused(t, http.StatusBadRequest, scim.InvalidSyntax, body)
				require.Contains(t, a.text("/detail"), member)
			}
		}
	}
	for _, body := range []string{
		``, ` `, `[]`, `"x"`, `null`, `7`, `{`, `{"schemas"`, `{` + schemas, `{` + schemas + `}x`, `{` + schemas + `,"filter":}`, `{` + schemas + `,"filter":"\u0000"}`, `{` + schemas + `,"count":01}`,
		`{` + schemas + `,"filter":"title pr","FILTER":"title pr"}`, `{"schemas":[],"count":1}`, `{}`, `{"schemas":["urn:x"]}`, `{"schemas":null}`,
		`{` + schemas + `,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		post("/Users", body).refused(t, http.StatusBadRequest, scim.InvalidSyntax, body)
	}
	post("/Users", `{`+schemas+`,"count":1.5}`).refused(t, http.StatusBadRequest, scim.InvalidValue)
	post("/Users", `{`+schemas+`,"filter":"nothing pr"}`).refused(t, http.StatusBadRequest, scim.InvalidFilter)
	post("/Users", `{`+schemas+`,"filter":"`+strings.Repeat("a", 10_000)+`"}`).refused(t, http.StatusBadRequest, scim.InvalidFilter)
	post("/Users", `{`+schemas+`,"sortBy":"password"}`).refused(t, http.StatusBadRequest, scim.InvalidValue)
	for _, endpoint := range []string{"/Users", "/Groups", ""} {
		post(endpoint, `{`+schemas+`,"x":"`+strings.Repeat("a", 2<<20)+`"}`).refused(t, http.StatusRequestEntityTooLarge, "", "rule E3: what is posted to /Groups/.search is no group")
	}
	post("/Users", `{`+schemas+`}`).must(t, http.StatusOK)
}

// What providers leave out or spell as in a URL is tolerated where the dialect
// says so, and noted.
func TestSearchTolerances(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		w.team(t, ours)
		for body, fired := range map[string]string{
			`{"count":2}`:               "odd-schemas",
			`{"schemas":"x","count":2}`: "odd-schemas",
			`{"schemas":["` + searchURN + `"],"count":"2"}`:                          "stringified",
			`{"schemas":["` + searchURN + `"],"count":2,"attributes":"userName,id"}`: "array-missing",
		} {
			w.logged()
			a := ask{method: "POST", target: "/Users/.search", body: body}.do(t, w).must(t, http.StatusOK, body)
			require.Len(t, a.resources(t), 2)
			require.Contains(t, w.logged()[0].Fired.Names(), fired, body)
		}
		ask{method: "POST", target: "/Users/.search", body: `{"count":"x"}`}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidValue)
	})
}

// RFC 7644 section 3.4.2.1: a query against the root is about resources of all
// types, one after the other.
func TestRFC7644_3_4_2_1_Root(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		users, groups := w.team(t, ours)
		w.team(t, sibling)
		whole := w.get(t, "/?count=100")
		all := whole.ids(t)
		require.Equal(t, slices.Concat(w.get(t, "/Users").ids(t), w.get(t, "/Groups").ids(t)), all)
		require.Equal(t, "13", fmt.Sprint(whole.doc["totalResults"]))
		for _, r := range whole.resources(t) {
			location := resolve(r, "/meta/location").(string)
			target := strings.TrimPrefix(location, "http://example.com"+conversationBase)
			require.Equal(t, any(r), any(w.get(t, target).doc), "listed as it is got, its groups and members too")
		}
		for _, target := range []string{"/", "", "//", "?", "/?", "/?&"} {
			require.Equal(t, all, w.get(t, target).ids(t), target)
		}
		for filter, want := range map[string]int{
			`displayName sw "b"`:                                             2,  // BOB and Bobs
			`displayName sw "b" and userName pr`:                             1,  // what a group does not have has no value
			`userName pr or displayName eq "bobs"`:                           11, // but the other side counts
			`not (userName pr)`:                                              3,
			`userName ne "bob@example.com"`:                                  12,
			`emails[type eq "work"] or members[value eq "` + users[0] + `"]`: 3,
			`members.value eq "` + users[0] + `"`:                            3,
			`groups.value eq "` + groups[0] + `"`:                            3,
			`meta.resourceType eq "User"`:                                    10,
			`meta.resourceType eq "Group" and displayName pr`:                3,
			`meta.resourceType eq "Robot"`:                                   0,
			`(meta.resourceType eq User) or (meta.resourceType eq Group)`:    13, // the example of the RFC
			`id eq "` + groups[1] + `"`:                                      1,
			`externalId eq "nobody"`:                                         0,
			`department eq "x" or active pr`:                                 0,
			`meta.created gt "2001-01-01T00:00:00Z"`:                         13,
		} {
			require.Len(t, w.filtered(t, "/", filter), want, filter)
			got := w.search(t, ours, "", `,"count":0,"filter":`+quoted(filter))
			require.Equal(t, fmt.Sprint(want), fmt.Sprint(got.doc["totalResults"]), filter)
		}
		for _, wrong := range []string{`nothing eq "x"`, `userName eq "x" or nothing pr`, `name.nothing pr`, `active eq "x"`, `password eq "x"`, `userName`, `emails[nothing pr]`} {
			w.search(t, ours, "", `,"filter":`+quoted(wrong)).refused(t, http.StatusBadRequest, scim.InvalidFilter, wrong)
		}
		some := w.get(t, "/?attributes=userName,members.value").resources(t)
		require.NotContains(t, some[0], "displayName")
		require.Contains(t, some[0], "userName")
		require.NotContains(t, some[12], "displayName")
		require.Contains(t, some[12], "members")

		// By index and by cursor, every page of every size.
		for _, count := range []int{1, 3, 9, 10, 11, 13, 20} {
			for start := 1; start < 16; start++ {
				page := w.get(t, fmt.Sprintf("/?startIndex=%d&count=%d", start, count))
				from := min(start-1, 13)
				require.Equal(t, append([]string(nil), all[from:min(13, from+count)]...), page.ids(t), "%d from %d", count, start)
				require.Equal(t, "13", fmt.Sprint(page.doc["totalResults"]), "exact on every page")
				require.Equal(t, fmt.Sprint(start), fmt.Sprint(page.doc["startIndex"]))
			}
			pages := w.pages(t, fmt.Sprintf("/?count=%d&", count))
			require.Equal(t, all, slices.Concat(pages...))
			require.Len(t, pages, (13+count-1)/count, "no empty page at the end")
		}
		one := w.get(t, "/?cursor&count=10&filter=meta.resourceType%20eq%20%22User%22")
		require.False(t, one.has("/nextCursor"), "no group is of that type")
		one = w.get(t, "/?cursor&count=10&filter=userName%20pr")
		require.False(t, one.has("/nextCursor"), "and none matches")
	})
}

// RFC 7644 section 3.4.2.3 at the root: resources of all types in one order,
// what does not have the attribute last, and first in descending order.
func TestRFC7644_3_4_2_3_RootSort(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		w.team(t, ours)
		for sortBy, attribute := range map[string]string{
			"displayName": "displayName", "userName": "userName", "title": "title", "id": "id", "meta.created": "created", "meta.resourceType": "resourceType", "meta.location": "location",
			"urn:ietf:params:scim:schemas:core:2.0:Group:displayName": "",
		} {
			for _, order := range []string{"ascending", "descending"} {
				target := "/?sortBy=" + sortBy + "&sortOrder=" + order + "&"
				list := w.get(t, target).resources(t)
				require.Len(t, list, 13)
				value := func(r map[string]any) string {
					v, _ := r[attribute].(string)
					if meta := r["meta"].(map[string]any); v == "" {
						v, _ = meta[attribute].(string)
					}
					if attribute == "" && resolve(r, "/meta/resourceType") == "Group" {
						v = r["displayName"].(string)
					}
					return strings.ToLower(v)
				}
				require.True(t, slices.IsSortedFunc(list, func(a, b map[string]any) int {
					c := strings.Compare(value(a), value(b))
					if (value(a) == "") != (value(b) == "") {
						c = -c // missing is greater than all
					}
					if order == "descending" {
						return -c
					}
					return c
				}), "%s %s", sortBy, order)
				all := w.get(t, target).ids(t)
				for _, count := range []int{1, 4, 13} {
					require.Equal(t, all, slices.Concat(w.pages(t, fmt.Sprintf("%scount=%d&", target, count))...), target)
					for start := 1; start < 15; start += 3 {
						from := min(start-1, 13)
						require.Equal(t, append([]string(nil), all[from:min(13, from+count)]...), w.get(t, fmt.Sprintf("%scount=%d&startIndex=%d", target, count, start)).ids(t))
					}
				}
			}
		}
		w.get(t, "/?sortBy=nothing").refused(t, http.StatusBadRequest, scim.InvalidValue)
		w.get(t, "/?sortBy=displayName&sortOrder=sideways").refused(t, http.StatusBadRequest, scim.InvalidValue)
		w.get(t, "/?sortBy=displayName&startIndex=9901&count=100").must(t, http.StatusOK)
		w.get(t, "/?sortBy=displayName&startIndex=9902&count=100").refused(t, http.StatusBadRequest, scim.TooMany, "ten pages of the largest size")
		w.get(t, "/?sortBy=displayName&startIndex=9902&count=100&filter=meta.resourceType%20eq%20%22User%22").must(t, http.StatusOK, "one type needs no merging")
	})
}

// Types of which an attribute is text in one and a number in another cannot be
// sorted by it together.
func TestRootSortNeedsOneKind(t *testing.T) {
	types := rankedTypes(t)
	w := newWorld(t, newNaiveStore(), func(cfg *scim.Config) { cfg.Types = types })
	w.get(t, "/?sortBy=title").refused(t, http.StatusBadRequest, scim.InvalidValue)
	w.get(t, "/?sortBy=title&filter=meta.resourceType%20eq%20%22User%22").must(t, http.StatusOK)
	w.get(t, "/?sortBy=userName").must(t, http.StatusOK)
}

// The root is where the handler is mounted, and nothing else is: with the path
// before it stripped off, or with the path of Config.BaseURL. meta.location
// leads back there.
func TestRootIsWhereItIsMounted(t *testing.T) {
	w := newWorld(t, newNaiveStore(), nil)
	id := w.addUser(t, ours, "ada@example.com", "")
	configured := newWorld(t, w.store, func(cfg *scim.Config) { cfg.BaseURL = "https://api.example.com/a%20b/scim" })
	for name, c := range map[string]struct {
		h        http.Handler
		root     string
		location string // where the root is seen from outside
		nothing  []string
	}{
		"at the top":        {w.scim, "/", "http://example.com", []string{"/scim", "/scim/", "/scim/v2/.search", "/x/.search"}},
		"StripPrefix":       {http.StripPrefix("/scim/v2", w.scim), "/scim/v2/", "http://example.com/scim/v2", []string{"/scim/v2/x", "/scim/v2/x/.search"}},
		"StripPrefix, bare": {http.StripPrefix("/scim/v2", w.scim), "/scim/v2", "http://example.com/scim/v2", nil},
		"Mount":             {scim.Mount("/scim/v2", w.scim, nil), "/scim/v2//", "http://example.com/scim/v2", []string{"/scim/v2/x"}},
		"Mount, wildcard":   {scim.Mount("/t/{tenant}/scim", w.scim, nil), "/t/a%20b/scim", "http://example.com/t/a%20b/scim", []string{"/t/a%20b/scim/x", "/t/scim"}},
		"BaseURL":           {configured.scim, "/a%20b/scim/", "https://api.example.com/a%20b/scim", []string{"/a%20b", "/a%20b/scim/x", "/scim", "/scim/.search"}},
		"BaseURL, escaped":  {configured.scim, "/a%20b/sc%69m", "https://api.example.com/a%20b/scim", nil},
		"BaseURL, stripped": {http.StripPrefix("/a b/scim", configured.scim), "/a%20b/scim", "https://api.example.com/a%20b/scim", nil},
	} {
		t.Run(name, func(t *testing.T) {
			do := func(method, path string) *response {
				r := ask{method: method, body: `{"schemas":["` + searchURN + `"]}`}.request(t, nil)
				u, err := url.ParseRequestURI(path)
				require.NoError(t, err)
				r.URL, r.RequestURI = u, path
				a := &response{ResponseRecorder: httptest.NewRecorder()}
				c.h.ServeHTTP(a.ResponseRecorder, r)
				_ = json.Unmarshal(a.Body.Bytes(), &a.doc)
				return a
			}
			for _, a := range []*response{do("GET", c.root), do("POST", strings.TrimRight(c.root, "/")+"/.search"), do("POST", strings.TrimRight(c.root, "/")+"//.search/")} {
				a.must(t, http.StatusOK)
				require.Equal(t, c.location+"/Users/"+id, a.text("/Resources/0/meta/location"))
			}
			for _, path := range c.nothing {
				method := map[bool]string{true: "POST", false: "GET"}[strings.HasSuffix(path, ".search")]
				do(method, path).must(t, http.StatusNotFound, path)
			}
		})
	}
}

// What a store cannot answer is no half an answer about some types.
func TestRootStoreErrors(t *testing.T) {
	store := &brokenStore{Store: newNaiveStore()}
	w := newWorld(t, store, withCursors)
	w.team(t, ours)
	cursors := map[string]string{}
	targets := []string{"/?count=2&", "/?count=2&sortBy=displayName&", "/?count=0&cursor&"}
	for _, target := range targets {
		if cursors[target] = "cursor"; !strings.Contains(target, "cursor") {
			cursors[target] = "cursor=" + w.get(t, target+"cursor").text("/nextCursor")
		}
	}
	store.method, store.err = "List", scim.ErrUnavailable
	for _, target := range targets {
		w.get(t, target).refused(t, http.StatusServiceUnavailable, "")
		w.get(t, target+cursors[target]).refused(t, http.StatusServiceUnavailable, "")
	}
}

// A cursor that one kind of store has given is none to another, or means there
// what it meant: a host that changes its store keeps its key.
func TestCursorOfAnotherStore(t *testing.T) {
	naive, mem := newWorld(t, stores["naive"](), withCursors), newWorld(t, stores["memstore"](), withCursors)
	naive.team(t, ours)
	mem.team(t, ours)
	for _, target := range []string{"/Users?count=2&", "/?count=2&"} {
		for _, of := range []struct{ gives, takes *world }{{naive, mem}, {mem, naive}} {
			answer := of.takes.get(t, target+"cursor="+of.gives.get(t, target+"cursor").text("/nextCursor"))
			if answer.Code != http.StatusOK { // stores that page by the positions of Select share them
				answer.refused(t, http.StatusBadRequest, scim.InvalidCursor)
			}
		}
	}
}

// A query that is posted, or about all types, names attributes as one by GET at
// an endpoint does: where a directory does not tolerate short names (quirk 32)
// they are names of nothing, and where it does their use is noted.
func TestShortNamesInEveryQuery(t *testing.T) {
	tolerant := &scim.Directory{Tenant: "acme", ID: "tolerant", Domains: []string{"example.com"}}
	strict := &scim.Directory{Tenant: "acme", ID: "strict", Domains: []string{"example.com"}, Dialect: scim.Strict}
	for _, d := range []*scim.Directory{tolerant, strict} {
		r := newRig(t, stores["memstore"](), scim.NoRoles{}, d, nil)
		call := func(method, target, body string) *response {
			req := httptest.NewRequest(method, "/scim/v2"+target, strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+testToken)
			req.Header.Set("Content-Type", "application/scim+json")
			return serve(t, r, req)
		}
		call("POST", "/Users", `{"schemas":["`+userURN+`","`+enterpriseURN+`"],"userName":"ada@example.com","`+enterpriseURN+`":{"department":"Navy"}}`).must(t, http.StatusCreated)
		r.drainFired()
		const posted = `{"schemas":["` + searchURN + `"],"filter":"userName pr","attributes":["userName","department"]}`
		for _, a := range []*response{
			call("GET", "/Users?attributes=userName,department", ""),
			call("GET", "/?filter=userName%20pr&attributes=userName,department", ""),
			call("POST", "/Users/.search", posted),
			call("POST", "/.search", posted),
		} {
			a.must(t, http.StatusOK)
			require.Equal(t, "ada@example.com", a.text("/Resources/0/userName"))
			require.Equal(t, d == tolerant, a.has("/Resources/0/"+enterpriseURN), "%s: %s", d.ID, a.Body)
			fired := []string{"short-extension-path"}
			if d == strict {
				fired = []string{}
			}
			r.mu.Lock()
			last := r.log[len(r.log)-1]
			r.mu.Unlock()
			require.ElementsMatch(t, fired, last.Fired.Names(), "%s %s", last.Method, last.Path)
		}
	}
}
