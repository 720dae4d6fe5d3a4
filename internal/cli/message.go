package cli

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"golang.org/x/sys/unix"
)

// say writes one message to standard error. It uses a single write, so that messages of several
// processes do not mix. It does not use package os, where a write to a closed pipe ends the process
// and with it the supervision. A message can quote arbitrary bytes, so characters that a terminal
// would interpret are replaced.
func say(format string, args ...any) {
	messages.write("poolrun: " + printable(fmt.Sprintf(format, args...)) + "\n")
}

func sayHint(text string) { messages.write("hint: " + printable(text) + "\n") }

// messages are the messages to standard error.
var messages messageQueue

// A messageQueue writes messages. A write can block for ever, to a full pipe or to a terminal after
// Ctrl-S, and nothing that can block may come between the end of a command and the release of its
// slot. So between deferWrites and flush, a goroutine writes the messages.
type messageQueue struct {
	mutex    sync.Mutex
	deferred bool
	texts    []string
	writing  chan struct{} // closed when the goroutine has written all; nil if there is no goroutine
}

func (q *messageQueue) write(text string) {
	if !q.add(text) {
		unix.Write(2, []byte(text))
		return
	}
	// The command may write too. This lets the message usually come first.
	runtime.Gosched()
}

// add hands a text to the goroutine, and starts the goroutine if necessary. It returns false if the
// caller has to write the text.
func (q *messageQueue) add(text string) bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if !q.deferred && q.writing == nil {
		return false
	}
	q.texts = append(q.texts, text)
	if q.writing == nil {
		q.writing = make(chan struct{})
		go q.drain()
	}
	return true
}

// drain runs in the goroutine, until there is nothing more to write.
func (q *messageQueue) drain() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for len(q.texts) > 0 {
		text := q.texts[0]
		q.texts = q.texts[1:]
		q.mutex.Unlock()
		unix.Write(2, []byte(text))
		q.mutex.Lock()
	}
	close(q.writing)
	q.writing = nil
}

// deferWrites lets the goroutine write all messages until flush.
func (q *messageQueue) deferWrites() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.deferred = true
}

// flush blocks until all messages are written. If it has to wait, it calls beforeWait first.
func (q *messageQueue) flush(beforeWait func()) {
	q.mutex.Lock()
	q.deferred = false
	writing := q.writing
	q.mutex.Unlock()
	if writing != nil {
		beforeWait()
		<-writing
	}
}

// settle blocks until all messages are written, or standard error takes no more. It suits a process
// that is about to exec.
func (q *messageQueue) settle() {
	for canWrite() {
		q.mutex.Lock()
		writing := q.writing
		q.mutex.Unlock()
		if writing == nil {
			return
		}
		select {
		case <-writing:
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// canWrite reports whether a write of a message to standard error does not block. It is bare Go.
func canWrite() bool {
	fds := unix.PollFd{Fd: 2, Events: unix.POLLOUT}
	var now unix.Timespec
	return bare.Sys(unix.SYS_PPOLL, bare.Pointer(&fds), 1, bare.Pointer(&now), 0) > 0 && fds.Revents&unix.POLLOUT != 0
}

// addDuration adds a duration to a text, rounded to milliseconds, in the form of Duration.String. It
// is bare Go.
func addDuration(text *bare.Text, d time.Duration) {
	ms := uint64(max(d, 0)+time.Millisecond/2) / 1e6
	if ms < 1000 {
		text.AddNumber(ms, 10)
		if ms > 0 {
			text.AddByte('m')
		}
		text.AddByte('s')
		return
	}
	if hours := ms / 3600e3; hours > 0 {
		text.AddNumber(hours, 10)
		text.AddByte('h')
	}
	if ms >= 60e3 {
		text.AddNumber(ms/60e3%60, 10)
		text.AddByte('m')
	}
	text.AddNumber(ms/1e3%60, 10)
	if ms %= 1000; ms > 0 {
		text.AddByte('.')
		for unit := uint64(100); ms > 0; unit /= 10 {
			text.AddNumber(ms/unit, 10)
			ms %= unit
		}
	}
	text.AddByte('s')
}
