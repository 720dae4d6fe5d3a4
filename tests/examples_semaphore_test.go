package tests

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The C program, the Python program and poolrun take the only slot of a pool in turn, and a signal
// that ends one of them while it has the slot, or waits, loses no slot.
func TestTheExamplesInCAndPythonShareAPool(t *testing.T) {
	onlyOnce(t)
	needPrograms(t, "cc", "python3")
	program := filepath.Join(t.TempDir(), "slot")
	if out, err := exec.Command("cc", "-Wall", "-Wextra", "-Werror", "-o", program, example(t, "semaphore/slot.c"), "-pthread").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	script := example(t, "semaphore/slot.py")
	for what, args := range map[string][]string{"C": {program}, "Python": {"python3", script}} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			run := func(seconds string) *exec.Cmd {
				return command(t, args[0], append(args[1:], name, seconds)...)
			}
			holder := run("1000")
			next := startLines(t, holder)
			wantLine(t, next, "slot taken")
			wantBusy(t, name)
			waiter := mustStart(t, poolrun(t, "--pool", name, "true"))
			waitForLine(t, name, 1)
			holder.Process.Signal(syscall.SIGTERM)
			wantLine(t, next, "slot returned")
			wantExit(t, 0, holder, waiter)

			release := holdSlot(t, name)
			interrupted := startSemWait(t, name, run("0"))
			interrupted.Process.Signal(syscall.SIGTERM)
			wantExit(t, 1, interrupted)
			second := run("0")
			next = startLines(t, second)
			release()
			wantLine(t, next, "slot taken")
			wantLine(t, next, "slot returned")
			wantExit(t, 0, second)
			wantUsable(t, name)

			wantResult(t, command(t, args[0], append(args[1:], "/none"+name[1:], "0")...), 1, "No such file")
		})
	}
}

// startSemWait starts a program that waits in sem_wait(3), and returns when it sleeps there. The
// second word of a semaphore counts its waiters: see struct new_sem of glibc.
func startSemWait(t testing.TB, name string, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	waiters := func() uint32 {
		words, err := os.ReadFile(semaphoreOf(name))
		if err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint32(words[4:])
	}
	before := waiters()
	mustStart(t, cmd)
	eventually(t, "a waiter at the semaphore", func() bool { return waiters() == before+1 })
	waitForState(t, 'S', cmd.Process.Pid)
	return cmd
}
