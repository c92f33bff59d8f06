package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
)

// A Service is the control plane over one store: what an administrator does
// with directories, tokens, domains and mappings, and the authentication of the
// identity providers. It is safe for concurrent use; there may be any number of
// them, in as many processes, over the same store.
type Service struct {
	store   Storage
	handler *scim.Handler
	engine  *scim.Engine
	catalog scim.RoleCatalog
	types   *scim.Types
	now     func() time.Time
	log     *slog.Logger
	o       Options

	cache    *cache
	throttle *throttle
	uses     *uses
	worker   *worker

	reporter    scim.UsageReporter // nil: the application does not say what it has outside of its directories
	hookTimeout time.Duration
}

var (
	_ scim.Authenticator   = (*Service)(nil)
	_ scim.RoleMapper      = (*Service)(nil)
	_ scim.DirectorySource = (*Service)(nil)
)

// Options holds what [New] does not require. The nil Options and every zero
// field are the recommended values.
type Options struct {
	// TokenPrefix begins every token, so that people and secret scanners see
	// whose it is: 1 to 16 letters and digits, "muster" by default. Tokens with
	// another prefix, such as those from before a change of it, are refused.
	TokenPrefix string

	// ClientIP returns the address that a request came from, for limiting who
	// guesses at tokens and for [TokenUse]. By default it is the host of
	// RemoteAddr, which behind a proxy is the proxy's: give a function that
	// reads the header which the proxy sets and clients cannot. What is no IP
	// address counts as one address. It is called concurrently.
	ClientIP func(*http.Request) string

	// Resolver looks up the TXT records by which domains are verified;
	// [net.DefaultResolver] by default.
	Resolver Resolver

	// Invitations returns what names the open invitations of a tenant. It is
	// called in the transaction in which provisioning comes on under
	// [scim.StrictLock], and its answer is in the directory.enabled event, the
	// note of which is "strict" and then a line for each: they are to be revoked
	// (rule C8). By default the event names none.
	Invitations func(ctx context.Context, tenant string) ([]string, error)

	// Worker is how [Service.Run] works.
	Worker WorkerOptions

	// Retention is how long [Service.Run] keeps what would grow for ever.
	Retention Retention
}

// New returns the service over a store, and in it the handler of the SCIM
// endpoint: [Service.Handler]. The configuration is the handler's; its
// Directories must be nil, because they are what the service keeps.
func New(store Storage, cfg *scim.Config, o *Options) (*Service, error) {
	if store == nil {
		return nil, errors.New("directory: a Storage is required; memstore.Store and sqlstore.Store are")
	}
	var own scim.Config
	if cfg != nil {
		own = *cfg
	}
	if own.Directories != nil {
		return nil, errors.New("directory: Config.Directories must be nil: the service is what keeps the directories")
	}
	s := &Service{store: store, catalog: own.Catalog, types: own.Types, now: own.Now, log: own.Logger}
	if o != nil {
		s.o = *o
	}
	if err := s.o.resolve(); err != nil {
		return nil, err
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.types == nil {
		s.types = scim.CoreTypes()
		own.Types = s.types
	}
	s.cache, s.throttle, s.uses = newCache(s), newThrottle(s.now()), newUses()
	s.worker = newWorker()
	s.reporter, _ = own.Provisioner.(scim.UsageReporter)
	if s.hookTimeout = own.ProvisionTimeout; s.hookTimeout == 0 {
		s.hookTimeout = 10 * time.Second
	}
	own.Directories = s
	var err error
	if s.handler, err = scim.NewHandler(store, s, s, &own); err != nil {
		return nil, err
	}
	s.engine = s.handler.Engine()
	return s, nil
}

func (o *Options) resolve() error {
	if o.TokenPrefix == "" {
		o.TokenPrefix = "muster"
	}
	if len(o.TokenPrefix) > mostPrefix || strings.Trim(o.TokenPrefix, base62) != "" {
		return fmt.Errorf("directory: Options.TokenPrefix %q is not 1 to %d letters and digits", o.TokenPrefix, mostPrefix)
	}
	if o.ClientIP == nil {
		o.ClientIP = func(r *http.Request) string { return r.RemoteAddr }
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if r, ok := o.Resolver.(*net.Resolver); ok {
		o.Resolver = rooted{r}
	}
	o.Retention.resolve()
	return o.Worker.resolve()
}

// Handler returns the handler of the SCIM endpoint, to be mounted by
// [scim.Mount] or a router.
func (s *Service) Handler() *scim.Handler { return s.handler }

// Engine returns the handler's engine, for what is done about one user or group
// rather than a directory.
func (s *Service) Engine() *scim.Engine { return s.engine }

// Roles returns none: a directory has a mapping of its own, or nobody has a role
// by it (rule C6).
func (*Service) Roles(context.Context, *scim.Directory, *scim.Resource, []scim.GroupRef) ([]scim.Grant, error) {
	return nil, nil
}
