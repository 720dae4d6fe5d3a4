// The runtime need not find out how many CPUs its container may use, for which it
// reads four files: poolrun does nothing in parallel.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Poolrun runs a command under a limit that the whole machine shares.
package main

import (
	"os"

	"github.com/poolrun/poolrun/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
