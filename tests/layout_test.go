package tests

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
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
	onlyOnce(t)
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

// unzip writes an unzipped file.
func unzip(t testing.TB, from, to string) {
	t.Helper()
	zipped, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer zipped.Close()
	reader, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// testdata/pool-0.1.0 has the files of a pool that version 0.1.0 has made and used. Every release 0.1.x
// uses it: see "Versions of the layout" in docs/design.md.
func TestAPoolOfTheFirstReleaseIsUsable(t *testing.T) {
	name := freeName(t)
	unzip(t, "testdata/pool-0.1.0/ledger.gz", ledgerOf(name))
	unzip(t, "testdata/pool-0.1.0/semaphore.gz", semaphoreOf(name))
	var st syscall.Stat_t
	if err := syscall.Stat(semaphoreOf(name), &st); err != nil {
		t.Fatal(err)
	}
	const inodeOfSemaphore = 24
	patch(t, ledgerOf(name), inodeOfSemaphore, binary.NativeEndian.AppendUint64(nil, st.Ino)...)

	s := statusOf(t, name)
	if n := s.Counters; s.Size != 3 || s.Available != 3 || n.Acquired != 6 || n.Released != 5 || n.TimedOut != 1 || n.Busy != 1 || n.Reclaimed != 1 {
		t.Errorf("%+v", s)
	}
	wantResult(t, poolrun(t, "repair", name), 0, "^pool "+name+" is sound\n$")
	wantResult(t, poolrun(t, "status", name), 0, `\(1ms between two starts\)`)
	wantResult(t, poolrun(t, "-p", name, "-k", "all", "sh", "-c", `printf %s "$POOLRUN_ITEM" | tr '\n' ,`), 0, "^red,green,blue$")
	release := holdSlot(t, name)
	waiter := mustStart(t, poolrun(t, "-p", name, "-k", "all", "true"))
	waitForLine(t, name, 1)
	release()
	wantExit(t, 0, waiter)
	wantUsable(t, name)
}
