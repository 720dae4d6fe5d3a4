package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/engine"
	"golang.org/x/sys/unix"
)

// A process is one that a pidfd stands for, which never means another process (pidfd_open(2)).
type process struct {
	pid      int
	fd       int // -1: it has ended before it was opened
	identity string
}

func endedProcess(pid int) *process { return &process{pid: pid, fd: -1} }

func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot watch process %d: %w", pid, err)
	}
	p := &process{pid: pid, fd: fd}
	p.identity = p.identify(p.stat())
	return p, nil
}

// identify returns what tells the process from every other one, on any machine: the boot, the pid namespace, the pid and
// when the process was started. A host's name and a pid would not: both are the same again in a container that is
// started anew. It is "" if that cannot be read, and without the last part if the process is hidden: hidepid in proc(5).
func (p *process) identify(fields []string) string {
	if pidSpace() == "" {
		return ""
	}
	identity := fmt.Sprintf("%s/%d/", pidSpace(), p.pid)
	if len(fields) > startField {
		identity += fields[startField]
	}
	return identity
}

// pidSpace is what a pid is unique in, at any moment: the boot and the pid namespace.
var pidSpace = sync.OnceValue(func() string {
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	namespace, err2 := os.Readlink("/proc/self/ns/pid")
	if errors.Join(err1, err2) != nil {
		return ""
	}
	return string(bytes.TrimSpace(boot)) + "/" + namespace
})

// signal sends a signal. A process that has ended gets none, and that is ESRCH.
func (p *process) signal(n syscall.Signal) error {
	if p.fd < 0 {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(p.fd, n, nil, 0)
}

// wait blocks until the process has ended.
func (p *process) wait() {
	for p.fd >= 0 {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, -1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// hasEnded reports whether the process has ended. Its parent need not know that yet.
func (p *process) hasEnded() bool {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 0)
	return n > 0 || p.fd < 0
}

// close closes the pidfd.
func (p *process) close() { unix.Close(p.fd) }

// stat returns the fields of /proc/PID/stat from the third on, in proc_pid_stat(5): state, parent.
func (p *process) stat() []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}

// isStopped reports whether the process is stopped, by a signal or by a tracer.
func (p *process) isStopped() bool {
	fields := p.stat()
	return p.fd >= 0 && len(fields) > stateField && (fields[stateField] == "T" || fields[stateField] == "t")
}

// isChildOf reports whether the process is a child of another one.
func (p *process) isChildOf(parent int) bool {
	fields := p.stat()
	return len(fields) > parentField && fields[parentField] == strconv.Itoa(parent)
}

// guardEnds blocks until no process has the write end of the guard open.
func guardEnds() {
	var buffer [512]byte
	for {
		n, err := unix.Read(engine.GuardFD, buffer[:])
		if n == 0 && err == nil || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// guardians are the processes that have the guard open, as far as this user may see that.
func guardians() (list []*process) {
	var info unix.Stat_t
	if unix.Fstat(engine.GuardFD, &info) != nil {
		return nil
	}
	want := fmt.Sprintf("pipe:[%d]", info.Ino)
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		if target, err := os.Readlink(file); err != nil || target != want {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil || pid == os.Getpid() || len(list) > 0 && list[len(list)-1].pid == pid {
			continue
		}
		if p, err := openProcess(pid); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// mapPage maps the page that has the command's pid.
func mapPage() ([]byte, error) {
	return unix.Mmap(engine.PageFD, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
}

// An alarm goes off at a time of CLOCK_BOOTTIME. Unlike the timers of package time, it counts the time for
// which the machine is suspended.
type alarm struct {
	file *os.File
	C    chan struct{}
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	a := &alarm{os.NewFile(uintptr(fd), "alarm"), make(chan struct{}, 1)}
	go func() {
		var count [8]byte
		for {
			if _, err := a.file.Read(count[:]); err != nil {
				return
			}
			select {
			case a.C <- struct{}{}:
			default:
			}
		}
	}()
	return a, nil
}

// set sets when the alarm goes off: a time of engine.Now. A time that has passed is now.
func (a *alarm) set(at int64) {
	raw, err := a.file.SyscallConn()
	if err != nil {
		return
	}
	at = max(at, int64(time.Nanosecond))
	raw.Control(func(fd uintptr) {
		unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: unix.NsecToTimespec(at)}, nil)
	})
}

func (a *alarm) close() { a.file.Close() }
