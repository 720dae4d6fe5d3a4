package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A build keeps its first slot. Builds that would leave no slot to others are held back: see
// internal/ledger/turns.go.

const heldBack = "another build to end" // what status says of them

func startBuild(t testing.TB, name string, args ...string) *exec.Cmd {
	return mustStart(t, poolrun(t, append([]string{"-p", name, "--jobserver=pipe"}, args...)...))
}

// endBuilds kills the commands of a pool's holders, which are those of the builds.
func endBuilds(t testing.TB, name string, builds ...*exec.Cmd) {
	t.Helper()
	for _, h := range statusOf(t, name).Holders {
		kill(t, h.CommandPID)
	}
	for _, build := range builds {
		wantSignal(t, syscall.SIGKILL, build)
	}
}

func waitHeldBack(t testing.TB, name string, holders, builds int) status {
	t.Helper()
	return waitStatus(t, name, "a build that is held back", func(s status) bool {
		n := 0
		for _, w := range s.Waiters {
			if w.WaitsFor == heldBack {
				n++
			}
		}
		return n == builds && len(s.Holders) == holders
	})
}

// However many builds there are, a command has its slot when a job has ended. All slots are in use, and
// all builds end.
func TestBuildsLeaveASlotToCommands(t *testing.T) {
	onlyOnce(t)
	for _, style := range styles {
		name, dir := newPool(t, 3), t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "command"), 0o700); err != nil {
			t.Fatal(err)
		}
		seen := observe(dir, "job", 3)
		var builds []*exec.Cmd
		for range 4 {
			cmd := poolrun(t, "-p", name, "--jobserver="+style, "--", "jobclient", "20", "job", ".", "300ms")
			cmd.Dir = dir
			builds = append(builds, mustStart(t, cmd))
		}
		waitHeldBack(t, name, 2, 2)
		waitStatus(t, name, "jobs in all slots", func(s status) bool { return s.InUse == 3 })
		wantResult(t, poolrun(t, "status", name), 0, `(?m)^[1-4] +`+heldBack+` +`)
		for range 3 {
			wantResult(t, poolrun(t, "-p", name, "--timeout", "30s", "--", "true"), 0, "^$")
		}
		if style == "pipe" { // the order is exact
			waitHeldBack(t, name, 2, 2) // no build has ended
		}
		wantExit(t, 0, builds...)
		wantObserved(t, 3, seen)
		if n := strings.Count(readFile(t, filepath.Join(dir, "log")), "end"); n != 80 {
			t.Errorf("%d jobs", n)
		}
		wantEmpty(t, name)
	}
}

// A build that is held back goes on whatever makes room for it, and hinders nobody until then. In a pool of
// two, that means one build at a time.
func TestABuildIsNotHeldBackForLonger(t *testing.T) {
	onlyOnce(t)
	for what, makeRoom := range map[string]func(name string, build *exec.Cmd, command int) (stopped *exec.Cmd){
		"the end of the command": func(name string, build *exec.Cmd, command int) *exec.Cmd {
			kill(t, command)
			wantSignal(t, syscall.SIGKILL, build)
			return nil
		},
		"the end of poolrun and the command": func(name string, build *exec.Cmd, command int) *exec.Cmd {
			kill(t, build.Process.Pid)
			build.Wait()
			waitStatus(t, name, "an orphan", func(s status) bool { return s.Holders[0].State == "orphaned" })
			waitHeldBack(t, name, 1, 1)
			kill(t, command)
			return nil
		},
		"the end while the first in line is stopped": func(name string, build *exec.Cmd, command int) *exec.Cmd {
			heavy := mustStart(t, poolrun(t, "-p", name, "--weight", "2", "--", "true"))
			waitStatus(t, name, "the command before the build", func(s status) bool {
				return s.Waiting >= 2 && s.Waiters[0].PID == heavy.Process.Pid && s.Waiters[s.Waiting-1].WaitsFor == heldBack
			})
			heavy.Process.Signal(syscall.SIGSTOP)
			waitForState(t, 'T', heavy.Process.Pid)
			kill(t, build.Process.Pid)
			build.Wait()
			kill(t, command)
			return heavy
		},
		"a larger pool": func(name string, build *exec.Cmd, command int) *exec.Cmd {
			mustRun(t, "resize", name, "3")
			waitStatus(t, name, "two builds", func(s status) bool { return s.commands() == 2 })
			kill(t, command)
			wantSignal(t, syscall.SIGKILL, build)
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 2)
			first := startBuild(t, name, "--", "sleep", "61")
			command := waitStatus(t, name, "a build", func(s status) bool { return s.commands() == 1 && s.InUse == 2 }).Holders[0].CommandPID
			second := startBuild(t, name, "--", "sleep", "62")
			waitHeldBack(t, name, 1, 1)
			wantResult(t, poolrun(t, "-p", name, "--timeout", "30s", "--", "true"), 0, "^$")
			stopped := makeRoom(name, first, command)
			eventually(t, "its command", func() bool { return childOf(second.Process.Pid) != 0 }) // status would help
			s := waitStatus(t, name, "the other build", func(s status) bool { return s.commands() == 1 })
			if s.Holders[0].Command != "sleep 62" {
				t.Errorf("%+v", s)
			}
			kill(t, s.Holders[0].CommandPID)
			wantSignal(t, syscall.SIGKILL, second)
			if stopped != nil {
				stopped.Process.Signal(syscall.SIGCONT)
				wantExit(t, 0, stopped)
			}
			wantEmpty(t, name)
		})
	}
}

// A build that cannot start in time says what it waits for. Builds do not overtake each other.
func TestBuildsThatAreHeldBackKeepTheirOrder(t *testing.T) {
	onlyOnce(t)
	name := newPool(t, 4)
	first := startBuild(t, name, "--weight", "2", "--", "sleep", "61")
	command := waitStatus(t, name, "a build", func(s status) bool { return s.commands() == 1 && s.InUse == 4 }).Holders[0].CommandPID
	heavy := startBuild(t, name, "--weight", "2", "--", "sleep", "62")
	waitHeldBack(t, name, 1, 1)
	light := startBuild(t, name, "--", "sleep", "63")
	waitStatus(t, name, "two builds in line", func(s status) bool { return s.Waiting == 2 })
	wantResult(t, poolrun(t, "-p", name, "--jobserver=pipe", "--timeout", "0.2", "--weight", "2", "--", "true"), 75,
		"^poolrun: cannot start in pool "+name+" yet: it waits for "+heldBack+` \(gave up after 200ms\)`+"\n$")
	wantResult(t, poolrun(t, "-p", name, "--timeout", "30s", "--weight", "2", "--", "true"), 0, "^$")
	kill(t, command)
	wantSignal(t, syscall.SIGKILL, first)
	// Together they leave one slot, which only the light one can use.
	waitStatus(t, name, "both builds", func(s status) bool { return s.commands() == 2 && s.Waiting == 0 && s.InUse == 4 })
	endBuilds(t, name, heavy, light)
	wantEmpty(t, name)
}

// A build that is dead or stopped does not hold up others, also while a command waits.
func TestAHeldBackBuildThatDoesNotMoveIsPassed(t *testing.T) {
	onlyOnce(t)
	for _, n := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		for _, isLate := range []bool{false, true} {
			name := newPool(t, 4)
			release := holdSlot(t, name)
			first := startBuild(t, name, "--", "sleep", "61")
			waitStatus(t, name, "a build", func(s status) bool { return s.commands() == 2 })
			heavy := startBuild(t, name, "--weight", "3", "--", "sleep", "62")
			waitHeldBack(t, name, 2, 1)
			whole := mustStart(t, poolrun(t, "-p", name, "--priority", "3", "--weight", "4", "--", "true"))
			waitStatus(t, name, "a command that waits", func(s status) bool { return s.Waiting >= 2 })
			var light *exec.Cmd
			start := func() { light = startBuild(t, name, "--", "sleep", "63") }
			if !isLate {
				start()
				waitHeldBack(t, name, 2, 2)
			}
			heavy.Process.Signal(n)
			if isLate {
				if n == syscall.SIGSTOP {
					waitForState(t, 'T', heavy.Process.Pid)
				}
				start()
			}
			eventually(t, "its command", func() bool { return childOf(light.Process.Pid) != 0 }) // status would help
			release()
			endBuilds(t, name, first, light)
			if n == syscall.SIGSTOP {
				heavy.Process.Signal(syscall.SIGTERM)
				heavy.Process.Signal(syscall.SIGCONT)
				wantSignal(t, syscall.SIGTERM, heavy)
			} else {
				wantSignal(t, n, heavy)
			}
			wantExit(t, 0, whole)
			wantEmpty(t, name)
		}
	}
}

// A build does not ask for more than other builds leave, and does not stand in the way of those that need
// less. It notices when another build has come.
func TestABuildAsksForWhatBuildsLeave(t *testing.T) {
	onlyOnce(t)
	for range 3 {
		name := newPool(t, 4)
		release := holdSlot(t, name)
		heavy := startBuild(t, name, "--weight", "2", "--", "sleep", "61")
		waitStatus(t, name, "a request for two more slots", func(s status) bool {
			return s.commands() == 2 && s.Waiting == 1 && s.Waiters[0].WaitsFor == "2 slots for one more job"
		})
		light := startBuild(t, name, "--", "sleep", "62")
		waitStatus(t, name, "both builds", func(s status) bool { return s.commands() == 3 })
		release()
		waitStatus(t, name, "the last slot in use", func(s status) bool { return s.commands() == 2 && s.InUse == 4 && s.Waiting == 0 })
		endBuilds(t, name, heavy, light)
		wantEmpty(t, name)
	}
}

// A build gives idle slots back to one that is not held back any more.
func TestTheEndOfABuildIsNewsToOthers(t *testing.T) {
	onlyOnce(t)
	for range 3 {
		name := newPool(t, 5)
		idle := startBuild(t, name, "--", "sleep", "61")
		waitStatus(t, name, "an offer", func(s status) bool { return s.InUse == 2 })
		ended := startBuild(t, name, "--weight", "2", "--", "sleep", "62")
		waitStatus(t, name, "two builds", func(s status) bool { return s.commands() == 2 })
		heavy := startBuild(t, name, "--weight", "3", "--", "sleep", "63")
		s := waitHeldBack(t, name, 2, 1)
		for _, h := range s.Holders {
			if h.Command == "sleep 62" {
				kill(t, h.CommandPID)
			}
		}
		wantSignal(t, syscall.SIGKILL, ended)
		waitStatus(t, name, "the heavy build", func(s status) bool { return s.commands() == 2 && s.Waiting <= 1 })
		endBuilds(t, name, idle, heavy)
		wantEmpty(t, name)
	}
}
