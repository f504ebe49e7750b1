package egress

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// The system's resolver does not tell how long an answer holds, so every answer is kept for the same short time: long
// enough that an endpoint's connections, opened together or again and again, cost one question, and shorter than nearly
// every time that a name's owner sets.
const (
	nameAge  = 5 * time.Second
	maxNames = 4096
)

// names remembers for a moment where names led. Addresses are judged by whoever connects to them, and never here: what is
// kept is no way round the guard. Errors are not kept.
type names struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	limit   time.Duration // of one question

	mu    sync.Mutex
	known map[string]*name
}

// name is a question that is under way, or its answer. Beside done, addrs and err it is guarded by the lock of names.
type name struct {
	done    chan struct{} // closed when addrs and err are set
	addrs   []netip.Addr
	err     error
	until   time.Time // zero = it is under way
	waiting int
	cancel  context.CancelFunc
}

func newNames(o *Options) *names {
	return &names{resolve: o.Resolve, limit: o.ConnectTimeout, known: map[string]*name{}}
}

// lookUp returns the addresses of a name, which must not be changed. Who asks at once for the same name waits for one answer.
func (n *names) lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	one := n.join(host, time.Now())
	if one == nil {
		return n.resolve(ctx, host)
	}
	defer n.leave(host, one)
	select {
	case <-one.done:
		return one.addrs, one.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// join returns what is known of a name, or a question that is under way. nil means that there is no room for another.
func (n *names) join(host string, now time.Time) *name {
	n.mu.Lock()
	defer n.mu.Unlock()
	one := n.known[host]
	if one == nil || one.old(now) {
		delete(n.known, host)
		if len(n.known) >= maxNames && !n.makeRoom(now) {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), n.limit)
		one = &name{done: make(chan struct{}), cancel: cancel}
		n.known[host] = one
		go n.ask(ctx, host, one)
	}
	one.waiting++
	return one
}

func (one *name) old(now time.Time) bool { return !one.until.IsZero() && !now.Before(one.until) }

// makeRoom looks at some of what is known and forgets what of it is old, or else some answer. false means that all of it are
// questions under way.
func (n *names) makeRoom(now time.Time) bool {
	const some = 64
	before, looked, answered := len(n.known), 0, ""
	for host, one := range n.known {
		if one.old(now) {
			delete(n.known, host)
		} else if !one.until.IsZero() {
			answered = host
		}
		if looked++; looked == some {
			break
		}
	}
	if len(n.known) == before && answered != "" {
		delete(n.known, answered)
	}
	return len(n.known) < before
}

func (n *names) ask(ctx context.Context, host string, one *name) {
	defer one.cancel()
	one.addrs, one.err = n.resolve(ctx, host)
	n.mu.Lock()
	defer n.mu.Unlock()
	one.until = time.Now().Add(nameAge)
	if one.err != nil {
		n.drop(host, one)
	}
	close(one.done)
}

// leave is called by everybody who joined. A question for whose answer nobody waits any more is given up.
func (n *names) leave(host string, one *name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if one.waiting--; one.waiting == 0 && one.until.IsZero() {
		one.cancel()
		n.drop(host, one)
	}
}

func (n *names) drop(host string, one *name) {
	if n.known[host] == one {
		delete(n.known, host)
	}
}

// forget drops the answer for a name that led nowhere: its owner may have moved it.
func (n *names) forget(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if one := n.known[host]; one != nil && !one.until.IsZero() {
		delete(n.known, host)
	}
}
