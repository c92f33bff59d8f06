package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	scim "github.com/muster-id/scim"
)

// errConflict is a violation of a unique index.
var errConflict = errors.New("sqlstore: a unique index has the value already")

// failed is failure for what was asked with a context: where that has ended it
// is the reason, whatever the driver says.
func failed(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return failure(err)
}

// failure returns an error of the database as the library wants it. Drivers are
// not imported: what an error means is read off what its type can say.
func failure(err error) error {
	var answer *scim.Error
	switch {
	case err == nil, errors.Is(err, scim.ErrUnavailable), errors.Is(err, errConflict), errors.As(err, &answer):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isUnavailable(err):
		return fmt.Errorf("%w: %w", scim.ErrUnavailable, err)
	case isConflict(err):
		return fmt.Errorf("%w: %w", errConflict, err)
	}
	return err
}

func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return ""
}

// sqliteCode returns the primary result code of SQLite.
func sqliteCode(err error) int {
	var code interface{ Code() int }
	if sqlState(err) == "" && errors.As(err, &code) {
		return code.Code() & 0xff
	}
	return 0
}

func isUnavailable(err error) bool {
	var network net.Error
	var retry interface{ SafeToRetry() bool }
	switch {
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.As(err, &network):
		return true
	case errors.As(err, &retry) && retry.SafeToRetry():
		return true
	}
	if state := sqlState(err); state != "" {
		switch state[:2] {
		case "08", "40", "53": // connection, conflict of transactions, resources
			return true
		}
		switch state {
		case "57P01", "57P02", "57P03", "57P05", // the server is going down, or coming up
			"25006",          // read-only: another server has become the primary
			"55P03", "57014": // no lock, or no time
			return true
		}
		return false
	}
	const (
		busy     = 5
		locked   = 6
		readonly = 8
		ioerr    = 10
		full     = 13
		cantopen = 14
	)
	switch sqliteCode(err) {
	case busy, locked, readonly, ioerr, full, cantopen:
		return true
	case 0:
		// database/sql and drivers without codes have nothing but words.
		text := err.Error()
		return strings.Contains(text, "database is locked") || text == "sql: database is closed" || strings.Contains(text, "conn closed")
	}
	return false
}

func isConflict(err error) bool {
	const constraint = 19
	return sqlState(err) == "23505" || sqliteCode(err) == constraint
}
