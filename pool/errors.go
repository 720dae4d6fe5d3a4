package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/ledger"
	"github.com/poolrun/poolrun/internal/shm"
	"golang.org/x/sys/unix"
)

// The kinds of error that this package returns, for errors.Is. Each error's text names the pool.
// ErrNotExist, ErrExist, ErrPermission and ErrClosed are also the errors of these names in package
// io/fs.
var (
	ErrInvalid     error = &kind{"invalid %s", &fs.ErrInvalid}
	ErrNotExist    error = &kind{"no pool %s", &fs.ErrNotExist}
	ErrExist       error = &kind{"pool %s exists already", &fs.ErrExist}
	ErrPermission  error = &kind{"cannot use pool %s", &fs.ErrPermission} // the caller may not, or must not trust the pool
	ErrNameTaken   error = &kind{"cannot use pool %s", nil}               // another object has it
	ErrNoSpace     error = &kind{"no space for pool %s", nil}             // /dev/shm is full
	ErrUnavailable error = &kind{"cannot use pool %s", nil}               // the system lacks something at the moment
	ErrStuck       error = &kind{"cannot use pool %s", nil}               // a process holds its lock and does not move
	ErrVersion     error = &kind{"pool %s was made by another version of poolrun", nil}
	ErrDamaged     error = &kind{"pool %s is damaged", nil}
	ErrDestroyed   error = &kind{"pool %s was destroyed", nil}
	ErrDraining    error = &kind{"pool %s is being drained and admits no newcomers", nil}
	ErrInUse       error = &kind{"pool %s is in use", nil}
	ErrBusy        error = &kind{"no free slot in pool %s", nil}
	ErrTooHeavy    error = &kind{"pool %s has too few slots", nil}
	ErrFull        error = &kind{"pool %s has no room for another participant", nil}
	ErrClosed      error = &kind{"pool %s was closed", &fs.ErrClosed}
	ErrFree        error = &kind{"nothing to signal in pool %s", nil}
	ErrReleased    error = &kind{"the lease on a slot of pool %s was released already", nil}
)

// A kind is a constant, in effect: the compiler makes it, so that bare Go can return it.
type kind struct {
	format string
	is     *error // what it is besides, most often in package io/fs; nil for nothing
}

func (k *kind) Error() string { return strings.ReplaceAll(k.format, " %s", "") }

func (k *kind) Unwrap() error {
	if k.is == nil {
		return nil
	}
	return *k.is
}

// errBehind is ErrBusy for a newcomer that has a waiter before it.
var errBehind error = &kind{"no free slot in pool %s", nil}

// ErrNotYet is ErrBusy for a newcomer that could have slots, but has to wait for a condition or for the
// pool's delay. ErrTooLate goes with context.DeadlineExceeded for a waiter like that.
var (
	ErrNotYet  error = &kind{"cannot start in pool %s yet", &ErrBusy}
	ErrTooLate error = &kind{"cannot start in pool %s yet", nil}
)

// A problem is an error of bare Go that is not of a special kind.
type problem string

func (p problem) Error() string { return string(p) }

// An Error says what is wrong with which pool.
type Error struct {
	Pool  string
	Kind  error // one of the errors above
	Cause error // may be nil
}

func (e *Error) Error() string {
	text := fmt.Sprintf(e.Kind.(*kind).format, e.Pool)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

func (p *Pool) fail(kind error) error { return &Error{p.name, kind, nil} }

// explain makes an Error of any error, except of a context's. An error of bare Go does not name the
// pool.
func explain(name string, err error) error {
	if err == nil || errors.As(err, new(*Error)) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if err == errBehind {
		err = ErrBusy
	}
	if k, ok := err.(*kind); ok {
		return &Error{name, k, nil}
	}
	if errors.Is(err, shm.ErrWrongSize) || errors.Is(err, ledger.ErrVersion) {
		if version, ok := versionOf(name); ok && version != ledger.Version {
			return &Error{name, ErrVersion, fmt.Errorf("its ledger has layout %d, and this version uses layout %d", version, ledger.Version)}
		}
	}
	return &Error{name, kindOf(err), err}
}

// versionOf returns the version of the layout of a pool's ledger, which may have another size than the
// ledgers of this version.
func versionOf(name string) (version uint32, ok bool) {
	var head [ledger.HeadSize]byte
	if err := shm.ReadHead(ledgerFile(name), head[:]); err != nil {
		return 0, false
	}
	return ledger.VersionOf(head)
}

// kindOf sorts what shared memory and the kernel say. Only what the memory says is damage: what the
// kernel says is only why the pool cannot be used now.
func kindOf(err error) error {
	switch {
	case errors.As(err, new(ledger.Damage)), errors.Is(err, shm.ErrFault), errors.Is(err, shm.ErrWrongSize):
		return ErrDamaged
	case errors.Is(err, ledger.ErrVersion):
		return ErrVersion
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return ErrPermission
	case errors.As(err, new(*shm.Refused)):
		return ErrNameTaken
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return ErrNoSpace
	}
	return ErrUnavailable
}

// Explain adds the text of an error to a text, as explain would. It is bare Go.
func (d *Direct) Explain(text *bare.Text, err error) {
	switch e := err.(type) {
	case ledger.Damage:
		text.Add("pool ")
		text.Add(d.name)
		text.Add(" is damaged: ")
		text.Add(string(e))
	case problem:
		text.Add("cannot use pool ")
		text.Add(d.name)
		text.Add(": ")
		text.Add(string(e))
	default:
		text.Add("cannot use pool ")
		text.Add(d.name)
	}
}
