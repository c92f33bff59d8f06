package scim

import (
	"errors"
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
// unique.
func NewTypes(types ...*attr.Type) (*Types, error) {
	reg := &Types{byName: map[string]*ResourceType{}}
	endpoints := map[string]bool{}
	for _, t := range types {
		if t == nil || reg.byName[t.Name] != nil || endpoints[t.Endpoint] {
			return nil, errors.New("scim: resource types must have different names and endpoints")
		}
		rt := resolve(t)
		reg.all = append(reg.all, rt)
		reg.byName[t.Name], endpoints[t.Endpoint] = rt, true
	}
	if u := reg.byName["User"]; u == nil || u.userName == nil || u.active == nil {
		return nil, errors.New(`scim: a resource type "User" with userName and active is required, RFC 7643 section 4.1`)
	}
	return reg, nil
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
