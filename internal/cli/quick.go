package cli

import (
	"strings"
	"time"
)

// parseQuickly parses the arguments of an ordinary run, with the same result as kong. Without it
// each run would build kong's model of all commands, which takes longer than a short command. It is
// bare Go, because an ordinary run is parsed before the Go runtime has started.
//
// It returns false for arguments that it does not understand, and for errors. kong then parses the
// arguments again. TestBothParsersAgree compares the two, and TestTheQuickFlagsAreThoseOfRun the
// table of flags with the struct tags.
func parseQuickly(args []string, from *environment, c *runCommand) bool {
	if len(args) > 0 && args[0] == "run" {
		args = args[1:]
	} else if len(args) == 0 || isCommandName(args[0]) {
		return false
	}
	*c = runCommand{request: request{BusyExitCode: exitBusy, Weight: 1}, KillAfter: duration{true, 10 * time.Second}}
	given := uint(0) // bit i: the flag quickFlags[i] is on the command line
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" && args[0] != "--" {
		word := args[0]
		args = args[1:]
		isLong := strings.HasPrefix(word, "--")
		name, value, isAttached := word[1:2], word[2:], len(word) > 2
		if isLong {
			name, value, isAttached = cutByte(word[2:], '=')
		}
		i := findQuickFlag(name, isLong)
		if i < 0 || given>>i&1 != 0 {
			return false
		}
		given |= 1 << i
		if !quickFlags[i].isSwitch && !isAttached {
			if len(args) == 0 {
				return false
			}
			value, args = args[0], args[1:]
		} else if isAttached && (quickFlags[i].isSwitch || strings.HasPrefix(value, "=")) {
			return false
		}
		if !c.setQuickly(i, value) {
			return false
		}
	}
	for i := range quickFlags {
		if value := from.flags[i]; value != "" && given>>i&1 == 0 && !c.setQuickly(i, value) {
			return false
		}
	}
	c.Command = args
	return c.Pool != "" && len(args) > 0 && !(len(args) == 1 && args[0] == "--")
}

// The flags of an ordinary run, and all flags of run that have variables, as indices into quickFlags.
const (
	flagPool = iota
	flagTimeout
	flagNonblock
	flagBusyExitCode
	flagWeight
	flagPriority
	flagMaxWaiting
	flagSize
	flagClose
	flagNoFork
	flagMaxRuntime // a run with this one or a log is not ordinary
	flagLog
	flagVerbose
	flagQuiet
	numQuickFlags
)

var quickFlags = [numQuickFlags]struct {
	long, short string
	isSwitch    bool   // it has no value
	variable    string // which has the value if the flag is not on the command line
}{
	flagPool:         {"pool", "p", false, "POOLRUN_POOL"},
	flagTimeout:      {"timeout", "w", false, "POOLRUN_TIMEOUT"},
	flagNonblock:     {"nonblock", "n", true, ""},
	flagBusyExitCode: {"busy-exit-code", "E", false, "POOLRUN_BUSY_EXIT_CODE"},
	flagWeight:       {"weight", "k", false, ""},
	flagPriority:     {"priority", "", false, ""},
	flagMaxWaiting:   {"max-waiting", "", false, ""},
	flagSize:         {"size", "s", false, "POOLRUN_SIZE"},
	flagClose:        {"close", "o", true, ""},
	flagNoFork:       {"no-fork", "F", true, ""},
	flagMaxRuntime:   {"max-runtime", "", false, "POOLRUN_MAX_RUNTIME"},
	flagLog:          {"log", "", false, "POOLRUN_LOG"},
	flagVerbose:      {"verbose", "v", true, ""},
	flagQuiet:        {"quiet", "q", true, ""},
}

func findQuickFlag(name string, isLong bool) int {
	for i := range quickFlags {
		if f := &quickFlags[i]; isLong && f.long == name || !isLong && f.short == name {
			return i
		}
	}
	return -1
}

// setQuickly sets a flag. It returns false for a value that is invalid, or that kong may read in
// another way.
func (c *runCommand) setQuickly(flag int, value string) bool {
	switch flag {
	case flagPool:
		return !strings.HasPrefix(value, "-") && c.Pool.set(value)
	case flagTimeout:
		return c.Timeout.set(value)
	case flagBusyExitCode:
		return c.BusyExitCode.set(value)
	case flagSize:
		return c.Size.set(value)
	case flagWeight:
		return c.Weight.set(value)
	case flagPriority:
		return c.Priority.set(value)
	case flagMaxWaiting:
		return c.MaxWaiting.set(value)
	case flagMaxRuntime, flagLog:
		return false
	case flagNonblock:
		c.Nonblock = true
	case flagClose:
		c.Close = true
	case flagNoFork:
		c.NoFork = true
	case flagVerbose:
		c.Verbose = true
	case flagQuiet:
		c.Quiet = true
	}
	return true
}

// cutByte is strings.Cut in bare Go.
func cutByte(text string, separator byte) (before, after string, found bool) {
	for i := range len(text) {
		if text[i] == separator {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

// commandNames are the names of the commands, in the order of commandLine.
var commandNames = [...]string{
	"run", "init", "destroy", "status", "list", "resize", "wait", "evict", "acquire", "release", "path", "repair", "barrier", "completion", "version",
}

func isCommandName(word string) bool {
	for i := range commandNames {
		if commandNames[i] == word {
			return true
		}
	}
	return false
}
