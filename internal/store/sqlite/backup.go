package sqlite

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// backupPages is how much is copied between two groups of commits: 1 MiB.
const backupPages = 256

// Backup copies the store into a new file while it works. The file appears under its name only when it is complete and
// durable; one that exists is never overwritten. Secrets in it stay sealed: keep the main key apart.
func (db *DB) Backup(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %s exists: name a new file", path)
	}
	db.backing.Lock() // one at a time, and Close waits for it
	defer db.backing.Unlock()
	part := path
	if db.disk.os { // a simulated disk has no names to give: the copy keeps its own
		part += "." + crand.Text()[:8] + ".part"
	}
	err = db.copyTo(ctx, part)
	if err == nil && db.disk.os {
		err = publish(part, path, db.disk)
	}
	if err != nil {
		_ = os.Remove(part)
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// copyTo copies page by page. The connection that writes does it, so what is written meanwhile goes into the copy too, and
// no reader holds the log back.
func (db *DB) copyTo(ctx context.Context, path string) (err error) {
	var b *sqlite3.Backup
	alone := func(run func() error) error {
		return db.write(context.WithoutCancel(ctx), &request{kind: forAlone, run: func(*tx) error { return run() }})
	}
	err = alone(func() (err error) {
		b, err = db.writer.BackupInit("main", dbURI(path, db.disk.name))
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone(b.Close)) }()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			return gaveUp(ctx.Err())
		case <-db.stopping:
			return errClosed()
		default:
		}
		err := alone(func() (err error) {
			done, err = b.Step(backupPages)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// publish gives a complete file its name, unless another has it by now.
func publish(part, path string, d *disk) error {
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(part, path); err != nil {
		return err
	}
	if err := os.Remove(part); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}
