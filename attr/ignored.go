package attr

import (
	"slices"
	"strings"
)

// Ignored lists the names of what a client sent and no schema defines, each
// once, for a log: a hundred at most, and of a long one the beginning.
type Ignored []string

// Add adds a name. It keeps no memory of the caller's.
func (l *Ignored) Add(name string) {
	const most, longest = 100, 256
	if len(*l) >= most {
		return
	}
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "…"
	}
	if !slices.Contains(*l, name) {
		*l = append(*l, strings.Clone(name))
	}
}

// ignore notes a name that the attribute in, or the document, does not have.
func (d *Doc) ignore(in *Attribute, name string) {
	switch {
	case in == d.root.attr:
	case in.Extension:
		name = in.Name + ":" + name
	default:
		name = in.Path() + "." + name
	}
	d.ignored.Add(name)
}

// Ignored returns the names of attributes that decoding into d passed over
// because of [UnknownAttribute], as the client spelled them. They may be kept.
func (d *Doc) Ignored() Ignored { return d.ignored }
