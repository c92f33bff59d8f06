package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	scim "github.com/muster-id/scim"
)

// reindexed is how many rows are written anew in one transaction.
const reindexed = 200

// Reindex writes anew what filters and sorting look at, for all resources of a
// directory, as the schemas now have it. It is called after a change of a schema
// that makes an attribute comparable in another way. Resources keep their
// versions. It works through some resources at a time, each time in a
// transaction; meanwhile filters find what is done by the new schema and the
// rest by the old one. An error wraps [scim.ErrUniqueness] where two resources
// share a value that must be unique now; it may be called again then, when one
// has been changed.
//
// It is called too, once for each directory, after a migration that says so in the
// package documentation: it writes anew what accounts are found by.
func (s *Store) Reindex(ctx context.Context, directory scim.Key) error {
	if err := s.reindexAccounts(ctx, directory); err != nil {
		return err
	}
	for _, k := range s.kinds {
		for last := ""; ; {
			n := 0
			err := s.do(ctx, directory.Tenant, func(ctx context.Context, x *tx) error {
				v, err := x.view(directory.Tenant)
				if err != nil {
					return err
				}
				var all []*scim.Resource
				err = v.each(ctx, `SELECT `+columns+` FROM @resources r
					WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text AND r.id > $4::text ORDER BY r.id LIMIT $5::bigint`, func(rows *sql.Rows) error {
					var row scanned
					if err := rows.Scan(row.targets()...); err != nil {
						return err
					}
					r, err := v.resource(directory, k, &row)
					all = append(all, r)
					return err
				}, directory.Tenant, directory.Directory, k.typ.Name, last, reindexed)
				for _, r := range all {
					if err == nil {
						err = v.reindex(ctx, k, r)
					}
					last = r.ID()
				}
				n = len(all)
				return err
			})
			if err != nil {
				return uniqueness(err)
			}
			if n < reindexed {
				break
			}
		}
	}
	return nil
}

func (v view) reindex(ctx context.Context, k *kind, r *scim.Resource) error {
	w := k.row(r)
	err := v.taken(ctx, k, r, &w, false)
	if err == nil {
		err = v.valuesTaken(ctx, r, w.values)
	}
	if err != nil {
		return fmt.Errorf("sqlstore: the %s %s: %w", r.Type().Name, r.ID(), err)
	}
	if _, err := v.exec(ctx, v.deleteValues()+` WHERE tenant = $1::text AND directory = $2::text AND type = $3::text AND id = $4::text`, keyOf(r)...); err != nil {
		return err
	}
	if err := v.addValues(ctx, r, w.values); err != nil {
		return err
	}
	return v.update(ctx, r, &w)
}
