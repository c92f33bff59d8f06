package memstore_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/memstore"
)

var sizes = []int{1_000, 100_000}

// A population is a store with users of about 760 bytes, each with an account
// and in three groups: everyone, a team of a hundredth, and a hundred.
type population struct {
	*memstore.Store
	n     int
	users []string
}

func userID(i int) string { return fmt.Sprintf("018f3c2e-7b1a-7000-8000-%012d", i) }

func user(tb testing.TB, key scim.Key, i int, title string) *scim.Resource {
	tb.Helper()
	number := fmt.Sprintf("%07d", i)
	given := "Ada"
	if i%50 == 0 {
		given = "Zoe"
	}
	mail := "user." + number + "@example.com"
	r, err := scim.CoreTypes().New(key, "User").ID(userID(i)).
		Set("externalId", "00u5kq9"+number+"pV9d7").Set("userName", mail).
		Set("name", map[string]string{"givenName": given, "familyName": "Lovelace"}).
		Set("displayName", given+" Lovelace "+number).Set("nickName", given).Set("title", title).
		Set("locale", "en-GB").Set("timezone", "Europe/Berlin").Set("active", true).
		Set("emails", []map[string]any{
			{"value": mail, "type": "work", "primary": true},
			{"value": "home" + number + "@mail.test", "type": "home"},
		}).
		Set("phoneNumbers", []map[string]any{{"value": "+49 30 " + number, "type": "work"}}).
		Set("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", map[string]any{
			"employeeNumber": number, "costCenter": "4130", "organization": "Universal Studios", "department": "Research",
			"manager": map[string]string{"value": userID(0)},
		}).Resource()
	require.NoError(tb, err)
	return r
}

func group(tb testing.TB, key scim.Key, id string) *scim.Resource {
	tb.Helper()
	r, err := scim.CoreTypes().New(key, "Group").ID(id).Set("displayName", "Group "+id).Resource()
	require.NoError(tb, err)
	return r
}

func populate(tb testing.TB, n int) *population {
	tb.Helper()
	p := &population{Store: memstore.New(scim.CoreTypes(), nil), n: n}
	ctx := tb.Context()
	groups := map[string][]scim.Member{}
	for i := range n {
		r := user(tb, ada, i, "Engineer")
		p.users = append(p.users, r.ID())
		require.NoError(tb, p.Do(ctx, "acme", func(ctx context.Context, tx scim.Tx) error {
			if _, err := tx.Create(ctx, r); err != nil {
				return err
			}
			return tx.PutAccount(ctx, &scim.AccountState{
				User: r.Ref(), HostID: fmt.Sprint("host-", i), ExternalID: r.ExternalID(), Email: "user@example.com", Active: true,
				Grants: []scim.Grant{{Role: "member", Source: scim.FromGroup, Group: "everyone"}},
			})
		}))
		m := scim.Member{Value: r.ID()}
		groups["everyone"] = append(groups["everyone"], m)
		if i*100/n != (i-1)*100/n || i == 0 {
			groups["hundred"] = append(groups["hundred"], m)
		}
		for team := range 2 {
			name := fmt.Sprint("team-", team, "-", i%50)
			groups[name] = append(groups[name], m)
		}
	}
	for name, members := range groups {
		require.NoError(tb, p.Do(ctx, "acme", func(ctx context.Context, tx scim.Tx) error {
			if _, err := tx.Create(ctx, group(tb, ada, name)); err != nil {
				return err
			}
			_, err := tx.ChangeMembers(ctx, scim.Ref{Directory: ada, Type: "Group", ID: name}, scim.MemberChange{Add: members}, 0)
			return err
		}))
	}
	return p
}

// The same thousand users in stores of every size.
func (p *population) hot(i int) string { return p.users[i%1000*(p.n/1000)] }

func each(b *testing.B, f func(b *testing.B, p *population)) {
	b.Helper()
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := populate(b, n)
			runtime.GC()
			b.ReportAllocs()
			f(b, p)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	each(b, func(b *testing.B, p *population) {
		ctx := b.Context()
		i := 0
		for b.Loop() {
			_, err := p.Get(ctx, scim.Ref{Directory: ada, Type: "User", ID: p.hot(i)}, scim.GetOptions{})
			if err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func query(tb testing.TB, typ, expression string, count int) *scim.Query {
	tb.Helper()
	t := scim.CoreTypes().Type(typ)
	q := &scim.Query{Directory: ada, Type: t, StartIndex: 1, Count: count}
	if expression != "" {
		var err error
		q.Filter, _, err = filter.Parse(expression, t.Type, filter.Options{})
		require.NoError(tb, err)
	}
	return q
}

func benchmarkList(b *testing.B, typ, expression string, start func(n int) int, count, want int) {
	b.Helper()
	each(b, func(b *testing.B, p *population) {
		q := query(b, typ, expression, count)
		q.StartIndex = start(p.n)
		ctx := b.Context()
		for b.Loop() {
			page, err := p.List(ctx, q)
			if err != nil || len(page.Resources) != want {
				b.Fatal(err, len(page.Resources))
			}
		}
	})
}

func first(int) int { return 1 }

func BenchmarkListUserNameHit(b *testing.B) {
	benchmarkList(b, "User", `userName eq "user.0000500@example.com"`, first, 100, 1)
}

func BenchmarkListUserNameMiss(b *testing.B) {
	benchmarkList(b, "User", `userName eq "nobody@example.com"`, first, 100, 0)
}

func BenchmarkListScan(b *testing.B) {
	benchmarkList(b, "User", `name.givenName sw "Zo" and active eq true`, first, 10, 10)
}

func BenchmarkListFirstPage(b *testing.B) { benchmarkList(b, "User", "", first, 100, 100) }

func BenchmarkListLastPage(b *testing.B) {
	benchmarkList(b, "User", "", func(n int) int { return n - 99 }, 100, 100)
}

func BenchmarkListMember(b *testing.B) {
	benchmarkList(b, "Group", `id eq "everyone" and members eq "`+userID(7)+`"`, first, 100, 1)
}

func BenchmarkAddAndRemoveMember(b *testing.B) {
	for _, name := range []string{"hundred", "everyone"} {
		b.Run(name, func(b *testing.B) {
			each(b, func(b *testing.B, p *population) {
				ctx := b.Context()
				ref := scim.Ref{Directory: ada, Type: "Group", ID: name}
				user := p.users[3]
				_, err := p.ChangeMembers(ctx, ref, scim.MemberChange{Remove: []string{user}}, 0)
				require.NoError(b, err)
				for b.Loop() {
					added, err := p.ChangeMembers(ctx, ref, scim.MemberChange{Add: []scim.Member{{Value: user, Type: "User"}}}, 0)
					if err != nil || len(added.Added) != 1 {
						b.Fatal(err)
					}
					removed, err := p.ChangeMembers(ctx, ref, scim.MemberChange{Remove: []string{user}}, 0)
					if err != nil || len(removed.Removed) != 1 {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func BenchmarkReplaceAllMembers(b *testing.B) {
	each(b, func(b *testing.B, p *population) {
		ctx := b.Context()
		ref := scim.Ref{Directory: ada, Type: "Group", ID: "everyone"}
		var all []scim.Member
		for _, id := range p.users {
			all = append(all, scim.Member{Value: id})
		}
		i := 0
		for b.Loop() { // half of the members leave, half come
			half := len(all) / 2 * (i % 2)
			if _, err := p.ChangeMembers(ctx, ref, scim.MemberChange{Clear: true, Add: all[half : half+len(all)/2]}, 0); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func BenchmarkMembers(b *testing.B) {
	each(b, func(b *testing.B, p *population) {
		ctx := b.Context()
		for b.Loop() {
			n := 0
			for _, err := range p.Members(ctx, scim.Ref{Directory: ada, Type: "Group", ID: "everyone"}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != p.n {
				b.Fatal(n)
			}
		}
	})
}

func BenchmarkGroupsOf(b *testing.B) {
	each(b, func(b *testing.B, p *population) {
		ctx := b.Context()
		i := 0
		for b.Loop() {
			groups, err := p.GroupsOf(ctx, ada, []string{p.hot(i)})
			if err != nil || len(groups[0]) < 3 {
				b.Fatal(err, groups)
			}
			i++
		}
	})
}

func BenchmarkReplace(b *testing.B) {
	each(b, func(b *testing.B, p *population) {
		ctx := b.Context()
		const users = 100
		var versions [users][2]*scim.Resource
		for i := range users {
			versions[i] = [2]*scim.Resource{user(b, ada, i, "Engineer"), user(b, ada, i, "Director")}
		}
		i := 0
		for b.Loop() {
			if _, err := p.Replace(ctx, versions[i%users][i/users%2], 0); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
}

func BenchmarkCreateAndDelete(b *testing.B) {
	each(b, func(b *testing.B, p *population) {
		ctx := b.Context()
		r := user(b, ada, p.n+1, "Engineer")
		for b.Loop() {
			if _, err := p.Create(ctx, r); err != nil {
				b.Fatal(err)
			}
			if err := p.Delete(ctx, r.Ref(), 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLog(b *testing.B) {
	s := memstore.New(scim.CoreTypes(), nil)
	ctx, entry := b.Context(), &scim.LogEntry{Directory: ada, Time: time.Unix(0, 0)}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Log(ctx, entry); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeap reports what a user costs beside its document.
func BenchmarkHeap(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		p := populate(b, n)
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		// What holds the ids belongs to the benchmark.
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n-float64(len(userID(0))+12+16), "B/user")
		runtime.KeepAlive(p)
	}
}

// BenchmarkHeapDocuments is what the documents alone cost.
func BenchmarkHeapDocuments(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		all := make([]*scim.Resource, n)
		for i := range all {
			all[i] = user(b, ada, i, "Engineer")
		}
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n-8, "B/user")
		runtime.KeepAlive(all)
	}
}
