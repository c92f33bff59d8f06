package scim

import (
	"context"
	"errors"
	"slices"
)

// Reconcile works out anew the accounts of users of the directory, under the
// directory, mapping, domains, switches and seats of now, as one transaction, and
// returns how many have become others. It is what a change of any of them calls
// for, and what passes on what has gathered:
//
//   - what was held back by a switch that is on again (rule B10), with the
//     Resolver asked about who is created only now; what it refuses is held
//   - grants that wait ([Config.DeferGrants], rule B6)
//   - holds of the library whose cause has gone: [HeldForDomain] where the domain
//     is registered now or the policy asks for none, [HeldForEmail] where nobody
//     else has that email any more, [HeldForSeat] where a seat is free
//   - changes of email that were held back and that the policy allows now (rule A4)
//   - roles that the mapping gives otherwise now
//
// The Provisioner is told, and events are raised, only where something has
// changed: a second call does nothing. A domain that is registered no longer
// takes access from nobody (rule A6). Users that are unknown are skipped. Of
// deleted users those are told whose access was left to them by a switch.
//
// Which profile the host was told is not known: after a change of
// [Directory.Profile], call [Engine.Resync].
//
// Who is affected: after a change of the mapping everybody ([AccountReader].Accounts),
// otherwise who waits (Waiting). A batch of some hundred keeps the writers of the
// tenant waiting for as long as the Provisioner needs for it. Reconcile works on
// a disabled directory too.
func (e *Engine) Reconcile(ctx context.Context, d *Directory, users ...string) (changed int, err error) {
	if err := e.checkDirectory(d); err != nil {
		return 0, err
	}
	if e.ledger == nil {
		return 0, errors.New("scim: the store is no Ledger and keeps no accounts")
	}
	ids := slices.Clone(users)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	q := e.system(d, "reconcile")
	q.Actor = "system"
	err = e.write(ctx, q, false, func(ctx context.Context, w *work) error {
		others := map[string]bool{} // who has become another
		for again := true; again; {
			again = false
			for some := range slices.Chunk(ids, batch) {
				freed, err := w.reconcile(ctx, some, others)
				if err != nil {
					return err
				}
				// Somebody may have waited for that email. Each round gives up
				// one more at least, so that there is a last.
				again = again || freed
			}
		}
		changed = len(others)
		w.idle = changed == 0
		return nil
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

// reconcile works out some accounts, adds to changed who has become another, and
// reports whether one has given up an email that others may have waited for.
func (w *work) reconcile(ctx context.Context, ids []string, changed map[string]bool) (freed bool, err error) {
	people, err := w.tx.UserStates(ctx, w.Directory, ids)
	if err != nil {
		return false, err
	}
	subjects := make([]subject, 0, len(ids))
	for i, id := range ids {
		s := subject{id: id, UserState: people[i], known: true, change: Updated, lazy: true}
		switch p := s.UserState; {
		case p.User == nil && p.Account == nil, p.Account != nil && p.Account.Unmanaged:
			continue
		case p.User == nil:
			if s.next = w.departure(p.Account); s.next.Active || !p.Account.Active {
				continue
			}
			s.change = Deleted
		case p.Account == nil: // a user that was not stored by an engine
			s.change = Created
		default:
			if err := w.review(ctx, &s); err != nil {
				return false, err
			}
		}
		subjects = append(subjects, s)
	}
	if err := w.tellSome(ctx, subjects); err != nil {
		return false, err
	}
	for i := range subjects {
		s := &subjects[i]
		if s.Account != nil && sameState(s.Account, s.next) {
			continue
		}
		changed[s.id] = true
		freed = freed || s.Account != nil && keepsEmail(s.Account) && (!keepsEmail(s.next) || !sameEmail(s.Account.Email, s.next.Email))
	}
	return freed, nil
}

// keepsEmail reports whether the account has an email that another user could
// have meanwhile.
func keepsEmail(a *AccountState) bool { return a.RefusedEmail != "" && !a.Deleted || a.lingers() }

// departure returns what is to be of a deleted user's account: access ends, if
// that is only now passed on.
func (w *work) departure(a *AccountState) *AccountState {
	if a.lingers() && !w.dir.Policy.Off.Has(DeactivateUsers) {
		return a.left()
	}
	next := *a
	return &next
}

// review looks again at why an account was held and why an email was held back.
func (w *work) review(ctx context.Context, s *subject) error {
	r := s.User
	next := s.Account.intended()
	s.next = next
	now, _ := emailOf(r, w.dir.Policy.EmailSource)
	approved := next.ApprovedEmail != "" && sameEmail(next.ApprovedEmail, now)
	if r.User().Active() && next.RefusedEmail != "" && sameEmail(next.RefusedEmail, now) && (approved || mayChangeEmail(w.dir, now)) {
		free, err := w.isFree(ctx, r, now)
		if err != nil {
			return err
		}
		if free {
			next.Email, next.RefusedEmail, next.ApprovedEmail = now, "", ""
		}
	}
	switch next.Held {
	case HeldForDomain:
		if held, err := checkDomain(w.dir, r); err == nil {
			next.Held = held
		}
	case HeldForEmail:
		next.Held = ""
	default:
		return nil
	}
	if next.Held == "" {
		if free, err := w.isFree(ctx, r, next.Email); err != nil {
			return err
		} else if !free {
			next.Held = HeldForEmail
		}
	}
	return nil
}
