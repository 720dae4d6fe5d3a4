//go:build !race && !nodirect

package cli

import (
	"syscall"
	"time"

	"github.com/poolrun/poolrun/internal/bare"
	"github.com/poolrun/poolrun/pool"
	"github.com/poolrun/poolrun/supervisor"
)

// The messages of the direct path.

// say writes a message to standard error. It must not block before the slot is free, and drops a
// message that would. Later it may block, and a signal may then end this process.
func (d *directRun) say(parts ...string) { d.write("poolrun: ", parts) }

func (d *directRun) hint(parts ...string) { d.write("hint: ", parts) }

// warn says something unless --quiet is given.
func (d *directRun) warn(parts ...string) {
	if !d.run.Quiet {
		d.write("poolrun: warning: ", parts)
	}
}

func (d *directRun) write(prefix string, parts []string) {
	var buffer [1024]byte
	text := bare.In(buffer[:])
	text.Add(prefix)
	for i := range parts {
		text.Add(parts[i])
	}
	text.AddByte('\n')
	if !canWrite() {
		if !d.hasRun || d.pool.IsHeld() {
			return
		}
		d.command.End()
	}
	text.Write()
}

func (d *directRun) reportStart() {
	if !d.pool.IsHeld() {
		d.say("the command runs in a slot of ", d.pool.Name(), " already, and needs no other")
		return
	}
	var buffer [8 * pool.MaxDirectWeight]byte
	text := bare.In(buffer[:])
	addNumbers(&text, d.pool.Slots())
	d.say("got slot ", text.String(), " at once, without the Go runtime")
}

func (d *directRun) reportEnd(ran time.Duration) {
	var buffer [32]byte
	text := bare.In(buffer[:])
	addDuration(&text, ran)
	d.say("the command ran for ", text.String())
}

// reportRefused reports the signals, as bits, that could not be passed on, each once.
func (d *directRun) reportRefused(refused uint64) {
	for n := range 64 {
		if refused&^d.lost>>n&1 == 0 {
			continue
		}
		var name, pid [16]byte
		nameText, pidText := bare.In(name[:]), bare.In(pid[:])
		supervisor.AddSignalName(&nameText, syscall.Signal(n+1))
		pidText.AddNumber(uint64(d.command.PID()), 10)
		d.say("cannot pass ", nameText.String(), " on to the command (pid ", pidText.String(), "): operation not permitted")
	}
	d.lost |= refused
}

func (d *directRun) reportRelease(err error) {
	var buffer [256]byte
	text := bare.In(buffer[:])
	d.pool.Explain(&text, err)
	d.warn("cannot return the slot: ", text.String())
}

func (d *directRun) reportLoss() {
	d.warn("the files of pool ", d.pool.Name(), " were removed while the command ran")
	if !d.run.Quiet {
		d.hint(hintLoss)
	}
}
