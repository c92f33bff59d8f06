package directory_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/roles"
)

// B7, E1: a host that named its directory in the program until now has people
// whom nobody has counted. They count once the directory is in the store.
func TestB7CreateCountsWhoIsThereAlready(t *testing.T) {
	t.Parallel()
	types := scim.CoreTypes()
	store := newStorage(types, nil)
	mapper, err := roles.New(roles.Mapping{Default: "admin"})
	require.NoError(t, err)
	const secret = "a-token-of-the-program-itself"
	static, err := scim.StaticTokens(scim.Token{Secret: secret, Directory: &scim.Directory{
		Tenant: "acme", ID: "okta", Domains: []string{"acme.example"},
	}})
	require.NoError(t, err)
	handler, err := scim.NewHandler(store, mapper, static, &scim.Config{Types: types})
	require.NoError(t, err)
	for _, name := range []string{"ada", "bob"} {
		r := httptest.NewRequest(http.MethodPost, "/Users", strings.NewReader(userBody(name)))
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
	}

	service, err := directory.New(store, &scim.Config{
		Types: types, Provisioner: newApp(),
		Catalog: scim.RoleCatalog{Administrators: []string{"admin"}, Billable: []string{"admin"}},
	}, nil)
	require.NoError(t, err)
	_, err = service.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "okta"})
	require.NoError(t, err)
	tally, err := store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	assert.Equal(t, 2, tally.Administrators)
	assert.Equal(t, 2, tally.Seats)
	assert.Equal(t, 2, tally.Directories["okta"].Active)
	assert.Equal(t, uint64(1), tally.Revision)
}
