package scim

import (
	"context"
	"strconv"
	"time"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/wire"
)

// appendTime appends a time as RFC 7643 section 2.3.5 has it, to the
// millisecond and in UTC. It is on the way of every resource that is answered.
func appendTime(b []byte, unixMilli int64) []byte {
	t := time.UnixMilli(unixMilli).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, time.RFC3339)
	}
	b = append(b, byte('0'+year/1000), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10), '-')
	b = append(appendTwo(b, int(month)), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	b = append(appendTwo(b, second), '.')
	milli := t.Nanosecond() / int(time.Millisecond)
	return append(b, byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10), 'Z')
}

func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// appendMeta appends the meta attribute with the comma before it. p nil
// includes all of it; an empty base leaves the location out.
func (r *Resource) appendMeta(b []byte, p *attr.Projection) []byte { return r.appendMetaAt(b, p, "") }

func (r *Resource) appendMetaAt(b []byte, p *attr.Projection, base string) []byte {
	meta := r.typ.Meta
	if !p.Includes(meta) {
		return b
	}
	has := func(i int) bool { return p == nil || p.Includes(meta.Subs[i]) }
	b = append(b, `,"meta":{`...)
	open := len(b)
	if has(metaType) {
		b = append(b, `"resourceType":"`...)
		b = append(b, r.typ.Name...)
		b = append(b, `",`...)
	}
	if has(metaCreated) {
		b = append(b, `"created":"`...)
		b = appendTime(b, r.created)
		b = append(b, `",`...)
	}
	if has(metaModified) {
		b = append(b, `"lastModified":"`...)
		b = appendTime(b, r.modified)
		b = append(b, `",`...)
	}
	if base != "" && has(metaLocation) {
		b = append(b, `"location":"`...)
		b = r.appendLocation(b, base)
		b = append(b, `",`...)
	}
	if has(metaVersion) {
		b = append(b, `"version":"W/\"`...)
		b = strconv.AppendUint(b, uint64(r.version), 10)
		b = append(b, `\"",`...)
	}
	if len(b) > open {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

// The sub-attributes of meta by place, as package attr orders them.
const (
	metaType = iota
	metaCreated
	metaModified
	metaLocation
	metaVersion
)

func (r *Resource) appendLocation(b []byte, base string) []byte {
	return appendLocation(b, base, r.typ, r.id)
}

// appendLocation appends the URL of a resource, safe between JSON quotes.
func appendLocation(b []byte, base string, t *ResourceType, id string) []byte {
	b = append(b, base...)
	b = append(b, t.Endpoint...)
	b = append(b, '/')
	for i := range len(id) {
		c := id[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_' || c == '.' || c == '~' {
			b = append(b, c)
			continue
		}
		const hex = "0123456789ABCDEF"
		b = append(b, '%', hex[c>>4], hex[c&15])
	}
	return b
}

// A view says how resources are shown in an answer.
type view struct {
	base       string
	projection *attr.Projection // nil: the default
	members    bool             // show the members of groups, where the projection has them
}

func (v view) includes(a *attr.Attribute) bool { return a != nil && v.projection.Includes(a) }

// showsMembers reports whether an answer has the members of a group.
func (v view) showsMembers(t *ResourceType) bool {
	return t.members != nil && v.members && v.includes(t.members)
}

// appendResource appends a resource as it is answered. groups are those of a
// user.
func (e *Engine) appendResource(ctx context.Context, b []byte, r *Resource, groups []GroupRef, v view) ([]byte, error) {
	t := r.typ
	p := v.projection
	if e.members == nil && t.members != nil && !v.members {
		p = t.Project(nil, []string{t.members.Name})
	}
	b = r.doc.AppendOpen(b, p)
	if t.groups != nil && len(groups) > 0 && v.includes(t.groups) {
		b = e.appendGroups(b, t, groups, v)
	}
	if e.members != nil && v.showsMembers(t) {
		var err error
		if b, err = e.appendMembers(ctx, b, r, v); err != nil {
			return nil, err
		}
	}
	b = r.appendMetaAt(b, p, v.base)
	return append(b, '}'), nil
}

// appendGroups appends the groups of a user, RFC 7643 section 4.1.2.
func (e *Engine) appendGroups(b []byte, t *ResourceType, groups []GroupRef, v view) []byte {
	group := e.cfg.Types.Type("Group")
	b = append(b, `,"groups":[`...)
	for i, g := range groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.appendReference(b, t.groups, group, Member{Value: g.ID, Display: g.DisplayName, Type: "direct"})
	}
	return append(b, ']')
}

// appendMembers appends the members of a group, RFC 7643 section 4.2.
func (e *Engine) appendMembers(ctx context.Context, b []byte, r *Resource, v view) ([]byte, error) {
	mark := len(b)
	b = append(b, `,"members":[`...)
	open := len(b)
	for m, err := range e.members.Members(ctx, r.Ref()) {
		if err != nil {
			return nil, err
		}
		if len(b) > open {
			b = append(b, ',')
		}
		b = v.appendReference(b, r.typ.members, e.cfg.Types.Type(m.Type), m)
	}
	if len(b) == open {
		return b[:mark], nil // no members: no value, RFC 7643 section 2.5
	}
	return append(b, ']'), nil
}

// appendReference appends a value of a user's groups or a group's members.
func (v view) appendReference(b []byte, a *attr.Attribute, to *ResourceType, m Member) []byte {
	all := v.projection == nil
	b = append(b, '{')
	open := len(b)
	for _, sub := range a.Subs {
		if !all && !v.projection.Includes(sub) {
			continue
		}
		mark := len(b)
		if mark > open {
			b = append(b, ',')
		}
		switch sub.Name {
		case "value":
			b = append(b, `"value":`...)
			b, _ = wire.AppendString(b, m.Value)
		case "$ref":
			if to == nil {
				b = b[:mark]
				continue
			}
			b = append(b, `"$ref":"`...)
			b = append(appendLocation(b, v.base, to, m.Value), '"')
		case "display":
			if m.Display == "" {
				b = b[:mark]
				continue
			}
			b = append(b, `"display":`...)
			b, _ = wire.AppendString(b, m.Display)
		case "type":
			if m.Type == "" {
				b = b[:mark]
				continue
			}
			b = append(b, `"type":`...)
			b, _ = wire.AppendString(b, m.Type)
		default:
			b = b[:mark]
		}
	}
	return append(b, '}')
}
