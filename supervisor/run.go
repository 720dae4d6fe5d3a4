// Package supervisor runs one command in place of the process that calls it:
// passes signals on, waits, and ends the way the command ended, so that whoever
// looks from outside sees what it would have seen of the command alone.
//
// There are two regimes. Until the command exists every failure is final. From
// then on nothing may stop the supervision: what fails is left undone.
package supervisor

import (
	"errors"
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
// has ended. An error means that there was no command: Interrupted where a signal
// came before it, fs.ErrNotExist or whatever else execve(2) says.
//
// The calling goroutine has to be wired to its thread (runtime.LockOSThread, or an
// init function), since a child inherits what is a thread's own.
//
// When the command stops at a terminal's Ctrl-Z (SIGTSTP), the caller stops too,
// so that its own parent, a shell, sees it stopped.
func (s *Signals) Run(c Command) (Status, error) {
	s.CatchStops()
	catch(syscall.SIGCHLD)
	if err := s.stillWanted(); err != nil {
		return Status{}, err
	}
	pid, err := start(c)
	if err != nil {
		return Status{}, err
	}
	// A signal that came in this moment found no command, so the terminal's too are
	// passed on. A command that did get it, and is so young, does not mind another.
	for n := range take(deadly | harmless | stops).each {
		syscall.Kill(pid, n)
	}
	if c.Started != nil {
		c.Started(pid)
	}
	for {
		// Nobody else waits for the command, so its pid is safe to signal until then.
		for n := range take(deadly | harmless | stops).each {
			if !sentByTerminal(n) {
				syscall.Kill(pid, n)
			}
		}
		take(setOf(syscall.SIGCHLD))
		var status syscall.WaitStatus
		switch got, err := syscall.Wait4(pid, &status, syscall.WUNTRACED|syscall.WNOHANG, nil); {
		case err == syscall.EINTR:
		case err != nil: // ECHILD: somebody else has waited for it
			return Status{lost}, nil
		case got == 0:
			sleep()
		case !status.Stopped():
			return Status{status}, nil
		case status.StopSignal() == syscall.SIGTSTP:
			Stop()
		}
	}
}

// stillWanted takes the signals that came before there was a command.
func (s *Signals) stillWanted() error {
	for {
		err := interruption()
		if err != (Interrupted{syscall.SIGTSTP}) {
			return err
		}
		Stop()
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
	restoreSlack()
	pid, err = syscall.ForkExec(c.Path, c.Args, attr)
	if errors.Is(err, syscall.ENOEXEC) { // a script without #!, as in execvp(3)
		args := append([]string{shell, c.Path}, c.Args[1:]...)
		pid, err = syscall.ForkExec(shell, args, attr)
	}
	return pid, err
}

const shell = "/bin/sh"

// sentByTerminal reports whether a caught signal has reached the command as well: a
// Ctrl-C, Ctrl-\ or Ctrl-Z goes to the whole foreground process group.
func sentByTerminal(n syscall.Signal) bool {
	switch n {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP:
		return inForeground()
	}
	return false
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
