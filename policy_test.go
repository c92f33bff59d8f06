package scim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A policy is written and read by name, and a slip is an error.
func TestPolicyByName(t *testing.T) {
	policy := scim.Policy{
		Email: scim.EmailWithinDomains, EmailSource: scim.UserNameThenEmails, Domain: scim.GuestDomain,
		UnknownMembers: scim.RejectUnknownMembers, DuplicateGroupNames: true,
		Off: scim.CreateUsers | scim.SyncGroups, Lock: scim.LastWriteWins, Seats: scim.FreeRoleSeats, FreeRole: "viewer",
		MassChange: scim.HoldMassChange,
	}
	written, err := json.Marshal(struct {
		scim.Policy
		Dialect scim.Dialect
	}{policy, scim.Entra})
	require.NoError(t, err)
	require.JSONEq(t, `{"Email":"domains","EmailSource":"userName","Domain":"guest","UnknownMembers":"reject",
		"DuplicateGroupNames":true,"RejoinByEmail":false,
		"Off":"create,groups","Lock":"last-write-wins","Seats":"free-role","FreeRole":"viewer","MassChange":"hold","Dialect":"entra"}`, string(written))
	var read scim.Policy
	require.NoError(t, json.Unmarshal(written, &read))
	require.Equal(t, policy, read)

	for _, wrong := range []string{
		`{"Email":"never"}`, `{"EmailSource":"mail"}`, `{"Domain":""}`, `{"UnknownMembers":"Drop"}`,
		`{"Off":"create,invite"}`, `{"Lock":"none"}`, `{"Seats":"evict"}`, `{"MassChange":"ignore"}`,
	} {
		require.Error(t, json.Unmarshal([]byte(wrong), &read), wrong)
	}
	var dialect scim.Dialect
	require.NoError(t, dialect.UnmarshalText([]byte("okta")))
	require.Equal(t, scim.Okta, dialect)
	require.ErrorContains(t, dialect.UnmarshalText([]byte("oktta")), "oktta")
	require.Contains(t, scim.EmailPolicy(9).String(), "9")
	require.Contains(t, scim.Dialect(99).String(), "99")
}

// Everybody is refused behind a domain that nobody's email can be in, so a slip
// is found when the program starts.
func TestA6DirectoryRefusesImpossibleDomains(t *testing.T) {
	for _, domain := range []string{"", "*.example.com", "@example.com", "ada@example.com", "example", "exa mple.com", "-.example"} {
		d := &scim.Directory{Tenant: "acme", ID: "okta", Domains: []string{"example.com", domain}}
		require.Error(t, d.Validate(), "%q", domain)
		_, err := scim.StaticTokens(scim.Token{Secret: testToken, Label: "first", Directory: d})
		require.ErrorContains(t, err, "first")
	}
	for _, domain := range []string{"example.com", "EXAMPLE.com", "bücher.example", "xn--bcher-kva.example"} {
		require.NoError(t, (&scim.Directory{Tenant: "acme", ID: "okta", Domains: []string{domain}}).Validate(), domain)
	}
	require.Error(t, (&scim.Directory{ID: "okta"}).Validate())
	require.Error(t, (&scim.Directory{Tenant: "acme"}).Validate())
}

// E2: what is wrong with static tokens is said without saying a token.
func TestStaticTokensRefuse(t *testing.T) {
	d := &scim.Directory{Tenant: "acme", ID: "okta"}
	secret := "the-secret-itself-0123456789"
	for name, tokens := range map[string][]scim.Token{
		"no secret":    {{Directory: d}},
		"both":         {{Secret: secret, SHA256: secret, Directory: d}},
		"no directory": {{Secret: secret}},
		"short hash":   {{SHA256: "abcd", Directory: d}},
		"short":        {{Secret: secret[:21], Directory: d}},
		"twice":        {{Secret: secret, Directory: d}, {Secret: secret, Directory: d}},
	} {
		_, err := scim.StaticTokens(tokens...)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), secret[:21], name)
	}
	_, err := scim.StaticTokens(scim.Token{Secret: secret[:21], Label: "first", Directory: d})
	require.ErrorContains(t, err, "token 0 (first): Secret has fewer than 22 characters and could be guessed; make one with: openssl rand -hex 32")
	_, err = scim.StaticTokens(scim.Token{Secret: secret[:22], Directory: d})
	require.NoError(t, err)
}

// A builder makes one resource; a second use is an error and touches nothing.
func TestBuilderMakesOneResource(t *testing.T) {
	b := scim.CoreTypes().New(scim.Key{Tenant: "acme", Directory: "okta"}, "User").Set("userName", "ada")
	first, err := b.Resource()
	require.NoError(t, err)
	_, err = b.Set("userName", "eve").Resource()
	require.ErrorContains(t, err, "one resource")
	require.Equal(t, "ada", first.User().UserName())
	_, err = scim.CoreTypes().New(scim.Key{}, "Robot").Set("userName", "x").ID("1").Resource()
	require.ErrorContains(t, err, "Robot")
}

// What Config.BaseURL holds is safe between the quotes of JSON.
func TestBaseURLIsEscaped(t *testing.T) {
	auth, err := scim.StaticTokens(scim.Token{Secret: testToken, Directory: &scim.Directory{Tenant: "acme", ID: "okta"}})
	require.NoError(t, err)
	h, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, auth, &scim.Config{BaseURL: `https://api.example/a"b/`})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/ServiceProviderConfig", nil)
	r.Header.Set("Authorization", "Bearer "+testToken)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.True(t, json.Valid(w.Body.Bytes()), w.Body.String())
	require.Contains(t, w.Body.String(), `"https://api.example/a%22b/ServiceProviderConfig"`)
}
