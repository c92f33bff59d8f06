// Package sqlstore is a [scim.Ledger] in an SQL database: SQLite for one
// process, PostgreSQL for any number of them.
//
//	db, err := sql.Open("pgx", "postgres://…")
//	err = sqlstore.Migrate(ctx, db, sqlstore.PostgreSQL, nil)
//	store, err := sqlstore.New(ctx, db, sqlstore.PostgreSQL, scim.CoreTypes(), nil)
//
// It uses database/sql alone; the host brings the driver. Package pgx/v5/stdlib
// and modernc.org/sqlite are those it is tested with.
//
// # One transaction for everything
//
// What a request changes, its resources, memberships and accounts, the events
// about it, the deliveries that are owed and its line in the request log, commits
// together or not at all. A transaction begins by locking the row of its tenant
// in the table tenants, so that those of one tenant take turns, in whatever
// process they run; numbers of events and deliveries are counted in that row and
// have no gaps. Inside the process they queue before they take a connection: a
// busy tenant occupies one. Readers lock nothing and wait for nobody.
//
// [Tx] hands the transaction that runs to the host's [scim.Provisioner], which
// can write its own tables in it. A Provisioner that writes to the same rows
// over another connection waits for its own request; it is stopped by a
// deadline ([Options.LockTimeout]).
//
// What a transaction has to write about its request is kept until just before
// the commit and written in one statement (PostgreSQL) or one for each table
// (SQLite). Statements work on sets, given as one parameter in JSON where they
// are larger than two rows, so that their number does not depend on how large a
// group is. What must be known before a user is created is asked in one
// statement ([scim.Anticipator]).
//
// # What is kept of a resource
//
// Beside the canonical JSON each row has a search document: the same values,
// each as the text that [filter.Ordered] makes of it. Bytes of such texts compare as the
// values do, so every operator of a filter is a comparison of texts in SQL and
// means what [filter.Match] means. Values reach the database as parameters; the
// text of a statement holds names of tables and columns, and numbers of
// parameters. Equality on id, userName, externalId, displayName, active,
// emails.value, groups.value, members.value and on what a schema declares as
// unique is found by an index, also as one side of an and.
//
// Search documents follow the schemas that the registry had when a resource was
// written. After a change of a schema that makes an attribute comparable in
// another way (caseExact, its type, its uniqueness), call [Store.Reindex].
//
// # What package directory keeps
//
// A Store is a [directory.Storage]: directories, tokens, domains and mappings are
// records, each a document under its tenant, kind and id. The one table whose
// key does not begin with a tenant is that of claims, names that one tenant has
// of all. What is counted of a tenant is in the row that its transactions lock
// and read anyway.
//
// # Upgrading
//
// [Migrate] adds what a version needs, and the store works at once. Migration
// 0002_directories adds the keys that accounts are found by in all directories of a
// tenant. It leaves them empty in rows that are there: until such an account is
// written again, or [Store.Reindex] was called for its directory,
// [Store.People] does not find it, so that a person in two directories is not
// recognised as one. Call it when no process with the earlier version is left: that
// one does not write the keys. On PostgreSQL nobody can use the accounts while the
// migration runs, which reads each of them once.
//
// # PostgreSQL
//
// Version 14 or later, with the encoding UTF8. No extension is needed, and
// nothing that databases lack which speak its protocol: no advisory locks, no
// sequences, no notifications. There is no session state, so that PgBouncer can
// pool transactions; pgx must then be told not to prepare statements
// (default_query_exec_mode=exec).
//
// # SQLite
//
// A file, opened with write-ahead log, full synchronisation and a busy timeout.
// With modernc.org/sqlite:
//
//	file:scim.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate
//
// [New] checks that, and refuses SQLite 3.51, which answers some filters wrongly:
// take modernc.org/sqlite v1.54.0. The pool of connections needs two at least, one of them for
// readers while a transaction runs: do not set MaxOpenConns to 1.
//
// # What is bounded
//
// Events are kept for the latest [Options.Events] of a tenant, the request log
// for the latest [Options.Requests] of a directory. Accounts of deleted users
// are kept as rule B1 asks.
//
// Lines of the request log about reads are written some at a time, so that a read
// costs no write: a line waits for the first read after a second (on SQLite for
// the first write too) or for [Store.Close]. Until then only its own process has
// it, where [Store.Requests] shows it, and a crash loses it: of a process that
// is asked for nothing more these are its last lines, however old they are. What
// belongs to a write commits with it.
package sqlstore
