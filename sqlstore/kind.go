package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/internal/wire"
)

// The types that the rules speak of, see [scim.ResourceType].
const (
	userType  = "User"
	groupType = "Group"
)

// A kind is a resource type as the store sees it: which of its attributes have
// columns and rows of their own.
type kind struct {
	typ    *scim.ResourceType
	number int // in Store.kinds

	userName, displayName, active *attr.Attribute // nil where the type has none
	groups, members               *attr.Attribute
	indexed                       []indexed // with rows in indexed_values
}

// indexed is an attribute with rows in indexed_values.
type indexed struct {
	attr   *attr.Attribute
	unique bool
}

func newKind(t *scim.ResourceType, number int) *kind {
	find := func(path string) *attr.Attribute {
		a, _ := t.Lookup(path, attr.Strict)
		return a
	}
	k := &kind{typ: t, number: number, members: t.Members()}
	if a := find("displayName"); a != nil && textual(a) && !a.MultiValued {
		k.displayName = a
	}
	if t.IsUser() {
		k.userName, k.active, k.groups = find("userName"), find("active"), find("groups")
		if a := find("emails.value"); a != nil && textual(a) {
			k.indexed = append(k.indexed, indexed{attr: a})
		}
	}
	for _, a := range t.Unique() {
		switch i := k.index(a); {
		case a == t.ID, a == t.ExternalID, a == k.userName:
		case i != nil:
			i.unique = true
		default:
			k.indexed = append(k.indexed, indexed{a, true})
		}
	}
	return k
}

func textual(a *attr.Attribute) bool { return a.Kind == attr.String || a.Kind == attr.Reference }

// index returns how an attribute is indexed, nil if it is not.
func (k *kind) index(a *attr.Attribute) *indexed {
	for i := range k.indexed {
		if k.indexed[i].attr == a {
			return &k.indexed[i]
		}
	}
	return nil
}

// longest is how many bytes of a text an index has: a page of it would not take
// what attributes may have.
const longest = 400

// indexKey returns what an index has for a text: the text or, of a long one, its
// beginning and a digest. It is longer then than any text that is kept as it is.
func indexKey(text string) string {
	if len(text) <= longest {
		return text
	}
	cut := longest
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	digest := sha256.Sum256([]byte(text))
	return text[:cut] + hex.EncodeToString(digest[:])
}

// keyColumn returns what a column with an index has for a text: nothing for
// none, because the empty text is nobody's name.
func keyColumn(text string) any {
	if text == "" {
		return nil
	}
	return indexKey(text)
}

// A row is what is stored of a resource beside version and times.
type row struct {
	active                         any // bool or nil
	userKey, externalKey, nameKey  any // string or nil
	externalID, display, searchDoc string
	values                         []value
}

// A value is a row of indexed_values.
type value struct {
	attribute string
	key       string
	only      bool
}

func (k *kind) row(r *scim.Resource) row {
	doc := r.Doc()
	one := func(a *attr.Attribute) string {
		if a == nil {
			return ""
		}
		return doc.At(a).Text()
	}
	key := func(a *attr.Attribute) any {
		if text := one(a); text != "" {
			return keyColumn(filter.Ordered(a, text))
		}
		return nil
	}
	w := row{externalID: r.ExternalID(), display: k.display(r), searchDoc: string(appendSearch(nil, doc))}
	w.userKey, w.externalKey, w.nameKey = key(k.userName), key(k.typ.ExternalID), key(k.displayName)
	if k.active != nil {
		if v := doc.Get(k.active); v.Exists() {
			w.active = v.Bool()
		}
	}
	for i := range k.indexed {
		w.values = k.indexed[i].values(w.values, doc)
	}
	return w
}

// values appends the rows of the attribute, each value once.
func (i *indexed) values(all []value, doc attr.Value) []value {
	path, start := i.attr.Path(), len(all)
next:
	for v := range doc.All(i.attr) {
		text := v.Text()
		if text == "" {
			continue
		}
		key := indexKey(filter.Ordered(i.attr, text))
		for _, other := range all[start:] {
			if other.key == key {
				continue next
			}
		}
		all = append(all, value{path, key, i.unique})
	}
	return all
}

// display returns what a resource is called as a member.
func (k *kind) display(r *scim.Resource) string {
	doc, name := r.Doc(), ""
	if k.displayName != nil {
		name = doc.Get(k.displayName).Text()
	}
	if name == "" && k.userName != nil {
		name = doc.Get(k.userName).Text()
	}
	return name
}

// appendSearch appends the search document: an object in which every attribute
// has its path as its name. Single complex values are left out for what is in
// them; those of a list are objects, with short names.
func appendSearch(b []byte, doc attr.Value) []byte {
	b = append(b, '{')
	return append(appendLeaves(b, doc, (*attr.Attribute).Path), '}')
}

func appendLeaves(b []byte, v attr.Value, name func(*attr.Attribute) string) []byte {
	for c := v.First(); c.Exists(); c = c.Next() {
		a := c.Attr()
		if !c.IsList() && a.Kind == attr.Complex {
			b = appendLeaves(b, c, name)
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b, _ = wire.AppendString(b, name(a))
		b = append(b, ':')
		if !c.IsList() {
			b, _ = wire.AppendString(b, filter.Ordered(a, c.Text()))
			continue
		}
		b = append(b, '[')
		for e := c.First(); e.Exists(); e = e.Next() {
			if b[len(b)-1] != '[' {
				b = append(b, ',')
			}
			if a.Kind == attr.Complex {
				b = append(b, '{')
				b = appendLeaves(b, e, func(a *attr.Attribute) string { return a.Name })
				b = append(b, '}')
			} else {
				b, _ = wire.AppendString(b, filter.Ordered(a, e.Text()))
			}
		}
		b = append(b, ']')
	}
	return b
}

// list returns texts as an array in JSON: a parameter for any number of them.
// Texts that the database cannot have are left out.
func list(texts []string) string {
	b := append(make([]byte, 0, 40*len(texts)+2), '[')
	for _, text := range texts {
		if storable(text) {
			b, _ = wire.AppendString(append(b, separator(b)...), text)
		}
	}
	return string(append(b, ']'))
}

func separator(b []byte) string {
	if b[len(b)-1] == '[' {
		return ""
	}
	return ","
}
