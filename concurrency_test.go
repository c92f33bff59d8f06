package scim_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

// TestConcurrentClients lets 64 clients change the same group and the same
// users at once, in every way that commutes, so that the final state is known:
// no update is lost, the sequence of events has no gap, what the events tell
// adds up to the state, and the Provisioner saw every account's last state.
//
// Some of them change one group at the same time (quirk 70).
//
// A store without transactions promises less, and is held to that: updates are
// not lost, but the calls of the Provisioner come in no order.
func TestConcurrentClients(t *testing.T) {
	for name, open := range map[string]func() scim.Store{
		"memstore": func() scim.Store { return newManaged(scim.CoreTypes(), &memstore.Options{Events: 1 << 20}) },
		"naive":    stores["naive"],
	} {
		t.Run(name, func(t *testing.T) { concurrentClients(t, open()) })
	}
}

// A clientModel is what one client has brought about.
type clientModel struct {
	member bool              // its own user is in the shared group
	active bool              // its own user
	phones map[string]bool   // its values in the shared users, by user and value
	title  string            // of its own user
	counts map[string]int    // how often it counted up, by shared user
	made   map[string]string // users it made and did not delete, by userName
}

const (
	clients = 64
	rounds  = 8
)

func concurrentClients(t *testing.T, store scim.Store) {
	w := newWorld(t, store, nil)
	group := w.addGroup(t, ours, "shared", "")
	var shared []string
	for i := range 4 {
		shared = append(shared, w.addUser(t, ours, fmt.Sprintf("shared%d@example.com", i), `,"title":"0"`))
	}
	own := make([]string, clients)
	for i := range own {
		own[i] = w.addUser(t, ours, fmt.Sprintf("own%d@example.com", i), `,"active":true`)
	}
	models := make([]*clientModel, clients)
	var all sync.WaitGroup
	for i := range clients {
		c := &client{t: t, w: w, name: strconv.Itoa(i), random: rand.New(rand.NewPCG(7, uint64(i))), group: group, own: own[i], shared: shared}
		c.model = &clientModel{active: true, phones: map[string]bool{}, counts: map[string]int{}, made: map[string]string{}}
		models[i] = c.model
		all.Go(c.run)
	}
	// Readers see whole states all the while.
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				assert.Equal(t, http.StatusOK, ask{method: "GET", target: "/Users?count=100"}.do(t, w).Code)
				assert.Equal(t, http.StatusOK, ask{method: "GET", target: "/Groups/" + group}.do(t, w).Code)
			}
		})
	}
	all.Wait()
	close(stop)
	readers.Wait()
	if t.Failed() {
		return
	}

	w.consistent(t, ours)
	var members []string
	phones := map[string][]string{}
	counts := map[string]int{}
	users := len(shared) + clients
	for i, m := range models {
		if m.member {
			members = append(members, own[i])
		}
		for _, key := range sortedKeys(m.phones) {
			user, value, _ := strings.Cut(key, " ")
			phones[user] = append(phones[user], value)
		}
		for user, n := range m.counts {
			counts[user] += n
		}
		u := ask{method: "GET", target: "/Users/" + own[i]}.do(t, w).must(t, http.StatusOK)
		require.Equal(t, m.active, u.doc["active"], "active of client %d's user", i)
		require.Equal(t, m.title, u.text("/title"), "title of client %d's user", i)
		for userName, id := range m.made {
			require.Equal(t, userName, ask{method: "GET", target: "/Users/" + id}.do(t, w).must(t, http.StatusOK).text("/userName"))
			users++
		}
	}
	g := ask{method: "GET", target: "/Groups/" + group}.do(t, w).must(t, http.StatusOK)
	require.ElementsMatch(t, members, values(g.doc["members"]), "members of the shared group")
	for _, id := range shared {
		u := ask{method: "GET", target: "/Users/" + id}.do(t, w).must(t, http.StatusOK)
		require.ElementsMatch(t, phones[id], values(u.doc["phoneNumbers"]), "values of a shared user")
		require.Equal(t, strconv.Itoa(counts[id]), u.text("/title"), "what was counted with If-Match")
	}
	require.Equal(t, fmt.Sprint(users), fmt.Sprint(ask{method: "GET", target: "/Users?count=0"}.do(t, w).doc["totalResults"]))

	if ledger, ok := store.(scim.Ledger); ok {
		eventsAddUp(t, w, ledger)
		lastStatesTold(t, w)
	}
}

// A client is one of many that work on the same resources.
type client struct {
	t      *testing.T
	w      *world
	name   string
	random *rand.Rand
	group  string
	own    string
	shared []string
	model  *clientModel
}

// run does each of its deeds a number of times, in an order of its own.
func (c *client) run() {
	deeds := []func(round int){c.join, c.leave, c.addPhone, c.removePhone, c.toggle, c.retitle, c.count, c.make, c.unmake}
	for round := range rounds {
		for _, i := range c.random.Perm(len(deeds)) {
			if c.t.Failed() {
				return
			}
			deeds[i](round)
		}
	}
}

// do repeats a request that the store was too busy for, as a provider would.
func (c *client) do(a ask) *response {
	for {
		r := a.do(c.t, c.w)
		if r.Code != http.StatusServiceUnavailable {
			return r
		}
	}
}

func (c *client) patch(target, op, path, value string) {
	r := c.do(ask{method: "PATCH", target: target, body: onePatch(op, path, value)})
	assert.Less(c.t, r.Code, 300, "%s %s %s: %s", op, path, value, r.Body)
}

func (c *client) join(int) {
	c.patch("/Groups/"+c.group, "add", "members", `[{"value":"`+c.own+`"}]`)
	c.model.member = true
}

func (c *client) leave(int) {
	if c.random.IntN(2) == 0 {
		return
	}
	c.patch("/Groups/"+c.group, "remove", `members[value eq "`+c.own+`"]`, "")
	c.model.member = false
}

func (c *client) addPhone(round int) {
	user, value := c.shared[c.random.IntN(len(c.shared))], c.name+"-"+strconv.Itoa(round)
	c.patch("/Users/"+user, "add", "phoneNumbers", `[{"value":"`+value+`","type":"other"}]`)
	c.model.phones[user+" "+value] = true
}

func (c *client) removePhone(int) {
	for _, key := range sortedKeys(c.model.phones) {
		user, value, _ := strings.Cut(key, " ")
		c.patch("/Users/"+user, "remove", `phoneNumbers[value eq "`+value+`"]`, "")
		delete(c.model.phones, key)
		return
	}
}

func (c *client) toggle(int) {
	c.model.active = !c.model.active
	c.patch("/Users/"+c.own, "replace", "active", strconv.FormatBool(c.model.active))
}

func (c *client) retitle(round int) {
	c.model.title = fmt.Sprint("title ", round)
	c.patch("/Users/"+c.own, "replace", "title", quoted(c.model.title))
}

// count reads a number and writes the next one, if nobody else was faster: the
// loser of If-Match gets 412, and nothing is counted twice (RFC 7644 section
// 3.14).
func (c *client) count(int) {
	user := c.shared[c.random.IntN(len(c.shared))]
	for {
		was := ask{method: "GET", target: "/Users/" + user}.do(c.t, c.w)
		n, err := strconv.Atoi(was.text("/title"))
		if !assert.NoError(c.t, err) {
			return
		}
		r := ask{
			method: "PATCH", target: "/Users/" + user, header: map[string]string{"If-Match": was.Header().Get("ETag")},
			body: onePatch("replace", "title", quoted(strconv.Itoa(n+1))),
		}.do(c.t, c.w)
		switch r.Code {
		case http.StatusOK:
			c.model.counts[user]++
			return
		case http.StatusPreconditionFailed:
		default:
			assert.Fail(c.t, "unexpected answer", "%d %s", r.Code, r.Body)
			return
		}
	}
}

func (c *client) make(round int) {
	userName := fmt.Sprintf("made-%s-%d@example.com", c.name, round)
	r := c.do(ask{method: "POST", target: "/Users", body: `{"userName":"` + userName + `"}`})
	if assert.Equal(c.t, http.StatusCreated, r.Code, r.Body) {
		c.model.made[userName] = r.text("/id")
		c.patch("/Groups/"+c.group, "add", "members", `[{"value":"`+r.text("/id")+`"}]`)
		c.patch("/Groups/"+c.group, "remove", "members", `[{"value":"`+r.text("/id")+`"}]`)
	}
}

func (c *client) unmake(int) {
	for _, userName := range sortedKeys(c.model.made) {
		r := c.do(ask{method: "DELETE", target: "/Users/" + c.model.made[userName]})
		assert.Equal(c.t, http.StatusNoContent, r.Code, r.Body)
		delete(c.model.made, userName)
		return
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// values returns the value of each of a multi-valued attribute's values.
func values(list any) (all []string) {
	elements, _ := list.([]any)
	for _, e := range elements {
		all = append(all, e.(map[string]any)["value"].(string))
	}
	return all
}

// eventsAddUp replays the events of a tenant: they lead to the state that the
// store has (rules D2 and D3).
func eventsAddUp(t *testing.T, w *world, ledger scim.Ledger) {
	t.Helper()
	ctx := context.Background()
	state := map[scim.Ref]*scim.Resource{}
	members := map[scim.Ref]map[string]bool{}
	var request scim.RequestID
	finished := map[scim.RequestID]bool{}
	for _, e := range eventsOf(t, ledger, ours.Tenant) {
		if e.Request != request {
			require.False(t, finished[e.Request], "the events of a request are one range of the sequence")
			finished[request], request = true, e.Request
		}
		subject := e.Subject()
		switch e.Type {
		case scim.UserCreated, scim.GroupCreated:
			require.Nil(t, state[subject], "%s is created twice", subject.ID)
			state[subject], members[subject] = e.Data, map[string]bool{}
		case scim.UserUpdated, scim.UserDeactivated, scim.UserReactivated, scim.GroupUpdated:
			require.Equal(t, state[subject].Version(), e.Previous.Version(), "%s: an update follows another version", subject.ID)
			require.Equal(t, state[subject].JSON(), e.Previous.JSON(), subject.ID)
			state[subject] = e.Data
		case scim.UserDeleted, scim.GroupDeleted:
			delete(state, subject)
		case scim.MembershipAdded:
			require.False(t, members[subject][e.Member.Value], "a member is added twice")
			members[subject][e.Member.Value] = true
		case scim.MembershipRemoved:
			require.True(t, members[subject][e.Member.Value], "a member is removed that was none")
			delete(members[subject], e.Member.Value)
		default:
		}
	}
	for _, typ := range scim.CoreTypes().All() {
		page, err := ledger.List(ctx, &scim.Query{Directory: ours.Key(), Type: typ, StartIndex: 1, Count: 1 << 30})
		require.NoError(t, err)
		for _, r := range page.Resources {
			require.NotNil(t, state[r.Ref()], "%s: no event of its creation", r.ID())
			require.Equal(t, state[r.Ref()].JSON(), r.JSON(), "the events of %s lead elsewhere", r.ID())
			delete(state, r.Ref())
			if !typ.IsGroup() {
				continue
			}
			is := map[string]bool{}
			for m, err := range ledger.Members(ctx, r.Ref()) {
				require.NoError(t, err)
				is[m.Value] = true
			}
			require.Equal(t, members[r.Ref()], is, "the events of members lead elsewhere")
		}
	}
	require.Empty(t, state, "events tell of resources that are not there")
}

// lastStatesTold compares what the application was told last of each user with
// what is the case.
func lastStatesTold(t *testing.T, w *world) {
	t.Helper()
	there := map[string]bool{}
	for _, id := range (ask{method: "GET", target: "/Users?count=1000&attributes=id"}).do(t, w).ids(t) {
		there[id] = true
		want, err := w.scim.Engine().Account(t.Context(), ours, id)
		require.NoError(t, err)
		told := w.app.account(id)
		require.NotNil(t, told, "the application was never told of %s", id)
		require.Equal(t, want.Active, told.Active, id)
		require.Equal(t, want.Email, told.Email, id)
		require.Equal(t, want.RoleNames(), told.RoleNames(), id)
		require.Equal(t, cmp.Or(want.HostID, "none"), "host-"+id)
		if want.Active { // the roles of who is out are worked out at the return (rule B3)
			require.Equal(t, groupNames(want), groupNames(told), id)
		}
	}
	for id, told := range w.app.last {
		if !there[id] {
			require.Equal(t, scim.Deleted, told.Change, id)
			require.False(t, told.Active, id)
		}
	}
}

func groupNames(a *scim.Account) (names []string) {
	for _, g := range a.Groups {
		names = append(names, g.ID)
	}
	slices.Sort(names)
	return names
}

// racingStore is a store in which somebody else's write came between, a number
// of times.
type racingStore struct {
	*naiveStore
	races int
}

func (s *racingStore) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	if s.races > 0 {
		s.races--
		return nil, fmt.Errorf("row 7: %w", scim.ErrVersion)
	}
	return s.naiveStore.Replace(ctx, r, was)
}

// TestPlainStoreRetries: a write to a store without transactions that lost a
// race is repeated, unless the client said which version it means; then it is
// the client's to repeat (RFC 7644 section 3.14).
func TestPlainStoreRetries(t *testing.T) {
	store := &racingStore{naiveStore: newNaiveStore()}
	g := newTarget(t, store, nil)
	n := 0
	requests := func() []ask { // that change something each time
		n++
		value := quoted(fmt.Sprint("value ", n))
		member := g.addUser(t, ours, fmt.Sprintf("member%d@example.com", n), "")
		return []ask{
			{method: "PUT", target: "/Users/" + g.user, body: `{"userName":"ada@example.com","title":` + value + `}`},
			{method: "PATCH", target: "/Users/" + g.user, body: onePatch("replace", "displayName", value)},
			{method: "PATCH", target: "/Groups/" + g.group, body: onePatch("replace", "displayName", value)},
			{method: "PATCH", target: "/Groups/" + g.group, body: onePatch("add", "members", `[{"value":"`+member+`"}]`)},
			{method: "PUT", target: "/Groups/" + g.group, body: `{"displayName":"put ` + value[1:] + `}`},
		}
	}
	for _, request := range requests() {
		store.races = 3
		require.Less(t, request.do(t, g).Code, 300, request)
		require.Zero(t, store.races)
	}
	for _, request := range requests() {
		store.races = 1 << 30
		request.do(t, g).refused(t, http.StatusServiceUnavailable, "", request, "nothing that the client could mend")
		store.races = 1
		request.header = map[string]string{"If-Match": "*"}
		request.do(t, g).refused(t, http.StatusPreconditionFailed, "", request)
		store.races = 0
		request.do(t, g).must(t, cmp.Or(map[bool]int{true: 204}[strings.Contains(request.body, "members")], 200), request)
	}
	g.consistent(t, ours)
}
