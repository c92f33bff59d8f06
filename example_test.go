package scim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
	"github.com/muster-id/scim/roles"
)

// The whole of what an application has to do: a store, a mapping of groups to
// roles, who may call, and a hook.
func Example() {
	store := memstore.New(scim.CoreTypes(), nil)
	mapping, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "viewer"})
	must(err)
	auth, err := scim.StaticTokens(scim.Token{Secret: "made-with-openssl-rand-hex-32", Directory: &scim.Directory{
		Tenant: "acme", ID: "okta", Domains: []string{"acme.example"},
	}})
	must(err)
	app := scim.ProvisionerFunc(func(_ context.Context, a *scim.Account) (string, error) {
		fmt.Println(a.Change, a.Email, a.Active, a.RoleNames())
		return "user-1", nil
	})
	handler, err := scim.NewHandler(store, mapping, auth, &scim.Config{Provisioner: app})
	must(err)
	server := httptest.NewServer(scim.Mount("/scim/v2", handler, nil))
	defer server.Close()

	post(server.URL, "/Users", `{"userName":"ada@acme.example","active":true}`)
	post(server.URL, "/Users", `{"userName":"eve@other.example","active":true}`)
	// Output:
	// created ada@acme.example true [viewer]
	// 201
	// 400 userName: the domain "other.example" is not one of the organization's 1 registered domains; register it in the application, or leave this person out of provisioning
}

// The functions of the README: what a host mounts, and what it does for a
// customer.
//
//nolint:errcheck // Run returns nil once the context ends
func provisioning(ctx context.Context, store directory.Storage, app scim.Provisioner, next http.Handler) (*directory.Service, http.Handler, error) {
	service, err := directory.New(store, &scim.Config{Provisioner: app}, nil)
	if err != nil {
		return nil, nil, err
	}
	go service.Run(ctx)
	return service, scim.Mount("/scim/v2", service.Handler(), next), nil
}

func connect(ctx context.Context, service *directory.Service, customer scim.Key, domain string) (token string, err error) {
	_, err1 := service.Create(ctx, directory.Directory{Tenant: customer.Tenant, ID: customer.Directory, Provider: scim.Okta})
	_, err2 := service.AssertDomain(ctx, customer.Tenant, domain)
	_, err3 := service.SetMapping(ctx, customer, roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "viewer"}, 0)
	token, _, err4 := service.IssueToken(ctx, customer, directory.TokenOptions{Label: "Okta"})
	return token, errors.Join(err1, err2, err3, err4)
}

// Without package directory: one organization, which is part of the program.
func oneOrganization(app scim.Provisioner, next http.Handler) (http.Handler, error) {
	mapping, err := roles.New(roles.Mapping{Rules: []roles.Rule{{GroupName: "Admins", Role: "admin"}}, Default: "viewer"})
	if err != nil {
		return nil, err
	}
	auth, err := scim.StaticTokens(scim.Token{Secret: os.Getenv("SCIM_TOKEN"), Directory: &scim.Directory{
		Tenant: "acme", ID: "okta", Domains: []string{"acme.example"},
	}})
	if err != nil {
		return nil, err
	}
	handler, err := scim.NewHandler(memstore.New(scim.CoreTypes(), nil), mapping, auth, &scim.Config{Provisioner: app})
	return scim.Mount("/scim/v2", handler, next), err
}

// Every function of the README is compiled here, and run.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := map[string]string{} // by how they begin
	for i, block := range strings.Split(string(text), "```go\n")[1:] {
		block, _, closed := strings.Cut(block, "```")
		require.True(t, closed, i)
		name, _, _ := strings.Cut(block, "(")
		blocks[name] = block
	}
	managed, static := blocks["func provisioning"], blocks["func oneOrganization"]
	require.NotEmpty(t, managed)
	require.NotEmpty(t, static)
	require.Contains(t, string(source), managed)
	require.Contains(t, string(source), static)
	host := 0 // lines of the managed set-up
	for line := range strings.Lines(managed) {
		if strings.TrimSpace(line) != "" {
			host++
		}
	}
	require.LessOrEqual(t, host, 15, "what a host writes fits on a screen")

	const person = `{"userName":"ada@acme.example"}`
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	service, h, err := provisioning(ctx, memstore.New(scim.CoreTypes(), nil), newHostApp(), nil)
	require.NoError(t, err)
	token, err := connect(ctx, service, scim.Key{Tenant: "acme", Directory: "okta"}, "acme.example")
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, postTo(h, token, person))
	verdict, err := service.LoginGate(ctx, "acme", directory.Person{Email: "ADA@acme.example"})
	require.NoError(t, err)
	require.True(t, verdict.Allow)

	t.Setenv("SCIM_TOKEN", "made-with-openssl-rand-hex-32")
	h, err = oneOrganization(newHostApp(), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, postTo(h, "made-with-openssl-rand-hex-32", person))
	require.Equal(t, http.StatusUnauthorized, postTo(h, token, person))
}

// postTo creates a user and returns the status of the answer.
func postTo(h http.Handler, token, user string) int {
	r := httptest.NewRequest(http.MethodPost, "/scim/v2/Users", strings.NewReader(user))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/scim+json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// post sends a request as a provider would and prints how it was answered.
func post(server, path, body string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server+"/scim/v2"+path, strings.NewReader(body))
	must(err)
	r.Header.Set("Authorization", "Bearer made-with-openssl-rand-hex-32")
	res, err := http.DefaultClient.Do(r)
	must(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(err)
	if res.StatusCode < 400 {
		fmt.Println(res.StatusCode)
		return
	}
	_, detail, _ := strings.Cut(string(answer), `"detail":"`)
	fmt.Println(res.StatusCode, strings.ReplaceAll(strings.TrimSuffix(detail, `"}`), `\"`, `"`))
}

func get(server, path string) []byte {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server+"/scim/v2"+path, nil)
	must(err)
	r.Header.Set("Authorization", "Bearer made-with-openssl-rand-hex-32")
	res, err := http.DefaultClient.Do(r)
	must(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(err)
	return answer
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Middleware of the host answers as the handler does.
func ExampleWriteError() {
	w := httptest.NewRecorder()
	scim.WriteError(w, &scim.Error{Status: http.StatusTooManyRequests, Detail: "slow down", Err: errors.New("only for the log")})
	fmt.Println(w.Code, w.Body)
	// Output: 429 {"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"429","detail":"slow down"}
}

// A store over the host's own columns makes resources of them.
func ExampleTypes_New() {
	key := scim.Key{Tenant: "acme", Directory: "okta"}
	user, err := scim.CoreTypes().New(key, "User").
		ID("42").
		Set("userName", "ada@acme.example").
		Set("name.givenName", "Ada").
		Set("active", true).
		Set("emails", []map[string]any{{"value": "ada@acme.example", "primary": true}}).
		Resource()
	must(err)
	fmt.Println(user.User().GivenName(), user.User().Active())
	fmt.Println(user.JSON())
	// Output:
	// Ada true
	// {"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"42","userName":"ada@acme.example","name":{"givenName":"Ada"},"active":true,"emails":[{"value":"ada@acme.example","primary":true}]}
}

// An extension decodes into the host's own struct.
func ExampleResource_Decode() {
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	user, err := scim.CoreTypes().New(scim.Key{}, "User").
		Set("userName", "ada").
		Set(enterprise+":department", "Engines").
		Set(enterprise+":manager", map[string]string{"value": "7"}).
		Resource()
	must(err)
	var ext struct {
		Department string
		Manager    struct{ Value string }
	}
	must(user.Decode(enterprise, &ext))
	fmt.Println(ext.Department, ext.Manager.Value)
	// Output: Engines 7
}

// Select answers a query for a store that has none of its own.
func ExampleSelect() {
	types := scim.CoreTypes()
	key := scim.Key{Tenant: "acme", Directory: "okta"}
	rows := map[string]*scim.Resource{}
	for _, name := range []string{"ada", "grace", "alan"} {
		user, err := types.New(key, "User").ID(name).Set("userName", name).Resource()
		must(err)
		rows[name] = user
	}
	all := func(yield func(*scim.Resource) bool) {
		for _, r := range rows {
			if !yield(r) {
				return
			}
		}
	}
	page := scim.Select(&scim.Query{Directory: key, Type: types.Type("User"), StartIndex: 1, Count: 2}, all)
	for _, r := range page.Resources {
		fmt.Println(r.ID())
	}
	fmt.Println("of", page.Total)
	// Output:
	// ada
	// alan
	// of 3
}

// Mount goes around http.ServeMux, which would redirect what providers send.
func ExampleMount() {
	auth := scim.AuthenticatorFunc(func(r *http.Request) (*scim.Caller, error) {
		if r.Header.Get("Authorization") != "Bearer made-with-openssl-rand-hex-32" {
			return nil, scim.ErrUnauthenticated
		}
		return &scim.Caller{Directory: &scim.Directory{Tenant: "acme", ID: "okta"}, Actor: "okta"}, nil
	})
	handler, err := scim.NewHandler(memstore.New(scim.CoreTypes(), nil), scim.NoRoles{}, auth, nil)
	must(err)
	app := http.NewServeMux()
	app.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	mounted := scim.Mount("/api/{version}/scim", handler, app)
	for _, path := range []string{"/hello", "/api/v1/scim//Users/"} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer made-with-openssl-rand-hex-32")
		w := httptest.NewRecorder()
		mounted.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 200
}

// What happened is read in order, and again from where one stopped.
func ExampleLedger() {
	store := memstore.New(scim.CoreTypes(), nil)
	auth, err := scim.StaticTokens(scim.Token{Secret: "made-with-openssl-rand-hex-32", Directory: &scim.Directory{
		Tenant: "acme", ID: "okta", Domains: []string{"acme.example"},
	}})
	must(err)
	mapping, err := roles.New(roles.Mapping{Default: "viewer"})
	must(err)
	handler, err := scim.NewHandler(store, mapping, auth, nil)
	must(err)
	server := httptest.NewServer(scim.Mount("/scim/v2", handler, nil))
	defer server.Close()
	post(server.URL, "/Users", `{"userName":"ada@acme.example"}`)

	events, err := store.Events(context.Background(), "acme", 0, 100)
	must(err)
	for _, e := range events {
		fmt.Println(e.Seq, e.Type, e.Data.User().UserName(), e.Roles)
	}
	// Output:
	// 201
	// 1 user.created ada@acme.example []
	// 2 user.roles_changed ada@acme.example [{viewer default }]
}

// Somebody changed accounts by hand: tell the application again what should be.
func ExampleEngine_Resync() {
	directory := &scim.Directory{Tenant: "acme", ID: "okta", Domains: []string{"acme.example"}}
	auth, err := scim.StaticTokens(scim.Token{Secret: "made-with-openssl-rand-hex-32", Directory: directory})
	must(err)
	var id string
	app := scim.ProvisionerFunc(func(_ context.Context, a *scim.Account) (string, error) {
		id = a.ID
		fmt.Println(a.Change, a.Email)
		return "", nil
	})
	handler, err := scim.NewHandler(memstore.New(scim.CoreTypes(), nil), scim.NoRoles{}, auth, &scim.Config{Provisioner: app})
	must(err)
	server := httptest.NewServer(scim.Mount("/scim/v2", handler, nil))
	defer server.Close()
	post(server.URL, "/Users", `{"userName":"ada@acme.example"}`)

	must(handler.Engine().Resync(context.Background(), directory, id))
	// Output:
	// created ada@acme.example
	// 201
	// resynced ada@acme.example
}

// Clients may page by cursor (RFC 9865) where there is a key to seal cursors
// with: nothing is missed or met twice while others create and delete.
func ExampleConfig_cursors() {
	auth, err := scim.StaticTokens(scim.Token{Secret: "made-with-openssl-rand-hex-32", Directory: &scim.Directory{
		Tenant: "acme", ID: "okta", Domains: []string{"acme.example"},
	}})
	must(err)
	key := []byte("32 random bytes that replicas ha") // from the host's secrets, never from the source
	handler, err := scim.NewHandler(memstore.New(scim.CoreTypes(), nil), scim.NoRoles{}, auth, &scim.Config{CursorKey: key})
	must(err)
	server := httptest.NewServer(scim.Mount("/scim/v2", handler, nil))
	defer server.Close()
	for _, name := range []string{"ada", "alan", "grace"} {
		post(server.URL, "/Users", `{"userName":"`+name+`@acme.example"}`)
	}

	cursor := ""
	for {
		page := struct {
			Resources  []struct{ UserName string }
			NextCursor string
		}{}
		must(json.Unmarshal(get(server.URL, "/Users?count=2&cursor="+cursor), &page))
		for _, user := range page.Resources {
			fmt.Println(user.UserName)
		}
		fmt.Println("--")
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	// Output:
	// 201
	// 201
	// 201
	// ada@acme.example
	// alan@acme.example
	// --
	// grace@acme.example
	// --
}
