package tests

import (
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
		case lacks && (strings.Count(rest, "\n") != 1 || !strings.Contains(rest, `go install -ldflags "-E poolrun_entry" `+strings.TrimSuffix(module, "/")+"@latest")):
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
