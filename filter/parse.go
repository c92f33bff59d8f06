package filter

import (
	"errors"

	"github.com/muster-id/scim/attr"
)

// The bounds where [Options] has none.
const (
	DefaultDepth  = 32
	DefaultLength = 8192
)

// Options says what is read beyond the grammar, and bounds it.
type Options struct {
	// Lenience are the tolerances that are on. Looked at are
	// [attr.ValuePathFilter], [attr.UnquotedLiteral], [attr.DoubleEncoded],
	// [attr.ShortExtensionPath] and [attr.StringBoolean].
	Lenience attr.Lenience
	Depth    int // nesting of parentheses and brackets; 0 means DefaultDepth
	Length   int // in bytes; 0 means DefaultLength
}

// ErrUnknown is wrapped by the error for an attribute that the type does not
// have, so that callers may answer it in their own way. An unknown attribute
// must not make a filter match everything.
var ErrUnknown = errors.New("filter: unknown attribute")

// Parse reads a filter.
func Parse(s string, t *attr.Type, o Options) (e Expr, fired attr.Lenience, err error) {
	_, err = newParser(s, t, o, attr.InvalidFilter)
	return nil, 0, err
}

type parser struct {
	fired attr.Lenience
}

func newParser(s string, t *attr.Type, o Options, kind attr.ErrorType) (*parser, error) {
	return &parser{}, nil
}

func (p *parser) path() (Path, error) { return Path{}, nil }

func hidden(a *attr.Attribute) bool { return a.Returned == attr.Never }
