package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// controlState is what bugs about tallies, people, records and claims remember.
type controlState struct {
	tallies map[string]*scim.Tally // by tenant
	put     []*scim.AccountState   // whatever was put
	records []*directory.Record    // whatever was put
	holders map[string]string      // of claims

	reopened bool
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

// withinKey is the key of a transaction in its context.
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

// The bugs of a store that keeps records.

func (c *careless) Record(ctx context.Context, key directory.RecordKey) (*directory.Record, error) {
	switch c.bug {
	case "records of any case":
		key.ID = strings.ToLower(key.ID)
	case "records of all kinds":
		key.Kind = directory.KindTask
	case "transactions read records as they were":
		ctx = context.Background()
	}
	r, err := c.Storage.Record(ctx, key)
	if err == nil {
		return r, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, put := range slices.Backward(c.control.records) {
		switch {
		case c.bug == "records of all tenants" && put.Kind == key.Kind && put.ID == key.ID,
			c.bug == "records are seen before the commit" && put.RecordKey == key && ctx.Value(withinKey{}) == nil:
			return put, nil
		}
	}
	return nil, err
}

func (c *careless) Records(ctx context.Context, tenant string, kind directory.Kind, after string, limit int) ([]*directory.Record, error) {
	const most = 1 << 20
	switch c.bug {
	case "records of all kinds":
		kind = directory.KindTask
	case "records without limit":
		limit = most
	case "records from after on":
		all, err := c.Storage.Records(ctx, tenant, kind, "", most)
		all = slices.DeleteFunc(all, func(r *directory.Record) bool { return r.ID < after })
		return all[:min(max(limit, 0), len(all))], err
	case "records the last first":
		all, err := c.Storage.Records(ctx, tenant, kind, after, limit)
		slices.Reverse(all)
		return all, err
	case "records without case":
		all, err := c.Storage.Records(ctx, tenant, kind, "", most)
		all = slices.DeleteFunc(all, func(r *directory.Record) bool { return strings.ToLower(r.ID) <= strings.ToLower(after) })
		slices.SortFunc(all, func(a, b *directory.Record) int { return strings.Compare(strings.ToLower(a.ID), strings.ToLower(b.ID)) })
		return all[:min(max(limit, 0), len(all))], err
	}
	return c.Storage.Records(ctx, tenant, kind, after, limit)
}

func (c *careless) PutRecord(ctx context.Context, r *directory.Record) (uint64, error) {
	own := *r
	switch c.bug {
	case "records are compacted":
		var b bytes.Buffer
		if json.Compact(&b, own.Data) == nil {
			own.Data = b.Bytes()
		}
	case "records of any case":
		own.ID = strings.ToLower(own.ID)
	case "records of all kinds":
		own.Kind = directory.KindTask
	case "records are overwritten", "new records are overwritten":
		if c.bug == "records are overwritten" || own.Version == 0 {
			if was, err := c.Storage.Record(ctx, own.RecordKey); err == nil {
				own.Version = was.Version
			}
		}
	case "records are made of any version":
		if _, err := c.Storage.Record(ctx, own.RecordKey); err != nil {
			own.Version = 0
		}
	case "versions of records without lock":
		if was, err := c.Storage.Record(context.Background(), own.RecordKey); err != nil || was.Version == own.Version {
			c.meet.another()
			if was, err := c.Storage.Record(ctx, own.RecordKey); err == nil {
				own.Version = was.Version
			}
		}
	case "rollback keeps records":
		if x, within := ctx.Value(withinKey{}).(*carelessTx); within {
			x.redo = append(x.redo, func() { _, _ = c.Storage.PutRecord(context.Background(), &own) })
		}
	}
	version, err := c.Storage.PutRecord(ctx, &own)
	if err == nil {
		kept := own
		kept.Version = version
		c.mu.Lock()
		c.control.records = append(c.control.records, &kept)
		c.mu.Unlock()
	}
	switch {
	case err == nil && c.bug == "records count from zero":
		version--
	case err == nil && c.bug == "records given are counted":
		r.Version = version
	}
	return version, err
}

func (c *careless) DeleteRecord(ctx context.Context, key directory.RecordKey) error {
	switch c.bug {
	case "records of any case":
		key.ID = strings.ToLower(key.ID)
	case "records of all kinds":
		key.Kind = directory.KindTask
	case "records that are gone are an error":
		if _, err := c.Storage.Record(ctx, key); err != nil {
			return err
		}
	}
	return c.Storage.DeleteRecord(ctx, key)
}

func (c *careless) Claim(ctx context.Context, name, tenant string) (string, error) {
	switch c.bug {
	case "claims of each tenant":
		return c.Storage.Claim(ctx, tenant+name, tenant)
	case "claims without case":
		name = strings.ToLower(name)
	case "claims are forgotten":
		if c.control.reopened {
			return tenant, nil
		}
	case "claims without lock":
		c.mu.Lock()
		holder := c.control.holders[name]
		c.mu.Unlock()
		if holder != "" {
			return holder, nil
		}
		c.meet.another()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.control.holders == nil {
			c.control.holders = map[string]string{}
		}
		c.control.holders[name] = tenant
		return tenant, nil
	case "rollback keeps claims":
		if x, within := ctx.Value(withinKey{}).(*carelessTx); within {
			x.redo = append(x.redo, func() { _, _ = c.Storage.Claim(context.Background(), name, tenant) })
		}
	}
	holder, err := c.Storage.Claim(ctx, name, tenant)
	if c.bug == "claims tell no holder" && holder != tenant {
		holder = ""
	}
	if c.bug == "claims once more are refused" && err == nil && holder == tenant {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.control.holders == nil {
			c.control.holders = map[string]string{}
		}
		if c.control.holders[name] == tenant {
			return "", errRefused
		}
		c.control.holders[name] = tenant
	}
	return holder, err
}

func (c *careless) Unclaim(ctx context.Context, name, tenant string) error {
	switch c.bug {
	case "anybody gives up a claim":
		if holder, err := c.Storage.Claim(ctx, name, tenant); err == nil {
			tenant = holder
		}
	case "claims without case":
		name = strings.ToLower(name)
	case "claims stay":
		return nil
	case "rollback gives up claims":
		if x, within := ctx.Value(withinKey{}).(*carelessTx); within {
			x.redo = append(x.redo, func() { _ = c.Storage.Unclaim(context.Background(), name, tenant) })
		}
	}
	return c.Storage.Unclaim(ctx, name, tenant)
}

func (c *careless) Tenants(ctx context.Context, after string, limit int) ([]string, error) {
	const most = 1 << 20
	switch c.bug {
	case "tenants from after on":
		all, err := c.Storage.Tenants(ctx, "", most)
		all = slices.DeleteFunc(all, func(tenant string) bool { return tenant < after })
		return all[:min(max(limit, 0), len(all))], err
	case "tenants without limit":
		limit = most
	case "tenants in no order":
		all, err := c.Storage.Tenants(ctx, after, limit)
		slices.Reverse(all)
		return all, err
	case "tenants without records", "tenants whose records are gone":
		all, err := c.Storage.Tenants(ctx, after, most)
		c.mu.Lock()
		defer c.mu.Unlock()
		for tenant := range c.control.tallies {
			if c.bug == "tenants without records" {
				all = append(all, tenant)
			}
		}
		for _, r := range c.control.records {
			if c.bug == "tenants whose records are gone" {
				all = append(all, r.Tenant)
			}
		}
		all = slices.DeleteFunc(all, func(tenant string) bool { return tenant <= after })
		slices.Sort(all)
		all = slices.Compact(all)
		return all[:min(max(limit, 0), len(all))], err
	}
	return c.Storage.Tenants(ctx, after, limit)
}

func (c *careless) Prune(ctx context.Context, tenant string, p directory.Prune) (int, error) {
	switch c.bug {
	case "pruning without limit":
		p.Limit = 1 << 20
	case "pruning one event more":
		p.Events++
	case "pruning one event less":
		p.Events = max(p.Events, 1) - 1
	case "pruning no lines":
		p.Requests = time.Time{}
	case "pruning lines of that time":
		if !p.Requests.IsZero() {
			p.Requests = p.Requests.Add(time.Nanosecond)
		}
	case "rollback prunes":
		if x, within := ctx.Value(withinKey{}).(*carelessTx); within {
			x.redo = append(x.redo, func() { _, _ = c.Storage.Prune(context.Background(), tenant, p) })
		}
	}
	removed, err := c.Storage.Prune(ctx, tenant, p)
	if c.bug == "pruning tells nothing" {
		removed = 0
	}
	return removed, err
}
