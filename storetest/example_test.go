package storetest_test

import (
	"testing"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/storetest"
)

// The test of a store that a host has written over its own tables. newHostStore
// opens it; the resource types are those that the kit asks it about.
func ExampleRun() {
	TestHostStore := func(t *testing.T) {
		storetest.Run(t, func(_ *testing.T, types *scim.Types) scim.Store {
			return newHostStore(types)
		}, nil)
	}
	_ = TestHostStore // go test calls it
	// Output:
}

// Over a database that is opened once, one store answers for all cases: each
// has tenants of its own. What is kept must be there when it is opened again.
func ExampleRun_database() {
	TestHostStore := func(t *testing.T) {
		var store *hostStore
		storetest.Run(t, func(_ *testing.T, types *scim.Types) scim.Store {
			if store == nil {
				store = newHostStore(types)
			}
			return store
		}, &storetest.Options{
			Reopen: func(_ *testing.T, store scim.Store) scim.Store { return store.(*hostStore).reopened() },
		})
	}
	_ = TestHostStore
	// Output:
}
