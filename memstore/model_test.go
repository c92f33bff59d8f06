package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/memstore"
)

// A model is a store as one would write it without any thought of speed: maps
// that are copied for a transaction. Histories of random transactions must
// leave the real one in the same state.
type model struct {
	dirs       map[scim.Key]*modelDirectory
	events     []string
	deliveries map[uint64]string
}

type modelDirectory struct {
	resources map[string]*modelResource // by type/id
	accounts  map[string]scim.AccountState
	departed  []string // ids, the latest last
	bindings  map[string]scim.Binding
	requests  []scim.RequestID // the newest last
}

type modelResource struct {
	*scim.Resource
	members map[string]bool // type/id
}

func newModel() *model {
	return &model{dirs: map[scim.Key]*modelDirectory{}, deliveries: map[uint64]string{}}
}

func (m *model) clone() *model {
	c := &model{dirs: map[scim.Key]*modelDirectory{}, events: slices.Clone(m.events), deliveries: maps.Clone(m.deliveries)}
	for key, d := range m.dirs {
		n := &modelDirectory{
			resources: map[string]*modelResource{}, accounts: maps.Clone(d.accounts), departed: slices.Clone(d.departed),
			bindings: maps.Clone(d.bindings), requests: slices.Clone(d.requests),
		}
		for name, r := range d.resources {
			n.resources[name] = &modelResource{r.Resource, maps.Clone(r.members)}
		}
		c.dirs[key] = n
	}
	return c
}

func (m *model) dir(key scim.Key) *modelDirectory {
	d := m.dirs[key]
	if d == nil {
		d = &modelDirectory{
			resources: map[string]*modelResource{}, accounts: map[string]scim.AccountState{},
			bindings: map[string]scim.Binding{},
		}
		m.dirs[key] = d
	}
	return d
}

func text(r *scim.Resource, path string) string {
	s, _ := r.Text(path)
	return s
}

func (d *modelDirectory) unique(r *scim.Resource) error {
	taken := func(same func(o *modelResource) bool) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(d.resources)), func(o *modelResource) bool {
			return o.Type() == r.Type() && o.ID() != r.ID() && same(o)
		})
	}
	if r.Type().IsUser() && taken(func(o *modelResource) bool {
		return strings.EqualFold(text(o.Resource, "userName"), text(r, "userName"))
	}) {
		return &scim.UniquenessError{Attribute: "userName"}
	}
	if r.ExternalID() != "" && taken(func(o *modelResource) bool { return o.ExternalID() == r.ExternalID() }) {
		return &scim.UniquenessError{Attribute: "externalId"}
	}
	return nil
}

func name(typ, id string) string { return typ + "/" + id }

func (d *modelDirectory) create(r *scim.Resource) error {
	n := name(r.Type().Name, r.ID())
	if d.resources[n] != nil {
		return &scim.UniquenessError{Attribute: "id"}
	}
	if err := d.unique(r); err != nil {
		return err
	}
	d.resources[n] = &modelResource{r.WithMeta(scim.Meta{Version: 1}), map[string]bool{}}
	if r.Type().IsUser() { // there again, under the same id
		d.departed = slices.DeleteFunc(d.departed, func(id string) bool { return id == r.ID() })
	}
	return nil
}

func (d *modelDirectory) current(ref scim.Ref, was scim.Version) (*modelResource, error) {
	r := d.resources[name(ref.Type, ref.ID)]
	switch {
	case r == nil:
		return nil, scim.ErrNotFound
	case was != 0 && r.Version() != was:
		return nil, scim.ErrVersion
	}
	return r, nil
}

func (r *modelResource) bump(to *scim.Resource) {
	r.Resource = to.WithMeta(scim.Meta{Version: r.Version() + 1})
}

func (d *modelDirectory) replace(r *scim.Resource, was scim.Version) error {
	old, err := d.current(r.Ref(), was)
	if err != nil {
		return err
	}
	if err := d.unique(r); err != nil {
		return err
	}
	old.bump(r)
	return nil
}

func (d *modelDirectory) delete(ref scim.Ref, was scim.Version) error {
	if _, err := d.current(ref, was); err != nil {
		return err
	}
	n := name(ref.Type, ref.ID)
	delete(d.resources, n)
	for _, g := range d.resources {
		if g.members[n] {
			delete(g.members, n)
			g.bump(g.Resource)
		}
	}
	if a, ok := d.accounts[ref.ID]; ok && ref.Type == "User" && a.Deleted {
		d.depart(ref.ID)
	}
	return nil
}

func (d *modelDirectory) depart(id string) {
	d.departed = append(slices.DeleteFunc(d.departed, func(s string) bool { return s == id }), id)
}

// resolve returns type/id for the id of a resource, "" if there is none.
func (d *modelDirectory) resolve(id string) string {
	for _, typ := range []string{"User", "Group"} {
		if d.resources[name(typ, id)] != nil {
			return name(typ, id)
		}
	}
	return ""
}

func (d *modelDirectory) changeMembers(ref scim.Ref, c scim.MemberChange, was scim.Version) (added, removed, unknown []string, err error) {
	g, err := d.current(ref, was)
	if err != nil {
		return nil, nil, nil, err
	}
	now := maps.Clone(g.members)
	if c.Clear {
		clear(now)
	}
	for _, m := range c.Add {
		if n := d.resolve(m.Value); n != "" {
			now[n] = true
		} else {
			unknown = append(unknown, m.Value)
		}
	}
	for _, id := range c.Remove {
		delete(now, name("User", id))
		delete(now, name("Group", id))
	}
	for n := range now {
		if !g.members[n] {
			added = append(added, n)
		}
	}
	for n := range g.members {
		if !now[n] {
			removed = append(removed, n)
		}
	}
	if len(added)+len(removed) > 0 {
		g.members = now
		g.bump(g.Resource)
	}
	slices.Sort(added)
	slices.Sort(removed)
	return added, removed, unknown, nil
}

func (d *modelDirectory) putAccount(a scim.AccountState) {
	d.accounts[a.User.ID] = a
	d.departed = slices.DeleteFunc(d.departed, func(s string) bool { return s == a.User.ID })
	if a.Deleted && d.resources[name("User", a.User.ID)] == nil {
		d.depart(a.User.ID)
	}
}

func (d *modelDirectory) lastDeparted(match func(scim.AccountState) bool) *scim.AccountState {
	for _, id := range slices.Backward(d.departed) {
		if a := d.accounts[id]; match(a) {
			return &a
		}
	}
	return nil
}

// selects returns the ids of the resources of a type that the predicate
// selects, sorted.
func (d *modelDirectory) selects(typ string, match func(*modelResource) bool) []string {
	ids := []string{}
	for n, r := range d.resources {
		if r.Type().Name == typ && match(r) {
			_, id, _ := strings.Cut(n, "/")
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (d *modelDirectory) groupsOf(n string) []string {
	return d.selects("Group", func(g *modelResource) bool { return g.members[n] })
}

// A history drives store and model alike.
type history struct {
	*testing.T
	*rand.Rand
	store *memstore.Store
	now   time.Time
}

var (
	ada = scim.Key{Tenant: "acme", Directory: "main"}
	bob = scim.Key{Tenant: "acme", Directory: "second"}
	eve = scim.Key{Tenant: "globex", Directory: "main"}
)

func (h *history) pick(list ...string) string { return list[h.IntN(len(list))] }

func (h *history) id() string { return fmt.Sprintf("id-%d", h.IntN(14)) }

func (h *history) user(key scim.Key) *scim.Resource {
	b := scim.CoreTypes().New(key, "User").ID(h.id()).
		Set("userName", h.pick("ann", "Ann", "ben", "BEN", "cid", "dot", "eli", "fay", "Straße", "STRASSE", "Kay", "\u212Aay")).
		Set("externalId", h.pick("", "", "x1", "X1", "x2", "x3")).
		Set("displayName", h.pick("", "Sam", "SAM", "Pat")).
		Set("name.givenName", h.pick("Zoe", "zora", "Max", "")).
		Set("active", h.IntN(2) == 0)
	if n := h.IntN(3); n > 0 {
		b.Set("emails", []map[string]any{
			{"value": h.pick("s@x.test", "S@X.test", "t@x.test"), "type": "work"},
			{"value": h.pick("s@x.test", "u@x.test"), "type": "home"},
		}[:n])
	}
	return h.built(b)
}

func (h *history) group(key scim.Key) *scim.Resource {
	return h.built(scim.CoreTypes().New(key, "Group").ID(h.id()).
		Set("displayName", h.pick("Sales", "SALES", "Ops", "Dev")).Set("externalId", h.pick("", "", "x1", "g1", "g2")))
}

func (h *history) built(b *scim.Builder) *scim.Resource {
	h.Helper()
	r, err := b.Resource()
	require.NoError(h, err)
	return r
}

func (h *history) sameError(want, got error) {
	h.Helper()
	var w, g *scim.UniquenessError
	switch {
	case want == nil:
		require.NoError(h, got)
	case errors.As(want, &w):
		require.ErrorAs(h, got, &g)
		require.Equal(h, w.Attribute, g.Attribute)
	case errors.Is(want, scim.ErrNotFound):
		require.ErrorIs(h, got, scim.ErrNotFound)
	default:
		require.ErrorIs(h, got, scim.ErrVersion)
	}
}

// step does one random thing to both.
func (h *history) step(ctx context.Context, tx scim.Tx, m *model, key scim.Key) {
	d := m.dir(key)
	was := scim.Version(0)
	if h.IntN(4) == 0 {
		was = scim.Version(1 + h.IntN(3))
	}
	switch h.IntN(13) {
	case 0, 1, 2:
		r := h.user(key)
		created, err := tx.Create(ctx, r)
		h.sameError(d.create(r), err)
		if err == nil {
			require.Equal(h, scim.Version(1), created.Version())
			require.Equal(h, h.now, created.Meta().Created)
		}
	case 3:
		r := h.group(key)
		_, err := tx.Create(ctx, r)
		h.sameError(d.create(r), err)
	case 4, 5:
		r := h.user(key)
		replaced, err := tx.Replace(ctx, r, was)
		h.sameError(d.replace(r, was), err)
		if err == nil {
			require.Equal(h, h.now, replaced.Meta().LastModified)
		}
	case 6:
		r := h.group(key)
		_, err := tx.Replace(ctx, r, was)
		h.sameError(d.replace(r, was), err)
	case 7:
		ref := scim.Ref{Directory: key, Type: h.pick("User", "User", "Group", "Robot"), ID: h.id()}
		h.sameError(d.delete(ref, was), tx.Delete(ctx, ref, was))
	case 8, 9:
		h.changeMembers(ctx, tx, d, scim.Ref{Directory: key, Type: "Group", ID: h.id()}, was)
	case 10:
		a := scim.AccountState{
			User: scim.Ref{Directory: key, Type: "User", ID: h.id()}, HostID: h.pick("", "h1", "h2"),
			ExternalID: h.pick("", "x1", "x2"), Email: h.pick("", "s@x.test", "S@x.test"), Active: h.IntN(2) == 0, Deleted: h.IntN(2) == 0,
			Held: h.pick("", "seat"), RefusedEmail: h.pick("", "r@x.test"), ApprovedEmail: h.pick("", "a@x.test"),
		}
		if h.IntN(2) == 0 {
			a.Grants = []scim.Grant{{Role: h.pick("admin", "viewer"), Source: scim.FromGroup, Group: "g"}}
		}
		require.NoError(h, tx.PutAccount(ctx, &a))
		d.putAccount(a)
	case 11:
		b, selector := scim.Binding{GroupID: h.id(), ExternalID: h.pick("", "g1")}, h.pick("name:ops", "name:dev")
		require.NoError(h, tx.Bind(ctx, key, b, selector))
		d.bindings[selector] = b
	case 12:
		e := &scim.Event{Type: scim.UserCreated, Directory: key, Note: h.pick("a", "b", "c")}
		require.NoError(h, tx.Append(ctx, e))
		m.events = append(m.events, e.Note)
		require.Equal(h, uint64(len(m.events)), e.Seq, "gapless from 1 (rule D2)")
		id := scim.RequestID(h.Uint64())
		require.NoError(h, tx.Log(ctx, &scim.LogEntry{ID: id, Directory: key}))
		d.requests = append(d.requests, id)
		given, err := tx.Deliver(ctx, scim.Delivery{User: scim.Ref{Directory: key, Type: "User", ID: h.id()}})
		require.NoError(h, err)
		require.NotContains(h, m.deliveries, given[0].ID)
		m.deliveries[given[0].ID] = given[0].User.ID
		if h.IntN(2) == 0 {
			for id := range m.deliveries {
				require.NoError(h, h.store.Delivered(ctx, key.Tenant, scim.Delivery{ID: id}))
				delete(m.deliveries, id)
				break
			}
		}
	}
}

func (h *history) changeMembers(ctx context.Context, tx scim.Tx, d *modelDirectory, group scim.Ref, was scim.Version) {
	var c scim.MemberChange
	c.Clear = h.IntN(3) == 0
	in := map[string]bool{}
	for range h.IntN(8) {
		id := h.id()
		if h.IntN(6) == 0 {
			id = "elsewhere"
		}
		if in[id] {
			continue
		}
		in[id] = true
		if h.IntN(3) == 0 {
			c.Remove = append(c.Remove, id)
		} else {
			c.Add = append(c.Add, scim.Member{Value: id})
		}
	}
	added, removed, unknown, want := d.changeMembers(group, c, was)
	got, err := tx.ChangeMembers(ctx, group, c, was)
	h.sameError(want, err)
	if err != nil {
		return
	}
	require.Equal(h, added, memberNames(got.Added))
	require.Equal(h, removed, memberNames(got.Removed))
	require.Equal(h, unknown, got.Unknown)
	require.Equal(h, d.resources[name("Group", group.ID)].Version(), got.Group.Version())
}

func memberNames(members []scim.Member) (names []string) {
	for _, m := range members {
		names = append(names, name(m.Type, m.Value))
	}
	slices.Sort(names)
	return names
}

// check compares all that the context sees with the model.
func (h *history) check(ctx context.Context, m *model, key scim.Key) {
	h.Helper()
	d := m.dir(key)
	for _, typ := range []string{"User", "Group"} {
		h.checkLists(ctx, d, key, scim.CoreTypes().Type(typ))
		for i := range 14 {
			ref := scim.Ref{Directory: key, Type: typ, ID: fmt.Sprintf("id-%d", i)}
			want := d.resources[name(typ, ref.ID)]
			got, err := h.store.Get(ctx, ref, scim.GetOptions{})
			if want == nil {
				require.ErrorIs(h, err, scim.ErrNotFound)
				continue
			}
			require.NoError(h, err)
			require.Equal(h, want.JSON(), got.JSON())
			require.Equal(h, want.Version(), got.Version())
			if typ == "Group" {
				var members []scim.Member
				for member, err := range h.store.Members(ctx, ref) {
					require.NoError(h, err)
					members = append(members, member)
				}
				require.Equal(h, slices.Sorted(maps.Keys(want.members)), memberNames(members))
			}
		}
	}
	for i := range 14 {
		id := fmt.Sprintf("id-%d", i)
		groups, err := h.store.GroupsOf(ctx, key, []string{id})
		require.NoError(h, err)
		require.Len(h, groups, 1)
		got := []string{}
		for _, g := range groups[0] {
			got = append(got, g.ID)
			bound := []string{}
			for selector, b := range d.bindings {
				if b.GroupID == g.ID {
					bound = append(bound, selector)
				}
			}
			slices.Sort(bound)
			require.Equal(h, bound, g.Bound)
			require.Equal(h, text(d.resources[name("Group", g.ID)].Resource, "displayName"), g.DisplayName)
			require.Equal(h, d.resources[name("Group", g.ID)].ExternalID(), g.ExternalID)
		}
		require.Equal(h, d.groupsOf(d.resolve(id)), got, "in order of id")
	}
	events, err := h.store.Events(ctx, key.Tenant, 0, 1<<20)
	require.NoError(h, err)
	require.Len(h, events, len(m.events))
	for i, e := range events {
		require.Equal(h, m.events[i], e.Note)
	}
	requests, err := h.store.Requests(ctx, key, 1<<20)
	require.NoError(h, err)
	require.Len(h, requests, len(d.requests))
	for i, r := range requests {
		require.Equal(h, d.requests[len(requests)-1-i], r.ID)
	}
	pending, err := h.store.Undelivered(ctx, key.Tenant, h.now.Add(time.Hour), 1<<20)
	require.NoError(h, err)
	require.Len(h, pending, len(m.deliveries))
	for _, p := range pending {
		require.Equal(h, m.deliveries[p.ID], p.User.ID)
	}
}

func (h *history) checkLists(ctx context.Context, d *modelDirectory, key scim.Key, t *scim.ResourceType) {
	h.Helper()
	is := func(path, value string) func(*modelResource) bool {
		return func(r *modelResource) bool { return strings.EqualFold(text(r.Resource, path), value) }
	}
	type listing struct {
		filter string
		match  func(*modelResource) bool
	}
	member := h.id()
	isMember := func(r *modelResource) bool {
		return r.members[name("User", member)] || r.members[name("Group", member)]
	}
	all := []listing{
		{"", func(*modelResource) bool { return true }},
		{`externalId eq "x1"`, func(r *modelResource) bool { return r.ExternalID() == "x1" }},
		{`displayName eq "sAM"`, is("displayName", "sam")},
		{`id eq "` + member + `"`, func(r *modelResource) bool { return r.ID() == member }},
	}
	if t.Name == "User" {
		email := func(r *modelResource) bool {
			return slices.ContainsFunc(r.User().Emails(), func(e scim.Email) bool { return strings.EqualFold(e.Value, "s@x.test") })
		}
		in := func(r *modelResource) bool {
			g := d.resources[name("Group", member)]
			return g != nil && g.members[name("User", r.ID())]
		}
		all = append(all,
			listing{`userName eq "aNN"`, is("userName", "ann")},
			listing{`userName eq "STRASSE"`, is("userName", "strasse")},
			listing{`emails.value eq "S@x.TEST"`, email},
			listing{`emails[value eq "s@x.test" and type eq "home"]`, func(r *modelResource) bool {
				return slices.ContainsFunc(r.User().Emails(), func(e scim.Email) bool { return e.Type == "home" && strings.EqualFold(e.Value, "s@x.test") })
			}},
			listing{`name.givenName sw "z" and active eq true`, func(r *modelResource) bool {
				return strings.HasPrefix(strings.ToLower(text(r.Resource, "name.givenName")), "z") && r.User().Active()
			}},
			listing{`displayName eq "sam" and active eq false`, func(r *modelResource) bool { return is("displayName", "sam")(r) && !r.User().Active() }},
			listing{`groups.value eq "` + member + `"`, in},
			listing{`not (groups eq "` + member + `")`, func(r *modelResource) bool { return !in(r) }},
			listing{`active eq true and groups.value eq "` + member + `"`, func(r *modelResource) bool { return in(r) && r.User().Active() }},
			listing{`emails.value eq "s@x.test" or externalId eq "x2"`, func(r *modelResource) bool { return email(r) || r.ExternalID() == "x2" }},
		)
	} else {
		all = append(all,
			listing{`members eq "` + member + `"`, isMember},
			listing{`members[value eq "` + member + `"]`, isMember},
			listing{`members[not (value eq "` + member + `")]`, func(r *modelResource) bool {
				return slices.ContainsFunc(slices.Collect(maps.Keys(r.members)), func(n string) bool { return !strings.HasSuffix(n, "/"+member) })
			}},
			listing{`not (members.value eq "` + member + `")`, func(r *modelResource) bool { return !isMember(r) }},
			listing{`displayName eq "ops" and members.value eq "` + member + `"`, func(r *modelResource) bool { return is("displayName", "ops")(r) && isMember(r) }},
			listing{`id eq "id-3" and members eq "` + member + `"`, func(r *modelResource) bool { return r.ID() == "id-3" && isMember(r) }},
			listing{`members.type eq "Group"`, func(r *modelResource) bool {
				return slices.ContainsFunc(slices.Collect(maps.Keys(r.members)), func(n string) bool { return strings.HasPrefix(n, "Group/") })
			}},
			listing{`members pr`, func(r *modelResource) bool { return len(r.members) > 0 }},
		)
	}
	sort, _ := t.Lookup("displayName", attr.Strict)
	for _, l := range all {
		q := scim.Query{Directory: key, Type: t}
		if l.filter != "" {
			var err error
			q.Filter, _, err = filter.Parse(l.filter, t.Type, filter.Options{})
			require.NoError(h, err, l.filter)
		}
		if h.IntN(3) == 0 {
			q.SortBy = sort
		}
		want, got := d.selects(t.Name, l.match), []string{}
		q.StartIndex, q.Count, q.Positioned = 1, 1+h.IntN(5), h.IntN(2) == 0
		for {
			page, err := h.store.List(ctx, &q)
			require.NoError(h, err)
			require.Equal(h, len(want), page.Total, l.filter)
			for _, r := range page.Resources {
				got = append(got, r.ID())
			}
			require.Equal(h, q.Positioned, page.Positioned)
			if q.After = page.Next; q.After != "" {
				require.Len(h, page.Resources, q.Count, "a page with another behind it is full")
				continue
			}
			if q.StartIndex += q.Count; q.Positioned || q.StartIndex > page.Total {
				require.LessOrEqual(h, len(page.Resources), q.Count)
				break
			}
			require.Len(h, page.Resources, q.Count, "only the last page may be short (RFC 7644 section 3.4.2.4)")
		}
		slices.Sort(got)
		require.Equal(h, want, got, l.filter)
	}
}

func (h *history) checkAccounts(ctx context.Context, tx scim.Tx, m *model, key scim.Key) {
	h.Helper()
	d := m.dir(key)
	for i := range 14 {
		id := fmt.Sprintf("id-%d", i)
		states, err := accountsOf(ctx, tx, key, []string{id})
		require.NoError(h, err)
		require.Len(h, states, 1)
		if want, ok := d.accounts[id]; ok {
			require.Equal(h, &want, states[0])
		} else {
			require.Nil(h, states[0])
		}
	}
	for _, external := range []string{"x1", "x2", "x3"} {
		got, err := tx.Departed(ctx, key, external, "")
		require.NoError(h, err)
		require.Equal(h, d.lastDeparted(func(a scim.AccountState) bool { return a.ExternalID == external }), got)
	}
	got, err := tx.Departed(ctx, key, "", "s@x.test")
	require.NoError(h, err)
	require.Equal(h, d.lastDeparted(func(a scim.AccountState) bool { return strings.EqualFold(a.Email, "s@x.test") }), got)
	bindings, err := tx.Bindings(ctx, key)
	require.NoError(h, err)
	require.Equal(h, len(d.bindings), len(bindings))
	for selector, b := range d.bindings {
		require.Equal(h, b, bindings[selector])
	}
}

// The contract of scim.Ledger as a whole: after every step of a transaction it
// sees all it has done while others see nothing of it, and afterwards others
// see all or nothing.
func TestHistoriesAgreeWithTheModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			h := &history{T: t, Rand: rand.New(rand.NewPCG(seed, 7)), now: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)}
			h.store = memstore.New(scim.CoreTypes(), &memstore.Options{Now: func() time.Time { return h.now.Add(9 * time.Microsecond) }})
			committed := newModel()
			outside := context.Background()
			for range 60 {
				h.now = h.now.Add(time.Second)
				work := committed.clone()
				fail := errors.New("rolled back")
				err := h.store.Do(outside, "acme", func(ctx context.Context, tx scim.Tx) error {
					for range 1 + h.IntN(12) {
						key := []scim.Key{ada, ada, bob}[h.IntN(3)]
						h.step(ctx, tx, work, key)
						if h.IntN(3) == 0 {
							h.check(ctx, work, key)
							h.checkAccounts(ctx, tx, work, key)
							h.check(outside, committed, key)
						}
					}
					if h.IntN(3) == 0 {
						return fail
					}
					return nil
				})
				if err == nil {
					committed = work
				} else {
					require.Equal(t, fail, err)
				}
				h.check(outside, committed, ada)
				h.check(outside, committed, bob)
				h.check(outside, newModel(), eve)
			}
			require.NotEmpty(t, committed.dir(ada).resources)
		})
	}
}

// accountsOf returns the state of each user's account in turn.
func accountsOf(ctx context.Context, tx scim.Tx, key scim.Key, users []string) ([]*scim.AccountState, error) {
	people, err := tx.UserStates(ctx, key, users)
	states := make([]*scim.AccountState, len(people))
	for i, p := range people {
		states[i] = p.Account
	}
	return states, err
}
