// Poolrun runs a command under a limit that the whole machine shares.
package main

import (
	"os"
	"runtime"

	"github.com/poolrun/poolrun/internal/cli"
)

// supervisor.Run needs the process's first thread, and init functions run on it.
func init() { runtime.LockOSThread() }

func main() { os.Exit(cli.Main(os.Args[1:])) }
