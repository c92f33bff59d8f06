package directory_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// Section B: lifecycle.

// B1, B2: deactivated people stay readable and keep their groups, deleted ones
// are gone and lose them; both leave at once, with an event each.
func TestScenarioB1DeactivatedIsNotDeleted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("", "Editors editor")
	ada := entra.hire("Ada")
	editors := entra.group("Editors", ada)
	require.Equal(t, "editor", s.access(ada.email))
	mark := s.mark()

	entra.suspend(ada).fine()
	require.Equal(t, []string{"user.deactivated"}, s.since(mark))
	read := entra.send(http.MethodGet, "/Users/"+ada.id, "").fine()
	require.False(t, *read.Active)
	require.Contains(t, entra.send(http.MethodGet, "/Groups/"+editors, "").fine().body, ada.id, "B2: Entra does not send them again")
	entra.resume(ada).fine()
	require.Equal(t, "editor", s.access(ada.email))

	mark = s.mark()
	entra.suspend(ada).fine()
	entra.remove(ada).fine() // Entra does so 30 days later
	require.Equal(t, []string{"user.deactivated", "user.deleted", "membership.removed"}, s.since(mark))
	entra.send(http.MethodGet, "/Users/"+ada.id, "").refused(http.StatusNotFound, "")
	entra.remove(ada).refused(http.StatusNotFound, "")
	require.NotContains(t, entra.send(http.MethodGet, "/Groups/"+editors, "").fine().body, ada.id)
	require.Equal(t, "none", s.access(ada.email), "the host's row stays")
}

// B3: who comes back has what the groups and the mapping say now, and passes the
// rules again.
func TestScenarioB3ComingBackIsWorkedOutAnew(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.seats = 1
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	okta.rules("", "Staff viewer")
	ada, grace := okta.hire("Ada"), okta.hire("Grace")
	staff := okta.group("Staff", ada)
	require.Equal(t, "viewer", s.access(ada.email))
	okta.suspend(ada).fine()
	okta.rules("", "Staff editor", "Leads admin")
	require.Equal(t, "none", s.access(ada.email))
	mark := s.mark()
	okta.resume(ada).fine()
	require.Equal(t, "editor", s.access(ada.email), "what the mapping says by now")
	require.Equal(t, []string{"user.reactivated", "user.roles_changed"}, s.since(mark))

	okta.suspend(ada).fine()
	okta.join(staff, grace).fine() // takes the only seat
	okta.resume(ada).refused(http.StatusForbidden, "", "seat")
	okta.leave(staff, ada).fine()
	okta.resume(ada).fine()
	require.Equal(t, "no role", s.access(ada.email))
	require.NoError(t, s.RemoveDomain(t.Context(), "acme", "acme.example"))
	okta.suspend(ada).fine()
	okta.resume(ada).refused(http.StatusBadRequest, "invalidValue", "domain")
}

// B4: deleted and created again is a new resource and the same account.
func TestScenarioB4ComingBackAfterDeletion(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	google := s.connect(directory.Directory{Provider: scim.Google, Policy: scim.Policy{RejoinByEmail: true}})
	ada := google.hire("Ada")
	account, first := s.member(ada.email).id, ada.id
	require.NoError(t, s.Engine().SetManualRoles(t.Context(), s.serving(google.key), ada.id, "editor"))
	google.remove(ada).fine()
	google.assign(ada).fine()
	require.NotEqual(t, first, ada.id)
	require.Equal(t, account, s.member(ada.email).id, "by externalId")
	require.Equal(t, "editor", s.access(ada.email), "with what was given by hand")

	google.remove(ada).fine()
	ada.ext = "another-id"
	google.assign(ada).fine()
	require.Equal(t, account, s.member(ada.email).id, "by policy, by the verified email")
	require.Len(t, s.app.members, 1)
}

// B5: who is created inactive is stored, and has no access, seat or invitation.
func TestScenarioB5CreatedInactive(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.seats = 1
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	okta.rules("editor")
	ada, grace := someone("Ada"), someone("Grace")
	ada.active = false
	okta.assign(ada).fine()
	require.Equal(t, 1, okta.looks(ada))
	require.Equal(t, "none", s.access(ada.email))
	require.Equal(t, "deactivated", s.signIn(ada.email))
	okta.assign(grace).fine() // the seat was free
	okta.resume(ada).refused(http.StatusForbidden, "", "1 of 1 seats are in use")
	okta.suspend(grace).fine()
	okta.resume(ada).fine()
	require.Equal(t, "editor", s.access(ada.email))
}

// B6: what the host owes after the commit is repeated until it succeeds; the
// provider was answered, and the door was closed meanwhile.
func TestScenarioB6TheEndOfSessionsIsRepeated(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	ada := entra.hire("Ada")
	require.Empty(t, s.signIn(ada.email))
	s.app.broken = errors.New("the session store is down")
	entra.suspend(ada).fine()
	require.Equal(t, 1, s.sessions(ada.email))
	require.Equal(t, "deactivated", s.signIn(ada.email))
	status, err := s.Status(t.Context(), entra.key)
	require.NoError(t, err)
	require.Equal(t, 1, status.Undelivered)
	s.app.broken = nil
	s.clock.pass(time.Hour)
	s.work()
	require.Zero(t, s.sessions(ada.email))
}

// B7: the last administrator stays one, owners are none of provisioning's.
func TestScenarioB7TheLastAdministratorStays(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.app.admins = 0
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("viewer", "Admins admin")
	ada, grace := entra.hire("Ada"), entra.hire("Grace")
	admins := entra.group("Admins", ada)

	entra.suspend(ada).refused(http.StatusForbidden, "", "administrator")
	entra.remove(ada).refused(http.StatusForbidden, "", "administrator")
	require.Equal(t, "admin", s.access(ada.email))
	mark := s.mark()
	entra.leave(admins, ada).fine() // of 500 members she may be one
	require.Equal(t, "admin viewer", s.access(ada.email), "kept and flagged")
	require.Equal(t, []string{"membership.removed", "user.roles_changed", "tenant.last_admin_protected"}, s.since(mark))
	waiting, err := s.Waiting(t.Context(), entra.key, "", 10)
	require.NoError(t, err)
	require.Equal(t, scim.PendingAdmin, waiting[0].Pending)

	entra.join(admins, grace).fine()
	require.Equal(t, []string{"viewer", "admin"}, []string{s.access(ada.email), s.access(grace.email)}, "there is another one now")
	entra.suspend(ada).fine()

	alan := entra.hire("Alan")
	require.NoError(t, s.Engine().SetManualRoles(t.Context(), s.serving(entra.key), alan.id, "owner"))
	require.Equal(t, "owner viewer", s.access(alan.email))
	entra.suspend(alan).refused(http.StatusForbidden, "", "owner")
}

// B8: very many leaving at once is told of, or held up until somebody confirms.
func TestScenarioB8AMassChange(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]scim.MassChangePolicy{"alert": scim.AlertMassChange, "hold": scim.HoldMassChange} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			okta := s.connect(directory.Directory{Provider: scim.Okta, Policy: scim.Policy{MassChange: policy}})
			people := make([]*person, 20)
			for i := range people {
				people[i] = okta.hire("P" + strconv.Itoa(i))
			}
			mark := s.mark()
			for _, who := range people[:10] {
				okta.suspend(who).fine()
			}
			require.NotContains(t, s.since(mark), "directory.attention mass_change")
			eleventh := okta.suspend(people[10])
			require.Contains(t, s.since(mark), "directory.attention mass_change")
			if policy == scim.AlertMassChange {
				eleventh.fine()
				return
			}
			eleventh.refused(http.StatusServiceUnavailable, "", "11 of 20 active users", "confirm")
			seconds, err := strconv.Atoi(eleventh.wait)
			require.NoError(t, err, "Okta reads whole seconds")
			require.Positive(t, seconds)
			require.Equal(t, "no role", s.access(people[10].email))
			require.NoError(t, s.ConfirmMassChange(t.Context(), okta.key, s.clock.Now().Add(time.Hour)))
			for _, who := range people[10:] {
				okta.suspend(who).fine()
				require.Equal(t, "none", s.access(who.email))
			}
		})
	}
}

// B9: a paused directory answers 403 and changes nothing; of a retired one an
// administrator says what becomes of its people; the next one takes them over.
func TestScenarioB9APausedDirectory(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	okta := s.connect(directory.Directory{Provider: scim.Okta})
	ada := okta.hire("Ada")
	require.Empty(t, s.signIn(ada.email))
	require.NoError(t, s.Pause(t.Context(), okta.key))
	okta.suspend(ada).refused(http.StatusForbidden, "", "switched off")
	okta.say(okta.speaks.find, ada).refused(http.StatusForbidden, "", "switched off")
	require.Equal(t, 1, s.sessions(ada.email))
	require.Empty(t, s.signIn(ada.email))
	require.Empty(t, s.may(directory.ActionDeactivate, ada.email), "nobody else could now")
	require.NoError(t, s.Enable(t.Context(), okta.key))
	okta.suspend(ada).fine()
	require.Zero(t, s.sessions(ada.email))
}

func TestScenarioB9ARetiredDirectory(t *testing.T) {
	t.Parallel()
	for how, want := range map[scim.Retirement]struct{ linked, made string }{
		scim.ReleaseAccounts: {"admin editor", "admin"}, // as they are
		scim.DeactivateAll:   {"none", "none"},
		scim.RestoreAccounts: {"editor", "none"}, // as they were found
	} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.app.legacy("ada@acme.example", "editor")
			entra := s.connect(directory.Directory{ID: "old", Provider: scim.Entra})
			entra.rules("", "Admins admin")
			ada, grace := entra.hire("Ada"), entra.hire("Grace")
			entra.group("Admins", ada, grace)
			accounts := []string{s.member(ada.email).id, s.member(grace.email).id}
			require.Empty(t, s.signIn(grace.email))

			_, err := s.Retire(t.Context(), entra.key, how)
			require.NoError(t, err)
			entra.say(entra.speaks.find, ada).refused(http.StatusUnauthorized, "")
			s.work()
			require.Equal(t, want.linked, s.access(ada.email))
			require.Equal(t, want.made, s.access(grace.email))
			require.Equal(t, want.made != "none", s.sessions(grace.email) > 0)
			require.Equal(t, want.made != "none", s.signIn(grace.email) == "")

			next := s.connect(directory.Directory{ID: "new", Provider: scim.Google})
			require.NoError(t, s.Rebind(t.Context(), next.key, "old"))
			next.rules("viewer")
			ada, grace = next.hire("Ada"), next.hire("Grace")
			require.Equal(t, accounts, []string{s.member(ada.email).id, s.member(grace.email).id}, "the same accounts, by verified email")
			require.Len(t, s.app.members, 2)
			require.Equal(t, []string{"editor viewer", "viewer"}, []string{s.access(ada.email), s.access(grace.email)}, "what the old directory gave goes")
		})
	}
}

// B10: what is switched off is frozen in the account and follows in the
// directory; switched on again, what gathered is passed on.
func TestScenarioB10SwitchesFreezeTheAccountAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	onelogin := s.connect(directory.Directory{Provider: scim.OneLogin})
	onelogin.rules("viewer", "Editors editor")
	ada := onelogin.hire("Ada")
	editors := onelogin.group("Editors")
	was := s.member(ada.email)
	onelogin.policy(func(p *scim.Policy) { p.Off = scim.UpdateAttributes | scim.SyncGroups | scim.CreateUsers })
	s.told()
	ada.first = "Augusta"
	onelogin.update(ada).fine()
	require.Equal(t, scim.UpdateAttributes, onelogin.lastRequest().Withheld)
	require.Contains(t, onelogin.lastRequest().Hint, "switched off")
	onelogin.join(editors, ada).fine()
	require.Equal(t, scim.SyncGroups, onelogin.lastRequest().Withheld)
	grace := onelogin.hire("Grace")
	require.Equal(t, scim.CreateUsers, onelogin.lastRequest().Withheld)

	require.Empty(t, s.told())
	require.Equal(t, was, s.member(ada.email))
	require.Contains(t, onelogin.send(http.MethodGet, "/Users/"+ada.id, "").fine().body, "Augusta", "what the provider wrote it reads")
	require.Equal(t, 1, onelogin.looks(grace))
	onelogin.policy(func(p *scim.Policy) { p.Off = 0 })
	require.Equal(t, "editor", s.access(ada.email))
	require.Equal(t, "Augusta Lovelace", s.member(ada.email).name)
	require.Equal(t, "viewer", s.access(grace.email))
	onelogin.suspend(ada).fine() // a leaver does not wait for anything
	require.Equal(t, "none", s.access(ada.email))
}

// B12: a resync repairs what was changed behind the directory's back.
func TestScenarioB12AResyncRepairsDrift(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	google := s.connect(directory.Directory{Provider: scim.Google})
	google.rules("viewer")
	ada, grace := google.hire("Ada"), google.hire("Grace")
	google.suspend(grace).fine()
	want := []member{s.member(ada.email), s.member(grace.email)}
	mark := s.mark()
	s.app.byEmail(ada.email).roles = []string{"admin"}
	s.app.byEmail(grace.email).active = true
	delete(s.app.members, s.app.byEmail(ada.email).id) // the application's table was restored without her
	task, err := s.Resync(t.Context(), google.key)
	require.NoError(t, err)
	task, err = s.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	require.Equal(t, directory.TaskDone, task.State)
	require.Equal(t, want, []member{s.member(ada.email), s.member(grace.email)})
	require.Empty(t, s.since(mark), "nothing has happened in the directory")
}

// B6: what many people gain in one request may wait for the worker; what they
// lose never does.
func TestScenarioB6RevocationsNeverQueue(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(cfg *scim.Config, _ *directory.Options) { cfg.DeferGrants = 1 })
	entra := s.connect(directory.Directory{Provider: scim.Entra})
	entra.rules("", "Editors editor")
	ada, grace, alan := entra.hire("Ada"), entra.hire("Grace"), entra.hire("Alan")
	editors := entra.group("Editors", ada, grace, alan)
	access := func() []string { return []string{s.access(ada.email), s.access(grace.email), s.access(alan.email)} }
	require.Equal(t, []string{"editor", "no role", "no role"}, access())
	status, err := s.Status(t.Context(), entra.key)
	require.NoError(t, err)
	require.Equal(t, 2, status.Accounts.Waiting, "visible")
	s.work()
	require.Equal(t, []string{"editor", "editor", "editor"}, access())
	entra.drop(editors)
	require.Equal(t, []string{"no role", "no role", "no role"}, access())
}
