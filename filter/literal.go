package filter

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
)

// LiteralKind is the type of a [Literal].
type LiteralKind uint8

// The kinds of literals. They follow the attribute that is compared, not the
// spelling: a string in quotes is a Time where the attribute is a dateTime.
const (
	Null   LiteralKind = iota
	Bool               // of a boolean
	Number             // of an integer or decimal
	Text               // of a string or reference
	Time               // of a dateTime
	Octets             // of a binary, in base64
)

// A Literal is the right side of a comparison, prepared for the attribute on
// the left. It is immutable; the zero Literal is null.
type Literal struct {
	kind   LiteralKind
	text   string
	folded string
	number decimal
	time   time.Time
}

// Kind returns the literal's type.
func (l Literal) Kind() LiteralKind { return l.kind }

// IsNull reports whether the literal is null.
func (l Literal) IsNull() bool { return l.kind == Null }

// Text returns the literal as [attr.Value.Text] returns values: a string
// without quotes and escapes, otherwise the JSON. It is empty for null.
func (l Literal) Text() string { return l.text }

// Folded returns the text of a [Text] literal as it is compared: by [attr.Fold]
// where the attribute is not caseExact, else as it is.
func (l Literal) Folded() string { return l.folded }

// Bool reports whether the literal is true.
func (l Literal) Bool() bool { return l.kind == Bool && l.text == "true" }

// Int returns the value of a [Number] that is an integer of 64 bits.
func (l Literal) Int() (n int64, ok bool) {
	if l.kind != Number {
		return 0, false
	}
	return l.number.int()
}

// Float returns the value of a [Number], rounded.
func (l Literal) Float() float64 { return l.number.float }

// Time returns the instant of a [Time], in UTC.
func (l Literal) Time() time.Time { return l.time }

// String returns the literal as a filter spells it, in JSON.
func (l Literal) String() string { return string(l.append(nil)) }

func (l Literal) append(b []byte) []byte {
	switch l.kind {
	case Text, Time, Octets:
		b, _ = wire.AppendString(b, l.text)
		return b
	case Bool, Number:
		return append(b, l.text...)
	case Null:
	}
	return append(b, "null"...)
}

func textLiteral(s string, exact bool) Literal {
	l := Literal{kind: Text, text: s, folded: s}
	if !exact {
		l.folded = attr.Fold(s)
	}
	return l
}

func boolLiteral(b bool) Literal {
	return Literal{kind: Bool, text: strconv.FormatBool(b)}
}

// compare reads the literal that stands at p.at and makes it one of the type of
// a, or of its sub-attribute "value".
func (p *parser) compare(a *attr.Attribute, op Op) (Expr, error) {
	at := p.at
	raw, quoted, err := p.literal()
	if err != nil {
		return nil, err
	}
	null := !quoted && isKeyword(raw, "null")
	if null && op != Eq && op != Ne {
		return nil, p.error(at, "null has only eq and ne, not ", op.String())
	}
	if null && a != p.of {
		return &Compare{Attr: a, Op: op}, nil
	}
	if a.Kind == attr.Complex {
		value := a.ValueSub()
		if value == nil || value.Kind == attr.Complex || a.Extension {
			return nil, p.error(at, a.Path(), " is complex and cannot be compared; compare one of its sub-attributes (RFC 7644 section 3.4.2.2)")
		}
		if a, err = p.visible(value, at); err != nil {
			return nil, err
		}
	}
	c := &Compare{Attr: a, Op: op}
	if !null {
		c.Value, err = p.resolve(a, op, raw, quoted, at)
	}
	if err != nil {
		return nil, err
	}
	if again, ok := p.decoded(c); ok {
		return &Or{c, again}, nil
	}
	return c, nil
}

// decoded returns the equality with its text percent-decoded once more, if it
// may have been encoded twice (quirk 85). Such a text can also be meant as it
// is, so the one reading is added to the other.
func (p *parser) decoded(c *Compare) (*Compare, bool) {
	if !p.query || p.depth < 1 || c.Op != Eq || c.Value.kind != Text || !encoded(c.Value.text) || !p.allow.Has(attr.DoubleEncoded) {
		return nil, false
	}
	text, err := url.PathUnescape(c.Value.text)
	if err != nil || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, false
	}
	p.fired |= attr.DoubleEncoded
	return &Compare{Attr: c.Attr, Op: Eq, Value: textLiteral(text, c.Attr.CaseExact)}, true
}

// resolve makes a literal, which stands at at, one of the type of a.
func (p *parser) resolve(a *attr.Attribute, op Op, raw string, quoted bool, at int) (Literal, error) {
	if a.Textual() && !quoted && !p.unquoted(raw) {
		return Literal{}, p.error(at, a.Path(), " is of type ", a.Kind.String(), ", not ", describe(raw, quoted), "; write the value in double quotes (RFC 7644 section 3.4.2.2)")
	}
	switch a.Kind {
	case attr.String, attr.Reference:
		return textLiteral(raw, a.CaseExact), nil
	case attr.Boolean:
		if op != Eq && op != Ne {
			return Literal{}, p.unordered(a, op, at)
		}
		if b, ok := attr.ParseBool(raw); ok && (!quoted || p.tolerate(attr.StringBoolean)) {
			return boolLiteral(b), nil
		}
		return Literal{}, p.error(at, a.Path(), " is of type boolean, not ", describe(raw, quoted), "; write true or false without quotes")
	case attr.Integer, attr.Decimal:
		if op.partial() {
			return Literal{}, p.unordered(a, op, at)
		}
		if number, ok := parseDecimal(raw); ok && !quoted {
			if a.Kind == attr.Decimal && math.IsInf(number.float, 0) {
				return Literal{}, p.error(at, a.Path(), " is a decimal of 64 bits; the number is too large")
			}
			return Literal{kind: Number, text: raw, number: number}, nil
		}
		return Literal{}, p.error(at, a.Path(), " is of type ", a.Kind.String(), ", not ", describe(raw, quoted), "; write a number without quotes")
	case attr.DateTime:
		if op.partial() {
			return Literal{}, p.unordered(a, op, at)
		}
		if t, ok := attr.ParseTime(raw); ok {
			return Literal{kind: Time, text: raw, time: t.UTC()}, nil
		}
		return Literal{}, p.error(at, a.Path(), " is of type dateTime, not ", describe(raw, quoted), `; write one such as "2011-05-13T04:42:34Z"`)
	case attr.Binary:
		if op != Eq && op != Ne {
			return Literal{}, p.unordered(a, op, at)
		}
		if isBase64(raw) {
			return Literal{kind: Octets, text: raw}, nil
		}
		return Literal{}, p.error(at, a.Path(), " is of type binary; write the value in base64 (RFC 7643 section 2.3.6)")
	case attr.Complex:
	}
	return Literal{}, p.error(at, a.Path(), " cannot be compared")
}

// unquoted reports whether a word may be taken for a string. A word with
// percent signs or quotes was rather meant to be decoded once more.
func (p *parser) unquoted(word string) bool {
	return !strings.ContainsAny(word, `"'`) && !encoded(word) && p.tolerate(attr.UnquotedLiteral)
}

func (p *parser) unordered(a *attr.Attribute, op Op, at int) error {
	return p.error(at, a.Path(), " is of type ", a.Kind.String(), ", which has no operator ", op.String(), " (RFC 7644 section 3.4.2.2)")
}

func describe(raw string, quoted bool) string {
	switch _, number := parseDecimal(raw); {
	case quoted:
		return "the string " + attr.Quote(raw)
	case isKeyword(raw, "true"), isKeyword(raw, "false"):
		return "a boolean"
	case number && len(raw) <= 32:
		return "the number " + raw
	}
	return attr.Quote(raw)
}

// literal reads a JSON string, whose text it returns, or a word: everything up
// to white space or what closes a group.
func (p *parser) literal() (raw string, quoted bool, err error) {
	if p.sees('"') {
		raw, err = p.string()
		return raw, true, err
	}
	start := p.at
	for p.at < len(p.text) && !isSpace(p.text[p.at]) && p.text[p.at] != ')' && p.text[p.at] != ']' {
		if c := p.text[p.at]; c < 0x20 {
			return "", false, p.error(p.at, "a control character cannot stand here")
		}
		p.at++
	}
	if p.at == start {
		return "", false, p.error(start, "a value is expected, not ", p.found(start))
	}
	return p.text[start:p.at], false, nil
}

// string reads a JSON string, RFC 8259 section 7.
func (p *parser) string() (string, error) {
	open := p.at
	p.at++
	start := p.at
	var b []byte // what precedes start, where there were escapes
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '"':
			s := p.text[start:p.at]
			p.at++
			if b == nil {
				return s, nil
			}
			return string(append(b, s...)), nil
		case c < 0x20:
			return "", p.error(p.at, "a control character in a string must be escaped (RFC 8259 section 7)")
		case c == '\\':
			b = append(b, p.text[start:p.at]...)
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b = utf8.AppendRune(b, r)
			start = p.at
		default:
			p.at++
		}
	}
	return "", p.error(open, "the string is not closed; a quote inside of it is written \\\"")
}

// escape reads the escape sequence at p.at.
func (p *parser) escape() (rune, error) {
	at := p.at
	if at+1 < len(p.text) {
		p.at += 2
		switch c := p.text[at+1]; c {
		case '"', '\\', '/':
			return rune(c), nil
		case 'b':
			return '\b', nil
		case 'f':
			return '\f', nil
		case 'n':
			return '\n', nil
		case 'r':
			return '\r', nil
		case 't':
			return '\t', nil
		case 'u':
			return p.unicode(at)
		}
	}
	return 0, p.error(at, "unknown escape sequence; a backslash itself is written \\\\ (RFC 8259 section 7)")
}

// unicode reads the digits of the escape \uXXXX that began at at, and the
// second half of a surrogate pair.
func (p *parser) unicode(at int) (rune, error) {
	r, ok := p.hex4()
	switch {
	case !ok:
		return 0, p.error(at, "four hexadecimal digits are expected behind \\u (RFC 8259 section 7)")
	case r == 0:
		return 0, p.error(at, "a string contains U+0000, which is not accepted")
	case !utf16.IsSurrogate(r):
		return r, nil
	}
	if strings.HasPrefix(p.text[p.at:], `\u`) {
		p.at += 2
		if low, ok := p.hex4(); ok {
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, nil
			}
		}
	}
	return 0, p.error(at, "half of a surrogate pair is no character (RFC 8259 section 8.2)")
}

func (p *parser) hex4() (rune, bool) {
	if p.at+4 > len(p.text) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(p.text[p.at : p.at+4]) {
		switch {
		case !isHex(c):
			return 0, false
		case c <= '9':
			r = r<<4 | rune(c-'0')
		default:
			r = r<<4 | rune(c|0x20-'a'+10)
		}
	}
	p.at += 4
	return r, true
}

func isBase64(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		switch c := standardAlphabet(s[i]); {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return len(s)%4 != 1
}
