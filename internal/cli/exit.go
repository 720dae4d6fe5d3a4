package cli

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// The exit codes of poolrun itself. A command that ran passes its own on.
const (
	exitFailure       = 2   // invalid input, or an IPC resource missing, refused, damaged or full
	exitBusy          = 75  // EX_TEMPFAIL of sysexits.h: no slot in time
	exitCannotExecute = 126 // as in a shell
	exitNotFound      = 127
)

// A UsageError is a command line that means nothing.
type UsageError struct{ Cause error }

func (u UsageError) Error() string { return u.Cause.Error() }
func (u UsageError) Unwrap() error { return u.Cause }

// An ended is how a command that ran has ended.
type ended struct{ supervisor.Status }

func (e ended) Error() string { return fmt.Sprintf("exit status %d", e.ExitCode()) }

// A busyError is that there was no slot in time, or that a pool was in use for
// too long.
type busyError struct {
	text string
	code int
}

func (b busyError) Error() string { return b.text }

// A commandError is a command that cannot be run.
type commandError struct {
	name  string
	cause error
}

func (c commandError) Error() string {
	if c.isMissing() {
		return fmt.Sprintf("%s: command not found", printable(c.name))
	}
	return fmt.Sprintf("%s: cannot execute: %s", printable(c.name), c.cause)
}

// isMissing reports whether the command itself is what was not found: not, say, the
// interpreter that it names.
func (c commandError) isMissing() bool { return c.cause == syscall.ENOENT }

// Conclude says what there is to say of an error, and returns the exit code, or
// ends the process by the signal that ended its work.
func Conclude(err error) int {
	var (
		end         ended
		interrupted supervisor.Interrupted
		command     commandError
		busy        busyError
	)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &end):
		if n, ok := end.Signal(); ok {
			supervisor.ExitBySignal(n)
		}
		return end.ExitCode()
	case errors.As(err, &interrupted):
		supervisor.ExitBySignal(interrupted.Signal)
	}
	// The message may block, and all is in order.
	if signals, err := supervisor.Catch(); err == nil {
		signals.RestoreDefaults()
	}
	if err.Error() != "" {
		say("%s", err)
	}
	if text := hint(err); text != "" {
		sayHint(text)
	}
	switch {
	case errors.As(err, &busy):
		return busy.code
	case errors.Is(err, pool.ErrInUse):
		return exitBusy
	case errors.As(err, &command):
		if command.isMissing() {
			return exitNotFound
		}
		return exitCannotExecute
	}
	return exitFailure
}

// hint tells how to get on after an error, where that is sure to help.
func hint(err error) string {
	var (
		usage   UsageError
		command commandError
		about   *pool.Error
	)
	if errors.As(err, &usage) {
		return `try "poolrun --help"`
	}
	if errors.As(err, &command) && command.isMissing() && isAssignment(command.name) {
		return "to set a variable for the command, use env(1): poolrun ... -- env " + printable(command.name) + " COMMAND"
	}
	if !errors.As(err, &about) {
		return ""
	}
	switch about.Kind {
	case pool.ErrNotExist:
		return fmt.Sprintf("create it with %q", "poolrun init "+about.Pool+" --size N")
	case pool.ErrDamaged:
		if errors.As(err, new(beyondRepair)) {
			return fmt.Sprintf("remove it with %q, and create it again", "poolrun destroy --force "+about.Pool)
		}
		return fmt.Sprintf("mend it with %q", "poolrun repair "+about.Pool)
	case pool.ErrInUse:
		return "wait for it with --drain, or remove it all the same with --force"
	}
	return ""
}

// isAssignment reports whether a shell would take a first word for the assignment of
// a variable.
func isAssignment(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == ""
}
