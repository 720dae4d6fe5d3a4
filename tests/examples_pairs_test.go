package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The scripts that move from flock(1) or GNU sem do the same before and after.

// eachOfPair runs a test for the script before and for the one after. With run, the script runs
// a command.
func eachOfPair(t *testing.T, script string, test func(t *testing.T, run func(args ...string) *exec.Cmd)) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			name, home := freeName(t), t.TempDir()
			test(t, func(args ...string) *exec.Cmd {
				cmd := command(t, example(t, script+"-"+when+".sh"), args...)
				cmd.Env = append(cmd.Env, "POOL="+name, "LOCK="+home+"/lock", "HOME="+home)
				return cmd
			})
			if when == "after" {
				wantEmpty(t, name)
			}
		})
	}
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
func wantOneAtATime(t *testing.T, run func(args ...string) *exec.Cmd) {
	t.Helper()
	marks := overlapDir(t.TempDir())
	var all []*exec.Cmd
	for range 3 {
		all = append(all, mustStart(t, run("overlapping", marks, "1", "sleep", "0.1")))
	}
	wantExit(t, 0, all...)
	wantSeen(t, "commands", marks, 3, 1)
}

const stayInside = "echo inside; exec cat"

func TestTheNonblockingScriptsDoTheSame(t *testing.T) {
	eachOfPair(t, "flock/nonblock", func(t *testing.T, run func(...string) *exec.Cmd) {
		wantResult(t, run("sh", "-c", "echo text; exit 7"), 7, "^text\n$")
		leave := startInside(t, run("sh", "-c", stayInside))
		wantResult(t, run("echo", "text"), 1, "^$")
		leave()
	})
}

func TestTheScriptsWithATimeoutDoTheSame(t *testing.T) {
	eachOfPair(t, "flock/timeout", func(t *testing.T, run func(...string) *exec.Cmd) {
		wantResult(t, run("0", "sh", "-c", "echo text; exit 7"), 7, "^text\n$")
		leave := startInside(t, run("0", "sh", "-c", stayInside))
		wantResult(t, run("0.1", "echo", "text"), 75, "^$")
		waiter := mustStart(t, run("60", "true"))
		leave()
		wantExit(t, 0, waiter)
	})
}

func TestTheScriptsWithASectionDoTheSame(t *testing.T) {
	eachOfPair(t, "flock/section", func(t *testing.T, run func(...string) *exec.Cmd) {
		const outside = "this part needs no (lock|slot)\n$"
		wantResult(t, run("echo", "text"), 0, "^text\n"+outside)
		leave := startInside(t, run("sh", "-c", stayInside))
		wantResult(t, run("echo", "text"), 1, "^$")
		leave()

		// A script that has left the section does not keep others out of it.
		entered := filepath.Join(t.TempDir(), "entered")
		first := run("touch", entered)
		_, first.Stdout = fullPipe(t)
		mustStart(t, first)
		eventually(t, "a script in the section", func() bool {
			_, err := os.Stat(entered)
			return err == nil
		})
		wantResult(t, run("echo", "text"), 0, "^text\n"+outside)
		end(first)

		wantOneAtATime(t, run)
	})
}

func TestTheCompressingScriptsDoTheSame(t *testing.T) {
	needPrograms(t, "sem")
	eachOfPair(t, "sem/compress", func(t *testing.T, run func(...string) *exec.Cmd) {
		dir, marks := t.TempDir(), overlapDir(t.TempDir())
		cmd := run(filesIn(t, dir, 3)...)
		wrap(t, cmd, "gzip", "exec overlapping "+marks+` 2 REAL "$@"`)
		wantResult(t, cmd, 0, "^$")
		wantCompressed(t, dir, marks, 3, 2)
	})
}

func TestTheMutexScriptsDoTheSame(t *testing.T) {
	needPrograms(t, "sem")
	eachOfPair(t, "sem/mutex", func(t *testing.T, run func(...string) *exec.Cmd) {
		wantResult(t, run("sh", "-c", "exit 7"), 7, "^$")
		wantOneAtATime(t, run)
	})
}
