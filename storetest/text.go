package storetest

import (
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/muster-id/scim/attr"
)

// awkward are texts that mean something to a database, to JSON, or to a
// careless comparison.
var awkward = []string{
	"plain", "Plain", "PLAIN", "plain ", " plain", "pl ain", "plain\t",
	"%", "_", "%%", "a%b", "aXb", "a_b", "a\\%b", "a\\b", "a\\\\b", "\\", `\u0041`, `\x41`, `\n`,
	"'", "''", `"`, `""`, "`", "''; DROP TABLE resources; --", `'"\`, "a'b", `a"b`, "$1", "?", ":name", "@p1", "$$a$$", "--", "/* */", ";",
	"{}", "[]", "null", "NULL", "true", "0", "00", "1e3", "1000", "NaN", "", "{\"a\":\"b\"}", "</script>", "<b>&amp;", "a/b", `a\/b`,
	"*", ".*", "[a-z]", "^a", "a$", "(", "a|b",
	"\x01", "\x1f", "\x7f", "\n", "\r\n", "a\tb", "\u0085", "\u00a0", "\u2028", "\u2029", "\ufeff", "\ufffd", "\uffff", "\u200b",
	"é", "e\u0301", "É", "straße", "STRASSE", "STRAẞE", "ﬁ", "FI", "Kay", "\u212aay", "ſam", "SAM", "σας", "ΣΑΣ", "ΣΑς",
	"İ", "i", "ı", "I", "ｆｕｌｌ", "full", "ǆ", "ǅ", "Ǆ", "ά", "Ά", "\u0345", "ι", "Ω", "Ω", "Å", "Å",
	"😀", "👩‍👩‍👧", "𐐀", "𐐨", "日本語", "עברית", "العربية", "a\u0300\u0301", "\U0010ffff", "\U0001f3fb",
}

// large is a text of n bytes that no two numbers have in common.
func large(n, number int) string {
	unit := strings.Repeat("lorem ipsum 'dolor' % ", number+1) + "É\\\"_"
	return strings.Repeat(unit, n/len(unit)+1)[:n/len(unit)*len(unit)]
}

// orbits returns texts in pairs: of each pair the second is the first with
// every letter in another case. Together they have all letters of Unicode that
// have one.
func orbits() (pairs [][2]string) {
	const letters = 96 // of a text
	var a, b strings.Builder
	n := 0
	flush := func() {
		if n > 0 {
			pairs = append(pairs, [2]string{a.String(), b.String()})
		}
		a.Reset()
		b.Reset()
		n = 0
	}
	for r := rune(1); r <= unicode.MaxRune; r++ {
		next := unicode.SimpleFold(r)
		if next == r || next == 0 || attr.Fold(string(r)) != attr.Fold(string(next)) {
			continue
		}
		a.WriteRune(r)
		b.WriteRune(next)
		if n++; n == letters {
			flush()
		}
	}
	flush()
	return pairs
}

// everyRune returns texts that have every code point of the first plane that a
// text can have, and some of each other plane.
func everyRune() (texts []string) {
	const runes = 4096 // of a text
	var b strings.Builder
	n := 0
	for r := rune(1); r <= unicode.MaxRune; r++ {
		if utf16.IsSurrogate(r) {
			continue
		}
		b.WriteRune(r)
		if n++; n == runes {
			texts = append(texts, b.String())
			b.Reset()
			n = 0
		}
		if r >= 0xffff {
			r += 96
		}
	}
	return append(texts, b.String())
}
