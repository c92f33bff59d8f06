package filter_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

func TestLiteral(t *testing.T) {
	typ := userType(t)
	literal := func(s string) filter.Literal {
		t.Helper()
		c, ok := parse(t, typ, s).(*filter.Compare)
		require.True(t, ok)
		return c.Value
	}
	t.Run("text, case ignored", func(t *testing.T) {
		l := literal(`userName eq "Ada \"\u00cb\""`)
		require.Equal(t, filter.Text, l.Kind())
		require.Equal(t, `Ada "Ë"`, l.Text())
		require.Equal(t, attr.Fold(`Ada "Ë"`), l.Folded())
		require.Equal(t, `"Ada \"Ë\""`, l.String())
		require.False(t, l.IsNull())
		require.False(t, l.Bool())
	})
	t.Run("text, exact", func(t *testing.T) {
		l := literal(`externalId eq "Ada"`)
		require.Equal(t, "Ada", l.Text())
		require.Equal(t, "Ada", l.Folded())
	})
	t.Run("boolean", func(t *testing.T) {
		l := literal(`active eq TRUE`)
		require.Equal(t, filter.Bool, l.Kind())
		require.True(t, l.Bool())
		require.Equal(t, "true", l.Text())
		require.Equal(t, "true", l.String())
		require.False(t, literal("active eq false").Bool())
	})
	t.Run("number", func(t *testing.T) {
		for text, want := range map[string]int64{"0": 0, "-0": 0, "0e5": 0, "5": 5, "-12": -12, "1e3": 1000, "1200.0": 1200, "12e-0": 12, "9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63} {
			l := literal(custom + ":level eq " + text)
			require.Equal(t, filter.Number, l.Kind())
			n, ok := l.Int()
			require.True(t, ok, text)
			require.Equal(t, want, n, text)
			require.InDelta(t, float64(want), l.Float(), 0)
			require.Equal(t, text, l.Text())
			require.Equal(t, text, l.String())
		}
		for _, text := range []string{"0.5", "-1e-1", "9223372036854775808", "1e19", "1e300"} {
			_, ok := literal(custom + ":level eq " + text).Int()
			require.False(t, ok, text)
		}
		require.InDelta(t, 0.25, literal(custom+":score eq 25e-2").Float(), 0)
		_, ok := literal(`title eq "5"`).Int()
		require.False(t, ok)
	})
	t.Run("instant", func(t *testing.T) {
		l := literal(custom + `:hired eq "2024-02-29T12:00:00.5+05:30"`)
		require.Equal(t, filter.Time, l.Kind())
		require.Equal(t, time.Date(2024, 2, 29, 6, 30, 0, 500_000_000, time.UTC), l.Time())
		require.Equal(t, "2024-02-29T12:00:00.5+05:30", l.Text())
	})
	t.Run("octets", func(t *testing.T) {
		require.Equal(t, filter.Octets, literal(custom+`:badge eq "AA=="`).Kind())
	})
	t.Run("null", func(t *testing.T) {
		l := literal("title eq null")
		require.True(t, l.IsNull())
		require.Equal(t, filter.Null, l.Kind())
		require.Equal(t, filter.Literal{}, l)
		require.Equal(t, "null", l.String())
		require.Empty(t, l.Text())
	})
}

// The equalities that all matches satisfy, for a store with indexes.
func TestEqualities(t *testing.T) {
	typ := userType(t)
	for text, want := range map[string][]string{
		`userName eq "a"`:                                       {`userName "a"`},
		`active eq true and userName eq "a"`:                    {`userName "a"`},
		`externalId eq "b" and (title pr and userName eq "a")`:  {`externalId "b"`, `userName "a"`},
		`emails[type pr and value eq "a"]`:                      {`emails.value "a"`},
		`emails eq "a"`:                                         {`emails.value "a"`},
		`(not (title pr) or title pr) and displayName eq "grp"`: {`displayName "grp"`},
		`userName eq "a" or userName eq "b"`:                    nil,
		`not (userName eq "a")`:                                 nil,
		`userName ne "a"`:                                       nil,
		`userName sw "a"`:                                       nil,
		`userName pr`:                                           nil,
		`title eq null`:                                         nil,
		`active eq true`:                                        nil,
		custom + `:hired eq "2024-01-01T00:00:00Z"`:             nil,
		custom + `:level eq 5`:                                  nil,
		`title eq "a" and (active eq true and userName eq "b") and emails[value eq "c"]`: {`title "a"`, `userName "b"`, `emails.value "c"`},
	} {
		var got []string
		for a, l := range filter.Equalities(parse(t, typ, text)) {
			got = append(got, a.Path()+" "+l.String())
		}
		require.Equal(t, want, got, text)
	}
	for range filter.Equalities(nil) {
		t.Fatal("no filter demands nothing")
	}
	for a := range filter.Equalities(parse(t, typ, `title eq "a" and userName eq "b"`)) {
		require.Equal(t, "title", a.Name)
		break
	}
}

func TestUses(t *testing.T) {
	typ := userType(t)
	e := parse(t, typ, `title pr and not (emails[value eq "x"] or name.givenName pr) or `+enterprise+`:manager eq "x" and addresses pr and meta.created pr and ims ne null`)
	for path, want := range map[string]bool{
		"title": true, "emails": true, "emails.value": true, "emails.type": false, "name": true, "name.givenName": true, "name.familyName": false,
		enterprise: true, enterprise + ":manager": true, enterprise + ":manager.value": true, enterprise + ":department": false,
		"addresses": true, "addresses.country": true, "meta": true, "ims": true, "ims.value": true, "userName": false, "groups": false,
	} {
		require.Equal(t, want, filter.Uses(e, find(t, typ, path)), path)
	}
	require.False(t, filter.Uses(nil, typ.ID))
}

func TestWalk(t *testing.T) {
	typ := userType(t)
	e := parse(t, typ, `title pr and not (emails[value eq "x"]) or active pr`)
	var all []string
	filter.Walk(e, func(e filter.Expr) bool {
		all = append(all, e.String())
		_, not := e.(*filter.Not)
		return !not
	})
	require.Equal(t, []string{e.String(), `title pr and not (emails[value eq "x"])`, "title pr", `not (emails[value eq "x"])`, "active pr"}, all)
	all = nil
	filter.Walk(e, func(e filter.Expr) bool {
		all = append(all, e.String())
		return true
	})
	require.Len(t, all, 7)
	filter.Walk(nil, func(filter.Expr) bool { panic("nothing to walk") })
}

func TestPathZero(t *testing.T) {
	require.Empty(t, filter.Path{}.String())
}

// RFC 7644 section 3.4.2.3: sorting orders values as gt and lt do.
func TestKeyOrder(t *testing.T) {
	typ := userType(t)
	order := func(a *attr.Attribute, x, y string) int {
		k, l := filter.NewKey(a, x), filter.NewKey(a, y)
		return k.Compare(&l)
	}
	long := strings.Repeat("9", 400)
	for path, ascending := range map[string][]string{
		"userName":              {"", "A", "aa", "AB", "ac", "É"},
		"externalId":            {"", "A", "B", "a", "b"},
		"active":                {"false", "true"},
		custom + ":level":       {"-" + long, "-10", "-9", "0", "9", "10", "9007199254740992", "9007199254740993", long, long + "0"},
		custom + ":score":       {"-1e999", "-1.5", "0", "1e-3", "0.5", "1e2", "1e999"},
		custom + ":hired":       {"2024-01-01T00:00:00+01:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00-01:00"},
		custom + ":homepage":    {"A", "a"},
		custom + ":badge":       {"AA", "BB"},
		enterprise + ":manager": {"A", "b"},
	} {
		a := find(t, typ, path)
		for i, x := range ascending {
			for j, y := range ascending {
				require.Equal(t, cmp.Compare(i, j), cmp.Compare(order(a, x, y), 0), "%s: %s and %s", path, x, y)
			}
		}
	}
	require.Zero(t, order(find(t, typ, "userName"), "ADA", "ada"))
	require.Zero(t, order(find(t, typ, custom+":level"), "-0", "0"))
	require.Zero(t, order(find(t, typ, custom+":hired"), "2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z"))
	require.Zero(t, order(find(t, typ, custom+":score"), "1.50", "15e-1"))
}

// An equality that was built is the one that its text parses to.
func TestEqual(t *testing.T) {
	typ := userType(t)
	for path, text := range map[string]string{"userName": `Ada "Ë" \\`, "externalId": "A", "groups.value": "", custom + ":homepage": "x y"} {
		e := filter.Equal(find(t, typ, path), text)
		require.Equal(t, parse(t, typ, e.String()), filter.Expr(e))
		require.Equal(t, path, e.Attr.Path())
		require.Equal(t, text, e.Value.Text())
	}
}
