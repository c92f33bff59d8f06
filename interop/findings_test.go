package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	expected := expectation{Checks: 2, Findings: []known{
		{Checks: []string{"a", "b"}, Says: "204", Why: "both"},
		{Checks: []string{"c"}, Dialect: "strict", Why: "to the letter"},
	}}
	a, b, c := check{Name: "a", Detail: "got 204"}, check{Name: "b", Detail: "204 null"}, check{Name: "c", Detail: "x"}
	for _, tc := range []struct {
		name, dialect   string
		checks          []check
		ok              bool
		fresh, vanished string // names
	}{
		{"all as expected", "strict", []check{a, b, c, {Name: "d", OK: true}}, true, "", ""},
		{"the same check twice", "strict", []check{a, a, b, c}, true, "", ""},
		{"another dialect's finding is not waited for", "auto", []check{a, b}, true, "", ""},
		{"another dialect's finding is new", "auto", []check{a, b, c}, false, "c", ""},
		{"a failure for another reason is new, and the known one is gone", "auto", []check{{Name: "a", Detail: "got 500"}, b}, false, "a", "a"},
		{"one of several that vanished", "auto", []check{a, {Name: "b", OK: true}}, false, "", "b"},
		{"a check that is no longer made", "auto", []check{b, {Name: "d", OK: true}}, false, "", "a"},
		{"fewer checks", "auto", nil, false, "", "a b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := compare(expected.in(tc.dialect), tc.checks)
			var fresh, vanished []string
			for _, c := range r.fresh {
				fresh = append(fresh, c.Name)
			}
			for _, k := range r.vanished {
				vanished = append(vanished, k.check)
			}
			if r.ok() != tc.ok || strings.Join(fresh, " ") != tc.fresh || strings.Join(vanished, " ") != tc.vanished {
				t.Errorf("ok is %t, new are %q, vanished %q", r.ok(), fresh, vanished)
			}
			var out bytes.Buffer
			r.print(&out, true)
			for _, name := range append(fresh, vanished...) {
				if !strings.Contains(out.String(), ": "+name+"\n") {
					t.Errorf("%q is not printed:\n%s", name, &out)
				}
			}
		})
	}
	if r := compare(expectation{}, nil); r.ok() {
		t.Error("a tool that checks nothing is not well, whatever was expected of it")
	}
	if r := compare(expectation{Checks: 2}, []check{{Name: "a", OK: true}}); r.ok() || !strings.Contains(r.summary(), "FEWER") {
		t.Error("a tool that stops early is not well")
	}
}

func TestParseChecks(t *testing.T) {
	checks, err := parseChecks([]byte("{\"check\":\"a\",\"ok\":true}\n\n{\"check\":\"b\",\"ok\":false,\"detail\":\"x\"}"))
	if want := []check{{"a", true, ""}, {"b", false, "x"}}; err != nil || !reflect.DeepEqual(checks, want) {
		t.Errorf("%v, %v", checks, err)
	}
	for _, out := range []string{"Traceback", "{}", `{"ok":true}`} {
		if _, err := parseChecks([]byte(out)); err == nil {
			t.Errorf("%q is taken for checks", out)
		}
	}
}

func TestExpectedIsComplete(t *testing.T) {
	expected, err := readExpected("expected.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		if expected[tool.name].Checks == 0 {
			t.Errorf("of %s it is not said how many checks there are", tool.name)
		}
		if tool.driver == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join("tools", tool.in.name, tool.driver)); err != nil {
			t.Error(err)
		}
	}
	for name, e := range expected {
		for _, k := range e.Findings {
			if !strings.Contains(k.Why, "RFC ") {
				t.Errorf("%s: %q has a reason without an RFC: %s", name, k.Checks, k.Why)
			}
		}
	}
}

func TestReadExpectedRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no reason":  `{"node":{"findings":[{"checks":["a"]}]}}`,
		"no check":   `{"node":{"findings":[{"why":"x"}]}}`,
		"no tool":    `{"nobody":{}}`,
		"no dialect": `{"node":{"findings":[{"checks":["a"],"why":"x","dialect":"martian"}]}}`,
		"a slip":     `{"node":{"finding":[]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "expected.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readExpected(path); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}

func TestVectors(t *testing.T) {
	for _, name := range []string{"users.json", "filters.json", "patches.json"} {
		b, err := os.ReadFile(filepath.Join("vectors", name))
		if err != nil {
			t.Fatal(err)
		}
		var all []json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil || len(all) == 0 {
			t.Errorf("%s: %d vectors, %v", name, len(all), err)
		}
	}
}

func TestInstall(t *testing.T) {
	cache, ctx := t.TempDir(), context.Background()
	list := []string{"requirements.txt"}
	_, err := install(ctx, cache, "python", list, [][]string{{"no-such-program-anywhere"}})
	var missing *missingError
	if !errors.As(err, &missing) {
		t.Fatalf("a program that is not there: %v", err)
	}
	first, err := install(ctx, cache, "python", list, [][]string{{"go", "version"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(first, "requirements.txt")); err != nil {
		t.Error(err)
	}
	again, err := install(ctx, cache, "python", list, [][]string{{"no-such-program-anywhere"}})
	if err != nil || again != first {
		t.Errorf("what is there is installed again: %s, %v", again, err)
	}
}
