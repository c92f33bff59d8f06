package directory

import (
	"context"
	"fmt"
	"slices"

	scim "github.com/muster-id/scim"
)

// An Action is something that an administrator may want to do by hand.
type Action string

// The actions.
const (
	ActionInvite         Action = "invite"          // send an invitation, or accept one
	ActionActivate       Action = "activate"        // give a person access again
	ActionDeactivate     Action = "deactivate"      // take a person's access
	ActionDelete         Action = "delete"          // delete a person
	ActionRemoveLegacy   Action = "remove-legacy"   // take a person out of the organization whom no directory manages (rule A8)
	ActionEditProfile    Action = "edit-profile"    // name, picture and so on
	ActionChangeEmail    Action = "change-email"    // of a person
	ActionChangeRoles    Action = "change-roles"    // those that provisioning gives and takes
	ActionGrantProtected Action = "grant-protected" // give or take a role that provisioning does not (rule B7)
	ActionEditGroup      Action = "edit-group"      // a synced group, or its members: who, where it is one
)

var actions = []Action{
	ActionInvite, ActionActivate, ActionDeactivate, ActionDelete, ActionRemoveLegacy,
	ActionEditProfile, ActionChangeEmail, ActionChangeRoles, ActionGrantProtected, ActionEditGroup,
}

// Can reports whether an administrator of the tenant may do something by hand,
// and if not why, in a sentence for a tooltip (rule C8). The host enforces it: it
// asks before it shows a button, and again before it does what the button says.
// who is the person that it is about; the zero Person asks about nobody in
// particular.
//
// What a person's directory says holds for people whom it manages:
//
//   - [scim.ManagedOnly], the default: managed people are the provider's, and
//     everybody else the administrators'
//   - [scim.StrictLock]: nobody is invited, activated or deactivated by hand,
//     and synced groups are read-only. Legacy people can be removed all the same
//     (rule A8)
//   - [scim.LastWriteWins]: everything, though the provider may overwrite it,
//     and [Service.LoginGate] goes on to say what the provider said
//
// Where several directories manage a person, or the question is about nobody
// in particular, the strictest of them decides. Who is held because the email is
// outside the organization's domains may be invited (rule A6). While a directory
// is paused nobody but an administrator can end a person's access, so that is
// allowed. The last administrator can be neither deactivated, deleted nor
// demoted, where the host says how many it has ([scim.UsageReporter]); of a
// person whom no directory manages, who.Roles says whether it is one.
//
// An error means that nothing is known: a host that is to fail closed does
// nothing then.
func (s *Service) Can(ctx context.Context, tenant string, action Action, who Person) (ok bool, reason string, err error) {
	if !slices.Contains(actions, action) {
		return false, "", fmt.Errorf("directory: %q is no action", action)
	}
	directories, err := s.List(ctx, tenant)
	if err != nil {
		return false, "", err
	}
	var known []*source
	if who.HostID != "" || who.Email != "" {
		if known, err = s.known(ctx, tenant, who); err != nil {
			return false, "", err
		}
	}
	if reason := locked(action, directories, known); reason != "" {
		return false, reason, nil
	}
	switch action {
	case ActionDeactivate, ActionDelete, ActionRemoveLegacy, ActionChangeRoles, ActionGrantProtected:
		reason, err := s.lastAdministrator(ctx, tenant, who, known)
		return err == nil && reason == "", reason, err
	case ActionInvite, ActionActivate, ActionEditProfile, ActionChangeEmail, ActionEditGroup:
	}
	return true, "", nil
}

// locked says which directory keeps administrators from an action, and why; ""
// if none does.
func locked(action Action, directories []*Directory, known []*source) string {
	var managing []*source
	for _, k := range known {
		if k.managed() {
			managing = append(managing, k)
		}
	}
	if action == ActionGrantProtected {
		return "" // by hand is the only way
	}
	if action == ActionRemoveLegacy {
		if len(managing) > 0 {
			return "this person is managed by " + called(managing[0].directory) + "; remove them there"
		}
		return ""
	}
	for _, k := range managing {
		if reason := lockedBy(k, action); reason != "" {
			return reason
		}
	}
	if len(managing) == 0 && action == ActionInvite {
		for _, k := range known {
			if k.live() && k.Deleted && k.directory.Policy.Lock != scim.LastWriteWins {
				return called(k.directory) + " has removed this person; assign them there again"
			}
		}
	}
	for _, d := range directories {
		if d.State != Enabled || d.Policy.Lock != scim.StrictLock {
			continue
		}
		switch action {
		case ActionInvite:
			return "invitations are off: people come from " + called(d)
		case ActionActivate, ActionDeactivate:
			return "people are activated and deactivated in " + called(d)
		case ActionEditGroup:
			return "groups are synced from " + called(d) + "; change them there"
		case ActionDelete, ActionRemoveLegacy, ActionEditProfile, ActionChangeEmail, ActionChangeRoles, ActionGrantProtected:
			// Of people whom it does not manage it says nothing more.
		}
	}
	return ""
}

// lockedBy says why the directory that manages a person keeps administrators
// from an action.
func lockedBy(k *source, action Action) string {
	d := k.directory
	switch {
	case d.Policy.Lock == scim.LastWriteWins:
		return ""
	case d.State == Paused && action == ActionDeactivate:
		return "" // nobody else could
	case action == ActionInvite && isGuest(k):
		return ""
	}
	what := map[Action]string{
		ActionInvite:      "there is nothing to invite them to",
		ActionActivate:    "activate them there",
		ActionDeactivate:  "deactivate them there",
		ActionDelete:      "remove them there",
		ActionEditProfile: "change it there",
		ActionChangeEmail: "change the email there",
		ActionChangeRoles: "roles follow the groups there",
		ActionEditGroup:   "change the group there",
	}[action]
	if d.State == Paused {
		what += ", once it is no longer paused"
	}
	return "this person is managed by " + called(d) + "; " + what
}

// isGuest reports whether the person is held for being outside the
// organization's domains, and so may be invited (rule A6).
func isGuest(k *source) bool { return k.Held == scim.HeldForDomain }

// called returns what people call a directory.
func called(d *Directory) string {
	if d.Name == "" {
		return d.ID
	}
	return d.Name
}

// lastAdministrator says that the person is the tenant's last administrator (rule
// B7), "" if not.
func (s *Service) lastAdministrator(ctx context.Context, tenant string, who Person, known []*source) (string, error) {
	admins := s.catalog.Administrators
	is := slices.ContainsFunc(who.Roles, func(r string) bool { return slices.Contains(admins, r) })
	for _, k := range known {
		is = is || k.Active && k.managed() && hasAny(k.Grants, admins)
	}
	if !is {
		return "", nil
	}
	tally, usage, said, err := s.usage(ctx, tenant)
	if err != nil || !said || tally.Administrators+usage.Administrators > 1 {
		return "", err
	}
	return "the organization would have no administrator left; make somebody else one first", nil
}
