package directory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	scim "github.com/muster-id/scim"
)

// A Domain is an email domain of a tenant (rule A6). Only a verified one lets
// anybody in, and it is verified for one tenant at a time.
type Domain struct {
	Tenant string
	Name   string // in ASCII and lower case, as in xn--bcher-kva.example
	Text   string // for people, as in bücher.example

	Status   DomainStatus
	Asserted bool // verified by the application's word ([Service.AssertDomain]), not by DNS

	// Record is what the tenant's administrator sets in DNS.
	Record TXTRecord

	Created  time.Time
	Checked  time.Time // when DNS was asked last; zero: never
	Verified time.Time // zero if it is not verified

	// Reason says, for the administrator, why it could not be verified when it
	// was checked last; "" if it was.
	Reason string
}

// A TXTRecord is a DNS record of the type TXT.
type TXTRecord struct {
	Name  string // absolute, without the dot at its end
	Value string
}

// A DomainStatus says whether a domain is known to be the tenant's.
type DomainStatus string

// The statuses.
const (
	DomainPending  DomainStatus = "pending" // not checked yet
	DomainVerified DomainStatus = "verified"
	DomainFailed   DomainStatus = "failed" // checked, and not verified; it may be checked again
)

// A Resolver looks up TXT records; [net.Resolver] is one. The name is absolute and
// has no dot at its end. What is not found is a [*net.DNSError] with IsNotFound.
// It is called concurrently, and given up when its context ends.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// ErrDomainTaken says that the domain is verified for another tenant. Which one
// is not said.
var ErrDomainTaken = errors.New("directory: the domain is verified for another organization")

const (
	challengeLabel = "_muster-challenge."
	challengeValue = "muster-domain-verification="

	mostDomains = 100 // of a tenant

	// longestDomain leaves room for the label before it in a name of 253
	// characters (RFC 1035 section 2.3.4).
	longestDomain = 253 - len(challengeLabel)
	longestLabel  = 63

	lookupTimeout = 10 * time.Second
)

// A domainRecord is what is kept of a domain under its name.
type domainRecord struct {
	Status    DomainStatus `json:"status"`
	Asserted  bool         `json:"asserted,omitempty"`
	Challenge string       `json:"challenge"` // the random part of the value
	Created   time.Time    `json:"created"`
	Checked   time.Time    `json:"checked,omitzero"`
	Verified  time.Time    `json:"verified,omitzero"`
	Reason    string       `json:"reason,omitempty"`
}

func (r *domainRecord) domain(tenant, name string) *Domain {
	text, err := idna.Lookup.ToUnicode(name)
	if err != nil {
		text = name
	}
	return &Domain{
		Tenant: tenant, Name: name, Text: text, Status: r.Status, Asserted: r.Asserted,
		Record:  TXTRecord{challengeLabel + name, challengeValue + r.Challenge},
		Created: r.Created, Checked: r.Checked, Verified: r.Verified, Reason: r.Reason,
	}
}

// normalDomain returns a domain in ASCII and lower case, or says what is wrong
// with it.
func normalDomain(name string) (ascii string, err error) {
	var wrong problems
	refuse := func(format string, args ...any) (string, error) {
		wrong.add("domain", format, args...)
		return "", wrong.err("domain")
	}
	name = strings.TrimSuffix(strings.TrimSpace(name), ".")
	shown := shorten(name)
	const longestWritten = 4 * 253 // a character of Unicode has 4 bytes at most
	switch {
	case name == "":
		return refuse("it is empty; write it as in example.com")
	case len(name) > longestWritten:
		return refuse("%s is too long for a domain", shown)
	case strings.ContainsAny(name, "@/:"):
		return refuse("%s is an address; write its domain alone, as in example.com", shown)
	case strings.Contains(name, "*"):
		return refuse("%s has a wildcard: each domain is registered by itself, a subdomain too", shown)
	}
	ascii, err = idna.Lookup.ToASCII(name)
	if err != nil {
		return refuse("%s is not a domain: write it as in example.com", shown)
	}
	labels := strings.Split(ascii, ".")
	for _, l := range labels {
		if l == "" || len(l) > longestLabel {
			return refuse("%s is not a domain: between its dots there are 1 to %d characters", shown, longestLabel)
		}
	}
	if len(ascii) > longestDomain {
		return refuse("%s is too long: %d characters are the most", shown, longestDomain)
	}
	if _, err := netip.ParseAddr(ascii); err == nil || strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return refuse("%s is an IP address, not a domain", shown)
	}
	if len(labels) == 1 {
		return refuse("%s has no dot: it is a name of your own network at most", shown)
	}
	if suffix, _ := publicsuffix.PublicSuffix(ascii); suffix == ascii {
		return refuse("%s is a suffix under which anybody can register a domain; register your own", shown)
	}
	if slices.Contains(publicMail, ascii) {
		return refuse("%s gives a mailbox to anybody, so it says nothing about who belongs to an organization", shown)
	}
	return ascii, nil
}

// publicMail are the best known domains under which anybody has a mailbox.
// DNS keeps them all from being verified; these are kept from being asserted by
// mistake as well.
var publicMail = []string{
	"126.com", "163.com", "aol.com", "fastmail.com", "gmail.com", "gmx.at", "gmx.ch", "gmx.com", "gmx.de", "gmx.net", "googlemail.com",
	"hey.com", "hotmail.com", "hotmail.co.uk", "hotmail.fr", "icloud.com", "live.com", "mac.com", "mail.com", "mail.ru", "me.com", "msn.com",
	"naver.com", "orange.fr", "outlook.com", "pm.me", "proton.me", "protonmail.com", "qq.com", "rediffmail.com", "t-online.de", "tuta.com",
	"web.de", "yahoo.co.jp", "yahoo.co.uk", "yahoo.com", "yahoo.de", "yahoo.fr", "yandex.com", "yandex.ru", "ymail.com", "zoho.com",
}

// shorten returns a text of somebody else's, safe to be shown.
func shorten(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.QuoteToASCII(strings.ToValidUTF8(s[:most], "")) + "…"
	}
	return strconv.Quote(s)
}

// AddDomain registers a domain for a tenant and returns it with the TXT record
// that its administrator is to set; [Service.VerifyDomain] looks for it. One
// that is registered is returned as it is. The error is an [*InvalidError] for
// what is no domain of anybody's own: one with a wildcard, an IP address, a
// single label, a public suffix, a public mail service; and if the tenant has
// 100 domains already.
func (s *Service) AddDomain(ctx context.Context, tenant, name string) (*Domain, error) {
	name, err := s.domainName(tenant, name)
	if err != nil {
		return nil, err
	}
	var added *Domain
	// No revision: nobody is let in by a domain that is not verified.
	err = s.store.Do(ctx, tenant, func(ctx context.Context, _ scim.Tx) error {
		r, err := s.addDomain(ctx, tenant, name)
		if err == nil {
			added = r.Value.domain(tenant, name)
		}
		return err
	})
	return added, err
}

// domainName returns the domain as it is kept.
func (s *Service) domainName(tenant, name string) (string, error) {
	var wrong problems
	if wrong.name("tenant", tenant, mostTenant); len(wrong) > 0 {
		return "", wrong.err("domain")
	}
	return normalDomain(name)
}

// addDomain returns the domain's record, a new one if there is none.
func (s *Service) addDomain(ctx context.Context, tenant, name string) (row[domainRecord], error) {
	key := RecordKey{tenant, KindDomain, name}
	r, err := read[domainRecord](ctx, s, key)
	if !errors.Is(err, scim.ErrNotFound) {
		return r, err
	}
	there, err := s.store.Records(ctx, tenant, KindDomain, "", mostDomains)
	if err != nil {
		return r, err
	}
	if len(there) >= mostDomains {
		var wrong problems
		wrong.add("domain", "the organization has %d domains, which are as many as can be; remove one", len(there))
		return r, wrong.err("domain")
	}
	const challengeLength = 32 // 190 bits
	r = row[domainRecord]{ID: name, Value: domainRecord{Status: DomainPending, Challenge: randomText(challengeLength), Created: s.now()}}
	r.Version, err = s.put(ctx, key, 0, &r.Value)
	return r, err
}

// Domains returns the domains of a tenant in order of their names.
func (s *Service) Domains(ctx context.Context, tenant string) ([]*Domain, error) {
	var wrong problems
	if wrong.name("tenant", tenant, mostTenant); len(wrong) > 0 {
		return nil, nil
	}
	rows, err := all[domainRecord](ctx, s, tenant, KindDomain)
	if err != nil {
		return nil, err
	}
	domains := make([]*Domain, len(rows))
	for i := range rows {
		domains[i] = rows[i].Value.domain(tenant, rows[i].ID)
	}
	return domains, nil
}

// verifiedDomains returns the names of a tenant's verified domains. One that
// cannot be read is not verified.
func (s *Service) verifiedDomains(ctx context.Context, tenant string) (names []string, err error) {
	for r, err := range s.records(ctx, tenant, KindDomain) {
		if err != nil {
			return nil, err
		}
		d, err := decode[domainRecord](r)
		if err != nil {
			s.log.ErrorContext(ctx, "directory: a domain cannot be read", "tenant", tenant, "domain", r.ID, "error", err)
			continue
		}
		if d.Value.Status == DomainVerified {
			names = append(names, d.ID)
		}
	}
	return names, nil
}

// VerifyDomain asks DNS for the TXT record of a domain and returns the domain as
// it is then: verified, or failed with the reason, which is no error. The record
// is looked for under [Domain].Record's name and at the domain itself. A verified
// domain stays verified and DNS is not asked again. The error wraps
// [scim.ErrNotFound] if the domain is not registered, and [ErrDomainTaken] if the
// record is there and another tenant has verified the domain before.
//
// Once it is verified people of that domain are let in, and a task lets go of
// those who were held for it.
func (s *Service) VerifyDomain(ctx context.Context, tenant, name string) (*Domain, error) {
	name, err := s.domainName(tenant, name)
	if err != nil {
		return nil, err
	}
	r, err := s.domainRecord(ctx, tenant, name)
	if err != nil {
		return nil, err
	}
	if r.Value.Status == DomainVerified {
		return r.Value.domain(tenant, name), nil
	}
	// Not in a transaction: DNS takes its time.
	reason := s.lookUp(ctx, r.Value.domain(tenant, name))
	if err := ctx.Err(); err != nil { // that says nothing about the domain
		return nil, err
	}
	if reason == "" {
		return s.verify(ctx, tenant, name, false)
	}
	var failed *Domain
	err = s.store.Do(ctx, tenant, func(ctx context.Context, _ scim.Tx) error {
		r, err := s.domainRecord(ctx, tenant, name)
		if err != nil {
			return err
		}
		if r.Value.Status != DomainVerified { // by somebody else meanwhile
			err = s.fail(ctx, tenant, &r, reason)
		}
		failed = r.Value.domain(tenant, name)
		return err
	})
	return failed, err
}

func (s *Service) domainRecord(ctx context.Context, tenant, name string) (row[domainRecord], error) {
	r, err := read[domainRecord](ctx, s, RecordKey{tenant, KindDomain, name})
	if errors.Is(err, scim.ErrNotFound) {
		err = fmt.Errorf("directory: tenant %q has not registered the domain %s: %w", tenant, name, err)
	}
	return r, err
}

// fail keeps why a domain could not be verified.
func (s *Service) fail(ctx context.Context, tenant string, r *row[domainRecord], reason string) (err error) {
	r.Value.Status, r.Value.Checked, r.Value.Reason = DomainFailed, s.now(), reason
	r.Version, err = s.put(ctx, RecordKey{tenant, KindDomain, r.ID}, r.Version, &r.Value)
	return err
}

// AssertDomain registers a domain as verified by the application's own word,
// such as where it has asked the registrar or sold the domain. Whoever controls
// a verified domain's name here decides who comes in, so it must not be a
// customer's word alone. The errors are those of [Service.AddDomain], and
// [ErrDomainTaken].
func (s *Service) AssertDomain(ctx context.Context, tenant, name string) (*Domain, error) {
	name, err := s.domainName(tenant, name)
	if err != nil {
		return nil, err
	}
	return s.verify(ctx, tenant, name, true)
}

// verify makes a domain the tenant's and verified. One that DNS has vouched for
// must still be registered.
func (s *Service) verify(ctx context.Context, tenant, name string, asserted bool) (*Domain, error) {
	var verified *Domain
	taken := false
	err := s.change(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		taken = false
		var r row[domainRecord]
		var err error
		if asserted {
			r, err = s.addDomain(ctx, tenant, name)
		} else {
			r, err = s.domainRecord(ctx, tenant, name)
		}
		switch {
		case err != nil:
			return err
		case r.Value.Status == DomainVerified:
			verified = r.Value.domain(tenant, name)
			return errUnchanged
		}
		holder, err := s.store.Claim(ctx, domainClaim+name, tenant)
		if err != nil {
			return err
		}
		if taken = holder != tenant; taken {
			if err := s.fail(ctx, tenant, &r, "the domain is verified for another organization; it has to be removed there first"); err != nil {
				return err
			}
			return errUnchanged // to nobody who comes in
		}
		r.Value.Status, r.Value.Asserted, r.Value.Reason, r.Value.Verified = DomainVerified, asserted, "", s.now()
		if !asserted {
			r.Value.Checked = r.Value.Verified
		}
		if _, err := s.put(ctx, RecordKey{tenant, KindDomain, name}, r.Version, &r.Value); err != nil {
			return err
		}
		verified = r.Value.domain(tenant, name)
		note := "dns"
		if asserted {
			note = "asserted"
		}
		if err := s.event(ctx, tx, scim.Key{Tenant: tenant}, scim.DomainVerified, name, note); err != nil {
			return err
		}
		return s.reconcileAll(ctx, tx, tenant)
	})
	switch {
	case err != nil:
		return nil, err
	case taken:
		return nil, fmt.Errorf("%w: %s", ErrDomainTaken, name)
	}
	return verified, nil
}

// domainClaim begins the claims of domains.
const domainClaim = "domain:"

// reconcileAll works out everybody in the tenant's directories anew.
func (s *Service) reconcileAll(ctx context.Context, tx scim.Tx, tenant string) error {
	directories, err := s.List(ctx, tenant)
	if err != nil {
		return err
	}
	for _, d := range directories {
		if d.State == Retired {
			continue
		}
		if _, err := s.enqueue(ctx, tx, Task{Directory: d.Key(), Kind: TaskReconcile}); err != nil {
			return err
		}
	}
	return nil
}

// RemoveDomain forgets a domain of a tenant, which another one may then verify.
// Nobody loses access; nobody of that domain is let in from now on. The error
// wraps [scim.ErrNotFound] if it is not registered.
func (s *Service) RemoveDomain(ctx context.Context, tenant, name string) error {
	name, err := s.domainName(tenant, name)
	if err != nil {
		return err
	}
	return s.change(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		r, err := s.domainRecord(ctx, tenant, name)
		if err != nil {
			return err
		}
		if err := s.remove(ctx, RecordKey{tenant, KindDomain, name}); err != nil {
			return err
		}
		if r.Value.Status != DomainVerified {
			return errUnchanged
		}
		if err := s.store.Unclaim(ctx, domainClaim+name, tenant); err != nil {
			return err
		}
		return s.event(ctx, tx, scim.Key{Tenant: tenant}, scim.DomainRemoved, name, "")
	})
}

// An answer is what DNS says of one name.
type answer struct {
	name   string
	values []string
	err    error
}

// lookUp asks DNS for the domain's record and returns why it is not there, or
// "" if it is.
func (s *Service) lookUp(ctx context.Context, d *Domain) (reason string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	names := [...]string{d.Record.Name, d.Name}
	answers := make(chan answer, len(names)) // with room for one that nobody waits for any more
	for _, name := range names {
		go func() {
			a := answer{name: name, err: errors.New("the resolver panicked")}
			defer func() {
				_ = recover() // it is the host's, and must not end the program
				answers <- a
			}()
			a.values, a.err = s.o.Resolver.LookupTXT(ctx, name)
		}()
	}
	got := map[string]answer{}
	for len(got) < len(names) {
		select {
		case a := <-answers:
			if a.err == nil && slices.ContainsFunc(a.values, func(v string) bool { return strings.TrimSpace(v) == d.Record.Value }) {
				return ""
			}
			got[a.name] = a
		case <-ctx.Done():
			return "DNS did not answer within " + lookupTimeout.String() + "; try again later"
		}
	}
	why := explain(got[d.Record.Name])
	if apex := got[d.Name]; apex.err == nil && slices.ContainsFunc(apex.values, isChallenge) {
		why += "; " + explain(apex)
	}
	return why + ". Set a TXT record " + d.Record.Name + " with the value " + d.Record.Value +
		"; if it was set just now, try again in some minutes, as DNS answers are kept for a while"
}

func isChallenge(v string) bool { return strings.HasPrefix(strings.TrimSpace(v), challengeValue) }

// explain says for the administrator what DNS answered instead of the record.
func explain(a answer) string {
	dns, isDNS := errors.AsType[*net.DNSError](a.err)
	switch {
	case isDNS && dns.IsNotFound, a.err == nil && len(a.values) == 0:
		return "there is no TXT record " + a.name
	case isDNS && dns.IsTimeout, errors.Is(a.err, context.DeadlineExceeded):
		return "the name servers of " + a.name + " did not answer in time"
	case a.err != nil: // not its text: it can tell of the network here
		return "the name servers of " + a.name + " answered with an error, such as SERVFAIL"
	}
	const most = 3
	values := slices.Clone(a.values)
	slices.SortStableFunc(values, func(a, b string) int { // one of ours with another end is the likely mistake
		switch {
		case isChallenge(a) == isChallenge(b):
			return 0
		case isChallenge(a):
			return -1
		}
		return 1
	})
	shown := make([]string, 0, most)
	for _, v := range values[:min(len(values), most)] {
		shown = append(shown, shorten(v))
	}
	text := "the TXT record " + a.name + " has another value: " + strings.Join(shown, ", ")
	if more := len(values) - len(shown); more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

// A rooted resolver looks up absolute names only: with a search list in its
// configuration, net.Resolver would also look for them under other domains.
type rooted struct{ *net.Resolver }

func (r rooted) LookupTXT(ctx context.Context, name string) ([]string, error) {
	return r.Resolver.LookupTXT(ctx, name+".")
}
