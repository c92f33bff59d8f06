package memstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
)

func found(x *index, t tag) (slots []uint32) {
	slots = slices.AppendSeq([]uint32(nil), x.find(t))
	slices.Sort(slots)
	return slots
}

func TestIndexAgreesWithAMap(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var x index
	want := map[tag][]uint32{}
	// Few tags, neighbours in the table, so that runs grow into each other.
	for range 50_000 {
		tg, slot := tag(random.IntN(60)*30), uint32(random.IntN(40))
		at := slices.Index(want[tg], slot)
		if at >= 0 {
			x.remove(tg, slot)
			want[tg] = slices.Delete(want[tg], at, at+1)
		} else {
			x.add(tg, slot)
			want[tg] = append(want[tg], slot)
		}
	}
	for tg, slots := range want {
		slices.Sort(slots)
		got := found(&x, tg)
		if len(slots) == 0 {
			require.Empty(t, got)
		} else {
			require.Equal(t, slots, got)
		}
	}
	require.Less(t, len(*x.table.Load()), 1<<13, "places of removed entries are used again")
}

// A value that everybody shares must not make the index slow for all others:
// it is given up, and who looks it up is told.
func TestIndexGivesUpOnCommonValues(t *testing.T) {
	t.Parallel()
	var x index
	for slot := range uint32(100_000) {
		x.add(7, slot)
		x.add(1_000_000+slot*2_654_435_761, slot)
	}
	require.Len(t, found(&x, 7), runMost+1)
	require.Contains(t, found(&x, 7), uint32(overflow))
	x.remove(7, 50_000)
	x.remove(7, 3)
	require.Contains(t, found(&x, 7), uint32(overflow), "others are still unknown")
	require.NotContains(t, found(&x, 7), uint32(3))
	require.Equal(t, []uint32{99_999}, found(&x, tag(1_000_000+99_999*uint64(2_654_435_761)&0xffffffff)))
}

// A value that was common once and has become rare is in the index again when
// its table is replaced.
func TestIndexForgetsThatAValueWasCommon(t *testing.T) {
	t.Parallel()
	const common, once = tag(7), tag(9)
	holders := map[tag][]uint32{}
	x := index{entries: func(yield func(tag, uint32) bool) {
		for tg, slots := range holders {
			for _, slot := range slots {
				if !yield(tg, slot) {
					return
				}
			}
		}
	}}
	hold := func(tg tag, slot uint32) {
		holders[tg] = append(holders[tg], slot)
		x.add(tg, slot)
	}
	leave := func(tg tag, slot uint32) {
		at := slices.Index(holders[tg], slot)
		holders[tg] = slices.Delete(holders[tg], at, at+1)
		x.remove(tg, slot)
	}
	for slot := range uint32(1000) {
		hold(common, slot)
		hold(once, slot)
	}
	for slot := range uint32(1000) {
		if slot%10 != 0 { // some of those that stay are known to the index, some are not
			leave(common, slot)
		}
		if slot < 200 { // the index knows few, the rows have many
			leave(once, slot)
		}
	}
	require.Contains(t, found(&x, common), uint32(overflow))
	x.since = x.live
	hold(common, 5) // the row has it before the index replaces its table on the way
	slices.Sort(holders[common])
	require.Equal(t, holders[common], found(&x, common))
	require.Contains(t, found(&x, once), uint32(overflow), "800 are still too many")

	leave(common, 5)
	leave(common, 10)
	slices.Sort(holders[common])
	require.Equal(t, holders[common], found(&x, common), "it is like any other value")
}

// What is re-read from the rows can be more than the index held.
func TestRebuildHasRoomForWhatComesBack(t *testing.T) {
	t.Parallel()
	const tags, each = 50, runMost / 2
	x := index{entries: func(yield func(tag, uint32) bool) {
		for tg := range tag(tags) {
			for slot := range uint32(each) {
				if !yield(tg*1000, slot) {
					return
				}
			}
		}
	}}
	for tg := range tag(tags) {
		for slot := range uint32(runMost + 1) {
			x.add(tg*1000, slot)
		}
		for slot := range uint32(runMost) {
			x.remove(tg*1000, slot)
		}
	}
	x.rebuild()
	for tg := range tag(tags) {
		require.Len(t, found(&x, tg*1000), each)
	}
	require.Equal(t, tags*each, x.live)
	require.Less(t, 2*x.live, len(*x.table.Load())+1)
}

// Whatever transactions do, be they committed or not, the index holds what the
// rows say, nothing else and nothing twice; only of what is overflowing some
// may be missing.
func TestIndexAgreesWithTheRows(t *testing.T) {
	t.Parallel()
	s, random := New(scim.CoreTypes(), nil), rand.New(rand.NewPCG(5, 6))
	key := scim.Key{Tenant: "acme", Directory: "okta"}
	d := s.directory(key)
	named := func(i int, displayName string) *scim.Resource {
		id := strconv.Itoa(i)
		r, err := scim.CoreTypes().New(key, "User").ID(id).Set("userName", "user"+id).Set("displayName", displayName).Resource()
		require.NoError(t, err)
		return r
	}
	overflowed, recovered := false, false
	check := func() {
		t.Helper()
		want := map[tag][]uint32{}
		for tg, slot := range d.entries {
			want[tg] = append(want[tg], slot)
		}
		some := false
		got := map[tag][]uint32{}
		for i := range *d.index.table.Load() {
			e := (*d.index.table.Load())[i].Load()
			if slot := uint32(e); slot != 0 {
				got[tag(e>>32)] = append(got[tag(e>>32)], slot)
			}
		}
		for tg, slots := range got {
			slices.Sort(slots)
			require.Equal(t, slots, slices.Compact(slices.Clone(slots)), "nothing twice")
			for _, slot := range slots {
				if slot == overflow {
					some = true
				} else {
					require.Contains(t, want[tg], slot-1)
				}
			}
		}
		for tg, slots := range want {
			if !slices.Contains(got[tg], overflow) {
				require.Len(t, got[tg], len(slots))
			}
		}
		recovered = recovered || overflowed && !some
		overflowed = overflowed || some
	}
	refused := errors.New("refused")
	for round := range 60 {
		// Everybody is called the same for some time, and nobody for some time.
		name := func() string {
			if round%20 < 8 {
				return "Team " + strconv.Itoa(random.IntN(2))
			}
			return fmt.Sprint("Person ", random.Uint64())
		}
		err := s.Do(t.Context(), key.Tenant, func(ctx context.Context, tx scim.Tx) error {
			for range 100 {
				i := random.IntN(800)
				ref := scim.Ref{Directory: key, Type: "User", ID: strconv.Itoa(i)}
				_, err := tx.Get(ctx, ref, scim.GetOptions{})
				switch {
				case err != nil:
					_, err = tx.Create(ctx, named(i, name()))
				case random.IntN(8) == 0:
					err = tx.Delete(ctx, ref, 0)
				default:
					_, err = tx.Replace(ctx, named(i, name()), 0)
				}
				require.NoError(t, err)
			}
			check()
			if random.IntN(4) == 0 {
				return refused
			}
			return nil
		})
		require.True(t, err == nil || errors.Is(err, refused), err)
		check()
	}
	require.True(t, overflowed, "no value was too common")
	require.True(t, recovered, "no value became rare again")
}

// A display name that hundreds had is looked up in the index when few have it.
func TestListFindsAFormerlyCommonName(t *testing.T) {
	t.Parallel()
	s, key := New(scim.CoreTypes(), nil), scim.Key{Tenant: "acme", Directory: "okta"}
	named := func(i int, displayName string) *scim.Resource {
		id := strconv.Itoa(i)
		r, err := scim.CoreTypes().New(key, "User").ID(id).Set("userName", "user"+id).Set("displayName", displayName).Resource()
		require.NoError(t, err)
		return r
	}
	for i := range 600 {
		_, err := s.Create(t.Context(), named(i, "New user"))
		require.NoError(t, err)
	}
	users := scim.CoreTypes().Type("User")
	e, _, err := filter.Parse(`displayName eq "new USER"`, users.Type, filter.Options{})
	require.NoError(t, err)
	q := &scim.Query{Directory: key, Type: users, Filter: e, StartIndex: 1, Count: 1000}
	find := func() (total int, indexed bool) {
		page, err := s.List(t.Context(), q)
		require.NoError(t, err)
		v, err := s.view(t.Context(), key)
		require.NoError(t, err)
		l := lister{view: v, kind: s.kindOf(users), q: q}
		_, indexed = l.candidates(nil)
		return page.Total, indexed
	}
	total, indexed := find()
	require.Equal(t, 600, total)
	require.False(t, indexed)
	for i := range 600 {
		if i%50 != 0 {
			_, err := s.Replace(t.Context(), named(i, "Person "+strconv.Itoa(i)), 0)
			require.NoError(t, err)
		}
	}
	for i := range 1000 {
		_, err := s.Create(t.Context(), named(600+i, "Person "+strconv.Itoa(600+i)))
		require.NoError(t, err)
	}
	total, indexed = find()
	require.Equal(t, 12, total)
	require.True(t, indexed)
}
