package gate

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"
)

func TestAfterCloseASemaphoreIsNotTouched(t *testing.T) {
	s, _ := newSem(t, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other, _ := newSem(t, 5) // most likely mapped where s was
	_, valueErr := s.Value()
	for what, err := range map[string]error{
		"Close": s.Close(), "Post": s.Post(), "TryWait": s.TryWait(), "Wait": s.Wait(context.Background()), "Value": valueErr,
	} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if n := value(t, other); n != 5 {
		t.Errorf("another semaphore has %d", n)
	}
}

func TestCloseEndsAWait(t *testing.T) {
	s, _ := newSem(t, 0)
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- s.Wait(context.Background()) }()
	}
	for s.sem.Sleepers() != 2 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-ended:
			if !errors.Is(err, fs.ErrClosed) {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it hangs")
		}
	}
}
