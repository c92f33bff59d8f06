// Package memstore is the reference [scim.Ledger] in memory: for tests, for
// single-process applications, and as the plainest statement of what a store
// has to do.
//
// # One writer a tenant, readers without locks
//
// Transactions of a tenant take turns. A transaction that runs keeps its
// changes aside, beside the rows they are about, where only it looks; at the
// commit it swaps one pointer a row. Readers take no lock at all, so neither a
// slow hook nor a write of 100,000 members makes one wait. A reader sees each
// resource, with its groups and its members, wholly before or wholly after a
// transaction; across several resources it may see one before and another
// after, as with any store that is read row by row. Inside a transaction
// everything is read as the transaction has left it.
//
// # Rows, slots and the index
//
// A directory numbers its resources of all types by slots, in blocks of rows
// that belong to one type each and never move. Three things refer to resources
// by slot instead of by pointer or id: the index, the sets of members, and the
// lists of groups that each resource is in. They cost a few bytes a reference
// and give the garbage collector nothing to follow.
//
// The index is a table of hashes to slots. An entry is a hint: who looks
// something up reads the row and sees for itself. So a running transaction can
// add the entries of what it writes at once (readers find the row unchanged
// and pass on), and the same lookup serves reader and writer.
//
// A slot is used again when its resource is deleted. A reader that still holds
// a set or a list from before recognises the newcomer, because it was born
// after the set or list was published.
//
// # What is derived
//
// Members are kept as references: [scim.Member]'s Type and Display are those of
// the resource that is the member (of a user displayName or else userName, of
// a group displayName), not what the provider sent along with the id. They
// therefore follow a rename.
//
// # What is bounded
//
// Events are kept for the latest [Options.Events] of each tenant, the request
// log for the latest [Options.Requests] of each directory. Accounts of deleted
// users are kept as rule B1 asks. Nothing survives the process.
//
// # Accounts and records
//
// Accounts are the transactions': they are changed in place, beside the rows.
// So [Store.People], [Store.Waiting] and [Store.Accounts] take the tenant's turn
// like one who writes. [Store.Tally] and the records of package directory are
// immutable and swapped at the commit: reading them waits for nobody.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	control "github.com/muster-id/scim/directory"
)

// Options tune a [Store]. The zero value, like nil, is ready for use.
type Options struct {
	// Now is the clock of meta.created and meta.lastModified. nil: time.Now.
	Now func() time.Time
	// Events is how many events of a tenant are kept. 0: 16,384.
	Events int
	// Requests is how many entries of a directory's request log are kept. 0:
	// 1,024.
	Requests int
}

// The bounds where [Options] has none.
const (
	defaultEvents   = 16_384
	defaultRequests = 1_024
)

// A Store is a [scim.Ledger] in memory. It is safe for concurrent use.
//
// Its methods may be called with the context of a transaction that runs
// ([Store.Do]): they are then part of it. A transaction is of one tenant; what
// is asked about another with its context is an error. Called with any other
// context, a method that writes is a transaction of its own.
type Store struct {
	kinds []*kind
	opts  Options

	directories registry // for readers

	mu      sync.Mutex // for what is below, and for adding to directories
	tenants map[string]*tenant

	claims claims
}

var _ control.Storage = (*Store)(nil)

// New returns an empty store for resources of the given types. opts may be nil.
func New(types *scim.Types, opts *Options) *Store {
	s := &Store{tenants: make(map[string]*tenant)}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	if s.opts.Events <= 0 {
		s.opts.Events = defaultEvents
	}
	if s.opts.Requests <= 0 {
		s.opts.Requests = defaultRequests
	}
	for i, t := range types.All() {
		s.kinds = append(s.kinds, newKind(t, i))
	}
	return s
}

// A kind is a resource type as the store sees it: which of its attributes are
// looked up.
type kind struct {
	typ    *scim.ResourceType
	number int // in Store.kinds and directory.shelves

	indexed []indexed // indexed[0] is the id

	userName, displayName *attr.Attribute // what a member is called by; may be nil
	groupValue            *attr.Attribute // groups.value of a user
	memberValue           *attr.Attribute // members.value of a group
}

// indexed is an attribute with entries in the index.
type indexed struct {
	attr   *attr.Attribute
	list   *attr.Attribute // the multi-valued attribute it is part of, nil if it has one value
	many   bool            // it is multi-valued itself, list or not
	unique bool            // taken once in a directory and type, contract of [scim.Store]
	salt   uint64          // sets its hashes apart from those of other attributes and types
}

func newKind(t *scim.ResourceType, number int) *kind {
	find := func(path string) *attr.Attribute {
		a, _ := t.Lookup(path, attr.Strict)
		return a
	}
	k := &kind{typ: t, number: number, displayName: find("displayName")}
	add := func(a *attr.Attribute, unique bool) {
		if i := k.index(a); i != nil {
			i.unique = i.unique || unique
			return
		}
		i := indexed{attr: a, many: a.MultiValued, unique: unique, salt: salt(number, a.Index())}
		if a.Parent != nil && a.Parent.MultiValued {
			i.list = a.Parent
		}
		k.indexed = append(k.indexed, i)
	}
	index := func(path string, unique bool) {
		if a := find(path); a != nil && (a.Kind == attr.String || a.Kind == attr.Reference) {
			add(a, unique)
		}
	}
	index("id", true)
	if t.IsUser() {
		k.userName, k.groupValue = find("userName"), find("groups.value")
		index("userName", true)
	}
	index("externalId", true)
	if t.IsUser() {
		index("emails.value", false)
	}
	if t.IsGroup() {
		k.memberValue = find("members.value")
	}
	index("displayName", false)
	for _, a := range t.Unique() {
		add(a, true)
	}
	return k
}

func (s *Store) kindNamed(name string) *kind {
	for _, k := range s.kinds {
		if k.typ.Name == name {
			return k
		}
	}
	return nil
}

func (s *Store) kindOf(t *scim.ResourceType) *kind {
	for _, k := range s.kinds {
		if k.typ == t {
			return k
		}
	}
	return nil
}

// errForeignType is returned for resources and queries of a registry that is
// not the one the store was made with: a mistake of the host's wiring.
func errForeignType(t *scim.ResourceType) error {
	if t == nil {
		return errors.New("memstore: no resource type")
	}
	return fmt.Errorf("memstore: the resource type %q is not of the registry that New was given", t.Name)
}

// A tenant holds what belongs to no directory alone.
type tenant struct {
	name   string
	writer chan struct{} // holds a token while a transaction runs

	directories map[string]*directory // by id; under Store.mu

	events events
	outbox outbox

	tally   atomic.Pointer[scim.Tally]
	records atomic.Pointer[records]
}

// tenant returns the tenant of that name, new if it is not known.
func (s *Store) tenant(name string) *tenant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenantLocked(name)
}

func (s *Store) tenantLocked(name string) *tenant {
	t := s.tenants[name]
	if t == nil {
		t = &tenant{name: name, writer: make(chan struct{}, 1), directories: make(map[string]*directory)}
		t.events.limit = s.opts.Events
		s.tenants[name] = t
	}
	return t
}

// directory returns the directory of that key, new if it is not known. Reads
// ask s.directories instead, so that asking for what does not exist leaves
// nothing behind.
func (s *Store) directory(key scim.Key) *directory {
	if d := s.directories.find(key); d != nil {
		return d
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenantLocked(key.Tenant)
	d := t.directories[key.Directory]
	if d == nil {
		d = newDirectory(s, t, key)
		t.directories[key.Directory] = d
		s.directories.add(d)
	}
	return d
}

// Get implements [scim.Store].
func (s *Store) Get(ctx context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	v, err := s.view(ctx, ref.Directory)
	if err != nil {
		return nil, err
	}
	return v.get(ref)
}

// List implements [scim.Store]. Without SortBy the order is that of the rows:
// resources in the order in which they were created, later ones also in the
// places of deleted ones. A position is then the number of a row, otherwise what
// the query sorts by and an id.
func (s *Store) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	v, err := s.view(ctx, q.Directory)
	if err != nil {
		return nil, err
	}
	return v.list(ctx, s, q)
}

// Create implements [scim.Store]. The store keeps r's document.
func (s *Store) Create(ctx context.Context, r *scim.Resource) (created *scim.Resource, err error) {
	err = s.do(ctx, r.Directory().Tenant, func(tx *tx) error {
		created, err = tx.create(r)
		return err
	})
	return created, err
}

// Replace implements [scim.Store]. The store keeps r's document.
func (s *Store) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (replaced *scim.Resource, err error) {
	err = s.do(ctx, r.Directory().Tenant, func(tx *tx) error {
		replaced, err = tx.replace(r, was)
		return err
	})
	return replaced, err
}

// Delete implements [scim.Store]. The groups that had the resource as a member
// get a new version.
func (s *Store) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	return s.do(ctx, ref.Directory.Tenant, func(tx *tx) error { return tx.delete(ref, was) })
}
