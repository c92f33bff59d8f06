package scim

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Retirement says what becomes of the accounts of a directory that is given up
// (rule B9).
type Retirement uint8

// The retirements.
const (
	// ReleaseAccounts: users become manual, with the access and the roles that
	// they have.
	ReleaseAccounts Retirement = iota
	// DeactivateAll: nobody has access any more.
	DeactivateAll
	// RestoreAccounts: who was linked (rule A7) has the roles that were found
	// then, and access unless the provider has deactivated the person. Who came
	// with the directory has nothing to go back to: access ends.
	RestoreAccounts
)

var retirements = []string{ReleaseAccounts: "release", DeactivateAll: "deactivate", RestoreAccounts: "restore"}

// String returns the name: release, deactivate or restore.
func (r Retirement) String() string { return nameOf(retirements, r) }

// MarshalText returns the name.
func (r Retirement) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Retirement) UnmarshalText(text []byte) error { return named(retirements, r, text) }

// Retire gives up users of a directory, as one transaction (rule B9). The
// directory no longer takes requests: it is disabled. A batch of some hundred
// users keeps the writers of the tenant waiting for as long as the Provisioner
// needs for it. What is done already is left alone, unknown users are skipped: a
// task that was interrupted begins again anywhere.
//
// The host is told of each account once: of one that is given back to it with
// the change [Released], as it is to be from now on, all its roles manual; of one
// whose access ends with [Deactivated]. Not of those that it was never told of
// (rule B10), nor of users that were deleted before.
//
// The users are removed. Their accounts stay with externalId, email and host id:
// a directory that claims them finds them ([Directory.Claims]), and a sign-in is
// told that the directory ended the access. A released account is
// [AccountState.Unmanaged].
//
// user.deleted is raised for those whose access ends, because that is what the
// event says; user.roles_changed where roles were put back. For those who are
// released nothing is raised but the directory's own event: nothing has changed
// for them. Memberships end with their groups, without events.
//
// Nothing protects the last administrator here: the choice is an
// administrator's, and the one who offers it warns.
func (e *Engine) Retire(ctx context.Context, d *Directory, how Retirement, users ...string) error {
	if err := e.checkDirectory(d); err != nil {
		return err
	}
	switch {
	case e.ledger == nil:
		return errors.New("scim: the store is no Ledger and keeps no accounts")
	case int(how) >= len(retirements):
		return fmt.Errorf("scim: %s is no retirement", how)
	}
	ids := slices.Clone(users)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	q := e.system(d, "retire")
	q.Actor = "administrator"
	return e.write(ctx, q, false, func(ctx context.Context, w *work) error {
		w.idle = true
		for some := range slices.Chunk(ids, batch) {
			if err := w.retire(ctx, how, some); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *work) retire(ctx context.Context, how Retirement, ids []string) error {
	people, err := w.tx.UserStates(ctx, w.Directory, ids)
	if err != nil {
		return err
	}
	subjects := make([]subject, 0, len(ids))
	for i, id := range ids {
		p := people[i]
		switch {
		case p.User == nil && (p.Account == nil || !p.Account.lingers()):
			continue // nothing to give up
		case p.User != nil:
			if err := w.tx.Delete(ctx, p.User.Ref(), p.User.version); err != nil {
				return err
			}
		}
		s := subject{id: id, UserState: UserState{Account: p.Account}, known: true, before: p.User, by: byChoice}
		w.giveUp(&s, how, p)
		subjects = append(subjects, s)
	}
	w.idle = w.idle && len(subjects) == 0
	return w.tellSome(ctx, subjects)
}

// giveUp works out what becomes of one account.
func (w *work) giveUp(s *subject, how Retirement, p UserState) {
	was := p.Account
	restored := how == RestoreAccounts && was != nil && was.Found != nil && p.User != nil
	switch {
	case was == nil:
		s.next, s.silent = &AccountState{User: Ref{w.Directory, "User", s.id}, Deleted: true}, true
		return
	case was.Pending&PendingCreate != 0, was.underReview(): // the host was told of nobody
		s.next, s.silent = was.unborn(), true
		return
	case how == ReleaseAccounts, restored:
		profile := w.toldProfile(p.User, was)
		next := *was
		next.Deleted, next.Unmanaged, next.Pending = true, true, 0
		next.RefusedEmail, next.ApprovedEmail = "", ""
		next.Frozen = &Frozen{Profile: &profile, Groups: toldGroups(was, p.Groups)}
		s.next, s.change = &next, Released
	default:
		s.next, s.change = was.left(), Deactivated
		w.lift(s.next)
	}
	if p.User == nil {
		return // that was told when the user was deleted
	}
	switch {
	case restored:
		s.next.Active, s.next.Held = p.User.User().Active(), ""
		s.next.Grants, s.next.Frozen.Groups = withManual(nil, was.Found), nil
		if !slices.Equal(was.Grants, s.next.Grants) {
			w.event(&Event{Type: UserRolesChanged, Data: p.User, Roles: s.next.Grants, PreviousRoles: was.Grants})
		}
	case how != ReleaseAccounts:
		w.event(&Event{Type: UserDeleted, Data: p.User})
	}
}

// RetireRest removes what is left of a directory once its users are given up:
// groups and resources of custom types, limit at most, as one transaction. It
// returns how many; fewer than limit means that nothing is left. Nobody is told
// and no event is raised but the directory's own. It is an error while the
// directory has users.
func (e *Engine) RetireRest(ctx context.Context, d *Directory, limit int) (removed int, err error) {
	if err := e.checkDirectory(d); err != nil {
		return 0, err
	}
	if e.ledger == nil {
		return 0, errors.New("scim: the store is no Ledger and keeps no accounts")
	}
	q := e.system(d, "retire")
	q.Actor = "administrator"
	err = e.write(ctx, q, false, func(ctx context.Context, w *work) error {
		removed = 0
		for _, t := range e.cfg.Types.All() {
			left := limit - removed
			if t.IsUser() {
				left = 1
			}
			if left <= 0 {
				continue
			}
			page, err := w.tx.List(ctx, &Query{Directory: w.Directory, Type: t, StartIndex: 1, Count: left, WithoutMembers: true})
			if err != nil {
				return err
			}
			if t.IsUser() && len(page.Resources) > 0 {
				return errors.New("scim: the directory still has users; they are given up first, by Retire")
			}
			for _, r := range page.Resources {
				if err := w.tx.Delete(ctx, r.Ref(), r.version); err != nil {
					return err
				}
				removed++
			}
		}
		w.idle = removed == 0
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
