package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// readAll is what a Reader makes of a whole text.
func readAll(r *Reader) (string, error) {
	var b strings.Builder
	err := read(r, &b)
	if err == nil {
		err = r.Close()
	}
	return b.String(), err
}

// A stream is read as a text that is there at once: the same values, the same
// errors at the same bytes.
func TestStreamReadsWhatIsThere(t *testing.T) {
	for _, body := range []string{
		sample, ``, ` `, `{`, `{"a"`, `{"a":`, `"a`, `tru`, `12`, `[1,]`, `{"a" 1}`, `{1:1}`, `[01]`, "[\"\xff\"]", `["\ud800"]`, `["\u0000"]`,
		`؋`, `{"a"؋`, `"\uX0`, `["\q"]`, `["\ud800\uX"]`, `["\ud800\u0041"]`, "\x80", "[1\xc3\xa9",
		`}`, `[}`, `{} {}`, `{} x`, `x`, `[` + strings.Repeat(`"0123456789é",`, 10_000) + `1]` + strings.Repeat(" ", 10_000),
		strings.Repeat("[", 33), `{"` + strings.Repeat("x", 100_000) + `":"` + strings.Repeat("y", 100_000) + `\n"}`,
	} {
		var held Reader
		held.Reset([]byte(body), 0)
		want, wantErr := readAll(&held)
		for _, stream := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body))} {
			r := Stream(stream, 0)
			got, err := readAll(r)
			require.Equal(t, wantErr, err)
			require.Equal(t, want, got)
			r.Release()
		}
		held.Reset([]byte(body), 0)
		whole, wantErr := held.Raw()
		r := Stream(iotest.HalfReader(strings.NewReader(body)), 0)
		raw, err := r.Raw()
		require.Equal(t, wantErr, err)
		require.Equal(t, string(whole), string(raw))
		r.Release()
	}
}

// A large value is held once: the buffer that it is read through stays small.
func TestRawDoesNotGrowTheBuffer(t *testing.T) {
	value := "[" + strings.Repeat(`{"a" : 12345 } ,`, 50_000) + "{}]"
	r := Stream(strings.NewReader(`{"value" : `+value+"\n}"), 0)
	defer r.Release()
	require.NoError(t, r.Begin())
	_, err := r.String()
	require.NoError(t, err)
	raw, err := r.Raw()
	require.NoError(t, err)
	require.Equal(t, value, string(raw))
	require.LessOrEqual(t, r.src.most, 64<<10)
	require.NoError(t, r.End())
	require.NoError(t, r.Close())
}

// What a stream returns stays when it is read on, and when it is released; what
// is forgotten makes room, and what was kept before stays.
func TestStreamKeepsItsStrings(t *testing.T) {
	body := `["first",` + strings.Repeat(`"gone",12.5,`, 5_000) + `{"a": 1 },"last"]`
	r := Stream(iotest.HalfReader(strings.NewReader(body)), 0)
	require.NoError(t, r.Begin())
	keep := func(s string, err error) string {
		require.NoError(t, err)
		return r.Keep(s)
	}
	first := keep(r.String())
	r.Hold()
	for range 5_000 {
		r.Forget()
		text, number := keep(r.String()), keep(r.Scalar())
		require.Equal(t, "gone 12.5", text+" "+number)
	}
	require.Less(t, cap(r.kept), 100, "room is used again")
	raw, err := r.Raw()
	require.NoError(t, err)
	last := keep(r.String())
	require.NoError(t, r.End())
	require.NoError(t, r.Close())
	r.Release()
	other := Stream(strings.NewReader(`"##########"`), 0)
	_, err = other.String()
	require.NoError(t, err)
	require.Equal(t, []string{"first", `{"a": 1 }`, "last"}, []string{first, string(raw), last})
}

// Where a chunk is full after Hold, what stands before stays.
func TestForgetSparesWhatIsHeld(t *testing.T) {
	long := strings.Repeat("x", 60)
	r := Stream(strings.NewReader(`["`+long+`","y","`+long+`","`+strings.ToUpper(long)+`"]`), 0)
	defer r.Release()
	require.NoError(t, r.Begin())
	next := func() string {
		s, err := r.String()
		require.NoError(t, err)
		return r.Keep(s)
	}
	before := next()
	r.Hold()
	next()
	next() // begins another chunk
	r.Forget()
	require.Equal(t, strings.ToUpper(long), next())
	require.Equal(t, long, before)
}

// An error of reading is the reader's own; it is none of JSON, and is not taken
// for the end.
func TestStreamErrors(t *testing.T) {
	for _, broken := range []error{errors.New("the line is dead"), io.ErrUnexpectedEOF} {
		for n := range len(sample) {
			r := Stream(io.MultiReader(strings.NewReader(sample[:n]), iotest.ErrReader(broken)), 0)
			_, err := readAll(r)
			require.Equal(t, broken, err, "after %q", sample[:n])
			r.Release()
		}
	}
}

func TestLevel(t *testing.T) {
	r := Stream(strings.NewReader(`[[[[]]]]`), 2)
	defer r.Release()
	require.NoError(t, r.Begin())
	require.NoError(t, r.Begin())
	require.Equal(t, 2, r.Level(0))
	require.NoError(t, r.Begin(), "a value with a bound of its own")
	require.NoError(t, r.Begin())
	require.NoError(t, r.End())
	require.NoError(t, r.End())
	require.Equal(t, 0, r.Level(2))
	require.NoError(t, r.End())
	require.NoError(t, r.End())
	require.NoError(t, r.Close())
}
