package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestStandardStreamsBelongToTheCommand(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	cmd := poolrun(t, "--pool", url, "sh", "-c", "cat; echo oops >&2")
	text := strings.Repeat("some text\n", 20000)
	cmd.Stdin = strings.NewReader(text)
	stdout, stderr := outputs(t, cmd)
	if stdout != text || stderr != "oops\n" {
		t.Errorf("%d bytes instead of %d, and %q on stderr", len(stdout), len(text), stderr)
	}
}

// The command inherits every descriptor, and the agent none: it keeps no pipe open, no directory busy and no
// terminal.
func TestTheAgentInheritsNothing(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{nil, {"--no-fork"}} {
		url := newPool(t, 1)
		read, write, err := os.Pipe()
		must(t, err)
		defer read.Close()
		cmd, wait := prepareScript(t, url, "echo hello >&3; ready; exec sleep 1000", flags...)
		cmd.Dir = t.TempDir()
		cmd.ExtraFiles = []*os.File{write}
		mustStart(t, cmd)
		write.Close()
		child := wait()
		line := make([]byte, 10)
		if n, err := read.Read(line); err != nil || string(line[:n]) != "hello\n" {
			t.Errorf("%q: %v", line[:n], err)
		}
		agent := agentOf(t, cmd)
		pipe := fmt.Sprintf("/proc/self/fd/%d", read.Fd())
		name, err := os.Readlink(pipe)
		must(t, err)
		for _, fd := range descriptorsOf(t, agent) {
			if fd == name || strings.HasPrefix(fd, "/dev/pts") || strings.HasPrefix(fd, temporary()) {
				t.Errorf("%q: the agent has %s open", flags, fd)
			}
		}
		for fd := range 3 {
			if target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", agent, fd)); target != os.DevNull {
				t.Errorf("%q: descriptor %d of the agent is %s", flags, fd, target)
			}
		}
		if dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", agent)); dir != "/" {
			t.Errorf("%q: the agent is in %s", flags, dir)
		}
		if session := statOf(agent)[3]; session != fmt.Sprint(agent) {
			t.Errorf("%q: the agent is in session %s", flags, session)
		}
		kill(t, child)
		cmd.Wait()
		if n, err := read.Read(line); n != 0 { // the end of the pipe comes although the agent may still live
			t.Errorf("%d bytes, %v", n, err)
		}
		waitUntilEmpty(t, url)
	}
}

func descriptorsOf(t testing.TB, pid int) (targets []string) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			targets = append(targets, target)
		}
	}
	if len(targets) == 0 {
		t.Errorf("process %d has no descriptors", pid)
	}
	return targets
}

// The command gets one more descriptor, the write end of the guard; with --close it gets none.
func TestTheCommandInheritsOnlyTheGuard(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	list := []string{"ls", "-l", "/proc/self/fd"}
	before := pipesIn(t, command(t, list[0], list[1:]...)) // from whoever runs the tests
	for flag, want := range map[string][]string{"": {"l-wx------"}, "--close": nil} {
		after := pipesIn(t, poolrun(t, append(strings.Fields("--pool "+url+" "+flag+" --"), list...)...))
		var added []string
		for pipe, mode := range after {
			if before[pipe] == "" {
				added = append(added, mode)
			}
		}
		if !slices.Equal(added, want) {
			t.Errorf("%q: %q instead of %q", flag, added, want)
		}
	}
}

// pipesIn returns the pipes in the list of a command, with their modes.
func pipesIn(t testing.TB, cmd *exec.Cmd) map[string]string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	must(t, err)
	defer out.Close()
	cmd.Stdout = out
	wantExit(t, 0, mustStart(t, cmd))
	text, err := os.ReadFile(out.Name())
	must(t, err)
	pipes := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^(\S+) .* -> (pipe:.*)$`).FindAllStringSubmatch(string(text), -1) {
		pipes[match[2]] = match[1]
	}
	return pipes
}

// A command substitution returns when the command has closed its stdout, although the agent of a poolrun
// that was killed still holds the slot.
func TestAnAgentKeepsNoSubstitutionWaiting(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	script := fmt.Sprintf(`x=$(poolrun --pool %s sh -c 'echo $$; exec >/dev/null 2>&1; kill -9 $PPID; exec sleep 1000'); echo "$x"`, url)
	shell := command(t, "sh", "-c", script)
	out, _ := outputs(t, shell)
	var child int
	fmt.Sscan(out, &child)
	if !isAlive(child) || !isAlive(agentOf(t, shell)) {
		t.Errorf("%q: the command or its agent has ended", out)
	}
	wantBusy(t, url)
	kill(t, child)
	within(t, soon, "the end of the slot", func() { waitUntilEmpty(t, url) })
}
