package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/waypost/waypost/internal/api"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// rotation changes the main key of a store while the store works:
//
//  1. a new key is made and kept in main.key.next;
//  2. the store notes that it needs both keys, and seals with the new one from then on;
//  3. the store seals everything anew, and notes that it needs the new key alone;
//  4. main.key.next becomes main.key.
//
// Each step is durable before the next begins, so the folder holds every key that its store needs at any moment, and the next
// start goes on where a process ended. When the keys come from the options, the first step and the last are the operator's.
type rotation struct {
	o  Options
	db *sqlite.DB

	mu     sync.Mutex
	keys   mainKeys
	toSwap bool // the fourth step is left
	state  api.MainKey
	cancel context.CancelFunc
	ended  chan struct{} // closed when what is under way has ended; nil = nothing ever was
}

func newRotation(o Options, db *sqlite.DB, keys mainKeys) *rotation {
	r := &rotation{o: o, db: db, keys: keys, state: api.MainKey{Source: api.KeyInEnvironment}}
	if keys.inFiles {
		r.state.Source = api.KeyInFile
		_, err := os.Lstat(filepath.Join(o.Data, nextKeyFile))
		r.toSwap = err == nil && !db.Rotating()
	}
	return r
}

// resume goes on with a rotation that was interrupted, or that the options ask for.
func (r *rotation) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.db.Rotating(), r.toSwap:
		r.run()
	case r.keys.before != nil:
		r.o.Log.Warn("the main key is rotated already: take WAYPOST_MAIN_KEY_OLD away")
	}
}

// begin begins a rotation, or goes on with one that was interrupted, and returns when the store has noted it.
func (r *rotation) begin(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Running {
		return hook.Errorf(hook.KindConflict, "a rotation of the main key is under way: wait until it is done")
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.run()
	return nil
}

// run does the rest in the background. Its context is its own: what goes along with a request's is for one write.
func (r *rotation) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.ended = make(chan struct{})
	r.state = api.MainKey{Source: r.state.Source, Running: true, StartedAt: time.Now()}
	r.o.Log.Info("rotating the main key")
	go func() {
		defer close(r.ended)
		logged := time.Now()
		err := r.finish(ctx, func(done, total int64) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.state.Resealed, r.state.Total = done, total
			if time.Since(logged) > 5*time.Second {
				logged = time.Now()
				r.o.Log.Info("rotating the main key", "resealed", done, "of", total)
			}
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state.Running, r.state.EndedAt = false, time.Now()
		switch {
		case err == nil:
			r.o.Log.Info("the main key is rotated", "resealed", r.state.Resealed, "took", r.state.EndedAt.Sub(r.state.StartedAt))
		case ctx.Err() != nil:
			r.o.Log.Info("the rotation of the main key goes on with the next start")
		default:
			r.o.Log.Error("the rotation of the main key was interrupted", "error", err)
			r.state.Problem = problemOf(err)
		}
	}()
}

// problemOf is what of an error the API may show.
func problemOf(err error) string {
	var e *hook.Error
	if errors.As(err, &e) && e.Kind != hook.KindInternal {
		return e.Text
	}
	return "the server's log says what is wrong; rotate again, or start the server again, to go on"
}

// stop interrupts what is under way and waits for it.
func (r *rotation) stop(context.Context) error {
	r.mu.Lock()
	cancel, ended := r.cancel, r.ended
	r.mu.Unlock()
	if ended != nil {
		cancel()
		<-ended
	}
	return nil
}

// now tells how it stands.
func (r *rotation) now() api.MainKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// prepare does the first two steps, unless that was done before.
func (r *rotation) prepare(ctx context.Context) error {
	if r.db.Rotating() || r.toSwap {
		return nil
	}
	if !r.keys.inFiles {
		return hook.Errorf(hook.KindConflict, "the main key comes from WAYPOST_MAIN_KEY: to rotate it, set WAYPOST_MAIN_KEY to a new one "+
			"(`waypost keygen main-key`) and WAYPOST_MAIN_KEY_OLD to the present one, and start the server again; it serves while it rotates")
	}
	next, err := r.nextKey()
	if err != nil {
		r.o.Log.Error("the new main key cannot be kept", "error", err)
		return &hook.Error{Kind: hook.KindUnavailable, Err: err, Text: "the new main key cannot be kept in " + nextKeyFile +
			": the data folder must be writable; nothing was changed"}
	}
	r.at(AtKeyMade)
	if err := r.db.Rotate(ctx, next); err != nil {
		return err
	}
	r.keys.before, r.keys.now = r.keys.now, next
	r.at(AtKeyBegun)
	return nil
}

// nextKey returns the key in main.key.next, which is made when it is missing.
func (r *rotation) nextKey() (*store.Sealer, error) {
	path := filepath.Join(r.o.Data, nextKeyFile)
	if next, err := readKeyFile(path); err != nil || next != nil {
		return next, err
	}
	return makeMainKey(path)
}

// finish does the last two steps.
func (r *rotation) finish(ctx context.Context, progress func(done, total int64)) error {
	if err := r.holdsNext(); err != nil {
		return err
	}
	if err := r.db.Reseal(ctx, progress); err != nil {
		return err
	}
	r.at(AtKeyResealed)
	if !r.keys.inFiles {
		r.o.Log.Warn("the main key is rotated: take WAYPOST_MAIN_KEY_OLD away; backups made before need that key")
		return nil
	}
	r.setToSwap(true)
	if err := r.swap(); err != nil {
		return &hook.Error{Kind: hook.KindUnavailable, Err: err, Text: "everything is sealed under the new key, but " + nextKeyFile +
			" could not be renamed to " + mainKeyFile + ": make the data folder writable and rotate again, which goes on; keep both files"}
	}
	r.setToSwap(false)
	r.at(AtKeySwapped)
	return nil
}

// holdsNext fails when the key that the store will need alone is kept nowhere: somebody took its file away.
func (r *rotation) holdsNext() error {
	if !r.keys.inFiles || !r.db.Rotating() {
		return nil
	}
	next, err := readKeyFile(filepath.Join(r.o.Data, nextKeyFile))
	if err == nil && !r.keys.now.Same(next) {
		err = &hook.Error{Kind: hook.KindUnavailable, Text: nextKeyFile + " is not there any more, or holds another key: put it back into the " +
			"data folder and rotate again, which goes on; the store needs it and " + mainKeyFile}
	}
	return err
}

func (r *rotation) setToSwap(left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.toSwap = left
}

// swap puts the new key in the place of the old one.
func (r *rotation) swap() error {
	main := filepath.Join(r.o.Data, mainKeyFile)
	err := os.Rename(filepath.Join(r.o.Data, nextKeyFile), main)
	if errors.Is(err, fs.ErrNotExist) {
		if has, e := readKeyFile(main); e == nil && r.keys.now.Same(has) {
			err = nil // an earlier try came as far
		}
	}
	if err != nil {
		return err
	}
	for _, name := range []string{mainKeyFile, nextKeyFile} { // what a killed process left of writing a key
		if err := os.Remove(filepath.Join(r.o.Data, name+partSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncFolder(r.o.Data)
}

// The points of Faults.Store.At that a rotation passes.
const (
	AtKeyMade     = "key-made"     // main.key.next is there and the store does not know of it
	AtKeyBegun    = "key-begun"    // the store needs both keys
	AtKeyResealed = "key-resealed" // the store needs the new key alone
	AtKeySwapped  = "key-swapped"  // main.key is the new key
)

func (r *rotation) at(point string) {
	if f := r.o.Faults.Store.At; f != nil {
		f(point)
	}
}

// RotateMainKey rotates the main key of a stopped server's store, or goes on with a rotation that was interrupted. progress
// is told of how many of how many sealed values have been looked at.
func RotateMainKey(ctx context.Context, o Options, progress func(done, total int64)) (err error) {
	o = o.Defaults()
	db, keys, err := offline(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r := newRotation(o, db, keys)
	if err := r.prepare(ctx); err != nil {
		return fmt.Errorf("rotate the main key: %w", err)
	}
	return r.finish(ctx, progress)
}
