package sqlite

import (
	"sync"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const roomEvery = 100 * time.Millisecond

// room knows whether the disk has room for new messages. What is left below the mark is for outcomes.
type room struct {
	lowWater uint64
	free     func() (uint64, error)
	every    time.Duration

	mu      sync.Mutex
	checked time.Time
	low     bool
	left    uint64
}

// check says whether there is room, and whether that has just ended or come back.
func (r *room) check(now time.Time) (low, turned bool, left uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.checked.IsZero() && now.Sub(r.checked) < r.every {
		return r.low, false, r.left, nil
	}
	r.checked = now
	left, err = r.free()
	if err != nil {
		return false, false, 0, err
	}
	turned = r.low != (left < r.lowWater)
	r.low, r.left = left < r.lowWater, left
	return r.low, turned, left, nil
}

// isLow says what check found last.
func (r *room) isLow() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.low
}

// hasRoom refuses new messages while the disk is nearly full.
func (db *DB) hasRoom() error {
	low, turned, left, err := db.room.check(time.Now())
	switch {
	case err != nil: // then only a write that fails can tell
		db.o.Log.Warn("cannot tell how much space is left", "dir", db.o.Dir, "err", err)
		return nil
	case turned && low:
		db.o.Log.Warn("the disk is nearly full: no new messages are taken", "dir", db.o.Dir, "free", left, "needed", db.o.LowWater)
		db.o.Changed(store.Change{Unaccepted: true})
	case turned:
		db.o.Log.Info("the disk has room again", "dir", db.o.Dir, "free", left)
	}
	if !low {
		return nil
	}
	return hook.Errorf(hook.KindUnavailable,
		"the disk is nearly full: %d MiB are free in %s and %d MiB are kept for recording deliveries; free some space, the store goes on by itself",
		left>>20, db.o.Dir, db.o.LowWater>>20)
}

// Accepting says why new messages are not taken for now: the store is broken, or its disk is nearly full. nil = they are.
func (db *DB) Accepting() error {
	if err := db.sound(); err != nil {
		return err
	}
	return db.hasRoom()
}

// noRoom is told that a write of new messages failed for want of space.
func (db *DB) noRoom(err error) {
	db.o.Log.Warn("the disk is full: no new messages are taken", "dir", db.o.Dir, "err", err)
	db.o.Changed(store.Change{Unaccepted: true})
}
