package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/memstore"
)

func newStore() *memstore.Store { return memstore.New(scim.CoreTypes(), nil) }

func simpleUser(tb testing.TB, key scim.Key, id, userName string) *scim.Resource {
	tb.Helper()
	r, err := scim.CoreTypes().New(key, "User").ID(id).Set("userName", userName).Resource()
	require.NoError(tb, err)
	return r
}

func mustCreate(tb testing.TB, s scim.Store, all ...*scim.Resource) {
	tb.Helper()
	for _, r := range all {
		_, err := s.Create(context.Background(), r)
		require.NoError(tb, err)
	}
}

func userRef(key scim.Key, id string) scim.Ref { return scim.Ref{Directory: key, Type: "User", ID: id} }

func groupRef(key scim.Key, id string) scim.Ref {
	return scim.Ref{Directory: key, Type: "Group", ID: id}
}

func exists(tb testing.TB, ctx context.Context, s scim.Store, ref scim.Ref) bool {
	tb.Helper()
	_, err := s.Get(ctx, ref, scim.GetOptions{})
	if err != nil {
		require.ErrorIs(tb, err, scim.ErrNotFound)
	}
	return err == nil
}

// Contract of Ledger.Do: an error rolls everything back.
func TestDoRollsBackOnError(t *testing.T) {
	t.Parallel()
	s, refused := newStore(), errors.New("refused")
	err := s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		mustCreate(t, tx, simpleUser(t, ada, "1", "ann"))
		require.NoError(t, tx.Append(ctx, &scim.Event{Directory: ada}))
		return refused
	})
	require.Equal(t, refused, err)
	require.False(t, exists(t, t.Context(), s, userRef(ada, "1")))
	mustCreate(t, s, simpleUser(t, ada, "2", "ann")) // the name is free again
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		e := &scim.Event{Directory: ada}
		require.NoError(t, tx.Append(ctx, e))
		require.Equal(t, uint64(1), e.Seq, "a number that was rolled back is given again: gapless (rule D2)")
		return nil
	}))
}

// A hook of the host that panics must not leave half a transaction, nor the
// tenant locked.
func TestDoRollsBackOnPanic(t *testing.T) {
	t.Parallel()
	s := newStore()
	require.PanicsWithValue(t, "the host's", func() {
		_ = s.Do(t.Context(), "acme", func(_ context.Context, tx scim.Tx) error {
			mustCreate(t, tx, simpleUser(t, ada, "1", "ann"))
			panic("the host's")
		})
	})
	require.False(t, exists(t, t.Context(), s, userRef(ada, "1")))
	mustCreate(t, s, simpleUser(t, ada, "1", "ann"))
}

func TestDoRollsBackWhenCancelledBeforeCommit(t *testing.T) {
	t.Parallel()
	s := newStore()
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Do(ctx, "acme", func(_ context.Context, tx scim.Tx) error {
		mustCreate(t, tx, simpleUser(t, ada, "1", "ann"))
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, exists(t, t.Context(), s, userRef(ada, "1")))
	_, err = s.Create(ctx, simpleUser(t, ada, "1", "ann"))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, exists(t, t.Context(), s, userRef(ada, "1")))
}

// Who waits behind a transaction that hangs waits no longer than its context;
// readers and other tenants do not wait at all.
func TestNobodyWaitsForAHangingTransaction(t *testing.T) {
	t.Parallel()
	s := newStore()
	mustCreate(t, s, simpleUser(t, ada, "1", "ann"), group(t, ada, "g"))
	hangs, release, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.Do(context.Background(), "acme", func(ctx context.Context, tx scim.Tx) error {
			mustCreate(t, tx, simpleUser(t, ada, "2", "ben"))
			_, err := tx.ChangeMembers(ctx, groupRef(ada, "g"), scim.MemberChange{Add: []scim.Member{{Value: "1"}, {Value: "2"}}}, 0)
			close(hangs)
			<-release
			return err
		})
	}()
	<-hangs

	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() { waiting <- s.Delete(ctx, userRef(ada, "1"), 0) }()
	cancel()
	require.ErrorIs(t, <-waiting, context.Canceled)

	mustCreate(t, s, simpleUser(t, eve, "1", "ann")) // another tenant
	require.True(t, exists(t, t.Context(), s, userRef(ada, "1")))
	require.False(t, exists(t, t.Context(), s, userRef(ada, "2")), "not committed")
	for _, expression := range []string{"", `userName eq "ben"`, `userName sw "b"`, `groups.value eq "g"`} {
		page, err := s.List(t.Context(), query(t, "User", expression, 10))
		require.NoError(t, err)
		for _, r := range page.Resources {
			require.Equal(t, "1", r.ID(), "not committed")
		}
	}
	for m, err := range s.Members(t.Context(), groupRef(ada, "g")) {
		t.Error("not committed:", m, err)
	}
	groups, err := s.GroupsOf(t.Context(), ada, []string{"1"})
	require.NoError(t, err)
	require.Empty(t, groups[0])
	require.NoError(t, s.Log(t.Context(), &scim.LogEntry{Directory: ada}))
	_, err = s.Events(t.Context(), "acme", 0, 10)
	require.NoError(t, err)

	close(release)
	require.NoError(t, <-done)
	groups, err = s.GroupsOf(t.Context(), ada, []string{"1", "2"})
	require.NoError(t, err)
	require.Len(t, groups[0], 1)
	require.Len(t, groups[1], 1)
}

// The caller of Members may be a slow client: writers do not wait for it.
func TestWritersDoNotWaitForAnIteration(t *testing.T) {
	t.Parallel()
	s := newStore()
	mustCreate(t, s, simpleUser(t, ada, "1", "ann"), simpleUser(t, ada, "2", "ben"), group(t, ada, "g"))
	_, err := s.ChangeMembers(t.Context(), groupRef(ada, "g"), scim.MemberChange{Add: []scim.Member{{Value: "1"}, {Value: "2"}}}, 0)
	require.NoError(t, err)
	var seen []string
	for m, err := range s.Members(t.Context(), groupRef(ada, "g")) {
		require.NoError(t, err)
		if seen = append(seen, m.Value); len(seen) == 1 {
			require.NoError(t, s.Delete(t.Context(), userRef(ada, "2"), 0))
			// The newcomer takes the place of the deleted user, and is no member.
			mustCreate(t, s, simpleUser(t, ada, "3", "cid"))
		}
	}
	require.Equal(t, []string{"1"}, seen)
}

func TestMembersYieldsNotFound(t *testing.T) {
	t.Parallel()
	s := newStore()
	mustCreate(t, s, simpleUser(t, ada, "1", "ann"))
	for _, ref := range []scim.Ref{groupRef(ada, "1"), userRef(ada, "1"), groupRef(eve, "g"), {}} {
		calls := 0
		for _, err := range s.Members(t.Context(), ref) {
			require.ErrorIs(t, err, scim.ErrNotFound)
			calls++
		}
		require.Equal(t, 1, calls)
	}
}

// Type and display of a member are those of the resource, RFC 7643 section
// 4.2, and follow it.
func TestMembersAreDescribedByTheirResources(t *testing.T) {
	t.Parallel()
	s := newStore()
	named, err := scim.CoreTypes().New(ada, "User").ID("2").Set("userName", "ben").Set("displayName", "Ben").Resource()
	require.NoError(t, err)
	mustCreate(t, s, simpleUser(t, ada, "1", "ann"), named, group(t, ada, "g"), group(t, ada, "h"))
	_, err = s.ChangeMembers(t.Context(), groupRef(ada, "g"), scim.MemberChange{Add: []scim.Member{
		{Value: "1", Type: "Group", Display: "sent"}, {Value: "2"}, {Value: "h", Type: "group"},
	}}, 0)
	require.NoError(t, err)
	_, err = s.Replace(t.Context(), simpleUser(t, ada, "1", "anne"), 0)
	require.NoError(t, err)
	var members []scim.Member
	for m, err := range s.Members(t.Context(), groupRef(ada, "g")) {
		require.NoError(t, err)
		members = append(members, m)
	}
	require.ElementsMatch(t, []scim.Member{
		{Value: "1", Type: "User", Display: "anne"},
		{Value: "2", Type: "User", Display: "Ben"},
		{Value: "h", Type: "Group", Display: "Group h"},
	}, members)
}

func TestNestedDoJoins(t *testing.T) {
	t.Parallel()
	s := newStore()
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		mustCreate(t, tx, simpleUser(t, ada, "1", "ann"))
		require.True(t, exists(t, ctx, s, userRef(ada, "1")), "the store's methods join")
		_, err := s.Create(ctx, simpleUser(t, ada, "2", "ben"))
		require.NoError(t, err)
		require.NoError(t, s.Do(ctx, "acme", func(ctx context.Context, inner scim.Tx) error {
			require.True(t, exists(t, ctx, inner, userRef(ada, "2")))
			require.NoError(t, inner.Delete(ctx, userRef(ada, "1"), 0))
			return nil
		}))
		require.False(t, exists(t, ctx, tx, userRef(ada, "1")))
		require.False(t, exists(t, t.Context(), s, userRef(ada, "2")), "joined is not committed")
		return nil
	}))
	require.True(t, exists(t, t.Context(), s, userRef(ada, "2")))
}

func TestATransactionIsOfOneTenant(t *testing.T) {
	t.Parallel()
	s := newStore()
	mustCreate(t, s, simpleUser(t, eve, "1", "eve"))
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		require.Error(t, s.Do(ctx, "globex", func(context.Context, scim.Tx) error {
			t.Error("must not run")
			return nil
		}))
		q := query(t, "User", "", 10)
		q.Directory = eve
		for _, store := range []scim.MemberStore{s, tx} {
			_, errGet := store.Get(ctx, userRef(eve, "1"), scim.GetOptions{})
			_, errList := store.List(ctx, q)
			_, errCreate := store.Create(ctx, simpleUser(t, eve, "2", "bob"))
			_, errReplace := store.Replace(ctx, simpleUser(t, eve, "1", "bob"), 0)
			_, errGroups := store.GroupsOf(ctx, eve, []string{"1"})
			_, errChange := store.ChangeMembers(ctx, groupRef(eve, "g"), scim.MemberChange{}, 0)
			var errMembers error
			for _, err := range store.Members(ctx, groupRef(eve, "g")) {
				errMembers = err
			}
			for _, err := range []error{errGet, errList, errCreate, errReplace, errGroups, errChange, errMembers, store.Delete(ctx, userRef(eve, "1"), 0)} {
				require.Error(t, err)
				require.NotErrorIs(t, err, scim.ErrNotFound)
			}
		}
		_, errAccounts := accountsOf(ctx, tx, eve, []string{"1"})
		_, errDeparted := tx.Departed(ctx, eve, "x", "")
		_, errBindings := tx.Bindings(ctx, eve)
		_, errDeliver := tx.Deliver(ctx, scim.Delivery{User: userRef(eve, "1")})
		_, errEvents := s.Events(ctx, "globex", 0, 1)
		_, errRequests := s.Requests(ctx, eve, 1)
		_, errUndelivered := s.Undelivered(ctx, "globex", time.Now(), 1)
		for _, err := range []error{
			errAccounts, errDeparted, errBindings, errDeliver, errEvents, errRequests, errUndelivered,
			tx.PutAccount(ctx, &scim.AccountState{User: userRef(eve, "1")}), tx.Bind(ctx, eve, scim.Binding{}, "x"),
			tx.Append(ctx, &scim.Event{Directory: eve}), tx.Log(ctx, &scim.LogEntry{Directory: eve}),
			s.Log(ctx, &scim.LogEntry{Directory: eve}), s.Delivered(ctx, "globex", scim.Delivery{}),
		} {
			require.Error(t, err)
		}
		return nil
	}))
	require.True(t, exists(t, t.Context(), s, userRef(eve, "1")))
}

// A Tx that outlives its transaction does nothing, and a context that does is
// like any other.
func TestAnEndedTransactionCannotBeUsed(t *testing.T) {
	t.Parallel()
	s := newStore()
	var late scim.Tx
	var lateCtx context.Context
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		late, lateCtx = tx, ctx
		return nil
	}))
	_, err := late.Create(t.Context(), simpleUser(t, ada, "1", "ann"))
	require.Error(t, err)
	require.Error(t, late.Append(t.Context(), &scim.Event{Directory: ada}))
	_, err = late.Get(t.Context(), userRef(ada, "1"), scim.GetOptions{})
	require.Error(t, err)
	require.NotErrorIs(t, err, scim.ErrNotFound)
	_, err = s.Create(lateCtx, simpleUser(t, ada, "1", "ann"))
	require.NoError(t, err)
	require.True(t, exists(t, t.Context(), s, userRef(ada, "1")))
}

// Versions and times, contract of Store.Replace; RFC 7643 section 3.1.
func TestMetaOfChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		created, err := s.Create(t.Context(), simpleUser(t, ada, "1", "ann"))
		require.NoError(t, err)
		at := created.Meta().Created
		require.Equal(t, scim.Meta{Created: at, LastModified: at, Version: 1}, created.Meta())
		time.Sleep(time.Minute)
		replaced, err := s.Replace(t.Context(), simpleUser(t, ada, "1", "anne"), 1)
		require.NoError(t, err)
		require.Equal(t, scim.Meta{Created: at, LastModified: at.Add(time.Minute), Version: 2}, replaced.Meta())
		_, err = s.Replace(t.Context(), simpleUser(t, ada, "1", "anna"), 1)
		require.ErrorIs(t, err, scim.ErrVersion)
		require.ErrorIs(t, s.Delete(t.Context(), userRef(ada, "1"), 1), scim.ErrVersion)

		// A group's version changes with its members, a user's does not with
		// its groups (rule E3a).
		mustCreate(t, s, group(t, ada, "g"))
		time.Sleep(time.Minute)
		add := scim.MemberChange{Add: []scim.Member{{Value: "1"}}}
		changed, err := s.ChangeMembers(t.Context(), groupRef(ada, "g"), add, 1)
		require.NoError(t, err)
		require.Equal(t, scim.Meta{Created: at.Add(time.Minute), LastModified: at.Add(2 * time.Minute), Version: 2}, changed.Group.Meta())
		_, err = s.ChangeMembers(t.Context(), groupRef(ada, "g"), add, 1)
		require.ErrorIs(t, err, scim.ErrVersion)
		again, err := s.ChangeMembers(t.Context(), groupRef(ada, "g"), add, 2)
		require.NoError(t, err)
		require.Equal(t, scim.Version(2), again.Group.Version(), "nothing changed (rule D4)")
		u, err := s.Get(t.Context(), userRef(ada, "1"), scim.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, scim.Version(2), u.Version())
		require.NoError(t, s.Delete(t.Context(), userRef(ada, "1"), 2))
		g, err := s.Get(t.Context(), groupRef(ada, "g"), scim.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, scim.Version(3), g.Version(), "deletion drops memberships (rule B2)")
	})
}

func TestCreateRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	s := newStore()
	nameless, err := scim.CoreTypes().New(ada, "User").Set("userName", "ann").Resource()
	require.NoError(t, err)
	_, err = s.Create(t.Context(), nameless)
	require.Error(t, err)
	other, err := scim.NewTypes(scim.CoreTypes().Type("User").Type)
	require.NoError(t, err)
	r, err := other.New(ada, "User").ID("1").Set("userName", "ann").Resource()
	require.NoError(t, err)
	_, err = s.Create(t.Context(), r)
	require.ErrorContains(t, err, "registry")
	_, err = s.Replace(t.Context(), r, 0)
	require.ErrorContains(t, err, "registry")
	_, err = s.List(t.Context(), &scim.Query{Directory: ada, Type: other.Type("User"), StartIndex: 1})
	require.ErrorContains(t, err, "registry")
}

// Rule B4 asks for the account of who left last; rule B1 keeps it.
func TestB1AccountsStayWhenTheirUsersAreDeleted(t *testing.T) {
	t.Parallel()
	s := newStore()
	for i, id := range []string{"1", "2"} {
		require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
			mustCreate(t, tx, simpleUser(t, ada, id, "ann"))
			a := &scim.AccountState{User: userRef(ada, id), HostID: fmt.Sprint("h", i), ExternalID: "x", Email: "Ann@Example.com", Active: true}
			require.NoError(t, tx.PutAccount(ctx, a))
			require.NoError(t, tx.PutAccount(ctx, a))
			gone := *a
			gone.Active, gone.Deleted = false, true
			require.NoError(t, tx.PutAccount(ctx, &gone))
			none, err := tx.Departed(ctx, ada, "y", "")
			require.NoError(t, err)
			require.Nil(t, none)
			return tx.Delete(ctx, userRef(ada, id), 0)
		}))
	}
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		states, err := accountsOf(ctx, tx, ada, []string{"2", "3", "1"})
		require.NoError(t, err)
		require.Equal(t, "h1", states[0].HostID)
		require.Nil(t, states[1])
		require.Equal(t, userRef(ada, "1"), states[2].User)
		byExternal, err := tx.Departed(ctx, ada, "x", "")
		require.NoError(t, err)
		require.Equal(t, states[0], byExternal)
		byEmail, err := tx.Departed(ctx, ada, "", "ann@example.com")
		require.NoError(t, err)
		require.Equal(t, states[0], byEmail)
		foreign, err := tx.Departed(ctx, bob, "x", "")
		require.NoError(t, err)
		require.Nil(t, foreign)
		return nil
	}))
}

// Events are bounded, their numbers are not (rule D6).
func TestRingsForgetTheOldest(t *testing.T) {
	t.Parallel()
	s := memstore.New(scim.CoreTypes(), &memstore.Options{Events: 5, Requests: 3})
	for i := range 12 {
		require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
			require.NoError(t, tx.Log(ctx, &scim.LogEntry{Directory: ada, ID: scim.RequestID(i)}))
			return tx.Append(ctx, &scim.Event{Directory: ada})
		}))
	}
	for _, c := range []struct {
		after uint64
		limit int
		want  []uint64
	}{
		{0, 100, []uint64{8, 9, 10, 11, 12}},
		{0, 2, []uint64{8, 9}},
		{9, 100, []uint64{10, 11, 12}},
		{11, 1, []uint64{12}},
		{12, 5, nil},
		{99, 5, nil},
		{0, 0, nil},
	} {
		all, err := s.Events(t.Context(), "acme", c.after, c.limit)
		require.NoError(t, err)
		var got []uint64
		for _, e := range all {
			got = append(got, e.Seq)
		}
		require.Equal(t, c.want, got, "after %d, limit %d", c.after, c.limit)
	}
	entries, err := s.Requests(t.Context(), ada, 10)
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, scim.RequestID(11), entries[0].ID)
	require.Equal(t, scim.RequestID(9), entries[2].ID)
	for _, name := range []string{"globex", ""} {
		none, err := s.Events(t.Context(), name, 0, 10)
		require.NoError(t, err)
		require.Empty(t, none)
	}
}

// A transaction with more events than the ring holds leaves the latest.
func TestRingsTakeMoreThanTheyHold(t *testing.T) {
	t.Parallel()
	s := memstore.New(scim.CoreTypes(), &memstore.Options{Events: 4})
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		events := make([]*scim.Event, 10)
		for i := range events {
			events[i] = &scim.Event{Directory: ada}
		}
		return tx.Append(ctx, events...)
	}))
	all, err := s.Events(t.Context(), "acme", 0, 10)
	require.NoError(t, err)
	require.Len(t, all, 4)
	require.Equal(t, uint64(7), all[0].Seq)
}

func TestUndeliveredListsTheOldestFirst(t *testing.T) {
	t.Parallel()
	s, start := newStore(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var given []scim.Delivery
	require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) (err error) {
		given, err = tx.Deliver(ctx,
			scim.Delivery{User: userRef(ada, "1"), Since: start}, scim.Delivery{User: userRef(ada, "2"), Since: start.Add(time.Minute)},
			scim.Delivery{User: userRef(bob, "3"), Since: start.Add(time.Hour)})
		return err
	}))
	due, err := s.Undelivered(t.Context(), "acme", start.Add(time.Hour), 10)
	require.NoError(t, err)
	require.Equal(t, given[:2], due)
	due, err = s.Undelivered(t.Context(), "acme", start.Add(2*time.Hour), 1)
	require.NoError(t, err)
	require.Equal(t, given[:1], due)
	require.NoError(t, s.Delivered(t.Context(), "acme", given[0], scim.Delivery{ID: 99}))
	require.NoError(t, s.Delivered(t.Context(), "globex", given[1]))
	due, err = s.Undelivered(t.Context(), "acme", start.Add(2*time.Hour), 10)
	require.NoError(t, err)
	require.Equal(t, given[1:], due)
}

// An attribute that everybody shares is found as well as a rare one.
func TestListFindsCommonValues(t *testing.T) {
	t.Parallel()
	s := newStore()
	const n = 1000
	for i := range n {
		r, err := scim.CoreTypes().New(ada, "User").ID(strconv.Itoa(i)).Set("userName", fmt.Sprint("u", i)).Set("displayName", "Everybody").Resource()
		require.NoError(t, err)
		mustCreate(t, s, r)
	}
	q := query(t, "User", `displayName eq "everybody"`, n)
	page, err := s.List(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, n, page.Total)
	for i, r := range page.Resources {
		require.Equal(t, strconv.Itoa(i), r.ID(), "in the order of creation")
	}
	q.StartIndex, q.Count = 990, 100
	page, err = s.List(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, page.Resources, 11)
	q.Count = 0
	page, err = s.List(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, n, page.Total)
	require.Empty(t, page.Resources)
}

func TestListGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s := newStore()
	require.NoError(t, s.Do(t.Context(), "acme", func(_ context.Context, tx scim.Tx) error {
		for i := range 10_000 {
			mustCreate(t, tx, simpleUser(t, ada, strconv.Itoa(i), fmt.Sprint("u", i)))
		}
		return nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.List(ctx, query(t, "User", `userName co "9"`, 10))
	require.ErrorIs(t, err, context.Canceled)
}

// Isolation is in the key: whatever is done in directory A with what belongs
// to directory B, nothing of B is seen or changed (rule A1).
func TestA1Isolation(t *testing.T) {
	t.Parallel()
	for _, other := range []scim.Key{bob, eve} {
		s := newStore()
		h := &history{T: t, Rand: rand.New(rand.NewPCG(5, 6)), store: s}
		mustCreate(t, s, simpleUser(t, other, "secret", "victim@b.test"), group(t, other, "crew"))
		theirs, err := scim.CoreTypes().New(other, "User").ID("boss").Set("userName", "boss").Set("externalId", "xb").
			Set("displayName", "The Boss").Set("emails", []map[string]string{{"value": "boss@b.test"}}).Resource()
		require.NoError(t, err)
		mustCreate(t, s, theirs)
		crew := scim.MemberChange{Add: []scim.Member{{Value: "secret"}, {Value: "boss"}}}
		_, err = s.ChangeMembers(t.Context(), groupRef(other, "crew"), crew, 0)
		require.NoError(t, err)
		require.NoError(t, s.Do(t.Context(), other.Tenant, func(ctx context.Context, tx scim.Tx) error {
			return errors.Join(
				tx.PutAccount(ctx, &scim.AccountState{User: userRef(other, "boss"), HostID: "h", ExternalID: "xb", Email: "boss@b.test"}),
				tx.PutAccount(ctx, &scim.AccountState{User: userRef(other, "left"), ExternalID: "xl", Email: "left@b.test", Deleted: true}),
				tx.Bind(ctx, other, scim.Binding{GroupID: "crew"}, "name:crew"),
				tx.Log(ctx, &scim.LogEntry{Directory: other}))
		}))
		before := snapshot(t, s, other)

		mustCreate(t, s, group(t, ada, "mine"))
		for range 300 {
			id := h.pick("secret", "boss", "crew", "left")
			var err error
			switch h.IntN(6) {
			case 0:
				_, err = s.Get(t.Context(), scim.Ref{Directory: ada, Type: h.pick("User", "Group"), ID: id}, scim.GetOptions{})
			case 1:
				_, err = s.Replace(t.Context(), simpleUser(t, ada, id, "thief"), 0)
			case 2:
				err = s.Delete(t.Context(), scim.Ref{Directory: ada, Type: h.pick("User", "Group"), ID: id}, 0)
			case 3:
				_, err = s.ChangeMembers(t.Context(), groupRef(ada, "crew"), scim.MemberChange{Clear: true}, 0)
			case 4:
				for _, err = range s.Members(t.Context(), groupRef(ada, id)) {
				}
			case 5:
				result, errChange := s.ChangeMembers(t.Context(), groupRef(ada, "mine"), scim.MemberChange{Add: []scim.Member{{Value: id}}, Remove: []string{"boss"}}, 0)
				require.NoError(t, errChange)
				require.Equal(t, []string{id}, result.Unknown)
				continue
			}
			require.ErrorIs(t, err, scim.ErrNotFound)
		}
		for typ, expressions := range map[string][]string{
			"User": {
				"", `id eq "boss"`, `userName eq "boss"`, `externalId eq "xb"`, `emails.value eq "boss@b.test"`, `displayName pr`,
				`groups.value eq "crew"`, `meta.created gt "2000-01-01T00:00:00Z"`,
			},
			"Group": {`members.value eq "boss"`, `displayName eq "Group crew"`, `members pr`, `id eq "crew" and members.value eq "boss"`},
		} {
			for _, expression := range expressions {
				page, err := s.List(t.Context(), query(t, typ, expression, 10))
				require.NoError(t, err)
				require.Zero(t, page.Total, expression)
				require.Empty(t, page.Resources)
			}
		}
		groups, err := s.GroupsOf(t.Context(), ada, []string{"boss", "secret"})
		require.NoError(t, err)
		require.Equal(t, [][]scim.GroupRef{nil, nil}, groups)
		requests, err := s.Requests(t.Context(), ada, 10)
		require.NoError(t, err)
		require.Empty(t, requests)
		require.NoError(t, s.Do(t.Context(), ada.Tenant, func(ctx context.Context, tx scim.Tx) error {
			states, err := accountsOf(ctx, tx, ada, []string{"boss", "left"})
			require.NoError(t, err)
			require.Equal(t, []*scim.AccountState{nil, nil}, states)
			for _, by := range [][2]string{{"xl", ""}, {"", "left@b.test"}} {
				left, err := tx.Departed(ctx, ada, by[0], by[1])
				require.NoError(t, err)
				require.Nil(t, left)
			}
			bindings, err := tx.Bindings(ctx, ada)
			require.NoError(t, err)
			require.Empty(t, bindings)
			return nil
		}))
		// The same values are free here, and theirs stay what they are.
		mustCreate(t, s, simpleUser(t, ada, "boss", "boss"), group(t, ada, "crew"))
		require.NoError(t, s.Delete(t.Context(), userRef(ada, "boss"), 0))
		require.Equal(t, before, snapshot(t, s, other))
	}
}

// snapshot returns all that can be seen of a directory.
func snapshot(tb testing.TB, s *memstore.Store, key scim.Key) (all []string) {
	tb.Helper()
	for _, typ := range []string{"User", "Group"} {
		q := query(tb, typ, "", 1000)
		q.Directory = key
		page, err := s.List(context.Background(), q)
		require.NoError(tb, err)
		for _, r := range page.Resources {
			all = append(all, fmt.Sprint(r.JSON(), r.Meta()))
			groups, err := s.GroupsOf(context.Background(), key, []string{r.ID()})
			require.NoError(tb, err)
			all = append(all, fmt.Sprint(groups))
			for m, err := range s.Members(context.Background(), r.Ref()) {
				all = append(all, fmt.Sprint(m, err))
			}
		}
	}
	require.NotEmpty(tb, all)
	return all
}

// 64 clients change the same groups and users while others read: nothing is
// lost, and no reader sees half of a transaction in a row.
func TestConcurrentClients(t *testing.T) {
	t.Parallel()
	const clients, rounds, people = 64, 30, 40
	s := newStore()
	for i := range people {
		mustCreate(t, s, versioned(t, i, 0))
	}
	mustCreate(t, s, group(t, ada, "even"), group(t, ada, "all"))

	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				readAll(t, s, people)
			}
		})
	}
	for c := range clients {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 8))
			for range rounds {
				write(t, s, random, people)
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()

	events, err := s.Events(t.Context(), "acme", 0, 1<<20)
	require.NoError(t, err)
	require.Len(t, events, clients*rounds)
	members, changes := map[string]bool{}, map[string]int{}
	for i, e := range events {
		require.Equal(t, uint64(i+1), e.Seq)
		changes[e.Note]++
		switch e.Type {
		case scim.MembershipAdded:
			members[e.Note] = true
		case scim.MembershipRemoved:
			delete(members, e.Note)
		default:
		}
	}
	var got []string
	for m, err := range s.Members(t.Context(), groupRef(ada, "all")) {
		require.NoError(t, err)
		got = append(got, m.Value)
	}
	slices.Sort(got)
	require.Equal(t, slices.Sorted(maps.Keys(members)), got, "the last change of each member counts")
	for i := range people {
		u, err := s.Get(t.Context(), userRef(ada, userID(i)), scim.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(u.Version()-1), text(u, "title"), "no update is lost")
	}
}

// versioned is user i with the number of its changes in three places.
func versioned(tb testing.TB, i, changes int) *scim.Resource {
	tb.Helper()
	n := strconv.Itoa(changes)
	r, err := scim.CoreTypes().New(ada, "User").ID(userID(i)).Set("userName", fmt.Sprintf("u%d.%s", i, n)).
		Set("title", n).Set("nickName", n).Resource()
	require.NoError(tb, err)
	return r
}

// write changes one user or one member, in a transaction.
func write(t *testing.T, s *memstore.Store, random *rand.Rand, people int) {
	i := random.IntN(people)
	err := s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		e := &scim.Event{Type: scim.UserUpdated, Directory: ada, Note: userID(i)}
		switch random.IntN(3) {
		case 0:
			u, err := tx.Get(ctx, userRef(ada, userID(i)), scim.GetOptions{})
			if err != nil {
				return err
			}
			if _, err := tx.Replace(ctx, versioned(t, i, int(u.Version())), u.Version()); err != nil {
				return err
			}
		case 1:
			e.Type = scim.MembershipAdded
			if _, err := tx.ChangeMembers(ctx, groupRef(ada, "all"), scim.MemberChange{Add: []scim.Member{{Value: userID(i)}}}, 0); err != nil {
				return err
			}
		case 2:
			e.Type = scim.MembershipRemoved
			if _, err := tx.ChangeMembers(ctx, groupRef(ada, "all"), scim.MemberChange{Remove: []string{userID(i)}}, 0); err != nil {
				return err
			}
		}
		return tx.Append(ctx, e)
	})
	if err != nil {
		t.Error(err)
	}
}

func readAll(t *testing.T, s *memstore.Store, people int) {
	page, err := s.List(t.Context(), query(t, "User", "", people))
	if err != nil || page.Total != people || len(page.Resources) != people {
		t.Error("a page of all users:", err, page.Total)
		return
	}
	for i, r := range page.Resources {
		n := text(r, "title")
		if fmt.Sprint(r.Version()-1) != n || text(r, "nickName") != n || text(r, "userName") != fmt.Sprintf("u%d.%s", i, n) {
			t.Error("half of a transaction:", r.JSON(), r.Version())
		}
		if _, err := s.Get(t.Context(), r.Ref(), scim.GetOptions{}); err != nil {
			t.Error(err)
		}
	}
	seen := map[string]bool{}
	for m, err := range s.Members(t.Context(), groupRef(ada, "all")) {
		if err != nil || seen[m.Value] {
			t.Error("members:", err, m)
		}
		seen[m.Value] = true
	}
	if _, err := s.GroupsOf(t.Context(), ada, []string{userID(1)}); err != nil {
		t.Error(err)
	}
}

// Readers race with deletions and with newcomers in the places of the deleted:
// a group never shows who was not in it.
func TestReadersRaceWithDeletion(t *testing.T) {
	t.Parallel()
	s := newStore()
	mustCreate(t, s, group(t, ada, "in"))
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for !stop.Load() {
				for m, err := range s.Members(t.Context(), groupRef(ada, "in")) {
					if err != nil || m.Display != "member" {
						t.Error("never a member:", m, err)
					}
				}
				page, err := s.List(t.Context(), query(t, "User", `groups.value eq "in"`, 10))
				if err != nil {
					t.Error(err)
				}
				for _, r := range page.Resources {
					if text(r, "displayName") != "member" {
						t.Error("never a member:", r.JSON())
					}
				}
			}
		})
	}
	named := func(i int, display string) *scim.Resource {
		r, err := scim.CoreTypes().New(ada, "User").ID(strconv.Itoa(i)).Set("userName", strconv.Itoa(i)).Set("displayName", display).Resource()
		require.NoError(t, err)
		return r
	}
	for i := range 2000 {
		mustCreate(t, s, named(2*i, "member"))
		_, err := s.ChangeMembers(t.Context(), groupRef(ada, "in"), scim.MemberChange{Add: []scim.Member{{Value: strconv.Itoa(2 * i)}}}, 0)
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), userRef(ada, strconv.Itoa(2*i)), 0))
		mustCreate(t, s, named(2*i+1, "stranger"))
		require.NoError(t, s.Delete(t.Context(), userRef(ada, strconv.Itoa(2*i+1)), 0))
	}
	stop.Store(true)
	readers.Wait()
}

// Pages of an unfiltered list are found by counts, not by looking at what is
// before them: they must fit together all the same, also around the places of
// deleted users (RFC 7644 section 3.4.2.4).
func TestPagesOfAnUnfilteredListFitTogether(t *testing.T) {
	t.Parallel()
	s, random := newStore(), rand.New(rand.NewPCG(9, 9))
	left := []string{}
	for i := range 1000 {
		mustCreate(t, s, simpleUser(t, ada, strconv.Itoa(i), strconv.Itoa(i)), group(t, ada, strconv.Itoa(i)))
		left = append(left, strconv.Itoa(i))
	}
	for range 400 {
		i := random.IntN(len(left))
		require.NoError(t, s.Delete(t.Context(), userRef(ada, left[i]), 0))
		left = slices.Delete(left, i, i+1)
	}
	for start := 1; start <= len(left)+2; start += 1 + random.IntN(20) {
		q := query(t, "User", "", 1+random.IntN(300))
		q.StartIndex = start
		page, err := s.List(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, len(left), page.Total)
		from := min(start-1, len(left))
		want, got := left[from:min(len(left), from+q.Count)], []string{}
		for _, r := range page.Resources {
			got = append(got, r.ID())
		}
		require.Equal(t, want, got)
	}
}

// Directories are found without a lock while others are added, and each has
// its own resources.
func TestManyDirectories(t *testing.T) {
	t.Parallel()
	const tenants, each = 50, 6
	s := newStore()
	key := func(i, j int) scim.Key { return scim.Key{Tenant: strconv.Itoa(i), Directory: strconv.Itoa(j)} }
	var clients sync.WaitGroup
	for i := range tenants {
		clients.Go(func() {
			for j := range each {
				if exists(t, context.Background(), s, userRef(key(i, j), "1")) {
					t.Error("nothing was created yet in", key(i, j))
				}
				mustCreate(t, s, simpleUser(t, key(i, j), "1", fmt.Sprint(i, "-", j)))
				for k := range j + 1 {
					u, err := s.Get(context.Background(), userRef(key(i, k), "1"), scim.GetOptions{})
					if err != nil || text(u, "userName") != fmt.Sprint(i, "-", k) {
						t.Error(key(i, k), err)
					}
				}
			}
		})
	}
	clients.Wait()
}

// Who sees a group sees its members, also where one transaction brought both.
func TestMembersAreSeenNoLaterThanTheirGroup(t *testing.T) {
	t.Parallel()
	s := newStore()
	const rounds = 3000
	var at atomic.Int64
	var reader sync.WaitGroup
	reader.Go(func() {
		for i := at.Load(); i < rounds; i = at.Load() {
			id := strconv.FormatInt(i, 10)
			if !exists(t, context.Background(), s, groupRef(ada, id)) {
				continue
			}
			members := 0
			for _, err := range s.Members(context.Background(), groupRef(ada, id)) {
				if err != nil {
					t.Error(err)
				}
				members++
			}
			if members != 1 {
				t.Error("a group without its member")
			}
		}
	})
	for i := range rounds {
		id := strconv.Itoa(i)
		at.Store(int64(i))
		require.NoError(t, s.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
			mustCreate(t, tx, group(t, ada, id), simpleUser(t, ada, id, id))
			_, err := tx.ChangeMembers(ctx, groupRef(ada, id), scim.MemberChange{Add: []scim.Member{{Value: id}}}, 0)
			return err
		}))
	}
	at.Store(rounds)
	reader.Wait()
}

// GET is a lookup and no more: it allocates nothing.
func TestGetDoesNotAllocate(t *testing.T) {
	s := newStore()
	mustCreate(t, s, simpleUser(t, ada, "1", "ann"))
	ctx := context.Background()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := s.Get(ctx, userRef(ada, "1"), scim.GetOptions{}); err != nil {
			t.Error(err)
		}
	}))
}
