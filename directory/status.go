package directory

import (
	"context"
	"fmt"
	"time"

	scim "github.com/muster-id/scim"
)

// Health says how a directory is.
type Health string

// What a directory can be.
const (
	Healthy        Health = "healthy"
	NeedsAttention Health = "attention"
	IsPaused       Health = "paused"
	IsRetired      Health = "retired"
)

// A Status is how a directory is, for its page.
type Status struct {
	Directory *Directory
	Health    Health

	// Attention is what makes a directory need attention, Warnings what is worth
	// knowing besides; in plain words, a sentence each.
	Attention []string
	Warnings  []string

	Accounts scim.DirectoryTally // of users that exist, active, held, waiting
	Groups   int

	LastRequest time.Time // with a valid token; zero: never
	LastError   *Request  // the latest of the last requests that failed; nil if none did

	Tasks       []*Task // that are not over, the oldest first
	Undelivered int     // calls of [scim.Committer] that are owed in the tenant, up to 100
	Seats       Seats   // of the tenant
	Tokens      []*Token
	Orphans     []Orphan // rules of the mapping that mean no group
	WorkerRan   time.Time
}

const (
	// overdue is how long something due may wait before it seems that no worker
	// runs.
	overdue = 15 * time.Minute
	// lookedAt is how many of the last requests are looked at for an error.
	lookedAt = 50
	// mostOwed bounds what is counted of owed calls.
	mostOwed = 100
)

// Status returns how a directory is. The error wraps [scim.ErrNotFound] if there
// is no such directory.
func (s *Service) Status(ctx context.Context, key scim.Key) (*Status, error) {
	d, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	st := &Status{Directory: d, Warnings: d.Warnings}
	tally, usage, _, err := s.usage(ctx, key.Tenant)
	if err != nil {
		return nil, err
	}
	st.Accounts, st.Seats = tally.Directories[key.Directory], seatsOf(tally, usage)
	for _, look := range []func(context.Context, *Status) error{
		s.lookAtGroups, s.lookAtTokens, s.lookAtRequests, s.lookAtTasks, s.lookAtMapping, s.lookAtDomains,
	} {
		if err := look(ctx, st); err != nil {
			return nil, err
		}
	}
	st.lookAtPeople()
	switch {
	case d.State == Retired:
		st.Health = IsRetired
	case d.State == Paused:
		st.Health = IsPaused
	case len(st.Attention) > 0:
		st.Health = NeedsAttention
	default:
		st.Health = Healthy
	}
	return st, nil
}

func (st *Status) attention(format string, args ...any) {
	st.Attention = append(st.Attention, fmt.Sprintf(format, args...))
}

func (st *Status) warn(format string, args ...any) {
	st.Warnings = append(st.Warnings, fmt.Sprintf(format, args...))
}

func (s *Service) lookAtGroups(ctx context.Context, st *Status) error {
	t := s.types.Type(groupType)
	if t == nil {
		return nil
	}
	page, err := s.store.List(ctx, &scim.Query{Directory: st.Directory.Key(), Type: t, StartIndex: 1, WithoutMembers: true})
	if err == nil {
		st.Groups = page.Total
	}
	return err
}

func (s *Service) lookAtTokens(ctx context.Context, st *Status) error {
	key := st.Directory.Key()
	tokens, err := s.tokensOf(ctx, key)
	if err != nil {
		return err
	}
	if st.Tokens, err = s.Tokens(ctx, key); err != nil {
		return err
	}
	activity, err := s.Activity(ctx, key)
	if err != nil {
		return err
	}
	st.LastRequest = activity.Heard()
	if st.Directory.State == Retired {
		return nil
	}
	if len(tokens) == 0 {
		st.warn("there is no token yet: issue one and enter it in the provider")
	}
	own := make([]*tokenRecord, len(tokens))
	for i := range tokens {
		own[i] = &tokens[i].Value
	}
	if note := lastToken(own, s.now()); note != "" {
		st.attention("%s", note)
	}
	if note := s.silent(st.Directory, activity); note != "" {
		st.attention("%s", note)
	}
	if activity.Refused.Time.After(activity.Heard()) {
		st.attention("the provider uses a token that has ended, the last time at %s: enter the new one there", activity.Refused.Time.UTC().Format(time.RFC3339))
	}
	return nil
}

func (s *Service) lookAtRequests(ctx context.Context, st *Status) error {
	key := st.Directory.Key()
	requests, err := s.store.Requests(ctx, key, lookedAt)
	if err != nil {
		return err
	}
	for _, r := range requests {
		const failed = 400
		if r.Status >= failed && r.Method != "-" {
			st.LastError = &Request{LogEntry: *r, Hint: Hint(r, st.Directory.Provider)}
			break
		}
	}
	note, err := s.failing(ctx, key)
	if note != "" {
		st.attention("%s", note)
	}
	return err
}

func (s *Service) lookAtTasks(ctx context.Context, st *Status) error {
	key, now := st.Directory.Key(), s.now()
	tasks, err := s.tasks(ctx, key.Tenant)
	if err != nil {
		return err
	}
	late := false
	for _, t := range tasks {
		if t.Directory != key {
			continue
		}
		if t.State == TaskFailed && now.Sub(t.Finished) < day {
			st.attention("the application did not take %s in task %s of %s", counted(len(t.Failures), "account"), t.ID, t.Kind)
		}
		if t.State.Over() {
			continue
		}
		st.Tasks = append(st.Tasks, &t.Task)
		if t.Error != "" {
			st.attention("task %s of %s stopped and will go on: %s", t.ID, t.Kind, t.Error)
		}
		since := t.Created
		for _, later := range []time.Time{t.Next, t.Lease.Until} {
			if later.After(since) {
				since = later
			}
		}
		late = late || now.Sub(since) > overdue
	}
	owed, err := s.store.Undelivered(ctx, key.Tenant, now.Add(time.Second), mostOwed) // those of this moment too
	if err != nil {
		return err
	}
	st.Undelivered = len(owed)
	for _, o := range owed {
		if now.Sub(o.Since) > overdue {
			st.attention("the application has not yet been told of changes since %s, such as sessions to end", o.Since.UTC().Format(time.RFC3339))
			break
		}
	}
	u, err := s.upkeepOf(ctx, key.Tenant)
	if err != nil {
		return err
	}
	st.WorkerRan = u.Ran
	switch quiet := now.Sub(u.Ran); {
	case late:
		st.attention("tasks are overdue: the background worker (Run) does not seem to run")
	case u.Ran.IsZero() && now.Sub(st.Directory.Created) > overdue+s.o.Worker.Upkeep, !u.Ran.IsZero() && quiet > overdue+2*s.o.Worker.Upkeep:
		st.warn("the background worker (Run) does not seem to run: nothing tells of tokens that expire, and waiting accounts go on waiting")
	}
	return nil
}

func (s *Service) lookAtMapping(ctx context.Context, st *Status) error {
	key := st.Directory.Key()
	m, version, err := s.mapping(ctx, key)
	if err != nil || st.Directory.State == Retired {
		return err
	}
	switch {
	case version == 0 && len(s.catalog.Roles) > 0:
		st.warn("no role mapping is set: nobody has a role through this directory")
	case version > 0 && m.Default == "" && len(m.Rules) > 0:
		st.warn("there is no default role: who is in no mapped group has no role")
	}
	if version == 0 {
		return nil
	}
	if st.Orphans, err = s.Orphans(ctx, key); err != nil {
		return err
	}
	for _, o := range st.Orphans {
		if o.Deleted {
			st.warn("rule %d of the role mapping, for %q, means a group that was deleted", o.Number, o.Role)
		}
	}
	for _, role := range st.Accounts.InvalidRoles {
		st.attention("the role mapping grants %q, a role that the application does not have", role)
	}
	return nil
}

func (s *Service) lookAtDomains(ctx context.Context, st *Status) error {
	if st.Directory.State == Retired {
		return nil
	}
	domains, err := s.verifiedDomains(ctx, st.Directory.Tenant)
	if err != nil {
		return err
	}
	if len(domains) == 0 && st.Directory.Policy.Domain != scim.AnyDomain {
		st.attention("no domain is verified: nobody can be provisioned")
	}
	return nil
}

// lookAtPeople says what is to be said of people and of what does not reach
// them.
func (st *Status) lookAtPeople() {
	d := st.Directory
	for _, part := range []struct {
		off  scim.Switches
		what string
	}{
		{scim.CreateUsers, "creating users"},
		{scim.UpdateAttributes, "updating attributes"},
		{scim.DeactivateUsers, "deactivating users"},
		{scim.SyncGroups, "group sync"},
	} {
		if d.State != Retired && d.Policy.Off&part.off != 0 {
			st.warn("%s is switched off", part.what)
		}
	}
	if d.State == Retired {
		return
	}
	if n := st.Accounts.Held; n > 0 {
		st.warn("%s on hold, to be reviewed", counted(n, "account"))
	}
	if free, limited := st.Seats.Free(); limited && free == 0 {
		st.attention("all %d seats are in use", st.Seats.Limit)
	}
}
