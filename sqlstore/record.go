package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

var _ directory.Storage = (*Store)(nil)

// Record implements [directory.Storage].
func (s *Store) Record(ctx context.Context, key directory.RecordKey) (*directory.Record, error) {
	v, err := s.view(ctx, key.Tenant)
	if err != nil {
		return nil, err
	}
	if !storableKey(key) {
		return nil, scim.ErrNotFound
	}
	r := &directory.Record{RecordKey: key}
	var version int64
	err = v.db.QueryRowContext(ctx, v.statement(`SELECT version, data FROM @records WHERE tenant = $1::text AND kind = $2::text AND id = $3::text`),
		key.Tenant, string(key.Kind), key.ID).Scan(&version, &r.Data)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, scim.ErrNotFound
	case err != nil:
		return nil, failed(ctx, err)
	}
	r.Version = uint64(version)
	return r, nil
}

func storableKey(key directory.RecordKey) bool {
	return storable(key.Tenant) && storable(string(key.Kind)) && storable(key.ID)
}

// Records implements [directory.Storage].
func (s *Store) Records(ctx context.Context, tenant string, kind directory.Kind, after string, limit int) ([]*directory.Record, error) {
	v, err := s.view(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || !storableKey(directory.RecordKey{Tenant: tenant, Kind: kind, ID: after}) {
		return nil, nil
	}
	var all []*directory.Record
	err = v.each(ctx, `SELECT id, version, data FROM @records WHERE tenant = $1::text AND kind = $2::text AND id > $3::text ORDER BY id LIMIT $4::bigint`, func(rows *sql.Rows) error {
		r := &directory.Record{RecordKey: directory.RecordKey{Tenant: tenant, Kind: kind}}
		var version int64
		err := rows.Scan(&r.ID, &version, &r.Data)
		r.Version = uint64(version)
		all = append(all, r)
		return err
	}, tenant, string(kind), after, int64(limit))
	return all, err
}

// PutRecord implements [directory.Storage].
func (s *Store) PutRecord(ctx context.Context, r *directory.Record) (version uint64, err error) {
	switch {
	case r.Kind == "" || r.ID == "":
		return 0, errors.New("sqlstore: put record: a record without kind or ID")
	case !storableKey(r.RecordKey) || !storable(string(r.Data)):
		return 0, errors.New("sqlstore: put record: key and data of a record must be UTF-8 without the character U+0000")
	}
	err = s.do(ctx, r.Tenant, func(ctx context.Context, x *tx) error {
		v, err := x.view(r.Tenant)
		if err != nil {
			return err
		}
		put, args := `INSERT INTO @records (tenant, kind, id, version, data) VALUES ($1::text, $2::text, $3::text, 1, $4::text) ON CONFLICT DO NOTHING`,
			[]any{r.Tenant, string(r.Kind), r.ID, string(r.Data)}
		if r.Version != 0 {
			put = `UPDATE @records SET version = version + 1, data = $4::text WHERE tenant = $1::text AND kind = $2::text AND id = $3::text AND version = $5::bigint`
			args = append(args, int64(min(r.Version, math.MaxInt64)))
		}
		switch written, err := v.exec(ctx, put, args...); {
		case err != nil:
			return err
		case written > 0:
			version = r.Version + 1
			return nil
		}
		if _, err := s.Record(ctx, r.RecordKey); err != nil {
			return err
		}
		return scim.ErrVersion
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// DeleteRecord implements [directory.Storage].
func (s *Store) DeleteRecord(ctx context.Context, key directory.RecordKey) error {
	return s.do(ctx, key.Tenant, func(ctx context.Context, x *tx) error {
		v, err := x.view(key.Tenant)
		if err != nil || !storableKey(key) {
			return err
		}
		_, err = v.exec(ctx, `DELETE FROM @records WHERE tenant = $1::text AND kind = $2::text AND id = $3::text`, key.Tenant, string(key.Kind), key.ID)
		return err
	})
}

// Claim implements [directory.Storage]. Where the transaction of another tenant has
// just claimed the name, it waits until that is over. Two transactions that each
// claim several names should do so in the same order: PostgreSQL ends one of
// those that wait for each other, and its error wraps [scim.ErrUnavailable].
func (s *Store) Claim(ctx context.Context, name, tenant string) (holder string, err error) {
	if !storable(name) {
		return "", errors.New("sqlstore: claim: a name must be UTF-8 and without the character U+0000")
	}
	err = s.do(ctx, tenant, func(ctx context.Context, x *tx) error {
		v, err := x.view(tenant)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, s.opts.LockTimeout)
		defer cancel()
		for {
			if _, err := v.exec(limited, `INSERT INTO @claims (name, tenant) VALUES ($1::text, $2::text) ON CONFLICT (name) DO NOTHING`, name, tenant); err != nil {
				if ctx.Err() == nil && limited.Err() != nil {
					return errLockTimeout(s.opts.LockTimeout)
				}
				return err
			}
			err := v.db.QueryRowContext(ctx, v.statement(`SELECT tenant FROM @claims WHERE name = $1::text`), name).Scan(&holder)
			if !errors.Is(err, sql.ErrNoRows) { // given up meanwhile
				return failed(ctx, err)
			}
		}
	})
	if err != nil {
		return "", err
	}
	return holder, nil
}

// Unclaim implements [directory.Storage].
func (s *Store) Unclaim(ctx context.Context, name, tenant string) error {
	return s.do(ctx, tenant, func(ctx context.Context, x *tx) error {
		v, err := x.view(tenant)
		if err != nil || !storable(name) {
			return err
		}
		_, err = v.exec(ctx, `DELETE FROM @claims WHERE name = $1::text AND tenant = $2::text`, name, tenant)
		return err
	})
}

// Tenants implements [directory.Storage]. It reads as many keys as it returns: from
// each tenant's first to the next tenant's.
func (s *Store) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	v := view{Store: s, db: s.querier(nil)}
	if x := s.running(ctx); x != nil {
		var err error
		if v, err = x.view(x.tenant); err != nil {
			return nil, err
		}
	}
	if limit <= 0 || !storable(after) {
		return nil, nil
	}
	var all []string
	err := v.each(ctx, `WITH RECURSIVE t (tenant, place) AS (
			SELECT min(r.tenant), 1 FROM @records r WHERE r.tenant > $1::text
			UNION ALL SELECT (SELECT min(r.tenant) FROM @records r WHERE r.tenant > t.tenant), t.place + 1 FROM t WHERE t.tenant IS NOT NULL AND t.place < $2::bigint)
		SELECT t.tenant FROM t WHERE t.tenant IS NOT NULL ORDER BY t.place`, func(rows *sql.Rows) error {
		var tenant string
		err := rows.Scan(&tenant)
		all = append(all, tenant)
		return err
	}, after, int64(limit))
	return all, err
}
