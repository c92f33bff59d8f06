package scim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/muster-id/scim/attr"
)

// A Handler is a SCIM 2.0 service provider, RFC 7644. It keeps no state of its
// own but what [Limits].Rate counts: any number of them may share a store.
//
// How long a client may take to send a request, or to read the answer, is for
// the host's [http.Server] to say (ReadHeaderTimeout, ReadTimeout,
// WriteTimeout). One that is slow holds its connection, a goroutine and some
// memory, but no lock and no transaction: a body is read before one begins, and
// an answer sent when it has ended.
type Handler struct {
	engine    *Engine
	auth      Authenticator
	discovery *discovery
	rate      *rateLimit // nil: none
}

// NewHandler returns the handler for a store, a mapping of groups to roles
// (NoRoles if the application has none) and an authenticator. cfg may be nil.
// It refuses a configuration that the store cannot honour.
//
// The handler may be mounted anywhere: see [Mount].
func NewHandler(store Store, roles RoleMapper, auth Authenticator, cfg *Config) (*Handler, error) {
	engine, err := NewEngine(store, roles, cfg)
	if err != nil {
		return nil, err
	}
	if auth == nil {
		return nil, errors.New("scim: an Authenticator is required; StaticTokens is the simplest")
	}
	return &Handler{engine: engine, auth: auth, discovery: newDiscovery(engine), rate: newRateLimit(&engine.cfg.Limits, engine.cfg.Now())}, nil
}

// Engine returns what the handler works with, to repair and to repeat.
func (h *Handler) Engine() *Engine { return h.engine }

// newRequestID draws an id. It is for finding lines of a log, not a secret.
func newRequestID() RequestID { return RequestID(rand.Uint64() | 1) }

// An exchange is one request being answered. Its buffers are used again.
type exchange struct {
	*Handler
	w     http.ResponseWriter
	r     *http.Request
	q     request
	route route
	out   []byte
	ids   []string
	body  bytes.Buffer

	limited boundedReader // of the body
	begun   bool          // the head of the answer is sent
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

// Buffers that one large request has grown are not kept.
const keepBuffer = 256 << 10

func (x *exchange) release() {
	if cap(x.out) > keepBuffer {
		x.out = nil
	}
	if x.body.Cap() > keepBuffer {
		x.body = bytes.Buffer{}
	}
	clear(x.ids)
	x.Handler, x.w, x.r, x.q, x.route, x.limited = nil, nil, nil, request{}, route{}, boundedReader{}
	x.begun = false
	exchanges.Put(x)
}

// ServeHTTP answers one request. Every answer, errors included, is SCIM.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchanges.Get().(*exchange)
	x.Handler, x.w, x.r = h, w, r
	if r.Method == http.MethodHead {
		x.w = headWriter{w}
	}
	defer x.finish()
	if err := x.serve(r.Context()); err != nil {
		x.fail(err)
	}
}

// finish survives a panic of anything below: the client gets a 500, the log
// the stack. What panicked may still use the buffers, so they are not kept.
func (x *exchange) finish() {
	p := recover()
	if p == nil {
		x.done()
		x.release()
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // it is the very value that net/http documents
		panic(p)
	}
	x.fail(fmt.Errorf("scim: panic: %v\n%s", p, debug.Stack()))
	x.done()
}

// serve is the way of a request: who, what, then doing it.
func (x *exchange) serve(ctx context.Context) error {
	e := x.engine
	x.q.Time = e.cfg.Now()
	x.q.ID = newRequestID()
	x.q.Method, x.q.UserAgent = loggable(x.r.Method), loggable(header(x.r, "User-Agent"))
	caller, err := x.auth.Authenticate(x.r)
	if err != nil {
		return authenticationError(err)
	}
	if caller == nil {
		caller = new(Caller) // without directory: refused below
	}
	if err := e.checkDirectory(caller.Directory); err != nil {
		return err
	}
	x.q.dir, x.q.Directory, x.q.Actor, x.q.Fired = caller.Directory, caller.Directory.Key(), caller.Actor, caller.Fired
	x.q.lenience, x.q.scope, x.q.valid = caller.Directory.lenience(), caller.Scope, caller.Valid
	var ok bool
	x.route, ok = e.route(x.r)
	x.q.Path = loggable(x.route.path)
	const longLine = 1024
	if len(x.r.RequestURI) > longLine { // of which they are views
		x.q.Method, x.q.Path = strings.Clone(x.q.Method), strings.Clone(x.q.Path)
	}
	if caller.Directory.Disabled {
		return errDisabled()
	}
	if err := x.slowDown(); err != nil {
		return err
	}
	if !ok {
		return refuse(http.StatusNotFound, "", "there is nothing at this path; the endpoints are listed at /ResourceTypes").because(ReasonSyntax)
	}
	if err := checkProtocolVersion(x.r, &x.route); err != nil {
		return err
	}
	if x.route.empty {
		if !x.q.lenience.Has(attr.EmptySegment) {
			return refuse(http.StatusNotFound, "", "a segment of the path is empty; take away the slash at its end, or the double one").because(ReasonSyntax)
		}
		x.q.Fired |= attr.EmptySegment
	}
	switch x.route.kind {
	case resources:
	case self:
		return x.self(ctx, caller.Subject)
	case root:
		return x.root(ctx)
	case bulkEndpoint:
		return x.bulk(ctx)
	case serviceProviderConfig, resourceTypes, schemas:
		return x.discover()
	}
	if err := x.q.scope.check(x.route.typ, x.r.Method, x.route.search); err != nil {
		return err
	}
	if !isText(x.route.id) {
		return ErrNotFound
	}
	switch {
	case x.route.search:
		return x.search(ctx)
	case x.route.id == "":
		return x.collection(ctx)
	}
	return x.resource(ctx)
}

// header returns a header whose name is in canonical form. Several lines of it
// are one list, RFC 9110 section 5.2.
func header(r *http.Request, name string) string { return strings.Join(r.Header[name], ",") }

// loggable returns what is kept in the request log of a client's text: all of
// it in the ordinary case, otherwise something short that any store can keep.
func loggable(s string) string {
	const most = 512
	if len(s) <= most && isText(s) {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), most)], "?"), "\x00", "?")
	return strings.Clone(s) // the rest is not to be kept
}

// isText reports whether s is what a store can have as text: no resource has an
// id that is not, and a database would fail over it.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func errDisabled() *Error {
	return refuse(http.StatusForbidden, "", "provisioning is switched off for this directory; switch it on in the application").because(ReasonDisabled)
}

func authenticationError(err error) error {
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case !errors.Is(err, ErrUnauthenticated):
		return hostError("scim: Authenticator", err)
	}
	return &Error{Status: http.StatusUnauthorized, Detail: "the request has no valid token; send it as Authorization: Bearer", Reason: ReasonToken, Err: err}
}

// collection serves /Users and the like.
func (x *exchange) collection(ctx context.Context) error {
	t := x.route.typ
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		p, v, err := x.view(t)
		if err != nil {
			return err
		}
		x.q.Status = http.StatusOK
		v.to = x
		if x.out, err = x.engine.list(ctx, x.out[:0], &x.q, t, &p, v); err != nil {
			return err
		}
		x.send(http.StatusOK)
		return nil
	case http.MethodPost:
		_, v, body, err := x.viewAndBody(t)
		if err != nil {
			return err
		}
		created, err := x.engine.create(ctx, &x.q, t, body)
		if err != nil {
			return err
		}
		x.w.Header()["Location"] = []string{string(appendLocation(x.out[:0], v.base, t, created.id))}
		return x.answer(ctx, http.StatusCreated, created, v)
	}
	return x.methodNotAllowed("GET, HEAD, POST")
}

// resource serves /Users/{id} and the like.
func (x *exchange) resource(ctx context.Context) error {
	t, id := x.route.typ, x.route.id
	e := x.engine
	match := versionMatch(header(x.r, "If-Match"))
	x.q.unless = versionMatch(header(x.r, "If-None-Match"))
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		_, v, err := x.view(t)
		if err != nil {
			return err
		}
		r, err := e.get(ctx, &x.q, t, id, GetOptions{WithoutMembers: !v.showsMembers(t)})
		if err != nil {
			return err
		}
		if err := match.check(r); err != nil {
			return err
		}
		if x.q.unless.unchanged(r, v) {
			x.w.Header()["Etag"] = []string{r.version.ETag()}
			x.w.Header()["Cache-Control"] = noStore
			x.q.Status = http.StatusNotModified
			x.w.WriteHeader(http.StatusNotModified)
			return nil
		}
		return x.answer(ctx, http.StatusOK, r, v)
	case http.MethodPut:
		_, v, body, err := x.viewAndBody(t)
		if err != nil {
			return err
		}
		r, err := e.replace(ctx, &x.q, t, id, body, match)
		if err != nil {
			return err
		}
		return x.answer(ctx, http.StatusOK, r, v)
	case http.MethodPatch:
		p, v, body, err := x.viewAndBody(t)
		if err != nil {
			return err
		}
		asked := len(p.attributes) > 0
		r, onlyMembers, err := e.modify(ctx, &x.q, t, id, body, match, asked)
		if err != nil {
			return err
		}
		if onlyMembers && !asked {
			x.w.Header()["Etag"] = []string{r.version.ETag()}
			x.w.Header()["Content-Type"] = scimJSON // without it SCIM-SDK's client takes the answer for a proxy's
			x.noContent()
			return nil
		}
		if !asked && t.IsGroup() { // nobody wants 100,000 members back for a new name
			p.excluded = append(p.excluded, t.members.Name)
			v.projection = x.q.project(t, &p)
		}
		return x.answer(ctx, http.StatusOK, r, v)
	case http.MethodDelete:
		if err := e.remove(ctx, &x.q, t, id, match); err != nil {
			return err
		}
		x.noContent()
		return nil
	}
	return x.methodNotAllowed("GET, HEAD, PUT, PATCH, DELETE")
}

// viewAndBody reads what a request sends and what its answer is to show.
func (x *exchange) viewAndBody(t *ResourceType) (parameters, view, requestBody, error) {
	p, v, err := x.view(t)
	if err != nil {
		return p, v, requestBody{}, err
	}
	body, err := x.readBody(t)
	return p, v, body, err
}

// view reads what the answer is to show (RFC 7644 section 3.9), and the other
// parameters.
func (x *exchange) view(t *ResourceType) (parameters, view, error) {
	v := view{base: x.base()}
	if x.r.URL.RawQuery == "" {
		return parameters{}, v, nil
	}
	p, err := parseParameters(x.r.URL.RawQuery)
	if err != nil {
		return p, v, err
	}
	v.projection = x.q.project(t, &p)
	return p, v, nil
}

// project resolves what the client wants to see of a type.
func (q *request) project(t *ResourceType, p *parameters) *attr.Projection {
	return t.Project(q.spelled(t, p.attributes), q.spelled(t, p.excluded))
}

// spelled notes that a client names attributes of extensions without their URN
// (quirk 32). Where the directory does not tolerate that they are names of
// nothing, which are ignored.
func (q *request) spelled(t *ResourceType, names []string) []string {
	as := names
	for i, name := range names {
		_, fired := t.Lookup(name, attr.ShortExtensionPath)
		if q.lenience.Has(fired) {
			q.Fired |= fired
			continue
		}
		if &as[0] == &names[0] { // which may be names of something in another type
			as = slices.Clone(names)
		}
		as[i] = ""
	}
	return as
}

// base returns the URL below which the endpoints are.
func (x *exchange) base() string {
	if x.engine.cfg.BaseURL != "" {
		return x.engine.cfg.BaseURL
	}
	scheme := "https://"
	if x.r.TLS == nil {
		scheme = "http://"
	}
	return scheme + urlText(x.r.Host) + x.route.prefix
}

// answer sends one resource.
func (x *exchange) answer(ctx context.Context, status int, r *Resource, v view) error {
	x.q.Status = status
	var groups []GroupRef
	switch {
	case status == http.StatusCreated: // a user is created without groups
	case x.q.groupsOfUser == r.id:
		groups = x.q.groups
	default:
		x.ids = append(x.ids[:0], r.id)
		all, err := x.engine.groupsToShow(ctx, &x.q, r.typ, x.ids, v)
		if err != nil {
			return err
		}
		if all != nil {
			groups = all[0]
		}
	}
	x.w.Header()["Etag"] = []string{r.version.ETag()}
	if v.showsMembers(r.typ) { // there may be very many
		if x.r.Method == http.MethodHead {
			x.begin(status)
			return nil
		}
		v.to = x
	}
	var err error
	if x.out, err = x.engine.appendResource(ctx, x.out[:0], r, groups, v); err != nil {
		return err
	}
	x.send(status)
	return nil
}

var (
	scimJSON = []string{contentType}
	noStore  = []string{"no-store"}
)

// errGone: the client does not take the rest of its answer.
var errGone = errors.New("scim: the client is gone")

// flush sends a part of the answer, whose status is known, and returns room for
// more. While a slow client makes it wait it holds that part, and no lock or
// transaction.
func (x *exchange) flush(b []byte) ([]byte, error) {
	x.begin(x.q.Status)
	if _, err := x.w.Write(b); err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	return b[:0], nil
}

// send writes the answer that is in x.out. A client that is gone cannot be
// told that writing failed.
func (x *exchange) send(status int) {
	if x.r.Method == http.MethodHead && !x.begun {
		x.w.Header()["Content-Length"] = []string{strconv.Itoa(len(x.out))}
	}
	x.begin(status)
	_, _ = x.w.Write(x.out)
}

// begin sends the head of the answer, once.
func (x *exchange) begin(status int) {
	if x.begun {
		return
	}
	x.begun = true
	h := x.w.Header()
	h["Content-Type"] = scimJSON
	h["Cache-Control"] = noStore // it is about people
	x.q.Status = status
	x.w.WriteHeader(status)
}

func (x *exchange) noContent() {
	x.q.Status = http.StatusNoContent
	x.w.WriteHeader(http.StatusNoContent)
}

func (x *exchange) methodNotAllowed(allow string) error {
	x.w.Header().Set("Allow", allow)
	return refuse(http.StatusMethodNotAllowed, "", attr.Quote(x.r.Method), " is not possible here; possible are ", allow)
}

// fail answers an error, and notes it.
func (x *exchange) fail(err error) {
	if errors.Is(err, errGone) {
		x.done()
		panic(http.ErrAbortHandler)
	}
	e := x.note(&x.q, err)
	if x.begun { // a client must not take half an answer for one
		x.done()
		panic(http.ErrAbortHandler)
	}
	x.w.Header().Del("Location")
	if x.q.self && e.Status != http.StatusNotFound { // what is not there has none
		x.w.Header()["Location"] = []string{x.selfLocation()}
	}
	x.w.Header().Del("Etag")
	x.w.Header().Set("Cache-Control", "no-store")
	WriteError(x.w, e)
}

// note writes down that a request failed, and returns what it is answered.
func (x *exchange) note(q *request, err error) *Error {
	e := asError(err)
	q.Status, q.Type, q.Reason, q.Detail = e.Status, e.Type, e.Reason, e.Detail
	if e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented && x.Handler != nil && !errors.Is(err, context.Canceled) {
		x.engine.cfg.Logger.ErrorContext(x.r.Context(), "scim: request failed", "request", q.ID.String(), "method", q.Method, "path", q.Path,
			"tenant", q.Directory.Tenant, "directory", q.Directory.Directory, "status", e.Status, "error", err)
	}
	if q.dir != nil && !q.recorded {
		q.Duration = x.engine.cfg.Now().Sub(q.Time)
		q.Changed = nil
		x.engine.record(x.r.Context(), q, e)
		q.recorded = true
	}
	return e
}

// done ends the request.
func (x *exchange) done() { x.conclude(&x.q) }

// conclude writes the line of the log, where it did not commit with a write,
// and tells the host.
func (x *exchange) conclude(q *request) {
	if q.dir == nil {
		return
	}
	e := x.engine
	q.Duration = e.cfg.Now().Sub(q.Time)
	if !q.recorded {
		e.record(x.r.Context(), q, nil)
	}
	if e.cfg.OnRequest != nil {
		x.tellHost(q)
	}
}

// tellHost calls OnRequest. The request is answered already, so a panic there
// must not take the answer back.
func (x *exchange) tellHost(q *request) {
	defer func() {
		if p := recover(); p != nil {
			x.engine.cfg.Logger.ErrorContext(x.r.Context(), "scim: OnRequest panicked", "request", q.ID.String(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	entry := q.LogEntry
	x.engine.cfg.OnRequest(x.r.Context(), &entry)
}

// Mount serves handler below prefix and everything else with next, without
// the redirects of [http.ServeMux]: providers send "//Users" and "/Users/" and
// do not follow them. A segment of the prefix in braces, such as {tenant},
// stands for any one segment. next may be nil: other paths are then a 404.
//
//	http.ListenAndServe(addr, scim.Mount("/scim/v2", handler, mux))
//
// Any router that hands the handler whole subtrees, and does not clean paths,
// works as well, with [http.StripPrefix] or without. One that leaves its own
// "v1" right before the endpoints must strip it: it reads as a version of the
// protocol, RFC 7644 section 3.13.
func Mount(prefix string, handler, next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	segments := strings.FieldsFunc(prefix, func(r rune) bool { return r == '/' })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, ok := cutPrefix(r.URL.Path, segments)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		c := *r
		u := *r.URL
		c.URL = &u
		u.Path = r.URL.Path[n:]
		if r.URL.RawPath != "" {
			if raw, ok := cutPrefix(r.URL.RawPath, segments); ok {
				u.RawPath = r.URL.RawPath[raw:]
			}
		}
		handler.ServeHTTP(w, &c)
	})
}

// cutPrefix returns how much of the path the segments take up.
func cutPrefix(path string, segments []string) (n int, ok bool) {
	for _, want := range segments {
		for n < len(path) && path[n] == '/' {
			n++
		}
		end := n
		for end < len(path) && path[end] != '/' {
			end++
		}
		got := path[n:end]
		wild := len(want) > 2 && want[0] == '{' && want[len(want)-1] == '}'
		if got == "" || got != want && !wild {
			return 0, false
		}
		n = end
	}
	return n, true
}
