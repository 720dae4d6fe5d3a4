package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// errGone means that the engine has ended, or was killed. errStillborn means that it did so before it said anything.
var (
	errGone      = errors.New("its engine ended unexpectedly")
	errStillborn = errors.New("its engine ended as soon as it had started, perhaps for lack of memory (see ulimit -v)")
)

// patience is how long an engine may take to answer what it can answer at once.
const patience = 2 * time.Second

// A conn is a connection to an engine.
type conn struct {
	file  *os.File
	event func(Event) // called in the reading goroutine
	began time.Time

	greeted atomic.Bool // the engine has started, and speaks the protocol

	mutex   sync.Mutex
	last    int64
	pending map[int64]chan Reply
	ended   chan struct{}
	err     error // why it has ended
}

// connect takes over a socket. It sends the first line, and reads what comes in a goroutine of its own.
func connect(file *os.File, hello Hello, event func(Event)) (*conn, error) {
	c := &conn{file: file, event: event, began: time.Now(), pending: map[int64]chan Reply{}, ended: make(chan struct{})}
	if c.write(hello) != nil {
		return nil, errStillborn
	}
	go c.read()
	return c, nil
}

// close ends the connection. An engine then gives back what nobody uses any more, and ends.
func (c *conn) close() { c.file.Close() }

func (c *conn) write(message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return Write(c.file, append(line, '\n'))
}

// Write writes to a socket without a SIGPIPE.
func Write(file *os.File, data []byte) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return errGone
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for len(data) > 0 {
			n, err := unix.SendmsgN(int(fd), data, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				failed = errGone
				return true
			}
			data = data[max(n, 0):]
		}
		return true
	})
	return errors.Join(failed, err)
}

// maxLine is how long a message can be.
const maxLine = 64 << 20

func (c *conn) read() {
	lines := bufio.NewScanner(c.file)
	lines.Buffer(nil, maxLine)
	err := c.readAll(lines)
	switch {
	case err != nil && !errors.Is(err, unix.ECONNRESET): // which means that it has not read all that was sent
	case c.greeted.Load():
		err = errGone
	default:
		err = errStillborn
	}
	c.err = err
	close(c.ended)
}

func (c *conn) readAll(lines *bufio.Scanner) error {
	if !lines.Scan() {
		return lines.Err()
	}
	var hello Hello
	if err := json.Unmarshal(lines.Bytes(), &hello); err != nil {
		return errors.New("its engine does not speak the protocol of engines")
	}
	if hello.Protocol != Protocol {
		return fmt.Errorf("its engine (version %s) speaks protocol %d, and this poolrun speaks %d: install the same version of both",
			hello.Version, hello.Protocol, Protocol)
	}
	c.greeted.Store(true)
	for lines.Scan() {
		var reply Reply
		if err := json.Unmarshal(lines.Bytes(), &reply); err != nil {
			return err
		}
		if reply.Event != nil {
			c.event(*reply.Event)
			continue
		}
		c.mutex.Lock()
		answer := c.pending[reply.ID]
		delete(c.pending, reply.ID)
		c.mutex.Unlock()
		if answer != nil {
			answer <- reply
		}
	}
	return lines.Err()
}

// call makes a request and waits for its reply. If ctx ends first, the request is cancelled, and the
// reply still counts: an engine can have granted it already. An engine that then does not answer is
// given up.
func (c *conn) call(ctx context.Context, method Method, params, result any) error {
	answer := make(chan Reply, 1)
	id, err := c.send(method, params, answer)
	if err != nil {
		<-c.ended // it says why
		return c.err
	}
	select {
	case reply := <-answer:
		return reply.decode(result)
	case <-c.ended:
		return c.reason(answer, result)
	case <-ctx.Done():
	}
	c.send(Cancel, Number{id}, nil)
	select {
	case reply := <-answer:
		if reply.Error != nil && reply.Error.Kind == Cancelled {
			return ctx.Err()
		}
		return reply.decode(result)
	case <-c.ended:
		return c.reason(answer, result)
	case <-time.After(patience / 4): // less than an interrupted process has: see supervisor.Signals.Context
		return ctx.Err()
	}
}

// send sends a request. Its reply will come through a channel, unless that is nil.
func (c *conn) send(method Method, params any, answer chan Reply) (id int64, err error) {
	request := Request{Method: method}
	if params != nil {
		if request.Params, err = json.Marshal(params); err != nil {
			panic(err) // all parameters are numbers and texts
		}
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.last++
	if request.ID = c.last; answer != nil {
		c.pending[request.ID] = answer
	}
	return request.ID, c.write(request)
}

// reason is the error of a request after the connection has ended. Its reply may have come before.
func (c *conn) reason(answer chan Reply, result any) error {
	select {
	case reply := <-answer:
		return reply.decode(result)
	default:
		return c.err
	}
}

// A failed is the error of a request that the engine has answered by a failure.
type failed struct{ Failure }

func (f failed) Error() string { return string(f.Kind) + ": " + f.Cause }

func (r Reply) decode(result any) error {
	if r.Error != nil {
		return failed{*r.Error}
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(r.Result, result)
}

// isGone reports whether the connection has ended.
func (c *conn) isGone() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}
