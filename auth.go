package scim

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/muster-id/scim/attr"
)

// An Authenticator says who is calling. The directory comes from the
// credential alone, never from anything in the URL. An error that wraps
// [ErrUnauthenticated] is answered with 401, one that wraps [ErrUnavailable]
// with 503, an [*Error] as it is, and any other is logged and answered with 500:
// a provider told 401 would take its token for wrong. Authenticate is called concurrently
// and must not keep the request.
type Authenticator interface {
	Authenticate(r *http.Request) (*Caller, error)
}

// AuthenticatorFunc is a function as an [Authenticator].
type AuthenticatorFunc func(r *http.Request) (*Caller, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(r *http.Request) (*Caller, error) { return f(r) }

// A Caller is an authenticated client. It must not be changed while requests
// use it.
type Caller struct {
	Directory *Directory    // never nil
	Actor     string        // what log and events call the client, and whose requests [Limits].Rate counts: a token's label, never the token
	Fired     attr.Lenience // tolerances that the credential needed

	// Scope is what the client may do; the zero value is everything.
	Scope Scope

	// Subject is the id of the user whose credential it is, for /Me (RFC 7644
	// section 3.11); "" if it is nobody's, as a provider's token. It neither
	// gives nor takes a right: the caller may do what any caller for its
	// directory may. A user that is deactivated or not in the directory has no
	// /Me.
	Subject string

	// Valid tells whether the credential is still accepted; nil: always. It is
	// asked in the transaction of a write, with its context, where something was
	// changed since Directory was read ([Directory].Revision,
	// [Config].Directories), and its error is answered as one of Authenticate.
	Valid func(ctx context.Context) error
}

// ErrUnauthenticated is returned by an [Authenticator] for a request without
// acceptable credential.
var ErrUnauthenticated = errors.New("scim: not authenticated")

// A Token is a static bearer token of a directory.
type Token struct {
	Secret    string // the token itself, 22 characters or more; or
	SHA256    string // its SHA-256 in hexadecimal, so that no secret is in the configuration
	Label     string // what log and events call it; "token" if empty
	Directory *Directory
	Scope     Scope // what its bearer may do; the zero value is everything
}

// A secret of 128 random bits has as many characters in base64.
const shortestSecret = 22

// StaticTokens returns an [Authenticator] for tokens that are known when the
// program starts. Only their hashes are kept. The header is "Authorization:
// Bearer TOKEN" with the scheme in any case; dialects with [attr.BareToken]
// accept the token alone, as some Okta applications send it.
//
// A secret that could be guessed is refused: a token is the whole credential of
// a directory. "openssl rand -hex 32" makes a good one.
func StaticTokens(tokens ...Token) (Authenticator, error) {
	s := make(staticTokens, len(tokens))
	for i, t := range tokens {
		var digest [sha256.Size]byte
		switch {
		case (t.Secret == "") == (t.SHA256 == ""):
			return nil, fmt.Errorf("scim: token %d (%s): give either Secret or SHA256", i, t.Label)
		case t.Directory == nil:
			return nil, fmt.Errorf("scim: token %d (%s): a directory is required", i, t.Label)
		case t.Secret != "" && len(t.Secret) < shortestSecret:
			return nil, fmt.Errorf("scim: token %d (%s): Secret has fewer than %d characters and could be guessed; make one with: openssl rand -hex 32", i, t.Label, shortestSecret)
		case t.Secret != "":
			digest = sha256.Sum256([]byte(t.Secret))
		default:
			if n, err := hex.Decode(digest[:], []byte(t.SHA256)); err != nil || n != len(digest) || len(t.SHA256) != 2*len(digest) {
				return nil, fmt.Errorf("scim: token %d (%s): SHA256 is not 64 hexadecimal digits", i, t.Label)
			}
		}
		if err := t.Directory.Validate(); err != nil {
			return nil, fmt.Errorf("scim: token %d (%s): %w", i, t.Label, err)
		}
		if other := s[digest]; other != nil {
			return nil, fmt.Errorf("scim: token %d (%s, tenant %s) is the same as that of %s, tenant %s",
				i, t.Label, t.Directory.Tenant, other.bearer.Actor, other.bearer.Directory.Tenant)
		}
		if t.Label == "" {
			t.Label = "token"
		}
		s[digest] = &staticToken{
			digest: digest,
			bearer: Caller{Directory: t.Directory, Actor: t.Label, Scope: t.Scope},
			bare:   Caller{Directory: t.Directory, Actor: t.Label, Scope: t.Scope, Fired: attr.BareToken},
		}
	}
	return s, nil
}

// staticTokens finds a token by its digest. What the map's timing could tell
// is something about a hash, not about a token.
type staticTokens map[[sha256.Size]byte]*staticToken

type staticToken struct {
	digest       [sha256.Size]byte
	bearer, bare Caller
}

func (s staticTokens) Authenticate(r *http.Request) (*Caller, error) {
	secret, bearer := bearerToken(r)
	if secret == "" {
		return nil, ErrUnauthenticated
	}
	var buf [128]byte // a token of usual length needs no memory of its own
	digest := sha256.Sum256(append(buf[:0], secret...))
	t := s[digest]
	if t == nil || subtle.ConstantTimeCompare(digest[:], t.digest[:]) != 1 {
		return nil, ErrUnauthenticated
	}
	if bearer {
		return &t.bearer, nil
	}
	if !t.bare.Directory.lenience().Has(attr.BareToken) {
		return nil, ErrUnauthenticated
	}
	return &t.bare, nil
}

// bearerToken returns the token of the Authorization header and whether the
// scheme was there.
func bearerToken(r *http.Request) (token string, bearer bool) {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return "", false // none, or two that could mean two callers
	}
	const scheme = "bearer "
	value := strings.TrimSpace(values[0])
	if len(value) > len(scheme) && strings.EqualFold(value[:len(scheme)], scheme) {
		return strings.TrimSpace(value[len(scheme):]), true
	}
	if strings.ContainsAny(value, " ,\t") {
		return "", false // another scheme
	}
	return value, false
}
