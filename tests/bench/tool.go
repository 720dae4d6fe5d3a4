package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A tool runs commands under a limit, as people use it.
type tool struct {
	name  string
	short string // in tables
	needs string // the program, "" for one of the shell's
	hint  string // where the program comes from

	// limit makes something that at most so many commands hold at once. It returns nil if the tool
	// cannot have so many.
	limit func(b *bench, slots int) (*limit, error)

	crowd int  // how many commands can wait, if that is fewer than 1,000
	polls bool // waiting commands look now and then, which takes a second or so
	heavy bool // a run takes hundreds of milliseconds
	leaks bool // a holder that is killed keeps what it holds
}

// A limit is what commands wait for.
type limit struct {
	prefix []string   // what comes before a command
	inLine func() int // how many commands wait; nil if that cannot be seen
	close  func()     // may be nil
}

// argv is the command behind the tool.
func (l *limit) argv(command ...string) []string {
	return append(l.prefix[:len(l.prefix):len(l.prefix)], command...)
}

func (l *limit) end() {
	if l.close != nil {
		l.close()
	}
}

var (
	poolrun  = &tool{name: "poolrun", short: "poolrun --pool POOL", limit: (*bench).poolLimit}
	flock    = &tool{name: "flock", short: "flock FILE", needs: "flock", hint: "util-linux", limit: fileLimit("flock")}
	spooler  = &tool{name: "task-spooler", short: "tsp -nf", needs: "tsp", hint: "Debian package task-spooler", limit: spoolerLimit, crowd: 500}
	sem      = &tool{name: "GNU sem", short: "sem --fg", needs: "sem", hint: "Debian package parallel", limit: semLimit, crowd: 100, polls: true, heavy: true}
	setlock  = &tool{name: "s6-setlock", short: "s6-setlock FILE", needs: "s6-setlock", hint: "Debian package s6", limit: fileLimit("s6-setlock")}
	waitlock = &tool{name: "waitlock", short: "waitlock NAME --exec", needs: "waitlock", hint: "github.com/bigattichouse/waitlock", limit: waitlockLimit, polls: true}
	mkdir    = &tool{name: "mkdir loop", short: "until mkdir DIR; do sleep 0.1; done", limit: mkdirLimit, crowd: 100, polls: true, leaks: true}
)

// tools are all of them. The first is what the others are compared with.
var tools = []*tool{flock, poolrun, spooler, setlock, waitlock, sem, mkdir}

// rivals are the tools that this machine has, without poolrun. The others are named once.
func (b *bench) rivals() (list []*tool) {
	for _, t := range tools {
		if t == poolrun {
			continue
		}
		if _, err := exec.LookPath(t.needs); t.needs == "" || err == nil {
			list = append(list, t)
		} else if !b.missing[t] {
			b.missing[t] = true
			fmt.Fprintf(os.Stderr, "%s is not here (%s): not compared\n", t.name, t.hint)
		}
	}
	return list
}

func (b *bench) poolLimit(slots int) (*limit, error) {
	name, err := b.pool(slots)
	return &limit{
		prefix: []string{b.poolrun, "--pool", name, "--"},
		inLine: func() int { return b.inLine(name) },
	}, err
}

// inLine counts the commands that wait in a pool.
func (b *bench) inLine(name string) int {
	out, err := exec.Command(b.poolrun, "status", name, "--format", "json").Output()
	var status struct{ Waiting int }
	if err == nil {
		err = json.Unmarshal(out, &status)
	}
	if err != nil {
		panic(err)
	}
	return status.Waiting
}

// fileLimit is for a program that locks a file.
func fileLimit(program ...string) func(*bench, int) (*limit, error) {
	return func(b *bench, slots int) (*limit, error) {
		if slots != 1 {
			return nil, nil
		}
		file := b.file("lock")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return nil, err
		}
		return &limit{prefix: append(program[:len(program):len(program)], file), inLine: func() int { return waitersFor(file) }}, nil
	}
}

// waitersFor counts the processes that wait for a lock on a file: proc_locks(5).
func waitersFor(file string) (n int) {
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		panic(err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		panic(err)
	}
	inode := fmt.Sprintf(":%d ", st.Ino)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "->") && strings.Contains(line, inode) {
			n++
		}
	}
	return n
}

// spoolerLimit starts a server. The variable TS_SOCKET names it.
func spoolerLimit(b *bench, slots int) (*limit, error) {
	os.Setenv("TS_SOCKET", b.file("ts"))
	os.Setenv("TS_MAXFINISHED", "10")
	os.Setenv("TMPDIR", b.dir)
	if err := exec.Command("tsp", "-S", strconv.Itoa(slots)).Run(); err != nil {
		return nil, err
	}
	socket := os.Getenv("TS_SOCKET")
	return &limit{
		prefix: []string{"tsp", "-nf"},
		inLine: func() int {
			out, _ := exec.Command("tsp").Output()
			return bytes.Count(out, []byte(" queued "))
		},
		close: func() {
			os.Setenv("TS_SOCKET", socket)
			exec.Command("tsp", "-K").Run()
		},
	}, nil
}

func semLimit(b *bench, slots int) (*limit, error) {
	os.Setenv("PARALLEL_HOME", b.dir)
	return &limit{prefix: []string{"sem", "--fg", "--id", filepath.Base(b.file("sem")), "-j", strconv.Itoa(slots)}}, nil
}

// waitlockLimit: without a timeout waitlock does not wait at all.
func waitlockLimit(b *bench, slots int) (*limit, error) {
	os.Setenv("WAITLOCK_DIR", b.dir)
	return &limit{prefix: []string{"waitlock", "-q", "-t", "3600", "-m", strconv.Itoa(slots), filepath.Base(b.file("w")), "--exec"}}, nil
}

// mkdirLimit is a loop as people write it.
func mkdirLimit(b *bench, slots int) (*limit, error) {
	if slots != 1 {
		return nil, nil
	}
	const script = `until mkdir "$0" 2>/dev/null; do sleep 0.1; done; "$@"; status=$?; rmdir "$0"; exit $status`
	return &limit{prefix: []string{"sh", "-c", script, b.file("dir")}}, nil
}
