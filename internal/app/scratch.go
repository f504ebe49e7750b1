package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// SyncedCommits makes a store of its own in an empty folder, commits n times, and says how many of these commits returned with
// everything that was written to the log synced. It watches the calls to the operating system, so it sees what the store
// does and not what it was told to do. The folder's files are removed by the caller.
func SyncedCommits(ctx context.Context, dir string, n int) (synced int, err error) {
	return syncedCommits(ctx, dir, n, sqlite.Faults{})
}

func syncedCommits(ctx context.Context, dir string, n int, faults sqlite.Faults) (synced int, err error) {
	watch := &syncWatch{inner: vfs.Find("")}
	name := "waypost-watch-" + rand.Text()
	vfs.Register(name, watch)
	defer vfs.Unregister(name)

	key := make([]byte, store.MainKeySize)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	sealer, err := store.NewSealer(key)
	if err != nil {
		return 0, err
	}
	st, err := sqlite.Open(ctx, sqlite.Options{Dir: dir, Sealer: sealer, LowWater: 1, VFS: name, Faults: faults})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	now := time.Now()
	ids := hook.NewGenerator(0, 0)
	app := hook.Application{ID: hook.NewID[hook.ApplicationID](ids, now), CreatedAt: now}
	if err := st.CreateApplication(ctx, app); err != nil {
		return 0, err
	}
	for i := range n {
		before := watch.logWrites()
		if i%2 == 0 { // to the database
			err = st.CreateApplication(ctx, hook.Application{ID: hook.NewID[hook.ApplicationID](ids, now), CreatedAt: now})
		} else { // to the journal
			m := hook.Message{ID: hook.NewID[hook.MessageID](ids, now), App: app.ID, EventType: "test", CreatedAt: now}
			_, err = st.Accept(ctx, []hook.Accept{{Message: m}})
		}
		if err != nil {
			return synced, err
		}
		if watch.logWrites() > before && watch.clean() {
			synced++
		}
	}
	return synced, nil
}

// syncWatch is a VFS over the operating system's that notes whether log or journal have writes that no sync has followed.
type syncWatch struct {
	inner vfs.VFS

	mu     sync.Mutex
	writes int
	dirty  bool
}

func (w *syncWatch) wrote() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	w.dirty = true
}

func (w *syncWatch) synced() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirty = false
}

func (w *syncWatch) logWrites() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

func (w *syncWatch) clean() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.dirty
}

// Open is for the journal; SQLite calls OpenFilename.
func (w *syncWatch) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, err := sqlite.OpenPlain(name)
	if err != nil {
		return nil, flags, err
	}
	return &watchedFile{File: f, watch: w, log: true}, flags, nil
}

func (w *syncWatch) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(w.inner, name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &watchedFile{File: f, watch: w, log: flags&vfs.OPEN_WAL != 0}, flags, nil
}

func (w *syncWatch) Delete(name string, sync bool) error { return w.inner.Delete(name, sync) }
func (w *syncWatch) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return w.inner.Access(name, flags)
}
func (w *syncWatch) FullPathname(name string) (string, error) { return w.inner.FullPathname(name) }

type watchedFile struct {
	vfs.File
	watch *syncWatch
	log   bool
}

func (f *watchedFile) WriteAt(p []byte, off int64) (int, error) {
	if f.log {
		f.watch.wrote()
	}
	return f.File.WriteAt(p, off)
}

func (f *watchedFile) Sync(flags vfs.SyncFlag) error {
	err := f.File.Sync(flags)
	if err == nil && f.log {
		f.watch.synced()
	}
	return err
}

func (f *watchedFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *watchedFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }
func (f *watchedFile) PersistWAL() bool               { return vfsutil.WrapPersistWAL(f.File) }
func (f *watchedFile) SetPersistWAL(keep bool)        { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f *watchedFile) PowersafeOverwrite() bool       { return vfsutil.WrapPowersafeOverwrite(f.File) }
func (f *watchedFile) SetPowersafeOverwrite(on bool)  { vfsutil.WrapSetPowersafeOverwrite(f.File, on) }

// StoredPayloads reads the payloads of an application's messages from the store of a stopped server. The slice that see
// gets is its own.
func StoredPayloads(ctx context.Context, o Options, app string, see func(payload []byte)) (err error) {
	st, _, err := offline(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	a, err := st.Application(ctx, app)
	if err != nil {
		return err
	}
	for page := (store.Page{Limit: 250}); ; {
		list, err := st.Messages(ctx, a.ID, store.MessageFilter{WithPayload: true}, page)
		if err != nil {
			return fmt.Errorf("read the messages in %s: %w", filepath.Base(o.Data), err)
		}
		for _, m := range list.Items {
			see(json.RawMessage(m.Payload))
		}
		if list.Done {
			return nil
		}
		page.After = list.Last
	}
}
