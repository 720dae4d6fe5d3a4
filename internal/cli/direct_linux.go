//go:build !race && !nodirect

package cli

import (
	"syscall"
	"time"
	"unsafe"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/internal/crash"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
	"golang.org/x/sys/unix"
)

// The direct path is an ordinary run before the Go runtime has started. The start and the end of
// that runtime are most of what a run costs.
//
// The invariant: until a slot is taken, whatever is not ordinary makes tryDirectly return, with
// nothing changed and everything closed, and the runtime starts as if nothing had been tried. After
// that there are three ways on. If the command cannot be started, the slot goes over to the runtime,
// which tries again and says why: see adopt. If the process is killed, it leaves what any poolrun
// leaves that is killed. Otherwise the direct path goes on to the end.
//
// All of this file is bare Go: see package bare. The race detector needs the runtime.

// beforeRuntime is called by the entry point of package supervisor.
//
//lint:ignore U1000 the linker uses it
//go:linkname beforeRuntime github.com/poolrun/poolrun/supervisor.beforeRuntime
var beforeRuntime = runDirectly

// runDirectly returns if the runtime is needed.
func runDirectly(argc int, argv, environ **byte) {
	crash.Prepare(environ)
	whyRuntime = direct.try(argc, argv, environ)
}

// whyRuntime is why the direct path was left.
var whyRuntime = "the process has inherited something unusual"

// adopt returns the pool and the lease that the direct path has left to the runtime, or nil.
func adopt() (*pool.Pool, *pool.Lease) { return direct.pool.Adopt() }

// direct is the direct run of this process. It is a variable because it is large.
var direct directRun

type directRun struct {
	words   [32]string // the first arguments
	argv    **byte     // of the command
	run     runCommand
	from    environment
	file    *byte // of the command
	pool    pool.Direct
	command supervisor.Direct

	hasRun bool   // the command has ended
	status exit   // as the command did
	began  int64  // when the command was started, by the ledger's clock
	lost   uint64 // signals that could not be passed on, and that were reported

	environ []*byte // the command's environment
	memory  [96 << 10]byte
	used    int // bytes of memory that are in use; the others were not touched
}

// rest returns the memory that is not in use yet.
func (d *directRun) rest() []byte { return d.memory[d.used:] }

// try returns why the runtime is needed.
func (d *directRun) try(argc int, argv, environ **byte) (why string) {
	if why = d.parse(argc, argv, environ); why != "" {
		return why
	}
	d.command.Begin(onMemoryFault)
	if !d.pool.Open(string(d.run.Pool)) {
		why = "the pool cannot be opened, or is not in order"
	} else if why = d.takeSlot(); why != "" {
		d.pool.Close()
	}
	if why == "" {
		d.runCommand()
		why = "the command cannot be started"
	}
	d.command.Leave()
	return why
}

// parse finds out what to run.
func (d *directRun) parse(argc int, argv, environ **byte) (why string) {
	count := min(max(argc-1, 0), len(d.words))
	for i := range count {
		d.words[i] = bare.String(nth(argv, i+1))
	}
	path, ok := d.readEnvironment(environ)
	if !ok {
		return "the environment is very large"
	}
	if !parseQuickly(d.words[:count], &d.from, &d.run) {
		return "the arguments are not those of an ordinary run"
	}
	run := &d.run
	if run.Pool.isRemote() {
		return "several machines share the pool"
	}
	if run.Command[0] == "--" {
		run.Command = run.Command[1:]
	}
	d.argv = at(argv, 1+count-len(run.Command))
	if d.file = d.command.LookPath(run.Command[0], path, d.rest()); d.file == nil {
		return "the command may not be executable"
	}
	d.used += len(bare.String(d.file)) + 1
	if run.Weight == allSlots || run.Weight > pool.MaxDirectWeight || !isPrintable(string(run.Pool)) {
		return "the weight or the name of the pool is unusual"
	}
	if run.NoFork && run.Close {
		return "--no-fork and --close exclude each other"
	}
	if run.Verbose && !canWrite() {
		return "standard error is full"
	}
	return ""
}

// readEnvironment notes what poolrun itself reads of the environment, and what the command gets of
// it. It returns PATH.
func (d *directRun) readEnvironment(environ **byte) (path string, ok bool) {
	path, hasPath := supervisor.DefaultPath, false
	count := 0
	for nth(environ, count) != nil {
		count++
	}
	// The command's environment has no more entries than this one, and those that are added.
	if most := count + len(slotVariables{}) + 1; most*int(unsafe.Sizeof(environ)) > len(d.memory)/2 {
		return "", false
	} else {
		d.environ = unsafe.Slice((**byte)(unsafe.Pointer(&d.memory)), most)[:0]
		d.used = most * int(unsafe.Sizeof(environ))
	}
	for i := range count {
		entry := bare.String(nth(environ, i))
		if name, value, isVariable := cutByte(entry, '='); isVariable {
			if name == "PATH" && !hasPath {
				path, hasPath = value, true
			}
			d.from.note(name, value)
		}
		if !isDescription(entry) {
			d.addEntry(nth(environ, i))
		}
	}
	return path, true
}

// addEntry adds an entry to the command's environment, in which there is room for it.
func (d *directRun) addEntry(entry *byte) {
	n := len(d.environ)
	d.environ = d.environ[:n+1]
	d.environ[n] = entry
}

// takeSlot takes the slots, unless this process runs inside a lease on the pool.
func (d *directRun) takeSlot() (why string) {
	run, p := &d.run, &d.pool
	if run.Size != 0 && int(run.Size) != p.Size() {
		return "the pool has another size"
	}
	isNested, certain := p.Nest(d.from.held)
	if !certain {
		return "it may run inside a slot of the pool"
	}
	if !d.command.IsQuiet() {
		return "a signal has arrived"
	}
	if isNested {
		return ""
	}
	if !run.Close && !p.OpenGuard() {
		return "there are too many open files"
	}
	var buffer [pool.MaxCommandBytes]byte
	text := bare.In(buffer[:])
	for i := 0; nth(d.argv, i) != nil && text.Room() > 0; i++ {
		if i > 0 {
			text.AddByte(' ')
		}
		text.Add(bare.String(nth(d.argv, i)))
	}
	if !p.Take(int(run.Weight), int(run.Priority), text.String()) {
		return "no slot is free at once, or the pool is not in order"
	}
	return ""
}

// runCommand runs the command, and ends the process. It returns if the command cannot be started,
// with the slots still held.
func (d *directRun) runCommand() {
	run, p := &d.run, &d.pool
	guard, ok := p.LockGuard()
	if !ok {
		return
	}
	d.describeSlots()
	if run.Verbose {
		d.reportStart()
	}
	if n := d.command.BeforeCommand(); n != 0 {
		d.release()
		d.command.ExitBySignal(n)
	}
	if run.NoFork {
		if p.IsHeld() {
			p.NoteExec()
		}
		d.command.Become(d.file, d.argv, &d.environ[0], guard)
		return
	}
	d.began = bare.BootTime()
	if !d.command.Start(d.file, d.argv, &d.environ[0], guard, p.CommandPID()) {
		return
	}
	d.supervise()
	ran := bare.BootTime() - d.began
	d.release()
	if run.Verbose {
		d.reportEnd(time.Duration(ran))
	}
	d.endLikeCommand()
}

// endLikeCommand ends this process as the command has ended.
func (d *directRun) endLikeCommand() {
	if d.status.signal != 0 {
		d.command.ExitBySignal(d.status.signal)
	}
	d.command.Exit(d.status.code)
}

// describeSlots adds the description of the slots to the command's environment.
func (d *directRun) describeSlots() {
	held := bare.In(d.rest())
	d.pool.WriteHeld(&held, d.from.held)
	d.used += len(held.String())
	text := bare.In(d.rest())
	slots := d.pool.Slots()
	var items [pool.MaxDirectWeight]string
	described := 0
	for i := range slots {
		if item, ok := d.pool.Item(slots[i]); ok {
			items[i] = unsafe.String(unsafe.SliceData(item), len(item))
			described = len(slots)
		}
	}
	for _, entry := range describe(&text, held.String(), slots, items[:described]) {
		if entry != "" {
			d.addEntry(unsafe.StringData(entry))
		}
	}
	d.addEntry(nil)
}

// supervise waits for the end of the command.
func (d *directRun) supervise() {
	var check guardCheck
	if d.pool.IsHeld() {
		d.pool.NoteStart()
		check.next(true)
	}
	due := bare.BootTime() + int64(check.interval)
	for {
		status, ended, refused := d.command.Step()
		d.reportRefused(refused)
		if ended {
			n, _ := status.Signal()
			d.status = exit{status.ExitCode(), n}
			break
		}
		left := int64(0)
		if check.interval > 0 {
			if left = due - bare.BootTime(); left <= 0 {
				check.next(d.pool.CheckGuard(d.command.PID()))
				left = int64(check.interval)
				due = bare.BootTime() + left
			}
		}
		d.command.Wait(left)
	}
	d.hasRun = true
}

// release returns the slots.
func (d *directRun) release() {
	p := &d.pool
	if !p.IsHeld() {
		return
	}
	if err := p.Release(); err != nil {
		d.reportRelease(err)
	}
	if d.hasRun && p.IsLost() {
		d.reportLoss()
	}
}

// nth returns an element of a list of C strings, and at the list from an element on.
func nth(list **byte, i int) *byte { return *at(list, i) }
func at(list **byte, i int) **byte {
	return (**byte)(unsafe.Add(unsafe.Pointer(list), uintptr(i)*unsafe.Sizeof(list)))
}

// onMemoryFault ends the process after a fault in mapped memory. A fault in a file of the pool means
// that somebody has truncated the file. Any other is a fault of this program.
func onMemoryFault(signal syscall.Signal) {
	d := &direct
	switch {
	case signal != unix.SIGBUS:
		d.say("internal error: memory fault")
	case d.hasRun:
		d.warn("cannot return the slot: pool ", d.pool.Name(), " is damaged: truncated while in use")
		d.endLikeCommand()
	default:
		d.say("pool ", d.pool.Name(), " is damaged: truncated while in use")
		d.hint(`mend it with "poolrun repair `, d.pool.Name(), `"`)
	}
	d.command.Exit(exitFailure)
}
