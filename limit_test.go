package scim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Forgetting buckets changes nothing: whoever is forgotten had a full one. The
// reference forgets nobody.
func TestE3RateForgetsOnlyFullBuckets(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		limits := Limits{Rate: 1 + r.IntN(20), Burst: 1 + r.IntN(40)}
		if seed%2 == 1 {
			limits = Limits{Rate: 1, Burst: 200 + r.IntN(200)} // takes longer to fill than a log line is apart
		}
		now := time.Unix(1e9, 0)
		limit := newRateLimit(&limits, now)
		each := time.Second / time.Duration(limits.Rate)
		taken := map[callerKey]time.Duration{} // out of the bucket, and not filled in yet
		last := map[callerKey]time.Time{}
		for range 20_000 {
			now = now.Add(time.Duration(r.Int64N(int64(300 * time.Millisecond))))
			if r.IntN(2000) == 0 {
				now = now.Add(time.Duration(r.Int64N(int64(20 * time.Minute))))
			}
			key := callerKey{Key{"acme", fmt.Sprint(r.IntN(4))}, "token"}
			if at, ok := last[key]; ok {
				taken[key] = max(0, taken[key]-now.Sub(at))
			}
			last[key] = now
			wait, _ := limit.take(key, now)
			allowed := taken[key]+each <= each*time.Duration(limits.Burst)
			if allowed {
				taken[key] += each
			}
			require.Equal(t, allowed, wait <= 0, "%+v", limits)
		}
	}
}

// What is kept is in proportion to the callers of the last minutes, not to all
// there ever were.
func TestE3RateIsBoundedInMemory(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	limit := newRateLimit(&Limits{Rate: 100, Burst: 200}, now)
	most := 0
	for i := range 200_000 { // a hundred new callers a second
		now = now.Add(10 * time.Millisecond)
		wait, _ := limit.take(callerKey{Key{"acme", fmt.Sprint(i)}, "token"}, now)
		require.LessOrEqual(t, wait, time.Duration(0))
		most = max(most, len(limit.young)+len(limit.old))
	}
	require.LessOrEqual(t, most, 2*60*100+1, "those of two minutes")
}

// A request costs no memory where its caller is known, and nothing at all
// without a limit.
func TestE3RateDoesNotAllocate(t *testing.T) {
	now := time.Unix(1e9, 0)
	limit := newRateLimit(&Limits{Rate: 100, Burst: 200}, now)
	key := callerKey{Key{"acme", "okta"}, "token"}
	require.Zero(t, testing.AllocsPerRun(100, func() { limit.take(key, now) }))
	require.Nil(t, newRateLimit(&Limits{}, now))
}
