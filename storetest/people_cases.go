package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
)

const (
	whyPeople   = `"People returns the accounts of a tenant, in all its directories, that have that HostID or that folded email: those of deleted users too, in order of directory and user. An empty text finds nothing" (AccountReader.People; rules B7 and E1)`
	whyWaiting  = `"Waiting returns accounts of a directory that wait for something, those of deleted users too, in order of the user's id: those with a greater id than after, limit at most" (AccountReader.Waiting; rules B10 and E1)`
	whyAccounts = `"Accounts is Waiting for all accounts of a directory" (AccountReader.Accounts)`
)

// peopleCases are about accounts that are found by other things than their
// user's id.
var peopleCases = []testCase{
	{
		name: "people/found",
		why:  whyPeople,
		run: func(p *probe) {
			p.found("", "")
			p.found("h", "ann@x.test")
			account := func(key scim.Key, id, hostID, email string, deleted bool) {
				p.put(&scim.AccountState{User: userRef(key, id), HostID: hostID, Email: email, Deleted: deleted})
			}
			for _, id := range []string{"b", "c", "d", "B"} {
				p.create(p.user(id))
			}
			account(p.key(), "b", "h", "Ann@Bücher.example", false)
			account(p.second(), "a", "h", "other@x.test", false) // nobody is there, or not yet
			account(p.second(), "B", "h", "ann@xn--bcher-kva.example", true)
			account(p.key(), "c", "H", "", false)
			account(p.key(), "d", "", "ANN@BÜCHER.example", false)
			account(p.key(), "B", "h ", "a_n@x.test", false)
			account(p.key(), "gone", "h", "", true)
			account(p.key(), "nothing", "", "", false)
			ann := scim.FoldEmail("ann@bücher.example")
			for range 2 { // the second time whoever asked first has made an index, or not
				p.found("h", "", "main/b", "main/gone", "second/B", "second/a")
				p.found("", ann, "main/b", "main/d", "second/B")
				p.found("h", ann, "main/b", "main/d", "main/gone", "second/B", "second/a")
				p.found("H", ann, "main/b", "main/c", "main/d", "second/B")
				p.found("h ", "", "main/B")
				p.found("", "")
				p.found("", "a_n@x.test", "main/B")
				p.found("", "ann@x.test")
				for _, text := range []string{"%", "_", "é", "'", "h%", "h_", "\x01"} {
					p.found(text, "")
					p.found("", text)
				}
				for _, a := range p.people("H", "") {
					p.sameAccount(a, &scim.AccountState{User: userRef(p.key(), "c"), HostID: "H"})
				}
			}
		},
	},
	{
		name: "people/changed",
		why:  whyPeople + ": as they are now",
		run: func(p *probe) {
			p.create(p.user("u"))
			u := &scim.AccountState{User: userRef(p.key(), "u"), HostID: "h", Email: "u@x.test"}
			p.put(u)
			p.found("h", "", "main/u")
			u.Active = true // and nothing that it is found by
			p.put(u)
			p.found("h", "", "main/u")
			p.found("", "u@x.test", "main/u")
			u.HostID = "i"
			p.put(u)
			p.found("h", "")
			p.found("i", "u@x.test", "main/u")
			u.Email = "v@x.test"
			p.put(u)
			p.found("", "u@x.test")
			p.found("", "v@x.test", "main/u")
			p.remove(u.User)
			p.found("i", "", "main/u")
			u.Deleted, u.HostID = true, "j"
			p.put(u)
			p.found("i", "")
			p.found("j", "", "main/u")
			p.found("", "v@x.test", "main/u")
			p.create(p.user("u"))
			p.found("j", "", "main/u")
			p.put(&scim.AccountState{User: u.User})
			p.found("j", "v@x.test")
			p.create(p.user("v"))
			p.put(&scim.AccountState{User: userRef(p.key(), "v"), HostID: "j", Email: "v@x.test"})
			p.found("j", "v@x.test", "main/v")
			p.put(&scim.AccountState{User: userRef(p.second(), "v"), HostID: "j"})
			p.found("j", "v@x.test", "main/v", "second/v")
		},
	},
	{
		name: "people/transaction",
		why:  `"Its methods see what it has done" (Tx); ` + whyTogether + "; " + whyPeople,
		run: func(p *probe) {
			keep := func(ctx context.Context, tx scim.Tx, key scim.Key, id, hostID, email string, deleted bool) {
				p.ok(tx.PutAccount(ctx, &scim.AccountState{User: userRef(key, id), HostID: hostID, Email: email, Deleted: deleted, Held: "why"}), "PutAccount")
			}
			p.createAll(p.user("u"), p.user("v"), p.user("w"))
			p.do(func(ctx context.Context, tx scim.Tx) {
				keep(ctx, tx, p.key(), "u", "h", "u@x.test", false)
				keep(ctx, tx, p.key(), "gone", "h", "gone@x.test", true)
				keep(ctx, tx, p.key(), "back", "h", "back@x.test", true)
			})
			// The first time nobody has asked before the transaction that is
			// rolled back.
			for round := range 3 {
				err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					keep(ctx, tx, p.key(), "u", "i", "u@x.test", false)
					keep(ctx, tx, p.key(), "v", "h", "v@x.test", false)
					if round > 0 {
						p.sees(ctx, tx, "h", "u@x.test", "main/back", "main/gone", "main/u", "main/v")
					}
					p.ok(tx.Delete(ctx, userRef(p.key(), "v"), 0), "Delete")
					keep(ctx, tx, p.key(), "gone", "", "", true)
					_, err := tx.Create(ctx, p.user("back"))
					p.ok(err, "Create")
					keep(ctx, tx, p.second(), "new", "h", "u@x.test", true)
					p.sees(ctx, tx, "h", "", "main/back", "main/v", "second/new")
					p.sees(ctx, tx, "i", "u@x.test", "main/u", "second/new")
					p.sees(ctx, tx, "", "gone@x.test")
					keep(ctx, tx, p.key(), "w", "h", "", false)
					keep(ctx, tx, p.key(), "back", "", "", false)
					p.sees(ctx, tx, "h", "", "main/v", "main/w", "second/new")
					return errRefused
				})
				p.is(err, errRefused, "Do")
				if round == 1 {
					continue
				}
				p.found("h", "", "main/back", "main/gone", "main/u")
				p.found("i", "v@x.test")
				p.found("", "u@x.test", "main/u")
				p.found("", "gone@x.test", "main/gone")
				p.waits(p.key(), "back", "gone", "u")
				p.waits(p.second())
			}
			p.do(func(ctx context.Context, tx scim.Tx) {
				keep(ctx, tx, p.key(), "u", "j", "", false)
				keep(ctx, tx, p.key(), "gone", "j", "", true)
			})
			p.found("h", "u@x.test", "main/back")
			p.found("j", "", "main/gone", "main/u")
		},
	},
	{
		name: "people/isolation",
		why:  whyIsolated + "; " + whyPeople,
		run: func(p *probe) {
			p.put(&scim.AccountState{User: userRef(p.key(), "u"), HostID: "h", Email: "u@x.test", Held: "why", Deleted: true})
			for _, key := range p.strangers() {
				if key.Tenant == "%" {
					continue
				}
				if key.Tenant != p.tenant {
					all, err := p.ledger.People(p.ctx, key.Tenant, "h", "u@x.test")
					p.ok(err, "People")
					p.must(len(all) == 0, "People of tenant %q returns those of another", key.Tenant)
				}
				for _, find := range []func(context.Context, scim.Key, string, int) ([]*scim.AccountState, error){p.ledger.Waiting, p.ledger.Accounts} {
					all, err := find(p.ctx, key, "", 10)
					p.ok(err, "Waiting or Accounts")
					p.must(len(all) == 0, "Waiting or Accounts of directory %q of tenant %q returns those of another", key.Directory, key.Tenant)
				}
			}
		},
	},
	{
		name: "people/many",
		why:  whyPeople + ": all of them, also where a host calls very many by one name",
		run: func(p *probe) {
			const n = 300
			var want []string
			p.do(func(ctx context.Context, tx scim.Tx) {
				for i := range n {
					id := fmt.Sprintf("u%03d", i)
					_, err := tx.Create(ctx, p.user(id))
					p.ok(err, "Create")
					a := &scim.AccountState{User: userRef(p.key(), id), HostID: "one", Email: "one@x.test"}
					if i%3 == 0 {
						a.HostID = ""
					}
					p.ok(tx.PutAccount(ctx, a), "PutAccount")
					if i == 0 { // from now on whoever indexes them has to keep up
						p.sees(ctx, tx, "", "one@x.test", "main/"+id)
					}
					want = append(want, "main/"+id)
				}
			})
			p.found("one", "one@x.test", want...)
			p.found("", "one@x.test", want...)
			for i := range n - 3 {
				p.put(&scim.AccountState{User: userRef(p.key(), fmt.Sprintf("u%03d", i))})
			}
			p.found("one", "", want[n-2:]...) // 297 is a third
			p.found("", "one@x.test", want[n-3:]...)
		},
	},
	{
		name: "waiting/pages",
		why:  whyWaiting,
		run: func(p *probe) {
			p.waits(p.key())
			var want []string
			for i, id := range oddIDs {
				if i%3 == 0 {
					p.create(p.user(id))
				}
				a := &scim.AccountState{User: userRef(p.key(), id), HostID: "h", Active: true, Deleted: i%3 == 1, Since: moment.Add(-time.Duration(i) * time.Hour)}
				switch i % 4 {
				case 0:
					a.Held = "why"
				case 1:
					a.Pending = scim.PendingSeat
				case 2:
					a.Pending, a.Held = scim.PendingGrants|scim.PendingAdmin, scim.HeldForSeat
				}
				p.put(a)
				if i%4 != 3 {
					want = append(want, id)
				}
			}
			p.put(&scim.AccountState{User: userRef(p.second(), "elsewhere"), Held: "why"})
			slices.Sort(want)
			p.accountPages("Waiting", p.ledger.Waiting, want)
			p.do(func(_ context.Context, tx scim.Tx) { p.accountPages("Waiting of a transaction", tx.Waiting, want) })
			p.waits(p.second(), "elsewhere")
			for _, id := range want[1:] {
				p.put(&scim.AccountState{User: userRef(p.key(), id), HostID: "h"})
			}
			p.waits(p.key(), want[0])
			p.create(p.user("new"))
			p.put(waitingAccount(userRef(p.key(), "new")))
			p.remove(userRef(p.key(), "new"))
			p.waits(p.key(), sorted([]string{want[0], "new"})...)
			all, err := p.ledger.Waiting(p.ctx, p.key(), "nev", 1)
			p.ok(err, "Waiting")
			p.must(len(all) == 1, "Waiting after \"nev\" returns %d accounts, want 1", len(all))
			p.sameAccount(all[0], waitingAccount(userRef(p.key(), "new")))
		},
	},
	{
		name: "accounts/pages",
		why:  whyAccounts + "; " + whyWaiting,
		run: func(p *probe) {
			p.accountPages("Accounts", p.ledger.Accounts, nil)
			for i, id := range oddIDs {
				if i%2 == 0 {
					p.create(p.user(id))
				}
				p.put(&scim.AccountState{User: userRef(p.key(), id), HostID: "host of " + id, Deleted: i%2 > 0, Unmanaged: i%3 == 0, Held: []string{"", "why"}[i%2]})
			}
			p.create(p.user("without account"))
			p.put(&scim.AccountState{User: userRef(p.second(), "elsewhere")})
			want := sorted(oddIDs)
			p.accountPages("Accounts", p.ledger.Accounts, want)
			p.do(func(ctx context.Context, tx scim.Tx) {
				p.accountPages("Accounts of a transaction", tx.Accounts, want)
				p.ok(tx.PutAccount(ctx, &scim.AccountState{User: userRef(p.key(), "zz")}), "PutAccount")
				p.accountPages("Accounts of a transaction", tx.Accounts, sorted(append(want, "zz")))
			})
			all, err := p.ledger.Accounts(p.ctx, p.key(), "", 1000)
			p.ok(err, "Accounts")
			for _, a := range all {
				p.must(a.User.ID == "zz" || a.HostID == "host of "+a.User.ID, "an account is %+v", a)
			}
		},
	},
}

// oddIDs are ids of users whose order is that of their bytes.
var oddIDs = []string{"u1", "u10", "u2", "U1", "a", "B", "b", "A", "é", "e", "z", "Z", "u_", "u%", "u ", "-", "0", "\u00e0", "ｆ", "𐐀", "\uffff", "a'b", `a"b`}

// waitingAccount is an account that has something of what few accounts have.
func waitingAccount(user scim.Ref) *scim.AccountState {
	return &scim.AccountState{
		User: user, HostID: "h", Email: "w@x.test", Pending: scim.PendingSeat | scim.PendingGrants, Since: moment.Add(123456789 * time.Nanosecond), Unmanaged: true,
		Found: []string{"admin", "a 'b'", ""},
		Frozen: &scim.Frozen{
			Profile: &scim.Profile{Name: "Ann É", GivenName: "Ann", Locale: "de", Custom: map[string]string{"cost'centre": "1\"2", "": "x"}},
			Groups:  []scim.GroupRef{{ID: "g", ExternalID: "e", DisplayName: "Sales", Bound: []string{"name:Sales"}}, {ID: "h"}},
		},
	}
}

// people asks for accounts outside of a transaction and in one, which must come
// to the same.
func (p *probe) people(hostID, email string) []*scim.AccountState {
	all, err := p.ledger.People(p.ctx, p.tenant, hostID, email)
	p.ok(err, "People")
	p.do(func(ctx context.Context, tx scim.Tx) { p.sees(ctx, tx, hostID, email, accountNames(all)...) })
	return all
}

// found ends the case unless just these accounts are found, each named by
// directory/user, in this order.
func (p *probe) found(hostID, email string, want ...string) {
	got := accountNames(p.people(hostID, email))
	p.must(slices.Equal(got, want), "People by HostID %q or email %q returns %q, want %q", hostID, email, got, want)
}

// sees is found for a transaction.
func (p *probe) sees(ctx context.Context, tx scim.Tx, hostID, email string, want ...string) {
	all, err := tx.People(ctx, p.tenant, hostID, email)
	p.ok(err, "People of a transaction")
	got := accountNames(all)
	p.must(slices.Equal(got, want), "People of a transaction by HostID %q or email %q returns %q, want %q", hostID, email, got, want)
}

// waits ends the case unless just these accounts wait.
func (p *probe) waits(key scim.Key, want ...string) {
	all, err := p.ledger.Waiting(p.ctx, key, "", 1000)
	p.ok(err, "Waiting")
	p.must(slices.Equal(userIDs(all), want), "Waiting returns %q, want %q", userIDs(all), want)
}

// accountPages ends the case unless all accounts come on pages of any size, in order.
func (p *probe) accountPages(what string, page func(context.Context, scim.Key, string, int) ([]*scim.AccountState, error), want []string) {
	for _, limit := range []int{1, 2, 7, len(want), 1000} {
		if limit == 0 {
			continue
		}
		var got []string
		for after := ""; ; {
			all, err := page(p.ctx, p.key(), after, limit)
			p.ok(err, what)
			p.must(len(all) <= limit, "%s, %d at most, returns %d", what, limit, len(all))
			got = append(got, userIDs(all)...)
			p.must(len(got) <= len(want), "%s on pages of %d returns %q, want %q", what, limit, got, want)
			if len(all) == 0 {
				break
			}
			after = all[len(all)-1].User.ID
		}
		p.must(slices.Equal(got, want), "%s on pages of %d returns %q, want %q", what, limit, got, want)
	}
	for _, after := range []string{"a", "a5", "u", "u1", "zzz", strings.Repeat("z", 300), "\U0010ffff"} {
		all, err := page(p.ctx, p.key(), after, 1000)
		p.ok(err, what)
		rest := slices.DeleteFunc(slices.Clone(want), func(id string) bool { return id <= after })
		p.must(slices.Equal(userIDs(all), rest), "%s after %q returns %q, want %q", what, after, userIDs(all), rest)
	}
	none, err := page(p.ctx, p.key(), "", 0)
	p.ok(err, what)
	p.must(len(none) == 0, "%s, 0 at most, returns %d", what, len(none))
}

func userIDs(all []*scim.AccountState) []string {
	list := make([]string, len(all))
	for i, a := range all {
		list[i] = a.User.ID
	}
	return list
}
