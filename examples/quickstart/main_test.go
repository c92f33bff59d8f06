package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/sqltest"
)

// asProgram makes the test binary be the program.
const asProgram = "QUICKSTART_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	status := m.Run()
	sqltest.Close()
	os.Exit(status)
}

// A buffer collects what one goroutine writes while others look.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// runToEnd runs the program with flags that let it come to an end.
func runToEnd(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs buffer
	status = run(t.Context(), args, &out, &errs)
	return status, out.String(), errs.String()
}

// A reached is what one line of -json says.
type reached struct {
	Org     string `json:"org"`
	BaseURL string `json:"base_url"`
	Token   string `json:"token"`
}

// A program is a server that runs.
type program struct {
	t      *testing.T
	out    *bufio.Reader // standard output
	errs   *buffer       // standard error
	stop   func()
	status chan int
}

// start runs the program with a store and on a free port until the test ends.
func start(t *testing.T, store string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	p := &program{t: t, out: bufio.NewReader(r), errs: new(buffer), stop: cancel, status: make(chan int, 1)}
	go func() {
		status := run(ctx, append([]string{"-addr", "127.0.0.1:0", "-store", store}, args...), w, p.errs)
		_ = w.Close()
		p.status <- status
	}()
	t.Cleanup(func() {
		cancel()
		_ = r.Close()
	})
	return p
}

// reached reads one line of -json.
func (p *program) reached() reached {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	require.NoError(p.t, err, "standard error: %s", p.errs)
	var r reached
	require.NoError(p.t, json.Unmarshal(line, &r), "%s", line)
	return r
}

// end stops the program and returns what else it wrote to standard output.
func (p *program) end() (rest string) {
	p.t.Helper()
	p.stop()
	text, err := io.ReadAll(p.out)
	require.NoError(p.t, err)
	require.Zero(p.t, <-p.status, "standard error: %s", p.errs)
	return string(text)
}

// send sends a request to the organization and returns the answer.
func (r reached) send(t *testing.T, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, r.BaseURL+path, strings.NewReader(body))
	require.NoError(t, err)
	q.Header.Set("Authorization", "Bearer "+r.Token)
	q.Header.Set("Content-Type", "application/scim+json")
	w, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	if len(text) > 0 {
		require.NoError(t, json.Unmarshal(text, &answer), "%s", text)
	}
	return w.StatusCode, answer
}

const ada = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ada@example.com","displayName":"Ada"}`

func TestJSONLinesAreAllOfStandardOutput(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-json", "-org", "acme:example.com", "-org", "globex:globex.example,globex.test")
		acme, globex := p.reached(), p.reached()
		require.Equal(t, "acme", acme.Org)
		require.Equal(t, "globex", globex.Org)
		require.NotEqual(t, acme.Token, globex.Token)
		require.NotContains(t, acme.BaseURL, ":0/", "the real port")

		// The line is the promise that the port is open: no second attempt.
		status, _ := acme.send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusCreated, status)
		status, page := globex.send(t, http.MethodGet, "/Users", "")
		require.Equal(t, http.StatusOK, status)
		require.EqualValues(t, 0, page["totalResults"], "organizations do not see each other")

		require.Empty(t, p.end())
		require.Contains(t, p.errs.String(), "acme: Ada <ada@example.com> was created: access as viewer")
		require.NotContains(t, p.errs.String(), acme.Token)
		require.NotContains(t, p.errs.String(), globex.Token)
	})
}

func TestPrintedCommandWorksWhenPasted(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-org", "acme:example.com")
		var command string
		for command == "" {
			line, err := p.out.ReadString('\n')
			require.NoError(t, err, "standard error: %s", p.errs)
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "curl ") {
				command = line
			}
		}
		go io.Copy(io.Discard, p.out) //nolint:errcheck // the rest is read so that the program can write it

		if _, err := exec.LookPath("curl"); err == nil && runtime.GOOS != "windows" {
			text, err := exec.CommandContext(t.Context(), "sh", "-c", command+" --silent --show-error").Output()
			require.NoError(t, err, command)
			require.Contains(t, string(text), `"totalResults":0`)
			return
		}
		// Without curl: what it would send.
		parts := strings.Split(command, `"`)
		require.Len(t, parts, 5, command)
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, parts[3], nil)
		require.NoError(t, err)
		name, value, _ := strings.Cut(parts[1], ": ")
		q.Header.Set(name, value)
		w, err := http.DefaultClient.Do(q)
		require.NoError(t, err)
		defer w.Body.Close()
		require.Equal(t, http.StatusOK, w.StatusCode)
	})
}

func TestPoliciesOfTheFlagsHold(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		const guest = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"eve@elsewhere.example","displayName":"Eve\u001b[2J\nroot"}`
		const married = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"userName","value":"ada.king@example.com"}]}`
		for _, c := range []struct {
			name            string
			args            []string
			outside, change int
			says            string
		}{
			{"default", nil, 400, 400, "acme: POST /scim/v2/Users was refused with 400: userName: the domain"},
			{"guest", []string{"-domains-policy", "guest"}, 201, 400, "was created: no access yet, the email is outside"},
			{"any", []string{"-domains-policy", "any", "-email", "reject"}, 201, 400, "Eve\uFFFD[2J\uFFFDroot <eve@elsewhere.example> was created: access as viewer"},
			{"keep", []string{"-email", "keep"}, 400, 200, "acme: Ada <ada@example.com> was updated"},
			{"domains", []string{"-email", "domains"}, 400, 200, "acme: Ada <ada.king@example.com> was updated"},
			{"allow", []string{"-email", "allow", "-dialect", "strict"}, 400, 200, "acme: Ada <ada.king@example.com> was updated"},
		} {
			t.Run(c.name, func(t *testing.T) {
				p := start(t, store(t), append(c.args, "-json")...)
				acme := p.reached()
				status, _ := acme.send(t, http.MethodPost, "/Users", guest)
				require.Equal(t, c.outside, status)
				status, user := acme.send(t, http.MethodPost, "/Users", ada)
				require.Equal(t, http.StatusCreated, status)
				id, _ := user["id"].(string)
				status, _ = acme.send(t, http.MethodPatch, "/Users/"+id, married)
				require.Equal(t, c.change, status)
				p.end()
				require.Contains(t, p.errs.String(), c.says)
				require.NotContains(t, p.errs.String(), "\x1b", "a provider must not control the terminal")
			})
		}
	})
}

func TestDialectOfTheFlagHolds(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		const entra = `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}`
		for dialect, want := range map[string]int{"auto": 200, "entra": 200, "okta": 400, "google": 400, "strict": 400} {
			p := start(t, store(t), "-json", "-dialect", dialect)
			acme := p.reached()
			_, user := acme.send(t, http.MethodPost, "/Users", ada)
			id, _ := user["id"].(string)
			status, _ := acme.send(t, http.MethodPatch, "/Users/"+id, entra)
			require.Equal(t, want, status, dialect)
			p.end()
		}
	})
}

func TestNothingIsServedWithoutTheToken(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-json")
		acme := p.reached()
		acme.Token = strings.ToLower(acme.Token)
		status, answer := acme.send(t, http.MethodGet, "/Users", "")
		require.Equal(t, http.StatusUnauthorized, status)
		require.Equal(t, "401", answer["status"])
		p.end()
	})
}

func TestWithoutDomainsEverybodyIsRefusedAndItSaysSo(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-json", "-org", "acme")
		status, _ := p.reached().send(t, http.MethodPost, "/Users", ada)
		require.Equal(t, http.StatusBadRequest, status)
		p.end()
		require.Contains(t, p.errs.String(), "acme has no domain, so everybody is refused; give one with -org acme:example.com")
	})
}

func TestPortThatIsTaken(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	status, stdout, stderr := runToEnd(t, "-store", "memory", "-json", "-addr", taken.Addr().String())
	require.Equal(t, 1, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "-addr: ")
	require.Contains(t, stderr, "choose another address")
}

func TestBaseURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080/scim/v2",
		"[::1]:8080":     "http://[::1]:8080/scim/v2",
		"0.0.0.0:8080":   "http://localhost:8080/scim/v2",
		"[::]:8080":      "http://localhost:8080/scim/v2",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		require.Equal(t, want, baseURL(tcp), addr)
	}
}

// A request that is under way when the server is told to stop is answered, and
// what it changed is told to the application.
func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-json")
		acme := p.reached()
		host := strings.TrimSuffix(strings.TrimPrefix(acme.BaseURL, "http://"), mountPath)
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", host)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })

		// The server asks for the body when the handler reads it: then the
		// request is under way.
		_, err = io.WriteString(conn, "POST "+mountPath+"/Users HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer "+acme.Token+
			"\r\nContent-Type: application/scim+json\r\nExpect: 100-continue\r\nContent-Length: "+strconv.Itoa(len(ada))+"\r\n\r\n")
		require.NoError(t, err)
		answer := bufio.NewReader(conn)
		line, err := answer.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "100 Continue")
		_, err = answer.ReadString('\n')
		require.NoError(t, err)

		p.stop()
		for err = nil; err == nil; { // until nobody new is let in
			var other net.Conn
			if other, err = new(net.Dialer).DialContext(t.Context(), "tcp", host); err == nil {
				_ = other.Close()
			}
		}
		require.Empty(t, p.status, "the server waits for the request")

		_, err = io.WriteString(conn, ada)
		require.NoError(t, err)
		w, err := http.ReadResponse(answer, nil)
		require.NoError(t, err)
		defer w.Body.Close()
		require.Equal(t, http.StatusCreated, w.StatusCode)
		p.end()
		require.Contains(t, p.errs.String(), "acme: Ada <ada@example.com> was created")
	})
}

// As a process: a signal stops it, with status 0.
func TestSignalsStopTheProcess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals to send on Windows")
	}
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-addr", "127.0.0.1:0", "-store", filepath.Join(t.TempDir(), "app.db"), "-json")
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadBytes('\n')
		require.NoError(t, err)
		var acme reached
		require.NoError(t, json.Unmarshal(line, &acme))
		status, _ := acme.send(t, http.MethodGet, "/Users", "")
		require.Equal(t, http.StatusOK, status)
		require.NoError(t, cmd.Process.Signal(signal))
		require.NoError(t, cmd.Wait(), signal)
	}
}

func TestDemo(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		for _, args := range [][]string{
			nil,
			{"-dialect", "strict"},
			{"-dialect", "okta", "-email", "keep", "-domains-policy", "guest"},
			{"-dialect", "entra", "-email", "allow", "-domains-policy", "any", "-org", "acme"},
			{"-org", "acme:example.com", "-org", "globex:globex.example"},
		} {
			t.Run(strings.Join(args, " "), func(t *testing.T) {
				status, stdout, stderr := runToEnd(t, append(args, "-demo", "-store", store(t))...)
				require.Zero(t, status, stderr)
				require.Empty(t, stderr)
				for _, told := range []string{
					"acme: Ada Lovelace <ada@example.com> was created: access as viewer",
					"acme: Grace Hopper <grace@example.com> was created: access as viewer",
					"acme: Alan Turing <alan@example.com> was created: access as viewer",
					"acme: Grace Hopper <grace@example.com> was updated: access as member",
					"acme: Ada Lovelace <ada@example.com> was updated: access as admin",
					"acme: Grace Hopper <grace@example.com> was deactivated: no access; 1 session ended",
					"acme: GRACE@EXAMPLE.COM cannot sign in: no access: acme's identity provider has deactivated this person",
					"acme: Grace Hopper <grace@example.com> was deleted: no access",
					"acme: grace@example.com cannot sign in: no access: acme's identity provider has deleted this person",
					"acme: PATCH /scim/v2/Users/",
					"was refused with 403: ",
					"Status of acme's identity provider: healthy, 2 users (2 active), 2 groups, seats in use: 1; the token that ends in ",
					"As expected",
				} {
					require.Contains(t, stdout, told)
				}
			})
		}
	})
}

// The default port may be taken: the demo has no use for it.
func TestDemoTakesAFreePortUnlessTold(t *testing.T) {
	o, err := parseOptions([]string{"-demo"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:0", o.addr)
	o, err = parseOptions([]string{"-demo", "-addr", "127.0.0.1:8081"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8081", o.addr)
}

func TestDemoWithJSONLeavesStandardOutputToMachines(t *testing.T) {
	status, stdout, stderr := runToEnd(t, "-demo", "-json")
	require.Zero(t, status)
	var acme reached
	require.NoError(t, json.Unmarshal([]byte(stdout), &acme))
	require.Contains(t, stderr, "As expected")
}

// What is not as the demo expects is an error, not a remark.
func TestDemoFailsWhereTheApplicationIsNotToldAsExpected(t *testing.T) {
	onEveryStore(t, func(t *testing.T, store newStore) {
		p := start(t, store(t), "-json")
		acme := p.reached()
		o := &options{orgs: []organization{{name: "acme", domains: []string{"example.com"}, token: acme.Token}}}
		var log buffer
		stranger := newApp(t, &log) // whom this server does not tell
		err := runDemo(t.Context(), o, acme.BaseURL, nil, stranger, newLogger(&log))
		require.ErrorContains(t, err, "-demo: acme: the application does not know ada@example.com")
		err = runDemo(t.Context(), o, acme.BaseURL, nil, stranger, newLogger(&log))
		require.ErrorContains(t, err, `userName "ada@example.com" is there already`)
		o.orgs[0].token = strings.ToLower(acme.Token)
		err = runDemo(t.Context(), o, acme.BaseURL, nil, stranger, newLogger(&log))
		require.ErrorContains(t, err, "was answered with 401 instead of 200")
		require.NotContains(t, err.Error()+log.String(), acme.Token)
		p.end()
	})
}

func TestDemoEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs buffer
	require.Equal(t, 1, run(ctx, []string{"-demo"}, &out, &errs))
	require.Contains(t, errs.String(), context.Canceled.Error())
}

func TestTokensAreTheSameAfterARestart(t *testing.T) {
	onDurableStores(t, func(t *testing.T, store newStore) {
		file, same := filepath.Join(t.TempDir(), "tokens.json"), store(t)
		p := start(t, same, "-json", "-token-file", file)
		first := p.reached()
		p.end()
		p = start(t, same, "-json", "-token-file", file)
		again := p.reached()
		require.Equal(t, first.Token, again.Token)
		status, _ := again.send(t, http.MethodGet, "/Users", "")
		require.Equal(t, http.StatusOK, status)
		p.end()
	})
}

func TestStandardOutputThatIsGone(t *testing.T) {
	r, w := io.Pipe()
	_ = r.Close()
	var errs buffer
	require.Equal(t, 1, run(t.Context(), []string{"-addr", "127.0.0.1:0", "-store", "memory", "-json"}, w, &errs))
	require.Contains(t, errs.String(), "standard output")
}
