package roles_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// Administrators before editors, everybody else may look.
func ExampleNew() {
	mapper, err := roles.New(roles.Mapping{
		Rules: []roles.Rule{ // the highest first
			{GroupName: "Platform Admins", Role: "admin"},
			{GroupName: "Engineers", Role: "editor"},
		},
		Default:   "viewer",
		Protected: []string{"owner"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	engineers := scim.GroupRef{ID: "g1", DisplayName: "Engineers"}
	admins := scim.GroupRef{ID: "g2", DisplayName: "platform admins"}
	fmt.Println(mapper.Grants([]scim.GroupRef{engineers}))
	fmt.Println(mapper.Grants([]scim.GroupRef{engineers, admins}))
	fmt.Println(mapper.Grants(nil))
	// Output:
	// [{editor group g1}]
	// [{admin group g2}]
	// [{viewer default }]
}

// Everything wrong with a mapping is reported at once, by rule.
func ExampleNew_invalid() {
	_, err := roles.New(roles.Mapping{
		Rules: []roles.Rule{
			{GroupName: "Founders", Role: "owner"},
			{GroupName: "Engineers", Role: "edtior"},
			{GroupName: "ENGINEERS", Role: "viewer"},
		},
		Protected: []string{"owner"},
		Roles:     []string{"editor", "viewer"},
	})
	if invalid, ok := errors.AsType[*roles.InvalidError](err); ok {
		for _, p := range invalid.Problems {
			fmt.Printf("rule %d: %s\n", p.Rule, p.Detail)
		}
	}
	// Output:
	// rule 1: role "owner" is protected: it is given by hand, never by provisioning
	// rule 2: role "edtior" is not one of the application's roles: "editor", "viewer"
	// rule 3: the group with the name "ENGINEERS" is mapped by rule 2 already
}

// Roles that add up instead of ranking.
func ExampleMapping_union() {
	mapper, err := roles.New(roles.Mapping{
		Precedence: roles.Union,
		Rules: []roles.Rule{
			{GroupName: "Developers", Role: "deploy"},
			{GroupName: "Developers", Role: "logs"},
			{GroupName: "Finance", Role: "billing"},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, g := range mapper.Grants([]scim.GroupRef{{ID: "g1", DisplayName: "Developers"}, {ID: "g2", DisplayName: "Finance"}}) {
		fmt.Println(g.Role, "from", g.Group)
	}
	// Output:
	// billing from g2
	// deploy from g1
	// logs from g1
}

// A mapping is one JSON document. What the application decides is set after it
// was read.
func ExampleParse() {
	mapping, err := roles.Parse([]byte(`{
		"rules": [
			{"groupId": "0198c5a2-7b1e-7c3d-9f00-2a6d1d0c5e11", "role": "admin"},
			{"externalId": "00g1emaKYZTWRYYRRTSK", "role": "editor"},
			{"groupName": "Contractors", "role": "viewer"}
		],
		"precedence": "priority"
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	mapping.Roles, mapping.Protected = []string{"owner", "admin", "editor", "viewer"}, []string{"owner"}
	_, err = roles.New(mapping)
	fmt.Println(len(mapping.Rules), mapping.Precedence, err)
	// Output: 3 priority <nil>
}

// One handler, a mapping for each customer.
func ExampleByDirectory() {
	acme, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupName: "IT", Role: "admin"}}, Default: "viewer"})
	if err != nil {
		fmt.Println(err)
		return
	}
	mappers := map[scim.Key]*roles.Mapper{
		{Tenant: "acme", Directory: "okta"}: acme,
	}
	var mapper scim.RoleMapper = roles.ByDirectory(func(k scim.Key) *roles.Mapper { return mappers[k] })

	it := []scim.GroupRef{{ID: "g1", DisplayName: "IT"}}
	for _, d := range []*scim.Directory{{Tenant: "acme", ID: "okta"}, {Tenant: "globex", ID: "entra"}} {
		grants, err := mapper.Roles(context.Background(), d, nil, it)
		fmt.Println(d.Tenant, grants, err)
	}
	// Output:
	// acme [{admin group g1}] <nil>
	// globex [] <nil>
}

// What a new mapping would do, before it is applied.
func ExamplePreview() {
	before, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupID: "g1", Role: "admin"}}, Default: "viewer"})
	if err != nil {
		fmt.Println(err)
		return
	}
	after, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupID: "g2", Role: "admin"}, {GroupID: "g1", Role: "editor"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	engineers, admins := scim.GroupRef{ID: "g1", DisplayName: "Engineers"}, scim.GroupRef{ID: "g2", DisplayName: "Admins"}
	members := slices.Values([]roles.Member{
		{User: "u1", DisplayName: "Ada", Groups: []scim.GroupRef{engineers}},
		{User: "u2", DisplayName: "Grace", Groups: []scim.GroupRef{engineers, admins}},
		{User: "u3", DisplayName: "Linus"},
		{User: "u4", DisplayName: "Ken", Manual: []scim.Grant{{Role: "owner", Source: scim.Manual}}},
	})
	for c := range roles.Preview(before, after, members) {
		fmt.Printf("%s: %s\n", c.DisplayName, c.Why)
	}
	summary := roles.Summarize(roles.Preview(before, after, members))
	fmt.Println(summary)
	fmt.Println("without access:", summary.WithoutAccess)
	// Output:
	// Ada: gains "editor" from group "Engineers"; loses "admin": no longer from group "Engineers"
	// Grace: keeps "admin" from group "Admins"
	// Linus: loses "viewer": there is no default role any more
	// Ken: loses "viewer": there is no default role any more
	// 4 people change: 1 gains a role, 3 lose one, 1 ends without access
	// without access: [u3]
}

// A rule by name binds once: after a rename the group keeps its role, and
// another group that takes the name gets none.
func ExampleMapper_Bind() {
	mapper, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupName: "Engineers", Role: "editor"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	held := map[string]scim.Binding{"name:engineers": {GroupID: "g1"}} // as the store keeps it
	for _, g := range mapper.Bind([]scim.GroupRef{
		{ID: "g1", DisplayName: "Product Engineers"},
		{ID: "g2", DisplayName: "Engineers"},
	}, held) {
		fmt.Println(g.DisplayName, g.Bound, mapper.Grants([]scim.GroupRef{g}))
	}
	// Output:
	// Product Engineers [name:engineers] [{editor group g1}]
	// Engineers [] []
}
