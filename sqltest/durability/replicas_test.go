//go:build unix

package durability_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Three processes serve one database, and 64 clients want the same of them at
// the same time. What each of them alone decides is there in the end, what only
// one can have one has, and nobody's change is lost in somebody else's.
func TestReplicas(t *testing.T) {
	const replicas, clients, users = 3, 64, 8
	c := postgresDatabase(t)
	var services []*process
	for range replicas {
		services = append(services, startProcess(t, c))
	}
	next := new(atomic.Int64)
	p := newProvider(t, func() string { return services[next.Add(1)%replicas].URL }, 2)
	w := p.workers[0] // whose people they are
	for n := len(w.people); n < users; n++ {
		name := fmt.Sprintf("shared-u%d", n)
		w.people = append(w.people, &person{userName: name + "@" + domain, externalID: "ext-" + name, groups: map[string]bool{}})
	}
	everyone := w.people
	doomed := p.workers[1].people
	together := func(do func(ctx context.Context, client int) error) {
		t.Helper()
		group, ctx := errgroup.WithContext(t.Context())
		for client := range clients {
			group.Go(func() error { return do(ctx, client) })
		}
		require.NoError(t, group.Wait())
	}

	// Everybody creates everybody: one succeeds, the others are told who exists.
	names := map[string]string{}
	for _, u := range append(everyone, doomed...) {
		names[u.userName] = w.rename()
	}
	var won atomic.Int64
	together(func(ctx context.Context, client int) error {
		for _, i := range rand.Perm(len(everyone) + len(doomed)) {
			u := append(everyone[:len(everyone):len(everyone)], doomed...)[i]
			a, err := p.call(ctx, http.MethodPost, "/Users", map[string]any{
				"userName": u.userName, "externalId": u.externalID, "displayName": names[u.userName],
				"emails": []map[string]any{{"value": u.userName}}, "active": true,
			})
			if err != nil {
				return err
			}
			if a.status == http.StatusCreated {
				won.Add(1)
			} else if err := a.expect("create", http.StatusConflict); err != nil {
				return err
			}
		}
		return nil
	})
	assert.EqualValues(t, len(everyone)+len(doomed), won.Load(), "users that were created")
	for _, u := range append(everyone[:users:users], doomed...) {
		id, err := p.lookup(t.Context(), "/Users", "userName", u.userName)
		require.NoError(t, err)
		u.id, u.name, u.active = id, names[u.userName], true
	}

	// Each client decides over one membership of many, and one attribute of many,
	// and changes its mind.
	attributes := []string{"nickName", "title", "userType", "preferredLanguage", "timezone", "name.givenName", "name.familyName", "name.middleName"}
	require.Equal(t, clients, users*len(attributes))
	last := [clients]string{}
	for client := range clients {
		last[client] = fmt.Sprintf("client %d", client)
	}
	var counted atomic.Int64
	together(func(ctx context.Context, client int) error {
		u, attribute := everyone[client%users], attributes[client/users]
		group := ""
		if g := client / users; g < len(groupNames) {
			group = groupNames[g]
		}
		for turn := range 5 {
			value := fmt.Sprintf("turn %d of client %d", turn, client)
			if turn == 4 {
				value = last[client]
			}
			if err := p.patch(ctx, "/Users/"+u.id, operation{"replace", attribute, value}); err != nil {
				return err
			}
			if group == "" {
				continue
			}
			change := operation{"add", "members", valuesOf([]string{u.id})}
			if turn%2 == 1 {
				change = operation{"remove", "members", valuesOf([]string{u.id})}
			}
			if err := p.patch(ctx, "/Groups/"+p.groups[group], change); err != nil {
				return err
			}
		}
		if client%4 == 0 {
			return p.count(ctx, everyone[0].id, &counted)
		}
		return nil
	})
	for client := range clients {
		if g := client / users; g < len(groupNames) {
			everyone[client%users].groups[groupNames[g]] = true
		}
	}
	for i, u := range everyone {
		a, err := p.call(t.Context(), http.MethodGet, "/Users/"+u.id, nil)
		require.NoError(t, err)
		for n := range attributes {
			assert.Contains(t, string(a.body), strconv.Quote(last[n*users+i]), "what client %d wrote", n*users+i)
		}
	}
	w.names = append(w.names, countName(int(counted.Load()))) // the last of them, see below
	everyone[0].name = countName(clients / 4)

	// Everybody deletes the same people: each is deleted once.
	var deleted atomic.Int64
	together(func(ctx context.Context, _ int) error {
		for _, i := range rand.Perm(len(doomed)) {
			a, err := p.call(ctx, http.MethodDelete, "/Users/"+doomed[i].id, nil)
			if err != nil {
				return err
			}
			if a.status == http.StatusNoContent {
				deleted.Add(1)
			} else if err := a.expect("delete", http.StatusNotFound); err != nil {
				return err
			}
		}
		return nil
	})
	assert.EqualValues(t, len(doomed), deleted.Load(), "users that were deleted")
	for _, u := range doomed {
		u.id, u.active = "", false
	}
	for n := 1; n < clients/4; n++ {
		w.names = append(w.names, countName(n))
	}
	t.Logf("%d times 503, %d requests unanswered", p.unavailable.Load(), p.unanswered.Load())
	assert.Zero(t, p.unanswered.Load())
	assert.Zero(t, deadlocks(t, c))
	delivered(t, c)
	for _, s := range services {
		assert.NotContains(t, s.stderr.String(), "40P01", "a deadlock")
		s.kill(t)
	}
	agree(t, c, p)
}

func countName(n int) string { return "counted to " + strconv.Itoa(n) }

// count adds one to the number in somebody's name, as RFC 7644 section 3.14
// wants it: on condition that nobody else was faster.
func (p *provider) count(ctx context.Context, user string, succeeded *atomic.Int64) error {
	const attempts = 1000
	for range attempts {
		a, err := p.call(ctx, http.MethodGet, "/Users/"+user, nil)
		if err != nil {
			return err
		}
		r, err := a.resource()
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(r.DisplayName, countName(0)[:len(countName(0))-1])) // 0 for the first name
		a, err = p.call(ctx, http.MethodPatch, "/Users/"+user, map[string]any{
			"Operations": []operation{{"replace", "displayName", countName(n + 1)}},
		}, "If-Match", a.header.Get("Etag"))
		switch {
		case err != nil:
			return err
		case a.again:
			return errors.New("whether this counted is not known")
		case a.status == http.StatusOK:
			succeeded.Add(1)
			return nil
		}
		if err := a.expect("count", http.StatusPreconditionFailed); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d attempts to count met with another change each", attempts)
}

func deadlocks(t *testing.T, c *config) (n int) {
	t.Helper()
	db, err := sql.Open(c.Driver, c.DSN)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n))
	return n
}
