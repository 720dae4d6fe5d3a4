package pool

import (
	"os"
	"testing"
)

// The lease of an ancestor is found also while others come and go: the look at the holders does not
// take the ledger lock.
func TestTheLeaseOfAnAncestorIsFoundAmongOthersThatComeAndGo(t *testing.T) {
	p := newTestPool(t, Config{Size: 3})
	others := openTestPool(t, p.Name())
	first, err := others.TryAcquire()
	if err != nil {
		t.Fatal(err)
	}
	lease, err := p.TryAcquire()
	if err != nil || lease.SetCommandPID(os.Getpid()) != nil || first.Release() != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for {
			other, err := others.TryAcquire() // of a lower slot
			if err == nil {
				err = other.Release()
			}
			select {
			case <-stop:
				stopped <- err
				return
			default:
			}
		}
	}()
	asker := openTestPool(t, p.Name())
	for range 5_000 {
		id, _, _, err := asker.HeldByAncestor()
		if err != nil || id != lease.ID() {
			t.Errorf("%v instead of %v: %v", id, lease.ID(), err)
			break
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
