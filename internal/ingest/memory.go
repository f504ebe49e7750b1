package ingest

import (
	"net/netip"
	"sync"

	"github.com/waypost/waypost/internal/hook"
)

// The shares of Options.MaxHeld. A client gets less than a source, so that one client alone does not even close the one
// door that he knows.
const (
	clientShare = 8 // of all memory; one client address gets this part
	sourceShare = 4
	leastBodies = 4 // of the largest size: no share is smaller, however little memory there is
)

// holder is whose share of the memory a body counts against.
type holder struct {
	client netip.Addr // see Network
	source hook.SourceID
}

// memory counts the bytes of bodies: all together, of each client and of each source. It forgets who holds nothing.
type memory struct {
	max, perClient, perSource int64

	mu      sync.Mutex
	held    int64
	clients map[netip.Addr]int64
	sources map[hook.SourceID]int64
}

func newMemory(o *Options) *memory {
	least := leastBodies * (o.MaxBody + 1)
	return &memory{
		max: o.MaxHeld, perClient: max(o.MaxHeld/clientShare, least), perSource: max(o.MaxHeld/sourceShare, 2*least),
		clients: map[netip.Addr]int64{}, sources: map[hook.SourceID]int64{},
	}
}

// take says whether there is room for more bytes, and counts them if so.
func (m *memory) take(who holder, more int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	client, source := m.clients[who.client]+more, m.sources[who.source]+more
	if m.held+more > m.max || client > m.perClient || source > m.perSource {
		return false
	}
	m.held, m.clients[who.client], m.sources[who.source] = m.held+more, client, source
	return true
}

func (m *memory) give(who holder, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held -= n
	if m.clients[who.client] -= n; m.clients[who.client] <= 0 {
		delete(m.clients, who.client)
	}
	if m.sources[who.source] -= n; m.sources[who.source] <= 0 {
		delete(m.sources, who.source)
	}
}

// Network is the address that stands for a client where clients are counted: an IPv6 client has a /64 to choose his
// addresses from.
func Network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
