package machine

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Load is the load average of the last minute, as in uptime(1).
func Load() (float64, error) {
	const path = "/proc/loadavg" // proc_loadavg(5)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := bytes.Cut(text, []byte(" "))
	load, err := strconv.ParseFloat(string(first), 64)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %s: %w", path, err)
	}
	return load, nil
}
