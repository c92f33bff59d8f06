package sqltest_test

import (
	"context"
	"os"
	"testing"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/sqltest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sqltest.Close()
	os.Exit(code)
}

func TestSmoke(t *testing.T) {
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			s := sqltest.Open(t, name, scim.CoreTypes(), nil)
			ctx := context.Background()
			key := scim.Key{Tenant: "a", Directory: "b"}
			r, err := scim.CoreTypes().New(key, "User").ID("1").Set("userName", "Bjensen").Set("emails", []map[string]any{{"value": "A@b.c", "type": "work"}}).Resource()
			if err != nil {
				t.Fatal(err)
			}
			if r, err = s.Create(ctx, r); err != nil {
				t.Fatal(err)
			}
			if r, err = s.Get(ctx, r.Ref(), scim.GetOptions{}); err != nil {
				t.Fatal(err)
			}
			u, _ := scim.CoreTypes().Type("User").Lookup("userName", 0)
			p, err := s.List(ctx, &scim.Query{Directory: key, Type: scim.CoreTypes().Type("User"), Filter: filter.Equal(u, "bJENSEN"), StartIndex: 1, Count: 10})
			if err != nil || p.Total != 1 {
				t.Fatal(err, p)
			}
			t.Log(r.JSON())
		})
	}
}
