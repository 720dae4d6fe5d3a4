package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever sleeps after a wait is woken: a wake-up that the wait's listener takes
// while it ends is handed on.
func TestAStoppedListenerKeepsNoWakeUp(t *testing.T) {
	signals, err := Catch()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		ctx, stop := signals.Context(time.Time{})
		ctx.Done()
		for !somebodySleeps() {
			time.Sleep(time.Millisecond)
		}
		stop()
		woken := make(chan bool)
		go func() {
			sleep()
			close(woken)
		}()
		select {
		case <-woken:
		case <-time.After(10 * time.Second):
			t.Fatal("the listener kept the wake-up")
		}
	}
}

// somebodySleeps reports whether a thread of this process reads from wakeUps.
func somebodySleeps() bool {
	tasks, _ := filepath.Glob("/proc/self/task/*/syscall") // proc_pid_syscall(5)
	for _, task := range tasks {
		call, _ := os.ReadFile(task)
		if strings.HasPrefix(string(call), fmt.Sprintf("%d %#x ", unix.SYS_READ, wakeUps)) {
			return true
		}
	}
	return false
}
