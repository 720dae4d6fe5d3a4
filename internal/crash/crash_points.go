//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// POOLRUN_CRASH_AT=N kills the process at the Nth point that it reaches, and POOLRUN_CRASH_LOG=FILE
// lists the points that it reached.
var (
	crashAt, _ = strconv.Atoi(os.Getenv("POOLRUN_CRASH_AT"))
	crashLog   = os.Getenv("POOLRUN_CRASH_LOG")
	reached    int
)

// Point kills the process here if the environment says so.
func Point(name string) {
	reached++
	if crashLog != "" {
		f, err := os.OpenFile(crashLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintln(f, name)
			f.Close()
		}
	}
	if reached == crashAt {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
