package pool

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
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

// What the kernel asks for a lock and its release, of which an acquire needs one
// of each kind, and a release too.
func BenchmarkKernelLocks(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "lock"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	fd := int(file.Fd())
	b.Run("flock", func(b *testing.B) {
		for b.Loop() {
			unix.Flock(fd, unix.LOCK_EX)
			unix.Flock(fd, unix.LOCK_UN)
		}
	})
	b.Run("byte", func(b *testing.B) {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
		unlock := unix.Flock_t{Type: unix.F_UNLCK, Len: 1}
		for b.Loop() {
			unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &lock)
			unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unlock)
		}
	})
}
