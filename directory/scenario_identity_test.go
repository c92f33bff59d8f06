package directory_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// Section A: identity, email, domains.

func TestScenarioA4AChangeOfEmailIsRefusedUntilItIsApproved(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	ada := okta.hire("Ada")
	mark := s.mark()
	ada.userName, ada.email = "ada.king@acme.example", "ada.king@acme.example"
	for range 3 { // Okta sends everything in every PUT, again and again
		okta.update(ada).refused(http.StatusBadRequest, "mutability", "emails.value", "approve")
	}
	require.Equal(t, []string{"user.email_change_rejected"}, s.since(mark), "recorded once")
	require.Zero(t, okta.looks(ada), "nothing of it was stored")
	require.Contains(t, okta.lastRequest().Path, "/Users")

	changes, _, err := s.EmailChanges(t.Context(), okta.key, "", 10)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.Equal(t, []string{"ada@acme.example", "ada.king@acme.example"}, []string{changes[0].Email, changes[0].Wanted})
	require.NoError(t, s.ApproveEmail(t.Context(), okta.key, changes[0].User.ID))
	okta.update(ada).fine()
	require.Equal(t, "no role", s.access("ada.king@acme.example"))
	require.Empty(t, s.access("ada@acme.example"), "it is the same account with another email")

	ada.email = "ADA.King@Acme.Example"
	okta.update(ada).fine() // A3: case alone is no change
}

func TestScenarioA4ALeaverIsRenamedAndLeaves(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	ada := entra.hire("Ada")
	require.Empty(t, s.signIn(ada.email))
	// Entra frees the address of who leaves in the same request.
	entra.send(http.MethodPatch, "/Users/"+ada.id, patchOp+
		`{"op":"Replace","path":"emails[type eq \"work\"].value","value":"ada.left@acme.example"},{"op":"Replace","path":"active","value":"False"}]}`).fine()
	require.Equal(t, "none", s.access("ada@acme.example"), "the account keeps its email")
	require.Zero(t, s.sessions("ada@acme.example"))
	require.Equal(t, "deactivated", s.signIn("ada.left@acme.example"))

	entra.resume(ada).fine()
	require.Equal(t, "no role", s.access("ada@acme.example"))
	changes, _, err := s.EmailChanges(t.Context(), entra.key, "", 10)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.NoError(t, s.ApproveEmail(t.Context(), entra.key, ada.id))
	require.Equal(t, "no role", s.access("ada.left@acme.example"), "the provider has it already, so it is done at once")
}

func TestScenarioA6OnlyRegisteredDomainsComeIn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	google := s.connect(directory.Directory{Provider: scim.Google})
	for name, addresses := range map[string][2]string{
		"a subdomain is another domain":      {"ada@eu.acme.example", "ada@eu.acme.example"},
		"a domain that ends like ours":       {"ada@notacme.example", "ada@notacme.example"},
		"a harmless email beside the victim": {"victim@other.example", "ada@acme.example"},
		"a harmless userName":                {"ada@acme.example", "victim@other.example"},
	} {
		ada := someone("Ada")
		ada.userName, ada.email = addresses[0], addresses[1]
		google.assign(ada).refused(http.StatusBadRequest, "invalidValue", "1 registered domains")
		require.Equal(t, scim.ReasonDomain, google.lastRequest().Reason, name)
		require.Empty(t, s.told(), name)
	}
	grace, alan := google.hire("Grace"), google.hire("Alan")
	google.suspend(alan).fine()
	require.NoError(t, s.RemoveDomain(t.Context(), "acme", "acme.example"))
	s.work()
	require.Equal(t, "no role", s.access(grace.email), "removing a domain deprovisions nobody")
	grace.first = "G."
	google.update(grace).fine()
	google.resume(alan).refused(http.StatusBadRequest, "invalidValue", "no registered domain yet")
	google.assign(someone("Ada")).refused(http.StatusBadRequest, "invalidValue", "no registered domain yet")
	google.suspend(alan).fine() // a leaver always leaves
}

func TestScenarioA6GuestsAreHeldUntilTheirDomainIsVerified(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra, Policy: scim.Policy{Domain: scim.GuestDomain}})
	eve := someone("Eve")
	eve.userName, eve.email = "eve@partner.example", "eve@partner.example"
	entra.assign(eve).fine()
	require.Equal(t, "none", s.access(eve.email))
	require.Equal(t, "held", s.signIn(eve.email))
	require.Empty(t, s.may(directory.ActionInvite, eve.email), "the host may invite")
	waiting, err := s.Waiting(t.Context(), entra.key, "", 10)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.Equal(t, scim.HeldForDomain, waiting[0].Held)

	d, err := s.AddDomain(t.Context(), "acme", "partner.example")
	require.NoError(t, err)
	s.dns.set(d.Record.Name, says(d.Record.Value))
	_, err = s.VerifyDomain(t.Context(), "acme", "partner.example")
	require.NoError(t, err)
	s.work()
	require.Equal(t, "no role", s.access(eve.email))
	require.Empty(t, s.signIn(eve.email))
}

func TestScenarioA7WhoIsThereAlreadyIsLinked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ada := s.app.legacy("Ada@acme.example", "editor")
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	okta.rules("viewer")
	mark := s.mark()
	okta.hire("Ada")
	require.Equal(t, []string{"user.created", "user.linked", "user.roles_changed"}, s.since(mark))
	require.Equal(t, []string{"linked ada@acme.example"}, s.told())
	require.Equal(t, "editor viewer", s.access("ada@acme.example"), "the role that was found is kept")
	require.Equal(t, ada.id, s.member("ada@acme.example").id, "nobody was made twice")

	// A provider that does not look first is told, and finds whom it means.
	twin := someone("Twin")
	twin.email = "ADA@acme.example"
	okta.say(okta.speaks.create, twin).refused(http.StatusConflict, "uniqueness", "emails.value")
	require.Equal(t, 1, okta.send(http.MethodGet, `/Users?filter=emails.value%20eq%20%22ADA%40acme.example%22`, "").fine().Total)

	s.app.resolve = func(*scim.Account) scim.Resolution { return scim.Refuse("robots are made by hand") }
	okta.assign(someone("Robot")).refused(http.StatusForbidden, "", "robots are made by hand")
	require.Equal(t, scim.ReasonExistingAccount, okta.lastRequest().Reason)
	require.Empty(t, s.access("robot@acme.example"))
}

func TestScenarioA7WhoIsProtectedWaitsForAReview(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	before := *s.app.legacy("ada@acme.example", "owner")
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	okta.rules("viewer")
	ada := okta.hire("Ada")
	require.Equal(t, before, s.member(ada.email), "201 for the provider, and nothing happens to her")

	waiting, err := s.Waiting(t.Context(), okta.key, "", 10)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.Equal(t, "Ada Lovelace", waiting[0].DisplayName)
	require.True(t, waiting[0].ToRelease)
	s.work()
	require.Equal(t, before, s.member(ada.email), "a review stands until somebody has looked")
	require.Empty(t, s.signIn(ada.email), "A8: she is a legacy member until then, and not locked out")
	require.Empty(t, s.may(directory.ActionEditProfile, ada.email))
	okta.suspend(ada).fine()
	require.Empty(t, s.signIn(ada.email))
	okta.resume(ada).fine()

	mark := s.mark()
	require.NoError(t, s.Release(t.Context(), okta.key, ada.id))
	require.Equal(t, []string{"user.linked", "user.released"}, s.since(mark))
	require.Equal(t, "owner viewer", s.access(ada.email))
	require.True(t, s.member(ada.email).managed)
}

// A8: whatever the provider does to a person under review, and whatever becomes of
// the directory, the application's own account stays as it is.
func TestScenarioA7NothingReachesWhoIsUnderReview(t *testing.T) {
	t.Parallel()
	for _, how := range []scim.Retirement{scim.ReleaseAccounts, scim.DeactivateAll, scim.RestoreAccounts} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			ada, bob := *s.app.legacy("ada@acme.example", "owner"), *s.app.legacy("bob@acme.example", "owner")
			entra := s.connect(directory.Directory{Provider: scim.Entra})
			entra.rules("viewer")
			entra.remove(entra.hire("Ada"))
			entra.hire("Bob")
			_, err := s.Resync(t.Context(), entra.key)
			require.NoError(t, err)
			_, err = s.Retire(t.Context(), entra.key, how)
			require.NoError(t, err)
			s.work()
			for _, before := range []member{ada, bob} {
				require.Equal(t, before, s.member(before.email))
				require.Empty(t, s.signIn(before.email), before.email)
			}
		})
	}
}

func TestScenarioA8LegacyMembersAreLeftAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	before := *s.app.legacy("hank@acme.example", "editor")
	require.Empty(t, s.signIn(before.email))
	google := s.connect(directory.Directory{Provider: scim.Google})
	google.rules("viewer")
	ada := google.hire("Ada", "Grace")
	google.suspend(ada).fine()
	google.rules("editor")
	_, err := s.Resync(t.Context(), google.key)
	require.NoError(t, err)
	s.work()
	require.Empty(t, s.may(directory.ActionDeactivate, before.email), "he is the administrators'")
	require.Empty(t, s.may(directory.ActionRemoveLegacy, before.email))
	_, err = s.Retire(t.Context(), google.key, scim.DeactivateAll)
	require.NoError(t, err)
	s.work()
	require.Equal(t, "none", s.access("grace@acme.example"))
	require.Equal(t, before, s.member(before.email))
	require.Equal(t, 1, s.sessions(before.email))
	require.Empty(t, s.signIn(before.email))
}

func TestScenarioA9OnePersonInTwoDirectories(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	okta := s.connect(directory.Directory{ID: "hq", Provider: scim.Okta})
	entra := s.connect(directory.Directory{ID: "labs", Provider: scim.Entra})
	okta.rules("viewer", "Editors editor")
	entra.rules("", "Admins admin")
	atHQ, atLabs := okta.hire("Ada"), someone("Ada")
	atLabs.ext = "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"
	entra.assign(atLabs).fine()
	require.NotEqual(t, atHQ.id, atLabs.id, "each directory has a resource of its own")
	okta.group("Editors", atHQ)
	admins := entra.group("Admins", atLabs)
	require.Equal(t, "admin editor", s.access(atHQ.email), "the roles of both")
	require.Len(t, s.app.members, 1)
	require.Empty(t, s.signIn(atHQ.email))

	okta.suspend(atHQ).fine()
	require.Equal(t, "admin", s.access(atHQ.email), "she is still at the labs")
	require.Equal(t, 1, s.sessions(atHQ.email))
	require.Empty(t, s.signIn(atHQ.email))
	entra.leave(admins, atLabs).fine()
	require.Equal(t, "no role", s.access(atHQ.email))
	entra.remove(atLabs).fine()
	require.Equal(t, "none", s.access(atHQ.email))
	require.Zero(t, s.sessions(atHQ.email))
	require.Equal(t, "deactivated", s.signIn(atHQ.email))
	okta.resume(atHQ).fine()
	require.Equal(t, "editor", s.access(atHQ.email))
	require.Len(t, s.app.members, 1)
}
