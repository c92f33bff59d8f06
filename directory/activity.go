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
	for _, u := range s.uses.pending() {
		if u.key == key {
			u.addTo(&kept.Value)
		}
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
	byDirectory := map[scim.Key][]*use{}
	for _, u := range s.uses.take() {
		byDirectory[u.key] = append(byDirectory[u.key], u)
	}
	var errs []error
	for key, uses := range byDirectory {
		if err := s.flush(ctx, key, uses); err != nil {
			s.uses.giveBack(uses)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Service) flush(ctx context.Context, key scim.Key, uses []*use) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.store.Do(ctx, key.Tenant, func(ctx context.Context, _ scim.Tx) error {
		kept, err := s.activity(ctx, key)
		if err != nil {
			return err
		}
		for _, u := range uses {
			u.addTo(&kept.Value)
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

// A use is what has gathered about one token.
type use struct {
	uses  *uses
	sum   digest
	key   scim.Key
	token string // its id

	mu            sync.Mutex
	last, refused TokenUse
	waits         bool // is in uses.waiting
}

// refuse keeps a request that was refused because the token has ended.
func (u *use) refuse(o *Options, r *http.Request, now time.Time) { u.keep(&u.refused, o, r, now) }

func (u *use) keep(to *TokenUse, o *Options, r *http.Request, now time.Time) {
	address := ""
	if a := clientAddress(o, r); a.IsValid() {
		address = a.String()
	}
	client := printable(r.Header.Get("User-Agent"))
	u.mu.Lock()
	defer u.mu.Unlock()
	*to = TokenUse{Time: now.UTC().Truncate(time.Second), Address: address, Client: client}
	if !u.waits {
		u.waits = true
		u.uses.add(u)
	}
}

// addTo puts what has gathered into a directory's record, unless another replica
// knows of something later.
func (u *use) addTo(a *Activity) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last.Time.After(a.Tokens[u.token].Time) {
		if a.Tokens == nil {
			a.Tokens = map[string]TokenUse{}
		}
		a.Tokens[u.token] = u.last
	}
	if u.refused.Time.After(a.Refused.Time) {
		a.Refused, a.RefusedToken = u.refused, u.token
	}
}

// uses are the uses that are to be written.
type uses struct {
	mu      sync.Mutex
	waiting map[digest]*use
}

func newUses() *uses { return &uses{waiting: map[digest]*use{}} }

// of returns what gathers about a token.
func (s *uses) of(sum digest, key scim.Key, token string) *use {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.waiting[sum]; u != nil {
		return u
	}
	return &use{uses: s, sum: sum, key: key, token: token}
}

func (s *uses) add(u *use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting[u.sum] = u
}

func (s *uses) pending() []*use {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*use, 0, len(s.waiting))
	for _, u := range s.waiting {
		list = append(list, u)
	}
	return list
}

// take returns the uses that wait and forgets them.
func (s *uses) take() []*use {
	s.mu.Lock()
	taken := s.waiting
	s.waiting = map[digest]*use{}
	s.mu.Unlock()
	list := make([]*use, 0, len(taken))
	for _, u := range taken {
		u.mu.Lock()
		u.waits = false // what comes from now on waits for the next time
		u.mu.Unlock()
		list = append(list, u)
	}
	return list
}

func (s *uses) giveBack(list []*use) {
	for _, u := range list {
		u.mu.Lock()
		if !u.waits {
			u.waits = true
			s.add(u)
		}
		u.mu.Unlock()
	}
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
