package cli

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// The exit codes of poolrun itself. If a command ran, poolrun exits as the command did.
const (
	exitFailure       = 2   // invalid input, or an IPC resource that is missing, refused, damaged or full
	exitBusy          = 75  // no slot in time: EX_TEMPFAIL of sysexits.h
	exitTimedOut      = 124 // --max-runtime has ended the command: as for timeout(1)
	exitCannotExecute = 126 // as in a shell
	exitNotFound      = 127 // as in a shell
)

// An exit is how poolrun exits: with a code, or by a signal. The zero value means success.
type exit struct {
	code   int
	signal syscall.Signal
}

// A usageError means that the command line is invalid.
type usageError struct{ cause error }

func (u usageError) Error() string { return u.cause.Error() }
func (u usageError) Unwrap() error { return u.cause }

// A busyError means that there was no slot in time, or that a pool or barrier was not ready in
// time.
type busyError struct {
	text    string
	code    int
	isQuiet bool // there is no message
}

func (b busyError) Error() string { return b.text }

// A commandError means that the command cannot be run.
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

// isMissing reports whether the command's file is missing. A missing interpreter is another error,
// although execve(2) returns ENOENT for both.
func (c commandError) isMissing() bool { return c.cause == syscall.ENOENT }

// conclude ends the work of poolrun. If err is nil it returns the exit code of how, and otherwise
// reports the error and returns the error's exit code. It does not return if a signal has ended the
// command or the work, because the same signal then ends this process.
func conclude(how exit, err error) int {
	if interrupted, ok := errors.AsType[supervisor.Interrupted](err); ok {
		how = exit{signal: interrupted.Signal}
	} else if err != nil {
		report(err)
		how = exit{code: codeOf(err)}
	}
	if how.signal != 0 {
		supervisor.ExitBySignal(how.signal)
	}
	return how.code
}

// report writes the message of an error, and a hint if there is one.
func report(err error) {
	// Writing can block, and poolrun has cleaned up, so a signal may end it.
	if signals, err := supervisor.Catch(); err == nil {
		signals.RestoreDefaults()
	}
	for _, text := range textsOf(err) {
		say("%s", text)
	}
	if text := hint(err); text != "" {
		sayHint(text)
	}
}

// problems are several errors, each of which gets a message of its own.
type problems []error

func (p problems) Error() string { return errors.Join(p...).Error() }

// textsOf returns the messages for an error.
func textsOf(err error) (texts []string) {
	if busy, ok := errors.AsType[busyError](err); ok && busy.isQuiet {
		return nil
	}
	if several, ok := errors.AsType[problems](err); ok {
		for _, problem := range several {
			texts = append(texts, textsOf(problem)...)
		}
		return texts
	}
	return []string{err.Error()}
}

func codeOf(err error) int {
	busy, isBusy := errors.AsType[busyError](err)
	command, isCommand := errors.AsType[commandError](err)
	switch {
	case isBusy:
		return busy.code
	case errors.Is(err, pool.ErrInUse):
		return exitBusy
	case isCommand && command.isMissing():
		return exitNotFound
	case isCommand:
		return exitCannotExecute
	}
	return exitFailure
}

// hint returns what to do about an error, if that is certain to help.
func hint(err error) string {
	if errors.As(err, new(usageError)) {
		return `try "poolrun --help"`
	}
	if command, ok := errors.AsType[commandError](err); ok && command.isMissing() && isAssignment(command.name) {
		return "to set a variable for the command, use env(1): poolrun ... -- env " + printable(command.name) + " COMMAND"
	}
	if closed, ok := errors.AsType[closedError](err); ok {
		return fmt.Sprintf("some shells, such as ksh, close it for commands: add %d<&%d to the command", closed.descriptor, closed.descriptor)
	}
	if program, ok := engine.Missing(err); ok {
		return fmt.Sprintf("install the package %s, or put the program beside poolrun", program)
	}
	about, ok := errors.AsType[*pool.Error](err)
	if !ok {
		return ""
	}
	switch about.Kind {
	case pool.ErrNotExist:
		return fmt.Sprintf("create it with %q", "poolrun init "+about.Pool+" --size N")
	case pool.ErrDamaged:
		if errors.As(err, new(beyondRepair)) || engine.IsURL(about.Pool) {
			return fmt.Sprintf("remove it with %q, and create it again", "poolrun destroy --force "+about.Pool)
		}
		return fmt.Sprintf("mend it with %q", "poolrun repair "+about.Pool)
	case pool.ErrInUse:
		return fmt.Sprintf("to remove it as soon as it is empty, use %q", "poolrun destroy --drain "+about.Pool)
	}
	return ""
}

// isAssignment reports whether a shell would read a first word as the assignment of a variable.
func isAssignment(word string) bool {
	name, _, found := strings.Cut(word, "=")
	return found && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == ""
}
