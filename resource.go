package scim

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/muster-id/scim/attr"
)

// A Key says whose a resource is. Every key in a store begins with it.
type Key struct {
	Tenant    string // the host's customer
	Directory string // one connection of the tenant to its identity provider
}

// A Ref names one resource.
type Ref struct {
	Directory Key
	Type      string // "User", "Group" …
	ID        string
}

// A Version is a resource's version, RFC 7644 section 3.14: it grows with
// every change. 0 is no version; where a version is expected it means any.
type Version uint64

// ETag returns the version as HTTP and meta.version have it: weak, because a
// projection of the resource has the same version.
func (v Version) ETag() string { return `W/"` + strconv.FormatUint(uint64(v), 10) + `"` }

// Meta is what the service provider keeps about a resource, RFC 7643 section
// 3.1. Times are kept to the millisecond.
type Meta struct {
	Created      time.Time
	LastModified time.Time
	Version      Version
}

// A Resource is a user, a group or a resource of a custom type, as the
// provider described it: attributes resolved against the schemas of its
// [ResourceType]. It is immutable and safe for concurrent use.
type Resource struct {
	typ               *ResourceType
	key               Key
	id                string // a view of doc
	doc               attr.Stored
	created, modified int64 // Unix milliseconds
	version           Version
	active            bool // of a user; nearly every rule asks
}

// Type returns the resource's type.
func (r *Resource) Type() *ResourceType { return r.typ }

// ID returns the service provider's identifier, RFC 7643 section 3.1.
func (r *Resource) ID() string { return r.id }

// Directory returns whose resource it is.
func (r *Resource) Directory() Key { return r.key }

// Ref names the resource.
func (r *Resource) Ref() Ref { return Ref{r.key, r.typ.Name, r.id} }

// ExternalID returns the provider's identifier, or "".
func (r *Resource) ExternalID() string { return r.doc.Value().Get(r.typ.ExternalID).Text() }

// Version returns the resource's version.
func (r *Resource) Version() Version { return r.version }

// Meta returns what is kept about the resource.
func (r *Resource) Meta() Meta {
	return Meta{time.UnixMilli(r.created).UTC(), time.UnixMilli(r.modified).UTC(), r.version}
}

// Doc returns the attributes, to read and to match. Members of a group kept by
// a [MemberStore], the groups of a user and meta are not among them.
func (r *Resource) Doc() attr.Value { return r.doc.Value() }

// Text returns the value of the attribute with that path (RFC 7644 section
// 3.10), of the first value where it is multi-valued, and whether there is one.
func (r *Resource) Text(path string) (string, bool) {
	a, _ := r.typ.Lookup(path, attr.ShortExtensionPath)
	if a == nil {
		return "", false
	}
	v := r.Doc().At(a)
	if v.IsList() {
		v = v.First()
	}
	return v.Text(), v.Exists()
}

// Bool returns the value of a boolean attribute, and whether there is one.
func (r *Resource) Bool(path string) (value, ok bool) {
	s, ok := r.Text(path)
	return s == "true", ok
}

// Decode decodes an attribute into a Go value as encoding/json does: an
// extension into the host's struct, by its URN; the whole resource, with id and
// meta, where path is "". An attribute without value leaves v alone. What a
// [MemberStore] keeps apart, and the groups of a user, are not there, nor is
// meta.location, which depends on where the service is reached.
func (r *Resource) Decode(path string, v any) error {
	if path == "" {
		whole, err := r.MarshalJSON()
		if err != nil {
			return err
		}
		return json.Unmarshal(whole, v)
	}
	a, _ := r.typ.Lookup(path, attr.ShortExtensionPath)
	if a != nil && a.Within(r.typ.Meta) {
		return fmt.Errorf("scim: %s is not an attribute of the document; Meta returns it", a.Path())
	}
	if a == nil {
		return fmt.Errorf("scim: %s has no attribute %s", r.typ.Name, attr.Quote(path))
	}
	at := r.Doc().At(a)
	if !at.Exists() {
		return nil
	}
	return json.Unmarshal([]byte(at.JSON()), v)
}

// JSON returns the canonical JSON of the attributes: what a store keeps and
// [Types.Decode] reads. meta is not part of it.
func (r *Resource) JSON() string { return r.doc.JSON() }

// MarshalJSON returns the resource with its meta, without location.
func (r *Resource) MarshalJSON() ([]byte, error) {
	if r == nil || r.typ == nil {
		return []byte("null"), nil
	}
	b := r.doc.AppendOpen(nil, nil)
	return append(r.appendMeta(b, nil), '}'), nil
}

// Value implements [driver.Valuer]: the JSON as a string, for a column of the
// document beside columns of id, version and times.
func (r *Resource) Value() (driver.Value, error) {
	if r == nil || r.typ == nil {
		return nil, nil
	}
	return r.doc.JSON(), nil
}

// Scan implements [sql.Scanner] for a resource made by [Types.Scan].
func (r *Resource) Scan(src any) error {
	if r.typ == nil {
		return errors.New("scim: scan into a resource of Types.Scan")
	}
	var body []byte
	switch src := src.(type) {
	case string:
		body = []byte(src)
	case []byte:
		body = src
	default:
		return fmt.Errorf("scim: cannot scan %T into a resource", src)
	}
	doc, err := decodeStored(r.typ, body)
	if err != nil {
		return err
	}
	r.doc = doc
	r.read()
	return nil
}

// Scan returns an empty resource of the type, to be given to the Scan of a
// database row. It panics if the registry has no such type.
func (t *Types) Scan(key Key, typ string) *Resource {
	rt := t.byName[typ]
	if rt == nil {
		panic("scim: no resource type " + strconv.Quote(typ))
	}
	return &Resource{typ: rt, key: key}
}

// Decode reads the JSON of a stored resource, as [Resource.JSON] returned it.
func (t *Types) Decode(key Key, typ string, body []byte, meta Meta) (*Resource, error) {
	rt := t.byName[typ]
	if rt == nil {
		return nil, fmt.Errorf("scim: no resource type %q", typ)
	}
	doc, err := decodeStored(rt, body)
	if err != nil {
		return nil, err
	}
	return newResource(rt, key, doc).WithMeta(meta), nil
}

func decodeStored(rt *ResourceType, body []byte) (attr.Stored, error) {
	doc := attr.NewDoc(rt.Type)
	defer doc.Release()
	if err := doc.DecodeStored(body); err != nil {
		return attr.Stored{}, err
	}
	return doc.Freeze(), nil
}

func newResource(rt *ResourceType, key Key, doc attr.Stored) *Resource {
	r := &Resource{typ: rt, key: key, doc: doc}
	r.read()
	return r
}

// read notes what is asked of the document most often.
func (r *Resource) read() {
	r.id = r.doc.ID()
	if a := r.typ.active; a != nil {
		v := r.doc.Value().Get(a)
		r.active = !v.Exists() || v.Bool()
	}
}

// WithMeta returns the resource with another meta. A store calls it in Create
// and Replace.
func (r *Resource) WithMeta(m Meta) *Resource {
	c := *r
	c.created, c.modified, c.version = m.Created.UnixMilli(), m.LastModified.UnixMilli(), m.Version
	return &c
}

// A Builder makes a resource of single values, for a store that keeps them in
// columns of its own. The first error sticks and is returned by Resource.
type Builder struct {
	typ  *ResourceType
	key  Key
	doc  *attr.Doc
	meta Meta
	err  error
}

// New returns a builder for a resource of the type.
func (t *Types) New(key Key, typ string) *Builder {
	b := &Builder{typ: t.byName[typ], key: key}
	if b.typ == nil {
		b.err = fmt.Errorf("scim: no resource type %q", typ)
		return b
	}
	b.doc = attr.NewDoc(b.typ.Type)
	return b
}

// ID sets the identifier.
func (b *Builder) ID(id string) *Builder {
	if b.err == nil {
		b.doc.Root().Put(b.doc.Text(b.typ.ID, id))
	}
	return b
}

// Meta sets times and version.
func (b *Builder) Meta(m Meta) *Builder {
	b.meta = m
	return b
}

// Set sets the attribute with that path to what value is in JSON: a string, a
// bool, a number, a time, a slice, a map or a struct with JSON tags; an
// extension as a whole by its URN. An empty string, nil and an empty slice make
// it unassigned. Read-only attributes are set like others. schemas and meta are
// not set: the one follows from the values, the other is [Builder.Meta]'s.
func (b *Builder) Set(path string, value any) *Builder {
	if b.err != nil {
		return b
	}
	a, _ := b.typ.Lookup(path, attr.ShortExtensionPath)
	if a == nil {
		b.err = fmt.Errorf("scim: %s has no attribute %s", b.typ.Name, attr.Quote(path))
		return b
	}
	raw, err := json.Marshal(value)
	if err != nil {
		b.err = fmt.Errorf("scim: %s: %w", path, err)
		return b
	}
	n, err := b.doc.DecodeOwn(raw, a)
	if err != nil {
		b.err = fmt.Errorf("scim: %s: set %s: %w", b.typ.Name, a.Path(), err)
		return b
	}
	if a.Within(b.typ.Meta) || a == b.typ.Schemas {
		b.err = fmt.Errorf("scim: %s is not set: schemas follow from the values, and Meta sets the rest", a.Path())
		return b
	}
	at := b.doc.Root()
	var way []*attr.Attribute
	for p := a.Parent; p != nil; p = p.Parent {
		way = append(way, p)
	}
	for i := len(way) - 1; i >= 0; i-- {
		if way[i].MultiValued {
			b.err = fmt.Errorf("scim: set %s as a whole, not %s", way[i].Path(), path)
			return b
		}
		c := at.Child(way[i])
		if c == nil && n == nil {
			return b
		}
		if c == nil {
			c = b.doc.Object(way[i])
			at.Put(c)
		}
		at = c
	}
	if n == nil {
		at.Remove(a)
		return b
	}
	at.Put(n)
	return b
}

// Resource returns the resource. A builder makes one: what is called afterwards
// has no effect but an error.
func (b *Builder) Resource() (*Resource, error) {
	if b.doc != nil {
		defer func() {
			b.doc.Release()
			b.doc, b.err = nil, errors.New("scim: a Builder makes one resource")
		}()
	}
	if b.err != nil {
		return nil, b.err
	}
	return newResource(b.typ, b.key, b.doc.Freeze()).WithMeta(b.meta), nil
}
