package sqlstore

import (
	"context"
	"database/sql"
	"sync"
)

// compiled keeps statements of SQLite compiled, as its driver does not: to compile
// one takes as long as to run it. That of PostgreSQL does where it may.
type compiled struct {
	mu sync.RWMutex
	of map[string]*sql.Stmt
}

// compiledMost bounds the statements that are kept, of each connection: those of
// the package, and the queries that were asked first. Further ones are compiled
// each time.
const compiledMost = 256

func (c *compiled) get(text string) *sql.Stmt {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.of[text]
}

// add compiles a statement. It returns nil where that does not succeed or there
// are enough: who executes the text learns why.
func (c *compiled) add(ctx context.Context, db *sql.DB, text string) *sql.Stmt {
	c.mu.RLock()
	enough := len(c.of) >= compiledMost
	c.mu.RUnlock()
	if enough {
		return nil
	}
	stmt, err := db.PrepareContext(ctx, text) // kept until close
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.of[text]; other != nil {
		_ = stmt.Close() //nolint:sqlclosecheck // nobody has used it
		return other
	}
	if c.of == nil {
		c.of = make(map[string]*sql.Stmt)
	}
	c.of[text] = stmt
	return stmt
}

// close lets the statements go. They are compiled again if the store is used on.
func (c *compiled) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stmt := range c.of {
		_ = stmt.Close() // of what is only read
	}
	c.of = nil
}

// A compiling is the database, or a transaction of it, with statements that are
// compiled once.
type compiling struct {
	*Store
	tx *tx // nil outside of a transaction
}

// stmt returns the statement, nil where its text is to be used. A transaction has
// its connection, and asks for no second one that might not be there: what it
// misses is compiled after it.
func (c compiling) stmt(ctx context.Context, text string) *sql.Stmt {
	stmt := c.compiled.get(text)
	switch {
	case c.tx == nil && stmt == nil:
		return c.compiled.add(ctx, c.db, text)
	case c.tx == nil:
		return stmt
	case stmt == nil:
		c.tx.uncompiled = append(c.tx.uncompiled, text)
		return nil
	}
	return c.tx.tx.StmtContext(ctx, stmt)
}

func (c compiling) plain() querier {
	if c.tx != nil {
		return c.tx.tx
	}
	return c.db
}

// ExecContext implements querier.
func (c compiling) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := c.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it is kept
		return stmt.ExecContext(ctx, args...)
	}
	return c.plain().ExecContext(ctx, query, args...)
}

// QueryContext implements querier.
func (c compiling) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := c.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it is kept
		return stmt.QueryContext(ctx, args...)
	}
	return c.plain().QueryContext(ctx, query, args...)
}

// QueryRowContext implements querier.
func (c compiling) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := c.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it is kept
		return stmt.QueryRowContext(ctx, args...)
	}
	return c.plain().QueryRowContext(ctx, query, args...)
}

// querier returns what statements are sent to.
func (s *Store) querier(x *tx) querier {
	c := compiling{s, x}
	if s.Dialect == SQLite {
		return c
	}
	return c.plain()
}
