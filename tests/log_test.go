package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A logLine is a line of --log.
type logLine struct {
	Time    time.Time
	Started *time.Time
	Pool    string
	Slots   []int
	Item    string
	PID     int
	Waited  float64  `json:"waited_seconds"`
	Ran     *float64 `json:"ran_seconds"`
	Exit    int      `json:"exit_code"`
	Signal  *string
	Error   string
	Command []string
}

func readLog(t testing.TB, file string) (lines []logLine) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// Each run adds a line, also one that got no slot or no command.
func TestEachRunIsLogged(t *testing.T) {
	name, file := freeName(t), filepath.Join(t.TempDir(), "log")
	mustRun(t, "init", name, "--item", "a b", "--item", "c")
	logged := func(code int, args ...string) logLine {
		t.Helper()
		before := time.Now()
		cmd := poolrun(t, append([]string{"--pool", name, "--log", file}, args...)...)
		wantResult(t, cmd, code, "")
		lines := readLog(t, file)
		l := lines[len(lines)-1]
		if l.Pool != name || l.PID != cmd.Process.Pid || l.Time.Before(before) || l.Time.After(time.Now()) || l.Exit != code {
			t.Errorf("%q: %+v", args, l)
		}
		if ran := l.Ran != nil; ran != (l.Started != nil) || ran && (*l.Ran < 0 || l.Started.Before(before) || l.Started.After(l.Time) || l.Error != "") {
			t.Errorf("%q: %+v", args, l)
		}
		return l
	}
	if l := logged(3, "sh", "-c", "exit 3"); l.Item != "a b" || len(l.Slots) != 1 || l.Slots[0] != 0 || strings.Join(l.Command, "|") != "sh|-c|exit 3" || l.Ran == nil || l.Signal != nil {
		t.Errorf("%+v", l)
	}
	if l := logged(0, "-k2", "true"); l.Item != "a b\nc" || len(l.Slots) != 2 {
		t.Errorf("%+v", l)
	}
	if l := logged(143, "sh", "-c", "kill $$"); l.Signal == nil || *l.Signal != "SIGTERM" {
		t.Errorf("%+v", l)
	}
	if l := logged(124, "--max-runtime", "0.1", "sleep", "1000"); l.Ran == nil || *l.Ran < 0.1 || l.Signal != nil {
		t.Errorf("%+v", l)
	}
	if l := logged(127, "no-such-command"); l.Ran != nil || !strings.Contains(l.Error, "not found") || len(l.Slots) != 0 {
		t.Errorf("%+v", l)
	}
	if l := logged(0, binaries.poolrun, "--pool", name, "true"); l.Ran == nil { // the inner one is not logged
		t.Errorf("%+v", l)
	}
	one, two := holdSlot(t, name), holdSlot(t, name)
	if l := logged(75, "-w", "0.1", "true"); l.Ran != nil || !strings.Contains(l.Error, "no free slot") || l.Waited < 0.1 {
		t.Errorf("%+v", l)
	}
	if l := logged(9, "-q", "-n", "-E9", "true"); !strings.Contains(l.Error, "no free slot") {
		t.Errorf("%+v", l)
	}
	cmd := poolrun(t, "--pool", name, "true")
	cmd.Env = append(cmd.Env, "POOLRUN_LOG="+file)
	mustStart(t, cmd)
	waitForLine(t, name, 1)
	cmd.Process.Signal(syscall.SIGTERM)
	wantSignal(t, syscall.SIGTERM, cmd)
	lines := readLog(t, file)
	if l := lines[len(lines)-1]; len(lines) != 9 || l.Signal == nil || *l.Signal != "SIGTERM" || l.Exit != 143 || l.Ran != nil {
		t.Errorf("%d lines, %+v", len(lines), l)
	}
	one()
	two()
	wantEmpty(t, name)
}

// The line comes when the slot is free. A log that was rotated in the meantime is made anew.
func TestTheLogIsWrittenAfterTheRelease(t *testing.T) {
	name, file := newPool(t, 1), filepath.Join(t.TempDir(), "log")
	cmd := poolrun(t, "--pool", name, "--log", file, "cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	mustStart(t, cmd)
	waitForCommand(t, name)
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	wantExit(t, 0, cmd)
	if old, err := os.ReadFile(file + ".1"); len(old) != 0 || err != nil || len(readLog(t, file)) != 1 {
		t.Errorf("%q %v", old, err)
	}
}

// Many runs at once do not mix their lines.
func TestLinesOfALogDoNotMix(t *testing.T) {
	name, file := newPool(t, 10), filepath.Join(t.TempDir(), "log")
	cmd := command(t, "sh", "-c", "seq 100 | xargs -P 10 -I{} poolrun --pool $POOL --log $LOG sh -c 'exit 0' {} "+strings.Repeat("x", 60_000))
	cmd.Env = append(cmd.Env, "POOL="+name, "LOG="+file)
	wantExit(t, 0, mustStart(t, cmd))
	if n := len(readLog(t, file)); n != 100 {
		t.Errorf("%d lines", n)
	}
}

// A line that a full disk has cut off does not spoil the next one.
func TestALogThatWasCutOffGoesOn(t *testing.T) {
	name, file := newPool(t, 1), filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(`{"time":"2026-`), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "--pool", name, "--log", file, "true")
	mustRun(t, "--pool", name, "--log", file, "true")
	text, err := os.ReadFile(file)
	_, rest, _ := strings.Cut(string(text), "\n")
	if err != nil || os.WriteFile(file, []byte(rest), 0o644) != nil || len(readLog(t, file)) != 2 {
		t.Errorf("%q", text)
	}
}

// A log that cannot be opened is an error before anything has run, and one that cannot be written to
// is a warning afterwards, and does not change the exit code.
func TestALogThatCannotBeWritten(t *testing.T) {
	name, dir := newPool(t, 1), t.TempDir()
	wantRefused(t, "cannot open log "+dir+"/none/log: no such file or directory", "--pool", name, "--log", dir+"/none/log", "touch", dir+"/ran")
	wantRefused(t, "is a directory", "--pool", name, "--log", dir, "touch", dir+"/ran")
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Error("the command has run")
	}
	wantResult(t, poolrun(t, "--pool", name, "--log", "/dev/full", "sh", "-c", "exit 3"), 3, "^poolrun: warning: cannot write to log /dev/full: no space left on device\n$")
	if err := syscall.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, "no such device", "--pool", name, "--log", dir+"/fifo", "true") // nobody reads it
	if n := statusOf(t, name).Counters.Acquired; n != 1 {
		t.Errorf("%d acquired", n)
	}
}
