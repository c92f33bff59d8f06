package scim_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A target is a world with a user and a group in it, to be sent nonsense.
type target struct {
	*world
	user, group string
}

func newTarget(t *testing.T, store scim.Store, configure func(*scim.Config)) *target {
	t.Helper()
	w := newWorld(t, store, configure)
	g := &target{world: w}
	g.user = w.addUser(t, ours, "ada@example.com", `,"externalId":"ada","title":"boss","emails":[{"value":"ada@example.com","type":"work","primary":true}]`)
	g.group = w.addGroup(t, ours, "team", "", g.user)
	w.logged()
	w.app.drain()
	return g
}

// writes are a valid request of each kind that has a body.
func (g *target) writes() map[string]ask {
	user := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eve@example.com","name":{"givenName":"E\u0076e"},"active":true,"emails":[{"value":"eve@example.com","primary":true}]}`
	group := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"others","members":[{"value":"` + g.user + `"}]}`
	return map[string]ask{
		"POST user":           {method: "POST", target: "/Users", body: user},
		"POST group":          {method: "POST", target: "/Groups", body: group},
		"PUT user":            {method: "PUT", target: "/Users/" + g.user, body: strings.ReplaceAll(user, "eve@", "ada@")},
		"PUT group":           {method: "PUT", target: "/Groups/" + g.group, body: group},
		"PATCH user":          {method: "PATCH", target: "/Users/" + g.user, body: onePatch("replace", "name.givenName", `"Ad\u0061"`)},
		"PATCH user pathless": {method: "PATCH", target: "/Users/" + g.user, body: onePatch("add", "", `{"name":{"givenName":"Ada"},"title":"x"}`)},
		"PATCH group":         {method: "PATCH", target: "/Groups/" + g.group, body: onePatch("remove", "members", `[{"value":"`+g.user+`"}]`)},
		"PATCH group name":    {method: "PATCH", target: "/Groups/" + g.group, body: onePatch("replace", "displayName", `"renamed"`)},
	}
}

// unchanged runs nonsense and requires that it has changed nothing and told
// nobody: no resource, no account, no event.
func (g *target) unchanged(t *testing.T, nonsense func()) {
	t.Helper()
	before := g.fingerprint(t)
	nonsense()
	require.Equal(t, before, g.fingerprint(t), "a refused request has changed something")
	require.Empty(t, g.app.drain(), "a refused request was told to the application")
}

func onTargets(t *testing.T, configure func(*scim.Config), test func(t *testing.T, g *target)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, newTarget(t, open(), configure)) })
	}
}

// TestBadBody sends every kind of write a body that is no acceptable JSON. RFC
// 7644 section 3.12: 400 invalidSyntax.
func TestBadBody(t *testing.T) {
	bodies := map[string]string{
		"empty":            "",
		"blank":            " \n\t ",
		"no object":        `[]`,
		"text":             `"text"`,
		"null":             `null`,
		"number":           `1`,
		"two values":       `{"userName":"x@example.com"} {}`,
		"trailing":         `{"userName":"x@example.com"}x`,
		"form":             `userName=x%40example.com`,
		"XML":              `<User><userName>x</userName></User>`,
		"NUL":              "\x00",
		"NUL inside":       "{\"userName\":\x00\"x@example.com\"}",
		"control":          "{\"userName\":\"x\n@example.com\"}",
		"NUL in a string":  `{"userName":"x\u0000@example.com","displayName":"a\u0000b"}`,
		"NUL in a name":    `{"userName":"x@example.com","display\u0000Name":{"a\u0000":1},"displayName":"a\u0000"}`,
		"invalid UTF-8":    "{\"userName\":\"\xff\xfe@example.com\",\"displayName\":\"\xff\"}",
		"half a surrogate": `{"userName":"\ud800@example.com","displayName":"\ud800"}`,
		"overlong UTF-8":   "{\"userName\":\"\xc0\x80@example.com\",\"displayName\":\"\xc0\x80\"}",
		"UTF-16":           "\xff\xfe{\x00}\x00",
		"duplicate":        `{"userName":"x@example.com","userName":"y@example.com","displayName":"x","displayName":"y","Operations":[],"Operations":[]}`,
		"duplicate case":   `{"userName":"x@example.com","USERNAME":"y@example.com","displayName":"x","DisplayName":"y","Operations":[],"operations":[]}`,
		"duplicate inside": `{"userName":"x@example.com","name":{"givenName":"a","givenName":"b"},"displayName":"x","members":[{"value":"a","value":"b"}],` +
			`"Operations":[{"op":"add","op":"remove","path":"displayName"}]}`,
		"single quotes":  `{'userName':'x@example.com'}`,
		"comment":        `{"userName":"x@example.com"/* */}`,
		"trailing comma": `{"userName":"x@example.com",}`,
		"NaN":            `{"userName":NaN}`,
	}
	onTargets(t, nil, func(t *testing.T, g *target) {
		for kind, write := range g.writes() {
			for name, body := range bodies {
				g.unchanged(t, func() {
					write.with(t, g, strings.NewReader(body)).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind, name)
				})
			}
		}
	})
}

// TestBadBodyTruncated cuts a valid body at every byte.
func TestBadBodyTruncated(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for kind, write := range g.writes() {
			g.unchanged(t, func() {
				for n := range len(write.body) {
					write.with(t, g, strings.NewReader(write.body[:n])).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind, n)
				}
			})
		}
		// The whole of them is accepted: what was tested was the cut. Deeds
		// come one by one, since each changes what the next one finds.
		for _, kind := range []string{"PATCH user", "PATCH user pathless", "PATCH group name", "PUT user", "POST user", "PUT group", "PATCH group"} {
			require.Less(t, g.writes()[kind].do(t, g).Code, 300, kind)
		}
	})
}

// TestBadBodyLost sends a body that ends before what Content-Length announced,
// and one that fails while it is read.
func TestBadBodyLost(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for kind, write := range g.writes() {
			g.unchanged(t, func() {
				for _, err := range []error{io.ErrUnexpectedEOF, errors.New("connection reset by secret peer"), context.Canceled} {
					body := io.MultiReader(strings.NewReader(write.body[:len(write.body)-1]), failingReader{err})
					a := write.with(t, g, body).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind)
					require.NotContains(t, a.Body.String(), "secret")
				}
				limited := write.request(t, nil)
				limited.Body = http.MaxBytesReader(httptest.NewRecorder(), limited.Body, 10)
				limited.ContentLength = -1
				serve(t, g, limited).refused(t, http.StatusRequestEntityTooLarge, "", kind)
			})
		}
	})
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// TestContentLengthLies announces another length than is sent. What is
// announced must not be believed: not to be read, not to be allocated.
func TestContentLengthLies(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for kind, write := range g.writes() {
			limit := int64(2 << 20)
			if strings.Contains(kind, "group") {
				limit = 32 << 20
			}
			short := func(announced int64) *http.Request {
				r := write.request(t, strings.NewReader(write.body[:20]))
				r.ContentLength = announced
				return r
			}
			g.unchanged(t, func() {
				serve(t, g, short(limit)).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind)
				serve(t, g, short(1)).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind)
				serve(t, g, short(0)).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind)
				serve(t, g, short(-1)).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind)
				serve(t, g, short(limit+1)).refused(t, http.StatusRequestEntityTooLarge, "", kind)
				serve(t, g, short(1<<62)).refused(t, http.StatusRequestEntityTooLarge, "", kind)
				none := write.request(t, nil)
				none.Body, none.ContentLength = nil, 100
				serve(t, g, none).refused(t, http.StatusBadRequest, scim.InvalidSyntax, kind)
			})
			used := allocated(func() {
				for range 20 {
					serve(t, g, short(limit))
				}
			})
			require.Less(t, used/20, uint64(1<<20), "%s: an announced length is allocated", kind)
		}
	})
}

// allocated returns how many bytes f allocates, by all goroutines.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHugeBody sends 20 MB, announced and not: 413, with no more memory than
// the limit of 2 MB asks for (rule E3), in SCIM (quirk 116).
func TestHugeBody(t *testing.T) {
	const size = 20 << 20
	onTargets(t, nil, func(t *testing.T, g *target) {
		for kind, write := range g.writes() {
			if strings.Contains(kind, "group") {
				continue
			}
			body := bytes.Repeat([]byte(" "), size)
			copy(body, write.body)
			g.unchanged(t, func() {
				used := allocated(func() {
					write.with(t, g, bytes.NewReader(body)).refused(t, http.StatusRequestEntityTooLarge, "", kind)
					chunked := write.request(t, io.MultiReader(bytes.NewReader(body)))
					chunked.ContentLength = -1
					serve(t, g, chunked).refused(t, http.StatusRequestEntityTooLarge, "", kind)
				})
				require.Less(t, used, uint64(size), "%s: the memory for a refused body is bounded", kind)
			})
		}
	})
}

// TestHugeGroup sends as much where 32 MB are allowed: the memory is in
// proportion to the body (quirk 69), and what is over the limit is a 413.
func TestHugeGroup(t *testing.T) {
	const size = 20 << 20
	g := newTarget(t, stores["memstore"](), nil)
	for name, body := range map[string]string{
		"arrays":        strings.Repeat("[", size),
		"objects":       strings.Repeat(`{"a":`, size/5),
		"a string":      `{"displayName":"` + strings.Repeat("x", size),
		"over limit":    `{"displayName":"` + strings.Repeat("x", 33<<20) + `"}`,
		"empty members": `{"displayName":"x","members":[` + strings.Repeat(`{},`, size/3),
	} {
		want := http.StatusBadRequest
		if name == "over limit" {
			want = http.StatusRequestEntityTooLarge
		}
		g.unchanged(t, func() {
			used := allocated(func() {
				ask{method: "POST", target: "/Groups", body: body}.do(t, g).must(t, want, name)
			})
			require.Less(t, used, uint64(32*size), name)
		})
	}
}

// TestDeepBody nests 10,000 levels, in what is understood and in what would be
// passed over (rule E3: depth 32).
func TestDeepBody(t *testing.T) {
	const levels = 10_000
	nest := func(open, inner, end string) string {
		return strings.Repeat(open, levels) + inner + strings.Repeat(end, levels)
	}
	onTargets(t, nil, func(t *testing.T, g *target) {
		for kind, write := range g.writes() {
			for name, deep := range map[string]string{
				"arrays":  nest("[", "", "]"),
				"objects": nest(`{"a":`, "1", "}"),
				"names":   nest(`{"name":`, `"x"`, "}"),
				"mixed":   nest(`[{"value":`, `"x"`, "}]"),
				"open":    strings.Repeat("[", levels),
			} {
				for at, body := range map[string]string{
					"whole":     deep,
					"unknown":   `{"userName":"x@example.com","displayName":"x","unknown":` + deep + `}`,
					"known":     `{"userName":"x@example.com","displayName":"x","name":` + deep + `}`,
					"members":   `{"userName":"x@example.com","displayName":"x","members":` + deep + `,"emails":` + deep + `}`,
					"extension": `{"userName":"x@example.com","displayName":"x","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":` + deep + `}`,
					"operation": onePatch("add", "members", deep),
					"value":     onePatch("add", "", `{"x":`+deep+`}`),
					"password":  `{"userName":"x@example.com","displayName":"x","password":` + deep + `}`,
				} {
					g.unchanged(t, func() {
						write.with(t, g, strings.NewReader(body)).must(t, http.StatusBadRequest, kind, name, at)
					})
				}
			}
		}
	})
}

// TestWrongTypes gives every attribute of the schemas a value of every wrong
// type. Some are tolerated; none may do harm.
func TestWrongTypes(t *testing.T) {
	values := []string{`null`, `true`, `1`, `1.5`, `-1e400`, `"text"`, `""`, `[]`, `{}`, `[[]]`, `[null]`, `[1,"a",{}]`, `{"value":{}}`, `[{"value":[1]}]`, `{"a":{"b":1}}`, `99999999999999999999999`}
	onTargets(t, nil, func(t *testing.T, g *target) {
		strict := newTarget(t, stores["memstore"](), nil)
		for _, typ := range scim.CoreTypes().All() {
			for _, a := range typ.Root().Subs {
				for _, value := range values {
					for _, w := range []*target{g, strict} {
						id := map[string]string{"User": w.user, "Group": w.group}[typ.Name]
						required := `"userName":"ada@example.com","displayName":"team"`
						switch a.Name {
						case "userName":
							required = `"displayName":"x"`
						case "displayName":
							required = `"userName":"ada@example.com"`
						}
						body := `{` + required + `,` + quoted(a.Name) + `:` + value + `}`
						for _, request := range []ask{
							{method: "PUT", target: typ.Endpoint + "/" + id, body: body},
							{method: "PATCH", target: typ.Endpoint + "/" + id, body: onePatch("replace", a.Name, value)},
							{method: "PATCH", target: typ.Endpoint + "/" + id, body: onePatch("add", "", `{`+quoted(a.Name)+`:`+value+`}`)},
							{method: "PATCH", target: typ.Endpoint + "/" + id, body: onePatch("remove", a.Name, value)},
						} {
							a := request.do(t, w)
							require.Less(t, a.Code, 500, "%s %s", request.method, request.body)
						}
					}
				}
			}
		}
		for _, w := range []*target{g, strict} {
			w.consistent(t, ours)
		}
	})
	onTargets(t, nil, func(t *testing.T, g *target) {
		for name, body := range map[string]string{
			"no operations":       `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}`,
			"operations is text":  `{"Operations":"add"}`,
			"operation is text":   `{"Operations":["add"]}`,
			"operation is null":   `{"Operations":[null]}`,
			"no op":               `{"Operations":[{"path":"title","value":"x"}]}`,
			"op is a number":      `{"Operations":[{"op":1,"path":"title","value":"x"}]}`,
			"unknown op":          `{"Operations":[{"op":"move","path":"title","value":"x"}]}`,
			"path is a number":    `{"Operations":[{"op":"add","path":1,"value":"x"}]}`,
			"path is an object":   `{"Operations":[{"op":"add","path":{},"value":"x"}]}`,
			"no value":            `{"Operations":[{"op":"add","path":"title"}]}`,
			"remove without path": `{"Operations":[{"op":"remove"}]}`,
			"path is nonsense":    onePatch("replace", "title[", `"x"`),
			"path is 1 MB":        onePatch("replace", "emails["+strings.Repeat("(", 1<<20)+`type eq "work"].value`, `"x"`),
			"path is deep":        onePatch("replace", "emails["+strings.Repeat("(", 10_000)+`type eq "work"`+strings.Repeat(")", 10_000)+"].value", `"x"`),
			"second fails":        `{"Operations":[{"op":"replace","path":"title","value":"y"},{"op":"replace","path":"userName","value":null}]}`,
			"too many":            `{"Operations":[` + strings.Repeat(`{"op":"replace","path":"title","value":"y"},`, 1000) + `{"op":"replace","path":"title","value":"y"}]}`,
		} {
			g.unchanged(t, func() {
				ask{method: "PATCH", target: "/Users/" + g.user, body: body}.do(t, g).must(t, http.StatusBadRequest, name)
			})
		}
	})
}

// TestBadFilter sends filters that are too long, too deep or broken: 400
// invalidFilter, RFC 7644 section 3.4.2.2.
func TestBadFilter(t *testing.T) {
	const deep = 10_000
	onTargets(t, nil, func(t *testing.T, g *target) {
		for name, filter := range map[string]string{
			"1 MB":           `userName eq "` + strings.Repeat("x", 1<<20) + `"`,
			"1 MB of ors":    strings.Repeat(`userName eq "x" or `, 1<<16) + `userName eq "x"`,
			"deep":           strings.Repeat("(", deep) + `userName eq "x"` + strings.Repeat(")", deep),
			"deep not":       strings.Repeat("not (", deep) + `userName eq "x"` + strings.Repeat(")", deep),
			"deep and short": strings.Repeat("(", 1000) + `userName eq "x"` + strings.Repeat(")", 1000),
			"unclosed":       strings.Repeat("(", 500),
			"brackets":       strings.Repeat("emails[", 500),
			"no operator":    `userName`,
			"no value":       `userName eq`,
			"unknown":        `nonsense eq "x"`,
			"unknown oper.":  `userName like "x"`,
			"open string":    `userName eq "x`,
			"NUL":            "userName eq \"\x00\"",
			"escaped NUL":    `userName eq "\u0000"`,
			"invalid UTF-8":  "userName eq \"\xff\"",
			"injection":      `userName eq "x"; drop table users`,
			"password":       `password eq "x"`,
			"password start": `password sw "x"`,
			"wrong type":     `active eq "maybe"`,
			"order of flag":  `active gt true`,
		} {
			g.unchanged(t, func() {
				for _, f := range []string{filter, "id pr and (" + filter + ")"} {
					ask{method: "GET", target: "/Users?filter=" + url.QueryEscape(f)}.do(t, g).refused(t, http.StatusBadRequest, scim.InvalidFilter, name)
				}
			})
		}
		long := ask{method: "GET", target: "/Users?filter=" + url.QueryEscape(strings.Repeat("(", 1<<20))}
		request := long.request(t, nil)
		used := allocated(func() { serve(t, g, request) })
		require.Less(t, used, uint64(8<<20), "a long filter is refused before it is read")
	})
}

// TestBadQuery sends query strings that cannot be read.
func TestBadQuery(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for _, query := range []string{"filter=%", "filter=%zz", "startIndex=%4", "attributes=%", "%=1", "fil%zzter=x", "count=%00%"} {
			g.unchanged(t, func() {
				ask{method: "GET", target: "/Users?" + query}.do(t, g).refused(t, http.StatusBadRequest, scim.InvalidValue, query)
			})
		}
		// A parameter's name may be encoded too; a filter that is overlooked
		// would select everything.
		require.Empty(t, ask{method: "GET", target: "/Users?%66ilter=" + url.QueryEscape(`userName eq "nobody"`)}.do(t, g).ids(t))
		for _, query := range []string{
			"&&&&", "=", "&=&", strings.Repeat("a=b&", 100_000), "attributes=" + strings.Repeat("userName,", 100_000), "attributes=,,,", "attributes=%00",
			"excludedAttributes=" + strings.Repeat(".", 10_000), "attributes=urn:::::..:..", "attributes=" + url.QueryEscape("\xff\xfe"), "cursor=", "filter=", "sortBy=&sortOrder=sideways",
		} {
			ask{method: "GET", target: "/Users?" + query}.do(t, g).must(t, http.StatusOK, query[:min(len(query), 40)])
			ask{method: "GET", target: "/Users/" + g.user + "?" + query}.do(t, g).must(t, http.StatusOK, query[:min(len(query), 40)])
		}
		for _, query := range []string{"sortBy=nonsense", "sortBy=password", "sortBy=name", "sortBy=userName&sortOrder=sideways", "sortBy=groups", "sortBy=%00", "sortBy=" + strings.Repeat("x", 1<<20)} {
			require.Equal(t, http.StatusBadRequest, ask{method: "GET", target: "/Users?" + query}.do(t, g).Code, query[:min(len(query), 40)])
		}
	})
}

// TestBadPaging sends numbers that are none, or none that makes sense, RFC 7644
// section 3.4.2.4: what is less than the least is the least.
func TestBadPaging(t *testing.T) {
	const huge = "99999999999999999999999999"
	onTargets(t, nil, func(t *testing.T, g *target) {
		for _, parameter := range []string{"startIndex", "count"} {
			for _, value := range []string{"x", "1x", "1.5", "1e3", "0x10", "--1", "+-1", "-", "1 2", "٣", "%00", "1%00", "true", "null", "NaN", strings.Repeat("9", 100_000) + "x"} {
				ask{method: "GET", target: "/Users?" + parameter + "=" + strings.ReplaceAll(value, " ", "%20")}.do(t, g).
					refused(t, http.StatusBadRequest, scim.InvalidValue, parameter, value[:min(len(value), 20)])
			}
		}
		for query, want := range map[string]int{
			"startIndex=0": 1, "startIndex=-1": 1, "startIndex=-" + huge: 1, "startIndex=1": 1, "startIndex=2": 0, "startIndex=" + huge: 0, "startIndex=9223372036854775807": 0,
			"startIndex=9223372036854775807&count=9223372036854775807": 0, "startIndex=1&count=9223372036854775807": 1,
			"count=0": 0, "count=-1": 0, "count=-" + huge: 0, "count=" + huge: 1, "count=1": 1, "startIndex=" + strings.Repeat("9", 100_000): 0,
			"startIndex=-9223372036854775808&count=-9223372036854775808": 0, "startIndex=0001": 1, "startIndex=": 1,
		} {
			a := ask{method: "GET", target: "/Users?" + query}.do(t, g)
			require.Len(t, a.resources(t), want, query[:min(len(query), 60)])
			require.Equal(t, "1", fmt.Sprint(a.doc["totalResults"]), "the total does not depend on the page")
		}
	})
}

// TestBadIDs asks for what no resource is called. Unknown is 404, whatever it
// looks like, on every verb.
func TestBadIDs(t *testing.T) {
	ids := []string{
		"nobody", "00919288221112222", "0", "-1", ".", "..", "...", "%2e%2e", "a%2Fb", "%2F", "%2F..%2F..", "..%2F..%2Fetc%2Fpasswd", "a%5Cb", "%00", "a%00b", "%ff", "%c0%80",
		"%22", "%27%20or%201=1--", "*", "%25", "%2525", "%E2%80%AE", "~", "a;b=c", "a:b", "@", "$%7Bx%7D", "Users", "Groups", "GUID==", "null", "undefined",
		strings.Repeat("x", 1<<20), strings.Repeat("%2F", 100_000), strings.Repeat("%00", 100_000),
	}
	onTargets(t, nil, func(t *testing.T, g *target) {
		known := g.writes()
		for _, id := range ids {
			for _, endpoint := range []string{"/Users/", "/Groups/"} {
				g.unchanged(t, func() {
					for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
						body := known[method+map[string]string{"/Users/": " user", "/Groups/": " group"}[endpoint]].body
						a := ask{method: method, target: endpoint + id, body: body}.do(t, g)
						a.refused(t, http.StatusNotFound, "", method, endpoint, id[:min(len(id), 40)])
					}
				})
			}
		}
		for _, id := range []string{g.user + "%00", g.user + "%20", "%20" + g.user, strings.ToUpper(g.user) + "x", g.user[1:], g.user + "%2F", "%2F" + g.user, g.user + "x", g.user + "."} {
			ask{method: "GET", target: "/Users/" + id}.do(t, g).refused(t, http.StatusNotFound, "", id)
		}
		ask{method: "GET", target: "/Users/" + strings.ReplaceAll(g.user, "-", "%2D")}.do(t, g).must(t, http.StatusOK, "an escaped id is the same id")
		for _, e := range g.logged() {
			require.LessOrEqual(t, len(e.Path), 600, "what is kept of a long path is short")
			require.NotContains(t, e.Path, "\x00")
		}
	})
}

// TestBadMethods: what is not possible is a 405 with Allow, and changes
// nothing.
func TestBadMethods(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for path, allow := range map[string][]string{
			"/Users": {"GET", "HEAD", "POST"}, "/Groups": {"GET", "HEAD", "POST"},
			"/Users/" + g.user: {"GET", "HEAD", "PUT", "PATCH", "DELETE"}, "/Groups/" + g.group: {"GET", "HEAD", "PUT", "PATCH", "DELETE"},
			"/Schemas": {"GET", "HEAD"}, "/ResourceTypes": {"GET", "HEAD"}, "/ServiceProviderConfig": {"GET", "HEAD"}, "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User": {"GET", "HEAD"},
		} {
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "post", "BREW", "", "PROPFIND", strings.Repeat("X", 100_000)} {
				if slices.Contains(allow, method) {
					continue
				}
				g.unchanged(t, func() {
					a := ask{method: method, target: path, body: `{}`}.do(t, g).refused(t, http.StatusMethodNotAllowed, "", method, path)
					require.Equal(t, strings.Join(allow, ", "), a.Header().Get("Allow"), path)
					require.Less(t, a.Body.Len(), 1000)
				})
			}
		}
		for _, e := range g.logged() {
			require.LessOrEqual(t, len(e.Method), 600)
		}
	})
}

// TestBadHost answers absolute URLs whatever the client calls the host: they
// stay URLs, and JSON stays JSON.
func TestBadHost(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for _, host := range []string{`a"b`, `a\b`, "a\x00b", "a\nb", "a\xffb", "<script>", "a b", "a/../b", "é.example", ""} {
			for _, target := range []string{"/Users/" + g.user, "/Groups/" + g.group, "/Users", "/Groups", "/Schemas", "/ServiceProviderConfig"} {
				a := ask{method: "GET", target: target, header: map[string]string{"Host": host}}.do(t, g).must(t, http.StatusOK, host)
				for _, forbidden := range []string{`a"b`, "<script>", "\x00", "\n", "\xff"} {
					require.NotContains(t, a.Body.String(), forbidden, host)
				}
			}
		}
		for _, prefix := range []string{`/"`, `/x"y`, "/%22", `/a\b`, "/<>", "/%00", "/%ff", "/a%2Fb", "/{}"} {
			a := ask{method: "GET", target: prefix + "/Users/" + g.user}.do(t, g).must(t, http.StatusOK, prefix)
			u, err := url.Parse(a.text("/meta/location"))
			require.NoError(t, err, prefix)
			require.True(t, strings.HasSuffix(u.Path, "/Users/"+g.user), u.Path)
		}
	})
}

// TestBadHeaders sends headers that are long, repeated or nonsense.
func TestBadHeaders(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		long := strings.Repeat("x", 1<<20)
		for name, values := range map[string][]string{
			"If-Match": {long, `"`, ",,,,", "W/", `W/"`, "\x00", `W/"1`, `""`, strings.Repeat(`"a",`, 100_000)},
		} {
			for _, value := range values {
				g.unchanged(t, func() {
					for kind, write := range g.writes() {
						if strings.HasPrefix(kind, "POST") {
							continue
						}
						write.header = map[string]string{name: value}
						write.do(t, g).refused(t, http.StatusPreconditionFailed, "", kind)
					}
				})
			}
		}
		for _, name := range []string{"If-None-Match", "Accept", "Content-Type", "User-Agent", "Accept-Encoding", "X-Http-Method-Override", "Range", "Expect"} {
			for _, value := range []string{long, "", "nonsense", "\x00", "bytes=5-1"} {
				ask{method: "GET", target: "/Users/" + g.user, header: map[string]string{name: value}}.do(t, g).must(t, http.StatusOK, name)
			}
		}
		for _, e := range g.logged() {
			require.LessOrEqual(t, len(e.UserAgent), 600)
			require.NotContains(t, e.UserAgent, "\x00")
		}
	})
}

// TestBadTokens: nothing is served to who is nobody, and nothing is told.
func TestBadTokens(t *testing.T) {
	onTargets(t, nil, func(t *testing.T, g *target) {
		for _, header := range []string{
			"", " ", "Bearer", "Bearer ", "Bearer  ", "bearer nonsense", "Basic " + tokenOf(ours), "Bearer " + tokenOf(ours) + "x", "Bearer " + tokenOf(ours)[1:], "Token " + tokenOf(ours),
			"Bearer " + tokenOf(ours) + "," + tokenOf(ours), "Bearer\x00" + tokenOf(ours), strings.ToUpper("Bearer " + tokenOf(ours)), "Bearer " + strings.Repeat("x", 1<<20),
		} {
			for _, target := range []string{"/Users", "/Users/" + g.user, "/Schemas", "/ServiceProviderConfig", "/nothing"} {
				for _, method := range []string{"GET", "DELETE", "BREW"} {
					g.unchanged(t, func() {
						ask{method: method, target: target, noToken: true, header: map[string]string{"Authorization": header}}.do(t, g).refused(t, http.StatusUnauthorized, "", header[:min(len(header), 60)])
					})
				}
			}
		}
		twice := ask{method: "GET", target: "/Users"}.request(t, nil)
		twice.Header.Add("Authorization", "Bearer "+tokenOf(foreign))
		serve(t, g, twice).refused(t, http.StatusUnauthorized, "")
	})
}

// secret is in errors of stores, hooks and authenticators, and must never be in
// an answer.
const secret = "password=hunter2"

// TestBadAuthenticator: one that panics, or says nothing, lets nobody in.
func TestBadAuthenticator(t *testing.T) {
	for name, c := range map[string]struct {
		auth   scim.AuthenticatorFunc
		status int
	}{
		"panics":             {func(*http.Request) (*scim.Caller, error) { panic(secret) }, 500},
		"panics with error":  {func(*http.Request) (*scim.Caller, error) { panic(errors.New(secret)) }, 500},
		"returns nothing":    {func(*http.Request) (*scim.Caller, error) { return nil, nil }, 500},
		"names no directory": {func(*http.Request) (*scim.Caller, error) { return &scim.Caller{Actor: secret}, nil }, 500},
		"names half of one": {func(*http.Request) (*scim.Caller, error) {
			return &scim.Caller{Directory: &scim.Directory{Tenant: "acme"}}, nil
		}, 500},
		"fails":               {func(*http.Request) (*scim.Caller, error) { return nil, errors.New(secret) }, 500},
		"fails with a caller": {func(*http.Request) (*scim.Caller, error) { return &scim.Caller{Directory: ours}, errors.New(secret) }, 500},
		"knows nobody": {func(*http.Request) (*scim.Caller, error) {
			return nil, fmt.Errorf("%w: %s", scim.ErrUnauthenticated, secret)
		}, 401},
		"says 403": {func(*http.Request) (*scim.Caller, error) {
			return nil, &scim.Error{Status: 403, Detail: "expired", Err: errors.New(secret)}
		}, 403},
		"says 200": {func(*http.Request) (*scim.Caller, error) { return nil, &scim.Error{Status: 200, Detail: secret} }, 500},
		"cannot look": {func(*http.Request) (*scim.Caller, error) {
			return nil, fmt.Errorf("%w: %s", scim.ErrUnavailable, secret)
		}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h, err := scim.NewHandler(stores["memstore"](), scim.NoRoles{}, c.auth, &scim.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			require.NoError(t, err)
			for _, target := range []string{"/Users", "/Users/x", "/Schemas", "/nothing"} {
				a := ask{method: "GET", target: target}.do(t, scim.Mount(conversationBase, h, nil)).must(t, c.status)
				require.NotContains(t, a.Body.String(), secret)
			}
			if c.status == 500 {
				require.NotEmpty(t, log.String(), "who operates the service is told")
			}
		})
	}
}

// A brokenStore fails in one method.
type brokenStore struct {
	scim.Store
	method string
	err    error
}

func (s *brokenStore) fail(method string) error {
	if s.method == method {
		return s.err
	}
	return nil
}

func (s *brokenStore) Get(ctx context.Context, ref scim.Ref, opts scim.GetOptions) (*scim.Resource, error) {
	if err := s.fail("Get"); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, ref, opts)
}

func (s *brokenStore) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	if err := s.fail("List"); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, q)
}

func (s *brokenStore) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	if err := s.fail("Create"); err != nil {
		return nil, err
	}
	return s.Store.Create(ctx, r)
}

func (s *brokenStore) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	if err := s.fail("Replace"); err != nil {
		return nil, err
	}
	return s.Store.Replace(ctx, r, was)
}

func (s *brokenStore) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	if err := s.fail("Delete"); err != nil {
		return err
	}
	return s.Store.Delete(ctx, ref, was)
}

// TestBadStore: an error of the store is a 500 that tells nothing, and
// ErrUnavailable a 503 with Retry-After; the cause is in the log alone.
func TestBadStore(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"fails":       {errors.New("dial tcp: " + secret), 500},
		"unavailable": {fmt.Errorf("dial tcp: %w: %s", scim.ErrUnavailable, secret), 503},
	} {
		t.Run(name, func(t *testing.T) {
			store := &brokenStore{Store: newNaiveStore()}
			var log bytes.Buffer
			g := newTarget(t, store, func(cfg *scim.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			store.err = c.err
			for method, requests := range map[string][]ask{
				"Get":     {{method: "GET", target: "/Users/" + g.user}, {method: "DELETE", target: "/Users/" + g.user}, g.writes()["PUT user"], g.writes()["PATCH group"]},
				"List":    {{method: "GET", target: "/Users"}, {method: "GET", target: "/Users?filter=" + url.QueryEscape(`id eq "x"`)}, g.writes()["POST user"], g.writes()["POST group"]},
				"Create":  {g.writes()["POST user"], g.writes()["POST group"]},
				"Replace": {g.writes()["PUT user"], g.writes()["PATCH user"], g.writes()["PATCH group name"]},
				"Delete":  {{method: "DELETE", target: "/Groups/" + g.group}},
			} {
				for _, request := range requests {
					store.method = ""
					before := g.fingerprint(t)
					store.method = method
					log.Reset()
					a := request.do(t, g).must(t, c.status, method, request)
					require.NotContains(t, a.Body.String(), secret)
					require.NotContains(t, a.Body.String(), "dial")
					require.Contains(t, log.String(), secret, "the cause is logged")
					if c.status == 503 {
						require.Regexp(t, "^[1-9][0-9]*$", a.Header().Get("Retry-After"), "RFC 9110 section 10.2.3")
					}
					store.method = ""
					require.Equal(t, before, g.fingerprint(t))
				}
			}
		})
	}
}

// A misbehaving Provisioner, told how to.
type moodyApp struct {
	*hostApp
	provision func(ctx context.Context) error
}

func (m *moodyApp) Provision(ctx context.Context, a *scim.Account) (string, error) {
	if m.provision != nil {
		if err := m.provision(ctx); err != nil {
			return "", err
		}
	}
	return m.hostApp.Provision(ctx, a)
}

// provisioned are the writes that a Provisioner is told of.
var provisioned = []string{"POST user", "POST group", "PUT user", "PATCH user", "PATCH user pathless", "PATCH group", "PATCH group name", "PUT group"}

// TestBadProvisioner: one that fails or panics rolls the whole request back,
// and its error is answered as a 500 that tells nothing, whatever it wraps.
func TestBadProvisioner(t *testing.T) {
	for name, c := range map[string]struct {
		provision func(context.Context) error
		status    int
		scimType  scim.ErrorType
		detail    string
	}{
		"fails":      {func(context.Context) error { return errors.New(secret) }, 500, "", ""},
		"panics":     {func(context.Context) error { panic(secret) }, 500, "", ""},
		"aborts":     {func(context.Context) error { panic(http.ErrAbortHandler) }, 500, "", ""},
		"exits":      {func(context.Context) error { runtime.Goexit(); return nil }, 500, "", ""},
		"not found":  {func(context.Context) error { return fmt.Errorf("%w: %s", scim.ErrNotFound, secret) }, 500, "", ""},
		"version":    {func(context.Context) error { return fmt.Errorf("%w: %s", scim.ErrVersion, secret) }, 500, "", ""},
		"uniqueness": {func(context.Context) error { return fmt.Errorf("%w: %s", scim.ErrUniqueness, secret) }, 500, "", ""},
		"refuses": {func(context.Context) error {
			return &scim.Error{Status: 400, Type: scim.InvalidValue, Detail: "no more seats", Err: errors.New(secret)}
		}, 400, scim.InvalidValue, "no more seats"},
		"refuses, wrapped": {func(context.Context) error {
			return fmt.Errorf("%s: %w", secret, &scim.Error{Status: 403, Detail: "no more seats"})
		}, 403, "", "no more seats"},
		"refuses with 200": {func(context.Context) error { return &scim.Error{Status: 200, Detail: secret} }, 500, "", ""},
		"own deadline":     {func(context.Context) error { return fmt.Errorf("%w: %s", context.DeadlineExceeded, secret) }, 500, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			app := &moodyApp{hostApp: newHostApp()}
			var log bytes.Buffer
			g := newTarget(t, stores["memstore"](), func(cfg *scim.Config) {
				cfg.Provisioner = app
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			app.provision = c.provision
			for _, kind := range append(slices.Clone(provisioned), "DELETE user", "DELETE group") {
				request := g.writes()[kind]
				switch kind {
				case "DELETE user":
					request = ask{method: "DELETE", target: "/Users/" + g.user}
				case "DELETE group":
					request = ask{method: "DELETE", target: "/Groups/" + g.group}
				}
				log.Reset()
				g.unchanged(t, func() {
					a := request.do(t, g).refused(t, c.status, c.scimType, kind)
					require.NotContains(t, a.Body.String(), "hunter2", kind)
					require.NotContains(t, a.Body.String(), "goroutine", kind)
					if c.detail != "" {
						require.Equal(t, c.detail, a.text("/detail"))
					}
				})
				if c.status >= 500 && name != "aborts" && name != "exits" {
					require.Contains(t, log.String(), "hunter2", "%s: the cause is logged", kind)
				}
			}
			// The directory goes on: nothing is locked or half done.
			app.provision = nil
			g.writes()["PATCH user"].do(t, g).must(t, http.StatusOK)
			g.consistent(t, ours)
		})
	}
}

// TestBadProvisionerHangs: one that hangs is given up at its deadline, whether
// it respects its context or not: 503, and nothing has changed.
func TestBadProvisionerHangs(t *testing.T) {
	for _, respects := range []bool{true, false} {
		t.Run(fmt.Sprint("respects its context ", respects), func(t *testing.T) {
			store := stores["memstore"]() // a database has goroutines that outlast the test
			synctest.Test(t, func(t *testing.T) {
				app := &moodyApp{hostApp: newHostApp()}
				g := newTarget(t, store, func(cfg *scim.Config) {
					cfg.Provisioner = app
					cfg.ProvisionTimeout = 50 * time.Millisecond
				})
				end := make(chan struct{})
				app.provision = func(ctx context.Context) error {
					if respects {
						<-ctx.Done()
						return ctx.Err()
					}
					<-end
					return nil
				}
				for _, kind := range provisioned {
					g.unchanged(t, func() {
						began := time.Now()
						a := g.writes()[kind].do(t, g).refused(t, http.StatusServiceUnavailable, "", kind)
						require.NotEmpty(t, a.Header().Get("Retry-After"))
						require.Less(t, time.Since(began), 5*time.Second)
					})
				}
				// Readers do not wait for a hook that hangs.
				hanging := make(chan struct{})
				go func() {
					defer close(hanging)
					g.writes()["PATCH user"].do(t, g).must(t, http.StatusServiceUnavailable)
				}()
				synctest.Wait()
				began := time.Now()
				ask{method: "GET", target: "/Users/" + g.user}.do(t, g).must(t, http.StatusOK)
				ask{method: "GET", target: "/Users"}.do(t, g).must(t, http.StatusOK)
				require.Zero(t, time.Since(began))
				<-hanging
				// What was abandoned comes back, and changes nothing any more.
				g.app.drain()
				before := g.fingerprint(t)
				close(end)
				synctest.Wait()
				require.Equal(t, before, g.fingerprint(t))
				app.provision = nil
				g.writes()["PATCH user"].do(t, g).must(t, http.StatusOK)
				g.consistent(t, ours)
			})
		})
	}
}

// A moodyMapper is a RoleMapper, told how to misbehave.
type moodyMapper struct{ roles func() ([]scim.Grant, error) }

func (m *moodyMapper) Roles(context.Context, *scim.Directory, *scim.Resource, []scim.GroupRef) ([]scim.Grant, error) {
	if m.roles == nil {
		return nil, nil
	}
	return m.roles()
}

// TestBadRoleMapper: one that fails or panics rolls the whole request back, and
// leaves nothing locked.
func TestBadRoleMapper(t *testing.T) {
	for name, roles := range map[string]func() ([]scim.Grant, error){
		"fails":     func() ([]scim.Grant, error) { return nil, errors.New(secret) },
		"panics":    func() ([]scim.Grant, error) { panic(secret) },
		"not found": func() ([]scim.Grant, error) { return nil, fmt.Errorf("%w: %s", scim.ErrNotFound, secret) },
	} {
		t.Run(name, func(t *testing.T) {
			mapper := new(moodyMapper)
			g := &target{world: &world{store: stores["memstore"](), app: newHostApp()}}
			auth, err := scim.StaticTokens(scim.Token{Secret: tokenOf(ours), Directory: ours})
			require.NoError(t, err)
			g.scim, err = scim.NewHandler(g.store, mapper, auth, &scim.Config{Provisioner: g.app})
			require.NoError(t, err)
			g.Handler = scim.Mount(conversationBase, g.scim, nil)
			g.user = g.addUser(t, ours, "ada@example.com", "")
			g.group = g.addGroup(t, ours, "team", "", g.user)
			g.app.drain()
			mapper.roles = roles
			for _, kind := range provisioned {
				g.unchanged(t, func() {
					a := g.writes()[kind].do(t, g).refused(t, http.StatusInternalServerError, "", kind)
					require.NotContains(t, a.Body.String(), "hunter2")
				})
			}
			mapper.roles = nil
			g.writes()["PATCH user"].do(t, g).must(t, http.StatusOK)
			g.consistent(t, ours)
		})
	}
}

// TestBadOnRequest: a hook that panics after the answer does not take it back.
func TestBadOnRequest(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, stores["memstore"](), func(cfg *scim.Config) {
		cfg.OnRequest = func(context.Context, *scim.LogEntry) { panic("the host's own mistake") }
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	id := w.addUser(t, ours, "ada@example.com", "")
	ask{method: "GET", target: "/Users/" + id}.do(t, w).must(t, http.StatusOK)
	ask{method: "GET", target: "/Users/x"}.do(t, w).must(t, http.StatusNotFound)
	require.Contains(t, log.String(), "the host's own mistake")
}

// TestRequestLogIsBounded: what a client sends does not stay in the log whole.
func TestRequestLogIsBounded(t *testing.T) {
	g := newTarget(t, stores["memstore"](), nil)
	long := strings.Repeat("x", 1<<20)
	var unknown strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&unknown, `,"unknown%d":1`, i)
	}
	for _, request := range []ask{
		{method: "GET", target: "/" + long},
		{method: "GET", target: "/Users/" + long},
		{method: "GET", target: "/Users?filter=" + long},
		{method: "GET", target: "/Users", header: map[string]string{"User-Agent": long}},
		{method: "PATCH", target: "/Users/" + g.user, body: onePatch("replace", long, `1`)},
		{method: "PATCH", target: "/Users/" + g.user, body: onePatch("replace", "", `{"title":"x"`+unknown.String()+`}`)},
		{method: "POST", target: "/Users", body: `{"userName":"` + long + `"}`},
		{method: "POST", target: "/Users", body: `{"userName":"x@` + long + `"}`},
		{method: "POST", target: "/Users", body: `{"userName":"new@example.com"` + unknown.String() + `}`},
		{method: "PATCH", target: "/Groups/" + g.group, body: onePatch("add", "members", `[{"value":"`+long+`"}]`)},
	} {
		request.do(t, g)
	}
	for _, e := range g.logged() {
		require.Less(t, len(fmt.Sprintf("%+v", e)), 100_000, "%s %.40s", e.Method, e.Path)
	}
}

// TestRequestLogKeepsNoRequest: what is kept of a request does not keep all of
// it in memory.
func TestRequestLogKeepsNoRequest(t *testing.T) {
	g := newTarget(t, stores["memstore"](), func(cfg *scim.Config) { cfg.OnRequest = nil })
	long := strings.Repeat("x", 512<<10)
	for _, request := range []ask{
		{method: "GET", target: "/Users?filter=" + url.QueryEscape(`userName eq "x"`) + "&x=" + long},
		{method: "GET", target: "/Users?filter=" + long},
		{method: "GET", target: "/" + long + "/Users"},
		{method: "PATCH", target: "/Users/" + g.user, body: onePatch("replace", "x", quoted(long))},
		{method: "PATCH", target: "/Groups/" + g.group, body: onePatch("add", "members", `[{"value":"nobody","display":`+quoted(long)+`}]`)},
		{method: "PUT", target: "/Groups/" + g.group, body: `{"displayName":"team","members":[{"value":"nobody","display":` + quoted(long) + `},{"value":"` + g.user + `"}]}`},
	} {
		const times = 50
		wire := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			request.method, conversationBase+request.target, tokenOf(ours), len(request.body), request.body)
		before := live()
		for range times {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
			require.NoError(t, err)
			rec := httptest.NewRecorder()
			g.ServeHTTP(rec, r)
			require.Less(t, rec.Code, 500)
		}
		require.Less(t, live()-before, int64(times*len(long)/4), "%s %.60s", request.method, request.target)
	}
}

// live returns how many bytes are in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second empties what the first has left in pools
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBadProvisionerHangsLate: one that has always been prompt and then hangs,
// ignoring its context, is given up all the same.
func TestBadProvisionerHangsLate(t *testing.T) {
	store := stores["memstore"]()
	synctest.Test(t, func(t *testing.T) {
		app := &moodyApp{hostApp: newHostApp()}
		g := newTarget(t, store, func(cfg *scim.Config) {
			cfg.Provisioner = app
			cfg.ProvisionTimeout = 50 * time.Millisecond
		})
		for i := range 2500 {
			ask{method: "PATCH", target: "/Users/" + g.user, body: onePatch("replace", "active", []string{"true", "false"}[i%2])}.do(t, g)
		}
		end := make(chan struct{})
		defer close(end)
		app.provision = func(context.Context) error { <-end; return nil }
		g.writes()["PATCH user"].do(t, g).refused(t, http.StatusServiceUnavailable, "")
	})
}
