package filter_test

import (
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// RFC 7644 section 3.4.2.1: where a filter is about several types, an attribute
// that one of them does not have is to it as if it had no value. What no type
// has is refused all the same, and so is what is no filter.
func TestRFC7644_3_4_2_1_AttributeOfAnotherType(t *testing.T) {
	group, err := attr.NewType("Group", "/Groups", "", schema.CoreGroupSchema())
	require.NoError(t, err)
	contact, err := attr.NewType("Contact", "/Contacts", "", schema.Schema{ID: "urn:example:Contact", Attributes: schema.Attributes{
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "members", MultiValued: true, SubAttributes: []schema.SimpleParams{
			schema.SimpleStringParams(schema.StringParams{Name: "since"}),
		}}),
	}})
	require.NoError(t, err)
	others := []*attr.Type{userType(t), contact}
	o := filter.Options{Lenience: attr.ValuePathFilter, Elsewhere: func(path string) bool {
		for _, other := range others {
			if a, _ := other.Lookup(path, attr.Strict); a != nil {
				return true
			}
		}
		return false
	}}
	d := attr.NewDoc(group)
	defer d.Release()
	require.NoError(t, d.DecodeStored([]byte(`{"schemas":["`+schema.GroupSchema+`"],"id":"1","displayName":"Engineers","members":[{"value":"u"}]}`)))
	engineers := d.Freeze()
	for text, want := range map[string]bool{
		`userName eq "ada"`:       false,
		`userName ne "ada"`:       true,
		`userName pr`:             false,
		`userName eq null`:        true,
		`userName NE NULL`:        false,
		`not (userName eq "ada")`: true,
		`not (userName pr) and displayName eq "engineers"`:           true,
		`userName eq "ada" or displayName eq "Engineers"`:            true,
		`userName eq "ada" and displayName eq "Engineers"`:           false,
		`active eq true or name.givenName sw "A"`:                    false,
		enterprise + `:department eq "Navy" or displayName sw "e"`:   true,
		`emails[type eq "work" and not (value co "x")]`:              false,
		`not (emails[type eq "work"]) and members[value eq "u"]`:     true,
		`emails[type eq "work"].value ne "x"`:                        false,
		`emails[type eq "work"] pr or displayName pr`:                true,
		`members[since gt "2024" or value eq "u"]`:                   true,
		`members[value eq "u" and not (since pr)]`:                   true,
		`members[value eq "u" and since eq "x"]`:                     false,
		`members[not (since eq "x")]`:                                true,
		`members[since ne "x" and value eq "u"]`:                     true,
		`(userName pr) or (active eq false) or displayName co "gin"`: true,
	} {
		e, _, err := filter.Parse(text, group, o)
		require.NoError(t, err, text)
		require.Equal(t, want, filter.Match(e, engineers.Value()), text)
		again, _, err := filter.Parse(e.String(), group, filter.Options{})
		require.NoError(t, err, "what is printed is a filter of the type alone: %s", e)
		require.Equal(t, e.String(), again.String())
	}
	for _, text := range []string{
		`bogus eq "x"`, `userName eq "x" or bogus eq "y"`, `name.bogus eq "x"`, `members[bogus eq "x"]`, `userName`, `userName xx "y"`, `userName eq`,
		`userName eq "x`, `emails[type eq "work"`, `emails[type eq "work" value`, `emails[]`, `emails[phones[x eq "y"]]`, `emails[type eq "work"].value`,
		`emails[not type]`, `userName eq "x") or displayName pr`,
	} {
		_, _, err := filter.Parse(text, group, o)
		var refused *attr.Error
		require.ErrorAs(t, err, &refused, text)
		require.Equal(t, attr.InvalidFilter, refused.Type, text)
	}
	_, _, err = filter.Parse(`userName eq "ada"`, group, filter.Options{})
	require.ErrorIs(t, err, filter.ErrUnknown, "of one type alone it is refused")
}
