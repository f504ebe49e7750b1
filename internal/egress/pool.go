package egress

import (
	"net/netip"
	"sync"
	"time"
)

// maxAge is how long a connection is used at most, so that a busy endpoint follows its name to a new address and is
// judged again.
const maxAge = 5 * time.Minute

// pool keeps connections for the next request to the same scheme, host and port. Whoever takes one must be allowed to
// reach its address: an open connection is not a way round the guard.
type pool struct {
	perHost, total int
	timeout        time.Duration

	mu     sync.Mutex
	idle   map[string][]*conn // by key, the last used last
	count  int
	timer  *time.Timer // runs while anything is idle
	closed bool
}

func newPool(perHost, total int, timeout time.Duration) *pool {
	return &pool{perHost: perHost, total: total, timeout: timeout, idle: map[string][]*conn{}}
}

// get returns a kept connection that is still open, made ready for an exchange, or nil.
func (p *pool) get(key string, x *exchange, may func(netip.Addr) bool) *conn {
	now := time.Now()
	for {
		cn := p.take(key, may)
		if cn == nil {
			return nil
		}
		// It is made ready first: the deadline of the exchange before may have passed since.
		if now.Sub(cn.idle) < p.timeout && now.Sub(cn.born) < maxAge && x.begin(cn) && cn.alive(x) {
			cn.reused = true
			return cn
		}
		cn.close()
	}
}

func (p *pool) take(key string, may func(netip.Addr) bool) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	for i := len(list) - 1; i >= 0; i-- {
		if cn := list[i]; may(cn.addr) {
			p.remove(key, i)
			return cn
		}
	}
	return nil
}

// remove forgets the i-th connection of a key. The lock is held.
func (p *pool) remove(key string, i int) {
	list := p.idle[key]
	copy(list[i:], list[i+1:])
	list[len(list)-1] = nil
	if list = list[:len(list)-1]; len(list) == 0 {
		delete(p.idle, key)
	} else {
		p.idle[key] = list
	}
	p.count--
}

// put keeps a connection, or closes it when the host has enough. When the pool is full, the oldest of some other host
// gives way.
func (p *pool) put(cn *conn, now time.Time) {
	cn.idle = now
	if loser := p.keep(cn); loser != nil {
		loser.close()
	}
}

func (p *pool) keep(cn *conn) (loser *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle[cn.key]) >= p.perHost {
		return cn
	}
	if p.count >= p.total {
		for key, list := range p.idle {
			loser = list[0]
			p.remove(key, 0)
			break
		}
	}
	p.idle[cn.key] = append(p.idle[cn.key], cn)
	p.count++
	if p.timer == nil {
		p.timer = time.AfterFunc(p.timeout, p.expire)
	}
	return loser
}

// expire closes what was not used for the timeout and comes back while anything is left.
func (p *pool) expire() {
	now := time.Now()
	var old []*conn
	p.mu.Lock()
	for key, list := range p.idle {
		n := 0
		for n < len(list) && now.Sub(list[n].idle) >= p.timeout {
			n++
		}
		old = append(old, list[:n]...)
		if list = append([]*conn(nil), list[n:]...); len(list) == 0 {
			delete(p.idle, key)
		} else {
			p.idle[key] = list
		}
		p.count -= n
	}
	p.timer = nil
	if p.count > 0 && !p.closed {
		p.timer = time.AfterFunc(p.timeout/2, p.expire)
	}
	p.mu.Unlock()
	for _, cn := range old {
		cn.close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	var all []*conn
	for _, list := range p.idle {
		all = append(all, list...)
	}
	p.idle, p.count, p.closed = map[string][]*conn{}, 0, true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	for _, cn := range all {
		cn.close()
	}
}
