package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// Prune implements [directory.Storage]. Lines are removed from the oldest on, until
// one has its Time at p.Requests or later. It takes the tenant's turn, so that a
// small Limit is kind to others. In a transaction that runs it leaves lines that
// no transaction has written and that still wait to be ([Store.Log]).
func (s *Store) Prune(ctx context.Context, tenant string, p directory.Prune) (removed int, err error) {
	if p.Limit <= 0 {
		return 0, nil
	}
	if !p.Requests.IsZero() && s.running(ctx) == nil {
		if err := s.Flush(ctx); err != nil { // what waits can be as old
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
		n, err := v.pruneLines(ctx, tenant, p.Requests, p.Limit)
		removed += n
		return err
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// linesPruned is how many lines are read at a time to be removed.
const linesPruned = 256

// pruneLines removes lines of all directories of a tenant that were written before
// a time, most of them at most.
func (v view) pruneLines(ctx context.Context, tenant string, before time.Time, most int) (removed int, err error) {
	next, args := `SELECT min(directory) FROM @requests WHERE tenant = $1::text`, []any{tenant}
	for {
		var name sql.NullString
		if err := v.db.QueryRowContext(ctx, v.statement(next), args...).Scan(&name); err != nil {
			return removed, failed(ctx, err)
		}
		if !name.Valid {
			return removed, nil
		}
		key := scim.Key{Tenant: tenant, Directory: name.String}
		for more := true; more; {
			if removed >= most {
				return removed, nil
			}
			var n int
			if n, more, err = v.pruneOldest(ctx, key, before, min(most-removed, linesPruned)); err != nil {
				return removed, err
			}
			removed += n
		}
		next, args = `SELECT min(directory) FROM @requests WHERE tenant = $1::text AND directory > $2::text`, []any{tenant, name.String}
	}
}

// pruneOldest removes lines of a directory from the oldest on, until one was written
// at that time or later. more says that it has met none.
func (v view) pruneOldest(ctx context.Context, key scim.Key, before time.Time, most int) (removed int, more bool, err error) {
	var last line
	old, more := 0, true
	err = v.each(ctx, `SELECT at, id, entry FROM @requests WHERE tenant = $1::text AND directory = $2::text ORDER BY at, id LIMIT $3::bigint`, func(rows *sql.Rows) error {
		var l line
		var entry struct{ Time time.Time }
		if err := rows.Scan(&l.at, &l.id, &l.entry); err != nil || !more {
			return err
		}
		if err := json.Unmarshal([]byte(l.entry), &entry); err != nil {
			return fmt.Errorf("sqlstore: request log: %w", err)
		}
		if more = entry.Time.Before(before); more {
			old, last = old+1, l
		}
		return nil
	}, key.Tenant, key.Directory, int64(most))
	if err != nil || old == 0 {
		return 0, false, err
	}
	n, err := v.exec(ctx, `DELETE FROM @requests WHERE tenant = $1::text AND directory = $2::text AND (at, id) <= ($3::bigint, $4::text)`,
		key.Tenant, key.Directory, last.at, last.id)
	return int(n), more && old == most, err
}
