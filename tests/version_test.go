package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// A build without the entry point works, and says what it lacks.
func TestVersion(t *testing.T) {
	first := regexp.MustCompile(`^poolrun \S+, commit \S+, ` + regexp.QuoteMeta(runtime.Version()) + "\n$")
	for path, lacks := range map[string]bool{binaries.poolrun: false, binaries.plain: true} {
		out, err := command(t, path, "version").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v %s", path, err, out)
		}
		line, rest, _ := strings.Cut(string(out), "\n")
		if !first.MatchString(line + "\n") {
			t.Errorf("%s: %q", path, line)
		}
		switch {
		case !lacks && rest != "":
			t.Errorf("%s: %q", path, rest)
		case lacks && (strings.Count(rest, "\n") != 1 || !strings.Contains(rest, `CGO_ENABLED=0 go install -ldflags "-E poolrun_entry" `+strings.TrimSuffix(module, "/")+"@latest")):
			t.Errorf("%s: %q", path, rest)
		}
	}
	name := newPool(t, 1)
	for script, want := range map[string]int{"exit 3": 3, "kill -TERM $$": 143, "poolrun status " + name: 0} {
		if got := exitCode(t, command(t, binaries.plain, "--pool", name, "--", "sh", "-c", script)); got != want {
			t.Errorf("without the entry point, %q: %d instead of %d", script, got, want)
		}
	}
	wantEmpty(t, name)
}

// Cgo and the entry point do not go together, and a program that has both says so.
func TestAProgramWithCgoAndTheEntryPointSaysWhy(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip(err)
	}
	program := filepath.Join(t.TempDir(), "poolrun")
	build := exec.Command("go", "build", "-ldflags", "-E poolrun_entry", "-o", program, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantResult(t, command(t, program, "version"), 2, `^poolrun: .* build with CGO_ENABLED=0\n$`)
}
