package attr_test

import (
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/muster-id/scim/attr"
)

// RFC 7644 sections 5 and 7.8, RFC 7613 section 3.2: what is written in another
// width or composed otherwise is the same.
func TestFoldPrepares(t *testing.T) {
	for _, same := range [][]string{
		{"zoë", "zoe\u0308", "ZOË", "ZOE\u0308", "ｚｏë", "ＺＯＥ\u0308"},
		{"Ångström", "\u212Bngstro\u0308m", "A\u030Angström"},
		{"ế", "Ế", "ê\u0301", "e\u0302\u0301", "E\u0302\u0301"},
		{"ǰ", "j\u030C", "J\u030C"},
		{"ΐ", "ι\u0308\u0301", "Ι\u0308\u0301", "ϊ\u0301", "Ϊ\u0301"},
		{"ᾳ", "ᾼ", "α\u0345", "Α\u0345"},
		{"한글", "\u1112\u1161\u11AB\u1100\u1173\u11AF"},
		{"ガス", "ｶﾞｽ"},
		{"a b", "a\u3000b"},
	} {
		for _, s := range same {
			require.Equal(t, attr.Fold(same[0]), attr.Fold(s), "%q and %q", same[0], s)
			require.True(t, attr.EqualFold(s, attr.Fold(same[0])), "%q and %q", same[0], s)
		}
	}
	for _, other := range [][2]string{{"zoë", "zoe"}, {"zoë", "zoé"}, {"İ", "i"}, {"ı", "i"}, {"ß", "ss"}, {"αι", "ᾳ"}, {"ﬁ", "fi"}, {"а", "a"}, {"²", "2"}} {
		require.NotEqual(t, attr.Fold(other[0]), attr.Fold(other[1]), "%q and %q", other[0], other[1])
	}
	// A letter with its accent is one, so it does not begin with the letter.
	require.False(t, attr.HasPrefixFold("e\u0301a", attr.Fold("e")))
	require.True(t, attr.HasPrefixFold("E\u0301a", attr.Fold("é")))
	require.True(t, attr.HasSuffixFold("ae\u0301", attr.Fold("É")))
	require.True(t, attr.ContainsFold("ae\u0301b", attr.Fold("AÉ")))
	require.Zero(t, attr.CompareFold("ae\u0301", attr.Fold("AÉ")))
	require.True(t, attr.HasPrefixFold("Αικατερίνη", attr.Fold("αι")))
}

// Every cased letter with every accent that letters have: folding does not
// depend on how it is written, and folding again changes nothing.
func TestFoldPreparesEveryLetter(t *testing.T) {
	marks := []string{"", "\u0300", "\u0301", "\u0304", "\u0307", "\u0308", "\u030C", "\u0323", "\u0345", "\u0308\u0301", "\u0301\u0308", "\u0345\u0301"}
	for r := range unicode.MaxRune {
		if !unicode.IsUpper(r) && !unicode.IsLower(r) && !unicode.IsTitle(r) {
			continue
		}
		for _, mark := range marks {
			s := string(r) + mark
			folded := attr.Fold(s)
			for _, same := range []string{norm.NFD.String(s), norm.NFC.String(s), folded} {
				if got := attr.Fold(same); got != folded {
					t.Fatalf("%+q is folded to %+q, %+q to %+q", s, folded, same, got)
				}
			}
		}
	}
}

// Text that has nothing to prepare takes no memory to compare, in whatever
// script it is.
func TestPreparingDoesNotAllocate(t *testing.T) {
	for _, s := range []string{"ada@example.com", "Zoë Ångström", "Ζωή", "Зоя", "ゾエ", "佐伊", "조에"} {
		folded := attr.Fold(s)
		require.Zero(t, testing.AllocsPerRun(10, func() {
			_ = attr.EqualFold(s, folded)
			_ = attr.ContainsFold(s, folded)
			_ = attr.CompareFold(s, folded)
		}), s)
	}
}
