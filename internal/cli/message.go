package cli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// say writes one message to standard error, in one piece, so that those of
// several processes do not mix. It does not go through package os: a write there
// to a closed pipe would end the process, and with it the supervision.
func say(format string, args ...any) { write("poolrun: " + fmt.Sprintf(format, args...) + "\n") }

func sayHint(text string) { write("hint: " + text + "\n") }

func write(text string) { unix.Write(2, []byte(text)) }
