package scim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RFC 7643 section 2.3.5: times are what time.Format says, over all years that
// have four digits.
func TestRFC7643Section2_3_5AppendTime(t *testing.T) {
	const layout = "2006-01-02T15:04:05.000Z"
	first := time.Date(0, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	last := time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()
	check := func(ms int64) {
		t.Helper()
		require.Equal(t, time.UnixMilli(ms).UTC().Format(layout), string(appendTime(nil, ms)))
	}
	for _, ms := range []int64{first, last, 0, -1, 1, 951782400000, 951868799999, 4107542400000} {
		check(ms)
	}
	for range 100_000 {
		check(first + rand.Int64N(last-first))
	}
	for day := time.Date(1999, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() < 2402; day = day.AddDate(0, 0, 1) {
		check(day.UnixMilli())
	}
}
