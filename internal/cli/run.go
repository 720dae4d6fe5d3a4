package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

type runCommand struct {
	Pool         poolName `short:"p" required:"" env:"POOLRUN_POOL" placeholder:"NAME" help:"Use this pool, like /db."`
	Timeout      duration `short:"w" env:"POOLRUN_TIMEOUT" placeholder:"DUR" help:"Wait at most DUR for a slot, like 5s, 1m30s or 2.5 (default: wait for ever)."`
	Nonblock     bool     `short:"n" help:"Do not wait: the same as --timeout 0."`
	BusyExitCode busyCode `short:"E" default:"75" env:"POOLRUN_BUSY_EXIT_CODE" placeholder:"N" help:"Exit with code N if there is no slot in time (default: 75)."`
	Size         poolSize `short:"s" env:"POOLRUN_SIZE" placeholder:"SIZE" help:"Create the pool with this size if it does not exist."`
	Weight       weight   `short:"k" default:"1" placeholder:"N" help:"Take N slots at once, all or none (default: 1)."`
	Priority     priority `default:"0" placeholder:"N" help:"Wait with priority N, -20 to 19 as for nice(1): lower goes first, equals in order of arrival (default: 0)."`
	Close        bool     `short:"o" help:"Do not let the command inherit the descriptor that keeps its slot if poolrun is killed."`
	NoFork       bool     `short:"F" help:"Become the command instead of waiting for it: the slot is free when the command has ended."`
	Verbose      bool     `short:"v" help:"Report what poolrun waits for, how long it waited, and how long the command ran."`
	Quiet        bool     `short:"q" help:"Print only errors, and nothing if there is no slot in time."`

	Command []string `arg:"" optional:"" passthrough:"partial" help:"The command to run, and its arguments."`
}

// execute has two regimes: see package supervisor. Until the command exists, every failure is
// final, and execute returns it after it has returned the slot.
func (c *runCommand) execute(io.Writer) (how exit, err error) {
	if len(c.Command) > 0 && c.Command[0] == "--" { // kong keeps it
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return exit{}, usageError{errors.New("no command to run")}
	}
	if c.NoFork && c.Close {
		return exit{}, usageError{errors.New("--no-fork needs the descriptor that --close keeps from the command")}
	}
	signals, err := supervisor.Catch()
	if err != nil {
		return exit{}, err
	}
	signals.Hold()
	messages.deferWrites()
	defer func() {
		// After a signal poolrun ends at once, even if its messages are not written yet.
		if !errors.As(err, new(supervisor.Interrupted)) {
			messages.flush(signals.RestoreDefaults)
		}
	}()
	path, err := supervisor.LookPath(c.Command[0])
	if err != nil {
		return exit{}, commandError{c.Command[0], err}
	}
	command := supervisor.Command{Path: path, Args: c.Command, Env: supervisor.Environ()}
	if p, lease := adopt(); lease != nil {
		return c.startInSlot(signals, p, lease, command)
	}
	p, err := c.open()
	if err != nil {
		return exit{}, err
	}
	if outer, slots, items := heldByAncestor(p); slots != nil {
		c.talk("poolrun runs in a slot of %s already, and needs no other", p.Name())
		command.Env = withDescription(command.Env, outer, slots, items)
		return c.start(signals, command)
	}

	lease, err := c.acquire(signals, p)
	if err != nil {
		return exit{}, err
	}
	way := ""
	if why := whyRuntime; why != "" {
		if !supervisor.HasEntryPoint() {
			why = "poolrun was built without its entry point"
		}
		way = " (with the Go runtime, because " + why + ")"
	}
	c.talk("got slot %s after %v%s", joinInts(lease.Slots()), lease.Waited().Round(time.Millisecond), way)
	return c.startInSlot(signals, p, lease, command)
}

// startInSlot runs the command in the slots of a lease, and releases them. With --no-fork it becomes
// the command: the kernel releases the claim at the exec, so the record names this process as the
// command, which holds the guard.
func (c *runCommand) startInSlot(signals *supervisor.Signals, p *pool.Pool, lease *pool.Lease, command supervisor.Command) (how exit, err error) {
	defer c.release(p, lease)
	if !c.Close {
		guard, err := lease.Guard()
		if err != nil {
			return exit{}, err
		}
		command.Inherit = []int{guard}
	}
	command.Env = withDescription(command.Env, lease.ID(), lease.Slots(), lease.Items())
	if c.NoFork {
		err = lease.SetCommandPID(os.Getpid())
	} else {
		command.PID, err = lease.CommandPID()
		command.Poll = c.checkGuard(lease)
	}
	if err != nil {
		return exit{}, err
	}
	return c.start(signals, command)
}

// start runs the command to its end, or becomes the command.
func (c *runCommand) start(signals *supervisor.Signals, command supervisor.Command) (exit, error) {
	if !c.NoFork {
		return c.supervise(signals, command)
	}
	messages.settle()
	return exit{}, c.startError(signals.Become(command))
}

// checkGuard returns a function that notes the command's pid in the lease at its first call, and
// later checks that the command keeps the guard. Most commands that close the descriptors which
// they inherit do so when they start. So the checks begin early, and become rarer.
func (c *runCommand) checkGuard(lease *pool.Lease) func(pid int) time.Duration {
	var check guardCheck
	return func(pid int) time.Duration {
		open := true
		if check.interval == 0 {
			if err := lease.SetCommandPID(pid); err != nil {
				c.warn("cannot note the command's pid: %s", err)
				open = false
			}
		} else if isOpen, err := lease.CheckGuard(); !isOpen || err != nil {
			open = false
		}
		check.next(open)
		return check.interval
	}
}

// A guardCheck says after how long the guard is checked next; 0 stands for never.
type guardCheck struct{ interval time.Duration }

// next sets the interval after a check, which has found the guard open or not. It is bare Go.
func (g *guardCheck) next(open bool) {
	const shortest, longest = 100 * time.Millisecond, 10 * time.Second
	if g.interval = min(max(shortest, 2*g.interval), longest); !open {
		g.interval = 0
	}
}

// open opens the pool. With --size it creates the pool first if necessary.
func (c *runCommand) open() (*pool.Pool, error) {
	name := c.Pool.String()
	for {
		p, err := pool.Open(name)
		if c.Size == 0 {
			return p, err
		}
		if err == nil {
			if size, err := p.Size(); err == nil && size != int(c.Size) {
				c.warn("pool %s has size %d, not %d", name, size, c.Size)
			}
			return p, nil
		}
		if !errors.Is(err, pool.ErrNotExist) {
			return nil, err
		}
		// Another process may create or destroy the pool at the same time.
		if err := pool.Create(name, pool.Config{Size: int(c.Size)}); err != nil && !errors.Is(err, pool.ErrExist) {
			return nil, err
		}
	}
}

// acquire acquires the slots. A deadly signal ends the wait. A signal that stops poolrun does not
// cost it its place in line.
func (c *runCommand) acquire(signals *supervisor.Signals, p *pool.Pool) (*pool.Lease, error) {
	if c.Timeout == (duration{isGiven: true}) {
		c.Nonblock, c.Timeout = true, duration{}
	}
	ctx, end := signals.Context(c.Timeout.after(time.Now()), p.Suspend)
	defer end()
	lease, err := c.acquireUntil(ctx, p)
	if interrupted, ok := errors.AsType[supervisor.Interrupted](context.Cause(ctx)); ok {
		if lease != nil { // acquired just as the signal arrived
			c.release(p, lease)
		}
		return nil, interrupted
	}
	return lease, err
}

func (c *runCommand) acquireUntil(ctx context.Context, p *pool.Pool) (*pool.Lease, error) {
	options := []pool.Option{
		pool.WithCommand(strings.Join(c.Command, " ")),
		pool.WithWeight(int(c.Weight)),
		pool.WithPriority(int(c.Priority)),
	}
	if c.Nonblock {
		ctx.Done() // take signals: the process that has the ledger lock may be stopped
		lease, err := p.TryAcquire(options...)
		if errors.Is(err, pool.ErrBusy) {
			err = c.busy(err.Error())
		}
		return lease, err
	}
	if c.Verbose {
		progress, stop := context.WithCancel(ctx)
		defer stop()
		options = append(options, pool.OnWait(func() { go c.reportWait(progress, p) }))
	}
	lease, err := p.Acquire(ctx, options...)
	if errors.Is(err, context.DeadlineExceeded) {
		err = c.busy(fmt.Sprintf("no free slot in pool %s within %v", p.Name(), c.Timeout.length))
	}
	return lease, err
}

func (c *runCommand) busy(text string) error {
	if c.Quiet {
		text = ""
	}
	return busyError{text, int(c.BusyExitCode)}
}

// supervise runs the command to its end.
func (c *runCommand) supervise(signals *supervisor.Signals, command supervisor.Command) (exit, error) {
	began := time.Now()
	command.OnRefused = func(n syscall.Signal, pid int, err error) {
		say("cannot pass %s on to the command (pid %d): %s", supervisor.SignalName(n), pid, err)
	}
	status, err := signals.Run(command)
	if err != nil {
		return exit{}, c.startError(err)
	}
	var buffer [32]byte
	text := bare.In(buffer[:])
	addDuration(&text, time.Since(began))
	c.talk("the command ran for %s", text.String())
	n, _ := status.Signal()
	return exit{status.ExitCode(), n}, nil
}

// startError is the error for a command that has not run.
func (c *runCommand) startError(err error) error {
	if errors.As(err, new(supervisor.Interrupted)) || errors.Is(err, supervisor.ErrNoProcess) {
		return err
	}
	return commandError{c.Command[0], err}
}

func (c *runCommand) release(p *pool.Pool, lease *pool.Lease) {
	if err := lease.Release(); err != nil {
		c.warn("cannot return the slot: %s", err)
	}
	if lost, err := p.IsLost(); lost && err == nil {
		c.warn("the files of pool %s were removed while the command ran", p.Name())
		if !c.Quiet {
			sayHint(hintLoss)
		}
	}
}

const hintLoss = "if logind removed them (RemoveIPC=yes), see docs/troubleshooting.md"

// warn prints a warning, unless --quiet is given.
func (c *runCommand) warn(format string, args ...any) {
	if !c.Quiet {
		say("warning: "+format, args...)
	}
}

// talk prints a message if --verbose is given.
func (c *runCommand) talk(format string, args ...any) {
	if c.Verbose {
		say(format, args...)
	}
}
