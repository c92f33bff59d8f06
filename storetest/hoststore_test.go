package storetest_test

import (
	"context"
	"maps"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
)

// A hostStore is the least that a host may write: five methods over a map,
// lists by looking at everything.
type hostStore struct {
	types *scim.Types
	mu    sync.Mutex
	rows  map[scim.Ref]*scim.Resource
}

func newHostStore(types *scim.Types) *hostStore {
	return &hostStore{types: types, rows: map[scim.Ref]*scim.Resource{}}
}

// reopened is the store as it is read back from what it keeps: JSON and meta.
func (s *hostStore) reopened() *hostStore {
	again := newHostStore(s.types)
	for ref, r := range s.rows {
		read, err := s.types.Decode(ref.Directory, ref.Type, []byte(r.JSON()), r.Meta())
		if err != nil {
			panic(err) // it is what a resource returned
		}
		again.rows[ref] = read
	}
	return again
}

func (s *hostStore) Get(_ context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rows[ref]; r != nil {
		return r, nil
	}
	return nil, scim.ErrNotFound
}

func (s *hostStore) List(_ context.Context, q *scim.Query) (*scim.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return scim.Select(q, maps.Values(s.rows)), nil
}

func (s *hostStore) Create(_ context.Context, r *scim.Resource) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[r.Ref()] != nil {
		return nil, &scim.UniquenessError{Attribute: "id"}
	}
	if err := scim.CheckUnique(r, maps.Values(s.rows)); err != nil {
		return nil, err
	}
	now := time.Now()
	r = r.WithMeta(scim.Meta{Created: now, LastModified: now, Version: 1})
	s.rows[r.Ref()] = r
	return r, nil
}

func (s *hostStore) Replace(_ context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.current(r.Ref(), was)
	if err != nil {
		return nil, err
	}
	if err := scim.CheckUnique(r, maps.Values(s.rows)); err != nil {
		return nil, err
	}
	r = r.WithMeta(scim.Meta{Created: old.Meta().Created, LastModified: time.Now(), Version: old.Version() + 1})
	s.rows[r.Ref()] = r
	return r, nil
}

func (s *hostStore) Delete(_ context.Context, ref scim.Ref, was scim.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.current(ref, was); err != nil {
		return err
	}
	delete(s.rows, ref)
	return nil
}

func (s *hostStore) current(ref scim.Ref, was scim.Version) (*scim.Resource, error) {
	old := s.rows[ref]
	switch {
	case old == nil:
		return nil, scim.ErrNotFound
	case was != 0 && old.Version() != was:
		return nil, scim.ErrVersion
	}
	return old, nil
}
