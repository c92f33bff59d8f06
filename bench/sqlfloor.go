package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
)

// sqlFloor is what a careful engineer would write by hand for one host: the same work
// on the same rows with the fewest statements, and nothing else. It parses no request,
// applies no PATCH and writes no answer; documents are ready before a call. Tables of
// its own lie beside those of the library, in the same database and behind the same
// pool.
type sqlFloor struct {
	db         *sql.DB
	sql        map[string]string
	statements map[string]*sql.Stmt         // of SQLite, whose driver compiles a text each time
	tokens     map[[sha256.Size]byte]string // the tenant of each

	tenant, directory string
	updated           []byte // scratch of event

	lines  []any // of the request log, about reads, that are not written yet
	oldest time.Time
}

// Lines about reads are written together as the library does: so many at once, or what
// there is after a second.
const (
	floorLinesAtOnce   = 256
	floorLinesWait     = time.Second
	floorLinesTogether = 8 // in one statement
)

// floorTables are the tables of the floor, in SQL that both databases understand; those
// without documents are WITHOUT ROWID in SQLite. The indexes are those that the
// same lookups need: userName, externalId, displayName, active, emails; who was deleted
// with an externalId, and whose account has kept an email that its user gave up.
var floorTables = []string{
	`CREATE TABLE floor_tenants (tenant text PRIMARY KEY, seq bigint NOT NULL)`,
	`CREATE TABLE floor_users (tenant text, directory text, id text, version bigint NOT NULL, created bigint NOT NULL, modified bigint NOT NULL,
		user_name text NOT NULL, external_id text, display_name text, active boolean NOT NULL, doc text NOT NULL, PRIMARY KEY (tenant, directory, id))`,
	`CREATE UNIQUE INDEX floor_users_name ON floor_users (tenant, directory, user_name)`,
	`CREATE UNIQUE INDEX floor_users_external ON floor_users (tenant, directory, external_id)`,
	`CREATE INDEX floor_users_display ON floor_users (tenant, directory, display_name)`,
	`CREATE INDEX floor_users_active ON floor_users (tenant, directory, active)`,
	`CREATE TABLE floor_emails (tenant text, directory text, email text, user_id text, PRIMARY KEY (tenant, directory, email, user_id))`,
	`CREATE INDEX floor_emails_user ON floor_emails (tenant, directory, user_id)`,
	`CREATE TABLE floor_groups (tenant text, directory text, id text, version bigint NOT NULL, modified bigint NOT NULL,
		display_name text NOT NULL, doc text NOT NULL, PRIMARY KEY (tenant, directory, id))`,
	`CREATE TABLE floor_members (tenant text, directory text, group_id text, user_id text, PRIMARY KEY (tenant, directory, group_id, user_id))`,
	`CREATE INDEX floor_members_user ON floor_members (tenant, directory, user_id, group_id)`,
	`CREATE TABLE floor_accounts (tenant text, directory text, user_id text, host_id text NOT NULL, email text NOT NULL, active boolean NOT NULL,
		grants text NOT NULL, gone_external text, kept_email text, PRIMARY KEY (tenant, directory, user_id))`,
	`CREATE INDEX floor_accounts_gone ON floor_accounts (tenant, directory, gone_external) WHERE gone_external IS NOT NULL`,
	`CREATE INDEX floor_accounts_kept ON floor_accounts (tenant, directory, kept_email) WHERE kept_email IS NOT NULL`,
	`CREATE TABLE floor_events (tenant text, seq bigint, directory text NOT NULL, type text NOT NULL, payload text NOT NULL, PRIMARY KEY (tenant, seq))`,
	`CREATE TABLE floor_requests (tenant text, directory text, at bigint, id text, entry text NOT NULL, PRIMARY KEY (tenant, directory, at, id))`,
}

// floorStatements are the statements of the floor. $1 is the tenant and, save in lock
// and event, $2 the directory.
var floorStatements = map[string]string{
	"lock": `UPDATE floor_tenants SET seq = seq + $2 WHERE tenant = $1 RETURNING seq`,
	"get":  `SELECT version, created, modified, doc FROM floor_users WHERE tenant = $1 AND directory = $2 AND id = $3`,
	"find": `SELECT id, version, created, modified, doc FROM floor_users WHERE tenant = $1 AND directory = $2 AND user_name = $3`,
	"groups": `SELECT g.id, g.display_name FROM floor_members m JOIN floor_groups g ON g.tenant = m.tenant AND g.directory = m.directory AND g.id = m.group_id
		WHERE m.tenant = $1 AND m.directory = $2 AND m.user_id = $3 ORDER BY m.group_id`,
	"user": `SELECT u.version, u.created, u.modified, u.doc, a.host_id, a.email, a.active, a.grants,
		(SELECT {groups} FROM floor_members m JOIN floor_groups g ON g.tenant = m.tenant AND g.directory = m.directory AND g.id = m.group_id
		WHERE m.tenant = u.tenant AND m.directory = u.directory AND m.user_id = u.id)
		FROM floor_users u LEFT JOIN floor_accounts a ON a.tenant = u.tenant AND a.directory = u.directory AND a.user_id = u.id
		WHERE u.tenant = $1 AND u.directory = $2 AND u.id = $3`,
	"insert user": `INSERT INTO floor_users (tenant, directory, id, version, created, modified, user_name, external_id, display_name, active, doc)
		VALUES ($1, $2, $3, 1, $4, $4, $5, $6, $7, $8, $9)`,
	"insert emails": `INSERT INTO floor_emails (tenant, directory, email, user_id) VALUES ($1, $2, $4, $3), ($1, $2, $5, $3)`,
	"update user": `UPDATE floor_users SET version = $4, modified = $5, user_name = $6, external_id = $7, display_name = $8, active = $9, doc = $10
		WHERE tenant = $1 AND directory = $2 AND id = $3`,
	"account": `INSERT INTO floor_accounts (tenant, directory, user_id, host_id, email, active, grants) VALUES ($1, $2, $3, $3, $4, $5, $6)
		ON CONFLICT (tenant, directory, user_id) DO UPDATE SET host_id = excluded.host_id, email = excluded.email, active = excluded.active, grants = excluded.grants`,
	"look": `SELECT EXISTS (SELECT 1 FROM floor_emails WHERE tenant = $1 AND directory = $2 AND email = $3),
		EXISTS (SELECT 1 FROM floor_accounts WHERE tenant = $1 AND directory = $2 AND gone_external = $4),
		EXISTS (SELECT 1 FROM floor_accounts WHERE tenant = $1 AND directory = $2 AND kept_email = $3)`,
	"event":         `INSERT INTO floor_events (tenant, seq, directory, type, payload) VALUES ($1, $2, $3, $4, $5)`,
	"events":        `INSERT INTO floor_events (tenant, seq, directory, type, payload) VALUES ($1, $2, $3, $4, $5), ($1, $6, $3, $7, $8)`,
	"log":           `INSERT INTO floor_requests (tenant, directory, at, id, entry) VALUES ($1, $2, $3, $4, $5)`,
	"group":         `SELECT version, doc FROM floor_groups WHERE tenant = $1 AND directory = $2 AND id = $3`,
	"insert group":  `INSERT INTO floor_groups (tenant, directory, id, version, modified, display_name, doc) VALUES ($1, $2, $3, 1, $4, $5, $6)`,
	"insert member": `INSERT INTO floor_members (tenant, directory, group_id, user_id) VALUES ($1, $2, $3, $4)`,
	"delete member": `DELETE FROM floor_members WHERE tenant = $1 AND directory = $2 AND group_id = $3 AND user_id = $4`,
	"touch group":   `UPDATE floor_groups SET version = $4, modified = $5 WHERE tenant = $1 AND directory = $2 AND id = $3`,
}

// floorCalls says which statements a call is, in their order: what is printed beside
// the table.
var floorCalls = []struct {
	call  string
	steps []string
}{
	{callGet, []string{"get", "groups", "its line of the log with those of 255 other reads"}},
	{callHit, []string{"find", "groups", "its line of the log as above"}},
	{callMiss, []string{"find", "its line of the log as above"}},
	{callPatch, []string{"BEGIN", "lock", "user", "update user", "account", "event", "log", "COMMIT"}},
	{callPut, []string{"BEGIN", "lock", "user", "update user", "account", "event", "log", "COMMIT"}},
	{callPost, []string{"BEGIN", "lock", "look", "insert user", "insert emails", "account", "events", "log", "COMMIT"}},
	{callMember, []string{"BEGIN", "lock", "group", "delete member", "touch group", "user", "account", "events", "log", "COMMIT", "the same with insert member"}},
}

func printFloor(w io.Writer) {
	fmt.Fprintln(w, "\nWhat the floor does:")
	for _, c := range floorCalls {
		fmt.Fprintf(w, "  %-20s %s\n", c.call, strings.Join(c.steps, "; "))
	}
	fmt.Fprintln(w)
	printed := map[string]bool{}
	for _, c := range floorCalls {
		for _, step := range c.steps {
			if text, ok := floorStatements[step]; ok && !printed[step] {
				printed[step] = true
				fmt.Fprintf(w, "  %-14s %s\n", step+":", regexp.MustCompile(`\s+`).ReplaceAllString(text, " "))
			}
		}
	}
}

var dollar = regexp.MustCompile(`\$([0-9]+)`)

// newSQLFloor is the floor over tables that exist.
func newSQLFloor(d *database) *sqlFloor {
	f := &sqlFloor{
		db: d.db, sql: make(map[string]string),
		tokens: map[[sha256.Size]byte]string{sha256.Sum256([]byte(bearerToken)): benchTenant},
		tenant: benchTenant, directory: benchDirectory,
	}
	for name, text := range floorStatements {
		if d.name == sqliteName {
			text = dollar.ReplaceAllString(strings.ReplaceAll(text, "{groups}", "json_group_array(json_array(g.id, g.display_name))"), "?$1")
		} else {
			text = strings.ReplaceAll(text, "{groups}", "coalesce(json_agg(json_build_array(g.id, g.display_name)), '[]')::text")
		}
		f.sql[name] = text
	}
	f.sql["lines"] = f.insertLines(d, floorLinesTogether)
	if d.name == postgresqlName { // one statement is one way to the server
		f.sql["lines"] = f.insertLines(d, floorLinesAtOnce)
	}
	return f
}

// insertLines returns the statement that writes so many lines of the request log.
func (f *sqlFloor) insertLines(d *database, n int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO floor_requests (tenant, directory, at, id, entry) VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "($%d, $%d, $%d, $%d, $%d)", 5*i+1, 5*i+2, 5*i+3, 5*i+4, 5*i+5)
	}
	if d.name == sqliteName {
		return strings.ReplaceAll(b.String(), "$", "?")
	}
	return b.String()
}

// use makes the floor send its statements to a database, compiled where the driver does
// not do that.
func (f *sqlFloor) use(ctx context.Context, d *database) error {
	f.db, f.statements = d.db, nil
	if d.name != sqliteName {
		return nil
	}
	f.statements = make(map[string]*sql.Stmt)
	for name, text := range f.sql {
		stmt, err := d.db.PrepareContext(ctx, text) //nolint:sqlclosecheck // it is closed with the database
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		f.statements[name] = stmt
	}
	return nil
}

func (f *sqlFloor) query(ctx context.Context, name string, args ...any) (*sql.Rows, error) {
	if stmt := f.statements[name]; stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return f.db.QueryContext(ctx, f.sql[name], args...)
}

func (f *sqlFloor) queryRow(ctx context.Context, name string, args ...any) *sql.Row {
	if stmt := f.statements[name]; stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return f.db.QueryRowContext(ctx, f.sql[name], args...)
}

// fill makes the tables of the floor and gives them the users of the population, with
// the same ids and memberships.
func (f *sqlFloor) fill(ctx context.Context, d *database, p *population) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	for _, statement := range floorTables {
		if d.name == sqliteName && strings.HasPrefix(statement, "CREATE TABLE") && !strings.Contains(statement, "doc text") {
			statement += " WITHOUT ROWID"
		}
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO floor_tenants (tenant, seq) VALUES ('`+f.tenant+`', 0)`); err != nil {
		return err
	}
	run := func(name string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, f.sql[name], append([]any{f.tenant, f.directory}, args...)...)
		}
	}
	for name, id := range p.groups {
		run("insert group", id, int64(0), name, string(groupBody(name, nil)))
	}
	for k, id := range p.ids {
		u := p.floorUser(k, true, titleFirst)
		run("insert user", id, int64(0), u.name, u.externalID, u.display, true, u.doc)
		run("insert emails", id, u.name, u.home)
		run("account", id, u.name, true, floorGrants)
		for _, group := range p.groupsOf(k) {
			run("insert member", group, id)
		}
	}
	if err != nil {
		return fmt.Errorf("filling the floor: %w", err)
	}
	return tx.Commit()
}

// groupsOf returns the ids of the groups that createGroups put user k into.
func (p *population) groupsOf(k int) [3]string {
	first, second := teamsOf(k * p.step)
	other := teamName(second)
	if p.inHundred(k) {
		other = hundredName
	}
	return [3]string{p.groups[teamName(first)], p.groups[other], p.groups[everyoneName]}
}

const floorGrants = `[{"role":"viewer","source":"default"}]`

// A floorUser is a user as a hand-written program has it when it comes to the
// statements.
type floorUser struct {
	id, name, home, externalID, display string
	active                              bool
	doc                                 string
}

func (p *population) floorUser(k int, active bool, title string) floorUser {
	i := k * p.step
	u := floorUser{active: active, doc: string(appendUser(nil, i, title))}
	if !active {
		u.doc = strings.Replace(u.doc, `"active":true`, `"active":false`, 1)
	}
	if k < len(p.ids) {
		u.id = p.ids[k]
	}
	number := fmt.Sprintf("%07d", i)
	u.name, u.home, u.externalID = userName(i), "home"+number+"@mail.test", "00u5kq9"+number+"pV9d7"
	u.display = givenName(i) + " " + familyName(i)
	return u
}

// authenticate is the check of a token that is known to the process.
func (f *sqlFloor) authenticate() (tenant string, err error) {
	tenant, ok := f.tokens[sha256.Sum256([]byte(bearerToken))]
	if !ok {
		return "", errors.New("floor: no such token")
	}
	return tenant, nil
}

type floorRow struct {
	id                         string
	version, created, modified int64
	doc                        string
}

// get is a GET of a user: the document, and the groups that it is in.
func (f *sqlFloor) get(ctx context.Context, id string) error {
	tenant, err := f.authenticate()
	if err != nil {
		return err
	}
	r := floorRow{id: id}
	if err := f.queryRow(ctx, "get", tenant, f.directory, id).Scan(&r.version, &r.created, &r.modified, &r.doc); err != nil {
		return err
	}
	if err := f.groupsOf(ctx, tenant, id); err != nil {
		return err
	}
	return f.logRead(ctx, "/Users/"+id)
}

// logRead adds a line about a read to the request log.
func (f *sqlFloor) logRead(ctx context.Context, path string) error {
	now, id := time.Now(), uuid.NewString()
	if len(f.lines) == 0 {
		f.oldest = now
	}
	f.lines = append(f.lines, f.tenant, f.directory, now.UnixNano(), id, floorEntry(id, "GET", path, ""))
	if n := len(f.lines) / 5; n < floorLinesAtOnce && now.Sub(f.oldest) < floorLinesWait {
		return nil
	}
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	x := &floorTx{sqlFloor: f, ctx: ctx, tx: tx}
	together := 5 * floorLinesTogether
	if f.statements == nil {
		together = 5 * floorLinesAtOnce
	}
	lines := f.lines
	for len(lines) > 0 && x.err == nil {
		if len(lines) >= together {
			x.exec("lines", lines[:together]...)
			lines = lines[together:]
		} else {
			x.exec("log", lines[:5]...)
			lines = lines[5:]
		}
	}
	f.lines = f.lines[:0]
	if x.err != nil {
		return x.err
	}
	return tx.Commit()
}

// floorEntry is an entry of the request log, with what the library's have.
func floorEntry(id, method, path, changed string) string {
	return `{"id":"` + id + `","actor":"bench","method":"` + method + `","path":"` + path + `","status":200,"userAgent":"bench/1.0"` + changed + `}`
}

func (f *sqlFloor) groupsOf(ctx context.Context, tenant, id string) error {
	rows, err := f.query(ctx, "groups", tenant, f.directory, id)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	n := 0
	for rows.Next() {
		var group, display string
		if err := rows.Scan(&group, &display); err != nil {
			return err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if n != 3 {
		return fmt.Errorf("floor: user %s is in %d groups", id, n)
	}
	return nil
}

// find is a search for a userName.
func (f *sqlFloor) find(ctx context.Context, name string, hit bool) error {
	tenant, err := f.authenticate()
	if err != nil {
		return err
	}
	var r floorRow
	err = f.queryRow(ctx, "find", tenant, f.directory, strings.ToLower(name)).Scan(&r.id, &r.version, &r.created, &r.modified, &r.doc)
	if !hit {
		if err != sql.ErrNoRows { //nolint:errorlint // Scan returns it as it is
			return fmt.Errorf("floor: a user that should not be there: %w", err)
		}
		return f.logRead(ctx, "/Users")
	}
	if err != nil {
		return err
	}
	if err := f.groupsOf(ctx, tenant, r.id); err != nil {
		return err
	}
	return f.logRead(ctx, "/Users")
}

// A floorTx is the transaction of one write.
type floorTx struct {
	*sqlFloor
	ctx context.Context
	tx  *sql.Tx
	seq int64 // of the last of its events
	at  int64
	err error
}

// write runs fn in a transaction that holds the tenant's row and has numbers for so
// many events, and logs the request.
func (f *sqlFloor) write(ctx context.Context, method, path string, events int, fn func(x *floorTx)) error {
	tenant, err := f.authenticate()
	if err != nil {
		return err
	}
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	x := &floorTx{sqlFloor: f, ctx: ctx, tx: tx, at: time.Now().UnixNano()}
	if x.err = x.queryRow("lock", tenant, events).Scan(&x.seq); x.err == nil {
		fn(x)
	}
	id := uuid.NewString()
	x.run("log", x.at, id, floorEntry(id, method, path, `,"changed":["user.updated"]`))
	if x.err != nil {
		_ = tx.Rollback() // x.err says why
		return x.err
	}
	return tx.Commit()
}

// run executes a statement whose first parameters are tenant and directory.
func (x *floorTx) run(name string, args ...any) {
	x.exec(name, append([]any{x.tenant, x.directory}, args...)...)
}

func (x *floorTx) exec(name string, args ...any) {
	if x.err != nil {
		return
	}
	if stmt := x.statements[name]; stmt != nil {
		_, x.err = x.tx.StmtContext(x.ctx, stmt).ExecContext(x.ctx, args...) //nolint:sqlclosecheck // the transaction closes it
		return
	}
	_, x.err = x.tx.ExecContext(x.ctx, x.sql[name], args...)
}

func (x *floorTx) queryRow(name string, args ...any) *sql.Row {
	if stmt := x.statements[name]; stmt != nil {
		return x.tx.StmtContext(x.ctx, stmt).QueryRowContext(x.ctx, args...) //nolint:sqlclosecheck // the transaction closes it
	}
	return x.tx.QueryRowContext(x.ctx, x.sql[name], args...)
}

// user reads a user with account and groups, as one row.
func (x *floorTx) user(id string) (r floorRow) {
	if x.err != nil {
		return r
	}
	var hostID, email, grants, groups sql.NullString
	var active sql.NullBool
	x.err = x.queryRow("user", x.tenant, x.directory, id).
		Scan(&r.version, &r.created, &r.modified, &r.doc, &hostID, &email, &active, &grants, &groups)
	var memberships [][2]string
	if x.err == nil {
		x.err = json.Unmarshal([]byte(groups.String), &memberships)
	}
	return r
}

// event is one event: what it is about as it is now, and as it was.
func (x *floorTx) event(seq int64, typ, now, was string) {
	x.exec("event", x.tenant, seq, x.directory, typ, x.payload(now, was))
}

// events are the last two events.
func (x *floorTx) events(first, nowFirst, second, nowSecond string) {
	x.exec("events", x.tenant, x.seq-1, x.directory, first, x.payload(nowFirst, ""), x.seq, second, x.payload(nowSecond, ""))
}

func (x *floorTx) payload(now, was string) string {
	b := append(x.updated[:0], `{"actor":"bench","data":`...)
	b = append(b, now...)
	if was != "" {
		b = append(append(b, `,"previous":`...), was...)
	}
	b = append(b, '}')
	x.updated = b
	return string(b)
}

// update is a PATCH or PUT of a user.
func (f *sqlFloor) update(ctx context.Context, method string, u *floorUser) error {
	return f.write(ctx, method, "/Users/"+u.id, 1, func(x *floorTx) {
		r := x.user(u.id)
		x.run("update user", u.id, r.version+1, x.at/1e6, u.name, u.externalID, u.display, u.active, u.doc)
		x.run("account", u.id, u.name, u.active, floorGrants)
		x.event(x.seq, "user.updated", u.doc, r.doc)
	})
}

// create is a POST of a user.
func (f *sqlFloor) create(ctx context.Context, u *floorUser) error {
	return f.write(ctx, "POST", "/Users", 2, func(x *floorTx) {
		x.look(u)
		x.run("insert user", u.id, x.at/1e6, u.name, u.externalID, u.display, u.active, u.doc)
		x.run("insert emails", u.id, u.name, u.home)
		x.run("account", u.id, u.name, true, floorGrants)
		x.events("user.created", u.doc, "user.roles_changed", u.doc)
	})
}

// look looks whether a new user's email and externalId are anybody's: another user's,
// those of somebody who comes back, those of an account whose user has changed them.
func (x *floorTx) look(u *floorUser) {
	if x.err != nil {
		return
	}
	var taken, departed, kept bool
	x.err = x.queryRow("look", x.tenant, x.directory, u.name, u.externalID).Scan(&taken, &departed, &kept)
	if x.err == nil && (taken || departed || kept) {
		x.err = fmt.Errorf("floor: %s is known", u.name)
	}
}

// change adds a member to a group or removes it.
func (f *sqlFloor) change(ctx context.Context, statement, group, user string) error {
	return f.write(ctx, "PATCH", "/Groups/"+group, 2, func(x *floorTx) {
		var version int64
		var doc string
		x.err = x.queryRow("group", x.tenant, x.directory, group).Scan(&version, &doc)
		x.run(statement, group, user)
		x.run("touch group", group, version+1, x.at/1e6)
		r := x.user(user)
		x.run("account", user, "", true, floorGrants)
		x.events("membership.added", doc, "user.roles_changed", r.doc)
	})
}

// forget removes users that create made.
func (f *sqlFloor) forget(ctx context.Context, ids []string) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // without effect after the commit
	for _, id := range ids {
		for _, from := range [...]string{"floor_users WHERE id = ", "floor_emails WHERE user_id = ", "floor_accounts WHERE user_id = "} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+from+`'`+id+`' AND tenant = '`+f.tenant+`' AND directory = '`+f.directory+`'`); err != nil { //nolint:gosec // ids are made here
				return err
			}
		}
	}
	return tx.Commit()
}

// call is the floor's side of a call of the population, on the same users in the same
// order.
func (f *sqlFloor) call(ctx context.Context, p *population, name string) (call, error) {
	switch name {
	case callGet:
		walk := p.walk(false, longWalk, -1)
		return call{name: name, do: cycle(len(walk), func(i int) error { return f.get(ctx, p.ids[walk[i]]) })}, nil
	case callHit:
		walk := p.walk(false, longWalk, -1)
		names := make([]string, len(walk))
		for i, k := range walk {
			names[i] = userName(k * p.step)
		}
		return call{name: name, do: cycle(len(walk), func(i int) error { return f.find(ctx, names[i], true) })}, nil
	case callMiss:
		return call{name: name, do: cycle(hotLength, func(i int) error {
			return f.find(ctx, fmt.Sprintf("nobody.%05d@%s", i, emailDomain), false)
		})}, nil
	case callPatch, callPut:
		quarter, method := 0, "PATCH"
		if name == callPut {
			quarter, method = 1, "PUT"
		}
		var users []floorUser
		for round := range 2 {
			for _, k := range p.walk(false, shortWalk, quarter) {
				title := titleFirst
				if name == callPut && round == 0 {
					title = titleSecond
				}
				users = append(users, p.floorUser(k, name == callPut || round == 1, title))
			}
		}
		return call{name: name, do: cycle(len(users), func(i int) error { return f.update(ctx, method, &users[i]) })}, nil
	case callPost:
		return f.postCall(ctx, p), nil
	case callMember:
		walk, group := p.walk(false, shortWalk, -1), p.groups[everyoneName]
		return call{name: name, do: cycle(len(walk), func(i int) error {
			if err := f.change(ctx, "delete member", group, p.ids[walk[i]]); err != nil {
				return err
			}
			return f.change(ctx, "insert member", group, p.ids[walk[i]])
		})}, nil
	default:
		return call{}, fmt.Errorf("the floor has no call %q", name)
	}
}

func (f *sqlFloor) postCall(ctx context.Context, p *population) call {
	const batch = 64
	next := 7_000_000
	users := make([]floorUser, 0, batch)
	refill := func() {
		users = users[:0]
		for range batch {
			u := p.floorUser(next/p.step, true, titleFirst)
			u.id = uuid.Must(uuid.NewV7()).String()
			users = append(users, u)
			next += p.step
		}
	}
	refill()
	var made []string
	return call{
		name: callPost, batch: batch,
		do: func() error {
			u := &users[len(made)]
			made = append(made, u.id)
			return f.create(ctx, u)
		},
		clean: func() error {
			err := f.forget(ctx, made)
			made = made[:0]
			refill()
			return err
		},
	}
}
