package scim

import (
	"context"
	"net/http"
	"slices"
)

// guardAdministrators applies rule B7. A write to a user that would end the
// access of the last administrator, or of who holds a protected role, is
// refused. Where it happens by a group, in a batch, or because a switch is on
// again (rule B10), the account keeps what it had and waits.
func (w *work) guardAdministrators(ctx context.Context, s *subject, before []string, others []*AccountState) error {
	if s.was() == nil || len(before) == 0 { // nothing can be lost
		return nil
	}
	after := rolesOf(s.next, others...)
	catalog := &w.cfg.Catalog
	if role := lost(before, after, catalog.Protected); role != "" && !s.next.counts() && s.by != byHand {
		if s.ends() {
			e := refuse(http.StatusForbidden, "", "this person holds the protected role ", role,
				", which provisioning cannot take away; take it away in the application first, and send this again")
			e.Reason = ReasonProtected
			return e
		}
		w.retain(s)
		after = rolesOf(s.next, others...)
	}
	if !catalog.administers(before) || catalog.administers(after) {
		return nil
	}
	last, err := w.lastAdministrator(ctx)
	if err != nil || !last {
		return err
	}
	if s.by == byHand || s.ends() {
		e := refuse(http.StatusForbidden, "", "this person is the organization's last administrator, and without one nobody could manage it",
			"; make somebody else an administrator first, and send this again")
		e.Reason = ReasonLastAdmin
		e.event = &Event{Type: TenantLastAdminProtected, Data: s.User, Note: "refused"}
		return e
	}
	w.retain(s)
	if s.was().Pending&PendingAdmin == 0 {
		e := &Event{Type: TenantLastAdminProtected, Data: s.User, Note: "the role was kept"}
		if s.User == nil {
			e.Name, e.Note = s.id, "the access of this deleted user was kept"
		}
		w.event(e)
	}
	return nil
}

// retain keeps an account as it was where provisioning must not take it away:
// active, or with its administrator's roles.
func (w *work) retain(s *subject) {
	was, next := s.was(), s.next
	if s.User == nil {
		*next = *was // as it lingered
	}
	next.Pending |= PendingAdmin
	if !next.Active {
		next.Active, next.Held, next.Grants = true, "", was.Grants
		return
	}
	kept := slices.Clone(next.Grants)
	for _, g := range was.Grants {
		if g.Source != Manual && slices.Contains(w.cfg.Catalog.Administrators, g.Role) {
			kept = append(kept, g)
		}
	}
	next.Grants = canonicalGrants(kept)
}

// lost returns the first of the roles that is among before and not after.
func lost(before, after, roles []string) string {
	for _, role := range roles {
		if slices.Contains(before, role) && !slices.Contains(after, role) {
			return role
		}
	}
	return ""
}

// lastAdministrator reports whether there is no administrator but one who is
// counted. Without [UsageReporter] nobody knows, and the rule is off.
func (w *work) lastAdministrator(ctx context.Context) (bool, error) {
	if w.usage == nil {
		return false, nil
	}
	c, err := w.counter(ctx)
	if err != nil || c.now.Administrators+w.planned.administrators > 1 {
		return false, err
	}
	usage, _, err := w.outside(ctx)
	return usage.Administrators == 0, err
}
