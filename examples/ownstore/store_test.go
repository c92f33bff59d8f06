package main

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/storetest"
)

// newStore returns a store over a database of its own.
func newStore(t *testing.T, types *scim.Types) *Store {
	t.Helper()
	db, err := openDatabase(t.Context(), filepath.Join(t.TempDir(), "app.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return &Store{db, types}
}

// The application has users and teams; the kit has devices too, which are kept
// elsewhere.
type withDevices struct {
	*Store
	devices scim.Store
}

func (s withDevices) of(typ string) scim.Store {
	if typ == "Device" {
		return s.devices
	}
	return s.Store
}

func (s withDevices) Get(ctx context.Context, ref scim.Ref, opts scim.GetOptions) (*scim.Resource, error) {
	return s.of(ref.Type).Get(ctx, ref, opts)
}

func (s withDevices) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	return s.of(q.Type.Name).List(ctx, q)
}

func (s withDevices) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	return s.of(r.Type().Name).Create(ctx, r)
}

func (s withDevices) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	return s.of(r.Type().Name).Replace(ctx, r, was)
}

func (s withDevices) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	return s.of(ref.Type).Delete(ctx, ref, was)
}

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T, types *scim.Types) scim.Store {
		return withDevices{newStore(t, types), memstore.New(types, nil)}
	}, &storetest.Options{
		Reopen: func(t *testing.T, store scim.Store) scim.Store {
			old := store.(withDevices)
			return withDevices{&Store{old.db, old.types}, old.devices}
		},
	})
}
