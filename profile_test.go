package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/memstore"
)

const badgeURN = "urn:example:params:scim:schemas:extension:badge:2.0:User"

// profileTypes are the core types with an extension that has a value of every
// kind.
func profileTypes(t testing.TB) *scim.Types {
	t.Helper()
	badge, err := attr.ParseSchema([]byte(`{"id":"` + badgeURN + `","name":"Badge","attributes":[
		{"name":"floor","type":"integer"},
		{"name":"weight","type":"decimal"},
		{"name":"remote","type":"boolean"},
		{"name":"since","type":"dateTime"},
		{"name":"key","type":"binary"},
		{"name":"home","type":"reference"},
		{"name":"tags","multiValued":true},
		{"name":"pin","returned":"never","mutability":"writeOnly"},
		{"name":"badges","type":"complex","multiValued":true,"subAttributes":[{"name":"number"},{"name":"type"},{"name":"secret","returned":"never"},{"name":"sites","multiValued":true}]}]}`))
	require.NoError(t, err)
	types, err := scim.CoreTypes().Extend("User", attr.Extension{Schema: badge})
	require.NoError(t, err)
	return types
}

const profiledUser = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada","externalId":"00u1","displayName":"Ada L.",
	"name":{"givenName":"Ada","familyName":"Lovelace","formatted":"Countess Lovelace"},"title":"Countess","locale":"en-GB","active":true,
	"emails":[{"value":"ada@acme.example","type":"home"},{"value":"lovelace@acme.example","type":"work","primary":true},{"value":"al@acme.example","type":"work"}],
	"phoneNumbers":[{"type":"fax"},{"value":"+44 1","type":"home"},{"value":"+44 2","type":"work"}],
	"photos":[{"value":"https://example.com/a.png","type":"thumbnail"},{"value":"https://example.com/b.png","type":"photo","primary":true}],
	"addresses":[{"type":"work","locality":"London"},{"type":"home","locality":"Ockham","country":"GB"}],
	"` + enterpriseURN + `":{"department":"Engines","employeeNumber":"7","manager":{"value":"m-1","displayName":"Charles"}},
	"` + badgeURN + `":{"floor":3,"weight":1.50,"remote":false,"since":"2026-11-22T04:00:00.1234567Z","key":"AQI=","home":"https://example.com/ada","tags":["z","a"],
		"pin":"1234","badges":[{"number":"1","type":"door"},{"number":"2","type":"gate","sites":["north","south"]}]}}`

// Rule E4: any attribute of a user can become one of the profile: one of its
// own or a custom one.
func TestE4ProfileMapping(t *testing.T) {
	types := profileTypes(t)
	for _, c := range []struct{ path, want, why string }{
		{"userName", "ada", "a text"},
		{"USERNAME", "ada", "in any case"},
		{"externalId", "00u1", ""},
		{"title", "Countess", ""},
		{"nickName", "", "without value"},
		{"name.givenName", "Ada", "a sub-attribute"},
		{"urn:ietf:params:scim:schemas:core:2.0:User:name.givenName", "Ada", "with the URN of the core"},
		{"emails", "lovelace@acme.example", "the primary one, and of it the value"},
		{"emails.value", "lovelace@acme.example", ""},
		{"emails.type", "work", ""},
		{`emails[type eq "home"].value`, "ada@acme.example", "the one that is chosen"},
		{`emails[type eq "work"]`, "lovelace@acme.example", "primary before others"},
		{`emails[type eq "work" and not (primary eq true)].value`, "al@acme.example", "any filter"},
		{`emails[type eq "other"].value`, "", "nothing is chosen"},
		{"phoneNumbers", "+44 1", "the first that has what is asked for"},
		{`photos.value`, "https://example.com/b.png", "a reference"},
		{"addresses.locality", "London", "the first"},
		{"addresses.country", "GB", "the first that has one"},
		{`addresses[type eq "home"].locality`, "Ockham", ""},
		{enterpriseURN + ":department", "Engines", "an extension"},
		{strings.ToUpper(enterpriseURN) + ":Department", "Engines", ""},
		{"department", "Engines", "by its short name"},
		{enterpriseURN + ":manager", "m-1", "a complex value stands for its value"},
		{enterpriseURN + ":manager.displayName", "", "what is read-only a client cannot set"},
		{"active", "true", "a Boolean"},
		{badgeURN + ":remote", "false", ""},
		{badgeURN + ":floor", "3", "a whole number"},
		{badgeURN + ":weight", "1.50", "a number as it is spelled"},
		{badgeURN + ":since", "2026-11-22T04:00:00.1234567Z", "a time as it was sent"},
		{badgeURN + ":key", "AQI=", "binary in base64"},
		{badgeURN + ":home", "https://example.com/ada", ""},
		{badgeURN + ":tags", "z", "of several plain values the first"},
		{badgeURN + ":badges.number", "1", "within an extension"},
		{badgeURN + `:badges[type eq "gate"].number`, "2", ""},
		{badgeURN + ":badges.sites", "north", "of several values in a value the first"},
	} {
		for _, name := range []string{"given_name", "custom_1"} {
			t.Run(name+"/"+c.path, func(t *testing.T) {
				profile, err := types.ParseProfile(map[string]string{name: c.path})
				require.NoError(t, err)
				p := profileWith(t, types, profile)
				if name == "given_name" {
					require.Equal(t, c.want, p.GivenName, c.why)
					require.Nil(t, p.Custom)
					return
				}
				require.Equal(t, "Ada", p.GivenName, "what is not mapped is as it was")
				if c.want == "" {
					require.Nil(t, p.Custom, "what has no value is not there")
				} else {
					require.Equal(t, map[string]string{name: c.want}, p.Custom, c.why)
				}
			})
		}
	}
}

// profileWith returns the profile that the application is told of a user who is
// created over HTTP.
func profileWith(t *testing.T, types *scim.Types, profile *scim.ProfileMap) scim.Profile {
	t.Helper()
	d := acme(scim.Policy{})
	d.Profile = profile
	r := newRig(t, newManaged(types, &memstore.Options{}), scim.NoRoles{}, d, func(cfg *scim.Config) { cfg.Types = types })
	ask{method: "POST", target: "/Users", body: profiledUser, header: map[string]string{"Authorization": "Bearer " + testToken}}.do(t, r).must(t, http.StatusCreated)
	told := r.app.drain()
	require.Len(t, told, 1)
	return told[0].Profile
}

// Rule E4: without configuration the mapping is the standard one, and so is
// every attribute that a configuration does not name.
func TestE4StandardMapping(t *testing.T) {
	types := profileTypes(t)
	standard := scim.Profile{
		Name: "Ada L.", GivenName: "Ada", FamilyName: "Lovelace", PreferredUserName: "ada",
		Picture: "https://example.com/a.png", Locale: "en-GB",
	}
	require.Equal(t, standard, profileWith(t, types, nil))
	none, err := types.ParseProfile(nil)
	require.NoError(t, err)
	require.Equal(t, standard, profileWith(t, types, none))

	all, err := types.ParseProfile(map[string]string{
		"name": "name.formatted", "given_name": "title", "family_name": "nickName", "preferred_username": "externalId",
		"picture": `photos[type eq "photo"].value`, "phone_number": `phoneNumbers[type eq "work"].value`, "locale": "preferredLanguage", "department": "department",
	})
	require.NoError(t, err)
	require.Equal(t, scim.Profile{
		Name: "Countess Lovelace", GivenName: "Countess", PreferredUserName: "00u1", Picture: "https://example.com/b.png", PhoneNumber: "+44 2",
		Custom: map[string]string{"department": "Engines"},
	}, profileWith(t, types, all), "what is mapped and has no value is empty")
}

// Rule E4: a mapping that cannot be meant is refused, with the attribute of the
// profile, the path and what to do.
func TestE4ProfileMappingsThatAreRefused(t *testing.T) {
	types := profileTypes(t)
	for _, c := range []struct{ name, path, says string }{
		{"email", "userName", "not to be mapped"},
		{"email_verified", "active", "not to be mapped"},
		{"", "title", "1 to 64"},
		{"Department", "title", "a-z, 0-9 and _"},
		{"de-partment", "title", "a-z, 0-9 and _"},
		{strings.Repeat("a", 65), "title", "1 to 64"},
		{"x", "", "path is empty"},
		{"x", "  ", "path is empty"},
		{"x", "departmnt", "no such attribute"},
		{"x", "name.nick", "no such attribute"},
		{"x", "urn:example:other:User:x", "no such attribute"},
		{"x", "name", "name one of them: formatted, familyName"},
		{"x", "addresses", "name one of them: formatted"},
		{"x", enterpriseURN, "name one of them: employeeNumber"},
		{"x", badgeURN + ":badges", "name one of them: number"},
		{"x", "emails[type eq]", "a value are expected"},
		{"x", `emails[type eq "work"`, "(RFC 7644"},
		{"x", `title[type eq "work"]`, "not a multi-valued complex attribute"},
		{"x", `emails[colour eq "red"].value`, "no such attribute"},
		{"x", "groups", "Account.Groups"},
		{"x", "groups.display", "Account.Groups"},
		{"x", `groups[type eq "direct"].value`, "Account.Groups"},
		{"x", "password", "never returned"},
		{"x", badgeURN + ":pin", "never returned"},
		{"x", badgeURN + ":badges.secret", "never returned"},
		{"x", badgeURN + `:badges[secret sw "a"].number`, "never returned"},
		{"x", "meta.created", "describes the resource"},
		{"x", "schemas", "describes the resource"},
		{"x", strings.Repeat("a", 10_000), "path"},
	} {
		_, err := types.ParseProfile(map[string]string{c.name: c.path})
		require.ErrorContains(t, err, c.says, "%s: %s", c.name, c.path)
		require.ErrorContains(t, err, "scim: profile attribute "+attr.Quote(c.name))
		if strings.TrimSpace(c.path) != "" && c.says != "not to be mapped" && !strings.Contains(c.says, "1 to 64") && !strings.Contains(c.says, "a-z") {
			require.ErrorContains(t, err, attr.Quote(c.path), "the path is named")
		}
		require.Less(t, len(err.Error()), 400)
	}
	many := map[string]string{}
	for i := range 101 {
		many[fmt.Sprint("x", i)] = "title"
	}
	_, err := types.ParseProfile(many)
	require.ErrorContains(t, err, "100")
	delete(many, "x0")
	_, err = types.ParseProfile(many)
	require.NoError(t, err)
}

// What Map returns is read to an equal mapping, in canonical spelling.
func TestE4ProfileMappingRoundTrip(t *testing.T) {
	types := profileTypes(t)
	given := map[string]string{
		"name": "NAME.formatted", "a": "emails", "b": `EMAILS[TYPE EQ "work"]`, "c": "department", "d": enterpriseURN + ":manager",
		"e": badgeURN + `:badges[type eq "a\"b" or number pr].number`, "f": "userName", "g": "emails.type",
	}
	m, err := types.ParseProfile(given)
	require.NoError(t, err)
	canonical := map[string]string{
		"name": "name.formatted", "a": "emails.value", "b": `emails[type eq "work"].value`, "c": enterpriseURN + ":department", "d": enterpriseURN + ":manager.value",
		"e": badgeURN + `:badges[type eq "a\"b" or number pr].number`, "f": "userName", "g": "emails.type",
	}
	require.Equal(t, canonical, m.Map())
	again, err := types.ParseProfile(m.Map())
	require.NoError(t, err)
	require.Equal(t, canonical, again.Map())
	require.Empty(t, (*scim.ProfileMap)(nil).Map())
	require.Subset(t, scim.ProfileNames(), []string{"name", "given_name", "family_name", "preferred_username", "picture", "phone_number", "locale"})
	require.NotContains(t, scim.ProfileNames(), "email")
}

// A mapping that was parsed with other types would find other attributes: no
// request is served with it.
func TestE4AProfileOfOtherTypesIsRefused(t *testing.T) {
	foreign, err := profileTypes(t).ParseProfile(map[string]string{"department": "department"})
	require.NoError(t, err)
	d := acme(scim.Policy{})
	r := newManagedRig(t, scim.NoRoles{}, d, nil)
	d.Profile = foreign
	r.do(http.MethodPost, "/Users", person("ada")).is(http.StatusInternalServerError)
	require.ErrorContains(t, r.scim.Engine().Resync(context.Background(), d), "Config.Types")
	d.Profile, err = scim.CoreTypes().ParseProfile(map[string]string{"department": "department"})
	require.NoError(t, err)
	r.do(http.MethodPost, "/Users", person("ada")).is(http.StatusCreated)
}

// Rule E4 for who leaves: the last profile that the host is told of is mapped
// too, and a plain store has the same mapping.
func TestE4TheProfileOfWhoLeaves(t *testing.T) {
	onEveryStore(t, func() *scim.Directory {
		d := acme(scim.Policy{})
		var err error
		d.Profile, err = scim.CoreTypes().ParseProfile(map[string]string{"login": "userName"})
		require.NoError(t, err)
		return d
	}, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		require.Equal(t, map[string]string{"login": "ada"}, r.told().Profile.Custom)
		r.do(http.MethodDelete, "/Users/"+id, "").is(http.StatusNoContent)
		require.Equal(t, map[string]string{"login": "ada"}, r.told().Profile.Custom)
	})
}

// A customer's administrator chooses what else the application learns of its
// people.
func ExampleTypes_ParseProfile() {
	types := scim.CoreTypes()
	profile, err := types.ParseProfile(map[string]string{
		"phone_number": `phoneNumbers[type eq "mobile"].value`,
		"department":   "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
	})
	must(err)
	directory := &scim.Directory{Tenant: "acme", ID: "okta", Domains: []string{"acme.example"}, Profile: profile}

	auth, err := scim.StaticTokens(scim.Token{Secret: "made-with-openssl-rand-hex-32", Directory: directory})
	must(err)
	app := scim.ProvisionerFunc(func(_ context.Context, a *scim.Account) (string, error) {
		fmt.Println(a.Profile.GivenName, a.Profile.PhoneNumber, a.Profile.Custom["department"])
		return "user-1", nil
	})
	handler, err := scim.NewHandler(memstore.New(types, nil), scim.NoRoles{}, auth, &scim.Config{Provisioner: app})
	must(err)
	server := httptest.NewServer(scim.Mount("/scim/v2", handler, nil))
	defer server.Close()
	post(server.URL, "/Users", `{"userName":"ada@acme.example","active":true,"name":{"givenName":"Ada"},
		"phoneNumbers":[{"type":"work","value":"+44 1"},{"type":"mobile","value":"+44 2"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines"}}`)

	_, err = types.ParseProfile(map[string]string{"department": "departement"})
	fmt.Println(err)
	// Output:
	// Ada +44 2 Engines
	// 201
	// scim: profile attribute "department": path "departement": a user has no such attribute; write one that /Schemas lists, as in name.givenName or urn:…:User:department
}
