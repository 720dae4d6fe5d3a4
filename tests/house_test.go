package tests

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/poolrun/poolrun/"

// Arrows go downwards only: which packages of the module each one may import.
var arrows = map[string][]string{
	"":                     {"internal/cli"},
	"internal/cli":         {"pool", "gate", "supervisor", "internal/names"},
	"pool":                 {"gate", "internal/shm", "internal/futex", "internal/names"},
	"gate":                 {"internal/shm", "internal/futex"},
	"supervisor":           {},
	"internal/shm":         {"internal/names"},
	"internal/names":       {},
	"internal/futex":       {},
	"examples/pool_server": {"pool"},
	"examples/pool_client": {"pool"},
	"tests":                {"gate", "pool"},
	"tests/bench":          {"pool"},
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
			t.Errorf("%s: a package that no rule knows", path)
		}
		for _, name := range imports {
			inside, ours := strings.CutPrefix(name, module)
			isOwnTest := strings.HasSuffix(path, "_test.go") && inside == dir
			if ours && !slices.Contains(allowed, inside) && !isOwnTest {
				t.Errorf("%s imports %s", path, inside)
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

// README and the man page list the exit codes that the code defines.
func TestExitCodesAreDocumented(t *testing.T) {
	codes := []string{"128+"}
	for _, match := range regexp.MustCompile(`(?m)^\texit\w+ += (\d+)`).FindAllStringSubmatch(readFile(t, "../internal/cli/exit.go"), -1) {
		codes = append(codes, match[1])
	}
	if len(codes) != 5 {
		t.Fatalf("codes %q", codes)
	}
	for _, page := range []struct{ path, row string }{
		{"../README.md", "| %s"}, {"../docs/poolrun.1", ".It %s"},
	} {
		text := readFile(t, page.path)
		for _, code := range codes {
			if row := strings.ReplaceAll(page.row, "%s", code); !strings.Contains(text, row) {
				t.Errorf("%s has no row %q", page.path, row)
			}
		}
	}
}

// The entry point asks the Go runtime for one processor and a lazy monitor. The threads are then
// the supervising one, the monitor, the one from which the runtime starts others while the first
// is locked (startTemplateThread in runtime/proc.go), and one or two that stand by.
func TestPoolrunUsesOneProcessorAndALazyMonitor(t *testing.T) {
	name := newPool(t, 1)
	cmd, _ := startHolder(t, name)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", cmd.Process.Pid))
	lazy := 0
	for _, task := range tasks {
		if strings.TrimSpace(readFile(t, "/proc/"+filepath.Base(task)+"/timerslack_ns")) == "4000000" {
			lazy++
		}
	}
	if lazy == 0 || len(tasks) > 5 {
		t.Errorf("of %d threads, %d have a slack of 4 ms", len(tasks), lazy)
	}
}
