package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	scim "github.com/muster-id/scim"
)

const accountColumns = `a.host_id, a.external_id, a.email, a.active, a.deleted, a.held, a.refused_email, a.approved_email, a.grants, a.more`

// A scannedAccount is a row of accountColumns, all of them null where there is
// none.
type scannedAccount struct {
	host, external, email, held, refused, approved sql.NullString
	active, deleted                                sql.NullBool
	grants, more                                   []byte
}

func (a *scannedAccount) targets() []any {
	return []any{&a.host, &a.external, &a.email, &a.active, &a.deleted, &a.held, &a.refused, &a.approved, &a.grants, &a.more}
}

func (a *scannedAccount) state(user scim.Ref) (*scim.AccountState, error) {
	if !a.host.Valid {
		return nil, nil
	}
	state := &scim.AccountState{
		User: user, HostID: a.host.String, ExternalID: a.external.String, Email: a.email.String,
		Active: a.active.Bool, Deleted: a.deleted.Bool, Held: a.held.String,
		RefusedEmail: a.refused.String, ApprovedEmail: a.approved.String,
	}
	if err := readMore(state, a.more); err != nil || string(a.grants) == "[]" {
		return state, err
	}
	if err := json.Unmarshal(a.grants, &state.Grants); err != nil {
		return nil, fmt.Errorf("sqlstore: grants of an account: %w", err)
	}
	return state, nil
}

// userState reads a user with what is kept beside it, in one statement, and
// keeps it for the transaction.
func (v view) userState(ctx context.Context, user scim.Ref) (state scim.UserState, err error) {
	if k := v.tx.known[user]; k != nil && k.beside {
		state = k.UserState
		state.Groups = slices.Clone(state.Groups)
		return state, nil
	}
	if !storable(user.ID) {
		return state, nil
	}
	if err := v.tx.flushAccounts(ctx); err != nil {
		return state, err
	}
	var row scanned
	var account scannedAccount
	var groups []byte
	err = v.db.QueryRowContext(ctx, v.statement(`SELECT `+columns+`, `+accountColumns+`, (`+groupList+`r.id AND m.member_type = 'User')
		FROM @resources r LEFT JOIN @accounts a ON a.tenant = $1::text AND a.directory = $2::text AND a.user_id = $3::text
		WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = 'User' AND r.id = $3::text`),
		user.Directory.Tenant, user.Directory.Directory, user.ID).
		Scan(append(append(row.targets(), account.targets()...), &groups)...)
	if errors.Is(err, sql.ErrNoRows) {
		return v.departedState(ctx, user)
	}
	if err != nil {
		return state, failed(ctx, err)
	}
	if state.User, err = v.resource(user.Directory, v.kindNamed(userType), &row); err != nil {
		return state, err
	}
	if state.Account, err = account.state(user); err != nil {
		return state, err
	}
	if state.Groups, err = groupRefs(groups); err != nil {
		return state, err
	}
	v.tx.know(user, &known{res: state.User, beside: true, UserState: state})
	state.Groups = slices.Clone(state.Groups)
	return state, nil
}

// departedState reads what is kept of a user that is not there.
func (v view) departedState(ctx context.Context, user scim.Ref) (state scim.UserState, err error) {
	var account scannedAccount
	err = v.db.QueryRowContext(ctx, v.statement(`SELECT `+accountColumns+` FROM @accounts a WHERE a.tenant = $1::text AND a.directory = $2::text AND a.user_id = $3::text`),
		user.Directory.Tenant, user.Directory.Directory, user.ID).Scan(account.targets()...)
	if errors.Is(err, sql.ErrNoRows) {
		return state, nil
	}
	if err == nil {
		state.Account, err = account.state(user)
	}
	return state, failed(ctx, err)
}

// UserStates implements [scim.Tx].
func (x *tx) UserStates(ctx context.Context, key scim.Key, users []string) ([]scim.UserState, error) {
	v, err := x.view(key.Tenant)
	if err != nil {
		return nil, err
	}
	people := make([]scim.UserState, len(users))
	if len(users) == 1 {
		people[0], err = v.userState(ctx, scim.Ref{Directory: key, Type: userType, ID: users[0]})
		return people, err
	}
	if err := x.flushAccounts(ctx); err != nil {
		return nil, err
	}
	k := x.kindNamed(userType)
	of := make(map[string]scim.UserState, len(users))
	for some := range slices.Chunk(users, chunk) {
		if err := v.each(ctx, `SELECT e.value, r.version, r.created, r.modified, r.doc, `+accountColumns+`, (`+groupList+`r.id AND m.member_type = 'User')
			FROM {each $3}
			LEFT JOIN @resources r ON r.tenant = $1::text AND r.directory = $2::text AND r.type = 'User' AND r.id = e.value
			LEFT JOIN @accounts a ON a.tenant = $1::text AND a.directory = $2::text AND a.user_id = e.value`, func(rows *sql.Rows) error {
			var id string
			var version, created, modified sql.NullInt64
			var account scannedAccount
			var doc, groups []byte
			err := rows.Scan(append(append([]any{&id, &version, &created, &modified, &doc}, account.targets()...), &groups)...)
			if err != nil {
				return err
			}
			var state scim.UserState
			if version.Valid {
				if state.User, err = v.resource(key, k, &scanned{version.Int64, created.Int64, modified.Int64, doc}); err != nil {
					return err
				}
				if state.Groups, err = groupRefs(groups); err != nil {
					return err
				}
			}
			state.Account, err = account.state(scim.Ref{Directory: key, Type: userType, ID: id})
			of[id] = state
			return err
		}, key.Tenant, key.Directory, list(some)); err != nil {
			return nil, err
		}
	}
	for i, id := range users {
		people[i] = of[id]
		people[i].Groups = slices.Clone(people[i].Groups)
	}
	return people, nil
}

// PutAccount implements [scim.Tx]. It is written with what else is, or when
// somebody asks for it.
func (x *tx) PutAccount(ctx context.Context, a *scim.AccountState) error {
	if a.User.Type != userType {
		return fmt.Errorf("sqlstore: put account: resources of type %q have none", a.User.Type)
	}
	if err := x.open(a.User.Directory.Tenant); err != nil {
		return err
	}
	x.change++
	x.counted = true
	x.absent = nil
	p := &x.pending
	if p.accounts == nil {
		p.accounts = make(map[scim.Ref]account)
	}
	p.accounts[a.User] = account{a, x.change}
	if k := x.known[a.User]; k != nil {
		k.Account = a
	}
	if len(p.accounts) >= chunk {
		return x.flushAccounts(ctx)
	}
	return nil
}

// An account is a state to be written.
type account struct {
	*scim.AccountState
	change int64
}

// putAccounts leaves change as it is where no index has it: PostgreSQL need not
// touch any then.
const putAccounts = `INSERT INTO @accounts AS a (tenant, directory, user_id, host_id, external_id, email, active, deleted, held, refused_email, approved_email, grants, change,
		gone_external, gone_email, kept_email, more, waiting, email_key, host_key)
	SELECT $1::text, e.value->>0, e.value->>1, e.value->>2, e.value->>3, e.value->>4, (e.value->>5)::boolean, (e.value->>6)::boolean, e.value->>7, e.value->>8, e.value->>9,
		e.value->>10, (e.value->>11)::bigint, e.value->>12, e.value->>13, e.value->>14,
		e.value->>15, (e.value->>16)::boolean, e.value->>17, e.value->>18 FROM {rows $2} WHERE true
	ON CONFLICT (tenant, directory, user_id) DO UPDATE SET host_id = excluded.host_id, external_id = excluded.external_id, email = excluded.email,
		active = excluded.active, deleted = excluded.deleted, held = excluded.held, refused_email = excluded.refused_email, approved_email = excluded.approved_email,
		grants = excluded.grants,
		change = CASE WHEN coalesce(excluded.gone_external, excluded.gone_email, excluded.kept_email) IS NULL THEN a.change ELSE excluded.change END,
		gone_external = excluded.gone_external, gone_email = excluded.gone_email, kept_email = excluded.kept_email,
		more = excluded.more, waiting = excluded.waiting, email_key = excluded.email_key, host_key = excluded.host_key`

func (a *account) addTo(rows *rows) error {
	grants := []byte("[]")
	if len(a.Grants) > 0 {
		var err error
		if grants, err = json.Marshal(a.Grants); err != nil {
			return fmt.Errorf("sqlstore: grants of an account: %w", err)
		}
	}
	more, err := moreOf(a.AccountState)
	if err != nil {
		return err
	}
	email := keyColumn(scim.FoldEmail(a.Email))
	var goneExternal, goneEmail, keptEmail any
	switch {
	case a.Deleted:
		goneExternal, goneEmail = keyColumn(a.ExternalID), email
	case a.RefusedEmail != "":
		keptEmail = email
	}
	rows.add(a.User.Directory.Directory, a.User.ID, a.HostID, a.ExternalID, a.Email, a.Active, a.Deleted, a.Held, a.RefusedEmail, a.ApprovedEmail,
		string(grants), a.change, goneExternal, goneEmail, keptEmail,
		more, a.Waits(), email, keyColumn(a.HostID))
	return nil
}

// Departed implements [scim.Tx].
func (x *tx) Departed(ctx context.Context, key scim.Key, externalID, email string) (*scim.AccountState, error) {
	if externalID != "" {
		return x.account(ctx, key, goneExternal, `NOT EXISTS (`+userOfAccount+`) ORDER BY a.change DESC`, externalID)
	}
	return x.account(ctx, key, goneEmail, `NOT EXISTS (`+userOfAccount+`) ORDER BY a.change DESC`, scim.FoldEmail(email))
}

// Keeper implements [scim.Tx].
func (x *tx) Keeper(ctx context.Context, key scim.Key, email string) (*scim.AccountState, error) {
	return x.account(ctx, key, keptEmail, `EXISTS (`+userOfAccount+`) ORDER BY a.change`, email)
}

// The columns by which accounts are found.
const (
	goneExternal = "gone_external"
	goneEmail    = "gone_email"
	keptEmail    = "kept_email"
)

const userOfAccount = `SELECT 1 FROM @resources r WHERE r.tenant = a.tenant AND r.directory = a.directory AND r.type = 'User' AND r.id = a.user_id`

// account returns the first account that is found by a key.
func (x *tx) account(ctx context.Context, key scim.Key, column, condition, text string) (*scim.AccountState, error) {
	v, err := x.view(key.Tenant)
	if err != nil || text == "" || !storable(text) || x.lacks(key, column, indexKey(text)) {
		return nil, err
	}
	if err := x.flushAccounts(ctx); err != nil {
		return nil, err
	}
	user := scim.Ref{Directory: key, Type: userType}
	var row scannedAccount
	err = v.db.QueryRowContext(ctx, v.statement(`SELECT a.user_id, `+accountColumns+` FROM @accounts a
		WHERE a.tenant = $1::text AND a.directory = $2::text AND a.`+column+` = $3::text AND `+condition+` LIMIT 1`), key.Tenant, key.Directory, indexKey(text)).
		Scan(append([]any{&user.ID}, row.targets()...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, failed(ctx, err)
	}
	return row.state(user)
}

// Bindings implements [scim.Tx].
func (x *tx) Bindings(ctx context.Context, key scim.Key) (map[string]scim.Binding, error) {
	v, err := x.view(key.Tenant)
	if err != nil {
		return nil, err
	}
	var all map[string]scim.Binding
	err = v.each(ctx, `SELECT selector, group_id, external_id FROM @bindings WHERE tenant = $1::text AND directory = $2::text`, func(rows *sql.Rows) error {
		var selector string
		var b scim.Binding
		if err := rows.Scan(&selector, &b.GroupID, &b.ExternalID); err != nil {
			return err
		}
		if all == nil {
			all = make(map[string]scim.Binding)
		}
		all[selector] = b
		return nil
	}, key.Tenant, key.Directory)
	return all, err
}

// Bind implements [scim.Tx]. A selector that is bound to another group is bound
// to this one instead.
func (x *tx) Bind(ctx context.Context, key scim.Key, group scim.Binding, selectors ...string) error {
	v, err := x.view(key.Tenant)
	if err != nil || len(selectors) == 0 {
		return err
	}
	selectors = slices.Compact(slices.Sorted(slices.Values(selectors)))
	_, err = v.exec(ctx, `INSERT INTO @bindings (tenant, directory, selector, group_id, external_id)
		SELECT $1::text, $2::text, e.value, $3::text, $4::text FROM {each $5} WHERE true
		ON CONFLICT (tenant, directory, selector) DO UPDATE SET group_id = excluded.group_id, external_id = excluded.external_id`,
		key.Tenant, key.Directory, group.GroupID, group.ExternalID, list(selectors))
	x.regrouped()
	return err
}
