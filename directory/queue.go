package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	scim "github.com/muster-id/scim"
)

// A WaitingAccount is a person whose account is not what the directory says, and
// why: a line of the list that administrators review.
type WaitingAccount struct {
	User        scim.Ref
	HostID      string
	DisplayName string // "" once the user is deleted
	Email       string
	Deleted     bool // the provider has deleted the user

	Held    string       // why there is no access although the user is active; "" if it is not held
	Pending scim.Pending // what has not reached the application
	Since   time.Time    // zero where it is not known

	Why []string // in plain words, one for each cause
	Do  []string // what ends it, in the same order

	// ToRelease says that [Service.Release] ends it, and nothing else does by
	// itself.
	ToRelease bool
}

// Waiting returns accounts of a directory that wait for something, in order of
// the user's id: those behind after, limit at most, 1,000 at most. The error
// wraps [scim.ErrNotFound] if there is no such directory.
func (s *Service) Waiting(ctx context.Context, key scim.Key, after string, limit int) ([]*WaitingAccount, error) {
	d, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	accounts, err := s.store.Waiting(ctx, key, after, clampPage(limit))
	if err != nil {
		return nil, err
	}
	waiting := make([]*WaitingAccount, len(accounts))
	for i, a := range accounts {
		if waiting[i], err = s.waiting(ctx, d, a); err != nil {
			return nil, err
		}
	}
	return waiting, nil
}

// mostOnPage bounds the pages of what administrators read.
const mostOnPage = 1000

func clampPage(limit int) int { return max(1, min(limit, mostOnPage)) }

// waiting describes an account that waits.
func (s *Service) waiting(ctx context.Context, d *Directory, a *scim.AccountState) (*WaitingAccount, error) {
	w := &WaitingAccount{User: a.User, HostID: a.HostID, Email: a.Email, Deleted: a.Deleted, Held: a.Held, Pending: a.Pending, Since: a.Since}
	if !a.Deleted {
		user, err := s.store.Get(ctx, a.User, scim.GetOptions{})
		switch {
		case err == nil:
			w.DisplayName = nameOf(user)
		case !isNotFound(err): // deleted meanwhile
			return nil, err
		}
	}
	say := func(why, do string) { w.Why, w.Do = append(w.Why, why), append(w.Do, do) }
	switch a.Held {
	case "":
	case scim.HeldForDomain:
		say(a.Held, fmt.Sprintf("verify the domain %q for the organization, or invite the person", domainOf(a.Email)))
	case scim.HeldForEmail:
		say(a.Held, "approve that person's change of email, or correct the email in the provider")
	case scim.HeldForSeat:
		say(a.Held, "free a seat or raise the limit; who has waited longest comes first")
	default:
		w.ToRelease = true
		say(a.Held, "look at the account, then release it; or take the person out of provisioning")
	}
	for _, p := range []struct {
		pending scim.Pending
		why, do string
	}{
		{scim.PendingSeat, "roles that need a seat are withheld", "free a seat or raise the limit; who has waited longest comes first"},
		{scim.PendingAdmin, "the administrator's role was kept: the organization would have no other administrator", "make somebody else an administrator"},
		{scim.PendingCreate, "the person was not created: creating users is switched off", "switch it on"},
		{scim.PendingUpdate, "changes of attributes are not passed on: updating attributes is switched off", "switch it on"},
		{scim.PendingDeactivate, "access was not ended: deactivating users is switched off", "switch it on, or end access in the application"},
		{scim.PendingGroups, "changes of groups are not passed on: group sync is switched off", "switch it on"},
		{scim.PendingGrants, "new roles are on their way", "nothing: the background worker passes them on"},
	} {
		if a.Pending&p.pending != 0 {
			say(p.why, p.do)
		}
	}
	if d.State == Paused {
		say("the directory is paused", "enable it")
	}
	return w, nil
}

// An EmailChange is a change of email that was refused, or held back, and that
// an administrator may approve (rule A4).
type EmailChange struct {
	User    scim.Ref
	HostID  string
	Email   string // the account's
	Wanted  string // the one that the provider sent
	Outside bool   // its domain is none of the organization's
}

// EmailChanges returns the changes of email in a directory that may be approved
// ([Service.ApproveEmail]), in order of the user's id, and where the next page
// begins, "" where nothing follows. It looks through accounts behind after, a
// thousand at a time, until it has limit of them, 1,000 at most: a page can be
// short, or empty, although another follows.
func (s *Service) EmailChanges(ctx context.Context, key scim.Key, after string, limit int) (changes []EmailChange, next string, err error) {
	d, err := s.serving(ctx, key)
	if err != nil {
		return nil, "", err
	}
	limit = clampPage(limit)
	const pages = 10
	for range pages {
		accounts, err := s.store.Accounts(ctx, key, after, mostOnPage)
		if err != nil {
			return nil, "", err
		}
		for _, a := range accounts {
			after = a.User.ID
			if a.RefusedEmail == "" || a.Deleted {
				continue
			}
			changes = append(changes, EmailChange{a.User, a.HostID, a.Email, a.RefusedEmail, !isRegistered(d.Domains, a.RefusedEmail)})
			if len(changes) == limit {
				return changes, after, nil
			}
		}
		if len(accounts) < mostOnPage {
			return changes, "", nil
		}
	}
	return changes, after, nil
}

// Release gives a held account the access that it was denied. The errors are
// those of [scim.Engine.Release].
func (s *Service) Release(ctx context.Context, key scim.Key, user string) error {
	d, err := s.serving(ctx, key)
	if err != nil {
		return err
	}
	return s.engine.Release(ctx, d, user)
}

// ApproveEmail lets a change of email happen that was refused or held back
// (rule A4). The errors are those of [scim.Engine.ApproveEmail].
func (s *Service) ApproveEmail(ctx context.Context, key scim.Key, user string) error {
	d, err := s.serving(ctx, key)
	if err != nil {
		return err
	}
	return s.engine.ApproveEmail(ctx, d, user)
}

// ConfirmMassChange lets the provider take access from very many people until
// then, which [scim.HoldMassChange] holds up (rule B8): for a day at most.
func (s *Service) ConfirmMassChange(ctx context.Context, key scim.Key, until time.Time) error {
	d, err := s.serving(ctx, key)
	if err != nil {
		return err
	}
	if latest := s.now().Add(day); until.After(latest) {
		until = latest
	}
	return s.engine.ConfirmMassChange(ctx, d, until)
}

// mostUsers bounds the users that one task is about.
const mostUsers = 10_000

// Resync begins a task that tells the application about users of a directory
// again, with their complete desired state, or, without users, about everybody
// (rule B12): after changes by hand, or when its own tables were restored. It
// is safe at any time. Users that are not there are left out.
func (s *Service) Resync(ctx context.Context, key scim.Key, users ...string) (*Task, error) {
	if len(users) > mostUsers {
		return nil, fmt.Errorf("directory: a resync names %d users at most; name none for the whole directory", mostUsers)
	}
	users = slices.Compact(slices.Sorted(slices.Values(users)))
	var task *Task
	err := s.store.Do(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		if _, err := s.live(ctx, key); err != nil {
			return err
		}
		var err error
		task, err = s.enqueue(ctx, tx, Task{Directory: key, Kind: TaskResync, Users: users})
		return err
	})
	if err != nil {
		return nil, err
	}
	s.worker.wake(key.Tenant)
	return task, nil
}
