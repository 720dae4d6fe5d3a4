package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The examples are run as they are, each with the programs that it is for. Their pools have other
// names, and the observed programs are wrapped.

// example is the path of an example's file or folder.
func example(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../examples", path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// needPrograms skips a test if a program is missing. In CI, all are installed.
func needPrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// private prepares a shell script that has mounts and processes of its own. All its processes end
// when the first one does.
func private(t testing.TB, script string) *exec.Cmd {
	t.Helper()
	needRoot(t)
	unshare := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc"}
	if out, err := command(t, "unshare", append(unshare, "true")...).CombinedOutput(); err != nil {
		t.Skipf("cannot create namespaces: %s", out)
	}
	return command(t, "unshare", append(unshare, script)...)
}

// wrap puts a shell script before a program on the PATH of cmd. In the script, REAL is the program.
func wrap(t testing.TB, cmd *exec.Cmd, program, script string) {
	t.Helper()
	realPath, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeScript(t, filepath.Join(dir, program), strings.ReplaceAll(script, "REAL", realPath))
	cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"))
}

func writeScript(t testing.TB, path, script string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Every example has a README with commands, and these work as they are pasted. They use the pools of
// their own /dev/shm.
func TestTheCommandsOfTheExamplesCanBePasted(t *testing.T) {
	onlyOnce(t)
	pages, _ := filepath.Glob("../examples/*/README.md")
	folders, _ := filepath.Glob("../examples/*")
	if len(pages) != len(folders) {
		t.Errorf("%d folders, and %d of them have a README.md", len(folders), len(pages))
	}
	needs := map[string][]string{
		"cmake": {"cmake", "ninja", "cc"}, "make": {"make", "gcc"}, "jobserver": {"make", "gcc"}, "semaphore": {"cc", "python3"},
	}
	for _, page := range pages {
		name := filepath.Base(filepath.Dir(page))
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(string(text), "\n"); lines > 18 {
				t.Errorf("%d lines", lines)
			}
			block := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(string(text))
			if block == nil || strings.Contains(block[1], "sudo ") {
				t.Skip("its commands change the machine")
			}
			needPrograms(t, needs[name]...)
			t.Parallel()
			cmd := private(t, "mount -t tmpfs tmpfs /dev/shm\n"+block[1]+"\n[ -z \"$(ls /dev/shm)\" ]")
			cmd.Dir = filepath.Dir(page)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestTheServerAndTheClientShareAPool(t *testing.T) {
	onlyOnce(t)
	name := freeName(t)
	server := command(t, filepath.Join(binaries.dir, "pool_server"), "--size", "4", "--pool", name, "--every", "5ms")
	next := startLines(t, server)
	for _, want := range []string{": serving 4 slots", ": 0 in use, 4 available, 0 waiting"} {
		wantLine(t, next, name+want)
	}
	client := command(t, filepath.Join(binaries.dir, "pool_client"), "--hold", "1000", "--pool", name)
	clientSays := startLines(t, client)
	wantLine(t, clientSays, name+": slot 0 acquired")
	wantLine(t, next, name+": 1 in use, 3 available, 0 waiting")
	client.Process.Signal(syscall.SIGTERM)
	wantLine(t, clientSays, name+": slot 0 released")
	wantExit(t, 0, client)
	wantLine(t, next, name+": 0 in use, 4 available, 0 waiting")
	server.Process.Signal(syscall.SIGTERM)
	wantLine(t, next, name+": removed")
	wantExit(t, 0, server)
	wantNothingLeft(t, name)
	out, err := command(t, filepath.Join(binaries.dir, "pool_client"), "--pool", name).CombinedOutput()
	if err == nil || string(out) != "pool_client: no pool "+name+"\n" {
		t.Errorf("a client without a server: %v %s", err, out)
	}
}
