package patch_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
)

// choices make a test case: from the bytes of a fuzzer, or random ones. When
// they are exhausted it is always the first.
type choices struct{ data []byte }

func (s *choices) choose(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	c := int(s.data[0]) % n
	s.data = s.data[1:]
	return c
}

// one is true once in n times, and never when the choices are exhausted.
func (s *choices) one(n int) bool { return s.choose(n) == n-1 }

func pick[T any](s *choices, of ...T) T { return of[s.choose(len(of))] }

// newType returns a random resource type with an extension or two.
func (s *choices) newType() *attr.Type {
	var documents [][]byte
	extensions := []any{}
	add := func(urn string) {
		names := []string{"a", "bee", "Cee", "d2", "e-f", "g_h", "i", "jay"}
		var attributes []any
		for _, name := range names[:3+s.choose(len(names)-2)] {
			attributes = append(attributes, s.newAttribute(name))
		}
		document, err := json.Marshal(map[string]any{"id": urn, "attributes": attributes})
		if err != nil {
			panic(err)
		}
		documents = append(documents, document)
	}
	add("urn:test:core:2.0:Thing")
	for i := range 1 + s.choose(2) {
		urn := fmt.Sprintf("urn:test:extension:%d.0:Thing", i)
		add(urn)
		extensions = append(extensions, map[string]any{"schema": urn, "required": s.one(4)})
	}
	document, err := json.Marshal(map[string]any{"name": "Thing", "endpoint": "/Things", "schema": "urn:test:core:2.0:Thing", "schemaExtensions": extensions})
	if err != nil {
		panic(err)
	}
	types, err := attr.ParseTypes(append(documents, document)...)
	if err != nil {
		panic(err)
	}
	return types[0]
}

func (s *choices) newAttribute(name string) map[string]any {
	kind := pick(s, "complex", "string", "string", "complex", "boolean", "integer", "decimal", "dateTime", "reference", "binary")
	a := s.characteristics(name, kind)
	a["multiValued"] = s.choose(2) == 0
	if kind == "complex" {
		subs := []any{}
		for _, sub := range []struct{ name, kind string }{
			{"value", "string"},
			{"type", "string"},
			{"primary", "boolean"},
			{"display", "string"},
			{"$ref", "reference"},
			{"number", "decimal"},
			{"since", "dateTime"},
			{"marks", "string"},
		} {
			if s.choose(3) > 0 {
				c := s.characteristics(sub.name, sub.kind)
				c["multiValued"] = sub.name == "marks"
				subs = append(subs, c)
			}
		}
		if len(subs) == 0 {
			subs = append(subs, s.characteristics("only", "string"))
		}
		a["subAttributes"] = subs
	}
	return a
}

func (s *choices) characteristics(name, kind string) map[string]any {
	a := map[string]any{"name": name, "type": kind, "caseExact": s.choose(2) == 1, "required": s.one(6)}
	a["mutability"] = pick(s, "readWrite", "readWrite", "readWrite", "readWrite", "readWrite", "readWrite", "readOnly", "immutable", "writeOnly")
	return a
}

// simple returns a value of a simple attribute. There are few, so that they
// meet.
func (s *choices) simple(a *attr.Attribute) any {
	switch a.Kind {
	case attr.String:
		return pick(s, "x", "X", "y", "xy", "", "k", "\u212a", `q"\`)
	case attr.Reference:
		return pick(s, "urn:x", "URN:x", "../y")
	case attr.Boolean:
		return s.choose(2) == 0
	case attr.Integer:
		return json.Number(pick(s, "1", "0", "-2", "9007199254740993", "9007199254740992"))
	case attr.Decimal:
		return json.Number(pick(s, "1", "1.0", "2.5", "25e-1", "-0.5", "100"))
	case attr.DateTime:
		return pick(s, "2024-02-29T12:00:00Z", "2024-02-29T13:00:00+01:00", "2024-03-01T00:00:00Z")
	case attr.Binary:
		return pick(s, "AA==", "AQ==", "/+8=")
	case attr.Complex:
	}
	panic("complex")
}

// stored returns an object as the store may hold it: read-only values too, all
// that is required, nothing empty, one primary value at most.
func (s *choices) stored(of *attr.Attribute) map[string]any {
	object := map[string]any{}
	sparse := of.Name != "" && s.one(3) // so that little has to go for it to be empty
	for _, a := range of.Subs {
		if skipped(a) || !a.Required && s.choose(3) == 0 || a.Extension && s.choose(2) == 0 && !a.Required {
			continue
		}
		if sparse && !a.Required && len(object) > 0 {
			continue
		}
		switch {
		case a.MultiValued:
			list := []any{}
			primaries := 0
			for range s.length() {
				v := s.storedOne(a)
				if object, ok := v.(map[string]any); ok {
					if len(object) == 0 {
						continue
					}
					if primary(a, object) {
						if primaries++; primaries > 1 {
							object["primary"] = false
						}
					}
				}
				list = append(list, v)
			}
			if len(list) > 0 {
				object[a.Name] = list
			}
		default:
			v := s.storedOne(a)
			if sub, ok := v.(map[string]any); !ok || len(sub) > 0 {
				object[a.Name] = v
			}
		}
	}
	return object
}

func (s *choices) storedOne(a *attr.Attribute) any {
	if a.Kind == attr.Complex {
		return s.stored(a)
	}
	return s.simple(a)
}

// skipped are the attributes that have rules of their own, which vectors show.
func skipped(a *attr.Attribute) bool {
	return a.Dropped || a.Parent == nil && slices.Contains([]string{"schemas", "id", "meta", "externalId"}, a.Name)
}

// length is how many values there are: few, or so many that looking for one
// among them is done in another way.
func (s *choices) length() int {
	if s.one(20) {
		return 9 + s.choose(4)
	}
	return 1 + s.choose(3)
}

// sent returns what a client may send for an attribute: unassigned values too.
func (s *choices) sent(a *attr.Attribute, one bool) any {
	if s.one(12) {
		return nil
	}
	if a.MultiValued && !one {
		if s.one(12) {
			return []any{}
		}
		list := []any{}
		for range s.length() {
			v := s.sent(a, true)
			if object, ok := v.(map[string]any); ok && !s.one(30) {
				for _, other := range list {
					if o, ok := other.(map[string]any); ok && primary(a, o) {
						delete(object, "primary")
					}
				}
			}
			list = append(list, v)
		}
		return list
	}
	if a.Kind != attr.Complex {
		return s.simple(a)
	}
	object := map[string]any{}
	for _, sub := range a.Subs {
		if s.choose(2) == 0 || sub.Required && s.choose(4) > 0 {
			object[s.spelled(sub.Name)] = s.sent(sub, false)
		}
	}
	if _, ok := object["PRIMARY"]; ok { // one spelling, so that the generator sees it
		object["primary"] = object["PRIMARY"]
		delete(object, "PRIMARY")
	}
	return object
}

func (s *choices) spelled(name string) string {
	if s.one(6) {
		return strings.ToUpper(name)
	}
	return name
}

// request returns the operations of a request; few are wrong on purpose.
func (s *choices) request(typ *attr.Type, doc map[string]any) []step {
	changes := make([]step, 1+s.choose(3))
	for i := range changes {
		changes[i] = s.operation(typ, doc)
	}
	return changes
}

func (s *choices) operation(typ *attr.Type, doc map[string]any) step {
	c := step{op: pick(s, "add", "replace", "remove", "replace", "add")}
	if s.one(40) {
		c.on = &target{}
		s.fault(typ, &c)
		return c
	}
	if c.op != "remove" && s.choose(5) == 0 {
		c.value, c.valued = s.listed(typ.Root(), s.choose(3)), true
		return c
	}
	if c.op == "remove" && s.one(40) {
		return c
	}
	s.aim(typ, doc, &c)
	if c.op == "remove" && !s.one(12) || s.one(60) {
		return c
	}
	c.valued = true
	switch on := c.on; {
	case on.holder.Extension:
		if c.value = s.listed(on.holder, 1+s.choose(3)); s.one(10) {
			c.value = pick[any](s, nil, []any{}, "x", json.Number("1"))
		}
	case on.sub != nil:
		c.value = s.sent(on.sub, on.sub.MultiValued && s.choose(3) == 0)
	default:
		c.value = s.sent(on.holder, on.holds != nil || on.holder.MultiValued && s.choose(3) == 0)
	}
	if s.one(40) && !c.on.holder.Extension {
		c.value = s.wrong(c.value)
	}
	if c.op == "remove" && c.value == nil {
		c.valued = false
	}
	return c
}

// wrong makes something of another type of a value, or puts something wrong
// into it.
func (s *choices) wrong(v any) any {
	if object, ok := v.(map[string]any); ok && len(object) > 0 && s.choose(2) == 0 {
		object["unheard"] = "x"
		return object
	}
	return pick[any](s, json.Number("1.5"), true, []any{[]any{}}, map[string]any{"unheard": "x"}, "no date", []any{"x", json.Number("3")})
}

// listed returns the value of an operation on the whole resource or an
// extension.
func (s *choices) listed(of *attr.Attribute, n int) map[string]any {
	object := map[string]any{}
	seen := map[*attr.Attribute]bool{}
	for range n {
		a := of.Subs[s.choose(len(of.Subs))]
		if skipped(a) || seen[a] || a.Mutability == attr.ReadOnly && !s.one(12) {
			continue
		}
		seen[a] = true
		if a.Extension {
			object[s.spelled(a.Name)] = s.listed(a, 1+s.choose(2))
			continue
		}
		object[s.spelled(a.Name)] = s.sent(a, a.MultiValued && s.one(4))
	}
	if s.one(40) {
		object["unheard"] = "x"
	}
	return object
}

// aim chooses what an operation is on and writes the path. What there is to
// remove is mostly in the document.
func (s *choices) aim(typ *attr.Type, doc map[string]any, c *step) {
	c.pathed = true
	on := &target{}
	c.on = on
	for of, in := typ.Root(), doc; ; {
		on.holder = s.attributeOf(of, in, c.op == "remove")
		if !on.holder.Extension || s.choose(4) == 0 {
			break
		}
		on.extension, of = on.holder, on.holder
		in, _ = in[of.Name].(map[string]any)
	}
	c.path = s.spelled(on.holder.Path())
	if on.extension == nil && !on.holder.Extension && s.one(5) {
		c.path = s.spelled(typ.Schema.ID) + ":" + c.path
	}
	if on.holder.Kind != attr.Complex || on.holder.Extension {
		return
	}
	if on.holder.MultiValued && len(searchable(on.holder)) > 0 && s.choose(5) > 0 {
		text, holds := s.filter(on.holder, 2)
		c.path += "[" + text + "]"
		on.holds = holds
	}
	if s.choose(2) == 0 {
		sub := on.holder.Subs[s.choose(len(on.holder.Subs))]
		if sub.Mutability != attr.ReadOnly || s.one(12) {
			on.sub = sub
			c.path += "." + s.spelled(sub.Name)
		}
	}
}

// attributeOf chooses an attribute.
func (s *choices) attributeOf(of *attr.Attribute, in map[string]any, there bool) *attr.Attribute {
	var pool []*attr.Attribute
	for _, a := range of.Subs {
		switch {
		case skipped(a):
		case a.Mutability == attr.ReadOnly && !s.one(12), there && in[a.Name] == nil && !s.one(12):
		default:
			pool = append(pool, a)
		}
	}
	if len(pool) == 0 {
		pool = slices.DeleteFunc(slices.Clone(of.Subs), skipped)
	}
	return pool[s.choose(len(pool))]
}

// fault makes an operation wrong whatever the document is.
func (s *choices) fault(typ *attr.Type, c *step) {
	c.value, c.valued = "x", true
	switch s.choose(6) {
	case 0:
		c.op, c.path, c.pathed, c.static = pick(s, "Add", "REPLACE", "move", ""), "a", true, []attr.ErrorType{attr.InvalidSyntax}
	case 1:
		c.path, c.pathed, c.static = pick(s, "unheard", "a.unheard", "urn:test:core:2.0:Other:a", "a.b.c", "a[", "", "a b"), true, []attr.ErrorType{attr.InvalidPath, attr.InvalidFilter}
	case 2:
		c.path, c.pathed, c.static = pick(s, "id", "meta", "meta.version", typ.Schema.ID+":id"), true, []attr.ErrorType{attr.Mutable}
	case 3:
		c.op, c.value, c.static = pick(s, "add", "replace"), pick[any](s, "x", nil, []any{}, json.Number("1")), []attr.ErrorType{attr.InvalidValue}
	case 4:
		c.op, c.valued, c.path, c.pathed, c.static = pick(s, "add", "replace"), false, "externalId", true, []attr.ErrorType{attr.InvalidValue}
	default:
		c.path, c.pathed, c.static = `externalId[value eq "x"]`, true, []attr.ErrorType{attr.InvalidPath}
	}
}

// searchable returns what a filter on values of a may name: nobody learns by
// one what is never returned.
func searchable(a *attr.Attribute) (subs []*attr.Attribute) {
	for _, sub := range a.Subs {
		if a.Mutability != attr.WriteOnly && sub.Mutability != attr.WriteOnly {
			subs = append(subs, sub)
		}
	}
	return subs
}

// filter returns a filter over the values of a multi-valued attribute and what
// it means.
func (s *choices) filter(a *attr.Attribute, depth int) (string, func(map[string]any) bool) {
	if depth > 0 {
		switch s.choose(6) {
		case 1:
			l, left := s.filter(a, depth-1)
			r, right := s.filter(a, depth-1)
			return "(" + l + ") and (" + r + ")", func(v map[string]any) bool { return left(v) && right(v) }
		case 2:
			l, left := s.filter(a, depth-1)
			r, right := s.filter(a, depth-1)
			return "(" + l + ") or (" + r + ")", func(v map[string]any) bool { return left(v) || right(v) }
		case 3:
			e, holds := s.filter(a, depth-1)
			return "not (" + e + ")", func(v map[string]any) bool { return !holds(v) }
		}
	}
	seen := searchable(a)
	sub := seen[s.choose(len(seen))]
	name := s.spelled(sub.Name)
	values := func(v map[string]any) []any {
		if list, ok := v[sub.Name].([]any); ok {
			return list
		}
		if v[sub.Name] == nil {
			return nil
		}
		return []any{v[sub.Name]}
	}
	present := func(v map[string]any) bool {
		return slices.ContainsFunc(values(v), func(v any) bool { return v != "" })
	}
	if s.choose(4) == 3 {
		return name + " pr", present
	}
	literal := s.simple(sub)
	text, _ := json.Marshal(literal)
	op := "eq"
	equal := func(v any) bool { return identity(sub, v, false) == identity(sub, literal, false) }
	holds := equal
	switch {
	case s.choose(3) == 2:
		op, holds = "ne", func(v any) bool { return !equal(v) }
	case sub.Kind == attr.String && s.choose(2) == 1:
		op = pick(s, "co", "sw", "ew")
		holds = func(v any) bool {
			in, of := identity(sub, v, false), identity(sub, literal, false)
			return op == "co" && strings.Contains(in, of) || op == "sw" && strings.HasPrefix(in, of) || op == "ew" && strings.HasSuffix(in, of)
		}
	}
	return name + " " + op + " " + string(text), func(v map[string]any) bool {
		all := values(v)
		return len(all) == 0 && op == "ne" || slices.ContainsFunc(all, holds)
	}
}

// body writes the request.
func body(changes []step) []byte {
	operations := make([]string, len(changes))
	for i, c := range changes {
		parts := []string{`"op":` + strconv.Quote(c.op)}
		if c.pathed {
			path, _ := json.Marshal(c.path)
			parts = append(parts, `"path":`+string(path))
		}
		if c.valued {
			value, err := json.Marshal(c.value)
			if err != nil {
				panic(err)
			}
			parts = append(parts, `"value":`+string(value))
		}
		operations[i] = "{" + strings.Join(parts, ",") + "}"
	}
	return request("[" + strings.Join(operations, ",") + "]")
}
