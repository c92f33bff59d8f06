package directory_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
)

// newStorage opens the storage that a test runs on. A run on another one sets it
// before the tests (sqltest/overlay.json).
var newStorage = func(types *scim.Types, o *memstore.Options) directory.Storage { return memstore.New(types, o) }

// A clock is set by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A probe is a storage that counts what it is asked, and can be down.
type probe struct {
	directory.Storage
	reads, writes atomic.Int64
	down          atomic.Bool
}

var errDown = errors.New("the database is down")

func (p *probe) Tally(ctx context.Context, tenant string) (*scim.Tally, error) {
	p.reads.Add(1)
	if p.down.Load() {
		return nil, errDown
	}
	return p.Storage.Tally(ctx, tenant)
}

func (p *probe) Records(ctx context.Context, tenant string, kind directory.Kind, after string, limit int) ([]*directory.Record, error) {
	p.reads.Add(1)
	if p.down.Load() {
		return nil, errDown
	}
	return p.Storage.Records(ctx, tenant, kind, after, limit)
}

func (p *probe) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	p.writes.Add(1)
	if p.down.Load() {
		return errDown
	}
	return p.Storage.Do(ctx, tenant, fn)
}

// A zone is DNS as a test wants it: what is not in it is not found.
type zone struct {
	mu      sync.Mutex // a lookup may outlast the call that began it
	answers map[string]func(ctx context.Context) ([]string, error)
}

func (z *zone) set(name string, answer func(ctx context.Context) ([]string, error)) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.answers == nil {
		z.answers = map[string]func(ctx context.Context) ([]string, error){}
	}
	z.answers[name] = answer
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	answer := z.answers[name]
	z.mu.Unlock()
	if answer == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return answer(ctx)
}

func says(values ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return values, nil }
}

// A console is a service with everything around it.
type console struct {
	*directory.Service
	t     testing.TB
	store *probe
	clock *clock
	dns   *zone
	log   *bytes.Buffer
	http  http.Handler
	from  string // the address that requests come from
}

var catalog = scim.RoleCatalog{
	Roles:          []string{"owner", "admin", "editor", "viewer"},
	Administrators: []string{"admin"},
	Protected:      []string{"owner"},
	Billable:       []string{"admin", "editor"},
}

// newConsole returns a service over a new storage.
func newConsole(t testing.TB, change func(*directory.Options)) *console {
	t.Helper()
	c := newClock()
	return newReplica(t, &probe{Storage: newStorage(scim.CoreTypes(), &memstore.Options{Now: c.Now})}, c, change)
}

// newConsoleInMemory is newConsole for a test that stops the clock of the
// program: a database has goroutines that outlast it.
func newConsoleInMemory(t testing.TB) *console {
	t.Helper()
	c := newClock()
	return newReplica(t, &probe{Storage: memstore.New(scim.CoreTypes(), &memstore.Options{Now: c.Now})}, c, nil)
}

// newReplica returns a service over a storage that others use too.
func newReplica(t testing.TB, store *probe, c *clock, change func(*directory.Options)) *console {
	t.Helper()
	k := &console{t: t, store: store, clock: c, dns: &zone{}, log: &bytes.Buffer{}, from: "192.0.2.1:4711"}
	o := &directory.Options{Resolver: k.dns}
	if change != nil {
		change(o)
	}
	var err error
	k.Service, err = directory.New(store, &scim.Config{Catalog: catalog, Now: c.Now, Logger: slog.New(slog.NewTextHandler(k.log, nil))}, o)
	require.NoError(t, err)
	k.http = scim.Mount("/scim/v2", k.Handler(), nil)
	return k
}

// create makes a directory of the tenant acme, and a token for it.
func (k *console) create(d directory.Directory) (key scim.Key, secret string) {
	k.t.Helper()
	if d.Tenant == "" {
		d.Tenant = "acme"
	}
	made, err := k.Create(k.t.Context(), d)
	require.NoError(k.t, err)
	secret, _, err = k.IssueToken(k.t.Context(), made.Key(), directory.TokenOptions{Label: "provider"})
	require.NoError(k.t, err)
	return made.Key(), secret
}

// request sends a request with a token and returns the answer.
func (k *console) request(method, path, authorization, body string) *httptest.ResponseRecorder {
	k.t.Helper()
	r := httptest.NewRequestWithContext(k.t.Context(), method, "/scim/v2"+path, strings.NewReader(body))
	r.RemoteAddr = k.from
	r.Header.Set("User-Agent", "provider/1.0")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, r)
	require.Contains(k.t, w.Header().Get("Content-Type"), "application/scim+json", "every answer is SCIM")
	return w
}

// get reads users with a token and returns the status.
func (k *console) get(secret string) int {
	k.t.Helper()
	return k.request(http.MethodGet, "/Users", "Bearer "+secret, "").Code
}

// post provisions a person with a token and returns the status.
func (k *console) post(secret, email string) int {
	k.t.Helper()
	return k.request(http.MethodPost, "/Users", "Bearer "+secret,
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"`+email+`","emails":[{"value":"`+email+`","primary":true}]}`).Code
}

// events returns the types of a tenant's events after a sequence number, and the
// last event.
func (k *console) events(tenant string, after uint64) (types []scim.EventType, last *scim.Event) {
	k.t.Helper()
	const all = 1000
	events, err := k.store.Events(k.t.Context(), tenant, after, all)
	require.NoError(k.t, err)
	for _, e := range events {
		types, last = append(types, e.Type), e
	}
	return types, last
}

// problems returns the fields of an [*directory.InvalidError].
func problems(t testing.TB, err error) (fields []string) {
	t.Helper()
	invalid, ok := errors.AsType[*directory.InvalidError](err)
	require.True(t, ok, "%v", err)
	for _, p := range invalid.Problems {
		require.NotEmpty(t, p.Detail)
		fields = append(fields, p.Field)
	}
	return fields
}

func TestNewRefusesWhatItCannotServe(t *testing.T) {
	t.Parallel()
	store := newStorage(scim.CoreTypes(), nil)
	for name, open := range map[string]func() (*directory.Service, error){
		"no storage": func() (*directory.Service, error) { return directory.New(nil, nil, nil) },
		"another source": func() (*directory.Service, error) {
			return directory.New(store, &scim.Config{Directories: new(directory.Service)}, nil)
		},
		"a prefix that cuts": func() (*directory.Service, error) {
			return directory.New(store, nil, &directory.Options{TokenPrefix: "a_b"})
		},
		"a long prefix": func() (*directory.Service, error) {
			return directory.New(store, nil, &directory.Options{TokenPrefix: strings.Repeat("a", 17)})
		},
		"a broken config": func() (*directory.Service, error) { return directory.New(store, &scim.Config{BaseURL: "nowhere"}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open()
			require.Error(t, err)
		})
	}
	s, err := directory.New(store, nil, nil)
	require.NoError(t, err)
	require.Same(t, s.Engine(), s.Handler().Engine())
}
