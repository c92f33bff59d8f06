package directory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/roles"
)

func TestC5AMappingIsAppliedToEverybody(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	people := w.people(7)
	w.team("Admins", people[0])
	w.team("Engineers", people[0], people[1], people[2])

	m, version, err := w.Mapping(t.Context(), w.key)
	require.NoError(t, err)
	assert.Zero(t, version, "none was set")
	assert.Equal(t, catalog.Roles, m.Roles, "the roles are the application's")

	_, seen := w.events("acme", 0)
	task := w.set(byName("viewer", "Admins admin", "Engineers editor"))
	assert.Equal(t, directory.TaskWaiting, task.State)
	types, updated := w.events("acme", seen.Seq)
	assert.Equal(t, []scim.EventType{scim.MappingUpdated}, types)
	assert.Equal(t, `2 rules, priority, default role "viewer"`, updated.Note)

	// New requests use it at once, whether or not the task has run.
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(w.person("new")))
	assert.Empty(t, w.app.roleNames(people[0]), "the task has not run")

	task, err = w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, directory.TaskDone, task.State)
	assert.Equal(t, [3]int{8, 8, 7}, [3]int{task.Total, task.Done, task.Changed}, "the new one has it already")
	assert.False(t, task.Finished.IsZero())
	assert.Equal(t, []string{"admin"}, w.app.roleNames(people[0]))
	assert.Equal(t, []string{"editor"}, w.app.roleNames(people[1]))
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(people[6]))

	kept, version, err := w.Mapping(t.Context(), w.key)
	require.NoError(t, err)
	assert.EqualValues(t, 1, version)
	assert.Equal(t, "viewer", kept.Default)
	assert.Equal(t, catalog.Protected, kept.Protected)

	again, err := w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	assert.Equal(t, task, again, "a task that is over is left alone")
}

func TestC5SettingTheSameMappingIsNoChange(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.apply(byName("viewer"))
	_, last := w.events("acme", 0)
	w.apply(byName("viewer"))
	types, _ := w.events("acme", last.Seq)
	assert.Empty(t, types, "D4: no event")
	_, version, err := w.Mapping(t.Context(), w.key)
	require.NoError(t, err)
	assert.EqualValues(t, 1, version, "D4: no new version")
}

func TestC5SetMappingRefuses(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	w.set(byName("viewer"))
	_, last := w.events("acme", 0)

	_, err := w.SetMapping(t.Context(), w.key, byName("editor"), 0)
	require.ErrorIs(t, err, directory.ErrConflict, "somebody else has set one")
	_, err = w.SetMapping(t.Context(), w.key, byName("editor"), 2)
	require.ErrorIs(t, err, directory.ErrConflict)

	invalid := roles.Mapping{Default: "owner", Rules: []roles.Rule{{GroupName: "A", Role: "boss"}, {Role: "viewer"}}}
	many := roles.Mapping{Rules: make([]roles.Rule, 1001)}
	for what, try := range map[string]func(context.Context, scim.Key, roles.Mapping) error{
		"set": func(ctx context.Context, k scim.Key, m roles.Mapping) error {
			_, err := w.SetMapping(ctx, k, m, 1)
			return err
		},
		"preview": func(ctx context.Context, k scim.Key, m roles.Mapping) error {
			_, err := w.PreviewMapping(ctx, k, m)
			return err
		},
	} {
		wrong, ok := assertAs[*roles.InvalidError](t, try(t.Context(), w.key, invalid))
		if ok {
			assert.Lenf(t, wrong.Problems, 3, "%s: C9, B7 and C2: all at once", what)
		}
		wrong, ok = assertAs[*roles.InvalidError](t, try(t.Context(), w.key, many))
		if ok {
			assert.Equal(t, []roles.Problem{{Rule: 1001, Detail: "a mapping has at most 1000 rules"}}, wrong.Problems)
		}
		for _, stranger := range []scim.Key{{Tenant: "acme", Directory: "other"}, {Tenant: "globex", Directory: "idp"}} {
			require.ErrorIs(t, try(t.Context(), stranger, byName("viewer")), scim.ErrNotFound, what)
		}
	}
	_, _, err = w.Mapping(t.Context(), scim.Key{Tenant: "globex", Directory: "idp"})
	require.ErrorIs(t, err, scim.ErrNotFound)
	types, _ := w.events("acme", last.Seq)
	assert.Empty(t, types)
	_, version, err := w.Mapping(t.Context(), w.key)
	require.NoError(t, err)
	assert.EqualValues(t, 1, version)

	_, err = w.Retire(t.Context(), w.key, scim.ReleaseAccounts)
	require.NoError(t, err)
	_, err = w.SetMapping(t.Context(), w.key, byName("editor"), 1)
	problems(t, err)
}

func assertAs[E error](t testing.TB, err error) (e E, ok bool) {
	t.Helper()
	return e, assert.ErrorAs(t, err, &e)
}

// A rule means the group that it is bound to; to mean another one it has to be
// edited, and then it does not stay on the old one.
func TestC2ARuleGoesOverToAnotherGroup(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	ada, grace := w.person("ada"), w.person("grace")
	old := w.team("Engineers", ada)
	w.apply(byName("viewer", "Engineers editor"))
	w.rename(old, "Veterans")
	next := w.teamAs("Engineers", "another", grace)

	w.apply(byName("viewer", "Engineers admin"))
	assert.Equal(t, []string{"admin"}, w.app.roleNames(ada), "C3: a rename keeps the mapping, another role too")
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(grace), "C4: a namesake does not inherit it")

	w.apply(roles.Mapping{Default: "viewer", Rules: []roles.Rule{{GroupID: next, Role: "admin"}}})
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(ada), "the rule has left the old group")
	assert.Equal(t, []string{"admin"}, w.app.roleNames(grace))

	// A selector that was given up means what matches now.
	w.apply(byName("viewer", "Engineers editor"))
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(ada))
	assert.Equal(t, []string{"editor"}, w.app.roleNames(grace))
	w.join(old, grace)
	assert.Equal(t, []string{"editor"}, w.app.roleNames(grace), "requests see the same")
	w.leave(next, grace)
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(grace))
}

// What was given up binds to the next group that comes, too.
func TestC2AGivenUpSelectorWaitsForItsGroup(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	ada := w.person("ada")
	old := w.team("Engineers", ada)
	w.apply(byName("viewer", "Engineers editor"))
	w.rename(old, "Veterans")
	w.apply(byName("viewer"))
	w.apply(byName("viewer", "Engineers editor"))
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(ada))
	grace := w.person("grace")
	w.teamAs("Engineers", "another", grace)
	assert.Equal(t, []string{"editor"}, w.app.roleNames(grace))
	assert.Equal(t, []string{"viewer"}, w.app.roleNames(ada))
}

func TestC4Orphans(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	gone := w.team("Engineers")
	w.team("Admins")
	w.apply(roles.Mapping{Rules: []roles.Rule{
		{GroupName: "Engineers", Role: "editor"},
		{GroupName: "Admins", Role: "admin"},
		{ExternalID: "ext-Later", Role: "viewer"},
		{GroupID: "no-such-group", Role: "viewer"},
	}})
	w.do(http.MethodDelete, "/Groups/"+gone, "")
	for range 2 {
		orphans, err := w.Orphans(t.Context(), w.key)
		require.NoError(t, err)
		require.Len(t, orphans, 3)
		assert.Equal(t, 1, orphans[0].Number)
		assert.True(t, orphans[0].Deleted, "its group was there")
		assert.Equal(t, 3, orphans[1].Number)
		assert.False(t, orphans[1].Deleted, "its group has not come yet")
		assert.Equal(t, "no-such-group", orphans[2].GroupID)

		// A namesake is another group.
		if status, _ := w.send(http.MethodPost, "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Engineers","externalId":"another"}`); status != http.StatusCreated {
			require.Equal(t, http.StatusConflict, status)
		}
	}
	w.team("Later")
	orphans, err := w.Orphans(t.Context(), w.key)
	require.NoError(t, err)
	assert.Len(t, orphans, 2)
	_, err = w.Orphans(t.Context(), scim.Key{Tenant: "acme", Directory: "other"})
	require.ErrorIs(t, err, scim.ErrNotFound)
}

func TestC5APreviewSaysWhoGainsAndLosesWhatAndWhy(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	ada, grace, ken, out := w.person("ada"), w.person("grace"), w.person("ken"), w.person("out")
	admins := w.team("Admins", ada)
	w.team("Engineers", grace, out)
	w.apply(byName("viewer", "Admins admin", "Engineers editor"))
	w.setActive(out, false)
	_, last := w.events("acme", 0)

	p, err := w.PreviewMapping(t.Context(), w.key, roles.Mapping{Rules: []roles.Rule{
		{GroupName: "Engineers", Role: "admin"}, {GroupID: admins, Role: "editor"}, {GroupName: "Nobody", Role: "viewer"},
	}})
	require.NoError(t, err)
	assert.EqualValues(t, 1, p.Version)
	assert.Equal(t, 4, p.People)
	why := map[string]string{}
	for _, c := range p.Changes {
		why[c.DisplayName] = c.Why
	}
	assert.Equal(t, map[string]string{
		"ADA":   `gains "editor" from group "Admins"; loses "admin": no longer from group "Admins"`,
		"GRACE": `gains "admin" from group "Engineers"; loses "editor": no longer from group "Engineers"`,
		"KEN":   `loses "viewer": there is no default role any more`,
	}, why, "B3: who is out gets today's roles when coming back")
	assert.Equal(t, []string{ken}, p.Summary.WithoutAccess)
	assert.Equal(t, []string{ada}, p.Demoted)
	assert.Equal(t, "Nobody", p.Orphans[0].GroupName)
	assert.Len(t, p.Orphans, 1)
	types, _ := w.events("acme", last.Seq)
	assert.Empty(t, types, "nothing is stored")
	assert.Equal(t, []string{"admin"}, w.app.roleNames(ada))

	// It holds the mapping it is about.
	w.apply(byName("viewer"))
	_, err = w.SetMapping(t.Context(), w.key, byName("editor"), p.Version)
	require.ErrorIs(t, err, directory.ErrConflict)
}

// The property of rule C5: a preview is what applying does.
func TestC5APreviewIsWhatApplyingDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			w := newWorkshop(t, func(_ *scim.Config, o *directory.Options) { o.Worker.Batch = 7 })
			people := w.people(25)
			var groups []string
			for i := range 6 {
				var members []string
				for _, p := range people {
					if random.IntN(3) == 0 {
						members = append(members, p)
					}
				}
				groups = append(groups, w.team(fmt.Sprintf("G%d", i), members...))
			}
			for round := range 6 {
				m := randomMapping(random, groups)
				preview, err := w.PreviewMapping(t.Context(), w.key, m)
				require.NoError(t, err)
				before := map[string][]scim.Grant{}
				for _, p := range people {
					before[p] = w.state(p).Grants
				}
				w.apply(m)
				changes := map[string]directory.RoleChange{}
				for _, c := range preview.Changes {
					assert.Equal(t, before[c.User], c.Before)
					assert.NotEmpty(t, c.Why)
					changes[c.User] = c
				}
				for _, p := range people {
					after := w.state(p).Grants
					if c, changed := changes[p]; changed {
						assert.Equal(t, after, c.After, "round %d: %s %+v", round, c.Why, w.state(p))
					} else {
						assert.Equal(t, before[p], after, "round %d: not in the preview", round)
					}
				}
				orphans, err := w.Orphans(t.Context(), w.key)
				require.NoError(t, err)
				assert.Equal(t, preview.Orphans, orphans)
				// The directory goes on.
				p := people[random.IntN(len(people))]
				switch random.IntN(5) {
				case 0:
					w.setActive(p, w.do(http.MethodGet, "/Users/"+p, "") == "" || !w.state(p).Active)
				case 1:
					w.join(groups[random.IntN(len(groups))], p)
				case 2:
					i := random.IntN(len(groups))
					w.rename(groups[i], fmt.Sprintf("Renamed %d %d", round, i))
				case 3:
					require.NoError(t, w.Engine().SetManualRoles(t.Context(), w.served(), p, "owner"))
				case 4:
					w.update(func(d *directory.Directory) { d.Policy.Off ^= scim.SyncGroups })
				}
			}
		})
	}
}

// served returns the directory as requests are served with it.
func (w *workshop) served() *scim.Directory {
	w.t.Helper()
	tally, err := w.store.Tally(w.t.Context(), w.key.Tenant)
	require.NoError(w.t, err)
	d, err := w.Current(w.t.Context(), tally, w.key)
	require.NoError(w.t, err)
	return d
}

func randomMapping(random *rand.Rand, groups []string) roles.Mapping {
	m := roles.Mapping{Precedence: roles.Precedence(random.IntN(2)), Default: []string{"", "viewer", "editor"}[random.IntN(3)]}
	for _, i := range random.Perm(len(groups))[:random.IntN(len(groups)+1)] {
		r := roles.Rule{Role: []string{"admin", "editor", "viewer"}[random.IntN(3)]}
		switch random.IntN(3) {
		case 0:
			r.GroupID = groups[i]
		case 1:
			r.GroupName = fmt.Sprintf("G%d", i)
		default:
			r.ExternalID = fmt.Sprintf("ext-G%d", i)
		}
		m.Rules = append(m.Rules, r)
	}
	return m
}

// Speed of rule C5: 50,000 people within two seconds, on a machine that has
// nothing else to do.
func TestC5APreviewOf50000People(t *testing.T) {
	if testing.Short() || raceEnabled || !inMemory() {
		t.Skip("it is about speed, and makes everybody by a request")
	}
	w := newWorkshop(t, nil)
	people := w.people(50_000)
	w.team("Everybody", people...)
	start := time.Now()
	p, err := w.PreviewMapping(t.Context(), w.key, byName("", "Everybody editor"))
	took := time.Since(start)
	require.NoError(t, err)
	assert.Len(t, p.Changes, 50_000)
	t.Logf("%s for 50,000 people, all of whom change", took)
	const busy = 4 // how much slower a busy machine may be
	assert.Less(t, took, busy*2*time.Second)
}
