package scim

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
	"github.com/muster-id/scim/patch"
)

// bulkIDPrefix begins a value that stands for the id of a resource which an
// operation of the same bulk request creates, RFC 7644 section 3.7.2. No id can
// begin with it, RFC 7643 section 3.1.
const bulkIDPrefix = "bulkId:"

// A reference is the bulkId that something refers to.
type reference struct {
	bulkID string
	needed bool // by an attribute that a resource cannot be created without
}

// A rewriter goes through the data of an operation and puts ids in the place of
// bulkIds. A reference is a string that consists of nothing else, in any
// attribute that a client can write: which of them are references and which
// plain strings is for schemas to say, and manager.value is one of the latter.
type rewriter struct {
	depth  int
	reader wire.Reader // of the resource
	value  wire.Reader // of one value in it
	out    []byte

	// swap returns what stands in the place of a reference.
	swap func(bulkID string) string
}

// mayRefer reports whether there can be a reference in the JSON: it has the
// prefix in plain text, or an escape that could be part of it.
func mayRefer(data []byte) bool {
	return bytes.Contains(data, []byte(bulkIDPrefix)) || bytes.IndexByte(data, '\\') >= 0
}

// references lists what the data of an operation refers to, each bulkId once.
// more returns whether to go on after one that is new.
func (w *rewriter) references(op *operation, more func(reference) bool) error {
	if !mayRefer(op.data) {
		return nil
	}
	seen := map[string]bool{} // and whether it is needed
	on, needed := true, false
	w.swap = func(bulkID string) string {
		if was, there := seen[bulkID]; on && (!there || needed && !was) {
			seen[bulkID] = needed
			on = more(reference{bulkID, needed})
		}
		return ""
	}
	if op.method == http.MethodPatch {
		return w.whole(op.data)
	}
	return w.resource(op, func(a *attr.Attribute, raw []byte) (bool, error) {
		needed = a.Required && op.method == http.MethodPost
		return true, w.text(raw)
	})
}

// resolve returns the data of an operation with an id for each reference.
func (w *rewriter) resolve(op *operation, id func(bulkID string) string) ([]byte, error) {
	w.swap = id
	var err error
	if op.method == http.MethodPatch {
		err = w.whole(op.data)
	} else {
		err = w.resource(op, func(_ *attr.Attribute, raw []byte) (bool, error) { return true, w.text(raw) })
	}
	return bytes.Clone(w.out), err
}

// An omission is a value, or values of a list, that a resource was created
// without because what they refer to did not exist.
type omission struct {
	attribute *attr.Attribute
	values    [][]byte // as they were sent
	list      bool
}

// reduce returns the data of an operation without the values that refer to what
// has no id yet: elements of a list, otherwise all of an attribute, because
// what else stands in a complex value is about the same thing.
func (w *rewriter) reduce(op *operation, id func(bulkID string) (id string, ok bool)) (data []byte, left []omission, err error) {
	unknown := false
	w.swap = func(bulkID string) string {
		s, ok := id(bulkID)
		unknown = unknown || !ok
		return s
	}
	known := func(raw []byte) (bool, error) {
		unknown = false
		mark := len(w.out)
		err := w.text(raw)
		if unknown {
			w.out = w.out[:mark]
		}
		return !unknown, err
	}
	seen := map[*attr.Attribute]bool{} // what is left out, decoding does not see
	err = w.resource(op, func(a *attr.Attribute, raw []byte) (bool, error) {
		if seen[a] {
			return false, refuse(http.StatusBadRequest, InvalidSyntax, "the attribute ", a.Path(), " is there twice; attribute names do not depend on case")
		}
		seen[a] = true
		if !a.MultiValued || raw[0] != '[' {
			ok, err := known(raw)
			if !ok {
				left = append(left, omission{attribute: a, values: [][]byte{raw}})
			}
			return ok, err
		}
		var without [][]byte
		var values wire.Reader
		values.Reset(raw, w.depth)
		if err := values.Begin(); err != nil {
			return false, err
		}
		w.out = append(w.out, '[')
		open := len(w.out)
		for values.More() {
			one, err := values.Raw()
			if err != nil {
				return false, err
			}
			mark := len(w.out)
			if mark > open {
				w.out = append(w.out, ',')
			}
			ok, err := known(one)
			if err != nil {
				return false, err
			}
			if !ok {
				w.out = w.out[:mark]
				without = append(without, one)
			}
		}
		w.out = append(w.out, ']')
		if without != nil {
			left = append(left, omission{a, without, true})
		}
		return true, values.End()
	})
	return bytes.Clone(w.out), left, err
}

// completion returns the PATCH that adds what a resource was created without.
func (w *rewriter) completion(left []omission, id func(bulkID string) string) ([]byte, error) {
	w.swap = id
	w.out = append(w.out[:0], `{"schemas":["`+patch.URN+`"],"Operations":[`...)
	for i, o := range left {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, `{"op":"add","path":`...)
		w.out, _ = wire.AppendString(w.out, o.attribute.Path())
		w.out = append(w.out, `,"value":`...)
		if o.list {
			w.out = append(w.out, '[')
		}
		for j, raw := range o.values {
			if j > 0 {
				w.out = append(w.out, ',')
			}
			if err := w.text(raw); err != nil {
				return nil, err
			}
		}
		if o.list {
			w.out = append(w.out, ']')
		}
		w.out = append(w.out, '}')
	}
	w.out = append(w.out, "]}"...)
	return bytes.Clone(w.out), nil
}

// whole rewrites all of the data.
func (w *rewriter) whole(data []byte) error {
	w.out = w.out[:0]
	return w.text(data)
}

// resource rewrites the JSON of a resource. visit is called with each value that
// a client can write, appends to w.out what is to stand there, and reports
// whether the attribute stays. What the schema does not have or a client cannot
// write is nobody's reference: decoding passes it over or refuses it.
func (w *rewriter) resource(op *operation, visit func(a *attr.Attribute, raw []byte) (bool, error)) error {
	w.out = w.out[:0]
	w.reader.Reset(op.data, w.depth)
	if w.reader.Kind() != '{' {
		w.out = append(w.out, op.data...) // which decoding refuses
		return nil
	}
	return w.object(op.typ, op.typ.Root(), visit)
}

// object rewrites the attributes of a resource, or of one of its extensions.
func (w *rewriter) object(t *ResourceType, in *attr.Attribute, visit func(a *attr.Attribute, raw []byte) (bool, error)) error {
	r := &w.reader
	if err := r.Begin(); err != nil {
		return err
	}
	w.out = append(w.out, '{')
	open := len(w.out)
	for r.More() {
		name, err := r.String()
		if err != nil {
			return err
		}
		mark := len(w.out)
		if mark > open {
			w.out = append(w.out, ',')
		}
		w.out, _ = wire.AppendString(w.out, name)
		w.out = append(w.out, ':')
		a := in.Sub(name)
		if a != nil && a.Extension && r.Kind() == '{' {
			if err := w.object(t, a, visit); err != nil {
				return err
			}
			continue
		}
		raw, err := r.Raw()
		if err != nil {
			return err
		}
		if a == nil || a.Mutability == attr.ReadOnly || a.Dropped || a == t.Schemas || a == t.Meta {
			w.out = append(w.out, raw...)
			continue
		}
		stays, err := visit(a, raw)
		if err != nil {
			return err
		}
		if !stays {
			w.out = w.out[:mark]
		}
	}
	w.out = append(w.out, '}')
	return r.End()
}

// text rewrites one JSON value.
func (w *rewriter) text(raw []byte) error {
	if !mayRefer(raw) {
		w.out = append(w.out, raw...)
		return nil
	}
	w.value.Reset(raw, w.depth)
	return w.tokens()
}

// tokens rewrites the value that comes next. The reader bounds the depth.
func (w *rewriter) tokens() error {
	r := &w.value
	kind := r.Kind()
	switch kind {
	case '{', '[':
	case '"':
		s, err := r.String()
		if err != nil {
			return err
		}
		if bulkID, ok := strings.CutPrefix(s, bulkIDPrefix); ok {
			s = w.swap(bulkID)
		}
		w.out, _ = wire.AppendString(w.out, s)
		return nil
	default:
		s, err := r.Scalar()
		w.out = append(w.out, s...)
		return err
	}
	if err := r.Begin(); err != nil {
		return err
	}
	w.out = append(w.out, byte(kind))
	open := len(w.out)
	for r.More() {
		if len(w.out) > open {
			w.out = append(w.out, ',')
		}
		if kind == '{' {
			name, err := r.String()
			if err != nil {
				return err
			}
			w.out, _ = wire.AppendString(w.out, name)
			w.out = append(w.out, ':')
		}
		if err := w.tokens(); err != nil {
			return err
		}
	}
	w.out = append(w.out, byte(kind)+2) // in ASCII, what closes stands two after what opens
	return r.End()
}
