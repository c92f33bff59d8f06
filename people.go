package scim

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// A person may have accounts in several directories of a tenant (rule A9), and
// the host has one for all of them. Accounts are the same person's if they have
// the same HostID or, where one of them has none yet, the same email of a domain
// that is verified for the tenant. Two accounts of the host stay two, whatever
// their emails: only the host could make one of them.

// several reports whether a person may have an account in another directory.
func (w *work) several(ctx context.Context) (bool, error) {
	switch {
	case w.cfg.Directories == nil:
		return false, nil
	case w.dir.Shared:
		return true, nil
	}
	c, err := w.counter(ctx)
	if err != nil {
		return false, err
	}
	// A directory that is being retired is shared no longer, and yet not empty.
	for id, d := range c.now.Directories {
		if id != w.Directory.Directory && d.Accounts+d.Active > 0 {
			return true, nil
		}
	}
	return false, nil
}

// A personKey is what the accounts of a person are looked for by.
type personKey struct {
	user          Ref
	hostID, email string
}

// others returns the other accounts of the same person that provisioning
// answers for, in order of directory and user. They must not be changed.
func (w *work) others(ctx context.Context, a *AccountState) ([]*AccountState, error) {
	if a == nil {
		return nil, nil
	}
	if several, err := w.several(ctx); err != nil || !several {
		return nil, err
	}
	key := w.personKey(a)
	if known, ok := w.people[key]; ok {
		return known, nil
	}
	if key.hostID == "" && key.email == "" {
		return nil, nil
	}
	found, err := w.tx.People(ctx, w.Directory.Tenant, key.hostID, key.email)
	if err != nil {
		return nil, err
	}
	return w.meet(a, key, found), nil
}

// meet keeps which of the accounts that were found are the person's others.
func (w *work) meet(a *AccountState, key personKey, found []*AccountState) (others []*AccountState) {
	for _, p := range found {
		if p.User != a.User && samePerson(a, p) && (p.Active || !p.Deleted) && !p.Unmanaged {
			others = append(others, p)
		}
	}
	if w.people == nil {
		w.people = map[personKey][]*AccountState{}
	}
	w.people[key] = others
	return others
}

// A PeopleFinder is a [Tx] that finds the accounts of many people at once, as one
// that asks a database had better. Any other one is asked about each of them.
type PeopleFinder interface {
	Tx

	// PeopleOf returns the accounts of a tenant, in all its directories, that have
	// one of these HostIDs or one of these folded emails ([FoldEmail]): those of
	// deleted users too, in any order, and more than once where they have both. An
	// empty text finds nothing.
	PeopleOf(ctx context.Context, tenant string, hostIDs, emails []string) ([]*AccountState, error)
}

// meetAll finds the other accounts of many people in one go, where the store can.
func (w *work) meetAll(ctx context.Context, subjects []subject) error {
	x, ok := w.tx.(PeopleFinder)
	if !ok || len(subjects) < 2 {
		return nil
	}
	if several, err := w.several(ctx); err != nil || !several {
		return err
	}
	wanted := map[personKey]*AccountState{}
	byHostID, byEmail := map[string][]*AccountState{}, map[string][]*AccountState{}
	for i := range subjects {
		for _, a := range [...]*AccountState{subjects[i].Account, subjects[i].next} {
			if a == nil {
				continue
			}
			key := w.personKey(a)
			wanted[key], byHostID[key.hostID], byEmail[key.email] = a, nil, nil
		}
	}
	found, err := x.PeopleOf(ctx, w.Directory.Tenant, slices.Collect(maps.Keys(byHostID)), slices.Collect(maps.Keys(byEmail)))
	if err != nil {
		return err
	}
	for _, p := range found {
		byHostID[p.HostID] = append(byHostID[p.HostID], p)
		folded := FoldEmail(p.Email)
		byEmail[folded] = append(byEmail[folded], p)
	}
	for key, a := range wanted {
		var theirs []*AccountState
		if key.hostID != "" {
			theirs = append(theirs, byHostID[key.hostID]...)
		}
		if key.email != "" {
			theirs = append(theirs, byEmail[key.email]...)
		}
		slices.SortFunc(theirs, func(a, b *AccountState) int {
			return cmp.Or(cmp.Compare(a.User.Directory.Directory, b.User.Directory.Directory), cmp.Compare(a.User.ID, b.User.ID))
		})
		theirs = slices.CompactFunc(theirs, func(a, b *AccountState) bool { return a.User == b.User })
		w.meet(a, key, theirs)
	}
	return nil
}

// personKey returns what the accounts of a's person are looked for by.
func (w *work) personKey(a *AccountState) personKey {
	key := personKey{user: a.User, hostID: a.HostID}
	if registered(w.dir, a.Email) && a.provesEmail() {
		key.email = FoldEmail(a.Email)
	}
	return key
}

// samePerson reports whether two accounts with the same HostID or the same
// verified email are one person's.
func samePerson(a, b *AccountState) bool {
	return a.HostID == b.HostID && a.HostID != "" || (a.HostID == "" || b.HostID == "") && a.provesEmail() && b.provesEmail()
}

// provesEmail reports whether the account's email says who the person is: it does
// not while another account of the directory has it too.
func (a *AccountState) provesEmail() bool { return a.Held != HeldForEmail }

// rolesOf returns the names of the roles that a person has by all of these
// accounts, own may be nil: in order, each once, none without access. What was
// given by hand was given to the person: it holds as long as any account is
// active.
func rolesOf(own *AccountState, others ...*AccountState) []string {
	if !own.counts() && !slices.ContainsFunc(others, (*AccountState).counts) {
		return nil
	}
	var roles []string
	add := func(a *AccountState) {
		for _, g := range a.Grants {
			if contributes(a, g) && (len(roles) == 0 || roles[len(roles)-1] != g.Role) { // grants are sorted by role
				roles = append(roles, g.Role)
			}
		}
	}
	if own != nil {
		add(own)
	}
	if len(others) > 0 {
		for _, a := range others {
			add(a)
		}
		slices.Sort(roles)
		roles = slices.Compact(roles)
	}
	return roles
}

// contributes reports whether the person has that grant of an account while one
// of the accounts is active. One that the host was never told of gives nothing.
func contributes(a *AccountState, g Grant) bool {
	return a.counts() || g.Source == Manual && a.Held == "" && !a.Deleted && !a.Unmanaged && a.Pending&PendingCreate == 0
}

// arrive gives a person whom another directory of the tenant has brought already
// the host account that the person has, and reports whether there is one. One
// that waits for a review is not taken over: the review would be evaded.
func (w *work) arrive(ctx context.Context, next *AccountState) (bool, error) {
	if next.HostID != "" || next.Held == HeldForEmail {
		return false, nil
	}
	others, err := w.others(ctx, next)
	if err != nil {
		return false, err
	}
	for _, p := range others {
		if p.HostID != "" && (p.Held == "" || p.Held == HeldForDomain || p.Held == HeldForSeat) {
			next.HostID = p.HostID
			return true, nil
		}
	}
	return false, nil
}

// unite makes of what one directory says about a person what all of them say
// (rule A9): active while one account is, with the roles and groups of all that
// are, and with profile and email of one that is, this directory's first.
func (w *work) unite(ctx context.Context, a *Account, own *AccountState) error {
	others, err := w.others(ctx, own)
	if err != nil || len(others) == 0 {
		return err
	}
	active := slices.DeleteFunc(slices.Clone(others), func(p *AccountState) bool { return !p.counts() })
	if !own.counts() && len(active) == 0 {
		return nil
	}
	if !own.counts() {
		a.Roles, a.Groups = nil, nil
		if a.Change == Deactivated || a.Change == Deleted {
			a.Change = Updated // of one directory, not of the tenant
		}
	} else if a.Change == Reactivated && len(active) > 0 {
		a.Change = Updated
	}
	for _, p := range active {
		theirs, err := w.person(ctx, p.User.Directory, p.User.ID)
		if err != nil {
			return err
		}
		x := w.departed(p, nil) // deleted, which the host was not told (rule B10)
		if theirs.User != nil {
			x = w.describe(theirs.User, p, theirs.Groups, a.Change)
		}
		if !own.counts() && !a.Active {
			a.Profile, a.Email, a.EmailVerified = x.Profile, x.Email, x.EmailVerified
			a.Active = true
		}
		a.Groups = append(a.Groups, x.Groups...)
	}
	a.Active, a.Held = true, ""
	roles := a.Roles[:0]
	for _, p := range append([]*AccountState{own}, others...) {
		for _, g := range p.Grants {
			if contributes(p, g) {
				roles = append(roles, g)
			}
		}
	}
	a.Roles = canonicalGrants(roles)
	slices.SortFunc(a.Groups, func(g, h GroupRef) int { return strings.Compare(g.ID, h.ID) })
	return nil
}

// reunite tells the host again about an account of which only the host knew
// that it is another directory's too: it has just said so by its id.
func (w *work) reunite(ctx context.Context, s *subject, told *Account) error {
	if w.cfg.Directories == nil || told.HostID == "" || told.HostID == s.next.HostID {
		return nil
	}
	s.next.HostID = told.HostID
	others, err := w.others(ctx, s.next)
	if err != nil || len(others) == 0 {
		return err
	}
	again := w.describe(s.User, s.next, s.Groups, cmp.Or(map[Change]Change{Created: Linked}[s.change], s.change))
	if err := w.unite(ctx, again, s.next); err != nil {
		return err
	}
	w.told = slices.DeleteFunc(w.told, func(a *Account) bool { return a.ID == again.ID && a.Directory == again.Directory })
	return w.inform(ctx, []*Account{again})
}
