package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	scim "github.com/muster-id/scim"
)

// A tx is a running transaction of a tenant.
type tx struct {
	*Store

	tenant string
	tx     *sql.Tx
	ended  atomic.Bool

	seq, delivery, change int64 // what is counted in the tenant's row
	counted               bool  // they are others than in the row
	tally                 tally

	known   map[scim.Ref]*known // what has been read, few
	pending pending             // what is written before the commit
	absent  []absence           // what has been looked for in vain, until something is written

	uncompiled []string // statements that others may want too
}

var _ scim.Tx = (*tx)(nil)

// known is a resource as the transaction sees it, and of a user what is beside
// it, if that was read too. Nobody else writes to the tenant meanwhile.
type known struct {
	res    *scim.Resource
	beside bool
	scim.UserState
}

// txKey is the key of a store's running transaction in a context, sqlKey that of
// what [Tx] returns.
type (
	txKey  struct{ *Store }
	sqlKey struct{}
)

func (s *Store) running(ctx context.Context) *tx {
	x, _ := ctx.Value(txKey{s}).(*tx)
	return x
}

// Tx returns the transaction that runs with the context of a hook, so that the
// host's own tables are written in it: they commit with the request or not at
// all. It must be neither committed nor rolled back. ok is false outside of a
// transaction.
func Tx(ctx context.Context) (tx *sql.Tx, ok bool) {
	tx, ok = ctx.Value(sqlKey{}).(*sql.Tx)
	return tx, ok
}

var errEnded = errors.New("sqlstore: the transaction has ended")

// Do implements [scim.Ledger].
func (s *Store) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	return s.do(ctx, tenant, func(ctx context.Context, x *tx) error { return fn(ctx, x) })
}

// do runs fn in the transaction that runs or in one of its own.
func (s *Store) do(ctx context.Context, tenant string, fn func(context.Context, *tx) error) error {
	if x := s.running(ctx); x != nil {
		if err := x.open(tenant); err != nil {
			return err
		}
		return fn(ctx, x)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	done, err := s.writers.wait(ctx, s.queueOf(tenant), s.opts.LockTimeout)
	if err != nil {
		return err
	}
	defer done()
	err = s.transact(ctx, tenant, fn)
	if s.Dialect == SQLite && err == nil {
		s.log.flushDue(ctx, s) // while no other writer can be in the way
	}
	return err
}

func (s *Store) transact(ctx context.Context, tenant string, fn func(context.Context, *tx) error) error {
	var opts *sql.TxOptions
	if s.Dialect == PostgreSQL {
		// What a transaction reads behind the lock is what the one before it left.
		opts = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	t, err := s.db.BeginTx(ctx, opts)
	if err != nil {
		return failed(ctx, err)
	}
	x := &tx{Store: s, tenant: tenant, tx: t}
	defer func() { // also where fn panics
		if !x.ended.Swap(true) {
			_ = t.Rollback() // what it was about is the error of fn
		}
	}()
	if err := x.lock(ctx); err != nil {
		return err
	}
	if err := fn(context.WithValue(context.WithValue(ctx, txKey{s}, x), sqlKey{}, t), x); err != nil {
		return x.rollback(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := x.flush(ctx); err != nil {
		return err
	}
	x.ended.Store(true)
	if err := t.Commit(); err != nil {
		return failed(ctx, err)
	}
	x.compile(ctx)
	return nil
}

// compile keeps the statements that the transaction has missed compiled.
func (x *tx) compile(ctx context.Context) {
	for _, text := range x.uncompiled {
		x.compiled.add(ctx, x.db, text)
	}
}

// rollback ends the transaction because of err. Where that is not possible the
// connection is gone, and err is what a hook, whose statements were the first to
// find out, made of it.
func (x *tx) rollback(err error) error {
	x.ended.Store(true)
	if lost := x.tx.Rollback(); lost != nil && isUnavailable(lost) && !errors.Is(err, scim.ErrUnavailable) {
		return fmt.Errorf("%w: the connection was lost: %w", scim.ErrUnavailable, err)
	}
	return err
}

// lock takes the tenant's row, first of all: what reads before it writes could
// be refused to write later.
func (x *tx) lock(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, x.opts.LockTimeout)
	defer cancel()
	take := `SELECT seq, delivery, change, tally FROM @tenants WHERE tenant = $1::text FOR UPDATE`
	if x.Dialect == SQLite {
		take = `UPDATE @tenants SET seq = seq WHERE tenant = $1::text RETURNING seq, delivery, change, tally`
	}
	for {
		err := x.querier(x).QueryRowContext(limited, x.statement(take), x.tenant).Scan(&x.seq, &x.delivery, &x.change, &x.tally.stored)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = x.tx.ExecContext(limited, x.statement(`INSERT INTO @tenants (tenant, seq, delivery, change) VALUES ($1::text, 0, 0, 0) ON CONFLICT (tenant) DO NOTHING`), x.tenant)
			if err == nil {
				continue
			}
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case limited.Err() != nil:
			return errLockTimeout(x.opts.LockTimeout)
		}
		return failure(err)
	}
}

// open returns an error if the transaction has ended or is another tenant's.
func (x *tx) open(tenant string) error {
	if x.ended.Load() {
		return errEnded
	}
	if tenant != x.tenant {
		return fmt.Errorf("sqlstore: a transaction of one tenant cannot be used for another: %q is not %q", tenant, x.tenant)
	}
	return nil
}

// view returns what the transaction sees.
func (x *tx) view(tenant string) (view, error) {
	if err := x.open(tenant); err != nil {
		return view{}, err
	}
	return view{Store: x.Store, db: x.querier(x), tx: x}, nil
}

// know keeps what has been read: a request asks about one resource several
// times.
func (x *tx) know(ref scim.Ref, k *known) *known {
	const most = 64
	if x.known == nil || len(x.known) >= most {
		x.known = make(map[scim.Ref]*known)
	}
	x.known[ref] = k
	return k
}

// regrouped forgets who is in which group.
func (x *tx) regrouped() {
	for _, k := range x.known {
		k.beside = false
	}
}

// Get implements [scim.Store]. With a user it reads what is kept beside it.
func (x *tx) Get(ctx context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	v, err := x.view(ref.Directory.Tenant)
	if err != nil {
		return nil, err
	}
	if k := x.known[ref]; k != nil {
		return k.res, nil
	}
	if ref.Type == userType {
		state, err := v.userState(ctx, ref)
		if err != nil {
			return nil, err
		}
		if state.User == nil {
			return nil, scim.ErrNotFound
		}
		return state.User, nil
	}
	r, err := v.get(ctx, ref)
	if err != nil {
		return nil, err
	}
	return x.know(ref, &known{res: r}).res, nil
}

// List implements [scim.Store].
func (x *tx) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	v, err := x.view(q.Directory.Tenant)
	if err != nil {
		return nil, err
	}
	return v.list(ctx, q)
}

// Members implements [scim.MemberStore].
func (x *tx) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return func(yield func(scim.Member, error) bool) {
		v, err := x.view(group.Directory.Tenant)
		if err != nil {
			yield(scim.Member{}, err)
			return
		}
		v.members(ctx, group, yield)
	}
}

// GroupsOf implements [scim.MemberStore].
func (x *tx) GroupsOf(ctx context.Context, key scim.Key, users []string) ([][]scim.GroupRef, error) {
	v, err := x.view(key.Tenant)
	if err != nil {
		return nil, err
	}
	return v.groupsOf(ctx, key, users)
}
