package scim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// createUser stores a person whom the provider sends for the first time.
func (w *work) createUser(ctx context.Context, r *Resource) (*Resource, error) {
	email, err := requireEmail(w.dir, r)
	if err != nil {
		return nil, err
	}
	held, err := checkDomain(w.dir, r)
	if err != nil {
		return nil, err
	}
	if err := w.anticipate(ctx, r, email); err != nil {
		return nil, err
	}
	if err := w.uniqueUserName(ctx, r); err != nil {
		return nil, err
	}
	if err := w.uniqueEmail(ctx, r, email); err != nil {
		return nil, err
	}
	next := &AccountState{User: r.Ref(), ExternalID: r.ExternalID(), Email: email, Held: held}
	change := Created
	elsewhere, err := w.arrive(ctx, next)
	if err != nil {
		return nil, err
	}
	old, err := w.rejoin(ctx, r, email, next)
	if err != nil {
		return nil, err
	}
	var takes *AccountState
	switch {
	case old == nil:
	case old.lingers():
		takes, change = old, Updated
	case old.User.Directory != w.Directory || old.Unmanaged:
		change = Linked
	}
	if kept, err := w.keptBy(ctx, r, next.Email); err != nil {
		return nil, err
	} else if kept {
		next.Held = HeldForEmail
		if elsewhere && old == nil { // the account there is the other person's
			next.HostID, elsewhere = "", false
		}
	}
	switch {
	case old != nil:
	case elsewhere && !w.dir.Policy.Off.Has(CreateUsers):
		change = Linked
	case w.resolver != nil && !elsewhere && !w.dir.Policy.Off.Has(CreateUsers):
		answer, err := w.ask(ctx, r, next)
		if err != nil {
			return nil, err
		}
		if answer.kind == resolveRefuse {
			return nil, refuse(http.StatusForbidden, "", cmp.Or(answer.reason, refusedByHost)).because(ReasonExistingAccount)
		}
		change = w.resolve(answer, next)
	}
	created, err := w.tx.Create(ctx, r)
	if err != nil {
		return nil, err
	}
	w.event(&Event{Type: UserCreated, Data: created})
	if change == Linked {
		w.event(&Event{Type: UserLinked, Data: created, Roles: next.Grants})
	}
	return created, w.tellOne(ctx, subject{
		id: created.id, UserState: UserState{User: created}, known: true, next: next, change: change, takes: takes, by: byProvider,
	})
}

// rejoin gives a person who was deleted and comes back the same host account
// (rule B4), or the one that a retired directory gave (rule B9), with the roles
// that were given by hand and, if it was, held for review. What was kept for that
// is given up: a host account is one person's. Who has another host account by
// now, through another directory, keeps that. It returns nil if there is none.
func (w *work) rejoin(ctx context.Context, r *Resource, email string, next *AccountState) (*AccountState, error) {
	old, err := w.formerly(ctx, r, email)
	if old == nil || err != nil || next.HostID != "" && next.HostID != old.HostID {
		return nil, err
	}
	if err := w.keep(ctx, old, &AccountState{User: old.User, Deleted: true}); err != nil {
		return nil, err
	}
	next.HostID, next.Found = old.HostID, old.Found
	for _, g := range old.Grants {
		if g.Source == Manual {
			next.Grants = append(next.Grants, g)
		}
	}
	if !sameEmail(old.Email, email) && !mayChangeEmail(w.dir, email) {
		// To delete and to create again is no way around rule A4.
		next.Email, next.RefusedEmail = old.Email, email
		if err := w.freeEmail(ctx, r, old.Email); err != nil {
			if !errors.Is(err, ErrUniqueness) {
				return nil, err
			}
			next.Held = "the email that this account had is another person's now"
		}
	}
	switch old.Held {
	case "", HeldForDomain, HeldForEmail, HeldForSeat: // checked anew
	default:
		next.Held = old.Held
	}
	return old, nil
}

// rejoinsByEmail reports whether who comes back is known by that email.
func (w *work) rejoinsByEmail(email string) bool {
	return w.dir.Policy.RejoinByEmail && registered(w.dir, email)
}

// refusedByHost is why a person is refused whom the host does not want.
const refusedByHost = "the application refuses to manage this account"

// ask asks the host whether it knows the person (rule A7).
func (w *work) ask(ctx context.Context, r *Resource, next *AccountState) (Resolution, error) {
	var answer Resolution
	asked := w.describe(r, next, nil, Created)
	asked.Active = r.User().Active() && next.Held == ""
	resolver := w.resolver // w may be used again before an abandoned hook looks
	err := w.hooks.call(ctx, func(ctx context.Context) (err error) {
		answer, err = resolver.ResolveExisting(ctx, asked)
		return err
	})
	if err != nil {
		return Resolution{}, err // an abandoned hook may still be answering
	}
	return answer, nil
}

// resolve makes of the host's answer, which is no refusal, what becomes of the
// account (rule A7).
func (w *work) resolve(answer Resolution, next *AccountState) Change {
	switch answer.kind {
	case resolveHold:
		next.Held = cmp.Or(answer.reason, "the application wants to review this account")
		return Created
	case resolveExisting, resolveLink:
	case resolveCreate, resolveRefuse:
		return Created
	}
	next.HostID = answer.hostID
	next.Found = append([]string{}, answer.roles...)
	next.Grants = withManual(nil, answer.roles)
	if answer.kind == resolveExisting && (answer.protected || !registered(w.dir, next.Email)) {
		next.Held = HeldForReview
		return Created
	}
	return Linked
}

// uniqueEmail refuses an email that is another user's of the directory (rule
// A7). It asks as a provider would, with a filter: what is refused as existing
// can be found. A filter does not know that a domain has two spellings, so both
// are looked for.
func (w *work) uniqueEmail(ctx context.Context, r *Resource, email string) error {
	for _, e := range emailFilters(r, email) {
		taken, err := w.emailTaken(ctx, r, &Query{Directory: w.Directory, Type: r.typ, Filter: e, StartIndex: 1, Count: 100}, email)
		if err != nil {
			return err
		}
		if taken {
			return w.taken(ctx, r, e.Attr)
		}
	}
	return nil
}

// uniqueUserName refuses a userName that another user has with the other spelling of
// its domain: a filter finds that one ([inBothSpellings]). What is spelled the
// same the store refuses.
func (w *work) uniqueUserName(ctx context.Context, r *Resource) error {
	t := r.typ
	spellings := emailSpellings(r.User().UserName())
	if len(spellings) == 1 {
		return nil
	}
	page, err := w.tx.List(ctx, &Query{Directory: w.Directory, Type: t, Filter: filter.Equal(t.userName, spellings[1]), StartIndex: 1, Count: 2})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(page.Resources, func(other *Resource) bool { return other.id != r.id }) {
		return &UniquenessError{Attribute: t.userName.Path()}
	}
	return nil
}

// emailFilters returns the filters that find who has an email.
func emailFilters(r *Resource, email string) (all []*filter.Compare) {
	t := r.typ
	for _, spelling := range emailSpellings(email) {
		for _, a := range []*attr.Attribute{t.emailValue, t.userName} {
			if a == nil || a == t.userName && r.User().UserName() == spelling {
				continue // the store itself keeps userName unique
			}
			all = append(all, filter.Equal(a, spelling))
		}
	}
	return all
}

// taken names what of a user is taken where its email is: its userName, if that
// is too, because providers look for people by it.
func (w *work) taken(ctx context.Context, r *Resource, email *attr.Attribute) error {
	t := r.typ
	page, err := w.tx.List(ctx, &Query{
		Directory: w.Directory, Type: t, Filter: filter.Equal(t.userName, r.User().UserName()), StartIndex: 1, Count: 2,
	})
	if err != nil {
		return err
	}
	for _, other := range page.Resources {
		if other.id != r.id {
			return &UniquenessError{Attribute: t.userName.Path()}
		}
	}
	return &UniquenessError{Attribute: email.Path()}
}

// emailTaken reports whether somebody else whom the query finds has the email:
// not who has it as a second address.
func (w *work) emailTaken(ctx context.Context, r *Resource, q *Query, email string) (bool, error) {
	for {
		page, err := w.tx.List(ctx, q)
		if err != nil {
			return false, err
		}
		for _, other := range page.Resources {
			if other.id == r.id {
				continue
			}
			if theirs, _ := emailOf(other, w.dir.Policy.EmailSource); sameEmail(theirs, email) {
				return true, nil
			}
		}
		q.StartIndex += len(page.Resources)
		if len(page.Resources) == 0 || q.StartIndex > page.Total {
			return false, nil
		}
	}
}

// freeEmail refuses an email that another user or another account has.
func (w *work) freeEmail(ctx context.Context, r *Resource, email string) error {
	if err := w.uniqueEmail(ctx, r, email); err != nil {
		return err
	}
	kept, err := w.keptBy(ctx, r, email)
	if err == nil && kept {
		return fmt.Errorf("%w: %s; approve that person's change first", ErrUniqueness, HeldForEmail)
	}
	return err
}

// keptBy reports whether another account has kept that email although its user
// has changed it (rule A4). No filter would find that user, so it is not refused
// as existing: two people never have one email, and neither is told a lie.
func (w *work) keptBy(ctx context.Context, r *Resource, email string) (bool, error) {
	keeper, err := w.tx.Keeper(ctx, w.Directory, FoldEmail(email))
	if keeper == nil && err == nil {
		keeper, err = w.lingering(ctx, email)
	}
	return keeper != nil && keeper.User.ID != r.id, err
}

// isFree reports whether freeEmail refuses the email.
func (w *work) isFree(ctx context.Context, r *Resource, email string) (bool, error) {
	err := w.freeEmail(ctx, r, email)
	if errors.Is(err, ErrUniqueness) {
		return false, nil
	}
	return err == nil, err
}

// updateUser stores what a PUT or PATCH made of a person.
func (w *work) updateUser(ctx context.Context, before, next *Resource) (*Resource, error) {
	if next == before || before.doc.Equal(&next.doc) {
		if w.ledger == nil { // a retry heals what a crash left untold
			return before, w.tellOne(ctx, subject{id: before.id, change: Updated})
		}
		return before, nil
	}
	person, err := w.person(ctx, w.Directory, before.id)
	if err != nil {
		return nil, err
	}
	account := person.Account
	email := emailChangeOf(w.dir, before, next)
	var state *AccountState
	if account != nil {
		state = account.intended()
	} else {
		state = &AccountState{User: before.Ref(), Email: email.was}
	}
	had := state.Email
	if err := keepEmail(w.dir, email, before, next, state); err != nil {
		return nil, err
	}
	if err := w.recheck(email, before, next, state); err != nil {
		return nil, err
	}
	if next.User().Active() && (!before.User().Active() || next.User().UserName() != before.User().UserName()) {
		if err := w.uniqueUserName(ctx, next); err != nil {
			return nil, err
		}
	}
	if next.User().Active() && (email.changed() || !sameEmail(had, state.Email)) {
		if err := w.uniqueEmail(ctx, next, email.is); err != nil {
			return nil, err
		}
		if kept, err := w.keptBy(ctx, next, email.is); err != nil {
			return nil, err
		} else if kept {
			state.Email, state.RefusedEmail = had, email.is
		}
	}
	after, err := w.tx.Replace(ctx, next, before.version)
	if err != nil {
		return nil, err
	}
	change, kind := Updated, UserUpdated
	switch wasActive, isActive := before.User().Active(), after.User().Active(); {
	case wasActive && !isActive:
		change, kind = Deactivated, UserDeactivated
	case !wasActive && isActive:
		change, kind = Reactivated, UserReactivated
	}
	w.event(&Event{Type: kind, Data: after, Previous: before})
	person.User = after
	return after, w.tellOne(ctx, subject{id: after.id, UserState: person, known: true, next: state, change: change, before: before, by: byProvider})
}

// recheck applies the rules of creation again where a change touches them: on
// reactivation, and when email or userName become others (rules A2, A6, B3).
func (w *work) recheck(email emailChange, before, next *Resource, state *AccountState) error {
	if !next.User().Active() {
		return nil // a leaver always leaves
	}
	renamed := next.User().UserName() != before.User().UserName()
	if !email.changed() && !renamed && before.User().Active() {
		return nil
	}
	if _, err := requireEmail(w.dir, next); err != nil {
		return err
	}
	held, err := checkDomain(w.dir, next)
	if err != nil {
		return err
	}
	switch state.Held {
	case "", HeldForDomain:
		state.Held = held
	case HeldForSeat: // asked for anew, of who may have one
		state.Held = cmp.Or(held, state.Held)
	default: // another reason stands
	}
	return nil
}

func (w *work) holdEvents(was, is *AccountState, r *Resource) {
	before := ""
	if was != nil {
		before = was.Held
	}
	switch {
	case before == "" && is.Held != "":
		w.event(&Event{Type: UserHeld, Data: r, Note: is.Held})
	case before == HeldForSeat && !is.Active: // left the queue
	case before != "" && is.Held == "":
		w.event(&Event{Type: UserReleased, Data: r, Note: before})
	}
}

// deleteUser removes a person: access ends, memberships are dropped, the
// account's state stays so that the person can come back (rules B1, B2, B4).
func (w *work) deleteUser(ctx context.Context, r *Resource) error {
	person, err := w.person(ctx, w.Directory, r.id)
	if err != nil {
		return err
	}
	next := AccountState{User: r.Ref(), ExternalID: r.ExternalID()}
	next.Email, _ = emailOf(r, w.dir.Policy.EmailSource)
	var account *Account // as the host is told of it
	switch was := person.Account; {
	case was != nil && was.Pending&PendingCreate != 0: // the host knows nobody
		next = *was.unborn()
		w.Withheld |= CreateUsers
	case was != nil && was.Active && w.dir.Policy.Off.Has(DeactivateUsers):
		next = *w.linger(UserState{User: r, Account: was, Groups: person.Groups})
		w.Withheld |= DeactivateUsers
	default:
		if was != nil {
			next = *was.left()
		}
		next.Active, next.Deleted = false, true
		w.lift(&next)
		if w.cfg.Directories != nil {
			if err := w.decide(ctx, &subject{id: r.id, UserState: person, next: &next, change: Deleted, by: byProvider}); err != nil {
				return err
			}
		}
		if !was.underReview() {
			account = w.farewell(was, &next, r)
			if err := w.unite(ctx, account, &next); err != nil {
				return err
			}
		}
	}
	w.wait(&next)
	steps := []func() error{
		func() error { return w.tx.Delete(ctx, r.Ref(), r.version) },
		func() error { return w.inform(ctx, []*Account{account}) },
	}
	if w.ledger == nil { // who is told of and not deleted is deleted by a retry
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	w.event(&Event{Type: UserDeleted, Data: r})
	if err := w.leftGroups(ctx, Member{Value: r.id, Type: "User"}, person.Groups); err != nil {
		return err
	}
	if account != nil {
		next.HostID = cmp.Or(account.HostID, next.HostID)
	}
	return w.keep(ctx, person.Account, &next)
}

// unborn returns what stays of an account that the host was never told of:
// nothing, or the one of before that the person has come back to (rule B4).
func (a *AccountState) unborn() *AccountState {
	if a.HostID == "" {
		return &AccountState{User: a.User, Deleted: true}
	}
	return a.left()
}

// left returns the state of an account whose user has gone: no access, no roles
// but those given by hand, nothing that waits but a hold.
func (a *AccountState) left() *AccountState {
	next := *a
	next.Grants = slices.DeleteFunc(slices.Clone(next.Grants), func(g Grant) bool { return g.Source != Manual })
	next.Active, next.Deleted, next.Pending, next.Frozen = false, true, 0, nil
	return &next
}
