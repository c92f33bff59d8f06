package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

const (
	whyIsolated = `every key carries tenant and directory: "a store must never return or change a resource of another directory than the one that was asked for" (Store; rule A1)`
	whyUnique   = `Create's error wraps ErrUniqueness "if another resource of the same type and directory has the id, the userName (without case, as attr.EqualFold compares), the externalId or another value that ResourceType.Unique lists"`
	whyRefused  = "what is refused changes nothing: an error and half of a change cannot be repeated (Store; RFC 7644 section 3.5.2)"
	whyDeleted  = "what is deleted is gone for every method, and takes no value (Store.Delete; RFC 7644 section 3.6)"
)

// resourceCases are about Get, Create, Replace and Delete.
var resourceCases = []testCase{
	{
		name: "get/created",
		why:  "Create returns the resource as it is stored, and Get returns it (Store.Get, Store.Create)",
		run: func(p *probe) {
			for _, r := range []*scim.Resource{
				p.user("u", values{"active": false, "emails": []any{map[string]any{"value": "a@x.test", "primary": true}}}),
				p.group("g", values{"externalId": "e"}), p.device("d", values{"count": 3}),
			} {
				created := p.create(r)
				p.must(created.JSON() == r.JSON(), "Create returns the document %s, want %s", created.JSON(), r.JSON())
				p.same(p.get(r.Ref()), created, "Get after Create")
			}
		},
	},
	{
		name: "get/not-found",
		why:  `"Get returns the resource, or an error wrapping ErrNotFound" (Store.Get)`,
		run: func(p *probe) {
			p.missing(userRef(p.key(), "u"), "in an empty directory")
			p.create(p.user("u"))
			for _, id := range []string{"U", "u ", " u", "", "%", "_", "u%", "u\\", "'", "ú", "ｕ"} {
				p.missing(userRef(p.key(), id), "where only User \"u\" is there: ids are compared exactly (RFC 7643 section 3.1)")
			}
			p.missing(groupRef(p.key(), "u"), "where there is only a user of that id")
			p.missing(scim.Ref{Directory: p.key(), Type: "Robot", ID: "u"}, "of a type that does not exist")
		},
	},
	{
		name: "get/kept-whole",
		why:  "what the provider said is stored exactly and answered back exactly, whatever characters it is of (package scim)",
		run: func(p *probe) {
			var all []*scim.Resource
			for i, text := range awkward {
				all = append(all, p.create(p.device(fmt.Sprint("d", i), values{
					"name": text, "mark": text, "tags": []string{text, text + "2"}, "parts": []any{map[string]any{"value": text, "label": text}},
				})))
			}
			for _, r := range all {
				p.unchanged(r, "after Create")
				text, _ := r.Text("mark")
				got, _ := p.get(r.Ref()).Text("mark")
				p.must(got == text, "the text %q comes back as %q", text, got)
			}
		},
	},
	{
		name: "get/every-character",
		why:  "every character that JSON can carry is kept, U+0000 apart, which no document has (RFC 8259 section 7)",
		run: func(p *probe) {
			for i, text := range everyRune() {
				r := p.create(p.device(fmt.Sprint("d", i), values{"name": text}))
				got, _ := p.get(r.Ref()).Text("name")
				p.must(got == text, "a text of the characters from %U on comes back with others", []rune(text)[0])
			}
		},
	},
	{
		name: "get/large",
		why:  "a document can be large: people have many attributes and photos (RFC 7643 section 4.1.2)",
		run: func(p *probe) {
			const size = 1 << 20
			r := p.create(p.user("u", values{"displayName": large(size, 1), "nickName": large(size/2, 2)}))
			p.unchanged(r, "after Create")
			r = p.replace(p.user("u", values{"displayName": large(size, 3)}), r.Version())
			p.unchanged(r, "after Replace")
		},
	},
	{
		name: "get/numbers",
		why:  "numbers are kept as they were sent, however many digits they have (package filter; RFC 7643 section 2.3.4)",
		run: func(p *probe) {
			for i, n := range []string{"0", "-1", "9007199254740993", "18446744073709551616", "-123456789012345678901234567890"} {
				r := p.create(p.device(fmt.Sprint("d", i), values{"count": json.Number(n), "readings": []json.Number{json.Number(n)}}))
				p.unchanged(r, "after Create")
			}
			for i, n := range []string{"1.50", "1e400", "0.1", "-0.0", "123456789.123456789123456789"} {
				r := p.create(p.device(fmt.Sprint("w", i), values{"weight": json.Number(n)}))
				p.unchanged(r, "after Create")
			}
		},
	},
	{
		name: "create/meta",
		why:  `"Create stores a new resource and returns it with the Meta it gave: version 1 or more, both times now" (Store.Create; RFC 7643 section 3.1)`,
		run: func(p *probe) {
			const skew = 10 * time.Minute // of another machine's clock
			made := p.user("u").WithMeta(scim.Meta{Created: time.Unix(1, 0), LastModified: time.Unix(2, 0), Version: 77})
			m := p.create(made).Meta()
			p.must(m.Version >= 1, "the version is %d", m.Version)
			p.must(m.Created.Equal(m.LastModified), "created %v and lastModified %v differ", m.Created, m.LastModified)
			p.must(time.Since(m.Created).Abs() < skew, "created is %v, and now is %v", m.Created, time.Now())
			p.must(made.Version() == 77 && made.Meta().Created.Equal(time.Unix(1, 0)), "the resource that was given has been changed")
		},
	},
	{
		name: "create/id-taken",
		why:  whyUnique,
		run: func(p *probe) {
			first := p.create(p.user("u", values{"title": "first"}))
			_, err := p.store.Create(p.ctx, p.user("u", values{"userName": "another", "title": "second"}))
			p.taken(err, "id", "Create with an id that is taken")
			p.unchanged(first, "after another was refused")
			p.finds("User", "", "u")
			p.create(p.build(p.key(), "Group", "u", values{"displayName": "of another type"}))
			p.create(p.user("U"))
			p.create(p.user("u "))
			p.unchanged(first, "after others were created")
		},
	},
	{
		name: "create/user-name",
		why:  whyUnique + "; RFC 7643 section 4.1.1: userName is unique and not case-exact",
		run: func(p *probe) {
			p.distinct("userName", func(i int, text string) *scim.Resource {
				return p.build(p.key(), "User", fmt.Sprint("u", i), values{"userName": text})
			}, attr.Fold)
		},
	},
	{
		name: "create/external-id",
		why:  whyUnique + "; externalId is case-exact (RFC 7643 section 3.1)",
		run: func(p *probe) {
			p.distinct("externalId", func(i int, text string) *scim.Resource {
				return p.user(fmt.Sprint("u", i), values{"externalId": text})
			}, strings.Clone)
			p.create(p.group("g", values{"externalId": "plain"}))
			_, err := p.store.Create(p.ctx, p.group("h", values{"externalId": "plain"}))
			p.taken(err, "externalId", "Create of a second group with one externalId")
		},
	},
	{
		name: "create/declared-unique",
		why:  whyUnique + `; RFC 7643 section 7, uniqueness "server" and "global"`,
		run: func(p *probe) {
			badge, locker := userExtension+":badge", userExtension+":locker"
			p.distinct(badge, func(i int, text string) *scim.Resource {
				return p.user(fmt.Sprint("b", i), values{badge: text})
			}, attr.Fold)
			p.distinct(locker, func(i int, text string) *scim.Resource {
				return p.user(fmt.Sprint("l", i), values{locker: text})
			}, strings.Clone)
			p.distinct("serial", func(i int, text string) *scim.Resource {
				return p.device(fmt.Sprint("s", i), values{"serial": text})
			}, attr.Fold)
		},
	},
	{
		name: "create/unique-as-eq",
		why:  `"a Store keeps them unique as the operator eq compares them; every value of a multi-valued attribute counts" (ResourceType.Unique)`,
		run: func(p *probe) {
			for i, c := range []struct {
				path          string
				one, same, no any
			}{
				{"asset", json.Number("10"), json.Number("10"), json.Number("100")},
				{"asset", json.Number("9007199254740993"), json.Number("9007199254740993"), json.Number("9007199254740992")},
				{"slot", json.Number("1.5"), json.Number("15e-1"), json.Number("1.51")},
				{"built", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00.000+01:00", "2024-01-01T00:00:00.001Z"},
				{"secret", "+/8=", "-_8", "+/9="},
				{"aliases", []string{"a", "b"}, []string{"c", "B"}, []string{"d", "e"}},
				{"plates", []any{map[string]any{"value": "k", "type": "front"}, map[string]any{"value": "l"}}, []any{map[string]any{"value": "L", "type": "back"}}, []any{map[string]any{"value": "m", "type": "front"}}},
			} {
				p.create(p.device(fmt.Sprint(i, "one"), values{c.path: c.one}))
				_, err := p.store.Create(p.ctx, p.device(fmt.Sprint(i, "same"), values{c.path: c.same}))
				p.must(errors.Is(err, scim.ErrUniqueness), "%s: %v is there and %v is created: error %v, want ErrUniqueness", c.path, c.one, c.same, err)
				p.create(p.device(fmt.Sprint(i, "no"), values{c.path: c.no}))
				_, err = p.store.Replace(p.ctx, p.device(fmt.Sprint(i, "no"), values{c.path: c.same}), 0)
				p.must(errors.Is(err, scim.ErrUniqueness), "%s: %v is there and replaces %v: error %v, want ErrUniqueness", c.path, c.same, c.no, err)
			}
			p.create(p.device("none"))
			p.create(p.device("none either"))
		},
	},
	{
		name: "create/refused",
		why:  whyRefused,
		run: func(p *probe) {
			p.create(p.user("u", values{"externalId": "e"}))
			_, err := p.store.Create(p.ctx, p.user("v", values{"externalId": "e", userExtension + ":badge": "b"}))
			p.is(err, scim.ErrUniqueness, "Create with an externalId that is taken")
			p.missing(userRef(p.key(), "v"), "after its Create was refused")
			p.finds("User", "", "u")
			p.create(p.user("v", values{userExtension + ":badge": "b"}))
		},
	},
	{
		name: "replace/meta",
		why:  `Replace returns r "with its new Meta: a greater version, the same Created" (Store.Replace; RFC 7643 section 3.1)`,
		run: func(p *probe) {
			was := p.create(p.user("u", values{"title": "one", "nickName": "gone"}))
			for i := range 3 {
				next := p.user("u", values{"title": strconv.Itoa(i)}).WithMeta(scim.Meta{Created: time.Unix(1, 0), Version: 1000})
				now := p.replace(next, was.Version())
				p.must(now.JSON() == next.JSON(), "Replace returns the document %s, want %s", now.JSON(), next.JSON())
				p.must(now.Version() > was.Version(), "the version was %d and is %d", was.Version(), now.Version())
				p.must(now.Version() < 1000, "the version is that of the resource given, not of the one stored")
				p.must(now.Meta().Created.Equal(was.Meta().Created), "created was %v and is %v", was.Meta().Created, now.Meta().Created)
				p.must(!now.Meta().LastModified.Before(was.Meta().LastModified), "lastModified was %v and is %v", was.Meta().LastModified, now.Meta().LastModified)
				p.unchanged(now, "after Replace")
				was = now
			}
			again := p.replace(p.user("u", values{"title": "2"}), 0)
			p.must(again.Version() > was.Version(), "a Replace by what is stored already keeps version %d", was.Version())
		},
	},
	{
		name: "replace/last-modified",
		why:  "LastModified is when the resource was changed last, to the millisecond (Meta; RFC 7643 section 3.1)",
		run: func(p *probe) {
			first := p.create(p.user("u"))
			until := time.Now().Add(p.patience)
			for {
				now := p.replace(p.user("u", values{"title": "new"}), 0)
				if now.Meta().LastModified.After(first.Meta().LastModified) {
					p.must(now.Meta().LastModified.Equal(now.Meta().LastModified.Truncate(time.Millisecond)), "lastModified is %v", now.Meta().LastModified)
					p.unchanged(now, "after Replace")
					return
				}
				p.must(time.Now().Before(until), "lastModified stays %v", first.Meta().LastModified)
			}
		},
		outside: true, // where time may be that of the transaction's begin
	},
	{
		name: "replace/stale-version",
		why:  `a lost update must be visible: "the error wraps ErrVersion if the stored version is another one (0 fits any)" (Store.Replace; RFC 7644 section 3.14)`,
		run: func(p *probe) {
			first := p.create(p.user("u"))
			second := p.replace(p.user("u", values{"title": "second"}), first.Version())
			for _, was := range []scim.Version{first.Version(), second.Version() + 1, 1 << 62} {
				_, err := p.store.Replace(p.ctx, p.user("u", values{"title": "lost"}), was)
				p.is(err, scim.ErrVersion, fmt.Sprintf("Replace of version %d where %d is stored", was, second.Version()))
				p.unchanged(second, "after a refused Replace")
			}
			p.replace(p.user("u", values{"title": "any"}), 0)
		},
	},
	{
		name: "replace/not-found",
		why:  `"ErrNotFound if there is none" (Store.Replace)`,
		run: func(p *probe) {
			for _, was := range []scim.Version{0, 1} {
				_, err := p.store.Replace(p.ctx, p.user("u"), was)
				p.is(err, scim.ErrNotFound, "Replace of what was never there")
			}
			created := p.create(p.user("u"))
			p.remove(created.Ref())
			for _, was := range []scim.Version{0, created.Version()} {
				_, err := p.store.Replace(p.ctx, p.user("u"), was)
				p.is(err, scim.ErrNotFound, "Replace of what was deleted")
			}
			p.missing(created.Ref(), "after a refused Replace")
		},
	},
	{
		name: "replace/unique",
		why:  "ErrUniqueness as in Create (Store.Replace)",
		run: func(p *probe) {
			one := p.create(p.user("one", values{"userName": "ann", "externalId": "e1", userExtension + ":badge": "b1"}))
			two := p.create(p.user("two", values{"userName": "ben", "externalId": "e2", userExtension + ":badge": "b2"}))
			for attribute, v := range map[string]values{
				"userName":               {"userName": "ANN", "externalId": "e2"},
				"externalId":             {"userName": "ben", "externalId": "e1"},
				userExtension + ":badge": {"userName": "cid", userExtension + ":badge": "B1"},
			} {
				_, err := p.store.Replace(p.ctx, p.build(p.key(), "User", "two", v), two.Version())
				p.taken(err, attribute, "Replace by a "+attribute+" that is taken")
				p.unchanged(two, "after a refused Replace")
			}
			_, err := p.store.Create(p.ctx, p.user("three", values{userExtension + ":badge": "B2"}))
			p.is(err, scim.ErrUniqueness, "Create with what the refused Replace would have set free")
			p.create(p.user("four", values{"userName": "cid"}))
			p.unchanged(one, "which nobody touched")
		},
	},
	{
		name: "replace/itself",
		why:  "a resource does not stand in its own way: ErrUniqueness is about another resource (Store.Create, Store.Replace)",
		run: func(p *probe) {
			p.create(p.user("u", values{"userName": "ann", "externalId": "e", userExtension + ":badge": "b"}))
			p.replace(p.user("u", values{"userName": "ann", "externalId": "e", userExtension + ":badge": "b"}), 0)
			now := p.replace(p.user("u", values{"userName": "ANN", "externalId": "e", userExtension + ":badge": "B"}), 0)
			p.unchanged(now, "after its userName was written in capitals")
			p.create(p.device("d", values{"aliases": []string{"a", "b"}}))
			p.replace(p.device("d", values{"aliases": []string{"B", "c"}}), 0)
			_, err := p.store.Create(p.ctx, p.device("e", values{"aliases": []string{"C"}}))
			p.is(err, scim.ErrUniqueness, "Create with a value that a Replace brought")
		},
	},
	{
		name: "replace/frees",
		why:  "only what resources have now is taken (Store.Create)",
		run: func(p *probe) {
			badge := userExtension + ":badge"
			p.create(p.user("u", values{"userName": "ann", "externalId": "e", badge: "b"}))
			p.replace(p.user("u", values{"userName": "bea"}), 0)
			p.create(p.user("v", values{"userName": "Ann", "externalId": "e", badge: "B"}))
			_, err := p.store.Create(p.ctx, p.user("w", values{"userName": "BEA"}))
			p.taken(err, "userName", "Create with the userName that a Replace brought")
		},
	},
	{
		name: "delete/gone",
		why:  whyDeleted,
		run: func(p *probe) {
			badge := userExtension + ":badge"
			r := p.create(p.user("u", values{"userName": "ann", "externalId": "e", badge: "b"}))
			stays := p.create(p.user("v"))
			p.remove(r.Ref())
			p.missing(r.Ref(), "after Delete")
			p.finds("User", "", "v")
			p.finds("User", `userName eq "ann"`)
			p.finds("User", `externalId eq "e"`)
			for _, was := range []scim.Version{0, r.Version()} {
				p.is(p.store.Delete(p.ctx, r.Ref(), was), scim.ErrNotFound, "Delete of what was deleted")
			}
			p.unchanged(stays, "after another was deleted")
			heir := p.create(p.user("w", values{"userName": "Ann", "externalId": "e", badge: "B"}))
			p.unchanged(heir, "which has the values of a deleted one")
			p.remove(heir.Ref())
			again := p.create(p.user("u", values{"userName": "ANN", "externalId": "e", badge: "B"}))
			p.unchanged(again, "which has id and values of a deleted one")
		},
	},
	{
		name: "delete/not-found",
		why:  `"the errors are those of Replace" (Store.Delete)`,
		run: func(p *probe) {
			created := p.create(p.user("u"))
			for _, ref := range []scim.Ref{userRef(p.key(), "v"), userRef(p.key(), "U"), userRef(p.key(), "%"), groupRef(p.key(), "u")} {
				p.is(p.store.Delete(p.ctx, ref, 0), scim.ErrNotFound, fmt.Sprintf("Delete of %s %q", ref.Type, ref.ID))
				p.is(p.store.Delete(p.ctx, ref, 1), scim.ErrNotFound, fmt.Sprintf("Delete of %s %q", ref.Type, ref.ID))
			}
			p.unchanged(created, "after others were asked to be deleted")
		},
	},
	{
		name: "delete/stale-version",
		why:  `"the errors are those of Replace": ErrVersion if the stored version is another one (Store.Delete; RFC 7644 section 3.14)`,
		run: func(p *probe) {
			first := p.create(p.user("u"))
			second := p.replace(p.user("u", values{"title": "second"}), 0)
			for _, was := range []scim.Version{first.Version(), second.Version() + 1} {
				p.is(p.store.Delete(p.ctx, second.Ref(), was), scim.ErrVersion, fmt.Sprintf("Delete of version %d where %d is stored", was, second.Version()))
				p.unchanged(second, "after a refused Delete")
			}
			p.ok(p.store.Delete(p.ctx, second.Ref(), second.Version()), "Delete of the version that is stored")
			p.missing(second.Ref(), "after Delete")
		},
	},
	{
		name:    "isolation/resources",
		why:     whyIsolated,
		outside: true,
		run:     func(p *probe) { p.isolated(p.strangers()) },
	},
	{
		name: "isolation/directories",
		why:  whyIsolated,
		run:  func(p *probe) { p.isolated(p.neighbours()) },
	},
	{
		name:    "isolation/keys",
		why:     whyIsolated + "; where one name ends and the next begins is part of the key",
		outside: true,
		run: func(p *probe) {
			for _, mark := range []string{"/", ":", "|", "\\", "-", "\x1f", ",", "'"} {
				a := scim.Key{Tenant: p.tenant, Directory: "x" + mark + "y"}
				b := scim.Key{Tenant: p.tenant + mark + "x", Directory: "y"}
				p.create(p.build(a, "User", "u", values{"userName": "ann"}))
				p.missing(userRef(b, "u"), fmt.Sprintf("in directory %q of tenant %q, where it is in %q of %q", b.Directory, b.Tenant, a.Directory, a.Tenant))
				p.create(p.build(b, "User", "u", values{"userName": "ann"}))
				p.missing(userRef(a, "u"+mark+"v"), "which was never there")
			}
		},
	},
	{
		name:    "cancelled/all-or-nothing",
		why:     `"the errors of a cancelled context may be returned as they are": who is told of one must not find the write done, nor be told that something is missing (Store)`,
		outside: true,
		run: func(p *probe) {
			there := p.create(p.user("there"))
			ctx, cancel := context.WithCancel(p.ctx)
			cancel()
			if _, err := p.store.Get(ctx, there.Ref(), scim.GetOptions{}); err != nil {
				p.noAnswer(err, "Get")
			}
			if page, err := p.store.List(ctx, p.query("User", "")); err != nil {
				p.noAnswer(err, "List")
			} else {
				p.must(page.Total == 1, "List with a cancelled context has a total of %d, want 1 or an error", page.Total)
			}
			_, err := p.store.Create(ctx, p.user("new"))
			p.must(p.has(userRef(p.key(), "new")) == (err == nil), "Create with a cancelled context returns error %v, which is not what it did", err)
			if err != nil {
				p.noAnswer(err, "Create")
			}
			_, err = p.store.Replace(ctx, p.user("there", values{"title": "new"}), there.Version())
			p.must((p.get(there.Ref()).Version() == there.Version()) == (err != nil), "Replace with a cancelled context returns error %v, which is not what it did", err)
			if err != nil {
				p.noAnswer(err, "Replace")
			}
			err = p.store.Delete(ctx, there.Ref(), 0)
			p.must(p.has(there.Ref()) == (err != nil), "Delete with a cancelled context returns error %v, which is not what it did", err)
			if err != nil {
				p.noAnswer(err, "Delete")
			}
		},
	},
	{
		name:    "concurrent/versions",
		why:     `"methods are called concurrently": of writers that expect the same version one wins (Store; RFC 7644 section 3.14)`,
		outside: true,
		run: func(p *probe) {
			const writers, rounds = 8, 5
			was := p.create(p.user("u"))
			for range rounds {
				won := make(chan *scim.Resource, writers)
				p.together(writers, func(i int) {
					r, err := p.store.Replace(p.ctx, p.user("u", values{"title": strconv.Itoa(i)}), was.Version())
					if err == nil {
						won <- r
						return
					}
					p.is(err, scim.ErrVersion, "Replace of a version that somebody else replaces too")
				})
				p.must(len(won) == 1, "%d of %d writers have replaced version %d", len(won), writers, was.Version())
				was = <-won
				p.unchanged(was, "after one of several writers has won")
			}
		},
	},
	{
		name:    "concurrent/unique",
		why:     `"methods are called concurrently": of several creates with one userName one wins (Store.Create)`,
		outside: true,
		run: func(p *probe) {
			const writers, rounds = 8, 5
			for round := range rounds {
				won := make(chan string, writers)
				p.together(writers, func(i int) {
					name, id := fmt.Sprint("ann", round), fmt.Sprint("u", round, "of", i)
					if i%2 == 0 {
						name = strings.ToUpper(name)
					}
					_, err := p.store.Create(p.ctx, p.user(id, values{"userName": name}))
					if err == nil {
						won <- id
						return
					}
					p.is(err, scim.ErrUniqueness, "Create with a userName that somebody else creates too")
				})
				p.must(len(won) == 1, "%d of %d users have the same userName", len(won), writers)
				p.finds("User", fmt.Sprintf(`userName eq "Ann%d"`, round), <-won)
			}
		},
	},
}

// taken ends the case unless the error is one of uniqueness, and of the
// attribute if it names one.
func (p *probe) taken(err error, attribute, what string) {
	p.is(err, scim.ErrUniqueness, what)
	var named *scim.UniquenessError
	if errors.As(err, &named) {
		p.must(named.Attribute == attribute, "%s: the error names %q, want %q", what, named.Attribute, attribute)
	}
}

// noAnswer ends the case if an error of a cancelled call is one that says
// something about the resource.
func (p *probe) noAnswer(err error, what string) {
	for _, sentinel := range []error{scim.ErrNotFound, scim.ErrVersion, scim.ErrUniqueness} {
		p.must(!errors.Is(err, sentinel), "%s with a cancelled context says %v", what, err)
	}
}

// distinct creates a resource with each of the awkward texts. Just those that
// are equal in the form that is compared must be refused.
func (p *probe) distinct(attribute string, with func(i int, text string) *scim.Resource, form func(string) string) {
	first := map[string]string{}
	for i, text := range awkward {
		if text == "" {
			continue // no value
		}
		_, err := p.store.Create(p.ctx, with(i, text))
		if other, there := first[form(text)]; there {
			p.taken(err, attribute, fmt.Sprintf("Create with the %s %q where %q is there", attribute, text, other))
			continue
		}
		first[form(text)] = text
		p.ok(err, fmt.Sprintf("Create with the %s %q, which nobody has", attribute, text))
	}
}

// isolated creates the same things in directories that are strangers to each
// other, and changes them in one.
func (p *probe) isolated(strangers []scim.Key) {
	badge := userExtension + ":badge"
	same := func(key scim.Key, title string) *scim.Resource {
		return p.build(key, "User", "u", values{"userName": "ann", "externalId": "e", badge: "b", "title": title})
	}
	mine := p.create(same(p.key(), "mine"))
	list := func(key scim.Key) []*scim.Resource {
		q := p.query("User", `userName eq "ann" or title pr`)
		q.Directory = key
		return p.list(q).Resources
	}
	for _, key := range strangers {
		where := fmt.Sprintf("in directory %q of tenant %q", key.Directory, key.Tenant)
		p.missing(userRef(key, "u"), where)
		p.must(len(list(key)) == 0, "List %s returns what is elsewhere", where)
		_, err := p.store.Replace(p.ctx, same(key, "theirs"), 0)
		p.is(err, scim.ErrNotFound, "Replace "+where)
		p.is(p.store.Delete(p.ctx, userRef(key, "u"), 0), scim.ErrNotFound, "Delete "+where)
		p.unchanged(mine, "after a Delete "+where)
	}
	for _, key := range strangers {
		if key.Tenant == "%" {
			continue // a name that other cases have used
		}
		theirs := p.create(same(key, "theirs"))
		p.must(len(list(key)) == 1, "List does not find just what is in directory %q of tenant %q", key.Directory, key.Tenant)
		theirs = p.replace(same(key, "changed"), theirs.Version())
		p.unchanged(mine, "after a Replace elsewhere")
		p.unchanged(theirs, "after its Replace")
	}
	p.must(len(list(p.key())) == 1, "List returns what is elsewhere")
	p.remove(mine.Ref())
	for _, key := range strangers {
		if key.Tenant != "%" {
			p.must(p.has(userRef(key, "u")), "a Delete removed the user of directory %q of tenant %q too", key.Directory, key.Tenant)
		}
	}
}

// together calls f n times at once, and waits.
func (p *probe) together(n int, f func(i int)) {
	begin := make(chan struct{})
	var all []<-chan struct{}
	for i := range n {
		all = append(all, p.start(func() {
			<-begin
			f(i)
		}))
	}
	close(begin)
	for _, done := range all {
		p.wait("calls at the same time", done)
	}
}
