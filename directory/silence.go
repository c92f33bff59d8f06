package directory

import (
	"context"
	"fmt"
	"slices"
	"time"

	scim "github.com/muster-id/scim"
)

// warnedAt are the days before its end at which a token is told of (rule E2).
var warnedAt = [...]int{1, 7, 30}

// lastTokenDays is how long before its end the last token of a directory is an
// alarm (rule E5).
const lastTokenDays = 7

// A tenantWatch looks at the tokens and directories of a tenant, and gathers the
// events that tell of what is new. What was told once is not told again until it
// was over in between.
type tenantWatch struct {
	*Service
	tenant string
	now    time.Time
	u      *upkeep
	events []*scim.Event
}

// watch tells of tokens that expire, and of directories that need attention.
func (s *Service) watch(ctx context.Context, tenant string, u *upkeep) error {
	tokens, err := all[tokenRecord](ctx, s, tenant, KindToken)
	if err != nil {
		return err
	}
	directories, err := s.List(ctx, tenant)
	if err != nil {
		return err
	}
	w := &tenantWatch{Service: s, tenant: tenant, now: s.now(), u: u}
	told, alarms := map[string]int{}, map[string][]string{}
	for _, d := range directories {
		own := make([]*tokenRecord, 0, len(tokens))
		for i := range tokens {
			if tokens[i].Value.Directory == d.ID {
				own = append(own, &tokens[i].Value)
			}
		}
		activity, err := s.Activity(ctx, d.Key())
		if err != nil {
			return err
		}
		if d.State != Retired {
			for _, t := range own {
				w.token(t, activity, told)
			}
		}
		if d.State != Enabled {
			continue // nobody expects requests
		}
		raised, err := w.alarms(ctx, d, own, activity)
		if err != nil {
			return err
		}
		if len(raised) > 0 {
			alarms[d.ID] = raised
		}
	}
	next := *u
	next.Tokens, next.Alarms = told, alarms
	if len(w.events) > 0 {
		// Both or neither: nothing is told twice, and nothing forgotten.
		err = s.store.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
			if err := tx.Append(ctx, w.events...); err != nil {
				return err
			}
			next.version = u.version // a transaction may be repeated
			return s.keepUpkeep(ctx, tenant, &next)
		})
	}
	if err == nil {
		*u = next
	}
	return err
}

func (w *tenantWatch) event(directory string, t scim.EventType, name, note string) {
	w.events = append(w.events, &scim.Event{
		Type: t, Directory: scim.Key{Tenant: w.tenant, Directory: directory}, Time: w.now, Actor: bySystem, Name: name, Note: note,
	})
}

// token tells of a token that is about to expire, or has.
func (w *tenantWatch) token(t *tokenRecord, activity *Activity, told map[string]int) {
	if !t.Revoked.IsZero() {
		return
	}
	last, known := w.u.Tokens[t.ID]
	left := t.Expires.Sub(w.now)
	if left <= 0 {
		told[t.ID] = 0
		if !known || last > 0 {
			w.event(t.Directory, scim.TokenExpired, t.ID, fmt.Sprintf("%s expired at %s", t.Label, t.Expires.UTC().Format(time.RFC3339)))
		}
		return
	}
	if known {
		told[t.ID] = last
	}
	if t.Expires.Before(t.Created.Add(t.Lifetime)) && w.now.Sub(activity.Tokens[t.ID].Time) > day {
		return // it was replaced and is in use no longer: it ends as it should
	}
	for _, days := range warnedAt {
		before := time.Duration(days) * day
		if left > before || before >= t.Lifetime { // a token for a week is no surprise when it ends in one
			continue
		}
		if !known || last > days {
			told[t.ID] = days
			w.event(t.Directory, scim.TokenExpiring, t.ID, fmt.Sprintf("%s expires at %s, in %s or less", t.Label, t.Expires.UTC().Format(time.RFC3339), counted(days, "day")))
		}
		return
	}
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// alarms returns what of a directory needs attention (rule E5), and tells of
// what did not before.
func (w *tenantWatch) alarms(ctx context.Context, d *Directory, tokens []*tokenRecord, activity *Activity) (raised []string, err error) {
	raise := func(name, note string) {
		raised = append(raised, name)
		if !slices.Contains(w.u.Alarms[d.ID], name) {
			w.event(d.ID, scim.DirectoryAttention, name, note)
		}
	}
	if note := w.silent(d, activity); note != "" {
		raise(scim.AttentionSilence, note)
	}
	note, err := w.failing(ctx, d.Key())
	if err != nil {
		return nil, err
	}
	if note != "" {
		raise(scim.AttentionFailures, note)
	}
	if note := lastToken(tokens, w.now); note != "" {
		raise(scim.AttentionToken, note)
	}
	return raised, nil
}

// rhythm returns how long a provider may be silent, 0: for ever.
func (s *Service) rhythm(d scim.Dialect) time.Duration {
	if r, ok := s.o.Worker.Rhythm[d]; ok {
		return r
	}
	if d == scim.Entra {
		return 2 * time.Hour
	}
	return 0
}

// silent says since when a directory has been silent for too long, "" if it has
// not. One that was never heard of is being set up.
func (s *Service) silent(d *Directory, activity *Activity) string {
	heard, rhythm := activity.Heard(), s.rhythm(d.Provider)
	if rhythm <= 0 || heard.IsZero() || s.now().Sub(heard) <= rhythm {
		return ""
	}
	return fmt.Sprintf("no request since %s, %s is expected to come at least every %s; see in the provider whether provisioning was stopped or is in quarantine",
		heard.UTC().Format(time.RFC3339), d.Provider, rhythm)
}

// failing says that the last requests all failed, "" if they did not.
func (s *Service) failing(ctx context.Context, key scim.Key) (string, error) {
	requests, err := s.store.Requests(ctx, key, 2*s.o.Worker.Failures)
	if err != nil {
		return "", err
	}
	n := 0
	var last *scim.LogEntry
	for _, r := range requests {
		if r.Method == "-" || r.Bulk != 0 {
			continue // of the library's own doing; an operation of another line
		}
		const failed = 400
		if r.Status < failed {
			return "", nil
		}
		if n++; last == nil {
			last = r
		}
		if n == s.o.Worker.Failures {
			return fmt.Sprintf("the last %d requests all failed, the latest with %d: %s", n, last.Status, last.Detail), nil
		}
	}
	return "", nil
}

// lastToken says when the last token ends, "" if that is far away. A directory
// that never had one is being set up.
func lastToken(tokens []*tokenRecord, now time.Time) string {
	var last *tokenRecord
	for _, t := range tokens {
		if t.Revoked.IsZero() && (last == nil || t.Expires.After(last.Expires)) {
			last = t
		}
	}
	switch {
	case last == nil && len(tokens) > 0:
		return "every token is revoked; issue one and enter it in the provider"
	case last == nil, last.Expires.Sub(now) > min(lastTokenDays*day, last.Lifetime/2):
		return ""
	case !now.Before(last.Expires):
		return fmt.Sprintf("the last token, %s, expired at %s; issue one and enter it in the provider", last.Label, last.Expires.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("the last token, %s, expires at %s; rotate it and enter the new one in the provider", last.Label, last.Expires.UTC().Format(time.RFC3339))
}
