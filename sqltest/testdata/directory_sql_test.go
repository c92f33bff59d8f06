package directory_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

// TestMain runs the tests of package directory on the store that SCIM_TEST_STORE
// names, in the place of memstore.
func TestMain(m *testing.M) {
	name := os.Getenv("SCIM_TEST_STORE")
	open := func(types *scim.Types, opts *memstore.Options) (scim.Ledger, error) {
		own := &sqlstore.Options{}
		if opts != nil {
			*own = sqlstore.Options{Now: opts.Now, Events: opts.Events, Requests: opts.Requests}
		}
		return sqltest.New(name, types, own)
	}
	newStorage = func(types *scim.Types, opts *memstore.Options) directory.Storage {
		store, err := open(types, opts)
		if err != nil {
			panic(err)
		}
		return store.(directory.Storage)
	}
	code := 0
	switch _, err := open(scim.CoreTypes(), nil); {
	case errors.Is(err, sqltest.ErrNoPostgreSQL) && os.Getenv("CI") != "true":
		fmt.Println("SKIPPED:", err)
	case err != nil:
		fmt.Println(err)
		code = 1
	default:
		code = m.Run()
	}
	sqltest.Close()
	os.Exit(code)
}
