package sqltest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
)

// A Statement is what a store has sent to the database.
type Statement struct {
	SQL  string // "BEGIN", "COMMIT" and "ROLLBACK" too
	Args []any
}

// A Recorder notes the statements of a database that it has opened.
type Recorder struct {
	base driver.Driver
	dsn  string

	mu         sync.Mutex
	statements []Statement
}

// Record opens a database by the driver of another one, and notes what is sent
// to it.
func Record(db *sql.DB, dsn string) (*sql.DB, *Recorder) {
	r := &Recorder{base: db.Driver(), dsn: dsn}
	return sql.OpenDB(r), r
}

// Take forgets and returns what was sent so far.
func (r *Recorder) Take() []Statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.statements
	r.statements = nil
	return all
}

func (r *Recorder) note(text string, args []driver.NamedValue) {
	s := Statement{SQL: text}
	for _, a := range args {
		s.Args = append(s.Args, a.Value)
	}
	r.mu.Lock()
	r.statements = append(r.statements, s)
	r.mu.Unlock()
}

// Connect implements [driver.Connector].
func (r *Recorder) Connect(context.Context) (driver.Conn, error) {
	c, err := r.base.Open(r.dsn)
	if err != nil {
		return nil, err
	}
	return &recorded{c, r}, nil
}

// Driver implements [driver.Connector].
func (r *Recorder) Driver() driver.Driver { return r.base }

// recorded is a connection that is listened to.
type recorded struct {
	driver.Conn

	to *Recorder
}

var errOldDriver = errors.New("sqltest: the driver is too old")

func (c *recorded) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	e, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return nil, errOldDriver
	}
	c.to.note(query, args)
	return e.ExecContext(ctx, query, args)
}

func (c *recorded) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	q, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, errOldDriver
	}
	c.to.note(query, args)
	return q.QueryContext(ctx, query, args)
}

func (c *recorded) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	p, ok := c.Conn.(driver.ConnPrepareContext)
	if !ok {
		return nil, errOldDriver
	}
	stmt, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &recordedStmt{stmt, query, c.to}, nil
}

// recordedStmt is a statement that is noted when it is executed.
type recordedStmt struct {
	driver.Stmt

	query string
	to    *Recorder
}

func (s *recordedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	e, ok := s.Stmt.(driver.StmtExecContext)
	if !ok {
		return nil, errOldDriver
	}
	s.to.note(s.query, args)
	return e.ExecContext(ctx, args)
}

func (s *recordedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	q, ok := s.Stmt.(driver.StmtQueryContext)
	if !ok {
		return nil, errOldDriver
	}
	s.to.note(s.query, args)
	return q.QueryContext(ctx, args)
}

func (c *recorded) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *recorded) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	b, ok := c.Conn.(driver.ConnBeginTx)
	if !ok {
		return nil, errOldDriver
	}
	c.to.note("BEGIN", nil)
	tx, err := b.BeginTx(ctx, opts)
	return recordedTx{tx, c.to}, err
}

type recordedTx struct {
	driver.Tx

	to *Recorder
}

func (t recordedTx) Commit() error {
	t.to.note("COMMIT", nil)
	return t.Tx.Commit()
}

func (t recordedTx) Rollback() error {
	t.to.note("ROLLBACK", nil)
	return t.Tx.Rollback()
}
