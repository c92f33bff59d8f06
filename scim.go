// Package scim adds SCIM 2.0 provisioning (RFC 7643, RFC 7644) to an
// application: the identity providers of its customers create, change,
// deactivate and delete users and groups through one [http.Handler], and the
// application is told what each person may do.
//
//	store := memstore.New(scim.CoreTypes(), nil)
//	auth, err := scim.StaticTokens(scim.Token{Secret: secret, Directory: &scim.Directory{
//		Tenant: "acme", ID: "okta", Domains: []string{"acme.example"},
//	}})
//	handler, err := scim.NewHandler(store, mapping, auth, &scim.Config{Provisioner: app})
//	http.ListenAndServe(addr, scim.Mount("/scim/v2", handler, mux))
//
// That is an application with one organization, which is part of the program.
// Where customers come and go, package directory makes the handler: it keeps their
// directories, tokens, domains and role mappings in the store ([DirectorySource]),
// works in the background and says who may sign in.
//
// # Directory state and access
//
// What the identity provider said is stored exactly and answered back exactly:
// that is the directory state, made of [Resource]s. What a person may do is the
// [Account]: active or not, email, roles. It is a function of the state, the
// [RoleMapper] and the directory's [Policy]. A policy refuses a request whole,
// or lets the state in and holds the account; there is nothing in between, and
// nothing is ever answered with success that is not stored, except what a
// tolerance or [Policy] leaves out: [LogEntry] names it.
//
// # Two ways in
//
// A managed store ([Ledger], such as package memstore's) commits state, grants,
// events and the request log together, and calls the [Provisioner] inside that
// transaction. A host that wants its own tables implements the five methods of
// [Store]; it keeps the whole protocol and gives up what needs a transaction
// with us. Package directory needs the former.
//
// # Attributes and types of the host
//
// [Types.Extend] adds extensions to users or groups, [Types.With] whole resource
// types; both are declared in Go or read from the JSON of RFC 7643 sections 6
// and 7 ([attr.ParseSchema], [attr.ParseTypes]). They are served, filtered,
// changed and shown by discovery like the core ones.
//
// # Where to look
//
// The immutable email is in email.go, the domain check in domain.go, roles and
// accounts in accounts.go, the guards in guards.go, what is switched off in
// switches.go; handler.go is HTTP and nothing else, bulk.go many
// requests in one, engine.go the life of a write, list.go and root.go queries,
// cursor.go and position.go what they are paged by, repair.go what a host calls
// itself. Package attr is the document model, filter and patch are the two
// languages of RFC 7644, roles maps groups to roles, directory is the control plane.
//
// An [Authenticator] returns a [Caller], not only a directory, because log and
// events name the token. A [Store]'s Create and Replace return the resource with
// its Meta instead of setting it, because a Resource is immutable and shared.
package scim
