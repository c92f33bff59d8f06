package scim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"
)

// Config holds what [NewHandler] and [NewEngine] do not require. The nil
// Config and every zero field are the recommended values.
type Config struct {
	// Types are the resource types, CoreTypes by default. The store must have
	// been given the same.
	Types *Types

	// Provisioner is told what each person may do. Without it the directory
	// state is kept and nobody is told.
	Provisioner Provisioner

	// Catalog says what the application's roles mean to the rules about
	// administrators and seats.
	Catalog RoleCatalog

	// Directories keeps the directories where they change while the program
	// runs: package directory. With it the rules that count (last administrator,
	// seats, mass changes) hold, which need a [Ledger]. nil: directories are what
	// the Authenticator says.
	Directories DirectorySource

	// ProvisionTimeout bounds one call of a hook, 10 seconds by default. A
	// hook that ignores its context for a second more is abandoned, and the
	// request is rolled back.
	ProvisionTimeout time.Duration

	// DeferGrants is how many accounts one request on a group tells the host of
	// at once, where they only gain; for those beyond it the gain waits for
	// [Engine.Reconcile] (rule B6). Who loses anything is told at once, whatever
	// the number. Who waits has [PendingGrants] and is found by
	// [AccountReader.Waiting]; the next request that affects such a person passes
	// the gain on too. It is for who runs something that looks for them, such as
	// Run of package directory; 1,000 is a good number then. 0: everybody is told
	// at once. It needs a [Ledger].
	DeferGrants int

	// DirectHooks calls the hooks on the goroutine of the request and without a
	// deadline, which saves some microseconds of it. It is for a host whose
	// hooks return at once because they touch nothing but memory: one that hangs
	// all the same holds its request, and the writers of its tenant.
	DirectHooks bool

	// BaseURL is where the handler is reached from outside, for example
	// "https://api.example.com/scim/v2": it is what meta.location, $ref and
	// Location begin with. By default it is taken from each request: its Host,
	// https unless the connection is plain, and the path under which it was
	// mounted. Behind a proxy that changes Host or scheme it must be set.
	// Under a router that does not strip the path off, its path is also how a
	// query of all resources, GET /scim/v2, is told from a path with nothing
	// behind it.
	BaseURL string

	// Logger receives what an operator must know: causes of 500s, failed
	// hooks. It never receives a token or a request's body; the text of an
	// error of the store or the host is logged as it is. By default nothing is
	// logged.
	Logger *slog.Logger

	// OnRequest is called after each authenticated request with what the
	// request log records: the outcome, and which tolerances fired. It must not
	// keep the entry. For a bulk request it is called once for each operation
	// that was done, and then for the whole.
	OnRequest func(ctx context.Context, entry *LogEntry)

	// CursorKey lets clients page by cursor (RFC 9865), beside index paging: 32
	// random bytes, with which cursors are encrypted and authenticated. Replicas
	// share it. Whoever has it can make cursors, which give no access that a
	// token does not give. With another key, cursors that are under way become
	// invalid and their clients begin again. The store must page by position
	// ([Store.List]). nil: cursors are not offered.
	CursorKey []byte

	// CursorTimeout is how long a cursor can be used, 10 minutes by default; a
	// second at least. Each page comes with a new one. It is announced in whole
	// seconds.
	CursorTimeout time.Duration

	// Now is the clock, time.Now by default.
	Now func() time.Time

	// Limits bounds what a request may ask for.
	Limits Limits
}

// Limits bounds what a request may ask for (rule E3). Zero fields are the
// defaults. How long a URL and headers may be is for the host's
// [net/http.Server] to say (MaxHeaderBytes).
type Limits struct {
	Body         int64 // bytes of a body, 2 MiB; more is 413. A PATCH makes no resource larger either
	GroupBody    int64 // bytes of a body about a group, 32 MiB
	Operations   int   // operations of a PATCH, 1,000
	Values       int   // values of a multi-valued attribute, 10,000; not of members
	Page         int   // resources on a page, 1,000; count beyond is lowered
	DefaultPage  int   // resources on a page where count is not given, 100
	FilterLength int   // bytes of a filter, 8 KiB
	Depth        int   // nesting of filters and of JSON, 32

	// BulkOperations bounds the operations of a bulk request, 1,000 by
	// default, and BulkBody the bytes of its body, 8 MiB: a thousand resources of
	// 8 KiB. A bulk request is in memory as a whole until its last operation is
	// done, so it has no room for the largest groups: they are sent on their
	// own. What one operation sends is bounded by Body or GroupBody besides.
	BulkOperations int
	BulkBody       int64

	// Rate is how many requests a second each caller may make of this Handler
	// in the long run, and Burst how many at once after a pause, by default as
	// many as in ten seconds. More are answered with 429 and Retry-After. A
	// caller is a [Caller]'s directory and Actor. A bulk request is one, whatever
	// the number of its operations: BulkOperations bounds that.
	//
	// By default there is no limit: what is right depends on the host, on the
	// number of its replicas, each of which counts for itself, and on what its
	// proxy does already; and not every provider comes back after a 429. A
	// provider sends what has gathered as fast as it is answered: Entra wants to
	// be allowed 25 a second in a directory.
	//
	// Of the requests that one caller was refused one a minute is in the request
	// log; OnRequest is told of all.
	Rate, Burst int
}

func (c *Config) resolve() (Config, error) {
	var r Config
	if c != nil {
		r = *c
	}
	if r.Types == nil {
		r.Types = CoreTypes()
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.ProvisionTimeout == 0 {
		r.ProvisionTimeout = 10 * time.Second
	}
	if r.ProvisionTimeout < 0 {
		return r, errors.New("scim: Config.ProvisionTimeout is negative")
	}
	if r.DeferGrants < 0 {
		return r, errors.New("scim: Config.DeferGrants is negative")
	}
	if r.CursorKey != nil && len(r.CursorKey) != cursorKeySize {
		return r, fmt.Errorf("scim: Config.CursorKey has %d bytes; it must have %d, drawn at random", len(r.CursorKey), cursorKeySize)
	}
	r.CursorKey = bytes.Clone(r.CursorKey)
	setDefault(&r.CursorTimeout, defaultCursorTimeout)
	if r.CursorTimeout < time.Second {
		return r, errors.New("scim: Config.CursorTimeout is less than a second")
	}
	if r.BaseURL != "" {
		u, err := url.Parse(r.BaseURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
			return r, fmt.Errorf("scim: Config.BaseURL %q is not an absolute http or https URL without query", r.BaseURL)
		}
		r.BaseURL = strings.TrimRight(u.String(), "/") // escaped, so that it may stand in JSON
	}
	l := &r.Limits
	if min(l.Body, l.GroupBody, l.BulkBody) < 0 || min(l.Operations, l.Values, l.Page, l.DefaultPage, l.FilterLength, l.Depth, l.Rate, l.Burst, l.BulkOperations) < 0 {
		return r, errors.New("scim: a field of Config.Limits is negative")
	}
	const mostRate = 1_000_000
	if max(l.Rate, l.Burst) > mostRate || l.Rate == 0 && l.Burst > 0 {
		return r, fmt.Errorf("scim: Config.Limits: Rate and Burst are at most %d, and a Burst needs a Rate", mostRate)
	}
	setDefault(&l.Burst, min(10*l.Rate, mostRate))
	setDefault(&l.Body, 2<<20)
	setDefault(&l.GroupBody, 32<<20)
	setDefault(&l.Operations, 1000)
	setDefault(&l.Values, 10_000)
	setDefault(&l.Page, 1000)
	setDefault(&l.DefaultPage, 100)
	setDefault(&l.FilterLength, 8<<10)
	setDefault(&l.Depth, 32)
	setDefault(&l.BulkOperations, 1000)
	setDefault(&l.BulkBody, 8<<20)
	l.DefaultPage = min(l.DefaultPage, l.Page)
	return r, nil
}

func setDefault[T int | int64 | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}
