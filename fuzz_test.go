package scim_test

import (
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

// consistent requires what holds of every directory at any time: what is
// listed can be got, each once; the members of a group exist; the groups of a
// user are those that have it as a member.
func (w *world) consistent(t testing.TB, d *scim.Directory) {
	t.Helper()
	get := func(target string) *response {
		return ask{dir: d, method: "GET", target: target}.do(t, w).must(t, http.StatusOK, target)
	}
	list := func(endpoint string) map[string]map[string]any {
		all := map[string]map[string]any{}
		for start := 1; ; {
			page := get(fmt.Sprintf("%s?count=1000&startIndex=%d", endpoint, start))
			resources := page.resources(t)
			for _, r := range resources {
				id := r["id"].(string)
				require.NotContains(t, all, id, "%s is listed twice", id)
				all[id] = r
			}
			if start += len(resources); len(resources) == 0 {
				require.Equal(t, fmt.Sprint(len(all)), fmt.Sprint(page.doc["totalResults"]), "totalResults of %s", endpoint)
				return all
			}
		}
	}
	users, groups := list("/Users"), list("/Groups")
	for endpoint, all := range map[string]map[string]map[string]any{"/Users/": users, "/Groups/": groups} {
		for id, listed := range all {
			require.Equal(t, any(listed), any(get(endpoint+url.PathEscape(id)).doc), "the list and the resource differ")
		}
	}
	in := map[string][]string{} // groups by user, as the groups say
	for id, g := range groups {
		members, _ := g["members"].([]any)
		seen := map[string]bool{}
		for _, m := range members {
			value, _ := m.(map[string]any)["value"].(string)
			require.False(t, seen[value], "member %s twice in group %s", value, id)
			seen[value] = true
			require.True(t, users[value] != nil || groups[value] != nil, "member %q of group %s does not exist", value, id)
			if users[value] != nil {
				in[value] = append(in[value], id)
			}
		}
	}
	for id, u := range users {
		refs, _ := u["groups"].([]any)
		var said []string
		for _, g := range refs {
			said = append(said, g.(map[string]any)["value"].(string))
		}
		slices.Sort(said)
		slices.Sort(in[id])
		require.Equal(t, in[id], said, "groups of user %s", id)
	}
	if ledger, ok := w.store.(scim.Ledger); ok {
		eventsOf(t, ledger, d.Tenant)
	}
}

// FuzzRequest sends whole requests: a method, what follows the base URL, lines
// of headers, a body. USER, GROUP and THEIRS stand for the ids of a user and a
// group that are there, and of somebody else's user.
//
// Whatever is sent: the status is under 500 (but for /Me, where a provider's token
// is answered 501), the answer is empty or SCIM, it shows nothing of another directory, and the directory is consistent
// afterwards. The request is sent twice, because the second finds what the
// first has left.
func FuzzRequest(f *testing.F) {
	seedRequests(f)
	f.Fuzz(func(t *testing.T, method, target, headers string, body []byte) {
		w := newWorld(t, stores["memstore"](), withCursors)
		user := w.addUser(t, ours, "ada@example.com", `,"externalId":"ada","emails":[{"value":"ada@example.com","type":"work"}],"password":"canary"`)
		group := w.addGroup(t, ours, "team", "", user)
		theirs := w.addUser(t, sibling, "canary@example.com", `,"displayName":"canary"`)
		w.addGroup(t, sibling, "canary", "", theirs)
		ids := strings.NewReplacer("USER", user, "GROUP", group, "THEIRS", theirs)
		before := dump(t, w.store, sibling)
		for range 2 {
			r := fuzzedRequest(t, method, ids.Replace(target), ids.Replace(headers), ids.Replace(string(body)))
			a := serve(t, w, r)
			if a.Code != http.StatusNotImplemented || !strings.Contains(r.URL.Path, "/Me") {
				require.Less(t, a.Code, 500, a.Body)
			}
			require.GreaterOrEqual(t, a.Code, 200, a.Body)
			if !strings.Contains(strings.ToLower(target+string(body)), "canary") {
				require.NotContains(t, a.Body.String(), "canary")
			}
			require.Equal(t, before, dump(t, w.store, sibling), "another directory has changed")
			w.consistent(t, ours)
		}
	})
}

// fuzzedRequest makes the request that a server would hand on, or skips.
func fuzzedRequest(t *testing.T, method, target, headers, body string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(conversationBase + target)
	if err != nil || strings.ContainsAny(target, " \r\n") || !strings.HasPrefix(target, "/") {
		t.Skip("no server would hand this request line to the handler")
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", strings.NewReader(body))
	r.Method, r.URL, r.RequestURI = method, u, conversationBase+target
	r.Header.Set("Authorization", "Bearer "+tokenOf(ours))
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "":
		case "Host":
			r.Host = value
		default:
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return r
}

// seedRequests takes the requests of the recorded conversations, and some of
// forms that they do not have.
func seedRequests(f *testing.F) {
	f.Helper()
	for _, c := range loadConversations(f) {
		vars := c.placeholders()
		for _, s := range c.Steps {
			path, err1 := substitute(s.Request.Path, vars)
			text := string(s.Request.Body)
			if s.Request.Raw != nil {
				text = *s.Request.Raw
			}
			body, err2 := substitute(text, vars)
			if err1 != nil || err2 != nil {
				f.Fatal(err1, err2)
			}
			f.Add(s.Request.Method, path, "", []byte(body))
		}
	}
	for _, seed := range [][4]string{
		{"GET", "/Users/USER", "If-None-Match: W/\"1\"", ""},
		{"GET", "/Users/USER?excludedAttributes=groups", "If-None-Match: *", ""},
		{"GET", "/Users/THEIRS", "", ""},
		{"GET", "//Users//USER//", "Host: a\"b", ""},
		{"GET", "/%22/Groups/GROUP", "", ""},
		{"GET", "/Users?sortBy=emails.value&sortOrder=descending&startIndex=-1&count=99999999999999999999", "", ""},
		{"GET", "/Groups?filter=members%20eq%20%22USER%22&attributes=members.value", "", ""},
		{"PATCH", "/Groups/GROUP", "If-Match: W/\"2\"", onePatch("add", "members", `[{"value":"THEIRS"},{"value":"GROUP"}]`)},
		{"PATCH", "/Groups/GROUP?attributes=members", "", onePatch("remove", `members[value eq "USER"]`, "")},
		{"PUT", "/Groups/GROUP", "", `{"displayName":"team","members":[{"value":"GROUP","type":"Group"},{"value":"USER"},{"value":"USER"}]}`},
		{"PUT", "/Users/USER", "", `{"userName":"ada@example.com","active":"False","groups":[{"value":"GROUP"}]}`},
		{"POST", "/Groups", "", `{"displayName":"new","members":[{"value":"USER"},{"value":"nobody"}]}`},
		{"DELETE", "/Users/USER", "", ""},
		{"DELETE", "/Groups/GROUP", "If-Match: *", ""},
		{"GET", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "", ""},
		{"BREW", "/Users", "", "{"},
		{"POST", "/Bulk", "", bulkRequest("", postUser("x", "x", ""), operation("PATCH", "/Groups/GROUP", onePatch("add", "members", `[{"value":"bulkId:x"}]`)))},
		{"GET", "/?filter=userName%20pr%20or%20displayName%20eq%20%22team%22&sortBy=displayName&count=1&cursor", "", ""},
		{"GET", "/?filter=emails%5Btype%20eq%20%22work%22%5D.value%20ne%20%22x%22&startIndex=2", "", ""},
		{"GET", "/Users?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&count=1", "", ""},
		{"POST", "/.search", "", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"meta.resourceType eq \"Group\"","sortBy":"id","cursor":"","count":1}`},
		{"POST", "/Users/.search", "", `{"attributes":["userName"],"excludedAttributes":"groups","startIndex":"1","count":-1,"filter":null}`},
		{"POST", "/Groups//.search/", "", `{"cursor":"x","COUNT":1}`},
		{"PATCH", "/Me", "", onePatch("replace", "active", "true")},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]))
	}
}

// placeholders returns for each variable that a conversation saves what stands
// for it in a request to fuzz.
func (c *conversation) placeholders() map[string]string {
	vars := map[string]string{"token": "TOKEN"}
	for _, s := range c.Steps {
		for name := range s.Save {
			vars[name] = "USER"
			if strings.Contains(s.Request.Path, "Groups") {
				vars[name] = "GROUP"
			}
		}
	}
	return vars
}
