package filter_test

import (
	"errors"
	"fmt"

	"github.com/elimity-com/scim/schema"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

func exampleType() *attr.Type {
	t, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(), attr.Extension{Schema: schema.ExtensionEnterpriseUser()})
	if err != nil {
		panic(err)
	}
	return t
}

// A store without a query language asks about each of its documents.
func ExampleMatch() {
	t := exampleType()
	e, _, err := filter.Parse(`emails[type eq "work" and value ew "@example.com"] and not (active eq false)`, t, filter.Options{})
	if err != nil {
		panic(err)
	}
	for _, body := range []string{
		`{"userName":"ada","emails":[{"type":"work","value":"Ada@Example.com"}]}`,
		`{"userName":"bob","emails":[{"type":"work","value":"bob@example.org"},{"type":"home","value":"bob@example.com"}]}`,
	} {
		d := attr.NewDoc(t)
		if err := d.DecodeStored([]byte(body)); err != nil {
			panic(err)
		}
		fmt.Println(filter.Match(e, d.Value()))
	}
	// Output:
	// true
	// false
}

// A store with indexes asks first whether one of them has the answer.
func ExampleEqualities() {
	e, _, err := filter.Parse(`active eq true and userName eq "Ada@Example.com"`, exampleType(), filter.Options{})
	if err != nil {
		panic(err)
	}
	for a, l := range filter.Equalities(e) {
		fmt.Println(a.Path(), l.Folded())
	}
	// Output: userName ada@example.com
}

// A store that speaks SQL gives each literal to the database as an argument of
// the column's type.
func ExampleLiteral() {
	argument := func(l filter.Literal) any {
		switch l.Kind() {
		case filter.Text:
			return l.Folded()
		case filter.Bool:
			return l.Bool()
		case filter.Number:
			if n, ok := l.Int(); ok {
				return n
			}
			return l.Float()
		case filter.Time:
			return l.Time()
		case filter.Octets:
			return l.Text()
		case filter.Null:
		}
		return nil
	}
	for _, text := range []string{
		`userName eq "Ada@Example.com"`, `externalId eq "Ada"`, `active eq TRUE`, `loginCount gt 1e3`, `loginCount lt 0.5`,
		`meta.created ge "2024-02-29T12:00:00+05:30"`, `title eq null`,
	} {
		e, _, err := filter.Parse(text, countingType(), filter.Options{})
		if err != nil {
			panic(err)
		}
		if c, ok := e.(*filter.Compare); ok {
			fmt.Printf("%s %s %[3]T %[3]v\n", c.Attr.Path(), c.Op, argument(c.Value))
		}
	}
	// Output:
	// userName eq string ada@example.com
	// externalId eq string Ada
	// active eq bool true
	// loginCount gt int64 1000
	// loginCount lt float64 0.5
	// meta.created ge time.Time 2024-02-29 06:30:00 +0000 UTC
	// title eq <nil> <nil>
}

// countingType is a user with a number.
func countingType() *attr.Type {
	core := schema.CoreUserSchema()
	core.Attributes = append(core.Attributes, schema.SimpleCoreAttribute(schema.SimpleNumberParams(schema.NumberParams{
		Name: "loginCount", Type: schema.AttributeTypeInteger(),
	})))
	t, err := attr.NewType("User", "/Users", "", core)
	if err != nil {
		panic(err)
	}
	return t
}

// What a provider sends beyond the grammar is read as what it means, and said.
func ExampleParse() {
	t := exampleType()
	sent := `emails[type eq "work"].value eq "ada@example.com"`
	_, _, err := filter.Parse(sent, t, filter.Options{})
	fmt.Println(err != nil)

	e, fired, err := filter.Parse(sent, t, filter.Options{Lenience: attr.Lenient})
	if err != nil {
		panic(err)
	}
	fmt.Println(e)
	fmt.Println(fired.Names())

	_, _, err = filter.Parse(`favouriteColour eq "red"`, t, filter.Options{})
	fmt.Println(errors.Is(err, filter.ErrUnknown), err)
	// Output:
	// true
	// emails[type eq "work" and value eq "ada@example.com"]
	// [value-path-filter]
	// true invalidFilter: at position 1 of the filter: User has no attribute "favouriteColour"; /Schemas lists what there is
}

func ExampleParsePath() {
	p, _, err := filter.ParsePath(`addresses[type eq "work"].streetAddress`, exampleType(), filter.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Attr.Path())
	fmt.Println(p.Filter)
	fmt.Println(p.Sub.Path())
	// Output:
	// addresses
	// addresses.type eq "work"
	// addresses.streetAddress
}
