package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The scripts that move from flock(1) or GNU sem do the same before and after.

// A pairedScript is one of a pair. Before, it uses a lock, and after, a pool.
type pairedScript struct {
	path, pool, home string
	isAfter          bool
}

// eachOfPair runs a test for the script before and for the one after.
func eachOfPair(t *testing.T, script string, test func(*testing.T, pairedScript)) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			s := pairedScript{example(t, script+"-"+when+".sh"), freeName(t), t.TempDir(), when == "after"}
			test(t, s)
			if s.isAfter {
				wantEmpty(t, s.pool)
			}
		})
	}
}

// run prepares a run of the script.
func (s pairedScript) run(t testing.TB, args ...string) *exec.Cmd {
	cmd := command(t, s.path, args...)
	cmd.Env = append(cmd.Env, "POOL="+s.pool, "LOCK="+s.home+"/lock", "HOME="+s.home)
	return cmd
}

// startWaiting starts the script and returns when it waits. /proc/locks has an arrow in the line of
// a process that waits for a lock.
func (s pairedScript) startWaiting(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := mustStart(t, s.run(t, args...))
	if s.isAfter {
		waitForLine(t, s.pool, 1)
		return cmd
	}
	waits := regexp.MustCompile(fmt.Sprintf(`-> FLOCK .* %d `, cmd.Process.Pid))
	eventually(t, "a process that waits for a lock", func() bool {
		locks, err := os.ReadFile("/proc/locks")
		return err == nil && waits.Match(locks)
	})
	return cmd
}

// startInside starts a command that holds the lock or the slot until the returned function is
// called.
func startInside(t *testing.T, cmd *exec.Cmd) (leave func()) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	wantLine(t, startLines(t, cmd), "inside")
	return func() {
		t.Helper()
		stdin.Close()
		wantExit(t, 0, cmd)
	}
}

// wantOneAtATime checks that a script never runs two commands at once.
func wantOneAtATime(t *testing.T, s pairedScript) {
	t.Helper()
	marks := overlapDir(t.TempDir())
	var all []*exec.Cmd
	for range 3 {
		all = append(all, mustStart(t, s.run(t, "overlapping", marks, "1", "sleep", "0.1")))
	}
	wantExit(t, 0, all...)
	wantSeen(t, "commands", marks, 3, 1)
}

const stayInside = "echo inside; exec cat"

func TestTheNonblockingScriptsDoTheSame(t *testing.T) {
	onlyOnce(t)
	eachOfPair(t, "flock/nonblock", func(t *testing.T, s pairedScript) {
		wantResult(t, s.run(t, "sh", "-c", "echo text; exit 7"), 7, "^text\n$")
		leave := startInside(t, s.run(t, "sh", "-c", stayInside))
		wantResult(t, s.run(t, "echo", "text"), 1, "^$")
		leave()
	})
}

func TestTheScriptsWithATimeoutDoTheSame(t *testing.T) {
	onlyOnce(t)
	eachOfPair(t, "flock/timeout", func(t *testing.T, s pairedScript) {
		wantResult(t, s.run(t, "0", "sh", "-c", "echo text; exit 7"), 7, "^text\n$")
		leave := startInside(t, s.run(t, "0", "sh", "-c", stayInside))
		wantResult(t, s.run(t, "0.1", "echo", "text"), 75, "^$")
		waiter := s.startWaiting(t, "60", "true")
		leave()
		wantExit(t, 0, waiter)
	})
}

func TestTheScriptsWithASectionDoTheSame(t *testing.T) {
	onlyOnce(t)
	eachOfPair(t, "flock/section", func(t *testing.T, s pairedScript) {
		const outside = "this part needs no (lock|slot)\n$"
		wantResult(t, s.run(t, "echo", "text"), 0, "^text\n"+outside)
		leave := startInside(t, s.run(t, "sh", "-c", stayInside))
		wantResult(t, s.run(t, "echo", "text"), 1, "^$")
		leave()

		// A script that has left the section does not keep others out of it.
		entered := filepath.Join(t.TempDir(), "entered")
		first := s.run(t, "touch", entered)
		_, first.Stdout = fullPipe(t)
		mustStart(t, first)
		eventually(t, "a script in the section", func() bool {
			_, err := os.Stat(entered)
			return err == nil
		})
		wantResult(t, s.run(t, "echo", "text"), 0, "^text\n"+outside)
		end(first)

		wantOneAtATime(t, s)
	})
}

func TestTheCompressingScriptsDoTheSame(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "sem")
	eachOfPair(t, "sem/compress", func(t *testing.T, s pairedScript) {
		dir, marks := t.TempDir(), overlapDir(t.TempDir())
		cmd := s.run(t, filesIn(t, dir, 3)...)
		wrap(t, cmd, "gzip", "exec overlapping "+marks+` 2 sh -c 'sleep 0.1; exec REAL "$@"' sh "$@"`)
		if code := exitCode(t, cmd); code != 0 {
			t.Errorf("exit code %d", code)
		}
		wantCompressed(t, dir, marks, 3, 2) // as soon as the script has ended
	})
}

func TestTheMutexScriptsDoTheSame(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "sem")
	eachOfPair(t, "sem/mutex", func(t *testing.T, s pairedScript) {
		wantResult(t, s.run(t, "sh", "-c", "exit 7"), 7, "^$")
		wantOneAtATime(t, s)
	})
}
