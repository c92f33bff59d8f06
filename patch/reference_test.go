package patch_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/patch"
)

// The reference applies operations to a document of plain maps, slow and
// straight from RFC 7644 section 3.5.2, without the dialects. What the RFC
// leaves open is as the package comment of patch says. It knows the schema and
// nothing else of the library.
type reference struct {
	typ     *attr.Type
	doc     map[string]any
	refused map[attr.ErrorType]bool // by the operation at hand
	fresh   map[string]bool         // extensions that the request has brought
}

// A target is what a path names: an attribute at the top or of an extension,
// values of it, a sub-attribute. Of nil it is the whole resource.
type target struct {
	extension *attr.Attribute // where the holder stands; nil: at the top
	holder    *attr.Attribute
	holds     func(value map[string]any) bool // nil: no filter
	sub       *attr.Attribute
}

// A step is one operation: what is sent, and what the generator knows of it.
type step struct {
	op     string
	path   string
	pathed bool
	value  any
	valued bool
	on     *target
	static []attr.ErrorType // refused whatever the document is
}

func (r *reference) refuse(types ...attr.ErrorType) {
	for _, t := range types {
		r.refused[t] = true
	}
}

// apply returns the errors any of which is right, none if all went well.
func (r *reference) apply(changes []step) map[attr.ErrorType]bool {
	r.fresh, r.refused = map[string]bool{}, map[attr.ErrorType]bool{}
	for i := range changes { // what is wrong with the request itself shows first
		if r.check(&changes[i]); len(r.refused) > 0 {
			return r.refused
		}
	}
	for i := range changes {
		if r.operate(&changes[i]); len(r.refused) > 0 {
			return r.refused
		}
	}
	for urn := range r.fresh {
		if x, there := r.doc[urn].(map[string]any); there {
			r.complete(r.attribute(urn), x)
		}
	}
	return r.refused
}

func (r *reference) attribute(name string) *attr.Attribute { return named(r.typ.Root(), name) }

func named(of *attr.Attribute, name string) *attr.Attribute {
	for _, a := range of.Subs {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return nil
}

func (r *reference) check(c *step) {
	r.refuse(c.static...)
	if len(c.static) > 0 {
		return
	}
	switch {
	case c.op != "remove" && !c.valued:
		r.refuse(attr.InvalidValue)
	case c.op == "remove" && c.on == nil:
		r.refuse(attr.NoTarget)
	case c.on == nil:
		r.checkListed(r.typ.Root(), c.value)
	case c.on.holder.Extension:
		if c.op != "remove" {
			r.checkListed(c.on.holder, c.value)
		}
	case c.on.holder.Mutability == attr.ReadOnly, c.on.sub != nil && c.on.sub.Mutability == attr.ReadOnly:
		r.refuse(attr.Mutable)
	}
}

// checkListed checks the names in the value of an operation on the resource or
// on an extension.
func (r *reference) checkListed(of *attr.Attribute, value any) {
	object, ok := value.(map[string]any)
	if !ok {
		if of == r.typ.Root() || value != nil {
			if list, isList := value.([]any); !isList || len(list) > 0 || of == r.typ.Root() {
				r.refuse(attr.InvalidValue)
			}
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		switch a := named(of, name); {
		case a == nil:
			r.refuse(attr.InvalidPath, attr.InvalidSyntax, attr.InvalidValue)
		case a.Extension:
			r.checkListed(a, object[name])
		case a.Mutability == attr.ReadOnly:
			r.refuse(attr.Mutable)
		}
		if len(r.refused) > 0 {
			return
		}
	}
}

func (r *reference) operate(c *step) {
	if c.on == nil {
		r.each(r.typ.Root(), c)
		return
	}
	if c.on.holder.Extension {
		r.onExtension(c)
		return
	}
	in, a := r.doc, c.on.holder
	if x := c.on.extension; x != nil {
		in, _ = r.doc[x.Name].(map[string]any)
		if in == nil {
			in = map[string]any{}
		}
	}
	before, had := in[a.Name]
	before = deepCopy(before)
	r.onAttribute(in, c)
	if a.Mutability == attr.Immutable && had {
		if after, has := in[a.Name]; !has || identity(a, after, true) != identity(a, before, true) {
			r.refuse(attr.Mutable)
		}
	}
	x := c.on.extension
	if x == nil {
		return
	}
	_, was := r.doc[x.Name]
	switch {
	case len(in) > 0:
		if !was {
			r.fresh[x.Name] = true
		}
		r.doc[x.Name] = in
	case was:
		if x.Required {
			r.refuse(attr.Mutable)
		}
		delete(r.doc, x.Name)
	}
}

// each does an operation on the resource or an extension as one on each of the
// attributes that its value lists.
func (r *reference) each(of *attr.Attribute, c *step) {
	object := c.value.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		on := &target{holder: named(of, name)}
		if of.Extension {
			on.extension = of
		}
		r.operate(&step{op: c.op, value: object[name], valued: true, on: on})
	}
}

func (r *reference) onExtension(c *step) {
	x := c.on.holder
	if _, object := c.value.(map[string]any); c.op != "remove" && object {
		r.each(x, c)
		return
	}
	values, there := r.doc[x.Name].(map[string]any)
	switch {
	case !there: // unassigned already
	case x.Required:
		r.refuse(attr.Mutable)
	default:
		for name := range values {
			switch named(x, name).Mutability {
			case attr.Immutable:
				r.refuse(attr.Mutable)
			case attr.ReadOnly: // the client has no say in it
			case attr.ReadWrite, attr.WriteOnly:
				delete(values, name)
			}
		}
		if len(values) == 0 {
			delete(r.doc, x.Name)
		}
	}
}

// onAttribute does an operation on an attribute of the object in.
func (r *reference) onAttribute(in map[string]any, c *step) {
	a, sub := c.on.holder, c.on.sub
	old, had := in[a.Name]
	unassign := func() {
		if a.Required {
			r.refuse(attr.Mutable)
		}
		delete(in, a.Name)
	}
	switch {
	case a.MultiValued && (c.on.holds != nil || sub != nil):
		r.onSelected(in, c, unassign)
	case c.op == "remove" && a.MultiValued && c.value != nil:
		r.refuse(attr.InvalidValue) // not defined, and all would go
	case c.op == "remove" && sub == nil:
		if !had { // unassigned already
			return
		}
		r.keepsImmutable(a, old)
		unassign()
	case a.MultiValued:
		r.onList(in, c, unassign)
	case a.Kind == attr.Complex:
		object, _ := old.(map[string]any)
		if c.op == "remove" {
			if _, there := object[sub.Name]; !there { // unassigned already
				return
			}
			r.remove(a, object, sub)
		} else {
			set, unset, clear := r.merger(a, sub, c.value)
			switch {
			case clear && had:
				r.keepsImmutable(a, old)
				unassign()
				return
			case clear && a.Required:
				r.refuse(attr.Mutable)
				return
			case !had && len(set) == 0:
				return
			case !had:
				r.complete(a, set)
				in[a.Name] = set
				return
			}
			r.merge(a, object, set, unset, c.op == "add")
		}
		if len(object) == 0 {
			unassign()
		}
	default:
		switch v := r.single(a, c.value); {
		case v != nil:
			in[a.Name] = v
		case had:
			unassign()
		case a.Required:
			r.refuse(attr.Mutable)
		}
	}
}

// keepsImmutable refuses to remove a single complex value that says something
// immutable.
func (r *reference) keepsImmutable(a *attr.Attribute, value any) {
	object, _ := value.(map[string]any)
	for name := range object {
		if named(a, name).Mutability == attr.Immutable {
			r.refuse(attr.Mutable)
		}
	}
}

// onList adds to a multi-valued attribute, or replaces all of it.
func (r *reference) onList(in map[string]any, c *step, unassign func()) {
	a := c.on.holder
	old, had := in[a.Name].([]any)
	values := r.values(a, c.value)
	for _, v := range values {
		if object, ok := v.(map[string]any); ok {
			r.complete(a, object)
		}
	}
	switch {
	case len(values) == 0 && c.op == "add":
	case len(values) == 0 && had:
		unassign()
	case len(values) == 0:
		if a.Required {
			r.refuse(attr.Mutable)
		}
	case c.op == "replace":
		in[a.Name] = values
	case !had && len(values) == 1:
		in[a.Name] = values
	default:
		var chosen []map[string]any
		for _, v := range values {
			at := slices.IndexFunc(old, func(o any) bool { return key(a, o) == key(a, v) })
			if at < 0 {
				old = append(old, v)
				at = len(old) - 1
			} else if object, ok := v.(map[string]any); ok {
				known := old[at].(map[string]any)
				for name, said := range object {
					s := named(a, name)
					was, there := known[name]
					switch list, _ := was.([]any); {
					case !there:
						known[name] = said
					case s.Mutability == attr.Immutable:
					case s.MultiValued: // what is added takes nothing away
						known[name] = union(s, list, said.([]any))
					case identity(s, was, false) != identity(s, said, false):
						known[name] = said
					}
				}
			}
			if object, ok := v.(map[string]any); ok && primary(a, object) {
				chosen = append(chosen, old[at].(map[string]any))
			}
		}
		in[a.Name] = old
		r.demote(a, old, chosen)
	}
}

func union(a *attr.Attribute, list, more []any) []any {
	for _, v := range more {
		if !slices.ContainsFunc(list, func(o any) bool { return key(a, o) == key(a, v) }) {
			list = append(list, v)
		}
	}
	return list
}

// onSelected does an operation on the values that a filter selects, or on a
// sub-attribute in each; on all without filter.
func (r *reference) onSelected(in map[string]any, c *step, unassign func()) {
	a, sub := c.on.holder, c.on.sub
	list, _ := in[a.Name].([]any)
	var set map[string]any
	var unset []*attr.Attribute
	clear := c.op == "remove" && sub == nil
	if c.op != "remove" {
		set, unset, clear = r.merger(a, sub, c.value)
	}
	var left []any
	var chosen []map[string]any
	found := 0
	for _, v := range list {
		object := v.(map[string]any)
		if c.on.holds != nil && !c.on.holds(object) {
			left = append(left, v)
			continue
		}
		switch {
		case clear:
			found++
			continue
		case c.op == "remove":
			if _, there := object[sub.Name]; there {
				found++
				r.remove(a, object, sub)
			}
		default:
			found++
			r.merge(a, object, deepCopy(set).(map[string]any), unset, c.op == "add")
			if primary(a, set) {
				chosen = append(chosen, object)
			}
		}
		if len(object) > 0 {
			left = append(left, v)
		}
	}
	switch {
	case found == 0 && c.op == "remove" && c.on.holds == nil: // unassigned already
	case found == 0:
		r.refuse(attr.NoTarget)
	case len(left) == 0:
		unassign()
	default:
		in[a.Name] = left
		r.demote(a, left, chosen)
	}
}

func primary(a *attr.Attribute, object map[string]any) bool {
	p := named(a, "primary")
	return p != nil && p.Kind == attr.Boolean && object[p.Name] == true
}

// demote: at most one value is primary, the one that the operation made so.
func (r *reference) demote(a *attr.Attribute, list []any, chosen []map[string]any) {
	if len(chosen) == 0 {
		return
	}
	same := func(x, y map[string]any) bool { return fmt.Sprintf("%p", x) == fmt.Sprintf("%p", y) }
	for _, other := range chosen {
		if !same(other, chosen[0]) {
			r.refuse(attr.InvalidValue)
		}
	}
	for _, v := range list {
		if object := v.(map[string]any); primary(a, object) && !same(object, chosen[0]) {
			object[named(a, "primary").Name] = false
		}
	}
}

// merger reads the value of an operation on a complex value or on a
// sub-attribute of one: what is to be set and what to be unassigned.
func (r *reference) merger(a, sub *attr.Attribute, value any) (set map[string]any, unset []*attr.Attribute, clear bool) {
	set = map[string]any{}
	assign := func(s *attr.Attribute, v any) {
		var clean any
		if s.MultiValued {
			if list := r.values(s, v); len(list) > 0 {
				clean = list
			}
		} else {
			clean = r.single(s, v)
		}
		if clean == nil {
			unset = append(unset, s)
		} else {
			set[s.Name] = clean
		}
	}
	if sub != nil {
		assign(sub, value)
		return set, unset, false
	}
	object, ok := value.(map[string]any)
	if !ok {
		r.single(a, value) // which refuses all but null
		return set, nil, true
	}
	for name, v := range object {
		switch s := named(a, name); {
		case s == nil:
			r.refuse(attr.InvalidSyntax, attr.InvalidValue, attr.InvalidPath)
		case s.Mutability != attr.ReadOnly:
			assign(s, v)
		}
	}
	return set, unset, false
}

func (r *reference) merge(a *attr.Attribute, object, set map[string]any, unset []*attr.Attribute, add bool) {
	valueless := false
	for _, s := range unset {
		if _, there := object[s.Name]; there && r.unset(object, s) && strings.EqualFold(s.Name, "value") {
			valueless = true
		}
	}
	if valueless {
		r.forgetDescription(a, object, set)
	}
	if v := named(a, "value"); v != nil {
		if anew, said := set[v.Name]; said && object[v.Name] != nil && identity(v, anew, true) != identity(v, object[v.Name], true) {
			r.forgetDescription(a, object, set)
		}
	}
	for name, v := range set {
		s := named(a, name)
		old, there := object[name]
		switch {
		case there && s.MultiValued && add:
			object[name] = union(s, old.([]any), v.([]any))
			if s.Mutability == attr.Immutable && identity(s, object[name], true) != identity(s, old, true) {
				r.refuse(attr.Mutable)
			}
		case there && s.Mutability == attr.Immutable:
			if identity(s, old, true) != identity(s, v, true) {
				r.refuse(attr.Mutable)
			}
		default:
			object[name] = v
		}
	}
}

func (r *reference) unset(object map[string]any, s *attr.Attribute) bool {
	if s.Required || s.Mutability == attr.Immutable {
		r.refuse(attr.Mutable)
		return false
	}
	delete(object, s.Name)
	return true
}

// remove removes a sub-attribute that is there.
func (r *reference) remove(a *attr.Attribute, object map[string]any, s *attr.Attribute) {
	if r.unset(object, s) && strings.EqualFold(s.Name, "value") {
		r.forgetDescription(a, object, nil)
	}
}

// forgetDescription: with the value goes what the reference to it was, and what
// only the server said of it (RFC 7643 section 2.4).
func (r *reference) forgetDescription(a *attr.Attribute, object, anew map[string]any) {
	for name := range object {
		s := named(a, name)
		_, said := anew[name]
		if !said && !strings.EqualFold(name, "value") && (s.Kind == attr.Reference || s.Mutability == attr.ReadOnly) {
			delete(object, name)
		}
	}
}

// complete refuses a new complex value that lacks what it requires.
func (r *reference) complete(a *attr.Attribute, object map[string]any) {
	for _, s := range a.Subs {
		if _, there := object[s.Name]; !there && s.Required && s.Mutability != attr.ReadOnly {
			r.refuse(attr.InvalidValue)
		}
	}
}

// values reads the values of a multi-valued attribute; one counts as a list of
// one (RFC 7644 section 3.5.2.1).
func (r *reference) values(a *attr.Attribute, v any) (values []any) {
	list, isList := v.([]any)
	if !isList && v != nil {
		list = []any{v}
	}
	primaries := 0
	for _, v := range list {
		c := r.single(a, v)
		if c == nil {
			continue
		}
		if object, ok := c.(map[string]any); ok && primary(a, object) {
			primaries++
		}
		values = append(values, c)
	}
	if primaries > 1 {
		r.refuse(attr.InvalidValue)
	}
	return values
}

// single reads one value, nil if it is unassigned (RFC 7643 section 2.5).
func (r *reference) single(a *attr.Attribute, v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		r.refuse(attr.InvalidSyntax, attr.InvalidValue)
		return nil
	case string:
		var err error
		switch {
		case !a.Textual():
			err = errors.New("another type")
		case a.Kind == attr.DateTime:
			_, err = time.Parse(time.RFC3339, v)
		case a.Kind == attr.Binary:
			_, err = base64.StdEncoding.DecodeString(v)
		}
		if err == nil {
			return v
		}
	case bool:
		if a.Kind == attr.Boolean {
			return v
		}
	case json.Number:
		if a.Kind == attr.Decimal || a.Kind == attr.Integer && !strings.ContainsAny(v.String(), ".eE") {
			return v
		}
	case map[string]any:
		if a.Kind != attr.Complex {
			break
		}
		object := map[string]any{}
		for name, of := range v {
			s := named(a, name)
			switch {
			case s == nil:
				r.refuse(attr.InvalidSyntax, attr.InvalidValue, attr.InvalidPath)
			case s.Mutability == attr.ReadOnly:
			case s.MultiValued:
				if list := r.values(s, of); len(list) > 0 {
					object[s.Name] = list
				}
			default:
				if c := r.single(s, of); c != nil {
					object[s.Name] = c
				}
			}
		}
		if len(object) == 0 {
			return nil
		}
		return object
	}
	r.refuse(attr.InvalidValue)
	return nil
}

// identity returns a text that is the same for equal values of a: those of a
// list in any order, and unless exact as the operator eq compares them.
func identity(a *attr.Attribute, v any, exact bool) string {
	switch v := v.(type) {
	case []any:
		var all []string
		for _, c := range v {
			all = append(all, identity(a, c, exact))
		}
		slices.Sort(all)
		return fmt.Sprintf("%q", all)
	case map[string]any:
		var all []string
		for name, c := range v {
			all = append(all, name+"="+identity(named(a, name), c, exact))
		}
		slices.Sort(all)
		return fmt.Sprintf("%q", all)
	case json.Number:
		if exact {
			return v.String()
		}
		n, _ := new(big.Rat).SetString(v.String())
		return n.RatString()
	case string:
		switch {
		case exact:
		case a.Kind == attr.DateTime:
			t, err := time.Parse(time.RFC3339, v)
			if err != nil {
				panic(err)
			}
			return strconv.FormatInt(t.UnixNano(), 10)
		case a.Kind == attr.String && !a.CaseExact:
			return strings.Map(func(r rune) rune {
				least := r
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					least = min(least, f)
				}
				return least
			}, v)
		}
		return v
	}
	return fmt.Sprint(v)
}

// key tells one value of a multi-valued attribute from another: no combination
// of value and type is there twice (RFC 7643 section 2.4); a value without
// "value" is all that a client can say of it but whether it is primary.
func key(a *attr.Attribute, v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return identity(a, v, false)
	}
	if value := named(a, "value"); value != nil && value.Mutability != attr.ReadOnly && object[value.Name] != nil {
		k := "value " + identity(value, object[value.Name], false)
		if t := named(a, "type"); t != nil && object[t.Name] != nil {
			k += " type " + identity(t, object[t.Name], false)
		}
		return k
	}
	rest := map[string]any{}
	for name, c := range object {
		if p := a.PrimarySub(); (p == nil || p.Name != name) && named(a, name).Mutability != attr.ReadOnly {
			rest[name] = c
		}
	}
	return "all " + identity(a, rest, false)
}

func deepCopy(v any) any {
	switch v := v.(type) {
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = deepCopy(v[i])
		}
		return c
	case map[string]any:
		c := make(map[string]any, len(v))
		for name := range v {
			c[name] = deepCopy(v[name])
		}
		return c
	}
	return v
}

// checkAgainstReference makes a resource type, a document and a request of the
// choices, and compares what the package and the reference make of them.
func checkAgainstReference(t testing.TB, s *choices, typ *attr.Type) (failed bool) {
	doc := s.stored(typ.Root())
	changes := s.request(typ, doc)
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	sent := body(changes)

	d := attr.NewDoc(typ)
	require.NoError(t, d.DecodeStored(raw), "%s", raw)
	before := d.Freeze()
	d.Release()
	was := strings.Clone(before.JSON())

	r := &reference{typ: typ, doc: plain(t, before.JSON())}
	want := r.apply(changes)

	d = before.Thaw()
	defer d.Release()
	p, err := patch.Parse(sent, typ, patch.Options{})
	if err == nil {
		err = p.Apply(d)
	}
	show := func() string { return fmt.Sprintf("schema %s\nbefore %s\nsent %s", outline(typ.Root()), was, sent) }
	require.Equal(t, was, before.JSON(), "the stored document has changed: %s", show())
	var refusal *attr.Error
	if errors.As(err, &refusal) {
		require.True(t, want[refusal.Type], "refused: %v\nwant %v\n%s", err, slices.Collect(maps.Keys(want)), show())
		return true
	}
	require.NoError(t, err)
	require.Empty(t, want, "not refused\n%s", show())
	after := d.Freeze()
	if got := plain(t, after.JSON()); !jsonEqual(got, r.doc) {
		expected, _ := json.Marshal(r.doc)
		require.Fail(t, "another document", "%s\nwant %s\ngot  %s", show(), expected, after.JSON())
	}
	require.Zero(t, p.Fired(), "nothing is tolerated: %s", show())

	// What needs no tolerance means the same with all of them, but for two that
	// read differently what the RFC allows.
	const lenient = attr.Lenient &^ attr.Blank &^ attr.RemoveByValue
	tolerant := before.Thaw()
	defer tolerant.Release()
	p, err = patch.Parse(sent, typ, patch.Options{Lenience: lenient})
	require.NoError(t, err, show())
	require.NoError(t, p.Apply(tolerant), show())
	same := tolerant.Freeze()
	require.Equal(t, after.JSON(), same.JSON(), "tolerances change the meaning: %s", show())
	return false
}

// outline shows what a schema says, shortly.
func outline(of *attr.Attribute) string {
	var parts []string
	for _, a := range of.Subs {
		if skipped(a) {
			continue
		}
		words := []string{a.Name, a.Kind.String(), a.Mutability.String()}
		for word, is := range map[string]bool{"[]": a.MultiValued, "required": a.Required, "caseExact": a.CaseExact} {
			if is {
				words = append(words, word)
			}
		}
		if a.Kind == attr.Complex {
			words = append(words, outline(a))
		}
		parts = append(parts, strings.Join(words, " "))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func jsonEqual(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// plain decodes a document without its schemas, which follow from its values.
func plain(t testing.TB, document string) map[string]any {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(document))
	in.UseNumber()
	var doc map[string]any
	require.NoError(t, in.Decode(&doc))
	delete(doc, "schemas")
	return doc
}

// seeded returns the choices of a test case that can be made again.
func seeded(seed uint64) *choices {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	data := make([]byte, 4000)
	_, _ = random.Read(data)
	return &choices{data}
}

// RFC 7644 section 3.5.2: on random types, documents and requests the package
// does what the reference does.
func TestRFC7644_3_5_2_Reference(t *testing.T) {
	t.Parallel()
	seed, end := uint64(0), uint64(5_000)
	if n, err := strconv.ParseUint(os.Getenv("MUSTER_SEED"), 10, 32); err == nil {
		seed, end = n, n+1
	}
	defer func() {
		if t.Failed() {
			t.Logf("again: MUSTER_SEED=%d go test ./patch -run Reference", seed)
		}
	}()
	refused, cases := 0, end-seed
	var typ *attr.Type
	for ; seed < end; seed++ {
		const perType = 100 // making one takes longer than a case
		if typ == nil || seed%perType == 0 {
			if typ = seeded(seed / perType * perType).newType(); seed/perType%4 == 0 {
				typ = resourceTypes[[]string{"User", "Device", "Group"}[seed/perType/4%3]]
			}
		}
		if checkAgainstReference(t, seeded(seed), typ) {
			refused++
		}
	}
	if cases > 1 {
		t.Logf("%d of %d refused", refused, cases)
		require.Greater(t, refused, int(cases/20), "too few are refused to show that they are")
		require.Less(t, refused, int(cases/2), "too few are applied to show how")
	}
}

// FuzzReference is the same on the choices of a fuzzer, for a few types.
func FuzzReference(f *testing.F) {
	types := []*attr.Type{resourceTypes["User"], resourceTypes["Device"], seeded(1).newType(), seeded(2).newType(), seeded(3).newType()}
	for seed := range uint64(16) {
		f.Add(uint8(seed), seeded(seed).data[:200])
	}
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		checkAgainstReference(t, &choices{data}, types[int(kind)%len(types)])
	})
}
