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

// B7, E1: what was counted wrongly is counted again.
func TestE1RecountMendsTheTally(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.apply(byName("viewer", "Admins admin"))
	w.team("Admins", w.person("ada"))
	w.person("bob")
	right, err := w.store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, 1, right.Administrators)
	w.tally(func(t *scim.Tally) {
		t.Administrators, t.Seats, t.Roles = 7, 7, map[string]int{"editor": 7}
		t.Directories = map[string]scim.DirectoryTally{"idp": {Active: 7}}
	})
	require.NoError(t, w.Recount(t.Context(), "acme"))
	mended, err := w.store.Tally(t.Context(), "acme")
	require.NoError(t, err)
	assert.Equal(t, right.Administrators, mended.Administrators)
	assert.Equal(t, right.Seats, mended.Seats)
	assert.Equal(t, right.Roles, mended.Roles)
	assert.Equal(t, 2, mended.Directories["idp"].Active)
	assert.Equal(t, 2, mended.Directories["idp"].Accounts)
}

// C9: a mapping that is saved anew is one of which invalid roles are told again;
// one that is the same is not.
func TestC9InvalidRolesOfAnotherMappingAreToldOfAgain(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.apply(byName("viewer"))
	w.tally(func(t *scim.Tally) {
		t.Directories = map[string]scim.DirectoryTally{"idp": {InvalidRoles: []string{"boss"}}}
	})
	told := func() []string {
		tally, err := w.store.Tally(t.Context(), "acme")
		require.NoError(t, err)
		return tally.Directories["idp"].InvalidRoles
	}
	w.apply(byName("viewer"))
	assert.Equal(t, []string{"boss"}, told())
	w.apply(byName("editor"))
	assert.Empty(t, told())
}

// A9, C5: who is an administrator through another directory as well loses
// nothing that counts.
func TestA9PreviewLooksAtOtherDirectories(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.app.set(func(a *app) { a.usage = scim.Usage{} })
	w.apply(byName("viewer", "Admins admin"))
	ada := w.person("ada")
	w.team("Admins", ada)

	alone, err := w.PreviewMapping(t.Context(), w.key, byName("viewer"))
	require.NoError(t, err)
	assert.Equal(t, []string{ada}, alone.Demoted)
	assert.True(t, alone.LastAdministrator)

	other := *w
	other.key, other.secret = w.create(directory.Directory{ID: "second", Policy: scim.Policy{Domain: scim.AnyDomain}})
	other.apply(byName("viewer", "Chiefs admin"))
	other.team("Chiefs", other.person("ada"))
	shared, err := w.PreviewMapping(t.Context(), w.key, byName("viewer"))
	require.NoError(t, err)
	require.Len(t, shared.Changes, 1)
	assert.Equal(t, []string{"admin"}, shared.Changes[0].Lost)
	assert.Empty(t, shared.Demoted)
	assert.False(t, shared.LastAdministrator)
	assert.Equal(t, 1, shared.SeatsNeeded)
}
