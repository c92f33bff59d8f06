package scim

import (
	"context"
	"net/http"
	"strings"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
)

const searchSchema = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// search serves POST /Users/.search and the like, RFC 7644 section 3.4.3: a
// query whose parameters, which may be about people, are in no URL. What stands
// in the URL all the same is ignored.
func (x *exchange) search(ctx context.Context) error {
	if x.r.Method != http.MethodPost {
		return x.methodNotAllowed("POST")
	}
	p, err := x.searchParameters()
	if err != nil {
		return err
	}
	t := x.route.typ
	v := view{base: x.base(), projection: x.q.project(t, &p), to: x}
	x.q.Status = http.StatusOK
	if x.out, err = x.engine.list(ctx, x.out[:0], &x.q, t, &p, v); err != nil {
		return err
	}
	x.send(http.StatusOK)
	return nil
}

// searchParameters reads the parameters of a query from the body of a request.
func (x *exchange) searchParameters() (parameters, error) {
	// The bound is that of any body but a group's.
	body, err := x.holdBody(&x.body, x.engine.cfg.Limits.Body)
	if err != nil {
		return parameters{}, err
	}
	s := searchRequest{lenience: x.q.lenience}
	s.r.Reset(body, x.engine.cfg.Limits.Depth)
	err = s.read()
	x.q.Fired |= s.fired
	return s.p, err
}

// A searchRequest is the body of a posted query being read.
type searchRequest struct {
	r        wire.Reader
	p        parameters
	lenience attr.Lenience
	fired    attr.Lenience
	named    bool // schemas has the URN
}

func (s *searchRequest) allow(l attr.Lenience) bool {
	if !s.lenience.Has(l) {
		return false
	}
	s.fired |= l
	return true
}

func malformedSearch(detail ...string) error {
	return refuse(http.StatusBadRequest, InvalidSyntax, strings.Join(detail, ""), ", RFC 7644 section 3.4.3")
}

func searchSyntax(err error) error {
	return refuse(http.StatusBadRequest, InvalidSyntax, "the request body is not acceptable: ", err.Error())
}

// read reads the whole body. Members that the RFC does not define are ignored,
// null is as good as none.
func (s *searchRequest) read() error {
	if s.r.Kind() != '{' {
		if err := s.r.Skip(); err != nil {
			return searchSyntax(err)
		}
		return malformedSearch("the body must be one JSON object, a SearchRequest")
	}
	if err := s.r.Begin(); err != nil {
		return searchSyntax(err)
	}
	seen := map[string]bool{}
	for s.r.More() {
		name, err := s.r.String()
		if err != nil {
			return searchSyntax(err)
		}
		name = strings.ToLower(name)
		if s.r.Kind() == 'n' || !searchMember[name] {
			if err := s.r.Skip(); err != nil {
				return searchSyntax(err)
			}
			continue
		}
		if seen[name] {
			return malformedSearch(attr.Quote(name), " is there twice")
		}
		seen[name] = true
		if err := s.member(name); err != nil {
			return err
		}
	}
	if err := s.r.End(); err != nil {
		return searchSyntax(err)
	}
	if err := s.r.Close(); err != nil {
		return searchSyntax(err)
	}
	if !s.named && !s.allow(attr.OddSchemas) {
		return malformedSearch("schemas must name " + searchSchema)
	}
	return nil
}

// searchMember are the members of a SearchRequest, in lower case: names of
// attributes are compared without case (RFC 7643 section 2.1).
var searchMember = map[string]bool{
	"schemas": true, "attributes": true, "excludedattributes": true, "filter": true, "sortby": true,
	"sortorder": true, "startindex": true, "count": true, "cursor": true,
}

func (s *searchRequest) member(name string) (err error) {
	p := &s.p
	switch name {
	case "schemas":
		var urns []string
		urns, err = s.names("schemas")
		for _, urn := range urns {
			s.named = s.named || strings.EqualFold(urn, searchSchema)
		}
	case "attributes":
		p.attributes, err = s.names("attributes")
	case "excludedattributes":
		p.excluded, err = s.names("excludedAttributes")
	case "filter":
		p.filter, err = s.text("filter")
		p.has.filter = p.filter != ""
	case "sortby":
		p.sortBy, err = s.text("sortBy")
		p.has.sortBy = p.sortBy != ""
	case "sortorder":
		p.sortOrder, err = s.text("sortOrder")
	case "startindex":
		p.startIndex, err = s.number("startIndex")
		p.has.startIndex = true
	case "count":
		p.count, err = s.number("count")
		p.has.count = true
	case "cursor":
		p.cursor, err = s.text("cursor")
		p.has.cursor = true
	}
	return err
}

// text reads a string. It is a copy: the body's buffer is used again, and what
// a store does with a query is not known.
func (s *searchRequest) text(name string) (string, error) {
	if s.r.Kind() != '"' {
		return "", s.wrong(name, "a string")
	}
	text, err := s.r.String()
	if err != nil {
		return "", searchSyntax(err)
	}
	return strings.Clone(text), nil
}

// number reads a number, as it is spelled.
func (s *searchRequest) number(name string) (string, error) {
	switch kind := s.r.Kind(); {
	case kind == '"' && s.allow(attr.Stringified):
		return s.text(name)
	case kind != '0':
		return "", s.wrong(name, "a number")
	}
	text, err := s.r.Scalar()
	if err != nil {
		return "", searchSyntax(err)
	}
	return strings.Clone(text), nil
}

// names reads an array of strings, or where that is tolerated what a URL would
// have in its place: one string, separated by commas.
func (s *searchRequest) names(name string) ([]string, error) {
	switch kind := s.r.Kind(); {
	case kind == '"' && s.allow(attr.ArrayMissing):
		text, err := s.text(name)
		return splitNames(text), err
	case kind != '[':
		return nil, s.wrong(name, "an array of strings")
	}
	if err := s.r.Begin(); err != nil {
		return nil, searchSyntax(err)
	}
	var names []string
	for s.r.More() {
		if s.r.Kind() != '"' {
			return nil, s.wrong(name, "an array of strings")
		}
		text, err := s.text(name)
		if err != nil {
			return nil, err
		}
		names = append(names, strings.TrimSpace(text))
	}
	if err := s.r.End(); err != nil {
		return nil, searchSyntax(err)
	}
	return names, nil
}

// wrong is the error for a member of another type, or for one that is no JSON.
func (s *searchRequest) wrong(name, want string) error {
	if err := s.r.Skip(); err != nil {
		return searchSyntax(err)
	}
	return malformedSearch(name, " must be ", want)
}
