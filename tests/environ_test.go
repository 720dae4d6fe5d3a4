package tests

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The command sees the same state of the caller with poolrun and without it.
func TestTheCommandInheritsWhatItWouldWithoutPoolrun(t *testing.T) {
	name := newPool(t, 1)
	look := `
		grep -E "^(Sig(Ign|Blk)|Umask)" /proc/self/status
		ulimit -a; pwd; nice; cat /proc/self/timerslack_ns
		descriptors
		env | grep -v -e ^POOLRUN_ -e ^_= | sort`
	for what, before := range map[string]string{
		"nothing special":             "",
		"ignored":                     `trap "" HUP INT QUIT TERM USR1 USR2 PIPE ALRM WINCH TSTP;`,
		"descriptors 3 to 9":          "exec 3</dev/zero 4>/dev/null 5</etc/passwd 6<&3 7<&3 8<&5 9<&5;",
		"no stdin":                    "exec <&-;",
		"settings of the Go runtime":  "export GOMAXPROCS=7 GOGC=50;",
		"no stderr":                   "exec 2>&-;",
		"limits, umask and niceness":  "ulimit -n 100; ulimit -c 0; umask 027; cd /usr; exec nice -n 3 ",
		"a limit of ten descriptors":  "ulimit -n 20;",
		"the null device three times": "exec </dev/null 2>/dev/null;",
	} {
		with := runShell(t, before, "poolrun --pool "+name+" -- sh -c '"+look+"'")
		without := runShell(t, before, "sh -c '"+look+"'")
		if with != without {
			t.Errorf("%s:\n%s", what, difference(with, without))
		}
	}
}

// The command finds the environment byte for byte. Go's own list of variables would lack the
// second of two variables of one name, and hold what the entry point has added.
func TestTheEnvironmentPassesByteForByte(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	env := []string{"A=1", "A=2", "=", "no equals sign", "GOMAXPROCS=3", "", "B="}
	process, err := os.StartProcess(binaries.poolrun,
		[]string{"poolrun", "--pool", newPool(t, 1), "cat", "/proc/self/environ"},
		&os.ProcAttr{Env: env, Files: []*os.File{nil, write, os.Stderr}})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(read)
	process.Wait()
	got, _, _ := strings.Cut(string(out), "POOLRUN_")
	if want := strings.Join(env, "\x00") + "\x00"; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
}

// difference returns the lines that are in only one of two texts.
func difference(with, without string) (lines string) {
	for line := range strings.Lines(with) {
		if !strings.Contains(without, line) {
			lines += "with poolrun:    " + line
		}
	}
	for line := range strings.Lines(without) {
		if !strings.Contains(with, line) {
			lines += "without poolrun: " + line
		}
	}
	return lines
}

func runShell(t testing.TB, before, run string) string {
	t.Helper()
	script := before + " " + run
	if !strings.HasSuffix(strings.TrimSpace(before), "-n 3") {
		script = before + " exec " + run
	}
	out, err := command(t, "sh", "-c", script).Output()
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
	return regexp.MustCompile(`pipe:\[\d+\]`).ReplaceAllString(string(out), "a pipe")
}
