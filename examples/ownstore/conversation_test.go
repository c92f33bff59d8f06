package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
)

const testToken = "muster-test-0123456789abcdefghijklmnopqrstuvwxyz"

// A client is a provider that talks to a handler.
type client struct {
	handler http.Handler
	header  map[string]string
}

// newClient returns a client for the organization acme, whose domain is
// example.com.
func newClient(t *testing.T, store scim.Store, app scim.Provisioner, dialect scim.Dialect) *client {
	t.Helper()
	var log bytes.Buffer
	t.Cleanup(func() { require.Empty(t, log.String(), "nothing failed within") })
	h, err := newHandler(store, app, []scim.Token{{Secret: testToken, Directory: &scim.Directory{
		Tenant: "acme", ID: "default", Domains: []string{"example.com"}, Dialect: dialect,
	}}}, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	return &client{scim.Mount("/scim/v2", h, nil), map[string]string{"Authorization": "Bearer " + testToken, "Content-Type": "application/scim+json"}}
}

func (c *client) send(t *testing.T, method, path, body string) (status int, answer string) {
	t.Helper()
	q := httptest.NewRequestWithContext(t.Context(), method, "http://scim.example/scim/v2"+path, strings.NewReader(body))
	for name, value := range c.header {
		q.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, q)
	return w.Code, w.Body.String()
}

// A conversation is what a provider says, as testdata/idp of the module has it.
type conversation struct {
	Directory struct{ Dialect scim.Dialect }
	Headers   map[string]string
	Steps     []struct {
		Why     string
		Request struct {
			Method, Path string
			Headers      map[string]*string
			Body         json.RawMessage
			Raw          *string
		}
		Response struct{ Status json.RawMessage }
		Save     map[string]string
	}
}

// What differs from one store to the next: ids, and times.
var (
	anID    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	someday = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
)

// play sends what the provider says and returns what it is answered, with the
// ids numbered in order of appearance.
func play(t *testing.T, talk *conversation, c *client) (answers []string) {
	t.Helper()
	variables := map[string]string{"token": testToken}
	numbers := map[string]string{}
	fill := func(s string) string {
		return os.Expand(s, func(name string) string { return variables[name] })
	}
	for _, step := range talk.Steps {
		c.header = map[string]string{}
		for name, value := range talk.Headers {
			c.header[name] = fill(value)
		}
		for name, value := range step.Request.Headers {
			if delete(c.header, name); value != nil {
				c.header[name] = fill(*value)
			}
		}
		body := string(step.Request.Body)
		if step.Request.Raw != nil {
			body = *step.Request.Raw
		}
		status, answer := c.send(t, step.Request.Method, fill(step.Request.Path), fill(body))
		var one int
		var several []int
		if json.Unmarshal(step.Response.Status, &one) == nil {
			several = []int{one}
		} else {
			require.NoError(t, json.Unmarshal(step.Response.Status, &several))
		}
		require.True(t, slices.Contains(several, status), "%s: status %d, want %s: %s", step.Why, status, step.Response.Status, answer)
		for name, pointer := range step.Save {
			var whole map[string]any
			require.NoError(t, json.Unmarshal([]byte(answer), &whole))
			var at any = whole
			for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
				switch v := at.(type) {
				case map[string]any:
					at = v[part]
				case []any:
					at = v[0] // the only one that is saved of a list
				}
			}
			variables[name] = fmt.Sprint(at)
		}
		answer = anID.ReplaceAllStringFunc(answer, func(id string) string {
			if numbers[id] == "" {
				numbers[id] = fmt.Sprint("id-", len(numbers)+1)
			}
			return numbers[id]
		})
		answers = append(answers, fmt.Sprintf("%s: %d %s", step.Why, status, someday.ReplaceAllString(answer, "TIME")))
	}
	return answers
}

// A naive store keeps resources as they are, in a map: the least that the
// contract asks for, to compare with.
type naive map[scim.Ref]*scim.Resource

func (n naive) Get(_ context.Context, ref scim.Ref, _ scim.GetOptions) (*scim.Resource, error) {
	if r := n[ref]; r != nil {
		return r, nil
	}
	return nil, scim.ErrNotFound
}

func (n naive) List(_ context.Context, q *scim.Query) (*scim.Page, error) {
	return scim.Select(q, maps.Values(n)), nil
}

func (n naive) Create(_ context.Context, r *scim.Resource) (*scim.Resource, error) {
	if err := scim.CheckUnique(r, maps.Values(n)); err != nil {
		return nil, err
	}
	n[r.Ref()] = r.WithMeta(scim.Meta{Created: time.Now(), LastModified: time.Now(), Version: 1})
	return n[r.Ref()], nil
}

func (n naive) Replace(_ context.Context, r *scim.Resource, was scim.Version) (*scim.Resource, error) {
	old := n[r.Ref()]
	if old == nil || was != 0 && was != old.Version() {
		return nil, scim.ErrVersion
	}
	if err := scim.CheckUnique(r, maps.Values(n)); err != nil {
		return nil, err
	}
	n[r.Ref()] = r.WithMeta(scim.Meta{Created: old.Meta().Created, LastModified: time.Now(), Version: old.Version() + 1})
	return n[r.Ref()], nil
}

func (n naive) Delete(_ context.Context, ref scim.Ref, _ scim.Version) error {
	delete(n, ref)
	return nil
}

// nobody is told.
var nobody = scim.ProvisionerFunc(func(context.Context, *scim.Account) (string, error) { return "", nil })

// What providers say is answered from the application's tables, and byte for
// byte as from a store that keeps it as it was said.
func TestConversationsOfProviders(t *testing.T) {
	for _, name := range []string{"entra", "okta-network", "okta-wizard", "onelogin", "google-workspace", "jumpcloud"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "idp", name+".json"))
			require.NoError(t, err)
			var talk conversation
			require.NoError(t, json.Unmarshal(text, &talk))
			require.NotEmpty(t, talk.Steps)

			store := newStore(t, scim.CoreTypes())
			got := play(t, &talk, newClient(t, store, &App{store.db}, talk.Directory.Dialect))
			want := play(t, &talk, newClient(t, naive{}, nobody, talk.Directory.Dialect))
			for i := range want {
				require.Equal(t, want[i], got[i])
			}
		})
	}
}
