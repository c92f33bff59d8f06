package attr_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/iotest"

	"github.com/elimity-com/scim/schema"

	"github.com/muster-id/scim/attr"
)

// FuzzDecode: any bytes give an [*attr.Error], or a document whose canonical
// JSON is accepted without any tolerance and says the same. What comes byte by
// byte is what it is at once.
func FuzzDecode(f *testing.F) {
	types := []*attr.Type{everything, userType(f)}
	for _, seed := range []string{
		userJSON, body(""), "", "{", "null", bodyExtended(projected),
		`{"schemas":["` + schema.UserSchema + `"],"userName":{"value":"x"},"active":"False","emails":"x","name":[{"givenName":""}],"x":{"y":[]}}`,
		body(`"bool":"True","integer":"12","decimal":"1e999","time":"2008-01-23T04:56:22.1234567Z","binary":"QQ==","complex":"x","texts":[{"value":"y"},null]`),
		body(`"list":[{"primary":true},{"primary":"true","tags":"x"},"y"],"text":[[["\ud83d\ude00\n"]]],"readOnly":[{}],"TEXT":"x"`),
		`{"SCHEMAS":[1,"x"],"` + extensionURN + `":{"manager":[{"$ref":null,"value":"m"}],"id":7}}`,
	} {
		for which := range types {
			f.Add([]byte(seed), which, uint64(attr.Lenient))
			f.Add([]byte(seed), which, uint64(attr.Strict))
		}
	}
	f.Fuzz(func(t *testing.T, sent []byte, which int, allowed uint64) {
		typ, l := types[uint(which)%uint(len(types))], attr.Lenience(allowed)&attr.Lenient
		d := attr.NewDoc(typ)
		defer d.Release()
		err := d.Decode(sent, l, attr.Limits{})
		streamed := attr.NewDoc(typ)
		defer streamed.Release()
		errStreamed := streamed.DecodeStream(iotest.OneByteReader(bytes.NewReader(sent)), l, attr.Limits{}, nil, nil)
		if fmt.Sprint(errStreamed) != fmt.Sprint(err) || streamed.Fired() != d.Fired() {
			t.Fatalf("as a stream: %v, %v; at once: %v, %v", errStreamed, streamed.Fired().Names(), err, d.Fired().Names())
		}
		if err != nil {
			if e := (*attr.Error)(nil); !errors.As(err, &e) || e.Type != attr.InvalidSyntax && e.Type != attr.InvalidValue || e.Detail == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if d.Fired()&^l != 0 {
			t.Fatalf("fired without being allowed: %v", (d.Fired() &^ l).Names())
		}
		s := d.Freeze()
		if frozen := streamed.Freeze(); s.JSON() != frozen.JSON() {
			t.Fatalf("%s\nis as a stream\n%s", s.JSON(), frozen.JSON())
		}
		again := attr.NewDoc(typ)
		defer again.Release()
		if err := again.Decode([]byte(s.JSON()), attr.Strict, attr.Limits{}); err != nil {
			t.Fatalf("%s: %v", s.JSON(), err)
		}
		if frozen := again.Freeze(); s.JSON() != frozen.JSON() || !s.Equal(&frozen) {
			t.Fatalf("%s\nis not\n%s", s.JSON(), frozen.JSON())
		}
		if d.Fired() != 0 {
			return
		}
		// What needed no tolerance means the same without any.
		strict := attr.NewDoc(typ)
		defer strict.Release()
		if err := strict.Decode(sent, attr.Strict, attr.Limits{}); err != nil {
			t.Fatalf("no tolerance fired, but: %v", err)
		}
		if frozen := strict.Freeze(); s.JSON() != frozen.JSON() {
			t.Fatalf("%s\nis not\n%s", s.JSON(), frozen.JSON())
		}
	})
}
