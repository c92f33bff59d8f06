package scim

import (
	"net/http"
	"net/url"
	"strings"
)

// A route is what a path means.
type route struct {
	kind   routeKind
	typ    *ResourceType // of resources
	id     string        // decoded; "" for the whole collection
	search bool          // a query that is posted, RFC 7644 section 3.4.3
	prefix string        // escaped path before the endpoint, for absolute URLs
	path   string        // from the endpoint on, for the log
	empty  bool          // a segment of the path is: there is a slash too many
}

type routeKind uint8

const (
	resources routeKind = iota
	serviceProviderConfig
	resourceTypes
	schemas
	self // /Me
	root // all resources
	bulkEndpoint
)

// searchSegment is what a query is posted to, below the endpoint that it is
// about (RFC 7644 section 3.4.3).
const searchSegment = ".search"

// Routes lists the patterns that the handler serves, below where it is
// mounted, so that a host can name metrics and spans. As in the patterns of
// [http.ServeMux] GET stands for HEAD too, and /{$} is the path of the service
// itself.
func (h *Handler) Routes() []string {
	all := []string{"GET /{$}", "POST /.search", "GET /Me", "PUT /Me", "PATCH /Me", "DELETE /Me"}
	for _, t := range h.engine.cfg.Types.all {
		all = append(all, "GET "+t.Endpoint, "POST "+t.Endpoint, "POST "+t.Endpoint+"/.search",
			"GET "+t.Endpoint+"/{id}", "PUT "+t.Endpoint+"/{id}", "PATCH "+t.Endpoint+"/{id}", "DELETE "+t.Endpoint+"/{id}")
	}
	return append(all, "GET /ServiceProviderConfig", "GET /ResourceTypes", "GET /ResourceTypes/{id}", "GET /Schemas", "GET /Schemas/{id}", "POST /Bulk")
}

// route reads the path from its end: whatever comes before the endpoint is
// where the handler was mounted. Slashes at the end and double ones are passed
// over and noted; an id is one escaped segment, so that it may hold a slash.
func (e *Engine) route(r *http.Request) (route, bool) {
	path := r.URL.Path
	raw := r.URL.RawPath != ""
	if raw {
		path = r.URL.RawPath
	}
	end := len(path)
	for end > 0 && path[end-1] == '/' {
		end--
	}
	lastAt := strings.LastIndexByte(path[:end], '/') + 1
	last := path[lastAt:end]
	beforeEnd := lastAt
	for beforeEnd > 0 && path[beforeEnd-1] == '/' {
		beforeEnd--
	}
	beforeAt := strings.LastIndexByte(path[:beforeEnd], '/') + 1
	rt, at := route{}, beforeAt
	ok := beforeEnd > 0 && e.endpoint(&rt, path[beforeAt:beforeEnd])
	if ok {
		rt.id = last
		if raw {
			id, err := url.PathUnescape(last)
			if err != nil {
				ok = false
			}
			rt.id = id
		}
		if rt.kind == resources && rt.id == searchSegment {
			rt.id, rt.search = "", true
		}
	} else {
		ok, at = e.endpoint(&rt, last), lastAt
	}
	if !ok {
		at = 0
	}
	rt.path = path[max(at-1, 0):end]
	rt.empty = end < len(path) || beforeEnd < lastAt-1 || at >= 2 && path[at-2] == '/'
	if !ok && rt.kind == resources && rt.typ == nil {
		rt.search = last == searchSegment
		if rt.search {
			end = lastAt
		}
		if e.isRoot(path[:end], raw) {
			ok, at, rt.kind, rt.path = true, end, root, "/"
			rt.empty = false // a path has a slash at least
			if rt.search {
				rt.path = "/" + searchSegment
			}
		}
	}
	if e.cfg.BaseURL == "" && ok {
		before := path[:at]
		if !raw {
			before = (&url.URL{Path: before}).EscapedPath()
		}
		rt.prefix = urlText(mountedAt(r, before))
	}
	return rt, ok
}

// isRoot reports whether a path is that of the service itself: nothing is below
// where the handler was mounted or, where it was mounted without stripping that
// off, it is the path of Config.BaseURL.
func (e *Engine) isRoot(path string, raw bool) bool {
	path = strings.Trim(path, "/")
	if path == "" || e.cfg.BaseURL == "" {
		return path == ""
	}
	base, err := url.Parse(e.cfg.BaseURL)
	if err == nil && raw {
		path, err = url.PathUnescape(path)
	}
	return err == nil && path == strings.Trim(base.Path, "/")
}

func (e *Engine) endpoint(rt *route, segment string) bool {
	switch segment {
	case "ServiceProviderConfig":
		rt.kind = serviceProviderConfig
	case "ResourceTypes":
		rt.kind = resourceTypes
	case "Schemas":
		rt.kind = schemas
	case "Me":
		rt.kind = self
	case "Bulk":
		rt.kind = bulkEndpoint
	default:
		rt.typ = e.cfg.Types.endpoint(segment)
		return rt.typ != nil
	}
	return true
}

// mountedAt returns the escaped path under which the handler is reached: what
// a router has stripped off, which the request's own line still has, and what
// stands before the endpoint.
func mountedAt(r *http.Request, before string) string {
	requested, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(requested, "http") {
		if u, err := url.Parse(requested); err == nil {
			requested = u.EscapedPath()
		}
	}
	stripped, ok := strings.CutSuffix(requested, r.URL.EscapedPath())
	if !ok {
		stripped = ""
	}
	return strings.TrimRight(stripped, "/") + strings.TrimRight(before, "/")
}

// urlText escapes what a client may put into the Host or the path of a request
// and has no place in a URL or in a JSON string, so that it can stand in both.
func urlText(s string) string {
	for i := range len(s) {
		if !inURL[s[i]] {
			return escapeURL(s)
		}
	}
	return s
}

func escapeURL(s string) string {
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		if c := s[i]; inURL[c] {
			b = append(b, c)
		} else {
			b = appendPercent(b, c)
		}
	}
	return string(b)
}

// inURL are the bytes that RFC 3986 allows in a host or a path: the unreserved
// ones, delimiters, and the percent sign of what is escaped already.
var inURL = func() (set [256]bool) {
	set = plain
	for _, c := range "!$&'()*+,;=:@/[]%" {
		set[c] = true
	}
	return set
}()
