package cli

import (
	"context"
	"syscall"

	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
)

// A managed pool is a local one or one that several machines share. Both have the same methods, which
// return the same errors.
type managed interface {
	Name() string
	Status() (pool.Status, error)
	Resize(size int) error
	Signal(slot int, n syscall.Signal) (pid int, err error)
	WaitIdle(context.Context) error
	Drain(context.Context) error
	Destroy() error
	ForceDestroy() error
	Close() error
}

// openToManage opens a pool for a command that manages it, without running anything in it.
func openToManage(name poolName) (managed, error) {
	if !name.isRemote() {
		return local(pool.OpenToManage(name.String()))
	}
	u, err := name.url()
	if err != nil {
		return nil, usageError{err}
	}
	p, err := engine.Open(u, version)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func openReadOnly(name poolName) (managed, error) { return local(pool.OpenReadOnly(name.String())) }

// local returns a nil interface with an error.
func local(p *pool.Pool, err error) (managed, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// openPlace opens a place with pools that several machines share.
func openPlace(name placeName) (*engine.Pool, error) {
	u, err := engine.ParseURL(name.String())
	if err != nil {
		return nil, usageError{err}
	}
	return engine.Open(u, version)
}
