// Command bench compares the speed of this module's handler with that of
// github.com/elimity-com/scim, the server that Go applications embed today, over a
// careful host in memory, and with a floor that only reads, tokenises and writes.
//
// The three are given the same documents and the same requests, in turn, in one run;
// ratios are what counts, not absolute times. Every answer is checked. A mark stands
// where a ratio falls short of what is promised, and the exit status is then 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// required is how many times faster than the peer a call must be, at 1,000 and at
// 100,000 users.
var required = map[string][2]float64{
	callGet:    {10, 6},
	callHit:    {50, 35},
	callMiss:   {80, 90},
	callScan:   {12, 12},
	callPage:   {40, 30},
	callPatch:  {10, 12},
	callPut:    {6, 6},
	callPost:   {6, 6},
	callMember: {50, 5000},
}

const (
	smallStore = 1_000
	largeStore = 100_000
)

func requirement(name string, n int) (ratio float64, ok bool) {
	pair, ok := required[name]
	switch {
	case ok && n == smallStore:
		return pair[0], true
	case ok && n == largeStore:
		return pair[1], true
	default:
		return 0, false
	}
}

// settings are the flags.
type settings struct {
	users   []int
	rounds  int
	budget  time.Duration
	only    *regexp.Regexp
	figures bool
	peer    bool
}

var errShort = errors.New("something is slower or larger than promised")

// commands are what the first argument may name instead of the comparison with the
// peer.
var commands = map[string]func(ctx context.Context, arguments []string, w io.Writer) error{
	"directories": runDirectories,
	"scale":       runScale,
	"sql":         runSQL,
}

func main() {
	if len(os.Args) > 1 && commands[os.Args[1]] != nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err := commands[os.Args[1]](ctx, os.Args[2:], os.Stdout)
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench "+os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	users := flag.String("users", fmt.Sprintf("%d,%d", smallStore, largeStore), "numbers of users, ascending")
	rounds := flag.Int("rounds", 5, "rounds, in each of which every subject has its turn")
	budget := flag.Duration("budget", 60*time.Millisecond, "time for one call of one subject in one round; four times as much in a large store")
	only := flag.String("only", "", "measure only the calls whose name this regular expression matches")
	figures := flag.Bool("figures", true, "measure growth, big groups, heap and tails as well")
	peer := flag.Bool("peer", true, "measure the peer; without it there are no ratios")
	role := flag.String("worker", "", "be the process of one subject (internal)")
	n := flag.Int("n", smallStore, "users of the worker (internal)")
	step := flag.Int("step", 1, "distance between the worker's users (internal)")
	flag.Parse()

	if err := run(*role, *n, *step, *users, *only, settings{
		rounds: max(*rounds, 1), budget: *budget, figures: *figures, peer: *peer,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(role string, n, step int, users, only string, s settings) error {
	if role != "" {
		return serve(role, n, step, os.Stdin, os.Stdout)
	}
	for _, field := range strings.Split(users, ",") {
		size, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || size < 10*hundredLength || (len(s.users) > 0 && size <= s.users[len(s.users)-1]) {
			return fmt.Errorf("-users %s: ascending numbers from %d are wanted", users, 10*hundredLength)
		}
		s.users = append(s.users, size)
	}
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return err
	}
	return s.report(os.Stdout)
}

// report measures and prints everything that was asked for.
func (s settings) report(w io.Writer) error {
	kept, err := s.compare(w)
	if err != nil {
		return err
	}
	if s.figures {
		more, err := s.storeFigures()
		if err != nil {
			return err
		}
		if !printFigures(w, more) {
			kept = false
		}
	}
	if !kept {
		return errShort
	}
	return nil
}

// compare prints the table and, if asked to, the figures that need its workers.
func (s settings) compare(w io.Writer) (kept bool, err error) {
	names := []string{peerName, oursName, floorName}
	if !s.peer {
		names = names[1:]
	}
	workers, err := startWorkers(names, s.users)
	defer func() {
		for _, worker := range workers {
			err = errors.Join(err, worker.stop())
		}
	}()
	if err != nil {
		return false, err
	}
	kept = true
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "call\tusers\tpeer ns\tours ns\tfloor ns\tpeer/ours\trequired\t\tours/floor\tours allocs\tours B\tpeer allocs\tpeer B\t")
	for _, n := range s.users {
		warnOfDifference(w, workers[key{peerName, n}], workers[key{oursName, n}])
		for _, name := range callNames {
			if !s.only.MatchString(name) {
				continue
			}
			row, err := s.row(workers, names, name, n)
			if err != nil {
				return false, err
			}
			kept = row.print(out) && kept
		}
		fmt.Fprintln(out, "\t\t\t\t\t\t\t\t\t\t\t\t\t")
	}
	if err := out.Flush(); err != nil {
		return false, err
	}
	if s.figures {
		growth, err := s.workerFigures(workers)
		if err != nil {
			return false, err
		}
		kept = printFigures(w, growth) && kept
	}
	return kept, nil
}

// A key names a worker.
type key struct {
	name string
	n    int
}

// startWorkers starts a worker for each subject and size, and waits for all. The users
// of the smaller stores are among those of the largest.
func startWorkers(names []string, sizes []int) (map[key]*worker, error) {
	workers := make(map[key]*worker)
	for _, n := range sizes {
		for _, name := range names {
			w, err := startWorker(name, n, sizes[len(sizes)-1]/n)
			if err != nil {
				return workers, err
			}
			workers[key{name, n}] = w
			if err := w.ready(); err != nil {
				return workers, err
			}
		}
	}
	return workers, nil
}

// warnOfDifference tells where the peer and ours do not answer the same attributes, and
// so do not do the same work.
func warnOfDifference(w io.Writer, peer, ours *worker) {
	if peer == nil || ours == nil || slices.Equal(peer.attributes, ours.attributes) {
		return
	}
	fmt.Fprintf(w, "GET of a user answers different attributes:\n  peer %v\n  ours %v\n", peer.attributes, ours.attributes)
}

// budgetOf is the time of one round: longer with many users, where a batch is larger and
// what the processor's caches hold decides.
func (s settings) budgetOf(subject string, n int) time.Duration {
	if subject == floorName || n < largeStore/2 {
		return s.budget
	}
	return 4 * s.budget
}

// A comparison is one row of the table.
type comparison struct {
	call    string
	n       int
	samples map[string]sample // by subject, over all rounds
}

// row measures one call of all subjects in turn, round after round.
func (s settings) row(workers map[key]*worker, names []string, name string, n int) (comparison, error) {
	rounds := make(map[string][]sample)
	for range s.rounds {
		for _, subject := range names {
			result, err := workers[key{subject, n}].measure(order{Call: name, Budget: s.budgetOf(subject, n)})
			if err != nil {
				return comparison{}, err
			}
			rounds[subject] = append(rounds[subject], result)
		}
	}
	c := comparison{call: name, n: n, samples: make(map[string]sample)}
	for subject, samples := range rounds {
		c.samples[subject] = total(samples)
	}
	return c, nil
}

// total is what a call cost over all rounds. Not their median: that would choose between
// rounds with and without a collection of the garbage, and both are true.
func total(rounds []sample) sample {
	var t sample
	for _, r := range rounds {
		calls := float64(r.Calls)
		t.Nanoseconds += r.Nanoseconds * calls
		t.Allocs += r.Allocs * calls
		t.Bytes += r.Bytes * calls
		t.Calls += r.Calls
	}
	calls := float64(t.Calls)
	t.Nanoseconds, t.Allocs, t.Bytes = t.Nanoseconds/calls, t.Allocs/calls, t.Bytes/calls
	return t
}

// print writes the row and reports whether what is promised is kept.
func (c comparison) print(w io.Writer) bool {
	peer, ours, limit := c.samples[peerName], c.samples[oursName], c.samples[floorName]
	ratio, promise, mark := "-", "-", ""
	kept := true
	if peer.Calls > 0 {
		faster := peer.Nanoseconds / ours.Nanoseconds
		ratio = fmt.Sprintf("%.1f", faster)
		if wanted, ok := requirement(c.call, c.n); ok {
			kept = faster >= wanted
			promise, mark = fmt.Sprintf("%.0f", wanted), okMark(kept)
		}
	}
	fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%.1f\t%.1f\t%.0f\t%.1f\t%.0f\t\n",
		c.call, c.n, peer.Nanoseconds, ours.Nanoseconds, limit.Nanoseconds, ratio, promise, mark,
		ours.Nanoseconds/limit.Nanoseconds, ours.Allocs, ours.Bytes, peer.Allocs, peer.Bytes)
	return kept
}

func okMark(kept bool) string {
	if kept {
		return "ok"
	}
	return "MISS"
}

// printFigures writes the figures and reports whether all promises are kept.
func printFigures(w io.Writer, figures []figure) bool {
	kept := true
	for _, f := range figures {
		if f.atMost == 0 {
			fmt.Fprintf(w, "      %-58s %8.2f %-6s%s\n", f.name, f.value, f.unit, f.evidence)
			continue
		}
		fmt.Fprintf(w, "%4s  %-58s %8.2f %-6sat most %.1f%s\n", okMark(f.kept()), f.name, f.value, f.unit, f.atMost, f.evidence)
		kept = kept && f.kept()
	}
	return kept
}

// workerFigures are the figures that compare calls of ours with one another: growth,
// and what the size of a group costs. They are measured in turn like the table.
func (s settings) workerFigures(workers map[key]*worker) ([]figure, error) {
	small, large := workers[key{oursName, s.users[0]}], workers[key{oursName, s.users[len(s.users)-1]}]
	type half struct {
		worker *worker
		order  order
	}
	pair := func(name string, atMost float64, above, below half) (figure, error) {
		var over, under []sample
		for range s.rounds {
			for _, side := range []struct {
				half
				into *[]sample
			}{{below, &under}, {above, &over}} {
				result, err := side.worker.measure(side.order)
				if err != nil {
					return figure{}, err
				}
				*side.into = append(*side.into, result)
			}
		}
		a, b := total(over).Nanoseconds, total(under).Nanoseconds
		return figure{name: name, value: a / b, unit: "x", atMost: atMost, evidence: fmt.Sprintf("  (%.0f ns, %.0f ns)", a, b)}, nil
	}
	hot := func(w *worker, name string) half {
		return half{w, order{Call: name, Hot: true, Budget: s.budgetOf(oursName, w.n)}}
	}

	var figures []figure
	if small != large {
		for _, name := range []string{callGet, callHit, callPatch, callPut} {
			f, err := pair(fmt.Sprintf("growth: %s, %d users among %d to alone", name, hotLength, large.n), 1.5, hot(large, name), hot(small, name))
			if err != nil {
				return nil, err
			}
			figures = append(figures, f)
		}
	}
	members, err := pair(fmt.Sprintf("add + remove member of %d to of %d", large.n, hundredLength), 2,
		hot(large, callMember), hot(large, callMemberSmall))
	if err != nil {
		return nil, err
	}
	group, err := pair(fmt.Sprintf("GET group of %d without members to GET user", large.n), 2,
		hot(large, callGroup), hot(large, callGet))
	return append(figures, members, group), err
}

// storeFigures are the figures that need a store of their own: heap and tails.
func (s settings) storeFigures() ([]figure, error) {
	n := s.users[len(s.users)-1]
	users, err := heapPerUser(n, false)
	if err != nil {
		return nil, err
	}
	withGroups, err := heapPerUser(n, true)
	if err != nil {
		return nil, err
	}
	quiet, bigWrite, slowHook, err := tails(n, s.rounds, 2*time.Second)
	if err != nil {
		return nil, err
	}
	times := func(t tail) string {
		return fmt.Sprintf("  (%v, quiet %v; %d writes)", t.p999, quiet.p999, t.writes)
	}
	ratio := func(t tail) float64 { return float64(t.p999) / float64(quiet.p999) }
	return []figure{
		{name: fmt.Sprintf("heap per stored user at %d", n), value: users / 1000, unit: "KB", atMost: 2},
		{name: "  the same with three groups each", value: withGroups / 1000, unit: "KB"},
		{name: fmt.Sprintf("GET p99.9 while a group of %d is written", n), value: ratio(bigWrite), unit: "x", atMost: 3, evidence: times(bigWrite)},
		{name: fmt.Sprintf("GET p99.9 while a Provisioner takes %v", provisionerDelay), value: ratio(slowHook), unit: "x", atMost: 3, evidence: times(slowHook)},
	}, nil
}
