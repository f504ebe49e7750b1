package sqlite

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/ncruces/go-sqlite3"
)

// Schema returns the number of the schema that the store of a folder has, and the names of the steps that this version would run
// to bring it up to date. It changes nothing, and fails when another process has the folder, and when the store was written by a
// newer version.
func Schema(ctx context.Context, dir string) (have int, missing []string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return 0, nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the schema of the store in %s: %w", dir, err)
		}
	}()
	lock, err := lockFolder(dir)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	d, err := mountDisk("waypost-"+crand.Text(), "")
	if err != nil {
		return 0, nil, err
	}
	defer d.unmount()
	// Not only to read: the log of a process that was killed has to be gone through first.
	c, err := openConn(dbURI(filepath.Join(dir, fileName), d.name), sqlite3.OPEN_READWRITE, readerCacheKiB)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := c.checkTables(); err != nil {
		return 0, nil, err
	}
	text, err := c.one(`PRAGMA user_version`)
	if err != nil {
		return 0, nil, err
	}
	if have, err = strconv.Atoi(text); err != nil {
		return 0, nil, err
	}
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return have, nil, err
	}
	if have > len(names) {
		return have, nil, tooNew(have, len(names))
	}
	for _, name := range names[have:] {
		missing = append(missing, filepath.Base(name))
	}
	return have, missing, nil
}

// recognise refuses, before anything is changed, a file that is no store, and a store that was made with another main key.
func (w *writer) recognise() error {
	empty, err := w.checkTables()
	if err != nil || empty {
		return err
	}
	check, err := w.meta(keyCheckName)
	if err != nil {
		return err
	}
	next, err := w.meta(keyNextName)
	if err == nil {
		_, err = w.db.o.fit(check, next)
	}
	return err
}

// checkTables says whether a file is empty, and refuses one that holds the tables of another program.
func (c *conn) checkTables() (empty bool, err error) {
	text, err := c.one(`SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM sqlite_schema) THEN 'empty'
		WHEN (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'counts', 'lanes')) = 3 THEN 'ours' ELSE 'other' END`)
	if text == "other" {
		err = errors.New(fileName + " is a database of another program: move it away, or give Waypost a folder of its own with --data")
	}
	return text == "empty", err
}

func tooNew(have, known int) error {
	return fmt.Errorf("the store has schema %d and this version knows schemas up to %d: it was opened by a newer version; start that one, or restore a backup made before", have, known)
}
