package scim

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/muster-id/scim/attr"
)

// values are the bounds on the values of a body.
func (l *Limits) values() attr.Limits { return attr.Limits{Depth: l.Depth, Values: l.Values} }

// checkSize refuses a PATCH that makes a resource larger than one request could
// send it, so that many small ones are bounded as one large one is.
func (e *Engine) checkSize(before, next *Resource) error {
	most := e.cfg.Limits.Body
	if next.typ.IsGroup() {
		most = e.cfg.Limits.GroupBody
	}
	if n := int64(len(next.doc.JSON())); n <= most || n <= int64(len(before.doc.JSON())) {
		return nil
	}
	return refuse(http.StatusBadRequest, TooMany, "the resource would be larger than ", strconv.FormatInt(most, 10), " bytes; remove values before adding others")
}

// A rateLimit is Limits.Rate: one token bucket for each caller (rule E3). What
// is kept of a bucket is when it will be full again; one that is full is like
// one that never was, so nothing is lost in forgetting it. Buckets are in two
// generations, of which the older is dropped when the younger has lasted for as
// long as any bucket takes to fill: there are never more than callers were
// active lately, and no goroutine sweeps.
type rateLimit struct {
	each     time.Duration // what one request takes out of a bucket
	full     time.Duration // what a full bucket has in it
	lifetime time.Duration // of a generation
	began    time.Time     // the clock's zero
	detail   string

	mu         sync.Mutex
	young, old map[callerKey]bucket
	turned     time.Duration // when young began
}

// A callerKey is whose requests are counted together.
type callerKey struct {
	Key
	actor string
}

// A bucket has two times of the limit's clock.
type bucket struct {
	fullAt time.Duration
	noted  time.Duration // the last refusal that went to the request log
}

// noteEvery is how often the refusals of one caller go to the request log: a
// client that does not listen would fill it, and the store be the busier for
// refusing.
const noteEvery = time.Minute

// newRateLimit returns nil where there is no limit.
func newRateLimit(l *Limits, now time.Time) *rateLimit {
	if l.Rate == 0 {
		return nil
	}
	r := &rateLimit{each: time.Second / time.Duration(l.Rate), began: now, young: map[callerKey]bucket{}}
	r.full = r.each * time.Duration(l.Burst)
	r.lifetime = max(r.full, noteEvery)
	r.detail = "more than " + strconv.Itoa(l.Rate) + " requests a second come with this token; wait as long as Retry-After says and go on more slowly"
	return r
}

// take takes a request out of the caller's bucket. Where there is not enough in
// it the caller is to wait; note says that this goes to the request log.
func (r *rateLimit) take(key callerKey, now time.Time) (wait time.Duration, note bool) {
	at := now.Sub(r.began)
	r.mu.Lock()
	defer r.mu.Unlock()
	if at-r.turned >= r.lifetime {
		r.young, r.old, r.turned = make(map[callerKey]bucket, len(r.young)), r.young, at
	}
	b, ok := r.young[key]
	if !ok {
		if b, ok = r.old[key]; !ok {
			b = bucket{fullAt: at, noted: at - noteEvery}
		}
	}
	b.fullAt = min(max(b.fullAt, at), at+r.full) // the clock may have been set back
	if wait = b.fullAt + r.each - at - r.full; wait > 0 {
		if note = at-b.noted >= noteEvery || at < b.noted; note {
			b.noted = at
		}
	} else {
		b.fullAt += r.each
	}
	r.young[key] = b
	return wait, note
}

// slowDown refuses a request that comes too soon after others of its caller.
func (x *exchange) slowDown() error {
	if x.rate == nil {
		return nil
	}
	wait, note := x.rate.take(callerKey{x.q.Directory, x.q.Actor}, x.q.Time)
	if wait <= 0 {
		return nil
	}
	x.q.recorded = !note
	return &Error{Status: http.StatusTooManyRequests, Detail: x.rate.detail, Reason: ReasonLimit, RetryAfter: wait}
}
