// Package supervisor runs one command in place of the process that calls it:
// passes signals on, waits, and ends the way the command ended, so that whoever
// looks from outside sees what it would have seen of the command alone.
//
// There are two regimes. Until the command exists every failure is final. From
// then on nothing may stop the supervision: what fails is left undone.
package supervisor

import (
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Command is what is to be run: in the process group of the caller, with its
// descriptors, working directory, and all else that exec(2) hands on.
type Command struct {
	Path    string
	Args    []string // Args[0] is the name that the command sees as its own
	Env     []string
	Inherit []int         // descriptors to hand on although they are close-on-exec
	Started func(pid int) // called when the command runs, before it is waited for
}

// Run starts the command, passes the caught signals on to it, and waits until it
// has ended. An error means that there was no command: fs.ErrNotExist or
// whatever else execve(2) says.
//
// When the command stops at a terminal's Ctrl-Z (SIGTSTP), the caller stops too,
// so that its own parent, a shell, sees it stopped.
func (s *Signals) Run(c Command) (Status, error) {
	s.CatchStops()
	pid, err := start(c)
	if err != nil {
		return Status{}, err
	}
	child := &child{pid: pid}
	go func() {
		for n := range s.caught {
			child.forward(n.(syscall.Signal))
		}
	}()
	if c.Started != nil {
		c.Started(pid)
	}
	for {
		status, err := child.wait()
		switch {
		case err != nil: // ECHILD: somebody else has waited for it
			return Status{lost}, nil
		case status.Stopped():
			if status.StopSignal() == syscall.SIGTSTP {
				Stop()
			}
		default:
			return Status{status}, nil
		}
	}
}

// The status of a command of which no status can be had: exit code 2.
const lost syscall.WaitStatus = 2 << 8

func start(c Command) (pid int, err error) {
	for _, fd := range c.Inherit {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return 0, err
		}
	}
	attr := &syscall.ProcAttr{Env: c.Env, Files: standardFiles()}
	pid, err = syscall.ForkExec(c.Path, c.Args, attr)
	if errors.Is(err, syscall.ENOEXEC) { // a script without #!, as in execvp(3)
		args := append([]string{shell, c.Path}, c.Args[1:]...)
		pid, err = syscall.ForkExec(shell, args, attr)
	}
	return pid, err
}

const shell = "/bin/sh"

// A child is a process that was started and not waited for yet. Its pid is safe
// to signal until then, not later: it may be another's by that time.
type child struct {
	pid  int
	lock sync.Mutex // not held while it is running
	gone bool
}

// wait returns when the child has ended, or stopped.
func (c *child) wait() (status syscall.WaitStatus, err error) {
	// Wait without reaping, and reap when nobody can be signalling the pid.
	for {
		err = unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if err != nil {
		c.gone = true
		return 0, err
	}
	for {
		var got int
		got, err = syscall.Wait4(c.pid, &status, syscall.WUNTRACED|syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		c.gone = err != nil || got == c.pid && !status.Stopped()
		return status, err
	}
}

// forward passes a signal on, unless the terminal has done so: a Ctrl-C, Ctrl-\
// or Ctrl-Z goes to the whole foreground process group, thus to the command.
func (c *child) forward(n syscall.Signal) {
	switch n {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP:
		if inForeground() {
			return
		}
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if !c.gone {
		syscall.Kill(c.pid, n)
	}
}

// inForeground reports whether this process's group is the foreground group of
// its controlling terminal.
func inForeground() bool {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
