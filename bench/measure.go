package main

import (
	"runtime"
	"time"
)

// A sample is what one call cost in one round.
type sample struct {
	Nanoseconds float64 `json:"ns"`
	Allocs      float64 `json:"allocs"`
	Bytes       float64 `json:"bytes"`
	Calls       int     `json:"calls"`
}

// A meter measures one call round after round, and remembers how many fit in a slice
// of time.
type meter struct {
	call  call
	slice int // calls in one uninterrupted batch; zero before the first round
}

// batchesPerRound is how many batches a round is cut into, where a call is fast
// enough: the clock is read between batches only.
const batchesPerRound = 8

// patience is by how much a round may exceed its time to see a collection through.
const patience = 6

// measure makes calls for about the given time, cleaning included in the wait but not
// in the figures. A round begins after a collection of the garbage, and if its own
// garbage makes the next one due, lasts until that is over: a collection of a large
// store takes longer than many a round, and a call is to be charged neither for a whole
// one nor for none.
func (m *meter) measure(budget time.Duration) (sample, error) {
	if m.slice == 0 {
		if err := m.warmUp(budget); err != nil {
			return sample{}, err
		}
	}
	runtime.GC()
	var (
		s             sample
		spent         time.Duration
		before, after runtime.MemStats
	)
	runtime.ReadMemStats(&before)
	collections := before.NumGC
	for {
		took, err := m.batch(m.slice)
		if err != nil {
			return sample{}, err
		}
		runtime.ReadMemStats(&after)
		spent += took
		s.Calls += m.slice
		s.Allocs += float64(after.Mallocs - before.Mallocs)
		s.Bytes += float64(after.TotalAlloc - before.TotalAlloc)
		if m.call.clean != nil {
			if err := m.call.clean(); err != nil {
				return sample{}, err
			}
		}
		isDue := float64(after.HeapAlloc)+patience*s.Bytes > float64(after.NextGC)
		if spent >= budget && (after.NumGC > collections || !isDue || spent >= patience*budget) {
			break
		}
		runtime.ReadMemStats(&before)
	}
	calls := float64(s.Calls)
	s.Nanoseconds, s.Allocs, s.Bytes = float64(spent)/calls, s.Allocs/calls, s.Bytes/calls
	return s, nil
}

func (m *meter) batch(calls int) (time.Duration, error) {
	start := time.Now()
	for range calls {
		if err := m.call.do(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// warmUp doubles the batch until it fills its share of a round.
func (m *meter) warmUp(budget time.Duration) error {
	for m.slice = 1; ; m.slice *= 2 {
		took, err := m.batch(m.slice)
		if err != nil {
			return err
		}
		if m.call.clean != nil {
			if err := m.call.clean(); err != nil {
				return err
			}
		}
		if took >= budget/batchesPerRound/2 || m.slice == m.call.batch {
			return nil
		}
	}
}
