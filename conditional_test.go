package scim_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// conditional makes a request depend on versions of its resource.
func conditional(request ask, headers ...string) ask {
	request.header = map[string]string{}
	for i := 0; i < len(headers); i += 2 {
		request.header[headers[i]] = headers[i+1]
	}
	return request
}

// changes are the requests that change a user or group, each into something
// else than it was.
func changes(w *world, t *testing.T, path string, n int) map[string]ask {
	t.Helper()
	text, put := quoted(fmt.Sprint("value ", n)), quoted(fmt.Sprint("put ", n))
	if strings.HasPrefix(path, "/Users/") {
		return map[string]ask{
			"PUT":    {method: "PUT", target: path, body: `{"userName":"ada@example.com","title":` + put + `}`},
			"PATCH":  {method: "PATCH", target: path, body: onePatch("replace", "title", text)},
			"DELETE": {method: "DELETE", target: path},
		}
	}
	newcomer := quoted(w.addUser(t, ours, fmt.Sprintf("member%d@example.com", n), ""))
	return map[string]ask{
		"PUT":           {method: "PUT", target: path, body: `{"displayName":` + put + `}`},
		"PATCH":         {method: "PATCH", target: path, body: onePatch("replace", "displayName", text)},
		"PATCH members": {method: "PATCH", target: path, body: onePatch("add", "members", `[{"value":`+newcomer+`}]`)},
		"DELETE":        {method: "DELETE", target: path},
	}
}

// RFC 9110 section 13.2.2: on every method a version that is not the one in
// If-Match, and one that is in If-None-Match, refuses the request, and nothing
// of it happens.
func TestRFC9110Section13_2_2Precedence(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		for n, path := range []string{"/Users/" + user, "/Groups/" + group} {
			tag := w.get(t, path).Header().Get("ETag")
			for name, request := range changes(w, t, path, n) {
				for _, headers := range [][]string{
					{"If-Match", `W/"0"`},
					{"If-None-Match", tag},
					{"If-None-Match", strings.TrimPrefix(tag, "W/")},
					{"If-None-Match", `"x", ` + tag},
					{"If-None-Match", "*"},
					{"If-Match", tag, "If-None-Match", tag},
					{"If-Match", "*", "If-None-Match", "*"},
					{"If-Match", `W/"0"`, "If-None-Match", `W/"0"`},
				} {
					before := w.fingerprint(t)
					conditional(request, headers...).do(t, w).refused(t, http.StatusPreconditionFailed, "", name, path, headers)
					require.Equal(t, before, w.fingerprint(t), name, path, headers)
				}
			}
			for _, read := range []string{"GET", "HEAD"} {
				request := ask{method: read, target: path + "?excludedAttributes=groups"}
				conditional(request, "If-Match", tag).do(t, w).must(t, http.StatusOK)
				conditional(request, "If-Match", `W/"0"`).do(t, w).must(t, http.StatusPreconditionFailed, "section 13.1.1 is about every method")
				conditional(request, "If-Match", `W/"0"`, "If-None-Match", tag).do(t, w).must(t, http.StatusPreconditionFailed, "If-Match comes first")
				a := conditional(request, "If-Match", tag, "If-None-Match", tag).do(t, w).must(t, http.StatusNotModified)
				require.Equal(t, tag, a.Header().Get("ETag"), "section 15.4.5")
				require.Equal(t, "no-store", a.Header().Get("Cache-Control"))
			}
			for name, request := range changes(w, t, path, 10+n) {
				if name == "DELETE" {
					continue
				}
				tag := w.get(t, path).Header().Get("ETag")
				a := conditional(request, "If-Match", tag, "If-None-Match", `W/"0"`).do(t, w)
				require.Less(t, a.Code, 300, name, path, a.Body)
				require.NotEqual(t, tag, a.Header().Get("ETag"), "a changed group has another version, also where only members are others (rule E3a)")
			}
		}
	})
}

// RFC 9110 section 13.2.1: a precondition means nothing where the request would
// not succeed without it. In particular what is not there is a 404, as without
// the header: a provider creates it again then.
func TestRFC9110Section13_2_1NothingToMatch(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		for _, headers := range [][]string{{"If-Match", "*"}, {"If-Match", `W/"1"`}, {"If-None-Match", "*"}, {"If-None-Match", `W/"1"`}} {
			for _, path := range []string{"/Users/nobody", "/Groups/nothing"} {
				for name, request := range changes(w, t, path, len(w.get(t, "/Users").ids(t))) {
					conditional(request, headers...).do(t, w).refused(t, http.StatusNotFound, "", name, path, headers)
				}
				conditional(ask{method: "GET", target: path}, headers...).do(t, w).refused(t, http.StatusNotFound, "", path, headers)
			}
			for status, request := range map[int]ask{
				401: {method: "DELETE", target: "/Users/" + user, noToken: true},
				404: {method: "GET", target: "/nothing"},
				405: {method: "POST", target: "/Users/" + user},
			} {
				conditional(request, headers...).do(t, w).must(t, status, headers)
			}
		}
	})
}

// A collection has no version, so that a precondition on it means nothing: a
// list is answered, and a POST creates what is new and refuses what is there
// already, which is what "If-None-Match: *" asks for. Discovery has none either.
func TestRFC7644Section3_14CollectionsHaveNoVersion(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		for i, headers := range [][]string{{"If-None-Match", "*"}, {"If-None-Match", `W/"1"`}, {"If-Match", `W/"1"`}, {"If-Match", "*"}} {
			create := conditional(ask{method: "POST", target: "/Users", body: object("userName", fmt.Sprintf("ada%d@example.com", i))}, headers...)
			create.do(t, w).must(t, http.StatusCreated, headers)
			create.do(t, w).refused(t, http.StatusConflict, scim.Uniqueness, headers)
			a := conditional(ask{method: "GET", target: "/Users"}, headers...).do(t, w).must(t, http.StatusOK, headers)
			require.Empty(t, a.Header().Get("ETag"))
			for _, path := range []string{"/Schemas", "/ServiceProviderConfig", "/ResourceTypes/User"} {
				a := conditional(ask{method: "GET", target: path}, headers...).do(t, w).must(t, http.StatusOK, headers)
				require.Empty(t, a.Header().Get("ETag"))
			}
		}
	})
}

// RFC 9110 sections 13.1.3 and 13.1.4: without a Last-Modified, which SCIM does
// not have, conditions on dates are ignored.
func TestRFC9110Section13_1_3DatesAreIgnored(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		later := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		a := conditional(ask{method: "GET", target: "/Users/" + user + "?excludedAttributes=groups"}, "If-Modified-Since", later).do(t, w).must(t, http.StatusOK)
		require.Empty(t, a.Header().Get("Last-Modified"))
		conditional(changes(w, t, "/Users/"+user, 1)["PATCH"], "If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT").do(t, w).must(t, http.StatusOK)
	})
}

// RFC 9110 section 8.8.3: what is an entity tag, and what a list of them. A
// header of another form names no version, so that a write is never made
// because a header was mistyped.
func TestRFC9110Section8_8_3EntityTags(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		path := "/Users/" + user
		n := 0
		for _, c := range []struct {
			header string // TAG stands for the opaque part
			names  bool
		}{
			{`W/TAG`, true},
			{`TAG`, true},
			{` W/TAG `, true},
			{`*`, true},
			{"\t*", true},
			{`"x",TAG`, true},
			{`TAG,"x"`, true},
			{`"x" , W/TAG , "y"`, true},
			{`,,TAG,`, true},
			{`W/"", TAG`, true},
			{`"a,b", TAG`, true},
			{`"x"`, false},
			{`"", W/""`, false},
			{`,`, false},
			{`"a,*,b"`, false}, // one tag, not three
			{`"a, W/TAG"`, false},
			{`*, TAG`, false},
			{`TAG, *`, false},
			{`**`, false},
			{`w/TAG`, false},
			{`W/ TAG`, false},
			{`W/`, false},
			{`W/"`, false},
			{`"`, false},
			{`TAG "x"`, false},
			{`TAG;`, false},
			{`nonsense`, false},
			{`nonsense, TAG`, false},
			{`TAG, nonsense`, false},
		} {
			tag := w.get(t, path).Header().Get("ETag")
			header := strings.ReplaceAll(c.header, "TAG", strings.TrimPrefix(tag, "W/"))
			n++
			want, read := http.StatusPreconditionFailed, http.StatusOK
			if c.names {
				want, read = http.StatusOK, http.StatusNotModified
			}
			conditional(ask{method: "GET", target: path + "?attributes=userName"}, "If-None-Match", header).do(t, w).must(t, read, header)
			conditional(changes(w, t, path, n)["PATCH"], "If-Match", header).do(t, w).must(t, want, header)
		}
		unquoted := strings.Trim(strings.TrimPrefix(w.get(t, path).Header().Get("ETag"), "W/"), `"`)
		conditional(changes(w, t, path, 0)["PATCH"], "If-Match", unquoted).do(t, w).must(t, http.StatusPreconditionFailed, "a tag is quoted")
		conditional(changes(w, t, path, 0)["PATCH"], "If-Match", "").do(t, w).must(t, http.StatusOK, "an empty header is none")
	})
}

// Rule E3a: a user's version is not its groups', so that an answer that shows
// them is never a 304, and a change of a user is not refused for them.
func TestE3aAUsersVersionIsNotItsGroups(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "")
		path := "/Users/" + user
		tag, groupTag := w.get(t, path).Header().Get("ETag"), w.get(t, "/Groups/"+group).Header().Get("ETag")
		ask{method: "PATCH", target: "/Groups/" + group, body: onePatch("add", "members", `[{"value":"`+user+`"}]`)}.do(t, w).must(t, http.StatusNoContent)

		for query, want := range map[string]int{
			"": 200, "?attributes=groups": 200, "?attributes=groups.display": 200, "?attributes=userName,groups": 200, "?excludedAttributes=name": 200,
			"?excludedAttributes=groups": 304, "?attributes=userName": 304, "?attributes=id": 304,
		} {
			a := conditional(ask{method: "GET", target: path + query}, "If-None-Match", tag).do(t, w).must(t, want, query)
			require.Equal(t, tag, a.Header().Get("ETag"))
		}
		conditional(ask{method: "GET", target: "/Groups/" + group}, "If-None-Match", groupTag).do(t, w).must(t, http.StatusOK, "a group's version is its members'")
		conditional(ask{method: "GET", target: "/Groups/" + group + "?excludedAttributes=members"}, "If-None-Match", groupTag).do(t, w).must(t, http.StatusOK)
		conditional(changes(w, t, "/Groups/"+group, 1)["PATCH members"], "If-Match", groupTag).do(t, w).refused(t, http.StatusPreconditionFailed, "")
		conditional(changes(w, t, path, 2)["PUT"], "If-Match", tag).do(t, w).must(t, http.StatusOK)
	})
}

// A precondition is checked where the change is made: of many who have read the
// same version one writes.
func TestRFC7644Section3_14OneOfManyWrites(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		for k, path := range []string{"/Users/" + user, "/Groups/" + group} {
			for _, method := range []string{"PUT", "PATCH", "PATCH members", "DELETE"} {
				const clients = 8
				var requests [clients]ask
				for i := range requests {
					requests[i] = changes(w, t, path, 100*k+10*len(method)+i)[method]
				}
				if requests[0].method == "" {
					continue // members of a user
				}
				tag := w.get(t, path).Header().Get("ETag")
				var done, refused atomic.Int32
				var all sync.WaitGroup
				for _, request := range requests {
					all.Go(func() {
						switch a := conditional(request, "If-Match", tag).do(t, w); {
						case a.Code < 300:
							done.Add(1)
						case a.Code == http.StatusPreconditionFailed, method == "DELETE" && a.Code == http.StatusNotFound:
							refused.Add(1)
						}
					})
				}
				all.Wait()
				require.EqualValues(t, 1, done.Load(), method, path)
				require.EqualValues(t, clients-1, refused.Load(), method, path)
			}
		}
	})
}

// On a plain store a write that lost a race is repeated, but not where the
// client said which version it means: that one is gone.
func TestRFC7644Section3_14PlainStoresDoNotRepeat(t *testing.T) {
	store := &overtakenStore{naiveStore: newNaiveStore()}
	w := newWorld(t, store, nil)
	user := w.addUser(t, ours, "ada@example.com", "")
	group := w.addGroup(t, ours, "team", "", user)
	races := 0
	race := func(path string) {
		races++
		between := changes(w, t, path, 100+races)["PATCH"]
		store.before = func() { between.do(t, w).must(t, http.StatusOK) }
	}
	for n, path := range []string{"/Users/" + user, "/Groups/" + group} {
		for name, request := range changes(w, t, path, n) {
			if name == "DELETE" { // does not go through Replace
				continue
			}
			for _, headers := range [][]string{{"If-Match", "TAG"}, {"If-None-Match", `W/"0"`}} {
				if headers[1] == "TAG" {
					headers[1] = w.get(t, path).Header().Get("ETag")
				}
				race(path)
				conditional(request, headers...).do(t, w).refused(t, http.StatusPreconditionFailed, "", name, headers)
				require.Nil(t, store.before)
			}
			race(path)
			require.Less(t, request.do(t, w).Code, 300, "without a version it is repeated")
		}
	}
}

// RFC 9110 section 9.3.2: HEAD is answered as GET is, without content.
func TestRFC9110Section9_3_2Head(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		user := w.addUser(t, ours, "ada@example.com", "")
		group := w.addGroup(t, ours, "team", "", user)
		for _, target := range []string{
			"/Users", "/Users?filter=userName+eq+%22x%22", "/Users?filter=nonsense", "/Users?count=-1&sortBy=userName", "/Groups", "/Groups?excludedAttributes=members",
			"/Users/" + user, "/Users/" + user + "?attributes=userName", "/Users/nobody", "/Groups/" + group, "/Groups/" + group + "?excludedAttributes=members", "/Groups/x",
			"/Schemas", "/Schemas/" + userURN, "/ResourceTypes", "/ServiceProviderConfig", "/Schemas?filter=id+pr", "/Schemas/x", "/nothing", "/",
		} {
			get, head := w.get(t, target), ask{method: "HEAD", target: target}.do(t, w)
			require.Equal(t, get.Code, head.Code, target)
			length := head.Header().Get("Content-Length")
			if length != "" {
				require.Equal(t, fmt.Sprint(get.Body.Len()), length, target)
			}
			get.Header().Del("Content-Length") // net/http adds it to a GET
			head.Header().Del("Content-Length")
			require.Equal(t, get.Header(), head.Header(), target)
		}
		ask{method: "HEAD", target: "/Users", noToken: true}.do(t, w).must(t, http.StatusUnauthorized)
		var methods []string
		for _, e := range w.logged() {
			methods = append(methods, e.Method)
		}
		require.Contains(t, methods, "HEAD", "the log says what was asked")
	})
}
