// Package patch is SCIM's PATCH: operations that add, replace and remove what
// a resource says (RFC 7644 section 3.5.2).
//
// [Parse] reads a body and resolves every path against the resource type. What
// concerns the members of a group comes out of it as a [Membership], in
// whatever form a provider wrote it, so that a store can add and remove members
// without reading the others. The rest is applied to a document by
// [Patch.Apply].
//
// An operation without path is read as one operation for each attribute in its
// value; so is one whose path is an extension. There is then one way in which
// anything is changed:
//
//   - The value of a complex attribute is merged: sub-attributes that it does
//     not mention stay, those it says are null or empty go.
//   - Add appends to a multi-valued attribute what it does not have; replace
//     puts new values in the place of all. With a filter in the path, both merge
//     into every value that it selects.
//   - What is removed or becomes unassigned must not be required.
//
// The package is pure: no I/O, no clock, nothing global that changes but
// memory that is used again.
package patch

import (
	"errors"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// URN identifies the body of a PATCH request, RFC 7644 section 3.5.2.
const URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// Options say how a body is read.
type Options struct {
	Lenience attr.Lenience
	// Operations bounds the operations of a request, and as well the filters in
	// its paths, each of which looks at all values of its attribute. 0 means
	// 1000.
	Operations int
	// FilterLength bounds a path with a filter, in bytes. 0 means
	// [filter.DefaultLength].
	FilterLength int
	// Limits bounds the values. Depth bounds the filters in paths as well.
	Limits attr.Limits
	// Members is the multi-valued attribute whose values are kept apart from
	// the document; operations on it become the [Membership]. Nil: there is none.
	Members *attr.Attribute
}

// A Patch is a parsed request, resolved against a resource type. It is not safe
// for concurrent use, and views the body it was parsed from.
type Patch struct {
	typ      *attr.Type
	lenience attr.Lenience
	limits   attr.Limits
	length   int // Options.FilterLength

	operations []operation
	few        [2]operation // where operations begins, to save an allocation
	members    *Membership

	fired   attr.Lenience
	ignored attr.Ignored
}

// op is what an operation does, RFC 7644 section 3.5.2.
type op uint8

const (
	add op = iota
	replace
	remove
)

var opNames = [...]string{"add", "replace", "remove"}

// An operation changes one attribute, or one sub-attribute of it.
type operation struct {
	op    op
	index int // in Operations
	// holder is the attribute that stands at the top of the document or of an
	// extension, or it is the extension.
	holder *attr.Attribute
	filter filter.Expr     // selects among the values of holder; nil: all of them
	sub    *attr.Attribute // of holder; nil: the whole value
	raw    []byte          // the value as JSON; nil: a remove operation has none
}

// newOperation resolves what the path points at.
func newOperation(kind op, index int, path filter.Path, raw []byte) operation {
	o := operation{op: kind, index: index, holder: path.Attr, filter: path.Filter, sub: path.Sub, raw: raw}
	if up := path.Attr.Parent; up != nil && !up.Extension {
		o.holder, o.sub = up, path.Attr
	}
	return o
}

// target returns the attribute that the operation changes.
func (o *operation) target() *attr.Attribute {
	if o.sub != nil {
		return o.sub
	}
	return o.holder
}

// has reports whether the operation's target, or what it is part of, has the
// mutability.
func (o *operation) has(m attr.Mutability) bool {
	return o.holder.Mutability == m || o.sub != nil && o.sub.Mutability == m
}

// path returns the operation's path in canonical form.
func (o *operation) path() string {
	if o.filter == nil {
		return o.target().Path()
	}
	return filter.Path{Attr: o.holder, Filter: o.filter, Sub: o.sub}.String()
}

// fail returns an error that says which operation is wrong.
func (o *operation) fail(t attr.ErrorType, parts ...string) error {
	return failure(t, o.index, opNames[o.op]+" "+o.path(), parts...)
}

// explain says of an error which operation it comes from.
func (o *operation) explain(err error) error {
	return locate(err, o.index, opNames[o.op]+" "+o.path())
}

func failure(t attr.ErrorType, index int, what string, parts ...string) error {
	return &attr.Error{Type: t, Detail: where(index, what) + strings.Join(parts, "")}
}

// locate puts the place before the detail of an [*attr.Error].
func locate(err error, index int, what string) error {
	var e *attr.Error
	if !errors.As(err, &e) {
		return err
	}
	return &attr.Error{Type: e.Type, Detail: where(index, what) + e.Detail}
}

func where(index int, what string) string {
	s := "Operations[" + strconv.Itoa(index) + "]"
	if what != "" {
		s += " (" + what + ")"
	}
	return s + ": "
}

// Members returns what the request does to the attribute that is kept apart
// ([Options.Members]), nil if no operation is on it.
func (p *Patch) Members() *Membership { return p.members }

// OnlyMembers reports whether the request does nothing but change members.
// What was ignored does nothing.
func (p *Patch) OnlyMembers() bool { return p.members != nil && len(p.operations) == 0 }

// Fired returns the tolerances that were needed to read the request, and after
// [Patch.Apply] also those to apply it, each as far as it went.
func (p *Patch) Fired() attr.Lenience { return p.fired }

// Ignored returns the names of attributes that the type does not have and that
// were passed over because of [attr.UnknownAttribute], as the client spelled
// them, for the request log. It lists a hundred at most.
func (p *Patch) Ignored() []string { return p.ignored }

// note takes over what decoding into d passed over.
func (p *Patch) note(d *attr.Doc) {
	p.fired |= d.Fired()
	for _, name := range d.Ignored() {
		p.ignored.Add(name)
	}
}

// allow reports whether the tolerance is on, and notes that it was needed.
func (p *Patch) allow(what attr.Lenience) bool {
	if p.lenience&what == 0 {
		return false
	}
	p.fired |= what
	return true
}
