package attr

import "iter"

// All yields the single values of an attribute anywhere below a document:
// those of each value on the way where that is multi-valued, and one after the
// other where the attribute is.
func (v Value) All(a *Attribute) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		holders := func(yield func(Value) bool) { yield(v) }
		if a.Parent != nil {
			holders = v.All(a.Parent)
		}
		for holder := range holders {
			c := holder.Get(a)
			if !c.IsList() {
				if c.Exists() && !yield(c) {
					return
				}
				continue
			}
			for c = c.First(); c.Exists(); c = c.Next() {
				if !yield(c) {
					return
				}
			}
		}
	}
}
