package main

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// A trace is a driver around another one, which remembers the statements and how long
// they took. What it measures is not compared: it explains.
type trace struct {
	driver driver.Driver
	dsn    string

	mu         sync.Mutex
	statements map[string]*statementCost
}

// A statementCost is how often a statement was sent, and how long the driver had it,
// the reading of its rows included.
type statementCost struct {
	text  string
	count int
	took  time.Duration
}

// traced opens the database of db once more, with a trace.
func traced(db *sql.DB, dsn string) (*sql.DB, *trace) {
	t := &trace{driver: db.Driver(), dsn: dsn}
	return sql.OpenDB(t), t
}

// Connect implements [driver.Connector].
func (t *trace) Connect(context.Context) (driver.Conn, error) {
	conn, err := t.driver.Open(t.dsn)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(tracedConn)
	if !ok {
		return nil, errors.Join(errLacking, conn.Close())
	}
	return &traceConn{tracedConn: inner, trace: t}, nil
}

// Driver implements [driver.Connector].
func (t *trace) Driver() driver.Driver { return t.driver }

func (t *trace) add(text string, count int, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.statements == nil {
		t.statements = make(map[string]*statementCost)
	}
	s := t.statements[text]
	if s == nil {
		s = &statementCost{text: text}
		t.statements[text] = s
	}
	s.count += count
	s.took += took
}

// take returns what has been sent since it was called last, what took longest first.
func (t *trace) take() []statementCost {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []statementCost
	for _, s := range t.statements {
		all = append(all, *s)
	}
	t.statements = nil
	slices.SortFunc(all, func(a, b statementCost) int {
		return cmp.Or(-cmp.Compare(a.took, b.took), strings.Compare(a.text, b.text))
	})
	return all
}

var errLacking = errors.New("the driver lacks what a trace relies on")

// tracedConn is what both drivers' connections are.
type tracedConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

type traceConn struct {
	tracedConn
	trace *trace
}

// CheckNamedValue implements [driver.NamedValueChecker].
func (c *traceConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.tracedConn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// BeginTx implements [driver.ConnBeginTx].
func (c *traceConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	start := time.Now()
	tx, err := c.tracedConn.BeginTx(ctx, opts)
	c.trace.add("BEGIN", 1, time.Since(start))
	return &traceTx{tx, c.trace}, err
}

// ExecContext implements [driver.ExecerContext].
func (c *traceConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	start := time.Now()
	result, err := c.tracedConn.ExecContext(ctx, query, args)
	c.trace.add(query, 1, time.Since(start))
	return result, err
}

// QueryContext implements [driver.QueryerContext].
func (c *traceConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	start := time.Now()
	rows, err := c.tracedConn.QueryContext(ctx, query, args)
	c.trace.add(query, 1, time.Since(start))
	if err != nil {
		return nil, err
	}
	return &traceRows{rows, c.trace, query}, nil
}

// PrepareContext implements [driver.ConnPrepareContext]. To prepare counts as time of
// the statement.
func (c *traceConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	start := time.Now()
	stmt, err := c.tracedConn.PrepareContext(ctx, query)
	c.trace.add(query, 0, time.Since(start))
	if err != nil {
		return nil, err
	}
	inner, ok := stmt.(tracedStmt)
	if !ok {
		return nil, errors.Join(errLacking, stmt.Close())
	}
	return &traceStmt{inner, c.trace, query}, nil
}

// tracedStmt is what both drivers' statements are.
type tracedStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type traceStmt struct {
	tracedStmt
	trace *trace
	query string
}

// ExecContext implements [driver.StmtExecContext].
func (s *traceStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	start := time.Now()
	result, err := s.tracedStmt.ExecContext(ctx, args)
	s.trace.add(s.query, 1, time.Since(start))
	return result, err
}

// QueryContext implements [driver.StmtQueryContext].
func (s *traceStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	start := time.Now()
	rows, err := s.tracedStmt.QueryContext(ctx, args)
	s.trace.add(s.query, 1, time.Since(start))
	if err != nil {
		return nil, err
	}
	return &traceRows{rows, s.trace, s.query}, nil
}

type traceTx struct {
	driver.Tx
	trace *trace
}

// Commit implements [driver.Tx].
func (x *traceTx) Commit() error {
	start := time.Now()
	err := x.Tx.Commit()
	x.trace.add("COMMIT", 1, time.Since(start))
	return err
}

type traceRows struct {
	driver.Rows
	trace *trace
	query string
}

// Next implements [driver.Rows].
func (r *traceRows) Next(values []driver.Value) error {
	start := time.Now()
	err := r.Rows.Next(values)
	r.trace.add(r.query, 0, time.Since(start))
	return err
}

// Close implements [driver.Rows].
func (r *traceRows) Close() error {
	start := time.Now()
	err := r.Rows.Close()
	r.trace.add(r.query, 0, time.Since(start))
	return err
}
