// Package cli is the command line of poolrun. It joins package pool, which knows slots, and package
// supervisor, which knows commands.
//
// Each command has a file of its own. Main, in this file, parses the arguments and runs the
// command; exit.go turns the result into messages and an exit code. The struct tags of the commands
// are the only definition of flags, defaults and help texts. parse.go reads them by kong, and
// quick.go reads those of an ordinary run directly.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/poolrun/poolrun/supervisor"
	"golang.org/x/sys/unix"
)

// commandLine lists the commands.
type commandLine struct {
	Run        runCommand        `cmd:"" help:"Run a command in a slot of a pool. This is the default command: \"poolrun --pool NAME -- COMMAND\"."`
	Init       initCommand       `cmd:"" help:"Create a pool."`
	Destroy    destroyCommand    `cmd:"" help:"Remove a pool."`
	Status     statusCommand     `cmd:"" help:"Show the slots, the holders and the line of a pool."`
	List       listCommand       `cmd:"" help:"List all pools, one per line."`
	Resize     resizeCommand     `cmd:"" help:"Change the number of slots of a pool."`
	Wait       waitCommand       `cmd:"" help:"Wait until nobody holds a slot of a pool, and nobody waits for one."`
	Evict      evictCommand      `cmd:"" help:"Signal the command that holds a slot."`
	Acquire    acquireCommand    `cmd:"" help:"Hold a slot for a shell script, for as long as one of its descriptors is open."`
	Release    releaseCommand    `cmd:"" help:"Return a slot that a shell script holds by a descriptor."`
	Path       pathCommand       `cmd:"" help:"Print the file to open for \"poolrun acquire\"."`
	Repair     repairCommand     `cmd:"" help:"Check a pool, mend what can be mended, and report what was found."`
	Barrier    barrierCommand    `cmd:"" help:"Wait until a number of callers have arrived, and let all of them go on."`
	Completion completionCommand `cmd:"" help:"Print a completion script for a shell."`
	Version    versionCommand    `cmd:"" help:"Show the version."`
}

// A command is one of the commands of poolrun.
type command interface {
	// execute does the command's work, and writes its results to out. If the error is nil, poolrun
	// exits as the exit says. Otherwise the error decides: see conclude.
	execute(out io.Writer) (exit, error)

	// examples are lines for a shell, which --help shows at its end.
	examples() string
}

// Main runs poolrun with these arguments and returns its exit code. It does not return if a signal
// has ended the command, or the wait for a slot: then the same signal ends this process. The
// calling goroutine must be locked to the process's first thread: see supervisor.Run.
func Main(args []string) int {
	var run runCommand
	if from := readEnvironment(); parseQuickly(args, &from, &run) {
		return conclude(run.execute(os.Stdout))
	}
	// The other commands leave nothing to clean up. Those that do catch signals themselves.
	signals, err := supervisor.Catch()
	if err != nil {
		return conclude(exit{}, err)
	}
	signals.ApplyDefaults()
	selected, err := parse(args, new(commandLine))
	if err != nil {
		return conclude(exit{}, usageError{err})
	}
	return conclude(selected.execute(stdout()))
}

// stdout is standard output. If the caller has closed it, the Go runtime has opened /dev/null in its
// place, and a result would be lost without an error.
func stdout() io.Writer {
	if supervisor.WasClosed(1) {
		return closedOutput{}
	}
	return os.Stdout
}

type closedOutput struct{}

func (closedOutput) Write([]byte) (int, error) {
	return 0, fmt.Errorf("cannot write to standard output: %w", unix.EBADF)
}

// waitAtMost calls wait with a context that ends with a deadly signal, or after a timeout. In the
// latter case it returns a busyError with the text. Afterwards signals have their default effects
// again.
func waitAtMost(timeout duration, wait func(context.Context) error, text string) error {
	signals, err := supervisor.Catch()
	if err != nil {
		return err
	}
	ctx, end := signals.Context(timeout.after(time.Now()), nil)
	defer func() { end(); signals.ApplyDefaults() }()
	err = wait(ctx)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return busyError{text: fmt.Sprintf("%s after %v", text, timeout), code: exitBusy}
	}
	return err
}
