package directory

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
)

// Activity is when a directory was heard of last.
type Activity struct {
	// Tokens is the last use of each token, by the token's id.
	Tokens map[string]TokenUse `json:"tokens,omitempty"`

	// Refused is the last request with a token of the directory that is
	// revoked or expired, RefusedToken which one: a provider that still uses it
	// is not provisioning.
	Refused      TokenUse `json:"refused,omitzero"`
	RefusedToken string   `json:"refusedToken,omitempty"`
}

// Heard returns when a request with a valid token came last; zero: never.
func (a *Activity) Heard() (last time.Time) {
	for _, u := range a.Tokens {
		if u.Time.After(last) {
			last = u.Time
		}
	}
	return last
}

// Activity returns when a directory was heard of last: by any replica until its
// last [Service.Flush], by this one until now.
func (s *Service) Activity(ctx context.Context, key scim.Key) (*Activity, error) {
	kept, err := s.activity(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, g := range s.uses.pending(key) {
		g.addTo(&kept.Value, s.now())
	}
	return &kept.Value, nil
}

func (s *Service) activity(ctx context.Context, key scim.Key) (row[Activity], error) {
	kept, err := read[Activity](ctx, s, RecordKey{key.Tenant, KindActivity, key.Directory})
	if errors.Is(err, scim.ErrNotFound) {
		return row[Activity]{ID: key.Directory}, nil
	}
	return kept, err
}

// Flush writes what has gathered in memory about the use of tokens, one
// transaction for each directory that was heard of. Run calls it once a
// minute; a host that stops should call it once more. After an error what was
// not written is kept for the next call.
func (s *Service) Flush(ctx context.Context) error {
	byDirectory := map[scim.Key]map[digest]gathered{}
	for sum, g := range s.uses.take() {
		if byDirectory[g.key] == nil {
			byDirectory[g.key] = map[digest]gathered{}
		}
		byDirectory[g.key][sum] = g
	}
	var errs []error
	for key, taken := range byDirectory {
		if err := s.flush(ctx, key, taken); err != nil {
			for sum, g := range taken {
				s.uses.add(sum, g)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Service) flush(ctx context.Context, key scim.Key, taken map[digest]gathered) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.store.Do(ctx, key.Tenant, func(ctx context.Context, _ scim.Tx) error {
		kept, err := s.activity(ctx, key)
		if err != nil {
			return err
		}
		for _, g := range taken {
			g.addTo(&kept.Value, s.now())
		}
		if len(kept.Value.Tokens) > activeTokens+pastTokens {
			// Of tokens that are forgotten nothing is to be known.
			tokens, err := s.tokensOf(ctx, key)
			if err != nil {
				return err
			}
			known := map[string]TokenUse{}
			for _, t := range tokens {
				if u, ok := kept.Value.Tokens[t.Value.ID]; ok {
					known[t.Value.ID] = u
				}
			}
			kept.Value.Tokens = known
		}
		_, err = s.put(ctx, RecordKey{key.Tenant, KindActivity, key.Directory}, kept.Version, &kept.Value)
		return err
	})
}

// A use notes the requests with one token. There can be several of a token: that
// of the snapshot before is still somebody's who was let in by it.
type use struct {
	uses  *uses
	sum   digest
	key   scim.Key
	token string // its id
}

// note keeps a request with the token.
func (u *use) note(o *Options, r *http.Request, now time.Time) {
	u.uses.add(u.sum, gathered{key: u.key, token: u.token, last: useOf(o, r, now)})
}

// refuse keeps a request that was refused because the token has ended.
func (u *use) refuse(o *Options, r *http.Request, now time.Time) {
	u.uses.add(u.sum, gathered{key: u.key, token: u.token, refused: useOf(o, r, now)})
}

func useOf(o *Options, r *http.Request, now time.Time) TokenUse {
	address := ""
	if a := clientAddress(o, r); a.IsValid() {
		address = a.String()
	}
	return TokenUse{Time: now.UTC().Truncate(time.Second), Address: address, Client: printable(r.Header.Get("User-Agent"))}
}

// gathered is what is to be written about a token.
type gathered struct {
	key           scim.Key
	token         string
	last, refused TokenUse
}

// addTo puts what has gathered into a directory's record, unless another replica
// knows of something later.
func (g *gathered) addTo(a *Activity, now time.Time) {
	if g.last.follows(a.Tokens[g.token], now) {
		if a.Tokens == nil {
			a.Tokens = map[string]TokenUse{}
		}
		a.Tokens[g.token] = g.last
	}
	if g.refused.follows(a.Refused, now) {
		a.Refused, a.RefusedToken = g.refused, g.token
	}
}

// clocksDiffer is how far apart the clocks of replicas may be. A time that lies
// farther ahead is of a clock that was wrong, and not waited for.
const clocksDiffer = time.Hour

// follows reports whether the use is the later one of the two.
func (u TokenUse) follows(other TokenUse, now time.Time) bool {
	return !u.Time.IsZero() && (u.Time.After(other.Time) || other.Time.After(now.Add(clocksDiffer)))
}

// uses are what is to be written about tokens: one entry a token, so it is
// bounded by the tokens that there are.
type uses struct {
	mu      sync.Mutex
	waiting map[digest]gathered
}

func newUses() *uses { return &uses{waiting: map[digest]gathered{}} }

// of returns what notes the requests with a token.
func (s *uses) of(sum digest, key scim.Key, token string) *use {
	return &use{uses: s, sum: sum, key: key, token: token}
}

// add keeps what is later of that and what is there.
func (s *uses) add(sum digest, g gathered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.waiting[sum]
	if was.last.Time.After(g.last.Time) {
		g.last = was.last
	}
	if was.refused.Time.After(g.refused.Time) {
		g.refused = was.refused
	}
	s.waiting[sum] = g
}

// pending returns what waits of a directory.
func (s *uses) pending(key scim.Key) (list []gathered) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.waiting {
		if g.key == key {
			list = append(list, g)
		}
	}
	return list
}

// take returns what waits and forgets it.
func (s *uses) take() map[digest]gathered {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.waiting
	s.waiting = map[digest]gathered{}
	return taken
}

// clientAddress returns the address that a request came from, or an invalid one.
func clientAddress(o *Options, r *http.Request) netip.Addr {
	text := o.ClientIP(r)
	if a, err := netip.ParseAddr(strings.Trim(text, "[] ")); err == nil {
		return a.Unmap().WithZone("")
	}
	a, _ := netip.ParseAddrPort(text) // of a connection, with its port
	return a.Addr().Unmap().WithZone("")
}

// printable returns what is kept of a client's text.
func printable(s string) string {
	const most = 200
	s = strings.ToValidUTF8(s[:min(len(s), most)], "")
	return strings.Clone(strings.Map(func(r rune) rune {
		if r < ' ' || r == '\x7f' {
			return -1
		}
		return r
	}, s))
}
