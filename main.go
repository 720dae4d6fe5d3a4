// Poolrun runs a command under a limit that the whole machine shares.
package main

import (
	"os"

	"github.com/poolrun/poolrun/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
