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

// lenience returns the tolerances of the directory's dialect.
func (d *Directory) lenience() attr.Lenience { return d.Dialect.Lenience() }
