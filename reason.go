package scim

import "net/http"

// A Reason is the rule behind an answer other than success, for programs and
// for the request log (rule D8). A client sees status, scimType and detail.
type Reason string

// The reasons.
const (
	ReasonSyntax          Reason = "syntax"           // the request is not what RFC 7644 says
	ReasonSchema          Reason = "schema"           // a value is not what the schema says
	ReasonFilter          Reason = "filter"           // a filter, path or sortBy cannot be read
	ReasonNotFound        Reason = "not_found"        // no such resource in this directory
	ReasonVersion         Reason = "version"          // the resource has changed meanwhile
	ReasonExists          Reason = "exists"           // a value is taken (rules A7, C11)
	ReasonNoEmail         Reason = "no_email"         // rule A2
	ReasonEmailImmutable  Reason = "email_immutable"  // rule A4
	ReasonDomain          Reason = "domain"           // rule A6: outside the registered domains
	ReasonNoDomains       Reason = "no_domains"       // rule A6: none is registered
	ReasonExistingAccount Reason = "existing_account" // rule A7: the application refuses
	ReasonUnknownMember   Reason = "unknown_member"   // rule C10
	ReasonLastAdmin       Reason = "last_admin"       // rule B7
	ReasonProtected       Reason = "protected"        // rule B7
	ReasonMassChange      Reason = "mass_change"      // rule B8
	ReasonDisabled        Reason = "disabled"         // rule B9
	ReasonSeats           Reason = "seats"            // rule E1
	ReasonToken           Reason = "token"            // no valid token
	ReasonScope           Reason = "scope"            // the token may not do that (rule E2)
	ReasonLimit           Reason = "limit"            // too large, too many, too fast (rule E3)
	ReasonUnavailable     Reason = "unavailable"      // the store or the application cannot answer just now
	ReasonHost            Reason = "host"             // a hook of the application refused
	ReasonInternal        Reason = "internal"         // the cause is logged
)

// Reasons lists the reasons, for a setting, a filter or a translation.
func Reasons() []Reason {
	return []Reason{
		ReasonSyntax, ReasonSchema, ReasonFilter, ReasonNotFound, ReasonVersion, ReasonExists, ReasonNoEmail, ReasonEmailImmutable,
		ReasonDomain, ReasonNoDomains, ReasonExistingAccount, ReasonUnknownMember, ReasonLastAdmin, ReasonProtected, ReasonMassChange,
		ReasonDisabled, ReasonSeats, ReasonToken, ReasonScope, ReasonLimit, ReasonUnavailable, ReasonHost, ReasonInternal,
	}
}

// reasonOf returns the reason that a status and a scimType stand for where no
// rule of our own does.
func reasonOf(status int, t ErrorType) Reason {
	switch t {
	case InvalidFilter, InvalidPath, NoTarget:
		return ReasonFilter
	case InvalidSyntax, InvalidVers, InvalidCursor, ExpiredCursor, InvalidCount:
		return ReasonSyntax
	case InvalidValue, Mutability, Sensitive:
		return ReasonSchema
	case Uniqueness:
		return ReasonExists
	case TooMany:
		return ReasonLimit
	}
	switch status {
	case http.StatusUnauthorized:
		return ReasonToken
	case http.StatusForbidden:
		return ReasonHost // the library's own have a reason
	case http.StatusNotFound, http.StatusGone:
		return ReasonNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return ReasonVersion
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return ReasonLimit
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ReasonUnavailable
	case http.StatusNotImplemented:
		return ReasonSyntax
	}
	if status >= http.StatusInternalServerError {
		return ReasonInternal
	}
	return ReasonSyntax
}
