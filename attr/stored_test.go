package attr_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim/attr"
)

func TestFreezeIsCanonical(t *testing.T) {
	s := freeze(t, userType(t), userJSON, attr.Strict)
	require.Equal(t, userJSON, s.JSON())
	spelled := strings.NewReplacer(`,"`, " ,\n\t\"", `":`, `" : `, `m`, `\u006d`, `/`, `\/`, `urn:`, `URN:`, `}`, " }\r\n").Replace(userJSON)
	s = freeze(t, userType(t), spelled, attr.Strict)
	require.Equal(t, userJSON, s.JSON())
}

// Thawing and freezing again changes nothing.
func TestThawFreezeIdentity(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		d := attr.NewDoc(everything)
		require.NoError(t, d.Decode(bodyLenient(randomMembers(r, "\\\\ \\u0001 x")), attr.Lenient, attr.Limits{}))
		s := d.Freeze()
		d.Release()
		thawed := s.Thaw()
		again := thawed.Freeze()
		thawed.Release()
		require.Equal(t, s, again)
		require.True(t, s.Equal(&again))
	}
}

// What is sealed is frozen as it was, whatever else is changed.
func TestThawOnlyCopiesTheRest(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		d := attr.NewDoc(everything)
		require.NoError(t, d.Decode(bodyLenient(randomMembers(r, "\\\\ \\u0001 x")), attr.Lenient, attr.Limits{}))
		s := d.Freeze()
		d.Release()
		wanted := func(*attr.Attribute) bool { return r.IntN(2) == 0 }
		only := s.ThawOnly(wanted)
		require.Equal(t, s, only.Freeze())

		whole := s.Thaw()
		remove := r.IntN(2) == 0
		for _, d := range []*attr.Doc{whole, only} {
			if remove {
				d.Root().Remove(lookup(t, everything, "text"))
				d.Root().Remove(lookup(t, everything, "complex"))
			}
			d.Root().Put(d.Text(lookup(t, everything, "id"), "a longer identifier with \" and é"))
		}
		require.Equal(t, whole.Freeze(), only.Freeze())
		whole.Release()
		only.Release()
	}
}

// RFC 7643 section 3: "schemas" follows from the values.
func TestFreezeDerivesSchemas(t *testing.T) {
	s := freeze(t, everything, bodyExtended(`"`+extensionURN+`":{"department":"d","manager":{"value":"m"}}`), attr.Strict)
	d := s.Thaw()
	defer d.Release()
	extension := d.Root().Child(lookup(t, everything, extensionURN))
	require.True(t, extension.Remove(lookup(t, everything, extensionURN+":department")))
	s = d.Freeze()
	require.Equal(t, bodyExtended(`"`+extensionURN+`":{"manager":{"value":"m"}}`), s.JSON())

	// An extension that holds nothing but an emptied value has no values.
	extension.First().Clear()
	s = d.Freeze()
	require.Equal(t, body(""), s.JSON())

	longer := lookup(t, everything, extensionURN+":Longer:alone")
	n := d.Object(longer.Parent)
	n.Put(d.Text(longer, "x"))
	d.Root().Put(n)
	s = d.Freeze()
	require.Equal(t, `{"schemas":["`+everythingURN+`","`+longer.Parent.Name+`"],"`+longer.Parent.Name+`":{"alone":"x"}}`, s.JSON())
}

// Decoding and freezing keeps what encoding/json reads of a valid document.
func TestFreezeAgainstEncodingJSON(t *testing.T) {
	parse := func(s string) (m map[string]any) {
		decoder := json.NewDecoder(strings.NewReader(s))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&m), s)
		return m
	}
	var prune func(v any) any // without null, empty arrays and empty objects
	prune = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if v[k] = prune(x); v[k] == nil {
					delete(v, k)
				}
			}
			if len(v) == 0 {
				return nil
			}
		case []any:
			var kept []any
			for _, x := range v {
				if x = prune(x); x != nil {
					kept = append(kept, x)
				}
			}
			if kept == nil {
				return nil
			}
			return kept
		}
		return v
	}
	r := rand.New(rand.NewPCG(3, 3))
	for range 500 {
		members := randomMembers(r, "m")
		sent := body(members)
		if strings.Contains(members, extensionURN) {
			sent = bodyExtended(members)
		}
		s := freeze(t, everything, sent, attr.Strict)
		require.Equal(t, prune(parse(sent)), any(parse(s.JSON())), sent)

		// Each value stands where the table says.
		want := parse(s.JSON())
		for v := s.Value().First(); v.Exists(); v = v.Next() {
			var got any
			decoder := json.NewDecoder(strings.NewReader(v.JSON()))
			decoder.UseNumber()
			require.NoError(t, decoder.Decode(&got))
			require.Equal(t, want[v.Attr().Name], got)
			if text, ok := got.(string); ok {
				require.Equal(t, text, v.Text())
			}
			delete(want, v.Attr().Name)
		}
		require.Empty(t, want)
	}
}

// Rule D4: equal in everything but the order of multi-valued attributes.
func TestEqual(t *testing.T) {
	for _, c := range []struct {
		rule, a, b string
		equal      bool
	}{
		{"identical", `"text":"x"`, `"text":"x"`, true},
		{"order of attributes", `"text":"x","bool":true`, `"bool":true,"text":"x"`, true},
		{"null", `"text":"x","bool":null,"list":[]`, `"text":"x"`, true},
		{"case of a value", `"text":"x"`, `"text":"X"`, false},
		{"case of a name", `"text":"x"`, `"TEXT":"x"`, true},
		{"escapes", `"text":"\u0061\/"`, `"text":"a/"`, true},
		{"another attribute", `"never":"x"`, `"always":"x"`, false},
		{"one more", `"text":"x"`, `"text":"x","bool":true`, false},
		{"order of simple values", `"texts":["a","b","c"]`, `"texts":["c","a","b"]`, true},
		{"how often", `"texts":["a","b","a"]`, `"texts":["b","b","a"]`, false},
		{"another value, same length", `"texts":["a","b"]`, `"texts":["a","c"]`, false},
		{"order of complex values", `"list":[{"value":"1","type":"x"},{"value":"2"}]`, `"list":[{"value":"2"},{"type":"x","value":"1"}]`, true},
		{"values changed places", `"list":[{"value":"1","type":"x"},{"value":"2","type":"y"}]`, `"list":[{"value":"1","type":"y"},{"value":"2","type":"x"}]`, false},
		{"order inside of values", `"list":[{"value":"1","tags":["a","b"]},{"value":"2"}]`, `"list":[{"value":"2"},{"value":"1","tags":["b","a"]}]`, true},
		{"another order inside", `"list":[{"value":"1","tags":["a","b"]},{"value":"2","tags":["c","d"]}]`, `"list":[{"value":"1","tags":["a","c"]},{"value":"2","tags":["b","d"]}]`, false},
		{"nested lists are not strings", `"list":[{"value":"[","tags":["a","b"]}]`, `"list":[{"value":"[","tags":["b","a"]}]`, true},
		{"in an extension", `"` + extensionURN + `":{"tags":["a","b"]}`, `"` + extensionURN + `":{"tags":["b","a"]}`, true},
		{"in an extension, another", `"` + extensionURN + `":{"tags":["a","b"]}`, `"` + extensionURN + `":{"tags":["a","a"]}`, false},
		{"a complex value", `"complex":{"value":"a","other":"b"}`, `"complex":{"value":"b","other":"a"}`, false},
		{"numbers as they are spelled", `"decimal":1.0`, `"decimal":1.5`, false},
		{"true and null", `"bool":true`, `"text":null`, false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a, b := freeze(t, everything, body(c.a), attr.Lenient), freeze(t, everything, body(c.b), attr.Lenient)
			require.Equal(t, c.equal, a.Equal(&b))
			require.Equal(t, c.equal, b.Equal(&a))
			require.True(t, a.Equal(&a))
		})
	}
	other := userType(t)
	a, b := freeze(t, everything, body(`"texts":["a","b"]`), attr.Strict), freeze(t, other, userJSON, attr.Strict)
	require.False(t, a.Equal(&b))
	var zero attr.Stored
	require.Nil(t, zero.Type())
	require.False(t, a.Equal(&zero))
	require.True(t, zero.Equal(&attr.Stored{}))
}

// A value with more nodes than 16 bits count is walked and found all the same.
func TestBigLists(t *testing.T) {
	for _, n := range []int{1, 32_766, 32_767, 32_768, 65_536} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"value":"%d"}`, i)
		}
		members := `"text":"before","list":[` + b.String()[1:] + `],"always":"after","` + extensionURN + `":{"department":"d"}`
		s := freeze(t, everything, bodyExtended(members), attr.Strict)
		require.Equal(t, len(bodyExtended(members)), len(s.JSON()))

		for path, want := range map[string]string{"text": "before", "always": "after", extensionURN + ":department": "d", "list.value": "0"} {
			require.Equal(t, want, s.Value().At(lookup(t, everything, path)).Text())
		}
		list, count, value := lookup(t, everything, "list"), 0, lookup(t, everything, "list.value")
		for v := s.Value().Get(list).First(); v.Exists(); v = v.Next() {
			if v.Get(value).Text() != strconv.Itoa(count) {
				t.Fatalf("value %d is %q", count, v.Get(value).Text())
			}
			count++
		}
		require.Equal(t, n, count)
		var top []string
		for v := s.Value().First(); v.Exists(); v = v.Next() {
			top = append(top, v.Attr().Name)
		}
		require.Equal(t, []string{"schemas", "text", "list", "always", extensionURN}, top)

		d := s.Thaw()
		again := d.Freeze()
		d.Release()
		require.True(t, s.JSON() == again.JSON())

		p := everything.Project([]string{"list.type", "always"}, nil)
		require.Equal(t, `{"schemas":["`+everythingURN+`","`+extensionURN+`"],"always":"after"`, string(s.AppendOpen(nil, p)))
	}
}
