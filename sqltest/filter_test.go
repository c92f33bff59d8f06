package sqltest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

var (
	texts    = []string{"a", "A", "ab", "aB", "bA", "ß", "ẞ", "k", "\u212A", "s", "ſ", "σ", "ς", "Σx", `"\`, "\n", "😀", "é", "É", "e\u0301", "ｆｕｌｌ", "full", "%_'", "$1 ?1 @x {each $1}", "1", "true"}
	octets   = []string{"AA==", "AA", "+/8=", "-_8", "AAAA", "aaaa"}
	instants = []string{"2024-02-29T12:00:00Z", "2024-02-29T13:00:00+01:00", "2024-02-29T12:00:00.123Z", "2024-02-29T12:00:00.1234567Z", "2024-02-29T12:00:00.1234568Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"}
	integers = []string{"5", "0", "-0", "-3", "-30", "30", "9007199254740992", "9007199254740993", "-9007199254740993", "123456789012345678901234567890"}
	decimals = []string{"1.5", "0", "-2.5", "100", "1e2", "0.1", "-1e-3", "1.50"}
	numbers  = slices.Concat(integers, decimals, []string{"5.0", "50e-1", "5.5", "-2.5e0", "1E30", "0.0", "-0.0"})
)

func of(all []string) string { return all[rand.IntN(len(all))] }

func randomValue(a *attr.Attribute) any {
	switch a.Kind {
	case attr.Boolean:
		return rand.IntN(2) == 0
	case attr.Integer:
		return json.Number(of(integers))
	case attr.Decimal:
		return json.Number(of(decimals))
	case attr.DateTime:
		return of(instants)
	case attr.Binary:
		return of(octets)
	case attr.Complex:
		object := map[string]any{}
		for _, sub := range a.Subs {
			if rand.IntN(3) > 0 {
				object[sub.Name] = randomValues(sub)
			}
		}
		return object
	default:
		return of(texts)
	}
}

func randomValues(a *attr.Attribute) any {
	if !a.MultiValued {
		return randomValue(a)
	}
	list := []any{}
	primary := rand.IntN(4)
	for i := range rand.IntN(4) {
		v := randomValue(a)
		if object, ok := v.(map[string]any); ok && a.PrimarySub() != nil {
			object["primary"] = i == primary
		}
		list = append(list, v)
	}
	return list
}

// visible are the attributes that a filter may name below scope.
func visible(all []*attr.Attribute, in bool) (names []*attr.Attribute) {
	for _, a := range all {
		if a.Returned == attr.Never || a.Mutability == attr.WriteOnly || a.Dropped || a.Name == "password" {
			continue
		}
		names = append(names, a)
		if !in {
			names = append(names, visible(a.Subs, false)...)
		}
	}
	return names
}

// randomFilter returns the text of a filter over the attributes of scope.
func randomFilter(scope []*attr.Attribute, in bool, depth int) string {
	kind := rand.IntN(9)
	if depth == 0 {
		kind = 4 + kind%4
	}
	switch kind {
	case 0, 1, 8:
		return "(" + randomFilter(scope, in, depth-1) + [...]string{" and ", " or "}[rand.IntN(2)] + randomFilter(scope, in, depth-1) + ")"
	case 2:
		return randomFilter(scope, in, depth-1) + " and " + randomFilter(scope, in, depth-1)
	case 3:
		return "not (" + randomFilter(scope, in, depth-1) + ")"
	case 4:
		if in {
			break
		}
		complexes := slices.DeleteFunc(visible(scope, false), func(a *attr.Attribute) bool { return a.Kind != attr.Complex || a.Extension })
		a := complexes[rand.IntN(len(complexes))]
		return a.Path() + "[" + randomFilter(a.Subs, true, depth) + "]"
	}
	names := visible(scope, in)
	a := names[rand.IntN(len(names))]
	name := a.Path()
	if in {
		name = a.Name
	}
	switch rand.IntN(10) {
	case 0:
		return name + " pr"
	case 1:
		return name + " eq null"
	case 2:
		return name + " ne null"
	}
	if a.Kind == attr.Complex {
		if a = a.ValueSub(); a == nil || in {
			return name + " pr"
		}
	}
	quoted := func(s string) string {
		b, _ := json.Marshal(s) // a string can be marshalled
		return string(b)
	}
	switch a.Kind {
	case attr.Boolean:
		return name + " " + of([]string{"eq", "ne"}) + " " + of([]string{"true", "false"})
	case attr.Integer, attr.Decimal:
		return name + " " + of([]string{"eq", "ne", "gt", "ge", "lt", "le"}) + " " + of(numbers)
	case attr.DateTime:
		return name + " " + of([]string{"eq", "ne", "gt", "ge", "lt", "le"}) + " " + quoted(of(instants))
	case attr.Binary:
		return name + " " + of([]string{"eq", "ne"}) + " " + quoted(of(octets))
	default:
		pool := texts
		switch {
		case strings.HasSuffix(name, "groups.value"), strings.HasSuffix(name, "members.value"), name == "id", name == "value":
			pool = slices.Concat(texts[:3], []string{"u1", "u2", "g1", "g2", "g3"})
		case name == "groups.type", name == "members.type", name == "type":
			pool = slices.Concat(texts[:3], []string{"User", "Group", "group", "direct", "DIRECT"})
		case strings.HasSuffix(name, "meta.version"), name == "version":
			pool = []string{`W/"1"`, `W/"2"`, "1", ""}
		case strings.HasSuffix(name, "resourceType"):
			pool = []string{"User", "user", "Group"}
		}
		text := of(pool)
		if rand.IntN(20) == 0 {
			text = ""
		}
		return name + " " + of([]string{"eq", "eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"}) + " " + quoted(text)
	}
}

// A filter, a sort and a page in SQL are what they are in memory: filter.Match,
// Query.Sort and the matching of groups and members say what is right.
func TestQueriesAreThoseOfMemory(t *testing.T) {
	t.Parallel()
	types := measured(t)
	rounds := 6000
	if testing.Short() {
		rounds = 500
	}
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock time.Time
			now := func() time.Time { return clock }
			memory := memstore.New(types, &memstore.Options{Now: now})
			store := sqltest.Open(t, name, types, &sqlstore.Options{Now: now})
			fill(t, types, &clock, memory, store)
			for i := range rounds {
				compareQuery(t, types.All()[i%3], memory, store)
			}
		})
	}
}

func compareQuery(t *testing.T, typ *scim.ResourceType, memory, store scim.Ledger) {
	t.Helper()
	ctx := context.Background()
	scope := typ.Root().Subs
	text := ""
	if rand.IntN(20) > 0 {
		text = randomFilter(scope, false, 3)
	}
	q := &scim.Query{Directory: acme, Type: typ, StartIndex: 1, Count: 100}
	if text != "" {
		var err error
		if q.Filter, _, err = filter.Parse(text, typ.Type, filter.Options{}); err != nil {
			return // some attributes have fewer operators
		}
	}
	if all := visible(scope, false); rand.IntN(2) == 0 {
		if q.SortBy = all[rand.IntN(len(all))]; q.SortBy.Kind == attr.Complex && q.SortBy.ValueSub() != nil {
			q.SortBy = q.SortBy.ValueSub()
		}
		q.Descending = rand.IntN(2) == 0
	}
	what := fmt.Sprintf("%s: %s, sorted by %s", typ.Name, text, sortedBy(q))
	want, err := memory.List(ctx, q)
	require.NoError(t, err, what)
	if q.SortBy == nil {
		q.Sort(want.Resources) // memstore has another order then
	}
	got, err := store.List(ctx, q)
	require.NoError(t, err, what)
	require.Equal(t, named(want.Resources), named(got.Resources), what)
	require.Equal(t, want.Total, got.Total, what)
	if rand.IntN(10) == 0 {
		checkPages(t, store, q, want.Resources, what)
	}
}

func sortedBy(q *scim.Query) string {
	if q.SortBy == nil {
		return "nothing"
	}
	return q.SortBy.Path() + " " + strconv.FormatBool(q.Descending)
}

// checkPages reads what a query finds page by page, by index and by position.
func checkPages(t *testing.T, store scim.Store, q *scim.Query, want []*scim.Resource, what string) {
	t.Helper()
	for _, count := range []int{1, 3} {
		page := *q
		page.Count = count
		var byIndex, byPosition []*scim.Resource
		for page.StartIndex = 1; ; page.StartIndex += count {
			p, err := store.List(context.Background(), &page)
			require.NoError(t, err, what)
			require.Equal(t, len(want), p.Total, what)
			if byIndex = append(byIndex, p.Resources...); len(p.Resources) < count {
				break
			}
		}
		require.Equal(t, named(want), named(byIndex), what)
		for page.StartIndex, page.Positioned = 1, true; ; {
			p, err := store.List(context.Background(), &page)
			require.NoError(t, err, what)
			require.True(t, p.Positioned)
			require.Equal(t, len(want), p.Total, what)
			byPosition = append(byPosition, p.Resources...)
			if page.After = p.Next; page.After == "" {
				break
			}
		}
		require.Equal(t, named(want), named(byPosition), what)
	}
}

func named(all []*scim.Resource) []string {
	texts := make([]string, len(all))
	for i, r := range all {
		texts[i] = r.ID() + " " + r.Version().ETag()
	}
	return texts
}

// fill gives the stores the same random resources.
func fill(t *testing.T, types *scim.Types, clock *time.Time, stores ...scim.Ledger) {
	t.Helper()
	ctx := context.Background()
	for n := range 60 {
		*clock = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC).Add(time.Duration(n%3) * 123 * time.Millisecond)
		typ := types.All()[n%3]
		id := strings.ToLower(typ.Name[:1]) + strconv.Itoa(n/3)
		values := map[string]any{}
		for _, a := range typ.Root().Subs {
			switch {
			case a.Name == "schemas", a.Name == "id", a.Name == "meta", a.Name == "groups", a.Name == "members", a.Name == "password", rand.IntN(4) == 0:
			case a.Extension:
				for _, sub := range a.Subs {
					if rand.IntN(4) > 0 {
						values[sub.Path()] = randomValues(sub)
					}
				}
			default:
				values[a.Name] = randomValues(a)
			}
		}
		r := resource(t, types, typ.Name, id, values)
		_, err := stores[0].Create(ctx, r)
		_, other := stores[1].Create(ctx, r)
		require.Equal(t, err == nil, other == nil, "%v %v: %s", err, other, r.JSON())
		if err != nil {
			require.ErrorIs(t, err, scim.ErrUniqueness)
			require.ErrorIs(t, other, scim.ErrUniqueness)
		}
	}
	for g := range 20 {
		group := scim.Ref{Directory: acme, Type: "Group", ID: "g" + strconv.Itoa(g)}
		var change scim.MemberChange
		for range rand.IntN(5) {
			id := of([]string{"u", "g", "x"}) + strconv.Itoa(rand.IntN(4))
			if !slices.ContainsFunc(change.Add, func(m scim.Member) bool { return m.Value == id }) {
				change.Add = append(change.Add, scim.Member{Value: id})
			}
		}
		var results []*scim.MemberResult
		for _, s := range stores {
			result, err := s.ChangeMembers(ctx, group, change, 0)
			if err != nil {
				require.ErrorIs(t, err, scim.ErrNotFound) // it was refused for a value that is taken
				continue
			}
			results = append(results, result)
		}
		if len(results) > 0 {
			require.Len(t, results, 2)
			require.ElementsMatch(t, results[0].Added, results[1].Added)
			require.Equal(t, results[0].Unknown, results[1].Unknown)
		}
	}
}
