package cli

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// redrawInterval is how often a line or a screen is redrawn in place, and how long a wait may take
// before it is shown.
const redrawInterval = time.Second

// A waitLine is the line on the terminal that says what poolrun waits for. It is redrawn in place, and
// removed at the end.
type waitLine struct {
	mutex sync.Mutex
	drawn bool
	ended bool
}

// show shows the line on standard error, which is a terminal, until end is called. It shows nothing
// while this process is not in the terminal's foreground. If several processes wait on one terminal,
// one of them shows its line.
func (l *waitLine) show(ctx context.Context, p watched) {
	// The lock is on the terminal's own file, for which each process has another description.
	tty, err := unix.Open("/proc/self/fd/2", unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(tty)
	ticker := time.NewTicker(redrawInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !isForeground(2) {
			unix.Flock(tty, unix.LOCK_UN)
		} else if unix.Flock(tty, unix.LOCK_EX|unix.LOCK_NB) == nil {
			if text := describeOwnWait(p); text != "" {
				l.draw("poolrun: " + printable(text))
			}
		}
	}
}

func (l *waitLine) draw(text string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !l.ended {
		redraw(text)
		l.drawn = true
	}
}

// end removes the line for good.
func (l *waitLine) end() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.ended = true; l.drawn {
		redraw("")
	}
}

// redraw replaces the line on standard error. The text must be printable, and is cut to the width of
// the terminal. It is dropped if the terminal takes no more (Ctrl-S).
func redraw(text string) {
	const clearLine = "\r\x1b[K"
	if width := int(windowSize(2).Col); width > 0 {
		text = cutText(text, width-1)
	}
	if canWrite() {
		unix.Write(2, []byte(clearLine+text))
	}
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// isForeground reports whether this process is in the foreground process group of a terminal, which is
// its controlling terminal. A process in the background must not write: see tostop in stty(1).
func isForeground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// windowSize is the size of a terminal, with 0 for what is unknown.
func windowSize(fd int) unix.Winsize {
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return unix.Winsize{}
	}
	return *size
}
