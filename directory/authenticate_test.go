package directory_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
	"github.com/muster-id/scim/memstore"
)

func TestE2ATokenIsOfTheTenantThatItNames(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	_, first := k.create(directory.Directory{Tenant: "first", ID: "a", Policy: anyDomain()})
	_, second := k.create(directory.Directory{Tenant: "second", ID: "a", Policy: anyDomain()})

	// A record that came to the other tenant by a mistake of the operator.
	rows, err := k.store.Records(t.Context(), "first", directory.KindToken, "", 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	copied := *rows[0]
	copied.Tenant, copied.Version = "second", 0
	_, err = k.store.PutRecord(t.Context(), &copied)
	require.NoError(t, err)

	for _, order := range [][]string{{second, first}, {first, second, first}} {
		replica := newReplica(t, k.store, k.clock, nil)
		for range 2 {
			for _, secret := range order {
				caller, err := replica.Authenticate(bearer(t, secret))
				require.NoError(t, err)
				require.Equal(t, secret == first, caller.Directory.Tenant == "first")
			}
		}
	}
}

// Forgotten at once where it is revoked, also if it was met a moment ago: the
// answer comes from memory else.
func TestE2AMetTokenIsForgottenWhenItIsRevoked(t *testing.T) {
	t.Parallel()
	k := newConsole(t, nil)
	key, secret := k.create(directory.Directory{ID: "a", Policy: anyDomain()})
	reads := int64(0)
	for i := range 3 {
		require.Equal(t, http.StatusOK, k.get(secret))
		if i > 0 {
			require.Equal(t, reads, k.store.reads.Load(), "from memory")
		}
		reads = k.store.reads.Load()
	}
	tokens, err := k.Tokens(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, k.RevokeToken(t.Context(), key, tokens[0].ID))
	require.Equal(t, http.StatusUnauthorized, k.get(secret))
	require.Equal(t, http.StatusUnauthorized, k.get(secret))
}

// A crowd is many directories with a token each.
type crowd struct {
	*console
	headers string // in the order in which the directories have their turn, which is none
	length  int    // of one of them
	people  []string
	request *http.Request
}

// crowds are how many directories there are, and whether each request is of
// another one. What it costs must not depend on the number of directories; what
// requests of others cost besides is what the processor's caches do not hold.
var crowds = []struct {
	name        string
	directories int
	each        bool
}{{"1", 1, false}, {"20000 one", 20_000, false}, {"20000 each", 20_000, true}}

// newCrowd makes directories, each with some users.
func newCrowd(b *testing.B, directories, users int) *crowd {
	b.Helper()
	types := scim.CoreTypes()
	store := &probe{Storage: memstore.New(types, nil)}
	service, err := directory.New(store, &scim.Config{Types: types}, nil)
	require.NoError(b, err)
	k := &console{Service: service, t: b, store: store, http: scim.Mount("/scim/v2", service.Handler(), nil), from: "192.0.2.1:4711"}
	headers, people := make([]string, directories), make([]string, directories)
	for i := range directories {
		tenant := fmt.Sprintf("%05d", i) // tokens of one length
		_, secret := k.create(directory.Directory{Tenant: tenant, ID: "a", Policy: anyDomain()})
		headers[i] = "Bearer " + secret
		for u := range users {
			require.Equal(b, http.StatusCreated, k.post(secret, fmt.Sprintf("user%d@%s.example", u, tenant)))
		}
		if users > 0 {
			page, err := store.List(b.Context(), &scim.Query{Directory: scim.Key{Tenant: tenant, Directory: "a"}, Type: types.Type("User"), StartIndex: 1, Count: 1})
			require.NoError(b, err)
			people[i] = "/scim/v2/Users/" + page.Resources[0].ID()
		}
	}
	// What is beside each other in memory was not made one after the other: else
	// the processor would fetch it beforehand. A server's input it does fetch.
	rand.New(rand.NewPCG(1, 2)).Shuffle(directories, func(i, j int) {
		headers[i], headers[j] = headers[j], headers[i]
		people[i], people[j] = people[j], people[i]
	})
	c := &crowd{console: k, headers: strings.Join(headers, ""), length: len(headers[0]), request: bearer(b, "")}
	var paths strings.Builder
	for _, p := range people {
		paths.WriteString(p)
	}
	all := paths.String()
	for i := range people {
		c.people = append(c.people, all[i*len(people[0]):(i+1)*len(people[0])])
	}
	return c
}

// turn makes the request that of the directory.
func (c *crowd) turn(i int) {
	c.request.Header["Authorization"][0] = c.headers[i*c.length : (i+1)*c.length]
	c.request.URL.Path = c.people[i]
}

// measure calls do for one directory or for each in turn, and sees that nothing
// is written.
func (c *crowd) measure(b *testing.B, each bool, do func()) {
	b.Helper()
	n := len(c.people)
	for i := range n { // met
		c.turn(i)
		do()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.turn(i)
		do()
		if each {
			if i++; i == n {
				i = 0
			}
		}
	}
}

// BenchmarkAuthenticate is the check of the token alone.
func BenchmarkAuthenticate(b *testing.B) {
	for _, of := range crowds {
		b.Run(of.name, func(b *testing.B) {
			c := newCrowd(b, of.directories, 0)
			writes := c.store.writes.Load()
			c.measure(b, of.each, func() {
				if _, err := c.Authenticate(c.request); err != nil {
					b.Fatal(err)
				}
			})
			require.Equal(b, writes, c.store.writes.Load(), "a request wrote to the storage")
		})
	}
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkGet is a whole request, GET of a user by id.
func BenchmarkGet(b *testing.B) {
	for _, of := range crowds {
		b.Run(of.name, func(b *testing.B) {
			c := newCrowd(b, of.directories, 3)
			to := &discard{header: http.Header{}}
			c.measure(b, of.each, func() {
				clear(to.header)
				to.status = 0
				c.http.ServeHTTP(to, c.request)
				if to.status != http.StatusOK {
					b.Fatal(to.status)
				}
			})
		})
	}
}
