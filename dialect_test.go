package scim_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// Dialects are distinct names of tolerances: strict has none, auto has every one,
// and no other has one that auto lacks.
func TestDialects(t *testing.T) {
	t.Parallel()
	all := scim.Dialects()
	require.Equal(t, []scim.Dialect{scim.Auto, scim.Strict}, all[:2])
	require.Zero(t, scim.Strict.Lenience())
	require.Equal(t, attr.Lenient, scim.Auto.Lenience())
	var needed attr.Lenience
	for _, d := range all {
		again, err := scim.ParseDialect(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
		if d != scim.Auto {
			needed |= d.Lenience()
		}
	}
	require.Equal(t, attr.Lenient.Names(), needed.Names(), "a tolerance that no client needs is none to have")
	require.Zero(t, scim.Dialect(len(all)).Lenience(), "what is no dialect tolerates nothing")
	_, err := scim.ParseDialect("Okta")
	require.ErrorContains(t, err, "auto, strict, okta, entra, google, ")
	require.ErrorContains(t, err, " or rippling")
}

// Quirk 113: a slash too many in the path is passed over and noted in the log, on
// every endpoint; a strict directory does not know such a path.
func TestQuirk113EmptySegmentsAreNoted(t *testing.T) {
	t.Parallel()
	for _, dialect := range []scim.Dialect{scim.Auto, scim.CyberArk, scim.Strict} {
		d := acme(scim.Policy{})
		d.Dialect = dialect
		r := newManagedRig(t, scim.NoRoles{}, d, nil)
		ada := r.post("/Users", person("ada"))
		for path, empty := range map[string]bool{
			"/Users": false, "/Users?": false, "/Users?count=1&": false, "/Users/" + ada: false, "/Schemas": false,
			"/Users/": true, "//Users": true, "/Users//" + ada: true, "/Users/" + ada + "/": true, "//Users/" + ada: true,
			"/Users//?count=1": true, "/ServiceProviderConfig/": true, "//ResourceTypes/User": true,
		} {
			want, fired := http.StatusOK, []string(nil)
			switch {
			case empty && dialect == scim.Strict:
				want = http.StatusNotFound
			case empty:
				fired = []string{"empty-segment"}
			}
			r.do("GET", path, "").is(want)
			require.Equal(t, fired, r.logged().Fired.Names(), "%s %s", dialect, path)
		}
	}
}

// Quirk 32: the bare name of an extension's attribute is noted in the parameters
// attributes and excludedAttributes too, and names nothing where it is not
// tolerated.
func TestQuirk32ShortNamesInParameters(t *testing.T) {
	t.Parallel()
	const department = "/" + enterpriseURN + "/department"
	for _, dialect := range []scim.Dialect{scim.Auto, scim.Entra, scim.Google, scim.Strict} {
		d := acme(scim.Policy{})
		d.Dialect = dialect
		r := newManagedRig(t, scim.NoRoles{}, d, nil)
		ada := r.post("/Users", `{"schemas":["`+userURN+`","`+enterpriseURN+`"],"userName":"ada@acme.example","title":"Countess",
			"`+enterpriseURN+`":{"department":"Navy"}}`)
		var fired []string
		shown, kept := absent, any("Navy")
		if dialect.Lenience().Has(attr.ShortExtensionPath) {
			fired, shown, kept = []string{"short-extension-path"}, "Navy", absent
		}
		r.get("/Users/"+ada+"?attributes=department").shows(department, shown).shows("/title", absent)
		require.Equal(t, fired, r.logged().Fired.Names(), dialect)
		r.get("/Users/"+ada+"?excludedAttributes=department").shows(department, kept).shows("/title", "Countess")
		require.Equal(t, fired, r.logged().Fired.Names(), dialect)
		r.get("/Users?attributes=title,"+enterpriseURN+":department").shows("/Resources/0"+department, "Navy")
		require.Empty(t, r.logged().Fired.Names(), dialect)
	}
}

// D8: what was tolerated is in the log also of a request that was refused after
// all.
func TestD8TheLogOfARefusalSaysWhatFired(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), nil)
	ada := r.post("/Users", person("ada"))
	r.do("PATCH", "/Users/"+ada, patchBody(
		`{"op":"replace","path":"emails[type eq \"home\"].value","value":"ada@home.example"}`,
		`{"op":"replace","path":"active","value":"False"}`,
		`{"op":"replace","path":"userName","value":null}`)).is(http.StatusBadRequest)
	require.Equal(t, []string{"string-boolean", "create-element"}, r.logged().Fired.Names())
}

// What is tolerated of one client is no obstacle to another: every conversation
// holds with the dialect auto too.
func TestConversationsInAuto(t *testing.T) {
	t.Parallel()
	for name, c := range loadConversations(t) {
		c.Directory.Dialect = "auto"
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, token := newConversationHandler(t, stores["memstore"](), c)
			runConversation(t, h, token, c)
		})
	}
}

// A dialect is exactly what its client needs: a recorded conversation in that
// dialect makes each of its tolerances fire, but for those that all dialects
// share; those fire in some conversation.
func TestDialectsAreExact(t *testing.T) {
	t.Parallel()
	fired := map[scim.Dialect]attr.Lenience{}
	seen := map[scim.Dialect]bool{scim.Auto: true, scim.Strict: true}
	for _, c := range loadConversations(t) {
		h, token := newConversationHandler(t, stores["memstore"](), c)
		dialect, err := scim.ParseDialect(c.Directory.Dialect)
		require.NoError(t, err)
		drain := c.fired
		c.fired = func() []string {
			names := drain()
			for _, name := range names {
				fired[dialect] |= tolerance(t, name)
			}
			return names
		}
		seen[dialect] = true
		runConversation(t, h, token, c)
	}
	shared, inAny := attr.Lenient, attr.Strict
	for _, d := range scim.Dialects() {
		if d != scim.Strict {
			shared &= d.Lenience()
		}
		inAny |= fired[d]
	}
	require.Empty(t, (shared &^ inAny).Names(), "shared by all dialects, and no conversation needs it")
	for _, d := range scim.Dialects()[2:] {
		require.True(t, seen[d], "there is no conversation in the dialect %s", d)
		require.Empty(t, (d.Lenience() &^ shared &^ fired[d]).Names(), "no conversation in the dialect %s needs it", d)
	}
}

// What fires is what the dialect has: nothing in strict, whatever is sent.
func TestNothingFiresThatTheDialectLacks(t *testing.T) {
	t.Parallel()
	for name, c := range loadConversations(t) {
		for _, dialect := range []scim.Dialect{scim.Strict, scim.Google, scim.Okta, scim.Entra} {
			c.Directory.Dialect = dialect.String()
			h, token := newConversationHandler(t, stores["memstore"](), c)
			drain := c.fired
			c.fired = func() []string {
				names := drain()
				for _, fired := range names {
					require.True(t, dialect.Lenience().Has(tolerance(t, fired)), "%s in %s: %s", name, dialect, fired)
				}
				return names
			}
			runConversation(new(recorder), h, token, c) // what is refused does not matter here
		}
	}
}

// tolerance returns the tolerance of that name.
func tolerance(t testing.TB, name string) attr.Lenience {
	t.Helper()
	for l := attr.Lenience(1); l < attr.Lenient; l <<= 1 {
		if l.Names()[0] == name {
			return l
		}
	}
	t.Fatalf("no tolerance %q", name)
	return 0
}
