package scim_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

// canary is in many values of the directories that must not be seen, and in no
// request about them.
const canary = "canary"

// A neighbour is what the tests of isolation know about somebody else's
// directory: what may turn up where an id, a name or a version is expected.
type neighbour struct {
	user, group string // ids
	values      map[string]string
}

// populate fills a directory whose contents must stay unseen.
func (w *world) populate(t *testing.T, d *scim.Directory) neighbour {
	t.Helper()
	name := "zebra-" + d.Tenant
	n := neighbour{values: map[string]string{
		"userName": name + "@example.com", "userExternalId": name + "-ext", "displayName": name + " Displayed",
		"groupName": name + "-team", "groupExternalId": name + "-group-ext", "employeeNumber": name + "-4711", "phone": name + "-phone",
	}}
	n.user = w.addUser(t, d, n.values["userName"], `,"externalId":`+quoted(n.values["userExternalId"])+
		`,"displayName":`+quoted(n.values["displayName"])+`,"nickName":"canary nick","title":"canary title","name":{"givenName":"canary","familyName":"canary"}`+
		`,"phoneNumbers":[{"value":`+quoted(n.values["phone"])+`,"type":"work","display":"canary"}],"password":"canary-secret"`+
		`,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":`+quoted(n.values["employeeNumber"])+`,"department":"canary"}`)
	second := w.addUser(t, d, "canary@example.com", `,"displayName":"canary second"`)
	n.group = w.addGroup(t, d, n.values["groupName"], `,"externalId":`+quoted(n.values["groupExternalId"]), n.user, second)
	w.addGroup(t, d, "canary-team", "", n.user)
	// Versions that no resource of ours has.
	for i := range 40 {
		ask{dir: d, method: "PATCH", target: "/Users/" + n.user, body: onePatch("replace", "title", quoted(fmt.Sprint("canary ", i)))}.do(t, w).must(t, 200)
	}
	n.values["userID"], n.values["groupID"] = n.user, n.group
	n.values["version"] = ask{dir: d, method: "GET", target: "/Users/" + n.user}.do(t, w).Header().Get("ETag")
	n.values["location"] = "http://a" + conversationBase + "/Users/" + n.user
	n.values["tenant"], n.values["directory"] = d.Tenant, d.ID
	return n
}

// unknown returns a value of the same form that nobody has.
func unknown(kind, value string) string {
	switch kind {
	case "userID", "groupID":
		return value[:24] + "00000000dead"
	case "location":
		return value[:len(value)-36] + unknown("userID", value[len(value)-36:])
	case "version":
		return `W/"987654321"`
	case "tenant", "directory":
		return value + "x"
	}
	return strings.Replace(value, "zebra", "zebrb", 1)
}

// derived returns a name that is another for each value, and that comparable
// answers do not show.
func derived(v string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(v)).String() }

// places lists requests into directory ours with a value in every place where
// one can stand: verbs and paths, query, headers, bodies. mine is our own user
// and group at the time of the request.
func places(mine *neighbour) map[string]func(v string) ask {
	all := map[string]func(v string) ask{}
	add := func(name string, f func(v string) ask) {
		if all[name] != nil {
			panic("twice: " + name)
		}
		all[name] = f
	}
	user := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"me@example.com"%s}`
	group := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"mine"%s}`
	bodies := map[string]string{
		"GET": "", "DELETE": "", "POST": fmt.Sprintf(user, ""), "PUT": fmt.Sprintf(user, ""),
		"PATCH": onePatch("replace", "displayName", `"changed"`), "HEAD": "", "OPTIONS": "", "QUERY": "",
	}
	for method, body := range bodies {
		for _, endpoint := range []string{"Users", "Groups", "Schemas", "ResourceTypes", "ServiceProviderConfig", "Nothing"} {
			if endpoint == "Groups" && (method == "PUT" || method == "POST") {
				body = fmt.Sprintf(group, "")
			}
			for form, path := range map[string]string{
				"plain": "/%s/%s", "slash": "/%s/%s/", "double": "//%s//%s", "query": "/%s/%s?attributes=userName,groups,members,meta",
			} {
				add(fmt.Sprint("path ", method, " ", endpoint, " ", form), func(v string) ask {
					return ask{method: method, target: fmt.Sprintf(path, endpoint, url.PathEscape(v)), body: body}
				})
			}
			add(fmt.Sprint("path before ", method, " ", endpoint), func(v string) ask {
				return ask{method: method, target: "/" + url.PathEscape(v) + "/" + endpoint + "/" + mine.user, body: body}
			})
		}
	}
	for endpoint, attributes := range map[string][]string{
		"Users": {
			"id", "externalId", "userName", "displayName", "nickName", "title", "emails", "emails.value", "name.givenName", "phoneNumbers.value",
			"groups", "groups.value", "groups.display", "meta.version", "meta.lastModified", "meta.resourceType",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
		},
		"Groups": {"id", "externalId", "displayName", "members", "members.value", "members.display", "members.type", "meta.version"},
	} {
		for _, attribute := range attributes {
			for _, operator := range []string{"eq", "ne", "co", "sw", "gt", "le"} {
				add(fmt.Sprint("filter ", endpoint, " ", attribute, " ", operator), func(v string) ask {
					return ask{method: "GET", target: "/" + endpoint + "?filter=" + url.QueryEscape(attribute+" "+operator+" "+quoted(v))}
				})
			}
			add(fmt.Sprint("filter ", endpoint, " not ", attribute), func(v string) ask {
				return ask{method: "GET", target: "/" + endpoint + "?filter=" + url.QueryEscape("not ("+attribute+" eq "+quoted(v)+") or id pr")}
			})
		}
	}
	for _, filter := range []string{`members[value eq %s]`, `members[value eq %s or display pr]`, `groups[value eq %s]`, `groups[display eq %s]`, `emails[value eq %s]`, `%s`, `id eq %s or id pr`} {
		for _, endpoint := range []string{"Users", "Groups"} {
			add("filter "+endpoint+" "+filter, func(v string) ask {
				return ask{method: "GET", target: "/" + endpoint + "?filter=" + url.QueryEscape(fmt.Sprintf(filter, quoted(v)))}
			})
		}
	}
	for _, parameter := range []string{"attributes", "excludedAttributes", "sortBy", "sortOrder", "startIndex", "count", "cursor", "tenant", "directory", "id"} {
		for _, endpoint := range []string{"Users", "Groups", "Users/MINE", "Groups/MINE", "Schemas"} {
			add(fmt.Sprint("query ", endpoint, " ", parameter), func(v string) ask {
				target := strings.NewReplacer("Users/MINE", "Users/"+mine.user, "Groups/MINE", "Groups/"+mine.group).Replace(endpoint)
				return ask{method: "GET", target: "/" + target + "?" + parameter + "=" + url.QueryEscape(v)}
			})
		}
	}
	for _, header := range []string{"If-Match", "If-None-Match", "X-Tenant", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Original-URL", "User-Agent", "Cookie", "Host"} {
		for _, method := range []string{"GET", "PUT", "PATCH"} {
			for endpoint, body := range map[string]string{"/Users/": fmt.Sprintf(user, ""), "/Groups/": fmt.Sprintf(group, "")} {
				if method == "PATCH" {
					body = bodies["PATCH"]
				}
				add(fmt.Sprint("header ", header, " ", method, " ", endpoint), func(v string) ask {
					target := endpoint + map[string]string{"/Users/": mine.user, "/Groups/": mine.group}[endpoint]
					v = strings.ReplaceAll(v, " ", "-")
					if header == "Host" {
						v = derived(v) + ".example"
					}
					return ask{method: method, target: target, body: body, header: map[string]string{header: v}}
				})
			}
		}
	}
	for _, extra := range []string{
		`,"id":%s`, `,"externalId":%s`, `,"displayName":%s`, `,"nickName":%s`, `,"emails":[{"value":%s,"type":"work"}]`,
		`,"groups":[{"value":%s}]`, `,"meta":{"location":%[1]s,"version":%[1]s,"resourceType":%[1]s}`, `,"tenant":%s,"directory":%[1]s`,
		`,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":%[1]s,"$ref":%[1]s,"displayName":%[1]s},"employeeNumber":%[1]s}`,
	} {
		body := func(v, userName string) string {
			return `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":` + quoted(userName) + fmt.Sprintf(extra, quoted(v)) + `}`
		}
		add("PUT user "+extra, func(v string) ask {
			return ask{method: "PUT", target: "/Users/" + mine.user, body: body(v, "me@example.com")}
		})
		add("POST user "+extra, func(v string) ask {
			return ask{method: "POST", target: "/Users?attributes=userName,externalId,groups", body: body(v, derived(v)+"@example.com")}
		})
		add("PATCH user pathless "+extra, func(v string) ask {
			return ask{method: "PATCH", target: "/Users/" + mine.user, body: onePatch("replace", "", `{"title":"x"`+fmt.Sprintf(extra, quoted(v))+`}`)}
		})
	}
	add("POST user userName", func(v string) ask {
		return ask{method: "POST", target: "/Users", body: fmt.Sprintf(`{"userName":%s}`, quoted(v))}
	})
	add("PUT user userName", func(v string) ask {
		return ask{method: "PUT", target: "/Users/" + mine.user, body: fmt.Sprintf(`{"userName":%s,"emails":[{"value":"me@example.com"}]}`, quoted(v))}
	})
	for _, op := range []string{"add", "replace", "remove"} {
		for _, path := range []string{
			"id", "externalId", "userName", "displayName", "emails", "groups", "groups[value eq %s]", "emails[value eq %s].display", "meta.version",
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", "%s",
		} {
			add("PATCH user "+op+" "+path, func(v string) ask {
				if strings.Contains(path, "%") {
					return ask{method: "PATCH", target: "/Users/" + mine.user + "?attributes=userName,groups", body: onePatch(op, fmt.Sprintf(path, quoted(v)), quoted(v))}
				}
				return ask{method: "PATCH", target: "/Users/" + mine.user + "?attributes=userName,groups", body: onePatch(op, path, quoted(v))}
			})
		}
		for _, value := range []string{`[{"value":%s}]`, `[{"value":%[1]s,"type":"Group","$ref":%[1]s,"display":%[1]s}]`, `{"value":%s}`, `%s`} {
			add("PATCH group "+op+" members "+value, func(v string) ask {
				return ask{method: "PATCH", target: "/Groups/" + mine.group + "?attributes=members", body: onePatch(op, "members", fmt.Sprintf(value, quoted(v)))}
			})
			add("PATCH group silently "+op+" members "+value, func(v string) ask {
				return ask{method: "PATCH", target: "/Groups/" + mine.group, body: onePatch(op, "members", fmt.Sprintf(value, quoted(v)))}
			})
		}
		for _, path := range []string{"members[value eq %s]", "members[display eq %s]", "members[not (value eq %s)]", "displayName", "externalId", "id"} {
			add("PATCH group "+op+" "+path, func(v string) ask {
				value := quoted(v)
				if op == "remove" {
					value = ""
				}
				if strings.Contains(path, "%") {
					return ask{method: "PATCH", target: "/Groups/" + mine.group, body: onePatch(op, fmt.Sprintf(path, quoted(v)), value)}
				}
				return ask{method: "PATCH", target: "/Groups/" + mine.group, body: onePatch(op, path, value)}
			})
		}
	}
	for _, extra := range []string{
		`"displayName":"grp %[2]s","members":[{"value":%[1]s}]`, `"displayName":"grp %[2]s","members":[{"value":%[1]s,"type":"Group"},{"value":%[1]s,"type":"User"}]`,
		`"displayName":%[1]s,"schemas":["urn:%[2]s"]`, `"displayName":"grp %[2]s","externalId":%[1]s`, `"displayName":"grp %[2]s","id":%[1]s,"meta":{"location":%[1]s}`,
	} {
		body := func(v string) string {
			return fmt.Sprintf(`{`+extra+`}`, quoted(v), derived(v))
		}
		add("POST group "+extra, func(v string) ask {
			return ask{method: "POST", target: "/Groups", body: body(v)}
		})
		add("PUT group "+extra, func(v string) ask {
			return ask{method: "PUT", target: "/Groups/" + mine.group, body: body(v)}
		})
	}
	for _, path := range []string{"/%s", "/%s/Users", "/Users/%s/Groups", "/Users/%s/../Users", "/Groups/%s/members", "/Bulk/%s", "/Me", "/.search"} {
		add("deep "+path, func(v string) ask {
			return ask{method: "GET", target: strings.ReplaceAll(path, "%s", url.PathEscape(v))}
		})
	}
	return all
}

// TestA1Isolation drives every verb, and every place an id, a name or a version
// can stand, in one directory with what belongs to another: one of another
// tenant, and one of the same. Nothing of it is changed, nothing of it is seen,
// and what belongs to it is answered like what nobody has (rule A1).
func TestA1Isolation(t *testing.T) {
	t.Run("another tenant", func(t *testing.T) { isolation(t, stores["memstore"], foreign) })
	t.Run("the same tenant", func(t *testing.T) { isolation(t, stores["memstore"], sibling) })
	t.Run("a plain store", func(t *testing.T) { isolation(t, stores["naive"], sibling) })
}

func isolation(t *testing.T, open func() scim.Store, other *scim.Directory) {
	w := newWorld(t, open(), nil)
	theirs := w.populate(t, other)
	mine := w.restore(t, neighbour{})
	all := places(&mine)
	names, probes := slices.Sorted(maps.Keys(all)), 0
	for _, name := range names {
		mine = w.restore(t, mine)
		before := dump(t, w.store, other)
		w.app.drain()
		for kind, value := range theirs.values {
			nobody := unknown(kind, value)
			probe := func(v string) *response {
				// Both probes start from the same state.
				if slices.Contains([]string{"POST", "PUT", "PATCH", "DELETE"}, all[name](v).method) {
					mine = w.restore(t, mine)
				}
				return all[name](v).do(t, w)
			}
			got, want := probe(value), probe(nobody)
			probes++
			require.NotContains(t, strings.ToLower(got.Body.String()), canary, "%s with a foreign %s", name, kind)
			assert.Equal(t, blank(want, nobody), blank(got, value), "%s: a foreign %s %q is not answered like an unknown one", name, kind, value)
		}
		require.Equal(t, before, dump(t, w.store, other), "%s changed another directory", name)
		for _, a := range w.app.drain() {
			require.Equal(t, ours.Key(), scim.Key{Tenant: a.Tenant, Directory: a.Directory}, "%s told about another directory", name)
			require.NotEqual(t, theirs.user, a.ID, name)
			require.NotContains(t, fmt.Sprintf("%+v", a), canary, name)
		}
		for _, list := range []string{"/Users?count=1000", "/Groups?count=1000", "/Groups?attributes=members"} {
			all := ask{method: "GET", target: list}.do(t, w).must(t, http.StatusOK).Body.String()
			require.NotContains(t, all, canary, name)
			require.NotContains(t, all, `members":[{"value":"`+theirs.user, name)
		}
	}
	t.Logf("%d places, %d probes", len(names), probes)
}

// restore makes our directory a user and its group again, whatever a probe has
// made of it. The two are made anew if the probe removed them.
func (w *world) restore(t *testing.T, mine neighbour) neighbour {
	t.Helper()
	kept := 0
	for endpoint, keep := range map[string]string{"/Users/": mine.user, "/Groups/": mine.group} {
		for _, id := range (ask{method: "GET", target: endpoint + "?attributes=id&count=1000"}).do(t, w).ids(t) {
			if id == keep {
				kept++
				continue
			}
			ask{method: "DELETE", target: endpoint + url.PathEscape(id)}.do(t, w).must(t, http.StatusNoContent)
		}
	}
	if kept < 2 {
		if mine.user != "" {
			ask{method: "DELETE", target: "/Users/" + mine.user}.do(t, w)
			ask{method: "DELETE", target: "/Groups/" + mine.group}.do(t, w)
		}
		mine = neighbour{user: w.addUser(t, ours, "me@example.com", `,"displayName":"Me","title":"boss","active":true`)}
		mine.group = w.addGroup(t, ours, "mine", "", mine.user)
		return mine
	}
	body := `{"userName":"me@example.com","displayName":"Me","title":"boss","active":true}`
	ask{method: "PUT", target: "/Users/" + mine.user, body: body}.do(t, w).must(t, http.StatusOK)
	body = fmt.Sprintf(`{"displayName":"mine","members":[{"value":%q}]}`, mine.user)
	ask{method: "PUT", target: "/Groups/" + mine.group, body: body}.do(t, w).must(t, http.StatusOK)
	return mine
}

// blank returns a comparable answer without the value that was asked with.
func blank(a *response, value string) string {
	s := a.comparable()
	for _, form := range []string{value, url.PathEscape(value), url.QueryEscape(value), strings.Trim(quoted(value), `"`), strings.ReplaceAll(value, " ", "-")} {
		s = strings.ReplaceAll(s, form, "<value>")
	}
	return s
}

// TestTokenNamesTheDirectory shows that the directory comes from the credential
// alone: nothing in the URL chooses another.
func TestTokenNamesTheDirectory(t *testing.T) {
	w := newWorld(t, stores["memstore"](), nil)
	theirs := w.populate(t, foreign)
	for _, prefix := range []string{"", "/umbrella", "/umbrella/ours", "/tenants/umbrella"} {
		ask{method: "GET", target: prefix + "/Users/" + theirs.user}.do(t, w).refused(t, http.StatusNotFound, "")
		require.Empty(t, ask{method: "GET", target: prefix + "/Users"}.do(t, w).ids(t), prefix)
	}
}
