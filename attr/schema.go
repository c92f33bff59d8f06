package attr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/elimity-com/scim/schema"
)

// The URNs of the documents that describe a service provider's resources, RFC
// 7643 sections 6 and 7.
const (
	typeURN   = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	schemaURN = "urn:ietf:params:scim:schemas:core:2.0:Schema"
)

// ParseSchema reads a schema from the JSON that RFC 7643 section 7 defines, as
// a service provider's /Schemas/{urn} prints it. Characteristics that it leaves
// out are the defaults of RFC 7643 section 2.2, keywords are read in any case,
// and members that the RFC does not define are ignored. The error names the
// attribute and what is wrong with it:
//
//   - a name that RFC 7643 section 2.1 does not allow ($ref is allowed as a
//     sub-attribute, section 2.4), or one that is there twice,
//   - an unknown type, mutability, returned or uniqueness,
//   - a complex attribute without sub-attributes, or sub-attributes anywhere
//     else (section 2.3.8).
func ParseSchema(document []byte) (schema.Schema, error) {
	return parseSchema(document)
}

// ParseTypes reads resource types from JSON: the answers of a service
// provider's /ResourceTypes and /Schemas, whole ([RFC 7644 section 3.4.2]),
// arrays of what they list, or single documents, in any order (RFC 7643
// sections 6 and 7). A schema that a resource type has and no document
// declares may be one of RFC 7643's own: User, Group or the enterprise
// extension. The types are in the order of the documents.
//
// [RFC 7644 section 3.4.2]: https://www.rfc-editor.org/rfc/rfc7644#section-3.4.2
func ParseTypes(documents ...[]byte) ([]*Type, error) {
	known := make(map[string]schema.Schema)
	var found []typeDocument
	for i, document := range documents {
		parts, err := split(document)
		if err != nil {
			return nil, fmt.Errorf("attr: document %d: %w", i+1, err)
		}
		for _, part := range parts {
			isType, err := classify(part)
			if err != nil {
				return nil, fmt.Errorf("attr: document %d: %w", i+1, err)
			}
			if isType {
				t, err := parseType(part)
				if err != nil {
					return nil, err
				}
				found = append(found, t)
				continue
			}
			s, err := parseSchema(part)
			if err != nil {
				return nil, err
			}
			id := strings.ToLower(s.ID)
			if _, twice := known[id]; twice {
				return nil, fmt.Errorf("attr: the schema %s is declared twice", s.ID)
			}
			known[id] = s
		}
	}
	if len(found) == 0 {
		return nil, errors.New("attr: the documents declare no resource type; give what /ResourceTypes prints beside what /Schemas does")
	}
	for _, s := range []schema.Schema{schema.CoreUserSchema(), schema.CoreGroupSchema(), schema.ExtensionEnterpriseUser()} {
		if _, declared := known[strings.ToLower(s.ID)]; !declared {
			known[strings.ToLower(s.ID)] = s
		}
	}
	types := make([]*Type, 0, len(found))
	for _, d := range found {
		t, err := d.resolve(known)
		if err != nil {
			return nil, err
		}
		types = append(types, t)
	}
	return types, nil
}

// split returns the documents in a ListResponse, in an array, or the one.
func split(document []byte) (parts []json.RawMessage, err error) {
	document = bytes.TrimSpace(document)
	if bytes.HasPrefix(document, []byte("[")) {
		err = json.Unmarshal(document, &parts)
		return parts, err
	}
	var list struct{ Resources *[]json.RawMessage }
	if err := json.Unmarshal(document, &list); err != nil {
		return nil, err
	}
	if list.Resources != nil {
		return *list.Resources, nil
	}
	return []json.RawMessage{document}, nil
}

// classify reports whether a document is of a resource type, or else of a
// schema: what it says it is, or what its members show.
func classify(document []byte) (isType bool, err error) {
	var d struct {
		Schemas              []string
		Endpoint, Attributes json.RawMessage
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return false, err
	}
	for _, urn := range d.Schemas {
		switch {
		case strings.EqualFold(urn, typeURN):
			return true, nil
		case strings.EqualFold(urn, schemaURN):
			return false, nil
		}
	}
	if (d.Endpoint == nil) == (d.Attributes == nil) {
		return false, errors.New("it is neither a resource type nor a schema, RFC 7643 sections 6 and 7")
	}
	return d.Endpoint != nil, nil
}

// typeDocument is RFC 7643 section 6.
type typeDocument struct {
	Name             string `json:"name"`
	Description      string `json:"description"`
	Endpoint         string `json:"endpoint"`
	Schema           string `json:"schema"`
	SchemaExtensions []struct {
		Schema   string `json:"schema"`
		Required bool   `json:"required"`
	} `json:"schemaExtensions"`
}

func parseType(document []byte) (d typeDocument, err error) {
	if err := json.Unmarshal(document, &d); err != nil {
		return d, fmt.Errorf("attr: resource type %q: %w", d.Name, misfit(err))
	}
	if d.Name == "" || d.Endpoint == "" || d.Schema == "" {
		return d, fmt.Errorf("attr: resource type %q: name, endpoint and schema are required, RFC 7643 section 6", d.Name)
	}
	if d.Endpoint[0] != '/' {
		d.Endpoint = "/" + d.Endpoint // relative to the base URL, as the RFC words it
	}
	return d, nil
}

// resolve makes the type of the schemas that it names.
func (d *typeDocument) resolve(known map[string]schema.Schema) (*Type, error) {
	find := func(urn string) (schema.Schema, error) {
		s, ok := known[strings.ToLower(urn)]
		if !ok {
			return s, fmt.Errorf("attr: resource type %q: its schema %s is not among the documents", d.Name, Quote(urn))
		}
		return s, nil
	}
	core, err := find(d.Schema)
	if err != nil {
		return nil, err
	}
	extensions := make([]Extension, 0, len(d.SchemaExtensions))
	for _, x := range d.SchemaExtensions {
		s, err := find(x.Schema)
		if err != nil {
			return nil, err
		}
		extensions = append(extensions, Extension{Schema: s, Required: x.Required})
	}
	return NewType(d.Name, d.Endpoint, d.Description, core, extensions...)
}

// attributeDocument is an attribute as RFC 7643 section 7 writes it.
type attributeDocument struct {
	Name            string            `json:"name"`
	Type            string            `json:"type"`
	SubAttributes   []json.RawMessage `json:"subAttributes,omitempty"`
	MultiValued     bool              `json:"multiValued"`
	Description     string            `json:"description,omitempty"`
	Required        bool              `json:"required"`
	CanonicalValues []string          `json:"canonicalValues,omitempty"`
	CaseExact       bool              `json:"caseExact"`
	Mutability      string            `json:"mutability"`
	Returned        string            `json:"returned"`
	Uniqueness      string            `json:"uniqueness"`
	ReferenceTypes  []string          `json:"referenceTypes,omitempty"`
}

// schemaDocument is RFC 7643 section 7.
type schemaDocument struct {
	ID          string            `json:"id"`
	Name        string            `json:"name,omitempty"`
	Description string            `json:"description,omitempty"`
	Attributes  []json.RawMessage `json:"attributes"`
}

// parseSchema normalizes the document, so that the schema package, which reads
// less than the RFC allows and overlooks what it forbids, reads all of it.
func parseSchema(document []byte) (s schema.Schema, err error) {
	var d schemaDocument
	if err := json.Unmarshal(document, &d); err != nil {
		return s, fmt.Errorf("attr: schema %s: %w", Quote(d.ID), misfit(err))
	}
	if !validURN(d.ID) {
		return s, fmt.Errorf("attr: the schema %s is not identified by a URN; its id must be one, RFC 7643 section 7", Quote(d.ID))
	}
	fail := func(err error) (schema.Schema, error) {
		return schema.Schema{}, fmt.Errorf("attr: schema %s: %w", d.ID, err)
	}
	if d.Attributes, err = normalize("", d.Attributes); err != nil {
		return fail(err)
	}
	normal, err := json.Marshal(d)
	if err == nil {
		err = json.Unmarshal(normal, &s)
	}
	if err == nil {
		err = check(nil, convert(s.Attributes))
	}
	if err != nil {
		return fail(err)
	}
	return s, nil
}

// normalize fills in the defaults of attributes, below the path, and spells
// keywords as the RFC does.
func normalize(below string, attributes []json.RawMessage) ([]json.RawMessage, error) {
	normal := make([]json.RawMessage, 0, len(attributes))
	seen := make(map[string]bool, len(attributes))
	for i, raw := range attributes {
		var a attributeDocument
		err := json.Unmarshal(raw, &a)
		path := below + a.Name
		if a.Name == "" {
			path = fmt.Sprintf("%s[%d]", below, i)
		}
		switch name := strings.ToLower(a.Name); {
		case err != nil:
			err = fmt.Errorf("%s: %w", path, misfit(err))
		case seen[name]:
			err = twice(path)
		default:
			seen[name] = true
			err = a.normalize(path, below != "")
		}
		if err == nil {
			raw, err = json.Marshal(a)
		}
		if err != nil {
			return nil, err
		}
		normal = append(normal, raw)
	}
	return normal, nil
}

func (a *attributeDocument) normalize(path string, nested bool) (err error) {
	if !validName(a.Name, nested) { // before anything that may be said of it
		return fmt.Errorf("%s: %s", path, badName(a.Name))
	}
	for _, k := range []struct {
		characteristic string
		value          *string
		known          []string
		byDefault      string
	}{
		{"type", &a.Type, kindNames[:], String.String()},
		{"mutability", &a.Mutability, mutabilityNames[:], ReadWrite.String()},
		{"returned", &a.Returned, returnedNames[:], Default.String()},
		{"uniqueness", &a.Uniqueness, uniqueNames[:], NotUnique.String()},
	} {
		if *k.value == "" {
			*k.value = k.byDefault
		}
		if *k.value, err = canonical(*k.value, k.known); err != nil {
			return fmt.Errorf("%s: %s %w", path, k.characteristic, err)
		}
	}
	switch isComplex := a.Type == Complex.String(); {
	case nested && (isComplex || len(a.SubAttributes) > 0):
		return errors.New(path + ": a sub-attribute cannot be complex, RFC 7643 section 2.3.8")
	case !isComplex && len(a.SubAttributes) > 0:
		return fmt.Errorf("%s: its type is %s, and only a complex attribute has subAttributes, RFC 7643 section 7", path, a.Type)
	}
	a.SubAttributes, err = normalize(path+".", a.SubAttributes)
	return err
}

// canonical finds a keyword, spelled in any case.
func canonical(keyword string, known []string) (string, error) {
	for _, k := range known {
		if strings.EqualFold(k, keyword) {
			return k, nil
		}
	}
	return "", fmt.Errorf("cannot be %s; RFC 7643 section 7 has %s", Quote(keyword), strings.Join(known, ", "))
}

// misfit says of an error of encoding/json which member has the wrong type.
func misfit(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Field == "" {
		return err
	}
	return fmt.Errorf("%s cannot be a JSON %s, RFC 7643 section 7", wrong.Field, wrong.Value)
}

// check reports the first attribute that RFC 7643 does not allow in a schema,
// with its path: what the schema package lets pass.
func check(parent *Attribute, attributes []*Attribute) error {
	seen := make(map[string]bool, len(attributes))
	for _, a := range attributes {
		path := a.Name
		if parent != nil {
			path = parent.Name + "." + a.Name
		}
		switch name := strings.ToLower(a.Name); {
		case !validName(a.Name, parent != nil):
			return fmt.Errorf("%s: %s", path, badName(a.Name))
		case seen[name]:
			return twice(path)
		case a.Kind == Complex && parent != nil:
			return errors.New(path + ": a sub-attribute cannot be complex, RFC 7643 section 2.3.8")
		case a.Kind == Complex && len(a.Subs) == 0:
			return errors.New(path + ": a complex attribute needs subAttributes, RFC 7643 section 7")
		default:
			seen[name] = true
		}
		if err := check(a, a.Subs); err != nil {
			return err
		}
	}
	return nil
}

// validName is ATTRNAME of RFC 7643 section 2.1, and $ref where section 2.4
// has it.
func validName(name string, nested bool) bool {
	if name == "$ref" {
		return nested
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || strings.IndexByte("$-_", c) >= 0):
		default:
			return false
		}
	}
	return name != ""
}

func twice(path string) error {
	return fmt.Errorf("the attribute %q is defined twice; names do not depend on case, RFC 7643 section 2.1", path)
}

func badName(name string) string {
	return "an attribute cannot be called " + Quote(name) + "; names are a letter and then letters, digits, $, - and _, RFC 7643 section 2.1"
}
