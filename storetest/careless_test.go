package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/directory"
)

// A careless store is a Ledger over a good one, with one bug, or with none.
type careless struct {
	directory.Storage
	bug string
	*carelessState
}

// carelessState is what a bug remembers.
type carelessState struct {
	lock     sync.Mutex // that readers or tenants wait for
	mu       sync.Mutex // for what is below
	open     scim.Tx    // the transaction that runs
	entries  []*scim.LogEntry
	seq      uint64
	owed     []uint64
	gone     []uint64
	groups   map[string][]scim.GroupRef
	accounts map[string]*scim.AccountState
	meet     meeting
	control  controlState
}

func newCareless(bug string, good directory.Storage) *careless {
	return &careless{Storage: good, bug: bug, carelessState: &carelessState{groups: map[string][]scim.GroupRef{}, accounts: map[string]*scim.AccountState{}, meet: make(meeting)}}
}

// reopened is the store after the program was started again.
func (c *careless) reopened() *careless {
	if c.bug == "owed calls are forgotten" {
		c.gone = c.owed
	}
	c.control.reopened = true
	return c
}

func (c *careless) Get(ctx context.Context, ref scim.Ref, opts scim.GetOptions) (*scim.Resource, error) {
	if c.bug == "readers wait" {
		c.lock.Lock()
		defer c.lock.Unlock()
	}
	if c.bug == "readers see what is not committed" {
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		if open != nil {
			return open.Get(ctx, ref, opts)
		}
	}
	return c.Storage.Get(ctx, ref, opts)
}

func (c *careless) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	if c.bug == "tenants wait for each other" {
		c.lock.Lock()
		defer c.lock.Unlock()
	}
	return c.Storage.Create(ctx, r)
}

func (c *careless) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	return c.Storage.Do(ctx, ref.Directory.Tenant, func(ctx context.Context, tx scim.Tx) error {
		if c.bug == "bindings go with their group" && ref.Type == "Group" {
			bound, err := tx.Bindings(ctx, ref.Directory)
			if err != nil {
				return err
			}
			for selector, b := range bound {
				if b.GroupID == ref.ID {
					_ = tx.Bind(ctx, ref.Directory, scim.Binding{}, selector)
				}
			}
		}
		return tx.Delete(ctx, ref, was)
	})
}

// A carelessTx is the Tx of a careless store.
type carelessTx struct {
	scim.Tx
	*carelessState
	store   *careless
	bug     string
	ended   atomic.Bool
	refused error
	before  *scim.Resource // read too early
	redo    []func()
	tenant  string
	tally   *scim.Tally // as it was put
	own     []scim.Ref  // accounts that were put
}

// Methods of both are the Tx's, unless they are below.

func (x *carelessTx) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	if x.bug == "transactions list what is committed" {
		return x.store.List(context.Background(), q)
	}
	return x.Tx.List(ctx, q)
}

func (x *carelessTx) Get(ctx context.Context, ref scim.Ref, opts scim.GetOptions) (*scim.Resource, error) {
	if x.before != nil && x.before.Ref() == ref {
		return x.before, nil
	}
	r, err := x.Tx.Get(ctx, ref, opts)
	return r, x.refuse(err)
}

// refuse remembers an error, as some databases do until the end of a
// transaction.
func (x *carelessTx) refuse(err error) error {
	if x.bug != "refusals spoil the transaction" {
		return err
	}
	if x.refused == nil {
		x.refused = err
	}
	return x.refused
}

func (x *carelessTx) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	if x.bug == "ended transactions write on" && x.ended.Load() {
		return x.store.Storage.Create(ctx, r)
	}
	if x.bug == "transactions take any tenant" && strings.HasSuffix(r.Directory().Tenant, "-other") {
		return x.store.Storage.Create(context.Background(), r)
	}
	created, err := x.Tx.Create(ctx, r)
	return created, x.refuse(err)
}

func (x *carelessTx) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	replaced, err := x.Tx.Replace(ctx, r, was)
	return replaced, x.refuse(err)
}

func (x *carelessTx) Delete(ctx context.Context, ref scim.Ref, was scim.Version) error {
	return x.refuse(x.Tx.Delete(ctx, ref, was))
}

func (x *carelessTx) ChangeMembers(ctx context.Context, group scim.Ref, change scim.MemberChange, was scim.Version) (*scim.MemberResult, error) {
	if x.bug == "rollback keeps members" {
		x.redo = append(x.redo, func() { _, _ = x.store.ChangeMembers(context.Background(), group, change, 0) })
	}
	return x.Tx.ChangeMembers(ctx, group, change, was)
}

func (x *carelessTx) UserStates(ctx context.Context, key scim.Key, users []string) ([]scim.UserState, error) {
	all, err := x.Tx.UserStates(ctx, key, users)
	for i := range all {
		s := &all[i]
		switch {
		case x.bug == "accounts go with their user" && s.User == nil:
			s.Account = nil
		case x.bug == "groups of states are shared":
			x.mu.Lock()
			if shared, ok := x.groups[users[i]]; ok {
				s.Groups = shared
			}
			x.groups[users[i]] = s.Groups
			x.mu.Unlock()
		case x.bug == "states know no selectors":
			for n := range s.Groups {
				s.Groups[n].Bound = nil
			}
		case x.bug == "states of any directory" && s.Account == nil:
			x.mu.Lock()
			s.Account = x.accounts[users[i]]
			x.mu.Unlock()
		}
	}
	if x.bug == "states out of turn" {
		all = slices.DeleteFunc(all, func(s scim.UserState) bool { return s.User == nil && s.Account == nil })
	}
	return all, err
}

func (x *carelessTx) PutAccount(ctx context.Context, a *scim.AccountState) error {
	own := *a
	switch x.bug {
	case "grants without group":
		own.Grants = slices.Clone(a.Grants)
		for i := range own.Grants {
			own.Grants[i].Group = ""
		}
	case "approved emails are lost":
		own.ApprovedEmail = ""
	case "accounts are merged":
		if states, err := x.Tx.UserStates(ctx, a.User.Directory, []string{a.User.ID}); err == nil && states[0].Account != nil && own.HostID == "" {
			own.HostID = states[0].Account.HostID
		}
	case "emails are kept folded":
		own.Email = scim.FoldEmail(a.Email)
	case "pending is lost":
		own.Pending = 0
	case "since to the millisecond":
		own.Since = a.Since.Truncate(time.Millisecond)
	case "frozen profiles are lost":
		own.Frozen = nil
	case "found roles are lost":
		own.Found = nil
	case "who was linked without roles was not linked":
		own.Found = append([]string(nil), a.Found...)
	case "released accounts are managed":
		own.Unmanaged = false
	case "rollback keeps accounts":
		x.redo = append(x.redo, func() {
			_ = x.store.Storage.Do(context.Background(), a.User.Directory.Tenant, func(ctx context.Context, tx scim.Tx) error { return tx.PutAccount(ctx, &own) })
		})
	}
	x.own = append(x.own, a.User)
	x.mu.Lock()
	x.accounts[a.User.ID] = &own
	x.control.put = append(x.control.put, &own)
	x.mu.Unlock()
	return x.Tx.PutAccount(ctx, &own)
}

func (x *carelessTx) Departed(ctx context.Context, key scim.Key, externalID, email string) (*scim.AccountState, error) {
	x.mu.Lock()
	all := slices.Collect(maps.Values(x.accounts))
	x.mu.Unlock()
	slices.SortFunc(all, func(a, b *scim.AccountState) int { return strings.Compare(a.User.ID, b.User.ID) })
	first := func(is func(*scim.AccountState) bool) (*scim.AccountState, error) {
		for _, a := range all {
			if a.User.Directory == key && is(a) {
				return a, nil
			}
		}
		return nil, nil
	}
	switch {
	case x.bug == "departed without case" && externalID != "":
		return first(func(a *scim.AccountState) bool { return a.Deleted && attr.Fold(a.ExternalID) == attr.Fold(externalID) })
	case x.bug == "departed first of all" && externalID != "":
		return first(func(a *scim.AccountState) bool { return a.Deleted && a.ExternalID == externalID })
	case x.bug == "departed who are here" && externalID != "":
		return first(func(a *scim.AccountState) bool { return a.ExternalID == externalID })
	case x.bug == "departed by email as written" && externalID == "":
		return first(func(a *scim.AccountState) bool { return a.Deleted && a.Email == email })
	case x.bug == "departed by either" && externalID != "":
		if a, err := x.Tx.Departed(ctx, key, externalID, ""); a != nil || err != nil {
			return a, err
		}
		return x.Tx.Departed(ctx, key, "", email)
	}
	return x.Tx.Departed(ctx, key, externalID, email)
}

func (x *carelessTx) Keeper(ctx context.Context, key scim.Key, email string) (*scim.AccountState, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range x.accounts {
		same := scim.FoldEmail(a.Email) == email && a.User.Directory == key
		if same && (x.bug == "keepers without refusal" && !a.Deleted || x.bug == "keepers who are gone" && a.RefusedEmail != "") {
			return a, nil
		}
	}
	return x.Tx.Keeper(ctx, key, email)
}

func (x *carelessTx) Bind(ctx context.Context, key scim.Key, group scim.Binding, selectors ...string) error {
	if x.bug == "bindings do not move" {
		bound, err := x.Bindings(ctx, key)
		if err != nil {
			return err
		}
		selectors = slices.DeleteFunc(slices.Clone(selectors), func(s string) bool { return bound[s].GroupID != "" })
	}
	return x.Tx.Bind(ctx, key, group, selectors...)
}

func (x *carelessTx) Append(ctx context.Context, events ...*scim.Event) error {
	err := x.Tx.Append(ctx, events...)
	if x.bug == "numbers are lost by a rollback" {
		x.mu.Lock()
		for _, e := range events {
			x.seq++
			e.Seq = x.seq
		}
		x.mu.Unlock()
	}
	for _, e := range events {
		if x.bug == "numbers of each directory" && e.Directory.Directory != "main" {
			e.Seq = 1
		}
	}
	return err
}

func (x *carelessTx) Log(ctx context.Context, entry *scim.LogEntry) error {
	switch x.bug {
	case "the log is apart":
		return x.store.Storage.Log(context.Background(), entry)
	case "log entries are pointers":
		return x.store.Log(ctx, entry)
	}
	return x.Tx.Log(ctx, entry)
}

func (x *carelessTx) Deliver(ctx context.Context, changes ...scim.Delivery) ([]scim.Delivery, error) {
	given, err := x.Tx.Deliver(ctx, changes...)
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range given {
		x.owed = append(x.owed, given[i].ID)
		if x.bug == "deliveries in no order" {
			given[i].ID = 1000 - given[i].ID
		}
	}
	return given, err
}

func (c *careless) Do(ctx context.Context, tenant string, fn func(context.Context, scim.Tx) error) (err error) {
	if c.bug == "readers wait" || c.bug == "tenants wait for each other" {
		c.lock.Lock()
		defer c.lock.Unlock()
	}
	x := &carelessTx{store: c, bug: c.bug, tenant: tenant, carelessState: c.carelessState}
	outer := ctx
	switch c.bug {
	case "reads before its turn":
		x.before, _ = c.Storage.Get(context.Background(), userRef(scim.Key{Tenant: tenant, Directory: "main"}, "counter"), scim.GetOptions{})
		if x.before != nil {
			c.meet.another()
		}
	case "other tenants are let in":
		if strings.HasSuffix(tenant, "-other") {
			outer = context.Background()
		}
	case "cancelled transactions are committed":
		outer = context.WithoutCancel(ctx)
	case "nested transactions are their own":
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		if open != nil {
			return fn(ctx, &carelessTx{Tx: ownTx{open, c}, store: c, bug: c.bug, tenant: tenant, carelessState: c.carelessState})
		}
	}
	var caught any
	err = c.Storage.Do(outer, tenant, func(ctx context.Context, tx scim.Tx) (err error) {
		x.Tx = tx
		c.mu.Lock()
		was := c.open
		c.open = tx
		c.mu.Unlock()
		defer func() {
			x.ended.Store(true)
			c.mu.Lock()
			c.open = was
			c.mu.Unlock()
			if strings.HasPrefix(c.bug, "panics") {
				caught = recover()
			}
		}()
		err = fn(context.WithValue(ctx, withinKey{}, x), x)
		if c.bug == "errors are committed" && errors.Is(err, errRefused) {
			return nil
		}
		return err
	})
	if caught != nil && c.bug == "panics are committed" {
		panic(caught)
	}
	if err != nil {
		for _, again := range x.redo {
			again()
		}
	}
	if c.bug == "cancelled transactions are committed" && err == nil {
		return ctx.Err()
	}
	if c.bug == "errors are replaced" && err != nil {
		return errors.New("the transaction was rolled back")
	}
	return err
}

// An ownTx writes past the transaction that it should be part of.
type ownTx struct {
	scim.Tx
	store *careless
}

func (x ownTx) Create(_ context.Context, r *scim.Resource) (*scim.Resource, error) {
	other := r.Ref().Directory
	other.Tenant += "-own"
	return r, x.store.Storage.Log(context.Background(), &scim.LogEntry{Directory: other})
}

func (c *careless) Log(ctx context.Context, entry *scim.LogEntry) error {
	switch {
	case c.bug == "log entries are pointers":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.entries = append(c.entries, entry)
		return nil
	case c.bug == "cancelled contexts are not logged" && ctx.Err() != nil:
		return ctx.Err()
	case c.bug == "log entries lose what was ignored":
		own := *entry
		own.Ignored = nil
		entry = &own
	case c.bug == "log entries lose what was withheld":
		own := *entry
		own.Withheld = 0
		entry = &own
	case c.bug == "log entries lose their reason":
		own := *entry
		own.Reason = ""
		entry = &own
	}
	return c.Storage.Log(ctx, entry)
}

func (c *careless) Requests(ctx context.Context, key scim.Key, limit int) ([]*scim.LogEntry, error) {
	switch c.bug {
	case "log entries are pointers":
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.Clone(c.entries), nil
	case "requests oldest first":
		all, err := c.Storage.Requests(ctx, key, 1<<20)
		slices.Reverse(all)
		return all[:min(limit, len(all))], err
	case "requests without limit":
		limit = 1 << 20
	}
	return c.Storage.Requests(ctx, key, limit)
}

func (c *careless) Events(ctx context.Context, tenant string, after uint64, limit int) ([]*scim.Event, error) {
	switch c.bug {
	case "events from after on":
		after = max(after, 1) - 1
	case "events without limit":
		limit = 1 << 20
	case "events the latest first":
		all, err := c.Storage.Events(ctx, tenant, after, limit)
		slices.Reverse(all)
		return all, err
	case "events lose their name":
		all, err := c.Storage.Events(ctx, tenant, after, limit)
		for i, e := range all {
			own := *e
			own.Name = ""
			all[i] = &own
		}
		return all, err
	case "events show what is now":
		all, err := c.Storage.Events(ctx, tenant, after, limit)
		all = slices.Clone(all)
		for i, e := range all {
			own := *e
			if e.Data == nil {
				continue
			}
			if now, err := c.Storage.Get(ctx, e.Data.Ref(), scim.GetOptions{}); err == nil {
				own.Data = now
			} else {
				own.Data = e.Data.WithMeta(scim.Meta{})
			}
			all[i] = &own
		}
		return all, err
	}
	return c.Storage.Events(ctx, tenant, after, limit)
}

func (c *careless) Undelivered(ctx context.Context, tenant string, before time.Time, limit int) ([]scim.Delivery, error) {
	if c.bug == "owed calls of any time" {
		before = before.Add(1000 * time.Hour)
	}
	all, err := c.Storage.Undelivered(ctx, tenant, before, limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(all, func(d scim.Delivery) bool { return slices.Contains(c.gone, d.ID) }), err
}

func (c *careless) Delivered(ctx context.Context, tenant string, deliveries ...scim.Delivery) error {
	switch c.bug {
	case "unknown deliveries are an error":
		for _, d := range deliveries {
			if d.ID > 1<<40 {
				return errRefused
			}
		}
	case "delivered by user":
		all, err := c.Storage.Undelivered(ctx, tenant, moment.Add(1000*time.Hour), 1<<20)
		if err != nil {
			return err
		}
		for _, d := range all {
			if slices.ContainsFunc(deliveries, func(done scim.Delivery) bool { return done.User == d.User }) {
				deliveries = append(deliveries, d)
			}
		}
	}
	return c.Storage.Delivered(ctx, tenant, deliveries...)
}
