package sqlite

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// conn is one connection with its prepared statements. It is used by one goroutine at a time.
type conn struct {
	*sqlite3.Conn
	stmts map[string]*stmt
	packs *packer            // reads contents
	at    func(point string) // Faults.At
}

const (
	writerCacheKiB = 8 << 10
	readerCacheKiB = 2 << 10
	busyTimeout    = 5 * time.Second
)

// What is deleted or replaced is overwritten where that costs no further page, so that what was once sealed under a main key
// does not lie about in the file after the key was rotated.
const overwriteCheap = `PRAGMA secure_delete=FAST`

// dbURI names a file for SQLite, on a VFS. path is absolute.
func dbURI(path, vfsName string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // a drive letter
		path = "/" + path
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: url.Values{"vfs": {vfsName}}.Encode()}
	return u.String()
}

// openWriter opens the one connection that writes, makes the file when it is new, and makes sure that a commit is durable
// when it returns.
//
// The log's file is cut back to logBytes when it is started over, should it ever have grown beyond.
func openWriter(uri string, logBytes int) (_ *conn, err error) {
	c, err := openConn(uri, sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE, writerCacheKiB)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = c.close()
		}
	}()
	// EXTRA while the file may still have a rollback journal; in a log both names mean the same.
	if err := c.Exec(`PRAGMA synchronous=EXTRA`); err != nil {
		return nil, err
	}
	if err := c.expect(`PRAGMA journal_mode=WAL`, "wal"); err != nil {
		return nil, err
	}
	if err := c.Exec(`PRAGMA synchronous=FULL; PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON; PRAGMA wal_autocheckpoint=0`); err != nil {
		return nil, err
	}
	if err := c.expect(`PRAGMA synchronous`, "2"); err != nil {
		return nil, err
	}
	if err := c.Exec(overwriteCheap); err != nil {
		return nil, err
	}
	if err := c.Exec(fmt.Sprintf(`PRAGMA journal_size_limit=%d`, logBytes)); err != nil {
		return nil, err
	}
	return c, nil
}

// openReader opens a connection that cannot write.
func openReader(uri string) (*conn, error) {
	return openConn(uri, sqlite3.OPEN_READONLY, readerCacheKiB)
}

func openConn(uri string, flags sqlite3.OpenFlag, cacheKiB int) (*conn, error) {
	sc, err := sqlite3.OpenFlags(uri, flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: sc, stmts: map[string]*stmt{}, at: func(string) {}}
	err = sc.BusyTimeout(busyTimeout)
	if err == nil {
		err = sc.Exec(fmt.Sprintf(`PRAGMA cache_size=-%d; PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF; PRAGMA trusted_schema=OFF`, cacheKiB))
	}
	if err == nil {
		// A broken store must not be written to when it is closed; a sound one is checkpointed before.
		_, err = sc.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
	}
	if err == nil {
		// Otherwise every statement with a bound limit is compiled anew for each value: five times the cost of running it.
		_, err = sc.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true)
	}
	if err != nil {
		_ = c.close()
		return nil, err
	}
	return c, nil
}

// expect runs a pragma and fails unless it answers as wanted.
func (c *conn) expect(pragma, want string) error {
	got, err := c.one(pragma)
	if err == nil && got != want {
		err = fmt.Errorf("%s answers %q, not %q: the file system does not carry this store", pragma, got, want)
	}
	return err
}

// one returns the first column of the first row as a text.
func (c *conn) one(sql string) (string, error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if !s.Step() {
		return "", errors.Join(errors.New("no row: "+sql), s.Err())
	}
	return s.ColumnText(0), nil
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		_ = s.s.Close() // repeats the error of the last step
	}
	clear(c.stmts)
	return c.Conn.Close()
}

// stmt is a prepared statement with its parameters bound in order:
//
//	c.query(`SELECT … WHERE id = ? AND state = ?`).int(id).int(0)
//
// The first error of binding or stepping is kept and returned at the end.
type stmt struct {
	s   *sqlite3.Stmt
	c   *conn
	n   int // parameters bound so far
	col int // columns read so far
	err error

	read int // bytes of texts and blobs read so far
}

// query returns the statement of a text, prepared once. The text must be a constant of the program: each is kept.
func (c *conn) query(sql string) *stmt {
	s := c.stmts[sql]
	if s == nil {
		ps, _, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
		if err != nil {
			return &stmt{err: fmt.Errorf("prepare %q: %w", sql, err)}
		}
		s = &stmt{s: ps, c: c}
		c.stmts[sql] = s
	}
	s.n, s.col, s.read, s.err = 0, 0, 0, nil
	return s
}

func (s *stmt) bound(err error) *stmt {
	if s.err == nil {
		s.err = err
	}
	return s
}

func (s *stmt) int(v int64) *stmt {
	if s.err != nil {
		return s
	}
	s.n++
	return s.bound(s.s.BindInt64(s.n, v))
}

func (s *stmt) bool(v bool) *stmt {
	if v {
		return s.int(1)
	}
	return s.int(0)
}

func (s *stmt) null() *stmt {
	if s.err != nil {
		return s
	}
	s.n++
	return s.bound(s.s.BindNull(s.n))
}

func (s *stmt) text(v string) *stmt {
	if s.err != nil {
		return s
	}
	s.n++
	return s.bound(s.s.BindText(s.n, v))
}

// optional binds NULL for the empty text.
func (s *stmt) optional(v string) *stmt {
	if v == "" {
		return s.null()
	}
	return s.text(v)
}

// blob binds NULL for nil and an empty blob for an empty slice.
func (s *stmt) blob(v []byte) *stmt {
	if s.err != nil {
		return s
	}
	if v == nil {
		return s.null()
	}
	s.n++
	return s.bound(s.s.BindBlob(s.n, v))
}

// time binds the millisecond, and NULL for the zero time.
func (s *stmt) time(t time.Time) *stmt {
	if t.IsZero() {
		return s.null()
	}
	return s.int(t.UnixMilli())
}

// exec runs a statement that returns no row.
func (s *stmt) exec() error {
	if s.err != nil {
		return s.err
	}
	return s.s.Exec()
}

// unbind lets go of what is bound.
func (s *stmt) unbind() {
	if s.s != nil {
		_ = s.s.ClearBindings() // never fails
	}
}

// changed is exec that says how many rows were written.
func (s *stmt) changed() (int64, error) {
	if err := s.exec(); err != nil {
		return 0, err
	}
	return s.s.Conn().Changes(), nil
}

// next goes to the next row. After it said false, done must be called.
func (s *stmt) next() bool {
	if s.err != nil {
		return false
	}
	s.col = 0
	return s.s.Step()
}

// done ends a query and returns its first error.
func (s *stmt) done() error {
	if s.s == nil {
		return s.err
	}
	err := s.err
	if err == nil {
		err = s.s.Err()
	}
	if e := s.s.Reset(); err == nil {
		err = e
	}
	return err
}

// each calls row for every row; row reads the columns in order.
func (s *stmt) each(row func() error) error {
	for s.next() {
		if err := row(); err != nil {
			_ = s.done()
			return err
		}
	}
	return s.done()
}

// first reads the first row, if there is one.
func (s *stmt) first(row func()) (found bool, err error) {
	if s.next() {
		found = true
		row()
	}
	return found, s.done()
}

// The readers of columns, each taking the next one.

func (s *stmt) getInt() int64 {
	v := s.s.ColumnInt64(s.col)
	s.col++
	return v
}

func (s *stmt) getBool() bool { return s.getInt() != 0 }

func (s *stmt) getText() string {
	v := s.s.ColumnText(s.col)
	s.col++
	s.read += len(v)
	return v
}

// getBlob returns a copy: nil for NULL, not nil for an empty blob.
func (s *stmt) getBlob() []byte {
	if s.isNull() {
		s.col++
		return nil
	}
	v := s.s.ColumnBlob(s.col, []byte{})
	s.col++
	s.read += len(v)
	return v
}

// rawBlob returns the driver's bytes, valid until the next step.
func (s *stmt) rawBlob() []byte {
	v := s.s.ColumnRawBlob(s.col)
	s.col++
	s.read += len(v)
	return v
}

func (s *stmt) getTime() time.Time {
	if s.isNull() {
		s.col++
		return time.Time{}
	}
	return fromMillis(s.getInt())
}

func (s *stmt) isNull() bool { return s.s.ColumnType(s.col) == sqlite3.NULL }

// toMillis is a time as it is stored, the zero time excepted.
func toMillis(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return fromMillis(t.UnixMilli())
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
