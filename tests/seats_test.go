package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sit DIR SEATS DURATION: takes one of so many seats for that time, and notes its ticket in
// DIR/order. A seat is a file with a lock, which the kernel frees however the process dies.
// Without a free seat it leaves the file DIR/stood and exits with 9.
func sit() {
	dir := os.Args[1]
	seats, _ := strconv.Atoi(os.Args[2])
	duration, _ := time.ParseDuration(os.Args[3])
	// When a process dies, the kernel may close its guard a moment before its seat. So the
	// next process tries again for a while.
	for try := 0; !takeSeat(dir, seats); try++ {
		if try == 3 {
			check(os.WriteFile(filepath.Join(dir, "stood"), nil, 0o600))
			os.Exit(9)
		}
		time.Sleep(2 * time.Millisecond)
	}
	// /POOL/ID/RECORD/TICKET
	if held := strings.Split(os.Getenv("POOLRUN_HELD"), "/"); len(held) == 5 {
		f, err := os.OpenFile(filepath.Join(dir, "order"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		check(err)
		fmt.Fprintf(f, "%s\n", held[4])
	}
	time.Sleep(duration)
}

func takeSeat(dir string, seats int) bool {
	for i := range seats {
		fd, err := syscall.Open(filepath.Join(dir, "seat"+strconv.Itoa(i)), syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
		check(err)
		if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			// Above the guard's number: the kernel closes the descriptors of a dead process
			// from the last to the first (task_work_run), and the guard is to be last.
			_, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 60)
			check(err)
			check(syscall.Close(fd))
			return true
		}
		syscall.Close(fd)
	}
	return false
}
