package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

type runCommand struct {
	Pool         poolName  `short:"p" required:"" env:"POOLRUN_POOL" placeholder:"NAME" help:"The pool, like /db."`
	Timeout      *duration `short:"w" env:"POOLRUN_TIMEOUT" placeholder:"DUR" help:"The longest wait for a slot, like 5s or 1m30s or 2.5 (default: wait for ever)."`
	Nonblock     bool      `short:"n" help:"Do not wait: the same as --timeout 0."`
	BusyExitCode busyCode  `short:"E" default:"75" env:"POOLRUN_BUSY_EXIT_CODE" placeholder:"N" help:"Exit code where there was no slot in time (default: 75)."`
	Size         poolSize  `short:"s" env:"POOLRUN_SIZE" placeholder:"SIZE" help:"Create the pool with this size if it does not exist."`
	Weight       int       `short:"k" default:"1" placeholder:"N" help:"Take N slots at once, all or none (default: 1)."`
	Priority     int       `default:"0" placeholder:"N" help:"-20 to 19, as nice(1): a lower number goes first; first come, first served among equals (default: 0)."`
	Close        bool      `short:"o" help:"Do not let the command inherit the descriptor that keeps its slot if poolrun is killed."`
	Verbose      bool      `short:"v" help:"Say what poolrun waits for and how long things took."`
	Quiet        bool      `short:"q" help:"Say nothing but errors."`

	Command []string `arg:"" passthrough:"partial" help:"What to run, with its arguments."`
}

func (c *runCommand) Run() (err error) {
	if c.Command[0] == "--" { // kong keeps it
		c.Command = c.Command[1:]
	}
	if len(c.Command) == 0 {
		return UsageError{errors.New("no command to run")}
	}
	// Before the command exists every failure is final.
	signals, err := supervisor.Catch()
	if err != nil {
		return err
	}
	signals.Hold()
	messages.hold()
	defer func() {
		// A signal ends poolrun at once, whoever reads its messages or does not.
		if !errors.As(err, new(supervisor.Interrupted)) {
			messages.flush(signals.RestoreDefaults)
		}
	}()
	path, err := supervisor.LookPath(c.Command[0])
	if err != nil {
		return commandError{c.Command[0], err}
	}
	p, err := c.open()
	if err != nil {
		return err
	}
	command := supervisor.Command{Path: path, Args: c.Command, Env: supervisor.Environ()}
	if hold, slots, items := heldByAncestor(p); slots != nil {
		c.talk("this is inside %s already: no slot of its own is needed", p.Name())
		command.Env = describe(command.Env, hold, slots, items)
		return c.supervise(signals, command)
	}

	lease, err := c.acquire(signals, p)
	if err != nil {
		return err
	}
	// Whatever else goes wrong, the slot is given back.
	defer c.release(p, lease)
	c.talk("got slot %s after %v", joinInts(lease.Slots()), lease.Waited().Round(time.Millisecond))
	if !c.Close {
		guard, err := lease.Guard()
		if err != nil {
			return err
		}
		command.Inherit = []int{guard}
	}
	items, err := lease.Items()
	if err != nil {
		return err
	}
	command.Env = describe(command.Env, lease.Hold(), lease.Slots(), items)
	if command.PID, err = lease.CommandPID(); err != nil {
		return err
	}
	command.Poll = c.pollGuard(lease)
	return c.supervise(signals, command)
}

// pollGuard notes the command's pid in the lease, and then looks whether the command keeps
// the guard: soon, for most that close what they inherited do so at their start, and
// then ever more rarely.
func (c *runCommand) pollGuard(lease *pool.Lease) func(pid int) time.Duration {
	const soonest, rarest = 100 * time.Millisecond, 10 * time.Second
	next := time.Duration(0)
	return func(pid int) time.Duration {
		if next == 0 {
			if err := lease.Started(pid); err != nil {
				c.warn("%s", err)
				return 0
			}
		} else if open, err := lease.CheckGuard(); !open || err != nil {
			return 0
		}
		next = min(max(soonest, 2*next), rarest)
		return next
	}
}

// open opens the pool, and creates it first where the caller has given a size.
func (c *runCommand) open() (*pool.Pool, error) {
	name := string(c.Pool)
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
		// Others may create or destroy it at this moment.
		if err := pool.Create(name, pool.Config{Size: int(c.Size)}); err != nil && !errors.Is(err, pool.ErrExist) {
			return nil, err
		}
	}
}

// acquire gets a slot, unless time is up or a deadly signal comes first. One that stops
// poolrun does not cost it its place.
func (c *runCommand) acquire(signals *supervisor.Signals, p *pool.Pool) (*pool.Lease, error) {
	ctx, stop := signals.Context(c.Timeout.after(time.Now()), p.Pause)
	defer stop()
	lease, err := c.waitFor(ctx, p)
	var interrupted supervisor.Interrupted
	if errors.As(context.Cause(ctx), &interrupted) {
		if lease != nil { // it came together with the signal
			c.release(p, lease)
		}
		return nil, interrupted
	}
	return lease, err
}

func (c *runCommand) waitFor(ctx context.Context, p *pool.Pool) (*pool.Lease, error) {
	options := []pool.Option{
		pool.WithCommand(strings.Join(c.Command, " ")),
		pool.WithWeight(c.Weight),
		pool.WithPriority(c.Priority),
	}
	if c.Nonblock || c.Timeout != nil && *c.Timeout == 0 {
		ctx.Done() // listen: whoever has the ledger lock may be stopped
		lease, err := p.TryAcquire(options...)
		if errors.Is(err, pool.ErrBusy) {
			return nil, c.busy(err.Error())
		}
		return lease, err
	}
	if c.Verbose {
		progress, stop := context.WithCancel(ctx)
		defer stop()
		options = append(options, pool.OnWait(func() { go c.tellWait(progress, p) }))
	}
	lease, err := p.Acquire(ctx, options...)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, c.busy(fmt.Sprintf("no free slot in pool %s within %v", p.Name(), time.Duration(*c.Timeout)))
	}
	return lease, err
}

func (c *runCommand) busy(text string) error {
	if c.Quiet {
		text = ""
	}
	return busyError{text, int(c.BusyExitCode)}
}

// supervise runs the command. From its start on nothing stops the supervision.
func (c *runCommand) supervise(signals *supervisor.Signals, command supervisor.Command) error {
	began := time.Now()
	command.OnRefused = func(n syscall.Signal, pid int, err error) {
		say("cannot pass %s on to the command (pid %d): %s", supervisor.SignalName(n), pid, err)
	}
	status, err := signals.Run(command)
	switch {
	case errors.As(err, new(supervisor.Interrupted)), errors.Is(err, supervisor.ErrNoProcess):
		return err
	case err != nil:
		return commandError{c.Command[0], err}
	}
	c.talk("the command ran for %v", time.Since(began).Round(time.Millisecond))
	return ended{status}
}

func (c *runCommand) release(p *pool.Pool, lease *pool.Lease) {
	if err := lease.Release(); err != nil {
		c.warn("cannot give the slot back: %s", err)
	}
	if lost, err := p.IsLost(); lost && err == nil {
		c.warn("somebody removed the files of pool %s while the command ran", p.Name())
		if !c.Quiet {
			sayHint("if it was logind (RemoveIPC=yes), see the troubleshooting section of the README")
		}
	}
}

func (c *runCommand) warn(format string, args ...any) {
	if !c.Quiet {
		say("warning: "+format, args...)
	}
}

func (c *runCommand) talk(format string, args ...any) {
	if c.Verbose {
		say(format, args...)
	}
}
