package tests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
)

// layoutVersion is the version of the layout of a ledger, at byte 8.
func layoutVersion(t testing.TB, name string) uint32 {
	t.Helper()
	ledger, err := os.ReadFile(ledgerOf(name))
	if err != nil {
		t.Fatal(err)
	}
	return binary.NativeEndian.Uint32(ledger[8:])
}

// A ledger of another layout, older or newer, of whatever size, is not touched by any command, and the
// message says which layouts these are. Only destroy --force removes it.
func TestALedgerOfAnotherLayoutIsNotTouched(t *testing.T) {
	for _, other := range []int{-1, 1, 1000} {
		for _, size := range []int64{0, 4096, 8 << 20} {
			name := newPool(t, 2)
			own := layoutVersion(t, name)
			version := uint32(int(own) + other)
			patch(t, ledgerOf(name), 8, binary.NativeEndian.AppendUint32(nil, version)...)
			if size != 0 {
				if err := os.Truncate(ledgerOf(name), size); err != nil {
					t.Fatal(err)
				}
			}
			read := func() (files [][]byte) {
				for _, file := range []string{ledgerOf(name), semaphoreOf(name)} {
					content, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					files = append(files, content)
				}
				return files
			}
			before := read()
			text := fmt.Sprintf("pool %s was made by another version of poolrun: its ledger has layout %d, and this version uses layout %d", name, version, own)
			for _, args := range [][]string{
				{"-p", name, "true"}, {"-p", name, "-n", "-F", "true"}, {"-p", name, "--size", "2", "true"}, {"status", name}, {"status", name, "--format", "json"},
				{"init", name, "--size", "2"}, {"init", name, "--size", "2", "--exist-ok"}, {"resize", name, "3"}, {"wait", name}, {"evict", name, "--slot", "0"},
				{"destroy", name}, {"destroy", name, "--drain"}, {"repair", name}, {"repair", name, "--force"}, {"path", name},
			} {
				wantRefused(t, text, args...)
			}
			wantResult(t, command(t, "bash", "-c", "poolrun acquire --fd 9 9<"+ledgerOf(name)), 2, text)
			for _, args := range [][]string{{"status"}, {"list"}} { // other pools are shown
				if _, stderr := outputs(t, poolrun(t, args...)); !strings.Contains(stderr, text) {
					t.Errorf("%q: %s", args, stderr)
				}
			}
			for i, content := range read() {
				if !bytes.Equal(content, before[i]) {
					t.Errorf("version %d, size %d: file %d has changed", version, size, i)
				}
			}
			mustRun(t, "destroy", "--force", name)
			wantNothingLeft(t, name)
		}
	}
}
