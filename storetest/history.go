package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
)

// histories drives the store and a plain model of one through random changes.
func histories(seed uint64) testCase {
	return testCase{
		name: "history/seed-" + strconv.FormatUint(seed, 10),
		why:  fmt.Sprintf("after any history the store is as the contract says step by step (Store, MemberStore, Ledger); run it again with STORETEST_SEED=%d", seed),
		run: func(p *probe) {
			h := &history{probe: p, Rand: random(seed)}
			h.run()
		},
	}
}

// A model is a store as one would write it without any thought of speed. It is
// copied for a transaction.
type model struct {
	directories map[scim.Key]*modelDirectory
	events      []string
	revision    uint64 // of the tally
	deliveries  map[uint64]string
}

type modelDirectory struct {
	resources map[string]*scim.Resource // by type/id, with the Meta that the store gave
	members   map[string]map[string]bool
	accounts  map[string]scim.AccountState
	bindings  map[string]scim.Binding
	requests  []scim.RequestID
}

func newModel(keys ...scim.Key) *model {
	m := &model{directories: map[scim.Key]*modelDirectory{}, deliveries: map[uint64]string{}}
	for _, key := range keys {
		m.directories[key] = &modelDirectory{
			resources: map[string]*scim.Resource{}, members: map[string]map[string]bool{}, accounts: map[string]scim.AccountState{}, bindings: map[string]scim.Binding{},
		}
	}
	return m
}

func (m *model) clone() *model {
	c := &model{directories: map[scim.Key]*modelDirectory{}, events: slices.Clone(m.events), revision: m.revision, deliveries: maps.Clone(m.deliveries)}
	for key, d := range m.directories {
		n := &modelDirectory{
			resources: maps.Clone(d.resources), members: map[string]map[string]bool{}, accounts: maps.Clone(d.accounts), bindings: maps.Clone(d.bindings), requests: slices.Clone(d.requests),
		}
		for group, members := range d.members {
			n.members[group] = maps.Clone(members)
		}
		c.directories[key] = n
	}
	return c
}

func modelName(ref scim.Ref) string { return ref.Type + "/" + ref.ID }

func (d *modelDirectory) of(typ string) (all []*scim.Resource) {
	for r := range resources(d.resources) {
		if r.Type().Name == typ {
			all = append(all, r)
		}
	}
	return all
}

// current returns what is stored, or the error of a change that expects the
// version was.
func (d *modelDirectory) current(ref scim.Ref, was scim.Version) (*scim.Resource, error) {
	r := d.resources[modelName(ref)]
	switch {
	case r == nil:
		return nil, scim.ErrNotFound
	case was != 0 && r.Version() != was:
		return nil, scim.ErrVersion
	}
	return r, nil
}

// known reports whether an id is that of a user or a group: theirs are never
// the same here.
func (d *modelDirectory) known(id string) bool {
	return d.resources["User/"+id] != nil || d.resources["Group/"+id] != nil
}

func (d *modelDirectory) groupsOf(id string) (groups []string) {
	for _, group := range slices.Sorted(maps.Keys(d.members)) {
		if d.members[group][id] {
			groups = append(groups, group)
		}
	}
	return groups
}

// A history is what happens to a store and its model.
type history struct {
	*probe
	*rand.Rand
	steps []string // what has happened, the latest last
}

func (h *history) pick(list ...string) string { return list[h.IntN(len(list))] }

func (h *history) id(typ string) string {
	return strings.ToLower(typ[:1]) + strconv.Itoa(h.IntN(map[string]int{"User": 9, "Group": 5, "Device": 3}[typ]))
}

func (h *history) step(format string, args ...any) {
	h.steps = append(h.steps, fmt.Sprintf(format, args...))
}

// wrong ends the case with the steps that led to it.
func (h *history) wrong(format string, args ...any) {
	const most = 25
	steps := h.steps
	if len(steps) > most {
		steps = append([]string{fmt.Sprintf("… %d before", len(steps)-most)}, steps[len(steps)-most:]...)
	}
	h.fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, args...), strings.Join(steps, "\n  "))
}

func (h *history) require(condition bool, format string, args ...any) {
	if !condition {
		h.wrong(format, args...)
	}
}

// agree compares the error of a call with the model's.
func (h *history) agree(got, want error) {
	h.require((got == nil) == (want == nil) && (want == nil || errors.Is(got, want)), "the error is %v, want %v", got, want)
}

func (h *history) run() {
	const rounds = 40
	keys := []scim.Key{h.key(), h.second()}
	committed := newModel(keys...)
	for _, key := range keys {
		h.settle(committed.directories[key], key)
	}
	for range rounds {
		if h.ledger == nil {
			for range 6 {
				h.change(h.ctx, h.store, committed, keys[h.IntN(2)])
			}
			h.check(h.ctx, h.store, committed)
			continue
		}
		work := committed.clone()
		refuse := h.IntN(3) == 0
		h.step("begin")
		err := h.ledger.Do(h.ctx, h.tenant, func(ctx context.Context, tx scim.Tx) error {
			for range 1 + h.IntN(6) {
				h.changeTx(ctx, tx, work, keys[h.IntN(2)])
			}
			h.check(ctx, tx, work)
			h.checkTx(ctx, tx, work)
			h.checkAccounts(ctx, tx, work)
			if h.IntN(4) == 0 {
				h.check(h.ctx, h.store, committed)
				h.checkLedger(committed)
			}
			if refuse {
				return errRefused
			}
			return nil
		})
		if refuse {
			h.step("roll back")
			h.agree(err, errRefused)
		} else {
			h.step("commit")
			h.agree(err, nil)
			committed = work
		}
		h.check(h.ctx, h.store, committed)
		h.checkLedger(committed)
		h.checkAccounts(h.ctx, h.ledger, committed)
	}
}

// settle creates some users and groups to begin with.
func (h *history) settle(d *modelDirectory, key scim.Key) {
	for i := range 6 {
		h.note(d, h.create(h.build(key, "User", fmt.Sprint("u", i), values{"userName": fmt.Sprint("settler", i)})))
	}
	for i := range 3 {
		h.note(d, h.create(h.build(key, "Group", fmt.Sprint("g", i), values{"displayName": "Settlers"})))
	}
}

func (h *history) resource(key scim.Key, typ string) *scim.Resource {
	v := values{}
	if h.IntN(2) == 0 {
		v["externalId"] = h.pick("x1", "X1", "x2", "x3")
	}
	switch typ {
	case "User":
		v["userName"] = h.pick("ann", "Ann", "ben", "BEN", "cid", "dot", "eli", "fay", "gus", "Straße", "STRASSE", "Kay", "\u212aay")
		v["displayName"], v["active"] = h.pick("", "Sam", "SAM", "Pat"), h.IntN(2) == 0
		v["emails"] = []any{map[string]any{"value": h.pick("s@x.test", "S@x.test", "t@x.test"), "type": h.pick("work", "home")}}
		if h.IntN(3) == 0 {
			v[userExtension+":badge"] = h.pick("b1", "B1", "b2")
		}
	case "Group":
		v["displayName"] = h.pick("Sales", "SALES", "Ops", "Dev")
	default:
		v["aliases"], v["count"] = []string{h.pick("a", "b", "c"), h.pick("A", "d")}, h.IntN(3)
	}
	return h.build(key, typ, h.id(typ), v)
}

// change does one random thing that any store can do.
func (h *history) change(ctx context.Context, s scim.Store, m *model, key scim.Key) {
	d := m.directories[key]
	typ := h.pick("User", "User", "User", "Group", "Device")
	switch h.IntN(11) {
	case 0, 1, 2:
		r := h.resource(key, typ)
		h.step("create %s in %s: %s", typ, key.Directory, r.JSON())
		want := scim.CheckUnique(r, resources(d.resources))
		if d.resources[modelName(r.Ref())] != nil {
			want = scim.ErrUniqueness
		}
		if want != nil {
			want = scim.ErrUniqueness
		}
		created, err := s.Create(ctx, r)
		h.agree(err, want)
		if err == nil {
			h.require(created.JSON() == r.JSON(), "Create returns %s", created.JSON())
			h.note(d, created)
		}
	case 3, 4:
		r, was := h.resource(key, typ), h.version()
		h.step("replace %s in %s, version %d: %s", typ, key.Directory, was, r.JSON())
		old, want := d.current(r.Ref(), was)
		if want == nil && scim.CheckUnique(r, resources(d.resources)) != nil {
			want = scim.ErrUniqueness
		}
		replaced, err := s.Replace(ctx, r, was)
		h.agree(err, want)
		if err == nil {
			h.require(replaced.Version() > old.Version(), "the version was %d and is %d", old.Version(), replaced.Version())
			h.require(replaced.Meta().Created.Equal(old.Meta().Created), "created was %v and is %v", old.Meta().Created, replaced.Meta().Created)
			h.note(d, replaced)
		}
	case 5:
		ref, was := scim.Ref{Directory: key, Type: typ, ID: h.id(typ)}, h.version()
		h.step("delete %s %s in %s, version %d", typ, ref.ID, key.Directory, was)
		_, want := d.current(ref, was)
		err := s.Delete(ctx, ref, was)
		h.agree(err, want)
		if err != nil {
			return
		}
		delete(d.resources, modelName(ref))
		if typ == "Device" {
			return
		}
		delete(d.members, ref.ID)
		for _, group := range d.groupsOf(ref.ID) {
			delete(d.members[group], ref.ID)
			h.bumped(ctx, s, d, groupRef(key, group))
		}
	default:
		if members, ok := s.(scim.MemberStore); ok {
			h.changeMembers(ctx, members, d, groupRef(key, h.id("Group")))
		}
	}
}

// note notes a resource as the store returned it.
func (h *history) note(d *modelDirectory, r *scim.Resource) {
	d.resources[modelName(r.Ref())] = r
	if r.Type().IsGroup() && d.members[r.ID()] == nil {
		d.members[r.ID()] = map[string]bool{}
	}
}

// bumped notes the new version of a group that has lost or got members.
func (h *history) bumped(ctx context.Context, s scim.Store, d *modelDirectory, group scim.Ref) {
	was := d.resources[modelName(group)]
	now, err := s.Get(ctx, group, scim.GetOptions{})
	h.agree(err, nil)
	h.require(now.Version() > was.Version() && now.JSON() == was.JSON() && now.Meta().Created.Equal(was.Meta().Created), "the group %s, whose members have changed, was %v and is %v", group.ID, was.Meta(), now.Meta())
	d.resources[modelName(group)] = now
}

func (h *history) version() scim.Version {
	if h.IntN(4) > 0 {
		return 0
	}
	return scim.Version(1 + h.IntN(4))
}

func (h *history) changeMembers(ctx context.Context, s scim.MemberStore, d *modelDirectory, group scim.Ref) {
	c, was := scim.MemberChange{Clear: h.IntN(4) == 0}, h.version()
	in := map[string]bool{}
	for range h.IntN(6) {
		typ := h.pick("User", "User", "User", "Group")
		id := h.id(typ)
		if h.IntN(8) == 0 {
			id = "unknown"
		}
		if in[id] || id == group.ID {
			continue
		}
		in[id] = true
		if h.IntN(3) == 0 {
			c.Remove = append(c.Remove, id)
		} else {
			c.Add = append(c.Add, scim.Member{Value: id, Type: typ})
		}
	}
	h.step("members of %s in %s, version %d: clear %t, add %q, remove %q", group.ID, group.Directory.Directory, was, c.Clear, memberValues(c.Add), c.Remove)
	_, want := d.current(group, was)
	result, err := s.ChangeMembers(ctx, group, c, was)
	h.agree(err, want)
	if err != nil {
		return
	}
	before := d.members[group.ID]
	after := maps.Clone(before)
	if c.Clear {
		clear(after)
	}
	var added, removed, unknown []string
	for _, m := range c.Add {
		if d.known(m.Value) {
			after[m.Value] = true
		} else {
			unknown = append(unknown, m.Value)
		}
	}
	for _, id := range c.Remove {
		delete(after, id)
	}
	for id := range after {
		if !before[id] {
			added = append(added, id)
		}
	}
	for id := range before {
		if !after[id] {
			removed = append(removed, id)
		}
	}
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"Added", memberValues(result.Added), added}, {"Removed", memberValues(result.Removed), removed}, {"Unknown", result.Unknown, unknown}} {
		h.require(slices.Equal(sorted(c.got), sorted(c.want)), "%s is %q, want %q", c.what, sorted(c.got), sorted(c.want))
	}
	d.members[group.ID] = after
	if len(added)+len(removed) > 0 {
		h.bumped(ctx, s, d, group)
	}
}

// changeTx does one random thing that can be done in a transaction.
func (h *history) changeTx(ctx context.Context, tx scim.Tx, m *model, key scim.Key) {
	d := m.directories[key]
	switch h.IntN(12) {
	case 0, 3:
		a := scim.AccountState{
			User: userRef(key, h.id("User")), HostID: h.pick("", "h1", "h2"), ExternalID: h.pick("", "x1"), Email: h.pick("", "s@x.test"), Active: h.IntN(2) == 0,
			Held: h.pick("", "seat"), RefusedEmail: h.pick("", "r@x.test"), ApprovedEmail: h.pick("", "a@x.test"),
		}
		if h.IntN(2) == 0 {
			a.Grants = []scim.Grant{{Role: h.pick("admin", "viewer"), Source: scim.FromGroup, Group: "g"}}
		}
		if h.IntN(3) == 0 {
			a.Pending, a.Since, a.Found = scim.Pending(h.IntN(1<<7)), moment.Add(time.Duration(h.Int64N(1e9))), []string{h.pick("a", "b")}
		}
		h.step("account of %s in %s", a.User.ID, key.Directory)
		d.accounts[a.User.ID] = a
		h.agree(tx.PutAccount(ctx, &a), nil)
	case 1:
		b, selector := scim.Binding{GroupID: h.id("Group"), ExternalID: h.pick("", "x1")}, h.pick("name:ops", "name:dev")
		h.step("bind %s to %s in %s", selector, b.GroupID, key.Directory)
		d.bindings[selector] = b
		h.agree(tx.Bind(ctx, key, b, selector), nil)
	case 2:
		h.step("an event, a log entry and a delivery in %s", key.Directory)
		e := &scim.Event{Type: scim.UserCreated, Directory: key, Time: moment, Data: h.user("u"), Note: h.pick("a", "b", "c")}
		h.agree(tx.Append(ctx, e), nil)
		m.events = append(m.events, e.Note)
		h.require(e.Seq == uint64(len(m.events)), "Append gives the number %d, want %d", e.Seq, len(m.events))
		id := scim.RequestID(h.Uint64())
		h.agree(tx.Log(ctx, &scim.LogEntry{ID: id, Time: moment, Directory: key}), nil)
		d.requests = append(d.requests, id)
		given, err := tx.Deliver(ctx, scim.Delivery{User: userRef(key, h.id("User")), Change: scim.Updated, Since: moment})
		h.agree(err, nil)
		m.deliveries[given[0].ID] = given[0].User.ID
		m.revision++
		h.agree(tx.PutTally(ctx, &scim.Tally{Revision: m.revision}), nil)
	default:
		h.change(ctx, tx, m, key)
	}
}

// check compares all that a store or a transaction shows with the model.
func (h *history) check(ctx context.Context, s scim.Store, m *model) {
	seen := &probe{shared: h.shared, ctx: ctx, failing: h.failing}
	for _, key := range []scim.Key{h.key(), h.second()} {
		d := m.directories[key]
		for _, typ := range []string{"User", "Group", "Device"} {
			q := seen.query(typ, "")
			q.Directory = key
			h.sameList(seen.listIn(ctx, s, q), q, d.of(typ))
			q.Filter = seen.query(typ, `externalId eq "x1"`).Filter
			h.sameList(seen.listIn(ctx, s, q), q, slices.DeleteFunc(d.of(typ), func(r *scim.Resource) bool { return r.ExternalID() != "x1" }))
		}
		for _, r := range d.resources {
			got, err := s.Get(ctx, r.Ref(), scim.GetOptions{})
			h.agree(err, nil)
			h.require(got.JSON() == r.JSON() && got.Meta() == r.Meta(), "%s %s is %s %v, want %s %v", r.Type().Name, r.ID(), got.JSON(), got.Meta(), r.JSON(), r.Meta())
		}
		if members, ok := s.(scim.MemberStore); ok {
			h.checkMembers(ctx, members, key, d)
		}
	}
}

func (h *history) sameList(page *scim.Page, q *scim.Query, want []*scim.Resource) {
	got := sorted(ids(page.Resources))
	h.require(page.Total == len(want) && slices.Equal(got, sorted(ids(want))), "%s in %s returns %q of %d, want %q", describe(q), q.Directory.Directory, got, page.Total, sorted(ids(want)))
}

func (h *history) checkMembers(ctx context.Context, s scim.MemberStore, key scim.Key, d *modelDirectory) {
	var people []string
	for name := range d.resources {
		if id, ok := strings.CutPrefix(name, "User/"); ok {
			people = append(people, id)
		}
	}
	people = append(sorted(people), "unknown")
	groups, err := s.GroupsOf(ctx, key, people)
	h.agree(err, nil)
	h.require(len(groups) == len(people), "GroupsOf %d returns %d", len(people), len(groups))
	for i, id := range people {
		h.require(slices.Equal(groupIDs(groups[i]), d.groupsOf(id)), "the groups of %s in %s are %q, want %q", id, key.Directory, groupIDs(groups[i]), d.groupsOf(id))
		for _, g := range groups[i] {
			name, _ := d.resources["Group/"+g.ID].Text("displayName")
			var bound []string
			for selector, b := range d.bindings {
				if b.GroupID == g.ID {
					bound = append(bound, selector)
				}
			}
			if _, within := s.(scim.Tx); !within && g.Bound == nil {
				bound = nil // it need not be said
			}
			h.require(g.DisplayName == name && g.ExternalID == d.resources["Group/"+g.ID].ExternalID() && slices.Equal(sorted(g.Bound), sorted(bound)), "a group of %s is %+v, want the name %q and the selectors %q", id, g, name, bound)
		}
	}
	for group, members := range d.members {
		var got []string
		for m, err := range s.Members(ctx, groupRef(key, group)) {
			h.agree(err, nil)
			got = append(got, m.Value)
		}
		h.require(slices.Equal(sorted(got), slices.Sorted(maps.Keys(members))), "the members of %s in %s are %q, want %q", group, key.Directory, sorted(got), slices.Sorted(maps.Keys(members)))
	}
	who := h.id("User")
	q := h.query("Group", `members.value eq "`+who+`"`)
	q.Directory = key
	var in []*scim.Resource
	for _, group := range d.groupsOf(who) {
		in = append(in, d.resources["Group/"+group])
	}
	h.sameList(h.listIn(ctx, s, q), q, in)
}

// checkTx compares what only a transaction shows.
func (h *history) checkTx(ctx context.Context, tx scim.Tx, m *model) {
	for key, d := range m.directories {
		all := []string{"unknown"}
		for i := range 9 {
			all = append(all, fmt.Sprint("u", i))
		}
		states, err := tx.UserStates(ctx, key, all)
		h.agree(err, nil)
		for i, id := range all {
			h.require((states[i].User != nil) == (d.resources["User/"+id] != nil), "UserStates of %s in %s returns the user %v", id, key.Directory, states[i].User)
			want, there := d.accounts[id]
			h.require((states[i].Account != nil) == there, "UserStates of %s in %s returns the account %+v", id, key.Directory, states[i].Account)
			if there {
				h.sameAccount(states[i].Account, &want)
			}
		}
		bound, err := tx.Bindings(ctx, key)
		h.agree(err, nil)
		h.require(maps.Equal(bound, d.bindings), "the bindings in %s are %v, want %v", key.Directory, bound, d.bindings)
	}
}

// checkLedger compares what is seen of events, the log and deliveries outside
// of transactions.
func (h *history) checkLedger(m *model) {
	var notes []string
	for _, e := range h.gapless() {
		notes = append(notes, e.Note)
	}
	h.require(slices.Equal(notes, m.events), "the events are %q, want %q", notes, m.events)
	for key, d := range m.directories {
		want := slices.Clone(d.requests)
		slices.Reverse(want)
		got := h.requests(key, 1000)
		h.require(slices.Equal(got, want), "the log of %s has %v, want %v", key.Directory, got, want)
	}
	owed := map[uint64]string{}
	for _, d := range h.undelivered(moment.Add(time.Hour), 1000) {
		owed[d.ID] = d.User.ID
	}
	h.require(maps.Equal(owed, m.deliveries), "outstanding are %v, want %v", owed, m.deliveries)
	tally, err := h.ledger.Tally(h.ctx, h.tenant)
	h.agree(err, nil)
	h.require(tally.Revision == m.revision, "the tally's revision is %d, want %d", tally.Revision, m.revision)
}

// checkAccounts compares how accounts are found. Outside of transactions none
// may run: to find them may need the tenant's turn.
func (h *history) checkAccounts(ctx context.Context, r scim.AccountReader, m *model) {
	var all []*scim.AccountState
	for _, key := range []scim.Key{h.key(), h.second()} {
		var in []*scim.AccountState
		for _, id := range slices.Sorted(maps.Keys(m.directories[key].accounts)) {
			a := m.directories[key].accounts[id]
			in = append(in, &a)
		}
		after := h.pick("", "u3", "u44", "u8")
		later := func(a *scim.AccountState) bool { return a.User.ID > after }
		got, err := r.Accounts(ctx, key, after, 100)
		h.agree(err, nil)
		h.sameAccounts("Accounts", got, chosen(in, later))
		got, err = r.Waiting(ctx, key, after, 100)
		h.agree(err, nil)
		h.sameAccounts("Waiting", got, chosen(chosen(in, later), (*scim.AccountState).Waits))
		all = append(all, in...)
	}
	host, email := h.pick("", "h1", "h2"), h.pick("", "s@x.test", "t@x.test")
	got, err := r.People(ctx, h.tenant, host, email)
	h.agree(err, nil)
	theirs := chosen(all, func(a *scim.AccountState) bool {
		return host != "" && a.HostID == host || email != "" && scim.FoldEmail(a.Email) == email
	})
	h.sameAccounts("People", got, theirs)
	if finder, ok := r.(scim.PeopleFinder); ok {
		got, err := finder.PeopleOf(ctx, h.tenant, []string{host, "nobody"}, []string{email, ""})
		h.agree(err, nil)
		slices.SortFunc(got, func(a, b *scim.AccountState) int {
			return cmp.Or(cmp.Compare(a.User.Directory.Directory, b.User.Directory.Directory), cmp.Compare(a.User.ID, b.User.ID))
		})
		got = slices.CompactFunc(got, func(a, b *scim.AccountState) bool { return a.User == b.User })
		h.sameAccounts("PeopleOf", got, theirs)
	}
}

func (h *history) sameAccounts(what string, got, want []*scim.AccountState) {
	h.require(slices.Equal(accountNames(got), accountNames(want)), "%s returns %q, want %q", what, accountNames(got), accountNames(want))
	for i, a := range got {
		h.sameAccount(a, want[i])
	}
}

// chosen returns the accounts of which that is so.
func chosen(all []*scim.AccountState, is func(*scim.AccountState) bool) (some []*scim.AccountState) {
	for _, a := range all {
		if is(a) {
			some = append(some, a)
		}
	}
	return some
}

func accountNames(all []*scim.AccountState) []string {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.User.Directory.Directory + "/" + a.User.ID
	}
	return names
}
