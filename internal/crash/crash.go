//go:build !crashpoints

// Package crash marks the points at which the crash tests kill the program.
package crash

// Point marks a place between two steps of a change. It does nothing, except in a program that is
// built with the tag crashpoints: there a test can make the process kill itself at any of them.
func Point(name string) {}

// Prepare has to be called before a point that comes before the Go runtime has started. Its argument
// is the environment, as execve(2) hands it over.
func Prepare(environ **byte) {}
