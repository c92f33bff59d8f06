package attr_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

func TestErrorNamesItsType(t *testing.T) {
	e := refuse(t, everything, body(`"bool":"yes"`), attr.Strict)
	require.EqualError(t, e, `invalidValue: bool is a boolean: true or false, not "yes"`)
}

// Text of a client is shown on one line, shortened, as valid UTF-8.
func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"":                              `""`,
		"abc":                           `"abc"`,
		"a\nb\r\x00\x7fc":               `"a b   c"`,
		"a\u0085\u009b\u2028\u2029b":    `"a    b"`,
		"a\xffb":                        "\"a\uFFFDb\"",
		strings.Repeat("x", 64):         `"` + strings.Repeat("x", 64) + `"`,
		strings.Repeat("x", 65):         `"` + strings.Repeat("x", 64) + `…"`,
		strings.Repeat("x", 63) + "é":   `"` + strings.Repeat("x", 63) + `…"`,
		"日" + strings.Repeat("本", 1000): `"日` + strings.Repeat("本", 20) + `…"`,
	} {
		got := attr.Quote(s)
		require.Equal(t, want, got)
		require.True(t, utf8.ValidString(got))
	}
}
