package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/directory"
)

const tokenForm = `^muster_[a-z2-7]+_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$`

func TestE2TokensAreShownOnceAndStoredHashed(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	for _, tenant := range []string{"acme", "日本 / \"株式会社\"", strings.Repeat("x", 240)} {
		key, secret := k.create(directory.Directory{Tenant: tenant, ID: "a", Policy: anyDomain()})
		require.Regexp(t, tokenForm, secret)
		require.Less(t, len(secret), 512)
		require.Equal(t, http.StatusOK, k.get(secret))

		require.NoError(t, k.Flush(t.Context()))
		for _, kind := range []directory.Kind{directory.KindDirectory, directory.KindToken, directory.KindActivity} {
			rows, err := k.store.Storage.Records(t.Context(), tenant, kind, "", 10)
			require.NoError(t, err)
			require.NotEmpty(t, rows)
			for _, r := range rows {
				require.NotContains(t, r.ID+string(r.Data), secret[len(secret)-50:len(secret)-7], "the random part is nowhere")
			}
		}
		tokens, err := k.Tokens(t.Context(), key)
		require.NoError(t, err)
		require.Len(t, tokens, 1)
		require.True(t, strings.HasSuffix(secret, tokens[0].Hint))
	}
	require.NotContains(t, k.log.String(), "muster_")
}

func TestE2TwoTokensAreActiveAndNoMore(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, first := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	second, t2, err := k.IssueToken(t.Context(), key, directory.TokenOptions{Label: "second"})
	require.NoError(t, err)
	_, _, err = k.IssueToken(t.Context(), key, directory.TokenOptions{})
	require.Equal(t, []string{"tokens"}, problems(t, err))
	require.ErrorContains(t, err, `"provider", which ends in `+first[len(first)-6:])
	require.ErrorContains(t, err, `"second", which ends in `+second[len(second)-6:])

	require.NoError(t, k.RevokeToken(t.Context(), key, t2.ID))
	require.Equal(t, http.StatusUnauthorized, k.get(second))
	require.Equal(t, http.StatusOK, k.get(first))
	_, _, err = k.IssueToken(t.Context(), key, directory.TokenOptions{})
	require.NoError(t, err)

	// Of the past ones some are kept, not all.
	for range 15 {
		_, last, err := k.RotateNewest(key)
		require.NoError(t, err)
		require.NoError(t, k.RevokeToken(t.Context(), key, last))
	}
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	require.Len(t, tokens, 10, "all of them revoked")
}

// RotateNewest revokes the directory's newest active token and issues another.
func (k *console) RotateNewest(key scim.Key) (secret, id string, err error) {
	tokens, err := k.Tokens(k.t.Context(), key)
	if err != nil {
		return "", "", err
	}
	for _, old := range tokens {
		if old.Active(k.clock.Now()) {
			if err := k.RevokeToken(k.t.Context(), key, old.ID); err != nil {
				return "", "", err
			}
			break
		}
	}
	k.clock.pass(time.Second)
	secret, made, err := k.IssueToken(k.t.Context(), key, directory.TokenOptions{})
	if err != nil {
		return "", "", err
	}
	return secret, made.ID, nil
}

func TestE2RotationHasAnOverlap(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	d, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Policy: anyDomain()})
	require.NoError(t, err)
	lifetime := 90 * 24 * time.Hour
	old, issued, err := k.IssueToken(t.Context(), d.Key(), directory.TokenOptions{Label: "okta", Scope: scim.ReadUsers, Expires: k.clock.Now().Add(lifetime)})
	require.NoError(t, err)
	fresh, rotated, err := k.RotateToken(t.Context(), d.Key(), issued.ID, 0)
	require.NoError(t, err)
	require.Equal(t, "okta", rotated.Label)
	require.Equal(t, scim.ReadUsers, rotated.Scope)
	require.Equal(t, k.clock.Now().Add(lifetime), rotated.Expires)
	_, _, err = k.RotateToken(t.Context(), d.Key(), rotated.ID, 0)
	require.Equal(t, []string{"tokens"}, problems(t, err))
	require.Equal(t, http.StatusOK, k.get(old))
	require.Equal(t, http.StatusOK, k.get(fresh))

	k.clock.pass(7*24*time.Hour - time.Second)
	require.Equal(t, http.StatusOK, k.get(old))
	k.clock.pass(time.Second)
	require.Equal(t, http.StatusUnauthorized, k.get(old))
	require.Equal(t, http.StatusOK, k.get(fresh))

	_, third, err := k.RotateToken(t.Context(), d.Key(), rotated.ID, 30*24*time.Hour)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now().Add(lifetime), third.Expires, "the lifetime is the first one's, not what was left of it")

	_, _, err = k.RotateToken(t.Context(), d.Key(), rotated.ID, 31*24*time.Hour)
	require.Equal(t, []string{"overlap"}, problems(t, err))
	_, _, err = k.RotateToken(t.Context(), d.Key(), "none", 0)
	require.ErrorIs(t, err, scim.ErrNotFound)
	require.NoError(t, k.RevokeToken(t.Context(), d.Key(), third.ID))
	_, _, err = k.RotateToken(t.Context(), d.Key(), third.ID, 0)
	require.Equal(t, []string{"token"}, problems(t, err))
	require.ErrorIs(t, k.RevokeToken(t.Context(), d.Key(), "none"), scim.ErrNotFound)
}

func TestE2ATokenThatIsReplacedLivesNoLonger(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	d, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Policy: anyDomain()})
	require.NoError(t, err)
	old, issued, err := k.IssueToken(t.Context(), d.Key(), directory.TokenOptions{Expires: k.clock.Now().Add(2 * time.Hour)})
	require.NoError(t, err)
	_, next, err := k.RotateToken(t.Context(), d.Key(), issued.ID, time.Hour)
	require.NoError(t, err)
	require.NoError(t, k.RevokeToken(t.Context(), d.Key(), next.ID))
	_, next, err = k.RotateToken(t.Context(), d.Key(), issued.ID, 30*24*time.Hour)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now().Add(2*time.Hour), next.Expires, "not what the first rotation has left")
	k.clock.pass(time.Hour)
	require.Equal(t, http.StatusUnauthorized, k.get(old), "a second rotation gives nothing back")
}

func TestE2TokensExpireByTheClock(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now().Add(365*24*time.Hour), tokens[0].Expires)

	k.clock.pass(365*24*time.Hour - time.Second)
	require.Equal(t, http.StatusOK, k.get(secret))
	k.clock.pass(time.Second) // nothing is read anew by then
	require.Equal(t, http.StatusUnauthorized, k.get(secret))
	require.Contains(t, k.log.String(), "expired at 2027-11-22T09:00:00Z")

	for _, life := range []time.Duration{time.Hour - 1, 3*365*24*time.Hour + 1, -time.Hour} {
		_, _, err := k.IssueToken(t.Context(), key, directory.TokenOptions{Expires: k.clock.Now().Add(life), Label: "\x00", Scope: 1 << 7})
		require.Equal(t, []string{"label", "expires", "scope"}, problems(t, err))
	}
	_, _, err = k.IssueToken(t.Context(), scim.Key{Tenant: "acme", Directory: "none"}, directory.TokenOptions{})
	require.ErrorIs(t, err, scim.ErrNotFound)
}

func TestE2RevocationHoldsEverywhereWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	there := newReplica(t, k.store, k.clock, nil)
	require.Equal(t, http.StatusOK, there.get(secret))
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, k.RevokeToken(t.Context(), key, tokens[0].ID))
	require.NoError(t, k.RevokeToken(t.Context(), key, tokens[0].ID), "revoked it stays")
	types, _ := k.events("acme", 0)
	require.Equal(t, []scim.EventType{scim.DirectoryCreated, scim.DirectoryEnabled, scim.TokenCreated, scim.TokenRevoked}, types)

	require.Equal(t, http.StatusUnauthorized, k.get(secret), "at once here")
	k.clock.pass(5*time.Second - 1)
	require.Equal(t, http.StatusOK, there.get(secret))
	k.clock.pass(1)
	require.Equal(t, http.StatusUnauthorized, there.get(secret))
	require.Contains(t, there.log.String(), "is revoked")
}

func TestE2AnOutageIsNoWrongToken(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	require.Equal(t, http.StatusOK, k.get(secret))
	k.store.down.Store(true)
	_, err := k.Authenticate(bearer(t, secret))
	require.NoError(t, err, "what was read less than five seconds ago is served")
	k.clock.pass(5 * time.Second)
	_, err = k.Authenticate(bearer(t, secret))
	require.ErrorIs(t, err, scim.ErrUnavailable)
	require.ErrorIs(t, err, errDown)
	w := k.request(http.MethodGet, "/Users", "Bearer "+secret, "")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.NotContains(t, w.Body.String(), errDown.Error())
	k.store.down.Store(false)
	require.Equal(t, http.StatusOK, k.get(secret))
}

func bearer(t testing.TB, secret string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/Users", nil)
	require.NoError(t, err)
	r.RemoteAddr = "192.0.2.7:1234"
	r.Header.Set("Authorization", "Bearer "+secret)
	return r
}

func TestE2ATypoIsToldWithoutALookup(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	reads := k.store.reads.Load()
	for i, mistyped := range []string{
		secret[:len(secret)-1],
		secret + "0",
		secret[:20] + flip(secret[20]) + secret[21:],
		secret[:len(secret)-1] + flip(secret[len(secret)-1]),
		strings.ToUpper(secret),
		strings.Replace(secret, "_", "-", 1),
		"muster_",
		"muster___",
		"other" + secret[len("muster"):],
		"muster_a1_" + secret[len(secret)-50:],
	} {
		k.from = "192.0.2." + strconv.Itoa(i) + ":1"
		require.Equal(t, http.StatusUnauthorized, k.get(mistyped), mistyped)
	}
	require.Equal(t, reads, k.store.reads.Load())
	require.Contains(t, k.log.String(), "checksum")
	require.NotContains(t, k.log.String(), secret[7:20])
}

func flip(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

func TestE2TheSchemeIsInAnyCaseAndMissesWhereTheDialectAllows(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, okta := k.create(directory.Directory{ID: "okta", Provider: scim.Okta, Policy: anyDomain()})
	_, google := k.create(directory.Directory{ID: "google", Provider: scim.Google, Policy: anyDomain()})
	for _, c := range []struct {
		authorization string
		status        int
	}{
		{"Bearer " + google, 200},
		{"bearer  " + google, 200},
		{"BEARER " + google, 200},
		{okta, 200},
		{google, 401},
		{"Basic " + google, 401},
		{"Bearer", 401},
		{"", 401},
	} {
		require.Equal(t, c.status, k.request(http.MethodGet, "/Users", c.authorization, "").Code, c.authorization)
	}
	r := bearer(t, "")
	r.Header.Set("Authorization", okta)
	caller, err := k.Authenticate(r)
	require.NoError(t, err)
	require.Equal(t, attr.BareToken, caller.Fired)
	r.Header.Add("Authorization", "Bearer "+google)
	_, err = k.Authenticate(r)
	require.ErrorIs(t, err, scim.ErrUnauthenticated, "two headers could mean two callers")
}

func TestE2TheCallerIsTheToken(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, err := k.AssertDomain(t.Context(), "acme", "acme.example")
	require.NoError(t, err)
	d, err := k.Create(t.Context(), directory.Directory{Tenant: "acme", Provider: scim.Entra, Policy: scim.Policy{Email: scim.KeepEmail}})
	require.NoError(t, err)
	secret, _, err := k.IssueToken(t.Context(), d.Key(), directory.TokenOptions{Label: "entra, 2026", Scope: scim.ReadUsers | scim.ReadGroups})
	require.NoError(t, err)
	caller, err := k.Authenticate(bearer(t, secret))
	require.NoError(t, err)
	require.Equal(t, "entra, 2026", caller.Actor)
	require.Equal(t, scim.ReadUsers|scim.ReadGroups, caller.Scope)
	tally, err := k.store.Storage.Tally(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, &scim.Directory{
		Tenant: "acme", ID: d.ID, Domains: []string{"acme.example"}, Dialect: scim.Entra, Policy: scim.Policy{Email: scim.KeepEmail}, Revision: tally.Revision,
	}, caller.Directory)
	again, err := k.Authenticate(bearer(t, secret))
	require.NoError(t, err)
	require.Same(t, caller, again)
}

func TestE2LastUseIsWrittenInBatches(t *testing.T) {
	t.Parallel()
	k := newConsole(t, func(o *directory.Options) {
		o.ClientIP = func(r *http.Request) string { return r.Header.Get("X-Real-Ip") }
	})
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	writes := k.store.writes.Load()
	use := func(s *console, address string) {
		r := bearer(t, secret)
		r.Header.Set("User-Agent", "Okta\tSCIM "+strings.Repeat("x", 300))
		r.Header.Set("X-Real-Ip", address)
		_, err := s.Authenticate(r)
		require.NoError(t, err)
	}
	for range 100 {
		k.clock.pass(time.Second)
		use(k, "::ffff:198.51.100.7")
	}
	require.Equal(t, writes, k.store.writes.Load(), "a request writes nothing about its token")

	read := func(s *console) directory.TokenUse {
		tokens, err := s.Tokens(t.Context(), key)
		require.NoError(t, err)
		return tokens[0].Used
	}
	want := directory.TokenUse{Time: k.clock.Now(), Address: "198.51.100.7", Client: "OktaSCIM " + strings.Repeat("x", 190)}
	require.Equal(t, want, read(k), "known here at once")
	there := newReplica(t, k.store, k.clock, nil)
	require.Zero(t, read(there))

	k.store.down.Store(true)
	require.ErrorIs(t, k.Flush(t.Context()), errDown)
	k.store.down.Store(false)
	require.NoError(t, k.Flush(t.Context()))
	require.Equal(t, want, read(there), "what could not be written was kept")
	writes = k.store.writes.Load()
	require.NoError(t, k.Flush(t.Context()))
	require.Equal(t, writes, k.store.writes.Load(), "there is nothing left to write")

	k.clock.pass(time.Minute)
	use(k, "no address")
	require.NoError(t, k.Flush(t.Context()))
	require.Equal(t, k.clock.Now(), read(there).Time)
	require.Empty(t, read(there).Address)

	activity, err := k.Activity(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now(), activity.Heard())
}

func TestE2TheLastUseIsTheLastOfAllReplicas(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	there := newReplica(t, k.store, k.clock, nil)
	require.Equal(t, http.StatusOK, there.get(secret))
	k.clock.pass(time.Minute)
	require.Equal(t, http.StatusOK, k.get(secret))
	require.NoError(t, k.Flush(t.Context()))
	require.NoError(t, there.Flush(t.Context()), "of a minute ago")
	activity, err := k.Activity(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, k.clock.Now(), activity.Heard())
}

func TestE2ARefusedTokenIsNoted(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, k.RevokeToken(t.Context(), key, tokens[0].ID))
	require.Equal(t, http.StatusUnauthorized, k.get(secret))
	require.NoError(t, k.Flush(t.Context()))
	activity, err := newReplica(t, k.store, k.clock, nil).Activity(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, directory.TokenUse{Time: k.clock.Now(), Address: "192.0.2.1", Client: "provider/1.0"}, activity.Refused)
	require.Equal(t, tokens[0].ID, activity.RefusedToken)
	require.True(t, activity.Heard().IsZero())
}

func TestE2GuessingIsSlowedDown(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, k.get("guess"))
	}
	k.clock.pass(20 * time.Second)
	w := k.request(http.MethodGet, "/Users", "Bearer guess", "")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "40", w.Header().Get("Retry-After"))
	require.Equal(t, http.StatusOK, k.get(secret), "a valid token from the same address still works, and was not known by then")
	require.Equal(t, http.StatusUnauthorized, k.request(http.MethodGet, "/Users", "", "").Code, "nothing was guessed")

	k.from = "198.51.100.1:1"
	require.Equal(t, http.StatusUnauthorized, k.get("guess"), "another address is not concerned")
	k.clock.pass(40 * time.Second)
	k.from = "192.0.2.1:4711"
	require.Equal(t, http.StatusUnauthorized, k.get("guess"), "after a minute it may try again")

	for i := range 10 { // addresses of one network, which one customer has
		k.from = fmt.Sprintf("[2001:db8:0:7:%x::1]:443", i)
		require.Equal(t, http.StatusUnauthorized, k.get("guess"))
	}
	require.Equal(t, http.StatusTooManyRequests, k.get("guess"))
	k.from = "[2001:db8:0:8::1]:443"
	require.Equal(t, http.StatusUnauthorized, k.get("guess"))
}

func TestE2ManyTenantsMayComeFromOneAddress(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	for i := range 30 { // as those of one provider do
		_, secret := k.create(directory.Directory{Tenant: "tenant " + strconv.Itoa(i), Policy: anyDomain()})
		require.Equal(t, http.StatusOK, k.get(secret))
	}
}

func TestE2AnUnknownTenantIsReadOnce(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	strange := make([]string, 40) // tokens with a good checksum of tenants that are elsewhere
	elsewhere := newConsole(t, nil)
	for i := range strange {
		_, strange[i] = elsewhere.create(directory.Directory{Tenant: "tenant " + strconv.Itoa(i), ID: "a"})
	}
	for range 3 {
		require.Equal(t, http.StatusUnauthorized, k.get(strange[0]))
	}
	require.Equal(t, int64(1), k.store.reads.Load())
	for _, s := range strange[1:] {
		k.get(s)
	}
	require.LessOrEqual(t, k.store.reads.Load(), int64(20), "an address has so many readings in a minute")

	// A tenant that comes to be is known here at once, elsewhere after seconds.
	_, secret := k.create(directory.Directory{Tenant: "tenant 0", ID: "a", Policy: anyDomain()})
	require.Equal(t, http.StatusTooManyRequests, k.get(secret), "the address has had its readings")
	k.from = "198.51.100.1:1"
	require.Equal(t, http.StatusOK, k.get(secret))
	k.clock.pass(time.Minute)
	require.Equal(t, http.StatusUnauthorized, k.get(strange[0]))
}

// A slow storage reads the tally and says what it has read when the test lets it,
// the hold'th time that it is asked.
type slow struct {
	directory.Storage
	hold   atomic.Int64
	answer chan struct{}
}

func (s *slow) Tally(ctx context.Context, tenant string) (*scim.Tally, error) {
	tally, err := s.Storage.Tally(ctx, tenant)
	if s.hold.Add(-1) == 0 {
		select {
		case <-s.answer:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return tally, err
}

func TestE2ATenantIsReadOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newConsoleInMemory(t)
		_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
		store := &slow{Storage: k.store, answer: make(chan struct{})}
		store.hold.Store(1)
		service, err := directory.New(store, &scim.Config{Now: k.clock.Now}, nil)
		require.NoError(t, err)
		reads := k.store.reads.Load()
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				_, err := service.Authenticate(bearer(t, secret))
				assert.NoError(t, err)
			})
		}
		impatient, cancel := context.WithCancel(t.Context())
		wait.Go(func() {
			_, err := service.Authenticate(bearer(t, secret).WithContext(impatient))
			assert.ErrorIs(t, err, scim.ErrUnavailable, "who is gone does not wait")
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(store.answer)
		wait.Wait()
		require.Equal(t, reads+6, k.store.reads.Load(), "the tally before and after, and four kinds of records")
	})
}

func TestE2AReadingFromBeforeARevocationIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newConsoleInMemory(t)
		key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
		store := &slow{Storage: k.store, answer: make(chan struct{})}
		store.hold.Store(2) // all is read by then
		service, err := directory.New(store, &scim.Config{Now: k.clock.Now}, nil)
		require.NoError(t, err)
		var wait sync.WaitGroup
		wait.Go(func() {
			_, err := service.Authenticate(bearer(t, secret))
			assert.NoError(t, err, "it asked before")
		})
		synctest.Wait()
		tokens, err := service.Tokens(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, service.RevokeToken(t.Context(), key, tokens[0].ID))
		close(store.answer)
		wait.Wait()
		_, err = service.Authenticate(bearer(t, secret))
		require.ErrorIs(t, err, scim.ErrUnauthenticated)
	})
}

func TestE2AStorageThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newConsoleInMemory(t)
		_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
		store := &slow{Storage: k.store}
		store.hold.Store(1)
		service, err := directory.New(store, &scim.Config{Now: k.clock.Now}, nil)
		require.NoError(t, err)
		began := time.Now()
		_, err = service.Authenticate(bearer(t, secret))
		require.ErrorIs(t, err, scim.ErrUnavailable)
		require.Equal(t, 5*time.Second, time.Since(began))
	})
}

// A changing storage has another revision each time it is asked.
type changing struct {
	directory.Storage
	revision uint64
}

func (c *changing) Tally(context.Context, string) (*scim.Tally, error) {
	c.revision++
	return &scim.Tally{Revision: c.revision}, nil
}

func TestE2WhatIsReadBelongsTogether(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	service, err := directory.New(&changing{Storage: k.store}, nil, nil)
	require.NoError(t, err)
	_, err = service.Authenticate(bearer(t, secret))
	require.ErrorIs(t, err, scim.ErrUnavailable, "a mixture of two states is never served")
}

func TestE2OfTokensThatAreForgottenNothingIsKept(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	for range 20 {
		require.Equal(t, http.StatusOK, k.get(secret))
		require.NoError(t, k.Flush(t.Context()))
		var err error
		secret, _, err = k.RotateNewest(key)
		require.NoError(t, err)
	}
	activity, err := k.Activity(t.Context(), key)
	require.NoError(t, err)
	require.LessOrEqual(t, len(activity.Tokens), 12)
	require.Equal(t, k.clock.Now().Add(-time.Second), activity.Heard())
}
