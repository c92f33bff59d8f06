package directory

import (
	"context"

	scim "github.com/muster-id/scim"
)

// A Request is a line of a directory's request log, with what it asks of the
// customer's administrator (rule D8).
type Request struct {
	scim.LogEntry
	Hint string // see Hint; "" where there is nothing to do
}

// mostRequests is how many lines are read of a log at a time.
const mostRequests = 1000

// Requests returns the latest lines of a directory's request log, the newest
// first: limit at most, and never more than 1,000. The error wraps
// [scim.ErrNotFound] if there is no such directory. Requests without a valid
// token are nobody's, and in no log; see [Service.Activity].
func (s *Service) Requests(ctx context.Context, key scim.Key, limit int) ([]Request, error) {
	d, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.requests(ctx, d, limit)
}

func (s *Service) requests(ctx context.Context, d *Directory, limit int) ([]Request, error) {
	if limit <= 0 {
		return nil, nil
	}
	entries, err := s.store.Requests(ctx, d.Key(), min(limit, mostRequests))
	if err != nil {
		return nil, err
	}
	requests := make([]Request, len(entries))
	for i, e := range entries {
		requests[i] = Request{LogEntry: *e, Hint: Hint(e, d.Provider)}
	}
	return requests, nil
}
