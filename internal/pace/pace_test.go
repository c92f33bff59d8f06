package pace_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/internal/pace"
)

// Somebody else gets to run while a long loop goes on, even on one processor.
func TestStepLetsOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ran := false
	go func() { ran = true }()
	var p pace.Pace
	for range 10_000 {
		if p.Step(); ran {
			break
		}
	}
	require.True(t, ran)
}
