package scim

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
)

// switched is what can be pending because a part of provisioning is switched
// off (rule B10), or is left to the worker (rule B6).
const switched = PendingCreate | PendingUpdate | PendingDeactivate | PendingGroups | PendingGrants

// intended returns a copy of the state as the rules are to see it: with the
// email that the account is to have, where the host was not told of it.
func (a *AccountState) intended() *AccountState {
	next := *a
	if a.Frozen != nil && a.Frozen.Email != "" {
		if next.Email = a.Frozen.Email; next.RefusedEmail == a.Frozen.Email {
			next.RefusedEmail = ""
		}
	}
	return &next
}

// freeze leaves those parts of an account as the host was told last that are
// switched off (rule B10), and passes on what gathered where they are on again.
// It says which groups the host is told of, and the roles follow from those.
func (w *work) freeze(ctx context.Context, s *subject) error {
	s.told = s.Groups
	was := s.Account
	if was == nil {
		was = s.takes
	}
	off := w.dir.Policy.Off
	if w.ledger == nil || off == 0 && (was == nil || was.Pending&switched == 0 && was.Frozen == nil) {
		return nil
	}
	next := s.next
	next.Pending &^= switched
	next.Frozen = nil
	if was == nil {
		if off.Has(CreateUsers) {
			next.Active, next.Pending, s.withheld = false, next.Pending|PendingCreate, CreateUsers
		}
		return nil
	}
	if was.Pending&PendingCreate != 0 && off.Has(CreateUsers) {
		next.Active, next.Pending, s.withheld = false, next.Pending|PendingCreate, CreateUsers
	}
	var frozen Frozen
	w.freezeAccess(s, was)
	if err := w.freezeAttributes(ctx, s, was, &frozen); err != nil {
		return err
	}
	if err := w.freezeGroups(ctx, s, was, &frozen); err != nil {
		return err
	}
	next.Frozen = frozen.orSame(was.Frozen)
	return nil
}

// freezeAccess lets who is deactivated keep the access, where that is switched
// off.
func (w *work) freezeAccess(s *subject, was *AccountState) {
	next := s.next
	wanted := s.User.User().Active()
	switch {
	case wanted || !was.Active:
	case w.dir.Policy.Off.Has(DeactivateUsers):
		next.Active = next.Held == ""
		next.Pending |= PendingDeactivate
		if s.change == Deactivated {
			s.change, s.withheld = Updated, s.withheld|DeactivateUsers
		}
	}
}

// freezeAttributes keeps profile and email, where changes of attributes are
// switched off.
func (w *work) freezeAttributes(ctx context.Context, s *subject, was *AccountState, frozen *Frozen) error {
	next, r := s.next, s.User
	if !w.dir.Policy.Off.Has(UpdateAttributes) {
		if was.Frozen == nil || was.Frozen.Email == "" || was.Frozen.Email != next.Email {
			return nil
		}
		free, err := w.isFree(ctx, r, next.Email)
		if err == nil && !free {
			w.freezeEmail(s, was, frozen)
		}
		return err
	}
	next.Pending |= was.Pending & PendingUpdate
	if was.Frozen != nil {
		frozen.Profile = was.Frozen.Profile
	}
	if s.before != nil && !sameButActive(s.before, r) {
		next.Pending |= PendingUpdate
		s.withheld |= UpdateAttributes
		if frozen.Profile == nil {
			p := w.dir.Profile.of(s.before)
			frozen.Profile = &p
		}
	}
	if frozen.Profile != nil {
		if p := w.dir.Profile.of(r); sameProfile(frozen.Profile, &p) {
			frozen.Profile = nil
		} else {
			next.Pending |= PendingUpdate // also of who comes back before having left
		}
	}
	if next.Email != was.Email {
		w.freezeEmail(s, was, frozen)
	}
	return nil
}

// freezeEmail keeps the email that the host was told. [Tx.Keeper] finds it.
func (w *work) freezeEmail(s *subject, was *AccountState, frozen *Frozen) {
	next := s.next
	if next.Email != was.intended().Email {
		s.withheld |= UpdateAttributes
	}
	frozen.Email = next.Email
	if next.RefusedEmail == "" {
		next.RefusedEmail = next.Email
	}
	next.Email = was.Email
	next.Pending |= PendingUpdate
}

// freezeGroups keeps the groups, where they are switched off.
func (w *work) freezeGroups(ctx context.Context, s *subject, was *AccountState, frozen *Frozen) error {
	if !w.dir.Policy.Off.Has(SyncGroups) {
		return nil
	}
	told := w.groupsBefore(s, was)
	if w.regroup.group.ID != "" {
		s.withheld |= SyncGroups
	}
	if sameGroups(told, s.Groups) {
		return nil
	}
	told, err := w.bound(ctx, told)
	if err != nil {
		return err
	}
	s.next.Pending |= PendingGroups
	s.told, frozen.Groups = told, told
	return nil
}

// postpone leaves to the worker what a user gains and the host need not hear of
// at once (rule B6). Who loses anything does not wait.
func (w *work) postpone(s *subject) {
	was, next := s.Account, s.next
	if !s.mayWait || was == nil || s.withheld != 0 || was.Held != "" || was.Pending&^PendingGrants != 0 || next.Pending != 0 ||
		was.Active != next.Active || was.Held != next.Held || was.Email != next.Email {
		return
	}
	for _, g := range was.Grants {
		if !slices.Contains(next.Grants, g) {
			return
		}
	}
	told := w.groupsBefore(s, was)
	for _, g := range told {
		if !slices.ContainsFunc(s.Groups, func(now GroupRef) bool { return now.ID == g.ID }) {
			return
		}
	}
	next.Grants = was.Grants
	next.Pending |= PendingGrants
	next.Frozen = (&Frozen{Groups: told}).orSame(was.Frozen)
	s.told, s.silent = told, true
}

// unheard reports whether the host is not told of a user: it was never told that
// there is one, the worker does it, or what the request does is not passed on and
// nothing else has changed.
func (s *subject) unheard() bool {
	was, next := s.Account, s.next
	switch {
	case s.silent || next.Pending&PendingCreate != 0 || next.underReview():
		return true
	case was == nil:
		return false
	case s.lazy:
		return sameState(was, next)
	case s.withheld == 0 || was.Pending&switched&^next.Pending != 0:
		return false
	case s.before != nil && s.withheld&UpdateAttributes == 0 && !sameButActive(s.before, s.User):
		return false
	}
	return was.Active == next.Active && was.Held == next.Held && was.Email == next.Email && slices.Equal(was.Grants, next.Grants)
}

// wait notes since when an account has been waiting.
func (w *work) wait(next *AccountState) {
	switch {
	case !next.Waits():
		next.Since = time.Time{}
	case next.Since.IsZero():
		next.Since = w.Time
	}
}

// introduce makes of a user whom the host was not told of one that it is, once
// creating is switched on again: the rules of creation apply now, and what they
// would have refused becomes a hold.
func (w *work) introduce(ctx context.Context, s *subject) error {
	next, r := s.next, s.User
	if s.Account == nil || s.Account.Pending&PendingCreate == 0 || w.dir.Policy.Off.Has(CreateUsers) {
		return nil
	}
	s.change = Created
	if next.Held == "" && r.User().Active() {
		if outside, err := checkDomain(w.dir, r); err != nil || outside != "" {
			next.Held = HeldForDomain
		}
	}
	if next.HostID == "" && w.resolver != nil {
		answer, err := w.ask(ctx, r, next)
		switch {
		case err != nil:
			return err
		case answer.kind == resolveRefuse:
			next.Held = cmp.Or(answer.reason, refusedByHost)
		default:
			s.change = w.resolve(answer, next)
		}
	}
	if s.change == Linked {
		w.event(&Event{Type: UserLinked, Data: r, Roles: next.Grants})
	}
	return nil
}

// linger returns the state of a deleted user's account where deactivating is
// switched off: nothing has changed for the host. Profile and groups are kept
// because there is no user any more to ask.
func (w *work) linger(p UserState) *AccountState {
	next := *p.Account
	profile := w.toldProfile(p.User, p.Account)
	next.ExternalID, next.Deleted = p.User.ExternalID(), true
	next.Pending = next.Pending&^switched | PendingDeactivate
	next.Frozen = &Frozen{Profile: &profile, Groups: toldGroups(p.Account, p.Groups)}
	return &next
}

// lingers reports whether a deleted user's account still has access because
// that was not passed on.
func (a *AccountState) lingers() bool { return a.Deleted && a.Active && !a.Unmanaged }

// lingering returns the account of a deleted user that still has access, with
// that email; nil if there is none.
func (w *work) lingering(ctx context.Context, email string) (*AccountState, error) {
	if w.ledger == nil {
		return nil, nil
	}
	if w.cfg.Directories != nil {
		tally, err := w.tx.Tally(ctx)
		if err != nil || tally.Directories[w.Directory.Directory].Waiting == 0 {
			return nil, err // nobody waits: the usual case costs no look
		}
	} else if !w.dir.Policy.Off.Has(DeactivateUsers) {
		return nil, nil
	}
	people, err := w.tx.People(ctx, w.Directory.Tenant, "", FoldEmail(email))
	if err != nil {
		return nil, err
	}
	for _, a := range people {
		if a.User.Directory == w.Directory && a.lingers() {
			return a, nil
		}
	}
	return nil, nil
}

// A regrouping is what a request does to the members of one group.
type regrouping struct {
	group  GroupRef // as it was before
	added  []Member // who was not in it
	joined map[string]bool
}

// before returns the groups that a user was in, who is affected by the request
// and is in those now.
func (g *regrouping) before(user string, now []GroupRef) []GroupRef {
	if g.joined == nil {
		g.joined = make(map[string]bool, len(g.added))
		for _, m := range g.added {
			g.joined[m.Value] = true
		}
	}
	groups := slices.DeleteFunc(slices.Clone(now), func(is GroupRef) bool { return is.ID == g.group.ID })
	if g.joined[user] {
		return groups
	}
	at, _ := slices.BinarySearchFunc(groups, g.group.ID, func(is GroupRef, id string) int { return strings.Compare(is.ID, id) })
	return slices.Insert(groups, at, g.group)
}

// groupsBefore returns the groups that the host was told of last.
func (w *work) groupsBefore(s *subject, was *AccountState) []GroupRef {
	if was.Deleted || was.Pending&(PendingGroups|PendingGrants) != 0 || w.regroup.group.ID == "" {
		return toldGroups(was, s.Groups)
	}
	return w.regroup.before(s.id, s.Groups)
}

// bound returns groups with the selectors that they are bound to now beside
// those that they were bound to when they were frozen: a group can be gone, and
// another have inherited what was its.
func (w *work) bound(ctx context.Context, groups []GroupRef) ([]GroupRef, error) {
	if w.binder == nil || len(groups) == 0 {
		return groups, nil
	}
	claims, err := w.bindings(ctx)
	if err != nil {
		return nil, err
	}
	groups = slices.Clone(groups)
	for i := range groups {
		g := &groups[i]
		g.Bound = append([]string{}, g.Bound...) // nil would match by name
		for selector, holder := range claims {
			if holder.GroupID == g.ID && !slices.Contains(g.Bound, selector) {
				g.Bound = append(g.Bound, selector)
			}
		}
		slices.Sort(g.Bound)
	}
	return groups, nil
}

// orSame returns what is frozen, nil if that is nothing, and the same as before
// if nothing has changed.
func (f *Frozen) orSame(was *Frozen) *Frozen {
	switch {
	case f.Profile == nil && f.Email == "" && len(f.Groups) == 0:
		return nil
	case was != nil && f.Email == was.Email && sameGroups(f.Groups, was.Groups) &&
		(f.Profile == was.Profile || f.Profile != nil && was.Profile != nil && sameProfile(f.Profile, was.Profile)):
		return was
	}
	return f
}

// toldProfile returns the profile that the host is told. r is nil where the user
// is deleted.
func (w *work) toldProfile(r *Resource, state *AccountState) Profile {
	switch {
	case state.Frozen != nil && state.Frozen.Profile != nil:
		p := *state.Frozen.Profile
		p.Custom = maps.Clone(p.Custom) // the account is the host's to keep
		return p
	case r == nil:
		return Profile{}
	}
	return w.dir.Profile.of(r)
}

// toldGroups returns the groups that the host is told of, where the user is in
// those.
func toldGroups(state *AccountState, groups []GroupRef) []GroupRef {
	switch {
	case !state.Deleted && state.Pending&(PendingGroups|PendingGrants) == 0:
		return groups
	case state.Frozen == nil:
		return nil
	}
	return state.Frozen.Groups
}

func sameGroups(a, b []GroupRef) bool {
	return slices.EqualFunc(a, b, func(a, b GroupRef) bool {
		return a.ID == b.ID && a.ExternalID == b.ExternalID && a.DisplayName == b.DisplayName
	})
}

func sameProfile(a, b *Profile) bool {
	return a.Name == b.Name && a.GivenName == b.GivenName && a.FamilyName == b.FamilyName &&
		a.PreferredUserName == b.PreferredUserName && a.Picture == b.Picture && a.PhoneNumber == b.PhoneNumber &&
		a.Locale == b.Locale && maps.Equal(a.Custom, b.Custom)
}

// sameButActive reports whether two states of a user differ at most in active.
func sameButActive(a, b *Resource) bool {
	if a.doc.Equal(&b.doc) {
		return true
	}
	if a.active == b.active {
		return false
	}
	x, y := without(a, a.typ.active), without(b, b.typ.active)
	return x.Equal(&y)
}

func without(r *Resource, a *attr.Attribute) attr.Stored {
	doc := r.doc.Thaw()
	defer doc.Release()
	doc.Root().Remove(a)
	return doc.Freeze()
}
