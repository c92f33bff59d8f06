package storetest

import (
	"context"
	"fmt"
	"slices"

	scim "github.com/muster-id/scim"
)

const (
	whyMembers = `"Members yields the members of a group in a stable order" (MemberStore.Members)`
	whyChange  = `"Members that are there already and ids that are not members are ignored; ids unknown in this directory are left out and reported. If anything changes, the group gets a new version and LastModified" (MemberStore.ChangeMembers; rule C10)`
	whyGroups  = `GroupsOf returns "for each of the users in turn, the groups that have it as a direct member, in order of id; none for users that do not exist" (MemberStore.GroupsOf)`
	whyLeaves  = `"a MemberStore removes it from the groups that it is a member of too, which get new versions" (Store.Delete; rule C8)`
)

// memberCases are about what a MemberStore has beside a Store.
var memberCases = []testCase{
	{
		name: "members/not-found",
		why:  `"ErrNotFound if there is no such group" (MemberStore.Members, ChangeMembers)`,
		run: func(p *probe) {
			p.create(p.user("u"))
			p.create(p.group("g"))
			p.join("g", "u")
			gone := p.create(p.group("gone"))
			p.remove(gone.Ref())
			refs := []scim.Ref{groupRef(p.key(), "none"), groupRef(p.key(), "G"), groupRef(p.key(), "%"), gone.Ref(), userRef(p.key(), "u"), userRef(p.key(), "g")}
			for _, key := range p.neighbours() {
				refs = append(refs, groupRef(key, "g"))
			}
			for _, ref := range refs {
				var got []error
				for m, err := range p.members.Members(p.ctx, ref) {
					p.must(err != nil, "Members of %v, which is no group, yields %v", ref, m)
					got = append(got, err)
				}
				p.must(len(got) == 1, "Members of %v, which is no group, yields %d errors, want one", ref, len(got))
				p.is(got[0], scim.ErrNotFound, fmt.Sprintf("Members of %v", ref))
				for _, was := range []scim.Version{0, 1} {
					_, err := p.members.ChangeMembers(p.ctx, ref, scim.MemberChange{Add: people("u")}, was)
					p.is(err, scim.ErrNotFound, fmt.Sprintf("ChangeMembers of %v", ref))
				}
			}
		},
	},
	{
		name: "members/values",
		why:  whyMembers + "; a Member has the id and the type of a resource (RFC 7643 section 4.2)",
		run: func(p *probe) {
			p.team("g", 30)
			p.create(p.group("inner"))
			p.change("g", scim.MemberChange{Add: []scim.Member{{Value: "inner", Type: "Group"}}})
			first := p.membersOf(groupRef(p.key(), "g"))
			p.must(len(first) == 31, "Members yields %d, want 31", len(first))
			for _, m := range first {
				want := "User"
				if m.Value == "inner" {
					want = "Group"
				}
				p.must(m.Type == want, "the member %q has the type %q, want %q", m.Value, m.Type, want)
			}
			for range 3 {
				p.must(slices.Equal(p.membersOf(groupRef(p.key(), "g")), first), "Members yields another order than before")
			}
			p.must(len(p.memberIDs("inner")) == 0, "Members of a group without any yields some")
		},
	},
	{
		name: "members/stop",
		why:  "a caller may stop looking: then nothing is left open or locked (MemberStore.Members)",
		run: func(p *probe) {
			p.team("g", 20)
			for i := range 40 {
				for _, err := range p.members.Members(p.ctx, groupRef(p.key(), "g")) {
					p.ok(err, "Members")
					break
				}
				p.change("g", scim.MemberChange{Remove: []string{fmt.Sprintf("m%03d", i%20)}})
				p.join("g", fmt.Sprintf("m%03d", i%20))
			}
		},
	},
	{
		name:    "members/slow-consumer",
		why:     `Members "must not hold a lock that writers wait for while the caller consumes it: the caller may be a slow client" (MemberStore.Members)`,
		outside: true,
		run: func(p *probe) {
			const size = 300
			p.team("g", size)
			seen := map[string]int{}
			for m, err := range p.members.Members(p.ctx, groupRef(p.key(), "g")) {
				p.ok(err, "Members while others write")
				if seen[m.Value]++; len(seen) == 1 {
					p.soon("writers, while a caller of Members does not go on", func() {
						p.create(p.user("newcomer"))
						p.change("g", scim.MemberChange{Add: people("newcomer"), Remove: []string{"m298", "m299"}})
						p.remove(userRef(p.key(), "m297"))
						p.create(p.user("other"))
					})
				}
			}
			for i := range size - 3 {
				id := fmt.Sprintf("m%03d", i)
				p.must(seen[id] == 1, "Members yields %q, a member all the time, %d times", id, seen[id])
			}
			for id, n := range seen {
				p.must(n == 1, "Members yields %q %d times", id, n)
			}
			p.must(len(p.memberIDs("g")) == size-2, "afterwards the group has %d members, want %d", len(p.memberIDs("g")), size-2)
		},
	},
	{
		name: "members/apart",
		why:  `"A MemberStore never has them in the resource" (GetOptions.WithoutMembers)`,
		run: func(p *probe) {
			p.team("g", 3)
			p.must(len(p.get(groupRef(p.key(), "g")).Group().InlineMembers()) == 0, "Get returns members in the group's document")
			for _, r := range p.list(p.query("Group", "")).Resources {
				p.must(len(r.Group().InlineMembers()) == 0, "List returns members in the group's document")
			}
		},
	},
	{
		name: "members/replace-keeps",
		why:  "members are rows of their own: Replace of a group is about its other attributes (MemberStore)",
		run: func(p *probe) {
			p.team("g", 3)
			p.replace(p.group("g", values{"displayName": "renamed", "externalId": "e"}), 0)
			p.must(len(p.memberIDs("g")) == 3, "after Replace the group has the members %q, want the three of before", p.memberIDs("g"))
			groups := p.groupsOf("m001")
			p.must(len(groups) == 1 && groups[0].DisplayName == "renamed" && groups[0].ExternalID == "e", "after Replace GroupsOf returns %v", groups)
			p.replace(p.user("m001", values{"userName": "renamed"}), 0)
			p.must(slices.Equal(groupIDs(p.groupsOf("m001")), []string{"g"}), "after Replace of a user, its groups are %v", p.groupsOf("m001"))
			p.must(len(p.memberIDs("g")) == 3, "after Replace of a user the group has the members %q", p.memberIDs("g"))
		},
	},
	{
		name: "change/add-remove",
		why:  whyChange,
		run: func(p *probe) {
			for _, id := range []string{"a", "b", "c", "d"} {
				p.create(p.user(id))
			}
			was := p.create(p.group("g"))
			grown := func(r *scim.MemberResult) {
				p.must(r.Group.Version() > was.Version(), "the group's version was %d and is %d, although members have changed", was.Version(), r.Group.Version())
				p.must(!r.Group.Meta().LastModified.Before(was.Meta().LastModified), "lastModified was %v and is %v", was.Meta().LastModified, r.Group.Meta().LastModified)
				p.must(r.Group.Meta().Created.Equal(was.Meta().Created), "created was %v and is %v", was.Meta().Created, r.Group.Meta().Created)
				p.must(r.Group.JSON() == was.JSON(), "the group's document has changed to %s", r.Group.JSON())
				was = r.Group
			}
			r := p.join("g", "a", "b")
			p.came(r, []string{"a", "b"}, nil, nil)
			grown(r)
			for _, m := range r.Added {
				p.must(m.Type == "User", "the member %q was added with the type %q", m.Value, m.Type)
			}
			r = p.change("g", scim.MemberChange{Add: people("b", "c"), Remove: []string{"a", "d"}})
			p.came(r, []string{"c"}, []string{"a"}, nil)
			grown(r)
			p.must(slices.Equal(p.memberIDs("g"), []string{"b", "c"}), "the members are %q, want b and c", p.memberIDs("g"))
			r = p.change("g", scim.MemberChange{Remove: []string{"b"}})
			p.came(r, nil, []string{"b"}, nil)
			grown(r)
			p.must(slices.Equal(p.memberIDs("g"), []string{"c"}), "the members are %q, want c", p.memberIDs("g"))
		},
	},
	{
		name: "change/clear",
		why:  `MemberChange.Clear: "all current members leave, except those in Add"; ` + whyChange,
		run: func(p *probe) {
			p.team("g", 4)
			p.create(p.user("new"))
			r := p.change("g", scim.MemberChange{Clear: true, Add: people("m001", "new")})
			p.came(r, []string{"new"}, []string{"m000", "m002", "m003"}, nil)
			p.must(slices.Equal(p.memberIDs("g"), []string{"m001", "new"}), "the members are %q, want m001 and new", p.memberIDs("g"))
			same := p.change("g", scim.MemberChange{Clear: true, Add: people("new", "m001")})
			p.came(same, nil, nil, nil)
			p.must(same.Group.Version() == r.Group.Version(), "the group has a new version though its members are the same")
			r = p.change("g", scim.MemberChange{Clear: true})
			p.came(r, nil, []string{"m001", "new"}, nil)
			p.must(r.Group.Version() > same.Group.Version(), "the group has no new version though its members have left")
			p.must(len(p.memberIDs("g")) == 0, "the members are %q, want none", p.memberIDs("g"))
			p.came(p.change("g", scim.MemberChange{Clear: true}), nil, nil, nil)
		},
	},
	{
		name: "change/nothing",
		why:  whyChange + "; what changes nothing is no change (rule D4)",
		run: func(p *probe) {
			p.team("g", 2)
			p.create(p.user("out"))
			was := p.get(groupRef(p.key(), "g"))
			for what, c := range map[string]scim.MemberChange{
				"nothing": {}, "no members at all": {Add: []scim.Member{}, Remove: []string{}}, "a member that is there": {Add: people("m000", "m001")}, "one that is none": {Remove: []string{"out"}},
				"what does not exist": {Remove: []string{"nobody", "", "%"}}, "ids that differ": {Remove: []string{"M000", "m000 ", "m00_"}},
			} {
				r := p.change("g", c)
				p.came(r, nil, nil, nil)
				p.same(r.Group, was, "the group, where ChangeMembers was given "+what)
				p.must(slices.Equal(p.memberIDs("g"), []string{"m000", "m001"}), "the members are %q, where ChangeMembers was given %s", p.memberIDs("g"), what)
			}
		},
	},
	{
		name: "change/unknown",
		why:  whyChange,
		run: func(p *probe) {
			p.team("g", 1)
			p.create(p.user("known"))
			p.create(p.build(p.second(), "User", "elsewhere", values{"userName": "elsewhere"}))
			p.remove(p.create(p.user("deleted")).Ref())
			unknown := []string{"nobody", "elsewhere", "deleted", "KNOWN", "known "}
			was := p.get(groupRef(p.key(), "g"))
			r := p.change("g", scim.MemberChange{Add: people(unknown...)})
			p.came(r, nil, nil, unknown)
			p.same(r.Group, was, "the group, where all who were added are unknown")
			r = p.change("g", scim.MemberChange{Clear: true, Add: people(append(unknown, "known")...)})
			p.came(r, []string{"known"}, []string{"m000"}, unknown)
			p.must(slices.Equal(p.memberIDs("g"), []string{"known"}), "the members are %q, want known", p.memberIDs("g"))
			p.create(p.user("nobody"))
			p.must(len(p.groupsOf("nobody")) == 0, "who was unknown when it was added is a member once it is created")
		},
	},
	{
		name: "change/untyped",
		why:  `Member.Type is "" "where the provider did not say": the id alone names the member`,
		run: func(p *probe) {
			p.create(p.user("u"))
			p.create(p.group("inner"))
			p.create(p.group("g"))
			p.came(p.change("g", scim.MemberChange{Add: []scim.Member{{Value: "u"}, {Value: "inner"}, {Value: "x"}}}), []string{"inner", "u"}, nil, []string{"x"})
			p.must(slices.Equal(p.memberIDs("g"), []string{"inner", "u"}), "the members are %q, want inner and u", p.memberIDs("g"))
			p.must(slices.Equal(groupIDs(p.groupsOf("u")), []string{"g"}), "GroupsOf does not find who was added without a type")
			p.came(p.change("g", scim.MemberChange{Add: people("u")}), nil, nil, nil)
		},
	},
	{
		name: "change/versions",
		why:  `"The error wraps ErrVersion if was is not 0 and not the group's version" (MemberStore.ChangeMembers; RFC 7644 section 3.14)`,
		run: func(p *probe) {
			p.team("g", 1)
			p.create(p.user("u"))
			now := p.get(groupRef(p.key(), "g"))
			for _, was := range []scim.Version{now.Version() - 1, now.Version() + 1, 1 << 62} {
				if was == 0 {
					continue
				}
				for _, c := range []scim.MemberChange{{Add: people("u")}, {Clear: true}, {}} {
					_, err := p.members.ChangeMembers(p.ctx, now.Ref(), c, was)
					p.is(err, scim.ErrVersion, fmt.Sprintf("ChangeMembers of version %d where %d is stored", was, now.Version()))
				}
			}
			p.unchanged(now, "after refused changes")
			p.must(slices.Equal(p.memberIDs("g"), []string{"m000"}), "after refused changes the members are %q", p.memberIDs("g"))
			r, err := p.members.ChangeMembers(p.ctx, now.Ref(), scim.MemberChange{Add: people("u")}, now.Version())
			p.ok(err, "ChangeMembers of the version that is stored")
			p.came(r, []string{"u"}, nil, nil)
		},
	},
	{
		name: "change/groups-in-groups",
		why:  "groups are members too, and what they have as members is not (RFC 7643 section 4.2; GroupsOf: direct members)",
		run: func(p *probe) {
			p.team("inner", 1)
			p.create(p.group("outer"))
			p.came(p.change("outer", scim.MemberChange{Add: []scim.Member{{Value: "inner", Type: "Group"}}}), []string{"inner"}, nil, nil)
			p.must(slices.Equal(groupIDs(p.groupsOf("m000")), []string{"inner"}), "GroupsOf a member of a group in a group is %v, want the inner group", p.groupsOf("m000"))
			p.finds("Group", `members.value eq "inner"`, "outer")
			p.finds("Group", `members[type eq "Group"]`, "outer")
			p.finds("Group", `members.type eq "user"`, "inner")
			was := p.get(groupRef(p.key(), "outer"))
			p.remove(groupRef(p.key(), "inner"))
			p.must(len(p.memberIDs("outer")) == 0, "a deleted group is a member still")
			p.must(p.get(was.Ref()).Version() > was.Version(), "the group that a deleted group was in has no new version")
			p.must(len(p.groupsOf("m000")) == 0, "GroupsOf returns a deleted group")
		},
	},
	{
		name: "change/many",
		why:  "a group has as many members as a customer has people, and one request can bring them all (RFC 7644 section 3.5.2)",
		run: func(p *probe) {
			const size = 1000
			var all []string
			for i := range size {
				all = append(all, p.create(p.user(fmt.Sprintf("m%04d", i))).ID())
			}
			p.create(p.group("g"))
			p.came(p.join("g", all...), all, nil, nil)
			p.must(slices.Equal(p.memberIDs("g"), all), "the group has %d members, want %d", len(p.memberIDs("g")), size)
			p.came(p.change("g", scim.MemberChange{Clear: true, Add: people(all[size/2:]...)}), nil, all[:size/2], nil)
			p.came(p.change("g", scim.MemberChange{Remove: all}), nil, all[size/2:], nil)
			groups, err := p.members.GroupsOf(p.ctx, p.key(), all)
			p.ok(err, "GroupsOf")
			p.must(len(groups) == size, "GroupsOf %d users returns %d lists", size, len(groups))
		},
	},
	{
		name: "groups-of/order",
		why:  whyGroups,
		run: func(p *probe) {
			order := []string{"A", "Z", "a10", "a2", "b", "é", "😀"}
			for _, id := range []string{"b", "a2", "😀", "Z", "a10", "é", "A"} {
				p.create(p.group(id, values{"externalId": "x" + id}))
			}
			for _, id := range []string{"u", "v", "none"} {
				p.create(p.user(id))
			}
			for _, id := range order {
				p.join(id, "u")
			}
			p.join("a2", "v")
			all, err := p.members.GroupsOf(p.ctx, p.key(), []string{"nobody", "u", "none", "v", "u", "U"})
			p.ok(err, "GroupsOf")
			p.must(len(all) == 6, "GroupsOf six ids returns %d lists", len(all))
			for i, want := range [][]string{nil, order, nil, {"a2"}, order, nil} {
				p.must(slices.Equal(groupIDs(all[i]), want), "GroupsOf returns %q in place %d, want %q", groupIDs(all[i]), i, want)
			}
			for _, g := range all[1] {
				p.must(g.DisplayName == "group "+g.ID && g.ExternalID == "x"+g.ID, "GroupsOf returns %+v", g)
			}
			none, err := p.members.GroupsOf(p.ctx, p.key(), nil)
			p.ok(err, "GroupsOf nobody")
			p.must(len(none) == 0, "GroupsOf nobody returns %d lists", len(none))
			clear(all[1])
			p.must(slices.Equal(groupIDs(p.groupsOf("u")), order), "GroupsOf changes with what a caller does to the answer before")
		},
	},
	{
		name: "delete/leaves-groups",
		why:  whyLeaves,
		run: func(p *probe) {
			p.team("g", 3)
			p.create(p.group("h"))
			p.create(p.group("empty"))
			p.join("h", "m001")
			g, h, empty := p.get(groupRef(p.key(), "g")), p.get(groupRef(p.key(), "h")), p.get(groupRef(p.key(), "empty"))
			p.is(p.store.Delete(p.ctx, userRef(p.key(), "m001"), 99), scim.ErrVersion, "Delete of a version that is not stored")
			p.unchanged(g, "after a refused Delete of a member")
			p.must(len(p.memberIDs("g")) == 3, "after a refused Delete the members are %q", p.memberIDs("g"))
			p.remove(userRef(p.key(), "m001"))
			for _, was := range []*scim.Resource{g, h} {
				now := p.get(was.Ref())
				p.must(now.Version() > was.Version(), "the group %s, which has lost a member, has still version %d", was.ID(), was.Version())
				p.must(now.JSON() == was.JSON() && now.Meta().Created.Equal(was.Meta().Created), "the group %s has changed: %s", was.ID(), now.JSON())
				p.must(!now.Meta().LastModified.Before(was.Meta().LastModified), "lastModified of %s was %v and is %v", was.ID(), was.Meta().LastModified, now.Meta().LastModified)
			}
			p.unchanged(empty, "which the deleted user was not in")
			p.must(slices.Equal(p.memberIDs("g"), []string{"m000", "m002"}), "the members are %q, want m000 and m002", p.memberIDs("g"))
			p.must(len(p.memberIDs("h")) == 0, "the members are %q, want none", p.memberIDs("h"))
			p.must(len(p.groupsOf("m001")) == 0, "a deleted user has groups")
			p.finds("Group", `members.value eq "m001"`)
			p.create(p.user("m001"))
			p.must(len(p.groupsOf("m001")) == 0, "a user with the id of a deleted one has the groups of that one")
			p.must(len(p.memberIDs("h")) == 0, "a user with the id of a deleted one is a member where that one was")
		},
	},
	{
		name: "delete/group",
		why:  whyDeleted + "; nobody is in a group that is deleted, nor in one that has its id later",
		run: func(p *probe) {
			p.team("g", 2)
			user := p.get(userRef(p.key(), "m000"))
			p.remove(groupRef(p.key(), "g"))
			p.must(len(p.groupsOf("m000")) == 0, "GroupsOf returns a deleted group")
			p.finds("User", `groups.value eq "g"`)
			p.unchanged(user, "after its group was deleted")
			p.create(p.group("g"))
			p.must(len(p.memberIDs("g")) == 0, "a group with the id of a deleted one has the members of that one")
			p.must(len(p.groupsOf("m000")) == 0, "who was in a deleted group is in another with its id")
		},
	},
	{
		name: "members/filters",
		why:  whySelect + "; a filter may look at the members of a group and the groups of a user, which are in no document (Relations; RFC 7643 sections 4.1.2 and 4.2)",
		run: func(p *probe) {
			p.team("g1", 5)
			for _, id := range []string{"g2", "g3", "G1"} {
				p.create(p.group(id, values{"displayName": "team " + id}))
			}
			p.change("g2", scim.MemberChange{Add: append(people("m001", "m002"), scim.Member{Value: "g3", Type: "Group"})})
			p.create(p.user("alone", values{"displayName": "Alone"}))
			p.create(p.user("named", values{"displayName": "Named"}))
			p.join("g3", "named")
			groups := p.corpus("Group", p.list(p.query("Group", "")).Resources)
			for _, text := range []string{
				`members.value eq "m001"`, `members eq "m001"`, `members.value eq "M001"`, `members.value ne "m001"`, `not (members.value eq "m001")`, `members[value eq "m001"]`, `members pr`, `not (members pr)`,
				`members eq null`, `members[value eq "m001" and type eq "User"]`, `members[value eq "m001" and type eq "Group"]`, `members.type eq "Group"`, `members[type ne "User"]`, `members.value sw "m00"`,
				`members.value co "4"`, `members[not (value eq "m001")]`, `members.display pr`, `members.display eq "NAMED"`, `displayName co "2" and members.value eq "m001"`, `members.value eq "m001" and members.value eq "m003"`,
				`members.value eq "m001" or displayName sw "team"`, `members.value gt "m003"`, `members.value eq "none"`, `members[value eq "m001"] and not (members[value eq "g3"])`, `members.value eq "%"`, `members.type pr`,
			} {
				p.agrees(groups, p.query("Group", text))
			}
			users := p.corpus("User", p.list(p.query("User", "")).Resources)
			for _, text := range []string{
				`groups.value eq "g1"`, `groups eq "g1"`, `groups.value eq "G1"`, `groups.value ne "g1"`, `not (groups.value eq "g1")`, `groups[value eq "g2"]`, `groups pr`, `not (groups pr)`, `groups eq null`,
				`groups.display eq "TEAM G2"`, `groups.display co "team"`, `groups[value eq "g1" and display sw "group"]`, `groups.type eq "direct"`, `groups.value eq "g1" and groups.value eq "g2"`, `groups.type eq "indirect"`,
				`groups.value eq "g3" or userName sw "user of a"`, `groups[not (value eq "g1")]`, `groups.value eq "none"`, `displayName pr and groups.value eq "g3"`, `groups.value sw "g"`, `groups.display ne "team g2"`,
			} {
				p.agrees(users, p.query("User", text))
			}
			q := p.query("User", `groups.value eq "g1"`)
			p.sortBy(q, "userName", true)
			p.follow(users, q, 2)
		},
	},
	{
		name: "members/filters-follow",
		why:  "what a filter says of members and groups is true now: after a rename, a change of members, a delete (Store.List)",
		run: func(p *probe) {
			p.team("g", 3)
			p.finds("User", `groups.display eq "group g"`, "m000", "m001", "m002")
			p.replace(p.group("g", values{"displayName": "renamed"}), 0)
			p.finds("User", `groups.display eq "group g"`)
			p.finds("User", `groups[display eq "Renamed"]`, "m000", "m001", "m002")
			p.change("g", scim.MemberChange{Remove: []string{"m001"}})
			p.finds("User", `groups.value eq "g"`, "m000", "m002")
			p.finds("Group", `members.value eq "m001"`)
			p.remove(userRef(p.key(), "m000"))
			p.finds("User", `groups pr`, "m002")
			p.finds("Group", `members.value eq "m000"`)
			p.finds("Group", `members.value eq "m002"`, "g")
		},
	},
	{
		name:    "isolation/members",
		why:     whyIsolated,
		outside: true,
		run: func(p *probe) {
			p.team("g", 2)
			for _, key := range p.strangers() {
				where := fmt.Sprintf("in directory %q of tenant %q", key.Directory, key.Tenant)
				for _, err := range p.members.Members(p.ctx, groupRef(key, "g")) {
					p.is(err, scim.ErrNotFound, "Members "+where)
				}
				_, err := p.members.ChangeMembers(p.ctx, groupRef(key, "g"), scim.MemberChange{Clear: true}, 0)
				p.is(err, scim.ErrNotFound, "ChangeMembers "+where)
				groups, err := p.members.GroupsOf(p.ctx, key, []string{"m000"})
				p.ok(err, "GroupsOf "+where)
				p.must(len(groups) == 1 && len(groups[0]) == 0, "GroupsOf %s returns %v", where, groups)
				if key.Tenant == "%" {
					continue
				}
				p.create(p.build(key, "User", "m000", values{"userName": "m000"}))
				p.create(p.build(key, "Group", "g", values{"displayName": "theirs"}))
				r, err := p.members.ChangeMembers(p.ctx, groupRef(key, "g"), scim.MemberChange{Add: people("m000", "m001")}, 0)
				p.ok(err, "ChangeMembers "+where)
				p.came(r, []string{"m000"}, nil, []string{"m001"})
				p.remove(userRef(key, "m000"))
			}
			p.must(slices.Equal(p.memberIDs("g"), []string{"m000", "m001"}), "the members are %q, after others of these ids were deleted elsewhere", p.memberIDs("g"))
			groups := p.groupsOf("m000")
			p.must(len(groups) == 1 && groups[0].DisplayName == "group g", "GroupsOf returns %v, where groups of that id are elsewhere too", groups)
		},
	},
	{
		name:    "cancelled/members",
		why:     `"the errors of a cancelled context may be returned as they are", and no half of a change is made (Store)`,
		outside: true,
		run: func(p *probe) {
			p.team("g", 2)
			p.create(p.user("u"))
			ctx, cancel := context.WithCancel(p.ctx)
			cancel()
			n := 0
			for _, err := range p.members.Members(ctx, groupRef(p.key(), "g")) {
				if n++; err != nil {
					p.noAnswer(err, "Members")
					n = 2
					break
				}
			}
			p.must(n == 2, "Members with a cancelled context yields %d of 2 members and no error", n)
			_, err := p.members.ChangeMembers(ctx, groupRef(p.key(), "g"), scim.MemberChange{Add: people("u"), Remove: []string{"m000"}}, 0)
			want := []string{"m000", "m001"}
			if err == nil {
				want = []string{"m001", "u"}
			} else {
				p.noAnswer(err, "ChangeMembers")
			}
			p.must(slices.Equal(p.memberIDs("g"), want), "ChangeMembers with a cancelled context returns error %v, and the members are %q", err, p.memberIDs("g"))
		},
	},
	{
		name:    "concurrent/members",
		why:     `"methods are called concurrently": who is added while others are is a member afterwards (Store, MemberStore.ChangeMembers)`,
		outside: true,
		run: func(p *probe) {
			const writers = 8
			p.create(p.group("g"))
			var all []string
			for i := range writers {
				all = append(all, p.create(p.user(fmt.Sprint("u", i))).ID())
			}
			was := p.get(groupRef(p.key(), "g"))
			p.together(writers, func(i int) {
				r, err := p.members.ChangeMembers(p.ctx, was.Ref(), scim.MemberChange{Add: people(all[i])}, 0)
				p.ok(err, "ChangeMembers while others do")
				p.came(r, all[i:i+1], nil, nil)
			})
			p.must(slices.Equal(p.memberIDs("g"), all), "the members are %q, want %q", p.memberIDs("g"), all)
			p.must(p.get(was.Ref()).Version() >= was.Version()+writers, "%d changes of members gave the group only version %d", writers, p.get(was.Ref()).Version())
		},
	},
}

// team creates a group and n users in it, m000 and so on.
func (p *probe) team(group string, n int) {
	p.create(p.group(group))
	var all []string
	for i := range n {
		all = append(all, p.create(p.user(fmt.Sprintf("m%03d", i))).ID())
	}
	p.came(p.join(group, all...), all, nil, nil)
}
