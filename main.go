// Poolrun runs a command under a limit that the whole machine shares.
package main

import (
	"os"

	"github.com/poolrun/poolrun/internal/parser"
)

func main() { os.Exit(parser.Main(os.Args[1:])) }
