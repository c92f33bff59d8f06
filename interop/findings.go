package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// A check is one thing that a tool looked at: a line of JSON on its standard
// output.
type check struct {
	Name   string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what the tool says, for one that is not ok
}

// parseChecks reads the lines that a driver printed.
func parseChecks(out []byte) ([]check, error) {
	var checks []check
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, len(out)+1)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var c check
		if err := json.Unmarshal(line, &c); err != nil || c.Name == "" {
			return nil, fmt.Errorf("a driver prints lines of JSON with a check, and not %q", line)
		}
		checks = append(checks, c)
	}
	return checks, lines.Err()
}

// A known finding is something that a tool holds against the server: no defect
// of it, or a gap that is known.
type known struct {
	Checks  []string `json:"checks"`            // the names of those that fail
	Says    string   `json:"says,omitempty"`    // words of their details, which tell it from another failure
	Dialect string   `json:"dialect,omitempty"` // the one dialect in which it is found, "" for each
	Why     string   `json:"why"`               // why it is found, with the section of the RFC
}

// An expectation is what a tool says of the server when all is well.
type expectation struct {
	Checks   int     `json:"checks"` // at least so many, so that a tool that stops early is seen
	Findings []known `json:"findings"`
}

// in returns what is expected in a dialect.
func (e expectation) in(dialect string) expectation {
	e.Findings = slices.DeleteFunc(slices.Clone(e.Findings), func(k known) bool {
		return k.Dialect != "" && k.Dialect != dialect
	})
	return e
}

// readExpected reads the expectations, by tool.
func readExpected(path string) (map[string]expectation, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all map[string]expectation
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for name, e := range all {
		if !slices.Contains(toolNames(), name) {
			return nil, fmt.Errorf("%s: there is no tool %q", path, name)
		}
		for _, k := range e.Findings {
			if len(k.Checks) == 0 || k.Why == "" || k.Dialect != "" && !slices.Contains(dialects, k.Dialect) {
				return nil, fmt.Errorf("%s: %s: a finding has checks, a reason and perhaps one of the dialects %q: %+v", path, name, dialects, k)
			}
		}
	}
	return all, nil
}

// A result is a tool's checks beside what was expected of them.
type result struct {
	checks    []check
	fewest    int
	explained []explanation // found, as expected
	fresh     []check       // found, and not expected
	vanished  []explanation // expected, and not found
}

// An explanation is the reason for one finding.
type explanation struct{ check, why string }

// compare sorts the findings. A known finding explains every failure of its
// checks with its words.
func compare(e expectation, checks []check) result {
	r := result{checks: checks, fewest: max(e.Checks, 1)}
	failed := map[string]bool{}
	for _, c := range checks {
		if c.OK {
			continue
		}
		explained := slices.ContainsFunc(e.Findings, func(k known) bool {
			return slices.Contains(k.Checks, c.Name) && strings.Contains(c.Detail, k.Says)
		})
		if explained {
			failed[c.Name] = true
		} else {
			r.fresh = append(r.fresh, c)
		}
	}
	for _, k := range e.Findings {
		for _, name := range k.Checks {
			if failed[name] {
				r.explained = append(r.explained, explanation{name, k.Why})
			} else {
				r.vanished = append(r.vanished, explanation{name, k.Why})
			}
		}
	}
	return r
}

func (r *result) ok() bool {
	return len(r.fresh) == 0 && len(r.vanished) == 0 && len(r.checks) >= r.fewest
}

func (r *result) summary() string {
	s := fmt.Sprintf("%d checks, %d expected findings", len(r.checks), len(r.explained))
	if len(r.fresh) > 0 {
		s += fmt.Sprintf(", %d NEW", len(r.fresh))
	}
	if len(r.vanished) > 0 {
		s += fmt.Sprintf(", %d VANISHED", len(r.vanished))
	}
	if len(r.checks) < r.fewest {
		s += fmt.Sprintf(", FEWER CHECKS than %d", r.fewest)
	}
	return s
}

func (r *result) print(w io.Writer, verbose bool) {
	for _, c := range r.fresh {
		fmt.Fprintf(w, "  new: %s\n    %s\n", c.Name, strings.ReplaceAll(c.Detail, "\n", "\n    "))
	}
	for _, k := range r.vanished {
		fmt.Fprintf(w, "  vanished: %s\n    take it out of expected.json; its reason was: %s\n", k.check, k.why)
	}
	if !verbose {
		return
	}
	for _, k := range r.explained {
		fmt.Fprintf(w, "  expected: %s\n    %s\n", k.check, k.why)
	}
}

// A missingError says that a tool cannot be had where this runs.
type missingError struct {
	what string
	err  error
}

func (e *missingError) Error() string { return e.what + ": " + e.err.Error() }
func (e *missingError) Unwrap() error { return e.err }

func missing(what string, err error, out []byte) error {
	if text := strings.TrimSpace(string(out)); text != "" {
		err = errors.New(err.Error() + "\n" + text)
	}
	return &missingError{what, err}
}
