package tests

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/poolrun/poolrun/"

// arrows says which packages of the module each package may import: only lower ones. The packages
// below pool and gate lie beside internal/cli, which is above these. Both need them, and no other
// module may import them. For such packages Go has one place, the internal directory of the
// module's root.
var arrows = map[string][]string{
	"":                     {"internal/cli"},
	"internal/cli":         {"internal/crash", "internal/bare", "internal/jobserver", "internal/engine", "pool", "gate", "supervisor", "internal/names", "internal/machine"},
	"internal/engine":      {"internal/bare", "pool", "supervisor"},
	"internal/jobserver":   {"pool", "internal/crash"},
	"pool":                 {"internal/bare", "internal/ledger", "internal/sem", "internal/shm", "internal/futex", "internal/names", "internal/crash"},
	"gate":                 {"internal/sem", "internal/shm", "internal/futex"},
	"supervisor":           {"internal/bare"},
	"internal/ledger":      {"internal/sem", "internal/futex", "internal/crash", "internal/bare"},
	"internal/sem":         {"internal/shm", "internal/futex", "internal/bare"},
	"internal/shm":         {"internal/names", "internal/bare"},
	"internal/names":       {},
	"internal/machine":     {"internal/bare"},
	"internal/bare":        {},
	"internal/futex":       {"internal/bare"},
	"internal/crash":       {"internal/bare"},
	"internal/release":     {},
	"examples/pool_server": {"pool"},
	"examples/pool_client": {"pool"},
	"tests":                {"gate", "pool"},
	"tests/bench":          {"pool"},

	// The module for pools on etcd.
	"cluster":                   {"cluster/internal/agent"},
	"cluster/internal/agent":    {"cluster/internal/pools", "cluster/internal/keys", "cluster/internal/store", "internal/engine", "internal/names", "pool"},
	"cluster/internal/pools":    {"cluster/internal/keys", "cluster/internal/store", "internal/engine", "internal/machine", "pool"},
	"cluster/internal/store":    {"internal/engine"},
	"cluster/internal/keys":     {"internal/engine", "pool"},
	"cluster/internal/replay":   {"cluster/internal/keys"},
	"cluster/internal/etcdtest": {"cluster/internal/keys"},
	"cluster/tests":             {"cluster/internal/etcdtest", "cluster/internal/replay", "cluster/internal/keys", "cluster/internal/pools", "cluster/internal/store", "internal/engine", "pool"},
	"cluster/tests/etcd":        {},
	"cluster/tests/etcdctl":     {},
	"cluster/tests/bench":       {"cluster/internal/etcdtest", "cluster/internal/pools", "cluster/internal/store", "internal/engine"},
	"cluster/demo":              {"cluster/internal/etcdtest"},
}

// testArrows says what the tests of a package may import besides.
var testArrows = map[string][]string{
	"pool":            {"gate"},
	"internal/ledger": {"internal/shm"},

	"cluster/internal/pools":  {"cluster/internal/etcdtest", "cluster/internal/replay"},
	"cluster/internal/replay": {"cluster/internal/etcdtest"},
	"cluster/internal/store":  {"cluster/internal/etcdtest"},
}

// eachFile calls f for every Go file of the module, with its path from the top.
func eachFile(t *testing.T, f func(path string, imports []string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		var imports []string
		for _, spec := range file.Imports {
			imports = append(imports, strings.Trim(spec.Path.Value, `"`))
		}
		f(strings.TrimPrefix(path, "../"), imports)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestArrowsGoDownwards(t *testing.T) {
	eachFile(t, func(path string, imports []string) {
		dir := strings.TrimSuffix(strings.TrimSuffix(path, filepath.Base(path)), "/")
		allowed, known := arrows[dir]
		if !known {
			t.Errorf("%s: arrows has no rule for this package", path)
		}
		for _, name := range imports {
			inside, ours := strings.CutPrefix(name, module)
			forTests := strings.HasSuffix(path, "_test.go") && (inside == dir || slices.Contains(testArrows[dir], inside))
			if ours && !slices.Contains(allowed, inside) && !forTests {
				t.Errorf("%s imports %s", path, inside)
			}
		}
	})
}

// The programs need these modules only. All others serve the tests.
func TestModulesForTestsStayInTests(t *testing.T) {
	eachFile(t, func(path string, imports []string) {
		if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "cluster/") { // a module of its own
			return
		}
		for _, name := range imports {
			host, _, _ := strings.Cut(name, "/")
			isAllowed := slices.ContainsFunc([]string{module, "github.com/alecthomas/kong", "golang.org/x/sys/", "golang.org/x/text/width"}, func(prefix string) bool {
				return strings.HasPrefix(name, prefix)
			})
			if strings.Contains(host, ".") && !isAllowed {
				t.Errorf("%s imports %s", path, name)
			}
		}
	})
}

func TestUnsafeIsOnlyInLinuxFiles(t *testing.T) {
	eachFile(t, func(path string, imports []string) {
		if slices.Contains(imports, "unsafe") && !strings.HasSuffix(path, "_linux.go") && !strings.HasSuffix(path, "_test.go") {
			t.Errorf("%s imports unsafe", path)
		}
	})
}

// The README and the man page list the exit codes of the code.
func TestExitCodesAreDocumented(t *testing.T) {
	codes := []string{"128+"}
	code, err := os.ReadFile("../internal/cli/exit.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^\texit\w+ += (\d+)`).FindAllStringSubmatch(string(code), -1) {
		codes = append(codes, match[1])
	}
	if len(codes) != 6 {
		t.Fatalf("codes %q", codes)
	}
	for _, page := range []struct{ path, row string }{
		{"../README.md", "| %s"}, {"../docs/poolrun.1", ".It %s"},
	} {
		text, err := os.ReadFile(page.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range codes {
			if row := strings.ReplaceAll(page.row, "%s", code); !strings.Contains(string(text), row) {
				t.Errorf("%s has no row %q", page.path, row)
			}
		}
	}
}

// The Go runtime obeys the settings of the entry point.
func TestPoolrunUsesOneProcessorAndALazyMonitor(t *testing.T) {
	source, program := filepath.Join(t.TempDir(), "main.go"), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte(`package main

import (
	"fmt"
	"runtime"

	_ "github.com/poolrun/poolrun/supervisor"
)

func main() { fmt.Println(runtime.GOMAXPROCS(0)) }
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := goBuild("CGO_ENABLED=0", "-ldflags", "-E poolrun_entry", "-o", program, source); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil || string(out) != "1\n" {
		t.Errorf("GOMAXPROCS is %q: %v", out, err)
	}

	name := newPool(t, 1)
	defer holdSlot(t, name)()
	cmd := startWaiter(t, name) // an ordinary run has no runtime
	waitForLine(t, name, 1)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", cmd.Process.Pid))
	lazy := 0
	for _, task := range tasks {
		slack, err := os.ReadFile("/proc/" + filepath.Base(task) + "/timerslack_ns")
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(slack)) == "4000000" {
			lazy++
		}
	}
	if lazy == 0 {
		t.Errorf("none of %d threads has a slack of 4 ms", len(tasks))
	}
}
