package directory

import (
	"context"
	"errors"
	"time"

	scim "github.com/muster-id/scim"
)

// Storage is a [scim.Ledger] that keeps this package's records beside its own
// tables. memstore.Store and sqlstore.Store are.
//
// Records are documents under a key, so that a new field needs no migration;
// each kind of them is small, read by its key, and changed only where the
// tenant's lock is held. Every method may be called with the context of a
// transaction ([scim.Ledger.Do]) and is then part of it; called with another
// one it is a transaction of its own. Methods are called concurrently.
type Storage interface {
	scim.Ledger

	// Record returns the record of a key; the error wraps [scim.ErrNotFound] if
	// there is none. It must not be changed.
	Record(ctx context.Context, key RecordKey) (*Record, error)

	// Records returns records of a tenant and kind in order of ID, from the
	// first with a greater ID than after on, limit at most.
	Records(ctx context.Context, tenant string, kind Kind, after string, limit int) ([]*Record, error)

	// PutRecord stores a record in place of the one with r.Version, 0 for a new
	// one, and returns its new version; r stays as it is. Kind and ID must not
	// be empty. The error wraps [scim.ErrVersion] if the
	// stored version is another, or there is one already where r.Version is 0;
	// [scim.ErrNotFound] if there is none where it is not.
	PutRecord(ctx context.Context, r *Record) (version uint64, err error)

	// DeleteRecord removes the record of a key; none is no error.
	DeleteRecord(ctx context.Context, key RecordKey) error

	// Claim makes a name the tenant's, in all tenants the only one that has it:
	// the one key that is global. It returns who has it: the tenant itself, also
	// if it had it before, or another, and then nothing has changed. Names are
	// compared byte by byte. A name that a running transaction claims is its
	// tenant's for whoever claims it meanwhile, who may be told so at once or
	// may have to wait for the end; rolled back, nobody has it.
	Claim(ctx context.Context, name, tenant string) (holder string, err error)

	// Unclaim gives up a name that is the tenant's; any other is left alone.
	Unclaim(ctx context.Context, name, tenant string) error

	// Tenants returns tenants that have records, in order, those greater than
	// after, limit at most. It is not asked on the way of a request.
	Tenants(ctx context.Context, after string, limit int) ([]string, error)

	// Prune removes old events and lines of request logs of a tenant, and
	// reports how many.
	Prune(ctx context.Context, tenant string, p Prune) (removed int, err error)
}

// A Kind says what a record is. The constants are all there are.
type Kind string

// The kinds of records.
const (
	KindDirectory Kind = "directory" // ID is the directory's
	KindToken     Kind = "token"     // ID is the hexadecimal digest of the token
	KindDomain    Kind = "domain"    // ID is the domain in ASCII
	KindMapping   Kind = "mapping"   // ID is the directory's
	KindTask      Kind = "task"      // ID is the task's: work that goes on in the background
	KindUsage     Kind = "usage"     // ID is the day, 2026-11-22
	KindActivity  Kind = "activity"  // ID is the directory's: when it was heard of last, and its tokens used
)

// A RecordKey names a record.
type RecordKey struct {
	Tenant string
	Kind   Kind
	ID     string
}

// A Record is a document under a key.
type Record struct {
	RecordKey
	Version uint64 // 1 for the first; counted by PutRecord
	Data    []byte // JSON, kept byte for byte; it must not be changed once stored or read
}

// Prune says what [Storage.Prune] removes.
type Prune struct {
	Events   uint64    // the sequence number of the last event to be removed; 0: none
	Requests time.Time // lines of request logs written before that time; zero: none
	Limit    int       // of each, the oldest first; 0: none
}

// ErrConflict says that somebody else has changed the same directory, token,
// domain, mapping or task meanwhile. Read it again and repeat the change.
var ErrConflict = errors.New("directory: changed by somebody else meanwhile")
