package directory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// A faulty storage fails once, at the call that the test says.
type faulty struct {
	directory.Storage
	left int // calls until it fails; 0: never
}

func (f *faulty) fault() error {
	if f.left--; f.left == 0 {
		return errDown
	}
	return nil
}

func (f *faulty) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	return f.Storage.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		if err := f.fault(); err != nil {
			return err
		}
		if err := fn(ctx, faultyTx{tx, f}); err != nil {
			return err
		}
		return f.fault() // of the commit
	})
}

func (f *faulty) Record(ctx context.Context, key directory.RecordKey) (*directory.Record, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	return f.Storage.Record(ctx, key)
}

func (f *faulty) Records(ctx context.Context, tenant string, kind directory.Kind, after string, limit int) ([]*directory.Record, error) {
	if err := f.fault(); err != nil {
		return nil, err
	}
	return f.Storage.Records(ctx, tenant, kind, after, limit)
}

func (f *faulty) PutRecord(ctx context.Context, r *directory.Record) (uint64, error) {
	if err := f.fault(); err != nil {
		return 0, err
	}
	return f.Storage.PutRecord(ctx, r)
}

func (f *faulty) DeleteRecord(ctx context.Context, key directory.RecordKey) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Storage.DeleteRecord(ctx, key)
}

func (f *faulty) Claim(ctx context.Context, name, tenant string) (string, error) {
	if err := f.fault(); err != nil {
		return "", err
	}
	return f.Storage.Claim(ctx, name, tenant)
}

func (f *faulty) Unclaim(ctx context.Context, name, tenant string) error {
	if err := f.fault(); err != nil {
		return err
	}
	return f.Storage.Unclaim(ctx, name, tenant)
}

type faultyTx struct {
	scim.Tx
	f *faulty
}

func (x faultyTx) Append(ctx context.Context, events ...*scim.Event) error {
	if err := x.f.fault(); err != nil {
		return err
	}
	return x.Tx.Append(ctx, events...)
}

func (x faultyTx) PutTally(ctx context.Context, t *scim.Tally) error {
	if err := x.f.fault(); err != nil {
		return err
	}
	return x.Tx.PutTally(ctx, t)
}

func (x faultyTx) Bind(ctx context.Context, key scim.Key, to scim.Binding, selectors ...string) error {
	if err := x.f.fault(); err != nil {
		return err
	}
	return x.Tx.Bind(ctx, key, to, selectors...)
}

// Whichever call of the storage fails, a change has happened entirely or not at
// all, the next attempt succeeds, and requests are served by what is stored.
func TestAStorageThatFailsLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	kinds := []directory.Kind{directory.KindDirectory, directory.KindToken, directory.KindDomain, directory.KindMapping, directory.KindTask}
	for name, change := range map[string]func(ctx context.Context, s *directory.Service, key scim.Key, token string) error{
		"create": func(ctx context.Context, s *directory.Service, _ scim.Key, _ string) error {
			_, err := s.Create(ctx, directory.Directory{Tenant: "acme", ID: "new"})
			return err
		},
		"pause": func(ctx context.Context, s *directory.Service, key scim.Key, _ string) error {
			return s.Pause(ctx, key)
		},
		"retire": func(ctx context.Context, s *directory.Service, key scim.Key, _ string) error {
			_, err := s.Retire(ctx, key, scim.DeactivateAll)
			return err
		},
		"revoke": func(ctx context.Context, s *directory.Service, key scim.Key, token string) error {
			return s.RevokeToken(ctx, key, token)
		},
		"rotate": func(ctx context.Context, s *directory.Service, key scim.Key, token string) error {
			_, _, err := s.RotateToken(ctx, key, token, 0)
			return err
		},
		"assert a domain": func(ctx context.Context, s *directory.Service, _ scim.Key, _ string) error {
			_, err := s.AssertDomain(ctx, "acme", "new.example")
			return err
		},
		"remove a domain": func(ctx context.Context, s *directory.Service, _ scim.Key, _ string) error {
			return s.RemoveDomain(ctx, "acme", "acme.example")
		},
		"set a mapping": func(ctx context.Context, s *directory.Service, key scim.Key, _ string) error {
			_, err := s.SetMapping(ctx, key, byName("viewer", "Staff editor"), 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				w := newWorkshop(t, nil)
				w.team("Staff", w.person("ada"))
				_, err := w.AssertDomain(t.Context(), "acme", "acme.example")
				require.NoError(t, err)
				tokens, err := w.Tokens(t.Context(), w.key)
				require.NoError(t, err)
				f := &faulty{Storage: w.store}
				s, err := directory.New(f, &scim.Config{Now: w.clock.Now, Catalog: catalog}, nil)
				require.NoError(t, err)
				_, err = s.Authenticate(bearer(t, w.secret))
				require.NoError(t, err)
				stored := func() (all []directory.Record, revision, events uint64) {
					for _, kind := range kinds {
						rows, err := w.store.Records(t.Context(), "acme", kind, "", 100)
						require.NoError(t, err)
						for _, r := range rows {
							all = append(all, *r)
						}
					}
					tally, err := w.store.Tally(t.Context(), "acme")
					require.NoError(t, err)
					_, last := w.happened(0)
					return all, tally.Revision, last
				}
				rows, revision, events := stored()
				f.left = n
				err = change(t.Context(), s, w.key, tokens[0].ID)
				if f.left > 0 { // it has fewer calls
					require.NoError(t, err)
					require.Greater(t, n, 4)
					break
				}
				require.ErrorIsf(t, err, errDown, "call %d", n)
				rowsAfter, revisionAfter, eventsAfter := stored()
				require.Equalf(t, rows, rowsAfter, "call %d", n)
				require.Equal(t, revision, revisionAfter)
				require.Equal(t, events, eventsAfter)
				holder, err := w.store.Claim(t.Context(), "domain:new.example", "globex")
				require.NoError(t, err)
				require.Equal(t, "globex", holder)
				require.NoError(t, w.store.Unclaim(t.Context(), "domain:new.example", "globex"))
				_, err = s.Authenticate(bearer(t, w.secret))
				require.NoError(t, err, "what is kept in memory is what is stored")

				require.NoError(t, change(t.Context(), s, w.key, tokens[0].ID))
				_, revisionAfter, _ = stored()
				require.Equal(t, revision+1, revisionAfter)
			}
		})
	}
}

// Two replicas change groups at random while a third sets another mapping. After
// its task everybody has exactly the roles that it gives them.
func TestC5AMappingSetWhileGroupsChangeEndsExact(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, nil)
	users := w.people(12)
	names := []string{"A", "B", "C"}
	groups := make([]string, len(names))
	for i, name := range names {
		groups[i] = w.team(name)
	}
	w.apply(byName("viewer", "A editor"))
	replicas := []*workshop{w.replica(nil), w.replica(nil)}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	member := make([]map[int]bool, len(users)) // each user's are one replica's
	var wait sync.WaitGroup
	regroup := func(n, times int) {
		r := replicas[n]
		wait.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n+times))) //nolint:gosec // not a secret
			for range times {
				u := random.IntN(len(users)/2)*2 + n
				g := random.IntN(len(groups))
				if member[u] == nil {
					member[u] = map[int]bool{}
				}
				operation := fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, users[u])
				if member[u][g] {
					operation = fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, users[u])
				}
				member[u][g] = !member[u][g]
				status, _ := r.send(http.MethodPatch, "/Groups/"+groups[g], patchBody(operation))
				assert.Less(t, status, 300)
			}
		})
	}
	for n, r := range replicas {
		r.do(http.MethodGet, "/Users?count=0", "") // what it knows is of before
		regroup(n, 18)
	}
	_, version, err := w.Mapping(t.Context(), w.key)
	require.NoError(t, err)
	task, err := w.SetMapping(t.Context(), w.key, byName("viewer", "C admin", "B editor"), version)
	require.NoError(t, err)
	task, err = w.Work(t.Context(), "acme", task.ID)
	require.NoError(t, err)
	require.Equal(t, directory.TaskDone, task.State)
	wait.Wait()
	for n := range replicas { // by what they know, if nothing else
		regroup(n, 7)
	}
	wait.Wait()
	for u, id := range users {
		want := "viewer"
		switch {
		case member[u][2]:
			want = "admin"
		case member[u][1]:
			want = "editor"
		}
		require.Equal(t, []string{want}, w.app.roleNames(id), "the application was told")
		state := w.state(id)
		require.Truef(t, slices.ContainsFunc(state.Grants, func(g scim.Grant) bool { return g.Role == want }), "%v", state.Grants)
		require.Len(t, state.Grants, 1)
	}
}

// Whatever the text is, a policy document is refused or means what it says.
func FuzzPolicyDocument(f *testing.F) {
	f.Add([]byte(`{"lock": "strict", "provision": {"createUsers": false}}`))
	f.Add([]byte(`{"provision": null, "seats": "overage"} x`))
	f.Fuzz(func(t *testing.T, document []byte) {
		var read, again directory.PolicyDocument
		if read.UnmarshalJSON(document) != nil {
			return
		}
		written, err := read.MarshalJSON()
		require.NoError(t, err)
		require.NoError(t, again.UnmarshalJSON(written))
		require.Equal(t, read, again)
	})
}
