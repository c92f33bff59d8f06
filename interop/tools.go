package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A tool is software of others, and a driver of ours that makes it work.
type tool struct {
	name string
	in   environment // what it is written in
	// driver is the program under tools/ that runs it. It finds the server in
	// SCIM_URL and SCIM_TOKEN, prints a line of JSON for each check and ends
	// with 0 whatever the checks say.
	driver string
}

// tools are in the order of what one learns from them.
var tools = []tool{
	{"scim2-tester", python, "tester.py"},
	{"scim-sanity", python, "sanity.py"},
	{"scim2-client", python, "client.py"},
	{"scim2-models", python, "models.py"},
	{"unboundid", java, "UnboundID.java"},
	{"scim-sdk", java, "ScimSDK.java"},
	{"node", node, "opinions.js"},
	{"filter-parser", golang, ""},
}

// dialects are those in which each tool is run: what a directory has unless it
// says otherwise, and the RFCs to the letter.
var dialects = []string{"auto", "strict"}

func toolNames() []string {
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = t.name
	}
	return names
}

// How long a tool may take. None needs more than some seconds; installing them
// is what takes time, and only the first time.
const (
	installTime = 8 * time.Minute
	checkTime   = 2 * time.Minute
)

// check runs the tool against a new server and returns what it says.
func (t tool) check(ctx context.Context, command command, binary, dialect string, stderr io.Writer) ([]check, error) {
	s, err := startServer(ctx, binary, dialect)
	if err != nil {
		return nil, err
	}
	defer s.stop(stderr)
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if t.driver == "" {
		return checkFilters(ctx, s)
	}
	driver, err := filepath.Abs(filepath.Join("tools", t.in.name, t.driver))
	if err != nil {
		return nil, err
	}
	vectors, err := filepath.Abs("vectors")
	if err != nil {
		return nil, err
	}
	var out, log bytes.Buffer
	cmd := exec.CommandContext(ctx, command.program, append(command.args, driver)...)
	cmd.Env = append(append(os.Environ(), command.env...), "SCIM_URL="+s.BaseURL, "SCIM_TOKEN="+s.Token, "SCIM_VECTORS="+vectors)
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", t.driver, err, tail(out.Bytes()), tail(log.Bytes()))
	}
	return parseChecks(out.Bytes())
}

// tail returns the end of what a program wrote.
func tail(b []byte) []byte {
	const most = 4 << 10
	return b[max(0, len(b)-most):]
}

// A command is how a driver is started: program, args, then the driver.
type command struct {
	program string
	args    []string
	env     []string
}

// An environment is a language with packages of its own. prepare installs what
// tools/<name> lists, at the versions it lists, unless the cache has it.
type environment struct {
	name    string
	prepare func(ctx context.Context, cache string) (command, error)
}

var (
	golang = environment{"go", func(context.Context, string) (command, error) { return command{}, nil }}

	python = environment{"python", func(ctx context.Context, cache string) (command, error) {
		dir, err := install(ctx, cache, "python", []string{"requirements.txt"}, [][]string{
			{"python3", "-m", "venv", "."},
			{"./bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r", "requirements.txt"},
		})
		return command{program: filepath.Join(dir, "bin", "python"), env: []string{"PYTHONDONTWRITEBYTECODE=1"}}, err
	}}

	node = environment{"node", func(ctx context.Context, cache string) (command, error) {
		dir, err := install(ctx, cache, "node", []string{"package.json", "package-lock.json"}, [][]string{
			{"node", "--version"},
			{"npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"},
		})
		return command{program: "node", env: []string{"NODE_PATH=" + filepath.Join(dir, "node_modules")}}, err
	}}

	java = environment{"java", func(ctx context.Context, cache string) (command, error) {
		dir, err := install(ctx, cache, "java", []string{"pom.xml"}, [][]string{
			{"javac", "-version"},
			{"mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"},
		})
		return command{program: "java", args: []string{"-XX:TieredStopAtLevel=1", "-cp", filepath.Join(dir, "lib", "*")}}, err
	}}
)

// install runs the steps in a folder of the cache that belongs to just these
// lists of packages, and returns it. What was installed before stays.
func install(ctx context.Context, cache, name string, lists []string, steps [][]string) (string, error) {
	h := sha256.New()
	content := map[string][]byte{}
	for _, list := range lists {
		b, err := os.ReadFile(filepath.Join("tools", name, list))
		if err != nil {
			return "", err
		}
		content[list] = b
		h.Write(b)
	}
	dir, err := filepath.Abs(filepath.Join(cache, "interop", name+"-"+hex.EncodeToString(h.Sum(nil))[:12]))
	if err != nil {
		return "", err
	}
	done := filepath.Join(dir, ".installed")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.RemoveAll(dir); err != nil { // half of an earlier attempt
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for list, b := range content {
		if err := os.WriteFile(filepath.Join(dir, list), b, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	for _, step := range steps {
		cmd := exec.CommandContext(ctx, step[0], step[1:]...)
		cmd.Dir = dir
		cmd.WaitDelay = 5 * time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", missing(fmt.Sprintf("%s: %q", name, step), err, tail(out))
		}
	}
	return dir, os.WriteFile(done, nil, 0o644)
}
