package ingest

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

const (
	maxRoutes = 4096
	// maxRouteAge bounds how long another process's change of configuration can go unseen: Forget hears of our own only.
	maxRouteAge = 10 * time.Second
	maxDoor     = 128
)

// entry is a route with everything that is worked out once and not for each request.
type entry struct {
	route    hook.Route
	dialect  *dialect.Dialect
	settings dialect.Settings
	receive  func(dialect.Inbound) (dialect.Received, error) // under settings
	policy   dialect.Policy
	scope    string         // of dedup keys of messages that are of no account
	signs    []string       // header names that carry a signature, canonical
	allow    []netip.Prefix // who may push; nil = anybody
	expires  time.Time
}

// routes remembers the routes in use. Doors that do not exist are not remembered: a stranger who tries doors would only
// fill the memory.
type routes struct {
	mu         sync.RWMutex
	generation uint64
	byDoor     map[string]*entry
}

func (c *routes) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.byDoor)
}

func (c *routes) get(door string, now time.Time) (e *entry, generation uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e = c.byDoor[door]
	if e != nil && !now.Before(e.expires) {
		e = nil
	}
	return e, c.generation
}

// put remembers an entry, unless the configuration changed while it was looked up.
func (c *routes) put(door string, e *entry, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation != c.generation {
		return
	}
	if c.byDoor == nil {
		c.byDoor = map[string]*entry{}
	}
	if len(c.byDoor) >= maxRoutes {
		for k := range c.byDoor { // any one will do
			delete(c.byDoor, k)
			break
		}
	}
	c.byDoor[door] = e
}

// route returns the source behind a door.
func (d *Door) route(ctx context.Context, door string, now time.Time) (*entry, error) {
	if door == "" || len(door) > maxDoor || strings.ContainsRune(door, '/') {
		return nil, hook.Errorf(hook.KindNotFound, "there is no such door")
	}
	e, generation := d.routes.get(door, now)
	if e != nil {
		return e, nil
	}
	r, err := d.opt.Routes(ctx, door, now)
	if err != nil {
		return nil, fmt.Errorf("look up a door: %w", err)
	}
	e, err = d.newEntry(r)
	if err != nil {
		return nil, err
	}
	e.expires = now.Add(maxRouteAge)
	for _, old := range r.Source.OldDoors {
		if old.Door == door && door != r.Source.Door && old.Until.Before(e.expires) {
			e.expires = old.Until
		}
	}
	d.routes.put(door, e, generation)
	return e, nil
}

func (d *Door) newEntry(r hook.Route) (*entry, error) {
	p := d.opt.Dialects[r.Source.Dialect]
	if p == nil || p.Receive == nil {
		return nil, fmt.Errorf("source %s: this build cannot receive the dialect %q", r.Source.ID, r.Source.Dialect)
	}
	e := &entry{route: r, dialect: p, settings: dialect.Settings(r.Settings)}
	e.receive = p.ReceiveWith(e.settings)
	e.scope = e.scopeOf(r.Source.ID.String())
	if p.Policy != nil {
		e.policy = p.Policy(e.settings)
	}
	for _, h := range p.SignatureHeaders {
		e.signs = append(e.signs, http.CanonicalHeaderKey(h))
	}
	for _, text := range r.Source.AllowFrom {
		prefix, err := parsePrefix(text)
		if err != nil {
			// Skipping it would open the door wider than was meant when it is the only one.
			return nil, fmt.Errorf("source %s: allowFrom: %w", r.Source.ID, err)
		}
		e.allow = append(e.allow, prefix)
	}
	return e, nil
}

// scopeOf is where messages of an account are told from others by their dedup keys.
func (e *entry) scopeOf(account string) string { return key(e.dialect.Name + "/" + account) }

// signed says whether a request carries a signature at all.
func (e *entry) signed(h http.Header) bool {
	for _, name := range e.signs {
		if len(h[name]) > 0 {
			return true
		}
	}
	return false
}

// repeated names a header that must not come twice but does: proxies differ in which copy they believe.
func (e *entry) repeated(h http.Header) string {
	for _, name := range e.signs {
		if len(h[name]) > 1 {
			return name
		}
	}
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		if len(h[name]) > 1 {
			return name
		}
	}
	return ""
}
