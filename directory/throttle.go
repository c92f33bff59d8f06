package directory

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// mostFailures is how many requests without a valid token an address may send
	// in a window before it is told to wait. While it waits, as many tenants that
	// are not known to exist are read for it, so that a valid token is found.
	mostFailures = 10
	failWindow   = time.Minute

	// throttleAddresses bounds the addresses of each generation.
	throttleAddresses = 1 << 16
)

// A throttle counts the requests of an address that had no valid token (rule
// E2). Nobody who has one meets it: it is asked when a token was not valid, and
// before a tenant is read that was not met for a day. An IPv6 address stands for
// the /64 that it is in, which is what one customer has.
type throttle struct {
	mu         sync.Mutex
	young, old map[netip.Addr]failures // dropped in turn, as in generations
	turned     time.Time
	most       int // addresses of a generation
}

// failures are those of an address in the window that began at since.
type failures struct {
	since        time.Time
	count, reads int
}

func newThrottle(now time.Time) *throttle {
	return &throttle{young: map[netip.Addr]failures{}, turned: now, most: throttleAddresses}
}

// fail counts a failure and returns how long the address is to wait; 0 if it
// need not.
func (t *throttle) fail(from netip.Addr, now time.Time) (wait time.Duration) {
	return t.count(from, now, func(f *failures) bool {
		f.count = min(f.count+1, mostFailures+1)
		return f.count <= mostFailures
	})
}

// read counts the reading of a tenant and returns how long the address is to
// wait for it; 0 if it need not.
func (t *throttle) read(from netip.Addr, now time.Time) (wait time.Duration) {
	return t.count(from, now, func(f *failures) bool {
		if f.count < mostFailures {
			return true
		}
		f.reads = min(f.reads+1, mostFailures+1)
		return f.reads <= mostFailures
	})
}

func (t *throttle) count(from netip.Addr, now time.Time, allowed func(*failures) bool) (wait time.Duration) {
	if from.Is6() {
		const bits = 64
		network, _ := from.Prefix(bits)
		from = network.Addr()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := now.Sub(t.turned); age < 0 || age >= failWindow || len(t.young) >= t.most {
		t.young, t.old, t.turned = map[netip.Addr]failures{}, t.young, now
	}
	f, ok := t.young[from]
	if !ok {
		f = t.old[from]
	}
	if age := now.Sub(f.since); age < 0 || age >= failWindow {
		f = failures{since: now}
	}
	ok = allowed(&f)
	if f.count > 0 || f.reads > 0 {
		t.young[from] = f
	}
	if ok {
		return 0
	}
	return f.since.Add(failWindow).Sub(now)
}
