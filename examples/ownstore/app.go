package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/muster-id/scim"
)

// An App stands for the application: what it did before it knew SCIM, and
// Provision.
type App struct{ db *sql.DB }

var _ scim.Provisioner = (*App)(nil)

// Provision writes down what a person may do from now on ([scim.Provisioner]):
// what the rules make of what the provider said, which is in the row already.
//
// With a plain store there is no transaction around both. Who loses access is
// told before the row is written and who gains it after, and everybody again
// when the provider repeats a request, so that what a failure left undone is done
// then. Nothing here depends on what was the case before.
func (app *App) Provision(ctx context.Context, a *scim.Account) (hostID string, err error) {
	var teams []string
	for _, group := range a.Groups {
		teams = append(teams, group.ID)
	}
	teamsJSON, err := json.Marshal(teams)
	if err != nil {
		return "", err
	}
	return "", inTx(ctx, app.db, func(tx *sql.Tx) error {
		var id int64
		err := tx.QueryRowContext(ctx, `UPDATE users SET email = ?, is_admin = ?, has_access = ? WHERE (org, directory, scim_id) = (?, ?, ?) RETURNING id`,
			a.Email, slices.Contains(a.RoleNames(), "admin"), a.Active, a.Tenant, a.Directory, a.ID).Scan(&id)
		switch {
		case errors.Is(err, sql.ErrNoRows) && !a.Active:
			return nil // not written yet, or no longer there: without access either way
		case err != nil:
			return fmt.Errorf("user %s: %w", a.ID, err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM team_members WHERE user_id = ?`, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO team_members (team_id, user_id) SELECT id, ? FROM teams
			WHERE org = ? AND directory = ? AND scim_id IN (SELECT value FROM json_each(?))`, id, a.Tenant, a.Directory, string(teamsJSON)); err != nil {
			return err
		}
		if !a.Active { // who has no access is signed out before the provider has its answer
			_, err = tx.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = ?`, id)
		}
		return err
	})
}

// A Person is somebody as the application shows them.
type Person struct {
	Org    string   `json:"org"`
	Login  string   `json:"login"`
	Email  string   `json:"email"`
	Name   string   `json:"name"`
	Admin  bool     `json:"admin"`
	Access bool     `json:"access"`
	Teams  []string `json:"teams"`
}

// People returns everybody whom the application knows, in order of their
// logins, whether an identity provider manages them or not.
func (app *App) People(ctx context.Context) (all []Person, err error) {
	rows, err := app.db.QueryContext(ctx, `SELECT org, login, email, name, is_admin, has_access, (SELECT json_group_array(t.name ORDER BY t.name)
		FROM team_members m JOIN teams t ON t.id = m.team_id WHERE m.user_id = u.id) FROM users u ORDER BY org, login, id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var p Person
		var teams string
		err := rows.Scan(&p.Org, &p.Login, &p.Email, &p.Name, &p.Admin, &p.Access, &teams)
		if err = errors.Join(err, json.Unmarshal([]byte(teams), &p.Teams)); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// ServeHTTP shows the people, as the application's own pages would.
func (app *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	people, err := app.People(r.Context())
	if err != nil {
		http.Error(w, "the people cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(people) // a client that is gone cannot be told
}
