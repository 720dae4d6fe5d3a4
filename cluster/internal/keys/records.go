package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/poolrun/poolrun/pool"
)

// A Pool is the record of a pool.
type Pool struct {
	Layout  int           `json:"layout"`
	Size    int           `json:"size"`
	Lease   time.Duration `json:"lease_ns"` // of a holder
	Keep    bool          `json:"keep"`     // a command whose lease is lost runs on
	Items   []string      `json:"items,omitempty"`
	Delay   time.Duration `json:"delay_ns,omitempty"` // the least time between two starts
	Created time.Time     `json:"created"`
}

// The limits of a lease. etcd itself has a least TTL, which depends on its election timeout: a lease
// lasts at least as long as was asked for.
const (
	MinLease     = 5 * time.Second
	MaxLease     = 24 * time.Hour
	DefaultLease = time.Minute
)

// ErrLayout means that a pool has another layout.
var ErrLayout = errors.New("it has another layout")

// ReadPool decodes and checks the record of a pool.
func ReadPool(value []byte) (p Pool, err error) {
	if err := json.Unmarshal(value, &p); err != nil {
		return p, fmt.Errorf("its record is no JSON of a pool: %w", err)
	}
	if p.Layout != Layout {
		return p, fmt.Errorf("%w: %d, and this version uses layout %d", ErrLayout, p.Layout, Layout)
	}
	switch {
	case p.Size < 0 || p.Size > pool.MaxSlots:
		return p, fmt.Errorf("its record has size %d", p.Size)
	case p.Lease < MinLease || p.Lease > MaxLease:
		return p, fmt.Errorf("its record has a lease of %v", p.Lease)
	case p.Delay < 0 || p.Delay > pool.MaxDelay:
		return p, fmt.Errorf("its record has a delay of %v", p.Delay)
	case len(p.Items) > pool.MaxSlots:
		return p, fmt.Errorf("its record has %d items", len(p.Items))
	}
	for _, item := range p.Items {
		if len(item) > pool.MaxItemBytes {
			return p, fmt.Errorf("its record has an item of %d bytes", len(item))
		}
	}
	return p, nil
}

// A Participant is the record of a waiter, or of a holder in each of its slots. It is for people, and
// for a nested call or an eviction to find it. The keys, not the records, make the limit and the order.
type Participant struct {
	Host       string    `json:"host"`
	PID        int       `json:"pid"`         // of poolrun
	CommandPID int       `json:"command_pid"` // 0: it does not run
	User       string    `json:"user"`
	Command    string    `json:"command"`
	Since      time.Time `json:"since"` // since when it waits, or holds the slot, by its machine's clock

	// Of a waiter.
	WaitsFor string `json:"waits_for,omitempty"` // beside slots, if it is first

	// Of a holder.
	Processes []string `json:"processes,omitempty"` // what poolrun and its command are, on any machine
	Place     string   `json:"place,omitempty"`     // in the line, where it would have stood or has stood
	Orphaned  bool     `json:"orphaned,omitempty"`
	Signal    *Signal  `json:"signal,omitempty"`
}

// A Signal asks the agent of a holder to signal its command. The agent answers in the same record.
type Signal struct {
	ID     string `json:"id"`
	Number int    `json:"number"`
	Done   bool   `json:"done"`
	Error  string `json:"error,omitempty"` // why the command was not signalled
}

// The greatest length of a text in a record. Longer ones are cut.
const maxText = 1 << 10

// maxRecord is how long the record of a participant can be.
const maxRecord = 16 << 10

// ReadParticipant decodes a record, and cuts what is too long. A damaged record is none: it is only
// for people.
func ReadParticipant(value []byte) (p Participant) {
	if len(value) > maxRecord || json.Unmarshal(value, &p) != nil {
		return Participant{Command: "(damaged record)"}
	}
	for _, text := range []*string{&p.Host, &p.User, &p.Command, &p.WaitsFor, &p.Place} {
		*text = cut(*text)
	}
	p.PID, p.CommandPID = max(p.PID, 0), max(p.CommandPID, 0)
	return p
}

// Encode encodes a record. All records are texts, numbers and times, which JSON can always express.
func Encode(record any) string {
	value, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	return string(value)
}

func cut(text string) string {
	if len(text) > maxText {
		return text[:maxText]
	}
	return text
}
