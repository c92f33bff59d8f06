package attr_test

import (
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"

	"github.com/muster-id/scim/attr"
)

// The orbit of every rune has one representative, and nothing else has it.
func TestFoldRuneOrbits(t *testing.T) {
	owner := map[rune]rune{} // the smallest rune of the orbit, by representative
	for r := rune(0); r <= unicode.MaxRune; r++ {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		folded := attr.FoldRune(r)
		if first, ok := owner[folded]; ok {
			if first != least {
				t.Fatalf("%U and %U are folded to %U", first, least, folded)
			}
		} else {
			owner[folded] = least
		}
		if attr.FoldRune(folded) != folded {
			t.Fatalf("%U: %U is not folded", r, folded)
		}
		if least < utf8.RuneSelf && unicode.IsLetter(least) && (folded < 'a' || folded > 'z') {
			t.Fatalf("%U is folded to %U, not to a lower-case ASCII letter", r, folded)
		}
	}
}

func TestFold(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "abc 123": "abc 123", "BJensen@Example.com": "bjensen@example.com", "\u212Aelvin": "kelvin", "\u017Fharp": "sharp",
		"ÄÖ": "ÄÖ", "äö": "ÄÖ", "ΣΑΣ": "ΣΑΣ", "σας": "ΣΑΣ", "Straße": "stra\u00DFe", "İ": "İ", "ı": "ı", "\xffA": "\uFFFDa", "日本": "日本",
	} {
		require.Equal(t, want, attr.Fold(s), s)
	}
	require.False(t, attr.EqualFold("STRASSE", attr.Fold("straße")), "simple folding keeps the length in runes")
}

// randomText has letters of orbits of two, three and four runes, invalid bytes
// and neighbours, few enough that texts meet.
func randomText(r *rand.Rand, most int) string {
	pieces := []string{
		"a", "A", "b", "k", "K", "\u212A", "s", "S", "\u017F", "ß", "\u1E9E", "Σ", "σ", "ς", "é", "É", "\u01C4", "\u01C5", "\u01C6", "İ", "ı", "i", "I",
		"\u0301", "\u030C", "\u0308", "\u0345", "α", "ι", "Ι", "J", "ǰ", "Å", "\u212B", "ａ", "Ａ", "ｶ", "ﾞ", "\u1100", "\u1161", "가",
		"\U00010400", "\U00010428", "\xff", "\xc3", "\xe2\x84", "\xed\xa0\x80", "\uFFFD", "\x00", "日", "😀",
	}
	var b strings.Builder
	for range r.IntN(most + 1) {
		if r.IntN(20) == 0 {
			b.WriteRune(rune(r.IntN(unicode.MaxRune)))
		} else {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
	}
	return b.String()
}

func TestFoldAgainstNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(7643, 7644))
	for range 30_000 {
		s := randomText(r, 6)
		u := randomText(r, 3)
		if r.IntN(3) == 0 {
			u = strings.ToUpper(s[r.IntN(len(s)+1):])
		}
		checkFold(t, s, u)
	}
}

// checkFold holds the functions that fold while they compare against the
// standard library and against folding first.
func checkFold(t *testing.T, s, u string) {
	t.Helper()
	fs, fu := attr.Fold(s), attr.Fold(u)
	fail := func(what string, got, want any) {
		if got != want {
			t.Fatalf("%s(%q, %q): %v, want %v", what, s, u, got, want)
		}
	}
	if isOrdinary(s) && isOrdinary(u) {
		fail("Fold equality", fs == fu, strings.EqualFold(s, u))
		fail("Fold and EqualFold", strings.EqualFold(s, fs), true)
	}
	fail("Fold twice", attr.Fold(fs), fs)
	fail("AppendFold", string(attr.AppendFold([]byte("x"), s)), "x"+fs)
	fail("EqualFold", attr.EqualFold(s, fu), fs == fu)
	if utf8.ValidString(s) {
		fail("Fold of the decomposed", attr.Fold(norm.NFD.String(s)), fs)
		fail("Fold of the composed", attr.Fold(norm.NFC.String(s)), fs)
		fail("Fold of the narrow", attr.Fold(width.Fold.String(s)), fs)
	}
	fail("HasPrefixFold", attr.HasPrefixFold(s, fu), strings.HasPrefix(fs, fu))
	fail("HasSuffixFold", attr.HasSuffixFold(s, fu), strings.HasSuffix(fs, fu))
	fail("ContainsFold", attr.ContainsFold(s, fu), strings.Contains(fs, fu))
	fail("CompareFold", cmp.Compare(attr.CompareFold(s, fu), 0), strings.Compare(fs, fu))
	fail("CompareFold, other way", cmp.Compare(attr.CompareFold(u, fs), 0), strings.Compare(fu, fs))
}

// isOrdinary reports whether s has nothing that is compared otherwise than by
// case.
func isOrdinary(s string) bool {
	return norm.NFC.IsNormalString(s) && width.Fold.String(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.M, r) })
}

// Searching a long text for a long one must not take the product of their lengths.
func TestContainsFoldLong(t *testing.T) {
	s := strings.Repeat("Aé", 100_000)
	part := attr.Fold(strings.Repeat("aÉ", 10_000))
	require.True(t, attr.ContainsFold(s, part))
	require.False(t, attr.ContainsFold(s, part+"b"))
	require.True(t, attr.ContainsFold(s+"B", part+"b"))
}

func FuzzFold(f *testing.F) {
	for _, seed := range [][2]string{{"", ""}, {"Straße", "STRASSE"}, {"\u212A", "k"}, {"σας", "ΣΑΣ"}, {"\xff\xc3", "\uFFFD"}, {"bjensen@example.com", "JENSEN"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(checkFold)
}
