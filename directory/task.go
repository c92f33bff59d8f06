package directory

import (
	"context"
	"time"

	"github.com/google/uuid"

	scim "github.com/muster-id/scim"
)

// A TaskKind says what a [Task] does.
type TaskKind string

// The kinds of tasks.
const (
	TaskReconcile TaskKind = "reconcile" // the accounts of a directory are worked out anew
	TaskRetire    TaskKind = "retire"    // the accounts of a retired directory are given up (rule B9)
)

// A Task is work about a directory that goes on after what caused it: batch
// after batch, each a transaction of its own.
type Task struct {
	ID        string
	Directory scim.Key
	Kind      TaskKind
	Created   time.Time
	How       scim.Retirement // what TaskRetire does
}

// enqueue stores a new task in the transaction of the context, to be done after
// its commit, and returns it with its ID.
func (s *Service) enqueue(ctx context.Context, _ scim.Tx, t Task) (*Task, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	t.ID, t.Created = id.String(), s.now()
	_, err = s.put(ctx, RecordKey{t.Directory.Tenant, KindTask, t.ID}, 0, &t)
	return &t, err
}
