package directory

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
)

// A Question is one of those that [Service.Explain] answers.
type Question string

// The questions, in the order in which they are answered.
const (
	AskRequest Question = "request" // does the provider send this person, and want them to have access?
	AskEmail   Question = "email"   // has the person an email?
	AskDomain  Question = "domain"  // is its domain registered?
	AskToken   Question = "token"   // has the provider a valid token?
	AskSeat    Question = "seat"    // is there a seat?
	AskHold    Question = "hold"    // or is the account held for another reason?
	AskSwitch  Question = "switch"  // is everything switched on?
	AskRole    Question = "role"    // has the person a role?
)

// An Answer is one question answered.
type Answer struct {
	Question Question
	OK       bool   // nothing of it is in the person's way
	Text     string // what was found and, unless it is OK, what to do: for the customer's administrator
}

// An Explanation says why a person is, or is not, in the application.
type Explanation struct {
	User   string // the id in the directory, also of a deleted user; "" if there is none
	Email  string // the account's; "" if there is none
	Access bool   // the application was told that the person has access

	// Answers are the questions that can be answered, in their order.
	Answers []Answer

	// Cause is the question whose answer says why there is no access, or no
	// role; "" if nothing is in the way.
	Cause Question

	// Requests are lines of the log that tell more, the newest first, 5 at most:
	// refused requests about the person and, where the directory does not have
	// that person, refused attempts to create somebody.
	Requests []Request
}

// Text returns what to tell the customer's administrator: the text of the cause.
func (e *Explanation) Text() string {
	for _, a := range e.Answers {
		if a.Question == e.Cause {
			return a.Text
		}
	}
	if e.Access {
		return "The person has access to the application."
	}
	return ""
}

// mostWho is how long the name of a person may be.
const mostWho = 1024

// Explain answers why a person is not in the application (rule D8). who is what
// is known of them: a userName, an email, an externalId or the id of the user.
// What was refused left no trace but lines of the log, which do not say whom
// they were about: the answer about a person whom the directory does not have
// rests on these, on the domain of the email that was asked for, and on the
// directory's state.
//
// The error wraps [scim.ErrNotFound] if there is no such directory; it is an
// [*InvalidError] if who is empty, too long or no text.
func (s *Service) Explain(ctx context.Context, key scim.Key, who string) (*Explanation, error) {
	var wrong problems
	who = strings.TrimSpace(who)
	wrong.name("who", who, mostWho)
	if err := wrong.err("person"); err != nil {
		return nil, err
	}
	d, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	x := &explainer{s: s, d: d, who: who, at: consoleOf(d.Provider)}
	if err := x.look(ctx); err != nil {
		return nil, err
	}
	x.answer()
	return &x.Explanation, nil
}

// An explainer gathers what is known of a person and draws the conclusions.
type explainer struct {
	Explanation
	s   *Service
	d   *Directory
	at  console
	who string

	rules     *scim.Directory // as requests are served; nil where they cannot be
	state     scim.UserState
	elsewhere []string // directories of the tenant that have an account with that email
	tokens    []*Token
	heard     bool // a request with a valid token came
	log       []Request
}

// look reads all that the answers need.
func (x *explainer) look(ctx context.Context) (err error) {
	id, err := x.find(ctx)
	if err != nil {
		return err
	}
	key := x.d.Key()
	err = x.s.store.Do(ctx, key.Tenant, func(ctx context.Context, tx scim.Tx) error {
		states, err := tx.UserStates(ctx, key, []string{id})
		if err != nil {
			return err
		}
		x.state = states[0]
		tally, err := tx.Tally(ctx)
		if err != nil {
			return err
		}
		if x.rules, err = x.s.Current(ctx, tally, key); err != nil && ctx.Err() != nil {
			return err
		}
		return nil // a directory that cannot be read is one that is not served
	})
	if err != nil {
		return err
	}
	if x.tokens, err = x.s.Tokens(ctx, key); err != nil {
		return err
	}
	activity, err := x.s.Activity(ctx, key)
	if err != nil {
		return err
	}
	if x.log, err = x.s.requests(ctx, x.d, mostRequests); err != nil {
		return err
	}
	x.heard = !activity.Heard().IsZero() || len(x.log) > 0
	if x.state.User != nil || x.state.Account != nil {
		x.User = id
	}
	if a := x.state.Account; a != nil {
		x.Email, x.Access = a.Email, a.Active
	}
	return nil
}

// find returns the id of the user that is meant; whether there is one, or was, is
// still to be seen. It looks for a user as a provider does, and for accounts of
// those who were deleted by their email.
func (x *explainer) find(ctx context.Context) (string, error) {
	t, key := x.s.types.Type("User"), x.d.Key()
	r, err := x.s.store.Get(ctx, scim.Ref{Directory: key, Type: t.Name, ID: x.who}, scim.GetOptions{})
	switch {
	case err == nil:
		return r.ID(), nil
	case !errors.Is(err, scim.ErrNotFound):
		return "", err
	}
	for _, path := range []string{"userName", "emails.value", "externalId"} {
		a, _ := t.Lookup(path, 0)
		if a == nil {
			continue
		}
		page, err := x.s.store.List(ctx, &scim.Query{Directory: key, Type: t, Filter: filter.Equal(a, x.who), StartIndex: 1, Count: 1})
		if err != nil {
			return "", err
		}
		if len(page.Resources) > 0 {
			return page.Resources[0].ID(), nil
		}
	}
	accounts, err := x.s.store.People(ctx, key.Tenant, "", scim.FoldEmail(x.who))
	if err != nil {
		return "", err
	}
	id := ""
	for _, a := range accounts {
		switch {
		case a.User.Directory == key:
			id = a.User.ID // the latest: ids begin with the time
		case !a.Deleted:
			x.elsewhere = append(x.elsewhere, x.nameOf(ctx, a.User.Directory))
		}
	}
	x.elsewhere = slices.Compact(x.elsewhere)
	return cmp.Or(id, x.who), nil // it may be the id of one who was deleted
}

// nameOf returns what people call a directory.
func (x *explainer) nameOf(ctx context.Context, key scim.Key) string {
	if d, err := x.s.Get(ctx, key); err == nil {
		return called(d)
	}
	return key.Directory
}

// answer answers the questions, and says which of them is the cause.
func (x *explainer) answer() {
	x.Requests = x.related()
	x.answerRequest()
	x.answerEmail()
	x.answerDomain()
	x.answerToken()
	x.answerAccount()
	x.answerSwitch()
	x.answerRole()
	order := []Question{AskRequest, AskEmail, AskDomain, AskSeat, AskHold, AskSwitch, AskRole, AskToken}
	switch {
	case x.state.User == nil && x.User == "":
		// That nothing was sent, or everything refused, has a cause itself.
		order = []Question{AskToken, AskSwitch, AskDomain, AskRequest}
	case x.Access && !x.fails(AskRole):
		return
	case x.Access:
		order = []Question{AskSwitch, AskSeat, AskRole}
	}
	for _, question := range order {
		if x.fails(question) {
			x.Cause = question
			return
		}
	}
}

func (x *explainer) say(q Question, ok bool, text ...string) {
	x.Answers = append(x.Answers, Answer{q, ok, x.at.expand(strings.Join(text, " "))})
}

// fails reports whether a question was answered, and not with OK.
func (x *explainer) fails(q Question) bool {
	return slices.ContainsFunc(x.Answers, func(a Answer) bool { return a.Question == q && !a.OK })
}

// hint returns the text for a reason.
func (x *explainer) hint(reason scim.Reason) string { return reasonHint(reason, x.d.Provider) }

// related returns lines of the log that tell more of the person.
func (x *explainer) related() (related []Request) {
	const most = 5
	endpoint := x.s.types.Type("User").Endpoint
	domain := domainOf(x.who)
	for _, r := range x.log {
		var about bool
		switch {
		case x.User != "":
			about = r.Path == endpoint+"/"+x.User && r.Status >= 400 || slices.Contains(r.Unknown, x.User)
		case r.Reason == scim.ReasonDomain && domain != "":
			about = strings.Contains(strings.ToLower(r.Detail), strings.ToLower(domain))
		default:
			about = r.Method == http.MethodPost && r.Path == endpoint && r.Status >= 400
		}
		if about {
			related = append(related, r)
		}
		if len(related) == most {
			break
		}
	}
	return related
}

func (x *explainer) answerRequest() {
	switch {
	case x.state.User != nil && x.state.User.User().Active():
		x.say(AskRequest, true, "{idp} provisions this person, first on "+x.state.User.Meta().Created.UTC().Format("2006-01-02")+".")
	case x.state.User != nil:
		x.say(AskRequest, false, "{idp} has deactivated this person here. Activate them there, or assign them again in {assign}; then {again}.")
	case x.User != "":
		x.say(AskRequest, false, "{idp} has deleted this person here. If access is wanted again, assign them in {assign}; then {again}.")
	case len(x.elsewhere) > 0:
		x.say(AskRequest, false, "Another directory of yours provisions this person, not this one: "+strings.Join(x.elsewhere, ", ")+".")
	case !x.heard:
		x.say(AskRequest, false, "Nothing has come from {idp} yet. Enter base URL and token in {token}, test the connection and switch provisioning on; then assign the person in {assign}.")
	case len(x.Requests) > 0:
		x.say(AskRequest, false, "{idp} provisions nobody by that name, and attempts to create somebody were refused. The latest says:", x.Requests[0].Hint)
	default:
		x.say(AskRequest, false, "{idp} is connected, but has not sent anybody by that name. Assign the person in {assign}; then {again}.")
	}
}

func (x *explainer) answerEmail() {
	a := x.state.Account
	switch {
	case a == nil:
	case a.Email == "":
		x.say(AskEmail, false, x.hint(scim.ReasonNoEmail))
	case a.RefusedEmail != "":
		x.say(AskEmail, true, "The email is "+a.Email+". {idp} has another one, "+a.RefusedEmail+", which waits for approval in the application.")
	default:
		x.say(AskEmail, true, "The email is "+a.Email+".")
	}
}

func (x *explainer) answerDomain() {
	email := x.Email
	if x.User == "" {
		email = x.who
	}
	domain := domainOf(scim.FoldEmail(email))
	if domain == "" || x.rules == nil {
		return
	}
	held := x.state.Account != nil && x.state.Account.Held == scim.HeldForDomain
	registered := isRegistered(x.rules.Domains, email)
	switch {
	case x.rules.Policy.Domain == scim.AnyDomain && !held:
		x.say(AskDomain, true, "Emails of any domain are accepted.")
	case registered && !held:
		x.say(AskDomain, true, domain+" is a registered domain.")
	case registered: // it is the userName that is outside
		x.say(AskDomain, false, "The user name is in the form of an email, of a domain that is not registered.", x.hint(scim.ReasonDomain))
	case len(x.rules.Domains) == 0:
		x.say(AskDomain, false, x.hint(scim.ReasonNoDomains))
	default:
		x.say(AskDomain, false, domain+" is not one of your registered domains.", x.hint(scim.ReasonDomain))
	}
}

func (x *explainer) answerToken() {
	now := x.s.now()
	if slices.ContainsFunc(x.tokens, func(t *Token) bool { return t.Active(now) }) {
		x.say(AskToken, true, "There is a valid token.")
		return
	}
	x.say(AskToken, false, x.hint(scim.ReasonToken))
}

// answerAccount answers what the account of a user waits for.
func (x *explainer) answerAccount() {
	a := x.state.Account
	if a == nil || a.Deleted {
		return
	}
	switch {
	case a.Held == scim.HeldForSeat || a.Pending&scim.PendingSeat != 0:
		x.say(AskSeat, false, "The person waits for a seat, since "+a.Since.UTC().Format("2006-01-02")+".", x.hint(scim.ReasonSeats))
	default:
		x.say(AskSeat, true, "The person does not wait for a seat.")
	}
	switch a.Held {
	case "", scim.HeldForSeat, scim.HeldForDomain:
		x.say(AskHold, true, "The account is not held for review.")
	default:
		x.say(AskHold, false, "The account is held for review in the application: "+a.Held+". Release it there once that is settled.")
	}
}

func (x *explainer) answerSwitch() {
	var pending scim.Pending
	released := false
	if a := x.state.Account; a != nil {
		pending, released = a.Pending, a.Unmanaged
	}
	switch {
	case x.d.State == Retired && released:
		x.say(AskSwitch, false, "This directory was ended, and the account is the application's to manage. Change it there, or provision the person by another directory.")
	case x.d.State != Enabled:
		x.say(AskSwitch, false, x.hint(scim.ReasonDisabled))
	case x.rules == nil:
		x.say(AskSwitch, false, x.hint(scim.ReasonInternal))
	case pending&scim.PendingCreate != 0:
		x.say(AskSwitch, false, switchedOff(scim.CreateUsers))
	case pending&scim.PendingGroups != 0:
		x.say(AskSwitch, false, switchedOff(scim.SyncGroups))
	case pending&scim.PendingUpdate != 0:
		x.say(AskSwitch, false, switchedOff(scim.UpdateAttributes))
	case pending&scim.PendingDeactivate != 0:
		x.say(AskSwitch, false, switchedOff(scim.DeactivateUsers))
	case x.User == "" && x.d.Policy.Off.Has(scim.CreateUsers):
		x.say(AskSwitch, false, "Whoever {idp} sends now is stored, but gets no account: creating people is switched off for this directory in the application.")
	default:
		x.say(AskSwitch, true, "Nothing that concerns this person is switched off.")
	}
}

func switchedOff(part scim.Switches) string {
	return strings.ReplaceAll(noteWithheld, "{parts}", partsOf(part))
}

func (x *explainer) answerRole() {
	a := x.state.Account
	if a == nil || a.Deleted || x.rules == nil || x.rules.Roles == nil && len(x.s.catalog.Roles) == 0 {
		return // or the application has no roles
	}
	if len(a.Grants) > 0 {
		roles := make([]string, len(a.Grants))
		for i, g := range a.Grants {
			roles[i] = g.Role
		}
		slices.Sort(roles)
		x.say(AskRole, true, "The person has the role "+strings.Join(slices.Compact(roles), ", ")+".")
		return
	}
	const most = 10
	var groups []string
	for _, g := range x.state.Groups[:min(len(x.state.Groups), most)] {
		groups = append(groups, g.DisplayName)
	}
	switch {
	case a.Pending&scim.PendingGrants != 0:
		x.say(AskRole, false, "The roles of this person are being worked out; it takes some minutes.")
	case a.Pending&scim.PendingSeat != 0:
		x.say(AskRole, false, "The person's roles need a seat.", x.hint(scim.ReasonSeats))
	case x.rules.Roles == nil:
		x.say(AskRole, false, "No role was given to any group yet. Do so in the application under groups and roles.")
	case len(groups) == 0:
		x.say(AskRole, false, "The person is in no group that {idp} has sent, and there is no default role. Put them into a group with a role and send it from {groups}; or choose a default role in the application.")
	default:
		x.say(AskRole, false, "None of the person's groups has a role: "+strings.Join(groups, ", ")+". Give one of them a role in the application, or put the person into a group that has one and send it from {groups}.")
	}
}

// domainOf returns what stands behind the last @ of an email; "" if there is none.
func domainOf(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		return s[at+1:]
	}
	return ""
}
