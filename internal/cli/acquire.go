package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
	"golang.org/x/sys/unix"
)

type acquireCommand struct {
	FD descriptor `name:"fd" required:"" placeholder:"N" help:"Hold the slot by descriptor N, which is open on the file that \"poolrun path\" prints."`
	request
	verbosity
}

func (*acquireCommand) examples() string {
	return `exec 9<"$(poolrun path /db)"
poolrun acquire --fd 9 --timeout 5s || exit
# In ksh and mksh, which close it for commands unless it is redirected:
poolrun acquire --fd 9 9<&9`
}

// execute acquires slots for the caller, and ends: they are held by the caller's descriptor.
func (c *acquireCommand) execute(io.Writer) (exit, error) {
	signals, err := supervisor.Catch()
	if err != nil {
		return exit{}, err
	}
	p, err := c.FD.open()
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	if outer, slots, _ := heldByAncestor(p); slots != nil {
		c.talk("the command runs in a slot of %s already, and needs no other", p.Name())
		if err := p.Join(outer, int(c.FD)); !errors.Is(err, fs.ErrNotExist) { // given back at this moment
			return exit{}, err
		}
	}
	caller := os.Getppid()
	lease, err := c.acquire(signals, p, commandLineOf(caller), c.verbosity)
	if err != nil {
		return exit{}, err
	}
	c.talk("got slot %s after %v", joinInts(lease.Slots()), lease.Waited().Round(time.Millisecond))
	if err := lease.HandOver(int(c.FD), caller); err != nil {
		lease.Release()
		return exit{}, err
	}
	return exit{}, nil
}

// commandLineOf is the command line of a process, with spaces between the arguments.
func commandLineOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSuffix(string(text), "\x00"), "\x00", " ")
}

// A descriptor is the number of a descriptor that poolrun has inherited.
type descriptor int

func (d *descriptor) UnmarshalText(text []byte) error {
	return unmarshalNumber((*int)(d), text, "descriptor", 0, 1<<30)
}

// open opens the pool whose file the descriptor is.
func (d descriptor) open() (*pool.Pool, error) {
	if _, err := unix.FcntlInt(uintptr(d), unix.F_GETFD, 0); err != nil {
		return nil, closedError{d}
	}
	return pool.OpenByDescriptor(int(d))
}

// A closedError means that poolrun has not inherited a descriptor.
type closedError struct{ descriptor }

func (c closedError) Error() string { return fmt.Sprintf("descriptor %d is not open", c.descriptor) }
