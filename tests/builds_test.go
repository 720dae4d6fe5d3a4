package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Builds by real programs, which run their jobs in slots of a pool.

// projects writes copies of the example's project.
func projects(t testing.TB, n int) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint("project", i))
		wantResult(t, command(t, example(t, "jobserver/generate.sh"), path), 0, "^$")
		paths = append(paths, path)
	}
	return dir, paths
}

func wantProject(t testing.TB, path string) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(path, "build/program")).Output(); err != nil || string(out) != "861\n" {
		t.Errorf("%s: %v %q", path, err, out)
	}
}

// newer returns a program of at least this version, which the variable can name, or "". The version is in
// what it prints with --version, in this format.
func newer(variable, name, format string, wantMajor, wantMinor int) string {
	for _, path := range []string{os.Getenv(variable), name} {
		out, _ := exec.Command(path, "--version").Output()
		var major, minor int
		if fmt.Sscanf(string(out), format, &major, &minor); major > wantMajor || major == wantMajor && minor >= wantMinor {
			return path
		}
	}
	return ""
}

func newerMake() string  { return newer("MAKE44", "make", "GNU Make %d.%d", 4, 4) }
func newerNinja() string { return newer("NINJA113", "ninja", "%d.%d", 1, 13) }

// makes returns the programs and styles of GNU make that there are.
func makes(t testing.TB) [][2]string {
	needPrograms(t, "make", "gcc")
	list := [][2]string{{"make", "pipe"}}
	if newer := newerMake(); newer != "" {
		list = append(list, [2]string{newer, "fifo"})
	}
	return list
}

// Builds share the pool's slots, and each has the right result, without a warning of make's. At the end
// nothing is left.
func TestBuildsShareAPool(t *testing.T) {
	onlyOnce(t)
	for _, m := range makes(t) {
		for _, n := range []int{2, 3} {
			t.Run(fmt.Sprint(m[1], " ", n), func(t *testing.T) {
				name := newPool(t, 3)
				dir, paths := projects(t, n)
				end := observe(dir, "gcc", 3)
				var builds []*exec.Cmd
				for _, path := range paths {
					cmd := poolrun(t, "-p", name, "-j", "--", m[0], "-s", "-C", path)
					cmd.Stderr = new(strings.Builder)
					builds = append(builds, mustStart(t, cmd))
				}
				wantExit(t, 0, builds...)
				wantObserved(t, 3, end)
				for i, path := range paths {
					wantProject(t, path)
					if text := builds[i].Stderr.(*strings.Builder).String(); text != "" {
						t.Error(text)
					}
				}
				wantEmpty(t, name)
				wantNoDirectories(t, name)
			})
		}
	}
}

// A make below the build uses its jobserver. So does a poolrun on the same pool, which needs no slot of
// its own; one on another pool waits there. A jobserver for a part of a build is that of the build.
func TestWhatRunsInABuild(t *testing.T) {
	onlyOnce(t)
	for _, m := range makes(t) {
		t.Run(m[1], func(t *testing.T) {
			name, other, dir := newPool(t, 2), newPool(t, 1), t.TempDir()
			makefile := `
all: a b c d
a b c d:
	+@$(MAKE) -s -f inner.mk
`
			inner := fmt.Sprintf(`
all: 1 2 3 4 5
1 2: ; @poolrun -p %[1]s -- job . 20ms
3: ; @env -u POOLRUN_HELD poolrun -p %[2]s -- job . 20ms
4: ; +@poolrun -p %[1]s -j -- %[3]s -s -f innermost.mk
5: ; @job . 20ms
.PHONY: all 1 2 3 4 5
`, name, other, m[0])
			innermost := "all: 1 2 3\n1 2 3: ; @job . 20ms\n.PHONY: all 1 2 3\n"
			for file, text := range map[string]string{"Makefile": makefile, "inner.mk": inner, "innermost.mk": innermost} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			end := observe(dir, "job", 2)
			cmd := poolrun(t, "-p", name, "-j", "--", m[0], "-s")
			cmd.Dir = dir
			if stdout, stderr := outputs(t, cmd); stdout+stderr != "" {
				t.Errorf("%s%s", stdout, stderr)
			}
			if most, _ := end(); most != 2 {
				t.Errorf("%d jobs at once", most)
			}
			if starts := strings.Count(readFile(t, filepath.Join(dir, "log")), "start"); starts != 4*7 {
				t.Errorf("%d jobs", starts)
			}
			wantEmpty(t, name)
			wantEmpty(t, other)
		})
	}
}

// gcc runs the parts of a link-time optimization as jobs.
func TestGccIsAClient(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "gcc", "make")
	name := newPool(t, 3)
	_, paths := projects(t, 1)
	for _, run := range [][]string{
		{"-p", name, "--jobserver=pipe", "--", "make", "-s", "-C", paths[0], "CFLAGS=-O1 -flto", "CC=gcc", "build/program"},
		{"-p", name, "--jobserver=pipe", "--", "sh", "-c", "cd " + paths[0] + "/build && gcc -O1 -flto=jobserver -flto-partition=max -o program *.o"},
	} {
		stdout, stderr := outputs(t, poolrun(t, run...))
		if strings.Contains(stdout+stderr, "jobserver") {
			t.Error(stdout, stderr)
		}
		wantProject(t, paths[0])
	}
	wantEmpty(t, name)
}

func TestNinjaIsAClient(t *testing.T) {
	onlyOnce(t)
	ninja := newerNinja()
	if ninja == "" {
		t.Skip("no Ninja 1.13 or later: NINJA113 can name one")
	}
	name, dir := newPool(t, 3), t.TempDir()
	text := "rule job\n  command = job . 200ms && touch $out\n"
	for i := range 30 {
		text += fmt.Sprintf("build out%d: job\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "build.ninja"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	end := observe(dir, "job", 3)
	cmd := poolrun(t, "-p", name, "-j", "--", ninja)
	cmd.Dir = dir
	if stdout, stderr := outputs(t, cmd); strings.Contains(stdout+stderr, "warning") {
		t.Error(stdout, stderr)
	}
	wantObserved(t, 3, end)
	wantEmpty(t, name)
}

func TestCargoIsAClient(t *testing.T) {
	onlyOnce(t)
	for _, program := range []string{"cargo", "rustc"} {
		if err := exec.Command(program, "--version").Run(); err != nil {
			t.Skipf("%s: %v", program, err)
		}
	}
	for _, style := range styles {
		name, dir := newPool(t, 2), t.TempDir()
		write := func(path, text string) {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("Cargo.toml", "[workspace]\nmembers = [\"part*\"]\nresolver = \"2\"\n")
		for i := range 6 {
			part := fmt.Sprint("part", i)
			write(part+"/Cargo.toml", "[package]\nname = \""+part+"\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
			write(part+"/src/lib.rs", "pub fn sum(n: &[u32]) -> String { format!(\"{:?} {}\", n, n.iter().map(|x| x * 2).sum::<u32>()) }\n")
		}
		end := observe(dir, "rustc", 2)
		cmd := poolrun(t, "-v", "-p", name, "--jobserver="+style, "--", "cargo", "build", "--release", "--offline")
		cmd.Dir = dir
		_, stderr := outputs(t, cmd)
		if strings.Contains(stderr, "warning") || strings.Contains(stderr, "to the jobserver") {
			t.Error(stderr)
		}
		if most, _ := end(); most != 2 {
			t.Errorf("%s: %d at once", style, most)
		}
		wantEmpty(t, name)
	}
}
