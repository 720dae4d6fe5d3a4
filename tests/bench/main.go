// Bench compares poolrun with flock(1) and other tools that run commands under a limit, and with older
// builds of itself. Machines are noisy and differ. The ratios of alternating runs are comparable all
// the same. So every round runs each variant once, and a ratio is the median of the ratios of the
// rounds.
//
// It prints a table, and appends one JSON object per figure to a file.
package main

import (
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// A bench holds the state that all sections share.
type bench struct {
	poolrun string
	dir     string // for lock files
	quick   bool
	files   int
	missing map[*tool]bool // tools that this machine does not have
	holders []*crowd       // that run until the end
	figures []figure
}

var sections = []struct {
	name string
	run  func(*bench) error
}{
	{"start-up", (*bench).startUp},
	{"no-fork", (*bench).noFork},
	{"hand-over", (*bench).handOver},
	{"throughput", (*bench).throughput},
	{"jobs", (*bench).jobs},
	{"waiting", (*bench).waiting},
	{"reclaim", (*bench).reclaim},
	{"growth", (*bench).growth},
}

func main() {
	b := &bench{missing: map[*tool]bool{}}
	flag.StringVar(&b.poolrun, "poolrun", "./poolrun", "the program to measure")
	flag.BoolVar(&b.quick, "quick", false, "fewer rounds: a few minutes in all")
	only := flag.String("only", "", "only the sections that match this regular expression")
	old := flag.String("old", "", "only compare the program with this older build of it")
	jsonFile := flag.String("json", "bench.jsonl", "append the figures to this `file`")
	dir := flag.String("plot", "", "measure nothing: draw the figures in the file into this `directory`")
	name := flag.String("others", "", "be others that use this pool: for the section growth")
	flag.Parse()
	if *name != "" {
		if err := beOthers(*name, flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := b.main(*only, *old, *jsonFile, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(only, old, jsonFile, dir string) (err error) {
	if dir != "" {
		return plot(jsonFile, dir)
	}
	if b.poolrun, err = filepath.Abs(b.poolrun); err != nil {
		return err
	}
	// In memory, so that no disk is measured.
	if b.dir, err = os.MkdirTemp("/dev/shm", "poolrun-bench-"); err != nil {
		return err
	}
	defer b.cleanUp()
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-interrupts // the children get a terminal's signals too
		b.cleanUp()
		os.Exit(130)
	}()
	if old != "" {
		return b.compareBuilds(old)
	}
	return b.runSections(only, jsonFile)
}

func (b *bench) runSections(only, jsonFile string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	fmt.Println(machine())
	for _, t := range append(b.rivals(), poolrun) {
		fmt.Printf("%s: %s COMMAND\n", t.name, t.short)
	}
	for _, section := range sections {
		if !wanted.MatchString(section.name) {
			continue
		}
		if err := section.run(b); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
		b.print(section.name)
		if err := b.appendJSON(jsonFile); err != nil {
			return err
		}
	}
	return nil
}

// pools are the pools that were made, and by which program.
var pools []madePool

type madePool struct{ poolrun, name string }

// pool creates a pool, which cleanUp removes.
func (b *bench) pool(size int) (string, error) {
	name := fmt.Sprintf("/bench-%d-%d", os.Getpid(), len(pools))
	pools = append(pools, madePool{b.poolrun, name})
	out, err := exec.Command(b.poolrun, "init", name, "--size", fmt.Sprint(size)).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("init: %w: %s", err, out)
	}
	return name, nil
}

func (b *bench) cleanUp() {
	for _, p := range pools {
		exec.Command(p.poolrun, "destroy", "--force", p.name).Run()
	}
	os.RemoveAll(b.dir)
}

// file returns the name of a new file.
func (b *bench) file(kind string) string {
	b.files++
	return filepath.Join(b.dir, fmt.Sprint(kind, "-", b.files))
}

// rounds yields n times. A quick bench stops after a while, but yields at least once.
func (b *bench) rounds(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		began := time.Now()
		for i := range n {
			if b.quick && i > 0 && time.Since(began) > quickly || !yield(i) {
				return
			}
		}
	}
}

const quickly = time.Second

// scale returns how much to do in a round.
func (b *bench) scale(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}
