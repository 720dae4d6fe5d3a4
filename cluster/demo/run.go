package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// work is what each command does. It reports its begin and its end, each with one write, and waits for the
// end of its standard input in between.
const work = `#!/bin/sh
echo "begin $(uname -n)"
read -r _
sleep 0.1
echo "end $(uname -n)"
`

// runAll starts commands on all machines at the same time, and lets them end when all others are in line.
func runAll(ctx context.Context, nodes []*machine) (ran count, err error) {
	dir, err := os.MkdirTemp("", "poolrun-demo-")
	if err != nil {
		return ran, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "work"), []byte(work), 0o755); err != nil {
		return ran, err
	}
	input, letGo, err := os.Pipe()
	if err != nil {
		return ran, err
	}
	defer input.Close()
	defer letGo.Close()
	reports, output, err := os.Pipe()
	if err != nil {
		return ran, err
	}
	defer reports.Close()
	defer output.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	for i := range commands {
		m := nodes[i%machines]
		cmd := m.command(ctx, "--pool", pool, "--", "work", fmt.Sprint(i+1))
		cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"))
		cmd.Stdin, cmd.Stdout = input, output
		if err := m.start(cmd); err != nil {
			return ran, err
		}
		running.Go(func() {
			if err := cmd.Wait(); err != nil {
				cancel(fmt.Errorf("a command on %s: %w", m.name, err)) // ends all others
			}
		})
	}
	fmt.Printf("started %d commands at once, %d on each machine; now the pool is\n", commands, commands/machines)
	if err := showLine(ctx, nodes[1]); err != nil {
		return ran, cmp.Or(context.Cause(ctx), err)
	}
	letGo.Close()
	fmt.Println("letting the commands end")
	output.Close() // so that the reports end with the last command
	ran = read(reports)
	running.Wait()
	return ran, context.Cause(ctx)
}

// showLine waits until the pool is full and all other commands are in line, and shows that.
func showLine(ctx context.Context, m *machine) error {
	for {
		text, err := m.poolrun(ctx, "status", pool, "--format", "json")
		if err != nil {
			return err
		}
		var status struct{ Waiting int }
		if err := json.Unmarshal([]byte(text), &status); err != nil {
			return err
		}
		if status.Waiting >= commands-slots {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	text, err := m.poolrun(ctx, "status", pool)
	if err != nil {
		return err
	}
	lines := strings.SplitAfter(text, "\n")
	const shown = 14
	fmt.Print("  ", strings.Join(lines[:min(shown, len(lines))], "  "), "  ...\n")
	return nil
}

// A count is what the commands have reported.
type count struct {
	most int            // how many ran at once
	ran  map[string]int // by the name of the machine
}

// read counts until no command has the other end of the pipe. The order in a pipe is that of the writes, so
// the commands that it counts as running do run at the same time.
func read(reports io.Reader) count {
	c, now := count{ran: map[string]int{}}, 0
	for lines := bufio.NewScanner(reports); lines.Scan(); {
		switch what, machine, _ := strings.Cut(lines.Text(), " "); what {
		case "begin":
			now++
			c.most = max(c.most, now)
		case "end":
			now--
			c.ran[machine]++
		}
	}
	return c
}

func (c count) total() (n int) {
	for _, ran := range c.ran {
		n += ran
	}
	return n
}

// String says how many commands ran in all, and on each machine.
func (c count) String() string {
	var parts []string
	for _, machine := range slices.Sorted(maps.Keys(c.ran)) {
		parts = append(parts, fmt.Sprintf("%d on %s", c.ran[machine], machine))
	}
	return fmt.Sprintf("%d (%s)", c.total(), strings.Join(parts, ", "))
}
