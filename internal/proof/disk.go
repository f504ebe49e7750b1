package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Grade says how a finding is to be taken.
type Grade string

// The grades of a finding.
const (
	Fine    Grade = "ok"
	Warning Grade = "warning" // it works, and somebody should know
	Bad     Grade = "failed"  // messages would be lost, or the server would not work
	Unknown Grade = "unknown" // this system does not tell
)

// Finding is what one check found, in words that say what to do.
type Finding struct {
	Check string `json:"check"`
	Grade Grade  `json:"grade"`
	Text  string `json:"text"`
}

// Syncs are the times of small appends that were each made durable.
type Syncs struct {
	Count int           `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	Max   time.Duration `json:"max_ns"`
}

// Volume is the file system that a folder lies on. Fields that the system does not tell are zero.
type Volume struct {
	Type    string   `json:"type"` // as ext4, xfs, overlay
	Mount   string   `json:"mount,omitempty"`
	Device  string   `json:"device,omitempty"`
	Options []string `json:"options,omitempty"`
	Free    uint64   `json:"freeBytes"` // to this process
}

// Disk is what was found of a folder's disk and of the machine around it.
type Disk struct {
	Volume   Volume    `json:"fileSystem"`
	Fsync    Syncs     `json:"fsync"`
	Findings []Finding `json:"findings"`
}

func (d *Disk) add(check string, g Grade, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{check, g, fmt.Sprintf(format, args...)})
}

// Worst is the gravest of some findings: Bad, Warning or Fine.
func Worst(list []Finding) Grade {
	worst := Fine
	for _, f := range list {
		switch {
		case f.Grade == Bad:
			return Bad
		case f.Grade == Warning:
			worst = Warning
		}
	}
	return worst
}

// CheckDisk examines the disk of a scratch folder, which it leaves with files of its own, and the machine around it.
// lowWater is the free space in bytes below which the server takes no new messages. It takes about syncsFor and ends
// early with the context.
func CheckDisk(ctx context.Context, scratch string, lowWater uint64) (Disk, error) {
	var d Disk
	var err error
	start := time.Now()
	if d.Volume, err = volumeOf(scratch); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return d, fmt.Errorf("look at the file system of %s: %w", scratch, err)
	}
	d.judgeVolume(err == nil, lowWater)
	if d.Fsync, err = MeasureSyncs(ctx, filepath.Join(scratch, "fsync"), syncsFor); err != nil {
		return d, err
	}
	d.judgeSyncs()
	if err := syncFolder(scratch); err != nil {
		d.add("folder fsync", Bad, "a folder cannot be synced: %v. A file that was just made may be gone after a power cut: use another file system", err)
	} else {
		d.add("folder fsync", Fine, "names of new files are made durable")
	}
	d.judgeClock(scratch, start)
	d.judgeOpenFiles()
	return d, nil
}

// What is told about file systems that are no plain disk.
var fileSystemNotes = map[string]struct {
	grade Grade
	text  string
}{
	"tmpfs":    {Bad, "is memory: everything is gone after a restart"},
	"ramfs":    {Bad, "is memory: everything is gone after a restart"},
	"overlay":  {Warning, "is a container's own layer: it goes with the container; mount a volume at the data folder"},
	"nfs":      {Bad, "is a network: locks and shared memory of the store do not hold there; use a local disk"},
	"nfs4":     {Bad, "is a network: locks and shared memory of the store do not hold there; use a local disk"},
	"cifs":     {Bad, "is a network: locks and shared memory of the store do not hold there; use a local disk"},
	"smb3":     {Bad, "is a network: locks and shared memory of the store do not hold there; use a local disk"},
	"9p":       {Warning, "is shared with another machine: whether its fsync reaches a disk is that machine's affair"},
	"virtiofs": {Warning, "is shared with another machine: whether its fsync reaches a disk is that machine's affair"},
	"vboxsf":   {Warning, "is shared with another machine: whether its fsync reaches a disk is that machine's affair"},
	"fuseblk":  {Warning, "runs in a program of its own: whether its fsync reaches the disk is that program's affair"},
	"zfs":      {Warning, "has a property sync: make sure that it is not \"disabled\" (zfs get sync), which cannot be seen from here"},
	"btrfs":    {Fine, "copies what is overwritten, so commits are slower than on ext4 or xfs; it is safe"},
}

// Mount options that turn durability off.
var badOptions = map[string]string{
	"nobarrier": "the disk's cache is not flushed", "barrier=0": "the disk's cache is not flushed", "barrier=none": "the disk's cache is not flushed",
	"volatile": "syncs are ignored",
}

// FreeSpace returns the bytes of a folder's file system that this process may still take; ok is false where the system does not tell.
func FreeSpace(folder string) (free uint64, ok bool) {
	v, err := volumeOf(folder)
	return v.Free, err == nil
}

func (d *Disk) judgeVolume(known bool, lowWater uint64) {
	v := d.Volume
	if !known {
		d.add("file system", Unknown, "this system does not tell")
		return
	}
	note, noted := fileSystemNotes[v.Type]
	if strings.HasPrefix(v.Type, "fuse.") {
		note, noted = fileSystemNotes["fuseblk"], true
	}
	text := fmt.Sprintf("%s on %s, from %s", v.Type, v.Mount, v.Device)
	if noted {
		d.add("file system", note.grade, "%s: it %s", text, note.text)
	} else {
		d.add("file system", Fine, "%s", text)
	}
	grade, options := Fine, strings.Join(v.Options, ",")
	for _, o := range v.Options {
		if why, bad := badOptions[o]; bad {
			grade, options = Bad, fmt.Sprintf("%s: with %s %s; mount it without", options, o, why)
			break
		}
	}
	d.add("mount options", grade, "%s", options)
	const mib = 1 << 20
	switch {
	case v.Free < lowWater:
		d.add("free space", Bad, "%d MiB, below the low-water mark of %d MiB: no new messages would be taken; make room, or lower --low-water", v.Free/mib, lowWater/mib)
	case v.Free < 4*lowWater:
		d.add("free space", Warning, "%d MiB, not far above the low-water mark of %d MiB, where no new messages are taken", v.Free/mib, lowWater/mib)
	default:
		d.add("free space", Fine, "%d MiB; below %d MiB no new messages are taken", v.Free/mib, lowWater/mib)
	}
}

const (
	syncsFor  = 2 * time.Second // bound of measuring
	maxSyncs  = 500
	syncBytes = 4 << 10 // a page: the least that a commit writes

	tooFast = 30 * time.Microsecond  // no device answers a flush sooner
	tooSlow = 250 * time.Millisecond // PandaPon waits 1 s for everything together
)

func (d *Disk) judgeSyncs() {
	f := d.Fsync
	text := fmt.Sprintf("p50 %s, p99 %s of %d appends of 4 KiB", f.P50.Round(time.Microsecond), f.P99.Round(time.Microsecond), f.Count)
	switch {
	case f.P50 < tooFast:
		d.add("fsync", Warning, "%s: sooner than any device can flush. Something answers for the disk; only a pulled plug tells whether it may (--witness)", text)
	case f.P99 > tooSlow:
		d.add("fsync", Warning, "%s: slow; platforms that wait for one second or less will repeat", text)
	default:
		d.add("fsync", Fine, "%s", text)
	}
}

// MeasureSyncs appends to a new file, making each append durable, until the time is over, and removes it.
func MeasureSyncs(ctx context.Context, path string, limit time.Duration) (s Syncs, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return s, fmt.Errorf("measure fsync: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := make([]byte, syncBytes)
	took := make([]time.Duration, 0, maxSyncs)
	for end := time.Now().Add(limit); len(took) < maxSyncs && (len(took) == 0 || time.Now().Before(end)); {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return s, fmt.Errorf("measure fsync: %w", err)
		}
		if err := syncData(f); err != nil {
			return s, fmt.Errorf("the disk refuses fsync: %w", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[min(len(took)-1, int(q*float64(len(took))))] }
	return Syncs{Count: len(took), P50: at(.50), P99: at(.99), Max: took[len(took)-1]}, nil
}

func syncFolder(dir string) error {
	if runtime.GOOS == "windows" { // there a folder cannot be synced, and need not
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// earliest is a moment that has surely passed: a clock before it was never set.
var earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const clockTolerance = 2 * time.Second

// judgeClock compares the clock with reason, with the clock that only runs forward, and with the file system's.
func (d *Disk) judgeClock(scratch string, start time.Time) {
	now := time.Now()
	jump := now.Round(0).Sub(start.Round(0)) - now.Sub(start) // the wall's way less the forward clock's
	var beside time.Duration
	probe := filepath.Join(scratch, "clock")
	if err := os.WriteFile(probe, nil, 0o600); err == nil {
		if info, err := os.Stat(probe); err == nil {
			beside = time.Since(info.ModTime()).Abs()
		}
	}
	set, tells := clockIsSet()
	switch {
	case now.Before(earliest):
		d.add("clock", Bad, "it says %s: set it; signed times would be refused", now.Format(time.DateTime))
	case jump.Abs() > clockTolerance:
		d.add("clock", Warning, "it jumped by %s during this check: schedules follow it", jump.Round(time.Millisecond))
	case beside > clockTolerance:
		d.add("clock", Warning, "the file system's clock is %s apart: is it another machine's?", beside.Round(time.Millisecond))
	case tells && !set:
		d.add("clock", Warning, "the kernel says that nothing keeps it set (no NTP); signatures of most platforms hold for five minutes")
	default:
		d.add("clock", Fine, "%s", now.UTC().Format(time.DateTime)+" UTC")
	}
}

const wantedFiles = 8192

func (d *Disk) judgeOpenFiles() {
	n, err := openFileLimit()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		d.add("open files", Unknown, "this system does not tell")
	case err != nil:
		d.add("open files", Unknown, "%v", err)
	case n < wantedFiles:
		d.add("open files", Warning, "at most %d: every connection takes one; raise it (LimitNOFILE=65536, ulimit -n 65536)", n)
	default:
		d.add("open files", Fine, "at most %d", n)
	}
}

// Scratch makes a folder of its own inside of a data folder, for tests that must not touch a store. It refuses, with
// advice, a folder that is missing or cannot be written. What earlier runs left behind there is removed.
func Scratch(data string) (dir string, remove func() error, err error) {
	info, err := os.Stat(data)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil, fmt.Errorf("%s does not exist: make it (mkdir -p) on the disk that is to be tested, or name another folder with --data", data)
	case err != nil:
		return "", nil, err
	case !info.IsDir():
		return "", nil, fmt.Errorf("%s is a file: name the folder that it is in", data)
	}
	if data, err = filepath.Abs(data); err != nil {
		return "", nil, err
	}
	sweepScratch(data)
	dir, err = os.MkdirTemp(data, scratchPrefix)
	switch {
	case errors.Is(err, os.ErrPermission):
		return "", nil, fmt.Errorf("%s is not writable for this user: run this as the user that runs the server", data)
	case errors.Is(err, syscall.EROFS):
		return "", nil, fmt.Errorf("%s is mounted read-only: the store cannot live there", data)
	case err != nil:
		return "", nil, fmt.Errorf("make a folder for the test: %w", err)
	}
	release, err := holdScratch(dir)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("take the folder for the test: %w", err), os.RemoveAll(dir))
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), release()) }, nil
}

const (
	scratchPrefix = ".waypost-selftest-"
	scratchLock   = "held"
)
