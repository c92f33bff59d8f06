package scim

import (
	"strconv"
	"strings"

	"github.com/muster-id/scim/filter"
)

// A Collector makes the page that a query asks for out of the resources that
// match it, which are added in any order. For a positioned query it keeps two
// pages of them at most, for others all. It is used by one goroutine.
type Collector struct {
	q     *Query
	total int
	hits  []*Resource // where the query is not positioned

	// Where it is: what the page begins behind, unless it is the first one;
	// the best so far; and the last that can still be on the page or behind it.
	after    *sortKey
	foreign  bool // After is not a position
	keys     []sortKey
	worst    sortKey
	hasWorst bool
}

// Collector returns a collector for the page that the query asks for. The
// query must not change before the page is made.
func (q *Query) Collector() *Collector {
	c := &Collector{q: q}
	if q.Positioned && q.After != "" {
		if k, ok := q.keyAt(q.After); ok {
			c.after = &k
		} else {
			c.foreign = true
		}
	}
	return c
}

// Add adds a resource that matches.
func (c *Collector) Add(r *Resource) {
	c.total++
	switch {
	case !c.q.Positioned:
		c.hits = append(c.hits, r)
		return
	case c.foreign || c.q.Count == 0:
		return
	}
	k := c.q.sortKey(r)
	if c.after != nil && c.q.order(&k, c.after) <= 0 || c.hasWorst && c.q.order(&k, &c.worst) > 0 {
		return
	}
	c.keys = append(c.keys, k)
	if len(c.keys) > 2*c.q.Count {
		c.trim()
	}
}

// trim drops what can neither be on the page nor be the first thing behind it.
func (c *Collector) trim() {
	c.q.sortKeys(c.keys)
	if most := c.q.Count + 1; len(c.keys) >= most {
		clear(c.keys[most:])
		c.keys = c.keys[:most]
		c.worst, c.hasWorst = c.keys[most-1], true
	}
}

// Page returns the page.
func (c *Collector) Page() *Page {
	p := &Page{Total: c.total}
	if !c.q.Positioned {
		c.q.Sort(c.hits)
		if from := c.q.StartIndex - 1; from < len(c.hits) {
			p.Resources = c.hits[from:min(len(c.hits), from+c.q.Count)]
		}
		return p
	}
	p.Positioned = !c.foreign
	c.trim()
	for i := range c.keys[:min(len(c.keys), c.q.Count)] {
		p.Resources = append(p.Resources, c.keys[i].resource)
	}
	if n := len(p.Resources); n < len(c.keys) {
		p.Next = c.q.position(p.Resources[n-1])
	}
	return p
}

// position names the place behind a resource in the query's order: by what the
// resource is sorted by and its id, so that the place is there whatever becomes
// of the resource.
func (q *Query) position(r *Resource) string {
	k := q.sortKey(r)
	if k.missing {
		return "-" + r.id
	}
	text := strconv.FormatInt(k.number, 10)
	switch {
	case !q.SortBy.Within(r.typ.Meta):
		text = q.sortValue(r).Text()
	case q.SortBy.Name == "location":
		text = r.id
	}
	return "+" + strconv.Itoa(len(text)) + ":" + text + r.id
}

// keyAt reads a position. ok is false for what is none.
func (q *Query) keyAt(position string) (k sortKey, ok bool) {
	if id, missing := strings.CutPrefix(position, "-"); missing {
		return sortKey{resource: &Resource{id: id}, missing: true}, true
	}
	rest, ok := strings.CutPrefix(position, "+")
	length, rest, colon := strings.Cut(rest, ":")
	n, err := strconv.Atoi(length)
	if !ok || !colon || err != nil || n < 0 || n > len(rest) || q.SortBy == nil {
		return sortKey{}, false
	}
	text := rest[:n]
	k.resource = &Resource{id: rest[n:]}
	switch {
	case !q.SortBy.Within(q.Type.Meta), q.SortBy.Name == "location":
		k.value = filter.NewKey(q.SortBy, text)
	default:
		if k.number, err = strconv.ParseInt(text, 10, 64); err != nil {
			return sortKey{}, false
		}
	}
	return k, true
}
