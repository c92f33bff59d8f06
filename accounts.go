package scim

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// A subject is a user whose account a request affects.
type subject struct {
	id string
	UserState
	known  bool          // UserState is what the transaction sees; otherwise it is read
	next   *AccountState // as the request's own rules changed it; nil: as it was
	change Change
	by     author
	turn   turn

	before *Resource     // the user as it was, where the request changes or removes it
	takes  *AccountState // of a deleted user, who comes back as this one before the host was told (rule B10)
	told   []GroupRef    // the groups that the host is told of

	withheld Switches // what of this request is not passed on
	mayWait  bool     // grants may be left to the worker (rule B6)
	lazy     bool     // the host is told only if something has changed
	silent   bool     // the host is not told
}

// batch is how many accounts are worked out at once: a group of 100,000
// members affects as many.
const batch = 1000

// tellUsers tells of users whom a change of groups affects, in order of id. Who
// is there twice is told once.
func (w *work) tellUsers(ctx context.Context, ids []string) error {
	slices.SortFunc(ids, func(a, b string) int {
		w.pace.Step()
		return strings.Compare(a, b)
	})
	ids = slices.Compact(ids)
	told := 0
	for some := range slices.Chunk(ids, batch) {
		subjects := make([]subject, len(some))
		for i, id := range some {
			subjects[i] = subject{id: id, change: Updated, mayWait: w.cfg.DeferGrants > 0 && told >= w.cfg.DeferGrants}
			told++
		}
		if err := w.tellSome(ctx, subjects); err != nil {
			return err
		}
	}
	return nil
}

// tell works out what each of the users may now do, tells the Provisioner, and
// keeps what it was told. Users are told in order of id, so that locks of the
// host are taken in one order (rule: accounts follow in order of id).
func (w *work) tell(ctx context.Context, subjects []subject) error {
	slices.SortFunc(subjects, func(a, b subject) int { return strings.Compare(a.id, b.id) })
	for chunk := range slices.Chunk(subjects, batch) {
		if err := w.tellSome(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// tellOne is tell for a single user.
func (w *work) tellOne(ctx context.Context, s subject) error {
	w.one.subject[0] = s
	return w.tellSome(ctx, w.one.subject[:])
}

func (w *work) tellSome(ctx context.Context, subjects []subject) error {
	if err := w.load(ctx, subjects); err != nil {
		return err
	}
	clear(w.people)
	if err := w.meetAll(ctx, subjects); err != nil {
		return err
	}
	// A group can be a member of a group, and a member can be gone.
	subjects = slices.DeleteFunc(subjects, func(s subject) bool { return s.User == nil && s.next == nil })
	accounts := w.one.account[:]
	if len(subjects) != 1 {
		accounts = make([]*Account, len(subjects))
	}
	for i := range subjects {
		if err := w.desire(ctx, &subjects[i]); err != nil {
			return err
		}
	}
	if err := w.guard(ctx, subjects); err != nil {
		return err
	}
	for i := range subjects {
		var err error
		if accounts[i], err = w.account(ctx, &subjects[i]); err != nil {
			return err
		}
	}
	if len(subjects) == 1 {
		w.groups, w.groupsOfUser = subjects[0].Groups, subjects[0].id // the answer may show them
	}
	if err := w.inform(ctx, accounts); err != nil {
		return err
	}
	for i := range subjects {
		w.pace.Step()
		s := &subjects[i]
		if a := accounts[i]; a != nil {
			if err := w.reunite(ctx, s, a); err != nil {
				return err
			}
			s.next.HostID = cmp.Or(a.HostID, s.next.HostID)
		}
		if s.Account != nil && sameState(s.Account, s.next) {
			continue
		}
		if err := w.keep(ctx, s.Account, s.next); err != nil {
			return err
		}
	}
	return nil
}

// keep stores the state of an account, and counts what has changed in it.
func (w *work) keep(ctx context.Context, was, is *AccountState) error {
	if err := w.count(ctx, was, is); err != nil {
		return err
	}
	return w.tx.PutAccount(ctx, is)
}

func sameState(a, b *AccountState) bool {
	return a.HostID == b.HostID && a.ExternalID == b.ExternalID && a.Email == b.Email && a.Active == b.Active &&
		a.Deleted == b.Deleted && a.Held == b.Held && a.RefusedEmail == b.RefusedEmail && a.ApprovedEmail == b.ApprovedEmail &&
		slices.Equal(a.Grants, b.Grants) && a.Pending == b.Pending && a.Since.Equal(b.Since) && a.Frozen == b.Frozen &&
		a.Unmanaged == b.Unmanaged && slices.Equal(a.Found, b.Found) && (a.Found == nil) == (b.Found == nil)
}

// load reads who of the subjects is not known yet, and lets their groups claim
// what the role mapping has for them.
func (w *work) load(ctx context.Context, subjects []subject) error {
	var missing []string
	for i := range subjects {
		if !subjects[i].known {
			missing = append(missing, subjects[i].id)
		}
	}
	var people []UserState
	if len(missing) > 0 {
		var err error
		if people, err = w.tx.UserStates(ctx, w.Directory, missing); err != nil {
			return err
		}
	}
	for i := range subjects {
		s := &subjects[i]
		if !s.known {
			s.UserState, s.known, people = people[0], true, people[1:]
		}
		if err := w.bindAll(ctx, s.Groups); err != nil {
			return err
		}
	}
	return nil
}

// person reads one user with what is kept beside it.
func (w *work) person(ctx context.Context, directory Key, id string) (UserState, error) {
	w.one.id[0] = id
	people, err := w.tx.UserStates(ctx, directory, w.one.id[:])
	if err != nil {
		return UserState{}, err
	}
	return people[0], nil
}

// desire works out what the directory wants of a user's account, as far as that
// is not switched off. There is nothing to work out for a user who is gone: who
// calls has done it.
func (w *work) desire(ctx context.Context, s *subject) error {
	w.pace.Step()
	r := s.User
	if r == nil {
		return nil
	}
	if s.next == nil {
		if s.Account != nil {
			s.next = s.Account.intended()
		} else {
			s.next = &AccountState{User: r.Ref()}
			s.next.Email, _ = emailOf(r, w.dir.Policy.EmailSource)
		}
	}
	next := s.next
	w.lift(next)
	next.ExternalID = r.ExternalID()
	if err := w.introduce(ctx, s); err != nil {
		return err
	}
	wanted := r.User().Active()
	next.Active = wanted && next.Held == ""
	if err := w.freeze(ctx, s); err != nil {
		return err
	}
	if next.Active || wanted && next.Pending&PendingCreate == 0 {
		// A person who is out keeps the roles that were left behind, and gets
		// today's when coming back (rule B3).
		grants, err := w.grants(ctx, r, s.told, next.Grants)
		if err != nil {
			return err
		}
		next.Grants = grants
	}
	w.postpone(s)
	return nil
}

// account writes down the complete desired state of a user's account, as what
// the directory wants has passed the guards, and raises the events of what has
// changed in it. It returns nil where the host is not told.
func (w *work) account(ctx context.Context, s *subject) (*Account, error) {
	r, next := s.User, s.next
	w.wait(next)
	w.Withheld |= s.withheld
	if r == nil {
		if s.silent || s.change == Deleted && next.lingers() { // nothing has changed for the host
			return nil, nil
		}
		a := w.farewell(s.Account, next, s.before)
		a.Change = s.change
		return a, w.unite(ctx, a, next)
	}
	w.holdEvents(s.Account, next, r)
	var before []Grant
	if s.Account != nil {
		before = s.Account.Grants
	}
	if !slices.Equal(before, next.Grants) && w.ledger != nil {
		w.event(&Event{Type: UserRolesChanged, Data: r, Roles: next.Grants, PreviousRoles: before})
	}
	if s.unheard() {
		return nil, nil
	}
	s.tellAccess()
	a := w.describe(r, next, s.Groups, s.change)
	return a, w.unite(ctx, a, next)
}

// tellAccess says of a change what it is to the host, who may not have been told
// that the person had left (rules B7 and B10).
func (s *subject) tellAccess() {
	was, next := s.was(), s.next
	switch {
	case was == nil:
	case s.change == Deactivated && next.Active, s.change == Reactivated && was.Active:
		s.change = Updated
	case s.change == Updated && was.Active && !next.Active && !s.User.User().Active():
		s.change = Deactivated
	}
}

// grants turns groups into roles (rules C1 to C7): the mapper's, and those
// given by hand, which stay.
func (w *work) grants(ctx context.Context, user *Resource, groups []GroupRef, had []Grant) ([]Grant, error) {
	grants, err := w.mapper.Roles(ctx, w.dir, user, groups)
	if err != nil {
		return nil, hostError("scim: RoleMapper", err)
	}
	if grants, err = w.permitted(ctx, canonicalGrants(grants)); err != nil {
		return nil, err
	}
	if isManual := func(g Grant) bool { return g.Source == Manual }; slices.ContainsFunc(grants, isManual) {
		grants = slices.DeleteFunc(slices.Clone(grants), isManual) // those are given elsewhere
	}
	for _, g := range had {
		if g.Source == Manual {
			grants = append(slices.Clip(grants), g)
		}
	}
	return canonicalGrants(grants), nil
}

// withManual returns the grants with roles given by hand added.
func withManual(grants []Grant, roles []string) []Grant {
	for _, role := range roles {
		grants = append(grants, Grant{Role: role, Source: Manual})
	}
	return canonicalGrants(grants)
}

func (w *work) bindAll(ctx context.Context, groups []GroupRef) error {
	if w.binder == nil || w.ledger == nil {
		return nil
	}
	for i := range groups {
		if err := w.bind(ctx, &groups[i]); err != nil {
			return err
		}
	}
	return nil
}

// bind gives a group the selectors of the role mapping that match it now: each
// belongs to the first group that matched, for good (rules C2 and C3).
func (w *work) bind(ctx context.Context, g *GroupRef) error {
	if g.Bound == nil {
		g.Bound = []string{}
	}
	var claimed []string
	for _, selector := range w.binder.Selectors(w.dir, *g) {
		if slices.Contains(g.Bound, selector) {
			continue
		}
		claims, err := w.bindings(ctx)
		if err != nil {
			return err
		}
		holder, taken := claims[selector]
		switch {
		case !taken || holder.GroupID == "": // or no longer
			claimed = append(claimed, selector)
		case holder.GroupID == g.ID: // since g was read
			g.Bound = append(slices.Clip(g.Bound), selector)
		}
	}
	return w.claim(ctx, g, claimed)
}

// inherit gives a new group, or one with a new externalId, what a deleted group
// with the same externalId was bound to, and notes the externalId with what it
// is bound to itself (rule C4).
func (w *work) inherit(ctx context.Context, g *GroupRef) error {
	if g.ExternalID == "" {
		return nil
	}
	claims, err := w.bindings(ctx)
	if err != nil {
		return err
	}
	var claimed []string
	for selector, holder := range claims {
		switch {
		case holder.GroupID == g.ID:
			if holder.ExternalID != g.ExternalID {
				claimed = append(claimed, selector)
			}
			continue
		case holder.ExternalID != g.ExternalID:
			continue
		}
		_, err := w.tx.Get(ctx, Ref{w.Directory, "Group", holder.GroupID}, GetOptions{WithoutMembers: true})
		if errors.Is(err, ErrNotFound) {
			claimed = append(claimed, selector)
		} else if err != nil {
			return err
		}
	}
	slices.Sort(claimed)
	return w.claim(ctx, g, claimed)
}

// bindings returns what is bound in the directory, with what this transaction
// has added.
func (w *work) bindings(ctx context.Context) (map[string]Binding, error) {
	if w.claims == nil {
		stored, err := w.tx.Bindings(ctx, w.Directory)
		if err != nil {
			return nil, err
		}
		w.claims = make(map[string]Binding, len(stored))
		maps.Copy(w.claims, stored)
	}
	return w.claims, nil
}

func (w *work) claim(ctx context.Context, g *GroupRef, selectors []string) error {
	if len(selectors) == 0 {
		return nil
	}
	binding := Binding{GroupID: g.ID, ExternalID: g.ExternalID}
	if err := w.tx.Bind(ctx, w.Directory, binding, selectors...); err != nil {
		return err
	}
	for _, s := range selectors {
		w.claims[s] = binding
		if !slices.Contains(g.Bound, s) {
			g.Bound = append(slices.Clip(g.Bound), s)
		}
	}
	return nil
}

// owe notes that Committed is to be called with the account. Who is told around
// a write, where there is no transaction, is told so once.
func (w *work) owe(a *Account) {
	if w.ledger == nil {
		if at, told := w.toldAt[a.ID]; told {
			w.told[at] = a
			return
		}
		if w.toldAt == nil {
			w.toldAt = map[string]int{}
		}
		w.toldAt[a.ID] = len(w.told)
	}
	w.told = append(w.told, a)
}

// describe writes an account down for the host.
func (w *work) describe(r *Resource, state *AccountState, groups []GroupRef, change Change) *Account {
	return &Account{
		Tenant: w.Directory.Tenant, Directory: w.Directory.Directory,
		HostID: state.HostID, ID: state.User.ID, ExternalID: state.ExternalID,
		Email: state.Email, EmailVerified: registered(w.dir, state.Email),
		Profile: w.toldProfile(r, state), Active: state.Active, Held: state.Held,
		Roles: slices.Clone(state.Grants), Groups: ownGroups(toldGroups(state, groups)), Change: change, User: r,
	}
}

// ownGroups returns groups for the host to keep; what they are bound to is none
// of its business.
func ownGroups(groups []GroupRef) []GroupRef {
	own := slices.Clone(groups)
	for i := range own {
		own[i].Bound = nil
	}
	return own
}

// profileOf maps attributes to the profile as rule E4 does without configuration.
func profileOf(r *Resource) Profile {
	t := r.typ
	var p Profile
	var formatted string
	for v := r.Doc().First(); v.Exists(); v = v.Next() {
		switch v.Attr() {
		case t.userName:
			p.PreferredUserName = v.Text()
		case t.name:
			formatted, p.GivenName, p.FamilyName = v.Get(t.formatted).Text(), v.Get(t.givenName).Text(), v.Get(t.familyName).Text()
		case t.displayName:
			p.Name = v.Text()
		case t.locale:
			p.Locale = v.Text()
		case t.phones:
			p.PhoneNumber = v.First().Get(t.phone).Text()
		case t.photos:
			p.Picture = v.First().Get(t.photo).Text()
		}
	}
	if p.Name == "" {
		p.Name = cmp.Or(formatted, strings.TrimSpace(p.GivenName+" "+p.FamilyName))
	}
	return p
}

// current describes the account of a user as it is, also of a deleted one.
func (w *work) current(ctx context.Context, user Ref, change Change) (*Account, error) {
	p, err := w.person(ctx, user.Directory, user.ID)
	switch {
	case err != nil:
		return nil, err
	case p.Account == nil:
		return nil, ErrNotFound
	case p.User == nil:
		a := w.departed(p.Account, nil)
		return a, w.unite(ctx, a, p.Account)
	}
	a := w.describe(p.User, p.Account, p.Groups, change)
	return a, w.unite(ctx, a, p.Account)
}

// desired describes the account of a user of a store that keeps no states.
func (w *work) desired(ctx context.Context, id string) (*Account, error) {
	s := []subject{{id: id, change: Resynced}}
	if err := w.load(ctx, s); err != nil {
		return nil, err
	}
	if s[0].User == nil {
		return nil, ErrNotFound
	}
	if err := w.desire(ctx, &s[0]); err != nil {
		return nil, err
	}
	return w.account(ctx, &s[0])
}

// departed describes the account of a deleted user: no access, no roles but
// those given by hand, which are the host's to keep. It is as it was where the
// host was not told (rule B10) and where it was released (rule B9).
func (w *work) departed(state *AccountState, last *Resource) *Account {
	a := &Account{
		Tenant: w.Directory.Tenant, Directory: w.Directory.Directory,
		HostID: state.HostID, ID: state.User.ID, ExternalID: state.ExternalID,
		Email: state.Email, EmailVerified: registered(w.dir, state.Email),
		Active: state.Active, Roles: slices.Clone(state.Grants), Change: Deleted,
	}
	if last != nil || state.Frozen != nil {
		a.Profile = w.toldProfile(last, state)
	}
	if state.Active || state.Unmanaged {
		a.Groups = ownGroups(toldGroups(state, nil))
	}
	if state.Unmanaged {
		a.Held, a.Change = state.Held, Released
		for i := range a.Roles {
			a.Roles[i] = Grant{Role: a.Roles[i].Role, Source: Manual}
		}
		a.Roles = canonicalGrants(a.Roles)
	}
	return a
}

// farewell describes the account of a user who is not there any more, with the
// profile that the host was told last.
func (w *work) farewell(was, is *AccountState, last *Resource) *Account {
	a := w.departed(is, last)
	if was != nil && was.Frozen != nil {
		a.Profile = w.toldProfile(last, was)
	}
	return a
}

// inform calls the Provisioner for each account in turn. Without a transaction
// that an error would take back, one failure keeps nobody else from being told.
func (w *work) inform(ctx context.Context, accounts []*Account) error {
	provisioner := w.provisioner // a hook that is abandoned must not hold w, which is used again
	if provisioner == nil {
		return nil
	}
	var failed []error
	for _, a := range accounts {
		if a == nil {
			continue
		}
		var told *Account
		if w.committer != nil {
			told = new(*a) // a is the host's from here on
			told.Roles, told.Groups = slices.Clone(a.Roles), slices.Clone(a.Groups)
			w.owe(told)
		}
		err := w.hooks.call(ctx, func(ctx context.Context) error {
			id, err := provisioner.Provision(ctx, a)
			a.HostID = cmp.Or(id, a.HostID)
			return err
		})
		switch {
		case err == nil && told != nil:
			told.HostID = a.HostID // not after an error: an abandoned hook may still be writing to a
		case err == nil:
		case w.ledger != nil:
			return err
		default:
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
