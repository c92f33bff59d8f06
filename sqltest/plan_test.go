package sqltest_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/sqlstore"
	"github.com/muster-id/scim/sqltest"
)

const token = "test-token-0123456789abcdef"

// A service is a handler over a recorded store with a filled directory.
type service struct {
	http.Handler
	t     testing.TB
	store *sqlstore.Store
	db    *sql.DB
	*sqltest.Recorder
}

func newService(t testing.TB, name string, users int) *service {
	t.Helper()
	s := newUnknown(t, name, users)
	_, err := s.db.Exec("ANALYZE")
	require.NoError(t, err)
	s.Take()
	return s
}

// newUnknown is newService over a database that does not know how much there is of
// what: SQLite learns it from ANALYZE alone, and few hosts say that.
func newUnknown(t testing.TB, name string, users int) *service {
	t.Helper()
	store, db, recorder, err := sqltest.NewRecorded(name, scim.CoreTypes(), nil, "")
	if err != nil {
		if name == "postgres" && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return serve(t, store, db, recorder, users)
}

func serve(t testing.TB, store *sqlstore.Store, db *sql.DB, recorder *sqltest.Recorder, users int) *service {
	t.Helper()
	auth, err := scim.StaticTokens(scim.Token{Secret: token, Label: "test", Directory: &scim.Directory{Tenant: acme.Tenant, ID: acme.Directory, Domains: []string{"acme.example"}}})
	require.NoError(t, err)
	h, err := scim.NewHandler(store, scim.NoRoles{}, auth, &scim.Config{Provisioner: silent{}, DirectHooks: true})
	require.NoError(t, err)
	s := &service{scim.Mount("/scim/v2", h, nil), t, store, db, recorder}
	s.fill(users)
	return s
}

// silent is a host that keeps nothing.
type silent struct{}

func (silent) Provision(_ context.Context, a *scim.Account) (string, error) {
	return "host-" + a.ID, nil
}

// fill writes users of whom every hundredth is in the group g1, in few
// transactions.
func (s *service) fill(users int) {
	s.t.Helper()
	types := scim.CoreTypes()
	const atOnce = 1000
	for n := 0; n < users; n += atOnce {
		require.NoError(s.t, s.store.Do(context.Background(), acme.Tenant, func(ctx context.Context, tx scim.Tx) error {
			for i := n; i < min(n+atOnce, users); i++ {
				for _, key := range []scim.Key{acme, {Tenant: acme.Tenant, Directory: "other"}} {
					b := types.New(key, "User").ID(fmt.Sprintf("u%d", i))
					for path, v := range map[string]any{
						"userName": fmt.Sprintf("user%d@acme.example", i), "externalId": fmt.Sprintf("ext-%d", i), "displayName": fmt.Sprintf("User %d", i), "active": i%50 != 0,
						"emails": []map[string]any{{"value": fmt.Sprintf("user%d@acme.example", i), "type": "work", "primary": true}},
						"name":   map[string]any{"givenName": "User", "familyName": fmt.Sprintf("Number %d", i)},
					} {
						b.Set(path, v)
					}
					r, err := b.Resource()
					if err == nil {
						_, err = tx.Create(ctx, r)
					}
					if err == nil {
						err = tx.PutAccount(ctx, &scim.AccountState{User: r.Ref(), HostID: "h-" + r.ID(), ExternalID: r.ExternalID(), Email: fmt.Sprintf("user%d@acme.example", i), Active: true})
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
	for g := range max(users/20, 1) {
		r, err := types.New(acme, "Group").ID(fmt.Sprintf("g%d", g)).Set("displayName", fmt.Sprintf("Group %d", g)).Resource()
		require.NoError(s.t, err)
		create(s.t, s.store, r)
		change := scim.MemberChange{}
		for i := g % 100; i < users; i += 100 {
			change.Add = append(change.Add, scim.Member{Value: fmt.Sprintf("u%d", i), Type: "User"})
		}
		_, err = s.store.ChangeMembers(context.Background(), r.Ref(), change, 0)
		require.NoError(s.t, err)
	}
	s.Take()
}

// multiply gives PostgreSQL other tenants, as many rows as they would have: of a
// small table it rightly reads all.
func (s *service) multiply(name string, tenants int) {
	s.t.Helper()
	if name != "postgres" {
		return
	}
	schema := schemaOf(s)
	for _, table := range []string{"scim_resources", "scim_accounts", "scim_indexed_values", "scim_members", "scim_events", "scim_requests", "scim_records"} {
		var columns string
		require.NoError(s.t, s.db.QueryRow(`SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns
			WHERE table_schema = $1 AND table_name = $2 AND column_name <> 'tenant'`, schema, table).Scan(&columns))
		table = schema + "." + table
		_, err := s.db.Exec("INSERT INTO " + table + " (tenant, " + columns + ") SELECT 'tenant' || n, " + columns + " FROM " + table + fmt.Sprintf(" CROSS JOIN generate_series(1, %d) n", tenants))
		require.NoError(s.t, err)
	}
	_, err := s.db.Exec("ANALYZE")
	require.NoError(s.t, err)
	s.Take()
}

// schemaOf finds the schema of a store in what it sends.
func schemaOf(s *service) string {
	s.t.Helper()
	s.Take()
	s.do("GET", "/Users/u1", "")
	_, rest, found := strings.Cut(s.Take()[0].SQL, "FROM ")
	schema, _, dot := strings.Cut(rest, ".")
	require.True(s.t, found && dot)
	return schema
}

func (s *service) do(method, path, body string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, "/scim/v2"+path, bytes.NewReader([]byte(body)))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Less(s.t, w.Code, 300, "%s %s: %s", method, path, w.Body)
	return w
}

// requests are what providers send.
var requests = []struct{ name, method, path, body string }{
	{"GET user", "GET", "/Users/u7", ""},
	{"GET group", "GET", "/Groups/g1?excludedAttributes=members", ""},
	{"GET group with members", "GET", "/Groups/g1", ""},
	{"userName", "GET", "/Users?filter=" + url.QueryEscape(`userName eq "User7@acme.example"`), ""},
	{"externalId", "GET", "/Users?filter=" + url.QueryEscape(`externalId eq "ext-7"`), ""},
	{"email", "GET", "/Users?filter=" + url.QueryEscape(`emails.value eq "user7@acme.example"`), ""},
	{"work email", "GET", "/Users?filter=" + url.QueryEscape(`emails[type eq "work" and value eq "user7@acme.example"]`), ""},
	{"userName and active", "GET", "/Users?filter=" + url.QueryEscape(`active eq true and userName eq "user7@acme.example"`), ""},
	{"displayName", "GET", "/Groups?filter=" + url.QueryEscape(`displayName eq "group 3"`), ""},
	{"id and member", "GET", "/Groups?filter=" + url.QueryEscape(`id eq "g1" and members eq "u1"`), ""},
	{"groups of a member", "GET", "/Groups?filter=" + url.QueryEscape(`members.value eq "u1"`) + "&excludedAttributes=members", ""},
	{"inactive", "GET", "/Users?count=10&filter=" + url.QueryEscape(`active eq false`), ""},
	{"a page", "GET", "/Users?startIndex=41&count=20", ""},
	{"POST user", "POST", "/Users", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"new@acme.example","externalId":"new-1","displayName":"New","active":true,"emails":[{"value":"new@acme.example","type":"work","primary":true}]}`},
	{"PATCH user", "PATCH", "/Users/u7", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"Engineer"}]}`},
	{"PATCH deactivate", "PATCH", "/Users/u8", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}`},
	{"PATCH group, one member", "PATCH", "/Groups/g2", `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"u9"}]}]}`},
	{"PUT user", "PUT", "/Users/u10", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"user10@acme.example","externalId":"ext-10","displayName":"Ten","active":true,"emails":[{"value":"user10@acme.example","type":"work","primary":true}]}`},
	{"DELETE user", "DELETE", "/Users/u11", ""},
	{"DELETE group", "DELETE", "/Groups/g4", ""},
}

// A scan of what can be large: in SQLite's words, and in PostgreSQL's.
var scan = regexp.MustCompile(`SCAN (scim_\w+|[rgmaibc])( |$)|Seq Scan on (scim_resources|scim_members|scim_indexed_values|scim_accounts|scim_events|scim_requests)`)

// A search of SQLite's whose conditions end where a directory, a type or a group
// begins: it reads all that is in it.
var whole = regexp.MustCompile(`(?m)SEARCH (scim_)?(r|m|i|a|u|g|resources|members|indexed_values|accounts) USING .*[( ](directory|type|group_id|attribute)=\?\)( |$)`)

// Of these requests one statement reads so much: to send it, or to delete it.
var readsWhole = map[string]bool{"a page": true, "GET group with members": true, "DELETE group": true}

// How many rows a step of a plan has had and thrown away in PostgreSQL.
var removed = regexp.MustCompile(`Rows Removed by [A-Za-z ]+: ([0-9]+)|actual rows=([0-9]+)`)

// most is how many rows a request about one user or group may look at: its groups
// and what they are bound to.
const most = 60

// Nothing that providers ask for every day reads all of a directory or of a group
// to find one in it, nor with a plan that PostgreSQL has made for any values.
func TestNoRequestReadsWhatItThrowsAway(t *testing.T) {
	t.Parallel()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newUnknown(t, name, 1000)
			s.multiply(name, 20)
			largest := func(plan string) int {
				rows := 0
				for _, found := range removed.FindAllStringSubmatch(plan, -1) {
					n, err := strconv.Atoi(found[1] + found[2])
					require.NoError(t, err)
					rows = max(rows, n)
				}
				return rows
			}
			for _, q := range requests {
				s.do(q.method, q.path, q.body)
				for _, statement := range s.Take() {
					switch {
					case readsWhole[q.name]:
					case name == "sqlite":
						plan := s.plan(name, statement)
						require.NotRegexp(t, whole, plan, "%s: %s\n%s", q.name, statement.SQL, plan)
					case strings.HasPrefix(statement.SQL, "SELECT"):
						for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
							plan := s.analyze(mode, statement)
							require.LessOrEqual(t, largest(plan), most, "%s, %s: %s\n%s", q.name, mode, statement.SQL, plan)
						}
					}
				}
			}
			// The test notices: this one has to look at all users.
			s.do("GET", "/Users?filter="+url.QueryEscape(`title co "x"`), "")
			statement := s.Take()[0]
			if name == "sqlite" {
				require.Regexp(t, whole, s.plan(name, statement))
			} else {
				require.Greater(t, largest(s.analyze("force_generic_plan", statement)), most)
			}
		})
	}
}

// analyze returns how PostgreSQL has executed a statement that only reads.
func (s *service) analyze(mode string, statement sqltest.Statement) string {
	s.t.Helper()
	defer s.Take()
	tx, err := s.db.Begin()
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, tx.Rollback()) }()
	exec := func(text string) {
		_, err := tx.Exec(text)
		require.NoError(s.t, err, text)
	}
	exec("SET LOCAL plan_cache_mode = " + mode)
	exec("PREPARE analyzed AS " + statement.SQL)
	defer exec("DEALLOCATE analyzed")
	values := make([]string, len(statement.Args))
	for i, v := range statement.Args {
		values[i] = "'" + strings.ReplaceAll(fmt.Sprint(v), "'", "''") + "'"
	}
	call := "EXECUTE analyzed"
	if len(values) > 0 {
		call += "(" + strings.Join(values, ", ") + ")"
	}
	rows, err := tx.Query("EXPLAIN (ANALYZE, TIMING OFF) " + call)
	require.NoError(s.t, err, statement.SQL)
	defer func() { require.NoError(s.t, rows.Close()) }()
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(s.t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(s.t, rows.Err())
	return plan.String()
}

// Nothing that providers ask for every day reads a whole table.
func TestNoRequestScansATable(t *testing.T) {
	t.Parallel()
	for _, name := range sqltest.Stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, name, 1000)
			s.multiply(name, 20)
			for _, q := range requests {
				s.do(q.method, q.path, q.body)
				for _, statement := range s.Take() {
					plan := s.plan(name, statement)
					require.NotRegexp(t, scan, plan, "%s: %s\n%v\n%s", q.name, statement.SQL, statement.Args, plan)
				}
			}
			// The test notices: this one has to look at all users.
			s.do("GET", "/Users?filter="+url.QueryEscape(`title co "x"`), "")
			statement := s.Take()[0]
			if name == "postgres" {
				statement.SQL = strings.Replace(statement.SQL, "WHERE r.tenant", "WHERE r.tenant || '' = '' OR r.tenant", 1)
				require.Regexp(t, scan, s.plan(name, statement))
			} else {
				require.Regexp(t, scan, s.plan(name, sqltest.Statement{SQL: "SELECT doc FROM scim_resources r WHERE doc LIKE '%x'"}))
			}
		})
	}
}

// plan returns how the database executes a statement.
func (s *service) plan(name string, statement sqltest.Statement) string {
	s.t.Helper()
	if statement.SQL == "BEGIN" || statement.SQL == "COMMIT" || statement.SQL == "ROLLBACK" {
		return ""
	}
	defer s.Take()
	explain, detail := "EXPLAIN ", 0
	if name == "sqlite" {
		explain, detail = "EXPLAIN QUERY PLAN ", 3
	}
	rows, err := s.db.Query(explain+statement.SQL, statement.Args...)
	require.NoError(s.t, err, statement.SQL)
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	var plan []string
	for rows.Next() {
		columns := make([]any, detail+1)
		for i := range columns {
			columns[i] = new(string)
		}
		require.NoError(s.t, rows.Scan(columns...))
		plan = append(plan, *columns[detail].(*string))
	}
	require.NoError(s.t, rows.Err())
	return strings.Join(plan, "\n")
}

// statementsAtMost are those that the requests take, on SQLite and PostgreSQL.
// BEGIN and COMMIT count.
var statementsAtMost = map[string]map[string]int{
	"GET user":                {"sqlite": 2, "postgres": 2},
	"GET group":               {"sqlite": 1, "postgres": 1},
	"GET group with members":  {"sqlite": 2, "postgres": 2},
	"userName":                {"sqlite": 2, "postgres": 2},
	"externalId":              {"sqlite": 2, "postgres": 2},
	"email":                   {"sqlite": 2, "postgres": 2},
	"work email":              {"sqlite": 2, "postgres": 2},
	"userName and active":     {"sqlite": 2, "postgres": 2},
	"displayName":             {"sqlite": 2, "postgres": 2},
	"id and member":           {"sqlite": 2, "postgres": 2},
	"groups of a member":      {"sqlite": 1, "postgres": 1},
	"inactive":                {"sqlite": 2, "postgres": 2},
	"a page":                  {"sqlite": 3, "postgres": 3},
	"POST user":               {"sqlite": 11, "postgres": 6},
	"PATCH user":              {"sqlite": 9, "postgres": 6},
	"PATCH deactivate":        {"sqlite": 9, "postgres": 6},
	"PATCH group, one member": {"sqlite": 12, "postgres": 9},
	"PUT user":                {"sqlite": 9, "postgres": 6},
	"DELETE user":             {"sqlite": 11, "postgres": 7},
	"DELETE group":            {"sqlite": 16, "postgres": 12},
}

// The number of statements that a request takes does not grow.
func TestStatementsOfARequest(t *testing.T) {
	t.Parallel()
	// Old lines of the request log are removed with one write of many, by chance.
	unpruned := &sqlstore.Options{Requests: -1, RequestAge: -1}
	recordedOn(t, unpruned, func(t *testing.T, name string, store *sqlstore.Store, db *sql.DB, r *sqltest.Recorder) {
		s := serve(t, store, db, r, 100)
		for _, q := range requests {
			require.NoError(t, store.Flush(t.Context())) // what requests before it have left to be written
			s.Take()
			s.do(q.method, q.path, q.body)
			statements := s.Take()
			var all strings.Builder
			for _, statement := range statements {
				all.WriteString("\n\t" + short(statement.SQL))
			}
			require.LessOrEqual(t, len(statements), statementsAtMost[q.name][name], "%s:%s", q.name, &all)
		}
	})
}

var spaces = regexp.MustCompile(`\s+`)

func short(s string) string {
	s = spaces.ReplaceAllString(s, " ")
	return s[:min(len(s), 150)]
}

func BenchmarkRequests(b *testing.B) {
	for _, name := range sqltest.Stores {
		s := newService(b, name, 1000)
		n := 0
		for _, q := range requests[:20] {
			switch q.name {
			case "GET user", "userName", "PATCH user", "POST user":
			default:
				continue
			}
			b.Run(name+"/"+strings.ReplaceAll(q.name, " ", "_"), func(b *testing.B) {
				for b.Loop() {
					n++
					body := strings.ReplaceAll(q.body, "new", fmt.Sprintf("new%d", n))
					s.do(q.method, q.path, strings.ReplaceAll(body, "Engineer", fmt.Sprint("Engineer ", n)))
				}
			})
			s.Take()
		}
	}
}
