package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
)

// A customer switches provisioning on: a directory, a domain, a token. The
// handler serves it from then on.
func Example() {
	ctx := context.Background()
	service, err := directory.New(memstore.New(scim.CoreTypes(), nil), &scim.Config{
		Catalog: scim.RoleCatalog{Roles: []string{"admin", "member"}, Administrators: []string{"admin"}},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := service.Create(ctx, directory.Directory{Tenant: "acme", Name: "Okta", Provider: scim.Okta})
	if err != nil {
		fmt.Println(err)
		return
	}
	domain, err := service.AssertDomain(ctx, "acme", "acme.example") // or AddDomain, and VerifyDomain once DNS says so
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, token, err := service.IssueToken(ctx, d.Key(), directory.TokenOptions{Label: "Okta"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Name, d.State, domain.Name, domain.Status, token.Label)

	for _, email := range []string{"ada@acme.example", "ada@globex.example"} {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/Users", strings.NewReader(`{"userName":"`+email+`"}`))
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		service.Handler().ServeHTTP(w, r)
		fmt.Println(email, w.Code)
	}
	// Output:
	// Okta enabled acme.example verified Okta
	// ada@acme.example 201
	// ada@globex.example 400
}

// Everything that is wrong with a policy is reported at once, by its field in
// the document.
func ExampleService_CheckPolicy() {
	service, err := directory.New(memstore.New(scim.CoreTypes(), nil), nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var policy directory.PolicyDocument
	if err := policy.UnmarshalJSON([]byte(`{"lock": "strict", "domain": "guest", "freeRole": "viewer"}`)); err != nil {
		fmt.Println(err)
		return
	}
	_, err = service.CheckPolicy(scim.Okta, scim.Policy(policy))
	fmt.Println(err)
	// Output:
	// directory: policy: policy.domain: guest holds people until they are invited, and policy.lock strict allows no invitations; choose reject or any, or the lock managed; policy.freeRole: it is given where policy.seats is free-role, and that is refuse; leave it empty or change that
}
