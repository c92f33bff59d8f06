package directory_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// Section F: what known systems promise their customers, each as one story.

// The Replit rules: three roles by group, Viewer without one; legacy members are
// left alone; administrators cannot edit the roles of managed members, or invite.
func TestScenarioReplitRules(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(cfg *scim.Config, _ *directory.Options) {
		cfg.Catalog = scim.RoleCatalog{Roles: []string{"admin", "member", "viewer"}, Administrators: []string{"admin"}}
	})
	before := *s.app.legacy("hank@acme.example", "admin")
	okta := s.connect(directory.Directory{Provider: scim.Okta, Policy: scim.Policy{Lock: scim.StrictLock}})
	okta.rules("viewer", "Workspace-Admins admin", "Workspace-Members member")

	ada, grace, alan := okta.hire("Ada"), okta.hire("Grace"), okta.hire("Alan")
	require.Equal(t, "viewer", s.access(ada.email), "in no group: the default")
	admins := okta.group("Workspace-Admins", ada)
	members := okta.group("Workspace-Members", grace)
	require.Equal(t, []string{"admin", "member", "viewer"}, []string{s.access(ada.email), s.access(grace.email), s.access(alan.email)})
	okta.join(members, ada).fine()
	require.Equal(t, "admin", s.access(ada.email), "in both groups: the highest")
	okta.leave(admins, ada).fine()
	require.Equal(t, "member", s.access(ada.email))
	okta.leave(members, ada).fine()
	require.Equal(t, "viewer", s.access(ada.email))

	require.Contains(t, s.may(directory.ActionChangeRoles, grace.email), "roles follow the groups there")
	require.Contains(t, s.may(directory.ActionInvite, "new@acme.example"), "invitations are off")
	require.Contains(t, s.may(directory.ActionEditProfile, grace.email), "managed by okta")

	require.Equal(t, before, s.member("hank@acme.example"), "nothing of a legacy member has changed")
	require.Empty(t, s.may(directory.ActionChangeRoles, "hank@acme.example"))
	require.Empty(t, s.may(directory.ActionRemoveLegacy, "hank@acme.example"), "but an administrator may remove him")
	require.NotEmpty(t, s.may(directory.ActionRemoveLegacy, grace.email))

	okta.rules("viewer", "Workspace-Members admin") // the mapping is edited later
	require.Equal(t, "admin", s.access(grace.email))
}

// The generic guide: four switches; who is disabled has no access at once and
// cannot sign in; everything is in the audit trail, with the token as the actor.
func TestScenarioGuideRules(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("viewer", "Engineers editor")
	ada := entra.hire("Ada")
	engineers := entra.group("Engineers")
	mark := s.mark()

	off := func(off scim.Switches) { entra.policy(func(p *scim.Policy) { p.Off = off }) }
	off(scim.CreateUsers)
	grace := entra.hire("Grace")
	require.Empty(t, s.access(grace.email), "create is off: accepted, and not passed on")
	off(scim.UpdateAttributes)
	require.Equal(t, "viewer", s.access(grace.email), "what gathered was passed on")
	ada.first = "Augusta"
	entra.update(ada).fine()
	require.NotContains(t, s.member(ada.email).profile.GivenName, "Augusta", "update is off")
	off(scim.SyncGroups)
	require.Equal(t, "Augusta", s.member(ada.email).profile.GivenName)
	entra.join(engineers, ada).fine()
	require.Equal(t, "viewer", s.access(ada.email), "group sync is off")
	off(scim.DeactivateUsers)
	require.Equal(t, "editor", s.access(ada.email))
	require.Empty(t, s.signIn(ada.email))
	entra.suspend(ada).fine()
	require.Equal(t, "editor", s.access(ada.email), "deactivate is off")
	require.Equal(t, scim.DeactivateUsers, entra.lastRequest().Withheld, "the log says what was not passed on")
	off(0)
	require.Equal(t, "none", s.access(ada.email))
	require.Zero(t, s.sessions(ada.email))
	require.Equal(t, "deactivated", s.signIn(ada.email))

	_, last := s.events("acme", mark)
	require.Contains(t, s.since(mark), "user.deactivated")
	require.NotZero(t, last.Time)
	entra.resume(ada).fine()
	_, last = s.events("acme", mark)
	require.Equal(t, "provider", last.Actor, "the audit trail names the token")
	require.Equal(t, "editor", s.access(ada.email), "the memberships were kept")
}

// The Scalekit rules: external people are refused, an email does not change,
// the last write wins.
func TestScenarioScalekitRules(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	google := s.connect(directory.Directory{Provider: scim.Google, Policy: scim.Policy{Lock: scim.LastWriteWins}})
	google.rules("viewer")

	eve := someone("Eve")
	eve.userName, eve.email = "eve@elsewhere.example", "eve@elsewhere.example"
	google.assign(eve).refused(http.StatusBadRequest, "invalidValue", "emails.value", `"elsewhere.example"`, "1 registered domains")
	require.Empty(t, s.access(eve.email))
	require.Contains(t, google.lastRequest().Hint, "domain")
	require.Empty(t, s.may(directory.ActionInvite, eve.email), "externals are invited")

	ada := google.hire("Ada")
	ada.email = "ada.king@acme.example"
	google.update(ada).refused(http.StatusBadRequest, "mutability", "emails.value", "approve")
	require.Equal(t, "viewer", s.access("ada@acme.example"))
	require.Empty(t, s.access("ada.king@acme.example"))

	// An administrator renames her in the application, which is allowed; the
	// provider's next write wins.
	ada.email, ada.first = "ada@acme.example", "Augusta"
	require.Empty(t, s.may(directory.ActionEditProfile, ada.email))
	s.app.byEmail(ada.email).name = "Countess"
	google.update(ada).fine()
	require.Equal(t, "Augusta Lovelace", s.member(ada.email).name)
}

// The WorkOS rules: seats are counted exactly, and viewers are free.
func TestScenarioWorkOSRules(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.legacy("hank@acme.example", "editor") // has one of the seats
	s.app.seats = 3
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	okta.rules("viewer", "Admins admin", "Editors editor")
	admins, editors := okta.group("Admins"), okta.group("Editors")
	ada, grace, alan := okta.hire("Ada", "V1", "V2", "V3", "V4"), okta.hire("Grace"), okta.hire("Alan")
	seats := func() int {
		t.Helper()
		status, err := s.Status(t.Context(), okta.key)
		require.NoError(t, err)
		require.Equal(t, 3, status.Seats.Limit)
		return status.Seats.Used
	}
	require.Equal(t, 1, seats(), "seven viewers are free")
	okta.join(editors, ada).fine()
	okta.join(admins, ada).fine()
	require.Equal(t, 2, seats(), "two billable roles, one person, one seat")
	okta.join(editors, grace).fine()
	require.Equal(t, 3, seats())
	okta.join(editors, alan).fine()
	require.Equal(t, "viewer", s.access(alan.email), "the provider's group is taken, the role waits")
	require.Equal(t, 3, seats())

	mark := s.mark()
	okta.suspend(grace).fine()
	require.Equal(t, "editor", s.access(alan.email), "who waited has the seat of who left")
	require.Equal(t, []string{"user.deactivated", "user.roles_changed", "seat.freed"}, s.since(mark))
	require.Equal(t, 3, seats())
	okta.resume(grace).refused(http.StatusForbidden, "", "3 of 3 seats are in use")
	require.Equal(t, "none", s.access(grace.email), "nobody is evicted for her")

	report, err := s.UsageReport(t.Context(), "acme", s.clock.Now(), s.clock.Now())
	require.NoError(t, err)
	require.Equal(t, 2, report[0].Seats, "of provisioned people, at any one time")
	require.Equal(t, map[string]int{"admin": 1, "editor": 1, "viewer": 7}, report[0].Roles)
}

// The Split rules: a token that is shown once, lasts a year and can be
// regenerated; the open invitations are named to be revoked; nothing by hand,
// and synced groups are read-only.
func TestScenarioSplitRules(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.invitations = []string{"bob@acme.example", "carol@acme.example"}
	d, err := s.Create(t.Context(), directory.Directory{Tenant: "acme", Provider: scim.OneLogin, State: directory.Paused, Policy: scim.Policy{Lock: scim.StrictLock}})
	require.NoError(t, err)
	secret, token, err := s.IssueToken(t.Context(), d.Key(), directory.TokenOptions{})
	require.NoError(t, err)
	require.Equal(t, 365*24*time.Hour, token.Expires.Sub(token.Created))
	onelogin := &provider{s, d.Key(), secret, phrases[scim.OneLogin]}
	onelogin.say(onelogin.speaks.create, someone("Ada")).refused(http.StatusForbidden, "", "switched off") // it is not switched on for the organization

	require.NoError(t, s.Enable(t.Context(), d.Key()))
	_, last := s.events("acme", 0)
	require.Equal(t, scim.DirectoryEnabled, last.Type)
	require.Equal(t, "strict\nbob@acme.example\ncarol@acme.example", last.Note)
	ada := onelogin.hire("Ada")
	group := onelogin.group("Engineers", ada)
	require.NotEmpty(t, group)

	for action, why := range map[directory.Action]string{
		directory.ActionInvite: "nothing to invite", directory.ActionActivate: "activate them there",
		directory.ActionDeactivate: "deactivate them there", directory.ActionEditGroup: "change the group there",
	} {
		require.Contains(t, s.may(action, ada.email), why, action)
		require.NotEmpty(t, s.may(action, "anybody@acme.example"), action)
	}

	tokens, err := s.Tokens(t.Context(), d.Key())
	require.NoError(t, err)
	require.Len(t, tokens, 1)
	require.NotContains(t, fmt.Sprintf("%+v", *tokens[0]), secret[:len(secret)-len(tokens[0].Hint)], "it was shown once")
	require.True(t, strings.HasSuffix(secret, tokens[0].Hint), "but can be told from others")
	next, _, err := s.RotateToken(t.Context(), d.Key(), token.ID, time.Hour)
	require.NoError(t, err)
	require.Equal(t, 1, onelogin.looks(ada), "the old one works on for an hour")
	s.clock.pass(2 * time.Hour)
	onelogin.say(onelogin.speaks.find, ada).refused(http.StatusUnauthorized, "")
	onelogin.secret = next
	require.Equal(t, 1, onelogin.looks(ada))
}

// A leaver: from the provider's active:false to the end of the sessions, before
// the provider is answered. Afterwards there is no way in, in any spelling of
// the email, nor when the user is deleted later.
func TestScenarioALeaver(t *testing.T) {
	t.Parallel()
	for _, dialect := range []scim.Dialect{scim.Okta, scim.Entra, scim.OneLogin, scim.Google} {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			idp := s.connect(directory.Directory{Provider: dialect})
			idp.rules("viewer")
			ada := idp.hire("Ada")
			for range 3 {
				require.Empty(t, s.signIn(ada.email))
			}
			require.Equal(t, 3, s.sessions(ada.email))
			s.told()

			idp.suspend(ada).fine()
			require.Equal(t, []string{"deactivated ada@acme.example"}, s.told())
			require.Zero(t, s.sessions(ada.email), "ended before the answer")
			require.Equal(t, "none", s.access(ada.email))
			for _, spelling := range []string{"ada@acme.example", "Ada@Acme.Example", "ADA@ACME.EXAMPLE"} {
				require.Equal(t, "deactivated", s.signIn(spelling), spelling)
			}
			require.Equal(t, 1, idp.looks(ada), "the provider still finds her")
			if idp.speaks.remove == "" {
				return // Okta never deletes
			}

			idp.remove(ada).fine()
			require.Zero(t, idp.looks(ada))
			for _, spelling := range []string{"ada@acme.example", "ADA@Acme.example"} {
				require.Equal(t, "deleted", s.signIn(spelling), spelling)
			}
			require.Zero(t, s.sessions(ada.email))
			require.Equal(t, "unknown@acme.example", func() string {
				s.signIn("unknown@acme.example") // somebody whom no directory knows may come just in time
				return s.member("unknown@acme.example").email
			}())
		})
	}
}
