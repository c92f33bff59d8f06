package patch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/patch"
)

const (
	machineURN = "urn:example:2.0:Machine"
	leaseURN   = "urn:example:extension:2.0:Lease"
)

// machines is a type with something unwritable in every place.
func machines(t testing.TB) *attr.Type {
	t.Helper()
	text := func(name string, mutability schema.AttributeMutability) schema.SimpleParams {
		return schema.SimpleStringParams(schema.StringParams{Name: name, Mutability: mutability})
	}
	free, readOnly, immutable := schema.AttributeMutabilityReadWrite(), schema.AttributeMutabilityReadOnly(), schema.AttributeMutabilityImmutable()
	list := func(name string, mutability schema.AttributeMutability) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: name, Mutability: mutability, MultiValued: true}))
	}
	complexOf := func(name string, multi bool, mutability schema.AttributeMutability, subs ...schema.SimpleParams) schema.CoreAttribute {
		return schema.ComplexCoreAttribute(schema.ComplexParams{Name: name, MultiValued: multi, Mutability: mutability, SubAttributes: subs})
	}
	typ, err := attr.NewType("Machine", "/Machines", "", schema.Schema{ID: machineURN, Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(text("label", free)),
		schema.SimpleCoreAttribute(text("state", readOnly)),
		schema.SimpleCoreAttribute(text("serial", immutable)),
		list("log", readOnly),
		list("makers", immutable),
		complexOf("owner", false, free, text("value", free), text("role", free), text("name", readOnly)),
		complexOf("place", false, free, text("room", free), text("code", readOnly)),
		complexOf("board", false, free, text("value", immutable), text("slot", free), text("vendor", readOnly)),
		complexOf("case", false, immutable, text("form", free), text("weight", readOnly)),
		complexOf("disks", true, free, text("value", free), text("type", free), text("label", free), text("bay", immutable), text("health", readOnly)),
		complexOf("cards", true, free, text("slot", free), text("note", free), text("driver", readOnly)),
	}}, attr.Extension{Schema: schema.Schema{ID: leaseURN, Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(text("value", free)),
		schema.SimpleCoreAttribute(text("until", readOnly)),
		schema.SimpleCoreAttribute(text("from", immutable)),
		complexOf("bank", false, free, text("value", free), text("name", readOnly)),
	}}})
	require.NoError(t, err)
	return typ
}

// replace returns what a machine becomes by a PUT.
func replace(t testing.TB, typ *attr.Type, before, sent string) (string, error) {
	t.Helper()
	was, d := attr.NewDoc(typ), attr.NewDoc(typ)
	defer was.Release()
	defer d.Release()
	require.NoError(t, was.DecodeStored([]byte(before)), before)
	stored := was.Freeze()
	require.NoError(t, d.Decode([]byte(sent), attr.Lenient, attr.Limits{}), sent)
	if err := patch.Keep(d, stored.Value()); err != nil {
		return "", err
	}
	after := d.Freeze()
	return after.JSON(), nil
}

// RFC 7644 section 3.5.1: what a client cannot write stays, what it leaves out
// goes.
func TestRFC7644Section3_5_1Keep(t *testing.T) {
	t.Parallel()
	typ := machines(t)
	for _, c := range []struct{ name, before, sent, after string }{
		{"what is left out is cleared", `{"label":"a"}`, `{}`, `{}`},
		{"readOnly: any value is ignored", `{"state":"on","log":["a","b"]}`, `{"state":"off","log":[],"label":"x"}`, `{"label":"x","state":"on","log":["a","b"]}`},
		{"readOnly: none is ignored too", `{}`, `{"state":"off","log":["x"]}`, `{}`},
		{"immutable: left out it stays", `{"serial":"S","makers":["a","b"]}`, `{}`, `{"serial":"S","makers":["a","b"]}`},
		{"immutable: the same value in another order", `{"makers":["a","b"]}`, `{"makers":["b","a"]}`, `{"makers":["a","b"]}`},
		{"immutable: the first value is applied", `{}`, `{"serial":"S","makers":["a"]}`, `{"serial":"S","makers":["a"]}`},
		{"immutable complex: a client cannot send what is read-only in it", `{"case":{"form":"1U","weight":"9"}}`, `{"case":{"form":"1U"}}`, `{"case":{"form":"1U","weight":"9"}}`},
		{"immutable complex: left out", `{"case":{"form":"1U","weight":"9"}}`, `{}`, `{"case":{"form":"1U","weight":"9"}}`},

		{"the same value is described as before", `{"owner":{"value":"1","role":"r","name":"Ada"}}`, `{"owner":{"value":"1","name":"x"}}`, `{"owner":{"value":"1","name":"Ada"}}`},
		{"another value is not", `{"owner":{"value":"1","name":"Ada"}}`, `{"owner":{"value":"2"}}`, `{"owner":{"value":"2"}}`},
		{"nor what has lost its value", `{"owner":{"value":"1","name":"Ada"}}`, `{"owner":{"role":"r"}}`, `{"owner":{"role":"r"}}`},
		{"a complex attribute left out goes whole", `{"owner":{"value":"1","name":"Ada"},"place":{"room":"1","code":"c"}}`, `{}`, `{}`},
		{"and so does an empty one", `{"owner":{"value":"1","name":"Ada"}}`, `{"owner":{}}`, `{}`},
		{"without a value there is nothing to tell by", `{"place":{"room":"1","code":"c"}}`, `{"place":{"room":"2"}}`, `{"place":{"room":"2","code":"c"}}`},
		{"what is immutable in it stays, with its description", `{"board":{"value":"b","slot":"1","vendor":"v"}}`, `{}`, `{"board":{"value":"b","vendor":"v"}}`},
		{"where the rest is another too", `{"board":{"value":"b","slot":"1","vendor":"v"}}`, `{"board":{"slot":"2"}}`, `{"board":{"value":"b","slot":"2","vendor":"v"}}`},

		{
			"values keep what is theirs, in any order",
			`{"disks":[{"value":"a","bay":"1","health":"ok"},{"value":"b","type":"ssd","label":"x","bay":"2","health":"old"}]}`,
			`{"disks":[{"value":"b","type":"ssd","label":"y","health":"new"},{"value":"c"},{"value":"a","bay":"1"}]}`,
			`{"disks":[{"value":"b","type":"ssd","label":"y","bay":"2","health":"old"},{"value":"c"},{"value":"a","bay":"1","health":"ok"}]}`,
		},
		{
			"value and type tell first",
			`{"disks":[{"value":"a","type":"x","health":"1"},{"value":"a","type":"y","health":"2"}]}`,
			`{"disks":[{"value":"a","type":"y"},{"value":"a","type":"x"}]}`,
			`{"disks":[{"value":"a","type":"y","health":"2"},{"value":"a","type":"x","health":"1"}]}`,
		},
		{
			"then the value",
			`{"disks":[{"value":"a","type":"x","health":"1"},{"value":"a","type":"y","health":"2"}]}`,
			`{"disks":[{"value":"a","type":"z"},{"value":"a","type":"x"}]}`,
			`{"disks":[{"value":"a","type":"z","health":"2"},{"value":"a","type":"x","health":"1"}]}`,
		},
		{
			"each gives what it has once", `{"disks":[{"value":"a","health":"1"}]}`, `{"disks":[{"value":"a","type":"x"},{"value":"a","type":"y"}]}`,
			`{"disks":[{"value":"a","type":"x","health":"1"},{"value":"a","type":"y"}]}`,
		},
		{"a value that is left out goes, immutable or not", `{"disks":[{"value":"a","bay":"1","health":"1"},{"value":"b","bay":"2"}]}`, `{"disks":[{"value":"b"}]}`, `{"disks":[{"value":"b","bay":"2"}]}`},
		{"and the whole list", `{"disks":[{"value":"a","bay":"1"}],"cards":[{"slot":"1","driver":"d"}]}`, `{"disks":[]}`, `{}`},
		{
			"without value all that a client can send tells", `{"cards":[{"slot":"1","driver":"d"},{"slot":"2","note":"n","driver":"e"}]}`,
			`{"cards":[{"slot":"2","note":"n"},{"slot":"1","note":"n"}]}`, `{"cards":[{"slot":"2","note":"n","driver":"e"},{"slot":"1","note":"n"}]}`,
		},

		{"an extension left out keeps what cannot be written", `{"LEASE":{"value":"v","until":"u","from":"f","bank":{"value":"1","name":"n"}}}`, `{}`, `{"LEASE":{"until":"u","from":"f"}}`},
		{"and is gone where there is nothing of that", `{"LEASE":{"value":"v","bank":{"value":"1","name":"n"}}}`, `{}`, `{}`},
		{"an attribute of it called value is like any other", `{"LEASE":{"value":"v","until":"u"}}`, `{"LEASE":{"value":"w"}}`, `{"LEASE":{"value":"w","until":"u"}}`},
		{"below it as elsewhere", `{"LEASE":{"bank":{"value":"1","name":"n"}}}`, `{"LEASE":{"bank":{"value":"1"}}}`, `{"LEASE":{"bank":{"value":"1","name":"n"}}}`},
	} {
		whole := func(s string) string {
			s = strings.ReplaceAll(s, "LEASE", leaseURN)
			schemas := quote(machineURN)
			if strings.Contains(s, leaseURN) {
				schemas += "," + quote(leaseURN)
			}
			return strings.Replace(`{"schemas":[`+schemas+`],`+s[1:], ",}", "}", 1)
		}
		got, err := replace(t, typ, whole(c.before), whole(c.sent))
		require.NoError(t, err, c.name)
		require.JSONEq(t, whole(c.after), got, c.name)
		again, err := replace(t, typ, got, got)
		require.NoError(t, err, "%s: what was answered can be sent", c.name)
		require.Equal(t, got, again, "%s: and changes nothing", c.name)
	}
	for _, c := range []struct{ before, sent, names string }{
		{`{"serial":"S"}`, `{"serial":"s"}`, "serial"},
		{`{"makers":["a"]}`, `{"makers":["a","b"]}`, "makers"},
		{`{"case":{"form":"1U"}}`, `{"case":{"form":"2U"}}`, "case"},
		{`{"board":{"value":"b"}}`, `{"board":{"value":"c"}}`, "board.value"},
		{`{"disks":[{"value":"a","bay":"1"}]}`, `{"disks":[{"value":"a","bay":"2"}]}`, "disks.bay"},
	} {
		schemas := `{"schemas":[` + quote(machineURN) + `],`
		_, err := replace(t, typ, schemas+c.before[1:], schemas+c.sent[1:])
		requireError(t, err, attr.Mutable, c.names+" is immutable", "3.5.1")
	}
}

// The work is in proportion to the number of values.
func TestRFC7644Section3_5_1KeepIsLinear(t *testing.T) {
	t.Parallel()
	typ := machines(t)
	const many = 20_000
	var before, sent strings.Builder
	for i := range many {
		fmt.Fprintf(&before, `,{"value":"v%d","health":"h%d"}`, i, i)
		fmt.Fprintf(&sent, `,{"value":"v%d"}`, many-1-i)
	}
	whole := func(s string) string { return `{"schemas":[` + quote(machineURN) + `],"disks":[` + s[1:] + `]}` }
	after, err := replace(t, typ, whole(before.String()), whole(sent.String()))
	require.NoError(t, err)
	require.Equal(t, many, strings.Count(after, "health"))
	require.Contains(t, after, `"disks":[{"value":"v19999","health":"h19999"}`)
}

func quote(s string) string { return `"` + s + `"` }
