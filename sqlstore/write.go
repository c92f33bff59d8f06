package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	scim "github.com/muster-id/scim"
)

// Create implements [scim.Store].
func (x *tx) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	v, k, err := x.writing(r)
	if err != nil {
		return nil, err
	}
	if r.ID() == "" || !storable(r.ID()) {
		return nil, errors.New("sqlstore: create: a resource without id")
	}
	now := x.now()
	r = r.WithMeta(scim.Meta{Created: now, LastModified: now, Version: 1})
	w := k.row(r)
	if err := v.valuesTaken(ctx, r, w.values); err != nil {
		return nil, err
	}
	args := append(keyOf(r), now.UnixMilli(), w.active, w.userKey, w.externalKey, w.nameKey, w.externalID, w.display, fold(w.display), w.searchDoc, r.JSON())
	var created int64
	if x.Dialect == PostgreSQL && len(w.values) > 0 {
		statement, values := valueRows(w.values).write(insertWithValues)
		err = v.db.QueryRowContext(ctx, v.statement(statement), append(args, values...)...).Scan(&created)
		err = failure(err)
	} else if created, err = v.exec(ctx, insertResource, args...); err == nil && created > 0 {
		err = v.addValues(ctx, r, w.values)
	}
	if err == nil && created == 0 {
		if err = v.taken(ctx, k, r, &w, true); err == nil {
			err = scim.ErrUniqueness
		}
	}
	if err != nil {
		return nil, uniqueness(err)
	}
	x.pending.count(r.Directory().Directory, r.Type().Name, 1)
	return x.know(r.Ref(), &known{res: r}).res, nil
}

// uniqueness returns a violation of an index as what it means; it is what
// remains where the store did not look before.
func uniqueness(err error) error {
	if errors.Is(err, errConflict) {
		return scim.ErrUniqueness
	}
	return err
}

// writing checks what is about to be written.
func (x *tx) writing(r *scim.Resource) (view, *kind, error) {
	k := x.kindOf(r.Type())
	if k == nil {
		return view{}, nil, errForeignType(r.Type())
	}
	x.absent = nil
	v, err := x.view(r.Directory().Tenant)
	return v, k, err
}

// keyOf returns the key of a resource as arguments.
func keyOf(r *scim.Resource) []any {
	return []any{r.Directory().Tenant, r.Directory().Directory, r.Type().Name, r.ID()}
}

const (
	insertResource = `INSERT INTO @resources (tenant, directory, type, id, version, created, modified, active, user_key, external_key, display_key, external_id, display, display_fold, search, doc)
		VALUES ($1::text, $2::text, $3::text, $4::text, 1, $5::bigint, $5::bigint, $6::boolean, $7::text, $8::text, $9::text, $10::text, $11::text, $12::text, $13::text::jsonb, $14::text)
		ON CONFLICT DO NOTHING`
	insertValues = `INSERT INTO @indexed_values (tenant, directory, type, attribute, key, id, sole)`

	// insertWithValues is both, in PostgreSQL.
	insertWithValues = `WITH r AS (` + insertResource + ` RETURNING id), v AS (` + insertValues + `
		SELECT $1::text, $2::text, $3::text, e.value->>0, e.value->>1, r.id, (e.value->>2)::boolean FROM r, {rows $15}) SELECT count(*) FROM r`
)

func valueRows(values []value) *rows {
	var rows rows
	for _, value := range values {
		rows.add(value.attribute, value.key, value.only)
	}
	return &rows
}

func (v view) addValues(ctx context.Context, r *scim.Resource, values []value) error {
	if len(values) == 0 {
		return nil
	}
	statement, args := valueRows(values).write(insertValues + ` SELECT $1::text, $2::text, $3::text, e.value->>0, e.value->>1, $4::text, (e.value->>2)::boolean FROM {rows $5}`)
	_, err := v.exec(ctx, statement, append(keyOf(r), args...)...)
	return err
}

// deleteValues begins a statement that removes values of one resource. SQLite
// would rather have the primary key, which has all resources' values before the
// id.
func (n names) deleteValues() string {
	if n.Dialect == SQLite {
		return `DELETE FROM @indexed_values INDEXED BY @indexed_values_of`
	}
	return `DELETE FROM @indexed_values`
}

// valuesTaken returns a [*scim.UniquenessError] if one of the values that a
// schema declares unique belongs to another resource.
func (v view) valuesTaken(ctx context.Context, r *scim.Resource, values []value) error {
	values = slices.DeleteFunc(slices.Clone(values), func(value value) bool { return !value.only })
	if len(values) == 0 {
		return nil
	}
	found := map[string]bool{}
	err := v.each(ctx, `SELECT i.attribute FROM {rows $5} CROSS JOIN @indexed_values i
		WHERE i.tenant = $1::text AND i.directory = $2::text AND i.type = $3::text AND i.attribute = e.value->>0 AND i.key = e.value->>1 AND i.id <> $4::text`, func(rows *sql.Rows) error {
		var attribute string
		err := rows.Scan(&attribute)
		found[attribute] = true
		return err
	}, append(keyOf(r), valueRows(values).json())...)
	if err != nil {
		return err
	}
	for _, value := range values {
		if found[value.attribute] {
			return &scim.UniquenessError{Attribute: value.attribute}
		}
	}
	return nil
}

// taken returns a [*scim.UniquenessError] if another resource has the userName
// or externalId, or the id of one that is created.
func (v view) taken(ctx context.Context, k *kind, r *scim.Resource, w *row, created bool) error {
	var id, user, external bool
	err := v.each(ctx, `SELECT r.id, r.user_key, r.external_key FROM @resources r
		WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text AND r.user_key = $4::text
		UNION ALL SELECT r.id, r.user_key, r.external_key FROM @resources r
		WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text AND r.external_key = $5::text
		UNION ALL SELECT r.id, r.user_key, r.external_key FROM @resources r
		WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text AND r.id = $6::text`, func(rows *sql.Rows) error {
		var otherID string
		var otherUser, otherExternal sql.NullString
		if err := rows.Scan(&otherID, &otherUser, &otherExternal); err != nil {
			return err
		}
		if otherID == r.ID() {
			id = true
			if !created {
				return nil
			}
		}
		user = user || otherUser.Valid && otherUser.String == w.userKey
		external = external || otherExternal.Valid && otherExternal.String == w.externalKey
		return nil
	}, r.Directory().Tenant, r.Directory().Directory, r.Type().Name, w.userKey, w.externalKey, r.ID())
	switch {
	case err != nil:
		return err
	case id && created:
		return &scim.UniquenessError{Attribute: k.typ.ID.Path()}
	case user:
		return &scim.UniquenessError{Attribute: k.userName.Path()}
	case external:
		return &scim.UniquenessError{Attribute: k.typ.ExternalID.Path()}
	}
	return nil
}

// current returns the resource to change, if it is the version was.
func (x *tx) current(ctx context.Context, ref scim.Ref, was scim.Version) (*scim.Resource, error) {
	r, err := x.Get(ctx, ref, scim.GetOptions{})
	switch {
	case err != nil:
		return nil, err
	case was != 0 && r.Version() != was:
		return nil, scim.ErrVersion
	}
	return r, nil
}

// revised returns the next version of a resource's meta.
func (s *Store) revised(m scim.Meta) scim.Meta {
	m.Version++
	m.LastModified = s.now()
	return m
}

// Replace implements [scim.Store].
func (x *tx) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	v, k, err := x.writing(r)
	if err != nil {
		return nil, err
	}
	old, err := x.current(ctx, r.Ref(), was)
	if err != nil {
		return nil, err
	}
	r = r.WithMeta(x.revised(old.Meta()))
	if err := v.rewrite(ctx, k, old, r); err != nil {
		return nil, uniqueness(err)
	}
	if seen := x.known[r.Ref()]; seen != nil {
		seen.res, seen.User = r, r
	}
	if k.typ.IsGroup() {
		x.regrouped() // what its members are told of it is another
	}
	return r, nil
}

func (v view) rewrite(ctx context.Context, k *kind, old, r *scim.Resource) error {
	w, before := k.row(r), k.row(old)
	changed := w.userKey != before.userKey || w.externalKey != before.externalKey
	if changed {
		if err := v.taken(ctx, k, r, &w, false); err != nil {
			return err
		}
	}
	if !slices.Equal(w.values, before.values) {
		var added, dropped []value
		for _, value := range w.values {
			if !slices.Contains(before.values, value) {
				added = append(added, value)
			}
		}
		for _, value := range before.values {
			if !slices.Contains(w.values, value) {
				dropped = append(dropped, value)
			}
		}
		if err := v.valuesTaken(ctx, r, added); err != nil {
			return err
		}
		if len(dropped) > 0 {
			if _, err := v.exec(ctx, v.deleteValues()+` WHERE tenant = $1::text AND directory = $2::text AND type = $3::text AND id = $4::text
				AND (attribute, key) IN (SELECT e.value->>0, e.value->>1 FROM {rows $5})`, append(keyOf(r), valueRows(dropped).json())...); err != nil {
				return err
			}
		}
		if err := v.addValues(ctx, r, added); err != nil {
			return err
		}
	}
	return v.update(ctx, r, &w)
}

// update writes the row of a resource that is there.
func (v view) update(ctx context.Context, r *scim.Resource, w *row) error {
	m := r.Meta()
	affected, err := v.exec(ctx, `UPDATE @resources SET version = $5::bigint, modified = $6::bigint, active = $7::boolean, user_key = $8::text, external_key = $9::text, display_key = $10::text,
		external_id = $11::text, display = $12::text, display_fold = $13::text, search = $14::text::jsonb, doc = $15::text
		WHERE tenant = $1::text AND directory = $2::text AND type = $3::text AND id = $4::text`,
		append(keyOf(r), int64(m.Version), m.LastModified.UnixMilli(), w.active, w.userKey, w.externalKey, w.nameKey,
			w.externalID, w.display, fold(w.display), w.searchDoc, r.JSON())...)
	if err == nil && affected == 0 {
		return scim.ErrNotFound
	}
	return err
}

// touch gives a resource a new version that says nothing new.
func (x *tx) touch(ctx context.Context, v view, r *scim.Resource) (*scim.Resource, error) {
	r = r.WithMeta(x.revised(r.Meta()))
	m := r.Meta()
	_, err := v.exec(ctx, `UPDATE @resources SET version = $5::bigint, modified = $6::bigint
		WHERE tenant = $1::text AND directory = $2::text AND type = $3::text AND id = $4::text`, append(keyOf(r), int64(m.Version), m.LastModified.UnixMilli())...)
	if err != nil {
		return nil, err
	}
	if seen := x.known[r.Ref()]; seen != nil {
		seen.res, seen.User = r, r
	}
	return r, nil
}

// Delete implements [scim.Store].
func (x *tx) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	v, err := x.view(ref.Directory.Tenant)
	if err != nil {
		return err
	}
	x.absent = nil
	r, err := x.current(ctx, ref, was)
	if err != nil {
		return err
	}
	k := x.kindOf(r.Type())
	key := keyOf(r)
	if seen := x.known[ref]; seen == nil || !seen.beside || len(seen.Groups) > 0 {
		if _, err := v.exec(ctx, `UPDATE @resources SET version = version + 1, modified = $5::bigint
			WHERE tenant = $1::text AND directory = $2::text AND type = 'Group' AND id IN
			(SELECT group_id FROM @members WHERE tenant = $1::text AND directory = $2::text AND member_id = $4::text AND member_type = $3::text)`,
			append(key, x.now().UnixMilli())...); err != nil {
			return err
		}
		if _, err := v.exec(ctx, `DELETE FROM @members WHERE tenant = $1::text AND directory = $2::text AND member_type = $3::text AND member_id = $4::text`, key...); err != nil {
			return err
		}
		x.known = nil // those groups
	}
	if k.typ.IsGroup() {
		if _, err := v.exec(ctx, `DELETE FROM @members WHERE tenant = $1::text AND directory = $2::text AND group_id = $3::text`, key[0], key[1], r.ID()); err != nil {
			return err
		}
		x.regrouped()
	}
	if len(k.indexed) > 0 {
		if _, err := v.exec(ctx, v.deleteValues()+` WHERE tenant = $1::text AND directory = $2::text AND type = $3::text AND id = $4::text`, key...); err != nil {
			return err
		}
	}
	if _, err := v.exec(ctx, `DELETE FROM @resources WHERE tenant = $1::text AND directory = $2::text AND type = $3::text AND id = $4::text`, key...); err != nil {
		return err
	}
	x.pending.count(ref.Directory.Directory, ref.Type, -1)
	delete(x.known, ref)
	return nil
}
