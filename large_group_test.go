package scim_test

import (
	"context"
	"fmt"
	"io"
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
	b.Run("GET", func(b *testing.B) {
		measure(b, http.MethodGet, "", nil, http.StatusOK, nil)
	})
}
