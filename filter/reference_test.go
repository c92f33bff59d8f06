package filter_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A script makes choices from the bytes of a fuzzer; an exhausted one always
// takes the first.
type script struct {
	data []byte
	urn  string         // of the type's own schema
	doc  map[string]any // that the filter will be matched against
}

func (s *script) choose(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	c := int(s.data[0]) % n
	s.data = s.data[1:]
	return c
}

func (s *script) of(pool []string) string { return pool[s.choose(len(pool))] }

var (
	texts    = []string{"a", "A", "ab", "aB", "bA", "", "ß", "ẞ", "k", "\u212A", "s", "ſ", "σ", "ς", "Σx", "Straße KELVIN", "aB\u00e9Cd", `"\`, "\n", "😀", "é", "É", "a%40"}
	octets   = []string{"AA==", "AA", "+/8=", "-_8", "AAAA", "aaaa", ""}
	instants = []string{"2024-02-29T12:00:00Z", "2024-02-29T13:00:00+01:00", "2024-02-29T12:00:00.1234567Z", "2024-02-29T12:00:00.1234568Z", "1970-01-01T00:00:00Z", "2024-02-29T12:00:00", "2024-02-28T20:30:00-15:30"}
	integers = []string{"5", "0", "-0", "-3", "9007199254740992", "9007199254740993", "-9007199254740993", "123456789012345678901234567890"}
	decimals = []string{"1.5", "0", "-2.5", "100", "1e2", "0.1", "-1e-3", "1.50"}
	numbers  = slices.Concat(integers, decimals, []string{"5.0", "50e-1", "5.5", "-2.5e0", "1E30", "0.0", "-0.0"})
)

// randomValue returns one JSON value for a.
func (s *script) randomValue(a *attr.Attribute) any {
	switch a.Kind {
	case attr.String, attr.Reference:
		return s.of(texts)
	case attr.Boolean:
		return s.choose(2) == 0
	case attr.Integer:
		return json.Number(s.of(integers))
	case attr.Decimal:
		return json.Number(s.of(decimals))
	case attr.DateTime:
		return s.of(instants)
	case attr.Binary:
		return s.of(octets)
	case attr.Complex:
	}
	return s.randomObject(a)
}

func (s *script) randomObject(of *attr.Attribute) map[string]any {
	object := map[string]any{}
	for _, a := range of.Subs {
		if s.choose(3) == 0 {
			continue
		}
		if s.choose(12) == 1 {
			object[a.Name] = nil // the same as none, RFC 7643 section 2.5
			continue
		}
		if !a.MultiValued {
			object[a.Name] = s.randomValue(a)
			continue
		}
		list := []any{}
		for range s.choose(4) {
			list = append(list, s.randomValue(a))
		}
		object[a.Name] = list
	}
	return object
}

// A generated filter is its text and, built at the same time and without the
// package's parser and matcher, what it means on plain maps.
type generated struct {
	text  string
	binds int // or 0, and 1, what needs no parentheses 2
	holds func(document map[string]any) bool
}

func (g generated) within(binds int, s *script) string {
	if g.binds < binds || s.choose(8) == 1 {
		return "(" + s.space() + g.text + ")"
	}
	return g.text
}

// word spells a keyword in some case, between spaces of which there may be
// more.
func (s *script) word(w string) string {
	switch s.choose(6) {
	case 1:
		w = strings.ToUpper(w)
	case 2:
		w = strings.ToUpper(w[:1]) + w[1:]
	}
	return " " + s.space() + w + " " + s.space()
}

func (s *script) space() string { return strings.Repeat(" ", s.choose(8)/7) }

// name spells the path of an attribute: in some case, and what is the type's
// own schema's sometimes with its URN.
func (s *script) name(a *attr.Attribute, root int) string {
	name := a.Name
	if root > 0 {
		if name = a.Path(); s.choose(6) == 1 && !strings.HasPrefix(name, "urn:") {
			name = s.urn + ":" + name
		}
	}
	if s.choose(4) == 1 {
		name = strings.ToUpper(name)
	}
	return name
}

// literal returns something to compare a with: mostly what the document has, or
// a part of it in another case, so that both outcomes are likely.
func (s *script) literal(a *attr.Attribute, pool []string) string {
	var values []string
	for _, v := range slots(s.doc, a, 1) {
		switch v := v.(type) {
		case string:
			values = append(values, v)
		case json.Number:
			values = append(values, v.String())
		}
	}
	if len(values) == 0 || s.choose(3) == 1 {
		return s.of(pool)
	}
	v := s.of(values)
	switch a.Kind {
	case attr.Integer:
		n, _ := new(big.Int).SetString(v, 10)
		return n.Add(n, big.NewInt(int64(s.choose(3)-1))).String()
	case attr.Boolean, attr.Decimal, attr.DateTime, attr.Binary, attr.Complex:
		return v
	case attr.String, attr.Reference:
	}
	switch s.choose(5) {
	case 1:
		v = strings.ToUpper(v)
	case 2:
		v = strings.ToLower(v)
	}
	runes := []rune(v)
	switch s.choose(5) {
	case 1:
		runes = runes[:len(runes)/2]
	case 2:
		runes = runes[len(runes)/2:]
	}
	return string(runes)
}

// quote spells a string literal, some with nothing but escapes.
func (s *script) quote(l string) string {
	if s.choose(6) != 1 {
		quoted, _ := json.Marshal(l)
		return string(quoted)
	}
	b := []byte{'"'}
	for _, unit := range utf16.Encode([]rune(l)) {
		b = fmt.Appendf(b, `\u%04x`, unit)
	}
	return string(append(b, '"'))
}

func visible(a *attr.Attribute) bool {
	return a.Returned != attr.Never && a.Mutability != attr.WriteOnly && !a.Dropped
}

// generate returns a filter over the sub-attributes of scope, or over the whole
// type where scope is the document.
func (s *script) generate(scope *attr.Attribute, root, depth int) generated {
	kind := s.choose(8)
	if depth == 0 {
		kind = 4 + kind%4
	}
	switch kind {
	case 0, 1, 2:
		left, right := s.generate(scope, root, depth-1), s.generate(scope, root, depth-1)
		if kind == 2 {
			return generated{left.within(0, s) + s.word("or") + right.within(0, s), 0, func(d map[string]any) bool { return left.holds(d) || right.holds(d) }}
		}
		return generated{left.within(1, s) + s.word("and") + right.within(1, s), 1, func(d map[string]any) bool { return left.holds(d) && right.holds(d) }}
	case 3:
		inner := s.generate(scope, root, depth-1)
		return generated{strings.TrimLeft(s.word("not"), " ") + "(" + inner.text + s.space() + ")", 2, func(d map[string]any) bool { return !inner.holds(d) }}
	case 4:
		if root == 0 {
			break // brackets do not nest
		}
		complexes := slices.DeleteFunc(below(scope, root), func(a *attr.Attribute) bool { return a.Kind != attr.Complex || a.Extension })
		a := complexes[s.choose(len(complexes))]
		inner := s.generate(a, 0, depth)
		return generated{s.name(a, root) + "[" + s.space() + inner.text + s.space() + "]", 2, func(d map[string]any) bool {
			return slices.ContainsFunc(slots(d, a, root), func(v any) bool {
				element, ok := v.(map[string]any)
				return ok && inner.holds(element)
			})
		}}
	}
	return s.leaf(scope, root)
}

// below returns what a filter may name: all attributes of the type, or the
// sub-attributes of scope.
func below(scope *attr.Attribute, root int) (all []*attr.Attribute) {
	for _, a := range scope.Subs {
		if a.Name == "meta" || !visible(a) {
			continue
		}
		all = append(all, a)
		if root > 0 {
			all = append(all, below(a, root)...)
		}
	}
	return all
}

func (s *script) leaf(scope *attr.Attribute, root int) generated {
	candidates := below(scope, root)
	a := candidates[s.choose(len(candidates))]
	name := s.name(a, root)
	present := func(d map[string]any) bool {
		return slices.ContainsFunc(slots(d, a, root), func(v any) bool { return isFilled(v, a) })
	}
	switch s.choose(12) {
	case 1:
		return generated{name + " pr", 2, present}
	case 2:
		return generated{name + " eq null", 2, func(d map[string]any) bool { return !present(d) }}
	case 3:
		return generated{name + " ne NULL", 2, present}
	}
	if a.Kind == attr.Complex {
		if a.Extension || a.ValueSub() == nil || !visible(a.ValueSub()) {
			return generated{name + " pr", 2, present}
		}
		a = a.ValueSub()
		if root == 0 {
			panic("a complex attribute in brackets")
		}
	}
	op, literal := "eq", ""
	holds := func(any) bool { return false }
	switch a.Kind {
	case attr.String, attr.Reference:
		l := s.literal(a, texts)
		op, literal = s.of([]string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "eq"}), s.quote(l)
		holds = func(v any) bool { return textHolds(v.(string), op, l, a.CaseExact) }
	case attr.Boolean:
		op, literal = s.of([]string{"eq", "ne"}), s.of([]string{"true", "false", "TRUE"})
		holds = func(v any) bool { return (v.(bool) == strings.EqualFold(literal, "true")) == (op == "eq") }
	case attr.Integer:
		op, literal = s.of([]string{"eq", "ne", "gt", "ge", "lt", "le"}), s.literal(a, numbers)
		holds = func(v any) bool { return ordered(rational(v.(json.Number).String()).Cmp(rational(literal)), op) }
	case attr.Decimal:
		op, literal = s.of([]string{"eq", "ne", "gt", "ge", "lt", "le"}), s.literal(a, numbers)
		holds = func(v any) bool {
			l, _ := strconv.ParseFloat(literal, 64)
			f, _ := v.(json.Number).Float64()
			return ordered(new(big.Float).SetFloat64(f).Cmp(new(big.Float).SetFloat64(l)), op)
		}
	case attr.DateTime:
		l := s.literal(a, instants)
		op, literal = s.of([]string{"eq", "ne", "gt", "ge", "lt", "le"}), `"`+l+`"`
		holds = func(v any) bool { return ordered(instant(v.(string)).Compare(instant(l)), op) }
	case attr.Binary:
		l := s.literal(a, octets)
		op, literal = s.of([]string{"eq", "ne"}), `"`+l+`"`
		holds = func(v any) bool { return bytes.Equal(decoded(v.(string)), decoded(l)) == (op == "eq") }
	case attr.Complex:
	}
	spelled := op
	if s.choose(4) == 1 {
		spelled = strings.ToUpper(op)
	}
	return generated{name + " " + s.space() + spelled + " " + literal, 2, func(d map[string]any) bool {
		return slices.ContainsFunc(slots(d, a, root), func(v any) bool {
			if v == nil {
				return op == "ne"
			}
			return holds(v)
		})
	}}
}

// slots returns the values of a, and nil for each place where one is missing.
func slots(d map[string]any, a *attr.Attribute, root int) []any {
	holders := []any{d}
	if root > 0 && a.Parent != nil {
		holders = slots(d, a.Parent, root)
	}
	var all []any
	for _, h := range holders {
		object, _ := h.(map[string]any)
		switch v := object[a.Name].(type) {
		case []any:
			all = append(all, v...)
		default:
			all = append(all, v)
		}
	}
	return all
}

func isFilled(v any, a *attr.Attribute) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case map[string]any:
		for name, sub := range v {
			if s := a.Sub(name); visible(s) && isFilled(sub, s) {
				return true
			}
		}
		return false
	case []any:
		return slices.ContainsFunc(v, func(v any) bool { return isFilled(v, a) })
	}
	return true
}

func ordered(order int, op string) bool {
	switch op {
	case "eq":
		return order == 0
	case "ne":
		return order != 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	}
	panic(op)
}

func textHolds(v, op, l string, exact bool) bool {
	if !exact {
		v, l = folded(v), folded(l)
	}
	switch op {
	case "co":
		return strings.Contains(v, l)
	case "sw":
		return strings.HasPrefix(v, l)
	case "ew":
		return strings.HasSuffix(v, l)
	}
	return ordered(strings.Compare(v, l), op)
}

// folded spells out what [attr.Fold] promises.
func folded(s string) string {
	var b strings.Builder
	for _, r := range s {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if least < 128 {
			least = unicode.ToLower(least)
		}
		b.WriteRune(least)
	}
	return b.String()
}

func rational(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

func instant(s string) time.Time {
	if len(s) == len("2006-01-02T15:04:05") {
		s += "Z" // no zone is UTC
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func decoded(s string) []byte {
	b, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(s))
	if err != nil {
		panic(err)
	}
	return b
}

// checkAgainstReference makes a document and a filter of the choices and
// compares the matcher, on both forms of the document, with the reference.
func checkAgainstReference(t testing.TB, typ *attr.Type, data []byte) (matched bool) {
	s := &script{data: data, urn: typ.Schema.ID}
	s.doc = s.randomObject(typ.Root())
	g := s.generate(typ.Root(), 1, s.choose(4))
	body, err := json.Marshal(s.doc)
	require.NoError(t, err)
	doc := stored(t, typ, body)
	plain := map[string]any{}
	dec := json.NewDecoder(strings.NewReader(doc.JSON()))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&plain))

	e, fired, err := filter.Parse(g.text, typ, filter.Options{Length: 1 << 20})
	require.NoError(t, err, g.text)
	require.Zero(t, fired)
	want := g.holds(plain)
	require.Equal(t, want, filter.Match(e, doc.Value()), "%s\nstored %s", g.text, doc.JSON())
	thawed := doc.Thaw()
	require.Equal(t, want, filter.Match(e, thawed.Value()), "%s\nthawed %s", g.text, doc.JSON())
	thawed.Release()
	requireSame(t, typ, e)
	for a, l := range filter.Equalities(e) {
		require.Equal(t, filter.Text, l.Kind())
		if want {
			require.True(t, slices.ContainsFunc(slots(plain, a, 1), func(v any) bool { return v != nil && textHolds(v.(string), "eq", l.Text(), a.CaseExact) }),
				"%s matches and %s is not %s", g.text, a.Path(), l)
		}
	}
	for _, a := range typ.Root().Subs {
		if want != filter.Match(e, without(t, typ, plain, a).Value()) {
			require.True(t, filter.Uses(e, a), "%s depends on %s", g.text, a.Path())
		}
	}
	return want
}

// without returns the document without the values of an attribute at the top.
func without(t testing.TB, typ *attr.Type, plain map[string]any, a *attr.Attribute) *attr.Stored {
	rest := map[string]any{}
	for name, v := range plain {
		if name != a.Name {
			rest[name] = v
		}
	}
	body, err := json.Marshal(rest)
	require.NoError(t, err)
	return stored(t, typ, body)
}

// denseType has every data type, single- and multi-valued and compared in both
// ways, at the top, in complex attributes and in an extension: few attributes,
// so that filters and documents meet.
func denseType(t testing.TB) *attr.Type {
	t.Helper()
	var simple []string
	for _, kind := range []string{"string", "boolean", "integer", "decimal", "dateTime", "reference", "binary"} {
		for _, multi := range []bool{false, true} {
			simple = append(simple, fmt.Sprintf(`{"name":"%s-%t","type":"%s","multiValued":%t}`, kind, multi, kind, multi))
		}
	}
	simple = append(simple, `{"name":"exact","caseExact":true}`, `{"name":"exacts","caseExact":true,"multiValued":true}`, `{"name":"value"}`)
	subs := strings.Join(simple, ",")
	attributes := subs + `,{"name":"one","type":"complex","subAttributes":[` + subs + `]},{"name":"many","type":"complex","multiValued":true,"subAttributes":[` + subs + `]}`
	types, err := attr.ParseTypes([]byte(`[{"name":"Dense","endpoint":"/Dense","schema":"urn:test:2.0:Dense","schemaExtensions":[{"schema":"urn:test:2.0:Dense:more"}]},
		{"id":"urn:test:2.0:Dense","attributes":[` + attributes + `]},{"id":"urn:test:2.0:Dense:more","attributes":[` + attributes + `]}]`))
	require.NoError(t, err)
	return types[0]
}

// The matcher agrees with a slow evaluator over maps. MUSTER_SEED=n runs the
// case n alone.
func TestMatchAgainstReference(t *testing.T) {
	types := []*attr.Type{denseType(t), userType(t)}
	seed, end := uint64(0), uint64(1_500)
	if n, err := strconv.ParseUint(os.Getenv("MUSTER_SEED"), 10, 32); err == nil {
		seed, end = n, n+1
	}
	rounds := int(end - seed)
	defer func() {
		if t.Failed() {
			t.Logf("again: MUSTER_SEED=%d go test ./filter -run Reference", seed)
		}
	}()
	matches := 0
	for ; seed < end; seed++ {
		random := rand.New(rand.NewPCG(seed, 2))
		data := make([]byte, 3000)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		if checkAgainstReference(t, types[min(seed%4, 1)], data) { // the large type takes its time
			matches++
		}
	}
	if rounds > 1 {
		require.Greater(t, matches, rounds/10, "the documents and filters are too far apart to show anything")
		require.Less(t, matches, rounds*9/10)
	}
}

// Canonical is the same for two values exactly if eq holds between them.
func TestCanonicalAgreesWithEq(t *testing.T) {
	typ := denseType(t)
	for _, a := range typ.Root().Subs {
		pool := map[attr.Kind][]string{
			attr.String: texts, attr.Reference: texts, attr.Boolean: {"true", "false"}, attr.Integer: integers,
			attr.Decimal: decimals, attr.DateTime: instants, attr.Binary: octets,
		}[a.Kind]
		for _, x := range pool {
			for _, y := range pool {
				literal := y
				if a.Textual() {
					quoted, _ := json.Marshal(y)
					literal = string(quoted)
				}
				e, _, err := filter.Parse(a.Path()+" eq "+literal, typ, filter.Options{})
				require.NoError(t, err)
				require.Equal(t, e.(*filter.Compare).Holds(x), filter.Canonical(a, x) == filter.Canonical(a, y), "%s: %s, %s", a.Path(), x, y)
			}
		}
	}
}

func FuzzMatch(f *testing.F) {
	types := []*attr.Type{denseType(f), userType(f)}
	for i := range 32 {
		f.Add(bytes.Repeat([]byte{byte(i), byte(i * 7), byte(i * 31)}, 60))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkAgainstReference(t, types[len(data)%2], data) })
}
