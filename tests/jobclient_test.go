package tests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// jobs N COMMAND [ARG...]: a client of GNU make's jobserver, as MAKEFLAGS names it: it runs a command N
// times, one job without a token and others as it gets tokens, and returns these. JOBS in its
// environment makes it misbehave: "surplus" returns each token twice, "odd" returns other bytes, "keep"
// exits without returning any.
func jobs() {
	n, err := strconv.Atoi(os.Args[1])
	check(err)
	read, write := openJobserver()
	own, wanted, tokens := make(chan byte, 1), make(chan bool, n), make(chan byte)
	own <- 0
	if read != nil {
		go func() {
			for range wanted {
				var b [1]byte
				if _, err := io.ReadFull(read, b[:]); err != nil {
					return
				}
				tokens <- b[0]
			}
		}()
	}
	var all sync.WaitGroup
	isWaiting := false
	for range n {
		if !isWaiting {
			wanted <- true
			isWaiting = true
		}
		var token byte
		select {
		case token = <-own:
		case token = <-tokens:
			isWaiting = false
		}
		all.Go(func() {
			cmd := exec.Command(os.Args[2], os.Args[3:]...)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			check(cmd.Run())
			switch mode := os.Getenv("JOBS"); {
			case token == 0:
				own <- 0
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

func openJobserver() (read, write *os.File) {
	for _, flag := range strings.Fields(os.Getenv("MAKEFLAGS")) {
		auth, ok := strings.CutPrefix(flag, "--jobserver-auth=")
		if !ok {
			continue
		}
		if path, ok := strings.CutPrefix(auth, "fifo:"); ok {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			check(err)
			return f, f
		}
		var r, w int
		_, err := fmt.Sscanf(auth, "%d,%d", &r, &w)
		check(err)
		return os.NewFile(uintptr(r), "read"), os.NewFile(uintptr(w), "write")
	}
	return nil, nil
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
		_, err := io.ReadFull(read, held)
		check(err)
		fmt.Println("got", n)
		if !lines.Scan() {
			return
		}
		_, err = write.Write(held)
		check(err)
		fmt.Println("returned", n)
		if !lines.Scan() {
			return
		}
	}
}
