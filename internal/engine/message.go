package engine

import (
	"encoding/json"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// Protocol is the version of the protocol.
const Protocol = 1

// The descriptors that an engine inherits.
const (
	SocketFD = 3 // a connected stream socket: the messages, one line of JSON each
	GuardFD  = 4 // the read end of a pipe, whose write end the command inherits
	PageFD   = 5 // shared memory, which begins with the pid of the command, 0 before it runs
)

// A Hello is the first line in each direction.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the program, for people

	Pool string `json:"pool,omitempty"` // from poolrun: the URL. All requests are about this pool
}

// A Request asks the engine for something. It is answered by a Reply with the same ID. Requests may
// overlap.
type Request struct {
	ID     int64           `json:"id"` // positive, and larger than all before
	Method Method          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
}

// A Reply answers a request, or it is an event, which answers none.
type Reply struct {
	ID     int64           `json:"id,omitempty"` // 0: an event
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Failure        `json:"error,omitempty"`
	Event  *Event          `json:"event,omitempty"`
}

// A Method says what is asked for.
type Method string

const (
	Create  Method = "create"  // params Config
	Status  Method = "status"  // result pool.Status
	List    Method = "list"    // result Listing: all pools
	Resize  Method = "resize"  // params Number
	Destroy Method = "destroy" // fails if the pool is in use
	Remove  Method = "remove"  // destroys it also if it is in use, or damaged
	Drain   Method = "drain"   // answered when the pool is destroyed. A cancelled one admits newcomers again
	Wait    Method = "wait"    // answered when the pool is idle
	Signal  Method = "signal"  // params Target
	Acquire Method = "acquire" // params Wish, result Grant
	Adopt   Method = "adopt"   // params Grant: of a lease that an engine held which is gone
	Started Method = "started" // params Number, the pid of the command, or of what it has left; has no reply
	Release Method = "release" // gives the slots back, and is answered when they are free
	Confirm Method = "confirm" // is answered at once, after all events that happened before
	Cancel  Method = "cancel"  // params Number, the ID of a request, which then fails as cancelled; has no reply
)

// A Config describes a pool to be created.
type Config struct {
	Size  int           `json:"size"`
	Items []string      `json:"items,omitempty"`
	Delay time.Duration `json:"delay_ns,omitempty"`
	Lease time.Duration `json:"lease_ns,omitempty"` // 0: the engine's default
	Keep  bool          `json:"keep,omitempty"`     // a command whose lease is lost runs on
}

// A Number is a single number.
type Number struct {
	N int64 `json:"n"`
}

// A Target is whom to signal.
type Target struct {
	Slot   int `json:"slot"`
	Signal int `json:"signal"`
}

// A Listing is the result of List. Problems are those of pools that could not be read.
type Listing struct {
	Pools    []pool.Status `json:"pools"`
	Problems []Failure     `json:"problems,omitempty"`
}

// A Wish is what is asked for by Acquire.
type Wish struct {
	Weight      int           `json:"weight"` // slots; Whole for all that the pool has
	Priority    int           `json:"priority"`
	Nonblock    bool          `json:"nonblock,omitempty"`
	Timeout     time.Duration `json:"timeout_ns,omitempty"`   // 0: no limit
	MaxWaiting  *int          `json:"max_waiting,omitempty"`  // fail as busy if as many wait already
	Memfree     uint64        `json:"memfree,omitempty"`      // bytes that have to be available
	Load        float64       `json:"load,omitempty"`         // what the load has to be below
	MemfreeText string        `json:"memfree_text,omitempty"` // Memfree as the user wrote it

	PID       int           `json:"pid"`            // of poolrun
	Command   string        `json:"command"`        // for people
	Guarded   bool          `json:"guarded"`        // the command inherits the guard
	KillAfter time.Duration `json:"kill_after_ns"`  // between SIGTERM and SIGKILL for a command that has to end
	Held      string        `json:"held,omitempty"` // the leases in whose slots poolrun runs, as in Grant

	Inside bool `json:"inside,omitempty"` // poolrun has inherited a pipe, which may be the guard of a slot in which it runs

	// Of a request that is made again, because the engine that had it is gone.
	Place string `json:"place,omitempty"`
	Lease string `json:"lease,omitempty"`
}

// Whole is the weight that stands for all slots that the pool has when the turn comes.
const Whole = -1

// A Grant describes the slots that poolrun has got.
type Grant struct {
	Slots  []int         `json:"slots"`
	Items  []string      `json:"items,omitempty"`
	Size   int           `json:"size"` // of the pool
	Fence  int64         `json:"fence"`
	Lease  string        `json:"lease"`            // names the lease for Adopt
	Safe   int64         `json:"safe,omitempty"`   // for Adopt: the last one that an engine has told
	Held   string        `json:"held"`             // the leases in whose slots the command runs
	Nested bool          `json:"nested,omitempty"` // the slots are those of an ancestor
	Keep   bool          `json:"keep,omitempty"`
	Term   time.Duration `json:"lease_ns"`       // how long the lease lasts without being renewed
	Made   int64         `json:"made,omitempty"` // tells the pool from a later one of the same name

	PID       int           `json:"pid"` // as in Wish
	Command   string        `json:"command"`
	Guarded   bool          `json:"guarded"`
	KillAfter time.Duration `json:"kill_after_ns"`
}

// Ultimatum is when a command gets SIGTERM, and when SIGKILL, if its slots are safe until a moment: both
// before, by a margin for clocks that do not run at the same speed. Between the two it has as long as it is given,
// but the lease can be renewed before the first. Times are those of Now.
func (g Grant) Ultimatum(safe int64) (terminate, kill int64) {
	margin := max(time.Second, g.Term/1000)
	kill = safe - int64(margin)
	return max(kill-int64(g.KillAfter), safe-int64(max(g.Term/3, margin))), kill
}

// Forever is until when the slots of a pool are safe that was removed.
const Forever = int64(1) << 62

// An Event is news about a request for slots, or about the slots that are held.
type Event struct {
	// What has to be passed to another engine if this one is lost. Empty fields stand for no change.
	Place string `json:"place,omitempty"`
	Lease string `json:"lease,omitempty"`

	Waiting bool `json:"waiting,omitempty"` // the request waits in line

	// Safe is until when nobody else can get the slots: CLOCK_BOOTTIME in nanoseconds, or Forever.
	Safe int64 `json:"safe,omitempty"`

	// Lost means that the slots are not held any more, or soon may not be: the command has to end at
	// once, unless the pool keeps such commands. It says why.
	Lost string `json:"lost,omitempty"`

	// Ended means that the engine itself has ended the command, because poolrun was stopped or too slow.
	Ended bool `json:"ended,omitempty"`

	Warning string `json:"warning,omitempty"` // for people
}
