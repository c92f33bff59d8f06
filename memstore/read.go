package memstore

import (
	"cmp"
	"context"
	"iter"
	"slices"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
)

// A view is a directory as it is seen from outside or from within the
// transaction that runs. The view of no directory has nothing in it.
type view struct {
	*directory
	within bool
}

// view returns what the context sees of a directory.
func (s *Store) view(ctx context.Context, key scim.Key) (view, error) {
	if tx := s.running(ctx); tx != nil {
		return tx.view(key)
	}
	return view{directory: s.directories.find(key)}, nil
}

// see returns what is in a row, nil if nothing is.
func (v view) see(r *row) *entry {
	if v.within && r.next != nil {
		if r.next == deleted {
			return nil
		}
		return r.next
	}
	return r.live.Load()
}

// present returns what is in a row that the entry of, if any, refers to: nil if
// the row was emptied since, or given to another resource.
func (v view) present(r *row, of *entry) *entry {
	e := v.see(r)
	if e == nil || of != nil && !v.within && r.born.Load() > of.commit {
		return nil
	}
	return e
}

// find returns the resource of a kind with that id, nil if there is none.
func (v view) find(k *kind, id string) (slot uint32, e *entry) {
	if v.directory == nil || k == nil {
		return 0, nil
	}
	if v.within && v.found.kind == k {
		if e := v.see(v.row(v.found.slot)); e != nil && e.res.Type() == k.typ && e.res.ID() == id {
			return v.found.slot, e
		}
	}
	for slot := range v.index.find(k.indexed[0].tagOf(id, true)) {
		if slot == overflow {
			break // ids are unique: not so many have one tag
		}
		if e := v.see(v.row(slot)); e != nil && e.res.Type() == k.typ && e.res.ID() == id {
			if v.within {
				v.found.kind, v.found.slot = k, slot
			}
			return slot, e
		}
	}
	return 0, nil
}

// findAny returns the resource of any kind with that id, first looking for one
// of the named type.
func (v view) findAny(id, typ string) (slot uint32, e *entry) {
	if v.directory == nil {
		return 0, nil
	}
	first := v.store.kindNamed(typ)
	if slot, e = v.find(first, id); e != nil {
		return slot, e
	}
	for _, k := range v.store.kinds {
		if k == first {
			continue
		}
		if slot, e = v.find(k, id); e != nil {
			return slot, e
		}
	}
	return 0, nil
}

func (v view) get(ref scim.Ref) (*scim.Resource, error) {
	if v.directory == nil {
		return nil, scim.ErrNotFound
	}
	_, e := v.find(v.store.kindNamed(ref.Type), ref.ID)
	if e == nil {
		return nil, scim.ErrNotFound
	}
	return e.res, nil
}

// group returns the group of that reference.
func (v view) group(ref scim.Ref) (slot uint32, e *entry, err error) {
	if v.directory != nil {
		if k := v.store.kindNamed(ref.Type); k != nil && k.typ.IsGroup() {
			slot, e = v.find(k, ref.ID)
		}
	}
	if e == nil {
		return 0, nil, scim.ErrNotFound
	}
	return slot, e, nil
}

// member describes a resource as a member of a group.
func (v view) member(e *entry) scim.Member {
	k := v.store.kindOf(e.res.Type())
	m := scim.Member{Value: e.res.ID(), Type: k.typ.Name}
	doc := e.res.Doc()
	if k.displayName != nil {
		m.Display = doc.Get(k.displayName).Text()
	}
	if m.Display == "" && k.userName != nil {
		m.Display = doc.Get(k.userName).Text()
	}
	return m
}

// members yields the members of a group as they are when the iteration begins.
func (v view) members(group *entry) iter.Seq[scim.Member] {
	return func(yield func(scim.Member) bool) {
		for slot := range group.members.all() {
			if e := v.present(v.row(slot), group); e != nil && !yield(v.member(e)) {
				return
			}
		}
	}
}

// Members implements [scim.MemberStore]. It yields the members as they are
// when the iteration begins, in order of their rows.
func (s *Store) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return membersOf(group, func() (view, error) { return s.view(ctx, group.Directory) })
}

func membersOf(group scim.Ref, in func() (view, error)) iter.Seq2[scim.Member, error] {
	return func(yield func(scim.Member, error) bool) {
		v, err := in()
		var e *entry
		if err == nil {
			_, e, err = v.group(group)
		}
		if err != nil {
			yield(scim.Member{}, err)
			return
		}
		for m := range v.members(e) {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// groupsOf returns the slots of the groups that a resource is in.
func (v view) groupsOf(slot uint32, e *entry) []uint32 {
	groups := e.groups
	if v.within {
		// The lists are brought into line at the commit.
		for _, group := range v.regrouped {
			if g := v.see(v.row(group)); g != nil && g.members.has(slot) {
				groups = with(groups, group)
			} else {
				groups = without(groups, group)
			}
		}
	}
	return groups
}

// groupRefs appends the groups that a resource is in, in order of id.
func (v view) groupRefs(refs []scim.GroupRef, slot uint32, e *entry) []scim.GroupRef {
	start := len(refs)
	for _, group := range v.groupsOf(slot, e) {
		if g := v.present(v.row(group), e); g != nil {
			refs = append(refs, *g.ref)
		}
	}
	byID := func(a, b scim.GroupRef) int { return cmp.Compare(a.ID, b.ID) }
	if own := refs[start:]; !slices.IsSortedFunc(own, byID) {
		slices.SortFunc(own, byID)
	}
	return refs
}

// GroupsOf implements [scim.MemberStore]. The ids may be those of groups too.
func (s *Store) GroupsOf(ctx context.Context, key scim.Key, users []string) ([][]scim.GroupRef, error) {
	v, err := s.view(ctx, key)
	if err != nil {
		return nil, err
	}
	return v.groupsOfEach(users), nil
}

func (v view) groupsOfEach(users []string) [][]scim.GroupRef {
	all := make([][]scim.GroupRef, len(users))
	const usual = 4 // groups of a user
	refs := make([]scim.GroupRef, 0, min(usual*len(users), 1024))
	for i, id := range users {
		if slot, e := v.findAny(id, userType); e != nil {
			start := len(refs)
			refs = v.groupRefs(refs, slot, e)
			all[i] = refs[start:len(refs):len(refs)]
		}
	}
	return all
}

// The types that the rules speak of, see [scim.ResourceType].
const (
	userType  = "User"
	groupType = "Group"
)

// taken reports whether a value of an indexed attribute belongs to another
// resource of the kind than the one in slot self.
func (v view) taken(k *kind, i *indexed, value string, self uint32) bool {
	canonical := filter.Canonical(i.attr, value)
	for slot := range v.index.find(i.tagOf(canonical, true)) {
		if slot == self || slot == overflow {
			continue
		}
		e := v.see(v.row(slot))
		if e == nil || e.res.Type() != k.typ {
			continue
		}
		if i.isIn(e.res, value, canonical) {
			return true
		}
	}
	return false
}

// isIn reports whether a resource has a value of the attribute.
func (i *indexed) isIn(r *scim.Resource, value, canonical string) bool {
	for other := range r.Doc().All(i.attr) {
		if text := other.Text(); text == value || filter.Canonical(i.attr, text) == canonical {
			return true
		}
	}
	return false
}
