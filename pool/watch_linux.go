package pool

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A watch takes the slots of dead holders back as soon as they die. The first in line keeps one. So
// there is one for each pool, however many wait.
//
// inotify(7) reports the close of a descriptor's last copy, and thus the death of the process that
// held a claim or a guard. The event comes just before the kernel releases the lock (__fput in
// fs/file_table.c: fsnotify_close before locks_remove_file). So a scan can come too early, and is
// repeated.
//
// Closing an inotify instance takes a grace period of the kernel's (fsnotify_destroy_group waits
// for fsnotify_mark_srcu). So it is closed in the background, and a line that moves fast does not
// open one.
type watch struct {
	events *os.File
	cancel context.CancelFunc
}

// watchAfter is how long the first in line stands at the gate before it keeps a watch. Until then
// it looks by itself, after 1/10 of that, and then after twice as long each time.
const watchAfter = 20 * time.Millisecond

// scanInterval is how often holders are scanned if the end of one raises no event, or if there is
// no watch.
const scanInterval = 100 * time.Millisecond

// rescans are the pauses after an event, each followed by a scan. The first is also the shortest
// time between two scans.
var rescans = [...]time.Duration{time.Millisecond, 10 * time.Millisecond}

// startWatch returns nil if inotify has no instance left for this user
// (fs.inotify.max_user_instances). Then the caller has to scan now and then.
func (p *Pool) startWatch() *watch {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	ledger := "/proc/self/fd/" + strconv.Itoa(p.object.FD)
	if _, err := unix.InotifyAddWatch(fd, ledger, unix.IN_CLOSE); err != nil {
		unix.Close(fd)
		return nil
	}
	if !p.life.Enter() {
		unix.Close(fd)
		return nil
	}
	ctx, cancel := context.WithCancel(p.open)
	w := &watch{os.NewFile(uintptr(fd), "inotify"), cancel}
	context.AfterFunc(ctx, w.wake)
	go func() {
		defer p.life.Leave()
		defer cancel()
		w.run(ctx, p)
		w.events.Close()
	}()
	return w
}

func (w *watch) run(ctx context.Context, p *Pool) {
	buffer := make([]byte, 4096)
	// The first scan finds holders that died before the watch began.
	for pause := 0; ; {
		began := time.Now()
		silent := false
		err := p.safely(func() (err error) {
			_, silent, err = p.reapHolders(ctx, 0)
			return err
		})
		if err != nil {
			return // the first in line will find the same and report it
		}
		// A scan of a large pool takes time, and must not take all of it.
		shortest := max(rescans[0], 4*time.Since(began))
		deadline := time.Time{}
		switch {
		case pause < len(rescans):
			deadline = time.Now().Add(max(rescans[pause], shortest))
		case silent:
			deadline = time.Now().Add(max(scanInterval, 10*time.Since(began)))
		}
		w.events.SetReadDeadline(deadline)
		if ctx.Err() != nil { // stop may have come before the deadline was set
			return
		}
		switch _, err := w.events.Read(buffer); {
		case err == nil && pause == 0: // so soon after the last one: let more of them come
			time.Sleep(shortest)
		case err == nil:
			pause = 0
		case ctx.Err() != nil:
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			pause = min(pause+1, len(rescans))
		default:
			return
		}
	}
}

// stop ends a watch, if there is one. The watch may still scan once more. Pool.Close waits for it.
func (w *watch) stop() {
	if w != nil {
		w.cancel()
	}
}

// wake makes the Read of run return.
func (w *watch) wake() { w.events.SetReadDeadline(time.Unix(0, 1)) }
