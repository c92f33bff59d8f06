package scim_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// checkReason checks what holds of every line of the request log, in every test
// that has a rig or a world: a failure has a reason that is one of ours, and a
// success has none (rule D8).
func checkReason(t testing.TB, e *scim.LogEntry) {
	t.Helper()
	failed := e.Status >= http.StatusBadRequest
	if failed != (e.Reason != "") || failed && !slices.Contains(scim.Reasons(), e.Reason) {
		t.Errorf("%s %s: %d %s %q has the reason %q (rule D8)", e.Method, e.Path, e.Status, e.Type, e.Detail, e.Reason)
	}
}

// A reasonCase is a request that is refused for a reason.
type reasonCase struct {
	reason scim.Reason
	why    string
	status int

	directory func(d *scim.Directory)
	configure func(cfg *scim.Config)
	provision func(ctx context.Context) error // what the application's hook says
	resolve   func() scim.Resolution

	// ask returns the request; ada is a user, team a group without members.
	ask func(ada, team string) ask

	unlogged bool // nobody is known in whose log it would be
	managed  bool // it needs a Ledger
	alone    bool // it cannot be an operation of a bulk request
}

var reasonCases = []reasonCase{
	{
		reason: scim.ReasonSyntax, why: "no JSON", status: 400, alone: true,
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: `{`} },
	},
	{
		reason: scim.ReasonSyntax, why: "no endpoint", status: 404, alone: true,
		ask: func(string, string) ask { return ask{method: "GET", target: "/People"} },
	},
	{
		reason: scim.ReasonSyntax, why: "no method", status: 405, alone: true,
		ask: func(ada, _ string) ask { return ask{method: "BREW", target: "/Users/" + ada} },
	},
	{
		reason: scim.ReasonSyntax, why: "/Me of nobody", status: 501, alone: true,
		ask: func(string, string) ask { return ask{method: "GET", target: "/Me"} },
	},
	{
		reason: scim.ReasonSyntax, why: "a parameter that is no number", status: 400, alone: true,
		ask: func(string, string) ask { return ask{method: "GET", target: "/Users?startIndex=one"} },
	},
	{
		reason: scim.ReasonSchema, why: "userName is required", status: 400,
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: `{"displayName":"Ada"}`} },
	},
	{
		reason: scim.ReasonSchema, why: "a text is no Boolean", status: 400,
		ask: func(ada, _ string) ask {
			return ask{method: "PATCH", target: "/Users/" + ada, body: patchBody(replaceOp("active", `"perhaps"`))}
		},
	},
	{
		reason: scim.ReasonFilter, why: "a filter", status: 400, alone: true,
		ask: func(string, string) ask { return ask{method: "GET", target: "/Users?filter=shoeSize+eq+4"} },
	},
	{
		reason: scim.ReasonFilter, why: "sortBy", status: 400, alone: true,
		ask: func(string, string) ask { return ask{method: "GET", target: "/Users?sortBy=shoeSize"} },
	},
	{
		reason: scim.ReasonFilter, why: "a filter of what has none", status: 403, alone: true,
		ask: func(string, string) ask { return ask{method: "GET", target: "/Schemas?filter=id+pr"} },
	},
	{
		reason: scim.ReasonFilter, why: "a path", status: 400,
		ask: func(ada, _ string) ask {
			return ask{method: "PATCH", target: "/Users/" + ada, body: patchBody(`{"op":"remove"}`)}
		},
	},
	{
		reason: scim.ReasonNotFound, why: "never was", status: 404,
		ask: func(string, string) ask { return ask{method: "DELETE", target: "/Users/nobody"} },
	},
	{
		reason: scim.ReasonVersion, why: "If-Match", status: 412, alone: true,
		ask: func(ada, _ string) ask {
			return ask{method: "DELETE", target: "/Users/" + ada, header: map[string]string{"If-Match": `"7"`}}
		},
	},
	{
		reason: scim.ReasonVersion, why: "If-None-Match", status: 412, alone: true,
		ask: func(ada, _ string) ask {
			return ask{method: "DELETE", target: "/Users/" + ada, header: map[string]string{"If-None-Match": `*`}}
		},
	},
	{
		reason: scim.ReasonExists, why: "userName", status: 409,
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ada")} },
	},
	{
		reason: scim.ReasonExists, why: "the name of a group", status: 409,
		ask: func(string, string) ask { return ask{method: "POST", target: "/Groups", body: team("TEAM")} },
	},
	{
		reason: scim.ReasonNoEmail, why: "none", status: 400,
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: `{"userName":"ben"}`} },
	},
	{
		reason: scim.ReasonNoEmail, why: "not one", status: 400,
		ask: func(string, string) ask {
			return ask{method: "POST", target: "/Users", body: `{"userName":"ben","emails":[{"value":"ben"}]}`}
		},
	},
	{
		reason: scim.ReasonEmailImmutable, why: "changed", status: 400,
		ask: func(ada, _ string) ask {
			return ask{method: "PATCH", target: "/Users/" + ada, body: patchBody(replaceOp("emails", `[{"value":"lovelace@acme.example"}]`))}
		},
	},
	{
		reason: scim.ReasonEmailImmutable, why: "removed", status: 400,
		ask: func(ada, _ string) ask {
			return ask{method: "PATCH", target: "/Users/" + ada, body: patchBody(`{"op":"remove","path":"emails"}`)}
		},
	},
	{
		reason: scim.ReasonDomain, why: "another", status: 400,
		ask: func(string, string) ask {
			return ask{method: "POST", target: "/Users", body: `{"userName":"eve@other.example"}`}
		},
	},
	{
		reason: scim.ReasonNoDomains, why: "none at all", status: 400, directory: func(d *scim.Directory) { d.Domains = nil },
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
	{
		reason: scim.ReasonExistingAccount, why: "the application refuses", status: 403, managed: true,
		resolve: func() scim.Resolution { return scim.Refuse("the owner is not provisioned") },
		ask:     func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
	{
		reason: scim.ReasonUnknownMember, why: "the policy rejects", status: 400,
		directory: func(d *scim.Directory) { d.Policy.UnknownMembers = scim.RejectUnknownMembers },
		ask: func(_, team string) ask {
			return ask{method: "PATCH", target: "/Groups/" + team, body: patchBody(`{"op":"add","path":"members","value":[{"value":"nobody"}]}`)}
		},
	},
	{
		reason: scim.ReasonDisabled, why: "switched off", status: 403, alone: true, directory: func(d *scim.Directory) { d.Disabled = true },
		ask: func(string, string) ask { return ask{method: "GET", target: "/Users"} },
	},
	{
		reason: scim.ReasonToken, why: "none", status: 401, unlogged: true, alone: true,
		ask: func(string, string) ask {
			return ask{method: "GET", target: "/Users", header: map[string]string{"Authorization": "Bearer nonsense"}}
		},
	},
	{
		reason: scim.ReasonScope, why: "it may only read", status: 403,
		ask: func(ada, _ string) ask {
			return ask{method: "DELETE", target: "/Users/" + ada, header: map[string]string{"Authorization": "Bearer " + readerToken}}
		},
	},
	{
		reason: scim.ReasonLimit, why: "too large", status: 413, configure: func(cfg *scim.Config) { cfg.Limits.Body = 1000 },
		ask: func(string, string) ask {
			return ask{method: "POST", target: "/Users", body: `{"userName":"` + strings.Repeat("x", 1000) + `"}`}
		},
	},
	{
		reason: scim.ReasonLimit, why: "too many values", status: 400, configure: func(cfg *scim.Config) { cfg.Limits.Values = 2 },
		ask: func(ada, _ string) ask {
			return ask{method: "PATCH", target: "/Users/" + ada, body: patchBody(replaceOp("emails", `[{"value":"a"},{"value":"b"},{"value":"c"}]`))}
		},
	},
	{
		reason: scim.ReasonLimit, why: "too fast", status: 429, alone: true, configure: func(cfg *scim.Config) { cfg.Limits.Rate, cfg.Limits.Burst = 1, 3 },
		ask: func(string, string) ask { return ask{method: "GET", target: "/Users?count=0"} },
	},
	{
		reason: scim.ReasonUnavailable, why: "the hook hangs", status: 503, configure: func(cfg *scim.Config) { cfg.ProvisionTimeout = time.Millisecond },
		provision: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		ask:       func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
	{
		reason: scim.ReasonHost, why: "a hook refuses", status: 403,
		provision: func(context.Context) error {
			return &scim.Error{Status: http.StatusForbidden, Detail: "not on a Sunday"}
		},
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
	{
		reason: scim.ReasonHost, why: "a hook refuses with a scimType", status: 400,
		provision: func(context.Context) error {
			return errors.Join(errors.New("host"), &scim.Error{Status: http.StatusBadRequest, Type: scim.InvalidValue, Detail: "not on a Sunday"})
		},
		ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
	{
		reason: scim.ReasonInternal, why: "a hook fails", status: 500,
		provision: func(context.Context) error { return errors.New("out of memory") },
		ask:       func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
	{
		reason: scim.ReasonInternal, why: "a hook panics", status: 500,
		provision: func(context.Context) error { panic("out of memory") },
		ask:       func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
	},
}

// The reasons of rules that count are tested with those rules; here it is a
// hook that gives them, whose reason stays what it is.
var countedReasons = []scim.Reason{scim.ReasonLastAdmin, scim.ReasonProtected, scim.ReasonMassChange, scim.ReasonSeats}

func init() {
	for _, reason := range countedReasons {
		reasonCases = append(reasonCases, reasonCase{
			reason: reason, why: "the hook says why", status: 403,
			provision: func(context.Context) error {
				return &scim.Error{Status: http.StatusForbidden, Detail: "no", Reason: reason}
			},
			ask: func(string, string) ask { return ask{method: "POST", target: "/Users", body: person("ben")} },
		})
	}
}

const readerToken = "reader-token-0123456789abcdef"

// A sayingApp is an application whose hooks say what they are told to.
type sayingApp struct {
	*hostApp
	provision func(ctx context.Context) error
}

func (a *sayingApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	if a.provision != nil {
		if err := a.provision(ctx); err != nil {
			return "", err
		}
	}
	return a.hostApp.Provision(ctx, acc)
}

// A knowingApp also knows accounts.
type knowingApp struct {
	*sayingApp
	resolve func() scim.Resolution
}

func (a *knowingApp) ResolveExisting(context.Context, *scim.Account) (scim.Resolution, error) {
	if a.resolve == nil {
		return scim.Resolution{}, nil
	}
	return a.resolve(), nil
}

// Rule D8: every answer other than success has its typed reason in the request
// log, whether the request comes alone or as an operation of a bulk request, and
// the same in the log that the store keeps. A new reason needs a case here.
func TestD8EveryReason(t *testing.T) {
	met := map[scim.Reason]bool{}
	for _, c := range reasonCases {
		met[c.reason] = true
		for kind, open := range stores {
			for _, how := range []string{"alone", "bulk"} {
				if how == "bulk" && c.alone {
					continue
				}
				t.Run(string(c.reason)+"/"+c.why+"/"+kind+"/"+how, func(t *testing.T) { c.run(t, open(), how == "bulk") })
			}
		}
	}
	for _, reason := range scim.Reasons() {
		assert.True(t, met[reason], "no request is refused for the reason %q", reason)
	}
}

func (c *reasonCase) run(t *testing.T, store scim.Store, bulk bool) {
	ledger, managed := store.(scim.Ledger)
	if c.managed && !managed {
		t.Skip("a plain store has no such rule")
	}
	d := acme(scim.Policy{})
	app := &sayingApp{hostApp: newHostApp()}
	knowing := &knowingApp{sayingApp: app}
	var log []scim.LogEntry
	cfg := &scim.Config{Provisioner: app, OnRequest: func(_ context.Context, e *scim.LogEntry) { log = append(log, *e) }}
	if managed {
		cfg.Provisioner = knowing
	}
	if c.configure != nil {
		c.configure(cfg)
	}
	auth, err := scim.StaticTokens(
		scim.Token{Secret: testToken, Label: "test", Directory: d},
		scim.Token{Secret: readerToken, Label: "reader", Directory: d, Scope: scim.ReadUsers | scim.WriteGroups},
	)
	require.NoError(t, err)
	h, err := scim.NewHandler(store, scim.NoRoles{}, auth, cfg)
	require.NoError(t, err)
	handler := scim.Mount(conversationBase, h, nil)
	send := func(a ask) *response {
		if a.header["Authorization"] == "" {
			if a.header == nil {
				a.header = map[string]string{}
			}
			a.header["Authorization"] = "Bearer " + testToken
		}
		return a.do(t, handler)
	}
	ada := send(ask{method: "POST", target: "/Users", body: person("ada")}).must(t, http.StatusCreated).text("/id")
	group := send(ask{method: "POST", target: "/Groups", body: team("team")}).must(t, http.StatusCreated).text("/id")
	if c.directory != nil {
		c.directory(d)
	}
	app.provision, knowing.resolve = c.provision, c.resolve
	request := c.ask(ada, group)
	for range cfg.Limits.Burst - 2 { // of which two are used up
		send(request)
	}
	log = nil

	if bulk {
		op := `{"method":` + quoted(request.method) + `,"bulkId":"one","path":` + quoted(request.target)
		if request.body != "" {
			op += `,"data":` + request.body
		}
		a := send(ask{method: "POST", target: "/Bulk", body: bulkRequest("", op+"}"), header: request.header}).must(t, http.StatusOK, c.why)
		require.Len(t, log, 2)
		require.Equal(t, http.StatusOK, log[1].Status)
		require.Empty(t, log[1].Reason, "the bulk request itself succeeded")
		if log[0].Detail != "" { // a failure of the service has none, and a text of its own is sent
			require.Equal(t, a.text("/Operations/0/response/detail"), log[0].Detail)
		}
		log = log[:1]
	} else {
		send(request).must(t, c.status, c.why)
	}
	if c.unlogged {
		require.Empty(t, log)
		return
	}
	require.Len(t, log, 1)
	require.Equal(t, c.status, log[0].Status, log[0].Detail)
	require.Equal(t, c.reason, log[0].Reason, log[0].Detail)
	if !managed {
		return
	}
	kept, err := ledger.Requests(t.Context(), d.Key(), 2)
	require.NoError(t, err)
	kept = slices.DeleteFunc(kept, func(e *scim.LogEntry) bool { return e.Path == "/Bulk" })
	require.NotEmpty(t, kept)
	require.Equal(t, c.reason, kept[0].Reason, "what the store keeps")
	if c.reason == scim.ReasonEmailImmutable && c.why == "changed" {
		require.Equal(t, []scim.EventType{scim.UserEmailChangeRejected}, kept[0].Changed, "it was recorded in a transaction of its own")
	}
}

// Rule D8: no failure in the conversations recorded of providers is without a
// reason, in the log that the store keeps; checkReason sees to it in all other
// tests.
func TestD8NoFailureWithoutReasonInConversations(t *testing.T) {
	reasons := map[scim.Reason]int{}
	for name, c := range loadConversations(t) {
		store := stores["memstore"]()
		h, token := newConversationHandler(t, store, c)
		runConversation(t, h, token, c)
		kept, err := store.(scim.Ledger).Requests(t.Context(), scim.Key{Tenant: "acme", Directory: "directory"}, 10_000)
		require.NoError(t, err)
		require.NotEmpty(t, kept, name)
		for _, e := range kept {
			checkReason(t, e)
			if e.Reason != "" {
				reasons[e.Reason]++
			}
		}
	}
	for _, reason := range []scim.Reason{scim.ReasonSyntax, scim.ReasonSchema, scim.ReasonFilter, scim.ReasonNotFound, scim.ReasonExists} {
		require.Positive(t, reasons[reason], "the conversations have refusals for the reason %q", reason)
	}
}

// What a host's hook refuses with an error that it uses again is answered each
// time as the host made it, and the error stays the host's.
func TestD8AHostsErrorIsNotChanged(t *testing.T) {
	shared := &scim.Error{Status: http.StatusForbidden, Detail: "not on a Sunday"}
	app := &sayingApp{hostApp: newHostApp(), provision: func(context.Context) error { return shared }}
	r := newManagedRig(t, scim.NoRoles{}, acme(scim.Policy{}), func(cfg *scim.Config) { cfg.Provisioner = app })
	for range 2 {
		r.do(http.MethodPost, "/Users", person("ada")).refused(http.StatusForbidden, "", "not on a Sunday")
		require.Equal(t, scim.ReasonHost, r.logged().Reason)
	}
	scim.WriteError(httptest.NewRecorder(), shared)
	require.Equal(t, scim.Error{Status: http.StatusForbidden, Detail: "not on a Sunday"}, *shared)
}
