package sqlite

// Idle says that nothing waits to be written and nothing is: the last commit is answered, and the log behind it settled.
func (db *DB) Idle() bool {
	q := db.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.list) == 0 && !q.busy
}

// VFS is the name under which SQLite knows the disk of this store.
func (db *DB) VFS() string { return db.disk.name }
