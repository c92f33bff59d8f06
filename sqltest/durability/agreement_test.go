//go:build unix

package durability_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// agree checks that everything that is stored says what the provider was told:
// directory, events, request log, the application's tables and its journal.
// Nobody writes any more.
func agree(t *testing.T, c *config, p *provider) {
	t.Helper()
	s := reopen(t, c)
	defer func() { require.NoError(t, s.close()) }()
	people, groups, names := p.told()
	checkDirectory(t, s, people, groups)
	users := checkRecords(t, s, people, groups, names)
	pending, err := s.store.Undelivered(t.Context(), tenant, time.Now().Add(time.Hour), 10)
	require.NoError(t, err)
	assert.Empty(t, pending, "calls of Committed are outstanding")
	checkJournal(t, c.Journal, applicationRows(t, s.db), people, users)
	t.Logf("%d users ever, %d are there", len(users), len(people))
}

// whole checks that what is stored agrees with itself: of no request a part is
// there and another is not. It is for the moment after a crash, before anybody
// has repeated anything.
func whole(t *testing.T, c *config) {
	t.Helper()
	s := reopen(t, c)
	defer func() { require.NoError(t, s.close()) }()
	people, groups := map[string]*person{}, map[string][]string{}
	for _, r := range list(t, s.handler, "/Users?count=1000").Resources {
		u := &person{userName: r.UserName, externalID: r.ExternalID, id: r.ID, name: r.DisplayName, active: r.Active, groups: map[string]bool{}}
		for _, g := range r.Groups {
			u.groups[g.Display] = true
		}
		people[r.ID] = u
	}
	for _, r := range list(t, s.handler, "/Groups?count=1000").Resources {
		groups[r.DisplayName] = r.memberIDs()
	}
	checkDirectory(t, s, people, groups)
	checkRecords(t, s, people, groups, nil)
}

// reopen opens the database as a service does that starts.
func reopen(t *testing.T, c *config) *service {
	t.Helper()
	plain := *c
	plain.Die, plain.Instead, plain.Timeout = "", nil, 0
	s, err := newService(t.Context(), &plain)
	require.NoError(t, err)
	return s
}

// told returns what the provider was told: who is there, by id, the ids of the
// members of each group by its name, and all names that somebody was given.
func (p *provider) told() (people map[string]*person, groups map[string][]string, names []string) {
	people, groups = map[string]*person{}, map[string][]string{}
	for _, name := range groupNames {
		groups[name] = []string{}
	}
	for _, w := range p.workers {
		names = append(names, w.names...)
		if w.team != "" {
			groups[w.teamName()] = []string{}
		}
		for _, u := range w.people {
			if u.id == "" {
				continue
			}
			people[u.id] = u
			for name, in := range u.groups {
				if in {
					groups[name] = append(groups[name], u.id)
				}
			}
		}
	}
	for _, ids := range groups {
		slices.Sort(ids)
	}
	return people, groups, names
}

// checkRecords compares what is stored beside the resources with who is there,
// and returns all users who ever were.
func checkRecords(t *testing.T, s *service, people map[string]*person, groups map[string][]string, names []string) map[string]*scim.Resource {
	t.Helper()
	events := allEvents(t, s)
	h := replay(t, events)
	h.check(t, people, groups, names)
	checkRequestLog(t, s, events)
	checkApplication(t, applicationRows(t, s.db), people)
	return h.users
}

// checkDirectory compares what SCIM shows.
func checkDirectory(t *testing.T, s *service, people map[string]*person, groups map[string][]string) {
	t.Helper()
	users := list(t, s.handler, "/Users?count=1000")
	assert.Equal(t, len(users.Resources), list(t, s.handler, "/Users?count=1").TotalResults, "the counter of users")
	assert.Len(t, users.Resources, len(people))
	for _, r := range users.Resources {
		if u := people[r.ID]; assert.NotNil(t, u, "%s is there and should not be", r.UserName) {
			assert.NoError(t, u.compare(&r))
		}
	}
	found := list(t, s.handler, "/Groups?count=1000")
	assert.Equal(t, len(found.Resources), list(t, s.handler, "/Groups?count=1").TotalResults, "the counter of groups")
	got := map[string][]string{}
	for _, g := range found.Resources {
		assert.NotContains(t, got, g.DisplayName, "two groups have one name")
		got[g.DisplayName] = g.memberIDs()
	}
	assert.Equal(t, groups, got, "groups and their members")
}

func (r *resource) memberIDs() []string {
	ids := []string{}
	for _, m := range r.Members {
		ids = append(ids, m.Value)
	}
	slices.Sort(ids)
	return ids
}

func list(t *testing.T, h http.Handler, path string) (l listing) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &l))
	return l
}

// allEvents reads the feed as a consumer does, and checks its numbers.
func allEvents(t *testing.T, s *service) []*scim.Event {
	t.Helper()
	var all []*scim.Event
	for {
		some, err := s.store.Events(t.Context(), tenant, uint64(len(all)), 100)
		require.NoError(t, err)
		if len(some) == 0 {
			return all
		}
		for _, e := range some {
			all = append(all, e)
			require.EqualValues(t, len(all), e.Seq, "the sequence of events has a gap or a number twice (rule D2)")
		}
	}
}

// A history is what somebody knows who has read all events.
type history struct {
	users   map[string]*scim.Resource // the last state, nil of who is deleted
	groups  map[string]*scim.Resource
	members map[string]map[string]bool // of groups, by id
	named   map[string]int             // how often a person was given a name
}

// replay follows the events and checks that each can come after those before.
func replay(t *testing.T, events []*scim.Event) *history {
	t.Helper()
	h := &history{users: map[string]*scim.Resource{}, groups: map[string]*scim.Resource{}, members: map[string]map[string]bool{}, named: map[string]int{}}
	ended := map[scim.RequestID]bool{}
	var last scim.RequestID
	for _, e := range events {
		if e.Request != last {
			assert.False(t, ended[e.Request], "event %d: those of a request are in two places (rule D3)", e.Seq)
			ended[last], last = true, e.Request
		}
		h.apply(t, e)
	}
	return h
}

func (h *history) apply(t *testing.T, e *scim.Event) {
	t.Helper()
	id := e.Data.ID()
	switch e.Type {
	case scim.UserCreated:
		assert.NotContains(t, h.users, id, "event %d creates what was there", e.Seq)
		h.users[id] = e.Data
		h.named[e.Data.User().DisplayName()]++
	case scim.UserUpdated, scim.UserDeactivated, scim.UserReactivated:
		if assert.NotNil(t, h.users[id], "event %d changes what is not there", e.Seq) {
			assert.Equal(t, h.users[id].JSON(), e.Previous.JSON(), "event %d: what was before is not what the event before it left", e.Seq)
		}
		assert.NotEqual(t, e.Previous.JSON(), e.Data.JSON(), "event %d changes nothing (rule D4)", e.Seq)
		if name := e.Data.User().DisplayName(); name != e.Previous.User().DisplayName() {
			h.named[name]++
		}
		h.users[id] = e.Data
	case scim.UserDeleted:
		assert.NotNil(t, h.users[id], "event %d deletes what is not there", e.Seq)
		h.users[id] = nil
	case scim.GroupCreated:
		assert.NotContains(t, h.groups, id, "event %d creates what was there", e.Seq)
		h.groups[id], h.members[id] = e.Data, map[string]bool{}
	case scim.GroupDeleted:
		assert.NotNil(t, h.groups[id], "event %d deletes what is not there", e.Seq)
		h.groups[id] = nil
	case scim.MembershipAdded:
		assert.NotNil(t, h.groups[id], "event %d: there is no such group", e.Seq)
		assert.False(t, h.members[id][e.Member.Value], "event %d: who joins is a member", e.Seq)
		h.members[id][e.Member.Value] = true
	case scim.MembershipRemoved:
		assert.True(t, h.members[id][e.Member.Value], "event %d: who leaves is no member", e.Seq)
		delete(h.members[id], e.Member.Value)
	case scim.UserRolesChanged:
	default:
		assert.Fail(t, "event that nothing here causes", "%d: %s", e.Seq, e.Type)
	}
}

// check compares the history with who is there. Every name was given once: what
// was acknowledged happened, and what was repeated happened once. names is nil
// where nobody knows what was acknowledged.
func (h *history) check(t *testing.T, people map[string]*person, groups map[string][]string, names []string) {
	t.Helper()
	there := 0
	for id, r := range h.users {
		if r == nil {
			assert.NotContains(t, people, id, "by the events this user is deleted")
			continue
		}
		there++
		if u := people[id]; assert.NotNil(t, u, "by the events %s is there", id) {
			assert.Equal(t, u.name, r.User().DisplayName())
			assert.Equal(t, u.active, r.User().Active())
		}
	}
	assert.Equal(t, len(people), there, "users by the events")
	got := map[string][]string{}
	for id, g := range h.groups {
		members := []string{}
		for m := range h.members[id] {
			members = append(members, m)
		}
		if g == nil {
			assert.Empty(t, members, "a group that is deleted has members by the events")
			continue
		}
		slices.Sort(members)
		got[g.Group().DisplayName()] = members
	}
	assert.Equal(t, groups, got, "groups by the events")
	if names == nil {
		return
	}
	for _, name := range names {
		assert.Equal(t, 1, h.named[name], "how often the events have the change to %q", name)
	}
	assert.Len(t, h.named, len(names), "names that the events have")
}

// checkRequestLog: whatever caused an event has its line, and the other way
// round.
func checkRequestLog(t *testing.T, s *service, events []*scim.Event) {
	t.Helper()
	lines, err := s.store.Requests(t.Context(), directory.Key(), 1_000_000)
	require.NoError(t, err)
	caused := map[scim.RequestID]bool{}
	for _, e := range events {
		caused[e.Request] = true
	}
	for _, l := range lines {
		if len(l.Changed) > 0 {
			assert.True(t, caused[l.ID], "the request log has %s %s, which changed something, and the events do not", l.Method, l.Path)
			delete(caused, l.ID)
		}
	}
	assert.Empty(t, caused, "requests that caused events and are not in the log")
}

// applicationRows reads the application's tables, by externalId.
func applicationRows(t *testing.T, db *sql.DB) map[string]row {
	t.Helper()
	found, err := db.QueryContext(t.Context(), `SELECT p.host_id, p.user_id, p.external_id, p.email, p.name, p.active, p.groups, p.gone, coalesce(a.role, '')
		FROM people p LEFT JOIN access a ON a.host_id = p.host_id ORDER BY a.role`)
	require.NoError(t, err)
	defer func() { _ = found.Close() }()
	rows := map[string]row{}
	for found.Next() {
		var r row
		require.NoError(t, found.Scan(&r.HostID, &r.UserID, &r.ExternalID, &r.Email, &r.Name, &r.Active, &r.Groups, &r.Gone, &r.Roles))
		if before, twice := rows[r.ExternalID]; twice {
			r.Roles = before.Roles + "," + r.Roles
		}
		rows[r.ExternalID] = r
	}
	require.NoError(t, found.Err())
	return rows
}

// checkApplication: the application has what the directory has.
func checkApplication(t *testing.T, rows map[string]row, people map[string]*person) {
	t.Helper()
	there := 0
	for _, r := range rows {
		u := people[r.UserID]
		if u == nil {
			assert.True(t, r.Gone, "%s is not in the directory", r.ExternalID)
			assert.False(t, r.Active, "%s is not in the directory and has access", r.ExternalID)
			assert.Empty(t, r.Roles, "%s is not in the directory and has roles", r.ExternalID)
			continue
		}
		there++
		assert.Equal(t, row{r.HostID, u.id, u.externalID, u.userName, u.name, u.active, u.role(), u.groupList(), false}, r)
	}
	assert.Equal(t, len(people), there, "people in the application")
}

// checkJournal: Committed was called for everybody who ever was there, and what
// it was told last is how things are.
func checkJournal(t *testing.T, path string, rows map[string]row, people map[string]*person, users map[string]*scim.Resource) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	byUser, byHost, bySeq := map[string]entry{}, map[string]entry{}, map[uint64]entry{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var e entry
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e), lines.Text())
		if other, twice := bySeq[e.Seq]; twice {
			assert.Equal(t, other, e, "two calls of Committed have one Seq")
		}
		bySeq[e.Seq] = e
		if e.Seq > byUser[e.UserID].Seq {
			byUser[e.UserID] = e
		}
		if e.HostID != "" && e.Seq > byHost[e.HostID].Seq {
			byHost[e.HostID] = e
		}
	}
	require.NoError(t, lines.Err())
	for id := range users {
		e, told := byUser[id]
		if !assert.True(t, told, "Committed was never called for user %s", id) {
			continue
		}
		if u := people[id]; u == nil {
			assert.True(t, e.Gone && !e.Active, "user %s is deleted, and Committed was told last: %+v", id, e)
		}
	}
	for _, r := range rows {
		e := byHost[r.HostID]
		if r.Gone { // its profile is kept nowhere
			e.Name, r.Name = "", ""
		}
		assert.Equal(t, r, e.row, "what Committed was told last of %s", r.ExternalID)
	}
}

// delivered waits until no call of Committed is owed.
func delivered(t *testing.T, c *config) {
	t.Helper()
	db, err := sql.Open(c.Driver, c.DSN)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	eventually(t, "calls of Committed stay outstanding", func() bool {
		var owed int
		err := db.QueryRowContext(context.Background(), "SELECT count(*) FROM scim_outbox").Scan(&owed)
		return err == nil && owed == 0
	})
}
