package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
)

// intentAt is the offset of the intent in a ledger: see the test of the layout.
const intentAt = 248

// The parts of a ledger that the fuzzer changes, one after the other in its input: the
// header, the first holders, the first records.
var fuzzed = []struct{ at, length int64 }{
	{0, intentAt + 32},
	{304, 112}, // delay, last start and hold times
	{4096, 32},
	{4096 + 4*4096 + 128*4096, 6 * 320},
}

func readFuzzed(t testing.TB, name string) (data []byte) {
	t.Helper()
	f, err := os.Open(shm.Path(ledgerFile(name)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range fuzzed {
		chunk := make([]byte, part.length)
		if _, err := f.ReadAt(chunk, part.at); err != nil {
			t.Fatal(err)
		}
		data = append(data, chunk...)
	}
	return data
}

func writeFuzzed(t testing.TB, name string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(shm.Path(ledgerFile(name)), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, part := range fuzzed {
		chunk := data[:min(int(part.length), len(data))]
		data = data[len(chunk):]
		if _, err := f.WriteAt(chunk, part.at); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever a ledger contains, every operation ends soon, with success or with an error of
// this package, and there are never more leases than slots.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 2000))
	busy := newTestPool(f, Config{Size: 2})
	lease, err := busy.TryAcquire()
	if err != nil {
		f.Fatal(err)
	}
	defer lease.Release()
	f.Add(readFuzzed(f, busy.Name()))
	dead := readFuzzed(f, busy.Name()) // its intent: a take that nobody finished
	dead[intentAt] = byte(ledger.OpTake)
	dead[intentAt+4] = 1
	f.Add(dead)

	f.Fuzz(func(t *testing.T, data []byte) {
		p := newTestPool(t, Config{Size: 2})
		// The fuzzer does not have to guess these.
		sound := readFuzzed(t, p.Name())
		if len(data) > 32 {
			copy(data[:12], sound[:12])
			copy(data[24:32], sound[24:32])
		}
		writeFuzzed(t, p.Name(), data)
		exercise(t, p)
	})
}

func exercise(t testing.TB, p *Pool) {
	t.Helper()
	wantOurs := func(err error) {
		t.Helper()
		var own *Error
		if err != nil && !errors.As(err, &own) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a strange error: %v", err)
		}
	}
	var leases []*Lease
	size, _ := p.Size()
	// The number of slots in use can be wrong. Then it is off until a repair.
	consistent := len(p.inspect()) == 0
	for range 3 {
		lease, err := p.TryAcquire()
		wantOurs(err)
		if lease != nil {
			leases = append(leases, lease)
		}
	}
	after, _ := p.Size() // a change that has to be mended can be a resize
	if consistent && len(leases) > max(size, after) {
		t.Errorf("%d leases of %d slots", len(leases), max(size, after))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	lease, err := p.Acquire(ctx)
	wantOurs(err)
	if lease != nil {
		leases = append(leases, lease)
	}
	_, err = p.Status()
	wantOurs(err)
	for _, lease := range leases {
		wantOurs(lease.Release())
	}
	_, err = Repair(p.Name(), true)
	wantOurs(err)
	wantOurs(p.Resize(3))
	wantOurs(p.Destroy())
	if other, err := Open(p.Name()); err == nil {
		wantOurs(other.ForceDestroy())
		other.Close()
	}
}

// The bytes change while they are used.
func TestScribblingOnALedgerInUseIsSurvived(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		p := newTestPool(t, Config{Size: 2})
		f, err := os.OpenFile(shm.Path(ledgerFile(p.Name())), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 4 {
			handle := openTestPool(t, p.Name())
			group.Go(func() {
				for range 30 {
					ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
					if lease, err := handle.Acquire(ctx); err == nil {
						lease.Release()
					}
					cancel()
				}
			})
		}
		done := make(chan struct{})
		go func() {
			group.Wait()
			close(done)
		}()
		for scribbling := true; scribbling; {
			select {
			case <-done:
				scribbling = false
			default:
				part := fuzzed[random.IntN(len(fuzzed))]
				if _, err := f.WriteAt([]byte{byte(random.IntN(256))}, part.at+random.Int64N(part.length)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
			}
		}
		f.Close()
	}
}
