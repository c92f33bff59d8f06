package memstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	control "github.com/muster-id/scim/directory"
)

// What few accounts have costs the others nothing: an account is as large in
// the heap as it was without.
func TestRareStateIsApart(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, unsafe.Sizeof(account{}), uintptr(80), "a size class of Go's heap")
	usual := &scim.AccountState{HostID: "h", Email: "u@x.test", Active: true, Grants: []scim.Grant{{Role: "viewer", Source: scim.FromGroup}}}
	require.Nil(t, packRare(usual))
	for _, pending := range []scim.Pending{0, scim.PendingSeat} {
		usual.Pending = pending
		require.Equal(t, pending == 0, packRare(usual) == nil)
	}
}

// The hints that lead to people are taken out when nobody is found by them any
// more, whether a transaction was committed or rolled back; else a host that
// renames its accounts would fill the memory.
func TestPeopleLeaveNoHints(t *testing.T) {
	t.Parallel()
	types := scim.CoreTypes()
	s := New(types, nil)
	key := scim.Key{Tenant: "acme", Directory: "main"}
	ref := scim.Ref{Directory: key, Type: "User", ID: "u"}
	user, err := types.New(key, "User").ID("u").Set("userName", "u").Resource()
	require.NoError(t, err)
	_, err = s.Create(t.Context(), user)
	require.NoError(t, err)
	refused := errors.New("refused")
	for i := range 200 {
		err := s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
			for _, name := range []string{"first", "second"} {
				a := &scim.AccountState{User: ref, HostID: fmt.Sprint(name, i), Email: fmt.Sprint(name, i%3, "@x.test")}
				require.NoError(t, tx.PutAccount(ctx, a))
			}
			_, err := tx.People(ctx, "acme", "anybody", "")
			require.NoError(t, err)
			if i%3 == 1 {
				require.NoError(t, tx.Delete(ctx, ref, 0))
				_, err := tx.Create(ctx, user)
				require.NoError(t, err)
			}
			if i%2 > 0 {
				return refused
			}
			return nil
		})
		if i%2 > 0 {
			require.ErrorIs(t, err, refused)
		} else {
			require.NoError(t, err)
		}
		if people := s.directory(key).accounts.people; people != nil {
			require.LessOrEqual(t, people.rows.live, 2, "round %d: a HostID and an email", i)
			require.Empty(t, people.byHostID)
			require.Empty(t, people.byEmail)
		}
	}
	require.NotNil(t, s.directory(key).accounts.people)
}

func TestLeastIsTheBeginningOfAllInOrder(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 100 {
		texts = append(texts, fmt.Sprintf("%02d", i*37%100)) // each once, in no order
	}
	sorted := slices.Sorted(slices.Values(texts))
	for limit := range 102 {
		for _, from := range []int{0, 1, 50, 99} {
			after := ""
			if from > 0 {
				after = sorted[from-1]
			}
			want := sorted[from:][:min(limit, 100-from)]
			require.Equal(t, want, append([]string{}, least(slices.Values(texts), after, limit)...), "%d after %q", limit, after)
		}
	}
	require.Empty(t, least(slices.Values(texts), "", -1))
	require.Len(t, least(slices.Values(texts), "", int(^uint(0)>>1)), 100, "any limit")
}

// To ask about a tenant that nobody has written to leaves nothing behind:
// otherwise who guesses names could fill the memory.
func TestAskingForNobodyLeavesNothing(t *testing.T) {
	t.Parallel()
	s := New(scim.CoreTypes(), nil)
	ctx, key := t.Context(), scim.Key{Tenant: "nobody", Directory: "main"}
	_, errTally := s.Tally(ctx, "nobody")
	_, errPeople := s.People(ctx, "nobody", "h", "")
	_, errWaiting := s.Waiting(ctx, key, "", 1)
	_, errAccounts := s.Accounts(ctx, key, "", 1)
	_, errRecords := s.Records(ctx, "nobody", control.KindTask, "", 1)
	_, errTenants := s.Tenants(ctx, "", 1)
	_, errPrune := s.Prune(ctx, "nobody", control.Prune{Events: 1, Limit: 1})
	errDelete := s.DeleteRecord(ctx, control.RecordKey{Tenant: "nobody", Kind: control.KindTask, ID: "t"})
	require.NoError(t, errors.Join(errTally, errPeople, errWaiting, errAccounts, errRecords, errTenants, errPrune, errDelete))
	_, err := s.Record(ctx, control.RecordKey{Tenant: "nobody", Kind: control.KindTask, ID: "t"})
	require.ErrorIs(t, err, scim.ErrNotFound)
	require.Empty(t, s.tenants)
	require.Nil(t, s.directories.find(key))
}
