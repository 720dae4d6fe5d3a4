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
	first := regexp.MustCompile(`^poolrun [^v ]\S*, commit \S+, ` + regexp.QuoteMeta(runtime.Version()) + "\n$")
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
	if err := goBuild("CGO_ENABLED=1", "-ldflags", "-E poolrun_entry", "-o", program, ".."); err != nil {
		t.Fatal(err)
	}
	wantResult(t, command(t, program, "version"), 2, `^poolrun: .* build with CGO_ENABLED=0\n$`)
}

// A commit with the tag of the next release has its version, and every other one has a version before it.
func TestTheVersionFollowsFromTheTag(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	next := regexp.MustCompile(`(?m)^RELEASE := (\d+\.\d+\.\d+)$`).FindSubmatch(makefile)
	if next == nil {
		t.Fatal("the Makefile has no RELEASE")
	}
	release, tag := regexp.QuoteMeta(string(next[1])), "v"+string(next[1])
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "Makefile"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		cmd := command(t, "git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"}, args...)...)
		cmd.Env = append(cmd.Env, "GIT_COMMITTER_DATE=2027-01-15T09:00:00+0100")
		wantResult(t, cmd, 0, "")
	}
	want := func(version, commit string) {
		t.Helper()
		cmd := command(t, "env", "-u", "VERSION", "-u", "COMMIT", "-u", "MAKEFLAGS", "make", "-C", dir, "-n", "poolrun")
		cmd.Env = append(cmd.Env, "TZ=EAST-9")
		wantResult(t, cmd, 0, `\.version=`+version+` .*\.commit=`+commit+`'`)
	}
	const hash = `[0-9a-f]{12}`
	before := release + `-dev\.20270115080000\.g` + hash
	write(makefile)
	want(release, "unknown")
	git("init", "-q")
	git("add", "Makefile")
	git("commit", "-q", "-m", "x")
	want(before, hash)
	git("tag", "v0.0.9")
	want(before, hash)
	git("tag", tag)
	want(release, hash)
	write(append(makefile, '\n'))
	want(before+`\.dirty`, hash+`\.dirty`)
	git("commit", "-q", "-a", "-m", "x")
	want(before, hash)
}
