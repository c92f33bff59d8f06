package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// A lister makes the statements of a query. It is of one goroutine.
type lister struct {
	compiler

	q    *scim.Query
	base string // where: the directory and type, and the filter
	sort sortKey
}

// list answers a query: the page, and how many match unless the page says so.
func (v view) list(ctx context.Context, q *scim.Query) (*scim.Page, error) {
	k := v.kindOf(q.Type)
	if k == nil {
		return nil, errForeignType(q.Type)
	}
	if v.tx != nil && v.tx.findsNothing(q, k) {
		return &scim.Page{}, nil
	}
	l := &lister{compiler: compiler{names: v.names, kind: k, args: make([]any, 0, 8)}, q: q}
	for _, text := range []string{q.Directory.Tenant, q.Directory.Directory, q.Type.Name} {
		l.text(text)
	}
	l.base = `r.tenant = $1::text AND r.directory = $2::text AND r.type = $3::text`
	if q.Filter != nil {
		l.base += " AND " + l.where(q.Filter)
	}
	counting := len(l.args)
	page := &scim.Page{}
	var from string
	if q.Positioned {
		if q.After != "" {
			l.sort = l.sorting()
			if from, page.Positioned = l.behind(q.After); !page.Positioned {
				from = ""
			}
		} else {
			page.Positioned = true
		}
	}
	if q.Count > 0 && (page.Positioned || !q.Positioned) {
		if l.single() {
			return page, v.one(ctx, l, page)
		}
		if l.sort.sql == "" {
			l.sort = l.sorting()
		}
		if err := v.page(ctx, l, from, page); err != nil {
			return nil, err
		}
		// A first page that is not full says how many there are.
		if n := len(page.Resources); n <= q.Count && page.Next == "" && q.After == "" && q.StartIndex <= 1 && page.Total == 0 {
			if n < q.Count || q.Positioned {
				page.Total = n
				return page, nil
			}
		}
	}
	var err error
	page.Total, err = v.total(ctx, l, counting)
	return page, err
}

// single reports whether the filter asks for a value that one resource has, and
// the page begins with it: there is nothing to sort, to count or to leave out.
func (l *lister) single() bool {
	if l.q.Filter == nil || l.q.StartIndex > 1 || l.q.Count < 1 || l.q.After != "" {
		return false
	}
	for _, term := range terms[*filter.And](l.q.Filter, nil) {
		e, ok := term.(*filter.Compare)
		if !ok || e.Op != filter.Eq || e.Value.IsNull() || e.Ordered() == "" {
			continue
		}
		switch e.Attr {
		case l.kind.typ.ID, l.kind.typ.ExternalID, l.kind.userName:
			return true
		}
	}
	return false
}

// one reads the resource of a page that can have one.
func (v view) one(ctx context.Context, l *lister, page *scim.Page) error {
	var row scanned
	err := v.db.QueryRowContext(ctx, v.query(`SELECT `+columns+` FROM @resources r WHERE `+l.base), l.args...).Scan(row.targets()...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return failed(ctx, err)
	}
	r, err := v.resource(l.q.Directory, l.kind, &row)
	if err != nil {
		return err
	}
	page.Resources, page.Total = []*scim.Resource{r}, 1
	return nil
}

// page reads the resources of the page.
func (v view) page(ctx context.Context, l *lister, from string, page *scim.Page) error {
	q := l.q
	want, skip := int64(q.Count), int64(q.StartIndex-1)
	if q.Positioned {
		want, skip = want+1, 0
	}
	key := "''"
	if q.Positioned && l.sort.sql != "" {
		key = l.sort.sql
	}
	statement := `SELECT ` + columns + `, ` + key + ` FROM @resources r WHERE ` + l.base + from + ` ORDER BY ` + l.order() + ` LIMIT ` + l.number(want)
	if skip > 0 { // what it might skip would make PostgreSQL plan anew each time
		statement += ` OFFSET ` + l.number(skip)
	}
	more := false
	var last sql.NullString
	return v.eachOf(ctx, v.query(statement), func(rows *sql.Rows) error {
		var row scanned
		var key sql.NullString
		if err := rows.Scan(append(row.targets(), &key)...); err != nil {
			return err
		}
		if q.Positioned && len(page.Resources) == q.Count {
			if !more {
				page.Next = l.position(last, page.Resources[len(page.Resources)-1].ID())
			}
			more = true
			return nil
		}
		r, err := v.resource(q.Directory, l.kind, &row)
		if err != nil {
			return err
		}
		page.Resources = append(page.Resources, r)
		last = key
		return nil
	}, l.args...)
}

// total returns how many resources match: all are counted already.
func (v view) total(ctx context.Context, l *lister, arguments int) (total int, err error) {
	if l.q.Filter != nil {
		err = v.db.QueryRowContext(ctx, v.query(`SELECT count(*) FROM @resources r WHERE `+l.base), l.args[:arguments]...).Scan(&total)
		return total, failed(ctx, err)
	}
	err = v.db.QueryRowContext(ctx, v.statement(`SELECT resources FROM @counts WHERE tenant = $1::text AND directory = $2::text AND type = $3::text`), l.args[:3]...).Scan(&total)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if v.tx != nil {
		total += int(v.tx.pending.counts[counted{l.q.Directory.Directory, l.q.Type.Name}])
	}
	return total, failed(ctx, err)
}

// A sortKey is what a query sorts by.
type sortKey struct {
	sql     string // null where a resource has no value; "" if all are alike
	numeric bool
}

// sorting returns the key of the query's SortBy, as [scim.Query.Sort] takes it:
// of a multi-valued attribute the primary value, or the first.
func (l *lister) sorting() sortKey {
	a := l.q.SortBy
	t := l.kind.typ
	switch {
	case a == nil, a == t.ID:
		return sortKey{}
	case a.Within(t.Meta):
		switch a.Name {
		case "created":
			return sortKey{"r.created", true}
		case "lastModified":
			return sortKey{"r.modified", true}
		case "version":
			return sortKey{"r.version", true}
		}
		return sortKey{} // all are alike, or end in the id
	case l.kind.groups != nil && a.Within(l.kind.groups), l.kind.members != nil && a.Within(l.kind.members):
		return sortKey{} // not in the document
	}
	list := a
	for list != nil && !list.MultiValued {
		list = list.Parent
	}
	switch {
	case list == nil && a.Kind == attr.Complex: // nothing to compare but whether it is there
		return sortKey{sql: "(CASE WHEN " + l.exists(a) + " THEN '' END)"}
	case list == nil:
		return sortKey{sql: l.leaf(a)}
	case list.Parent != nil && list.Parent.MultiValued: // of the first one's
		outer := l.elements(list.Parent)
		from := outer.list(list)
		return sortKey{sql: `(SELECT (SELECT ` + from.value + from.from + ` ORDER BY ` + from.place + ` LIMIT 1)` + outer.from + ` ORDER BY ` + outer.place + ` LIMIT 1)`}
	}
	from := l.elements(list)
	key := from.value
	switch {
	case list != a:
		key = from.sub(a)
	case a.Kind == attr.Complex:
		key = "''"
	}
	order := from.place
	if p := list.PrimarySub(); p != nil {
		order = `CASE WHEN ` + from.sub(p) + ` = 'true' THEN 0 ELSE 1 END, ` + order
	}
	return sortKey{sql: `(SELECT ` + key + from.from + ` ORDER BY ` + order + ` LIMIT 1)`}
}

// order returns the order of the query: those without value last, or first in
// descending order, and what is alike by id. By id alone the order is ascending
// whatever was asked for, as [scim.Query.Sort] has it, unless it is the id that
// is sorted by.
func (l *lister) order() string {
	direction, missing := "", " NULLS LAST"
	if l.q.Descending {
		direction, missing = " DESC", " NULLS FIRST"
	}
	switch {
	case l.sort.sql == "":
		if l.byID() {
			return "r.id" + direction
		}
		return "r.id"
	case l.sort.numeric:
		return l.sort.sql + direction + ", r.id"
	}
	return l.exact(l.sort.sql) + direction + missing + ", r.id"
}

// byID reports whether the id is what the query sorts by.
func (l *lister) byID() bool {
	a := l.q.SortBy
	return a != nil && (a == l.kind.typ.ID || a.Within(l.kind.typ.Meta) && a.Name == "location")
}

// position names the place behind a resource.
func (l *lister) position(key sql.NullString, id string) string {
	if l.sort.sql == "" || !key.Valid {
		return "-" + id
	}
	return "+" + strconv.Itoa(len(key.String)) + ":" + key.String + id
}

// behind returns the condition for what comes after a position. ok is false for
// what is none.
func (l *lister) behind(position string) (condition string, ok bool) {
	id, missing := strings.CutPrefix(position, "-")
	if missing {
		if !storable(id) {
			return "", false
		}
		after := " AND r.id > " + l.text(id)
		switch {
		case l.sort.sql == "":
			if l.byID() && l.q.Descending {
				after = strings.Replace(after, ">", "<", 1)
			}
			return after, true
		case l.sort.numeric:
			return "", false
		case l.q.Descending:
			return " AND (" + l.sort.sql + " IS NOT NULL OR" + strings.TrimPrefix(after, " AND") + ")", true
		}
		return " AND " + l.sort.sql + " IS NULL" + after, true
	}
	rest, ok := strings.CutPrefix(position, "+")
	length, rest, colon := strings.Cut(rest, ":")
	n, err := strconv.Atoi(length)
	if !ok || !colon || err != nil || n < 0 || n > len(rest) || l.sort.sql == "" || !storable(rest) {
		return "", false
	}
	less := " > "
	if l.q.Descending {
		less = " < "
	}
	id = l.text(rest[n:])
	if l.sort.numeric {
		at, err := strconv.ParseInt(rest[:n], 10, 64)
		if err != nil {
			return "", false
		}
		key := l.number(at)
		return " AND (" + l.sort.sql + less + key + " OR " + l.sort.sql + " = " + key + " AND r.id > " + id + ")", true
	}
	key := l.text(rest[:n])
	condition = l.exact(l.sort.sql) + less + key + " OR " + l.sort.sql + " = " + key + " AND r.id > " + id
	if !l.q.Descending {
		condition += " OR " + l.sort.sql + " IS NULL"
	}
	return " AND (" + condition + ")", true
}

// exact compares a text of a search document by bytes.
func (c *compiler) exact(expr string) string {
	if c.Dialect == PostgreSQL {
		return `(` + expr + `) COLLATE "C"`
	}
	return expr
}
