package sqlstore

import (
	"context"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/filter"
)

var _ scim.Anticipator = (*tx)(nil)

// An absence is what a transaction knows that nobody of a directory has, until it
// writes: a key of an account, or of a resource by an attribute.
type absence struct {
	directory scim.Key
	of        string // the column of accounts, or the path of the attribute
	key       string
}

// Anticipate implements [scim.Anticipator]. It asks for everything in one
// statement, and only whether there is anything: usually there is not.
func (x *tx) Anticipate(ctx context.Context, q *scim.Questions) error {
	v, err := x.view(q.Directory.Tenant)
	if err != nil {
		return err
	}
	k := x.kindOf(q.Type)
	if k == nil {
		return errForeignType(q.Type)
	}
	if !k.typ.IsUser() {
		return nil
	}
	if err := x.flushAccounts(ctx); err != nil {
		return err
	}
	args := []any{q.Directory.Tenant, q.Directory.Directory, q.Type.Name}
	parameter := func(text string) string {
		args = append(args, text)
		return "$" + strconv.Itoa(len(args)) + "::text"
	}
	var asked []absence
	var questions []string
	ask := func(of, key, from string) {
		asked = append(asked, absence{q.Directory, of, key})
		questions = append(questions, "EXISTS (SELECT 1 FROM "+from+")")
	}
	for _, e := range q.Equal {
		key, ok := k.keyOf(e)
		if !ok {
			continue
		}
		path := e.Attr.Path()
		if e.Attr == k.userName {
			ask(path, key, `@resources r WHERE r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text AND r.user_key = `+parameter(key))
		} else {
			ask(path, key, `@indexed_values i WHERE i.tenant = $1::text AND i.directory = $2::text AND i.type = $3::text AND i.attribute = `+parameter(path)+` AND i.key = `+parameter(key))
		}
	}
	for _, a := range [...]struct{ column, text string }{{goneExternal, q.ExternalID}, {goneEmail, q.DepartedEmail}, {keptEmail, q.KeptEmail}} {
		if a.text != "" && storable(a.text) {
			key := indexKey(a.text)
			ask(a.column, key, `@accounts a WHERE a.tenant = $1::text AND a.directory = $2::text AND a.`+a.column+` = `+parameter(key))
		}
	}
	if len(asked) == 0 {
		return nil
	}
	there := make([]bool, len(asked))
	into := make([]any, len(asked))
	for i := range there {
		into[i] = &there[i]
	}
	if err := v.db.QueryRowContext(ctx, v.statement("SELECT "+strings.Join(questions, ", ")), args...).Scan(into...); err != nil {
		return failed(ctx, err)
	}
	for i, is := range there {
		if !is {
			x.absent = append(x.absent, asked[i])
		}
	}
	return nil
}

// keyOf returns what an index has for a comparison with userName or a value that
// has rows of its own; ok is false for any other.
func (k *kind) keyOf(e *filter.Compare) (key string, ok bool) {
	if e.Op != filter.Eq || e.Value.IsNull() || e.Attr != k.userName && k.index(e.Attr) == nil {
		return "", false
	}
	ordered := e.Ordered()
	return indexKey(ordered), ordered != "" && storable(ordered)
}

// lacks reports whether it is known that nobody has it.
func (x *tx) lacks(directory scim.Key, of, key string) bool {
	for _, a := range x.absent {
		if a.directory == directory && a.of == of && a.key == key {
			return true
		}
	}
	return false
}

// findsNothing reports whether it is known that a query finds nothing.
func (x *tx) findsNothing(q *scim.Query, k *kind) bool {
	if len(x.absent) == 0 || q.Positioned || !k.typ.IsUser() {
		return false
	}
	e, ok := q.Filter.(*filter.Compare)
	if !ok {
		return false
	}
	key, ok := k.keyOf(e)
	return ok && x.lacks(q.Directory, e.Attr.Path(), key)
}
