package scim_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// modulePath is the path of the root module, and with it of the root package.
const modulePath = "github.com/muster-id/scim"

// leafPackages are the packages of the protocol's own logic. They are pure: what they
// need not wait for, they cannot be made to wait for.
var leafPackages = []string{"attr", "filter", "patch"}

// mayImport is the import rule: the packages of this module that each package
// may import, by their directories, "." being the root package. A package that
// is not listed may import [elseMayImport]. Above that, every package may import
// what is under internal, and the packages under its own directory.
//
// No list names a store: only tests, nested modules and hosts choose one.
var mayImport = map[string][]string{
	"attr":          {},
	"filter":        {"attr"},
	"patch":         {"filter", "attr"},
	".":             {"patch", "filter", "attr"},
	"internal":      {},
	"directory":     append([]string{"roles"}, elseMayImport...),
	"memstore":      append([]string{"directory", "events"}, elseMayImport...),
	"sqlstore":      append([]string{"directory", "events"}, elseMayImport...),
	"storetest":     append([]string{"directory"}, elseMayImport...), // it checks directory.Storage too
	"portal":        append([]string{"directory", "events"}, elseMayImport...),
	"cmd/scimcheck": append([]string{"scimtest"}, elseMayImport...),
}

var elseMayImport = []string{".", "patch", "filter", "attr"}

// mayNotImport are the packages outside this module that a leaf may not import
// itself; what they import in turn is not its concern.
var mayNotImport = []string{"context", "database/sql", "net/http"}

// mayRequire are the modules that the root module may require directly. Every
// host that embeds the library gets them too.
var mayRequire = []string{
	"github.com/elimity-com/scim",
	"github.com/go-json-experiment/json",
	"github.com/google/uuid",
	"github.com/stretchr/testify",
	"golang.org/x/net",
	"golang.org/x/text",
}

// mayUse restricts modules of mayRequire to some of their packages, outside of
// tests: of the SCIM server only its public schema model is used, and testify
// must not reach a host's binary.
var mayUse = map[string][]string{
	"github.com/elimity-com/scim": {"github.com/elimity-com/scim/schema", "github.com/elimity-com/scim/optional"},
	"github.com/stretchr/testify": {},
}

func TestImportRule(t *testing.T) {
	t.Parallel()
	checked, violations, err := checkImports(os.DirFS("."))
	require.NoError(t, err)
	for _, leaf := range leafPackages {
		require.Contains(t, checked, leaf, "the import rule must be read against the whole module")
	}
	require.Contains(t, checked, ".")
	for _, v := range violations {
		t.Error(v)
	}
}

func TestImportRuleCatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		file    string
		imports string
		want    string // part of the only violation; empty if there is none
	}{
		{"leaf imports nothing above it", "attr/a.go", modulePath + "/filter", "attr may not import filter"},
		{"leaf imports no later leaf", "filter/a.go", modulePath + "/patch", "filter may not import patch"},
		{"leaf imports no root", "patch/a.go", modulePath, "patch may not import the root package"},
		{"leaf subpackage imports no root", "patch/vectors/a.go", modulePath, "patch/vectors may not import the root package"},
		{"leaf has no HTTP", "patch/a.go", "net/http", `leaf patch may not import "net/http"`},
		{"leaf has no HTTP helper", "filter/a.go", "net/http/httptest", `leaf filter may not import "net/http/httptest"`},
		{"leaf has no context", "attr/a.go", "context", `leaf attr may not import "context"`},
		{"leaf has no SQL driver", "attr/a.go", "database/sql/driver", `leaf attr may not import "database/sql/driver"`},
		{"root imports no roles", "engine.go", modulePath + "/roles", "the root package may not import roles"},
		{"root imports no store", "engine.go", modulePath + "/memstore", "the root package may not import memstore"},
		{"root imports no store on any platform", "engine_plan9.go", modulePath + "/memstore", "the root package may not import memstore"},
		{"roles import no directory", "roles/a.go", modulePath + "/directory", "roles may not import directory"},
		{"events import no store", "events/a.go", modulePath + "/sqlstore/postgres", "events may not import sqlstore/postgres"},
		{"store imports no other store", "sqlstore/a.go", modulePath + "/memstore", "sqlstore may not import memstore"},
		{"store imports no roles", "memstore/a.go", modulePath + "/roles", "memstore may not import roles"},
		{"portal imports no store", "portal/a.go", modulePath + "/sqlstore", "portal may not import sqlstore"},
		{"suite imports no store", "storetest/a.go", modulePath + "/memstore", "storetest may not import memstore"},
		{"another command has no exception", "cmd/other/a.go", modulePath + "/scimtest", "cmd/other may not import scimtest"},
		{"internal package imports no leaf", "internal/wire/a.go", modulePath + "/attr", "internal/wire may not import attr"},
		{"host gets no test library", "storetest/a.go", "github.com/stretchr/testify/require", `storetest may not import "github.com/stretchr/testify/require"`},
		{"peer's server is not used", "handler.go", "github.com/elimity-com/scim", `the root package may not import "github.com/elimity-com/scim"`},

		{"leaf imports earlier leaf", "patch/a.go", modulePath + "/filter", ""},
		{"leaf imports internal package", "attr/a.go", modulePath + "/internal/wire", ""},
		{"leaf imports its subpackage", "attr/a.go", modulePath + "/attr/internal/table", ""},
		{"similar name is no HTTP", "attr/a.go", "net/httputil", ""},
		{"internal package imports another", "internal/wire/a.go", modulePath + "/internal/ascii", ""},
		{"root imports leaf", "scim.go", modulePath + "/patch", ""},
		{"root has HTTP", "handler.go", "net/http", ""},
		{"directory imports roles", "directory/a.go", modulePath + "/roles", ""},
		{"suite imports directory", "storetest/a.go", modulePath + "/directory", ""},
		{"store imports events", "memstore/a.go", modulePath + "/events", ""},
		{"store imports root", "memstore/a.go", modulePath, ""},
		{"portal imports directory", "portal/a.go", modulePath + "/directory", ""},
		{"scimcheck imports scimtest", "cmd/scimcheck/main.go", modulePath + "/scimtest", ""},
		{"schema model is used", "attr/a.go", "github.com/elimity-com/scim/schema", ""},
		{"test imports store", "handler_test.go", modulePath + "/memstore", ""},
		{"leaf's test has HTTP", "patch/a_test.go", "net/http", ""},
		{"nested module imports store", "nested/main.go", modulePath + "/memstore", ""},
		{"test data is no package", "attr/testdata/a.go", "net/http", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := fmt.Sprintf("package p\n\nimport _ %q\n", c.imports)
			_, violations, err := checkImports(fstest.MapFS{
				"go.mod":        {Data: []byte("module " + modulePath + "\n")},
				"nested/go.mod": {Data: []byte("module " + modulePath + "/nested\n")},
				c.file:          {Data: []byte(source)},
			})
			require.NoError(t, err)
			if c.want == "" {
				require.Empty(t, violations)
				return
			}
			require.Len(t, violations, 1)
			require.Contains(t, violations[0], c.want)
			require.Contains(t, violations[0], c.file+":3:8: ", "a violation is shown where it stands")
		})
	}
}

func TestModuleRequirements(t *testing.T) {
	t.Parallel()
	// Read here as well, so that a cached result is not used for another go.mod.
	data, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	for _, v := range checkRequirements(t, data) {
		t.Error(v)
	}
}

func TestModuleRequirementsCatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		mod  string
		want string // part of the only violation; empty if there is none
	}{
		{"database driver", "require github.com/jackc/pgx/v5 v5.7.0", "requires github.com/jackc/pgx/v5 directly"},
		{"similar name", "require golang.org/x/network v0.1.0", "requires golang.org/x/network directly"},
		{"replacement", "replace github.com/google/uuid => ../uuid", "replaces github.com/google/uuid"},

		{"listed", "require github.com/google/uuid v1.6.0", ""},
		{"indirect", "require github.com/jackc/pgx/v5 v5.7.0 // indirect", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			violations := checkRequirements(t, []byte("module "+modulePath+"\n\n"+c.mod+"\n"))
			if c.want == "" {
				require.Empty(t, violations)
				return
			}
			require.Len(t, violations, 1)
			require.Contains(t, violations[0], c.want)
		})
	}
}

// checkImports holds every package of the module at the root of fsys against the
// import rule. It returns the directories of the packages it found and one line
// for each import that breaks the rule, with its position.
//
// It reads the files rather than asking the go command: so build tags hide
// nothing, and the test is run again, not taken from the cache, when a package
// changes that this one does not import.
func checkImports(fsys fs.FS) (checked, violations []string, err error) {
	dirs := make(map[string]bool)
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if name != "." && notOurs(fsys, name) {
				return fs.SkipDir
			}
			return nil
		case path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		dir := path.Dir(name)
		dirs[dir] = true
		found, err := checkFile(fsys, name, dir)
		violations = append(violations, found...)
		return err
	})
	return slices.Sorted(maps.Keys(dirs)), violations, err
}

// notOurs tells whether the go command would leave the directory out of ./...
func notOurs(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func checkFile(fsys fs.FS, name, dir string) ([]string, error) {
	source, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var violations []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if why := refusal(dir, imported); why != "" {
			violations = append(violations, fmt.Sprintf("%s: %s", files.Position(spec.Pos()), why))
		}
	}
	return violations, nil
}

// refusal says why the package in dir may not import the package imported. It is
// empty if it may.
func refusal(dir, imported string) string {
	room := roomOf(dir)
	if isWithin(imported, modulePath) {
		target := "."
		if imported != modulePath {
			target = strings.TrimPrefix(imported, modulePath+"/")
		}
		allowed, listed := mayImport[room]
		if !listed {
			allowed = elseMayImport
		}
		to := roomOf(target)
		if to == room || to == "internal" || slices.Contains(allowed, to) {
			return ""
		}
		return fmt.Sprintf("%s may not import %s: of this module it may import only %s",
			packageTitle(dir), packageTitle(target), listPackages(allowed))
	}
	if slices.Contains(leafPackages, room) {
		for _, p := range mayNotImport {
			if isWithin(imported, p) {
				return fmt.Sprintf("leaf %s may not import %q: leaves are pure, HTTP, SQL and waiting belong above them", dir, imported)
			}
		}
	}
	for required, packages := range mayUse {
		if isWithin(imported, required) && !slices.Contains(packages, imported) {
			return fmt.Sprintf("%s may not import %q: of %s only these packages are used outside of tests: %q",
				packageTitle(dir), imported, required, packages)
		}
	}
	return ""
}

// roomOf returns the directory under which the rule knows the package in dir: a
// package has the permissions of the top-level directory that it is in, and a
// command its own.
func roomOf(dir string) string {
	first, rest, _ := strings.Cut(dir, "/")
	if first != "cmd" {
		return first
	}
	command, _, _ := strings.Cut(rest, "/")
	return path.Join(first, command)
}

// isWithin tells whether p is the package or module parent or lies under it.
func isWithin(p, parent string) bool {
	return p == parent || strings.HasPrefix(p, parent+"/")
}

func packageTitle(dir string) string {
	if dir == "." {
		return "the root package"
	}
	return dir
}

func listPackages(dirs []string) string {
	if len(dirs) == 0 {
		return "internal packages"
	}
	titles := make([]string, len(dirs))
	for i, dir := range dirs {
		titles[i] = packageTitle(dir)
	}
	return strings.Join(titles, ", ") + " and internal packages"
}

// checkRequirements returns one line for each directive of a go.mod that puts on
// every host what the root module may not put on them.
func checkRequirements(t *testing.T, data []byte) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "go.mod")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", file).Output()
	require.NoError(t, err)
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []struct{ Old struct{ Path string } }
	}
	require.NoError(t, json.Unmarshal(out, &mod))

	var violations []string
	for _, r := range mod.Require {
		if !r.Indirect && !slices.Contains(mayRequire, r.Path) {
			violations = append(violations, fmt.Sprintf(
				"go.mod: the root module requires %s directly, and so would every host: it may require only %s; what needs more belongs in a nested module",
				r.Path, strings.Join(mayRequire, ", ")))
		}
	}
	for _, r := range mod.Replace {
		violations = append(violations, fmt.Sprintf(
			"go.mod: the root module replaces %s, which a host's build would not", r.Old.Path))
	}
	return violations
}
