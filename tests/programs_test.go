package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/poolrun/poolrun/gate"
	"github.com/poolrun/poolrun/pool"
)

// programs are commands for poolrun to run: the test binary under another name, on the PATH.
var programs = map[string]func(){
	"overlap":     overlap,
	"overlapping": overlapping,
	"signals":     signals,
	"descriptors": descriptors,
	"churn":       churn,
	"sit":         sit,
	"crowd":       crowd,
	"closing":     closing,
	"leaderless":  leaderless,
	"scribble":    scribble,
	"cut-short":   cutShort,
	"no-tmpfile":  noTmpfile,
	"no-unlink":   noUnlink,
	"changed":     changed,
	"attributes":  attributes,
	"as-root":     asRoot,
	"await-file":  awaitFile,
	"await-pool":  awaitPool,
	"semaphore":   semaphore,
	"jobclient":   jobclient,
	"job":         job,
	"tokens":      tokens,
}

// descriptors prints what its descriptors 0 to 9 are.
func descriptors() {
	for fd := range 10 {
		file, _ := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
		fmt.Println(fd, file)
	}
}

// signals: prints "ready", then the name of each signal that it gets, and exits after
// SIGTERM.
func signals() {
	caught := make(chan os.Signal, 64)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT)
	fmt.Println("ready")
	for n := range caught {
		fmt.Println(n)
		if n == syscall.SIGTERM {
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
// all of them wait, and "all served" when each has had a slot.
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

// closing COMMAND [ARG...]: closes all descriptors except 0, 1 and 2, as sudo does, and
// becomes the command.
func closing() {
	check(unix.CloseRange(3, ^uint(0), 0))
	become(os.Args[1:])
}

// leaderless: closes the descriptors that it has inherited, and ends its main thread. Another
// thread goes on until it is killed.
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

// init keeps the programs on the main thread.
func init() { runtime.LockOSThread() }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// awaitFile FILE: waits until the file exists.
func awaitFile() {
	_, err := os.Stat(os.Args[1])
	for end := time.Now().Add(hangs); err != nil && time.Now().Before(end); _, err = os.Stat(os.Args[1]) {
		time.Sleep(2 * time.Millisecond)
	}
	check(err)
}

// awaitPool POOL COMMANDS WAITERS: waits until so many commands run in a pool, and so many
// processes wait.
func awaitPool() {
	commands, err := strconv.Atoi(os.Args[2])
	check(err)
	waiters, err := strconv.Atoi(os.Args[3])
	check(err)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		out, err := exec.Command("poolrun", "status", os.Args[1], "--format", "json").Output()
		check(err)
		var s status
		check(json.Unmarshal(out, &s))
		if s.commands() == commands && len(s.Holders) == commands && s.Waiting == waiters {
			return
		}
		if time.Now().After(end) {
			check(fmt.Errorf("not %d commands and %d waiters: %s", commands, waiters, out))
		}
	}
}

// semaphore wait|post POOL: uses a pool's semaphore as a program does that knows nothing of
// poolrun.
func semaphore() {
	s, err := gate.Open("/" + strings.TrimPrefix(os.Args[2], "/"))
	check(err)
	if os.Args[1] == "wait" {
		check(s.TryWait())
	} else {
		check(s.Post())
	}
}

// become replaces the program by a command.
func become(command []string) {
	path, err := exec.LookPath(command[0])
	check(err)
	check(unix.Exec(path, command, os.Environ()))
}
