package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// hooks calls the functions of the host, each with a deadline, and survives
// what they may do: panic, or hang. For the latter a call runs in a goroutine of
// its own, which is abandoned if it does not come back after its deadline.
//
// To hand over to another goroutine and back costs more than most requests. A
// host whose hooks have come back at once, so often that they cannot be waiting
// for anything, is trusted to go on like that, and they are called directly.
type hooks struct {
	limit time.Duration
	trust atomic.Int64
}

// What hooks have to do to be trusted: nothing that goes over a network or to a
// disk comes back within prompt more than ninety-nine times in a hundred.
const (
	prompt      = 20 * time.Microsecond
	trusted     = 1000 // prompt calls
	trustMost   = 2 * trusted
	trustBroken = 200 // prompt calls that one of another kind undoes
)

// grace is how long a hook may go on after its deadline before it is abandoned.
const grace = time.Second

// call calls a hook.
func (h *hooks) call(ctx context.Context, hook func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	var err error
	if h.trust.Load() >= trusted {
		err = h.survive(ctx, hook)
	} else {
		err = h.guard(ctx, hook)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return slowHook(err)
	}
	return hostError("scim: a hook of the host failed", err)
}

// guard calls a hook that may never come back.
func (h *hooks) guard(ctx context.Context, hook func(ctx context.Context) error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("it ended its goroutine") // unless it returns
		defer func() { done <- err }()
		err = h.survive(ctx, hook)
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
		h.trust.Store(0)
		return slowHook(fmt.Errorf("scim: a hook of the host ignores its deadline of %s and was abandoned", h.limit))
	}
}

// survive calls a hook that may panic, and judges how long it takes.
func (h *hooks) survive(ctx context.Context, hook func(ctx context.Context) error) (err error) {
	begin := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		h.judge(time.Since(begin))
	}()
	return hook(ctx)
}

// judge keeps account of the trust in the hooks. That it may lose a count when
// two are called at once does not matter.
func (h *hooks) judge(took time.Duration) {
	switch trust := h.trust.Load(); {
	case took > prompt:
		h.trust.Store(max(0, trust-trustBroken))
	case trust < trustMost:
		h.trust.Store(trust + 1)
	}
}

func slowHook(err error) error {
	return &Error{
		Status: http.StatusServiceUnavailable, Detail: "the application did not answer in time and nothing was changed; try again",
		RetryAfter: 30 * time.Second, Err: err,
	}
}
