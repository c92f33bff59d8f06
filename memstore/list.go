package memstore

import (
	"context"
	"slices"
	"strconv"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// list answers a query: from the maintained counts where all resources are
// asked for, from the index or from a group's or user's relations where the
// filter demands an equality that they know, and else by looking at all rows
// of the type.
func (v view) list(ctx context.Context, s *Store, q *scim.Query) (*scim.Page, error) {
	k := s.kindOf(q.Type)
	if k == nil {
		return nil, errForeignType(q.Type)
	}
	if v.directory == nil {
		return &scim.Page{Positioned: q.Positioned}, nil
	}
	if q.Filter == nil && q.SortBy == nil && !v.within {
		if q.Positioned {
			return v.pageAt(k, q), nil
		}
		return v.page(k, q), nil
	}
	l := lister{view: v, kind: k, q: q, matcher: q.Matcher(), groups: q.NeedsGroups(), members: q.NeedsMembers()}
	switch {
	case q.SortBy != nil:
		l.sorted = q.Collector()
	case q.Positioned:
		if l.from, l.positioned = slotAt(q.After); !l.positioned {
			return &scim.Page{}, nil
		}
	}
	if l.members {
		l.mentioned, l.some = mentionedMembers(q.Filter, k)
	}
	var few [8]uint32
	if slots, ok := l.candidates(few[:0]); ok {
		slices.Sort(slots)
		for _, slot := range slices.Compact(slots) {
			l.look(slot, l.present(v.row(slot), l.of))
		}
	} else if err := l.scan(ctx); err != nil {
		return nil, err
	}
	return l.page(), nil
}

// page returns a page of all resources of a kind. It looks at the rows on the
// page and skips blocks before it.
func (v view) page(k *kind, q *scim.Query) *scim.Page {
	shelf := &v.shelves[k.number]
	page := &scim.Page{Total: int(shelf.count.Load())}
	skip, want := q.StartIndex-1, min(q.Count, page.Total-q.StartIndex+1)
	if want <= 0 {
		return page
	}
	page.Resources = make([]*scim.Resource, 0, want)
	for _, b := range loaded(&shelf.blocks) {
		if taken := int(b.taken.Load()); skip >= taken {
			skip -= taken
			continue
		}
		for i := range b.rows {
			e := b.rows[i].live.Load()
			switch {
			case e == nil:
			case skip > 0:
				skip--
			default:
				if page.Resources = append(page.Resources, e.res); len(page.Resources) == want {
					return page
				}
			}
		}
	}
	return page
}

// pageAt returns the page of all resources of a kind that begins at a slot:
// resources stay in theirs.
func (v view) pageAt(k *kind, q *scim.Query) *scim.Page {
	shelf := &v.shelves[k.number]
	page := &scim.Page{Total: int(shelf.count.Load())}
	var from uint32
	if from, page.Positioned = slotAt(q.After); !page.Positioned || q.Count == 0 {
		return page
	}
	page.Resources = make([]*scim.Resource, 0, min(q.Count, page.Total))
	for _, b := range loaded(&shelf.blocks) {
		if b.first+blockRows <= from || b.taken.Load() == 0 {
			continue
		}
		for i := range b.rows {
			slot := b.first + uint32(i)
			if slot < from {
				continue
			}
			e := b.rows[i].live.Load()
			if e == nil {
				continue
			}
			if len(page.Resources) == q.Count {
				page.Next = position(slot)
				return page
			}
			page.Resources = append(page.Resources, e.res)
		}
	}
	return page
}

// Without SortBy a position is the slot at which the page begins.
func position(slot uint32) string { return strconv.FormatUint(uint64(slot), 10) }

func slotAt(position string) (slot uint32, ok bool) {
	if position == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(position, 10, 32)
	return uint32(n), err == nil
}

// A lister gathers what a query asks for.
type lister struct {
	view
	kind    *kind
	q       *scim.Query
	matcher scim.Matcher

	groups, members bool     // the filter looks at them
	some            bool     // of the members only those mentioned matter
	mentioned       []string // ids

	// Of candidates: whose relations they are, nil if they are from the index,
	// and whether they match for that reason alone.
	of   *entry
	sure bool

	rel    scim.Relations
	sorted *scim.Collector  // nil: they are in order of their slots
	hits   []*scim.Resource // of the page, unless sorted
	total  int

	positioned bool
	from       uint32 // the slot at which the page begins
	next       string // where the next one does

	fetched scim.Version // of no meaning: what is read must be used
}

// scan looks at all rows of the kind.
func (l *lister) scan(ctx context.Context) error {
	const pause = 64 // blocks between two looks at the context
	for n, b := range loaded(&l.shelves[l.kind.number].blocks) {
		if n%pause == pause-1 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if !l.within && b.taken.Load() == 0 {
			continue
		}
		for at := 0; at < blockRows; at += stretch {
			l.lookAt(b.first+uint32(at), (*[stretch]row)(b.rows[at:]))
		}
	}
	return nil
}

// stretch is how many rows are looked at together; a divisor of blockRows.
const stretch = 16

// lookAt looks at rows in a row. All are followed to their resources before
// the first is matched: where these are not in the processor's cache it then
// fetches several at a time, which makes the scan of a large directory a third
// faster.
func (l *lister) lookAt(first uint32, rows *[stretch]row) {
	var entries [stretch]*entry
	for i := range rows {
		if e := l.see(&rows[i]); e != nil {
			entries[i] = e
			l.fetched += e.res.Version()
		}
	}
	for i, e := range entries {
		l.look(first+uint32(i), e)
	}
}

// look takes the resource in a row if it matches.
func (l *lister) look(slot uint32, e *entry) {
	if e == nil || e.res.Type() != l.kind.typ {
		return
	}
	if !l.sure && !l.matcher.Match(e.res, l.relations(slot, e)) {
		return
	}
	l.total++
	switch {
	case l.sorted != nil:
		l.sorted.Add(e.res)
	case slot < l.from || l.total < l.q.StartIndex:
	case len(l.hits) < l.q.Count:
		l.hits = append(l.hits, e.res)
	case l.positioned && l.next == "" && l.q.Count > 0:
		l.next = position(slot)
	}
}

// relations returns what the filter looks at beside the document.
func (l *lister) relations(slot uint32, e *entry) *scim.Relations {
	if !l.groups && !l.members {
		return nil
	}
	l.rel.Members = l.rel.Members[:0]
	if l.groups {
		l.rel.Groups = l.groupRefs(nil, slot, e)
	}
	switch {
	case !l.members:
	case l.some:
		for _, id := range l.mentioned {
			for _, k := range l.store.kinds {
				if member, m := l.find(k, id); m != nil && e.members.has(member) {
					l.rel.Members = append(l.rel.Members, l.member(m))
				}
			}
		}
	default:
		l.rel.Members = slices.AppendSeq(l.rel.Members, l.view.members(e))
	}
	return &l.rel
}

func (l *lister) page() *scim.Page {
	if l.sorted != nil {
		return l.sorted.Page()
	}
	return &scim.Page{Total: l.total, Resources: l.hits, Positioned: l.positioned, Next: l.next}
}

// candidates returns the slots of what can match a filter which demands an
// equality. ok is false if the rows have to be scanned. A slot may be of
// another kind, or wrong in any other way: the caller looks at it.
func (l *lister) candidates(into []uint32) (slots []uint32, ok bool) {
	// What is unique gives the fewest, relations are next.
	for a, literal := range filter.Equalities(l.q.Filter) {
		if i := l.kind.index(a); i != nil && i.unique {
			if slots, ok = l.indexed(into, i, literal); ok {
				return slots, true
			}
		}
	}
	_, l.sure = l.q.Filter.(*filter.Compare)
	for a, literal := range filter.Equalities(l.q.Filter) {
		switch a {
		case l.kind.memberValue:
			return l.groupsOfAny(into, literal.Text()), true
		case l.kind.groupValue:
			_, group := l.find(l.store.kindNamed(groupType), literal.Text())
			if l.of = group; group == nil {
				return nil, true
			}
			return slices.AppendSeq(into, group.members.all()), true
		}
	}
	l.sure = false
	for a, literal := range filter.Equalities(l.q.Filter) {
		if i := l.kind.index(a); i != nil {
			if slots, ok = l.indexed(into, i, literal); ok {
				return slots, true
			}
		}
	}
	return nil, false
}

// groupsOfAny returns the slots of the groups with a member of that id, which
// can be that of one resource of each kind.
func (l *lister) groupsOfAny(into []uint32, id string) []uint32 {
	found := 0
	for _, k := range l.store.kinds {
		if slot, member := l.find(k, id); member != nil {
			into = append(into, l.groupsOf(slot, member)...)
			l.of = member
			found++
		}
	}
	if found > 1 { // the slots are not all of what one entry refers to
		l.of, l.sure = nil, false
	}
	return into
}

// index returns how an attribute is indexed, nil if it is not.
func (k *kind) index(a *attr.Attribute) *indexed {
	for i := range k.indexed {
		if k.indexed[i].attr == a {
			return &k.indexed[i]
		}
	}
	return nil
}

// indexed returns the slots that the index has for a literal, ok unless it does
// not know all.
func (v view) indexed(found []uint32, i *indexed, l filter.Literal) (slots []uint32, ok bool) {
	for slot := range v.index.find(i.tagOf(l.Folded(), true)) {
		if slot == overflow {
			return nil, false
		}
		found = append(found, slot)
	}
	return found, true
}

// mentionedMembers returns the ids that a filter compares members with, if it
// does nothing else with them: whether other members are there does then not
// matter.
func mentionedMembers(e filter.Expr, k *kind) (ids []string, ok bool) {
	ok = true
	members := k.typ.Members()
	filter.Walk(e, func(e filter.Expr) bool {
		switch e := e.(type) {
		case *filter.Compare:
			if e.Attr.Within(members) || members.Within(e.Attr) {
				if e.Attr != k.memberValue || e.Op != filter.Eq || e.Value.Kind() != filter.Text {
					ok = false
				}
				ids = append(ids, e.Value.Text())
			}
		case *filter.ValuePath:
			if e.Attr == members {
				filter.Walk(e.Filter, func(e filter.Expr) bool {
					if _, not := e.(*filter.Not); not {
						ok = false // in there it asks about the other members
					}
					return ok
				})
			}
		case *filter.Present:
			if e.Attr.Within(members) || members.Within(e.Attr) {
				ok = false
			}
		case *filter.And, *filter.Or, *filter.Not:
		}
		return ok
	})
	return ids, ok
}
