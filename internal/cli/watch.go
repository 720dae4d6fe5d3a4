package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/poolrun/poolrun/supervisor"
	"golang.org/x/sys/unix"
)

// sizeInterval is how often watch looks whether the terminal has another size.
const sizeInterval = 100 * time.Millisecond

// watch calls write once a second until a signal ends it. On a terminal it shows what is written on
// the alternate screen, redraws it in place, also when the terminal gets another size, and leaves the
// terminal as it was.
func watch(out io.Writer, write func(io.Writer, page) error) error {
	signals, err := supervisor.Catch()
	if err != nil {
		return err
	}
	s := &screen{out: out}
	if file, ok := out.(*os.File); ok && isTerminal(int(file.Fd())) {
		s.tty = file
	}
	// A signal that stops the process must find the terminal as it was.
	ctx, end := signals.Context(time.Time{}, func(stop func()) {
		s.leave()
		stop()
		s.enter()
	})
	defer func() { end(); signals.ApplyDefaults() }()
	s.enter()
	defer s.leave()
	for {
		if err := s.draw(write); err != nil {
			return err
		}
		if err := s.sleep(ctx); err != nil {
			return err
		}
	}
}

// A screen is the alternate screen of a terminal. Without a terminal it passes everything on.
type screen struct {
	out io.Writer
	tty *os.File // nil: no terminal

	mutex   sync.Mutex // a stop comes in another goroutine
	entered bool
	size    unix.Winsize
	stale   bool // it has to be drawn anew
}

// The escape sequences of xterm, which all terminals have that poolrun is likely to meet.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // alternate screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearToEnd  = "\x1b[K" // of the line
	clearBelow  = "\x1b[J"
)

func (s *screen) enter() { s.switchTo(true, enterScreen) }
func (s *screen) leave() { s.switchTo(false, leaveScreen) }

func (s *screen) switchTo(entered bool, sequence string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.tty != nil && s.entered != entered {
		s.entered, s.stale = entered, true
		s.tty.WriteString(sequence)
	}
}

// draw writes once, on a terminal as many lines as it has.
func (s *screen) draw(write func(io.Writer, page) error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.stale = false
	on := newPage(s.out)
	if s.tty == nil {
		return write(s.out, on)
	}
	s.size = windowSize(int(s.tty.Fd()))
	var text bytes.Buffer
	if err := write(&text, on); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	if rows := int(s.size.Row); rows > 0 && len(lines) > rows {
		lines = lines[:rows]
	}
	_, err := s.tty.WriteString(home + strings.Join(lines, clearToEnd+"\r\n") + clearToEnd + clearBelow)
	return err
}

// sleep returns after the redraw interval, or earlier if the terminal has got another size. It returns
// an error if a signal has ended the watch.
func (s *screen) sleep(ctx context.Context) error {
	ticker := time.NewTicker(sizeInterval)
	defer ticker.Stop()
	for range redrawInterval / sizeInterval {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if s.isStale() {
			return nil
		}
	}
	return nil
}

// isStale reports whether the terminal does not show what was drawn last.
func (s *screen) isStale() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.tty != nil && (s.stale || windowSize(int(s.tty.Fd())) != s.size)
}
