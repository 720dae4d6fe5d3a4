package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The direct path and the Go runtime's are the same program: for the same arguments, environment and
// signals, the command sees the same, poolrun ends and prints the same, and the ledger is the same,
// while the command runs and afterwards.
func TestBothWaysAreTheSameProgram(t *testing.T) {
	onlyOnce(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for range 100 {
		r := randomRun(random)
		direct, indirect := r.by(t, binaries.poolrun), r.by(t, binaries.indirect)
		if direct != indirect {
			t.Errorf("%+v:\n%s", r, difference(direct, indirect))
		}
	}
}

// A randomly chosen run.
type comparedRun struct {
	Init     []string // flags of init
	Flags    []string
	Env      []string
	Ignored  string // signals, for a shell's trap
	IsNested bool
	Command  []string
}

func randomRun(random *rand.Rand) (r comparedRun) {
	pick := func(choices ...string) []string { return strings.Fields(choices[random.IntN(len(choices))]) }
	r.Init = pick("--size 4", "--size 1", "--size 70", "--item a --item b-2 --item c", "--size 4 --mode 0660")
	for _, choices := range [][]string{
		{"", "", "--weight 2", "-k 3", "-k4", "--weight=66", "--weight 0", "-k 5000"},
		{"", "", "--timeout 5s", "-w 0", "-w2.5", "--timeout 1m30s", "--timeout 1e1", "--timeout never"},
		{"", "", "-n", "--nonblock"},
		{"", "", "--priority 3", "--priority=-4", "--priority -5", "--priority 20"},
		{"", "", "--size 4", "-s 2", "--size 50%", "--size 0"},
		{"", "", "-E 9", "--busy-exit-code=3", "-E 255"},
		{"", "", "--close", "-o", "-F", "--no-fork"},
		{"", "", "-q", "--quiet", "-qn"},
		{"", "", "", "", "--", "--unknown"},
	} {
		r.Flags = append(r.Flags, pick(choices...)...)
	}
	for _, choices := range [][]string{
		{"", "", "POOLRUN_TIMEOUT=3s", "POOLRUN_TIMEOUT=", "POOLRUN_TIMEOUT=soon"},
		{"", "", "POOLRUN_SIZE=4", "POOLRUN_SIZE=x"},
		{"", "", "POOLRUN_BUSY_EXIT_CODE=7"},
		{"", "", "POOLRUN_HELD=/elsewhere/1/1/1", "POOLRUN_HELD=rubbish", "POOLRUN_SLOT=9 POOLRUN_ITEM=x"},
		{"", "", "GODEBUG=x GOMAXPROCS=3", "A= A=2 =x", "PATH=.:/usr/bin:/bin:"},
	} {
		r.Env = append(r.Env, pick(choices...)...)
	}
	r.Ignored = []string{"", "", "", "HUP INT", "TERM PIPE QUIT", "CHLD", "TSTP"}[random.IntN(7)]
	r.IsNested = random.IntN(4) == 0
	// /proc shows what is inherited. The ledger is kept for a comparison.
	const look = `cp "$LEDGER" ledger; env | grep -v ^_= | sort; ulimit -a; umask; pwd; grep -E '^(Sig(Ign|Blk|Cgt)|Umask|Cap|Cpus)' /proc/self/status; ls /proc/$$/fd; `
	r.Command = [][]string{
		{"/bin/sh", "-c", look + "exit 0"}, {"/bin/sh", "-c", look + "exit 7", "x", "y z"}, {"sh", "-c", look + "kill -TERM $$"},
		{"/bin/sh", "-c", look + "kill -SEGV $$"}, {"/bin/sh", "-c", look + "kill -USR1 $PPID; sleep 5"},
		{"true"}, {"/bin/false"}, {"/nowhere/x"}, {"nothing-of-that-name"}, {"/etc/passwd"}, {"/"}, {"./script"}, {"./plain"}, {"./lost"}, {""},
	}[random.IntN(15)]
	if slices.Contains(r.Flags, "-F") || slices.Contains(r.Flags, "--no-fork") {
		for i := range r.Command { // its parent is the test
			r.Command[i] = strings.Replace(r.Command[i], "kill -USR1 $PPID; sleep 5", "kill -USR1 $$", 1)
		}
	}
	return r
}

// by runs it by a binary in a new pool, and returns all that can be seen.
func (r comparedRun) by(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"script": "#!/bin/sh\necho script; exit 3\n", "plain": "echo plain; exit 4\n", "lost": "#!/nowhere/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	name := fmt.Sprintf("%s-%04d", freeName(t), poolNames.Add(1))
	mustRun(t, append([]string{"init", name}, r.Init...)...)
	args := append([]string{binary, "--pool", name}, r.Flags...)
	if r.IsNested {
		args = append([]string{binary, "--pool", name}, args...)
	}
	args = append(args, r.Command...)
	script := `exec "$@"`
	if r.Ignored != "" {
		script = "trap '' " + r.Ignored + "; " + script
	}
	cmd := command(t, "/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.Dir = dir
	during := filepath.Join(dir, "ledger")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LEDGER=" + ledgerOf(name), "HOME=/"}, r.Env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	text := fmt.Sprintf("%v\n%s\nafterwards %s", err, out.String(), soundBytes(t, ledgerOf(name)))
	if _, err := os.Stat(during); err == nil {
		text += "\nmeanwhile " + soundBytes(t, during)
	}
	gate, err := os.ReadFile(semaphoreOf(name))
	text += fmt.Sprintf("\ngate %x %v\n", gate, err)
	for _, own := range []struct{ text, name string }{{dir, "DIR"}, {binary, "POOLRUN"}, {name[1:], "POOL"}} {
		text = strings.ReplaceAll(text, own.text, own.name)
	}
	return leaseText.ReplaceAllString(text, "/POOL/ID/$1")
}

var leaseText = regexp.MustCompile(`/POOL/[0-9a-f]+/(\d+/\d+)`)

// soundBytes returns the bytes of a ledger that are not zero, without what differs between two runs:
// the identity of the pool, pids and times.
func soundBytes(t *testing.T, path string) string {
	t.Helper()
	ledger, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const participants, size = 4096 + 4*4096 + 128*4096, 320
	clear(ledger[16:40])   // ID, GateInode, Created
	clear(ledger[280:288]) // Attended
	clear(ledger[312:416]) // LastStart, Holds
	for at := participants; at < len(ledger); at += size {
		record := ledger[at:]
		clear(record[36:40]) // PID
		clear(record[48:52]) // CommandPID
		clear(record[56:88]) // CommandSeen, Since, Acquired, Seen
		if text := record[112:256]; bytes.Contains(text, []byte("poolrun")) {
			clear(text) // the command of an outer run names the binary and the pool
		}
	}
	var text strings.Builder
	for at := 0; at < len(ledger); at += 8 {
		if word := ledger[at : at+8]; !bytes.Equal(word, make([]byte, 8)) {
			fmt.Fprintf(&text, "%d:%x ", at, word)
		}
	}
	return text.String()
}

// Of two variables of the same name the first counts, also if it is empty, and an entry without "=" is
// no variable (getenv(3)).
func TestBothWaysReadTheEnvironmentAlike(t *testing.T) {
	name := newPool(t, 1)
	dir := t.TempDir()
	if err := os.Symlink("/bin/true", filepath.Join(dir, "only-here")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		env  []string
		args []string
		code int
	}{
		{[]string{"POOLRUN_POOL=", "POOLRUN_POOL=" + name, "PATH=/bin"}, []string{"true"}, 2},
		{[]string{"POOLRUN_POOL=" + name, "POOLRUN_POOL=", "PATH=/bin"}, []string{"true"}, 0},
		{[]string{"POOLRUN_POOL", "POOLRUN_POOL=" + name, "PATH=/bin"}, []string{"true"}, 0},
		{[]string{"PATH", "PATH=/bin"}, []string{"-p", name, "only-here"}, 127},
		{[]string{"PATH=/bin", "PATH=" + dir}, []string{"-p", name, "only-here"}, 127},
		{[]string{"PATH=", "PATH=/bin"}, []string{"-p", name, "only-here"}, 0}, // an empty PATH is the directory
	} {
		for _, binary := range []string{binaries.poolrun, binaries.indirect} {
			process, err := os.StartProcess(binary, append([]string{"poolrun"}, test.args...),
				&os.ProcAttr{Dir: dir, Env: test.env, Files: []*os.File{nil, nil, nil}})
			if err != nil {
				t.Fatal(err)
			}
			state, err := process.Wait()
			if err != nil || state.ExitCode() != test.code {
				t.Errorf("%s %q %q: %v, %v", filepath.Base(binary), test.env, test.args, state, err)
			}
		}
	}
	wantEmpty(t, name)
}

// -v tells which way was taken, and why.
func TestVerboseTellsTheWay(t *testing.T) {
	if !hasDirectPath {
		t.Skip("without the direct path")
	}
	name, used := newPool(t, 1), newPool(t, 2)
	release := holdSlot(t, used)
	defer release()
	for _, test := range []struct {
		want string
		cmd  *exec.Cmd
	}{
		{"at once, without the Go runtime", poolrun(t, "-v", "-p", name, "true")},
		{"at once, without the Go runtime", poolrun(t, "-v", "-p", used, "true")},
		{"with the Go runtime, because the arguments", poolrun(t, "-v", "-p", name, "-w", "1e1", "true")},
		{"with the Go runtime, because the command may not", poolrun(t, "-v", "-p", name, "--size", "1", "./plain")},
		{"with the Go runtime, because the pool cannot", command(t, "sh", "-c", `ulimit -f 8; exec "$0" -v -p "$1" true`, binaries.poolrun, name)},
		{"with the Go runtime, because poolrun was built without", command(t, binaries.plain, "-v", "-p", name, "true")},
		{"after 0s\n", command(t, binaries.indirect, "-v", "-p", name, "true")},
	} {
		test.cmd.Dir = t.TempDir()
		if err := os.WriteFile(test.cmd.Dir+"/plain", []byte("exit\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		wantResult(t, test.cmd, 0, regexp.QuoteMeta(test.want))
	}
}
