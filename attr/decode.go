package attr

import (
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/internal/pace"
	"github.com/muster-id/scim/internal/wire"
)

// Limits bounds what is decoded.
type Limits struct {
	Depth  int // levels of nesting; 0 means 32
	Values int // of one multi-valued attribute, empty ones included; 0 means any number

	// Uncounted is an attribute that may have any number of values all the same,
	// such as the members of a group; nil: none.
	Uncounted *Attribute
}

// Decode reads a resource's JSON into the empty document d: every name is
// resolved against the schema, every value becomes what its attribute's type
// says. What a client cannot set (read-only attributes, RFC 7644 section 3.3)
// is left out; null and empty arrays are no values (RFC 7643 section 2.5).
// Strings may be views of body, which must not change before the document is
// frozen. The error is an [*Error].
func (d *Doc) Decode(body []byte, l Lenience, limits Limits) error {
	d.reader.Reset(body, limits.Depth)
	return d.decode(l, limits)
}

// DecodeStream is [Doc.Decode] for a body that is too large to be held, because
// the multi-valued attribute apart has very many values. They do not become part
// of the document: each is given to take, which must not keep anything of it, be
// it a string. An error of body that is not [io.EOF] is returned as it is.
func (d *Doc) DecodeStream(body io.Reader, l Lenience, limits Limits, apart *Attribute, take func(*Node)) error {
	r := wire.Stream(body, limits.Depth)
	defer r.Release()
	defer d.divert(r, apart, take)()
	return d.decode(l, limits)
}

// DecodeNext gives the values of the multi-valued attribute apart that r is
// about to read to take, as [Doc.DecodeStream] does. It is for the packages of
// this module, which know what r is.
func (d *Doc) DecodeNext(r *wire.Reader, l Lenience, limits Limits, apart *Attribute, take func(*Node)) error {
	defer d.divert(r, apart, take)()
	defer r.Level(r.Level(0))
	_, err := d.next(apart, false, l, limits)
	return err
}

// divert makes d read from r and give the values of apart to take, until the
// function that it returns is called.
func (d *Doc) divert(r *wire.Reader, apart *Attribute, take func(*Node)) func() {
	d.reader, d.apart, d.take = r, apart, take
	return func() { d.reader, d.apart, d.take = &d.own, nil, nil }
}

// decode reads the whole document.
func (d *Doc) decode(l Lenience, limits Limits) error {
	d.limits = limits
	d.schemasSent = d.schemasSent[:0]
	r := d.reader
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
	return d.checkSchemas(l)
}

// DecodeValue reads a JSON value for the attribute a, or for one value of a
// where a is multi-valued and one is set. A list is accepted for a multi-valued
// attribute, and one value of it likewise, as RFC 7644 section 3.5.2.1 has it.
// The node is nil if the value is unassigned: null, an empty array, an object
// without values, or what a tolerance reads as one of these.
func (d *Doc) DecodeValue(raw []byte, a *Attribute, one bool, l Lenience, limits Limits) (*Node, error) {
	d.reader.Reset(raw, limits.Depth)
	n, err := d.next(a, one, l, limits)
	if err != nil {
		return nil, err
	}
	if err := d.reader.Close(); err != nil {
		return nil, syntax(err)
	}
	return n, nil
}

// next reads the value that follows.
func (d *Doc) next(a *Attribute, one bool, l Lenience, limits Limits) (*Node, error) {
	d.limits = limits
	switch kind := d.reader.Kind(); {
	case one:
		return d.single(a, l)
	case a.MultiValued && kind != '[' && kind != 'n':
		d.allow(l, ArrayMissing) // accepted in any case, worth a line in the log
		return d.alone(a, l)
	}
	return d.value(a, l)
}

// syntax makes an error of the JSON one that may be sent. Others are those of
// what a stream comes from.
func syntax(err error) error {
	if !errors.As(err, new(*wire.SyntaxError)) {
		return err
	}
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
	r := d.reader
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	var seen [4]uint64          // by index below n's attribute
	var far map[*Attribute]bool // those that seen has no room for
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
			d.ignore(n.attr, name)
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
		} else if far[a] {
			return duplicate(a)
		} else {
			if far == nil {
				far = make(map[*Attribute]bool)
			}
			far[a] = true
		}
		if a == d.typ.Schemas {
			err = d.schemas(l)
		} else if a.Mutability == ReadOnly && !d.trusted || a.Dropped || a == d.typ.Meta {
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

// schemas reads the URNs of a resource's "schemas". They are checked and not
// kept: which schemas a resource has follows from its values.
func (d *Doc) schemas(l Lenience) error {
	r := d.reader
	if r.Kind() != '[' {
		return d.notURNs(l)
	}
	if err := r.Begin(); err != nil {
		return syntax(err)
	}
	for r.More() {
		if r.Kind() != '"' {
			if err := d.notURNs(l); err != nil {
				return err
			}
			continue
		}
		urn, err := r.String()
		if err != nil {
			return syntax(err)
		}
		a := d.typ.schema(urn)
		if a == nil {
			if !d.allow(l, OddSchemas) {
				return errorOf(InvalidValue, "schemas names ", Quote(urn), ", which is not a schema of ", d.typ.Name)
			}
			continue
		}
		if slices.Contains(d.schemasSent, a) {
			if !d.allow(l, OddSchemas) {
				return errorOf(InvalidValue, "schemas names ", Quote(urn), " twice, RFC 7643 section 3.1")
			}
			continue
		}
		d.schemasSent = append(d.schemasSent, a)
	}
	if err := r.End(); err != nil {
		return syntax(err)
	}
	return nil
}

// notURNs passes over what stands in the place of URNs.
func (d *Doc) notURNs(l Lenience) error {
	if d.reader.Kind() != 0 && !d.allow(l, OddSchemas) {
		return errorOf(InvalidSyntax, "schemas must be an array of URNs, RFC 7643 section 3.1")
	}
	if err := d.reader.Skip(); err != nil {
		return syntax(err)
	}
	return nil
}

// checkSchemas checks that a resource named the schemas of its values.
func (d *Doc) checkSchemas(l Lenience) error {
	missing := ""
	if !slices.Contains(d.schemasSent, d.root.attr) {
		missing = d.typ.Schema.ID
	}
	for c := d.root.first; c != nil && missing == ""; c = c.next {
		if c.attr.Extension && !slices.Contains(d.schemasSent, c.attr) {
			missing = c.attr.Name
		}
	}
	if missing != "" && !d.allow(l, OddSchemas) {
		return errorOf(InvalidValue, "schemas must name ", missing, ", RFC 7643 section 3.1")
	}
	return nil
}

// value reads the whole value of an attribute; nil if it is unassigned.
func (d *Doc) value(a *Attribute, l Lenience) (*Node, error) {
	r := d.reader
	if !a.MultiValued {
		return d.single(a, l)
	}
	switch r.Kind() {
	case 'n':
		return d.null()
	case '[':
	case 0:
		return d.single(a, l) // says what is wrong
	default:
		if !d.allow(l, ArrayMissing) {
			return nil, errorOf(InvalidSyntax, a.Path(), " is multi-valued and must be an array, RFC 7643 section 2.4")
		}
		return d.alone(a, l)
	}
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	n := d.List(a)
	primary := false
	var p pace.Pace
	used := d.used
	if a == d.apart {
		r.Hold()
	}
	for sent := 1; r.More(); sent++ {
		p.Step()
		if a == d.apart { // the value before is taken
			d.rewind(used)
			r.Forget()
		}
		if d.limits.Values > 0 && sent > d.limits.Values && a != d.limits.Uncounted {
			return nil, errorOf(TooMany, a.Path(), " has more than ", strconv.Itoa(d.limits.Values), " values; send fewer")
		}
		c, err := d.element(a, l)
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
		if a == d.apart {
			d.take(c)
			continue
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

// alone reads one value as a list of one.
func (d *Doc) alone(a *Attribute, l Lenience) (*Node, error) {
	c, err := d.element(a, l)
	if c == nil || err != nil {
		return nil, err
	}
	if a == d.apart {
		d.take(c)
		return nil, nil
	}
	n := d.List(a)
	n.Append(c)
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
	r := d.reader
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
		mark := d.used
		if err := d.object(n, l); err != nil {
			return nil, err
		}
		if n.first == nil {
			if d.used == mark { // millions of empty objects fit into a body
				*n = Node{}
				d.used--
			}
			return nil, nil
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
	r := d.reader
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	tolerance := SingleInArray
	if a.Kind != Complex && r.Kind() == '{' {
		tolerance = WrappedScalar
	}
	if a.MultiValued || !d.allow(l, tolerance) {
		return nil, errorOf(InvalidSyntax, a.Path(), " has one value, not an array of them, RFC 7643 section 2.4")
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
	r := d.reader
	if !d.allow(l, WrappedScalar) {
		return nil, expected(a, "an object")
	}
	if err := r.Begin(); err != nil {
		return nil, syntax(err)
	}
	var n *Node
	found := false
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
		if k := r.Kind(); k == '{' || k == '[' || found {
			return nil, expected(a, "an object")
		}
		found = true
		if n, err = d.single(a, l); err != nil {
			return nil, err
		}
	}
	if err := r.End(); err != nil {
		return nil, syntax(err)
	}
	if !found {
		return nil, expected(a, "an object")
	}
	return n, nil
}

// fromString makes a value of the string that was read last.
func (d *Doc) fromString(a *Attribute, s string, l Lenience) (*Node, error) {
	if s == "" && d.allow(l, Blank) {
		return nil, nil
	}
	switch a.Kind {
	case String, Reference:
		return d.read(a, s), nil
	case Complex:
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
		if !wire.IsNumber(s) {
			return nil, errorOf(InvalidValue, a.Path(), " is a number, not ", Quote(s))
		}
		return d.fromLiteral(a, s, '0', l)
	case DateTime:
		if _, ok := ParseTime(s); !ok {
			return nil, errorOf(InvalidValue, a.Path(), " is a dateTime such as 2008-01-23T04:56:22Z, not ", Quote(s))
		}
		return d.read(a, s), nil
	case Binary:
		if !isBase64(s) {
			return nil, errorOf(InvalidValue, a.Path(), " is binary and must be encoded in base64, RFC 7643 section 2.3.6")
		}
		return d.read(a, s), nil
	}
	return nil, expected(a, "a string")
}

// read returns a new simple value with the string that was read last.
func (d *Doc) read(a *Attribute, s string) *Node {
	n := d.Text(a, d.reader.Keep(s))
	if d.reader.Plain() {
		n.shape = plain
	}
	return n
}

func (d *Doc) fromLiteral(a *Attribute, s string, kind wire.Kind, l Lenience) (*Node, error) {
	is := "a boolean"
	if kind == '0' {
		is = "a number"
	}
	switch a.Kind {
	case Boolean:
		if kind != '0' {
			return d.Literal(a, d.reader.Keep(s)), nil
		}
	case Integer:
		if kind == '0' {
			if strings.ContainsAny(s, ".eE") {
				return nil, errorOf(InvalidValue, a.Path(), " is a whole number, not ", Quote(s))
			}
			return d.Literal(a, d.reader.Keep(s)), nil
		}
	case Decimal:
		if kind == '0' {
			return d.Literal(a, d.reader.Keep(s)), nil
		}
	case String:
		if d.allow(l, Stringified) {
			return d.Text(a, d.reader.Keep(s)), nil
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

// ParseBool reads a boolean as providers spell it: in any case.
func ParseBool(s string) (b, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case len(s) == len("false") && strings.EqualFold(s, "false"): // not "fal\u017fe"
		return false, true
	}
	return false, false
}

// ParseTime reads an xsd:dateTime (RFC 7643 section 2.3.5) of the years 0 to
// 9999: fractional digits, of which nine count, Z or a numeric offset, and UTC
// where there is none.
func ParseTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02T15:04:05") || s[13] != ':' || strings.Contains(s, ",") {
		return time.Time{}, false // time.Parse lets pass "T4:05:06" and "05,9"
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, true
	}
	t, err := time.Parse("2006-01-02T15:04:05.999999999", s)
	return t, err == nil
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
		if !a.Extension || !a.Required {
			continue
		}
		if c := d.root.Child(a); c == nil || c.vacant() {
			return errorOf(InvalidValue, "the extension ", a.Name, " is required for ", d.typ.Name, " and has no values; send them")
		}
	}
	return d.check(d.root)
}

func (d *Doc) check(n *Node) error {
	if n.shape == object && n.attr.required {
		for _, a := range n.attr.Subs {
			if !a.Required || a.Mutability == ReadOnly || a == d.typ.Schemas || a.Extension {
				continue // "schemas" is derived, extensions are checked by Check
			}
			if c := n.Child(a); c == nil || c.vacant() {
				return errorOf(InvalidValue, a.Path(), " is required and has no value; send one")
			}
		}
	}
	for c := n.first; c != nil; c = c.next {
		if c.shape <= list && !c.vacant() {
			if err := d.check(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// DecodeStored reads what [Stored.JSON] returned back into the empty document
// d: id and other read-only attributes are kept.
func (d *Doc) DecodeStored(body []byte) error {
	d.trusted = true
	defer func() { d.trusted = false }()
	return d.Decode(body, Lenient&^Blank, Limits{})
}
