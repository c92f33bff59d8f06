package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	scim "github.com/muster-id/scim"
)

const whyTally = `"Tally returns what is counted of a tenant, the zero Tally where nothing was" (Ledger.Tally); "A Ledger keeps it in the row that it locks; the engine changes it in the transaction that changes what it counts … It is immutable" (Tally; rules B7, B8 and E1)`

// tallyCases are about what a Ledger counts of a tenant.
var tallyCases = []testCase{
	{
		name: "tally/kept",
		why:  whyTally,
		run: func(p *probe) {
			p.tallies(p.tenant, &scim.Tally{})
			for _, t := range []*scim.Tally{wholeTally(), {Revision: 1<<63 - 1}, wholeTally(), {}, {Roles: map[string]int{"viewer": 1}}} {
				p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, t), "PutTally") })
				p.tallies(p.tenant, t)
			}
		},
	},
	{
		name: "tally/unseen",
		why:  `"Its methods see what it has done; nobody else does before the commit" (Tx); "its readers do not wait" (Ledger.Do): the tally is read for every token that is checked`,
		run: func(p *probe) {
			was := &scim.Tally{Revision: 3, Seats: 2}
			p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, was), "PutTally") })
			now := wholeTally()
			p.do(func(ctx context.Context, tx scim.Tx) {
				got, err := tx.Tally(ctx)
				p.ok(err, "Tally of a transaction")
				p.sameTally(got, was)
				p.ok(tx.PutTally(ctx, &scim.Tally{Revision: 4}), "PutTally")
				p.ok(tx.PutTally(ctx, now), "PutTally")
				got, err = tx.Tally(ctx)
				p.ok(err, "Tally of a transaction")
				p.sameTally(got, now)
				got, err = p.ledger.Tally(ctx, p.tenant)
				p.ok(err, "Tally with the context of a transaction")
				p.sameTally(got, now)
				p.ok(p.ledger.Do(ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					got, err := tx.Tally(ctx)
					p.ok(err, "Tally of a transaction that joins another")
					p.sameTally(got, now)
					return nil
				}), "Do that joins")
				p.soon("who reads the tally while a transaction of the tenant runs", func() { p.tallies(p.tenant, was) })
			})
			p.tallies(p.tenant, now)
		},
	},
	{
		name: "tally/rollback",
		why:  whyTogether,
		run: func(p *probe) {
			for _, was := range []*scim.Tally{{}, wholeTally()} {
				if was.Revision > 0 {
					p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, was), "PutTally") })
				}
				err := p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					p.ok(tx.PutTally(ctx, &scim.Tally{Revision: 99, Administrators: 1}), "PutTally")
					return errRefused
				})
				p.is(err, errRefused, "Do")
				p.tallies(p.tenant, was)
				p.do(func(ctx context.Context, tx scim.Tx) {
					got, err := tx.Tally(ctx)
					p.ok(err, "Tally of a transaction")
					p.sameTally(got, was)
				})
			}
		},
	},
	{
		name: "tally/immutable",
		why:  whyTally + ": who has read one goes on with what it said",
		run: func(p *probe) {
			p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, wholeTally()), "PutTally") })
			outside, err := p.ledger.Tally(p.ctx, p.tenant)
			p.ok(err, "Tally")
			p.do(func(ctx context.Context, tx scim.Tx) {
				inside, err := tx.Tally(ctx)
				p.ok(err, "Tally of a transaction")
				p.ok(tx.PutTally(ctx, &scim.Tally{Revision: 8}), "PutTally")
				_, err = tx.Tally(ctx)
				p.ok(err, "Tally of a transaction")
				p.sameTally(inside, wholeTally())
			})
			p.tallies(p.tenant, &scim.Tally{Revision: 8})
			p.sameTally(outside, wholeTally())
		},
	},
	{
		name: "tally/isolation",
		why:  whyIsolated + "; " + whyTally,
		run: func(p *probe) {
			p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, wholeTally()), "PutTally") })
			for _, key := range p.strangers() {
				if key.Tenant != p.tenant && key.Tenant != "%" {
					p.tallies(key.Tenant, &scim.Tally{})
				}
			}
		},
	},
}

// wholeTally is a tally with something of everything.
func wholeTally() *scim.Tally {
	return &scim.Tally{
		Revision: 7, Administrators: 2, Seats: 5, Roles: map[string]int{"admin": 2, "role \"é\" 'x'": 3, "": 1},
		Directories: map[string]scim.DirectoryTally{
			"main": {
				Accounts: 10, Active: 9, Held: 1, Waiting: 3, Leaving: []int{0, 2, 0, 1}, LeavingAt: moment.Add(123456789 * time.Nanosecond),
				Alerted: moment.Add(time.Nanosecond), Confirmed: moment.Add(time.Hour), InvalidRoles: []string{"gone", "a'b"},
			},
			"Main": {Accounts: 1},
			"":     {},
		},
		Today: scim.DayUsage{Day: "2024-02-29", Roles: map[string]int{"admin": 2}, Seats: 6},
		Days:  []scim.DayUsage{{Day: "2024-02-27", Seats: 1}, {Day: "2024-02-28", Roles: map[string]int{"viewer": 4}}}, OverLimit: true,
	}
}

// tallies ends the case unless that is what is counted of a tenant.
func (p *probe) tallies(tenant string, want *scim.Tally) {
	got, err := p.ledger.Tally(p.ctx, tenant)
	p.ok(err, fmt.Sprintf("Tally of %q", tenant))
	p.sameTally(got, want)
}

func (p *probe) sameTally(got, want *scim.Tally) {
	p.must(got != nil, "there is no tally, want %s", jsonOf(want))
	p.must(jsonOf(got) == jsonOf(want), "the tally is\n%s\nwant\n%s", jsonOf(got), jsonOf(want))
}

// jsonOf shows what is compared by all that it holds.
func jsonOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
