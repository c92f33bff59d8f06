package scim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// newPair returns the rigs of two directories of one tenant, okta and entra.
func newPair(t *testing.T, outside *scim.Usage, policy scim.Policy) (okta, entra *guardRig) {
	t.Helper()
	a := guardedBy(t, policy, ranked())
	b := guardedBy(t, policy, roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}, {GroupName: "Engineers", Role: "editor"}}})
	a.Shared, b.Shared, b.ID = true, true, "entra"
	okta = newGuardRig(t, outside, a, b)
	return okta, okta.beside(b)
}

// last returns what the application was told last of a host's account.
func (g *guardRig) last(hostID string) *scim.Account {
	g.t.Helper()
	g.app.mu.Lock()
	defer g.app.mu.Unlock()
	for _, a := range slices.Backward(g.app.told) {
		if a.HostID == hostID || a.HostID == "" && "host-"+a.ID == hostID {
			return a
		}
	}
	require.Fail(g.t, "nobody was told of "+hostID)
	return nil
}

func named(name, display string) string {
	return fmt.Sprintf(`{"userName":%q,"displayName":%q,"active":true,"emails":[{"value":%q}]}`, name, display, name+"@acme.example")
}

func TestA9OnePersonInTwoDirectories(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, nil, scim.Policy{})
	a := okta.post("/Users", named("ada", "Ada of Okta"))
	engineers := okta.post("/Groups", team("Engineers", a))
	host := okta.state(a).HostID
	okta.forget()

	b := entra.post("/Users", named("ADA", "Ada of Entra"))
	told := okta.told()
	assert.Equal(t, scim.Linked, told.Change)
	assert.Equal(t, host, told.HostID, "one account")
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, told.Roles)
	assert.Equal(t, "Ada of Entra", told.Profile.Name)
	assert.Equal(t, host, entra.state(b).HostID)
	assert.Empty(t, entra.state(b).Grants, "each keeps its own")
	okta.happened(scim.UserCreated, scim.UserLinked)

	admins := entra.post("/Groups", team("Admins", b))
	told = okta.last(host)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins), fromGroup("editor", engineers)}, told.Roles)
	assert.ElementsMatch(t, []string{engineers, admins}, groupIDs(told))
	tally := okta.counts()
	assert.Equal(t, map[string]int{"admin": 1, "editor": 1}, tally.Roles)
	assert.Equal(t, 1, tally.Seats, "a person is counted once")
	assert.Equal(t, 1, tally.Administrators)
	assert.Equal(t, 1, tally.Directories["okta"].Active)
	assert.Equal(t, 1, tally.Directories["entra"].Active)

	okta.forget()
	okta.deactivate(a)
	told = okta.told()
	assert.Equal(t, scim.Updated, told.Change, "the person has not left")
	assert.True(t, told.Active)
	assert.Equal(t, []scim.Grant{fromGroup("admin", admins)}, told.Roles, "revoked with what gave it")
	assert.Equal(t, []string{admins}, groupIDs(told))
	assert.Equal(t, "Ada of Entra", told.Profile.Name, "from an active source")
	assert.Equal(t, a, told.ID)
	okta.happened(scim.UserDeactivated)
	assert.Equal(t, told.Roles, okta.account(a).Roles)
	assert.True(t, okta.account(a).Active)
	assert.Equal(t, map[string]int{"admin": 1}, okta.counts().Roles)

	okta.reactivate(a)
	told = okta.told()
	assert.Equal(t, scim.Updated, told.Change)
	assert.Len(t, told.Roles, 2)
	assert.Equal(t, "Ada of Okta", told.Profile.Name, "its own first")

	entra.do(http.MethodDelete, "/Users/"+b, "").is(http.StatusNoContent)
	told = okta.told()
	assert.Equal(t, scim.Updated, told.Change)
	assert.True(t, told.Active)
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, told.Roles)
	okta.deactivate(a)
	told = okta.told()
	assert.Equal(t, scim.Deactivated, told.Change)
	assert.False(t, told.Active, "no source is left")
	assert.Equal(t, 0, okta.counts().Seats)
}

func TestA9TheHostIsNotAskedForWhoIsThere(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, nil, scim.Policy{})
	a := okta.post("/Users", person("ada"))
	asked := 0
	resolving := newRuleRig(t, okta.store, scim.NoRoles{}, entra.dir, okta.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog = okta.source, guardedCatalog
		cfg.Provisioner = &holdingApp{okta.app, &asked}
	})
	b := resolving.post("/Users", person("ada"))
	assert.Equal(t, 0, asked)
	assert.Equal(t, okta.state(a).HostID, entra.state(b).HostID)
	c := resolving.post("/Users", person("bob"))
	assert.Equal(t, 1, asked)
	assert.NotEmpty(t, entra.state(c).Held)

	// Who waits for a review there gets no account here without one.
	okta.post("/Users", person("bob"))
	d := okta.post("/Groups", team("Engineers"))
	require.NotEmpty(t, d)
	host := entra.state(c).HostID
	found := okta.find("/Users", `userName eq "bob"`)
	assert.NotEqual(t, host, okta.state(found[0]).HostID)
	okta.counts()
}

type holdingApp struct {
	*hostApp
	asked *int
}

func (a *holdingApp) ResolveExisting(context.Context, *scim.Account) (scim.Resolution, error) {
	*a.asked++
	return scim.Hold("review"), nil
}

// An email that nobody has verified says nothing about who somebody is.
func TestA9UnverifiedEmailsAreTwoPeople(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{}, scim.Policy{Domain: scim.AnyDomain})
	stranger := `{"userName":"ada","active":true,"emails":[{"value":"ada@else.example"}]}`
	a, b := okta.post("/Users", stranger), entra.post("/Users", stranger)
	okta.post("/Groups", team("Engineers", a))
	entra.post("/Groups", team("Admins", b))
	assert.NotEqual(t, okta.state(a).HostID, entra.state(b).HostID)
	assert.Equal(t, []string{"editor"}, okta.names(a))
	assert.Equal(t, []string{"admin"}, okta.names(b))
	assert.Equal(t, 2, okta.counts().Seats)
	okta.deactivate(a)
	assert.False(t, okta.app.account(a).Active)
}

// The application may know by itself that two users are one person: it says so by
// its id.
func TestA9TheHostSaysThatItIsOne(t *testing.T) {
	t.Parallel()
	okta, _ := newPair(t, nil, scim.Policy{Domain: scim.AnyDomain})
	app := &sameApp{hostApp: okta.app}
	var rigs []*ruleRig
	for _, id := range []string{"okta", "entra"} {
		d := okta.source.now[scim.Key{Tenant: "acme", Directory: id}]
		rigs = append(rigs, newRuleRig(t, okta.store, scim.NoRoles{}, d, okta.clock, func(cfg *scim.Config) {
			cfg.Directories, cfg.Catalog, cfg.Provisioner = okta.source, guardedCatalog, app
		}))
	}
	a := rigs[0].post("/Users", `{"userName":"ada","active":true,"emails":[{"value":"ada@else.example"}]}`)
	rigs[0].post("/Groups", team("Engineers", a))
	rigs[1].post("/Users", `{"userName":"a.lovelace","active":true,"emails":[{"value":"lovelace@else.example"}]}`)
	assert.Equal(t, []string{"editor"}, okta.last("one").RoleNames(), "it is told again, of the one person")
	assert.Equal(t, scim.Linked, okta.last("one").Change)
	assert.Equal(t, 1, okta.counts().Seats)
	rigs[0].deactivate(a)
	assert.True(t, okta.last("one").Active)
	assert.Equal(t, 0, okta.counts().Seats)
}

type sameApp struct{ *hostApp }

func (a *sameApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	_, err := a.hostApp.Provision(ctx, acc)
	return "one", err
}

// What was given by hand was given to the person, wherever it was noted.
func TestA9ManualRolesStayWhileAnyAccountIsActive(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{}, scim.Policy{})
	a, b := okta.post("/Users", person("ada")), entra.post("/Users", person("ada"))
	require.NoError(t, okta.scim.Engine().SetManualRoles(context.Background(), okta.dir, a, "owner"))
	host := okta.state(a).HostID
	okta.deactivate(a)
	assert.Equal(t, []string{"owner"}, okta.last(host).RoleNames(), "the person is still here, and so is the role")
	entra.set("/Users/"+b, "title", `"captain"`)
	assert.Equal(t, []string{"owner"}, okta.last(host).RoleNames())
	assert.Equal(t, map[string]int{"owner": 1}, okta.counts().Roles)
	entra.patch("/Users/"+b, replaceOp("active", "false")).refused(http.StatusForbidden, "", "owner")
	okta.do(http.MethodDelete, "/Users/"+a, "").refused(http.StatusForbidden, "", "owner")
	okta.reactivate(a)
	entra.deactivate(b)
	assert.True(t, okta.last(host).Active)
	okta.counts()
}

func TestA9TheLastAdministratorMayLeaveOneOfTwo(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{}, scim.Policy{})
	a, b := okta.post("/Users", person("ada")), entra.post("/Users", person("ada"))
	okta.post("/Groups", team("Admins", a))
	entra.post("/Groups", team("Admins", b))
	assert.Equal(t, 1, okta.counts().Administrators)
	okta.deactivate(a)
	entra.patch("/Users/"+b, replaceOp("active", "false")).refused(http.StatusForbidden, "", "last administrator")
	assert.Equal(t, 1, okta.counts().Administrators)
}

func TestA9SeatsArePeoples(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{SeatLimit: 2}, scim.Policy{})
	a, kim := okta.post("/Users", person("ada")), okta.post("/Users", person("kim"))
	engineers := okta.post("/Groups", team("Engineers", a, kim))
	b := entra.post("/Users", person("ada"))
	entraEngineers := entra.post("/Groups", team("Engineers", b))
	assert.Equal(t, scim.Pending(0), entra.state(b).Pending, "who has a seat needs no other")
	bob := entra.post("/Users", person("bob"))
	entra.join(entraEngineers, bob)
	assert.Equal(t, scim.PendingSeat, entra.state(bob).Pending)
	bobToo := okta.post("/Users", person("bob"))
	okta.join(engineers, bobToo)
	assert.Equal(t, scim.PendingSeat, okta.state(bobToo).Pending)
	assert.Equal(t, 2, okta.counts().Seats)

	okta.deactivate(a)
	assert.Equal(t, 2, okta.counts().Seats, "the seat is taken by the other account")
	okta.deactivate(kim)
	assert.Equal(t, 2, okta.counts().Seats)
	assert.Equal(t, []string{"editor"}, okta.last(okta.state(bobToo).HostID).RoleNames())
	assert.Equal(t, scim.Pending(0), entra.state(bob).Pending, "served in whatever directory")
	assert.Equal(t, scim.Pending(0), okta.state(bobToo).Pending)
}

// Who waits in another directory is served with that one's policy and mapping.
func TestE1TheQueueIsTheTenants(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{SeatLimit: 1}, scim.Policy{Seats: scim.HoldSeats})
	a := okta.post("/Users", person("ada"))
	okta.post("/Groups", team("Engineers", a))
	b := entra.post("/Users", person("bob"))
	engineers := entra.post("/Groups", team("Engineers", b))
	assert.Equal(t, scim.HeldForSeat, entra.state(b).Held, "without a role there is nothing to keep")
	okta.forget()
	okta.deactivate(a)
	assert.Equal(t, []string{"editor"}, okta.names(b))
	assert.Equal(t, []scim.Grant{fromGroup("editor", engineers)}, entra.account(b).Roles)
	for _, e := range okta.happened(scim.UserDeactivated, scim.UserReleased, scim.SeatFreed) {
		if e.Type == scim.UserReleased {
			assert.Equal(t, entra.dir.Key(), e.Directory)
		}
	}
	okta.counts()
}

// Two people in two directories, changed in random order: after each change the
// application has been told what both directories together say.
func TestA9RolesAreIndependentOfTheOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 9))
			okta, entra := newPair(t, &scim.Usage{Administrators: 1}, scim.Policy{})
			type source struct {
				rig    *guardRig
				id     string
				active bool
				in     map[string]bool
				groups map[string]string
			}
			sources := []*source{{rig: okta}, {rig: entra}}
			for _, s := range sources {
				s.groups = map[string]string{}
				for _, name := range []string{"Engineers", "Admins"} {
					s.groups[name] = s.rig.post("/Groups", team(name))
				}
			}
			host, departed := "", map[*source]string{}
			for range 60 {
				s := sources[random.IntN(2)]
				name := []string{"Engineers", "Admins"}[random.IntN(2)]
				switch what := random.IntN(8); {
				case s.id == "":
					s.id, s.active, s.in = s.rig.post("/Users", person("ada")), true, map[string]bool{}
					if sources[0].id == "" || sources[1].id == "" { // nobody has the person: who comes back gets the same (rule B4)
						host = cmp.Or(departed[s], "host-"+s.id)
					}
				case what == 0:
					departed[s] = host
					s.rig.do(http.MethodDelete, "/Users/"+s.id, "").is(http.StatusNoContent)
					s.id, s.active, s.in = "", false, nil
				case what < 4:
					s.active = !s.active
					s.rig.set("/Users/"+s.id, "active", fmt.Sprint(s.active))
				case s.in[name]:
					s.rig.leave(s.groups[name], s.id)
					delete(s.in, name)
				default:
					s.rig.join(s.groups[name], s.id)
					s.in[name] = true
				}
				var want []string
				for i, s := range sources {
					if s.id == "" {
						continue
					}
					assert.Equal(t, host, s.rig.state(s.id).HostID, "one account, whoever was first")
					switch {
					case !s.active:
					case s.in["Admins"]:
						want = append(want, "admin")
					case s.in["Engineers"]:
						want = append(want, "editor")
					case i == 0:
						want = append(want, "viewer")
					}
				}
				slices.Sort(want)
				want = slices.Compact(want)
				if host == "" {
					continue // nobody yet
				}
				told := okta.last(host)
				require.Equal(t, sources[0].active || sources[1].active, told.Active)
				if told.Active {
					require.Equal(t, strings.Join(want, " "), strings.Join(told.RoleNames(), " "))
				}
			}
			okta.counts()
		})
	}
}

// A host that names an account late names all of that person's.
func TestA9AnAccountWithoutHostIDTakesTheOthers(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, nil, scim.Policy{})
	app := &shyApp{hostApp: okta.app}
	shy := newRuleRig(t, okta.store, scim.NoRoles{}, entra.dir, okta.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog, cfg.Provisioner = okta.source, guardedCatalog, app
	})
	b := shy.post("/Users", person("ada"))
	shy.post("/Groups", team("Engineers", b))
	assert.Empty(t, entra.state(b).HostID)
	a := okta.post("/Users", person("ada"))
	host := okta.state(a).HostID
	assert.NotEmpty(t, host)
	assert.Equal(t, []string{"editor", "viewer"}, okta.last(host).RoleNames(), "by the verified email")
	assert.Equal(t, 1, okta.counts().Seats)
	shy.set("/Users/"+b, "title", `"captain"`)
	assert.Equal(t, host, entra.state(b).HostID)
	okta.deactivate(a)
	assert.True(t, okta.last(host).Active)
	assert.Equal(t, 1, okta.counts().Seats)
}

type shyApp struct{ *hostApp }

func (a *shyApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	_, err := a.hostApp.Provision(ctx, acc)
	return "", err
}

// Who is served in another directory is owed a call of Committed there.
func TestE1WhoIsServedElsewhereIsOwedTheCall(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, &scim.Usage{SeatLimit: 1}, scim.Policy{Seats: scim.HoldSeats})
	a := okta.post("/Users", person("ada"))
	okta.post("/Groups", team("Engineers", a))
	b := entra.post("/Users", person("bob"))
	entra.post("/Groups", team("Engineers", b))
	app := &refusingApp{okta.metered}
	committing := newRuleRig(t, okta.store, scim.NoRoles{}, okta.dir, okta.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog, cfg.Provisioner = okta.source, guardedCatalog, app
	})
	committing.deactivate(a)
	owed, err := okta.store.Undelivered(context.Background(), "acme", okta.clock.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	var users []scim.Ref
	for _, d := range owed {
		users = append(users, d.User)
	}
	assert.ElementsMatch(t, []scim.Ref{{Directory: okta.dir.Key(), Type: "User", ID: a}, {Directory: entra.dir.Key(), Type: "User", ID: b}}, users)
}

type refusingApp struct{ *meteredApp }

func (*refusingApp) Committed(context.Context, *scim.Account) error { return errors.New("not now") }

// An email that another account of this directory has kept is no proof of who
// somebody is.
func TestA9AKeptEmailLeadsToNobody(t *testing.T) {
	t.Parallel()
	okta, entra := newPair(t, nil, scim.Policy{Email: scim.KeepEmail})
	a := okta.post("/Users", person("ada"))
	b := entra.post("/Users", person("ada"))
	require.Equal(t, okta.state(a).HostID, entra.state(b).HostID)
	entra.set("/Users/"+b, "emails", `[{"value":"lovelace@acme.example","type":"work","primary":true}]`)
	entra.set("/Users/"+b, "userName", `"lovelace"`)
	other := entra.post("/Users", `{"userName":"ada2","active":true,"emails":[{"value":"ada@acme.example"}]}`)
	assert.Equal(t, scim.HeldForEmail, entra.state(other).Held)
	assert.NotEqual(t, okta.state(a).HostID, entra.state(other).HostID)
}
