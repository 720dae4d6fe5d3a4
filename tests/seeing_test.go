package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// crowdedPool has holders and waiters of all kinds, with long items and commands.
func crowdedPool(t *testing.T) (name string, release func()) {
	t.Helper()
	name = freeName(t)
	mustRun(t, "init", name, "--item", "the first graphics card of this machine", "--item", "1", "--item", "2", "--item", "3", "--delay", "1us")
	long := strings.Repeat("a very long argument ", 20)
	var line []*exec.Cmd
	first := poolrun(t, "-p", name, "-k3", "sh", "-c", "cat; : "+long)
	stdin, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	line = append(line, mustStart(t, first))
	waitStatus(t, name, "three slots in use", func(s status) bool { return s.InUse == 3 && s.commands() == 1 })
	last := poolrun(t, "-p", name, "cat")
	lastStdin, err := last.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	line = append(line, mustStart(t, last))
	waitStatus(t, name, "all slots in use", func(s status) bool { return s.InUse == 4 && s.commands() == 2 })
	for i, args := range [][]string{{"--priority", "-3"}, {"-k", "2"}, {"-k", "all"}} {
		line = append(line, mustStart(t, poolrun(t, append(append([]string{"-p", name}, args...), "sh", "-c", ": "+long)...)))
		waitForLine(t, name, i+1)
	}
	return name, func() {
		stdin.Close()
		lastStdin.Close()
		wantExit(t, 0, line...)
		wantEmpty(t, name)
	}
}

// The status fits 80 columns, or as many as COLUMNS says, and has no escape sequences.
func TestStatusFitsThePage(t *testing.T) {
	name, release := crowdedPool(t)
	for _, columns := range []int{0, 60, 80, 132, 400} {
		cmd := poolrun(t, "status", name)
		want := columns
		if columns == 0 {
			want = 80
		} else {
			cmd.Env = append(cmd.Env, fmt.Sprint("COLUMNS=", columns))
		}
		out, _ := outputs(t, cmd)
		longest := 0
		for line := range strings.Lines(out) {
			longest = max(longest, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
		}
		if longest != want { // the bar has the whole width
			t.Errorf("%d columns instead of %d:\n%s", longest, want, out)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%q", out)
		}
		for _, text := range []string{"0-2 ", " running ", "3 ", "a slot", "2 slots", "all slots", " 1ms ", "waited"} {
			if !strings.Contains(out, text) {
				t.Errorf("%q is missing:\n%s", text, out)
			}
		}
	}
	release()
}

// However wide a page is said to be, and whatever a command contains, the status is shown, and on a
// terminal no line is longer than that.
func TestStatusOnOddPages(t *testing.T) {
	name := newPool(t, 1)
	cmd, _ := startHolder(t, name)
	waiter := mustStart(t, poolrun(t, "-p", name, "true", strings.Repeat("漢字⌚ ", 40), "\x1b[2J", "e\u0301"))
	waitForLine(t, name, 1)
	for _, columns := range []string{"1", "9223372036854775807", "99999999999", "-5", "x"} {
		cmd := poolrun(t, "status", name)
		cmd.Env = append(cmd.Env, "COLUMNS="+columns)
		wantResult(t, cmd, 0, "1 of 1 slots in use")
	}
	for _, columns := range []uint16{40, 80} {
		shown := poolrun(t, "status", name)
		shown.Env = append(shown.Env, "NO_COLOR=1")
		term := onTerminal(t, 24, columns, shown)
		wantExit(t, 0, shown)
		for line := range strings.Lines(term.text()) {
			width := 0
			for _, r := range strings.TrimRight(line, "\r\n") {
				if width++; strings.ContainsRune("漢字⌚", r) {
					width++
				}
			}
			if width > int(columns) || strings.Contains(line, "\x1b") {
				t.Errorf("%d columns of %d: %q", width, columns, line)
			}
		}
	}
	end(waiter, cmd)
	kill(t, statusOf(t, name).Holders[0].CommandPID)
}

// onTerminal starts a command on a terminal of this size.
func onTerminal(t *testing.T, rows, columns uint16, cmd *exec.Cmd) *terminal {
	t.Helper()
	pty, tty := openPTY(t)
	term := &terminal{t: t, pty: pty}
	term.resize(rows, columns)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = false, true, true
	mustStart(t, cmd)
	go term.read()
	return term
}

func (term *terminal) resize(rows, columns uint16) {
	term.t.Helper()
	if err := unix.IoctlSetWinsize(int(term.pty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		term.t.Fatal(err)
	}
}

// On a terminal, the status has its width, and colours unless NO_COLOR is set.
func TestStatusOnATerminal(t *testing.T) {
	name := newPool(t, 1)
	for _, variable := range []string{"NO_COLOR=", "NO_COLOR=1", "TERM=dumb"} {
		cmd := poolrun(t, "status", name)
		cmd.Env = append(cmd.Env, "TERM=xterm", variable)
		term := onTerminal(t, 24, 100, cmd)
		wantExit(t, 0, cmd)
		term.wait("reclaimed")
		if !strings.Contains(term.text(), "["+strings.Repeat("-", 98)+"]") {
			t.Errorf("not as wide as the terminal:\n%s", term.text())
		}
		if hasColors := strings.Contains(term.text(), "\x1b["); hasColors != (variable == "NO_COLOR=") {
			t.Errorf("%s: %q", variable, term.text())
		}
	}
}

// status --watch shows what changes, on the alternate screen, follows the size of the terminal, and
// leaves it as it was.
func TestWatchFollowsThePoolAndTheTerminal(t *testing.T) {
	const enter, leave = "\x1b[?1049h", "\x1b[?1049l"
	name := newPool(t, 1)
	cmd := poolrun(t, "status", name, "--watch")
	cmd.Env = append(cmd.Env, "NO_COLOR=1")
	term := onTerminal(t, 24, 80, cmd)
	term.wait(": 0 of 1 slots in use")
	release := holdSlot(t, name)
	term.wait(": 1 of 1 slots in use")
	term.resize(3, 50)
	term.wait("\r\n[" + strings.Repeat("#", 48) + "]")
	before := term.text()
	if last := before[strings.LastIndex(before, "\x1b[H"):]; strings.Count(last, "\n") > 2 {
		t.Errorf("more than 3 lines: %q", last)
	}
	if strings.Contains(before, leave) || !strings.HasPrefix(before, enter) {
		t.Errorf("%q", before)
	}
	term.typed("\x03")
	wantSignal(t, unix.SIGINT, cmd)
	term.wait(leave)
	if text := term.text(); !strings.HasSuffix(text, "\x1b[?25h"+leave) || strings.Count(text, enter) != 1 {
		t.Errorf("%q", text)
	}
	release()
}

// When the process stops, the terminal is as it was, and afterwards the status is back.
func TestWatchLeavesTheTerminalWhenItStops(t *testing.T) {
	name := newPool(t, 1)
	term := newTerminal(t)
	term.typed("poolrun status " + name + " --watch\n")
	term.wait(": 0 of 1 slots in use")
	term.typed("\x1a")
	term.wait("\x1b[?1049l")
	term.typed("echo stopped-$((1+1))\n")
	term.wait("stopped-2")
	release := holdSlot(t, name)
	term.typed("fg\n")
	term.wait(": 1 of 1 slots in use")
	term.typed("\x03")
	eventually(t, "the terminal as it was", func() bool { return strings.Count(term.text(), "\x1b[?1049l") == 2 })
	release()
}

// If the pool goes, so does the screen, and the error is seen.
func TestWatchEndsWithThePool(t *testing.T) {
	name := newPool(t, 1)
	cmd := poolrun(t, "status", name, "--watch")
	term := onTerminal(t, 24, 80, cmd)
	term.wait(": 0 of 1 slots in use")
	mustRun(t, "destroy", name)
	wantExit(t, 2, cmd)
	term.wait("no pool " + name)
	if text := term.text(); strings.Index(text, "no pool") < strings.Index(text, "\x1b[?1049l") {
		t.Errorf("%q", text)
	}
}

// A pool that cannot be read is noted on the screen.
func TestWatchNotesAPoolThatCannotBeRead(t *testing.T) {
	sound, damaged := newPool(t, 2), newPool(t, 2)
	os.Truncate(ledgerOf(damaged), 1000)
	cmd := poolrun(t, "status", "--watch")
	term := onTerminal(t, 500, 200, cmd)
	term.wait("note: pool " + damaged + " is damaged")
	term.wait(sound + ": 0 of 2")
	if strings.Contains(term.text(), "\npoolrun: ") {
		t.Errorf("%q", term.text())
	}
	term.typed("\x03")
	wantSignal(t, unix.SIGINT, cmd)
}

// Without a terminal, --watch writes one status after the other.
func TestWatchInAPipe(t *testing.T) {
	name := newPool(t, 1)
	cmd := poolrun(t, "status", name, "--watch", "--format", "json")
	next := startLines(t, cmd)
	for _, inUse := range []string{"0", "1"} {
		eventually(t, "in use "+inUse, func() bool { return strings.Contains(next(), `"in_use":`+inUse+",") })
		if inUse == "0" {
			defer holdSlot(t, name)()
		}
	}
	cmd.Process.Signal(unix.SIGTERM)
	wantSignal(t, unix.SIGTERM, cmd)
	wantRefused(t, "--watch", "status", name, "--watch", "--format", "prometheus")

	// A pool that cannot be read is reported on standard error.
	os.Truncate(ledgerOf(name), 1000)
	cmd = poolrun(t, "status", "--watch", "--format", "json")
	problems, err := os.Create(filepath.Join(t.TempDir(), "problems"))
	if err != nil {
		t.Fatal(err)
	}
	defer problems.Close()
	cmd.Stderr = problems
	next = startLines(t, cmd)
	eventually(t, "a problem", func() bool {
		text, err := os.ReadFile(problems.Name())
		return err == nil && strings.Contains(string(text), "poolrun: pool "+name+" is damaged")
	})
	if line := next(); !json.Valid([]byte(line)) {
		t.Errorf("%q", line)
	}
	cmd.Process.Signal(unix.SIGTERM)
	wantSignal(t, unix.SIGTERM, cmd)
}

// While it waits on a terminal, poolrun shows for what, in one line that is redrawn, and removes the
// line when the command starts.
func TestTheWaitIsShownOnATerminal(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	cmd := poolrun(t, "-p", name, "echo", "started")
	term := onTerminal(t, 24, 70, cmd)
	waitForLine(t, name, 1)
	const begin = "\r\x1b[Kpoolrun: "
	term.wait(begin + "waiting for a slot of " + name + ": place 1 of 1")
	eventually(t, "a line that is redrawn", func() bool { return strings.Count(term.text(), begin) >= 2 })
	release()
	wantExit(t, 0, cmd)
	term.wait("started\r\n")
	text := term.text()
	if !strings.HasSuffix(text, "\r\x1b[Kstarted\r\n") || strings.Count(text, "\n") != 1 {
		t.Errorf("%q", text)
	}
	for _, line := range strings.Split(text, begin)[1:] {
		if line, _, _ = strings.Cut(line, "\r"); len("poolrun: "+line) >= 70 {
			t.Errorf("%q does not fit", line)
		}
	}
}

// Of several waits on one terminal one is shown, and when that is over, another. A wait in the
// background and one with --quiet are not shown.
func TestWhichWaitsAreShown(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	term := newTerminal(t)
	term.typed("poolrun -q -p " + name + " true & poolrun -p " + name + " true &\n")
	waitForLine(t, name, 2)
	term.typed("(poolrun -q -p " + name + " true & poolrun -p " + name + " true & poolrun -p " + name + " true & wait); echo over-$?\n")
	s := waitForLine(t, name, 5)
	shown := regexp.MustCompile(`: place (\d) of 5`)
	eventually(t, "a wait that is redrawn", func() bool { return len(shown.FindAllString(term.text(), -1)) >= 2 })
	places := shown.FindAllStringSubmatch(term.text(), -1)
	first, _ := strconv.Atoi(places[0][1])
	for _, place := range places {
		if place[1] != places[0][1] {
			t.Errorf("places %q are shown", places)
		}
	}
	kill(t, s.Waiters[first-1].PID)
	shown = regexp.MustCompile(`: place (\d) of 4`)
	eventually(t, "another wait", func() bool { return shown.MatchString(term.text()) })
	if text := term.text(); regexp.MustCompile(`: place [12] of`).MatchString(text) {
		t.Errorf("%q", text)
	}
	release()
	term.wait("over-")
	waitStatus(t, name, "an empty pool", func(s status) bool { return s.InUse == 0 && s.Waiting == 0 })
}

// A message to a file, and in a pipe, has no escape sequences.
func TestAWaitWithoutATerminalIsSilent(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	defer release()
	wantResult(t, poolrun(t, "-p", name, "-w", "1.5", "true"), 75, "^poolrun: no free slot in pool "+name+" within 1.5s\n$")
}

// The metrics pass the check of Prometheus itself, and say what JSON says.
func TestMetricsForPrometheus(t *testing.T) {
	name, release := crowdedPool(t)
	other := newPool(t, 1)
	odd := freeName(t) + `"\` + "\n\xff"
	mustRun(t, "init", odd, "--size", "1")
	file := filepath.Join(t.TempDir(), "poolrun.prom")
	out, _ := outputs(t, poolrun(t, "status", "--format", "prometheus"))
	if err := os.WriteFile(file, []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`poolrun_slots{pool="` + name + `"} 4`, `poolrun_slots{pool="` + other + `"} 1`, `poolrun_slots_in_use{pool="` + name + `"} 4`,
		`poolrun_waiting{pool="` + name + `"} 3`, `poolrun_acquired_total{pool="` + name + `"} 2`,
		`poolrun_wait_seconds_count{pool="` + name + `"} 2`, `poolrun_hold_seconds_count{pool="` + name + `"} 0`,
		`poolrun_wait_seconds_bucket{pool="` + name + `",le="+Inf"} 2`, `poolrun_oldest_holder_age_seconds{pool="` + other + `"} 0`,
		`"\\\n` + "\ufffd" + `"} 1`,
	} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("%s is missing in:\n%s", want, out)
		}
	}
	if one, _ := outputs(t, poolrun(t, "status", other, "--format", "prometheus")); strings.Contains(one, name) || !strings.Contains(one, other) {
		t.Errorf("%s", one)
	}
	release()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip(err)
	}
	check := command(t, "promtool", "check", "metrics")
	check.Stdin = strings.NewReader(out)
	wantResult(t, check, 0, "^$")
}
