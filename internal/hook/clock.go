package hook

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Clock tells the time to a server whose system clock may be set while it runs: by NTP, by a person, when a machine that
// slept goes on. It has an answer for each question:
//
//   - Now: what time is it for the world? For signatures, tokens, ids, and all that people read.
//   - Steady: how much time has passed? For schedules. It goes on evenly whatever the clock is set to, over restarts too.
//   - Sure: what is over for certain? For retention. A clock that was set ahead is not believed for a while.
//
// It finds by itself that the clock was set, from the time that the machine counts beside it.
type Clock struct {
	shift func() time.Duration
	told  func(by time.Duration)
	began time.Time // a reading with the monotonic clock

	view   atomic.Pointer[clockView]
	mu     sync.Mutex
	steady time.Time     // Steady, when it began
	ahead  time.Duration // the system clock is ahead of Steady by it
	jumps  []ClockJump
	set    ClockJump // the last time that the clock was set, either way, in this process
}

// clockView is steady and ahead, for who reads the time without the lock: nearly everybody nearly always.
type clockView struct {
	steady time.Time
	ahead  time.Duration
}

// ClockJump is a moment at which the clock was set, or found to be later than where it was left.
type ClockJump struct {
	At    time.Time     // in steady time
	Ahead time.Duration // of steady time, before
	Away  bool          // nobody was there to see it: the time may as well have passed
}

// ClockState is what a Clock must know after a restart.
type ClockState struct {
	Wall, Steady time.Time   // one moment, by both
	Jumps        []ClockJump // ahead only, oldest first
}

const (
	clockStep = 2 * time.Second  // less is not a jump
	maxJumps  = 64               // remembered; beyond it the oldest are taken together
	idPause   = 10 * time.Minute // for which ids do not follow a clock that was set ahead
	secondSay = time.Hour        // for which a clock that was set is also asked what it would have shown
	awaySoon  = time.Hour        // a shorter stop is no reason to doubt the clock
	awayLong  = 366 * 24 * time.Hour
)

// NewClock makes a Clock. told hears of every jump, from whoever reads the clock next; it must be quick and must not use
// the Clock. shift is for tests: it is added to the system's clock. Both may be nil.
func NewClock(shift func() time.Duration, told func(by time.Duration)) *Clock {
	c := &Clock{shift: shift, told: told, began: time.Now()}
	c.steady = c.began.Round(0)
	if shift != nil {
		c.steady = c.steady.Add(shift())
	}
	c.show()
	return c
}

// Resume goes on from where an earlier process was. The steady time does not go back, and the time between counts as
// passed. It is called before the Clock is used.
func (c *Clock) Resume(last ClockState) {
	if last.Wall.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, passed := c.sample()
	away := wall.Sub(last.Wall)
	steady := last.Steady.Add(max(away, 0))
	c.steady, c.ahead = steady.Add(-passed), wall.Sub(steady)
	c.show()
	c.jumps = slices.Clone(last.Jumps)
	if away > awaySoon {
		for i := range c.jumps { // and nobody knows whether that time has passed
			c.jumps[i].Ahead -= away
		}
		c.note(ClockJump{At: steady, Ahead: last.Wall.Sub(steady), Away: away <= awayLong})
	}
}

// sample reads the system clock, and how long the Clock runs. Go counts that apart from the clock, so it never jumps.
func (c *Clock) sample() (wall time.Time, passed time.Duration) {
	wall = time.Now()
	passed = wall.Sub(c.began)
	if c.shift != nil {
		wall = wall.Add(c.shift())
	}
	return wall, passed
}

// read calls see with the time, under the lock, and tells of a jump if there was one.
func (c *Clock) read(see func(wall, steady time.Time)) {
	by := time.Duration(0)
	func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		wall, passed := c.sample()
		steady := c.steady.Add(passed)
		if by = wall.Sub(steady) - c.ahead; by.Abs() >= clockStep {
			c.set = ClockJump{At: steady, Ahead: c.ahead}
			if by > 0 {
				c.note(c.set)
			}
			c.ahead += by
			c.show()
		}
		see(wall, steady)
	}()
	if by.Abs() >= clockStep && c.told != nil {
		c.told(by)
	}
}

// note remembers a jump ahead.
func (c *Clock) note(j ClockJump) {
	c.jumps = append(c.jumps, j)
	if len(c.jumps) > maxJumps {
		a, b := c.jumps[0], &c.jumps[1]
		b.Ahead, b.Away = min(a.Ahead, b.Ahead), a.Away && b.Away
		c.jumps = c.jumps[1:]
	}
}

// show puts what has changed into the view. The lock is held, or nobody knows the Clock yet.
func (c *Clock) show() { c.view.Store(&clockView{c.steady, c.ahead}) }

// Now is the system's time.
func (c *Clock) Now() time.Time {
	now, _ := c.Read()
	return now
}

// Steady never jumps and never goes back. It is the time of the world only as long as nobody sets the clock, so it is
// compared with steady times alone; Wall translates it for people.
func (c *Clock) Steady() time.Time {
	_, now := c.Read()
	return now
}

// Read returns Now and Steady of one moment.
func (c *Clock) Read() (now, steady time.Time) {
	v := c.view.Load() // before the time: a view from after a jump would hide it from a time from before
	now, passed := c.sample()
	steady = v.steady.Add(passed)
	if by := now.Sub(steady) - v.ahead; by.Abs() >= clockStep {
		c.read(func(w, s time.Time) { now, steady = w, s })
	}
	return now, steady
}

// Wall is what the clock shows at a steady time, as it is set now. The zero time stays zero.
func (c *Clock) Wall(steady time.Time) time.Time {
	if steady.IsZero() {
		return steady
	}
	return steady.Add(c.view.Load().ahead)
}

// Sure is the earliest time that the clock would show, as it was set at any moment of the last hold. It is Now when nobody
// has set the clock ahead in that time. What is over by it is over whichever setting was right, and what was written under
// an earlier setting and is younger than hold is not.
func (c *Clock) Sure(hold time.Duration) (now time.Time) {
	c.read(func(wall, steady time.Time) { now = c.earliest(wall, steady, hold, true) })
	return now
}

// ForIDs is the latest time that new ids may carry: Now, but a clock that was just set ahead is not followed for some
// minutes. Ids never go back, so they would stay ahead when the clock is put right again.
func (c *Clock) ForIDs() (now time.Time) {
	c.read(func(wall, steady time.Time) { now = c.earliest(wall, steady, idPause, false) })
	return now
}

func (c *Clock) earliest(wall, steady time.Time, hold time.Duration, away bool) time.Time {
	for _, j := range c.jumps {
		if before := steady.Add(j.Ahead); j.At.Add(hold).After(steady) && before.Before(wall) && (away || !j.Away) {
			wall = before
		}
	}
	return wall
}

// Otherwise is what the clock would show if it had not been set, for an hour after it was. Nobody knows yet which of the
// two is right.
func (c *Clock) Otherwise() (now time.Time, ok bool) {
	c.read(func(_, steady time.Time) {
		now, ok = steady.Add(c.set.Ahead), !c.set.At.IsZero() && steady.Sub(c.set.At) < secondSay
	})
	return now, ok
}

// State is what to keep for Resume.
func (c *Clock) State() (s ClockState) {
	c.read(func(wall, steady time.Time) { s = ClockState{Wall: wall, Steady: steady, Jumps: slices.Clone(c.jumps)} })
	return s
}
