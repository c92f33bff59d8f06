package directory

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// A Preview says what setting a role mapping would do (rule C5). It is what
// [Service.SetMapping] and its task then do, as long as nothing else happens in
// between: nobody is held up by a preview, so people come, go and change groups
// while one is made and after it, and of who does meanwhile it may know one part
// from before and another from after. What applying finds in the directory counts.
type Preview struct {
	// Version is that of the mapping in whose place the new one would come. Given
	// to SetMapping, it makes sure that nobody has set another one since.
	Version uint64

	People  int          // looked at: all who are in the directory
	Changes []RoleChange // whose grants would change, in order of the users' ids
	Summary roles.Summary

	// Orphans are rules of the new mapping that mean no group (rule C4).
	Orphans []Orphan

	// Demoted are users who would no longer be administrators, in none of the
	// tenant's directories ([scim.RoleCatalog.Administrators]). LastAdministrator
	// says that the tenant would have none left: then one of them keeps the
	// role (rule B7). It is known where the host says how many administrators it
	// has besides ([scim.UsageReporter]). Who is an administrator when the task
	// comes to the last one counts: who is made one by the same mapping, and comes
	// later, frees the one who was kept, in the background.
	Demoted           []string
	LastAdministrator bool

	Seats Seats // before
	// SeatsNeeded is how many seats there would be in use with everybody's new
	// roles. What is beyond the limit is up to [scim.Policy.Seats]: the preview
	// shows people's roles as if there were seats for all.
	SeatsNeeded int
}

// A RoleChange is what a new mapping does to one person.
type RoleChange struct {
	roles.Change
	// NoAccess says that the person has no access, whatever the roles: the
	// account is held, or waits for something.
	NoAccess bool
}

// previewAtOnce is how many people are read in one call of the storage.
const previewAtOnce = 5000

// PreviewMapping says what SetMapping would do with a mapping. Nothing is
// stored. The errors are those of SetMapping, [ErrConflict] apart.
func (s *Service) PreviewMapping(ctx context.Context, key scim.Key, m roles.Mapping) (*Preview, error) {
	after, err := s.validate(m)
	if err != nil {
		return nil, err
	}
	d, err := s.serving(ctx, key)
	if err != nil {
		return nil, err
	}
	before, _ := d.Roles.(*roles.Mapper)
	v := &preview{Preview: &Preview{}, service: s, dir: d, before: before, after: after}
	var was roles.Mapping
	err = s.store.Do(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) (err error) {
		if was, v.Version, err = s.mapping(ctx, key); err != nil {
			return err
		}
		v.plan, err = s.plan(ctx, tx, key, was, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.Orphans = v.plan.orphans
	// From here on without a transaction, which would keep the tenant's writers
	// waiting.
	if err := errors.Join(v.readGroups(ctx, was, m), v.readUsers(ctx)); err != nil {
		return nil, err
	}
	cursor := ""
	for more := true; more; {
		if cursor, more, err = v.look(ctx, cursor); err != nil {
			return nil, err
		}
	}
	if err := v.settle(ctx); err != nil {
		return nil, err
	}
	return v.Preview, nil
}

// A preview is a [Preview] being made.
type preview struct {
	*Preview
	service       *Service
	dir           *scim.Directory
	before, after *roles.Mapper
	plan          plan

	groups []scim.GroupRef   // that a rule means, with their selectors, in order of id
	in     map[string][]int  // which of them each user is in
	users  map[string]person // by id

	seats, administrators int // what the changes add to the tenant's
}

// A person is what a preview has to know of a user's document.
type person struct {
	name   string
	active bool
}

// readGroups reads the groups that rules of the two mappings mean, and who is in
// them. A person's other groups give nothing.
func (v *preview) readGroups(ctx context.Context, mappings ...roles.Mapping) error {
	ids := slices.Collect(maps.Keys(v.plan.groups))
	for _, m := range mappings {
		for _, r := range m.Rules {
			if r.GroupID != "" {
				ids = append(ids, r.GroupID)
			}
		}
	}
	slices.Sort(ids)
	store, key := v.service.store, v.dir.Key()
	v.in = map[string][]int{}
	for _, id := range slices.Compact(ids) {
		group, err := store.Get(ctx, groupRef(key, id), scim.GetOptions{WithoutMembers: true})
		if errors.Is(err, scim.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		number := len(v.groups)
		for m, err := range store.Members(ctx, groupRef(key, id)) {
			if errors.Is(err, scim.ErrNotFound) { // deleted since
				break
			}
			if err != nil {
				return err
			}
			if m.Type == userType || m.Type == "" {
				v.in[m.Value] = append(v.in[m.Value], number)
			}
		}
		v.groups = append(v.groups, scim.GroupRef{ID: id, ExternalID: group.ExternalID(), DisplayName: group.Group().DisplayName()})
	}
	v.groups = v.plan.bindAs(v.groups, false)
	return nil
}

// readUsers reads what is to be known of users.
func (v *preview) readUsers(ctx context.Context) error {
	t := v.service.types.Type(userType)
	if t == nil {
		return nil
	}
	v.users = map[string]person{}
	q := scim.Query{Directory: v.dir.Key(), Type: t, StartIndex: 1, Count: previewAtOnce, Positioned: true}
	for {
		next := q
		page, err := v.service.store.List(ctx, &next)
		if err != nil {
			return err
		}
		for _, r := range page.Resources {
			v.users[r.ID()] = person{strings.Clone(nameOf(r)), r.User().Active()}
		}
		if page.Positioned {
			q.After = page.Next
		} else {
			q.StartIndex += len(page.Resources)
		}
		if len(page.Resources) == 0 || page.Positioned && page.Next == "" || !page.Positioned && q.StartIndex > page.Total {
			return nil
		}
	}
}

// look looks at the next people behind after.
func (v *preview) look(ctx context.Context, after string) (last string, more bool, err error) {
	accounts, err := v.service.store.Accounts(ctx, v.dir.Key(), after, previewAtOnce)
	if err != nil || len(accounts) == 0 {
		return after, false, err
	}
	var few [16]scim.GroupRef
	for _, a := range accounts {
		user, ok := v.users[a.User.ID]
		if a.Deleted || a.Unmanaged || !ok {
			continue
		}
		v.People++
		groups := few[:0]
		if a.Pending&scim.PendingGroups != 0 && v.off(scim.SyncGroups) {
			// The application has heard of others (rule B10).
			if a.Frozen != nil {
				groups = v.plan.bindAs(a.Frozen.Groups, true)
			}
		} else {
			for _, number := range v.in[a.User.ID] {
				groups = append(groups, v.groups[number])
			}
		}
		grants := v.grants(groups, a)
		if slices.Equal(grants, a.Grants) || !v.concerns(user, a) {
			continue
		}
		if err := v.change(ctx, user, a, groups, grants); err != nil {
			return "", false, err
		}
	}
	return accounts[len(accounts)-1].User.ID, len(accounts) == previewAtOnce, nil
}

// grants returns what the account would be granted.
func (v *preview) grants(groups []scim.GroupRef, a *scim.AccountState) []scim.Grant {
	return withManual(v.after.Grants(groups), a.Grants)
}

// withManual adds those grants that were given by hand, which stay (rule C7).
func withManual(grants, had []scim.Grant) []scim.Grant {
	mapped := len(grants)
	for _, g := range had {
		if g.Source == scim.Manual {
			grants = append(grants, g)
		}
	}
	if len(grants) > mapped {
		slices.SortFunc(grants, compareGrants)
		grants = slices.Compact(grants)
	}
	return grants
}

// compareGrants orders grants as they are kept.
func compareGrants(a, b scim.Grant) int {
	if c := strings.Compare(a.Role, b.Role); c != 0 {
		return c
	}
	if c := strings.Compare(string(a.Source), string(b.Source)); c != 0 {
		return c
	}
	return strings.Compare(a.Group, b.Group)
}

// change notes that a person's grants would change.
func (v *preview) change(ctx context.Context, user person, a *scim.AccountState, groups []scim.GroupRef, after []scim.Grant) error {
	c := RoleChange{NoAccess: !a.Active}
	member := roles.Member{User: a.User.ID, DisplayName: user.name, Groups: groups, Manual: a.Grants}
	for by := range roles.Preview(v.before, v.after, slices.Values([]roles.Member{member})) {
		c.Change = by
	}
	c.User, c.DisplayName = member.User, member.DisplayName
	if c.Why == "" || !slices.Equal(c.Before, a.Grants) {
		// The account is not what the mapping before makes of it either: a role
		// was kept or withheld, or the application has other roles now.
		c.Before, c.After = a.Grants, after
		is, was := roleNames(after), roleNames(a.Grants)
		c.Gained, c.Lost = without(is, was), without(was, is)
		if c.Why == "" {
			c.Why = "gets what the directory says: it was withheld, or the account was changed by hand"
		}
	}
	v.Changes = append(v.Changes, c)
	if !a.Active {
		return nil
	}
	catalog := v.service.catalog
	change := func(of []string) (int, error) {
		was, is := hasAny(c.Before, of), hasAny(c.After, of)
		if was == is {
			return 0, nil
		}
		if elsewhere, err := v.elsewhere(ctx, a, of); err != nil || elsewhere {
			return 0, err
		}
		if is {
			return 1, nil
		}
		return -1, nil
	}
	seat, err := change(catalog.Billable)
	if err != nil {
		return err
	}
	administrator, err := change(catalog.Administrators)
	if err != nil {
		return err
	}
	v.seats += seat
	v.administrators += administrator
	if administrator < 0 {
		v.Demoted = append(v.Demoted, a.User.ID)
	}
	return nil
}

func (v *preview) off(part scim.Switches) bool { return v.dir.Policy.Off&part != 0 }

// concerns reports whether the roles of a person are worked out: who is out
// keeps what was left behind, and gets the roles of the day when coming back
// (rule B3).
func (v *preview) concerns(user person, a *scim.AccountState) bool {
	if user.active {
		return a.Pending&scim.PendingCreate == 0 || !v.off(scim.CreateUsers)
	}
	return a.Active && v.off(scim.DeactivateUsers)
}

// elsewhere reports whether the person has one of the roles through another
// directory of the tenant (rule A9).
func (v *preview) elsewhere(ctx context.Context, a *scim.AccountState, of []string) (bool, error) {
	if !v.dir.Shared {
		return false, nil
	}
	others, err := v.service.store.People(ctx, v.dir.Tenant, a.HostID, scim.FoldEmail(a.Email))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(others, func(o *scim.AccountState) bool {
		same := a.HostID == "" || o.HostID == "" || a.HostID == o.HostID
		return same && o.User.Directory != a.User.Directory && o.Active && !o.Unmanaged && hasAny(o.Grants, of)
	}), nil
}

// settle adds up.
func (v *preview) settle(ctx context.Context) error {
	changes := func(yield func(roles.Change) bool) {
		for _, c := range v.Changes {
			if !yield(c.Change) {
				return
			}
		}
	}
	v.Summary = roles.Summarize(changes)
	tally, usage, known, err := v.service.usage(ctx, v.dir.Tenant)
	if err != nil {
		return err
	}
	v.Seats = seatsOf(tally, usage)
	v.SeatsNeeded = v.Seats.Used + v.seats
	v.LastAdministrator = known && len(v.Demoted) > 0 && tally.Administrators+usage.Administrators+v.administrators <= 0
	return nil
}

// hasAny reports whether one of the grants is of one of the roles.
func hasAny(grants []scim.Grant, roles []string) bool {
	return slices.ContainsFunc(grants, func(g scim.Grant) bool { return slices.Contains(roles, g.Role) })
}

// roleNames returns the names of the roles, each once, in order.
func roleNames(grants []scim.Grant) []string { return (&scim.Account{Roles: grants}).RoleNames() }

// without returns the names that are not among others.
func without(names, others []string) (rest []string) {
	for _, n := range names {
		if !slices.Contains(others, n) {
			rest = append(rest, n)
		}
	}
	return rest
}

// nameOf returns what people call a user.
func nameOf(user *scim.Resource) string {
	u := user.User()
	for _, name := range []string{u.DisplayName(), u.FormattedName(), strings.TrimSpace(u.GivenName() + " " + u.FamilyName())} {
		if name != "" {
			return name
		}
	}
	return u.UserName()
}
