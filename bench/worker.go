package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// Every subject runs in a process of its own, a worker, and the workers are measured
// in turn: otherwise one subject would pay for the garbage of another. A worker reads
// orders from its standard input and writes reports to its standard output, one JSON
// value each; while it waits it does nothing.

// An order asks for one round of one call.
type order struct {
	Call   string        `json:"call"`
	Hot    bool          `json:"hot"`
	Budget time.Duration `json:"budget"`
}

// A report answers an order; the first one says that the store is filled and verified.
type report struct {
	Sample sample `json:"sample"`
	Error  string `json:"error,omitempty"`
	// Attributes are the names in the answer to a GET of a user, in the first report.
	Attributes []string `json:"attributes,omitempty"`
}

const (
	peerName  = "peer"
	oursName  = "ours"
	floorName = "floor"
)

func newSubject(name string) (subject, error) {
	switch name {
	case peerName:
		return newPeer()
	case oursName:
		return newOurs(new(atomic.Int64))
	case floorName:
		return newFloor(), nil
	default:
		return subject{}, fmt.Errorf("no subject is named %q", name)
	}
}

// serve is the life of a worker.
func serve(name string, n, step int, in io.Reader, out io.Writer) error {
	orders, reports := json.NewDecoder(in), json.NewEncoder(out)
	p, attributes, err := prepare(name, n, step)
	if err != nil {
		return reports.Encode(report{Error: err.Error()})
	}
	if err := reports.Encode(report{Attributes: attributes}); err != nil {
		return err
	}
	meters := make(map[order]*meter)
	for {
		var o order
		if err := orders.Decode(&o); err != nil {
			return nil //nolint:nilerr // the end of the orders is the end of the worker
		}
		var r report
		if r.Sample, err = obey(p, meters, o); err != nil {
			r.Error = err.Error()
		}
		if err := reports.Encode(r); err != nil {
			return err
		}
	}
}

func prepare(name string, n, step int) (*population, []string, error) {
	s, err := newSubject(name)
	if err != nil {
		return nil, nil, err
	}
	p, err := populate(s, n, step, false)
	if err != nil || name == floorName {
		return p, nil, err // the floor has no memory to verify
	}
	if err := p.verify(); err != nil {
		return nil, nil, err
	}
	var document map[string]any
	if err := p.client.fetch(p.client.message(http.MethodGet, p.userPath(0), "", nil), &document); err != nil {
		return nil, nil, err
	}
	return p, slices.Sorted(maps.Keys(document)), nil
}

func obey(p *population, meters map[order]*meter, o order) (sample, error) {
	// In a store that has no other users the hot walk is the ordinary one.
	key := order{Call: o.Call, Hot: o.Hot && p.n > hotLength}
	m, ok := meters[key]
	if !ok {
		c, err := p.call(key.Call, key.Hot)
		if err != nil {
			return sample{}, err
		}
		m = &meter{call: c}
		meters[key] = m
	}
	return m.measure(o.Budget)
}

// A worker is the process of one subject, seen from the one that measures.
type worker struct {
	name       string
	n          int
	attributes []string
	command    *exec.Cmd
	orders     *json.Encoder
	reports    *json.Decoder
	input      io.Closer
}

// startWorker starts a worker; [worker.ready] waits until it can be given orders.
func startWorker(name string, n, step int) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, "-worker", name, "-n", strconv.Itoa(n), "-step", strconv.Itoa(step), "-guarded="+strconv.FormatBool(*guarded)) //nolint:gosec,noctx // itself
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return &worker{name: name, n: n, command: command, orders: json.NewEncoder(in), reports: json.NewDecoder(out), input: in}, nil
}

func (w *worker) ready() error {
	var r report
	if err := w.receive(&r); err != nil {
		return err
	}
	w.attributes = r.Attributes
	return nil
}

func (w *worker) receive(r *report) error {
	if err := w.reports.Decode(r); err != nil {
		return fmt.Errorf("%s at %d users: %w", w.name, w.n, err)
	}
	if r.Error != "" {
		return fmt.Errorf("%s at %d users: %s", w.name, w.n, r.Error)
	}
	return nil
}

func (w *worker) measure(o order) (sample, error) {
	if err := w.orders.Encode(o); err != nil {
		return sample{}, err
	}
	var r report
	err := w.receive(&r)
	return r.Sample, err
}

// stop ends the worker and waits for it.
func (w *worker) stop() error {
	if err := w.input.Close(); err != nil {
		return err
	}
	return w.command.Wait()
}
