package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/internal/machine"
	"github.com/poolrun/poolrun/pool"
)

// The types of flags and arguments. kong calls UnmarshalText, which returns errors. parseQuickly
// calls set, which is bare Go. It reports false for an invalid value, and may do so for one that is
// written in a rare way.

// A poolName is the name of a pool as the user has written it: that of a local pool, whose slash may be
// omitted, or the URL of a pool on several machines.
type poolName string

func (n *poolName) set(text string) bool {
	*n = poolName(text)
	return pool.IsName(text) || engine.IsURL(text) // which the user of a URL checks
}

func (n *poolName) UnmarshalText(text []byte) error {
	*n = poolName(text)
	if n.isRemote() {
		_, err := n.url()
		return err
	}
	_, err := pool.CheckName(string(text))
	return err
}

// isRemote reports whether this is the URL of a pool on several machines. It is bare Go.
func (n poolName) isRemote() bool { return engine.IsURL(string(n)) }

// url parses the URL of one pool.
func (n poolName) url() (engine.URL, error) {
	u, err := engine.ParseURL(string(n))
	if err == nil && u.Name == "/" {
		err = &pool.Error{Pool: fmt.Sprintf("pool name %q", string(n)), Kind: pool.ErrInvalid, Cause: errors.New("the name of the pool is missing")}
	}
	return u, err
}

// String is the name of a local pool with its slash, or the URL.
func (n poolName) String() string {
	if n.isRemote() {
		return string(n)
	}
	return "/" + strings.TrimPrefix(string(n), "/")
}

// A localName is the name of a local pool, for what poolrun cannot do with others.
type localName struct{ poolName }

func (n *localName) UnmarshalText(text []byte) error {
	if engine.IsURL(string(text)) {
		return fmt.Errorf("invalid pool %q: this is not offered for pools that several machines share", text)
	}
	return n.poolName.UnmarshalText(text)
}

// A placeName is the name of a pool, or a URL without one: that of all pools there.
type placeName struct{ poolName }

func (n *placeName) UnmarshalText(text []byte) error {
	if n.poolName = poolName(text); n.isRemote() {
		_, err := engine.ParseURL(string(text))
		return err
	}
	return n.poolName.UnmarshalText(text)
}

// isPlace reports whether this is a URL that stands for all pools there.
func (n placeName) isPlace() bool {
	u, err := engine.ParseURL(string(n.poolName))
	return n.isRemote() && err == nil && u.Name == "/"
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
		cpus := machine.OnlineCPUs()
		if cpus == 0 {
			return errors.New("cannot find out how many CPUs there are")
		}
		load *= float64(cpus) / 100
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
