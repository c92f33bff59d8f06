package scim_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
)

// Random histories of two directories of a tenant, in which everything changes
// that can: after each step what the rules promise holds.
func TestGuardsAndSwitchesTogether(t *testing.T) {
	t.Parallel()
	histories, steps := uint64(16), 120
	if raceEnabled || testing.Short() {
		histories = 6
	}
	for seed := range histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newSeams(t, seed)
			for range steps {
				s.step()
			}
			s.rest()
		})
	}
}

// Seams is a tenant with directories of every kind of trouble.
type seams struct {
	*rand.Rand
	t       *testing.T
	outside scim.Usage
	first   *guardRig   // tells the time, and has what all share
	rigs    []*guardRig // the directories that are in use
	gone    []*scim.Directory
	app     *seamApp
	history []string // what was done, for who reads a failure

	groups map[*guardRig]map[string]string // ids by name
	users  map[scim.Key][]string           // ids, of deleted users too
	held   map[scim.Ref]string             // why, by the events
	seen   uint64
}

// A seamApp is an application that remembers what each transaction that was
// committed has told it.
type seamApp struct {
	*meteredApp
	last    map[string]*scim.Account // by host id
	pending []*scim.Account          // of the running transaction
	told    []*scim.Account          // of those since the last step
}

func (a *seamApp) Provision(ctx context.Context, acc *scim.Account) (string, error) {
	id, err := a.meteredApp.Provision(ctx, acc)
	if err == nil {
		own := *acc
		own.HostID = id
		a.pending = append(a.pending, &own)
	}
	return id, err
}

// A tellingLedger lets the application forget what a transaction told it that is
// rolled back.
type tellingLedger struct {
	scim.Ledger
	app *seamApp
}

func (l *tellingLedger) Do(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	l.app.pending = nil
	err := l.Ledger.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		l.app.pending = nil
		return fn(ctx, tx)
	})
	if err == nil {
		for _, a := range l.app.pending {
			l.app.last[a.HostID] = a
		}
		l.app.told = append(l.app.told, l.app.pending...)
	}
	l.app.pending = nil
	return err
}

func newSeams(t *testing.T, seed uint64) *seams {
	s := &seams{
		Rand: rand.New(rand.NewPCG(seed, 77)), t: t, groups: map[*guardRig]map[string]string{}, users: map[scim.Key][]string{},
		held: map[scim.Ref]string{},
	}
	s.outside = scim.Usage{SeatLimit: 3 + s.IntN(3), Seats: 1, Administrators: s.IntN(2)}
	policy := scim.Policy{
		Email: scim.EmailPolicy(s.IntN(4)), Domain: scim.DomainPolicy(s.IntN(3)), Seats: scim.SeatPolicy(s.IntN(4)), FreeRole: "viewer",
		RejoinByEmail: s.IntN(2) == 0, MassChange: scim.MassChangePolicy(s.IntN(2)),
	}
	s.first, _ = newPair(t, &s.outside, policy)
	s.app = &seamApp{meteredApp: s.first.metered, last: map[string]*scim.Account{}}
	dirs := slices.SortedFunc(maps.Values(s.first.source.now), func(a, b *scim.Directory) int { return cmp.Compare(a.ID, b.ID) })
	for _, d := range dirs {
		d.Policy.Seats = scim.SeatPolicy(s.IntN(4))
		s.open(d)
	}
	return s
}

// open begins to use a directory.
func (s *seams) open(d *scim.Directory) {
	g := &guardRig{source: s.first.source, metered: s.first.metered}
	g.ruleRig = newRuleRig(s.t, &tellingLedger{s.first.store, s.app}, scim.NoRoles{}, d, s.first.clock, func(cfg *scim.Config) {
		cfg.Directories, cfg.Catalog, cfg.Provisioner = s.first.source, guardedCatalog, s.app
	})
	g.store = s.first.store
	s.rigs = append(s.rigs, g)
	s.groups[g] = map[string]string{}
}

// send sends a write and returns the answer.
func (s *seams) send(g *guardRig, method, path, body string) (status int, id string) {
	s.t.Helper()
	g.clock.step()
	s.history = append(s.history, fmt.Sprintf("%s %s %s %s", g.dir.ID, method, path, body))
	req := httptest.NewRequestWithContext(context.Background(), method, "/scim/v2"+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+testToken)
	req.Header.Set("Content-Type", "application/scim+json")
	answer := httptest.NewRecorder()
	g.ServeHTTP(answer, req)
	s.history[len(s.history)-1] += fmt.Sprintf(" -> %d", answer.Code)
	if answer.Code >= 400 {
		s.history[len(s.history)-1] += answer.Body.String()
	}
	if answer.Code == http.StatusCreated {
		doc, err := decodeJSON(answer.Body.Bytes())
		require.NoError(s.t, err)
		id, _ = resolve(doc, "/id").(string)
	}
	return answer.Code, id
}

// did notes a step that is no request.
func (s *seams) did(format string, args ...any) {
	s.history = append(s.history, fmt.Sprintf(format, args...))
}

func (s *seams) person(name string) string {
	email, ext := name+"@acme.example", `,"externalId":"ext-`+name+`"`
	switch s.IntN(8) {
	case 0:
		email = name + "@else.example"
	case 1:
		ext = ""
	}
	return fmt.Sprintf(`{"userName":%q%s,"active":%t,"emails":[{"value":%q,"type":"work"}]}`, name, ext, s.IntN(6) > 0, email)
}

// present is the present state of a tenant.
type present struct {
	tally     *scim.Tally
	accounts  map[scim.Ref]scim.AccountState
	resources map[string]string // each directory's, as it is listed
}

func (s *seams) present() *present {
	p := &present{tally: s.first.tally(), accounts: map[scim.Ref]scim.AccountState{}, resources: map[string]string{}}
	for _, d := range s.first.source.now {
		all, err := s.first.store.Accounts(context.Background(), d.Key(), "", 10_000)
		require.NoError(s.t, err)
		for _, a := range all {
			p.accounts[a.User] = *a
		}
	}
	for _, g := range s.rigs {
		for _, endpoint := range []string{"/Users", "/Groups"} {
			req := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/scim/v2"+endpoint+"?count=1000&sortBy="+url.QueryEscape("id"), http.NoBody)
			req.Header.Set("Authorization", "Bearer "+testToken)
			answer := httptest.NewRecorder()
			g.ServeHTTP(answer, req)
			p.resources[g.dir.ID+endpoint] = answer.Body.String()
		}
	}
	return p
}

func (s *seams) step() {
	s.app.told = nil
	before := s.present()
	g := s.rigs[s.IntN(len(s.rigs))]
	what := s.act(g, before)
	after := s.present()
	s.check(what, before, after)
	if s.IntN(6) == 0 {
		s.reconcileAll()
		s.check(outcome{settled: true}, after, s.present())
	}
}

// An outcome says what a step has come to.
type outcome struct {
	refused bool // and nothing has changed
	retired bool
	settled bool // everybody was reconciled under what holds now
}

func (s *seams) act(g *guardRig, before *present) outcome {
	ctx, engine := context.Background(), g.scim.Engine()
	name := []string{"ada", "bob", "cid", "dan", "eve", "fay", "gus"}[s.IntN(7)]
	team := []string{"Admins", "Engineers", "Friends"}[s.IntN(3)]
	id := idOf(s.t, g.ruleRig, name)
	group := s.groups[g][team]
	status := 0
	switch what := s.IntN(40); {
	case group == "":
		var made string
		if status, made = s.send(g, http.MethodPost, "/Groups", fmt.Sprintf(`{"displayName":%q,"externalId":%q}`, team, "ext-"+team)); made != "" {
			s.groups[g][team] = made
		}
	case what == 0 && s.IntN(4) == 0:
		if status, _ = s.send(g, http.MethodDelete, "/Groups/"+group, ""); status < 300 {
			delete(s.groups[g], team)
		}
	case what == 1:
		if s.IntN(4) == 0 {
			s.retire(g)
			return outcome{retired: true}
		}
	case what == 2:
		s.first.metered.has(s.limit())
		return outcome{}
	case what == 3 || what == 4:
		off := scim.Switches(s.IntN(16))
		if s.IntN(2) == 0 {
			off = 0
		}
		g.off(off)
		s.did("%s off %s", g.dir.ID, off)
		return outcome{}
	case what == 5:
		rules := []roles.Rule{{GroupName: "Admins", Role: "admin"}, {GroupName: "Engineers", Role: "editor"}, {GroupName: "Friends", Role: "viewer"}}
		s.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
		m := roles.Mapping{Rules: rules[s.IntN(2):], Default: []string{"", "viewer", "editor"}[s.IntN(3)]}
		g.dir.Roles = mappedBy(s.t, m)
		s.did("%s mapping %+v", g.dir.ID, m)
		s.reconcileAll()
		return outcome{settled: true}
	case what == 6:
		g.dir.Policy.Seats = scim.SeatPolicy(s.IntN(4))
		g.dir.Policy.Email = scim.EmailPolicy(s.IntN(4))
		s.did("%s policy %s %s", g.dir.ID, g.dir.Policy.Seats, g.dir.Policy.Email)
		return outcome{}
	case id == "":
		var made string
		if status, made = s.send(g, http.MethodPost, "/Users", s.person(name)); made != "" {
			s.users[g.dir.Key()] = append(s.users[g.dir.Key()], made)
		}
	case what == 7 || what == 8:
		status, _ = s.send(g, http.MethodDelete, "/Users/"+id, "")
	case what < 12:
		status, _ = s.send(g, http.MethodPatch, "/Users/"+id, patchBody(replaceOp("active", "false")))
	case what < 17:
		status, _ = s.send(g, http.MethodPatch, "/Users/"+id, patchBody(replaceOp("active", "true")))
	case what == 17:
		status, _ = s.send(g, http.MethodPut, "/Users/"+id, s.person(name))
	case what == 18:
		status, _ = s.send(g, http.MethodPatch, "/Users/"+id, patchBody(replaceOp("title", fmt.Sprintf(`"%d"`, s.IntN(3))), replaceOp("displayName", fmt.Sprintf(`"%s %d"`, name, s.IntN(3)))))
	case what < 22:
		email := fmt.Sprintf("%s%s@%s", name, []string{"", "2"}[s.IntN(2)], []string{"acme.example", "acme.example", "else.example"}[s.IntN(3)])
		ops := []string{replaceOp(`emails[type eq "work"].value`, fmt.Sprintf("%q", email))}
		if s.IntN(3) == 0 {
			ops = append(ops, replaceOp("active", fmt.Sprint(s.IntN(2) == 0)))
		}
		status, _ = s.send(g, http.MethodPatch, "/Users/"+id, patchBody(ops...))
	case what < 28:
		status, _ = s.send(g, http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, id)))
	case what < 31:
		status, _ = s.send(g, http.MethodPatch, "/Groups/"+group, patchBody(fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, id)))
	case what == 31:
		var members []string
		for _, u := range s.users[g.dir.Key()] {
			if s.IntN(3) == 0 {
				members = append(members, fmt.Sprintf(`{"value":%q}`, u))
			}
		}
		status, _ = s.send(g, http.MethodPut, "/Groups/"+group, fmt.Sprintf(`{"displayName":%q,"externalId":%q,"members":[%s]}`, team, "ext-"+team, strings.Join(members, ",")))
	case what == 32:
		s.send(g, http.MethodPost, "/Bulk", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
			{"method":"PATCH","path":"/Users/%s","data":%s},{"method":"PATCH","path":"/Groups/%s","data":%s}]}`,
			id, patchBody(replaceOp("active", fmt.Sprint(s.IntN(2) == 0))), group, patchBody(fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, id))))
	case what == 33 || what == 34:
		given := [][]string{nil, nil, {"viewer"}, {"editor"}, {"owner"}, {"admin", "viewer"}}[s.IntN(6)]
		err := engine.SetManualRoles(ctx, g.dir, id, given...)
		s.did("%s by hand %s %v: %v", g.dir.ID, id, given, err)
		s.refusal(err)
		return outcome{refused: err != nil}
	case what == 35:
		err := engine.Release(ctx, g.dir, id)
		s.did("%s release %s: %v", g.dir.ID, id, err)
		s.refusal(err)
		return outcome{refused: err != nil}
	case what == 36 || what == 37:
		err := engine.ApproveEmail(ctx, g.dir, id)
		s.did("%s approve %s: %v", g.dir.ID, id, err)
		s.refusal(err)
		return outcome{refused: err != nil}
	case what == 38:
		s.broken(g, id)
		status, _ = s.send(g, http.MethodPatch, "/Users/"+id, patchBody(replaceOp("active", fmt.Sprint(s.IntN(2) == 0))))
		s.first.metered.broken = map[string]bool{}
		return outcome{refused: status >= 400}
	default:
		err := engine.Resync(ctx, g.dir, s.users[g.dir.Key()]...)
		s.did("%s resync: %v", g.dir.ID, err)
		require.NoError(s.t, err, s.story())
		return outcome{}
	}
	require.NotEqual(s.t, http.StatusInternalServerError, status, s.story())
	return outcome{refused: status >= 400}
}

// refusal requires that an error is one that an administrator can do something
// about.
func (s *seams) refusal(err error) {
	s.t.Helper()
	var refused *scim.Error
	if err != nil && !errors.As(err, &refused) {
		require.ErrorIs(s.t, err, scim.ErrUniqueness, s.story())
	}
}

// broken lets the application fail to be told of somebody.
func (s *seams) broken(g *guardRig, id string) {
	all := s.users[g.dir.Key()]
	if s.IntN(2) == 0 {
		id = all[s.IntN(len(all))]
	}
	s.did("cannot be told of %s", id)
	s.first.metered.broken = map[string]bool{id: true}
}

func (s *seams) limit() scim.Usage {
	s.outside.SeatLimit = []int{1, 2, 3, 4, 5, 8, 0}[s.IntN(7)]
	s.outside.Administrators = s.IntN(3) / 2
	s.did("outside %+v", s.outside)
	return s.outside
}

// retire gives a directory up, and opens another one that claims its people.
func (s *seams) retire(g *guardRig) {
	ctx, engine := context.Background(), g.scim.Engine()
	how := scim.Retirement(s.IntN(3))
	g.dir.Disabled = true
	s.did("%s retire %s", g.dir.ID, how)
	for chunk := range slices.Chunk(s.users[g.dir.Key()], 2) {
		require.NoError(s.t, engine.Retire(ctx, g.dir, how, chunk...), s.story())
	}
	_, err := engine.RetireRest(ctx, g.dir, 1000)
	require.NoError(s.t, err, s.story())
	s.rigs = slices.DeleteFunc(s.rigs, func(other *guardRig) bool { return other == g })
	s.gone = append(s.gone, g.dir)
	next := *g.dir
	next.Disabled, next.ID, next.Claims = false, fmt.Sprintf("%s-%d", strings.SplitN(g.dir.ID, "-", 2)[0], len(s.gone)), []string{g.dir.ID}
	s.first.source.now[next.Key()] = &next
	s.open(&next)
}

// reconcileAll works out everybody anew until nothing changes any more.
func (s *seams) reconcileAll() {
	s.t.Helper()
	changed := 1
	for round := 0; changed > 0; round++ {
		require.Less(s.t, round, 8, "it comes to an end: %s", s.story())
		changed = 0
		for _, g := range s.rigs {
			before := s.describe()
			n := g.reconcile(s.users[g.dir.Key()]...)
			s.did("%s reconcile: %d", g.dir.ID, n)
			if n == 0 {
				require.Equal(s.t, before, s.describe(), s.story())
			}
			before = s.describe()
			if again := g.reconcile(s.users[g.dir.Key()]...); again != 0 {
				require.Equal(s.t, before, s.describe(), "the second time changes nothing: %s", s.story())
				require.Zero(s.t, again, "the second time changes nothing: %s", s.story())
			}
			changed += n
		}
	}
}

// describe writes all accounts down.
func (s *seams) describe() string {
	var b bytes.Buffer
	all := s.present().accounts
	for _, ref := range slices.SortedFunc(maps.Keys(all), func(a, b scim.Ref) int { return cmp.Compare(a.ID, b.ID) }) {
		a := all[ref]
		var frozen scim.Frozen
		var profile scim.Profile
		if a.Frozen != nil {
			if frozen = *a.Frozen; frozen.Profile != nil {
				profile = *frozen.Profile
			}
		}
		a.Frozen, frozen.Profile = nil, nil // pointers say nothing
		fmt.Fprintf(&b, "%s %s: %+v frozen %+v %+v", ref.Directory.Directory, ref.ID, a, frozen, profile)
		b.WriteByte('\n')
	}
	return b.String()
}

// story is what has led here, put down only where something fails.
func (s *seams) story() fmt.Stringer { return story{s} }

type story struct{ *seams }

func (s story) String() string { return "\n" + strings.Join(s.history, "\n") + "\n" + s.describe() }

// check requires what always holds.
func (s *seams) check(did outcome, before, after *present) {
	s.t.Helper()
	if did.refused {
		s.unchanged(before, after)
	}
	s.counted()
	overage := slices.ContainsFunc(s.rigs, func(g *guardRig) bool { return g.dir.Policy.Seats == scim.OverageSeats })
	if limit := s.outside.SeatLimit; limit > 0 && !overage {
		require.LessOrEqual(s.t, after.tally.Seats, max(limit-s.outside.Seats, before.tally.Seats), "seats: %s", s.story())
	}
	if before.tally.Administrators > 0 && s.outside.Administrators == 0 && !did.retired {
		require.Positive(s.t, after.tally.Administrators, "administrators: %s", s.story())
	}
	s.happened()
	for ref, a := range after.accounts {
		s.checkAccount(ref, &a, did)
	}
	s.checkTold(after)
}

// unchanged requires that a refusal has left no trace but that it was one.
func (s *seams) unchanged(before, after *present) {
	s.t.Helper()
	require.Equal(s.t, before.resources, after.resources, s.story())
	for ref, a := range after.accounts {
		was := before.accounts[ref]
		was.RefusedEmail, a.RefusedEmail = "", ""
		require.Equal(s.t, was, a, s.story())
	}
	require.Len(s.t, after.accounts, len(before.accounts), s.story())
	require.Empty(s.t, s.app.told, s.story())
	was, is := *before.tally, *after.tally
	was.OverLimit, was.Today, was.Days, was.Directories = is.OverLimit, is.Today, is.Days, nil
	is.Directories = nil
	require.Equal(s.t, was, is, s.story())
}

// counted requires that what is counted is what there is.
func (s *seams) counted() {
	s.t.Helper()
	count := func(t *scim.Tally) string {
		per := map[string][4]int{}
		for id, d := range t.Directories {
			if n := [4]int{d.Accounts, d.Active, d.Held, d.Waiting}; n != [4]int{} {
				per[id] = n
			}
		}
		return fmt.Sprint(t.Administrators, t.Seats, t.Roles, per)
	}
	is := count(s.first.tally())
	require.NoError(s.t, s.first.scim.Engine().Recount(context.Background(), "acme", slices.Collect(maps.Keys(s.first.source.now))))
	if there := count(s.first.tally()); there != is {
		require.Equal(s.t, there, is, "counted: %s", s.story())
	}
}

// happened checks the events since it was called last: gapless, in the order of
// rule D3, holds and releases in turn.
func (s *seams) happened() {
	s.t.Helper()
	all, err := s.first.store.Events(context.Background(), "acme", s.seen, 10_000)
	require.NoError(s.t, err)
	var request scim.RequestID
	place := 0
	for _, e := range all {
		s.seen++
		require.Equal(s.t, s.seen, e.Seq, s.story())
		at := 0
		switch e.Type {
		case scim.GroupCreated, scim.GroupUpdated, scim.GroupDeleted:
			at = 1
		case scim.MembershipAdded, scim.MembershipRemoved:
			at = 2
		case scim.UserRolesChanged:
			at = 3
		case scim.SeatLimitReached, scim.SeatFreed, scim.TenantLastAdminProtected, scim.DirectoryAttention, scim.MappingInvalidRole:
			at = 4
		default:
		}
		if e.Request == request {
			require.LessOrEqual(s.t, place, at, "order of events: %s", s.story())
		}
		request, place = e.Request, at
		switch ref := e.Subject(); e.Type {
		case scim.UserHeld:
			require.Empty(s.t, s.held[ref], "held twice: %s", s.story())
			s.held[ref] = e.Note
		case scim.UserReleased:
			require.NotEmpty(s.t, s.held[ref], "released twice: %s", s.story())
			delete(s.held, ref)
		case scim.UserDeactivated:
			if s.held[ref] == scim.HeldForSeat { // out, and out of the queue
				delete(s.held, ref)
			}
		case scim.UserDeleted:
			delete(s.held, ref)
		default:
		}
	}
}

// checkAccount checks one account against what the directory says.
func (s *seams) checkAccount(ref scim.Ref, a *scim.AccountState, did outcome) {
	s.t.Helper()
	d := s.first.source.now[ref.Directory]
	if a.Unmanaged || d.Disabled {
		return
	}
	var p scim.UserState
	require.NoError(s.t, s.first.store.Do(context.Background(), "acme", func(ctx context.Context, tx scim.Tx) error {
		people, err := tx.UserStates(ctx, ref.Directory, []string{ref.ID})
		p = people[0]
		return err
	}))
	wanted := p.User != nil && p.User.User().Active()
	const kept = scim.PendingAdmin | scim.PendingDeactivate
	switch {
	case a.Active && a.Held != "":
		require.Fail(s.t, "active and held", "%s %s", ref.ID, s.story())
	case a.Active && !wanted && a.Pending&kept == 0:
		require.Fail(s.t, "has access, and is not in the directory", "%s %s", ref.ID, s.story())
	case !a.Active && wanted && a.Held == "" && a.Pending&scim.PendingCreate == 0:
		require.Fail(s.t, "has no access, and nothing says why", "%s %s", ref.ID, s.story())
	case a.Waits() == a.Since.IsZero():
		require.Fail(s.t, "since when it waits", "%s %s", ref.ID, s.story())
	}
	if did.settled {
		off := map[scim.Switches]scim.Pending{
			scim.CreateUsers: scim.PendingCreate, scim.UpdateAttributes: scim.PendingUpdate, scim.SyncGroups: scim.PendingGroups,
			scim.DeactivateUsers: scim.PendingDeactivate,
		}
		for part, pending := range off {
			if part == scim.UpdateAttributes || part == scim.DeactivateUsers && a.Pending&scim.PendingAdmin != 0 {
				continue // the email can be another's
			}
			if !d.Policy.Off.Has(part) && a.Pending&pending != 0 {
				require.Fail(s.t, "still pending", "%s %d %s", ref.ID, pending, s.story())
			}
		}
	}
	if p.User == nil || !a.Active {
		return
	}
	mapped, err := d.Roles.Roles(context.Background(), d, p.User, p.Groups)
	require.NoError(s.t, err)
	for _, g := range a.Grants {
		switch {
		case g.Source == scim.Manual, slices.Contains(mapped, g), a.Pending&(scim.PendingGroups|scim.PendingAdmin) != 0:
		case a.Pending&scim.PendingSeat != 0 && !slices.Contains(guardedCatalog.Billable, g.Role):
		default:
			require.Fail(s.t, "a role from nowhere", "%s %+v, of %+v %s", ref.ID, g, mapped, s.story())
		}
	}
	if a.Pending&(scim.PendingGroups|scim.PendingSeat|scim.PendingAdmin) == 0 {
		for _, g := range mapped {
			require.Contains(s.t, a.Grants, g, "a role that is missing: %s %s", ref.ID, s.story())
		}
	}
}

// checkTold requires that the application was told last what its account is.
func (s *seams) checkTold(after *present) {
	s.t.Helper()
	people := map[string][]scim.AccountState{}
	for _, a := range after.accounts {
		if a.HostID != "" && !a.Unmanaged && a.Pending&scim.PendingCreate == 0 {
			people[a.HostID] = append(people[a.HostID], a)
		}
	}
	for _, a := range after.accounts {
		if a.Unmanaged {
			delete(people, a.HostID) // the application's own too by now
		}
	}
	for host, accounts := range people {
		told := s.app.last[host]
		require.NotNil(s.t, told, "%s %s", host, s.story())
		if told.Change == scim.Released {
			continue // and a directory that claims it has not said anything yet
		}
		active := false
		for _, a := range accounts {
			active = active || a.Active
		}
		if live := slices.DeleteFunc(slices.Clone(accounts), func(a scim.AccountState) bool { return a.Deleted }); len(live) == 0 && !active {
			require.False(s.t, told.Active, "has access in no directory: %s %+v %s", host, told, s.story())
			continue
		}
		for _, a := range accounts {
			if a.Deleted && !a.Active {
				continue
			}
			d := s.first.source.now[a.User.Directory]
			now, err := s.first.scim.Engine().Account(context.Background(), d, a.User.ID)
			require.NoError(s.t, err, s.story())
			require.Equal(s.t, active, now.Active, "%s %s", host, s.story())
			same := now.Active == told.Active
			if now.Active {
				same = same && toldIn(now) == toldIn(told) && slices.Equal(now.Roles, told.Roles)
			}
			if told.ID == a.User.ID {
				same = same && toldIn(now) == toldIn(told) && slices.Equal(now.Roles, told.Roles) && now.Email == told.Email && now.EmailVerified == told.EmailVerified && now.Held == told.Held && reflect.DeepEqual(now.Profile, told.Profile)
			}
			if !same {
				require.Fail(s.t, "the application was told something else", "%s\nis   %+v\ntold %+v\n%s", host, now, told, s.story())
			}
		}
	}
}

func toldIn(a *scim.Account) string {
	var names []string
	for _, g := range a.Groups {
		names = append(names, g.ID+"/"+g.DisplayName)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// rest lets everything through that waits: nothing does any more.
func (s *seams) rest() {
	s.t.Helper()
	s.first.metered.has(scim.Usage{Administrators: 1})
	s.outside = scim.Usage{Administrators: 1}
	for _, g := range s.rigs {
		g.off(0)
		g.dir.Policy.Email, g.dir.Policy.Domain = scim.AllowEmailChange, scim.AnyDomain
	}
	s.did("rest")
	before := s.present()
	s.reconcileAll()
	after := s.present()
	s.check(outcome{settled: true}, before, after)
	owners := map[string]bool{}
	for _, a := range after.accounts {
		owners[a.HostID] = owners[a.HostID] || slices.Contains(a.Grants, byHand("owner"))
	}
	for ref, a := range after.accounts {
		if slices.ContainsFunc(s.rigs, func(g *guardRig) bool { return g.dir.Key() == ref.Directory }) && a.Pending&^scim.PendingUpdate != 0 && !owners[a.HostID] { // a protected role is kept until it is taken away by hand
			require.Fail(s.t, "still pending", "%s %s", ref.ID, s.story())
		}
	}
}
