package memstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/internal/pace"
)

// An account is a [scim.AccountState] at rest, without the user that it is of:
// its texts are one string of its own, so that it does not keep alive the
// documents they came from.
type account struct {
	texts           string
	ends            [accountTexts]uint32
	active, deleted bool
	grants          []scim.Grant // shared, see accounts.intern
	rare            *rareState   // nil for most
}

// A rareState is what few accounts have. It is immutable.
type rareState struct {
	pending   scim.Pending
	unmanaged bool
	since     time.Time
	frozen    *scim.Frozen
	found     []string
}

const accountTexts = 6

// pack puts an account to rest; what it has in common with the one before it is
// shared with that.
func (d *directory) pack(a *scim.AccountState, was *account) *account {
	p := &account{active: a.Active, deleted: a.Deleted, rare: packRare(a)}
	if was != nil && slices.Equal(was.grants, a.Grants) {
		p.grants = was.grants
	} else {
		p.grants = d.accounts.intern(a.Grants)
	}
	texts := [accountTexts]string{a.HostID, a.ExternalID, a.Email, a.Held, a.RefusedEmail, a.ApprovedEmail}
	if was != nil && was.has(&texts) {
		p.texts, p.ends = was.texts, was.ends
		return p
	}
	var b strings.Builder
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	b.Grow(size)
	for i, text := range texts {
		b.WriteString(text)
		p.ends[i] = uint32(b.Len())
	}
	p.texts = b.String()
	return p
}

// packRare returns nil for an account that has nothing of it.
func packRare(a *scim.AccountState) *rareState {
	if a.Pending == 0 && a.Since.IsZero() && a.Frozen == nil && a.Found == nil && !a.Unmanaged {
		return nil
	}
	return &rareState{
		pending: a.Pending, unmanaged: a.Unmanaged, since: a.Since.UTC().Round(0), frozen: a.Frozen, found: a.Found,
	}
}

func (p *account) text(i int) string {
	from := uint32(0)
	if i > 0 {
		from = p.ends[i-1]
	}
	return p.texts[from:p.ends[i]]
}

func (p *account) has(texts *[accountTexts]string) bool {
	for i, text := range texts {
		if p.text(i) != text {
			return false
		}
	}
	return true
}

func (p *account) hostID() string     { return p.text(0) }
func (p *account) externalID() string { return p.text(1) }
func (p *account) email() string      { return p.text(2) }

// state returns the account of the user; nil has none.
func (p *account) state(user scim.Ref) *scim.AccountState {
	if p == nil {
		return nil
	}
	a := &scim.AccountState{
		User: user, HostID: p.hostID(), ExternalID: p.externalID(), Email: p.email(),
		Held: p.text(3), RefusedEmail: p.text(4), ApprovedEmail: p.text(5),
		Active: p.active, Deleted: p.deleted, Grants: p.grants,
	}
	if rare := p.rare; rare != nil {
		a.Pending, a.Unmanaged, a.Since, a.Frozen, a.Found = rare.pending, rare.unmanaged, rare.since, rare.frozen, rare.found
	}
	return a
}

// waits is [scim.AccountState.Waits].
func (p *account) waits() bool {
	return p != nil && (p.text(3) != "" || p.rare != nil && p.rare.pending != 0)
}

// accounts are the accounts of a directory, apart from those in the rows of
// their users. Only transactions read and change them, in place: what would
// have to be undone is noted.
type accounts struct {
	// detached are the accounts of users that are not there, by id.
	detached map[string]*account
	// byExternalID and byEmail are those of them that are deleted users', the
	// latest last.
	byExternalID, byEmail map[string][]departed
	// kept are the accounts that keep an email which their users have given up,
	// by that email.
	kept map[string][]departed
	// waiting are the ids of all, here or not, that wait for something.
	waiting map[string]struct{}

	people *people // nil until somebody asks

	pool map[string][]scim.Grant

	undo     []func()
	undoRows []rowAccount // of what is undone most often
}

// rowAccount is the account that was in a row, and the one that came.
type rowAccount struct {
	*row
	slot    uint32
	was, is *account
}

// departed is a user who has gone, or has given up an email, with the account.
type departed struct {
	id string
	*account
}

// intern returns grants that are shared by the accounts that have the same:
// people in the same groups have the same roles.
func (a *accounts) intern(grants []scim.Grant) []scim.Grant {
	if len(grants) == 0 {
		return nil
	}
	var buffer [256]byte
	key := buffer[:0]
	for _, g := range grants {
		for _, text := range [...]string{g.Role, string(g.Source), g.Group} {
			key = append(append(key, text...), 0)
		}
	}
	if shared, ok := a.pool[string(key)]; ok && slices.Equal(shared, grants) {
		return shared
	}
	const most = 4096 // different lists, then the pool begins anew
	if a.pool == nil || len(a.pool) >= most {
		a.pool = make(map[string][]scim.Grant)
	}
	own := make([]scim.Grant, len(grants))
	for i, g := range grants {
		own[i] = scim.Grant{Role: strings.Clone(g.Role), Source: g.Source, Group: strings.Clone(g.Group)}
	}
	a.pool[string(key)] = own
	return own
}

// set sets a value of a map, to be undone; a value that is not wanted is taken
// out.
func set[V any](a *accounts, m *map[string]V, key string, value V, wanted bool) {
	if *m == nil {
		*m = make(map[string]V)
	}
	was, had := (*m)[key]
	if wanted {
		(*m)[key] = value
	} else {
		delete(*m, key)
	}
	a.undo = append(a.undo, func() {
		if had {
			(*m)[key] = was
		} else {
			delete(*m, key)
		}
	})
}

// keeps reports whether the account has an email that its user has not.
func (p *account) keeps() bool { return p != nil && !p.deleted && p.text(4) != "" }

// setRow gives the user in a row, with that id, another account.
func (a *accounts) setRow(slot uint32, r *row, id string, p *account) {
	was := r.account
	if was.keeps() {
		a.unlist(&a.kept, scim.FoldEmail(was.email()), id)
	}
	if p.keeps() {
		a.list(&a.kept, scim.FoldEmail(p.email()), departed{strings.Clone(id), p})
	}
	a.setWaiting(id, was, p)
	a.people.addRow(slot, was, p)
	r.account = p
	a.undoRows = append(a.undoRows, rowAccount{row: r, slot: slot, was: was, is: p})
}

// setWaiting notes that an account which has become another waits, or does not.
func (a *accounts) setWaiting(id string, was, is *account) {
	if waits := is.waits(); waits != was.waits() {
		set(a, &a.waiting, strings.Clone(id), struct{}{}, waits)
	}
}

// setDetached gives a user that is not there another account; nil takes it
// away.
func (a *accounts) setDetached(id string, p *account) {
	was := a.detached[id]
	if was != nil && was.deleted {
		a.unlist(&a.byExternalID, was.externalID(), id)
		a.unlist(&a.byEmail, scim.FoldEmail(was.email()), id)
	} else if was == nil && p == nil {
		return
	}
	id = strings.Clone(id)
	a.setWaiting(id, was, p)
	a.setDetachedPeople(id, was, p)
	set(a, &a.detached, id, p, p != nil)
	if p != nil && p.deleted {
		a.list(&a.byExternalID, p.externalID(), departed{id, p})
		a.list(&a.byEmail, scim.FoldEmail(p.email()), departed{id, p})
	}
}

func (a *accounts) list(m *map[string][]departed, key string, d departed) {
	if key != "" {
		set(a, m, key, append(slices.Clip((*m)[key]), d), true)
	}
}

func (a *accounts) unlist(m *map[string][]departed, key, id string) {
	if key != "" {
		others := slices.DeleteFunc(slices.Clone((*m)[key]), func(d departed) bool { return d.id == id })
		set(a, m, key, others, len(others) > 0)
	}
}

// detach keeps the account of the user in a row, who is about to be deleted.
func (a *accounts) detach(slot uint32, r *row, id string) {
	if p := r.account; p != nil {
		a.setRow(slot, r, id, nil)
		a.setDetached(id, p)
	}
}

// attach gives the user in a row, who is new, the account that was put for the
// id before.
func (a *accounts) attach(slot uint32, r *row, id string) {
	if p := a.detached[id]; p != nil {
		a.setDetached(id, nil) // first: what is noted by id is then noted anew
		a.setRow(slot, r, id, p)
	}
}

func (a *accounts) revert() {
	for _, undo := range slices.Backward(a.undo) {
		undo()
	}
	for _, undo := range slices.Backward(a.undoRows) {
		undo.account = undo.was
	}
}

func (a *accounts) settle() {
	a.people.tidy(a.undoRows)
	const keep = 64 // a large transaction's list is not kept for small ones
	clear(a.undoRows)
	if a.undoRows = a.undoRows[:0]; cap(a.undoRows) > keep {
		a.undoRows = nil
	}
	a.undo = nil
}

// UserStates implements [scim.Tx].
func (x *tx) UserStates(_ context.Context, key scim.Key, users []string) ([]scim.UserState, error) {
	v, err := x.view(key)
	if err != nil {
		return nil, err
	}
	people := make([]scim.UserState, len(users))
	if v.directory == nil {
		return people, nil
	}
	k := v.store.kindNamed(userType)
	const usual = 4 // groups of a user
	refs := make([]scim.GroupRef, 0, min(usual*len(users), 1024))
	var loop pace.Pace
	for i, id := range users {
		loop.Step()
		p := &people[i]
		user := scim.Ref{Directory: key, Type: userType, ID: id}
		slot, e := v.find(k, id)
		if e == nil {
			p.Account = v.accounts.detached[id].state(user)
			continue
		}
		start := len(refs)
		refs = v.groupRefs(refs, slot, e)
		p.User, p.Account, p.Groups = e.res, v.row(slot).account.state(user), refs[start:len(refs):len(refs)]
	}
	return people, nil
}

// PutAccount implements [scim.Tx]. It copies a.
func (x *tx) PutAccount(_ context.Context, a *scim.AccountState) error {
	if a.User.Type != userType {
		return fmt.Errorf("memstore: put account: resources of type %q have none", a.User.Type)
	}
	v, err := x.change(a.User.Directory)
	if err != nil {
		return err
	}
	if slot, e := v.find(v.store.kindNamed(userType), a.User.ID); e != nil {
		r := v.row(slot)
		v.accounts.setRow(slot, r, a.User.ID, v.pack(a, r.account))
	} else {
		v.accounts.setDetached(a.User.ID, v.pack(a, nil))
	}
	return nil
}

// Departed implements [scim.Tx].
func (x *tx) Departed(_ context.Context, key scim.Key, externalID, email string) (*scim.AccountState, error) {
	v, err := x.view(key)
	if err != nil || v.directory == nil {
		return nil, err
	}
	list := v.accounts.byExternalID[externalID]
	if externalID == "" {
		list = v.accounts.byEmail[scim.FoldEmail(email)]
	}
	if len(list) == 0 {
		return nil, nil
	}
	d := list[len(list)-1]
	return d.state(scim.Ref{Directory: key, Type: userType, ID: d.id}), nil
}

// Keeper implements [scim.Tx].
func (x *tx) Keeper(_ context.Context, key scim.Key, email string) (*scim.AccountState, error) {
	v, err := x.view(key)
	if err != nil || v.directory == nil {
		return nil, err
	}
	list := v.accounts.kept[email]
	if len(list) == 0 {
		return nil, nil
	}
	return list[0].state(scim.Ref{Directory: key, Type: userType, ID: list[0].id}), nil
}

// bindings are which groups the selectors of a role mapping are bound to. They
// are immutable.
type bindings struct {
	selectors map[string]scim.Binding
	groups    map[string][]string // sorted selectors by the group's id
}

func (b *bindings) of(group string) []string {
	if b == nil {
		return nil
	}
	return b.groups[group]
}

// bindings returns the bindings; nil has none.
func (v view) bindings() *bindings {
	if v.within {
		return v.pendingBindings()
	}
	return v.bound.Load()
}

// Bindings implements [scim.Tx].
func (x *tx) Bindings(_ context.Context, key scim.Key) (map[string]scim.Binding, error) {
	v, err := x.view(key)
	if err != nil || v.directory == nil {
		return nil, err
	}
	if b := v.bindings(); b != nil {
		return b.selectors, nil
	}
	return nil, nil
}

// Bind implements [scim.Tx]. A selector that is bound to another group is bound
// to this one instead.
func (x *tx) Bind(_ context.Context, key scim.Key, group scim.Binding, selectors ...string) error {
	v, err := x.change(key)
	if err != nil || len(selectors) == 0 {
		return err
	}
	next := &bindings{selectors: make(map[string]scim.Binding), groups: make(map[string][]string)}
	if b := v.bindings(); b != nil {
		maps.Copy(next.selectors, b.selectors)
	}
	group = scim.Binding{GroupID: strings.Clone(group.GroupID), ExternalID: strings.Clone(group.ExternalID)}
	affected := []string{group.GroupID}
	for _, selector := range selectors {
		if was, ok := next.selectors[selector]; ok {
			affected = append(affected, was.GroupID)
		}
		next.selectors[strings.Clone(selector)] = group
	}
	for selector, g := range next.selectors {
		next.groups[g.GroupID] = append(next.groups[g.GroupID], selector)
	}
	for _, of := range next.groups {
		slices.Sort(of)
	}
	v.nextBound = next
	k := v.store.kindNamed(groupType)
	for _, id := range affected {
		if slot, e := v.find(k, id); e != nil {
			v.rebind(slot, k)
		}
	}
	return nil
}
