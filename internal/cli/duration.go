package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
)

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
