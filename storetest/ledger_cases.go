package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

const (
	whyDo       = `"Do runs fn in a transaction of the tenant and commits if fn returns nil" (Ledger.Do)`
	whyTogether = `"state, grants, events and request log commit together or not at all" (Ledger)`
	whySerial   = `"Transactions of one tenant run one after the other; its readers do not wait" (Ledger.Do)`
	whySeq      = `"Events get their sequence numbers at Append, gapless in each tenant" (Tx; rule D2)`
	whyEvents   = `"Events returns events of the tenant with a sequence number greater than after, in order, limit at most" (Ledger.Events; rule D2)`
	whyLog      = `"Requests returns entries of a directory's request log, the newest first, limit at most" (Ledger.Requests; rule D8)`
	whyOwed     = `"Undelivered returns accounts of the tenant whose Committed call is outstanding since before the given time, limit at most" (Ledger.Undelivered; rule B6)`
	whyTenant   = `"a call with the context of a running transaction joins it if the tenant is the same and is an error otherwise" (Ledger.Do)`
)

// errRefused is what functions in transactions return to have them rolled back.
var errRefused = errors.New("storetest: the function in the transaction refuses")

// moment is a time of the kit's own, to the millisecond.
var moment = time.Date(2024, 2, 29, 12, 30, 45, 678e6, time.UTC)

// ledgerCases are about transactions, events, the request log and deliveries.
var ledgerCases = []testCase{
	{
		name: "do/commit",
		why:  whyDo,
		run: func(p *probe) {
			p.do(func(ctx context.Context, tx scim.Tx) { p.write(ctx, tx, "u") })
			p.written("u", true)
		},
	},
	{
		name: "do/rollback",
		why:  whyTogether + "; the error of fn is that of Do",
		run: func(p *probe) {
			err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				p.write(ctx, tx, "u")
				return fmt.Errorf("wrapped: %w", errRefused)
			})
			p.is(err, errRefused, "Do with a function that returns an error")
			p.written("u", false)
			p.do(func(ctx context.Context, tx scim.Tx) { p.write(ctx, tx, "u") })
			p.written("u", true)
		},
	},
	{
		name: "do/rollback-of-changes",
		why:  whyTogether,
		run: func(p *probe) {
			p.team("g", 3)
			p.do(func(ctx context.Context, tx scim.Tx) {
				p.ok(tx.PutAccount(ctx, &scim.AccountState{User: userRef(p.key(), "m000"), HostID: "h", Email: "m@x.test", RefusedEmail: "r@x.test"}), "PutAccount")
				p.ok(tx.Bind(ctx, p.key(), scim.Binding{GroupID: "g"}, "s"), "Bind")
			})
			user, group, other := p.get(userRef(p.key(), "m000")), p.get(groupRef(p.key(), "g")), p.get(userRef(p.key(), "m002"))
			err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				_, err := tx.Replace(ctx, p.user("m000", values{"userName": "changed", "title": "changed"}), 0)
				p.ok(err, "Replace")
				p.ok(tx.Delete(ctx, userRef(p.key(), "m001"), 0), "Delete")
				_, err = tx.ChangeMembers(ctx, group.Ref(), scim.MemberChange{Clear: true}, 0)
				p.ok(err, "ChangeMembers")
				p.ok(tx.PutAccount(ctx, &scim.AccountState{User: userRef(p.key(), "m000"), Deleted: true, Email: "n@x.test"}), "PutAccount")
				p.ok(tx.Bind(ctx, p.key(), scim.Binding{GroupID: "other"}, "s"), "Bind")
				p.ok(tx.Delete(ctx, group.Ref(), 0), "Delete of the group")
				_, err = tx.Create(ctx, p.group("g", values{"displayName": "another"}))
				p.ok(err, "Create of another group with the id")
				p.ok(tx.Delete(ctx, other.Ref(), 0), "Delete")
				return errRefused
			})
			p.is(err, errRefused, "Do")
			p.unchanged(user, "after a rollback")
			p.unchanged(group, "after a rollback")
			p.unchanged(other, "after a rollback")
			p.must(slices.Equal(p.memberIDs("g"), []string{"m000", "m001", "m002"}), "after a rollback the members are %q", p.memberIDs("g"))
			p.must(len(p.groupsOf("m001")) == 1, "after a rollback GroupsOf returns %v", p.groupsOf("m001"))
			p.finds("User", `groups.value eq "g" and not (title pr)`, "m000", "m001", "m002")
			p.finds("User", `userName eq "changed"`)
			p.do(func(ctx context.Context, tx scim.Tx) {
				states, err := tx.UserStates(ctx, p.key(), []string{"m000"})
				p.ok(err, "UserStates")
				p.must(states[0].Account != nil && states[0].Account.HostID == "h" && !states[0].Account.Deleted, "after a rollback the account is %+v", states[0].Account)
				keeper, err := tx.Keeper(ctx, p.key(), "m@x.test")
				p.ok(err, "Keeper")
				p.must(keeper != nil && keeper.User.ID == "m000", "after a rollback the keeper is %+v", keeper)
				bound, err := tx.Bindings(ctx, p.key())
				p.ok(err, "Bindings")
				p.must(bound["s"].GroupID == "g", "after a rollback the bindings are %v", bound)
			})
			p.create(p.user("free", values{"userName": "changed"}))
		},
	},
	{
		name: "do/panic",
		why:  whyTogether + "; a panic of the host's code is no commit, is not swallowed, and keeps nobody else from writing",
		run: func(p *probe) {
			var got any
			func() {
				defer func() { got = recover() }()
				_ = p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					p.write(ctx, tx, "u")
					panic(errRefused)
				})
			}()
			if text := p.failing.text(); text != "" {
				panic(stop{})
			}
			p.must(got == any(errRefused), "the panic in Do comes out as %v", got)
			p.soon("a transaction after one that has panicked", func() {
				p.written("u", false)
				p.do(func(ctx context.Context, tx scim.Tx) { p.write(ctx, tx, "u") })
				p.written("u", true)
			})
		},
	},
	{
		name: "do/cancelled",
		why:  whyTogether + ": a context that is cancelled while fn runs ends in a commit and nil, or in an error and nothing",
		run: func(p *probe) {
			for i, refuse := range []bool{false, true} {
				id := fmt.Sprint("u", i)
				ctx, cancel := context.WithCancel(p.ctx)
				before := p.events()
				err := p.ledger.Do(ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					p.write(ctx, tx, id)
					cancel()
					if refuse {
						return ctx.Err()
					}
					return nil
				})
				cancel()
				p.must(!refuse || err != nil, "Do returns nil though fn returns an error")
				p.must(p.has(userRef(p.key(), id)) == (err == nil), "Do returns %v, and the user that it wrote is there: %t", err, p.has(userRef(p.key(), id)))
				p.must((len(p.events()) > len(before)) == (err == nil), "Do returns %v, and there are %d events, before it %d", err, len(p.events()), len(before))
			}
			ctx, cancel := context.WithCancel(p.ctx)
			cancel()
			err := p.ledger.Do(ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				_, err := tx.Create(ctx, p.user("late"))
				return err
			})
			p.must(p.has(userRef(p.key(), "late")) == (err == nil), "Do with a cancelled context returns %v, which is not what it did", err)
			p.soon("a transaction after one that was cancelled", func() { p.create(p.user("next")) })
		},
	},
	{
		name: "do/after-refusal",
		why:  whyDo + ": also where a method of the Tx has returned one of the sentinels, and fn goes on",
		run: func(p *probe) {
			p.create(p.user("u", values{"externalId": "e"}))
			p.do(func(ctx context.Context, tx scim.Tx) {
				_, err := tx.Create(ctx, p.user("v", values{"externalId": "e"}))
				p.is(err, scim.ErrUniqueness, "Create with an externalId that is taken")
				_, err = tx.Create(ctx, p.user("u"))
				p.is(err, scim.ErrUniqueness, "Create with an id that is taken")
				_, err = tx.Replace(ctx, p.user("u"), 99)
				p.is(err, scim.ErrVersion, "Replace of a version that is not stored")
				_, err = tx.Get(ctx, userRef(p.key(), "none"), scim.GetOptions{})
				p.is(err, scim.ErrNotFound, "Get of what is not there")
				_, err = tx.Create(ctx, p.user("w"))
				p.ok(err, "Create after refusals in the same transaction")
			})
			p.finds("User", "", "u", "w")
		},
	},
	{
		name: "do/joins",
		why:  whyTenant,
		run: func(p *probe) {
			nested := func(ctx context.Context, id string) {
				p.ok(p.ledger.Do(ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					p.must(p.hasIn(ctx, tx, userRef(p.key(), "outer-"+id)), "a transaction that joins does not see what the outer one has done")
					_, err := tx.Create(ctx, p.user("inner-"+id))
					return err
				}), "Do that joins")
			}
			p.soon("a transaction that joins another", func() {
				p.do(func(ctx context.Context, tx scim.Tx) {
					_, err := tx.Create(ctx, p.user("outer-a"))
					p.ok(err, "Create")
					nested(ctx, "a")
					p.must(p.hasIn(ctx, tx, userRef(p.key(), "inner-a")), "a transaction does not see what one that joined it has done")
					p.must(!p.has(userRef(p.key(), "inner-a")), "what a transaction has done that joined another is seen before the outer one commits")
				})
			})
			p.finds("User", "", "inner-a", "outer-a")
			p.soon("a transaction that joins another", func() {
				err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					_, err := tx.Create(ctx, p.user("outer-b"))
					p.ok(err, "Create")
					nested(ctx, "b")
					return errRefused
				})
				p.is(err, errRefused, "Do")
			})
			p.finds("User", "", "inner-a", "outer-a")
		},
	},
	{
		name: "do/another-tenant",
		why:  whyTenant + "; " + whyIsolated,
		run: func(p *probe) {
			other := scim.Key{Tenant: p.tenant + "-other", Directory: "main"}
			theirs := p.create(p.build(other, "User", "theirs", values{"userName": "theirs"}))
			p.soon("a transaction that is asked about another tenant", func() {
				p.do(func(ctx context.Context, tx scim.Tx) {
					_, err := tx.Create(ctx, p.user("u"))
					p.ok(err, "Create")
					err = p.ledger.Do(ctx, other.Tenant, func(context.Context, scim.Tx) error {
						p.fatalf("Do of another tenant runs inside of a transaction")
						return nil
					})
					p.must(err != nil, "Do of another tenant inside of a transaction returns no error")
					refused := map[string]error{}
					_, refused["Create"] = tx.Create(ctx, p.build(other, "User", "u", values{"userName": "u"}))
					_, refused["Replace"] = tx.Replace(ctx, p.build(other, "User", "theirs", values{"userName": "u"}), 0)
					refused["Delete"] = tx.Delete(ctx, theirs.Ref(), 0)
					refused["PutAccount"] = tx.PutAccount(ctx, &scim.AccountState{User: theirs.Ref()})
					refused["Bind"] = tx.Bind(ctx, other, scim.Binding{GroupID: "g"}, "s")
					refused["Append"] = tx.Append(ctx, &scim.Event{Type: scim.UserUpdated, Directory: other, Data: theirs})
					refused["Log"] = tx.Log(ctx, &scim.LogEntry{ID: 1, Directory: other})
					_, refused["Deliver"] = tx.Deliver(ctx, scim.Delivery{User: theirs.Ref(), Since: moment})
					_, refused["People"] = tx.People(ctx, other.Tenant, "h", "")
					_, refused["Waiting"] = tx.Waiting(ctx, other, "", 1)
					_, refused["Accounts"] = tx.Accounts(ctx, other, "", 1)
					_, refused["Ledger.Tally"] = p.ledger.Tally(ctx, other.Tenant)
					_, refused["Ledger.People"] = p.ledger.People(ctx, other.Tenant, "h", "")
					_, refused["Ledger.Waiting"] = p.ledger.Waiting(ctx, other, "", 1)
					_, refused["Ledger.Accounts"] = p.ledger.Accounts(ctx, other, "", 1)
					for what, err := range refused {
						p.must(err != nil, "%s for another tenant than the transaction's returns no error", what)
					}
					if r, err := tx.Get(ctx, theirs.Ref(), scim.GetOptions{}); err == nil {
						p.fatalf("Get returns %v in a transaction of another tenant", r.Ref())
					}
				})
			})
			p.unchanged(theirs, "after a transaction of another tenant")
			p.must(p.has(userRef(p.key(), "u")), "a transaction in which another tenant was asked about does not commit")
			p.must(len(p.events()) == 0, "an event of another tenant is among this one's")
		},
	},
	{
		name: "do/ended",
		why:  `"the Tx must not be used after fn has returned": who does is told`,
		run: func(p *probe) {
			for _, result := range []error{nil, errRefused} {
				var ended scim.Tx
				err := p.ledger.Do(p.ctx, p.tenant, func(_ context.Context, tx scim.Tx) error {
					ended = tx
					return result
				})
				p.must(errors.Is(err, result), "Do returns %v, want %v", err, result)
				failed := map[string]error{}
				p.soon("a Tx that has ended", func() {
					_, failed["Create"] = ended.Create(p.ctx, p.user("late"))
					failed["Append"] = ended.Append(p.ctx, &scim.Event{Type: scim.UserCreated, Directory: p.key(), Data: p.user("late")})
					failed["Log"] = ended.Log(p.ctx, &scim.LogEntry{ID: 1, Directory: p.key()})
					failed["PutAccount"] = ended.PutAccount(p.ctx, &scim.AccountState{User: userRef(p.key(), "late")})
					_, failed["List"] = ended.List(p.ctx, p.query("User", ""))
					_, failed["UserStates"] = ended.UserStates(p.ctx, p.key(), []string{"late"})
					_, failed["Tally"] = ended.Tally(p.ctx)
					failed["PutTally"] = ended.PutTally(p.ctx, &scim.Tally{Revision: 1})
					_, failed["People"] = ended.People(p.ctx, p.tenant, "h", "")
					_, failed["Waiting"] = ended.Waiting(p.ctx, p.key(), "", 1)
					_, failed["Accounts"] = ended.Accounts(p.ctx, p.key(), "", 1)
				})
				for what, err := range failed {
					p.must(err != nil, "%s of a Tx that has ended returns no error", what)
				}
				p.missing(userRef(p.key(), "late"), "which an ended Tx created")
				p.must(len(p.events()) == 0, "an ended Tx appends events")
			}
		},
	},
	{
		name: "do/unseen",
		why:  `"Its methods see what it has done; nobody else does before the commit" (Tx), and ` + whySerial,
		run: func(p *probe) {
			p.team("g", 3)
			was := p.get(userRef(p.key(), "m000"))
			group := p.get(groupRef(p.key(), "g"))
			p.do(func(ctx context.Context, tx scim.Tx) {
				p.write(ctx, tx, "new")
				_, err := tx.Replace(ctx, p.user("m000", values{"title": "changed"}), was.Version())
				p.ok(err, "Replace")
				p.ok(tx.Delete(ctx, userRef(p.key(), "m001"), 0), "Delete")
				_, err = tx.ChangeMembers(ctx, group.Ref(), scim.MemberChange{Remove: []string{"m002"}}, 0)
				p.ok(err, "ChangeMembers")

				inside := &probe{shared: p.shared, ctx: ctx, failing: p.failing}
				p.must(!inside.hasIn(ctx, tx, userRef(p.key(), "m001")), "a transaction sees a user that it has deleted")
				title, _ := inside.getIn(ctx, tx, was.Ref()).Text("title")
				p.must(title == "changed", "a transaction does not see what it has replaced")
				p.must(slices.Equal(memberValues(inside.membersIn(ctx, tx, group.Ref())), []string{"m000"}), "a transaction sees the members %v", inside.membersIn(ctx, tx, group.Ref()))
				p.must(inside.listIn(ctx, tx, p.query("User", `groups.value eq "g"`)).Total == 1, "a filter in a transaction does not see what that has done")
				p.must(inside.listIn(ctx, tx, p.query("User", "")).Total == 3, "a list in a transaction does not see what that has done")

				p.soon("readers, while a transaction of the tenant runs", func() {
					p.written("new", false)
					p.unchanged(was, "seen by others before the commit")
					p.unchanged(group, "seen by others before the commit")
					p.must(len(p.memberIDs("g")) == 3, "others see the members %q before the commit", p.memberIDs("g"))
					p.must(len(p.groupsOf("m002")) == 1, "others see a change of members before the commit")
					p.finds("User", "", "m000", "m001", "m002")
					p.finds("User", `groups.value eq "g"`, "m000", "m001", "m002")
					p.finds("User", `title eq "changed"`)
				})
			})
			p.written("new", true)
			p.finds("User", "", "m000", "m002", "new")
			p.finds("User", `title eq "changed"`, "m000")
		},
	},
	{
		name: "do/serial",
		why:  whySerial + ": what one reads nobody changes before it has written",
		run: func(p *probe) {
			const writers, rounds = 6, 5
			level := userExtension + ":level"
			p.create(p.user("counter", values{level: 0}))
			p.together(writers, func(int) {
				for range rounds {
					p.do(func(ctx context.Context, tx scim.Tx) {
						var n int
						p.ok(p.getIn(ctx, tx, userRef(p.key(), "counter")).Decode(level, &n), "the counter")
						for range 200 { // the others come as far as they are let
							runtime.Gosched()
						}
						_, err := tx.Replace(ctx, p.user("counter", values{level: n + 1}), 0)
						p.ok(err, "Replace")
						p.ok(tx.Append(ctx, &scim.Event{Type: scim.UserUpdated, Directory: p.key(), Time: moment, Data: p.user("counter"), Note: strconv.Itoa(n)}), "Append")
					})
				}
			})
			var n int
			p.ok(p.get(userRef(p.key(), "counter")).Decode(level, &n), "the counter")
			p.must(n == writers*rounds, "%d transactions have each counted one more, and the count is %d", writers*rounds, n)
			for i, e := range p.gapless() {
				p.must(e.Note == strconv.Itoa(i), "event %d was appended by the transaction that read %s", e.Seq, e.Note)
			}
			p.must(len(p.events()) == n, "there are %d events, want %d", len(p.events()), n)
		},
	},
	{
		name: "do/tenants-together",
		why:  "tenants have nothing to do with each other: writers of several at the same time all succeed (Ledger.Do; rule A1)",
		run: func(p *probe) {
			const tenants, rounds = 4, 4
			key := func(i int) scim.Key {
				return scim.Key{Tenant: fmt.Sprintf("%s-%d", p.tenant, i), Directory: "main"}
			}
			p.together(tenants, func(i int) {
				for n := range rounds {
					p.ok(p.ledger.Do(p.ctx, key(i).Tenant, func(ctx context.Context, tx scim.Tx) error {
						r, err := tx.Create(ctx, p.build(key(i), "User", fmt.Sprint("u", n), values{"userName": fmt.Sprint("u", n)}))
						if err != nil {
							return err
						}
						return tx.Append(ctx, &scim.Event{Type: scim.UserCreated, Directory: key(i), Time: moment, Data: r})
					}), "Do beside writers of other tenants")
				}
			})
			for i := range tenants {
				events, err := p.ledger.Events(p.ctx, key(i).Tenant, 0, 100)
				p.ok(err, "Events")
				p.must(len(events) == rounds, "a tenant has %d events, want %d", len(events), rounds)
				for n, e := range events {
					p.must(e.Seq == uint64(n+1) && e.Directory == key(i), "event %d of a tenant is %d of %v", n+1, e.Seq, e.Directory)
				}
			}
		},
	},
	{
		name: "events/sequence",
		why:  whySeq,
		run: func(p *probe) {
			p.must(len(p.events()) == 0, "a tenant in which nothing happened has events")
			user := p.create(p.user("u"))
			event := func(note string, key scim.Key) *scim.Event {
				return &scim.Event{Type: scim.UserUpdated, Directory: key, Time: moment, Data: user, Note: note}
			}
			var want []string
			for i := range 6 {
				refuse := i%3 == 1
				err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					all := []*scim.Event{event(fmt.Sprint(i, "a"), p.key()), event(fmt.Sprint(i, "b"), p.second()), event(fmt.Sprint(i, "c"), p.key())}
					p.ok(tx.Append(ctx, all[:2]...), "Append")
					p.ok(tx.Append(ctx), "Append of nothing")
					p.ok(tx.Append(ctx, all[2]), "Append")
					for n, e := range all {
						p.must(e.Seq == uint64(len(want)+n+1), "Append gives the number %d, want %d, after transactions of which some were rolled back", e.Seq, len(want)+n+1)
					}
					if refuse {
						return errRefused
					}
					want = append(want, all[0].Note, all[1].Note, all[2].Note)
					return nil
				})
				p.must((err != nil) == refuse, "Do returns %v", err)
				p.do(func(context.Context, scim.Tx) {}) // without events
			}
			var got []string
			for _, e := range p.gapless() {
				got = append(got, e.Note)
			}
			p.must(slices.Equal(got, want), "the events are %q, want %q", got, want)
		},
	},
	{
		name: "events/kept",
		why:  `"Events are immutable once appended" (Event; rule D1)`,
		run: func(p *probe) {
			was := p.create(p.user("u", values{"title": "was"}))
			now := p.replace(p.user("u", values{"title": "now", "displayName": "é 'quoted' \"😀\""}), 0)
			group := p.create(p.group("g"))
			all := []*scim.Event{
				{
					Type: scim.UserUpdated, Directory: p.key(), Time: moment, Actor: "token \"a\"", Request: 1<<64 - 1, Data: now, Previous: was, Note: "a note; with 'quotes'",
					Roles: []scim.Grant{{Role: "admin", Source: scim.FromGroup, Group: "g"}, {Role: "viewer", Source: scim.Manual}}, PreviousRoles: []scim.Grant{{Role: "none", Source: scim.FromDefault}},
				},
				{Type: scim.MembershipAdded, Directory: p.key(), Time: moment, Data: group, Member: scim.Member{Value: "u", Type: "User", Display: "D"}},
				{Type: scim.UserDeleted, Directory: p.key(), Time: moment, Data: now},
				{Type: scim.TokenCreated, Directory: p.key(), Time: moment, Actor: "administrator", Name: "tok'en \"é\"", Note: "expires"},
			}
			want := slices.Clone(all)
			p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.Append(ctx, all...), "Append") })
			p.replace(p.user("u", values{"title": "later"}), 0)
			p.remove(userRef(p.key(), "u"))
			p.remove(group.Ref())
			got := p.gapless()
			p.must(len(got) == len(want), "there are %d events, want %d", len(got), len(want))
			for i, e := range got {
				p.sameEvent(e, want[i])
			}
		},
	},
	{
		name: "events/after",
		why:  whyEvents,
		run: func(p *probe) {
			const n = 25
			user := p.create(p.user("u"))
			p.do(func(ctx context.Context, tx scim.Tx) {
				for range n {
					p.ok(tx.Append(ctx, &scim.Event{Type: scim.UserUpdated, Directory: p.key(), Time: moment, Data: user}), "Append")
				}
			})
			for _, c := range []struct {
				after       uint64
				limit, want int
			}{{0, 100, n}, {0, 7, 7}, {7, 7, 7}, {20, 7, 5}, {n - 1, 7, 1}, {n, 7, 0}, {n + 1, 7, 0}, {1 << 62, 7, 0}, {0, 0, 0}, {3, 1, 1}} {
				got, err := p.ledger.Events(p.ctx, p.tenant, c.after, c.limit)
				p.ok(err, "Events")
				p.must(len(got) == c.want, "Events after %d, %d at most, returns %d, want %d", c.after, c.limit, len(got), c.want)
				for i, e := range got {
					p.must(e.Seq == c.after+uint64(i)+1, "Events after %d returns number %d in place %d", c.after, e.Seq, i)
				}
			}
			for _, tenant := range []string{p.tenant + "-2", "%", p.tenant + " "} {
				got, err := p.ledger.Events(p.ctx, tenant, 0, 10)
				p.ok(err, "Events")
				p.must(len(got) == 0, "Events of tenant %q returns those of another", tenant)
			}
		},
	},
	{
		name: "requests/newest-first",
		why:  whyLog,
		run: func(p *probe) {
			for i := range 12 {
				entry := &scim.LogEntry{ID: scim.RequestID(i + 1), Time: moment, Directory: p.key()}
				if i%2 == 0 {
					p.ok(p.ledger.Log(p.ctx, entry), "Log")
					continue
				}
				p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.Log(ctx, entry), "Log in a transaction") })
			}
			p.ok(p.ledger.Log(p.ctx, &scim.LogEntry{ID: 99, Time: moment, Directory: p.second()}), "Log")
			for limit, want := range map[int][]scim.RequestID{0: {}, 1: {12}, 3: {12, 11, 10}, 50: {12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}} {
				got := p.requests(p.key(), limit)
				p.must(slices.Equal(got, want), "Requests, %d at most, returns %v, want %v", limit, got, want)
			}
			p.must(slices.Equal(p.requests(p.second(), 10), []scim.RequestID{99}), "Requests of another directory returns %v, want 99", p.requests(p.second(), 10))
			for _, key := range p.strangers()[1:] {
				p.must(len(p.requests(key, 10)) == 0, "Requests of directory %q of tenant %q returns those of another", key.Directory, key.Tenant)
			}
		},
	},
	{
		name: "requests/kept",
		why:  `"The store copies the entry" (Ledger.Log), within a transaction at its end (Tx.Log): the caller uses its own again`,
		run: func(p *probe) {
			whole := scim.LogEntry{
				ID: 1<<64 - 1, Time: moment, Duration: 1234567 * time.Nanosecond, Directory: p.key(), Actor: "tokén", Method: "PATCH", Path: "/Users/'a'", Status: 400, Type: scim.InvalidPath,
				Detail: "\"quoted\" \\ 😀", Changed: []scim.EventType{scim.UserUpdated, scim.UserRolesChanged}, Fired: attr.StringBoolean | attr.ShortExtensionPath, Ignored: []string{"a", "b\"c"},
				Reason: scim.ReasonEmailImmutable, Withheld: scim.UpdateAttributes | scim.SyncGroups, Unknown: []string{"x"}, UserAgent: "agent/1.0", Bulk: 1 << 63,
			}
			for i := range 2 {
				entry := whole
				entry.Status += i
				if i == 0 {
					p.ok(p.ledger.Log(p.ctx, &entry), "Log")
				} else {
					p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.Log(ctx, &entry), "Log in a transaction") })
				}
				entry = scim.LogEntry{ID: 5, Detail: "another request's"}
			}
			got, err := p.ledger.Requests(p.ctx, p.key(), 10)
			p.ok(err, "Requests")
			p.must(len(got) == 2, "Requests returns %d entries, want 2", len(got))
			for i, entry := range got {
				want := whole
				want.Status += 1 - i
				p.sameEntry(entry, &want)
			}
		},
	},
	{
		name: "requests/cancelled",
		why:  `"A cancelled context is no reason not to log" (Ledger.Log): the client that hung up is the one to be looked for`,
		run: func(p *probe) {
			ctx, cancel := context.WithCancel(p.ctx)
			cancel()
			p.ok(p.ledger.Log(ctx, &scim.LogEntry{ID: 7, Time: moment, Directory: p.key()}), "Log with a cancelled context")
			p.must(slices.Equal(p.requests(p.key(), 10), []scim.RequestID{7}), "Requests returns %v after a Log with a cancelled context, want 7", p.requests(p.key(), 10))
		},
	},
	{
		name: "deliveries/outstanding",
		why:  whyOwed,
		run: func(p *probe) {
			var given []scim.Delivery
			for i := range 3 {
				p.do(func(ctx context.Context, tx scim.Tx) {
					asked := []scim.Delivery{
						{User: userRef(p.key(), fmt.Sprint("a", i)), Change: scim.Created, Since: moment.Add(time.Duration(2*i) * time.Hour)},
						{User: userRef(p.second(), fmt.Sprint("b", i)), Change: scim.Deleted, Since: moment.Add(time.Duration(2*i+1) * time.Hour)},
					}
					all, err := tx.Deliver(ctx, asked...)
					p.ok(err, "Deliver")
					p.must(len(all) == len(asked), "Deliver of %d returns %d", len(asked), len(all))
					for n, d := range all {
						p.must(d.ID != 0, "Deliver gives no ID")
						p.sameDelivery(d, asked[n], false)
					}
					given = append(given, all...)
				})
			}
			for i, d := range given {
				p.must(i == 0 || d.ID > given[i-1].ID, "the ID %d was given after %d (Account.Seq grows with every commit)", d.ID, given[max(i, 1)-1].ID)
			}
			for before, want := range map[time.Duration]int{-time.Hour: 0, 0: 0, time.Millisecond: 1, 2*time.Hour + time.Minute: 3, 100 * time.Hour: 6} {
				got := p.undelivered(moment.Add(before), 100)
				p.must(len(got) == want, "%v after the first there are %d outstanding, want %d", before, len(got), want)
				for _, d := range got {
					p.sameDelivery(d, given[slices.IndexFunc(given, func(g scim.Delivery) bool { return g.ID == d.ID })], true)
				}
			}
			later := moment.Add(100 * time.Hour)
			p.must(len(p.undelivered(later, 4)) == 4, "Undelivered, 4 at most, returns %d", len(p.undelivered(later, 4)))
			p.must(len(p.undelivered(later, 0)) == 0, "Undelivered, 0 at most, returns some")
			p.ok(p.ledger.Delivered(p.ctx, p.tenant, given[0], given[3], scim.Delivery{ID: 1 << 50, User: given[1].User}), "Delivered, of which one is unknown")
			p.ok(p.ledger.Delivered(p.ctx, p.tenant, given[0]), "Delivered once more")
			p.ok(p.ledger.Delivered(p.ctx, p.tenant), "Delivered of nothing")
			p.ok(p.ledger.Delivered(p.ctx, p.tenant+"-2", given...), "Delivered of another tenant")
			p.must(len(p.undelivered(later, 100)) == 4, "two of six are delivered, and %d are outstanding", len(p.undelivered(later, 100)))
			for _, d := range p.undelivered(later, 100) {
				p.must(d.ID != given[0].ID && d.ID != given[3].ID, "a delivery is outstanding that was delivered")
			}
			other, err := p.ledger.Undelivered(p.ctx, p.tenant+"-2", later, 100)
			p.ok(err, "Undelivered")
			p.must(len(other) == 0, "Undelivered returns those of another tenant")
		},
	},
	{
		name: "deliveries/rollback",
		why:  whyTogether + "; " + whyOwed,
		run: func(p *probe) {
			err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
				_, err := tx.Deliver(ctx, scim.Delivery{User: userRef(p.key(), "u"), Change: scim.Created, Since: moment})
				p.ok(err, "Deliver")
				p.must(len(p.undelivered(moment.Add(time.Hour), 10)) == 0, "others see a delivery before the commit")
				return errRefused
			})
			p.is(err, errRefused, "Do")
			p.must(len(p.undelivered(moment.Add(time.Hour), 10)) == 0, "a delivery is outstanding whose transaction was rolled back")
		},
	},
}

// parallelCases hold for stores that say so in [Options].
var parallelCases = []testCase{{
	name: "do/tenants-in-parallel",
	why:  "Options.Parallel says that transactions of two tenants run at the same time",
	run: func(p *probe) {
		p.do(func(ctx context.Context, tx scim.Tx) {
			_, err := tx.Create(ctx, p.user("u"))
			p.ok(err, "Create")
			p.soon("a transaction of one tenant, while one of another runs", func() {
				other := scim.Key{Tenant: p.tenant + "-2", Directory: "main"}
				p.create(p.build(other, "User", "u", values{"userName": "u"}))
			})
		})
	},
}}

// write does one of everything that a transaction can do, about a user.
func (p *probe) write(ctx context.Context, tx scim.Tx, id string) {
	r, err := tx.Create(ctx, p.user(id))
	p.ok(err, "Create")
	_, err = tx.Create(ctx, p.group("of "+id))
	p.ok(err, "Create of a group")
	_, err = tx.ChangeMembers(ctx, groupRef(p.key(), "of "+id), scim.MemberChange{Add: people(id)}, 0)
	p.ok(err, "ChangeMembers")
	p.ok(tx.PutAccount(ctx, &scim.AccountState{User: r.Ref(), HostID: "host of " + id, Email: id + "@x.test", Active: true}), "PutAccount")
	p.ok(tx.Bind(ctx, p.key(), scim.Binding{GroupID: "of " + id}, "selector of "+id), "Bind")
	p.ok(tx.Append(ctx, &scim.Event{Type: scim.UserCreated, Directory: p.key(), Time: moment, Data: r, Note: "created " + id}), "Append")
	p.ok(tx.Log(ctx, &scim.LogEntry{ID: 1, Time: moment, Directory: p.key(), Path: "/Users/" + id}), "Log")
	_, err = tx.Deliver(ctx, scim.Delivery{User: r.Ref(), Change: scim.Created, Since: moment})
	p.ok(err, "Deliver")
	was, err := tx.Tally(ctx)
	p.ok(err, "Tally")
	p.ok(tx.PutTally(ctx, &scim.Tally{Revision: was.Revision + 1, Roles: map[string]int{"role of " + id: 1}}), "PutTally")
}

// written ends the case unless all that write has written is seen, or nothing,
// of what can be seen outside of a transaction.
func (p *probe) written(id string, want bool) {
	groups := p.groupsOf(id)
	path := "/Users/" + id
	entries, err := p.ledger.Requests(p.ctx, p.key(), 100)
	p.ok(err, "Requests")
	tally, err := p.ledger.Tally(p.ctx, p.tenant)
	p.ok(err, "Tally")
	seen := map[string]bool{
		"the tally":        tally.Roles["role of "+id] == 1,
		"the user":         p.has(userRef(p.key(), id)),
		"its group":        p.has(groupRef(p.key(), "of "+id)),
		"its membership":   len(groups) == 1,
		"the user, listed": p.list(p.query("User", `id eq "`+id+`"`)).Total == 1,
		"the event":        slices.ContainsFunc(p.events(), func(e *scim.Event) bool { return e.Note == "created "+id }),
		"the log entry":    slices.ContainsFunc(entries, func(e *scim.LogEntry) bool { return e.Path == path }),
		"the delivery":     slices.ContainsFunc(p.undelivered(moment.Add(time.Hour), 100), func(d scim.Delivery) bool { return d.User.ID == id }),
		"the binding":      len(groups) == 1 && slices.Contains(groups[0].Bound, "selector of "+id),
	}
	for what, is := range seen {
		p.must(is == want, "%s is seen: %t, want %t", what, is, want)
	}
}

// events returns the events of the case's tenant.
func (p *probe) events() []*scim.Event {
	all, err := p.ledger.Events(p.ctx, p.tenant, 0, 100_000)
	p.ok(err, "Events")
	return all
}

// gapless returns all events, which must be numbered from 1 on.
func (p *probe) gapless() []*scim.Event {
	all := p.events()
	for i, e := range all {
		p.must(e.Seq == uint64(i+1), "event %d has the number %d", i+1, e.Seq)
	}
	return all
}

func (p *probe) requests(key scim.Key, limit int) []scim.RequestID {
	all, err := p.ledger.Requests(p.ctx, key, limit)
	p.ok(err, "Requests")
	list := []scim.RequestID{}
	for _, e := range all {
		list = append(list, e.ID)
	}
	return list
}

func (p *probe) undelivered(before time.Time, limit int) []scim.Delivery {
	all, err := p.ledger.Undelivered(p.ctx, p.tenant, before, limit)
	p.ok(err, "Undelivered")
	return all
}

func (p *probe) sameEvent(got, want *scim.Event) {
	what := fmt.Sprintf("event %d", want.Seq)
	p.must(got.Seq == want.Seq && got.Type == want.Type && got.Directory == want.Directory && got.Time.Equal(want.Time) && got.Actor == want.Actor &&
		got.Request == want.Request && got.Member == want.Member && got.Name == want.Name && got.Note == want.Note, "%s is %+v, want %+v", what, *got, *want)
	p.must(slices.Equal(got.Roles, want.Roles) && slices.Equal(got.PreviousRoles, want.PreviousRoles), "%s has the roles %v and before %v, want %v and %v", what, got.Roles, got.PreviousRoles, want.Roles, want.PreviousRoles)
	p.must((got.Previous == nil) == (want.Previous == nil) && (got.Data == nil) == (want.Data == nil), "%s has lost or got Data or Previous", what)
	if want.Data != nil {
		p.same(got.Data, want.Data, what+", Data")
	}
	if want.Previous != nil {
		p.same(got.Previous, want.Previous, what+", Previous")
	}
}

func (p *probe) sameEntry(got, want *scim.LogEntry) {
	g, w := *got, *want
	p.must(g.Time.Equal(w.Time), "the log entry's time is %v, want %v", g.Time, w.Time)
	p.must(slices.Equal(g.Changed, w.Changed) && slices.Equal(g.Ignored, w.Ignored) && slices.Equal(g.Unknown, w.Unknown), "the log entry is %+v, want %+v", g, w)
	g.Time, g.Changed, g.Ignored, g.Unknown = w.Time, w.Changed, w.Ignored, w.Unknown
	p.must(fmt.Sprint(g) == fmt.Sprint(w), "the log entry is %+v, want %+v", g, w)
}

func (p *probe) sameDelivery(got, want scim.Delivery, withID bool) {
	if !withID {
		want.ID = got.ID
	}
	p.must(got.ID == want.ID && got.User == want.User && got.Change == want.Change && got.Since.Equal(want.Since), "a delivery is %+v, want %+v", got, want)
}
