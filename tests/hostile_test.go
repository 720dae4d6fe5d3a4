package tests

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A hostile member of the pool's group writes anything into the files, at any moment, or
// truncates them. No poolrun crashes or hangs, and a command that ran ends with its own exit
// code. (The limit is lost, and a newcomer may be refused.)
func TestScribblingInTheMiddleOfEverythingCrashesNobody(t *testing.T) {
	for _, how := range []string{"scribble", "cut-short"} {
		t.Run(how, func(t *testing.T) {
			name := newPool(t, 64)
			vandal := command(t, how, ledgerOf(name))
			mustStart(t, vandal)
			end := time.Now().Add(4 * time.Second)
			var group sync.WaitGroup
			for i := range 6 {
				group.Go(func() {
					for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
						wantNoCrash(t, name, i, n)
					}
				})
			}
			group.Wait()
			vandal.Process.Kill()
			vandal.Wait()
		})
	}
}

func wantNoCrash(t *testing.T, name string, i, n int) {
	t.Helper()
	var stderr bytes.Buffer
	args := [][]string{
		{"--pool", name, "-n", "-k", fmt.Sprint(1 + n%4), "--", "sh", "-c", "exit 7"},
		{"--pool", name, "--timeout", "20ms", "--", "sh", "-c", "exit 7"},
		{"status", name},
		{"--pool", name, "--timeout", "1ms", "--close", "--priority", "-3", "--", "sh", "-c", "exit 7"},
		{"repair", name},
		{"resize", name, "64"},
	}[(i+n)%6]
	cmd := poolrun(t, args...)
	cmd.Stderr = &stderr
	switch code := exitCode(t, cmd); code {
	case 0, 2, 7, 75:
	default:
		t.Errorf("%q: exit code %d, %s", args, code, stderr.String())
	}
	if text := stderr.String(); strings.Contains(text, "goroutine") || strings.Contains(text, "fatal error") || strings.Contains(text, "panic") {
		t.Errorf("%q crashed: %s", args, text)
	}
}

// A process died in a change, at any step. A reader that cannot write sees what recovery will
// make of the change: neither damage nor the dead.
func TestAReaderIsNotShownTheDead(t *testing.T) {
	needRoot(t)
	eachStep(t, everyStep, func(t *testing.T, n int, _ string) (died bool) {
		name := freeName(t)
		mustRun(t, "init", name, "--size", "2", "--mode", "0644")
		cmd := crashing(t, n, "--pool", name, "true")
		cmd.Run()
		reader := asNobody(t, poolrun(t, "status", name, "--format", "json"))
		out, err := reader.CombinedOutput()
		for _, want := range []string{`"in_use":0`, `"holders":[]`, `"waiters":[]`} {
			if err != nil || !bytes.Contains(out, []byte(want)) {
				t.Fatalf("not %s: %v %s", want, err, out)
			}
		}
		return wasKilled(cmd)
	})
}

// A message is one line without control characters, whatever it quotes.
func TestMessagesHoldNoControlCharacters(t *testing.T) {
	for _, args := range [][]string{
		{"--pool", "a\nb\x1b[31m", "true"}, {"--a\nb\x1b[31m", "true"}, {"status", "a\nb\x1b[31m"}, {"resize", "/x", "a\nb\x1b[31m"},
		{"a\nb\x1b[31m"},
	} {
		out, _ := poolrun(t, args...).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.HasPrefix(line, "poolrun: ") && !strings.HasPrefix(line, "hint: ") || strings.ContainsRune(line, 0x1b) {
				t.Errorf("%q: %q", args, out)
			}
		}
	}
}
