package supervisor

import "syscall"

// A Status describes how a command ended, as wait(2) reports it.
type Status struct {
	wait     syscall.WaitStatus
	timedOut bool
	expired  bool
}

// statusUnknown stands for a status that was lost: an exit status of 2.
const statusUnknown syscall.WaitStatus = exitFailure << 8

// TimedOut reports whether the command got a signal because its MaxRuntime was over.
func (s Status) TimedOut() bool { return s.timedOut }

// Expired reports whether the command got a signal because its Deadline had come.
func (s Status) Expired() bool { return s.expired }

// Signal returns the signal that ended the command, and whether a signal did.
func (s Status) Signal() (n syscall.Signal, ok bool) {
	if !s.wait.Signaled() {
		return 0, false
	}
	return s.wait.Signal(), true
}

// ExitCode returns the command's exit status, or 128 + n if signal n ended the command: what a
// shell shows in $?.
func (s Status) ExitCode() int {
	if n, ok := s.Signal(); ok {
		return 128 + int(n)
	}
	return s.wait.ExitStatus()
}
