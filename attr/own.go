package attr

// DecodeOwn is [Doc.DecodeValue] for a value that comes from the service
// provider itself: read-only sub-attributes are kept, and an empty string is no
// value. A list is accepted for a multi-valued attribute, and one value of it.
func (d *Doc) DecodeOwn(raw []byte, a *Attribute) (*Node, error) {
	d.trusted = true
	defer func() { d.trusted = false }()
	return d.DecodeValue(raw, a, false, Blank, Limits{})
}
