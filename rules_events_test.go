package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// jsonNumber is how an answer's numbers are decoded.
func jsonNumber(n int) any { return json.Number(fmt.Sprint(n)) }

// D3: the order of events within a request.

func TestD3OrderWithinARequest(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ids := []string{r.post("/Users", person("ada")), r.post("/Users", person("grace")), r.post("/Users", person("ken"))}
	r.forget()

	// A group that is created with members.
	group := r.post("/Groups", team("Engineers", ids...))
	events := r.happened(scim.GroupCreated, scim.MembershipAdded, scim.MembershipAdded, scim.MembershipAdded,
		scim.UserRolesChanged, scim.UserRolesChanged, scim.UserRolesChanged)
	sameCause(t, events)
	members := make([]string, 3)
	for i, e := range events[1:4] {
		members[i] = e.Member.Value
		assert.Equal(t, "User", e.Member.Type)
		assert.Equal(t, group, e.Subject().ID)
	}
	assert.ElementsMatch(t, ids, members)
	for i, e := range events[4:] {
		assert.Equal(t, ids[i], e.Subject().ID, "in order of id")
	}

	// A rename with a change of members.
	r.patch("/Groups/"+group, `{"op":"remove","path":"members[value eq \"`+ids[0]+`\"]"}`, replaceOp("displayName", `"Builders"`)).is(http.StatusOK)
	sameCause(t, r.happened(scim.GroupUpdated, scim.MembershipRemoved, scim.UserRolesChanged))

	// A user who leaves for good, then the group.
	r.do("DELETE", "/Users/"+ids[1], "").is(http.StatusNoContent)
	sameCause(t, r.happened(scim.UserDeleted, scim.MembershipRemoved))
	r.do("DELETE", "/Groups/"+group, "").is(http.StatusNoContent)
	sameCause(t, r.happened(scim.GroupDeleted, scim.MembershipRemoved, scim.UserRolesChanged))

	// A user alone.
	r.deactivate(ids[0])
	r.happened(scim.UserDeactivated)
}

func TestD3CreationLinkHoldAndRolesInOrder(t *testing.T) {
	t.Parallel()
	d := acme(scim.Policy{Domain: scim.GuestDomain})
	r := newManagedRig(t, mappedRoles(t), d, resolving(func(*scim.Account) scim.Resolution { return scim.Link("legacy") }))
	r.post("/Users", `{"userName":"eve@other.example"}`)
	sameCause(t, r.happened(scim.UserCreated, scim.UserLinked, scim.UserHeld, scim.UserRolesChanged))
}

// sameCause requires that events are of one request: neighbours in the
// sequence (rule D2 checked by events), with the same cause, actor and time.
func sameCause(t *testing.T, events []*scim.Event) {
	t.Helper()
	for _, e := range events {
		assert.NotZero(t, e.Request)
		assert.Equal(t, []any{events[0].Request, events[0].Time, "test", scim.Key{Tenant: "acme", Directory: "okta"}},
			[]any{e.Request, e.Time, e.Actor, e.Directory})
	}
}

// One request is one contiguous range, whoever else writes at the same time.
func TestD3ARequestIsAContiguousRange(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, mappedRoles(t), strictly(), nil)
	ids := []string{r.post("/Users", person("ada")), r.post("/Users", person("grace"))}
	r.forget()
	done := make(chan int)
	const clients, rounds = 4, 10
	for c := range clients {
		go func() {
			refused := 0
			for i := range rounds {
				if status := r.send("POST", "/Groups", team(fmt.Sprintf("Group %d of %d", i, c), ids...)); status != http.StatusCreated {
					refused++
				}
			}
			done <- refused
		}()
	}
	for range clients {
		assert.Zero(t, <-done)
	}
	events := r.events()
	require.Len(t, events, 3*clients*rounds)
	for three := range slices.Chunk(events, 3) {
		assert.Equal(t, scim.GroupCreated, three[0].Type)
		sameCause(t, three)
	}
}

func TestD3SequencesAreOfTheTenant(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	sister := newRuleRig(t, r.store, scim.NoRoles{}, &scim.Directory{Tenant: "acme", ID: "entra", Domains: []string{"acme.example"}}, r.clock, nil)
	stranger := newRuleRig(t, r.store, scim.NoRoles{}, &scim.Directory{Tenant: "globex", ID: "okta", Domains: []string{"acme.example"}}, r.clock, nil)
	for _, one := range []*ruleRig{r, stranger, sister, r} {
		one.post("/Groups", team(fmt.Sprint("Group ", len(one.app.last), " ", one.clock.Now().Unix())))
	}
	events := r.happened(scim.GroupCreated, scim.GroupCreated, scim.GroupCreated)
	assert.Equal(t, []string{"okta", "entra", "okta"}, []string{events[0].Directory.Directory, events[1].Directory.Directory, events[2].Directory.Directory})
	assert.Equal(t, "acme:3", events[2].ID())
	theirs, err := r.store.Events(context.Background(), "globex", 0, 10)
	require.NoError(t, err)
	require.Len(t, theirs, 1)
	assert.Equal(t, uint64(1), theirs[0].Seq)
}

func TestD3EventsCarryWhatChanged(t *testing.T) {
	t.Parallel()
	r := newManagedRig(t, scim.NoRoles{}, strictly(), nil)
	id := r.post("/Users", person("ada"))
	r.forget()
	r.set("/Users/"+id, "displayName", `"Ada"`)
	e := r.happened(scim.UserUpdated)[0]
	assert.Empty(t, e.Previous.User().DisplayName())
	assert.Equal(t, "Ada", e.Data.User().DisplayName())
	assert.Equal(t, scim.Version(2), e.Data.Version())
	assert.Equal(t, []scim.EventType{scim.UserUpdated}, r.logged().Changed)
	assert.Equal(t, e.Request, r.logged().ID)
}

// D4: what changes nothing is nothing.

// rich is a user with what a no-op has to be recognised in.
const rich = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
	"userName":"ada","externalId":"ext-ada","displayName":"Ada","active":true,"name":{"givenName":"Ada","familyName":"Lovelace"},
	"emails":[{"value":"ada@acme.example","type":"work","primary":true},{"value":"ada@home.example","type":"home"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines"}}`

func TestD4NoOps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, body string }{
		"PUT of the same": {"PUT", rich},
		"PUT in another order and case": {"PUT", `{"ACTIVE":true,"Emails":[{"TYPE":"home","value":"ada@home.example"},{"primary":true,"type":"work","value":"ada@acme.example"}],
			"URN:ietf:params:scim:schemas:extension:enterprise:2.0:user":{"Department":"Engines"},
			"name":{"FamilyName":"Lovelace","givenname":"Ada"},"displayname":"Ada","externalid":"ext-ada","username":"ada",
			"schemas":["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User","urn:ietf:params:scim:schemas:core:2.0:User"]}`},
		"PUT with null and empty": {"PUT", `{"userName":"ada","externalId":"ext-ada","displayName":"Ada","active":true,"nickName":null,"phoneNumbers":[],"title":null,
			"name":{"givenName":"Ada","familyName":"Lovelace","middleName":null},
			"emails":[{"value":"ada@acme.example","type":"work","primary":true,"display":null},{"value":"ada@home.example","type":"home"}],
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines","manager":null}}`},
		"PUT without active": {"PUT", `{"userName":"ada","externalId":"ext-ada","displayName":"Ada","name":{"givenName":"Ada","familyName":"Lovelace"},
			"emails":[{"value":"ada@acme.example","type":"work","primary":true},{"value":"ada@home.example","type":"home"}],
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines"}}`},
		"PUT with read-only attributes": {"PUT", `{"id":"another","meta":{"version":"W/\"99\"","resourceType":"User"},"groups":[{"value":"g"}],"userName":"ada","externalId":"ext-ada",
			"displayName":"Ada","active":true,"name":{"givenName":"Ada","familyName":"Lovelace"},
			"emails":[{"value":"ada@acme.example","type":"work","primary":true},{"value":"ada@home.example","type":"home"}],
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Engines"}}`},
		"replace with the same":         {"PATCH", patchBody(replaceOp("displayName", `"Ada"`), replaceOp("active", "true"))},
		"replace with a string of true": {"PATCH", patchBody(replaceOp("active", `"True"`))},
		"add what is there":             {"PATCH", patchBody(`{"op":"add","path":"emails","value":[{"value":"ada@home.example","type":"home"}]}`)},
		"remove what is not there":      {"PATCH", patchBody(`{"op":"remove","path":"nickName"}`)},
		"without path":                  {"PATCH", patchBody(`{"op":"replace","value":{"displayName":"Ada","name":{"givenName":"Ada"}}}`)},
		"there and back":                {"PATCH", patchBody(replaceOp("displayName", `"Countess"`), replaceOp("displayName", `"Ada"`))},
		"replace emails in another order": {"PATCH", patchBody(replaceOp("emails",
			`[{"value":"ada@home.example","type":"home"},{"value":"ada@acme.example","type":"work","primary":true}]`))},
		"replace nothing with nothing": {"PATCH", patchBody(replaceOp("phoneNumbers", "[]"), replaceOp("title", "null"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				id := r.post("/Users", rich)
				before := r.get("/Users/" + id)
				r.forget()
				after := r.do(c.method, "/Users/"+id, c.body).is(http.StatusOK)
				assert.Equal(t, before.body, after.body)
				assert.Equal(t, before.etag(), after.etag(), "no new version")
				assert.Equal(t, before.body, r.get("/Users/"+id).body, "nor another lastModified")
				if r.store == nil {
					return // there a retry heals what a crash left untold
				}
				r.toldNothing()
				r.happened()
				assert.Empty(t, r.logged().Changed)
			})
		})
	}
}

func TestD4NoOpsOfGroups(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		body   func(ada, grace string) string
		status int
	}{
		"PUT of the same":         {"PUT", func(ada, grace string) string { return team("Engineers", ada, grace) }, http.StatusOK},
		"PUT in another order":    {"PUT", func(ada, grace string) string { return team("Engineers", grace, ada) }, http.StatusOK},
		"PUT with a member twice": {"PUT", func(ada, grace string) string { return team("Engineers", grace, ada, grace) }, http.StatusOK},
		"add who is there": {"PATCH", func(ada, _ string) string {
			return patchBody(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q,"display":"Ada"}]}`, ada))
		}, http.StatusNoContent},
		"remove who is not": {"PATCH", func(string, string) string {
			return patchBody(`{"op":"remove","path":"members[value eq \"nobody\"]"}`)
		}, http.StatusNoContent},
		"replace with the same": {"PATCH", func(ada, grace string) string {
			return patchBody(fmt.Sprintf(`{"op":"replace","path":"members","value":[{"value":%q},{"value":%q}]}`, grace, ada))
		}, http.StatusNoContent},
		"in and out": {"PATCH", func(ada, _ string) string {
			return patchBody(`{"op":"remove","path":"members[value eq \"`+ada+`\"]"}`, `{"op":"add","path":"members","value":[{"value":"`+ada+`"}]}`)
		}, http.StatusNoContent},
		"the same name": {"PATCH", func(string, string) string { return patchBody(replaceOp("displayName", `"Engineers"`)) }, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				ada, grace := r.post("/Users", person("ada")), r.post("/Users", person("grace"))
				group := r.post("/Groups", team("Engineers", ada, grace))
				before := r.get("/Groups/" + group)
				r.forget()
				after := r.do(c.method, "/Groups/"+group, c.body(ada, grace)).is(c.status)
				assert.Equal(t, before.etag(), after.etag(), "no new version")
				assert.Equal(t, before.body, r.get("/Groups/"+group).body)
				if r.store == nil {
					return
				}
				r.toldNothing()
				r.happened()
			})
		})
	}
}

func TestD4WhatChangesSomethingIsSomething(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]string{
		"case of a value":  replaceOp("displayName", `"ADA"`),
		"type of an email": replaceOp(`emails[type eq "home"].type`, `"other"`),
		"removal":          `{"op":"remove","path":"name.givenName"}`,
		"extension":        replaceOp("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", `"Mills"`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
				id := r.post("/Users", rich)
				before := r.get("/Users/" + id)
				r.forget()
				after := r.patch("/Users/"+id, op).is(http.StatusOK)
				assert.NotEqual(t, before.etag(), after.etag())
				assert.NotEqual(t, before.at("/meta/lastModified"), after.at("/meta/lastModified"))
				assert.Equal(t, before.at("/meta/created"), after.at("/meta/created"))
				assert.Equal(t, scim.Updated, r.told().Change)
				if r.store != nil {
					r.happened(scim.UserUpdated)
				}
			})
		})
	}
}

// A version of a user covers what clients can write: its groups are not of it
// (rule E3a).
func TestD4AUsersVersionDoesNotChangeWithItsGroups(t *testing.T) {
	t.Parallel()
	onEveryStore(t, strictly, func(t *testing.T, r *ruleRig) {
		id := r.post("/Users", person("ada"))
		before := r.get("/Users/" + id)
		group := r.post("/Groups", team("Engineers", id))
		after := r.get("/Users/"+id).shows("/groups/0/value", group)
		assert.Equal(t, before.etag(), after.etag())
	})
}
