package attr

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// prepared returns s as it is compared where case is ignored: RFC 7644
// sections 5 and 7.8 ask for the rules of PRECIS, which make full-width and
// half-width letters ordinary ones and compose letters with their accents (RFC
// 7613 section 3.2). What remains is case, which folding rune by rune takes
// care of.
func prepared(s string) string {
	for i := range len(s) {
		if s[i] >= firstMark {
			return prepare(s)
		}
	}
	return s
}

// firstMark is the first byte of U+0300 in UTF-8. The combining marks begin
// there, and all that is below is prepared.
const firstMark = 0xcc

func prepare(s string) string {
	if isPrepared(s) {
		return s
	}
	s = norm.NFC.String(width.Fold.String(s))
	// Some letters compose in lower case only.
	return norm.NFC.String(strings.Map(lower, s))
}

// isPrepared reports whether s has nothing to prepare. It may miss some, not
// the other way round.
func isPrepared(s string) bool {
	if norm.NFC.QuickSpanString(s) < len(s) {
		return false
	}
	for _, r := range s {
		switch {
		case r < '\u0300':
		case r == '\u3000' || r >= '\uff00' && r <= '\uffef': // another width
			return false
		case unicode.Is(unicode.M, r) || r == utf8.RuneError:
			return false
		}
	}
	return true
}

// lower returns the lower case of the runes that fold as r does, if it is one
// of them: "İ" does not become "i". A mark stays one.
func lower(r rune) rune {
	const subscript = '\u0345' // folds as iota does
	f := FoldRune(r)
	if l := unicode.ToLower(f); r != subscript && FoldRune(l) == f {
		return l
	}
	return r
}
