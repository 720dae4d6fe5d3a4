package pool

import (
	"fmt"
	"testing"

	"github.com/poolrun/poolrun/internal/shm"
)

// An acquire and a release that nobody hinders, with so many others holding
// slots, each through an open pool of its own as another process would.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, others := range []int{0, 1, 10, 100, 1000, 4000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			p := newTestPool(b, Config{Size: MaxSlots})
			for range others {
				if _, err := openTestPool(b, p.Name()).TryAcquire(); err != nil {
					b.Fatal(err)
				}
			}
			acquireAndRelease(b, p)
		})
	}
	for _, size := range []int{1, 64, MaxSlots} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			acquireAndRelease(b, newTestPool(b, Config{Size: size}))
		})
	}
}

func acquireAndRelease(b *testing.B, p *Pool) {
	b.ReportAllocs()
	for b.Loop() {
		lease, err := p.Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := lease.Release(); err != nil {
			b.Fatal(err)
		}
	}
}

// What the kernel asks for the locks of one acquire and one release: the ledger lock
// for each, and the claim.
func BenchmarkKernelLocks(b *testing.B) {
	p := newTestPool(b, Config{Size: 1})
	fd := p.object.FD
	b.ReportAllocs()
	for b.Loop() {
		shm.TryLock(fd)
		shm.SetLock(fd, shm.Exclusive, claimByte(1))
		shm.Unlock(fd)
		shm.TryLock(fd)
		shm.SetLock(fd, shm.Unlocked, claimByte(1))
		shm.Unlock(fd)
	}
}
