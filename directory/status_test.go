package directory_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/roles"
)

func (w *workshop) status() *directory.Status {
	w.t.Helper()
	st, err := w.Status(w.t.Context(), w.key)
	require.NoError(w.t, err)
	return st
}

func TestStatusOfAHealthyDirectory(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	ada := w.person("ada")
	w.team("Engineers", ada)
	w.apply(byName("viewer", "Engineers editor"))
	w.app.set(func(a *app) { a.usage = scim.Usage{Seats: 2, SeatLimit: 10} })
	w.clock.pass(time.Second)
	require.NoError(t, w.RunOnce(t.Context()))
	w.tally(func(t *scim.Tally) {
		t.Seats = 1
		t.Directories = map[string]scim.DirectoryTally{"idp": {Accounts: 1, Active: 1}}
	})
	st := w.status()
	assert.Equal(t, directory.Healthy, st.Health)
	assert.Empty(t, st.Attention)
	assert.Equal(t, 1, st.Accounts.Active)
	assert.Equal(t, 1, st.Groups)
	assert.Equal(t, directory.Seats{Used: 3, Limit: 10}, st.Seats)
	assert.False(t, st.LastRequest.IsZero())
	assert.Nil(t, st.LastError)
	assert.Empty(t, st.Tasks)
	assert.Len(t, st.Tokens, 1)
	assert.Equal(t, w.clock.Now(), st.WorkerRan)
	_, err := w.Status(t.Context(), scim.Key{Tenant: "globex", Directory: "idp"})
	require.ErrorIs(t, err, scim.ErrNotFound)
}

// Each thing that is wrong is said in plain words.
func TestStatusSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do        func(w *workshop)
		health    directory.Health
		attention string
		warning   string
	}{
		"no domain": {
			func(w *workshop) { w.update(func(d *directory.Directory) { d.Policy.Domain = scim.RejectDomain }) },
			directory.NeedsAttention, "no domain is verified", "",
		},
		"no mapping": {func(*workshop) {}, directory.Healthy, "", "no role mapping is set"},
		"no default": {func(w *workshop) { w.apply(byName("", "Engineers editor")) }, directory.Healthy, "", "no default role"},
		"orphan": {func(w *workshop) {
			id := w.team("Engineers")
			w.apply(byName("viewer", "Engineers editor"))
			w.do(http.MethodDelete, "/Groups/"+id, "")
		}, directory.Healthy, "", "rule 1 of the role mapping"},
		"switch": {func(w *workshop) { w.update(func(d *directory.Directory) { d.Policy.Off = scim.SyncGroups }) }, directory.Healthy, "", "group sync is switched off"},
		"token revoked": {func(w *workshop) {
			tokens, err := w.Tokens(w.t.Context(), w.key)
			require.NoError(w.t, err)
			require.NoError(w.t, w.RevokeToken(w.t.Context(), w.key, tokens[0].ID))
		}, directory.NeedsAttention, "every token is revoked", ""},
		"task overdue": {func(w *workshop) { w.set(byName("viewer")); w.clock.pass(time.Hour) }, directory.NeedsAttention, "tasks are overdue", ""},
		"no worker":    {func(w *workshop) { w.clock.pass(time.Hour) }, directory.Healthy, "", "background worker (Run) does not seem to run"},
		"task stopped": {func(w *workshop) {
			w.person("ada")
			task := w.set(byName("viewer"))
			w.app.set(func(a *app) {
				a.refuse = func(*scim.Account) error { return &scim.Error{Status: 503, Detail: "moving house"} }
			})
			_, err := w.Work(w.t.Context(), "acme", task.ID)
			require.Error(w.t, err)
		}, directory.NeedsAttention, "will go on: moving house", ""},
		"seats": {
			func(w *workshop) { w.app.set(func(a *app) { a.usage = scim.Usage{Seats: 5, SeatLimit: 5} }) },
			directory.NeedsAttention, "all 5 seats are in use", "",
		},
		"invalid role": {func(w *workshop) {
			w.set(byName("viewer"))
			w.tally(func(t *scim.Tally) {
				t.Directories = map[string]scim.DirectoryTally{"idp": {InvalidRoles: []string{"boss"}}}
			})
		}, directory.NeedsAttention, `"boss"`, ""},
		"held": {func(w *workshop) {
			w.tally(func(t *scim.Tally) {
				t.Directories = map[string]scim.DirectoryTally{"idp": {Held: 2}}
			})
		}, directory.Healthy, "", "2 accounts on hold"},
		"paused":  {func(w *workshop) { require.NoError(w.t, w.Pause(w.t.Context(), w.key)) }, directory.IsPaused, "", ""},
		"retired": {func(w *workshop) { w.retire(scim.DeactivateAll, true) }, directory.IsRetired, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkshop(t, nil)
			c.do(w)
			st := w.status()
			assert.Equal(t, c.health, st.Health)
			assert.Contains(t, strings.Join(st.Attention, "\n"), c.attention)
			assert.Contains(t, strings.Join(st.Warnings, "\n"), c.warning)
			if c.attention == "" {
				assert.Empty(t, st.Attention)
			}
		})
	}
}

func TestStatusShowsTheLastError(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.person("ada")
	status, _ := w.send(http.MethodPost, "/Users", userBody("ada"))
	require.Equal(t, http.StatusConflict, status)
	w.person("grace")
	st := w.status()
	require.NotNil(t, st.LastError)
	assert.Equal(t, http.StatusConflict, st.LastError.Status)
	assert.NotEmpty(t, st.LastError.Hint)
	assert.Equal(t, directory.Healthy, st.Health)
}

func TestStatusTellsOfAProviderThatUsesAnOldToken(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	old := w.secret
	tokens, err := w.Tokens(t.Context(), w.key)
	require.NoError(t, err)
	_, _, err = w.RotateToken(t.Context(), w.key, tokens[0].ID, time.Hour)
	require.NoError(t, err)
	w.clock.pass(2 * time.Hour)
	require.Equal(t, http.StatusUnauthorized, w.get(old))
	st := w.status()
	assert.Equal(t, directory.NeedsAttention, st.Health)
	assert.Contains(t, strings.Join(st.Attention, "\n"), "a token that has ended")
}

// E1: what is filed is what was counted, and a quiet day is what the day before
// left.
func TestE1UsageReport(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	on := func(day string, seats int, editors int) scim.DayUsage {
		return scim.DayUsage{Day: day, Seats: seats, Roles: map[string]int{"editor": editors}}
	}
	begin := w.clock.Now() // the 22nd
	w.tally(func(t *scim.Tally) {
		t.Seats, t.Roles = 3, map[string]int{"editor": 3}
		t.Days = []scim.DayUsage{on("2026-11-18", 7, 7), on("2026-11-20", 5, 6)}
		t.Today = on("2026-11-22", 9, 9)
	})
	want := []scim.DayUsage{
		on("2026-11-18", 7, 7), on("2026-11-19", 5, 6), on("2026-11-20", 5, 6), on("2026-11-21", 5, 6), on("2026-11-22", 9, 9),
	}
	report := func(from, to int) []scim.DayUsage {
		days, err := w.UsageReport(t.Context(), "acme", begin.Add(time.Duration(from)*testDay), begin.Add(time.Duration(to)*testDay))
		require.NoError(t, err)
		return days
	}
	assert.Equal(t, want, report(-10, 10), "in the tally alone")
	w.runOnce(time.Minute)
	assert.Equal(t, want, report(-10, 10), "filed")
	w.runOnce(time.Hour)
	assert.Equal(t, want, report(-10, 10), "filed once")
	assert.Equal(t, want[1:3], report(-3, -2))

	// Three days on which nothing happens, without a worker and with one.
	w.clock.pass(3 * testDay)
	quiet := append(want, on("2026-11-23", 3, 3), on("2026-11-24", 3, 3), on("2026-11-25", 3, 3))
	assert.Equal(t, quiet, report(-10, 10))
	w.runOnce(0)
	assert.Equal(t, quiet, report(-10, 10))
	var tally *scim.Tally
	require.NoError(t, w.store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) (err error) {
		tally, err = tx.Tally(ctx)
		return err
	}))
	assert.Empty(t, tally.Days, "the tally stays small")
	assert.Equal(t, "2026-11-25", tally.Today.Day)

	assert.Empty(t, report(5, -5))
	_, err := w.UsageReport(t.Context(), "acme", begin, begin.Add(2000*testDay))
	require.Error(t, err)
	days, err := w.UsageReport(t.Context(), "globex", begin, begin.Add(testDay))
	require.NoError(t, err)
	assert.Empty(t, days)
}

func TestQueueSaysWhoWaitsAndWhatEndsIt(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	people := w.people(9)
	states := []func(*scim.AccountState){
		func(a *scim.AccountState) { a.Held = scim.HeldForDomain },
		func(a *scim.AccountState) { a.Held = scim.HeldForEmail },
		func(a *scim.AccountState) { a.Held = scim.HeldForSeat },
		func(a *scim.AccountState) { a.Held = "the owner wants to look" },
		func(a *scim.AccountState) { a.Pending = scim.PendingSeat },
		func(a *scim.AccountState) { a.Pending = scim.PendingAdmin },
		func(a *scim.AccountState) {
			a.Pending = scim.PendingCreate | scim.PendingUpdate | scim.PendingDeactivate | scim.PendingGroups
		},
		func(a *scim.AccountState) { a.Pending = scim.PendingGrants },
	}
	since := w.clock.Now()
	require.NoError(t, w.store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		all, err := tx.UserStates(ctx, w.key, people)
		if err != nil {
			return err
		}
		for i, change := range states {
			next := *all[i].Account
			change(&next)
			next.Since = since
			if err := tx.PutAccount(ctx, &next); err != nil {
				return err
			}
		}
		return nil
	}))
	waiting, err := w.Waiting(t.Context(), w.key, "", 100)
	require.NoError(t, err)
	require.Len(t, waiting, len(states))
	for i, a := range waiting {
		assert.Equal(t, people[i], a.User.ID)
		assert.Equal(t, since, a.Since)
		assert.NotEmpty(t, a.DisplayName)
		assert.NotEmpty(t, a.Why)
		assert.Len(t, a.Do, len(a.Why))
		assert.Equal(t, i == 3, a.ToRelease)
	}
	assert.Len(t, waiting[6].Why, 4)
	assert.Contains(t, waiting[0].Do[0], "acme.example")
	page, err := w.Waiting(t.Context(), w.key, people[2], 2)
	require.NoError(t, err)
	require.Len(t, page, 2)
	assert.Equal(t, people[3], page[0].User.ID)
	_, err = w.Waiting(t.Context(), scim.Key{Tenant: "globex", Directory: "idp"}, "", 10)
	require.ErrorIs(t, err, scim.ErrNotFound)

	require.NoError(t, w.Release(t.Context(), w.key, people[3]))
	assert.True(t, w.app.account(people[3]).Active)
	_, released := w.events("acme", 0)
	assert.Equal(t, "administrator", released.Actor)
	require.NoError(t, w.Pause(t.Context(), w.key))
	page, err = w.Waiting(t.Context(), w.key, "", 1)
	require.NoError(t, err)
	assert.Contains(t, page[0].Why, "the directory is paused")
}

func TestA4EmailChangesAreApproved(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	_, err := w.AssertDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	ada, grace := w.person("ada"), w.person("grace")
	w.person("ken")
	for id, next := range map[string]string{ada: "ada.king@acme.example", grace: "grace@elsewhere.example"} {
		status, _ := w.send(http.MethodPatch, "/Users/"+id, patchBody(`{"op":"replace","path":"emails[primary eq true].value","value":"`+next+`"}`))
		require.Equal(t, http.StatusBadRequest, status)
	}
	changes, next, err := w.EmailChanges(t.Context(), w.key, "", 10)
	require.NoError(t, err)
	assert.Empty(t, next)
	require.Len(t, changes, 2)
	assert.Equal(t, directory.EmailChange{User: scim.Ref{Directory: w.key, Type: "User", ID: ada}, HostID: "host-ada@acme.example", Email: "ada@acme.example", Wanted: "ada.king@acme.example"}, changes[0])
	assert.True(t, changes[1].Outside)
	page, next, err := w.EmailChanges(t.Context(), w.key, "", 1)
	require.NoError(t, err)
	assert.Equal(t, changes[:1], page)
	page, next, err = w.EmailChanges(t.Context(), w.key, next, 10)
	require.NoError(t, err)
	assert.Equal(t, changes[1:], page)
	assert.Empty(t, next)

	require.NoError(t, w.ApproveEmail(t.Context(), w.key, ada))
	w.do(http.MethodPatch, "/Users/"+ada, patchBody(`{"op":"replace","path":"emails[primary eq true].value","value":"ada.king@acme.example"}`))
	assert.Equal(t, "ada.king@acme.example", w.app.account(ada).Email)
	changes, _, err = w.EmailChanges(t.Context(), w.key, "", 10)
	require.NoError(t, err)
	assert.Len(t, changes, 1)
}

// What asks about a directory that is not there says so.
func TestQueueOfAnUnknownDirectory(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	stranger := scim.Key{Tenant: "globex", Directory: "idp"}
	for name, try := range map[string]func() error{
		"release": func() error { return w.Release(t.Context(), stranger, "u") },
		"approve": func() error { return w.ApproveEmail(t.Context(), stranger, "u") },
		"confirm": func() error { return w.ConfirmMassChange(t.Context(), stranger, w.clock.Now()) },
		"emails":  func() error { _, _, err := w.EmailChanges(t.Context(), stranger, "", 1); return err },
		"preview": func() error { _, err := w.PreviewMapping(t.Context(), stranger, roles.Mapping{}); return err },
	} {
		require.ErrorIs(t, try(), scim.ErrNotFound, name)
	}
}
