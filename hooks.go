package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// hooks calls the functions of the host and survives what they may do: panic,
// or hang.
type hooks struct {
	limit  time.Duration
	direct bool // the host promises that they return at once
}

// grace is how long a hook may go on after its deadline before it is abandoned.
const grace = time.Second

// call calls a hook with a deadline.
func (h *hooks) call(ctx context.Context, hook func(ctx context.Context) error) error {
	if h.direct {
		if err := survive(ctx, hook); err != nil {
			return hostError("scim: a hook of the host failed", err)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	err := h.guard(ctx, hook)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return slowHook(fmt.Errorf("scim: a hook of the host did not come back before its deadline of %s%s: %w", h.limit, ownLock, err))
	}
	return hostError("scim: a hook of the host failed", err)
}

// guard calls a hook in a goroutine of its own, which is abandoned if it does
// not come back after its deadline.
func (h *hooks) guard(ctx context.Context, hook func(ctx context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("it ended its goroutine") // unless it returns
		defer func() { done <- err }()
		err = survive(ctx, hook)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// The deadline, or the client has gone, which is no reason to leave a hook
	// behind that would have finished in time.
	deadline, _ := ctx.Deadline()
	patience := time.NewTimer(time.Until(deadline) + grace)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
		return slowHook(fmt.Errorf("scim: a hook of the host ignores its deadline of %s and was abandoned%s", h.limit, ownLock))
	}
}

func survive(ctx context.Context, hook func(ctx context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return hook(ctx)
}

// A slowHookError says that a hook did not come back before its deadline.
type slowHookError struct{ err error }

func (e *slowHookError) Error() string { return e.err.Error() }
func (e *slowHookError) Unwrap() error { return e.err }

// ownLock is told with every deadline that is missed: of all reasons it is the
// one that neither the hook nor the database can see.
const ownLock = " (if it writes, over another connection, to rows that the transaction of its own request has locked, it waits for itself)"

func slowHook(err error) error {
	return &Error{
		Status: http.StatusServiceUnavailable, Detail: "the application did not answer in time; try again", Reason: ReasonUnavailable,
		RetryAfter: 30 * time.Second, Err: &slowHookError{err},
	}
}
