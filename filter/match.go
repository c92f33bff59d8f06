package filter

import (
	"strconv"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
)

// An Outside answers for attributes whose values are not part of the document
// but of what surrounds it: a resource's meta, or members that are rows.
type Outside interface {
	// Matches answers for a [*Compare], [*Present] or [*ValuePath]. ok is false
	// for attributes that the document itself has; matches is ignored then.
	// [Compare.Holds], [Compare.HoldsTime] and [Compare.HoldsNone] help.
	Matches(e Expr) (matches, ok bool)
}

// Match reports whether v matches e. v is a document or, for the filter of a
// value path, one value of its attribute. The nil expression matches
// everything. Match does not allocate, strings with JSON escapes apart.
func Match(e Expr, v attr.Value) bool { return match(e, v, nil) }

// MatchWith is [Match] for a document some of whose values are outside of it.
func MatchWith(e Expr, v attr.Value, outside Outside) bool { return match(e, v, outside) }

func match(e Expr, v attr.Value, outside Outside) bool {
	switch e := e.(type) {
	case *And:
		return match(e.Left, v, outside) && match(e.Right, v, outside)
	case *Or:
		return match(e.Left, v, outside) || match(e.Right, v, outside)
	case *Not:
		return !match(e.Expr, v, outside)
	case *Compare:
		if outside != nil {
			if matches, ok := outside.Matches(e); ok {
				return matches
			}
		}
		return e.match(v)
	case *Present:
		if outside != nil {
			if matches, ok := outside.Matches(e); ok {
				return matches
			}
		}
		return present(v, e.Attr)
	case *ValuePath:
		if outside != nil {
			if matches, ok := outside.Matches(e); ok {
				return matches
			}
		}
		return e.match(v)
	case nil:
		return true
	}
	return false
}

// get returns a's value below v, a document or a complex value of a's parent.
// The values between v and a are single ones, but for the last.
func get(v attr.Value, a *attr.Attribute) attr.Value {
	if a.Parent == nil || !v.Exists() || a.Parent == v.Attr() {
		return v.Get(a)
	}
	return get(v, a.Parent).Get(a)
}

func (e *ValuePath) match(v attr.Value) bool {
	values := get(v, e.Attr)
	if !values.IsList() {
		return values.Exists() && !vacant(values) && match(e.Filter, values, nil)
	}
	for value := values.First(); value.Exists(); value = value.Next() {
		if match(e.Filter, value, nil) && !vacant(value) {
			return true
		}
	}
	return false
}

func (e *Compare) match(v attr.Value) bool {
	if e.Value.kind == Null {
		return present(v, e.Attr) == (e.Op == Ne)
	}
	a := e.Attr
	if a.Parent == nil || v.Exists() && a.Parent == v.Attr() {
		return e.any(v.Get(a))
	}
	holder := get(v, a.Parent)
	if !holder.IsList() {
		return e.any(holder.Get(a))
	}
	some := false
	for value := holder.First(); value.Exists(); value = value.Next() {
		if vacant(value) {
			continue
		}
		if e.any(value.Get(a)) {
			return true
		}
		some = true
	}
	return !some && e.HoldsNone()
}

// any compares the value of e's attribute in one complex value or document.
func (e *Compare) any(v attr.Value) bool {
	if !v.Exists() {
		return e.HoldsNone()
	}
	if !v.IsList() {
		return e.Holds(v.Text())
	}
	v = v.First()
	if !v.Exists() {
		return e.HoldsNone()
	}
	for ; v.Exists(); v = v.Next() {
		if e.Holds(v.Text()) {
			return true
		}
	}
	return false
}

// HoldsNone reports whether e matches where the attribute has no value.
func (e *Compare) HoldsNone() bool {
	if e.Value.kind == Null {
		return e.Op == Eq
	}
	return e.Op == Ne
}

// Holds reports whether e matches one value, given as [attr.Value.Text] returns
// it.
func (e *Compare) Holds(text string) bool {
	l := &e.Value
	switch l.kind {
	case Text:
		if e.Attr.CaseExact {
			return e.holdsExact(text)
		}
		return e.holdsFolded(text)
	case Bool:
		return (text == l.text) == (e.Op == Eq)
	case Number:
		if e.Attr.Kind == attr.Integer {
			n := integer(text)
			return e.Op.orders(n.compare(&l.number))
		}
		n, _ := strconv.ParseFloat(text, 64) // beyond the range it is infinite, which is in order
		return e.Op.ordersFloat(n, l.number.float)
	case Time:
		if t, ok := instant(text); ok {
			return e.HoldsTime(t)
		}
		return e.HoldsNone()
	case Octets:
		return sameOctets(text, l.text) == (e.Op == Eq)
	case Null:
	}
	return (text != "") == (e.Op == Ne)
}

// HoldsTime reports whether e, a comparison of a dateTime, matches the instant.
func (e *Compare) HoldsTime(t time.Time) bool {
	if e.Value.kind != Time {
		return e.Op == Ne
	}
	return e.Op.orders(t.Compare(e.Value.time))
}

func (e *Compare) holdsExact(s string) bool {
	l := e.Value.text
	switch e.Op {
	case Eq:
		return s == l
	case Ne:
		return s != l
	case Co:
		return strings.Contains(s, l)
	case Sw:
		return strings.HasPrefix(s, l)
	case Ew:
		return strings.HasSuffix(s, l)
	case Gt, Ge, Lt, Le:
	}
	return e.Op.orders(strings.Compare(s, l))
}

func (e *Compare) holdsFolded(s string) bool {
	l := e.Value.folded
	switch e.Op {
	case Eq:
		return attr.EqualFold(s, l)
	case Ne:
		return !attr.EqualFold(s, l)
	case Co:
		return attr.ContainsFold(s, l)
	case Sw:
		return attr.HasPrefixFold(s, l)
	case Ew:
		return attr.HasSuffixFold(s, l)
	case Gt, Ge, Lt, Le:
	}
	return e.Op.orders(attr.CompareFold(s, l))
}

// orders reports whether op holds between two values in that order: negative if
// the left one is less.
func (op Op) orders(order int) bool {
	switch op {
	case Eq:
		return order == 0
	case Ne:
		return order != 0
	case Gt:
		return order > 0
	case Ge:
		return order >= 0
	case Lt:
		return order < 0
	case Le:
		return order <= 0
	case Co, Sw, Ew:
	}
	return false
}

func (op Op) ordersFloat(a, b float64) bool {
	switch {
	case a < b:
		return op.orders(-1)
	case a > b:
		return op.orders(1)
	}
	return op.orders(0)
}

// present reports whether a has a value below v, a document or a complex value
// of a's parent.
func present(v attr.Value, a *attr.Attribute) bool {
	if a.Parent == nil || v.Exists() && a.Parent == v.Attr() {
		return filled(v.Get(a))
	}
	holder := get(v, a.Parent)
	if !holder.IsList() {
		return filled(holder.Get(a))
	}
	for value := holder.First(); value.Exists(); value = value.Next() {
		if filled(value.Get(a)) {
			return true
		}
	}
	return false
}

// filled reports whether there is a value that is not the empty string, in v or
// below it. What a client may not see does not count.
func filled(v attr.Value) bool {
	if !v.Exists() {
		return false
	}
	if !v.IsList() && v.Attr().Kind != attr.Complex {
		return v.Text() != ""
	}
	for c := v.First(); c.Exists(); c = c.Next() {
		if !hidden(c.Attr()) && filled(c) {
			return true
		}
	}
	return false
}

// vacant reports whether a complex value has nothing in it that would be
// stored.
func vacant(v attr.Value) bool {
	if !v.IsList() && v.Attr().Kind != attr.Complex {
		return false
	}
	for c := v.First(); c.Exists(); c = c.Next() {
		if !vacant(c) {
			return false
		}
	}
	return true
}

// instant is [attr.ParseTime] without its allocation for times that are not in
// UTC: a time zone of their own.
func instant(s string) (time.Time, bool) {
	at := len(s) - len("+00:00")
	if at < 0 || s[at] != '+' && s[at] != '-' || s[at+3] != ':' {
		return attr.ParseTime(s)
	}
	t, err := time.Parse("2006-01-02T15:04:05", s[:at]) // reads fractions too
	hours, h := twoDigits(s[at+1:])
	minutes, m := twoDigits(s[at+4:])
	if err != nil || !h || !m {
		return attr.ParseTime(s)
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[at] == '+' {
		offset = -offset
	}
	return t.Add(offset), true
}

func twoDigits(s string) (n int, ok bool) {
	a, b := s[0]-'0', s[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// sameOctets reports whether two texts are the same octets in base64: with and
// without padding, in either alphabet (RFC 4648 sections 4 and 5).
func sameOctets(a, b string) bool {
	a, b = strings.TrimRight(a, "="), strings.TrimRight(b, "=")
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if standardAlphabet(a[i]) != standardAlphabet(b[i]) {
			return false
		}
	}
	return true
}

func standardAlphabet(c byte) byte {
	switch c {
	case '-':
		return '+'
	case '_':
		return '/'
	}
	return c
}
