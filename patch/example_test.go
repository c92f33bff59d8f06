package patch_test

import (
	"fmt"

	"github.com/elimity-com/scim/schema"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/patch"
)

// A provider renames a group and changes its members in one request. The
// members are kept apart from the document.
func ExampleParse() {
	groups, err := attr.NewType("Group", "/Groups", "", schema.CoreGroupSchema())
	if err != nil {
		panic(err)
	}
	body := `{"Operations":[
		{"op":"Replace","path":"displayName","value":"Platform"},
		{"op":"Remove","path":"members","value":[{"$ref":null,"value":"1"}]},
		{"op":"Add","path":"members","value":{"value":"2"}}]}`
	p, err := patch.Parse([]byte(body), groups, patch.Options{
		Lenience: attr.Lenient,
		Members:  groups.Root().Sub("members"),
	})
	if err != nil {
		panic(err)
	}
	group := attr.NewDoc(groups)
	defer group.Release()
	if err := p.Apply(group); err != nil {
		panic(err)
	}
	stored := group.Freeze()
	fmt.Println(stored.JSON())
	fmt.Println("add", p.Members().Add, "remove", p.Members().Remove)
	fmt.Println(p.Fired().Names())
	// Output:
	// {"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Platform"}
	// add [{2  }] remove [1]
	// [array-missing odd-schemas operation-case remove-by-value]
}
