package tests

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/poolrun/poolrun/pool"
)

// Programs that the tests run under poolrun. They are the test binary under
// another name, on the PATH.
var programs = map[string]func(){
	"overlap":     overlap,
	"signals":     signals,
	"nothing":     func() {},
	"descriptors": descriptors,
	"churn":       churn,
	"sit":         sit,
	"crowd":       crowd,
	"closing":     closing,
	"leaderless":  leaderless,
	"scribble":    scribble,
	"truncate":    truncate,
	"no-tmpfile":  noTmpfile,
	"no-unlink":   noUnlink,
	"changed":     changed,
	"attributes":  attributes,
	"as-root":     asRoot,
}

// overlap DIR N: is one of those who run at the same time. It leaves its mark in
// DIR/running while it runs, and in DIR/seen how many marks there were. The first
// ones stay until one of them has seen N marks, or for ten seconds.
func overlap() {
	dir, me := os.Args[1], strconv.Itoa(os.Getpid())
	enough, err := strconv.Atoi(os.Args[2])
	check(err)
	check(os.WriteFile(filepath.Join(dir, "running", me), nil, 0o600))
	full := filepath.Join(dir, "full")
	most := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		entries, err := os.ReadDir(filepath.Join(dir, "running"))
		check(err)
		most = max(most, len(entries))
		if _, err := os.Stat(full); err == nil {
			break
		}
		if most >= enough {
			check(os.WriteFile(full, nil, 0o600))
		}
	}
	check(os.WriteFile(filepath.Join(dir, "seen", me), []byte(strconv.Itoa(most)), 0o600))
	time.Sleep(10 * time.Millisecond) // a chance for one too many to be seen
	check(os.Remove(filepath.Join(dir, "running", me)))
}

// descriptors prints what its descriptors 0 to 9 are.
func descriptors() {
	for fd := range 10 {
		file, _ := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
		fmt.Println(fd, file)
	}
}

// signals [EXIT-SIGNAL]: prints "ready", then the name of each signal that it
// gets, and ends at the signal of that number, or SIGTERM.
func signals() {
	end := syscall.SIGTERM
	if len(os.Args) > 1 {
		n, _ := strconv.Atoi(os.Args[1])
		end = syscall.Signal(n)
	}
	caught := make(chan os.Signal, 64)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT)
	fmt.Println("ready")
	for n := range caught {
		fmt.Println(n)
		if n == end {
			return
		}
	}
}

// churn POOL N: acquires and releases N times.
func churn() {
	p, err := pool.Open(os.Args[1])
	check(err)
	n, _ := strconv.Atoi(os.Args[2])
	for range n {
		lease, err := p.Acquire(context.Background())
		check(err)
		check(lease.Release())
	}
}

// crowd POOL N: N goroutines of one process wait for a slot. It prints "in line" when
// all do, and "all served" when each has had one.
func crowd() {
	p, err := pool.Open(os.Args[1])
	check(err)
	n, _ := strconv.Atoi(os.Args[2])
	var waiting, served sync.WaitGroup
	waiting.Add(n)
	for range n {
		served.Go(func() {
			lease, err := p.Acquire(context.Background(), pool.OnWait(waiting.Done))
			check(err)
			check(lease.Release())
		})
	}
	waiting.Wait()
	fmt.Println("in line")
	served.Wait()
	fmt.Println("all served")
}

// closing COMMAND [ARG...]: closes what it has inherited but for 0, 1 and 2, as sudo
// does, and becomes the command.
func closing() {
	check(unix.CloseRange(3, ^uint(0), 0))
	path, err := exec.LookPath(os.Args[1])
	check(err)
	check(unix.Exec(path, os.Args[1:], os.Environ()))
}

// leaderless: closes what it has inherited, and ends its main thread; another goes on
// until it is killed.
func leaderless() {
	for fd := 3; fd < 100; fd++ {
		unix.Close(fd)
	}
	go func() {
		runtime.LockOSThread()
		for unix.Gettid() == unix.Getpid() {
			time.Sleep(time.Millisecond)
		}
		unix.Pause()
	}()
	runtime.LockOSThread() // main runs on the main thread: see init
	unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
}

// scribble FILE: writes random words all over a ledger's header, holders and first
// records, but its first line, without which nobody would read further; and puts back
// what was there.
func scribble() {
	f, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	check(err)
	sound := make([]byte, 1<<20)
	_, err = f.ReadAt(sound, 0)
	check(err)
	const records = 4096 + 4*4096 + 128*4096 // offset of the participants
	places := []struct{ from, to int64 }{{16, 280}, {4096, 4096 + 256}, {records, records + 16*256}}
	for n := 0; ; n++ {
		place := places[n%len(places)]
		at := place.from + 4*rand.Int64N((place.to-place.from)/4)
		word := []byte{byte(rand.Uint32()), byte(rand.Uint32N(32)), 0, 0}
		if n%2 == 0 {
			word = make([]byte, 4)
		}
		f.WriteAt(word, at)
		if n%64 == 0 {
			f.WriteAt(sound[16:280], 16)
		}
		if n%4096 == 0 {
			f.WriteAt(sound, 0)
			time.Sleep(time.Millisecond)
		}
	}
}

// truncate FILE: takes a ledger's bytes away and puts them back, again and again.
func truncate() {
	f, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	check(err)
	info, err := f.Stat()
	check(err)
	sound := make([]byte, info.Size())
	_, err = f.ReadAt(sound, 0)
	check(err)
	for {
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		f.Truncate(0)
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		f.WriteAt(sound, 0)
	}
}

// The programs run on the main thread.
func init() { runtime.LockOSThread() }

// sit DIR SEATS DURATION: takes one of so many seats, stays for that time, and
// notes its ticket in DIR/order. A seat is a file, taken by a lock, which the
// kernel frees whatever the process dies of: there are never too many seats free.
// Without a free seat it leaves a note in DIR/stood and ends with status 9.
func sit() {
	dir := os.Args[1]
	seats, _ := strconv.Atoi(os.Args[2])
	duration, _ := time.ParseDuration(os.Args[3])
	// Of one that is dying, the kernel can drop the guard a moment before the
	// seat. So one has to stand for a while.
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
			// Above the guard's number: the kernel closes the descriptors of the dead
			// from the last to the first (task_work_run), and the guard is to go last.
			_, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 60)
			check(err)
			check(syscall.Close(fd))
			return true
		}
		syscall.Close(fd)
	}
	return false
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// overlapDir makes the directory for overlap.
func overlapDir(dir string) string {
	check(os.MkdirAll(filepath.Join(dir, "running"), 0o700))
	check(os.MkdirAll(filepath.Join(dir, "seen"), 0o700))
	return dir
}

// mostSeen returns how many ran in all, and the most that ran at once.
func mostSeen(dir string) (ran, most int) {
	files, _ := filepath.Glob(filepath.Join(dir, "seen", "*"))
	var seen []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		check(err)
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		check(err)
		seen = append(seen, n)
	}
	sort.Ints(seen)
	if len(seen) == 0 {
		return 0, 0
	}
	return len(seen), seen[len(seen)-1]
}

// no-tmpfile COMMAND [ARG...]: becomes the command, for which openat(2) has no O_TMPFILE,
// as on a file system that has none.
func noTmpfile() {
	const flags = 16 + 2*8 // offset of args[2] in struct seccomp_data, seccomp(2)
	becomeFiltered(
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_OPENAT, Jf: 3},
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: flags},
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.O_TMPFILE &^ unix.O_DIRECTORY, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EOPNOTSUPP)},
	)
}

// no-unlink COMMAND [ARG...]: becomes the command, which cannot remove a file.
func noUnlink() {
	becomeFiltered(
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UNLINKAT, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	)
}

// becomeFiltered becomes the command in the arguments, under a filter of system calls
// that begins with the call's number and allows what it falls through to.
func becomeFiltered(rules ...unix.SockFilter) {
	filter := append([]unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}}, rules...)
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	check(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
	path, err := exec.LookPath(os.Args[1])
	check(err)
	check(syscall.Exec(path, os.Args[1:], os.Environ()))
}
