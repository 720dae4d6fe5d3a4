package cli

import "os"

// An ordinary run is done here, and the program ends here. For Go initializes
// packages in the order of their paths, each as soon as those that it imports are
// ready (go.dev/ref/spec#Program_initialization). So this comes before kong and
// half of what it imports, which an ordinary run does not need: a twelfth of its
// time. TestAnOrdinaryRunStartsWithoutKong sees to it that this remains so.
func init() {
	var c runCommand
	if len(os.Args) > 0 && ParseQuickly(os.Args[1:], &c) {
		os.Exit(Conclude(c.Run()))
	}
}
