package directory

import (
	"context"
	"slices"
	"strings"
	"unicode"

	scim "github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

// Observations are the attributes that a directory's users have: what there is
// to choose from for [Directory].Profile (rule E4).
type Observations struct {
	Users      int        // how many were looked at: the 200 that were created last, at most
	Attributes []Observed // in the order of the schemas
}

// Observed is an attribute that users have.
type Observed struct {
	// Path is one that [scim.Types.ParseProfile] takes, such as
	// emails[type eq "work"].value.
	Path string

	// Example is the value of the latest user who has one, masked: letters are A
	// and a, digits 9, and runs of them cut short, so that its form can be seen,
	// and nothing of it read: "a…@a….a…".
	Example string

	Users int // how many of those looked at have a value
}

const (
	observedUsers = 200
	mostObserved  = 500 // different paths
	mostElements  = 50  // values of one attribute of one user that are looked at
)

// Observed returns which attributes the latest users of a directory have. The
// error wraps [scim.ErrNotFound] if there is no such directory.
func (s *Service) Observed(ctx context.Context, key scim.Key) (*Observations, error) {
	if _, err := s.Get(ctx, key); err != nil {
		return nil, err
	}
	t := s.types.Type("User")
	page, err := s.store.List(ctx, &scim.Query{Directory: key, Type: t, SortBy: t.ID, Descending: true, StartIndex: 1, Count: observedUsers})
	if err != nil {
		return nil, err
	}
	o := observer{types: s.types, seen: map[string]*sight{}}
	for i, r := range page.Resources {
		o.user = i + 1
		for v := r.Doc().First(); v.Exists(); v = v.Next() {
			if v.Attr() != t.ID { // which every account has
				o.attribute(v)
			}
		}
	}
	return &Observations{Users: len(page.Resources), Attributes: o.list()}, nil
}

// An observer walks through the documents of users.
type observer struct {
	types *scim.Types
	seen  map[string]*sight // by path; nil for one that no profile can have
	user  int               // the one that is walked through, from 1
}

// A sight is a path that was met.
type sight struct {
	Observed
	order int // of the attribute in the schemas
	last  int // the user who had it last
}

// attribute notes what stands at the top of a document or in an extension.
func (o *observer) attribute(v attr.Value) {
	a := v.Attr()
	switch {
	case a.Extension:
		for sub := v.First(); sub.Exists(); sub = sub.Next() {
			o.attribute(sub)
		}
	case v.IsList():
		n := 0
		for e := v.First(); e.Exists() && n < mostElements; e = e.Next() {
			o.element(a, e)
			n++
		}
	default:
		o.element(a, v)
	}
}

// element notes one value: of a complex one what it consists of, but for what
// tells the values of an attribute apart.
func (o *observer) element(a *attr.Attribute, v attr.Value) {
	if a.Kind != attr.Complex {
		o.note(a.Path(), a, v)
		return
	}
	path := a.Path() + "."
	if typ := a.Sub("type"); typ != nil && a.MultiValued {
		if name := v.Get(typ).Text(); isLabel(name) {
			path = a.Path() + `[type eq "` + name + `"].`
		}
	}
	for sub := v.First(); sub.Exists(); sub = sub.Next() {
		b := sub.Attr()
		if a.MultiValued && (b.Name == "type" || b == a.PrimarySub()) || b.Name == "$ref" {
			continue
		}
		if sub.IsList() {
			o.note(path+b.Name, b, sub.First())
			continue
		}
		o.note(path+b.Name, b, sub)
	}
}

// isLabel reports whether a type is a label such as work or home: what is longer,
// or has other characters, could say something about a person.
func isLabel(s string) bool {
	const most = 20
	return s != "" && len(s) <= most && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_ ") == ""
}

// note counts a value for the user at hand.
func (o *observer) note(path string, a *attr.Attribute, v attr.Value) {
	text := v.Text()
	if text == "" {
		return
	}
	s, known := o.seen[path]
	if !known {
		if len(o.seen) >= mostObserved {
			return
		}
		if _, err := o.types.ParseProfile(map[string]string{"x": path}); err == nil {
			s = &sight{Observed: Observed{Path: path, Example: mask(a, text)}, order: a.Index()}
		}
		o.seen[path] = s
	}
	if s == nil || s.last == o.user {
		return
	}
	s.last = o.user
	s.Users++
}

// list returns what was seen in the order of the schemas.
func (o *observer) list() []Observed {
	var sights []*sight
	for _, s := range o.seen {
		if s != nil {
			sights = append(sights, s)
		}
	}
	slices.SortFunc(sights, func(a, b *sight) int {
		if a.order != b.order {
			return a.order - b.order
		}
		return strings.Compare(a.Path, b.Path)
	})
	list := make([]Observed, len(sights))
	for i, s := range sights {
		list[i] = s.Observed
	}
	return list
}

// mask shows the form of a value and nothing that could be read: of letters and
// digits only that they are, of long runs only that they are long.
func mask(a *attr.Attribute, text string) string {
	if a.Kind == attr.Boolean {
		return "true or false"
	}
	const (
		most     = 40 // characters of an example
		mostRun  = 4  // of one class that are shown; of letters one
		more     = '…'
		unlikely = '•'
	)
	var b strings.Builder
	var last rune
	run, n := 0, 0
	for _, r := range text {
		shown, longest := unlikely, 1
		switch {
		case unicode.IsUpper(r):
			shown = 'A'
		case unicode.IsLetter(r) || unicode.IsMark(r):
			shown = 'a'
		case unicode.IsDigit(r):
			shown, longest = '9', mostRun
		case strings.ContainsRune(" @.,:;/+-_()#'", r):
			shown, longest = r, mostRun
		}
		if shown == last {
			run++
		} else {
			last, run = shown, 1
		}
		switch {
		case run == longest+1:
			shown = more
		case run > longest:
			continue
		}
		if n++; n > most {
			b.WriteRune(more)
			break
		}
		b.WriteRune(shown)
	}
	return b.String()
}
