package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/pool"
)

type statusCommand struct {
	Name   poolName `arg:"" optional:"" help:"The pool (default: all pools that you can read)."`
	Format string   `enum:"text,json" default:"text" placeholder:"FORMAT" help:"Write text or json (default: text)."`
}

func (c *statusCommand) execute(out io.Writer) (exit, error) { return exit{}, c.write(out) }

func (c *statusCommand) write(out io.Writer) error {
	if c.Name != "" {
		s, err := statusOf(c.Name.String())
		if err != nil {
			return err
		}
		if c.Format == "json" {
			return writeJSON(out, toJSON(s))
		}
		return writeText(out, s)
	}
	all, err := statusOfAll()
	if err != nil {
		return err
	}
	if c.Format == "json" {
		list := []statusJSON{}
		for _, s := range all {
			list = append(list, toJSON(s))
		}
		return writeJSON(out, list)
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := writeText(out, s); err != nil {
			return err
		}
	}
	return nil
}

// statusOfAll returns the status of every pool that this user may read. If reading a pool fails, it
// reports the error and goes on with the others.
func statusOfAll() (all []pool.Status, err error) {
	names, err := pool.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		switch s, err := statusOf(name); {
		case err == nil:
			all = append(all, s)
		case errors.Is(err, fs.ErrPermission): // another user's pool
		case errors.Is(err, pool.ErrNotExist), errors.Is(err, pool.ErrDestroyed): // in the meantime
		default:
			say("%s", err)
		}
	}
	return all, nil
}

func statusOf(name string) (pool.Status, error) {
	p, err := pool.OpenToManage(name)
	if errors.Is(err, pool.ErrPermission) {
		p, err = pool.OpenReadOnly(name)
	}
	if err != nil {
		return pool.Status{}, err
	}
	defer p.Close()
	return p.Status()
}

// writeText writes a status for people to read.
func writeText(out io.Writer, s pool.Status) error {
	state := ""
	if s.Draining {
		state = ", being drained"
	}
	fmt.Fprintf(out, "%s: %d of %d slots in use, %d available, %d waiting%s\n",
		printable(s.Name), s.InUse, s.Size, s.Available, len(s.Waiters), state)
	if len(s.Holders)+len(s.Waiters) > 0 {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SLOT\tSTATE\tPID\tCOMMAND PID\tUSER\tFOR\tITEM\tCOMMAND")
		for _, h := range s.Holders {
			command := "-"
			if h.CommandPID != 0 {
				command = strconv.Itoa(h.CommandPID)
			}
			fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", joinInts(h.Slots), holderState(h), h.PID, command,
				h.User, since(s, h.Acquired), orDash(strings.Join(h.Items, " ")), printable(h.Command))
		}
		for i, w := range s.Waiters {
			fmt.Fprintf(table, "-\twaiting %d\t%d\t-\t%s\t%s\t-\t%s\n", i+1, w.PID,
				w.User, since(s, w.Since), printable(w.Command))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, text := range s.Notices {
		fmt.Fprintf(out, "note: %s\n", printable(text))
	}
	n := s.Counters
	_, err := fmt.Fprintf(out, "since %s: %d acquired, %d released, %d timed out, %d busy, %d cancelled, %d reclaimed; longest wait %s\n",
		s.Created.Format(time.DateTime), n.Acquired, n.Released, n.TimedOut, n.Busy, n.Cancelled, n.Reclaimed,
		s.Waits.Max.Round(time.Millisecond))
	return err
}

func holderState(h pool.Holder) string {
	if h.Orphaned {
		return "orphaned"
	}
	return "running"
}

func since(s pool.Status, t time.Time) time.Duration {
	return s.Taken.Sub(t).Round(100 * time.Millisecond)
}

// joinInts returns numbers separated by commas.
func joinInts(list []int) string {
	text := bare.In(make([]byte, 20*len(list)))
	addNumbers(&text, list)
	return text.String()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}

// printable replaces characters that would move a terminal's cursor or break a table.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// isPrintable reports whether printable is sure to leave a text as it is. It is bare Go.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
