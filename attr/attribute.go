package attr

import "strings"

// Kind is the data type of an attribute, RFC 7643 section 2.3.
type Kind uint8

// The data types of RFC 7643 section 2.3.
const (
	String Kind = iota
	Boolean
	Integer
	Decimal
	DateTime
	Reference
	Binary
	Complex
)

var kindNames = [...]string{"string", "boolean", "integer", "decimal", "dateTime", "reference", "binary", "complex"}

// String returns the type's name as RFC 7643 section 7 spells it.
func (k Kind) String() string { return kindNames[k] }

// Mutability says when a value may be (re)defined, RFC 7643 section 7.
type Mutability uint8

// The mutabilities of RFC 7643 section 7.
const (
	ReadWrite Mutability = iota
	ReadOnly
	Immutable
	WriteOnly
)

var mutabilityNames = [...]string{"readWrite", "readOnly", "immutable", "writeOnly"}

// String returns the keyword of RFC 7643 section 7.
func (m Mutability) String() string { return mutabilityNames[m] }

// Returned says when an attribute is part of an answer, RFC 7643 section 7.
type Returned uint8

// The keywords of RFC 7643 section 7.
const (
	Default Returned = iota
	Always
	Never
	Request
)

var returnedNames = [...]string{"default", "always", "never", "request"}

// String returns the keyword of RFC 7643 section 7.
func (r Returned) String() string { return returnedNames[r] }

// Unique says how far a value must be unique, RFC 7643 section 7.
type Unique uint8

// The keywords of RFC 7643 section 7.
const (
	NotUnique Unique = iota
	UniqueServer
	UniqueGlobal
)

var uniqueNames = [...]string{"none", "server", "global"}

// String returns the keyword of RFC 7643 section 7.
func (u Unique) String() string { return uniqueNames[u] }

// An Attribute is one attribute of a resource type, resolved: it knows where
// in the document it stands, so a pointer to it is a whole path. Attributes
// belong to a [Type], are never changed and may be compared as pointers.
//
// An extension is a complex attribute whose name is its URN, so that documents,
// paths and filters need no case of their own for it.
type Attribute struct {
	Name            string
	Description     string
	Kind            Kind
	MultiValued     bool
	CaseExact       bool
	Required        bool
	Extension       bool // the container of an extension
	Dropped         bool // values are read and forgotten: the password of RFC 7643 section 4.1.1
	Mutability      Mutability
	Returned        Returned
	Uniqueness      Unique
	CanonicalValues []string
	ReferenceTypes  []string

	Parent *Attribute   // nil for what stands at the top of the document
	Subs   []*Attribute // of a complex attribute, in schema order

	index uint16 // in Type.all
	last  uint16 // index of the last descendant
	key   string // the name as it stands in a document: "name":
	names nameTable

	primary  *Attribute   // the sub-attribute of that name, RFC 7643 section 2.4
	value    *Attribute   // the sub-attribute of that name, likewise
	required bool         // a sub-attribute is required
	kept     []*Attribute // see Kept
}

// ValueSub returns the sub-attribute "value" of a complex attribute, which
// stands for the whole (RFC 7643 section 2.4), or nil.
func (a *Attribute) ValueSub() *Attribute { return a.value }

// PrimarySub returns the sub-attribute "primary" of a multi-valued complex
// attribute, or nil.
func (a *Attribute) PrimarySub() *Attribute { return a.primary }

// Kept returns the sub-attributes that a client cannot replace as it likes, or
// that have such below them: read-only and immutable ones. Of the document id
// and meta are not among them, which are about it and not in it. There are few,
// and of most attributes none.
func (a *Attribute) Kept() []*Attribute { return a.kept }

// Sub returns the sub-attribute of that name, case ignored (RFC 7643 section
// 2.1), or nil.
func (a *Attribute) Sub(name string) *Attribute { return a.names.find(name) }

// Index numbers the attributes of a type from 1 in schema order; the document
// itself is 0.
func (a *Attribute) Index() int { return int(a.index) }

// Within reports whether a is b or below it.
func (a *Attribute) Within(b *Attribute) bool { return b.index <= a.index && a.index <= b.last }

// Path returns the full path as RFC 7644 section 3.10 writes it: "userName",
// "name.givenName", "urn:…:User:manager.value".
func (a *Attribute) Path() string {
	switch {
	case a.Parent == nil:
		return a.Name
	case a.Parent.Extension:
		return a.Parent.Name + ":" + a.Name
	}
	return a.Parent.Path() + "." + a.Name
}

// Textual reports whether values of the attribute are JSON strings.
func (a *Attribute) Textual() bool {
	switch a.Kind {
	case String, DateTime, Reference, Binary:
		return true
	case Boolean, Integer, Decimal, Complex:
	}
	return false
}

// A nameTable finds an attribute by its name without allocating: open
// addressing over the length and three letters. Names of a schema are few and
// different, so nearly every probe is the first.
type nameTable struct {
	slots []*Attribute
	mask  uint32
}

func newNameTable(attributes []*Attribute) nameTable {
	size := 4
	for size < 3*len(attributes) {
		size *= 2
	}
	t := nameTable{make([]*Attribute, size), uint32(size - 1)}
	for _, a := range attributes {
		i := nameHash(a.Name) & t.mask
		for t.slots[i] != nil {
			i = (i + 1) & t.mask
		}
		t.slots[i] = a
	}
	return t
}

func (t *nameTable) find(name string) *Attribute {
	if len(t.slots) == 0 || name == "" {
		return nil
	}
	for i := nameHash(name) & t.mask; ; i = (i + 1) & t.mask {
		a := t.slots[i]
		if a == nil || a.Name == name || len(a.Name) == len(name) && strings.EqualFold(a.Name, name) {
			return a
		}
	}
}

// nameHash ignores the case of ASCII letters, of which names consist.
func nameHash(s string) uint32 {
	n := len(s)
	return uint32(n)*0x9e3779b1 ^ uint32(s[0]|0x20)*31 ^ uint32(s[n/2]|0x20)*1021 ^ uint32(s[n-1]|0x20)*65599
}
