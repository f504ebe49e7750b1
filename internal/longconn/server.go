package longconn

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
)

// Party is an endpoint that is reached over long connections, with its profile's settings under its own.
type Party struct {
	Endpoint hook.Endpoint
	Settings dialect.Settings
}

// ServerOptions set a Server up. Parties, Accept and IDs are needed.
type ServerOptions struct {
	// Parties finds the endpoints of an app_id that is connected for: at most one of each profile.
	Parties func(ctx context.Context, appID string) ([]Party, error)
	// Party reads one of them again; KindNotFound when it is gone.
	Party func(ctx context.Context, ep hook.EndpointID) (Party, error)
	// Accept makes messages durable, as store.Flow.Accept does. PRODUCE is acknowledged only after it has returned.
	Accept func(ctx context.Context, batch []hook.Accept) ([]hook.Accepted, error)
	// Accepting says why no PRODUCE is taken for now. nil = they always are.
	Accepting func() error
	// Changed is told, outside of any lock, when an endpoint that had no connection has one, or has none any more.
	Changed func(hook.EndpointID)
	// Unacknowledged is told, before Changed, which messages were not acknowledged within their deadline over earlier connections of
	// an endpoint that has a new one: they are to be sent again at once.
	Unacknowledged func(ctx context.Context, ep hook.EndpointID, messages []hook.MessageID)
	Observe        func(ServerEvent) // told of what happens, for counters; must be quick; nil = nobody is

	IDs *hook.Generator
	Now func() time.Time // nil = time.Now
	Log *slog.Logger     // nil = none

	// Client says who the client behind a request is. nil = its peer.
	Client func(*http.Request) string

	Zone           string        // given to clients in a cookie, for a front proxy to route by; "" = none
	MaxConnections int           // in all; 0 = 20000
	MaxOfEndpoint  int           // of one endpoint; 0 = 1000
	Window         int           // frames that one connection may have unacknowledged; 0 = 64
	TokenLife      time.Duration // of a link token; 0 = 60 s
	WriteTimeout   time.Duration // for a client to take one frame; 0 = 10 s
	Silence        time.Duration // after which a client that says nothing, not even a ping, is gone; 0 = 90 s
	Doubt          time.Duration // the same while frames are unacknowledged: it is pinged after half of it; 0 = 20 s
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Accepting == nil {
		o.Accepting = func() error { return nil }
	}
	if o.Changed == nil {
		o.Changed = func(hook.EndpointID) {}
	}
	if o.Unacknowledged == nil {
		o.Unacknowledged = func(context.Context, hook.EndpointID, []hook.MessageID) {}
	}
	if o.Observe == nil {
		o.Observe = func(ServerEvent) {}
	}
	orDefault(&o.MaxConnections, 20_000)
	orDefault(&o.MaxOfEndpoint, 1000)
	orDefault(&o.Window, 64)
	orDefault(&o.TokenLife, 60*time.Second)
	orDefault(&o.WriteTimeout, 10*time.Second)
	orDefault(&o.Silence, 90*time.Second)
	orDefault(&o.Doubt, 20*time.Second)
	return o
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// ServerEvent is something that happened at the server, by its kind and what became of it. Both come from closed sets.
type ServerEvent struct{ Kind, Result string }

// The kinds and results of events.
const (
	EventRegister = "register" // ok, refused, unknown, busy, stopping, error
	EventUpgrade  = "upgrade"  // the same
	EventClose    = "close"    // client, silent, slow, protocol, server
	EventConsume  = "consume"  // success, fail, timeout, cut
	EventAck      = "ack"      // unknown: none was waited for
	EventProduce  = "produce"  // stored, refused, busy, error
	EventIgnored  = "ignored"  // malformed, binary, command

	resultOK       = "ok"
	resultRefused  = "refused"
	resultUnknown  = "unknown"
	resultBusy     = "busy"
	resultStopping = "stopping"
	resultError    = "error"

	closedClient   = "client"
	closedSilent   = "silent"
	closedSlow     = "slow"
	closedProtocol = "protocol"
	closedServer   = "server"
)

const (
	maxRemembered = 1000  // unacknowledged messages that are remembered of one endpoint
	maxTokens     = 10000 // link tokens that are out
	maxTokensOf   = 2000  // of one endpoint
	maxReading    = 128   // large frames that are read at the same time
)

// Server is the platform's end of Alipay's long connection: it registers clients, upgrades them, and delivers messages of their
// endpoints to them. Close it when nothing delivers any more.
type Server struct {
	o     ServerOptions
	began time.Time

	tokens  tokens
	reading chan struct{} // one for each large frame that is being read
	told    pace          // log lines about what single clients do wrong

	mu         sync.Mutex
	closed     bool
	of         map[hook.EndpointID]*crowd
	all        int                                             // connections, those that are being opened included
	remembered map[hook.EndpointID]map[hook.MessageID]struct{} // not acknowledged within the deadline
	doubted    map[hook.EndpointID]struct{}                    // whose rights are to be looked at again
	doubtAll   bool                                            // those of all; not at once, for every change of an application or a profile is one
	nudge      chan struct{}                                   // there are doubted ones
	running    sync.WaitGroup
	ending     chan struct{}
}

// crowd is the connections of one endpoint.
type crowd struct {
	joined int // those that are being opened included
	live   []*peer
	turn   int
}

// NewServer has no connections yet.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		o: o.withDefaults(), began: time.Now(), of: map[hook.EndpointID]*crowd{}, ending: make(chan struct{}),
		remembered: map[hook.EndpointID]map[hook.MessageID]struct{}{}, doubted: map[hook.EndpointID]struct{}{},
		reading: make(chan struct{}, maxReading), nudge: make(chan struct{}, 1),
	}
	s.tokens.init(s.o.TokenLife)
	s.running.Go(s.watch)
	return s
}

// Connected says whether an endpoint has a connection.
func (s *Server) Connected(ep hook.EndpointID) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live(ep)) > 0
}

// Count is how many connections there are.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// live returns the connections of an endpoint, which is never changed in place. The lock is held.
func (s *Server) live(ep hook.EndpointID) []*peer {
	if c := s.of[ep]; c != nil {
		return c.live
	}
	return nil
}

// Peer is one connection, as it is shown.
type Peer struct {
	Since    time.Time
	Remote   string // address and port
	InFlight int    // frames that are not yet acknowledged
	Heard    time.Time
	SDK      string // what the client calls itself
}

// Peers lists the connections of an endpoint, oldest first.
func (s *Server) Peers(ep hook.EndpointID) []Peer {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	list := s.live(ep)
	s.mu.Unlock()
	out := make([]Peer, len(list))
	for i, p := range list {
		out[i] = Peer{Since: p.since, Remote: p.remote, InFlight: p.inFlight(), Heard: s.began.Add(time.Duration(p.heard.Load())).Round(0), SDK: p.sdk}
	}
	return out
}

// The ways in which nobody can come in.
var (
	errStopping = errors.New("the server is stopping")
	errFull     = errors.New("there are too many connections")
)

// join counts a connection that is being opened.
func (s *Server) join(ep hook.EndpointID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.of[ep]
	switch {
	case s.closed:
		return errStopping
	case s.all >= s.o.MaxConnections, c != nil && c.joined >= s.o.MaxOfEndpoint:
		return errFull
	}
	if c == nil {
		c = &crowd{}
		s.of[ep] = c
	}
	c.joined++
	s.all++
	s.running.Add(1)
	return nil
}

// enter makes a connection that has joined one that is delivered over. It returns false when the server is closing.
func (s *Server) enter(p *peer) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	c := s.of[p.ep]
	c.live = append(slices.Clip(c.live), p)
	first := len(c.live) == 1
	again := slices.Collect(maps.Keys(s.remembered[p.ep]))
	delete(s.remembered, p.ep)
	s.mu.Unlock()
	if len(again) > 0 {
		slices.Sort(again)
		s.o.Unacknowledged(context.Background(), p.ep, again)
	}
	if first {
		s.o.Changed(p.ep)
	}
	return true
}

// leave takes a connection out again, whether it had entered or not.
func (s *Server) leave(ep hook.EndpointID, p *peer) {
	s.mu.Lock()
	c := s.of[ep]
	was := len(c.live)
	if p != nil {
		c.live = without(c.live, p)
	}
	none := was > 0 && len(c.live) == 0
	if c.joined--; c.joined == 0 {
		delete(s.of, ep)
	}
	s.all--
	s.mu.Unlock()
	if none {
		s.o.Changed(ep)
	}
	s.running.Done()
}

// remember keeps that a message was not acknowledged within its deadline.
func (s *Server) remember(ep hook.EndpointID, m hook.MessageID) {
	if m == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.remembered[ep]
	if set == nil {
		if len(s.remembered) >= s.o.MaxConnections {
			return
		}
		set = map[hook.MessageID]struct{}{}
		s.remembered[ep] = set
	}
	if len(set) < maxRemembered {
		set[m] = struct{}{}
	}
}

// forget drops it, because it was acknowledged since.
func (s *Server) forget(ep hook.EndpointID, m hook.MessageID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.remembered[ep]; set != nil {
		if delete(set, m); len(set) == 0 {
			delete(s.remembered, ep)
		}
	}
}

// everybody lists all connections.
func (s *Server) everybody() (all []*peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.of {
		all = append(all, c.live...)
	}
	return all
}

// Reconsider looks again at the rights of an endpoint's connections, or of all when ep is 0: an endpoint that is gone, disabled, no
// longer for long connections, or no longer trusts a key that it trusted when they came, has them closed. It does not block.
func (s *Server) Reconsider(ep hook.EndpointID) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if ep == 0 {
		s.doubtAll = true
	} else if s.of[ep] != nil {
		s.doubted[ep] = struct{}{}
		select {
		case s.nudge <- struct{}{}:
		default:
		}
	}
	s.mu.Unlock()
}

// reconsider does so. An endpoint that cannot be read is looked at in the next round.
func (s *Server) reconsider() {
	s.mu.Lock()
	list := slices.Collect(maps.Keys(s.doubted))
	if s.doubtAll {
		list = slices.Collect(maps.Keys(s.of))
	}
	s.doubtAll = false
	clear(s.doubted)
	s.mu.Unlock()
	for _, ep := range list {
		party, err := s.o.Party(context.Background(), ep)
		if err != nil && hook.KindOf(err) != hook.KindNotFound {
			s.mu.Lock()
			s.doubted[ep] = struct{}{} // in the next round
			s.mu.Unlock()
			continue
		}
		s.mu.Lock()
		live := s.live(ep)
		s.mu.Unlock()
		for _, p := range live {
			if err != nil || !p.stillMay(&party) {
				s.running.Go(func() {
					p.bye(websocket.StatusPolicyViolation, "the endpoint was changed: register again", closedServer)
				})
			}
		}
	}
}

// Cut ends the connections of an endpoint without a word, for tests of those who are connected.
func (s *Server) Cut(ep hook.EndpointID) {
	s.mu.Lock()
	list := s.live(ep)
	s.mu.Unlock()
	for _, p := range list {
		s.drop(p)
		p.cut(closedServer)
	}
}

// Close takes no new connection, closes all with 1001 and waits until they are gone, until ctx ends: then they are cut.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	s.mu.Unlock()
	gone := make(chan struct{})
	go func() { s.running.Wait(); close(gone) }()
	for _, p := range s.everybody() {
		go p.bye(websocket.StatusGoingAway, "the server is stopping", closedServer)
	}
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	for _, p := range s.everybody() {
		p.cut(closedServer)
	}
	<-gone
	return nil
}

// watch looks for connections that are dead, until the server closes.
func (s *Server) watch() {
	every := min(s.o.Silence, s.o.Doubt) / 4
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.ending:
			return
		case <-s.nudge:
			s.reconsider()
			continue
		case <-tick.C:
		}
		s.tokens.sweep(time.Now())
		for _, p := range s.everybody() {
			s.look(p)
		}
		s.reconsider()
	}
}

// look ends a connection over which nothing was heard for too long, and pings one that owes an acknowledgement.
func (s *Server) look(p *peer) {
	silent := time.Since(s.began) - time.Duration(p.heard.Load())
	switch owes := p.owes(); {
	case silent >= s.o.Silence || owes && silent >= s.o.Doubt && p.pinged.Load():
		p.log(slog.LevelWarn, "a long connection is silent, it is closed", "silent", silent.Round(time.Millisecond))
		p.cut(closedSilent)
	case owes && silent >= s.o.Doubt/2 && p.pinged.CompareAndSwap(false, true):
		s.running.Go(p.ping)
	}
}
