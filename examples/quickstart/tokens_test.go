package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secret = "muster_mfrw2zi_0123456789012345678901234567890123456789012_abcdef"

// named returns the options of a file and of organizations of these names.
func named(file string, names ...string) *options {
	o := &options{tokenFile: file}
	for _, name := range names {
		o.orgs = append(o.orgs, organization{name: name})
	}
	return o
}

func TestNoTokenFile(t *testing.T) {
	t.Chdir(t.TempDir())
	tokens, err := readTokens(named("", "acme"))
	require.NoError(t, err)
	require.Empty(t, tokens)
	require.NoError(t, keepTokens("", map[string]string{"acme": secret}))
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTokenFileIsForItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions are no modes on Windows")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens.json")
	require.NoError(t, keepTokens(file, map[string]string{"acme": secret}))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing else is left there")

	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		require.NoError(t, os.Chmod(file, mode))
		_, err = readTokens(named(file, "acme"))
		require.ErrorContains(t, err, "-token-file: "+file+" is open to others")
		require.ErrorContains(t, err, "chmod 600")
	}
}

func TestTokenFileKeepsTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	require.NoError(t, os.WriteFile(file, nil, 0o600), "an empty file, as mktemp makes it, has no tokens yet")
	tokens, err := readTokens(named(file, "acme"))
	require.NoError(t, err)
	require.Empty(t, tokens)
	tokens["acme"] = secret
	require.NoError(t, keepTokens(file, tokens))
	again, err := readTokens(named(file, "globex", "acme"))
	require.NoError(t, err)
	require.Equal(t, tokens, again)
}

// The file beside a store has the tokens of everybody in it, also of those whom
// this start does not name. In any other one a stranger's is a mistake.
func TestTokenFileOfTheStoreKeepsEverybodys(t *testing.T) {
	o := named(storage(filepath.Join(t.TempDir(), "app.db")).tokenFile(), "acme")
	tokens := map[string]string{"globex": secret}
	require.NoError(t, keepTokens(o.tokenFile, tokens))
	_, err := readTokens(o)
	require.ErrorContains(t, err, `it has a token of "globex", which no -org names`)
	o.ownTokens = true
	again, err := readTokens(o)
	require.NoError(t, err)
	require.Equal(t, tokens, again)
}

func TestTokenFilesThatAreWrong(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"other organizations", `{"globex":"` + secret + `"}`, `it has a token of "globex", which no -org names`},
		{"not JSON", secret, "is not a JSON object of tokens"},
		{"another JSON", `["` + secret + `"]`, "is not a JSON object of tokens"},
		{"null", "null", "is not a JSON object of tokens"},
		{"too short", `{"acme":"` + secret[:20] + `"}`, `the token of "acme" is not one`},
		{"empty", `{"acme":""}`, `the token of "acme" is not one`},
		{"what a header cannot carry", `{"acme":"` + secret + ` \n"}`, `the token of "acme" is not one`},
		{"one for two", `{"acme":"` + secret + `","beta":"` + secret + `"}`, `"acme" and "beta" have the same token`},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "tokens.json")
			require.NoError(t, os.WriteFile(file, []byte(c.text), 0o600))
			_, err := readTokens(named(file, "acme", "beta"))
			require.ErrorContains(t, err, "-token-file")
			require.ErrorContains(t, err, file)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), secret[:20], "no secrets in errors")
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, c.text, string(text), "the file is left alone")
		})
	}

	dir := t.TempDir()
	_, err := readTokens(named(dir, "acme"))
	require.ErrorContains(t, err, "is not a file")
	err = keepTokens(filepath.Join(dir, "missing", "tokens.json"), map[string]string{"acme": secret})
	require.ErrorContains(t, err, "a directory that exists")

	status, _, stderr := runToEnd(t, "-demo", "-token-file", dir)
	require.Equal(t, 1, status)
	require.True(t, strings.HasPrefix(stderr, "quickstart: -token-file: "), stderr)
}
