package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What a cut needs, and how to get it.
var cutPrograms = []struct{ name, from string }{
	{"mkfs.ext4", "e2fsprogs (apt-get install e2fsprogs, apk add e2fsprogs, dnf install e2fsprogs)"},
	{"mount", "util-linux (apt-get install mount, apk add util-linux)"},
	{"umount", "util-linux (apt-get install mount, apk add util-linux)"},
}

const loopControl = "/dev/loop-control"

// CanCut says whether NewImage can work here; else the error tells what is missing.
func CanCut() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: a simulated power cut mounts a file system of its own, and only root may do that", ErrNotHere)
	}
	for _, p := range cutPrograms {
		if _, err := findProgram(p.name); err != nil {
			return fmt.Errorf("%w: the program %s is missing: install %s", ErrNotHere, p.name, p.from)
		}
	}
	if _, err := os.Stat(loopControl); err != nil {
		return fmt.Errorf("%w: there are no loop devices (%s): load the module (modprobe loop), or in a container pass them in (--privileged)", ErrNotHere, loopControl)
	}
	return nil
}

// findProgram also looks where a root shell's PATH often does not lead.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

// diskOverhead is what the disk's own file system takes of its file.
const diskOverhead = 128 << 20

// NewImage makes an image of that many bytes, most of them a hole, in a folder and mounts it there as ext4. Close it
// whatever happens.
func NewImage(ctx context.Context, dir string, size int64) (_ *Image, err error) {
	if err := CanCut(); err != nil {
		return nil, err
	}
	i := imageIn(dir)
	defer func() {
		if err != nil {
			err = errors.Join(err, i.Close())
		}
	}()
	if err := i.disk.make(ctx, size+diskOverhead); err != nil {
		return nil, err
	}
	if err := i.make(ctx, size); err != nil {
		return nil, err
	}
	return i, i.disk.flush()
}

// make makes a file system in a file and mounts it.
func (i *Image) make(ctx context.Context, size int64) error {
	f, err := os.OpenFile(i.file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if err := os.Mkdir(i.Mount, 0o700); err != nil {
		return err
	}
	if err := program(ctx, "mkfs.ext4", "-q", "-F", i.file); err != nil {
		return err
	}
	if err := i.mount(ctx); err != nil {
		return fmt.Errorf("%w: %w; in a container it must be privileged", ErrNotHere, err)
	}
	return nil
}

// flush makes everything in the file system durable.
func (i *Image) flush() error {
	f, err := os.Open(i.Mount)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

// mount goes through a loop device that frees itself when the file system is taken away.
func (i *Image) mount(ctx context.Context) error {
	return program(ctx, "mount", "-t", "ext4", "-o", "loop,noatime", i.file, i.Mount)
}

// program runs one of the system's programs in a process group of its own, so that Ctrl-C does not tear it.
func program(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	path, err := findProgram(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

const (
	fsIocShutdown   = 0x8004587d // _IOR('X', 125, __u32)
	shutdownNoFlush = 2          // nothing of the journal is written any more
)

// Cut cuts the power: from now on the disk writes nothing, and what it was not told to flush is lost.
func (i *Image) Cut() error {
	f, err := os.Open(i.disk.Mount)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), fsIocShutdown, shutdownNoFlush); err != nil {
		return fmt.Errorf("%w: the kernel does not shut this file system down: %w", ErrNotHere, err)
	}
	return nil
}

// Remount takes the file system and its disk away and mounts them again, as a restart does: their journals are recovered.
// No process may have a file of it open.
func (i *Image) Remount(ctx context.Context) error {
	for _, m := range []*Image{i, i.disk} {
		if err := unmount(m.Mount); err != nil {
			return err
		}
	}
	for _, m := range []*Image{i.disk, i} {
		if err := m.mount(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unmount waits a little for processes that have just ended.
func unmount(path string) error {
	var err error
	for range 50 {
		if err = program(context.Background(), "umount", path); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// closeLeft takes away what a run that was killed left in a folder. Its server may live on: with its disk gone, it ends.
func closeLeft(dir string) error {
	i := imageIn(dir)
	mounted, err := isMounted(i.disk.Mount)
	if err != nil || !mounted {
		return err
	}
	return errors.Join(i.Cut(), i.Close())
}

func isMounted(path string) (bool, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	for line := range strings.SplitSeq(string(table), "\n") {
		if f := strings.Fields(line); len(f) > 4 && unescapeMount(f[4]) == path {
			return true, nil
		}
	}
	return false, nil
}

// Close takes the file system and its disk away, in the end also from under whoever still uses them, and removes their
// files. It may be called twice.
func (i *Image) Close() error {
	mounted, err := isMounted(i.Mount)
	if mounted {
		if err = unmount(i.Mount); err != nil {
			err = errors.Join(err, program(context.Background(), "umount", "--lazy", i.Mount))
		}
	}
	if i.disk != nil {
		err = errors.Join(err, i.disk.Close())
	}
	for _, path := range []string{i.Mount, i.file} {
		if e := os.Remove(path); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

const (
	controlRecords = 64
	controlBytes   = 4 << 10
)

func (i *Image) controls() (synced, unsynced string) {
	return filepath.Join(i.Mount, "control-synced"), filepath.Join(i.Mount, "control-unsynced")
}

// Write writes the control files: one whose records are each synced, and one that is left to the system.
func (i *Image) Write() (Control, error) {
	synced, unsynced := i.controls()
	for _, file := range []struct {
		path string
		sync func(*os.File) error
	}{{synced, syncData}, {unsynced, func(*os.File) error { return nil }}} {
		if err := writeRecords(file.path, file.sync); err != nil {
			return Control{}, fmt.Errorf("write the control: %w", err)
		}
	}
	return Control{Synced: controlRecords, Unsynced: controlRecords}, nil
}

func writeRecords(path string, sync func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for n := range controlRecords {
		if _, err = f.Write(controlRecord(n)); err != nil {
			break
		}
		if err = sync(f); err != nil {
			break
		}
	}
	return errors.Join(err, f.Close())
}

func controlRecord(n int) []byte { return bytes.Repeat([]byte{byte(n + 1)}, controlBytes) }

// Read counts what is left of the control files.
func (i *Image) Read(c Control) (Control, error) {
	synced, unsynced := i.controls()
	var err error
	if c.SyncedThere, err = readRecords(synced); err != nil {
		return c, err
	}
	c.UnsyncedThere, err = readRecords(unsynced)
	return c, err
}

func readRecords(path string) (there int, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for n := range controlRecords {
		if at := n * controlBytes; at+controlBytes <= len(b) && bytes.Equal(b[at:at+controlBytes], controlRecord(n)) {
			there++
		}
	}
	return there, err
}
