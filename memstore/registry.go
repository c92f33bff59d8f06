package memstore

import (
	"hash/maphash"
	"sync/atomic"

	scim "github.com/muster-id/scim"
)

// A registry finds directories without a lock: a hash table that only ever
// gains entries. The zero registry is empty.
type registry struct {
	table atomic.Pointer[[]atomic.Pointer[directory]] // the length is a power of two, at most half of it is used
	count int
}

var keySeed = maphash.MakeSeed()

func keyHash(key scim.Key) uint64 {
	const odd = 0x9e3779b97f4a7c15
	return maphash.String(keySeed, key.Tenant)*odd + maphash.String(keySeed, key.Directory)
}

// find returns the directory of that key, or nil.
func (r *registry) find(key scim.Key) *directory {
	table := r.table.Load()
	if table == nil {
		return nil
	}
	mask := uint64(len(*table) - 1)
	for i := keyHash(key); ; i++ {
		d := (*table)[i&mask].Load()
		if d == nil || d.key == key {
			return d
		}
	}
}

// add adds a directory that is not there. Calls must not overlap.
func (r *registry) add(d *directory) {
	const least = 16
	old := r.table.Load()
	if old == nil {
		r.table.Store(new(make([]atomic.Pointer[directory], least)))
	} else if 2*(r.count+1) > len(*old) {
		// Built aside: readers go on in the old table, and find there what
		// they found before.
		grown := make([]atomic.Pointer[directory], 2*len(*old))
		for i := range *old {
			if d := (*old)[i].Load(); d != nil {
				place(grown, d)
			}
		}
		r.table.Store(&grown)
	}
	place(*r.table.Load(), d)
	r.count++
}

func place(table []atomic.Pointer[directory], d *directory) {
	mask := uint64(len(table) - 1)
	i := keyHash(d.key)
	for table[i&mask].Load() != nil {
		i++
	}
	table[i&mask].Store(d)
}
