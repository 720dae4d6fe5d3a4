package pool

import (
	"fmt"
	"sync/atomic"
)

// The limits of a pool, in every version of the layout so far.
const (
	MaxSlots        = 4096
	MaxParticipants = 8192 // those who hold slots and those who wait for them
	MaxItemBytes    = 124
	commandBytes    = 152
)

const (
	ledgerMagic   = 0x6e75726c6f6f70 // "poolrun", read as a little-endian number
	ledgerVersion = 3
)

// A ledger is the shared memory of a pool. Every field is of fixed width; the
// test of the layout knows each offset. A field marked derived can be rebuilt
// from the participants' records and is, after a crash: see rebuild.
//
// Nothing in here is trusted. Whoever reads a field loads it once, checks it,
// and goes on with the copy.
type ledger struct {
	magic   atomic.Uint64
	version atomic.Uint32
	life    atomic.Uint32 // a life
	id      atomic.Uint64 // random: tells this pool from an earlier one of its name
	gate    atomic.Uint64 // the semaphore's inode
	created atomic.Int64  // nanoseconds since 1970, for people: all else is told by now

	size     atomic.Uint32
	debt     atomic.Uint32 // tokens that the gate has to lose yet: see tokens
	inUse    atomic.Uint32 // derived: slots held
	waiting  atomic.Uint32 // derived: the line's length
	first    atomic.Uint32 // derived: a ref, the line's head
	last     atomic.Uint32 // derived: a ref, the line's tail
	free     atomic.Uint32 // derived: a ref, the head of the list of free records
	drainer  atomic.Uint32 // derived: a ref, the participant that drains the pool
	used     atomic.Uint32 // no record from this index on was ever in use
	hasItems atomic.Uint32
	ticket   atomic.Uint64 // the last ticket drawn

	counters [numCounters]atomic.Uint64
	waits    waitStats

	intent intent

	// What a waiter looks at in its sleep: see doze. The offsets are in the test of
	// the layout.
	attended atomic.Int64  // when the first in line was last awake, see now
	sleepers atomic.Uint32 // derived: processes in line, of which each has one sleeper
	pace     atomic.Uint32 // the most sleepers since all were told of a shorter line

	_ [4096 - 280]byte

	holders      [MaxSlots]atomic.Uint32 // derived: slot i is held by this ref
	items        [MaxSlots]item
	participants [MaxParticipants]participant
}

// A life is what a pool has come to.
type life = uint32

const (
	forming   life = iota // its creator has not given it both of its names yet
	alive                 // open to all
	destroyed             // it is going, or gone: nobody may take or wait any more
)

// A ref names a participant: its index plus one, so that 0 is nobody.
type ref = uint32

// A participant is the record of one that holds slots, waits for them, or
// drains the pool. Its state is the truth of which of these it does.
type participant struct {
	state    atomic.Uint32 // a state
	weight   atomic.Uint32 // slots it holds or asks for
	priority atomic.Int32  // as nice(1): a lower number goes first
	word     atomic.Uint32 // futex word: goes up when those who sleep on it have to wake
	next     atomic.Uint32 // derived: a ref, in the line or in the list of free records
	previous atomic.Uint32 // derived: a ref, in the line
	ticket   atomic.Uint64 // its place among equals; no two are ever the same
	aside    atomic.Uint32 // 1: it did not move when its turn came, others may pass

	pid           atomic.Int32
	pidNamespace  atomic.Uint32 // inode of the namespace in which pid and commandPID count
	timeNamespace atomic.Uint32 // and of the one in which commandSeen does
	commandPID    atomic.Int32  // 0 until the command exists
	uid           atomic.Uint32
	commandSeen   atomic.Uint64 // a moment at which commandPID was the command, see ticks; 0: unknown
	since         atomic.Int64  // when it came: see now
	acquired      atomic.Int64  // when it got its slots
	seen          atomic.Int64  // when it last looked: see look

	poked   atomic.Uint32 // goes up when it has to look
	bell    atomic.Uint32 // a ref: whose word its process sleeps on
	leaving atomic.Uint32 // a counter: what it counts as if it is found dead in line
	guarded atomic.Uint32 // 1: its command has inherited the guard, and was not seen without it

	command [commandBytes]byte // the command line's first bytes, up to a NUL
}

// A state says what a participant does. The transitions are in change.go, one
// row each.
type state = uint32

const (
	free     state = iota // the record is nobody's
	waiting               // in line
	held                  // holds weight slots
	draining              // waits for the pool to be empty, admits nobody new
)

// An item names what a slot stands for.
type item struct {
	length atomic.Uint32
	text   [MaxItemBytes]byte
}

func (i *item) set(text string) {
	i.length.Store(uint32(copy(i.text[:], text)))
}

func (i *item) get() string {
	return string(i.text[:min(int(i.length.Load()), MaxItemBytes)])
}

// Counters count since the pool was made. Each participant that comes ends in
// exactly one of the last four, or holds slots, or waits.
type counter = uint32

const (
	acquired      counter = iota // got its slots
	released                     // gave them back
	timedOut                     // waited its time in vain
	busy                         // did not want to wait
	cancelled                    // left the line for another reason, its death included
	reclaimed                    // died with its slots, which others took back
	rolledForward                // a change whose author died in it, completed by another
	rolledBack                   // a change whose author died in it, undone by another
	numCounters
)

// check tells whether the memory is a ledger that this program can read.
func (l *ledger) check() error {
	if magic := l.magic.Load(); magic != ledgerMagic {
		return damaged("the ledger does not begin as a ledger does")
	}
	if version := l.version.Load(); version != ledgerVersion {
		return fmt.Errorf("it was made by another version of poolrun: its ledger's layout is version %d, this program knows %d", version, ledgerVersion)
	}
	if size := l.size.Load(); size > MaxSlots {
		return damaged("the ledger tells of %d slots", size)
	}
	if debt := l.debt.Load(); debt > MaxSlots {
		return damaged("the ledger tells of a debt of %d slots", debt)
	}
	if life := l.life.Load(); life > destroyed {
		return damaged("the ledger tells of life %d", life)
	}
	return nil
}

// at returns the participant that r names, nil for nobody. A ref from shared
// memory that names no record is damage.
func (l *ledger) at(r ref) *participant {
	if r == 0 {
		return nil
	}
	if r > MaxParticipants {
		panic(damaged("the ledger names participant %d", r))
	}
	return &l.participants[r-1]
}

// isRecord reports whether r names a record: at would return it.
func isRecord(r ref) bool { return r != 0 && r <= MaxParticipants }

// must is at for a ref that has to name somebody.
func (l *ledger) must(r ref) *participant {
	if r == 0 {
		panic(damaged("the ledger names nobody where somebody has to be"))
	}
	return l.at(r)
}

// A damage says in what way the ledger makes no sense. A function deep in a change
// panics with it; explain makes an error of it.
type damage struct{ error }

func damaged(format string, args ...any) damage { return damage{fmt.Errorf(format, args...)} }
