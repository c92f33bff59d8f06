package filter

// isElsewhere reports whether the name that stands at p.at is that of an
// attribute which this type does not have and another one does.
func (p *parser) isElsewhere(name string) bool {
	switch {
	case p.elsewhere == nil:
		return false
	case p.absent:
		return isName(name)
	case p.of != nil:
		return p.of.Sub(name) == nil && p.elsewhere(p.of.Path()+"."+name)
	}
	a, _ := p.typ.Lookup(name, p.allow)
	return a == nil && p.elsewhere(name)
}

// withoutValue reads what is said about such an attribute. It has no value, so
// that the answer is known: it is written as something that is true or false of
// every resource, and there is no further kind of expression.
func (p *parser) withoutValue(name string) (Expr, error) {
	p.at += len(name)
	if p.sees('[') {
		// What is in the brackets is checked against the type that has it.
		if p.absent {
			return nil, p.error(p.at, "a value path cannot stand in the brackets of another (RFC 7644 section 3.4.2.2)")
		}
		if err := p.open(); err != nil {
			return nil, err
		}
		p.absent = true
		_, err := p.or()
		p.absent = false
		if err == nil {
			err = p.close(']')
		}
		if err != nil {
			return nil, err
		}
		if p.sees('.') {
			p.at += len(p.wordAt(p.at))
		} else if !p.seesComparison() {
			return p.always(false), nil
		}
		_, err = p.comparedWithNothing(name)
		return p.always(false), err
	}
	return p.comparedWithNothing(name)
}

// comparedWithNothing reads operator and literal behind an attribute without
// value: ne and eq null hold of it, nothing else does.
func (p *parser) comparedWithNothing(name string) (Expr, error) {
	op, present, err := p.operator(nil, name)
	if err != nil || present {
		return p.always(false), err
	}
	raw, quoted, err := p.literal()
	if err != nil {
		return nil, err
	}
	null := !quoted && isKeyword(raw, "null")
	return p.always(op == Eq && null || op == Ne && !null), nil
}

// always returns an expression that holds of everything, or of nothing. Every
// resource has an id.
func (p *parser) always(holds bool) Expr {
	if p.of == nil {
		all := &Present{p.typ.ID}
		if holds {
			return all
		}
		return &Not{all}
	}
	some := &Present{p.of.Subs[0]}
	if holds {
		return &Or{some, &Not{some}}
	}
	return &And{some, &Not{some}}
}
