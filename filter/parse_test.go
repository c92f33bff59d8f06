package filter_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

func parse(t testing.TB, typ *attr.Type, s string) filter.Expr {
	t.Helper()
	e, _, err := filter.Parse(s, typ, filter.Options{Lenience: attr.Lenient, Length: 2 << 20})
	require.NoError(t, err)
	return e
}

func find(t testing.TB, typ *attr.Type, path string) *attr.Attribute {
	t.Helper()
	a, _ := typ.Lookup(path, attr.Strict)
	require.NotNil(t, a, path)
	return a
}

// RFC 7644 section 3.4.2.2, figure 1, and its order of operations.
func TestParseGroups(t *testing.T) {
	typ := userType(t)
	a, b, c := &filter.Present{Attr: find(t, typ, "title")}, &filter.Present{Attr: find(t, typ, "name")}, &filter.Present{Attr: find(t, typ, "emails")}
	for _, test := range []struct {
		text      string
		want      filter.Expr
		canonical string
	}{
		{"title pr or name pr and emails pr", &filter.Or{Left: a, Right: &filter.And{Left: b, Right: c}}, ""},
		{"title pr and name pr or emails pr", &filter.Or{Left: &filter.And{Left: a, Right: b}, Right: c}, ""},
		{"title pr and name pr and emails pr", &filter.And{Left: &filter.And{Left: a, Right: b}, Right: c}, ""},
		{"title pr or name pr or emails pr", &filter.Or{Left: &filter.Or{Left: a, Right: b}, Right: c}, ""},
		{"title pr and (name pr and emails pr)", &filter.And{Left: a, Right: &filter.And{Left: b, Right: c}}, ""},
		{"title pr or (name pr or emails pr)", &filter.Or{Left: a, Right: &filter.Or{Left: b, Right: c}}, ""},
		{"(title pr or name pr) and emails pr", &filter.And{Left: &filter.Or{Left: a, Right: b}, Right: c}, ""},
		{"title pr and (name pr or emails pr)", &filter.And{Left: a, Right: &filter.Or{Left: b, Right: c}}, ""},
		{"title pr or (name pr and emails pr)", &filter.Or{Left: a, Right: &filter.And{Left: b, Right: c}}, "title pr or name pr and emails pr"},
		{"not (title pr) and name pr", &filter.And{Left: &filter.Not{Expr: a}, Right: b}, ""},
		{"not (not (title pr))", &filter.Not{Expr: &filter.Not{Expr: a}}, ""},
	} {
		t.Run(test.text, func(t *testing.T) {
			e := parse(t, typ, test.text)
			require.Equal(t, test.want, e)
			if test.canonical == "" {
				test.canonical = test.text
			}
			require.Equal(t, test.canonical, e.String())
		})
	}
}

// E3: filters are bounded in length and depth, and refused before work is done.
func TestBounds(t *testing.T) {
	typ := userType(t)
	nest := func(depth int) string {
		return strings.Repeat("(", depth) + "title pr" + strings.Repeat(")", depth)
	}
	refuse := func(t *testing.T, s string, o filter.Options, says string) {
		t.Helper()
		o.Lenience = attr.Lenient
		began := time.Now()
		_, _, err := filter.Parse(s, typ, o)
		require.Less(t, time.Since(began), 2*time.Second)
		var e *attr.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, attr.InvalidFilter, e.Type)
		require.Contains(t, e.Detail, says)
		require.Less(t, len(e.Detail), 400)
		_, _, err = filter.ParsePath("emails["+s+"]", typ, o)
		require.ErrorAs(t, err, &e)
	}
	t.Run("8 KB", func(t *testing.T) {
		fits := `userName eq "` + strings.Repeat("x", filter.DefaultLength-14) + `"`
		_, _, err := filter.Parse(fits, typ, filter.Options{})
		require.NoError(t, err)
		refuse(t, fits+" ", filter.Options{}, "8192 bytes")
		refuse(t, "title pr", filter.Options{Length: 7}, "7 bytes")
	})
	t.Run("1 MB", func(t *testing.T) {
		const most = 2 << 20
		refuse(t, strings.Repeat("x", 1<<20), filter.Options{}, "8192 bytes")
		for _, s := range []string{"x", "(", ")", "not (", "[", "emails[", `"`, `\`, "%20", "%25", " ", ".", ":", "urn:", "title pr and ", "title pr or ", "\u00e9", "a%2540 "} {
			refuse(t, strings.Repeat(s, 1<<20/len(s)), filter.Options{Length: most}, "position")
		}
		refuse(t, `userName eq "`+strings.Repeat(`\u0041`, 1<<17), filter.Options{Length: most}, "closed")
	})
	t.Run("1 MB, flat and allowed", func(t *testing.T) {
		e := parse(t, typ, strings.Repeat("title pr and ", 1<<20/13)+"title pr")
		require.False(t, filter.Match(e, attr.Value{}))
		require.Len(t, e.String(), 1<<20/13*13+8)
	})
	t.Run("depth", func(t *testing.T) {
		for _, s := range []string{nest(filter.DefaultDepth), "emails[" + strings.ReplaceAll(nest(filter.DefaultDepth-1), "title", "type") + "]", strings.Repeat("not (", 32) + "title pr" + strings.Repeat(")", 32)} {
			_, _, err := filter.Parse(s, typ, filter.Options{})
			require.NoError(t, err)
		}
		refuse(t, nest(filter.DefaultDepth+1), filter.Options{}, "position 33 of the filter: the filter nests too deep")
		refuse(t, "emails["+strings.ReplaceAll(nest(filter.DefaultDepth), "title", "type")+"]", filter.Options{}, "nests too deep")
		refuse(t, nest(10_000), filter.Options{Length: 1 << 20}, "nests too deep")
		refuse(t, strings.Repeat("not (", 10_000), filter.Options{Length: 1 << 20}, "nests too deep")
		refuse(t, nest(3), filter.Options{Depth: 2}, "nests too deep")
		_, _, err := filter.Parse(nest(3)+" and "+nest(3), typ, filter.Options{Depth: 3})
		require.NoError(t, err, "groups side by side are not deeper than one")
	})
	t.Run("depth of what a tolerance adds", func(t *testing.T) {
		for _, test := range []struct {
			text  string
			depth int
		}{
			{`emails[type eq "a" or type eq "b"].value eq "c"`, 2},
			{`emails[type eq "a"].value eq "c"`, 1},
			{`emails[type eq "a"].value eq "c%40"`, 2},
			{`userName eq "a%40" and title pr`, 1},
		} {
			for depth := 1; depth <= 3; depth++ {
				o := filter.Options{Lenience: attr.Lenient, Depth: depth}
				e, _, err := filter.Parse(test.text, typ, o)
				if depth < test.depth && strings.Contains(test.text, "or") {
					require.Error(t, err)
					continue
				}
				require.NoError(t, err)
				_, _, err = filter.Parse(e.String(), typ, filter.Options{Depth: depth})
				require.NoError(t, err, "%s at depth %d", e, depth)
			}
		}
	})
	t.Run("UTF-8", func(t *testing.T) {
		refuse(t, "userName eq \"\xff\"", filter.Options{}, "UTF-8")
		refuse(t, "\xc3", filter.Options{}, "UTF-8")
		refuse(t, `userName%20eq%20"%FF"`, filter.Options{}, "position")
		refuse(t, "userName eq a\x00b", filter.Options{}, "control character")
		_, fired, err := filter.Parse(`userName eq "%FF%00"`, typ, filter.Options{Lenience: attr.Lenient})
		require.NoError(t, err)
		require.Zero(t, fired, "what cannot be decoded is meant as it is")
	})
}

// Names and keywords are ASCII: letters that Unicode folds to ASCII are others.
func TestKeywordsAreASCII(t *testing.T) {
	typ := userType(t)
	for _, s := range []string{`userName ſw "x"`, "uſerName pr", `userName eq "x" or not (title pr) anD ſ pr`} {
		_, _, err := filter.Parse(s, typ, filter.Options{})
		require.Error(t, err, s)
	}
}

// RFC 7644 section 3.12: in a path the position counts from its beginning.
func TestErrorPosition(t *testing.T) {
	typ := userType(t)
	for text, position := range map[string]string{
		`title pr and colour pr`:          "position 14 of the filter",
		`emails[type eq "x" and x pr]`:    "position 24 of the filter",
		`active eq "x"`:                   "position 11 of the filter",
		`title eq "a\q"`:                  "position 12 of the filter",
		`emails[type eq "x"].colour pr`:   "position 21 of the filter",
		`title pr )`:                      "position 10 of the filter",
		"title eq\t\"a\" and active eq 3": "position 28 of the filter",
	} {
		_, _, err := filter.Parse(text, typ, filter.Options{})
		require.ErrorContains(t, err, position, text)
	}
	_, _, err := filter.ParsePath(`emails[type eq 5].value`, typ, filter.Options{})
	require.ErrorContains(t, err, "position 16 of the path")
}

func FuzzParse(f *testing.F) {
	typ := userType(f)
	var vectors matchVectors
	readVectors(f, "match.json", &vectors)
	for _, v := range vectors.Vectors {
		f.Add(v.Filter, uint64(tolerances(f, v.Tolerances)), uint8(0))
	}
	f.Add(strings.Repeat("(", 40), uint64(attr.Lenient), uint8(2))
	document := documents(f, typ)["ada"]
	f.Fuzz(func(t *testing.T, s string, lenience uint64, depth uint8) {
		o := filter.Options{Lenience: attr.Lenience(lenience) & attr.Lenient, Depth: int(depth % 40)}
		e, fired, err := filter.Parse(s, typ, o)
		if err != nil {
			var known *attr.Error
			require.ErrorAs(t, err, &known)
			require.Equal(t, attr.InvalidFilter, known.Type)
			require.NotEmpty(t, known.Detail)
			require.Nil(t, e)
			return
		}
		require.LessOrEqual(t, len(s), filter.DefaultLength)
		require.Zero(t, fired&^o.Lenience)
		text := e.String()
		again, none, err := filter.Parse(text, typ, filter.Options{Length: len(text) + 1, Depth: o.Depth})
		require.NoError(t, err, text)
		require.Zero(t, none)
		require.Equal(t, e, again)
		require.Equal(t, text, again.String())
		if fired == 0 {
			strict, _, err := filter.Parse(s, typ, filter.Options{Depth: o.Depth})
			require.NoError(t, err, "no tolerance fired")
			require.Equal(t, e, strict)
		}
		require.Equal(t, filter.Match(e, document.Value()), !filter.Match(&filter.Not{Expr: e}, document.Value()))
	})
}

func FuzzParsePath(f *testing.F) {
	typ := userType(f)
	var vectors pathVectors
	readVectors(f, "paths.json", &vectors)
	for _, v := range vectors.Vectors {
		f.Add(v.Path, uint64(tolerances(f, v.Tolerances)))
	}
	f.Fuzz(func(t *testing.T, s string, lenience uint64) {
		l := attr.Lenience(lenience) & attr.Lenient
		p, fired, err := filter.ParsePath(s, typ, filter.Options{Lenience: l})
		if err != nil {
			var known *attr.Error
			require.ErrorAs(t, err, &known)
			require.Contains(t, []attr.ErrorType{attr.InvalidPath, attr.InvalidFilter}, known.Type)
			require.Zero(t, p)
			return
		}
		require.Zero(t, fired&^l)
		require.NotNil(t, p.Attr)
		requireSamePath(t, typ, p)
		if p.Filter != nil {
			require.True(t, p.Attr.MultiValued && p.Attr.Kind == attr.Complex)
			require.True(t, p.Sub == nil || p.Sub.Parent == p.Attr)
			filter.Walk(p.Filter, func(e filter.Expr) bool {
				switch e := e.(type) {
				case *filter.Compare:
					require.Same(t, p.Attr, e.Attr.Parent)
				case *filter.Present:
					require.Same(t, p.Attr, e.Attr.Parent)
				case *filter.ValuePath:
					require.Fail(t, "brackets in brackets")
				case *filter.And, *filter.Or, *filter.Not:
				}
				return true
			})
		}
	})
}

// Every operator has its name, and every name its operator.
func TestOps(t *testing.T) {
	typ := userType(t)
	var names []string
	for op := filter.Eq; op <= filter.Le; op++ {
		names = append(names, op.String())
		c, ok := parse(t, typ, "title "+op.String()+` "x"`).(*filter.Compare)
		require.True(t, ok)
		require.Equal(t, op, c.Op)
	}
	slices.Sort(names)
	require.Equal(t, []string{"co", "eq", "ew", "ge", "gt", "le", "lt", "ne", "sw"}, names)
}
