package attr

// A Projection says which attributes an answer has, RFC 7644 section 3.9: the
// ones returned by default or those asked for, without the excluded ones,
// never those that are returned "never". The nil Projection is the default.
type Projection struct {
	include []bool // by attribute index
}

// Project resolves the parameters attributes and excludedAttributes. Names
// that the type does not have are ignored; with both parameters the second
// takes away from the first. No names at all give nil.
func (t *Type) Project(attributes, excluded []string) *Projection {
	if len(attributes) == 0 && len(excluded) == 0 {
		return nil
	}
	p := &Projection{include: make([]bool, len(t.all))}
	p.include[0] = true
	if len(attributes) == 0 {
		p.byDefault(t, t.all[0])
	}
	for _, name := range attributes {
		if a, _ := t.Lookup(name, ShortExtensionPath); a != nil && !a.secret() {
			for at := a; at != nil; at = at.Parent {
				p.include[at.index] = true
			}
			p.byDefault(t, a)
		}
	}
	for _, name := range excluded {
		if a, _ := t.Lookup(name, ShortExtensionPath); a != nil && a.Returned != Always {
			clear(p.include[a.index : a.last+1])
		}
	}
	p.always(t.all[0])
	return p
}

// secret reports whether a is never returned: itself or what it is part of.
func (a *Attribute) secret() bool {
	for ; a != nil; a = a.Parent {
		if a.Returned == Never {
			return true
		}
	}
	return false
}

// byDefault includes what a default answer has below a.
func (p *Projection) byDefault(t *Type, a *Attribute) {
	for _, sub := range a.Subs {
		if !t.hidden[sub.index] {
			p.include[sub.index] = true
			p.byDefault(t, sub)
		}
	}
}

// always includes what is always returned, below what is returned at all.
func (p *Projection) always(a *Attribute) {
	for _, sub := range a.Subs {
		if sub.Returned == Always {
			p.include[sub.index] = true
		}
		if p.include[sub.index] {
			p.always(sub)
		}
	}
}

// Includes reports whether an answer has the attribute.
func (p *Projection) Includes(a *Attribute) bool {
	if p != nil {
		return p.include[a.index]
	}
	for ; a != nil; a = a.Parent {
		if a.Returned == Never || a.Returned == Request {
			return false
		}
	}
	return true
}

// AppendOpen appends the document as the projection shows it, without the
// closing brace, so that attributes which are not stored can follow. They
// begin with a comma: schemas is always there.
func (s *Stored) AppendOpen(b []byte, p *Projection) []byte {
	if p == nil && !s.hidden {
		return append(b, s.json[:len(s.json)-1]...)
	}
	if p == nil {
		p = &Projection{include: make([]bool, len(s.typ.all))}
		p.include[0] = true
		p.byDefault(s.typ, s.typ.all[0])
	}
	b = append(b, '{')
	b, _ = s.project(b, s.Value(), p)
	return b
}

// project appends the members of an object that p includes.
func (s *Stored) project(b []byte, of Value, p *Projection) (_ []byte, some bool) {
	for v := of.First(); v.Exists(); v = v.Next() {
		a := s.typ.all[s.nodes[v.at].attr]
		if !p.include[a.index] {
			continue
		}
		mark := len(b)
		if some {
			b = append(b, ',')
		}
		b = append(b, a.key...)
		any := true
		switch {
		case a.Kind != Complex:
			b = append(b, v.raw()...)
		case v.IsList():
			b = append(b, '[')
			any = false
			for c := v.First(); c.Exists(); c = c.Next() {
				at := len(b)
				if any {
					b = append(b, ',')
				}
				b = append(b, '{')
				var members bool
				if b, members = s.project(b, c, p); members {
					b, any = append(b, '}'), true
				} else {
					b = b[:at]
				}
			}
			b = append(b, ']')
		default:
			b = append(b, '{')
			b, any = s.project(b, v, p)
			b = append(b, '}')
		}
		if any {
			some = true
		} else {
			b = b[:mark]
		}
	}
	return b, some
}
