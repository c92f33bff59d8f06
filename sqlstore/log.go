package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// Append implements [scim.Tx].
func (x *tx) Append(ctx context.Context, events ...*scim.Event) error {
	for _, e := range events {
		if err := x.open(e.Directory.Tenant); err != nil {
			return err
		}
	}
	for _, e := range events {
		x.seq++
		e.Seq = uint64(x.seq)
		x.counted = true
		p := &x.pending
		p.events = append(p.events, e)
		for _, r := range []*scim.Resource{e.Data, e.Previous} {
			if r != nil {
				p.size += len(r.JSON())
			}
		}
		if len(p.events) >= chunk || p.size >= sizeMost {
			if err := x.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// An eventPayload is what an event says besides its columns and the documents.
type eventPayload struct {
	Time           time.Time
	Actor          string         `json:",omitzero"`
	Request        scim.RequestID `json:",omitzero"`
	DataType       string         `json:",omitzero"` // "" of an event about no resource
	Data           stamp          `json:",omitzero"`
	Previous       stamp          `json:",omitzero"`
	Member         scim.Member    `json:",omitzero"`
	Roles          []scim.Grant   `json:",omitempty"`
	PreviousRoles  []scim.Grant   `json:",omitempty"`
	Name           string         `json:",omitzero"`
	Note           string         `json:",omitzero"`
	OtherDirectory *scim.Key      `json:",omitempty"` // of the subject, if it is another one
}

// A stamp is the meta of a resource in an event.
type stamp struct {
	Version           uint64
	Created, Modified int64
}

func stampOf(r *scim.Resource) stamp {
	m := r.Meta()
	return stamp{uint64(m.Version), m.Created.UnixMilli(), m.LastModified.UnixMilli()}
}

func (s stamp) meta() scim.Meta {
	return scim.Meta{Created: time.UnixMilli(s.Created), LastModified: time.UnixMilli(s.Modified), Version: scim.Version(s.Version)}
}

func addEvent(rows *rows, e *scim.Event) error {
	p := eventPayload{
		Time: e.Time, Actor: e.Actor, Request: e.Request, Member: e.Member,
		Roles: e.Roles, PreviousRoles: e.PreviousRoles, Name: e.Name, Note: e.Note,
	}
	if subject := cmp.Or(e.Data, e.Previous); subject != nil {
		p.DataType = subject.Type().Name
		if of := subject.Directory(); of != e.Directory {
			p.OtherDirectory = &of
		}
	}
	data := "" // the column is not null
	if e.Data != nil {
		p.Data, data = stampOf(e.Data), e.Data.JSON()
	}
	var previous any
	if e.Previous != nil {
		p.Previous, previous = stampOf(e.Previous), e.Previous.JSON()
	}
	payload, err := json.Marshal(&p)
	if err != nil {
		return fmt.Errorf("sqlstore: event: %w", err)
	}
	rows.add(int64(e.Seq), e.Directory.Directory, string(e.Type), string(payload), data, previous)
	return nil
}

// Events implements [scim.Ledger].
func (s *Store) Events(ctx context.Context, tenant string, after uint64, limit int) ([]*scim.Event, error) {
	v, err := s.flushed(ctx, tenant)
	if err != nil || limit <= 0 {
		return nil, err
	}
	var all []*scim.Event
	const most = 1<<63 - 1
	err = v.each(ctx, `SELECT seq, directory, type, payload, data, previous FROM @events
		WHERE tenant = $1::text AND seq > $2::bigint ORDER BY seq LIMIT $3::bigint`, func(rows *sql.Rows) error {
		var seq int64
		var directory, typ string
		var payload, data, previous []byte
		if err := rows.Scan(&seq, &directory, &typ, &payload, &data, &previous); err != nil {
			return err
		}
		e := &scim.Event{Seq: uint64(seq), Type: scim.EventType(typ), Directory: scim.Key{Tenant: tenant, Directory: directory}}
		if err := s.readEvent(e, payload, data, previous); err != nil {
			return fmt.Errorf("sqlstore: event %d of a tenant: %w", seq, err)
		}
		all = append(all, e)
		return nil
	}, tenant, int64(min(after, most)), int64(limit))
	return all, err
}

func (s *Store) readEvent(e *scim.Event, payload, data, previous []byte) (err error) {
	var p eventPayload
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	e.Time, e.Actor, e.Request, e.Member, e.Roles, e.PreviousRoles, e.Name, e.Note = p.Time, p.Actor, p.Request, p.Member, p.Roles, p.PreviousRoles, p.Name, p.Note
	of := e.Directory
	if p.OtherDirectory != nil {
		of = *p.OtherDirectory
	}
	if len(data) > 0 {
		if e.Data, err = s.types.Decode(of, p.DataType, data, p.Data.meta()); err != nil {
			return err
		}
	}
	if previous != nil {
		e.Previous, err = s.types.Decode(of, p.DataType, previous, p.Previous.meta())
	}
	return err
}

// flushed returns what the context sees, and of a transaction what it has not
// written yet too.
func (s *Store) flushed(ctx context.Context, tenant string) (view, error) {
	v, err := s.view(ctx, tenant)
	if err == nil && v.tx != nil {
		err = v.tx.flush(ctx)
	}
	return v, err
}

// Deliver implements [scim.Tx]. A delivery without Since is since now.
func (x *tx) Deliver(ctx context.Context, changes ...scim.Delivery) ([]scim.Delivery, error) {
	for _, d := range changes {
		if err := x.open(d.User.Directory.Tenant); err != nil {
			return nil, err
		}
	}
	deliveries := slices.Clone(changes)
	for i := range deliveries {
		d := &deliveries[i]
		x.delivery++
		x.counted = true
		d.ID = uint64(x.delivery)
		if d.Since.IsZero() {
			d.Since = x.now()
		}
	}
	for some := range slices.Chunk(deliveries, chunk) {
		x.pending.deliveries = append(x.pending.deliveries, some...)
		if len(x.pending.deliveries) >= chunk {
			if err := x.flush(ctx); err != nil {
				return nil, err
			}
		}
	}
	return deliveries, nil
}

// Undelivered implements [scim.Ledger]. The oldest come first.
func (s *Store) Undelivered(ctx context.Context, tenant string, before time.Time, limit int) ([]scim.Delivery, error) {
	v, err := s.flushed(ctx, tenant)
	if err != nil || limit <= 0 {
		return nil, err
	}
	var all []scim.Delivery
	err = v.each(ctx, `SELECT id, directory, type, user_id, change, since FROM @outbox WHERE tenant = $1::text AND since < $2::bigint ORDER BY id LIMIT $3::bigint`, func(rows *sql.Rows) error {
		d := scim.Delivery{User: scim.Ref{Directory: scim.Key{Tenant: tenant}}}
		var id, since int64
		var change string
		if err := rows.Scan(&id, &d.User.Directory.Directory, &d.User.Type, &d.User.ID, &change, &since); err != nil {
			return err
		}
		d.ID, d.Change, d.Since = uint64(id), scim.Change(change), time.Unix(0, since).UTC()
		all = append(all, d)
		return nil
	}, tenant, before.UnixNano(), int64(limit))
	return all, err
}

// Delivered implements [scim.Ledger].
func (s *Store) Delivered(ctx context.Context, tenant string, deliveries ...scim.Delivery) error {
	v, err := s.flushed(ctx, tenant)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(deliveries, chunk) {
		var ids rows
		for _, d := range some {
			ids.add(int64(min(d.ID, 1<<63-1)))
		}
		if _, err := v.exec(ctx, `DELETE FROM @outbox WHERE tenant = $1::text AND id IN (SELECT (e.value->>0)::bigint FROM {rows $2})`, tenant, ids.json()); err != nil {
			return err
		}
	}
	return nil
}

// A line is an entry of the request log, ready to be written.
type line struct {
	key   scim.Key
	at    int64
	id    string
	entry string
}

var clock struct {
	sync.Mutex
	last int64
}

// tick returns a time that is later than any it has returned before: lines are
// read in the order in which they were written.
func tick() int64 {
	clock.Lock()
	defer clock.Unlock()
	clock.last = max(clock.last+1, time.Now().UnixNano())
	return clock.last
}

// A lineEntry is a [scim.LogEntry] as it is kept: without what is empty, and
// without the directory, which has columns.
type lineEntry struct {
	ID        scim.RequestID
	Time      time.Time
	Duration  time.Duration
	Directory scim.Key         `json:",omitzero"`
	Actor     string           `json:",omitzero"`
	Method    string           `json:",omitzero"`
	Path      string           `json:",omitzero"`
	Status    int              `json:",omitzero"`
	Type      scim.ErrorType   `json:",omitzero"`
	Reason    scim.Reason      `json:",omitzero"`
	Detail    string           `json:",omitzero"`
	Changed   []scim.EventType `json:",omitempty"`
	Fired     attr.Lenience    `json:",omitzero"`
	Ignored   []string         `json:",omitempty"`
	Unknown   []string         `json:",omitempty"`
	Withheld  scim.Switches    `json:",omitzero"`
	UserAgent string           `json:",omitzero"`
	Bulk      scim.RequestID   `json:",omitzero"`
}

func newLine(entry *scim.LogEntry) (line, error) {
	kept := lineEntry(*entry)
	kept.Directory = scim.Key{}
	encoded, err := json.Marshal(&kept)
	if err != nil {
		return line{}, fmt.Errorf("sqlstore: request log: %w", err)
	}
	return line{entry.Directory, tick(), entry.ID.String(), string(encoded)}, nil
}

func (l *line) addTo(rows *rows) { rows.add(l.key.Directory, l.at, l.id, l.entry) }

func (l *line) addWithTenantTo(rows *rows) {
	rows.add(l.key.Tenant, l.key.Directory, l.at, l.id, l.entry)
}

const insertLines = `INSERT INTO @requests (tenant, directory, at, id, entry)
	SELECT $1::text, e.value->>0, (e.value->>1)::bigint, e.value->>2, e.value->>3 FROM {rows $2} WHERE true ON CONFLICT DO NOTHING`

// insertLinesOfAll is insertLines for the lines of several tenants.
const insertLinesOfAll = `INSERT INTO @requests (tenant, directory, at, id, entry)
	SELECT e.value->>0, e.value->>1, (e.value->>2)::bigint, e.value->>3, e.value->>4 FROM {rows $1} WHERE true ON CONFLICT DO NOTHING`

// pruneRequests removes old lines of a directory, of the oldest a bounded number:
// the range that is looked through ends there, whatever the planner believes
// about the table.
func (s *Store) pruneRequests(directory string) part {
	var before int64
	if s.opts.RequestAge > 0 {
		before = time.Now().Add(-s.opts.RequestAge).UnixNano()
	}
	keep := int64(s.opts.Requests)
	if keep < 0 {
		keep = math.MaxInt64
	}
	return part{
		`DELETE FROM @requests WHERE tenant = $1::text AND directory = $2::text
		AND at <= coalesce((SELECT at FROM @requests WHERE tenant = $1::text AND directory = $2::text ORDER BY at LIMIT 1 OFFSET $5::bigint), 9223372036854775807)
		AND (at < $4::bigint OR at <= coalesce((SELECT at FROM @requests WHERE tenant = $1::text AND directory = $2::text ORDER BY at DESC LIMIT 1 OFFSET $3::bigint), 0))`,
		[]any{directory, keep, before, int64(2 * s.linesBetween())},
	}
}

// linesBetween is how many lines of a directory are written between two removals
// of old ones, about. To find those that are too many takes longer the more are
// kept; so many more than are kept there may be.
func (s *Store) linesBetween() int { return min(max(s.opts.Requests/4, pruneEvery), 64*pruneEvery) }

// prunes reports whether old lines are removed, with this one of many writes.
func (s *Store) prunes(lines int) bool {
	return (s.opts.Requests > 0 || s.opts.RequestAge > 0) && rand.IntN(s.linesBetween()) < lines
}

// Log implements [scim.Tx].
func (x *tx) Log(_ context.Context, entry *scim.LogEntry) error {
	if err := x.open(entry.Directory.Tenant); err != nil {
		return err
	}
	x.pending.requests = append(x.pending.requests, entry)
	return nil
}

// Log implements [scim.Ledger]. The line is written with others: once it has
// waited for a second by the next Log or, on SQLite, after the next transaction;
// else by Flush. Until then only the Requests of this Store returns it.
func (s *Store) Log(ctx context.Context, entry *scim.LogEntry) error {
	if x := s.running(ctx); x != nil {
		return x.Log(ctx, entry)
	}
	l, err := newLine(entry)
	if err != nil {
		return err
	}
	if s.log.add(l) {
		s.log.flushSoon(ctx, s)
	}
	return nil
}

// Flush writes the lines of the request log that are waiting to be.
func (s *Store) Flush(ctx context.Context) error {
	done, err := s.writeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.log.flush(ctx, s)
}

// writeTurn waits until a statement that writes can be executed outside of a
// transaction.
func (s *Store) writeTurn(ctx context.Context) (done func(), err error) {
	if s.Dialect != SQLite {
		return func() {}, nil
	}
	return s.writers.wait(ctx, "", s.opts.LockTimeout)
}

// A readLog holds lines that were written by no transaction.
type readLog struct {
	mu       sync.Mutex
	lines    []line
	writing  []line // those that flush has taken and not yet written; never changed
	oldest   time.Time
	flushing sync.Mutex
}

const (
	linesAtOnce = 256
	linesWait   = time.Second
	linesMost   = 4096 // while they cannot be written; older ones are lost then

	linesTogether = 8 // in one statement of SQLite
)

// add reports whether it is time to write.
func (l *readLog) add(one line) (due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		l.oldest = time.Now()
	}
	if l.lines = append(l.lines, one); len(l.lines) > linesMost {
		l.lines = slices.Delete(l.lines, 0, linesAtOnce)
	}
	return l.due()
}

func (l *readLog) due() bool {
	return len(l.lines) >= linesAtOnce || len(l.lines) > 0 && time.Since(l.oldest) >= linesWait
}

// flushSoon writes the lines unless that would make the caller wait for a
// transaction.
func (l *readLog) flushSoon(ctx context.Context, s *Store) {
	if s.Dialect == SQLite {
		done, ok := s.writers.try("")
		if !ok {
			return // who is writing will do it
		}
		defer done()
	}
	l.flushDue(ctx, s)
}

// flushDue writes the lines if it is time to.
func (l *readLog) flushDue(ctx context.Context, s *Store) {
	l.mu.Lock()
	due := l.due()
	l.mu.Unlock()
	if !due {
		return
	}
	if err := l.flush(context.WithoutCancel(ctx), s); err != nil {
		s.opts.Logger.ErrorContext(ctx, "sqlstore: lines of the request log could not be written yet", "error", err)
	}
}

func (l *readLog) flush(ctx context.Context, s *Store) error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	lines := l.lines
	l.lines, l.writing = nil, lines
	l.mu.Unlock()
	if len(lines) == 0 {
		return nil
	}
	err := s.writeLines(ctx, lines)
	l.mu.Lock()
	if l.writing = nil; err != nil {
		l.lines = append(lines, l.lines...)
		l.oldest = time.Now() // not again at once
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	of := make(map[scim.Key]int)
	for i := range lines {
		of[lines[i].key]++
	}
	v := view{Store: s, db: s.querier(nil)}
	for key, n := range of {
		if s.prunes(n) {
			p := s.pruneRequests(key.Directory)
			if _, err := v.exec(ctx, p.sql, append([]any{key.Tenant}, p.args...)...); err != nil {
				s.opts.Logger.ErrorContext(ctx, "sqlstore: old lines of the request log could not be removed", "error", err)
			}
		}
	}
	return nil
}

// writeLines writes lines of any tenants together: each tenant's of its own would
// wait for the disk. SQLite takes them in twice the time where it must read them
// from JSON.
func (s *Store) writeLines(ctx context.Context, lines []line) error {
	if s.Dialect == PostgreSQL {
		var all rows
		for i := range lines {
			lines[i].addWithTenantTo(&all)
		}
		_, err := view{Store: s, db: s.querier(nil)}.exec(ctx, insertLinesOfAll, all.json())
		return err
	}
	t, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return failed(ctx, err)
	}
	defer func() { _ = t.Rollback() }() // without effect after the commit
	x := &tx{Store: s, tx: t}
	v := view{Store: s, db: s.querier(x), tx: x}
	for len(lines) > 0 {
		n := linesTogether
		if len(lines) < n {
			n = 1
		}
		some := rows{most: n}
		for i := range n {
			lines[i].addWithTenantTo(&some)
		}
		statement, args := some.write(insertLinesOfAll)
		if _, err := v.exec(ctx, statement, args...); err != nil {
			return err
		}
		lines = lines[n:]
	}
	if err := t.Commit(); err != nil {
		return failed(ctx, err)
	}
	x.compile(ctx)
	return nil
}

// waiting returns the lines of a directory that may not have been written yet.
func (l *readLog) waiting(key scim.Key) (lines []line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, some := range [][]line{l.writing, l.lines} {
		for i := range some {
			if some[i].key == key {
				lines = append(lines, some[i])
			}
		}
	}
	return lines
}

// Requests implements [scim.Ledger]. It writes nothing, for that could have to
// wait: lines that are still buffered are put among the others.
func (s *Store) Requests(ctx context.Context, key scim.Key, limit int) ([]*scim.LogEntry, error) {
	v, err := s.flushed(ctx, key.Tenant)
	if err != nil || limit <= 0 {
		return nil, err
	}
	// The buffer comes first: what leaves it meanwhile is then in the table.
	lines := s.log.waiting(key)
	if err := v.each(ctx, `SELECT at, id, entry FROM @requests WHERE tenant = $1::text AND directory = $2::text ORDER BY at DESC, id DESC LIMIT $3::bigint`, func(rows *sql.Rows) error {
		l := line{key: key}
		err := rows.Scan(&l.at, &l.id, &l.entry)
		lines = append(lines, l)
		return err
	}, key.Tenant, key.Directory, int64(limit)); err != nil {
		return nil, err
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.id, a.id)) })
	lines = slices.CompactFunc(lines, func(a, b line) bool { return a.at == b.at && a.id == b.id })
	lines = lines[:min(limit, len(lines))]
	all := make([]*scim.LogEntry, len(lines))
	for i := range lines {
		all[i] = &scim.LogEntry{Directory: key}
		if err := json.Unmarshal([]byte(lines[i].entry), all[i]); err != nil {
			return nil, fmt.Errorf("sqlstore: request log: %w", err)
		}
	}
	return all, nil
}
