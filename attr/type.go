package attr

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/elimity-com/scim/schema"
)

// An Extension is a schema that extends a resource type, RFC 7643 section 3.3.
type Extension struct {
	Schema   schema.Schema
	Required bool
}

// A Type is a resource type: its schemas, resolved into attributes that know
// their place. It is immutable and safe for concurrent use.
type Type struct {
	Name        string // "User"
	Endpoint    string // "/Users"
	Description string
	Schema      schema.Schema
	Extensions  []Extension

	// The attributes that every resource has, RFC 7643 section 3.1.
	Schemas, ID, ExternalID, Meta *Attribute

	all    []*Attribute // by index; all[0] is the document
	hidden []bool       // by index: returned "never" or "request"
}

// NewType resolves the schemas of a resource type. Schemas are identified by
// URNs, attributes are as [ParseSchema] wants them, and a type has at most
// 65,000 of them. Name and endpoint, behind its slash, consist of letters,
// digits, "-", ".", "_" and "~". What core lists of the common attributes is
// passed over, as RFC 7643 section 3.1 has it.
func NewType(name, endpoint, description string, core schema.Schema, extensions ...Extension) (*Type, error) {
	t := &Type{Name: name, Endpoint: endpoint, Description: description, Schema: core, Extensions: extensions}
	if name == "" {
		return nil, errors.New("attr: a resource type needs a name")
	}
	if !plainSegment(name) {
		return nil, fmt.Errorf("attr: resource type %q: the name must be of letters, digits, -, ., _ and ~, for it stands in URLs", name)
	}
	if len(endpoint) < 2 || endpoint[0] != '/' || !plainSegment(endpoint[1:]) {
		return nil, fmt.Errorf("attr: resource type %q: the endpoint must be a slash and one path segment, not %q", name, endpoint)
	}
	root := &Attribute{Kind: Complex}
	if !validURN(core.ID) {
		return nil, fmt.Errorf("attr: resource type %q: the schema %q is not identified by a URN", name, core.ID)
	}
	own := convert(core.Attributes)
	if err := check(nil, own); err != nil {
		return nil, fmt.Errorf("attr: resource type %q: schema %s: %w", name, core.ID, err)
	}
	root.Subs = append(commonAttributes(), slices.DeleteFunc(own, (*Attribute).common)...)
	for _, e := range extensions {
		switch {
		case !validURN(e.Schema.ID):
			return nil, fmt.Errorf("attr: resource type %q: the extension %q is not identified by a URN", name, e.Schema.ID)
		case strings.EqualFold(e.Schema.ID, core.ID):
			return nil, fmt.Errorf("attr: resource type %q: the schema %q cannot extend itself", name, core.ID)
		}
		own := convert(e.Schema.Attributes)
		if err := check(nil, own); err != nil {
			return nil, fmt.Errorf("attr: resource type %q: schema %s: %w", name, e.Schema.ID, err)
		}
		root.Subs = append(root.Subs, &Attribute{
			Name: e.Schema.ID, Description: e.Schema.Description.Value(), Kind: Complex,
			Extension: true, Required: e.Required, Subs: own,
		})
	}
	root.Subs = append(root.Subs, metaAttribute())
	if err := t.link(root); err != nil {
		return nil, fmt.Errorf("attr: resource type %q: %w", name, err)
	}
	for _, a := range root.Subs {
		a.Parent = nil // the document is not part of a path
	}
	t.Schemas, t.ID, t.ExternalID, t.Meta = root.Sub("schemas"), root.Sub("id"), root.Sub("externalId"), root.Sub("meta")
	root.kept = slices.DeleteFunc(root.kept, func(a *Attribute) bool { return a == t.ID || a == t.Meta })
	if core.ID == schema.UserSchema {
		if password := t.find("password"); password != nil {
			password.Dropped = true
		}
	}
	for _, reference := range []string{"members", "groups"} {
		// The identifier of a resource is compared exactly wherever it stands
		// (RFC 7643 section 3.1), whatever the RFC's listing says of these two.
		if value := t.find(reference + ".value"); value != nil {
			value.CaseExact = true
		}
	}
	return t, nil
}

// link numbers the attributes in schema order and builds the name tables.
func (t *Type) link(a *Attribute) error {
	if len(t.all) > 65000 {
		return errors.New("more than 65,000 attributes")
	}
	a.index = uint16(len(t.all))
	t.all = append(t.all, a)
	t.hidden = append(t.hidden, a.Returned == Never || a.Returned == Request)
	key, _ := appendKey(nil, a.Name)
	a.key = string(key)
	a.names = newNameTable(a.Subs)
	for _, sub := range a.Subs {
		if a.names.find(sub.Name) != sub {
			return fmt.Errorf("the attribute %q is defined twice", sub.Name)
		}
		sub.Parent = a
		a.required = a.required || sub.Required && sub.Mutability != ReadOnly
		if err := t.link(sub); err != nil {
			return err
		}
	}
	for _, sub := range a.Subs {
		if sub.Mutability == ReadOnly || sub.Mutability == Immutable || sub.kept != nil {
			a.kept = append(a.kept, sub)
		}
	}
	a.last = uint16(len(t.all) - 1)
	a.value = a.Sub("value")
	if p := a.Sub("primary"); p != nil && p.Kind == Boolean && a.MultiValued {
		a.primary = p
	}
	return nil
}

// Root returns the pseudo-attribute that stands for the whole document: its
// Subs are the attributes at the top.
func (t *Type) Root() *Attribute { return t.all[0] }

// Attributes returns all attributes in schema order, the document first. The
// caller must not change the slice.
func (t *Type) Attributes() []*Attribute { return t.all }

// find resolves a path that is known to be well-formed, such as "name.givenName".
func (t *Type) find(path string) *Attribute {
	a, _ := t.Lookup(path, Strict)
	return a
}

// Lookup resolves an attribute path of RFC 7644 section 3.10 without value
// filter: "userName", "name.givenName", "urn:…:User:manager.value", the URN of
// an extension, and names qualified by the URN of the type's own schema. Case
// is ignored. With [ShortExtensionPath] the bare name of an extension's
// attribute is found too if only one extension has it; fired then says so. It
// returns nil for what the type does not have.
func (t *Type) Lookup(path string, l Lenience) (_ *Attribute, fired Lenience) {
	at, rest := t.all[0], path
	if isURN(path) {
		if at, rest = t.cutURN(path); at == nil || rest == "" {
			return at, 0
		}
	}
	name, sub, dotted := strings.Cut(rest, ".")
	found := at.Sub(name)
	if found == nil && at == t.all[0] && l.Has(ShortExtensionPath) {
		found, fired = t.short(name), ShortExtensionPath
	}
	if found != nil && dotted {
		found = found.Sub(sub)
	}
	if found == nil {
		return nil, 0
	}
	return found, fired
}

// cutURN splits the schema off a path. URNs contain dots and colons, and one
// may begin with another, so the schemas of the type are tried, not the
// punctuation, and the longest that fits is the one. The rest is empty where
// the path is the URN of an extension.
func (t *Type) cutURN(path string) (in *Attribute, rest string) {
	length := 0
	try := func(a *Attribute, urn string) {
		n := len(urn)
		if n > length && len(path) >= n && strings.EqualFold(path[:n], urn) && (len(path) == n || path[n] == ':') {
			in, length = a, n
		}
	}
	try(t.all[0], t.Schema.ID)
	for _, a := range t.all[0].Subs {
		if a.Extension {
			try(a, a.Name)
		}
	}
	switch {
	case in == nil:
		return nil, ""
	case len(path) > length+1:
		return in, path[length+1:]
	case len(path) == length && in.Extension:
		return in, ""
	}
	return nil, ""
}

// schema finds the schema with that URN: the document for the type's own, the
// container of an extension, or nil.
func (t *Type) schema(urn string) *Attribute {
	if urn == t.Schema.ID || strings.EqualFold(urn, t.Schema.ID) {
		return t.all[0]
	}
	if a := t.all[0].Sub(urn); a != nil && a.Extension {
		return a
	}
	return nil
}

func (t *Type) short(name string) (found *Attribute) {
	for _, a := range t.all[0].Subs {
		if !a.Extension {
			continue
		}
		if sub := a.Sub(name); sub != nil {
			if found != nil {
				return nil
			}
			found = sub
		}
	}
	return found
}

// commonAttributes are those of RFC 7643 section 3.1 that come before the
// schema's own; the schema package lists them without all characteristics.
func commonAttributes() []*Attribute {
	return []*Attribute{
		{
			Name: "schemas", Kind: Reference, MultiValued: true, CaseExact: true, Required: true, Returned: Always,
			ReferenceTypes: []string{"uri"}, Description: "The URIs of the schemas that define the attributes of this resource.",
		},
		{
			Name: "id", CaseExact: true, Mutability: ReadOnly, Returned: Always, Uniqueness: UniqueServer,
			Description: "The service provider's unique identifier of the resource.",
		},
		{
			Name: "externalId", CaseExact: true,
			Description: "The identifier of the resource as defined by the provisioning client.",
		},
	}
}

func metaAttribute() *Attribute {
	sub := func(name string, kind Kind, exact bool, description string) *Attribute {
		return &Attribute{Name: name, Kind: kind, CaseExact: exact, Mutability: ReadOnly, Description: description}
	}
	meta := sub("meta", Complex, false, "The resource's metadata, kept by the service provider.")
	meta.Subs = []*Attribute{
		sub("resourceType", String, true, "The name of the resource type."),
		sub("created", DateTime, false, "When the resource was added."),
		sub("lastModified", DateTime, false, "When the resource was changed last."),
		sub("location", Reference, true, "The URI of the resource."),
		sub("version", String, true, "The version of the resource, as in the ETag header."),
	}
	return meta
}

// common reports whether every resource has an attribute of that name, so that
// a schema which lists it too does not define another.
func (a *Attribute) common() bool {
	switch strings.ToLower(a.Name) {
	case "schemas", "id", "externalid", "meta":
		return true
	}
	return false
}

// plainSegment reports whether s can stand in a URL and in JSON as it is.
func plainSegment(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0:
		default:
			return false
		}
	}
	return s != "." && s != ".."
}

func isURN(s string) bool { return len(s) > 4 && strings.EqualFold(s[:4], "urn:") }

// validURN reports whether s is a URN of the characters that RFC 8141 has,
// roughly: none that JSON would have to escape.
func validURN(s string) bool {
	return isURN(s) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

func convert(attributes schema.Attributes) []*Attribute {
	subs := make([]*Attribute, 0, len(attributes))
	for _, c := range attributes {
		a := &Attribute{
			Name: c.Name(), Description: c.Description(), MultiValued: c.MultiValued(), CaseExact: c.CaseExact(), Required: c.Required(),
			Kind:            keyword[Kind](kindNames[:], c.AttributeType()),
			Mutability:      keyword[Mutability](mutabilityNames[:], c.Mutability()),
			Returned:        keyword[Returned](returnedNames[:], c.Returned()),
			Uniqueness:      keyword[Unique](uniqueNames[:], c.Uniqueness()),
			CanonicalValues: c.CanonicalValues(),
			Subs:            convert(c.SubAttributes()),
		}
		for _, r := range c.ReferenceTypes() {
			a.ReferenceTypes = append(a.ReferenceTypes, string(r))
		}
		if a.Kind == Reference || a.Kind == Binary {
			a.CaseExact = true // RFC 7643 sections 2.3.6 and 2.3.7
		}
		subs = append(subs, a)
	}
	return subs
}

// keyword finds a keyword of the schema package in our table; an unknown one
// is the first, RFC 7643's default.
func keyword[T ~uint8](names []string, name string) T {
	for i, n := range names {
		if i <= math.MaxUint8 && n == name {
			return T(i)
		}
	}
	return 0
}
