package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// floor is the limit to approach: it reads the body, runs through its tokens and
// writes stored bytes of the right shape. It looks nothing up, checks nothing and
// stores nothing.
type floor struct {
	user, page, few, one, none, group []byte
	readers                           sync.Pool // of *floorReader
}

type floorReader struct {
	buffer  bytes.Buffer
	decoder jsontext.Decoder
}

func newFloor() subject {
	id := "0199b8a4-7c7e-7d50-9c0e-0123456789ab"
	meta := func(kind string) string {
		return fmt.Sprintf(`,"id":"%s","meta":{"resourceType":"%s","created":"2026-11-02T08:00:00Z",`+
			`"lastModified":"2026-11-02T08:00:00Z","location":"%s/%ss/%s","version":"W/\"1\""}}`, id, kind, baseURL, kind, id)
	}
	user := string(bytes.TrimSuffix(appendUser(nil, 1, titleFirst), []byte("}"))) +
		`,"groups":[{"value":"` + id + `","display":"Team 001"},{"value":"` + id + `","display":"Team 002"},{"value":"` + id + `","display":"Everyone"}]` +
		meta("User")
	list := func(count int) []byte {
		return fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":%d,`+
			`"startIndex":1,"itemsPerPage":%d,"Resources":[%s]}`, count, count, strings.TrimSuffix(strings.Repeat(user+",", count), ","))
	}
	f := &floor{
		user: []byte(user), page: list(pageLength), few: list(scanLength), one: list(1), none: list(0),
		group: []byte(`{"schemas":["` + groupURN + `"],"displayName":"` + everyoneName + `"` + meta("Group")),
	}
	f.readers.New = func() any { return new(floorReader) }
	return subject{handler: f}
}

func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/scim+json")
	if r.Body != http.NoBody {
		if err := f.tokenise(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	status, body := http.StatusOK, f.user
	switch isGroup := strings.HasPrefix(r.URL.Path, "/Groups"); {
	case r.Method == http.MethodPost:
		w.Header().Set("Location", baseURL+"/Users/0199b8a4-7c7e-7d50-9c0e-0123456789ab")
		status = http.StatusCreated
	case r.Method == http.MethodDelete, r.Method == http.MethodPatch && isGroup:
		status, body = http.StatusNoContent, nil
	case isGroup:
		body = f.group
	case r.URL.RawQuery != "":
		body = f.list(r.URL.RawQuery)
	}
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return // the client is gone
	}
}

// list chooses the stored list by what tells the four queries of the table apart.
func (f *floor) list(query string) []byte {
	switch {
	case strings.HasPrefix(query, "startIndex"):
		return f.page
	case strings.HasPrefix(query, "filter=name"):
		return f.few
	case strings.Contains(query, "nobody"):
		return f.none
	default:
		return f.one
	}
}

func (f *floor) tokenise(body io.Reader) error {
	t := f.readers.Get().(*floorReader)
	defer f.readers.Put(t)
	t.buffer.Reset()
	if _, err := t.buffer.ReadFrom(body); err != nil {
		return err
	}
	t.decoder.Reset(&t.buffer)
	for {
		if _, err := t.decoder.ReadToken(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}
