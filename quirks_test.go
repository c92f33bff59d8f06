package scim_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// What no conversation can show: testdata/idp has the other quirks.

// Quirk 117: a client that is sent away for a while is told for how many whole
// seconds, and in SCIM (quirk 116). Who limits is the host: here the one who
// authenticates.
func TestQuirk117RetryAfterIsWholeSeconds(t *testing.T) {
	t.Parallel()
	limit := scim.AuthenticatorFunc(func(*http.Request) (*scim.Caller, error) {
		return nil, &scim.Error{Status: http.StatusTooManyRequests, Detail: "more than 25 requests a second; send fewer", RetryAfter: 2500 * time.Millisecond}
	})
	var logged bool
	h, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, limit, &scim.Config{OnRequest: func(context.Context, *scim.LogEntry) { logged = true }})
	require.NoError(t, err)
	for _, path := range []string{"/Users", "/Groups/1", "/ServiceProviderConfig", "/nowhere"} {
		a := ask{method: "GET", target: path}.do(t, scim.Mount(conversationBase, h, nil))
		a.refused(t, http.StatusTooManyRequests, "", path)
		require.Equal(t, "3", a.Header().Get("Retry-After"), "never before it is time, never a date")
	}
	require.False(t, logged, "nobody knows whose request it was")
}

// Quirk 123: a path has a case. No client is known that sends another, and what
// is answered is SCIM.
func TestQuirk123PathsHaveACase(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), nil)
	ada := r.post("/Users", person("ada"))
	for _, path := range []string{"/users", "/USERS", "/users/" + ada, "/groups", "/serviceproviderconfig", "/schemas", "/resourcetypes/User"} {
		r.do("GET", path, "").refused(http.StatusNotFound, "", "/ResourceTypes")
	}
}
