package supervisor

import (
	"syscall"
	"testing"
)

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		wait   syscall.WaitStatus
		code   int
		signal syscall.Signal
	}{
		{0, 0, 0},
		{3 << 8, 3, 0},
		{255 << 8, 255, 0},
		{15, 143, 15},
		{0x80 | 11, 139, 11}, // with a core dump
		{64, 192, 64},
		{statusUnknown, 2, 0},
	} {
		s := Status{wait: test.wait}
		if n, ok := s.Signal(); n != test.signal || ok != (test.signal != 0) || s.ExitCode() != test.code {
			t.Errorf("%#x: signal %d, %v, exit code %d", uint32(test.wait), int(n), ok, s.ExitCode())
		}
	}
}
