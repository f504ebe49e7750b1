package engine

import "github.com/waypost/waypost/internal/hook"

// share is an application's part of the requests in flight.
//
// It may take a place only while it holds less than as many as are free, times what its lane is trusted with. So one
// application alone gets half of all places for lanes that fail, two thirds with those that nobody knows yet, and three
// quarters with those that work; two get less each. Whatever hangs, an endpoint that works finds a place beside those of
// the same application that do not, and an application finds places beside all others.
type share struct {
	app    hook.ApplicationID
	flying int
	lanes  int
	ready  [trustLevels]ring[*lane] // that may start an attempt, by their trust
	turn   int                      // the trust that is asked first
	listed bool                     // in the list of those with lanes
}

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

// nextLane takes a lane off the lists: the applications in turn, and of one the levels of trust in turn. nil means that
// there is none, or none that may have a place now; the end of any request is a reason to ask again.
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

func (s *share) next(free int) *lane {
	for i := range trustLevels {
		level := (s.turn + i) % trustLevels
		if s.ready[level].len() > 0 && s.flying < free*(level+1) {
			s.turn = (level + 1) % trustLevels
			return s.ready[level].pop()
		}
	}
	return nil
}

func (s *share) waiting() bool {
	for i := range s.ready {
		if s.ready[i].len() > 0 {
			return true
		}
	}
	return false
}

// leave forgets a lane, and the share of an application that has none left.
func (e *Engine) leave(l *lane) {
	if l.share == nil {
		return
	}
	if l.share.lanes--; l.share.lanes == 0 {
		delete(e.shares, l.share.app)
	}
}
