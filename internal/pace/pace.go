// Package pace keeps long loops from holding a processor. The Go scheduler
// takes one away after ten milliseconds; a group of a hundred thousand members
// keeps every loop on its way busy for longer than a small request takes, and
// where processors are few the small ones would wait for each of these slices.
package pace

import "runtime"

// A Pace counts the rounds of a long loop. The zero value is ready for use.
type Pace struct{ rounds uint }

// every is how many rounds go by between two pauses: at a microsecond or less
// for a round, others wait for about as long as a small request takes.
const every = 64

// Step counts a round and lets others run now and then.
func (p *Pace) Step() {
	if p.rounds++; p.rounds%every == 0 {
		runtime.Gosched()
	}
}
