package scim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A ProfileMap says which attributes of a user become which attributes of the
// account's [Profile] (rule E4). [Types.ParseProfile] makes one; it is
// immutable and safe for concurrent use.
type ProfileMap struct {
	typ    *ResourceType
	fields []profileField // in order of name
}

// A profileField is one attribute of the profile and where it comes from.
type profileField struct {
	name string
	path filter.Path            // in canonical form; what Map shows
	at   *attr.Attribute        // what stands in the document or an extension, the list where there are several values
	sub  *attr.Attribute        // of a value of at, nil for at itself
	set  func(*Profile, string) // nil: a custom attribute
}

// profileNames are the attributes of a profile that are not custom.
var profileNames = map[string]func(*Profile, string){
	"name":               func(p *Profile, s string) { p.Name = s },
	"given_name":         func(p *Profile, s string) { p.GivenName = s },
	"family_name":        func(p *Profile, s string) { p.FamilyName = s },
	"preferred_username": func(p *Profile, s string) { p.PreferredUserName = s },
	"picture":            func(p *Profile, s string) { p.Picture = s },
	"phone_number":       func(p *Profile, s string) { p.PhoneNumber = s },
	"locale":             func(p *Profile, s string) { p.Locale = s },
}

// ProfileNames returns the names that a profile has of its own, in order: every
// other one that [Types.ParseProfile] takes is a custom attribute.
func ProfileNames() []string { return slices.Sorted(maps.Keys(profileNames)) }

const (
	mostProfileFields = 100
	mostProfileName   = 64
)

// ParseProfile reads a mapping of a profile: from the profile's attributes to
// paths of the type User. A name is one of [ProfileNames], or that of a custom
// attribute: 1 to 64 of the characters a–z, 0–9 and _. What is not named keeps its
// standard mapping. email is not to be mapped: which value it is, and whether it
// may change, is for rules A2 to A4 to say.
//
// A path is that of RFC 7644 section 3.5.2: name.givenName, title,
// emails[type eq "work"].value, urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department,
// or just department where one extension alone has it. A complex attribute
// stands for its sub-attribute value. Of several values the primary one is
// taken, else the first, of those that have what is asked for.
//
// A string, a reference, a binary value and a time are taken as they were sent,
// a number and a Boolean as JSON spells them; what has no value is "", and a
// custom attribute without value is not in the profile.
//
// Groups are not to be mapped, which [Account] has, nor what describes the
// resource (schemas, meta), nor what is never returned. The error names the
// attribute of the profile, the path and the remedy. At most 100 attributes can
// be mapped.
func (t *Types) ParseProfile(paths map[string]string) (*ProfileMap, error) {
	if len(paths) > mostProfileFields {
		return nil, errors.New("scim: a profile has " + strconv.Itoa(mostProfileFields) + " mapped attributes at most; map fewer")
	}
	m := &ProfileMap{typ: t.byName["User"]}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		field, err := m.typ.profileField(name, paths[name])
		if err != nil {
			return nil, fmt.Errorf("scim: profile attribute %s: %w", attr.Quote(name), err)
		}
		m.fields = append(m.fields, field)
	}
	return m, nil
}

// Map returns what [Types.ParseProfile] reads to an equal mapping, with paths in
// canonical form. A nil mapping is the standard one: the map is empty.
func (m *ProfileMap) Map() map[string]string {
	paths := map[string]string{}
	if m != nil {
		for i := range m.fields {
			paths[m.fields[i].name] = m.fields[i].path.String()
		}
	}
	return paths
}

func (t *ResourceType) profileField(name, path string) (profileField, error) {
	f := profileField{name: name, set: profileNames[name]}
	switch {
	case name == "email" || name == "email_verified":
		return f, errors.New("it is not to be mapped: which email a person has follows from Policy.EmailSource and Policy.Email; leave it out")
	case !isProfileName(name):
		return f, fmt.Errorf("a name has 1 to %d of the characters a-z, 0-9 and _; choose another", mostProfileName)
	case strings.TrimSpace(path) == "":
		return f, errors.New("the path is empty; name an attribute of the user, or leave this one out to keep its standard mapping")
	}
	wrong := func(why string) error { return fmt.Errorf("path %s: %s", attr.Quote(path), why) }
	parsed, _, err := filter.ParsePath(path, t.Type, filter.Options{Lenience: attr.ShortExtensionPath})
	var malformed *attr.Error
	switch {
	case errors.Is(err, filter.ErrUnknown):
		return f, wrong("a user has no such attribute; write one that /Schemas lists, as in name.givenName or urn:…:User:department")
	case errors.As(err, &malformed):
		return f, wrong(malformed.Detail)
	case err != nil:
		return f, wrong(err.Error())
	}
	if err := f.resolve(parsed); err != nil {
		return f, wrong(err.Error())
	}
	target := f.at
	if f.sub != nil {
		target = f.sub
	}
	switch {
	case t.groups != nil && target.Within(t.groups):
		return f, wrong("groups are not part of the profile; the application is told of them in Account.Groups, or maps them to roles")
	case target.Within(t.Meta) || target.Within(t.Schemas):
		return f, wrong("it describes the resource, not the person; name another attribute")
	case isSecret(target):
		return f, wrong("its values are never returned; name another attribute")
	}
	if parsed.Filter != nil {
		// As a filter of a query it is refused where it asks for what is never returned.
		whole := filter.Path{Attr: parsed.Attr, Filter: parsed.Filter}
		if _, _, err := filter.Parse(whole.String(), t.Type, filter.Options{}); err != nil {
			return f, wrong("its filter asks for what is never returned; choose by another attribute")
		}
	}
	return f, nil
}

// resolve splits a path into what stands in the document, or in an extension,
// and a sub-attribute of that.
func (f *profileField) resolve(path filter.Path) error {
	f.at, f.sub = path.Attr, path.Sub
	last := f.at
	if parent := f.at.Parent; parent != nil && !parent.Extension {
		f.at, f.sub = parent, last
	}
	if f.sub != nil {
		last = f.sub
	}
	if last.Kind == attr.Complex {
		if f.sub = last.ValueSub(); f.sub == nil || last.Extension {
			names := make([]string, len(last.Subs))
			for i, sub := range last.Subs {
				names[i] = sub.Name
			}
			return errors.New("it has several attributes; name one of them: " + strings.Join(names, ", "))
		}
	}
	f.path = filter.Path{Attr: f.at, Filter: path.Filter, Sub: f.sub}
	return nil
}

func isProfileName(s string) bool {
	return s != "" && len(s) <= mostProfileName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// isSecret reports whether a client never sees values of the attribute: its own
// characteristics say so, or those of what it is part of.
func isSecret(a *attr.Attribute) bool {
	for ; a != nil; a = a.Parent {
		if a.Returned == attr.Never || a.Mutability == attr.WriteOnly || a.Dropped {
			return true
		}
	}
	return false
}

// of returns the profile of a user; of the nil mapping it is the standard one.
func (m *ProfileMap) of(r *Resource) Profile {
	if m == nil {
		return profileOf(r)
	}
	p := profileOf(r) // on the heap, for the setters
	doc := r.Doc()
	for i := range m.fields {
		f := &m.fields[i]
		text := f.text(doc)
		switch {
		case f.set != nil:
			f.set(&p, text)
		case text != "":
			if p.Custom == nil {
				p.Custom = make(map[string]string, len(m.fields))
			}
			p.Custom[f.name] = text
		}
	}
	return p
}

// text returns the value that a user has there: of several the primary one,
// else the first.
func (f *profileField) text(doc attr.Value) string {
	v := doc.At(f.at)
	if !v.IsList() {
		return f.textOf(v)
	}
	first := ""
	for v = v.First(); v.Exists(); v = v.Next() {
		if f.path.Filter != nil && !f.path.Matches(v) {
			continue
		}
		text := f.textOf(v)
		if text == "" {
			continue
		}
		if v.Get(f.at.PrimarySub()).Bool() {
			return text
		}
		if first == "" {
			first = text
		}
	}
	return first
}

func (f *profileField) textOf(v attr.Value) string {
	if f.sub != nil {
		v = v.Get(f.sub)
	}
	if v.IsList() {
		v = v.First()
	}
	return v.Text()
}

// checkProfile refuses a mapping that was made for other types than the
// engine's: it would find nothing.
func (e *Engine) checkProfile(m *ProfileMap) error {
	if m == nil || m.typ == e.cfg.Types.byName["User"] {
		return nil
	}
	return errors.New("scim: Directory.Profile was parsed with other Types than Config.Types; parse it with those of the handler")
}
