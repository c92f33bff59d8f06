package attr_test

import (
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

func userType(t testing.TB) *attr.Type {
	typ, err := attr.NewType("User", "/Users", "", schema.CoreUserSchema(), attr.Extension{Schema: schema.ExtensionEnterpriseUser()})
	require.NoError(t, err)
	return typ
}

const userJSON = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef","userName":"bjensen@example.com","name":{"formatted":"Ms. Barbara J Jensen III","familyName":"Jensen","givenName":"Barbara"},"displayName":"Babs Jensen","title":"Tour Guide","locale":"en-US","timezone":"America/Los_Angeles","active":true,"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.example","type":"home"}],"phoneNumbers":[{"value":"555-555-5555","type":"work"}],"addresses":[{"streetAddress":"100 Universal City Plaza","locality":"Hollywood","region":"CA","postalCode":"91608","country":"US","type":"work"}],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"701984","costCenter":"4130","department":"Tour Operations","manager":{"value":"26118915-6090-4610-87e4-49d8ca9f808d"}}}`

func BenchmarkDecodeFreeze(b *testing.B) {
	typ := userType(b)
	body := []byte(userJSON)
	b.ReportAllocs()
	for b.Loop() {
		d := attr.NewDoc(typ)
		if err := d.Decode(body, attr.Lenient, attr.Limits{}); err != nil {
			b.Fatal(err)
		}
		s := d.Freeze()
		_ = s
		d.Release()
	}
}

func BenchmarkDecode(b *testing.B) {
	typ := userType(b)
	body := []byte(userJSON)
	b.ReportAllocs()
	for b.Loop() {
		d := attr.NewDoc(typ)
		if err := d.Decode(body, attr.Lenient, attr.Limits{}); err != nil {
			b.Fatal(err)
		}
		d.Release()
	}
}

func BenchmarkThawFreeze(b *testing.B) {
	typ := userType(b)
	d := attr.NewDoc(typ)
	if err := d.Decode([]byte(userJSON), attr.Lenient, attr.Limits{}); err != nil {
		b.Fatal(err)
	}
	s := d.Freeze()
	b.Log(len(s.JSON()))
	b.ReportAllocs()
	for b.Loop() {
		d := s.Thaw()
		_ = d.Freeze()
		d.Release()
	}
}

func TestRoundTrip(t *testing.T) {
	typ := userType(t)
	d := attr.NewDoc(typ)
	require.NoError(t, d.Decode([]byte(userJSON), attr.Strict, attr.Limits{}))
	s := d.Freeze()
	require.Equal(t, userJSON, s.JSON())
	th := s.Thaw()
	require.NoError(t, th.Check())
	s2 := th.Freeze()
	require.True(t, s.Equal(&s2))
}
