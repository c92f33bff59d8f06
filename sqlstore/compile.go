package sqlstore

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A compiler turns filters into conditions on a row r of resources that hold
// where [filter.Match] does. Conditions are never null below a not: what has no
// value to compare is false, or true of ne.
type compiler struct {
	names

	kind *kind
	args []any
	nots int // not expressions around what is compiled
	made int // names for elements
}

// text makes a parameter of a text.
func (c *compiler) text(s string) string {
	c.args = append(c.args, s)
	return "$" + strconv.Itoa(len(c.args)) + "::text"
}

// number makes a parameter of an integer.
func (c *compiler) number(n int64) string {
	c.args = append(c.args, n)
	return "$" + strconv.Itoa(len(c.args)) + "::bigint"
}

const (
	always = "(1 = 1)"
	never  = "(1 = 0)"
)

func constant(holds bool) string {
	if holds {
		return always
	}
	return never
}

// where returns the condition for a filter. What an index finds is said apart
// where it is an equality inside of a value path.
func (c *compiler) where(e filter.Expr) string {
	condition := c.expr(e, nil)
	for _, term := range terms[*filter.And](e, nil) {
		path, ok := term.(*filter.ValuePath)
		if !ok {
			continue
		}
		for a, literal := range filter.Equalities(path) {
			if found := c.indexed(&filter.Compare{Attr: a, Op: filter.Eq, Value: literal}); found != "" {
				condition = found + " AND " + condition
			}
		}
	}
	return condition
}

// terms returns what stands between the operators and or or in a chain of them.
func terms[T filter.Expr](e filter.Expr, all []filter.Expr) []filter.Expr {
	if _, ok := e.(T); ok {
		switch e := e.(type) {
		case *filter.And:
			return terms[T](e.Right, terms[T](e.Left, all))
		case *filter.Or:
			return terms[T](e.Right, terms[T](e.Left, all))
		case *filter.Not, *filter.Compare, *filter.Present, *filter.ValuePath:
		}
	}
	return append(all, e)
}

// chain joins the terms of a chain as a balanced tree: a database bounds how
// deep expressions are, and a chain is as deep as it is long.
func (c *compiler) chain(all []filter.Expr, operator string, in *elements) string {
	if len(all) == 1 {
		return c.expr(all[0], in)
	}
	half := len(all) / 2
	return "(" + c.chain(all[:half], operator, in) + operator + c.chain(all[half:], operator, in) + ")"
}

// expr returns the condition for an expression: about the resource or, within
// brackets, about one element of a list.
func (c *compiler) expr(e filter.Expr, in *elements) string {
	switch e := e.(type) {
	case *filter.And:
		return c.chain(terms[*filter.And](e, nil), " AND ", in)
	case *filter.Or:
		return c.chain(terms[*filter.Or](e, nil), " OR ", in)
	case *filter.Not:
		c.nots++
		defer func() { c.nots-- }()
		return "NOT " + c.expr(e.Expr, in)
	case *filter.Compare:
		if e.Value.IsNull() {
			if e.Op == filter.Ne {
				return c.present(e.Attr, in)
			}
			return "NOT " + c.present(e.Attr, in)
		}
		return c.compare(e, in)
	case *filter.Present:
		return c.present(e.Attr, in)
	case *filter.ValuePath:
		return c.valuePath(e)
	case nil:
		return always
	}
	panic(fmt.Sprintf("sqlstore: a filter has an expression of type %T", e)) // there are no others
}

// compare returns the condition for a comparison with what is not null.
func (c *compiler) compare(e *filter.Compare, in *elements) string {
	a := e.Attr
	switch {
	case in != nil && a.MultiValued:
		return c.any(in.list(a), e)
	case in != nil:
		return c.holds(in.sub(a), e)
	case a.Within(c.kind.typ.Meta):
		return c.compareMeta(e)
	case a == c.kind.typ.ID:
		return c.holds("r.id", e)
	}
	if found := c.indexed(e); found != "" {
		return found
	}
	switch {
	case a.Parent != nil && a.Parent.MultiValued:
		from := c.elements(a.Parent)
		return c.some(from, c.compare(e, &from), e)
	case a.MultiValued:
		return c.any(c.elements(a), e)
	}
	return c.holds(c.leaf(a), e)
}

// any compares each of many simple values.
func (c *compiler) any(from elements, e *filter.Compare) string {
	return c.some(from, c.holds(from.value, e), e)
}

// some returns the condition that it holds of one of the values, or that there
// are none where the comparison holds of nothing too.
func (c *compiler) some(from elements, holds string, e *filter.Compare) string {
	exists := "EXISTS (SELECT 1" + from.from + " AND " + holds + ")"
	if e.HoldsNone() {
		return "(" + exists + " OR NOT EXISTS (SELECT 1" + from.from + "))"
	}
	return exists
}

// holds compares one text of a search document, null if there is none.
func (c *compiler) holds(value string, e *filter.Compare) string {
	ordered := e.Ordered()
	if !storable(ordered) {
		return constant(e.Op == filter.Ne) // no text is that
	}
	var condition string
	switch literal := c.text(ordered); e.Op {
	case filter.Ne:
		return "coalesce(" + value + " <> " + literal + ", 1 = 1)"
	case filter.Eq:
		condition = value + " = " + literal
	case filter.Co, filter.Sw, filter.Ew:
		condition = c.part(value, literal, ordered == "", e.Op)
	case filter.Gt:
		condition = c.exact(value) + " > " + literal
	case filter.Ge:
		condition = c.exact(value) + " >= " + literal
	case filter.Lt:
		condition = c.exact(value) + " < " + literal
	case filter.Le:
		condition = c.exact(value) + " <= " + literal
	}
	return c.certain(condition)
}

// part looks for a text in another.
func (c *compiler) part(value, literal string, empty bool, op filter.Op) string {
	switch {
	case empty: // it is part of every text; the parameter must be used
		return value + " >= " + literal
	case c.Dialect == SQLite && op == filter.Co:
		return "instr(" + value + ", " + literal + ") > 0"
	case c.Dialect == SQLite && op == filter.Sw:
		return "substr(" + value + ", 1, length(" + literal + ")) = " + literal
	case c.Dialect == SQLite:
		return "substr(" + value + ", -length(" + literal + ")) = " + literal
	case op == filter.Co:
		return "strpos(" + value + ", " + literal + ") > 0"
	case op == filter.Sw:
		return "left(" + value + ", length(" + literal + ")) = " + literal
	}
	return "right(" + value + ", length(" + literal + ")) = " + literal
}

// certain makes a condition false where it is null, which makes a difference
// below a not alone. Elsewhere it stays as an index wants it.
func (c *compiler) certain(condition string) string {
	if c.nots == 0 {
		return condition
	}
	return "coalesce(" + condition + ", 1 = 0)"
}

// indexed returns the condition that an index answers for a comparison, "" if
// there is none.
func (c *compiler) indexed(e *filter.Compare) string {
	ordered := e.Ordered()
	if e.Op != filter.Eq || e.Value.IsNull() || ordered == "" || !storable(ordered) {
		return "" // the empty text is in no index
	}
	k, a := c.kind, e.Attr
	var column string
	switch {
	case a == k.userName:
		column = "r.user_key"
	case a == k.typ.ExternalID:
		column = "r.external_key"
	case a == k.displayName:
		column = "r.display_key"
	case a == k.active:
		if e.Value.Bool() {
			return c.certain("r.active = (1 = 1)")
		}
		return c.certain("r.active = (1 = 0)")
	case k.groups != nil && a == k.groups.ValueSub():
		return `r.id IN (SELECT m.member_id FROM @members m WHERE m.tenant = $1::text AND m.directory = $2::text AND m.group_id = ` + c.text(ordered) + ` AND m.member_type = $3::text)`
	case k.members != nil && a == k.members.ValueSub():
		return `r.id IN (SELECT m.group_id FROM @members m WHERE m.tenant = $1::text AND m.directory = $2::text AND m.member_id = ` + c.text(ordered) + `)`
	case k.index(a) != nil:
		return `r.id IN (SELECT i.id FROM @indexed_values i WHERE i.tenant = $1::text AND i.directory = $2::text AND i.type = $3::text AND i.attribute = ` +
			c.text(a.Path()) + ` AND i.key = ` + c.text(indexKey(ordered)) + `)`
	default:
		return ""
	}
	return c.certain(column + " = " + c.text(indexKey(ordered)))
}

// compareMeta compares what stands in columns.
func (c *compiler) compareMeta(e *filter.Compare) string {
	var column string
	switch e.Attr.Name {
	case "created":
		column = "r.created"
	case "lastModified":
		column = "r.modified"
	case "resourceType":
		return constant(e.Holds(c.kind.typ.Name))
	case "version":
		return c.holds(`('W/"' || CAST(r.version AS text) || '"')`, e)
	case "location":
		return constant(e.HoldsNone())
	default:
		return constant(!e.HoldsNone()) // meta itself, which is never null
	}
	t := e.Value.Time()
	ms := t.UnixMilli() // rounded down
	between := t.Nanosecond()%1e6 != 0
	operator := map[filter.Op]string{filter.Eq: " = ", filter.Ne: " <> ", filter.Gt: " > ", filter.Ge: " >= ", filter.Lt: " < ", filter.Le: " <= "}[e.Op]
	if between {
		switch e.Op {
		case filter.Eq, filter.Ne:
			return constant(e.Op == filter.Ne)
		case filter.Gt, filter.Ge:
			operator = " > "
		case filter.Lt, filter.Le, filter.Co, filter.Sw, filter.Ew:
			operator = " <= "
		}
	}
	return column + operator + c.number(ms)
}

// present returns the condition that an attribute has a value which is not the
// empty text. What a client may not see does not count.
func (c *compiler) present(a *attr.Attribute, in *elements) string {
	t := c.kind.typ
	switch {
	case in != nil:
		return c.filledIn(a, in)
	case a.Within(t.Meta):
		return constant(a.Name != "location")
	case a == t.ID:
		return "(r.id <> '')"
	case a.Parent != nil && a.Parent.MultiValued:
		from := c.elements(a.Parent)
		return "EXISTS (SELECT 1" + from.from + " AND " + c.filledIn(a, &from) + ")"
	}
	return c.filled(a)
}

func (c *compiler) filled(a *attr.Attribute) string {
	switch {
	case a.MultiValued && a.Kind == attr.Complex:
		from := c.elements(a)
		return "EXISTS (SELECT 1" + from.from + " AND " + c.anyOf(a.Subs, func(sub *attr.Attribute) string { return c.filledIn(sub, &from) }) + ")"
	case a.MultiValued:
		from := c.elements(a)
		return "EXISTS (SELECT 1" + from.from + " AND " + from.value + " <> '')"
	case a.Kind == attr.Complex:
		return c.anyOf(a.Subs, c.filled)
	}
	return "coalesce(" + c.leaf(a) + " <> '', 1 = 0)"
}

// filledIn is filled of one element.
func (c *compiler) filledIn(a *attr.Attribute, in *elements) string {
	if a.MultiValued {
		from := in.list(a)
		return "EXISTS (SELECT 1" + from.from + " AND " + from.value + " <> '')"
	}
	return "coalesce(" + in.sub(a) + " <> '', 1 = 0)"
}

// anyOf joins conditions about the attributes that a client may see.
func (c *compiler) anyOf(all []*attr.Attribute, condition func(*attr.Attribute) string) string {
	conditions := []string{never}
	for _, a := range all {
		if a.Returned != attr.Never && a.Mutability != attr.WriteOnly && !a.Dropped {
			conditions = append(conditions, condition(a))
		}
	}
	return "(" + strings.Join(conditions, " OR ") + ")"
}

// valuePath returns the condition that one value of a complex attribute matches.
func (c *compiler) valuePath(e *filter.ValuePath) string {
	switch {
	case e.Attr == c.kind.typ.Meta:
		return c.expr(e.Filter, nil)
	case e.Attr.MultiValued:
		from := c.elements(e.Attr)
		return "EXISTS (SELECT 1" + from.from + " AND " + c.expr(e.Filter, &from) + ")"
	}
	return "(" + c.exists(e.Attr) + " AND " + c.expr(e.Filter, nil) + ")"
}

// exists returns the condition that a single complex value is there at all.
func (c *compiler) exists(a *attr.Attribute) string {
	var conditions []string
	for _, sub := range a.Subs {
		switch {
		case sub.Kind == attr.Complex && !sub.MultiValued:
			conditions = append(conditions, c.exists(sub))
		case sub.MultiValued:
			from := c.elements(sub)
			conditions = append(conditions, "EXISTS (SELECT 1"+from.from+")")
		default:
			conditions = append(conditions, c.leaf(sub)+" IS NOT NULL")
		}
	}
	return "(" + strings.Join(append(conditions, never), " OR ") + ")"
}

// leaf returns the text of a single value of the search document.
func (c *compiler) leaf(a *attr.Attribute) string {
	if a == c.kind.typ.ID {
		return "r.id"
	}
	return c.member("r.search", a.Path())
}

// member returns the text of that name in an object of JSON.
func (c *compiler) member(object, name string) string {
	return "(" + object + "->>" + c.name(name) + ")"
}

// name makes a parameter of a name in an object of JSON: as it is, or as a path.
func (c *compiler) name(name string) string {
	if c.Dialect == SQLite {
		name = `$."` + name + `"`
	}
	return c.text(name)
}

// elements are the values of a multi-valued attribute.
type elements struct {
	from  string // " FROM … WHERE …"
	value string // the text of a simple one
	place string // what they are in order by
	sub   func(*attr.Attribute) string
	list  func(*attr.Attribute) elements // of a multi-valued sub-attribute
}

// elements returns the values of a list of the resource.
func (c *compiler) elements(a *attr.Attribute) elements {
	switch {
	case c.kind.groups != nil && a == c.kind.groups:
		return c.related(`g.type = 'Group' AND g.id = m.group_id AND m.tenant = $1::text AND m.directory = $2::text AND m.member_id = r.id AND m.member_type = $3::text`, "m.group_id", "'direct'", "'direct'")
	case c.kind.members != nil && a == c.kind.members:
		return c.related(`g.type = m.member_type AND g.id = m.member_id AND m.tenant = $1::text AND m.directory = $2::text AND m.group_id = r.id`, "m.member_id", "m.member_type", "lower(m.member_type)")
	}
	return c.unfold("r.search", a.Path(), a.Kind == attr.Complex)
}

// unfold returns the elements of a list in an object of JSON.
func (c *compiler) unfold(object, name string, complex bool) elements {
	c.made++
	e := "e" + strconv.Itoa(c.made)
	from := elements{value: e + ".value"}
	switch {
	case c.Dialect == SQLite:
		from.from = " FROM json_each(" + object + ", " + c.name(name) + ") " + e + " WHERE " + always
		from.place = e + ".key"
	case complex:
		from.from = " FROM jsonb_array_elements(" + object + "->" + c.name(name) + ") WITH ORDINALITY " + e + "(value, place) WHERE " + always
		from.place = e + ".place"
	default:
		from.from = " FROM jsonb_array_elements_text(" + object + "->" + c.name(name) + ") WITH ORDINALITY " + e + "(value, place) WHERE " + always
		from.place = e + ".place"
	}
	from.sub = func(a *attr.Attribute) string { return c.member(e+".value", a.Name) }
	from.list = func(a *attr.Attribute) elements { return c.unfold(e+".value", a.Name, false) }
	return from
}

// related returns the groups of a user or the members of a group as values,
// with the sub-attributes that [patch.Member] has.
func (c *compiler) related(join, id, typ, foldedType string) elements {
	from := elements{
		from:  ` FROM @members m CROSS JOIN @resources g WHERE g.tenant = $1::text AND g.directory = $2::text AND ` + join,
		value: "''", place: id,
	}
	from.sub = func(sub *attr.Attribute) string {
		pick := func(exact, folded string) string {
			if sub.CaseExact {
				return exact
			}
			return folded
		}
		switch strings.ToLower(sub.Name) {
		case "value":
			return id
		case "type":
			return pick(typ, foldedType)
		case "display":
			return pick("nullif(g.display, '')", "nullif(g.display_fold, '')")
		}
		return "CAST(NULL AS text)"
	}
	from.list = func(*attr.Attribute) elements {
		return elements{from: " FROM @members m WHERE " + never, value: "''", place: "m.member_id"}
	}
	return from
}
