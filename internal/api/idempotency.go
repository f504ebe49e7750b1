package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/store"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 256
	// idempotencyKeep is how long an Idempotency-Key gives the first answer again, as with Svix.
	idempotencyKeep = 12 * time.Hour
)

// idempotencyParam documents the header.
func idempotencyParam() *huma.Param {
	most := maxIdempotencyKey
	return &huma.Param{Name: "idempotency-key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &most},
		Description: "A repeat with the same key gets the first answer again for 12 hours, and changes nothing"}
}

// receipt is where the answer to a POST with an Idempotency-Key is to be kept. It travels in the request's context to the
// write that does what was asked: see answering.
type receipt struct {
	key [32]byte
	now time.Time
}

type receiptKey struct{}

// answering returns a context for the write that does what a POST asks. When the request has an Idempotency-Key, the answer is
// kept in that write's commit, so that a repeat gets it again and changes nothing. Without a key it is the context given.
// body nil = an empty answer.
func answering(ctx context.Context, status int, body any) context.Context {
	if !wantsReceipt(ctx) {
		return ctx
	}
	kept, err := literal(body)
	return keeping(ctx, func(store.Result) (int, []byte, bool) { return status, kept, err == nil })
}

// answeringBy is answering for an answer that depends on what the write returns. f is called inside of the write: it must be quick
// and must not call the store. ok false keeps nothing.
func answeringBy(ctx context.Context, status int, f func(store.Result) (body any, ok bool)) context.Context {
	return keeping(ctx, func(r store.Result) (int, []byte, bool) {
		body, ok := f(r)
		if !ok {
			return 0, nil, false
		}
		kept, err := literal(body)
		return status, kept, err == nil
	})
}

// answeringMessage is answering for an Accept of one message whose answer is that message. What is kept is a reference: the payload
// is in the store once, and what was expunged is in no answer.
func answeringMessage(ctx context.Context, status int, withContent bool) context.Context {
	return keeping(ctx, func(r store.Result) (int, []byte, bool) {
		if len(r.Accepted) != 1 || r.Accepted[0].Err != nil || r.Accepted[0].Duplicate {
			return 0, nil, false
		}
		m := &r.Accepted[0].Message
		kept, err := json.Marshal(messageReference{m.App, m.ID, withContent})
		return status, append([]byte{keptMessage}, kept...), err == nil
	})
}

// What a receipt's body begins with.
const (
	keptLiteral = '=' // the answer's body follows
	keptMessage = '@' // a messageReference follows
)

type messageReference struct {
	App         hook.ApplicationID `json:"app"`
	Message     hook.MessageID     `json:"message"`
	WithContent bool               `json:"withContent"`
}

// literal is an answer's body as it is sent, with its mark.
func literal(body any) ([]byte, error) {
	b := bytes.NewBuffer([]byte{keptLiteral})
	if body == nil {
		return b.Bytes(), nil
	}
	err := marshal(b, body)
	return b.Bytes(), err
}

func wantsReceipt(ctx context.Context) bool { return ctx.Value(receiptKey{}) != nil }

func keeping(ctx context.Context, answer func(store.Result) (int, []byte, bool)) context.Context {
	r, ok := ctx.Value(receiptKey{}).(receipt)
	if !ok {
		return ctx
	}
	return store.With(ctx, store.Along{Receipt: &store.Receipt{Key: r.key, Now: r.now, Expires: r.now.Add(idempotencyKeep), Answer: answer}})
}

// once runs a request that was admitted. A POST with an Idempotency-Key runs at most once at a time, and gets the answer that was
// kept for an earlier one. run is given the context to go on with.
func (h *Handler) once(w http.ResponseWriter, r *http.Request, a actor, run func(context.Context)) {
	h.keyed(w, r, a, run, func(ctx context.Context, key receipt) {
		found, err := h.answerAgain(ctx, w, key)
		if err != nil {
			writeError(w, h.answer(ctx, err))
		} else if !found {
			run(context.WithValue(ctx, receiptKey{}, key))
		}
	})
}

// onceAtWrite is once for what comes often: the write itself finds that the key was used, so that a first request does not have
// to look. run must do nothing but that write, and write no answer when it fails.
func (h *Handler) onceAtWrite(w http.ResponseWriter, r *http.Request, a actor, run func(context.Context) error) {
	plain := func(ctx context.Context) {
		if err := run(ctx); err != nil {
			writeError(w, h.answer(ctx, err))
		}
	}
	h.keyed(w, r, a, plain, func(ctx context.Context, key receipt) {
		err := run(context.WithValue(ctx, receiptKey{}, key))
		if err == nil {
			return
		}
		found, failed := h.answerAgain(ctx, w, key)
		if failed != nil {
			err = failed
		}
		if !found {
			writeError(w, h.answer(ctx, err))
		}
	})
}

// keyed calls plain for a request without a key, else withKey while no other request of the key is under way.
func (h *Handler) keyed(w http.ResponseWriter, r *http.Request, a actor, plain func(context.Context), withKey func(context.Context, receipt)) {
	ctx, text := r.Context(), r.Header.Get(idempotencyHeader)
	if r.Method != http.MethodPost || text == "" {
		plain(ctx)
		return
	}
	if len(text) > maxIdempotencyKey {
		writeError(w, invalidRequest(wrong("header.idempotency-key", "is longer than %d characters", maxIdempotencyKey)))
		return
	}
	// The token is not part of it: who replaces a token may still repeat what the old one began.
	key := sha256.Sum256(fmt.Appendf(nil, "%d %q %q", a.app, r.URL.Path, text))
	leave, err := h.twins.enter(ctx, key)
	if err != nil {
		writeError(w, unavailable("the first request with this Idempotency-Key is still under way"))
		return
	}
	defer leave()
	withKey(ctx, receipt{key, h.now()})
}

// answerAgain gives the answer that is kept under a key.
func (h *Handler) answerAgain(ctx context.Context, w http.ResponseWriter, key receipt) (found bool, err error) {
	status, kept, found, err := h.Store.Receipt(ctx, key.key, key.now)
	if err != nil || !found {
		return false, err
	}
	if len(kept) == 0 {
		return false, fmt.Errorf("the receipt %x is empty", key.key)
	}
	body := kept[1:]
	if kept[0] == keptMessage {
		if body, err = h.messageAgain(ctx, body); err != nil {
			return false, err
		}
	}
	if len(body) > 0 {
		w.Header().Set("Content-Type", jsonType)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // what was asked is done whether or not the caller hears of it
	return true, nil
}

func (h *Handler) messageAgain(ctx context.Context, kept []byte) ([]byte, error) {
	var ref messageReference
	if err := json.Unmarshal(kept, &ref); err != nil {
		return nil, fmt.Errorf("read a receipt: %w", err)
	}
	m, err := h.Store.Message(ctx, ref.App, ref.Message.String(), false)
	if hook.KindOf(err) == hook.KindNotFound {
		return nil, newError(http.StatusGone, "gone", "the message %s of the first request has been removed", ref.Message)
	}
	if err != nil {
		return nil, err
	}
	b, err := showMessage(m, ref.WithContent).appendJSON(nil)
	return append(b, '\n'), err
}

// twins lets one request at a time through for each key.
type twins struct {
	mu    sync.Mutex
	doors map[[32]byte]*door
}

type door struct {
	seat    chan struct{} // holds one value while a request is inside
	waiting int           // requests that are inside or want in
}

func newTwins() *twins { return &twins{doors: map[[32]byte]*door{}} }

// enter waits until no other request of the key is inside. leave must be called when the request is done.
func (t *twins) enter(ctx context.Context, key [32]byte) (leave func(), err error) {
	t.mu.Lock()
	d := t.doors[key]
	if d == nil {
		d = &door{seat: make(chan struct{}, 1)}
		t.doors[key] = d
	}
	d.waiting++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if d.waiting--; d.waiting == 0 {
			delete(t.doors, key)
		}
	}
	select {
	case d.seat <- struct{}{}:
		return func() { <-d.seat; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
