package engine

import (
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// share is an application's part of the requests in flight.
//
// It may take a place only while it holds less than as many as are free, times what its lane is trusted with. So one
// application alone gets half of all places for lanes that fail, two thirds with those that nobody knows yet, and three
// quarters with those that work; two get less each. Whatever hangs, an endpoint that works finds a place beside those of
// the same application that do not, and an application finds places beside all others.
//
// Lanes that are trusted more go first, so a late retry takes no place that a first attempt elsewhere waits for; but a
// part of what the application has in flight is for those that are trusted less, so that they are never left out however
// busy the others are.
type share struct {
	app    hook.ApplicationID
	flying int
	aloft  [trustLevels]int // of them, by the trust of their lanes when they were taken
	bytes  int              // of large messages in flight
	lanes  int
	ready  [trustLevels]ring[*lane] // that may start an attempt, by their trust
	listed bool                     // in the list of those with lanes
}

// leastPart is the part of an application's requests in flight, one in so many, that each lower level of trust may have
// before the higher ones.
const leastPart = 16

const trustLevels = 3

// trust is how much a lane's next attempt is expected to end soon: 0 when the last one failed, 1 when there was none, 2
// when somebody answered.
func (l *lane) trust() int {
	switch {
	case l.failures > 0:
		return 0
	case !l.proven:
		return 1
	}
	return 2
}

func (e *Engine) shareOf(app hook.ApplicationID) *share {
	s := e.shares[app]
	if s == nil {
		s = &share{app: app}
		e.shares[app] = s
	}
	return s
}

// nextLane takes a lane off the lists: the applications in turn. nil means that there is none, or none that may have a
// place now; the end of any request is a reason to ask again.
func (e *Engine) nextLane() *lane {
	free := e.o.MaxInFlight - e.flying
	for range e.ready.len() {
		s := e.ready.pop()
		l := s.next(free)
		if s.listed = s.waiting(); s.listed {
			e.ready.push(s)
		}
		if l != nil {
			return l
		}
	}
	return nil
}

// next takes the lane that is to have the application's next place, while so many are free.
func (s *share) next(free int) *lane {
	if s.flying >= free*trustLevels {
		return nil
	}
	for level := range trustLevels - 1 {
		if s.ready[level].len() > 0 && s.aloft[level]*leastPart < s.flying {
			return s.ready[level].pop()
		}
	}
	for level := trustLevels - 1; level >= 0; level-- {
		if s.ready[level].len() > 0 && s.flying < free*(level+1) {
			return s.ready[level].pop()
		}
	}
	return nil
}

// take counts a flight that takes a place, with what its lane is trusted with now.
func (s *share) take(f *flight) {
	f.trust = f.lane.trust()
	s.flying++
	s.aloft[f.trust]++
}

func (s *share) giveBack(f *flight) {
	s.flying--
	s.aloft[f.trust]--
}

func (s *share) waiting() bool {
	for i := range s.ready {
		if s.ready[i].len() > 0 {
			return true
		}
	}
	return false
}

const (
	largeMessage = 64 << 10               // bytes; smaller ones are bounded by their number
	carryPause   = 100 * time.Millisecond // until one that found no room is tried again
)

// carry says whether a message that was read from the store may stay in memory for an attempt. Large ones share
// Options.FlightBytes as places are shared, so that those for endpoints that hang leave room for the others'. One of any size
// may go alone.
func (e *Engine) carry(f *flight, m *hook.Message) bool {
	size := cap(m.Payload)
	if m.Raw != nil {
		size += cap(m.Raw.Body)
	}
	if f.msg != nil || size <= largeMessage {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := f.lane.share
	if e.carried > 0 && s.bytes+size > (e.o.FlightBytes-e.carried)*(f.trust+1) {
		return false
	}
	f.bytes = size
	s.bytes += size
	e.carried += size
	return true
}

// putDown ends what carry began. The lock is held.
func (e *Engine) putDown(f *flight) {
	f.lane.share.bytes -= f.bytes
	e.carried -= f.bytes
	f.bytes = 0
}

// leave forgets a lane, and the share and the rate of an application that has none left.
func (e *Engine) leave(l *lane) {
	if l.share == nil {
		return
	}
	if l.share.lanes--; l.share.lanes == 0 {
		delete(e.shares, l.share.app)
		delete(e.apps, l.share.app)
	}
}
