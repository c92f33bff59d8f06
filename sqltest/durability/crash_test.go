//go:build unix

package durability_test

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// The process is killed again and again while a provider works: wherever it
// happens to be, and in each of the places that a crash could show.
func TestB6CrashOfTheProcess(t *testing.T) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			c := database(t)
			var address atomic.Value
			service := startProcess(t, c)
			address.Store(service.URL)
			p := newProvider(t, func() string { return address.Load().(string) }, 4)
			p.start(t.Context())
			for i := range *kills {
				if i%4 == 0 {
					p.progress(t, 1+rand.Int64N(20))
					service.kill(t)
				} else {
					service.wait(t) // it ends itself
				}
				next := *c
				if places := []place{inTransaction, beforeJournal, afterJournal}; i%4 < len(places) {
					next.Die, next.After = places[i%4], 1+rand.Int64N(10)
				}
				service = startProcess(t, &next)
				address.Store(service.URL)
			}
			service.kill(t)
			service = startProcess(t, c)
			address.Store(service.URL)
			p.finish(t)
			delivered(t, c)
			service.kill(t)
			agree(t, c, p)
		})
	}
}
