package scim

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
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

	// WithoutMembers says that nobody will look at the members of groups.
	WithoutMembers bool
}

// A Page is the answer to a Query.
type Page struct {
	Resources []*Resource
	Total     int // resources that match, on all pages
}

// Lookup reports the query's one-index case: the filter is attr eq value and
// nothing else, on an attribute that a store may keep an index of.
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

// A Matcher tells which resources a query's filter selects.
type Matcher struct {
	q       *Query
	derived bool // looks at what is not in the document
}

// Matcher prepares the query for many resources.
func (q *Query) Matcher() Matcher {
	derived := q.Filter != nil && (filter.Uses(q.Filter, q.Type.Meta) || q.NeedsGroups() || q.NeedsMembers())
	return Matcher{q, derived}
}

// Match reports whether the filter selects the resource. rel may be nil where
// the filter needs none.
func (m Matcher) Match(r *Resource, rel *Relations) bool {
	if m.q.Filter == nil {
		return true
	}
	if !m.derived {
		return filter.Match(m.q.Filter, r.doc.Value())
	}
	doc := r.doc.Thaw()
	defer doc.Release()
	r.derive(doc, rel)
	return filter.Match(m.q.Filter, doc.Value())
}

// derive adds to a working copy of the document what is not stored in it.
func (r *Resource) derive(doc *attr.Doc, rel *Relations) {
	t := r.typ
	meta := doc.Object(t.Meta)
	for name, text := range map[string]string{
		"resourceType": t.Name,
		"created":      string(appendTime(nil, r.created)),
		"lastModified": string(appendTime(nil, r.modified)),
		"version":      r.version.ETag(),
	} {
		meta.Put(doc.Text(t.Meta.Sub(name), text))
	}
	doc.Root().Put(meta)
	if rel == nil {
		return
	}
	put := func(into *attr.Node, name, text string) {
		if sub := into.Attr().Sub(name); sub != nil && text != "" {
			into.Put(doc.Text(sub, text))
		}
	}
	if t.groups != nil && len(rel.Groups) > 0 {
		groups := doc.List(t.groups)
		for _, g := range rel.Groups {
			o := doc.Object(t.groups)
			put(o, "value", g.ID)
			put(o, "display", g.DisplayName)
			put(o, "type", "direct")
			groups.Append(o)
		}
		doc.Root().Put(groups)
	}
	if t.members != nil && len(rel.Members) > 0 {
		members := doc.List(t.members)
		for _, m := range rel.Members {
			o := doc.Object(t.members)
			put(o, "value", m.Value)
			put(o, "display", m.Display)
			put(o, "type", m.Type)
			members.Append(o)
		}
		doc.Root().Put(members)
	}
}

// Select answers a query by looking at every resource: a naive store's List is
// one line. It looks at what the resources hold; a [MemberStore] matches
// groups and members itself.
func Select(q *Query, all iter.Seq[*Resource]) *Page {
	m := q.Matcher()
	var hits []*Resource
	for r := range all {
		if r.typ == q.Type && r.key == q.Directory && m.Match(r, nil) {
			hits = append(hits, r)
		}
	}
	q.Sort(hits)
	return q.page(hits)
}

// Sort orders resources as the query asks for: by SortBy, those without value
// last in ascending order and first in descending order (RFC 7644 section 3.4.2.3), then by id.
func (q *Query) Sort(all []*Resource) {
	slices.SortFunc(all, func(a, b *Resource) int {
		if q.SortBy != nil {
			if c := q.compare(a, b); c != 0 {
				return c
			}
		}
		return strings.Compare(a.id, b.id)
	})
}

func (q *Query) compare(a, b *Resource) int {
	v, w := q.sortValue(a), q.sortValue(b)
	var c int
	switch {
	case !v.Exists() || !w.Exists():
		c = cmp.Compare(boolInt(w.Exists()), boolInt(v.Exists()))
	default:
		c = filter.Order(q.SortBy, v.Text(), w.Text())
	}
	if q.Descending {
		return -c
	}
	return c
}

// sortValue returns what a resource is sorted by: of a multi-valued attribute
// the primary value, or the first (RFC 7644 section 3.4.2.3).
func (q *Query) sortValue(r *Resource) attr.Value {
	if q.SortBy.Within(r.typ.Meta) {
		doc := attr.NewDoc(r.typ.Type)
		r.derive(doc, nil)
		return doc.Value().At(q.SortBy)
	}
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

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// page cuts the page out of all that match.
func (q *Query) page(hits []*Resource) *Page {
	p := &Page{Total: len(hits)}
	if from := q.StartIndex - 1; from < len(hits) {
		p.Resources = hits[from:min(len(hits), from+q.Count)]
	}
	return p
}
