package sqlstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	scim "github.com/muster-id/scim"
)

// queues let the writers of one tenant wait without a connection each. Where
// the database has one writer, all are in one queue.
type queues struct {
	mu sync.Mutex
	of map[string]*queue
}

type queue struct {
	token chan struct{} // holds one while a transaction runs
	users int           // that have it or wait for it; under queues.mu
}

func (s *Store) queueOf(tenant string) string {
	if s.Dialect == SQLite {
		return ""
	}
	return tenant
}

// join returns the queue of that name, to be left.
func (q *queues) join(name string) *queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil {
		q.of = make(map[string]*queue)
	}
	w := q.of[name]
	if w == nil {
		w = &queue{token: make(chan struct{}, 1)}
		q.of[name] = w
	}
	w.users++
	return w
}

func (q *queues) leave(name string, w *queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.users--; w.users == 0 {
		delete(q.of, name)
	}
}

// wait returns when it is the caller's turn, and what ends it.
func (q *queues) wait(ctx context.Context, name string, limit time.Duration) (done func(), err error) {
	w := q.join(name)
	done = func() {
		<-w.token
		q.leave(name, w)
	}
	select {
	case w.token <- struct{}{}:
		return done, nil
	default:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case w.token <- struct{}{}:
		return done, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errLockTimeout(limit)
	}
	q.leave(name, w)
	return nil, err
}

// try is wait for who would rather come back.
func (q *queues) try(name string) (done func(), ok bool) {
	w := q.join(name)
	select {
	case w.token <- struct{}{}:
		return func() {
			<-w.token
			q.leave(name, w)
		}, true
	default:
		q.leave(name, w)
		return nil, false
	}
}

// errLockTimeout says why a transaction did not begin.
func errLockTimeout(limit time.Duration) error {
	return fmt.Errorf("%w: another transaction of the tenant was not over after %s; a hook that writes through the store, or to what the transaction has written, "+
		"must do so with the context that it is given and the transaction of sqlstore.Tx, or it waits for itself", scim.ErrUnavailable, limit)
}
