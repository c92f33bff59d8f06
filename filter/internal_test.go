package filter

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

// instant reads what attr.ParseTime reads, as the same instant.
func TestInstant(t *testing.T) {
	for _, s := range []string{
		"2024-02-29T12:00:00Z", "2024-02-29T12:00:00", "2024-02-29T12:00:00.1234567", "2024-02-29T12:00:00.1234567Z",
		"2024-02-29T12:00:00+01:00", "2024-02-29T12:00:00.999999999-05:30", "2024-02-29T23:59:59.5+14:00", "0001-01-01T00:00:00-00:00",
		"", "Z", "+01:00", "2024-02-29", "2024-02-29T12:00", "2024-02-30T12:00:00+01:00", "2024-02-29T12:00:00+1:00", "2024-02-29T12:00:00+aa:00",
		"2024-02-29T12:00:00+00:bb", "2024-02-29T12:00:00+/9:00", "2024-02-29 12:00:00+01:00", "x024-02-29T12:00:00-01:00",
	} {
		want, wantOK := attr.ParseTime(s)
		got, ok := instant(s)
		require.Equal(t, wantOK, ok, s)
		if ok {
			require.True(t, want.Equal(got), "%s: %s, not %s", s, got, want)
		}
	}
}

// RFC 8259 section 6. Exactly: no digit is lost between the text and the order.
func TestDecimalOrder(t *testing.T) {
	integers := []string{"-123456789012345678901234567890", "-9007199254740993", "-9007199254740992", "-10", "-9", "0", "1", "9", "10", "99", "100", "9007199254740992", "9007199254740993", "123456789012345678901234567890"}
	for i, a := range integers {
		for j, b := range integers {
			for _, spelled := range []string{b, b + ".0", b + ".0e+0", b + ".000E-0"} {
				d, ok := parseDecimal(spelled)
				require.True(t, ok, spelled)
				n := integer(a)
				got := n.compare(&d)
				require.Equal(t, i < j, got < 0, "%s and %s", a, spelled)
				require.Equal(t, i > j, got > 0, "%s and %s", a, spelled)
			}
		}
		d, ok := parseDecimal(a + ".5")
		require.True(t, ok)
		n := integer(a)
		if a[0] == '-' {
			require.Positive(t, n.compare(&d), a)
		} else {
			require.Negative(t, n.compare(&d), a)
		}
	}
	zero, ok := parseDecimal("-0.00e5")
	require.True(t, ok)
	for _, s := range []string{"-0", "0"} {
		n := integer(s)
		require.Zero(t, n.compare(&zero), s)
	}
}

func TestOpsThatDoNotOrder(t *testing.T) {
	for _, op := range []Op{Co, Sw, Ew} {
		require.False(t, op.orders(0), op)
	}
}
