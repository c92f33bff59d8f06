package scim

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/patch"
)

// A plainTx lets the engine write to a store without transactions as if it had
// them: every call takes effect at once, nothing is kept about accounts, and
// members of groups are in their documents. What that gives up is named where
// [NewHandler] refuses it; what it keeps is the protocol and the rules about a
// single request.
type plainTx struct{ e *Engine }

func (p plainTx) Get(ctx context.Context, ref Ref, opts GetOptions) (*Resource, error) {
	return p.e.store.Get(ctx, ref, opts)
}

// List leaves the query to the store, unless it is about the groups of users:
// they are not in a user's document, so the store could not see them.
func (p plainTx) List(ctx context.Context, q *Query) (*Page, error) {
	if p.e.members != nil || !q.NeedsGroups() {
		return p.e.store.List(ctx, q)
	}
	groups := map[string][]GroupRef{}
	if t := p.e.cfg.Types.Type("Group"); t != nil {
		for g, err := range p.all(ctx, &Query{Directory: q.Directory, Type: t}) {
			if err != nil {
				return nil, err
			}
			for _, m := range g.Group().InlineMembers() {
				groups[m.Value] = append(groups[m.Value], groupRef(g))
			}
		}
	}
	m := q.Matcher()
	c := q.Collector()
	for r, err := range p.all(ctx, &Query{Directory: q.Directory, Type: q.Type}) {
		if err != nil {
			return nil, err
		}
		if m.Match(r, &Relations{Groups: groups[r.id]}) {
			c.Add(r)
		}
	}
	return c.Page(), nil
}

// all yields what a query finds on all its pages: by position where the store
// can, so that nothing is missed because something else was deleted meanwhile.
func (p plainTx) all(ctx context.Context, q *Query) iter.Seq2[*Resource, error] {
	return func(yield func(*Resource, error) bool) {
		page := *q
		page.StartIndex, page.Count, page.Positioned = 1, 100, true
		for {
			found, err := p.e.store.List(ctx, &page)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range found.Resources {
				if !yield(r, nil) {
					return
				}
			}
			if page.After = found.Next; page.After != "" {
				continue
			}
			page.Positioned = false // it cannot, or that was all
			page.StartIndex += len(found.Resources)
			if found.Positioned || len(found.Resources) == 0 || page.StartIndex > found.Total {
				return
			}
		}
	}
}

func (p plainTx) Create(ctx context.Context, r *Resource) (*Resource, error) {
	return p.e.store.Create(ctx, r)
}

func (p plainTx) Replace(ctx context.Context, r *Resource, was Version) (*Resource, error) {
	return p.e.store.Replace(ctx, r, was)
}

// Delete removes a resource, and a member from its groups before, so that a
// crash in between leaves nothing that refers to nobody.
func (p plainTx) Delete(ctx context.Context, ref Ref, was Version) error {
	if p.e.members == nil {
		groups, err := p.GroupsOf(ctx, ref.Directory, []string{ref.ID})
		if err != nil {
			return err
		}
		for _, g := range groups[0] {
			if _, err := p.ChangeMembers(ctx, Ref{ref.Directory, "Group", g.ID}, MemberChange{Remove: []string{ref.ID}}, 0); err != nil {
				return err
			}
		}
	}
	return p.e.store.Delete(ctx, ref, was)
}

// Members yields the members in the group's document.
func (p plainTx) Members(ctx context.Context, group Ref) iter.Seq2[Member, error] {
	if p.e.members != nil {
		return p.e.members.Members(ctx, group)
	}
	return func(yield func(Member, error) bool) {
		r, err := p.e.store.Get(ctx, group, GetOptions{})
		if err != nil {
			yield(Member{}, err)
			return
		}
		for _, m := range r.Group().InlineMembers() {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// ChangeMembers rewrites the group's document. Where any version will do, a
// write that lost a race is repeated.
func (p plainTx) ChangeMembers(ctx context.Context, group Ref, change MemberChange, was Version) (*MemberResult, error) {
	if p.e.members != nil {
		return p.e.members.ChangeMembers(ctx, group, change, was)
	}
	for i := 1; ; i++ {
		result, err := p.rewriteMembers(ctx, group, change, was)
		if was != 0 || i == attempts || !errors.Is(err, ErrVersion) {
			return result, err
		}
	}
}

func (p plainTx) rewriteMembers(ctx context.Context, group Ref, change MemberChange, was Version) (*MemberResult, error) {
	r, err := p.e.store.Get(ctx, group, GetOptions{})
	if err != nil {
		return nil, err
	}
	if was != 0 && r.version != was {
		return nil, ErrVersion
	}
	next, result, err := p.withMembers(ctx, r, r.Group().InlineMembers(), change)
	if err != nil {
		return nil, err
	}
	result.Group = r
	if len(result.Added)+len(result.Removed) > 0 {
		result.Group, err = p.e.store.Replace(ctx, next, r.version)
	}
	return result, err
}

// withMembers returns the group with the members that current ones become by
// the change, and what the change came to.
func (p plainTx) withMembers(ctx context.Context, group *Resource, current []Member, change MemberChange) (*Resource, *MemberResult, error) {
	result := &MemberResult{}
	before := make(map[string]Member, len(current))
	for _, m := range current {
		before[m.Value] = m
	}
	var err error
	if change.Add, result.Unknown, err = p.known(ctx, group.key, change.Add, before); err != nil {
		return nil, nil, err
	}
	doc := group.doc.Thaw()
	defer doc.Release()
	doc.Root().Remove(group.typ.members)
	for _, m := range []patch.Membership{
		{Clear: true, Add: current},
		{Clear: change.Clear, Add: change.Add, Remove: change.Remove},
	} {
		if err := m.ApplyTo(doc, group.typ.members); err != nil {
			return nil, nil, err
		}
	}
	next := newResource(group.typ, group.key, doc.Freeze()).WithMeta(group.Meta())
	after := map[string]bool{}
	for _, m := range next.Group().InlineMembers() {
		after[m.Value] = true
		if _, was := before[m.Value]; !was {
			result.Added = append(result.Added, m)
		}
	}
	for _, m := range current {
		if !after[m.Value] {
			result.Removed = append(result.Removed, m)
		}
	}
	return next, result, nil
}

// known keeps the members that are resources of the directory, and says what
// type they are of.
func (p plainTx) known(ctx context.Context, d Key, members []Member, already map[string]Member) (known []Member, unknown []string, err error) {
	for _, m := range members {
		if old, ok := already[m.Value]; ok {
			known = append(known, old)
			continue
		}
		found := ""
		for _, typ := range []string{"User", "Group"} {
			if m.Value == "" || p.e.cfg.Types.Type(typ) == nil {
				continue
			}
			_, err := p.e.store.Get(ctx, Ref{d, typ, m.Value}, GetOptions{WithoutMembers: true})
			if err == nil {
				found = typ
				break
			}
			if !errors.Is(err, ErrNotFound) {
				return nil, nil, err
			}
		}
		if found == "" {
			unknown = append(unknown, m.Value)
			continue
		}
		m.Type = found
		known = append(known, m)
	}
	return known, unknown, nil
}

// GroupsOf looks for the groups that list each user.
func (p plainTx) GroupsOf(ctx context.Context, directory Key, users []string) ([][]GroupRef, error) {
	if p.e.members != nil {
		return p.e.members.GroupsOf(ctx, directory, users)
	}
	all := make([][]GroupRef, len(users))
	t := p.e.cfg.Types.Type("Group")
	if t == nil || t.memberValue == nil {
		return all, nil
	}
	q := &Query{Directory: directory, Type: t}
	if len(users) == 1 {
		q.Filter = filter.Equal(t.memberValue, users[0]) // the store may have an index
	}
	at := make(map[string]int, len(users))
	for i, user := range users {
		at[user] = i
	}
	for g, err := range p.all(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("scim: the groups of a user: %w", err)
		}
		for _, m := range g.Group().InlineMembers() {
			if i, ok := at[m.Value]; ok {
				all[i] = append(all[i], groupRef(g))
			}
		}
	}
	for _, groups := range all {
		slices.SortFunc(groups, func(a, b GroupRef) int { return strings.Compare(a.ID, b.ID) })
	}
	return all, nil
}

// UserStates reads the users and looks for their groups.
func (p plainTx) UserStates(ctx context.Context, directory Key, users []string) ([]UserState, error) {
	groups, err := p.GroupsOf(ctx, directory, users)
	if err != nil {
		return nil, err
	}
	people := make([]UserState, len(users))
	for i, id := range users {
		r, err := p.e.store.Get(ctx, Ref{directory, "User", id}, GetOptions{})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		people[i] = UserState{User: r, Groups: groups[i]}
	}
	return people, nil
}

// What only a Ledger keeps.

func (plainTx) PutAccount(context.Context, *AccountState) error { return nil }

func (plainTx) Departed(context.Context, Key, string, string) (*AccountState, error) {
	return nil, nil
}
func (plainTx) Keeper(context.Context, Key, string) (*AccountState, error) { return nil, nil }
func (plainTx) Bindings(context.Context, Key) (map[string]Binding, error)  { return nil, nil }
func (plainTx) Bind(context.Context, Key, Binding, ...string) error        { return nil }
func (plainTx) Append(context.Context, ...*Event) error                    { return nil }
func (plainTx) Log(context.Context, *LogEntry) error                       { return nil }
func (plainTx) Deliver(context.Context, ...Delivery) ([]Delivery, error)   { return nil, nil }
func (plainTx) Tally(context.Context) (*Tally, error)                      { return new(Tally), nil }
func (plainTx) PutTally(context.Context, *Tally) error                     { return nil }
func (plainTx) People(context.Context, string, string, string) ([]*AccountState, error) {
	return nil, nil
}

func (plainTx) Waiting(context.Context, Key, string, int) ([]*AccountState, error) {
	return nil, nil
}

func (plainTx) Accounts(context.Context, Key, string, int) ([]*AccountState, error) {
	return nil, nil
}
