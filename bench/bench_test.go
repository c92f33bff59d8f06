package main

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// ours returns a filled store of n users, the same for all benchmarks of a run.
var ours = func() func(n int) (*population, error) {
	var mu sync.Mutex
	stores := make(map[int]*population)
	return func(n int) (*population, error) {
		mu.Lock()
		defer mu.Unlock()
		if p, ok := stores[n]; ok {
			return p, nil
		}
		s, err := newOurs(new(atomic.Int64))
		if err != nil {
			return nil, err
		}
		p, err := populate(s, n, largeStore/n, false)
		if err != nil {
			return nil, err
		}
		stores[n] = p
		return p, nil
	}
}()

// BenchmarkOurs is for profiles; the comparison with the peer is the command's.
func BenchmarkOurs(b *testing.B) {
	for _, n := range []int{smallStore, largeStore} {
		for _, name := range callNames {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				p, err := ours(n)
				if err != nil {
					b.Fatal(err)
				}
				c, err := p.call(name, false)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				left := c.batch
				for b.Loop() {
					if err := c.do(); err != nil {
						b.Fatal(err)
					}
					if left--; left == 0 {
						b.StopTimer()
						if err := c.clean(); err != nil {
							b.Fatal(err)
						}
						left = c.batch
						b.StartTimer()
					}
				}
				if c.clean != nil {
					if err := c.clean(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The document is what the figures are about: 760 bytes, 32 values.
func TestUserDocument(t *testing.T) {
	for _, i := range []int{0, 1, 999, 100_000, 5_000_123} {
		document := appendUser(nil, i, titleFirst)
		if len(document) < 730 || len(document) > 790 {
			t.Errorf("user %d has %d bytes: %s", i, len(document), document)
		}
	}
}

// The peer must be right before it may be slow.
func TestPeerIsCorrect(t *testing.T) {
	s, err := newPeer()
	if err != nil {
		t.Fatal(err)
	}
	p, err := populate(s, smallStore, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.verify(); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(callNames, callMemberSmall) {
		c, err := p.call(name, false)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := c.do(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// nothing answers everything with an empty 200, as fast as can be.
var nothing = subject{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusOK)
})}

// A server that answers fast and wrong must not get a figure.
func TestWrongAnswersAreNotCounted(t *testing.T) {
	s, err := newPeer()
	if err != nil {
		t.Fatal(err)
	}
	p, err := populate(s, smallStore, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	p.client.subject = nothing
	if err := p.verify(); err == nil {
		t.Error("a server that answers nothing was verified")
	}
	for _, name := range append(callNames, callMemberSmall) {
		c, err := p.call(name, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.do(); err == nil {
			t.Errorf("%s: an empty answer was counted", name)
		}
	}
}

// BenchmarkHarness is what the harness itself costs a call: under 0.5 µs.
func BenchmarkHarness(b *testing.B) {
	c, err := newClient(nothing)
	if err != nil {
		b.Fatal(err)
	}
	m := c.message(http.MethodPut, "/Users/0199b8a4-7c7e-7d50-9c0e-0123456789ab", "", appendUser(nil, 1, titleFirst))
	want := expectation{status: http.StatusOK}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.expect(&m, &want); err != nil {
			b.Fatal(err)
		}
	}
}
