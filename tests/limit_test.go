package tests

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

func TestXargsNeverRunsMoreThanThePoolAllows(t *testing.T) {
	name := newPool(t, 4)
	dir := overlapDir(t.TempDir())
	cmd := command(t, "xargs", "-P", "32", "-n", "1", binaries.poolrun, "--pool", name, "--", "overlap", dir, "4")
	// xargs adds an argument to each command. overlap ignores it.
	cmd.Stdin = strings.NewReader(strings.Repeat("x\n", 200))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if ran, most := mostSeen(dir); ran != 200 || most != 4 {
		t.Errorf("%d ran, at most %d at once; want 200 and 4", ran, most)
	}
	wantEmpty(t, name)
}

func TestTenThousandOperationsOfSixteenProcessesAddUp(t *testing.T) {
	const processes, each = 16, 625
	name := newPool(t, 4)
	var all []*exec.Cmd
	var outputs [processes]bytes.Buffer
	for i := range processes {
		cmd := command(t, "churn", name, fmt.Sprint(each))
		cmd.Stderr = &outputs[i]
		all = append(all, mustStart(t, cmd))
	}
	for i, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v %s", i, err, &outputs[i])
		}
	}
	wantEmpty(t, name)
	if n := statusOf(t, name).Counters; n.Acquired != processes*each || n.Released != processes*each {
		t.Errorf("counters %+v", n)
	}
}

func TestManyRunsWithASizeCreateOnePool(t *testing.T) {
	name := freeName(t)
	dir := overlapDir(t.TempDir())
	var group sync.WaitGroup
	for range 50 {
		cmd := poolrun(t, "--pool", name, "--size", "3", "--", "overlap", dir, "3")
		group.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v %s", err, out)
			}
		})
	}
	group.Wait()
	if ran, most := mostSeen(dir); ran != 50 || most != 3 {
		t.Errorf("%d ran, at most %d at once; want 50 and 3", ran, most)
	}
	wantEmpty(t, name)
	if s := statusOf(t, name); s.Counters.Acquired != 50 {
		t.Errorf("not all shared one pool: %+v", s)
	}
}

func TestOnlyOneOfManyCreatesThePool(t *testing.T) {
	name := freeName(t)
	codes := make(chan int, 20)
	for range cap(codes) {
		cmd := poolrun(t, "init", name, "--size", "2")
		go func() {
			cmd.Run()
			codes <- shellCode(cmd.ProcessState)
		}()
	}
	created := 0
	for range cap(codes) {
		switch code := <-codes; code {
		case 0:
			created++
		case 2:
		default:
			t.Errorf("exit code %d", code)
		}
	}
	if created != 1 {
		t.Errorf("%d processes created the pool", created)
	}
	wantEmpty(t, name)
}
