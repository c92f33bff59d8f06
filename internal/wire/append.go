package wire

import "unicode/utf8"

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string in its shortest form: only what RFC
// 8259 requires is escaped, invalid UTF-8 becomes U+FFFD. It reports whether
// the text between the quotes differs from s.
func AppendString(b []byte, s string) (_ []byte, escaped bool) {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
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
