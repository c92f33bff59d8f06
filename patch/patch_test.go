package patch_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/patch"
)

func requireError(t testing.TB, err error, want attr.ErrorType, says ...string) {
	t.Helper()
	var e *attr.Error
	require.True(t, errors.As(err, &e), "want the error %s, got %v", want, err)
	require.Equal(t, want, e.Type, e.Detail)
	for _, s := range says {
		require.Contains(t, e.Detail, s)
	}
}

func TestMalformedBodies(t *testing.T) {
	t.Parallel()
	schemas := `"schemas":["` + patch.URN + `"]`
	for body, says := range map[string]string{
		``:                               "JSON",
		`{`:                              "JSON",
		`[]`:                             "object",
		`7`:                              "object",
		`{} {}`:                          "JSON",
		`{` + schemas + `}`:              "Operations",
		`{"Operations":{},` + schemas:    "array",
		`{"Operations":[],"Operations":`: "twice",
		`{"Operations":[{"op":"add","op":"add","value":{}}]}`:               "twice",
		`{"Operations":[{"op":"add","value":{},"value":{}}]}`:               "twice",
		`{"Operations":[{"path":"title","path":"title","op":"add"}]}`:       "twice",
		`{"Operations":[{"op":"add","path":"title","value":"\u0000"}]}`:     "JSON",
		`{"Operations":[{"op":"add","value":{"ti\u0000tle":1}}]}`:           "U+0000",
		`{"Operations":[{"op":"a\u0000dd","value":{}}]}`:                    "U+0000",
		`{"Operations":[{"op":"add","value":{"title":"a"`:                   "JSON",
		`{"Operations":[{"op":"add","value":{"name":{"a\u0000":1}}}],"a":]`: "JSON",
		`{"Operations":[{"x":[`:                                             "JSON",
		`{"Operations":[{]`:                                                 "JSON",
		`{"Operations":[{"op":"add","path":"title","value":"a"}`:            "JSON",
		`{"Operations":[`:          "JSON",
		`{"schemas":[`:             "JSON",
		`{"schemas":[{]`:           "JSON",
		`{"schemas":["\ud800"`:     "JSON",
		`{"schemas":{`:             "JSON",
		`{"x":{`:                   "JSON",
		`{"x" 1`:                   "JSON",
		"{\"schemas\":[\"\xff\"]}": "JSON",
		`{"x":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000): "",
	} {
		p, err := patch.Parse([]byte(body), resourceTypes["User"], patch.Options{Lenience: attr.Lenient})
		if err == nil {
			d := decode(t, resourceTypes["User"], `{"userName":"a"}`)
			err = p.Apply(d)
		}
		if says == "JSON" {
			says = ""
		}
		requireError(t, err, attr.InvalidSyntax, says)
	}
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["User"]
	deep := strings.Repeat(`[`, 20) + strings.Repeat(`]`, 20)
	for _, operations := range []string{
		`[{"op":"add","path":"emails","value":` + deep + `}]`,
		`[{"op":"add","path":"emails[type eq \"work\"]","value":{"display":` + deep + `}}]`,
		`[{"op":"add","path":"name","value":` + deep + `}]`,
	} {
		p, err := patch.Parse(request(operations), typ, patch.Options{Lenience: attr.Lenient, Limits: attr.Limits{Depth: 8}})
		require.NoError(t, err)
		requireError(t, p.Apply(decode(t, typ, `{"userName":"a"}`)), attr.InvalidSyntax)
	}
	_, err := patch.Parse(request(`[{"x":`+deep+`}]`), typ, patch.Options{Limits: attr.Limits{Depth: 8}})
	requireError(t, err, attr.InvalidSyntax, "nests")
}

// The filter in a path nests and is as long as one in a URL may be (rule E3).
func TestFiltersInPathsAreBounded(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["User"]
	nested := func(n int) []byte {
		return request(`[{"op":"remove","path":"emails[` + strings.Repeat("(", n) + `type pr` + strings.Repeat(")", n) + `]"}]`)
	}
	_, err := patch.Parse(nested(7), typ, patch.Options{Limits: attr.Limits{Depth: 8}})
	require.NoError(t, err)
	_, err = patch.Parse(nested(8), typ, patch.Options{Limits: attr.Limits{Depth: 8}})
	requireError(t, err, attr.InvalidFilter, "Operations[0] (remove)")
	_, err = patch.Parse(nested(8), typ, patch.Options{})
	require.NoError(t, err)

	long := func(n int) []byte {
		path := `emails[type eq \"` + strings.Repeat("x", n-len(`emails[type eq ""]`)) + `\"]`
		return request(`[{"op":"remove","path":"` + path + `"}]`)
	}
	_, err = patch.Parse(long(100), typ, patch.Options{FilterLength: 100})
	require.NoError(t, err)
	_, err = patch.Parse(long(101), typ, patch.Options{FilterLength: 100})
	requireError(t, err, attr.InvalidPath, "longer than 100 bytes")
	_, err = patch.Parse(long(filter.DefaultLength), typ, patch.Options{})
	require.NoError(t, err)
	_, err = patch.Parse(long(filter.DefaultLength+1), typ, patch.Options{})
	requireError(t, err, attr.InvalidPath)
}

// The request log tells what was tolerated in a request that failed all the
// same.
func TestFiredBesideAnError(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	p, err := patch.Parse(request(`[{"op":"Add","path":"nickname","value":"x"},{"op":"add","path":"members","value":[{"display":"nobody"}]}]`), typ, options(t, typ, attr.Lenient))
	requireError(t, err, attr.InvalidValue, "Operations[1]")
	require.ElementsMatch(t, (attr.OperationCase | attr.UnknownAttribute).Names(), p.Fired().Names())
	require.Equal(t, []string{"nickname"}, p.Ignored())
	require.Nil(t, p.Members())
	require.False(t, p.OnlyMembers())

	p, err = patch.Parse([]byte("["), typ, patch.Options{})
	require.Error(t, err)
	require.Zero(t, p.Fired())

	// A value that is read only when it is applied.
	typ = resourceTypes["User"]
	p, err = patch.Parse(request(`[{"op":"add","path":"emails","value":[{"value":"a","primary":"True"},{"value":{}}]}]`), typ, patch.Options{Lenience: attr.StringBoolean})
	require.NoError(t, err)
	require.Error(t, p.Apply(decode(t, typ, `{"userName":"a"}`)))
	require.True(t, p.Fired().Has(attr.StringBoolean))
}

// What is said of a member as a value to match or keep.
func TestMemberNode(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	members := attribute(t, typ, "members")
	d := decode(t, typ, `{"displayName":"g"}`)
	list := d.List(members)
	list.Append(patch.Member{Value: "1", Type: "User", Display: "One"}.Node(d, members))
	list.Append(patch.Member{Value: "2"}.Node(d, members))
	d.Root().Put(list)
	requireJSON(t, []byte(`{"displayName":"g","members":[{"value":"1","type":"User","display":"One"},{"value":"2"}]}`), frozen(d))
}

func TestTooManyOperations(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["User"]
	operations := func(n int, one string) []byte {
		return request("[" + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + "]")
	}
	title := `{"op":"add","path":"title","value":"a"}`
	_, err := patch.Parse(operations(1000, title), typ, patch.Options{})
	require.NoError(t, err)
	_, err = patch.Parse(operations(1001, title), typ, patch.Options{})
	requireError(t, err, attr.TooMany, "1000")
	_, err = patch.Parse(operations(3, title), typ, patch.Options{Operations: 2})
	requireError(t, err, attr.TooMany, "2")

	// Keys of one value are not operations, but each filter looks at all values.
	keys := make(map[string]string)
	for i := range 1001 {
		keys[fmt.Sprintf(`emails[type eq "%d"].value`, i)] = "x"
	}
	value, err := json.Marshal(keys)
	require.NoError(t, err)
	_, err = patch.Parse(request(`[{"op":"add","value":`+string(value)+`}]`), typ, patch.Options{Lenience: attr.Lenient})
	requireError(t, err, attr.TooMany, "filters")
}

func TestIgnoredIsBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, `,{"op":"remove","path":"x%d"},{"op":"remove","path":"x%d"}`, i, i)
	}
	long := `[{"op":"remove","path":"` + strings.Repeat("y", 5_000) + `"}` + b.String() + `]`
	p, err := patch.Parse(request(long), resourceTypes["User"], patch.Options{Lenience: attr.Lenient, Operations: 2000})
	require.NoError(t, err)
	require.Len(t, p.Ignored(), 100)
	require.Less(t, len(p.Ignored()[0]), 300)
	require.Equal(t, "x0", p.Ignored()[1])
	require.Equal(t, "x1", p.Ignored()[2])
}

// Strings of a document are views of the body until it is frozen; nothing of
// the body may be in what is stored.
func TestStoredDoesNotViewTheBody(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["User"]
	body := request(`[{"op":"replace","path":"title","value":"Countess"}]`)
	p, err := patch.Parse(body, typ, patch.Options{})
	require.NoError(t, err)
	d := decode(t, typ, `{"userName":"a"}`)
	require.NoError(t, p.Apply(d))
	stored := d.Freeze()
	clear(body)
	require.Contains(t, stored.JSON(), `"title":"Countess"`)
}

// A store that finds a newer version applies the same patch again.
func TestApplyAgain(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["User"]
	p, err := patch.Parse(request(`[{"op":"add","path":"emails","value":[{"value":"a"}]},{"op":"replace","path":"emails[value eq \"a\"].type","value":"work"}]`), typ, patch.Options{})
	require.NoError(t, err)
	for _, before := range []string{`{"userName":"a"}`, `{"userName":"b","emails":[{"value":"c"}]}`} {
		d := decode(t, typ, before)
		require.NoError(t, p.Apply(d))
		require.Contains(t, frozen(d), `{"value":"a","type":"work"}`)
	}
}

func TestReadOnlyAttributesOutliveTheirExtension(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Device"]
	rack := attribute(t, typ, "urn:example:params:scim:schemas:extension:rack:2.0:Device")
	d := decode(t, typ, `{"asset":"a","`+rack.Name+`":{"row":"1"}}`)
	d.Root().Child(rack).Put(d.Text(rack.Sub("health"), "good")) // as an application does
	p, err := patch.Parse(request(`[{"op":"remove","path":"`+rack.Name+`"}]`), typ, patch.Options{})
	require.NoError(t, err)
	require.NoError(t, p.Apply(d))
	require.Contains(t, frozen(d), `{"health":"good"}`)
}

func TestMembersInTheDocument(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	d := decode(t, typ, `{"displayName":"g","members":[{"value":"1","type":"User"}]}`)
	p, err := patch.Parse(request(`[
		{"op":"add","path":"members","value":[{"value":"1","type":"User","display":"One"},{"value":"2"}]},
		{"op":"remove","path":"members[value eq \"2\"]"}]`), typ, patch.Options{})
	require.NoError(t, err)
	require.Nil(t, p.Members())
	require.NoError(t, p.Apply(d))
	requireJSON(t, []byte(`{"displayName":"g","members":[{"value":"1","type":"User","display":"One"}]}`), frozen(d))
}

func TestResolvePassesErrorsOn(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	p, err := patch.Parse(request(`[{"op":"remove","path":"members[type eq \"User\"]"}]`), typ, options(t, typ, attr.Strict))
	require.NoError(t, err)
	broken := errors.New("broken")
	_, err = p.Members().Resolve(func(filter.Expr) ([]string, error) { return nil, broken })
	require.ErrorIs(t, err, broken)

	p, err = patch.Parse(request(`[{"op":"remove","path":"members"}]`), typ, options(t, typ, attr.Strict))
	require.NoError(t, err)
	m, err := p.Members().Resolve(nil)
	require.NoError(t, err)
	require.Same(t, p.Members(), m)
}

func TestApplyToRequiredMembers(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Device"]
	contacts := attribute(t, typ, "sites") // required; values of it are never taken for members otherwise
	d := decode(t, typ, `{"asset":"a"}`)
	requireError(t, (&patch.Membership{Clear: true}).ApplyTo(d, contacts), attr.Mutable, "sites")
}

// model is what a naive server keeps: members in a map, by id the type.
type model map[string]string

// randomStep does one random change to the model and returns the operations
// that ask for it, in one of the forms that providers use.
func (m model) randomStep(r *rand.Rand) string {
	ids := make([]string, r.IntN(12))
	for i := range ids {
		ids[i] = []string{"u", "g"}[r.IntN(2)] + strconv.Itoa(r.IntN(14))
	}
	kind := func(id string) string {
		if id[0] == 'g' {
			return "Group"
		}
		return "User"
	}
	values := func() string {
		var parts []string
		for _, id := range ids {
			switch forms := r.IntN(4); {
			case kind(id) == "Group":
				parts = append(parts, fmt.Sprintf(`{"value":%q,"type":"Group"}`, id))
			case forms == 0:
				parts = append(parts, strconv.Quote(id))
			case forms == 1:
				parts = append(parts, fmt.Sprintf(`{"$ref":null,"value":%q}`, id))
			default:
				parts = append(parts, fmt.Sprintf(`{"display":"x","value":%q}`, id))
			}
		}
		if len(parts) == 1 && r.IntN(2) == 0 {
			return parts[0]
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	path := []string{"members", "Members", "urn:ietf:params:scim:schemas:core:2.0:Group:members"}[r.IntN(3)]
	remove := func() {
		for _, id := range ids {
			delete(m, id)
		}
	}
	add := func() {
		for _, id := range ids {
			m[id] = kind(id)
		}
	}
	switch r.IntN(9) {
	case 0:
		add()
		return fmt.Sprintf(`{"op":"Add","path":%q,"value":%s}`, path, values())
	case 1:
		add()
		return fmt.Sprintf(`{"op":"add","value":{"members":%s,"id":"7"}}`, values())
	case 2:
		if r.IntN(4) > 0 {
			add()
			return fmt.Sprintf(`{"value":%s,"path":%q,"op":"add"}`, values(), path)
		}
		clear(m)
		add()
		return fmt.Sprintf(`{"op":"replace","path":%q,"value":%s}`, path, values())
	case 3:
		if r.IntN(4) > 0 {
			return `{"op":"replace","path":"displayName","value":"x"}`
		}
		clear(m)
		return fmt.Sprintf(`{"op":"remove","path":%q}`, path)
	case 4:
		remove()
		return fmt.Sprintf(`{"op":"Remove","path":%q,"value":%s}`, path, values())
	case 5:
		remove()
		return fmt.Sprintf(`{"op":"remove","path":%q,"value":{"members":%s}}`, path, values())
	case 6, 7:
		if len(ids) == 0 {
			return fmt.Sprintf(`{"op":"add","path":%q,"value":[]}`, path)
		}
		remove()
		var parts []string
		for _, id := range ids {
			parts = append(parts, fmt.Sprintf("value eq %q", id))
		}
		return fmt.Sprintf(`{"op":"remove","path":%q}`, path+"["+strings.Join(parts, " or ")+"]")
	}
	for id := range m {
		if kind(id) == "Group" {
			delete(m, id)
		}
	}
	return fmt.Sprintf(`{"op":"remove","path":%q}`, path+`[type eq "group"]`)
}

func TestMembershipAgreesWithModel(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	members := attribute(t, typ, "members")
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := make(model)
		var start patch.Membership
		for range r.IntN(10) {
			id := []string{"u", "g"}[r.IntN(2)] + strconv.Itoa(r.IntN(14))
			if _, there := m[id]; there {
				continue
			}
			m[id] = map[byte]string{'u': "User", 'g': "Group"}[id[0]]
			start.Add = append(start.Add, patch.Member{Value: id, Type: m[id]})
		}
		d := decode(t, typ, `{"displayName":"g"}`)
		require.NoError(t, start.ApplyTo(d, members))
		var operations []string
		for range r.IntN(8) {
			operations = append(operations, m.randomStep(r))
		}
		body := request("[" + strings.Join(operations, ",") + "]")
		p, err := patch.Parse(body, typ, options(t, typ, attr.Lenient))
		require.NoError(t, err, "%s", body)
		if change := p.Members(); change != nil {
			require.NoError(t, change.ApplyTo(d, members))
			for _, added := range change.Add {
				require.NotContains(t, change.Remove, added.Value, "%s", body)
			}
		}
		var got, want []string
		for _, member := range takeMembers(d, members) {
			got = append(got, member.Value)
		}
		for id := range m {
			want = append(want, id)
		}
		slices.Sort(got)
		slices.Sort(want)
		require.Equal(t, want, got, "from %v: %s", start.Add, body)
	}
}

// The work must grow with the number of members, not with its square: ten
// times as many may take thirty times as long at most, noise included (quirk
// 69).
func TestMembershipIsLinear(t *testing.T) {
	typ := resourceTypes["Group"]
	members := attribute(t, typ, "members")
	o := options(t, typ, attr.Lenient)
	measure := func(n int) time.Duration {
		add, remove := request(`[{"op":"add","path":"members","value":`+memberList(0, n)+`}]`), request(`[{"op":"remove","path":"members","value":`+memberList(n/2, n)+`}]`)
		best := time.Hour
		for range 3 {
			start := time.Now()
			d := decode(t, typ, `{"displayName":"g"}`)
			for _, body := range [][]byte{add, add, remove} {
				p, err := patch.Parse(body, typ, o)
				require.NoError(t, err)
				require.NoError(t, p.Members().ApplyTo(d, members))
			}
			require.Len(t, takeMembers(d, members), n/2)
			best = min(best, time.Since(start))
		}
		return best
	}
	small, large := measure(4_000), measure(40_000)
	require.Less(t, large, 30*small)
}

func memberList(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `,{"value":"2819c223-7f76-453a-919d-%012d","display":"Somebody"}`, i)
	}
	return "[" + strings.TrimPrefix(b.String(), ",") + "]"
}

func BenchmarkActive(b *testing.B) {
	typ := resourceTypes["User"]
	body := request(`[{"op":"replace","path":"active","value":false}]`)
	d := decode(b, typ, `{"userName":"ada@example.com","active":true,"emails":[{"value":"ada@example.com"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		p, err := patch.Parse(body, typ, patch.Options{Lenience: attr.Lenient})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Apply(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWorkEmail(b *testing.B) {
	typ := resourceTypes["User"]
	body := request(`[{"op":"replace","path":"emails[type eq \"work\"].value","value":"x@example.com"}]`)
	d := decode(b, typ, `{"userName":"ada@example.com","active":true,"emails":[{"value":"ada@example.com","type":"work"}]}`)
	b.ReportAllocs()
	for b.Loop() {
		p, err := patch.Parse(body, typ, patch.Options{Lenience: attr.Lenient})
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Apply(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMembers(b *testing.B) {
	typ := resourceTypes["Group"]
	for _, n := range []int{1, 100, 100_000} {
		for name, body := range map[string][]byte{
			"add":    request(`[{"op":"add","path":"members","value":` + memberList(0, n) + `}]`),
			"remove": request(`[{"op":"remove","path":"members[value eq \"2819c223-7f76-453a-919d-404861904646\"]"}]`),
		} {
			if name == "remove" && n > 1 {
				continue
			}
			b.Run(name+"/"+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p, err := patch.Parse(body, typ, options(b, typ, attr.Lenient))
					if err != nil {
						b.Fatal(err)
					}
					if p.Members() == nil {
						b.Fatal("no members")
					}
				}
			})
		}
	}
}

func frozen(d *attr.Doc) string {
	s := d.Freeze()
	return s.JSON()
}
