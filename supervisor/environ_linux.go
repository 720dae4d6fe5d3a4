package supervisor

import (
	"os"

	"golang.org/x/sys/unix"
)

// Environ is the environment as this process inherited it, to the letter: with what
// is meant for Go programs, and with what os.Environ drops, like the second of two
// variables of the same name.
func Environ() []string {
	if atEntry.environ == nil {
		return os.Environ()
	}
	var env []string
	for i := 0; atEntry.environ[i] != nil; i++ {
		env = append(env, unix.BytePtrToString(atEntry.environ[i]))
	}
	return env
}
