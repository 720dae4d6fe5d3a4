package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/poolrun/poolrun/internal/jobserver"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// A jobStyle is the value of --jobserver, which may be left out: "" for no jobserver.
type jobStyle string

const styleChosen jobStyle = "auto" // by chooseStyle

// IsBool lets kong accept the flag without a value.
func (jobStyle) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (s *jobStyle) Decode(ctx *kong.DecodeContext) error {
	*s = styleChosen
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	switch text := fmt.Sprint(ctx.Scan.Pop().Value); text {
	case string(jobserver.StyleFIFO), string(jobserver.StylePipe):
		*s = jobStyle(text)
		return nil
	default:
		return fmt.Errorf("invalid jobserver %q: want fifo or pipe", text)
	}
}

// chooseStyle chooses how the command is told of the jobserver, if the command line does not say it.
func (c *runCommand) chooseStyle(path string, env []string) {
	if c.Jobserver != styleChosen {
		return
	}
	style, version := jobserver.StyleFor(path, slices.DeleteFunc(slices.Clone(env), isMakeflags))
	if version != "" {
		c.talk("--jobserver=%s is chosen, because %s is GNU make %s", style, path, version)
	}
	c.Jobserver = jobStyle(style)
}

const makeflags = "MAKEFLAGS"

func isMakeflags(entry string) bool { return strings.HasPrefix(entry, makeflags+"=") }

// openJobserver makes the jobserver, if there is to be one, before a slot is taken. The caller has to
// call end.
func (c *runCommand) openJobserver(p *pool.Pool) (end func(), err error) {
	if c.Jobserver == "" {
		return func() {}, nil
	}
	options, err := c.options(strings.Join(c.Command, " "))
	if err != nil {
		return nil, err
	}
	weight := int(c.Weight)
	if c.Weight == allSlots {
		weight = pool.MaxSlots
	}
	c.jobs, err = jobserver.New(jobserver.Config{
		Pool: p, Request: options, Weight: weight, Style: jobserver.Style(c.Jobserver), Report: c.talk,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a jobserver: %w", err)
	}
	return c.jobs.Close, nil
}

// serveJobs lets the jobserver, if there is one, serve a command.
func (c *runCommand) serveJobs(p *pool.Pool, job jobserver.Job, command *supervisor.Command) {
	if c.jobs == nil {
		return
	}
	flags, replaced := c.jobs.Flags(os.Getenv(makeflags))
	if len(replaced) > 0 {
		c.talk("the jobserver of %s replaces %s of %s", p.Name(), strings.Join(replaced, " "), makeflags)
	}
	command.Env = append(slices.DeleteFunc(command.Env, isMakeflags), makeflags+"="+flags)
	command.Inherit = append(command.Inherit, c.jobs.Inherit()...)
	command.Suspend = c.jobs.Suspend
	c.jobs.Serve(job)
	poll := command.Poll
	command.Poll = func(pid int) time.Duration {
		c.jobs.SetCommand(pid)
		return poll(pid)
	}
}

// startNested runs the command in the slots of an ancestor. The jobs of the command get further slots
// of the pool, unless it is part of a build that has such a jobserver already.
func (c *runCommand) startNested(signals *supervisor.Signals, p *pool.Pool, outer pool.LeaseID, slots int, command supervisor.Command) (exit, error) {
	if c.Jobserver != "" && jobserver.IsServed(os.Getenv(makeflags), p) {
		c.talk("the command uses the jobserver of %s that it has already", p.Name())
		c.Jobserver = ""
	}
	end, err := c.openJobserver(p)
	if err != nil {
		return exit{}, err
	}
	defer end()
	if c.jobs == nil {
		return c.start(signals, command)
	}
	job := jobserver.Job{Lease: outer, Slots: slots, Guard: -1}
	if !c.Close {
		if job.Guard, err = p.OpenGuard(); err != nil {
			return exit{}, err
		}
		defer pool.CloseGuard(job.Guard)
		command.Inherit = append(command.Inherit, job.Guard)
	}
	var check guardCheck
	command.Poll = func(int) time.Duration {
		check.next(job.Guard >= 0)
		return check.interval
	}
	c.serveJobs(p, job, &command)
	defer c.jobs.Close() // before the guard is closed
	return c.start(signals, command)
}
