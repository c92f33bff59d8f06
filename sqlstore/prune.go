package sqlstore

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/muster-id/scim/directory"
)

// Prune implements [directory.Storage]. The age of a line is that of its writing. It
// takes the tenant's turn for one batch.
func (s *Store) Prune(ctx context.Context, tenant string, p directory.Prune) (removed int, err error) {
	if p.Limit <= 0 {
		return 0, nil
	}
	if !p.Requests.IsZero() && s.running(ctx) == nil {
		if err := s.Flush(ctx); err != nil { // what is buffered can be as old
			return 0, err
		}
	}
	err = s.do(ctx, tenant, func(ctx context.Context, x *tx) error {
		removed = 0
		if err := x.flush(ctx); err != nil {
			return err
		}
		v, err := x.view(tenant)
		if err != nil {
			return err
		}
		if p.Events > 0 {
			// The range that is read ends where the batch does, whatever the planner
			// believes about the table.
			n, err := v.exec(ctx, `DELETE FROM @events WHERE tenant = $1::text AND seq < coalesce(
				(SELECT seq FROM @events WHERE tenant = $1::text AND seq < $2::bigint ORDER BY seq LIMIT 1 OFFSET $3::bigint), $2::bigint)`,
				tenant, int64(min(p.Events, math.MaxInt64-1))+1, int64(p.Limit))
			if err != nil {
				return err
			}
			removed += int(n)
		}
		if p.Requests.IsZero() {
			return nil
		}
		n, err := v.pruneLines(ctx, tenant, nanoseconds(p.Requests), int64(p.Limit))
		removed += n
		return err
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// pruneLines removes lines of all directories of a tenant that were written before
// a time, most of them at most.
func (v view) pruneLines(ctx context.Context, tenant string, before, most int64) (removed int, err error) {
	next, args := `SELECT min(directory) FROM @requests WHERE tenant = $1::text`, []any{tenant}
	for most > 0 {
		var directory sql.NullString
		if err := v.db.QueryRowContext(ctx, v.statement(next), args...).Scan(&directory); err != nil {
			return removed, failed(ctx, err)
		}
		if !directory.Valid {
			break
		}
		n, err := v.exec(ctx, `DELETE FROM @requests WHERE tenant = $1::text AND directory = $2::text AND at < coalesce(
			(SELECT at FROM @requests WHERE tenant = $1::text AND directory = $2::text AND at < $3::bigint ORDER BY at LIMIT 1 OFFSET $4::bigint), $3::bigint)`,
			tenant, directory.String, before, most)
		if err != nil {
			return removed, err
		}
		removed += int(n)
		most -= n
		next, args = `SELECT min(directory) FROM @requests WHERE tenant = $1::text AND directory > $2::text`, []any{tenant, directory.String}
	}
	return removed, nil
}

// nanoseconds returns a time as the tables have it, the nearest that they can
// have.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}
