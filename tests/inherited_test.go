package tests

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inherited changes what execve(2) preserves. The command of poolrun must find it as if the
// caller had exec'd the command. The list is that of execve(2); fork(2) and prctl(2) name what
// a child lacks.
//
// The list leaves out what belongs to one process: its pid, CPU times, timers, record locks,
// semaphore adjustments, and children.
var inherited = map[string]func(){
	"nothing": func() {},
	"blocked": func() {
		block(syscall.SIGHUP, syscall.SIGTERM, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGSEGV, 32, 40)
	},
	"ignored": func() {
		ignore(syscall.SIGHUP, syscall.SIGCHLD, syscall.SIGPROF, syscall.SIGSEGV, syscall.SIGSYS, 33, 40)
	},
	"SIGCONT":                   func() { ignore(syscall.SIGCONT) },
	"nice":                      func() { check(unix.Setpriority(unix.PRIO_PROCESS, 0, 5)) },
	"umask":                     func() { unix.Umask(0o137) },
	"cwd":                       func() { check(os.Chdir("/usr")) },
	"affinity":                  func() { check(unix.SchedSetaffinity(0, &unix.CPUSet{1})) },
	"batch":                     func() { schedule(3, 0) },
	"policy that a fork resets": func() { schedule(3, 1) }, // SCHED_FLAG_RESET_ON_FORK
	"I/O priority":              func() { call(unix.SYS_IOPRIO_SET, 1, 0, 2<<13|6) },
	"slack":                     func() { check(unix.Prctl(unix.PR_SET_TIMERSLACK, 123456, 0, 0, 0)) },
	"death signal":              func() { check(unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGUSR2), 0, 0, 0)) },
	"subreaper":                 func() { check(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) },
	"no new privileges":         func() { check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) },
	"no huge pages":             func() { check(unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)) },
	"machine check":             func() { check(unix.Prctl(unix.PR_MCE_KILL, unix.PR_MCE_KILL_SET, unix.PR_MCE_KILL_EARLY, 0, 0)) },
	"personality":               func() { call(unix.SYS_PERSONALITY, 0x0040000, 0, 0) }, // ADDR_NO_RANDOMIZE
	"score":                     func() { check(os.WriteFile("/proc/self/oom_score_adj", []byte("100"), 0)) },
	"core filter":               func() { check(os.WriteFile("/proc/self/coredump_filter", []byte("0x3"), 0)) },
	"soft limits": func() {
		for _, resource := range limits {
			var limit unix.Rlimit
			check(unix.Getrlimit(resource, &limit))
			limit.Cur = min(limit.Max, 1900<<20) // enough for the runtime of this program, too
			if resource == unix.RLIMIT_NOFILE {
				limit.Cur = 100
			}
			check(unix.Setrlimit(resource, &limit))
		}
	},
	"hard limits": func() {
		check(unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: 1900 << 20, Max: 1950 << 20}))
		check(unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 300 << 20, Max: 300 << 20}))
		check(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20, Max: 30}))
		check(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 1 << 20}))
	},
	"signals ignored by a shell": func() {
		ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTSTP)
	},
	"descriptors": func() {
		open("/dev/zero", 3, 6, 7)
		open("/dev/null", 4)
		open("/etc/passwd", 5, 8, 9)
	},
	"no stdin":        func() { check(unix.Close(0)) },
	"no stderr":       func() { check(unix.Close(2)) },
	"the null device": func() { open("/dev/null", 0, 2) },
	"session":         func() { unix.Setsid() },
	"group":           func() { check(unix.Setpgid(0, 0)) },
	"environment": func() {
		os.Setenv("GODEBUG", "inittrace=0")
		os.Setenv("GOMEMLIMIT", "1GiB")
		os.Setenv("ZONEINFO", "/nowhere")
		os.Setenv("GOMAXPROCS", "7")
		os.Setenv("GOGC", "50")
	},
}

var limits = []int{unix.RLIMIT_AS, unix.RLIMIT_DATA, unix.RLIMIT_STACK, unix.RLIMIT_NOFILE, unix.RLIMIT_CORE, unix.RLIMIT_FSIZE, unix.RLIMIT_MEMLOCK}

func block(signals ...syscall.Signal) {
	var set unix.Sigset_t
	for _, n := range signals {
		set.Val[0] |= 1 << (n - 1)
	}
	check(unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil))
}

func ignore(signals ...syscall.Signal) {
	action := [4]uintptr{1} // SIG_IGN
	for _, n := range signals {
		call(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0)
	}
}

// open opens a file under each of these descriptors.
func open(path string, descriptors ...int) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	check(err)
	for _, n := range descriptors {
		if n == fd {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
			check(err)
			continue
		}
		check(unix.Dup3(fd, n, 0))
	}
}

func schedule(policy uint32, flags uint64) {
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Flags: flags}
	check(unix.SchedSetAttr(0, &attr, 0))
}

func call(number, a, b, c uintptr) {
	if _, _, errno := unix.RawSyscall6(number, a, b, c, 8, 0, 0); errno != 0 {
		check(errno)
	}
}

// changed WHAT COMMAND...: changes one thing that execve(2) preserves, and becomes the command.
func changed() {
	runtime.LockOSThread() // some belong to a thread
	if what := os.Args[1]; what == "pending" {
		block(syscall.SIGTERM)
		check(unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGTERM))
	} else {
		inherited[what]()
	}
	become(os.Args[2:])
}

// attributes prints what only prctl(2) and the like show of a process.
func attributes() {
	var death int
	check(unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&death)), 0, 0, 0))
	var reaper int
	check(unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&reaper)), 0, 0, 0))
	fmt.Println("death signal", death, "subreaper", reaper)
	for _, option := range []int{unix.PR_GET_TIMERSLACK, unix.PR_GET_THP_DISABLE, unix.PR_MCE_KILL_GET, unix.PR_GET_SECUREBITS} {
		value, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		fmt.Println("prctl", option, value, err)
	}
	attr, err := unix.SchedGetAttr(0, 0)
	fmt.Println("schedule", attr.Policy, attr.Flags, attr.Nice, err)
	priority, _, _ := unix.RawSyscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	persona, _, _ := unix.RawSyscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	session, _ := unix.Getsid(0)
	fmt.Printf("I/O priority %#x, personality %#x, leads its session %v, its group %v\n", priority, persona,
		session == os.Getppid() || session == os.Getpid(), unix.Getpgrp() == os.Getppid() || unix.Getpgrp() == os.Getpid())
	// A slack of 0 means the default, which is inherited too.
	check(unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0))
	value, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println("default slack", value, err)
}

var (
	queuedSignals = regexp.MustCompile(`(?m)^SigQ:\t\d+`) // of all processes of the user
	pipe          = regexp.MustCompile(`pipe:\[\d+\]`)
	guard         = regexp.MustCompile(`(?m)^(\d+\n)(12|25|50)\n`) // in a list of descriptors
)

// comparable drops what differs from one process to the next.
func comparable(out []byte) string {
	out = guard.ReplaceAll(queuedSignals.ReplaceAll(out, nil), []byte("$1"))
	return string(pipe.ReplaceAll(out, []byte("a pipe")))
}

func TestWhatExecveHandsOnReachesTheCommand(t *testing.T) {
	name := newPool(t, 1)
	looks := [][]string{
		{"grep", "-E", "^(Umask|Groups|Sig(Q|Ign|Blk)|Cap|NoNew|Seccomp|Cpus_allowed|Mems_allowed|THP|CoreD)", "/proc/self/status"},
		{"sh", "-c", "cd /proc/$$; cat oom_score_adj coredump_filter timerslack_ns limits cgroup attr/current 2>&1; nice"},
		{"sh", "-c", "pwd; ls /proc/$$/fd; env | grep -v -e ^POOLRUN_ -e ^_= | sort"},
		{"attributes"},
		{"descriptors"},
	}
	for what := range inherited {
		for _, look := range looks {
			bare, err1 := command(t, "changed", append([]string{what}, look...)...).CombinedOutput()
			for _, run := range [][]string{
				{binaries.poolrun, "--close"}, {binaries.poolrun, "--no-fork"}, {binaries.indirect, "--no-fork"},
			} {
				if look[0] == "descriptors" && run[1] == "--close" {
					run = run[:1] // it does not look at the guard's
				}
				args := append(append(append([]string{what}, run...), "--pool", name, "--"), look...)
				with, err2 := command(t, "changed", args...).CombinedOutput()
				if err1 != nil && err2 != nil && len(look) == 1 {
					continue // built with the race detector, the test's own programs do not run within these limits
				}
				if err1 != nil || err2 != nil {
					t.Errorf("%s, %q, %q: %v %v\n%s%s", what, run, look, err1, err2, bare, with)
				} else if bare, with := comparable(bare), comparable(with); bare != with {
					t.Errorf("%s, %q, %q:\n%s", what, run, look, difference(with, bare))
				}
			}
		}
	}
	wantEmpty(t, name)
}

// With SIGCHLD ignored, wait(2) reports no status. poolrun exits with the command's all the
// same.
func TestAnIgnoredSIGCHLDLosesNoStatus(t *testing.T) {
	name := newPool(t, 1)
	for _, what := range []string{"ignored", "blocked"} {
		wantResult(t, command(t, "changed", what, binaries.poolrun, "--pool", name, "sh", "-c", "exit 7"), 7, "")
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
