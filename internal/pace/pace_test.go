package pace_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/internal/pace"
)

// Somebody else gets to run while a long loop goes on, even on one processor.
func TestStepLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ran atomic.Bool
	go ran.Store(true)
	var p pace.Pace
	for range 10_000 {
		if p.Step(); ran.Load() {
			break
		}
	}
	require.True(t, ran.Load())
}
