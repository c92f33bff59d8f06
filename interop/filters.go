package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	filter "github.com/scim2/filter-parser/v2"
)

// checkFilters asks github.com/scim2/filter-parser, which elimity-com/scim uses,
// what is a filter and what is none. It parses and does not select, so a
// directory without users is enough.
func checkFilters(ctx context.Context, s *server) ([]check, error) {
	b, err := os.ReadFile(filepath.Join("vectors", "filters.json"))
	if err != nil {
		return nil, err
	}
	var vectors []string
	if err := json.Unmarshal(b, &vectors); err != nil {
		return nil, err
	}
	var checks []check
	for _, text := range vectors {
		status, err := s.list(ctx, text)
		if err != nil {
			return nil, err
		}
		_, refused := filter.ParseFilter([]byte(text))
		c := check{Name: "filter " + text, OK: (status == http.StatusOK) == (refused == nil)}
		if !c.OK {
			c.Detail = fmt.Sprintf("the server says %d, the library %v", status, refused)
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// list asks for the users that a filter selects, and returns the status of the
// answer.
func (s *server) list(ctx context.Context, filter string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.BaseURL+"/Users?filter="+url.QueryEscape(filter), http.NoBody)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}
