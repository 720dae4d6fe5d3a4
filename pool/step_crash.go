//go:build crashpoints

package pool

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// POOLRUN_CRASH_AT=N kills the process at the N-th step that it comes to, and
// POOLRUN_CRASH_LOG=FILE lists the steps that it came to.
var (
	crashAt, _ = strconv.Atoi(os.Getenv("POOLRUN_CRASH_AT"))
	crashLog   = os.Getenv("POOLRUN_CRASH_LOG")
	steps      int
)

func step(name string) {
	steps++
	if crashLog != "" {
		f, err := os.OpenFile(crashLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, name)
			f.Close()
		}
	}
	if steps == crashAt {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
