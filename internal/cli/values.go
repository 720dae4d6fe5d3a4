package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// The types of flags and arguments. kong and parseQuickly call UnmarshalText.

// A poolName is the name of a pool. The slash may be omitted on the command line.
type poolName string

func (n *poolName) UnmarshalText(text []byte) error {
	name, err := pool.CheckName(string(text))
	*n = poolName(name)
	return err
}

// A duration is written as in Go ("1m30s"), or as a number of seconds, as for flock(1) and
// timeout(1).
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		seconds, numErr := strconv.ParseFloat(string(text), 64)
		if numErr != nil || math.IsNaN(seconds) || strings.ContainsAny(string(text), "xXpP_") {
			return fmt.Errorf("invalid duration %q: want something like 5s, 1m30s, 250ms or 2.5", text)
		}
		if seconds > math.MaxInt64/1e9 {
			return fmt.Errorf("invalid duration %q: it is too long", text)
		}
		parsed = time.Duration(seconds * 1e9)
		if seconds < 0 {
			parsed = -1
		}
	}
	if parsed < 0 {
		return fmt.Errorf("invalid duration %q: it is negative", text)
	}
	*d = duration(parsed)
	return nil
}

// after returns the time that is d after t. It returns the zero time, which stands for no deadline,
// if d is nil.
func (d *duration) after(t time.Time) time.Time {
	if d == nil {
		return time.Time{}
	}
	return t.Add(time.Duration(*d))
}

// A poolSize is a number of slots, or a percentage of the online CPUs.
type poolSize int

func (s *poolSize) UnmarshalText(text []byte) error {
	number, isPercent := strings.CutSuffix(string(text), "%")
	n, err := strconv.Atoi(number)
	if err != nil || strings.HasPrefix(number, "+") {
		return fmt.Errorf("invalid size %q: want a number of slots or a percentage of the CPUs", text)
	}
	if isPercent && n > 0 {
		cpus := onlineCPUs()
		if n > math.MaxInt/cpus {
			return fmt.Errorf("invalid size %q: it is too large", text)
		}
		n = max(1, n*cpus/100)
	}
	if n < 1 || n > pool.MaxSlots {
		return fmt.Errorf("invalid size %q: a pool has 1 to %d slots", text, pool.MaxSlots)
	}
	*s = poolSize(n)
	return nil
}

// A busyCode is an exit code for "no slot in time". 255 is not allowed, because xargs(1) stops at
// it.
type busyCode int

func (c *busyCode) UnmarshalText(text []byte) error {
	return setNumber((*int)(c), text, "exit code", 0, 254)
}

type weight int

func (w *weight) UnmarshalText(text []byte) error {
	return setNumber((*int)(w), text, "weight", 1, pool.MaxSlots)
}

type priority int

func (p *priority) UnmarshalText(text []byte) error {
	return setNumber((*int)(p), text, "priority", pool.MinPriority, pool.MaxPriority)
}

func setNumber(number *int, text []byte, what string, low, high int) (err error) {
	if *number, err = strconv.Atoi(string(text)); err != nil || *number < low || *number > high {
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
