package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

func TestEachErrorHasACodeAndAHint(t *testing.T) {
	of := func(kind error) error { return &pool.Error{Pool: "/db", Kind: kind} }
	for _, test := range []struct {
		err  error
		code int
		hint string // a part of it; "": there is none
	}{
		{errors.New("any"), 2, ""},
		{context.Canceled, 2, ""},
		{usageError{errors.New("any")}, 2, "poolrun --help"},
		{busyError{text: "no free slot", code: 75}, 75, ""},
		{busyError{"quiet", 0, true}, 0, ""},
		{fmt.Errorf("wrapped: %w", busyError{text: "no free slot", code: 99}), 99, ""},
		{commandError{"cmd", syscall.ENOENT}, 127, ""},
		{commandError{"A=1", syscall.ENOENT}, 127, "env A=1"},
		{commandError{"./A=1", syscall.ENOENT}, 127, ""},
		{commandError{"cmd", syscall.EACCES}, 126, ""},
		{commandError{"A=1", syscall.EACCES}, 126, ""},
		{commandError{"cmd", supervisor.InterpreterError{Path: "/nowhere", Cause: syscall.ENOENT}}, 126, ""},
		{supervisor.ErrNoProcess, 2, ""},
		{of(pool.ErrNotExist), 2, "poolrun init /db --size N"},
		{of(pool.ErrExist), 2, ""},
		{of(pool.ErrDamaged), 2, "poolrun repair /db"},
		{beyondRepair{of(pool.ErrDamaged)}, 2, "poolrun destroy --force /db"},
		{of(pool.ErrInUse), 75, "poolrun destroy --drain /db"},
		{of(pool.ErrPermission), 2, ""},
	} {
		if got := codeOf(test.err); got != test.code {
			t.Errorf("%v: exit code %d instead of %d", test.err, got, test.code)
		}
		got := hint(test.err)
		if !strings.Contains(got, test.hint) || test.hint == "" && got != "" {
			t.Errorf("%v: hint %q", test.err, got)
		}
		if strings.Contains(got, "--force") && !errors.As(test.err, new(beyondRepair)) {
			t.Errorf("%v: the hint destroys more than it has to: %q", test.err, got)
		}
	}
}
