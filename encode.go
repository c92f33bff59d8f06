package scim

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/internal/pace"
	"github.com/muster-id/scim/internal/wire"
)

// appendTime appends a time as RFC 7643 section 2.3.5 has it, to the
// millisecond and in UTC. Two of them are in every resource that is answered,
// which is why this is arithmetic and not time.Format.
func appendTime(b []byte, unixMilli int64) []byte {
	const millisADay = 24 * 60 * 60 * 1000
	days, rest := unixMilli/millisADay, unixMilli%millisADay
	if rest < 0 {
		days, rest = days-1, rest+millisADay
	}
	// The days since 1 March of the year 0, in eras of 400 years: the leap day
	// is the last of its year, so that months have a regular length.
	days += 719468
	if days < 0 || days > 3652364 {
		return time.UnixMilli(unixMilli).UTC().AppendFormat(b, time.RFC3339Nano)
	}
	day := days % 146097
	year := (day - day/1460 + day/36524 - day/146096) / 365
	day -= 365*year + year/4 - year/100
	year += days / 146097 * 400
	month := (5*day + 2) / 153
	day -= (153*month+2)/5 - 1
	if month += 3; month > 12 {
		month, year = month-12, year+1
	}
	b = appendTwo(b, year/100)
	b = append(appendTwo(b, year%100), '-')
	b = append(appendTwo(b, month), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, rest/3600000), ':')
	b = append(appendTwo(b, rest/60000%60), ':')
	b = append(appendTwo(b, rest/1000%60), '.', byte('0'+rest/100%10))
	return append(appendTwo(b, rest%100), 'Z')
}

func appendTwo(b []byte, n int64) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

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
	if isPlain(id) {
		return append(b, id...)
	}
	for i := range len(id) {
		c := id[i]
		if plain[c] {
			b = append(b, c)
			continue
		}
		b = appendPercent(b, c)
	}
	return b
}

func appendPercent(b []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(b, '%', hex[c>>4], hex[c&15])
}

// plain are the bytes that neither a URL nor JSON escapes: the unreserved
// characters of RFC 3986.
var plain = func() (set [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" {
		set[c] = true
	}
	return set
}()

func isPlain(id string) bool {
	for i := range len(id) {
		if !plain[id[i]] {
			return false
		}
	}
	return true
}

// A view says how resources are shown in an answer.
type view struct {
	base       string
	projection *attr.Projection // nil: the default

	to *exchange // is sent what there is of an answer before it is whole; nil: nobody

	// listed says that the resource is on a page. A group that is deleted while
	// the page is being sent cannot be taken off it: it has no members then.
	listed bool
}

// relieve sends what there is of an answer, once it is much.
func (v view) relieve(b []byte) ([]byte, error) {
	const much = 32 << 10
	if v.to == nil || len(b) <= much {
		return b, nil
	}
	return v.to.flush(b)
}

func (v view) includes(a *attr.Attribute) bool { return a != nil && v.projection.Includes(a) }

// showsMembers reports whether an answer has the members of a group.
func (v view) showsMembers(t *ResourceType) bool {
	return v.includes(t.members)
}

// appendResource appends a resource as it is answered. groups are those of a
// user.
func (e *Engine) appendResource(ctx context.Context, b []byte, r *Resource, groups []GroupRef, v view) ([]byte, error) {
	t := r.typ
	p := v.projection
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
	some := false
	var p pace.Pace
	for m, err := range e.members.Members(ctx, r.Ref()) {
		p.Step()
		if v.listed && !some && errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if some {
			b = append(b, ',')
		}
		b = v.appendReference(b, r.typ.members, e.cfg.Types.Type(m.Type), m)
		some = true
		if b, err = v.relieve(b); err != nil {
			return nil, err
		}
	}
	if !some {
		return b[:mark], nil // no members: no value, RFC 7643 section 2.5
	}
	return append(b, ']'), nil
}

// appendReference appends a value of a user's groups or a group's members.
func (v view) appendReference(b []byte, a *attr.Attribute, to *ResourceType, m Member) []byte {
	b = append(b, '{')
	open := len(b)
	if v.projection == nil && to != nil && isPlain(m.Value) { // nearly always
		b = append(append(append(b, `"value":"`...), m.Value...), `","$ref":"`...)
		b = append(append(append(append(b, v.base...), to.Endpoint...), '/'), m.Value...)
		b = append(b, '"')
		if m.Display != "" {
			b, _ = wire.AppendString(append(b, `,"display":`...), m.Display)
		}
		if m.Type != "" {
			b = append(append(append(b, `,"type":"`...), m.Type...), '"')
		}
		return append(b, '}')
	}
	for _, sub := range a.Subs {
		if !v.projection.Includes(sub) {
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
