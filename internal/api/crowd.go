package api

import (
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// crowd bounds how many requests of a kind that holds much, or holds it long, are under way: of one application, so that
// none takes the places of all others, and altogether.
type crowd struct {
	each, all int

	mu    sync.Mutex
	total int
	by    map[string]int // by the application as the path names it
}

// The bounds. A list may hold a page of whole messages until its last byte was taken; a handshake waits for a stranger; an
// explanation keeps a core busy for up to two seconds.
const (
	listsEach, listsAll           = 4, 16
	handshakesEach, handshakesAll = 2, 16
	explainsEach, explainsAll     = 1, 2
)

func newCrowd(each, all int) *crowd { return &crowd{each: each, all: all, by: map[string]int{}} }

func (c *crowd) enter(app string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.all || c.by[app] >= c.each {
		return false
	}
	c.total++
	c.by[app]++
	return true
}

func (c *crowd) leave(app string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.by[app]--; c.by[app] == 0 {
		delete(c.by, app)
	}
}

// within makes an operation one of a crowd, from the moment that its caller was admitted until its answer is written.
func within[I, O any](h *Handler, c *crowd, op huma.Operation, who access, fn handler[I, O]) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["429"] = h.refusal(http.StatusTooManyRequests)
	add(h, op, who, fn, func(hc huma.Context, next func(huma.Context)) {
		app := hc.Param(appParam)
		if a := actorOf(hc.Context()); !a.isOrganisation() {
			app = a.app.String() // one application, however it is spelt
		}
		if !c.enter(app) {
			_, w := humago.Unwrap(hc)
			writeError(w, tooMany())
			return
		}
		defer c.leave(app)
		next(hc)
	})
}

func tooMany() *apiError {
	e := newError(http.StatusTooManyRequests, "too_many_requests", "too many requests of this kind are under way: try again when they are answered")
	e.headers = http.Header{"Retry-After": {"1"}}
	return e
}
