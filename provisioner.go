package scim

import (
	"context"
	"slices"
	"strings"
)

// A Provisioner makes the host application agree with the directory about one
// account. It is given the complete desired state, never a difference, so a
// retry, a replay and a resync are the same call and must have the same
// result: what is the case already is left alone.
//
// Provision runs inside the transaction of the request, in order of the users'
// ids, and not concurrently for one tenant. It touches the host's own tables
// only, because it may be called again after a rollback; what a rollback cannot
// undo belongs into [Committer]. The context has a deadline
// ([Config.ProvisionTimeout]) unless [Config.DirectHooks] is set. An error rolls
// the whole request back: an [*Error] is answered as it is, any other as a 500
// that tells nothing.
//
// With a plain [Store] there is no transaction. Who loses access is told before
// the write and who gains it after, also where nothing changed, so that the
// provider's retry completes what an error interrupted; requests of one tenant
// may call concurrently.
//
// Provision returns the host's own id of the account, "" to keep the one it was
// given. Where HostID is empty the host looks for a row of its own, by Tenant,
// Directory and ExternalID or by the email, before it makes one: a create that
// was rolled back comes again with another ID.
type Provisioner interface {
	Provision(ctx context.Context, a *Account) (hostID string, err error)
}

// ProvisionerFunc is a function as a [Provisioner].
type ProvisionerFunc func(ctx context.Context, a *Account) (hostID string, err error)

// Provision calls f.
func (f ProvisionerFunc) Provision(ctx context.Context, a *Account) (string, error) { return f(ctx, a) }

// A Committer is an optional interface of a [Provisioner]. Committed is called
// after the commit and before the answer, for what a rollback cannot undo: end
// sessions, revoke API keys, send mail (rule B6). If it fails, the request has
// succeeded all the same and the call is owed: [Engine.DeliverPending] repeats
// it, which the host calls. It may be called more than once, with the account as
// it is at that time. With a plain [Store] it is not repeated.
type Committer interface {
	Committed(ctx context.Context, a *Account) error
}

// An Account is the complete desired state of one person in one tenant. It is
// the host's to keep; nothing else refers to it. Where several directories of a
// tenant have the person (rule A9), it is what they say together: Active while
// one of them says so, Roles and Groups of all that do; Directory, ID and User are
// of the one that has changed.
type Account struct {
	Tenant, Directory string
	HostID            string // the host's own id, once known; with a plain Store always ""
	ID, ExternalID    string // of the user in the directory
	Email             string // rules A2 to A4
	EmailVerified     bool   // its domain is verified for the tenant (rule A5)
	Profile           Profile
	Active            bool       // has access; a deleted, inactive or held account has not
	Held              string     // why an active user has no access, or ""
	Roles             []Grant    // what the person may do when active; with a plain Store none while inactive
	Groups            []GroupRef // for hosts that mirror teams
	Change            Change     // why the host is told

	// Seq grows with every commit of a tenant that owes a call of [Committer].
	// Calls of concurrent requests may overtake each other: a host that mirrors
	// accounts elsewhere ignores one with a smaller Seq than it has seen of that
	// person. It is 0 in Provision and with a plain [Store].
	Seq uint64

	// User is the resource behind the account, nil once it is deleted. It is what
	// the provider said last, also where Profile, Email and Groups are as they
	// were because changes are switched off ([Policy.Off]).
	User *Resource
}

// RoleNames returns the names of the account's roles, each once, in order.
func (a *Account) RoleNames() []string {
	names := make([]string, 0, len(a.Roles))
	for _, g := range a.Roles {
		names = append(names, g.Role)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A Profile is what a user's attributes say about the person (rule E4).
type Profile struct {
	Name, GivenName, FamilyName string
	PreferredUserName           string
	Picture, PhoneNumber        string
	Locale                      string

	// Custom are attributes of the host's own choice ([ProfileMap]), by their
	// names; nil where there are none.
	Custom map[string]string
}

// A Change says why a [Provisioner] is called. It explains; the state is
// complete without it.
type Change string

// The changes.
const (
	Created     Change = "created"
	Linked      Change = "linked"      // an account that the host had is now managed (rule A7), or managed by another directory too (rule A9)
	Updated     Change = "updated"     // attributes, roles or groups
	Deactivated Change = "deactivated" // by the provider
	Reactivated Change = "reactivated"
	Deleted     Change = "deleted"
	Resynced    Change = "resynced"
	Released    Change = "released" // the directory no longer manages the account (rule B9)
)

// Source says where a grant comes from (rule C7).
type Source string

// The sources. Provisioning changes grants of the first two and leaves manual
// ones alone.
const (
	FromGroup   Source = "group"
	FromDefault Source = "default"
	Manual      Source = "manual"
)

// A Grant is a role and where it comes from.
type Grant struct {
	Role   string
	Source Source
	Group  string // the group's id, where Source is FromGroup
}

// A RoleMapper turns group membership into roles. It is a pure function: the
// same groups give the same grants, in whatever order they came (rule C1). It
// returns grants of source group or default; manual ones are kept by the
// library. What it returns must not change afterwards. Roles is called
// concurrently; an error fails the request. Package roles has the implementation
// to use.
type RoleMapper interface {
	Roles(ctx context.Context, d *Directory, user *Resource, groups []GroupRef) ([]Grant, error)
}

// A Binder is an optional interface of a [RoleMapper] whose rules name groups
// by other things than their id. Selectors returns those that match the group
// as it is now, such as "name:engineers"; each binds once, to the first group that
// matches (rule C2), and is then found in [GroupRef.Bound]. The list is not
// changed by the caller and may be shared.
type Binder interface {
	Selectors(d *Directory, g GroupRef) []string
}

// NoRoles is a [RoleMapper] for applications without roles.
type NoRoles struct{}

// Roles returns none.
func (NoRoles) Roles(context.Context, *Directory, *Resource, []GroupRef) ([]Grant, error) {
	return nil, nil
}

// canonicalGrants returns grants sorted and without duplicates. It does not
// change the slice: it may be a RoleMapper's own.
func canonicalGrants(grants []Grant) []Grant {
	for i := 1; i < len(grants); i++ {
		if compareGrants(grants[i-1], grants[i]) >= 0 {
			grants = slices.Clone(grants)
			slices.SortFunc(grants, compareGrants)
			return slices.Compact(grants)
		}
	}
	return grants
}

func compareGrants(a, b Grant) int {
	if c := strings.Compare(a.Role, b.Role); c != 0 {
		return c
	}
	if c := strings.Compare(string(a.Source), string(b.Source)); c != 0 {
		return c
	}
	return strings.Compare(a.Group, b.Group)
}

// A Resolver is an optional interface of a [Provisioner]: it tells whether the
// host has an account for a person whom the provider sends for the first time
// (rule A7). Without it every such person is created. It is not asked about who
// comes back (rule B4) or whom another directory of the tenant has already (rule
// A9).
type Resolver interface {
	ResolveExisting(ctx context.Context, a *Account) (Resolution, error)
}

// A Resolution is a [Resolver]'s answer. The zero value creates an account.
type Resolution struct {
	kind      resolutionKind
	hostID    string
	roles     []string
	reason    string
	protected bool
}

type resolutionKind uint8

const (
	resolveCreate resolutionKind = iota
	resolveExisting
	resolveLink
	resolveHold
	resolveRefuse
)

// Existing says that the host has an account, and leaves the decision to rule
// A7's default: it is linked if the email's domain is verified for the tenant
// and the account is not protected (an owner, an account managed by somebody
// else); otherwise it is held for review.
func Existing(hostID string, protected bool, roles ...string) Resolution {
	return Resolution{kind: resolveExisting, hostID: hostID, protected: protected, roles: roles}
}

// Link says that the account becomes the directory's. The roles it has are
// kept as manual grants.
func Link(hostID string, roles ...string) Resolution {
	return Resolution{kind: resolveLink, hostID: hostID, roles: roles}
}

// Hold stores the user and gives no access until somebody has looked.
func Hold(reason string) Resolution { return Resolution{kind: resolveHold, reason: reason} }

// Refuse answers 403. The reason is sent to the provider.
func Refuse(reason string) Resolution { return Resolution{kind: resolveRefuse, reason: reason} }
