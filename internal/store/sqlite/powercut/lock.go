package powercut

import (
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// locks are SQLite's five levels of a database file: any number may share, one may reserve, and one may wait for the
// others to leave (pending) and then has the file alone (exclusive).
type locks struct {
	shared   int
	reserved *handle
	pending  *handle
}

func (h *handle) Lock(level vfs.LockLevel) error {
	defer h.end()
	if err := h.begin("lock"); err != nil {
		return err
	}
	if h.lock >= level {
		return nil
	}
	if level >= vfs.LOCK_RESERVED && h.readOnly {
		return sqlite3.IOERR_LOCK
	}
	l := &h.file.locks
	switch level {
	case vfs.LOCK_SHARED:
		if l.pending != nil {
			return sqlite3.BUSY
		}
		l.shared++
	case vfs.LOCK_RESERVED:
		if l.reserved != nil {
			return sqlite3.BUSY
		}
		l.reserved = h
	case vfs.LOCK_EXCLUSIVE:
		if l.pending != nil && l.pending != h || l.reserved != nil && l.reserved != h {
			return sqlite3.BUSY
		}
		l.pending = h
		if h.lock < vfs.LOCK_PENDING {
			h.lock = vfs.LOCK_PENDING
		}
		if l.shared > 1 {
			return sqlite3.BUSY
		}
	}
	h.lock = level
	return nil
}

func (h *handle) Unlock(level vfs.LockLevel) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.lock <= level {
		return nil
	}
	if h.boot == h.disk.boot && !h.disk.off { // after a cut nobody holds anything
		l := &h.file.locks
		if l.reserved == h && level < vfs.LOCK_RESERVED {
			l.reserved = nil
		}
		if l.pending == h && level < vfs.LOCK_PENDING {
			l.pending = nil
		}
		if level < vfs.LOCK_SHARED {
			l.shared--
		}
	}
	h.lock = level
	return nil
}

func (h *handle) CheckReservedLock() (bool, error) {
	defer h.end()
	if err := h.begin("lock"); err != nil {
		return false, err
	}
	return h.file.locks.reserved != nil || h.file.locks.pending != nil, nil
}

func (h *handle) LockState() vfs.LockLevel { return h.lock }
