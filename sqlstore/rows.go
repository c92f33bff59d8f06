package sqlstore

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/muster-id/scim/internal/wire"
)

// rows are what a statement with {rows $n} at its end writes: any number of them
// are one parameter, an array in JSON of arrays. Most requests write one or two,
// and those are parameters each, which no database has to parse.
type rows struct {
	most   int    // rows whose values are parameters; 0: few
	n      int    // rows that there are
	single []any  // the values of so many at most
	b      []byte // all rows, where there are more
}

// few is how many rows are written without JSON: of each number there is a
// statement of its own to be compiled.
const few = 2

// add adds a row of strings, int64s, bools and nils.
func (r *rows) add(values ...any) {
	for i, v := range values {
		if text, ok := v.(string); ok && !storable(text) {
			values[i] = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
		}
	}
	r.n++
	switch {
	case r.n <= max(r.most, few):
		r.single = append(r.single, values...)
	case r.b == nil:
		r.encodeFew(len(values))
		fallthrough
	default:
		r.encode(values)
	}
}

func (r *rows) encodeFew(width int) {
	for i := 0; i < len(r.single); i += width {
		r.encode(r.single[i : i+width])
	}
	r.single = nil
}

func (r *rows) encode(values []any) {
	if r.b == nil {
		r.b = append(make([]byte, 0, 512), '[')
	}
	r.b = append(append(r.b, separator(r.b)...), '[')
	for i, v := range values {
		if i > 0 {
			r.b = append(r.b, ',')
		}
		if text, ok := v.(string); ok {
			r.b, _ = wire.AppendString(r.b, text)
			continue
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			panic(err) // numbers and truth values
		}
		r.b = append(r.b, encoded...)
	}
	r.b = append(r.b, ']')
}

// json returns the rows as an array, for statements that do more than to write
// them.
func (r *rows) json() string {
	if r.n == 0 {
		return "[]"
	}
	if r.b == nil {
		r.encodeFew(len(r.single) / r.n)
	}
	return string(r.b) + "]"
}

// write returns the statement that writes the rows and what follows its other
// arguments.
func (r *rows) write(statement string) (string, []any) {
	if r.b == nil && r.n > 0 {
		return spreads.of(shape{statement, r.n}), r.single
	}
	return statement, []any{r.json()}
}

// spreads has what spread has made: there are few statements.
var spreads = memo[shape]{make: func(s shape) string { return spread(s.statement, s.rows) }}

type shape struct {
	statement string
	rows      int
}

// A memo keeps what is made of a few constants.
type memo[K comparable] struct {
	made sync.Map // K → string
	make func(K) string
}

func (m *memo[K]) of(k K) string {
	if done, ok := m.made.Load(k); ok {
		return done.(string)
	}
	done := m.make(k)
	m.made.Store(k, done)
	return done
}

var (
	rowsSelect = regexp.MustCompile(`(?s)SELECT ([^{]*?) FROM (r, )?\{rows \$([0-9]+)\}( WHERE true)?`)
	castField  = regexp.MustCompile(`\(e\.value->>([0-9]+)\)`)
	plainField = regexp.MustCompile(`e\.value->>([0-9]+)`)
)

// spread returns a statement with {rows $n}, the last parameter, for as many rows
// whose values are parameters each.
func spread(statement string, n int) string {
	at := rowsSelect.FindStringSubmatchIndex(statement)
	fields, begin, join, end := statement[at[2]:at[3]], "VALUES (", "), (", ")"
	if at[4] >= 0 {
		begin, join, end = "SELECT ", " FROM r UNION ALL SELECT ", " FROM r"
	}
	next, _ := strconv.Atoi(statement[at[6]:at[7]]) // digits
	width := len(plainField.FindAllString(fields, -1))
	var b strings.Builder
	b.WriteString(statement[:at[0]] + begin)
	for i := range n {
		if i > 0 {
			b.WriteString(join)
		}
		parameter := func(field string) string {
			k, _ := strconv.Atoi(plainField.FindStringSubmatch(field)[1]) // digits
			return "$" + strconv.Itoa(next+i*width+k)
		}
		row := castField.ReplaceAllStringFunc(fields, parameter)
		b.WriteString(plainField.ReplaceAllStringFunc(row, func(field string) string { return parameter(field) + "::text" }))
	}
	b.WriteString(end + statement[at[1]:])
	return b.String()
}
