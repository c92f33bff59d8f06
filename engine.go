package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/pace"
	"github.com/muster-id/scim/patch"
)

// An Engine is what a request does once it is no longer HTTP: it applies the
// rules, writes through the store, works out what each affected person may now
// do, and tells the host. A [Handler] has one; hosts use it to repeat and to
// repair. It is safe for concurrent use.
type Engine struct {
	store   Store
	members MemberStore // nil: members are inline
	ledger  Ledger      // nil: no transactions

	roles       RoleMapper
	binder      Binder        // nil: the mapping names groups by id alone
	committer   Committer     // nil
	usage       UsageReporter // nil
	resolver    Resolver      // nil
	provisioner Provisioner

	hooks hooks

	cfg Config
}

// NewEngine checks that the store can do what the configuration asks for. The
// roles may be NoRoles.
func NewEngine(store Store, roles RoleMapper, cfg *Config) (*Engine, error) {
	if store == nil || roles == nil {
		return nil, errors.New("scim: a Store and a RoleMapper are required; NoRoles is one for applications without roles")
	}
	resolved, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	e := &Engine{store: store, roles: roles, provisioner: resolved.Provisioner, cfg: resolved, hooks: hooks{limit: resolved.ProvisionTimeout, direct: resolved.DirectHooks}}
	e.members, _ = store.(MemberStore)
	e.ledger, _ = store.(Ledger)
	e.binder, _ = roles.(Binder)
	e.committer, _ = resolved.Provisioner.(Committer)
	e.resolver, _ = resolved.Provisioner.(Resolver)
	e.usage, _ = resolved.Provisioner.(UsageReporter)
	if e.ledger == nil && e.resolver != nil {
		return nil, errors.New("scim: a Provisioner that is a Resolver needs a store that is a Ledger: links and holds must be kept with the user (rule A7)")
	}
	switch {
	case e.ledger == nil && resolved.Directories != nil:
		return nil, errors.New("scim: Config.Directories needs a store that is a Ledger: what is counted must be kept with the accounts")
	case e.ledger == nil && resolved.DeferGrants > 0:
		return nil, errors.New("scim: Config.DeferGrants needs a store that is a Ledger: who waits for a grant must be kept")
	case e.usage != nil && resolved.Directories == nil:
		return nil, errors.New("scim: a Provisioner that is a UsageReporter needs Config.Directories (package directory): without it nobody counts administrators and seats")
	}
	return e, nil
}

// checkDirectory refuses a directory whose policy the store cannot honour.
func (e *Engine) checkDirectory(d *Directory) error {
	if d == nil || d.Tenant == "" || d.ID == "" {
		return errors.New("scim: the Authenticator returned no directory, or one without Tenant or ID")
	}
	if err := e.checkProfile(d.Profile); err != nil {
		return err
	}
	if e.ledger == nil && (d.Policy.Email == KeepEmail || d.Policy.Domain == GuestDomain || d.Policy.RejoinByEmail) {
		return errors.New("scim: KeepEmail, GuestDomain and RejoinByEmail need a store that is a Ledger: the account differs from the user, and that must be kept")
	}
	if e.ledger == nil && (d.Policy.Off != 0 || len(d.Claims) > 0) {
		return errors.New("scim: Policy.Off and Claims need a store that is a Ledger: what is not passed on, and to whom an account belonged, must be kept")
	}
	return nil
}

// A request is one SCIM request on its way through the engine.
type request struct {
	LogEntry
	dir      *Directory
	lenience attr.Lenience
	scope    Scope // of who sent it
	valid    func(ctx context.Context) error
	self     bool         // about the user whose credential it is, /Me
	own      bool         // an administrator's or the library's doing, not the provider's
	recorded bool         // the request log has its line, or is to have none
	unless   versionMatch // If-None-Match

	groups       []GroupRef // as the write read them last, of
	groupsOfUser string

	work work // its memory, used again with the request's
}

func (q *request) ref(t *ResourceType, id string) Ref {
	return Ref{Directory: q.Directory, Type: t.Name, ID: id}
}

// A work is the writing part of a request: one transaction, or one attempt
// where the store has none.
type work struct {
	*Engine
	*request
	tx Tx

	mapper RoleMapper // the directory's
	binder Binder     // the mapper, nil if it names groups by id alone

	events []*Event
	few    [4]*Event // where events are: most requests cause no more
	pace   pace.Pace // of the loops over members

	one struct { // the lists of who is told where it is one person, the usual case
		id      [1]string
		subject [1]subject
		account [1]*Account
	}

	counts   *counter // what is counted, and what the guards have to know for it
	planned  plans
	used     *Usage
	people   map[personKey][]*AccountState
	settling bool            // to do, at the end, for who waits:
	newAdmin bool            // somebody has become an administrator
	revisit  []*AccountState // whose people have a seat now

	told   []*Account         // accounts the Provisioner was told of
	toldAt map[string]int     // by user id; where there is no transaction
	owed   []Delivery         // calls of Committed
	claims map[string]Binding // of the directory, read once

	regroup regrouping // what the request does to the members of a group
	idle    bool       // nothing was to be done: the request log has no line of it
}

// event notes something that happened.
func (w *work) event(e *Event) {
	w.pace.Step()
	e.Time, e.Directory, e.Actor, e.Request = w.Time, w.Directory, w.Actor, w.ID
	if w.Changed == nil {
		w.Changed = make([]EventType, 0, len(w.few))
	}
	w.events = append(w.events, e)
	if !slices.Contains(w.Changed, e.Type) {
		w.Changed = append(w.Changed, e.Type)
	}
}

// attempts bounds the repetitions of a write that lost a race against another,
// in stores without transactions.
const attempts = 8

// write runs fn in a transaction, and after the commit makes the calls that a
// rollback could not undo. retry allows fn to run again where the store has no
// transactions and somebody else's write came between.
func (e *Engine) write(ctx context.Context, q *request, retry bool, fn func(ctx context.Context, w *work) error) error {
	if e.ledger == nil {
		for i := 1; ; i++ {
			w := q.begin(e, plainTx{e})
			err := fn(ctx, w)
			switch {
			case err == nil:
				q.recorded = true
				e.afterCommit(ctx, q, w)
				return nil
			case !retry || !errors.Is(err, ErrVersion):
				return err
			case i == attempts: // the client named no version: nothing it could mend
				return fmt.Errorf("%w: %d attempts to write met with another write each", ErrUnavailable, attempts)
			}
		}
	}
	err := e.commit(ctx, q, true, fn)
	if err == nil {
		q.recorded = true
		e.afterCommit(ctx, q, &q.work)
		return nil
	}
	var others *settleError
	if errors.As(err, &others) && ctx.Err() == nil && !q.own {
		// That somebody who waits cannot be told must keep nobody from leaving.
		e.cfg.Logger.ErrorContext(ctx, "scim: who waits for a seat or another administrator could not be served, and waits on", "request", q.ID.String(),
			"tenant", q.Directory.Tenant, "error", others.err)
		err = e.commit(ctx, q, false, fn)
	}
	if err != nil {
		return err
	}
	q.recorded = true
	e.afterCommit(ctx, q, &q.work)
	return nil
}

// commit runs fn in a transaction, which also does what it has made possible for
// people who wait if it is to settle that.
func (e *Engine) commit(ctx context.Context, q *request, settle bool, fn func(ctx context.Context, w *work) error) error {
	return e.ledger.Do(ctx, q.Directory.Tenant, func(ctx context.Context, tx Tx) error {
		w := q.begin(e, tx)
		w.settling = settle
		if err := w.refresh(ctx); err != nil {
			return err
		}
		if err := fn(ctx, w); err != nil {
			return err
		}
		return w.finish(ctx)
	})
}

// begin returns the work of the request, with nothing done.
func (q *request) begin(e *Engine, tx Tx) *work {
	q.Changed, q.Withheld = nil, 0
	q.work = work{Engine: e, request: q, tx: tx}
	q.work.events = q.work.few[:0]
	q.work.useMapper()
	return &q.work
}

// useMapper takes the directory's own mapper, or else the engine's.
func (w *work) useMapper() {
	w.mapper, w.binder = w.roles, w.Engine.binder
	if w.dir.Roles != nil {
		w.mapper = w.dir.Roles
		w.binder, _ = w.mapper.(Binder)
	}
}

// refresh takes the present state of the directory where the one that the
// request was let in with is out of date.
func (w *work) refresh(ctx context.Context) error {
	if w.cfg.Directories == nil {
		return nil
	}
	tally, err := w.tx.Tally(ctx)
	if err != nil || tally.Revision == w.dir.Revision {
		return err
	}
	if w.valid != nil {
		if err := w.valid(ctx); err != nil {
			return authenticationError(err)
		}
	}
	d, err := w.cfg.Directories.Current(ctx, tally, w.Directory)
	if err != nil {
		if errors.Is(err, ErrNotFound) { // not a 404, for which a provider would take the user to be gone
			return errDisabled()
		}
		return err
	}
	if err := w.checkDirectory(d); err != nil {
		return err
	}
	if d.Disabled && !w.own {
		return errDisabled()
	}
	w.dir, w.lenience = d, d.lenience()
	w.useMapper()
	return nil
}

// finish writes what commits with the state: events in order, deliveries, the
// line of the log.
func (w *work) finish(ctx context.Context) error {
	if err := w.settle(ctx); err != nil {
		return &settleError{err}
	}
	if err := w.putTally(ctx); err != nil {
		return err
	}
	if len(w.events) > 0 {
		inOrder := func(a, b *Event) int {
			w.pace.Step()
			return a.Type.place() - b.Type.place()
		}
		if !slices.IsSortedFunc(w.events, inOrder) {
			slices.SortStableFunc(w.events, inOrder)
		}
		if err := w.tx.Append(ctx, w.events...); err != nil {
			return err
		}
	}
	if w.committer != nil && len(w.told) > 0 {
		owed := make([]Delivery, len(w.told))
		for i, a := range w.told {
			owed[i] = Delivery{User: Ref{Key{a.Tenant, a.Directory}, "User", a.ID}, Change: a.Change, Since: w.Time}
		}
		var err error
		if w.owed, err = w.tx.Deliver(ctx, owed...); err != nil {
			return err
		}
	}
	w.Duration = w.cfg.Now().Sub(w.Time)
	if w.idle {
		return nil
	}
	return w.tx.Log(ctx, &w.LogEntry)
}

// afterCommit calls Committed for every account (rule B6). The request has
// succeeded: an error is logged and the call repeated by DeliverPending.
func (e *Engine) afterCommit(ctx context.Context, q *request, w *work) {
	if e.committer == nil || len(w.told) == 0 {
		return
	}
	// The client may have hung up; access ends all the same.
	ctx = context.WithoutCancel(ctx)
	var done []Delivery
	for i, a := range w.told {
		if w.owed != nil {
			a.Seq = w.owed[i].ID
		}
		err := e.hooks.call(ctx, func(ctx context.Context) error { return e.committer.Committed(ctx, a) })
		if err == nil {
			if w.owed != nil {
				done = append(done, w.owed[i])
			}
			continue
		}
		what := "scim: Committed failed"
		if w.owed != nil {
			what += " and is owed"
		}
		e.cfg.Logger.ErrorContext(ctx, what, "request", q.ID.String(),
			"tenant", q.Directory.Tenant, "directory", q.Directory.Directory, "user", a.ID, "change", string(a.Change), "error", err)
		if left := len(w.told) - i - 1; left > 0 && errors.As(err, new(*slowHookError)) {
			// They would take as long, and the answer does not wait for them.
			e.cfg.Logger.ErrorContext(ctx, "scim: Committed was not called for the other accounts", "request", q.ID.String(), "accounts", left, "owed", w.owed != nil)
			break
		}
	}
	if len(done) > 0 {
		if err := e.ledger.Delivered(ctx, q.Directory.Tenant, done...); err != nil {
			e.cfg.Logger.ErrorContext(ctx, "scim: deliveries could not be marked as done and will be repeated", "request", q.ID.String(), "error", err)
		}
	}
}

// record writes down a request that did not commit: reads, and refusals in a
// transaction of their own where they are events.
func (e *Engine) record(ctx context.Context, q *request, cause *Error) {
	if e.ledger == nil {
		return
	}
	var err error
	if cause == nil || cause.event == nil {
		err = e.ledger.Log(ctx, &q.LogEntry)
	} else {
		// What was refused is recorded though the client may have hung up.
		err = e.ledger.Do(context.WithoutCancel(ctx), q.Directory.Tenant, func(ctx context.Context, tx Tx) error {
			return e.recordRefusal(ctx, q, tx, cause.event)
		})
	}
	if err != nil {
		e.cfg.Logger.ErrorContext(ctx, "scim: a request could not be logged", "request", q.ID.String(), "error", err)
	}
}

// recordRefusal appends the event of a refused change: of an email once per
// distinct value.
func (e *Engine) recordRefusal(ctx context.Context, q *request, tx Tx, ev *Event) error {
	ev.Time, ev.Directory, ev.Actor, ev.Request = q.Time, q.Directory, q.Actor, q.ID
	if ev.Type != UserEmailChangeRejected {
		return e.recordGuard(ctx, q, tx, ev)
	}
	people, err := tx.UserStates(ctx, q.Directory, []string{ev.Data.ID()})
	if err != nil {
		return err
	}
	if s := people[0].Account; s != nil && !sameEmail(s.RefusedEmail, ev.Note) {
		next := *s
		next.RefusedEmail = ev.Note
		if err := errors.Join(tx.PutAccount(ctx, &next), tx.Append(ctx, ev)); err != nil {
			return err
		}
		q.Changed = []EventType{ev.Type}
	}
	return tx.Log(ctx, &q.LogEntry)
}

// recordGuard appends the event of what a guard refused.
func (e *Engine) recordGuard(ctx context.Context, q *request, tx Tx, ev *Event) error {
	t, err := tx.Tally(ctx)
	if err != nil {
		return err
	}
	c := &counter{found: t, now: *t}
	if c.refused(ev) {
		if err := tx.Append(ctx, ev); err != nil {
			return err
		}
		q.Changed = []EventType{ev.Type}
	}
	if c.changed {
		if err := c.put(ctx, tx, q.Time); err != nil {
			return err
		}
	}
	return tx.Log(ctx, &q.LogEntry)
}

// get reads one resource.
func (e *Engine) get(ctx context.Context, q *request, t *ResourceType, id string, opts GetOptions) (*Resource, error) {
	r, err := e.store.Get(ctx, q.ref(t, id), opts)
	if err != nil {
		return nil, err
	}
	return r, q.checkSelf(r)
}

// decode reads a resource from a request's body: the members of a group apart.
func (e *Engine) decode(q *request, t *ResourceType, sent requestBody) (doc *attr.Doc, members []Member, err error) {
	doc = attr.NewDoc(t.Type)
	limits := e.cfg.Limits.values()
	limits.Uncounted = t.members
	if t.IsGroup() {
		members, err = patch.Decode(doc, sent.stream, q.lenience, limits, t.members)
	} else {
		err = doc.Decode(sent.held, q.lenience, limits)
	}
	q.Fired |= doc.Fired()
	q.Ignored = doc.Ignored()
	if err == nil {
		err = doc.Check()
	}
	if err != nil {
		doc.Release()
		return nil, nil, err
	}
	return doc, members, nil
}

// parse reads a PATCH from a request's body.
func (e *Engine) parse(q *request, t *ResourceType, sent requestBody) (*patch.Patch, error) {
	o := patch.Options{
		Lenience: q.lenience, Operations: e.cfg.Limits.Operations,
		Limits: e.cfg.Limits.values(), FilterLength: e.cfg.Limits.FilterLength, Members: t.members,
	}
	if t.IsGroup() {
		return patch.ParseStream(sent.stream, t.Type, o)
	}
	return patch.Parse(sent.held, t.Type, o)
}

// create stores a new resource, RFC 7644 section 3.3.
func (e *Engine) create(ctx context.Context, q *request, t *ResourceType, body requestBody) (created *Resource, err error) {
	doc, members, err := e.decode(q, t, body)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		doc.Release()
		return nil, fmt.Errorf("scim: no random numbers: %w", err)
	}
	doc.Root().Put(doc.Text(t.ID, id.String()))
	r := newResource(t, q.Directory, doc.Freeze())
	doc.Release()
	q.Status = http.StatusCreated
	err = e.write(ctx, q, false, func(ctx context.Context, w *work) (err error) {
		switch {
		case t.IsUser():
			created, err = w.createUser(ctx, r)
		case t.IsGroup():
			created, err = w.createGroup(ctx, r, members)
		default:
			if created, err = w.tx.Create(ctx, r); err == nil {
				w.event(&Event{Type: ResourceCreated, Data: created})
			}
		}
		return err
	})
	return created, err
}

// replace stores another version of a resource, RFC 7644 section 3.5.1: what
// the client cannot write is kept, what it left out is cleared, active
// excepted.
func (e *Engine) replace(ctx context.Context, q *request, t *ResourceType, id string, body requestBody, match versionMatch) (after *Resource, err error) {
	doc, members, err := e.decode(q, t, body)
	if err != nil {
		return nil, err
	}
	defer doc.Release()
	doc.Root().Put(doc.Text(t.ID, id))
	sentActive := t.active != nil && doc.Root().Child(t.active) != nil
	var sent attr.Stored
	again := e.ledger == nil || e.cfg.Directories != nil
	if again { // each attempt begins with what was sent, without what the one before kept
		sent = doc.Freeze()
	}
	q.Status = http.StatusOK
	err = e.write(ctx, q, !match.given() && !q.unless.given(), func(ctx context.Context, w *work) error {
		before, err := w.toChange(ctx, q.ref(t, id), match)
		if err != nil {
			return err
		}
		doc := doc
		if again {
			doc = sent.Thaw()
			defer doc.Release()
		}
		if t.active != nil && !sentActive {
			if was := before.Doc().Get(t.active); was.Exists() {
				doc.Root().Put(doc.Copy(was))
			}
		}
		if err := patch.Keep(doc, before.Doc()); err != nil {
			return err
		}
		change := MemberChange{}
		if t.IsGroup() {
			change = MemberChange{Clear: true, Add: members}
		}
		next := newResource(t, q.Directory, doc.Freeze())
		after, err = w.update(ctx, before, next, change)
		return err
	})
	return after, err
}

// modify applies a PATCH, RFC 7644 section 3.5.2. onlyMembers reports that it
// was about nothing but the members of a group.
func (e *Engine) modify(ctx context.Context, q *request, t *ResourceType, id string, body requestBody, match versionMatch, answer bool) (after *Resource, onlyMembers bool, err error) {
	p, err := e.parse(q, t, body)
	q.Ignored = p.Ignored()
	q.Fired |= p.Fired()
	if err != nil {
		return nil, false, err
	}
	onlyMembers = p.OnlyMembers()
	q.Status = http.StatusOK
	if onlyMembers && !answer {
		q.Status = http.StatusNoContent
	}
	err = e.write(ctx, q, !match.given() && !q.unless.given(), func(ctx context.Context, w *work) error {
		before, err := w.toChange(ctx, q.ref(t, id), match)
		if err != nil {
			return err
		}
		next := before
		if !onlyMembers {
			next, err = applyPatch(p, before)
			w.Fired |= p.Fired()
			w.Ignored = p.Ignored()
			if err == nil {
				err = e.checkSize(before, next)
			}
			if err != nil {
				return err
			}
		}
		change, err := w.memberChange(ctx, before, p)
		if err != nil {
			return err
		}
		after, err = w.update(ctx, before, next, change)
		return err
	})
	return after, onlyMembers, err
}

func applyPatch(p *patch.Patch, before *Resource) (*Resource, error) {
	doc, err := p.ApplyTo(&before.doc)
	if err != nil {
		return nil, err
	}
	return newResource(before.typ, before.key, doc), nil
}

// toChange reads the resource that a request is about to change, if it is a
// version that the client will change.
func (w *work) toChange(ctx context.Context, ref Ref, match versionMatch) (*Resource, error) {
	r, err := w.tx.Get(ctx, ref, GetOptions{})
	if err == nil {
		err = w.checkSelf(r)
	}
	if err != nil {
		return nil, err
	}
	if err := match.check(r); err != nil {
		return nil, err
	}
	return r, w.unless.checkNone(r)
}

// update stores next in place of before, if it says something else.
func (w *work) update(ctx context.Context, before, next *Resource, change MemberChange) (*Resource, error) {
	switch t := before.typ; {
	case t.IsUser():
		return w.updateUser(ctx, before, next)
	case t.IsGroup():
		return w.updateGroup(ctx, before, next, change)
	}
	if next == before || before.doc.Equal(&next.doc) {
		return before, nil
	}
	after, err := w.tx.Replace(ctx, next, before.version)
	if err == nil {
		w.event(&Event{Type: ResourceUpdated, Data: after, Previous: before})
	}
	return after, err
}

// remove deletes a resource, RFC 7644 section 3.6.
func (e *Engine) remove(ctx context.Context, q *request, t *ResourceType, id string, match versionMatch) error {
	q.Status = http.StatusNoContent
	return e.write(ctx, q, !match.given() && !q.unless.given(), func(ctx context.Context, w *work) error {
		before, err := w.toChange(ctx, q.ref(t, id), match)
		if err != nil {
			return err
		}
		switch {
		case t.IsUser():
			return w.deleteUser(ctx, before)
		case t.IsGroup():
			return w.deleteGroup(ctx, before)
		}
		if err := w.tx.Delete(ctx, before.Ref(), before.version); err != nil {
			return err
		}
		w.event(&Event{Type: ResourceDeleted, Data: before})
		return nil
	})
}
