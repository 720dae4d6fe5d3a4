package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
)

const progressInterval = 30 * time.Second

// reportWait reports what poolrun waits for, at once and then at intervals.
func (c *runCommand) reportWait(ctx context.Context, p *pool.Pool) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		if s, err := p.Status(); err == nil && ctx.Err() == nil {
			if text := describeWait(s, os.Getpid()); text != "" {
				say("%s", text)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// describeWait describes what a process waits for. It returns "" if the process does not wait.
func describeWait(s pool.Status, pid int) string {
	for i, w := range s.Waiters {
		if w.PID == pid {
			return fmt.Sprintf("waiting for a slot of %s: place %d of %d in line, %d of %d slots in use%s",
				s.Name, i+1, len(s.Waiters), s.InUse, s.Size, heldBy(s))
		}
	}
	return ""
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
