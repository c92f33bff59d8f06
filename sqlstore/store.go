package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	scim "github.com/muster-id/scim"
)

// Options tune a [Store]. The zero value, like nil, is ready for use.
type Options struct {
	// Prefix begins the names of all tables: small letters, digits and _. "":
	// "scim_". Stores with different prefixes share nothing.
	Prefix string
	// Schema is the schema of PostgreSQL that the tables are in. "": the first
	// of the search path.
	Schema string

	// Now is the clock of meta.created and meta.lastModified. nil: time.Now.
	Now func() time.Time
	// Events is how many events of a tenant are kept. 0: 1,000,000; negative:
	// all.
	Events int
	// Requests is how many lines of a directory's request log are kept. 0:
	// 10,000; negative: all.
	Requests int
	// RequestAge is how long lines of the request log are kept. 0: 90 days;
	// negative: as long as Requests lets them.
	RequestAge time.Duration
	// LockTimeout is how long a transaction waits for the one before it of the
	// same tenant, which may be calling a hook. 0: 30 seconds. What waits longer
	// is answered as unavailable.
	LockTimeout time.Duration
	// Logger is told what nobody is answered. nil: slog.Default.
	Logger *slog.Logger
}

// The bounds where [Options] has none.
const (
	defaultEvents      = 1_000_000
	defaultRequests    = 10_000
	defaultRequestAge  = 90 * 24 * time.Hour
	defaultLockTimeout = 30 * time.Second
)

// A Store is a [scim.Ledger] in an SQL database. It is safe for concurrent use.
//
// Its methods may be called with the context of a transaction that runs
// ([Store.Do]): they are then part of it. A transaction is of one tenant; what
// is asked about another with its context is an error. Called with any other
// context, a method that writes is a transaction of its own.
type Store struct {
	names
	db    *sql.DB
	types *scim.Types
	kinds []*kind
	opts  Options

	prepared sync.Map // string → string: statements as the database has them

	queries  queries
	compiled compiled

	writers queues
	log     readLog
}

var _ scim.Ledger = (*Store)(nil)

// New returns a store over the database, whose tables [Migrate] has made. It
// checks that they and the settings are what the store needs, and changes
// nothing. opts may be nil. The database stays the caller's: see [Store.Close].
func New(ctx context.Context, db *sql.DB, d Dialect, types *scim.Types, opts *Options) (*Store, error) {
	if db == nil || types == nil {
		return nil, errors.New("sqlstore: New needs a database and the registry of types")
	}
	n, err := newNames(d, opts)
	if err != nil {
		return nil, err
	}
	if err := n.check(ctx, db); err != nil {
		return nil, err
	}
	s := &Store{names: n, db: db, types: types}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	setDefault(&s.opts.Events, defaultEvents)
	setDefault(&s.opts.Requests, defaultRequests)
	setDefault(&s.opts.RequestAge, defaultRequestAge)
	setDefault(&s.opts.LockTimeout, defaultLockTimeout)
	if s.opts.Logger == nil {
		s.opts.Logger = slog.Default()
	}
	for i, t := range types.All() {
		s.kinds = append(s.kinds, newKind(t, i))
	}
	return s, nil
}

func setDefault[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// Close writes what is buffered. It does not close the database.
func (s *Store) Close() error {
	err := s.Flush(context.Background())
	s.compiled.close()
	return err
}

// now returns the time to the millisecond, as meta keeps it.
func (s *Store) now() time.Time { return s.opts.Now().UTC().Truncate(time.Millisecond) }

func (s *Store) kindNamed(name string) *kind {
	for _, k := range s.kinds {
		if k.typ.Name == name {
			return k
		}
	}
	return nil
}

func (s *Store) kindOf(t *scim.ResourceType) *kind {
	for _, k := range s.kinds {
		if k.typ == t {
			return k
		}
	}
	return nil
}

// errForeignType is returned for resources and queries of a registry that is
// not the one the store was made with: a mistake of the host's wiring.
func errForeignType(t *scim.ResourceType) error {
	if t == nil {
		return errors.New("sqlstore: no resource type")
	}
	return fmt.Errorf("sqlstore: the resource type %q is not of the registry that New was given", t.Name)
}

// querier is a database or a transaction of it.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A view is what a read sees: the database, or it with what a transaction has
// done.
type view struct {
	*Store
	db querier
	tx *tx // nil outside of a transaction
}

// view returns what the context sees of a tenant.
func (s *Store) view(ctx context.Context, tenant string) (view, error) {
	if x := s.running(ctx); x != nil {
		return x.view(tenant)
	}
	return view{Store: s, db: s.querier(nil)}, nil
}

// statement returns a statement as the database has it. raw is a constant.
func (s *Store) statement(raw string) string {
	if done, ok := s.prepared.Load(raw); ok {
		return done.(string)
	}
	done := s.sql(raw)
	s.prepared.Store(raw, done)
	return done
}

// queries keeps the statements of queries as the database has them.
type queries struct {
	of   sync.Map // string → string
	kept atomic.Int64
}

// queriesMost bounds the queries that are kept: their texts come from filters.
const queriesMost = 256

// query returns the statement of a query as the database has it.
func (s *Store) query(raw string) string {
	if done, ok := s.queries.of.Load(raw); ok {
		return done.(string)
	}
	done := s.sql(raw)
	if s.queries.kept.Load() < queriesMost {
		s.queries.kept.Add(1)
		s.queries.of.Store(raw, done)
	}
	return done
}

// each calls scan for each row of what a statement finds.
func (v view) each(ctx context.Context, raw string, scan func(*sql.Rows) error, args ...any) error {
	return v.eachOf(ctx, v.statement(raw), scan, args...)
}

func (v view) eachOf(ctx context.Context, statement string, scan func(*sql.Rows) error, args ...any) error {
	rows, err := v.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return failed(ctx, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		if err := scan(rows); err != nil {
			return failed(ctx, err)
		}
	}
	return failed(ctx, rows.Err())
}

func (v view) exec(ctx context.Context, raw string, args ...any) (affected int64, err error) {
	result, err := v.db.ExecContext(ctx, v.statement(raw), args...)
	if err != nil {
		return 0, failed(ctx, err)
	}
	return result.RowsAffected()
}

// storable reports whether a text can be a value in the database; one that
// cannot is nobody's id.
func storable(text string) bool {
	for i := range len(text) {
		if text[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(text)
}

// Get implements [scim.Store].
func (s *Store) Get(ctx context.Context, ref scim.Ref, opts scim.GetOptions) (*scim.Resource, error) {
	v, err := s.view(ctx, ref.Directory.Tenant)
	if err != nil {
		return nil, err
	}
	if v.tx != nil {
		return v.tx.Get(ctx, ref, opts)
	}
	return v.get(ctx, ref)
}

// columns are those of a resource, in the order of scanned.
const columns = `r.version, r.created, r.modified, r.doc`

// A scanned is a row of columns.
type scanned struct {
	version           int64
	created, modified int64
	doc               []byte
}

func (r *scanned) targets() []any { return []any{&r.version, &r.created, &r.modified, &r.doc} }

func (r *scanned) meta() scim.Meta {
	return scim.Meta{Created: time.UnixMilli(r.created), LastModified: time.UnixMilli(r.modified), Version: scim.Version(r.version)}
}

func (s *Store) resource(key scim.Key, k *kind, r *scanned) (*scim.Resource, error) {
	res, err := s.types.Decode(key, k.typ.Name, r.doc, r.meta())
	if err != nil {
		return nil, fmt.Errorf("sqlstore: a %s cannot be read as the schemas have it: %w", k.typ.Name, err)
	}
	return res, nil
}

func (v view) get(ctx context.Context, ref scim.Ref) (*scim.Resource, error) {
	k := v.kindNamed(ref.Type)
	if k == nil || !storable(ref.ID) {
		return nil, scim.ErrNotFound
	}
	var row scanned
	err := v.db.QueryRowContext(ctx, v.statement(`SELECT `+columns+` FROM @resources r
		WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text AND r.id = $4::text`),
		ref.Directory.Tenant, ref.Directory.Directory, ref.Type, ref.ID).Scan(row.targets()...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, scim.ErrNotFound
	case err != nil:
		return nil, failed(ctx, err)
	}
	return v.resource(ref.Directory, k, &row)
}

// List implements [scim.Store]. Without SortBy the order is that of ids. A
// position is what the query sorts by and an id.
func (s *Store) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	v, err := s.view(ctx, q.Directory.Tenant)
	if err != nil {
		return nil, err
	}
	return v.list(ctx, q)
}

// Members implements [scim.MemberStore]. It yields the members in order of id,
// read some at a time: who joins or leaves meanwhile may be among them or not,
// and no connection is held while the caller is busy.
func (s *Store) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return func(yield func(scim.Member, error) bool) {
		v, err := s.view(ctx, group.Directory.Tenant)
		if err != nil {
			yield(scim.Member{}, err)
			return
		}
		v.members(ctx, group, yield)
	}
}

// GroupsOf implements [scim.MemberStore]. The ids may be those of groups too.
func (s *Store) GroupsOf(ctx context.Context, key scim.Key, users []string) ([][]scim.GroupRef, error) {
	v, err := s.view(ctx, key.Tenant)
	if err != nil {
		return nil, err
	}
	return v.groupsOf(ctx, key, users)
}

// Create implements [scim.Store].
func (s *Store) Create(ctx context.Context, r *scim.Resource) (created *scim.Resource, err error) {
	err = s.do(ctx, r.Directory().Tenant, func(ctx context.Context, x *tx) error {
		created, err = x.Create(ctx, r)
		return err
	})
	return created, err
}

// Replace implements [scim.Store].
func (s *Store) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (replaced *scim.Resource, err error) {
	err = s.do(ctx, r.Directory().Tenant, func(ctx context.Context, x *tx) error {
		replaced, err = x.Replace(ctx, r, was)
		return err
	})
	return replaced, err
}

// Delete implements [scim.Store]. The groups that had the resource as a member
// get a new version.
func (s *Store) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	return s.do(ctx, ref.Directory.Tenant, func(ctx context.Context, x *tx) error { return x.Delete(ctx, ref, was) })
}

// ChangeMembers implements [scim.MemberStore].
func (s *Store) ChangeMembers(ctx context.Context, group scim.Ref, change scim.MemberChange, was scim.Version) (result *scim.MemberResult, err error) {
	err = s.do(ctx, group.Directory.Tenant, func(ctx context.Context, x *tx) error {
		result, err = x.ChangeMembers(ctx, group, change, was)
		return err
	})
	return result, err
}
