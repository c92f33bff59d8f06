package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// give returns the tokens that organizations of these names are given.
func give(t *testing.T, file string, names ...string) (tokens []string, err error) {
	t.Helper()
	var orgs []organization
	for _, name := range names {
		orgs = append(orgs, organization{name: name})
	}
	err = giveTokens(orgs, file, false)
	for _, org := range orgs {
		tokens = append(tokens, org.token)
	}
	return tokens, err
}

func TestTokensAreNewWithoutAFile(t *testing.T) {
	first, err := give(t, "", "acme", "globex")
	require.NoError(t, err)
	again, err := give(t, "", "acme", "globex")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, token := range append(first, again...) {
		require.Regexp(t, `^muster_[A-Za-z0-9_-]{43}$`, token, "256 bits")
		require.False(t, seen[token])
		seen[token] = true
	}
}

func TestTokenFileIsForItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions are no modes on Windows")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens.json")
	_, err := give(t, file, "acme")
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing else is left there")

	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
		require.NoError(t, os.Chmod(file, mode))
		_, err = give(t, file, "acme")
		require.ErrorContains(t, err, "-token-file: "+file+" is open to others")
		require.ErrorContains(t, err, "chmod 600")
	}
}

func TestTokenFileKeepsTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.json")
	require.NoError(t, os.WriteFile(file, nil, 0o600), "an empty file, as mktemp makes it, has no tokens yet")
	first, err := give(t, file, "acme")
	require.NoError(t, err)
	more, err := give(t, file, "globex", "acme")
	require.NoError(t, err)
	require.Equal(t, first[0], more[1], "a new organization does not change the tokens of others")
	again, err := give(t, file, "acme", "globex")
	require.NoError(t, err)
	require.Equal(t, []string{more[1], more[0]}, again)
}

func TestTokenFilesThatAreWrong(t *testing.T) {
	const secret = "muster_0123456789012345678901234567890123456789012"
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
			_, err := give(t, file, "acme", "beta")
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
	_, err := give(t, dir, "acme")
	require.ErrorContains(t, err, "is not a file")
	_, err = give(t, filepath.Join(dir, "missing", "tokens.json"), "acme")
	require.ErrorContains(t, err, "a directory that exists")

	status, _, stderr := runToEnd(t, "-demo", "-token-file", dir)
	require.Equal(t, 1, status)
	require.True(t, strings.HasPrefix(stderr, "quickstart: -token-file: "), stderr)
}

// The file beside a store has the tokens of everybody in it, also of those whom
// this start does not name.
func TestTokenFileOfTheStoreKeepsEverybodys(t *testing.T) {
	file := storage(filepath.Join(t.TempDir(), "app.db")).tokenFile()
	acme, globex := []organization{{name: "acme"}}, []organization{{name: "globex"}}
	require.NoError(t, giveTokens(acme, file, true))
	require.NoError(t, giveTokens(globex, file, true))
	again := []organization{{name: "acme"}}
	require.NoError(t, giveTokens(again, file, true))
	require.Equal(t, acme, again)
	info, err := os.Stat(file)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // whose permissions are no modes
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}
