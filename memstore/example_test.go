package memstore_test

import (
	"context"
	"errors"
	"fmt"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// A transaction is all or nothing: here the second user has the name of the
// first, in another case.
func ExampleStore_Do() {
	types := scim.CoreTypes()
	store := memstore.New(types, nil)
	key := scim.Key{Tenant: "acme", Directory: "okta"}

	err := store.Do(context.Background(), key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		for id, name := range []string{"ann@example.com", "Ann@Example.com"} {
			user, err := types.New(key, "User").ID(fmt.Sprintf("u%d", id)).Set("userName", name).Resource()
			if err != nil {
				return err
			}
			if _, err := tx.Create(ctx, user); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println(err, errors.Is(err, scim.ErrUniqueness))

	page, _ := store.List(context.Background(), &scim.Query{Directory: key, Type: types.Type("User"), StartIndex: 1, Count: 10})
	fmt.Println(page.Total, "users")
	// Output:
	// scim: value is not unique: userName true
	// 0 users
}
