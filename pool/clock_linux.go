package pool

import (
	"bytes"
	"errors"
	"io/fs"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The clock of the ledger: nanoseconds since the machine was started, suspension
// included. It cannot be set, and it is the same for all processes of the machine:
// a time namespace shows CLOCK_BOOTTIME with an offset (time_namespaces(7)), which
// is taken off again.
func (who identity) now() int64 { return bootTime() - who.bootOffset }

func (p *Pool) now() int64 { return p.self.now() }

// ago is how long before another moment of the ledger's clock one was. A moment
// that seems to come later, in a ledger that somebody scribbled on, was just now.
func ago(now, then int64) time.Duration { return time.Duration(max(now-then, 0)) }

func bootTime() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}

// ticks is the present moment in the unit and by the clock of proc_pid_stat(5),
// field 22: USER_HZ, which is 100 on all of Go's architectures, of CLOCK_BOOTTIME as
// the reader's time namespace shows it (fs/proc/array.c). So two numbers of it can
// be compared only if they were taken in the same time namespace.
func ticks() uint64 { return uint64(bootTime()) / (1e9 / 100) }

// The inode of the initial time namespace (TIME_NS_INIT_INO, linux/nsfs.h).
const initialTimeNamespace = 0xEFFFFFFA

// timeNamespace identifies the caller's time namespace, 0 on a kernel without such,
// and returns its offset of CLOCK_BOOTTIME from the machine's.
func timeNamespace() (inode uint32, bootOffset int64, err error) {
	var st unix.Stat_t
	switch err := unix.Stat("/proc/self/ns/time", &st); {
	case errors.Is(err, fs.ErrNotExist):
		return 0, 0, nil
	case err != nil:
		return 0, 0, err
	case st.Ino == initialTimeNamespace:
		return initialTimeNamespace, 0, nil
	}
	text, err := readProc("/proc/self/timens_offsets")
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[0]) != "boottime" {
			continue
		}
		seconds, err1 := strconv.ParseInt(string(fields[1]), 10, 64)
		nanoseconds, err2 := strconv.ParseInt(string(fields[2]), 10, 64)
		return uint32(st.Ino), seconds*1e9 + nanoseconds, errors.Join(err1, err2)
	}
	return 0, 0, errors.New("/proc/self/timens_offsets tells no offset of boottime")
}
