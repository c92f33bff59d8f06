package scim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A cursor (RFC 9865) is a store's position and the time at which it expires,
// encrypted and authenticated: a position can hold what resources are sorted by,
// and URLs are logged. It is bound to the directory and to what was asked, so
// that it is worth nothing in another query or to another caller. It gives no
// access: the query that it comes with is authenticated and evaluated like any
// other, and previousCursor, which is optional, is not offered.

const (
	cursorKeySize        = 32 // of AES-256
	defaultCursorTimeout = 10 * time.Minute

	// mostPosition bounds a position, so that a cursor fits into a URL whatever
	// value of a resource is in it; mostCursor is such a cursor's length.
	mostPosition = 4 << 10
	mostCursor   = 6 << 10
)

// errPositions is what an operator reads who offers cursors over a store that
// has no positions.
var errPositions = errors.New("scim: the store does not page by position (Page.Positioned): make it, or leave Config.CursorKey nil")

// binding is what a cursor is bound to besides its directory, of which the key
// is: the query. whole says that it is about all resources; the queries are then
// those of their types.
func binding(whole bool, queries ...*Query) []byte {
	var b []byte
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	if whole {
		text("/")
	}
	for _, q := range queries {
		text(q.Type.Endpoint)
		if q.Filter == nil {
			text("")
		} else {
			text(q.Filter.String())
		}
		if q.SortBy == nil {
			text("")
			continue
		}
		text(q.SortBy.Path())
		if q.Descending {
			text("descending")
		} else {
			text("ascending")
		}
	}
	return b
}

// cursorCipher returns what seals the cursors of a directory. Each has a key of
// its own, so that the number of cursors under one stays far from what random
// nonces allow (2^32, NIST SP 800-38D).
func (e *Engine) cursorCipher(d Key) (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, e.cfg.CursorKey)
	b := append([]byte("scim cursor"), 0)
	b = binary.AppendUvarint(b, uint64(len(d.Tenant)))
	mac.Write(append(append(b, d.Tenant...), d.Directory...))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// sealCursor returns the cursor of a position; "" for "".
func (e *Engine) sealCursor(q *request, position string, binding []byte) (string, error) {
	if position == "" {
		return "", nil
	}
	if len(position) > mostPosition {
		return "", refuse(http.StatusBadRequest, InvalidValue, fmt.Sprintf("sortBy: the page ends at a value of more than %d bytes, ", mostPosition),
			"which is too long for a cursor; sort by another attribute, or page with startIndex").because(ReasonLimit)
	}
	aead, err := e.cursorCipher(q.Directory)
	if err != nil {
		return "", fmt.Errorf("scim: cursor: %w", err)
	}
	plain := binary.BigEndian.AppendUint64(nil, uint64(q.Time.Add(e.cfg.CursorTimeout).UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, append(plain, position...), binding)), nil
}

// openCursor returns the position that a cursor stands for; "" for "", which
// asks for the first page. What was made up, changed, or made for another
// query or directory looks the same (RFC 9865 section 5.2).
func (e *Engine) openCursor(q *request, cursor string, binding []byte) (string, error) {
	if cursor == "" {
		return "", nil
	}
	if e.cfg.CursorKey == nil || len(cursor) > mostCursor || strings.ContainsAny(cursor, "\r\n") { // which the decoder passes over
		return "", invalidCursor()
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return "", invalidCursor()
	}
	aead, err := e.cursorCipher(q.Directory)
	if err != nil {
		return "", fmt.Errorf("scim: cursor: %w", err)
	}
	const header = 8
	plain, err := aead.Open(nil, nil, sealed, binding)
	if err != nil || len(plain) <= header {
		return "", invalidCursor()
	}
	if q.Time.UnixMilli() > int64(binary.BigEndian.Uint64(plain)) {
		return "", refuse(http.StatusBadRequest, ExpiredCursor, "the cursor has expired; begin again without one, and ask for each page within ",
			e.cfg.CursorTimeout.Truncate(time.Second).String(), " (cursorTimeout, RFC 9865 section 4)")
	}
	return string(plain[header:]), nil
}

func invalidCursor() error {
	return refuse(http.StatusBadRequest, InvalidCursor, "the cursor is not one that was issued for this query; repeat the query exactly, with the nextCursor of its ",
		"previous page, or begin again with an empty cursor (RFC 9865 section 2)")
}

// unpositioned is the error for a positioned query that the store did not
// answer as one: it has no positions, or takes this one for none of its own.
func unpositioned(q *Query) error {
	if q.After == "" {
		return errPositions
	}
	return invalidCursor()
}
