package directory_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// A meddled storage lets a test do something right before a transaction, which
// fails if that does.
type meddled struct {
	directory.Storage
	onDo func() error
}

func (m *meddled) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	if on := m.onDo; on != nil {
		m.onDo = nil
		if err := on(); err != nil {
			return err
		}
	}
	return m.Storage.Do(ctx, tenant, fn)
}

// Uses that are given back after a failed flush must not displace those that
// have come since, by a snapshot that was read anew.
func TestE2TheLastUseIsNotLostToAFailedFlush(t *testing.T) {
	t.Parallel()
	k := newConsoleInMemory(t)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	store := &meddled{Storage: k.store}
	service, err := directory.New(store, &scim.Config{Now: k.clock.Now}, nil)
	require.NoError(t, err)
	use := func() {
		k.clock.pass(time.Second)
		_, err := service.Authenticate(bearer(t, secret))
		require.NoError(t, err)
	}
	use()
	store.onDo = func() error {
		// Somebody else changes the tenant and the token is used meanwhile.
		_, _, err := k.IssueToken(t.Context(), key, directory.TokenOptions{})
		if err != nil {
			return err
		}
		k.clock.pass(5 * time.Second)
		use()
		return errDown
	}
	require.ErrorIs(t, service.Flush(t.Context()), errDown)
	use()
	require.NoError(t, service.Flush(t.Context()))
	activity, err := k.Activity(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now(), activity.Heard())
}

// A provider shares its addresses with everybody else who uses it: who guesses
// from there keeps no tenant out whose provider has come before, however long it
// was silent.
func TestE2GuessingLocksNobodyElseOut(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	elsewhere := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	require.Equal(t, http.StatusOK, k.get(secret))
	k.clock.pass(20 * time.Hour)
	status := 0
	for i := range 40 {
		_, strange := elsewhere.create(directory.Directory{Tenant: "tenant " + strconv.Itoa(i)})
		status = k.get(strange)
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, http.StatusOK, k.get(secret))
}

// A function of the host's that panics fails a request, not the program.
func TestE2AClientIPThatPanicsEndsARequest(t *testing.T) {
	t.Parallel()
	panics := false
	k := newConsole(t, func(o *directory.Options) {
		o.ClientIP = func(r *http.Request) string {
			if panics {
				panic("in the host")
			}
			return r.RemoteAddr
		}
	})
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	panics = true
	require.Equal(t, http.StatusInternalServerError, k.get(secret))
	panics = false
	require.Equal(t, http.StatusOK, k.get(secret), "nothing is locked")
}
