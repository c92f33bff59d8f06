package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	scim "github.com/muster-id/scim"
)

// more is what few accounts have, in a column that is null for all others.
type more struct {
	Pending   scim.Pending `json:",omitzero"`
	Since     time.Time    `json:",omitzero"`
	Frozen    *scim.Frozen `json:",omitzero"`
	Found     []string     `json:",omitzero"`
	Unmanaged bool         `json:",omitzero"`
}

// moreOf returns the column more of an account.
func moreOf(a *scim.AccountState) (any, error) {
	if a.Pending == 0 && a.Since.IsZero() && a.Frozen == nil && a.Found == nil && !a.Unmanaged {
		return nil, nil
	}
	encoded, err := json.Marshal(&more{a.Pending, a.Since.UTC(), a.Frozen, a.Found, a.Unmanaged})
	if err != nil {
		return nil, fmt.Errorf("sqlstore: an account: %w", err)
	}
	return string(encoded), nil
}

// readMore reads the column more into an account.
func readMore(a *scim.AccountState, column []byte) error {
	if len(column) == 0 {
		return nil
	}
	var m more
	if err := json.Unmarshal(column, &m); err != nil {
		return fmt.Errorf("sqlstore: an account: %w", err)
	}
	a.Pending, a.Since, a.Frozen, a.Found, a.Unmanaged = m.Pending, m.Since, m.Frozen, m.Found, m.Unmanaged
	return nil
}

// accountsSeen is the view of who looks for accounts: of a transaction with those
// that it has not written yet.
func (s *Store) accountsSeen(ctx context.Context, tenant string) (view, error) {
	v, err := s.view(ctx, tenant)
	if err == nil && v.tx != nil {
		err = v.tx.flushAccounts(ctx)
	}
	return v, err
}

func (x *tx) accountsSeen(ctx context.Context, tenant string) (view, error) {
	v, err := x.view(tenant)
	if err == nil {
		err = x.flushAccounts(ctx)
	}
	return v, err
}

// People implements [scim.AccountReader]. What an earlier version of this package
// has written is found once [Store.Reindex] was called.
func (s *Store) People(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	v, err := s.accountsSeen(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.people(ctx, tenant, hostID, email)
}

// People implements [scim.AccountReader].
func (x *tx) People(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	v, err := x.accountsSeen(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return v.people(ctx, tenant, hostID, email)
}

var _ scim.PeopleFinder = (*tx)(nil)

// PeopleOf implements [scim.PeopleFinder].
func (x *tx) PeopleOf(ctx context.Context, tenant string, hostIDs, emails []string) (all []*scim.AccountState, err error) {
	v, err := x.accountsSeen(ctx, tenant)
	if err != nil || !storable(tenant) {
		return nil, err
	}
	for _, by := range []struct {
		raw   string
		texts []string
	}{{peopleByHostID, hostIDs}, {peopleByEmail, emails}} {
		var keys []string
		for _, text := range by.texts {
			if text != "" && storable(text) {
				keys = append(keys, indexKey(text))
			}
		}
		for some := range slices.Chunk(keys, chunk) {
			found, err := v.accountStates(ctx, tenant, by.raw, tenant, list(some))
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// In a CROSS JOIN SQLite begins with the list; in another it might read all
// accounts.
const (
	peopleByHostID = `SELECT a.directory, a.user_id, ` + accountColumns + ` FROM {each $2} CROSS JOIN @accounts a
		WHERE a.tenant = $1::text AND a.host_key = e.value`
	peopleByEmail = `SELECT a.directory, a.user_id, ` + accountColumns + ` FROM {each $2} CROSS JOIN @accounts a
		WHERE a.tenant = $1::text AND a.email_key = e.value`
)

// Waiting implements [scim.AccountReader].
func (s *Store) Waiting(ctx context.Context, directory scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	v, err := s.accountsSeen(ctx, directory.Tenant)
	if err != nil {
		return nil, err
	}
	return v.accountsOf(ctx, waitingAccounts, directory, after, limit)
}

// Waiting implements [scim.AccountReader].
func (x *tx) Waiting(ctx context.Context, directory scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	v, err := x.accountsSeen(ctx, directory.Tenant)
	if err != nil {
		return nil, err
	}
	return v.accountsOf(ctx, waitingAccounts, directory, after, limit)
}

// Accounts implements [scim.AccountReader].
func (s *Store) Accounts(ctx context.Context, directory scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	v, err := s.accountsSeen(ctx, directory.Tenant)
	if err != nil {
		return nil, err
	}
	return v.accountsOf(ctx, allAccounts, directory, after, limit)
}

// Accounts implements [scim.AccountReader].
func (x *tx) Accounts(ctx context.Context, directory scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	v, err := x.accountsSeen(ctx, directory.Tenant)
	if err != nil {
		return nil, err
	}
	return v.accountsOf(ctx, allAccounts, directory, after, limit)
}

// people finds accounts by two indexes, each row once. A text that is empty is
// nobody's.
func (v view) people(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	if !storable(hostID) {
		hostID = ""
	}
	if !storable(email) {
		email = ""
	}
	if hostID == "" && email == "" || !storable(tenant) {
		return nil, nil
	}
	return v.accountStates(ctx, tenant, `SELECT a.directory, a.user_id, `+accountColumns+` FROM @accounts a
			WHERE a.tenant = $1::text AND a.host_key = $2::text
		UNION ALL SELECT a.directory, a.user_id, `+accountColumns+` FROM @accounts a
			WHERE a.tenant = $1::text AND a.email_key = $3::text AND a.host_key IS DISTINCT FROM $2::text
		ORDER BY 1, 2`, tenant, indexKey(hostID), indexKey(email))
}

const (
	allAccounts = `SELECT a.directory, a.user_id, ` + accountColumns + ` FROM @accounts a
		WHERE a.tenant = $1::text AND a.directory = $2::text AND a.user_id > $3::text ORDER BY a.user_id LIMIT $4::bigint`
	waitingAccounts = `SELECT a.directory, a.user_id, ` + accountColumns + ` FROM @accounts a
		WHERE a.tenant = $1::text AND a.directory = $2::text AND a.user_id > $3::text AND a.waiting ORDER BY a.user_id LIMIT $4::bigint`
)

// accountsOf returns a page of a directory's accounts.
func (v view) accountsOf(ctx context.Context, raw string, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	if limit <= 0 || !storable(after) {
		return nil, nil
	}
	return v.accountStates(ctx, key.Tenant, raw, key.Tenant, key.Directory, after, int64(limit))
}

func (v view) accountStates(ctx context.Context, tenant, raw string, args ...any) (all []*scim.AccountState, err error) {
	err = v.each(ctx, raw, func(rows *sql.Rows) error {
		user := scim.Ref{Directory: scim.Key{Tenant: tenant}, Type: userType}
		var row scannedAccount
		if err := rows.Scan(append([]any{&user.Directory.Directory, &user.ID}, row.targets()...)...); err != nil {
			return err
		}
		state, err := row.state(user)
		all = append(all, state)
		return err
	}, args...)
	return all, err
}

// reindexAccounts writes anew what accounts of a directory are found by, some at a
// time.
func (s *Store) reindexAccounts(ctx context.Context, key scim.Key) error {
	const waiting, email, host = 0, 1, 2
	type indexed [3]any
	for last, n := "", reindexed; n == reindexed; {
		err := s.do(ctx, key.Tenant, func(ctx context.Context, x *tx) error {
			v, err := x.accountsSeen(ctx, key.Tenant)
			if err != nil {
				return err
			}
			after := last
			var stale rows
			n = 0
			err = v.each(ctx, `SELECT a.user_id, `+accountColumns+`, a.waiting, a.email_key, a.host_key FROM @accounts a
				WHERE a.tenant = $1::text AND a.directory = $2::text AND a.user_id > $3::text ORDER BY a.user_id LIMIT $4::bigint`, func(rows *sql.Rows) error {
				n++
				var row scannedAccount
				var waits bool
				var emailKey, hostKey sql.NullString
				if err := rows.Scan(append(append([]any{&last}, row.targets()...), &waits, &emailKey, &hostKey)...); err != nil {
					return err
				}
				a, err := row.state(scim.Ref{Directory: key, Type: userType, ID: last})
				if err != nil {
					return err
				}
				was := indexed{waits}
				if emailKey.Valid {
					was[email] = emailKey.String
				}
				if hostKey.Valid {
					was[host] = hostKey.String
				}
				if is := (indexed{a.Waits(), keyColumn(scim.FoldEmail(a.Email)), keyColumn(a.HostID)}); is != was {
					stale.add(last, is[waiting], is[email], is[host])
				}
				return nil
			}, key.Tenant, key.Directory, after, int64(reindexed))
			if err != nil || stale.n == 0 {
				return err
			}
			// The range is for the planner, which could take the whole directory.
			_, err = v.exec(ctx, `UPDATE @accounts AS a SET waiting = (e.value->>1)::boolean, email_key = e.value->>2, host_key = e.value->>3 FROM {rows $5}
				WHERE a.tenant = $1::text AND a.directory = $2::text AND a.user_id > $3::text AND a.user_id <= $4::text AND a.user_id = e.value->>0`,
				key.Tenant, key.Directory, after, last, stale.json())
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
