package scim

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"

	"github.com/muster-id/scim/attr"
)

// A Directory is one connection of a tenant to its identity provider: whose
// request this is, and which rules hold. The [Authenticator] returns it; it
// must not be changed while requests use it.
type Directory struct {
	Tenant string // the host's customer; never empty
	ID     string // unique in the tenant; never empty

	// Domains are the tenant's verified email domains, in any case, Unicode or ASCII. With none
	// every user is refused, unless Policy.Domain says otherwise (rule A6).
	Domains []string

	Policy   Policy
	Dialect  Dialect // the zero value is Auto
	Disabled bool    // every request is answered with 403 (rule B9)

	// Roles turns the directory's groups into roles; nil: the RoleMapper that
	// the handler was made with.
	Roles RoleMapper

	// Profile says which attributes of a user the profile is made of (rule E4);
	// nil: the standard ones.
	Profile *ProfileMap

	// Shared says that the tenant has other directories too, so that a person's
	// account is what all of them say together (rule A9). It needs
	// [Config.Directories], and a host that returns a HostID: that is what says
	// that two accounts are one person's. Where one of them has none yet, the
	// same email does, if its domain is verified.
	Shared bool

	// Claims are the ids of retired directories of the tenant: who was
	// provisioned by one of them and comes with the same externalId or verified
	// email gets the same host account (rule B9, rebinding).
	Claims []string

	// Revision is the [Tally.Revision] at which all this was read, where
	// [Config.Directories] is set.
	Revision uint64
}

// Key returns what every key of the directory's resources begins with.
func (d *Directory) Key() Key { return Key{d.Tenant, d.ID} }

// Validate reports what is wrong with a directory: a missing Tenant or ID, a
// domain that nobody's email can be in. [StaticTokens] calls it; an
// [Authenticator] of the host's own should when it loads a directory, not for
// each request.
func (d *Directory) Validate() error {
	if d.Tenant == "" || d.ID == "" {
		return errors.New("scim: a directory needs a Tenant and an ID")
	}
	for _, domain := range d.Domains {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil || !strings.Contains(ascii, ".") {
			return fmt.Errorf("scim: directory %s of tenant %s: %q is not an email domain; write it as in example.com, without @ or *", d.ID, d.Tenant, domain)
		}
	}
	return nil
}

// A Policy says what a directory's provider may do. The zero value is the
// recommended one.
type Policy struct {
	Email          EmailPolicy         // rule A4
	EmailSource    EmailSource         // rule A2
	Domain         DomainPolicy        // rule A6
	UnknownMembers UnknownMemberPolicy // rule C10

	// DuplicateGroupNames allows groups with the same displayName (rule C11).
	DuplicateGroupNames bool

	// Off are the parts of provisioning that are switched off (rule B10).
	Off Switches

	// Lock says who may change what by hand (rule C8). The library tells the
	// host, which enforces it: package directory's Can.
	Lock LockPolicy

	// Seats says what happens to who would need a seat that is not there (rule
	// E1), FreeRole which role such a person gets under FreeRoleSeats.
	Seats    SeatPolicy
	FreeRole string

	// MassChange says what happens when very many people lose access at once
	// (rule B8).
	MassChange MassChangePolicy

	// RejoinByEmail gives a person who was deleted and comes back with
	// another externalId, or none, the same host account if the email is the
	// same and its domain verified (rule B4).
	RejoinByEmail bool
}

// EmailPolicy says what happens when a provider changes a person's email (rule
// A4).
type EmailPolicy uint8

// The email policies. Where the result is inactive, RejectEmailChange acts as
// KeepEmail: a leaver always leaves. A plain [Store] cannot keep an account's
// email apart from the user's: there, who left with another email and comes
// back has that one.
const (
	RejectEmailChange  EmailPolicy = iota // 400, nothing is stored
	KeepEmail                             // the directory changes, the account keeps its email
	EmailWithinDomains                    // the account changes within the registered domains, else refused
	AllowEmailChange                      // the account changes
)

// EmailSource says which value of a user is the email (rule A2).
type EmailSource uint8

// The email sources.
const (
	// EmailsThenUserName: the primary value of emails, else the first of type
	// work, else the first, else a userName in the form of an email.
	EmailsThenUserName EmailSource = iota
	// UserNameThenEmails prefers a userName in the form of an email.
	UserNameThenEmails
)

// DomainPolicy says what happens to a person outside the registered domains
// (rule A6).
type DomainPolicy uint8

// The domain policies.
const (
	RejectDomain DomainPolicy = iota // 400
	GuestDomain                      // stored, the account is held
	AnyDomain                        // no check
)

// UnknownMemberPolicy says what happens when a group is given a member that
// the directory does not have (rule C10).
type UnknownMemberPolicy uint8

// The policies for unknown members.
const (
	DropUnknownMembers   UnknownMemberPolicy = iota // left out, and noted in the request log
	RejectUnknownMembers                            // 400
)

// Switches are the parts of provisioning that can be switched off for a
// directory (rule B10). What is off is frozen in the accounts; the directory
// itself follows the provider all the same.
type Switches uint8

// The switches.
const (
	CreateUsers Switches = 1 << iota
	UpdateAttributes
	DeactivateUsers
	SyncGroups
)

// LockPolicy says who may change accounts and groups by hand while a directory
// provisions them (rule C8).
type LockPolicy uint8

// The lock policies.
const (
	ManagedOnly   LockPolicy = iota // managed users are the provider's, legacy users the administrator's
	StrictLock                      // no invitations, nothing by hand, groups read-only
	LastWriteWins                   // both may write
)

// SeatPolicy says what happens where the tenant has no seat left (rule E1).
type SeatPolicy uint8

// The seat policies. Who has a seat keeps it under each of them. What waits is
// given as soon as a seat is free: in the request that frees it to a hundred
// accounts, to others by [Engine.Reconcile].
const (
	// RefuseSeats: 403 for a write to that user. Through a group the change is
	// accepted and the billable roles are withheld, in order of the user's id:
	// the person has what the mapping gives for the other groups.
	RefuseSeats SeatPolicy = iota
	// FreeRoleSeats: Policy.FreeRole instead of the billable roles.
	FreeRoleSeats
	// HoldSeats: the account is held, and released first in, first out. Who has
	// access without a seat keeps that, and waits for the billable roles alone.
	HoldSeats
	// OverageSeats: granted all the same, and told of.
	OverageSeats
)

// MassChangePolicy says what happens when more than a fifth of a directory's
// active users, and more than ten, are deactivated or deleted within an hour
// (rule B8).
type MassChangePolicy uint8

// The policies for mass changes. What is counted is who was active and is
// deactivated or deleted by the provider, not who loses a role; the fifth is of
// those who were active when the hour began. What HoldMassChange refuses is not
// counted, so that a provider that comes back more slowly than the rule says is
// let through.
const (
	AlertMassChange MassChangePolicy = iota // an event; applied
	HoldMassChange                          // an event; 503 until an administrator confirms ([Engine.ConfirmMassChange])
)

// lenience returns the tolerances of the directory's dialect.
func (d *Directory) lenience() attr.Lenience { return d.Dialect.Lenience() }
