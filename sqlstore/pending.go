package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
)

// pending is what a transaction writes before the commit, all at once.
type pending struct {
	accounts   map[scim.Ref]account
	events     []*scim.Event
	size       int // of their documents, in bytes
	deliveries []scim.Delivery
	requests   []*scim.LogEntry
	counts     map[counted]int64
}

// sizeMost bounds the documents of events that are written at once: PostgreSQL
// bounds a parameter.
const sizeMost = 16 << 20

// counted names a row of the table counts.
type counted struct{ directory, typ string }

func (p *pending) count(directory, typ string, by int64) {
	if p.counts == nil {
		p.counts = make(map[counted]int64)
	}
	p.counts[counted{directory, typ}] += by
}

// A part is one statement of several that are written together. Its first
// parameter is the tenant, the others are args.
type part struct {
	sql  string
	args []any
}

// parts returns what is to be written, and forgets it.
func (x *tx) parts() (parts []part, err error) {
	p := &x.pending
	add := func(sql string, r *rows) {
		if r.n > 0 {
			statement, args := r.write(sql)
			parts = append(parts, part{statement, args})
		}
	}
	var accounts, events, deliveries, requests, counts rows
	changes := make([]account, 0, len(p.accounts))
	for _, a := range p.accounts {
		changes = append(changes, a)
	}
	slices.SortFunc(changes, func(a, b account) int { return cmp.Compare(a.change, b.change) })
	for i := range changes {
		if err := changes[i].addTo(&accounts); err != nil {
			return nil, err
		}
	}
	for _, e := range p.events {
		if err := addEvent(&events, e); err != nil {
			return nil, err
		}
	}
	for i := range p.deliveries {
		d := &p.deliveries[i]
		deliveries.add(int64(d.ID), d.User.Directory.Directory, d.User.Type, d.User.ID, string(d.Change), d.Since.UnixNano())
	}
	for _, entry := range p.requests {
		line, err := newLine(entry)
		if err != nil {
			return nil, err
		}
		line.addTo(&requests)
	}
	for c, by := range p.counts {
		if by != 0 {
			counts.add(c.directory, c.typ, by)
		}
	}
	add(putAccounts, &accounts)
	add(`INSERT INTO @events (tenant, seq, directory, type, payload, data, previous)
		SELECT $1::text, (e.value->>0)::bigint, e.value->>1, e.value->>2, e.value->>3, e.value->>4, e.value->>5 FROM {rows $2}`, &events)
	add(`INSERT INTO @outbox (tenant, id, directory, type, user_id, change, since)
		SELECT $1::text, (e.value->>0)::bigint, e.value->>1, e.value->>2, e.value->>3, e.value->>4, (e.value->>5)::bigint FROM {rows $2}`, &deliveries)
	add(insertLines, &requests)
	add(`INSERT INTO @counts AS c (tenant, directory, type, resources)
		SELECT $1::text, e.value->>0, e.value->>1, (e.value->>2)::bigint FROM {rows $2} WHERE true
		ON CONFLICT (tenant, directory, type) DO UPDATE SET resources = c.resources + excluded.resources`, &counts)
	if keep := int64(x.opts.Events); events.n > 0 && keep > 0 && x.seq > keep && x.seq%pruneEvery < int64(events.n) {
		// What is pruned at once is bounded; those that are left go with the next.
		parts = append(parts, part{`DELETE FROM @events WHERE tenant = $1::text AND seq IN
			(SELECT seq FROM @events WHERE tenant = $1::text AND seq <= $2::bigint ORDER BY seq LIMIT $3::bigint)`, []any{x.seq - keep, int64(4*pruneEvery + events.n)}})
	}
	if n := len(p.requests); n > 0 && x.prunes(n) {
		parts = append(parts, x.pruneRequests(p.requests[n-1].Directory.Directory))
	}
	if x.counted || x.tally.put {
		counters, err := x.putCounters()
		if err != nil {
			return nil, err
		}
		parts = append(parts, counters)
	}
	x.pending = pending{}
	return parts, nil
}

// pruneEvery is how many events are written between two removals of old ones,
// about, and at least how many lines.
const pruneEvery = 64

// flush writes what is pending.
func (x *tx) flush(ctx context.Context) error {
	parts, err := x.parts()
	if err != nil || len(parts) == 0 {
		return err
	}
	v, err := x.view(x.tenant)
	if err != nil {
		return err
	}
	if x.Dialect == SQLite {
		for _, p := range parts {
			if _, err := v.exec(ctx, p.sql, append([]any{x.tenant}, p.args...)...); err != nil {
				return err
			}
		}
		return nil
	}
	statement, args := together(parts)
	_, err = v.exec(ctx, statement, append([]any{x.tenant}, args...)...)
	return err
}

// moved has the statements of parts behind so many arguments of others.
var moved = memo[behind]{make: func(b behind) string {
	return parameter.ReplaceAllStringFunc(b.statement, func(name string) string {
		n, _ := strconv.Atoi(name[1:]) // digits
		if n > 1 {
			n += b.arguments
		}
		return "$" + strconv.Itoa(n)
	})
}}

type behind struct {
	statement string
	arguments int
}

// together makes one statement of several that do not see each other.
func together(parts []part) (statement string, args []any) {
	var b strings.Builder
	for i, p := range parts {
		own := moved.of(behind{p.sql, len(args)})
		switch {
		case i == len(parts)-1:
			b.WriteString(" " + own)
		case i == 0:
			b.WriteString("WITH p0 AS (" + own + ")")
		default:
			b.WriteString(", p" + strconv.Itoa(i) + " AS (" + own + ")")
		}
		args = append(args, p.args...)
	}
	return b.String(), args
}

// flushAccounts writes the accounts that are pending, so that they are found.
func (x *tx) flushAccounts(ctx context.Context) error {
	if len(x.pending.accounts) == 0 {
		return nil
	}
	return x.flush(ctx)
}
