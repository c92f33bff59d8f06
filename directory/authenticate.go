package directory

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// Authenticate finds out whose request it is by the token in its Authorization
// header ([scim.Authenticator]): "Bearer TOKEN", the scheme in any case, or the
// token alone in directories whose dialect has [attr.BareToken].
//
// The answer comes from memory; once in five seconds a tenant's revision is
// asked for, and what has changed is read. Where the storage cannot answer,
// nobody is let in and nobody told that the token is wrong: 503.
//
// An address that sends more than ten requests without a valid token within a
// minute is answered with 429 for the rest of it. Valid tokens are accepted
// from there all the same.
func (s *Service) Authenticate(r *http.Request) (*scim.Caller, error) {
	secret, bearer := scim.BearerToken(r)
	if secret == "" {
		// Nothing was guessed, and a browser or a monitor may come often.
		return nil, fmt.Errorf("%w: no bearer token was sent", scim.ErrUnauthenticated)
	}
	now := s.now()
	if len(secret) > mostToken {
		return nil, s.refuse(r, now, string(notOurs))
	}
	var buf [256]byte // a token of usual length needs no memory of its own
	sum := digest(sha256.Sum256(append(buf[:0], secret...)))
	c := s.cache.token(sum, now)
	if c == nil {
		var err error
		if c, err = s.find(r, secret, sum, now); err != nil {
			return nil, err
		}
	}
	switch {
	case c.revoked:
		c.use.refuse(&s.o, r, now)
		return nil, s.refuse(r, now, "token "+c.use.token+" is revoked")
	case !now.Before(c.expires):
		c.use.refuse(&s.o, r, now)
		return nil, s.refuse(r, now, "token "+c.use.token+" expired at "+c.expires.UTC().Format(time.RFC3339))
	case c.err != nil:
		return nil, c.err
	}
	caller := &c.bearer
	if !bearer {
		if !caller.Directory.Dialect.Lenience().Has(attr.BareToken) {
			return nil, s.refuse(r, now, "token "+c.use.token+" came without the scheme Bearer, which the dialect "+caller.Directory.Dialect.String()+" does not allow")
		}
		caller = &c.bare
	}
	c.note(&s.o, r, now)
	return caller, nil
}

// find returns a token that is not in memory, or not lately enough, by the tenant
// that it names.
func (s *Service) find(r *http.Request, secret string, sum digest, now time.Time) (*credential, error) {
	name, wrong := tenantOf(s.o.TokenPrefix, secret)
	if wrong != "" {
		return nil, s.refuse(r, now, string(wrong))
	}
	held, err := s.cache.get(r.Context(), name, now, func() error {
		return s.tooMany(s.throttle.read(clientAddress(&s.o, r), now))
	})
	if err != nil {
		return nil, err
	}
	if held == nil {
		return nil, s.refuse(r, now, "it names a tenant that has no directory")
	}
	c := held.tokens[sum] // what the map's timing could tell is something about a hash
	if c == nil {
		return nil, s.refuse(r, now, "the tenant has no such token")
	}
	s.cache.met(name, held, sum, c)
	return c, nil
}

// refuse returns the error for a request without valid token. Why is for the
// operator's log.
func (s *Service) refuse(r *http.Request, now time.Time, why string) error {
	if err := s.tooMany(s.throttle.fail(clientAddress(&s.o, r), now)); err != nil {
		return err
	}
	s.log.InfoContext(r.Context(), "directory: a token was refused", "why", why)
	return fmt.Errorf("%w: the token was refused: %s", scim.ErrUnauthenticated, why)
}

// tooMany returns the answer to an address that is to wait.
func (*Service) tooMany(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	return &scim.Error{
		Status: http.StatusTooManyRequests, Reason: scim.ReasonLimit, RetryAfter: wait,
		Detail: "too many requests without a valid token came from this address; wait as long as Retry-After says, and check the token",
	}
}
