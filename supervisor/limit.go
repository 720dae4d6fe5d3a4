package supervisor

import (
	"math"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// A runLimit ends a command that runs for too long, as timeout(1) does: by SIGTERM and SIGCONT, and
// after a while by SIGKILL. Times are those of CLOCK_BOOTTIME, in nanoseconds; 0 stands for never.
type runLimit struct {
	next   int64 // when the next signal is due
	after  time.Duration
	passed bool // SIGTERM was sent
	killed bool // SIGKILL was sent
}

func newRunLimit(most, killAfter time.Duration) (l runLimit) {
	l.after = killAfter
	l.setNext(most)
	return l
}

// setNext makes the next signal due after a while; 0 stands for never.
func (l *runLimit) setNext(after time.Duration) {
	l.next = 0
	if now := bare.BootTime(); after > 0 && int64(after) < math.MaxInt64-now {
		l.next = now + int64(after)
	}
}

// isDue reports whether a signal is due.
func (l *runLimit) isDue() bool { return l.next != 0 && bare.BootTime() >= l.next }

// enforce sends what is due by a function, which signals the whole job.
func (l *runLimit) enforce(signal func(syscall.Signal)) {
	switch {
	case !l.isDue():
	case l.passed:
		l.killed = true
		signal(unix.SIGKILL)
		l.setNext(killInterval) // for what was just being forked
	default:
		l.passed = true
		signal(unix.SIGTERM)
		signal(unix.SIGCONT) // a stopped process acts on SIGTERM only when it continues
		l.setNext(max(l.after, 1))
	}
}

// killInterval is how often SIGKILL is repeated.
const killInterval = 100 * time.Millisecond

// orEarlier returns a time, or the time at which the next signal is due if that is earlier. The zero
// time stands for never.
func (l *runLimit) orEarlier(t time.Time) time.Time {
	if l.next == 0 {
		return t
	}
	due := time.Now().Add(time.Duration(l.next - bare.BootTime()))
	if t.IsZero() || due.Before(t) {
		return due
	}
	return t
}

// signalJob signals the command, and what it has started as far as that is in its process group: what
// timeout(1) reaches by a process group of its own. The group as a whole gets the signal only if the
// command leads it, since otherwise it is this process's too.
func (t tree) signalJob(run *supervision, n syscall.Signal) {
	group := groupOf(run.pid)
	if group != run.pid {
		t.signal(run, n, func(r relative) bool { return r.group == group })
	} else if bare.Errno(bare.Sys(unix.SYS_KILL, uintptr(-group), uintptr(n), 0, 0)) == unix.EPERM {
		run.refused |= setOf(n)
	}
}
