package scim

import "github.com/muster-id/scim/attr"

// A User is a typed view of a resource of type User, RFC 7643 section 4.1.
type User struct{ r *Resource }

// User views the resource as a user. Of a resource of another type all values
// are empty.
func (r *Resource) User() User { return User{r} }

// UserName returns the name by which the provider identifies the user.
func (u User) UserName() string { return u.r.text(u.r.typ.userName) }

// DisplayName returns the name to show.
func (u User) DisplayName() string { return u.r.text(u.r.typ.displayName) }

// GivenName returns name.givenName.
func (u User) GivenName() string { return u.r.text(u.r.typ.givenName) }

// FamilyName returns name.familyName.
func (u User) FamilyName() string { return u.r.text(u.r.typ.familyName) }

// FormattedName returns name.formatted.
func (u User) FormattedName() string { return u.r.text(u.r.typ.formatted) }

// Active reports whether the provider lets the user in. A user without the
// attribute is active.
func (u User) Active() bool { return u.r.active }

// An Email is one value of a user's emails.
type Email struct {
	Value, Type, Display string
	Primary              bool
}

// Emails returns the user's addresses as the provider sent them.
func (u User) Emails() []Email {
	t := u.r.typ
	if t.emails == nil {
		return nil
	}
	display := t.emails.Sub("display")
	var all []Email
	for v := u.r.Doc().Get(t.emails).First(); v.Exists(); v = v.Next() {
		all = append(all, Email{
			Value: v.Get(t.emailValue).Text(), Type: v.Get(t.emailType).Text(),
			Display: v.Get(display).Text(), Primary: v.Get(t.emailPrimary).Bool(),
		})
	}
	return all
}

// text returns the value of an attribute that a rule reads, the first one where
// there are several; "" where the type does not have it.
func (r *Resource) text(a *attr.Attribute) string {
	if a == nil {
		return ""
	}
	return r.Doc().At(a).Text()
}

// A Group is a typed view of a resource of type Group, RFC 7643 section 4.2.
type Group struct{ r *Resource }

// Group views the resource as a group.
func (r *Resource) Group() Group { return Group{r} }

// DisplayName returns the group's name.
func (g Group) DisplayName() string {
	if g.r.typ.displayName == nil {
		return ""
	}
	return g.r.Doc().Get(g.r.typ.displayName).Text()
}

// InlineMembers returns the members that are in the group's document: all of
// them where the store is no [MemberStore], none where it is.
func (g Group) InlineMembers() []Member {
	t := g.r.typ
	if t.members == nil {
		return nil
	}
	var all []Member
	for v := g.r.Doc().Get(t.members).First(); v.Exists(); v = v.Next() {
		all = append(all, memberOf(t, v))
	}
	return all
}

func memberOf(t *ResourceType, v attr.Value) Member {
	get := func(name string) string {
		if sub := t.members.Sub(name); sub != nil {
			return v.Get(sub).Text()
		}
		return ""
	}
	return Member{Value: v.Get(t.memberValue).Text(), Type: get("type"), Display: get("display")}
}
