package attr_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

// An object's children stay in schema order, one for each attribute.
func TestPutKeepsSchemaOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	subs := everything.Root().Subs
	for range 300 {
		d := attr.NewDoc(everything)
		model := map[*attr.Attribute]string{}
		for step := range r.IntN(30) {
			a := subs[r.IntN(len(subs))]
			if r.IntN(3) == 0 {
				_, want := model[a]
				require.Equal(t, want, d.Root().Remove(a))
				delete(model, a)
				continue
			}
			text := strconv.Itoa(step)
			d.Root().Put(d.Text(a, text))
			model[a] = text
		}
		n := d.Root().First()
		for _, a := range subs {
			text, ok := model[a]
			if !ok {
				require.Nil(t, d.Root().Child(a))
				continue
			}
			require.Same(t, a, n.Attr())
			require.Same(t, n, d.Root().Child(a))
			require.Equal(t, text, n.Text())
			n = n.Next()
		}
		require.Nil(t, n)
		require.Equal(t, len(model) == 0, d.Root().Empty())
		d.Release()
	}
}

func TestNodeListOperations(t *testing.T) {
	d := decode(t, everything, body(`"texts":["a","b","c","d"]`), attr.Strict)
	defer d.Release()
	texts := lookup(t, everything, "texts")
	list := d.Root().Child(texts)
	require.True(t, list.IsList())
	require.False(t, list.IsObject())
	require.False(t, list.First().IsList())
	require.False(t, list.First().IsObject())
	require.False(t, list.First().Empty())

	stored := func() string {
		s := d.Freeze()
		return strings.TrimPrefix(s.JSON(), strings.TrimSuffix(body(""), "}"))
	}
	require.Equal(t, 2, list.Filter(func(n *attr.Node) bool { return n.Text() != "a" && n.Text() != "c" }))
	require.Equal(t, `,"texts":["b","d"]}`, stored())
	require.Equal(t, 1, list.Filter(func(n *attr.Node) bool { return n.Text() == "b" }))
	list.Append(d.Text(texts, "e"))
	require.Equal(t, `,"texts":["b","e"]}`, stored())
	require.Zero(t, list.Filter(func(*attr.Node) bool { return true }))

	copied := d.Clone(list)
	list.First().SetText("quote \" and \xff")
	require.Equal(t, `,"texts":["quote \" and `+"\uFFFD"+`","e"]}`, stored())
	list.First().SetText("plain")
	require.Equal(t, `,"texts":["plain","e"]}`, stored())
	require.Equal(t, "b", copied.First().Text())

	list.Clear()
	require.True(t, list.Empty())
	require.Equal(t, `}`, stored())
	list.Append(d.Text(texts, "f"))
	d.Root().Put(copied)
	require.Equal(t, `,"texts":["b","e"]}`, stored())

	flag := d.Bool(lookup(t, everything, "bool"), true)
	d.Root().Put(flag)
	require.True(t, flag.Value().Bool())
	flag.SetLiteral("false")
	require.False(t, flag.Value().Bool())
	require.Equal(t, `,"bool":false,"texts":["b","e"]}`, stored())
}

// Both forms of a document answer the same to whoever reads them.
func TestValueOfBothForms(t *testing.T) {
	d := decode(t, everything, bodyExtended(`"text":"a\nb","bool":true,"decimal":1.50,"complex":{"value":"v","flag":false},"texts":["x","\""],`+
		`"list":[{"value":"1","tags":["p"]},{"value":"2"}],"`+extensionURN+`":{"manager":{"value":"m"}}`), attr.Strict)
	defer d.Release()
	s := d.Freeze()
	require.Same(t, everything, s.Type())
	require.Same(t, everything, d.Type())

	var same func(v, w attr.Value)
	same = func(v, w attr.Value) {
		require.Equal(t, v.Exists(), w.Exists())
		if !v.Exists() {
			require.Empty(t, w.Text())
			require.Empty(t, w.JSON())
			require.False(t, w.IsList())
			require.False(t, w.Bool())
			require.False(t, w.First().Exists())
			require.False(t, w.Next().Exists())
			require.False(t, w.Get(everything.ID).Exists())
			return
		}
		require.Same(t, v.Attr(), w.Attr())
		require.Equal(t, v.IsList(), w.IsList())
		require.Equal(t, v.Text(), w.Text(), v.Attr().Path())
		require.Equal(t, v.Bool(), w.Bool())
		require.Empty(t, v.JSON())
		require.NotEmpty(t, w.JSON())
		for _, sub := range v.Attr().Subs {
			got, want := v.Get(sub), w.Get(sub)
			require.Equal(t, got.Exists(), want.Exists(), sub.Path())
			require.Equal(t, got.Text(), want.Text(), sub.Path())
		}
		same(v.First(), w.First())
		same(v.Next(), w.Next())
	}
	same(d.Value(), s.Value())
	for _, a := range everything.Attributes()[1:] {
		require.Equal(t, d.Value().At(a).Text(), s.Value().At(a).Text(), a.Path())
		require.Equal(t, d.Value().At(a).Exists(), s.Value().At(a).Exists(), a.Path())
	}
	require.Equal(t, "a\nb", s.Value().At(lookup(t, everything, "text")).Text())
	require.Equal(t, "1", s.Value().At(lookup(t, everything, "list.value")).Text())
	require.Equal(t, "m", s.Value().At(lookup(t, everything, extensionURN+":manager.value")).Text())
	require.False(t, s.Value().At(lookup(t, everything, "valueless.a")).Exists())
	require.Empty(t, s.Value().At(lookup(t, everything, "complex")).Text())
	same(attr.Value{}, attr.Value{})
}

// randomMembers makes members of a valid document of the type everything;
// values carry a mark that no other document has.
func randomMembers(r *rand.Rand, mark string) string {
	text := func() string {
		return fmt.Sprintf(`"%s %d %s"`, mark, r.IntN(100), []string{"", `\n`, "é", `\ud83d\ude00`}[r.IntN(4)])
	}
	values := map[string]func() string{
		"text": text, "reference": text, "always": text, "never": text, "request": text,
		"bool":    func() string { return []string{"true", "false", "null"}[r.IntN(3)] },
		"integer": func() string { return strconv.Itoa(r.IntN(1000) - 500) },
		"decimal": func() string { return fmt.Sprintf("%g", r.NormFloat64()) },
		"time":    func() string { return `"2008-01-23T04:56:22Z"` },
		"complex": func() string { return fmt.Sprintf(`{"value":%s,"other":null,"flag":%t}`, text(), r.IntN(2) == 0) },
		"texts":   func() string { return "[" + strings.Repeat(text()+",", r.IntN(4)) + text() + "]" },
		"list": func() string {
			return "[" + strings.Repeat(fmt.Sprintf(`{"type":%s,"value":%s,"tags":[%s]},`, text(), text(), text()), r.IntN(90)) + `{"primary":true}]`
		},
		extensionURN: func() string { return fmt.Sprintf(`{"department":%s,"manager":{"value":%s}}`, text(), text()) },
	}
	var members []string
	for name, value := range values {
		if r.IntN(2) == 0 {
			members = append(members, fmt.Sprintf("%q:%s", name, value()))
		}
	}
	return strings.Join(members, ",")
}

func bodyLenient(members string) []byte { return []byte("{" + members + "}") }

// A released document leaves nothing to the one that uses its memory next, and
// documents that are worked on at the same time do not meet.
func TestArenaReuse(t *testing.T) {
	type job struct {
		json, mark string
		want       attr.Stored
	}
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(worker), 7))
			newJob := func(n int) job {
				j := job{mark: fmt.Sprintf("<%d.%d>", worker, n)}
				j.json = string(bodyLenient(randomMembers(r, j.mark)))
				fresh := attr.NewDoc(everything)
				if err := fresh.Decode([]byte(j.json), attr.Lenient, attr.Limits{}); err != nil {
					t.Error(err)
				}
				j.want = fresh.Freeze() // not released: what is compared with has memory of its own
				return j
			}
			for n := range 60 {
				a, b := newJob(2*n), newJob(2*n+1)
				first, second := attr.NewDoc(everything), attr.NewDoc(everything)
				bodyA, bodyB := []byte(a.json), []byte(b.json)
				errs := []error{first.Decode(bodyA, attr.Lenient, attr.Limits{}), second.Decode(bodyB, attr.Lenient, attr.Limits{})}
				storedA := first.Freeze()
				if r.IntN(2) == 0 {
					first.Release() // the second goes on
				}
				storedB := second.Freeze()
				broken := attr.NewDoc(everything)
				if broken.Fired() != 0 || !broken.Root().Empty() {
					t.Error("a new document is not empty")
				}
				errs = append(errs, broken.Decode(bodyA[:len(bodyA)-1], attr.Lenient, attr.Limits{}))
				broken.Release()
				second.Release()
				for i := range bodyA {
					bodyA[i] = '#'
				}
				for i := range bodyB {
					bodyB[i] = '#'
				}
				if errs[0] != nil || errs[1] != nil || errs[2] == nil {
					t.Error(errs)
				}
				if storedA.JSON() != a.want.JSON() || storedB.JSON() != b.want.JSON() {
					t.Errorf("%s\nis not\n%s\nor\n%s\nis not\n%s", storedA.JSON(), a.want.JSON(), storedB.JSON(), b.want.JSON())
				}
				if strings.Contains(storedA.JSON(), b.mark) || strings.Contains(storedB.JSON(), a.mark) {
					t.Error("a value of the other document")
				}
			}
		})
	}
	wait.Wait()
}

// Memory of huge documents is not kept, but they are not refused either.
func TestReleaseHuge(t *testing.T) {
	for _, members := range []string{
		`"texts":[` + strings.Repeat(`"x",`, 10_000) + `"x"]`,
		`"text":"` + strings.Repeat("x", 2<<20) + `"`,
	} {
		for range 3 {
			s := freeze(t, everything, body(members), attr.Strict)
			require.Equal(t, body(members), s.JSON())
		}
	}
}

// A stored document shares no memory with the body it came from, nor with the
// one that was worked on.
func TestFreezeCopies(t *testing.T) {
	const members = `"text":"plain","bool":true,"decimal":1.5,"complex":{"value":"\u00e9"},"texts":["a","b\n"]`
	sent := []byte(body(members))
	d := attr.NewDoc(everything)
	require.NoError(t, d.Decode(sent, attr.Strict, attr.Limits{}))
	s := d.Freeze()
	d.Release()
	want := body(`"text":"plain","bool":true,"decimal":1.5,"complex":{"value":"é"},"texts":["a","b\n"]`)
	copy(sent, bytes.Repeat([]byte{'#'}, len(sent)))
	require.Equal(t, want, s.JSON())

	thawed := s.Thaw()
	thawed.Root().Child(lookup(t, everything, "text")).SetText("changed")
	thawed.Root().Child(lookup(t, everything, "texts")).Clear()
	changed := thawed.Freeze()
	thawed.Release()
	require.Equal(t, want, s.JSON())
	require.Equal(t, "plain", s.Value().At(lookup(t, everything, "text")).Text())
	require.False(t, s.Equal(&changed))
}

// Same compares values of either form in the order they have.
func TestSame(t *testing.T) {
	for _, c := range []struct {
		rule, a, b string
		same       bool
	}{
		{"identical", `"text":"x","list":[{"value":"1","primary":true},{"type":"t"}]`, `"text":"x","list":[{"value":"1","primary":true},{"type":"t"}]`, true},
		{"nothing", ``, ``, true},
		{"escapes", `"text":"\u0061\n"`, `"text":"a\u000a"`, true},
		{"another value", `"text":"x"`, `"text":"y"`, false},
		{"another case", `"text":"x"`, `"text":"X"`, false},
		{"another attribute", `"never":"x"`, `"always":"x"`, false},
		{"another order", `"texts":["a","b"]`, `"texts":["b","a"]`, false},
		{"more", `"texts":["a"]`, `"texts":["a","b"]`, false},
		{"deep", `"complex":{"value":"x","flag":true}`, `"complex":{"value":"x","flag":false}`, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a, b := decode(t, everything, body(c.a), attr.Strict), decode(t, everything, body(c.b), attr.Strict)
			defer a.Release()
			defer b.Release()
			storedA, storedB := a.Freeze(), b.Freeze()
			for _, v := range []attr.Value{a.Value(), storedA.Value()} {
				for _, w := range []attr.Value{b.Value(), storedB.Value()} {
					require.Equal(t, c.same, attr.Same(v, w))
					require.Equal(t, c.same, attr.Same(w, v))
				}
			}
		})
	}
	s := freeze(t, everything, body(`"text":"x","texts":["x"],"complex":{"value":"x"}`), attr.Strict)
	text, texts, value := lookup(t, everything, "text"), lookup(t, everything, "texts"), lookup(t, everything, "complex.value")
	require.True(t, attr.Same(attr.Value{}, s.Value().Get(everything.ID)))
	require.False(t, attr.Same(attr.Value{}, s.Value().Get(text)))
	require.False(t, attr.Same(s.Value().Get(text), s.Value().At(value)), "of another attribute")
	require.False(t, attr.Same(s.Value().Get(texts), s.Value().Get(texts).First()), "a list and its value")
}

// RFC 7643 section 6: of what a schema does not define there is no value, and
// asking for it is no mistake.
func TestAttributesThatTheSchemaLacks(t *testing.T) {
	simple := schema.SimpleStringParams(schema.StringParams{Name: "value"})
	typ, err := attr.NewType("User", "/Users", "", schema.Schema{ID: "urn:example:frugal", Attributes: schema.Attributes{
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "emails", MultiValued: true, SubAttributes: []schema.SimpleParams{simple}}),
	}})
	require.NoError(t, err)
	emails := lookup(t, typ, "emails")
	require.Nil(t, emails.PrimarySub())
	require.Nil(t, emails.Sub("type"))
	d := decode(t, typ, `{"schemas":["urn:example:frugal"],"emails":[{"value":"a"},{"value":"b"}]}`, attr.Strict)
	defer d.Release()
	one := d.Root().Child(emails).First()
	require.Nil(t, one.Child(emails.Sub("type")))
	require.Nil(t, d.Root().Child(nil))
	require.False(t, one.Remove(nil))
	stored := d.Freeze()
	for _, v := range []attr.Value{d.Value(), stored.Value(), {}} {
		require.Zero(t, v.Get(nil))
		require.Zero(t, v.At(nil))
		require.Zero(t, v.Get(emails).First().Get(emails.PrimarySub()))
		require.False(t, v.Get(nil).First().Get(nil).Bool())
	}
}
