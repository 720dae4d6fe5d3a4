package pool

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A watch takes the slots of dead holders back as soon as they die. The first in
// line keeps one, so there is one a pool, however many wait.
//
// inotify(7) tells of the close of a descriptor's last copy, thus of the death
// of whoever held a claim or a guard. The event comes just before the kernel
// drops the lock (__fput in fs/file_table.c: fsnotify_close before
// locks_remove_file), so a scan can come too early, and is repeated.
//
// To close an inotify instance takes a grace period of the kernel's
// (fsnotify_destroy_group waits for fsnotify_mark_srcu), 8 ms and more. So it is
// closed in the background, and not even opened for a line that moves fast.
type watch struct {
	events *os.File
	cancel context.CancelFunc
}

// How long the first in line stands at the gate before it keeps a watch. Until then
// it has a look itself after 2, 4, 8 and 16 ms.
const watchAfter = 20 * time.Millisecond

// How often holders are looked at whose end raises no event, and all where there is no
// watch.
const scanInterval = 100 * time.Millisecond

// The pauses after an event, each followed by a scan. The first is also the
// shortest time between two scans.
var rescans = [...]time.Duration{time.Millisecond, 10 * time.Millisecond}

// startWatch returns nil where inotify has no instance left for this user
// (fs.inotify.max_user_instances): then one has to scan now and then.
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
	// The first scan finds those who died before the watch began.
	for pause := 0; ; {
		began := time.Now()
		_, silent, err := p.reapHolders(ctx)
		if err != nil {
			return // whoever stands at the gate will find the same, and say so
		}
		// A scan takes its time in a large pool, and must not take all of it.
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
		case err == nil && pause == 0: // so soon after the last: let some more come
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

// stop ends a watch, if there is one. It may still look once more; Pool.Close
// waits for it.
func (w *watch) stop() {
	if w != nil {
		w.cancel()
	}
}

// wake makes its Read return.
func (w *watch) wake() { w.events.SetReadDeadline(time.Unix(0, 1)) }
