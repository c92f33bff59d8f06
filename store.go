package scim

import (
	"context"
	"iter"
	"time"

	"github.com/muster-id/scim/patch"
)

// A Store keeps resources. These five methods are all that a host's own tables
// need; the library does the rest: it parses and applies a PATCH, evaluates a
// filter where a store cannot ([Select]), checks policies.
//
// Every key carries tenant and directory: a store must never return or change
// a resource of another directory than the one that was asked for. What does
// not exist and what belongs to somebody else look the same, [ErrNotFound].
//
// Methods are called concurrently. A store may keep the resources that it is
// given and hand out those it keeps: a Resource is immutable. An error that
// wraps none of the package's sentinels is logged and answered as a 500; the
// errors of a cancelled context may be returned as they are.
//
// A store may implement [MemberStore] and [Ledger] too. What it does not
// implement costs speed or the rules that need a transaction, never
// correctness: [NewHandler] refuses a configuration that the store cannot
// honour. Package storetest checks a store against all that is said here.
type Store interface {
	// Get returns the resource, or an error wrapping ErrNotFound.
	Get(ctx context.Context, ref Ref, opts GetOptions) (*Resource, error)

	// List returns one page of the resources that match, and how many match
	// in all. The order is q.SortBy and then id; without q.SortBy any order
	// that stays the same from call to call. A store without query language
	// returns [Select] over its rows.
	//
	// A positioned query (RFC 9865) is answered in the same order, from
	// q.After on, and with where the next page begins: a position in that
	// order, not a number of rows, so that whoever follows Next from page to
	// page meets a resource that matches throughout exactly once, whatever is
	// created, deleted or changed meanwhile (a change of what is sorted by
	// excepted). Behind a value to sort by and an id is such a position; the
	// id must be part of it. The library seals a position before a client sees
	// it, and hands it back in a query that is otherwise the same, Count
	// apart. A store that does not page by position ignores q.Positioned and
	// leaves Page.Positioned false: it can then be served by index alone,
	// without Config.CursorKey.
	List(ctx context.Context, q *Query) (*Page, error)

	// Create stores a new resource and returns it with the Meta it gave:
	// version 1 or more, both times now ([Resource.WithMeta]). The id is set.
	// The error wraps ErrUniqueness if another resource of the same type and
	// directory has the id, the userName (without case, as [attr.EqualFold]
	// compares), the externalId or another value that [ResourceType.Unique]
	// lists; a [*UniquenessError] names the attribute. A store without indexes
	// calls [CheckUnique].
	Create(ctx context.Context, r *Resource) (*Resource, error)

	// Replace stores r in place of the version was and returns it with its
	// new Meta: a greater version, the same Created. The error wraps
	// ErrVersion if the stored version is another one (0 fits any), ErrNotFound
	// if there is none, ErrUniqueness as in Create.
	Replace(ctx context.Context, r *Resource, was Version) (*Resource, error)

	// Delete removes the resource. The errors are those of Replace. A
	// MemberStore removes it from the groups that it is a member of too, which
	// get new versions; elsewhere the library does so before.
	Delete(ctx context.Context, ref Ref, was Version) error
}

// GetOptions says how much of a resource is wanted.
type GetOptions struct {
	// WithoutMembers says that nobody will look at the members of a group; a
	// store may return them all the same. A [MemberStore] never has them in the
	// resource.
	WithoutMembers bool
}

// A Member is a value of a group's members, RFC 7643 section 4.2: Value is the id
// of a resource in the same directory, Type "User" or "Group", or "" where the
// provider did not say, Display what it calls the member, or "". "$ref" follows
// from the others.
type Member = patch.Member

// A GroupRef names a group that a user is in.
type GroupRef struct {
	ID          string
	ExternalID  string
	DisplayName string

	// Bound lists the selectors of role mappings that this group has claimed
	// (rule C2): a [Binder] matches a group by them, so that a rename keeps a
	// mapping and a namesake does not inherit it. It is nil where the store
	// is no [Ledger], and may be outside of a transaction, where nothing is
	// claimed.
	Bound []string
}

// A MemberChange is what one request does to the members of a group: every
// wire form of it has become two sets.
type MemberChange struct {
	Clear  bool     // all current members leave, except those in Add
	Add    []Member // without duplicates
	Remove []string // ids; none is in Add
}

// Empty reports whether nothing is to be done.
func (c MemberChange) Empty() bool { return !c.Clear && len(c.Add) == 0 && len(c.Remove) == 0 }

// A MemberResult tells what a [MemberChange] came to.
type MemberResult struct {
	Group   *Resource // with its new Meta if anything changed
	Added   []Member  // who was not a member before
	Removed []Member  // who was, and is no longer
	Unknown []string  // ids in Add that are no resource of this directory; they were left out (rule C10)
}

// A MemberStore keeps members of groups as rows of their own, so that changing
// one member of a large group does not rewrite it, and a user's groups are
// found without looking through groups.
type MemberStore interface {
	Store

	// Members yields the members of a group in a stable order. ErrNotFound
	// if there is no such group. It must not hold a lock that writers wait
	// for while the caller consumes it: the caller may be a slow client.
	Members(ctx context.Context, group Ref) iter.Seq2[Member, error]

	// ChangeMembers applies the change. Members that are there already and
	// ids that are not members are ignored; ids unknown in this directory are
	// left out and reported. If anything changes, the group gets a new version and
	// LastModified. The error wraps ErrVersion if was is not 0 and not the
	// group's version, ErrNotFound if there is no such group.
	ChangeMembers(ctx context.Context, group Ref, change MemberChange, was Version) (*MemberResult, error)

	// GroupsOf returns, for each of the users in turn, the groups that have
	// it as a direct member, in order of id; none for users that do not exist.
	GroupsOf(ctx context.Context, directory Key, users []string) ([][]GroupRef, error)
}

// A Ledger is a store with transactions, which makes it a managed one: state,
// grants, events and request log commit together or not at all.
type Ledger interface {
	MemberStore
	AccountReader

	// Tally returns what is counted of a tenant, the zero Tally where nothing
	// was. It must not be changed.
	Tally(ctx context.Context, tenant string) (*Tally, error)

	// Do runs fn in a transaction of the tenant and commits if fn returns
	// nil. Transactions of one tenant run one after the other; its readers do
	// not wait. A call with the context of a running transaction joins it if
	// the tenant is the same and is an error otherwise. The Tx must not be used
	// after fn has returned.
	Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx Tx) error) error

	// Log adds to the request log what needs no transaction: reads, and
	// refusals without an event. The store copies the entry; its slices do not
	// change any more. A cancelled context is no reason not to log.
	Log(ctx context.Context, entry *LogEntry) error

	// Events returns events of the tenant with a sequence number greater than
	// after, in order, limit at most. Older ones may have been pruned: the
	// first is then greater than after+1.
	Events(ctx context.Context, tenant string, after uint64, limit int) ([]*Event, error)

	// Requests returns entries of a directory's request log, the newest
	// first, limit at most.
	Requests(ctx context.Context, directory Key, limit int) ([]*LogEntry, error)

	// Undelivered returns accounts of the tenant whose Committed call is
	// outstanding since before the given time, limit at most.
	Undelivered(ctx context.Context, tenant string, before time.Time, limit int) ([]Delivery, error)

	// Delivered forgets deliveries. Unknown ones are ignored.
	Delivered(ctx context.Context, tenant string, deliveries ...Delivery) error
}

// A Tx is a running transaction of a [Ledger]. Its methods see what it has
// done; nobody else does before the commit. What it is asked about another
// tenant is an error, as is all that it is asked after fn has returned; after
// any other error of a method fn may go on. It is used by one goroutine at a
// time. Events get their sequence numbers at Append, gapless in each tenant.
type Tx interface {
	MemberStore
	AccountReader

	// Tally returns what is counted of the tenant, the zero Tally where nothing
	// was. It must not be changed, and is read with the tenant's lock: asking
	// for it costs nothing.
	Tally(ctx context.Context) (*Tally, error)

	// PutTally replaces it. The Tally must not be changed afterwards.
	PutTally(ctx context.Context, t *Tally) error

	// UserStates returns each of the users in turn with what is kept beside it.
	// Account must not be changed; Groups is the caller's.
	UserStates(ctx context.Context, directory Key, users []string) ([]UserState, error)

	// PutAccount stores the state of an account, which must not be changed
	// afterwards. It stays when its user is deleted (rule B1).
	PutAccount(ctx context.Context, a *AccountState) error

	// Departed returns the state of a deleted user's account with exactly that
	// externalId or, where externalID is "", with that folded email
	// ([FoldEmail]): the latest, nil if there is none.
	Departed(ctx context.Context, directory Key, externalID, email string) (*AccountState, error)

	// Keeper returns the state of the account that has that folded email
	// ([FoldEmail]) although its user has another one: RefusedEmail is set (rule
	// A4). Nil if there is none; deleted users have none.
	Keeper(ctx context.Context, directory Key, email string) (*AccountState, error)

	// Bindings returns which group each selector of the role mapping is bound
	// to (rule C2). The caller must not change the map.
	Bindings(ctx context.Context, directory Key) (map[string]Binding, error)

	// Bind binds selectors to a group, or, where it has no GroupID, to none any
	// more: they are then bound by the next group that matches.
	Bind(ctx context.Context, directory Key, group Binding, selectors ...string) error

	// Append adds events: it sets their Seq, and keeps them, but not the slice.
	Append(ctx context.Context, events ...*Event) error

	// Log adds to the request log. The entry must not change before the
	// transaction ends; the store copies it then.
	Log(ctx context.Context, entry *LogEntry) error

	// Deliver notes that Committed is to be called for the accounts, and
	// returns what names the calls to Delivered.
	Deliver(ctx context.Context, changes ...Delivery) ([]Delivery, error)
}

// An AccountReader finds accounts by other things than their user's id.
type AccountReader interface {
	// People returns the accounts of a tenant, in all its directories, that have
	// that HostID or that folded email ([FoldEmail]): those of deleted users
	// too, in order of directory and user. An empty text finds nothing.
	People(ctx context.Context, tenant, hostID, email string) ([]*AccountState, error)

	// Waiting returns accounts of a directory that wait for something
	// ([AccountState.Waits]), those of deleted users too, in order of the user's
	// id: those with a greater id than after, limit at most.
	Waiting(ctx context.Context, directory Key, after string, limit int) ([]*AccountState, error)

	// Accounts is Waiting for all accounts of a directory.
	Accounts(ctx context.Context, directory Key, after string, limit int) ([]*AccountState, error)
}

// A Binding is a group that selectors of a role mapping are bound to. It stays
// when the group is deleted, so that a namesake does not inherit the mapping
// (rule C4).
type Binding struct {
	GroupID    string
	ExternalID string
}

// An AccountState is what a [Ledger] keeps about a user's account besides the
// user: what the host was told last.
type AccountState struct {
	User       Ref
	HostID     string  // the host's own id
	ExternalID string  // the user's, kept when the user is deleted
	Email      string  // the account's email; the user's may differ (rule A4)
	Active     bool    // the host was told that the person has access
	Deleted    bool    // the user was deleted; the account can still be Active (rules B9, B10)
	Held       string  // why the account has no access although the user is active; "" if it is not held; kept when the user is deleted
	Grants     []Grant // in canonical order; includes manual ones

	// RefusedEmail is the change of email that was refused or held back last
	// (rule A4), ApprovedEmail the one that an administrator approved.
	RefusedEmail, ApprovedEmail string

	// Pending is what the account has not got yet or has kept although the
	// directory says otherwise, and Since when that began, or the hold: who
	// waits for a seat is served in that order (rule E1).
	Pending Pending
	Since   time.Time

	// Frozen is what the host was told before a part of provisioning was
	// switched off (rule B10); nil if nothing differs.
	Frozen *Frozen

	// Found are the roles that the person had before the account was linked
	// (rule A7), for [RestoreAccounts]: empty, but not nil, where the account was
	// linked and had none. nil: it was not linked.
	Found []string

	// Unmanaged says that the directory was retired and the account released to
	// the application (rule B9).
	Unmanaged bool
}

// underReview reports whether the account is still the application's own.
func (a *AccountState) underReview() bool { return a != nil && a.Held == HeldForReview }

// Waits reports whether the account is not what the directory says.
func (a *AccountState) Waits() bool { return a.Held != "" || a.Pending != 0 }

// Pending says how an account differs from what the directory says, other than
// by being held.
type Pending uint8

// What can be pending.
const (
	PendingSeat       Pending = 1 << iota // billable grants are withheld until a seat is free (rule E1)
	PendingAdmin                          // the role or the access of the last administrator, or of who has a protected role, was kept (rule B7)
	PendingCreate                         // switched off when the user was created (rule B10)
	PendingUpdate                         // switched off when attributes changed
	PendingDeactivate                     // switched off when the user was deactivated or deleted
	PendingGroups                         // switched off when groups changed
	PendingGrants                         // grants that are left to the worker (rule B6)
)

// Frozen is what an account keeps of a user while parts of provisioning are
// switched off.
type Frozen struct {
	Profile *Profile   `json:"profile,omitempty"` // nil: it is not frozen
	Groups  []GroupRef `json:"groups,omitempty"`  // meaningful with PendingGroups or PendingGrants, and where the user is deleted

	// Email is the email that the account is to have; AccountState.Email is the
	// one that the host was told, RefusedEmail is set. "": it is not frozen.
	Email string `json:"email,omitempty"`
}

// Reasons for which the library holds an account by itself and lets it go when
// they are gone, the values of [AccountState.Held]. Any other reason is the
// host's, and stands until [Engine.Release].
const (
	HeldForDomain = "the email is outside the organization's registered domains"
	HeldForEmail  = "another person's account still has this email"
	HeldForSeat   = "the organization has no seat left"

	// HeldForReview is the default for a person whom the host knows and who
	// must not simply be linked (rule A7). It stands until [Engine.Release],
	// which links the account. Until then HostID names an account that is the
	// application's own, of which the [Provisioner] is told nothing: its access
	// and its roles stay as they are (rule A8).
	HeldForReview = "the application has an account with this email that needs a review first"
)

// A UserState is a user of a directory with what is kept beside it.
type UserState struct {
	User    *Resource     // nil: there is no such user, or no longer
	Account *AccountState // nil: there is none; a deleted user's stays
	Groups  []GroupRef    // those of [MemberStore.GroupsOf]
}

// A Delivery names one outstanding call of Committed.
type Delivery struct {
	ID     uint64 // given by the store
	User   Ref
	Change Change
	Since  time.Time
}
