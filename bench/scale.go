package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/roles"
	"github.com/muster-id/scim/sqlstore"
)

// growthAtMost is how many times its time in the small store an indexed call may take in
// the large one, and a change of one member of the big group the one of a small group.
const growthAtMost = 1.5

// A scaleRun is what the flags of the command "scale" say.
type scaleRun struct {
	sqlComparison

	tenants, group, small int
	sync                  int
	syncers               int
}

// runScale is the command "scale".
func runScale(ctx context.Context, arguments []string, w io.Writer) error {
	flags := flag.NewFlagSet("scale", flag.ExitOnError)
	var s scaleRun
	flags.IntVar(&s.users, "users", 1_000_000, "users of the large store, those in the big group included")
	flags.IntVar(&s.tenants, "tenants", 200, "tenants of the large store")
	flags.IntVar(&s.group, "group", 100_000, "members of the big group, which all users of the first tenant are in")
	flags.IntVar(&s.small, "small", 10_000, "users of the small store, in two tenants")
	flags.IntVar(&s.rounds, "rounds", 9, "rounds, in each of which the stores take turns")
	flags.DurationVar(&s.budget, "budget", 100*time.Millisecond, "time of one side of one call in one round")
	flags.IntVar(&s.sync, "sync", 500, "users of a directory that is synchronised for the first time")
	flags.IntVar(&s.syncers, "directories", 8, "directories that are synchronised at once")
	only := flags.String("only", "", "measure only the calls whose name this regular expression matches")
	flags.BoolVar(&s.statements, "statements", false, "print every statement in the large store, how often a call sends it and how long the driver has it")
	flags.StringVar(&s.dsn, "postgresql", "", "the data source name of an empty PostgreSQL, owned by its superuser, to use instead of a private one")
	_ = flags.Parse(arguments) // it exits
	var err error
	if s.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if s.tenants < 2 || s.group < 2*hotLength || s.users < s.group+s.tenants*2*hundredLength || s.small < 2*hotLength || s.users > 9_000_000 {
		return errors.New("-users, -tenants, -group, -small: these numbers do not fit together")
	}
	d, err := openPostgreSQL(ctx, s.dsn, "max_wal_size=16GB", "checkpoint_timeout=1h", "shared_buffers=1GB")
	if err != nil {
		return err
	}
	kept, err := s.run(ctx, w, d)
	if err = errors.Join(err, d.close()); err != nil {
		return err
	}
	if !kept {
		return errShort
	}
	return nil
}

func (s *scaleRun) run(ctx context.Context, w io.Writer, d *database) (kept bool, err error) {
	sizes := make([]int, s.tenants)
	sizes[0] = s.group
	for t, rest := 1, s.users-s.group; t < s.tenants; t++ {
		sizes[t] = rest / (s.tenants - t)
		rest -= sizes[t]
	}
	start := time.Now()
	if err := s.durable(ctx, d, false); err != nil {
		return false, err
	}
	small, err := s.open(ctx, d, "small_", []int{s.small - s.small/2, s.small / 2})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, small.store.Close()) }()
	large, err := s.open(ctx, d, "large_", sizes)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, large.store.Close()) }()
	if _, err := d.db.ExecContext(ctx, "VACUUM ANALYZE"); err != nil {
		return false, err
	}
	if err := s.durable(ctx, d, true); err != nil {
		return false, err
	}
	for _, world := range []*scaleWorld{small, large} {
		if err := world.verify(); err != nil {
			return false, fmt.Errorf("%s: what was filled in is not what the store writes: %w", world.prefix, err)
		}
	}
	fmt.Fprintf(w, "%s, %d users in %d tenants, filled and verified in %v\n", d.name, s.users, s.tenants, time.Since(start).Round(time.Second))

	kept = true
	const header, line = "%24s  %12s  %12s  %6s  %11s  %7s\n", "%24s  %9.0f µs  %9.0f µs  %6.2f  %11s  %7.1f  %s\n"
	row := func(name string, above, below call) error {
		if !s.only.MatchString(name) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := s.duel(above, below)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		ok := r.ratio <= growthAtMost
		kept = kept && ok
		fmt.Fprintf(w, line, name, r.ours, r.floor, r.ratio, fmt.Sprintf("%.2f–%.2f", r.low, r.high), growthAtMost, okMark(ok))
		return nil
	}
	fmt.Fprintf(w, header, "call", strconv.Itoa(s.users), strconv.Itoa(s.small), "ratio", "spread", "at most")
	above, below := large.calls(), small.calls()
	for i := range above {
		if err := row(above[i].name, above[i], below[i]); err != nil {
			return false, err
		}
	}
	fmt.Fprintf(w, header, "group", "of "+strconv.Itoa(s.group), "of "+strconv.Itoa(hundredLength), "ratio", "spread", "at most")
	if err := row("add + remove member", large.memberCall(everyoneKind), large.memberCall(hundredKind)); err != nil {
		return false, err
	}
	if err := row("GET group, no members", large.groupCall(everyoneKind), large.groupCall(hundredKind)); err != nil {
		return false, err
	}
	if s.only.MatchString("sync") {
		for i, directories := range []int{1, s.syncers} {
			took, err := large.firstSync(i*s.syncers, directories, s.sync)
			if err != nil {
				return false, err
			}
			fmt.Fprintf(w, "first synchronisation, %d directories at once: %.0f users a second (%d users, a lookup, a POST and a membership PATCH each)\n",
				directories, float64(directories*s.sync)/took.Seconds(), directories*s.sync)
		}
	}
	return kept, nil
}

// durable turns off what a fill need not wait for, or on what a measurement is about.
func (s *scaleRun) durable(ctx context.Context, d *database, on bool) error {
	change := "SET fsync = off"
	if on {
		change = "RESET fsync"
	}
	for _, statement := range []string{"ALTER SYSTEM " + change, "SELECT pg_reload_conf()", "CHECKPOINT"} {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if on && s.dsn == "" {
		_ = exec.CommandContext(ctx, "sync").Run() // what was filled in must not be written while something is measured
	}
	return nil
}

// A scaleWorld is a filled store, with a client for each tenant.
type scaleWorld struct {
	prefix  string
	store   *sqlstore.Store
	handler http.Handler
	tenants []int // users of each
	clients map[string]*client
	numbers []int // of the users that calls are about, spread over all
	created int
}

// token is the credential of a tenant.
func tokenOf(tenant string) string { return bearerToken + tenant }

func syncTenant(i int) string { return fmt.Sprintf("sync-%04d", i) }

func (s *scaleRun) open(ctx context.Context, d *database, prefix string, tenants []int) (*scaleWorld, error) {
	opts := &sqlstore.Options{Prefix: prefix}
	if err := sqlstore.Migrate(ctx, d.db, d.dialect, opts); err != nil {
		return nil, err
	}
	store, err := sqlstore.New(ctx, d.db, d.dialect, scim.CoreTypes(), opts)
	if err != nil {
		return nil, err
	}
	world := &scaleWorld{prefix: prefix, store: store, tenants: tenants, clients: make(map[string]*client)}
	if err := world.mount(s.syncers * 2); err != nil {
		return nil, err
	}
	f := fill{d: d, prefix: prefix, tenants: tenants}
	return world, f.run(ctx, world.clients[patternTenant])
}

// mount makes a handler that knows all tenants, and as many again that are empty.
func (w *scaleWorld) mount(empty int) error {
	mapper, err := roles.New(roles.Mapping{Default: "viewer", Rules: []roles.Rule{
		{GroupName: hundredName, Role: "editor"}, {GroupName: everyoneName, Role: "member"},
	}})
	if err != nil {
		return err
	}
	names := []string{patternTenant}
	total := 0
	for t, users := range w.tenants {
		names = append(names, tenantName(t))
		total += users
	}
	for i := range empty {
		names = append(names, syncTenant(i))
	}
	var tokens []scim.Token
	for _, name := range names {
		tokens = append(tokens, scim.Token{Secret: tokenOf(name), Label: "bench", Directory: &scim.Directory{
			Tenant: name, ID: benchDirectory, Domains: []string{emailDomain},
		}})
	}
	auth, err := scim.StaticTokens(tokens...)
	if err != nil {
		return err
	}
	host := scim.ProvisionerFunc(func(_ context.Context, a *scim.Account) (string, error) { return a.ID, nil })
	w.handler, err = scim.NewHandler(w.store, mapper, auth, &scim.Config{Provisioner: host, BaseURL: baseURL, ProvisionTimeout: time.Minute, DirectHooks: true})
	if err != nil {
		return err
	}
	for _, name := range names {
		c, err := newClient(subject{handler: w.handler})
		if err != nil {
			return err
		}
		c.template.Header.Set("Authorization", "Bearer "+tokenOf(name))
		w.clients[name] = c
	}
	for k := range hotLength {
		w.numbers = append(w.numbers, k*(total/hotLength))
	}
	return nil
}

// of returns the client of the tenant that user n is in.
func (w *scaleWorld) of(n int) *client {
	for t, users := range w.tenants {
		if n < users {
			return w.clients[tenantName(t)]
		}
		n -= users
	}
	return nil
}

// A scaleMessage is a message and who sends it.
type scaleMessage struct {
	client *client
	message
}

// about makes a call of one message about each user that calls are about, in a mixed
// order, in each of several rounds.
func (w *scaleWorld) about(name string, want expectation, rounds int, make func(number string, id string, round int) message) call {
	var messages []scaleMessage
	for round := range rounds {
		for i := range w.numbers {
			n := w.numbers[i*617%len(w.numbers)] // 617 has no factor in common with 1,000
			messages = append(messages, scaleMessage{w.of(n), make(sevenDigits(n), scaleID(userKind, n), round)})
		}
	}
	return call{name: name, do: cycle(len(messages), func(i int) error { return messages[i].client.expect(&messages[i].message, &want) })}
}

var (
	oneUser    = expectation{status: http.StatusOK, least: wholeUser, most: 3 * wholeUser}
	noUser     = expectation{status: http.StatusOK, least: 50, most: envelopeAtMost}
	anySuccess = expectation{status: http.StatusOK, emptyToo: true, least: 100, most: anyLength}
	newUser    = expectation{status: http.StatusCreated, least: wholeUser, most: 3 * wholeUser}
)

// calls are what must not depend on how many users there are.
func (w *scaleWorld) calls() []call {
	search := func(name, filter string) call {
		return w.about(name, oneUser, 1, func(number, _ string, _ int) message {
			return message{method: http.MethodGet, path: "/Users", query: filterQuery(strings.ReplaceAll(filter, "#", number))}
		})
	}
	active := [][]byte{patchActive(false), patchActive(true)}
	return []call{
		w.about(callGet, oneUser, 1, func(_, id string, _ int) message { return message{method: http.MethodGet, path: "/Users/" + id} }),
		search("userName eq, hit", `userName eq "user.#@`+emailDomain+`"`),
		w.about(callMiss, noUser, 1, func(number, _ string, _ int) message {
			return message{method: http.MethodGet, path: "/Users", query: filterQuery(`userName eq "nobody.` + number + `@` + emailDomain + `"`)}
		}),
		w.about("id eq", oneUser, 1, func(_, id string, _ int) message {
			return message{method: http.MethodGet, path: "/Users", query: filterQuery(`id eq "` + id + `"`)}
		}),
		search("externalId eq", `externalId eq "00u5kq9#pV9d7"`),
		search("emails.value eq", `emails.value eq "home#@mail.test"`),
		search("emails[…] eq", `emails[type eq "home" and value eq "home#@mail.test"]`),
		search("displayName eq", `displayName eq "`+displayOf("#")+`"`),
		search("userName eq and active", `userName eq "user.#@`+emailDomain+`" and active eq true`),
		w.about("Groups: displayName eq", expectation{status: http.StatusOK, least: 200, most: 2000}, 1, func(_, _ string, _ int) message {
			return message{method: http.MethodGet, path: "/Groups", query: filterQuery(`displayName eq "`+everyoneName+`"`) + "&excludedAttributes=members"}
		}),
		w.about(callPage, expectation{status: http.StatusOK, least: pageLength * wholeUser, most: anyLength}, 1, func(_, _ string, _ int) message {
			return message{method: http.MethodGet, path: "/Users", query: fmt.Sprintf("startIndex=1&count=%d", pageLength)}
		}),
		w.about(callPatch, anySuccess, 2, func(_, id string, round int) message {
			return message{method: http.MethodPatch, path: "/Users/" + id, body: active[round]}
		}),
		w.about(callPut, oneUser, 2, func(number, id string, round int) message {
			body := scaleUser(number)
			if round == 0 {
				body = []byte(strings.Replace(string(body), titleFirst, titleSecond, 1))
			}
			return message{method: http.MethodPut, path: "/Users/" + id, body: body}
		}),
		w.postCall(),
	}
}

// displayOf is the displayName of a user.
func displayOf(number string) string {
	var user struct{ DisplayName string }
	if err := json.Unmarshal(scaleUser(number), &user); err != nil {
		panic(err) // it is written here
	}
	return user.DisplayName
}

// postCall creates users in all tenants, and deletes them between batches.
func (w *scaleWorld) postCall() call {
	const batch = 64
	type made struct {
		client   *client
		location string
	}
	var messages []scaleMessage
	var users []made
	refill := func() {
		messages, users = messages[:0], users[:0]
		for i := range batch {
			client := w.of(w.numbers[(w.created+i)*617%len(w.numbers)])
			messages = append(messages, scaleMessage{client, message{method: http.MethodPost, path: "/Users", body: scaleUser(sevenDigits(9_100_000 + w.created + i))}})
		}
		w.created += batch
	}
	refill()
	return call{
		name: callPost, batch: batch,
		do: func() error {
			m := &messages[len(users)]
			if err := m.client.expect(&m.message, &newUser); err != nil {
				return err
			}
			users = append(users, made{m.client, m.client.answer.header.Get("Location")})
			return nil
		},
		clean: func() error {
			for _, u := range users {
				m := message{method: http.MethodDelete, path: "/Users/" + path.Base(u.location)}
				if err := u.client.expect(&m, &expectation{status: http.StatusNoContent}); err != nil {
					return err
				}
			}
			refill()
			return nil
		},
	}
}

// memberCall removes a member of a group of the first tenant and adds it again, as one
// call. Roles follow from both groups.
func (w *scaleWorld) memberCall(kind int) call {
	c, group := w.clients[tenantName(0)], "/Groups/"+scaleID(kind, 0)
	length := hundredLength
	if kind == everyoneKind {
		length = w.tenants[0]
	}
	var messages []message
	for k := range hundredLength {
		id := scaleID(userKind, k*(length/hundredLength))
		for _, body := range [][]byte{patchRemoveMember(id), patchAddMember(id)} {
			messages = append(messages, message{method: http.MethodPatch, path: group, body: body})
		}
	}
	return call{name: callMember, do: cycle(len(messages)/2, func(i int) error {
		return cmp.Or(c.expect(&messages[2*i], &anySuccess), c.expect(&messages[2*i+1], &anySuccess))
	})}
}

func (w *scaleWorld) groupCall(kind int) call {
	c := w.clients[tenantName(0)]
	m := message{method: http.MethodGet, path: "/Groups/" + scaleID(kind, 0), query: "excludedAttributes=members"}
	want := expectation{status: http.StatusOK, least: 100, most: groupWithoutMost}
	return call{name: callGroup, do: func() error { return c.expect(&m, &want) }}
}

// verify reads some of what was filled in through the handler: a user is what was meant,
// is found by each of its names and is in its groups; to replace it by the same document
// changes nothing; listings and groups have their lengths.
func (w *scaleWorld) verify() error {
	n := 0
	for t, users := range w.tenants {
		c := w.clients[tenantName(t)]
		if err := w.verifyTenant(c, t, n, users); err != nil {
			return err
		}
		for _, ordinal := range []int{0, hundredLength - 1, hundredLength, users - 1} {
			if err := w.verifyUser(c, n+ordinal, ordinal); err != nil {
				return fmt.Errorf("user %d of tenant %d: %w", ordinal, t, err)
			}
		}
		n += users
	}
	return nil
}

func (w *scaleWorld) verifyUser(c *client, n, ordinal int) error {
	id, number := scaleID(userKind, n), sevenDigits(n)
	var got struct {
		user
		ExternalID string `json:"externalId"`
		Meta       struct{ Version string }
	}
	get := c.message(http.MethodGet, "/Users/"+id, "", nil)
	if err := c.fetch(get, &got); err != nil {
		return err
	}
	other := scaleID(hundredKind, n-ordinal)
	if ordinal >= hundredLength {
		other = scaleID(crewKind, n-ordinal%hundredLength)
	}
	if got.ID != id || got.UserName != "user."+number+"@"+emailDomain || got.ExternalID != "00u5kq9"+number+"pV9d7" || len(got.Groups) != 2 {
		return fmt.Errorf("GET: %+v", got)
	}
	for _, g := range got.Groups {
		if g.Value != scaleID(everyoneKind, n-ordinal) && g.Value != other {
			return fmt.Errorf("it is in the group %s", g.Value)
		}
	}
	version := got.Meta.Version
	put := c.message(http.MethodPut, "/Users/"+id, "", scaleUser(number))
	if err := c.expect(&put, &oneUser); err != nil {
		return err
	}
	if err := c.fetch(get, &got); err != nil {
		return err
	}
	if got.Meta.Version != version {
		return errors.New("a PUT of its own document has changed it")
	}
	for _, filter := range []string{
		`id eq "` + id + `"`, `userName eq "USER.` + number + `@` + emailDomain + `"`, `externalId eq "00u5kq9` + number + `pV9d7"`,
		`emails.value eq "HOME` + number + `@mail.test"`, `displayName eq "` + displayOf(number) + `"`,
		`name.givenName eq "g` + number + `" and phoneNumbers.value co "` + number + `" and active eq true`,
	} {
		var l list
		if err := c.fetch(c.message(http.MethodGet, "/Users", filterQuery(filter), nil), &l); err != nil {
			return err
		}
		if l.TotalResults != 1 || len(l.Resources) != 1 || l.Resources[0].ID != id {
			return fmt.Errorf("%s finds %d", filter, l.TotalResults)
		}
	}
	return nil
}

func (w *scaleWorld) verifyTenant(c *client, t, n, users int) error {
	for _, want := range []struct {
		path, query string
		total       int
	}{
		{"/Users", "count=1", users},
		{"/Groups", "count=1&excludedAttributes=members", 2 + (users-1)/hundredLength},
		{"/Users", filterQuery(`active eq true`) + "&count=1", users},
		{"/Users", filterQuery(`groups.value eq "`+scaleID(hundredKind, n)+`"`) + "&count=1", hundredLength},
	} {
		var l list
		if err := c.fetch(c.message(http.MethodGet, want.path, want.query, nil), &l); err != nil {
			return err
		}
		if l.TotalResults != want.total {
			return fmt.Errorf("tenant %d: %s?%s has %d, expected %d", t, want.path, want.query, l.TotalResults, want.total)
		}
	}
	members := 0
	group := scim.Ref{Directory: scim.Key{Tenant: tenantName(t), Directory: benchDirectory}, Type: "Group", ID: scaleID(everyoneKind, n)}
	for _, err := range w.store.Members(context.Background(), group) {
		if err != nil {
			return err
		}
		members++
	}
	if members != users {
		return fmt.Errorf("tenant %d: Everyone has %d members, expected %d", t, members, users)
	}
	return nil
}

// firstSync has directories that are empty synchronised at once, each by one client as
// Entra does it: a lookup that finds nothing, a POST, and a PATCH that makes the user a
// member of a group.
func (w *scaleWorld) firstSync(from, directories, users int) (time.Duration, error) {
	failures := make([]error, directories)
	var next atomic.Int64
	var wait sync.WaitGroup
	start := time.Now()
	for i := range directories {
		wait.Go(func() {
			c := w.clients[syncTenant(from+i)]
			m := c.message(http.MethodPost, "/Groups", "", groupBody(everyoneName, nil))
			group, err := c.create(&m)
			for k := 0; k < users && err == nil; k++ {
				number := sevenDigits(int(next.Add(1)))
				lookup := c.message(http.MethodGet, "/Users", filterQuery(`userName eq "user.`+number+`@`+emailDomain+`"`), nil)
				if err = c.expect(&lookup, &noUser); err != nil {
					break
				}
				post := c.message(http.MethodPost, "/Users", "", scaleUser(number))
				var id string
				if id, err = c.create(&post); err != nil {
					break
				}
				patch := c.message(http.MethodPatch, "/Groups/"+group, "", patchAddMember(id))
				err = c.expect(&patch, &anySuccess)
			}
			failures[i] = err
		})
	}
	wait.Wait()
	return time.Since(start), errors.Join(failures...)
}
