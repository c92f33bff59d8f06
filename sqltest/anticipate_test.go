package sqltest_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

// What a transaction was told that it will be asked it answers as it would have
// without: of this directory, and after it has written too.
func TestAnticipatedAnswersAreTheSame(t *testing.T) {
	t.Parallel()
	recordedOn(t, nil, func(t *testing.T, _ string, store *sqlstore.Store, _ *sql.DB, r *sqltest.Recorder) {
		types := scim.CoreTypes()
		userType := types.Type("User")
		value, _ := userType.Lookup("emails.value", 0)
		userName, _ := userType.Lookup("userName", 0)
		other := scim.Key{Tenant: acme.Tenant, Directory: "other"}
		account := func(id string, change func(*scim.AccountState)) *scim.AccountState {
			a := &scim.AccountState{User: scim.Ref{Directory: acme, Type: "User", ID: id}, HostID: "h", ExternalID: "e", Email: "ann@x.test"}
			change(a)
			return a
		}
		newcomer := resource(t, types, "User", "u", map[string]any{"userName": "ann@x.test", "emails": []map[string]any{{"value": "ann@x.test"}}})
		require.NoError(t, store.Do(t.Context(), acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
			found := func(key scim.Key) (all []string) {
				for _, e := range []*filter.Compare{filter.Equal(value, "ANN@x.test"), filter.Equal(userName, "Ann@X.test")} {
					page, err := tx.List(ctx, &scim.Query{Directory: key, Type: userType, Filter: e, StartIndex: 1, Count: 100})
					require.NoError(t, err)
					if page.Total > 0 {
						all = append(all, e.Attr.Path())
					}
				}
				byExternal, err := tx.Departed(ctx, key, "e", "")
				require.NoError(t, err)
				byEmail, err := tx.Departed(ctx, key, "", "ann@x.test")
				require.NoError(t, err)
				keeper, err := tx.Keeper(ctx, key, "ann@x.test")
				require.NoError(t, err)
				for what, a := range map[string]*scim.AccountState{"external": byExternal, "email": byEmail, "keeper": keeper} {
					if a != nil {
						all = append(all, what)
					}
				}
				return all
			}
			anticipate := func(key scim.Key) {
				require.NoError(t, tx.(scim.Anticipator).Anticipate(ctx, &scim.Questions{
					Directory: key, Type: userType, ExternalID: "e", DepartedEmail: "ann@x.test", KeptEmail: "ann@x.test",
					Equal: []*filter.Compare{filter.Equal(value, "ann@x.test"), filter.Equal(userName, "ann@x.test")},
				}))
			}
			anticipate(acme)
			r.Take()
			require.Empty(t, found(acme))
			require.Empty(t, r.Take(), "it was asked before")

			anticipate(other)
			for _, step := range []struct {
				do   func() error
				want []string
			}{
				{func() error {
					return tx.PutAccount(ctx, account("gone", func(a *scim.AccountState) { a.Deleted = true }))
				}, []string{"external", "email"}},
				{func() error { _, err := tx.Create(ctx, newcomer); return err }, []string{"external", "email", "emails.value", "userName"}},
				{func() error {
					return tx.PutAccount(ctx, account("u", func(a *scim.AccountState) { a.RefusedEmail = "new@x.test" }))
				}, []string{"external", "email", "emails.value", "userName", "keeper"}},
				{func() error { return tx.Delete(ctx, newcomer.Ref(), 0) }, []string{"external", "email"}},
			} {
				require.NoError(t, step.do())
				require.ElementsMatch(t, step.want, found(acme))
				anticipate(other) // where nobody is
				require.ElementsMatch(t, step.want, found(acme))
				require.Empty(t, found(other))
				anticipate(acme)
				require.ElementsMatch(t, step.want, found(acme))
			}
			return nil
		}))
	})
}
