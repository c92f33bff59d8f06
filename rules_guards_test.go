package scim_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/roles"
)

// A directorySource keeps the directories of tests, each as it is now.
type directorySource struct {
	mu  sync.Mutex
	now map[scim.Key]*scim.Directory
}

func (s *directorySource) Current(_ context.Context, _ *scim.Tally, key scim.Key) (*scim.Directory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.now[key]; d != nil {
		return d, nil
	}
	return nil, scim.ErrNotFound
}

// A meteredApp is an application that says what it has outside of directories.
type meteredApp struct {
	*hostApp

	mu      sync.Mutex
	outside scim.Usage
	asked   int
	broken  map[string]bool // users of whom it cannot be told that they are active
}

func (a *meteredApp) Usage(_ context.Context, _ string) (scim.Usage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	return a.outside, nil
}

func (a *meteredApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	a.mu.Lock()
	broken := a.broken[acc.ID] && acc.Active
	a.mu.Unlock()
	if broken {
		return "", errors.New("broken")
	}
	return a.hostApp.Provision(ctx, acc)
}

func (a *meteredApp) has(outside scim.Usage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outside = outside
}

// A guardRig is a rig of one directory whose tenant is counted.
type guardRig struct {
	*ruleRig
	metered *meteredApp
	source  *directorySource
}

// guardedCatalog: owners are protected, admins are administrators, admins and
// editors need a seat, viewers do not.
var guardedCatalog = scim.RoleCatalog{
	Roles: []string{"owner", "admin", "editor", "viewer"}, Administrators: []string{"owner", "admin"},
	Protected: []string{"owner"}, Billable: []string{"admin", "editor"},
}

// newGuardRig is a rig with the given directories of one tenant, the first of
// which is its own; the others come by beside. Without outside the application
// cannot tell what it has.
func newGuardRig(t *testing.T, outside *scim.Usage, directories ...*scim.Directory) *guardRig {
	t.Helper()
	clock := &steppingClock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	g := &guardRig{source: &directorySource{now: map[scim.Key]*scim.Directory{}}}
	for _, d := range directories {
		g.source.now[d.Key()] = d
	}
	store := newManaged(scim.CoreTypes(), &memstore.Options{Now: clock.Now, Events: 1 << 20})
	g.ruleRig = newRuleRig(t, store, scim.NoRoles{}, directories[0], clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog = g.source, guardedCatalog
		app, ok := cfg.Provisioner.(*hostApp)
		require.True(t, ok)
		if outside != nil {
			g.metered = &meteredApp{hostApp: app, outside: *outside, broken: map[string]bool{}}
			cfg.Provisioner = g.metered
		}
	})
	g.store = store
	return g
}

// beside returns the rig of another directory of the tenant.
func (g *guardRig) beside(d *scim.Directory) *guardRig {
	g.t.Helper()
	other := &guardRig{source: g.source, metered: g.metered}
	other.ruleRig = newRuleRig(g.t, g.store, scim.NoRoles{}, d, g.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog, cfg.Provisioner = g.source, guardedCatalog, g.app
		if g.metered != nil {
			cfg.Provisioner = g.metered
		}
	})
	other.store, other.app = g.store, g.app
	return other
}

// guardedBy is a directory with that mapping.
func guardedBy(t *testing.T, policy scim.Policy, m roles.Mapping) *scim.Directory {
	t.Helper()
	d := acme(policy)
	d.Roles = mappedBy(t, m)
	return d
}

// ranked maps Admins and Engineers to billable roles and has a free default.
func ranked() roles.Mapping {
	return roles.Mapping{
		Rules:   []roles.Rule{{GroupName: "Admins", Role: "admin"}, {GroupName: "Engineers", Role: "editor"}},
		Default: "viewer",
	}
}

// everybodyEdits gives everybody a seat.
func everybodyEdits() roles.Mapping {
	return roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "editor"}
}

// tally returns what is counted.
func (g *guardRig) tally() *scim.Tally {
	g.t.Helper()
	tally, err := g.store.Tally(context.Background(), g.dir.Tenant)
	require.NoError(g.t, err)
	return tally
}

// counts requires that what is counted is what a recount counts, and returns it.
func (g *guardRig) counts() *scim.Tally {
	g.t.Helper()
	before := *g.tally()
	keys := slices.Collect(maps.Keys(g.source.now))
	require.NoError(g.t, g.scim.Engine().Recount(context.Background(), g.dir.Tenant, keys))
	after := *g.tally()
	type counted struct {
		Administrators, Seats int
		Roles                 map[string]int
		Directories           map[string][4]int
	}
	of := func(t scim.Tally) counted {
		c := counted{t.Administrators, t.Seats, map[string]int{}, map[string][4]int{}}
		maps.Copy(c.Roles, t.Roles)
		for id, d := range t.Directories {
			if n := [4]int{d.Accounts, d.Active, d.Held, d.Waiting}; n != [4]int{} {
				c.Directories[id] = n
			}
		}
		return c
	}
	require.Equal(g.t, of(after), of(before), "what was counted is what there is")
	return &before
}

// names returns the roles that the host was told last.
func (g *guardRig) names(user string) []string {
	g.t.Helper()
	a := g.app.account(user)
	require.NotNil(g.t, a)
	if !a.Active {
		return nil
	}
	return a.RoleNames()
}

// The tally.

func TestE1TheTallyFollowsEveryChange(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{Domain: scim.GuestDomain}, ranked()))
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	guest := g.post("/Users", `{"userName":"guest@else.example","emails":[{"value":"guest@else.example"}]}`)
	inactive := g.post("/Users", `{"userName":"eve","active":false,"emails":[{"value":"eve@acme.example"}]}`)
	engineers := g.post("/Groups", team("Engineers", ada, bob, inactive))
	c := g.counts()
	assert.Equal(t, map[string]int{"editor": 2}, c.Roles)
	assert.Equal(t, 2, c.Seats)
	assert.Equal(t, 0, c.Administrators)
	d := c.Directories["okta"]
	assert.Equal(t, []int{4, 2, 1, 1}, []int{d.Accounts, d.Active, d.Held, d.Waiting})

	asked := g.metered.asked
	g.leave(engineers, bob)
	g.set("/Users/"+ada, "title", `"captain"`)
	assert.Equal(t, asked, g.metered.asked, "the application is asked where it matters")
	assert.Equal(t, map[string]int{"editor": 1, "viewer": 1}, g.counts().Roles)
	g.deactivate(bob)
	assert.Equal(t, map[string]int{"editor": 1}, g.counts().Roles)
	g.reactivate(inactive)
	assert.Equal(t, 2, g.counts().Seats)
	require.NoError(t, g.scim.Engine().Release(context.Background(), g.dir, guest))
	c = g.counts()
	assert.Equal(t, map[string]int{"editor": 2, "viewer": 1}, c.Roles)
	assert.Equal(t, 0, c.Directories["okta"].Waiting)
	for _, id := range []string{ada, bob, guest, inactive} {
		g.do(http.MethodDelete, "/Users/"+id, "").is(http.StatusNoContent)
	}
	c = g.counts()
	assert.Empty(t, c.Roles)
	assert.Equal(t, 0, c.Seats)
	assert.Equal(t, 0, c.Directories["okta"].Accounts)
}

func TestE1UsageIsThePeakOfEachDay(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, guardedBy(t, scim.Policy{}, everybodyEdits()))
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	g.deactivate(bob)
	today := g.tally().Today
	assert.Equal(t, scim.DayUsage{Day: "2026-03-01", Roles: map[string]int{"editor": 2}, Seats: 2}, today, "the most at any one time")

	g.clock.now = g.clock.now.AddDate(0, 0, 3)
	g.deactivate(ada)
	tally := g.tally()
	quiet := func(day string) scim.DayUsage {
		return scim.DayUsage{Day: day, Roles: map[string]int{"editor": 1}, Seats: 1}
	}
	assert.Equal(t, []scim.DayUsage{today, quiet("2026-03-02"), quiet("2026-03-03")}, tally.Days, "days without a change had what there was")
	assert.Equal(t, quiet("2026-03-04"), tally.Today, "a day begins with what there is")

	g.clock.now = g.clock.now.AddDate(5, 0, 0)
	g.reactivate(ada)
	tally = g.tally()
	assert.Len(t, tally.Days, 400, "bounded")
	assert.Equal(t, "2031-03-03", tally.Days[399].Day)

	g.clock.now = g.clock.now.AddDate(-5, 0, 0)
	g.reactivate(bob)
	tally = g.tally()
	assert.Equal(t, "2026-03-04", tally.Today.Day, "a clock that was wrong does not stop the report")
	assert.Equal(t, 2, tally.Today.Seats)
	assert.Empty(t, tally.Days)
}

func TestRecountRefusesAnotherTenant(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, acme(scim.Policy{}))
	err := g.scim.Engine().Recount(context.Background(), "acme", []scim.Key{{Tenant: "globex", Directory: "okta"}})
	assert.ErrorContains(t, err, "globex")
	err = newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), nil).scim.Engine().Recount(context.Background(), "acme", nil)
	assert.ErrorContains(t, err, "Directories")
}

// A store that had accounts before anybody counted.
func TestRecountOfAStoreThatWasThereBefore(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, guardedBy(t, scim.Policy{}, everybodyEdits()))
	before := newRuleRig(t, g.store, scim.NoRoles{}, g.dir, g.clock, nil)
	before.post("/Users", person("ada"))
	bob := before.post("/Users", person("bob"))
	assert.Equal(t, 0, g.tally().Seats)
	g.deactivate(bob) // never negative
	require.NoError(t, g.scim.Engine().Recount(context.Background(), "acme", []scim.Key{g.dir.Key()}))
	assert.Equal(t, 1, g.tally().Seats)
	assert.Equal(t, 2, g.tally().Directories["okta"].Accounts)
}

// B7: administrators and protected roles.

func TestB7ProtectedRolesAreNeitherGivenNorTaken(t *testing.T) {
	t.Parallel()
	d := guardedBy(t, scim.Policy{}, roles.Mapping{Rules: []roles.Rule{{GroupName: "Founders", Role: "owner"}, {GroupName: "Founders", Role: "viewer"}}, Precedence: roles.Union})
	g := newGuardRig(t, nil, d)
	ada := g.post("/Users", person("ada"))
	founders := g.post("/Groups", team("Founders", ada))
	assert.Equal(t, []string{"viewer"}, g.names(ada))
	require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), d, ada, "owner"))
	g.leave(founders, ada)
	assert.Equal(t, []string{"owner"}, g.names(ada), "what was given by hand stays")
	g.forget()

	for name, send := range map[string]func() *reply{
		"PATCH": func() *reply { return g.patch("/Users/"+ada, replaceOp("active", "false")) },
		"PUT": func() *reply {
			return g.do(http.MethodPut, "/Users/"+ada, `{"userName":"ada","externalId":"ext-ada","active":false}`)
		},
		"DELETE": func() *reply { return g.do(http.MethodDelete, "/Users/"+ada, "") },
	} {
		send().refused(http.StatusForbidden, "", "protected role owner", "in the application first")
		assert.Equal(t, []string{"owner"}, g.account(ada).RoleNames(), name)
	}
	g.toldNothing()
	g.happened()
	require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), d, ada))
	g.deactivate(ada)
	assert.False(t, g.app.account(ada).Active)
	g.counts()
}

func TestB7LastAdministrator(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(g *guardRig, user string) *reply{
		"deactivated": func(g *guardRig, user string) *reply { return g.patch("/Users/"+user, replaceOp("active", "false")) },
		"deleted":     func(g *guardRig, user string) *reply { return g.do(http.MethodDelete, "/Users/"+user, "") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
			ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
			g.post("/Groups", team("Admins", ada, bob))
			send(g, ada).is(map[string]int{"deactivated": 200, "deleted": 204}[name])
			g.forget()
			send(g, bob).refused(http.StatusForbidden, "", "last administrator", "make somebody else")
			g.toldNothing()
			assert.Equal(t, []scim.EventType{scim.TenantLastAdminProtected}, g.logged().Changed)
			g.get("/Users/"+bob).shows("/active", true)
			events := g.happened(scim.TenantLastAdminProtected)
			assert.Equal(t, bob, events[0].Subject().ID)
			assert.NotZero(t, events[0].Request)
			assert.Equal(t, 1, g.counts().Administrators)

			g.metered.has(scim.Usage{Administrators: 1})
			send(g, bob)
			assert.False(t, g.app.account(bob).Active, "the application has another one")
		})
	}
}

func TestB7WithoutUsageTheRuleIsOff(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, nil, guardedBy(t, scim.Policy{}, ranked()))
	ada := g.post("/Users", person("ada"))
	g.post("/Groups", team("Admins", ada))
	g.deactivate(ada)
	assert.Equal(t, 0, g.counts().Administrators)
}

func TestB7LastAdministratorKeepsARoleThatAGroupTakesAway(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(g *guardRig, group, user string){
		"removed": func(g *guardRig, group, user string) { g.leave(group, user) },
		"deleted": func(g *guardRig, group, _ string) {
			g.do(http.MethodDelete, "/Groups/"+group, "").is(http.StatusNoContent)
		},
		"remapped": func(g *guardRig, _, user string) {
			d := *g.dir
			d.Roles = mappedBy(g.t, roles.Mapping{Default: "viewer"})
			require.NoError(g.t, g.scim.Engine().Resync(context.Background(), &d, user))
			g.dir.Roles = d.Roles
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
			ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
			admins := g.post("/Groups", team("Admins", ada))
			g.forget()
			lose(g, admins, ada)
			assert.Equal(t, []scim.Grant{fromGroup("admin", admins), byDefault("viewer")}, g.account(ada).Roles, "kept with its source")
			state := g.state(ada)
			assert.Equal(t, scim.PendingAdmin, state.Pending)
			assert.False(t, state.Since.IsZero())
			protected := slices.DeleteFunc(g.events(), func(e *scim.Event) bool { return e.Type != scim.TenantLastAdminProtected })
			require.Len(t, protected, 1)
			assert.Equal(t, ada, protected[0].Subject().ID)

			g.set("/Users/"+ada, "title", `"captain"`)
			assert.NotContains(t, eventTypes(g.events()), scim.TenantLastAdminProtected, "told of once")
			assert.Equal(t, 1, g.counts().Administrators)
			g.patch("/Users/"+ada, replaceOp("active", "false")).refused(http.StatusForbidden, "", "last administrator")

			require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), g.dir, bob, "admin"))
			assert.Equal(t, []string{"viewer"}, g.names(ada), "let go as soon as there is another one")
			assert.Equal(t, scim.Pending(0), g.state(ada).Pending)
			assert.Equal(t, 1, g.counts().Administrators)
		})
	}
}

func eventTypes(events []*scim.Event) []scim.EventType {
	types := make([]scim.EventType, len(events))
	for i, e := range events {
		types[i] = e.Type
	}
	return types
}

func TestB7OfTwoAdministratorsTheLastByIDKeepsTheRole(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	require.Less(t, ada, bob)
	admins := g.post("/Groups", team("Admins", ada, bob))
	g.do(http.MethodDelete, "/Groups/"+admins, "").is(http.StatusNoContent)
	assert.Equal(t, []string{"viewer"}, g.names(ada))
	assert.Equal(t, []string{"admin", "viewer"}, g.names(bob))
	assert.Equal(t, 1, g.counts().Administrators)
}

// A change of hands in one request alarms nobody.
func TestB7AdministratorsMayTakeTurns(t *testing.T) {
	t.Parallel()
	for name, newer := range map[string]bool{"to a newer user": true, "to an older user": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
			from, to := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
			if !newer {
				from, to = to, from
			}
			admins := g.post("/Groups", team("Admins", from))
			g.forget()
			g.do(http.MethodPut, "/Groups/"+admins, team("Admins", to)).is(http.StatusOK)
			assert.Equal(t, []string{"viewer"}, g.names(from))
			assert.Equal(t, []string{"admin"}, g.names(to))
			assert.NotContains(t, eventTypes(g.events()), scim.TenantLastAdminProtected)
			assert.Equal(t, 1, g.counts().Administrators)
		})
	}
}

func TestB7ByHandTheLastAdministratorIsNotRemoved(t *testing.T) {
	t.Parallel()
	g := newGuardRig(t, &scim.Usage{}, guardedBy(t, scim.Policy{}, ranked()))
	ada := g.post("/Users", person("ada"))
	require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), g.dir, ada, "admin"))
	var refused *scim.Error
	require.ErrorAs(t, g.scim.Engine().SetManualRoles(context.Background(), g.dir, ada), &refused)
	assert.Equal(t, scim.ReasonLastAdmin, refused.Reason)
	assert.Equal(t, []string{"admin", "viewer"}, g.account(ada).RoleNames())
}

// What a batch would take away is kept too: no one person fails all the others.
func TestB7ABatchKeepsTheAccessOfTheLastAdministrator(t *testing.T) {
	t.Parallel()
	for role, says := range map[string]scim.EventType{"admin": scim.TenantLastAdminProtected, "owner": ""} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			g := newGuardRig(t, &scim.Usage{Administrators: 1}, guardedBy(t, scim.Policy{}, ranked()))
			ada := g.post("/Users", person("ada"))
			g.deactivate(ada)
			// As after a time in which deactivating was switched off.
			a := *g.state(ada)
			require.NoError(t, g.store.Do(context.Background(), "acme", func(ctx context.Context, tx scim.Tx) error {
				a.Active, a.Grants = true, []scim.Grant{byHand(role)}
				return tx.PutAccount(ctx, &a)
			}))
			require.NoError(t, g.scim.Engine().Recount(context.Background(), "acme", []scim.Key{g.dir.Key()}))
			g.metered.has(scim.Usage{})
			g.forget()
			require.NoError(t, g.scim.Engine().Resync(context.Background(), g.dir, ada))
			assert.Equal(t, []string{role}, g.names(ada))
			assert.Equal(t, scim.PendingAdmin, g.state(ada).Pending)
			if says != "" {
				g.happened(says)
			}
			bob := g.post("/Users", person("bob"))
			require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), g.dir, bob, "admin"))
			assert.Equal(t, role == "owner", g.app.account(ada).Active, "a protected role is left to whoever gave it")
			require.NoError(t, g.scim.Engine().SetManualRoles(context.Background(), g.dir, ada))
			assert.False(t, g.app.account(ada).Active)
			g.counts()
		})
	}
}

// A tombstone that waited is counted off when the person comes back.
func TestB4WhoComesBackIsCountedOnce(t *testing.T) {
	t.Parallel()
	d := guardedBy(t, scim.Policy{}, ranked())
	g := newGuardRig(t, nil, d)
	review := newRuleRig(t, g.store, scim.NoRoles{}, d, g.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog = g.source, guardedCatalog
		asked := 0
		cfg.Provisioner = &holdingApp{g.app, &asked}
	})
	ada := review.post("/Users", person("ada"))
	g.do(http.MethodDelete, "/Users/"+ada, "").is(http.StatusNoContent)
	assert.Equal(t, 1, g.counts().Directories["okta"].Waiting, "the review is still due")
	review.post("/Users", person("ada"))
	assert.Equal(t, 1, g.counts().Directories["okta"].Waiting)
}

// C9: roles that the application does not have.

func TestC9AnUnknownRoleIsLeftOutAndToldOfOnce(t *testing.T) {
	t.Parallel()
	d := guardedBy(t, scim.Policy{}, roles.Mapping{
		Rules:      []roles.Rule{{GroupName: "Engineers", Role: "edtior"}, {GroupName: "Engineers", Role: "viewer"}},
		Precedence: roles.Union,
	})
	g := newGuardRig(t, nil, d)
	ada, bob := g.post("/Users", person("ada")), g.post("/Users", person("bob"))
	g.forget()
	engineers := g.post("/Groups", team("Engineers", ada))
	events := g.happened(scim.GroupCreated, scim.MembershipAdded, scim.UserRolesChanged, scim.MappingInvalidRole)
	assert.Equal(t, "edtior", events[3].Name)
	assert.Equal(t, []string{"viewer"}, g.names(ada), "the rest")
	g.join(engineers, bob)
	g.happened(scim.MembershipAdded, scim.UserRolesChanged)
	assert.Equal(t, []string{"edtior"}, g.tally().Directories["okta"].InvalidRoles)
	g.counts()
}
