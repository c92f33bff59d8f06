package patch_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
	"github.com/muster-id/scim/filter"
	"github.com/muster-id/scim/patch"
)

// FuzzPatch applies any body to any resource. Whatever the two are:
//
//   - a refused request has an error that may be sent, and leaves the stored
//     resource as it was;
//   - an applied one leaves a resource that, decoded strictly, is itself;
//   - one replace operation done again changes nothing more.
func FuzzPatch(f *testing.F) {
	names := []string{"User", "Group", "Device"}
	for _, vectors := range readVectors(f) {
		for _, v := range vectors {
			for i, name := range names {
				if name == v.Type {
					f.Add(uint8(i), uint64(v.Lenience), string(v.Before), string(v.body()))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, l uint64, before, body string) {
		typ := resourceTypes[names[int(kind)%len(names)]]
		lenience := attr.Lenience(l) & attr.Lenient
		d := attr.NewDoc(typ)
		if err := d.Decode([]byte(before), attr.Lenient, attr.Limits{}); err != nil {
			t.Skip()
		}
		stored := d.Freeze()
		was := strings.Clone(stored.JSON())
		after, p, err := apply(t, &stored, body, lenience)
		require.Equal(t, was, stored.JSON(), "the stored resource has changed")
		if err != nil {
			var e *attr.Error
			require.True(t, errors.As(err, &e), "%T: %v", err, err)
			require.NotEmpty(t, e.Type)
			require.NotEmpty(t, e.Detail)
			return
		}
		require.Zero(t, p.Fired()&^lenience, "a tolerance fired that is not allowed")
		checkSets(t, typ, p.Members())

		again := attr.NewDoc(typ)
		require.NoError(t, again.Decode([]byte(after.JSON()), attr.Strict, attr.Limits{}), after.JSON())
		decoded := again.Freeze()
		require.Equal(t, after.JSON(), decoded.JSON())

		if !idempotent(body) {
			return
		}
		if twice, _, err := apply(t, &after, body, lenience); err == nil {
			require.True(t, after.Equal(&twice), "once: %s\ntwice: %s", after.JSON(), twice.JSON())
		}
	})
}

func apply(t *testing.T, stored *attr.Stored, body string, l attr.Lenience) (attr.Stored, *patch.Patch, error) {
	p, err := patch.Parse([]byte(body), stored.Type(), options(t, stored.Type(), l))
	if err != nil {
		return attr.Stored{}, nil, err
	}
	d := stored.Thaw()
	err = p.Apply(d)
	sealed, errSealed := p.ApplyTo(stored)
	require.Equal(t, err, errSealed)
	if err != nil {
		return attr.Stored{}, nil, err
	}
	after := d.Freeze()
	require.Equal(t, after, sealed, "what no operation is about was not copied as it was")
	return after, p, nil
}

// idempotent reports whether body is one replace operation whose target does
// not depend on what it does: no filter, not an attribute in two spellings.
func idempotent(body string) bool {
	var request struct {
		Operations []struct {
			Op, Path string
			Value    json.RawMessage
		}
	}
	if json.Unmarshal([]byte(body), &request) != nil || len(request.Operations) != 1 {
		return false
	}
	o := request.Operations[0]
	if !strings.EqualFold(o.Op, "replace") || strings.Contains(o.Path, "[") {
		return false
	}
	if o.Path != "" && !strings.HasPrefix(strings.ToLower(o.Path), "urn:") {
		return true
	}
	var keys map[string]json.RawMessage
	return json.Unmarshal(o.Value, &keys) == nil && len(keys) == 1 && !strings.ContainsAny(string(o.Value), "[\\")
}

// checkSets checks that a membership is two sets that do not meet.
func checkSets(t *testing.T, typ *attr.Type, m *patch.Membership) {
	if m == nil {
		return
	}
	m, err := m.Resolve(func(filter.Expr) ([]string, error) { return []string{"1", "2"}, nil })
	require.NoError(t, err)
	seen := make(map[string]bool)
	for _, added := range m.Add {
		require.NotEmpty(t, added.Value)
		require.False(t, seen[added.Value], added.Value)
		seen[added.Value] = true
	}
	for _, id := range m.Remove {
		require.False(t, m.Clear || seen[id], id)
		seen[id] = true
	}
	d := attr.NewDoc(typ)
	require.NoError(t, m.ApplyTo(d, attribute(t, typ, "members")))
	require.Equal(t, m.Add, takeMembers(d, attribute(t, typ, "members")))
}
