package pool

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/poolrun/poolrun/internal/shm"
)

func TestErrorsAreThoseOfTheFileSystemToo(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	_, openErr := Open(p.Name() + "-none")
	_, nameErr := CheckName("a/b")
	createErr := Create(p.Name(), Config{Size: 1})
	p.Close()
	_, closedErr := p.Size()
	for _, test := range []struct{ got, want, also error }{
		{openErr, ErrNotExist, fs.ErrNotExist},
		{nameErr, ErrInvalid, fs.ErrInvalid},
		{createErr, ErrExist, fs.ErrExist},
		{closedErr, ErrClosed, fs.ErrClosed},
	} {
		if !errors.Is(test.got, test.want) || !errors.Is(test.got, test.also) {
			t.Errorf("%v is not both %v and %v", test.got, test.want, test.also)
		}
	}
}

func TestKindsAreToldApart(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	os.Remove(shm.Path("sem." + p.Name()[1:]))
	_, damaged := Open(p.Name())
	p = newTestPool(t, Config{Size: 1})
	f, err := os.OpenFile(shm.Path(ledgerFile(p.Name())), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{99}, 8); err != nil { // the layout's version
		t.Fatal(err)
	}
	_, version := Open(p.Name())
	p = newTestPool(t, Config{Size: 1})
	taken := p.Name() + "-taken"
	if err := os.Symlink("/dev/null", shm.Path(ledgerFile(taken))); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(shm.Path(ledgerFile(taken)))
	_, nameTaken := Open(taken)
	kinds := []error{ErrDamaged, ErrVersion, ErrNameTaken}
	for i, err := range []error{damaged, version, nameTaken} {
		for j, kind := range kinds {
			if errors.Is(err, kind) != (i == j) {
				t.Errorf("%v is %v: %v", err, kind, i != j)
			}
		}
	}
}

func TestAPoolOpenedReadOnlyIsNotChanged(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	reader, err := OpenReadOnly(p.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	_, tryErr := reader.TryAcquire()
	_, acquireErr := reader.Acquire(t.Context())
	for what, err := range map[string]error{
		"TryAcquire": tryErr, "Acquire": acquireErr, "Resize": reader.Resize(2), "Destroy": reader.Destroy(),
		"ForceDestroy": reader.ForceDestroy(), "Drain": reader.Drain(t.Context()),
	} {
		if !errors.Is(err, ErrPermission) || errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s, err := reader.Status(); err != nil || s.Size != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if lease, err := p.TryAcquire(); err != nil || lease.Release() != nil {
		t.Error(err)
	}
}

func TestALockThatCannotBeHadIsReported(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	other := openTestPool(t, p.Name())
	if err := p.lock(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	defer p.unlock()
	if err := other.update(t.Context(), time.Millisecond, func() error { return nil }); !errors.Is(err, ErrStuck) {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := other.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A waiter whose weight was overwritten gets no lease on nothing.
func TestAWaiterWithoutAWeightIsDamage(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	place := lineUp(t, p)
	for _, weight := range []uint32{0, MaxSlots + 1} {
		place.rec.Weight.Store(weight)
		err := p.use(func() error {
			v, err := place.look(t.Context(), "")
			if v.lease != nil {
				t.Errorf("weight %d: a lease on slots %v", weight, v.lease.Slots())
			}
			return err
		})
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("weight %d: %v", weight, err)
		}
	}
}

// The caller's function runs outside of the pool: it may close it, and its faults are its
// own.
func TestACallersFunctionIsOutsideOfThePool(t *testing.T) {
	p := newTestPool(t, Config{Size: 1})
	lease, err := p.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	other := openTestPool(t, p.Name())
	if _, err := other.Acquire(t.Context(), OnWait(func() { other.Close() })); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	func() {
		defer func() {
			if _, ok := recover().(runtime.Error); !ok {
				t.Error("the function's fault did not reach its caller")
			}
		}()
		_, err := p.Acquire(t.Context(), OnWait(func() { *(*int)(nil) = 1 }))
		t.Error(err)
	}()
	if s := mustStatus(t, p); len(s.Waiters) != 0 {
		t.Errorf("%+v", s.Waiters)
	}
	if err := lease.Release(); err != nil {
		t.Error(err)
	}
}
