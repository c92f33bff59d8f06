package scim

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// A requestBody is what a request sends: held, where it is small enough to be
// worked on as a whole, or else a stream. A group is one, because of its members.
// A stream is read before anything is locked: who sends slowly makes nobody wait.
type requestBody struct {
	held   []byte
	stream io.Reader // of a type with members
}

// bodyOf returns a body that was part of another one.
func bodyOf(t *ResourceType, data []byte) requestBody {
	if t.IsGroup() {
		return requestBody{stream: bytes.NewReader(data)}
	}
	return requestBody{held: data}
}

// readBody reads the request's body, or prepares it to be read, bounded.
func (x *exchange) readBody(t *ResourceType) (requestBody, error) {
	if t.IsGroup() {
		err := x.openBody(x.engine.cfg.Limits.GroupBody)
		return requestBody{stream: &x.limited}, err
	}
	held, err := x.holdBody(&x.body, x.engine.cfg.Limits.Body)
	return requestBody{held: held}, err
}

// holdBody reads the request's body, limit bytes at most.
func (x *exchange) holdBody(into *bytes.Buffer, limit int64) ([]byte, error) {
	if err := x.openBody(limit); err != nil {
		return nil, err
	}
	into.Reset()
	if x.r.ContentLength > 0 {
		// What the client announces is believed up to a point: it costs it
		// nothing to announce more than it sends.
		into.Grow(int(min(x.r.ContentLength, keepBuffer)) + bytes.MinRead)
	}
	_, err := into.ReadFrom(&x.limited)
	return into.Bytes(), err
}

// openBody prepares x.limited to read the request's body.
func (x *exchange) openBody(limit int64) error {
	x.limited = boundedReader{r: x.r.Body, limit: limit, left: limit, bulk: x.route.kind == bulkEndpoint}
	if x.r.ContentLength > limit {
		return x.limited.tooLarge(limit)
	}
	if x.r.Body == nil {
		x.limited.r = http.NoBody
	}
	return nil
}

// A boundedReader reads a body up to a limit. Its errors are those to answer,
// and stay once there is one.
type boundedReader struct {
	r           io.Reader
	limit, left int64
	err         error
	bulk        bool
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left { // one byte more tells whether there is more
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		n, b.err = n-1, b.tooLarge(b.limit)
	case err == nil || err == io.EOF:
		b.err = err
	default:
		b.err = b.brokenOff(err)
	}
	return n, b.err
}

func (b *boundedReader) brokenOff(err error) error {
	var maximum *http.MaxBytesError
	if errors.As(err, &maximum) {
		return b.tooLarge(maximum.Limit)
	}
	return &Error{Status: http.StatusBadRequest, Type: InvalidSyntax, Detail: "the request body could not be read to its end; send it again", Reason: ReasonSyntax, Err: err}
}

func (b *boundedReader) tooLarge(limit int64) error {
	bytes := strconv.FormatInt(limit, 10)
	if b.bulk {
		return refuse(http.StatusRequestEntityTooLarge, "", "the bulk request is larger than the maxPayloadSize (", bytes,
			" bytes); send its operations in several requests, RFC 7644 section 3.7.4")
	}
	return refuse(http.StatusRequestEntityTooLarge, "", "the request body is larger than ", bytes, " bytes; send less in one request")
}
