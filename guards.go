package scim

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// An author says whose doing it is that an account changes, which decides what a
// guard does: the request is refused where it is about that one person, and
// otherwise accepted while the account waits.
type author uint8

const (
	byGroup    author = iota // a change of groups or of the mapping, a resync
	byProvider               // a write to that user
	byHand                   // an administrator
	byChoice                 // an administrator who gives the directory up: nothing is guarded
)

// plans are how people who were looked at and are not counted yet change what is
// counted.
type plans struct{ administrators, seats int }

// lift takes back what the guards have done to an account, so that they decide
// anew whenever it is worked out.
func (w *work) lift(next *AccountState) {
	if w.cfg.Directories == nil {
		return
	}
	if next.Held == HeldForSeat {
		next.Held = ""
	}
	next.Pending &^= PendingSeat | PendingAdmin
}

// guard applies the rules that look beyond one person: protected roles and the
// last administrator (B7), mass changes (B8), seats (E1). Among many people
// those come first who give a seat back, and last those who are administrators
// no longer, so that nobody waits and nothing is kept without need; otherwise it
// goes by the user's id, or, under [HoldSeats], by who has waited longest.
func (w *work) guard(ctx context.Context, subjects []subject) error {
	if w.cfg.Directories == nil {
		return nil
	}
	w.planned = plans{}
	if len(subjects) == 1 {
		if subjects[0].decided() {
			return nil
		}
		return w.decide(ctx, &subjects[0])
	}
	inTurn := make([]*subject, 0, len(subjects))
	for i := range subjects {
		w.pace.Step()
		if s := &subjects[i]; !s.decided() {
			s.turn = w.turnOf(s)
			inTurn = append(inTurn, s)
		}
	}
	slices.SortStableFunc(inTurn, func(a, b *subject) int {
		w.pace.Step()
		if a.turn != b.turn || w.dir.Policy.Seats != HoldSeats {
			return int(a.turn) - int(b.turn)
		}
		return w.waitsSince(a).Compare(w.waitsSince(b))
	})
	for _, s := range inTurn {
		w.pace.Step()
		if err := w.decide(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// waitsSince returns since when a subject has been waiting for a seat; who has
// not begins now.
func (w *work) waitsSince(s *subject) time.Time {
	if s.Account.waitsForSeat() {
		return s.Account.Since
	}
	return w.Time
}

// decided reports whether there is nothing to guard: the user is gone, by an
// administrator's choice or long since, or only gains something, later. A deleted
// user whose access ends only now is guarded.
func (s *subject) decided() bool {
	return s.silent || s.by == byChoice || s.User == nil && !s.lingered()
}

// lingered reports whether a deleted user still had access.
func (s *subject) lingered() bool { return s.Account != nil && s.Account.lingers() }

// was returns the account as the host was told of it last, also of a user who
// has come back before having left; nil if there was none.
func (s *subject) was() *AccountState {
	if s.Account == nil {
		return s.takes
	}
	return s.Account
}

// ends reports whether it is the request itself that deactivates or deletes the
// user, and can be refused: who is inactive in the directory already was let go.
func (s *subject) ends() bool {
	return s.by == byProvider && !s.next.counts() && (s.change == Deleted || s.before != nil && s.before.User().Active())
}

// A turn is when the guards look at a subject.
type turn uint8

const (
	givesSeat turn = iota
	neither
	resigns
)

func (w *work) turnOf(s *subject) turn {
	before, after := rolesOf(s.Account), rolesOf(s.next)
	catalog := &w.cfg.Catalog
	switch {
	case catalog.administers(before) && !catalog.administers(after):
		return resigns
	case catalog.needsSeat(before) && !catalog.needsSeat(after):
		return givesSeat
	}
	return neither
}

// decide lets one account pass the guards.
func (w *work) decide(ctx context.Context, s *subject) error {
	was, next := s.was(), s.next
	if _, err := w.arrive(ctx, next); err != nil {
		return err
	}
	others, err := w.others(ctx, next)
	if err != nil {
		return err
	}
	before := rolesOf(was, others...)
	catalog := &w.cfg.Catalog
	if s.takes != nil { // that account is counted no longer, and has not gone
		rest := rolesOf(nil, others...)
		w.planned.administrators += sign(catalog.administers(before)) - sign(catalog.administers(rest))
		w.planned.seats += sign(catalog.needsSeat(before)) - sign(catalog.needsSeat(rest))
	}
	if err := w.guardAdministrators(ctx, s, before, others); err != nil {
		return err
	}
	if err := w.guardMass(ctx, s); err != nil {
		return err
	}
	if err := w.guardSeats(ctx, s, before, others); err != nil {
		return err
	}
	after := rolesOf(next, others...)
	w.planned.administrators += sign(catalog.administers(after)) - sign(catalog.administers(before))
	w.planned.seats += sign(catalog.needsSeat(after)) - sign(catalog.needsSeat(before))
	if catalog.administers(rolesOf(next)) && !catalog.administers(rolesOf(was)) {
		w.newAdmin = true
	}
	if catalog.needsSeat(after) && !catalog.needsSeat(before) {
		for _, p := range others { // they need none any longer
			if p.waitsForSeat() {
				w.revisit = append(w.revisit, p)
			}
		}
	}
	// Since when it waits decides who is served first.
	switch {
	case !next.Waits():
		next.Since = time.Time{}
	case was == nil, !was.Waits(), next.waitsForSeat() && !was.waitsForSeat():
		next.Since = w.Time
	}
	return nil
}

func sign(is bool) int {
	if is {
		return 1
	}
	return 0
}

// outside asks the host what the tenant has outside of its directories, once in
// a transaction; asked is false where the host cannot tell.
func (w *work) outside(ctx context.Context) (u Usage, asked bool, err error) {
	if w.usage == nil {
		return Usage{}, false, nil
	}
	if w.used == nil {
		reporter, tenant := w.usage, w.Directory.Tenant // an abandoned hook must not hold w
		answer := new(Usage)
		err := w.hooks.call(ctx, func(ctx context.Context) (err error) {
			*answer, err = reporter.Usage(ctx, tenant)
			return err
		})
		if err != nil {
			return Usage{}, false, err
		}
		answer.Administrators, answer.Seats = max(0, answer.Administrators), max(0, answer.Seats)
		w.used = answer
	}
	return *w.used, true, nil
}

// permitted leaves out of a mapping's grants what provisioning may not give: a
// role that the application does not have (rule C9), one that is protected (B7).
// It is told of once a directory and role.
func (w *work) permitted(ctx context.Context, grants []Grant) ([]Grant, error) {
	if w.cfg.Directories == nil {
		return grants, nil
	}
	forbidden := func(g Grant) bool { return w.cfg.Catalog.forbids(g.Role) != "" }
	if !slices.ContainsFunc(grants, forbidden) {
		return grants, nil
	}
	c, err := w.counter(ctx)
	if err != nil {
		return nil, err
	}
	id := w.Directory.Directory
	for _, g := range grants {
		why := w.cfg.Catalog.forbids(g.Role)
		told := c.now.Directories[id].InvalidRoles
		const most = 100 // of a mapper that makes roles up
		if why == "" || slices.Contains(told, g.Role) || len(told) >= most {
			continue
		}
		c.directory(id, func(d *DirectoryTally) { d.InvalidRoles = append(slices.Clip(told), g.Role) })
		w.event(&Event{Type: MappingInvalidRole, Name: g.Role, Note: why})
	}
	return slices.DeleteFunc(slices.Clone(grants), forbidden), nil
}

// forbids says why provisioning may not give a role, "" if it may.
func (c *RoleCatalog) forbids(role string) string {
	switch {
	case slices.Contains(c.Protected, role):
		return "the role is protected: it is given by hand, never by provisioning"
	case len(c.Roles) > 0 && !slices.Contains(c.Roles, role):
		return "the application has no such role; correct the mapping"
	}
	return ""
}

// refused notes the event of a refusal, or of what is withheld, and reports
// whether it is to be told of.
func (c *counter) refused(ev *Event) (raise bool) {
	switch ev.Type {
	case SeatLimitReached: // once a crossing
		raise = !c.now.OverLimit
		c.now.OverLimit = true
		c.changed = c.changed || raise
	case DirectoryAttention: // once an hour
		id := ev.Directory.Directory
		if raise = c.now.Directories[id].mayAlert(ev.Time); raise {
			c.directory(id, func(d *DirectoryTally) { d.Alerted = ev.Time })
		}
	default:
		raise = true
	}
	return raise
}

// outOf says how many of how many.
func outOf(n, all int, what string) string {
	return strconv.Itoa(n) + " of " + strconv.Itoa(all) + " " + what
}
