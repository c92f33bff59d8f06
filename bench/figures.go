package main

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
)

// A figure is one promise that is not a row of the table.
type figure struct {
	name           string
	value, atMost  float64
	unit, evidence string
}

func (f figure) kept() bool { return f.value <= f.atMost }

// heapPerUser is what one stored user adds to the heap after a collection, indexes
// included, in bytes; with groupsToo, also its three memberships.
func heapPerUser(n int, groupsToo bool) (float64, error) {
	s, err := newOurs(new(atomic.Int64))
	if err != nil {
		return 0, err
	}
	before := liveHeap()
	p, err := populate(s, n, 1, !groupsToo)
	if err != nil {
		return 0, err
	}
	p.ids, p.groups = nil, nil // these are not the store's
	after := liveHeap()
	runtime.KeepAlive(s)
	runtime.KeepAlive(p)
	return (float64(after) - float64(before)) / float64(n), nil
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the pools let go in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// readInterval is the time from one GET to the next where the tail is measured. A GET
// that takes longer stands for the ones that would have come meanwhile as well, or a
// store that is locked for a second would have a single slow call to its name. It is a
// hundred times what a GET takes, so that where the operating system runs something else
// for a while, that seldom falls into a GET.
const readInterval = 100 * time.Microsecond

// provisionerDelay is how long the slow Provisioner takes.
const provisionerDelay = 20 * time.Millisecond

// A disturbance is what another client does while GETs are timed.
type disturbance struct {
	name  string
	begin func() // before the first write; nil for nothing to do
	end   func()
	write func(i int) error // nil for a quiet store
}

// A tail is the 99.9th percentile of GET under one disturbance.
type tail struct {
	p999   time.Duration // of the best round: what else the machine does only adds to it, a lock is in every round
	writes int           // in all rounds
}

// tails measures GET while nothing else happens, while another client creates and
// deletes a group of all users, and while a Provisioner takes its time; reader and
// writer are in the same directory.
func tails(n, rounds int, duration time.Duration) (quiet, bigWrite, slowHook tail, err error) {
	var pause atomic.Int64
	s, err := newOurs(&pause)
	if err != nil {
		return quiet, bigWrite, slowHook, err
	}
	p, err := populate(s, n, 1, false)
	if err != nil {
		return quiet, bigWrite, slowHook, err
	}
	big, err := p.bigWrites()
	if err != nil {
		return quiet, bigWrite, slowHook, err
	}
	slow, err := p.slowWrites(&pause)
	if err != nil {
		return quiet, bigWrite, slowHook, err
	}
	get := p.getCall(true)
	for range min(p.n, hotLength) { // warm
		if err := get.do(); err != nil {
			return quiet, bigWrite, slowHook, err
		}
	}
	results := [3]*tail{&quiet, &bigWrite, &slowHook}
	for round := range rounds {
		for i, d := range []disturbance{{name: "quiet"}, big, slow} {
			latencies, writes, err := observe(get, d, duration)
			if err != nil {
				return quiet, bigWrite, slowHook, fmt.Errorf("%s: %w", d.name, err)
			}
			slices.Sort(latencies)
			p999 := latencies[len(latencies)*999/1000]
			if round == 0 || p999 < results[i].p999 {
				results[i].p999 = p999
			}
			results[i].writes += writes
		}
	}
	return quiet, bigWrite, slowHook, nil
}

// bigWrites creates a group of all users and deletes it again, over and over.
func (p *population) bigWrites() (disturbance, error) {
	c, err := newClient(p.client.subject)
	if err != nil {
		return disturbance{}, err
	}
	m := c.message(http.MethodPost, "/Groups", "", groupBody("All at once", p.ids))
	return disturbance{name: "big write", write: func(int) error {
		id, err := c.create(&m)
		if err != nil {
			return err
		}
		remove := c.message(http.MethodDelete, "/Groups/"+id, "", nil)
		return c.expect(&remove, &expectation{status: http.StatusNoContent})
	}}, nil
}

// slowWrites deactivates and activates one user, and sees to it that the Provisioner
// was called each time.
func (p *population) slowWrites(pause *atomic.Int64) (disturbance, error) {
	c, err := newClient(p.client.subject)
	if err != nil {
		return disturbance{}, err
	}
	k := p.n / 2
	messages := [2]message{
		c.message(http.MethodPatch, p.userPath(k), "", patchActive(false)),
		c.message(http.MethodPatch, p.userPath(k), "", patchActive(true)),
	}
	want := expectation{status: http.StatusOK, emptyToo: true, least: wholeUser, most: 3 * wholeUser}
	active := 1
	return disturbance{
		name:  "slow Provisioner",
		begin: func() { pause.Store(int64(provisionerDelay)) },
		end:   func() { pause.Store(0) },
		write: func(int) error {
			active = 1 - active
			start := time.Now()
			if err := c.expect(&messages[active], &want); err != nil {
				return err
			}
			if took := time.Since(start); took < provisionerDelay {
				return fmt.Errorf("a write took %v: the Provisioner was not called", took)
			}
			return nil
		},
	}, nil
}

// observe times GETs for the given time while d goes on without a break.
func observe(get call, d disturbance, duration time.Duration) (latencies []time.Duration, writes int, err error) {
	if d.write == nil {
		latencies, err = paced(get, duration)
		return latencies, 0, err
	}
	if d.begin != nil {
		d.begin()
		defer d.end()
	}
	var stop atomic.Bool
	started, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		close(started)
		for ; !stop.Load(); writes++ {
			if err := d.write(writes); err != nil {
				stopped <- err
				return
			}
		}
		stopped <- nil
	}()
	<-started
	latencies, err = paced(get, duration)
	stop.Store(true)
	if writeErr := <-stopped; err == nil {
		err = writeErr
	}
	return latencies, writes, err
}

// paced sends a GET every readInterval and returns how long each took, with those added
// that a slow one kept from being sent.
func paced(get call, duration time.Duration) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, 2*int(duration/readInterval))
	start := time.Now()
	for due := start; due.Sub(start) < duration; due = due.Add(readInterval) {
		begun := time.Now()
		for begun.Before(due) {
			begun = time.Now()
		}
		if err := get.do(); err != nil {
			return nil, err
		}
		done := time.Now()
		for latency := done.Sub(begun); latency > 0; latency -= readInterval {
			latencies = append(latencies, latency)
		}
		if due.Before(done) {
			due = done
		}
	}
	return latencies, nil
}
