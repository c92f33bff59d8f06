package attr

import (
	"strings"
	"unicode"
)

// ErrorType is a scimType of RFC 7644 section 3.12.
type ErrorType string

// The types that RFC 7644 section 3.12 defines.
const (
	InvalidFilter ErrorType = "invalidFilter"
	TooMany       ErrorType = "tooMany"
	Uniqueness    ErrorType = "uniqueness"
	Mutable       ErrorType = "mutability"
	InvalidSyntax ErrorType = "invalidSyntax"
	InvalidPath   ErrorType = "invalidPath"
	NoTarget      ErrorType = "noTarget"
	InvalidValue  ErrorType = "invalidValue"
	InvalidVers   ErrorType = "invalidVers"
	Sensitive     ErrorType = "sensitive"
)

// An Error says what is wrong with what a client sent: the rule of RFC 7644 it
// breaks and, in Detail, the attribute, the rule and the remedy. Everything in
// it may be sent to the client.
type Error struct {
	Type   ErrorType
	Detail string
}

func (e *Error) Error() string { return string(e.Type) + ": " + e.Detail }

// errorOf returns an Error of the given type. The parts are joined without
// separators, which keeps what a client sent out of a format string.
func errorOf(t ErrorType, parts ...string) *Error {
	return &Error{t, strings.Join(parts, "")}
}

// Quote shows a client's text in an error: shortened, on one line.
func Quote(s string) string {
	const most = 64
	short := s
	if len(short) > most {
		short = strings.ToValidUTF8(short[:most], "") + "…"
	}
	short = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(short, "\uFFFD"))
	return `"` + short + `"`
}
