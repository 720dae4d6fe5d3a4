package supervisor_test

import (
	"context"
	"fmt"
	"log"
	"runtime"
	"time"

	"github.com/poolrun/poolrun/supervisor"
)

// Wait for something that a signal can interrupt, and then run commands. A program would lock
// the first thread in an init function, and at its end call ExitBySignal or os.Exit.
func Example() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals, err := supervisor.Catch()
	if err != nil {
		log.Fatal(err)
	}
	path, err := supervisor.LookPath("sh")
	if err != nil {
		log.Fatal(err)
	}

	ctx, end := signals.Context(time.Now().Add(time.Minute), nil)
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
		log.Fatal(context.Cause(ctx))
	}
	end() // from here on, signals are for the command

	for _, script := range []string{"exit 3", "kill -TERM $$"} {
		status, err := signals.Run(supervisor.Command{
			Path: path,
			Args: []string{"sh", "-c", script},
			Env:  supervisor.Environ(),
		})
		if err != nil {
			log.Fatal(err)
		}
		if n, ok := status.Signal(); ok {
			fmt.Println("ended by", supervisor.SignalName(n))
		} else {
			fmt.Println("exit status", status.ExitCode())
		}
	}
	// Output:
	// exit status 3
	// ended by SIGTERM
}
