package tests

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conditions that can never hold here.
var impossible = map[string]string{"--memfree": "1000T", "--load": "0.000001"}

// The first in line waits for its condition, and nobody passes it.
func TestAnUnmetConditionHoldsTheLine(t *testing.T) {
	t.Parallel()
	url := newPool(t, 2)
	cmd := mustStart(t, poolrun(t, "--pool", url, "--memfree", impossible["--memfree"], "true"))
	s := waitForLine(t, url, 1)
	if !strings.Contains(s.Waiters[0].WaitsFor, "free memory") {
		t.Errorf("%+v", s.Waiters)
	}
	wantResult(t, poolrun(t, "--pool", url, "-n", "true"), 75, "others wait for it already")
	cmd.Process.Kill()
	wantExit(t, 128+9, cmd)
	awaitLine(t, url, 0)
	mustRun(t, "--pool", url, "-n", "true")
}

func TestAnUnmetConditionIsToldWhenTheWaitEnds(t *testing.T) {
	t.Parallel()
	url := newPool(t, 1)
	for flag, value := range impossible {
		wantResult(t, poolrun(t, "--pool", url, "-n", flag, value, "true"), 75, "cannot start in pool .* yet: it waits for")
		wantResult(t, poolrun(t, "--pool", url, "-w", "0.5", flag, value, "true"), 75, "cannot start in pool .* yet: it waits for .*gave up after 500ms")
	}
	mustRun(t, "--pool", url, "--memfree", "1K", "--load", "100000", "true")
	wantEmpty(t, url)
}

// In a pool with a delay, the starts are at least so far apart, although there are slots enough.
func TestADelaySeparatesStarts(t *testing.T) {
	t.Parallel()
	const delay, n = 2 * time.Second, 3
	url := newPool(t, 10, "--delay", delay.String())
	var next []func() string
	for range n {
		cmd := poolrun(t, "--pool", url, "date", "+%s%N")
		next = append(next, startLines(t, cmd))
		defer wantExit(t, 0, cmd)
	}
	var first, last int64
	for _, line := range next {
		at, err := strconv.ParseInt(line(), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = at
		}
		first, last = min(first, at), max(last, at)
	}
	// On a busy machine, date(1) itself starts a while later.
	if distance := time.Duration(last - first); distance < (n-1)*delay-delay/2 {
		t.Errorf("%d starts within %v", n, distance)
	}
	wantResult(t, poolrun(t, "--pool", url, "-n", "true"), 75, "the delay of 2s between two starts")
}
