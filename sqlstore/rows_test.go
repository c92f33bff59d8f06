package sqlstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Few rows are parameters each, many are one; what is written is the same.
func TestRows(t *testing.T) {
	const statement = `INSERT INTO @x (a, b, c) SELECT $1::text, (e.value->>0)::bigint, e.value->>1 FROM {rows $2} WHERE true ON CONFLICT DO NOTHING`
	for n, want := range []struct {
		statement string
		args      []any
	}{
		{statement, []any{`[]`}},
		{`INSERT INTO @x (a, b, c) VALUES ($1::text, $2::bigint, $3::text) ON CONFLICT DO NOTHING`, []any{int64(0), "a\uFFFD\uFFFD"}},
		{`INSERT INTO @x (a, b, c) VALUES ($1::text, $2::bigint, $3::text), ($1::text, $4::bigint, $5::text) ON CONFLICT DO NOTHING`, []any{int64(0), "a\uFFFD\uFFFD", int64(1), "a\uFFFD\uFFFD"}},
		{statement, []any{`[[0,"a` + "\uFFFD\uFFFD" + `"],[1,"a` + "\uFFFD\uFFFD" + `"],[2,"a` + "\uFFFD\uFFFD" + `"]]`}},
	} {
		var r rows
		for i := range n {
			r.add(int64(i), "a\x00\xff")
		}
		got, args := r.write(statement)
		require.Equal(t, want.statement, got)
		require.Equal(t, want.args, args)
	}
	joined := rows{most: 1}
	joined.add("k", true)
	got, _ := joined.write(`WITH r AS (x) SELECT $1::text, e.value->>0, r.id, (e.value->>1)::boolean FROM r, {rows $15}) SELECT count(*) FROM r`)
	require.Equal(t, `WITH r AS (x) SELECT $1::text, $15::text, r.id, $16::boolean FROM r) SELECT count(*) FROM r`, got)
	joined.add("l", nil)
	require.Equal(t, `[["k",true],["l",null]]`, joined.json())
}
