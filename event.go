package scim

import (
	"strconv"
	"time"

	"github.com/muster-id/scim/attr"
)

// EventType names what happened (rule D1).
type EventType string

// The events.
const (
	UserCreated             EventType = "user.created"
	UserLinked              EventType = "user.linked"
	UserUpdated             EventType = "user.updated"
	UserDeactivated         EventType = "user.deactivated"
	UserReactivated         EventType = "user.reactivated"
	UserDeleted             EventType = "user.deleted"
	UserHeld                EventType = "user.held"
	UserReleased            EventType = "user.released"
	UserEmailChangeRejected EventType = "user.email_change_rejected"
	UserRolesChanged        EventType = "user.roles_changed"
	GroupCreated            EventType = "group.created"
	GroupUpdated            EventType = "group.updated"
	GroupDeleted            EventType = "group.deleted"
	MembershipAdded         EventType = "membership.added"
	MembershipRemoved       EventType = "membership.removed"
	ResourceCreated         EventType = "resource.created" // of a custom type
	ResourceUpdated         EventType = "resource.updated"
	ResourceDeleted         EventType = "resource.deleted"

	DirectoryCreated   EventType = "directory.created"
	DirectoryEnabled   EventType = "directory.enabled"
	DirectoryDisabled  EventType = "directory.disabled"
	DirectoryDeleted   EventType = "directory.deleted"
	DirectoryAttention EventType = "directory.attention" // Name says of what: see the Attention constants
	TokenCreated       EventType = "token.created"
	TokenRevoked       EventType = "token.revoked"
	TokenExpiring      EventType = "token.expiring"
	TokenExpired       EventType = "token.expired"
	MappingUpdated     EventType = "mapping.updated"
	MappingInvalidRole EventType = "mapping.invalid_role"
	DomainVerified     EventType = "domain.verified"
	DomainRemoved      EventType = "domain.removed"

	SeatLimitReached         EventType = "seat.limit_reached"
	SeatFreed                EventType = "seat.freed"
	TenantLastAdminProtected EventType = "tenant.last_admin_protected"
)

// What a directory.attention event is about, its Name.
const (
	AttentionMassChange = "mass_change" // rule B8
	AttentionSilence    = "silence"     // rule E5: no request for longer than the provider's rhythm
	AttentionFailures   = "failures"    // rule E5: only failed requests
	AttentionToken      = "token"       // rule E5: the last token is about to expire
)

// place is the place of an event among those of one request: users, groups,
// memberships, roles, seats and alerts (rule D3).
func (t EventType) place() int {
	switch t {
	case GroupCreated, GroupUpdated, GroupDeleted:
		return 1
	case MembershipAdded, MembershipRemoved:
		return 2
	case UserRolesChanged:
		return 3
	case SeatLimitReached, SeatFreed, TenantLastAdminProtected, DirectoryAttention, MappingInvalidRole:
		return 4
	default:
		return 0
	}
}

// An Event is something that happened, in the order in which it did (rule D2).
// Events are immutable once appended.
type Event struct {
	Seq       uint64 // per tenant, gapless from 1; set by [Tx.Append]
	Type      EventType
	Directory Key
	Time      time.Time
	Actor     string    // the token's label, "administrator", "system"
	Request   RequestID // what caused it

	// Data is the subject as it is now; its last state where it is deleted; nil
	// where the event is about no resource.
	Data     *Resource
	Previous *Resource // as it was, where it was updated

	Member Member // of a membership event

	Roles, PreviousRoles []Grant // of user.roles_changed; of user.linked the roles that were found

	Name string // of what is no resource: a token's id, a domain, a role; the id of a user who is deleted already
	Note string // what a rule decided: a refused email, a reason for a hold
}

// ID returns the event's identifier: tenant and sequence number.
func (e *Event) ID() string { return e.Directory.Tenant + ":" + strconv.FormatUint(e.Seq, 10) }

// Subject names the resource that the event is about; it has no type and no ID
// where it is about none.
func (e *Event) Subject() Ref {
	if e.Data == nil {
		return Ref{Directory: e.Directory}
	}
	return e.Data.Ref()
}

// A RequestID names one request in log and events.
type RequestID uint64

// String returns the id as 16 hexadecimal digits.
func (id RequestID) String() string {
	const digits = 16
	s := strconv.FormatUint(uint64(id), 16)
	for len(s) < digits {
		s = "0" + s
	}
	return s
}

// A LogEntry is one line of the log that the customer's administrator reads
// (rule D8). It holds no secrets; Detail can quote what the provider sent.
type LogEntry struct {
	ID        RequestID
	Time      time.Time
	Duration  time.Duration
	Directory Key
	Actor     string
	Method    string
	Path      string // from the endpoint on, as in /Users/42, without query
	Status    int
	Type      ErrorType
	Reason    Reason        // the rule behind an error, "" for success
	Detail    string        // of the error that was answered
	Changed   []EventType   // what the request caused, each once
	Fired     attr.Lenience // tolerances that were needed
	Ignored   []string      // attributes that were sent and that no schema defines, the first 100
	Unknown   []string      // members that were left out (rule C10), the first 100
	Withheld  Switches      // what was not passed on to the application because it is switched off (rule B10)
	UserAgent string

	// Bulk is the ID of the bulk request that this one was an operation of; 0
	// for any other. An operation that had to be completed later has a line for
	// that too, of the method PATCH.
	Bulk RequestID
}
