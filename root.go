package scim

import (
	"cmp"
	"context"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// root serves GET / and POST /.search: resources of all types (RFC 7644
// sections 3.4.2.1 and 3.4.3).
func (x *exchange) root(ctx context.Context) (err error) {
	var p parameters
	switch {
	case x.route.search && x.r.Method != http.MethodPost:
		return x.methodNotAllowed("POST")
	case x.route.search:
		p, err = x.searchParameters()
	case x.r.Method != http.MethodGet && x.r.Method != http.MethodHead:
		return x.methodNotAllowed("GET, HEAD")
	default:
		p, err = parseParameters(x.r.URL.RawQuery)
	}
	if err != nil {
		return err
	}
	x.q.Status = http.StatusOK
	v := view{base: x.base(), to: x, listed: true}
	if x.out, err = x.engine.listAll(ctx, x.out[:0], &x.q, &p, v); err != nil {
		return err
	}
	x.send(http.StatusOK)
	return nil
}

// A union is a query about the resources of several types: one query a type, in
// order of registration. Without sortBy the types follow each other; with it
// their resources are merged.
type union struct {
	*Engine
	parts []part

	positioned   bool
	start, count int
	sorted       bool // by something, and there is something to merge
	descending   bool

	total int
	hits  []hit
	next  string // position of the next page, where positioned
}

// A part is what a union has of one type.
type part struct {
	query *Query
	view  view

	// Of a union that is positioned: where its part of the page begins, and
	// whether nothing is left.
	after string
	done  bool
}

// A hit is a resource on a page of a union.
type hit struct {
	resource *Resource
	part     int
	key      sortKey
}

// listAll answers a query over all types, as list does for one.
func (e *Engine) listAll(ctx context.Context, b []byte, q *request, p *parameters, v view) ([]byte, error) {
	u, err := e.union(q, p, v)
	if err != nil {
		return nil, err
	}
	queries := make([]*Query, len(u.parts))
	for i := range u.parts {
		queries[i] = u.parts[i].query
	}
	var bound []byte
	if u.positioned {
		bound = binding(true, queries...)
		position, err := e.openCursor(q, p.cursor, bound)
		if err != nil {
			return nil, err
		}
		if !u.begin(position) {
			return nil, invalidCursor()
		}
	}
	if u.sorted {
		err = u.merge(ctx)
	} else {
		err = u.walk(ctx)
	}
	if err != nil {
		return nil, err
	}
	next, err := e.sealCursor(q, u.next, bound)
	if err != nil {
		return nil, err
	}
	groups, err := u.groups(ctx, q)
	if err != nil {
		return nil, err
	}
	b = appendPageHead(b, queries[0], u.total, len(u.hits), next)
	for i, h := range u.hits {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = e.appendResource(ctx, b, h.resource, groups[i], u.parts[h.part].view); err != nil {
			return nil, err
		}
		if b, err = v.relieve(b); err != nil {
			return nil, err
		}
	}
	return append(b, "]}"...), nil
}

// union resolves the parameters for every type that the client may read: it is
// answered as if there were no others. What one type does not have is to it
// without value; what none has is refused.
func (e *Engine) union(q *request, p *parameters, v view) (*union, error) {
	types := slices.DeleteFunc(slices.Clone(e.cfg.Types.all), func(t *ResourceType) bool { return !q.scope.mayRead(t) })
	if len(types) == 0 { // then none is a group
		return nil, refuseScope(ReadUsers.String())
	}
	known := func(path string) bool {
		return slices.ContainsFunc(types, func(t *ResourceType) bool {
			a, _ := t.Lookup(path, q.lenience)
			return a != nil
		})
	}
	u := &union{Engine: e}
	for _, t := range types {
		own := *p
		if p.has.sortBy && known(p.sortBy) {
			a, _ := t.Lookup(p.sortBy, q.lenience)
			own.has.sortBy = a != nil
		}
		query, err := e.query(q, t, &own, known)
		if err != nil {
			return nil, err
		}
		v.projection = q.project(t, p)
		query.WithoutMembers = !v.showsMembers(t)
		u.positioned, u.start, u.count = query.Positioned, query.StartIndex, query.Count
		u.parts = append(u.parts, part{query: query, view: v})
	}
	some := u.parts[0]
	if u.parts = slices.DeleteFunc(u.parts, func(p part) bool { return excludes(p.query) }); len(u.parts) == 0 {
		u.parts = []part{some} // it finds nothing
	}
	return u, u.resolveSort()
}

// resolveSort finds out whether the parts are to be merged, which needs values
// that can be compared.
func (u *union) resolveSort() error {
	var sortBy *attr.Attribute
	for i := range u.parts {
		by := u.parts[i].query.SortBy
		switch {
		case by == nil:
			continue
		case sortBy != nil && (sortBy.Kind != by.Kind || sortBy.CaseExact != by.CaseExact):
			return refuse(http.StatusBadRequest, InvalidValue, "sortBy: the values of ", by.Path(),
				" are of another kind in some resource types than in others; ask for one type at its endpoint").because(ReasonFilter)
		}
		sortBy, u.descending = by, u.parts[i].query.Descending
	}
	u.sorted = sortBy != nil && len(u.parts) > 1
	return nil
}

// excludes reports whether a filter demands another resource type than the
// query's.
func excludes(q *Query) bool {
	if q.Filter == nil {
		return false
	}
	for a, literal := range filter.Equalities(q.Filter) {
		if a.Parent == q.Type.Meta && a.Name == "resourceType" && literal.Text() != q.Type.Name {
			return true
		}
	}
	return false
}

func (u *union) list(ctx context.Context, q Query) (*Page, error) {
	page, err := plainTx{u.Engine}.List(ctx, &q)
	if err == nil && q.Positioned && !page.Positioned {
		err = unpositioned(&q)
	}
	return page, err
}

// totals counts the resources of a part.
func (u *union) totals(ctx context.Context, i int) (int, error) {
	q := *u.parts[i].query
	q.Positioned, q.After, q.StartIndex, q.Count = false, "", 1, 0
	page, err := u.list(ctx, q)
	if err != nil {
		return 0, err
	}
	u.total += page.Total
	return page.Total, nil
}

// walk takes the page from one part after the other.
func (u *union) walk(ctx context.Context) error {
	skip, want := u.start-1, u.count
	full := want == 0
	for i := range u.parts {
		part := &u.parts[i]
		if u.positioned && (full || part.done) {
			total, err := u.totals(ctx, i)
			if err != nil {
				return err
			}
			part.done = part.done || total == 0
			continue
		}
		q := *part.query
		q.Count = want
		if u.positioned {
			q.After = part.after
		} else {
			q.StartIndex = skip + 1
		}
		page, err := u.list(ctx, q)
		if err != nil {
			return err
		}
		u.total += page.Total
		for _, r := range page.Resources {
			u.hits = append(u.hits, hit{resource: r, part: i})
		}
		want -= len(page.Resources)
		skip = max(0, skip-page.Total)
		part.after, part.done = page.Next, page.Next == ""
		full = want <= 0 || !part.done
	}
	u.next = u.position()
	return nil
}

// mostMerged is how many pages of the largest size sorting across types reaches
// by index: so many resources of every type are read for the last of them.
const mostMerged = 10

// merge takes the page from all parts in order of what they are sorted by.
func (u *union) merge(ctx context.Context) error {
	if !u.positioned {
		last := u.start - 1 + u.count
		if most := mostMerged * u.cfg.Limits.Page; last > most {
			return refuse(http.StatusBadRequest, TooMany, "sorted across resource types, pages by index reach the first "+strconv.Itoa(most),
				" resources; page by cursor where it is offered, or ask for one resource type at its endpoint")
		}
		for i := range u.parts {
			q := *u.parts[i].query
			q.StartIndex, q.Count = 1, last
			page, err := u.list(ctx, q)
			if err != nil {
				return err
			}
			u.total += page.Total
			u.add(i, page.Resources)
		}
		u.sort()
		u.hits = u.hits[min(u.start-1, len(u.hits)):min(last, len(u.hits))]
		return nil
	}
	pages := make([]*Page, len(u.parts))
	for i := range u.parts {
		if u.parts[i].done || u.count == 0 {
			if _, err := u.totals(ctx, i); err != nil {
				return err
			}
			pages[i] = new(Page)
			continue
		}
		q := *u.parts[i].query
		q.After = u.parts[i].after
		page, err := u.list(ctx, q)
		if err != nil {
			return err
		}
		u.total += page.Total
		pages[i] = page
		u.add(i, page.Resources)
	}
	u.sort()
	taken := make([]int, len(u.parts))
	for _, h := range u.hits[:min(u.count, len(u.hits))] {
		taken[h.part]++
	}
	u.hits = u.hits[:0]
	for i, page := range pages {
		part := &u.parts[i]
		if taken[i] == 0 {
			part.done = part.done || len(page.Resources) == 0
			continue
		}
		if taken[i] < len(page.Resources) {
			// Where the rest begins only the store can say. What it answers now
			// is what is on the page, so that nothing that has changed since is
			// passed over.
			q := *part.query
			q.After, q.Count = part.after, taken[i]
			var err error
			if page, err = u.list(ctx, q); err != nil {
				return err
			}
		}
		u.add(i, page.Resources)
		part.after, part.done = page.Next, page.Next == ""
	}
	u.sort()
	u.next = u.position()
	return nil
}

// add adds resources of a part, which are in its order.
func (u *union) add(i int, resources []*Resource) {
	q := u.parts[i].query
	for _, r := range resources {
		h := hit{r, i, q.sortKey(r)}
		if q.SortBy != nil && q.SortBy.Parent == q.Type.Meta {
			switch q.SortBy.Name { // within one type these are the same, or end in the id
			case "resourceType":
				h.key.value = filter.NewKey(q.SortBy, q.Type.Name)
			case "location":
				h.key.value = filter.NewKey(q.SortBy, q.Type.Endpoint+"/"+r.id)
			}
		}
		u.hits = append(u.hits, h)
	}
}

// sort merges the parts: equal ones stay in the order of their types.
func (u *union) sort() {
	order := Query{Descending: u.descending}
	slices.SortStableFunc(u.hits, func(a, b hit) int {
		return cmp.Or(order.orderValues(&a.key, &b.key), cmp.Compare(a.part, b.part))
	})
}

// position writes down where each part of the next page begins; "" if nothing
// is left.
func (u *union) position() string {
	if !u.positioned || u.count == 0 || !slices.ContainsFunc(u.parts, func(p part) bool { return !p.done }) {
		return ""
	}
	b := make([]byte, 0, 64)
	for i := range u.parts {
		if u.parts[i].done {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(u.parts[i].after))+1)
		b = append(b, u.parts[i].after...)
	}
	return string(b)
}

// begin reads such a position; "" is the beginning.
func (u *union) begin(position string) (ok bool) {
	if position == "" {
		return true
	}
	rest := []byte(position)
	for i := range u.parts {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size)+1 {
			return false
		}
		rest = rest[size:]
		if u.parts[i].done = n == 0; n > 0 {
			u.parts[i].after = string(rest[:n-1])
			rest = rest[n-1:]
		}
	}
	return len(rest) == 0
}

// groups returns the groups to show of each hit.
func (u *union) groups(ctx context.Context, q *request) ([][]GroupRef, error) {
	all := make([][]GroupRef, len(u.hits))
	for i := range u.parts {
		var ids []string
		var at []int
		for n, h := range u.hits {
			if h.part == i {
				ids, at = append(ids, h.resource.id), append(at, n)
			}
		}
		groups, err := u.groupsToShow(ctx, q, u.parts[i].query.Type, ids, u.parts[i].view)
		if err != nil {
			return nil, err
		}
		for n := range groups {
			all[at[n]] = groups[n]
		}
	}
	return all, nil
}
