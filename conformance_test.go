package scim_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the generated documents instead of comparing them")

// The RFCs whose requirements testdata/conformance lists, in the order of the
// document.
var conformanceRFCs = []struct{ number, title string }{
	{"7643", "SCIM: Core Schema"},
	{"7644", "SCIM: Protocol"},
	{"9865", "Cursor-Based Pagination"},
}

const conformanceDocument = "docs/conformance.md"

// docs/conformance.md is what testdata/conformance says, and every proof that
// is named there exists. `make docs` writes it.
func TestConformanceDocument(t *testing.T) {
	tests, err := parseTests(os.DirFS("."))
	require.NoError(t, err)
	book := &proofBook{tests: tests, data: os.DirFS("testdata"), final: os.Getenv("CI") == "true"}
	var lists []*requirements
	var wrong error
	for _, rfc := range conformanceRFCs {
		text, err := os.ReadFile(filepath.Join("testdata", "conformance", "rfc"+rfc.number+".tsv"))
		require.NoError(t, err)
		list, err := parseRequirements(rfc.number, string(text))
		require.NoError(t, err)
		list.title = rfc.title
		for i := range list.rows {
			wrong = errors.Join(wrong, book.check(&list.rows[i]))
		}
		lists = append(lists, list)
	}
	require.NoError(t, wrong)
	want := writeConformance(lists)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(conformanceDocument), 0o755))
		require.NoError(t, os.WriteFile(conformanceDocument, want, 0o644))
		return
	}
	got, err := os.ReadFile(conformanceDocument)
	require.NoError(t, err)
	if line := difference(want, got); line > 0 {
		t.Errorf("%s is stale from line %d on: run make docs", conformanceDocument, line)
	}
}

// difference returns the number of the first line that differs, 0 if none does.
func difference(want, got []byte) int {
	if bytes.Equal(want, got) {
		return 0
	}
	line := 1
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			break
		}
		if want[i] == '\n' {
			line++
		}
	}
	return line
}

// What the document says cannot rot: a proof that is not there is found.
func TestConformanceCatches(t *testing.T) {
	sources := fstest.MapFS{
		"a_test.go":            {Data: []byte("package a\nfunc TestOne(t *testing.T) { for _, c := range []struct{ name, x string }{{\"first\", \"no name\"}} { t.Run(c.name, nil) }; t.Run(\"literal\", nil) }\nfunc TestPlain(t *testing.T) { _ = []string{\"first\"} }\nfunc (x) TestMethod() {}")},
		"b/c/c_test.go":        {Data: []byte("package c\nfunc TestTwo(t *testing.T) { for name := range map[string]int{\"key\": 1} { t.Run(name, nil) } }")},
		"b/c/helper.go":        {Data: []byte("package c\nfunc TestNotThere() {}")},
		"other/go.mod":         {Data: []byte("module other")},
		"other/other_test.go":  {Data: []byte("package other\nfunc TestElsewhere(t *testing.T) {}")},
		"patch/patch_test.go":  {Data: []byte("package patch\nfunc TestVectors(t *testing.T) {}")},
		"testdata/old_test.go": {Data: []byte("package old\nfunc TestOld(t *testing.T) {}")},
	}
	tests, err := parseTests(sources)
	require.NoError(t, err)
	data := fstest.MapFS{"patch/rfc.json": {Data: []byte(`[{"name":"add; twice"}]`)}, "filter/match.json": {Data: []byte(`{"vectors":[{"filter":"x pr"}]}`)}}
	for proof, says := range map[string]string{
		"TestOne": "", "TestOne/first": "", "TestOne/literal": "", "b/c.TestTwo": "", "b/c.TestTwo/key": "", "patch/rfc.json: add; twice": "",
		"TestOne ; patch/rfc.json: add; twice": "", "by design ; TestOne": "", "not offered": "", "the host's": "", "pending: bulk": "",
		"TestThree": "no test TestThree", "TestTwo": "no test TestTwo", "b.TestTwo": "no test b.TestTwo", "TestOne/no name": `called "no name"`, "TestPlain/first": `called "first"`,
		"TestMethod": "no test", "b/c.TestNotThere": "no test", "other.TestElsewhere": "no test", "testdata.TestOld": "no test",
		"TestOne ; TestThree": "no test TestThree", "by design ; TestThree": "no test TestThree", "byDesign": "no test byDesign",
		"patch/rfc.json: remove": `name is "remove"`, "patch/none.json: x": "none.json", "filter/match.json: x pr": "no test filter.TestMatchVectors", "other/x.json: y": "no test runs", "pending: everything": "nothing is pending",
	} {
		book := &proofBook{tests: tests, data: data}
		err := book.check(&requirement{id: "7643-1-1", proof: proof, note: "why"})
		if says == "" {
			require.NoError(t, err, proof)
			continue
		}
		require.ErrorContains(t, err, says, proof)
	}
	book := &proofBook{tests: tests, data: data, final: true}
	require.ErrorContains(t, book.check(&requirement{id: "7643-1-1", proof: "pending: bulk"}), "is pending")
	require.ErrorContains(t, book.check(&requirement{id: "7643-1-1", proof: "by design"}), "no reason")

	const head = "# clients: 1\n# editorial: 0\n"
	row := func(id, level string) string { return id + "\t" + level + "\tsays\tproof\t\n" }
	for text, says := range map[string]string{
		head + row("7643-1-1", "MUST") + row("7643-1-2", "MAY") + row("7643-1.1-1", "MUST"): "",
		row("7643-1-1", "MUST"):                "required",
		head:                                   "required",
		head + "7643-1-1\tMUST\tsays\tproof\n": "4 columns",
		head + row("7644-1-1", "MUST"):         "no id of RFC 7643",
		head + row("7643-1-2", "MUST"):         "follows number 0",
		head + row("7643-1-1", "MUST") + row("7643-2-1", "MUST") + row("7643-1-2", "MUST"): "two places",
		head + row("7643-1-1", "must"):      "no level",
		head + "7643-1-1\tMUST\tsays\t\t\n": "empty column",
	} {
		_, err := parseRequirements("7643", text)
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says, text)
	}
}

// A requirement is one row of testdata/conformance.
type requirement struct {
	id, section string
	level       string // the RFC's own word
	says        string
	proof       string
	note        string

	state state
	shown []string // the proofs as the document shows them
}

// A state is what has become of a requirement.
type state int

const (
	proven state = iota
	byDesign
	notOffered
	byHost
	pending
	states
)

// How the column of proofs begins where it is none: a note gives the reason,
// and tests that follow prove what is done instead.
var stateWords = map[string]state{"by design": byDesign, "not offered": notOffered, "the host's": byHost}

type requirements struct {
	number, title      string
	clients, editorial int // sentences that are not about a service provider
	rows               []requirement
}

// levelStrength says which levels of RFC 2119 are the same.
var levelStrength = map[string]int{
	"MUST": 0, "MUST NOT": 0, "REQUIRED": 0, "SHALL": 0, "SHALL NOT": 0,
	"SHOULD": 1, "SHOULD NOT": 1, "RECOMMENDED": 1,
	"MAY": 2, "OPTIONAL": 2,
}

var requirementID = regexp.MustCompile(`^(\d{4})-(\d+(?:\.\d+)*)-(\d+)$`)

// parseRequirements reads the rows of one RFC: id, level, requirement, proof,
// note, with tabs between them. "# clients: 3" and "# editorial: 2" count what
// is left out.
func parseRequirements(number, text string) (*requirements, error) {
	list := &requirements{number: number, clients: -1, editorial: -1}
	section, last := "", 0
	var sections []string
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(format string, args ...any) (*requirements, error) {
			return nil, fmt.Errorf("rfc%s.tsv:%d: %s", number, i+1, fmt.Sprintf(format, args...))
		}
		if comment, ok := strings.CutPrefix(line, "# "); ok {
			_, _ = fmt.Sscanf(comment, "clients: %d", &list.clients)
			_, _ = fmt.Sscanf(comment, "editorial: %d", &list.editorial)
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 5 {
			return fail("%d columns, not 5", len(fields))
		}
		r := requirement{id: fields[0], level: fields[1], says: fields[2], proof: fields[3], note: fields[4]}
		id := requirementID.FindStringSubmatch(r.id)
		if id == nil || id[1] != number {
			return fail("%q is no id of RFC %s", r.id, number)
		}
		r.section = id[2]
		if r.section != section {
			if slices.Contains(sections, r.section) {
				return fail("section %s is in two places", r.section)
			}
			sections = append(sections, r.section)
			section, last = r.section, 0
		}
		if n, _ := strconv.Atoi(id[3]); n != last+1 {
			return fail("%s follows number %d of its section", r.id, last)
		}
		last++
		if _, ok := levelStrength[r.level]; !ok {
			return fail("%q is no level of RFC 2119", r.level)
		}
		if r.says == "" || r.proof == "" {
			return fail("%s has an empty column", r.id)
		}
		list.rows = append(list.rows, r)
	}
	if list.clients < 0 || list.editorial < 0 || len(list.rows) == 0 {
		return nil, fmt.Errorf("rfc%s.tsv: rows, clients and editorial are required", number)
	}
	return list, nil
}

// A proofBook knows what can be named as a proof.
type proofBook struct {
	tests map[string]*testSource // by name; "attr.TestX" outside of the root
	data  fs.FS                  // with the vectors and conversations
	final bool                   // nothing may be pending

	names map[string]map[string]bool // of vectors, by file
}

// A testSource is a test function and where it is.
type testSource struct {
	file     string
	subtests map[string]bool // names that are literals
}

// parseTests reads the test functions of the module.
func parseTests(root fs.FS) (map[string]*testSource, error) {
	tests := map[string]*testSource{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, err := fs.Stat(root, path.Join(name, "go.mod"))
			if name != "." && (err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir // another module, or none
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") || fn.Name.Name == "TestMain" {
				continue
			}
			test := fn.Name.Name
			if dir := path.Dir(name); dir != "." {
				test = dir + "." + test
			}
			tests[test] = &testSource{file: name, subtests: subtestsOf(fn)}
		}
		return nil
	})
	return tests, err
}

// subtestsOf returns the strings that a test which runs subtests could name
// them by: arguments of Run, keys and first values of its tables. A t.Run of a
// name that is put together has none of them.
func subtestsOf(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	literal := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				names[s] = true
			}
		}
	}
	runs := false
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Run" && len(n.Args) == 2 {
				runs = true
				literal(n.Args[0])
			}
		case *ast.CompositeLit:
			for i, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					literal(kv.Key)
					if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "name" {
						literal(kv.Value)
					}
				} else if i == 0 {
					literal(e)
				}
			}
		}
		return true
	})
	if !runs {
		return nil
	}
	return names
}

// proofSeparator stands between proofs. The names of vectors have semicolons,
// but no space before them.
const proofSeparator = " ; "

// What is not a Go function but data that one runs: which member names a
// vector, and the test that runs the file.
var vectorFiles = []struct{ pattern, member, runner string }{
	{"patch/*.json", "name", "patch.TestVectors"},
	{"filter/match.json", "filter", "filter.TestMatchVectors"},
	{"filter/paths.json", "path", "filter.TestPathVectors"},
	{"idp/*.json", "why", "TestConversations"},
}

// pendingAreas are the parts of the library that may still owe a proof.
var pendingAreas = []string{"bulk", "http", "lists"}

// check finds the state of a requirement, and every proof that it names.
func (b *proofBook) check(r *requirement) error {
	if area, ok := strings.CutPrefix(r.proof, "pending: "); ok {
		r.state = pending
		switch {
		case b.final:
			return fmt.Errorf("%s: its proof is pending; name the test", r.id)
		case !slices.Contains(pendingAreas, area):
			return fmt.Errorf("%s: nothing is pending of %q", r.id, area)
		}
		r.shown = []string{"pending: " + area}
		return nil
	}
	word, proofs, more := strings.Cut(r.proof, proofSeparator)
	if s, ok := stateWords[word]; ok {
		r.state = s
		if r.note == "" {
			return fmt.Errorf("%s: %s, and no reason is given", r.id, word)
		}
		if !more {
			return nil
		}
	} else {
		proofs = r.proof
	}
	for name := range strings.SplitSeq(proofs, proofSeparator) {
		shown, err := b.find(name)
		if err != nil {
			return fmt.Errorf("%s: %w", r.id, err)
		}
		r.shown = append(r.shown, shown)
	}
	return nil
}

// find returns a proof as the document shows it.
func (b *proofBook) find(name string) (string, error) {
	if file, vector, ok := strings.Cut(name, ".json: "); ok {
		return b.findVector(file+".json", vector)
	}
	// The directory of a package may have slashes, the name of a function none.
	at := strings.Index(name, ".Test") + 1
	function, sub, hasSub := strings.Cut(name[at:], "/")
	test := name[:at] + function
	source := b.tests[test]
	switch {
	case source == nil:
		return "", fmt.Errorf("there is no test %s", test)
	case hasSub && !source.subtests[sub]:
		return "", fmt.Errorf("the test %s runs nothing that is called %q", test, sub)
	}
	shown := fmt.Sprintf("[`%s`](../%s)", test, source.file)
	if hasSub {
		shown += ": `" + sub + "`"
	}
	return shown, nil
}

func (b *proofBook) findVector(file, vector string) (string, error) {
	for _, v := range vectorFiles {
		if ok, _ := path.Match(v.pattern, file); !ok {
			continue
		}
		if b.tests[v.runner] == nil {
			return "", fmt.Errorf("there is no test %s, which runs %s", v.runner, file)
		}
		if b.names[file] == nil {
			text, err := fs.ReadFile(b.data, file)
			if err != nil {
				return "", err
			}
			var doc any
			if err := json.Unmarshal(text, &doc); err != nil {
				return "", fmt.Errorf("%s: %w", file, err)
			}
			names := map[string]bool{}
			collect(doc, v.member, names)
			if b.names == nil {
				b.names = map[string]map[string]bool{}
			}
			b.names[file] = names
		}
		if !b.names[file][vector] {
			return "", fmt.Errorf("testdata/%s has nothing whose %s is %q", file, v.member, vector)
		}
		return fmt.Sprintf("[%s](../testdata/%s): `%s`", strings.TrimSuffix(file, ".json"), file, vector), nil
	}
	return "", fmt.Errorf("no test runs testdata/%s", file)
}

// collect gathers the strings that stand under a name, at any depth.
func collect(doc any, name string, into map[string]bool) {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			collect(v, name, into)
		}
	case map[string]any:
		if s, ok := doc[name].(string); ok {
			into[s] = true
		}
		for _, v := range doc {
			collect(v, name, into)
		}
	}
}

// writeConformance writes the document.
func writeConformance(lists []*requirements) []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Conformance\n")
	p("<!-- Written by `make docs` from testdata/conformance; do not edit. -->\n")
	p("What RFC 7643, RFC 7644 and RFC 9865 ask of a service provider, sentence by sentence, in our own words, and the test")
	p("that proves it. A test of the repository fails where a test that is named here does not exist, or this page is stale.\n")
	p("- **proven**: the tests named run against the handler on every kind of store, or against the package that does the work.")
	p("  What follows a colon is a subtest, a vector or the step of a recorded conversation.")
	p("- **by design**: permitted otherwise or decided otherwise; the reason follows. A rule such as A4 is one of the library's")
	p("  own, which tests cite by that name; a quirk is a habit of a provider that the conversations in `testdata/idp` record.")
	p("- **not offered**: an option of the RFC that the library does not take up.")
	p("- **the host's**: what only the application around the handler can do.")
	anyPending := slices.ContainsFunc(lists, func(l *requirements) bool {
		return slices.ContainsFunc(l.rows, func(r requirement) bool { return r.state == pending })
	})
	if anyPending {
		p("- **pending**: implemented elsewhere, its test still to be named; no release has such a row.")
	}
	p("")
	head := "| RFC | level | requirements | proven | by design | not offered | the host's |"
	rule := "|---|---|---:|---:|---:|---:|---:|"
	if anyPending {
		head, rule = head+" pending |", rule+"---:|"
	}
	p("%s\n%s", head, rule)
	for _, l := range lists {
		for strength, name := range []string{"MUST, SHALL, REQUIRED", "SHOULD, RECOMMENDED", "MAY, OPTIONAL"} {
			var counts [states]int
			all := 0
			for _, r := range l.rows {
				if levelStrength[r.level] == strength {
					counts[r.state]++
					all++
				}
			}
			line := fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d |", l.number, name, all, counts[proven], counts[byDesign], counts[notOffered], counts[byHost])
			if anyPending {
				line += fmt.Sprintf(" %d |", counts[pending])
			}
			p("%s", line)
		}
	}
	p("")
	for _, l := range lists {
		p("RFC %s: %d sentences concern clients alone; %d define terms, repeat another, or are for authors of specifications.", l.number, l.clients, l.editorial)
	}
	for _, l := range lists {
		p("\n## RFC %s, %s", l.number, l.title)
		section := ""
		for _, r := range l.rows {
			if r.section != section {
				section = r.section
				p("\n### [Section %s](https://www.rfc-editor.org/rfc/rfc%s#section-%s)\n", section, l.number, section)
				p("| | level | requirement | proof |\n|---|---|---|---|")
			}
			p("| %s | %s | %s | %s |", r.id, r.level, cell(r.says), cell(r.reason()))
		}
	}
	return b.Bytes()
}

// reason returns what the document says of a requirement: the tests, or why
// there is none and the tests of what is done instead.
func (r *requirement) reason() string {
	proofs := strings.Join(r.shown, "; ")
	for word, s := range stateWords {
		if r.state != s {
			continue
		}
		if proofs != "" {
			proofs = " (" + proofs + ")"
		}
		return "**" + word + "**: " + r.note + proofs
	}
	if r.note != "" {
		proofs += "<br>" + r.note
	}
	return proofs
}

// cell escapes what would end the cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
