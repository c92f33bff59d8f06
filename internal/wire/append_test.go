package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// RFC 8259 section 7: only what must be escaped is.
func TestAppendString(t *testing.T) {
	for s, want := range map[string]string{
		"": `""`, "abc": `"abc"`, "é😀\u2028\x7f/<>&": "\"é😀\u2028\x7f/<>&\"",
		`"`: `"\""`, `\`: `"\\"`, "\b\f\n\r\t": `"\b\f\n\r\t"`, "\x00\x01\x1f": `"\u0000\u0001\u001f"`,
		"a\"b": `"a\"b"`, "\xff": "\"\uFFFD\"", "a\xc3": "\"a\uFFFD\"", "\xed\xa0\x80": "\"\uFFFD\uFFFD\uFFFD\"", "\uFFFD": "\"\uFFFD\"",
	} {
		got, escaped := AppendString([]byte("before"), s)
		require.Equal(t, "before"+want, string(got))
		require.Equal(t, want != `"`+s+`"`, escaped, want)
	}
}

func TestIsNumber(t *testing.T) {
	for _, s := range []string{"0", "-0", "1", "-12", "1.5", "0.5", "-0.0", "1e5", "1E5", "1e+5", "1e-05", "1.5E10", "10", "123456789012345678901234567890", "1e999999"} {
		require.True(t, IsNumber(s), s)
	}
	for _, s := range []string{
		"", "-", "+1", "01", "-01", "00", ".5", "1.", "1.e5", "1e", "1e+", "e5", "1e5.", "1.5.2", "--1", "1-", " 1", "1 ", "0x1", "1_0", "NaN", "Infinity", "1,5", "１", "1a", "0a",
	} {
		require.False(t, IsNumber(s), s)
	}
}

func TestUnquoteRefusesWhatIsNotQuoted(t *testing.T) {
	require.Equal(t, "a\nb", Unquote(`"a\nb"`))
	require.Panics(t, func() { Unquote(`a`) })
}

// FuzzAppend: what is written is read back, by this package and by encoding/json.
func FuzzAppend(f *testing.F) {
	for _, seed := range []string{"", "abc", "\"\\\n\x00", "é😀\xff", "1e5", "-0.5E+7", "\ud7ff\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, escaped := AppendString(nil, s)
		valid := strings.ToValidUTF8(s, "\uFFFD")
		if !utf8.ValidString(s) {
			valid = string([]rune(s)) // every byte that is not UTF-8 for itself
		}
		var read string
		if err := json.Unmarshal(b, &read); err != nil || read != valid {
			t.Fatalf("%q was written as %s and read as %q: %v", s, b, read, err)
		}
		if Unquote(string(b)) != valid {
			t.Fatalf("%q was written as %s and unquoted as %q", s, b, Unquote(string(b)))
		}
		if plain := string(AppendPlain(nil, s)) == string(b); plain == escaped {
			t.Fatalf("%q: escaped is %t", s, escaped)
		}
		var number json.Number
		if want := json.Unmarshal([]byte(s), &number) == nil && s == number.String() && s != "" && s != "null"; IsNumber(s) != want {
			t.Fatalf("IsNumber(%q) is %t", s, !want)
		}
	})
}
