package scim

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/muster-id/scim/attr"
)

// Discovery tells what the service provider can do (RFC 7644 section 4). It is
// derived from what is wired, so it cannot promise anything else.
type discovery struct {
	config  document
	types   []document
	schemas []document
}

// A document is a discovery resource: its JSON without meta and the closing
// brace, which depend on where the handler is reached.
type document struct {
	id       string // the last segment of its path
	typ      string // its resource type
	location string // its path
	open     []byte
}

const (
	configSchema       = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	resourceTypeSchema = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	schemaSchema       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
)

type supported struct {
	Supported bool `json:"supported"`
}

// jsonConfig is RFC 7643 section 5.
type jsonConfig struct {
	Schemas []string  `json:"schemas"`
	Patch   supported `json:"patch"`
	Bulk    struct {
		supported
		MaxOperations  int   `json:"maxOperations"`
		MaxPayloadSize int64 `json:"maxPayloadSize"`
	} `json:"bulk"`
	Filter struct {
		supported
		MaxResults int `json:"maxResults"`
	} `json:"filter"`
	ChangePassword        supported    `json:"changePassword"`
	Sort                  supported    `json:"sort"`
	ETag                  supported    `json:"etag"`
	AuthenticationSchemes []jsonScheme `json:"authenticationSchemes"`

	Pagination jsonPagination `json:"pagination"`
}

// jsonPagination is RFC 9865 section 4.
type jsonPagination struct {
	Cursor                  bool   `json:"cursor"`
	Index                   bool   `json:"index"`
	DefaultPaginationMethod string `json:"defaultPaginationMethod"`
	DefaultPageSize         int    `json:"defaultPageSize"`
	MaxPageSize             int    `json:"maxPageSize"`
	CursorTimeout           int64  `json:"cursorTimeout,omitempty"` // seconds
}

type jsonScheme struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description"`
	SpecURI     string `json:"specUri"`
	Primary     bool   `json:"primary"`
}

// jsonType is RFC 7643 section 6.
type jsonType struct {
	Schemas          []string        `json:"schemas"`
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	Description      string          `json:"description,omitempty"`
	Endpoint         string          `json:"endpoint"`
	Schema           string          `json:"schema"`
	SchemaExtensions []jsonExtension `json:"schemaExtensions,omitempty"`
}

type jsonExtension struct {
	Schema   string `json:"schema"`
	Required bool   `json:"required"`
}

// jsonSchema and jsonAttribute are RFC 7643 section 7.
type jsonSchema struct {
	Schemas     []string        `json:"schemas"`
	ID          string          `json:"id"`
	Name        string          `json:"name,omitempty"`
	Description string          `json:"description,omitempty"`
	Attributes  []jsonAttribute `json:"attributes"`
}

type jsonAttribute struct {
	Name            string          `json:"name"`
	Type            string          `json:"type"`
	SubAttributes   []jsonAttribute `json:"subAttributes,omitempty"`
	MultiValued     bool            `json:"multiValued"`
	Description     string          `json:"description,omitempty"`
	Required        bool            `json:"required"`
	CanonicalValues []string        `json:"canonicalValues,omitempty"`
	CaseExact       bool            `json:"caseExact"`
	Mutability      string          `json:"mutability"`
	Returned        string          `json:"returned"`
	Uniqueness      string          `json:"uniqueness"`
	ReferenceTypes  []string        `json:"referenceTypes,omitempty"`
}

func newDiscovery(e *Engine) *discovery {
	c := jsonConfig{
		Schemas: []string{configSchema}, Patch: supported{true}, Sort: supported{true}, ETag: supported{true},
		AuthenticationSchemes: []jsonScheme{{
			Type: "oauthbearertoken", Name: "OAuth Bearer Token", Description: "A token in the Authorization header, issued for the directory.",
			SpecURI: "https://www.rfc-editor.org/info/rfc6750", Primary: true,
		}},
	}
	c.Bulk.Supported, c.Bulk.MaxOperations, c.Bulk.MaxPayloadSize = true, e.cfg.Limits.BulkOperations, e.cfg.Limits.BulkBody
	c.Filter.Supported, c.Filter.MaxResults = true, e.cfg.Limits.Page
	c.Pagination = jsonPagination{
		Cursor: e.cfg.CursorKey != nil, Index: true, DefaultPaginationMethod: "index",
		DefaultPageSize: e.cfg.Limits.DefaultPage, MaxPageSize: e.cfg.Limits.Page,
	}
	if c.Pagination.Cursor {
		c.Pagination.CursorTimeout = int64(e.cfg.CursorTimeout / time.Second)
	}
	d := &discovery{config: newDocument("", "ServiceProviderConfig", "/ServiceProviderConfig", c)}
	seen := map[string]bool{}
	addSchema := func(id, name, description string, attributes []*attr.Attribute) {
		if seen[id] {
			return
		}
		seen[id] = true
		d.schemas = append(d.schemas, newDocument(id, "Schema", "/Schemas/"+id, jsonSchema{
			Schemas: []string{schemaSchema}, ID: id, Name: name, Description: description, Attributes: jsonAttributes(attributes),
		}))
	}
	for _, t := range e.cfg.Types.all {
		jt := jsonType{
			Schemas: []string{resourceTypeSchema}, ID: t.Name, Name: t.Name, Description: t.Description,
			Endpoint: t.Endpoint, Schema: t.Schema.ID,
		}
		var own []*attr.Attribute
		for _, a := range t.Root().Subs {
			switch {
			case a.Extension:
				jt.SchemaExtensions = append(jt.SchemaExtensions, jsonExtension{a.Name, a.Required})
			case a != t.Schemas && a != t.ID && a != t.ExternalID && a != t.Meta:
				own = append(own, a)
			}
		}
		addSchema(t.Schema.ID, t.Schema.Name.Value(), t.Schema.Description.Value(), own)
		for _, x := range t.Extensions {
			addSchema(x.Schema.ID, x.Schema.Name.Value(), x.Schema.Description.Value(), t.Root().Sub(x.Schema.ID).Subs)
		}
		d.types = append(d.types, newDocument(t.Name, "ResourceType", "/ResourceTypes/"+t.Name, jt))
	}
	return d
}

func jsonAttributes(attributes []*attr.Attribute) []jsonAttribute {
	var all []jsonAttribute
	for _, a := range attributes {
		all = append(all, jsonAttribute{
			Name: a.Name, Type: a.Kind.String(), SubAttributes: jsonAttributes(a.Subs), MultiValued: a.MultiValued,
			Description: a.Description, Required: a.Required, CanonicalValues: a.CanonicalValues, CaseExact: a.CaseExact,
			Mutability: a.Mutability.String(), Returned: a.Returned.String(), Uniqueness: a.Uniqueness.String(),
			ReferenceTypes: a.ReferenceTypes,
		})
	}
	return all
}

func newDocument(id, typ, location string, v any) document {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings, numbers and booleans
	}
	return document{id, typ, location, b[:len(b)-1]}
}

func (d *document) append(b []byte, base string) []byte {
	b = append(b, d.open...)
	b = append(b, `,"meta":{"resourceType":"`+d.typ+`","location":"`...)
	b = append(b, base...)
	b = append(b, d.location...)
	return append(b, `"}}`...)
}

// discover serves the discovery endpoints. A filter on them is refused with
// 403, as RFC 7644 section 4 asks; the other parameters are ignored.
func (x *exchange) discover() error {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return x.methodNotAllowed("GET, HEAD")
	}
	p, err := parseParameters(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	if p.has.filter {
		return refuse(http.StatusForbidden, "", "the discovery endpoints cannot be filtered, RFC 7644 section 4").because(ReasonFilter)
	}
	d := x.discovery
	var all []document
	switch x.route.kind {
	case serviceProviderConfig:
		if x.route.id != "" {
			return ErrNotFound
		}
		x.out = d.config.append(x.out[:0], x.base())
		x.send(http.StatusOK)
		return nil
	case resourceTypes:
		all = d.types
	case schemas:
		all = d.schemas
	case resources, root, self, bulkEndpoint:
	}
	if x.route.id == "" {
		x.out = appendListHead(x.out[:0], len(all), len(all), 1)
		for i := range all {
			if i > 0 {
				x.out = append(x.out, ',')
			}
			x.out = all[i].append(x.out, x.base())
		}
		x.out = append(x.out, "]}"...)
		x.send(http.StatusOK)
		return nil
	}
	for i := range all {
		if strings.EqualFold(all[i].id, x.route.id) {
			x.out = all[i].append(x.out[:0], x.base())
			x.send(http.StatusOK)
			return nil
		}
	}
	return refuse(http.StatusNotFound, "", "there is no ", all[0].typ, " of that name")
}
