package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Every signal that a process can catch reaches the command, once, as it was sent.
func TestEverySignalReachesTheCommandOnce(t *testing.T) {
	name := newPool(t, 1)
	listener := cProgram(t, "siginfo")
	cmd := poolrun(t, "--pool", name, listener.Path)
	next := startLines(t, cmd)
	if line := next(); line != "ready" {
		t.Fatal(line)
	}
	ignored := ignoredHere(t)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTERM:
			continue
		}
		if ignored>>(n-1)&1 != 0 {
			continue
		}
		cmd.Process.Signal(n)
		if line, want := next(), fmt.Sprintf("%d 0 0", n); line != want {
			t.Errorf("sent %d, the command got %q", n, line)
		}
	}
	// Those of real time queue, and carry a value.
	for value := range 3 {
		queueSignal(t, cmd.Process.Pid, 40, value)
	}
	for value := range 3 {
		if line, want := next(), fmt.Sprintf("40 -1 %d", value); line != want {
			t.Errorf("%q instead of %q", line, want)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if line := next(); line != "15 0 0" {
		t.Error(line)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	wantEmpty(t, name)
}

// queueSignal is sigqueue(3).
func queueSignal(t testing.TB, pid int, n syscall.Signal, value int) {
	t.Helper()
	info := struct {
		signal, errno, code, _ int32
		pid, uid               int32
		value                  int
		_                      [12]uint64
	}{signal: int32(n), code: -1, pid: int32(os.Getpid()), uid: int32(os.Getuid()), value: value}
	if _, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(n), uintptr(unsafe.Pointer(&info))); errno != 0 {
		t.Fatal(errno)
	}
}

// The same for poolrun while it waits: it dies of the signals of which any program would.
func TestEveryDeadlySignalEndsTheWait(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	ignored := ignoredHere(t)
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
			syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH:
			continue
		}
		if ignored>>(n-1)&1 != 0 {
			continue
		}
		cmd := poolrun(t, "--pool", name, "true")
		var said strings.Builder
		cmd.Stderr = &said
		mustStart(t, cmd)
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		for _, harmless := range []syscall.Signal{syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH} {
			cmd.Process.Signal(harmless)
		}
		cmd.Process.Signal(n)
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != n || said.Len() > 0 {
			t.Errorf("%v: %v %q", n, cmd.ProcessState, said.String())
		}
		if s := statusOf(t, name); s.Waiting != 0 {
			t.Errorf("%v: still in line", n)
		}
	}
	release()
	wantEmpty(t, name)
}

// ignoredHere returns the set of signals that a program inherits as ignored from these
// tests (with the race detector, the C library's own).
func ignoredHere(t *testing.T) (set uint64) {
	t.Helper()
	out, err := command(t, "sed", "-n", "s/^SigIgn:\\t/0x/p", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	scan(t, string(out), &set)
	return set
}

// A signal that was blocked when poolrun started does not end the wait: the command
// finds it pending. So it finds one that was pending already.
func TestABlockedSignalIsPendingForTheCommand(t *testing.T) {
	listener := cProgram(t, "siginfo")
	for _, what := range []string{"blocked", "pending"} {
		name := newPool(t, 1)
		release := holdSlot(t, name)
		cmd := command(t, "changed", what, binaries.poolrun, "--pool", name, "--", listener.Path)
		next := startLines(t, cmd)
		waitStatus(t, name, "one in line", func(s status) bool { return s.Waiting == 1 })
		code := -6 // SI_TKILL
		if what == "blocked" {
			code = 0
			cmd.Process.Signal(syscall.SIGTERM)
		}
		release()
		for _, want := range []string{"ready", fmt.Sprintf("15 %d 0", code)} {
			if line := next(); line != want {
				t.Errorf("%s: %q instead of %q", what, line, want)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wantEmpty(t, name)
	}
}

// Commands other than run are killed by a signal while they wait for the ledger lock.
func TestOtherCommandsObeySignals(t *testing.T) {
	name := newPool(t, 1)
	lock, err := os.Open(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status", name}, {"resize", name, "2"}, {"repair", name}, {"destroy", name}, {"destroy", name, "--drain"}} {
		for _, n := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGSEGV, 36} {
			cmd := poolrun(t, args...)
			var said strings.Builder
			cmd.Stderr = &said
			mustStart(t, cmd)
			cmd.Process.Signal(n)
			cmd.Wait()
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != n || said.Len() > 0 {
				t.Errorf("%q, %v: %v %q", args, n, cmd.ProcessState, said.String())
			}
		}
	}
}

// What execve(2) hands on, which a child of poolrun's must find as a process that exec'd
// would: the list of execve(2), with fork(2) and prctl(2) for what a child lacks.
//
// Left out is what a process cannot give to another: its pid, CPU times, timers, record
// locks, semaphore adjustments, and its children.
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

// changed WHAT COMMAND...: changes one thing that execve(2) hands on, and then exec's.
func changed() {
	runtime.LockOSThread() // some are a thread's
	if what := os.Args[1]; what == "pending" {
		block(syscall.SIGTERM)
		check(unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.SIGTERM))
	} else {
		inherited[what]()
	}
	path, err := exec.LookPath(os.Args[2])
	check(err)
	check(syscall.Exec(path, os.Args[2:], os.Environ()))
}

// attributes prints what only prctl(2) and the like tell of a process.
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
	// The default that a slack of 0 stands for is inherited too.
	check(unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0))
	value, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println("default slack", value, err)
}

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
				continue // with the race detector, it does not run within these limits at all
			}
			if err1 != nil || err2 != nil {
				t.Errorf("%s, %q: %v %v\n%s%s", what, look, err1, err2, bare, with)
			} else if string(bare) != string(with) {
				t.Errorf("%s, %q:\n%s", what, look, difference(string(with), string(bare)))
			}
		}
	}
	wantEmpty(t, name)
}

// With SIGCHLD ignored, wait(2) gives no status; poolrun has one all the same.
func TestAnIgnoredSIGCHLDLosesNoStatus(t *testing.T) {
	name := newPool(t, 1)
	for _, what := range []string{"ignored", "blocked"} {
		if code := exitCode(t, command(t, "changed", what, binaries.poolrun, "--pool", name, "sh", "-c", "exit 7")); code != 7 {
			t.Errorf("SIGCHLD %s: exit code %d", what, code)
		}
	}
}

// As process 1 of a pid namespace, poolrun waits for orphans.
func TestOrphansAreWaitedFor(t *testing.T) {
	name := newPool(t, 1)
	cmd := inside(t, poolrun(t, "--pool", name, "--", "sh", "-c", "(sh -c 'exit 0' & sh -c 'exit 0' &); echo ready; read line"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next := startLines(t, cmd)
	next()
	eventually(t, "no child but the command", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		return len(strings.Fields(string(children))) == 1
	})
	stdin.Close()
	cmd.Wait()
	wantEmpty(t, name)
}

// asRoot COMMAND...: takes all ids of root, being set-uid, and then exec's.
func asRoot() {
	check(syscall.Setresuid(0, 0, 0))
	path, err := exec.LookPath(os.Args[1])
	check(err)
	check(syscall.Exec(path, os.Args[1:], os.Environ()))
}

func TestASignalThatCannotBePassedOnIsTold(t *testing.T) {
	name := freeName(t)
	wantSaid(t, asNobody(t, poolrun(t, "init", name, "--size", "1")), 0, "")
	program, err := os.Executable()
	check(err)
	text, err := os.ReadFile(program)
	check(err)
	setuid := filepath.Join(binaries.dir, "as-root")
	check(os.WriteFile(setuid, text, 0o755))
	check(os.Chmod(setuid, 0o755|os.ModeSetuid))
	cmd := asNobody(t, poolrun(t, "--pool", name, "--", setuid, "cat"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	check(err)
	cmd.Stderr = write
	mustStart(t, cmd)
	write.Close()
	defer read.Close()
	s := waitStatus(t, name, "a command", func(s status) bool { return s.InUse == 1 && s.Holders[0].CommandPID != 0 })
	pid := s.Holders[0].CommandPID
	eventually(t, "it is root's", func() bool {
		return strings.Contains(readFile(t, fmt.Sprintf("/proc/%d/comm", pid)), "cat")
	})
	for range 2 { // told once
		cmd.Process.Signal(syscall.SIGTERM)
	}
	cmd.Process.Signal(syscall.Signal(37))
	stdin.Close()
	cmd.Wait()
	said := make([]byte, 4096)
	n, _ := read.Read(said)
	text1 := fmt.Sprintf("poolrun: cannot pass SIGTERM on to the command (pid %d): operation not permitted\n", pid)
	text2 := fmt.Sprintf("poolrun: cannot pass SIGRTMIN+3 on to the command (pid %d): operation not permitted\n", pid)
	if got := string(said[:n]); got != text1+text2 {
		t.Errorf("%q", got)
	}
}

// Nothing that can block stands between the end of a command and the release.
func TestAStderrThatNobodyReadsKeepsNoSlot(t *testing.T) {
	for _, what := range []string{"a pipe", "a terminal"} {
		name := newPool(t, 1)
		cmd := poolrun(t, "--pool", name, "--verbose", "--", "cat")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if what == "a pipe" {
			_, cmd.Stderr = fullPipe(t)
		} else {
			_, cmd.Stderr = stoppedTerminal(t)
		}
		mustStart(t, cmd)
		waitStatus(t, name, "a command", func(s status) bool { return s.InUse == 1 && s.Holders[0].CommandPID != 0 })
		stdin.Close()
		waitStatus(t, name, "the slot free: "+what, func(s status) bool { return s.InUse == 0 })
		cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: SIGTERM does not end poolrun", what)
		}
		if code := shellCode(cmd); code != 128+15 {
			t.Errorf("%s: exit code %d", what, code)
		}
		wantEmpty(t, name)
	}
}

// fullPipe returns a pipe to which no more can be written.
func fullPipe(t testing.TB) (read, write *os.File) {
	t.Helper()
	var fds [2]int
	check(unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	for _, size := range []int{4096, 1} {
		for {
			if _, err := unix.Write(fds[1], make([]byte, size)); err != nil {
				break
			}
		}
	}
	check(unix.SetNonblock(fds[1], false))
	read, write = os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}
