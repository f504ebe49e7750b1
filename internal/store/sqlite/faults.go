package sqlite

// Faults are mistakes and interruptions that a test asks for, to see that the other tests would find them. For tests of
// the tests; never set by the program.
type Faults struct {
	// NoSync writes without syncing, as PRAGMA synchronous=OFF does: what was answered is in the memory of the machine
	// only.
	NoSync bool
	// AnswerEarly answers Accept before its transaction is committed.
	AnswerEarly bool
	// DuplicateEarly answers an Accept that repeats messages of its own transaction before that is committed.
	DuplicateEarly bool
	// TrustLog takes what is read of the log at the start for durable, whether it was ever synced or not.
	TrustLog bool
	// InStep does between calls what is done beside them otherwise (the log is copied, dictionaries are learned), and asks for room each time, so that the same
	// calls make the same operations on the disk. It is no mistake.
	InStep bool
	// SmallRuns makes a run of so few keys, so that a few messages pass through all levels. It is no mistake. 0 = newsKeys.
	SmallRuns int
	// At is called at the named points below by the goroutine that passes them: it may hold that goroutine, or end the
	// process.
	At func(point string)
}

// The points of Faults.At.
const (
	AtBeforeCommit = "before-commit" // all is ready to be made durable, nothing is
	AtAfterCommit  = "after-commit"  // all is durable, nobody has been told
	AtMigration    = "migration"     // a step of a migration is written and not committed
	AtRetention    = "retention"     // a step of retention has deleted its rows and is not committed
	AtIndex        = "index"         // what the journal has is about to be committed, and nobody waits for it but readers
	AtReseal       = "reseal"        // a step of the main key's rotation is written and not committed
)

func (f *Faults) at(point string) {
	if f.At != nil {
		f.At(point)
	}
}

// answerEarly gives the answers that a fault gives too early.
func (db *DB) answerEarly(group []*request) {
	f := &db.o.Faults
	if !f.AnswerEarly && !f.DuplicateEarly {
		return
	}
	for _, r := range group {
		if r.kind == forAccept && !r.early && (f.AnswerEarly || f.DuplicateEarly && r.repeats != nil && r.repeats()) {
			r.early = true
			close(r.done)
		}
	}
}
