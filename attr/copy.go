package attr

// Copy returns a copy of a value, of a stored document or another one being
// worked on, as a node of d. It may share strings with where it comes from.
func (d *Doc) Copy(v Value) *Node {
	a := v.Attr()
	var n *Node
	switch {
	case v.IsList():
		n = d.List(a)
	case a.Kind == Complex:
		n = d.Object(a)
	case a.Textual():
		return d.Text(a, v.Text())
	default:
		return d.Literal(a, v.Text())
	}
	for c := v.First(); c.Exists(); c = c.Next() {
		n.Append(d.Copy(c))
	}
	return n
}
