package agent

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// A call inside a slot is recognized even if the environment was cleared on the way, as by sudo(8), su - or env -i: the
// environments of the processes between still show the leases. If one of them is poolrun, or is hidden from this
// user, or if poolrun has inherited what may be a guard, the records of the holders show whose command it is. They cost
// another request, and the login of most users is hidden from them: so what is hidden does not count above the first
// session leader that is not.

// ancestry returns the leases that the environments of a process and its ancestors name. If the records of holders
// can show more, it returns the identities of all of them too: see process.identify.
func ancestry(pid int, mayShowMore bool) (held string, ancestors []string) {
	isBelowLogin := true
	for i := range mostAncestors {
		if pid < 1 {
			break
		}
		p := process{pid: pid}
		fields := p.stat()
		ancestors = append(ancestors, p.identify(fields))
		if len(fields) <= sessionField { // hidden: hidepid in proc(5)
			mayShowMore = mayShowMore || isBelowLogin
			break
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		mayShowMore = mayShowMore || err != nil && isBelowLogin || i > 0 && string(comm) == "poolrun\n"
		for entry := range bytes.SplitSeq(environment, []byte{0}) {
			if value, ok := bytes.CutPrefix(entry, []byte("POOLRUN_LEASES=")); ok {
				held += " " + string(value)
			}
		}
		isBelowLogin = isBelowLogin && (err != nil || fields[sessionField] != strconv.Itoa(pid))
		pid, _ = strconv.Atoi(fields[parentField])
	}
	if !mayShowMore {
		ancestors = nil
	}
	return held, ancestors
}

// mostAncestors is for not following a chain that changes for ever.
const mostAncestors = 64

// Indices of process.stat.
const (
	stateField   = 0
	parentField  = 1
	sessionField = 3
	startField   = 19 // when it was started, in clock ticks since the machine was
)
