package filter_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

const (
	enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	custom     = "urn:example:params:scim:schemas:extension:test:2.0:User"
)

// verdict is what all vectors share.
type verdict struct {
	Rule       string
	Tolerances []string
	Canonical  string
	Error      attr.ErrorType
	Says       []string
	Unknown    bool
}

type matchVectors struct {
	Documents map[string]json.RawMessage
	Vectors   []struct {
		verdict
		Filter  string
		Matches []string
		Strict  *[]string
	}
}

type pathVectors struct {
	Vectors []struct {
		verdict
		Path   string
		Target string
		From   string
		Filter string
	}
}

func readVectors(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile("../testdata/filter/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, into), name)
}

// userType is the type of all vectors: the core User with two extensions.
func userType(t testing.TB) *attr.Type {
	t.Helper()
	var s schema.Schema
	readVectors(t, "schema.json", &s)
	typ, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(),
		attr.Extension{Schema: schema.ExtensionEnterpriseUser()}, attr.Extension{Schema: s})
	require.NoError(t, err)
	return typ
}

func stored(t testing.TB, typ *attr.Type, body []byte) *attr.Stored {
	t.Helper()
	d := attr.NewDoc(typ)
	defer d.Release()
	require.NoError(t, d.DecodeStored(body))
	s := d.Freeze()
	return &s
}

// documents returns the documents of the vectors by name.
func documents(t testing.TB, typ *attr.Type) map[string]*attr.Stored {
	t.Helper()
	var v matchVectors
	readVectors(t, "match.json", &v)
	all := map[string]*attr.Stored{}
	for name, body := range v.Documents {
		all[name] = stored(t, typ, body)
	}
	return all
}

func tolerances(t testing.TB, names []string) (l attr.Lenience) {
	t.Helper()
	for _, name := range names {
		found := false
		for bit := attr.Lenience(1); bit <= attr.Lenient; bit <<= 1 {
			if bit.Names()[0] == name {
				l |= bit
				found = true
			}
		}
		require.True(t, found, "no tolerance is named %q", name)
	}
	return l
}

func requireError(t *testing.T, err error, v verdict) {
	t.Helper()
	var e *attr.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, v.Error, e.Type, e.Detail)
	for _, s := range v.Says {
		require.Contains(t, e.Detail, s)
	}
	require.Equal(t, v.Unknown, errors.Is(err, filter.ErrUnknown), e.Detail)
	require.Equal(t, e.Error(), err.Error())
}

func TestMatchVectors(t *testing.T) {
	typ := userType(t)
	docs := documents(t, typ)
	var all matchVectors
	readVectors(t, "match.json", &all)
	requireMatches := func(t *testing.T, e filter.Expr, want []string) {
		t.Helper()
		for name, s := range docs {
			require.Equal(t, slices.Contains(want, name), filter.Match(e, s.Value()), "%s, stored", name)
			d := s.Thaw()
			require.Equal(t, slices.Contains(want, name), filter.Match(e, d.Value()), "%s, thawed", name)
			d.Release()
		}
	}
	for _, v := range all.Vectors {
		t.Run(v.Rule+"/"+v.Filter, func(t *testing.T) {
			needed := tolerances(t, v.Tolerances)
			e, fired, err := filter.Parse(v.Filter, typ, filter.Options{Lenience: needed})
			if v.Error != "" {
				requireError(t, err, v.verdict)
				require.Nil(t, e)
				require.Zero(t, fired)
				return
			}
			require.NoError(t, err)
			require.Equal(t, needed, fired, "fired: %v", fired.Names())
			requireMatches(t, e, v.Matches)
			want := v.Canonical
			if want == "" && needed == 0 {
				want = v.Filter
			}
			if want != "" {
				require.Equal(t, want, e.String())
			}
			requireSame(t, typ, e)

			again, fired, err := filter.Parse(v.Filter, typ, filter.Options{Lenience: attr.Lenient})
			require.NoError(t, err)
			require.Equal(t, needed, fired, "fired where all tolerances are on: %v", fired.Names())
			require.Equal(t, e, again)

			for _, name := range v.Tolerances {
				e, fired, err := filter.Parse(v.Filter, typ, filter.Options{Lenience: attr.Lenient &^ tolerances(t, []string{name})})
				if v.Strict == nil {
					require.Error(t, err, "without the tolerance %s", name)
					continue
				}
				require.NoError(t, err)
				require.Zero(t, fired)
				requireMatches(t, e, *v.Strict)
			}
		})
	}
}

// requireSame checks that the canonical text reads back as e, strictly.
func requireSame(t testing.TB, typ *attr.Type, e filter.Expr) {
	t.Helper()
	text := e.String()
	again, fired, err := filter.Parse(text, typ, filter.Options{Length: len(text) + 1})
	require.NoError(t, err, text)
	require.Zero(t, fired, text)
	require.Equal(t, e, again, text)
	require.Equal(t, text, again.String())
}

func TestPathVectors(t *testing.T) {
	typ := userType(t)
	var all pathVectors
	readVectors(t, "paths.json", &all)
	for _, v := range all.Vectors {
		t.Run(v.Rule+"/"+v.Path, func(t *testing.T) {
			needed := tolerances(t, v.Tolerances)
			p, fired, err := filter.ParsePath(v.Path, typ, filter.Options{Lenience: needed})
			if v.Error != "" {
				requireError(t, err, v.verdict)
				require.Zero(t, p)
				require.Zero(t, fired)
				return
			}
			require.NoError(t, err)
			require.Equal(t, needed, fired, "fired: %v", fired.Names())
			target := p.Attr
			if p.Sub != nil {
				target = p.Sub
			}
			require.Equal(t, v.Target, target.Path())
			if v.Filter == "" {
				require.Nil(t, p.Filter)
				require.Nil(t, p.Sub)
			} else {
				require.Equal(t, v.From, p.Attr.Path())
				filter.Walk(p.Filter, func(e filter.Expr) bool {
					if c, ok := e.(*filter.Compare); ok {
						require.Same(t, p.Attr, c.Attr.Parent)
					}
					return true
				})
				require.NotSame(t, p.Attr, p.Sub)
			}
			want := v.Canonical
			if want == "" && needed == 0 {
				want = v.Path
			}
			if want != "" {
				require.Equal(t, want, p.String())
			}
			if v.Filter != "" {
				require.Contains(t, p.String(), "["+v.Filter+"]")
			}
			requireSamePath(t, typ, p)
			for _, name := range v.Tolerances {
				_, _, err := filter.ParsePath(v.Path, typ, filter.Options{Lenience: attr.Lenient &^ tolerances(t, []string{name})})
				require.Error(t, err, "without the tolerance %s", name)
			}
		})
	}
}

func requireSamePath(t testing.TB, typ *attr.Type, p filter.Path) {
	t.Helper()
	text := p.String()
	again, fired, err := filter.ParsePath(text, typ, filter.Options{Length: len(text) + 1})
	require.NoError(t, err, text)
	require.Zero(t, fired, text)
	require.Equal(t, p, again, text)
}
