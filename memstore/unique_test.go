package memstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/memstore"
)

// Whatever is created, replaced and deleted, in transactions that commit or
// not, values that a schema declares unique are taken exactly if
// [scim.CheckUnique] says so, and an equality on them finds exactly who has
// them (RFC 7643 section 7).
func TestUniqueAgreesWithModel(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../testdata/types/device.json")
	require.NoError(t, err)
	devices, err := attr.ParseTypes(document)
	require.NoError(t, err)
	types, err := scim.CoreTypes().With(devices...)
	require.NoError(t, err)
	const rack = "urn:example:params:scim:schemas:extension:rack:2.0:Device"
	key := scim.Key{Tenant: "acme", Directory: "okta"}

	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		word := func() string { return fmt.Sprintf("%c%d", "aA"[random.IntN(2)], random.IntN(12)) }
		words := func() []string {
			all := make([]string, random.IntN(3))
			for i := range all {
				all[i] = word()
			}
			return all
		}
		values := func(all []string) []map[string]string {
			list := make([]map[string]string, len(all))
			for i := range all {
				list[i] = map[string]string{"value": all[i]}
			}
			return list
		}
		device := func(id string) *scim.Resource {
			b := types.New(key, "Device").ID(id)
			for _, set := range []func(){
				func() { b.Set("serial", word()) },
				func() { b.Set("asset", word()) },
				func() { b.Set("rank", random.IntN(12)) },
				func() { b.Set("weight", []json.Number{"1", "1.0", "2", "25e-1", "2.5"}[random.IntN(5)]) },
				func() { b.Set("tags", words()) },
				func() { b.Set("ports", values(words())) },
				func() { b.Set(rack+":slot", word()) },
				func() { b.Set(rack+":units", values(words())) },
			} {
				if random.IntN(3) == 0 {
					set()
				}
			}
			r, err := b.Resource()
			require.NoError(t, err)
			return r
		}
		store := memstore.New(types, nil)
		committed := map[string]*scim.Resource{}
		for range 60 {
			model := maps.Clone(committed)
			undo := errors.New("undo")
			fails := random.IntN(4) == 0
			err := store.Do(t.Context(), key.Tenant, func(ctx context.Context, tx scim.Tx) error {
				for range 1 + random.IntN(4) {
					id := fmt.Sprint(random.IntN(10))
					_, there := model[id]
					r := device(id)
					var err error
					switch {
					case there && random.IntN(3) == 0:
						require.NoError(t, tx.Delete(ctx, r.Ref(), 0))
						delete(model, id)
						continue
					case there:
						_, err = tx.Replace(ctx, r, 0)
					default:
						_, err = tx.Create(ctx, r)
					}
					if scim.CheckUnique(r, maps.Values(model)) == nil {
						require.NoError(t, err, "seed %d: %s", seed, r.JSON())
						model[id] = r
					} else {
						require.ErrorIs(t, err, scim.ErrUniqueness, "seed %d: %s", seed, r.JSON())
					}
				}
				if fails {
					return undo
				}
				return nil
			})
			if fails {
				require.ErrorIs(t, err, undo)
			} else {
				require.NoError(t, err)
				committed = model
			}
			for _, path := range []string{"serial", "asset", "tags", "ports.value", rack + ":slot", rack + ":units.value"} {
				a, _ := types.Type("Device").Lookup(path, attr.Strict)
				q := &scim.Query{Directory: key, Type: types.Type("Device"), Filter: filter.Equal(a, word()), StartIndex: 1, Count: 100}
				page, err := store.List(t.Context(), q)
				require.NoError(t, err)
				require.Equal(t, ids(scim.Select(q, maps.Values(committed))), ids(page), "seed %d: %s", seed, q.Filter)
			}
		}
	}
}

func ids(p *scim.Page) (all []string) {
	for _, r := range p.Resources {
		all = append(all, r.ID())
	}
	slices.Sort(all)
	return all
}
