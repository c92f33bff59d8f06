package directory_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/directory"
)

// consoleNames are words that stand in the hints of one provider alone.
var consoleNames = map[scim.Dialect]string{
	scim.Okta: "Okta", scim.Entra: "Entra", scim.Google: "Google", scim.OneLogin: "OneLogin", scim.JumpCloud: "JumpCloud", scim.Authentik: "authentik",
	scim.Keycloak: "Keycloak", scim.CyberArk: "CyberArk", scim.SailPoint: "SailPoint", scim.WSO2: "WSO2", scim.Salesforce: "Salesforce", scim.Ping: "Ping",
	scim.Rippling: "Rippling",
}

// How many characters a hint has at most.
const (
	oneThing  = 300
	twoThings = 360
)

// readable requires of a hint what holds of all.
func readable(t *testing.T, hint string, provider scim.Dialect, most int) {
	t.Helper()
	assert.NotEmpty(t, hint)
	assert.LessOrEqual(t, utf8.RuneCountInString(hint), most, hint)
	assert.True(t, strings.HasSuffix(hint, "."), "it ends as a sentence does: %s", hint)
	first, _ := utf8.DecodeRuneInString(hint)
	assert.Equal(t, strings.ToUpper(string(first)), string(first), hint)
	assert.NotContains(t, hint, "  ")
	lower := strings.ToLower(strings.NewReplacer("{$user.email}", "", "Tenant URL", "").Replace(hint)) // as consoles call it
	for _, internal := range []string{
		"{", "transaction", "tenant", "hook", "database", "the store", "panic", "sql", "goroutine", "ledger", "provisioner", "lenience", "dialect", "muster", "(rule",
		"rfc", "tally", "nil", "scim.", "scimtype", "exception", "null",
	} {
		assert.NotContains(t, lower, internal, "it names something internal: %s", hint)
	}
	for other, name := range consoleNames {
		if other != provider {
			assert.NotContains(t, hint, name, "it speaks of another provider than %s", provider)
		}
	}
}

// Rule D8: whatever was refused, and whichever provider it is, the customer's
// administrator is told what to do about it.
func TestD8EveryReasonHasAHintForEveryProvider(t *testing.T) {
	t.Parallel()
	for _, reason := range scim.Reasons() {
		general := directory.Hint(&scim.LogEntry{Status: 400, Reason: reason}, scim.Auto)
		for _, provider := range scim.Dialects() {
			t.Run(string(reason)+"/"+provider.String(), func(t *testing.T) {
				t.Parallel()
				hint := directory.Hint(&scim.LogEntry{Status: 400, Reason: reason}, provider)
				readable(t, hint, provider, oneThing)
				if provider == scim.Auto || provider == scim.Strict {
					require.Equal(t, general, hint, "no provider is known")
				}
			})
		}
	}
	require.Equal(t, directory.Hint(&scim.LogEntry{Status: 400, Reason: scim.ReasonDomain}, scim.Auto),
		directory.Hint(&scim.LogEntry{Status: 400, Reason: scim.ReasonDomain}, scim.Dialect(200)), "nor is one that there is not")
}

// A hint names the very menu in which it is to be mended.
func TestD8HintsNameTheMenu(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason   scim.Reason
		provider scim.Dialect
		menu     string
	}{
		{scim.ReasonNoEmail, scim.Entra, `userPrincipalName to emails[type eq "work"].value`},
		{scim.ReasonNoEmail, scim.Okta, "Provisioning > To App > Attribute Mappings"},
		{scim.ReasonNoEmail, scim.OneLogin, "SCIM JSON Template"},
		{scim.ReasonNoEmail, scim.Google, "Attribute mapping"},
		{scim.ReasonUnknownMember, scim.Okta, "Push now at the group in Push Groups"},
		{scim.ReasonUnknownMember, scim.Entra, "nested groups are not followed"},
		{scim.ReasonUnknownMember, scim.JumpCloud, "User Groups of the app"},
		{scim.ReasonToken, scim.Okta, "Provisioning > Integration"},
		{scim.ReasonToken, scim.Entra, "Admin Credentials > Secret Token"},
		{scim.ReasonToken, scim.OneLogin, "SCIM Bearer Token"},
		{scim.ReasonToken, scim.JumpCloud, "Token Key"},
		{scim.ReasonToken, scim.Google, "Autoprovisioning"},
		{scim.ReasonToken, scim.Ping, "Configuration"},
		{scim.ReasonToken, scim.CyberArk, "Provisioning"},
		{scim.ReasonSyntax, scim.Entra, "?aadOptscim062020"},
		{scim.ReasonDomain, scim.Entra, "#EXT#"},
		{scim.ReasonNotFound, scim.Entra, "Restart provisioning"},
		{scim.ReasonSeats, scim.Okta, "Retry Selected under Dashboard > Tasks"},
		{scim.ReasonSeats, scim.Entra, "Provision on demand"},
		{scim.ReasonScope, scim.Authentik, "Applications > Providers"},
		{scim.ReasonEmailImmutable, scim.Auto, "Approve"},
	} {
		require.Contains(t, directory.Hint(&scim.LogEntry{Status: 400, Reason: c.reason}, c.provider), c.menu, "%s %s", c.reason, c.provider)
	}
}

// A line of a release that knew no reasons, and a reason of the host's own, have
// hints too.
func TestD8AHintForWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	refused := directory.Hint(&scim.LogEntry{Status: 400, Reason: scim.ReasonHost}, scim.Okta)
	require.Equal(t, refused, directory.Hint(&scim.LogEntry{Status: 403, Reason: "quota"}, scim.Okta))
	require.Equal(t, refused, directory.Hint(&scim.LogEntry{Status: 400}, scim.Okta))
	require.Equal(t, directory.Hint(&scim.LogEntry{Status: 500, Reason: scim.ReasonInternal}, scim.Okta), directory.Hint(&scim.LogEntry{Status: 500}, scim.Okta))
}

// Rule D8 for successes: what was left out, not passed on (rule B10) or
// tolerated is said, if somebody can do something about it.
func TestD8HintsForSuccesses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		entry    scim.LogEntry
		provider scim.Dialect
		says     []string // nil: nothing
	}{
		{"nothing", scim.LogEntry{Status: 200}, scim.Okta, nil},
		{"usual tolerances", scim.LogEntry{Status: 200, Fired: attr.OddSchemas | attr.ReadOnlyInValue | attr.CreateElement | attr.RemoveByValue}, scim.Entra, nil},
		{"unknown members", scim.LogEntry{Status: 204, Unknown: []string{"a"}}, scim.Okta, []string{"left out", "Assignments", "Push Groups"}},
		{"switched off", scim.LogEntry{Status: 201, Withheld: scim.CreateUsers}, scim.Okta, []string{"switched off: new people."}},
		{"much switched off", scim.LogEntry{Status: 200, Withheld: scim.UpdateAttributes | scim.DeactivateUsers | scim.SyncGroups}, scim.Okta, []string{"changed attributes, deactivations, groups."}},
		{"both", scim.LogEntry{Status: 200, Withheld: scim.SyncGroups, Unknown: []string{"a"}}, scim.Entra, []string{"left out", "switched off: groups."}},
		{"ignored", scim.LogEntry{Status: 200, Ignored: []string{"shoeSize"}}, scim.Okta, []string{"Attribute Mappings"}},
		{"the flag", scim.LogEntry{Status: 200, Fired: attr.OperationCase | attr.StringBoolean}, scim.Entra, []string{"?aadOptscim062020"}},
		{"not the flag", scim.LogEntry{Status: 200, Fired: attr.OperationCase | attr.StringBoolean}, scim.Okta, nil},
		{"a slash", scim.LogEntry{Status: 200, Fired: attr.EmptySegment}, scim.Okta, []string{"slash", "Provisioning > Integration"}},
		{"a slash that cannot be helped", scim.LogEntry{Status: 200, Fired: attr.EmptySegment}, scim.CyberArk, nil},
		{"a bare token", scim.LogEntry{Status: 200, Fired: attr.BareToken}, scim.Auto, []string{"Bearer"}},
		{"a bare token that is usual", scim.LogEntry{Status: 200, Fired: attr.BareToken}, scim.Okta, nil},
		{"blanks", scim.LogEntry{Status: 200, Fired: attr.Blank}, scim.OneLogin, []string{"macro"}},
		{"two primary", scim.LogEntry{Status: 200, Fired: attr.SecondPrimary}, scim.Auto, []string{"primary"}},
		{"a failure that has it all", scim.LogEntry{Status: 400, Reason: scim.ReasonDomain, Fired: attr.EmptySegment, Unknown: []string{"a"}}, scim.Okta, []string{"registered domains"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hint := directory.Hint(&c.entry, c.provider)
			if c.says == nil {
				require.Empty(t, hint)
				return
			}
			for _, says := range c.says {
				require.Contains(t, hint, says)
			}
			for _, provider := range scim.Dialects() {
				if hint := directory.Hint(&c.entry, provider); hint != "" {
					readable(t, hint, provider, twoThings)
				}
			}
		})
	}
	everything := scim.LogEntry{
		Status: 200, Fired: attr.Lenient, Unknown: []string{"a"}, Ignored: []string{"b"},
		Withheld: scim.CreateUsers | scim.UpdateAttributes | scim.DeactivateUsers | scim.SyncGroups,
	}
	for _, provider := range scim.Dialects() {
		readable(t, directory.Hint(&everything, provider), provider, twoThings) // and no more than two
	}
}
