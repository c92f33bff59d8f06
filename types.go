package scim

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/elimity-com/scim/schema"

	"github.com/muster-id/scim/attr"
)

// A ResourceType is a kind of resource with its schemas, RFC 7643 section 6.
// Types named "User" and "Group" are those that the rules speak of.
type ResourceType struct {
	*attr.Type

	// Attributes that rules read, nil where the type does not have them.
	userName, active, emails, emailValue, emailType, emailPrimary, groups        *attr.Attribute
	displayName, members, memberValue                                            *attr.Attribute
	name, formatted, givenName, familyName, locale, phones, phone, photos, photo *attr.Attribute

	unique []*attr.Attribute
}

// IsUser reports whether resources of the type are people: the rules about
// email, domains and roles hold for them.
func (t *ResourceType) IsUser() bool { return t.userName != nil }

// IsGroup reports whether resources of the type have members.
func (t *ResourceType) IsGroup() bool { return t.members != nil }

// Members returns the attribute that holds a group's members, nil for other
// types. Its values are not in the group's document where the store is a
// [MemberStore].
func (t *ResourceType) Members() *attr.Attribute { return t.members }

// Types is the registry of resource types that handler and store share. It is
// immutable and safe for concurrent use.
type Types struct {
	all    []*ResourceType
	byName map[string]*ResourceType
}

// CoreTypes returns the types of RFC 7643: User with the enterprise extension,
// and Group.
var CoreTypes = sync.OnceValue(func() *Types {
	user, err1 := attr.NewType("User", "/Users", "User Account", schema.CoreUserSchema(),
		attr.Extension{Schema: schema.ExtensionEnterpriseUser()})
	group, err2 := attr.NewType("Group", "/Groups", "Group", schema.CoreGroupSchema())
	types, err3 := NewTypes(user, group)
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err) // the schemas are constants
	}
	return types
})

// NewTypes makes a registry. It needs a type "User"; names and endpoints are
// unique, and no type is served where SCIM has another endpoint (RFC 7644
// section 3.2). Types that share a schema must agree on what it says.
//
// [attr.NewType] makes a type of Go values, [attr.ParseTypes] of JSON. What
// rules read of users and groups must have the shape of RFC 7643 section 4
// where it is there.
func NewTypes(types ...*attr.Type) (*Types, error) {
	reg := &Types{byName: map[string]*ResourceType{}}
	endpoints := map[string]bool{}
	known := map[string]schema.Schema{}
	for _, t := range types {
		if t == nil || reg.byName[t.Name] != nil || endpoints[t.Endpoint] {
			return nil, errors.New("scim: resource types must have different names and endpoints")
		}
		if reservedEndpoint(t.Endpoint) {
			return nil, fmt.Errorf("scim: resource type %q: the endpoint %s is another one's, RFC 7644 section 3.2", t.Name, t.Endpoint)
		}
		if err := agree(known, t); err != nil {
			return nil, err
		}
		rt := resolve(t)
		if err := rt.checkShape(); err != nil {
			return nil, err
		}
		rt.unique = uniqueAttributes(rt)
		reg.all = append(reg.all, rt)
		reg.byName[t.Name], endpoints[t.Endpoint] = rt, true
	}
	if u := reg.byName["User"]; u == nil || u.userName == nil || u.active == nil {
		return nil, errors.New(`scim: a resource type "User" with userName and active is required, RFC 7643 section 4.1`)
	}
	return reg, nil
}

// With returns a registry that has these types too, each in the place of the
// one that has its name. The errors are those of [NewTypes].
func (t *Types) With(types ...*attr.Type) (*Types, error) {
	all := make([]*attr.Type, 0, len(t.all)+len(types))
	for _, rt := range t.all {
		all = append(all, rt.Type)
	}
	for _, added := range types {
		at := slices.IndexFunc(all, func(a *attr.Type) bool { return added != nil && a.Name == added.Name })
		if at < 0 {
			all = append(all, added)
		} else {
			all[at] = added
		}
	}
	return NewTypes(all...)
}

// Extend returns a registry in which the type of that name has further
// extensions (RFC 7643 section 3.3). One that it has already is put in place of
// the former, for example to make it required.
func (t *Types) Extend(name string, extensions ...attr.Extension) (*Types, error) {
	rt := t.byName[name]
	if rt == nil {
		return nil, fmt.Errorf("scim: no resource type %q", name)
	}
	all := slices.Clone(rt.Extensions)
	for _, x := range extensions {
		at := slices.IndexFunc(all, func(a attr.Extension) bool { return strings.EqualFold(a.Schema.ID, x.Schema.ID) })
		if at < 0 {
			all = append(all, x)
		} else {
			all[at] = x
		}
	}
	extended, err := attr.NewType(rt.Name, rt.Endpoint, rt.Description, rt.Schema, all...)
	if err != nil {
		return nil, err
	}
	return t.With(extended)
}

// reservedEndpoint reports whether RFC 7644 section 3.2 has an endpoint of that
// name.
func reservedEndpoint(endpoint string) bool {
	for _, taken := range []string{"/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/Bulk", "/Me", "/.search"} {
		if strings.EqualFold(endpoint, taken) {
			return true
		}
	}
	return false
}

// agree checks that no schema is declared in two ways: /Schemas shows one.
func agree(known map[string]schema.Schema, t *attr.Type) error {
	declared := []schema.Schema{t.Schema}
	for _, x := range t.Extensions {
		declared = append(declared, x.Schema)
	}
	for _, s := range declared {
		id := strings.ToLower(s.ID)
		if other, twice := known[id]; twice && !reflect.DeepEqual(other, s) {
			return fmt.Errorf("scim: resource type %q: another type has the schema %s with another content", t.Name, s.ID)
		}
		known[id] = s
	}
	return nil
}

// checkShape reports the first attribute that a rule reads, and which does not
// have the form in which the rule reads it.
func (t *ResourceType) checkShape() error {
	type shape struct {
		kind        attr.Kind
		multiValued bool
	}
	text, one, many, flag := shape{kind: attr.String}, shape{kind: attr.Complex}, shape{attr.Complex, true}, shape{kind: attr.Boolean}
	for _, c := range []struct {
		a    *attr.Attribute
		want shape
	}{
		{t.userName, text},
		{t.active, flag},
		{t.displayName, text},
		{t.locale, text},
		{t.name, one},
		{t.formatted, text},
		{t.givenName, text},
		{t.familyName, text},
		{t.emails, many},
		{t.emailValue, text},
		{t.emailType, text},
		{t.emailPrimary, flag},
		{t.phones, many},
		{t.phone, text},
		{t.photos, many},
		{t.groups, many},
		{t.members, many},
		{t.memberValue, text},
	} {
		if c.a == nil || (shape{c.a.Kind, c.a.MultiValued}) == c.want {
			continue
		}
		plurality := "single-valued"
		if c.want.multiValued {
			plurality = "multi-valued"
		}
		return fmt.Errorf("scim: resource type %q: %s must be %s and of type %s, RFC 7643 section 4", t.Name, c.a.Path(), plurality, c.want.kind)
	}
	for _, list := range []*attr.Attribute{t.emails, t.groups, t.members} {
		if list != nil && list.ValueSub() == nil {
			return fmt.Errorf("scim: resource type %q: %s needs a sub-attribute value, RFC 7643 section 4", t.Name, list.Path())
		}
	}
	return nil
}

func resolve(t *attr.Type) *ResourceType {
	find := func(path string) *attr.Attribute {
		a, _ := t.Lookup(path, attr.Strict)
		return a
	}
	rt := &ResourceType{Type: t}
	switch t.Name {
	case "User":
		rt.userName, rt.active, rt.groups = find("userName"), find("active"), find("groups")
		rt.emails, rt.emailValue, rt.emailType, rt.emailPrimary = find("emails"), find("emails.value"), find("emails.type"), find("emails.primary")
		rt.displayName = find("displayName")
		rt.name, rt.formatted, rt.givenName, rt.familyName = find("name"), find("name.formatted"), find("name.givenName"), find("name.familyName")
		rt.locale, rt.phones, rt.phone = find("locale"), find("phoneNumbers"), find("phoneNumbers.value")
		rt.photos, rt.photo = find("photos"), find("photos.value")
	case "Group":
		rt.displayName, rt.members, rt.memberValue = find("displayName"), find("members"), find("members.value")
	}
	return rt
}

// All returns the types in the order of registration. The caller must not
// change the slice.
func (t *Types) All() []*ResourceType { return t.all }

// Type returns the type of that name, or nil.
func (t *Types) Type(name string) *ResourceType { return t.byName[name] }

// endpoint returns the type served at "/Users" and the like, nil if none.
func (t *Types) endpoint(segment string) *ResourceType {
	for _, rt := range t.all {
		if rt.Endpoint[1:] == segment {
			return rt
		}
	}
	return nil
}
