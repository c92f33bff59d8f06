package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
)

// bearerToken is the credential on every request; a subject that authenticates must
// accept it.
const bearerToken = "muster-bench-6f1d0c5be1f84b0f9a7c"

// baseURL is what a subject puts before /Users/{id} in meta.location.
const baseURL = "https://scim.example.com"

// A subject is one server under measurement.
type subject struct {
	// handler answers <prefix>/Users and <prefix>/Groups for one directory.
	handler http.Handler
	prefix  string
}

// A message is one request, ready to be sent any number of times.
type message struct {
	method string
	path   string // below the subject's prefix at first; see [client.message]
	query  string
	body   []byte
}

// An answer is the http.ResponseWriter that every call of a client is answered
// into. It copies what it is given, as a connection's buffer would, into a window
// that stays in the cache, and keeps it only if asked to.
type answer struct {
	header http.Header
	status int
	length int
	keep   bool
	body   []byte
	window [32 << 10]byte
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.length += len(p)
	if a.keep {
		a.body = append(a.body, p...)
	}
	for rest := p; len(rest) > 0; {
		rest = rest[copy(a.window[:], rest):]
	}
	return len(p), nil
}

// A requestBody is read by one request after the other.
type requestBody struct {
	data []byte
}

func (b *requestBody) Read(p []byte) (int, error) {
	if len(b.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.data)
	b.data = b.data[n:]
	return n, nil
}

func (b *requestBody) Close() error { return nil }

// A client sends messages to a subject without a connection between them. It builds
// neither a request nor a response writer for a call, so that what it measures is
// the handler. A client is for one goroutine.
type client struct {
	subject  subject
	template http.Request
	request  http.Request
	url      url.URL
	body     requestBody
	answer   answer
}

func newClient(s subject) (*client, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, baseURL+s.prefix, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+bearerToken)
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Accept", "application/scim+json")
	r.Header.Set("User-Agent", "bench/1.0")
	r.RemoteAddr = "192.0.2.10:49152"
	return &client{subject: s, template: *r, url: *r.URL, answer: answer{header: make(http.Header, 8)}}, nil
}

// message completes the path of a message for the client's subject.
func (c *client) message(method, path, query string, body []byte) message {
	return message{method: method, path: c.subject.prefix + path, query: query, body: body}
}

// send has the subject answer m. The answer is in c.answer until the next send.
func (c *client) send(m *message) {
	c.url.Path, c.url.RawQuery = m.path, m.query
	c.request = c.template
	c.request.Method = m.method
	c.request.URL = &c.url
	if m.body != nil {
		c.body.data = m.body
		c.request.Body = &c.body
		c.request.ContentLength = int64(len(m.body))
	}

	clear(c.answer.header)
	c.answer.status, c.answer.length, c.answer.body = 0, 0, c.answer.body[:0]
	c.subject.handler.ServeHTTP(&c.answer, &c.request)
}

// An expectation is what an answer must be for its call to count: cheap enough to be
// checked on every call, strict enough that a refusal, an empty answer or a full one
// where an empty one is right is never taken for a fast success.
type expectation struct {
	status      int
	emptyToo    bool // 204 without a body is as good (RFC 7644 section 3.5.2)
	least, most int  // bytes
}

// expect sends m and compares the answer with what it must be.
func (c *client) expect(m *message, want *expectation) error {
	c.send(m)
	a := &c.answer
	if a.status == want.status && a.length >= want.least && a.length <= want.most {
		return nil
	}
	if want.emptyToo && a.status == http.StatusNoContent && a.length == 0 {
		return nil
	}
	return c.unexpected(m, want)
}

func (c *client) unexpected(m *message, want *expectation) error {
	a := &c.answer
	return fmt.Errorf("%s %s?%s: status %d and %d bytes, expected %d and %d to %d: %.300s",
		m.method, m.path, m.query, a.status, a.length, want.status, want.least, want.most,
		a.window[:min(a.length, len(a.window))])
}

// fetch sends m and decodes the answer into v.
func (c *client) fetch(m message, v any) error {
	c.answer.keep = true
	defer func() { c.answer.keep = false }()
	c.send(&m)
	if c.answer.status != http.StatusOK {
		return fmt.Errorf("%s %s?%s: status %d: %.300s", m.method, m.path, m.query, c.answer.status, c.answer.body)
	}
	return json.Unmarshal(c.answer.body, v)
}

// create posts a document and returns the id in the Location of the answer
// (RFC 7644 section 3.3).
func (c *client) create(m *message) (id string, err error) {
	c.send(m)
	if c.answer.status != http.StatusCreated {
		return "", fmt.Errorf("POST %s: status %d: %.300s", m.path, c.answer.status, c.answer.window[:min(c.answer.length, 300)])
	}
	location := c.answer.header.Get("Location")
	if location == "" {
		return "", fmt.Errorf("POST %s: no Location", m.path)
	}
	return path.Base(location), nil
}
