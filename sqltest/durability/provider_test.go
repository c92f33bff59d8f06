//go:build unix

package durability_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// groupNames are the groups that everybody shares. The first two have roles.
var groupNames = []string{"Admins", "Members", "Staff"}

// A provider is an identity provider with several workers. What it was not
// answered it sends again, and what it finds done already it goes on from.
type provider struct {
	address func() string // where the service is now
	client  *http.Client
	groups  map[string]string // the ids of groupNames
	workers []*worker

	stop    chan struct{}
	stopped sync.WaitGroup
	failed  chan error // of the first worker that gave up

	acknowledged, unanswered, unavailable, found atomic.Int64
}

func newProvider(t *testing.T, address func() string, workers int) *provider {
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * workers}
	t.Cleanup(transport.CloseIdleConnections)
	p := &provider{
		address: address, client: &http.Client{Transport: transport, Timeout: patience},
		groups: map[string]string{}, stop: make(chan struct{}), failed: make(chan error, workers),
	}
	for _, name := range groupNames {
		id, err := p.createGroup(t.Context(), name, nil)
		require.NoError(t, err)
		p.groups[name] = id
	}
	for i := range workers {
		w := &worker{provider: p, random: rand.New(rand.NewPCG(rand.Uint64(), 0)), name: fmt.Sprintf("w%d", i)}
		for n := range 4 {
			name := fmt.Sprintf("%s-u%d", w.name, n)
			w.people = append(w.people, &person{userName: name + "@" + domain, externalID: "ext-" + name, groups: map[string]bool{}})
		}
		p.workers = append(p.workers, w)
	}
	return p
}

// start lets the workers work until finish.
func (p *provider) start(ctx context.Context) {
	for _, w := range p.workers {
		p.stopped.Go(func() {
			for {
				select {
				case <-p.stop:
					return
				default:
				}
				if err := w.step(ctx); err != nil {
					p.failed <- fmt.Errorf("%s: %w", w.name, err)
					return
				}
			}
		})
	}
}

// finish lets each worker complete what it is doing.
func (p *provider) finish(t *testing.T) {
	t.Helper()
	close(p.stop)
	p.stopped.Wait()
	p.check(t)
	t.Logf("%d writes acknowledged, %d requests unanswered, %d times 503, %d creates found done",
		p.acknowledged.Load(), p.unanswered.Load(), p.unavailable.Load(), p.found.Load())
}

// check fails the test if a worker has given up.
func (p *provider) check(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.failed:
		t.Fatal(err)
	default:
	}
}

// progress waits until that many writes more were acknowledged.
func (p *provider) progress(t *testing.T, writes int64) {
	t.Helper()
	enough := p.acknowledged.Load() + writes
	eventually(t, "the provider makes no progress", func() bool {
		p.check(t)
		return p.acknowledged.Load() >= enough
	})
}

// eventually polls until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !so() {
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatal(what)
		}
	}
}

// An answer is what came back, at last.
type answer struct {
	status int
	header http.Header
	body   []byte
	// again: an earlier attempt was not answered, or with 503, and may have been
	// carried out all the same.
	again bool
}

// call sends a request until it is answered with anything but 503.
func (p *provider) call(ctx context.Context, method, path string, body any, header ...string) (*answer, error) {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	var again bool
	deadline := time.Now().Add(2 * patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		a, err := p.once(ctx, method, path, sent, header...)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil:
			p.unanswered.Add(1)
		case a.status == http.StatusServiceUnavailable:
			if err := checkUnavailable(a); err != nil {
				return nil, err
			}
			p.unavailable.Add(1)
		case a.status >= http.StatusInternalServerError:
			return nil, fmt.Errorf("%s %s: status %d: %s", method, path, a.status, a.body)
		default:
			a.again = again
			return a, nil
		}
		again = true
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s %s: no answer for long: %w", method, path, errors.Join(err, errors.New("see the log of the service")))
		}
		// Retry-After says seconds. It is a hint, and here time is short.
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// once sends a request once.
func (p *provider) once(ctx context.Context, method, path string, body []byte, header ...string) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.address()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/scim+json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it is read
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	return &answer{status: response.StatusCode, header: response.Header, body: got}, nil
}

// secrets are what an answer must not tell: of the database, of the network and
// of this machine.
var secrets = []string{
	"sql", "SQL", "pgx", "postgres", "scim_", "people", "SELECT", "INSERT", "dial", "connect", "conn ", "socket", "refused", "reset",
	"EOF", "127.0.0.1", "localhost", "database", "locked", "BUSY", "/tmp", "/shm", "user=", "driver",
}

// checkUnavailable checks how it is said that the store cannot be reached: RFC
// 9110 section 15.6.4, and the body of RFC 7644 section 3.12.
func checkUnavailable(a *answer) error {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return fmt.Errorf("503 with Retry-After %q, which is no number of seconds", a.header.Get("Retry-After"))
	}
	var body struct {
		Schemas        []string
		Status, Detail string
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return fmt.Errorf("503 with a body that is not JSON: %s", a.body)
	}
	if a.header.Get("Content-Type") != "application/scim+json" || body.Status != "503" || body.Detail == "" ||
		!slices.Equal(body.Schemas, []string{"urn:ietf:params:scim:api:messages:2.0:Error"}) {
		return fmt.Errorf("503 with a body that is not SCIM's: %s", a.body)
	}
	return checkDiscreet(a)
}

// checkDiscreet returns an error if an answer tells more than it must.
func checkDiscreet(a *answer) error {
	for _, secret := range secrets {
		if strings.Contains(string(a.body), secret) {
			return fmt.Errorf("an answer tells %q: %s", secret, a.body)
		}
	}
	return nil
}

// expect returns an error unless the status is one of these.
func (a *answer) expect(what string, status ...int) error {
	if !slices.Contains(status, a.status) {
		return fmt.Errorf("%s: status %d: %s", what, a.status, a.body)
	}
	return nil
}

// resource is what is read of any answer.
type resource struct {
	ID, UserName, ExternalID, DisplayName, Title string
	Active                                       bool
	Groups, Members                              []struct{ Value, Display string }
	Meta                                         struct{ Version string }
}

type listing struct {
	TotalResults int
	Resources    []resource
}

func (a *answer) resource() (r resource, err error) {
	err = json.Unmarshal(a.body, &r)
	return r, err
}

// lookup finds the id of what a filter selects, "" if there is nothing.
func (p *provider) lookup(ctx context.Context, endpoint, attribute, value string) (string, error) {
	a, err := p.call(ctx, http.MethodGet, endpoint+"?filter="+url.QueryEscape(attribute+" eq "+strconv.Quote(value)), nil)
	if err != nil {
		return "", err
	}
	if err := a.expect("lookup", http.StatusOK); err != nil {
		return "", err
	}
	var found listing
	if err := json.Unmarshal(a.body, &found); err != nil {
		return "", err
	}
	switch {
	case found.TotalResults != len(found.Resources) || len(found.Resources) > 1:
		return "", fmt.Errorf("lookup of %s %q: %s", attribute, value, a.body)
	case len(found.Resources) == 0:
		return "", nil
	}
	return found.Resources[0].ID, nil
}

// create sends a POST and, where that was carried out without an answer, looks
// for what it made. existed: it did, and its other attributes may be anything.
func (p *provider) create(ctx context.Context, endpoint, attribute, value string, body any) (id string, existed bool, err error) {
	a, err := p.call(ctx, http.MethodPost, endpoint, body)
	if err != nil {
		return "", false, err
	}
	if a.status == http.StatusConflict && a.again {
		p.found.Add(1)
		if id, err = p.lookup(ctx, endpoint, attribute, value); err == nil && id == "" {
			err = fmt.Errorf("%s %q exists, as the answer to POST says, and is not found", endpoint, value)
		}
		return id, true, err
	}
	if err := a.expect("create "+value, http.StatusCreated); err != nil {
		return "", false, err
	}
	r, err := a.resource()
	return r.ID, false, err
}

func (p *provider) createGroup(ctx context.Context, name string, members []string) (string, error) {
	body := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": name}
	if len(members) > 0 {
		body["members"] = valuesOf(members)
	}
	id, _, err := p.create(ctx, "/Groups", "displayName", name, body)
	return id, err
}

func valuesOf(ids []string) []map[string]string {
	var values []map[string]string
	for _, id := range ids {
		values = append(values, map[string]string{"value": id})
	}
	return values
}

// An operation is one of a PATCH.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path,omitempty"`
	Value any    `json:"value,omitempty"`
}

func (p *provider) patch(ctx context.Context, path string, operations ...operation) error {
	a, err := p.call(ctx, http.MethodPatch, path, map[string]any{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": operations,
	})
	if err != nil {
		return err
	}
	return a.expect("patch "+path, http.StatusOK, http.StatusNoContent)
}

func (p *provider) remove(ctx context.Context, path string) error {
	a, err := p.call(ctx, http.MethodDelete, path, nil)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound && a.again {
		return nil
	}
	return a.expect("delete "+path, http.StatusNoContent)
}

// A person is what a worker knows of a user: what was acknowledged.
type person struct {
	userName, externalID string

	id     string // "": there is no such user
	name   string
	active bool
	groups map[string]bool // by name
}

func (u *person) groupList() string {
	var names []string
	for name, in := range u.groups {
		if in {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// role is what the mapping gives.
func (u *person) role() string {
	switch {
	case !u.active:
		return ""
	case u.groups[groupNames[0]]:
		return "admin"
	case u.groups[groupNames[1]]:
		return "member"
	}
	return "viewer"
}

// A worker does one thing after another, to people who are its own and to
// groups that all workers share.
type worker struct {
	*provider

	random *rand.Rand
	name   string
	people []*person
	team   string // the id of a group of its own, "" while there is none
	given  int    // names given
	names  []string
}

// teamName is the name of the worker's own group.
func (w *worker) teamName() string { return "Team " + w.name }

// rename gives a person a name that nobody ever had.
func (w *worker) rename() string {
	w.given++
	name := fmt.Sprintf("%s name %d", w.name, w.given)
	w.names = append(w.names, name)
	return name
}

// step checks that what was acknowledged about somebody is there, and changes
// something.
func (w *worker) step(ctx context.Context) error {
	u := w.people[w.random.IntN(len(w.people))]
	if err := w.verify(ctx, u); err != nil {
		return err
	}
	err := w.change(ctx, u)
	if err == nil {
		w.acknowledged.Add(1)
	}
	return err
}

func (w *worker) verify(ctx context.Context, u *person) error {
	if u.id == "" {
		id, err := w.lookup(ctx, "/Users", "userName", u.userName)
		if err == nil && id != "" {
			err = fmt.Errorf("%s was deleted and is there", u.userName)
		}
		return err
	}
	a, err := w.call(ctx, http.MethodGet, "/Users/"+u.id, nil)
	if err != nil {
		return err
	}
	if err := a.expect("get "+u.userName, http.StatusOK); err != nil {
		return err
	}
	r, err := a.resource()
	if err != nil {
		return err
	}
	return u.compare(&r)
}

// compare returns an error if a user is not what was acknowledged.
func (u *person) compare(r *resource) error {
	var groups []string
	for _, g := range r.Groups {
		groups = append(groups, g.Display)
	}
	slices.Sort(groups)
	got := fmt.Sprint(r.ID, r.UserName, r.ExternalID, r.DisplayName, r.Active, groups)
	want := fmt.Sprint(u.id, u.userName, u.externalID, u.name, u.active, strings.FieldsFunc(u.groupList(), func(r rune) bool { return r == ',' }))
	if got != want {
		return fmt.Errorf("acknowledged was\n%s\nand there is\n%s", want, got)
	}
	return nil
}

// change does one thing that a provider does.
func (w *worker) change(ctx context.Context, u *person) error {
	if u.id == "" {
		return w.createUser(ctx, u)
	}
	const things = 100
	switch n := w.random.IntN(things); {
	case n < 25:
		return w.update(ctx, u, u.active)
	case n < 40:
		return w.update(ctx, u, !u.active)
	case n < 70:
		return w.move(ctx, groupNames[w.random.IntN(len(groupNames))], u)
	case n < 80:
		return w.move(ctx, groupNames[w.random.IntN(len(groupNames))], w.people...)
	case n < 90:
		return w.formTeam(ctx)
	}
	if err := w.remove(ctx, "/Users/"+u.id); err != nil {
		return err
	}
	u.id, u.name, u.active, u.groups = "", "", false, map[string]bool{}
	return nil
}

func (w *worker) createUser(ctx context.Context, u *person) error {
	name := w.rename()
	id, existed, err := w.create(ctx, "/Users", "userName", u.userName, map[string]any{
		"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User"},
		"userName": u.userName, "externalId": u.externalID, "displayName": name, "active": true,
		"emails": []map[string]any{{"value": u.userName, "type": "work", "primary": true}},
	})
	if err == nil && existed {
		err = w.patch(ctx, "/Users/"+id, operation{"replace", "displayName", name}, operation{"replace", "active", true})
	}
	if err != nil {
		return err
	}
	u.id, u.name, u.active, u.groups = id, name, true, map[string]bool{}
	return nil
}

// update changes two attributes at once, in a form of Okta's or Entra's.
func (w *worker) update(ctx context.Context, u *person, active bool) error {
	name := w.rename()
	operations := []operation{{"replace", "", map[string]any{"displayName": name, "active": active}}}
	if w.random.IntN(2) == 0 {
		operations = []operation{{"Replace", "displayName", name}, {"Replace", "active", map[bool]string{true: "True", false: "False"}[active]}}
	}
	if err := w.patch(ctx, "/Users/"+u.id, operations...); err != nil {
		return err
	}
	u.name, u.active = name, active
	return nil
}

// move lets people join a group who are not in it, and leave who are, all in
// one request.
func (w *worker) move(ctx context.Context, group string, people ...*person) error {
	var joining []string
	var operations []operation
	for _, u := range people {
		switch {
		case u.id == "":
		case u.groups[group]:
			operations = append(operations, operation{"remove", fmt.Sprintf("members[value eq %q]", u.id), nil})
		default:
			joining = append(joining, u.id)
		}
	}
	if len(joining) > 0 {
		operations = append(operations, operation{"add", "members", valuesOf(joining)})
	}
	if err := w.patch(ctx, "/Groups/"+w.groups[group], operations...); err != nil {
		return err
	}
	for _, u := range people {
		if u.id != "" {
			u.groups[group] = !u.groups[group]
		}
	}
	return nil
}

// formTeam makes a group of everybody who is there, or ends it.
func (w *worker) formTeam(ctx context.Context) error {
	name := w.teamName()
	if w.team != "" {
		if err := w.remove(ctx, "/Groups/"+w.team); err != nil {
			return err
		}
		w.team = ""
		for _, u := range w.people {
			u.groups[name] = false
		}
		return nil
	}
	var members []string
	for _, u := range w.people {
		if u.id != "" {
			members = append(members, u.id)
		}
	}
	id, err := w.createGroup(ctx, name, members)
	if err != nil {
		return err
	}
	w.team = id
	for _, u := range w.people {
		u.groups[name] = u.id != ""
	}
	return nil
}
