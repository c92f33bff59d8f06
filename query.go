package scim

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/patch"
)

// A Query asks for one page of the resources of a type in a directory, RFC
// 7644 section 3.4.2.
type Query struct {
	Directory  Key
	Type       *ResourceType
	Filter     filter.Expr     // nil: all
	SortBy     *attr.Attribute // nil: the store's order
	Descending bool
	StartIndex int // 1-based, at least 1
	Count      int // at least 0; 0 asks for the total alone

	// Positioned asks for a page by position, as cursors do (RFC 9865): the page
	// begins where After says, not at StartIndex, which is 1 then. After is the
	// Next of the page before, "" for the first one.
	Positioned bool
	After      string

	// WithoutMembers says that nobody will look at the members of groups.
	WithoutMembers bool
}

// A Page is the answer to a Query.
type Page struct {
	Resources []*Resource
	Total     int // resources that match, on all pages

	// Positioned says that the page is the one behind Query.After. A store
	// that does not page by position leaves it false, and so does one that is
	// given an After which is none of its own.
	Positioned bool
	// Next is the position at which the next page of a positioned query
	// begins, in the store's own words; "" where nothing follows, and where
	// Count is 0.
	Next string
}

// Lookup reports the query's one-index case: the filter is attr eq value and
// nothing else, on an attribute that a store may keep an index of. What a
// larger filter demands is found by [filter.Equalities].
func (q *Query) Lookup() (a *attr.Attribute, value string, ok bool) {
	c, ok := q.Filter.(*filter.Compare)
	if !ok || c.Op != filter.Eq || c.Value.Kind() != filter.Text {
		return nil, "", false
	}
	return c.Attr, c.Value.Text(), true
}

// Relations is what a filter may look at that is not in a resource's document.
type Relations struct {
	Groups  []GroupRef // of a user
	Members []Member   // of a group
}

// NeedsGroups reports whether the filter looks at the groups of a user.
func (q *Query) NeedsGroups() bool {
	return q.Filter != nil && q.Type.groups != nil && filter.Uses(q.Filter, q.Type.groups)
}

// NeedsMembers reports whether the filter looks at the members of a group.
func (q *Query) NeedsMembers() bool {
	return q.Filter != nil && q.Type.members != nil && filter.Uses(q.Filter, q.Type.members)
}

// A Matcher tells which resources a query's filter selects. It is safe for
// concurrent use.
type Matcher struct {
	q         *Query
	meta      bool // the filter looks at meta
	relations bool // it looks at groups or members
}

// Matcher prepares the query for many resources.
func (q *Query) Matcher() Matcher {
	return Matcher{
		q:         q,
		meta:      q.Filter != nil && filter.Uses(q.Filter, q.Type.Meta),
		relations: q.NeedsGroups() || q.NeedsMembers(),
	}
}

// Match reports whether the filter selects the resource. rel may be nil where
// the filter needs none; groups and members that it has count instead of what
// the document holds. meta.location depends on where the service is reached, so
// that to a filter it has no value.
func (m Matcher) Match(r *Resource, rel *Relations) bool {
	switch {
	case m.relations && rel != nil && len(rel.Groups)+len(rel.Members) > 0:
		return m.matchRelated(r, rel)
	case m.meta:
		return filter.MatchWith(m.q.Filter, r.doc.Value(), (*metaOf)(r))
	}
	return filter.Match(m.q.Filter, r.doc.Value())
}

// matchRelated matches a resource with groups or members.
func (m Matcher) matchRelated(r *Resource, rel *Relations) bool {
	doc := attr.NewDoc(r.typ.Type)
	defer doc.Release()
	if t := r.typ.groups; t != nil && len(rel.Groups) > 0 {
		groups := doc.List(t)
		for _, g := range rel.Groups {
			groups.Append(patch.Member{Value: g.ID, Type: "direct", Display: g.DisplayName}.Node(doc, t))
		}
		doc.Root().Put(groups)
	}
	if t := r.typ.members; t != nil && len(rel.Members) > 0 {
		members := doc.List(t)
		for _, member := range rel.Members {
			members.Append(member.Node(doc, t))
		}
		doc.Root().Put(members)
	}
	return filter.MatchWith(m.q.Filter, r.doc.Value(), &surroundings{(*metaOf)(r), doc})
}

// metaOf answers a filter for the meta of a resource, which is not in its
// document. A pointer to it is a resource's, so that nothing is allocated.
type metaOf Resource

var _ filter.Outside = (*metaOf)(nil)

// Matches implements [filter.Outside].
func (r *metaOf) Matches(e filter.Expr) (matches, ok bool) {
	meta := r.typ.Meta
	switch e := e.(type) {
	case *filter.Compare:
		if !e.Attr.Within(meta) {
			return false, false
		}
		switch e.Attr.Name {
		case "created":
			return e.HoldsTime(time.UnixMilli(r.created)), true
		case "lastModified":
			return e.HoldsTime(time.UnixMilli(r.modified)), true
		case "resourceType":
			return e.Holds(r.typ.Name), true
		case "version":
			return e.Holds(r.version.ETag()), true
		case "location":
			return e.HoldsNone(), true
		}
		return !e.HoldsNone(), true // meta itself, which is never null
	case *filter.Present:
		return e.Attr.Name != "location", e.Attr.Within(meta)
	case *filter.ValuePath:
		if e.Attr == meta {
			return filter.MatchWith(e.Filter, attr.Value{}, r), true
		}
	case *filter.And, *filter.Or, *filter.Not:
	}
	return false, false
}

// surroundings answers a filter for the meta of a resource, and for its groups
// or members, which related holds.
type surroundings struct {
	meta    *metaOf
	related *attr.Doc
}

// Matches implements [filter.Outside].
func (s *surroundings) Matches(e filter.Expr) (matches, ok bool) {
	var of *attr.Attribute
	switch e := e.(type) {
	case *filter.Compare:
		of = e.Attr
	case *filter.Present:
		of = e.Attr
	case *filter.ValuePath:
		of = e.Attr
	case *filter.And, *filter.Or, *filter.Not:
	}
	for c := s.related.Root().First(); c != nil && of != nil; c = c.Next() {
		if of.Within(c.Attr()) {
			return filter.Match(e, s.related.Value()), true
		}
	}
	return s.meta.Matches(e)
}

// Select answers a query by looking at every resource: a naive store's List is
// one line. It looks at what the resources hold; a [MemberStore] matches
// groups and members itself.
func Select(q *Query, all iter.Seq[*Resource]) *Page {
	m := q.Matcher()
	c := q.Collector()
	for r := range all {
		if r.typ == q.Type && r.key == q.Directory && m.Match(r, nil) {
			c.Add(r)
		}
	}
	return c.Page()
}

// Sort orders resources as the query asks for: by SortBy, those without value
// last in ascending order and first in descending order (RFC 7644 section
// 3.4.2.3), then by id. What a resource is sorted by is found and read once, not
// at every comparison.
func (q *Query) Sort(all []*Resource) {
	if q.SortBy == nil {
		slices.SortFunc(all, func(a, b *Resource) int { return strings.Compare(a.id, b.id) })
		return
	}
	keys := make([]sortKey, len(all))
	for i, r := range all {
		keys[i] = q.sortKey(r)
	}
	q.sortKeys(keys)
	for i := range keys {
		all[i] = keys[i].resource
	}
}

func (q *Query) sortKeys(keys []sortKey) {
	slices.SortFunc(keys, func(a, b sortKey) int { return q.order(&a, &b) })
}

// order compares two keys as the query orders their resources: no two are
// equal.
func (q *Query) order(a, b *sortKey) int {
	return cmp.Or(q.orderValues(a, b), strings.Compare(a.resource.id, b.resource.id))
}

func (q *Query) orderValues(a, b *sortKey) int {
	if q.Descending {
		return b.compare(a)
	}
	return a.compare(b)
}

// A sortKey is what a resource is sorted by.
type sortKey struct {
	resource *Resource
	missing  bool
	number   int64 // of a time or version in meta
	value    filter.Key
}

func (k *sortKey) compare(other *sortKey) int {
	switch {
	case k.missing && other.missing:
		return 0
	case k.missing:
		return 1
	case other.missing:
		return -1
	}
	return cmp.Or(cmp.Compare(k.number, other.number), k.value.Compare(&other.value))
}

func (q *Query) sortKey(r *Resource) sortKey {
	k := sortKey{resource: r, missing: q.SortBy == nil}
	if q.SortBy == nil {
		return k
	}
	if q.SortBy.Within(r.typ.Meta) {
		switch q.SortBy.Name {
		case "created":
			k.number = r.created
		case "lastModified":
			k.number = r.modified
		case "version":
			k.number = int64(r.version)
		case "location": // those of one type end in the id
			k.value = filter.NewKey(q.SortBy, r.id)
		case "resourceType": // all are of the query's
		}
		return k
	}
	v := q.sortValue(r)
	if k.missing = !v.Exists(); !k.missing {
		k.value = filter.NewKey(q.SortBy, v.Text())
	}
	return k
}

// sortValue returns what a resource is sorted by: of a multi-valued attribute
// the primary value, or the first (RFC 7644 section 3.4.2.3).
func (q *Query) sortValue(r *Resource) attr.Value {
	a := q.SortBy
	list := a
	for list != nil && !list.MultiValued {
		list = list.Parent
	}
	if list == nil {
		return r.Doc().At(a)
	}
	v := r.Doc().At(list)
	chosen := v.First()
	if p := list.PrimarySub(); p != nil {
		for c := chosen; c.Exists(); c = c.Next() {
			if c.Get(p).Bool() {
				chosen = c
				break
			}
		}
	}
	if list != a {
		chosen = chosen.Get(a)
	}
	return chosen
}
