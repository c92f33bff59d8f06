package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

const (
	whyRecord   = `"Record returns the record of a key"; "Records are documents under a key … Data is kept byte for byte" (directory.Storage)`
	whyPut      = `"PutRecord stores a record in place of the one with r.Version, 0 for a new one, and returns its new version. The error wraps ErrVersion if the stored version is another, or there is one already where r.Version is 0; ErrNotFound if there is none where it is not" (directory.Storage.PutRecord)`
	whyRecords  = `"Records returns records of a tenant and kind in order of ID, from the first with a greater ID than after on, limit at most" (directory.Storage.Records)`
	whyWithin   = `"Every method may be called with the context of a transaction and is then part of it; called with another one it is a transaction of its own" (directory.Storage)`
	whyClaim    = `"Claim makes a name the tenant's, in all tenants the only one that has it … It returns who has it: the tenant itself, also if it had it before, or another, and then nothing has changed"; "Unclaim gives up a name that is the tenant's; any other is left alone" (directory.Storage; rule A6)`
	whyTenants  = `"Tenants returns tenants that have records, in order, those greater than after, limit at most" (directory.Storage.Tenants)`
	whyPrune    = `"Prune removes old events and lines of request logs of a tenant, and reports how many" (directory.Storage.Prune; rules D2 and D8)`
	whyIsRecord = `"A RecordKey names a record": all of it (directory.RecordKey)`
)

// recordCases are about what a store keeps for package directory.
var recordCases = []testCase{
	{
		name: "records/kept",
		why:  whyRecord,
		run: func(p *probe) {
			var text strings.Builder
			for _, s := range awkward {
				text.WriteString(jsonOf(s))
			}
			for i, data := range []string{
				`{}`, `{"a":1}`, " {\n\t\"b\" : 1.00,\"a\":\"\\u0000 \\u00e9 é\", \"a\":2 } ", `[]`, `null`, `"'; DROP TABLE records; --"`, `1e400`, `123456789012345678901234567890`,
				jsonOf(text.String()), jsonOf(large(1<<20, 1)), `""`,
			} {
				key := p.recordKey(directory.KindTask, fmt.Sprint("t", i))
				r := &directory.Record{RecordKey: key, Data: []byte(data)}
				p.putRecord(r, 1)
				p.must(r.Version == 0 && r.RecordKey == key, "PutRecord changes the record that it is given to %+v", r.RecordKey)
				p.recorded(p.ctx, key, 1, data)
				p.putRecord(&directory.Record{RecordKey: key, Version: 1, Data: []byte(`{"other":true}`)}, 2)
				p.recorded(p.ctx, key, 2, `{"other":true}`)
				p.must(r.Version == 0 && string(r.Data) == data, "PutRecord changes the record that it was given before")
			}
		},
	},
	{
		name: "records/versions",
		why:  whyPut,
		run: func(p *probe) {
			key := p.recordKey(directory.KindDirectory, "main")
			put := func(version uint64, data string) error {
				got, err := p.storage.PutRecord(p.ctx, &directory.Record{RecordKey: key, Version: version, Data: []byte(data)})
				p.must(err == nil || got == 0, "PutRecord returns the version %d and an error", got)
				return err
			}
			p.is(put(1, `1`), scim.ErrNotFound, "PutRecord with a version, of a record that is not there")
			p.notRecorded(p.ctx, key)
			p.ok(p.storage.DeleteRecord(p.ctx, key), "DeleteRecord of none")
			p.putRecord(&directory.Record{RecordKey: key, Data: []byte(`1`)}, 1)
			p.is(put(0, `2`), scim.ErrVersion, "PutRecord of a new record that is there")
			p.is(put(2, `2`), scim.ErrVersion, "PutRecord with a later version")
			p.recorded(p.ctx, key, 1, `1`)
			p.putRecord(&directory.Record{RecordKey: key, Version: 1, Data: []byte(`2`)}, 2)
			p.is(put(1, `3`), scim.ErrVersion, "PutRecord with a version that was")
			p.is(put(0, `3`), scim.ErrVersion, "PutRecord of a new record that is there")
			p.putRecord(&directory.Record{RecordKey: key, Version: 2, Data: []byte(`2`)}, 3) // no change is one
			p.recorded(p.ctx, key, 3, `2`)
			p.ok(p.storage.DeleteRecord(p.ctx, key), "DeleteRecord")
			p.notRecorded(p.ctx, key)
			p.is(put(3, `4`), scim.ErrNotFound, "PutRecord with the version of a record that was deleted")
			p.ok(p.storage.DeleteRecord(p.ctx, key), "DeleteRecord once more")
			p.putRecord(&directory.Record{RecordKey: key, Data: []byte(`5`)}, 1)
			for _, nameless := range []directory.RecordKey{{Tenant: p.tenant, Kind: directory.KindTask}, {Tenant: p.tenant, ID: "t"}} {
				_, err := p.storage.PutRecord(p.ctx, &directory.Record{RecordKey: nameless, Data: []byte(`{}`)})
				p.must(err != nil, "PutRecord of a record without kind or ID returns no error")
			}
		},
	},
	{
		name: "records/pages",
		why:  whyRecords,
		run: func(p *probe) {
			p.recordPages(nil)
			var want []string
			for i, id := range slices.Concat(awkward, []string{strings.Repeat("ab12", 16), "u1", "u10", "u2", "U1", "example.com", "2026-11-22"}) {
				if id == "" || slices.Contains(want, id) {
					continue
				}
				p.putRecord(&directory.Record{RecordKey: p.recordKey(directory.KindToken, id), Data: []byte(strconv.Itoa(i))}, 1)
				want = append(want, id)
			}
			p.putRecord(&directory.Record{RecordKey: p.recordKey(directory.KindDomain, "a domain"), Data: []byte(`{}`)}, 1)
			slices.Sort(want)
			p.recordPages(want)
			for _, id := range want[3:] {
				p.ok(p.storage.DeleteRecord(p.ctx, p.recordKey(directory.KindToken, id)), "DeleteRecord")
			}
			p.recordPages(want[:3])
		},
	},
	{
		name: "records/isolation",
		why:  whyIsolated + "; " + whyIsRecord,
		run: func(p *probe) {
			key := p.recordKey(directory.KindMapping, "main")
			p.putRecord(&directory.Record{RecordKey: key, Data: []byte(`"ours"`)}, 1)
			var others []directory.RecordKey
			for _, stranger := range p.strangers() {
				other := directory.RecordKey{Tenant: stranger.Tenant, Kind: key.Kind, ID: stranger.Directory}
				if other.Tenant != "%" && !slices.Contains(others, other) {
					others = append(others, other)
				}
			}
			others = append(others, p.recordKey(directory.KindActivity, "main"), p.recordKey("Mapping", "main"), p.recordKey("%", "main"))
			for _, other := range others {
				p.notRecorded(p.ctx, other)
				p.ok(p.storage.DeleteRecord(p.ctx, other), "DeleteRecord of another's")
				if other.Tenant == p.tenant && other.Kind == key.Kind {
					continue
				}
				all, err := p.storage.Records(p.ctx, other.Tenant, other.Kind, "", 10)
				p.ok(err, "Records")
				p.must(len(all) == 0, "Records of tenant %q and kind %q returns those of another", other.Tenant, other.Kind)
			}
			for i, other := range others {
				p.putRecord(&directory.Record{RecordKey: other, Data: []byte(strconv.Itoa(i))}, 1)
			}
			for i, other := range others {
				p.recorded(p.ctx, other, 1, strconv.Itoa(i))
			}
			p.recorded(p.ctx, key, 1, `"ours"`)
		},
	},
	{
		name: "records/transaction",
		why:  whyWithin + "; " + whyTogether,
		run: func(p *probe) {
			kept, gone, fresh := p.recordKey(directory.KindDirectory, "kept"), p.recordKey(directory.KindDirectory, "gone"), p.recordKey(directory.KindDirectory, "fresh")
			p.putRecord(&directory.Record{RecordKey: kept, Data: []byte(`1`)}, 1)
			p.putRecord(&directory.Record{RecordKey: gone, Data: []byte(`1`)}, 1)
			ids := func(ctx context.Context) (list []string) {
				all, err := p.storage.Records(ctx, p.tenant, directory.KindDirectory, "", 10)
				p.ok(err, "Records")
				for _, r := range all {
					list = append(list, r.ID)
				}
				return list
			}
			before := func() {
				p.recorded(p.ctx, kept, 1, `1`)
				p.recorded(p.ctx, gone, 1, `1`)
				p.notRecorded(p.ctx, fresh)
				p.must(slices.Equal(ids(p.ctx), []string{"gone", "kept"}), "Records returns %q to others", ids(p.ctx))
				p.must(!p.has(userRef(p.key(), "u")), "the user of a transaction that is not committed is there")
			}
			for _, result := range []error{errRefused, nil} {
				err := p.storage.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
					_, err := tx.Create(ctx, p.user("u"))
					p.ok(err, "Create")
					version, err := p.storage.PutRecord(ctx, &directory.Record{RecordKey: fresh, Data: []byte(`1`)})
					p.ok(err, "PutRecord")
					p.must(version == 1, "PutRecord returns the version %d, want 1", version)
					p.ok(p.storage.Do(ctx, p.tenant, func(ctx context.Context, _ scim.Tx) error {
						_, err := p.storage.PutRecord(ctx, &directory.Record{RecordKey: kept, Version: 1, Data: []byte(`2`)})
						return err
					}), "Do that joins")
					p.ok(p.storage.DeleteRecord(ctx, gone), "DeleteRecord")
					p.recorded(ctx, fresh, 1, `1`)
					p.recorded(ctx, kept, 2, `2`)
					p.notRecorded(ctx, gone)
					p.must(slices.Equal(ids(ctx), []string{"fresh", "kept"}), "Records in a transaction returns %q", ids(ctx))
					_, err = p.storage.PutRecord(ctx, &directory.Record{RecordKey: kept, Version: 1, Data: []byte(`3`)})
					p.is(err, scim.ErrVersion, "PutRecord with a version that was")
					p.recorded(ctx, kept, 2, `2`) // a refusal is no end
					p.soon("who reads records while a transaction of the tenant runs", before)
					return result
				})
				if result != nil {
					p.is(err, result, "Do")
					before()
					continue
				}
				p.ok(err, "Do")
			}
			p.recorded(p.ctx, fresh, 1, `1`)
			p.recorded(p.ctx, kept, 2, `2`)
			p.notRecorded(p.ctx, gone)
			p.must(p.has(userRef(p.key(), "u")), "the user of the transaction is not there")
		},
	},
	{
		name: "records/another-tenant",
		why:  whyTenant + "; " + whyWithin,
		run: func(p *probe) {
			other := p.tenant + "-other"
			theirs := directory.RecordKey{Tenant: other, Kind: directory.KindDirectory, ID: "main"}
			p.putRecord(&directory.Record{RecordKey: theirs, Data: []byte(`1`)}, 1)
			p.claimed("theirs."+p.tenant, other, other)
			p.soon("a transaction that is asked about another tenant", func() {
				p.do(func(ctx context.Context, _ scim.Tx) {
					refused := map[string]error{}
					_, refused["Record"] = p.storage.Record(ctx, theirs)
					_, refused["Records"] = p.storage.Records(ctx, other, theirs.Kind, "", 10)
					_, refused["PutRecord"] = p.storage.PutRecord(ctx, &directory.Record{RecordKey: theirs, Version: 1, Data: []byte(`2`)})
					refused["DeleteRecord"] = p.storage.DeleteRecord(ctx, theirs)
					_, refused["Claim"] = p.storage.Claim(ctx, "ours."+p.tenant, other)
					refused["Unclaim"] = p.storage.Unclaim(ctx, "theirs."+p.tenant, other)
					_, refused["Prune"] = p.storage.Prune(ctx, other, directory.Prune{Events: 1, Limit: 1})
					for what, err := range refused {
						p.must(err != nil, "%s for another tenant than the transaction's returns no error", what)
					}
				})
			})
			p.recorded(p.ctx, theirs, 1, `1`)
			p.claimed("theirs."+p.tenant, p.tenant, other)
			p.claimed("ours."+p.tenant, p.tenant, p.tenant)
		},
	},
	{
		name: "records/concurrent",
		why:  `"Methods are called concurrently" (directory.Storage): of writers that expect the same version one wins; ` + whyPut,
		run: func(p *probe) {
			const writers, rounds = 6, 4
			key := p.recordKey(directory.KindDirectory, "main")
			for round := range uint64(rounds) {
				won := make(chan uint64, writers)
				p.together(writers, func(i int) {
					version, err := p.storage.PutRecord(p.ctx, &directory.Record{RecordKey: key, Version: round, Data: []byte(strconv.Itoa(i))})
					if err == nil {
						won <- version
						return
					}
					p.is(err, scim.ErrVersion, "PutRecord of a version that somebody else replaces too")
				})
				p.must(len(won) == 1, "%d of %d writers have replaced version %d", len(won), writers, round)
				p.must(<-won == round+1, "the version after %d is another than the next", round)
			}
		},
	},
	{
		name: "claims/one-holder",
		why:  whyClaim,
		run: func(p *probe) {
			a, b := p.tenant, p.tenant+"-2"
			name := p.tenant + ".example"
			p.claimed(name, a, a)
			p.claimed(name, a, a)
			p.claimed(name, b, a)
			p.ok(p.storage.Unclaim(p.ctx, name, b), "Unclaim of a name that is another's")
			p.claimed(name, b, a)
			p.ok(p.storage.Unclaim(p.ctx, name, a), "Unclaim")
			p.ok(p.storage.Unclaim(p.ctx, name, a), "Unclaim once more")
			p.claimed(name, b, b)
			p.claimed(name, a, b)
			p.ok(p.storage.Unclaim(p.ctx, "nobody's "+name, a), "Unclaim of a name that nobody has")
			for i, other := range []string{strings.ToUpper(name), name + ".", name + " ", "%" + name, "xn--bcher-kva." + name, "bücher." + name, "'" + name, name[:len(name)-1] + "_", "a." + name} {
				tenant := []string{a, b}[i%2]
				p.claimed(other, tenant, tenant)
			}
			p.claimed(name, a, b)
		},
	},
	{
		name: "claims/transaction",
		why:  whyWithin + "; " + whyTogether + "; " + whyClaim,
		run: func(p *probe) {
			a, b := p.tenant, p.tenant+"-2"
			had, fresh, both := "had."+a, "fresh."+a, "both."+a
			p.claimed(had, a, a)
			claim := func(ctx context.Context, name string) {
				holder, err := p.storage.Claim(ctx, name, a)
				p.ok(err, "Claim in a transaction")
				p.must(holder == a, "Claim in a transaction returns the holder %q, want %q", holder, a)
			}
			for _, result := range []error{errRefused, nil} {
				err := p.storage.Do(p.ctx, a, func(ctx context.Context, _ scim.Tx) error {
					claim(ctx, fresh)
					claim(ctx, fresh)
					p.ok(p.storage.Unclaim(ctx, had, a), "Unclaim in a transaction")
					claim(ctx, both)
					p.ok(p.storage.Unclaim(ctx, both, a), "Unclaim in a transaction")
					return result
				})
				if result != nil {
					p.is(err, result, "Do")
					p.claimed(had, b, a)
					p.claimed(fresh, b, b)
					p.claimed(both, b, b)
					p.ok(p.storage.Unclaim(p.ctx, fresh, b), "Unclaim")
					p.ok(p.storage.Unclaim(p.ctx, both, b), "Unclaim")
					continue
				}
				p.ok(err, "Do")
			}
			p.claimed(fresh, b, a)
			p.claimed(had, b, b)
			p.claimed(both, b, b)
			// Given up and claimed again, in one transaction.
			for _, result := range []error{errRefused, nil} {
				err := p.storage.Do(p.ctx, a, func(ctx context.Context, _ scim.Tx) error {
					p.ok(p.storage.Unclaim(ctx, fresh, a), "Unclaim in a transaction")
					claim(ctx, fresh)
					return result
				})
				p.must((err == nil) == (result == nil), "Do returns %v, want %v", err, result)
				p.claimed(fresh, b, a)
			}
		},
	},
	{
		name: "claims/race",
		why:  `"in all tenants the only one that has it: the one key that is global" (directory.Storage.Claim): also where two claim at the same time, or one in a transaction that goes on`,
		run: func(p *probe) {
			const tenants, rounds = 6, 4
			tenant := func(i int) string { return fmt.Sprint(p.tenant, "-", i) }
			for round := range rounds {
				name := fmt.Sprint("race", round, ".", p.tenant)
				holders := make([]string, tenants)
				p.together(tenants, func(i int) {
					var err error
					holders[i], err = p.storage.Claim(p.ctx, name, tenant(i))
					p.ok(err, "Claim that others make too")
				})
				p.must(len(slices.Compact(slices.Clone(holders))) == 1, "of tenants that claim one name the holders are %q", holders)
				p.must(strings.HasPrefix(holders[0], p.tenant+"-"), "the holder of a name that %d tenants claim is %q", tenants, holders[0])
			}
			for i, result := range []error{nil, errRefused} {
				name := fmt.Sprint("open", i, ".", p.tenant)
				var other string
				var done <-chan struct{}
				err := p.storage.Do(p.ctx, p.tenant, func(ctx context.Context, _ scim.Tx) error {
					holder, err := p.storage.Claim(ctx, name, p.tenant)
					p.ok(err, "Claim in a transaction")
					p.must(holder == p.tenant, "Claim in a transaction returns the holder %q", holder)
					done = p.start(func() { // which may wait for the end of this one, or not
						var err error
						other, err = p.storage.Claim(p.ctx, name, tenant(0))
						p.ok(err, "Claim while another tenant's transaction runs")
					})
					return result
				})
				p.must((err == nil) == (result == nil), "Do returns %v, want %v", err, result)
				p.wait("Claim of a name that a transaction has claimed, after its end", done)
				if result == nil {
					p.must(other == p.tenant, "the holder of a name that another tenant's transaction has claimed is %q", other)
					continue
				}
				p.must(other == p.tenant || other == tenant(0), "the holder of a name is %q", other)
				p.claimed(name, tenant(0), tenant(0))
			}
		},
	},
	{
		name: "tenants/listed",
		why:  whyTenants,
		run: func(p *probe) {
			tenants := func(ctx context.Context, after string, limit int) (list []string) {
				all, err := p.storage.Tenants(ctx, after, limit)
				p.ok(err, "Tenants")
				p.must(len(all) <= max(limit, 0), "Tenants, %d at most, returns %d", limit, len(all))
				for _, tenant := range all {
					if strings.HasPrefix(tenant, p.tenant) { // there may be others
						list = append(list, tenant)
					}
				}
				return list
			}
			p.create(p.user("u"))
			p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, &scim.Tally{Revision: 1}), "PutTally") })
			p.claimed("a."+p.tenant, p.tenant, p.tenant)
			p.must(len(tenants(p.ctx, p.tenant[:len(p.tenant)-1], 1000)) == 0, "Tenants returns one that has no records")
			var want []string
			var keys []directory.RecordKey
			for _, suffix := range []string{"-b", "-a", "-B", "", "-é", "-a2", "-a10"} {
				for _, id := range []string{"1", "2"} {
					key := directory.RecordKey{Tenant: p.tenant + suffix, Kind: directory.KindUsage, ID: id}
					p.putRecord(&directory.Record{RecordKey: key, Data: []byte(`{}`)}, 1)
					keys = append(keys, key)
				}
				want = append(want, p.tenant+suffix)
			}
			slices.Sort(want)
			got := tenants(p.ctx, p.tenant[:len(p.tenant)-1], 1000)
			p.must(slices.Equal(got, want), "Tenants returns %q, want %q", got, want)
			for i, after := range want {
				for limit := range 4 {
					got, rest := tenants(p.ctx, after, limit), want[i+1:]
					p.must(slices.Equal(got, rest[:min(limit, len(rest))]), "Tenants after %q, %d at most, returns %q", after, limit, got)
				}
			}
			fresh := directory.RecordKey{Tenant: p.tenant + "-new", Kind: directory.KindUsage, ID: "1"}
			err := p.storage.Do(p.ctx, fresh.Tenant, func(ctx context.Context, _ scim.Tx) error {
				_, err := p.storage.PutRecord(ctx, &directory.Record{RecordKey: fresh, Data: []byte(`{}`)})
				p.ok(err, "PutRecord")
				got := tenants(ctx, p.tenant+"-m", 1)
				p.must(slices.Equal(got, []string{fresh.Tenant}), "Tenants in a transaction that has put the first record returns %q", got)
				return errRefused
			})
			p.is(err, errRefused, "Do")
			for _, key := range keys[1:] {
				p.ok(p.storage.DeleteRecord(p.ctx, key), "DeleteRecord")
			}
			got = tenants(p.ctx, p.tenant[:len(p.tenant)-1], 1000)
			p.must(slices.Equal(got, []string{keys[0].Tenant}), "Tenants returns %q, want %q, which alone has records", got, keys[0].Tenant)
		},
	},
	{
		name: "prune/events",
		why:  whyPrune + `; Events: "Older ones may have been pruned: the first is then greater than after+1"`,
		run: func(p *probe) {
			const n = 12
			p.eventsFor(p.key(), n)
			other := scim.Key{Tenant: p.tenant + "-2", Directory: "main"}
			p.eventsFor(other, 3)
			left := func(first, last uint64) {
				for _, after := range []uint64{0, first, last} {
					all, err := p.storage.Events(p.ctx, p.tenant, after, 100)
					p.ok(err, "Events")
					var want []uint64
					for seq := max(first, after+1); seq <= last; seq++ {
						want = append(want, seq)
					}
					p.must(slices.Equal(seqs(all), want), "after pruning, Events after %d returns the numbers %d, want %d", after, seqs(all), want)
				}
			}
			p.pruned(directory.Prune{Limit: 100}, 0)
			p.pruned(directory.Prune{Events: 5}, 0)
			left(1, n)
			p.pruned(directory.Prune{Events: 3, Limit: 100}, 3)
			left(4, n)
			p.pruned(directory.Prune{Events: 3, Limit: 100}, 0)
			p.pruned(directory.Prune{Events: 10, Limit: 2}, 2)
			left(6, n)
			err := p.storage.Do(p.ctx, p.tenant, func(ctx context.Context, _ scim.Tx) error {
				removed, err := p.storage.Prune(ctx, p.tenant, directory.Prune{Events: 8, Limit: 100})
				p.ok(err, "Prune in a transaction")
				p.must(removed == 3, "Prune in a transaction removes %d, want 3", removed)
				all, err := p.storage.Events(ctx, p.tenant, 0, 100)
				p.ok(err, "Events")
				p.must(slices.Equal(seqs(all), []uint64{9, 10, 11, 12}), "a transaction sees the events %d after it has pruned to 8", seqs(all))
				return errRefused
			})
			p.is(err, errRefused, "Do")
			left(6, n)
			p.pruned(directory.Prune{Events: 1 << 40, Limit: 100}, 7)
			left(n+1, n)
			p.eventsFor(p.key(), 2) // numbered on
			left(n+1, n+2)
			all, err := p.storage.Events(p.ctx, other.Tenant, 0, 100)
			p.ok(err, "Events")
			p.must(len(all) == 3, "another tenant has %d events left, want 3", len(all))
		},
	},
	{
		name: "prune/requests",
		why:  whyPrune,
		run: func(p *probe) {
			other := scim.Key{Tenant: p.tenant + "-2", Directory: "main"}
			for i := range 6 {
				for _, key := range []scim.Key{p.key(), p.second(), other} {
					p.ok(p.ledger.Log(p.ctx, &scim.LogEntry{ID: scim.RequestID(i + 1), Time: moment.Add(time.Duration(i) * time.Hour), Directory: key}), "Log")
				}
			}
			p.eventsFor(p.key(), 2)
			left := func(key scim.Key, want ...scim.RequestID) {
				got := p.requests(key, 100)
				p.must(slices.Equal(got, want), "after pruning the log of %q has the lines %d, want %d", key.Directory, got, want)
			}
			at := func(hours int) time.Time { return moment.Add(time.Duration(hours) * time.Hour) }
			p.pruned(directory.Prune{Limit: 100}, 0)
			p.pruned(directory.Prune{Requests: at(3)}, 0)
			p.pruned(directory.Prune{Requests: at(0), Limit: 100}, 0)
			left(p.key(), 6, 5, 4, 3, 2, 1)
			err := p.storage.Do(p.ctx, p.tenant, func(ctx context.Context, _ scim.Tx) error {
				removed, err := p.storage.Prune(ctx, p.tenant, directory.Prune{Requests: at(4), Limit: 100})
				p.ok(err, "Prune in a transaction")
				p.must(removed == 8, "Prune in a transaction removes %d, want 8", removed)
				all, err := p.ledger.Requests(ctx, p.key(), 100)
				p.ok(err, "Requests")
				p.must(len(all) == 2, "a transaction sees %d lines of those of which it has left 2", len(all))
				return errRefused
			})
			p.is(err, errRefused, "Do")
			left(p.key(), 6, 5, 4, 3, 2, 1)
			p.pruned(directory.Prune{Requests: at(2), Limit: 100}, 4)
			left(p.key(), 6, 5, 4, 3)
			left(p.second(), 6, 5, 4, 3)
			left(other, 6, 5, 4, 3, 2, 1)
			p.pruned(directory.Prune{Events: 1, Requests: at(4), Limit: 3}, 4) // of each
			p.must(len(p.requests(p.key(), 100))+len(p.requests(p.second(), 100)) == 5, "of 8 lines 3 were to be removed")
			p.pruned(directory.Prune{Requests: at(100), Limit: 100}, 5)
			left(p.key())
			p.ok(p.ledger.Log(p.ctx, &scim.LogEntry{ID: 9, Time: at(9), Directory: p.key()}), "Log")
			left(p.key(), 9)
			left(p.second())
			p.must(len(p.events()) == 1, "%d events are left, want 1", len(p.events()))
		},
	},
}

// reopenRecordCases are about those of them that outlive the process.
var reopenRecordCases = []testCase{{
	name: "reopen/records",
	why:  whyReopen + "; " + whyClaim,
	run: func(p *probe) {
		key := p.recordKey(directory.KindToken, "digest")
		p.putRecord(&directory.Record{RecordKey: key, Data: []byte(`1`)}, 1)
		p.putRecord(&directory.Record{RecordKey: key, Version: 1, Data: []byte(` {"a": "é"}`)}, 2)
		p.claimed("a."+p.tenant, p.tenant, p.tenant)
		p.do(func(ctx context.Context, tx scim.Tx) { p.ok(tx.PutTally(ctx, wholeTally()), "PutTally") })
		p.put(waitingAccount(userRef(p.key(), "u")))
		p.eventsFor(p.key(), 3)
		p.pruned(directory.Prune{Events: 2, Limit: 10}, 2)
		p.restart()
		p.recorded(p.ctx, key, 2, ` {"a": "é"}`)
		p.putRecord(&directory.Record{RecordKey: key, Version: 2, Data: []byte(`3`)}, 3)
		p.claimed("a."+p.tenant, p.tenant+"-2", p.tenant)
		p.tallies(p.tenant, wholeTally())
		p.sameAccount(p.state().Account, waitingAccount(userRef(p.key(), "u")))
		p.found("h", "", "main/u")
		p.waits(p.key(), "u")
		p.must(slices.Equal(seqs(p.events()), []uint64{3}), "the events are %d, want 3 alone", seqs(p.events()))
		p.eventsFor(p.key(), 1)
		p.must(slices.Equal(seqs(p.events()), []uint64{3, 4}), "the events are %d, want 3 and 4", seqs(p.events()))
	},
}}

func (p *probe) recordKey(kind directory.Kind, id string) directory.RecordKey {
	return directory.RecordKey{Tenant: p.tenant, Kind: kind, ID: id}
}

// putRecord stores a record, which must get that version.
func (p *probe) putRecord(r *directory.Record, want uint64) {
	got, err := p.storage.PutRecord(p.ctx, r)
	p.ok(err, fmt.Sprintf("PutRecord of %+v, version %d", r.RecordKey, r.Version))
	p.must(got == want, "PutRecord of %+v, version %d, returns the version %d, want %d", r.RecordKey, r.Version, got, want)
}

// recorded ends the case unless that is the record of the key.
func (p *probe) recorded(ctx context.Context, key directory.RecordKey, version uint64, data string) {
	r, err := p.storage.Record(ctx, key)
	p.ok(err, fmt.Sprintf("Record %+v", key))
	p.must(r != nil && r.RecordKey == key && r.Version == version && bytes.Equal(r.Data, []byte(data)), "Record %+v is %s, want version %d of %s", key, describeRecord(r), version, clip(data))
}

func describeRecord(r *directory.Record) string {
	if r == nil {
		return "nil"
	}
	return fmt.Sprintf("%+v, version %d of %s", r.RecordKey, r.Version, clip(string(r.Data)))
}

func (p *probe) notRecorded(ctx context.Context, key directory.RecordKey) {
	_, err := p.storage.Record(ctx, key)
	p.is(err, scim.ErrNotFound, fmt.Sprintf("Record %+v, which there is not", key))
}

// recordPages ends the case unless all tokens come on pages of any size, in
// order.
func (p *probe) recordPages(want []string) {
	page := func(after string, limit int) (ids []string) {
		all, err := p.storage.Records(p.ctx, p.tenant, directory.KindToken, after, limit)
		p.ok(err, "Records")
		p.must(len(all) <= max(limit, 0), "Records, %d at most, returns %d", limit, len(all))
		for _, r := range all {
			p.must(r.RecordKey == p.recordKey(directory.KindToken, r.ID) && r.Version == 1 && len(r.Data) > 0, "Records returns %s", describeRecord(r))
			ids = append(ids, r.ID)
		}
		return ids
	}
	for _, limit := range []int{1, 7, 1000} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			ids := page(after, limit)
			got = append(got, ids...)
			if len(ids) == 0 || len(got) > len(want) {
				break
			}
		}
		p.must(slices.Equal(got, want), "Records on pages of %d returns %q, want %q", limit, got, want)
	}
	for _, after := range []string{"a", "u15", "zz", "\U0010ffff\U0010ffff"} {
		rest := slices.DeleteFunc(slices.Clone(want), func(id string) bool { return id <= after })
		p.must(slices.Equal(page(after, 1000), rest), "Records after %q returns %q, want %q", after, page(after, 1000), rest)
	}
	p.must(len(page("", 0)) == 0, "Records, 0 at most, returns some")
}

// claimed claims a name for a tenant and ends the case unless that is then its
// holder.
func (p *probe) claimed(name, tenant, want string) {
	holder, err := p.storage.Claim(p.ctx, name, tenant)
	p.ok(err, fmt.Sprintf("Claim of %q for %q", name, tenant))
	p.must(holder == want, "Claim of %q for %q returns the holder %q, want %q", name, tenant, holder, want)
}

// pruned prunes the case's tenant, of which so much must be removed.
func (p *probe) pruned(prune directory.Prune, want int) {
	removed, err := p.storage.Prune(p.ctx, p.tenant, prune)
	p.ok(err, "Prune")
	p.must(removed == want, "Prune of %+v removes %d, want %d", prune, removed, want)
}

// eventsFor appends n events.
func (p *probe) eventsFor(key scim.Key, n int) {
	p.ok(p.ledger.Do(p.ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		for range n {
			p.ok(tx.Append(ctx, &scim.Event{Type: scim.DomainVerified, Directory: key, Time: moment, Name: "a.example"}), "Append")
		}
		return nil
	}), "Do")
}

func seqs(events []*scim.Event) (list []uint64) {
	for _, e := range events {
		list = append(list, e.Seq)
	}
	return list
}
