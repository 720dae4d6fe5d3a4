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
// single write(2), so that the lines of several runs do not mix. A nil logEntry is not written.
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

// endsTorn reports whether the file ends with an incomplete line: the disk was full once.
func (e *logEntry) endsTorn() bool {
	fd, err := unix.Open(e.file, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	last := make([]byte, 1)
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size == 0 {
		return false
	}
	n, err := unix.Pread(fd, last, st.Size-1)
	return n == 1 && err == nil && last[0] != '\n'
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
	if e.endsTorn() {
		line.WriteByte('\n')
	}
	if err := writeJSON(&line, e); err != nil {
		return err
	}
	fd, err := e.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Write(fd, line.Bytes())
	if err == nil && n < line.Len() {
		err = unix.ENOSPC
	}
	if err != nil {
		return fmt.Errorf("cannot write to log %s: %w", e.file, err)
	}
	return nil
}
