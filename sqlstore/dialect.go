package sqlstore

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A Dialect is a kind of database.
type Dialect uint8

// The dialects.
const (
	PostgreSQL Dialect = iota + 1 // 14 and later, and what speaks its protocol and has its SQL
	SQLite                        // 3.45 and later
)

// String returns the name, which is that of the folder of migrations too.
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "postgresql"
	case SQLite:
		return "sqlite"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// names turns the names of tables into those of the database.
type names struct {
	Dialect

	prefix string
	schema string // with the dot, or ""
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,40}$`)

func newNames(d Dialect, opts *Options) (names, error) {
	n := names{Dialect: d, prefix: "scim_"}
	if d != PostgreSQL && d != SQLite {
		return n, fmt.Errorf("sqlstore: no such dialect: %s", d)
	}
	if opts == nil {
		return n, nil
	}
	if opts.Prefix != "" {
		n.prefix = opts.Prefix
	}
	if opts.Schema != "" {
		if d != PostgreSQL {
			return n, errors.New("sqlstore: Options.Schema is for PostgreSQL; use Prefix")
		}
		n.schema = opts.Schema + "."
	}
	for option, name := range map[string]string{"Prefix": n.prefix, "Schema": strings.TrimSuffix(n.schema, ".")} {
		if name != "" && !plainName.MatchString(name) {
			return n, fmt.Errorf("sqlstore: Options.%s must be of small letters, digits and _, at most 40 of them, not %q", option, name)
		}
	}
	return n, nil
}

var (
	tableName = regexp.MustCompile(`@([a-z_]+)`)
	cast      = regexp.MustCompile(`::[a-z]+`)
	parameter = regexp.MustCompile(`\$([0-9]+)`)
	eachOf    = regexp.MustCompile(`\{each \$([0-9]+)\}`)
	rowsOf    = regexp.MustCompile(`\{rows \$([0-9]+)\}`)
	listOf    = regexp.MustCompile(`\{list ([^}]*)\}`)
)

// sql makes a statement of the database out of one in which
//
//	@name        is a table,
//	$1::text     is a parameter with its type,
//	{each $1}    are the texts of a parameter that is an array in JSON, as e.value,
//	{rows $1}    are its values, arrays themselves: e.value->>0 is the first,
//	{list a, b}  makes an array in JSON of arrays of what is found.
func (n names) sql(statement string) string {
	statement = tableName.ReplaceAllString(statement, n.schema+n.prefix+"$1")
	if n.Dialect == SQLite {
		statement = eachOf.ReplaceAllString(statement, `json_each($$$1) AS e`)
		statement = rowsOf.ReplaceAllString(statement, `json_each($$$1) AS e`)
		statement = listOf.ReplaceAllString(statement, `json_group_array(json_array($1))`)
		statement = cast.ReplaceAllString(statement, "")
		return parameter.ReplaceAllString(statement, "?$1")
	}
	statement = eachOf.ReplaceAllString(statement, `json_array_elements_text($$$1::text::json) AS e(value)`)
	statement = rowsOf.ReplaceAllString(statement, `jsonb_array_elements($$$1::text::jsonb) AS e(value)`)
	return listOf.ReplaceAllString(statement, `coalesce(json_agg(json_build_array($1)), '[]')::text`)
}
