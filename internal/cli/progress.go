package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// reportInterval is how often --verbose reports what poolrun waits for.
const reportInterval = 30 * time.Second

// A watched pool is one in whose line this process waits.
type watched interface {
	Status() (pool.Status, error)
}

// showWait returns a function that shows what poolrun waits for, until ctx is done or end is called. It
// is nil if nothing is to be shown.
func (v verbosity) showWait(ctx context.Context, p watched) (show, end func()) {
	ctx, stop := context.WithCancel(ctx)
	var line waitLine
	switch {
	case v.Verbose:
		show = func() { go reportWait(ctx, p) }
	case !v.Quiet && isTerminal(2):
		show = func() { go line.show(ctx, p) }
	}
	return show, func() {
		line.end() // the terminal is the command's then
		stop()
	}
}

// reportWait reports what poolrun waits for, at once and then at intervals, until ctx is done.
func reportWait(ctx context.Context, p watched) {
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	for {
		if text := describeOwnWait(p); text != "" && ctx.Err() == nil {
			say("%s", text)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// describeOwnWait describes what this process waits for, "" for nothing.
func describeOwnWait(p watched) string {
	s, err := p.Status()
	if err != nil {
		return ""
	}
	host, _ := os.Hostname()
	return describeWait(s, host, os.Getpid())
}

// describeWait describes what a process of a host waits for. It returns "" if the process does not wait.
func describeWait(s pool.Status, host string, pid int) string {
	for i, w := range s.Waiters {
		switch {
		case w.PID != pid || w.Host != "" && w.Host != host:
		case w.Condition != "":
			return fmt.Sprintf("waiting in pool %s for %s", s.Name, w.Condition)
		default:
			return fmt.Sprintf("waiting for %s of %s: place %d of %d in line, %d of %d slots in use%s",
				describeWeight(w), s.Name, i+1, len(s.Waiters), s.InUse, s.Size, heldBy(s))
		}
	}
	return ""
}

// describeWeight describes the slots that a waiter asks for.
func describeWeight(w pool.Waiter) string {
	switch {
	case w.Extension && w.Weight == 1:
		return "a slot for one more job"
	case w.Extension:
		return fmt.Sprintf("%d slots for one more job", w.Weight)
	case w.Whole:
		return "all slots"
	case w.Weight == 1:
		return "a slot"
	}
	return fmt.Sprintf("%d slots", w.Weight)
}

// maxHolders is how many holders a message names.
const maxHolders = 4

func heldBy(s pool.Status) string {
	var texts []string
	for _, h := range s.Holders {
		if len(texts) == maxHolders {
			texts = append(texts, "...")
			break
		}
		texts = append(texts, fmt.Sprintf("%d (%s, for %v)", h.PID, printable(h.Command), since(s, h.Acquired)))
	}
	if len(texts) == 0 {
		return ""
	}
	return ", held by " + strings.Join(texts, ", ")
}
