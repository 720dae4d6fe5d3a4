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
	_, parityErr := s.Parity()
	_, sleepersErr := s.Sleepers()
	for what, err := range map[string]error{
		"Close": s.Close(), "Post": s.Post(), "TryWait": s.TryWait(), "Wait": s.Wait(context.Background()), "Value": valueErr,
		"Swap": s.Swap(-1), "CountSleeper": s.CountSleeper(), "Parity": parityErr, "Sleepers": sleepersErr,
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
	for n := 0; n != 2; {
		var err error
		if n, err = s.Sleepers(); err != nil {
			t.Fatal(err)
		}
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
