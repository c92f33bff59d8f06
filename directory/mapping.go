package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/roles"
)

// mostRules bounds a role mapping.
const mostRules = 1000

// Mapping returns the role mapping of a directory and its version, 0 and an
// empty mapping where none was set. Roles and Protected are the application's
// ([scim.RoleCatalog]). The error wraps [scim.ErrNotFound] if there is no such
// directory.
func (s *Service) Mapping(ctx context.Context, key scim.Key) (roles.Mapping, uint64, error) {
	m, version, err := s.mapping(ctx, key)
	if err == nil && version == 0 {
		_, err = s.Get(ctx, key)
	}
	return m, version, err
}

// mapping is Mapping of a directory that is there.
func (s *Service) mapping(ctx context.Context, key scim.Key) (roles.Mapping, uint64, error) {
	r, err := read[mappingRecord](ctx, s, mappingKey(key))
	if err != nil && !errors.Is(err, scim.ErrNotFound) {
		return roles.Mapping{}, 0, err
	}
	return s.catalogued(r.Value.Mapping), r.Version, nil
}

func mappingKey(key scim.Key) RecordKey { return RecordKey{key.Tenant, KindMapping, key.Directory} }

// catalogued returns the mapping with the roles that the application has.
func (s *Service) catalogued(m roles.Mapping) roles.Mapping {
	m.Roles, m.Protected = slices.Clone(s.catalog.Roles), slices.Clone(s.catalog.Protected)
	return m
}

// validate returns the mapper of a mapping that is about to be used. The error
// is a [*roles.InvalidError] that lists all that is wrong with it.
func (s *Service) validate(m roles.Mapping) (*roles.Mapper, error) {
	if len(m.Rules) > mostRules {
		return nil, &roles.InvalidError{Problems: []roles.Problem{{Rule: mostRules + 1, Detail: fmt.Sprintf("a mapping has at most %d rules", mostRules)}}}
	}
	return roles.New(s.catalogued(m))
}

// SetMapping replaces the role mapping of a directory. version is that of the
// mapping which it replaces, as Mapping or a [Preview] returned it: the error
// wraps [ErrConflict] if somebody else has set another since. It is a
// [*roles.InvalidError] if something is wrong with the mapping, and names all
// that is.
//
// Requests use the new mapping from now on. Everybody in the directory is worked
// out anew by the task that is returned, in the background ([Service.Run]) or
// by [Service.Work]; it supersedes that of the mapping before.
//
// A rule means the group that its selector is bound to (rule C2). A selector
// that the mapping before had as well keeps its group, whatever the group or
// the role are called now. A new one is bound to the first group in order of id that
// matches, or else to the first that comes, also if it was in a mapping long
// before. So a rule goes over to another group by naming that one, by id for
// instance.
func (s *Service) SetMapping(ctx context.Context, key scim.Key, m roles.Mapping, version uint64) (*Task, error) {
	if _, err := s.validate(m); err != nil {
		return nil, err
	}
	m.Roles, m.Protected = nil, nil
	var task *Task
	err := s.change(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		if _, err := s.live(ctx, key); err != nil {
			return err
		}
		was, stored, err := s.mapping(ctx, key)
		if err != nil {
			return err
		}
		if stored != version {
			return fmt.Errorf("%w: the role mapping of directory %q", ErrConflict, key.Directory)
		}
		plan, err := s.plan(ctx, tx, key, was, m)
		if err != nil {
			return err
		}
		for group, selectors := range plan.bind {
			if err := tx.Bind(ctx, key, group, selectors...); err != nil {
				return err
			}
		}
		was.Roles, was.Protected = nil, nil
		if stored == 0 || !reflect.DeepEqual(was, m) {
			if stored, err = s.put(ctx, mappingKey(key), version, &mappingRecord{m}); err != nil {
				return err
			}
			if err := s.event(ctx, tx, key, scim.MappingUpdated, key.Directory, outline(m)); err != nil {
				return err
			}
			if err := forgetInvalidRoles(ctx, tx, key); err != nil {
				return err
			}
		}
		task, err = s.enqueue(ctx, tx, Task{Directory: key, Kind: TaskApplyMapping, Mapping: stored})
		return err
	})
	if err != nil {
		return nil, err
	}
	s.worker.wake(key.Tenant)
	return task, nil
}

// forgetInvalidRoles lets a role of the mapping that the application does not
// have be told of again, now that the mapping is another (rule C9).
func forgetInvalidRoles(ctx context.Context, tx scim.Tx, key scim.Key) error {
	tally, err := tx.Tally(ctx)
	if err != nil || len(tally.Directories[key.Directory].InvalidRoles) == 0 {
		return err
	}
	next := *tally
	next.Directories = maps.Clone(tally.Directories)
	d := next.Directories[key.Directory]
	d.InvalidRoles = nil
	next.Directories[key.Directory] = d
	return tx.PutTally(ctx, &next)
}

// outline describes a mapping in a line, for the event.
func outline(m roles.Mapping) string {
	rules := fmt.Sprintf("%d rules", len(m.Rules))
	if len(m.Rules) == 1 {
		rules = "1 rule"
	}
	if m.Default == "" {
		return rules + ", " + m.Precedence.String() + ", no default role"
	}
	return fmt.Sprintf("%s, %v, default role %q", rules, m.Precedence, m.Default)
}

// An Orphan is a rule of a mapping that means no group (rule C4).
type Orphan struct {
	roles.Rule
	Number int // the rule's place in the list, 1 for the first

	// Deleted says that the group which the rule meant was deleted: no other one
	// of that name takes its place, only one with the same externalId. Otherwise
	// the rule waits for its group to come.
	Deleted bool
}

// Orphans returns the rules of a directory's mapping that mean no group.
func (s *Service) Orphans(ctx context.Context, key scim.Key) (orphans []Orphan, err error) {
	m, _, err := s.Mapping(ctx, key)
	if err != nil {
		return nil, err
	}
	err = s.store.Do(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		plan, err := s.plan(ctx, tx, key, m, m)
		orphans = plan.orphans
		return err
	})
	return orphans, err
}

// A plan says which groups the rules of a new mapping mean.
type plan struct {
	groups  map[string][]string       // selectors by the id of the group that they are bound to, those of the mapping before too
	bind    map[scim.Binding][]string // what is to be written; no group: the selectors wait for one
	orphans []Orphan
}

// plan works out what the rules of next mean where those of was mean what is
// bound now.
func (s *Service) plan(ctx context.Context, tx scim.Tx, key scim.Key, was, next roles.Mapping) (plan, error) {
	held, err := tx.Bindings(ctx, key)
	if err != nil {
		return plan{}, err
	}
	p := plan{groups: map[string][]string{}, bind: map[scim.Binding][]string{}}
	old := map[string]bool{}
	for _, r := range was.Rules {
		selector := r.Selector()
		if to := held[selector]; !old[selector] && to.GroupID != "" {
			p.groups[to.GroupID] = append(p.groups[to.GroupID], selector)
		}
		old[selector] = true
	}
	bound := map[string]bool{} // whether a selector of next means a group
	gone := map[string]bool{}  // whether its group was deleted
	for _, r := range next.Rules {
		selector := r.Selector()
		if _, seen := bound[selector]; seen {
			continue
		}
		to, taken := held[selector]
		if taken && to.GroupID != "" && old[selector] {
			_, err := tx.Get(ctx, groupRef(key, to.GroupID), scim.GetOptions{WithoutMembers: true})
			if err != nil && !errors.Is(err, scim.ErrNotFound) {
				return p, err
			}
			bound[selector], gone[selector] = err == nil, err != nil
			continue
		}
		found, err := s.match(ctx, tx, key, r)
		if err != nil {
			return p, err
		}
		bound[selector] = found != nil
		switch {
		case found != nil:
			to := scim.Binding{GroupID: found.ID(), ExternalID: found.ExternalID()}
			p.bind[to] = append(p.bind[to], selector)
			if !slices.Contains(p.groups[to.GroupID], selector) {
				p.groups[to.GroupID] = append(p.groups[to.GroupID], selector)
			}
		case taken && to.GroupID != "":
			p.bind[scim.Binding{}] = append(p.bind[scim.Binding{}], selector)
		}
	}
	for i, r := range next.Rules {
		if !bound[r.Selector()] {
			p.orphans = append(p.orphans, Orphan{r, i + 1, gone[r.Selector()]})
		}
	}
	for _, selectors := range p.groups {
		slices.Sort(selectors)
	}
	return p, nil
}

// The names of the resource types that the rules are about.
const (
	userType  = "User"
	groupType = "Group"
)

func groupRef(key scim.Key, id string) scim.Ref {
	return scim.Ref{Directory: key, Type: groupType, ID: id}
}

// match returns the first group in order of id that a rule matches as it is now,
// nil if there is none.
func (s *Service) match(ctx context.Context, store scim.Store, key scim.Key, r roles.Rule) (*scim.Resource, error) {
	if r.GroupID != "" {
		g, err := store.Get(ctx, groupRef(key, r.GroupID), scim.GetOptions{WithoutMembers: true})
		if errors.Is(err, scim.ErrNotFound) {
			return nil, nil
		}
		return g, err
	}
	t := s.types.Type(groupType)
	if t == nil { // the host serves no groups
		return nil, nil
	}
	path, text := "displayName", r.GroupName
	if r.ExternalID != "" {
		path, text = "externalId", r.ExternalID
	}
	a, _ := t.Lookup(path, attr.Strict)
	if a == nil {
		return nil, nil
	}
	page, err := store.List(ctx, &scim.Query{
		Directory: key, Type: t, Filter: filter.Equal(a, text), StartIndex: 1, Count: recordsAtOnce, WithoutMembers: true,
	})
	if err != nil || len(page.Resources) == 0 {
		return nil, err
	}
	return slices.MinFunc(page.Resources, func(a, b *scim.Resource) int { return strings.Compare(a.ID(), b.ID()) }), nil
}

// bindAs returns groups with the selectors that mean them under the plan;
// frozen ones keep those that they had when they were frozen, too: the group can
// be gone.
func (p *plan) bindAs(groups []scim.GroupRef, frozen bool) []scim.GroupRef {
	groups = slices.Clone(groups)
	for i := range groups {
		g := &groups[i]
		had := g.Bound
		g.Bound = append([]string{}, p.groups[g.ID]...) // not nil: bindings are kept, also where there is none
		if frozen {
			g.Bound = append(g.Bound, had...)
			slices.Sort(g.Bound)
			g.Bound = slices.Compact(g.Bound)
		}
	}
	return groups
}
