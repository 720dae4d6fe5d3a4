package shm

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// To ask for a lease must not cost a process its life: SIGIO's default is to kill.
func TestAnOpenInTheMomentOfTheLeaseSendsNoSIGIO(t *testing.T) {
	fd, file, err := createTemporary()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	t.Cleanup(func() { os.Remove(Path(file)) })
	killed := make(chan os.Signal, 1)
	signal.Notify(killed, unix.SIGIO)
	defer signal.Stop(killed)
	done := make(chan struct{})
	broken := 0
	go func() {
		defer close(done)
		for range 100_000 {
			switch other, err := unix.Open(Path(file), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err {
			case nil:
				unix.Close(other)
			case unix.EWOULDBLOCK:
				broken++
			default:
				t.Error(err)
			}
		}
	}()
	granted := 0
	for asking := true; asking; {
		select {
		case <-done:
			asking = false
		case s := <-killed:
			t.Fatal(s)
		default:
			if (&Object{FD: fd}).IsOnlyUser() {
				granted++
			}
		}
	}
	if granted == 0 || broken == 0 {
		t.Errorf("%d leases granted, %d broken", granted, broken)
	}
}
