package scim

import "context"

// formerly returns the account that a person who comes was provisioned with
// before: the latest of a deleted user of the directory with the same externalId
// or, by policy, the same verified email (rule B4); else of a user of a retired
// directory that this one claims, by either (rule B9). It returns nil if there is
// none that the host has an id for.
func (w *work) formerly(ctx context.Context, r *Resource, email string) (*AccountState, error) {
	verified := registered(w.dir, email)
	old, err := w.departedOf(ctx, w.Directory, r, email, verified && w.dir.Policy.RejoinByEmail)
	for i := 0; old == nil && err == nil && i < len(w.dir.Claims); i++ {
		retired := Key{Tenant: w.Directory.Tenant, Directory: w.dir.Claims[i]}
		old, err = w.departedOf(ctx, retired, r, email, verified)
	}
	return old, err
}

func (w *work) departedOf(ctx context.Context, directory Key, r *Resource, email string, byEmail bool) (*AccountState, error) {
	var old *AccountState
	var err error
	if ext := r.ExternalID(); ext != "" {
		if old, err = w.tx.Departed(ctx, directory, ext, ""); err != nil {
			return nil, err
		}
	}
	if old == nil && byEmail {
		if old, err = w.tx.Departed(ctx, directory, "", FoldEmail(email)); err != nil {
			return nil, err
		}
	}
	if old == nil || old.HostID == "" {
		return nil, nil
	}
	return old, nil
}
