package scim_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

var cursorKey = []byte("0123456789abcdef0123456789ABCDEF")

// withCursors configures a world to offer cursors.
func withCursors(cfg *scim.Config) { cfg.CursorKey = cursorKey }

// onCursors runs a test on each kind of store, with cursors.
func onCursors(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t, open(), withCursors)) })
	}
}

// pages follows the cursors of a query, whose target ends in "?" or "&", and
// returns the ids of every page.
func (w *world) pages(t testing.TB, target string) (all [][]string) {
	t.Helper()
	for cursor := ""; ; {
		a := w.get(t, target+"cursor="+cursor)
		all = append(all, a.ids(t))
		if cursor = a.text("/nextCursor"); cursor == "" {
			require.False(t, a.has("/nextCursor"), "it is left out of the last page")
			return all
		}
		require.Less(t, len(all), 1000, "the cursors lead in a circle")
	}
}

// team adds users with names of which some match `userName sw "a"`, and groups.
func (w *world) team(t testing.TB, d *scim.Directory) (users, groups []string) {
	t.Helper()
	for i, name := range []string{"ada", "Alan", "bob", "Amy", "eve", "abe", "carol", "Ann", "dan", "al"} {
		title := ""
		if i%3 > 0 {
			title = fmt.Sprintf(`,"title":"%c","displayName":"%s"`, 'z'-rune(i%4), strings.ToUpper(name))
		}
		users = append(users, w.addUser(t, d, name+"@example.com", title))
	}
	for _, name := range []string{"Zeros", "admins", "Bobs"} {
		groups = append(groups, w.addGroup(t, d, name, "", users[:3]...))
	}
	return users, groups
}

// RFC 9865 section 2: an empty cursor asks for the first page; nextCursor leads
// to the next and is missing on the last; totalResults counts all pages; there
// is no startIndex, and previousCursor, which is optional, is not offered.
func TestRFC9865_2_Pages(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		users, _ := w.team(t, ours)
		w.team(t, sibling)
		for _, first := range []string{"/Users?cursor&count=4", "/Users?cursor=&count=4", "/Users?count=4&cursor&startIndex="} {
			a := w.get(t, first)
			require.Len(t, a.resources(t), 4, first)
			require.Equal(t, "10", fmt.Sprint(a.doc["totalResults"]))
			require.Equal(t, "4", fmt.Sprint(a.doc["itemsPerPage"]))
			for _, name := range []string{"/startIndex", "/previousCursor"} {
				require.False(t, a.has(name), name)
			}
			require.Regexp(t, `^[A-Za-z0-9._~-]+$`, a.text("/nextCursor"), "the unreserved characters of RFC 3986")
		}
		for count, want := range map[int][]int{1: {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 4: {4, 4, 2}, 5: {5, 5}, 10: {10}, 11: {10}} {
			for _, sort := range []string{"", "sortBy=title&", "sortBy=title&sortOrder=descending&", "sortBy=meta.lastModified&", "sortBy=userName&"} {
				var sizes []int
				pages := w.pages(t, fmt.Sprintf("/Users?%scount=%d&", sort, count))
				for _, page := range pages {
					sizes = append(sizes, len(page))
				}
				require.Equal(t, want, sizes, "%s%d", sort, count)
				require.ElementsMatch(t, users, slices.Concat(pages...))
				require.Equal(t, w.get(t, "/Users?"+sort).ids(t), slices.Concat(pages...), "in the order of index paging")
			}
		}
		// The example of the RFC, in which the name changes its case on the way.
		a := w.get(t, "/Users?filter="+url.QueryEscape(`userName sw "A"`)+"&cursor&count=2").must(t, http.StatusOK)
		require.Equal(t, "6", fmt.Sprint(a.doc["totalResults"]))
		b := w.get(t, "/Users?count=2&filter="+url.QueryEscape(`username  SW "A"`)+"&cursor="+a.text("/nextCursor")).must(t, http.StatusOK)
		require.Len(t, b.resources(t), 2)
		require.NotContains(t, a.ids(t), b.ids(t)[0])

		for _, none := range []string{"/Users?cursor&count=0", "/Users?cursor&count=-3"} {
			a := w.get(t, none)
			require.Empty(t, a.resources(t))
			require.Equal(t, "10", fmt.Sprint(a.doc["totalResults"]), "a count of 0 asks for it alone")
			require.False(t, a.has("/nextCursor"))
		}
		require.Equal(t, []any{}, w.get(t, "/Users?cursor&filter="+url.QueryEscape(`userName eq "nobody"`)).doc["Resources"])
		require.Equal(t, "1", fmt.Sprint(w.get(t, "/Users").doc["startIndex"]), "index is the default method, section 2.4")
		require.False(t, w.get(t, "/Users?count=1").has("/nextCursor"))
		projected := w.get(t, "/Groups?cursor&count=1&attributes=displayName")
		require.False(t, projected.has("/Resources/0/members"))
		require.NotEmpty(t, projected.text("/nextCursor"))
	})
}

// RFC 9865 section 2.1: the errors of paging.
func TestRFC9865_2_1_Errors(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		w.team(t, ours)
		cursor := w.get(t, "/Users?cursor&count=2").text("/nextCursor")
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		require.NoError(t, err)
		for i := range raw { // every byte of it is authenticated
			forged := bytes.Clone(raw)
			forged[i] ^= 1
			w.get(t, "/Users?count=2&cursor="+base64.RawURLEncoding.EncodeToString(forged)).refused(t, http.StatusBadRequest, scim.InvalidCursor, i)
		}
		for _, made := range []string{"x", "AAAA", cursor + "A", cursor[:len(cursor)-1], cursor + "=", cursor + "%0A", strings.Repeat("A", 5000), strings.Repeat("A", 100_000), "%00", "-1", "Ω"} {
			w.get(t, "/Users?count=2&cursor="+made).refused(t, http.StatusBadRequest, scim.InvalidCursor, made)
		}
		for _, count := range []string{"x", "1.5", "-", "1e1", "0x1", "½"} {
			w.get(t, "/Users?cursor&count="+count).refused(t, http.StatusBadRequest, scim.InvalidCount, count)
			w.get(t, "/Users?count="+count).refused(t, http.StatusBadRequest, scim.InvalidValue, "by index it is as RFC 7644 has it")
		}
		w.get(t, "/Users?cursor&count=100000").must(t, http.StatusOK, "lowered to maxPageSize, section 4")
		for _, both := range []string{"/Users?cursor&startIndex=1", "/?startIndex=2&cursor=", "/Users?startIndex=3&cursor=" + cursor} {
			w.get(t, both).refused(t, http.StatusBadRequest, scim.InvalidValue, "section 2.4: one method or the other")
		}
		w.get(t, "/Users?count=5&cursor="+cursor).must(t, http.StatusOK, "another count is harmless")
	})
}

// RFC 9865 section 5.2: a cursor is worth nothing to another caller, at another
// endpoint or with another query, and the answer is the same as to a forgery.
func TestRFC9865_5_2_CursorsAreBound(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		for _, d := range []*scim.Directory{ours, sibling, foreign} {
			w.team(t, d)
		}
		title, name := url.QueryEscape(`title pr`), url.QueryEscape(`userName pr`)
		queries := []string{
			"/Users?", "/Groups?", "/?", "/Users?filter=" + title + "&", "/Users?filter=" + name + "&", "/Users?sortBy=title&", "/Users?sortBy=userName&",
			"/Users?sortBy=title&sortOrder=descending&", "/Users?filter=" + title + "&sortBy=title&", "/?sortBy=displayName&", "/?sortBy=displayName&sortOrder=descending&",
			"/?filter=" + title + "&", "/?filter=" + url.QueryEscape(`meta.resourceType eq "User"`) + "&", "/?filter=" + url.QueryEscape(`meta.resourceType eq "Group"`) + "&",
			"/Users?filter=" + url.QueryEscape(`meta.resourceType eq "User"`) + "&",
		}
		forgery := w.get(t, "/Users?count=1&cursor=AAAA").refused(t, http.StatusBadRequest, scim.InvalidCursor)
		for _, from := range queries {
			cursor := w.get(t, from+"count=1&cursor").must(t, http.StatusOK).text("/nextCursor")
			require.NotEmpty(t, cursor, from)
			for _, to := range queries {
				a := w.get(t, to+"count=1&cursor="+cursor)
				if from == to {
					a.must(t, http.StatusOK, from)
					continue
				}
				require.Equal(t, forgery.Body.String(), a.Body.String(), "a cursor of %s at %s", from, to)
			}
			for _, d := range []*scim.Directory{sibling, foreign} {
				a := ask{dir: d, method: "GET", target: from + "count=1&cursor=" + cursor}.do(t, w)
				require.Equal(t, forgery.Body.String(), a.Body.String(), "a cursor of another directory")
			}
		}
		ask{noToken: true, method: "GET", target: "/Users?cursor=" + w.get(t, "/Users?cursor&count=1").text("/nextCursor")}.do(t, w).must(t, http.StatusUnauthorized)
	})
}

// Tenants whose names are of one length have different cursors too.
func TestRFC9865_5_2_CursorsAreBoundToTheTenant(t *testing.T) {
	store := newNaiveStore()
	list := func(tenant, cursor string) *response {
		r := newRig(t, store, scim.NoRoles{}, &scim.Directory{Tenant: tenant, ID: "d", Domains: []string{"example.com"}}, withCursors)
		for _, name := range []string{"ada", "bob"} {
			ask{method: "POST", target: "/Users", body: object("userName", name+"@example.com"), header: map[string]string{"Authorization": "Bearer " + testToken}}.do(t, r)
		}
		return ask{method: "GET", target: "/Users?count=1&cursor=" + cursor, header: map[string]string{"Authorization": "Bearer " + testToken}}.do(t, r)
	}
	cursor := list("acme", "").must(t, http.StatusOK).text("/nextCursor")
	list("acme", cursor).must(t, http.StatusOK)
	list("mace", cursor).refused(t, http.StatusBadRequest, scim.InvalidCursor)
}

// A cursor tells nothing of what resources are sorted by: URLs are logged. Two
// of one place differ.
func TestRFC9865_5_2_CursorsAreOpaque(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		w.addUser(t, ours, "ada@example.com", `,"title":"extraordinarily-secret"`)
		w.addUser(t, ours, "bob@example.com", `,"title":"public"`)
		first := w.get(t, "/Users?sortBy=title&count=1&cursor").text("/nextCursor")
		require.NotEqual(t, first, w.get(t, "/Users?sortBy=title&count=1&cursor").text("/nextCursor"))
		raw, err := base64.RawURLEncoding.DecodeString(first)
		require.NoError(t, err)
		require.NotContains(t, string(raw), "secret")
		require.NotContains(t, string(raw), "User")
	})
}

// RFC 9865 sections 2.1 and 4: a cursor is good for cursorTimeout seconds, and
// each page comes with another; replicas with the same key understand each
// other, and another key makes it one that was never issued.
func TestRFC9865_4_CursorTimeout(t *testing.T) {
	store := newNaiveStore()
	now := time.Date(2025, 10, 1, 12, 0, 0, 0, time.UTC)
	clock := func(cfg *scim.Config) {
		withCursors(cfg)
		cfg.Now, cfg.CursorTimeout = func() time.Time { return now }, 90*time.Second
	}
	w := newWorld(t, store, clock)
	replica := newWorld(t, store, clock)
	other := newWorld(t, store, func(cfg *scim.Config) {
		clock(cfg)
		cfg.CursorKey = []byte(strings.Repeat("k", 32))
	})
	w.team(t, ours)
	cursor := w.get(t, "/Users?cursor&count=3").text("/nextCursor")
	now = now.Add(90 * time.Second)
	page := replica.get(t, "/Users?count=3&cursor="+cursor).must(t, http.StatusOK)
	other.get(t, "/Users?count=3&cursor="+cursor).refused(t, http.StatusBadRequest, scim.InvalidCursor)
	now = now.Add(time.Millisecond)
	expired := w.get(t, "/Users?count=3&cursor="+cursor).refused(t, http.StatusBadRequest, scim.ExpiredCursor)
	require.Contains(t, expired.text("/detail"), "1m30s")
	w.get(t, "/Users?count=3&cursor="+page.text("/nextCursor")).must(t, http.StatusOK)
	ask{dir: sibling, method: "GET", target: "/Users?count=3&cursor=" + cursor}.do(t, w).refused(t, http.StatusBadRequest, scim.InvalidCursor, "nobody else learns that it is old")
}

// RFC 9865 section 4: what /ServiceProviderConfig says is what is wired.
func TestRFC9865_4_ServiceProviderConfig(t *testing.T) {
	for name, c := range map[string]struct {
		configure func(*scim.Config)
		want      string
	}{
		"without a key": {nil, `{"cursor":false,"index":true,"defaultPaginationMethod":"index","defaultPageSize":100,"maxPageSize":1000}`},
		"with one":      {withCursors, `{"cursor":true,"index":true,"defaultPaginationMethod":"index","defaultPageSize":100,"maxPageSize":1000,"cursorTimeout":600}`},
		"with limits": {func(cfg *scim.Config) {
			withCursors(cfg)
			cfg.CursorTimeout, cfg.Limits.Page, cfg.Limits.DefaultPage = 3999*time.Millisecond, 50, 70
		}, `{"cursor":true,"index":true,"defaultPaginationMethod":"index","defaultPageSize":50,"maxPageSize":50,"cursorTimeout":3}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newNaiveStore(), c.configure)
			require.JSONEq(t, c.want, quoted(w.get(t, "/ServiceProviderConfig").doc["pagination"]))
		})
	}
	for name, cfg := range map[string]scim.Config{
		"short key": {CursorKey: make([]byte, 16)}, "empty key": {CursorKey: []byte{}}, "long key": {CursorKey: make([]byte, 33)},
		"short timeout": {CursorTimeout: time.Millisecond}, "negative timeout": {CursorTimeout: -time.Hour},
	} {
		_, err := scim.NewEngine(newNaiveStore(), scim.NoRoles{}, &cfg)
		require.Error(t, err, name)
	}
}

// Without a key no cursor is offered: that one is asked for is ignored, as RFC
// 7644 section 3.4.2 has it of unknown parameters, and the answer says by
// startIndex what it is; one that is sent is refused.
func TestCursorsNotOffered(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		w.team(t, ours)
		a := w.get(t, "/Users?cursor&count=2&startIndex=3").must(t, http.StatusOK)
		require.Equal(t, "3", fmt.Sprint(a.doc["startIndex"]))
		require.False(t, a.has("/nextCursor"))
		w.get(t, "/Users?count=2&cursor=AAAA").refused(t, http.StatusBadRequest, scim.InvalidCursor)
		w.get(t, "/?count=2&cursor=AAAA").refused(t, http.StatusBadRequest, scim.InvalidCursor)
	})
}

// indexStore is a store whose author has not heard of positions.
type indexStore struct{ *naiveStore }

func (s indexStore) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	old := *q
	old.Positioned, old.After = false, ""
	return s.naiveStore.List(ctx, &old)
}

// A store that pages by index alone cannot be offered with cursors by mistake:
// the first page would look like all there is. Everything else works with it.
func TestStoreWithoutPositions(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, indexStore{newNaiveStore()}, func(cfg *scim.Config) {
		withCursors(cfg)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	users, groups := w.team(t, ours)
	for _, target := range []string{"/Users?cursor&count=2", "/?cursor&count=2", "/?sortBy=displayName&cursor&count=2"} {
		a := w.get(t, target).refused(t, http.StatusInternalServerError, "")
		require.NotContains(t, a.text("/detail"), "position", "it is for the operator")
		require.Contains(t, log.String(), "Config.CursorKey")
		log.Reset()
	}
	require.Equal(t, "10", fmt.Sprint(w.get(t, "/Users?count=3").doc["totalResults"]))
	require.ElementsMatch(t, users[:3], w.filtered(t, "/Users", `groups.value eq "`+groups[0]+`"`))
	w.consistent(t, ours)
}

// A value that is too long for a URL is not put into one: what to do instead is
// said.
func TestCursorsAreBounded(t *testing.T) {
	onCursors(t, func(t *testing.T, w *world) {
		w.addUser(t, ours, "ada@example.com", `,"title":"`+strings.Repeat("a", 4000)+`"`)
		w.addUser(t, ours, "eve@example.com", `,"title":"`+strings.Repeat("b", 5000)+`"`)
		w.addUser(t, ours, "zoe@example.com", `,"title":"z"`)
		a := w.get(t, "/Users?sortBy=title&count=1&cursor").must(t, http.StatusOK)
		require.Less(t, len(a.text("/nextCursor")), 6<<10)
		w.get(t, "/Users?sortBy=title&count=1&cursor="+a.text("/nextCursor")).refused(t, http.StatusBadRequest, scim.InvalidValue)
		w.get(t, "/Users?sortBy=title&count=2&cursor="+a.text("/nextCursor")).must(t, http.StatusOK)
	})
}
