package scim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/elimity-com/scim/schema"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// bulkRequest writes a bulk request of operations in JSON. more is JSON members
// with a comma before them.
func bulkRequest(more string, operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(operations, ",") + `]` + more + `}`
}

// postUser writes an operation that creates a user. more is JSON members with a
// comma before them.
func postUser(bulkID, name, more string) string {
	return `{"method":"POST","path":"/Users","bulkId":` + quoted(bulkID) + `,"data":{"schemas":[` + quoted(userURN) + `],
		"userName":` + quoted(name+"@example.com") + more + `}}`
}

// postGroup writes an operation that creates a group of the members.
func postGroup(bulkID, name string, members ...string) string {
	values := []string{}
	for _, m := range members {
		values = append(values, `{"value":`+quoted(m)+`}`)
	}
	return `{"method":"POST","path":"/Groups","bulkId":` + quoted(bulkID) + `,"data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],
		"displayName":` + quoted(name) + `,"members":[` + strings.Join(values, ",") + `]}}`
}

// manager is a manager for the extension of a user.
func manager(value string) string {
	return `,"` + enterpriseURN + `":{"employeeNumber":"7","manager":{"value":` + quoted(value) + `}}`
}

const managerOf = "/" + enterpriseURN + "/manager/value"

// operation writes an operation; data may be empty.
func operation(method, path, data string) string {
	s := `{"method":` + quoted(method) + `,"path":` + quoted(path)
	if data != "" {
		s += `,"data":` + data
	}
	return s + `}`
}

// A result is what became of one operation.
type result struct {
	Method, BulkID, Location, Version, Status, Type, Detail string
}

// id returns the last segment of the location.
func (r result) id() string { return r.Location[strings.LastIndexByte(r.Location, '/')+1:] }

// results returns the results of a bulk request that was done, after checking
// what RFC 7644 section 3.7 requires of each.
func (a *response) results(t testing.TB) []result {
	t.Helper()
	a.must(t, http.StatusOK)
	require.Equal(t, []any{"urn:ietf:params:scim:api:messages:2.0:BulkResponse"}, a.doc["schemas"])
	require.NotContains(t, a.doc, "failOnErrors", "not valid in a response")
	list, ok := a.doc["Operations"].([]any)
	require.True(t, ok, a.Body)
	all := []result{}
	for _, o := range list {
		doc := o.(map[string]any)
		get := func(pointer string) string {
			s, _ := resolve(o, pointer).(string)
			return s
		}
		r := result{get("/method"), get("/bulkId"), get("/location"), get("/version"), get("/status"), get("/response/scimType"), get("/response/detail")}
		all = append(all, r)
		if strings.HasPrefix(r.Status, "2") {
			require.NotContains(t, doc, "response")
			require.Equal(t, r.Method != http.MethodDelete, r.Version != "", a.Body)
			require.NotEmpty(t, r.Location, a.Body)
			continue
		}
		require.Equal(t, []any{errorURN}, resolve(o, "/response/schemas"))
		require.Equal(t, r.Status, get("/response/status"))
		require.NotEmpty(t, r.Detail, "an error says what is wrong")
		if r.Type != "" {
			require.Contains(t, scimTypes, r.Type)
		}
	}
	return all
}

// bulk makes a bulk request in our directory.
func (w *world) bulk(t testing.TB, body string) []result {
	t.Helper()
	return ask{method: "POST", target: "/Bulk", body: body}.do(t, w).results(t)
}

// outcomes returns the statuses of the results.
func outcomes(results []result) (all []string) {
	for _, r := range results {
		all = append(all, r.Status)
	}
	return all
}

// membersIn returns the ids of a group's members, sorted.
func (w *world) membersIn(t testing.TB, group string) []string {
	t.Helper()
	ids := []string{}
	members, _ := w.get(t, "/Groups/"+group).must(t, http.StatusOK).doc["members"].([]any)
	for _, m := range members {
		ids = append(ids, m.(map[string]any)["value"].(string))
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids ...string) []string {
	slices.Sort(ids)
	return ids
}

// Section 3.7.1, the example: two groups that are members of each other. What
// completes the first of them is a change that events show.
func TestRFC7644Section3_7_1CircularReferences(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		group := func(bulkID, name, member string) string {
			return `{"method": "POST", "path": "/Groups", "bulkId": "` + bulkID + `", "data": {
				"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "` + name + `",
				"members": [{"type": "Group", "value": "bulkId:` + member + `"}]}}`
		}
		results := w.bulk(t, bulkRequest("", group("qwerty", "Group A", "ytrewq"), group("ytrewq", "Group B", "qwerty")))
		require.Equal(t, []string{"201", "201"}, outcomes(results))
		list := w.get(t, `/Groups?filter=displayName%20sw%20%27Group%27`)
		if list.Code != http.StatusOK { // the example writes the literal in quotes that section 3.4.2.2 does not have
			list = w.get(t, `/Groups?filter=displayName%20sw%20%22Group%22`)
		}
		require.Len(t, list.resources(t), 2)
		a, b := results[0], results[1]
		for _, pair := range [][2]result{{a, b}, {b, a}} {
			group := w.get(t, "/Groups/"+pair[0].id()).must(t, http.StatusOK)
			require.Equal(t, pair[1].id(), group.text("/members/0/value"))
			if _, ok := w.store.(scim.MemberStore); ok {
				require.Equal(t, pair[1].Location, group.text("/members/0/$ref"))
			}
			require.Equal(t, "Group", group.text("/members/0/type"))
			require.Equal(t, pair[0].Version, group.Header().Get("Etag"), "the version is that of the completed resource")
			require.Equal(t, pair[0].Location, group.text("/meta/location"))
		}

		var lines []string
		for _, e := range w.logged() {
			if e.Bulk != 0 {
				lines = append(lines, fmt.Sprint(e.Method, " ", e.Path, " ", e.Status))
			}
		}
		require.Equal(t, []string{"POST /Groups 201", "POST /Groups 201", "PATCH /Groups/" + a.id() + " 204"}, lines)
		if ledger, ok := w.store.(scim.Ledger); ok {
			var happened []string
			for _, e := range eventsOf(t, ledger, ours.Tenant) {
				happened = append(happened, fmt.Sprint(e.Type, " ", e.Subject().ID, " ", e.Member.Value))
			}
			require.Equal(t, []string{
				"group.created " + a.id() + " ", "group.created " + b.id() + " ",
				"membership.added " + b.id() + " " + a.id(), "membership.added " + a.id() + " " + b.id(),
			}, happened)
		}
		w.consistent(t, ours)
	})
}

// Section 3.7.2, both examples, with the emails that rule A2 asks for.
func TestRFC7644Section3_7_2BulkIDs(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		const alice = `{"method": "POST", "path": "/Users", "bulkId": "qwerty", "data": {
			"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Alice", "emails": [{"value": "alice@example.com"}]}}`
		results := w.bulk(t, bulkRequest("", alice, `{"method": "POST", "path": "/Groups", "bulkId": "ytrewq", "data": {
			"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Tour Guides",
			"members": [{"type": "User", "value": "bulkId:qwerty"}]}}`))
		require.Equal(t, []string{"201", "201"}, outcomes(results))
		require.Equal(t, []string{"qwerty", "ytrewq"}, []string{results[0].BulkID, results[1].BulkID})
		group := w.get(t, "/Groups/"+results[1].id()).must(t, http.StatusOK)
		require.Equal(t, "Tour Guides", group.text("/displayName"))
		require.Equal(t, results[0].id(), group.text("/members/0/value"))
		if _, ok := w.store.(scim.MemberStore); ok {
			require.Equal(t, results[0].Location, group.text("/members/0/$ref"))
		}
		require.Equal(t, results[1].Version, group.Header().Get("Etag"))
		require.Equal(t, []string{"role-" + results[1].id()}, w.app.account(results[0].id()).RoleNames(), "the application is told")
	})
	onWorlds(t, func(t *testing.T, w *world) {
		const alice = `{"method": "POST", "path": "/Users", "bulkId": "qwerty", "data": {
			"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Alice", "emails": [{"value": "alice@example.com"}]}}`
		results := w.bulk(t, bulkRequest("", alice, `{"method": "POST", "path": "/Users", "bulkId": "ytrewq", "data": {
			"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
			"userName": "Bob", "emails": [{"value": "bob@example.com"}],
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "11250", "manager": {"value": "bulkId:qwerty"}}}}`))
		require.Equal(t, []string{"201", "201"}, outcomes(results))
		bob := w.get(t, "/Users/"+results[1].id()).must(t, http.StatusOK)
		require.Equal(t, results[0].id(), bob.text(managerOf))
		require.Equal(t, "11250", bob.text("/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/employeeNumber"))
	})
}

// Section 3.7.3, the examples of one request and its three answers: all of it
// is done, the first operation fails and ends it, all of it fails. The data of
// the PATCH is written as section 3.5.2 has it; the example's is no JSON.
func TestRFC7644Section3_7_3Results(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		users := map[string]string{}
		tags := map[string]string{}
		for _, name := range []string{"bob", "dave", "eve"} {
			a := ask{method: "POST", target: "/Users", body: `{"userName":"` + name + `@example.com","nickName":"x"}`}.do(t, w).must(t, http.StatusCreated)
			users[name], tags[name] = a.text("/id"), a.Header().Get("Etag")
		}
		request := func(email string, failOnErrors string) string {
			return bulkRequest(failOnErrors,
				`{"method":"POST","path":"/Users","bulkId":"qwerty","data":{"schemas": ["urn:ietf:params:scim:api:messages:2.0:User"],
					"userName":"Alice"`+email+`}}`,
				`{"method":"PUT","path":"/Users/`+users["bob"]+`","version":`+quoted(tags["bob"])+`,"data":{
					"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"`+users["bob"]+`","userName":"Bob","emails":[{"value":"bob@example.com"}]}}`,
				`{"method": "PATCH","path": "/Users/`+users["dave"]+`","version": `+quoted(tags["dave"])+`,"data": {"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
					"Operations":[{"op": "remove","path": "nickName"},{"op": "add","path": "displayName","value": "Dave"}]}}`,
				`{"method":"DELETE","path":"/Users/`+users["eve"]+`","version":`+quoted(tags["eve"])+`}`)
		}

		before := w.fingerprint(t)
		const noEmail = ""
		results := w.bulk(t, request(noEmail, `,"failOnErrors":1`))
		require.Len(t, results, 1, "processing stops after one error")
		require.Equal(t, "400", results[0].Status)
		require.Equal(t, "qwerty", results[0].BulkID)
		require.Empty(t, results[0].Location, "a failed POST has no location")
		require.Equal(t, before, w.fingerprint(t))

		const hers = `,"emails":[{"value":"alice@example.com"}]`
		results = w.bulk(t, request(hers, `,"failOnErrors":1`))
		require.Equal(t, []string{"201", "200", "200", "204"}, outcomes(results))
		base := "http://example.com" + conversationBase + "/Users/"
		for i, name := range []string{"", "bob", "dave", "eve"} {
			require.Equal(t, []string{"POST", "PUT", "PATCH", "DELETE"}[i], results[i].Method)
			if i > 0 {
				require.Equal(t, base+users[name], results[i].Location)
			}
			if i < 3 {
				require.Equal(t, w.get(t, "/Users/"+results[i].id()).must(t, http.StatusOK).Header().Get("Etag"), results[i].Version)
			}
		}
		require.Equal(t, "Bob", w.get(t, "/Users/"+users["bob"]).text("/userName"))
		dave := w.get(t, "/Users/"+users["dave"])
		require.Equal(t, "Dave", dave.text("/displayName"))
		require.False(t, dave.has("/nickName"))
		w.get(t, "/Users/"+users["eve"]).refused(t, http.StatusNotFound, "")

		before = w.fingerprint(t)
		results = w.bulk(t, request(hers, ""))
		require.Equal(t, []string{"409", "412", "412", "404"}, outcomes(results))
		require.Equal(t, []string{"", base + users["bob"], base + users["dave"], base + users["eve"]},
			[]string{results[0].Location, results[1].Location, results[2].Location, results[3].Location}, "a location for all but a failed POST")
		require.Equal(t, before, w.fingerprint(t))
	})
}

// Section 3.7: failOnErrors is the number of errors that end it; what was done
// before is answered, what was not is not. Without it all is done.
func TestRFC7644Section3_7FailOnErrors(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		round := 0
		for _, c := range []struct {
			failOnErrors string
			processed    int // of ten operations, every other of which fails
		}{
			{``, 10},
			{`,"failOnErrors":null`, 10},
			{`,"failOnErrors":1`, 2},
			{`,"failOnErrors":2`, 4},
			{`,"FAILONERRORS":"3"`, 6},
			{`,"failOnErrors":5`, 10},
			{`,"failOnErrors":6`, 10},
			{`,"failOnErrors":99999999999999999999`, 10},
		} {
			round++
			var operations []string
			for i := range 10 {
				name := fmt.Sprintf("u%d-%d", round, i)
				if i%2 == 1 {
					name = fmt.Sprintf("u%d-%d", round, i-1) // taken
				}
				operations = append(operations, postUser(fmt.Sprint(i), name, ""))
			}
			w.logged()
			results := w.bulk(t, bulkRequest(c.failOnErrors, operations...))
			require.Len(t, results, c.processed, c.failOnErrors)
			for i, r := range results {
				require.Equal(t, []string{"201", "409"}[i%2], r.Status)
				require.Equal(t, fmt.Sprint(i), r.BulkID)
			}
			log := w.logged()
			require.Len(t, log, c.processed+1)
			if c.processed < 10 {
				require.Equal(t, fmt.Sprintf("%d of 10 operations were done: it stopped after %d errors, as failOnErrors asks", c.processed, c.processed/2), log[c.processed].Detail)
			} else {
				require.Empty(t, log[c.processed].Detail)
			}
			require.Len(t, w.filtered(t, "/Users", fmt.Sprintf(`userName sw "u%d-"`, round)), (c.processed+1)/2, "what was not done has not happened")
		}
	})
}

// Section 3.7.4: both limits are announced, and named where they are exceeded;
// nothing of such a request is done.
func TestRFC7644Section3_7_4Limits(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, open(), func(c *scim.Config) {
				c.Limits = scim.Limits{BulkOperations: 3, BulkBody: 4000, Body: 1000, GroupBody: 1000}
			})
			config := w.get(t, "/ServiceProviderConfig").must(t, http.StatusOK)
			require.Equal(t, `{"maxOperations":3,"maxPayloadSize":4000,"supported":true}`, quoted(config.doc["bulk"]))
			before := w.fingerprint(t)
			post := func(body string) *response { return ask{method: "POST", target: "/Bulk", body: body}.do(t, w) }
			four := []string{postUser("1", "a", ""), postUser("2", "b", ""), postUser("3", "c", ""), postUser("4", "d", "")}
			require.Contains(t, post(bulkRequest("", four...)).refused(t, http.StatusRequestEntityTooLarge, "").text("/detail"), "maxOperations (3)")
			large := bulkRequest("", postUser("1", "a", ""))
			large += strings.Repeat(" ", 4001-len(large))
			require.Contains(t, post(large).refused(t, http.StatusRequestEntityTooLarge, "").text("/detail"), "maxPayloadSize (4000 bytes)")
			unannounced := ask{method: "POST", target: "/Bulk"}.request(t, strings.NewReader(large))
			unannounced.ContentLength = -1
			serve(t, w, unannounced).refused(t, http.StatusRequestEntityTooLarge, "")
			require.Equal(t, before, w.fingerprint(t))

			w.get(t, "/Users").must(t, http.StatusOK)
			require.Equal(t, []string{"201"}, outcomes(post(large[:4000]).results(t)), "a request of exactly the limit is done")
			require.Equal(t, []string{"201", "201", "201"}, outcomes(w.bulk(t, bulkRequest("", four[1:]...))))
			for _, endpoint := range []string{"/Users", "/Groups"} {
				results := w.bulk(t, bulkRequest("", `{"method":"POST","path":"`+endpoint+`","bulkId":"x","data":{"userName":"`+strings.Repeat("x", 1000)+`"}}`))
				require.Equal(t, []string{"413"}, outcomes(results), "one operation is bounded like one request")
				require.Contains(t, results[0].Detail, "1000 bytes")
			}
		})
	}
	w := newWorld(t, stores["memstore"](), nil)
	config := w.get(t, "/ServiceProviderConfig")
	require.Equal(t, `{"maxOperations":1000,"maxPayloadSize":8388608,"supported":true}`, quoted(config.doc["bulk"]))
	_, err := scim.NewHandler(newNaiveStore(), scim.NoRoles{}, scim.AuthenticatorFunc(nil), &scim.Config{Limits: scim.Limits{BulkOperations: -1}})
	require.Error(t, err)
	_, err = scim.NewHandler(newNaiveStore(), scim.NoRoles{}, scim.AuthenticatorFunc(nil), &scim.Config{Limits: scim.Limits{BulkBody: -1}})
	require.Error(t, err)
}

// Section 3.7: what refers to a later operation waits for it, the later
// operations on the same resource with it, and the answer keeps the order of
// the request.
func TestRFC7644Section3_7_2ReferencesForward(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		existing := w.addGroup(t, ours, "existing", "")
		member := func(id string) string { return onePatch("add", "members", `[{"value":"`+id+`"}]`) }
		results := w.bulk(t, bulkRequest("",
			postGroup("g", "forward", "bulkId:a", "bulkId:b"),
			operation("PATCH", "/Groups/"+existing, member("bulkId:b")),
			operation("PUT", "/Groups/"+existing, `{"displayName":"existing","members":[]}`),
			operation("PATCH", "/Users/bulkId:b", onePatch("replace", "displayName", `"B"`)),
			postUser("a", "a", manager("bulkId:b")),
			postUser("b", "b", ""),
			operation("PATCH", "/Groups/bulkId:g", onePatch("remove", "members", `[{"value":"bulkId:a"}]`)),
			operation("PATCH", "/Users/bulkId:a", onePatch("replace", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", `{"value":"bulkId:a"}`)),
			operation("DELETE", "/Users/bulkId:c", ""),
			postUser("c", "c", ""),
		))
		require.Equal(t, []string{"201", "204", "200", "200", "201", "201", "204", "200", "204", "201"}, outcomes(results))
		a, b := results[4].id(), results[5].id()
		require.Equal(t, []string{b}, w.membersIn(t, results[0].id()), "both, and one of them removed")
		require.Empty(t, w.membersIn(t, existing), "the PUT was sent after the PATCH, and waits with it")
		require.Equal(t, "B", w.get(t, "/Users/"+b).text("/displayName"))
		require.Equal(t, a, w.get(t, "/Users/"+a).text(managerOf))
		w.get(t, "/Users/"+results[9].id()).refused(t, http.StatusNotFound, "")
		require.Equal(t, results[9].Location, results[8].Location, "the location of what a reference in the path means")
		w.consistent(t, ours)

		// Without references, the order is that of the request.
		id := w.addUser(t, ours, "ada@example.com", "")
		results = w.bulk(t, bulkRequest("", operation("DELETE", "/Users/"+id, ""), postUser("x", "ada", ""), operation("DELETE", "/Users/"+id, "")))
		require.Equal(t, []string{"204", "201", "404"}, outcomes(results))
	})
}

// A reference is a whole JSON string, however it is escaped; in what a client
// cannot write, or no schema has, it means nothing.
func TestRFC7644Section3_7_2WhatAReferenceIs(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		results := w.bulk(t, bulkRequest("",
			postUser(`a"\é`, "a", `,"groups":[{"value":"bulkId:g"}],"unheardOf":{"x":["bulkId:nobody"]},"displayName":"about bulkId:g","id":"bulkId:nobody","nickName":"\\\"\n"`),
			`{"method":"POST","path":"/Groups","bulkId":"g","data":{"displayName":"g","members":[{"value":"\u0062ulkId:a\"\\\u00e9"}]}}`,
		))
		require.Equal(t, []string{"201", "201"}, outcomes(results))
		require.Equal(t, []string{results[0].id()}, w.membersIn(t, results[1].id()))
		user := w.get(t, "/Users/"+results[0].id())
		require.Equal(t, "about bulkId:g", user.text("/displayName"))
		require.Equal(t, "\\\"\n", user.text("/nickName"))
		for _, e := range w.logged() {
			require.NotEqual(t, http.MethodPatch, e.Method, "groups of a user are read-only, so there is no circle")
		}
	})
}

// referring are the core types and one whose references are of all shapes: a
// required one, a plain one, one that can be set once, lists, a complex one.
func referring(t testing.TB) *scim.Types {
	t.Helper()
	to := func(name string, required, list bool, m schema.AttributeMutability) schema.CoreAttribute {
		return schema.SimpleCoreAttribute(schema.SimpleReferenceParams(schema.ReferenceParams{
			Name: name, Required: required, MultiValued: list, Mutability: m, ReferenceTypes: []schema.AttributeReferenceType{"Project"},
		}))
	}
	write := schema.AttributeMutabilityReadWrite()
	project, err := attr.NewType("Project", "/Projects", "", schema.Schema{ID: "urn:example:2.0:Project", Attributes: schema.Attributes{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "name"})),
		to("parent", false, false, write), to("origin", false, false, schema.AttributeMutabilityImmutable()), to("related", false, true, write),
		schema.ComplexCoreAttribute(schema.ComplexParams{Name: "lead", SubAttributes: []schema.SimpleParams{
			schema.SimpleStringParams(schema.StringParams{Name: "value"}), schema.SimpleStringParams(schema.StringParams{Name: "note"}),
		}}),
	}})
	require.NoError(t, err)
	task, err := attr.NewType("Task", "/Tasks", "", schema.Schema{ID: "urn:example:2.0:Task", Attributes: schema.Attributes{
		to("project", true, false, write), to("after", false, false, write),
	}})
	require.NoError(t, err)
	core := scim.CoreTypes().All()
	types, err := scim.NewTypes(core[0].Type, core[1].Type, project, task)
	require.NoError(t, err)
	return types
}

// Sections 3.7.1 and 3.7.2: references of custom types are resolved as those of
// the core are. A circle is opened where it can be, and a 409 where it cannot.
func TestRFC7644Section3_7_1CustomTypes(t *testing.T) {
	types := referring(t)
	for name, open := range map[string]func() scim.Store{
		"memstore": func() scim.Store { return newManaged(types, nil) }, "naive": func() scim.Store { return newNaiveStore() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, open(), func(c *scim.Config) { c.Types = types })
			project := func(bulkID, attributes string) string {
				return `{"method":"POST","path":"/Projects","bulkId":"` + bulkID + `","data":{"name":"` + bulkID + `"` + attributes + `}}`
			}
			task := func(bulkID, project, after string) string {
				data := `{"project":` + quoted(project)
				if after != "" {
					data += `,"after":` + quoted(after)
				}
				return `{"method":"POST","path":"/Tasks","bulkId":"` + bulkID + `","data":` + data + `}}`
			}
			results := w.bulk(t, bulkRequest("",
				project("a", `,"parent":"bulkId:b","origin":"bulkId:b","related":["bulkId:b","bulkId:c","x"],"lead":{"note":"n","value":"bulkId:b"}`),
				project("b", `,"related":["bulkId:a"]`),
				project("c", ""),
			))
			require.Equal(t, []string{"201", "201", "201"}, outcomes(results))
			a := w.get(t, "/Projects/"+results[0].id()).must(t, http.StatusOK)
			b, c := results[1].id(), results[2].id()
			require.Equal(t, []string{b, b, b, "n"}, []string{a.text("/parent"), a.text("/origin"), a.text("/lead/value"), a.text("/lead/note")})
			require.ElementsMatch(t, []any{b, c, "x"}, a.doc["related"])
			require.Equal(t, results[0].Version, a.Header().Get("Etag"))
			require.Equal(t, []any{results[0].id()}, w.get(t, "/Projects/"+b).doc["related"])

			// A task cannot be without its project, which can be without its task:
			// that is where the circle is opened, wherever it stands.
			results = w.bulk(t, bulkRequest("", task("t", "bulkId:p", "bulkId:t"), project("p", `,"related":["bulkId:t"]`)))
			require.Equal(t, []string{"201", "201"}, outcomes(results))
			made := w.get(t, "/Tasks/"+results[0].id()).must(t, http.StatusOK)
			require.Equal(t, []string{results[1].id(), results[0].id()}, []string{made.text("/project"), made.text("/after")})
			require.Equal(t, []any{results[0].id()}, w.get(t, "/Projects/"+results[1].id()).doc["related"])

			before := len(w.get(t, "/Tasks").resources(t))
			results = w.bulk(t, bulkRequest("",
				task("t", "bulkId:u", ""), task("u", "bulkId:t", ""), task("self", "bulkId:self", ""),
				task("waits", "bulkId:t", ""), project("fine", ""), operation("DELETE", "/Tasks/bulkId:u", "")))
			require.Equal(t, []string{"409", "409", "409", "409", "201", "409"}, outcomes(results))
			require.Contains(t, results[0].Detail, "circle")
			require.Contains(t, results[2].Detail, "circle")
			require.Contains(t, results[3].Detail, `the bulkId "t", whose operation failed`)
			require.Len(t, w.get(t, "/Tasks").resources(t), before)
		})
	}
}

// Section 3.7.1: circles of every form are resolved, and who only waits for one
// is not part of it.
func TestRFC7644Section3_7_1Circles(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		results := w.bulk(t, bulkRequest("",
			postGroup("all", "all", "bulkId:a", "bulkId:g1"), // waits for both circles
			postUser("a", "a", manager("bulkId:b")),
			postUser("b", "b", manager("bulkId:c")),
			postUser("c", "c", manager("bulkId:a")),
			postUser("self", "self", manager("bulkId:self")),
			postGroup("g1", "g1", "bulkId:g2", "bulkId:a"),
			postGroup("g2", "g2", "bulkId:g1", "bulkId:g3", "bulkId:self"),
			postGroup("g3", "g3", "bulkId:g1"),
			operation("PATCH", "/Users/bulkId:a", onePatch("replace", "displayName", `"A"`)),
			operation("PATCH", "/Groups/bulkId:g1", onePatch("remove", "members", "")),
		))
		require.Equal(t, []string{"201", "201", "201", "201", "201", "201", "201", "201", "200", "204"}, outcomes(results))
		id := func(i int) string { return results[i].id() }
		for user, boss := range map[int]int{1: 2, 2: 3, 3: 1, 4: 4} {
			require.Equal(t, id(boss), w.get(t, "/Users/"+id(user)).text(managerOf))
		}
		require.Equal(t, "A", w.get(t, "/Users/"+id(1)).text("/displayName"))
		require.Equal(t, "7", w.get(t, "/Users/"+id(1)).text("/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/employeeNumber"))
		require.Equal(t, sorted(id(1), id(5)), w.membersIn(t, id(0)))
		require.Empty(t, w.membersIn(t, id(5)), "the PATCH of what was completed came after that")
		require.Equal(t, sorted(id(5), id(7), id(4)), w.membersIn(t, id(6)))
		require.Equal(t, sorted(id(5)), w.membersIn(t, id(7)))
		patches := 0
		for _, e := range w.logged() {
			if e.Bulk != 0 && e.Method == http.MethodPatch {
				patches++
			}
		}
		require.Equal(t, 5, patches, "two that were sent; one for each of the three circles")
		w.consistent(t, ours)
	})
}

// Section 3.7.1: a circle that breaks in the middle is a 409, and the client
// learns what there is.
func TestRFC7644Section3_7_1BrokenCircle(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		w.addGroup(t, ours, "taken", "")
		ada := w.addUser(t, ours, "ada@example.com", "")
		broken := []string{postGroup("a", "a", "bulkId:b", ada), postGroup("b", "taken", "bulkId:a"), postGroup("c", "c", "bulkId:a"), operation("DELETE", "/Groups/bulkId:a", "")}
		results := w.bulk(t, bulkRequest("", broken[:3]...))
		require.Equal(t, []string{"409", "409", "201"}, outcomes(results))
		require.Equal(t, "uniqueness", results[1].Type)
		require.Empty(t, results[1].Location)
		require.Contains(t, results[0].Detail, "was created without values of members")
		require.Contains(t, results[0].Detail, `the bulkId "b", whose operation failed`)
		require.Equal(t, []string{ada}, w.membersIn(t, results[0].id()), "it is where the answer says, with the member that there was")
		require.Equal(t, []string{results[0].id()}, w.membersIn(t, results[2].id()))
		ask{method: "DELETE", target: "/Groups/" + results[0].id()}.do(t, w).must(t, http.StatusNoContent)
		ask{method: "DELETE", target: "/Groups/" + results[2].id()}.do(t, w).must(t, http.StatusNoContent)

		results = w.bulk(t, bulkRequest(`,"failOnErrors":1`, broken...))
		require.Equal(t, []string{"409", "409"}, outcomes(results), "what was begun is answered, though processing has stopped")
		require.Contains(t, results[0].Detail, "processing stopped")
		require.Equal(t, []string{ada}, w.membersIn(t, results[0].id()))

		results = w.bulk(t, bulkRequest("", postUser("a", "a", manager("bulkId:b")), postUser("b", "ada", manager("bulkId:a"))))
		require.Equal(t, []string{"409", "409"}, outcomes(results))
		require.Contains(t, results[0].Detail, "was created without values of "+enterpriseURN+":manager,")
		a := w.get(t, "/Users/"+results[0].id()).must(t, http.StatusOK)
		require.Equal(t, "7", a.text("/"+enterpriseURN+"/employeeNumber"), "the manager alone is missing")
		require.False(t, a.has(managerOf))
	})
}

// Section 3.7.2: what refers to nothing, or to what has failed, is a 409 of its
// own operation.
func TestRFC7644Section3_7_2LostReferences(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		before := w.fingerprint(t)
		results := w.bulk(t, bulkRequest("",
			postGroup("g", "g", "bulkId:nobody"),
			operation("PATCH", "/Groups/bulkId:g", onePatch("replace", "displayName", `"h"`)),
			operation("DELETE", "/Users/bulkId:nobody", ""),
			operation("PATCH", "/Users/bulkId:bad", onePatch("replace", "displayName", `"h"`)),
			postUser("bad", "bad@else", ""),
			postUser("boss", "boss", manager("bulkId:bad")),
			postUser("twin", "one", ""), postUser("twin", "two", ""), postUser("twin", "three", ""),
			postGroup("h", "h", "bulkId:twin"),
			`{"method":"POST","path":"/Users","bulkId":"half"}`,
			postGroup("i", "i", "bulkId:half"),
			`{"method":"DELETE","path":"/Users/x","bulkId":"notMade"}`,
			postGroup("j", "j", "bulkId:notMade"),
			postGroup("k", "k", "bulkId:"),
		))
		require.Equal(t, []string{"409", "409", "409", "409", "400", "409", "400", "400", "400", "409", "400", "409", "404", "409", "409"}, outcomes(results))
		for i, says := range map[int]string{
			0: `"nobody", which no POST of the request has`, 1: `"g", whose operation failed`, 2: `"nobody", which no POST`, 3: `"bad", whose operation failed`,
			5: `"bad", whose operation failed`, 6: `"twin" is there twice`, 8: `"twin" is there twice`, 9: `"twin", whose operation failed`,
			11: `"half", whose operation failed`, 13: `"notMade", which no POST`, 14: `"", which no POST`,
		} {
			require.Contains(t, results[i].Detail, says, i)
		}
		require.Equal(t, "http://example.com"+conversationBase+"/Users/bulkId%3Anobody", results[2].Location)
		require.Equal(t, before, w.fingerprint(t))
	})
}

// Section 3.7: what is wrong with one operation is a 400 of that operation, and
// the others are done.
func TestRFC7644Section3_7MalformedOperations(t *testing.T) {
	const data = `,"data":{"userName":"x@example.com"}}`
	cases := []struct{ why, operation, scimType, says string }{
		{"no object", `7`, "invalidSyntax", "an object"},
		{"nothing in it", `{}`, "invalidSyntax", "method is missing"},
		{"no method", `{"path":"/Users","bulkId":"x"` + data, "invalidSyntax", "method is missing"},
		{"a method that there is not", `{"method":"BREW","path":"/Users","bulkId":"x"` + data, "invalidValue", `not "BREW"`},
		{"GET is none of the four", `{"method":"GET","path":"/Users/1"}`, "invalidValue", `not "GET"`},
		{"a method that is no string", `{"method":1,"path":"/Users","bulkId":"x"` + data, "invalidSyntax", "method must be a string"},
		{"two methods", `{"method":"POST","METHOD":"DELETE","path":"/Users","bulkId":"x"` + data, "invalidSyntax", "method is there twice"},
		{"two of data", `{"method":"POST","path":"/Users","bulkId":"x","Data":{}` + data, "invalidSyntax", "data is there twice"},
		{"no path", `{"method":"POST","bulkId":"x"` + data, "invalidPath", "path is missing"},
		{"a path to nothing", `{"method":"POST","path":"/Nobody","bulkId":"x"` + data, "invalidPath", `"/Nobody"`},
		{"a path to discovery", `{"method":"DELETE","path":"/Schemas/x"}`, "invalidPath", "/Schemas/x"},
		{"a bulk request in a bulk request", `{"method":"POST","path":"/Bulk","bulkId":"x","data":` + bulkRequest("") + `}`, "invalidPath", "/Bulk"},
		{"a path too long", `{"method":"DELETE","path":"/Users/1/2"}`, "invalidPath", "/Users/1/2"},
		{"a path with a query", `{"method":"DELETE","path":"/Users/1?x=y"}`, "invalidPath", "?x=y"},
		{"a path that is badly escaped", `{"method":"DELETE","path":"/Users/%zz"}`, "invalidPath", "%zz"},
		{"U+0000 in a path", `{"method":"DELETE","path":"/Users/%00"}`, "invalidPath", "%00"},
		{"another place", `{"method":"DELETE","path":"https://else.example` + conversationBase + `/Users/1"}`, "invalidPath", "else.example"},
		{"POST to a resource", `{"method":"POST","path":"/Users/1","bulkId":"x"` + data, "invalidPath", "such as /Users"},
		{"PUT to a type", `{"method":"PUT","path":"/Users"` + data, "invalidPath", "/Users/{id}"},
		{"DELETE of a type", `{"method":"DELETE","path":"/Users/"}`, "invalidPath", "/Users/{id}"},
		{"POST without bulkId", `{"method":"POST","path":"/Users"` + data, "invalidValue", "bulkId"},
		{"a bulkId that is none", `{"method":"POST","path":"/Users","bulkId":""` + data, "invalidValue", "bulkId"},
		{"a bulkId that is no string", `{"method":"POST","path":"/Users","bulkId":{}` + data, "invalidSyntax", "bulkId must be a string"},
		{"a version that is no string", `{"method":"DELETE","path":"/Users/1","version":1}`, "invalidSyntax", "version must be a string"},
		{"POST without data", `{"method":"POST","path":"/Users","bulkId":"x"}`, "invalidValue", "data"},
		{"PUT without data", `{"method":"PUT","path":"/Users/1"}`, "invalidValue", "data"},
		{"PATCH with none", `{"method":"PATCH","path":"/Users/1","data":null}`, "invalidValue", "data"},
		{"data that is no object", `{"method":"POST","path":"/Users","bulkId":"x","data":[1]}`, "invalidSyntax", "JSON object"},
		{"data that is a reference", `{"method":"POST","path":"/Users","bulkId":"x","data":"bulkId:x"}`, "invalidSyntax", "JSON object"},
		{"a PATCH that is none", `{"method":"PATCH","path":"/Users/1","data":{"Operations":7}}`, "invalidSyntax", "Operations"},
		{"data that is too deep", `{"method":"POST","path":"/Users","bulkId":"x","data":{"name":` + strings.Repeat(`[`, 50) + `"bulkId:x"` + strings.Repeat(`]`, 50) + `}}`, "invalidSyntax", "deeper"},
		{"an attribute twice, left out for now", postUser("x", "x", `,"`+enterpriseURN+`":{"manager":"bulkId:x","Manager":"bulkId:x"}`), "invalidSyntax", "manager is there twice"},
		{"an attribute of another type", `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":{"value":{"value":"bulkId:x"}}}}`, "", ""},
	}
	onWorlds(t, func(t *testing.T, w *world) {
		base := "http://example.com" + conversationBase + "/"
		for i, c := range cases {
			results := w.bulk(t, bulkRequest("", c.operation, postUser("good", fmt.Sprint("good", i), "")))
			require.Len(t, results, 2, c.why)
			require.Equal(t, "201", results[1].Status, c.why)
			if c.scimType == "" { // some error of the client's
				require.Regexp(t, "^4", results[0].Status, c.why)
				continue
			}
			require.Equal(t, "400", results[0].Status, "%s: %v", c.why, results[0])
			require.Equal(t, c.scimType, results[0].Type, c.why)
			require.Contains(t, results[0].Detail, c.says, c.why)
			if results[0].Location != "" {
				require.True(t, strings.HasPrefix(results[0].Location, base), c.why)
			}
		}
		require.Empty(t, w.filtered(t, "/Users", `userName eq "x@example.com"`))
	})
}

// Section 3.7: what is wrong with the whole is a 400, or a 404 or 405 as
// anywhere, and nothing is done.
func TestRFC7644Section3_7MalformedRequests(t *testing.T) {
	good := postUser("good", "good", "")
	cases := []struct{ why, body, scimType string }{
		{"nothing", ``, "invalidSyntax"},
		{"no JSON", `{`, "invalidSyntax"},
		{"no object", `[` + good + `]`, "invalidSyntax"},
		{"no operations", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]}`, "invalidSyntax"},
		{"operations that are no list", `{"Operations":` + good + `}`, "invalidSyntax"},
		{"operations twice", `{"Operations":[` + good + `],"operations":[` + good + `]}`, "invalidSyntax"},
		{"broken off", `{"Operations":[` + good, "invalidSyntax"},
		{"broken off in an operation", `{"Operations":[` + good + `,{"method":"POST"`, "invalidSyntax"},
		{"broken off in data", `{"Operations":[` + good + `,{"data":{"x"`, "invalidSyntax"},
		{"broken off in schemas", `{"Operations":[` + good + `],"schemas":["x"`, "invalidSyntax"},
		{"something behind it", bulkRequest("", good) + `{}`, "invalidSyntax"},
		{"U+0000", `{"Operations":[` + good + `,{"path":"\u0000"}]}`, "invalidSyntax"},
		{"U+0000 in data", bulkRequest("", good, `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"\u0000"}}`), "invalidSyntax"},
		{"U+0000 in data that nobody knows", bulkRequest("", good, `{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"x","unknown":"\u0000"}}`), "invalidSyntax"},
		{"bad UTF-8", "{\"Operations\":[" + good + ",{\"path\":\"\xff\"}]}", "invalidSyntax"},
		{"deep where nobody looks", `{"Operations":[` + good + `],"x":` + strings.Repeat(`[`, 5000) + strings.Repeat(`]`, 5000) + `}`, "invalidSyntax"},
		{"deep in an operation", `{"Operations":[` + good + `,{"x":` + strings.Repeat(`{"x":`, 5000) + `1` + strings.Repeat(`}`, 5000) + `}]}`, "invalidSyntax"},
		{"failOnErrors of 0", bulkRequest(`,"failOnErrors":0`, good), "invalidValue"},
		{"failOnErrors below 0", bulkRequest(`,"failOnErrors":-1`, good), "invalidValue"},
		{"failOnErrors far below 0", bulkRequest(`,"failOnErrors":-99999999999999999999`, good), "invalidValue"},
		{"failOnErrors that is not whole", bulkRequest(`,"failOnErrors":1.5`, good), "invalidValue"},
		{"failOnErrors that is no number", bulkRequest(`,"failOnErrors":true`, good), "invalidValue"},
		{"failOnErrors twice", bulkRequest(`,"failOnErrors":1,"FailOnErrors":2`, good), "invalidSyntax"},
	}
	onWorlds(t, func(t *testing.T, w *world) {
		before := w.fingerprint(t)
		for _, c := range cases {
			ask{method: "POST", target: "/Bulk", body: c.body}.do(t, w).refused(t, http.StatusBadRequest, scim.ErrorType(c.scimType), c.why)
		}
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			a := ask{method: method, target: "/Bulk", body: bulkRequest("", good)}.do(t, w).refused(t, http.StatusMethodNotAllowed, "")
			require.Equal(t, "POST", a.Header().Get("Allow"))
		}
		ask{method: "POST", target: "/Bulk/x", body: bulkRequest("", good)}.do(t, w).refused(t, http.StatusNotFound, "")
		ask{method: "POST", target: "/Bulk", body: bulkRequest("", good), noToken: true}.do(t, w).refused(t, http.StatusUnauthorized, "")
		require.Equal(t, before, w.fingerprint(t))
		require.Empty(t, w.bulk(t, bulkRequest("")), "nothing to do is done, as in a PATCH")
		for _, odd := range []string{`7`, `[7,"urn:else"]`} {
			require.Empty(t, w.bulk(t, `{"schemas":`+odd+`,"Operations":[]}`), "odd-schemas is tolerated as anywhere")
		}
		require.Len(t, w.bulk(t, bulkRequest("", good)), 1)
	})
}

// The dialect holds for the request and for each operation: strict refuses what
// the others tolerate and note.
func TestRFC7644Section3_7Dialect(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			body := `{"operations":[{"method":"POST","path":"/Users","bulkId":"x","data":{"userName":"ada@example.com","active":"True"}}],"failOnErrors":"1"}`
			d := &scim.Directory{Tenant: "acme", ID: "ours", Domains: []string{"example.com"}}
			r := newRig(t, open(), scim.NoRoles{}, d, nil)
			send := func() *response {
				a := ask{method: "POST", target: "/Bulk", body: body}.request(t, strings.NewReader(body))
				a.Header.Set("Authorization", "Bearer "+testToken)
				return serve(t, r, a)
			}
			require.Equal(t, []string{"201"}, outcomes(send().results(t)))
			require.Len(t, r.log, 2)
			require.Equal(t, []string{"string-boolean", "odd-schemas"}, r.log[0].Fired.Names(), "of the operation")
			require.Equal(t, []string{"stringified", "odd-schemas", "operations-name"}, r.log[1].Fired.Names(), "of the request")

			d.Dialect = scim.Strict
			send().refused(t, http.StatusBadRequest, scim.InvalidValue)
			body = strings.Replace(body, `"1"`, `1`, 1)
			send().refused(t, http.StatusBadRequest, scim.InvalidSyntax)
			body = strings.Replace(body, `"operations"`, `"Operations"`, 1)
			send().refused(t, http.StatusBadRequest, scim.InvalidSyntax)
			body = strings.Replace(body, `{`, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],`, 1)
			require.Equal(t, []string{"400"}, outcomes(send().results(t)))

			d.Disabled = true
			send().refused(t, http.StatusForbidden, "")
		})
	}
}

// What an operation means does not depend on the case of its method (RFC 7643
// section 2.2), nor on how a client writes the path of a resource: relative, or
// as an answer has shown it.
func TestRFC7644Section3_7Paths(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ada@example.com", "")
		for i, path := range []string{
			"/Users/" + id, "Users/" + id, "//Users//" + id + "/", "/Users/%" + fmt.Sprintf("%02x", id[0]) + id[1:],
			conversationBase + "/Users/" + id, "http://example.com" + conversationBase + "/Users/" + id,
		} {
			results := w.bulk(t, bulkRequest("", operation([]string{"PATCH", "patch", "Patch"}[i%3], path, onePatch("replace", "nickName", quoted(path)))))
			require.Equal(t, []result{{
				Method: "PATCH", Location: "http://example.com" + conversationBase + "/Users/" + id, Version: results[0].Version, Status: "200",
			}}, results, path)
			require.Equal(t, path, w.get(t, "/Users/"+id).text("/nickName"))
		}
	})
}

// Sections 3.7 and 3.14: the version of an operation is what If-Match is of a
// request.
func TestRFC7644Section3_14BulkVersions(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		id := w.addUser(t, ours, "ada@example.com", "")
		for _, c := range []struct{ version, status string }{
			{`"W/\"1\""`, "200"}, {`"W/\"1\""`, "412"}, {`"\"2\""`, "200"}, {`"W\/\"3\""`, "200"}, {`"*"`, "200"}, {`null`, "200"}, {`"7"`, "412"},
		} {
			before := w.get(t, "/Users/"+id)
			results := w.bulk(t, bulkRequest("", `{"method":"PATCH","path":"/Users/`+id+`","version":`+c.version+`,
				"data":`+onePatch("replace", "nickName", quoted(c.version+before.Header().Get("Etag")))+`}`))
			require.Equal(t, []string{c.status}, outcomes(results), c.version)
			if c.status == "412" {
				require.Equal(t, before.doc, w.get(t, "/Users/"+id).doc)
			}
		}
		tag := w.get(t, "/Users/"+id).Header().Get("Etag")
		at := `"path":"/Users/` + id + `","version":` + quoted(tag)
		results := w.bulk(t, bulkRequest("",
			`{"method":"PUT",`+at+`,"data":{"userName":"ada@example.com","displayName":"new"}}`, `{"method":"DELETE",`+at+`}`,
			`{"method":"POST","path":"/Users","bulkId":"x","version":"\"99\"","data":{"userName":"eve@example.com"}}`))
		require.Equal(t, []string{"200", "412", "201"}, outcomes(results), "a version is of no meaning for what is created")
	})
}

// Rule E3a: an operation is a transaction. One whose hook fails leaves nothing
// behind, and the others are done.
func TestE3aOneFailingOperationRollsBackAlone(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			app := newHostApp()
			refuse := scim.ProvisionerFunc(func(ctx context.Context, a *scim.Account) (string, error) {
				switch {
				case strings.HasPrefix(a.Email, "fails"):
					return "", errors.New("canary")
				case strings.HasPrefix(a.Email, "refused"):
					return "", &scim.Error{Status: http.StatusForbidden, Detail: "no seat"}
				}
				return app.Provision(ctx, a)
			})
			w := newWorld(t, open(), func(c *scim.Config) { c.Provisioner = refuse })
			a := ask{method: "POST", target: "/Bulk", body: bulkRequest("",
				postUser("1", "one", ""), postUser("2", "fails", ""), postUser("3", "refused", ""), postUser("4", "four", ""),
				postGroup("5", "of four", "bulkId:4"), postGroup("6", "of nobody", "bulkId:2"))}.do(t, w)
			results := a.results(t)
			require.Equal(t, []string{"201", "500", "403", "201", "201", "409"}, outcomes(results))
			require.Equal(t, "no seat", results[2].Detail)
			require.NotContains(t, a.Body.String(), "canary")
			if ledger, ok := w.store.(scim.Ledger); ok {
				require.ElementsMatch(t, []string{results[0].id(), results[3].id()}, w.get(t, "/Users").ids(t))
				log, err := ledger.Requests(t.Context(), ours.Key(), 100)
				require.NoError(t, err)
				seen := map[scim.RequestID]*scim.LogEntry{}
				for _, e := range log {
					seen[e.ID] = e
				}
				for _, e := range eventsOf(t, ledger, ours.Tenant) {
					require.NotZero(t, seen[e.Request].Bulk, "an event names the operation that caused it")
					require.Contains(t, seen[e.Request].Changed, e.Type)
				}
			}
			require.Len(t, w.get(t, "/Groups").ids(t), 1)
			require.Len(t, app.last, 2)
		})
	}
}

// Section 3.7.1: the second transaction of an operation can fail alone too. What
// the first has committed stays, and the answer says what is missing.
func TestRFC7644Section3_7_1FailingCompletion(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			app := newHostApp()
			w := newWorld(t, open(), func(c *scim.Config) {
				c.Provisioner = scim.ProvisionerFunc(func(ctx context.Context, a *scim.Account) (string, error) {
					if a.Change == scim.Updated {
						return "", errors.New("canary")
					}
					return app.Provision(ctx, a)
				})
			})
			a := ask{method: "POST", target: "/Bulk", body: bulkRequest("", postUser("a", "a", manager("bulkId:b")), postUser("b", "b", manager("bulkId:a")))}.do(t, w)
			results := a.results(t)
			require.Equal(t, []string{"409", "201"}, outcomes(results))
			require.Contains(t, results[0].Detail, "the service failed")
			require.NotContains(t, a.Body.String(), "canary")
			require.Equal(t, results[0].id(), w.get(t, "/Users/"+results[1].id()).text(managerOf))
			first := w.get(t, "/Users/"+results[0].id()).must(t, http.StatusOK)
			if _, ok := w.store.(scim.Ledger); ok {
				require.False(t, first.has(managerOf), "it was rolled back")
				require.Equal(t, first.Header().Get("Etag"), results[0].Version)
			}
		})
	}
}

// Rule D8: each operation has its line in the request log, and the request one
// that theirs point to. OnRequest is told the same.
func TestD8BulkIsLogged(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		unread := strings.Repeat("x", 5000)
		ask{method: "POST", target: "/Bulk", header: map[string]string{"User-Agent": "bulky"}, body: bulkRequest("",
			postUser("1", "ada", ""), postUser("2", "ada", ""), operation("PATCH", "/Users/bulkId:1", onePatch("add", "unheardOf", `"x"`)),
			postGroup("3", "team", "bulkId:1", "nobody"), operation(unread, unread, ""), operation("DELETE", "/Users/"+unread, ""))}.do(t, w)
		told := w.logged()
		if ledger, ok := w.store.(scim.Ledger); ok {
			kept, err := ledger.Requests(t.Context(), ours.Key(), 100)
			require.NoError(t, err)
			require.Len(t, kept, len(told))
			slices.Reverse(kept)
			for i, e := range kept {
				require.Equal(t, told[i].ID, e.ID)
				require.Equal(t, told[i].Bulk, e.Bulk)
				require.Equal(t, told[i].Path, e.Path)
			}
		}
		require.Len(t, told, 7)
		whole := told[6]
		require.Equal(t, []any{"POST", "/Bulk", 200, scim.RequestID(0), ""}, []any{whole.Method, whole.Path, whole.Status, whole.Bulk, whole.Detail})
		for i, e := range told[:6] {
			require.Equal(t, whole.ID, e.Bulk)
			require.NotEqual(t, whole.ID, e.ID)
			require.Equal(t, []any{ours.Key(), "ours", "bulky"}, []any{e.Directory, e.Actor, e.UserAgent})
			require.Equal(t, []int{201, 409, 200, 201, 400, 404}[i], e.Status)
			require.LessOrEqual(t, len(e.Path)+len(e.Method), 1024)
		}
		require.Equal(t, []string{"/Users", "/Users", "/Groups"}, []string{told[0].Path, told[1].Path, told[3].Path})
		require.Regexp(t, "^/Users/[0-9a-f-]{36}$", told[2].Path)
		require.Equal(t, scim.Uniqueness, told[1].Type)
		require.Contains(t, told[1].Detail, "userName")
		require.Equal(t, []scim.EventType{scim.UserCreated}, told[0].Changed[:1])
		require.Equal(t, []string{"unheardOf"}, told[2].Ignored)
		require.Equal(t, []string{"nobody"}, told[3].Unknown)
	})
}

// Rule A1: a bulk request reaches its own directory alone, by whatever place an
// id can stand in.
func TestA1BulkIsolation(t *testing.T) {
	for name, open := range stores {
		for _, other := range []*scim.Directory{sibling, foreign} {
			t.Run(name+" "+other.Tenant, func(t *testing.T) {
				w := newWorld(t, open(), nil)
				user := w.addUser(t, other, "canary@example.com", `,"displayName":"canary"`)
				group := w.addGroup(t, other, "canary", "", user)
				w.addGroup(t, ours, "mine", "")
				before := dump(t, w.store, other)
				operations := func(user, group string) string {
					return bulkRequest("",
						operation("PUT", "/Users/"+user, `{"userName":"eve@example.com"}`),
						operation("PATCH", "/Users/"+user, onePatch("replace", "displayName", `"x"`)),
						operation("DELETE", "/Users/"+user, ""),
						operation("PATCH", "/Groups/"+group, onePatch("add", "members", `[{"value":"bulkId:x"}]`)),
						operation("DELETE", "/Groups/"+group, ""),
						postUser("x", "x", manager(user)),
						postGroup("g", "g", user, group, "bulkId:x"))
				}
				a := ask{method: "POST", target: "/Bulk", body: operations(user, group)}.do(t, w)
				results := a.results(t)
				require.Equal(t, []string{"404", "404", "404", "404", "404", "201", "201"}, outcomes(results))
				require.Equal(t, []string{results[5].id()}, w.membersIn(t, results[6].id()))
				require.NotContains(t, a.Body.String(), "canary")
				require.Equal(t, before, dump(t, w.store, other))

				for _, made := range []string{"/Users/" + results[5].id(), "/Groups/" + results[6].id()} {
					ask{method: "DELETE", target: made}.do(t, w).must(t, http.StatusNoContent)
				}
				nobody := ask{method: "POST", target: "/Bulk", body: operations("00000000-0000-7000-8000-000000000000", "00000000-0000-7000-8000-000000000000")}.do(t, w)
				require.Equal(t, nobody.comparable(), a.comparable(), "theirs and nobody's look the same")
			})
		}
	}
}

// The client hangs up in the middle: what is committed stays, and nothing more
// is started.
func TestBulkOfAClientThatHangsUp(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			calls := 0
			w := newWorld(t, open(), func(c *scim.Config) {
				record := c.OnRequest
				c.OnRequest = func(ctx context.Context, e *scim.LogEntry) {
					record(ctx, e)
					if e.Path == "/Users" && e.Bulk != 0 {
						if calls++; calls == 3 {
							hangUp()
						}
					}
				}
			})
			var operations []string
			for i := range 10 {
				operations = append(operations, postUser(fmt.Sprint(i), fmt.Sprint("u", i), ""))
			}
			body := bulkRequest("", operations...)
			r := ask{method: "POST", target: "/Bulk"}.request(t, strings.NewReader(body))
			results := serve(t, w, r.WithContext(ctx)).results(t)
			require.Equal(t, []string{"201", "201", "201"}, outcomes(results))
			require.Len(t, w.get(t, "/Users").ids(t), 3)
			log := w.logged()
			require.Equal(t, "3 of 10 operations were done: the client did not wait", log[3].Detail)
		})
	}
}

// A panickyStore fails as nothing should.
type panickyStore struct{ *naiveStore }

func (s panickyStore) Create(ctx context.Context, r *scim.Resource) (*scim.Resource, error) {
	if r.User().UserName() == "panic@example.com" {
		panic("canary")
	}
	return s.naiveStore.Create(ctx, r)
}

// What has panicked is one operation: the others are answered.
func TestBulkSurvivesAPanic(t *testing.T) {
	w := newWorld(t, panickyStore{newNaiveStore()}, nil)
	a := ask{method: "POST", target: "/Bulk", body: bulkRequest("", postUser("1", "one", ""), postUser("2", "panic", ""), postUser("3", "three", ""))}.do(t, w)
	require.Equal(t, []string{"201", "500", "201"}, outcomes(a.results(t)))
	require.NotContains(t, a.Body.String(), "canary")
}

// A thousand operations that refer to each other in every way are all done.
func TestBulkOfAThousandOperations(t *testing.T) {
	onWorlds(t, func(t *testing.T, w *world) {
		const groups, users = 50, 900
		var operations []string
		for g := range groups { // before their members, each in the next, the last in the first
			members := []string{fmt.Sprintf("bulkId:g%d", (g+1)%groups)}
			for u := g; u < users; u += groups {
				members = append(members, fmt.Sprintf("bulkId:u%d", u))
			}
			operations = append(operations, postGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("group %d", g), members...))
		}
		for u := range users { // each has a manager who comes later; three at the end a circle
			boss := u + 1
			if boss == users {
				boss = users - 3
			}
			operations = append(operations, postUser(fmt.Sprintf("u%d", u), fmt.Sprintf("u%d", u), manager(fmt.Sprintf("bulkId:u%d", boss))))
		}
		for g := range groups {
			operations = append(operations, operation("PATCH", fmt.Sprintf("/Groups/bulkId:g%d", g), onePatch("add", "members", fmt.Sprintf(`[{"value":"bulkId:u%d"}]`, g+1))))
		}
		results := w.bulk(t, bulkRequest("", operations...))
		require.Len(t, results, 1000)
		for i, r := range results {
			require.Equal(t, map[bool]string{true: "201", false: "204"}[i < groups+users], r.Status, r)
		}
		id := func(i int) string { return results[i].id() }
		for g := range groups {
			want := []string{id((g + 1) % groups), id(groups + g + 1)}
			for u := g; u < users; u += groups {
				want = append(want, id(groups+u))
			}
			require.Equal(t, sorted(want...), w.membersIn(t, id(g)))
		}
		for _, u := range []int{0, 450, users - 4, users - 1} {
			boss := u + 1
			if boss == users {
				boss = users - 3
			}
			require.Equal(t, id(groups+boss), w.get(t, "/Users/"+id(groups+u)).text(managerOf))
		}
		completed := 0
		for _, e := range w.logged() {
			if e.Method == http.MethodPatch {
				completed++
			}
		}
		require.Equal(t, groups+2, completed, "each of the two circles is opened in one place")
	})
}

// FuzzBulk sends bulk requests. USER, GROUP and THEIRS stand for the ids of a
// user and a group that are there, and of somebody else's user.
//
// Whatever is sent, the request and each operation in it have a status under
// 500, the answer is SCIM, it has no more operations than were sent, another
// directory is as it was, and the directory is consistent.
func FuzzBulk(f *testing.F) {
	for _, seed := range []string{
		bulkRequest("", postUser("a", "a", manager("bulkId:b")), postUser("b", "b", manager("bulkId:a")), postGroup("g", "g", "bulkId:a", "bulkId:g", "USER")),
		bulkRequest(`,"failOnErrors":1`, operation("PATCH", "/Groups/GROUP", onePatch("add", "members", `[{"value":"bulkId:x"},{"value":"THEIRS"}]`)), postUser("x", "x", "")),
		bulkRequest("", operation("DELETE", "/Users/USER", ""), operation("put", "Users/bulkId:x", `{"userName":"y@example.com"}`), postUser("x", "x", "")),
		bulkRequest("", `{"method":"PUT","path":"/Groups/GROUP","version":"W/\"2\"","data":{"displayName":"t","members":[{"value":"\u0062ulkId:x"}]}}`, `7`, `{}`),
		bulkRequest("", postUser("x", "x", ""), postUser("x", "y", ""), operation("DELETE", "/Users/THEIRS", ""), operation("DELETE", "/Groups/bulkId:x", "")),
		`{"operations":[{"METHOD":"post","path":"//Users/","bulkid":"é","data":{"userName":"bulkId:é","emails":["bulkId:é",null,[]]}}],"failOnErrors":"1"}`,
		`{"Operations":[{"method":"POST","path":"/Groups","bulkId":"a","data":{"displayName":"a","displayName":"bulkId:a","members":{"value":"bulkId:a"}}}]}`,
		`{"Operations":[{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"q@example.com","URN:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"bulkId:a"},"emails":[{"value":"bulkId:a"}]}}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t, stores["memstore"](), nil)
		user := w.addUser(t, ours, "ada@example.com", `,"externalId":"ada"`)
		group := w.addGroup(t, ours, "team", "", user)
		theirs := w.addUser(t, sibling, "canary@example.com", `,"displayName":"canary"`)
		before := dump(t, w.store, sibling)
		body = strings.NewReplacer("USER", user, "GROUP", group, "THEIRS", theirs).Replace(body)
		for range 2 {
			a := ask{method: "POST", target: "/Bulk", body: body}.do(t, w)
			require.Less(t, a.Code, 500, a.Body)
			if a.Code == http.StatusOK {
				requested, err := decodeJSON([]byte(body))
				sent := 0
				if doc, ok := requested.(map[string]any); ok && err == nil {
					for name, list := range doc {
						if operations, ok := list.([]any); ok && strings.EqualFold(name, "Operations") {
							sent += len(operations)
						}
					}
					require.LessOrEqual(t, len(a.results(t)), sent)
				}
				for _, r := range a.results(t) {
					require.Regexp(t, "^[24][0-9][0-9]$", r.Status, a.Body)
				}
			}
			if !strings.Contains(strings.ToLower(body), "canary") {
				require.NotContains(t, a.Body.String(), "canary")
			}
			require.Equal(t, before, dump(t, w.store, sibling), "another directory has changed")
			w.consistent(t, ours)
		}
	})
}
