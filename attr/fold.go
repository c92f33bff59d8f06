package attr

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Fold returns s in the form in which strings that differ only in case, in the
// width of letters or in how accents are put on them are equal (RFC 7644
// sections 5 and 7.8): prepared, every rune becomes the representative of its
// orbit under [unicode.SimpleFold]. For strings without combining marks and
// full-width letters Fold(a) == Fold(b) if and only if strings.EqualFold(a, b).
// A store that compares folded strings byte by byte compares as the in-memory
// matcher does.
func Fold(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.Map(FoldRune, prepared(s))
		}
	}
	return s
}

// AppendFold appends Fold(s).
func AppendFold(b []byte, s string) []byte {
	for _, r := range prepared(s) {
		b = utf8.AppendRune(b, FoldRune(r))
	}
	return b
}

// FoldRune returns the representative of r's case-folding orbit: the lower-case
// letter where the orbit has an ASCII one, else the smallest rune, which is no
// combining mark.
func FoldRune(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	switch {
	case 'A' <= least && least <= 'Z':
		return least + 'a' - 'A'
	case least == '\u0345': // a mark that shares its orbit with iota
		return 'ι'
	}
	return least
}

// HasPrefixFold reports whether s begins with the folded string prefix, case
// ignored.
func HasPrefixFold(s, prefix string) bool {
	_, ok := cutPrefixFold(s, prefix)
	return ok
}

// HasSuffixFold reports whether s ends with the folded string suffix, case
// ignored.
func HasSuffixFold(s, suffix string) bool {
	whole, all := s, suffix
	for len(suffix) > 0 {
		want, n := utf8.DecodeLastRuneInString(suffix)
		got, m := utf8.DecodeLastRuneInString(s)
		if got >= utf8.RuneSelf && whole != "" {
			s, suffix, whole = prepared(whole), all, ""
			continue
		}
		if m == 0 || FoldRune(got) != want {
			return false
		}
		s, suffix = s[:len(s)-m], suffix[:len(suffix)-n]
	}
	return true
}

// ContainsFold reports whether s contains the folded string part, case ignored.
func ContainsFold(s, part string) bool {
	s = prepared(s)
	if len(s) > 1024 && len(part) > 32 {
		// Trying every place takes the product of both lengths.
		return strings.Contains(Fold(s), part)
	}
	for {
		if _, ok := cutPreparedFold(s, part); ok {
			return true
		}
		if s == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
}

// CompareFold orders s and the folded string t by their folded runes.
func CompareFold(s, t string) int {
	s = prepared(s)
	for s != "" && t != "" {
		a, n := utf8.DecodeRuneInString(s)
		b, m := utf8.DecodeRuneInString(t)
		if a = FoldRune(a); a != b {
			if a < b {
				return -1
			}
			return 1
		}
		s, t = s[n:], t[m:]
	}
	return len(s) - len(t)
}

// EqualFold reports whether s and the folded string t are equal, case ignored.
func EqualFold(s, t string) bool {
	rest, ok := cutPrefixFold(s, t)
	return ok && rest == ""
}

// cutPrefixFold looks at all of s only where preparing it could change what it
// has compared: most strings differ before that.
func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	whole, all := s, prefix
	for prefix != "" {
		if s == "" {
			return "", false
		}
		c, p := s[0], prefix[0]
		if c >= utf8.RuneSelf || p >= utf8.RuneSelf {
			return cutPreparedFold(prepared(whole), all)
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != p {
			return "", false // an accent behind c would not make it p
		}
		s, prefix = s[1:], prefix[1:]
	}
	if s != "" && s[0] >= firstMark {
		return cutPreparedFold(prepared(whole), all)
	}
	return s, true
}

// cutPreparedFold is of a string that is prepared.
func cutPreparedFold(s, prefix string) (rest string, ok bool) {
	for prefix != "" {
		if s == "" {
			return "", false
		}
		if c, p := s[0], prefix[0]; c < utf8.RuneSelf && p < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != p {
				return "", false
			}
			s, prefix = s[1:], prefix[1:]
			continue
		}
		want, n := utf8.DecodeRuneInString(prefix)
		got, m := utf8.DecodeRuneInString(s)
		if FoldRune(got) != want {
			return "", false
		}
		s, prefix = s[m:], prefix[n:]
	}
	return s, true
}
