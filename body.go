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

// readBody reads the request's body, or prepares it to be read, bounded.
func (x *exchange) readBody(t *ResourceType) (requestBody, error) {
	limit := x.engine.cfg.Limits.Body
	if t.IsGroup() {
		limit = x.engine.cfg.Limits.GroupBody
	}
	if x.r.ContentLength > limit {
		return requestBody{}, tooLarge(limit)
	}
	x.limited = boundedReader{r: x.r.Body, limit: limit, left: limit}
	if x.r.Body == nil {
		x.limited.r = http.NoBody
	}
	if t.IsGroup() {
		return requestBody{stream: &x.limited}, nil
	}
	x.body.Reset()
	if x.r.ContentLength > 0 {
		// What the client announces is believed up to a point: it costs it
		// nothing to announce more than it sends.
		x.body.Grow(int(min(x.r.ContentLength, keepBuffer)) + bytes.MinRead)
	}
	_, err := x.body.ReadFrom(&x.limited)
	return requestBody{held: x.body.Bytes()}, err
}

// A boundedReader reads a body up to a limit. Its errors are those to answer,
// and stay once there is one.
type boundedReader struct {
	r           io.Reader
	limit, left int64
	err         error
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
		n, b.err = n-1, tooLarge(b.limit)
	case err == nil || err == io.EOF:
		b.err = err
	default:
		b.err = brokenOff(err)
	}
	return n, b.err
}

func brokenOff(err error) error {
	var maximum *http.MaxBytesError
	if errors.As(err, &maximum) {
		return tooLarge(maximum.Limit)
	}
	return &Error{Status: http.StatusBadRequest, Type: InvalidSyntax, Detail: "the request body could not be read to its end; send it again", Err: err}
}

func tooLarge(limit int64) error {
	return refuse(http.StatusRequestEntityTooLarge, "", "the request body is larger than ", strconv.FormatInt(limit, 10), " bytes; send less in one request")
}
