package scim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkCounted refuses what needs a [Tally] where none is kept.
func (e *Engine) checkCounted(d *Directory) error {
	if err := e.checkDirectory(d); err != nil {
		return err
	}
	if e.cfg.Directories == nil {
		return errNotCounted
	}
	return nil
}

var errNotCounted = errors.New("scim: nothing is counted without Config.Directories (package directory)")

// Recount builds what is counted of a tenant anew from its accounts: keys are
// all its directories, retired ones too. It is for a store that had accounts
// before [Config.Directories] was set, and a repair; where a tenant has several
// directories and the application returns no HostID, it is due after a change of
// the verified domains too, by which people are told apart then (rule A9). It
// reads every account in one transaction of the tenant, whose other writers
// wait.
func (e *Engine) Recount(ctx context.Context, tenant string, keys []Key) error {
	if e.cfg.Directories == nil {
		return errNotCounted
	}
	for _, key := range keys {
		if key.Tenant != tenant {
			return fmt.Errorf("scim: Recount of tenant %q: directory %q is tenant %q's", tenant, key.Directory, key.Tenant)
		}
	}
	return e.ledger.Do(ctx, tenant, func(ctx context.Context, tx Tx) error {
		t, err := tx.Tally(ctx)
		if err != nil {
			return err
		}
		c := &counter{found: t, now: *t, changed: true, ownRoles: true, ownEntries: true}
		c.now.Administrators, c.now.Seats = 0, 0
		c.now.Roles, c.now.Directories = map[string]int{}, map[string]DirectoryTally{}
		for _, key := range keys {
			d := t.Directories[key.Directory]
			d.Accounts, d.Active, d.Held, d.Waiting = 0, 0, 0, 0
			c.now.Directories[key.Directory] = d
		}
		for _, key := range keys {
			if err := e.recount(ctx, tx, c, key, len(keys) > 1); err != nil {
				return err
			}
		}
		return c.put(ctx, tx, e.cfg.Now())
	})
}

// recount counts the accounts of one directory, and the people whose first
// active account is there.
func (e *Engine) recount(ctx context.Context, tx Tx, c *counter, key Key, several bool) error {
	d := &Directory{Tenant: key.Tenant, ID: key.Directory}
	if several {
		switch now, err := e.cfg.Directories.Current(ctx, c.found, key); {
		case err == nil:
			d = now
		case !errors.Is(err, ErrNotFound): // of a directory that is gone, accounts are known by their HostID alone
			return err
		}
	}
	w := e.system(&Directory{Tenant: d.Tenant, ID: d.ID, Domains: d.Domains, Shared: several}, "recount").begin(e, tx)
	for after := ""; ; {
		page, err := tx.Accounts(ctx, key, after, batch)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].User.ID
		clear(w.people)
		for _, a := range page {
			c.directory(key.Directory, func(d *DirectoryTally) { d.add(presenceOf(a), presence{}) })
			if !a.counts() {
				continue
			}
			others, err := w.others(ctx, a)
			if err != nil {
				return err
			}
			earlier := func(p *AccountState) bool { return p.counts() && compareRefs(p.User, a.User) < 0 }
			if !slices.ContainsFunc(others, earlier) {
				c.person(&e.cfg.Catalog, rolesOf(a, others...), +1)
			}
		}
	}
}

func compareRefs(a, b Ref) int {
	if c := strings.Compare(a.Directory.Directory, b.Directory.Directory); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}
