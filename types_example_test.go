package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/memstore"
)

// A host adds attributes of its own to users.
func ExampleTypes_Extend() {
	acme, err := attr.ParseSchema([]byte(`{"id":"urn:example:params:scim:schemas:extension:acme:2.0:User","name":"Acme",
		"attributes":[{"name":"badge","uniqueness":"server"},{"name":"floor","type":"integer"}]}`))
	must(err)
	types, err := scim.CoreTypes().Extend("User", attr.Extension{Schema: acme})
	must(err)

	user, err := types.New(scim.Key{}, "User").
		Set("userName", "ada").
		Set(acme.ID+":badge", "B-17").
		Set(acme.ID+":floor", 3).
		Resource()
	must(err)
	var ext struct {
		Badge string
		Floor int
	}
	must(user.Decode(acme.ID, &ext))
	fmt.Println(ext.Badge, ext.Floor)
	// Output: B-17 3
}

// A resource type of the host's own, declared in the JSON of RFC 7643 sections
// 6 and 7, is served like users and groups.
func ExampleTypes_With() {
	devices, err := attr.ParseTypes([]byte(`[
		{"name":"Device","endpoint":"/Devices","schema":"urn:example:params:scim:schemas:core:2.0:Device"},
		{"id":"urn:example:params:scim:schemas:core:2.0:Device","name":"Device","attributes":[
			{"name":"serial","required":true,"uniqueness":"server"},
			{"name":"weight","type":"decimal"},
			{"name":"owner","type":"complex","subAttributes":[{"name":"value"}]}]}]`))
	must(err)
	types, err := scim.CoreTypes().With(devices...)
	must(err)

	auth, err := scim.StaticTokens(scim.Token{Secret: "made-with-openssl-rand-hex-32", Directory: &scim.Directory{Tenant: "acme", ID: "okta"}})
	must(err)
	handler, err := scim.NewHandler(memstore.New(types, nil), scim.NoRoles{}, auth, &scim.Config{Types: types})
	must(err)
	server := httptest.NewServer(scim.Mount("/scim/v2", handler, nil))
	defer server.Close()

	post(server.URL, "/Devices", `{"serial":"M-1","weight":1.5,"owner":{"value":"ada"}}`)
	post(server.URL, "/Devices", `{"serial":"m-1"}`)
	post(server.URL, "/Devices", `{"weight":7}`)
	for _, serial := range serials(server.URL, "/Devices", `weight gt 1 and owner.value eq "ada"`) {
		fmt.Println(serial)
	}
	// Output:
	// 201
	// 409 another resource of this directory has the same serial; find it with a filter on serial and update it instead
	// 400 serial is required and has no value; send one
	// M-1
}

// serials returns the serial numbers of the devices that a filter finds.
func serials(server, path, filter string) (found []string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server+"/scim/v2"+path+"?filter="+url.QueryEscape(filter), http.NoBody)
	must(err)
	r.Header.Set("Authorization", "Bearer made-with-openssl-rand-hex-32")
	res, err := http.DefaultClient.Do(r)
	must(err)
	defer res.Body.Close()
	var page struct {
		Resources []struct{ Serial string }
	}
	must(json.NewDecoder(res.Body).Decode(&page))
	for _, device := range page.Resources {
		found = append(found, device.Serial)
	}
	return found
}

// The whole resource decodes too, its extensions by their URNs.
func ExampleResource_Decode_whole() {
	user, err := scim.CoreTypes().New(scim.Key{}, "User").
		ID("42").
		Set("userName", "ada").
		Set("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "Engines").
		Meta(scim.Meta{Version: 3}).
		Resource()
	must(err)
	var ada struct {
		ID         string
		UserName   string
		Enterprise struct{ Department string } `json:"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`
		Meta       struct{ Version string }
	}
	must(user.Decode("", &ada))
	fmt.Println(ada.ID, ada.UserName, ada.Enterprise.Department, ada.Meta.Version)
	// Output: 42 ada Engines W/"3"
}

// A store without indexes keeps unique what a schema declares unique.
func ExampleCheckUnique() {
	acme, err := attr.ParseSchema([]byte(`{"id":"urn:example:params:scim:schemas:extension:acme:2.0:User","attributes":[{"name":"badge","uniqueness":"server"}]}`))
	must(err)
	types, err := scim.CoreTypes().Extend("User", attr.Extension{Schema: acme})
	must(err)
	user := func(id, badge string) *scim.Resource {
		r, err := types.New(scim.Key{Tenant: "acme", Directory: "okta"}, "User").ID(id).Set("userName", id).Set("badge", badge).Resource()
		must(err)
		return r
	}
	rows := []*scim.Resource{user("ada", "B-1"), user("grace", "B-2")}
	fmt.Println(scim.CheckUnique(user("alan", "B-3"), slices.Values(rows)))
	fmt.Println(scim.CheckUnique(user("alan", "b-1"), slices.Values(rows)))
	fmt.Println(scim.CheckUnique(user("ada", "b-1"), slices.Values(rows)))
	// Output:
	// <nil>
	// scim: value is not unique: urn:example:params:scim:schemas:extension:acme:2.0:User:badge
	// <nil>
}
