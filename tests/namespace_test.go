package tests

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inside makes a run one in a pid namespace of its own, as in a container that
// shares /dev/shm.
func inside(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a pid namespace")
	}
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	return cmd
}

// Pids mean nothing from one pid namespace to another; the kernel's locks do.
func TestPidNamespacesShareAPool(t *testing.T) {
	name := newPool(t, 1)
	// In there the pid is 1, which is somebody else's out here.
	holder := mustStart(t, inside(t, poolrun(t, "--pool", name, "sleep", "1000")))
	s := waitCommand(t, name)
	if s.Holders[0].PID != 1 || s.Holders[0].State != "running" {
		t.Errorf("status %+v", s)
	}
	if code := exitCode(t, poolrun(t, "--pool", name, "-n", "true")); code != 75 {
		t.Errorf("two of one: %d", code)
	}
	waiter := mustStart(t, inside(t, poolrun(t, "--pool", name, "true")))
	waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
	last := mustStart(t, poolrun(t, "--pool", name, "true"))
	waitStatus(t, name, "two in line", func(s status) bool { return s.Waiting == 2 })
	kill(t, holder.Process.Pid) // init of its namespace: the command dies with it
	holder.Wait()
	for _, cmd := range []*exec.Cmd{waiter, last} {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	wantUsable(t, name)
}

// As init of a pid namespace poolrun passes signals on, and cannot die of them: it
// exits with what a shell would show.
func TestPoolrunAsInit(t *testing.T) {
	name := newPool(t, 1)
	cmd := inside(t, poolrun(t, "--pool", name, "signals"))
	next := startLines(t, cmd)
	next()
	cmd.Process.Signal(syscall.SIGUSR1)
	if line := next(); line != "user defined signal 1" {
		t.Error(line)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if code := exitCode(t, inside(t, poolrun(t, "--pool", name, "sh", "-c", "kill -TERM $$"))); code != 143 {
		t.Errorf("exit code %d", code)
	}
	wantUsable(t, name)
}

// With the sysctls that guard sticky directories on, as most systems have them.
func TestProtectedFilesInStickyDirectories(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can set a sysctl")
	}
	for path, value := range map[string]string{"/proc/sys/fs/protected_regular": "2", "/proc/sys/fs/protected_symlinks": "1"} {
		before := readFile(t, path)
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { os.WriteFile(path, []byte(before), 0) })
	}
	name := freeName(t)
	mustRun(t, "init", name, "--size", "1", "--mode", "0660", "--group", itoa(nobody))
	wantSaid(t, asNobody(t, poolrun(t, "--pool", name, "--size", "1", "true")), 0, "")
	wantUsable(t, name)
	stranger := freeName(t)
	wantSaid(t, asNobody(t, poolrun(t, "init", stranger, "--size", "1")), 0, "")
	wantSaid(t, poolrun(t, "--pool", stranger, "--size", "1", "true"), 2, "belongs to ")
}
