package supervisor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A tree is the command with all that it has started. This process is a child subreaper
// (PR_SET_CHILD_SUBREAPER in prctl(2)), so it becomes the parent of every descendant of the command
// whose own parent ends, daemons included. The tree has ended when this process has no child left:
// wait4(2) says so, and nothing else is exact.
//
// This process can have children from before this program was exec'd. They are not part of the tree,
// but what they leave behind is taken for it.
type tree struct {
	strangers []relative // the children from before
}

// ErrNoTree means that WaitTree cannot be had here.
var ErrNoTree = errors.New("cannot wait for all that a command starts")

// beginTree is called before the command is started.
func beginTree() (t tree, err error) {
	if !procIsOwn() {
		return t, errors.New("/proc is that of another pid namespace")
	}
	t.strangers = slices.DeleteFunc(descendants(), func(r relative) bool { return r.parent != ownPID() })
	return t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// isStranger reports whether a process is not part of the tree.
func (t tree) isStranger(r relative) bool { return r.isIn(t.strangers) || isCompanion(r) }

// processes lists the processes of the tree, parents first. The list is a look at /proc, which can miss
// a process that has just been started.
func (t tree) processes() (list []relative) {
	in := map[int]bool{ownPID(): true} // this process, and those of the tree
	for _, r := range descendants() {
		if in[r.parent] && !t.isStranger(r) {
			in[r.pid] = true
			list = append(list, r)
		}
	}
	return list
}

// signal signals the process that run is about, and all others of the tree for which want returns true.
func (t tree) signal(run *supervision, n syscall.Signal, want func(relative) bool) {
	list := t.processes()
	note := func(errno error) {
		if errno == unix.EPERM {
			run.refused |= setOf(n)
		}
	}
	if !slices.ContainsFunc(list, func(r relative) bool { return r.pid == run.pid }) && run.pid > 0 {
		note(unix.Kill(run.pid, n)) // it is hidden (hidepid in proc(5))
	}
	for _, r := range list {
		if r.pid == run.pid || want(r) {
			note(r.signal(n))
		}
	}
}

// signalAll signals the whole tree.
func (t tree) signalAll(run *supervision, n syscall.Signal) {
	t.signal(run, n, func(relative) bool { return true })
}

// nobody is a pid of no process.
const nobody = -1

// step is the step of a supervision whose command has ended. One process of the tree stands for the
// command: if it stops, this process stops too. step reports whether the whole tree has ended.
//
// Signals come first: a SIGCHLD that comes after them wakes the caller, which waits for a signal.
func (t tree) step(run *supervision) (ended bool) {
	t.forwardAll(run)
	for {
		before := run.pid
		if _, hasEnded := run.reap(); !hasEnded {
			break
		}
		if before == nobody { // there was no child
			return true
		}
		run.pid = nobody
	}
	if (len(t.strangers) > 0 || hasCompanions()) && t.onlyStrangersAreLeft() {
		return true
	}
	if run.pid == nobody {
		for _, r := range t.processes() {
			if r.parent == ownPID() {
				run.pid = r.pid
				break
			}
		}
	}
	return false
}

// onlyStrangersAreLeft reports whether all children of this process are strangers.
func (t tree) onlyStrangersAreLeft() bool {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false
	}
	for _, task := range tasks {
		children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%s/children", task.Name()))
		if err != nil {
			return false
		}
		for _, text := range strings.Fields(string(children)) {
			pid, _ := strconv.Atoi(text)
			if r, ok := readRelative(pid); ok && !t.isStranger(r) {
				return false
			}
		}
	}
	return true
}

// forwardAll passes the signals in the queue on to all processes of the tree.
func (t tree) forwardAll(run *supervision) {
	standIn := run.pid
	defer func() { run.pid = standIn }()
	var i siginfo
	for run.queue.take(&i) {
		if !run.isForCommand(&i) {
			continue
		}
		list := t.processes()
		for _, r := range list {
			// A terminal's signal is passed on to the whole group of a leader.
			if i.isTerminals() && r.group != r.pid && slices.ContainsFunc(list, func(other relative) bool { return other.pid == r.group }) {
				continue
			}
			run.pid = r.pid
			run.forward(&i, false)
		}
	}
}
