package scim_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

var queryKey = scim.Key{Tenant: "acme", Directory: "okta"}

// measured are the core types, with an attribute of each kind that has an order.
func measured(t testing.TB) *scim.Types {
	t.Helper()
	simple := schema.SimpleCoreAttribute
	user, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(), attr.Extension{Schema: schema.Schema{
		ID: "urn:example:measures",
		Attributes: schema.Attributes{
			simple(schema.SimpleNumberParams(schema.NumberParams{Name: "level", Type: schema.AttributeTypeInteger()})),
			simple(schema.SimpleNumberParams(schema.NumberParams{Name: "score", Type: schema.AttributeTypeDecimal()})),
			simple(schema.SimpleDateTimeParams(schema.DateTimeParams{Name: "hired"})),
			simple(schema.SimpleStringParams(schema.StringParams{Name: "badge", CaseExact: true})),
			simple(schema.SimpleStringParams(schema.StringParams{Name: "skills", MultiValued: true})),
		},
	}})
	require.NoError(t, err)
	group, err := attr.NewType("Group", "/Groups", "", schema.CoreGroupSchema())
	require.NoError(t, err)
	types, err := scim.NewTypes(user, group)
	require.NoError(t, err)
	return types
}

func queryFor(t testing.TB, typ *scim.ResourceType, text string) *scim.Query {
	t.Helper()
	q := &scim.Query{Directory: queryKey, Type: typ, StartIndex: 1, Count: 100}
	if text != "" {
		var err error
		q.Filter, _, err = filter.Parse(text, typ.Type, filter.Options{})
		require.NoError(t, err, text)
	}
	return q
}

func ids(all []*scim.Resource) (ids []string) {
	for _, r := range all {
		ids = append(ids, r.ID())
	}
	return ids
}

// RFC 7644 section 3.4.2.3: by the attribute's type and caseExact, of several
// values by the primary or else the first, without value last and in descending
// order first. Equal ones are in the order of their ids.
func TestSortOrder(t *testing.T) {
	types := measured(t)
	user := types.Type("User")
	when := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	made := []struct {
		id, body string
		meta     scim.Meta
	}{
		{
			"a", `"userName":"Zoe","urn:example:measures":{"level":10,"score":1.5,"hired":"2024-01-01T00:00:00-01:00","badge":"b","skills":["x","a"]},
			"emails":[{"value":"z"},{"value":"B","primary":true}]`,
			scim.Meta{Created: when(-5), LastModified: when(100), Version: 10},
		},
		{
			"b", `"userName":"adam","urn:example:measures":{"level":9,"score":1e1,"hired":"2024-01-01T00:30:00Z","badge":"B","skills":["b"]},
			"emails":[{"value":"c"},{"value":"a"}]`,
			scim.Meta{Created: when(3), LastModified: when(99), Version: 9},
		},
		{"c", `"userName":"ÉVA"`, scim.Meta{Created: when(3), LastModified: when(101), Version: 100}},
		{
			"d", `"userName":"eve","urn:example:measures":{"level":-123456789012345678901234567890,"score":-0.5,"hired":"2024-01-01T00:00:00Z","badge":"a","skills":["y"]},
			"emails":[{"value":"A","primary":true}]`,
			scim.Meta{Created: when(2), LastModified: when(98), Version: 2},
		},
	}
	var all []*scim.Resource
	for _, m := range made {
		r, err := types.Decode(queryKey, "User", []byte(`{"schemas":["`+schema.UserSchema+`","urn:example:measures"],"id":"`+m.id+`",`+m.body+`}`), m.meta)
		require.NoError(t, err)
		all = append(all, r)
	}
	for path, want := range map[string]struct{ ascending, descending []string }{
		"":                           {[]string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"id":                         {[]string{"a", "b", "c", "d"}, []string{"d", "c", "b", "a"}},
		"userName":                   {[]string{"b", "d", "a", "c"}, []string{"c", "a", "d", "b"}},
		"title":                      {[]string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"emails.value":               {[]string{"d", "a", "b", "c"}, []string{"c", "b", "a", "d"}},
		"emails.primary":             {[]string{"a", "d", "b", "c"}, []string{"b", "c", "a", "d"}},
		"urn:example:measures:level": {[]string{"d", "b", "a", "c"}, []string{"c", "a", "b", "d"}},
		"urn:example:measures:score": {[]string{"d", "a", "b", "c"}, []string{"c", "b", "a", "d"}},
		"urn:example:measures:hired": {[]string{"d", "b", "a", "c"}, []string{"c", "a", "b", "d"}},
		"urn:example:measures:badge": {[]string{"b", "d", "a", "c"}, []string{"c", "a", "d", "b"}},
		"urn:example:measures:skills": {
			[]string{"b", "a", "d", "c"}, []string{"c", "d", "a", "b"},
		},
		"meta.created":      {[]string{"a", "d", "b", "c"}, []string{"b", "c", "d", "a"}},
		"meta.lastModified": {[]string{"d", "b", "a", "c"}, []string{"c", "a", "b", "d"}},
		"meta.version":      {[]string{"d", "b", "a", "c"}, []string{"c", "a", "b", "d"}},
		"meta.resourceType": {[]string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"meta.location":     {[]string{"a", "b", "c", "d"}, []string{"d", "c", "b", "a"}},
	} {
		q := queryFor(t, user, "")
		if path != "" {
			q.SortBy, _ = user.Lookup(path, attr.Strict)
			require.NotNil(t, q.SortBy, path)
		}
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
			var mixed []*scim.Resource
			for _, i := range order {
				mixed = append(mixed, all[i])
			}
			q.Descending = false
			q.Sort(mixed)
			require.Equal(t, want.ascending, ids(mixed), path)
			q.Descending = true
			q.Sort(mixed)
			require.Equal(t, want.descending, ids(mixed), "%s descending", path)
		}
	}
}

// Rule E3: sorting a large directory costs one key for each resource, whatever
// it is sorted by, and not one for each comparison.
func TestSortReadsEachResourceOnce(t *testing.T) {
	types := measured(t)
	user := types.Type("User")
	const n = 1000
	all := make([]*scim.Resource, n)
	for i := range all {
		var err error
		all[i], err = types.Decode(queryKey, "User", fmt.Appendf(nil, `{"id":"%d","userName":"User-%d","urn:example:measures":{"level":%d,"hired":"2024-01-01T00:00:00.%03dZ"}}`, i, i*7919%n, i*7919%n, i*7919%n),
			scim.Meta{Created: time.UnixMilli(int64(i * 7919 % n)), LastModified: time.UnixMilli(int64(i * 31 % n)), Version: scim.Version(i)})
		require.NoError(t, err)
	}
	for path, most := range map[string]float64{
		"meta.created": 10, "meta.lastModified": 10, "meta.version": 10, "meta.location": 10, "urn:example:measures:level": 10,
		"urn:example:measures:hired": 10, "userName": 3 * n,
	} {
		q := queryFor(t, user, "")
		q.SortBy, _ = user.Lookup(path, attr.Strict)
		require.NotNil(t, q.SortBy, path)
		got := testing.AllocsPerRun(5, func() { q.Sort(slices.Clone(all)) })
		require.LessOrEqual(t, got, most, path)
	}
}

// RFC 7643 section 3.1: meta can be asked for as if it were in the document.
func TestMatchMeta(t *testing.T) {
	types := measured(t)
	r, err := types.Decode(queryKey, "User", []byte(`{"id":"1","userName":"ada","active":true}`), scim.Meta{
		Created: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), LastModified: time.Date(2024, 1, 2, 3, 4, 5, 678e6, time.UTC), Version: 7,
	})
	require.NoError(t, err)
	for text, want := range map[string]bool{
		`meta.lastModified gt "2024-01-02T03:04:05.677Z"`:                   true,
		`meta.lastModified gt "2024-01-02T03:04:05.678Z"`:                   false,
		`meta.lastModified ge "2024-01-02T03:04:05.678Z"`:                   true,
		`meta.lastModified eq "2024-01-02T04:04:05.678+01:00"`:              true,
		`meta.lastModified eq "2024-01-02T03:04:05.678000001Z"`:             false,
		`meta.created lt "2024-01-01T00:00:00.001Z" and active eq true`:     true,
		`not (meta.created eq "2024-01-01T00:00:00Z") or userName eq "ADA"`: true,
		`not (meta.created eq "2024-01-01T00:00:00Z") or userName eq "bob"`: false,

		`meta.created ne null`:        true,
		`meta.created eq null`:        false,
		`meta.created pr`:             true,
		`meta.resourceType eq "User"`: true,
		`meta.resourceType eq "user"`: false,

		`meta.resourceType sw "U" and meta.resourceType ne "Group"`: true,
		`meta.version eq "W/\"7\""`:                                 true,
		`meta.version eq "W/\"8\""`:                                 false,
		`meta pr`:                                                   true,
		`meta eq null`:                                              false,
		`meta ne null`:                                              true,
		`meta.location pr`:                                          false,
		`meta.location eq "x"`:                                      false,
		`meta.location ne "x"`:                                      true,
		`meta.location eq null`:                                     true,
		`userName eq "ada" and (meta.version eq null or meta.created pr)`:       true,
		`groups.value eq "g" or meta.created gt "2024-01-01T00:00:00Z"`:         false,
		`groups.value ne "g" and meta.created ge "2024-01-01T00:00:00Z"`:        true,
		`groups eq null and not (groups pr) and meta.resourceType co "se"`:      true,
		`groups[value eq "g"] or emails[value pr] or meta.resourceType ew "rs"`: false,
	} {
		q := queryFor(t, types.Type("User"), text)
		m := q.Matcher()
		require.Equal(t, want, m.Match(r, nil), text)
		require.Equal(t, want, m.Match(r, &scim.Relations{}), text)
	}
	// Providers write it in brackets too (RFC 7644 section 3.4.2.2).
	q := queryFor(t, types.Type("User"), "")
	for text, want := range map[string]bool{`meta[resourceType eq "User" and created pr]`: true, `meta[resourceType eq "Group" or not (created pr)]`: false} {
		q.Filter, _, err = filter.Parse(text, q.Type.Type, filter.Options{Lenience: attr.Lenient})
		require.NoError(t, err)
		require.Equal(t, want, q.Matcher().Match(r, nil), text)
	}
}

// What provider and job ask most, all that changed since, looks at every
// resource and must not allocate for one.
func TestMatchMetaDoesNotAllocate(t *testing.T) {
	types := measured(t)
	r, err := types.Decode(queryKey, "User", []byte(`{"id":"1","userName":"ada"}`), scim.Meta{Created: time.Unix(5, 0), LastModified: time.Unix(6, 0), Version: 7})
	require.NoError(t, err)
	for _, text := range []string{`meta.lastModified gt "2024-01-01T00:00:00Z"`, `not (meta.created pr and meta.resourceType eq "User") or title pr`} {
		m := queryFor(t, types.Type("User"), text).Matcher()
		require.Zero(t, testing.AllocsPerRun(100, func() { m.Match(r, nil) }), text)
	}
}

// What a filter sees of groups and members is what the caller knows of them
// (RFC 7643 sections 4.1.2 and 4.2), the rest is the document's.
func TestMatchRelations(t *testing.T) {
	types := measured(t)
	meta := scim.Meta{Created: time.Unix(5, 0), LastModified: time.Unix(6, 0), Version: 7}
	ada, err := types.Decode(queryKey, "User", []byte(`{"id":"1","userName":"ada"}`), meta)
	require.NoError(t, err)
	engineers, err := types.Decode(queryKey, "Group", []byte(`{"id":"2","displayName":"Engineers","members":[{"value":"inline"}]}`), meta)
	require.NoError(t, err)
	groups := &scim.Relations{Groups: []scim.GroupRef{{ID: "g1", DisplayName: "One"}, {ID: "g2"}}}
	members := &scim.Relations{Members: []scim.Member{{Value: "u1", Type: "User", Display: "Ada"}, {Value: "g1", Type: "Group"}}}
	for _, test := range []struct {
		r    *scim.Resource
		rel  *scim.Relations
		text string
		want bool
	}{
		{ada, groups, `groups.value eq "g2" and meta.version eq "W/\"7\"" and userName eq "ada"`, true},
		{ada, groups, `groups eq "G2"`, false},
		{ada, groups, `groups[value eq "g1" and display eq "one" and type eq "direct"]`, true},
		{ada, groups, `groups[value eq "g2" and display pr]`, false},
		{ada, groups, `groups ne null and not (groups.value eq "g3")`, true},
		{ada, groups, `groups pr and meta.created gt "2024-01-01T00:00:00Z"`, false},
		{ada, nil, `groups pr`, false},
		{engineers, members, `members[value eq "u1" and type eq "User" and display eq "Ada"] and displayName sw "eng"`, true},
		{engineers, members, `members[value eq "u1" and type eq "Group"]`, false},
		{engineers, members, `members.value eq "inline"`, false},
		{engineers, nil, `members.value eq "inline"`, true},
		{engineers, members, `members eq null or meta[resourceType eq "User"]`, false},
	} {
		q := &scim.Query{Directory: queryKey, Type: test.r.Type()}
		q.Filter, _, err = filter.Parse(test.text, q.Type.Type, filter.Options{Lenience: attr.Lenient})
		require.NoError(t, err)
		require.Equal(t, test.want, q.Matcher().Match(test.r, test.rel), test.text)
	}
}

func BenchmarkSortByLastModified(b *testing.B) {
	types := measured(b)
	all := make([]*scim.Resource, 10_000)
	for i := range all {
		var err error
		all[i], err = types.Decode(queryKey, "User", []byte(`{"id":"`+strconv.Itoa(i)+`","userName":"u"}`), scim.Meta{LastModified: time.UnixMilli(int64(i * 7919 % len(all)))})
		require.NoError(b, err)
	}
	q := queryFor(b, types.Type("User"), "")
	q.SortBy = q.Type.Meta.Sub("lastModified")
	for b.Loop() {
		q.Sort(slices.Clone(all))
	}
}
