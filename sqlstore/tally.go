package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	scim "github.com/muster-id/scim"
)

// A tally is that of a transaction's tenant: as it was locked, and decoded once
// somebody has asked for it.
type tally struct {
	stored []byte
	*scim.Tally
	put bool // it is another than in the row
}

// readTally returns the tally of a column that is null where nothing was counted.
func readTally(stored []byte) (*scim.Tally, error) {
	t := new(scim.Tally)
	if len(stored) == 0 {
		return t, nil
	}
	if err := json.Unmarshal(stored, t); err != nil {
		return nil, fmt.Errorf("sqlstore: tally of a tenant: %w", err)
	}
	return t, nil
}

// Tally implements [scim.Ledger]. It waits for nobody.
func (s *Store) Tally(ctx context.Context, tenant string) (*scim.Tally, error) {
	v, err := s.view(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if v.tx != nil {
		return v.tx.Tally(ctx)
	}
	if !storable(tenant) {
		return new(scim.Tally), nil
	}
	var stored []byte
	err = v.db.QueryRowContext(ctx, v.statement(`SELECT tally FROM @tenants WHERE tenant = $1::text`), tenant).Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, failed(ctx, err)
	}
	return readTally(stored)
}

// Tally implements [scim.Tx]. It was read with the tenant's lock.
func (x *tx) Tally(context.Context) (t *scim.Tally, err error) {
	if x.ended.Load() {
		return nil, errEnded
	}
	if x.tally.Tally == nil {
		x.tally.Tally, err = readTally(x.tally.stored)
	}
	return x.tally.Tally, err
}

// PutTally implements [scim.Tx]. It is written with the counters of the tenant.
func (x *tx) PutTally(_ context.Context, t *scim.Tally) error {
	if x.ended.Load() {
		return errEnded
	}
	if t == nil {
		t = new(scim.Tally)
	}
	x.tally.Tally, x.tally.put = t, true
	return nil
}

// putCounters returns what writes the tenant's row, and with it the tally if there
// is another one.
func (x *tx) putCounters() (part, error) {
	p := part{`UPDATE @tenants SET seq = $2::bigint, delivery = $3::bigint, change = $4::bigint WHERE tenant = $1::text`, []any{x.seq, x.delivery, x.change}}
	if x.tally.put {
		stored, err := json.Marshal(x.tally.Tally)
		if err != nil {
			return part{}, fmt.Errorf("sqlstore: tally of a tenant: %w", err)
		}
		p = part{`UPDATE @tenants SET seq = $2::bigint, delivery = $3::bigint, change = $4::bigint, tally = $5::text WHERE tenant = $1::text`, append(p.args, string(stored))}
	}
	x.counted, x.tally.put = false, false
	return p, nil
}
