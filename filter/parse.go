package filter

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/muster-id/scim/attr"
)

// The bounds where [Options] has none.
const (
	DefaultDepth  = 32
	DefaultLength = 8192
)

// Options says what is read beyond the grammar, and bounds it.
type Options struct {
	// Lenience are the tolerances that are on. Looked at are
	// [attr.ValuePathFilter], [attr.UnquotedLiteral], [attr.DoubleEncoded],
	// [attr.ShortExtensionPath] and [attr.StringBoolean].
	Lenience attr.Lenience
	Depth    int // nesting of parentheses and brackets; 0 means DefaultDepth
	Length   int // in bytes; 0 means DefaultLength

	// Elsewhere reports whether an attribute that the type does not have, given
	// by its path, is one of another type that the filter is about too. It is
	// then read as one without value (RFC 7644 section 3.4.2.1) instead of
	// being refused. nil: there are no other types.
	Elsewhere func(path string) bool
}

// ErrUnknown is wrapped by the error for an attribute that the type does not
// have, so that callers may answer it in their own way. An unknown attribute
// must not make a filter match everything.
var ErrUnknown = errors.New("filter: unknown attribute")

// unknownError is an [*attr.Error] that is also [ErrUnknown].
type unknownError struct{ err *attr.Error }

func (e *unknownError) Error() string   { return e.err.Error() }
func (e *unknownError) Unwrap() []error { return []error{e.err, ErrUnknown} }

// Parse reads a filter of RFC 7644 section 3.4.2.2 and resolves its attributes
// and literals for the type. Keywords are read in any case, white space may
// stand around parentheses and brackets.
//
// The error is an [*attr.Error] to [errors.As], of the type invalidFilter, that
// names position, attribute, rule and remedy; it wraps [ErrUnknown] where the
// type has no such attribute. fired are the tolerances that were needed.
//
// Attributes whose values a client may not see (returned "never", writeOnly, or
// forgotten such as the password) are refused, as a filter would tell them bit
// by bit.
func Parse(s string, t *attr.Type, o Options) (e Expr, fired attr.Lenience, err error) {
	p, err := newParser(s, t, o, attr.InvalidFilter)
	if err != nil {
		return nil, 0, err
	}
	p.query = true
	e, err = p.filter()
	if err == nil {
		return e, p.fired, nil
	}
	if o.Lenience.Has(attr.DoubleEncoded) && encoded(s) {
		// PathUnescape, since a plus sign stood for a space only in the outer
		// encoding, which is gone.
		if decoded, bad := url.PathUnescape(s); bad == nil {
			o.Lenience &^= attr.DoubleEncoded
			if e, fired, bad := Parse(decoded, t, o); bad == nil {
				return e, fired | attr.DoubleEncoded, nil
			}
		}
	}
	return nil, 0, err
}

// encoded reports whether s has a percent-encoded byte.
func encoded(s string) bool {
	for {
		_, after, ok := strings.Cut(s, "%")
		if !ok {
			return false
		}
		if len(after) >= 2 && isHex(after[0]) && isHex(after[1]) {
			return true
		}
		s = after
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

// A parser reads one text by recursive descent: or, and, operand, comparison.
// It recurses only where the text nests, so depth bounds the stack.
type parser struct {
	text  string
	at    int
	typ   *attr.Type
	allow attr.Lenience
	fired attr.Lenience
	depth int             // levels that may still be opened
	of    *attr.Attribute // in brackets: the attribute before them
	kind  attr.ErrorType
	what  string // "filter" or "path", for errors
	query bool   // a filter that came in a URL

	elsewhere func(path string) bool // Options.Elsewhere
	absent    bool                   // in brackets behind an attribute that is elsewhere
}

func newParser(s string, t *attr.Type, o Options, kind attr.ErrorType) (*parser, error) {
	p := &parser{text: s, typ: t, allow: o.Lenience, depth: o.Depth, kind: kind, what: "filter", elsewhere: o.Elsewhere}
	if kind == attr.InvalidPath {
		p.what = "path"
	}
	if p.depth == 0 {
		p.depth = DefaultDepth
	}
	most := o.Length
	if most == 0 {
		most = DefaultLength
	}
	switch {
	case len(s) > most:
		return nil, &attr.Error{Type: kind, Detail: "the " + p.what + " is longer than " + strconv.Itoa(most) + " bytes"}
	case !utf8.ValidString(s):
		return nil, &attr.Error{Type: kind, Detail: "the " + p.what + " is not valid UTF-8"}
	}
	return p, nil
}

func (p *parser) error(at int, parts ...string) *attr.Error {
	return &attr.Error{Type: p.kind, Detail: "at position " + strconv.Itoa(at+1) + " of the " + p.what + ": " + strings.Join(parts, "")}
}

// tolerate reports whether the tolerance is on, and notes that it was needed.
func (p *parser) tolerate(what attr.Lenience) bool {
	if !p.allow.Has(what) {
		return false
	}
	p.fired |= what
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipped returns where the white space at i ends.
func (p *parser) skipped(i int) int {
	for i < len(p.text) && isSpace(p.text[i]) {
		i++
	}
	return i
}

// wordAt returns what stands at i up to white space or punctuation. URNs, with
// their colons and dots, are words.
func (p *parser) wordAt(i int) string {
	end := i
	for end < len(p.text) {
		switch c := p.text[end]; {
		case isSpace(c), c == '(', c == ')', c == '[', c == ']', c == '"':
			return p.text[i:end]
		}
		end++
	}
	return p.text[i:]
}

// sees reports whether c is what comes next.
func (p *parser) sees(c byte) bool { return p.at < len(p.text) && p.text[p.at] == c }

// found describes what stands at i, for errors.
func (p *parser) found(i int) string {
	if i >= len(p.text) {
		return "the end"
	}
	if word := p.wordAt(i); word != "" {
		return attr.Quote(word)
	}
	return attr.Quote(p.text[i : i+1])
}

// isKeyword compares as RFC 7644 section 3.4.2.2 wants it, without case. The
// length keeps out letters that only Unicode folds to ASCII.
func isKeyword(s, keyword string) bool {
	return len(s) == len(keyword) && strings.EqualFold(s, keyword)
}

// filter reads the whole text as a filter.
func (p *parser) filter() (Expr, error) {
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.at = p.skipped(p.at); p.at < len(p.text) {
		return nil, p.error(p.at, `"and", "or" or the end is expected, not `, p.found(p.at), "; a string is written in double quotes (RFC 7644 section 3.4.2.2)")
	}
	return e, nil
}

func (p *parser) or() (Expr, error) {
	left, err := p.and()
	if err != nil {
		return nil, err
	}
	for p.logical("or") {
		right, err := p.and()
		if err != nil {
			return nil, err
		}
		left = &Or{left, right}
	}
	return left, nil
}

func (p *parser) and() (Expr, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	for p.logical("and") {
		right, err := p.operand()
		if err != nil {
			return nil, err
		}
		left = &And{left, right}
	}
	return left, nil
}

// logical reads the keyword with the white space around it, if it is there.
func (p *parser) logical(keyword string) bool {
	at := p.skipped(p.at)
	end := at + len(keyword)
	if at == p.at || !isKeyword(p.wordAt(at), keyword) || end == p.skipped(end) {
		return false
	}
	p.at = end
	return true
}

func (p *parser) operand() (Expr, error) {
	p.at = p.skipped(p.at)
	if p.sees('(') {
		return p.group()
	}
	word := p.wordAt(p.at)
	if isKeyword(word, "not") {
		if at := p.skipped(p.at + len(word)); at < len(p.text) && p.text[at] == '(' {
			p.at = at
			e, err := p.group()
			if err != nil {
				return nil, err
			}
			return &Not{e}, nil
		}
	}
	if word == "" {
		return nil, p.error(p.at, "an attribute is expected, not ", p.found(p.at), " (RFC 7644 section 3.4.2.2)")
	}
	if p.isElsewhere(word) {
		return p.withoutValue(word)
	}
	a, err := p.attribute(word)
	if err != nil {
		return nil, err
	}
	if a, err = p.visible(a, p.at); err != nil {
		return nil, err
	}
	p.at += len(word)
	if p.sees('[') {
		return p.valuePath(a)
	}
	return p.comparison(a)
}

// group reads an expression in parentheses.
func (p *parser) group() (Expr, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	e, err := p.or()
	if err != nil {
		return nil, err
	}
	return e, p.close(')')
}

func (p *parser) open() error {
	if p.depth <= 0 {
		return p.error(p.at, "the ", p.what, " nests too deep; write it flatter")
	}
	p.depth--
	p.at++
	return nil
}

func (p *parser) close(c byte) error {
	p.at = p.skipped(p.at)
	if !p.sees(c) {
		return p.error(p.at, `"and", "or" or "`, string(c), `" is expected, not `, p.found(p.at), " (RFC 7644 section 3.4.2.2)")
	}
	p.depth++
	p.at++
	return nil
}

// attribute resolves the name that stands at p.at.
func (p *parser) attribute(name string) (*attr.Attribute, error) {
	if p.of != nil {
		return p.sub(p.of, name, p.at)
	}
	a, fired := p.typ.Lookup(name, p.allow)
	if a == nil {
		first, second, dotted := strings.Cut(name, ".")
		path := isName(first) && (!dotted || isName(second)) || strings.HasPrefix(strings.ToLower(name), "urn:")
		return nil, p.unknown(path, p.at, p.typ.Name, "attribute", name)
	}
	p.fired |= fired
	return a, nil
}

// sub resolves the name of a sub-attribute, which stands at at.
func (p *parser) sub(of *attr.Attribute, name string, at int) (*attr.Attribute, error) {
	if a := of.Sub(name); a != nil {
		return a, nil
	}
	return nil, p.unknown(isName(name), at, of.Path(), "sub-attribute", name)
}

// unknown says that owner has no such attribute. What could not be the path of
// one is an error of syntax and not [ErrUnknown], lest it be ignored as one.
func (p *parser) unknown(path bool, at int, owner, what, name string) error {
	switch {
	case path:
		return &unknownError{p.error(at, owner, " has no ", what, " ", attr.Quote(name), "; /Schemas lists what there is")}
	case isKeyword(name, "not"):
		return p.error(at, `"not" must be followed by parentheses (RFC 7644 section 3.4.2.2)`)
	}
	return p.error(at, attr.Quote(name), " is not the name of an attribute (RFC 7644 section 3.4.2.2)")
}

// isName reports whether s can name an attribute: the ATTRNAME of RFC 7644
// section 3.4.2.2 and the dollar sign of "$ref", but no keyword.
func isName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', c == '$' && i == 0:
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '_'):
		default:
			return false
		}
	}
	return s != "" && !isKeyword(s, "and") && !isKeyword(s, "or") && !isKeyword(s, "not")
}

// visible returns a if a client may learn its values.
func (p *parser) visible(a *attr.Attribute, at int) (*attr.Attribute, error) {
	for up := a; up != nil; up = up.Parent {
		if hidden(up) {
			return nil, p.error(at, a.Path(), " is never returned and so cannot be filtered by")
		}
	}
	return a, nil
}

func hidden(a *attr.Attribute) bool {
	return a.Returned == attr.Never || a.Mutability == attr.WriteOnly || a.Dropped
}

// brackets reads the filter of a value path, from the opening bracket to the
// closing one.
func (p *parser) brackets(a *attr.Attribute) (Expr, error) {
	switch {
	case p.of != nil:
		return nil, p.error(p.at, "a value path cannot stand in the brackets of another (RFC 7644 section 3.4.2.2)")
	case a.Kind != attr.Complex || a.Extension:
		return nil, p.error(p.at, a.Path(), " is not a complex attribute, so nothing can be selected from it in brackets (RFC 7644 section 3.4.2.2)")
	}
	if err := p.open(); err != nil {
		return nil, err
	}
	p.of = a
	e, err := p.or()
	p.of = nil
	if err != nil {
		return nil, err
	}
	return e, p.close(']')
}

// valuePath reads a value path whose attribute has been read, and what
// providers put behind it: emails[type eq "work"].value eq "x".
func (p *parser) valuePath(a *attr.Attribute) (Expr, error) {
	start := p.at
	e, err := p.brackets(a)
	if err != nil {
		return nil, err
	}
	behind := p.at
	compared := a
	switch {
	case p.sees('.'):
		name := p.wordAt(p.at + 1)
		if compared, err = p.sub(a, name, p.at+1); err != nil {
			return nil, err
		}
		if compared, err = p.visible(compared, p.at+1); err != nil {
			return nil, err
		}
		p.at += 1 + len(name)
	case !p.seesComparison():
		return &ValuePath{a, e}, nil
	}
	if !p.tolerate(attr.ValuePathFilter) {
		return nil, p.error(behind, "nothing can be compared behind the brackets; move it into them: ",
			a.Path(), `[… and value eq "…"] (RFC 7644 section 3.4.2.2)`)
	}
	p.of = a
	and, err := p.comparison(compared)
	p.of = nil
	if err != nil {
		return nil, err
	}
	if p.depth < 2 && (isOr(e) || isOr(and)) {
		// Written as it means, in the brackets, it would need parentheses.
		return nil, p.error(start, "the filter nests too deep; write it flatter")
	}
	if compared == a {
		if _, ok := and.(*Present); ok { // emails[type eq "work"] pr
			return &ValuePath{a, e}, nil
		}
	}
	return &ValuePath{a, &And{e, and}}, nil
}

func isOr(e Expr) bool {
	_, ok := e.(*Or)
	return ok
}

// seesComparison reports whether an operator comes next.
func (p *parser) seesComparison() bool {
	at := p.skipped(p.at)
	if at == p.at {
		return false
	}
	word := p.wordAt(at)
	_, ok := opNamed(word)
	return ok || isKeyword(word, "pr")
}

// comparison reads operator and literal behind the attribute a.
func (p *parser) comparison(a *attr.Attribute) (Expr, error) {
	op, present, err := p.operator(a, "")
	if err != nil {
		return nil, err
	}
	if present {
		return &Present{a}, nil
	}
	return p.compare(a, op)
}

// operator reads the operator behind an attribute, and the space before a
// literal; present reports that it was pr, which has none. a is nil for an
// attribute that the type does not have: path is its name.
func (p *parser) operator(a *attr.Attribute, path string) (op Op, present bool, err error) {
	at := p.skipped(p.at)
	word := p.wordAt(at)
	if at == p.at || word == "" {
		if a != nil {
			path = a.Path()
		}
		return 0, false, p.error(p.at, "a space and an operator are expected behind ", path, ", not ", p.found(at), ": pr, eq, ne, co, sw, ew, gt, ge, lt or le")
	}
	behind := at + len(word)
	if isKeyword(word, "pr") {
		p.at = behind
		return 0, true, nil
	}
	op, ok := opNamed(word)
	if !ok {
		return 0, false, p.error(at, "the operator ", attr.Quote(word), " is not supported; use pr, eq, ne, co, sw, ew, gt, ge, lt or le (RFC 7644 section 3.4.2.2)")
	}
	if p.at = p.skipped(behind); p.at == behind || p.at == len(p.text) {
		return 0, false, p.error(behind, "a space and a value are expected behind ", attr.Quote(word), ", not ", p.found(behind))
	}
	return op, false, nil
}
