package scim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/patch"
)

// createGroup stores a group with its first members.
func (w *work) createGroup(ctx context.Context, r *Resource, members []Member) (*Resource, error) {
	if err := w.uniqueName(ctx, r); err != nil {
		return nil, err
	}
	if err := w.checkMembers(ctx, members); err != nil {
		return nil, err
	}
	var result *MemberResult
	var err error
	if w.members == nil {
		if r, result, err = (plainTx{w.Engine}).withMembers(ctx, r, nil, MemberChange{Add: members}); err != nil {
			return nil, err
		}
	}
	created, err := w.tx.Create(ctx, r)
	if err != nil {
		return nil, err
	}
	w.event(&Event{Type: GroupCreated, Data: created})
	if err := w.bindGroup(ctx, created, nil); err != nil {
		return nil, err
	}
	switch {
	case result != nil:
		result.Group = created
	case len(members) == 0:
		return created, nil
	default:
		if result, err = w.tx.ChangeMembers(ctx, created.Ref(), MemberChange{Add: members}, 0); err != nil {
			return nil, err
		}
	}
	affected, err := w.membersChanged(result)
	if err != nil {
		return nil, err
	}
	w.regroup.group = groupRef(created)
	return result.Group, w.tellUsers(ctx, affected)
}

// bindGroup lets a group that was created or has become another claim its part
// of the role mapping.
func (w *work) bindGroup(ctx context.Context, now, before *Resource) error {
	if w.binder == nil || w.ledger == nil {
		return nil
	}
	ref := groupRef(now)
	if before == nil || before.ExternalID() != ref.ExternalID {
		if err := w.inherit(ctx, &ref); err != nil {
			return err
		}
	}
	return w.bind(ctx, &ref)
}

func groupRef(r *Resource) GroupRef {
	return GroupRef{ID: r.id, ExternalID: r.ExternalID(), DisplayName: r.Group().DisplayName()}
}

// uniqueName refuses a group with the name of another one (rule C11).
func (w *work) uniqueName(ctx context.Context, r *Resource) error {
	if w.dir.Policy.DuplicateGroupNames || r.typ.displayName == nil {
		return nil
	}
	name := r.Group().DisplayName()
	page, err := w.tx.List(ctx, &Query{
		Directory: w.Directory, Type: r.typ, Filter: filter.Equal(r.typ.displayName, name),
		StartIndex: 1, Count: 2, WithoutMembers: true,
	})
	if err != nil {
		return err
	}
	for _, other := range page.Resources {
		if other.id != r.id {
			return &UniquenessError{Attribute: "displayName"}
		}
	}
	return nil
}

// memberChange asks a PATCH what it does to the members.
func (w *work) memberChange(ctx context.Context, group *Resource, p *patch.Patch) (MemberChange, error) {
	m := p.Members()
	if m == nil {
		return MemberChange{}, nil
	}
	m, err := m.Resolve(func(e filter.Expr) ([]string, error) { return w.selectMembers(ctx, group, e) })
	if err != nil {
		return MemberChange{}, err
	}
	return MemberChange{Clear: m.Clear, Add: m.Add, Remove: m.Remove}, nil
}

// selectMembers returns the ids of current members that a value filter
// selects, for a PATCH that removes by something else than the id.
func (w *work) selectMembers(ctx context.Context, group *Resource, e filter.Expr) ([]string, error) {
	var ids []string
	t := group.typ
	for m, err := range w.tx.Members(ctx, group.Ref()) {
		if err != nil {
			return nil, err
		}
		doc := attr.NewDoc(t.Type)
		if filter.Match(e, m.Node(doc, t.members).Value()) {
			ids = append(ids, m.Value)
		}
		doc.Release()
	}
	return ids, nil
}

// membersChanged notes what a change of members came to, and returns whom it
// affects.
func (w *work) membersChanged(res *MemberResult) (affected []string, err error) {
	if len(res.Unknown) > 0 {
		if w.dir.Policy.UnknownMembers == RejectUnknownMembers {
			return nil, refuseMember(res.Unknown[0])
		}
		const most = 100
		w.Unknown = nil
		for _, id := range res.Unknown[:min(len(res.Unknown), most)] {
			w.Unknown = append(w.Unknown, strings.Clone(loggable(id))) // others stand beside it
		}
	}
	affected = make([]string, 0, len(res.Added)+len(res.Removed))
	w.events = slices.Grow(w.events, 2*cap(affected)) // a membership and perhaps a role each
	w.regroup.added = res.Added
	for i, list := range [][]Member{res.Added, res.Removed} {
		kind := MembershipAdded
		if i == 1 {
			kind = MembershipRemoved
		}
		for _, m := range list {
			w.event(&Event{Type: kind, Data: res.Group, Member: m})
			if m.Type != "Group" {
				affected = append(affected, m.Value)
			}
		}
	}
	return affected, nil
}

// checkMembers refuses unknown members before anything is written, where no
// transaction would take it back (rule C10).
func (w *work) checkMembers(ctx context.Context, members []Member) error {
	if w.ledger != nil || w.dir.Policy.UnknownMembers != RejectUnknownMembers {
		return nil
	}
	_, unknown, err := plainTx{w.Engine}.known(ctx, w.Directory, members, nil)
	if err == nil && len(unknown) > 0 {
		return refuseMember(unknown[0])
	}
	return err
}

func refuseMember(id string) error {
	return refuse(http.StatusBadRequest, InvalidValue, "members.value: the directory has no resource ", attr.Quote(id),
		"; provision the member first, RFC 7643 section 4.2")
}

// updateGroup stores what a PUT or PATCH made of a group and its members, and
// tells whom it affects: who came, who left, and everybody where the group
// itself has become another (a rename can change what a mapping finds, and
// hosts mirror names).
func (w *work) updateGroup(ctx context.Context, before, next *Resource, change MemberChange) (*Resource, error) {
	renamed := next != before && !w.sameGroup(before, next)
	if renamed && !sameText(before, next, before.typ.displayName) {
		if err := w.uniqueName(ctx, next); err != nil {
			return nil, err
		}
	}
	if err := w.checkMembers(ctx, change.Add); err != nil {
		return nil, err
	}
	if err := w.tellLeavers(ctx, before, change); err != nil {
		return nil, err
	}
	after, affected, err := w.writeGroup(ctx, before, next, change, renamed)
	if err != nil {
		return nil, err
	}
	if renamed {
		w.event(&Event{Type: GroupUpdated, Data: after, Previous: before})
		if err := w.bindGroup(ctx, after, before); err != nil {
			return nil, err
		}
	}
	if renamed || after == before && w.ledger == nil { // a retry heals what was left untold
		if affected, err = w.everybody(ctx, after, affected); err != nil {
			return nil, err
		}
	}
	w.regroup.group = groupRef(before)
	return after, w.tellUsers(ctx, affected)
}

// writeGroup writes the group and its members: at once where they are one
// document.
func (w *work) writeGroup(ctx context.Context, before, next *Resource, change MemberChange, renamed bool) (after *Resource, affected []string, err error) {
	after = before
	if w.members == nil {
		changed, result, err := (plainTx{w.Engine}).withMembers(ctx, next, before.Group().InlineMembers(), change)
		if err != nil {
			return nil, nil, err
		}
		if renamed || len(result.Added)+len(result.Removed) > 0 {
			if after, err = w.tx.Replace(ctx, changed, before.version); err != nil {
				return nil, nil, err
			}
		}
		result.Group = after
		affected, err = w.membersChanged(result)
		return after, affected, err
	}
	if !change.Empty() {
		result, err := w.tx.ChangeMembers(ctx, before.Ref(), change, before.version)
		if err != nil {
			return nil, nil, err
		}
		after = result.Group
		if affected, err = w.membersChanged(result); err != nil {
			return nil, nil, err
		}
	}
	if renamed {
		after, err = w.tx.Replace(ctx, next, after.version)
	}
	return after, affected, err
}

// tellLeavers tells who loses a group before it is written, where no
// transaction would take the write back: if the host cannot be told, nothing is
// written, and the provider's retry finds everything as it was. Who gains a
// group is told after the write, and again by a retry.
func (w *work) tellLeavers(ctx context.Context, group *Resource, change MemberChange) error {
	if w.ledger != nil {
		return nil
	}
	leavers := change.Remove
	if change.Clear {
		stay := make(map[string]bool, len(change.Add))
		for _, m := range change.Add {
			stay[m.Value] = true
		}
		for m, err := range w.tx.Members(ctx, group.Ref()) {
			if err != nil {
				return err
			}
			if !stay[m.Value] {
				leavers = append(leavers, m.Value)
			}
		}
	}
	return w.tellWithout(ctx, leavers, group.id)
}

// tellWithout tells users what they may do without a group.
func (w *work) tellWithout(ctx context.Context, users []string, group string) error {
	if len(users) == 0 {
		return nil
	}
	people, err := w.tx.UserStates(ctx, w.Directory, users)
	if err != nil {
		return err
	}
	subjects := make([]subject, len(users))
	for i, id := range users {
		people[i].Groups = slices.DeleteFunc(people[i].Groups, func(g GroupRef) bool { return g.ID == group })
		subjects[i] = subject{id: id, UserState: people[i], known: true, change: Updated}
	}
	return w.tell(ctx, subjects)
}

// sameGroup reports whether two states of a group say the same, members apart.
func (w *work) sameGroup(a, b *Resource) bool {
	if w.members != nil {
		return a.doc.Equal(&b.doc)
	}
	x, y := withoutMembers(a), withoutMembers(b)
	return x.Equal(&y)
}

func withoutMembers(r *Resource) attr.Stored {
	doc := r.doc.ThawOnly(func(*attr.Attribute) bool { return false })
	defer doc.Release()
	doc.Root().Remove(r.typ.members)
	return doc.Freeze()
}

func sameText(a, b *Resource, at *attr.Attribute) bool {
	return at == nil || a.Doc().Get(at).Text() == b.Doc().Get(at).Text()
}

// everybody returns the users who are members of a group, after those already
// affected.
func (w *work) everybody(ctx context.Context, group *Resource, affected []string) ([]string, error) {
	for m, err := range w.tx.Members(ctx, group.Ref()) {
		w.pace.Step()
		if err != nil {
			return nil, err
		}
		if m.Type != "Group" {
			affected = append(affected, m.Value)
		}
	}
	return affected, nil
}

// deleteGroup removes a group: its members lose what it gave them, its mapping
// stays behind without a group (rule C4).
func (w *work) deleteGroup(ctx context.Context, r *Resource) error {
	var members []Member
	var users []string
	for m, err := range w.tx.Members(ctx, r.Ref()) {
		w.pace.Step()
		if err != nil {
			return err
		}
		members = append(members, m)
		if m.Type != "Group" {
			users = append(users, m.Value)
		}
	}
	parents, err := w.tx.GroupsOf(ctx, w.Directory, []string{r.id})
	if err != nil {
		return err
	}
	if w.ledger == nil { // as tellLeavers
		if err := w.tellWithout(ctx, users, r.id); err != nil {
			return err
		}
		users = nil
	}
	if err := w.tx.Delete(ctx, r.Ref(), r.version); err != nil {
		return err
	}
	w.event(&Event{Type: GroupDeleted, Data: r})
	for _, m := range members {
		w.event(&Event{Type: MembershipRemoved, Data: r, Member: m})
	}
	if err := w.leftGroups(ctx, Member{Value: r.id, Type: "Group"}, parents[0]); err != nil {
		return err
	}
	w.regroup.group = groupRef(r)
	return w.tellUsers(ctx, users)
}

// leftGroups notes that a deleted resource is no longer a member of groups.
func (w *work) leftGroups(ctx context.Context, member Member, groups []GroupRef) error {
	for _, g := range groups {
		group, err := w.tx.Get(ctx, Ref{w.Directory, "Group", g.ID}, GetOptions{WithoutMembers: true})
		if err != nil {
			return fmt.Errorf("scim: the group of a deleted member: %w", err)
		}
		w.event(&Event{Type: MembershipRemoved, Data: group, Member: member})
	}
	return nil
}
