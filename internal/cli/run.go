package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/jobserver"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

type runCommand struct {
	Pool poolName `short:"p" required:"" env:"POOLRUN_POOL" placeholder:"NAME" help:"Use this pool, like /db."`
	request
	Size          poolSize `short:"s" env:"POOLRUN_SIZE" placeholder:"SIZE" help:"Create the pool with this size if it does not exist."`
	Close         bool     `short:"o" help:"Do not let the command inherit the descriptor that keeps its slot if poolrun is killed."`
	NoFork        bool     `short:"F" help:"Become the command instead of waiting for it: the slot is free when the command has ended."`
	MaxRuntime    duration `env:"POOLRUN_MAX_RUNTIME" placeholder:"DUR" help:"After DUR send SIGTERM to the command, later SIGKILL, and exit with code 124."`
	KillAfter     duration `default:"10s" placeholder:"DUR" help:"Send SIGKILL if the command still runs DUR after the SIGTERM of --max-runtime (default: 10s)."`
	WaitTree      bool     `help:"Keep the slot until every process that the command has started has ended, daemons included."`
	DieWithParent bool     `help:"If poolrun is killed, let the kernel kill the command too."`
	Jobserver     jobStyle `short:"j" help:"Let make, ninja or cargo run each further job in a slot of the pool. They find this jobserver by a FIFO, or with --jobserver=pipe by descriptors (default: fifo, and pipe for GNU make before 4.4)."`
	Log           string   `env:"POOLRUN_LOG" placeholder:"FILE" complete:"file" help:"Append one line of JSON to FILE about this run."`
	verbosity

	Command []string `arg:"" optional:"" passthrough:"partial" complete:"command" help:"The command to run, and its arguments."`

	entry *logEntry
	jobs  *jobserver.Server // nil if there is none
}

func (*runCommand) examples() string {
	return `# Run at most 4 dumps at a time, however many scripts start one.
poolrun --pool /db --size 4 --timeout 1h -- pg_dump main
# Skip the job, and succeed, if the previous one still runs.
poolrun -p /report -s 1 -n -E 0 -q -- report`
}

// check returns what is wrong with the command line.
func (c *runCommand) check() error {
	if len(c.Command) == 0 {
		return usageError{errors.New("no command to run")}
	}
	if !c.NoFork {
		return nil
	}
	var found problems
	if c.Close {
		found = append(found, errors.New("--no-fork needs the descriptor that --close keeps from the command"))
	}
	for _, flag := range []struct {
		name, variable string
		isGiven        bool
	}{
		{"--max-runtime", "POOLRUN_MAX_RUNTIME", c.limit() != 0}, {"--wait-tree", "", c.WaitTree},
		{"--die-with-parent", "", c.DieWithParent}, {"--jobserver", "", c.Jobserver != ""}, {"--log", "POOLRUN_LOG", c.Log != ""},
	} {
		if os.Getenv(flag.variable) != "" {
			flag.name += " (" + flag.variable + " is set)"
		}
		if flag.isGiven {
			found = append(found, fmt.Errorf("%s needs a process that stays beside the command, and --no-fork leaves none", flag.name))
		}
	}
	if found != nil {
		return usageError{found}
	}
	return nil
}

// limit is how long the command may run, 0 for no limit: as for timeout(1), 0 is no limit.
func (c *runCommand) limit() time.Duration {
	if c.MaxRuntime.isInfinite() {
		return 0
	}
	return c.MaxRuntime.length
}

// execute has two regimes: see package supervisor. Until the command exists, every failure is
// final, and execute returns it after it has returned the slot.
func (c *runCommand) execute(io.Writer) (how exit, err error) {
	if len(c.Command) > 0 && c.Command[0] == "--" { // kong keeps it
		c.Command = c.Command[1:]
	}
	if err := c.check(); err != nil {
		return exit{}, err
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
	if c.entry, err = newLogEntry(c.Log, c.Pool.String(), c.Command); err != nil {
		return exit{}, err
	}
	how, err = c.run(signals)
	if logErr := c.entry.write(how, err); logErr != nil {
		c.warn("%s", logErr)
	}
	return how, err
}

// run finds the command, acquires its slots unless it has some, and runs it.
func (c *runCommand) run(signals *supervisor.Signals) (exit, error) {
	path, err := supervisor.LookPath(c.Command[0])
	if err != nil {
		return exit{}, commandError{c.Command[0], err}
	}
	command := supervisor.Command{
		Path: path, Args: c.Command, Env: supervisor.Environ(),
		MaxRuntime: c.limit(), KillAfter: c.KillAfter.length, WaitTree: c.WaitTree, DieWithParent: c.DieWithParent,
	}
	if c.Pool.isRemote() {
		return c.runRemote(signals, command)
	}
	if p, lease := adopt(); lease != nil {
		return c.startInSlot(signals, p, lease, command)
	}
	p, err := c.open()
	if err != nil {
		return exit{}, err
	}
	c.chooseStyle(path, command.Env)
	if outer, slots, items := heldByAncestor(p); slots != nil {
		c.talk("the command runs in a slot of %s already, and needs no other", p.Name())
		command.Env = withDescription(command.Env, outer, slots, items)
		c.entry.setSlots(slots, items, 0)
		return c.startNested(signals, p, outer, len(slots), command)
	}

	end, err := c.openJobserver(p)
	if err != nil {
		return exit{}, err
	}
	defer end()
	var options []pool.Option
	if c.jobs != nil {
		options = append(options, pool.LongLived())
	}
	lease, err := c.acquire(signals, p, strings.Join(c.Command, " "), c.verbosity, options...)
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
	c.entry.setSlots(lease.Slots(), lease.Items(), lease.Waited())
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
	if err := checkItems(lease.Items()); err != nil {
		return exit{}, err
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
	job := jobserver.Job{Lease: lease.ID(), Slots: len(lease.Slots()), Guard: -1}
	if !c.Close {
		job.Guard = command.Inherit[0]
	}
	c.serveJobs(p, job, &command)
	defer c.jobs.Close() // before the lease that they extend is released
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

// checkGuard returns a function that notes the pid of the command, or of what it has left behind, in
// the lease, and later checks that this process keeps the guard. Most commands that close the
// descriptors which they inherit do so when they start. So the checks begin early, and become rarer.
func (c *runCommand) checkGuard(lease *pool.Lease) func(pid int) time.Duration {
	var check guardCheck
	noted := 0
	return func(pid int) time.Duration {
		open := true
		if pid != noted {
			noted, check = pid, guardCheck{}
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

// supervise runs the command to its end.
func (c *runCommand) supervise(signals *supervisor.Signals, command supervisor.Command) (exit, error) {
	began := time.Now()
	c.entry.begin()
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
	c.entry.end()
	if status.Expired() {
		return exit{}, lostError(c.Pool)
	}
	if status.TimedOut() {
		c.talk("it was ended because --max-runtime was over")
		return exit{code: exitTimedOut}, nil
	}
	n, _ := status.Signal()
	return exit{status.ExitCode(), n}, nil
}

// startError is the error for a command that has not run.
func (c *runCommand) startError(err error) error {
	if errors.As(err, new(supervisor.Interrupted)) || errors.Is(err, supervisor.ErrNoProcess) || errors.Is(err, supervisor.ErrNoTree) {
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
