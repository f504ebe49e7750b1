package sqlite

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"time"
)

// What is accepted and what is delivered goes to the journal first: one record for a group of requests, synced before they
// are answered. The database has the same changes by then, in a transaction that stays open; its commit follows
// at the latest when commitEvery is over, when the journal is full, and before anybody reads. So the pages of the database
// are written once for thousands of messages, and not once for each group. Everything else is committed at once, with all
// that is open.
//
// The journal holds what came since the last commit and nothing else. A commit makes its records void, because the
// database then names another epoch than they do, and the next record is written over the first. A start makes the
// changes of valid records again and commits them: nothing is ever taken for durable because the journal says so.
const (
	journalName = "waypost.journal"
	commitEvery = 100 * time.Millisecond

	// DefaultJournalBytes is how far the journal grows unless Options says otherwise.
	DefaultJournalBytes = 4 << 20

	journalRow     = "journal" // of meta: the tag and the epoch of the records that are not in the database
	journalVersion = 1
)

// epoch is what the records of one transaction have in common. The tag is drawn at every start, so that records that were
// left behind by another store, or by this one before a backup was put in its place, are never taken for its own.
type epoch struct {
	tag [8]byte
	n   uint64
}

func newEpoch() (e epoch) {
	_, _ = crand.Read(e.tag[:]) // never fails: crypto/rand ends the process instead
	return e
}

func (e epoch) next() epoch { return epoch{e.tag, e.n + 1} }

func (e epoch) bytes() []byte { return binary.BigEndian.AppendUint64(e.tag[:8:8], e.n) }

func epochOf(b []byte) (e epoch, ok bool) {
	if len(b) != 16 {
		return e, false
	}
	return epoch{[8]byte(b), binary.BigEndian.Uint64(b[8:])}, true
}

// A record is its size (4 bytes), a checksum of the rest (4), its epoch (16), its number within the epoch (4), the version of
// its content (1), and the content.
const (
	recordHead   = 4 + 4 + 16 + 4 + 1
	recordSum    = 8 // where that begins which the checksum is of
	maxRecord    = 64 << 20
	recordSlack  = 4 << 10 // what a group may need beyond its own size
	contentStart = recordHead
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journal is the file, and what of it is not in the database yet.
type journal struct {
	file  *journalFile
	epoch epoch
	named bool   // the database names the epoch: records may be written
	n     uint32 // of the next record
	off   int64  // where it goes
	limit int64
	grown int64 // how far the file reaches

	since  [][]byte // the contents of this epoch's records
	record []byte   // the one that is being made
}

// openJournal opens the file, or makes it.
func (d *disk) openJournal(dir string, limit int) (*journal, error) {
	f, err := d.journalFile(filepath.Join(dir, journalName))
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &journal{file: f, limit: int64(min(limit, maxRecord))} // a larger record would not be read
	if j.grown, err = f.Size(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// begin starts the content of a record.
func (j *journal) begin() []byte {
	return append(j.record[:0], make([]byte, contentStart)...)
}

// fits says whether content has room in the journal.
func (j *journal) fits(content int) bool {
	return j.off+recordHead+int64(content)+recordSlack <= j.limit
}

// write makes a record durable. b is what begin returned, with the content behind it. When it fails nothing was added, though a
// part of it may stand in the file.
func (j *journal) write(b []byte) error {
	j.record = b
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	copy(b[recordSum:], j.epoch.tag[:])
	binary.BigEndian.PutUint64(b[recordSum+8:], j.epoch.n)
	binary.BigEndian.PutUint32(b[recordSum+16:], j.n)
	b[recordSum+20] = journalVersion
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[recordSum:], castagnoli))
	if _, err := j.file.WriteAt(b, j.off); err != nil {
		return err
	}
	j.grown = max(j.grown, j.off+int64(len(b)))
	if err := j.file.Sync(); err != nil {
		return &syncError{err}
	}
	j.n++
	j.off += int64(len(b))
	j.since = append(j.since, append([]byte(nil), b[contentStart:]...))
	return nil
}

// syncError is a failed sync: what it was to make certain may be lost, whatever the reason.
type syncError struct{ err error }

func (e *syncError) Error() string { return "sync the journal: " + e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// restart begins an epoch: everything that was written is in the database.
func (j *journal) restart(e epoch) {
	j.epoch, j.named, j.n, j.off = e, true, 0, 0
	clear(j.since)
	j.since = j.since[:0]
}

// wipe empties the file, so that what was removed from the database is not left behind in it.
func (j *journal) wipe() error {
	if j.grown == 0 || j.off > 0 {
		return nil
	}
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	j.grown = 0
	return j.file.Sync()
}

// contents reads the records of an epoch, from the first to the last that is whole.
func (j *journal) contents(e epoch) (all [][]byte, err error) {
	file := make([]byte, j.grown)
	if n, err := j.file.ReadAt(file, 0); n < len(file) {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	for n := uint32(0); len(file) >= recordHead; n++ {
		size := binary.BigEndian.Uint32(file)
		if size < recordHead || size > maxRecord || int(size) > len(file) {
			break
		}
		b := file[:size]
		own, _ := epochOf(b[recordSum : recordSum+16])
		if crc32.Checksum(b[recordSum:], castagnoli) != binary.BigEndian.Uint32(b[4:]) || own != e || binary.BigEndian.Uint32(b[recordSum+16:]) != n {
			break
		}
		if v := b[recordSum+20]; v != journalVersion {
			return nil, fmt.Errorf("%s is of version %d and this program knows version %d: a newer one wrote it and did not end in good order; start that one and stop it", journalName, v, journalVersion)
		}
		all = append(all, b[contentStart:])
		file = file[size:]
	}
	return all, nil
}
