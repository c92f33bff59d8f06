package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// differential fills a directory at random and asks random questions about it.
func differential(seed uint64) testCase {
	return testCase{
		name: "differential/seed-" + strconv.FormatUint(seed, 10),
		why:  fmt.Sprintf("%s; run it again with STORETEST_SEED=%d", whySelect, seed),
		run: func(p *probe) {
			g := &generator{probe: p, Rand: random(seed)}
			g.fill()
			for _, typ := range []string{"User", "Group", "Device"} {
				const queries = 150
				c := p.corpus(typ, p.list(p.query(typ, "")).Resources)
				for range queries {
					g.ask(c, typ)
				}
			}
		},
	}
}

// A generator makes resources and queries that are likely to have to do with
// each other.
type generator struct {
	*probe
	*rand.Rand
	known map[string][]string // literals of meta and relations, by path
}

func (g *generator) pick(list ...string) string { return list[g.IntN(len(list))] }

// The values of each data type are few, so that filters find something, and
// such as are equal in one way of looking at them and differ in another.
var (
	someTexts = []string{
		"ann", "Ann", "ANN", "anna", "ben", "BEN", "Straße", "STRASSE", "Kay", "\u212aay", "é", "e\u0301", "É", "a%b", "a_b", "aXb", `a\b`, `a"b`, "a'b", "ｆｕｌｌ", "full",
		" ann", "ann ", "z", "😀", "σας", "ΣΑΣ", "null", "1", "work", "Work", "home",
	}
	someIntegers = []string{"0", "1", "-1", "9", "10", "100", "9007199254740992", "9007199254740993", "-9007199254740993", "12345678901234567890", "12345678901234567891"}
	someDecimals = []string{"0", "-0.0", "1.5", "1.50", "15e-1", "-0.5", "1e10", "0.1", "1e-7", "10", "9", "123456789.123456789"}
	someTimes    = []string{
		"2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.123456789Z", "2023-12-31T23:59:59-00:30", "1969-12-31T23:59:59Z", "2024-06-01T12:00:00Z", "0001-01-01T00:00:00Z",
	}
	someBinaries   = []string{"YWI=", "YWI", "+/8=", "-_8", "YWJj", "eXdp"}
	someReferences = []string{"https://x.test/a", "https://x.test/A", "https://x.test/b", "urn:example:a"}
)

// text is a value of a data type as a document spells it, strings without their
// quotes.
func (g *generator) text(a *attr.Attribute) string {
	switch a.Kind {
	case attr.String:
		return g.pick(someTexts...)
	case attr.Boolean:
		return g.pick("true", "false")
	case attr.Integer:
		return g.pick(someIntegers...)
	case attr.Decimal:
		return g.pick(someDecimals...)
	case attr.DateTime:
		return g.pick(someTimes...)
	case attr.Reference:
		return g.pick(someReferences...)
	case attr.Binary:
		return g.pick(someBinaries...)
	case attr.Complex:
	}
	return ""
}

// value is a value of an attribute, one of several where there can be several.
func (g *generator) value(a *attr.Attribute) any {
	switch {
	case a.Kind == attr.Complex:
		object := map[string]any{}
		for _, sub := range a.Subs {
			if g.IntN(2) == 0 && sub != a.PrimarySub() {
				object[sub.Name] = g.values(sub)
			}
		}
		return object
	case a.Textual():
		return g.text(a)
	}
	return json.RawMessage(g.text(a))
}

func (g *generator) values(a *attr.Attribute) any {
	if !a.MultiValued {
		return g.value(a)
	}
	var list []any
	primary := g.IntN(6)
	for i := range g.IntN(4) {
		v := g.value(a)
		if object, ok := v.(map[string]any); ok && i == primary && a.PrimarySub() != nil {
			object["primary"] = true
		}
		list = append(list, v)
	}
	return list
}

// resource is a resource of which every attribute may have any value; those
// that are unique are taken from its number.
func (g *generator) resource(key scim.Key, typ, id string) *scim.Resource {
	t := g.types.Type(typ)
	v := values{}
	if t.IsUser() {
		v["userName"] = g.pick(someTexts...) + id
	}
	apart := func(a *attr.Attribute) bool { // not in the document
		return a == t.Members() && g.members != nil || t.IsUser() && a.Name == "groups"
	}
	var set func(subs []*attr.Attribute)
	set = func(subs []*attr.Attribute) {
		for _, a := range subs {
			switch {
			case a == t.Schemas, a == t.ID, a == t.Meta, a == t.ExternalID, a.Dropped, a.Name == "userName", apart(a), hasUnique(a):
			case a.Extension:
				set(a.Subs)
			case g.IntN(5) < 2:
				v[a.Path()] = g.values(a)
			}
		}
	}
	set(t.Root().Subs)
	if g.IntN(2) == 0 {
		v["externalId"] = g.pick("x", "X", "é") + id
	}
	switch typ {
	case "User":
		v[userExtension+":badge"] = g.pick("b", "B") + id
	case "Group":
		if _, inline := v["members"]; inline {
			v["members"] = []any{map[string]any{"value": fmt.Sprint("u", g.IntN(24)), "type": "User"}, map[string]any{"value": "x", "display": g.text(t.Members().ValueSub())}}
		}
	case "Device":
		v["serial"], v["code"] = g.pick("s", "S")+id, g.pick("c", "C")+id
		v["aliases"] = []string{"a" + id, "A-" + id}
	}
	return g.build(key, typ, id, v)
}

func hasUnique(a *attr.Attribute) bool {
	if a.Extension {
		return false
	}
	for _, sub := range a.Subs {
		if hasUnique(sub) {
			return true
		}
	}
	return a.Uniqueness != attr.NotUnique
}

// fill creates users, groups with members, and devices, in the directory that
// is asked about and in others that are not.
func (g *generator) fill() {
	const users, groups, devices = 24, 10, 24
	for i := range users {
		g.create(g.resource(g.key(), "User", fmt.Sprint("u", i)))
	}
	for i := range groups {
		g.create(g.resource(g.key(), "Group", fmt.Sprint("g", i)))
	}
	for i := range devices {
		g.create(g.resource(g.key(), "Device", fmt.Sprint("d", i)))
	}
	for i := range 5 {
		g.create(g.resource(g.second(), "User", fmt.Sprint("u", i)))
		g.create(g.resource(g.second(), "Group", fmt.Sprint("g", i)))
	}
	for i := range users / 3 {
		g.replace(g.resource(g.key(), "User", fmt.Sprint("u", 3*i)), 0)
	}
	g.remove(userRef(g.key(), "u1"))
	g.remove(userRef(g.key(), "u12"))
	g.known = map[string][]string{"meta.resourceType": {"User", "user", "Group"}, "meta.version": {`W/"1"`, `W/"2"`}, "schemas": {g.types.Type("User").Schema.ID, deviceSchema}}
	for _, r := range append(g.list(g.query("User", "")).Resources, g.list(g.query("Group", "")).Resources...) {
		m := r.Meta()
		g.known["meta.version"] = append(g.known["meta.version"], m.Version.ETag())
		g.known["meta.created"] = append(g.known["meta.created"], m.Created.Format("2006-01-02T15:04:05.000Z07:00"))
		g.known["meta.lastModified"] = append(g.known["meta.lastModified"], m.LastModified.Format("2006-01-02T15:04:05.000Z07:00"))
		g.known["id"] = append(g.known["id"], r.ID())
		if name, ok := r.Text("displayName"); ok {
			g.known["members.display"] = append(g.known["members.display"], name)
			g.known["groups.display"] = append(g.known["groups.display"], name)
		}
	}
	g.known["members.value"], g.known["groups.value"] = g.known["id"], g.known["id"]
	g.known["members.type"] = []string{"User", "Group", "user"}
	g.known["groups.type"] = []string{"direct", "Direct", "indirect"}
	if g.members == nil {
		return
	}
	for i := range groups - 2 { // the last ones have no members
		var add []scim.Member
		for u := range users {
			if g.IntN(4) == 0 && u != 1 && u != 12 {
				add = append(add, scim.Member{Value: fmt.Sprint("u", u), Type: "User"})
			}
		}
		if i > 0 && g.IntN(2) == 0 {
			add = append(add, scim.Member{Value: fmt.Sprint("g", i-1), Type: "Group"})
		}
		g.change(fmt.Sprint("g", i), scim.MemberChange{Add: add})
	}
}

// ask compares one random query with the oracle: in whole, in a page, and by
// positions.
func (g *generator) ask(c *corpus, typ string) {
	q := g.query(typ, g.filter(g.types.Type(typ)))
	if g.IntN(3) > 0 {
		q.SortBy, q.Descending = g.sortAttribute(q.Type), g.IntN(2) == 0
	}
	g.agrees(c, q)
	page := *q
	page.StartIndex, page.Count = 1+g.IntN(12), g.IntN(8)
	g.agrees(c, &page)
	if g.IntN(4) == 0 {
		g.follow(c, q, 1+g.IntN(9))
	}
}

// sortAttribute is an attribute that a client may sort by.
func (g *generator) sortAttribute(t *scim.ResourceType) *attr.Attribute {
	for {
		a := t.Attributes()[1+g.IntN(len(t.Attributes())-1)]
		if a.Kind == attr.Complex {
			if a = a.ValueSub(); a == nil || a.Kind == attr.Complex {
				continue
			}
		}
		related := strings.HasPrefix(a.Path(), "members.") || strings.HasPrefix(a.Path(), "groups.")
		if !a.Dropped && !related && a.Kind != attr.Complex {
			return a
		}
	}
}

// filter returns the text of a random filter that can be parsed.
func (g *generator) filter(t *scim.ResourceType) string {
	if g.IntN(12) == 0 {
		return ""
	}
	for {
		text := g.expression(t, t.Root(), 1+g.IntN(3))
		if _, _, err := filter.Parse(text, t.Type, filter.Options{}); err == nil {
			return text
		}
	}
}

// expression follows the grammar of RFC 7644 section 3.4.2.2. below is the
// document, or the attribute in whose brackets the expression stands.
func (g *generator) expression(t *scim.ResourceType, below *attr.Attribute, depth int) string {
	if depth > 1 {
		switch g.IntN(8) {
		case 0, 1:
			return g.expression(t, below, depth-1) + " and " + g.expression(t, below, depth-1)
		case 2, 3:
			return g.expression(t, below, depth-1) + " or " + g.expression(t, below, depth-1)
		case 4:
			return "not (" + g.expression(t, below, depth-1) + ")"
		case 5:
			return "(" + g.expression(t, below, depth-1) + ") and " + g.expression(t, below, depth-1)
		}
	}
	inBrackets := below != t.Root()
	var a *attr.Attribute
	if inBrackets {
		a = below.Subs[g.IntN(len(below.Subs))]
	} else {
		a = g.about(t)
		if a.Kind == attr.Complex && !a.Extension && g.IntN(2) == 0 {
			return a.Path() + "[" + g.expression(t, a, 2) + "]"
		}
	}
	path := a.Path()
	if inBrackets {
		path = a.Name
	}
	switch g.IntN(10) {
	case 0:
		return path + " pr"
	case 1:
		return path + g.pick(" eq null", " ne null")
	}
	if a.Kind == attr.Complex {
		if a.ValueSub() == nil || a.Extension {
			return path + " pr"
		}
		a = a.ValueSub()
	}
	op := g.pick("eq", "eq", "ne", "gt", "ge", "lt", "le", "co", "sw", "ew")
	switch a.Kind {
	case attr.Boolean, attr.Binary:
		op = g.pick("eq", "ne")
	case attr.Integer, attr.Decimal, attr.DateTime:
		op = g.pick("eq", "ne", "gt", "ge", "lt", "le")
	case attr.String, attr.Reference, attr.Complex:
	}
	literal := g.text(a)
	if known := g.known[a.Path()]; len(known) > 0 {
		literal = g.pick(known...)
	}
	switch a.Path() {
	case "userName":
		literal += g.pick("", fmt.Sprint("u", g.IntN(24)))
	case "externalId":
		literal = g.pick("x", "X") + fmt.Sprint("u", g.IntN(24))
	case "serial", "aliases":
		literal = g.pick("s", "a", "S") + fmt.Sprint("d", g.IntN(24))
	}
	if !a.Textual() {
		return path + " " + op + " " + literal
	}
	if runes := []rune(literal); (op == "co" || op == "sw" || op == "ew") && len(runes) > 1 {
		from := g.IntN(len(runes))
		literal = string(runes[from : from+1+g.IntN(len(runes)-from)])
	}
	quoted, err := json.Marshal(literal)
	g.ok(err, "a literal of the kit's own")
	return path + " " + op + " " + string(quoted)
}

// about is an attribute to filter by, now and then one of those that are not in
// the document.
func (g *generator) about(t *scim.ResourceType) *attr.Attribute {
	outside := []string{"meta.created", "meta.lastModified", "meta.version", "meta.resourceType", "id", "externalId", "meta"}
	switch {
	case t.IsUser():
		outside = append(outside, "userName", "emails", "emails.type", "groups", "groups.value", "groups.display")
	case t.IsGroup():
		outside = append(outside, "displayName", "members", "members.value", "members.type", "members.display")
	}
	if g.IntN(3) == 0 {
		return g.attribute(t.Name, g.pick(outside...))
	}
	for {
		// Members and groups have no $ref where they are kept, which is made for an answer.
		a := t.Attributes()[1+g.IntN(len(t.Attributes())-1)]
		if !a.Dropped && a.Name != "$ref" {
			return a
		}
	}
}
