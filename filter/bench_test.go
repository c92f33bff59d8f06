package filter_test

import (
	"testing"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

func BenchmarkMatch(b *testing.B) {
	typ := userType(b)
	s := documents(b, typ)["ada"]
	d := s.Thaw()
	for _, bench := range []struct{ name, text string }{
		{"scan", `name.givenName sw "x" and active eq true`},
		{"scan-hit", `name.givenName sw "a" and active eq true`},
		{"userName", `userName eq "ada@example.com"`},
		{"valuePath", `emails[type eq "home" and value ew "home.example"]`},
		{"extension", enterprise + `:department eq "navy"`},
		{"dateTime", custom + `:hired gt "2024-01-01T00:00:00Z"`},
		{"contains", `userName co "example.org"`},
	} {
		e := parse(b, typ, bench.text)
		b.Run(bench.name+"/stored", func(b *testing.B) {
			v := s.Value()
			b.ReportAllocs()
			for b.Loop() {
				filter.Match(e, v)
			}
		})
		b.Run(bench.name+"/thawed", func(b *testing.B) {
			v := d.Value()
			b.ReportAllocs()
			for b.Loop() {
				filter.Match(e, v)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	typ := userType(b)
	for _, bench := range []struct{ name, text string }{
		{"userName", `userName eq "ada@example.com"`},
		{"scan", `name.givenName sw "x" and active eq true`},
		{"valuePath", `emails[type eq "work"].value eq "ada@example.com"`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			o := filter.Options{Lenience: attr.Lenient}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := filter.Parse(bench.text, typ, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("path", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := filter.ParsePath(`emails[type eq "work"].value`, typ, filter.Options{Lenience: attr.Lenient}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
