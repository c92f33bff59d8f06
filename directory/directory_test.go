package directory_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

func anyDomain() scim.Policy { return scim.Policy{Domain: scim.AnyDomain} }

func TestB9ADirectoryIsPausedEnabledAndRetired(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{Name: "Okta", Provider: scim.Okta, Policy: anyDomain()})
	require.Equal(t, http.StatusCreated, k.post(secret, "ada@acme.example"))
	_, last := k.events("acme", 0)

	require.NoError(t, k.Pause(t.Context(), key))
	require.NoError(t, k.Pause(t.Context(), key), "a second time is no change")
	require.Equal(t, http.StatusForbidden, k.get(secret))
	require.Equal(t, http.StatusForbidden, k.post(secret, "grace@acme.example"))

	require.NoError(t, k.Enable(t.Context(), key))
	require.Equal(t, http.StatusOK, k.get(secret))

	task, err := k.Retire(t.Context(), key, scim.DeactivateAll)
	require.NoError(t, err)
	require.Equal(t, directory.TaskRetire, task.Kind)
	require.Equal(t, scim.DeactivateAll, task.How)
	require.Equal(t, http.StatusUnauthorized, k.get(secret), "its tokens are revoked")

	types, deleted := k.events("acme", last.Seq)
	require.Equal(t, []scim.EventType{scim.DirectoryDisabled, scim.DirectoryEnabled, scim.TokenRevoked, scim.DirectoryDeleted}, types)
	require.Equal(t, "Okta", deleted.Name)
	require.Equal(t, "deactivate", deleted.Note)
	require.Equal(t, "administrator", deleted.Actor)

	d, err := k.Get(t.Context(), key)
	require.NoError(t, err, "a retired directory can be looked at")
	require.Equal(t, directory.Retired, d.State)
	require.Equal(t, k.clock.Now(), d.Retired)
	for name, err := range map[string]error{
		"pause":  k.Pause(t.Context(), key),
		"enable": k.Enable(t.Context(), key),
		"update": func() error { _, err := k.Update(t.Context(), d); return err }(),
		"retire": func() error { _, err := k.Retire(t.Context(), key, scim.ReleaseAccounts); return err }(),
		"issue":  func() error { _, _, err := k.IssueToken(t.Context(), key, directory.TokenOptions{}); return err }(),
	} {
		require.Equal(t, []string{"state"}, problems(t, err), name)
	}
}

func TestD1CreatingADirectoryIsTold(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "one"})
	require.NoError(t, err)
	_, err = k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "two", State: directory.Paused})
	require.NoError(t, err)
	types, last := k.events("acme", 0)
	require.Equal(t, []scim.EventType{scim.DirectoryCreated, scim.DirectoryEnabled, scim.DirectoryCreated}, types)
	require.Equal(t, scim.Key{Tenant: "acme", Directory: "two"}, last.Directory)
}

func TestDirectoriesAreListedAndForeignOnesAreNotThere(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	made, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Provider: scim.Entra, Profile: map[string]string{"title": "title"}})
	require.NoError(t, err)
	require.Len(t, made.ID, 36, "a UUID")
	require.Equal(t, "entra", made.Name)
	_, err = k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "a"})
	require.NoError(t, err)
	_, err = k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "a"})
	require.ErrorIs(t, err, directory.ErrConflict)
	_, err = k.Create(t.Context(), directory.Directory{Tenant: "globex", ID: "g"})
	require.NoError(t, err)

	list, err := k.List(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, made, list[0])
	for _, key := range []scim.Key{{Tenant: "acme", Directory: "g"}, {Tenant: "acme", Directory: "a\x00"}, {}, {Tenant: strings.Repeat("x", 300), Directory: "a"}} {
		_, err = k.Get(t.Context(), key)
		require.ErrorIs(t, err, scim.ErrNotFound, "%q", key)
	}
	for _, tenant := range []string{"nobody", "", "\x00"} {
		list, err = k.List(t.Context(), tenant)
		require.NoError(t, err)
		require.Empty(t, list)
	}
}

func TestUpdateLosesNobodysChange(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	first, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "a"})
	require.NoError(t, err)
	second := *first
	second.Name = "renamed"
	updated, err := k.Update(t.Context(), &second)
	require.NoError(t, err)
	require.Equal(t, "renamed", updated.Name)
	require.Greater(t, updated.Version, first.Version)

	stale := *first
	stale.Provider = scim.Okta
	_, err = k.Update(t.Context(), &stale)
	require.ErrorIs(t, err, directory.ErrConflict)

	tally, err := k.store.Storage.Tally(t.Context(), "acme")
	require.NoError(t, err)
	again, err := k.Update(t.Context(), updated)
	require.NoError(t, err)
	require.Equal(t, updated.Version, again.Version, "what changes nothing is no change")
	after, err := k.store.Storage.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, tally.Revision, after.Revision)

	wrong := *updated
	wrong.State, wrong.Claims = directory.Paused, []string{"b"}
	_, err = k.Update(t.Context(), &wrong)
	require.Equal(t, []string{"state", "claims"}, problems(t, err))
}

func TestB12AChangedPolicyIsAppliedToWhoIsThere(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	d, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: "a", Policy: scim.Policy{Off: scim.SyncGroups}})
	require.NoError(t, err)
	tasks := func() int {
		rows, err := k.store.Storage.Records(t.Context(), "acme", directory.KindTask, "", 10)
		require.NoError(t, err)
		return len(rows)
	}
	d.Policy.Lock = scim.LastWriteWins
	d, err = k.Update(t.Context(), d)
	require.NoError(t, err)
	require.Zero(t, tasks(), "the lock says who may change something, not what anybody has")
	d.Policy.Off = 0
	_, err = k.Update(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, 1, tasks(), "a switch that comes on passes on what gathered")
}

func TestCreateNamesAllThatIsWrong(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, err := k.Create(t.Context(), directory.Directory{
		Tenant: strings.Repeat("t", 241), ID: "a\nb", Name: strings.Repeat("n", 201), Provider: 200,
		Policy: scim.Policy{Seats: scim.FreeRoleSeats},
	})
	require.Equal(t, []string{"tenant", "id", "name", "provider", "policy.freeRole"}, problems(t, err))
	_, err = k.Create(t.Context(), directory.Directory{Tenant: "acme", State: directory.Retired, Claims: []string{"x"}})
	require.Equal(t, []string{"state", "claims"}, problems(t, err))
}

func TestC8StrictLockListsTheInvitationsToRevoke(t *testing.T) {
	t.Parallel()
	open := []string{"inv-1", "inv\n2"}
	fail := false
	k := newConsole(t, func(o *directory.Options) {
		o.Invitations = func(_ context.Context, tenant string) ([]string, error) {
			if fail {
				return nil, errors.New("no invitations today")
			}
			require.Equal(t, "acme", tenant)
			return open, nil
		}
	})
	d, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Name: "Okta", Policy: scim.Policy{Lock: scim.StrictLock}})
	require.NoError(t, err)
	_, last := k.events("acme", 0)
	require.Equal(t, scim.DirectoryEnabled, last.Type)
	require.Equal(t, "strict\ninv-1\ninv2", last.Note, "one a line, whatever it is called")

	d.Policy.Lock = scim.ManagedOnly
	d, err = k.Update(t.Context(), d)
	require.NoError(t, err)
	_, last = k.events("acme", last.Seq)
	require.Nil(t, last, "a lock that is opened revokes nothing")
	d.Policy.Lock = scim.StrictLock
	fail = true
	_, err = k.Update(t.Context(), d)
	require.Error(t, err)
	read, err := k.Get(t.Context(), d.Key())
	require.NoError(t, err)
	require.Equal(t, scim.ManagedOnly, read.Policy.Lock, "without the invitations nothing is locked")
	fail = false
	open = nil
	for i := range 10_000 {
		open = append(open, "invitation-"+strconv.Itoa(i))
	}
	_, err = k.Update(t.Context(), d)
	require.NoError(t, err)
	_, last = k.events("acme", 0)
	require.Equal(t, scim.DirectoryEnabled, last.Type)
	require.Less(t, len(last.Note), 65<<10)
	require.Regexp(t, `\nand \d+ more$`, last.Note)
}

func TestB9RebindTakesOverTheRetired(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	for _, id := range []string{"old", "new", "other"} {
		_, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", ID: id})
		require.NoError(t, err)
	}
	old, fresh, other := scim.Key{Tenant: "acme", Directory: "old"}, scim.Key{Tenant: "acme", Directory: "new"}, scim.Key{Tenant: "acme", Directory: "other"}
	require.Equal(t, []string{"claims"}, problems(t, k.Rebind(t.Context(), fresh, "old")), "its people are still its own")
	require.Equal(t, []string{"claims"}, problems(t, k.Rebind(t.Context(), fresh, "new")))
	require.ErrorIs(t, k.Rebind(t.Context(), fresh, "unknown"), scim.ErrNotFound)
	_, err := k.Retire(t.Context(), old, scim.ReleaseAccounts)
	require.NoError(t, err)
	require.NoError(t, k.Rebind(t.Context(), fresh, "old"))
	require.NoError(t, k.Rebind(t.Context(), fresh, "old"))
	require.Equal(t, []string{"claims"}, problems(t, k.Rebind(t.Context(), other, "old")), "one account cannot go to two")

	tally, err := k.store.Storage.Tally(t.Context(), "acme")
	require.NoError(t, err)
	served, err := k.Current(t.Context(), tally, fresh)
	require.NoError(t, err)
	require.Equal(t, []string{"old"}, served.Claims)
}

func TestCurrentIsWhatTheTransactionSees(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	other := newReplica(t, k.store, k.clock, nil)
	require.Equal(t, http.StatusOK, other.get(secret))

	require.NoError(t, k.Pause(t.Context(), key))
	require.Equal(t, http.StatusForbidden, other.post(secret, "ada@acme.example"), "a pause holds for writes at once")
	require.Equal(t, http.StatusForbidden, other.get(secret), "what was found out of date is read anew")

	require.NoError(t, k.Enable(t.Context(), key))
	k.clock.pass(5 * time.Second)
	require.Equal(t, http.StatusOK, other.get(secret))

	// What a transaction that is rolled back saw is not kept.
	undo := errors.New("undone")
	err := k.store.Do(t.Context(), "acme", func(ctx context.Context, tx scim.Tx) error {
		require.NoError(t, k.Pause(ctx, key))
		tally, err := tx.Tally(ctx)
		require.NoError(t, err)
		d, err := k.Current(ctx, tally, key)
		require.NoError(t, err)
		require.True(t, d.Disabled)
		return undo
	})
	require.ErrorIs(t, err, undo)
	require.Equal(t, http.StatusOK, k.get(secret))

	tally, err := k.store.Storage.Tally(t.Context(), "acme")
	require.NoError(t, err)
	_, err = k.Current(t.Context(), tally, scim.Key{Tenant: "acme", Directory: "none"})
	require.ErrorIs(t, err, scim.ErrNotFound)
}

func TestA9DirectoriesOfATenantAreShared(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	shared := func() bool {
		tally, err := k.store.Storage.Tally(t.Context(), "acme")
		require.NoError(t, err)
		d, err := k.Current(t.Context(), tally, scim.Key{Tenant: "acme", Directory: "a"})
		require.NoError(t, err)
		return d.Shared
	}
	k.create(directory.Directory{ID: "a"})
	require.False(t, shared())
	key, _ := k.create(directory.Directory{ID: "b"})
	require.True(t, shared())
	_, err := k.Retire(t.Context(), key, scim.ReleaseAccounts)
	require.NoError(t, err)
	require.False(t, shared())
}

func TestADirectoryThatCannotBeReadStopsNoOther(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, good := k.create(directory.Directory{ID: "good", Policy: anyDomain()})
	bad, secret := k.create(directory.Directory{ID: "bad", Policy: anyDomain()})
	unmapped, mapped := k.create(directory.Directory{ID: "mapped", Policy: anyDomain()})
	r, err := k.store.Record(t.Context(), directory.RecordKey{Tenant: "acme", Kind: directory.KindDirectory, ID: bad.Directory})
	require.NoError(t, err)
	_, err = k.store.PutRecord(t.Context(), &directory.Record{RecordKey: r.RecordKey, Version: r.Version, Data: []byte(`{"policy":{"email":"trust everybody"}}`)})
	require.NoError(t, err)
	_, err = k.store.PutRecord(t.Context(), &directory.Record{
		RecordKey: directory.RecordKey{Tenant: "acme", Kind: directory.KindMapping, ID: unmapped.Directory}, Data: []byte(`{"mapping":{"rules":[{}]}}`),
	})
	require.NoError(t, err)
	old, outdated := k.create(directory.Directory{ID: "outdated", Policy: anyDomain()})
	_, err = k.store.PutRecord(t.Context(), &directory.Record{
		RecordKey: directory.RecordKey{Tenant: "acme", Kind: directory.KindMapping, ID: old.Directory},
		Data:      []byte(`{"mapping":{"roles":["was"],"protected":["is"],"rules":[{"groupName":"g","role":"is"}]}}`),
	})
	require.NoError(t, err)
	k.create(directory.Directory{ID: "another"}) // and with it the revision

	require.Equal(t, http.StatusOK, k.get(good))
	require.Equal(t, http.StatusInternalServerError, k.get(secret), "a policy that is not understood is no policy")
	require.Equal(t, http.StatusInternalServerError, k.get(mapped))
	require.Contains(t, k.log.String(), "trust everybody")
	require.Equal(t, http.StatusOK, k.get(outdated), "roles that the application no longer has stop nobody (rule C9)")
}
