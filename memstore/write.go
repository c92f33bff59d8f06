package memstore

import (
	"context"
	"errors"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/internal/pace"
)

// now returns the time to the millisecond, as meta keeps it.
func (s *Store) now() time.Time { return s.opts.Now().UTC().Truncate(time.Millisecond) }

// revised returns the next version of a resource's meta.
func (s *Store) revised(m scim.Meta) scim.Meta {
	m.Version++
	m.LastModified = s.now()
	return m
}

func (x *tx) create(r *scim.Resource) (*scim.Resource, error) {
	k := x.store.kindOf(r.Type())
	if k == nil {
		return nil, errForeignType(r.Type())
	}
	if r.ID() == "" {
		return nil, errors.New("memstore: create: a resource without id")
	}
	v, err := x.change(r.Directory())
	if err != nil {
		return nil, err
	}
	if err := v.checkUnique(k, r, nil, overflow); err != nil {
		return nil, err
	}
	now := x.store.now()
	r = r.WithMeta(scim.Meta{Created: now, LastModified: now, Version: 1})
	slot := v.take(k)
	v.write(slot, r, false)
	if k.typ.Name == userType {
		v.accounts.attach(slot, v.row(slot), r.ID())
	}
	return r, nil
}

// checkUnique returns a [*scim.UniquenessError] if a value of r that must be
// unique belongs to another resource than the one in slot self, which is now
// old.
func (v view) checkUnique(k *kind, r, old *scim.Resource, self uint32) error {
	for i := range k.indexed {
		x := &k.indexed[i]
		if !x.unique {
			continue
		}
		if x.many || x.list != nil {
			if old != nil && old.Doc().At(x.top()).JSON() == r.Doc().At(x.top()).JSON() {
				continue
			}
			for value := range r.Doc().All(x.attr) {
				if text := value.Text(); text != "" && v.taken(k, x, text, self) {
					return &scim.UniquenessError{Attribute: x.attr.Path()}
				}
			}
			continue
		}
		value := r.Doc().At(x.attr).Text()
		if value == "" || old != nil && old.Doc().At(x.attr).Text() == value {
			continue
		}
		if v.taken(k, x, value, self) {
			return &scim.UniquenessError{Attribute: x.attr.Path()}
		}
	}
	return nil
}

// current returns the resource to change, if it is the version was.
func (v view) current(ref scim.Ref, was scim.Version) (slot uint32, e *entry, err error) {
	slot, e = v.find(v.store.kindNamed(ref.Type), ref.ID)
	switch {
	case e == nil:
		return 0, nil, scim.ErrNotFound
	case was != 0 && e.res.Version() != was:
		return 0, nil, scim.ErrVersion
	}
	return slot, e, nil
}

func (x *tx) replace(r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	k := x.store.kindOf(r.Type())
	if k == nil {
		return nil, errForeignType(r.Type())
	}
	v, err := x.change(r.Directory())
	if err != nil {
		return nil, err
	}
	slot, e, err := v.current(r.Ref(), was)
	if err != nil {
		return nil, err
	}
	alike := k.sameTags(r, e.res)
	if !alike {
		if err := v.checkUnique(k, r, e.res, slot); err != nil {
			return nil, err
		}
	}
	r = r.WithMeta(x.store.revised(e.res.Meta()))
	v.write(slot, r, alike)
	return r, nil
}

func (x *tx) delete(ref scim.Ref, was scim.Version) error {
	v, err := x.change(ref.Directory)
	if err != nil {
		return err
	}
	slot, e, err := v.current(ref, was)
	if err != nil {
		return err
	}
	for _, group := range v.groupsOf(slot, e) {
		if group == slot {
			continue // a member of itself
		}
		g := v.see(v.row(group))
		edit := g.members.edit()
		edit.remove(slot)
		v.regroup(group, edit.set())
		v.write(group, g.res.WithMeta(x.store.revised(g.res.Meta())), true)
	}
	v.accounts.detach(slot, v.row(slot), e.res.ID())
	if v.block(slot).kind.typ.IsGroup() {
		v.noteRegrouped(slot)
	}
	v.write(slot, nil, false)
	return nil
}

// changeMembers implements [scim.MemberStore].
func (x *tx) changeMembers(ref scim.Ref, change scim.MemberChange, was scim.Version) (*scim.MemberResult, error) {
	v, err := x.change(ref.Directory)
	if err != nil {
		return nil, err
	}
	slot, e, err := v.group(ref)
	if err != nil {
		return nil, err
	}
	if was != 0 && e.res.Version() != was {
		return nil, scim.ErrVersion
	}
	result := &scim.MemberResult{Group: e.res}
	edit := e.members.edit()
	if change.Clear {
		edit = (*memberSet)(nil).edit()
	}
	result.Added = make([]scim.Member, 0, len(change.Add))
	var p pace.Pace
	for _, m := range change.Add {
		p.Step()
		member, r := v.findAny(m.Value, m.Type)
		if r == nil {
			result.Unknown = append(result.Unknown, m.Value)
		} else if edit.add(member) && !e.members.has(member) {
			result.Added = append(result.Added, v.member(r))
		}
	}
	for _, id := range change.Remove {
		p.Step()
		for _, k := range x.store.kinds {
			member, r := v.find(k, id)
			if r == nil || !edit.remove(member) {
				continue
			}
			if e.members.has(member) {
				result.Removed = append(result.Removed, v.member(r))
			}
			break
		}
	}
	members := edit.set()
	if change.Clear {
		difference(e.members, members, func(member uint32, added bool) {
			if p.Step(); !added {
				result.Removed = append(result.Removed, v.member(v.see(v.row(member))))
			}
		})
	}
	if len(result.Added) == 0 && len(result.Removed) == 0 {
		return result, nil
	}
	v.regroup(slot, members)
	result.Group = e.res.WithMeta(x.store.revised(e.res.Meta()))
	v.write(slot, result.Group, true)
	return result, nil
}

// ChangeMembers implements [scim.MemberStore].
func (s *Store) ChangeMembers(ctx context.Context, group scim.Ref, change scim.MemberChange, was scim.Version) (result *scim.MemberResult, err error) {
	err = s.do(ctx, group.Directory.Tenant, func(tx *tx) error {
		result, err = tx.changeMembers(group, change, was)
		return err
	})
	return result, err
}
