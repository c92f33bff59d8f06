package directory_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/directory"
)

// A rawUser is a user as a provider may send it, in any spelling.
type rawUser struct {
	UserName   string     `json:"userName"`
	ExternalID string     `json:"externalId,omitempty"`
	Emails     []rawEmail `json:"emails,omitempty"`
	Active     bool       `json:"active"`
}

type rawEmail struct {
	Value   string `json:"value"`
	Type    string `json:"type,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

// email is rule A2, written down once more.
func (u *rawUser) email() string {
	for _, is := range []func(rawEmail) bool{
		func(e rawEmail) bool { return e.Primary },
		func(e rawEmail) bool { return e.Type == "work" },
		func(rawEmail) bool { return true },
	} {
		for _, e := range u.Emails {
			if is(e) {
				return e.Value
			}
		}
	}
	return u.UserName
}

// randomUser makes a user of few names in many spellings, so that people meet.
func randomUser(r *rand.Rand, n int) *rawUser {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	address := func() string {
		return pick("ada", "Ada", "ADA", "grace", "ädä", "ÄDÄ", "a+b", "o'hara", "straße", "STRASSE") + "@" +
			pick("acme.example", "ACME.Example", "bücher.example", "BÜCHER.example", "xn--bcher-kva.example", "XN--BCHER-KVA.Example", "faß.example", "xn--fa-hia.example", "fass.example")
	}
	u := &rawUser{UserName: pick(address(), address(), fmt.Sprint("user-", n), pick("ada", "ADA", "grace")), Active: r.IntN(4) > 0}
	if r.IntN(3) > 0 {
		u.ExternalID = fmt.Sprint("ext-", pick("a", "A", fmt.Sprint(n)))
	}
	for i := range r.IntN(3) {
		u.Emails = append(u.Emails, rawEmail{Value: address(), Type: pick("work", "home", ""), Primary: i == 0 && r.IntN(2) > 0})
	}
	return u
}

// A7: what POST refuses as existing, a filter on the attribute that it names
// finds; and where a filter finds who has the userName, the externalId or the
// email of a new user, POST refuses that one.
func TestScenarioA7RefusalsAndFiltersAgree(t *testing.T) {
	t.Parallel()
	const seeds, users = 6, 40
	refused := map[string]int{}
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(7, seed))
		s := newScene(t)
		okta := s.connect(directory.Directory{Provider: scim.Okta, Policy: scim.Policy{Domain: scim.AnyDomain}})
		there := map[string]*rawUser{} // by id
		find := func(attribute, value string) (ids []string) {
			quoted, err := json.Marshal(value)
			require.NoError(t, err)
			for _, found := range okta.send(http.MethodGet, "/Users?count=100&filter="+url.QueryEscape(attribute+" eq "+string(quoted)), "").fine().Resources {
				ids = append(ids, found.ID)
			}
			return ids
		}
		for n := range users {
			u := randomUser(r, n)
			values := map[string]string{"userName": u.UserName, "externalId": u.ExternalID, "emails.value": u.email()}
			found := map[string][]string{}
			for attribute, value := range values {
				if value != "" {
					found[attribute] = find(attribute, value)
				}
			}
			exists := len(found["userName"]) > 0 || len(found["externalId"]) > 0
			for _, attribute := range []string{"userName", "emails.value"} {
				for _, id := range find(attribute, u.email()) {
					exists = exists || scim.FoldEmail(there[id].email()) == scim.FoldEmail(u.email())
				}
			}
			body, err := json.Marshal(u)
			require.NoError(t, err)
			answer := okta.send(http.MethodPost, "/Users", string(body))
			story := fmt.Sprintf("seed %d: %s\n%s", seed, body, answer.body)
			switch answer.Code {
			case http.StatusCreated:
				require.False(t, exists, story)
				there[answer.ID] = u
			case http.StatusConflict:
				require.Equal(t, "uniqueness", answer.ScimType)
				named := attributeOf(t, answer.Detail)
				require.NotEmpty(t, append(found[named], find(named, u.email())...), "a filter on %s finds nobody; %s", named, story)
				refused[named]++
			default:
				require.Equal(t, http.StatusBadRequest, answer.Code, story) // no email, or none in form
				require.NotContains(t, u.email(), "@", story)
			}
		}
	}
	require.Len(t, refused, 3, "each of the attributes was in somebody's way: %v", refused)
}

// attributeOf returns the attribute that the detail of a 409 sends the provider to.
func attributeOf(t *testing.T, detail string) string {
	t.Helper()
	for _, attribute := range []string{"userName", "externalId", "emails.value"} {
		if detail == "another resource of this directory has the same "+attribute+"; find it with a filter on "+attribute+" and update it instead" {
			return attribute
		}
	}
	require.Fail(t, detail)
	return ""
}
