package scim

import (
	"context"

	"github.com/muster-id/scim/filter"
)

// An Anticipator is a [Tx] that would rather be asked several things at once, as
// one that asks a database does. Before the library looks whether a new user's
// email and externalId are anybody's it tells what it will ask. Nothing else
// comes of it: the answers are those that the Tx gives unasked, also where
// something is written in between.
type Anticipator interface {
	Tx

	Anticipate(ctx context.Context, q *Questions) error
}

// Questions are what a [Tx] will be asked about a user that is to be created.
type Questions struct {
	Directory Key
	Type      *ResourceType

	// Equal are filters of List.
	Equal []*filter.Compare

	// ExternalID and DepartedEmail are those of calls of Departed, KeptEmail
	// that of Keeper; "" where it will not be called with one.
	ExternalID, DepartedEmail, KeptEmail string
}

// anticipate tells a Tx that wants to know what createUser is about to ask.
func (w *work) anticipate(ctx context.Context, r *Resource, email string) error {
	x, ok := w.tx.(Anticipator)
	if !ok {
		return nil
	}
	q := &Questions{Directory: w.Directory, Type: r.typ, Equal: emailFilters(r, email), ExternalID: r.ExternalID(), KeptEmail: FoldEmail(email)}
	if w.rejoinsByEmail(email) {
		q.DepartedEmail = q.KeptEmail
	}
	return x.Anticipate(ctx, q)
}
