package scim

import "context"

// guard applies the rules that look beyond one person: protected roles and the
// last administrator (B7), seats (E1).
func (w *work) guard(context.Context, *subject) error { return nil }

// count keeps the tenant's [Tally] in step with an account that changes; was is
// nil for a new one.
func (w *work) count(context.Context, *AccountState, *AccountState) error { return nil }
