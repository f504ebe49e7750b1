package store

import (
	"context"
	"slices"
	"time"

	"github.com/waypost/waypost/internal/hook"
)

// Along is what a write carries into its commit beside its own rows: both are durable, or neither.
type Along struct {
	Receipt *Receipt
	// Events tell the operator what was done. They are accepted for the application hook.Operational when it has an
	// endpoint that wants them, and forgotten otherwise.
	Events []hook.Accept
}

// Receipt is an answer that is kept under a key, so that a repeated request gets it again.
type Receipt struct {
	Key     [32]byte
	Now     time.Time // a receipt of the same key that has run out by then is replaced
	Expires time.Time
	// Answer is called when the write has succeeded and before it is committed, by the goroutine that writes; it must be quick and
	// must not call the store. ok false keeps nothing, as for a message that turned out to be a repeat.
	Answer func(Result) (status int, body []byte, ok bool)
}

// Result is what a write is about to return, for an answer that depends on it.
type Result struct {
	Accepted []hook.Accepted // of Accept, with the ids that it gave; shared, not to be changed
	Canceled int             // of Cancel
}

type alongKey struct{}

// ReceiptField is the Field of the KindConflict with which a write fails whose receipt's key is taken by a live one.
const ReceiptField = "idempotency-key"

// With returns a context under which the next write of Config or Flow carries a along, beside what the context carries
// already: events are added, a receipt takes the place of an earlier one. A write that fails or refuses keeps nothing of it. A
// receipt whose key is taken by a live one makes the write fail with KindConflict on ReceiptField.
func With(ctx context.Context, a Along) context.Context {
	before := AlongOf(ctx)
	if a.Receipt == nil {
		a.Receipt = before.Receipt
	}
	a.Events = slices.Concat(before.Events, a.Events)
	return context.WithValue(ctx, alongKey{}, a)
}

// AlongOf returns what a context carries, for backends.
func AlongOf(ctx context.Context) Along {
	a, _ := ctx.Value(alongKey{}).(Along)
	return a
}
