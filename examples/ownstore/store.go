package main

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A Store is the application's users and teams as a [scim.Store]. The column scim
// has what a provider sent, to be answered as it came; what the application has a
// column for counts as it is there. The row of a deleted user stays: others refer to it.
type Store struct {
	db    *sql.DB
	types *scim.Types
}

var (
	read    = `SELECT scim_id, version, created, modified, scim, ifnull(external_id, ''), name, login FROM provisioned WHERE (type, org, directory) = (?1, ?2, ?3)`
	indexed = map[string]string{"id": ` AND scim_id = ?4`, "externalId": ` AND external_id = ?4`, "userName": ` AND login_key = ?4`}
	write   = map[string]string{
		"User": `INSERT INTO users (org, directory, scim_id, version, created, modified, scim, external_id, name, login, login_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, nullif(?8, ''), ?9, ?10, ?11)
			ON CONFLICT (org, directory, scim_id) DO UPDATE SET (version, modified, scim, external_id, name, login, login_key) = (?4, ?6, ?7, nullif(?8, ''), ?9, ?10, ?11)`,
		"Group": `INSERT INTO teams (org, directory, scim_id, version, created, modified, scim, external_id, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, nullif(?8, ''), ?9)
			ON CONFLICT (org, directory, scim_id) DO UPDATE SET (version, modified, scim, external_id, name) = (?4, ?6, ?7, nullif(?8, ''), ?9)`,
	}
	remove = map[string]string{"User": `UPDATE users SET directory = NULL, has_access = FALSE`, "Group": `DELETE FROM teams`}
)

func (s *Store) Get(ctx context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	return s.current(ctx, s.db, ref, 0)
}

func (s *Store) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	a, value, _ := q.Lookup()
	rows, err := s.rows(ctx, s.db, q.Directory, q.Type, a, value)
	return scim.Select(q, slices.Values(rows)), err
}

func (s *Store) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	now := time.Now()
	r = r.WithMeta(scim.Meta{Created: now, LastModified: now, Version: 1})
	return r, inTx(ctx, s.db, func(tx *sql.Tx) error {
		_, err := s.current(ctx, tx, r.Ref(), 0)
		if errors.Is(err, scim.ErrNotFound) {
			return s.put(ctx, tx, r)
		}
		return cmp.Or[error](err, &scim.UniquenessError{Attribute: "id"})
	})
}

func (s *Store) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	err := inTx(ctx, s.db, func(tx *sql.Tx) error {
		old, err := s.current(ctx, tx, r.Ref(), was)
		if err == nil {
			r = r.WithMeta(scim.Meta{Created: old.Meta().Created, LastModified: time.Now(), Version: old.Version() + 1})
			err = s.put(ctx, tx, r)
		}
		return err
	})
	return r, err
}

func (s *Store) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	return inTx(ctx, s.db, func(tx *sql.Tx) error {
		_, err := s.current(ctx, tx, ref, was)
		if err == nil {
			_, err = tx.ExecContext(ctx, remove[ref.Type]+` WHERE (org, directory, scim_id) = (?, ?, ?)`, ref.Directory.Tenant, ref.Directory.Directory, ref.ID)
		}
		return err
	})
}

// current reads one row, which must have the version that is expected; 0 is any.
func (s *Store) current(ctx context.Context, db queryer, ref scim.Ref, was scim.Version) (*scim.Resource, error) {
	typ := s.types.Type(ref.Type)
	if typ == nil {
		return nil, scim.ErrNotFound
	}
	rows, err := s.rows(ctx, db, ref.Directory, typ, typ.ID, ref.ID)
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, scim.ErrNotFound
	case was != 0 && was != rows[0].Version():
		return nil, scim.ErrVersion
	}
	return rows[0], nil
}

// rows finds by an index those with the value of an attribute; it reads all where there is none.
func (s *Store) rows(ctx context.Context, db queryer, key scim.Key, typ *scim.ResourceType, a *attr.Attribute, value string) (all []*scim.Resource, err error) {
	query, args := read, []any{typ.Name, key.Tenant, key.Directory}
	if a != nil && indexed[a.Path()] != "" {
		query, args = query+indexed[a.Path()], append(args, filter.Canonical(a, value))
	}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var id, sent, externalID, name, login string
		var version, created, modified int64
		attributes := map[string]json.RawMessage{}
		err := rows.Scan(&id, &version, &created, &modified, &sent, &externalID, &name, &login)
		if err = errors.Join(err, json.Unmarshal([]byte(sent), &attributes)); err != nil {
			return nil, err
		}
		delete(attributes, "schemas") // which follow from the others
		b := s.types.New(key, typ.Name)
		for path, value := range attributes {
			b.Set(path, value)
		}
		if b.ID(id).Set("externalId", externalID).Set("displayName", name); typ.IsUser() {
			b.Set("userName", login)
		}
		r, err := b.Meta(scim.Meta{Created: time.UnixMilli(created), LastModified: time.UnixMilli(modified), Version: scim.Version(version)}).Resource()
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// put writes a row, unless a value that must be unique is another's.
func (s *Store) put(ctx context.Context, tx *sql.Tx, r *scim.Resource) error {
	key, m, login := r.Directory(), r.Meta(), r.User().UserName()
	for _, a := range r.Type().Unique() {
		if value, ok := r.Text(a.Path()); ok {
			rows, err := s.rows(ctx, tx, key, r.Type(), a, value)
			if err = errors.Join(err, scim.CheckUnique(r, slices.Values(rows))); err != nil {
				return err
			}
		}
	}
	_, err := tx.ExecContext(ctx, write[r.Type().Name], key.Tenant, key.Directory, r.ID(), m.Version, m.Created.UnixMilli(), m.LastModified.UnixMilli(),
		r.JSON(), r.ExternalID(), r.User().DisplayName(), login, attr.Fold(login))
	return err
}
