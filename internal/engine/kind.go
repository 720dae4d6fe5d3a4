package engine

import (
	"context"
	"errors"

	"github.com/poolrun/poolrun/pool"
)

// A Failure is an error in a reply.
type Failure struct {
	Pool  string `json:"pool,omitempty"` // which it is about, unless that is the connection's
	Kind  Kind   `json:"kind"`
	Cause string `json:"cause,omitempty"` // for people: the end of the message
}

// A Kind is the kind of a failure.
type Kind string

const (
	Cancelled Kind = "cancelled" // by Cancel
	TimedOut  Kind = "timed-out" // there was no slot within the Timeout
)

// kinds are the kinds that are errors of package pool.
var kinds = []struct {
	kind Kind
	err  error
}{
	{"invalid", pool.ErrInvalid},
	{"not-exist", pool.ErrNotExist},
	{"exist", pool.ErrExist},
	{"permission", pool.ErrPermission},
	{"name-taken", pool.ErrNameTaken},
	{"no-space", pool.ErrNoSpace},
	{"unavailable", pool.ErrUnavailable},
	{"stuck", pool.ErrStuck},
	{"version", pool.ErrVersion},
	{"damaged", pool.ErrDamaged},
	{"destroyed", pool.ErrDestroyed},
	{"draining", pool.ErrDraining},
	{"in-use", pool.ErrInUse},
	{"not-yet", pool.ErrNotYet}, // before busy, which it is too
	{"busy", pool.ErrBusy},
	{"too-late", pool.ErrTooLate},
	{"too-heavy", pool.ErrTooHeavy},
	{"free", pool.ErrFree},
}

// Fail returns the failure for an error. That of a kind which has no name is "unavailable".
func Fail(err error) Failure {
	f := Failure{Kind: "unavailable", Cause: err.Error()}
	about, ok := errors.AsType[*pool.Error](err)
	if ok {
		f.Pool, f.Cause = about.Pool, ""
		if about.Cause != nil {
			f.Cause = about.Cause.Error()
		}
	}
	switch {
	case !ok && errors.Is(err, context.Canceled):
		return Failure{Kind: Cancelled}
	case !ok && errors.Is(err, context.DeadlineExceeded):
		return Failure{Kind: TimedOut}
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.Kind = k.kind
			break
		}
	}
	return f
}

// A remark is the cause of an error that came in a failure.
type remark struct {
	text string
	end  error // or nil
}

func (r remark) Error() string { return r.text }
func (r remark) Unwrap() error { return r.end }

// Err returns the error for a failure that concerns a pool. An unknown kind, of a later version, is
// ErrUnavailable.
func (f Failure) Err(name string) error {
	if f.Pool != "" {
		name = f.Pool
	}
	switch f.Kind {
	case Cancelled:
		return context.Canceled
	case TimedOut:
		return context.DeadlineExceeded
	}
	e := &pool.Error{Pool: name, Kind: pool.ErrUnavailable}
	for _, k := range kinds {
		if k.kind == f.Kind {
			e.Kind = k.err
		}
	}
	if f.Cause != "" {
		cause := remark{text: f.Cause}
		if e.Kind == pool.ErrTooLate {
			cause.end = context.DeadlineExceeded
		}
		e.Cause = cause
	}
	return e
}
