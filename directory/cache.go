package directory

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
)

const (
	// maxAge is how long a snapshot is served without asking whether it is still
	// the present one: what a token's revocation takes at most to hold for reads
	// on another replica (rule E2).
	maxAge = 5 * time.Second

	// readTimeout bounds one reading of a tenant.
	readTimeout = 5 * time.Second

	// A generation of the cache ends after this time or with so many tenants in
	// it. What nobody has asked for in two generations is forgotten.
	generationTime    = 10 * time.Minute
	generationTenants = 1 << 15

	// The same for names of tenants that do not exist.
	unknownTime    = maxAge / 2
	unknownTenants = 1 << 12

	// The same for names of tenants that exist, which are remembered for much
	// longer than what was read of them: a provider comes again after an hour, or
	// the next day.
	namesTime = 24 * time.Hour
	namesMost = 1 << 16
)

// A cache keeps the snapshots of tenants that were asked for lately. Tenants
// are named as in their tokens ([encodeTenant]), so that a request needs no
// memory to look its own up.
type cache struct {
	read func(ctx context.Context, tenant string, was *snapshot) (*snapshot, error)
	now  func() time.Time

	mu       sync.RWMutex
	known    generations[*snapshot]
	tokens   map[digest]*credential // those in use, of the snapshots in known.young
	unknown  generations[struct{}]  // nothing was ever configured for them
	names    generations[struct{}]  // something is: reading them again serves somebody
	readings map[string]*reading
}

func newCache(s *Service) *cache {
	c := &cache{
		read:     s.readTenant,
		now:      s.now,
		known:    newGenerations[*snapshot](generationTime, generationTenants, s.now()),
		unknown:  newGenerations[struct{}](unknownTime, unknownTenants, s.now()),
		names:    newGenerations[struct{}](namesTime, namesMost, s.now()),
		readings: map[string]*reading{},
	}
	c.known.begin = func() { c.tokens = map[digest]*credential{} }
	c.known.begin()
	return c
}

// token returns a token that was met before, nil if its tenant must be asked for.
func (c *cache) token(sum digest, now time.Time) *credential {
	c.mu.RLock()
	held := c.tokens[sum]
	c.mu.RUnlock()
	if held == nil || !fresh(held.checked.Load(), now) {
		return nil
	}
	return held
}

// met keeps a token that names the tenant and is in its snapshot, so that the next
// request with it finds it at once. Only such a token is kept: a record that came
// to another tenant by mistake lets nobody in there.
func (c *cache) met(name string, in *snapshot, sum digest, token *credential) {
	c.mu.RLock()
	known := c.tokens[sum] == token
	c.mu.RUnlock()
	if known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known.young[name] == in { // else it was dropped meanwhile
		c.tokens[sum] = token
	}
}

// keep replaces what is kept of a tenant.
func (c *cache) keep(name string, s *snapshot) {
	c.forget(name)
	c.known.put(name, s, c.now())
}

// forget removes what is kept of a tenant.
func (c *cache) forget(name string) {
	if s := c.known.young[name]; s != nil {
		for sum := range s.tokens {
			delete(c.tokens, sum)
		}
	}
	c.known.remove(name)
}

// A reading of a tenant is done once for all who wait for it.
type reading struct {
	done     chan struct{}
	snapshot *snapshot // nil: there is no such tenant
	err      error
}

// get returns the tenant's snapshot, which was the present one at most maxAge
// ago; nil if there is no such tenant. allow is asked before a tenant is read of
// which nothing is known, and its error returned. An error of the storage wraps
// [scim.ErrUnavailable]: nothing is served that may be out of date.
func (c *cache) get(ctx context.Context, name string, now time.Time, allow func() error) (*snapshot, error) {
	c.mu.RLock()
	held := c.known.young[name]
	c.mu.RUnlock()
	if held.fresh(now) {
		return held, nil
	}
	r, held, err := c.reading(name, now, allow)
	if r == nil {
		return held, err
	}
	select {
	case <-r.done:
		return r.snapshot, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", scim.ErrUnavailable, ctx.Err())
	}
}

// reading returns the reading of the tenant to wait for, or nil and what is
// known already.
func (c *cache) reading(name string, now time.Time, allow func() error) (*reading, *snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for allowed := false; ; {
		held, _ := c.known.get(name, now)
		if held.fresh(now) {
			return nil, held, nil
		}
		if _, unknown := c.unknown.peek(name, now); unknown && held == nil {
			return nil, nil, nil
		}
		if r := c.readings[name]; r != nil {
			return r, nil, nil
		}
		if _, exists := c.names.get(name, now); exists || held != nil || allowed {
			name = strings.Clone(name) // the rest of the header is not to be kept
			r := &reading{done: make(chan struct{})}
			c.readings[name] = r
			go c.run(name, r, held)
			return r, nil, nil
		}
		if err := c.unlocked(allow); err != nil {
			return nil, nil, err
		}
		allowed = true
	}
}

// unlocked calls what may take its time, or panic, because it is the host's.
func (c *cache) unlocked(call func() error) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	return call()
}

// run reads the tenant. Its context is not the first request's: others wait for
// it too.
func (c *cache) run(name string, r *reading, was *snapshot) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	defer close(r.done)
	defer func() {
		if p := recover(); p != nil { // of the storage: it must not end the program
			r.snapshot, r.err = nil, fmt.Errorf("directory: panic: %v", p)
		}
		if r.err != nil {
			r.err = fmt.Errorf("%w: %w", scim.ErrUnavailable, r.err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.readings[name] != r {
			return // dropped meanwhile: it may be out of date already
		}
		delete(c.readings, name)
		switch {
		case r.err != nil:
		case r.snapshot == nil:
			c.forget(name)
			c.names.remove(name)
			c.unknown.put(name, struct{}{}, c.now())
		default:
			c.keep(name, r.snapshot)
			c.names.put(name, struct{}{}, c.now())
		}
	}()
	tenant, ok := decodeTenant(name)
	if !ok {
		return // no tenant is written so
	}
	r.snapshot, r.err = c.read(ctx, tenant, was)
}

// held returns the tenant's snapshot if it is that of the revision.
func (c *cache) held(revision uint64, tenant string) *snapshot {
	name := encodeTenant(tenant)
	c.mu.RLock()
	defer c.mu.RUnlock()
	s := c.known.young[name]
	if s == nil {
		s = c.known.old[name]
	}
	if s == nil || s.revision != revision {
		return nil
	}
	return s
}

// drop forgets a tenant. Who asks from now on waits for no reading that began
// before.
func (c *cache) drop(tenant string) {
	name := encodeTenant(tenant)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(name)
	c.unknown.remove(name)
	delete(c.readings, name)
}

// fresh reports whether s need not be checked.
func (s *snapshot) fresh(now time.Time) bool { return s != nil && fresh(s.checked.Load(), now) }

// fresh reports whether what was checked then, in Unix nanoseconds, need not be
// again. A clock that was set back makes it old.
func fresh(checked int64, now time.Time) bool {
	age := now.Sub(time.Unix(0, checked))
	return age >= 0 && age < maxAge
}

// Generations are a map that forgets what it was not asked for lately: there are
// two, and the older one is dropped when the younger has lasted for its time or
// is full. Nothing sweeps.
type generations[T any] struct {
	young, old map[string]T
	turned     time.Time // when young began
	lifetime   time.Duration
	most       int
	begin      func() // called when a generation begins; may be nil
}

func newGenerations[T any](lifetime time.Duration, most int, now time.Time) generations[T] {
	return generations[T]{young: map[string]T{}, turned: now, lifetime: lifetime, most: most}
}

// turn begins a new generation if it is time to.
func (g *generations[T]) turn(now time.Time) {
	age := now.Sub(g.turned)
	switch {
	case age >= 0 && age < g.lifetime && len(g.young) < g.most:
		return
	case age < 0 || age >= 2*g.lifetime:
		g.young = nil // too old as well
	}
	g.young, g.old, g.turned = map[string]T{}, g.young, now
	if g.begin != nil {
		g.begin()
	}
}

// get returns what is kept under a key, for another generation.
func (g *generations[T]) get(key string, now time.Time) (v T, ok bool) {
	g.turn(now)
	if v, ok = g.young[key]; ok {
		return v, true
	}
	if v, ok = g.old[key]; ok {
		key = strings.Clone(key)
		delete(g.old, key)
		g.young[key] = v
	}
	return v, ok
}

// peek returns what is kept under a key, for no longer than it would be.
func (g *generations[T]) peek(key string, now time.Time) (v T, ok bool) {
	g.turn(now)
	if v, ok = g.young[key]; !ok {
		v, ok = g.old[key]
	}
	return v, ok
}

// put keeps a value. The key is kept too.
func (g *generations[T]) put(key string, v T, now time.Time) {
	g.turn(now)
	delete(g.old, key)
	g.young[key] = v
}

func (g *generations[T]) remove(key string) {
	delete(g.young, key)
	delete(g.old, key)
}
