package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// A mixture draws requests of all kinds, sensible and not.
type mixture struct {
	*rand.Rand
	mark    string        // is in every name that a directory has
	users   func() string // an id, often one that exists
	groups  func() string // likewise
	cursor  func() string // of an answer before
	version func() string // of an answer before
}

func (m *mixture) one(of ...string) string { return of[m.IntN(len(of))] }

func (m *mixture) chance(percent int) bool { return m.IntN(100) < percent }

func (m *mixture) userName() string {
	return m.one("u", "U", "ü", "u\u0308", "ｕ", "é", "e\u0301", "ß", "ẞ") + strconv.Itoa(m.IntN(12)) + "-" + m.mark + "@" + m.one("example.com", "EXAMPLE.com", "example.com", "other.example")
}

func (m *mixture) whatever() string {
	return m.one(`"x"`, `""`, `null`, `true`, `"True"`, `7`, `-1.5e3`, `[]`, `{}`, `[[]]`, `{"value":"x"}`, `[{"value":"x"}]`, `[null]`, `"a\u0000b"`, `"\ud800"`, strings.Repeat("[", 40)+strings.Repeat("]", 40), `"`+strings.Repeat("y", 300)+`"`)
}

func (m *mixture) userBody() string {
	var b strings.Builder
	b.WriteString(`{"schemas":["` + userURN + `"],"userName":` + quoted(m.userName()))
	for _, more := range []func() string{
		func() string { return `,"externalId":"ext-` + strconv.Itoa(m.IntN(15)) + `"` },
		func() string { return `,"active":` + m.one(`true`, `false`, `"False"`, `null`) },
		func() string { return `,"title":` + m.whatever() },
		func() string { return `,"displayName":"D ` + m.mark + `"` },
		func() string {
			return `,"emails":[{"value":` + quoted(m.userName()) + `,"type":"work","primary":true},{"value":"second@example.com"}]`
		},
		func() string { return `,"name":{"givenName":"G","familyName":` + m.whatever() + `}` },
		func() string {
			return `,"` + enterpriseURN + `":{"department":"D","manager":{"value":` + quoted(m.users()) + `}}`
		},
		func() string {
			return `,"` + m.one("emails", "phoneNumbers", "roles", "nonsense", "groups", "meta", "id", "userName", "password") + `":` + m.whatever()
		},
	} {
		if m.chance(25) {
			b.WriteString(more())
		}
	}
	return b.String() + `}`
}

func (m *mixture) members() string {
	var all []string
	for range m.IntN(4) {
		all = append(all, `{"value":`+quoted(m.users())+`}`)
	}
	return `[` + strings.Join(all, ",") + `]`
}

func (m *mixture) groupBody() string {
	b := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"` + m.one("g", "G", "é", "e\u0301") + strconv.Itoa(m.IntN(8)) + `-` + m.mark + `"`
	if m.chance(70) {
		b += `,"members":` + m.members()
	}
	if m.chance(10) {
		b += `,"externalId":"ext-` + strconv.Itoa(m.IntN(9)) + `"`
	}
	if m.chance(5) {
		b += `,"members":` + m.whatever()
	}
	return b + `}`
}

func (m *mixture) patchBody() string {
	var ops []string
	for range 1 + m.IntN(3) {
		path := m.one("title", "active", "displayName", "members", "members", `members[value eq "`+m.users()+`"]`, `members[type eq "User"]`, `emails[type eq "work"].value`, "emails", "name.givenName", "userName", "externalId",
			enterpriseURN+":manager", enterpriseURN+":department", "nickName", "x y", "groups", "id", "", `phoneNumbers[type eq "mobile"].value`)
		value := m.whatever()
		switch {
		case path == "members":
			value = m.members()
		case path == "active":
			value = m.one("true", "false", `"False"`)
		case path == "userName", path == `emails[type eq "work"].value`:
			value = quoted(m.userName())
		case path == "displayName":
			value = quoted("d" + strconv.Itoa(m.IntN(8)) + "-" + m.mark)
		case path == "" && m.chance(80):
			value = m.one(`{"title":"t","active":false}`, `{"members":`+m.members()+`}`, `{"name.givenName":"x"}`, `{"`+enterpriseURN+`:department":"q"}`)
		}
		op := `{"op":"` + m.one("add", "replace", "Replace", "remove", "Add") + `"`
		if path != "" {
			op += `,"path":` + quoted(path)
		}
		if m.chance(85) {
			op += `,"value":` + value
		}
		ops = append(ops, op+`}`)
	}
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(ops, ",") + `]}`
}

func (m *mixture) filter() string {
	return m.one(`userName eq "`+m.userName()+`"`, `userName sw "u"`, `title pr`, `not (active eq true)`, `emails[type eq "work" and primary eq true]`, `meta.lastModified gt "2020-01-01T00:00:00Z"`,
		`externalId eq "ext-3"`, `id eq "`+m.users()+`"`, `displayName co "é"`, `groups.value eq "`+m.groups()+`"`, `members.value eq "`+m.users()+`"`, `meta.resourceType eq "Group"`, `emails co "second"`,
		`userName eq`, `(`, `nonsense eq 1`, `password eq "x"`, enterpriseURN+`:department eq "D"`, `department eq "D"`, `userName eq "u\u0000"`, `active ne null`)
}

func (m *mixture) query() string {
	q := url.Values{}
	add := func(percent int, name, value string) {
		if m.chance(percent) {
			q.Add(name, value)
		}
	}
	add(50, "filter", m.filter())
	add(40, "sortBy", m.one("userName", "displayName", "meta.created", "meta.lastModified", "id", "emails", "emails.value", "title", "nonsense", "members", "name.familyName", "meta.location", "active"))
	add(30, "sortOrder", m.one("ascending", "descending", "up"))
	add(30, "startIndex", m.one("1", "2", "0", "-4", "100000", "x"))
	add(50, "count", m.one("0", "1", "2", "3", "50", "-1", "1000000", "1.5"))
	add(40, "cursor", m.one("", m.cursor()))
	add(25, "attributes", m.one("userName", "members", "groups", "emails.value", "id", "nonsense", "meta.location", "department", "members.value,displayName"))
	add(15, "excludedAttributes", m.one("members", "meta", "userName", "groups", "id"))
	return q.Encode()
}

func (m *mixture) search() string {
	b := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]`
	q, _ := url.ParseQuery(m.query())
	for name, value := range q {
		switch name {
		case "attributes", "excludedAttributes":
			b += `,"` + name + `":["` + strings.Join(strings.Split(value[0], ","), `","`) + `"]`
		case "count", "startIndex":
			if _, err := strconv.ParseFloat(value[0], 64); err == nil {
				b += `,"` + name + `":` + value[0]
			}
		default:
			b += `,"` + name + `":` + quoted(value[0])
		}
	}
	if m.chance(10) {
		b += `,"` + m.one("filter", "count", "extra") + `":` + m.whatever()
	}
	return b + `}`
}

func (m *mixture) bulk() string {
	var ops []string
	for i := range 1 + m.IntN(5) {
		reference := m.one("bulkId:"+strconv.Itoa(m.IntN(5)), "bulkId:none", m.users())
		id := m.one(m.users(), m.groups(), reference)
		version := ""
		if m.chance(20) {
			version = `,"version":` + quoted(m.version())
		}
		switch m.IntN(6) {
		case 0:
			ops = append(ops, `{"method":"POST","path":"/Users","bulkId":"`+strconv.Itoa(i)+`","data":`+m.userBody()+`}`)
		case 1:
			ops = append(ops, `{"method":"POST","path":"/Groups","bulkId":"`+strconv.Itoa(i)+`","data":`+strings.Replace(m.groupBody(), `"members":[`, `"members":[{"value":"`+reference+`"},`, 1)+`}`)
		case 2:
			ops = append(ops, `{"method":"PATCH"`+version+`,"path":"`+m.one("/Users/", "/Groups/")+id+`","data":`+m.patchBody()+`}`)
		case 3:
			ops = append(ops, `{"method":"PUT"`+version+`,"path":"/Users/`+id+`","data":`+m.userBody()+`}`)
		case 4:
			ops = append(ops, `{"method":"DELETE"`+version+`,"path":"`+m.one("/Users/", "/Groups/")+id+`"}`)
		default:
			ops = append(ops, m.one(`{"method":"GET","path":"/Users"}`, `{"method":"PATCH","path":"/Me","data":{}}`, `7`, `{"method":"POST","path":"/Users","bulkId":"0","data":{}}`, `{"method":"DELETE","path":"/Users/a\u0000b"}`))
		}
	}
	more := m.one("", `,"failOnErrors":1`, `,"failOnErrors":3`, `,"failOnErrors":0`)
	return bulkRequest(more, ops...)
}

// next draws a request.
func (m *mixture) next() ask {
	user, group := "/Users/"+m.users(), "/Groups/"+m.groups()
	header := map[string]string{}
	if m.chance(15) {
		header[m.one("If-Match", "If-None-Match")] = m.one("*", m.version(), `W/"1"`, `"2", W/"3"`, `x`)
	}
	query := ""
	if m.chance(30) {
		query = "?" + m.query()
	}
	switch m.IntN(24) {
	case 0, 1, 2:
		return ask{method: "POST", target: "/Users" + query, body: m.userBody()}
	case 3, 4:
		return ask{method: "POST", target: "/Groups" + query, body: m.groupBody()}
	case 5, 6:
		return ask{method: "PATCH", target: user + query, body: m.patchBody(), header: header}
	case 7, 8:
		return ask{method: "PATCH", target: group + query, body: m.patchBody(), header: header}
	case 9:
		return ask{method: "PUT", target: user + query, body: m.userBody(), header: header}
	case 10:
		return ask{method: "PUT", target: group + query, body: m.groupBody(), header: header}
	case 11:
		return ask{method: "DELETE", target: m.one(user, group), header: header}
	case 12, 13:
		return ask{method: m.one("GET", "HEAD"), target: m.one(user, group) + query, header: header}
	case 14, 15, 16:
		return ask{method: m.one("GET", "GET", "HEAD"), target: m.one("/Users", "/Groups") + "?" + m.query()}
	case 17, 18:
		return ask{method: m.one("GET", "GET", "HEAD"), target: "/?" + m.query()}
	case 19:
		return ask{method: "POST", target: m.one("/Users", "/Groups", "", "") + "/.search", body: m.search()}
	case 20, 21:
		return ask{method: "POST", target: "/Bulk", body: m.bulk()}
	case 22:
		return ask{method: m.one("GET", "HEAD", "PATCH", "PUT", "DELETE", "POST"), target: "/Me" + query, body: m.patchBody(), header: header}
	}
	return ask{
		method: m.one("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"),
		target: m.one("/Schemas", "/ServiceProviderConfig", "/ResourceTypes/User", "/Nothing", "/Users/"+"x%00y", "/Users/%ff", "//Users//", "/v3/Users", "/Bulk/x", "/Me/x", "/.search/x", "/Users/a/b", "/Users/.search") + query,
		body:   m.whatever(),
	}
}

// Several clients at once send what they like, over connections. Whatever that
// is: no answer is a failure of the service, all are valid and as long as they
// say; nothing of one directory is in the answers of another; each request is
// told once and has one line in the log; and the events have no gap.
func TestMixtureOverHTTP(t *testing.T) {
	for name, open := range map[string]func() scim.Store{
		"memstore": func() scim.Store {
			return memstore.New(scim.CoreTypes(), &memstore.Options{Events: 1 << 20, Requests: 1 << 20})
		},
		"naive": stores["naive"],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mixtureOverHTTP(t, open())
		})
	}
}

func mixtureOverHTTP(t *testing.T, store scim.Store) {
	directories := map[string]*scim.Directory{}
	for _, d := range []*scim.Directory{ours, sibling, foreign} {
		directories[tokenOf(d)] = d
	}
	told := map[scim.RequestID]*scim.LogEntry{}
	var mu sync.Mutex
	auth := scim.AuthenticatorFunc(func(r *http.Request) (*scim.Caller, error) {
		d := directories[r.Header.Get("Authorization")]
		if d == nil {
			return nil, scim.ErrUnauthenticated
		}
		return &scim.Caller{Directory: d, Actor: d.ID, Subject: r.Header.Get("Subject")}, nil
	})
	var logged bytes.Buffer // slog's handlers write one line at a time
	cfg := &scim.Config{
		Provisioner: newHostApp(), CursorKey: cursorKey, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		OnRequest: func(_ context.Context, e *scim.LogEntry) {
			mu.Lock()
			defer mu.Unlock()
			assert.Nil(t, told[e.ID], "told twice")
			told[e.ID] = e
		},
	}
	h, err := scim.NewHandler(store, memberRole{}, auth, cfg)
	require.NoError(t, err)
	server := httptest.NewServer(scim.Mount(conversationBase, h, nil))
	defer server.Close()

	type pool struct{ users, groups, cursors, versions []string }
	pools := map[string]*pool{}
	marks := map[string]string{}
	for _, d := range directories {
		marks[d.Tenant+"/"+d.ID] = "mark" + d.Tenant + d.ID + "."
		pools[d.Tenant+"/"+d.ID] = &pool{}
	}
	sent, operations := 0, 0
	var clients sync.WaitGroup
	const rounds = 150
	for i := range 6 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 42))
			d := []*scim.Directory{ours, sibling, foreign}[i%3]
			key := d.Tenant + "/" + d.ID
			own := pools[key]
			from := func(list func(p *pool) []string, otherwise string) func() string {
				return func() string {
					mu.Lock()
					defer mu.Unlock()
					all := list(own)
					if random.IntN(20) == 0 { // perhaps another directory's
						for _, p := range pools {
							all = list(p)
						}
					}
					if len(all) == 0 || random.IntN(20) == 0 {
						return otherwise
					}
					return all[max(0, len(all)-1-random.IntN(20))]
				}
			}
			m := &mixture{
				Rand: random, mark: marks[key],
				users:   from(func(p *pool) []string { return p.users }, "nobody"),
				groups:  from(func(p *pool) []string { return p.groups }, "nothing"),
				cursor:  from(func(p *pool) []string { return p.cursors }, "forged"),
				version: from(func(p *pool) []string { return p.versions }, `W/"1"`),
			}
			for range rounds {
				a := m.next()
				var body io.Reader
				if a.body != "" && a.method != "GET" && a.method != "HEAD" {
					body = strings.NewReader(a.body)
					if m.chance(30) {
						body = io.MultiReader(body) // of unknown length
					}
				}
				r, err := http.NewRequestWithContext(t.Context(), a.method, server.URL+conversationBase+a.target, body)
				if !assert.NoError(t, err, a.target) {
					return
				}
				r.Header.Set("Authorization", tokenOf(d))
				r.Header.Set("Content-Type", "application/scim+json")
				if m.chance(80) {
					r.Header.Set("Subject", m.users())
				}
				for name, value := range a.header {
					r.Header.Set(name, value)
				}
				answer, err := http.DefaultTransport.RoundTrip(r)
				if !assert.NoError(t, err, "%s %s %s", a.method, a.target, a.body) {
					return
				}
				text, err := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				what := fmt.Sprintf("%s %s %s: %d %s", a.method, a.target, a.body, answer.StatusCode, text)
				assert.NoError(t, err, what)
				assert.True(t, answer.StatusCode < 500 || answer.StatusCode == http.StatusNotImplemented, what)
				if length := answer.Header.Get("Content-Length"); length != "" && a.method != "HEAD" {
					assert.Equal(t, length, strconv.Itoa(len(text)), what)
				}
				for other, mark := range marks {
					assert.False(t, other != key && bytes.Contains(text, []byte(mark)), what)
				}
				var doc map[string]any
				if len(text) > 0 {
					assert.NoError(t, json.Unmarshal(text, &doc), what)
					assert.Equal(t, "application/scim+json", strings.Split(answer.Header.Get("Content-Type"), ";")[0], what)
				} else if a.method != "HEAD" {
					assert.Contains(t, []int{204, 304}, answer.StatusCode, what)
				}
				mu.Lock()
				sent++
				if list, ok := doc["Operations"].([]any); ok {
					for _, o := range list {
						operations++
						status, _ := o.(map[string]any)["status"].(string)
						assert.True(t, status < "500", what)
					}
				}
				if id, ok := doc["id"].(string); ok && answer.StatusCode == http.StatusCreated {
					if strings.HasPrefix(a.target, "/Users") {
						own.users = append(own.users, id)
					} else {
						own.groups = append(own.groups, id)
					}
				}
				if c, ok := doc["nextCursor"].(string); ok {
					own.cursors = append(own.cursors, c)
				}
				if v := answer.Header.Get("ETag"); v != "" {
					own.versions = append(own.versions, v)
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	server.Close()
	require.Empty(t, logged.String())
	whole := 0
	for _, e := range told {
		if e.Bulk == 0 {
			whole++
		}
	}
	require.Equal(t, sent, whole)
	require.GreaterOrEqual(t, len(told)-whole, operations, "one that was completed has a line for that too")
	mem, ok := store.(*memstore.Store)
	if !ok {
		return
	}
	lines := 0
	for _, d := range directories {
		all, err := mem.Requests(t.Context(), d.Key(), 1<<20)
		require.NoError(t, err)
		for _, e := range all {
			require.NotNil(t, told[e.ID])
			require.Equal(t, d.Key(), e.Directory)
		}
		lines += len(all)
	}
	require.Equal(t, len(told), lines)
	for _, tenant := range []string{"acme", "umbrella"} {
		events, err := mem.Events(t.Context(), tenant, 0, 1<<20)
		require.NoError(t, err)
		for i, e := range events {
			require.EqualValues(t, i+1, e.Seq)
			require.NotNil(t, told[e.Request])
		}
	}
}
