package cli

import "github.com/poolrun/poolrun/pool"

type resizeCommand struct {
	Name poolName `arg:"" help:"The pool."`
	Size newSize  `arg:"" placeholder:"N" help:"How many slots it is to have. More: waiting commands start at once. Fewer: running ones end in peace. 0 pauses the pool."`
}

func (c *resizeCommand) Run() error {
	p, err := pool.OpenToManage(string(c.Name))
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Resize(int(c.Size))
}

// A newSize is a poolSize, or 0.
type newSize int

func (s *newSize) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		return nil
	}
	return (*poolSize)(s).UnmarshalText(text)
}
