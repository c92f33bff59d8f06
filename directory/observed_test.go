package directory_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }

// Rule E4: what users have is listed by paths that a profile takes, with how
// many have it and an example of which nothing can be read.
func TestE4ObservedAttributes(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{Name: "Okta", Policy: anyDomain()})
	_, foreign := k.create(directory.Directory{Tenant: "umbrella", Name: "Theirs", Policy: anyDomain()})
	k.send(foreign, http.MethodPost, "/Users", `{"userName":"eve@acme.example","nickName":"Evil"}`, http.StatusCreated)
	k.send(secret, http.MethodPost, "/Users", `{"userName":"ben@acme.example","title":"Dr","active":false}`, http.StatusCreated)
	ada := k.send(secret, http.MethodPost, "/Users", `{"userName":"ada@acme.example","externalId":"00uA1B2c3","active":true,"password":"secret-pass",
		"name":{"givenName":"Ada","familyName":"Lovelace-King"},"title":"","locale":"en-GB",
		"emails":[{"value":"ada.lovelace@acme.example","type":"work","primary":true},{"value":"countess@home.example","type":"home"},{"value":"x@y.example","type":"Ada's own address, 1815"}],
		"phoneNumbers":[{"value":"+44 20 79460000","type":"work"}],"photos":[{"value":"https://example.com/ada.png","type":"photo"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines","employeeNumber":"1815","manager":{"value":"m-1"}}}`, http.StatusCreated)
	k.send(secret, http.MethodPost, "/Groups", `{"displayName":"Readers","members":[{"value":"`+ada+`"}]}`, http.StatusCreated)

	o, err := k.Observed(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, 2, o.Users)
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:"
	require.Equal(t, []directory.Observed{
		{Path: "externalId", Example: "99aA9A9a9", Users: 1},
		{Path: "userName", Example: "a…@a….a…", Users: 2},
		{Path: "name.familyName", Example: "Aa…-Aa…", Users: 1},
		{Path: "name.givenName", Example: "Aa…", Users: 1},
		{Path: "title", Example: "Aa", Users: 1},
		{Path: "locale", Example: "a…-A…", Users: 1},
		{Path: "active", Example: "true or false", Users: 2},
		{Path: "emails.value", Example: "a@a.a…", Users: 1},
		{Path: `emails[type eq "home"].value`, Example: "a…@a….a…", Users: 1},
		{Path: `emails[type eq "work"].value`, Example: "a….a…@a….a…", Users: 1},
		{Path: `phoneNumbers[type eq "work"].value`, Example: "+99 99 9999…", Users: 1},
		{Path: `photos[type eq "photo"].value`, Example: "a…://a….a…/a….a…", Users: 1},
		{Path: enterprise + "employeeNumber", Example: "9999", Users: 1},
		{Path: enterprise + "department", Example: "Aa…", Users: 1},
		{Path: enterprise + "manager.value", Example: "a-9", Users: 1},
	}, o.Attributes)

	shown, err := json.Marshal(o)
	require.NoError(t, err)
	for _, secret := range []string{"Lovelace", "lovelace", "ada", "1815", "Engines", "79460000", "secret-pass", "countess", "Readers", "Evil", "acme"} {
		require.NotContains(t, string(shown), secret, "nothing can be read")
	}
	paths := map[string]string{}
	for i, a := range o.Attributes {
		paths[fmt.Sprint("custom_", i)] = a.Path
	}
	d, err := k.Get(t.Context(), key)
	require.NoError(t, err)
	d.Profile = paths
	_, err = k.Update(t.Context(), d)
	require.NoError(t, err, "every path can be chosen")

	_, err = k.Observed(t.Context(), scim.Key{Tenant: "acme", Directory: "none"})
	require.ErrorIs(t, err, scim.ErrNotFound)
}

// However much users send, what is looked at and what is listed is bounded.
func TestE4ObservedIsBounded(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{Name: "Okta", Policy: anyDomain()})
	label := func(i int) string { return strings.Repeat("x", 1+i/26) + string(rune('a'+i%26)) }
	for i := range 210 {
		var emails []string
		for j := range 60 {
			emails = append(emails, fmt.Sprintf(`{"type":%q,"value":"%s@acme.example"}`, label((60*i + j) % 400)[:min(19, len(label((60*i+j)%400)))], strings.Repeat("é", 100)))
		}
		k.send(secret, http.MethodPost, "/Users", fmt.Sprintf(`{"userName":"u%d","emails":[{"value":"u%d@acme.example","primary":true},%s]}`, i, i, strings.Join(emails, ",")), http.StatusCreated)
	}
	o, err := k.Observed(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, 200, o.Users)
	require.Greater(t, len(o.Attributes), 100)
	require.LessOrEqual(t, len(o.Attributes), 500)
	for _, a := range o.Attributes {
		require.LessOrEqual(t, len([]rune(a.Example)), 41)
		require.LessOrEqual(t, a.Users, 200)
		require.NotContains(t, a.Example, "é")
	}
}

// A profile that cannot be meant is refused when it is saved, and one that is
// saved is what accounts are told with.
func TestE4TheProfileOfADirectory(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Profile: map[string]string{"department": "departement"}})
	require.Equal(t, []string{"profile"}, problems(t, err))
	require.ErrorContains(t, err, `profile attribute "department": path "departement": a user has no such attribute`)

	key, secret := k.create(directory.Directory{Name: "Okta", Policy: anyDomain(), Profile: map[string]string{"department": "department"}})
	id := k.send(secret, http.MethodPost, "/Users", `{"userName":"ada@acme.example","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines"}}`, http.StatusCreated)
	profile := func() scim.Profile {
		tally, err := k.store.Storage.Tally(t.Context(), "acme")
		require.NoError(t, err)
		d, err := k.Current(t.Context(), tally, key)
		require.NoError(t, err)
		a, err := k.Engine().Account(t.Context(), d, id)
		require.NoError(t, err)
		return a.Profile
	}
	require.Equal(t, map[string]string{"department": "Engines"}, profile().Custom)
	d, err := k.Get(t.Context(), key)
	require.NoError(t, err)
	d.Profile = map[string]string{"email": "userName"}
	_, err = k.Update(t.Context(), d)
	require.Equal(t, []string{"profile"}, problems(t, err))
	d.Profile = nil
	_, err = k.Update(t.Context(), d)
	require.NoError(t, err)
	require.Nil(t, profile().Custom)
}
