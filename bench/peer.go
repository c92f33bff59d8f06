package main

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	elimity "github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	elimityfilter "github.com/elimity-com/scim/filter"
	"github.com/elimity-com/scim/schema"
	"github.com/google/uuid"
	filter "github.com/scim2/filter-parser/v2"
)

// newPeer returns elimity's server over a careful host in memory.
func newPeer() (subject, error) {
	h := &peerHost{
		users:     newTable(),
		userNames: make(map[string]*row),
		groups:    newTable(),
		memberOf:  make(map[string][]*row),
		userType:  schema.CoreUserSchema(),
		groupType: schema.CoreGroupSchema(),
		extension: schema.ExtensionEnterpriseUser(),
	}
	server, err := elimity.NewServer(&elimity.ServerArgs{
		ServiceProviderConfig: &elimity.ServiceProviderConfig{MaxResults: 1000, SupportFiltering: true, SupportPatch: true},
		ResourceTypes: []elimity.ResourceType{
			{
				Name: "User", Endpoint: "/Users", Schema: h.userType, Handler: peerUsers{h},
				SchemaExtensions: []elimity.SchemaExtension{{Schema: h.extension}},
			},
			{Name: "Group", Endpoint: "/Groups", Schema: h.groupType, Handler: peerGroups{h}},
		},
	}, elimity.WithBaseURL(baseURL))
	if err != nil {
		return subject{}, err
	}
	return subject{handler: server}, nil
}

// A row is one stored resource. What resource points to, down to its last map, is
// never changed once it is there, because the server encodes an answer after the
// lock is gone; a write puts another in its place.
type row struct {
	sequence uint64 // order of creation, which is the order of a list
	resource elimity.Resource
	position map[string]int // of a group: member id to index in members
}

// A table is the rows of one type, by id and in order of creation.
type table struct {
	byID     map[string]*row
	rows     []*row
	sequence uint64
}

func newTable() *table { return &table{byID: make(map[string]*row)} }

func (t *table) insert(r *row) {
	t.sequence++
	r.sequence = t.sequence
	t.byID[r.resource.ID] = r
	t.rows = append(t.rows, r)
}

func (t *table) delete(r *row) {
	delete(t.byID, r.resource.ID)
	at, ok := slices.BinarySearchFunc(t.rows, r.sequence, func(r *row, sequence uint64) int {
		return cmp.Compare(r.sequence, sequence)
	})
	if ok {
		t.rows = slices.Delete(t.rows, at, at+1)
	}
}

// list answers a query without a usable index: a page of all rows, or of those that
// pass the filter.
func (t *table) list(params elimity.ListRequestParams) elimity.Page {
	start := params.StartIndex - 1
	if params.FilterValidator == nil {
		page := elimity.Page{TotalResults: len(t.rows), Resources: []elimity.Resource{}}
		for _, r := range t.rows[min(start, len(t.rows)):min(start+params.Count, len(t.rows))] {
			page.Resources = append(page.Resources, r.resource)
		}
		return page
	}
	page := elimity.Page{Resources: []elimity.Resource{}}
	for _, r := range t.rows {
		if params.FilterValidator.PassesFilter(r.resource.Attributes) != nil {
			continue
		}
		if page.TotalResults >= start && len(page.Resources) < params.Count {
			page.Resources = append(page.Resources, r.resource)
		}
		page.TotalResults++
	}
	return page
}

// peerHost is what an application that embeds elimity's server keeps: users, groups
// and who is in which.
type peerHost struct {
	mu        sync.RWMutex
	users     *table
	userNames map[string]*row // by userName without case
	groups    *table
	memberOf  map[string][]*row // user id to groups
	userType  schema.Schema
	groupType schema.Schema
	extension schema.Schema // of users
}

// stored completes the attributes of a new or changed resource. It takes them over.
func stored(id string, was *elimity.Resource, attributes elimity.ResourceAttributes) elimity.Resource {
	attributes["id"] = id // for filters; the server sets it in answers all the same
	delete(attributes, "password")
	now := time.Now().UTC()
	meta := elimity.Meta{Created: &now, LastModified: &now, Version: `W/"1"`}
	if was != nil {
		meta.Created = was.Meta.Created
		count, err := strconv.Atoi(strings.Trim(was.Meta.Version, `W/"`))
		if err != nil {
			count = 0
		}
		meta.Version = `W/"` + strconv.Itoa(count+1) + `"`
	}
	return elimity.Resource{ID: id, Attributes: attributes, Meta: meta}
}

func text(attributes map[string]any, name string) string {
	s, _ := attributes[name].(string)
	return s
}

// peerUsers is the elimity.ResourceHandler of users.
type peerUsers struct{ *peerHost }

func (h peerUsers) Create(_ *http.Request, attributes elimity.ResourceAttributes) (elimity.Resource, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return elimity.Resource{}, err
	}
	folded := strings.ToLower(text(attributes, "userName"))
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, taken := h.userNames[folded]; taken {
		return elimity.Resource{}, scimerrors.ScimErrorUniqueness
	}
	r := &row{resource: stored(id.String(), nil, attributes)}
	h.users.insert(r)
	h.userNames[folded] = r
	return r.resource, nil
}

func (h peerUsers) Get(_ *http.Request, id string) (elimity.Resource, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	r, ok := h.users.byID[id]
	if !ok {
		return elimity.Resource{}, scimerrors.ScimErrorResourceNotFound(id)
	}
	return r.resource, nil
}

func (h peerUsers) GetAll(_ *http.Request, params elimity.ListRequestParams) (elimity.Page, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	name, ok := userNameLookup(params.FilterValidator)
	if !ok {
		return h.users.list(params), nil
	}
	r, ok := h.userNames[strings.ToLower(name)]
	if !ok {
		return elimity.Page{Resources: []elimity.Resource{}}, nil
	}
	page := elimity.Page{TotalResults: 1, Resources: []elimity.Resource{}}
	if params.StartIndex == 1 && params.Count > 0 {
		page.Resources = append(page.Resources, r.resource)
	}
	return page, nil
}

// userNameLookup recognises the filter that the index on userName answers.
func userNameLookup(validator *elimityfilter.Validator) (name string, ok bool) {
	if validator == nil {
		return "", false
	}
	return equals(validator.GetFilter(), "userName")
}

// equals recognises `attribute eq "value"`.
func equals(e filter.Expression, attribute string) (value string, ok bool) {
	comparison, ok := e.(*filter.AttributeExpression)
	if !ok || comparison.Operator != filter.EQ || comparison.AttributePath.SubAttribute != nil ||
		!strings.EqualFold(comparison.AttributePath.AttributeName, attribute) {
		return "", false
	}
	value, ok = comparison.CompareValue.(string)
	return value, ok
}

func (h peerUsers) Replace(_ *http.Request, id string, attributes elimity.ResourceAttributes) (elimity.Resource, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.users.byID[id]
	if !ok {
		return elimity.Resource{}, scimerrors.ScimErrorResourceNotFound(id)
	}
	return h.replace(r, attributes)
}

// replace puts attributes in the place of what r has. The caller holds the lock.
func (h peerUsers) replace(r *row, attributes elimity.ResourceAttributes) (elimity.Resource, error) {
	was, is := strings.ToLower(text(r.resource.Attributes, "userName")), strings.ToLower(text(attributes, "userName"))
	if was != is {
		if _, taken := h.userNames[is]; taken {
			return elimity.Resource{}, scimerrors.ScimErrorUniqueness
		}
		delete(h.userNames, was)
		h.userNames[is] = r
	}
	if groups, ok := r.resource.Attributes["groups"]; ok {
		attributes["groups"] = groups // readOnly: only a change of a group changes them
	} else {
		delete(attributes, "groups")
	}
	r.resource = stored(r.resource.ID, &r.resource, attributes)
	return r.resource, nil
}

func (h peerUsers) Patch(_ *http.Request, id string, operations []elimity.PatchOperation) (elimity.Resource, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.users.byID[id]
	if !ok {
		return elimity.Resource{}, scimerrors.ScimErrorResourceNotFound(id)
	}
	attributes := maps.Clone(r.resource.Attributes)
	for _, op := range operations {
		if err := patchResource(attributes, op, h.userType, &h.extension); err != nil {
			return elimity.Resource{}, err
		}
	}
	return h.replace(r, attributes)
}

func (h peerUsers) Delete(_ *http.Request, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.users.byID[id]
	if !ok {
		return scimerrors.ScimErrorResourceNotFound(id)
	}
	for _, group := range slices.Clone(h.memberOf[id]) {
		c := h.change(group)
		c.remove(id)
		c.commit(group.resource.Attributes)
	}
	delete(h.userNames, strings.ToLower(text(r.resource.Attributes, "userName")))
	h.users.delete(r)
	return nil
}

// showGroups brings the readOnly attribute groups of a user up to date. The caller
// holds the lock.
func (h *peerHost) showGroups(user *row) {
	attributes := maps.Clone(user.resource.Attributes)
	delete(attributes, "groups")
	if groups := h.memberOf[user.resource.ID]; len(groups) > 0 {
		values := make([]any, len(groups))
		for i, group := range groups {
			values[i] = map[string]any{
				"value": group.resource.ID, "display": group.resource.Attributes["displayName"],
			}
		}
		attributes["groups"] = values
	}
	user.resource.Attributes = attributes
}

// peerGroups is the elimity.ResourceHandler of groups.
type peerGroups struct{ *peerHost }

// A membersChange gathers what a request does to the members of one group. The list
// is copied once, since answers under way still read the old one.
type membersChange struct {
	host    *peerHost
	group   *row
	members []any
	touched map[string]struct{}
}

// change begins a change of the members of group, under the lock.
func (h *peerHost) change(group *row) *membersChange {
	members, _ := group.resource.Attributes["members"].([]any)
	return &membersChange{host: h, group: group, members: slices.Clone(members), touched: make(map[string]struct{})}
}

// add adds the members in values that are users and not members yet.
func (c *membersChange) add(values any) {
	list, _ := values.([]any)
	for _, value := range list {
		member, _ := value.(map[string]any)
		id := text(member, "value")
		if _, exists := c.host.users.byID[id]; !exists {
			continue
		}
		if _, already := c.group.position[id]; already {
			continue
		}
		c.group.position[id] = len(c.members)
		c.members = append(c.members, member)
		c.touched[id] = struct{}{}
	}
}

// remove takes a member out by putting the last in its place: members have no order.
func (c *membersChange) remove(id string) {
	at, ok := c.group.position[id]
	if !ok {
		return
	}
	last := len(c.members) - 1
	if at != last {
		c.members[at] = c.members[last]
		moved, _ := c.members[at].(map[string]any)
		c.group.position[text(moved, "value")] = at
	}
	c.members[last] = nil
	c.members = c.members[:last]
	delete(c.group.position, id)
	c.touched[id] = struct{}{}
}

func (c *membersChange) removeAll() {
	for id := range c.group.position {
		c.touched[id] = struct{}{}
	}
	clear(c.group.position)
	c.members = nil
}

// commit stores attributes and the members as they are now, and tells the users.
func (c *membersChange) commit(attributes elimity.ResourceAttributes) {
	attributes = maps.Clone(attributes)
	delete(attributes, "members")
	if len(c.members) > 0 {
		attributes["members"] = c.members
	}
	renamed := text(attributes, "displayName") != text(c.group.resource.Attributes, "displayName")
	c.group.resource = stored(c.group.resource.ID, &c.group.resource, attributes)

	for id := range c.touched {
		groups := c.host.memberOf[id]
		at := slices.Index(groups, c.group)
		switch _, member := c.group.position[id]; {
		case member && at < 0:
			c.host.memberOf[id] = append(groups, c.group)
		case !member && at >= 0:
			c.host.memberOf[id] = slices.Delete(groups, at, at+1)
			if len(groups) == 1 {
				delete(c.host.memberOf, id)
			}
		}
		c.host.showGroups(c.host.users.byID[id])
	}
	if renamed {
		for id := range c.group.position {
			c.host.showGroups(c.host.users.byID[id])
		}
	}
}

func (h peerGroups) Create(_ *http.Request, attributes elimity.ResourceAttributes) (elimity.Resource, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return elimity.Resource{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	members := attributes["members"]
	delete(attributes, "members")
	r := &row{resource: stored(id.String(), nil, attributes), position: make(map[string]int)}
	h.groups.insert(r)
	if members != nil {
		c := h.change(r)
		c.add(members)
		c.commit(attributes)
		r.resource.Meta.Version = `W/"1"` // created and filled in one write
	}
	return r.resource, nil
}

func (h peerGroups) Get(r *http.Request, id string) (elimity.Resource, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	group, ok := h.groups.byID[id]
	if !ok {
		return elimity.Resource{}, scimerrors.ScimErrorResourceNotFound(id)
	}
	return withoutMembers(r, group.resource), nil
}

// withoutMembers is the one projection worth a host's while: the server has none, and
// Entra asks for groups without members only.
func withoutMembers(r *http.Request, group elimity.Resource) elimity.Resource {
	if r.URL.RawQuery == "" || r.URL.Query().Get("excludedAttributes") != "members" {
		return group
	}
	group.Attributes = maps.Clone(group.Attributes)
	delete(group.Attributes, "members")
	return group
}

func (h peerGroups) GetAll(r *http.Request, params elimity.ListRequestParams) (elimity.Page, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	page := h.groups.list(params)
	for i, group := range page.Resources {
		page.Resources[i] = withoutMembers(r, group)
	}
	return page, nil
}

func (h peerGroups) Replace(_ *http.Request, id string, attributes elimity.ResourceAttributes) (elimity.Resource, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	group, ok := h.groups.byID[id]
	if !ok {
		return elimity.Resource{}, scimerrors.ScimErrorResourceNotFound(id)
	}
	c := h.change(group)
	c.removeAll()
	c.add(attributes["members"])
	c.commit(attributes)
	return group.resource, nil
}

func (h peerGroups) Patch(_ *http.Request, id string, operations []elimity.PatchOperation) (elimity.Resource, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	group, ok := h.groups.byID[id]
	if !ok {
		return elimity.Resource{}, scimerrors.ScimErrorResourceNotFound(id)
	}
	// What is not about members first, on a copy: it is what can fail.
	attributes := maps.Clone(group.resource.Attributes)
	delete(attributes, "members")
	for _, op := range operations {
		if isMembers(op.Path) {
			continue
		}
		if values, ok := op.Value.(map[string]any); ok && op.Path == nil {
			values = maps.Clone(values)
			delete(values, "members")
			op.Value = values
		}
		if err := patchResource(attributes, op, h.groupType, nil); err != nil {
			return elimity.Resource{}, err
		}
	}
	c := h.change(group)
	for _, op := range operations {
		c.apply(op)
	}
	c.commit(attributes)
	return group.resource, nil
}

func isMembers(path *filter.Path) bool {
	return path != nil && strings.EqualFold(path.AttributePath.AttributeName, "members")
}

// apply carries out one operation as far as it is about members.
func (c *membersChange) apply(op elimity.PatchOperation) {
	values := op.Value
	switch {
	case op.Path == nil:
		attributes, _ := op.Value.(map[string]any)
		if values = attributes["members"]; values == nil {
			return
		}
	case !isMembers(op.Path):
		return
	}
	switch op.Op {
	case elimity.PatchOperationAdd:
		c.add(values)
	case elimity.PatchOperationReplace:
		c.removeAll()
		c.add(values)
	case elimity.PatchOperationRemove:
		c.applyRemove(op.Path.ValueExpression, values)
	}
}

// applyRemove removes the members that a value filter selects, or those listed in
// the value (which Entra sends), or all.
func (c *membersChange) applyRemove(selector filter.Expression, values any) {
	if id, ok := equals(selector, "value"); ok {
		c.remove(id)
		return
	}
	if selector != nil {
		attribute, _ := c.host.groupType.Attributes.ContainsAttribute("members")
		selected := elimityfilter.NewFilterValidator(selector, schema.Schema{Attributes: attribute.SubAttributes()})
		for _, value := range slices.Clone(c.members) {
			if member, _ := value.(map[string]any); selected.PassesFilter(member) == nil {
				c.remove(text(member, "value"))
			}
		}
		return
	}
	if list, _ := values.([]any); len(list) > 0 {
		for _, value := range list {
			member, _ := value.(map[string]any)
			c.remove(text(member, "value"))
		}
		return
	}
	c.removeAll()
}

func (h peerGroups) Delete(_ *http.Request, id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	group, ok := h.groups.byID[id]
	if !ok {
		return scimerrors.ScimErrorResourceNotFound(id)
	}
	c := h.change(group)
	c.removeAll()
	c.commit(group.resource.Attributes)
	h.groups.delete(group)
	return nil
}

// patchResource applies an operation that the server has validated to attributes,
// a copy whose nested values are shared and therefore copied before a change. The
// extension is nil for a type that has none.
func patchResource(attributes map[string]any, op elimity.PatchOperation, base schema.Schema, extension *schema.Schema) error {
	if op.Path == nil {
		return patchPathless(attributes, op, base, extension)
	}
	if uri := op.Path.AttributePath.URI(); uri != "" && uri != base.ID {
		nested, _ := attributes[uri].(map[string]any)
		if nested = maps.Clone(nested); nested == nil {
			nested = make(map[string]any)
		}
		inner := *op.Path
		inner.AttributePath.URIPrefix = nil
		op.Path = &inner
		if err := patchAttribute(nested, op, *extension); err != nil {
			return err
		}
		if attributes[uri] = nested; len(nested) == 0 {
			delete(attributes, uri)
		}
		return nil
	}
	return patchAttribute(attributes, op, base)
}

// patchPathless applies each attribute of the value as if it had been the path.
func patchPathless(attributes map[string]any, op elimity.PatchOperation, base schema.Schema, extension *schema.Schema) error {
	values, _ := op.Value.(map[string]any)
	for name, value := range values {
		if nested, ok := value.(map[string]any); ok && extension != nil && name == extension.ID {
			for sub, value := range nested {
				path := filter.Path{AttributePath: filter.AttributePath{URIPrefix: &name, AttributeName: sub}}
				if err := patchResource(attributes, elimity.PatchOperation{Op: op.Op, Path: &path, Value: value}, base, extension); err != nil {
					return err
				}
			}
			continue
		}
		path, err := filter.ParsePath([]byte(name))
		if err != nil {
			return scimerrors.ScimErrorInvalidPath
		}
		if err := patchResource(attributes, elimity.PatchOperation{Op: op.Op, Path: &path, Value: value}, base, extension); err != nil {
			return err
		}
	}
	return nil
}

// patchAttribute applies an operation on one attribute of the given schema
// (RFC 7644 sections 3.5.2.1 to 3.5.2.3).
func patchAttribute(attributes map[string]any, op elimity.PatchOperation, in schema.Schema) error {
	attribute, ok := in.Attributes.ContainsAttribute(op.Path.AttributePath.AttributeName)
	if !ok {
		return scimerrors.ScimErrorInvalidPath
	}
	name := attribute.Name()
	sub := op.Path.AttributePath.SubAttributeName()
	if sub == "" {
		sub = op.Path.SubAttributeName()
	}
	if sub != "" {
		definition, ok := attribute.SubAttributes().ContainsAttribute(sub)
		if !ok {
			return scimerrors.ScimErrorInvalidPath
		}
		sub = definition.Name()
	}

	if attribute.MultiValued() && (op.Path.ValueExpression != nil || sub != "") {
		return patchElements(attributes, name, sub, op, attribute)
	}
	switch was := attributes[name].(type) {
	case map[string]any:
		attributes[name] = patchValue(was, sub, op)
	case []any:
		if values, ok := op.Value.([]any); ok && op.Op == elimity.PatchOperationAdd {
			attributes[name] = append(slices.Clone(was), values...)
			return nil
		}
		attributes[name] = op.Value
	default:
		if attributes[name] = op.Value; sub != "" && op.Value != nil {
			attributes[name] = map[string]any{sub: op.Value}
		}
	}
	left, isComplex := attributes[name].(map[string]any)
	if (op.Op == elimity.PatchOperationRemove && sub == "") || attributes[name] == nil || (isComplex && len(left) == 0) {
		delete(attributes, name)
	}
	return nil
}

// patchElements applies an operation to the elements of a multi-valued attribute
// that the value filter of its path selects, or to all if it has none.
func patchElements(attributes map[string]any, name, sub string, op elimity.PatchOperation, attribute schema.CoreAttribute) error {
	selected := func(map[string]any) bool { return true }
	if op.Path.ValueExpression != nil {
		validator := elimityfilter.NewFilterValidator(op.Path.ValueExpression, schema.Schema{Attributes: attribute.SubAttributes()})
		selected = func(element map[string]any) bool { return validator.PassesFilter(element) == nil }
	}
	was, _ := attributes[name].([]any)
	is, matched := make([]any, 0, len(was)), false
	for _, value := range was {
		element, ok := value.(map[string]any)
		if !ok || !selected(element) {
			is = append(is, value)
			continue
		}
		matched = true
		if op.Op == elimity.PatchOperationRemove && sub == "" {
			continue
		}
		is = append(is, patchValue(element, sub, op))
	}
	if !matched && op.Op == elimity.PatchOperationReplace {
		return scimerrors.ScimErrorNoTarget
	}
	if attributes[name] = is; len(is) == 0 {
		delete(attributes, name)
	}
	return nil
}

// patchValue returns a copy of a complex value with one sub-attribute changed, or
// those of the operation's value if sub is empty.
func patchValue(was map[string]any, sub string, op elimity.PatchOperation) map[string]any {
	is := maps.Clone(was)
	switch values, isComplex := op.Value.(map[string]any); {
	case sub != "" && op.Op == elimity.PatchOperationRemove:
		delete(is, sub)
	case sub != "":
		is[sub] = op.Value
	case isComplex:
		maps.Copy(is, values)
	}
	return is
}

var (
	_ elimity.ResourceHandler = peerUsers{}
	_ elimity.ResourceHandler = peerGroups{}
)
