package scim_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// RFC 9865 section 2.2: a query paged by position gives the same resources in
// the same order as one paged by index, whatever it is sorted by.
func TestRFC9865_2_2_PositionsFollowTheOrder(t *testing.T) {
	types := measured(t)
	user := types.Type("User")
	r := rand.New(rand.NewPCG(1, 2))
	var all []*scim.Resource
	for i := range 200 {
		body := fmt.Sprintf(`{"id":"%d","userName":"%s%d"`, i, []string{"A", "a", "É", "é+1:x", ""}[r.IntN(5)], r.IntN(20))
		if r.IntN(3) > 0 {
			body += fmt.Sprintf(`,"title":"%c","urn:example:measures":{"level":%d,"score":%d.50,"hired":"2024-01-01T0%d:00:00+0%d:00","badge":"%c","skills":["%c","x"]},"emails":[{"value":"x"},{"value":"%c","primary":true}]`,
				'a'+rune(r.IntN(4)), r.IntN(40)-20, r.IntN(9)-4, r.IntN(5), r.IntN(5), 'A'+rune(r.IntN(4)), 'a'+rune(r.IntN(4)), 'a'+rune(r.IntN(4)))
		}
		when := time.Unix(int64(r.IntN(5)-2), 0)
		made, err := types.Decode(queryKey, "User", []byte(body+"}"), scim.Meta{Created: when, LastModified: when, Version: scim.Version(r.IntN(4))})
		require.NoError(t, err)
		all = append(all, made)
	}
	for _, path := range []string{
		"", "id", "userName", "title", "emails.value", "emails.primary", "meta.created", "meta.lastModified", "meta.version", "meta.resourceType", "meta.location",
		"urn:example:measures:level", "urn:example:measures:score", "urn:example:measures:hired", "urn:example:measures:badge", "urn:example:measures:skills", "active",
	} {
		for _, descending := range []bool{false, true} {
			q := queryFor(t, user, `userName sw "a"`)
			if path != "" {
				q.SortBy, _ = user.Lookup(path, attr.Strict)
				require.NotNil(t, q.SortBy, path)
			}
			q.Descending = descending
			q.Count = 1000
			want := ids(scim.Select(q, slices.Values(all)).Resources)
			require.Greater(t, len(want), 50)
			for _, count := range []int{1, 7, len(want) - 1, len(want), len(want) + 1} {
				q.Positioned, q.Count, q.After = true, count, ""
				var got []string
				for {
					page := scim.Select(q, slices.Values(all))
					require.True(t, page.Positioned)
					require.Equal(t, len(want), page.Total)
					require.LessOrEqual(t, len(page.Resources), count)
					require.LessOrEqual(t, len(got), len(want), "the positions lead in a circle")
					got = append(got, ids(page.Resources)...)
					if q.After = page.Next; q.After == "" {
						break
					}
					require.Len(t, page.Resources, count)
				}
				require.Equal(t, want, got, "%s, %d a page", path, count)
			}
			q.Positioned, q.Count, q.After = true, 0, ""
			none := scim.Select(q, slices.Values(all))
			require.Empty(t, none.Resources)
			require.Empty(t, none.Next, "a count of 0 asks for the total alone")
			require.Equal(t, len(want), none.Total)
		}
	}
}

// A position that is none, as one of another store, is not answered as if it
// were one: the reader would not learn that it has missed something.
func TestForeignPositions(t *testing.T) {
	types := scim.CoreTypes()
	user := types.Type("User")
	store := newManaged(types, nil)
	made, err := types.New(queryKey, "User").ID("1").Set("userName", "ada").Resource()
	require.NoError(t, err)
	_, err = store.Create(t.Context(), made)
	require.NoError(t, err)
	for _, after := range []string{"x", "+", "+1", "+1:", "+9:abc", "+-1:abc", "+9999999999999999999999:x", ":", "99999999999999999999", "7.5"} {
		for _, sorted := range []string{"", "meta.created"} {
			q := queryFor(t, user, "")
			if sorted != "" {
				q.SortBy, _ = user.Lookup(sorted, attr.Strict)
			}
			q.Positioned, q.After = true, after
			page := scim.Select(q, slices.Values([]*scim.Resource{made}))
			require.False(t, page.Positioned, "%q sorted by %q", after, sorted)
			require.Empty(t, page.Resources)
			page, err := store.List(t.Context(), q)
			require.NoError(t, err)
			require.False(t, page.Positioned, "%q sorted by %q", after, sorted)
			require.Empty(t, page.Resources)
		}
	}
}

// Rule E3: a page of a sorted query costs memory by its size, not by that of
// the directory.
func TestCollectorKeepsAPage(t *testing.T) {
	types := scim.CoreTypes()
	all := make([]*scim.Resource, 20_000)
	for i := range all {
		var err error
		all[i], err = types.New(queryKey, "User").ID(fmt.Sprint(i)).Meta(scim.Meta{Created: time.UnixMilli(int64(i * 7919 % len(all)))}).Resource()
		require.NoError(t, err)
	}
	q := queryFor(t, types.Type("User"), "")
	q.SortBy = q.Type.Meta.Sub("created")
	bytes := func(positioned bool) uint64 {
		q.Positioned, q.Count = positioned, 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		scim.Select(q, slices.Values(all))
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	require.Less(t, bytes(true), uint64(64<<10))
	require.Greater(t, bytes(false), uint64(len(all)*8), "the measure measures")
}
