package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	scim "github.com/muster-id/scim"
)

// A Token is what is known of a bearer token of a directory (rule E2); the
// token itself is known to nobody but who was given it.
type Token struct {
	ID        string
	Directory scim.Key
	Label     string // what log and events call the client

	// Hint is how the token ends, so that people can tell which one it is. These
	// characters are a checksum: of the secret's 256 bits they give away 32 at
	// most.
	Hint string

	Scope   scim.Scope
	Created time.Time
	Expires time.Time
	Revoked time.Time // zero if it is not revoked

	// Used is when, from where and by what the token was used last, to the
	// minute: it gathers in memory ([Service.Flush]).
	Used TokenUse
}

// Active reports whether the token is accepted at that time.
func (t *Token) Active(now time.Time) bool { return t.Revoked.IsZero() && now.Before(t.Expires) }

// A TokenUse is one request with a token; the zero value is none.
type TokenUse struct {
	Time    time.Time `json:"time,omitzero"`
	Address string    `json:"address,omitempty"` // IP address as [Options].ClientIP says
	Client  string    `json:"client,omitempty"`  // User-Agent, the first 200 bytes
}

// TokenOptions holds what is said of a new token. Zero fields are the defaults.
type TokenOptions struct {
	// Label is what log and events call the client, "token" by default: at most
	// 100 bytes.
	Label string

	// Expires is when the token ends: an hour to three years from now, 365 days
	// by default.
	Expires time.Time

	// Scope is what the client may do, everything by default.
	Scope scim.Scope
}

const (
	defaultLifetime = 365 * 24 * time.Hour
	leastLifetime   = time.Hour
	mostLifetime    = 3 * defaultLifetime

	defaultOverlap = 7 * 24 * time.Hour
	mostOverlap    = 30 * 24 * time.Hour

	// activeTokens is how many tokens of a directory are accepted at a time:
	// two, so that one can be replaced while the other is in use.
	activeTokens = 2

	// pastTokens is how many tokens that are revoked or expired are kept, so
	// that a provider that still uses one can be told of.
	pastTokens = 10

	mostLabel = 100
)

// A tokenRecord is what is kept of a token under its digest.
type tokenRecord struct {
	ID        string     `json:"id"`
	Directory string     `json:"directory"`
	Label     string     `json:"label"`
	Hint      string     `json:"hint"`
	Scope     scim.Scope `json:"scope,omitempty"`
	Created   time.Time  `json:"created"`
	Expires   time.Time  `json:"expires"`
	Revoked   time.Time  `json:"revoked,omitzero"`

	// Lifetime is that of the token that replaces it: Expires comes nearer when
	// it is replaced.
	Lifetime time.Duration `json:"lifetime"`
}

func (r *tokenRecord) token(tenant string) *Token {
	return &Token{
		ID: r.ID, Directory: scim.Key{Tenant: tenant, Directory: r.Directory}, Label: r.Label, Hint: r.Hint,
		Scope: r.Scope, Created: r.Created, Expires: r.Expires, Revoked: r.Revoked,
	}
}

func (r *tokenRecord) active(now time.Time) bool { return r.Revoked.IsZero() && now.Before(r.Expires) }

// ended is when the token ended, or will.
func (r *tokenRecord) ended() time.Time {
	if !r.Revoked.IsZero() && r.Revoked.Before(r.Expires) {
		return r.Revoked
	}
	return r.Expires
}

// IssueToken makes a token for a directory and returns it: the secret is what
// the identity provider sends, and cannot be read again. The error wraps
// [scim.ErrNotFound] if there is no such directory; it is an [*InvalidError] if
// the directory is retired or has two active tokens already, which are as many
// as can be.
func (s *Service) IssueToken(ctx context.Context, key scim.Key, o TokenOptions) (secret string, t *Token, err error) {
	now := s.now()
	if o.Label == "" {
		o.Label = "token"
	}
	if o.Expires.IsZero() {
		o.Expires = now.Add(defaultLifetime)
	}
	var wrong problems
	wrong.text("label", o.Label, mostLabel)
	if life := o.Expires.Sub(now); life < leastLifetime || life > mostLifetime {
		wrong.add("expires", "a token is valid for an hour at least and for three years at most")
	}
	if o.Scope&^everyScope != 0 {
		wrong.add("scope", "only users:read, users:write, groups:read and groups:write are scopes")
	}
	if err := wrong.err("token"); err != nil {
		return "", nil, err
	}
	err = s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		if _, err := s.live(ctx, key); err != nil {
			return err
		}
		tokens, err := s.tokensOf(ctx, key)
		if err != nil {
			return err
		}
		secret, t, err = s.issue(ctx, tx, key, tokens, tokenRecord{
			Label: o.Label, Scope: o.Scope, Created: now, Expires: o.Expires, Lifetime: o.Expires.Sub(now),
		})
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return secret, t, nil
}

const everyScope = scim.ReadUsers | scim.WriteUsers | scim.ReadGroups | scim.WriteGroups

// issue stores a new token of a directory that has these.
func (s *Service) issue(ctx context.Context, tx scim.Tx, key scim.Key, tokens []row[tokenRecord], r tokenRecord) (string, *Token, error) {
	var active []string
	var past []row[tokenRecord]
	for _, t := range tokens {
		if t.Value.active(r.Created) {
			active = append(active, fmt.Sprintf("%q, which ends in %s", t.Value.Label, t.Value.Hint))
		} else {
			past = append(past, t)
		}
	}
	if len(active) >= activeTokens {
		var wrong problems
		wrong.add("tokens", "the directory has %d that are active, which are as many as can be: %s; revoke the one that the identity provider does not use",
			len(active), strings.Join(active, ", and "))
		return "", nil, wrong.err("token")
	}
	slices.SortFunc(past, func(a, b row[tokenRecord]) int { return b.Value.ended().Compare(a.Value.ended()) })
	for _, old := range past[min(len(past), pastTokens-1):] {
		if err := s.remove(ctx, RecordKey{key.Tenant, KindToken, old.ID}); err != nil {
			return "", nil, err
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", nil, err
	}
	secret := newSecret(s.o.TokenPrefix, key.Tenant)
	r.ID, r.Directory, r.Hint = id.String(), key.Directory, secret[len(secret)-checksumLength:]
	sum := sha256.Sum256([]byte(secret))
	if _, err := s.put(ctx, RecordKey{key.Tenant, KindToken, hex.EncodeToString(sum[:])}, 0, &r); err != nil {
		return "", nil, err
	}
	return secret, r.token(key.Tenant), s.event(ctx, tx, key, scim.TokenCreated, r.ID, r.Label)
}

// Tokens returns the tokens of a directory, the newest first: the active ones,
// and of those that are revoked or expired the last ones. The error wraps
// [scim.ErrNotFound] if there is no such directory.
func (s *Service) Tokens(ctx context.Context, key scim.Key) ([]*Token, error) {
	if _, err := s.Get(ctx, key); err != nil {
		return nil, err
	}
	rows, err := s.tokensOf(ctx, key)
	if err != nil {
		return nil, err
	}
	activity, err := s.Activity(ctx, key)
	if err != nil {
		return nil, err
	}
	tokens := make([]*Token, len(rows))
	for i, r := range rows {
		tokens[i] = r.Value.token(key.Tenant)
		tokens[i].Used = activity.Tokens[r.Value.ID]
	}
	slices.SortFunc(tokens, func(a, b *Token) int { return strings.Compare(b.ID, a.ID) }) // ids begin with the time
	return tokens, nil
}

// tokensOf reads the tokens of a directory.
func (s *Service) tokensOf(ctx context.Context, key scim.Key) ([]row[tokenRecord], error) {
	rows, err := all[tokenRecord](ctx, s, key.Tenant, KindToken)
	return slices.DeleteFunc(rows, func(r row[tokenRecord]) bool { return r.Value.Directory != key.Directory }), err
}

// RotateToken makes a token that takes the place of another one, with its label,
// scope and lifetime, and returns it as [Service.IssueToken] does. The other one
// ends after the overlap, or when it would have ended anyway, so that there is
// time to give the provider the new one: 7 days by default (0), 30 at most. The
// error wraps [scim.ErrNotFound] if the directory has no such token; it is an
// [*InvalidError] if the token is revoked, or another one is active beside it.
func (s *Service) RotateToken(ctx context.Context, key scim.Key, id string, overlap time.Duration) (secret string, t *Token, err error) {
	if overlap == 0 {
		overlap = defaultOverlap
	}
	var wrong problems
	if overlap < 0 || overlap > mostOverlap {
		wrong.add("overlap", "the old token is accepted for 30 days more at most; revoke it to end it at once")
		return "", nil, wrong.err("token")
	}
	now := s.now()
	err = s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		if _, err := s.live(ctx, key); err != nil {
			return err
		}
		tokens, err := s.tokensOf(ctx, key)
		if err != nil {
			return err
		}
		i, err := indexOf(tokens, key, id)
		if err != nil {
			return err
		}
		old := &tokens[i]
		if !old.Value.Revoked.IsZero() {
			wrong = nil
			wrong.add("token", "it is revoked; issue a new one")
			return wrong.err("token")
		}
		next := tokenRecord{
			Label: old.Value.Label, Scope: old.Value.Scope, Created: now, Expires: now.Add(old.Value.Lifetime), Lifetime: old.Value.Lifetime,
		}
		end := now.Add(overlap)
		sooner := end.Before(old.Value.Expires)
		if sooner {
			old.Value.Expires = end
		}
		// First what can be refused: a host that has begun the transaction may
		// commit all the same.
		if secret, t, err = s.issue(ctx, tx, key, tokens, next); err == nil && sooner {
			_, err = s.put(ctx, RecordKey{key.Tenant, KindToken, old.ID}, old.Version, &old.Value)
		}
		return err
	})
	if err != nil {
		return "", nil, err
	}
	return secret, t, nil
}

// RevokeToken ends a token: at once where it is called, and within five seconds
// on other replicas, where it can write nothing more at once. One that is revoked
// stays so. The error wraps [scim.ErrNotFound] if the directory has no such
// token.
func (s *Service) RevokeToken(ctx context.Context, key scim.Key, id string) error {
	return s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		tokens, err := s.tokensOf(ctx, key)
		if err != nil {
			return err
		}
		i, err := indexOf(tokens, key, id)
		if err != nil {
			return err
		}
		if !tokens[i].Value.Revoked.IsZero() {
			return errUnchanged
		}
		return s.revoke(ctx, tx, key, tokens[i])
	})
}

// revoke ends one token.
func (s *Service) revoke(ctx context.Context, tx scim.Tx, key scim.Key, t row[tokenRecord]) error {
	t.Value.Revoked = s.now()
	if _, err := s.put(ctx, RecordKey{key.Tenant, KindToken, t.ID}, t.Version, &t.Value); err != nil {
		return err
	}
	return s.event(ctx, tx, key, scim.TokenRevoked, t.Value.ID, t.Value.Label)
}

func indexOf(tokens []row[tokenRecord], key scim.Key, id string) (int, error) {
	i := slices.IndexFunc(tokens, func(r row[tokenRecord]) bool { return r.Value.ID == id })
	if i < 0 {
		return 0, fmt.Errorf("directory: directory %q of tenant %q has no token %q: %w", key.Directory, key.Tenant, id, scim.ErrNotFound)
	}
	return i, nil
}
