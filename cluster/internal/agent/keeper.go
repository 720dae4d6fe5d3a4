package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/pools"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
)

// A keeper looks after slots that are held. Its invariant is that the slots are given back when, and only
// when, nothing runs in them any more; and that, unless the pool says otherwise, nothing runs in them any
// more once another could get them.
//
// While poolrun lives, poolrun sees to both: it asks for the release, and ends the command in time. The
// keeper does so itself if poolrun was killed, or has become the command, or is stopped.
//
// It begins with what the grant says. What needs etcd begins when it holds the slots.
type keeper struct {
	grant   engine.Grant
	poolrun *process
	page    []byte
	tell    func(engine.Event)
	safe    atomic.Int64 // until when nobody else can get the slots, 0 if that is not known

	held    chan struct{}  // closed when it holds the slots
	holding *pools.Holding // valid then

	ctx context.Context // ends when the slots are given back
	end context.CancelFunc

	mutex   sync.Mutex
	command *process // nil before it runs
	isAlone bool     // poolrun is gone
	isOver  bool     // the slots are being given back
	lost    int64    // when the slots were found to be another's, perhaps; 0: they are not
	warned  bool     // poolrun knows that the lease cannot be renewed
	ended   bool     // the keeper has ended the command, and not poolrun
}

func newKeeper(poolrun *process, grant engine.Grant, tell func(engine.Event)) *keeper {
	page, err := mapPage()
	if err != nil {
		page = make([]byte, 4) // the command is told by Started only
	}
	k := &keeper{grant: grant, poolrun: poolrun, page: page, tell: tell, held: make(chan struct{})}
	k.safe.Store(grant.Safe)
	k.ctx, k.end = context.WithCancel(context.Background())
	return k
}

// hold begins to hold the slots.
func (k *keeper) hold(h *pools.Holding) {
	k.holding = h
	close(k.held)
}

// holds reports whether it does.
func (k *keeper) holds() bool {
	select {
	case <-k.held:
		return true
	default:
		return false
	}
}

// noteAfter is how long a command has to run until etcd notes its pid. For short ones it would not be
// worth a write.
const noteAfter = time.Second

// started notes the pid of the command, or of a process that it has left behind.
func (k *keeper) started(pid int) {
	p, err := k.findCommand(pid)
	if err != nil {
		return // it has ended already
	}
	k.mutex.Lock()
	k.command = p // a former one stays open: it may be in use
	k.mutex.Unlock()
	time.AfterFunc(noteAfter, func() { k.update(func(r *keys.Participant) { k.note(r, p) }) })
}

// note notes the command in a record.
func (k *keeper) note(r *keys.Participant, command *process) {
	r.CommandPID, r.Processes = command.pid, []string{k.poolrun.identity, command.identity}
}

// findCommand opens the process that poolrun has started, or has become.
func (k *keeper) findCommand(pid int) (*process, error) {
	if pid == k.poolrun.pid {
		return k.poolrun, nil
	}
	p, err := openProcess(pid)
	if err == nil && !k.alone() && !p.isChildOf(k.poolrun.pid) {
		p.close()
		return nil, errors.New("another process has got the pid")
	}
	return p, err
}

// theCommand is the command, nil before it runs. poolrun can have been killed before it told.
func (k *keeper) theCommand() *process {
	k.mutex.Lock()
	known := k.command
	k.mutex.Unlock()
	pid := int(engine.PID(k.page).Load())
	if known != nil || pid == 0 {
		return known
	}
	p, err := k.findCommand(pid)
	if err != nil {
		return nil
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.command == nil {
		k.command = p
	}
	return k.command
}

func (k *keeper) alone() bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.isAlone
}

// update changes the records of the slots, once they are held.
func (k *keeper) update(change func(*keys.Participant)) {
	select {
	case <-k.held:
	case <-k.ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(k.ctx, pools.ManageLimit)
	defer cancel()
	k.holding.Update(ctx, change)
}

// keep tells poolrun until when the slots are safe, passes signals on to the command, and ends the command
// if poolrun cannot. It returns when the slots are given back, or nobody else can get them any more.
func (k *keeper) keep() {
	clock, err := newAlarm()
	if err != nil {
		k.lose(fmt.Sprintf("cannot make a timer: %s", err))
		return
	}
	defer clock.close()
	if safe := k.safe.Load(); safe != 0 && !k.grant.Keep {
		terminate, _ := k.grant.Ultimatum(safe)
		clock.set(terminate)
	}
	held, watched := k.held, make(chan error, 1)
	var lease *store.Lease
	var outOfContact atomic.Bool
	for {
		select {
		case <-held:
			held, lease = nil, k.holding.Lease()
			lease.OnSafe(func(until int64) {
				k.safe.Store(until)
				k.tell(engine.Event{Safe: until})
				switch {
				case !k.grant.Keep:
					until, _ = k.grant.Ultimatum(until)
				case outOfContact.Load():
					until = engine.Now()
				}
				clock.set(until)
			})
			go func() { watched <- k.holding.Watch(k.ctx, k.signal) }()
		case <-clock.C:
			if k.grant.Keep {
				outOfContact.Store(k.reportContact(outOfContact.Load()))
				clock.set(max(lease.Safe(), engine.Now()+int64(time.Second)))
			} else {
				clock.set(k.enforce())
			}
		case err := <-watched:
			if err == nil { // the slots were given back, or the pool was removed: nobody else can get them
				lease.OnSafe(func(int64) {})
				k.tell(engine.Event{Safe: engine.Forever})
				return
			}
			watched = nil
			if k.lose(err.Error()); !k.grant.Keep {
				clock.set(engine.Now())
			}
		case <-k.ctx.Done():
			return
		}
	}
}

// lose notes that the slots can be another's.
func (k *keeper) lose(why string) {
	k.mutex.Lock()
	isNews := k.lost == 0 && !k.isOver
	if isNews {
		k.lost = engine.Now()
	}
	k.mutex.Unlock()
	if isNews {
		k.tell(engine.Event{Lost: why})
	}
}

// backstop is how long poolrun has to end the command, before the keeper does.
const backstop = 300 * time.Millisecond

// enforce ends the command if its time has come and poolrun does not. It returns when to look again.
func (k *keeper) enforce() (next int64) {
	now := engine.Now()
	safe := k.safe.Load()
	terminate, kill := k.grant.Ultimatum(safe)
	k.mutex.Lock()
	lost, isAlone, isOver := k.lost, k.isAlone, k.isOver
	k.mutex.Unlock()
	if isOver {
		return now + int64(time.Second)
	}
	if lost != 0 {
		terminate, kill = lost, lost
	}
	if now < terminate {
		return terminate
	}
	if lost == 0 && k.holds() {
		if why := k.holding.Lease().Why(); why != nil && k.isFirst(&k.warned) {
			k.tell(engine.Event{Warning: fmt.Sprintf("the lease cannot be renewed: %s", why)})
		}
	}
	k.tell(engine.Event{Safe: safe}) // wakes poolrun, which may have slept longer than it wanted
	switch byKeeper := isAlone || k.poolrun.isStopped(); {
	case now < kill && byKeeper:
		k.endCommand("its lease cannot be renewed", syscall.SIGTERM, syscall.SIGCONT)
		return kill
	case now < kill:
		return kill
	case byKeeper || now >= kill+int64(backstop):
		k.endCommand("its lease could not be renewed", syscall.SIGKILL)
	}
	return now + int64(backstop)/3
}

// isFirst sets a flag, and reports whether it was not set before.
func (k *keeper) isFirst(flag *bool) bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	was := *flag
	*flag = true
	return !was
}

// endCommand signals the command in poolrun's place, and tells poolrun. A command that has ended by itself is left to
// poolrun, which has not seen that yet.
func (k *keeper) endCommand(why string, signals ...syscall.Signal) {
	if command := k.theCommand(); command != nil && command.hasEnded() && !k.alone() {
		return
	}
	if k.isFirst(&k.ended) {
		k.tell(engine.Event{Lost: why, Ended: true})
	}
	for _, n := range signals {
		k.signalAll(n)
	}
}

// confirm tells poolrun again what it must not miss.
func (k *keeper) confirm() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.ended {
		k.tell(engine.Event{Ended: true})
	}
}

// reportContact tells poolrun that there is no contact with etcd any more, or that there is again.
func (k *keeper) reportContact(wasLost bool) (isLost bool) {
	lease := k.holding.Lease()
	isLost = engine.Now() >= lease.Safe()
	switch {
	case lease.IsGone(): // Watch says so
		return true
	case isLost && !wasLost:
		why := "its lease could not be renewed"
		if err := lease.Why(); err != nil {
			why += ": " + err.Error()
		}
		k.tell(engine.Event{Lost: why})
	case !isLost && wasLost:
		k.tell(engine.Event{Warning: "etcd answers again, and the slot is still held"})
	}
	return isLost
}

// signal passes a signal of evict on to the command, or to poolrun before there is one.
func (k *keeper) signal(n int) error {
	to := k.theCommand()
	if to == nil {
		to = k.poolrun
	}
	return to.signal(syscall.Signal(n))
}

// signalAll signals the command, and what it has left behind that has the guard.
func (k *keeper) signalAll(n syscall.Signal) {
	command := k.theCommand()
	if command != nil {
		command.signal(n)
	}
	if k.grant.Guarded && k.alone() {
		for _, p := range guardians() {
			if command == nil || p.pid != command.pid {
				p.signal(n)
			}
			p.close()
		}
	}
}

// release gives the slots back.
func (k *keeper) release(ctx context.Context) error {
	k.mutex.Lock()
	k.isOver = true
	k.mutex.Unlock()
	err := k.holding.Release(ctx)
	if err == nil {
		k.end()
	}
	return err
}

// releasePause is how long the keeper waits after it could not give the slots back.
const releasePause = time.Second

// leave notes that poolrun has gone.
func (k *keeper) leave() {
	k.mutex.Lock()
	k.isAlone = true
	k.mutex.Unlock()
}

// keepAlone keeps the slots after poolrun has gone, until nothing runs in them any more, and gives them
// back. Slots that could not be adopted are only watched over.
func (k *keeper) keepAlone() {
	if command := k.theCommand(); command != nil {
		if command.pid != k.poolrun.pid {
			go k.update(func(r *keys.Participant) { r.Orphaned = true; k.note(r, command) })
		}
		command.wait()
	}
	if k.grant.Guarded {
		guardEnds()
	}
	if !k.holds() {
		return
	}
	// It is not renewed any more.
	for end := engine.Now() + int64(k.grant.Term); ; time.Sleep(releasePause) {
		ctx, cancel := context.WithTimeout(context.Background(), pools.ManageLimit)
		err := k.release(ctx)
		cancel()
		if err == nil || engine.Now() >= min(end, k.holding.Lease().Safe()) {
			return
		}
	}
}
