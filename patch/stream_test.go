package patch_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/patch"
)

// takeMembers returns the members in a document.
func takeMembers(d *attr.Doc, members *attr.Attribute) (all []patch.Member) {
	list := d.Root().Child(members)
	if list == nil {
		return nil
	}
	for n := list.First(); n != nil; n = n.Next() {
		text := func(sub string) string { return n.Value().Get(members.Sub(sub)).Text() }
		all = append(all, patch.Member{Value: text("value"), Type: text("type"), Display: text("display")})
	}
	return all
}

// Members are no part of the document, each id is there once, and nothing of
// them is a view of what was read.
func TestDecodeMembers(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	members := attribute(t, typ, "members")
	d := attr.NewDoc(typ)
	body := `{"members":[{"value":"2","$ref":"../Users/2"},{"display":"nobody"},null,{},{"value":"1","type":"Group","display":"One \u00e9"},
		"3",{"value":"2","display":"again"},{"VALUE":"4","type":"Robot","unknown":{"value":"5"}}],"displayName":"g"}`
	all, err := patch.Decode(d, iotest.OneByteReader(strings.NewReader(body)), attr.Lenient, attr.Limits{}, members)
	require.NoError(t, err)
	require.Equal(t, []patch.Member{
		{Value: "2"}, {Display: "nobody"}, {Value: "1", Type: "Group", Display: "One é"}, {Value: "3"}, {Value: "4", Type: "Robot"},
	}, all)
	requireJSON(t, []byte(`{"displayName":"g"}`), frozen(d))

	for body, want := range map[string][]patch.Member{
		`{"displayName":"g"}`:                             nil,
		`{"displayName":"g","members":null}`:              nil,
		`{"displayName":"g","members":[]}`:                nil,
		`{"displayName":"g","members":"1"}`:               {{Value: "1"}},
		`{"displayName":"g","members":{"value":"1"}}`:     {{Value: "1"}},
		`{"displayName":"g","members":[{"$ref":"x/1"}]}`:  {{}},
		`{"displayName":"g","members":[null,"",{},"1"]}`:  {{Value: "1"}},
		`{"displayName":"g","members":["1","1","2","1"]}`: {{Value: "1"}, {Value: "2"}},
	} {
		d := attr.NewDoc(typ)
		all, err := patch.Decode(d, strings.NewReader(body), attr.Lenient, attr.Limits{}, members)
		require.NoError(t, err, body)
		require.Equal(t, want, all, body)
		requireJSON(t, []byte(`{"displayName":"g"}`), frozen(d))
	}
}

// An error of what is read from is the caller's own, wherever it comes.
func TestStreamErrorsAreTheReaders(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	broken := errors.New("the line is dead")
	put := `{"schemas":["` + typ.Schema.ID + `"],"displayName":"g","id":7,"members":[{"value":"1","$ref":null,"display":"One"},{"value":"2"}]} `
	change := string(request(`[{"op":"add","path":"members","value":[{"value":"1"},{"value":"2"}]},{"op":"replace","value":{"displayName":"h","members":[{"value":"3"}]}},{"value":[],"op":"remove","path":"members[value eq \"4\"]"}]`)) + " "
	for n := range len(put) {
		d := attr.NewDoc(typ)
		_, err := patch.Decode(d, io.MultiReader(strings.NewReader(put[:n]), iotest.ErrReader(broken)), attr.Strict, attr.Limits{}, attribute(t, typ, "members"))
		require.Equal(t, broken, err, "after %s", put[:n])
		d.Release()
	}
	for n := range len(change) {
		p, err := patch.ParseStream(io.MultiReader(strings.NewReader(change[:n]), iotest.ErrReader(broken)), typ, options(t, typ, attr.Lenient))
		require.Equal(t, broken, err, "after %s", change[:n])
		require.NotNil(t, p)
	}
}

// Members mean the same, and nest as deep, whether they come before or after
// what is to be done with them.
func TestOrderOfAnOperationDoesNotMatter(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	for depth := 3; depth < 7; depth++ {
		for _, value := range []string{
			`["1",{"value":"2"},{"value":"1"}]`, `[]`, `["1",null]`, `{"value":"1"}`, `"1"`, `null`, `[{"display":"x"}]`, `[{"value":true}]`, `[7]`,
			`[{"value":"1","x":[[]]}]`, `[{"value":"1","x":[[[]]]}]`, `[[[]]]`, `{"members":["1"]}`,
		} {
			for _, op := range []string{"add", "Replace", "remove", "grow"} {
				for _, l := range []attr.Lenience{attr.Lenient, attr.Strict} {
					o := options(t, typ, l)
					o.Limits.Depth = depth
					first, second := `"op":"`+op+`","path":"members"`, `"value":`+value
					p, err := patch.ParseStream(strings.NewReader(string(request(`[{`+first+`,`+second+`}]`))), typ, o)
					held, errHeld := patch.ParseStream(strings.NewReader(string(request(`[{`+second+`,`+first+`}]`))), typ, o)
					require.Equal(t, errHeld, err, "%s %s", op, value)
					if err == nil {
						require.Equal(t, held.Members(), p.Members(), "%s %s", op, value)
						require.Equal(t, held.Fired(), p.Fired(), "%s %s", op, value)
					}
				}
			}
		}
	}
}

// What a member refers to is not held, wherever in the operation its list
// comes.
func TestStreamHoldsOnlyIds(t *testing.T) {
	t.Parallel()
	typ := resourceTypes["Group"]
	const n = 10_000
	list := strings.TrimSuffix(strings.Repeat(`{"value":"1","$ref":"https://`+strings.Repeat("x", 1000)+`"},`, n), ",")
	for _, op := range []string{"add", "replace", "remove"} {
		watched := &watchedReader{r: strings.NewReader(string(request(`[{"op":"` + op + `","path":"members","value":[` + list + `]}]`)))}
		p, err := patch.ParseStream(watched, typ, options(t, typ, attr.Lenient))
		require.NoError(t, err)
		require.Len(t, append(p.Members().Remove, ids(p.Members().Add)...), 1)
		require.LessOrEqual(t, watched.most, 64<<10, "the buffer does not grow with the body")
	}
	watched := &watchedReader{r: strings.NewReader(`{"displayName":"g","members":[` + list + `]}`)}
	all, err := patch.Decode(attr.NewDoc(typ), watched, attr.Lenient, attr.Limits{}, attribute(t, typ, "members"))
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.LessOrEqual(t, watched.most, 64<<10)
}

func ids(members []patch.Member) (all []string) {
	for _, m := range members {
		all = append(all, m.Value)
	}
	return all
}

// A watchedReader notes how much it was asked for at once.
type watchedReader struct {
	r    io.Reader
	most int
}

func (w *watchedReader) Read(p []byte) (int, error) {
	w.most = max(w.most, len(p))
	return w.r.Read(p)
}

// A crumbReader returns a text in pieces of random length.
type crumbReader struct {
	rest   string
	random *rand.Rand
}

func (c *crumbReader) Read(p []byte) (int, error) {
	if c.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(len(c.rest), 1+c.random.IntN(20))])
	c.rest = c.rest[n:]
	return n, nil
}

// streams are the ways in which a body may come.
func streams(body string, seed uint64) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":  strings.NewReader(body),
		"bytes":  iotest.OneByteReader(strings.NewReader(body)),
		"eof":    iotest.DataErrReader(strings.NewReader(body)),
		"crumbs": &crumbReader{body, rand.New(rand.NewPCG(seed, 0))},
	}
}

// FuzzStream: a body that comes as a stream, in pieces of any size, is what it
// is when it is there at once: the same document and members, or the same error;
// the same tolerances; the same change.
func FuzzStream(f *testing.F) {
	seeds := []string{
		`{"displayName":"g","members":[{"value":"1","$ref":null,"display":"One"},"2",{"value":"1"},{"Value":"3","x":{"y":[1]}}]}`,
		`{"displayName":"g","members":{"value":"1"},"MEMBERS":[]}`,
		`{"displayName":"g","members":[{"value":{"value":"1"}},{"value":["1"]},{"value":7},{"value":"\u0041","type":"Robot"}]}`,
		`{"members":[[{"value":"1"}]]}`, `{"members":[{"value":"a\u0000"}]}`, `{"members":[{"value":"1"}`, `{} {}`, `{"members":true}`,
		string(request(`[{"op":"add","path":"members","value":[{"value":"1"},{"value":"2","type":"User"}]},{"op":"Remove","path":"members","value":[{"value":"1"}]}]`)),
		string(request(`[{"op":"replace","path":"members","value":[{"value":"1"}]},{"op":"remove","path":"members","value":{"members":["2"]}},{"op":"add","value":{"members":["3"],"displayName":"h"}}]`)),
		string(request(`[{"path":"members","value":[{"display":"x"}],"op":"add"},{"op":"add","path":"members","value":[{"display":"x"}]}]`)),
		string(request(`[{"op":"remove","path":"members","value":[ ]},{"op":"remove","path":"members"},{"op":"remove","path":"members[display eq \"x\"]"}]`)),
		string(request(`[{"op":"add","path":"members","value":[{"value":"1"}],"value":[]}]`)),
	}
	for _, seed := range seeds {
		f.Add(seed, uint64(attr.Lenient), uint64(1))
		f.Add(seed, uint64(attr.Strict), uint64(2))
	}
	for _, vectors := range readVectors(f) {
		for _, v := range vectors {
			if v.Type == "Group" {
				f.Add(string(v.body()), uint64(v.Lenience), uint64(3))
			}
		}
	}
	typ := resourceTypes["Group"]
	f.Fuzz(func(t *testing.T, body string, l, seed uint64) {
		o := options(t, typ, attr.Lenience(l)&attr.Lenient)
		o.Limits.Depth = 8
		if seed%3 == 0 {
			o.Limits.Values = 2
		}
		decodeAlike(t, body, seed, o)
		parseAlike(t, body, seed, o)
	})
}

func decodeAlike(t *testing.T, body string, seed uint64, o patch.Options) {
	t.Helper()
	typ := resourceTypes["Group"]
	d := attr.NewDoc(typ)
	defer d.Release()
	err := d.Decode([]byte(body), o.Lenience, o.Limits)
	var document string
	var members []patch.Member
	if err == nil {
		for _, m := range takeMembers(d, o.Members) {
			if !containsID(members, m.Value) {
				members = append(members, m)
			}
		}
		d.Root().Remove(o.Members)
		document = frozen(d)
	}
	for how, stream := range streams(body, seed) {
		s := attr.NewDoc(typ)
		all, streamed := patch.Decode(s, stream, o.Lenience, o.Limits, o.Members)
		require.Equal(t, err, streamed, "%s: %s", how, body)
		require.Equal(t, d.Fired(), s.Fired(), "%s: %s", how, body)
		if err == nil {
			require.Equal(t, document, frozen(s), "%s: %s", how, body)
			require.Equal(t, members, all, "%s: %s", how, body)
		}
		s.Release()
	}
}

func containsID(members []patch.Member, id string) bool {
	for _, m := range members {
		if m.Value == id {
			return true
		}
	}
	return false
}

func parseAlike(t *testing.T, body string, seed uint64, o patch.Options) {
	t.Helper()
	typ := resourceTypes["Group"]
	for how, stream := range streams(body, seed) {
		p, err := patch.Parse([]byte(body), typ, o)
		s, streamed := patch.ParseStream(stream, typ, o)
		require.Equal(t, err, streamed, "%s: %s", how, body)
		require.Equal(t, p.Fired(), s.Fired(), "%s: %s", how, body)
		require.Equal(t, p.Ignored(), s.Ignored(), "%s: %s", how, body)
		if err != nil {
			continue
		}
		require.Equal(t, p.OnlyMembers(), s.OnlyMembers(), "%s: %s", how, body)
		require.Equal(t, p.Members(), s.Members(), "%s: %s", how, body)
		one, other := decode(t, typ, `{"displayName":"g","externalId":"x"}`), decode(t, typ, `{"displayName":"g","externalId":"x"}`)
		require.Equal(t, p.Apply(one), s.Apply(other), "%s: %s", how, body)
		require.Equal(t, frozen(one), frozen(other), "%s: %s", how, body)
		require.Equal(t, p.Fired(), s.Fired(), "%s: %s", how, body)
	}
}
