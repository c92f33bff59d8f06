package sqlstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// SQLite 3.51 finds a row several times where a filter looks at values of a list.
func TestVersionsOfSQLiteThatMisread(t *testing.T) {
	for version, refused := range map[string]bool{"3.50.4": false, "3.51.0": true, "3.51.3": true, "3.52.0": false, "3.5.10": false} {
		require.Equal(t, refused, misreads(version), version)
	}
}
