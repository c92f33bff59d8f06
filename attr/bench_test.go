package attr_test

import (
	"testing"

	"github.com/muster-id/scim/attr"
)

const userJSON = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef","userName":"bjensen@example.com","name":{"formatted":"Ms. Barbara J Jensen III","familyName":"Jensen","givenName":"Barbara"},"displayName":"Babs Jensen","title":"Tour Guide","locale":"en-US","timezone":"America/Los_Angeles","active":true,"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.example","type":"home"}],"phoneNumbers":[{"value":"555-555-5555","type":"work"}],"addresses":[{"streetAddress":"100 Universal City Plaza","locality":"Hollywood","region":"CA","postalCode":"91608","country":"US","type":"work"}],"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"701984","costCenter":"4130","department":"Tour Operations","manager":{"value":"26118915-6090-4610-87e4-49d8ca9f808d"}}}`

func BenchmarkDecode(b *testing.B) {
	typ, body := userType(b), []byte(userJSON)
	b.ReportAllocs()
	for b.Loop() {
		d := attr.NewDoc(typ)
		if err := d.Decode(body, attr.Lenient, attr.Limits{}); err != nil {
			b.Fatal(err)
		}
		d.Release()
	}
}

func BenchmarkDecodeFreeze(b *testing.B) {
	typ, body := userType(b), []byte(userJSON)
	b.ReportAllocs()
	for b.Loop() {
		d := attr.NewDoc(typ)
		if err := d.Decode(body, attr.Lenient, attr.Limits{}); err != nil {
			b.Fatal(err)
		}
		s := d.Freeze()
		if s.Type() == nil {
			b.Fatal("not frozen")
		}
		d.Release()
	}
}

func BenchmarkThawFreeze(b *testing.B) {
	s := freeze(b, userType(b), userJSON, attr.Strict)
	b.ReportAllocs()
	for b.Loop() {
		d := s.Thaw()
		if f := d.Freeze(); len(f.JSON()) != len(s.JSON()) {
			b.Fatal("another document")
		}
		d.Release()
	}
}

func BenchmarkAnswer(b *testing.B) {
	typ := userType(b)
	s := freeze(b, typ, userJSON, attr.Strict)
	for _, bench := range []struct {
		name string
		p    *attr.Projection
	}{
		{"whole", nil},
		{"three attributes", typ.Project([]string{"userName", "active", "emails.value"}, nil)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out = s.AppendOpen(out[:0], bench.p)
			}
		})
	}
}

func BenchmarkFind(b *testing.B) {
	typ := userType(b)
	s := freeze(b, typ, userJSON, attr.Strict)
	department := lookup(b, typ, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department")
	b.ReportAllocs()
	for b.Loop() {
		if s.Value().At(department).Text() != "Tour Operations" {
			b.Fatal("not found")
		}
	}
}
