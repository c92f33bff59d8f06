package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	scim "github.com/muster-id/scim"
)

// A row is a record as what it holds.
type row[T any] struct {
	ID      string
	Version uint64 // to be given to put
	Value   T
}

// errUnchanged ends a change that turned out to be none: nothing is written and
// the revision stays.
var errUnchanged = errors.New("directory: nothing changed")

// change runs fn in a transaction of the tenant in which its configuration
// changes: records are written, events appended, and the tenant's revision
// grows by one, so that no replica goes on with what it had read before. It is
// for what a [scim.Directory] or a token is made of; what is not, such as the
// progress of a task, is written in a [scim.Ledger.Do] of its own, or every
// replica would read the tenant again for nothing. fn may return errUnchanged.
func (s *Service) change(ctx context.Context, tenant string, fn func(ctx context.Context, tx scim.Tx) error) error {
	// Also where it failed: a commit whose answer was lost has happened.
	defer s.cache.drop(tenant)
	return s.store.Do(ctx, tenant, func(ctx context.Context, tx scim.Tx) error {
		switch err := fn(ctx, tx); {
		case errors.Is(err, errUnchanged):
			return nil
		case err != nil:
			return err
		}
		was, err := tx.Tally(ctx)
		if err != nil {
			return err
		}
		tally := *was
		tally.Revision++
		return tx.PutTally(ctx, &tally)
	})
}

// event appends an event of the directory, or of the tenant where the key has no
// directory. The actor is the administrator who called.
func (s *Service) event(ctx context.Context, tx scim.Tx, key scim.Key, t scim.EventType, name, note string) error {
	return tx.Append(ctx, &scim.Event{Type: t, Directory: key, Time: s.now(), Actor: byAdministrator, Name: name, Note: note})
}

// Who changes a configuration, in events.
const (
	byAdministrator = "administrator"
	bySystem        = "system"
)

// read returns a record; the error wraps [scim.ErrNotFound] if there is none.
func read[T any](ctx context.Context, s *Service, key RecordKey) (row[T], error) {
	r, err := s.store.Record(ctx, key)
	if err != nil {
		return row[T]{}, err
	}
	return decode[T](r)
}

// decode reads what a record holds. Members that are not known are ignored: a
// newer release may have written them.
func decode[T any](r *Record) (row[T], error) {
	d := row[T]{ID: r.ID, Version: r.Version}
	if err := json.Unmarshal(r.Data, &d.Value); err != nil {
		return d, fmt.Errorf("directory: the %s %q of tenant %q cannot be read: %w", r.Kind, r.ID, r.Tenant, err)
	}
	return d, nil
}

// recordsAtOnce is how many records are read in one call of the storage.
const recordsAtOnce = 500

// records yields all records of a kind in order of their ID. After an error it
// ends.
func (s *Service) records(ctx context.Context, tenant string, kind Kind) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for after := ""; ; {
			page, err := s.store.Records(ctx, tenant, kind, after, recordsAtOnce)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
				after = r.ID
			}
			if len(page) < recordsAtOnce {
				return
			}
		}
	}
}

// all returns all records of a kind in order of their ID.
func all[T any](ctx context.Context, s *Service, tenant string, kind Kind) ([]row[T], error) {
	var rows []row[T]
	for r, err := range s.records(ctx, tenant, kind) {
		if err != nil {
			return nil, err
		}
		d, err := decode[T](r)
		if err != nil {
			return nil, err
		}
		rows = append(rows, d)
	}
	return rows, nil
}

// put stores a record in place of that version, 0 for a new one, and returns
// the new version. The error wraps [ErrConflict] if the stored version is
// another one, or there is one where there should be none.
func (s *Service) put(ctx context.Context, key RecordKey, version uint64, value any) (uint64, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return 0, err
	}
	version, err = s.store.PutRecord(ctx, &Record{RecordKey: key, Version: version, Data: data})
	if errors.Is(err, scim.ErrVersion) {
		return 0, fmt.Errorf("%w: the %s %q of tenant %q", ErrConflict, key.Kind, key.ID, key.Tenant)
	}
	return version, err
}

// remove deletes a record; none is no error.
func (s *Service) remove(ctx context.Context, key RecordKey) error {
	return s.store.DeleteRecord(ctx, key)
}
