package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	scim "github.com/muster-id/scim"
)

// Seats are those of a tenant (rule E1).
type Seats struct {
	Used  int // by people of the directories and others
	Limit int // 0: there is no limit, or the application does not say ([scim.UsageReporter])
}

// Free returns how many seats are left, and whether there is a limit at all.
func (s Seats) Free() (n int, limited bool) { return max(0, s.Limit-s.Used), s.Limit > 0 }

func seatsOf(t *scim.Tally, u scim.Usage) Seats {
	return Seats{Used: t.Seats + u.Seats, Limit: u.SeatLimit}
}

// usage returns what is counted of a tenant in its directories and outside of
// them. known says that the application tells the latter.
func (s *Service) usage(ctx context.Context, tenant string) (tally *scim.Tally, u scim.Usage, known bool, err error) {
	if s.reporter == nil {
		tally, err = s.store.Tally(ctx, tenant)
		return tally, u, false, err
	}
	// In a transaction, as the engine asks: the application may look at it.
	err = s.store.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		if tally, err = tx.Tally(ctx); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, s.hookTimeout)
		defer cancel()
		return survive(func() error {
			u, err = s.reporter.Usage(ctx, tenant)
			return err
		})
	})
	return tally, u, true, err
}

// survive calls what may panic.
func survive(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f()
}

// mostDays bounds a usage report, and how many quiet days are filled in.
const mostDays = 3 * 366

const day = 24 * time.Hour

// dayOf returns the day of a time in UTC, such as 2026-11-22. Days compare as
// strings do.
func dayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// dayAfter returns the day after that one.
func dayAfter(d string) string {
	t, err := time.Parse(time.DateOnly, d)
	if err != nil {
		return "9999-12-31" // nothing follows: a damaged record ends the report
	}
	return dayOf(t.Add(day))
}

// UsageReport returns, for each day from one to another, both included and in
// UTC, the most people at any one time that were active with each role, and that
// needed a seat (rule E1): what an invoice is made of. It begins with the first
// day of which something is known, and ends with today, whose figures are of the
// day so far. Who is in no directory is not in it.
func (s *Service) UsageReport(ctx context.Context, tenant string, from, to time.Time) ([]scim.DayUsage, error) {
	if to.Sub(from) > mostDays*day {
		return nil, fmt.Errorf("directory: a usage report covers %d days at most", mostDays)
	}
	filed, err := all[scim.DayUsage](ctx, s, tenant, KindUsage)
	if err != nil {
		return nil, err
	}
	tally, err := s.store.Tally(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var known []scim.DayUsage
	for _, r := range filed {
		known = addDay(known, r.Value)
	}
	for _, d := range tally.Days {
		known = addDay(known, d)
	}
	known = throughDay(addDay(known, tally.Today), tally, dayOf(s.now()))
	return slices.DeleteFunc(known, func(d scim.DayUsage) bool { return d.Day < dayOf(from) || d.Day > dayOf(to) }), nil
}

// addDay adds a day to days in order. In between were days on which nothing
// changed: there were no more than on the day before and on the day after.
func addDay(days []scim.DayUsage, next scim.DayUsage) []scim.DayUsage {
	if next.Day == "" {
		return days
	}
	if len(days) == 0 {
		return append(days, next)
	}
	last := days[len(days)-1]
	if next.Day <= last.Day { // filed in part
		if i, found := slices.BinarySearchFunc(days, next.Day, func(d scim.DayUsage, name string) int { return cmp.Compare(d.Day, name) }); found {
			days[i] = combine(days[i], next, func(a, b int) int { return max(a, b) })
		}
		return days
	}
	quiet := combine(last, next, func(a, b int) int { return min(a, b) })
	for quiet.Day = dayAfter(last.Day); quiet.Day < next.Day && len(days) < mostDays; quiet.Day = dayAfter(quiet.Day) {
		days = append(days, quiet)
	}
	return append(days, next)
}

// throughDay adds the days on which nothing has changed since the last one:
// what there is now is what there was on them.
func throughDay(days []scim.DayUsage, tally *scim.Tally, last string) []scim.DayUsage {
	if len(days) == 0 || days[len(days)-1].Day >= last {
		return days
	}
	return addDay(addDay(days, usageNow(tally, dayAfter(days[len(days)-1].Day))), usageNow(tally, last))
}

// usageNow returns what is in use now as that of a day.
func usageNow(tally *scim.Tally, of string) scim.DayUsage {
	return scim.DayUsage{Day: of, Roles: maps.Clone(tally.Roles), Seats: tally.Seats}
}

// combine returns a day of which each figure is made of those of two.
func combine(a, b scim.DayUsage, of func(int, int) int) scim.DayUsage {
	c := scim.DayUsage{Day: a.Day, Seats: of(a.Seats, b.Seats), Roles: map[string]int{}}
	for _, roles := range []map[string]int{a.Roles, b.Roles} {
		for role := range roles {
			if n := of(a.Roles[role], b.Roles[role]); n > 0 {
				c.Roles[role] = n
			}
		}
	}
	return c
}

// fileUsage files the days that are over in records of their own, so that the
// tally stays small, and begins a day on which nothing has changed yet with what
// there is. It reports whether the tally is another one then.
func (s *Service) fileUsage(ctx context.Context, tx scim.Tx, tenant string) error {
	tally, err := tx.Tally(ctx)
	if err != nil {
		return err
	}
	today := dayOf(s.now())
	if tally.Today.Day == "" || tally.Today.Day >= today && len(tally.Days) == 0 {
		return nil
	}
	var days []scim.DayUsage
	for _, d := range tally.Days {
		days = addDay(days, d)
	}
	days = throughDay(addDay(days, tally.Today), tally, today)
	next := *tally
	next.Today, next.Days = days[len(days)-1], nil
	for _, d := range days[:len(days)-1] {
		key := RecordKey{tenant, KindUsage, d.Day}
		was, err := read[scim.DayUsage](ctx, s, key)
		switch {
		case err == nil:
			d = combine(d, was.Value, func(a, b int) int { return max(a, b) })
		case !errors.Is(err, scim.ErrNotFound):
			return err
		}
		if _, err := s.put(ctx, key, was.Version, d); err != nil {
			return err
		}
	}
	return tx.PutTally(ctx, &next)
}
