package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
)

const (
	pageLength = 100 // count of the list call
	scanLength = 10  // count of the scan, so that answering does not hide scanning
	hotLength  = 1000
)

// Walks through a store are this long at most, so that the messages themselves stay
// small beside what they make a server touch: at 100,000 users the walk of GET
// reaches 16,384 of them, far more than a processor's cache holds.
const (
	longWalk  = 16384
	shortWalk = 4096
)

// A population is a subject filled with users and groups, and what is needed to
// write requests about them.
type population struct {
	client *client
	n      int
	step   int      // user k of the population is user k*step of the documents
	ids    []string // of users
	groups map[string]string

	created int // users beyond the population that POST made, all deleted again
}

// populate creates n users through the subject's own POST, and unless usersOnly, the
// groups that make each a member of three.
func populate(s subject, n, step int, usersOnly bool) (*population, error) {
	c, err := newClient(s)
	if err != nil {
		return nil, err
	}
	p := &population{client: c, n: n, step: step, groups: make(map[string]string)}
	if !usersOnly {
		p.ids = make([]string, n)
	}
	var document []byte
	for k := range n {
		document = appendUser(document[:0], k*step, titleFirst)
		m := c.message(http.MethodPost, "/Users", "", document)
		id, err := c.create(&m)
		if err != nil {
			return nil, fmt.Errorf("user %d: %w", k, err)
		}
		if !usersOnly {
			p.ids[k] = id
		}
	}
	if usersOnly {
		return p, nil
	}
	return p, p.createGroups()
}

// inHundred reports whether user k is one of the hundred.
func (p *population) inHundred(k int) bool {
	every := max(p.n/hundredLength, 1)
	return k%every == 0 && k/every < hundredLength
}

func (p *population) createGroups() error {
	members := map[string][]string{everyoneName: p.ids}
	for k, id := range p.ids {
		first, second := teamsOf(k * p.step)
		names := [2]string{teamName(first), teamName(second)}
		if p.inHundred(k) {
			names[1] = hundredName
		}
		for _, name := range names {
			members[name] = append(members[name], id)
		}
	}
	names := make([]string, 0, teamCount+2)
	for t := range teamCount {
		names = append(names, teamName(t))
	}
	for _, name := range append(names, hundredName, everyoneName) {
		m := p.client.message(http.MethodPost, "/Groups", "", groupBody(name, members[name]))
		id, err := p.client.create(&m)
		if err != nil {
			return fmt.Errorf("group %s: %w", name, err)
		}
		p.groups[name] = id
	}
	return nil
}

// walk returns the users that a call visits, in random order: of all users, or if hot
// of the thousand that stores of every size share, those of the given quarter. Calls
// that change users have a quarter each, so that none undoes what another relies on;
// for the same reason a walk that is not hot leaves the shared users out, except in a
// store that has no others.
func (p *population) walk(hot bool, length, quarter int) []int {
	stride := max(p.n/hotLength, 1)
	var users []int
	for k := range p.n {
		if shared := k%stride == 0; stride > 1 && shared != hot {
			continue
		}
		if quarter < 0 || mix(k*p.step)>>60&3 == uint64(quarter) {
			users = append(users, k)
		}
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same walk in every run is the point
	random.Shuffle(len(users), func(i, j int) { users[i], users[j] = users[j], users[i] })
	return users[:min(len(users), length)]
}

// A call is one row of the table: something a provider does, again and again.
type call struct {
	name string

	// do sends the next message, and reports an answer that is not the right one.
	do func() error

	// batch, if not zero, is the largest number of calls between cleanings, and clean
	// takes back what they left behind. It is not measured.
	batch int
	clean func() error
}

// cycle calls f with 0, 1, … n-1, 0, 1, …
func cycle(n int, f func(i int) error) func() error {
	next := 0
	return func() error {
		i := next
		if next++; next == n {
			next = 0
		}
		return f(i)
	}
}

func filterQuery(filter string) string { return "filter=" + url.QueryEscape(filter) }

func (p *population) userPath(k int) string { return "/Users/" + p.ids[k] }

// The names of the calls, in the order of the table.
const (
	callGet          = "GET"
	callHit          = "userName eq, hit"
	callMiss         = "userName eq, miss"
	callScan         = "scan: sw and eq"
	callPage         = "list page of 100"
	callPatch        = "PATCH active"
	callPut          = "PUT, changed"
	callPutSame      = "PUT, nothing changed"
	callPost         = "POST"
	callMember       = "add + remove member"
	callMemberSmall  = "add + remove member, 100"
	callGroup        = "GET group, no members"
	wholeUser        = 700 // bytes that an answer with a user has at least
	anyLength        = math.MaxInt
	envelopeAtMost   = 400 // bytes of a list without results
	groupWithoutMost = 600
)

// callNames are the rows of the table, in its order.
var callNames = []string{
	callGet, callHit, callMiss, callScan, callPage, callPatch, callPut, callPutSame, callPost, callMember, callGroup,
}

// call prepares the named call; if hot, on the thousand users that stores of every
// size share.
func (p *population) call(name string, hot bool) (call, error) {
	switch name {
	case callGet:
		return p.getCall(hot), nil
	case callHit:
		return p.hitCall(hot), nil
	case callMiss:
		return p.missCall(), nil
	case callScan:
		query := filterQuery(`name.givenName sw "`+scanPrefix+`" and active eq true`) + fmt.Sprintf("&count=%d", scanLength)
		return p.listCall(name, query, scanLength), nil
	case callPage:
		return p.listCall(name, fmt.Sprintf("startIndex=1&count=%d", pageLength), pageLength), nil
	case callPatch:
		return p.patchCall(hot), nil
	case callPut, callPutSame:
		return p.putCall(name, hot), nil
	case callPost:
		return p.postCall(), nil
	case callMember:
		return p.memberCall(name, everyoneName, p.walk(hot, shortWalk, -1)), nil
	case callMemberSmall:
		var members []int
		for k := range p.n {
			if p.inHundred(k) {
				members = append(members, k)
			}
		}
		return p.memberCall(name, hundredName, members), nil
	case callGroup:
		m := p.client.message(http.MethodGet, "/Groups/"+p.groups[everyoneName], "excludedAttributes=members", nil)
		want := expectation{status: http.StatusOK, least: 100, most: groupWithoutMost}
		return call{name: name, do: func() error { return p.client.expect(&m, &want) }}, nil
	default:
		return call{}, fmt.Errorf("no call is named %q", name)
	}
}

func (p *population) getCall(hot bool) call {
	walk := p.walk(hot, longWalk, -1)
	messages := make([]message, len(walk))
	for i, k := range walk {
		messages[i] = p.client.message(http.MethodGet, p.userPath(k), "", nil)
	}
	want := expectation{status: http.StatusOK, least: wholeUser, most: 3 * wholeUser}
	return call{name: callGet, do: cycle(len(messages), func(i int) error {
		return p.client.expect(&messages[i], &want)
	})}
}

func (p *population) hitCall(hot bool) call {
	walk := p.walk(hot, longWalk, -1)
	messages := make([]message, len(walk))
	for i, k := range walk {
		messages[i] = p.client.message(http.MethodGet, "/Users", filterQuery(`userName eq "`+userName(k*p.step)+`"`), nil)
	}
	want := expectation{status: http.StatusOK, least: wholeUser, most: 3 * wholeUser}
	return call{name: callHit, do: cycle(len(messages), func(i int) error {
		return p.client.expect(&messages[i], &want)
	})}
}

func (p *population) missCall() call {
	messages := make([]message, hotLength)
	for i := range messages {
		messages[i] = p.client.message(http.MethodGet, "/Users",
			filterQuery(fmt.Sprintf(`userName eq "nobody.%05d@%s"`, i, emailDomain)), nil)
	}
	want := expectation{status: http.StatusOK, least: 50, most: envelopeAtMost}
	return call{name: callMiss, do: cycle(len(messages), func(i int) error {
		return p.client.expect(&messages[i], &want)
	})}
}

func (p *population) listCall(name, query string, length int) call {
	m := p.client.message(http.MethodGet, "/Users", query, nil)
	want := expectation{status: http.StatusOK, least: length * wholeUser, most: length * 3 * wholeUser}
	return call{name: name, do: func() error { return p.client.expect(&m, &want) }}
}

// patchCall deactivates the users of the walk in one round and activates them again
// in the next.
func (p *population) patchCall(hot bool) call {
	walk := p.walk(hot, shortWalk, 0)
	messages := make([]message, 0, 2*len(walk))
	for _, active := range []bool{false, true} {
		for _, k := range walk {
			messages = append(messages, p.client.message(http.MethodPatch, p.userPath(k), "", patchActive(active)))
		}
	}
	want := expectation{status: http.StatusOK, emptyToo: true, least: wholeUser, most: 3 * wholeUser}
	return call{name: callPatch, do: cycle(len(messages), func(i int) error {
		return p.client.expect(&messages[i], &want)
	})}
}

// putCall replaces users. What changes is the title, to one value in one round and
// back in the next; where nothing is to change, the first round already sends what
// is stored.
func (p *population) putCall(name string, hot bool) call {
	titles, quarter := []string{titleSecond, titleFirst}, 1
	if name == callPutSame {
		titles, quarter = []string{titleFirst}, 2
	}
	walk := p.walk(hot, shortWalk, quarter)
	messages := make([]message, 0, len(titles)*len(walk))
	for _, title := range titles {
		for _, k := range walk {
			body := appendUser(nil, k*p.step, title)
			messages = append(messages, p.client.message(http.MethodPut, p.userPath(k), "", body))
		}
	}
	want := expectation{status: http.StatusOK, least: wholeUser, most: 3 * wholeUser}
	return call{name: name, do: cycle(len(messages), func(i int) error {
		return p.client.expect(&messages[i], &want)
	})}
}

// postCall creates users that are in no group, and deletes them between batches, so
// that the store does not grow with the speed of the server.
func (p *population) postCall() call {
	const batch = 64
	bodies := make([][]byte, batch)
	refill := func() {
		for i := range bodies {
			bodies[i] = appendUser(bodies[i][:0], 5_000_000+p.created+i, titleFirst)
		}
		p.created += batch
	}
	refill()

	m := p.client.message(http.MethodPost, "/Users", "", nil)
	want := expectation{status: http.StatusCreated, least: wholeUser, most: 3 * wholeUser}
	locations := make([]string, 0, batch)
	return call{
		name: callPost, batch: batch,
		do: func() error {
			m.body = bodies[len(locations)]
			if err := p.client.expect(&m, &want); err != nil {
				return err
			}
			locations = append(locations, p.client.answer.header.Get("Location"))
			return nil
		},
		clean: func() error {
			for _, location := range locations {
				m := p.client.message(http.MethodDelete, "/Users/"+path.Base(location), "", nil)
				if err := p.client.expect(&m, &expectation{status: http.StatusNoContent}); err != nil {
					return err
				}
			}
			locations = locations[:0]
			refill()
			return nil
		},
	}
}

// memberCall removes one member of the named group and adds it again; the two
// requests are one call.
func (p *population) memberCall(name, group string, members []int) call {
	target := "/Groups/" + p.groups[group]
	removals, additions := make([]message, len(members)), make([]message, len(members))
	for i, k := range members {
		removals[i] = p.client.message(http.MethodPatch, target, "", patchRemoveMember(p.ids[k]))
		additions[i] = p.client.message(http.MethodPatch, target, "", patchAddMember(p.ids[k]))
	}
	want := expectation{status: http.StatusOK, emptyToo: true, least: 100, most: anyLength}
	return call{name: name, do: cycle(len(members), func(i int) error {
		if err := p.client.expect(&removals[i], &want); err != nil {
			return err
		}
		return p.client.expect(&additions[i], &want)
	})}
}

// verify asks once for what the calls rely on and reads the answers through, so
// that a server that answers fast and wrong does not get into the table. It leaves the
// population as it found it.
func (p *population) verify() error {
	return errors.Join(p.verifyUser(), p.verifyLists(), p.verifyWrites(), p.verifyMembers())
}

// user is what is read of an answer.
type user struct {
	ID       string `json:"id"`
	UserName string `json:"userName"`
	Title    string `json:"title"`
	Active   bool   `json:"active"`
	Groups   []struct {
		Value string `json:"value"`
	} `json:"groups"`
}

type list struct {
	TotalResults int    `json:"totalResults"`
	Resources    []user `json:"Resources"`
}

func (p *population) fetchUser(k int) (u user, err error) {
	err = p.client.fetch(p.client.message(http.MethodGet, p.userPath(k), "", nil), &u)
	return u, err
}

func (p *population) verifyUser() error {
	k := p.n / 2
	u, err := p.fetchUser(k)
	if err != nil {
		return err
	}
	if u.ID != p.ids[k] || u.UserName != userName(k*p.step) || !u.Active || len(u.Groups) != 3 {
		return fmt.Errorf("GET of user %d: %+v", k, u)
	}
	return nil
}

func (p *population) verifyLists() error {
	matching := 0
	for k := range p.n {
		if bytes.HasPrefix([]byte(givenName(k*p.step)), []byte(scanPrefix)) {
			matching++
		}
	}
	k := p.n / 3
	for _, want := range []struct {
		query           string
		total, returned int
	}{
		{filterQuery(`userName eq "` + userName(k*p.step) + `"`), 1, 1},
		{filterQuery(`userName eq "nobody.00001@` + emailDomain + `"`), 0, 0},
		{filterQuery(`name.givenName sw "`+scanPrefix+`" and active eq true`) + "&count=10", matching, min(scanLength, matching)},
		{"startIndex=1&count=100", p.n, min(pageLength, p.n)},
	} {
		var l list
		if err := p.client.fetch(p.client.message(http.MethodGet, "/Users", want.query, nil), &l); err != nil {
			return err
		}
		if l.TotalResults != want.total || len(l.Resources) != want.returned {
			return fmt.Errorf("GET /Users?%s: %d of %d results, expected %d of %d",
				want.query, len(l.Resources), l.TotalResults, want.returned, want.total)
		}
		if want.total == 1 && l.Resources[0].ID != p.ids[k] {
			return fmt.Errorf("GET /Users?%s found %s", want.query, l.Resources[0].UserName)
		}
	}
	return nil
}

func (p *population) verifyWrites() error {
	k := p.n / 4
	for _, write := range []struct {
		method string
		body   []byte
		title  string
		active bool
	}{
		{http.MethodPatch, patchActive(false), titleFirst, false},
		{http.MethodPatch, patchActive(true), titleFirst, true},
		{http.MethodPut, appendUser(nil, k*p.step, titleSecond), titleSecond, true},
		{http.MethodPut, appendUser(nil, k*p.step, titleFirst), titleFirst, true},
	} {
		m := p.client.message(write.method, p.userPath(k), "", write.body)
		want := expectation{status: http.StatusOK, emptyToo: true, least: wholeUser, most: 3 * wholeUser}
		if err := p.client.expect(&m, &want); err != nil {
			return err
		}
		u, err := p.fetchUser(k)
		if err != nil {
			return err
		}
		if u.Title != write.title || u.Active != write.active || len(u.Groups) != 3 {
			return fmt.Errorf("after %s %s: %+v", write.method, write.body, u)
		}
	}
	return nil
}

func (p *population) verifyMembers() error {
	k := p.n / 5
	change := func(body []byte, members, groups int) error {
		target := "/Groups/" + p.groups[everyoneName]
		m := p.client.message(http.MethodPatch, target, "", body)
		if err := p.client.expect(&m, &expectation{status: http.StatusOK, emptyToo: true, least: 100, most: anyLength}); err != nil {
			return err
		}
		var group struct {
			Members []struct {
				Value string `json:"value"`
			} `json:"members"`
		}
		if err := p.client.fetch(p.client.message(http.MethodGet, target, "", nil), &group); err != nil {
			return err
		}
		u, err := p.fetchUser(k)
		if err != nil {
			return err
		}
		if len(group.Members) != members || len(u.Groups) != groups {
			return fmt.Errorf("after %s: %d members, and the user is in %d groups", body, len(group.Members), len(u.Groups))
		}
		return nil
	}
	if err := change(patchRemoveMember(p.ids[k]), p.n-1, 2); err != nil {
		return err
	}
	return change(patchAddMember(p.ids[k]), p.n, 3)
}
