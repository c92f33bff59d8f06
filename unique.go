package scim

import (
	"iter"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
)

// Unique returns the attributes whose values belong to one resource of the type
// in a directory: id, externalId, a user's userName, and those that a schema
// declares with uniqueness "server" or "global" (RFC 7643 section 7). A [Store]
// keeps them unique as the operator eq compares them; every value of a
// multi-valued attribute counts, an empty string does not. What is global by its nature is compared
// within the directory, since nothing is shared between directories. On a
// complex attribute the declaration has no effect: it belongs on a
// sub-attribute. The caller must not change the slice.
func (t *ResourceType) Unique() []*attr.Attribute { return t.unique }

func uniqueAttributes(t *ResourceType) []*attr.Attribute {
	var unique []*attr.Attribute
	for _, a := range t.Attributes()[1:] {
		switch {
		case a == t.ID, a == t.ExternalID, a == t.userName:
		case a.Uniqueness == attr.NotUnique, a.Kind == attr.Complex, a.Dropped, a.Within(t.Meta):
			continue
		case t.members != nil && a.Within(t.members), t.groups != nil && a.Within(t.groups):
			continue // not in the document
		}
		unique = append(unique, a)
	}
	return unique
}

// CheckUnique looks for a value of r that must be unique ([ResourceType.Unique])
// among other resources, and returns a [*UniquenessError] for the first that is
// taken. Resources of other types and directories do not count, nor does one
// with r's id: that an id is taken shows where the row is written. It is what a store without indexes calls in Create and Replace, as
// it calls [Select] in List; nothing may be written between the look and the
// write.
func CheckUnique(r *Resource, others iter.Seq[*Resource]) error {
	type claim struct {
		of    *attr.Attribute
		value string
	}
	claimed := map[claim]bool{}
	for _, a := range r.typ.unique {
		for v := range r.Doc().All(a) {
			if v.Text() != "" {
				claimed[claim{a, filter.Canonical(a, v.Text())}] = true
			}
		}
	}
	for other := range others {
		if other.typ != r.typ || other.key != r.key || other.id == r.id {
			continue
		}
		for _, a := range r.typ.unique {
			for v := range other.Doc().All(a) {
				if claimed[claim{a, filter.Canonical(a, v.Text())}] {
					return &UniquenessError{Attribute: a.Path()}
				}
			}
		}
	}
	return nil
}
