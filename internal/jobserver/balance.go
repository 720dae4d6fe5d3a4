package jobserver

import (
	"time"

	"github.com/poolrun/poolrun/internal/crash"
	"golang.org/x/sys/unix"
)

// state is what run knows of the build.
type state struct {
	lying  int       // how many tokens were on offer when it looked last
	caught int       // how many have been read since then: see catch
	grace  time.Time // until when a token may stay on offer although others need its slots
	pause  time.Duration
	next   time.Time // when the next request may be made
	retry  time.Time // the same, after a request has failed

	saidOdd   bool
	saidMany  bool
	saidError string
}

const (
	// How long a token that was just acquired stays on offer although others wait: a build that waits
	// for it takes it in that time.
	graceLimit = 20 * time.Millisecond
	// How long no request is made after a token was taken back that the build did not take. The pause
	// doubles each time. So builds that have no use for tokens pass them around only rarely.
	shortestPause = 20 * time.Millisecond
	longestPause  = time.Second
	// How often to look at the line, for processes of version 0.1.0, which do not announce that they come,
	// and at a pool that gave no lease.
	lookInterval = time.Second
	// How often to look whether a token was taken, if inotify has no instance left.
	blindInterval = 20 * time.Millisecond
)

// balance takes back what others need, offers what the build may have, and requests more. It returns
// after how long it has to be called again if nothing happens; 0 stands for never.
//
// Each token is in one of three places: on offer, in the hands of the build, or spare, which means that
// it was read and only this function knows of it. Killed anywhere in here, the process leaves leases
// that are held for as long as the command lives, and at most as many tokens.
func (s *Server) balance() (limit time.Duration) {
	isStopping := s.isStopping()
	if isStopping {
		s.cancelRequest()
	}
	command, tokens, spare, failure := s.news()
	if command == 0 {
		return 0
	}
	s.explain(failure)
	arrivals, err := s.Pool.Arrivals() // before the line is looked at
	if err != nil {
		return lookInterval
	}
	isTaken := s.pipes.wasTaken()
	returned := s.collect(tokens - spare)
	onOffer := s.pipes.onOffer()
	if surplus := onOffer - (tokens - spare - returned); surplus > 0 {
		s.sayMany(surplus)
		got, _ := take(s.pipes.offers, surplus)
		onOffer -= got
	}
	isTaken = isTaken || onOffer < s.lying
	if isTaken {
		s.grace = time.Time{}
	}
	wasUsed := isTaken || returned > 0 || onOffer > s.lying // the build has use for tokens
	if wasUsed {
		s.pause, s.next = 0, time.Time{}
	}

	most := 1
	now := time.Now()
	switch isNeeded, _ := s.Pool.IsNeeded(); {
	case isStopping:
		most = 0
	case isNeeded && spare > 0: // its turn has come
		limit = graceLimit
		s.grace = now.Add(limit)
	case isNeeded && onOffer > 0 && now.Before(s.grace):
		limit = s.grace.Sub(now)
	case isNeeded:
		most = 0
		if onOffer > 0 && !wasUsed { // then the slots are not for this build in its next turn either
			s.pause = min(max(2*s.pause, shortestPause), longestPause)
			s.next = now.Add(s.pause)
			s.cancelRequest()
		}
	case s.Pool.IsClosing(): // no more leases can be had
		most = tokens
	}
	spare += returned
	for onOffer+spare > most && tokens > 0 {
		if spare > 0 {
			spare--
		} else if got, odd := take(s.pipes.offers, 1); got == 1 {
			s.sayOdd(odd)
			onOffer--
		} else { // the build was faster
			onOffer = 0
			break
		}
		crash.Point("token taken back")
		s.release()
		tokens--
	}
	for ; spare > 0 && s.pipes.offer() == nil; spare-- {
		crash.Point("token offered")
		onOffer++
	}

	s.pipes.wasTaken() // forget what was this function's own doing
	s.lying = onOffer
	if s.pipes.onOffer() != onOffer {
		s.ring()
	}
	if isStopping {
		return limit
	}
	if onOffer == 0 {
		return s.requestMore(limit, tokens, arrivals)
	}
	s.awaitArrival(arrivals)
	if s.pipes.events < 0 {
		return earlier(limit, blindInterval)
	}
	return earlier(limit, lookInterval)
}

// news returns what other goroutines have to tell: the command's pid, how many leases there are, how
// many of them have no token yet, and why the last request has failed.
func (s *Server) news() (command, leases, granted int, failure error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	granted, failure = s.granted, s.failure
	s.granted, s.failure = 0, nil
	return s.command, len(s.leases), granted, failure
}

// isStopping reports whether this process is about to stop: see Suspend.
func (s *Server) isStopping() bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.isSuspended
}

// requestMore requests a lease, if that can be had and no request stands in line yet. A request for more
// than there can be while this build and others run would only hold up others. So it is cancelled when
// that has become so.
func (s *Server) requestMore(limit time.Duration, tokens int, arrivals uint32) time.Duration {
	isRequesting := s.isRequesting()
	if wait := max(time.Until(s.next), time.Until(s.retry)); !isRequesting && wait > 0 {
		return earlier(limit, wait)
	}
	size, err := s.Pool.Size()
	room, err2 := s.Pool.Room()
	if more := (tokens + 1) * s.Weight; err != nil || err2 != nil || more > min(room, size-s.Slots) {
		s.cancelRequest()
		s.awaitArrival(arrivals)
		return earlier(limit, lookInterval)
	}
	if !isRequesting {
		s.request()
	}
	return earlier(limit, lookInterval)
}

func earlier(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

// collect reads what the build has returned, unless that is on offer again and was not caught. It drops what
// the build cannot have taken.
func (s *Server) collect(tokens int) (returned int) {
	returned, s.caught = s.caught, 0
	if s.pipes.returns != s.pipes.offers {
		got, odd := take(s.pipes.returns, 1<<20)
		crash.Point("returned tokens read")
		s.sayOdd(odd)
		returned = got
	}
	// After the returns: what is taken in between makes the number larger.
	if out := max(tokens-s.pipes.onOffer(), 0); returned > out {
		s.sayMany(returned - out)
		returned = out
	}
	return returned
}

// release releases a lease whose token was read. All tokens are alike, so it is any of them.
func (s *Server) release() {
	s.mutex.Lock()
	last := len(s.leases) - 1
	lease := s.leases[last]
	s.leases = s.leases[:last]
	s.mutex.Unlock()
	if err := lease.Release(); err != nil {
		s.Report("cannot return a slot of the jobserver: %s", err)
	}
}

// sleep blocks until there is something to look at, or for a time; 0 stands for ever.
func (s *Server) sleep(limit time.Duration) {
	fds := []unix.PollFd{{Fd: int32(s.bell), Events: unix.POLLIN}}
	if s.lying == 0 || s.pipes.returns != s.pipes.offers {
		fds = append(fds, unix.PollFd{Fd: int32(s.pipes.returns), Events: unix.POLLIN})
	}
	if s.lying > 0 && s.pipes.events >= 0 {
		fds = append(fds, unix.PollFd{Fd: int32(s.pipes.events), Events: unix.POLLIN})
	}
	timeout := -1
	if limit > 0 {
		timeout = int((limit + time.Millisecond - 1) / time.Millisecond)
	}
	unix.Poll(fds, timeout)
	s.catch()
	var buffer [8]byte
	unix.Read(s.bell, buffer[:])
}

// explain says why a request has failed, and puts off the next.
func (s *Server) explain(err error) {
	if err == nil {
		return
	}
	s.retry = time.Now().Add(lookInterval)
	if text := err.Error(); text != s.saidError {
		s.saidError = text
		s.Report("the jobserver gets no more slots: %s", text)
	}
}

// catch reads a token that has come back to where it is on offer at once, if others may need its slots:
// a client would take it again within microseconds. Whether they do need it is looked into afterwards.
func (s *Server) catch() {
	if s.lying > 0 || s.pipes.returns != s.pipes.offers || !s.Pool.MayBeNeeded() {
		return
	}
	got, odd := take(s.pipes.offers, 1)
	s.caught += got
	crash.Point("returned token caught")
	s.sayOdd(odd)
}

func (s *Server) sayOdd(n int) {
	if n > 0 && !s.saidOdd {
		s.saidOdd = true
		s.Report("the build wrote a byte to the jobserver that is no token")
	}
}

func (s *Server) sayMany(n int) {
	if !s.saidMany {
		s.saidMany = true
		s.Report("the build returned more tokens to the jobserver than it had taken: %d dropped", n)
	}
}
