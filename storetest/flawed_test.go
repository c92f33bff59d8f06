package storetest

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A flawed store is a plain MemberStore with one bug, or with none: where its
// name is found below, the store goes wrong.
type flawed struct {
	bug   string
	types *scim.Types

	mu      sync.Mutex
	rows    map[scim.Ref]*scim.Resource
	members map[scim.Ref][]scim.Member // of groups
	burnt   []*scim.Resource           // deleted ones
	shared  map[string][]*scim.Resource
	meet    meeting
}

// A meeting is where two callers that should take turns wait for each other, so
// that a race is lost for sure.
type meeting chan struct{}

func (m meeting) another() {
	select {
	case m <- struct{}{}:
	case <-m:
	case <-time.After(impatient / 4): // nobody else is on the way
	}
}

func newFlawed(bug string, types *scim.Types) *flawed {
	return &flawed{bug: bug, types: types, rows: map[scim.Ref]*scim.Resource{}, members: map[scim.Ref][]scim.Member{}, shared: map[string][]*scim.Resource{}, meet: make(meeting)}
}

// row is under which reference a resource is kept.
func (s *flawed) row(ref scim.Ref) scim.Ref {
	switch s.bug {
	case "ids without case":
		ref.ID = attr.Fold(ref.ID)
	case "keys without tenant":
		ref.Directory.Tenant = ""
	case "keys without directory":
		ref.Directory.Directory = ""
	case "keys without type":
		ref.Type = ""
	case "keys without case":
		ref.Directory = scim.Key{Tenant: strings.ToLower(ref.Directory.Tenant), Directory: strings.ToLower(ref.Directory.Directory)}
	case "keys joined by a slash":
		ref.Directory = scim.Key{Tenant: ref.Directory.Tenant + "/" + ref.Directory.Directory}
	case "ids trimmed":
		ref.ID = strings.TrimSpace(ref.ID)
	}
	return ref
}

func (s *flawed) Get(ctx context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bug == "cancelled reads find nothing" && ctx.Err() != nil {
		return nil, scim.ErrNotFound
	}
	r := s.rows[s.row(ref)]
	if r == nil {
		return nil, scim.ErrNotFound
	}
	if s.bug == "members in the document" && r.Type().IsGroup() {
		b := s.types.New(ref.Directory, "Group").ID(r.ID())
		name, _ := r.Text("displayName")
		b.Set("displayName", name)
		var list []map[string]string
		for _, m := range s.members[s.row(ref)] {
			list = append(list, map[string]string{"value": m.Value})
		}
		whole, err := b.Set("members", list).Meta(r.Meta()).Resource()
		return whole, err
	}
	return r, nil
}

func (s *flawed) related(r *scim.Resource) *scim.Relations {
	rel := &scim.Relations{}
	if r.Type().IsGroup() {
		for _, m := range s.members[s.row(r.Ref())] {
			rel.Members = append(rel.Members, s.named(r.Directory(), m))
		}
	}
	if r.Type().IsUser() {
		rel.Groups = s.groupsOf(r.Directory(), r.ID())
	}
	return rel
}

func (s *flawed) List(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := *q
	switch s.bug {
	case "cancelled reads find nothing":
		if ctx.Err() != nil {
			return &scim.Page{}, nil
		}
	case "ne as not eq":
		asked.Filter = rewritten(q.Filter, func(e filter.Expr) filter.Expr {
			if c, ok := e.(*filter.Compare); ok && c.Op == filter.Ne && !c.Value.IsNull() {
				return &filter.Not{Expr: &filter.Compare{Attr: c.Attr, Op: filter.Eq, Value: c.Value}}
			}
			return e
		})
	case "value paths as one value each":
		asked.Filter = rewritten(q.Filter, func(e filter.Expr) filter.Expr {
			if path, ok := e.(*filter.ValuePath); ok {
				if and, ok := path.Filter.(*filter.And); ok {
					return &filter.And{Left: &filter.ValuePath{Attr: path.Attr, Filter: and.Left}, Right: &filter.ValuePath{Attr: path.Attr, Filter: and.Right}}
				}
			}
			return e
		})
	case "pages counted from zero":
		asked.StartIndex++
	case "a count of zero asks for all":
		if q.Count == 0 {
			asked.Count = 1 << 30
		}
	}
	matcher := asked.Matcher()
	all := make([]*scim.Resource, 0, len(s.rows))
	for _, r := range s.rows {
		switch {
		case r.Type() != q.Type && s.bug != "lists all types", r.Directory().Tenant != q.Directory.Tenant,
			r.Directory() != q.Directory && s.bug != "lists all directories", !s.match(matcher, &asked, r):
			continue
		}
		all = append(all, r)
	}
	page := s.page(&asked, all)
	if s.bug == "total counts the page" {
		page.Total = len(page.Resources)
	}
	if s.bug == "pages shared" && !q.Positioned {
		key := describe(q).String()
		if !slices.Equal(ids(without(s.shared[key], nil)), ids(page.Resources)) && s.shared[key] == nil {
			s.shared[key] = page.Resources
		}
		page.Resources = s.shared[key]
	}
	return page, nil
}

func without(all []*scim.Resource, gone *scim.Resource) []*scim.Resource {
	return slices.DeleteFunc(slices.Clone(all), func(r *scim.Resource) bool { return r == gone })
}

// match is [scim.Matcher.Match] with the bugs that a translation to SQL has.
func (s *flawed) match(m scim.Matcher, q *scim.Query, r *scim.Resource) bool {
	c, simple := q.Filter.(*filter.Compare)
	if simple && c.Value.Kind() == filter.Text {
		text, literal := r.Doc().At(c.Attr).Text(), c.Value.Text()
		switch {
		case s.bug == "co has wildcards" && c.Op == filter.Co && strings.ContainsAny(literal, "%_"):
			pattern := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(literal))
			return regexp.MustCompile("(?is)" + pattern).MatchString(text)
		case s.bug == "quotes doubled" && strings.Contains(literal, "'"):
			return false
		case s.bug == "case-exact texts folded" && c.Op == filter.Eq && c.Attr.CaseExact && !c.Attr.MultiValued && c.Attr.Parent == nil:
			return attr.Fold(text) == attr.Fold(literal)
		case s.bug == "folding of ASCII alone" && c.Op == filter.Eq && !c.Attr.CaseExact && !c.Attr.MultiValued && c.Attr.Parent == nil:
			lower := func(s string) string {
				return strings.Map(func(r rune) rune {
					if 'A' <= r && r <= 'Z' {
						return r + 'a' - 'A'
					}
					return r
				}, s)
			}
			return lower(text) == lower(literal)
		case s.bug == "empty is null" && literal == "":
			return c.Op == filter.Ne
		}
	}
	switch s.bug {
	case "integers as floats":
		if simple && c.Attr.Kind == attr.Integer && c.Op == filter.Eq && !c.Attr.MultiValued && c.Attr.Parent == nil && r.Doc().At(c.Attr).Exists() {
			f, _ := strconv.ParseFloat(r.Doc().At(c.Attr).Text(), 64)
			return f == c.Value.Float()
		}
	case "times to the second":
		meta := r.Meta()
		meta.Created, meta.LastModified = meta.Created.Truncate(time.Second), meta.LastModified.Truncate(time.Second)
		r = r.WithMeta(meta)
	case "groups not looked at":
		return m.Match(r, nil)
	}
	return m.Match(r, s.related(r))
}

// rewritten is the filter with each of its parts outside of brackets replaced.
func rewritten(e filter.Expr, by func(filter.Expr) filter.Expr) filter.Expr {
	switch e := e.(type) {
	case *filter.And:
		return &filter.And{Left: rewritten(e.Left, by), Right: rewritten(e.Right, by)}
	case *filter.Or:
		return &filter.Or{Left: rewritten(e.Left, by), Right: rewritten(e.Right, by)}
	case *filter.Not:
		return &filter.Not{Expr: rewritten(e.Expr, by)}
	case *filter.Compare, *filter.Present, *filter.ValuePath:
		return by(e)
	}
	return e
}

// page makes a page of what matches.
func (s *flawed) page(q *scim.Query, all []*scim.Resource) *scim.Page {
	whole := *q
	whole.Positioned, whole.After, whole.StartIndex, whole.Count = false, "", 1, 1<<30
	order := scim.Select(&scim.Query{Directory: q.Directory, Type: q.Type, SortBy: q.SortBy, Descending: q.Descending, StartIndex: 1, Count: 1 << 30}, slices.Values(all)).Resources
	value := func(r *scim.Resource) string {
		if q.SortBy == nil {
			return r.ID()
		}
		text := r.Doc().At(q.SortBy).Text()
		if !q.SortBy.CaseExact {
			text = attr.Fold(text)
		}
		return text
	}
	byText := func(a, b *scim.Resource) int { // no value last
		return cmp.Or(cmp.Compare(min(len(value(b)), 1), min(len(value(a)), 1)), strings.Compare(value(a), value(b)))
	}
	switch {
	case s.bug == "descending is ascending backwards" && q.Descending:
		up := whole
		up.Descending, up.Filter = false, nil
		order = scim.Select(&up, slices.Values(all)).Resources
		slices.Reverse(order)
	case s.bug == "no value first" && q.SortBy != nil && !q.SortBy.Within(q.Type.Meta):
		slices.SortStableFunc(order, func(a, b *scim.Resource) int {
			return cmp.Compare(min(len(value(a)), 1), min(len(value(b)), 1))
		})
	case s.bug == "numbers sorted as text" && q.SortBy != nil && q.SortBy.Kind == attr.Integer && !q.Descending:
		slices.SortStableFunc(order, byText)
	case s.bug == "sorted by the first value" && q.SortBy != nil && q.SortBy.Parent != nil && q.SortBy.Parent.MultiValued && !q.Descending:
		slices.SortStableFunc(order, byText)
	case s.bug == "order changes" && q.SortBy == nil:
		order = all // of a map
	case s.bug == "everything matches when sorted" && q.SortBy != nil:
	default:
		if !q.Positioned || !strings.HasPrefix(s.bug, "position") {
			c := q.Collector()
			for _, r := range all {
				c.Add(r)
			}
			return c.Page()
		}
	}
	page := &scim.Page{Total: len(order), Positioned: q.Positioned}
	from := q.StartIndex - 1
	if q.Positioned && q.After != "" {
		switch s.bug {
		case "position is a number of rows":
			from, _ = strconv.Atoi(q.After)
		case "position repeats its row":
			from = max(0, slices.IndexFunc(order, func(r *scim.Resource) bool { return r.ID() == q.After }))
		case "position without id":
			for from = 0; from < len(order) && value(order[from]) <= q.After; from++ {
			}
		case "position of a row that is gone":
			from = slices.IndexFunc(order, func(r *scim.Resource) bool { return r.ID() == q.After }) + 1
		}
	}
	from = min(from, len(order))
	to := min(len(order), from+q.Count)
	page.Resources = slices.Clone(order[from:to])
	if q.Positioned && to < len(order) && to > from {
		switch s.bug {
		case "position is a number of rows":
			page.Next = strconv.Itoa(to)
		case "position without id":
			page.Next = value(order[to-1])
		default:
			page.Next = order[to-1].ID()
		}
	}
	return page
}

// unique is [scim.CheckUnique] with its bugs.
func (s *flawed) unique(r *scim.Resource) error {
	others := slices.Collect(maps.Values(s.rows))
	if s.bug == "deleted ones stay in the index" {
		others = append(others, s.burnt...)
	}
	err := scim.CheckUnique(r, slices.Values(others))
	named, _ := err.(*scim.UniquenessError) //nolint:errorlint // it is CheckUnique's own
	same := func(path string, equal func(a, b string) bool) bool {
		text, _ := r.Text(path)
		return text != "" && slices.ContainsFunc(others, func(o *scim.Resource) bool {
			other, _ := o.Text(path)
			return o.ID() != r.ID() && o.Type() == r.Type() && o.Directory() == r.Directory() && equal(text, other)
		})
	}
	switch {
	case s.bug == "userName by case" && named != nil && named.Attribute == "userName" && !same("userName", func(a, b string) bool { return a == b }),
		s.bug == "userName by lower case" && named != nil && named.Attribute == "userName" && !same("userName", func(a, b string) bool { return strings.ToLower(a) == strings.ToLower(b) }), //nolint:staticcheck // this is the bug
		s.bug == "externalId not unique" && named != nil && named.Attribute == "externalId",
		s.bug == "schemas' uniqueness ignored" && named != nil && strings.Contains(named.Attribute, ":"),
		s.bug == "uniqueness of first values" && named != nil && named.Attribute == "aliases":
		return nil
	case s.bug == "externalId without case" && same("externalId", strings.EqualFold):
		return &scim.UniquenessError{Attribute: "externalId"}
	case s.bug == "uniqueness names the wrong attribute" && named != nil:
		return &scim.UniquenessError{Attribute: "displayName"}
	case s.bug == "uniqueness of all directories":
		text, _ := r.Text("userName")
		for _, o := range others {
			if other, _ := o.Text("userName"); text != "" && text == other && o.Directory() != r.Directory() {
				return &scim.UniquenessError{Attribute: "userName"}
			}
		}
	}
	return err
}

// kept is the resource as it is kept.
func (s *flawed) kept(r *scim.Resource) *scim.Resource {
	body := r.JSON()
	switch s.bug {
	case "numbers as floats":
		var v map[string]any
		if json.Unmarshal([]byte(body), &v) == nil {
			again, _ := json.Marshal(v)
			body = string(again)
		}
	case "texts trimmed":
		body = strings.ReplaceAll(body, ` "`, `"`)
	case "texts of three bytes a character":
		body = strings.Map(func(r rune) rune {
			if r > 0xffff {
				return '?'
			}
			return r
		}, body)
	case "members sorted":
		if group, inline := r.Group(), len(r.Group().InlineMembers()) > 1; inline {
			members := group.InlineMembers()
			slices.SortFunc(members, func(a, b scim.Member) int { return strings.Compare(b.Value, a.Value) })
			var list []any
			for _, m := range members {
				list = append(list, map[string]any{"value": m.Value, "type": m.Type, "display": m.Display})
			}
			again, err := s.types.New(r.Directory(), "Group").ID(r.ID()).Set("displayName", group.DisplayName()).Set("members", list).Meta(r.Meta()).Resource()
			if err == nil {
				return again
			}
		}
	case "texts cut":
		if len(body) > 1<<16 {
			body = strings.Replace(body, strings.Repeat("lorem ipsum", 1), "lorem", 1)
		}
	default:
		return r
	}
	again, err := s.types.Decode(r.Directory(), r.Type().Name, []byte(body), r.Meta())
	if err != nil {
		return r
	}
	return again
}

func (s *flawed) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[s.row(r.Ref())] != nil && s.bug != "create replaces" {
		return nil, &scim.UniquenessError{Attribute: "id"}
	}
	err := s.unique(r)
	if s.bug == "refused creates are kept" && err != nil {
		s.rows[s.row(r.Ref())] = r.WithMeta(scim.Meta{Version: 1})
	}
	if err != nil {
		return nil, err
	}
	if s.bug == "uniqueness without lock" {
		s.mu.Unlock()
		s.meet.another()
		s.mu.Lock()
	}
	now := time.Now()
	version := scim.Version(1)
	if s.bug == "versions from zero" {
		version = 0
	}
	created := r.WithMeta(scim.Meta{Created: now, LastModified: now, Version: version})
	s.rows[s.row(r.Ref())] = s.kept(created)
	if s.bug == "create returns what it was given" {
		return r, nil
	}
	if s.bug == "cancelled writes are done" && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return created, nil
}

func (s *flawed) current(ref scim.Ref, was scim.Version) (*scim.Resource, error) {
	r := s.rows[s.row(ref)]
	switch {
	case r == nil:
		return nil, scim.ErrNotFound
	case s.bug == "zero is a version" && r.Version() != was, was != 0 && r.Version() != was && s.bug != "versions not checked" && (s.bug != "only older versions refused" || was < r.Version()):
		return nil, scim.ErrVersion
	}
	return r, nil
}

func (s *flawed) Replace(_ context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.current(r.Ref(), was)
	if err != nil && s.bug == "replace creates" && old == nil && was == 0 {
		s.rows[s.row(r.Ref())] = r
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if s.bug == "versions without lock" {
		s.mu.Unlock()
		s.meet.another()
		s.mu.Lock()
	}
	switch s.bug {
	case "replace is not unique":
	case "replace collides with itself":
		if name, _ := r.Text("userName"); name != "" {
			if before, _ := old.Text("userName"); attr.Fold(before) == attr.Fold(name) && before != name {
				return nil, &scim.UniquenessError{Attribute: "userName"}
			}
		}
		fallthrough
	default:
		if err := s.unique(r); err != nil {
			return nil, err
		}
	}
	meta := scim.Meta{Created: old.Meta().Created, LastModified: time.Now(), Version: old.Version() + 1}
	switch s.bug {
	case "replace is a creation":
		meta.Created = meta.LastModified.Add(time.Millisecond)
	case "lastModified stays":
		meta.LastModified = old.Meta().LastModified
	case "no change, no version":
		if old.JSON() == r.JSON() {
			meta.Version = old.Version()
		}
	case "version of the resource given":
		meta.Version = r.Version() + 1
	case "replace drops members":
		delete(s.members, s.row(r.Ref()))
	}
	replaced := r.WithMeta(meta)
	s.rows[s.row(r.Ref())] = s.kept(replaced)
	return replaced, nil
}

func (s *flawed) Delete(_ context.Context, ref scim.Ref, was scim.Version) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bug == "delete takes any version" {
		was = 0
	}
	old, err := s.current(ref, was)
	if err != nil {
		if s.bug == "delete of nothing succeeds" {
			return nil
		}
		return err
	}
	if s.bug == "deletes are marks" {
		s.rows[s.row(ref)] = old.WithMeta(scim.Meta{Created: old.Meta().Created, LastModified: time.Now(), Version: old.Version() + 1})
		return nil
	}
	s.burnt = append(s.burnt, old)
	delete(s.rows, s.row(ref))
	if s.bug != "members of deleted groups stay" {
		delete(s.members, s.row(ref))
	}
	for group, members := range s.members {
		at := slices.IndexFunc(members, func(m scim.Member) bool { return m.Value == ref.ID })
		if at < 0 || group.Directory != ref.Directory && s.bug != "leaves groups everywhere" || s.bug == "deleted ones stay in groups" {
			continue
		}
		s.members[group] = slices.Delete(slices.Clone(members), at, at+1)
		if s.bug != "leaves groups without a trace" {
			s.bump(group)
		}
	}
	return nil
}

func (s *flawed) bump(group scim.Ref) *scim.Resource {
	r := s.rows[group]
	m := r.Meta()
	m.Version++
	m.LastModified = time.Now()
	s.rows[group] = r.WithMeta(m)
	return s.rows[group]
}

// named is a member as it is shown.
func (s *flawed) named(key scim.Key, m scim.Member) scim.Member {
	for _, typ := range []string{"User", "Group"} {
		if r := s.rows[s.row(scim.Ref{Directory: key, Type: typ, ID: m.Value})]; r != nil {
			m.Type = typ
			m.Display, _ = r.Text("displayName")
		}
	}
	return m
}

func (s *flawed) Members(_ context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return func(yield func(scim.Member, error) bool) {
		s.mu.Lock()
		if s.bug == "members hold the lock" {
			defer s.mu.Unlock()
		}
		var all []scim.Member
		for _, m := range s.members[s.row(group)] {
			all = append(all, s.named(group.Directory, m))
		}
		missing := s.rows[s.row(group)] == nil || group.Type != "Group"
		if s.bug != "members hold the lock" {
			s.mu.Unlock()
		}
		switch {
		case missing && s.bug == "no members of no group":
			return
		case missing:
			yield(scim.Member{}, scim.ErrNotFound)
			return
		case s.bug == "members in no order" && len(all) > 1:
			at := int(time.Now().UnixNano()/64) % len(all)
			all = append(all[at:], all[:at]...)
		}
		for _, m := range all {
			if !yield(m, nil) {
				return
			}
		}
	}
}

func (s *flawed) ChangeMembers(_ context.Context, ref scim.Ref, c scim.MemberChange, was scim.Version) (*scim.MemberResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bug == "member changes take any version" {
		was = 0
	}
	if ref.Type != "Group" {
		return nil, scim.ErrNotFound
	}
	group, err := s.current(ref, was)
	if err != nil {
		return nil, err
	}
	before := s.members[s.row(ref)]
	after := slices.Clone(before)
	result := &scim.MemberResult{Group: group}
	has := func(list []scim.Member, id string) bool {
		return slices.ContainsFunc(list, func(m scim.Member) bool { return m.Value == id })
	}
	if c.Clear || s.bug == "an empty remove removes all" && len(c.Add) == 0 && len(c.Remove) == 0 {
		after = nil
	}
	for _, m := range c.Add {
		known := s.named(ref.Directory, m).Type != "" && (s.rows[s.row(scim.Ref{Directory: ref.Directory, Type: "User", ID: m.Value})] != nil || s.rows[s.row(scim.Ref{Directory: ref.Directory, Type: "Group", ID: m.Value})] != nil)
		switch {
		case !known && s.bug != "unknown members are kept":
			if s.bug != "unknown members are not told" {
				result.Unknown = append(result.Unknown, m.Value)
			}
			continue
		case has(after, m.Value):
			if s.bug == "members there are added" {
				result.Added = append(result.Added, m)
			}
			continue
		}
		after = append(after, m)
		if !has(before, m.Value) || s.bug == "clear adds who stays" {
			result.Added = append(result.Added, s.named(ref.Directory, m))
		}
	}
	for _, id := range c.Remove {
		after = slices.DeleteFunc(after, func(m scim.Member) bool { return m.Value == id })
	}
	for _, m := range before {
		if !has(after, m.Value) || s.bug == "clear removes who stays" && c.Clear {
			result.Removed = append(result.Removed, m)
		}
	}
	s.members[s.row(ref)] = after
	if len(result.Added)+len(result.Removed) > 0 && s.bug != "member changes without version" || s.bug == "every member change is one" {
		result.Group = s.bump(s.row(ref))
	}
	return result, nil
}

func (s *flawed) groupsOf(key scim.Key, id string) (groups []scim.GroupRef) {
	for group, members := range s.members {
		if group.Directory != s.row(scim.Ref{Directory: key}).Directory || s.rows[group] == nil && s.bug != "members of deleted groups stay" {
			continue
		}
		if slices.ContainsFunc(members, func(m scim.Member) bool { return m.Value == id }) {
			g := scim.GroupRef{ID: group.ID}
			if r := s.rows[group]; r != nil {
				g.DisplayName, _ = r.Text("displayName")
				g.ExternalID = r.ExternalID()
			}
			groups = append(groups, g)
			if s.bug == "groups of groups" {
				groups = append(groups, s.groupsOf(key, group.ID)...)
			}
		}
	}
	slices.SortFunc(groups, func(a, b scim.GroupRef) int {
		if s.bug == "groups in order of names" {
			return strings.Compare(attr.Fold(a.ID), attr.Fold(b.ID))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return groups
}

func (s *flawed) GroupsOf(_ context.Context, key scim.Key, users []string) ([][]scim.GroupRef, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all [][]scim.GroupRef
	for _, id := range users {
		groups := s.groupsOf(key, id)
		if s.bug == "groups out of turn" && len(groups) == 0 {
			continue
		}
		all = append(all, groups)
	}
	return all, nil
}
