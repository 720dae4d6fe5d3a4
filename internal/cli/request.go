package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/internal/machine"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// A request is how run and acquire ask for slots.
type request struct {
	Timeout      duration   `short:"w" env:"POOLRUN_TIMEOUT" placeholder:"DUR" help:"Wait at most DUR for a slot, like 5s, 1m30s, 1d or 2.5 (default: wait for ever)."`
	Nonblock     bool       `short:"n" help:"Do not wait: the same as --timeout 0."`
	BusyExitCode busyCode   `short:"E" default:"75" env:"POOLRUN_BUSY_EXIT_CODE" placeholder:"N" help:"Exit with code N if there is no slot in time (default: 75)."`
	Weight       weight     `short:"k" default:"1" placeholder:"N" help:"Take N slots at once, all or none; \"all\" takes every slot that the pool has (default: 1)."`
	Priority     priority   `default:"0" placeholder:"N" help:"Wait with priority N, -20 to 19 as for nice(1): lower goes first, equals in order of arrival (default: 0)."`
	MaxWaiting   lineLimit  `placeholder:"N" help:"Do not wait if N or more others wait already."`
	Memfree      memorySize `placeholder:"SIZE" help:"When its turn comes, wait until SIZE of memory is available, like 512M or 4G."`
	Load         loadLimit  `placeholder:"N" help:"When its turn comes, wait until the load average of the last minute is below N; 100% means one for each CPU."`
}

// A verbosity says how much poolrun reports.
type verbosity struct {
	Verbose bool `short:"v" help:"Report what poolrun waits for, how long it waited, and how long a command ran."`
	Quiet   bool `short:"q" help:"Print only errors, and nothing if there is no slot in time."`
}

// warn prints a warning, unless --quiet is given.
func (v verbosity) warn(format string, args ...any) {
	if !v.Quiet {
		say("warning: "+format, args...)
	}
}

// talk prints a message if --verbose is given.
func (v verbosity) talk(format string, args ...any) {
	if v.Verbose {
		say(format, args...)
	}
}

// acquire acquires the slots. text is what Status shows for the process. A deadly signal ends the wait.
// A signal that stops poolrun does not cost it its place in line.
func (r *request) acquire(signals *supervisor.Signals, p *pool.Pool, text string, v verbosity, also ...pool.Option) (*pool.Lease, error) {
	options, err := r.options(text)
	if err != nil {
		return nil, err
	}
	options = append(options, also...)
	r.normalize()
	ctx, end := signals.Context(r.Timeout.after(time.Now()), p.Suspend)
	lease, err := r.acquireUntil(ctx, p, options, v)
	end() // before the cause is looked at: every signal ends either the wait or the command
	if interrupted, ok := errors.AsType[supervisor.Interrupted](context.Cause(ctx)); ok {
		if lease != nil { // acquired just as the signal arrived
			lease.Release()
		}
		return nil, interrupted
	}
	return lease, err
}

// normalize makes --nonblock of --timeout 0.
func (r *request) normalize() {
	if r.Timeout == (duration{isGiven: true}) {
		r.Nonblock, r.Timeout = true, duration{}
	}
}

func (r *request) acquireUntil(ctx context.Context, p *pool.Pool, options []pool.Option, v verbosity) (*pool.Lease, error) {
	if r.MaxWaiting.isGiven {
		options = append(options, pool.WithMaxWaiting(r.MaxWaiting.number))
	}
	if r.Nonblock {
		ctx.Done() // take signals: the process that has the ledger lock may be stopped
		lease, err := p.TryAcquire(options...)
		return lease, r.explain(err, p.Name(), v)
	}
	onWait, end := v.showWait(ctx, p)
	defer end()
	if onWait != nil {
		options = append(options, pool.OnWait(onWait))
	}
	lease, err := p.Acquire(ctx, options...)
	return lease, r.explain(err, p.Name(), v)
}

// explain makes a busyError of an error that means that there was no slot of a pool in time.
func (r *request) explain(err error, name string, v verbosity) error {
	text := ""
	switch about, _ := errors.AsType[*pool.Error](err); {
	case errors.Is(err, context.DeadlineExceeded) && about != nil: // slots were not the reason
		text = fmt.Sprintf("%v (gave up after %v)", about, r.Timeout)
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("no free slot in pool %s within %v", name, r.Timeout)
	case errors.Is(err, pool.ErrBusy):
		text = err.Error()
	default:
		return err
	}
	return busyError{text, int(r.BusyExitCode), v.Quiet}
}

// options returns what is asked for, whether it can wait or not. It returns an error if a condition
// cannot be checked. text is what Status shows.
func (r *request) options(text string) ([]pool.Option, error) {
	options, err := r.conditions()
	options = append(options, pool.WithCommand(text), pool.WithPriority(int(r.Priority)))
	if r.Weight == allSlots {
		return append(options, pool.WithAllSlots()), err
	}
	return append(options, pool.WithWeight(int(r.Weight))), err
}

// conditions returns the conditions that hold the first in line. It returns an error if they cannot be
// checked.
func (r *request) conditions() (options []pool.Option, err error) {
	if err := r.checkConditions(); err != nil {
		return nil, err
	}
	if want := r.Memfree.bytes; want > 0 {
		options = append(options, pool.WithCondition(machine.MemoryText(r.Memfree.String()), func() bool { return machine.HasMemory(want) }))
	}
	if limit := float64(r.Load); limit > 0 {
		options = append(options, pool.WithCondition(machine.LoadText(limit), func() bool { return machine.IsBelow(limit) }))
	}
	return options, nil
}

// checkConditions returns an error if what the conditions are about cannot be found out.
func (r *request) checkConditions() error {
	if r.Memfree.bytes > 0 {
		if _, err := machine.AvailableMemory(); err != nil {
			return fmt.Errorf("cannot find out how much memory is available: %w", err)
		}
	}
	if r.Load > 0 {
		if _, err := machine.Load(); err != nil {
			return fmt.Errorf("cannot find out the load: %w", err)
		}
	}
	return nil
}
