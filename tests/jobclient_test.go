package tests

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// jobclient N COMMAND [ARG...]: a client of GNU make's jobserver, as MAKEFLAGS names it: it runs a command N
// times, one job without a token and others as it gets tokens, and returns these. JOBS in its
// environment makes it misbehave: "surplus" returns each token twice, "odd" returns other bytes, "keep"
// exits without returning any.
func jobclient() {
	n, err := strconv.Atoi(os.Args[1])
	check(err)
	read, write := openJobserver()
	own := make(chan bool, 1) // full while the job without a token does not run
	own <- true
	var all sync.WaitGroup
	for range n {
		token, isOwn := nextToken(read, own)
		all.Go(func() {
			cmd := exec.Command(os.Args[2], os.Args[3:]...)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			check(cmd.Run())
			switch mode := os.Getenv("JOBS"); {
			case isOwn:
				own <- true
			case mode == "surplus":
				write.Write([]byte{token, token})
			case mode == "odd":
				write.Write([]byte{'?'})
			case mode != "keep":
				write.Write([]byte{token})
			}
		})
	}
	all.Wait()
}

// nextToken waits for the job without a token, or for a token.
func nextToken(read int, own <-chan bool) (token byte, isOwn bool) {
	for {
		select {
		case <-own:
			return 0, true
		default:
		}
		unix.Poll([]unix.PollFd{{Fd: int32(read), Events: unix.POLLIN}}, 2)
		var b [1]byte
		if n, _ := unix.Read(read, b[:]); n == 1 {
			return b[0], false
		}
	}
}

// openJobserver opens the two ends, of which read does not block. Without a jobserver, nothing can be read.
func openJobserver() (read int, write *os.File) {
	for _, flag := range strings.Fields(os.Getenv("MAKEFLAGS")) {
		auth, ok := strings.CutPrefix(flag, "--jobserver-auth=")
		if !ok {
			continue
		}
		path, ok := strings.CutPrefix(auth, "fifo:")
		from, to := path, path
		if !ok {
			r, w, _ := strings.Cut(auth, ",")
			from, to = "/proc/self/fd/"+r, "/proc/self/fd/"+w // as cargo does
		}
		read, err := unix.Open(from, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		check(err)
		write, err := os.OpenFile(to, os.O_WRONLY, 0)
		check(err)
		return read, write
	}
	return -1, nil
}

// job DIR DURATION: a job that leaves a file in DIR/running while it runs, and appends a line to
// DIR/log at its start and end.
func job() {
	duration, err := time.ParseDuration(os.Args[2])
	check(err)
	log, err := os.OpenFile(filepath.Join(os.Args[1], "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	fmt.Fprintln(log, "start", os.Getpid())
	time.Sleep(duration)
	fmt.Fprintln(log, "end", os.Getpid())
}

// tokens N: takes N tokens of the jobserver and prints "got N". With the next line of its input it returns
// them and prints "returned N", with the next it takes them again, and so on.
func tokens() {
	read, write := openJobserver()
	n, err := strconv.Atoi(os.Args[1])
	check(err)
	lines := bufio.NewScanner(os.Stdin)
	held := make([]byte, n)
	for {
		for i := range held {
			held[i], _ = nextToken(read, nil)
		}
		fmt.Println("got", n)
		if !lines.Scan() {
			return
		}
		_, err := write.Write(held)
		check(err)
		fmt.Println("returned", n)
		if !lines.Scan() {
			return
		}
	}
}
