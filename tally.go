package scim

import (
	"context"
	"time"
)

// A Tally is what is counted of a tenant, so that no rule has to look through
// its accounts. A [Ledger] keeps it in the row that it locks; the engine
// changes it in the transaction that changes what it counts, and only where
// [Config.Directories] is set. It is immutable.
type Tally struct {
	// Revision grows with each change of the tenant's directories, their
	// tokens, domains and mappings: what was read at another one is out of date.
	Revision uint64 `json:"revision"`

	// Administrators and Seats are people, each counted once however many
	// directories they are in: who is active and has one of the
	// [RoleCatalog]'s administrator roles, or one of its billable ones.
	Administrators int `json:"administrators"`
	Seats          int `json:"seats"`

	// Roles is how many active people have each role.
	Roles map[string]int `json:"roles,omitempty"`

	// Directories counts what is each directory's own, by its id.
	Directories map[string]DirectoryTally `json:"directories,omitempty"`

	// Today is the present day's usage, Days that of days before which are not
	// filed yet, the oldest first.
	Today DayUsage   `json:"today"`
	Days  []DayUsage `json:"days,omitempty"`

	// OverLimit says that the limit of seats was crossed and told of (rule E1).
	OverLimit bool `json:"overLimit,omitempty"`
}

// A DirectoryTally counts the accounts of one directory.
type DirectoryTally struct {
	Accounts int `json:"accounts"` // of users that exist
	Active   int `json:"active"`
	Held     int `json:"held"`
	Waiting  int `json:"waiting"` // held, or with something pending; those of deleted users too

	// Leaving is how many lost access lately, in parts of an hour of which the
	// last one began at LeavingAt (rule B8). Alerted is when that was told of
	// last, Confirmed until when an administrator has allowed it.
	Leaving   []int     `json:"leaving,omitempty"`
	LeavingAt time.Time `json:"leavingAt,omitzero"`
	Alerted   time.Time `json:"alerted,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"`

	// InvalidRoles are roles of the mapping that the application does not have
	// and that were told of (rule C9).
	InvalidRoles []string `json:"invalidRoles,omitempty"`
}

// A DayUsage is what a tenant used on one day in UTC (rule E1): the most people
// at any one time that were active with each role, and that needed a seat.
type DayUsage struct {
	Day   string         `json:"day,omitempty"` // 2026-11-22
	Roles map[string]int `json:"roles,omitempty"`
	Seats int            `json:"seats,omitempty"`
}

// A RoleCatalog says what the application's roles are and mean.
type RoleCatalog struct {
	// Roles are all that the application has; with none any name is one. A
	// mapping to another role is refused when it is saved; met at run time, it
	// is left out and told of (rule C9).
	Roles []string

	// Administrators are the roles of which the last holder is protected (rule
	// B7): to deactivate or delete that person is refused with 403. Who would
	// lose the role through a group or a mapping keeps it ([PendingAdmin]) until
	// there is another administrator, and so does who left while deactivating was
	// switched off: the provider's word was accepted then (rule B10).
	Administrators []string

	// Protected are roles, such as owner, that provisioning neither grants nor
	// takes away (rule B7): a mapping's grant of one is left out, and to
	// deactivate or delete who has one by hand is refused with 403, until it is
	// taken away by hand. Who is still active through another directory, and
	// keeps it so, may be deactivated.
	Protected []string

	// Billable are the roles that need a seat (rule E1).
	Billable []string
}

// A UsageReporter is an optional interface of a [Provisioner]: it tells what the
// tenant has outside of its directories. Without it the rules about the last
// administrator (B7) and about seats (E1) do not apply. Usage is called in the
// transaction, where it can matter and once at most: like Provision it has a
// deadline. Whom [Resolver] links was outside until then.
type UsageReporter interface {
	Usage(ctx context.Context, tenant string) (Usage, error)
}

// Usage is what a tenant has outside of its directories, and may have in all.
type Usage struct {
	Administrators int // people that no directory manages
	Seats          int // of such people
	SeatLimit      int // seats in all; 0: no limit
}

// A DirectorySource keeps directories that change while the program runs. The
// [Authenticator] returns those it has read last; in a transaction the engine
// asks for the present state if the tenant's [Tally.Revision] is another one.
type DirectorySource interface {
	// Current returns the directory as the transaction of the context sees it.
	// The error is ErrNotFound if there is none any more, an [*Error] is
	// answered as it is. The directory must not change afterwards.
	Current(ctx context.Context, tally *Tally, key Key) (*Directory, error)
}
