package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// statusJSON is the JSON form of a status. Fields may be added, but not renamed or removed.
type statusJSON struct {
	Name      string       `json:"name"`
	Size      int          `json:"size"`
	InUse     int          `json:"in_use"`
	Available int          `json:"available"`
	Waiting   int          `json:"waiting"`
	Mode      string       `json:"mode"`
	Created   time.Time    `json:"created"`
	Holders   []holderJSON `json:"holders"`
	Waiters   []waiterJSON `json:"waiters"`
	Counters  countersJSON `json:"counters"`
	Waits     waitsJSON    `json:"wait_seconds"`
}

type holderJSON struct {
	Slots       []int     `json:"slots"`
	Item        string    `json:"item"`
	PID         int       `json:"pid"`
	CommandPID  *int      `json:"command_pid"` // null until the command runs, since kill(2) would take 0 for the caller's group
	User        string    `json:"user"`
	Weight      int       `json:"weight"`
	State       string    `json:"state"`
	Acquired    time.Time `json:"acquired"`
	HeldSeconds float64   `json:"held_seconds"`
	Command     string    `json:"command"`
}

type waiterJSON struct {
	Position      int       `json:"position"`
	PID           int       `json:"pid"`
	User          string    `json:"user"`
	Weight        int       `json:"weight"`
	Priority      int       `json:"priority"`
	Since         time.Time `json:"since"`
	WaitedSeconds float64   `json:"waited_seconds"`
	Command       string    `json:"command"`
}

type countersJSON struct {
	Acquired  uint64 `json:"acquired"`
	Released  uint64 `json:"released"`
	TimedOut  uint64 `json:"timed_out"`
	Busy      uint64 `json:"busy"`
	Cancelled uint64 `json:"cancelled"`
	Reclaimed uint64 `json:"reclaimed"`
}

type waitsJSON struct {
	Sum     float64      `json:"sum"`
	Max     float64      `json:"max"`
	Buckets []bucketJSON `json:"buckets"`
}

type bucketJSON struct {
	LE    float64 `json:"le"`
	Count uint64  `json:"count"`
}

func toJSON(s pool.Status) statusJSON {
	n := s.Counters
	j := statusJSON{
		Name: s.Name, Size: s.Size, InUse: s.InUse, Available: s.Available, Waiting: len(s.Waiters),
		Mode: fmt.Sprintf("%04o", s.Mode), Created: s.Created.UTC().Truncate(time.Second),
		Holders: []holderJSON{}, Waiters: []waiterJSON{},
		Counters: countersJSON{n.Acquired, n.Released, n.TimedOut, n.Busy, n.Cancelled, n.Reclaimed},
		Waits:    waitsJSON{Sum: s.Waits.Sum.Seconds(), Max: s.Waits.Max.Seconds()},
	}
	for _, h := range s.Holders {
		var command *int
		if h.CommandPID != 0 {
			command = &h.CommandPID
		}
		j.Holders = append(j.Holders, holderJSON{
			Slots: h.Slots, Item: strings.Join(h.Items, "\n"), PID: h.PID, CommandPID: command,
			User: h.User, Weight: len(h.Slots), State: holderState(h),
			Acquired: h.Acquired.UTC().Truncate(time.Second), HeldSeconds: s.Taken.Sub(h.Acquired).Seconds(), Command: h.Command,
		})
	}
	for i, w := range s.Waiters {
		j.Waiters = append(j.Waiters, waiterJSON{
			Position: i + 1, PID: w.PID, User: w.User, Weight: w.Weight, Priority: w.Priority,
			Since: w.Since.UTC().Truncate(time.Second), WaitedSeconds: s.Taken.Sub(w.Since).Seconds(), Command: w.Command,
		})
	}
	for _, b := range s.Waits.Buckets {
		j.Waits.Buckets = append(j.Waits.Buckets, bucketJSON{b.Limit.Seconds(), b.Count})
	}
	return j
}

func writeJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
