package cli

import (
	"errors"
	"io"
	"io/fs"

	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/internal/names"
	"github.com/poolrun/poolrun/pool"
)

type initCommand struct {
	Name    poolName  `arg:"" complete:"nothing" help:"The pool, like /db."`
	Size    poolSize  `short:"s" placeholder:"N" help:"Give the pool N slots: 1 to 4096, or a percentage of the CPUs, like 50%."`
	Mode    *fileMode `placeholder:"MODE" help:"Set the permissions, as in chmod(1) (default: 0600, only the owner; 0660 for a group)."`
	Group   string    `placeholder:"GROUP" complete:"group" help:"Give the pool to this group."`
	Item    []string  `placeholder:"TEXT" sep:"none" help:"Say what a slot stands for: a port, a GPU, an account. Repeat this for each slot; --size can then be omitted."`
	Delay   duration  `placeholder:"DUR" help:"Let at least DUR pass between two starts in this pool."`
	ExistOk bool      `help:"Succeed if the pool exists already, whatever its size and mode."`
	Lease   duration  `placeholder:"DUR" help:"For a pool on etcd: return the slots of a machine DUR after it has vanished (default: 60s)."`
	OnLost  string    `enum:"kill,keep," default:"" placeholder:"HOW" help:"For a pool on etcd: what happens to a command whose lease cannot be renewed. With kill, it is ended before its slot can go to another. With keep, it runs on (default: kill)."`
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
	if c.Name.isRemote() {
		return exit{}, c.allowExisting(c.createRemote())
	}
	if c.Lease.isGiven || c.OnLost != "" {
		return exit{}, usageError{errors.New("--lease and --on-lost are for pools on etcd only")}
	}
	config := pool.Config{Size: int(c.Size), Mode: defaultMode, Items: c.Item, Delay: c.Delay.length}
	if c.Mode != nil {
		config.Mode = fs.FileMode(*c.Mode)
	}
	if c.Group != "" {
		gid, err := names.Group(c.Group)
		if err != nil {
			return exit{}, usageError{err}
		}
		config.Group = &gid
	}
	return exit{}, c.allowExisting(pool.Create(c.Name.String(), config))
}

func (c *initCommand) allowExisting(err error) error {
	if c.ExistOk && errors.Is(err, pool.ErrExist) {
		return nil
	}
	return err
}

// createRemote creates a pool that several machines share. Who may use it is decided there.
func (c *initCommand) createRemote() error {
	if c.Mode != nil || c.Group != "" {
		return usageError{errors.New("--mode and --group are for local pools: etcd decides who may use a pool, see poolrun-etcd(7)")}
	}
	if c.Lease.isGiven && c.Lease.length == 0 {
		return usageError{errors.New("a lease of 0 would end before its first command: leave --lease out for the default, 60s")}
	}
	if c.Lease.isInfinite() {
		return usageError{errors.New("an infinite lease would never return the slots of a machine that has vanished")}
	}
	u, err := c.Name.url()
	if err != nil {
		return usageError{err}
	}
	p, err := engine.Open(u, version)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Create(engine.Config{
		Size: int(c.Size), Items: c.Item, Delay: c.Delay.length, Lease: c.Lease.length, Keep: c.OnLost == "keep",
	})
}

const defaultMode = 0o600
