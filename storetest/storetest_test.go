package storetest_test

import (
	"testing"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/storetest"
)

func TestMemstore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ *testing.T, types *scim.Types) scim.Store { return memstore.New(types, nil) }, &storetest.Options{
		Parallel: true,
		// It forgets all with the process; what is asked of those that do not is
		// asked of the same store.
		Reopen: func(_ *testing.T, store scim.Store) scim.Store { return store },
	})
}

// One store serves all cases, as a database does that is opened once.
func TestSharedMemstore(t *testing.T) {
	t.Parallel()
	var shared *memstore.Store
	storetest.Run(t, func(_ *testing.T, types *scim.Types) scim.Store {
		if shared == nil {
			shared = memstore.New(types, nil)
		}
		return shared
	}, &storetest.Options{Rounds: 1, Seed: 100})
}

func TestHostStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ *testing.T, types *scim.Types) scim.Store { return newHostStore(types) }, &storetest.Options{
		Reopen: func(_ *testing.T, store scim.Store) scim.Store { return store.(*hostStore).reopened() },
	})
}
