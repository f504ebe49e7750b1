package store

import (
	"context"
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
	Expires time.Time
	// Answer is called when the write has succeeded and before it is committed, by the goroutine that writes; it must be quick and
	// must not call the store. ok false keeps nothing, as for a message that turned out to be a repeat.
	Answer func() (status int, body []byte, ok bool)
}

type alongKey struct{}

// With returns a context under which the next write of Config or Flow carries a along. A write that fails or refuses keeps
// nothing of it. A receipt whose key is taken by a live one makes the write fail with KindConflict on the Field
// "idempotency-key".
func With(ctx context.Context, a Along) context.Context { return context.WithValue(ctx, alongKey{}, a) }

// AlongOf returns what a context carries, for backends.
func AlongOf(ctx context.Context) Along {
	a, _ := ctx.Value(alongKey{}).(Along)
	return a
}
