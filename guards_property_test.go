package scim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/muster-id/scim"
)

// A seatWatch is an application that checks, whenever it is told something, what
// must hold of all that it was told: it looks at people, each of whom may have
// several accounts.
type seatWatch struct {
	*meteredApp
	limit int

	mu     sync.Mutex
	people map[string]*scim.Account // by host id
	bad    []string
	most   int
}

func (w *seatWatch) Provision(ctx context.Context, a *scim.Account) (string, error) {
	id, err := w.meteredApp.Provision(ctx, a)
	if err != nil {
		return id, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.people[id] = a
	return id, nil
}

// check looks at what one transaction has left behind.
func (w *seatWatch) check(administrators bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seats, admins := 0, 0
	for _, a := range w.people {
		names := a.RoleNames()
		if !a.Active {
			continue
		}
		if slices.Contains(names, "admin") {
			admins++
		}
		if slices.Contains(names, "admin") || slices.Contains(names, "editor") {
			seats++
		}
	}
	w.most = max(w.most, seats)
	if seats > w.limit {
		w.bad = append(w.bad, fmt.Sprintf("%d seats of %d", seats, w.limit))
	}
	if administrators && admins == 0 {
		w.bad = append(w.bad, "no administrator is left")
	}
}

// watchedLedger checks after each transaction, before the next one begins.
type watchedLedger struct {
	scim.Ledger
	mu    sync.Mutex
	after func()
}

func (l *watchedLedger) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.Ledger.Do(ctx, tenant, fn)
	l.after()
	return err
}

// Many clients change users and groups of two directories at once: there is
// never a seat too many nor an administrator too few, and in the end what was
// counted is what there is.
func TestE1AndB7UnderConcurrentChanges(t *testing.T) {
	t.Parallel()
	const limit, workers, steps = 6, 6, 60
	for name, policy := range map[string]scim.Policy{
		"refuse":    {Seats: scim.RefuseSeats},
		"hold":      {Seats: scim.HoldSeats},
		"free role": {Seats: scim.FreeRoleSeats, FreeRole: "viewer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain, _ := newPair(t, &scim.Usage{SeatLimit: limit + 2, Seats: 2}, policy)
			watch := &seatWatch{meteredApp: plain.metered, limit: limit, people: map[string]*scim.Account{}}
			administrators := false
			store := &watchedLedger{Ledger: plain.store, after: func() { watch.check(administrators) }}
			var rigs []*ruleRig
			for _, id := range []string{"okta", "entra"} {
				d := plain.source.now[scim.Key{Tenant: "acme", Directory: id}]
				r := newRuleRig(t, store, scim.NoRoles{}, d, plain.clock, func(cfg *scim.Config) {
					cfg.Directories, cfg.Catalog, cfg.Provisioner = plain.source, guardedCatalog, watch
				})
				r.store = plain.store
				rigs = append(rigs, r)
			}
			var groups [2][2]string
			for i, r := range rigs {
				groups[i] = [2]string{r.post("/Groups", team("Admins")), r.post("/Groups", team("Engineers"))}
			}
			rigs[0].join(groups[0][0], rigs[0].post("/Users", person("root")))
			administrators = true

			var wait sync.WaitGroup
			for n := range workers {
				wait.Go(func() {
					random := rand.New(rand.NewPCG(uint64(n), 7))
					for range steps {
						i := random.IntN(2)
						shake(t, rigs[i], groups[i], random)
					}
				})
			}
			wait.Wait()
			assert.Empty(t, watch.bad)
			assert.Equal(t, limit, watch.most, "the limit was reached, or nothing was tried")
			tally := plain.counts()
			assert.LessOrEqual(t, tally.Seats, limit)
			assert.Positive(t, tally.Administrators)
		})
	}
}

// shake makes one random change.
func shake(t *testing.T, r *ruleRig, groups [2]string, random *rand.Rand) {
	name := fmt.Sprintf("user%d", random.IntN(12))
	k := random.IntN(2)
	group := groups[k]
	id := idOf(t, r, name)
	var status int
	switch what := random.IntN(12); {
	case id == "":
		status = r.send(http.MethodPost, "/Users", person(name))
	case what == 0:
		status = r.send(http.MethodDelete, "/Users/"+id, "")
	case what < 3:
		status = r.send(http.MethodPatch, "/Users/"+id, patchBody(replaceOp("active", "false")))
	case what < 6:
		status = r.send(http.MethodPatch, "/Users/"+id, patchBody(replaceOp("active", "true")))
	case what < 10:
		status = r.send(http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, id)))
	case what == 10:
		status = r.send(http.MethodPut, "/Groups/"+group, team([]string{"Admins", "Engineers"}[k], id))
	default:
		status = r.send(http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, id)))
	}
	assert.Contains(t, []int{200, 201, 204, 403, 404, 409}, status)
}

// idOf returns the id of the user with that name, "" if there is none.
func idOf(t *testing.T, r *ruleRig, name string) string {
	req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/scim/v2/Users?filter="+url.QueryEscape(`userName eq "`+name+`"`), http.NoBody)
	req.Header.Set("Authorization", "Bearer "+testToken)
	answer := httptest.NewRecorder()
	r.ServeHTTP(answer, req)
	body, err := decodeJSON(answer.Body.Bytes())
	assert.NoError(t, err)
	id, _ := resolve(body, "/Resources/0/id").(string)
	return id
}
