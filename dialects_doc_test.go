package scim_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-id/scim"
	"github.com/muster-id/scim/attr"
)

//go:generate go test . -run ^TestDialectsDocument$ -update

// dialectsDocument is made of the source of dialects and tolerances, of the
// tables beside the conversations, and of the conversations themselves.
const dialectsDocument = "docs/dialects.md"

// TestDialectsDocument: docs/dialects.md says what is. Every proof in the table
// of quirks exists and names its quirk, the sources of a tolerance are the quirks
// that need it, and a dialect has the tolerances that its client's quirks need.
func TestDialectsDocument(t *testing.T) {
	t.Parallel()
	b := newProofs(t)
	quirks, tolerances := readQuirks(t), readTolerances(t)
	for i := range quirks {
		b.check(t, &quirks[i])
	}
	checkSources(t, quirks, tolerances)
	checkDialects(t, quirks)

	want := b.document(t, quirks, tolerances)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(dialectsDocument), 0o755))
		require.NoError(t, os.WriteFile(dialectsDocument, []byte(want), 0o644))
		return
	}
	got, err := os.ReadFile(dialectsDocument)
	require.NoError(t, err, "make docs writes it")
	require.Equal(t, want, string(got), "%s is out of date; make docs writes it anew", dialectsDocument)
}

// A quirk is a line of testdata/idp/quirks.tsv: what clients send, what they have
// to be answered, by what tolerance or rule, and what shows it.
type quirk struct {
	number         int
	clients        []string
	sent, expected string
	by             string
	tolerances     []string // in by
	proofs         []string
}

// lastQuirk is the number of quirks in the catalogue.
const lastQuirk = 128

func readQuirks(t testing.TB) []quirk {
	t.Helper()
	var quirks []quirk
	for i, fields := range readTable(t, "testdata/idp/quirks.tsv", "quirk\tclients\tsent\texpected\tby\tproof") {
		n, err := strconv.Atoi(fields[0])
		require.NoError(t, err)
		require.Equal(t, i+1, n, "the quirks are in order, each once")
		q := quirk{
			number: n, clients: strings.Split(fields[1], ", "), sent: fields[2], expected: fields[3],
			by: fields[4], proofs: strings.Split(fields[5], " | "),
		}
		if q.by != "protocol" && !regexp.MustCompile(`^rule [A-E][0-9]+$`).MatchString(q.by) {
			q.tolerances = strings.Fields(q.by)
		}
		for _, name := range q.tolerances {
			tolerance(t, name)
		}
		for _, client := range q.clients {
			if _, isDialect := dialectOf(client); !isDialect {
				require.Contains(t, []string{"any", "several", "none known"}, client, "quirk %d", n)
			}
		}
		quirks = append(quirks, q)
	}
	require.Len(t, quirks, lastQuirk)
	return quirks
}

// dialectOf returns the dialect of a client, which has its name.
func dialectOf(client string) (scim.Dialect, bool) {
	d, err := scim.ParseDialect(strings.ToLower(client))
	return d, err == nil
}

// A toleranceText is what a document says of a tolerance.
type toleranceText struct {
	attr.Lenience
	ident   string // of the constant
	does    string // its comment without the sources
	sources []int  // quirks
	example string
}

// readTolerances joins the constants of attr/lenience.go, whose comments say what
// they do, with the examples beside the conversations.
func readTolerances(t testing.TB) []toleranceText {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "attr/lenience.go", nil, parser.ParseComments)
	require.NoError(t, err)
	var all []toleranceText
	for _, comment := range constComments(file, "StringBoolean") {
		source := regexp.MustCompile(`\s*\(quirks? [^)]*\)`).FindString(comment.text)
		all = append(all, toleranceText{
			Lenience: 1 << len(all), ident: comment.ident, sources: quirksIn(source),
			does: strings.TrimPrefix(strings.Replace(comment.text, source, "", 1), comment.ident+" "),
		})
		if 1<<len(all) > uint64(attr.Lenient) {
			break
		}
	}
	examples := readTable(t, "testdata/idp/tolerances.tsv", "tolerance\texample")
	require.Len(t, all, len(examples))
	for i, fields := range examples {
		require.Equal(t, all[i].Names()[0], fields[0], "examples are in the order of the constants")
		all[i].example = fields[1]
	}
	return all
}

type constComment struct{ ident, text string }

// constComments returns the constants of a block with their comments, from the
// one of that name on.
func constComments(file *ast.File, first string) (all []constComment) {
	for _, d := range file.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, s := range block.Specs {
			spec := s.(*ast.ValueSpec)
			if name := spec.Names[0].Name; name == first || len(all) > 0 {
				all = append(all, constComment{name, strings.Join(strings.Fields(spec.Doc.Text()), " ")})
			}
		}
		if len(all) > 0 {
			return all
		}
	}
	return nil
}

// readTable reads a file of lines whose fields are separated by tabs.
func readTable(t testing.TB, name, head string) (rows [][]string) {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	require.Equal(t, head, lines[0], name)
	for i, line := range lines[1:] {
		fields := strings.Split(line, "\t")
		require.Len(t, fields, strings.Count(head, "\t")+1, "%s: line %d", name, i+2)
		require.NotContains(t, fields, "", "%s: line %d", name, i+2)
		rows = append(rows, fields)
	}
	return rows
}

var (
	quirkReference = regexp.MustCompile(`\b(?:[Qq]uirks? ?|TestQuirk)([0-9]+(?:–[0-9]+)?(?:(?:, | and )[0-9]+(?:–[0-9]+)?)*)`)
	quirkRange     = regexp.MustCompile(`([0-9]+)(?:–([0-9]+))?`)
)

// quirksIn returns the numbers of the quirks that a text names.
func quirksIn(text string) (numbers []int) {
	for _, reference := range quirkReference.FindAllStringSubmatch(text, -1) {
		for _, r := range quirkRange.FindAllStringSubmatch(reference[1], -1) {
			from, _ := strconv.Atoi(r[1])
			to, err := strconv.Atoi(r[2])
			if err != nil {
				to = from
			}
			for n := from; n <= to; n++ {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers
}

// proofs are what a row of the table may name: the steps of the conversations, by
// their reasons; the vectors, by their names or filters; the tests.
type proofs struct {
	conversations map[string]*conversation
	vectors       map[string]map[string]vectorProof // by file below testdata
	tests         map[string]string                 // the source of each
}

type vectorProof struct {
	Name, Filter, Rule string
	Fired, Tolerances  []string
}

func newProofs(t testing.TB) *proofs {
	t.Helper()
	p := &proofs{conversations: loadConversations(t), vectors: map[string]map[string]vectorProof{}, tests: testSources(t)}
	for _, name := range []string{"patch/quirks.json", "patch/members.json", "patch/rfc.json", "patch/characteristics.json", "filter/match.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		var list []vectorProof
		if json.Unmarshal(data, &list) != nil {
			var object struct{ Vectors []vectorProof }
			require.NoError(t, json.Unmarshal(data, &object), name)
			list = object.Vectors
		}
		p.vectors[name] = map[string]vectorProof{}
		for _, v := range list {
			p.vectors[name][v.Name+v.Filter] = v
		}
	}
	return p
}

// testSources returns the source of every test function, comments included, by
// name; of those with one name the sources of all.
func testSources(t testing.TB) map[string]string {
	t.Helper()
	sources := map[string]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				from := f.Pos()
				if f.Doc != nil {
					from = f.Doc.Pos()
				}
				source := string(text[set.Position(from).Offset:set.Position(f.End()).Offset])
				sources[f.Name.Name] += strings.ReplaceAll(source, "\n// ", " ") + "\n"
			}
		}
		return nil
	}))
	return sources
}

// A found proof is what a row names: the quirks it is about, the tolerances that
// it says must fire, and how the document points to it.
type foundProof struct {
	quirks []int
	fired  []string
	link   string
}

func (p *proofs) find(name string) (foundProof, bool) {
	if source, ok := p.tests[name]; ok {
		return foundProof{quirks: quirksIn(source), link: "`" + name + "`"}, true
	}
	file, what, _ := strings.Cut(name, ": ")
	if v, ok := p.vectors[file][what]; ok {
		link := "testdata/" + file + " “" + what + "”"
		if v.Filter != "" {
			link = "testdata/" + file + " `" + what + "`"
		}
		return foundProof{quirksIn(v.Rule), append(v.Fired, v.Tolerances...), link}, true
	}
	conversation := strings.TrimSuffix(file, ".json")
	if c := p.conversations[conversation]; c != nil {
		for i, s := range c.Steps {
			if s.Why != what {
				continue
			}
			found := foundProof{quirks: quirksIn(s.Why), link: fmt.Sprintf("%s %d", conversation, i+1)}
			if s.Fired != nil {
				found.fired = *s.Fired
			}
			return found, true
		}
	}
	return foundProof{}, false
}

// check requires that what a row names exists, is about its quirk, and that each
// of its tolerances is seen to fire in one of them. Tests that are no data check
// for themselves what fires.
func (p *proofs) check(t testing.TB, q *quirk) {
	t.Helper()
	var fired []string
	for _, name := range q.proofs {
		found, ok := p.find(name)
		require.True(t, ok, "quirk %d: there is no %q", q.number, name)
		require.Contains(t, found.quirks, q.number, "quirk %d: %q does not name it", q.number, name)
		fired = append(fired, found.fired...)
	}
	for _, name := range q.tolerances {
		require.Contains(t, fired, name, "quirk %d: nothing that shows it says that %s fires", q.number, name)
	}
}

// checkSources requires that the comment of a tolerance names the quirks that
// need it, all of them and no others; one that no quirk needs names an RFC.
func checkSources(t testing.TB, quirks []quirk, tolerances []toleranceText) {
	t.Helper()
	for _, l := range tolerances {
		var needed []int
		for _, q := range quirks {
			if slices.Contains(q.tolerances, l.Names()[0]) {
				needed = append(needed, q.number)
			}
		}
		require.Equal(t, needed, l.sources, "attr/lenience.go: the quirks of %s", l.ident)
		if needed == nil {
			require.Contains(t, l.does, "RFC", "attr/lenience.go: %s has no source", l.ident)
		}
	}
}

// checkDialects requires that the dialect of a client has what its quirks need,
// and beside what all dialects share nothing else.
func checkDialects(t testing.TB, quirks []quirk) {
	t.Helper()
	shared := sharedTolerances()
	needed := map[scim.Dialect]attr.Lenience{}
	for _, q := range quirks {
		for _, client := range q.clients {
			d, _ := dialectOf(client)
			for _, name := range q.tolerances {
				needed[d] |= tolerance(t, name)
			}
		}
	}
	for _, d := range scim.Dialects()[2:] {
		require.Equal(t, (needed[d] | shared).Names(), d.Lenience().Names(), "the quirks of %s, and its dialect", d)
	}
}

// sharedTolerances are those of every dialect but strict.
func sharedTolerances() attr.Lenience {
	shared := attr.Lenient
	for _, d := range scim.Dialects() {
		if d != scim.Strict {
			shared &= d.Lenience()
		}
	}
	return shared
}

// ofNoClient says what the dialects are that bear no client's name: Auto and
// Strict.
var ofNoClient = []struct{ about, more string }{
	{"any client; the default", "all others"},
	{"clients that keep to the RFCs", "no tolerance at all, none of the shared ones either"},
}

// document writes it.
func (p *proofs) document(t testing.TB, quirks []quirk, tolerances []toleranceText) string {
	t.Helper()
	var b strings.Builder
	row := func(cells ...string) {
		for _, c := range cells {
			b.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
	}
	b.WriteString(`<!-- Made by TestDialectsDocument; make docs writes it anew. -->

# Dialects

Identity providers send more than the RFCs allow. What is forgiven is a set of named tolerances
([attr.Lenience](../attr/lenience.go)); a directory's dialect ([scim.Dialect](../dialect.go)) is such a set. Which of them a
request needed is in the request log (LogEntry.Fired). No two contradict each other: ` + "`auto`" + ` is all of them, ` + "`strict`" + ` is
none, and a dialect that bears the name of a client is what that client is known to need.

What shows that a row is true is a step of a recorded conversation (its file under [testdata/idp](../testdata/idp) and
its number), a vector under testdata, or a test. All of them run with the tests of the library.

`)

	file, err := parser.ParseFile(token.NewFileSet(), "dialect.go", nil, parser.ParseComments)
	require.NoError(t, err)
	comments := constComments(file, "Auto")
	shared := sharedTolerances()
	b.WriteString("## The dialects\n\nEvery dialect but strict has " + code(shared.Names()) + ".\n\n")
	row("dialect", "for", "and beside those", "conversations")
	row("---", "---", "---", "---")
	for i, d := range scim.Dialects() {
		about, more := comments[i].text, code((d.Lenience() &^ shared).Names())
		if i < len(ofNoClient) {
			about, more = ofNoClient[i].about, ofNoClient[i].more
		}
		var names []string
		for _, name := range slices.Sorted(maps.Keys(p.conversations)) {
			if p.conversations[name].Directory.Dialect == d.String() {
				names = append(names, name)
			}
		}
		row("`"+d.String()+"`", about, more, strings.Join(names, ", "))
	}

	b.WriteString("\n## The tolerances\n\nThe name is that in the request log, the constant that of package attr.\n\n")
	row("tolerance", "constant", "forgives", "example", "dialects", "quirks", "shown by")
	row("---", "---", "---", "---", "---", "---", "---")
	for _, l := range tolerances {
		var in []string
		for _, d := range scim.Dialects()[2:] {
			if d.Lenience().Has(l.Lenience) {
				in = append(in, d.String())
			}
		}
		dialects := "auto, " + strings.Join(in, ", ")
		if shared.Has(l.Lenience) {
			dialects = "all but strict"
		}
		numbers := make([]string, len(l.sources))
		for i, n := range l.sources {
			numbers[i] = strconv.Itoa(n)
		}
		row("`"+l.Names()[0]+"`", l.ident, l.does, l.example, dialects, strings.Join(numbers, ", "), p.showing(t, l.Names()[0]))
	}

	b.WriteString("\n## The quirks\n\nWhat clients are known to send, what they have to be answered, and by what that is done: a tolerance, " +
		"a rule of the library, or the protocol as the RFCs have it.\n\n")
	row("quirk", "clients", "sent", "expected", "by", "shown by")
	row("---", "---", "---", "---", "---", "---")
	for _, q := range quirks {
		var links []string
		in := "" // the conversation of the last link, whose name is not repeated
		for _, name := range q.proofs {
			found, _ := p.find(name)
			file, step, _ := strings.Cut(found.link, " ")
			if p.conversations[file] == nil {
				file = ""
			}
			if file != "" && file == in {
				links[len(links)-1] += ", " + step
			} else {
				links = append(links, found.link)
			}
			in = file
		}
		by := q.by
		if len(q.tolerances) > 0 {
			by = code(q.tolerances)
		}
		row(strconv.Itoa(q.number), strings.Join(q.clients, ", "), q.sent, q.expected, by, strings.Join(links, "; "))
	}
	return b.String()
}

// showing returns the first steps in which a tolerance must fire, one of each of
// three conversations.
func (p *proofs) showing(t testing.TB, name string) string {
	t.Helper()
	var links []string
	for _, c := range slices.Sorted(maps.Keys(p.conversations)) {
		i := slices.IndexFunc(p.conversations[c].Steps, func(s *step) bool { return s.Fired != nil && slices.Contains(*s.Fired, name) })
		if i >= 0 && len(links) < 3 {
			links = append(links, fmt.Sprintf("%s %d", c, i+1))
		}
	}
	require.NotEmpty(t, links, "no step of a conversation says that %s fires", name)
	return strings.Join(links, "; ")
}

// code lists names as code.
func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
