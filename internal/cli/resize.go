package cli

import "io"

type resizeCommand struct {
	Name poolName `arg:"" help:"The pool."`
	Size newSize  `arg:"" placeholder:"N" help:"The new number of slots. If it grows, waiting commands start at once. If it shrinks, running commands finish undisturbed. 0 pauses the pool."`
}

func (*resizeCommand) examples() string {
	return `poolrun resize /db 8
# Pause the pool.
poolrun resize /db 0`
}

func (c *resizeCommand) execute(io.Writer) (exit, error) {
	p, err := openToManage(c.Name)
	if err != nil {
		return exit{}, err
	}
	defer p.Close()
	return exit{}, p.Resize(int(c.Size))
}

// A newSize is a poolSize or 0.
type newSize int

func (s *newSize) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		return nil
	}
	return (*poolSize)(s).UnmarshalText(text)
}
