package pool

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"golang.org/x/sys/unix"
)

// ticks is the present moment in the unit and by the clock of [bare.Process].Start
// (fs/proc/array.c). So two such numbers can be compared only if they were taken in the same time
// namespace.
func ticks() uint64 { return uint64(bare.BootTime()) / tick }

// tick is 1/USER_HZ in nanoseconds. USER_HZ is 100 on all of Go's architectures.
const tick = 1e9 / 100

// Whether a process lives is asked of the kernel, by pid. Every answer follows one rule: absence of
// evidence is not evidence of death. A slot that is kept for too long is a nuisance; a slot that is
// given to two holders is a broken promise. And a number that counts in one namespace is compared
// only with numbers of that namespace.

// commandMayRun reports whether the command of a participant may be running, as far as its pid
// tells. False means that it has certainly ended, or never existed.
func (p *Pool) commandMayRun(rec *ledger.Participant) bool {
	pid := rec.CommandPID.Load()
	if rec.State.Load() != ledger.StateHeld || pid <= 0 {
		return false
	}
	seen := rec.CommandSeen.Load()
	if rec.TimeNamespace.Load() != p.self.timeNamespace {
		seen = 0
	}
	if rec.PIDNamespace.Load() != p.self.pidNamespace {
		if found, certain := p.self.findElsewhere(pid, rec.PIDNamespace.Load(), seen); certain {
			return found
		}
		// A guard that no process has open is evidence, and the best that there is here.
		return rec.Guarded.Load() == 0
	}
	return mayRun(pid, seen)
}

// mayRun reports whether the process that had this pid at a moment (0: unknown) may still exist. It
// is gone if hasEnded says so, or if the process with that pid started later.
func mayRun(pid int32, seen uint64) bool {
	if hasEnded(pid) {
		return false
	}
	if seen == 0 || !procIsOwn() {
		return true
	}
	var path bare.StatPath
	process, ok := bare.ReadProcess(path.Of(pid))
	return !ok || process.Start <= seen
}

// hasEnded reports whether no process of this pid namespace has that pid, or all threads of that
// process have ended. (It is a zombie then, and more than its main thread is.) It is bare Go.
func hasEnded(pid int32) bool {
	fd := bare.Sys(unix.SYS_PIDFD_OPEN, uintptr(pid), 0, 0, 0)
	if fd < 0 { // ESRCH; too many open files; a filter of system calls; a kernel before 5.3
		return fd == -int(unix.ESRCH) || bare.Sys(unix.SYS_KILL, uintptr(pid), 0, 0, 0) == -int(unix.ESRCH)
	}
	// pidfd_open(2): readable when the last thread has ended.
	fds := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	var now unix.Timespec
	n := bare.Sys(unix.SYS_PPOLL, bare.Pointer(&fds), 1, bare.Pointer(&now), 0)
	bare.Sys(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0)
	return n > 0 && fds.Revents&unix.POLLIN != 0
}

// The inode of the initial pid namespace (PID_NS_INIT_INO, linux/nsfs.h).
const initialPidNamespace = 0xEFFFFFFC

// findElsewhere reports whether the process that had this pid in another namespace at a moment (0: unknown)
// may be running. The number of a namespace that has ended can be that of a later one. It
// is certain only in the initial namespace, which shows the processes of all others with their
// numbers there (NSpid in proc_pid_status(5)), and only if /proc shows all processes and each can be
// read.
func (own identity) findElsewhere(pid int32, namespace uint32, seen uint64) (found, certain bool) {
	if own.pidNamespace != initialPidNamespace || !procIsOwn() {
		return false, false
	}
	if _, err := nsPids("1"); err != nil { // hidepid
		return false, false
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, false
	}
	want := strconv.Itoa(int(pid))
	certain = true
	for _, entry := range entries {
		here, err := strconv.ParseInt(entry.Name(), 10, 32)
		if err != nil {
			continue
		}
		pids, err := nsPids(entry.Name())
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH): // it has ended
		case err != nil:
			certain = false
		case len(pids) > 1 && pids[len(pids)-1] == want && mayBeIn(namespace, entry.Name()) && mayRun(int32(here), seen):
			return true, true
		}
	}
	return false, certain
}

// mayBeIn reports whether a process in /proc may be in a pid namespace. The namespaces of other users'
// processes cannot be seen.
func mayBeIn(namespace uint32, process string) bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+process+"/ns/pid", &st)
	return err != nil || uint32(st.Ino) == namespace
}

// procIsOwn reports whether the pids in /proc are those of this process's own namespace. A mount
// can show another namespace's. Then NSpid in proc_pid_status(5) lists this process by more than
// one number, or by another.
func procIsOwn() bool {
	pids, err := nsPids("self")
	return err == nil && len(pids) == 1 && pids[0] == strconv.Itoa(os.Getpid())
}

// nsPids lists the numbers of a process in /proc, at least one, from the namespace of that mount
// inwards.
func nsPids(process string) ([]string, error) {
	path := "/proc/" + process + "/status"
	text, err := readProc(path)
	if err != nil {
		return nil, err
	}
	_, after, _ := strings.Cut(string(text), "\nNSpid:")
	line, _, _ := strings.Cut(after, "\n")
	pids := strings.Fields(line)
	if len(pids) == 0 {
		return nil, errors.New("cannot parse " + path)
	}
	return pids, nil
}

// readProc reads a file of /proc that is a single record, however long (a status lists all groups):
// there a short read is the end (fs/seq_file.c). Package os would set up its poller for it.
func readProc(path string) (text []byte, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for len(text) == cap(text) {
		text = slices.Grow(text, max(4096, len(text)))
		n, err := unix.Read(fd, text[len(text):cap(text)])
		if err != nil {
			return nil, err
		}
		text = text[:len(text)+n]
	}
	return text, nil
}

// isStopped reports whether every thread of a participant's process is stopped, by a signal or a
// tracer, as far as this process can tell. isRunnable reports whether a thread is running or about
// to.
func (p *Pool) isStopped(rec *ledger.Participant) bool {
	states := p.threadStates(rec)
	return len(states) > 0 && len(bytes.Trim(states, "Tt")) == 0
}

func (p *Pool) isRunnable(rec *ledger.Participant) bool {
	return bytes.ContainsRune(p.threadStates(rec), 'R')
}

// threadStates lists the states of the threads of a participant's process, as in proc_pid_stat(5),
// or nothing if it cannot be looked at.
func (p *Pool) threadStates(rec *ledger.Participant) (states []byte) {
	if rec.PIDNamespace.Load() != p.self.pidNamespace || !procIsOwn() {
		return nil
	}
	dir := "/proc/" + strconv.Itoa(int(rec.PID.Load())) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		if thread, ok := bare.ReadProcess(bare.C(dir + "/" + task.Name() + "/stat\x00")); ok {
			states = append(states, thread.State)
		}
	}
	return states
}
