package supervisor

import (
	"os"

	"golang.org/x/sys/unix"
)

// The Go runtime is made for servers. For one command it does too much, which is a
// sixth of the time of a run and a quarter of its CPU. It decides on that before any
// package is initialized, so the entry point (entry_linux_*.s) arranges two things:
//
//   - One processor: GOMAXPROCS=1 stands before the environment that the runtime
//     sees. With more, every goroutine that becomes ready wakes a thread, or
//     starts one, to look for others.
//   - A timer slack of 4 ms (PR_SET_TIMERSLACK, prctl(2)), which threads inherit.
//     The runtime's monitor thread would wake every 20 us while the program starts.
//
// Neither reaches the command. In a program linked without the entry point,
// nothing of this is so.
var (
	environAtEntry *[1 << 28]*byte // ends with a nil
	slackAtEntry   int64           // nanoseconds
)

// Environ is the environment as this process inherited it, to the letter: with what
// os.Environ drops, like the second of two variables of the same name.
func Environ() []string {
	if environAtEntry == nil {
		return os.Environ()
	}
	var env []string
	for i := 0; environAtEntry[i] != nil; i++ {
		env = append(env, unix.BytePtrToString(environAtEntry[i]))
	}
	return env
}

// restoreSlack gives the calling thread the timer slack that this process inherited:
// a child gets that of the thread that forks.
func restoreSlack() {
	if slackAtEntry > 0 {
		unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slackAtEntry), 0, 0, 0)
	}
}
