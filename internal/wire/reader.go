// Package wire reads JSON as SCIM needs it: token by token over a body that is
// already in memory, strings as views of that body, depth bounded, U+0000
// refused in every string; and it writes strings. It is the one place that knows which JSON library is used.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// A SyntaxError says why a body is not acceptable JSON, in words that may be
// sent to the client.
type SyntaxError struct{ Detail string }

func (e *SyntaxError) Error() string { return e.Detail }

// Kind is the first byte of a JSON value: '{', '[', '"', '0', 't', 'f', 'n';
// '}' and ']' where an object or array ends; 0 where there is none.
type Kind byte

// DefaultDepth is how deep values may nest where a Reader was given no bound.
const DefaultDepth = 32

// Duplicate names are found by the callers, who know what a name means: two
// spellings of one attribute are duplicates to them, and to nobody else.
var options = jsontext.AllowDuplicateNames(true)

// A Reader reads one JSON text. Strings it returns without escapes are views
// of the text given to Reset and live as long as that does.
type Reader struct {
	dec   jsontext.Decoder
	buf   bytes.Buffer
	depth int
	level int
	plain bool
}

// Reset makes r read body, whose values may nest depth levels (0 means
// DefaultDepth). The body must not change while strings of it are in use.
func (r *Reader) Reset(body []byte, depth int) {
	if depth == 0 {
		depth = DefaultDepth
	}
	r.buf = *bytes.NewBuffer(body)
	r.dec.Reset(&r.buf, options)
	r.depth, r.level, r.plain = depth, 0, false
}

// Kind reports what comes next without reading it.
func (r *Reader) Kind() Kind { return Kind(r.dec.PeekKind()) }

// Begin reads the '{' or '[' that opens a value.
func (r *Reader) Begin() error {
	if r.level++; r.level > r.depth {
		return &SyntaxError{"the JSON nests deeper than " + strconv.Itoa(r.depth) + " levels"}
	}
	_, err := r.dec.ReadToken()
	return explain(err)
}

// More reports whether the open object or array has another member. It is
// false also where the text is broken; End then returns the error.
func (r *Reader) More() bool {
	kind := r.Kind()
	return kind != '}' && kind != ']' && kind != 0
}

// End reads the '}' or ']' that closes a value.
func (r *Reader) End() error {
	r.level--
	_, err := r.dec.ReadToken()
	return explain(err)
}

// String reads a string or a name.
func (r *Reader) String() (string, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return "", explain(err)
	}
	if v[0] != '"' {
		return "", &SyntaxError{"a JSON string was expected"}
	}
	inner := v[1 : len(v)-1]
	if r.plain = bytes.IndexByte(inner, '\\') < 0; r.plain {
		return unsafe.String(unsafe.SliceData(inner), len(inner)), nil
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", explain(err)
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return "", errNUL
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), nil
}

// Plain reports whether the string read last stands in the body without
// escapes, so that [AppendPlain] writes it as it was.
func (r *Reader) Plain() bool { return r.plain }

// Scalar reads a number, true, false or null as it is spelled.
func (r *Reader) Scalar() (string, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return "", explain(err)
	}
	return unsafe.String(unsafe.SliceData(v), len(v)), nil
}

// Raw reads a whole value and returns its bytes, a view of the body. Its depth
// is checked by whoever reads it again.
func (r *Reader) Raw() ([]byte, error) {
	v, err := r.dec.ReadValue()
	if err == nil && hasNUL(v) {
		return nil, errNUL
	}
	return v, explain(err)
}

var errNUL = &SyntaxError{"a string contains U+0000, which is not accepted"}

// hasNUL reports whether a string in the JSON value contains U+0000, which
// stands there as an escape or not at all.
func hasNUL(v []byte) bool {
	const escape = `\u0000`
	for {
		at := bytes.Index(v, []byte(escape))
		if at < 0 {
			return false
		}
		before := at // the backslashes before it; an odd one escapes that of the escape
		for before > 0 && v[before-1] == '\\' {
			before--
		}
		if (at-before)%2 == 0 {
			return true
		}
		v = v[at+len(escape):]
	}
}

// Skip reads a whole value and forgets it; the bound on depth holds here too.
func (r *Reader) Skip() error {
	switch r.dec.PeekKind() {
	case '{', '[':
	default:
		_, err := r.Raw()
		return err
	}
	for open := 0; ; {
		switch r.dec.PeekKind() {
		case '{', '[':
			if err := r.Begin(); err != nil {
				return err
			}
			open++
		case '}', ']':
			if err := r.End(); err != nil {
				return err
			}
			if open--; open == 0 {
				return nil
			}
		default:
			if _, err := r.Raw(); err != nil {
				return err
			}
		}
	}
}

// Close checks that nothing but white space follows.
func (r *Reader) Close() error {
	_, err := r.dec.ReadToken()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		return &SyntaxError{"something follows the JSON value"}
	}
	return explain(err)
}

// explain turns an error of the JSON library into one that may be sent.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntax):
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return &SyntaxError{"the JSON ends too early"}
		}
		detail := "no valid JSON"
		if syntax.Err != nil {
			detail = strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")
		}
		return &SyntaxError{fmt.Sprintf("%s, at byte %d", detail, syntax.ByteOffset)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &SyntaxError{"the JSON ends too early"}
	}
	return &SyntaxError{"no valid JSON"}
}
