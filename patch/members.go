package patch

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/internal/pace"
)

// A Member is a value of an attribute that is kept apart from the document,
// such as Group.members (RFC 7643 section 4.2). Value is the id; Type and
// Display are empty where the client did not send them. "$ref" follows from the
// others and is not kept.
type Member struct{ Value, Type, Display string }

// Node returns a new value in d that says of a member what is known: to match a
// filter with, or to be kept in the document. What is empty, and what the
// attribute members has no sub-attribute for, is left out.
func (m Member) Node(d *attr.Doc, members *attr.Attribute) *attr.Node {
	n := d.Object(members)
	put := func(a *attr.Attribute, text string) {
		if a != nil && text != "" {
			n.Put(d.Text(a, text))
		}
	}
	of := memberSubs(members)
	put(of.value, m.Value)
	put(of.kind, m.Type)
	put(of.display, m.Display)
	return n
}

// A Membership is what a request does to the members of a group, whatever the
// form it came in: as one set of members to add and one set of ids to remove.
// Both are sets: what is added may be a member already and stays as it is then,
// what is removed need not be one.
type Membership struct {
	// Clear says that the group has no members before those of Add.
	Clear bool
	// Add are the members to add, in the order they were sent, each id once.
	Add []Member
	// Remove are the ids to remove, each once and none of them in Add. It is
	// empty where Clear is set.
	Remove []string

	typ   *attr.Type
	of    *attr.Attribute
	steps []step // what is done, in order, where Clear, Add and Remove need Resolve
}

// A step is one operation on the members.
type step struct {
	what   stepKind
	add    []Member
	remove []string
	filter filter.Expr
}

type stepKind uint8

const (
	addMembers stepKind = iota
	removeMembers
	removeSelected
	clearMembers
)

func newMembership(t *attr.Type, of *attr.Attribute, steps []step) *Membership {
	m := &Membership{typ: t, of: of}
	for i := range steps {
		if steps[i].what == removeSelected {
			m.steps = steps
			return m
		}
	}
	if adds := steps[len(steps)-1]; adds.what == addMembers && (len(steps) == 1 || len(steps) == 2 && steps[0].what == clearMembers) {
		m.Clear, m.Add = len(steps) == 2, distinct(adds.add) // as most requests are, and those with many members
		return m
	}
	var c composition
	for i := range steps {
		c.take(&steps[i])
	}
	c.result(m)
	return m
}

// Pending reports whether the request removes members by a filter on something
// else than their ids, so that only the current members tell which. Clear, Add
// and Remove are then not yet set; [Membership.Resolve] finds them.
func (m *Membership) Pending() bool { return m.steps != nil }

// Resolve asks for the ids of the current members that a filter selects (its
// attributes are sub-attributes of [Options.Members]) and returns the whole
// change, in which nothing is pending. A member that the request itself has
// added before is selected by what the request says of it; its type is "User"
// where it does not say (quirk 63).
//
// Without anything pending it returns m and does not ask.
func (m *Membership) Resolve(current func(filter.Expr) ([]string, error)) (*Membership, error) {
	if !m.Pending() {
		return m, nil
	}
	var c composition
	for i := range m.steps {
		s := &m.steps[i]
		if s.what != removeSelected {
			c.take(s)
			continue
		}
		c.removeAdded(m, s.filter)
		if c.cleared {
			continue // none of the current members is left to select
		}
		ids, err := current(s.filter)
		if err != nil {
			return nil, err
		}
		c.grow(len(ids))
		for _, id := range ids {
			c.remove(id)
		}
	}
	resolved := &Membership{typ: m.typ, of: m.of}
	c.result(resolved)
	return resolved, nil
}

// A composition makes one change of many: linear in the number of ids.
type composition struct {
	pace    pace.Pace
	cleared bool
	entries []entry        // in order; of an id the last one counts, those before are dead
	at      map[string]int // the living entry of an id, once there are many
}

type entry struct {
	Member
	removed, dead bool
}

// find returns where the living entry of the id is, or -1.
func (c *composition) find(id string) int {
	if c.at != nil {
		if i, ok := c.at[id]; ok {
			return i
		}
		return -1
	}
	for i := range c.entries {
		if c.entries[i].Value == id && !c.entries[i].dead {
			return i
		}
	}
	return -1
}

// grow makes room for n more ids.
func (c *composition) grow(n int) {
	c.entries = slices.Grow(c.entries, n)
	n += len(c.entries)
	if n <= few || c.at != nil {
		return
	}
	c.at = make(map[string]int, n)
	for i := range c.entries {
		if !c.entries[i].dead {
			c.at[c.entries[i].Value] = i
		}
	}
}

func (c *composition) note(e entry) {
	c.entries = append(c.entries, e)
	if c.at != nil {
		c.at[e.Value] = len(c.entries) - 1
	}
}

func (c *composition) take(s *step) {
	switch s.what {
	case clearMembers:
		*c = composition{pace: c.pace, cleared: true}
	case addMembers:
		c.grow(len(s.add))
		for _, m := range s.add {
			c.pace.Step()
			c.add(m)
		}
	case removeMembers:
		c.grow(len(s.remove))
		for _, id := range s.remove {
			c.pace.Step()
			c.remove(id)
		}
	case removeSelected:
		// Resolve does it.
	}
}

func (c *composition) add(m Member) {
	i := c.find(m.Value)
	if i >= 0 {
		if !c.entries[i].removed {
			return
		}
		c.entries[i].dead = true
	}
	c.note(entry{Member: m})
}

func (c *composition) remove(id string) {
	if i := c.find(id); i >= 0 {
		c.entries[i].removed = true
		return
	}
	c.note(entry{Member: Member{Value: id}, removed: true})
}

// removeAdded removes those added members that the filter selects.
func (c *composition) removeAdded(m *Membership, e filter.Expr) {
	for i := range c.entries {
		c.pace.Step()
		at := &c.entries[i]
		if at.dead || at.removed {
			continue
		}
		added := at.Member
		added.Type = cmp.Or(added.Type, "User")
		d := attr.NewDoc(m.typ)
		at.removed = filter.Match(e, added.Node(d, m.of).Value())
		d.Release()
	}
}

// result writes the composed change to m.
func (c *composition) result(m *Membership) {
	m.Clear = c.cleared
	var added, removed int
	for i := range c.entries {
		c.pace.Step()
		switch e := &c.entries[i]; {
		case e.dead:
		case e.removed:
			removed++
		default:
			added++
		}
	}
	if added > 0 {
		m.Add = make([]Member, 0, added)
	}
	if removed > 0 && !c.cleared {
		m.Remove = make([]string, 0, removed)
	}
	for i := range c.entries {
		c.pace.Step()
		switch e := &c.entries[i]; {
		case e.dead:
		case !e.removed:
			m.Add = append(m.Add, e.Member)
		case !c.cleared:
			m.Remove = append(m.Remove, e.Value)
		}
	}
}

// subs are the sub-attributes of which a [Member] consists; all but value may be
// nil.
type subs struct{ value, kind, display *attr.Attribute }

func memberSubs(of *attr.Attribute) subs {
	return subs{of.ValueSub(), of.Sub("type"), of.Sub("display")}
}

// member reads one value of the attribute.
func (s subs) member(n *attr.Node) Member {
	text := func(a *attr.Attribute) string {
		if a == nil {
			return ""
		}
		return n.Value().Get(a).Text()
	}
	return Member{text(s.value), text(s.kind), text(s.display)}
}

// Decode is [attr.Doc.DecodeStream] for a type that has members, and returns
// them: each id once, nothing of them in the document. A value without id gives
// one member with an empty Value, which the caller treats as every id it does not
// know.
func Decode(d *attr.Doc, body io.Reader, l attr.Lenience, limits attr.Limits, members *attr.Attribute) ([]Member, error) {
	g := gatherer{of: memberSubs(members)}
	if err := d.DecodeStream(body, l, limits, members, g.take); err != nil {
		return nil, err
	}
	return distinct(g.all), nil
}

// A gatherer keeps what is said of members in little memory: it copies their
// texts, one after the other, so that neither a body nor a document stays for
// the sake of some.
type gatherer struct {
	of   subs
	all  []Member
	text strings.Builder
}

// take adds a value of the attribute.
func (g *gatherer) take(n *attr.Node) {
	m := g.of.member(n)
	const most = 16 << 10
	if size := len(m.Value) + len(m.Type) + len(m.Display); g.text.Cap()-g.text.Len() < size {
		room := min(2*g.text.Cap(), most)
		g.text.Reset() // strings of it stay as they are
		g.text.Grow(max(size, room))
	}
	if len(g.all) == cap(g.all) {
		g.all = slices.Grow(g.all, len(g.all)+1) // twice as many: less to leave behind than append does
	}
	g.all = append(g.all, Member{g.keep(m.Value), g.kind(m.Type), g.keep(m.Display)})
}

func (g *gatherer) keep(s string) string {
	from := g.text.Len()
	g.text.WriteString(s)
	return g.text.String()[from:]
}

// kind keeps a member's type, which is nearly always one of two.
func (g *gatherer) kind(s string) string {
	for _, known := range [...]string{"", "User", "Group"} {
		if s == known {
			return known
		}
	}
	return g.keep(s)
}

// distinct keeps of each id the first member, in the memory of the list.
func distinct(list []Member) []Member {
	if len(list) < 2 {
		return list
	}
	var p pace.Pace
	seen := make(map[string]struct{}, len(list))
	once := list[:0]
	for _, m := range list {
		p.Step()
		if _, there := seen[m.Value]; !there {
			seen[m.Value] = struct{}{}
			once = append(once, m)
		}
	}
	clear(list[len(once):])
	return once
}

// ApplyTo does the change to the list of members in d, for a store that keeps
// them in the document. It takes time in proportion to the members there are
// and those that change. Who is a member already stays as he is. It is an
// error, an [*attr.Error], to leave a required attribute without a value.
func (m *Membership) ApplyTo(d *attr.Doc, members *attr.Attribute) error {
	of := memberSubs(members)
	list := d.Root().Child(members)
	m, err := m.Resolve(func(e filter.Expr) (ids []string, _ error) {
		for n := range (filter.Path{Attr: members, Filter: e}).Select(list) {
			ids = append(ids, n.Value().Get(of.value).Text())
		}
		return ids, nil
	})
	if err != nil {
		return err
	}
	if list == nil {
		list = d.List(members)
		d.Root().Put(list)
	}
	if m.Clear {
		list.Clear()
	}
	var c composition
	c.take(&step{what: removeMembers, remove: m.Remove})
	c.take(&step{what: addMembers, add: m.Add})
	list.Filter(func(n *attr.Node) bool {
		i := c.find(n.Value().Get(of.value).Text())
		if i < 0 {
			return true
		}
		if !c.entries[i].removed {
			c.entries[i].dead = true // is a member already
		}
		return !c.entries[i].removed
	})
	for i := range c.entries {
		if e := &c.entries[i]; !e.removed && !e.dead {
			list.Append(e.Node(d, members))
		}
	}
	if !list.Empty() {
		return nil
	}
	d.Root().Remove(members)
	if members.Required {
		return &attr.Error{Type: attr.Mutable, Detail: members.Path() + " is required and cannot be removed, RFC 7644 section 3.5.2.2; leave at least one"}
	}
	return nil
}
