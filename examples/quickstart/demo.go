package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster-id/scim/directory"
)

// runDemo provisions every organization as its identity provider would, over
// HTTP, and fails if the application does not know what it should.
func runDemo(ctx context.Context, o *options, base string, service *directory.Service, app *App, logger *log.Logger) error {
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	logger.Print("Lines with an arrow are requests of an identity provider, the others what the application was told.")
	for _, org := range o.orgs {
		logger.Printf("\n%s", org)
		d := &demo{
			provider: provider{base: base, token: org.token, log: logger, client: &http.Client{Transport: transport, Timeout: time.Minute}},
			service:  service, app: app, org: org, domain: "example.com",
		}
		if len(org.domains) > 0 {
			d.domain = org.domains[0]
		}
		if err := d.run(ctx); err != nil {
			return fmt.Errorf("-demo: %s: %w", org.name, err)
		}
	}
	return nil
}

// A demo is three people and two groups of one organization, on their way into
// the application and out of it.
type demo struct {
	provider
	service *directory.Service
	app     *App
	org     organization
	domain  string
}

// run is the demo's story. After each step it checks what the application
// knows.
func (d *demo) run(ctx context.Context) error {
	// Who is assigned to the application is looked up, and created if the
	// lookup finds nobody. No group yet: everybody is a viewer.
	ada, grace, alan := d.person("Ada", "Lovelace"), d.person("Grace", "Hopper"), d.person("Alan", "Turing")
	for _, p := range []*demoPerson{ada, grace, alan} {
		if err := d.create(ctx, p); err != nil {
			return err
		}
		if err := d.expect(ctx, p, true, "viewer"); err != nil {
			return err
		}
	}

	// Groups are pushed empty, and then get their members. Ada is in both: the
	// mapping's first rule wins.
	if err := d.push(ctx, "Engineers", ada, grace); err != nil {
		return err
	}
	if err := d.push(ctx, "Admins", ada); err != nil {
		return err
	}
	for p, role := range map[*demoPerson]string{ada: "admin", grace: "member", alan: "viewer"} {
		if err := d.expect(ctx, p, true, role); err != nil {
			return err
		}
	}

	// Grace leaves while she works. Her session ends before the provider has
	// its answer, and there is no way back in; Ada's goes on.
	adas, err := d.app.SignIn(ctx, d.org.name, ada.email)
	if err != nil {
		return fmt.Errorf("%s signs in: %w", ada.email, err)
	}
	if err := d.leave(ctx, grace); err != nil {
		return err
	}

	// Nobody can lock everybody out: not even the provider takes the last
	// administrator away, and the session goes on.
	if err := d.refused(ctx, ada); err != nil {
		return err
	}
	if p, ok, err := d.app.SignedIn(ctx, adas); err != nil || !ok || p.Email != ada.email {
		return errors.Join(fmt.Errorf("%s is no longer signed in", ada.email), err)
	}
	if err := d.status(ctx); err != nil {
		return err
	}
	d.log.Printf("As expected: %s is an admin of %s, %s a viewer, and %s has no access any more.", ada, d.org.name, alan, grace)
	return nil
}

// leave is somebody's way out: deactivated, then deleted, while signed in.
func (d *demo) leave(ctx context.Context, p *demoPerson) error {
	session, err := d.app.SignIn(ctx, d.org.name, p.email)
	if err != nil {
		return fmt.Errorf("%s signs in: %w", p.email, err)
	}
	if err := d.deactivate(ctx, p); err != nil {
		return err
	}
	if err := d.expect(ctx, p, false, "member"); err != nil {
		return err
	}
	switch _, ok, err := d.app.SignedIn(ctx, session); {
	case err != nil:
		return err
	case ok:
		return fmt.Errorf("%s is still signed in", p.email)
	}
	if err := d.turnedAway(ctx, strings.ToUpper(p.email)); err != nil {
		return err
	}
	if err := d.call(ctx, request{method: http.MethodDelete, path: "/Users/" + p.id, note: p.String(), status: http.StatusNoContent}, nil); err != nil {
		return err
	}
	return d.turnedAway(ctx, p.email)
}

// turnedAway tries to sign in somebody who must not get in.
func (d *demo) turnedAway(ctx context.Context, email string) error {
	_, err := d.app.SignIn(ctx, d.org.name, email)
	if err == nil {
		return fmt.Errorf("%s can sign in again", email)
	}
	d.log.Printf("%s: %s cannot sign in: %v", d.org.name, email, err)
	return nil
}

// refused tries to deactivate the last administrator (rule B7).
func (d *demo) refused(ctx context.Context, p *demoPerson) error {
	if err := d.call(ctx, deactivation(p, http.StatusForbidden), nil); err != nil {
		return err
	}
	return d.expect(ctx, p, true, "admin")
}

// status shows what an administrator sees of the directory.
func (d *demo) status(ctx context.Context) error {
	s, err := d.service.Status(ctx, d.org.key())
	if err != nil {
		return err
	}
	d.log.Printf("Status of %s: %s, %d users (%d active), %d groups, seats in use: %d; the token that ends in %s is valid until %s.",
		s.Directory.Name, s.Health, s.Accounts.Accounts, s.Accounts.Active, s.Groups, s.Seats.Used,
		s.Tokens[0].Hint, s.Tokens[0].Expires.Format(time.DateOnly))
	for _, sentence := range append(s.Attention, s.Warnings...) {
		d.log.Printf("  %s", sentence)
	}
	if s.Accounts.Accounts != 2 || s.Accounts.Active != 2 || s.Groups != 2 || s.Seats.Used != 1 {
		return errors.New("the status is not that of two people, both active, and two groups, with a seat for the admin")
	}
	return nil
}

// A demoPerson is somebody at the identity provider.
type demoPerson struct {
	given, family string
	email         string
	id            string // what the application's side calls the user, once created
}

func (d *demo) person(given, family string) *demoPerson {
	return &demoPerson{given: given, family: family, email: strings.ToLower(given) + "@" + d.domain}
}

// String returns the person's name.
func (p *demoPerson) String() string { return p.given + " " + p.family }

// expect compares what the application knows about somebody with what it
// should.
func (d *demo) expect(ctx context.Context, p *demoPerson, access bool, roles ...string) error {
	got, ok, err := d.app.Person(ctx, d.org.name, p.email)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("the application does not know %s", p.email)
	case got.Name != p.String() || got.Access != access || !slices.Equal(got.Roles, roles):
		return fmt.Errorf("the application knows %s as %+v; expected are access %t and roles %q", p.email, got, access, roles)
	}
	return nil
}

// The URNs of what is sent, RFC 7643 section 8 and RFC 7644 section 3.5.2.
const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// object is a JSON object that is sent.
type object map[string]any

// create looks a person up and creates the user, who is not there yet.
func (d *demo) create(ctx context.Context, p *demoPerson) error {
	if err := d.absent(ctx, "/Users", "userName", p.email); err != nil {
		return err
	}
	var created resource
	err := d.call(ctx, request{
		method: http.MethodPost, path: "/Users", note: p.String(), status: http.StatusCreated,
		body: object{
			"schemas":     []string{userSchema},
			"userName":    p.email,
			"externalId":  "00u-" + strings.ToLower(p.given),
			"name":        object{"givenName": p.given, "familyName": p.family},
			"displayName": p.String(),
			"emails":      []object{{"value": p.email, "type": "work", "primary": true}},
			"active":      true,
		},
	}, &created)
	if err != nil {
		return err
	}
	if created.ID == "" || !created.Active {
		return fmt.Errorf("%s was created without id or inactive: %+v", p.email, created)
	}
	p.id = created.ID
	return nil
}

// push creates a group and then adds its members.
func (d *demo) push(ctx context.Context, name string, members ...*demoPerson) error {
	if err := d.absent(ctx, "/Groups", "displayName", name); err != nil {
		return err
	}
	var group resource
	err := d.call(ctx, request{
		method: http.MethodPost, path: "/Groups", note: name, status: http.StatusCreated,
		body: object{"schemas": []string{groupSchema}, "displayName": name, "members": []object{}},
	}, &group)
	if err != nil {
		return err
	}
	var value []object
	var names []string
	for _, m := range members {
		value, names = append(value, object{"value": m.id, "display": m.email}), append(names, m.String())
	}
	return d.call(ctx, request{
		method: http.MethodPatch, path: "/Groups/" + group.ID, note: "members " + strings.Join(names, ", "), status: http.StatusNoContent,
		body: object{
			"schemas":    []string{patchSchema},
			"Operations": []object{{"op": "add", "path": "members", "value": value}},
		},
	}, nil)
}

// deactivate takes a person's access away, and checks that the user is still
// found: deactivated is not deleted.
func (d *demo) deactivate(ctx context.Context, p *demoPerson) error {
	var after resource
	if err := d.call(ctx, deactivation(p, http.StatusOK), &after); err != nil {
		return err
	}
	found, err := d.lookup(ctx, "/Users", "userName", p.email)
	if err != nil {
		return err
	}
	if after.Active || len(found) != 1 || found[0] != after {
		return fmt.Errorf("%s was deactivated and answered as %+v, but is found as %+v", p.email, after, found)
	}
	return nil
}

// deactivation is the request that deactivates a person.
func deactivation(p *demoPerson, status int) request {
	return request{
		method: http.MethodPatch, path: "/Users/" + p.id, note: p.String() + ", active false", status: status,
		body: object{
			"schemas":    []string{patchSchema},
			"Operations": []object{{"op": "replace", "value": object{"active": false}}},
		},
	}
}

// A provider is the client's half of SCIM, in the manner of Okta.
type provider struct {
	base, token string
	client      *http.Client
	log         *log.Logger // each request before it is sent
}

// A resource is what the provider reads of an answer.
type resource struct {
	ID     string `json:"id"`
	Active bool   `json:"active"`
}

// absent fails if the lookup finds somebody.
func (p *provider) absent(ctx context.Context, endpoint, attribute, value string) error {
	found, err := p.lookup(ctx, endpoint, attribute, value)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s %q is there already; -demo needs a store in which nothing is, such as the one that it makes without -store", attribute, value)
	}
	return err
}

// lookup asks who has a value, RFC 7644 section 3.4.2.
func (p *provider) lookup(ctx context.Context, endpoint, attribute, value string) ([]resource, error) {
	var page struct {
		TotalResults int        `json:"totalResults"`
		Resources    []resource `json:"Resources"`
	}
	filter := attribute + ` eq "` + value + `"`
	err := p.call(ctx, request{
		method: http.MethodGet, path: endpoint, query: "filter=" + filter + "&startIndex=1&count=100", status: http.StatusOK,
	}, &page)
	if err != nil {
		return nil, err
	}
	if page.TotalResults != len(page.Resources) {
		return nil, fmt.Errorf("totalResults of %s is %d for %d resources", filter, page.TotalResults, len(page.Resources))
	}
	return page.Resources, nil
}

// A request is what a provider sends, and the status that it expects.
type request struct {
	method, path string
	query        string // before it is escaped
	note         string // what it is about, for people
	body         any
	status       int
}

// String returns the request for people.
func (q request) String() string {
	s := q.method + " " + q.path
	if q.query != "" {
		s += "?" + q.query
	}
	if q.note != "" {
		s += " (" + q.note + ")"
	}
	return s
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// call sends a request and decodes the answer, which must have its status. A
// nil answer is one that nobody looks at.
func (p *provider) call(ctx context.Context, q request, answer any) error {
	p.log.Printf("→ %s", q)
	var body io.Reader
	if q.body != nil {
		text, err := json.Marshal(q.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, p.base+q.path, body)
	if err != nil {
		return err
	}
	r.URL.RawQuery = (&url.URL{Path: q.query}).EscapedPath() // a space is %20, as providers send it
	r.Header.Set("Authorization", "Bearer "+p.token)
	r.Header.Set("Accept", "application/scim+json")
	if q.body != nil {
		r.Header.Set("Content-Type", "application/scim+json; charset=utf-8")
	}
	r.Header.Set("User-Agent", "Okta SCIM Client 1.0.0")
	w, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case w.StatusCode != q.status:
		return fmt.Errorf("%s was answered with %d instead of %d: %s", q, w.StatusCode, q.status, text)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s was answered with %q: %w", q, text, err)
	}
	return nil
}
