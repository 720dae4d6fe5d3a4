package cli

import (
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// say writes one message to standard error, in one piece, so that those of
// several processes do not mix. It does not go through package os: a write there
// to a closed pipe would end the process, and with it the supervision. What a message
// quotes can hold any byte: none of it reaches a terminal as a control character.
func say(format string, args ...any) {
	messages.write("poolrun: " + printable(fmt.Sprintf(format, args...)) + "\n")
}

func sayHint(text string) { messages.write("hint: " + printable(text) + "\n") }

// A write to a full pipe, or to a terminal in ^S, can block for ever, and nothing that
// can block may stand between the end of a command and the release of its slot. So from
// hold to flush, messages are written by a goroutine of its own.
var messages queue

type queue struct {
	mutex   sync.Mutex
	held    bool
	texts   []string
	writing chan struct{} // closed when there is nothing more to write; nil where nobody writes
}

func (q *queue) write(text string) {
	if !q.add(text) {
		unix.Write(2, []byte(text))
		return
	}
	// The command may write too. Usually this message then stands before that.
	runtime.Gosched()
}

// add leaves a text to the goroutine that writes, if there is one, or should be.
func (q *queue) add(text string) bool {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if !q.held && q.writing == nil {
		return false
	}
	q.texts = append(q.texts, text)
	if q.writing == nil {
		q.writing = make(chan struct{})
		go q.drain()
	}
	return true
}

func (q *queue) drain() {
	for text, ok := q.next(); ok; text, ok = q.next() {
		unix.Write(2, []byte(text))
	}
}

func (q *queue) next() (text string, ok bool) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	if len(q.texts) == 0 {
		close(q.writing)
		q.writing = nil
		return "", false
	}
	text, q.texts = q.texts[0], q.texts[1:]
	return text, true
}

// hold makes messages wait for nobody, until flush.
func (q *queue) hold() {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.held = true
}

// flush waits until all messages are written. It calls blocked first if it has to wait.
func (q *queue) flush(blocked func()) {
	q.mutex.Lock()
	q.held = false
	writing := q.writing
	q.mutex.Unlock()
	if writing != nil {
		blocked()
		<-writing
	}
}
