package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/muster-id/scim"
)

// options are the flags, checked.
type options struct {
	addr      string
	orgs      []organization // at least one
	policy    scim.Policy
	dialect   scim.Dialect
	seats     int // 0: as many as there are people
	store     storage
	temporary bool   // store is a file that is still to be made, and removed at the end
	tokenFile string // "" for tokens that end with the process
	ownTokens bool   // tokenFile was not named: it has the tokens of everybody in the store
	json      bool
	demo      bool
}

// An organization is a customer of the application, as -org says.
type organization struct {
	name    string
	domains []string
	token   string // once it is set up
}

// String returns the organization for people, without the token.
func (o organization) String() string {
	if len(o.domains) == 0 {
		return o.name
	}
	return o.name + " (" + strings.Join(o.domains, ", ") + ")"
}

const (
	defaultAddr  = "127.0.0.1:8080"
	defaultOrg   = "acme:example.com"
	defaultStore = "muster-quickstart.db"

	// anyPort is the demo's address: it has no use for a fixed one, which
	// may be taken.
	anyPort = "127.0.0.1:0"
)

// dialectNames lists what -dialect may be.
func dialectNames() string {
	var names []string
	for _, d := range scim.Dialects() {
		names = append(names, d.String())
	}
	return strings.Join(names, "|")
}

// parseOptions reads the flags. Every error names the flag, what is wrong with
// it and what to do. For -help it writes the usage and returns [flag.ErrHelp].
func parseOptions(args []string, usage io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run reports errors, without the whole usage
	flags.Usage = func() {}
	flags.Func("addr", "`host:port` to listen on; port 0 is one that is free (default "+defaultAddr+", with -demo "+anyPort+")", func(s string) error {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return errors.New("it is a host and a port, such as " + defaultAddr)
		}
		o.addr = s
		return nil
	})
	flags.Func("org", "an organization and its email domains, `name[:domain,domain]`; may be repeated (default "+defaultOrg+")", o.addOrganization)
	flags.TextVar(&o.policy.Email, "email", o.policy.Email, "what to do about a changed email: `reject|keep|domains|allow`; keep leaves the account its old one, domains allows those of the organization")
	flags.TextVar(&o.policy.Domain, "domains-policy", o.policy.Domain, "who may come from outside of the domains: `reject|guest|any`; a guest is stored and has no access")
	flags.TextVar(&o.dialect, "dialect", o.dialect, "whose habits to tolerate: `"+dialectNames()+"`")
	flags.Func("seats", "how many people of an organization may be admin or member at a time, a `number`; viewers need no seat (default no limit)", func(s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return errors.New("it is a number from 1 on; leave the flag out for no limit")
		}
		o.seats = n
		return nil
	})
	flags.Var(&o.store, "store", "keep everything in `memory|FILE.db|postgres://…`: as long as the process runs, in an SQLite file created with mode 0600, or in PostgreSQL, "+
		"with its password better in PGPASSWORD (default "+defaultStore+" in the working directory; with -demo a file that is removed at the end)")
	flags.Func("token-file", "`file` that keeps the tokens, as an identity provider does, so that a restart prints the same; created with mode 0600 (default: with a store that outlives the process, beside it, "+storage(defaultStore).tokenFile()+")", func(s string) error {
		if s == "" {
			return errors.New("it names a file; leave the flag out for the one beside the store")
		}
		o.tokenFile = s
		return nil
	})
	flags.BoolVar(&o.json, "json", false, `print a line {"org":…,"base_url":…,"token":…} for each organization, and nothing else, on standard output`)
	flags.BoolVar(&o.demo, "demo", false, "provision a few people as an identity provider would, show what the application is told, and exit")

	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(usage, "quickstart serves SCIM 2.0 for an application in one process. Flags:")
		flags.SetOutput(usage)
		flags.PrintDefaults()
		return nil, err
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, fmt.Errorf("argument %q: there are only flags; an organization is given as -org name:domain", flags.Arg(0))
	}
	if len(o.orgs) == 0 {
		if err := o.addOrganization(defaultOrg); err != nil {
			return nil, err
		}
	}
	if o.addr == "" {
		o.addr = defaultAddr
		if o.demo {
			o.addr = anyPort
		}
	}
	if o.store == "" {
		if o.temporary = o.demo; !o.demo {
			o.store = defaultStore
		}
	}
	if o.tokenFile == "" {
		o.tokenFile = o.store.tokenFile()
		o.ownTokens = o.tokenFile != ""
	}
	if o.demo && o.policy.Domain != scim.AnyDomain {
		for _, org := range o.orgs {
			if len(org.domains) == 0 {
				return nil, fmt.Errorf("-demo: %s has no domain, so nobody gets access; give one with -org %[1]s:example.com, or -domains-policy any", org.name)
			}
		}
	}
	return o, nil
}

// addOrganization reads one -org.
func (o *options) addOrganization(s string) error {
	name, list, hasDomains := strings.Cut(s, ":")
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("the organization has no name; write it as name:domain,domain")
	case name != strings.TrimSpace(name) || name != printable(name):
		return errors.New("a name has no spaces around it and no control characters; leave them out")
	}
	org := organization{name: name}
	for _, other := range o.orgs {
		if other.name == name {
			return fmt.Errorf("%s is there twice; give all its domains at once, %[1]s:domain,domain", name)
		}
	}
	if !hasDomains {
		o.orgs = append(o.orgs, org)
		return nil
	}
	for domain := range strings.SplitSeq(list, ",") {
		if err := checkDomain(domain); err != nil {
			return err
		}
		if owner := o.owner(domain, org); owner != "" {
			return fmt.Errorf("the domain %s is %s's already; a domain belongs to one organization, name it once", domain, owner)
		}
		org.domains = append(org.domains, domain)
	}
	o.orgs = append(o.orgs, org)
	return nil
}

// owner returns the name of the organization that has the domain, "" if none.
func (o *options) owner(domain string, current organization) string {
	for _, org := range append(slices.Clip(o.orgs), current) {
		if slices.ContainsFunc(org.domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			return org.name
		}
	}
	return ""
}

// checkDomain refuses what can never be the domain of an email, so that a slip
// is seen at the start and not when the first person is refused.
func checkDomain(domain string) error {
	switch {
	case domain == "":
		return errors.New("a domain is empty; name one after the colon and after each comma, or leave colon and comma out")
	case strings.Contains(domain, "*"):
		return fmt.Errorf("the domain %s has a wildcard; domains match exactly, so name each one", domain)
	case strings.Contains(domain, "@"):
		return fmt.Errorf("%s is not a domain; leave out the @ and what is before it", domain)
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") ||
			strings.ContainsFunc(label, func(r rune) bool { return r != '-' && !unicode.In(r, unicode.Letter, unicode.Digit, unicode.Mark) }) {
			return fmt.Errorf("%q is not a domain; write it as example.com", domain)
		}
	}
	return nil
}
