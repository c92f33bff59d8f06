package storetest

import (
	"context"
	"slices"
	"time"

	scim "github.com/muster-id/scim"
)

const whyReopen = "Options.Reopen says that what is written is there when the program is started again"

// reopenCases and reopenLedgerCases are about stores that outlive the process.
var reopenCases = []testCase{{
	name: "reopen/resources",
	why:  whyReopen,
	run: func(p *probe) {
		all := append(p.createAll(p.mixed("User")...), p.createAll(p.mixed("Device")...)...)
		all[0] = p.replace(p.user("u1", values{"title": "changed", "externalId": "x1"}), all[0].Version())
		p.remove(all[1].Ref())
		p.restart()
		p.missing(all[1].Ref(), "which was deleted before")
		for _, r := range slices.Delete(all, 1, 2) {
			p.unchanged(r, "after the store was opened again")
		}
		_, err := p.store.Create(p.ctx, p.user("new", values{"externalId": "x1"}))
		p.taken(err, "externalId", "Create with an externalId that was taken before")
		_, err = p.store.Replace(p.ctx, p.user("u1"), all[0].Version()+1)
		p.is(err, scim.ErrVersion, "Replace of a version that is not stored")
		now := p.replace(p.user("u1"), all[0].Version())
		p.must(now.Version() > all[0].Version(), "the version was %d and is %d", all[0].Version(), now.Version())
	},
}}

var reopenLedgerCases = []testCase{{
	name: "reopen/ledger",
	why:  whyReopen + "; what is owed to the host is so still (rule B6), and events are numbered on (rule D2)",
	run: func(p *probe) {
		p.do(func(ctx context.Context, tx scim.Tx) { p.write(ctx, tx, "u") })
		p.leave("gone", "e", "gone@x.test")
		events := p.gapless()
		owed := p.undelivered(moment.Add(time.Hour), 10)
		p.restart()
		p.written("u", true)
		again := p.gapless()
		p.must(len(again) == len(events), "there are %d events, want %d", len(again), len(events))
		for i, e := range again {
			p.sameEvent(e, events[i])
		}
		p.sameAccount(p.state().Account, &scim.AccountState{User: userRef(p.key(), "u"), HostID: "host of u", Email: "u@x.test", Active: true})
		p.isDeparted("e", "", "gone")
		p.do(func(ctx context.Context, tx scim.Tx) {
			e := &scim.Event{Type: scim.UserUpdated, Directory: p.key(), Time: moment, Data: p.user("u")}
			p.ok(tx.Append(ctx, e), "Append")
			p.must(e.Seq == uint64(len(events)+1), "the next event has the number %d, want %d", e.Seq, len(events)+1)
			given, err := tx.Deliver(ctx, scim.Delivery{User: userRef(p.key(), "u"), Change: scim.Updated, Since: moment})
			p.ok(err, "Deliver")
			p.must(given[0].ID > owed[0].ID, "the ID %d was given after %d", given[0].ID, owed[0].ID)
		})
		p.ok(p.ledger.Delivered(p.ctx, p.tenant, owed...), "Delivered")
		p.must(len(p.undelivered(moment.Add(time.Hour), 10)) == 1, "%d are outstanding, want 1", len(p.undelivered(moment.Add(time.Hour), 10)))
	},
}}

// restart goes on with what the store has kept.
func (p *probe) restart() { p.use(p.Reopen(p.t, p.store)) }
