package tests

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// Keys that others have written or damaged.

// put writes a key of a pool.
func (p testPool) put(t testing.TB, key, value string) {
	t.Helper()
	_, err := p.cluster.Client().Put(t.Context(), keys.Of(p.name).All()+key, value)
	must(t, err)
}

// A pool whose record is damaged is reported as such, and can be removed.
func TestADamagedPoolIsReported(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 1)
	answer, err := p.cluster.Client().Get(t.Context(), keys.Of(p.name).Pool())
	must(t, err)
	good := string(answer.Kvs[0].Value)
	for _, record := range []string{
		"", "nonsense", "null", "[]", "{}", "\x00\xff", good[:len(good)-1], good + good,
		strings.Replace(good, `"size":1`, `"size":-1`, 1), strings.Replace(good, `"size":1`, `"size":5000`, 1), strings.Replace(good, `"size":1`, `"size":1e99`, 1),
		strings.Replace(good, `"lease_ns":60000000000`, `"lease_ns":1`, 1), strings.Replace(good, `"keep":false`, `"keep":false,"delay_ns":-1`, 1),
	} {
		if record == good {
			t.Fatalf("%q is not damaged", good)
		}
		p.put(t, "a", record)
		text := "^poolrun: pool " + p.url() + " (is damaged|was made by another version)"
		wantRefused(t, text, poolrun(t, "--pool", p.url(), "-n", "true"))
		wantRefused(t, text, poolrun(t, "status", p.url()))
	}
	p.put(t, "a", strings.Replace(good, `"layout":1`, `"layout":2`, 1))
	for _, args := range [][]string{{"--pool", p.url(), "true"}, {"status", p.url()}, {"resize", p.url(), "2"}, {"destroy", p.url()}} {
		wantRefused(t, "was made by another version of poolrun: it has another layout: 2, and this version uses layout 1", poolrun(t, args...))
	}
	mustRun(t, "destroy", p.url(), "--force")
	wantNoKeys(t, p)
}

// Keys that poolrun has not written are reported, and a forced destroy removes them with the pool. A newcomer
// does not see those behind it.
func TestForeignKeysAreReported(t *testing.T) {
	t.Parallel()
	p := freePool(t, shared(t))
	text := "pool " + p.url() + " is damaged: key .*poolrun has not written it"
	for _, key := range []string{"h/0", "h/00000", "h/9999", "h/-001", "h/", "w/00/x", "w/20/0/1.1", "w/00/0000000000000001/0000000000000001.0", "w/99/0000000000000001/0000000000000001.1"} {
		mustRun(t, "init", p.url(), "--size", "2")
		p.put(t, key, "{}")
		wantRefused(t, text, poolrun(t, "status", p.url()))
		if !strings.HasPrefix(key, "w/99") {
			wantRefused(t, text, poolrun(t, "--pool", p.url(), "-n", "true"))
		}
		mustRun(t, "destroy", p.url(), "--force")
		wantNoKeys(t, p)
	}
}

// A pool of which keys are left, but no record, does not exist. It can be removed.
func TestAPoolWithoutARecordDoesNotExist(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 1)
	_, err := p.cluster.Client().Delete(t.Context(), keys.Of(p.name).Pool())
	must(t, err)
	p.put(t, "h/0000", "{}")
	wantRefused(t, "no pool "+p.url(), poolrun(t, "--pool", p.url(), "true"))
	wantRefused(t, "no pool "+p.url(), poolrun(t, "status", p.url()))
	mustRun(t, "destroy", p.url(), "--force")
	mustRun(t, "init", p.url(), "--size", "1")
}

// What is only for people may be damaged. Terminals are safe from it.
func TestADamagedRecordOfAHolderHarmsNothing(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 2)
	for _, record := range []string{"", "nonsense", "\xff\x00", `{"pid":-5,"command_pid":-1}`, `{"command":"` + strings.Repeat("x", 100_000) + `"}`, `{"command":"\u001b[2J\u0007evil\n","host":"\u001b]0;x\u0007","user":"\r"}`} {
		p.put(t, "h/0000", record)
		text, _ := outputs(t, poolrun(t, "status", p.url()))
		if strings.ContainsAny(text, "\x1b\x07\r\x00") || !utf8.ValidString(text) || len(text) > 20_000 || !strings.Contains(text, "1 of 2 slots in use") {
			t.Errorf("%q: %q", record[:min(len(record), 50)], text)
		}
		if s := statusOf(t, p.url()); s.InUse != 1 || s.Holders[0].PID < 0 || s.Holders[0].CommandPID != nil && *s.Holders[0].CommandPID <= 0 {
			t.Errorf("%+v", s)
		}
		mustRun(t, "--pool", p.url(), "-n", "true")
		wantResult(t, poolrun(t, "--pool", p.url(), "-n", "-k", "2", "true"), 75, "")
	}
}

// A waiter whose pool becomes damaged is told so.
func TestAWaiterIsToldOfDamage(t *testing.T) {
	t.Parallel()
	p := newPoolIn(t, shared(t), 1)
	release := holdSlot(t, p.url())
	waiter := poolrun(t, "--pool", p.url(), "true")
	done := make(chan struct{})
	go func() { defer close(done); wantRefused(t, "is damaged", waiter) }()
	awaitLine(t, p.url(), 1)
	p.put(t, "a", "nonsense")
	<-done
	release() // which damages do not disturb
	mustRun(t, "destroy", p.url(), "--force")
}
