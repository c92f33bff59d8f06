package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/roles"
)

// A snapshot is what requests of a tenant are served with, as it was at one
// revision. Only the times in it change.
type snapshot struct {
	tenant      string
	revision    uint64
	checked     atomic.Int64 // when the revision was the present one, in Unix nanoseconds
	tokens      map[digest]*credential
	directories map[string]served
}

// A served directory is what its requests are served with, or why they cannot
// be: one that cannot be read does not stop the tenant's others.
type served struct {
	*scim.Directory
	err error
}

// A credential is a token as requests meet it. What every request looks at comes
// first, in one line of the processor's cache: with many thousand tokens in use,
// reading them from memory is most of what a check takes.
type credential struct {
	checked atomic.Int64 // the snapshot's
	noted   atomic.Int64 // the second of the last use that was noted, in Unix time
	expires time.Time
	err     error // the directory cannot be served
	revoked bool

	bearer, bare scim.Caller // with the scheme before the token, and without
	use          *use
}

// note keeps a request with the token, one in a second: in any other, it costs
// a comparison.
func (c *credential) note(o *Options, r *http.Request, now time.Time) {
	if second := now.Unix(); c.noted.Load() != second && c.noted.Swap(second) != second {
		c.use.note(o, r, now)
	}
}

// check notes that s was the present snapshot at that time.
func (s *snapshot) check(at time.Time) {
	s.checked.Store(at.UnixNano())
	for _, c := range s.tokens {
		c.checked.Store(at.UnixNano())
	}
}

// readings is how often a tenant is read anew because it was being changed
// meanwhile.
const readings = 8

// readTenant returns the tenant's present snapshot, which is was where nothing
// has changed; nil where nothing was ever configured.
func (s *Service) readTenant(ctx context.Context, tenant string, was *snapshot) (*snapshot, error) {
	for range readings {
		began := s.now()
		tally, err := s.store.Tally(ctx, tenant)
		switch {
		case err != nil:
			return nil, err
		case tally.Revision == 0:
			return nil, nil
		case was != nil && was.revision == tally.Revision:
			was.check(began)
			return was, nil
		}
		read := &snapshot{tenant: tenant, revision: tally.Revision}
		if read.directories, err = s.readDirectories(ctx, tenant, read.revision); err != nil {
			return nil, err
		}
		if err := s.readTokens(ctx, read, was); err != nil {
			return nil, err
		}
		// Each change makes the revision grow: if it is the same before and
		// after, what was read in between belongs together.
		switch after, err := s.store.Tally(ctx, tenant); {
		case err != nil:
			return nil, err
		case after.Revision == read.revision:
			read.check(began)
			return read, nil
		}
	}
	return nil, fmt.Errorf("directory: tenant %q was changed %d times while it was read", tenant, readings)
}

// readDirectories reads what the tenant's directories are made of: in the
// transaction of the context, if it has one.
func (s *Service) readDirectories(ctx context.Context, tenant string, revision uint64) (map[string]served, error) {
	domains, err := s.verifiedDomains(ctx, tenant)
	if err != nil {
		return nil, err
	}
	mappers := map[string]served{} // of which only Roles and err are set
	for r, err := range s.records(ctx, tenant, KindMapping) {
		if err != nil {
			return nil, err
		}
		mapper, err := mapperOf(r)
		mappers[r.ID] = served{&scim.Directory{Roles: mapper}, err}
	}
	directories := map[string]served{}
	live := 0
	for r, err := range s.records(ctx, tenant, KindDirectory) {
		if err != nil {
			return nil, err
		}
		d, err := decodeDirectory(r)
		if err != nil {
			s.log.ErrorContext(ctx, "directory: a directory cannot be served", "tenant", tenant, "directory", r.ID, "error", err)
			directories[r.ID] = served{err: err}
			live++
			continue
		}
		one := served{Directory: &scim.Directory{
			Tenant: tenant, ID: d.ID, Domains: domains, Policy: d.Policy, Dialect: d.Provider,
			Disabled: d.State != Enabled, Claims: d.Claims, Revision: revision,
		}}
		if m, ok := mappers[d.ID]; ok {
			one.Roles, one.err = m.Roles, m.err
		}
		if len(d.Profile) > 0 && one.err == nil {
			one.Profile, one.err = s.types.ParseProfile(d.Profile)
		}
		if one.err != nil {
			s.log.ErrorContext(ctx, "directory: a mapping of roles or of the profile cannot be served", "tenant", tenant, "directory", d.ID, "error", one.err)
		}
		directories[d.ID] = one
		if d.State != Retired {
			live++
		}
	}
	for _, d := range directories {
		if d.Directory != nil {
			d.Shared = live > 1
		}
	}
	return directories, nil
}

// A mappingRecord is what is kept of a directory's role mapping.
type mappingRecord struct {
	Mapping roles.Mapping `json:"mapping"`
}

// mapperOf reads a mapping as it is to be applied. Which roles exist and which
// are protected was checked when it was saved; where that has changed since, the
// engine leaves the role out and tells of it (rule C9) instead of stopping the
// directory.
func mapperOf(r *Record) (*roles.Mapper, error) {
	m, err := decode[mappingRecord](r)
	if err != nil {
		return nil, err
	}
	m.Value.Mapping.Roles, m.Value.Mapping.Protected = nil, nil
	return roles.New(m.Value.Mapping)
}

// readTokens reads the tokens of a snapshot. was is the one before it, or nil:
// what has gathered of a token's use goes over.
func (s *Service) readTokens(ctx context.Context, read, was *snapshot) error {
	read.tokens = map[digest]*credential{}
	for r, err := range s.records(ctx, read.tenant, KindToken) {
		if err != nil {
			return err
		}
		var sum digest
		t, err := decode[tokenRecord](r)
		if n, hexErr := hex.Decode(sum[:], []byte(r.ID)); err == nil && (hexErr != nil || n != len(sum)) {
			err = errors.New("directory: the key of a token is no digest")
		}
		if err != nil { // nobody gets in by what cannot be read
			s.log.ErrorContext(ctx, "directory: a token cannot be read", "tenant", read.tenant, "error", err)
			continue
		}
		d, ok := read.directories[t.Value.Directory]
		if !ok {
			continue
		}
		c := &credential{expires: t.Value.Expires, revoked: !t.Value.Revoked.IsZero(), err: d.err}
		key := r.RecordKey
		c.bearer = scim.Caller{
			Directory: d.Directory, Actor: t.Value.Label, Scope: t.Value.Scope,
			Valid: func(ctx context.Context) error { return s.stillActive(ctx, key) },
		}
		c.bare = c.bearer
		c.bare.Fired = attr.BareToken
		if was != nil && was.tokens[sum] != nil {
			c.use = was.tokens[sum].use
		} else {
			c.use = s.uses.of(sum, scim.Key{Tenant: read.tenant, Directory: t.Value.Directory}, t.Value.ID)
		}
		read.tokens[sum] = c
	}
	return nil
}

// stillActive tells whether a token that was accepted is one that the transaction
// of the context accepts.
func (s *Service) stillActive(ctx context.Context, key RecordKey) error {
	t, err := read[tokenRecord](ctx, s, key)
	switch {
	case isNotFound(err):
		return fmt.Errorf("%w: the token is no longer there", scim.ErrUnauthenticated)
	case err != nil:
		return err
	case !t.Value.active(s.now()):
		s.cache.drop(key.Tenant) // what it was accepted by is out of date
		return fmt.Errorf("%w: token %s has ended", scim.ErrUnauthenticated, t.Value.ID)
	}
	return nil
}

// Current returns a directory as the transaction of the context sees it
// ([scim.DirectorySource]).
func (s *Service) Current(ctx context.Context, tally *scim.Tally, key scim.Key) (*scim.Directory, error) {
	var directories map[string]served
	if held := s.cache.held(tally.Revision, key.Tenant); held != nil {
		directories = held.directories
	} else {
		// The transaction may have changed it itself and be rolled back, so what
		// it sees is not kept, only what is kept not trusted any more.
		s.cache.drop(key.Tenant)
		var err error
		if directories, err = s.readDirectories(ctx, key.Tenant, tally.Revision); err != nil {
			return nil, err
		}
	}
	d, ok := directories[key.Directory]
	switch {
	case !ok:
		return nil, fmt.Errorf("directory: tenant %q has no directory %q: %w", key.Tenant, key.Directory, scim.ErrNotFound)
	case d.err != nil:
		return nil, d.err
	}
	return d.Directory, nil
}

// A digest is the SHA-256 of a token, all that is kept of it.
type digest [sha256.Size]byte
