package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
)

// readTokens returns the tokens that were kept, by organization: none if there is
// no file. They are what the identity providers have, so that a restart prints the
// same; the store has their digests alone and could not.
//
// The file is a JSON object of tokens by organization. Unless it is the store's
// own, which has the tokens of everybody in there, one that has a token of any
// other organization is refused: a name was mistyped, or it is another server's
// file, and going on would hand out a new token where the old one is expected.
func readTokens(o *options) (tokens map[string]string, err error) {
	if o.tokenFile == "" {
		return map[string]string{}, nil
	}
	if tokens, err = readTokenFile(o.tokenFile); err != nil {
		return nil, fmt.Errorf("-token-file: %w", err)
	}
	if err := checkTokens(tokens, o.orgs, o.ownTokens); err != nil {
		return nil, fmt.Errorf("-token-file %s: %w", o.tokenFile, err)
	}
	return tokens, nil
}

// keepTokens puts the tokens into the file, if there is to be one.
func keepTokens(file string, tokens map[string]string) error {
	if file == "" {
		return nil
	}
	if err := writeTokens(file, tokens); err != nil {
		return fmt.Errorf("-token-file: %w; name a file in a directory that exists and can be written to", err)
	}
	return nil
}

// tokenForm is what a token in the file may look like: what can stand in a
// header (RFC 6750 section 2.1), and too long to be guessed.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9._~+/-]{32,}=*$`)

// checkTokens refuses a file that is not of these organizations, or whose tokens
// are none.
func checkTokens(tokens map[string]string, orgs []organization, ofOthersToo bool) error {
	owner := map[string]string{}
	for name, token := range tokens {
		if !ofOthersToo && !slices.ContainsFunc(orgs, func(o organization) bool { return o.name == name }) {
			return fmt.Errorf("it has a token of %q, which no -org names; name it, or use another file for other organizations", name)
		}
		if !tokenForm.MatchString(token) {
			return fmt.Errorf("the token of %q is not one; it has at least 32 letters and digits. Remove it from the file for a new one", name)
		}
		if other, taken := owner[token]; taken {
			return fmt.Errorf("%q and %q have the same token, but the token is what tells organizations apart; remove one from the file for a new one", min(name, other), max(name, other))
		}
		owner[token] = name
	}
	return nil
}

// maxTokenFile bounds what is read of a file that may be the wrong one.
const maxTokenFile = 1 << 20

// readTokenFile returns what the file holds: nothing if it is empty or not there.
// It refuses one that others than its owner may use, as everybody who has read
// a token can act as the identity provider.
func readTokenFile(file string) (tokens map[string]string, err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file; name one that is, or is not there yet", file)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows": // whose permissions are no modes
		return nil, fmt.Errorf("%s is open to others (mode %04o); tokens in it may be known. Remove it for new tokens, or chmod 600 it", file, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return map[string]string{}, nil
	}
	if err := json.Unmarshal(text, &tokens); err != nil || tokens == nil {
		// The parser's own message could quote a token.
		return nil, fmt.Errorf("%s is not a JSON object of tokens by organization; name another file, or remove it for new tokens", file)
	}
	return tokens, nil
}

// writeTokens puts the tokens into the file, for its owner alone, and all at
// once: who reads it sees the old ones or the new, also after a crash.
func writeTokens(file string, tokens map[string]string) (err error) {
	text, err := json.MarshalIndent(tokens, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
