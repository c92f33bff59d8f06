package filter_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// Bytes of ordered texts must say of any two values what a sort says of them,
// and what each operator says of a value and a literal.
func TestOrderedTextsAgreeWithKeys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		a      *attr.Attribute
		values []string
	}{
		{"integers", &attr.Attribute{Kind: attr.Integer}, []string{
			"0", "-0", "1", "-1", "9", "10", "-10", "11", "100", "-100", "101", "99", "-99", "12", "120", "1200", "-12", "-120", "-121", "-1200",
			"9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + strings.Repeat("0", 400), "-1" + strings.Repeat("0", 400),
		}},
		{"decimals", &attr.Attribute{Kind: attr.Decimal}, []string{
			"0", "-0.0", "1", "1.0", "1e0", "-1", "0.1", "-0.1", "1e-320", "-1e-320", "1e308", "-1e308", "2.5", "2.25", "-2.5", "1e400", "-1e400",
		}},
		{"times", &attr.Attribute{Kind: attr.DateTime}, []string{
			"2011-05-13T04:42:34Z", "2011-05-13T06:42:34+02:00", "2011-05-13T04:42:34.5Z", "2011-05-13T04:42:34.500000001Z",
			"1969-12-31T23:59:59.9Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00+14:00",
		}},
		{"strings", &attr.Attribute{Kind: attr.String}, []string{"", "a", "A", "b", "ab", "AB", "Straße", "ｆｕｌｌ", "full", "É", "e\u0301", "é", "\U0001F600", "\uFFFD"}},
		{"exact strings", &attr.Attribute{Kind: attr.String, CaseExact: true}, []string{"", "a", "A", "ab", "AB", "É", "\U0001F600", "\uFFFD"}},
		{"octets", &attr.Attribute{Kind: attr.Binary}, []string{"QQ==", "QQ", "+/+/", "-_-_", "QUJD"}},
		{"flags", &attr.Attribute{Kind: attr.Boolean}, []string{"true", "false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, x := range c.values {
				for _, y := range c.values {
					k, l := filter.NewKey(c.a, x), filter.NewKey(c.a, y)
					want := cmp.Compare(k.Compare(&l), 0)
					require.Equal(t, want, strings.Compare(filter.Ordered(c.a, x), filter.Ordered(c.a, y)), "%q and %q", x, y)
				}
			}
		})
	}
}
