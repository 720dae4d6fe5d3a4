package pool

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of error that this package returns. errors.Is tells them apart; the
// text of an error names the pool.
var (
	ErrNotExist  error = kind("no pool %s")
	ErrExist     error = kind("pool %s exists already")
	ErrInvalid   error = kind("invalid %s")
	ErrBusy      error = kind("no free slot in pool %s")
	ErrTooHeavy  error = kind("pool %s has too few slots")
	ErrInUse     error = kind("pool %s is in use")
	ErrDraining  error = kind("pool %s admits nobody new, it is being drained")
	ErrDestroyed error = kind("pool %s was destroyed")
	ErrFull      error = kind("pool %s has no room for another participant")
	ErrDamaged   error = kind("pool %s is damaged")
	ErrRefused   error = kind("cannot use pool %s")
	ErrClosed    error = kind("pool %s was closed")
	ErrReleased  error = kind("the lease of a slot of pool %s was released already")
)

type kind string

func (k kind) Error() string { return strings.ReplaceAll(string(k), " %s", "") }

// An Error tells what is wrong with which pool.
type Error struct {
	Pool  string
	Kind  error // one of the errors above
	Cause error // may be nil
}

func (e *Error) Error() string {
	text := fmt.Sprintf(string(e.Kind.(kind)), e.Pool)
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

func (p *Pool) fail(kind, cause error) error { return fail(p.name, kind, cause) }

func fail(name string, kind, cause error) error {
	var own *Error
	if errors.As(cause, &own) {
		return cause
	}
	return &Error{name, kind, cause}
}
