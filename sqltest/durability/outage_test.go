//go:build unix

package durability_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/sqltest"
)

// The database is lost in the middle of requests: the connections are cut, or
// the server ends. Until it is back whoever asks is told to come again; then
// everything goes on, without a restart, and nothing is left behind.
func TestLossOfTheDatabaseIs503(t *testing.T) {
	cluster := ownCluster(t)
	c := databaseOf(t, cluster)
	between := startProxy(t, cluster)
	c.DSN = strings.Replace(c.DSN, "host="+cluster.Folder, "host="+between.folder, 1)
	log := new(lockedBuffer)
	c.ErrorLog = log
	s, err := newService(t.Context(), c)
	require.NoError(t, err)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	p := newProvider(t, func() string { return server.URL }, 8)
	quiet := goroutines(t, s, p, between)

	p.start(t.Context())
	losses := []struct {
		why          string
		lose, regain func()
	}{
		{"the network fails", between.cut, func() { between.mend(t) }},
		{"the server crashes", cluster.Crash, func() { restart(t, cluster) }},
		{"it is restarted in between two requests", func() { between.cut(); between.mend(t) }, func() {}},
	}
	for range max(1, *kills/5) {
		for _, l := range losses {
			p.progress(t, 10)
			l.lose()
			if l.why != losses[2].why {
				before := p.unavailable.Load()
				eventually(t, l.why+": no request is answered with 503", func() bool { p.check(t); return p.unavailable.Load() >= before+20 })
				unavailable(t, p)
			}
			l.regain()
			p.progress(t, 10)
		}
	}
	p.finish(t)
	assert.Zero(t, p.unanswered.Load(), "requests are answered, also then")
	require.NoError(t, s.deliver(t.Context()))
	assert.Zero(t, s.db.Stats().InUse, "a connection is held by nobody")
	eventually(t, "goroutines are left behind", func() bool { return goroutinesNow(s, p, between) <= quiet })
	require.NotContains(t, log.String(), token)
	require.NoError(t, s.close())
	eventually(t, "connections are left behind", func() bool { return between.count() == 0 })
	agree(t, c, p)
}

func restart(t *testing.T, c *sqltest.Cluster) {
	t.Helper()
	require.NoError(t, c.Restart(t.Context()))
}

// unavailable asks for one of each kind of thing while the database is away.
func unavailable(t *testing.T, p *provider) {
	t.Helper()
	id := p.groups[groupNames[0]]
	for _, r := range []struct{ method, path, body string }{
		{http.MethodGet, "/Users", ""},
		{http.MethodGet, `/Users?filter=userName%20eq%20%22a%22`, ""},
		{http.MethodGet, "/Groups/" + id, ""},
		{http.MethodGet, "/Groups", ""},
		{http.MethodGet, "/", ""},
		{http.MethodPost, "/.search", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}`},
		{http.MethodPost, "/Users", `{"userName":"x@acme.example","emails":[{"value":"x@acme.example"}]}`},
		{http.MethodPut, "/Groups/" + id, `{"displayName":"Admins"}`},
		{http.MethodPatch, "/Groups/" + id, `{"Operations":[{"op":"add","path":"members","value":[]}]}`},
		{http.MethodDelete, "/Groups/" + id, ""},
	} {
		a, err := p.once(t.Context(), r.method, r.path, []byte(r.body))
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, a.status, "%s %s: %s", r.method, r.path, a.body)
		assert.NoError(t, checkUnavailable(a))
	}
	a, err := p.once(t.Context(), http.MethodGet, "/ServiceProviderConfig", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, a.status, "what needs no database")
}

// goroutines returns how many there are when nobody asks for anything.
func goroutines(t *testing.T, s *service, p *provider, between *proxy) int {
	t.Helper()
	eventually(t, "a connection is in use", func() bool { return s.db.Stats().InUse == 0 })
	return goroutinesNow(s, p, between) + 2 // of the runtime's own
}

// goroutinesNow counts without those of connections that are kept for later.
func goroutinesNow(s *service, p *provider, between *proxy) int {
	p.client.CloseIdleConnections()
	s.db.SetMaxIdleConns(0)
	s.db.SetMaxIdleConns(2)
	return runtime.NumGoroutine() - 3*between.count()
}
