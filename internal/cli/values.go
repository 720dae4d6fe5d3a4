package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/machine"
	"github.com/poolrun/poolrun/pool"
)

// The types of flags and arguments. kong calls UnmarshalText, which returns errors. parseQuickly
// calls set, which is bare Go. It reports false for an invalid value, and may do so for one that is
// written in a rare way.

// A poolName is the name of a pool as the user has written it: the slash may be omitted.
type poolName string

func (n *poolName) set(text string) bool {
	*n = poolName(text)
	return pool.IsName(text)
}

func (n *poolName) UnmarshalText(text []byte) error {
	_, err := pool.CheckName(string(text))
	*n = poolName(text)
	return err
}

// String is the name with its slash.
func (n poolName) String() string { return "/" + strings.TrimPrefix(string(n), "/") }

// A duration is written as in Go ("1m30s"), or as a number of seconds, as for flock(1) and
// timeout(1). It may contain days ("1d12h"), or be infinite.
type duration struct {
	isGiven bool
	length  time.Duration
}

// infinite is the length of an infinite duration.
const infinite time.Duration = math.MaxInt64

func (d duration) isInfinite() bool { return d.length == infinite }

// String is the duration in a message.
func (d duration) String() string {
	if d.isInfinite() {
		return "infinity"
	}
	return d.length.String()
}

// units are the units of a duration, in nanoseconds, each of which comes before those that it
// begins with.
var units = [...]struct {
	name  string
	value uint64
}{
	{"ms", 1e6}, {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3}, {"ns", 1}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9},
}

func (d *duration) set(text string) bool {
	length, ok := parseDuration(text)
	if ok = ok && (length < infinite || text == "infinity"); ok {
		*d = duration{true, length}
	}
	return ok
}

// parseDuration returns the length that a text stands for, infinite if that is too long for a duration.
// It is bare Go.
func parseDuration(text string) (length time.Duration, ok bool) {
	if text == "infinity" {
		return infinite, true
	}
	total := uint64(0)
	isSum := false // of numbers with a unit
	for rest := text; rest != ""; {
		digits := 0
		for digits < len(rest) && (rest[digits] >= '0' && rest[digits] <= '9' || rest[digits] == '.') {
			digits++
		}
		number := rest[:digits]
		rest = rest[digits:]
		unit := uint64(0)
		for i := range units {
			if name := units[i].name; strings.HasPrefix(rest, name) {
				unit, rest = units[i].value, rest[len(name):]
				break
			}
		}
		if unit == 0 {
			if rest != "" || isSum {
				return 0, false
			}
			unit = 1e9
		}
		n, ok := scale(number, unit)
		if !ok {
			return 0, false
		}
		total = min(total+n, math.MaxInt64)
		isSum = true
	}
	for i := 0; i < len(text) && total == 0; i++ {
		if text[i] >= '1' && text[i] <= '9' {
			total = 1 // it is more than nothing
		}
	}
	return time.Duration(total), text != ""
}

// scale multiplies a decimal number by a unit. Of a product that is too large it makes MaxInt64. It
// reports false for what is no number. It is bare Go.
func scale(number string, unit uint64) (n uint64, ok bool) {
	point := bare.Index(number, '.')
	fraction := ""
	if point >= 0 {
		number, fraction = number[:point], number[point+1:]
	}
	if number == "" && fraction == "" {
		return 0, false
	}
	for i := range len(number) {
		if number[i] < '0' || number[i] > '9' {
			return 0, false
		}
		n = 10*min(n, math.MaxInt64/10) + uint64(number[i]-'0')
	}
	if n > math.MaxInt64/unit {
		n = math.MaxInt64
	} else {
		n *= unit
	}
	part := uint64(0) // of a unit
	for i := len(fraction) - 1; i >= 0; i-- {
		if fraction[i] < '0' || fraction[i] > '9' {
			return 0, false
		}
		part = (uint64(fraction[i]-'0')*unit + part) / 10
	}
	return min(n+part, math.MaxInt64), true
}

func (d *duration) UnmarshalText(text []byte) error {
	if d.set(string(text)) {
		return nil
	}
	invalid := func(why string) error { return fmt.Errorf("invalid duration %q: %s", text, why) }
	positive := strings.TrimPrefix(string(text), "+")
	if strings.HasPrefix(positive, "+") || positive != string(text) && strings.HasPrefix(positive, "-") {
		return invalid("it has two signs")
	}
	if d.set(positive) { // strtod(3), which flock(1) uses, accepts a plus
		return nil
	}
	if length, ok := parseDuration(positive); ok && length == infinite {
		return invalid("it is too long")
	}
	// A number of seconds with an exponent.
	seconds, err := strconv.ParseFloat(positive, 64)
	isRange := errors.Is(err, strconv.ErrRange)
	switch {
	case err != nil && !isRange || math.IsNaN(seconds) || strings.ContainsAny(positive, "iIxXpP_"):
		if negative, found := strings.CutPrefix(string(text), "-"); found && new(duration).set(negative) {
			return invalid("it is negative")
		}
		return invalid("want something like 5s, 1m30s, 1d, 2.5 or infinity")
	case seconds < 0:
		return invalid("it is negative")
	case seconds >= math.MaxInt64/1e9:
		return invalid("it is too long")
	}
	*d = duration{true, time.Duration(math.Ceil(seconds * 1e9))}
	return nil
}

// after returns the time that is d after t. It returns the zero time, which stands for no deadline,
// if d is not given or infinite.
func (d duration) after(t time.Time) time.Time {
	if !d.isGiven || d.isInfinite() {
		return time.Time{}
	}
	return t.Add(d.length)
}

// A poolSize is a number of slots, or a percentage of the online CPUs.
type poolSize int

func (s *poolSize) set(text string) bool {
	number, isPercent := strings.CutSuffix(text, "%")
	n, ok := bare.Number(number, 10)
	if !ok || len(number) > 9 {
		return false
	}
	if isPercent && n > 0 {
		cpus := machine.OnlineCPUs()
		if cpus == 0 {
			return false
		}
		n = max(1, n*uint64(cpus)/100)
	}
	*s = poolSize(n)
	return n >= 1 && n <= pool.MaxSlots
}

func (s *poolSize) UnmarshalText(text []byte) error {
	if s.set(string(text)) {
		return nil
	}
	if n, ok := bare.Number(strings.TrimSuffix(string(text), "%"), 10); ok && (n < 1 || n > pool.MaxSlots) {
		return fmt.Errorf("invalid size %q: a pool has 1 to %d slots", text, pool.MaxSlots)
	}
	return fmt.Errorf("invalid size %q: want a number of slots or a percentage of the CPUs", text)
}

// A busyCode is an exit code for "no slot in time". 255 is not allowed, because xargs(1) stops at
// it.
type busyCode int

func (c *busyCode) set(text string) bool { return setNumber((*int)(c), text, 0, 254) }
func (c *busyCode) UnmarshalText(text []byte) error {
	return unmarshalNumber((*int)(c), text, "exit code", 0, 254)
}

// A weight is a number of slots, or allSlots.
type weight int

const allSlots weight = -1

func (w *weight) set(text string) bool {
	if text == "all" {
		*w = allSlots
		return true
	}
	return setNumber((*int)(w), text, 1, pool.MaxSlots)
}

func (w *weight) UnmarshalText(text []byte) error {
	if !w.set(string(text)) {
		return fmt.Errorf("invalid weight %q: want 1 to %d, or all", text, pool.MaxSlots)
	}
	return nil
}

// A lineLimit is a number of waiters.
type lineLimit struct {
	isGiven bool
	number  int
}

func (l *lineLimit) set(text string) bool {
	l.isGiven = true
	return setNumber(&l.number, text, 0, pool.MaxParticipants)
}

func (l *lineLimit) UnmarshalText(text []byte) error {
	l.isGiven = true
	return unmarshalNumber(&l.number, text, "number of waiters", 0, pool.MaxParticipants)
}

// A memorySize is a number of bytes, written as for GNU parallel: with K, M, G or T.
type memorySize struct {
	bytes uint64
	text  string
}

func (m *memorySize) UnmarshalText(text []byte) error {
	number, unit := string(text), uint64(1)
	if n := len(number); n > 0 {
		if i := strings.IndexByte("KMGT", number[n-1]); i >= 0 {
			number, unit = number[:n-1], 1<<(10*(i+1))
		}
	}
	bytes, ok := scale(number, unit)
	if !ok {
		return fmt.Errorf("invalid memory size %q: want something like 512M or 4G", text)
	}
	m.bytes, m.text = bytes, string(text)
	return nil
}

// String is the size in a message, with a space before the unit.
func (m memorySize) String() string {
	number, unit := strings.TrimRight(m.text, "KMGT"), m.text
	if unit = unit[len(number):]; unit != "" {
		unit += "B"
	} else {
		unit = "bytes"
	}
	return number + " " + unit
}

// A loadLimit is a load average, or a percentage of the online CPUs. 0 stands for none.
type loadLimit float64

func (l *loadLimit) UnmarshalText(text []byte) error {
	number, isPercent := strings.CutSuffix(string(text), "%")
	load, err := strconv.ParseFloat(number, 64)
	if err != nil || !(load > 0) || math.IsInf(load, 0) || strings.ContainsAny(number, "xXpP_+") {
		return fmt.Errorf("invalid load %q: want a number above 0, like 4 or 2.5, or a percentage of the CPUs, like 100%%", text)
	}
	if isPercent {
		load *= float64(machine.OnlineCPUs()) / 100
	}
	*l = loadLimit(load)
	return nil
}

type priority int

func (p *priority) set(text string) bool {
	return setNumber((*int)(p), text, pool.MinPriority, pool.MaxPriority)
}
func (p *priority) UnmarshalText(text []byte) error {
	return unmarshalNumber((*int)(p), text, "priority", pool.MinPriority, pool.MaxPriority)
}

func setNumber(number *int, text string, low, high int) bool {
	n, ok := bare.SignedNumber(text)
	*number = int(n)
	return ok && *number >= low && *number <= high
}

func unmarshalNumber(number *int, text []byte, what string, low, high int) error {
	if !setNumber(number, string(text), low, high) {
		return fmt.Errorf("invalid %s %q: want %d to %d", what, text, low, high)
	}
	return nil
}

// A fileMode is a mode in octal, as for chmod(1).
type fileMode uint32

func (m *fileMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("invalid mode %q: want permissions in octal, like 0600 or 0660", text)
	}
	*m = fileMode(n)
	return nil
}
