package scim

import (
	"context"
	"time"
)

func (e *Engine) ConfirmMassChange(ctx context.Context, d *Directory, until time.Time) error {
	return nil
}
