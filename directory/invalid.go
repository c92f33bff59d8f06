package directory

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An InvalidError tells all that is wrong with what was to be saved, so that a
// form can show it at once.
type InvalidError struct {
	What     string    // directory, token or domain
	Problems []Problem // at least one
}

// A Problem is one thing wrong with what was to be saved.
type Problem struct {
	Field  string // such as name or policy.freeRole
	Detail string // a sentence for the administrator
}

// Error returns all problems in one line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("directory: " + e.What + ": ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Field + ": " + p.Detail)
	}
	return b.String()
}

// problems gather while something is checked.
type problems []Problem

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

// text checks a text that people see.
func (p *problems) text(field, s string, most int) {
	switch {
	case len(s) > most:
		p.add(field, "it has %d bytes; %d are the most", len(s), most)
	case !isText(s):
		p.add(field, "it has characters that cannot be shown")
	}
}

// name checks what is part of every key.
func (p *problems) name(field, s string, most int) {
	if s == "" {
		p.add(field, "it is empty")
		return
	}
	p.text(field, s, most)
}

// err returns an [*InvalidError], or nil.
func (p problems) err(what string) error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{what, p}
}

// isText reports whether s can be stored and shown anywhere.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }) < 0
}

// quoted lists names for people.
func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = strconv.Quote(n)
	}
	return strings.Join(q, ", ")
}
