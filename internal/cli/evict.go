package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

type evictCommand struct {
	Name   poolName   `arg:"" help:"The pool."`
	Slot   slotNumber `required:"" placeholder:"N" complete:"slot" help:"Signal the command that holds slot N."`
	Signal signalName `short:"s" default:"TERM" placeholder:"SIG" help:"Send SIG, a name or a number as for kill(1) (default: TERM)."`
}

func (*evictCommand) examples() string {
	return `# End the command that holds slot 0.
poolrun evict /db --slot 0
poolrun evict /db --slot 1 --signal HUP`
}

func (c *evictCommand) execute(out io.Writer) (exit, error) {
	p, err := openToManage(c.Name)
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	_, err = p.Signal(int(c.Slot), syscall.Signal(c.Signal))
	return exit{}, err
}

// A slotNumber is the number of a slot.
type slotNumber int

func (s *slotNumber) UnmarshalText(text []byte) error {
	return unmarshalNumber((*int)(s), text, "slot", 0, pool.MaxSlots-1)
}

// A signalName is the name of a signal, with or without SIG, or its number.
type signalName syscall.Signal

func (s *signalName) UnmarshalText(text []byte) error {
	name := strings.ToUpper(string(text))
	if n, err := strconv.ParseUint(name, 10, 8); err == nil && n <= 64 {
		*s = signalName(n)
		return nil
	}
	if name = "SIG" + strings.TrimPrefix(name, "SIG"); name == "SIGRTMIN" {
		name += "+0"
	}
	for n := syscall.Signal(1); n <= 64; n++ {
		if supervisor.SignalName(n) == name {
			*s = signalName(n)
			return nil
		}
	}
	return fmt.Errorf("invalid signal %q: want a name like TERM or RTMIN+1, or a number", text)
}
