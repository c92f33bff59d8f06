package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-id/scim"
)

// conversationBase is the path at which [newConversationHandler] mounts the
// handler; paths in conversation files are relative to it.
const conversationBase = "/scim/v2"

// A conversation is what one identity provider says to the service provider, in
// order, and what it has to be answered. testdata/idp/README.md describes the file
// format, which is meant to be run from other languages too.
type conversation struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Source   string `json:"source"`

	Directory conversationDirectory `json:"directory"`

	// Headers are sent with every request, Content-Type only with a body.
	Headers map[string]string `json:"headers"`
	Steps   []*step           `json:"steps"`

	// provisioned returns the accounts that the host was told about since the last
	// call, in order. newConversationHandler sets it; a step with "accounts" fails
	// without it.
	provisioned func() []toldAccount

	// fired returns the names of the tolerances that fired since the last call.
	// newConversationHandler sets it; a step with "fired" fails without it.
	fired func() []string

	// left returns what was left out of the last request. newConversationHandler
	// sets it; a step with "left" fails without it.
	left func() leftOut
}

// leftOut is what the request log says was not applied, and is answered with
// success all the same.
type leftOut struct {
	Ignored []string `json:"ignored"` // attributes of a PATCH that no schema defines
	Unknown []string `json:"unknown"` // ids of members that nobody has
}

// conversationDirectory is the configuration under which a conversation holds.
type conversationDirectory struct {
	Domains []string `json:"domains"` // verified for the tenant
	Dialect string   `json:"dialect"` // by name
	Email   string   `json:"email"`   // reject, keep, domains or allow (rule A4)
}

// toldAccount is what conversations compare of an account that a Provisioner was
// given.
type toldAccount struct {
	ID     string `json:"id"`
	Email  string `json:"email"`
	Active bool   `json:"active"`
	Change string `json:"change"`
}

type step struct {
	Why      string            `json:"why"`
	Request  stepRequest       `json:"request"`
	Response stepResponse      `json:"response"`
	Save     map[string]string `json:"save"`     // variable: JSON pointer into the answer
	Fired    *[]string         `json:"fired"`    // tolerances among those that fired; none if empty
	Left     *leftOut          `json:"left"`     // exactly what was left out
	Accounts json.RawMessage   `json:"accounts"` // pattern for a list of toldAccount
}

type stepRequest struct {
	Method  string             `json:"method"`
	Path    string             `json:"path"`
	Headers map[string]*string `json:"headers"` // null takes a common header away
	Body    json.RawMessage    `json:"body"`
	Raw     *string            `json:"raw"` // bytes that are not JSON, or not this JSON
}

type stepResponse struct {
	Status  statuses          `json:"status"`
	Headers map[string]string `json:"headers"` // patterns
	Body    json.RawMessage   `json:"body"`    // pattern
	Absent  []string          `json:"absent"`  // JSON pointers that must lead nowhere
}

// statuses are the acceptable status codes: a number, or a list where the
// specifications leave a choice.
type statuses []int

func (s *statuses) UnmarshalJSON(data []byte) error {
	var one int
	if json.Unmarshal(data, &one) == nil {
		*s = statuses{one}
		return nil
	}
	return json.Unmarshal(data, (*[]int)(s))
}

// TestConversations plays every recorded conversation against a fresh handler,
// on every kind of store.
func TestConversations(t *testing.T) {
	for kind, newStore := range stores {
		for name, c := range loadConversations(t) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				h, token := newConversationHandler(t, newStore(), c)
				runConversation(t, h, token, c)
			})
		}
	}
}

// loadConversations reads every conversation, by file name without extension.
func loadConversations(t testing.TB) map[string]*conversation {
	t.Helper()
	files, err := filepath.Glob("testdata/idp/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no conversations under testdata/idp")
	}
	all := make(map[string]*conversation, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseConversation(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = c
	}
	return all
}

// parseConversation decodes and checks a conversation file. A misspelt member must
// not turn a check off, so unknown members are an error.
func parseConversation(data []byte) (*conversation, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	c := new(conversation)
	if err := dec.Decode(c); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("more than one JSON value")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// check finds what would make a step meaningless: no reason, no status, a variable
// that nothing saved, a pattern that no matcher understands.
func (c *conversation) check() error {
	if c.Name == "" || c.Provider == "" || c.Source == "" {
		return errors.New("name, provider and source are required")
	}
	if _, err := scim.ParseDialect(c.Directory.Dialect); err != nil {
		return err
	}
	if !slices.Contains([]string{"reject", "keep", "domains", "allow"}, c.Directory.Email) {
		return fmt.Errorf("unknown email policy %q", c.Directory.Email)
	}
	if len(c.Steps) == 0 {
		return errors.New("no steps")
	}
	vars := map[string]string{"token": ""}
	for i, s := range c.Steps {
		if err := s.check(vars); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, s.Why, err)
		}
		for name := range s.Save {
			vars[name] = ""
		}
	}
	return nil
}

func (s *step) check(vars map[string]string) error {
	if s.Why == "" || s.Request.Method == "" || !strings.HasPrefix(s.Request.Path, "/") {
		return errors.New("why, method and an absolute path are required")
	}
	if len(s.Response.Status) == 0 {
		return errors.New("no status")
	}
	if s.Request.Body != nil && s.Request.Raw != nil {
		return errors.New("body and raw exclude each other")
	}
	for _, pointer := range append(slices.Collect(maps.Values(s.Save)), s.Response.Absent...) {
		if !strings.HasPrefix(pointer, "/") {
			return fmt.Errorf("JSON pointer %q does not begin with a slash", pointer)
		}
	}
	texts := []string{s.Request.Path, string(s.Request.Body)}
	if s.Request.Raw != nil {
		texts = append(texts, *s.Request.Raw)
	}
	for _, value := range s.Request.Headers {
		if value != nil {
			texts = append(texts, *value)
		}
	}
	for _, text := range texts {
		if _, err := substitute(text, vars); err != nil {
			return err
		}
	}
	patterns := []json.RawMessage{s.Response.Body, s.Accounts}
	for _, header := range s.Response.Headers {
		quoted, err := json.Marshal(header)
		if err != nil {
			return err
		}
		patterns = append(patterns, quoted)
	}
	for _, raw := range patterns {
		if raw == nil {
			continue
		}
		pattern, err := parsePattern(raw, vars)
		if err != nil {
			return err
		}
		if err := checkPattern(pattern); err != nil {
			return err
		}
	}
	return nil
}

// A reporter takes what went wrong; a *testing.T is one.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// runConversation plays c against h and reports every step that is answered
// differently, with its number, its reason, what differs, and the answer. Later steps
// still run, unless they need something that an earlier answer did not have.
func runConversation(t reporter, h http.Handler, token string, c *conversation) {
	t.Helper()
	c.drain()
	vars := map[string]string{"token": token}
	for i, s := range c.Steps {
		req, err := s.request(c.Headers, vars)
		if err != nil {
			t.Errorf("%s: step %d: %s: %v", c.Name, i+1, s.Why, err)
			return
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)

		problems := s.mismatches(rec, vars)
		problems = append(problems, s.effects(c, vars)...)
		if len(problems) > 0 {
			t.Errorf("%s: step %d: %s\n  %s %s\n    %s\n  answered %d %v\n%s",
				c.Name, i+1, s.Why, req.Method, req.RequestURI, strings.Join(problems, "\n    "),
				rec.Code, rec.Header(), indented(rec.Body.Bytes()))
		}
	}
}

// drain forgets what happened before the first step, such as set-up.
func (c *conversation) drain() {
	if c.provisioned != nil {
		c.provisioned()
	}
	if c.fired != nil {
		c.fired()
	}
}

func (s *step) request(common map[string]string, vars map[string]string) (*http.Request, error) {
	path, err := substitute(s.Request.Path, vars)
	if err != nil {
		return nil, err
	}
	var text string
	switch {
	case s.Request.Raw != nil:
		text = *s.Request.Raw
	case s.Request.Body != nil:
		var compact bytes.Buffer
		if err := json.Compact(&compact, s.Request.Body); err != nil {
			return nil, err
		}
		text = compact.String()
	}
	if text, err = substitute(text, vars); err != nil {
		return nil, err
	}
	var body io.Reader
	if text != "" {
		body = strings.NewReader(text)
	}

	req := httptest.NewRequestWithContext(context.Background(), s.Request.Method, conversationBase+path, body)
	for name, value := range common {
		if body == nil && http.CanonicalHeaderKey(name) == "Content-Type" {
			continue
		}
		if value, err = substitute(value, vars); err != nil {
			return nil, err
		}
		req.Header.Set(name, value)
	}
	for name, value := range s.Request.Headers {
		if value == nil {
			req.Header.Del(name)
			continue
		}
		sent, err := substitute(*value, vars)
		if err != nil {
			return nil, err
		}
		req.Header.Set(name, sent)
	}
	return req, nil
}

// mismatches compares an answer with what the step expects and with what holds for
// every answer, and saves variables from it.
func (s *step) mismatches(rec *httptest.ResponseRecorder, vars map[string]string) []string {
	var problems []string
	if !slices.Contains(s.Response.Status, rec.Code) {
		problems = append(problems, fmt.Sprintf("status: want %v, got %d", s.Response.Status, rec.Code))
	}
	for name, text := range s.Response.Headers {
		quoted, err := json.Marshal(text)
		if err != nil {
			return append(problems, err.Error())
		}
		pattern, err := parsePattern(quoted, vars)
		if err != nil {
			return append(problems, err.Error())
		}
		got := absent
		if values := rec.Header().Values(name); len(values) > 0 {
			got = strings.Join(values, ", ")
		}
		problems = append(problems, match(pattern, got, "header "+name)...)
	}

	body := absent
	if rec.Body.Len() > 0 {
		var err error
		if body, err = decodeJSON(rec.Body.Bytes()); err != nil {
			return append(problems, fmt.Sprintf("body is not JSON: %v", err))
		}
	}
	problems = append(problems, invariants(rec.Code, rec.Header(), body)...)

	if s.Response.Body != nil {
		pattern, err := parsePattern(s.Response.Body, vars)
		if err != nil {
			return append(problems, err.Error())
		}
		problems = append(problems, match(pattern, body, "")...)
	}
	for _, pointer := range s.Response.Absent {
		if got := resolve(body, pointer); got != absent {
			problems = append(problems, fmt.Sprintf("%s: want it absent, got %s", pointer, show(got)))
		}
	}
	for name, pointer := range s.Save {
		value, ok := resolve(body, pointer).(string)
		if !ok {
			problems = append(problems, fmt.Sprintf("%s: no string to save as %s", pointer, name))
			delete(vars, name)
			continue
		}
		vars[name] = value
	}
	return problems
}

// effects compares what the step did beyond its answer.
func (s *step) effects(c *conversation, vars map[string]string) []string {
	var problems []string
	accounts, fired := []toldAccount{}, []string{}
	if c.provisioned != nil {
		accounts = append(accounts, c.provisioned()...)
	}
	if c.fired != nil {
		fired = append(fired, c.fired()...)
	}
	if s.Accounts != nil {
		if c.provisioned == nil {
			return []string{"accounts: newConversationHandler did not set provisioned"}
		}
		pattern, err := parsePattern(s.Accounts, vars)
		if err != nil {
			return []string{err.Error()}
		}
		data, err := json.Marshal(accounts)
		if err != nil {
			return []string{err.Error()}
		}
		got, err := decodeJSON(data)
		if err != nil {
			return []string{err.Error()}
		}
		problems = append(problems, match(pattern, got, "accounts")...)
	}
	if s.Left != nil {
		problems = append(problems, s.leftProblems(c, vars)...)
	}
	if s.Fired != nil {
		if c.fired == nil {
			return append(problems, "fired: newConversationHandler did not set fired")
		}
		if len(*s.Fired) == 0 && len(fired) > 0 {
			problems = append(problems, fmt.Sprintf("fired: want none, got %q", fired))
		}
		for _, want := range *s.Fired {
			if !slices.Contains(fired, want) {
				problems = append(problems, fmt.Sprintf("fired: want %q among them, got %q", want, fired))
			}
		}
	}
	return problems
}

func (s *step) leftProblems(c *conversation, vars map[string]string) (problems []string) {
	if c.left == nil {
		return []string{"left: newConversationHandler did not set left"}
	}
	got := c.left()
	for _, list := range []struct {
		name      string
		want, got []string
	}{{"ignored", s.Left.Ignored, got.Ignored}, {"unknown", s.Left.Unknown, got.Unknown}} {
		want := slices.Clone(list.want)
		for i := range want {
			var err error
			if want[i], err = substitute(want[i], vars); err != nil {
				return append(problems, err.Error())
			}
		}
		if !slices.Equal(want, list.got) {
			problems = append(problems, fmt.Sprintf("left/%s: want %q, got %q", list.name, want, list.got))
		}
	}
	return problems
}

const (
	errorURN = "urn:ietf:params:scim:api:messages:2.0:Error"
	listURN  = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

var (
	scimMediaType = regexp.MustCompile(`(?i)^application/scim\+json(\s*;\s*charset=utf-8)?$`)
	absoluteURL   = regexp.MustCompile(`^https?://[^/]+` + conversationBase + `/`)
	wholeNumber   = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
)

// invariants returns what is wrong with an answer whatever the request was. The list
// is part of the file format (testdata/idp/README.md).
func invariants(status int, header http.Header, body any) []string {
	var problems []string
	failed := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	if status == http.StatusNoContent || status == http.StatusNotModified {
		if body != absent {
			failed("status %d with a body", status)
		}
		return problems
	}
	if got := header.Get("Content-Type"); !scimMediaType.MatchString(got) {
		failed("Content-Type: want application/scim+json (RFC 7644 section 3.1), got %q", got)
	}
	object, ok := body.(map[string]any)
	if !ok {
		failed("body: want a JSON object, got %s", show(body))
		return problems
	}
	problems = append(problems, unclean(object, "")...)

	schemas, _ := object["schemas"].([]any)
	switch {
	case status >= 400:
		if !slices.Contains(schemas, any(errorURN)) {
			failed("/schemas: an error without %s (RFC 7644 section 3.12)", errorURN)
		}
		if object["status"] != strconv.Itoa(status) {
			failed("/status: want the string %q, got %s", strconv.Itoa(status), show(object["status"]))
		}
		if detail, _ := object["detail"].(string); detail == "" {
			failed("/detail: an error must say what is wrong and how to mend it")
		}
	case slices.Contains(schemas, any(listURN)):
		problems = append(problems, listInvariants(object)...)
	case status == http.StatusCreated:
		location := header.Get("Location")
		id, _ := object["id"].(string)
		if id == "" || !absoluteURL.MatchString(location) || !strings.HasSuffix(location, "/"+id) {
			failed("Location: want an absolute URL ending in /%s, got %q", id, location)
		}
		if got := resolve(body, "/meta/location"); got != location {
			failed("/meta/location: want Location (%q), got %s (RFC 7644 section 3.3)", location, show(got))
		}
	}
	return problems
}

func listInvariants(list map[string]any) []string {
	var problems []string
	resources, ok := list["Resources"].([]any)
	if !ok {
		problems = append(problems, "/Resources: want an array even when nothing is found, got "+show(list["Resources"]))
	}
	for _, name := range []string{"totalResults", "startIndex", "itemsPerPage"} {
		got, present := list[name]
		if !present && name != "totalResults" {
			continue
		}
		number, ok := got.(json.Number)
		if !ok || !wholeNumber.MatchString(number.String()) {
			problems = append(problems, fmt.Sprintf("/%s: want an integer, got %s", name, show(got)))
			continue
		}
		if name == "itemsPerPage" && number.String() != strconv.Itoa(len(resources)) {
			problems = append(problems, fmt.Sprintf("/itemsPerPage: want %d, got %s", len(resources), number))
		}
	}
	return problems
}

// unclean finds what no answer may hold anywhere: a null (RFC 7643 section 2.5 makes it
// the same as nothing, and clients fail over it) and a password.
func unclean(v any, at string) []string {
	var problems []string
	switch v := v.(type) {
	case nil:
		problems = append(problems, at+": a null")
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if strings.EqualFold(key, "password") {
				problems = append(problems, at+"/"+key+": a password in an answer")
			}
			problems = append(problems, unclean(v[key], at+"/"+key)...)
		}
	case []any:
		for i, element := range v {
			problems = append(problems, unclean(element, at+"/"+strconv.Itoa(i))...)
		}
	}
	return problems
}

// absent stands for a value that is not there; it is none that JSON can hold.
var absent any = absence{}

type absence struct{}

// matchers are the keys of an object that is a matcher and not a pattern for an
// object. "$ref", a sub-attribute of references, is not among them.
var matchers = []string{"$length", "$contains", "$each", "$not"}

func isMatcher(pattern map[string]any) bool {
	if len(pattern) == 0 {
		return false
	}
	for key := range pattern {
		if !slices.Contains(matchers, key) {
			return false
		}
	}
	return true
}

// match returns how got differs from pattern; nothing means that it matches. An object
// matches what has at least its members; an array matches element by element; a string
// that begins with a dollar sign is a matcher.
func match(pattern, got any, at string) []string {
	differs := func() []string {
		return []string{fmt.Sprintf("%s: want %s, got %s", orRoot(at), show(pattern), show(got))}
	}
	switch pattern := pattern.(type) {
	case string:
		if !matchString(pattern, got) {
			return differs()
		}
	case json.Number:
		if number, ok := got.(json.Number); !ok || number != pattern {
			return differs()
		}
	case map[string]any:
		if isMatcher(pattern) {
			return matchSpecial(pattern, got, at)
		}
		object, ok := got.(map[string]any)
		if !ok {
			return differs()
		}
		var problems []string
		for _, key := range slices.Sorted(maps.Keys(pattern)) {
			value, ok := object[key]
			if !ok {
				value = absent
			}
			problems = append(problems, match(pattern[key], value, at+"/"+escapeToken(key))...)
		}
		return problems
	case []any:
		array, ok := got.([]any)
		if !ok || len(array) != len(pattern) {
			return differs()
		}
		var problems []string
		for i := range pattern {
			problems = append(problems, match(pattern[i], array[i], at+"/"+strconv.Itoa(i))...)
		}
		return problems
	default: // nil and bool
		if got != pattern {
			return differs()
		}
	}
	return nil
}

func matchString(pattern string, got any) bool {
	text, isString := got.(string)
	switch {
	case pattern == "$any":
		return got != absent
	case pattern == "$absent":
		return got == absent
	case pattern == "$nonempty":
		switch got := got.(type) {
		case string:
			return got != ""
		case []any:
			return len(got) > 0
		case map[string]any:
			return len(got) > 0
		}
		return false
	case strings.HasPrefix(pattern, "$re:"):
		return isString && regexp.MustCompile(pattern[len("$re:"):]).MatchString(text)
	case strings.HasPrefix(pattern, "$$"):
		return isString && text == pattern[1:]
	}
	return isString && text == pattern
}

func matchSpecial(pattern map[string]any, got any, at string) []string {
	if inner, ok := pattern["$not"]; ok {
		if len(match(inner, got, at)) == 0 {
			return []string{fmt.Sprintf("%s: want not %s, got %s", orRoot(at), show(inner), show(got))}
		}
		if len(pattern) == 1 {
			return nil
		}
	}
	array, ok := got.([]any)
	if !ok {
		return []string{fmt.Sprintf("%s: want an array (%s), got %s", orRoot(at), show(pattern), show(got))}
	}
	var problems []string
	if length, ok := pattern["$length"]; ok && length != json.Number(strconv.Itoa(len(array))) {
		problems = append(problems, fmt.Sprintf("%s: want %s elements, got %s", orRoot(at), length, show(got)))
	}
	if inner, ok := pattern["$each"]; ok {
		for i, element := range array {
			problems = append(problems, match(inner, element, at+"/"+strconv.Itoa(i))...)
		}
	}
	if inner, ok := pattern["$contains"]; ok {
		wanted, isList := inner.([]any)
		if !isList {
			wanted = []any{inner}
		}
		if !assign(wanted, array, make([]bool, len(array))) {
			problems = append(problems, fmt.Sprintf("%s: want elements like %s, got %s", orRoot(at), show(inner), show(got)))
		}
	}
	return problems
}

// assign reports whether every pattern matches an element of its own.
func assign(patterns, elements []any, taken []bool) bool {
	if len(patterns) == 0 {
		return true
	}
	for i, element := range elements {
		if taken[i] || len(match(patterns[0], element, "")) > 0 {
			continue
		}
		taken[i] = true
		if assign(patterns[1:], elements, taken) {
			return true
		}
		taken[i] = false
	}
	return false
}

// checkPattern refuses a matcher that does not exist, which would otherwise be
// compared as text and never be noticed where it stands inside a $not.
func checkPattern(pattern any) error {
	switch pattern := pattern.(type) {
	case string:
		switch {
		case !strings.HasPrefix(pattern, "$"), strings.HasPrefix(pattern, "$$"),
			pattern == "$any", pattern == "$absent", pattern == "$nonempty":
			return nil
		case strings.HasPrefix(pattern, "$re:"):
			_, err := regexp.Compile(pattern[len("$re:"):])
			return err
		}
		return fmt.Errorf("unknown matcher %q", pattern)
	case []any:
		for _, element := range pattern {
			if err := checkPattern(element); err != nil {
				return err
			}
		}
	case map[string]any:
		for key, value := range pattern {
			if strings.HasPrefix(key, "$") && key != "$ref" && !isMatcher(pattern) {
				return fmt.Errorf("unknown matcher %q, or one mixed with members", key)
			}
			if err := checkPattern(value); err != nil {
				return err
			}
		}
	}
	return nil
}

// parsePattern decodes a pattern and puts in the variables; inside a regular
// expression they stand for themselves.
func parsePattern(raw json.RawMessage, vars map[string]string) (any, error) {
	pattern, err := decodeJSON(raw)
	if err != nil {
		return nil, err
	}
	quoted := make(map[string]string, len(vars))
	for name, value := range vars {
		quoted[name] = regexp.QuoteMeta(value)
	}
	var walk func(v any) (any, error)
	walk = func(v any) (any, error) {
		switch v := v.(type) {
		case string:
			if strings.HasPrefix(v, "$re:") {
				return substitute(v, quoted)
			}
			return substitute(v, vars)
		case []any:
			for i := range v {
				if v[i], err = walk(v[i]); err != nil {
					return nil, err
				}
			}
		case map[string]any:
			for key := range v {
				if v[key], err = walk(v[key]); err != nil {
					return nil, err
				}
			}
		}
		return v, nil
	}
	return walk(pattern)
}

var variable = regexp.MustCompile(`\$\{([A-Za-z][A-Za-z0-9]*)\}`)

// substitute replaces each ${name} by what was saved under that name. Values are ids
// and tokens, safe in a URL and in JSON, and go in as they are.
func substitute(text string, vars map[string]string) (string, error) {
	var missing []string
	text = variable.ReplaceAllStringFunc(text, func(use string) string {
		value, ok := vars[use[2:len(use)-1]]
		if !ok {
			missing = append(missing, use)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fmt.Errorf("nothing was saved as %s", strings.Join(missing, ", "))
	}
	return text, nil
}

// resolve follows a JSON pointer (RFC 6901); [absent] if it leads nowhere. Attribute
// names stand in it as they are, also URNs with their colons and dots.
func resolve(v any, pointer string) any {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch parent := v.(type) {
		case map[string]any:
			child, ok := parent[token]
			if !ok {
				return absent
			}
			v = child
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(parent) {
				return absent
			}
			v = parent[i]
		default:
			return absent
		}
	}
	return v
}

func escapeToken(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// decodeJSON decodes exactly one value and keeps numbers as they were written.
func decodeJSON(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return v, nil
}

func orRoot(at string) string {
	if at == "" {
		return "body"
	}
	return at
}

func show(v any) string {
	if v == absent {
		return "nothing"
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func indented(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "    ", "  ") != nil {
		return "    " + string(body)
	}
	return "    " + out.String()
}

// notInConversations are the numbered quirks that no conversation shows, and why.
var notInConversations = map[int]string{
	69:  "thousands of members: a matter of measurement, not of wire form",
	70:  "parallel requests: a conversation is sequential",
	117: "needs a rate limit to be configured",
	123: "no client known",
}

// TestConversationsCoverQuirks: each numbered quirk of the clients in scope is named by
// the reason of at least one step.
func TestConversationsCoverQuirks(t *testing.T) {
	seen := map[int]bool{}
	for name, c := range loadConversations(t) {
		for i, s := range c.Steps {
			for _, n := range quirksIn(s.Why) {
				if n < 1 || n > lastQuirk {
					t.Errorf("%s: step %d names quirk %d", name, i+1, n)
				}
				seen[n] = true
			}
		}
	}
	for n := 1; n <= lastQuirk; n++ {
		reason, excused := notInConversations[n]
		switch {
		case !seen[n] && !excused:
			t.Errorf("quirk %d is in no conversation", n)
		case seen[n] && excused:
			t.Errorf("quirk %d is in a conversation, but listed as not in one (%s)", n, reason)
		}
	}
}

// TestConversationMatcher: the matcher tells wrong from right, so that a conversation
// can fail.
func TestConversationMatcher(t *testing.T) {
	const user = `{"userName":"ada@example.com","active":true,"count":3,"empty":[],"cost":"$5",
		"urn:example:2.0:User":{"a.b":"c"},
		"emails":[{"type":"work","value":"a","primary":true},{"type":"home","value":"b"}]}`
	for _, tc := range []struct {
		name, pattern string
		want          string // a part of the mismatch, or nothing
	}{
		{"subset", `{"userName":"ada@example.com","count":3}`, ""},
		{"string differs", `{"userName":"ADA@example.com"}`, "/userName"},
		{"boolean differs", `{"active":false}`, "/active"},
		{"boolean as string", `{"active":"true"}`, "/active"},
		{"number differs", `{"count":4}`, "/count"},
		{"number as string", `{"count":"3"}`, "/count"},
		{"null is not absence", `{"title":null}`, "/title"},
		{"missing", `{"title":"x"}`, "got nothing"},
		{"URN key", `{"urn:example:2.0:User":{"a.b":"c"}}`, ""},
		{"URN key differs", `{"urn:example:2.0:User":{"a.b":"d"}}`, "/urn:example:2.0:User/a.b"},
		{"object for array", `{"emails":{}}`, "/emails"},
		{"array in order", `{"emails":[{"value":"a"},{"value":"b"}]}`, ""},
		{"array out of order", `{"emails":[{"value":"b"},{"value":"a"}]}`, "/emails/0/value"},
		{"array too short", `{"emails":[{"value":"a"}]}`, "/emails"},
		{"empty array", `{"empty":[]}`, ""},
		{"not empty", `{"emails":[]}`, "/emails"},
		{"$any", `{"count":"$any","active":"$any"}`, ""},
		{"$any missing", `{"title":"$any"}`, "/title"},
		{"$absent", `{"title":"$absent"}`, ""},
		{"$absent present", `{"count":"$absent"}`, "/count"},
		{"$nonempty", `{"userName":"$nonempty","emails":"$nonempty"}`, ""},
		{"$nonempty empty", `{"empty":"$nonempty"}`, "/empty"},
		{"$nonempty missing", `{"title":"$nonempty"}`, "/title"},
		{"$re", `{"userName":"$re:^ada@.*com$"}`, ""},
		{"$re differs", `{"userName":"$re:^grace"}`, "/userName"},
		{"$re on a number", `{"count":"$re:3"}`, "/count"},
		{"escaped dollar", `{"cost":"$$5"}`, ""},
		{"escaped dollar differs", `{"cost":"$$6"}`, "/cost"},
		{"$length", `{"emails":{"$length":2}}`, ""},
		{"$length differs", `{"emails":{"$length":1}}`, "want 1 elements"},
		{"$length of no array", `{"userName":{"$length":1}}`, "want an array"},
		{"$contains in any order", `{"emails":{"$contains":[{"value":"b"},{"value":"a"}]}}`, ""},
		{"$contains one", `{"emails":{"$contains":{"type":"home","primary":"$absent"}}}`, ""},
		{"$contains needs distinct elements", `{"emails":{"$contains":[{"value":"a"},{"value":"a"}]}}`, "/emails"},
		{"$contains backtracks", `{"emails":{"$contains":[{"value":"$any"},{"value":"a"}]}}`, ""},
		{"$contains missing", `{"emails":{"$contains":{"type":"other"}}}`, "/emails"},
		{"$each", `{"emails":{"$each":{"type":"$re:^(work|home)$"}}}`, ""},
		{"$each differs", `{"emails":{"$each":{"primary":true}}}`, "/emails/1/primary"},
		{"$length and $contains", `{"emails":{"$length":3,"$contains":{"value":"a"}}}`, "want 3 elements"},
		{"$not", `{"emails":{"$not":{"$contains":{"type":"other"}}}}`, ""},
		{"$not differs", `{"emails":{"$not":{"$contains":{"type":"home"}}}}`, "want not"},
		{"variable", `{"userName":"${ada}","emails":{"$length":2}}`, ""},
		{"variable in $re is literal", `{"userName":"$re:^${dots}$"}`, "/userName"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			vars := map[string]string{"ada": "ada@example.com", "dots": "..............."}
			pattern, err := parsePattern(json.RawMessage(tc.pattern), vars)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkPattern(pattern); err != nil {
				t.Fatal(err)
			}
			got, err := decodeJSON([]byte(user))
			if err != nil {
				t.Fatal(err)
			}
			problems := strings.Join(match(pattern, got, ""), "\n")
			if (tc.want == "") != (problems == "") || !strings.Contains(problems, tc.want) {
				t.Errorf("want a mismatch with %q, got %q", tc.want, problems)
			}
		})
	}
}

// TestConversationPointer: JSON pointers reach attributes whose names hold dots,
// colons, slashes and tildes.
func TestConversationPointer(t *testing.T) {
	v, err := decodeJSON([]byte(`{"urn:example:2.0:User":{"manager":{"value":"7"}},"a/b~c":["x"],"n":null}`))
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{
		"/urn:example:2.0:User/manager/value": `"7"`,
		"/a~1b~0c/0":                          `"x"`,
		"/n":                                  "null",
		"/a~1b~0c/1":                          "nothing",
		"/a~1b~0c/first":                      "nothing",
		"/urn:example:2/0:User":               "nothing",
		"/n/deeper":                           "nothing",
	} {
		if got := show(resolve(v, pointer)); got != want {
			t.Errorf("%s: want %s, got %s", pointer, want, got)
		}
	}
}

// TestConversationFileChecks: a file whose mistakes would weaken a check is refused.
func TestConversationFileChecks(t *testing.T) {
	file := func(step string) string {
		return `{"name":"n","provider":"p","source":"s","directory":{"dialect":"auto","email":"reject"},"steps":[` + step + `]}`
	}
	for _, tc := range []struct{ name, file, want string }{
		{"good", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"status":[200,204]}}`), ""},
		{"misspelt member", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"state":200}}`), "unknown field"},
		{"no steps", file(``), "no steps"},
		{"no status", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{}}`), "no status"},
		{"no reason", file(`{"request":{"method":"GET","path":"/Users"},"response":{"status":200}}`), "why"},
		{"relative path", file(`{"why":"w","request":{"method":"GET","path":"Users"},"response":{"status":200}}`), "absolute path"},
		{"variable never saved", file(`{"why":"w","request":{"method":"GET","path":"/Users/${ada}"},"response":{"status":200}}`), "${ada}"},
		{"variable never saved, in a pattern", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"status":200,"body":{"id":"${ada}"}}}`), "${ada}"},
		{"unknown matcher", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"status":200,"body":{"id":"$some"}}}`), "unknown matcher"},
		{"unknown object matcher", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"status":200,"body":{"id":{"$size":1}}}}`), "unknown matcher"},
		{"bad expression", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"status":200,"headers":{"Location":"$re:("}}}`), "missing closing"},
		{"pointer without slash", file(`{"why":"w","request":{"method":"GET","path":"/Users"},"response":{"status":200,"absent":["password"]}}`), "slash"},
		{"body and raw", file(`{"why":"w","request":{"method":"PUT","path":"/Users","body":{},"raw":"x"},"response":{"status":200}}`), "exclude"},
		{"unknown dialect", `{"name":"n","provider":"p","source":"s","directory":{"dialect":"entre","email":"reject"}}`, "dialect"},
		{"unknown email policy", `{"name":"n","provider":"p","source":"s","directory":{"dialect":"auto","email":"no"}}`, "email policy"},
	} {
		_, err := parseConversation([]byte(tc.file))
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: want an error with %q, got %v", tc.name, tc.want, err)
		}
	}
}

// recorder is a reporter that keeps what it is told.
type recorder []string

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { *r = append(*r, fmt.Sprintf(format, args...)) }

// TestConversationRunner: the runner reports each kind of wrong answer, and sends what
// the file says.
func TestConversationRunner(t *testing.T) {
	const (
		scim = "application/scim+json"
		get  = `"request":{"method":"GET","path":"/Users/1"}`
		post = `"request":{"method":"POST","path":"/Users","body":{"userName":"a"}}`
		list = `"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"]`
		fail = `"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"]`
		here = "http://example.com/scim/v2/Users/1"
	)
	for _, tc := range []struct {
		name, step string
		status     int
		mediaType  string
		location   string
		body       string
		want       string // a part of the report, or nothing
	}{
		{"right", get + `,"response":{"status":200,"headers":{"Content-Type":"$re:^application/scim"},"body":{"id":"1"},"absent":["/password"]}`, 200, scim, "", `{"id":"1"}`, ""},
		{"charset", get + `,"response":{"status":200}`, 200, scim + "; charset=utf-8", "", `{"id":"1"}`, ""},
		{"status", get + `,"response":{"status":[200,204]}`, 202, scim, "", `{"id":"1"}`, "want [200 204], got 202"},
		{"media type", get + `,"response":{"status":200}`, 200, "application/json", "", `{"id":"1"}`, "Content-Type"},
		{"header", get + `,"response":{"status":200,"headers":{"ETag":"$any"}}`, 200, scim, "", `{"id":"1"}`, "header ETag"},
		{"body", get + `,"response":{"status":200,"body":{"id":"2"}}`, 200, scim, "", `{"id":"1"}`, `/id: want "2", got "1"`},
		{"body is missing", get + `,"response":{"status":200}`, 200, scim, "", ``, "want a JSON object"},
		{"body is not JSON", get + `,"response":{"status":404}`, 404, scim, "", `404 page not found`, "not JSON"},
		{"two values", get + `,"response":{"status":200}`, 200, scim, "", `{"id":"1"}{}`, "something follows"},
		{"absent is there", get + `,"response":{"status":200,"absent":["/name/formatted"]}`, 200, scim, "", `{"id":"1","name":{"formatted":"A"}}`, "want it absent"},
		{"null", get + `,"response":{"status":200}`, 200, scim, "", `{"id":"1","emails":[{"type":null}]}`, "/emails/0/type: a null"},
		{"password", get + `,"response":{"status":200}`, 200, scim, "", `{"id":"1","Password":"x"}`, "a password"},
		{"no content", get + `,"response":{"status":204}`, 204, "", "", ``, ""},
		{"no content with a body", get + `,"response":{"status":204}`, 204, scim, "", `{}`, "with a body"},
		{"created", post + `,"response":{"status":201}`, 201, scim, here, `{"id":"1","meta":{"location":"` + here + `"}}`, ""},
		{"no Location", post + `,"response":{"status":201}`, 201, scim, "", `{"id":"1","meta":{"location":"` + here + `"}}`, "Location"},
		{"relative Location", post + `,"response":{"status":201}`, 201, scim, "/scim/v2/Users/1", `{"id":"1","meta":{"location":"/scim/v2/Users/1"}}`, "absolute URL"},
		{"Location of another", post + `,"response":{"status":201}`, 201, scim, here, `{"id":"2","meta":{"location":"` + here + `"}}`, "ending in /2"},
		{"no meta.location", post + `,"response":{"status":201}`, 201, scim, here, `{"id":"1","meta":{}}`, "/meta/location"},
		{"error", get + `,"response":{"status":404}`, 404, scim, "", `{` + fail + `,"status":"404","detail":"no such user"}`, ""},
		{"error without schema", get + `,"response":{"status":404}`, 404, scim, "", `{"status":"404","detail":"no such user"}`, "/schemas"},
		{"error with a number", get + `,"response":{"status":404}`, 404, scim, "", `{` + fail + `,"status":404,"detail":"no such user"}`, "/status"},
		{"error without detail", get + `,"response":{"status":404}`, 404, scim, "", `{` + fail + `,"status":"404"}`, "/detail"},
		{"list", get + `,"response":{"status":200}`, 200, scim, "", `{` + list + `,"totalResults":0,"itemsPerPage":0,"startIndex":1,"Resources":[]}`, ""},
		{"list without Resources", get + `,"response":{"status":200}`, 200, scim, "", `{` + list + `,"totalResults":0}`, "/Resources"},
		{"list with text", get + `,"response":{"status":200}`, 200, scim, "", `{` + list + `,"totalResults":"0","Resources":[]}`, "/totalResults"},
		{"list with fraction", get + `,"response":{"status":200}`, 200, scim, "", `{` + list + `,"totalResults":1.0,"Resources":[]}`, "/totalResults"},
		{"list miscounted", get + `,"response":{"status":200}`, 200, scim, "", `{` + list + `,"totalResults":9,"itemsPerPage":2,"Resources":[]}`, "/itemsPerPage"},
		{"nothing to save", get + `,"response":{"status":200},"save":{"ada":"/id"}`, 200, scim, "", `{"id":1}`, "no string to save as ada"},
		{"accounts", get + `,"response":{"status":200},"accounts":[{"id":"1","active":false,"change":"deactivated"}]`, 200, scim, "", `{"id":"1"}`, ""},
		{"too many accounts", get + `,"response":{"status":200},"accounts":[]`, 200, scim, "", `{"id":"1"}`, "accounts: want []"},
		{"another account", get + `,"response":{"status":200},"accounts":[{"id":"1","active":true}]`, 200, scim, "", `{"id":"1"}`, "accounts/0/active"},
		{"fired", get + `,"response":{"status":200},"fired":["a"]`, 200, scim, "", `{"id":"1"}`, ""},
		{"another fired", get + `,"response":{"status":200},"fired":["a","c"]`, 200, scim, "", `{"id":"1"}`, `fired: want "c" among them`},
		{"left out", get + `,"response":{"status":200},"left":{"ignored":["x"],"unknown":["7"]}`, 200, scim, "", `{"id":"1"}`, ""},
		{"something else ignored", get + `,"response":{"status":200},"left":{"ignored":["y"],"unknown":["7"]}`, 200, scim, "", `{"id":"1"}`, `left/ignored: want ["y"], got ["x"]`},
		{"nothing should be unknown", get + `,"response":{"status":200},"left":{"ignored":["x"]}`, 200, scim, "", `{"id":"1"}`, `left/unknown: want [], got ["7"]`},
		{"none should have fired", get + `,"response":{"status":200},"fired":[]`, 200, scim, "", `{"id":"1"}`, "fired: want none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustConversation(t, `{"why":"because",`+tc.step+`}`)
			told := []toldAccount{{ID: "1", Email: "a@example.com", Change: "deactivated"}}
			served := false
			c.provisioned = func() []toldAccount {
				if !served {
					return nil
				}
				return told
			}
			c.left = func() leftOut { return leftOut{Ignored: []string{"x"}, Unknown: []string{"7"}} }
			c.fired = func() []string {
				if !served {
					return nil
				}
				return []string{"b", "a"}
			}
			var got recorder
			runConversation(&got, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served = true
				for name, value := range map[string]string{"Content-Type": tc.mediaType, "Location": tc.location} {
					if value != "" {
						w.Header().Set(name, value)
					}
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}), "secret", c)

			report := strings.Join(got, "\n")
			if (tc.want == "") != (report == "") || !strings.Contains(report, tc.want) {
				t.Errorf("want a report with %q, got %q", tc.want, report)
			}
			if report != "" && !strings.Contains(report, "step 1: because") {
				t.Errorf("the report does not name its step: %s", report)
			}
		})
	}
}

// TestConversationRunnerSends: requests carry the common headers, their own, the body
// with its variables, and the path below the mount point.
func TestConversationRunnerSends(t *testing.T) {
	c := mustConversation(t, `{"why":"saves","request":{"method":"POST","path":"/Users","body":{"userName":"a"}},
			"response":{"status":200},"save":{"ada":"/id"}},
		{"why":"uses","request":{"method":"PATCH","path":"/Users/${ada}?x=1","headers":{"Accept":null,"X-Own":"${ada}"},"body":{"v":"${ada}"}},
			"response":{"status":200,"body":{"id":"${ada}"}}},
		{"why":"no body, no Content-Type","request":{"method":"GET","path":"/Users/${ada}"},"response":{"status":200}},
		{"why":"raw","request":{"method":"POST","path":"/Users","raw":"{\"a\": ${ada}"},"response":{"status":200}}`)
	c.Headers = map[string]string{"Authorization": "Bearer ${token}", "Accept": "*/*", "Content-Type": "application/json"}

	var sent []string
	var got recorder
	runConversation(&got, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h := r.Header
		sent = append(sent, fmt.Sprintf("%s %s|%s|%s|%s|%s|%s", r.Method, r.RequestURI,
			h.Get("Authorization"), h.Get("Accept"), h.Get("Content-Type"), h.Get("X-Own"), body))
		w.Header().Set("Content-Type", "application/scim+json")
		_, _ = io.WriteString(w, `{"id":"42"}`)
	}), "secret", c)

	if len(got) > 0 {
		t.Errorf("unexpected report: %s", got)
	}
	want := []string{
		`POST /scim/v2/Users|Bearer secret|*/*|application/json||{"userName":"a"}`,
		`PATCH /scim/v2/Users/42?x=1|Bearer secret||application/json|42|{"v":"42"}`,
		`GET /scim/v2/Users/42|Bearer secret|*/*|||`,
		`POST /scim/v2/Users|Bearer secret|*/*|application/json||{"a": 42`,
	}
	if !slices.Equal(sent, want) {
		t.Errorf("want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(sent, "\n"))
	}
}

// TestConversationRunnerStops: a step that needs what an earlier answer lacked ends the
// conversation with a report, and an expectation that the handler cannot show is no pass.
func TestConversationRunnerStops(t *testing.T) {
	c := mustConversation(t, `{"why":"saves","request":{"method":"GET","path":"/Users"},"response":{"status":200},"save":{"ada":"/id"},"accounts":[],"fired":[]},
		{"why":"uses","request":{"method":"GET","path":"/Users/${ada}"},"response":{"status":200}},
		{"why":"never reached","request":{"method":"GET","path":"/Users"},"response":{"status":200}}`)
	requests := 0
	var got recorder
	runConversation(&got, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("Content-Type", "application/scim+json")
		_, _ = io.WriteString(w, `{}`)
	}), "secret", c)

	report := strings.Join(got, "\n")
	for _, want := range []string{"no string to save as ada", "did not set provisioned", "step 2: uses: nothing was saved as ${ada}"} {
		if !strings.Contains(report, want) {
			t.Errorf("want a report with %q, got %s", want, report)
		}
	}
	if requests != 1 {
		t.Errorf("want the conversation to stop after 1 request, got %d", requests)
	}
}

func mustConversation(t *testing.T, steps string) *conversation {
	t.Helper()
	c, err := parseConversation([]byte(`{"name":"n","provider":"p","source":"s",
		"directory":{"domains":["example.com"],"dialect":"auto","email":"reject"},"steps":[` + steps + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
