package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// readers is a small pool of connections that cannot write.
type readers struct {
	slots  chan *conn
	lists  chan struct{} // a place for each list under way: fewer than slots, so that what must be quick finds one free
	pause  sync.Mutex
	closed chan struct{}
}

// newReaders opens all of them, log and shared memory too: later the process may have no file handles left.
func newReaders(uri string, n int, packs *packer) (_ *readers, err error) {
	r := &readers{slots: make(chan *conn, n), lists: make(chan struct{}, max(1, n/2)), closed: make(chan struct{})}
	defer func() {
		if err != nil {
			close(r.slots)
			for c := range r.slots {
				_ = c.close()
			}
		}
	}()
	for range n {
		c, err := openReader(uri)
		if err != nil {
			return nil, err
		}
		c.packs = packs
		r.slots <- c
		if _, err := c.one(`SELECT highest FROM counts`); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *readers) get(ctx context.Context) (*conn, error) {
	select {
	case <-r.closed:
		return nil, errClosed()
	default:
	}
	select {
	case <-r.closed:
		return nil, errClosed()
	case <-ctx.Done():
		return nil, gaveUp(ctx.Err())
	case c := <-r.slots:
		return c, nil
	}
}

// without calls f while nobody reads.
func (r *readers) without(f func() error) error {
	r.pause.Lock()
	defer r.pause.Unlock()
	held := make([]*conn, 0, cap(r.slots))
	for range cap(r.slots) {
		select {
		case c := <-r.slots:
			held = append(held, c)
		case <-r.closed:
		}
	}
	defer func() {
		for _, c := range held {
			r.slots <- c
		}
	}()
	return f()
}

// passed waits until everybody who reads now has ended. Others may begin meanwhile.
func (r *readers) passed(ctx context.Context) error {
	seen := make(map[*conn]bool, cap(r.slots))
	for len(seen) < cap(r.slots) {
		c, err := r.get(ctx)
		if err != nil {
			return err
		}
		again := seen[c]
		seen[c] = true
		r.slots <- c // the last in the row
		if again {   // the others are still read with
			select {
			case <-ctx.Done():
			case <-r.closed:
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// close waits for those that read and closes the connections.
func (r *readers) close() error {
	close(r.closed)
	var errs []error
	for range cap(r.slots) {
		errs = append(errs, (<-r.slots).close())
	}
	return errors.Join(errs...)
}

// read calls f with a connection that sees everything that was answered. Each statement sees what is newest; use snapshot for
// several that must agree.
func (db *DB) read(ctx context.Context, f func(*conn) error) error {
	if err := db.flush(ctx); err != nil {
		return err
	}
	return db.readSettled(ctx, f)
}

// readSettled is read for what is never in the journal alone: for all but messages, their keys, deliveries, attempts and receipts, and
// what counts them. It waits for nobody.
func (db *DB) readSettled(ctx context.Context, f func(*conn) error) error {
	if err := db.sound(); err != nil {
		return err
	}
	c, err := db.readers.get(ctx)
	if err != nil {
		return db.failure(err)
	}
	defer func() { db.readers.slots <- c }()
	defer c.SetInterrupt(context.Background())
	c.SetInterrupt(ctx)
	if err := f(c); errors.Is(err, sqlite3.INTERRUPT) {
		return gaveUp(context.Cause(ctx))
	} else if err != nil {
		return db.failure(err)
	}
	return nil
}

// list is snapshot for what may read much. It waits for its turn, and leaves connections to the others.
func (db *DB) list(ctx context.Context, f func(*conn) error) error {
	r := db.readers
	select {
	case r.lists <- struct{}{}:
	case <-r.closed:
		return errClosed()
	case <-ctx.Done():
		return gaveUp(ctx.Err())
	}
	defer func() { <-r.lists }()
	return db.snapshot(ctx, f)
}

// snapshot calls f with a connection on which all statements see one state of the store.
func (db *DB) snapshot(ctx context.Context, f func(*conn) error) error {
	if err := db.flush(ctx); err != nil {
		return err
	}
	return db.snapshotSettled(ctx, f)
}

// snapshotSettled is to snapshot what readSettled is to read.
func (db *DB) snapshotSettled(ctx context.Context, f func(*conn) error) error {
	return db.readSettled(ctx, func(c *conn) error {
		if err := c.query(`BEGIN`).exec(); err != nil {
			return err
		}
		err := f(c)
		c.SetInterrupt(context.Background()) // the end must not be interrupted
		if e := c.query(`ROLLBACK`).exec(); err == nil {
			err = e
		}
		return err
	})
}
