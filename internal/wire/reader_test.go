package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// read reads any value by the Reader's methods and writes it without white space.
func read(r *Reader, b *strings.Builder) error {
	kind := r.Kind()
	b.WriteByte(byte(kind))
	switch kind {
	case '{', '[':
		if err := r.Begin(); err != nil {
			return err
		}
		for r.More() {
			if kind == '{' {
				name, err := r.String()
				if err != nil {
					return err
				}
				b.WriteString(name)
			}
			if err := read(r, b); err != nil {
				return err
			}
		}
		return r.End()
	case '"':
		s, err := r.String()
		b.WriteString(s)
		return err
	case 't', 'f', 'n', '0':
		s, err := r.Scalar()
		b.WriteString(s)
		return err
	}
	return r.Skip()
}

const sample = ` { "a" : [ 1 , -2.50e+3 , true , false , null ] , "b\n" : { "c" : "d\u00e9" , "e" : { } } , "f" : [ ] } `

func TestReaderReadsAllKinds(t *testing.T) {
	var r Reader
	r.Reset([]byte(sample), 0)
	var b strings.Builder
	require.NoError(t, read(&r, &b))
	require.NoError(t, r.Close())
	require.Equal(t, "{a[010-2.50e+3ttrueffalsennullb\n{c\"dée{f[", b.String())
}

// Strings without escapes are views of the body; others are not.
func TestStringsAreViews(t *testing.T) {
	body := []byte(`["plain é","esc\u0061ped",12]`)
	var r Reader
	r.Reset(body, 0)
	require.False(t, r.Plain())
	require.NoError(t, r.Begin())
	plain, err := r.String()
	require.NoError(t, err)
	require.True(t, r.Plain())
	require.Same(t, &body[2], unsafe.StringData(plain))
	escaped, err := r.String()
	require.NoError(t, err)
	require.False(t, r.Plain())
	number, err := r.Scalar()
	require.NoError(t, err)
	require.NoError(t, r.End())
	require.NoError(t, r.Close())
	for i := range body {
		body[i] = '#'
	}
	require.Equal(t, "escaped", escaped)
	require.Equal(t, "##", number)
}

func TestReaderRaw(t *testing.T) {
	var r Reader
	r.Reset([]byte(`{"value": {"a": [1, {}]}, "path": "x"}`), 0)
	require.NoError(t, r.Begin())
	name, err := r.String()
	require.NoError(t, err)
	require.Equal(t, "value", name)
	raw, err := r.Raw()
	require.NoError(t, err)
	require.Equal(t, `{"a": [1, {}]}`, string(raw))
	require.True(t, r.More())
	require.NoError(t, r.Skip())
	require.NoError(t, r.Skip())
	require.False(t, r.More())
	require.NoError(t, r.End())
	require.NoError(t, r.Close())

	r.Reset([]byte(`[`), 0)
	_, err = r.Raw()
	requireSyntax(t, err, "too early")
}

func requireSyntax(t *testing.T, err error, says string) {
	t.Helper()
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Contains(t, syntax.Detail, says)
	require.NotContains(t, syntax.Detail, "jsontext")
	require.Equal(t, syntax.Detail, err.Error())
}

func TestReaderErrors(t *testing.T) {
	for _, c := range []struct{ body, says string }{
		{``, "too early"},
		{` `, "too early"},
		{`{`, "too early"},
		{`{"a"`, "too early"},
		{`{"a":`, "too early"},
		{`"a`, "too early"},
		{`tru`, "too early"},
		{`[1,]`, "at byte 2"},
		{`{"a" 1}`, "at byte 5"},
		{`{1:1}`, "name"},
		{`[01]`, "at byte 2"},
		{"[\"\xff\"]", "UTF-8"},
		{`["\ud800"]`, "at byte"},
		{`["\u0000"]`, "U+0000"},
		{`{"\u0000":1}`, "U+0000"},
		{`}`, "at byte 0"},
		{`[}`, "at byte 1"},
		{`{} {}`, "something follows"},
		{`{} x`, "at byte 3"},
		{`x`, "at byte 0"},
	} {
		var r Reader
		r.Reset([]byte(c.body), 0)
		var b strings.Builder
		err := read(&r, &b)
		if err == nil {
			err = r.Close()
		}
		requireSyntax(t, err, c.says)
	}
	var r Reader
	for _, body := range []string{`1`, `{"a":"b"}`, `["a"]`, `null`} {
		r.Reset([]byte(body), 0)
		_, err := r.String()
		requireSyntax(t, err, "string was expected")
	}
	r.Reset([]byte(`1`), 0)
	requireSyntax(t, r.Close(), "something follows")
	_, err := r.Scalar()
	requireSyntax(t, err, "")
	requireSyntax(t, explain(errors.New("disk on fire")), "no valid JSON")
}

// The bound on depth holds for what is read and for what is skipped; a Reader
// is as good as new after Reset.
func TestReaderDepth(t *testing.T) {
	var r Reader
	for _, depth := range []int{0, 1, 2, 33, 5000} {
		bound := depth
		if bound == 0 {
			bound = DefaultDepth
		}
		for _, levels := range []int{bound, bound + 1, 10_000, 1_000_000} {
			for _, body := range []string{
				strings.Repeat("[", levels) + strings.Repeat("]", levels),
				strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels),
			} {
				var b strings.Builder
				r.Reset([]byte(body), depth)
				errRead := read(&r, &b)
				r.Reset([]byte(body), depth)
				errSkip := r.Skip()
				if levels <= bound {
					require.NoError(t, errRead)
					require.NoError(t, errSkip)
					require.NoError(t, r.Close())
				} else {
					requireSyntax(t, errRead, "deeper than")
					requireSyntax(t, errSkip, "deeper than")
				}
			}
		}
	}
	// Levels beside each other are not deep.
	r.Reset([]byte("["+strings.Repeat(`[{}],`, 1000)+"[]]"), 3)
	require.NoError(t, r.Skip())
	require.NoError(t, r.Close())
}

// FuzzReader: a text is read and skipped whole, or refused, as encoding/json
// does, bad Unicode and U+0000 apart.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{sample, ``, `{`, `[1,2`, `"\ud800"`, `{"a":1,"a":2}`, `nul`, `[[[[]]]]`, "\xff", `{"a":"\u0000"}`, `-0`, `1e`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var r Reader
		var b strings.Builder
		r.Reset(body, 100)
		err := read(&r, &b)
		if err == nil {
			err = r.Close()
		}
		r.Reset(body, 100)
		skip := r.Skip()
		if skip == nil {
			skip = r.Close()
		}
		for _, e := range []error{err, skip} {
			if syntax := (*SyntaxError)(nil); e != nil && (!errors.As(e, &syntax) || syntax.Detail == "") {
				t.Fatalf("%T %v", e, e)
			}
		}
		if skip != nil && err == nil {
			t.Fatalf("read, but not skipped: %v", skip)
		}
		if err != nil && skip == nil {
			t.Fatalf("skipped, but not read: %v", err)
		}
		if skip == nil && !json.Valid(body) {
			t.Fatalf("encoding/json says that is not valid: %q", body)
		}
	})
}

// Rule E3: U+0000 is refused in any string, also in one that nobody reads.
func TestReaderRefusesNUL(t *testing.T) {
	for _, c := range []struct {
		text string // between quotes
		nul  bool
	}{
		{`\u0000`, true},
		{`a\u0000b`, true},
		{`\\\u0000`, true},
		{`\\u0000\u0000`, true},
		{`\\\\\u0000`, true},
		{`\"\u0000`, true},
		{`\u0000\u0000`, true},
		{``, false},
		{`\\u0000`, false},
		{`u0000`, false},
		{`\u0001`, false},
		{`\\\\u0000`, false},
		{`\\u0000\\u0000`, false},
		{`\u00001`, true},
	} {
		for _, body := range []string{`"%"`, `["%"]`, `{"%":1}`, `{"a":"%"}`, `{"a":[{"b":["x",{"c":"%"}]}]}`} {
			body = strings.ReplaceAll(body, "%", c.text)
			for name, pass := range map[string]func(r *Reader) error{
				"read": func(r *Reader) error { return read(r, new(strings.Builder)) },
				"skip": (*Reader).Skip,
				"raw":  func(r *Reader) error { _, err := r.Raw(); return err },
			} {
				var r Reader
				r.Reset([]byte(body), 0)
				err := pass(&r)
				if c.nul {
					requireSyntax(t, err, "U+0000")
				} else {
					require.NoError(t, err, "%s %s", name, body)
				}
			}
		}
	}
}
