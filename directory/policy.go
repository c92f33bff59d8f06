package directory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	scim "github.com/muster-id/scim"
)

// A PolicyDocument is a policy as one JSON document, for a form and for files.
// Written, it has every knob. Read, a knob that is not there has its default,
// and a name that no knob has is an error, as is a value that it cannot have: a
// misspelt knob would be one that is not set.
//
// These are the defaults:
//
//	{
//	  "email": "reject",
//	  "emailSource": "emails",
//	  "domain": "reject",
//	  "unknownMembers": "drop",
//	  "duplicateGroupNames": false,
//	  "provision": {
//	    "createUsers": true,
//	    "updateAttributes": true,
//	    "deactivateUsers": true,
//	    "syncGroups": true
//	  },
//	  "lock": "managed",
//	  "seats": "refuse",
//	  "freeRole": "",
//	  "massChange": "alert",
//	  "rejoinByEmail": false
//	}
//
// What the values mean is said at [scim.Policy] and at the types of its fields,
// whose names they are.
type PolicyDocument scim.Policy

// A policyDocument is the form of a PolicyDocument.
type policyDocument struct {
	Email               scim.EmailPolicy         `json:"email"`
	EmailSource         scim.EmailSource         `json:"emailSource"`
	Domain              scim.DomainPolicy        `json:"domain"`
	UnknownMembers      scim.UnknownMemberPolicy `json:"unknownMembers"`
	DuplicateGroupNames bool                     `json:"duplicateGroupNames"`
	Provision           provisionDocument        `json:"provision"`
	Lock                scim.LockPolicy          `json:"lock"`
	Seats               scim.SeatPolicy          `json:"seats"`
	FreeRole            string                   `json:"freeRole"`
	MassChange          scim.MassChangePolicy    `json:"massChange"`
	RejoinByEmail       bool                     `json:"rejoinByEmail"`
}

// A provisionDocument is the switches that are on.
type provisionDocument struct {
	CreateUsers      bool `json:"createUsers"`
	UpdateAttributes bool `json:"updateAttributes"`
	DeactivateUsers  bool `json:"deactivateUsers"`
	SyncGroups       bool `json:"syncGroups"`
}

func documentOf(p scim.Policy) policyDocument {
	on := ^p.Off
	return policyDocument{
		Email: p.Email, EmailSource: p.EmailSource, Domain: p.Domain, UnknownMembers: p.UnknownMembers, DuplicateGroupNames: p.DuplicateGroupNames,
		Provision: provisionDocument{
			CreateUsers: on.Has(scim.CreateUsers), UpdateAttributes: on.Has(scim.UpdateAttributes),
			DeactivateUsers: on.Has(scim.DeactivateUsers), SyncGroups: on.Has(scim.SyncGroups),
		},
		Lock: p.Lock, Seats: p.Seats, FreeRole: p.FreeRole, MassChange: p.MassChange, RejoinByEmail: p.RejoinByEmail,
	}
}

func (d *policyDocument) policy() scim.Policy {
	p := scim.Policy{
		Email: d.Email, EmailSource: d.EmailSource, Domain: d.Domain, UnknownMembers: d.UnknownMembers, DuplicateGroupNames: d.DuplicateGroupNames,
		Lock: d.Lock, Seats: d.Seats, FreeRole: d.FreeRole, MassChange: d.MassChange, RejoinByEmail: d.RejoinByEmail,
	}
	for s, on := range map[scim.Switches]bool{
		scim.CreateUsers: d.Provision.CreateUsers, scim.UpdateAttributes: d.Provision.UpdateAttributes,
		scim.DeactivateUsers: d.Provision.DeactivateUsers, scim.SyncGroups: d.Provision.SyncGroups,
	} {
		if !on {
			p.Off |= s
		}
	}
	return p
}

// defaultDocument is what a document is read into.
func defaultDocument() policyDocument { return documentOf(scim.Policy{}) }

// MarshalJSON returns the document with every knob in it.
func (p PolicyDocument) MarshalJSON() ([]byte, error) {
	return json.Marshal(documentOf(scim.Policy(p)))
}

// UnmarshalJSON reads a document. Whether its knobs contradict each other is for
// [Service.CheckPolicy] to say.
func (p *PolicyDocument) UnmarshalJSON(document []byte) error {
	read := defaultDocument()
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		return fmt.Errorf("directory: policy: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("directory: policy: more follows after the document")
	}
	*p = PolicyDocument(read.policy())
	return nil
}

const allSwitches = scim.CreateUsers | scim.UpdateAttributes | scim.DeactivateUsers | scim.SyncGroups

// CheckPolicy tells whether a policy can be saved for directories of a provider:
// the error is an [*InvalidError] that lists all knobs that cannot have their
// value, or that contradict each other. The warnings are what is allowed and
// probably not meant.
func (s *Service) CheckPolicy(provider scim.Dialect, p scim.Policy) (warnings []string, err error) {
	var wrong problems
	s.checkPolicy(&wrong, p)
	return policyWarnings(provider, p), wrong.err("policy")
}

// checkPolicy refuses what cannot be meant. What merely has no effect where the
// application counts no seats, or what is right for some and surprising for
// others, is a warning.
func (s *Service) checkPolicy(wrong *problems, p scim.Policy) {
	checkName(wrong, "policy.email", p.Email)
	checkName(wrong, "policy.emailSource", p.EmailSource)
	checkName(wrong, "policy.domain", p.Domain)
	checkName(wrong, "policy.unknownMembers", p.UnknownMembers)
	checkName(wrong, "policy.lock", p.Lock)
	checkName(wrong, "policy.seats", p.Seats)
	checkName(wrong, "policy.massChange", p.MassChange)

	switch {
	case p.Off&^allSwitches != 0:
		wrong.add("policy.provision", "there are the switches createUsers, updateAttributes, deactivateUsers and syncGroups, and no others")
	case p.Off == allSwitches:
		wrong.add("policy.provision", "everything is switched off: pause the directory instead, which says so to the provider")
	}

	if p.Domain == scim.AnyDomain && p.Email == scim.EmailWithinDomains {
		wrong.add("policy.email", "domains lets an email change within the registered domains, and policy.domain any says that they do not matter; choose reject or allow")
	}
	if p.Lock == scim.StrictLock {
		if p.Domain == scim.GuestDomain {
			wrong.add("policy.domain", "guest holds people until they are invited, and policy.lock strict allows no invitations; choose reject or any, or the lock managed")
		}
		if p.Off.Has(scim.DeactivateUsers) {
			wrong.add("policy.provision.deactivateUsers", "with policy.lock strict nobody can end access by hand, so the provider must; switch it on, or choose the lock managed")
		}
	}
	if p.MassChange == scim.HoldMassChange && p.Off.Has(scim.DeactivateUsers) {
		wrong.add("policy.massChange", "hold stops the provider from ending access for many, and policy.provision.deactivateUsers is off, so it ends nobody's; choose alert")
	}
	s.checkFreeRole(wrong, p)
}

func (s *Service) checkFreeRole(wrong *problems, p scim.Policy) {
	const field = "policy.freeRole"
	switch {
	case p.Seats != scim.FreeRoleSeats:
		if p.FreeRole != "" {
			wrong.add(field, "it is given where policy.seats is free-role, and that is %v; leave it empty or change that", p.Seats)
		}
		return
	case p.FreeRole == "":
		wrong.add(field, "policy.seats free-role needs the role that people without a seat get")
		return
	case len(s.catalog.Billable) == 0:
		wrong.add("policy.seats", "free-role is for applications with roles that need a seat, and none does here; choose refuse")
	}
	for _, c := range []struct {
		roles []string
		why   string
	}{
		{s.catalog.Billable, "needs a seat itself"},
		{s.catalog.Protected, "is protected: it is given by hand, never by provisioning"},
		{s.catalog.Administrators, "makes administrators of everybody who finds no seat"},
	} {
		if slices.Contains(c.roles, p.FreeRole) {
			wrong.add(field, "role %q %s", p.FreeRole, c.why)
		}
	}
	if len(s.catalog.Roles) > 0 && !slices.Contains(s.catalog.Roles, p.FreeRole) {
		wrong.add(field, "role %q is not one of the application's roles: %s", p.FreeRole, quoted(s.catalog.Roles))
	} else {
		wrong.text(field, p.FreeRole, mostName)
	}
}

// checkName refuses a value that has no name.
func checkName[T interface {
	fmt.Stringer
	MarshalText() ([]byte, error)
}, P interface {
	*T
	UnmarshalText([]byte) error
}](wrong *problems, field string, v T) {
	if err := P(new(T)).UnmarshalText([]byte(v.String())); err != nil {
		wrong.add(field, "%v is no value of it", v)
	}
}

// policyWarnings returns what is allowed and probably not meant.
func policyWarnings(provider scim.Dialect, p scim.Policy) (warnings []string) {
	warn := func(when bool, text string) {
		if when {
			warnings = append(warnings, text)
		}
	}
	warn(p.UnknownMembers == scim.RejectUnknownMembers && provider == scim.Okta,
		"unknownMembers is reject: Okta gives up the whole push of a group, and does not repeat it, for one member that is unknown here; drop leaves that member out and notes it")
	warn(p.RejoinByEmail && p.Domain == scim.AnyDomain,
		"rejoinByEmail gives an account back only where the email's domain is verified; with domain any, people of other domains get a new one")
	warn(p.RejoinByEmail && p.Email == scim.AllowEmailChange,
		"rejoinByEmail takes an email for the person, and email allow lets emails go from one person to another: who gets the address of somebody who left gets the account too")
	warn(p.Off.Has(scim.DeactivateUsers),
		"deactivateUsers is off: people who leave keep their access until somebody takes it away by hand")
	warn(p.Lock == scim.StrictLock && p.Off&^scim.DeactivateUsers != 0,
		"lock is strict and some of provision is off: what the provider's changes do not reach, nobody may change by hand")
	warn(p.Email == scim.AllowEmailChange && p.Domain == scim.AnyDomain,
		"email is allow and domain is any: the provider can give every account any email there is")
	warn(p.Lock == scim.LastWriteWins,
		"lock is last-write-wins: the provider undoes changes by hand whenever it writes the same person again")
	return warnings
}
