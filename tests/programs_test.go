package tests

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// Programs that the tests run under poolrun. They are the test binary under
// another name, on the PATH.
var programs = map[string]func(){
	"overlap": overlap,
	"signals": signals,
	"nothing": func() {},
	"churn":   churn,
}

func isProgram() bool {
	_, ok := programs[filepath.Base(os.Args[0])]
	return ok
}

// overlap DIR DURATION: is one of those who run at the same time. It leaves its
// mark in DIR/running while it runs, and in DIR/seen how many marks there were.
func overlap() {
	dir, me := os.Args[1], strconv.Itoa(os.Getpid())
	duration, _ := time.ParseDuration(os.Args[2])
	check(os.WriteFile(filepath.Join(dir, "running", me), nil, 0o600))
	entries, err := os.ReadDir(filepath.Join(dir, "running"))
	check(err)
	check(os.WriteFile(filepath.Join(dir, "seen", me), []byte(strconv.Itoa(len(entries))), 0o600))
	time.Sleep(duration)
	check(os.Remove(filepath.Join(dir, "running", me)))
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
