package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// systemMethod stands in the request log where there was no request.
const systemMethod = "-"

// system is the request of an administrator's or the library's own doing.
func (e *Engine) system(d *Directory, actor string) *request {
	return &request{
		LogEntry: LogEntry{ID: newRequestID(), Time: e.cfg.Now(), Directory: d.Key(), Actor: actor, Method: systemMethod, Path: actor, Status: http.StatusOK},
		dir:      d, lenience: d.lenience(), own: true,
	}
}

// Resync tells the Provisioner about users of the directory again, with their
// complete desired state (rule B12), as one transaction. It is safe at any time.
// The host is told of deleted users too, that they have no access; not of those
// that it was never told of (rules A7, B10), that have come back as another user or
// that were released (rule B9). What is switched off is told as it was last. Ids
// that are no user's and never were are an error wrapping ErrNotFound, and nobody
// is told.
func (e *Engine) Resync(ctx context.Context, d *Directory, users ...string) error {
	if err := e.checkDirectory(d); err != nil {
		return err
	}
	q := e.system(d, "resync")
	return e.write(ctx, q, false, func(ctx context.Context, w *work) error {
		people, err := w.tx.UserStates(ctx, d.Key(), users)
		if err != nil {
			return err
		}
		subjects := make([]subject, len(users))
		for i, id := range users {
			p := people[i]
			s := subject{id: id, UserState: p, known: true, change: Resynced}
			switch {
			case p.User != nil:
			case p.Account == nil:
				return fmt.Errorf("%w: user %s", ErrNotFound, id)
			default:
				s.next = w.departure(p.Account)
				s.silent = p.Account.Unmanaged || p.Account.givenUp() || p.Account.underReview()
			}
			subjects[i] = s
		}
		return w.tell(ctx, subjects)
	})
}

// givenUp reports whether nothing is left of a deleted user's account: the person
// has come back with it, or the host was never told.
func (a *AccountState) givenUp() bool { return a.HostID == "" && a.ExternalID == "" && a.Email == "" }

// ApproveEmail lets the change of email that was refused or held back for the
// user happen (rule A4): at once where the directory has it already, else when
// the provider sends it again.
func (e *Engine) ApproveEmail(ctx context.Context, d *Directory, user string) error {
	return e.changeAccount(ctx, d, user, func(ctx context.Context, w *work, r *Resource, a *AccountState) error {
		if a.RefusedEmail == "" {
			return refuse(http.StatusConflict, "", "no change of email waits for approval")
		}
		now, _ := emailOf(r, d.Policy.EmailSource)
		if !sameEmail(now, a.RefusedEmail) {
			a.RefusedEmail, a.ApprovedEmail = "", a.RefusedEmail
			return nil
		}
		a.Email, a.RefusedEmail, a.ApprovedEmail = now, "", ""
		return w.freeEmail(ctx, r, now) // a leaver is renamed unchecked
	}, func(*AccountState) error { return nil })
}

// Release gives a held account the access that it was denied. One that was held
// for review ([HeldForReview]) is linked, with the roles that were found (rule
// A7). It is refused while another account of the directory has the same email,
// and where the person needs a seat that is not there (rule E1).
func (e *Engine) Release(ctx context.Context, d *Directory, user string) error {
	return e.changeAccount(ctx, d, user, func(ctx context.Context, w *work, r *Resource, a *AccountState) error {
		if a.Held == "" {
			return nil
		}
		a.Held = ""
		return w.freeEmail(ctx, r, a.Email)
	}, func(a *AccountState) error {
		if a.Held == HeldForSeat {
			return refuseSeat(HeldForSeat)
		}
		return nil
	})
}

// SetManualRoles replaces the roles that a user was given by hand. Provisioning
// never changes them (rule C7). It works for a deleted user too whose access was
// left by a switch (rule B10): what is protected can be taken away then.
func (e *Engine) SetManualRoles(ctx context.Context, d *Directory, user string, roles ...string) error {
	return e.changeAccount(ctx, d, user, func(_ context.Context, _ *work, _ *Resource, a *AccountState) error {
		kept := slices.DeleteFunc(slices.Clone(a.Grants), func(g Grant) bool { return g.Source == Manual })
		a.Grants = withManual(kept, roles)
		return nil
	}, nil)
}

// changeAccount changes an account by hand. What check says of the result takes
// everything back. Without check the user may be deleted, whose access lingers.
func (e *Engine) changeAccount(ctx context.Context, d *Directory, user string, change func(context.Context, *work, *Resource, *AccountState) error,
	check func(*AccountState) error,
) error {
	if err := e.checkDirectory(d); err != nil {
		return err
	}
	if e.ledger == nil {
		return errors.New("scim: the store is no Ledger and keeps no accounts")
	}
	q := e.system(d, "administrator")
	return e.write(ctx, q, false, func(ctx context.Context, w *work) error {
		person, err := w.person(ctx, d.Key(), user)
		if err != nil {
			return err
		}
		if person.Account == nil || person.User == nil && (check != nil || !person.Account.lingers()) {
			return fmt.Errorf("%w: user %s", ErrNotFound, user)
		}
		next := person.Account.intended()
		if err := change(ctx, w, person.User, next); err != nil {
			return err
		}
		s := subject{id: user, UserState: person, known: true, next: next, change: Updated, by: byHand}
		if person.Account.Held == HeldForReview && next.Held == "" {
			s.change = Linked
			w.event(&Event{Type: UserLinked, Data: person.User, Roles: withManual(nil, next.Found)})
		}
		if err := w.tellOne(ctx, s); err != nil || check == nil {
			return err
		}
		return check(next)
	})
}

// Account returns the complete desired state of a user's account as the
// Provisioner was told last; with a plain [Store], as it would be told now.
func (e *Engine) Account(ctx context.Context, d *Directory, user string) (*Account, error) {
	if err := e.checkDirectory(d); err != nil {
		return nil, err
	}
	if e.ledger == nil {
		w := e.system(d, "system").begin(e, plainTx{e})
		return w.desired(ctx, user)
	}
	var a *Account
	err := e.ledger.Do(ctx, d.Tenant, func(ctx context.Context, tx Tx) (err error) {
		w := e.system(d, "system").begin(e, tx)
		a, err = w.current(ctx, Ref{d.Key(), "User", user}, Resynced)
		return err
	})
	return a, err
}

// DeliverPending calls Committed for the accounts of a tenant where it is
// outstanding: it failed, or the process ended before it was called. It
// returns how many calls succeeded and the errors of those that did not. The
// directory function returns the directory of a key, nil where it is gone.
// Call it when the program starts and from time to time.
func (e *Engine) DeliverPending(ctx context.Context, tenant string, directory func(Key) *Directory) (delivered int, err error) {
	if e.ledger == nil || e.committer == nil {
		return 0, nil
	}
	const batch = 100
	var failed []error
	tried := map[Ref]bool{}
	started := e.cfg.Now()
	for {
		pending, err := e.ledger.Undelivered(ctx, tenant, started, batch+len(tried))
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return delivered, errors.Join(append(failed, err)...)
		}
		pending = slices.DeleteFunc(pending, func(d Delivery) bool { return tried[d.User] })
		if len(pending) == 0 {
			return delivered, errors.Join(failed...)
		}
		for _, p := range pending {
			if tried[p.User] {
				continue
			}
			if err := e.deliver(ctx, p, directory(p.User.Directory)); err != nil {
				tried[p.User] = true
				failed = append(failed, fmt.Errorf("scim: user %s: %w", p.User.ID, err))
				continue
			}
			delivered++
		}
	}
}

func (e *Engine) deliver(ctx context.Context, p Delivery, d *Directory) error {
	tenant := p.User.Directory.Tenant
	if d == nil {
		return e.ledger.Delivered(ctx, tenant, p)
	}
	var a *Account
	var owed []Delivery
	err := e.ledger.Do(ctx, tenant, func(ctx context.Context, tx Tx) (err error) {
		w := e.system(d, "system").begin(e, tx)
		if a, err = w.current(ctx, p.User, p.Change); err != nil {
			return err
		}
		// The state is newer than the delivery, and so must be its number.
		owed, err = tx.Deliver(ctx, Delivery{User: p.User, Change: p.Change, Since: p.Since})
		return err
	})
	if err != nil {
		return err
	}
	if err := e.ledger.Delivered(ctx, tenant, p); err != nil {
		return err
	}
	a.Seq = owed[0].ID
	if err := e.hooks.call(ctx, func(ctx context.Context) error { return e.committer.Committed(ctx, a) }); err != nil {
		return err
	}
	return e.ledger.Delivered(ctx, tenant, owed...)
}
