package patch

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/internal/pace"
	"github.com/muster-id/scim/internal/wire"
)

// readers are used again, because they are large.
var readers = sync.Pool{New: func() any { return new(wire.Reader) }}

func borrow(text []byte, depth int) *wire.Reader {
	r := readers.Get().(*wire.Reader)
	r.Reset(text, depth)
	return r
}

func giveBack(r *wire.Reader) {
	r.Reset(nil, 0)
	readers.Put(r)
}

// A parser reads one body.
type parser struct {
	*Patch
	most       int // operations, and filters in paths
	filters    int
	selections int
	apart      *attr.Attribute // Options.Members
	steps      []step

	// The operation at hand.
	index int
	op    op

	// What streams has allowed to be read with the operation.
	sent    []Member
	hasSent bool

	gathered *gatherer
	pace     pace.Pace
}

// Parse reads the body of a PATCH request for a resource of the type. The error
// is an [*attr.Error] that names the operation, the attribute, the rule and the
// remedy. The Patch is not nil beside an error, for the request log: what
// [Patch.Fired] and [Patch.Ignored] return of it is what was passed over before.
// Nothing else may be done with it.
func Parse(body []byte, t *attr.Type, o Options) (*Patch, error) {
	r := borrow(body, o.Limits.Depth)
	defer giveBack(r)
	return parse(r, t, o)
}

// ParseStream is [Parse] for a body that may be too large to be held, because it
// names very many members: where op and path come before the value, members are
// read as they come; any other value is held. An error of body that is not
// [io.EOF] is returned as it is.
func ParseStream(body io.Reader, t *attr.Type, o Options) (*Patch, error) {
	r := wire.Stream(body, o.Limits.Depth)
	defer r.Release()
	return parse(r, t, o)
}

func parse(r *wire.Reader, t *attr.Type, o Options) (*Patch, error) {
	p := parser{Patch: &Patch{typ: t, lenience: o.Lenience, limits: o.Limits, length: o.FilterLength}, most: o.Operations, apart: o.Members}
	p.operations = p.few[:0]
	if p.most == 0 {
		p.most = 1000
	}
	if err := p.body(r); err != nil {
		return &Patch{typ: t, fired: p.fired, ignored: p.ignored}, err
	}
	if p.steps != nil {
		p.members = newMembership(p.typ, p.apart, p.steps)
	}
	return p.Patch, nil
}

// syntax makes an error of the JSON one that may be sent. Others are those of
// what a stream comes from.
func syntax(err error) error {
	if !errors.As(err, new(*wire.SyntaxError)) {
		return err
	}
	return &attr.Error{Type: attr.InvalidSyntax, Detail: "the request body is not acceptable: " + err.Error()}
}

func malformed(parts ...string) error {
	return &attr.Error{Type: attr.InvalidSyntax, Detail: strings.Join(parts, "")}
}

func (p *parser) body(r *wire.Reader) error {
	switch r.Kind() {
	case '{':
	case 0:
		if err := r.Skip(); err != nil {
			return syntax(err)
		}
		fallthrough
	default:
		return malformed("the body must be one JSON object with schemas and Operations, RFC 7644 section 3.5.2")
	}
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	var named, there bool
	for r.More() {
		name, err := r.String()
		if err != nil {
			return syntax(err)
		}
		switch {
		case name == "Operations" || strings.EqualFold(name, "Operations") && p.allow(attr.OperationsName):
			if there {
				return malformed("Operations is there twice")
			}
			there = true
			err = p.list(r)
		case strings.EqualFold(name, "schemas"):
			named, err = p.schemas(r, named)
		default:
			if err = r.Skip(); err != nil {
				err = syntax(err)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	if err := r.Close(); err != nil {
		return syntax(err)
	}
	if !there {
		return malformed("the body has no Operations, RFC 7644 section 3.5.2; send an array of them under that name")
	}
	if !named && !p.allow(attr.OddSchemas) {
		return malformed("schemas must name ", URN, ", RFC 7644 section 3.5.2")
	}
	return nil
}

// schemas looks for the URN of a PATCH request.
func (p *parser) schemas(r *wire.Reader, named bool) (bool, error) {
	if r.Kind() != '[' {
		if err := r.Skip(); err != nil {
			return false, syntax(err)
		}
		return named, nil
	}
	if err := r.Begin(); err != nil {
		return false, syntax(err)
	}
	for r.More() {
		if r.Kind() != '"' {
			if err := r.Skip(); err != nil {
				return false, syntax(err)
			}
			continue
		}
		urn, err := r.String()
		if err != nil {
			return false, syntax(err)
		}
		named = named || strings.EqualFold(urn, URN)
	}
	if err := r.End(); err != nil {
		return false, syntax(err)
	}
	return named, nil
}

// list reads the operations.
func (p *parser) list(r *wire.Reader) error {
	switch r.Kind() {
	case '[':
	case 0:
		return syntax(r.Skip())
	default:
		return malformed("Operations must be an array, RFC 7644 section 3.5.2")
	}
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	for ; r.More(); p.index++ {
		if p.index == p.most {
			return &attr.Error{Type: attr.TooMany, Detail: "the request has more than " + strconv.Itoa(p.most) + " operations; send several requests"}
		}
		if err := p.operation(r); err != nil {
			return err
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	return nil
}

// operation reads one operation. Its members come in any order, so nothing is
// resolved before the last.
func (p *parser) operation(r *wire.Reader) error {
	if r.Kind() != '{' {
		return p.fail(attr.InvalidSyntax, "an operation is an object with op, path and value")
	}
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	var name, path string
	var value []byte
	var named, pathed, valued bool
	p.sent, p.hasSent = nil, false
	for r.More() {
		key, err := r.String()
		if err != nil {
			return syntax(err)
		}
		switch {
		case strings.EqualFold(key, "op"):
			if named {
				return p.fail(attr.InvalidSyntax, "op is there twice")
			}
			switch r.Kind() {
			case '"':
			case 0:
				return syntax(r.Skip())
			default:
				return p.fail(attr.InvalidSyntax, "op must be a string: add, replace or remove")
			}
			named = true
			name, err = r.String()
			name = r.Keep(name)
		case strings.EqualFold(key, "path"):
			switch {
			case pathed:
				return p.fail(attr.InvalidSyntax, "path is there twice")
			case r.Kind() == '"':
				pathed = true
				path, err = r.String()
				path = r.Keep(path)
			case r.Kind() == 'n':
				err = r.Skip()
			default:
				if err := r.Skip(); err != nil {
					return syntax(err) // it is broken off, rather than something else
				}
				return p.fail(attr.InvalidPath, "path must be a string")
			}
		case strings.EqualFold(key, "value"):
			if valued {
				return p.fail(attr.InvalidSyntax, "value is there twice")
			}
			valued = true
			if p.hasSent = p.streams(r, name, path); p.hasSent {
				if p.sent, err = p.readMembers(r); err != nil {
					return p.explainSent(err, name, path)
				}
				value = []byte("[]") // stands for them
				break
			}
			value, err = r.Raw()
		default:
			err = r.Skip()
		}
		if err != nil {
			return syntax(err)
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	if !named {
		return p.fail(attr.InvalidSyntax, "op is missing; it must be add, replace or remove")
	}
	if err := p.operator(name); err != nil {
		return err
	}
	if path == "" && pathed && p.allow(attr.Blank) {
		pathed = false
	}
	return p.resolve(path, pathed, value)
}

// streams reports whether the value that comes next are members that can be read
// as they come: op and path are known and the value is a list, which needs no
// second look.
func (p *parser) streams(r *wire.Reader, name, path string) bool {
	if p.apart == nil || path == "" || r.Kind() != '[' {
		return false
	}
	switch {
	case strings.EqualFold(name, opNames[add]), strings.EqualFold(name, opNames[replace]):
	case strings.EqualFold(name, opNames[remove]) && p.lenience.Has(attr.RemoveByValue):
	default:
		return false
	}
	a, _ := p.typ.Lookup(path, p.lenience)
	return a == p.apart
}

// explainSent says of an error in members which operation it comes from.
func (p *parser) explainSent(err error, name, path string) error {
	if err := p.operator(name); err != nil {
		return err
	}
	target, pathErr := p.path(path)
	if pathErr != nil {
		return pathErr
	}
	o := newOperation(p.op, p.index, target, nil)
	return o.explain(err)
}

func (p *parser) operator(name string) error {
	for kind, known := range opNames {
		if name == known || strings.EqualFold(name, known) && p.allow(attr.OperationCase) {
			p.op = op(kind)
			return nil
		}
	}
	return p.fail(attr.InvalidSyntax, "op must be add, replace or remove, not ", attr.Quote(name))
}

// fail returns an error about the operation at hand, before it is resolved.
func (p *parser) fail(t attr.ErrorType, parts ...string) error {
	return failure(t, p.index, "", parts...)
}

// resolve finds what the operation works on.
func (p *parser) resolve(path string, pathed bool, value []byte) error {
	if p.op == remove && isNull(value) {
		value = nil
	}
	if p.op != remove && value == nil {
		return p.fail(attr.InvalidValue, opNames[p.op], " needs a value, RFC 7644 section 3.5.2; to unassign the attribute send null or use remove")
	}
	// The URN of the type's own schema alone stands for the resource.
	if !pathed || strings.EqualFold(path, p.typ.Schema.ID) {
		if p.op == remove {
			return p.fail(attr.NoTarget, "remove needs a path, RFC 7644 section 3.5.2.2")
		}
		return p.whole(value)
	}
	target, err := p.path(path)
	if err != nil {
		if errors.Is(err, filter.ErrUnknown) && p.allow(attr.UnknownAttribute) {
			p.ignored.Add(path)
			return nil
		}
		return locate(err, p.index, opNames[p.op])
	}
	return p.put(target, value, false)
}

// path resolves a path. Most are plain names, which need no parser.
func (p *parser) path(path string) (filter.Path, error) {
	if strings.IndexByte(path, '[') < 0 {
		if a, fired := p.typ.Lookup(path, p.lenience); a != nil {
			p.fired |= fired
			return filter.Path{Attr: a}, nil
		}
	}
	target, fired, err := filter.ParsePath(path, p.typ, filter.Options{Lenience: p.lenience, Depth: p.limits.Depth, Length: p.length})
	if err != nil {
		return filter.Path{}, err
	}
	p.fired |= fired
	return target, nil
}

// whole reads the value of an operation without path: attributes of the
// resource.
func (p *parser) whole(value []byte) error {
	if value[0] == '"' && p.lenience.Has(attr.StringifiedObject) {
		r := borrow(value, p.limits.Depth)
		defer giveBack(r)
		inner, err := r.String()
		if err != nil {
			return syntax(err)
		}
		if inner = strings.TrimSpace(inner); strings.HasPrefix(inner, "{") {
			p.fired |= attr.StringifiedObject
			value = []byte(inner)
		}
	}
	if value[0] == '[' && p.lenience.Has(attr.SingleInArray) {
		single, err := p.single(value)
		if err != nil {
			return err
		}
		value = single
	}
	if value[0] != '{' {
		return p.fail(attr.InvalidValue, "without path the value must be an object of attributes, RFC 7644 section 3.5.2; send one, or a path")
	}
	return p.attributes(nil, value)
}

// single returns the object that is the one element of an array, or the array
// where it is something else.
func (p *parser) single(array []byte) ([]byte, error) {
	r := borrow(array, p.limits.Depth)
	defer giveBack(r)
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	if !r.More() {
		return array, nil
	}
	element, err := r.Raw()
	if err != nil {
		return nil, syntax(err)
	}
	if r.More() || element[0] != '{' {
		return array, nil
	}
	p.fired |= attr.SingleInArray
	return element, nil
}

// attributes reads an object of attributes of an extension, or of the document
// where it is nil, as one operation for each.
func (p *parser) attributes(extension *attr.Attribute, value []byte) error {
	r := borrow(value, p.limits.Depth)
	defer giveBack(r)
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	var seen [16]uint64 // by attribute
	for r.More() {
		name, err := r.String()
		if err != nil {
			return syntax(err)
		}
		raw, err := r.Raw()
		if err != nil {
			return syntax(err)
		}
		target, err := p.key(extension, name)
		if err != nil {
			if !errors.Is(err, filter.ErrUnknown) {
				return locate(err, p.index, opNames[p.op])
			}
			if !p.allow(attr.UnknownAttribute) {
				of := "schemas"
				if extension != nil {
					of = "extension " + extension.Name
				}
				return p.fail(attr.InvalidPath, "the attribute ", attr.Quote(name), " is not defined by the ", of, " of ", p.typ.Name, "; leave it out")
			}
			if extension != nil {
				name = extension.Name + ":" + name
			}
			p.ignored.Add(name)
			continue
		}
		if at := target.Attr.Index(); target.Filter == nil && at < 64*len(seen) {
			if bit := uint64(1) << (at % 64); seen[at/64]&bit == 0 {
				seen[at/64] |= bit
			} else {
				return p.fail(attr.InvalidSyntax, "the attribute ", target.Attr.Path(), " is there twice; attribute names do not depend on case")
			}
		}
		if err := p.put(target, raw, true); err != nil {
			return err
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	if err := r.Close(); err != nil {
		return syntax(err)
	}
	return nil
}

// key resolves the name of an attribute in the value of an operation. Where it
// is more than a name it is a path.
func (p *parser) key(extension *attr.Attribute, name string) (filter.Path, error) {
	of := extension
	if of == nil {
		of = p.typ.Root()
	}
	if a := of.Sub(name); a != nil {
		return filter.Path{Attr: a}, nil
	}
	path := name
	if extension != nil {
		path = extension.Name + ":" + name
	}
	plain := !strings.ContainsAny(name, ".:[")
	if !plain && !p.lenience.Has(attr.DottedKeys) || plain && extension != nil {
		return filter.Path{}, filter.ErrUnknown
	}
	target, err := p.path(path)
	switch {
	case err != nil && strings.IndexByte(name, '[') < 0:
		return filter.Path{}, filter.ErrUnknown // a JSON name can be anything
	case err == nil && !plain:
		p.fired |= attr.DottedKeys
	}
	return target, err
}

// put adds what is done to one attribute. listed says that the attribute is one
// of a value's, where a client lists what it has read.
func (p *parser) put(path filter.Path, raw []byte, listed bool) error {
	o := newOperation(p.op, p.index, path, raw)
	if o.filter != nil {
		if p.filters++; p.filters > p.most {
			return &attr.Error{Type: attr.TooMany, Detail: "the request has more than " + strconv.Itoa(p.most) + " filters in paths; send several requests"}
		}
	}
	switch {
	case listed && (o.has(attr.ReadOnly) || o.holder == p.typ.Schemas) && p.allow(attr.ReadOnlyInValue):
		return nil
	case o.has(attr.ReadOnly):
		return o.fail(attr.Mutable, o.target().Path(), " is read-only, RFC 7643 section 7; leave it out")
	case p.apart != nil && o.holder == p.apart:
		return p.membership(&o)
	case o.holder.Extension && o.op != remove && raw[0] == '{':
		return p.attributes(o.holder, raw)
	case o.holder.Extension && o.op != remove && !isNull(raw) && string(raw) != "[]" && (string(raw) != `""` || !p.allow(attr.Blank)):
		return o.fail(attr.InvalidValue, "the value for an extension must be an object of its attributes")
	}
	p.operations = append(p.operations, o)
	return nil
}

func isNull(raw []byte) bool { return string(raw) == "null" }
