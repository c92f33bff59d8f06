// Package durability holds tests that take away what sqlstore stands on: the
// process, the database, the connection, the lock. They ask what the package
// promises: what was acknowledged is there, nothing is there by half, the
// sequence of events has no gap, the application's own tables agree with the
// directory, and who has lost access is told of at least once.
//
// A provider (provider_test.go) writes and repeats what was not answered, as
// real ones do; it knows what must be there in the end. The service
// (service_test.go) is the handler over sqlstore with an application that
// writes its own tables in the same transaction and a journal outside of it. It
// runs in this process or, to be killed, in one of its own, which is the test
// binary with an environment variable (process_test.go).
//
//	go test ./durability -kills 100
//
// kills it as often on each database; by default it is fewer. A PostgreSQL and a
// PgBouncer are started where they are installed. Without them these tests
// are skipped, where the environment has CI=true they fail.
package durability
