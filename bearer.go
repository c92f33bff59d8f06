package scim

import "net/http"

// BearerToken returns the token of a request's Authorization header, for an
// [Authenticator] of the host's own, and whether the scheme was before it, in
// any case: RFC 6750 section 2.1 has it, and what some Okta applications send is
// the token alone ([attr.BareToken]). It returns "" where there is no token,
// another scheme, or more than one header, which could mean two callers. The
// token is part of the header: to keep it is to keep that.
func BearerToken(r *http.Request) (token string, bearer bool) { return bearerToken(r) }
