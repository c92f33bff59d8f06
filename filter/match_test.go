package filter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

func TestMatchNil(t *testing.T) {
	typ := userType(t)
	require.True(t, filter.Match(nil, documents(t, typ)["ada"].Value()), "no filter matches everything")
	require.True(t, filter.Match(nil, attr.Value{}))
}

// RFC 7643 section 2.5: a value that is not there is like one without
// attributes.
func TestMatchNothing(t *testing.T) {
	typ := userType(t)
	for text, want := range map[string]bool{
		`title eq "x"`: false, `title ne "x"`: true, `title pr`: false, `title eq null`: true, `emails.type ne "x"`: true, `emails.type pr`: false,
		`emails[type ne "x"]`: false, enterprise + `:manager.value ne "x"`: true, `name[givenName ne "x"]`: false,
	} {
		require.Equal(t, want, filter.Match(parse(t, typ, text), attr.Value{}), text)
	}
}

// What a document being worked on holds and would not be stored is no value.
func TestMatchVacant(t *testing.T) {
	typ := userType(t)
	emails, name, title := find(t, typ, "emails"), find(t, typ, "name"), find(t, typ, "title")
	d := attr.NewDoc(typ)
	defer d.Release()
	list := d.List(emails)
	list.Append(d.Object(emails))
	d.Root().Put(list)
	d.Root().Put(d.Object(name))
	tags := find(t, typ, custom+":tags")
	extension := d.Object(tags.Parent)
	extension.Put(d.List(tags))
	d.Root().Put(extension)
	frozen := d.Freeze()
	require.NotContains(t, frozen.JSON(), "emails")
	for text, want := range map[string]bool{
		`emails[type ne "x"]`: false, `emails[type eq null]`: false, `emails.type ne "x"`: true, `emails pr`: false, `emails.type pr`: false,
		`name[givenName ne "x"]`: false, `name pr`: false, custom + `:tags ne "x"`: true, custom + `:tags pr`: false, custom + " pr": false,
	} {
		e := parse(t, typ, text)
		require.Equal(t, want, filter.Match(e, d.Value()), text)
		require.Equal(t, want, filter.Match(e, frozen.Value()), "%s, stored", text)
	}
	second := d.Object(emails)
	second.Put(d.Text(emails.Sub("type"), "x"))
	list.Append(second)
	require.False(t, filter.Match(parse(t, typ, `emails.type ne "x"`), d.Value()), "the vacant one does not count")

	// A list whose only value is without text is a value, but not a present one.
	d.Root().Put(d.Text(title, ""))
	require.False(t, filter.Match(parse(t, typ, "title pr"), d.Value()))
	require.True(t, filter.Match(parse(t, typ, `title eq ""`), d.Value()))
}

// RFC 7644 section 3.5.2: the filter of a path selects values.
func TestPathSelect(t *testing.T) {
	typ := userType(t)
	d := documents(t, typ)["ada"].Thaw()
	defer d.Release()
	list := d.Root().Child(find(t, typ, "emails"))
	values := func(path string, n *attr.Node) (all []string) {
		p, _, err := filter.ParsePath(path, typ, filter.Options{})
		require.NoError(t, err)
		for n := range p.Select(n) {
			all = append(all, n.Child(find(t, typ, "emails.value")).Text())
			require.True(t, p.Matches(n.Value()))
		}
		return all
	}
	require.Equal(t, []string{"ada@example.com"}, values(`emails[type eq "work"]`, list))
	require.Equal(t, []string{"ada@home.example"}, values(`emails[not (type eq "work")].display`, list))
	require.Equal(t, []string{"ada@example.com", "ada@home.example"}, values(`emails`, list))
	require.Nil(t, values(`emails[type eq "other"]`, list))
	require.Nil(t, values(`emails`, nil))

	p, _, err := filter.ParsePath(`emails[type pr]`, typ, filter.Options{})
	require.NoError(t, err)
	seen := 0
	for n := range p.Select(list) { // the loop may remove what it sees
		seen++
		list.Filter(func(c *attr.Node) bool { return c != n })
	}
	require.Equal(t, 2, seen)
	require.True(t, list.Empty())
	for range p.Select(documents(t, typ)["ada"].Thaw().Root().Child(find(t, typ, "emails"))) {
		seen++
		break
	}
	require.Equal(t, 3, seen)
}

// outside is a resource's meta and its groups, as a store keeps them.
type outside struct {
	typ     *attr.Type
	created time.Time
	version string
}

func (o outside) Matches(e filter.Expr) (matches, ok bool) {
	switch e := e.(type) {
	case *filter.Compare:
		switch e.Attr {
		case o.typ.Meta.Sub("created"):
			return e.HoldsTime(o.created), true
		case o.typ.Meta.Sub("version"):
			return e.Holds(o.version), true
		case o.typ.Meta.Sub("location"):
			return e.HoldsNone(), true
		}
	case *filter.Present:
		return true, e.Attr == o.typ.Meta
	case *filter.ValuePath:
		return e.Filter.String() == `groups.value eq "x"`, e.Attr.Name == "groups"
	case *filter.And, *filter.Or, *filter.Not:
		panic("only leaves are asked for")
	}
	return true, false
}

func TestMatchWith(t *testing.T) {
	typ := userType(t)
	o := outside{typ, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), `W/"1"`}
	v := documents(t, typ)["ada"].Value()
	for text, want := range map[string]bool{
		`meta.created eq "2020-01-01T01:00:00+01:00" and active eq true`: true,
		`meta.created gt "2020-01-01T00:00:00Z"`:                         false,
		`not (meta.created ge "2020-01-01T00:00:00Z") or title pr`:       true,
		`meta.created ne "2020-01-01T00:00:00Z"`:                         false,
		`meta.created eq null`:                                           false,
		`meta.created ne null`:                                           true,
		`meta.version eq "W/\"1\""`:                                      true,
		`meta.version eq "w/\"1\""`:                                      false,
		`meta.version eq null`:                                           false,
		`meta.version ne null`:                                           true,
		`meta.location ne "x"`:                                           true,
		`meta.location eq "x"`:                                           false,
		`meta.location eq null`:                                          true,
		`meta.location ne null`:                                          false,
		`meta pr`:                                                        true,
		`meta.resourceType pr`:                                           false,
		`groups[value eq "x"]`:                                           true,
		`groups[value eq "G1"]`:                                          false,
		`emails[type eq "work"]`:                                         true,
		`title eq "x"`:                                                   false,
	} {
		require.Equal(t, want, filter.MatchWith(parse(t, typ, text), v, o), text)
	}
	require.False(t, filter.Match(parse(t, typ, "meta pr"), v), "meta is not in the document")
}

// A stored dateTime that is none, of a host's own making, equals nothing.
func TestHoldsBrokenTime(t *testing.T) {
	typ := userType(t)
	hired := custom + ":hired "
	for text, want := range map[string]bool{`eq "2024-01-01T00:00:00Z"`: false, `ne "2024-01-01T00:00:00Z"`: true, `lt "2024-01-01T00:00:00Z"`: false} {
		c, ok := parse(t, typ, hired+text).(*filter.Compare)
		require.True(t, ok)
		require.Equal(t, want, c.Holds("last year"), text)
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	typ := userType(t)
	docs := documents(t, typ)
	for _, text := range []string{
		`name.givenName sw "x" and active eq true`, `userName eq "ADA@example.com"`, `emails[type eq "work" and value co "example"]`,
		custom + `:level gt 9007199254740992`, custom + `:score gt 1.25`, custom + `:hired lt "2025-01-01T00:00:00Z"`, custom + `:badge eq "AAAA"`,
		`userType gt "x" or not (userType ew "x") and title pr`, `emails.value ne null`,
	} {
		e := parse(t, typ, text)
		for name, s := range docs {
			v := s.Value()
			require.Zero(t, testing.AllocsPerRun(10, func() { filter.Match(e, v) }), "%s on %s", text, name)
		}
	}
}
