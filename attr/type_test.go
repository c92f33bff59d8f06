package attr_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

func textAttributes(names ...string) (all schema.Attributes) {
	for _, name := range names {
		all = append(all, schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: name})))
	}
	return all
}

func TestNewTypeErrors(t *testing.T) {
	const urn = "urn:test:a"
	extension := func(urn string, names ...string) attr.Extension {
		return attr.Extension{Schema: schema.Schema{ID: urn, Attributes: textAttributes(names...)}}
	}
	thousand := make([]string, 1000)
	for i := range thousand {
		thousand[i] = fmt.Sprintf("a%d", i)
	}
	many := []attr.Extension{extension("urn:many:0", thousand...)}
	for i := range 65 {
		many = append(many, many[0])
		many[i+1].Schema.ID = fmt.Sprintf("urn:many:%d", i+1)
	}
	for _, c := range []struct {
		rule, name, endpoint string
		core                 schema.Schema
		extensions           []attr.Extension
		says                 string
	}{
		{"no name", "", "/A", schema.Schema{ID: urn}, nil, "name"},
		{"no endpoint", "A", "", schema.Schema{ID: urn}, nil, "endpoint"},
		{"only a slash", "A", "/", schema.Schema{ID: urn}, nil, "endpoint"},
		{"no slash", "A", "AA", schema.Schema{ID: urn}, nil, "endpoint"},
		{"two segments", "A", "/A/B", schema.Schema{ID: urn}, nil, "endpoint"},
		{"a query", "A", "/A?b", schema.Schema{ID: urn}, nil, "endpoint"},
		{"percent", "A", "/A%2F", schema.Schema{ID: urn}, nil, "endpoint"},
		{"no URN", "A", "/A", schema.Schema{}, nil, "URN"},
		{"a quote in the URN", "A", "/A", schema.Schema{ID: `urn:a"b`}, nil, "URN"},
		{"a space in the URN", "A", "/A", schema.Schema{ID: "urn:a b"}, nil, "URN"},
		{"another URI", "A", "/A", schema.Schema{ID: "https://example.com/a"}, nil, "URN"},
		{"extension without URN", "A", "/A", schema.Schema{ID: urn}, []attr.Extension{extension("b", "x")}, "URN"},
		{"extension is the schema", "A", "/A", schema.Schema{ID: urn}, []attr.Extension{extension("URN:test:A", "x")}, "extend itself"},
		{"extension twice", "A", "/A", schema.Schema{ID: urn}, []attr.Extension{extension("urn:b", "x"), extension("urn:B", "y")}, "defined twice"},
		{"RFC 7643 section 2.1: twice in two cases", "A", "/A", schema.Schema{ID: urn, Attributes: textAttributes("userName", "UserName")}, nil, `"userName" is defined twice|"UserName" is defined twice`},
		{"twice in an extension", "A", "/A", schema.Schema{ID: urn}, []attr.Extension{extension("urn:b", "x", "X")}, "defined twice"},
		{"too many attributes", "A", "/A", schema.Schema{ID: urn}, many, "65,000"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			typ, err := attr.NewType(c.name, c.endpoint, "", c.core, c.extensions...)
			require.Nil(t, typ)
			require.Error(t, err)
			require.Regexp(t, c.says, err.Error())
		})
	}
}

// RFC 7643 section 3.1: a schema that lists common attributes does not define
// others; an extension and a complex attribute have names of their own.
func TestNewTypeCommonAttributes(t *testing.T) {
	sub := schema.ComplexCoreAttribute(schema.ComplexParams{Name: "owner", SubAttributes: []schema.SimpleParams{
		schema.SimpleStringParams(schema.StringParams{Name: "id"}), schema.SimpleStringParams(schema.StringParams{Name: "meta"}),
	}})
	typ, err := attr.NewType("A", "/A", "an A", schema.Schema{ID: "urn:a", Attributes: append(textAttributes("ID", "externalID", "schemas", "Meta", "x"), sub)},
		attr.Extension{Schema: schema.Schema{ID: "urn:b", Attributes: textAttributes("id", "meta")}})
	require.NoError(t, err)

	var paths []string
	for _, a := range typ.Attributes()[1:] {
		paths = append(paths, a.Path())
	}
	require.Equal(t, []string{
		"schemas", "id", "externalId", "x", "owner", "owner.id", "owner.meta", "urn:b", "urn:b:id", "urn:b:meta",
		"meta", "meta.resourceType", "meta.created", "meta.lastModified", "meta.location", "meta.version",
	}, paths)
	require.Equal(t, "id", typ.ID.Name)
	require.Equal(t, attr.ReadOnly, typ.ID.Mutability)
	require.Equal(t, attr.Always, typ.ID.Returned)
	require.Equal(t, attr.UniqueServer, typ.ID.Uniqueness)
	require.True(t, typ.ID.CaseExact)
	require.True(t, typ.Schemas.MultiValued)
	require.True(t, typ.ExternalID.CaseExact)
	require.Equal(t, attr.ReadOnly, typ.Meta.Mutability)
	require.Equal(t, "an A", typ.Description)

	s := freeze(t, typ, `{"schemas":["urn:a","urn:b"],"owner":{"id":"1","meta":"2"},"urn:b":{"id":"3"}}`, attr.Strict)
	require.Equal(t, `{"schemas":["urn:a","urn:b"],"owner":{"id":"1","meta":"2"},"urn:b":{"id":"3"}}`, s.JSON())
}

// RFC 7643 section 7: characteristics, and what follows from them.
func TestAttributeCharacteristics(t *testing.T) {
	user := userType(t)
	userName := lookup(t, user, "userName")
	require.Equal(t, "string", userName.Kind.String())
	require.True(t, userName.Required)
	require.False(t, userName.CaseExact)
	require.Equal(t, "server", userName.Uniqueness.String())
	require.Equal(t, "readWrite", userName.Mutability.String())
	require.Equal(t, "default", userName.Returned.String())

	password := lookup(t, user, "password")
	require.True(t, password.Dropped)
	require.Equal(t, "never", password.Returned.String())
	require.Equal(t, "writeOnly", password.Mutability.String())

	emails := lookup(t, user, "emails")
	require.Equal(t, "complex", emails.Kind.String())
	require.Same(t, emails.Sub("VALUE"), emails.ValueSub())
	require.Same(t, emails.Sub("Primary"), emails.PrimarySub())
	require.Equal(t, []string{"work", "home", "other"}, emails.Sub("type").CanonicalValues)
	require.Nil(t, lookup(t, user, "name").ValueSub())
	require.Nil(t, lookup(t, user, "name").PrimarySub())

	photo := lookup(t, user, "photos.value")
	require.Equal(t, attr.Reference, photo.Kind)
	require.True(t, photo.CaseExact, "RFC 7643 section 2.3.7")
	require.Equal(t, []string{"external"}, photo.ReferenceTypes)
	require.True(t, lookup(t, user, "x509Certificates.value").CaseExact, "RFC 7643 section 2.3.6")
	require.True(t, lookup(t, user, "groups.value").CaseExact, "RFC 7643 section 3.1: it is an id")
	require.False(t, lookup(t, user, "emails.value").CaseExact)

	for path, textual := range map[string]bool{
		"text": true, "time": true, "reference": true, "binary": true, "bool": false, "integer": false, "decimal": false, "complex": false,
	} {
		require.Equal(t, textual, lookup(t, everything, path).Textual(), path)
	}
	require.Equal(t, "none", lookup(t, everything, "text").Uniqueness.String())
}

// A pointer to an attribute is a whole path: its place is known.
func TestAttributePlaces(t *testing.T) {
	for i, a := range everything.Attributes() {
		require.Equal(t, i, a.Index())
		if i == 0 {
			require.Same(t, everything.Root(), a)
			continue
		}
		found, fired := everything.Lookup(a.Path(), attr.Strict)
		require.Same(t, a, found, a.Path())
		require.Zero(t, fired)
		require.True(t, a.Within(a))
		require.True(t, a.Within(everything.Root()))
		if a.Parent != nil {
			require.True(t, a.Within(a.Parent))
			require.False(t, a.Parent.Within(a))
			require.Same(t, a, a.Parent.Sub(a.Name))
			require.True(t, slices.Contains(a.Parent.Subs, a))
		} else {
			require.Same(t, a, everything.Root().Sub(strings.ToUpper(a.Name)))
		}
	}
	require.False(t, lookup(t, everything, "text").Within(lookup(t, everything, "complex")))
	require.False(t, lookup(t, everything, "strict.may").Within(lookup(t, everything, "complex")))
	require.Same(t, lookup(t, everything, extensionURN), lookup(t, everything, extensionURN+":manager.value").Parent.Parent)
}

// RFC 7644 section 3.10, quirks 28 to 33.
func TestLookup(t *testing.T) {
	const core, ext = everythingURN, extensionURN
	for _, c := range []struct{ path, want string }{
		{"text", "text"},
		{"TEXT", "text"},
		{"complex.value", "complex.value"},
		{"Complex.VALUE", "complex.value"},
		{"meta.lastmodified", "meta.lastModified"},
		{"schemas", "schemas"},
		{core + ":text", "text"},
		{strings.ToUpper(core) + ":complex.Flag", "complex.flag"},
		{ext, ext},
		{strings.ToUpper(ext), ext},
		{ext + ":department", ext + ":department"},
		{ext + ":id", ext + ":id"},
		{ext + ":manager.value", ext + ":manager.value"},
		{ext + ":manager.$ref", ext + ":manager.$ref"},
		{strings.ToLower(ext) + ":MANAGER.$REF", ext + ":manager.$ref"},
		{ext + ":Longer", ext + ":Longer"},
		{ext + ":longer:alone", ext + ":Longer:alone"},
		{ext + ":Longer:both", ext + ":Longer:both"},
		{ext + ":both", ext + ":both"},

		{"", ""},
		{".", ""},
		{"nothing", ""},
		{"text.", ""},
		{".text", ""},
		{"complex.", ""},
		{"complex..value", ""},
		{"complex.value.x", ""},
		{"complex.nothing", ""},
		{"text.value", ""},
		{" text", ""},
		{"department", ""},
		{"manager.value", ""},
		{core, ""},
		{core + ":", ""},
		{core + ":nothing", ""},
		{core + "text", ""},
		{core + ".text", ""},
		{ext + ":", ""},
		{ext + ".", ""},
		{ext + "x", ""},
		{ext + ".department", ""},
		{ext + ":text", ""},
		{ext + ":nothing", ""},
		{ext + ":Longer:", ""},
		{ext + ":Longer:department", ""},
		{ext + ":Longest", ""},
		{core + ":" + ext, ""},
		{"urn:", ""},
		{"urn:test", ""},
		{"urn:test:none:text", ""},
	} {
		got, fired := everything.Lookup(c.path, attr.Lenient&^attr.ShortExtensionPath)
		require.Zero(t, fired)
		if c.want == "" {
			require.Nil(t, got, c.path)
			continue
		}
		require.NotNil(t, got, c.path)
		require.Equal(t, c.want, got.Path())
	}
}

// Quirk 32: an attribute of an extension by its bare name.
func TestLookupShortExtensionPath(t *testing.T) {
	for path, want := range map[string]string{
		"department":        extensionURN + ":department",
		"MANAGER":           extensionURN + ":manager",
		"manager.value":     extensionURN + ":manager.value",
		"alone":             extensionURN + ":Longer:alone",
		"manager.nothing":   "",
		"department.x":      "",
		"both":              "", // two extensions have it
		"nothing":           "",
		extensionURN + ":x": "",
	} {
		got, fired := everything.Lookup(path, attr.ShortExtensionPath)
		if want == "" {
			require.Nil(t, got, path)
			require.Zero(t, fired, path)
			continue
		}
		require.NotNil(t, got, path)
		require.Equal(t, want, got.Path())
		require.Equal(t, attr.ShortExtensionPath, fired)
	}
	for _, path := range []string{"text", "id", "complex.value", extensionURN + ":department"} {
		_, fired := everything.Lookup(path, attr.Lenient)
		require.Zero(t, fired, "%s needs no tolerance", path)
	}
}

// A schema's URN may begin with another's, the type's own included.
func TestLookupURNsThatBeginWithOthers(t *testing.T) {
	extension := func(urn string, names ...string) attr.Extension {
		return attr.Extension{Schema: schema.Schema{ID: urn, Attributes: textAttributes(names...)}}
	}
	typ, err := attr.NewType("A", "/A", "", schema.Schema{ID: "urn:a", Attributes: textAttributes("x", "b")},
		extension("urn:a:b:c", "x"), extension("urn:a:b", "x", "y"), extension("urn:a:bc", "x"))
	require.NoError(t, err)
	for _, path := range []string{"urn:a:b:c", "urn:a:b:c:x", "urn:a:b", "urn:a:b:x", "urn:a:b:y", "urn:a:bc", "urn:a:bc:x"} {
		require.Equal(t, path, lookup(t, typ, path).Path())
	}
	require.Equal(t, "x", lookup(t, typ, "urn:a:x").Path())
}

// What a PUT must look at is known of a type beforehand: of a core User that is
// the name of a manager, and groups.
func TestKept(t *testing.T) {
	var paths []string
	var walk func(a *attr.Attribute)
	walk = func(a *attr.Attribute) {
		for _, sub := range a.Kept() {
			paths = append(paths, sub.Path())
			walk(sub)
		}
	}
	user, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(), attr.Extension{Schema: schema.ExtensionEnterpriseUser()})
	require.NoError(t, err)
	walk(user.Root())
	enterprise := schema.ExtensionEnterpriseUser().ID
	require.Subset(t, paths, []string{"groups", enterprise, enterprise + ":manager", enterprise + ":manager.displayName"})
	for _, path := range paths {
		a, _ := user.Lookup(path, attr.Strict)
		require.True(t, a.Within(user.Root().Sub("groups")) || a.Within(user.Root().Sub(enterprise)), path)
	}
}
