package storetest

import (
	"crypto/rand"
	"strings"
	"sync"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// The schemas that the kit adds to those of RFC 7643.
const (
	userExtension = "urn:example:params:scim:schemas:extension:storetest:2.0:User"
	deviceSchema  = "urn:example:params:scim:schemas:core:2.0:Device"
)

// kitTypes are the resource types of all cases: users with two extensions,
// groups, and devices, which have attributes of every data type, alone and
// several, at the top and within complex ones.
var kitTypes = sync.OnceValue(func() *scim.Types {
	extension, err := attr.ParseSchema([]byte(`{"id":"` + userExtension + `","name":"Kit","attributes":[
		{"name":"badge","uniqueness":"server"},
		{"name":"locker","uniqueness":"global","caseExact":true},
		{"name":"level","type":"integer"},
		{"name":"score","type":"decimal"},
		{"name":"hired","type":"dateTime"},
		{"name":"remote","type":"boolean"},
		{"name":"skills","multiValued":true},
		{"name":"desk","type":"complex","subAttributes":[{"name":"room"},{"name":"floor","type":"integer"}]}]}`))
	if err != nil {
		panic(err) // it is a constant
	}
	subs := `{"name":"value"},{"name":"type"},{"name":"primary","type":"boolean"},{"name":"label","caseExact":true},
		{"name":"number","type":"integer"},{"name":"weight","type":"decimal"},{"name":"made","type":"dateTime"},
		{"name":"site","type":"reference","referenceTypes":["external"]},{"name":"blob","type":"binary"}`
	devices, err := attr.ParseTypes([]byte(`[
		{"name":"Device","endpoint":"/Devices","schema":"` + deviceSchema + `"},
		{"id":"` + deviceSchema + `","name":"Device","attributes":[
			{"name":"serial","uniqueness":"server"},
			{"name":"code","uniqueness":"server","caseExact":true},
			{"name":"asset","type":"integer","uniqueness":"server"},
			{"name":"slot","type":"decimal","uniqueness":"server"},
			{"name":"built","type":"dateTime","uniqueness":"server"},
			{"name":"secret","type":"binary","uniqueness":"server"},
			{"name":"aliases","multiValued":true,"uniqueness":"server"},
			{"name":"plates","type":"complex","multiValued":true,"subAttributes":[{"name":"value","uniqueness":"server"},{"name":"type"}]},
			{"name":"name"},
			{"name":"mark","caseExact":true},
			{"name":"on","type":"boolean"},
			{"name":"count","type":"integer"},
			{"name":"weight","type":"decimal"},
			{"name":"sold","type":"dateTime"},
			{"name":"site","type":"reference","referenceTypes":["external"]},
			{"name":"blob","type":"binary"},
			{"name":"tags","multiValued":true},
			{"name":"marks","multiValued":true,"caseExact":true},
			{"name":"readings","type":"integer","multiValued":true},
			{"name":"weights","type":"decimal","multiValued":true},
			{"name":"visits","type":"dateTime","multiValued":true},
			{"name":"flags","type":"boolean","multiValued":true},
			{"name":"place","type":"complex","subAttributes":[` + subs + `]},
			{"name":"parts","type":"complex","multiValued":true,"subAttributes":[` + subs + `]}]}]`))
	if err != nil {
		panic(err)
	}
	types, err := scim.CoreTypes().Extend("User", attr.Extension{Schema: extension})
	if err == nil {
		types, err = types.With(devices...)
	}
	if err != nil {
		panic(err)
	}
	return types
})

// newTenant returns the name of a tenant that nobody has used.
func newTenant() string { return "kit-" + strings.ToLower(rand.Text()) }
