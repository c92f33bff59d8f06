package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/sqlstore"
)

// atMost is how many times the hand-written statements' time a call may take with the
// durable store.
var atMost = map[string]float64{
	callGet:   1.4,
	callHit:   1.4,
	callMiss:  1.4,
	callPatch: 1.6,
	callPut:   1.6,
	callPost:  1.6,
}

var sqlCalls = []string{callGet, callHit, callMiss, callPatch, callPut, callPost, callMember}

const (
	sqliteName     = "SQLite"
	postgresqlName = "PostgreSQL"
)

// A database is one that both the library and the floor use.
type database struct {
	name    string
	dialect sqlstore.Dialect
	dsn     string
	db      *sql.DB
	close   func() error
}

// connections is how many a pool keeps. A call needs one.
const connections = 8

func openDatabase(name, driver, dsn string, dialect sqlstore.Dialect, remove func() error) (*database, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return &database{name: name, dialect: dialect, dsn: dsn, db: db, close: func() error { return errors.Join(db.Close(), remove()) }}, nil
}

// openSQLite opens a file with the settings that package sqlstore asks for.
func openSQLite() (*database, error) {
	dir, err := os.MkdirTemp("", "bench-sqlite-")
	if err != nil {
		return nil, err
	}
	path := (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, "scim.db"))}).EscapedPath()
	dsn := "file:" + path + "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_txlock=immediate"
	return openDatabase(sqliteName, "sqlite", dsn, sqlstore.SQLite, func() error { return os.RemoveAll(dir) })
}

// openPostgreSQL starts a server, or uses the one that the data source name names.
func openPostgreSQL(ctx context.Context, dsn string, settings ...string) (*database, error) {
	if dsn != "" {
		return openDatabase(postgresqlName, "pgx", dsn, sqlstore.PostgreSQL, func() error { return nil })
	}
	c, err := startCluster(ctx, settings...)
	if err != nil {
		return nil, err
	}
	return openDatabase(postgresqlName, "pgx", c.dsn, sqlstore.PostgreSQL, c.stop)
}

// newStored is newOurs over a durable store, whose tables it makes.
func newStored(ctx context.Context, d *database) (subject, *sqlstore.Store, error) {
	if err := sqlstore.Migrate(ctx, d.db, d.dialect, nil); err != nil {
		return subject{}, nil, err
	}
	// The floor keeps every line of the request log and every event, so the store does.
	keepAll := &sqlstore.Options{Events: -1, Requests: -1, RequestAge: -1}
	store, err := sqlstore.New(ctx, d.db, d.dialect, scim.CoreTypes(), keepAll)
	if err != nil {
		return subject{}, nil, err
	}
	s, err := oursOver(store, new(atomic.Int64))
	return s, store, err
}

// A sqlComparison is what the flags of the comparison of durable stores say.
type sqlComparison struct {
	users      int
	rounds     int
	budget     time.Duration
	only       *regexp.Regexp
	databases  *regexp.Regexp
	statements bool
	dsn        string
}

// runSQL is the command "sql".
func runSQL(ctx context.Context, arguments []string, w io.Writer) error {
	flags := flag.NewFlagSet("sql", flag.ExitOnError)
	var s sqlComparison
	flags.IntVar(&s.users, "users", 2000, "users, in three groups each")
	flags.IntVar(&s.rounds, "rounds", 15, "rounds, in each of which library and floor take turns")
	flags.DurationVar(&s.budget, "budget", 100*time.Millisecond, "time of one side of one call in one round")
	only := flags.String("only", "", "measure only the calls whose name this regular expression matches")
	databases := flags.String("databases", "", "measure only the databases whose name this regular expression matches")
	flags.BoolVar(&s.statements, "statements", false, "print every statement of the library, how often a call sends it and how long the driver has it")
	flags.StringVar(&s.dsn, "postgresql", "", "the data source name of an empty PostgreSQL to use instead of a private one")
	profileTo := flags.String("cpuprofile", "", "write a profile of the processor to this file; below ServeHTTP is what the library does")
	_ = flags.Parse(arguments) // it exits
	if *profileTo != "" {
		file, err := os.Create(*profileTo)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // what matters is written before
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	var err error
	if s.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if s.databases, err = regexp.Compile(*databases); err != nil {
		return err
	}
	if s.users < 10*hundredLength {
		return fmt.Errorf("-users: %d at least", 10*hundredLength)
	}
	kept := true
	for _, open := range []struct {
		name string
		do   func() (*database, error)
	}{
		{sqliteName, openSQLite},
		{postgresqlName, func() (*database, error) { return openPostgreSQL(ctx, s.dsn, "max_wal_size=4GB") }},
	} {
		if !s.databases.MatchString(open.name) {
			continue
		}
		d, err := open.do()
		if errors.Is(err, errNoPostgreSQL) {
			fmt.Fprintf(w, "%s: skipped: %v\n", open.name, err)
			continue
		}
		if err != nil {
			return err
		}
		ok, err := s.compare(ctx, w, d)
		if err = errors.Join(err, d.close()); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		kept = kept && ok
	}
	printFloor(w)
	if !kept {
		return errShort
	}
	return nil
}

// compare prints the table of one database.
func (s *sqlComparison) compare(ctx context.Context, w io.Writer, d *database) (kept bool, err error) {
	ours, store, err := newStored(ctx, d)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, err := populate(ours, s.users, 1, false)
	if err != nil {
		return false, err
	}
	if err := p.verify(); err != nil {
		return false, err
	}
	floor := newSQLFloor(d)
	if err := floor.fill(ctx, d, p); err != nil {
		return false, err
	}
	if err := floor.use(ctx, d); err != nil {
		return false, err
	}
	if d.name == postgresqlName {
		if _, err := d.db.ExecContext(ctx, "VACUUM ANALYZE"); err != nil {
			return false, err
		}
	}
	kept = true
	fmt.Fprintf(w, "%s, %d users, %d rounds\n", d.name, s.users, s.rounds)
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "call\tours µs\tfloor µs\tours/floor\tspread\tat most\t\tstatements\tin driver µs\toutside µs\tfloor's\tin driver µs\t")
	var notes strings.Builder
	for _, name := range sqlCalls {
		if !s.only.MatchString(name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		mine, err := p.call(name, false)
		if err != nil {
			return false, err
		}
		theirs, err := floor.call(ctx, p, name)
		if err != nil {
			return false, err
		}
		r, err := s.duel(mine, theirs)
		if err != nil {
			return false, err
		}
		t, err := s.explain(ctx, d, p, floor, mine, theirs, &notes)
		if err != nil {
			return false, err
		}
		promise, mark := "-", ""
		if limit, ok := atMost[name]; ok {
			promise, mark = fmt.Sprintf("%.1f", limit), okMark(r.ratio <= limit)
			kept = kept && r.ratio <= limit
		}
		fmt.Fprintf(out, "%s\t%.0f\t%.0f\t%.2f\t%.2f–%.2f\t%s\t%s\t%.1f\t%.0f\t%.0f\t%.1f\t%.0f\t\n", name, r.ours, r.floor, r.ratio, r.low, r.high, promise, mark,
			t.ours.statements, t.ours.driver, t.ours.outside, t.floor.statements, t.floor.driver)
	}
	if err := out.Flush(); err != nil {
		return false, err
	}
	fmt.Fprintln(w, notes.String())
	return kept, nil
}

// A duelResult is a call's time with the library and on the floor, in microseconds, and
// their ratio: each the median of the rounds. Between low and high are the middle
// eight tenths of the rounds' ratios.
type duelResult struct {
	ours, floor, ratio, low, high float64
}

// slices of one side in a round; after each the other side has its turn.
const turns = 8

// duel measures two calls in turn.
func (s *sqlComparison) duel(ours, floor call) (duelResult, error) {
	sides := [2]meter{{call: ours}, {call: floor}}
	for i := range sides {
		if err := sides[i].warmUp(s.budget); err != nil {
			return duelResult{}, err
		}
	}
	var times [2][]float64
	var ratios []float64
	for round := range s.rounds {
		runtime.GC()
		var spent [2]time.Duration
		var calls [2]int
		for turn := range turns {
			for k := range sides {
				i := (k + turn + round) % 2 // who goes first changes too
				for began := spent[i]; spent[i]-began < s.budget/turns; {
					took, err := sides[i].batch(sides[i].slice)
					if err != nil {
						return duelResult{}, err
					}
					spent[i] += took
					calls[i] += sides[i].slice
					if clean := sides[i].call.clean; clean != nil {
						if err := clean(); err != nil {
							return duelResult{}, err
						}
					}
				}
			}
		}
		for i := range sides {
			times[i] = append(times[i], float64(spent[i].Nanoseconds())/1000/float64(calls[i]))
		}
		ratios = append(ratios, times[0][round]/times[1][round])
	}
	return duelResult{
		ours: quantile(times[0], 0.5), floor: quantile(times[1], 0.5),
		ratio: quantile(ratios, 0.5), low: quantile(ratios, 0.1), high: quantile(ratios, 0.9),
	}, nil
}

// quantile returns the value below which the part q of the values lies.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// A profile is what one call does with the database: how many statements it sends,
// and its time in the driver and outside of it, in microseconds.
type profile struct{ statements, driver, outside float64 }

type explanation struct{ ours, floor profile }

// explained is how many calls a profile is made of: of reads several times as many as
// the library logs at once.
const explained = 512

// explain goes on with the calls, over a driver that counts.
func (s *sqlComparison) explain(ctx context.Context, d *database, p *population, floor *sqlFloor, mine, theirs call, notes io.Writer) (e explanation, err error) {
	db, t := traced(d.db, d.dsn)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	defer func() { err = errors.Join(err, db.Close()) }()

	again := *d
	again.db = db
	ours, store, err := newStored(ctx, &again)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	plain := p.client.subject
	p.client.subject = ours
	if err := floor.use(ctx, &again); err != nil {
		return e, err
	}
	defer func() {
		p.client.subject = plain
		err = errors.Join(err, floor.use(ctx, d))
	}()
	for i, side := range []call{mine, theirs} {
		into := []*profile{&e.ours, &e.floor}[i]
		calls := explained
		batch := cmp.Or(side.batch, calls)
		var all []statementCost
		t.take()
		var spent time.Duration
		for done := 0; done < calls; done += batch {
			start := time.Now()
			for range batch {
				if err := side.do(); err != nil {
					return e, err
				}
			}
			spent += time.Since(start)
			all = merge(all, t.take())
			if side.clean != nil {
				if err := side.clean(); err != nil {
					return e, err
				}
				t.take()
			}
		}
		var driver time.Duration
		for _, c := range all {
			into.statements += float64(c.count) / float64(calls)
			driver += c.took
		}
		perCall := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(calls) }
		into.driver, into.outside = perCall(driver), perCall(spent-driver)
		if s.statements {
			fmt.Fprintf(notes, "%s, %s:\n", side.name, []string{"ours", "floor"}[i])
			for _, c := range all {
				fmt.Fprintf(notes, "  %6.3f × %6.1f µs  %s\n", float64(c.count)/float64(calls), float64(c.took.Nanoseconds())/1000/float64(max(c.count, 1)), oneLine(c.text))
			}
		}
	}
	return e, nil
}

var blanks = regexp.MustCompile(`\s+`)

func oneLine(statement string) string { return blanks.ReplaceAllString(statement, " ") }

// merge adds what two traces saw.
func merge(all, more []statementCost) []statementCost {
	for _, c := range more {
		i := slices.IndexFunc(all, func(other statementCost) bool { return other.text == c.text })
		if i < 0 {
			all = append(all, c)
			continue
		}
		all[i].count += c.count
		all[i].took += c.took
	}
	return all
}
