package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const hex = "0123456789abcdef"

// plain has the bytes that stand in a JSON string for themselves, whatever
// comes next.
var plain = func() (table [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

// AppendString appends s as a JSON string in its shortest form: only what RFC
// 8259 requires is escaped, invalid UTF-8 becomes U+FFFD. It reports whether
// the text between the quotes differs from s.
func AppendString(b []byte, s string) (_ []byte, escaped bool) {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscape(b, c)
			i++
			start, escaped = i, true
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[start:i]...)
			b = append(b, "\uFFFD"...)
			i++
			start, escaped = i, true
			continue
		}
		i += n
	}
	b = append(b, s[start:]...)
	return append(b, '"'), escaped
}

// AppendPlain appends s, which [Reader.Plain] says needs no escapes, as a JSON
// string.
func AppendPlain(b []byte, s string) []byte {
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// Unquote returns the text of a JSON string that [AppendString] wrote.
func Unquote(quoted string) string {
	b, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		panic("wire: not a JSON string: " + quoted)
	}
	return string(b)
}

// IsNumber reports whether s is a JSON number, RFC 8259 section 6.
func IsNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	rest := skipDigits(s)
	if whole := len(s) - len(rest); whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		if rest = skipDigits(fraction); rest == fraction {
			return false
		}
	}
	if rest != "" && rest[0]|0x20 == 'e' {
		exponent := rest[1:]
		if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
			exponent = exponent[1:]
		}
		if rest = skipDigits(exponent); rest == exponent {
			return false
		}
	}
	return rest == ""
}

func skipDigits(s string) string {
	for s != "" && '0' <= s[0] && s[0] <= '9' {
		s = s[1:]
	}
	return s
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
