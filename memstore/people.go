package memstore

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/internal/pace"
)

// people find the accounts of a directory by what the host knows them by. They
// are made when somebody asks first, so that who never asks pays nothing, and
// are kept up to date from then on. Only transactions read and change them.
// Nil knows nobody, and is told nothing.
type people struct {
	// rows leads to the accounts in rows. Its entries are hints, which are
	// added at once and taken out when the transaction has ended.
	rows index

	// byHostID and byEmail are the accounts of users that are not there, deleted
	// or not.
	byHostID, byEmail map[string][]departed
}

// The salts of tags in people.rows.
var (
	hostIDSalt = salt(-1, 0)
	emailSalt  = salt(-1, 1)
)

func hostIDTag(hostID string) tag { return fold32(maphash.String(valueSeed, hostID) + hostIDSalt) }
func emailTag(folded string) tag  { return fold32(maphash.String(valueSeed, folded) + emailSalt) }

// personTags appends the tags under which an account in a row is found; nil has
// none.
func (p *account) personTags(tags []tag) []tag {
	if p == nil {
		return tags
	}
	if id := p.hostID(); id != "" {
		tags = append(tags, hostIDTag(id))
	}
	if email := p.email(); email != "" {
		tags = append(tags, emailTag(scim.FoldEmail(email)))
	}
	return tags
}

// isPerson reports whether the account has that HostID or that folded email.
func (p *account) isPerson(hostID, email string) bool {
	return hostID != "" && p.hostID() == hostID || email != "" && scim.FoldEmail(p.email()) == email
}

// samePerson reports whether two accounts surely have the same tags.
func (p *account) samePerson(other *account) bool {
	if p == nil || other == nil {
		return p == other
	}
	return p.hostID() == other.hostID() && p.email() == other.email()
}

// addRow notes that the account in a row becomes another.
func (p *people) addRow(slot uint32, was, is *account) {
	if p == nil || is.samePerson(was) {
		return
	}
	for _, t := range is.personTags(make([]tag, 0, 2)) {
		p.rows.add(t, slot)
	}
}

// tidy takes out what does not lead to the accounts any more that a transaction
// has put in rows, or those that it has found there.
func (p *people) tidy(changed []rowAccount) {
	if p == nil {
		return
	}
	for _, c := range changed {
		for _, past := range [...]*account{c.was, c.is} {
			if past.samePerson(c.account) {
				continue
			}
			present := c.account.personTags(make([]tag, 0, 2))
			for _, t := range past.personTags(make([]tag, 0, 2)) {
				if !slices.Contains(present, t) {
					p.rows.remove(t, c.slot)
				}
			}
		}
	}
}

// setDetachedPeople notes that the account of a user that is not there becomes
// another.
func (a *accounts) setDetachedPeople(id string, was, is *account) {
	p := a.people
	if p == nil {
		return
	}
	if was != nil {
		a.unlist(&p.byHostID, was.hostID(), id)
		a.unlist(&p.byEmail, scim.FoldEmail(was.email()), id)
	}
	if is != nil {
		a.list(&p.byHostID, is.hostID(), departed{id, is})
		a.list(&p.byEmail, scim.FoldEmail(is.email()), departed{id, is})
	}
}

// indexedPeople returns the people of the directory, which are indexed if they are not yet.
func (d *directory) indexedPeople() *people {
	a := &d.accounts
	if a.people != nil {
		return a.people
	}
	a.people = &people{byHostID: make(map[string][]departed), byEmail: make(map[string][]departed)}
	for slot, r := range d.rowsOf(d.store.kindNamed(userType)) {
		a.people.addRow(slot, nil, r.account)
	}
	list := func(m map[string][]departed, key string, d departed) {
		if key != "" {
			m[key] = append(m[key], d)
		}
	}
	var loop pace.Pace
	for id, p := range a.detached {
		loop.Step()
		list(a.people.byHostID, p.hostID(), departed{id, p})
		list(a.people.byEmail, scim.FoldEmail(p.email()), departed{id, p})
	}
	if len(a.undo)+len(a.undoRows) > 0 {
		// They know of what may not come to pass.
		a.undo = append(a.undo, func() { a.people = nil })
	}
	return a.people
}

// rowsOf yields all rows of a kind, with their slots.
func (d *directory) rowsOf(k *kind) iter.Seq2[uint32, *row] {
	return func(yield func(uint32, *row) bool) {
		if k == nil {
			return
		}
		var loop pace.Pace
		for _, b := range loaded(&d.shelves[k.number].blocks) {
			for i := range b.rows {
				loop.Step()
				if !yield(b.first+uint32(i), &b.rows[i]) {
					return
				}
			}
		}
	}
}

// people returns the accounts with that HostID or that folded email.
func (v view) people(hostID, email string) (found []*scim.AccountState) {
	index := v.indexedPeople()
	add := func(id string, p *account) {
		found = append(found, p.state(scim.Ref{Directory: v.key, Type: userType, ID: id}))
	}
	for slot := range v.peopleRows(hostID, email) {
		r := v.row(slot)
		if e := v.see(r); e != nil && r.account != nil && r.account.isPerson(hostID, email) {
			add(e.res.ID(), r.account)
		}
	}
	if hostID != "" {
		for _, d := range index.byHostID[hostID] {
			add(d.id, d.account)
		}
	}
	if email != "" {
		for _, d := range index.byEmail[email] {
			if !d.isPerson(hostID, "") {
				add(d.id, d.account)
			}
		}
	}
	return found
}

// peopleRows yields the slots of rows that may have such an account, each once.
func (v view) peopleRows(hostID, email string) iter.Seq[uint32] {
	var slots []uint32
	if hostID != "" {
		slots = slices.AppendSeq(slots, v.accounts.people.rows.find(hostIDTag(hostID)))
	}
	if email != "" {
		slots = slices.AppendSeq(slots, v.accounts.people.rows.find(emailTag(email)))
	}
	if slices.Contains(slots, overflow) { // very many share it, and not all are known
		return func(yield func(uint32) bool) {
			for slot := range v.rowsOf(v.store.kindNamed(userType)) {
				if !yield(slot) {
					return
				}
			}
		}
	}
	slices.Sort(slots)
	return slices.Values(slices.Compact(slots))
}

// People implements [scim.AccountReader].
func (x *tx) People(_ context.Context, tenant, hostID, email string) (all []*scim.AccountState, err error) {
	if err := x.open(tenant); err != nil {
		return nil, err
	}
	if hostID == "" && email == "" {
		return nil, nil
	}
	for _, d := range x.store.directoriesOf(x.tenant) {
		all = append(all, view{directory: d, within: true}.people(hostID, email)...)
	}
	slices.SortFunc(all, func(a, b *scim.AccountState) int {
		return cmp.Or(cmp.Compare(a.User.Directory.Directory, b.User.Directory.Directory), cmp.Compare(a.User.ID, b.User.ID))
	})
	return all, nil
}

// directoriesOf returns the directories of a tenant in order of their ids.
func (s *Store) directoriesOf(t *tenant) []*directory {
	s.mu.Lock()
	all := make([]*directory, 0, len(t.directories))
	for _, d := range t.directories {
		all = append(all, d)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *directory) int { return cmp.Compare(a.key.Directory, b.key.Directory) })
	return all
}

// Waiting implements [scim.AccountReader].
func (x *tx) Waiting(_ context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	v, err := x.view(key)
	if err != nil || v.directory == nil {
		return nil, err
	}
	return v.accountsOf(least(keysOf(v.accounts.waiting), after, limit))
}

// Accounts implements [scim.AccountReader]. It looks at all accounts of the
// directory, whatever the limit.
func (x *tx) Accounts(_ context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	v, err := x.view(key)
	if err != nil || v.directory == nil {
		return nil, err
	}
	ids := func(yield func(string) bool) {
		for _, r := range v.rowsOf(v.store.kindNamed(userType)) {
			if r.account == nil {
				continue
			}
			if e := v.see(r); e != nil && !yield(e.res.ID()) {
				return
			}
		}
		for id := range keysOf(v.accounts.detached) {
			if !yield(id) {
				return
			}
		}
	}
	return v.accountsOf(least(ids, after, limit))
}

// keysOf yields the keys of a map, and lets others run meanwhile.
func keysOf[V any](m map[string]V) iter.Seq[string] {
	return func(yield func(string) bool) {
		var loop pace.Pace
		for key := range m {
			if loop.Step(); !yield(key) {
				return
			}
		}
	}
}

// accountsOf returns the accounts of the users with these ids, who have one.
func (v view) accountsOf(ids []string) ([]*scim.AccountState, error) {
	all := make([]*scim.AccountState, len(ids))
	k := v.store.kindNamed(userType)
	for i, id := range ids {
		p := v.accounts.detached[id]
		if slot, e := v.find(k, id); e != nil {
			p = v.row(slot).account
		}
		if p == nil {
			return nil, fmt.Errorf("memstore: the account of %q is neither here nor there", id)
		}
		all[i] = p.state(scim.Ref{Directory: v.key, Type: userType, ID: id})
	}
	return all, nil
}

// least returns the least of the texts that are greater than after, limit at
// most, in order. It holds no more than twice the limit at a time.
func least(texts iter.Seq[string], after string, limit int) []string {
	if limit <= 0 {
		return nil
	}
	var found []string
	full := false // found[limit-1] is then greater than any other that is wanted
	for text := range texts {
		if text <= after || full && text >= found[limit-1] {
			continue
		}
		if found = append(found, text); len(found)-limit >= limit {
			slices.Sort(found)
			found, full = found[:limit], true
		}
	}
	slices.Sort(found)
	return found[:min(limit, len(found))]
}

// People implements [scim.AccountReader]. Outside of a transaction it waits for
// the tenant's turn, as Waiting and Accounts do.
func (s *Store) People(ctx context.Context, tenant, hostID, email string) ([]*scim.AccountState, error) {
	return s.readAccounts(ctx, tenant, func(x *tx) ([]*scim.AccountState, error) {
		return x.People(ctx, tenant, hostID, email)
	})
}

// Waiting implements [scim.AccountReader].
func (s *Store) Waiting(ctx context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	return s.readAccounts(ctx, key.Tenant, func(x *tx) ([]*scim.AccountState, error) {
		return x.Waiting(ctx, key, after, limit)
	})
}

// Accounts implements [scim.AccountReader].
func (s *Store) Accounts(ctx context.Context, key scim.Key, after string, limit int) ([]*scim.AccountState, error) {
	return s.readAccounts(ctx, key.Tenant, func(x *tx) ([]*scim.AccountState, error) {
		return x.Accounts(ctx, key, after, limit)
	})
}

func (s *Store) readAccounts(ctx context.Context, tenant string, read func(*tx) ([]*scim.AccountState, error)) (all []*scim.AccountState, err error) {
	t, x, err := s.known(ctx, tenant)
	switch {
	case t == nil:
		return nil, err
	case x != nil:
		return read(x)
	}
	err = s.transact(ctx, tenant, func(_ context.Context, x *tx) error {
		all, err = read(x)
		return err
	})
	return all, err
}

// Tally implements [scim.Ledger]. It waits for nobody.
func (s *Store) Tally(ctx context.Context, tenant string) (*scim.Tally, error) {
	t, x, err := s.known(ctx, tenant)
	switch {
	case err != nil:
		return nil, err
	case x != nil:
		return x.Tally(ctx)
	case t == nil:
		return new(scim.Tally), nil
	}
	return t.counted(), nil
}

func (t *tenant) counted() *scim.Tally {
	if tally := t.tally.Load(); tally != nil {
		return tally
	}
	return new(scim.Tally)
}

// Tally implements [scim.Tx].
func (x *tx) Tally(context.Context) (*scim.Tally, error) {
	if err := x.open(x.tenant.name); err != nil {
		return nil, err
	}
	if x.tally != nil {
		return x.tally, nil
	}
	return x.tenant.counted(), nil
}

// PutTally implements [scim.Tx].
func (x *tx) PutTally(_ context.Context, t *scim.Tally) error {
	if err := x.open(x.tenant.name); err != nil {
		return err
	}
	x.tally = t
	return nil
}
