package attr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

// A copy says what the original says, whichever form that is in, and does not
// follow it when it changes.
func TestCopy(t *testing.T) {
	typ := userType(t)
	d := attr.NewDoc(typ)
	defer d.Release()
	require.NoError(t, d.Decode([]byte(userJSON), attr.Strict, attr.Limits{}))
	stored := d.Freeze()
	for name, from := range map[string]attr.Value{"stored": stored.Value(), "working": d.Value()} {
		t.Run(name, func(t *testing.T) {
			c := attr.NewDoc(typ)
			defer c.Release()
			for v := from.First(); v.Exists(); v = v.Next() {
				c.Root().Put(c.Copy(v))
			}
			copied := c.Freeze()
			require.Equal(t, stored.JSON(), copied.JSON())
			c.Root().Child(typ.Root().Sub("name")).Clear()
			again := d.Freeze()
			require.Equal(t, stored.JSON(), again.JSON())
		})
	}
}
