package supervisor

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A tree is the command with all that it has started. This process is a child subreaper
// (PR_SET_CHILD_SUBREAPER in prctl(2)), so it becomes the parent of every descendant of the command
// whose own parent ends, daemons included. It is also the parent of children from before this program
// was exec'd, which are not part of the tree.
type tree struct {
	strangers []relative
}

// beginTree is called before the command is started.
func beginTree() (t tree, err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return t, err
	}
	t.strangers = descendants(ownPID())
	return t, nil
}

// processes lists the processes of the tree that live.
func (t tree) processes() (list []relative) {
	left := map[int]bool{ownPID(): true} // this process, and those of the tree
	for _, r := range descendants(ownPID()) {
		if left[r.parent] && !r.isIn(t.strangers) {
			left[r.pid] = true
			list = append(list, r)
		}
	}
	return list
}

func (t tree) signal(n syscall.Signal) {
	for _, r := range t.processes() {
		r.signal(n)
	}
}

// wait blocks until all processes of the tree have ended, after the command itself has. It passes
// signals on to all of them, and enforces the limit on all of them. It calls look now and then, with the
// pid of a child of this process that belongs to the tree.
func (t tree) wait(s *Signals, run *supervision, limit *runLimit, look func(pid int)) {
	for {
		run.pid = -1 // no child has this pid, so reap goes on until there is none
		if _, none := run.reap(); none {
			return
		}
		left := t.processes()
		if len(left) == 0 && procIsOwn() {
			return
		}
		if len(left) > 0 {
			look(left[0].pid)
		}
		var i siginfo
		for s.queue.take(&i) {
			for _, r := range left {
				run.pid = r.pid
				run.forward(&i, false)
			}
			if effectOf(&i) == effectStop { // no command's stop will stop this process
				s.queue.suspend(i.number())
			}
		}
		limit.enforce(t.signal)
		s.queue.wait(limit.earlier(time.Time{}))
	}
}
