package ledger

import (
	"bytes"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// The limits of a pool, in every version of the layout so far.
const (
	MaxSlots        = 4096
	MaxParticipants = 8192 // holders and waiters
	MaxItemBytes    = 124
	CommandBytes    = 144
	ConditionBytes  = 40
	MaxDelay        = 366 * 24 * time.Hour
)

const (
	magic   = 0x6e75726c6f6f70 // "poolrun" as a little-endian number
	Version = 6
)

// A Ledger is the shared memory of a pool. Every field has a fixed width and a fixed offset:
// TestLayoutIsFixed has the list. A field that is marked as derived follows from the participants'
// records and is rebuilt from them after a crash.
type Ledger struct {
	magic     atomic.Uint64
	version   atomic.Uint32
	Life      atomic.Uint32 // a life
	ID        atomic.Uint64 // random: tells this pool from an earlier one of the same name
	GateInode atomic.Uint64 // of the semaphore
	Created   atomic.Int64  // nanoseconds since 1970, for people; everything else uses Clock

	size     atomic.Uint32
	debt     atomic.Uint32 // tokens that the gate still has to lose: see Tokens
	inUse    atomic.Uint32 // derived: slots held
	waiting  atomic.Uint32 // derived: the length of the line
	first    atomic.Uint32 // derived: a Ref, the head of the line
	last     atomic.Uint32 // derived: a Ref, the tail of the line
	free     atomic.Uint32 // derived: a Ref, the head of the list of free records
	drainer  atomic.Uint32 // derived: a Ref, the participant that drains the pool
	used     atomic.Uint32 // no record from this index on was ever in use
	hasItems atomic.Uint32
	Ticket   atomic.Uint64 // the last ticket drawn

	counters [numCounters]atomic.Uint64
	Waits    Times

	intent intent

	// What sleepers in line look at: see pool/doze_linux.go.
	Attended atomic.Int64  // when the first in line was last awake
	sleepers atomic.Uint32 // derived: processes in line, each of which has one sleeper
	Unproven atomic.Uint32 // the pid namespace in which a holder's end would show: see pool/reap.go
	pace     atomic.Uint32 // the most sleepers since all were told of a shorter line

	delay     atomic.Int64 // the least time between two starts, in nanoseconds
	LastStart atomic.Int64 // when slots were last handed out
	Holds     Times

	Arrivals atomic.Uint32 // futex word: goes up when a waiter comes to the line or back into it, and with each OpResize

	_ [4096 - 420]byte // zero: see "Versions of the layout" in docs/design.md

	holders      [MaxSlots]atomic.Uint32 // derived: the Ref that holds slot i
	items        [MaxSlots]item
	participants [MaxParticipants]Participant
}

// The life of a pool.
const (
	LifeForming   uint32 = iota // its creator has not linked both of its names yet
	LifeAlive                   // open to all
	LifeDestroyed               // being removed, or removed: nobody may take a slot or wait
)

// A Ref names a participant: its index plus one. 0 is nobody.
type Ref = uint32

// A Participant is the record of a process that holds slots, waits for them, or drains the pool.
// Its state is the truth about which of these it does.
type Participant struct {
	State    atomic.Uint32 // a State
	Weight   atomic.Uint32 // slots that it holds or asks for
	Priority atomic.Int32  // as in nice(1): a lower number goes first
	Word     atomic.Uint32 // futex word: goes up to wake the processes that sleep on it
	next     atomic.Uint32 // derived: a Ref, in the line or in the list of free records
	previous atomic.Uint32 // derived: a Ref, in the line
	Ticket   atomic.Uint64 // its place among equals; no two are ever the same
	Aside    atomic.Uint32 // 1: it did not move when it was first, and may be passed

	PID           atomic.Int32
	PIDNamespace  atomic.Uint32 // inode of the namespace in which PID and CommandPID count
	TimeNamespace atomic.Uint32 // inode of the namespace in which CommandSeen counts
	CommandPID    atomic.Int32  // 0 until the command exists
	UID           atomic.Uint32
	CommandSeen   atomic.Uint64 // when CommandPID was seen to be the command, in ticks; 0: unknown
	Since         atomic.Int64  // when it came, by Clock
	Acquired      atomic.Int64  // when it got its slots
	Seen          atomic.Int64  // when it last looked whether it can have them

	Poked   atomic.Uint32 // goes up when it has to look
	Bell    atomic.Uint32 // a Ref: its process sleeps on the Word of that record
	Leaving atomic.Uint32 // a Counter: how it is counted if it is found dead in line
	Guarded atomic.Uint32 // 1: its command has inherited the guard, and was not seen without it
	Claim   atomic.Uint64 // the number of its process's claim; 0: its process has given it up

	command [CommandBytes]byte // the beginning of its command line, up to a NUL

	Whole      atomic.Uint32        // 1: it asks for all slots, and its weight follows the size
	Descriptor atomic.Uint32        // 1: it holds by its guard alone, which PID or a relative has open
	condition  [ConditionBytes]byte // what the first in line waits for beside slots, up to a NUL
	Extends    atomic.Uint64        // the ticket of the lease that these slots extend, 0 for none
	LongLived  atomic.Uint32        // 1: it will not give its slots back soon: see turns.go
	_          [4]byte              // zero
}

// A State says what a participant does.
type State = uint32

const (
	StateFree     State = iota // the record is nobody's
	StateWaiting               // in line
	StateHeld                  // holds as many slots as its weight
	StateDraining              // waits for the pool to be empty; newcomers are refused
	numStates
)

// An item is what a slot stands for.
type item struct {
	length atomic.Uint32
	text   [MaxItemBytes]byte
}

// A Counter counts events since the pool was made. Each participant that comes ends in exactly one
// of CountReleased, CountTimedOut, CountBusy, CountCancelled and CountReclaimed, unless it still
// holds slots or waits.
type Counter = uint32

const (
	CountAcquired      Counter = iota // got its slots
	CountReleased                     // gave them back
	CountTimedOut                     // its time was up
	CountBusy                         // did not want to wait
	CountCancelled                    // left the line for another reason, death included
	CountReclaimed                    // died with its slots, which were taken back
	CountRolledForward                // a change was cut off by a death and completed
	CountRolledBack                   // a change was cut off by a death and undone
	numCounters

	CountNothing = numCounters // of a change that is not counted
)

// A Damage is memory that makes no sense. It is a constant, so that it needs no memory of its own.
type Damage string

func (d Damage) Error() string { return string(d) }

// What At and the walks find. They are variables of type error so that they are converted before
// the program runs.
var (
	errMagic   error = Damage("its ledger has no valid header")
	errSize    error = Damage("its ledger has an impossible size")
	errDebt    error = Damage("its ledger has an impossible debt")
	errDelay   error = Damage("its ledger has an impossible delay")
	errLife    error = Damage("its ledger is in an impossible state")
	errRef     error = Damage("its ledger names a participant that cannot exist")
	errWeight  error = Damage("a participant has an impossible weight")
	errState   error = Damage("a participant is in an impossible state")
	errUsed    error = Damage("its ledger has more records than there is room for")
	errLine    error = Damage("its line contains a record that does not wait, or a circle")
	errFree    error = Damage("its list of free records contains a record that is in use")
	errHolder  error = Damage("a slot is held by a record that holds nothing")
	ErrSlots   error = Damage("a participant does not hold as many slots as it should")
	errTooFew  error = Damage("there are fewer slots than participants hold")
	errIntent  error = Damage("its ledger has an impossible intent")
	ErrNoFirst error = Damage("its line has waiters, and none of them is first")
	ErrVersion error = versionError{}
)

// versionError is no Damage: the ledger may be sound.
type versionError struct{}

func (versionError) Error() string { return "its ledger has another layout" }

// Format makes a ledger of memory that is all zero: one that is forming.
func (l *Ledger) Format(id uint64, gate uint64, created int64, size int, items []string, delay int64) {
	l.version.Store(Version)
	l.ID.Store(id)
	l.GateInode.Store(gate)
	l.Created.Store(created)
	l.size.Store(uint32(size))
	l.delay.Store(delay)
	l.hasItems.Store(uint32(min(len(items), 1)))
	for i, text := range items[:min(len(items), MaxSlots)] {
		l.items[i].length.Store(uint32(copy(l.items[i].text[:], text)))
	}
	l.Life.Store(LifeForming)
	l.magic.Store(magic)
}

// HeadSize is the size of the part of a ledger that is the same in every version of the layout: the
// magic number, and the version.
const HeadSize = 12

// VersionOf returns the version of the layout of a ledger that begins like this. It reports false for
// the beginning of something else.
func VersionOf(head [HeadSize]byte) (version uint32, ok bool) {
	return binary.NativeEndian.Uint32(head[8:]), binary.NativeEndian.Uint64(head[:]) == magic
}

// Check reports whether the memory begins like a ledger that this program can read: ErrVersion if
// its layout is another one, or a Damage. It needs no lock.
func (l *Ledger) Check() error {
	switch {
	case l.magic.Load() != magic:
		return errMagic
	case l.version.Load() != Version:
		return ErrVersion
	case l.size.Load() > MaxSlots:
		return errSize
	case l.debt.Load() > MaxSlots:
		return errDebt
	case uint64(l.delay.Load()) > uint64(MaxDelay):
		return errDelay
	case l.Life.Load() > LifeDestroyed:
		return errLife
	}
	return nil
}

// At returns the participant that r names. A Ref that names no record, 0 included, is damage.
func (l *Ledger) At(r Ref) (*Participant, error) {
	if !isRecord(r) {
		return nil, errRef
	}
	return &l.participants[r-1], nil
}

// isRecord reports whether r names a record.
func isRecord(r Ref) bool { return r != 0 && r <= MaxParticipants }

// Slots is the participant's weight, if it can be one.
func (rec *Participant) Slots() (int, error) {
	if n := rec.Weight.Load(); n >= 1 && n <= MaxSlots {
		return int(n), nil
	}
	return 0, errWeight
}

// Size is the number of slots, at most MaxSlots, and InUse the number that is held.
func (l *Ledger) Size() int  { return bounded(&l.size, MaxSlots) }
func (l *Ledger) InUse() int { return bounded(&l.inUse, MaxSlots) }

// Debt is how many tokens the gate still has to lose: see Tokens.
func (l *Ledger) Debt() int { return bounded(&l.debt, MaxSlots) }

// Delay is the least time between two starts, at most MaxDelay.
func (l *Ledger) Delay() time.Duration {
	return time.Duration(min(uint64(l.delay.Load()), uint64(MaxDelay)))
}

// DelayLeft is how much of the delay is left. A last start that seems to lie in the future, in a
// ledger that somebody has scribbled on, delays nobody.
func (l *Ledger) DelayLeft(now int64) time.Duration {
	last := l.LastStart.Load()
	if delay := l.Delay(); last != 0 && last <= now && time.Duration(now-last) < delay {
		return delay - time.Duration(now-last)
	}
	return 0
}

// Waiting is the length of the line.
func (l *Ledger) Waiting() int { return bounded(&l.waiting, MaxParticipants) }

// Used is the number of records that were ever in use. Refs go up to it.
func (l *Ledger) Used() Ref { return Ref(bounded(&l.used, MaxParticipants)) }

// Sleepers is the number of processes in line.
func (l *Ledger) Sleepers() uint32 { return uint32(bounded(&l.sleepers, MaxParticipants)) }

func bounded(n *atomic.Uint32, limit uint32) int { return int(min(n.Load(), limit)) }

// Drainer is the participant that drains the pool, 0 for nobody.
func (l *Ledger) Drainer() Ref { return l.drainer.Load() }

// Count is the value of a counter. CountOne adds one to a counter that is not part of a change.
func (l *Ledger) Count(c Counter) uint64 {
	if c >= numCounters {
		return 0
	}
	return l.counters[c].Load()
}

func (l *Ledger) CountOne(c Counter) { l.counters[c%numCounters].Add(1) }

// HasItems reports whether the slots stand for something. Item is what slot i stands for; the bytes
// are shared memory.
func (l *Ledger) HasItems() bool { return l.hasItems.Load() != 0 }

func (l *Ledger) Item(i int) []byte {
	if uint(i) >= MaxSlots {
		return nil
	}
	item := &l.items[i]
	n, most := 0, bounded(&item.length, MaxItemBytes)
	for n < most && item.text[n] != 0 { // a NUL would be a scribble
		n++
	}
	return item.text[:n]
}

// CommandText is the beginning of the participant's command line; the bytes are shared memory.
func (rec *Participant) CommandText() []byte {
	text, _, _ := bytes.Cut(rec.command[:], []byte{0})
	return text
}

// SetCommand notes the beginning of a command line.
func (rec *Participant) SetCommand(text string) { setText(rec.command[:], text) }

// ConditionText is what the participant waits for beside slots, if it is first in line; the bytes are
// shared memory. SetCondition notes it.
func (rec *Participant) ConditionText() []byte {
	text, _, _ := bytes.Cut(rec.condition[:], []byte{0})
	return text
}

func (rec *Participant) SetCondition(text string) { setText(rec.condition[:], text) }

func setText(to []byte, text string) { clear(to[copy(to, text):]) }
