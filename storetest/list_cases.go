package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
)

const (
	whySelect = `List returns "one page of the resources that match, and how many match in all", as Select does with the same resources (Store.List, package filter)`
	whyPage   = "pages by index are of one order, and totalResults counts what matches on all pages (Store.List, Query; RFC 7644 section 3.4.2.4)"
	whyOrder  = `"the order is q.SortBy and then id", without value last, in descending order first, as Query.Sort has it (Store.List; RFC 7644 section 3.4.2.3)`
	whyMeet   = `"whoever follows Next from page to page meets a resource that matches throughout exactly once, whatever is created, deleted or changed meanwhile" (Store.List; RFC 9865 section 2.2)`
)

// listCases are about List.
var listCases = []testCase{
	{
		name: "list/empty",
		why:  whyPage,
		run: func(p *probe) {
			for _, typ := range []string{"User", "Group", "Device"} {
				page := p.list(p.query(typ, ""))
				p.must(page.Total == 0 && len(page.Resources) == 0, "List of an empty directory returns %d of %d", len(page.Resources), page.Total)
				page = p.list(p.query(typ, `id eq "x" or meta.created pr`))
				p.must(page.Total == 0 && len(page.Resources) == 0, "List of an empty directory returns %d of %d", len(page.Resources), page.Total)
			}
		},
	},
	{
		name: "list/types",
		why:  "a query is about one type (Query.Type; RFC 7644 section 3.4.2)",
		run: func(p *probe) {
			p.create(p.user("same", values{"displayName": "same", "externalId": "same"}))
			p.create(p.group("same", values{"displayName": "same", "externalId": "same"}))
			p.create(p.device("same", values{"name": "same", "externalId": "same"}))
			for _, typ := range []string{"User", "Group", "Device"} {
				p.finds(typ, "", "same")
				p.finds(typ, `externalId eq "same"`, "same")
				p.finds(typ, `id eq "same"`, "same")
			}
		},
	},
	{
		name: "list/count-zero",
		why:  `Query.Count: "0 asks for the total alone" (RFC 7644 section 3.4.2.4)`,
		run: func(p *probe) {
			p.few(5)
			for _, text := range []string{"", `title eq "even"`} {
				for _, sort := range []string{"", "userName"} {
					q := p.query("User", text)
					q.Count = 0
					p.sortBy(q, sort, false)
					page := p.list(q)
					want := map[string]int{"": 5, `title eq "even"`: 3}[text]
					p.must(page.Total == want, "%s has a total of %d, want %d", describe(q), page.Total, want)
				}
			}
		},
	},
	{
		name: "list/past-the-end",
		why:  "a page behind the last one is empty and has the same total (RFC 7644 section 3.4.2.4)",
		run: func(p *probe) {
			p.few(5)
			for _, start := range []int{6, 7, 1000, 1 << 31, 1 << 40} {
				for _, text := range []string{"", `userName pr`} {
					q := p.query("User", text)
					q.StartIndex, q.Count = start, 10
					page := p.list(q)
					p.must(page.Total == 5 && len(page.Resources) == 0, "%s returns %d of %d, want 0 of 5", describe(q), len(page.Resources), page.Total)
				}
			}
		},
	},
	{
		name: "list/pages",
		why:  whyPage,
		run: func(p *probe) {
			p.few(11)
			for _, text := range []string{"", `title eq "EVEN"`, `not (title eq "odd")`} {
				for _, sort := range []string{"", "title", "userName", "nickName", "meta.created"} {
					for _, count := range []int{1, 3, 11, 12} {
						p.pages(text, sort, count)
					}
				}
			}
		},
	},
	{
		name: "list/without-members",
		why:  `Query.WithoutMembers: "nobody will look at the members of groups"; all else is there`,
		run: func(p *probe) {
			for i := range 3 {
				p.create(p.group(fmt.Sprint("g", i), values{"externalId": fmt.Sprint("e", i)}))
			}
			q := p.query("Group", "")
			q.WithoutMembers = true
			page := p.list(q)
			p.must(page.Total == 3 && len(page.Resources) == 3, "%s returns %d of %d, want 3", describe(q), len(page.Resources), page.Total)
			for _, r := range page.Resources {
				got, err := p.store.Get(p.ctx, r.Ref(), scim.GetOptions{WithoutMembers: true})
				p.ok(err, "Get without members")
				p.same(got, r, "Get without members")
			}
		},
	},
	{
		name: "list/callers-slice",
		why:  "a page is the caller's; what the store keeps does not change with it (Store: a Resource is immutable and shared, a slice is not)",
		run: func(p *probe) {
			p.few(4)
			for _, sort := range []string{"", "userName"} {
				q := p.query("User", "")
				p.sortBy(q, sort, false)
				before := p.list(q)
				want := ids(before.Resources)
				clear(before.Resources)
				p.must(slices.Equal(ids(p.list(q).Resources), want), "%s changes with what a caller does to the page before", describe(q))
			}
		},
	},
	{
		name: "list/follows-changes",
		why:  "what is created, replaced or deleted is found, or no longer, by what it is now (Store.List)",
		run: func(p *probe) {
			p.create(p.user("u", values{"displayName": "old", "emails": []any{map[string]any{"value": "old@x.test"}}}))
			p.finds("User", `displayName eq "OLD"`, "u")
			p.replace(p.user("u", values{"displayName": "new", "emails": []any{map[string]any{"value": "new@x.test"}}}), 0)
			p.finds("User", `displayName eq "old"`)
			p.finds("User", `emails.value eq "old@x.test"`)
			p.finds("User", `emails[value eq "NEW@x.test"]`, "u")
			p.remove(userRef(p.key(), "u"))
			p.finds("User", `displayName eq "new"`)
			p.finds("User", `emails.value eq "new@x.test"`)
		},
	},
	filterCase("list/filter-strings", "User",
		`userName eq "ANN"`, `userName ne "ann"`, `userName co "N"`, `userName sw "A"`, `userName ew "N"`, `userName gt "ann"`, `userName ge "Ann"`,
		`userName lt "BEN"`, `userName le "ben"`, `externalId eq "X1"`, `externalId eq "x1"`, `externalId ne "x1"`, `externalId co "X"`, `externalId sw "x"`,
		`externalId ew "1"`, `externalId gt "X1"`, `externalId ge "x1"`, `externalId lt "x1"`, `externalId le "X1"`, `displayName eq ""`, `displayName co ""`,
		`displayName sw ""`, `displayName ew ""`, `displayName gt ""`, `displayName ge ""`, `displayName ne ""`, `id eq "U1"`, `id eq "u1"`, `id gt "u3"`, `id ne "u1"`,
		`userName eq "ann" or userName eq "ben"`, `nickName eq "no"`, `nickName ne "no"`,
	),
	filterCase("list/filter-booleans", "Device",
		`on eq true`, `on eq false`, `on ne true`, `on ne false`, `flags eq true`, `flags ne true`, `not (flags eq true)`, `parts.primary eq true`, `parts.primary ne true`,
	),
	filterCase("list/filter-integers", "Device",
		`count eq 9`, `count ne 9`, `count gt 9`, `count ge 9`, `count lt 10`, `count le 9`, `count eq 9007199254740993`, `count eq 9007199254740992`,
		`count gt 9007199254740992`, `count lt -1`, `count ge 12345678901234567890123`, `count eq 12345678901234567890124`, `count eq 9.0`, `count gt 8.5`, `count lt 1e1`,
		`readings eq 2`, `readings ne 2`, `not (readings eq 2)`, `readings gt 9`, `readings lt 0`, `parts.number ge 10`,
	),
	filterCase("list/filter-decimals", "Device",
		`weight eq 1.5`, `weight eq 1.50`, `weight eq 15e-1`, `weight ne 1.5`, `weight gt 1.5`, `weight ge 1.5`, `weight lt 0`, `weight le 0`, `weight eq 0`, `weight eq -0.0`,
		`weight gt 1e300`, `weight eq 0.1`, `weights eq 1.5`, `weights ne 1.5`, `weights gt 99.9`,
	),
	filterCase("list/filter-times", "Device",
		`sold eq "2024-01-01T00:00:00Z"`, `sold eq "2024-01-01T01:00:00+01:00"`, `sold ne "2024-01-01T00:00:00Z"`, `sold gt "2024-01-01T00:00:00Z"`, `sold ge "2024-01-01T00:00:00.000Z"`,
		`sold lt "2024-01-01T00:00:00Z"`, `sold le "2024-01-01T00:00:00Z"`, `sold eq "2024-01-01T00:00:00.123456789Z"`, `sold gt "2024-01-01T00:00:00.123456788Z"`,
		`sold lt "1970-01-01T00:00:00Z"`, `visits eq "2024-01-01T00:00:00Z"`, `visits gt "2024-01-01T00:00:00Z"`, `not (visits gt "2024-01-01T00:00:00Z")`, `visits ne "2024-01-01T00:00:00Z"`,
	),
	filterCase("list/filter-binaries", "Device",
		`blob eq "+/8="`, `blob eq "-_8"`, `blob ne "-_8="`, `blob eq "YWI="`, `blob eq "ywi="`, `parts.blob eq "YWI"`, `blob eq ""`,
	),
	filterCase("list/filter-references", "Device",
		`site eq "https://x.test/A"`, `site eq "https://x.test/a"`, `site co "X.test"`, `site sw "https"`, `site ew "/a"`, `parts.site ne "https://x.test/a"`,
		`schemas eq "`+deviceSchema+`"`, `schemas co "storetest"`, `schemas pr`,
	),
	filterCase("list/filter-several-values", "User",
		`emails.value eq "A@x.test"`, `emails eq "a@x.test"`, `emails.value ne "a@x.test"`, `not (emails.value eq "a@x.test")`, `emails.type eq "work"`, `emails.type ne "work"`,
		`not (emails.type eq "work")`, `not (emails.type ne "work")`, `emails.value co "X"`, `emails.value gt "b"`, `emails.primary eq true`, `emails.primary eq false`,
		`emails.type eq "work" and emails.value sw "b"`, userExtension+`:skills eq "GO"`, userExtension+`:skills ne "go"`, `not (`+userExtension+`:skills ne "go")`, userExtension+`:skills co "l"`,
	),
	filterCase("list/filter-value-paths", "User",
		`emails[type eq "work"]`, `emails[type eq "work" and value sw "b"]`, `emails[type ne "work"]`, `emails[not (type eq "work")]`, `not (emails[type eq "work"])`,
		`emails[type pr]`, `emails[not (type pr)]`, `emails[type eq "work" or value sw "c"]`, `emails[primary eq true and type eq "home"]`, `emails[not (primary eq true)]`,
		`emails[value eq "none"]`, `addresses[type eq "work"]`, `emails[type eq null]`, `emails[display ne "x"]`,
		`emails[type eq "home"] and not (emails[type eq "work"])`, `name[givenName eq "zoe"]`,
	),
	filterCase("list/filter-presence", "User",
		`nickName pr`, `not (nickName pr)`, `nickName eq null`, `nickName ne null`, `name pr`, `name eq null`, `name.givenName pr`, `emails pr`, `emails eq null`, `emails.type pr`,
		`not (emails.type pr)`, `emails.display pr`, `active pr`, userExtension+` pr`, userExtension+`:desk pr`, userExtension+`:desk.floor ne null`, `id pr`, `externalId pr`, `groups pr`, `addresses pr`,
		userExtension+`:skills pr`, `title eq ""`,
	),
	filterCase("list/filter-extensions", "User",
		userExtension+`:badge eq "B1"`, userExtension+`:locker eq "L1"`, userExtension+`:locker eq "l1"`, userExtension+`:level gt 9`, userExtension+`:level le 9`, userExtension+`:score eq 1.5`,
		userExtension+`:hired lt "2024-06-01T00:00:00Z"`, userExtension+`:remote eq true`, userExtension+`:remote ne true`, userExtension+`:desk.room sw "R"`, userExtension+`:desk.floor ge 2`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "OPS"`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "u1"`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager pr`,
	),
	filterCase("list/filter-logic", "User",
		`active eq true and title eq "even"`, `active eq true or title eq "even"`, `not (active eq true)`, `not (active eq true and title eq "even")`, `not (not (active eq true))`,
		`active eq true and (title eq "even" or nickName pr)`, `active eq true and title eq "even" or nickName pr`, `not (active eq true) and not (title eq "even")`,
		`(userName eq "ann" or userName eq "ben" or userName eq "cid") and not (userName eq "ben") and (id pr or id eq null)`, `not (id pr)`,
	),
	filterCase("list/filter-complex", "Device",
		`parts[number gt 5 and weight lt 2]`, `parts[number gt 5] and parts[weight lt 2]`, `parts.number gt 5 and parts.weight lt 2`, `parts[made ge "2024-01-01T00:00:00Z" and label eq "L"]`,
		`parts[label eq "l"]`, `parts[site eq "https://x.test/a" or blob eq "YWI="]`, `place.number gt 1`, `place.label eq "L"`, `place.made lt "2024-01-01T00:00:00Z"`, `place pr`, `place.value ne "x"`,
		`parts[not (number gt 5)]`, `not (parts[number gt 5])`, `parts.label ne "L"`, `tags eq "RED"`, `marks eq "RED"`, `marks eq "red"`, `not (tags pr)`, `tags sw "r" and not (tags co "ee")`,
	),
	{
		name: "list/filter-meta",
		why:  whySelect + "; meta is not in the document, but it is filtered by (RFC 7643 section 3.1)",
		run: func(p *probe) {
			all := p.few(6)
			all[2] = p.replace(p.user("u2", values{"title": "new"}), 0)
			all[2] = p.replace(p.user("u2", values{"title": "newer"}), 0)
			c := p.corpus("User", all)
			texts := []string{
				`meta.created pr`, `meta.created gt "2001-01-01T00:00:00Z"`, `meta.lastModified lt "2001-01-01T00:00:00Z"`, `meta.resourceType eq "User"`, `meta.resourceType eq "user"`,
				`meta.resourceType co "se"`, `meta.location pr`, `meta.location eq "x"`, `meta.location ne "x"`, `meta pr`, `meta eq null`, `meta.version sw "W"`, `not (meta.version eq "x")`,
				`meta[resourceType eq "User" and created gt "2001-01-01T00:00:00Z"]`, `meta[location pr]`, `meta.version gt "W"`, `meta.created ne null`,
			}
			for _, r := range []*scim.Resource{all[0], all[2], all[5]} {
				const layout = "2006-01-02T15:04:05.000Z07:00"
				for _, op := range []string{"eq", "ne", "gt", "ge", "lt", "le"} {
					texts = append(texts, fmt.Sprintf(`meta.created %s "%s"`, op, r.Meta().Created.Format(layout)), fmt.Sprintf(`meta.lastModified %s "%s"`, op, r.Meta().LastModified.Format(layout)))
				}
				texts = append(texts, `meta.version eq `+strconv.Quote(r.Version().ETag()), `title pr and meta.version ne `+strconv.Quote(r.Version().ETag()))
			}
			for _, text := range texts {
				p.agrees(c, p.query("User", text))
			}
		},
	},
	{
		name: "list/filter-literals",
		why:  whySelect + "; a literal is a text and nothing else, whatever it means to the database (RFC 7644 section 7)",
		run: func(p *probe) {
			var all []*scim.Resource
			for i, text := range awkward {
				all = append(all, p.create(p.device(fmt.Sprintf("d%03d", i), values{
					"name": text, "mark": text, "marks": []string{text, "other"}, "parts": []any{map[string]any{"value": text, "type": "t"}},
				})))
			}
			c := p.corpus("Device", all)
			for _, text := range awkward {
				literal, err := json.Marshal(text)
				p.ok(err, "a literal of the kit's own")
				quoted := string(literal)
				for _, path := range []string{"name", "mark"} {
					for _, op := range []string{"eq", "ne", "co", "sw", "ew", "gt", "le"} {
						p.agrees(c, p.query("Device", path+" "+op+" "+quoted))
					}
				}
				p.agrees(c, p.query("Device", `marks eq `+quoted))
				p.agrees(c, p.query("Device", `parts[value co `+quoted+` and type eq "T"]`))
			}
		},
	},
	{
		name: "list/filter-long-literal",
		why:  whySelect + "; a literal of 8 KB is still a literal",
		run: func(p *probe) {
			const size = 8 << 10
			text := large(size, 1)
			all := p.createAll(
				p.device("whole", values{"name": text, "mark": text}), p.device("more", values{"name": text + "x", "mark": "x" + text}),
				p.device("capitals", values{"name": strings.ToUpper(text), "mark": strings.ToUpper(text)}), p.device("less", values{"name": text[:size/2], "mark": "l"}),
				p.device("many", values{"tags": slices.Repeat([]string{text}, 20)}),
			)
			c := p.corpus("Device", all)
			for _, path := range []string{"name", "mark", "tags"} {
				for _, op := range []filter.Op{filter.Eq, filter.Ne, filter.Co, filter.Sw, filter.Ew, filter.Gt, filter.Le} {
					q := p.query("Device", "")
					e := filter.Equal(p.attribute("Device", path), text)
					e.Op = op
					q.Filter = e
					p.agrees(c, q)
				}
			}
		},
	},
	{
		name: "list/filter-deep",
		why:  whySelect + "; a filter may have many parts, as providers ask for many users at once",
		run: func(p *probe) {
			c := p.corpus("User", p.few(12))
			var or, and []string
			for i := range 120 {
				or = append(or, fmt.Sprintf(`userName eq "user of u%d"`, i))
				and = append(and, fmt.Sprintf(`not (id eq "u%d")`, 2*i))
			}
			for _, text := range []string{strings.Join(or[:60], " or "), strings.Join(and[:60], " and "), strings.Join(or[6:60], " or ") + " and title eq \"even\""} {
				p.agrees(c, p.query("User", text))
			}
		},
	},
	{
		name: "list/every-letter",
		why:  whySelect + "; strings that are not case-exact are equal by attr.Fold in every script (RFC 7643 section 2.2; RFC 7644 section 7.8)",
		run: func(p *probe) {
			pairs := orbits()
			for i, pair := range pairs {
				p.create(p.device(fmt.Sprint("d", i), values{"name": pair[0], "mark": pair[0]}))
			}
			for i, pair := range pairs {
				q := p.query("Device", "")
				for path, want := range map[string]int{"name": 1, "mark": 0} {
					q.Filter = filter.Equal(p.attribute("Device", path), pair[1])
					page := p.list(q)
					p.must(page.Total == want, "%s eq, with every letter from %U on in another case, finds %d, want %d", path, []rune(pair[0])[0], page.Total, want)
					if want == 1 {
						p.must(page.Resources[0].ID() == fmt.Sprint("d", i), "%s finds %s, want d%d", path, page.Resources[0].ID(), i)
					}
				}
			}
		},
	},
	{
		name: "list/sort",
		why:  whyOrder,
		run: func(p *probe) {
			for _, typ := range []string{"User", "Device"} {
				c := p.corpus(typ, p.createAll(p.mixed(typ)...))
				for _, path := range sortable[typ] {
					for _, descending := range []bool{false, true} {
						q := p.query(typ, "")
						p.sortBy(q, path, descending)
						p.agrees(c, q)
						q = p.query(typ, `meta.created pr and not (id eq "u3")`)
						p.sortBy(q, path, descending)
						q.StartIndex, q.Count = 2, 3
						p.agrees(c, q)
					}
				}
			}
		},
	},
	{
		name: "list/sort-texts",
		why:  whyOrder + "; strings in the order of their bytes or of their folded runes (package filter)",
		run: func(p *probe) {
			var all []*scim.Resource
			for i, text := range awkward {
				all = append(all, p.create(p.device(fmt.Sprintf("d%03d", len(awkward)-i), values{"name": text, "mark": text})))
			}
			c := p.corpus("Device", all)
			for _, path := range []string{"name", "mark", "id", "meta.location", "meta.resourceType"} {
				for _, descending := range []bool{false, true} {
					q := p.query("Device", "")
					p.sortBy(q, path, descending)
					p.agrees(c, q)
				}
			}
		},
	},
	{
		name: "list/sort-ties",
		why:  whyOrder + ": those that are equal, or have no value, are in the order of their ids, ascending in both directions, by bytes",
		run: func(p *probe) {
			var all []*scim.Resource
			for i, id := range []string{"b", "B", "a10", "a2", "A", "z", "é", "_", "~", "a-", "a.", "😀", "\uffff"} {
				v := []values{{"title": "same"}, {"title": "SAME"}, nil}[i%3]
				all = append(all, p.create(p.user(id, v)))
			}
			c := p.corpus("User", all)
			for _, path := range []string{"title", "nickName", "active", "meta.resourceType"} {
				for _, descending := range []bool{false, true} {
					q := p.query("User", "")
					p.sortBy(q, path, descending)
					p.agrees(c, q)
				}
			}
		},
	},
	{
		name: "list/positions",
		why:  whyMeet,
		run: func(p *probe) {
			all := p.createAll(p.mixed("User")...)
			for i := range 12 {
				all = append(all, p.create(p.user(fmt.Sprint("more", i), values{"title": []string{"even", "odd", "Even"}[i%3]})))
			}
			c := p.corpus("User", all)
			for _, path := range append([]string{""}, sortable["User"]...) {
				for _, descending := range directions(path) {
					for _, count := range []int{2, 5, len(all), len(all) + 1} {
						q := p.query("User", `not (userName eq "ben")`)
						p.sortBy(q, path, descending)
						p.follow(c, q, count)
					}
				}
			}
		},
	},
	{
		name: "list/positions-and-changes",
		why:  whyMeet,
		run: func(p *probe) {
			for _, path := range []string{"", "userName", "title", "nickName", "meta.created", "emails.value", "id", userExtension + ":level"} {
				for _, descending := range directions(path) {
					p.followWhileChanging(path, descending)
				}
			}
		},
	},
	{
		name: "list/position-count-zero",
		why:  `Query.Count: "0 asks for the total alone"; without resources no page follows (RFC 9865 section 2.2)`,
		run: func(p *probe) {
			p.few(3)
			for _, sort := range []string{"", "userName"} {
				q := p.query("User", "")
				p.sortBy(q, sort, false)
				q.Positioned, q.Count = true, 0
				page := p.list(q)
				p.must(page.Total == 3 && len(page.Resources) == 0 && page.Next == "", "%s returns %d of %d and the next position %q", describe(q), len(page.Resources), page.Total, page.Next)
			}
		},
	},
	{
		name: "list/position-foreign",
		why:  `a store "that is given an After which is none of its own" leaves Positioned false (Page.Positioned): it does not fail, nor does it begin anew as if that were the place`,
		run: func(p *probe) {
			p.few(3)
			for _, after := range []string{"no position of any store", "99999999999999999999999", `{"x":`} {
				for _, sort := range []string{"", "userName"} {
					q := p.query("User", "")
					p.sortBy(q, sort, false)
					q.Positioned, q.After, q.Count = true, after, 2
					page, err := p.store.List(p.ctx, q)
					p.ok(err, describe(q))
					p.must(!page.Positioned || len(page.Resources) < 2 || page.Resources[0].ID() != p.firstOf(sort), "%s begins anew", describe(q))
				}
			}
		},
	},
}

// plainCases are about what a Store that is no MemberStore keeps in documents.
var plainCases = []testCase{{
	name: "list/filter-document-members",
	why:  "where the store is no MemberStore, all members are in the group's document (Group.InlineMembers); the library finds a user's groups by a filter on them",
	run: func(p *probe) {
		members := func(ids ...string) values {
			var list []any
			for _, id := range ids {
				list = append(list, map[string]any{"value": id, "type": "User", "display": "called " + id})
			}
			return values{"members": list}
		}
		var many []string
		for i := range 500 {
			many = append(many, fmt.Sprint("many", i))
		}
		all := p.createAll(p.group("g1", members("u1", "u2")), p.group("g2", members("u2", "U1")), p.group("g3"), p.group("g4", members(many...)))
		all[2] = p.replace(p.group("g3", members("u1", "%")), all[2].Version())
		for _, r := range all {
			p.unchanged(r, "with its members")
		}
		c := p.corpus("Group", all)
		for _, text := range []string{
			`members.value eq "u1"`, `members eq "U1"`, `members[value eq "u2"]`, `members.value eq "many499"`, `members.value ne "u1"`, `not (members.value eq "u1")`, `members.value sw "u"`, `members pr`,
			`members.value eq "%"`, `members[value eq "u1" and display eq "CALLED U1"]`, `members.type eq "Group"`, `members.value eq "u_"`,
		} {
			p.agrees(c, p.query("Group", text))
		}
		p.replace(p.group("g3"), 0)
		p.finds("Group", `members.value eq "u1"`, "g1")
	},
}}

// filterCase is a case that compares what filters select with what Select does.
func filterCase(name, typ string, texts ...string) testCase {
	return testCase{
		name: name, why: whySelect,
		run: func(p *probe) {
			c := p.corpus(typ, p.createAll(p.mixed(typ)...))
			for _, text := range texts {
				p.agrees(c, p.query(typ, text))
			}
		},
	}
}

// sortable are attributes to sort by: some of each data type and place.
var sortable = map[string][]string{
	"User": {
		"id", "userName", "externalId", "title", "active", "nickName", "name.givenName", "emails.value", "emails.type", "emails.primary", userExtension + ":badge", userExtension + ":locker",
		userExtension + ":level", userExtension + ":score", userExtension + ":hired", userExtension + ":skills", userExtension + ":desk.floor",
		"meta.created", "meta.lastModified", "meta.version", "meta.location", "meta.resourceType",
	},
	"Device": {
		"name", "mark", "on", "count", "weight", "sold", "site", "blob", "tags", "marks", "readings", "weights", "visits", "flags",
		"place.value", "place.number", "place.made", "parts.value", "parts.number", "parts.weight", "parts.made", "parts.label",
	},
}

// mixed are resources of which each attribute has several values, and none.
func (p *probe) mixed(typ string) []*scim.Resource {
	type m = map[string]any
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	if typ == "Device" {
		n := func(s string) json.Number { return json.Number(s) }
		return []*scim.Resource{
			p.device("d1", values{
				"name": "Zoe", "mark": "b", "on": true, "count": 9, "weight": n("1.50"), "sold": "2024-01-01T00:00:00Z", "site": "https://x.test/a", "blob": "+/8=",
				"tags": []string{"red", "Green"}, "marks": []string{"red"}, "readings": []int{1, 2, 10}, "weights": []json.Number{n("1.5"), n("100")}, "visits": []string{"2024-01-01T00:00:00Z"}, "flags": []bool{true, false},
				"place": m{"value": "x", "number": 2, "label": "L", "made": "2023-01-01T00:00:00Z"},
				"parts": []m{
					{"value": "p", "number": 10, "weight": n("5.5"), "label": "L", "made": "2024-01-01T00:00:00Z", "site": "https://x.test/a"},
					{"value": "q", "number": 1, "weight": n("0.5"), "label": "l", "blob": "YWI=", "primary": true},
				},
			}),
			p.device("d2", values{
				"name": "adam", "mark": "B", "on": false, "count": 10, "weight": n("-0.5"), "sold": "2024-01-01T01:00:00+01:00", "site": "https://x.test/A", "blob": "YWI=",
				"tags": []string{"RED"}, "marks": []string{"RED", "blue"}, "readings": []int{-3}, "weights": []json.Number{n("15e-1")}, "visits": []string{"2023-12-31T23:00:00-01:00", "2025-01-01T00:00:00Z"}, "flags": []bool{false},
				"place": m{"value": "X", "number": 1}, "parts": []m{{"value": "P", "number": 7, "weight": n("1"), "label": "L", "made": "2024-06-01T00:00:00Z"}},
			}),
			p.device("d3", values{
				"name": "Éva", "mark": "a", "count": n("9007199254740993"), "weight": n("1e301"), "sold": "2024-01-01T00:00:00.123456789Z", "blob": "-_8",
				"tags": []string{"reed", "blue"}, "readings": []json.Number{n("12345678901234567890123")}, "weights": []json.Number{n("0.1")}, "parts": []m{{"type": "only"}, {"number": 3}},
			}),
			p.device("d4", values{"name": "eve", "count": n("-12345678901234567890123"), "weight": n("0.1"), "sold": "1969-12-31T23:59:59Z", "parts": []m{{"value": "z", "number": 100}}, "visits": []string{"2022-01-01T00:00:00Z"}}),
			p.device("d5", values{"count": n("9007199254740992"), "weight": n("-0.0"), "on": true, "flags": []bool{true}, "marks": []string{"Red"}, "place": m{"label": "l", "made": "2025-01-01T00:00:00Z"}}),
			p.device("d6", values{"count": n("12345678901234567890124"), "weight": n("0"), "sold": "2024-01-01T00:00:00.5Z", "visits": []string{"2024-01-01T00:00:00.001Z"}}),
			p.device("d7", nil),
		}
	}
	user := func(id, name string, v values) *scim.Resource {
		return p.build(p.key(), "User", id, values{"userName": name}, v)
	}
	return []*scim.Resource{
		user("u1", "Ann", values{
			"externalId": "x1", "displayName": "Ann", "active": true, "title": "even", "nickName": "Nan", "name": m{"givenName": "Zoe"},
			"emails":                 []m{{"value": "a@x.test", "type": "work", "primary": true}, {"value": "c@x.test", "type": "home"}},
			userExtension + ":badge": "b1", userExtension + ":locker": "L1", userExtension + ":level": 9, userExtension + ":score": 1.5, userExtension + ":hired": "2024-01-01T00:00:00Z",
			userExtension + ":remote": true, userExtension + ":skills": []string{"Go", "sql"}, userExtension + ":desk": m{"room": "r1", "floor": 2}, enterprise + ":department": "Ops",
		}),
		user("u2", "ben", values{
			"externalId": "X1", "active": false, "title": "EVEN", "name": m{"familyName": "B"}, "emails": []m{{"value": "B@x.test", "type": "Work"}, {"value": "b2@x.test"}},
			userExtension + ":badge": "B2", userExtension + ":locker": "l1", userExtension + ":level": 10, userExtension + ":score": json.Number("1.50"), userExtension + ":hired": "2024-12-01T00:00:00+02:00",
			userExtension + ":remote": false, userExtension + ":skills": []string{"sql"}, enterprise + ":department": "ops", enterprise + ":manager": m{"value": "u1"},
		}),
		user("u3", "ANNA", values{"externalId": "x2", "title": "odd", "emails": []m{{"value": "a@x.test"}}, userExtension + ":level": -1, userExtension + ":desk": m{"floor": 1}}),
		user("u4", "Éva", values{"active": true, "nickName": "no", "emails": []m{{"value": "z@x.test", "type": "home", "primary": true}, {"value": "a2@x.test", "type": "home"}}, userExtension + ":skills": []string{"GO"}}),
		user("u5", "eve", values{"displayName": "", "emails": []m{{"type": "work", "display": "nothing else"}}, "addresses": []m{{"type": "work", "country": "DE"}}}),
		user("U1", "dot", values{"active": true, "title": "even"}),
	}
}

// few are n users, of whom the even ones say so.
func (p *probe) few(n int) (all []*scim.Resource) {
	for i := range n {
		v := values{"title": "odd"}
		if i%2 == 0 {
			v = values{"title": "even", "active": i%4 == 0}
		}
		all = append(all, p.create(p.user(fmt.Sprint("u", i), v)))
	}
	return all
}

// firstOf returns the id of the first of all users.
func (p *probe) firstOf(sort string) string {
	q := p.query("User", "")
	p.sortBy(q, sort, false)
	return p.list(q).Resources[0].ID()
}

// sortBy has the query sort by a path; "" leaves it to the store.
func (p *probe) sortBy(q *scim.Query, path string, descending bool) {
	if path != "" {
		q.SortBy, q.Descending = p.attribute(q.Type.Name, path), descending
	}
}

// directions are the orders in which a list sorted by a path is read; without
// one there is only the store's.
func directions(path string) []bool {
	if path == "" {
		return []bool{false}
	}
	return []bool{false, true}
}

// pages reads a list in pages by index and in one.
func (p *probe) pages(text, sort string, count int) {
	q := p.query("User", text)
	p.sortBy(q, sort, false)
	whole := p.list(q)
	p.must(whole.Total == len(whole.Resources), "%s returns %d and a total of %d", describe(q), len(whole.Resources), whole.Total)
	var got []string
	for q.StartIndex, q.Count = 1, count; q.StartIndex <= whole.Total; q.StartIndex += count {
		page := p.list(q)
		p.must(page.Total == whole.Total, "%s has a total of %d, want %d", describe(q), page.Total, whole.Total)
		want := min(count, whole.Total-q.StartIndex+1)
		p.must(len(page.Resources) == want, "%s returns %d, want %d", describe(q), len(page.Resources), want)
		got = append(got, ids(page.Resources)...)
	}
	p.must(slices.Equal(got, ids(whole.Resources)), "%s, %d a page, is %q; in one page it is %q", describe(q), count, got, ids(whole.Resources))
}

// follow reads a list by positions, which must be what it is in one page. A
// store that does not page by position is asked by index.
func (p *probe) follow(c *corpus, q *scim.Query, count int) {
	want := c.answer(q)
	q.Positioned, q.Count = true, count
	var got []string
	for n := 0; ; n++ {
		page := p.list(q)
		p.must(page.Total == want.Total, "%s has a total of %d, want %d", describe(q), page.Total, want.Total)
		if !page.Positioned {
			p.must(q.After == "", "%s: the page before was Positioned, this one is not", describe(q))
			p.must(page.Next == "", "%s: the page is not Positioned but has a Next", describe(q))
			q.Positioned = false
			p.agrees(c, q)
			return
		}
		got = append(got, ids(page.Resources)...)
		if page.Next == "" {
			break
		}
		p.must(len(page.Resources) == count, "%s returns %d resources and that others follow", describe(q), len(page.Resources))
		p.must(n <= len(c.all), "%s: the pages do not end", describe(q))
		q.After = page.Next
	}
	expected := ids(want.Resources)
	if q.SortBy == nil {
		got, expected = sorted(got), sorted(expected)
	}
	p.must(slices.Equal(got, expected), "%s: following Next gives %q, want %q", describe(q), got, expected)
}

// followWhileChanging reads users by positions while others come and go.
func (p *probe) followWhileChanging(path string, descending bool) {
	prefix := fmt.Sprintf("%s-%t-", path, descending)
	of := func(i int, title string) *scim.Resource {
		v := values{"userName": fmt.Sprintf("%s %02d", prefix, (i*7)%40), "title": title, "displayName": prefix}
		if i%3 > 0 {
			v["nickName"] = []string{"a", "A", "b"}[i%3]
			v[userExtension+":level"] = i % 4
			v["emails"] = []any{map[string]any{"value": fmt.Sprintf("%d@x.test", i%5)}}
		}
		return p.build(p.key(), "User", fmt.Sprintf("%s%02d", prefix, i), v)
	}
	const people, later = 30, 10
	kept := map[string]bool{} // who matches throughout
	gone := map[string]bool{}
	for i := range people {
		kept[p.create(of(i, "t")).ID()] = true
	}
	q := p.query("User", "displayName eq "+strconv.Quote(prefix))
	p.sortBy(q, path, descending)
	q.Positioned = true
	met := map[string]bool{}
	for n := 0; ; n++ {
		q.Count = 2 + n%3
		page := p.list(q)
		if !page.Positioned {
			p.must(n == 0, "%s: the page before was Positioned, this one is not", describe(q))
			return
		}
		for _, r := range page.Resources {
			p.must(!met[r.ID()], "%s returns %q, who was on a page before", describe(q), r.ID())
			p.must(!gone[r.ID()], "%s returns %q, who was deleted before", describe(q), r.ID())
			met[r.ID()] = true
		}
		if page.Next == "" {
			break
		}
		p.must(n < people+later, "%s: the pages do not end", describe(q))
		q.After = page.Next
		// Who was last on the page goes, so does somebody who may be still to come, one
		// is changed, and there is somebody new.
		leaving := []string{fmt.Sprintf("%s%02d", prefix, (n*11+5)%people)}
		if n%2 == 0 {
			leaving = append(leaving, page.Resources[len(page.Resources)-1].ID())
		}
		for _, id := range leaving {
			if kept[id] {
				p.remove(userRef(p.key(), id))
				delete(kept, id)
				gone[id] = true
			}
		}
		if changed := (n*13 + 1) % people; kept[fmt.Sprintf("%s%02d", prefix, changed)] && path != "title" {
			p.replace(of(changed, "changed"), 0)
		}
		if n < later {
			p.create(of(people+n, "t"))
		}
	}
	for id := range kept {
		p.must(met[id], "%s: following Next never meets %q, who is there all the time", describe(q), id)
	}
}
