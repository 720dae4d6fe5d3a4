//go:build !crashpoints

package pool

// step marks a place between two steps of a change. In a test binary built with
// the tag crashpoints the process can be made to die there.
func step(string) {}
