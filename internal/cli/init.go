package cli

import (
	"errors"
	"io"
	"io/fs"

	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/pool"
)

type initCommand struct {
	Name    poolName `arg:"" complete:"nothing" help:"The pool, like /db."`
	Size    poolSize `short:"s" placeholder:"N" help:"Give the pool N slots: 1 to 4096, or a percentage of the CPUs, like 50%."`
	Mode    fileMode `default:"0600" placeholder:"MODE" help:"Set the permissions, as in chmod(1) (default: 0600, only the owner; 0660 for a group)."`
	Group   string   `placeholder:"GROUP" complete:"group" help:"Give the pool to this group."`
	Item    []string `placeholder:"TEXT" sep:"none" help:"Say what a slot stands for: a port, a GPU, an account. Repeat this for each slot; --size can then be omitted."`
	Delay   duration `placeholder:"DUR" help:"Let at least DUR pass between two starts in this pool."`
	ExistOk bool     `help:"Succeed if the pool exists already, whatever its size and mode."`
}

func (*initCommand) examples() string {
	return `poolrun init /db --size 4
# Two slots, which stand for GPU 0 and GPU 1: see POOLRUN_ITEM in poolrun(1).
poolrun init /gpu --item 0 --item 1`
}

func (c *initCommand) execute(io.Writer) (exit, error) {
	if c.Size == 0 && len(c.Item) == 0 {
		return exit{}, usageError{errors.New("missing flags: --size=N")}
	}
	if c.Delay.isInfinite() {
		return exit{}, usageError{errors.New("an infinite delay would let nothing start: use \"poolrun resize NAME 0\" to pause a pool")}
	}
	config := pool.Config{Size: int(c.Size), Mode: fs.FileMode(c.Mode), Items: c.Item, Delay: c.Delay.length}
	if c.Group != "" {
		gid, err := names.Group(c.Group)
		if err != nil {
			return exit{}, usageError{err}
		}
		config.Group = &gid
	}
	err := pool.Create(c.Name.String(), config)
	if c.ExistOk && errors.Is(err, pool.ErrExist) {
		return exit{}, nil
	}
	return exit{}, err
}
