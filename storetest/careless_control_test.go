package storetest

import (
	"context"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
)

// controlState is what bugs about tallies, people, records and claims remember.
type controlState struct {
	tallies map[string]*scim.Tally // by tenant
	put     []*scim.AccountState   // whatever was put
}

func (c *careless) Tally(ctx context.Context, tenant string) (*scim.Tally, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.control.tallies[tenant]
	switch {
	case c.bug == "tallies are seen before the commit" && last != nil:
		return last, nil
	case c.bug == "tallies of all tenants":
		for _, t := range c.control.tallies {
			return t, nil
		}
	case c.bug == "readers of the tally wait" && ctx.Value(withinKey{}) == nil:
		c.mu.Unlock()
		defer c.mu.Lock()
		_ = c.Storage.Do(ctx, tenant, func(context.Context, scim.Tx) error { return nil })
	}
	t, err := c.Storage.Tally(ctx, tenant)
	if c.bug == "tallies are changed in place" && err == nil && last != nil {
		*last = *t
		return last, nil
	}
	return t, err
}

// withinKey marks the context of a transaction.
type withinKey struct{}

func (x *carelessTx) Tally(ctx context.Context) (*scim.Tally, error) {
	if x.bug == "transactions count what is committed" && x.tally != nil {
		return new(scim.Tally), nil
	}
	return x.Tx.Tally(ctx)
}

func (x *carelessTx) PutTally(ctx context.Context, t *scim.Tally) error {
	own := *t
	switch x.bug {
	case "tallies lose days":
		own.Days = nil
	case "tallies lose directories without accounts":
		own.Directories = nil
		for id, d := range t.Directories {
			if d.Accounts > 0 {
				if own.Directories == nil {
					own.Directories = map[string]scim.DirectoryTally{}
				}
				own.Directories[id] = d
			}
		}
	case "tallies are merged":
		if was, err := x.Tx.Tally(ctx); err == nil && own.Seats == 0 {
			own.Seats = was.Seats
		}
	case "rollback keeps the tally":
		x.redo = append(x.redo, func() {
			_ = x.store.Storage.Do(context.Background(), x.tenant, func(ctx context.Context, tx scim.Tx) error { return tx.PutTally(ctx, &own) })
		})
	}
	x.tally = &own
	x.mu.Lock()
	if x.control.tallies == nil {
		x.control.tallies = map[string]*scim.Tally{}
	}
	if remembered := own; x.bug != "tallies are changed in place" || x.control.tallies[x.tenant] == nil {
		x.control.tallies[x.tenant] = &remembered
	}
	x.mu.Unlock()
	return x.Tx.PutTally(ctx, &own)
}

func (c *careless) People(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	return c.people(ctx, c.Storage, tenant, hostID, email)
}

func (x *carelessTx) People(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	if x.bug == "transactions find people as they were" {
		all, err := x.Tx.People(ctx, tenant, hostID, email)
		return slices.DeleteFunc(all, func(a *scim.AccountState) bool { return slices.Contains(x.own, a.User) }), err
	}
	return x.store.people(ctx, x.Tx, tenant, hostID, email)
}

func (c *careless) people(ctx context.Context, r scim.AccountReader, tenant, hostID, email string) ([]*scim.AccountState, error) {
	all, err := r.People(ctx, tenant, hostID, email)
	if err != nil {
		return nil, err
	}
	remembered := func(is func(*scim.AccountState) bool) []*scim.AccountState {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, a := range c.control.put {
			if is(a) && !slices.ContainsFunc(all, func(o *scim.AccountState) bool { return o.User == a.User }) {
				all = append(all, a)
			}
		}
		return all
	}
	switch c.bug {
	case "people of all tenants":
		return remembered(func(a *scim.AccountState) bool { return a.HostID == hostID && hostID != "" }), nil
	case "people stay found":
		return remembered(func(a *scim.AccountState) bool {
			return a.HostID == hostID && hostID != "" && a.User.Directory.Tenant == tenant
		}), nil
	case "people without anything are one":
		return remembered(func(a *scim.AccountState) bool { return a.HostID == hostID && a.User.Directory.Tenant == tenant }), nil
	case "people without the deleted":
		return slices.DeleteFunc(all, func(a *scim.AccountState) bool { return a.Deleted }), nil
	case "people of one directory":
		return slices.DeleteFunc(all, func(a *scim.AccountState) bool { return a.User.Directory != all[0].User.Directory }), nil
	case "people by email as written":
		return slices.DeleteFunc(all, func(a *scim.AccountState) bool { return a.Email != email && (hostID == "" || a.HostID != hostID) }), nil
	case "people by both":
		return slices.DeleteFunc(all, func(a *scim.AccountState) bool { return hostID != "" && a.HostID != hostID }), nil
	case "people found twice":
		if more, err := r.People(ctx, tenant, hostID, ""); err == nil && email != "" {
			all = append(all, more...)
		}
	case "people out of order":
		slices.Reverse(all)
	case "people up to a bound":
		all = all[:min(len(all), 256)]
	}
	return all, nil
}

func (c *careless) Waiting(ctx context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	return c.paged(ctx, key, after, limit, c.Storage.Waiting)
}

func (c *careless) Accounts(ctx context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	return c.paged(ctx, key, after, limit, c.Storage.Accounts)
}

func (x *carelessTx) Waiting(ctx context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	return x.store.paged(ctx, key, after, limit, x.Tx.Waiting)
}

func (x *carelessTx) Accounts(ctx context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	return x.store.paged(ctx, key, after, limit, x.Tx.Accounts)
}

// paged answers with bugs that Waiting and Accounts can have alike.
func (c *careless) paged(ctx context.Context, key scim.Key, after string, limit int, page func(context.Context, scim.Key, string, int) ([]*scim.AccountState, error)) ([]*scim.AccountState, error) {
	const most = 1 << 20
	all := func(keep func(*scim.AccountState) bool, compare func(a, b *scim.AccountState) int) ([]*scim.AccountState, error) {
		all, err := page(ctx, key, "", most)
		all = slices.DeleteFunc(all, func(a *scim.AccountState) bool { return !keep(a) })
		if compare != nil {
			slices.SortStableFunc(all, compare)
		}
		return all[:min(max(limit, 0), len(all))], err
	}
	later := func(a *scim.AccountState) bool { return a.User.ID > after }
	switch c.bug {
	case "accounts without the deleted":
		return all(func(a *scim.AccountState) bool { return later(a) && !a.Deleted }, nil)
	case "only the held wait":
		return all(func(a *scim.AccountState) bool { return later(a) && a.Held != "" }, nil)
	case "the released are no accounts":
		return all(func(a *scim.AccountState) bool { return later(a) && !a.Unmanaged }, nil)
	case "who waited longest comes first":
		return all(later, func(a, b *scim.AccountState) int { return a.Since.Compare(b.Since) })
	case "accounts without case":
		folded := strings.ToLower(after)
		return all(func(a *scim.AccountState) bool { return strings.ToLower(a.User.ID) > folded }, func(a, b *scim.AccountState) int {
			return strings.Compare(strings.ToLower(a.User.ID), strings.ToLower(b.User.ID))
		})
	case "accounts from after on":
		return all(func(a *scim.AccountState) bool { return a.User.ID >= after }, nil)
	case "accounts without limit":
		limit = most
	case "accounts of all directories":
		found, err := page(ctx, key, after, limit)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, a := range c.control.put {
			if a.User.Directory.Tenant == key.Tenant && len(found) == 0 && later(a) && limit > 0 {
				found = append(found, a)
			}
		}
		return found, err
	}
	return page(ctx, key, after, limit)
}
