package cli

import (
	"errors"
	"io/fs"

	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/pool"
)

type initCommand struct {
	Name    poolName `arg:"" help:"The pool, like /db."`
	Size    poolSize `short:"s" placeholder:"N" help:"How many slots it has: 1 to 4096, or a percentage of the CPUs, like 50%."`
	Mode    fileMode `default:"0600" placeholder:"MODE" help:"Who may use it, as in chmod(1) (default: 0600, only its owner; 0660 for a group)."`
	Group   string   `placeholder:"GROUP" help:"The group to which it belongs."`
	Item    []string `placeholder:"TEXT" sep:"none" help:"What a slot stands for: a port, a GPU, an account. Repeat it once for each slot; --size may then be left out."`
	ExistOk bool     `help:"It is no error if the pool exists already, whatever it is like."`
}

func (c *initCommand) Run() error {
	if c.Size == 0 && len(c.Item) == 0 {
		return UsageError{errors.New("missing flags: --size=N")}
	}
	config := pool.Config{Size: int(c.Size), Mode: fs.FileMode(c.Mode), Items: c.Item}
	if c.Group != "" {
		gid, err := names.Group(c.Group)
		if err != nil {
			return UsageError{err}
		}
		config.Group = &gid
	}
	err := pool.Create(string(c.Name), config)
	if c.ExistOk && errors.Is(err, pool.ErrExist) {
		return nil
	}
	return err
}
