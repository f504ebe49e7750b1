package app

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"crypto/rand"
)

// serveBackup sends a copy of the store as it is at one moment. The copy is made beside the store first, so that a slow
// reader holds nothing up.
func (a *App) serveBackup(w http.ResponseWriter, r *http.Request) {
	path := filepath.Join(a.o.Data, "backup-"+rand.Text()[:12]+".tmp")
	defer func() { _ = os.Remove(path) }()
	if err := a.store.Backup(r.Context(), path); err != nil {
		a.o.Log.Error("backup failed", "error", err)
		http.Error(w, `{"code":"internal_error","detail":"the backup failed; the server's log says why"}`, http.StatusInternalServerError)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		a.o.Log.Error("backup cannot be read", "error", err)
		http.Error(w, `{"code":"internal_error","detail":"the backup failed; the server's log says why"}`, http.StatusInternalServerError)
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		http.Error(w, `{"code":"internal_error","detail":"the backup failed"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.sqlite3")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	_, _ = f.WriteTo(w) // a reader that goes away is its own trouble
}
