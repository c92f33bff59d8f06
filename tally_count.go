package scim

import (
	"context"
	"maps"
	"slices"
	"time"
)

// A counter is a tenant's [Tally] as one transaction changes it. Nothing of it is
// copied before it changes, and it is written once, at the end.
type counter struct {
	found *Tally // as the transaction found it
	now   Tally

	changed              bool
	ownRoles, ownEntries bool // the maps are copies already
}

// counter returns what the transaction has counted so far.
func (w *work) counter(ctx context.Context) (*counter, error) {
	if w.counts == nil {
		t, err := w.tx.Tally(ctx)
		if err != nil {
			return nil, err
		}
		w.counts = &counter{found: t, now: *t}
	}
	return w.counts, nil
}

// directory changes what is counted of a directory.
func (c *counter) directory(id string, change func(d *DirectoryTally)) {
	if !c.ownEntries {
		entries := make(map[string]DirectoryTally, len(c.now.Directories)+1)
		maps.Copy(entries, c.now.Directories)
		c.now.Directories, c.ownEntries = entries, true
	}
	d := c.now.Directories[id]
	change(&d)
	c.now.Directories[id] = d
	c.changed = true
}

// person adds a person with those roles, each named once, or takes one away.
// Counts never become negative: where accounts were there before anybody
// counted, [Engine.Recount] is to follow.
func (c *counter) person(catalog *RoleCatalog, roles []string, n int) {
	if len(roles) == 0 {
		return
	}
	if !c.ownRoles {
		own := make(map[string]int, len(c.now.Roles)+len(roles))
		maps.Copy(own, c.now.Roles)
		c.now.Roles, c.ownRoles = own, true
	}
	for _, role := range roles {
		if count := c.now.Roles[role] + n; count > 0 {
			c.now.Roles[role] = count
		} else {
			delete(c.now.Roles, role)
		}
	}
	if catalog.administers(roles) {
		c.now.Administrators = max(0, c.now.Administrators+n)
	}
	if catalog.needsSeat(roles) {
		c.now.Seats = max(0, c.now.Seats+n)
	}
	c.changed = true
}

// administers reports whether one of the roles is an administrator's.
func (c *RoleCatalog) administers(roles []string) bool { return anyOf(roles, c.Administrators) }

// needsSeat reports whether one of the roles is billable.
func (c *RoleCatalog) needsSeat(roles []string) bool { return anyOf(roles, c.Billable) }

func anyOf(roles, of []string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(of, role) })
}

// count keeps the tenant's [Tally] in step with an account that changes; was is
// nil for a new one. It is called before the account is stored.
func (w *work) count(ctx context.Context, was, is *AccountState) error {
	if w.cfg.Directories == nil {
		return nil
	}
	c, err := w.counter(ctx)
	if err != nil {
		return err
	}
	if before, after := presenceOf(was), presenceOf(is); before != after {
		c.directory(is.User.Directory.Directory, func(d *DirectoryTally) { d.add(after, before) })
	}
	if was != nil && was.HostID == is.HostID && was.Email == is.Email && was.counts() == is.counts() &&
		was.Held == is.Held && was.Deleted == is.Deleted && was.Unmanaged == is.Unmanaged && (was.Pending^is.Pending)&PendingCreate == 0 && slices.Equal(was.Grants, is.Grants) {
		return nil
	}
	// Who the person's other accounts are can change too: all four persons that
	// there can be are counted off and on again.
	othersOfWas, err := w.others(ctx, was)
	if err != nil {
		return err
	}
	othersOfIs, err := w.others(ctx, is)
	if err != nil {
		return err
	}
	if len(othersOfWas)+len(othersOfIs) == 0 {
		before, after := rolesOf(was), rolesOf(is)
		if !slices.Equal(before, after) {
			c.person(&w.cfg.Catalog, before, -1)
			c.person(&w.cfg.Catalog, after, +1)
		}
		return nil
	}
	c.person(&w.cfg.Catalog, rolesOf(was, othersOfWas...), -1)
	c.person(&w.cfg.Catalog, rolesOf(nil, othersOfWas...), +1)
	c.person(&w.cfg.Catalog, rolesOf(nil, othersOfIs...), -1)
	c.person(&w.cfg.Catalog, rolesOf(is, othersOfIs...), +1)
	return nil
}

// A presence is how one account counts in its directory.
type presence struct{ accounts, active, held, waiting int }

func presenceOf(a *AccountState) (p presence) {
	if a == nil {
		return p
	}
	if !a.Deleted && !a.Unmanaged {
		p.accounts = 1
		if a.Held != "" {
			p.held = 1
		}
	}
	if a.counts() {
		p.active = 1
	}
	if a.Waits() {
		p.waiting = 1
	}
	return p
}

func (d *DirectoryTally) add(plus, minus presence) {
	d.Accounts = max(0, d.Accounts+plus.accounts-minus.accounts)
	d.Active = max(0, d.Active+plus.active-minus.active)
	d.Held = max(0, d.Held+plus.held-minus.held)
	d.Waiting = max(0, d.Waiting+plus.waiting-minus.waiting)
}

// counts reports whether the account gives access that provisioning answers
// for.
func (a *AccountState) counts() bool { return a != nil && a.Active && !a.Unmanaged }

// putTally writes what the transaction has counted.
func (w *work) putTally(ctx context.Context) error {
	if w.counts == nil || !w.counts.changed {
		return nil
	}
	return w.counts.put(ctx, w.tx, w.Time)
}

func (c *counter) put(ctx context.Context, tx Tx, now time.Time) error {
	c.turnDay(now)
	c.now.Today = c.now.Today.peak(c.now.Roles, c.now.Seats)
	t := c.now
	return tx.PutTally(ctx, &t)
}

// mostDays bounds the days that nobody has filed.
const mostDays = 400

// turnDay begins a new day of usage where one has begun: what was counted when
// the transaction began is what the days in between had, in which nothing
// changed.
func (c *counter) turnDay(now time.Time) {
	today := dayOf(now)
	last := c.now.Today.Day
	switch {
	case last == today:
		return
	case last > today:
		if dayOf(now.AddDate(0, 0, 1)) >= last {
			return // another replica's clock is ahead of this one's
		}
		// The clock was wrong by days: what it filed under days to come is today's.
		c.now.Days = slices.DeleteFunc(slices.Clone(c.now.Days), func(d DayUsage) bool { return d.Day >= today })
		c.now.Today.Day = today
		return
	}
	begin := DayUsage{}.peak(c.found.Roles, c.found.Seats)
	if last != "" {
		days := append(slices.Clone(c.now.Days), c.now.Today)
		// Only the latest of the days in between would be kept.
		day, err := time.Parse(time.DateOnly, last)
		if oldest := now.UTC().AddDate(0, 0, -mostDays-1); err != nil || day.Before(oldest) {
			day = oldest
		}
		for day = day.AddDate(0, 0, 1); dayOf(day) < today; day = day.AddDate(0, 0, 1) {
			between := begin
			between.Day = dayOf(day)
			days = append(days, between)
		}
		c.now.Days = days[max(0, len(days)-mostDays):]
	}
	c.now.Today = begin
	c.now.Today.Day = today
}

func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// peak returns the usage with what is more at this moment.
func (u DayUsage) peak(roles map[string]int, seats int) DayUsage {
	u.Seats = max(u.Seats, seats)
	own := false
	for role, n := range roles {
		if n <= u.Roles[role] {
			continue
		}
		if !own {
			was := u.Roles
			u.Roles, own = make(map[string]int, len(roles)), true
			maps.Copy(u.Roles, was)
		}
		u.Roles[role] = n
	}
	return u
}
