package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/etcdtest"
)

// The lines of the README's section on several machines can be pasted in a copy of the source tree. They leave
// nothing behind.
func TestTheLinesOfTheREADMECanBePasted(t *testing.T) {
	network, err := etcdtest.NewNetwork("readme") // where the port of etcd is free
	if err != nil {
		t.Skip(err)
	}
	defer network.Close()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Several machines\n")
	lines := regexp.MustCompile("(?s)```sh\n(.*?\n)(.*?)```").FindStringSubmatch(section)
	if lines == nil || !strings.HasPrefix(lines[1], "make ") {
		t.Fatalf("the section does not begin with make:\n%s", section)
	}
	source := copySource(t)
	if out, err := bash(t, source, lines[1]).CombinedOutput(); err != nil { // modules may have to be downloaded
		t.Fatalf("%s%v\n%s", lines[1], err, out)
	}

	script := strings.Replace(lines[2], "sleep 1;", "until poolrun list etcd:/// | grep -q '/db  2 *2 '; do sleep 0.1; done;", 1)
	cmd := bash(t, source, script+`wait; ls -A "$TMPDIR"`)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := network.Start(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	shown := regexp.MustCompile(`^etcd:///db: 2 of 2 slots in use(?s:.*), 0 reclaimed\n$`)
	if err != nil || !shown.MatchString(out.String()) {
		t.Errorf("the lines print:\n%s%v", out.String(), err)
	}
	left := programsIn(source)
	for end := time.Now().Add(10 * time.Second); len(left) > 0 && time.Now().Before(end); left = programsIn(source) {
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

// programsIn lists the programs below a directory that run.
func programsIn(dir string) (list []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, dir) {
			list = append(list, program)
		}
	}
	return list
}

// copySource copies the source tree, without git's files and without results.
func copySource(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-R", "-t", dir}
	for _, entry := range entries {
		if !slices.Contains([]string{".git", "build", "dist", "poolrun", "poolrun-etcd", "etcd", "pool_server", "pool_client"}, entry.Name()) {
			args = append(args, filepath.Join("../..", entry.Name()))
		}
	}
	if out, err := exec.Command("cp", args...).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	return dir
}

// bash prepares a script. It and all that it starts are killed if it takes too long.
func bash(t *testing.T, dir, script string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}
