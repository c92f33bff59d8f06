package scim_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Rule E3a: whoever follows cursors while 64 clients create, change and delete
// meets everything that is there throughout, and nothing twice. 10,000 pages
// are read of memstore, a tenth of that of a plain store and with the race
// detector on.
func TestE3aCursorsUnderChange(t *testing.T) {
	for name, pages := range map[string]int{"memstore": 10_000, "naive": 1_000} {
		if raceEnabled || testing.Short() {
			pages = min(pages, 1_000) / 2
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, stores[name](), withCursors)
			c := w.churn(t, 150)
			var left atomic.Int64
			left.Store(int64(pages))
			queries := []string{
				"/Users?count=17&", "/Users?count=40&sortBy=userName&", "/Users?count=25&sortBy=displayName&sortOrder=descending&",
				"/Users?count=9&filter=" + url.QueryEscape(`externalId pr and not (title eq "none")`) + "&",
				"/Users?count=23&sortBy=externalId&filter=" + url.QueryEscape(`userName sw "stays"`) + "&",
				"/Groups?count=2&attributes=displayName&", "/?count=30&excludedAttributes=members&", "/?count=50&sortBy=displayName&excludedAttributes=members&",
			}
			var readers sync.WaitGroup
			for i := range 4 {
				readers.Go(func() {
					for n := i; left.Load() > 0 && !t.Failed(); n++ {
						left.Add(-int64(c.read(t, w, queries[n%len(queries)])))
					}
				})
			}
			readers.Wait()
			require.Greater(t, c.stop(), 100, "there was hardly any change")
		})
	}
}

// RFC 7644 section 3.4.2.4: by index a client must be prepared for resources
// that move when others come and go, but they never change places: what stays
// is always in the same order, sorted or not.
func TestRFC7644_3_4_2_4_IndexOrderIsStable(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		c := w.churn(t, 60)
		staying := func(target string) (ids []string) {
			for _, id := range w.get(t, target).ids(t) {
				if c.stays[id] {
					ids = append(ids, id)
				}
			}
			return ids
		}
		targets := []string{"/Users?", "/Users?sortBy=displayName&", "/?attributes=id&", "/?sortBy=displayName&attributes=id&"}
		before := map[string][]string{}
		for _, target := range targets {
			before[target] = staying(target + "count=1000")
		}
		for range 20 {
			for _, target := range targets {
				require.Equal(t, before[target], staying(target+"count=1000"), target)
			}
		}
		require.Positive(t, c.stop())
		for _, target := range targets { // and with nobody writing, pages make up the whole
			whole := w.get(t, target+"count=1000").ids(t)
			var paged []string
			for len(paged) < len(whole) {
				page := w.get(t, fmt.Sprintf("%scount=7&startIndex=%d", target, len(paged)+1)).ids(t)
				require.NotEmpty(t, page)
				paged = append(paged, page...)
			}
			require.Equal(t, whole, paged, target)
		}
	})
}

// A churn is 64 clients that create, change and delete, beside resources that
// stay and of which nothing changes that the tests sort or filter by.
type churn struct {
	stays map[string]bool // users and groups
	users []string        // that stay

	done    chan struct{}
	clients sync.WaitGroup
	writes  atomic.Int64
}

func (w *world) churn(t *testing.T, users int) *churn {
	t.Helper()
	c := &churn{stays: map[string]bool{}, done: make(chan struct{})}
	for i := range users {
		more := `,"title":"0","externalId":"x` + strconv.Itoa(i*7919%users) + `"`
		if i%4 > 0 {
			more += fmt.Sprintf(`,"displayName":"Name %d"`, i*31%17)
		}
		// Some that go at once leave places to be taken again.
		gone := w.addUser(t, ours, fmt.Sprintf("gone%d@example.com", i), "")
		c.users = append(c.users, w.addUser(t, ours, fmt.Sprintf("Stays%d@example.com", i*7919%users), more))
		if i%3 == 0 {
			ask{method: "DELETE", target: "/Users/" + gone}.do(t, w).must(t, http.StatusNoContent)
		}
	}
	var groups []string
	for i := range 10 {
		groups = append(groups, w.addGroup(t, ours, fmt.Sprintf("Name %d", i*7%10), ""))
	}
	for _, id := range slices.Concat(c.users, groups) {
		c.stays[id] = true
	}
	for i := range 64 {
		c.clients.Go(func() { c.write(t, w, i, groups[i%len(groups)]) })
	}
	t.Cleanup(func() { c.stop() })
	return c
}

// stop ends the writers and returns how often they have written.
func (c *churn) stop() int {
	select {
	case <-c.done:
	default:
		close(c.done)
	}
	c.clients.Wait()
	return int(c.writes.Load())
}

// write creates, changes and deletes, until it is told to stop.
func (c *churn) write(t *testing.T, w *world, client int, group string) {
	random := rand.New(rand.NewPCG(11, uint64(client)))
	var made, teams []string
	do := func(a ask, status int) *response {
		r := a.do(t, w)
		for r.Code == http.StatusServiceUnavailable { // a plain store lost a race
			r = a.do(t, w)
		}
		assert.Equal(t, status, r.Code, r.Body)
		c.writes.Add(1)
		return r
	}
	for n := 0; ; n++ {
		select {
		case <-c.done:
			return
		default:
		}
		if t.Failed() {
			return
		}
		name := fmt.Sprintf("%c%d-%d", 'a'+rune(random.IntN(26)), client, n)
		switch {
		case len(made) < 2:
			body := object("userName", name+"@example.com", "externalId", name, "displayName", name)
			made = append(made, do(ask{method: "POST", target: "/Users", body: body}, http.StatusCreated).text("/id"))
			do(ask{method: "PATCH", target: "/Groups/" + group, body: onePatch("add", "members", `[{"value":"`+made[len(made)-1]+`"}]`)}, http.StatusNoContent)
		case len(teams) < 1 && random.IntN(4) == 0:
			teams = append(teams, do(ask{method: "POST", target: "/Groups", body: object("displayName", name)}, http.StatusCreated).text("/id"))
		case random.IntN(3) == 0:
			user := c.users[random.IntN(len(c.users))]
			do(ask{method: "PATCH", target: "/Users/" + user, body: onePatch("replace", "title", quoted(name))}, http.StatusOK)
		case len(teams) > 0 && random.IntN(3) == 0:
			do(ask{method: "DELETE", target: "/Groups/" + teams[0]}, http.StatusNoContent)
			teams = teams[1:]
		default:
			do(ask{method: "DELETE", target: "/Users/" + made[0]}, http.StatusNoContent)
			made = made[1:]
		}
	}
}

// read follows the cursors of a query from its first page to the last and
// returns how many pages there were.
func (c *churn) read(t *testing.T, w *world, target string) (pages int) {
	seen := map[string]bool{}
	for cursor := ""; ; {
		a := ask{method: "GET", target: target + "cursor=" + cursor}.do(t, w)
		pages++
		if !assert.Equal(t, http.StatusOK, a.Code, a.Body) {
			return pages
		}
		list, _ := a.doc["Resources"].([]any)
		for _, r := range list {
			id, _ := r.(map[string]any)["id"].(string)
			if !assert.False(t, seen[id], "%s is on two pages of %s", id, target) {
				return pages
			}
			seen[id] = true
		}
		if cursor = a.text("/nextCursor"); cursor == "" || !assert.Less(t, pages, 1000, "the cursors of %s lead in a circle", target) {
			break
		}
	}
	users, groups := target[:7] != "/Groups", target[:6] != "/Users"
	missed := 0
	for id := range c.stays {
		if !seen[id] && (users && slices.Contains(c.users, id) || groups && !slices.Contains(c.users, id)) {
			missed++
		}
	}
	assert.Zero(t, missed, "%s: so many were passed over", target)
	return pages
}
