package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

// overlap DIR N: notes how many overlaps run at the same time. It has a mark in DIR/running
// while it runs, and leaves in DIR/seen the largest number of marks that it saw. It stays until
// one overlap has seen N marks, or for ten seconds.
func overlap() {
	enough, err := strconv.Atoi(os.Args[2])
	check(err)
	together(os.Args[1], enough, func() {
		time.Sleep(10 * time.Millisecond) // so that one process too many would be seen
	})
}

// overlapping DIR N COMMAND [ARG...]: as overlap, and then runs a command before it removes its
// mark. It exits as the command does.
func overlapping() {
	enough, err := strconv.Atoi(os.Args[2])
	check(err)
	cmd := exec.Command(os.Args[3], os.Args[4:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	together(os.Args[1], enough, func() { cmd.Run() })
	os.Exit(shellCode(cmd.ProcessState))
}

// together runs a function while this process has a mark in dir, and enough marks have been seen.
func together(dir string, enough int, work func()) {
	me := strconv.Itoa(os.Getpid())
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
	work()
	check(os.Remove(filepath.Join(dir, "running", me)))
}

// overlapDir creates the directory for overlap.
func overlapDir(dir string) string {
	check(os.MkdirAll(filepath.Join(dir, "running"), 0o700))
	check(os.MkdirAll(filepath.Join(dir, "seen"), 0o700))
	return dir
}

// mostSeen returns how many overlaps ran in all, and how many at once at most.
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

// wantSeen checks how many processes noted that they ran, and how many did at once at most.
func wantSeen(t testing.TB, what, dir string, ran, most int) {
	t.Helper()
	if r, m := mostSeen(dir); r != ran || m != most {
		t.Errorf("%s: %d ran, at most %d at once; want %d and %d", what, r, m, ran, most)
	}
}
