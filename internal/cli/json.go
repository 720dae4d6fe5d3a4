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
	Waits     timesJSON    `json:"wait_seconds"`
	Holds     timesJSON    `json:"hold_seconds"`
	Delay     float64      `json:"delay_seconds"`
	Draining  bool         `json:"draining"`
	Notices   []string     `json:"notices"`
}

type holderJSON struct {
	Slots       []int     `json:"slots"`
	Item        string    `json:"item"`
	Host        string    `json:"host,omitempty"`
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
	Host          string    `json:"host,omitempty"`
	PID           int       `json:"pid"`
	User          string    `json:"user"`
	Weight        int       `json:"weight"`
	Priority      int       `json:"priority"`
	Since         time.Time `json:"since"`
	WaitedSeconds float64   `json:"waited_seconds"`
	Command       string    `json:"command"`
	WaitsFor      string    `json:"waits_for"`
}

type countersJSON struct {
	Acquired  uint64 `json:"acquired"`
	Released  uint64 `json:"released"`
	TimedOut  uint64 `json:"timed_out"`
	Busy      uint64 `json:"busy"`
	Cancelled uint64 `json:"cancelled"`
	Reclaimed uint64 `json:"reclaimed"`
}

type timesJSON struct {
	Sum     float64      `json:"sum"`
	Max     float64      `json:"max"`
	Buckets []bucketJSON `json:"buckets"`
	Count   uint64       `json:"count"`
}

type bucketJSON struct {
	LE    float64 `json:"le"`
	Count uint64  `json:"count"`
}

func toJSON(s pool.Status) statusJSON {
	n := s.Counters
	j := statusJSON{
		Name: s.Name, Size: s.Size, InUse: s.InUse, Available: s.Available, Waiting: len(s.Waiters),
		Mode: modeOf(s), Created: s.Created.UTC().Truncate(time.Second),
		Holders: []holderJSON{}, Waiters: []waiterJSON{},
		Counters: countersJSON{n.Acquired, n.Released, n.TimedOut, n.Busy, n.Cancelled, n.Reclaimed},
		Waits:    timesToJSON(s.Waits), Holds: timesToJSON(s.Holds),
		Delay: s.Delay.Seconds(), Draining: s.Draining, Notices: append([]string{}, s.Notices...),
	}
	for _, h := range s.Holders {
		var command *int
		if h.CommandPID != 0 {
			command = &h.CommandPID
		}
		j.Holders = append(j.Holders, holderJSON{
			Slots: h.Slots, Item: joinItems(h.Items), Host: h.Host, PID: h.PID, CommandPID: command,
			User: h.User, Weight: len(h.Slots), State: stateOf(h),
			Acquired: h.Acquired.UTC().Truncate(time.Second), HeldSeconds: s.Taken.Sub(h.Acquired).Seconds(), Command: h.Command,
		})
	}
	for i, w := range s.Waiters {
		j.Waiters = append(j.Waiters, waiterJSON{
			Position: i + 1, Host: w.Host, PID: w.PID, User: w.User, Weight: w.Weight, Priority: w.Priority,
			Since: w.Since.UTC().Truncate(time.Second), WaitedSeconds: s.Taken.Sub(w.Since).Seconds(), Command: w.Command, WaitsFor: waitsFor(w),
		})
	}
	return j
}

func timesToJSON(t pool.Times) timesJSON {
	j := timesJSON{Sum: t.Sum.Seconds(), Max: t.Max.Seconds(), Count: t.Count, Buckets: []bucketJSON{}}
	for _, b := range t.Buckets {
		j.Buckets = append(j.Buckets, bucketJSON{b.Limit.Seconds(), b.Count})
	}
	return j
}

// modeOf is the mode of a pool's files in octal, "" if it has none.
func modeOf(s pool.Status) string {
	if s.Mode == 0 {
		return ""
	}
	return fmt.Sprintf("%04o", s.Mode)
}

// joinItems joins items as POOLRUN_ITEM does.
func joinItems(items []string) string { return strings.Join(items, "\n") }

func writeJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
