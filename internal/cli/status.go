package cli

import (
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/poolrun/poolrun/pool"
)

type statusCommand struct {
	Name   placeName `arg:"" optional:"" help:"The pool (default: all local pools that you can read). A URL without a name, like etcd:///, stands for all pools there."`
	Format string    `enum:"text,json,prometheus" default:"text" placeholder:"FORMAT" help:"Write text, json, or metrics for prometheus (default: text)."`
	Watch  bool      `help:"Show the status until Ctrl-C, and redraw it every second."`
}

func (*statusCommand) examples() string {
	return `poolrun status /db
# Print the commands that wait, in order.
poolrun status /db --format json | jq -r '.waiters[].command'`
}

func (c *statusCommand) execute(out io.Writer) (exit, error) {
	if !c.Watch {
		return exit{}, c.write(out, newPage(out))
	}
	if c.Format == "prometheus" {
		return exit{}, usageError{errors.New("--watch does not go with --format prometheus")}
	}
	isKnown := false
	return exit{}, watch(out, func(out io.Writer, on page) error {
		err := c.write(out, on)
		if !isKnown || !errors.Is(err, pool.ErrUnavailable) {
			isKnown = true
			return err
		}
		c.report(on, err) // etcd may answer again
		_, err = io.WriteString(out, on.text.String())
		return err
	})
}

// write writes the status once. Text is laid out for a page.
func (c *statusCommand) write(out io.Writer, on page) error {
	all, problems, err := c.read()
	if err != nil {
		return err
	}
	for _, problem := range problems {
		c.report(on, problem)
	}
	switch c.Format {
	case "prometheus":
		return writeMetrics(out, all)
	case "json":
		if !c.isForAll() {
			return writeJSON(out, toJSON(all[0]))
		}
		list := []statusJSON{}
		for _, s := range all {
			list = append(list, toJSON(s))
		}
		return writeJSON(out, list)
	}
	for i, s := range all {
		if i > 0 {
			on.line("", plain)
		}
		addText(on, s)
	}
	_, err = io.WriteString(out, on.text.String())
	return err
}

// report tells a problem that leaves something to show.
func (c *statusCommand) report(on page, problem error) {
	if c.Watch && c.Format == "text" { // the screen belongs to the page
		on.wrap(strings.Fields("note: "+printable(problem.Error())), yellow)
	} else {
		say("%s", problem)
	}
}

// read returns the status of the pool, or of all pools with the problems of reading some.
func (c *statusCommand) read() (all []pool.Status, problems []error, err error) {
	if c.isForAll() {
		return statusOfAll(c.Name)
	}
	s, err := statusOf(c.Name.poolName)
	return []pool.Status{s}, nil, err
}

func (c *statusCommand) isForAll() bool { return c.Name.poolName == "" || c.Name.isPlace() }

// statusOfAll returns the status of every pool in a place that this user may read, and a problem for
// each pool whose reading has failed. No name stands for this machine.
func statusOfAll(place placeName) (all []pool.Status, problems []error, err error) {
	if place.isPlace() {
		p, err := openPlace(place)
		if err != nil {
			return nil, nil, err
		}
		defer p.Close()
		return p.List()
	}
	names, err := pool.Names()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		switch s, err := statusOf(poolName(name)); {
		case err == nil:
			all = append(all, s)
		case errors.Is(err, fs.ErrPermission): // another user's pool
		case errors.Is(err, pool.ErrNotExist), errors.Is(err, pool.ErrDestroyed): // in the meantime
		default:
			problems = append(problems, err)
		}
	}
	return all, problems, nil
}

func statusOf(name poolName) (pool.Status, error) {
	p, err := openToManage(name)
	if errors.Is(err, pool.ErrPermission) && !name.isRemote() {
		p, err = openReadOnly(name)
	}
	if err != nil {
		return pool.Status{}, err
	}
	defer p.Close()
	return p.Status()
}

// stateOf is the state of a holder, in one word.
func stateOf(h pool.Holder) string {
	switch {
	case h.Descriptor:
		return "descriptor"
	case h.Orphaned:
		return "orphaned"
	}
	return "running"
}

// waitsFor says what a waiter waits for: what holds the first in line beside slots, or slots.
func waitsFor(w pool.Waiter) string {
	if w.Condition != "" {
		return w.Condition
	}
	return describeWeight(w)
}
