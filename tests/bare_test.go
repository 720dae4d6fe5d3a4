package tests

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Bare Go (package bare) runs without the Go runtime, so it must not call a function of the
// runtime. The compiler adds such calls silently, such as an allocation for a variable that
// escapes, and no other test may reach that branch.
func TestBareGoCallsNothingOfTheRuntime(t *testing.T) {
	if !hasDirectPath {
		t.Skip("without the direct path")
	}
	const module, of = "github.com/poolrun/poolrun/", "github.com/poolrun/poolrun/supervisor."
	allowed := []string{
		"syscall.RawSyscall6", "internal/runtime/syscall/linux.Syscall6",
		// Plain loops in assembly.
		"runtime.memmove", "runtime.memequal", "runtime.strequal", "runtime.ifaceeq", "runtime.memclrNoHeapPointers",
		// Never reached: the indices are in range, the stack suffices, and write barriers are off
		// before the runtime's first collection.
		"runtime.panicBounds", "runtime.panicSlice", "runtime.panicIndex", "runtime.panicshift", "runtime.panicdivide",
		"runtime.panicunsafestringlen", "runtime.panicunsafestringnilptr", "runtime.panicunsafeslicelen", "runtime.panicunsafeslicenilptr",
		"runtime.morestack_noctxt", "runtime.morestack",
		"runtime.gcWriteBarrier1", "runtime.gcWriteBarrier2", "runtime.gcWriteBarrier4", "runtime.wbMove", "runtime.wbZero",
		// It allocates for numbers from 256 on, and is called for errnos: see bare.Error.
		"runtime.convT64",
	}
	// These call a function by its value: runDirectly, onMemoryFault, become and resume.
	callers := []string{of + "enter", of + "onDirectSignal", of + "clone"}
	const unknown = "an unknown function"
	out, err := exec.Command("go", "tool", "objdump", "-s", `^(\Q`+module+`\E|syscall\.RawSyscall6)`, binaries.poolrun).Output()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string][]string{}
	inside := ""
	call := regexp.MustCompile(`\s(?:CALL|JMP|BL|B) (\S+)\(SB\)`)
	indirect := regexp.MustCompile(`\sCALL [A-Z0-9]+\s|\sCALL \(|\sBL \(`)
	for line := range strings.Lines(string(out)) {
		if name, found := strings.CutPrefix(line, "TEXT "); found {
			inside, _, _ = strings.Cut(name, "(SB)")
			inside = strings.TrimSuffix(inside, ".abi0")
			calls[inside] = append(calls[inside], nil...)
		} else if match := call.FindStringSubmatch(line); match != nil {
			calls[inside] = append(calls[inside], strings.TrimSuffix(match[1], ".abi0"))
		} else if indirect.MatchString(line) {
			calls[inside] = append(calls[inside], unknown)
		}
	}
	next := []string{of + "enter", of + "become", of + "resume", of + "fatal", of + "mapThriftily", of + "onDirectSignal",
		module + "internal/cli.runDirectly", module + "internal/cli.onMemoryFault"}
	for i := 0; i < len(next); i++ {
		if _, found := calls[next[i]]; !found {
			t.Errorf("%s does not exist", next[i])
		}
		for _, name := range calls[next[i]] {
			switch {
			case slices.Contains(allowed, name) || slices.Contains(next, name):
			case name == unknown && slices.Contains(callers, next[i]):
			case strings.HasPrefix(name, module):
				next = append(next, name)
			default:
				t.Errorf("%s calls %s", next[i], name)
			}
		}
	}
	for _, name := range []string{module + "pool.(*core).take", module + "internal/ledger.(*Memory).Change"} {
		if !slices.Contains(next, name) {
			t.Errorf("the test has not reached %s", name)
		}
	}
	t.Log(len(next), "functions")
}
