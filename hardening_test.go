package scim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// A failingApp fails when it is told to.
type failingApp struct {
	*hostApp
	fails atomic.Bool
}

func (a *failingApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	if a.fails.Load() {
		return "", errors.New("the application is down")
	}
	return a.hostApp.Provision(ctx, acc)
}

// newFailingRig is a plain store whose host can be made to fail.
func newFailingRig(t *testing.T) (*ruleRig, *failingApp) {
	t.Helper()
	app := &failingApp{hostApp: newHostApp()}
	r := newPlainRig(t, scim.NoRoles{}, acme(scim.Policy{}), func(c *scim.Config) { c.Provisioner = app })
	return r, app
}

// Without transactions nobody may keep an access because the host could not be
// told: the provider's retry finds the work undone and does it again.
func TestB6PlainStoreRevocationsSurviveAFailingHost(t *testing.T) {
	t.Parallel()
	r, app := newFailingRig(t)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	group := r.post("/Groups", team("Engineers", ada, grace))
	in := func(user string) int { return len(app.account(user).Groups) }
	require.Equal(t, 1, in(ada))

	again := func(method, path, body string, retried int) {
		t.Helper()
		app.fails.Store(true)
		r.do(method, path, body).is(http.StatusInternalServerError)
		app.fails.Store(false)
		r.do(method, path, body).is(retried)
	}
	again("PUT", "/Groups/"+group, team("Engineers", grace), http.StatusOK)
	assert.Zero(t, in(ada), "removed by a PUT")
	again("PATCH", "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, grace)), http.StatusNoContent)
	assert.Zero(t, in(grace), "removed by a PATCH")

	r.join(group, ada)
	r.join(group, grace)
	again("PUT", "/Groups/"+group, team("Builders", ada, grace), http.StatusOK)
	assert.Equal(t, "Builders", app.account(ada).Groups[0].DisplayName, "a rename")
	assert.Equal(t, "Builders", app.account(grace).Groups[0].DisplayName)
	again("DELETE", "/Groups/"+group, "", http.StatusNoContent)
	assert.Zero(t, in(ada), "the group is deleted")

	again("DELETE", "/Users/"+ada, "", http.StatusNoContent)
	assert.False(t, app.account(ada).Active, "the user is deleted")
	r.do("GET", "/Users/"+ada, "").is(http.StatusNotFound)
}

// A refusal changes nothing, also where group and members are one document.
func TestD5PlainStoreARefusedGroupIsNotHalfWritten(t *testing.T) {
	t.Parallel()
	r, _ := newFailingRig(t)
	ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
	body := func(name, external, member string) string {
		return fmt.Sprintf(`{"displayName":%q,"externalId":%q,"members":[{"value":%q}]}`, name, external, member)
	}
	r.post("/Groups", body("One", "x-1", ada))
	two := r.post("/Groups", body("Two", "x-2", ada))
	r.do("PUT", "/Groups/"+two, body("Two", "x-1", grace)).refused(http.StatusConflict, "uniqueness", "externalId")
	r.get("/Groups/"+two).shows("/members/0/value", ada)
	r.do("POST", "/Groups", body("Three", "x-1", grace)).refused(http.StatusConflict, "uniqueness")
	assert.Empty(t, r.find("/Groups", `displayName eq "Three"`))
}

// A PUT without active keeps what is stored, and what is stored may change
// between two attempts.
func TestQuirk96APutThatLosesARaceRevivesNobody(t *testing.T) {
	t.Parallel()
	store := &overtakenStore{naiveStore: newNaiveStore()}
	r := newRuleRig(t, store, scim.NoRoles{}, acme(scim.Policy{}), &steppingClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, nil)
	ada := r.post("/Users", person("ada"))
	store.before = func() { r.deactivate(ada) }
	r.do("PUT", "/Users/"+ada, strings.Replace(person("ada"), `"active":true`, `"title":"Countess"`, 1)).
		is(http.StatusOK).shows("/active", false)
	assert.False(t, r.app.account(ada).Active)
}

// A overtakenStore lets somebody else write before a Replace, once.
type overtakenStore struct {
	*naiveStore
	before func()
}

func (s *overtakenStore) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	if race := s.before; race != nil {
		s.before = nil
		race()
	}
	return s.naiveStore.Replace(ctx, r, was)
}

// Neither an approval nor a release gives an email to two people.
func TestA4ApprovalAndReleaseMindWhatOthersKeep(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{Email: scim.KeepEmail}), nil)
	ada, ben := r.post("/Users", person("ada")), r.post("/Users", person("ben"))
	r.set("/Users/"+ada, `emails[type eq "work"].value`, `"countess@acme.example"`) // ada@ is kept
	r.set("/Users/"+ben, `emails[type eq "work"].value`, `"ada@acme.example"`)      // ben@ is kept
	engine := r.scim.Engine()
	require.ErrorIs(t, engine.ApproveEmail(context.Background(), r.dir, ben), scim.ErrUniqueness)
	assert.Equal(t, "ben@acme.example", r.account(ben).Email)

	eve := r.post("/Users", strings.NewReplacer("ext-ada", "ext-eve", `"userName":"ada"`, `"userName":"eve"`, "ada@", "ben@").Replace(person("ada")))
	require.Contains(t, r.account(eve).Held, "still has this email")
	require.ErrorIs(t, engine.Release(context.Background(), r.dir, eve), scim.ErrUniqueness)
	assert.False(t, r.account(eve).Active)
}

// A second address of many people hides nobody's first, and a domain has two
// spellings.
func TestA7EveryHolderOfAnEmailIsFound(t *testing.T) {
	t.Parallel()
	d := acme(scim.Policy{})
	d.Domains = append(d.Domains, "bücher.example")
	r := newManagedRig(t, scim.NoRoles{}, d, nil)
	for i := range 150 {
		r.post("/Users", fmt.Sprintf(`{"userName":"u%d","emails":[{"value":"u%d@acme.example","primary":true},{"value":"team@acme.example"}]}`, i, i))
	}
	first := func(name, email string) string {
		return fmt.Sprintf(`{"userName":%q,"emails":[{"value":%q,"primary":true}]}`, name, email)
	}
	r.post("/Users", first("team", "team@acme.example"))
	r.do("POST", "/Users", first("other", "Team@acme.example")).refused(http.StatusConflict, "uniqueness", "emails.value")
	r.post("/Users", first("q", "q@bücher.example"))
	r.do("POST", "/Users", first("q2", "q@xn--bcher-kva.example")).refused(http.StatusConflict, "uniqueness", "emails.value")
	for _, f := range []string{
		`emails.value eq "q@xn--bcher-kva.example"`, `emails[type pr or value eq "Q@XN--BCHER-KVA.example"]`, `emails eq "q@bücher.example"`,
		`id pr and (userName eq "none" or emails.value eq "q@xn--bcher-kva.example")`, `userName sw "q" and not (emails.value eq "u@xn--bcher-kva.example")`,
	} {
		assert.Len(t, r.find("/Users", f), 1, f)
	}
	r.post("/Users", first("r@bücher.example", "r@acme.example"))
	r.do("POST", "/Users", first("R@xn--bcher-kva.example", "r2@acme.example")).refused(http.StatusConflict, "uniqueness", "userName")
	s := r.post("/Users", first("s", "s@acme.example"))
	r.patch("/Users/"+s, replaceOp("userName", `"r@xn--bcher-kva.example"`)).refused(http.StatusConflict, "uniqueness", "userName")
	r.set("/Users/"+s, "userName", `"s@bücher.example"`)
	r.set("/Users/"+s, "userName", `"s@xn--bcher-kva.example"`) // nobody is in one's own way
	assert.Len(t, r.find("/Users", `userName eq "R@xn--bcher-kva.example"`), 1)
	assert.NotContains(t, r.find("/Users", `not (emails.value eq "q@xn--bcher-kva.example")`), r.find("/Users", `userName eq "q"`)[0])
}

// A slip of form is no way around the check of the userName.
func TestA6AUserNameWithAnAtIsAnEmail(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), nil)
	for _, name := range []string{"victim@other.example ", "victim@x@other.example", "<victim@other.example>", "@other.example", "victim@"} {
		r.do("POST", "/Users", fmt.Sprintf(`{"userName":%q,"emails":[{"value":"ada@acme.example"}]}`, name)).
			refused(http.StatusBadRequest, "invalidValue", "userName")
	}
}

// D8: the line of a write that committed says which tolerances it needed, and
// that of a refusal how long it took.
func TestD8TheLogSaysWhatFired(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), func(c *scim.Config) {
		clock := &steppingClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		c.Now = func() time.Time { clock.step(); return clock.Now() }
	})
	ada := r.post("/Users", person("ada"))
	r.do("PATCH", "/Users/"+ada, patchBody(`{"op":"Replace","path":"active","value":"False"}`)).is(http.StatusOK)
	assert.Subset(t, r.logged().Fired.Names(), []string{"operation-case", "string-boolean"})
	r.do("PATCH", "/Users/"+ada, patchBody(`{"op":"replace","path":"userName","value":null}`)).is(http.StatusBadRequest)
	assert.Positive(t, r.logged().Duration)
}

// What the host does with an account changes neither the answer nor what
// Committed is told.
func TestAccountIsTheHostsToKeep(t *testing.T) {
	t.Parallel()
	app := &scribblingApp{}
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), func(c *scim.Config) { c.Provisioner = app })
	ada := r.post("/Users", person("ada"))
	r.post("/Groups", team("Engineers", ada))
	r.set("/Users/"+ada, "title", `"Countess"`).shows("/groups/0/display", "Engineers")
	require.NotEmpty(t, app.committed.Groups)
	assert.Equal(t, "Engineers", app.committed.Groups[0].DisplayName)
	assert.Positive(t, app.committed.Seq)
}

type scribblingApp struct{ committed *scim.Account }

func (*scribblingApp) Provision(_ context.Context, a *scim.Account) (string, error) {
	for i := range a.Groups {
		a.Groups[i].DisplayName = "scribble"
	}
	return "", nil
}

func (app *scribblingApp) Committed(_ context.Context, a *scim.Account) error {
	app.committed = a
	return nil
}

// Every member of a deleted group has left it, groups too, and a deleted group
// has left the groups that it was in.
func TestD3EventsOfNestedGroups(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), nil)
	ada := r.post("/Users", person("ada"))
	inner := r.post("/Groups", team("Inner", ada))
	outer := r.post("/Groups", team("Outer", inner, ada))
	r.forget()
	r.do("DELETE", "/Groups/"+inner, "").is(http.StatusNoContent)
	events := r.happened(scim.GroupDeleted, scim.MembershipRemoved, scim.MembershipRemoved)
	assert.Equal(t, ada, events[1].Member.Value)
	assert.Equal(t, outer, events[2].Data.ID())
	assert.Equal(t, inner, events[2].Member.Value)

	inner = r.post("/Groups", team("Inner again"))
	r.join(outer, inner)
	r.forget()
	r.do("DELETE", "/Groups/"+outer, "").is(http.StatusNoContent)
	r.happened(scim.GroupDeleted, scim.MembershipRemoved, scim.MembershipRemoved)
}

// A large group is sent as it is read, and is whole; where reading fails in the
// middle, the client does not take what it has for the group.
func TestLargeGroupsAreSentAsTheyAreRead(t *testing.T) {
	t.Parallel()
	store := &brittleStore{Ledger: newManaged(scim.CoreTypes(), nil)}
	r := newRig(t, store, scim.NoRoles{}, acme(scim.Policy{}), nil)
	server := httptest.NewServer(r)
	defer server.Close()
	call := func(method, path, body string) (status int, header http.Header, answer []byte, err error) {
		q, err := http.NewRequestWithContext(context.Background(), method, server.URL+conversationBase+path, strings.NewReader(body))
		require.NoError(t, err)
		q.Header.Set("Authorization", "Bearer "+testToken)
		a, err := http.DefaultClient.Do(q)
		require.NoError(t, err)
		defer a.Body.Close()
		answer, err = io.ReadAll(a.Body)
		return a.StatusCode, a.Header, answer, err
	}
	const many = 1500
	members := make([]string, many)
	for i := range members {
		_, header, _, err := call(http.MethodPost, "/Users", person(fmt.Sprintf("u%d", i)))
		require.NoError(t, err)
		_, members[i], _ = strings.Cut(header.Get("Location"), "/Users/")
	}
	status, header, body, err := call(http.MethodPost, "/Groups", team("Many", members...))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status)
	_, id, _ := strings.Cut(header.Get("Location"), "/Groups/")
	var group struct {
		DisplayName string
		Members     []struct{ Value string }
		Meta        struct{ Version string }
	}
	require.NoError(t, json.Unmarshal(body, &group))
	require.Len(t, group.Members, many)
	require.Equal(t, header.Get("Etag"), group.Meta.Version)

	_, _, body, err = call(http.MethodGet, "/Groups/"+id, "")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(body, &group))
	require.Len(t, group.Members, many)

	store.breaksAfter = many / 2
	_, _, body, err = call(http.MethodGet, "/Groups/"+id, "")
	require.Error(t, err, "the connection ends before the answer does")
	require.False(t, json.Valid(body))
	store.breaksAfter = 1 // before anything is sent
	status, header, body, err = call(http.MethodGet, "/Groups/"+id, "")
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, status)
	require.Empty(t, header.Get("Etag"))
	require.Contains(t, string(body), `"status":"500"`)
}

// A brittleStore fails after some members.
type brittleStore struct {
	scim.Ledger
	breaksAfter int
}

func (s *brittleStore) Members(ctx context.Context, group scim.Ref) iter.Seq2[scim.Member, error] {
	return func(yield func(scim.Member, error) bool) {
		n := 0
		for m, err := range s.Ledger.Members(ctx, group) {
			if n++; n == s.breaksAfter {
				yield(scim.Member{}, errors.New("the disk is gone"))
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// Without transactions people are told around a write; Committed comes once.
func TestB6PlainStoreCommittedOnceARequest(t *testing.T) {
	t.Parallel()
	app := &countingApp{}
	r := newPlainRig(t, scim.NoRoles{}, acme(scim.Policy{}), func(c *scim.Config) { c.Provisioner = app })
	ada := r.post("/Users", person("ada"))
	group := r.post("/Groups", team("Engineers", ada))
	parent := r.post("/Groups", team("Everybody", group))
	app.committed = nil
	r.leave(group, ada)
	require.Equal(t, []string{ada}, app.committed)
	r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
	require.Equal(t, absent, r.get("/Groups/"+parent).at("/members"), "a deleted group is nobody's member")
}

type countingApp struct{ committed []string }

func (*countingApp) Provision(context.Context, *scim.Account) (string, error) { return "", nil }

func (a *countingApp) Committed(_ context.Context, account *scim.Account) error {
	a.committed = append(a.committed, account.ID)
	return nil
}

// A racedStore is a plain store in which somebody else changes a resource right
// before its first Replace.
type racedStore struct {
	*naiveStore
	meanwhile func(r *scim.Resource) *scim.Resource
}

func (s *racedStore) Replace(ctx context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	if change := s.meanwhile; change != nil {
		s.meanwhile = nil
		now, err := s.Get(ctx, r.Ref(), scim.GetOptions{})
		if err != nil {
			return nil, err
		}
		if _, err := s.naiveStore.Replace(ctx, change(now), now.Version()); err != nil {
			return nil, err
		}
	}
	return s.naiveStore.Replace(ctx, r, was)
}

// RFC 7644 section 3.5.1: a PUT keeps what the service provider says of a
// resource as it is when the PUT happens. Where it has to be done again because
// another write came between, what the first attempt kept is not kept on.
func TestRFC7644_3_5_1_PutKeepsNothingOfALostAttempt(t *testing.T) {
	t.Parallel()
	store := &racedStore{naiveStore: newNaiveStore()}
	w := newWorld(t, store, nil)
	ada := w.addUser(t, ours, "ada@example.com", "")
	path := "/Users/" + ada
	is := func(more map[string]string) *scim.Resource {
		b := scim.CoreTypes().New(ours.Key(), "User").ID(ada).Set("userName", "ada@example.com").Set("emails", []map[string]any{{"value": "ada@example.com", "primary": true}})
		b.Set(enterpriseURN+":manager", more)
		r, err := b.Resource()
		require.NoError(t, err)
		return r
	}
	ref := scim.Ref{Directory: ours.Key(), Type: "User", ID: ada}
	now, err := store.Get(t.Context(), ref, scim.GetOptions{})
	require.NoError(t, err)
	_, err = store.Replace(t.Context(), is(map[string]string{"value": "eve", "displayName": "Eve"}), now.Version())
	require.NoError(t, err)
	store.meanwhile = func(*scim.Resource) *scim.Resource { return is(map[string]string{"value": "eve"}) }
	a := ask{method: "PUT", target: path, body: `{"schemas":["` + userURN + `"],"userName":"ada@example.com","title":"Countess","emails":[{"value":"ada@example.com","primary":true}],"` + enterpriseURN + `":{"manager":{"value":"eve"}}}`}.do(t, w).must(t, http.StatusOK)
	require.Nil(t, store.meanwhile, "there were two attempts")
	require.Equal(t, "Countess", a.text("/title"))
	require.Equal(t, "eve", a.text(managerOf))
	require.False(t, a.has("/"+enterpriseURN+"/manager/displayName"), "%s", a.Body)
}
