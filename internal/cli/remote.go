package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// A run in a slot of a pool that several machines share. The engine takes and holds the slots, and this
// process does all else: see package engine.

// The variables that poolrun sets for a command in such a slot, beside slotVariable and others.
const (
	leasesVariable = "POOLRUN_LEASES" // the leases of this process and its ancestors, as the engine writes them
	fenceVariable  = "POOLRUN_FENCE"  // a number that grows with every grant
)

// A lostError means that the command was ended because its slots could go to somebody else.
type lostError poolName

func (l lostError) Error() string {
	return fmt.Sprintf("lost the slot of pool %s, and ended the command", string(l))
}

// runRemote acquires slots, unless the process runs in some, and runs the command.
func (c *runCommand) runRemote(signals *supervisor.Signals, command supervisor.Command) (exit, error) {
	if c.Jobserver != "" {
		return exit{}, usageError{errors.New("--jobserver is not offered for pools that several machines share")}
	}
	if c.NoFork && os.Getpid() == 1 {
		return exit{}, usageError{errors.New("the end of process 1 kills the engine of the pool too: leave out --no-fork")}
	}
	if err := c.checkConditions(); err != nil {
		return exit{}, err
	}
	u, err := c.Pool.url()
	if err != nil {
		return exit{}, usageError{err}
	}
	p, err := engine.OpenToRun(u, version, c.NoFork)
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	lease, err := c.acquireRemote(signals, p)
	if err != nil {
		return exit{}, err
	}
	grant := lease.Grant()
	command.Env = withRemote(command.Env, grant)
	c.entry.setSlots(grant.Slots, grant.Items, lease.Waited())
	if grant.Nested {
		c.talk("the command runs in a slot of %s already, and needs no other", p.Name())
		p.Close() // the slot is the ancestor's
		return c.start(signals, command)
	}
	c.talk("got slot %s after %v", joinInts(grant.Slots), lease.Waited().Round(time.Millisecond))
	return c.startInLease(signals, p, lease, command)
}

// acquireRemote acquires the slots. With --size it creates the pool first if necessary. A deadly signal
// ends the wait.
func (c *runCommand) acquireRemote(signals *supervisor.Signals, p *engine.Pool) (*engine.Lease, error) {
	c.normalize()
	wish := engine.Wish{
		Weight: int(c.Weight), Priority: int(c.Priority), Nonblock: c.Nonblock, Memfree: c.Memfree.bytes, Load: float64(c.Load),
		PID: os.Getpid(), Command: shorten(strings.Join(c.Command, " ")), Guarded: !c.Close, KillAfter: c.KillAfter.length,
		Held: os.Getenv(leasesVariable), Inside: engine.MayBeInside(),
	}
	if c.Weight == allSlots {
		wish.Weight = engine.Whole
	}
	if wish.Memfree > 0 {
		wish.MemfreeText = c.Memfree.String()
	}
	if c.Timeout.isGiven && !c.Timeout.isInfinite() {
		wish.Timeout = c.Timeout.length
	}
	if c.MaxWaiting.isGiven {
		wish.MaxWaiting = &c.MaxWaiting.number
	}
	ctx, end := signals.Context(time.Time{}, nil)
	onWait, endWait := c.showWait(ctx, p)
	lease, err := p.Acquire(ctx, wish, onWait)
	for c.Size != 0 && errors.Is(err, pool.ErrNotExist) {
		// Another process may create or destroy the pool at the same time.
		if err = p.Create(engine.Config{Size: int(c.Size)}); err == nil || errors.Is(err, pool.ErrExist) {
			lease, err = p.Acquire(ctx, wish, onWait)
		}
	}
	endWait()
	end() // before the cause is looked at: every signal ends either the wait or the command
	if interrupted, ok := errors.AsType[supervisor.Interrupted](context.Cause(ctx)); ok {
		if lease != nil { // acquired just as the signal arrived
			lease.Release()
		}
		return nil, interrupted
	}
	if err != nil {
		return nil, c.explain(err, p.Name(), c.verbosity)
	}
	if size := lease.Grant().Size; c.Size != 0 && size != int(c.Size) {
		c.warn("pool %s has size %d, not %d", p.Name(), size, c.Size)
	}
	return lease, nil
}

// shorten cuts a text to what a local pool would show of it.
func shorten(text string) string { return text[:min(len(text), pool.MaxCommandBytes)] }

// startInLease runs the command in the slots of a lease, and gives them back. With --no-fork it becomes
// the command, and the engine sees the end of the command by itself.
func (c *runCommand) startInLease(signals *supervisor.Signals, p *engine.Pool, lease *engine.Lease, command supervisor.Command) (how exit, err error) {
	defer func() {
		if errors.As(err, new(lostError)) {
			return // it cannot be given back, and is not held any more
		}
		if err := lease.Release(); err != nil {
			c.warn("cannot return the slot, which is free when its lease runs out: %s", err)
		}
	}()
	grant := lease.Grant()
	if err := checkItems(grant.Items); err != nil {
		return exit{}, err
	}
	if !c.Close {
		command.Inherit = []int{lease.Guard()}
	}
	if c.NoFork {
		lease.SetCommandPID(os.Getpid())
		return c.start(signals, command)
	}
	command.PID = lease.CommandPID()
	command.Poll = func(pid int) time.Duration {
		lease.SetCommandPID(pid)
		return 0
	}
	watcher := engine.Watcher{Warning: func(text string) { c.warn("pool %s: %s", p.Name(), text) }}
	if grant.Keep {
		watcher.Lost = func(why string) {
			c.warn("the slot of pool %s may go to another while the command runs: %s", p.Name(), why)
		}
	} else {
		command.Deadline, command.Confirm = new(supervisor.Deadline), lease.Confirm
		watcher.Safe = func(until int64) { command.Deadline.Move(grant.Ultimatum(until)) }
		watcher.Lost = func(why string) {
			c.talk("%s", why)
			command.Deadline.Move(1, 1) // long ago
		}
	}
	lease.Watch(watcher)
	how, err = c.start(signals, command)
	if err == nil && !grant.Keep {
		if lease.Confirm(); lease.IsEnded() { // while this process was stopped
			err = lostError(c.Pool)
		}
	}
	return how, err
}

// withRemote adds the description of a command's slots to its environment. What describes the slots of
// an outer pool, which would be taken for this pool's, is removed, except the leases themselves.
func withRemote(env []string, grant engine.Grant) []string {
	env = slices.DeleteFunc(env, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return name != heldVariable && isDescription(entry) || name == leasesVariable || name == fenceVariable
	})
	env = append(env, leasesVariable+"="+grant.Held, fenceVariable+"="+strconv.FormatInt(grant.Fence, 10),
		slotVariable+"="+strconv.Itoa(grant.Slots[0]), slotsVariable+"="+joinInts(grant.Slots))
	if len(grant.Items) > 0 {
		env = append(env, itemVariable+"="+joinItems(grant.Items))
	}
	return env
}
