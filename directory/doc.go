// Package directory is the control plane of an application with many
// customers: their directories, tokens, domains and role mappings are in the
// store and change while the program runs, by any of its replicas.
//
//	store, err := sqlstore.New(ctx, db, sqlstore.PostgreSQL, scim.CoreTypes(), nil) // or memstore
//	service, err := directory.New(store, &scim.Config{
//		Provisioner: app,
//		Catalog:     scim.RoleCatalog{Roles: []string{"admin", "member"}, Administrators: []string{"admin"}},
//	}, nil)
//	if err != nil {
//		return err
//	}
//	go service.Run(ctx)
//	http.ListenAndServe(addr, scim.Mount("/scim/v2", service.Handler(), mux))
//
//	// a customer switches provisioning on:
//	d, err := service.Create(ctx, directory.Directory{Tenant: "acme", Name: "Okta", Provider: scim.Okta})
//	secret, _, err := service.IssueToken(ctx, d.Key(), directory.TokenOptions{Label: "Okta"}) // shown once
//	domain, err := service.AddDomain(ctx, "acme", "acme.example")                             // domain.Record is to be set in DNS
//
// # What is changed, and when it holds
//
// A [Directory] is one connection of a tenant to its identity provider, with
// the policy that holds for it. Every change of a tenant's directories, tokens,
// domains and mappings is one transaction: the records, the events, and the
// tenant's [scim.Tally.Revision], which grows by one. Whatever was read at the
// same revision is still true, so a [Service] keeps what it has read of a
// tenant and asks for one number every five seconds. A change holds at once
// where it was made and, everywhere, for every write: the engine compares the
// revision in the transaction of the write ([scim.DirectorySource]). For reads
// on other replicas it holds after five seconds at the latest; a token that was
// revoked can read for as long there, and write nothing.
//
// A change that is made inside a transaction of the host's own
// ([scim.Ledger.Do]) is part of it, and holds within five seconds of its commit
// on every replica, this one included. Where such a change returns an error the
// transaction is to be rolled back: what was refused ([InvalidError],
// [ErrConflict]) has changed nothing, what failed may have begun.
//
// # Records instead of tables
//
// What is kept here is small, read by its key and changed under the tenant's
// lock; nobody searches in it, and nothing of it grows with the number of users.
// So it is documents under (tenant, kind, id) in one table ([Storage]) instead
// of a table for each kind: a new field needs no migration, a replica of the
// release before ignores what it does not know, a store has five methods to
// implement instead of thirty, and the data of a tenant stay together wherever
// they are sharded. What must be found across tenants, the name of a domain, is a
// claim and has a key of its own. Every answer of an identity provider is
// made of what is in memory by then.
//
// # What is never kept
//
// Tokens: only their SHA-256. Everything else that is read here may be shown to
// the customer's administrator.
package directory
