package attr

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/internal/wire"
)

// Limits bounds what is decoded.
type Limits struct {
	Depth int // levels of nesting; 0 means 32
}

// Decode reads a resource's JSON into the empty document d: every name is
// resolved against the schema, every value becomes what its attribute's type
// says. What a client cannot set (read-only attributes, RFC 7644 section 3.3)
// is left out; null and empty arrays are no values (RFC 7643 section 2.5).
// Strings may be views of body. The error is an [*Error].
func (d *Doc) Decode(body []byte, l Lenience, limits Limits) error {
	d.reader.Reset(body, limits.Depth)
	r := &d.reader
	if k := r.Kind(); k != '{' {
		if k == 0 {
			if err := r.Skip(); err != nil {
				return syntax(err)
			}
		}
		return errorOf(InvalidSyntax, "the body must be one JSON object, RFC 7644 section 3.1")
	}
	if err := d.object(d.root, l); err != nil {
		return err
	}
	if err := r.Close(); err != nil {
		return syntax(err)
	}
	return nil
}

// DecodeValue reads a JSON value for the attribute a, or for one value of a
// where a is multi-valued and one is set. A list is accepted for a multi-valued
// attribute, and one value of it likewise, as RFC 7644 section 3.5.2.1 has it.
// The node is nil if the value is unassigned: null, or an empty array.
func (d *Doc) DecodeValue(raw []byte, a *Attribute, one bool, l Lenience, limits Limits) (*Node, error) {
	d.reader.Reset(raw, limits.Depth)
	var n *Node
	var err error
	switch {
	case one:
		n, err = d.single(a, l)
	default:
		fired := d.fired
		n, err = d.value(a, l|ArrayMissing)
		d.fired = fired | d.fired&^ArrayMissing
	}
	if err != nil {
		return nil, err
	}
	if err := d.reader.Close(); err != nil {
		return nil, syntax(err)
	}
	return n, nil
}

func syntax(err error) error {
	return errorOf(InvalidSyntax, "the request body is not acceptable: ", err.Error())
}

// allow reports whether the tolerance is on, and notes that it was needed.
func (d *Doc) allow(l, what Lenience) bool {
	if l&what == 0 {
		return false
	}
	d.fired |= what
	return true
}

// object reads the members of an object into n.
func (d *Doc) object(n *Node, l Lenience) error {
	r := &d.reader
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	var seen [4]uint64 // by index below n's attribute; a long extension falls back to Child
	for r.More() {
		name, err := r.String()
		if err != nil {
			return syntax(err)
		}
		a := n.attr.names.find(name)
		if a == nil {
			if !d.allow(l, UnknownAttribute) {
				return errorOf(InvalidSyntax, "the attribute ", Quote(name), " is not defined by the schemas of ", d.typ.Name, "; leave it out")
			}
			if err := r.Skip(); err != nil {
				return syntax(err)
			}
			continue
		}
		if at := int(a.index - n.attr.index); at < 64*len(seen) {
			if bit := uint64(1) << (at % 64); seen[at/64]&bit == 0 {
				seen[at/64] |= bit
			} else {
				return duplicate(a)
			}
		} else if n.Child(a) != nil {
			return duplicate(a)
		}
		if a == d.typ.Schemas {
			err = d.schemas(l)
		} else if a.Mutability == ReadOnly || a.Dropped {
			err = r.Skip()
			if err != nil {
				err = syntax(err)
			}
		} else {
			var c *Node
			if c, err = d.value(a, l); c != nil {
				n.Put(c)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	return nil
}

func duplicate(a *Attribute) error {
	return errorOf(InvalidSyntax, "the attribute ", a.Path(), " is there twice; attribute names do not depend on case")
}

// schemas checks the URNs of a resource's "schemas". They are not kept: which
// schemas a resource has follows from its values.
func (d *Doc) schemas(l Lenience) error {
	r := &d.reader
	if l.Has(OddSchemas) {
		if err := r.Skip(); err != nil {
			return syntax(err)
		}
		return nil
	}
	if r.Kind() != '[' {
		return errorOf(InvalidSyntax, "schemas must be an array of URNs, RFC 7643 section 3.1")
	}
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	own := false
	for r.More() {
		urn, err := r.String()
		if err != nil {
			return syntax(err)
		}
		if strings.EqualFold(urn, d.typ.Schema.ID) {
			own = true
			continue
		}
		if a := d.typ.all[0].Sub(urn); a == nil || !a.Extension {
			return errorOf(InvalidValue, "schemas names ", Quote(urn), ", which is not a schema of ", d.typ.Name)
		}
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	if !own {
		return errorOf(InvalidValue, "schemas must name ", d.typ.Schema.ID, ", RFC 7643 section 3.1")
	}
	return nil
}

// value reads the whole value of an attribute; nil if it is unassigned.
func (d *Doc) value(a *Attribute, l Lenience) (*Node, error) {
	r := &d.reader
	if !a.MultiValued {
		return d.single(a, l)
	}
	switch r.Kind() {
	case 'n':
		return d.null()
	case '[':
	default:
		if !d.allow(l, ArrayMissing) {
			return nil, errorOf(InvalidSyntax, a.Path(), " is multi-valued and must be an array, RFC 7643 section 2.4")
		}
		c, err := d.single(a, l)
		if c == nil || err != nil {
			return nil, err
		}
		n := d.List(a)
		n.Append(c)
		return n, nil
	}
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	n := d.List(a)
	primary := false
	for r.More() {
		c, err := d.single(a, l)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if a.primary != nil {
			if p := c.Child(a.primary); p != nil && p.text == "true" {
				if primary {
					if !d.allow(l, SecondPrimary) {
						return nil, errorOf(InvalidValue, a.Path(), " has two values with primary true; RFC 7643 section 2.4 allows one")
					}
					p.text = "false"
				}
				primary = true
			}
		}
		n.Append(c)
	}
	if err := r.End(); err != nil {
		return nil, syntax(err)
	}
	if n.first == nil {
		return nil, nil
	}
	return n, nil
}

func (d *Doc) null() (*Node, error) {
	if _, err := d.reader.Scalar(); err != nil {
		return nil, syntax(err)
	}
	return nil, nil
}

// single reads one value of an attribute; nil if it is unassigned.
func (d *Doc) single(a *Attribute, l Lenience) (*Node, error) {
	r := &d.reader
	kind := r.Kind()
	switch kind {
	case 'n':
		return d.null()
	case '[':
		return d.wrapped(a, l)
	case '{':
		if a.Kind != Complex {
			return d.unwrap(a, l)
		}
		n := d.Object(a)
		if err := d.object(n, l); err != nil || n.first == nil {
			return nil, err
		}
		return n, nil
	case '"':
		s, err := r.String()
		if err != nil {
			return nil, syntax(err)
		}
		return d.fromString(a, s, l)
	case 't', 'f', '0':
		s, err := r.Scalar()
		if err != nil {
			return nil, syntax(err)
		}
		return d.fromLiteral(a, s, kind, l)
	}
	if err := r.Skip(); err != nil {
		return nil, syntax(err)
	}
	return nil, errorOf(InvalidSyntax, a.Path(), " has no value")
}

// wrapped reads the array that a client sent where one value is expected.
func (d *Doc) wrapped(a *Attribute, l Lenience) (*Node, error) {
	r := &d.reader
	if a.MultiValued || l&(SingleInArray|WrappedScalar) == 0 {
		return nil, errorOf(InvalidSyntax, a.Path(), " has one value, not an array of them, RFC 7643 section 2.4")
	}
	if a.Kind == Complex {
		d.fired |= SingleInArray
	}
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	var n *Node
	for i := 0; r.More(); i++ {
		if i > 0 {
			return nil, errorOf(InvalidValue, a.Path(), " has one value; the array holds several")
		}
		c, err := d.single(a, l)
		if err != nil {
			return nil, err
		}
		n = c
	}
	if err := r.End(); err != nil {
		return nil, syntax(err)
	}
	return n, nil
}

// unwrap reads {"value": x} where a simple value is expected.
func (d *Doc) unwrap(a *Attribute, l Lenience) (*Node, error) {
	r := &d.reader
	if !d.allow(l, WrappedScalar) {
		return nil, expected(a, "an object")
	}
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	var n *Node
	for r.More() {
		name, err := r.String()
		if err != nil {
			return nil, syntax(err)
		}
		if !strings.EqualFold(name, "value") {
			if err := r.Skip(); err != nil {
				return nil, syntax(err)
			}
			continue
		}
		if k := r.Kind(); k == '{' || k == '[' {
			return nil, expected(a, "an object")
		}
		if n, err = d.single(a, l); err != nil {
			return nil, err
		}
	}
	if err := r.End(); err != nil {
		return nil, syntax(err)
	}
	return n, nil
}

func (d *Doc) fromString(a *Attribute, s string, l Lenience) (*Node, error) {
	if s == "" && a.Kind != Complex && d.allow(l, Blank) {
		return nil, nil
	}
	switch a.Kind {
	case String, Reference:
		return d.Text(a, s), nil
	case Complex:
		if s == "" && d.allow(l, Blank) {
			return nil, nil
		}
		return d.complexOf(a, l, func(value *Attribute) (*Node, error) { return d.fromString(value, s, l) }, "a string")
	case Boolean:
		switch b, ok := ParseBool(s); {
		case !ok:
			return nil, errorOf(InvalidValue, a.Path(), " is a boolean: true or false, not ", Quote(s))
		case d.allow(l, StringBoolean):
			return d.Bool(a, b), nil
		}
		return nil, expected(a, "a string")
	case Integer, Decimal:
		if !d.allow(l, Stringified) {
			return nil, expected(a, "a string")
		}
		if !isNumber(s) {
			return nil, errorOf(InvalidValue, a.Path(), " is a number, not ", Quote(s))
		}
		return d.fromLiteral(a, s, '0', l)
	case DateTime:
		if _, ok := ParseTime(s); !ok {
			return nil, errorOf(InvalidValue, a.Path(), " is a dateTime such as 2008-01-23T04:56:22Z, not ", Quote(s))
		}
		return d.Text(a, s), nil
	case Binary:
		if !isBase64(s) {
			return nil, errorOf(InvalidValue, a.Path(), " is binary and must be encoded in base64, RFC 7643 section 2.3.6")
		}
		return d.Text(a, s), nil
	}
	return nil, expected(a, "a string")
}

func (d *Doc) fromLiteral(a *Attribute, s string, kind wire.Kind, l Lenience) (*Node, error) {
	is := "a boolean"
	if kind == '0' {
		is = "a number"
	}
	switch a.Kind {
	case Boolean:
		if kind != '0' {
			return d.Literal(a, s), nil
		}
	case Integer:
		if kind == '0' {
			if strings.ContainsAny(s, ".eE") {
				return nil, errorOf(InvalidValue, a.Path(), " is a whole number, not ", Quote(s))
			}
			return d.Literal(a, s), nil
		}
	case Decimal:
		if kind == '0' {
			return d.Literal(a, s), nil
		}
	case String:
		if d.allow(l, Stringified) {
			return d.Text(a, s), nil
		}
	case Complex:
		return d.complexOf(a, l, func(value *Attribute) (*Node, error) { return d.fromLiteral(value, s, kind, l) }, is)
	case DateTime, Reference, Binary:
	}
	return nil, expected(a, is)
}

// complexOf makes a complex value of the simple one that stands for it.
func (d *Doc) complexOf(a *Attribute, l Lenience, value func(*Attribute) (*Node, error), is string) (*Node, error) {
	if a.value == nil || a.value.Mutability == ReadOnly || !d.allow(l, ScalarForComplex) {
		return nil, expected(a, is)
	}
	v, err := value(a.value)
	if v == nil || err != nil {
		return nil, err
	}
	n := d.Object(a)
	n.Put(v)
	return n, nil
}

func expected(a *Attribute, got string) error {
	return errorOf(InvalidValue, a.Path(), " is of type ", a.Kind.String(), ", not ", got)
}

// ParseBool reads a boolean as providers spell it.
func ParseBool(s string) (b, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

// ParseTime reads an xsd:dateTime (RFC 7643 section 2.3.5): up to nine
// fractional digits, Z or a numeric offset, and UTC where there is none.
func ParseTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, true
	}
	t, err := time.Parse("2006-01-02T15:04:05.999999999", s)
	return t, err == nil
}

// isNumber reports whether s is a JSON number.
func isNumber(s string) bool {
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return false
	}
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && digits[0] >= '0' && digits[0] <= '9' && !strings.ContainsAny(digits, "xX_pPnN") &&
		(digits[0] != '0' || len(digits) == 1 || digits[1] == '.' || digits[1]|0x20 == 'e') && digits[len(digits)-1] != '.' && !strings.Contains(digits, ".e") && !strings.Contains(digits, ".E")
}

func isBase64(s string) bool {
	s = strings.TrimRight(s, "=")
	if _, err := base64.RawStdEncoding.DecodeString(s); err == nil {
		return true
	}
	_, err := base64.RawURLEncoding.DecodeString(s)
	return err == nil
}

// Check reports the first required attribute without value (RFC 7643 section
// 2.2): of the document, of an extension that has values, of a complex value.
func (d *Doc) Check() error {
	for _, a := range d.root.attr.Subs {
		if a.Extension && a.Required && d.root.Child(a) == nil {
			return errorOf(InvalidValue, "the extension ", a.Name, " is required for ", d.typ.Name)
		}
	}
	return check(d.root)
}

func check(n *Node) error {
	if n.shape == object && n.attr.required {
		for _, a := range n.attr.Subs {
			if !a.Required || a.Mutability == ReadOnly || a.Returned == Always || a.Extension {
				continue // "schemas" is derived, extensions are checked above
			}
			if c := n.Child(a); c == nil || c.vacant() {
				return errorOf(InvalidValue, a.Path(), " is required and has no value; send one")
			}
		}
	}
	for c := n.first; c != nil; c = c.next {
		if c.shape <= list && c.first != nil {
			if err := check(c); err != nil {
				return err
			}
		}
	}
	return nil
}
