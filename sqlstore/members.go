package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/pace"
)

func fold(s string) string { return attr.Fold(s) }

// chunk is how many rows are read or written at a time where there can be very
// many.
const chunk = 1000

// memberColumns are those of a member of the alias m and of the resource that
// it is, r.
const memberColumns = `m.member_id, m.member_type, coalesce(r.display, '')`

const memberJoin = ` LEFT JOIN @resources r ON r.tenant = m.tenant AND r.directory = m.directory AND r.type = m.member_type AND r.id = m.member_id`

func scanMember(rows *sql.Rows) (m scim.Member, err error) {
	err = rows.Scan(&m.Value, &m.Type, &m.Display)
	return m, err
}

// members yields the members of a group, some at a time.
func (v view) members(ctx context.Context, group scim.Ref, yield func(scim.Member, error) bool) {
	var last scim.Member
	for first := true; ; first = false {
		some, err := v.someMembers(ctx, group, last)
		if err == nil && first && len(some) == 0 {
			err = v.isGroup(ctx, group)
		}
		if err != nil {
			yield(scim.Member{}, err)
			return
		}
		for _, m := range some {
			if !yield(m, nil) {
				return
			}
		}
		if len(some) < chunk {
			return
		}
		last = some[len(some)-1]
	}
}

func (v view) someMembers(ctx context.Context, group scim.Ref, after scim.Member) (some []scim.Member, err error) {
	if k := v.kindNamed(group.Type); k == nil || !k.typ.IsGroup() || !storable(group.ID) {
		return nil, scim.ErrNotFound
	}
	if v.tx != nil {
		if err := v.tx.open(group.Directory.Tenant); err != nil {
			return nil, err
		}
	}
	err = v.each(ctx, `SELECT `+memberColumns+` FROM @members m`+memberJoin+`
		WHERE m.tenant = $1::text AND m.directory = $2::text AND m.group_id = $3::text AND (m.member_id, m.member_type) > ($4::text, $5::text)
		ORDER BY m.member_id, m.member_type LIMIT $6::bigint`, func(rows *sql.Rows) error {
		m, err := scanMember(rows)
		some = append(some, m)
		return err
	}, group.Directory.Tenant, group.Directory.Directory, group.ID, after.Value, after.Type, chunk)
	return some, err
}

// isGroup returns scim.ErrNotFound if there is no such group.
func (v view) isGroup(ctx context.Context, group scim.Ref) error {
	if v.tx != nil && v.tx.known[group] != nil {
		return nil
	}
	_, err := v.get(ctx, group)
	return err
}

// groupList finds the groups of a member of the alias r, or of the id that is
// put in its place, with the selectors that each is bound to: one row a
// selector.
const groupList = `SELECT {list g.id, g.external_id, g.display, b.selector} FROM @members m CROSS JOIN @resources g
	LEFT JOIN @bindings b ON b.tenant = m.tenant AND b.directory = m.directory AND b.group_id = m.group_id ` + ofMember

// unboundList is groupList outside of a transaction, where nobody asks what groups
// are bound to; typedList says as what the member is in the group.
const (
	unboundList = `SELECT {list g.id, g.external_id, g.display, NULL} FROM @members m CROSS JOIN @resources g ` + ofMember
	typedList   = `SELECT {list g.id, g.external_id, g.display, m.member_type} FROM @members m CROSS JOIN @resources g ` + ofMember
)

// ofMember ends these lists. SQLite begins with what is on the left of a CROSS JOIN,
// the memberships, and must: the groups are many more.
const ofMember = `WHERE g.tenant = m.tenant AND g.directory = m.directory AND g.type = 'Group' AND g.id = m.group_id
	AND m.tenant = $1::text AND m.directory = $2::text AND m.member_id = `

// userFirst follows groupList where the id may be that of another resource than
// a user: the memberships are then its own only if there is no such user.
const userFirst = ` AND (m.member_type = 'User' OR NOT EXISTS (SELECT 1 FROM @resources u
	WHERE u.tenant = $1::text AND u.directory = $2::text AND u.type = 'User' AND u.id = m.member_id))`

// groupRefs reads what groupList found.
func groupRefs(found []byte) ([]scim.GroupRef, error) {
	if string(found) == "[]" {
		return nil, nil
	}
	var rows [][4]*string
	if err := json.Unmarshal(found, &rows); err != nil {
		return nil, fmt.Errorf("sqlstore: groups of a user: %w", err)
	}
	slices.SortStableFunc(rows, func(a, b [4]*string) int { return strings.Compare(*a[0], *b[0]) })
	var refs []scim.GroupRef
	for _, row := range rows {
		if n := len(refs); n == 0 || refs[n-1].ID != *row[0] {
			refs = append(refs, scim.GroupRef{ID: *row[0], ExternalID: *row[1], DisplayName: *row[2]})
		}
		if row[3] != nil {
			last := &refs[len(refs)-1]
			last.Bound = append(last.Bound, *row[3])
		}
	}
	for i := range refs {
		slices.Sort(refs[i].Bound)
	}
	return refs, nil
}

// shownGroups returns the groups of one user for an answer.
func (v view) shownGroups(ctx context.Context, key scim.Key, id string) ([]scim.GroupRef, error) {
	var found []byte
	err := v.db.QueryRowContext(ctx, v.statement(typedList+`$3::text`), key.Tenant, key.Directory, id).Scan(&found)
	if err != nil || string(found) == "[]" {
		return nil, failed(ctx, err)
	}
	var rows [][4]string
	if err := json.Unmarshal(found, &rows); err != nil {
		return nil, fmt.Errorf("sqlstore: groups of a user: %w", err)
	}
	// An id can be that of another resource too: as userFirst has it.
	user := slices.ContainsFunc(rows, func(row [4]string) bool { return row[3] == userType })
	if !user {
		err := v.db.QueryRowContext(ctx, v.statement(`SELECT count(*) > 0 FROM @resources r
			WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = 'User' AND r.id = $3::text`), key.Tenant, key.Directory, id).Scan(&user)
		if err != nil {
			return nil, failed(ctx, err)
		}
	}
	refs := make([]scim.GroupRef, 0, len(rows))
	for _, row := range rows {
		if !user || row[3] == userType {
			refs = append(refs, scim.GroupRef{ID: row[0], ExternalID: row[1], DisplayName: row[2]})
		}
	}
	slices.SortFunc(refs, func(a, b scim.GroupRef) int { return strings.Compare(a.ID, b.ID) })
	return refs, nil
}

// groupList returns the list of groups for where it is used.
func (v view) groupList() string {
	if v.tx == nil {
		return unboundList
	}
	return groupList
}

func (v view) groupsOf(ctx context.Context, key scim.Key, users []string) (all [][]scim.GroupRef, err error) {
	all = make([][]scim.GroupRef, len(users))
	if len(users) == 1 && storable(users[0]) {
		if v.tx != nil {
			if k := v.tx.known[scim.Ref{Directory: key, Type: userType, ID: users[0]}]; k != nil && k.beside {
				all[0] = slices.Clone(k.Groups)
				return all, nil
			}
		}
		if v.tx == nil {
			all[0], err = v.shownGroups(ctx, key, users[0])
			return all, err
		}
		var found []byte
		err = v.db.QueryRowContext(ctx, v.statement(groupList+`$3::text`+userFirst), key.Tenant, key.Directory, users[0]).Scan(&found)
		if err == nil {
			all[0], err = groupRefs(found)
		}
		return all, failed(ctx, err)
	}
	of := make(map[string][]scim.GroupRef, len(users))
	for some := range slices.Chunk(users, chunk) {
		if err := v.each(ctx, `SELECT e.value, (`+v.groupList()+`e.value`+userFirst+`) FROM {each $3}`, func(rows *sql.Rows) error {
			var id string
			var found []byte
			err := rows.Scan(&id, &found)
			if err == nil {
				of[id], err = groupRefs(found)
			}
			return err
		}, key.Tenant, key.Directory, list(some)); err != nil {
			return nil, err
		}
	}
	for i, id := range users {
		all[i] = slices.Clone(of[id])
	}
	return all, nil
}

// A candidate is a resource that may become a member.
type candidate struct {
	scim.Member
	kind int  // the number of its type
	is   bool // it is a member already
}

// candidates finds the resources of these ids, of all types, in the order of
// types. Whether one is a member is looked up for each: a join might read the
// whole group, as large as it is. In a CROSS JOIN SQLite begins with the ids; in
// another it might read all resources.
func (v view) candidates(ctx context.Context, group scim.Ref, ids []string) (map[string][]candidate, error) {
	var types strings.Builder
	args := []any{group.Directory.Tenant, group.Directory.Directory, group.ID, nil}
	for i, k := range v.kinds {
		if i > 0 {
			types.WriteString(", ")
		}
		args = append(args, k.typ.Name)
		types.WriteString("$" + strconv.Itoa(len(args)) + "::text")
	}
	found := make(map[string][]candidate, len(ids))
	var p pace.Pace
	for some := range slices.Chunk(ids, chunk) {
		args[3] = list(some)
		if err := v.each(ctx, `SELECT r.id, r.type, r.display, coalesce((SELECT true FROM @members m WHERE m.tenant = $1::text AND m.directory = $2::text AND m.group_id = $3::text
			AND m.member_id = r.id AND m.member_type = r.type), false) FROM {each $4}
			CROSS JOIN @resources r WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type IN (`+types.String()+`) AND r.id = e.value`,
			func(rows *sql.Rows) error {
				p.Step()
				var c candidate
				if err := rows.Scan(&c.Value, &c.Type, &c.Display, &c.is); err != nil {
					return err
				}
				c.kind = v.kindNamed(c.Type).number
				found[c.Value] = append(found[c.Value], c)
				return nil
			}, args...); err != nil {
			return nil, err
		}
	}
	for _, several := range found {
		if len(several) > 1 {
			slices.SortFunc(several, func(a, b candidate) int { return a.kind - b.kind })
		}
	}
	return found, nil
}

// ChangeMembers implements [scim.MemberStore]. Statements are about a thousand
// members each, however many the group has.
func (x *tx) ChangeMembers(ctx context.Context, ref scim.Ref, change scim.MemberChange, was scim.Version) (*scim.MemberResult, error) {
	v, err := x.view(ref.Directory.Tenant)
	if err != nil {
		return nil, err
	}
	if k := x.kindNamed(ref.Type); k == nil || !k.typ.IsGroup() {
		return nil, scim.ErrNotFound
	}
	group, err := x.current(ctx, ref, was)
	if err != nil {
		return nil, err
	}
	result := &scim.MemberResult{Group: group}
	if change.Empty() {
		return result, nil
	}
	ids := make([]string, 0, len(change.Add)+len(change.Remove))
	for _, m := range change.Add {
		ids = append(ids, m.Value)
	}
	ids = append(ids, change.Remove...)
	found, err := v.candidates(ctx, ref, ids)
	if err != nil {
		return nil, err
	}
	var p pace.Pace
	type identity struct{ id, typ string }
	stays := make(map[identity]bool, len(change.Add))
	for _, m := range change.Add {
		p.Step()
		several := found[m.Value]
		if len(several) == 0 {
			result.Unknown = append(result.Unknown, m.Value)
			continue
		}
		chosen := several[0]
		for _, c := range several {
			if c.Type == m.Type {
				chosen = c
			}
		}
		who := identity{chosen.Value, chosen.Type}
		if !chosen.is && !stays[who] {
			result.Added = append(result.Added, chosen.Member)
		}
		stays[who] = true
	}
	for _, id := range change.Remove {
		p.Step()
		for _, c := range found[id] {
			if c.is {
				result.Removed = append(result.Removed, c.Member)
				break
			}
		}
	}
	if change.Clear {
		result.Removed = nil
		v.members(ctx, ref, func(m scim.Member, each error) bool {
			p.Step()
			if err = each; err == nil && !stays[identity{m.Value, m.Type}] {
				result.Removed = append(result.Removed, m)
			}
			return err == nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(result.Added) == 0 && len(result.Removed) == 0 {
		return result, nil
	}
	key := []any{ref.Directory.Tenant, ref.Directory.Directory, ref.ID}
	for some := range slices.Chunk(result.Removed, chunk) {
		if _, err := v.exec(ctx, v.dropMembers(), append(key, memberRows(some).json())...); err != nil {
			return nil, err
		}
	}
	for some := range slices.Chunk(result.Added, chunk) {
		statement, args := memberRows(some).write(`INSERT INTO @members (tenant, directory, group_id, member_id, member_type)
			SELECT $1::text, $2::text, $3::text, e.value->>0, e.value->>1 FROM {rows $4}`)
		if _, err := v.exec(ctx, statement, append(key, args...)...); err != nil {
			return nil, err
		}
	}
	x.regrouped()
	result.Group, err = x.touch(ctx, v, group)
	return result, err
}

// dropMembers returns the statement that removes members from a group. How large
// groups are on average says nothing about this one, so that PostgreSQL is left no
// choice between looking up each member and reading the whole group.
func (v view) dropMembers() string {
	if v.Dialect == SQLite {
		return `DELETE FROM @members WHERE tenant = $1::text AND directory = $2::text AND group_id = $3::text
			AND (member_id, member_type) IN (SELECT e.value->>0, e.value->>1 FROM {rows $4})`
	}
	return `DELETE FROM @members WHERE (tenant, directory, group_id, member_id, member_type) IN (
		SELECT m.tenant, m.directory, m.group_id, m.member_id, m.member_type FROM {rows $4} CROSS JOIN LATERAL (
			SELECT m.tenant, m.directory, m.group_id, m.member_id, m.member_type FROM @members m
			WHERE m.tenant = $1::text AND m.directory = $2::text AND m.group_id = $3::text AND m.member_id = e.value->>0 AND m.member_type = e.value->>1 LIMIT 1) m)`
}

func memberRows(members []scim.Member) *rows {
	var rows rows
	for _, m := range members {
		rows.add(m.Value, m.Type)
	}
	return &rows
}
