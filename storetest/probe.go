package storetest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// values are attributes of a resource by their paths, as [scim.Builder.Set]
// takes them.
type values map[string]any

// key is the directory in which a case works.
func (p *probe) key() scim.Key { return scim.Key{Tenant: p.tenant, Directory: "main"} }

// second is another directory of the same tenant.
func (p *probe) second() scim.Key { return scim.Key{Tenant: p.tenant, Directory: "second"} }

// strangers are directories that have nothing to do with key, though their
// names are much like its.
func (p *probe) strangers() []scim.Key {
	return append(p.neighbours(),
		scim.Key{Tenant: p.tenant + "-2", Directory: "main"},
		scim.Key{Tenant: strings.ToUpper(p.tenant), Directory: "main"},
		scim.Key{Tenant: p.tenant + "/main", Directory: "main"},
		scim.Key{Tenant: p.tenant + ":", Directory: "main"},
		scim.Key{Tenant: p.tenant + " ", Directory: "main"},
		scim.Key{Tenant: "%", Directory: "main"},
	)
}

// neighbours are those strangers that are of the same tenant.
func (p *probe) neighbours() []scim.Key {
	var all []scim.Key
	for _, directory := range []string{"second", "MAIN", "main ", "mai_", "%", "main/main", "mäin"} {
		all = append(all, scim.Key{Tenant: p.tenant, Directory: directory})
	}
	return all
}

func userRef(key scim.Key, id string) scim.Ref { return scim.Ref{Directory: key, Type: "User", ID: id} }

func groupRef(key scim.Key, id string) scim.Ref {
	return scim.Ref{Directory: key, Type: "Group", ID: id}
}

// build makes a resource.
func (p *probe) build(key scim.Key, typ, id string, of ...values) *scim.Resource {
	b := p.types.New(key, typ).ID(id)
	for _, v := range of {
		for path, value := range v {
			b.Set(path, value)
		}
	}
	r, err := b.Resource()
	p.ok(err, "a resource of the kit's own")
	return r
}

// user makes a user whose userName is unlike all others.
func (p *probe) user(id string, of ...values) *scim.Resource {
	name := "user of " + id
	if strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") != "" { // ids are exact, names are not
		name += fmt.Sprintf(" (%x)", id)
	}
	return p.build(p.key(), "User", id, append([]values{{"userName": name}}, of...)...)
}

func (p *probe) group(id string, of ...values) *scim.Resource {
	return p.build(p.key(), "Group", id, append([]values{{"displayName": "group " + id}}, of...)...)
}

func (p *probe) device(id string, of ...values) *scim.Resource {
	return p.build(p.key(), "Device", id, of...)
}

// create stores a resource and returns it as it is stored.
func (p *probe) create(r *scim.Resource) *scim.Resource {
	created, err := p.store.Create(p.ctx, r)
	p.ok(err, fmt.Sprintf("Create of %s %q", r.Type().Name, r.ID()))
	p.must(created != nil, "Create of %s %q returns no resource", r.Type().Name, r.ID())
	return created
}

// createAll stores resources and returns them as they are stored.
func (p *probe) createAll(all ...*scim.Resource) []*scim.Resource {
	stored := make([]*scim.Resource, len(all))
	for i, r := range all {
		stored[i] = p.create(r)
	}
	return stored
}

func (p *probe) replace(r *scim.Resource, was scim.Version) *scim.Resource {
	replaced, err := p.store.Replace(p.ctx, r, was)
	p.ok(err, fmt.Sprintf("Replace of %s %q", r.Type().Name, r.ID()))
	p.must(replaced != nil, "Replace of %s %q returns no resource", r.Type().Name, r.ID())
	return replaced
}

func (p *probe) remove(ref scim.Ref) {
	p.ok(p.store.Delete(p.ctx, ref, 0), fmt.Sprintf("Delete of %s %q", ref.Type, ref.ID))
}

// get returns a resource that must be there.
func (p *probe) get(ref scim.Ref) *scim.Resource { return p.getIn(p.ctx, p.store, ref) }

func (p *probe) getIn(ctx context.Context, s scim.Store, ref scim.Ref) *scim.Resource {
	r, err := s.Get(ctx, ref, scim.GetOptions{})
	p.ok(err, fmt.Sprintf("Get of %s %q", ref.Type, ref.ID))
	p.must(r != nil, "Get of %s %q returns no resource", ref.Type, ref.ID)
	return r
}

// has reports whether the resource is there.
func (p *probe) has(ref scim.Ref) bool { return p.hasIn(p.ctx, p.store, ref) }

func (p *probe) hasIn(ctx context.Context, s scim.Store, ref scim.Ref) bool {
	_, err := s.Get(ctx, ref, scim.GetOptions{})
	if err != nil {
		p.is(err, scim.ErrNotFound, fmt.Sprintf("Get of %s %q, which may be there or not", ref.Type, ref.ID))
	}
	return err == nil
}

// missing ends the case if the resource is there.
func (p *probe) missing(ref scim.Ref, when string) {
	_, err := p.store.Get(p.ctx, ref, scim.GetOptions{})
	p.is(err, scim.ErrNotFound, fmt.Sprintf("Get of %s %q %s", ref.Type, ref.ID, when))
}

// same ends the case unless the store has got a resource as it was returned.
func (p *probe) same(got, want *scim.Resource, what any) {
	p.must(got.Ref() == want.Ref(), "%s: it is %v, want %v", what, got.Ref(), want.Ref())
	p.must(got.Type() == want.Type(), "%s: its type is not that of the registry that the store was given", what)
	if got.JSON() != want.JSON() {
		p.fatalf("%s: the document is\n%s\nwant\n%s", what, clip(got.JSON()), clip(want.JSON()))
	}
	p.must(got.Meta() == want.Meta(), "%s: meta is %v, want %v", what, got.Meta(), want.Meta())
}

// unchanged ends the case unless the resource is stored as it was.
func (p *probe) unchanged(want *scim.Resource, when string) {
	p.same(p.get(want.Ref()), want, fmt.Sprintf("%s %q %s", want.Type().Name, want.ID(), when))
}

// clip shortens what is shown in a failure.
func clip(s string) string {
	const most = 2000
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// attribute returns an attribute that the kit's types have.
func (p *probe) attribute(typ, path string) *attr.Attribute {
	a, _ := p.types.Type(typ).Lookup(path, attr.Strict)
	p.must(a != nil, "the kit's %s has no attribute %s", typ, path)
	return a
}

// query asks for all resources of a type that a filter selects; "" selects all.
func (p *probe) query(typ, text string) *scim.Query {
	q := &scim.Query{Directory: p.key(), Type: p.types.Type(typ), StartIndex: 1, Count: 100_000}
	if text != "" {
		e, _, err := filter.Parse(text, q.Type.Type, filter.Options{})
		p.ok(err, "the kit's filter "+text)
		q.Filter = e
	}
	return q
}

func (p *probe) list(q *scim.Query) *scim.Page { return p.listIn(p.ctx, p.store, q) }

func (p *probe) listIn(ctx context.Context, s scim.Store, q *scim.Query) *scim.Page {
	page, err := s.List(ctx, q)
	p.ok(err, describe(q))
	p.must(page != nil, "%s returns no page", describe(q))
	for i, r := range page.Resources {
		p.must(r != nil, "%s: resource %d of the page is nil", describe(q), i)
		p.must(r.Directory() == q.Directory && r.Type() == q.Type, "%s returns %v", describe(q), r.Ref())
	}
	p.must(len(page.Resources) <= max(q.Count, 0), "%s returns %d resources", describe(q), len(page.Resources))
	return page
}

// finds ends the case unless the filter selects just the resources with these
// ids.
func (p *probe) finds(typ, text string, want ...string) {
	q := p.query(typ, text)
	page := p.list(q)
	got := sorted(ids(page.Resources))
	want = sorted(want)
	p.must(slices.Equal(got, want), "%s returns %q, want %q", describe(q), got, want)
	p.must(page.Total == len(want), "%s has a total of %d, want %d", describe(q), page.Total, len(want))
}

// describe returns a query as a failure shows it, and writes it only there.
func describe(q *scim.Query) fmt.Stringer { return description{q} }

type description struct{ *scim.Query }

func (q description) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "List of %s", q.Type.Name)
	if q.Filter != nil {
		fmt.Fprintf(&b, " where %s", clip(q.Filter.String()))
	}
	if q.SortBy != nil {
		fmt.Fprintf(&b, " by %s", q.SortBy.Path())
	}
	if q.Descending {
		b.WriteString(" descending")
	}
	if q.Positioned {
		fmt.Fprintf(&b, ", %d after position %q", q.Count, q.After)
	} else {
		fmt.Fprintf(&b, ", %d from %d", q.Count, q.StartIndex)
	}
	return b.String()
}

func ids(all []*scim.Resource) []string {
	list := make([]string, len(all))
	for i, r := range all {
		list[i] = r.ID()
	}
	return list
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// A corpus is what a directory holds, as an oracle needs it: the resources of a
// type with their relations.
type corpus struct {
	all       []*scim.Resource
	byID      map[string]*scim.Resource
	relations map[string]*scim.Relations // by id
}

// corpus reads back what a directory holds of a type.
func (p *probe) corpus(typ string, all []*scim.Resource) *corpus {
	c := &corpus{all: all, byID: map[string]*scim.Resource{}, relations: map[string]*scim.Relations{}}
	for _, r := range all {
		c.byID[r.ID()] = r
	}
	if p.members == nil {
		return c
	}
	for _, r := range all {
		rel := &scim.Relations{}
		switch typ {
		case "Group":
			rel.Members = p.membersOf(r.Ref())
		case "User":
			rel.Groups = p.groupsOf(r.ID())
		}
		c.relations[r.ID()] = rel
	}
	return c
}

// answer is what a query must be answered with: [scim.Select], with what a
// MemberStore keeps apart.
func (c *corpus) answer(q *scim.Query) *scim.Page {
	m, collector := q.Matcher(), q.Collector()
	for _, r := range c.all {
		if m.Match(r, c.relations[r.ID()]) {
			collector.Add(r)
		}
	}
	return collector.Page()
}

// agrees ends the case unless the store answers a query as the oracle does.
// Without SortBy the order is the store's.
func (p *probe) agrees(c *corpus, q *scim.Query) {
	what := describe(q)
	page := p.list(q)
	want := c.answer(q)
	p.must(page.Total == want.Total, "%s has a total of %d, want %d", what, page.Total, want.Total)
	got, expected := ids(page.Resources), ids(want.Resources)
	p.must(len(got) == len(expected), "%s returns %d resources %q, want %d %q", what, len(got), got, len(expected), expected)
	for _, r := range page.Resources {
		p.must(c.byID[r.ID()] != nil, "%s returns %q, which nobody created", what, r.ID())
		p.same(r, c.byID[r.ID()], what)
	}
	switch {
	case q.SortBy != nil:
		p.must(slices.Equal(got, expected), "%s returns %q, want %q", what, got, expected)
	case q.StartIndex == 1 && q.Count >= want.Total:
		p.must(slices.Equal(sorted(got), sorted(expected)), "%s returns %q, want %q", what, sorted(got), sorted(expected))
	}
}

// membersOf returns the members of a group in the store's order.
func (p *probe) membersOf(group scim.Ref) []scim.Member {
	return p.membersIn(p.ctx, p.members, group)
}

func (p *probe) membersIn(ctx context.Context, s scim.MemberStore, group scim.Ref) (all []scim.Member) {
	for m, err := range s.Members(ctx, group) {
		p.ok(err, "Members of "+group.ID)
		all = append(all, m)
	}
	return all
}

// memberIDs returns the ids of the members of a group, sorted.
func (p *probe) memberIDs(group string) []string {
	return sorted(memberValues(p.membersOf(groupRef(p.key(), group))))
}

func memberValues(members []scim.Member) []string {
	list := make([]string, len(members))
	for i, m := range members {
		list[i] = m.Value
	}
	return list
}

func (p *probe) groupsOf(id string) []scim.GroupRef {
	all, err := p.members.GroupsOf(p.ctx, p.key(), []string{id})
	p.ok(err, "GroupsOf "+id)
	p.must(len(all) == 1, "GroupsOf one id returns %d lists", len(all))
	return all[0]
}

func groupIDs(groups []scim.GroupRef) []string {
	list := make([]string, len(groups))
	for i, g := range groups {
		list[i] = g.ID
	}
	return list
}

// change changes members and returns what it came to.
func (p *probe) change(group string, c scim.MemberChange) *scim.MemberResult {
	result, err := p.members.ChangeMembers(p.ctx, groupRef(p.key(), group), c, 0)
	p.ok(err, "ChangeMembers of "+group)
	p.must(result != nil && result.Group != nil, "ChangeMembers of %s returns no group", group)
	p.must(result.Group.Ref() == groupRef(p.key(), group), "ChangeMembers of %s returns the group %v", group, result.Group.Ref())
	p.same(p.get(groupRef(p.key(), group)), result.Group, "the group that ChangeMembers of "+group+" returned")
	return result
}

// join adds users to a group.
func (p *probe) join(group string, users ...string) *scim.MemberResult {
	return p.change(group, scim.MemberChange{Add: people(users...)})
}

// people are users as members, called by their ids.
func people(list ...string) (all []scim.Member) {
	for _, id := range list {
		all = append(all, scim.Member{Value: id, Type: "User"})
	}
	return all
}

// came ends the case unless a change of members came to this.
func (p *probe) came(r *scim.MemberResult, added, removed, unknown []string) {
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"Added", memberValues(r.Added), added}, {"Removed", memberValues(r.Removed), removed}, {"Unknown", r.Unknown, unknown}} {
		p.must(slices.Equal(sorted(c.got), sorted(c.want)), "ChangeMembers says %s %q, want %q", c.what, sorted(c.got), sorted(c.want))
	}
}

// do runs a transaction of the case's tenant that must commit.
func (p *probe) do(f func(ctx context.Context, tx scim.Tx)) {
	p.ok(p.ledger.Do(p.ctx, p.tenant, func(ctx context.Context, tx scim.Tx) error {
		f(ctx, tx)
		return nil
	}), "Do with a function that returns nil")
}

// resources is a sequence of a map's resources in order of their keys.
func resources[K ~string](m map[K]*scim.Resource) iter.Seq[*scim.Resource] {
	return func(yield func(*scim.Resource) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(m[k]) {
				return
			}
		}
	}
}
