// Interop runs SCIM software of others against the quickstart server, and
// compares what they say with what is expected of them (expected.json): what a
// tool finds and nobody has explained fails, and so does an explanation that
// nothing needs any more.
//
//	go run -C interop .
//	go run -C interop . -only scimmy -v
//
// A tool that cannot be had where this runs is skipped and said to be; with
// CI=true in the environment that is a failure too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		stop()
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	cache   string // what is installed and built is kept here
	only    string // the one tool to run, "" for all
	verbose bool   // every finding with its reason, not just what is new
	ci      bool   // nothing may be skipped
}

func parseOptions(args []string, usage io.Writer) (*options, error) {
	o := &options{ci: os.Getenv("CI") == "true"}
	flags := flag.NewFlagSet("interop", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&o.cache, "cache", "", "`folder` that keeps what is installed (default muster in the user's cache)")
	flags.StringVar(&o.only, "only", "", "run one `tool`: "+strings.Join(toolNames(), ", "))
	flags.BoolVar(&o.verbose, "v", false, "print expected findings too, with the reason why they are no defect")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("-cache: %w; name a folder", err)
		}
		o.cache = filepath.Join(base, "muster")
	}
	return o, nil
}

// run runs the tools one after the other, each in every dialect, against a
// server of its own.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	expected, err := readExpected("expected.json")
	if err != nil {
		return err
	}
	binary, err := buildServer(ctx, o.cache)
	if err != nil {
		return err
	}
	ran, failed := 0, 0
	var skipped []string
	for _, t := range tools {
		if o.only != "" && o.only != t.name {
			continue
		}
		ran++
		command, err := t.in.prepare(ctx, o.cache)
		var missing *missingError
		if errors.As(err, &missing) && !o.ci {
			fmt.Fprintf(stdout, "%-21s skipped: %v\n", t.name, missing)
			skipped = append(skipped, t.name)
			continue
		}
		if err != nil {
			fmt.Fprintf(stdout, "%-21s failed: %v\n", t.name, err)
			failed++
			continue
		}
		for _, dialect := range dialects {
			title := fmt.Sprintf("%-14s %-6s", t.name, dialect)
			start := time.Now()
			checks, err := t.check(ctx, command, binary, dialect, stderr)
			if err != nil {
				fmt.Fprintf(stdout, "%s failed: %v\n", title, err)
				failed++
				continue
			}
			r := compare(expected[t.name].in(dialect), checks)
			fmt.Fprintf(stdout, "%s %s (%.1f s)\n", title, r.summary(), time.Since(start).Seconds())
			r.print(stdout, o.verbose)
			if !r.ok() {
				failed++
			}
		}
	}
	switch {
	case ran == 0:
		return fmt.Errorf("-only %s: there is no such tool; there are %s", o.only, strings.Join(toolNames(), ", "))
	case failed > 0:
		return fmt.Errorf("%d failed; interop/README.md says how to read this", failed)
	case len(skipped) > 0:
		fmt.Fprintf(stdout, "skipped: %s\n", strings.Join(skipped, ", "))
	}
	return nil
}
