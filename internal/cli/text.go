package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// addText adds a status for people to read to a page.
func addText(on page, s pool.Status) {
	state := ""
	if s.Draining {
		state = ", being drained"
	}
	on.line(fmt.Sprintf("%s: %d of %d slots in use, %d available, %d waiting%s",
		printable(s.Name), s.InUse, s.Size, s.Available, len(s.Waiters), state), bold)
	on.line(useBar(s, on.width), colorOfUse(s))
	on.table(holderTable(s))
	on.table(waiterTable(s))
	on.table(timesTable(s, on.width < defaultWidth))
	for _, text := range s.Notices {
		on.wrap(strings.Fields("note: "+printable(text)), yellow)
	}
	n := s.Counters
	counters := []string{fmt.Sprintf("since %s:", s.Created.Format(time.DateTime)),
		fmt.Sprintf("%d acquired,", n.Acquired), fmt.Sprintf("%d released,", n.Released), fmt.Sprintf("%d timed out,", n.TimedOut),
		fmt.Sprintf("%d busy,", n.Busy), fmt.Sprintf("%d cancelled,", n.Cancelled), fmt.Sprintf("%d reclaimed", n.Reclaimed)}
	if s.Delay > 0 {
		counters = append(counters, fmt.Sprintf("(%v between two starts)", s.Delay))
	}
	on.wrap(counters, plain)
}

// useBar draws how many slots are in use, of as many as there are, or were before the pool shrank.
func useBar(s pool.Status, width int) string {
	width = max(width-len("[]"), 1)
	all := max(s.Size, s.InUse)
	used := 0
	if all > 0 {
		used = s.InUse * width / all
	}
	if s.InUse > 0 {
		used = max(used, 1)
	}
	return "[" + strings.Repeat("#", used) + strings.Repeat("-", width-used) + "]"
}

func colorOfUse(s pool.Status) style {
	switch {
	case s.InUse >= s.Size && len(s.Waiters) > 0:
		return red
	case s.InUse >= s.Size:
		return yellow
	}
	return green
}

func holderTable(s pool.Status) (t table) {
	if len(s.Holders) == 0 {
		return t
	}
	hasItems := slices.ContainsFunc(s.Holders, func(h pool.Holder) bool { return len(h.Items) > 0 })
	hasHosts := slices.ContainsFunc(s.Holders, func(h pool.Holder) bool { return h.Host != "" })
	t.head = []string{"SLOT", "STATE", "HOST", "PID", "CMD PID", "USER", "FOR", "ITEM", "COMMAND"}
	for _, h := range s.Holders {
		command := "-"
		if h.CommandPID != 0 {
			command = strconv.Itoa(h.CommandPID)
		}
		row := []string{ranges(h.Slots), stateOf(h), printable(h.Host), strconv.Itoa(h.PID), command, printable(h.User),
			shortDuration(s.Taken.Sub(h.Acquired)), orDash(strings.Join(h.Items, " ")), printable(h.Command)}
		t.add(row, h.Orphaned)
	}
	t.shrink = []int{7, 5, 2, 0}
	if !hasItems {
		t.drop(7)
	}
	if !hasHosts {
		t.drop(2)
	}
	return t
}

func waiterTable(s pool.Status) (t table) {
	if len(s.Waiters) == 0 {
		return t
	}
	t.head = []string{"LINE", "WAITS FOR", "HOST", "PID", "USER", "FOR", "PRIORITY", "COMMAND"}
	for i, w := range s.Waiters {
		t.add([]string{strconv.Itoa(i + 1), printable(waitsFor(w)), printable(w.Host), strconv.Itoa(w.PID), printable(w.User),
			shortDuration(s.Taken.Sub(w.Since)), strconv.Itoa(w.Priority), printable(w.Command)}, w.Condition != "")
	}
	t.shrink = []int{4, 2, 1}
	if !slices.ContainsFunc(s.Waiters, func(w pool.Waiter) bool { return w.Priority != 0 }) {
		t.drop(6)
	}
	if !slices.ContainsFunc(s.Waiters, func(w pool.Waiter) bool { return w.Host != "" }) {
		t.drop(2)
	}
	return t
}

// timesTable shows how many waits, and how many holds, took up to a time. A narrow page gets no columns
// without any.
func timesTable(s pool.Status, isNarrow bool) (t table) {
	if s.Waits.Count == 0 {
		return t
	}
	t.head = []string{"UP TO"}
	for _, b := range s.Waits.Buckets {
		t.head = append(t.head, shortDuration(b.Limit))
	}
	t.head = append(t.head, "MORE", "MEAN", "MAX")
	for _, row := range []struct {
		name  string
		times pool.Times
	}{{"waited", s.Waits}, {"held", s.Holds}} {
		cells, below := []string{row.name}, uint64(0)
		for _, b := range row.times.Buckets {
			cells = append(cells, shortNumber(b.Count-min(below, b.Count)))
			below = b.Count
		}
		mean := time.Duration(0)
		if n := row.times.Count; n > 0 {
			mean = row.times.Sum / time.Duration(n)
		}
		t.add(append(cells, shortNumber(row.times.Count-below), shortDuration(mean), shortDuration(row.times.Max)), false)
	}
	for i := len(s.Waits.Buckets) + 1; i > 0 && isNarrow; i-- {
		if t.rows[0][i] == "0" && t.rows[1][i] == "0" {
			t.drop(i)
		}
	}
	return t
}

// since is how long before a status was taken a moment was.
func since(s pool.Status, t time.Time) time.Duration {
	return s.Taken.Sub(t).Round(100 * time.Millisecond)
}

// shortDuration is a duration in at most six characters, unless it is longer than 1,000 days.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", max(d.Milliseconds(), 1))
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', -1, 64) + "s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	large, small, first, second := d/time.Minute, d%time.Minute/time.Second, "m", "s"
	if d >= time.Hour {
		large, small, first, second = d/time.Hour, d%time.Hour/time.Minute, "h", "m"
	}
	if d >= day {
		large, small, first, second = d/day, d%day/time.Hour, "d", "h"
	}
	if small == 0 {
		return fmt.Sprintf("%d%s", large, first)
	}
	return fmt.Sprintf("%d%s%d%s", large, first, small, second)
}

// shortNumber is a number in at most five characters, with k for thousands and so on.
func shortNumber(n uint64) string {
	for _, unit := range []string{"", "k", "M", "G", "T"} {
		if n < 10_000 {
			return strconv.FormatUint(n, 10) + unit
		}
		n /= 1000
	}
	return "many"
}

// ranges writes numbers that ascend like 0-3,7.
func ranges(list []int) string {
	var parts []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		switch {
		case j > i+1:
			parts = append(parts, fmt.Sprintf("%d-%d", list[i], list[j]))
		default:
			parts = append(parts, joinInts(list[i:j+1]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return printable(text)
}
