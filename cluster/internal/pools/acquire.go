package pools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/poolrun/poolrun/cluster/internal/keys"
	"github.com/poolrun/poolrun/cluster/internal/store"
	"github.com/poolrun/poolrun/internal/engine"
	"github.com/poolrun/poolrun/pool"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Request is a wish with what belongs to it.
type Request struct {
	engine.Wish
	Process   string             // what poolrun is, on any machine: see Ancestors
	Ancestors []string           // processes of this machine, one of which may be a holder's command: see nested
	IsStopped func() bool        // whether poolrun is stopped
	Note      func(engine.Event) // tells poolrun what another engine would have to know
}

// firstLimit is how long a request without a timeout tries to reach etcd before it stands in line. Then it tries for
// as long as it waits.
const firstLimit = 10 * time.Second

// cleanUpLimit is how long the end of a request may take that has failed, or is over.
const cleanUpLimit = 2 * time.Second

// Reach returns the context for a request's first words with etcd. One that does not wait has one try of each
// member.
func Reach(ctx context.Context, wish engine.Wish) (context.Context, context.CancelFunc) {
	if wish.Nonblock {
		return context.WithTimeout(ctx, 0) // see store.Do
	}
	return early(ctx, wish)
}

// early returns the context for all that a request does before it stands in line. One with a timeout, and one that
// goes on where another engine was, has as long as the whole request.
func early(ctx context.Context, wish engine.Wish) (context.Context, context.CancelFunc) {
	_, isLimited := ctx.Deadline()
	if !wish.Nonblock && (isLimited || wish.Place != "" || wish.Lease != "") {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, firstLimit)
}

// Acquire gets slots, and waits for them in line. If ctx ends, it leaves the line and returns ctx's error. The
// caller sees to the wish's timeout.
//
// It returns ErrBusy, ErrNotYet, ErrTooLate, ErrTooHeavy, ErrNotExist, ErrDestroyed, ErrDraining, ErrDamaged,
// ErrVersion, ErrPermission or ErrUnavailable.
func (p *Pool) Acquire(ctx context.Context, r Request) (*Holding, error) {
	w := &participant{Pool: p, conditions: conditionsOf(r.Wish), isStopped: r.IsStopped, tell: r.Note}
	w.place = keys.Place{Priority: r.Priority, Weight: r.Weight, Held: len(w.conditions) > 0}
	w.record = keys.Participant{Host: p.local.Host, PID: r.PID, User: p.local.User, Command: r.Command, Since: time.Now()}
	w.process = r.Process
	h, err := w.acquire(ctx, r)
	if h != nil && !h.isNested {
		go w.cleanUp(true) // the slots are there: nothing has to wait for it
	} else {
		w.cleanUp(false)
	}
	return h, err
}

// cleanUp gives the leases back that are not needed any more. One that cannot be given back runs out.
func (p *participant) cleanUp(isHolder bool) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpLimit)
	defer cancel()
	var work sync.WaitGroup
	if p.waiter != nil {
		work.Go(func() { p.waiter.Revoke(ctx) })
	}
	if p.holder != nil && !isHolder {
		work.Go(func() { p.holder.Revoke(ctx) })
	}
	work.Wait()
}

func (p *participant) acquire(ctx context.Context, r Request) (*Holding, error) {
	limited, cancel := early(ctx, r.Wish)
	h, v, err := p.begin(limited, r)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil { // the user has set no such limit
		err = p.fail(pool.ErrUnavailable, store.ErrSilent)
	}
	cancel()
	if h != nil || err != nil {
		return h, err
	}
	slots, fence, err := p.await(ctx, v)
	if err != nil {
		return nil, err
	}
	return p.hold(slots, fence, v, r), nil
}

// begin does all that comes before a wait. It returns the slots, or a view of the pool in whose line the participant
// stands now.
func (p *participant) begin(ctx context.Context, r Request) (h *Holding, v *view, err error) {
	if v, err = p.arrive(ctx, r); err != nil {
		return nil, nil, err
	}
	if h, err := p.resume(ctx, v, r); h != nil || err != nil {
		return h, nil, err
	}
	if h, err := p.nested(ctx, v, r); h != nil || err != nil {
		return h, nil, err
	}
	if err := p.checkWeight(v.record, p.place.Weight); err != nil {
		return nil, nil, err
	}
	if r.Place == "" {
		if v.drained {
			return nil, nil, p.fail(pool.ErrDraining, nil)
		}
		slots, fence, now, err := p.tryAsNewcomer(ctx, v)
		if slots != nil || err != nil {
			return p.hold(slots, fence, v, r), nil, err
		}
		v = now
	}
	if r.Nonblock {
		return nil, nil, p.busy(v)
	}
	v, err = p.joinForFirst(ctx, v, r)
	return nil, v, err
}

// arrive has the first look at the pool. At the same time it asks for the lease of a holder, since most
// requests need no other, and for the version of etcd.
func (p *participant) arrive(ctx context.Context, r Request) (*view, error) {
	ctx, cancel := Reach(ctx, r.Wish)
	defer cancel()
	version, lease := make(chan error, 1), make(chan error, 1)
	go func() { version <- p.checkVersion(ctx) }()
	go func() {
		var err error
		if r.Lease == "" {
			err = p.grantHolder(ctx, keys.DefaultLease)
		}
		lease <- err
	}()
	v, err := p.look(ctx, p.endOfClass(p.place.Priority))
	if err := cmp.Or(<-version, err, <-lease); err != nil {
		return nil, err
	}
	p.place.Revision, p.place.ID = v.revision, time.Now().UnixNano()
	if p.holder != nil {
		p.place.ID = int64(p.holder.ID)
		if p.holder.Asked != v.record.Lease {
			if err := p.grantHolder(ctx, v.record.Lease); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// resume goes on where another engine was when it was killed. Its lease shows whether it had the slots
// already, and otherwise runs out; its place in line is kept.
func (p *participant) resume(ctx context.Context, v *view, r Request) (*Holding, error) {
	if r.Lease != "" {
		id, err := parseLease(r.Lease)
		if err != nil {
			return nil, err
		}
		p.holder = p.store.Adopt(id, v.record.Lease, 0)
		if slots, fence, err := p.heldBy(ctx, id); slots != nil || err != nil {
			if err := cmp.Or(err, p.holder.AwaitSafe(ctx)); err != nil { // the command has to end in time
				return nil, err
			}
			return p.hold(slots, fence, v, r), nil
		}
		if err := p.holder.Revoke(ctx); err != nil { // before a take is made that is still under way
			return nil, p.explain(err)
		}
		if err := p.grantHolder(ctx, v.record.Lease); err != nil {
			return nil, err
		}
	}
	if r.Place != "" {
		place, err := keys.ParsePlace(r.Place)
		if err != nil {
			return nil, p.fail(pool.ErrInvalid, fmt.Errorf("place %q: %w", r.Place, err))
		}
		p.place, p.hasStood = place, true
	}
	return nil, nil
}

// tryAsNewcomer takes slots without standing in line, if nobody stands before who needs them.
func (p *participant) tryAsNewcomer(ctx context.Context, v *view) (slots []int, fence int64, now *view, err error) {
	for {
		slots, fence, now, err = p.tryTake(ctx, v)
		switch {
		case slots != nil || err != nil || now.lacks(p.place) > 0 || p.record.WaitsFor != "" || now.isBarred() || !now.isNear():
			return slots, fence, now, err
		}
		// It is not known whether the take was made. It has been prevented: see settle.
		if err := p.ensureHolder(ctx, now); err != nil {
			return nil, 0, now, err
		}
		if v, err = p.look(ctx, p.key()); err != nil {
			return nil, 0, now, err
		}
		if v.made != now.made {
			return nil, 0, now, p.fail(pool.ErrDestroyed, nil)
		}
	}
}

// busy is the error of a newcomer that does not wait.
func (p *participant) busy(v *view) error {
	switch {
	case p.record.WaitsFor != "":
		return p.fail(pool.ErrNotYet, waitsFor{text: p.record.WaitsFor})
	case len(v.slots)+p.place.Of(v.record.Size) <= v.record.Size:
		return p.fail(pool.ErrBusy, errors.New("others wait for it already"))
	}
	return p.fail(pool.ErrBusy, nil)
}

// joinForFirst joins the line. A participant that has stood there already comes in again later if etcd cannot be
// reached: see await.
func (p *participant) joinForFirst(ctx context.Context, v *view, r Request) (*view, error) {
	v.own = 0
	r.Note(engine.Event{Place: p.place.String()})
	now, err := p.ensurePlace(ctx, v)
	if err != nil && !(p.hasStood && store.Silent(err)) {
		return nil, err
	}
	if r.MaxWaiting != nil && r.Place == "" {
		n, err := p.countBefore(ctx)
		if err != nil {
			return nil, err
		}
		if n >= *r.MaxWaiting {
			return nil, p.fail(pool.ErrBusy, fmt.Errorf("%d wait for it already", n))
		}
	}
	r.Note(engine.Event{Waiting: true})
	return now, nil
}

// nested returns the slots in which poolrun runs already, nil if it does not. A lease that has ended holds
// none. If the names of the leases could not be read, the records of the holders show whose command an ancestor
// of poolrun is.
func (p *participant) nested(ctx context.Context, v *view, r Request) (*Holding, error) {
	if len(v.slots) == 0 {
		return nil, nil
	}
	found := func(lease clientv3.LeaseID, held []string) (*Holding, error) {
		slots, fence, err := p.heldBy(ctx, lease)
		if slots == nil {
			return nil, err
		}
		return &Holding{Pool: p.Pool, slots: slots, fence: fence, record: v.record, held: strings.Join(held, " "), isNested: true}, nil
	}
	for _, text := range leasesIn(r.Held) {
		if cluster, lease, name, ok := parseHeld(text); ok && cluster == v.cluster && name == p.url.Name {
			if h, err := found(lease, leasesIn(r.Held)); h != nil || err != nil {
				return h, err
			}
		}
	}
	if len(r.Ancestors) == 0 {
		return nil, nil
	}
	answer, err := p.do(ctx, func(txn clientv3.Txn) clientv3.Txn {
		return txn.Then(clientv3.OpGet(p.space.Slots(), clientv3.WithPrefix()))
	})
	if err != nil {
		return nil, p.explain(err)
	}
	for _, kv := range keysOf(answer, 0) {
		holder := keys.ReadParticipant(kv.Value)
		if slices.ContainsFunc(r.Ancestors, func(ancestor string) bool { return isOneOf(ancestor, holder.Processes) }) {
			lease := clientv3.LeaseID(kv.Lease)
			return found(lease, append(leasesIn(r.Held), formatHeld(v.cluster, lease, p.url.Name)))
		}
	}
	return nil, nil
}

// isOneOf reports whether a process is one of a holder's. Of a hidden one, only the beginning is known.
func isOneOf(process string, list []string) bool {
	isHidden := strings.HasSuffix(process, "/")
	return slices.ContainsFunc(list, func(own string) bool {
		return process != "" && (own == process || isHidden && strings.HasPrefix(own, process))
	})
}

// leasesIn lists what a description names, each once.
func leasesIn(held string) (list []string) {
	for _, text := range strings.Fields(held) {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// mostHeld is how many leases the description of a command's slots names.
const mostHeld = 16

// hold makes a Holding of slots that were taken.
func (p *participant) hold(slots []int, fence int64, v *view, r Request) *Holding {
	if slots == nil {
		return nil
	}
	own := formatHeld(v.cluster, p.holder.ID, p.url.Name)
	others := slices.DeleteFunc(leasesIn(r.Held), func(text string) bool {
		cluster, _, name, ok := parseHeld(text)
		return !ok || cluster == v.cluster && name == p.url.Name // that lease has ended
	})
	if len(others) >= mostHeld {
		others = others[len(others)-mostHeld+1:]
	}
	return &Holding{
		Pool: p.Pool, lease: p.holder, slots: slots, fence: fence, record: v.record, made: v.made,
		held: strings.Join(append(others, own), " "),
	}
}

// The description of a lease for nested calls: CLUSTER/LEASE/NAME, with numbers in hexadecimal, and the name
// escaped as in a URL.

func formatHeld(cluster uint64, lease clientv3.LeaseID, name string) string {
	return fmt.Sprintf("%x/%x/%s", cluster, int64(lease), url.PathEscape(name[1:]))
}

func parseHeld(text string) (cluster uint64, lease clientv3.LeaseID, name string, ok bool) {
	fields := strings.Split(text, "/")
	if len(fields) != 3 {
		return 0, 0, "", false
	}
	cluster, err1 := strconv.ParseUint(fields[0], 16, 64)
	id, err2 := strconv.ParseInt(fields[1], 16, 64)
	name, err3 := url.PathUnescape(fields[2])
	return cluster, clientv3.LeaseID(id), "/" + name, errors.Join(err1, err2, err3) == nil
}

func formatLease(id clientv3.LeaseID) string { return strconv.FormatInt(int64(id), 16) }

func parseLease(text string) (clientv3.LeaseID, error) {
	id, err := strconv.ParseInt(text, 16, 64)
	return clientv3.LeaseID(id), err
}
