package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// padded returns a JSON object of exactly n bytes: white space makes up for
// what is missing.
func padded(t testing.TB, body string, n int) string {
	t.Helper()
	require.LessOrEqual(t, len(body), n)
	return body[:len(body)-1] + strings.Repeat(" ", n-len(body)) + "}"
}

// list returns a JSON array of n values.
func list(n int, value func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = value(i)
	}
	return "[" + strings.Join(all, ",") + "]"
}

func entitlements(from, n int) string {
	return list(n, func(i int) string { return fmt.Sprintf(`{"value":"e%d"}`, from+i) })
}

// A boundCase is a bound of rule E3 and what is sent at n of it. Up to the
// bound it is answered with 2xx.
type boundCase struct {
	name  string
	knob  func(l *scim.Limits, n int)
	usual int // the default
	send  func(t testing.TB, w *world, n int) *response
	over  int // the status beyond it
	typ   scim.ErrorType
	says  string // how the error names the bound n
}

func boundCases() []boundCase {
	nested := func(n int) string { // a body of n levels
		return `{"userName":"deep@example.com","unknown":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
	}
	user := func(w *world, t testing.TB, more string) *response {
		return ask{method: "POST", target: "/Users", body: `{"userName":"new@example.com"` + more + `}`}.do(t, w)
	}
	patchOf := func(operations string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":` + operations + `}`
	}
	patched := func(w *world, t testing.TB, operations string) *response {
		id := user(w, t, "").text("/id")
		if id == "" {
			id = w.get(t, "/Users?filter="+url.QueryEscape(`userName eq "new@example.com"`)).ids(t)[0]
		}
		return ask{method: "PATCH", target: "/Users/" + id, body: patchOf(operations)}.do(t, w)
	}
	return []boundCase{
		{
			name: "body", usual: 2 << 20, over: 413, says: "%d bytes",
			knob: func(l *scim.Limits, n int) { l.Body = int64(n) },
			send: func(t testing.TB, w *world, n int) *response {
				return ask{method: "POST", target: "/Users", body: padded(t, `{"userName":"ada@example.com"}`, n)}.do(t, w)
			},
		}, {
			name: "body in chunks", usual: 2 << 20, over: 413, says: "%d bytes",
			knob: func(l *scim.Limits, n int) { l.Body = int64(n) },
			send: func(t testing.TB, w *world, n int) *response {
				body := io.MultiReader(strings.NewReader(padded(t, `{"userName":"ada@example.com"}`, n))) // whose length nobody knows
				return ask{method: "POST", target: "/Users"}.with(t, w, body)
			},
		}, {
			name: "group body", usual: 32 << 20, over: 413, says: "%d bytes",
			knob: func(l *scim.Limits, n int) { l.GroupBody = int64(n) },
			send: func(t testing.TB, w *world, n int) *response {
				return ask{method: "POST", target: "/Groups", body: padded(t, `{"displayName":"team"}`, n)}.do(t, w)
			},
		}, {
			name: "operations", usual: 1000, over: 400, typ: "tooMany", says: "%d operations",
			knob: func(l *scim.Limits, n int) { l.Operations = n },
			send: func(t testing.TB, w *world, n int) *response {
				return patched(w, t, list(n, func(i int) string { return fmt.Sprintf(`{"op":"replace","path":"title","value":"%d"}`, i) }))
			},
		}, {
			name: "values of a POST", usual: 10_000, over: 400, typ: "tooMany", says: "%d values",
			knob: func(l *scim.Limits, n int) { l.Values = n },
			send: func(t testing.TB, w *world, n int) *response {
				return user(w, t, `,"entitlements":`+entitlements(0, n))
			},
		}, {
			name: "values of a replace", usual: 10_000, over: 400, typ: "tooMany", says: "%d values",
			knob: func(l *scim.Limits, n int) { l.Values = n },
			send: func(t testing.TB, w *world, n int) *response {
				return patched(w, t, `[{"op":"replace","path":"entitlements","value":`+entitlements(0, n)+`}]`)
			},
		}, {
			name: "values that are added to others", usual: 10_000, over: 400, typ: "tooMany", says: "%d values",
			knob: func(l *scim.Limits, n int) { l.Values = n },
			send: func(t testing.TB, w *world, n int) *response {
				return patched(w, t, `[{"op":"replace","path":"entitlements","value":`+entitlements(0, n-1)+`},{"op":"add","path":"entitlements","value":`+entitlements(n-2, 2)+`}]`)
			},
		}, {
			name: "values that a filter describes", usual: 10_000, over: 400, typ: "tooMany", says: "%d values",
			knob: func(l *scim.Limits, n int) { l.Values = n },
			send: func(t testing.TB, w *world, n int) *response {
				return patched(w, t, `[{"op":"replace","path":"entitlements","value":`+entitlements(0, n-1)+`},{"op":"replace","path":"entitlements[value eq \"new\"].display","value":"x"}]`)
			},
		}, {
			name: "filter", usual: 8 << 10, over: 400, typ: "invalidFilter", says: "%d bytes",
			knob: func(l *scim.Limits, n int) { l.FilterLength = n },
			send: func(t testing.TB, w *world, n int) *response {
				filter := `userName eq "` + strings.Repeat("x", n-len(`userName eq ""`)) + `"`
				return w.get(t, "/Users?filter="+url.QueryEscape(filter))
			},
		}, {
			name: "filter in a path", usual: 8 << 10, over: 400, typ: "invalidPath", says: "%d bytes",
			knob: func(l *scim.Limits, n int) { l.FilterLength = n },
			send: func(t testing.TB, w *world, n int) *response {
				path := `emails[type eq "` + strings.Repeat("x", n-len(`emails[type eq ""].display`)) + `"].display`
				return patched(w, t, `[{"op":"remove","path":`+quoted(path)+`}]`)
			},
		}, {
			name: "depth of a filter", usual: 32, over: 400, typ: "invalidFilter", says: "too deep",
			knob: func(l *scim.Limits, n int) { l.Depth = n },
			send: func(t testing.TB, w *world, n int) *response {
				return w.get(t, "/Users?filter="+url.QueryEscape(strings.Repeat("(", n)+"id pr"+strings.Repeat(")", n)))
			},
		}, {
			name: "depth of JSON", usual: 32, over: 400, typ: "invalidSyntax", says: "%d levels",
			knob: func(l *scim.Limits, n int) { l.Depth = n },
			send: func(t testing.TB, w *world, n int) *response {
				return ask{method: "POST", target: "/Users", body: nested(n)}.do(t, w)
			},
		},
	}
}

// Rule E3: each bound holds as it is configured and as it is by default: below
// and at it a request succeeds, above it the error says the bound.
func TestE3Bounds(t *testing.T) {
	for _, c := range boundCases() {
		for _, bound := range []int{100, c.usual} {
			if strings.HasPrefix(c.name, "depth") && bound == 100 {
				bound = 9
			}
			t.Run(fmt.Sprint(c.name, " ", bound), func(t *testing.T) {
				t.Parallel()
				for name, open := range stores {
					at := func(n int) *response {
						w := newWorld(t, open(), func(cfg *scim.Config) {
							if bound != c.usual {
								c.knob(&cfg.Limits, bound)
							}
						})
						return c.send(t, w, n)
					}
					for _, n := range []int{bound - 1, bound} {
						a := at(n)
						require.Less(t, a.Code, 300, "%s: %d of %d: %.300s", name, n, bound, a.Body)
					}
					at(bound+1).refused(t, c.over, c.typ, name)
					require.Contains(t, at(bound+1).text("/detail"), strings.ReplaceAll(c.says, "%d", fmt.Sprint(bound)))
				}
			})
		}
	}
}

// Members of a group are bounded by the body alone, in every form; other
// attributes of a group by their number.
func TestE3MembersAreNotCounted(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, open(), func(cfg *scim.Config) { cfg.Limits.Values = 3 })
			var ids []string
			for i := range 10 {
				ids = append(ids, w.addUser(t, ours, fmt.Sprintf("u%d@example.com", i), ""))
			}
			members := list(10, func(i int) string { return `{"value":` + quoted(ids[i]) + `}` })
			group := w.addGroup(t, ours, "team", "", ids...)
			path := "/Groups/" + group
			ask{method: "PUT", target: path, body: `{"displayName":"t","members":` + members + `}`}.do(t, w).must(t, http.StatusOK)
			for _, op := range []string{"add", "replace", "remove"} {
				ask{method: "PATCH", target: path, body: onePatch(op, "members", members)}.do(t, w).must(t, http.StatusNoContent, op)
			}
			ask{method: "PATCH", target: path, body: onePatch("add", "", `{"members":`+members+`}`)}.do(t, w).must(t, http.StatusNoContent)
			require.Len(t, w.get(t, path).doc["members"], 10)
		})
	}
}

// Many PATCHes make no resource larger than one request could send it; what is
// larger already, because the host made it so, can still be changed and become
// smaller.
func TestE3ResourcesDoNotGrowWithoutBound(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			store := open()
			const most = 4000
			w := newWorld(t, store, func(cfg *scim.Config) { cfg.Limits.Body = most })
			path := "/Users/" + w.addUser(t, ours, "ada@example.com", "")
			add := func(i int) *response {
				return ask{method: "PATCH", target: path, body: onePatch("add", "entitlements", fmt.Sprintf(`[{"value":"%d","display":%q}]`, i, strings.Repeat("x", 500)))}.do(t, w)
			}
			n := 0
			for ; n < 100; n++ {
				if a := add(n); a.Code != http.StatusOK {
					a.refused(t, http.StatusBadRequest, scim.TooMany)
					require.Contains(t, a.text("/detail"), "4000 bytes")
					break
				}
			}
			require.Greater(t, n, 4)
			require.Less(t, n, 8)
			require.Len(t, w.get(t, path).doc["entitlements"], n)

			large, err := scim.CoreTypes().New(ours.Key(), "User").ID("large").Set("userName", "large@example.com").Set("title", strings.Repeat("x", 2*most)).Resource()
			require.NoError(t, err)
			_, err = store.Create(t.Context(), large)
			require.NoError(t, err)
			path = "/Users/large"
			ask{method: "PATCH", target: path, body: onePatch("add", "displayName", `"x"`)}.do(t, w).refused(t, http.StatusBadRequest, scim.TooMany)
			ask{method: "PATCH", target: path, body: onePatch("replace", "title", quoted(strings.Repeat("y", most-200)))}.do(t, w).must(t, http.StatusOK)
		})
	}
}

// Rule E3: a page has no more than Page resources, and DefaultPage where the
// client does not say; more is lowered and not refused (RFC 7644 section
// 3.4.2.4).
func TestE3Pages(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				limits      scim.Limits
				usual, most int
			}{
				{scim.Limits{Page: 5, DefaultPage: 3}, 3, 5},
				{scim.Limits{Page: 5}, 5, 5},
				{scim.Limits{Page: 5, DefaultPage: 50}, 5, 5},
				{scim.Limits{}, 8, 8},
			} {
				w := newWorld(t, open(), func(cfg *scim.Config) { cfg.Limits = c.limits })
				for i := range 8 {
					w.addUser(t, ours, fmt.Sprintf("u%d@example.com", i), "")
				}
				for query, want := range map[string]int{"": c.usual, "?count=2": 2, "?count=4": min(4, c.most), "?count=5": min(5, c.most), "?count=6": min(6, c.most), "?count=1000000000000": c.most} {
					a := w.get(t, "/Users"+query)
					require.Len(t, a.resources(t), want, query)
					require.Equal(t, json.Number(fmt.Sprint(want)), a.doc["itemsPerPage"])
					require.Equal(t, json.Number("8"), a.doc["totalResults"])
				}
				if c.limits.Page > 0 {
					require.Equal(t, json.Number(fmt.Sprint(c.limits.Page)), resolve(w.get(t, "/ServiceProviderConfig").doc, "/filter/maxResults"))
				}
			}
		})
	}
}

// Rule E3: U+0000 is refused in any string, also in what is passed over: the
// value of an unknown or read-only attribute, the name of one.
func TestE3NULInWhatIsPassedOver(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		path := "/Users/" + w.addUser(t, ours, "ada@example.com", "")
		for _, passed := range []string{
			`"unknown":"%"`, `"unknown":{"a":["%"]}`, `"unknown":{"%":1}`, `"%":1`, `"groups":[{"value":"%"}]`, `"id":"%"`, `"meta":{"version":"%"}`, `"password":"%"`,
			`"emails":[{"value":"ada@example.com","unknown":"%"}]`, `"name":{"unknown":"%"}`, `"` + enterpriseURN + `":{"unknown":["%"]}`, `"urn:example:unknown":{"a":"%"}`,
		} {
			for text, want := range map[string]int{`a\u0000b`: 400, `\\\u0000`: 400, `\\u0000`: 200, `\\\\u0000`: 200} {
				value := "{" + strings.ReplaceAll(passed, "%", text) + "}"
				body := `{"userName":"ada@example.com",` + value[1:]
				if !strings.Contains(passed, "emails") { // the email is not to change
					ask{method: "PATCH", target: path, body: onePatch("add", "", value)}.do(t, w).must(t, want, "PATCH", value)
				}
				a := ask{method: "PUT", target: path, body: body}.do(t, w).must(t, want, "PUT", body)
				if want == 400 {
					a.refused(t, 400, scim.InvalidSyntax)
					require.Contains(t, a.text("/detail"), "U+0000")
				}
			}
		}
	})
}

// A limitedWorld is a world whose callers may make 5 requests a second, and 10
// at once, on a clock that the test sets.
type limitedWorld struct {
	*world
	mu  sync.Mutex
	now time.Time
}

func newLimitedWorld(t testing.TB, store scim.Store, limits scim.Limits) *limitedWorld {
	t.Helper()
	l := &limitedWorld{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	l.world = newWorld(t, store, func(cfg *scim.Config) {
		cfg.Limits = limits
		cfg.Now = func() time.Time {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.now
		}
	})
	return l
}

func (l *limitedWorld) wait(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// burst makes up to n requests and returns how many went through before the
// first that was refused.
func (l *limitedWorld) burst(t testing.TB, d *scim.Directory, n int) int {
	t.Helper()
	for i := range n {
		if a := (ask{dir: d, method: "GET", target: "/ServiceProviderConfig"}).do(t, l); a.Code != http.StatusOK {
			a.refused(t, http.StatusTooManyRequests, "")
			return i
		}
	}
	return n
}

// Rule E3: a rate per token: 429 with an integer Retry-After after which the
// request goes through.
func TestE3Rate(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			l := newLimitedWorld(t, open(), scim.Limits{Rate: 5, Burst: 10})
			require.Equal(t, 10, l.burst(t, ours, 100), "at once after a pause")
			a := l.get(t, "/Users").refused(t, http.StatusTooManyRequests, "")
			require.Equal(t, "1", a.Header().Get("Retry-After"), "whole seconds (quirk 117)")
			require.Contains(t, a.text("/detail"), "more than 5 requests a second")
			require.Equal(t, 10, l.burst(t, sibling, 100), "another directory of the tenant has its own")
			require.Equal(t, 10, l.burst(t, foreign, 100))

			l.wait(time.Second)
			require.Equal(t, 5, l.burst(t, ours, 100), "as many as a second allows")
			l.wait(199 * time.Millisecond)
			require.Zero(t, l.burst(t, ours, 100))
			l.wait(time.Millisecond)
			require.Equal(t, 1, l.burst(t, ours, 100))
			l.wait(time.Hour)
			require.Equal(t, 10, l.burst(t, ours, 100), "no more, however long the pause")
			l.wait(-time.Hour)
			require.Zero(t, l.burst(t, ours, 1), "a clock that is set back")
			l.wait(2 * time.Second)
			require.Equal(t, 10, l.burst(t, ours, 100), "makes nobody wait for longer than a full bucket takes")

			before := l.fingerprint(t)
			for _, request := range []ask{{method: "POST", target: "/Users", body: object("userName", "ada@example.com")}, {method: "DELETE", target: "/Users/x"}, {method: "GET", target: "/nothing"}, {method: "HEAD", target: "/Users"}, {method: "BREW", target: "/Users"}} {
				request.do(t, l).must(t, http.StatusTooManyRequests, request)
			}
			require.Equal(t, before, l.fingerprint(t))
			ask{method: "GET", target: "/Users", noToken: true}.do(t, l).must(t, http.StatusUnauthorized)
		})
	}
}

// A caller waits as long as Retry-After says and gets through, whatever the
// rate: it is rounded up.
func TestE3RateRetryAfterIsEnough(t *testing.T) {
	for _, limits := range []scim.Limits{{Rate: 1, Burst: 1}, {Rate: 3, Burst: 1}, {Rate: 1, Burst: 30}, {Rate: 1000, Burst: 7}, {Rate: 1}, {Rate: 1_000_000, Burst: 1}} {
		l := newLimitedWorld(t, newNaiveStore(), limits)
		for range 20 {
			l.burst(t, ours, 100)
			a := l.get(t, "/Schemas").must(t, http.StatusTooManyRequests)
			var seconds int
			_, err := fmt.Sscanf(a.Header().Get("Retry-After"), "%d", &seconds)
			require.NoError(t, err)
			require.GreaterOrEqual(t, seconds, 1)
			l.wait(time.Duration(seconds) * time.Second)
			l.get(t, "/Schemas").must(t, http.StatusOK, limits)
			l.wait(137 * time.Millisecond)
		}
	}
	require.Equal(t, 50, newLimitedWorld(t, newNaiveStore(), scim.Limits{Rate: 5}).burst(t, ours, 1000), "ten seconds' worth at once, by default")
	require.Equal(t, 5000, newLimitedWorld(t, newNaiveStore(), scim.Limits{}).burst(t, ours, 5000), "no limit, by default")
}

// Callers are told apart by directory and actor: two tokens of a directory have
// a bucket each, one token in two handlers has two.
func TestE3RateIsPerToken(t *testing.T) {
	auth, err := scim.StaticTokens(
		scim.Token{Secret: testToken + "1", Label: "old", Directory: ours}, scim.Token{Secret: testToken + "2", Label: "new", Directory: ours},
		scim.Token{Secret: testToken + "3", Label: "old", Directory: sibling})
	require.NoError(t, err)
	cfg := &scim.Config{Limits: scim.Limits{Rate: 1, Burst: 3}, Now: func() time.Time { return time.Unix(1e9, 0) }}
	h, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, auth, cfg)
	require.NoError(t, err)
	for _, token := range []string{"1", "2", "3"} {
		for i, want := range []int{200, 200, 200, 429, 429} {
			request := ask{method: "GET", target: "/Users", noToken: true, header: map[string]string{"Authorization": "Bearer " + testToken + token}}
			request.do(t, scim.Mount(conversationBase, h, nil)).must(t, want, token, i)
		}
	}
}

// What is refused for its rate is in the request log, but does not fill it: the
// first of a minute is. OnRequest is told of each.
func TestE3RateDoesNotFillTheLog(t *testing.T) {
	store := newManaged(scim.CoreTypes(), nil)
	l := newLimitedWorld(t, store, scim.Limits{Rate: 5, Burst: 10})
	const storm = 1000
	for range storm {
		l.get(t, "/Users?filter=id+pr")
	}
	refused := func() (n int) {
		entries, err := store.Requests(t.Context(), ours.Key(), 100_000)
		require.NoError(t, err)
		for _, e := range entries {
			if e.Status == http.StatusTooManyRequests {
				n++
				require.Equal(t, "/Users", e.Path)
				require.NotEmpty(t, e.Detail)
			}
		}
		return n
	}
	require.Equal(t, 1, refused())
	require.Len(t, l.logged(), storm)
	for range 60 {
		l.wait(time.Second)
		for range 20 {
			l.get(t, "/Users")
		}
	}
	require.Equal(t, 2, refused(), "another minute, another line")
}

// An error of the host with RetryAfter keeps its meaning, rounded up to a whole
// second.
func TestRetryAfterOfTheHost(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0: "", -time.Second: "", 1: "1", time.Second: "1", time.Second + 1: "2", 90 * time.Second: "90", 1<<63 - 1: "9223372037",
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			w := newWorld(t, newNaiveStore(), func(cfg *scim.Config) {
				cfg.Provisioner = scim.ProvisionerFunc(func(context.Context, *scim.Account) (string, error) {
					return "", &scim.Error{Status: status, Detail: "later", RetryAfter: after}
				})
			})
			a := ask{method: "POST", target: "/Users", body: object("userName", "ada@example.com")}.do(t, w).must(t, status)
			require.Equal(t, want, a.Header().Get("Retry-After"), after)
		}
	}
}

// Limits that contradict themselves are refused when the handler is made.
func TestLimitsRefuse(t *testing.T) {
	auth, err := scim.StaticTokens(scim.Token{Secret: testToken, Directory: ours})
	require.NoError(t, err)
	for name, limits := range map[string]scim.Limits{
		"Body": {Body: -1}, "GroupBody": {GroupBody: -1}, "Operations": {Operations: -1}, "Values": {Values: -1}, "Page": {Page: -1}, "DefaultPage": {DefaultPage: -1},
		"FilterLength": {FilterLength: -1}, "Depth": {Depth: -1}, "Rate": {Rate: -1}, "Burst": {Rate: 1, Burst: -1}, "Burst alone": {Burst: 1}, "a rate that is none": {Rate: 1_000_001},
	} {
		_, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, auth, &scim.Config{Limits: limits})
		require.ErrorContains(t, err, "Limits", name)
	}
}

// Many requests of one caller at once are counted one by one.
func TestE3RateOfConcurrentRequests(t *testing.T) {
	l := newLimitedWorld(t, newNaiveStore(), scim.Limits{Rate: 5, Burst: 10})
	var through atomic.Int32
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if a := (ask{method: "GET", target: "/Users"}).do(t, l); a.Code == http.StatusOK {
				through.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 10, through.Load())
}
