package patch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/patch"
)

// resourceTypes are the types of the vectors, by name.
var resourceTypes = func() map[string]*attr.Type {
	data, err := os.ReadFile("../testdata/patch/schemas.json")
	if err != nil {
		panic(err)
	}
	var device [2]schema.Schema
	if err := json.Unmarshal(data, &device); err != nil {
		panic(err)
	}
	types := make(map[string]*attr.Type)
	add := func(name string, core schema.Schema, extensions ...attr.Extension) {
		t, err := attr.NewType(name, "/"+name+"s", "", core, extensions...)
		if err != nil {
			panic(err)
		}
		types[name] = t
	}
	add("User", schema.CoreUserSchema(), attr.Extension{Schema: schema.ExtensionEnterpriseUser()})
	add("Group", schema.CoreGroupSchema())
	add("Device", device[0], attr.Extension{Schema: device[1]})
	return types
}()

func attribute(t testing.TB, typ *attr.Type, path string) *attr.Attribute {
	t.Helper()
	a, _ := typ.Lookup(path, attr.Strict)
	require.NotNil(t, a, path)
	return a
}

// options are those of the vectors: members are kept apart.
func options(t testing.TB, typ *attr.Type, l attr.Lenience) patch.Options {
	t.Helper()
	o := patch.Options{Lenience: l}
	if typ.Name == "Group" {
		o.Members = attribute(t, typ, "members")
	}
	return o
}

func decode(t testing.TB, typ *attr.Type, document string) *attr.Doc {
	t.Helper()
	d := attr.NewDoc(typ)
	require.NoError(t, d.Decode([]byte(document), attr.OddSchemas, attr.Limits{}), document)
	return d
}

type vector struct {
	Name, Rule, Type string
	Lenience         lenience
	Before           json.RawMessage
	Operations, Body json.RawMessage
	After            json.RawMessage
	Error            attr.ErrorType
	Says             []string
	Members          *change
	Current          []patch.Member
	Fired            *[]string
	Ignored          *[]string
}

type change struct {
	Clear  bool
	Add    []patch.Member
	Remove []string
}

// lenience is "strict", "lenient", or names of tolerances.
type lenience attr.Lenience

func (l *lenience) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"strict"`:
		return nil
	case `"lenient"`:
		*l = lenience(attr.Lenient)
		return nil
	}
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	for one := attr.Lenience(1); one < attr.Lenient; one <<= 1 {
		if slices.Contains(names, one.Names()[0]) {
			*l |= lenience(one)
		}
	}
	return nil
}

func (v *vector) body() []byte {
	if v.Body != nil {
		return v.Body
	}
	return request(string(v.Operations))
}

func request(operations string) []byte {
	return []byte(`{"schemas":["` + patch.URN + `"],"Operations":` + operations + `}`)
}

func readVectors(t testing.TB) map[string][]vector {
	t.Helper()
	names, err := filepath.Glob("../testdata/patch/*.json")
	require.NoError(t, err)
	all := make(map[string][]vector)
	for _, name := range names {
		if filepath.Base(name) == "schemas.json" {
			continue
		}
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		in := json.NewDecoder(bytes.NewReader(data))
		in.DisallowUnknownFields()
		var vectors []vector
		require.NoError(t, in.Decode(&vectors), name)
		for i := range vectors {
			if vectors[i].Type == "" {
				vectors[i].Type = "User"
			}
		}
		all[strings.TrimSuffix(filepath.Base(name), ".json")] = vectors
	}
	require.Len(t, all, 4)
	return all
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for file, vectors := range readVectors(t) {
		seen := make(map[string]bool)
		for _, v := range vectors {
			name := v.Rule + "/" + v.Name
			require.False(t, seen[name], "%s: %s is there twice", file, name)
			seen[name] = true
			t.Run(file+"/"+name, func(t *testing.T) {
				t.Parallel()
				v.run(t)
			})
		}
	}
}

func (v *vector) run(t *testing.T) {
	typ := resourceTypes[v.Type]
	stored := decode(t, typ, string(v.Before)).Freeze()
	was := strings.Clone(stored.JSON())
	d := stored.Thaw()
	p, err := patch.Parse(v.body(), typ, options(t, typ, attr.Lenience(v.Lenience)))
	if err == nil {
		err = p.Apply(d)
	}
	if v.Error != "" {
		var e *attr.Error
		require.True(t, errors.As(err, &e), "want the error %s, got %v", v.Error, err)
		require.Equal(t, v.Error, e.Type, e.Detail)
		for _, s := range v.Says {
			require.Contains(t, e.Detail, s)
		}
		require.Equal(t, was, stored.JSON(), "a failed request must leave the stored resource alone")
		return
	}
	require.NoError(t, err)
	after := d.Freeze()
	applied, err := p.ApplyTo(&stored)
	require.NoError(t, err)
	require.Equal(t, after, applied)
	requireJSON(t, v.After, after.JSON())
	if v.Fired != nil {
		require.ElementsMatch(t, *v.Fired, p.Fired().Names())
	}
	if v.Ignored != nil {
		require.ElementsMatch(t, *v.Ignored, p.Ignored())
	}
	v.checkMembers(t, typ, p, was == after.JSON())
}

// requireJSON compares documents; schemas only where the expected one has it.
func requireJSON(t testing.TB, want []byte, got string) {
	t.Helper()
	var w, g map[string]any
	require.NoError(t, json.Unmarshal(want, &w))
	require.NoError(t, json.Unmarshal([]byte(got), &g))
	if w["schemas"] == nil {
		delete(g, "schemas")
	}
	require.Equal(t, w, g)
}

func (v *vector) checkMembers(t *testing.T, typ *attr.Type, p *patch.Patch, untouched bool) {
	m := p.Members()
	if v.Members == nil {
		require.Nil(t, m)
		require.False(t, p.OnlyMembers())
		return
	}
	require.NotNil(t, m)
	require.Equal(t, untouched, p.OnlyMembers())
	require.Equal(t, v.Current != nil, m.Pending())
	members := attribute(t, typ, "members")
	current := attr.NewDoc(typ)
	require.NoError(t, (&patch.Membership{Add: v.Current}).ApplyTo(current, members))
	list := current.Root().Child(members)
	m, err := m.Resolve(func(e filter.Expr) (ids []string, _ error) {
		for n := range (filter.Path{Attr: members, Filter: e}).Select(list) {
			ids = append(ids, n.Value().Get(members.ValueSub()).Text())
		}
		return ids, nil
	})
	require.NoError(t, err)
	require.False(t, m.Pending())
	require.Equal(t, v.Members.Clear, m.Clear)
	require.Equal(t, v.Members.Add, m.Add)
	require.ElementsMatch(t, v.Members.Remove, m.Remove)
}

// The other way to keep members, in the document, must come to the same.
func TestMembersVectorsInline(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	members := attribute(t, typ, "members")
	for _, v := range readVectors(t)["members"] {
		if v.Error != "" {
			continue
		}
		d := decode(t, typ, `{"displayName":"g","members":[{"value":"1","type":"User","display":"Ada"},{"value":"2","type":"Group","display":"Engineers"},{"value":"3","type":"User","display":"Grace"}]}`)
		p, err := patch.Parse(v.body(), typ, options(t, typ, attr.Lenience(v.Lenience)))
		require.NoError(t, err, v.Name)
		if p.Members() == nil {
			continue
		}
		require.NoError(t, p.Members().ApplyTo(d, members), v.Name)
		want := []string{"1", "2", "3"}
		if v.Members.Clear {
			want = []string{}
		}
		want = slices.DeleteFunc(want, func(id string) bool { return slices.Contains(v.Members.Remove, id) })
		for _, m := range v.Members.Add {
			if !slices.Contains(want, m.Value) {
				want = append(want, m.Value)
			}
		}
		got := []string{}
		for _, m := range takeMembers(d, members) {
			got = append(got, m.Value)
		}
		require.Equal(t, want, got, v.Name)
	}
}
