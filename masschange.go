package scim

import (
	"context"
	"net/http"
	"slices"
	"time"
)

// A mass change (rule B8) is counted in parts of an hour, the present one
// included: who left within the last 55 minutes always counts, who left an hour
// ago never does. The fifth is of those who were active when that hour began: who
// is active now, and who has left since. Who came meanwhile counts among them.
const (
	leavingPart  = 5 * time.Minute
	leavingParts = 12
	leavingLeast = 10 // so many may always leave
	leavingShare = 5  // or one in so many

	// massRetry is when a provider may come back; it is asked for patience, not
	// told when an administrator will have decided.
	massRetry = 10 * time.Minute
)

// guardMass counts who loses access because the provider deactivates or deletes
// the user.
func (w *work) guardMass(ctx context.Context, s *subject) error {
	if s.by != byProvider || !s.Account.counts() || s.next.counts() {
		return nil
	}
	c, err := w.counter(ctx)
	if err != nil {
		return err
	}
	id := w.Directory.Directory
	d := c.now.Directories[id]
	d.leave(w.Time)
	left := 0
	for _, n := range d.Leaving {
		left += n
	}
	active := d.Active + left - 1 // this one is among both
	if left > leavingLeast && leavingShare*left > active && !w.Time.Before(d.Confirmed) {
		note := outOf(left, active, "active users were deactivated or deleted within an hour")
		if w.dir.Policy.MassChange == HoldMassChange {
			e := &Error{
				Status: http.StatusServiceUnavailable, Reason: ReasonMassChange, RetryAfter: massRetry,
				Detail: "with this person, " + note + "; an administrator has to confirm in the application that this is meant",
			}
			e.event = &Event{Type: DirectoryAttention, Name: AttentionMassChange, Note: note + "; this one waits for confirmation"}
			return e
		}
		if d.mayAlert(w.Time) {
			d.Alerted = w.Time
			w.event(&Event{Type: DirectoryAttention, Name: AttentionMassChange, Note: note})
		}
	}
	c.directory(id, func(now *DirectoryTally) { *now = d })
	return nil
}

// leave counts one more who has left.
func (d *DirectoryTally) leave(now time.Time) {
	part := now.Truncate(leavingPart)
	parts := slices.Clone(d.Leaving)
	switch n := part.Sub(d.LeavingAt) / leavingPart; {
	case len(parts) != leavingParts, n >= leavingParts, n <= -leavingParts: // long ago, or by a clock that was wrong
		parts = make([]int, leavingParts)
	case n > 0:
		parts = append(parts[n:], make([]int, n)...)
	case n < 0: // the clock was set back by less than an hour
		part = d.LeavingAt
	}
	parts[leavingParts-1]++
	d.Leaving, d.LeavingAt = parts, part
}

// mayAlert reports whether the last alert was more than an hour ago, by whatever
// clock.
func (d DirectoryTally) mayAlert(now time.Time) bool {
	since := now.Sub(d.Alerted)
	return since < 0 || since >= time.Hour
}

// ConfirmMassChange lets everybody leave a directory, however many, until the
// given time; a time that has passed takes that back (rule B8). The provider
// sends again what was refused. It needs [Config.Directories].
func (e *Engine) ConfirmMassChange(ctx context.Context, d *Directory, until time.Time) error {
	if err := e.checkCounted(d); err != nil {
		return err
	}
	return e.write(ctx, e.system(d, "administrator"), false, func(ctx context.Context, w *work) error {
		c, err := w.counter(ctx)
		if err != nil {
			return err
		}
		c.directory(d.ID, func(now *DirectoryTally) { now.Confirmed = until })
		return nil
	})
}
