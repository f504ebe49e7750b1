package longconn

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/alipay"
	"github.com/waypost/waypost/internal/hook"
)

// Mount adds the two ways in.
func (s *Server) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET "+alipay.RegisterPath, s.register)
	mux.HandleFunc("GET "+alipay.UpgradePath, s.upgrade)
}

// mayServe says whether an endpoint takes connections at all.
func mayServe(p *Party) bool {
	return p.Endpoint.Transport == hook.TransportLongConn && !p.Endpoint.Disabled
}

// denial is why somebody does not come in: in the codes of the open API, and as the status of an answer to an upgrade.
type denial struct {
	code, msg, subCode string
	status             int
	result             string
}

var (
	denyUnknown  = denial{"40002", "Invalid Arguments", "isv.invalid-app-id", http.StatusForbidden, resultUnknown}
	denySign     = denial{"40002", "Invalid Arguments", "isv.invalid-signature", http.StatusForbidden, resultRefused}
	denyTime     = denial{"40002", "Invalid Arguments", "isv.invalid-timestamp", http.StatusForbidden, resultRefused}
	denyForm     = denial{"40002", "Invalid Arguments", "isv.invalid-parameter", http.StatusBadRequest, resultRefused}
	denyToken    = denial{"40002", "Invalid Arguments", "isv.invalid-link-token", http.StatusForbidden, resultRefused}
	denyBusy     = denial{"40004", "Business Failed", "isv.too-many-connections", http.StatusTooManyRequests, resultBusy}
	denyStopping = denial{"20000", "Service Currently Unavailable", "isp.unavailable", http.StatusServiceUnavailable, resultStopping}
	denyError    = denial{"20000", "Service Currently Unavailable", "isp.unknow-error", http.StatusServiceUnavailable, resultError}
)

// denied is why, with a sentence.
type denied struct {
	denial
	text string
}

// Error returns the sentence.
func (d *denied) Error() string { return d.text }

// register answers the first request of a client: with a token for the second.
func (s *Server) register(w http.ResponseWriter, r *http.Request) {
	q, party, err := s.identify(r, alipay.VerifyRegister)
	var body []byte
	if err == nil {
		body, err = s.ticket(q, party)
	}
	why := s.judged(r, EventRegister, q.AppID, err)
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	if why != nil {
		body = alipay.RegisterRefusal(why.code, why.msg, why.subCode, why.text)
	} else if s.o.Zone != "" {
		h.Set("Set-Cookie", alipay.SetZone(s.o.Zone))
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // status 200 always: the Java client loses the body of any other answer
}

// ticket makes the answer that lets an application in.
func (s *Server) ticket(q alipay.Query, party *Party) ([]byte, error) {
	s.mu.Lock()
	c, full, closed := s.of[party.Endpoint.ID], s.all >= s.o.MaxConnections, s.closed
	full = full || c != nil && c.joined >= s.o.MaxOfEndpoint
	s.mu.Unlock()
	switch {
	case closed:
		return nil, errStopping
	case full:
		return nil, errFull
	}
	token := rand.Text()
	body, err := alipay.RegisterAnswer(party.Settings, q, token)
	if err != nil {
		return nil, err
	}
	if !s.tokens.issue(token, party.Endpoint.ID, time.Now()) {
		return nil, errFull
	}
	return body, nil
}

// upgrade turns the second request of a client into its connection.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	q, party, err := s.identify(r, alipay.VerifyUpgrade)
	if err == nil && !s.tokens.use(q.LinkToken, party.Endpoint.ID, time.Now()) {
		err = &denied{denyToken, "link_token was not issued to this application, was used before, or is older than " + s.o.TokenLife.String() + ": register again"}
	}
	if err == nil {
		err = s.join(party.Endpoint.ID)
	}
	if why := s.judged(r, EventUpgrade, q.AppID, err); why != nil {
		http.Error(w, why.subCode+": "+why.text, why.status)
		return
	}
	p := &peer{
		s: s, ep: party.Endpoint.ID, app: party.Endpoint.App, appID: q.AppID, keys: party.Settings.All("app_public_key"),
		since: s.o.Now(), remote: s.client(r), sdk: clip(q.SDKVersion), gone: make(chan struct{}),
	}
	p.ws, err = websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // of the Origin: a page has no key to sign the query with, and no cookie gives it a right
		OnPingReceived:     func(context.Context, []byte) bool { p.hear(); return true },
		OnPongReceived:     func(context.Context, []byte) { p.hear() },
	})
	if err != nil { // it has been answered
		s.leave(p.ep, nil)
		return
	}
	// A goroutine of its own, so that what the request was is freed with the handler's.
	s.running.Add(1)
	go p.serve()
}

// client says who asks.
func (s *Server) client(r *http.Request) string {
	if s.o.Client == nil {
		return r.RemoteAddr
	}
	return s.o.Client(r)
}

// identify finds the endpoint that a query is for: of those with its app_id the one whose key it is signed with.
func (s *Server) identify(r *http.Request, verify func(dialect.Settings, alipay.Query, time.Time) error) (alipay.Query, *Party, error) {
	q, err := alipay.ReadQuery(r.URL.RawQuery)
	if err != nil {
		return q, nil, err
	}
	parties, err := s.o.Parties(r.Context(), q.AppID)
	if err != nil {
		return q, nil, err
	}
	var found *Party
	var wrong error = &denied{denyUnknown, "no endpoint of this server takes long connections of this app_id"}
	for i := range parties {
		p := &parties[i]
		if !mayServe(p) {
			continue
		}
		if err := verify(p.Settings, q, s.o.Now()); err != nil {
			wrong = err
			continue
		}
		if found != nil {
			return q, nil, &denied{denyError, "two endpoints of this server have this app_id and this key under different profiles: disable one"}
		}
		found = p
	}
	if found == nil {
		return q, nil, wrong
	}
	return q, found, nil
}

// judged puts an error into the words of the platform, logs and counts it. nil = there is none.
func (s *Server) judged(r *http.Request, event, appID string, err error) *denied {
	if err == nil {
		s.o.Observe(ServerEvent{event, resultOK})
		return nil
	}
	var out *denied
	var refused *dialect.Error
	switch {
	case errors.As(err, &out):
	case errors.Is(err, errStopping):
		out = &denied{denyStopping, err.Error()}
	case errors.Is(err, errFull):
		out = &denied{denyBusy, err.Error()}
	case errors.As(err, &refused):
		out = &denied{denialOf(refused.Reason), refused.Error()}
	default:
		out = &denied{denyError, "an error of this server, try again"}
	}
	if out.denial == denyError && refused != nil {
		out.text = "an error of this server's settings, its operator can see it" // they are nobody's business outside
	}
	s.o.Observe(ServerEvent{event, out.result})
	if s.told.allow(time.Now()) {
		level := slog.LevelWarn
		if out.denial == denyError {
			level = slog.LevelError
		}
		s.o.Log.Log(r.Context(), level, "a long connection is refused", "step", event, "app_id", clip(appID), "remote", s.client(r), "code", out.subCode, "err", err)
	}
	return out
}

func denialOf(reason dialect.Reason) denial {
	switch reason {
	case dialect.ReasonSignature:
		return denySign
	case dialect.ReasonReplay:
		return denyTime
	case dialect.ReasonSettings:
		return denyError
	}
	return denyForm
}

// tokens are link tokens that are out. Each lets one connection in.
type tokens struct {
	life time.Duration

	mu  sync.Mutex
	out map[string]issued
	of  map[hook.EndpointID]int
}

type issued struct {
	ep    hook.EndpointID
	until time.Time
}

func (t *tokens) init(life time.Duration) {
	t.life, t.out, t.of = life, map[string]issued{}, map[hook.EndpointID]int{}
}

// issue keeps a token. It fails when there are too many out.
func (t *tokens) issue(token string, ep hook.EndpointID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.out) >= maxTokens || t.of[ep] >= maxTokensOf {
		t.drop(now)
		if len(t.out) >= maxTokens || t.of[ep] >= maxTokensOf {
			return false
		}
	}
	t.out[token] = issued{ep, now.Add(t.life)}
	t.of[ep]++
	return true
}

// use takes a token back, and says whether it is one of an endpoint that still holds.
func (t *tokens) use(token string, ep hook.EndpointID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.out[token]
	if !ok || i.ep != ep {
		return false // somebody else's stays good
	}
	t.remove(token, i)
	return now.Before(i.until)
}

// sweep drops those that have run out.
func (t *tokens) sweep(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(now)
}

func (t *tokens) drop(now time.Time) {
	for token, i := range t.out {
		if !now.Before(i.until) {
			t.remove(token, i)
		}
	}
}

func (t *tokens) remove(token string, i issued) {
	delete(t.out, token)
	if t.of[i.ep]--; t.of[i.ep] <= 0 {
		delete(t.of, i.ep)
	}
}
