package filter

import (
	"strconv"
	"time"

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
