package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/poolrun/poolrun/supervisor"
	"golang.org/x/sys/unix"
)

// A logEntry is the line that --log appends for a run. It is written after the slot is free, by a
// single write(2), so that the lines of several runs do not mix. Behind an incomplete line it is written
// once more. A nil logEntry is not written.
type logEntry struct {
	file string

	Time    time.Time  `json:"time"`    // of the end of the run
	Started *time.Time `json:"started"` // of the command; null if it did not run
	Pool    string     `json:"pool"`
	Slots   []int      `json:"slots"`
	Item    string     `json:"item"`
	PID     int        `json:"pid"` // of poolrun
	Waited  float64    `json:"waited_seconds"`
	Ran     *float64   `json:"ran_seconds"`
	Exit    int        `json:"exit_code"` // as a shell shows it
	Signal  *string    `json:"signal"`    // which has ended the command or the wait
	Error   string     `json:"error"`     // why the command did not run
	Command []string   `json:"command"`

	arrived, began time.Time
}

// newLogEntry begins an entry. It opens the file to find out whether that is possible, before anything
// else happens, and creates it.
func newLogEntry(file, pool string, command []string) (*logEntry, error) {
	if file == "" {
		return nil, nil
	}
	e := &logEntry{file: file, Pool: pool, Slots: []int{}, PID: os.Getpid(), Command: command, arrived: time.Now()}
	fd, err := e.open()
	if err != nil {
		return nil, err
	}
	return e, unix.Close(fd)
}

// open does not block, even if the file is a FIFO.
func (e *logEntry) open() (fd int, err error) {
	fd, err = unix.Open(e.file, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o666)
	if err != nil {
		return -1, fmt.Errorf("cannot open log %s: %w", e.file, err)
	}
	return fd, nil
}

func (e *logEntry) setSlots(slots []int, items []string, waited time.Duration) {
	if e != nil {
		e.Slots, e.Item, e.Waited = slots, joinItems(items), waited.Seconds()
	}
}

// begin and end are called when the command begins and has ended.
func (e *logEntry) begin() {
	if e != nil {
		e.began = time.Now()
		utc := e.began.UTC()
		e.Started = &utc
	}
}

func (e *logEntry) end() {
	if e != nil {
		ran := time.Since(e.began).Seconds()
		e.Ran = &ran
	}
}

// write appends the entry, with the result of the run. The file is opened anew, since it may have been
// rotated in the meantime.
func (e *logEntry) write(how exit, err error) error {
	if e == nil {
		return nil
	}
	e.Time = time.Now().UTC()
	e.Exit = how.code
	if interrupted, ok := errors.AsType[supervisor.Interrupted](err); ok {
		how.signal = interrupted.Signal
	} else if err != nil {
		e.Exit, e.Error = codeOf(err), err.Error()
	}
	if how.signal != 0 {
		name := supervisor.SignalName(how.signal)
		e.Exit, e.Signal = 128+int(how.signal), &name
	}
	if e.Ran == nil {
		e.Started = nil
	}
	if len(e.Slots) == 0 {
		e.Waited = time.Since(e.arrived).Seconds()
	}
	var line bytes.Buffer
	if err := writeJSON(&line, e); err != nil {
		return err
	}
	fd, err := e.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = appendLine(fd, line.Bytes())
	if err == nil && followsTornLine(fd, line.Len()) {
		err = appendLine(fd, line.Bytes())
	}
	if err != nil {
		return fmt.Errorf("cannot write to log %s: %w", e.file, err)
	}
	return nil
}

func appendLine(fd int, line []byte) error {
	n, err := unix.Write(fd, line)
	if err == nil && n < len(line) {
		err = unix.ENOSPC
	}
	return err
}

// followsTornLine reports whether the line of n bytes that was just appended continues an incomplete
// one, left by a full disk. Only afterwards can that be told from a line that another run is writing:
// the kernel finds the end of the file, writes there and sets the file offset in one step (O_APPEND in
// open(2)).
func followsTornLine(fd, n int) bool {
	end, err := unix.Seek(fd, 0, unix.SEEK_CUR)
	if err != nil || end <= int64(n) { // not a regular file, or the first line
		return false
	}
	reader, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer unix.Close(reader)
	var before [1]byte
	got, err := unix.Pread(reader, before[:], end-int64(n)-1)
	return got == 1 && err == nil && before[0] != '\n'
}
