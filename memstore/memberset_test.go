package memstore

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A set of members is a set, whatever its size, and no edit changes a set that
// somebody may be reading.
func TestMemberSetAgreesWithAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		var set *memberSet
		want := map[uint32]bool{}
		for range 60 {
			old, oldWant := set, slices.Sorted(maps.Keys(want))
			edit := set.edit()
			// Sizes go up and down through the border between slice and pages.
			grow := random.IntN(2) == 0
			for range random.IntN(700) {
				slot := uint32(random.IntN(9_000))
				if grow {
					require.Equal(t, !want[slot], edit.add(slot))
					want[slot] = true
				} else {
					require.Equal(t, want[slot], edit.remove(slot))
					delete(want, slot)
				}
			}
			set = edit.set()
			now := slices.Sorted(maps.Keys(want))
			if set != nil {
				require.Len(t, now, set.n)
			}
			require.Equal(t, now, slices.AppendSeq([]uint32(nil), set.all()))
			require.Equal(t, oldWant, slices.AppendSeq([]uint32(nil), old.all()), "the set before the edit is as it was")
			for slot := range uint32(9_100) {
				if set.has(slot) != want[slot] {
					t.Fatalf("slot %d: %v", slot, !want[slot])
				}
			}
			checkDifference(t, old, set)
			checkDifference(t, set, nil)
			checkDifference(t, nil, set)
		}
	}
}

func checkDifference(t *testing.T, old, now *memberSet) {
	t.Helper()
	got := map[uint32]bool{}
	for slot := range old.all() {
		got[slot] = true
	}
	difference(old, now, func(slot uint32, added bool) {
		if got[slot] == added {
			t.Fatalf("slot %d is not a difference", slot)
		}
		if added {
			got[slot] = true
		} else {
			delete(got, slot)
		}
	})
	require.Equal(t, slices.AppendSeq([]uint32(nil), now.all()), slices.Sorted(maps.Keys(got)))
}

// What an edit does not touch it shares: one change in a large set copies one
// page.
func TestMemberSetSharesPages(t *testing.T) {
	t.Parallel()
	edit := (*memberSet)(nil).edit()
	for slot := range uint32(100_000) {
		edit.add(slot)
	}
	old := edit.set()
	edit = old.edit()
	edit.remove(50_000)
	now := edit.set()
	copied := 0
	for i := range old.pages {
		if old.pages[i] != now.pages[i] {
			copied++
		}
	}
	require.Equal(t, 1, copied)
}
