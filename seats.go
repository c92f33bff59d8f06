package scim

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
)

// waitsForSeat reports whether the account is held or lacks roles until there is
// a seat.
func (a *AccountState) waitsForSeat() bool {
	return a != nil && (a.Held == HeldForSeat || a.Pending&PendingSeat != 0)
}

// guardSeats applies rule E1 to a person who needs a seat and has none. Who has
// one keeps it.
func (w *work) guardSeats(ctx context.Context, s *subject, before []string, others []*AccountState) error {
	catalog := &w.cfg.Catalog
	if w.usage == nil || catalog.needsSeat(before) || !catalog.needsSeat(rolesOf(s.next, others...)) {
		return nil
	}
	usage, _, err := w.outside(ctx)
	if err != nil || usage.SeatLimit == 0 {
		return err
	}
	c, err := w.counter(ctx)
	if err != nil {
		return err
	}
	free := usage.SeatLimit - usage.Seats - c.now.Seats - w.planned.seats
	if free > 0 {
		c.withinLimit()
		return nil
	}
	note := outOf(usage.SeatLimit-free, usage.SeatLimit, "seats are in use")
	crossing := &Event{Type: SeatLimitReached, Note: note}
	switch {
	case w.dir.Policy.Seats == OverageSeats, w.seatFound(s):
		crossing.Note = outOf(usage.SeatLimit-free+1, usage.SeatLimit, "seats are in use")
	case s.User == nil, !s.was().waitsForSeat() && (s.by == byHand || s.by == byProvider && w.dir.Policy.Seats == RefuseSeats):
		e := refuseSeat(note)
		e.event = crossing
		return e
	default:
		if err := w.withhold(ctx, s, others); err != nil {
			return err
		}
		if s.by == byHand && s.was().counts() && !s.next.counts() { // a role given by hand is no reason to lose access
			return refuseSeat(note)
		}
	}
	if c.refused(crossing) {
		w.event(crossing)
	}
	return nil
}

func refuseSeat(why string) *Error {
	e := refuse(http.StatusForbidden, "", "this person needs a seat, and ", why,
		"; free one by deactivating somebody, or add seats to the subscription, and send this again")
	e.Reason = ReasonSeats
	return e
}

// seatFound reports whether a person has the seat already that is asked for: who
// is linked had one outside of the directories until now.
func (w *work) seatFound(s *subject) bool {
	return s.change == Linked && slices.ContainsFunc(s.next.Grants, func(g Grant) bool {
		return g.Source == Manual && slices.Contains(w.cfg.Catalog.Billable, g.Role)
	})
}

// withhold lets an account wait for a seat, as the policy says. Under HoldSeats
// it is held, unless the person has access without a seat already: that is not
// taken away, and only the rest waits.
func (w *work) withhold(ctx context.Context, s *subject, others []*AccountState) error {
	next := s.next
	wanted := next.Grants
	policy := &w.dir.Policy
	if policy.Seats == FreeRoleSeats {
		next.Grants = w.withFreeRole(wanted)
	} else {
		var err error
		if next.Grants, err = w.freeGrants(ctx, s); err != nil {
			return err
		}
	}
	next.Pending |= PendingSeat
	left := rolesOf(next, others...)
	// Who is not to be there any more, and is (rule B10), is not held either.
	hasAccess := s.was().counts() && (len(left) > 0 || !s.User.User().Active())
	if policy.Seats == HoldSeats && !hasAccess || w.cfg.Catalog.needsSeat(left) { // by hand, which is not provisioning's to take away
		next.Pending &^= PendingSeat
		next.Grants, next.Active, next.Held = wanted, false, HeldForSeat
	}
	return nil
}

// billable reports whether a grant of provisioning's needs a seat.
func (w *work) billable(g Grant) bool {
	return g.Source != Manual && slices.Contains(w.cfg.Catalog.Billable, g.Role)
}

// freeGrants returns what a person gets without a seat: what the mapping has for
// the groups that give nothing billable, as if the others were none of the
// person's.
func (w *work) freeGrants(ctx context.Context, s *subject) ([]Grant, error) {
	grants, groups := s.next.Grants, s.told
	for {
		paying := map[string]bool{}
		for _, g := range grants {
			if w.billable(g) {
				paying[g.Group] = true
			}
		}
		rest := slices.DeleteFunc(slices.Clone(groups), func(g GroupRef) bool { return paying[g.ID] })
		if len(rest) == len(groups) {
			break
		}
		groups = rest
		var err error
		if grants, err = w.grants(ctx, s.User, groups, s.next.Grants); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(grants), w.billable), nil
}

// withFreeRole puts Policy.FreeRole in the place of the billable roles, if it is
// a role that provisioning may give to anybody.
func (w *work) withFreeRole(grants []Grant) []Grant {
	free := slices.DeleteFunc(slices.Clone(grants), w.billable)
	role := w.dir.Policy.FreeRole
	if role != "" && !slices.Contains(w.cfg.Catalog.Billable, role) && w.cfg.Catalog.forbids(role) == "" {
		free = append(free, Grant{Role: role, Source: FromDefault})
	}
	return canonicalGrants(free)
}

// withinLimit notes that there are seats again.
func (c *counter) withinLimit() {
	c.changed = c.changed || c.now.OverLimit
	c.now.OverLimit = false
}

// Bounds of what is done for others when a request frees a seat; the rest is
// left to [Engine.Reconcile].
const (
	mostServed  = 100    // accounts that get what they wait for
	mostWaiting = 10_000 // accounts looked through for them
)

// A settleError says that what failed was not the request but what it would have
// done for people who wait. [Engine.write] does the request without.
type settleError struct{ err error }

func (e *settleError) Error() string { return e.err.Error() }
func (e *settleError) Unwrap() error { return e.err }

// settle gives to people who wait what the transaction has made possible: the
// seats that became free (rule E1), first those of HoldSeats in the order in
// which they came, then by the user's id; and it lets go of a kept
// administrator's role where there is another administrator now (rule B7).
func (w *work) settle(ctx context.Context) error {
	c := w.counts
	if c == nil || !w.settling || !w.newAdmin && len(w.revisit) == 0 && c.now.Seats >= c.found.Seats {
		return nil
	}
	kept, queue, err := w.waiting(ctx, c)
	if err != nil {
		return err
	}
	if c.now.Seats < c.found.Seats && (len(queue) > 0 || c.now.OverLimit) {
		usage, asked, err := w.outside(ctx)
		if err != nil {
			return err
		}
		if asked && usage.SeatLimit > 0 {
			w.event(&Event{Type: SeatFreed, Note: outOf(c.now.Seats+usage.Seats, usage.SeatLimit, "seats are in use")})
		}
	}
	served := 0
	serve := func(some []waiter) error {
		served += len(some)
		return w.serve(ctx, some)
	}
	for served < mostServed {
		if w.newAdmin {
			w.newAdmin = false
			if err := serve(kept); err != nil {
				return err
			}
		}
		if len(w.revisit) > 0 {
			seated, rest := partition(queue, func(a waiter) bool {
				return slices.ContainsFunc(w.revisit, func(r *AccountState) bool { return r.User == a.User })
			})
			w.revisit, queue = nil, rest
			if err := serve(seated); err != nil {
				return err
			}
		}
		if len(queue) == 0 {
			break
		}
		free, err := w.freeSeats(ctx, c)
		if err != nil {
			return err
		}
		n := min(free, len(queue), mostServed-served)
		if n <= 0 {
			break
		}
		if err := serve(queue[:n]); err != nil {
			return err
		}
		queue = queue[n:]
	}
	return w.belowLimit(ctx, c)
}

// partition parts a list into those for which is holds, and the others.
func partition(list []waiter, is func(waiter) bool) (those, others []waiter) {
	for _, a := range list {
		if is(a) {
			those = append(those, a)
		} else {
			others = append(others, a)
		}
	}
	return those, others
}

// belowLimit notes that the limit is not reached any more, so that reaching it
// again is told of.
func (w *work) belowLimit(ctx context.Context, c *counter) error {
	if !c.now.OverLimit {
		return nil
	}
	free, err := w.freeSeats(ctx, c)
	if err == nil && (free > 0 || free == 0 && w.dir.Policy.Seats == OverageSeats) {
		c.withinLimit()
	}
	return err
}

// freeSeats returns how many seats nobody has.
func (w *work) freeSeats(ctx context.Context, c *counter) (int, error) {
	usage, asked, err := w.outside(ctx)
	if err != nil || !asked || usage.SeatLimit == 0 {
		return math.MaxInt, err
	}
	return usage.SeatLimit - usage.Seats - c.now.Seats, nil
}

// A waiter is an account that waits, and the directory that it waits in.
type waiter struct {
	*AccountState
	dir *Directory
}

// waiting returns the accounts of the tenant whose administrator's role was
// kept, and those that wait for a seat, who is first in front.
func (w *work) waiting(ctx context.Context, c *counter) (kept, queue []waiter, err error) {
	ids := make([]string, 0, len(c.now.Directories))
	for id, d := range c.now.Directories {
		if d.Waiting > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	left := mostWaiting
	for _, id := range ids {
		key := Key{w.Directory.Tenant, id}
		d, err := w.present(ctx, key)
		if err != nil {
			return nil, nil, err
		}
		for after := ""; d != nil && left > 0; {
			page, err := w.tx.Waiting(ctx, key, after, min(batch, left))
			if err != nil {
				return nil, nil, err
			}
			if len(page) == 0 {
				break
			}
			for _, a := range page {
				if a.Pending&PendingAdmin != 0 {
					kept = append(kept, waiter{a, d})
				}
				if a.waitsForSeat() && !a.Deleted {
					queue = append(queue, waiter{a, d})
				}
			}
			left -= len(page)
			after = page[len(page)-1].User.ID
		}
	}
	slices.SortStableFunc(queue, func(a, b waiter) int {
		if byTime := a.dir.Policy.Seats == HoldSeats; byTime != (b.dir.Policy.Seats == HoldSeats) {
			return sign(!byTime) - sign(byTime)
		} else if byTime && !a.Since.Equal(b.Since) {
			return a.Since.Compare(b.Since)
		}
		return strings.Compare(a.User.ID, b.User.ID)
	})
	return kept, queue, nil
}

// present returns a directory of the tenant as it is now; nil where it is gone
// or paused, and nobody of it gets anything.
func (w *work) present(ctx context.Context, key Key) (*Directory, error) {
	if key == w.Directory {
		if w.dir.Disabled {
			return nil, nil
		}
		return w.dir, nil
	}
	c, err := w.counter(ctx)
	if err != nil {
		return nil, err
	}
	d, err := w.cfg.Directories.Current(ctx, c.found, key)
	var refused *Error
	switch {
	case errors.Is(err, ErrNotFound), errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return nil, nil
	case err != nil:
		return nil, err
	case d.Disabled:
		return nil, nil
	}
	return d, nil
}

// serve works out the accounts of people who wait, each in its directory.
func (w *work) serve(ctx context.Context, some []waiter) error {
	for len(some) > 0 {
		d := some[0].dir
		n := slices.IndexFunc(some, func(a waiter) bool { return a.dir != d })
		if n < 0 {
			n = len(some)
		}
		batch := some[:n]
		if err := w.within(d, func() error { return w.serveIn(ctx, batch) }); err != nil {
			return err
		}
		some = some[n:]
	}
	return nil
}

// serveIn works out the accounts of people who wait in one directory.
func (w *work) serveIn(ctx context.Context, some []waiter) error {
	subjects := make([]subject, len(some))
	for i, a := range some {
		s := &subjects[i]
		*s = subject{id: a.User.ID, change: Updated}
		if a.lingers() { // nothing but a deleted user's access can end
			s.UserState, s.known = UserState{Account: a.AccountState}, true
			s.next, s.change = w.departure(a.AccountState), Deleted
		}
	}
	slices.SortFunc(subjects, func(a, b subject) int { return strings.Compare(a.id, b.id) })
	return w.tellSome(ctx, subjects)
}

// within does something in a directory of the tenant, this one or another, that
// is no part of what the request does to groups.
func (w *work) within(d *Directory, do func() error) error {
	dir, key, withheld, claims := w.dir, w.Directory, w.Withheld, w.claims
	groups, groupsOfUser, regroup := w.groups, w.groupsOfUser, w.regroup
	w.regroup = regrouping{}
	if d != dir {
		w.dir, w.Directory, w.claims = d, d.Key(), nil
		w.useMapper()
	}
	err := do()
	w.groups, w.groupsOfUser, w.regroup = groups, groupsOfUser, regroup
	if d != dir {
		w.dir, w.Directory, w.Withheld, w.claims = dir, key, withheld, claims
		w.useMapper()
	}
	return err
}
