package storetest

import (
	"context"
	"fmt"
	"slices"

	scim "github.com/muster-id/scim"
)

const (
	whyStates   = `"UserStates returns each of the users in turn with what is kept beside it" (Tx.UserStates)`
	whyAccount  = `PutAccount "stores the state of an account … It stays when its user is deleted (rule B1)" (Tx.PutAccount)`
	whyDeparted = `"Departed returns the state of a deleted user's account with exactly that externalId or, where externalID is \"\", with that folded email: the latest, nil if there is none" (Tx.Departed; rules B1 and B4)`
	whyKeeper   = `"Keeper returns the state of the account that has that folded email although its user has another one: RefusedEmail is set (rule A4). Nil if there is none; deleted users have none" (Tx.Keeper)`
	whyBind     = `"Bindings returns which group each selector of the role mapping is bound to (rule C2)"; a Binding "stays when the group is deleted" (Tx.Bindings, Binding; rule C4)`
)

// accountCases are about what a Ledger keeps beside users and groups.
var accountCases = []testCase{
	{
		name: "accounts/kept",
		why:  whyAccount,
		run: func(p *probe) {
			p.create(p.user("u"))
			whole := &scim.AccountState{
				User: userRef(p.key(), "u"), HostID: "host 'u'", ExternalID: "Ext\"\\", Email: "Ann@X.test", Active: true, Held: "why é", RefusedEmail: "r@x.test", ApprovedEmail: "a@x.test",
				Grants: []scim.Grant{{Role: "admin", Source: scim.FromGroup, Group: "g"}, {Role: "admin", Source: scim.Manual}, {Role: "viewer", Source: scim.FromDefault}},
			}
			rare := waitingAccount(whole.User)
			unmanaged := &scim.AccountState{User: whole.User, HostID: "h", Unmanaged: true}
			linked := &scim.AccountState{User: whole.User, HostID: "h", Found: []string{}}
			email := &scim.AccountState{User: whole.User, Pending: scim.PendingUpdate, Frozen: &scim.Frozen{Email: "new@x.test"}}
			groups := &scim.AccountState{User: whole.User, Pending: scim.PendingGroups, Frozen: &scim.Frozen{Groups: rare.Frozen.Groups}}
			for _, a := range []*scim.AccountState{
				{User: whole.User}, whole, rare, whole, {User: whole.User, HostID: "other", Active: false}, unmanaged, linked, email, groups, {User: whole.User, Grants: whole.Grants[1:]},
			} {
				p.put(a)
				p.sameAccount(p.state().Account, a)
			}
			err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				p.ok(tx.PutAccount(ctx, &scim.AccountState{User: whole.User, HostID: "first"}), "PutAccount")
				p.ok(tx.PutAccount(ctx, &scim.AccountState{User: whole.User, HostID: "second"}), "PutAccount")
				states, err := tx.UserStates(ctx, p.key(), []string{"u"})
				p.ok(err, "UserStates")
				p.must(states[0].Account.HostID == "second", "a transaction does not see the account that it has put")
				return errRefused
			})
			p.is(err, errRefused, "Do")
			p.sameAccount(p.state().Account, &scim.AccountState{User: whole.User, Grants: whole.Grants[1:]})
		},
	},
	{
		name: "accounts/deleted",
		why:  whyAccount + `; UserState.Account: "a deleted user's stays"`,
		run: func(p *probe) {
			p.create(p.user("u"))
			a := &scim.AccountState{User: userRef(p.key(), "u"), HostID: "h", ExternalID: "e", Email: "u@x.test"}
			p.put(a)
			p.remove(a.User)
			s := p.state()
			p.must(s.User == nil, "UserStates returns a user that is deleted")
			p.sameAccount(s.Account, a)
			a.Deleted = true
			p.put(a)
			p.sameAccount(p.state().Account, a)
			p.create(p.user("u"))
			s = p.state()
			p.must(s.User != nil, "UserStates does not return a user that is there again")
			p.sameAccount(s.Account, a)
		},
	},
	{
		name: "accounts/states",
		why:  whyStates + `; "Account must not be changed; Groups is the caller's"`,
		run: func(p *probe) {
			p.team("g", 3)
			p.create(p.group("f"))
			p.join("f", "m002")
			p.put(&scim.AccountState{User: userRef(p.key(), "m001"), HostID: "one"})
			p.put(&scim.AccountState{User: userRef(p.key(), "gone"), HostID: "gone", Deleted: true})
			p.do(func(ctx context.Context, tx scim.Tx) {
				asked := []string{"m002", "nobody", "m001", "gone", "m002", "M001", "g"}
				for range 2 {
					states, err := tx.UserStates(ctx, p.key(), asked)
					p.ok(err, "UserStates")
					p.must(len(states) == len(asked), "UserStates of %d returns %d", len(asked), len(states))
					for i, want := range []struct {
						host   string
						groups []string
						there  bool
					}{{"", []string{"f", "g"}, true}, {"", nil, false}, {"one", []string{"g"}, true}, {"gone", nil, false}, {"", []string{"f", "g"}, true}, {"", nil, false}, {"", nil, false}} {
						s := states[i]
						p.must((s.User != nil) == want.there, "UserStates of %q returns the user %v", asked[i], s.User)
						if want.there {
							p.same(s.User, p.get(userRef(p.key(), asked[i])), "the user in UserStates")
						}
						p.must((s.Account != nil) == (want.host != ""), "UserStates of %q returns the account %+v", asked[i], s.Account)
						p.must(s.Account == nil || s.Account.HostID == want.host, "UserStates of %q returns the account %+v", asked[i], s.Account)
						p.must(slices.Equal(groupIDs(s.Groups), want.groups), "UserStates of %q returns the groups %q, want %q", asked[i], groupIDs(s.Groups), want.groups)
					}
					for _, s := range states {
						clear(s.Groups)
						_ = append(s.Groups, scim.GroupRef{ID: "a caller's own"})
					}
				}
				none, err := tx.UserStates(ctx, p.key(), nil)
				p.ok(err, "UserStates of nobody")
				p.must(len(none) == 0, "UserStates of nobody returns %d", len(none))
			})
		},
	},
	{
		name: "accounts/isolation",
		why:  whyIsolated,
		run: func(p *probe) {
			p.put(&scim.AccountState{User: userRef(p.key(), "u"), HostID: "h", ExternalID: "e", Email: "u@x.test", Deleted: true})
			p.put(&scim.AccountState{User: userRef(p.key(), "v"), HostID: "h", ExternalID: "e", Email: "v@x.test", RefusedEmail: "r@x.test"})
			p.do(func(ctx context.Context, tx scim.Tx) {
				p.ok(tx.Bind(ctx, p.key(), scim.Binding{GroupID: "g"}, "s"), "Bind")
				for _, key := range p.neighbours() {
					states, err := tx.UserStates(ctx, key, []string{"u"})
					p.ok(err, "UserStates")
					p.must(states[0].Account == nil, "UserStates of directory %q returns the account of another", key.Directory)
					for _, by := range [][2]string{{"e", ""}, {"", "u@x.test"}} {
						a, err := tx.Departed(ctx, key, by[0], by[1])
						p.ok(err, "Departed")
						p.must(a == nil, "Departed of directory %q returns the account of another", key.Directory)
					}
					a, err := tx.Keeper(ctx, key, "v@x.test")
					p.ok(err, "Keeper")
					p.must(a == nil, "Keeper of directory %q returns the account of another", key.Directory)
					bound, err := tx.Bindings(ctx, key)
					p.ok(err, "Bindings")
					p.must(len(bound) == 0, "Bindings of directory %q returns those of another", key.Directory)
				}
			})
		},
	},
	{
		name: "departed/external-id",
		why:  whyDeparted,
		run: func(p *probe) {
			p.must(p.departed("e", "") == nil, "an empty directory has a departed user")
			p.leave("u1", "e", "one@x.test")
			p.put(&scim.AccountState{User: p.create(p.user("here", values{"externalId": "h"})).Ref(), ExternalID: "h", Email: "here@x.test"})
			p.leave("u2", "E", "two@x.test")
			for external, want := range map[string]string{"e": "u1", "E": "u2", "h": "", "é": "", "%": "", "_": "", "e ": ""} {
				p.isDeparted(external, "", want)
			}
			p.leave("u3", "e", "three@x.test")
			p.isDeparted("e", "", "u3")
			p.put(&scim.AccountState{User: userRef(p.key(), "u3"), Deleted: true}) // given up, as by who comes back
			p.isDeparted("e", "", "u1")
			p.create(p.user("u1"))
			p.isDeparted("e", "", "")
		},
	},
	{
		name: "departed/email",
		why:  whyDeparted,
		run: func(p *probe) {
			p.leave("u1", "e1", "Ann@Bücher.example")
			p.leave("u2", "", "ben@x.test")
			p.leave("u3", "", "")
			for email, want := range map[string]string{"ANN@xn--bcher-kva.example": "u1", "ann@bücher.EXAMPLE": "u1", "ben@x.test": "u2", "BEN@X.TEST": "u2", "b_n@x.test": "", "%": "", "cid@x.test": ""} {
				p.isDeparted("", scim.FoldEmail(email), want)
			}
			p.leave("u4", "e4", "ann@bücher.example")
			p.isDeparted("", scim.FoldEmail("ann@bücher.example"), "u4")
			p.isDeparted("e1", scim.FoldEmail("nobody@x.test"), "u1")
			p.isDeparted("none", scim.FoldEmail("ben@x.test"), "")
		},
	},
	{
		name: "departed/living",
		why:  whyDeparted + ": who was not deleted has not departed",
		run: func(p *probe) {
			r := p.create(p.user("u", values{"externalId": "e"}))
			p.put(&scim.AccountState{User: r.Ref(), HostID: "h", ExternalID: "e", Email: "u@x.test"})
			p.isDeparted("e", "", "")
			p.isDeparted("", "u@x.test", "")
			p.ok(p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				p.ok(tx.Delete(ctx, r.Ref(), 0), "Delete")
				return tx.PutAccount(ctx, &scim.AccountState{User: r.Ref(), HostID: "h", ExternalID: "e", Email: "u@x.test", Deleted: true})
			}), "Do")
			p.isDeparted("e", "", "u")
			got := p.departed("e", "")
			p.sameAccount(got, &scim.AccountState{User: r.Ref(), HostID: "h", ExternalID: "e", Email: "u@x.test", Deleted: true})
		},
	},
	{
		name: "keeper/email",
		why:  whyKeeper,
		run: func(p *probe) {
			keeper := func(email, want string) {
				p.do(func(ctx context.Context, tx scim.Tx) {
					a, err := tx.Keeper(ctx, p.key(), scim.FoldEmail(email))
					p.ok(err, "Keeper")
					got := ""
					if a != nil {
						got = a.User.ID
						p.must(scim.FoldEmail(a.Email) == scim.FoldEmail(email) && a.RefusedEmail != "", "Keeper of %q returns %+v", email, a)
					}
					p.must(got == want, "Keeper of %q is %q, want %q", email, got, want)
				})
			}
			p.create(p.user("u"))
			p.create(p.user("v"))
			a := scim.AccountState{User: userRef(p.key(), "u"), HostID: "h", Email: "Ann@X.test"}
			p.put(&a)
			p.put(&scim.AccountState{User: userRef(p.key(), "v"), Email: "v@x.test"})
			keeper("ann@x.test", "")
			kept := a
			kept.RefusedEmail = "new@x.test"
			p.put(&kept)
			keeper("ann@x.test", "u")
			keeper("ANN@x.TEST", "u")
			keeper("new@x.test", "")
			keeper("v@x.test", "")
			keeper("a_n@x.test", "")
			p.put(&a)
			keeper("ann@x.test", "")
			p.put(&kept)
			p.remove(a.User)
			gone := kept
			gone.Deleted = true
			p.put(&gone)
			keeper("ann@x.test", "")
		},
	},
	{
		name: "bindings/kept",
		why:  whyBind + `; GroupRef.Bound "lists the selectors of role mappings that this group has claimed"`,
		run: func(p *probe) {
			p.team("g", 1)
			p.create(p.group("h"))
			p.join("h", "m000")
			bind := func(b scim.Binding, selectors ...string) {
				p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.Bind(ctx, p.key(), b, selectors...), "Bind") })
			}
			want := map[string]scim.Binding{}
			check := func() {
				p.do(func(ctx context.Context, tx scim.Tx) {
					got, err := tx.Bindings(ctx, p.key())
					p.ok(err, "Bindings")
					p.must(len(got) == len(want), "Bindings returns %v, want %v", got, want)
					for selector, b := range want {
						p.must(got[selector] == b, "Bindings returns %v, want %v", got, want)
					}
					states, err := tx.UserStates(ctx, p.key(), []string{"m000"})
					p.ok(err, "UserStates")
					for _, list := range [][]scim.GroupRef{states[0].Groups, p.groupsOf("m000")} {
						for _, g := range list {
							var bound []string
							for selector, b := range want {
								if b.GroupID == g.ID {
									bound = append(bound, selector)
								}
							}
							p.must(slices.Equal(sorted(g.Bound), sorted(bound)), "the group %s is bound to %q, want %q", g.ID, g.Bound, bound)
						}
					}
				})
			}
			check()
			g, h := scim.Binding{GroupID: "g", ExternalID: "Eg"}, scim.Binding{GroupID: "h"}
			bind(g, "name:Sales", "name:SALES", "é'\"%")
			want["name:Sales"], want["name:SALES"], want["é'\"%"] = g, g, g
			check()
			bind(h, "id:h")
			bind(h)
			want["id:h"] = h
			check()
			bind(h, "name:Sales")
			want["name:Sales"] = h
			check()
			g.ExternalID = "other"
			bind(g, "name:SALES")
			want["name:SALES"] = g
			check()
			err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				p.ok(tx.Bind(ctx, p.key(), h, "name:SALES", "new"), "Bind")
				got, err := tx.Bindings(ctx, p.key())
				p.ok(err, "Bindings")
				p.must(got["name:SALES"] == h && got["new"] == h, "a transaction does not see what it has bound")
				return errRefused
			})
			p.is(err, errRefused, "Do")
			check()
			p.remove(groupRef(p.key(), "g"))
			check()
			p.create(p.group("g"))
			p.join("g", "m000")
			check()
		},
	},
}

// put stores an account in a transaction of its own.
func (p *probe) put(a *scim.AccountState) {
	own := *a
	p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutAccount(ctx, &own), "PutAccount") })
}

// state returns the user u with what is kept beside it.
func (p *probe) state() (state scim.UserState) {
	p.do(func(ctx context.Context, tx scim.Tx) {
		states, err := tx.UserStates(ctx, p.key(), []string{"u"})
		p.ok(err, "UserStates")
		p.must(len(states) == 1, "UserStates of one returns %d", len(states))
		state = states[0]
	})
	return state
}

// leave creates a user with an account and deletes it, as the engine does.
func (p *probe) leave(id, externalID, email string) {
	r := p.create(p.user(id, values{"externalId": externalID}))
	a := scim.AccountState{User: r.Ref(), HostID: "host of " + id, ExternalID: externalID, Email: email, Active: true}
	p.put(&a)
	p.do(func(ctx context.Context, tx scim.Tx) {
		p.ok(tx.Delete(ctx, r.Ref(), 0), "Delete")
		gone := a
		gone.Active, gone.Deleted = false, true
		p.ok(tx.PutAccount(ctx, &gone), "PutAccount")
	})
}

func (p *probe) departed(externalID, email string) (a *scim.AccountState) {
	p.do(func(ctx context.Context, tx scim.Tx) {
		var err error
		a, err = tx.Departed(ctx, p.key(), externalID, email)
		p.ok(err, "Departed")
	})
	return a
}

func (p *probe) isDeparted(externalID, email, want string) {
	got := ""
	if a := p.departed(externalID, email); a != nil {
		got = a.User.ID
	}
	p.must(got == want, "Departed with externalId %q and email %q is %q, want %q", externalID, email, got, want)
}

func (p *probe) sameAccount(got, want *scim.AccountState) {
	p.must(got != nil, "there is no account, want %+v", want)
	g, w := *got, *want
	p.must(slices.Equal(g.Grants, w.Grants), "the account has the grants %v, want %v", g.Grants, w.Grants)
	p.must(g.Since.Equal(w.Since), "the account waits since %v, want %v", g.Since, w.Since)
	p.must(slices.Equal(g.Found, w.Found) && (g.Found == nil) == (w.Found == nil), "the account was found with the roles %#v, want %#v: nil is not linked, empty is linked without roles", g.Found, w.Found)
	p.must(jsonOf(g.Frozen) == jsonOf(w.Frozen), "of the account is frozen %s, want %s", jsonOf(g.Frozen), jsonOf(w.Frozen))
	g.Grants, g.Since, g.Found, g.Frozen = w.Grants, w.Since, w.Found, w.Frozen
	p.must(fmt.Sprintf("%+v", g) == fmt.Sprintf("%+v", w), "the account is %+v, want %+v", g, w)
}
