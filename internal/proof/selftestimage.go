package proof

import (
	"errors"
	"path/filepath"
)

// ErrNotHere means that a test cannot be done on this machine: the error says what is missing and what that means.
var ErrNotHere = errors.New("cannot be done here")

// Image is a file system on a disk that forgets, when its power is cut, all that it was not told to flush. It is two file
// systems in files, one on the other:
//
//	the file system under test (Mount)  on a loop device  on a file in
//	the disk: a file system of its own  on a loop device  on a file in the folder
//
// What the upper one writes stays in the memory of the lower one until a flush makes that sync its file. Cutting the power
// is shutting down the lower one, so it takes what was written and never flushed too, as the cache of a drive does.
type Image struct {
	Mount string // the file system under test
	file  string // in it, or below it
	disk  *Image // nil: this is the disk
}

func imageIn(dir string) *Image {
	disk := &Image{Mount: filepath.Join(dir, "disk"), file: filepath.Join(dir, "image")}
	return &Image{Mount: filepath.Join(dir, "mount"), file: filepath.Join(disk.Mount, "image"), disk: disk}
}

// Control is what a cut did to files that were written a moment before: it shows that the cut works at all.
type Control struct {
	Synced        int `json:"synced"`        // records that were written and synced
	SyncedThere   int `json:"syncedThere"`   // … that were there afterwards: must be all
	Unsynced      int `json:"unsynced"`      // records that were written and not synced
	UnsyncedThere int `json:"unsyncedThere"` // … that were there afterwards: must not be all
}

// OK says whether the cut was one: what was synced survived it, and what was not did not.
func (c Control) OK() bool { return c.Synced == c.SyncedThere && c.UnsyncedThere < c.Unsynced }

// Plus adds up.
func (c Control) Plus(o Control) Control {
	return Control{c.Synced + o.Synced, c.SyncedThere + o.SyncedThere, c.Unsynced + o.Unsynced, c.UnsyncedThere + o.UnsyncedThere}
}
