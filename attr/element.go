package attr

// element reads one value of a list; nil if it is unassigned. A client that
// fills a template sends every element of it (quirk 56): one in which a blank
// stood, and of which nothing is left but its type and whether it is primary,
// says nothing.
func (d *Doc) element(a *Attribute, l Lenience) (*Node, error) {
	fired := d.fired
	d.fired &^= Blank
	n, err := d.single(a, l)
	blank := d.fired&Blank != 0
	d.fired |= fired
	if !blank || n == nil || err != nil || !n.IsObject() {
		return n, err
	}
	for c := n.First(); c != nil; c = c.Next() {
		if c.attr != a.primary && c.attr.Name != "type" {
			return n, nil
		}
	}
	return nil, nil
}
