package cli

import (
	"strings"
	"testing"
	"time"
)

// Durations are those of Go, flock(1) and timeout(1), with days.
func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "2.5": 2500 * time.Millisecond, ".5": 500 * time.Millisecond, "5.": 5 * time.Second, "+5": 5 * time.Second,
		"1e3": 1000 * time.Second, "250ms": 250 * time.Millisecond, "1m30s": 90 * time.Second, "1h": time.Hour, "1.5h": 90 * time.Minute,
		"1d": day, "1d12h": 36 * time.Hour, "0.5d": 12 * time.Hour, "365d": 365 * day, "106751d": 106751 * day, "1us": 1000, "1µs": 1000, "3ns": 3,
		"000000000000000000005s": 5 * time.Second, "1.0000000000000000001s": time.Second, "infinity": infinite, "1e-10": 1, "0.0000000001s": 1, "0.0": 0,
	} {
		var d duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d != (duration{true, want}) {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for text, why := range map[string]string{
		"": "want", "x": "want", "5q": "want", "5 s": "want", "1s5": "want", "inf": "want", "nan": "want", "0x10": "want", ".": "want", ".s": "want", "1..5s": "want", "d": "want", "Infinity": "want",
		"-1": "negative", "++5": "two signs", "+-5": "two signs", "-1s": "negative", "-1d12h": "negative", "-.5": "negative",
		"1e400": "too long", "300000d": "too long", "106752d": "too long", "99999999999999999999999999h": "too long", "9223372037": "too long", "99999999999999999999s": "too long",
	} {
		if err := new(duration).UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v instead of %q", text, err, why)
		}
	}
}

// Memory sizes are those of GNU parallel, with the units that are powers of 1024.
func TestMemorySizes(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "100": 100, "1K": 1 << 10, "512M": 512 << 20, "4G": 4 << 30, "2T": 2 << 40, "0.5G": 512 << 20, "1.25K": 1280,
	} {
		var m memorySize
		if err := m.UnmarshalText([]byte(text)); err != nil || m.bytes != want {
			t.Errorf("%s: %d, %v", text, m.bytes, err)
		}
	}
	for _, text := range []string{"", "K", "1k", "1g", "1KB", "-1", "1P", "1G1", "x", " 1G", "1e3"} {
		if err := new(memorySize).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	for text, want := range map[string]string{"512M": "512 MB", "4.5G": "4.5 GB", "100": "100 bytes"} {
		var m memorySize
		if m.UnmarshalText([]byte(text)); m.String() != want {
			t.Errorf("%s: %q", text, m.String())
		}
	}
}

func TestLoads(t *testing.T) {
	for text, want := range map[string]float64{"4": 4, "2.5": 2.5, ".5": 0.5, "1e2": 100} {
		var l loadLimit
		if err := l.UnmarshalText([]byte(text)); err != nil || float64(l) != want {
			t.Errorf("%s: %v, %v", text, l, err)
		}
	}
	var one, two loadLimit
	if one.UnmarshalText([]byte("100%")) != nil || two.UnmarshalText([]byte("50%")) != nil || one < 1 || one != 2*two {
		t.Errorf("%v and %v", one, two)
	}
	for _, text := range []string{"", "0", "-1", "x", "nan", "inf", "0%", "-5%", "%", "0x4", "+4"} {
		if err := new(loadLimit).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
