package scim

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// The parameters of a query, RFC 7644 section 3.4.2 and RFC 9865 section 2.
type parameters struct {
	filter, sortBy, sortOrder, startIndex, count, cursor string
	attributes, excluded                                 []string

	has struct{ filter, sortBy, startIndex, count, cursor bool }
}

// parseParameters reads a URL's query. Unknown parameters are ignored, an empty
// one is as good as none, but for cursor, which then asks for the first page; of
// one that is there twice the first counts.
func parseParameters(raw string) (p parameters, err error) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if strings.IndexByte(name, '%') >= 0 { // a filter that is overlooked would select everything
			if name, err = url.QueryUnescape(name); err != nil {
				return p, refuse(http.StatusBadRequest, InvalidValue, "the name of a query parameter is not correctly percent-encoded").because(ReasonSyntax)
			}
		}
		var into *string
		var has *bool
		switch name {
		case "filter":
			into, has = &p.filter, &p.has.filter
		case "sortBy":
			into, has = &p.sortBy, &p.has.sortBy
		case "startIndex":
			into, has = &p.startIndex, &p.has.startIndex
		case "count":
			into, has = &p.count, &p.has.count
		case "cursor":
			into, p.has.cursor = &p.cursor, true
		case "sortOrder":
			into = &p.sortOrder
		case "attributes", "excludedAttributes":
		default:
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return p, refuse(http.StatusBadRequest, InvalidValue, "the query parameter ", name, " is not correctly percent-encoded").because(ReasonSyntax)
		}
		switch {
		case name == "attributes":
			p.attributes = append(p.attributes, splitNames(value)...)
		case name == "excludedAttributes":
			p.excluded = append(p.excluded, splitNames(value)...)
		case value == "" || *into != "":
		default:
			*into = value
			if has != nil {
				*has = true
			}
		}
	}
	return p, nil
}

func splitNames(s string) (names []string) {
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// query resolves the parameters for a type (RFC 7644 sections 3.4.2.2 to
// 3.4.2.4). Where the query is about other types too, elsewhere reports what
// they have ([filter.Options]).
func (e *Engine) query(q *request, t *ResourceType, p *parameters, elsewhere func(path string) bool) (*Query, error) {
	limits := e.cfg.Limits
	query := &Query{Directory: q.Directory, Type: t, StartIndex: 1, Count: limits.DefaultPage}
	var err error
	ofCount := InvalidValue
	if p.has.cursor {
		// Who does not offer cursors ignores that one is asked for: startIndex
		// in the answer tells. One that is sent can only be a mistake.
		query.Positioned = e.cfg.CursorKey != nil
		ofCount = InvalidCount
		switch {
		case !query.Positioned && p.cursor != "":
			return nil, refuse(http.StatusBadRequest, InvalidCursor, "cursors are not offered here; page with startIndex and count (pagination in /ServiceProviderConfig)")
		case query.Positioned && p.has.startIndex:
			return nil, refuse(http.StatusBadRequest, InvalidValue, "startIndex and cursor are two methods of paging; send one of them, RFC 9865 section 2.4").because(ReasonSyntax)
		}
	}
	if p.has.startIndex {
		if query.StartIndex, err = pagingNumber("startIndex", p.startIndex, 1, InvalidValue); err != nil {
			return nil, err
		}
	}
	if p.has.count {
		if query.Count, err = pagingNumber("count", p.count, 0, ofCount); err != nil {
			return nil, err
		}
		query.Count = min(query.Count, limits.Page)
	}
	if p.has.filter {
		var fired attr.Lenience
		query.Filter, fired, err = filter.Parse(p.filter, t.Type, filter.Options{Lenience: q.lenience, Depth: limits.Depth, Length: limits.FilterLength, Elsewhere: elsewhere})
		q.Fired |= fired
		if err != nil {
			return nil, err
		}
		query.Filter = inBothSpellings(t, query.Filter)
	}
	if p.has.sortBy {
		if query.SortBy, err = sortAttribute(q, t, p.sortBy); err != nil {
			return nil, err
		}
		switch {
		case p.sortOrder == "", strings.EqualFold(p.sortOrder, "ascending"):
		case strings.EqualFold(p.sortOrder, "descending"):
			query.Descending = true
		default:
			return nil, refuse(http.StatusBadRequest, InvalidValue, "sortOrder is ascending or descending, not ", attr.Quote(p.sortOrder)).because(ReasonSyntax)
		}
	}
	return query, nil
}

// pagingNumber reads startIndex or count: what is less than the least means
// the least, RFC 7644 section 3.4.2.4.
func pagingNumber(name, s string, least int, wrong ErrorType) (int, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		digits := strings.TrimPrefix(s, "-")
		if digits == "" || strings.Trim(digits, "0123456789") != "" {
			return 0, refuse(http.StatusBadRequest, wrong, name, " is a whole number, not ", attr.Quote(s), ", RFC 7644 section 3.4.2.4").because(ReasonSyntax)
		}
		if s[0] == '-' {
			return least, nil
		}
	}
	const most = 1 << 30 // beyond any page
	return int(min(max(n, int64(least)), most)), nil
}

// sortAttribute resolves sortBy. What a client may not see it may not sort by
// either (rule E3).
func sortAttribute(q *request, t *ResourceType, name string) (*attr.Attribute, error) {
	a, fired := t.Lookup(name, q.lenience)
	q.Fired |= fired
	if a == nil {
		return nil, refuse(http.StatusBadRequest, InvalidValue, "sortBy: ", t.Name, " has no attribute ", attr.Quote(name)).because(ReasonFilter)
	}
	if a.Kind == attr.Complex {
		if a.ValueSub() == nil || a.Extension {
			return nil, refuse(http.StatusBadRequest, InvalidValue, "sortBy: ", a.Path(), " is complex; name one of its sub-attributes").because(ReasonFilter)
		}
		a = a.ValueSub()
	}
	for at := a; at != nil; at = at.Parent {
		if at.Returned == attr.Never || at.Mutability == attr.WriteOnly || at.Dropped {
			return nil, refuse(http.StatusBadRequest, InvalidValue, "sortBy: ", a.Path(), " is never returned and cannot be sorted by").because(ReasonFilter)
		}
	}
	if t.members != nil && a.Within(t.members) || t.groups != nil && a.Within(t.groups) {
		return nil, refuse(http.StatusBadRequest, InvalidValue, "sortBy: ", a.Path(), " is not kept with the resource and cannot be sorted by").because(ReasonFilter)
	}
	return a, nil
}

const listSchema = "urn:ietf:params:scim:api:messages:2.0:ListResponse"

// list answers a query, RFC 7644 section 3.4.2: it returns the end of the answer,
// what comes before is sent.
func (e *Engine) list(ctx context.Context, b []byte, q *request, t *ResourceType, p *parameters, v view) ([]byte, error) {
	query, err := e.query(q, t, p, nil)
	if err != nil {
		return nil, err
	}
	query.WithoutMembers = !v.showsMembers(t)
	page, next, err := e.page(ctx, q, query, p.cursor)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(page.Resources))
	for i, r := range page.Resources {
		ids[i] = r.id
	}
	groups, err := e.groupsToShow(ctx, q, t, ids, v)
	if err != nil {
		return nil, err
	}
	v.listed = true
	b = appendPageHead(b, query, page.Total, len(page.Resources), next)
	for i, r := range page.Resources {
		if i > 0 {
			b = append(b, ',')
		}
		var of []GroupRef
		if groups != nil {
			of = groups[i]
		}
		if b, err = e.appendResource(ctx, b, r, of, v); err != nil {
			return nil, err
		}
		if b, err = v.relieve(b); err != nil {
			return nil, err
		}
	}
	return append(b, "]}"...), nil
}

// page asks the store for the page that a query is about, or that a cursor
// stands for, and returns the cursor of the next one.
func (e *Engine) page(ctx context.Context, q *request, query *Query, cursor string) (page *Page, next string, err error) {
	if !query.Positioned {
		page, err = plainTx{e}.List(ctx, query)
		return page, "", err
	}
	bound := binding(false, query)
	if query.After, err = e.openCursor(q, cursor, bound); err != nil {
		return nil, "", err
	}
	if page, err = (plainTx{e}).List(ctx, query); err != nil {
		return nil, "", err
	}
	if !page.Positioned {
		return nil, "", unpositioned(query)
	}
	next, err = e.sealCursor(q, page.Next, bound)
	return page, next, err
}

// appendPageHead appends what stands before the resources of a page. One that
// was asked for by cursor has no startIndex, and the cursor of the next page
// unless it is the last (RFC 9865 section 2).
func appendPageHead(b []byte, query *Query, total, items int, next string) []byte {
	if !query.Positioned {
		return appendListHead(b, total, items, query.StartIndex)
	}
	b = appendTotals(b, total, items)
	if next != "" { // plain text in any JSON
		b = append(b, `,"nextCursor":"`...)
		b = append(append(b, next...), '"')
	}
	return append(b, `,"Resources":[`...)
}

func appendListHead(b []byte, total, items, start int) []byte {
	b = appendTotals(b, total, items)
	b = append(b, `,"startIndex":`...)
	b = strconv.AppendInt(b, int64(start), 10)
	return append(b, `,"Resources":[`...)
}

func appendTotals(b []byte, total, items int) []byte {
	b = append(b, `{"schemas":["`+listSchema+`"],"totalResults":`...)
	b = strconv.AppendInt(b, int64(total), 10)
	b = append(b, `,"itemsPerPage":`...)
	return strconv.AppendInt(b, int64(items), 10)
}

// groupsToShow returns the groups of users that are about to be answered, nil
// where the answer does not have them.
func (e *Engine) groupsToShow(ctx context.Context, q *request, t *ResourceType, users []string, v view) ([][]GroupRef, error) {
	if t.groups == nil || len(users) == 0 || !v.includes(t.groups) {
		return nil, nil
	}
	if e.members != nil {
		return e.members.GroupsOf(ctx, q.Directory, users)
	}
	return plainTx{e}.GroupsOf(ctx, q.Directory, users)
}
