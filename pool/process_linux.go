package pool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An identity says which process a participant is.
type identity struct {
	pid           int32
	pidNamespace  uint32 // inodes: numbers count in their own namespace only
	timeNamespace uint32
	uid           uint32
	bootOffset    int64 // of CLOCK_BOOTTIME here from the machine's: see now
}

func whoAmI() (who identity, err error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return who, fmt.Errorf("/proc is needed: %w", err)
	}
	who = identity{pid: int32(os.Getpid()), pidNamespace: uint32(st.Ino), uid: uint32(os.Getuid())}
	who.timeNamespace, who.bootOffset, err = timeNamespace()
	return who, err
}

// Whether a process lives is asked of the kernel, by pid. The rule for every
// answer: absence of evidence is not evidence of death. A slot that is kept for too
// long is a nuisance, one that is handed out twice is a broken promise. And a number
// that counts in one namespace is compared with numbers of that namespace only.

// commandRuns reports whether the command of a participant may still run, as far as
// its pid tells: false means that it has certainly ended, or never was.
func (p *Pool) commandRuns(r ref) bool {
	rec := p.ledger.at(r)
	pid := rec.commandPID.Load()
	if rec.state.Load() != held || pid <= 0 {
		return false
	}
	if rec.pidNamespace.Load() != p.self.pidNamespace {
		if found, certain := p.self.findElsewhere(pid); certain {
			return found
		}
		// A guard that nobody has open is evidence, the best that there is from here.
		return rec.guarded.Load() == 0
	}
	seen := rec.commandSeen.Load()
	if rec.timeNamespace.Load() != p.self.timeNamespace {
		seen = 0
	}
	return mayRun(pid, seen)
}

// mayRun reports whether the process that had this pid at a moment (0: one that
// nobody knows) may still be there. It is gone if there is no process of that pid, or
// one of which all threads have ended (a zombie, but not one whose main thread has
// ended before the others), or one that has started since.
func mayRun(pid int32, seen uint64) bool {
	fd, err := unix.PidfdOpen(int(pid), 0)
	switch err {
	case nil:
		// pidfd_open(2): readable when the last thread has ended.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		unix.Close(fd)
		if err == nil && n > 0 && fds[0].Revents&unix.POLLIN != 0 {
			return false
		}
	case unix.ESRCH:
		return false
	default: // too many open files; a filter of system calls; a kernel before 5.3
		if unix.Kill(int(pid), 0) == unix.ESRCH {
			return false
		}
	}
	if seen == 0 || !procIsOurs() {
		return true
	}
	stat, err := readStat(statPath(pid))
	return err != nil || stat.start <= seen
}

// The inode of the initial pid namespace (PID_NS_INIT_INO, linux/nsfs.h).
const initialPidNamespace = 0xEFFFFFFC

// findElsewhere reports whether a process that has this pid in a namespace other than the
// caller's may run. It is certain only in the initial namespace, which shows the
// processes of all others, with their numbers there (NSpid in proc_pid_status(5)); and
// only where /proc shows all of it, not with hidepid, and every process can be read.
func (who identity) findElsewhere(pid int32) (found, certain bool) {
	if who.pidNamespace != initialPidNamespace || !procIsOurs() {
		return false, false
	}
	if _, err := nsPids("1"); err != nil {
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
		case slices.Contains(pids[1:], want) && mayRun(int32(here), 0):
			return true, true
		}
	}
	return false, certain
}

// isOpenIn reports whether a process has the ledger open as this descriptor: false also
// where this process may not look (proc_pid_fd(5)).
func (p *Pool) isOpenIn(pid int32, fd int) bool {
	var st unix.Stat_t
	err := unix.Stat("/proc/"+strconv.Itoa(int(pid))+"/fd/"+strconv.Itoa(fd), &st)
	return err == nil && st.Dev == p.object.Device && st.Ino == p.object.Inode
}

// procIsOurs reports whether the pids in /proc are those of this process's own
// namespace. A mount can show another's: then NSpid in proc_pid_status(5) lists this
// process by more than one number, or by another.
func procIsOurs() bool {
	pids, err := nsPids("self")
	return err == nil && len(pids) == 1 && pids[0] == strconv.Itoa(os.Getpid())
}

// nsPids lists the numbers of a process of /proc, at least one, from the namespace of
// that mount inwards.
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
		return nil, errors.New("cannot read " + path)
	}
	return pids, nil
}

// A procStat is what poolrun needs of /proc/PID/stat, proc_pid_stat(5).
type procStat struct {
	state  byte   // field 3
	parent int32  // field 4
	start  uint64 // field 22: see ticks
}

// readStat reads a stat file of /proc.
func readStat(path string) (procStat, error) {
	text, err := readProc(path)
	if err != nil {
		return procStat{}, err
	}
	// Field 2, the command's name in parentheses, may hold any byte.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return procStat{}, errors.New("cannot read " + path)
	}
	parent, err1 := strconv.ParseInt(string(fields[4-3]), 10, 32)
	start, err2 := strconv.ParseUint(string(fields[22-3]), 10, 64)
	return procStat{fields[0][0], int32(parent), start}, errors.Join(err1, err2)
}

// readProc reads a file of /proc that is a single record, whatever its length (a status
// lists all groups): there a short read is the end (fs/seq_file.c). Not through package
// os, which would set up its poller for it.
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

func statPath(pid int32) string { return "/proc/" + strconv.Itoa(int(pid)) + "/stat" }

// isStopped reports whether every thread of a participant's process is stopped, by a
// signal or a tracer, as far as this process can tell. isRunnable reports whether one
// is running or about to.
func (p *Pool) isStopped(r ref) bool {
	states := p.threadStates(r)
	return len(states) > 0 && len(bytes.Trim(states, "Tt")) == 0
}

func (p *Pool) isRunnable(r ref) bool { return bytes.ContainsRune(p.threadStates(r), 'R') }

// threadStates lists the states of the threads of a participant's process, as in
// proc_pid_stat(5); none if it cannot be looked at.
func (p *Pool) threadStates(r ref) (states []byte) {
	rec := p.ledger.at(r)
	if rec.pidNamespace.Load() != p.self.pidNamespace || !procIsOurs() {
		return nil
	}
	dir := "/proc/" + strconv.Itoa(int(rec.pid.Load())) + "/task"
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, task := range tasks {
		if stat, err := readStat(dir + "/" + task.Name() + "/stat"); err == nil {
			states = append(states, stat.state)
		}
	}
	return states
}
