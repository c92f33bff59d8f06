// Package wire reads JSON as SCIM needs it: token by token, over a body that is
// already in memory, strings as views of that body, or over one that comes as a
// stream; depth bounded, U+0000 refused in every string. And it writes strings.
// It is the one place that knows which JSON library is used.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
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

// A Reader reads one JSON text. Of a text given to Reset, strings without
// escapes are views and live as long as it does; of a [Stream] they
// live until more is read, unless they are kept.
type Reader struct {
	dec   jsontext.Decoder
	body  []byte // given to Reset, and
	buf   bytes.Buffer
	depth int
	level int
	plain bool

	stream bool // made by Stream
	src    source
	kept   []byte // strings of a stream, in chunks; what is in use of the last one
}

// A source is what a stream comes from. It tells errors of reading from those
// of JSON.
type source struct {
	r    io.Reader
	most int // bytes it was asked for at once, which tells how far a buffer has grown

	copying bool
	copied  []byte // what was read while copying was set
}

type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (s *source) Read(p []byte) (int, error) {
	s.most = max(s.most, len(p))
	n, err := s.r.Read(p)
	if s.copying {
		s.copied = append(s.copied, p[:n]...)
	}
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// Reset makes r read body, whose values may nest depth levels (0 means
// DefaultDepth). The body must not change while strings of it are in use.
func (r *Reader) Reset(body []byte, depth int) {
	if depth == 0 {
		depth = DefaultDepth
	}
	r.body, r.buf = body, *bytes.NewBuffer(body)
	r.dec.Reset(&r.buf, options)
	r.depth, r.level, r.plain = depth, 0, false
}

var streams = sync.Pool{New: func() any { return new(Reader) }}

// Stream returns a Reader of what body returns, as it comes: no more of it is
// held than the largest string, number or [Reader.Raw] value, and what was kept.
// An error of body other than [io.EOF] is returned as it is. Release gives the
// Reader back; what it has returned stays.
func Stream(body io.Reader, depth int) *Reader {
	r := streams.Get().(*Reader)
	if depth == 0 {
		depth = DefaultDepth
	}
	r.src, r.stream = source{r: body}, true
	r.dec.Reset(&r.src, options)
	r.depth, r.level, r.plain = depth, 0, false
	return r
}

// Release gives back what Stream returned, unless its buffer has become larger
// than is worth keeping.
func (r *Reader) Release() {
	const most = 64 << 10
	if r.src.most > most {
		return
	}
	r.src, r.kept = source{}, nil
	streams.Put(r)
}

// Keep returns a string that stays, of one that String or Scalar has returned
// just now: of a stream, a copy.
func (r *Reader) Keep(s string) string {
	if r.stream {
		return r.keep(s)
	}
	return s
}

func (r *Reader) keep(s string) string {
	const chunk = 4 << 10
	if cap(r.kept)-len(r.kept) < len(s) {
		r.kept = make([]byte, 0, max(len(s), min(2*cap(r.kept), chunk), 64))
	}
	at := len(r.kept)
	r.kept = append(r.kept, s...)
	return unsafe.String(unsafe.SliceData(r.kept[at:]), len(s))
}

// Hold protects what was kept so far from Forget.
func (r *Reader) Hold() { r.kept = r.kept[len(r.kept):] }

// Forget lets strings that were kept since Hold be overwritten. It does nothing
// where strings are views.
func (r *Reader) Forget() { r.kept = r.kept[:0] }

// Level sets how many levels are open for the bound on depth, and returns how
// many were: a value inside another is read with a bound of its own.
func (r *Reader) Level(n int) (was int) {
	was, r.level = r.level, n
	return was
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

// String reads a string or a name. That of a stream is valid until r is used
// again, be it for [Reader.Kind]; Keep makes it stay.
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

// Scalar reads a number, true, false or null as it is spelled. It is valid as
// long as what String returns.
func (r *Reader) Scalar() (string, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return "", explain(err)
	}
	return unsafe.String(unsafe.SliceData(v), len(v)), nil
}

// Raw reads a whole value and returns its bytes, a view of the body or, of a
// stream, a copy. Its depth is checked by whoever reads it again.
func (r *Reader) Raw() ([]byte, error) {
	kind := r.dec.PeekKind()
	if kind != '{' && kind != '[' {
		v, err := r.dec.ReadValue()
		if err == nil && hasNUL(v) {
			return nil, errNUL
		}
		if r.stream && err == nil {
			v = bytes.Clone(v)
		}
		return v, explain(err)
	}
	// It is passed over token by token, so that the decoder's own buffer does not
	// grow with it. A comma, a colon, white space may stand before it.
	unread := r.dec.UnreadBuffer()
	before := bytes.IndexByte(unread, byte(kind))
	start := r.dec.InputOffset() + int64(before)
	text := r.body
	if r.stream {
		r.src.copied, r.src.copying = bytes.Clone(unread[before:]), true
	} else {
		text = text[start:]
	}
	err := r.dec.SkipValue()
	if r.stream {
		text = r.src.copied
		r.src.copied, r.src.copying = nil, false
	}
	if err != nil {
		return nil, explain(err)
	}
	length := r.dec.InputOffset() - start
	if text = text[:length:length]; hasNUL(text) {
		return nil, errNUL
	}
	return text, nil
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
		return r.skipSimple()
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
			if err := r.skipSimple(); err != nil {
				return err
			}
		}
	}
}

// skipSimple reads a value that is neither object nor array, or a name.
func (r *Reader) skipSimple() error {
	v, err := r.dec.ReadValue()
	if err == nil && hasNUL(v) {
		return errNUL
	}
	return explain(err)
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
	var failed *readError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.As(err, &failed):
		return failed.err
	case errors.As(err, &syntax):
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return &SyntaxError{"the JSON ends too early"}
		}
		detail := "no valid JSON"
		if syntax.Err != nil {
			detail = withoutExcerpt(strings.TrimPrefix(syntax.Err.Error(), "jsontext: "))
		}
		return &SyntaxError{fmt.Sprintf("%s, at byte %d", detail, syntax.ByteOffset)}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &SyntaxError{"the JSON ends too early"}
	}
	return &SyntaxError{"no valid JSON"}
}

// withoutExcerpt leaves out of an error what the JSON library quotes of the text,
// unless it is one plain character: how much it is depends on how much of a
// stream has come. The place is named by the byte.
func withoutExcerpt(detail string) string {
	for _, what := range []string{"invalid character ", "invalid escape sequence ", "invalid surrogate pair "} {
		rest, ok := strings.CutPrefix(detail, what)
		if !ok {
			continue
		}
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			continue
		}
		if text, err := strconv.Unquote(quoted); err != nil || len(text) > 1 || text >= "\x80" {
			return what + strings.TrimPrefix(rest[len(quoted):], " ")
		}
	}
	return detail
}
