package machine

import "fmt"

// The conditions for which a command can wait, and the texts that name them.

// HasMemory reports whether as many bytes of memory are available. It reports false if that cannot be
// found out.
func HasMemory(want uint64) bool {
	available, err := AvailableMemory()
	return err == nil && available >= want
}

// MemoryText names the condition for a size.
func MemoryText(size string) string { return size + " of free memory" }

// IsBelow reports whether the load is below a limit. It reports false if that cannot be found out.
func IsBelow(limit float64) bool {
	load, err := Load()
	return err == nil && load < limit
}

// LoadText names the condition for a limit.
func LoadText(limit float64) string { return fmt.Sprintf("a load below %.4g", limit) }
