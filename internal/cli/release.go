package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

type releaseCommand struct {
	FD descriptor `name:"fd" required:"" placeholder:"N" help:"Return the slot that descriptor N holds."`
}

func (*releaseCommand) examples() string {
	return `poolrun release --fd 9
# In ksh and mksh:
poolrun release --fd 9 9<&9`
}

func (c *releaseCommand) execute(io.Writer) (exit, error) {
	p, err := c.FD.open()
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	err = p.ReleaseDescriptor(int(c.FD))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("descriptor %d holds no slot of pool %s", c.FD, p.Name())
	}
	return exit{}, err
}
