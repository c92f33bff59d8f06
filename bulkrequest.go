package scim

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
)

const bulkRequestSchema = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

// parse reads the request. The error is about all of it; what is wrong with one
// operation is the error of that operation.
func (b *bulkJob) parse(body []byte) error {
	r := &b.reader
	r.Reset(body, b.engine.cfg.Limits.Depth)
	if k := r.Kind(); k != '{' {
		if k == 0 {
			if err := r.Skip(); err != nil {
				return unacceptable(err)
			}
		}
		return refuse(http.StatusBadRequest, InvalidSyntax, "the body must be one JSON object with schemas and Operations, RFC 7644 section 3.7")
	}
	if err := r.Begin(); err != nil {
		return unacceptable(err)
	}
	var named, listed, counted bool
	for r.More() {
		name, err := r.String()
		if err != nil {
			return unacceptable(err)
		}
		twice := false
		switch {
		case name == "Operations" || strings.EqualFold(name, "Operations") && b.allow(attr.OperationsName):
			if twice, listed = listed, true; !twice {
				err = b.list()
			}
		case strings.EqualFold(name, "failOnErrors"):
			if twice, counted = counted, true; !twice {
				err = b.errorLimit()
			}
		case strings.EqualFold(name, "schemas"):
			var found bool
			found, err = b.namesBulk()
			named = named || found
		default:
			err = r.Skip()
		}
		if twice {
			return refuse(http.StatusBadRequest, InvalidSyntax, attr.Quote(name), " is there twice")
		}
		if err != nil {
			return unacceptable(err)
		}
	}
	if err := r.End(); err != nil {
		return unacceptable(err)
	}
	if err := r.Close(); err != nil {
		return unacceptable(err)
	}
	if !listed {
		return refuse(http.StatusBadRequest, InvalidSyntax, "the body has no Operations, RFC 7644 section 3.7; send an array of them under that name")
	}
	if !named && !b.allow(attr.OddSchemas) {
		return refuse(http.StatusBadRequest, InvalidSyntax, "schemas must name ", bulkRequestSchema, ", RFC 7644 section 3.7")
	}
	return nil
}

// unacceptable returns the answer to JSON that is none; other errors are
// answers already.
func unacceptable(err error) error {
	var syntax *wire.SyntaxError
	if errors.As(err, &syntax) {
		return refuse(http.StatusBadRequest, InvalidSyntax, "the request body is not acceptable: ", syntax.Detail)
	}
	return err
}

// allow reports whether the dialect has the tolerance, and notes its use.
func (b *bulkJob) allow(what attr.Lenience) bool {
	if !b.q.lenience.Has(what) {
		return false
	}
	b.q.Fired |= what
	return true
}

// namesBulk reads schemas and looks for the URN of a bulk request.
func (b *bulkJob) namesBulk() (found bool, err error) {
	r := &b.reader
	if r.Kind() != '[' {
		return false, r.Skip()
	}
	if err := r.Begin(); err != nil {
		return false, err
	}
	for r.More() {
		if r.Kind() != '"' {
			if err := r.Skip(); err != nil {
				return false, err
			}
			continue
		}
		urn, err := r.String()
		if err != nil {
			return false, err
		}
		found = found || strings.EqualFold(urn, bulkRequestSchema)
	}
	return found, r.End()
}

// errorLimit reads failOnErrors. 0 is refused, because "no errors" and "no
// limit" are opposites.
func (b *bulkJob) errorLimit() error {
	r := &b.reader
	var s string
	var err error
	switch kind := r.Kind(); {
	case kind == 'n':
		return r.Skip()
	case kind == '0':
		s, err = r.Scalar()
	case kind == '"' && b.allow(attr.Stringified):
		s, err = r.String()
	default:
		err = r.Skip()
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(s)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n < 1 {
		return refuse(http.StatusBadRequest, InvalidValue, "failOnErrors must be a whole number of 1 or more, or be left out to go on after any error, RFC 7644 section 3.7")
	}
	b.failOnErrors = n // the greatest int where the number is greater
	return nil
}

// list reads the operations.
func (b *bulkJob) list() error {
	r := &b.reader
	if r.Kind() != '[' {
		if err := r.Skip(); err != nil {
			return err
		}
		return refuse(http.StatusBadRequest, InvalidSyntax, "Operations must be an array, RFC 7644 section 3.7")
	}
	if err := r.Begin(); err != nil {
		return err
	}
	most := b.engine.cfg.Limits.BulkOperations
	for r.More() {
		if len(b.operations) == most {
			return refuse(http.StatusRequestEntityTooLarge, "",
				fmt.Sprintf("the bulk request has more operations than maxOperations (%d); send them in several requests, RFC 7644 section 3.7.4", most))
		}
		b.operations = append(b.operations, operation{})
		op := &b.operations[len(b.operations)-1]
		if err := b.operation(op); err != nil {
			return err
		}
		if wrong := b.check(op); op.err == nil {
			op.err = wrong
		}
	}
	return r.End()
}

// operation reads one operation.
func (b *bulkJob) operation(op *operation) error {
	r := &b.reader
	if r.Kind() != '{' {
		op.err = refuse(http.StatusBadRequest, InvalidSyntax, "an operation is an object with method, path and data, RFC 7644 section 3.7")
		return r.Skip()
	}
	if err := r.Begin(); err != nil {
		return err
	}
	texts := []struct {
		name  string
		value *string
	}{{"method", &op.method}, {"bulkId", &op.bulkID}, {"version", &op.version}, {"path", &op.path}}
	var seen []string
	for r.More() {
		name, err := r.String()
		if err != nil {
			return err
		}
		known := "data"
		var into *string
		for _, t := range texts {
			if strings.EqualFold(name, t.name) {
				known, into = t.name, t.value
			}
		}
		if into == nil && !strings.EqualFold(name, known) {
			if err := r.Skip(); err != nil {
				return err
			}
			continue
		}
		kind := r.Kind()
		switch {
		case slices.Contains(seen, known):
			op.err = refuse(http.StatusBadRequest, InvalidSyntax, known, " is there twice")
			err = r.Skip()
		case kind == 'n':
			err = r.Skip()
		case into == nil:
			op.data, err = r.Raw()
		case kind == '"':
			*into, err = r.String()
		default:
			op.err = refuse(http.StatusBadRequest, InvalidSyntax, known, " must be a string, RFC 7644 section 3.7")
			err = r.Skip()
		}
		if err != nil {
			return err
		}
		seen = append(seen, known)
	}
	return r.End()
}

// check finds out what an operation is about, or what is wrong with it.
func (b *bulkJob) check(op *operation) *Error {
	bad := func(t ErrorType, detail ...string) *Error { return refuse(http.StatusBadRequest, t, detail...) }
	if op.method == "" {
		return bad(InvalidSyntax, "method is missing; it must be POST, PUT, PATCH or DELETE, RFC 7644 section 3.7")
	}
	// Case means nothing: a string is case-exact only where it is defined so,
	// RFC 7643 section 2.2.
	methods := []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	i := slices.Index(methods, strings.ToUpper(op.method))
	if i < 0 {
		op.method = strings.Clone(loggable(op.method))
		return bad(InvalidValue, "method must be POST, PUT, PATCH or DELETE, not ", attr.Quote(op.method))
	}
	op.method = methods[i] // what was sent is a view of the whole body, and this goes to the log
	if op.path == "" {
		return bad(InvalidPath, "path is missing; it is relative to the base URL, such as /Users or /Users/{id}, RFC 7644 section 3.7")
	}
	t, id := b.target(op.path)
	create := op.method == http.MethodPost
	switch {
	case t == nil:
		return bad(InvalidPath, "the path ", attr.Quote(op.path), " is not the one of a resource or a resource type; it is relative to the base URL, such as /Users or /Users/{id}")
	case create && id != "":
		return bad(InvalidPath, "POST needs the path of a resource type, such as ", t.Endpoint, ", RFC 7644 section 3.7")
	case !create && id == "":
		return bad(InvalidPath, op.method, " needs the path of a resource, such as ", t.Endpoint, "/{id}, RFC 7644 section 3.7")
	}
	if hasEmptySegment(op.path) {
		if !b.q.lenience.Has(attr.EmptySegment) {
			return bad(InvalidPath, "a segment of the path ", attr.Quote(op.path), " is empty; take away the slash at its end, or the double one")
		}
		op.fired |= attr.EmptySegment
	}
	op.typ, op.id = t, id
	if err := b.q.scope.check(t, op.method, false); err != nil {
		return asError(err)
	}
	if create && op.bulkID == "" {
		// Nobody is known to leave it out, and without it a client could not
		// tell what failed: that has no location.
		return bad(InvalidValue, "POST needs a bulkId, which names the operation in the answer and in references, RFC 7644 section 3.7")
	}
	if op.method == http.MethodDelete {
		op.data = nil
		return nil
	}
	if op.data == nil {
		return bad(InvalidValue, op.method, " needs data: what would be the body of a single request, RFC 7644 section 3.7")
	}
	limit := b.engine.cfg.Limits.Body
	if t.IsGroup() {
		limit = b.engine.cfg.Limits.GroupBody
	}
	if int64(len(op.data)) > limit {
		return refuse(http.StatusRequestEntityTooLarge, "", fmt.Sprintf("data is larger than %d bytes; send less in one operation", limit))
	}
	return nil
}

// hasEmptySegment reports whether there is a slash too many in a path, or in the
// URL of a resource.
func hasEmptySegment(path string) bool {
	if _, behind, ok := strings.Cut(path, "://"); ok {
		path = behind
	}
	return strings.HasSuffix(path, "/") || strings.Contains(path, "//")
}

// target reads the path of an operation, relative to the service provider's
// root as RFC 7644 has it. Slashes at its end and double ones are passed over.
// The location of a resource, as it stands in an answer, and its
// path are understood as well: clients keep these, and they name nothing else.
func (b *bulkJob) target(path string) (*ResourceType, string) {
	if t, id := b.relative(path); t != nil {
		return t, id
	}
	base := b.base()
	_, mount, _ := strings.Cut(base[strings.Index(base, "//")+len("//"):], "/")
	for _, before := range []string{base, "/" + mount} {
		if rest, ok := strings.CutPrefix(path, before); ok && strings.HasPrefix(rest, "/") {
			return b.relative(rest)
		}
	}
	return nil, ""
}

func (b *bulkJob) relative(path string) (*ResourceType, string) {
	if strings.ContainsAny(path, "?#") {
		return nil, ""
	}
	endpoint, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	id, err := url.PathUnescape(strings.TrimLeft(rest, "/"))
	t := b.engine.cfg.Types.endpoint(endpoint)
	if t == nil || err != nil || !isText(id) || strings.Contains(strings.TrimLeft(rest, "/"), "/") {
		return nil, ""
	}
	return t, id
}
