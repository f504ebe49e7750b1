package ingest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/ingest"
	"github.com/waypost/waypost/internal/lean"
)

const (
	doorName = "d00r"
	secret   = "correct-horse-battery-staple"
)

// courier is a small dialect that is nobody's: {"type","id","data"} under a hex HMAC in X-Courier-Signature, "ok" as its
// acknowledgement, and a challenge that needs no signature.
func courier() *dialect.Dialect {
	return &dialect.Dialect{
		Name:             "courier",
		SignatureHeaders: []string{"x-courier-signature"},
		Receive:          receiveCourier,
		Reply: func(_ dialect.Settings, o dialect.Outcome) dialect.Reply {
			word := map[dialect.Result]string{dialect.Stored: "ok", dialect.Duplicate: "ok again"}[o.Result]
			if word == "" {
				word = "no"
			}
			return dialect.Reply{Status: o.Result.DefaultStatus(), ContentType: "text/courier", Body: []byte(word)}
		},
		Policy: func(dialect.Settings) dialect.Policy {
			return dialect.Policy{
				Deadline: time.Second, Schedule: []time.Duration{time.Minute, time.Minute}, DedupFor: time.Hour,
			}
		},
	}
}

func receiveCourier(s dialect.Settings, in dialect.Inbound) (dialect.Received, error) {
	var letter struct {
		Type, ID  string
		Data      json.RawMessage
		Challenge json.RawMessage
	}
	var got dialect.Received
	err := json.Unmarshal(in.Body, &letter)
	if err != nil || letter.Type == "" && letter.Challenge == nil && letter.Data == nil {
		return got, dialect.Refuse(dialect.ReasonNotEnvelope, "body", "is no letter")
	}
	if letter.Challenge != nil {
		got.Reply = &dialect.Reply{Status: 200, ContentType: "application/json", Body: []byte(`{"challenge":` + string(letter.Challenge) + `}`)}
		return got, nil
	}
	if s.Get("secret") == "" {
		return got, dialect.Refuse(dialect.ReasonSettings, "setting secret", "is not set")
	}
	mac, _ := hex.DecodeString(in.Header.Get("X-Courier-Signature"))
	if !hmac.Equal(mac, courierMAC(s.Get("secret"), in.Body)) {
		return got, dialect.Refuse(dialect.ReasonSignature, "header X-Courier-Signature", "does not match")
	}
	if letter.Type == "panic" {
		panic("a fault of the dialect")
	}
	got.EventType, got.EventID, got.DedupKey, got.Payload = letter.Type, letter.ID, letter.ID, letter.Data
	if letter.Data != nil && letter.Data[0] != '{' {
		got.Payload, got.Unreadable = nil, "data is no object"
	}
	return got, nil
}

func courierMAC(key string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write(body)
	return m.Sum(nil)
}

func letter(id string) string {
	return `{"type":"parcel.sent","id":"` + id + `","data":{"n":"` + id + `"}}`
}

// station is a front door with what stands behind it, and everything that they let be seen.
type station struct {
	door   *ingest.Door
	books  *books
	logs   *lockedBuffer
	route  hook.Route
	source hook.SourceID
	app    hook.ApplicationID

	mu   sync.Mutex
	seen []ingest.Observation
}

// setup changes options before the door is made.
type setup func(*ingest.Options, *hook.Route)

func open(t testing.TB, changes ...setup) *station {
	t.Helper()
	st := &station{logs: &lockedBuffer{}, books: newBooks(t)}
	route := hook.Route{
		Source: hook.Source{
			ID:  hook.NewID[hook.SourceID](st.books.ids, time.Now()),
			App: hook.NewID[hook.ApplicationID](st.books.ids, time.Now()), Name: "parcels", Dialect: "courier", Door: doorName,
		},
		Settings: hook.Settings{"secret": {secret}},
	}
	o := ingest.Options{
		Routes:   st.books.Route,
		Accept:   st.books.Accept,
		Refuse:   st.books.Refuse,
		Dialects: map[string]*dialect.Dialect{"courier": courier()},
		IDs:      st.books.ids,
		Log:      slog.New(slog.NewJSONHandler(st.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(b ingest.Observation) {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.seen = append(st.seen, b)
		},
	}
	for _, change := range changes {
		change(&o, &route)
	}
	st.books.put(t, route)
	st.route, st.source, st.app = route, route.Source.ID, route.Source.App
	door, err := ingest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Close() })
	st.door = door
	return st
}

// last returns what the last request was counted as.
func (st *station) last(t testing.TB) ingest.Observation {
	t.Helper()
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.seen) == 0 {
		t.Fatal("nothing was observed")
	}
	return st.seen[len(st.seen)-1]
}

func (st *station) results() map[ingest.Result]int {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := map[ingest.Result]int{}
	for _, b := range st.seen {
		n[b.Result]++
	}
	return n
}

// do sends one request to the handler itself.
func (st *station) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	st.door.ServeHTTP(w, r)
	return w
}

// push is a rightly signed request.
func push(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, ingest.Path+doorName, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Courier-Signature", hex.EncodeToString(courierMAC(secret, []byte(body))))
	return r
}

func unsigned(body string) *http.Request {
	r := push(body)
	r.Header.Del("X-Courier-Signature")
	return r
}

func with(r *http.Request, headers ...string) *http.Request {
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// serve runs the station behind a server whose connections are made by dial.
func serve(t *testing.T, st *station) (dial func() net.Conn) {
	t.Helper()
	from := serveFrom(t, st)
	return func() net.Conn { return from("") }
}

// serveFrom is serve for clients with addresses. "" is a client without.
func serveFrom(t *testing.T, st *station) (dial func(client string) net.Conn) {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := lean.New(&http.Server{
		Handler: st.door, ErrorLog: serverLog(st.logs),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return func(client string) net.Conn {
		near, far := net.Pipe()
		if client != "" {
			far = &addressed{far, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(client), 4711))}
		}
		l.conns <- far
		t.Cleanup(func() { _ = near.Close() })
		return near
	}
}

// addressed is a connection of a client with an address.
type addressed struct {
	net.Conn
	remote net.Addr
}

func (c *addressed) RemoteAddr() net.Addr { return c.remote }

// pipes is a listener of in-memory connections, whose deadlines follow the clock of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
