package directory

import (
	"context"
	"errors"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A Person is somebody as the application knows them. Either field may be
// empty.
type Person struct {
	HostID string // the application's own id, what Provision returned
	Email  string // in any spelling (rule A3)

	// Roles are those that the person has now, for rules about the last
	// administrator: of people whom no directory manages the library knows
	// nothing else. [Service.LoginGate] does not look at them.
	Roles []string
}

// A Verdict says whether a person may sign in.
type Verdict struct {
	Allow  bool
	Reason GateReason
	Text   string // for the person or the log, in plain words
}

// A GateReason is why a person may sign in, or may not.
type GateReason string

// The reasons. People may sign in for the first four.
const (
	GateActive      GateReason = "active"      // a directory says that the person has access
	GateUnknown     GateReason = "unknown"     // no directory has ever said anything: a legacy user (rule A8), or one to be made just in time
	GateReleased    GateReason = "released"    // the directory was retired and has left the person to the application (rule B9)
	GateNotCreated  GateReason = "not_created" // creating users is switched off: whether there is an account is the application's to say (rule B10)
	GateDeactivated GateReason = "deactivated" // by the provider
	GateDeleted     GateReason = "deleted"     // by the provider
	GateHeld        GateReason = "held"        // provisioned, but without access until somebody has looked, or a seat is free
	GateRetired     GateReason = "retired"     // the directory was retired, and access with it
)

// LoginGate says whether a person may sign in to a tenant, so that signing in
// with the provider does not bring back somebody whom it has deactivated or
// deleted (rule B6). The application asks before it accepts a sign-in, and above all
// before it makes an account just in time.
//
// Who is in several directories may sign in while one of them says so (rule
// A9); what a retired one has said counts where no other one knows the person. Where HostID is given and a directory knows it, that decides; otherwise
// the email does: that of an account, then that of a user, also a change of it
// that was held back. A person whom no directory knows may sign in as far as
// provisioning goes: whether there is an account, and whether one is made, is
// for the application to say.
//
// It writes nothing, and reads as the storage reads ([scim.AccountReader]); only
// for a person of whom the user alone has the email it takes the tenant's lock. On an error the
// verdict does not allow, and a host that is to fail closed does as it says.
func (s *Service) LoginGate(ctx context.Context, tenant string, who Person) (Verdict, error) {
	known, err := s.known(ctx, tenant, who)
	if err != nil {
		return Verdict{}, err
	}
	if len(known) == 0 {
		return Verdict{true, GateUnknown, "no directory of the organization has provisioned this person"}, nil
	}
	if slices.ContainsFunc(known, (*source).live) {
		known = slices.DeleteFunc(known, func(k *source) bool { return !k.live() })
	}
	var best Verdict
	for _, k := range known {
		v, err := s.verdict(ctx, k)
		if err != nil {
			return Verdict{}, err
		}
		if best.Reason == "" || v.rank() > best.rank() {
			best = v
		}
	}
	return best, nil
}

// rank orders verdicts: what allows counts before what does not, what can be
// mended before what is over.
func (v *Verdict) rank() int {
	return slices.Index([]GateReason{GateDeleted, GateRetired, GateDeactivated, GateHeld, GateNotCreated, GateReleased, GateActive}, v.Reason)
}

// A source is what one directory knows of a person.
type source struct {
	*scim.AccountState
	directory *Directory
}

// live reports whether the directory still says something.
func (k *source) live() bool { return k.directory.State != Retired && !k.Unmanaged }

// managed reports whether the person is the directory's: it is there and
// neither it nor the person was given up.
func (k *source) managed() bool { return k.live() && !k.Deleted }

// underReview reports whether the account is one that the application had, and
// that somebody has to look at before it becomes the directory's (rule A7). Until
// then it is a legacy one: the provider that has sent an owner's email must
// neither lock the owner out nor keep administrators from changing the account
// (rule A8).
func underReview(a *scim.AccountState) bool { return a.Held == scim.HeldForReview && a.HostID != "" }

// known returns what the directories of a tenant know of a person whom they
// manage, or have managed.
func (s *Service) known(ctx context.Context, tenant string, who Person) ([]*source, error) {
	var accounts []*scim.AccountState
	var err error
	if who.HostID != "" {
		if accounts, err = s.store.People(ctx, tenant, who.HostID, ""); err != nil {
			return nil, err
		}
	}
	if len(accounts) == 0 && who.Email != "" {
		if accounts, err = s.store.People(ctx, tenant, "", scim.FoldEmail(who.Email)); err != nil {
			return nil, err
		}
	}
	directories := map[string]*Directory{}
	if len(accounts) == 0 && who.Email != "" {
		return s.knownUsers(ctx, tenant, who.Email)
	}
	known := make([]*source, 0, len(accounts))
	for _, a := range accounts {
		if underReview(a) {
			continue
		}
		id := a.User.Directory.Directory
		if directories[id] == nil {
			if directories[id], err = s.Get(ctx, a.User.Directory); errors.Is(err, scim.ErrNotFound) {
				continue // there is no such directory any more
			} else if err != nil {
				return nil, err
			}
		}
		known = append(known, &source{AccountState: a, directory: directories[id]})
	}
	return known, nil
}

// knownUsers finds people whose account has another email than their user: a
// change of it was held back (rule A4), such as that of a leaver.
func (s *Service) knownUsers(ctx context.Context, tenant, email string) ([]*source, error) {
	directories, err := s.List(ctx, tenant)
	if err != nil {
		return nil, err
	}
	t := s.types.Type(userType)
	var known []*source
	for _, d := range directories {
		seen := map[string]bool{}
		for _, path := range []string{"emails.value", "userName"} {
			a, _ := t.Lookup(path, attr.Strict)
			if a == nil {
				continue
			}
			for _, spelling := range spellings(email) {
				const most = 10
				page, err := s.store.List(ctx, &scim.Query{Directory: d.Key(), Type: t, Filter: filter.Equal(a, spelling), StartIndex: 1, Count: most})
				if err != nil {
					return nil, err
				}
				for _, user := range page.Resources {
					if seen[user.ID()] || !isAddress(user.User(), email) {
						continue
					}
					seen[user.ID()] = true
					k, err := s.source(ctx, d, user)
					if err != nil {
						return nil, err
					}
					if k != nil && !underReview(k.AccountState) {
						known = append(known, k)
					}
				}
			}
		}
	}
	return known, nil
}

// spellings returns an email as it was given and in the form in which equal ones
// are equal.
func spellings(email string) []string {
	if folded := scim.FoldEmail(email); folded != attr.Fold(email) {
		return []string{email, folded}
	}
	return []string{email}
}

// isAddress reports whether people know the user by that email (rule A2): a
// second address can be somebody else's too.
func isAddress(u scim.User, email string) bool {
	same := func(address string) bool { return scim.FoldEmail(address) == scim.FoldEmail(email) }
	if same(u.UserName()) {
		return true
	}
	emails := u.Emails()
	for i, e := range emails {
		if same(e.Value) && (e.Primary || i == 0 || strings.EqualFold(e.Type, "work")) {
			return true
		}
	}
	return false
}

// source returns what a directory knows of a user, nil if it has no account.
func (s *Service) source(ctx context.Context, d *Directory, user *scim.Resource) (k *source, err error) {
	err = s.store.Do(ctx, d.Tenant, func(ctx context.Context, tx scim.Tx) error {
		people, err := tx.UserStates(ctx, d.Key(), []string{user.ID()})
		if err == nil && people[0].Account != nil {
			k = &source{AccountState: people[0].Account, directory: d}
		}
		return err
	})
	return k, err
}

// verdict says what one directory says of a person.
func (s *Service) verdict(ctx context.Context, k *source) (Verdict, error) {
	from := called(k.directory)
	switch {
	case k.Unmanaged:
		return Verdict{true, GateReleased, "the directory " + from + " was retired and this person was left to the application"}, nil
	case k.directory.State == Retired && k.Active:
		how, err := s.retirement(ctx, k.directory.Key())
		if err != nil {
			return Verdict{}, err
		}
		if how == scim.ReleaseAccounts || how == scim.RestoreAccounts && k.Found != nil { // the task is under way
			return Verdict{true, GateReleased, "the directory " + from + " was retired and this person is being left to the application"}, nil
		}
		fallthrough
	case k.directory.State == Retired:
		return Verdict{false, GateRetired, "the directory " + from + " was retired, and this person's access ended with it"}, nil
	case k.Active:
		return Verdict{true, GateActive, "provisioned by " + from}, nil
	case k.Deleted:
		return Verdict{false, GateDeleted, from + " has deleted this person; assign them there again"}, nil
	case k.Held != "":
		return Verdict{false, GateHeld, "provisioned by " + from + ", but on hold: " + k.Held}, nil
	case k.Pending&scim.PendingCreate != 0:
		user, err := s.store.Get(ctx, k.User, scim.GetOptions{})
		if err != nil && !isNotFound(err) {
			return Verdict{}, err
		}
		if err == nil && user.User().Active() {
			return Verdict{true, GateNotCreated, from + " has this person, but creating users is switched off for it"}, nil
		}
	}
	return Verdict{false, GateDeactivated, from + " has deactivated this person; activate or assign them there"}, nil
}

// retirement returns how a directory is being retired. Where its task is
// forgotten, everything is done.
func (s *Service) retirement(ctx context.Context, key scim.Key) (how scim.Retirement, err error) {
	tasks, err := s.tasks(ctx, key.Tenant)
	for _, t := range tasks {
		if t.Directory == key && t.Kind == TaskRetire {
			how = t.How
		}
	}
	return how, err
}

func isNotFound(err error) bool { return errors.Is(err, scim.ErrNotFound) }
