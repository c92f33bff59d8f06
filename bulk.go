package scim

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
)

const bulkResponseSchema = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"

// A bulkJob is a bulk request being done, RFC 7644 section 3.7. Each of its
// operations is a request of its own, with its transaction and its line in the
// log.
//
// Operations are done in the order in which they were sent, with two
// exceptions. One that refers to the bulkId of a later one waits for it, and
// with it the later operations on the same resource. And where resources refer
// to each other in a circle, one of them is created without the references that
// cannot be known yet, and completed as soon as they are: in a second
// transaction, which adds nothing but these values.
type bulkJob struct {
	*exchange

	reader  wire.Reader
	rewrite rewriter

	failOnErrors int // 0: any number
	operations   []operation
	creators     map[string]int // the POST with that bulkId

	next   int   // operations before this one have had their turn
	woken  []int // operations that had to wait and need not any longer
	failed int   // how many
}

// An operation is one of a bulk request.
type operation struct {
	method  string // one of the four, or what was sent instead
	bulkID  string
	version string
	path    string
	data    []byte

	typ   *ResourceType
	id    string        // of the resource; a reference until that is known
	fired attr.Lenience // tolerances that the path needed
	state operationState

	// What it waits for, and who waits for it.
	waiting    int // references and operations
	needed     int // those of the references that it cannot be created without
	references []int
	circle     int         // what refers to each other has the same number, once the circles are looked for
	outside    int         // references that it waits for and are not of the same circle
	dependents []dependent // until the resource exists
	followers  []int       // until the operation is done

	left []omission // what the resource was created without

	status int // of the answer
	tag    string
	err    *Error
}

// A dependent is an operation that refers to what another one creates.
type dependent struct {
	operation int
	needed    bool
}

type operationState uint8

const (
	pending  operationState = iota
	existing                // created without some of its references
	done
)

// bulk serves /Bulk. The answer is 200 whatever became of the operations, whose
// statuses are in it (section 3.7.3). It has them in the order of the request,
// so that a client that sent no bulkId can tell them apart. What was done is
// answered, not shown: a success has no "response", which RFC 7644 leaves to us,
// because the resources of a bulk request are many and its sender knows them;
// version and location say what it does not know.
func (x *exchange) bulk(ctx context.Context) error {
	if x.route.id != "" {
		return ErrNotFound
	}
	if x.r.Method != http.MethodPost {
		return x.methodNotAllowed("POST")
	}
	if s := x.q.scope; !s.Allows(WriteUsers) && !s.Allows(WriteGroups) { // no operation could succeed
		return refuseScope(WriteUsers.String() + " or " + WriteGroups.String())
	}
	body, err := x.holdBody(new(bytes.Buffer), x.engine.cfg.Limits.BulkBody)
	if err != nil {
		return err
	}
	b := &bulkJob{exchange: x, rewrite: rewriter{depth: x.engine.cfg.Limits.Depth}}
	if err := b.parse(body); err != nil {
		return err
	}
	b.relate()
	b.run(ctx)
	b.answerBulk(ctx)
	return nil
}

// run does the operations.
func (b *bulkJob) run(ctx context.Context) {
	for ; b.next < len(b.operations); b.next++ {
		if b.stopped(ctx) {
			return
		}
		if op := &b.operations[b.next]; op.waiting == 0 {
			b.do(ctx, b.next)
			b.wake(ctx)
		}
	}
	b.runCircles(ctx)
}

// stopped reports whether no operation is to be started any more: there were
// as many errors as the client allows, or it has hung up.
func (b *bulkJob) stopped(ctx context.Context) bool {
	return ctx.Err() != nil || b.failOnErrors > 0 && b.failed >= b.failOnErrors
}

// wake does the operations that waited for what was done last.
func (b *bulkJob) wake(ctx context.Context) {
	for len(b.woken) > 0 && !b.stopped(ctx) {
		i := b.woken[0]
		b.woken = b.woken[1:]
		b.do(ctx, i)
	}
}

// runCircles does what is left when everything has had its turn: operations
// that refer to each other, and those that wait for them. Of a circle that
// waits for nothing else, the first operation that can is begun without the
// references it cannot have yet, and the others follow by themselves.
func (b *bulkJob) runCircles(ctx context.Context) {
	b.findCircles()
	for {
		progress, stuck := false, -1
		for i := range b.operations {
			op := &b.operations[i]
			switch {
			case op.state != pending || op.method != http.MethodPost || op.outside > 0:
				continue
			case op.needed > 0:
				if stuck < 0 {
					stuck = i
				}
				continue
			}
			if b.stopped(ctx) {
				return
			}
			b.do(ctx, i)
			b.wake(ctx)
			progress = true
		}
		if !progress {
			if stuck < 0 || b.stopped(ctx) {
				return
			}
			b.operations[stuck].err = refuse(http.StatusConflict, "",
				"resources refer to each other in a circle, by attributes that are required; create one of them without the reference and add it afterwards, RFC 7644 section 3.7.1").because(ReasonSchema)
			b.do(ctx, stuck)
			b.wake(ctx)
		}
	}
}

// findCircles numbers the pending operations so that those that refer to each
// other, over others or not, have the same number: the strongly connected
// components, by Tarjan's algorithm.
func (b *bulkJob) findCircles() {
	order := make([]int, len(b.operations)) // in which they are visited, from 1
	visited := 0
	var open []int
	var visit func(i int) int
	visit = func(i int) (lowest int) {
		visited++
		order[i], lowest = visited, visited
		before := len(open)
		open = append(open, i)
		for _, to := range b.operations[i].references {
			switch other := &b.operations[to]; {
			case other.state != pending || other.circle > 0:
			case order[to] == 0:
				lowest = min(lowest, visit(to))
			default:
				lowest = min(lowest, order[to])
			}
		}
		if lowest == order[i] { // what was opened since is one circle
			for _, member := range open[before:] {
				b.operations[member].circle = lowest
			}
			open = open[:before]
		}
		return lowest
	}
	for i := range b.operations {
		if b.operations[i].state == pending && order[i] == 0 {
			visit(i)
		}
	}
	for i := range b.operations {
		op := &b.operations[i]
		if op.state != pending {
			continue
		}
		for _, to := range op.references {
			if other := &b.operations[to]; other.state == pending && other.circle != op.circle {
				op.outside++
			}
		}
	}
}

// do does an operation, or what is left of it, and lets those know that wait
// for it.
func (b *bulkJob) do(ctx context.Context, i int) {
	op := &b.operations[i]
	completes := op.state == existing
	var err error
	if completes {
		err = b.complete(ctx, op)
	} else {
		err = b.perform(ctx, op)
	}
	op.state = done
	switch {
	case err != nil:
		op.err = asError(err)
		op.status = op.err.Status
		b.failed++
	case op.waiting > 0:
		op.state = existing
	}
	if !completes {
		for _, d := range op.dependents {
			other := &b.operations[d.operation]
			if d.needed {
				other.needed--
			}
			if other.circle != op.circle {
				other.outside--
			}
			b.release(d.operation)
		}
	}
	if op.state == done {
		for _, follower := range op.followers {
			b.release(follower)
		}
	}
}

// release tells an operation that one of those it waits for is done. If it has
// not had its turn yet, that comes; one of a circle that was begun without what
// it waits for, and failed, has had it.
func (b *bulkJob) release(i int) {
	op := &b.operations[i]
	if op.waiting--; op.waiting == 0 && i < b.next && op.state != done {
		b.woken = append(b.woken, i)
	}
}

// perform does an operation as the request that it stands for. Its error is
// noted already.
func (b *bulkJob) perform(ctx context.Context, op *operation) error {
	var lost error
	if bulkID, ok := strings.CutPrefix(op.id, bulkIDPrefix); ok && op.err == nil {
		if id, ok := b.known(bulkID); ok {
			op.id = id
		} else {
			lost = refuseReference(bulkID)
		}
	}
	return b.asRequest(ctx, op.method, op.logPath(), func(ctx context.Context, q *request) error {
		q.Fired |= op.fired
		switch {
		case op.err != nil:
			return op.err
		case lost != nil:
			return lost
		}
		data, err := b.dataOf(op)
		if err != nil {
			return err
		}
		return b.apply(ctx, q, op, data)
	})
}

// apply calls the engine.
func (b *bulkJob) apply(ctx context.Context, q *request, op *operation, data []byte) error {
	e, match := b.engine, versionMatch(op.version)
	var r *Resource
	var err error
	switch op.method {
	case http.MethodPost:
		if r, err = e.create(ctx, q, op.typ, bodyOf(op.typ, data)); err == nil {
			op.id = r.id
		}
	case http.MethodPut:
		r, err = e.replace(ctx, q, op.typ, op.id, bodyOf(op.typ, data), match)
	case http.MethodPatch:
		r, _, err = e.modify(ctx, q, op.typ, op.id, bodyOf(op.typ, data), match, false)
	case http.MethodDelete:
		err = e.remove(ctx, q, op.typ, op.id, match)
	}
	if err != nil {
		return err
	}
	op.status = q.Status
	if r != nil {
		op.tag = r.version.ETag()
	}
	return nil
}

// dataOf returns the data of an operation with ids in the place of bulkIds.
// Where some are not known yet, op.left has what is missing from it.
func (b *bulkJob) dataOf(op *operation) ([]byte, error) {
	if len(op.references) == 0 {
		return op.data, nil
	}
	var lost error
	id := func(bulkID string) (string, bool) {
		id, ok := b.known(bulkID)
		if !ok && lost == nil && b.operations[b.creators[bulkID]].state == done {
			lost = refuseReference(bulkID)
		}
		return id, ok
	}
	var data []byte
	var err error
	if op.waiting > 0 {
		data, op.left, err = b.rewrite.reduce(op, id)
	} else {
		data, err = b.rewrite.resolve(op, func(bulkID string) string {
			s, _ := id(bulkID)
			return s
		})
	}
	return data, cmp.Or(lost, unacceptable(err))
}

// complete adds to a resource the values that it was created without.
func (b *bulkJob) complete(ctx context.Context, op *operation) error {
	err := b.asRequest(ctx, http.MethodPatch, op.logPath(), func(ctx context.Context, q *request) error {
		var lost error
		body, err := b.rewrite.completion(op.left, func(bulkID string) string {
			id, ok := b.known(bulkID)
			if !ok && lost == nil {
				lost = refuseReference(bulkID)
			}
			return id
		})
		if err = cmp.Or(lost, unacceptable(err)); err != nil {
			return err
		}
		r, _, err := b.engine.modify(ctx, q, op.typ, op.id, bodyOf(op.typ, body), "", false)
		if err == nil {
			op.tag = r.version.ETag()
		}
		return err
	})
	if err != nil {
		return incomplete(op, asError(err).Detail, err)
	}
	return nil
}

// incomplete is what a POST is answered whose resource was created, but not as
// the client meant it.
func incomplete(op *operation, why string, err error) *Error {
	var names []string
	for _, o := range op.left {
		names = append(names, o.attribute.Path())
	}
	if why == "" {
		why = "the service failed, and has logged why"
	}
	return &Error{
		Status: http.StatusConflict, Reason: ReasonNotFound, Err: err,
		Detail: "the resource was created without values of " + strings.Join(names, ", ") + ", because what they refer to did not exist yet, and they could not be added: " +
			why + "; add them with a PATCH of the resource, RFC 7644 section 3.7.1",
	}
}

// known returns the id of what the operation with that bulkId has created.
func (b *bulkJob) known(bulkID string) (string, bool) {
	i, ok := b.creators[bulkID]
	if !ok || b.operations[i].id == "" {
		return bulkIDPrefix + bulkID, false
	}
	return b.operations[i].id, true
}

func refuseReference(bulkID string) *Error {
	return refuse(http.StatusConflict, "", "it refers to the bulkId ", attr.Quote(bulkID),
		", whose operation failed; correct that one and send both again, RFC 7644 section 3.7.2").because(ReasonNotFound)
}

// asRequest does something as a request of its own, with a line in the log. A
// panic below fails this request alone: what the others have committed must be
// answered.
func (b *bulkJob) asRequest(ctx context.Context, method, path string, fn func(ctx context.Context, q *request) error) error {
	q := &request{
		LogEntry: LogEntry{
			ID: newRequestID(), Bulk: b.q.ID, Time: b.engine.cfg.Now(), Directory: b.q.Directory, Actor: b.q.Actor, UserAgent: b.q.UserAgent,
			Method: method, Path: path,
		},
		dir: b.q.dir, lenience: b.q.lenience, valid: b.q.valid,
	}
	err := survive(ctx, func(ctx context.Context) error { return fn(ctx, q) })
	if err != nil {
		err = b.note(q, err)
	}
	b.conclude(q)
	return err
}

func (op *operation) logPath() string {
	switch {
	case op.typ == nil:
		return strings.Clone(loggable(op.path))
	case op.method == http.MethodPost && op.id == "":
		return op.typ.Endpoint
	}
	return loggable(op.typ.Endpoint + "/" + op.id)
}

// relate finds out which operation waits for which.
func (b *bulkJob) relate() {
	b.creators = make(map[string]int)
	for i := range b.operations {
		op := &b.operations[i]
		if op.method != http.MethodPost || op.bulkID == "" {
			continue // a bulkId names what is created; others are only repeated in the answer
		}
		first, there := b.creators[op.bulkID]
		if !there {
			b.creators[op.bulkID] = i
			continue
		}
		// Which of them a reference means cannot be known, so it is none.
		for _, twin := range []*operation{&b.operations[first], op} {
			if twin.err == nil {
				twin.err = refuse(http.StatusBadRequest, InvalidValue, "the bulkId ", attr.Quote(op.bulkID), " is there twice; it must be unique in the request, RFC 7644 section 3.7")
			}
		}
	}
	last := make(map[Ref]int) // the operation on each resource that came last
	for i := range b.operations {
		op := &b.operations[i]
		if op.err != nil {
			continue
		}
		if op.method != http.MethodPost {
			if bulkID, ok := strings.CutPrefix(op.id, bulkIDPrefix); ok {
				creator, ok := b.creators[bulkID]
				if !ok {
					op.err = undefinedReference(bulkID)
					continue
				}
				b.follow(i, creator)
			}
			ref := b.q.ref(op.typ, op.id)
			if before, ok := last[ref]; ok {
				b.follow(i, before)
			}
			last[ref] = i
		}
		if err := b.depend(i, op); err != nil {
			op.err = asError(unacceptable(err))
		}
	}
}

// follow makes an operation wait until another one is done.
func (b *bulkJob) follow(i, before int) {
	b.operations[i].waiting++
	b.operations[before].followers = append(b.operations[before].followers, i)
}

// depend makes an operation wait for the resources that its data refers to.
func (b *bulkJob) depend(i int, op *operation) error {
	var undefined error
	needed := map[int]bool{}
	err := b.rewrite.references(op, func(r reference) bool {
		to, ok := b.creators[r.bulkID]
		if !ok {
			undefined = undefinedReference(r.bulkID)
			return false
		}
		if _, there := needed[to]; !there {
			op.references = append(op.references, to)
		}
		needed[to] = r.needed
		return true
	})
	if err = cmp.Or(err, undefined); err != nil {
		return err
	}
	for _, to := range op.references {
		op.waiting++
		if needed[to] {
			op.needed++
		}
		b.operations[to].dependents = append(b.operations[to].dependents, dependent{i, needed[to]})
	}
	return nil
}

func undefinedReference(bulkID string) *Error {
	return refuse(http.StatusConflict, "", "it refers to the bulkId ", attr.Quote(bulkID),
		", which no POST of the request has; send the operation that creates the resource in the same request, RFC 7644 section 3.7.2").because(ReasonNotFound)
}

// answerBulk sends what became of the operations. Those that were not done are
// not in it.
func (b *bulkJob) answerBulk(ctx context.Context) {
	processed := 0
	base := b.base()
	out := append(b.out[:0], `{"schemas":["`+bulkResponseSchema+`"],"Operations":[`...)
	for i := range b.operations {
		op := &b.operations[i]
		if op.state == pending {
			continue
		}
		if op.state == existing {
			op.err = incomplete(op, "processing stopped before", nil)
			op.status = op.err.Status
		}
		if processed > 0 {
			out = append(out, ',')
		}
		processed++
		out = op.append(out, base)
	}
	if processed < len(b.operations) {
		why := fmt.Sprintf("it stopped after %d errors, as failOnErrors asks", b.failed)
		if ctx.Err() != nil {
			why = "the client did not wait"
		}
		b.q.Detail = fmt.Sprintf("%d of %d operations were done: %s", processed, len(b.operations), why)
	}
	b.out = append(out, "]}"...)
	b.send(http.StatusOK)
}

// append appends the result of an operation, RFC 7644 section 3.7.3.
func (op *operation) append(b []byte, base string) []byte {
	b = append(b, '{')
	if op.typ != nil && op.id != "" {
		b = append(b, `"location":"`...)
		b = append(appendLocation(b, base, op.typ, op.id), `",`...)
	}
	if op.method != "" {
		b = append(b, `"method":`...)
		b, _ = wire.AppendString(b, op.method)
		b = append(b, ',')
	}
	if op.bulkID != "" {
		b = append(b, `"bulkId":`...)
		b, _ = wire.AppendString(b, op.bulkID)
		b = append(b, ',')
	}
	if op.tag != "" {
		b = append(b, `"version":`...)
		b, _ = wire.AppendString(b, op.tag)
		b = append(b, ',')
	}
	b = append(b, `"status":"`...)
	b = strconv.AppendInt(b, int64(op.status), 10)
	b = append(b, '"')
	if op.err != nil {
		b = append(b, `,"response":`...)
		b = appendError(b, op.err)
	}
	return append(b, '}')
}
