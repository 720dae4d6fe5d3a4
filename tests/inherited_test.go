package tests

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
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
			limit.Cur = min(limit.Max, 1500<<20)
			if resource == unix.RLIMIT_NOFILE {
				limit.Cur = 100
			}
			check(unix.Setrlimit(resource, &limit))
		}
	},
	"hard limits": func() {
		check(unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: 1500 << 20, Max: 1600 << 20}))
		check(unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 300 << 20, Max: 300 << 20}))
		check(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20, Max: 30}))
		check(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 1 << 20}))
	},
	"descriptors": func() {
		check(unix.Dup3(2, 7, 0))
		check(unix.Close(0))
	},
	"session": func() { unix.Setsid() },
	"group":   func() { check(unix.Setpgid(0, 0)) },
	"environment": func() {
		os.Setenv("GODEBUG", "inittrace=0")
		os.Setenv("GOMEMLIMIT", "1GiB")
		os.Setenv("ZONEINFO", "/nowhere")
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

// queuedSignals is the number of signals queued for all processes of the user, before its limit.
var queuedSignals = regexp.MustCompile(`(?m)^SigQ:\t\d+`)

func TestWhatExecveHandsOnReachesTheCommand(t *testing.T) {
	name := newPool(t, 1)
	looks := [][]string{
		{"grep", "-E", "^(Umask|Groups|Sig(Q|Ign|Blk)|Cap|NoNew|Seccomp|Cpus_allowed|Mems_allowed|THP|CoreD)", "/proc/self/status"},
		{"sh", "-c", "cd /proc/$$; cat oom_score_adj coredump_filter timerslack_ns limits cgroup attr/current 2>&1; nice"},
		{"sh", "-c", "pwd; ls /proc/$$/fd; env | grep -v -e ^POOLRUN_ -e ^_= | sort"},
		{"attributes"},
	}
	for what := range inherited {
		for _, look := range looks {
			bare, err1 := command(t, "changed", append([]string{what}, look...)...).CombinedOutput()
			args := append([]string{what, binaries.poolrun, "--close", "--pool", name, "--"}, look...)
			with, err2 := command(t, "changed", args...).CombinedOutput()
			if err1 != nil && err2 != nil && look[0] == "attributes" {
				continue // built with the race detector, attributes does not run within these limits
			}
			if err1 != nil || err2 != nil {
				t.Errorf("%s, %q: %v %v\n%s%s", what, look, err1, err2, bare, with)
			} else if bare, with := queuedSignals.ReplaceAllString(string(bare), ""), queuedSignals.ReplaceAllString(string(with), ""); bare != with {
				t.Errorf("%s, %q:\n%s", what, look, difference(with, bare))
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
		wantSaid(t, command(t, "changed", what, binaries.poolrun, "--pool", name, "sh", "-c", "exit 7"), 7, "")
	}
}
