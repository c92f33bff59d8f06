package scim_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// The directories of a world. Those of "acme" share a tenant, and with it a
// lock and a sequence of events; "umbrella" is another customer.
var (
	ours    = &scim.Directory{Tenant: "acme", ID: "ours", Domains: []string{"example.com"}}
	sibling = &scim.Directory{Tenant: "acme", ID: "sibling", Domains: []string{"example.com"}}
	foreign = &scim.Directory{Tenant: "umbrella", ID: "ours", Domains: []string{"example.com"}}
)

// tokenOf returns the bearer token of a directory of a world.
func tokenOf(d *scim.Directory) string { return "token-0123456789-" + d.Tenant + "-" + d.ID }

// A world is a store with three directories behind one handler, and the
// application that is told.
type world struct {
	http.Handler // at conversationBase
	scim         *scim.Handler
	store        scim.Store
	app          *hostApp

	mu  sync.Mutex
	log []scim.LogEntry
}

// newWorld wires a store. configure may be nil.
func newWorld(t testing.TB, store scim.Store, configure func(*scim.Config)) *world {
	t.Helper()
	w := &world{store: store, app: newHostApp()}
	var tokens []scim.Token
	for _, d := range []*scim.Directory{ours, sibling, foreign} {
		tokens = append(tokens, scim.Token{Secret: tokenOf(d), Label: d.ID, Directory: d})
	}
	auth, err := scim.StaticTokens(tokens...)
	require.NoError(t, err)
	cfg := &scim.Config{Provisioner: w.app, OnRequest: func(_ context.Context, e *scim.LogEntry) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log = append(w.log, *e)
		checkReason(t, e)
	}}
	if configure != nil {
		configure(cfg)
	}
	w.scim, err = scim.NewHandler(store, memberRole{}, auth, cfg)
	require.NoError(t, err)
	w.Handler = scim.Mount(conversationBase, w.scim, nil)
	return w
}

// memberRole gives a role for each group, named as the group is identified.
type memberRole struct{}

func (memberRole) Roles(_ context.Context, _ *scim.Directory, _ *scim.Resource, groups []scim.GroupRef) ([]scim.Grant, error) {
	var grants []scim.Grant
	for _, g := range groups {
		grants = append(grants, scim.Grant{Role: "role-" + g.ID, Source: scim.FromGroup, Group: g.ID})
	}
	return grants, nil
}

// logged forgets and returns the entries of the request log so far.
func (w *world) logged() []scim.LogEntry {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.log
	w.log = nil
	return log
}

// An ask is a request to a handler at conversationBase.
type ask struct {
	dir     *scim.Directory // whose token is sent; nil: ours
	method  string
	target  string // escaped path below the base, and query
	body    string
	header  map[string]string
	noToken bool
}

// A response is what an ask was answered.
type response struct {
	*httptest.ResponseRecorder
	doc map[string]any // nil where there is no body
}

// do makes a request as a server would read it off the wire, and checks what
// holds of every answer.
func (c ask) do(t testing.TB, h http.Handler) *response {
	t.Helper()
	return c.with(t, h, nil)
}

// with is do with a body that is not a string.
func (c ask) with(t testing.TB, h http.Handler, body io.Reader) *response {
	t.Helper()
	return serve(t, h, c.request(t, body))
}

func (c ask) request(t testing.TB, body io.Reader) *http.Request {
	t.Helper()
	if body == nil && c.body != "" {
		body = strings.NewReader(c.body)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", body)
	r.Method = c.method
	r.RequestURI = conversationBase + c.target
	u, err := url.ParseRequestURI(r.RequestURI)
	require.NoError(t, err, c.target)
	r.URL = u
	if !c.noToken {
		r.Header.Set("Authorization", "Bearer "+tokenOf(cmp.Or(c.dir, ours)))
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for name, value := range c.header {
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	return r
}

// serve answers a request and checks what holds of every answer: it is empty,
// or SCIM in valid JSON.
func serve(t testing.TB, h http.Handler, r *http.Request) *response {
	t.Helper()
	a := &response{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(a.ResponseRecorder, r)
	if r.Method == http.MethodHead {
		require.Zero(t, a.Body.Len(), "RFC 9110 section 9.3.2: HEAD has no content")
		require.Empty(t, answerProblems(a), "%s %s", r.Method, r.URL)
		return a
	}
	body := absent
	if a.Body.Len() > 0 {
		var err error
		body, err = decodeJSON(a.Body.Bytes())
		require.NoError(t, err, "%s %s: the answer is not JSON: %s", r.Method, r.URL, a.Body)
		a.doc, _ = body.(map[string]any)
	}
	for _, problem := range invariants(a.Code, a.Header(), body) {
		if strings.HasPrefix(problem, "/meta/location") && strings.Contains(strings.ToLower(r.URL.RawQuery), "attributes=") {
			continue // what was not asked for need not be there
		}
		t.Errorf("%s %s: %s\n%s", r.Method, r.URL, problem, a.Body)
	}
	problems := answerProblems(a)
	if a.Code != http.StatusNotFound && strings.TrimRight(r.URL.Path, "/") == conversationBase+"/Me" {
		// RFC 7644 section 3.11 wants the Location in any response.
		problems = slices.DeleteFunc(problems, func(p string) bool { return a.Header().Get("ETag") == "" && p == strayHeaders })
	}
	require.Empty(t, problems, "%s %s: %d %s", r.Method, r.URL, a.Code, a.Body)
	return a
}

// scimTypes are those of RFC 7644 section 3.12 and RFC 9865 section 2.1.
var scimTypes = []string{
	"invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax",
	"invalidPath", "noTarget", "invalidValue", "invalidVers", "sensitive",
	"invalidCursor", "expiredCursor", "invalidCount",
}

const strayHeaders = "an error with the headers of a resource"

// answerProblems finds what the invariants of conversations do not look at.
func answerProblems(a *response) (problems []string) {
	if a.Code >= 400 {
		if typ, there := a.doc["scimType"]; there && !slices.Contains(scimTypes, fmt.Sprint(typ)) {
			problems = append(problems, "a scimType that neither RFC 7644 section 3.12 nor RFC 9865 has")
		}
		for name := range a.doc {
			if !slices.Contains([]string{"schemas", "status", "scimType", "detail"}, name) {
				problems = append(problems, "an error with a member "+name)
			}
		}
		if a.Header().Get("Location") != "" || a.Header().Get("ETag") != "" {
			problems = append(problems, strayHeaders)
		}
	}
	if a.Code == http.StatusUnauthorized && a.Header().Get("WWW-Authenticate") == "" {
		problems = append(problems, "a 401 without WWW-Authenticate, RFC 9110 section 11.6.1")
	}
	if a.Code == http.StatusMethodNotAllowed && a.Header().Get("Allow") == "" {
		problems = append(problems, "a 405 without Allow, RFC 9110 section 15.5.6")
	}
	return problems
}

// text returns the text at a JSON pointer of the answer, "" if there is none.
func (a *response) text(pointer string) string {
	s, _ := resolve(a.doc, pointer).(string)
	return s
}

// has reports whether a JSON pointer leads anywhere.
func (a *response) has(pointer string) bool { return resolve(a.doc, pointer) != absent }

// resources returns the resources of a list.
func (a *response) resources(t testing.TB) []map[string]any {
	t.Helper()
	require.Equal(t, http.StatusOK, a.Code, a.Body)
	list, ok := a.doc["Resources"].([]any)
	require.True(t, ok, "not a list: %s", a.Body)
	var all []map[string]any
	for _, r := range list {
		all = append(all, r.(map[string]any))
	}
	return all
}

// ids returns the ids of a list's resources.
func (a *response) ids(t testing.TB) []string {
	t.Helper()
	var ids []string
	for _, r := range a.resources(t) {
		ids = append(ids, r["id"].(string))
	}
	return ids
}

// refused requires an error of that status and scimType.
func (a *response) refused(t testing.TB, status int, scimType scim.ErrorType, why ...any) *response {
	t.Helper()
	require.Equal(t, status, a.Code, append(why, a.Body.String()))
	require.Equal(t, string(scimType), a.text("/scimType"), append(why, a.Body.String()))
	return a
}

// must requires a status.
func (a *response) must(t testing.TB, status int, why ...any) *response {
	t.Helper()
	require.Equal(t, status, a.Code, append(why, a.Body.String()))
	return a
}

// object writes JSON from pairs of names and values.
func object(pairs ...any) string {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoted(pairs[i]))
		b.WriteByte(':')
		if raw, ok := pairs[i+1].(json.RawMessage); ok {
			b.Write(raw)
			continue
		}
		b.WriteString(quoted(pairs[i+1]))
	}
	b.WriteByte('}')
	return b.String()
}

func quoted(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// addUser creates a user and returns its id. more is JSON members with a comma
// before them.
func (w *world) addUser(t testing.TB, d *scim.Directory, userName, more string) string {
	t.Helper()
	body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":` + quoted(userName) + more + `}`
	return ask{dir: d, method: "POST", target: "/Users", body: body}.do(t, w).must(t, http.StatusCreated).text("/id")
}

// addGroup creates a group of the members and returns its id.
func (w *world) addGroup(t testing.TB, d *scim.Directory, name, more string, members ...string) string {
	t.Helper()
	values := make([]map[string]string, len(members))
	for i, id := range members {
		values[i] = map[string]string{"value": id}
	}
	body := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":` + quoted(name) + `,"members":` + quoted(values) + more + `}`
	return ask{dir: d, method: "POST", target: "/Groups", body: body}.do(t, w).must(t, http.StatusCreated).text("/id")
}

// onePatch writes a PATCH of one operation. value is JSON; path and value may
// be empty.
func onePatch(op, path, value string) string {
	body := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":` + quoted(op)
	if path != "" {
		body += `,"path":` + quoted(path)
	}
	if value != "" {
		body += `,"value":` + value
	}
	return body + `}]}`
}

// dump writes down all that a store has of a directory: resources, members,
// accounts and events, the request log excepted.
func dump(t testing.TB, store scim.Store, d *scim.Directory) string {
	t.Helper()
	ctx := context.Background()
	var b strings.Builder
	var users []string
	for _, typ := range scim.CoreTypes().All() {
		page, err := store.List(ctx, &scim.Query{Directory: d.Key(), Type: typ, StartIndex: 1, Count: 1 << 30})
		require.NoError(t, err)
		slices.SortFunc(page.Resources, func(a, b *scim.Resource) int { return cmp.Compare(a.ID(), b.ID()) })
		for _, r := range page.Resources {
			fmt.Fprintf(&b, "%v %+v %s\n", r.Ref(), r.Meta(), r.JSON())
			if typ.IsUser() {
				users = append(users, r.ID())
			}
			if members, ok := store.(scim.MemberStore); ok && typ.IsGroup() {
				for m, err := range members.Members(ctx, r.Ref()) {
					require.NoError(t, err)
					fmt.Fprintf(&b, "\tmember %+v\n", m)
				}
			}
		}
	}
	ledger, ok := store.(scim.Ledger)
	if !ok {
		return b.String()
	}
	groups, err := ledger.GroupsOf(ctx, d.Key(), users)
	require.NoError(t, err)
	fmt.Fprintf(&b, "groups %v\n", groups)
	require.NoError(t, ledger.Do(ctx, d.Tenant, func(ctx context.Context, tx scim.Tx) error {
		people, err := tx.UserStates(ctx, d.Key(), users)
		for _, p := range people {
			fmt.Fprintf(&b, "account %+v\n", p.Account)
		}
		return err
	}))
	for _, e := range eventsOf(t, ledger, d.Tenant) {
		if e.Directory == d.Key() {
			fmt.Fprintf(&b, "event %d %s %v %s\n", e.Seq, e.Type, e.Subject(), e.Member.Value)
		}
	}
	return b.String()
}

// eventsOf returns all events of a tenant, and requires that their sequence
// has no gap (rule D2).
func eventsOf(t testing.TB, ledger scim.Ledger, tenant string) []*scim.Event {
	t.Helper()
	events, err := ledger.Events(context.Background(), tenant, 0, 1<<30)
	require.NoError(t, err)
	for i, e := range events {
		if e.Seq != uint64(i+1) {
			t.Fatalf("event %d has the sequence number %d", i+1, e.Seq)
		}
	}
	return events
}

// fingerprint is a dump of every directory of a world.
func (w *world) fingerprint(t testing.TB) string {
	t.Helper()
	return dump(t, w.store, ours) + dump(t, w.store, sibling) + dump(t, w.store, foreign)
}

var (
	uuidText    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timeText    = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)
	versionText = regexp.MustCompile(`W/\\*"\d+\\*"`)
)

// comparable returns an answer without what differs from request to request,
// ids included.
func (a *response) comparable() string {
	s := fmt.Sprintf("%d %s %s\n%s", a.Code, a.Header().Get("Location"), a.Header().Get("ETag"), a.Body)
	s = uuidText.ReplaceAllString(s, "<id>")
	s = timeText.ReplaceAllString(s, "<time>")
	return versionText.ReplaceAllString(s, "<version>")
}
