package scim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// A crowd is a directory with many users, for groups of them.
type crowd struct {
	http.Handler
	scim  *scim.Handler
	users []string
	group string
}

// newCrowd makes a directory of n users and a group of nobody, told by app.
func newCrowd(tb testing.TB, n int, app scim.Provisioner) *crowd {
	tb.Helper()
	r := newRig(tb, memstore.New(scim.CoreTypes(), nil), scim.NoRoles{}, acme(scim.Policy{}), func(c *scim.Config) {
		c.Provisioner, c.OnRequest, c.DirectHooks = app, nil, true
	})
	c := &crowd{Handler: r, scim: r.scim}
	for i := range n {
		c.users = append(c.users, c.create(tb, "/Users", fmt.Sprintf(`{"userName":"u%d@acme.example","displayName":"Somebody Number %d"}`, i, i)))
	}
	c.group = c.create(tb, "/Groups", `{"displayName":"Everybody"}`)
	return c
}

func (c *crowd) create(tb testing.TB, path, body string) string {
	tb.Helper()
	w := httptest.NewRecorder()
	c.ServeHTTP(w, c.request(tb, http.MethodPost, path, strings.NewReader(body)))
	require.Equal(tb, http.StatusCreated, w.Code, w.Body)
	return strings.TrimPrefix(w.Header().Get("Location"), "http://example.com"+conversationBase+path+"/")
}

func (*crowd) request(tb testing.TB, method, path string, body io.Reader) *http.Request {
	tb.Helper()
	q := httptest.NewRequestWithContext(context.Background(), method, conversationBase+path, body)
	q.Header.Set("Authorization", "Bearer "+testToken)
	return q
}

// A crowdBody is a body with the members of a crowd, made while it is read so
// that it takes no memory itself.
type crowdBody struct {
	before, after string
	users         []string
	next          int
	part, rest    []byte // of the body: all of it, what is not read yet
	at            int64
	atRead        func(at int64, room int) // may be nil
}

func (b *crowdBody) Read(p []byte) (n int, err error) {
	if b.atRead != nil {
		b.atRead(b.at, len(p))
	}
	for n < len(p) {
		if len(b.rest) == 0 && !b.more() {
			err = io.EOF
			break
		}
		k := copy(p[n:], b.rest)
		n, b.rest = n+k, b.rest[k:]
	}
	b.at += int64(n)
	return n, err
}

func (b *crowdBody) more() bool {
	b.part = b.part[:0]
	switch i := b.next - 1; {
	case i == -1:
		b.part = append(b.part, b.before...)
	case i < len(b.users):
		if i > 0 {
			b.part = append(b.part, ',')
		}
		b.part = append(append(b.part, `{"value":"`...), b.users[i]...)
		b.part = append(b.part, `","display":"Somebody of the crowd","$ref":"https://scim.acme.example/scim/v2/Users/`...)
		b.part = append(append(b.part, b.users[i]...), `","type":"User"}`...)
	case i == len(b.users):
		b.part = append(b.part, b.after...)
	default:
		return false
	}
	b.next, b.rest = b.next+1, b.part
	return true
}

func (c *crowd) putBody() *crowdBody {
	return &crowdBody{before: `{"displayName":"Everybody","members":[`, after: `]}`, users: c.users}
}

func (c *crowd) patchBody(op string) *crowdBody {
	return &crowdBody{before: `{"Operations":[{"op":"` + op + `","path":"members","value":[`, after: `]}]}`, users: c.users}
}

// A gauge notes the largest live heap above what there was at the start, at
// the points where it is asked to look.
type gauge struct{ base, peak uint64 }

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func newGauge() *gauge { return &gauge{base: liveHeap()} }

func (g *gauge) look() {
	if now := liveHeap(); now > g.base {
		g.peak = max(g.peak, now-g.base)
	}
}

// A meter is a client that reads an answer away, and looks at the heap while it
// does.
type meter struct {
	header  http.Header
	status  int
	n       int64
	largest int
	look    func()
	every   int64
	next    int64
}

func (m *meter) Header() http.Header { return m.header }
func (m *meter) WriteHeader(s int)   { m.status = s }
func (m *meter) Write(p []byte) (int, error) {
	m.n += int64(len(p))
	m.largest = max(m.largest, len(p))
	if m.look != nil && m.n >= m.next {
		m.next = m.n + m.every
		m.look()
	}
	return len(p), nil
}

// Rule E3: the body of a large group is read as it comes, and its answer sent as
// it is read. The bounds are generous, and below what it would take to hold the
// body, which has 200 bytes for a member.
func TestE3LargeGroupsTakeLittleMemory(t *testing.T) {
	const n = 10_000
	c := newCrowd(t, n, nil)
	everybody := "/Groups/" + c.group
	do := func(method, path string, body *crowdBody, want int) *meter {
		w := &meter{header: http.Header{}}
		var q *http.Request
		if body == nil {
			q = c.request(t, method, path, nil)
		} else {
			q = c.request(t, method, path, body)
		}
		c.ServeHTTP(w, q)
		require.Equal(t, want, w.status)
		return w
	}
	do(http.MethodPut, everybody, c.putBody(), http.StatusOK)
	for _, call := range []struct {
		method, query string
		body          func() *crowdBody
		want          int
	}{
		{http.MethodPut, "", c.putBody, http.StatusOK},
		{http.MethodPatch, "", func() *crowdBody { return c.patchBody("add") }, http.StatusNoContent},
		{http.MethodPatch, "?attributes=members", func() *crowdBody { return c.patchBody("replace") }, http.StatusOK},
		{http.MethodPatch, "?attributes=displayName", func() *crowdBody { return c.patchBody("Add") }, http.StatusOK},
	} {
		name := call.method + call.query
		var w *meter
		used := allocated(func() { w = do(call.method, everybody+call.query, call.body(), call.want) })
		require.Less(t, used/n, uint64(450), "%s: bytes allocated for a member", name)
		require.LessOrEqual(t, w.largest, 64<<10, "%s: the largest part of the answer", name)

		var g *gauge
		body, room, looks := call.body(), 0, 0
		body.atRead = func(at int64, free int) {
			if room = max(room, free); at > int64(looks)<<18 {
				looks++
				g.look()
			}
		}
		g = newGauge()
		do(call.method, everybody+call.query, body, call.want)
		require.Greater(t, looks, 5, name)
		require.LessOrEqual(t, room, 64<<10, "%s: the buffer that the body is read into", name)
		require.Less(t, g.peak/n, uint64(180), "%s: bytes held for a member", name)
	}

	// One group, and a page of many.
	const groups = 10
	for i := range groups {
		body := c.putBody()
		body.before = fmt.Sprintf(`{"displayName":"Copy %d","members":[`, i)
		do(http.MethodPost, "/Groups?excludedAttributes=members", body, http.StatusCreated)
	}
	for path, members := range map[string]int64{everybody: n, "/Users?count=1000&excludedAttributes=groups": 1000, "/Groups?sortBy=displayName&count=5&startIndex=2": 5 * n, "/Groups": (groups + 1) * n} {
		var w *meter
		used := allocated(func() { w = do(http.MethodGet, path, nil, http.StatusOK) })
		require.Greater(t, w.n, members*100, path)
		require.LessOrEqual(t, w.largest, 64<<10, path)
		require.Less(t, used, uint64(2<<20), path)
	}
}

// A page that is sent as it is read is a whole list.
func TestE3LargePagesAreWhole(t *testing.T) {
	t.Parallel()
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store(), nil)
			var users []string
			for i := range 60 {
				users = append(users, w.addUser(t, ours, fmt.Sprintf("u%d@example.com", i), `,"title":"`+strings.Repeat("x", 2000)+`"`))
			}
			for i := range 30 {
				w.addGroup(t, ours, fmt.Sprintf("team %02d", i), "", users...)
			}
			a := ask{method: "GET", target: "/Groups?sortBy=displayName&count=20&startIndex=6"}.do(t, w).must(t, http.StatusOK)
			require.Equal(t, json.Number("30"), a.doc["totalResults"])
			require.Equal(t, json.Number("20"), a.doc["itemsPerPage"])
			require.Equal(t, json.Number("6"), a.doc["startIndex"])
			for i, g := range a.resources(t) {
				require.Equal(t, fmt.Sprintf("team %02d", i+5), g["displayName"])
				require.ElementsMatch(t, users, values(g["members"]))
			}
			require.Len(t, a.resources(t), 20)
			require.Len(t, ask{method: "GET", target: "/Users"}.do(t, w).must(t, http.StatusOK).resources(t), 60)
		})
	}
}

// Where reading fails in the middle of a page, the client does not take what it
// has for the page; before anything is sent, it gets an error. A group that is
// deleted while the page is being sent is no error.
func TestE3PagesThatBreakOff(t *testing.T) {
	t.Parallel()
	store := &brittleStore{Ledger: memstore.New(scim.CoreTypes(), nil)}
	w := newWorld(t, store, nil)
	var users []string
	for i := range 400 {
		users = append(users, w.addUser(t, ours, fmt.Sprintf("u%d@example.com", i), ""))
	}
	var groups []string
	for i := range 3 {
		groups = append(groups, w.addGroup(t, ours, fmt.Sprintf("team %d", i), "", users...))
	}
	w.logged()
	list := ask{method: "GET", target: "/Groups?sortBy=displayName"}
	store.breaksAfter = 300
	recorder := httptest.NewRecorder()
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { w.ServeHTTP(recorder, list.request(t, nil)) })
	require.NotEmpty(t, recorder.Body.Bytes())
	require.False(t, json.Valid(recorder.Body.Bytes()))
	log := w.logged()
	require.Len(t, log, 1)
	require.Equal(t, http.StatusInternalServerError, log[0].Status)

	store.breaksAfter = 1
	list.do(t, w).must(t, http.StatusInternalServerError)
	store.breaksAfter = 0

	gone := &vanishingGroups{brittleStore: store, last: groups[2]}
	w = newWorld(t, gone, nil)
	page := list.do(t, w).must(t, http.StatusOK).resources(t)
	require.Len(t, page, 3)
	require.Len(t, page[1]["members"], 400)
	require.Nil(t, page[2]["members"], "what is left of a group that is gone")
	ask{method: "GET", target: "/Groups/" + groups[1]}.do(t, w).must(t, http.StatusOK)
	ask{method: "GET", target: "/Groups/" + groups[2]}.do(t, w).must(t, http.StatusNotFound)
}

// vanishingGroups deletes a group before its members are read.
type vanishingGroups struct {
	*brittleStore
	last string
}

func (s *vanishingGroups) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	if group.ID == s.last {
		_ = s.Delete(ctx, group, 0)
	}
	return s.brittleStore.Members(ctx, group)
}

// Rule E3: more than is allowed is a 413, also where that shows only in the
// middle; a body that breaks off there is a 400. No more is read than is needed
// to know, and nothing is changed.
func TestE3GroupBodiesAreBoundedWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store(), func(c *scim.Config) { c.Limits.GroupBody = limit })
			ada := w.addUser(t, ours, "ada@example.com", "")
			group := w.addGroup(t, ours, "team", "", ada)
			member := `{"value":"` + ada + `","$ref":null},`
			for _, c := range []struct{ method, target, before, after string }{
				{"POST", "/Groups", `{"displayName":"other","members":[`, `"` + ada + `"]}`},
				{"PUT", "/Groups/" + group, `{"displayName":"team","members":[`, `"` + ada + `"]}`},
				{"PATCH", "/Groups/" + group, `{"Operations":[{"op":"replace","path":"members","value":[`, `"` + ada + `"]}]}`},
				{"PATCH", "/Groups/" + group, `{"Operations":[{"op":"replace","value":{"members":[`, `"` + ada + `"]}}]}`},
			} {
				send := func(size int, end io.Reader) (a *response, read int64) {
					t.Helper()
					fill := strings.Repeat(member, size/len(member)+1)
					fill = c.before + fill[:(size-len(c.before)-len(c.after))/len(member)*len(member)] + c.after
					fill += strings.Repeat(" ", size-len(fill))
					counted := &countingReader{r: io.MultiReader(strings.NewReader(fill), end)}
					q := ask{method: c.method, target: c.target}.request(t, counted)
					q.ContentLength = -1
					return serve(t, w, q), counted.n
				}
				a, _ := send(limit+1, strings.NewReader(""))
				a.refused(t, http.StatusRequestEntityTooLarge, "", c)
				a, read := send(50*limit, strings.NewReader(""))
				a.refused(t, http.StatusRequestEntityTooLarge, "", c)
				require.LessOrEqual(t, read, int64(limit+1))
				for _, err := range []error{io.ErrUnexpectedEOF, errors.New("secret"), context.Canceled} {
					a, _ = send(limit/2, failingReader{err})
					a.refused(t, http.StatusBadRequest, scim.InvalidSyntax, c)
					require.NotContains(t, a.Body.String(), "secret")
				}
				a, _ = send(limit/2, failingReader{&http.MaxBytesError{Limit: limit / 2}})
				a.refused(t, http.StatusRequestEntityTooLarge, "", c)
				require.Contains(t, a.Body.String(), fmt.Sprint(limit/2))
				if c.method != "POST" {
					a, _ = send(limit, strings.NewReader(""))
					require.Less(t, a.Code, 300, "as much as is allowed: %s", a.Body)
				}
				g := ask{method: "GET", target: "/Groups/" + group}.do(t, w).must(t, http.StatusOK)
				require.Equal(t, []string{ada}, values(g.doc["members"]))
			}
			all := ask{method: "GET", target: "/Groups"}.do(t, w).must(t, http.StatusOK)
			require.Len(t, all.resources(t), 1, "nothing was created")
		})
	}
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Who sends a group slowly holds nothing that others wait for.
func TestE3ASlowSenderMakesNobodyWait(t *testing.T) {
	t.Parallel()
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store(), nil)
			ada, ben := w.addUser(t, ours, "ada@example.com", ""), w.addUser(t, ours, "ben@example.com", "")
			group := w.addGroup(t, ours, "team", "", ada)
			for _, c := range []struct {
				method string
				parts  [2]string
			}{
				{"PUT", [2]string{`{"displayName":"team","members":[{"value":"` + ada + `"},`, `{"value":"` + ben + `"}]}`}},
				{"PATCH", [2]string{`{"Operations":[{"op":"replace","path":"members","value":[{"value":"` + ada + `"},`, `{"value":"` + ben + `"}]}]}`}},
			} {
				body, sender := io.Pipe()
				answer := make(chan *httptest.ResponseRecorder)
				q := ask{method: c.method, target: "/Groups/" + group}.request(t, body)
				go func() {
					a := httptest.NewRecorder()
					w.ServeHTTP(a, q)
					answer <- a
				}()
				_, err := io.WriteString(sender, c.parts[0]) // returns when it is read
				require.NoError(t, err)
				ask{method: "PATCH", target: "/Groups/" + group, body: onePatch("remove", "members", "")}.do(t, w).must(t, http.StatusNoContent)
				g := ask{method: "GET", target: "/Groups/" + group}.do(t, w).must(t, http.StatusOK)
				require.Nil(t, g.doc["members"])
				_, err = io.WriteString(sender, c.parts[1])
				require.NoError(t, err)
				require.NoError(t, sender.Close())
				require.Less(t, (<-answer).Code, 300, c.method)
				g = ask{method: "GET", target: "/Groups/" + group}.do(t, w).must(t, http.StatusOK)
				require.ElementsMatch(t, []string{ada, ben}, values(g.doc["members"]), c.method)
			}
		})
	}
}

// BenchmarkLargeGroup says what a member costs: allocated in all, live at most
// while the body is read, in the transaction, and while the answer is written.
func BenchmarkLargeGroup(b *testing.B) {
	const n = 100_000
	var inside func()
	c := newCrowd(b, n, scim.ProvisionerFunc(func(_ context.Context, a *scim.Account) (string, error) {
		if inside != nil {
			inside()
		}
		return a.ID, nil
	}))
	measure := func(b *testing.B, method, query string, body func() *crowdBody, want int, prepare func()) {
		b.Helper()
		for b.Loop() {
			b.StopTimer()
			if prepare != nil {
				prepare()
			}
			var g *gauge
			do := func(looking bool) {
				w := &meter{header: http.Header{}, every: 2 << 20}
				var q *http.Request
				if body == nil {
					q = c.request(b, method, "/Groups/"+c.group+query, nil)
				} else {
					s := body()
					if looking {
						at := int64(0)
						s.atRead = func(now int64, _ int) {
							if now > at {
								at = now + 2<<20
								g.look()
							}
						}
					}
					q = c.request(b, method, "/Groups/"+c.group+query, s)
				}
				if looking {
					w.look = g.look
					told := 0
					inside = func() {
						if told++; told%(n/4) == 1 || told == n {
							g.look()
						}
					}
					defer func() { inside = nil }()
				}
				c.ServeHTTP(w, q)
				require.Equal(b, want, w.status)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			b.StartTimer()
			do(false)
			b.StopTimer()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "alloc-B/member")
			if prepare != nil {
				prepare()
			}
			g = newGauge()
			do(true)
			b.ReportMetric(float64(g.peak)/n, "live-B/member")
			b.StartTimer()
		}
	}
	clear := func() {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, c.request(b, http.MethodPut, "/Groups/"+c.group, strings.NewReader(`{"displayName":"Everybody"}`)))
		require.Equal(b, http.StatusOK, w.Code, w.Body)
	}
	b.Run("PUT", func(b *testing.B) {
		measure(b, http.MethodPut, "?excludedAttributes=members", c.putBody, http.StatusOK, clear)
	})
	b.Run("PUT same", func(b *testing.B) {
		measure(b, http.MethodPut, "?excludedAttributes=members", c.putBody, http.StatusOK, nil)
	})
	b.Run("PATCH add same", func(b *testing.B) {
		measure(b, http.MethodPatch, "", func() *crowdBody { return c.patchBody("add") }, http.StatusNoContent, nil)
	})
	b.Run("PATCH add", func(b *testing.B) {
		measure(b, http.MethodPatch, "", func() *crowdBody { return c.patchBody("add") }, http.StatusNoContent, clear)
	})
	b.Run("PATCH add same without path", func(b *testing.B) { // the one that is held
		measure(b, http.MethodPatch, "", func() *crowdBody {
			return &crowdBody{before: `{"Operations":[{"op":"add","value":{"members":[`, after: `]}}]}`, users: c.users}
		}, http.StatusNoContent, nil)
	})
	b.Run("GET", func(b *testing.B) {
		measure(b, http.MethodGet, "", nil, http.StatusOK, nil)
	})
}
