package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
)

// ErrorType is a scimType of RFC 7644 section 3.12.
type ErrorType = attr.ErrorType

// The types that RFC 7644 section 3.12 defines.
const (
	InvalidFilter = attr.InvalidFilter
	TooMany       = attr.TooMany
	Uniqueness    = attr.Uniqueness
	Mutability    = attr.Mutable
	InvalidSyntax = attr.InvalidSyntax
	InvalidPath   = attr.InvalidPath
	NoTarget      = attr.NoTarget
	InvalidValue  = attr.InvalidValue
	InvalidVers   = attr.InvalidVers
	Sensitive     = attr.Sensitive
)

// The types that RFC 9865 section 2.1 adds.
const (
	InvalidCursor ErrorType = "invalidCursor"
	ExpiredCursor ErrorType = "expiredCursor"
	InvalidCount  ErrorType = "invalidCount"
)

// What a [Store] returns, wrapped or not, to say what happened. Any other
// error of a store is answered with status 500 and no text of its own.
var (
	// ErrNotFound: there is no such resource in that directory.
	ErrNotFound = errors.New("scim: resource not found")
	// ErrVersion: the stored version is not the one that was expected.
	ErrVersion = errors.New("scim: version mismatch")
	// ErrUniqueness: a value that must be unique is taken. A
	// [*UniquenessError] also says which attribute.
	ErrUniqueness = errors.New("scim: value is not unique")
	// ErrUnavailable: the store cannot answer just now; answered with status
	// 503 and Retry-After.
	ErrUnavailable = errors.New("scim: store is unavailable")
)

// A UniquenessError is an [ErrUniqueness] that names the attribute.
type UniquenessError struct{ Attribute string }

func (e *UniquenessError) Error() string {
	return ErrUniqueness.Error() + ": " + e.Attribute
}

// Is makes errors.Is(err, ErrUniqueness) true.
func (e *UniquenessError) Is(target error) bool { return target == ErrUniqueness }

// An Error is an answer other than success, RFC 7644 section 3.12. Status,
// Type and Detail are sent; Err is only logged.
type Error struct {
	Status     int           // an HTTP status of 400 or more
	Type       ErrorType     // may be empty
	Detail     string        // names the attribute, the rule and the remedy; safe to send
	Reason     Reason        // the rule, for the request log; where it is empty it follows from Type and Status
	RetryAfter time.Duration // sent in whole seconds, rounded up; 0: not sent
	Err        error         // the cause; may be nil

	event *Event // recorded in a transaction of its own, after the rollback
}

func (e *Error) Error() string {
	s := "scim: " + strconv.Itoa(e.Status)
	if e.Type != "" {
		s += " " + string(e.Type)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refuse returns the error for a request that a rule refuses. Its reason is the
// one that follows from status and type; because names another.
func refuse(status int, t ErrorType, detail ...string) *Error {
	return &Error{Status: status, Type: t, Detail: strings.Join(detail, ""), Reason: reasonOf(status, t)}
}

// because names the rule behind an error that has just been made.
func (e *Error) because(r Reason) *Error {
	e.Reason = r
	return e
}

// asError turns any error into the answer to give, with its reason. It is the
// one place where errors of stores, hooks and parsers become statuses.
func asError(err error) *Error {
	var answer *Error
	var client *attr.Error
	var unique *UniquenessError
	switch {
	case errors.As(err, &answer):
		if answer.Status < 400 || answer.Status > 599 {
			return internalError(err)
		}
		if answer.Reason == "" {
			e := *answer // it may be the host's own, used again
			return e.because(reasonOf(e.Status, e.Type))
		}
		return answer
	case errors.As(err, &client):
		return refuse(http.StatusBadRequest, client.Type, client.Detail)
	case errors.As(err, &unique):
		return refuse(http.StatusConflict, Uniqueness, "another resource of this directory has the same ", unique.Attribute,
			"; find it with a filter on ", unique.Attribute, " and update it instead")
	case errors.Is(err, ErrUniqueness):
		return refuse(http.StatusConflict, Uniqueness, "another resource of this directory has a value that must be unique")
	case errors.Is(err, ErrNotFound):
		return refuse(http.StatusNotFound, "", "there is no such resource in this directory")
	case errors.Is(err, ErrVersion):
		return refuse(http.StatusPreconditionFailed, "", "the resource has changed since it was read; get it again and repeat the change, RFC 7644 section 3.14")
	case errors.Is(err, ErrUnavailable):
		return &Error{Status: http.StatusServiceUnavailable, Detail: "the service is busy; try again", Reason: ReasonUnavailable, RetryAfter: 5 * time.Second, Err: err}
	}
	return internalError(err)
}

func internalError(err error) *Error {
	return &Error{Status: http.StatusInternalServerError, Reason: ReasonInternal, Err: err}
}

// hostError returns an error of the host's own code. Only an [*Error] in it is
// an answer, whose reason is the host's; others mean nothing here, such as a
// sentinel of a store that the host came across in its own tables.
func hostError(what string, err error) error {
	var answer *Error
	if errors.As(err, &answer) && answer.Reason == "" {
		e := *answer // it may be the host's own, used again
		e.Reason, e.Err = ReasonHost, err
		err = &e
	}
	if answer != nil || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return errors.New(what + ": " + err.Error())
}

const errorSchema = "urn:ietf:params:scim:api:messages:2.0:Error"

// appendError appends the SCIM body of an error. An error without detail says
// what its status means.
func appendError(b []byte, e *Error) []byte {
	b = append(b, `{"schemas":["`+errorSchema+`"],"status":"`...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, '"')
	if e.Type != "" {
		b = append(b, `,"scimType":`...)
		b, _ = wire.AppendString(b, string(e.Type))
	}
	detail := e.Detail
	if detail == "" {
		detail = http.StatusText(e.Status)
		if e.Status >= 500 {
			detail = "the request failed in the service, where the cause is logged; it may be sent again"
		}
	}
	b = append(b, `,"detail":`...)
	b, _ = wire.AppendString(b, detail)
	return append(b, '}')
}

const contentType = "application/scim+json"

// WriteError answers a request with a SCIM error (RFC 7644 section 3.12), so
// that what a host's own middleware refuses looks like what the handler
// refuses. Any error will do: an [*Error] is sent as it is, the sentinels of a
// store have their statuses, everything else is a 500 that tells nothing.
func WriteError(w http.ResponseWriter, err error) {
	e := asError(err)
	h := w.Header()
	h.Set("Content-Type", contentType)
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter-1)/time.Second)+1, 10)) // rounded up
	}
	if e.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	body := appendError(nil, e)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that is gone cannot be told
}
