package memstore

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
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
