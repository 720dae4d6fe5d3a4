package supervisor

import "sync/atomic"

// A Deadline ends a command at a moment that can be moved while the command runs. Unlike a run-time
// limit it does not continue this process if that is stopped together with the command.
//
// The zero value is no deadline yet. All methods may be called at any time, from any goroutine.
type Deadline struct {
	terminate, kill atomic.Int64
}

// Move sets when the command gets SIGTERM, and when SIGKILL, as far as it has not got them yet. Times
// are those of CLOCK_BOOTTIME, in nanoseconds; 0 stands for never.
func (d *Deadline) Move(terminate, kill int64) {
	d.terminate.Store(terminate)
	d.kill.Store(kill)
	new(queue).put(siginfo{}) // Run looks again
}

// limit brings a limit up to date with the deadline, which may be nil.
func (d *Deadline) limit(l *runLimit) {
	switch {
	case d == nil || l.killed:
	case l.passed:
		l.next = d.kill.Load()
	default:
		l.next = d.terminate.Load()
	}
}
