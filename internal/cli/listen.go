package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/waypost/waypost/internal/app"
)

func listenCommand(s Streams) *cobra.Command {
	var t target
	var l listening
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Get an application's messages on this machine",
		Long: `Forward the messages of an application to a service on this machine, over one connection that goes out from here: no
public address is needed. What the service answers counts as the acknowledgement, like that of any endpoint: each message is
signed, tried again on the schedule, and its attempts are recorded. The messages wait on the server while nobody listens, and a
broken connection is opened again. The endpoint is made when it is not there yet, and stays.

With --observe the service gets unsigned copies of what is accepted from now on, and whatever it answers has no effect.`,
		Example: "  waypost listen --app shop-42 --forward http://127.0.0.1:3000/hook\n  waypost listen --app shop-42 --event-type order.paid --forward http://localhost:3000/hook --json\n  waypost listen --app shop-42 --observe --source alipay --forward http://127.0.0.1:3000/hook",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(); err != nil {
				return err
			}
			c, err := t.client(s)
			if err != nil {
				return err
			}
			l.s, l.c = s, c
			l.local = localClient(l.allowRemote)
			defer l.local.CloseIdleConnections()
			if l.observe {
				return l.copies(cmd.Context())
			}
			return l.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	t.registerServer(fs)
	fs.StringVar(&l.app, "app", "", "id or uid of the application")
	fs.StringVar(&l.forward, "forward", "", "`URL` of the service on this machine")
	fs.StringVar(&l.endpoint, "endpoint", "listen", "uid of the endpoint; who names the same one shares its messages")
	fs.StringSliceVar(&l.eventTypes, "event-type", nil, "only these `TYPES`; may be repeated")
	fs.StringVar(&l.source, "source", "", "with --observe: only what came in through this source, by id or uid")
	fs.BoolVar(&l.observe, "observe", false, "forward copies; answers have no effect")
	fs.BoolVar(&l.allowRemote, "allow-remote", false, "forward to other machines too")
	fs.BoolVar(&l.asJSON, "json", false, "print one JSON document a line")
	return cmd
}

// listening forwards the messages of an application.
type listening struct {
	app, forward, endpoint, source string
	eventTypes                     []string
	observe, allowRemote, asJSON   bool

	s     Streams
	c     *client
	local *http.Client

	print sync.Mutex
}

const listenPause = 15 * time.Second // between two tries at most, while the server does not answer

func (l *listening) check() error {
	if l.app == "" || l.forward == "" {
		return misused("--app and --forward are needed")
	}
	if l.source != "" && !l.observe {
		return misused("--source goes with --observe only: an endpoint gets messages by type, whatever their source")
	}
	u, err := url.Parse(l.forward)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return misused("--forward: %q is not an address such as http://127.0.0.1:3000/hook", l.forward)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if here := u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback(); !here && !l.allowRemote {
		return misused("--forward: %s is not this machine (127.0.0.1, ::1 or localhost); --allow-remote forwards there all the same", u.Hostname())
	}
	return nil
}

// localClient speaks to the service. It looks at the address that it really connects to, asks no proxy and follows no redirect.
func localClient(allowRemote bool) *http.Client {
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if allowRemote || err == nil && at.Addr().Unmap().IsLoopback() {
			return nil
		}
		return fmt.Errorf("%s is not this machine; --allow-remote forwards there all the same", address)
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// prepare finds the endpoint, or makes it.
func (l *listening) prepare(ctx context.Context) (path string, err error) {
	path = "/app/" + url.PathEscape(l.app) + "/endpoint/" + url.PathEscape(l.endpoint)
	var e struct {
		Transport   string
		FilterTypes []string
	}
	err = l.c.call(ctx, http.MethodGet, path, nil, &e)
	var said *refusal
	switch {
	case errors.As(err, &said) && said.status == http.StatusNotFound:
		body := map[string]any{"transport": "listen", "description": "waypost listen"}
		if len(l.eventTypes) > 0 {
			body["filterTypes"] = l.eventTypes
		}
		return path, l.c.call(ctx, http.MethodPut, path, body, nil)
	case err != nil:
		return path, err
	case e.Transport != "listen":
		return path, failed(fmt.Errorf("the endpoint %s is sent to, not listened for", l.endpoint), "--endpoint names another one, which is made when it is not there")
	case len(l.eventTypes) > 0:
		return path, l.c.call(ctx, http.MethodPatch, path, map[string]any{"filterTypes": l.eventTypes}, nil)
	}
	l.eventTypes = e.FilterTypes
	return path, nil
}

// run listens until ctx ends, or the server says that it must not.
func (l *listening) run(ctx context.Context) error {
	path, err := l.prepare(ctx)
	if err != nil {
		return l.c.advised(err, unknownApplication)
	}
	lost := false
	for pause := time.Second; ; pause = min(2*pause, listenPause) {
		begun, err := l.once(ctx, path, lost)
		var final *exitError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &final), !begun && !lost && !passing(err):
			return l.c.advised(err, unknownApplication)
		case begun:
			pause = time.Second
		}
		if !lost || begun {
			fmt.Fprintf(l.s.Err, "the connection to the server is lost, trying again: %v\n", err)
		}
		lost = true
		if wait(ctx, pause) != nil {
			return nil
		}
	}
}

// once opens one connection and serves it to its end. begun says that it was there.
func (l *listening) once(ctx context.Context, path string, again bool) (begun bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := l.connect(ctx, path)
	if err != nil {
		return false, err
	}
	link := &listenerLink{l: l, conn: conn, alive: time.AfterFunc(3*app.ListenPingEvery, func() { _ = conn.Close() })}
	defer link.alive.Stop()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	defer link.working.Wait()
	defer cancel() // before waiting: nobody hears the answers any more
	if again {
		fmt.Fprintln(l.s.Err, "the server answers again")
	} else {
		only := ""
		if len(l.eventTypes) > 0 {
			only = ", only " + strings.Join(l.eventTypes, ", ")
		}
		fmt.Fprintf(l.s.Err, "listening for %s of %s%s; Ctrl-C ends it\n", l.endpoint, l.app, only)
	}
	return true, link.serve(ctx)
}

// connect asks the server for the connection.
func (l *listening) connect(ctx context.Context, path string) (io.ReadWriteCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.c.base+"/api/v1"+path+"/listen", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.c.token)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", app.ListenProtocol)
	// HTTP/1.1 alone: HTTP/2 has no upgrade.
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 15 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode == http.StatusSwitchingProtocols && ok {
		return conn, nil
	}
	defer transport.CloseIdleConnections()
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	said := &refusal{"GET " + path + "/listen", resp.StatusCode, string(text)}
	if resp.StatusCode < 300 {
		return nil, failed(said, "something between here and the server does not pass on connections that are upgraded")
	}
	return nil, said
}

// listenerLink is one connection to the server.
type listenerLink struct {
	l       *listening
	conn    io.ReadWriteCloser
	alive   *time.Timer // closes the connection when nothing was heard for long
	write   sync.Mutex
	working sync.WaitGroup
}

func (k *listenerLink) serve(ctx context.Context) error {
	lines := bufio.NewReaderSize(k.conn, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return errors.New("it was closed")
		}
		k.alive.Reset(3 * app.ListenPingEvery)
		var f app.ListenFrame
		if err := json.Unmarshal(line, &f); err != nil {
			return errors.New("the server said what is none of its frames")
		}
		switch f.Kind {
		case app.FramePing:
			k.send(app.ListenFrame{Kind: app.FramePong})
		case app.FrameBye:
			if !f.Again {
				return failed(fmt.Errorf("the server ended it: %s", f.Reason), "")
			}
			return errors.New(f.Reason)
		case app.FrameRequest:
			k.working.Go(func() { k.send(k.l.forwarded(ctx, f)) })
		}
	}
}

func (k *listenerLink) send(f app.ListenFrame) {
	b, err := json.Marshal(f)
	if err != nil {
		return // frames hold texts only
	}
	k.write.Lock()
	defer k.write.Unlock()
	if _, err := k.conn.Write(append(b, '\n')); err != nil {
		_ = k.conn.Close()
	}
}

// maxForwarded is how much of an answer goes back.
const maxForwarded = 16 << 10

// forwarded makes the request to the service, and the frame of what it answered.
func (l *listening) forwarded(ctx context.Context, f app.ListenFrame) app.ListenFrame {
	began := time.Now()
	answer := app.ListenFrame{Kind: app.FrameAnswer, ID: f.ID}
	err := l.ask(ctx, &f, &answer)
	if err != nil {
		answer = app.ListenFrame{Kind: app.FrameFailure, ID: f.ID, Reason: err.Error()}
	}
	l.tell(f.Header, answer, time.Since(began))
	return answer
}

func (l *listening) ask(ctx context.Context, f, answer *app.ListenFrame) error {
	if f.TimeoutMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(f.TimeoutMs)*time.Millisecond)
		defer cancel()
	}
	to, err := url.Parse(l.forward)
	if err != nil {
		return err
	}
	if f.Query != "" {
		to.RawQuery = strings.TrimPrefix(to.RawQuery+"&"+f.Query, "&")
	}
	req, err := http.NewRequestWithContext(ctx, f.Method, to.String(), bytes.NewReader(f.Body))
	if err != nil {
		return err
	}
	for name, values := range f.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := l.local.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address, which is of no use to the server
		}
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxForwarded+1))
	if err != nil {
		return fmt.Errorf("its answer broke off: %w", err)
	}
	answer.Status, answer.Body = resp.StatusCode, body
	if len(body) > maxForwarded {
		answer.Body, answer.Truncated = body[:maxForwarded], true
	}
	answer.Header = http.Header{}
	for _, name := range []string{"Content-Type", "Retry-After", "Webhook-Delivery"} { // all that a verdict may depend on
		if v := resp.Header.Values(name); len(v) > 0 && len(v[0]) < 1<<10 {
			answer.Header.Set(name, v[0])
		}
	}
	return nil
}

// listened is a line of the output.
type listened struct {
	At        time.Time `json:"at"`
	EventType string    `json:"eventType"`
	Message   string    `json:"message"`
	Status    int       `json:"status"` // 0 = no answer
	Ms        int64     `json:"ms"`
	Error     string    `json:"error,omitempty"`
}

func (l *listening) tell(h http.Header, a app.ListenFrame, took time.Duration) {
	first := func(names ...string) string {
		for name, v := range h {
			for _, n := range names {
				if strings.EqualFold(name, n) && len(v) > 0 {
					return v[0]
				}
			}
		}
		return "-"
	}
	eventType := first("waypost-event-type")
	if plain, err := url.PathUnescape(eventType); err == nil {
		eventType = plain
	}
	line := listened{time.Now().UTC(), eventType, first("webhook-id", "svix-id"), a.Status, took.Milliseconds(), a.Reason}
	l.print.Lock()
	defer l.print.Unlock()
	if l.asJSON {
		_ = json.NewEncoder(l.s.Out).Encode(line)
		return
	}
	what := fmt.Sprint(line.Status)
	if line.Status == 0 {
		what = "no answer: " + printable(line.Error)
	}
	fmt.Fprintf(l.s.Out, "%s  %s  %s  %s  %d ms\n", line.At.Format("15:04:05.000"), printable(eventType), line.Message, what, line.Ms)
}

// copies follows the application's messages from now on and forwards a copy of each, one after the other.
func (l *listening) copies(ctx context.Context) error {
	base := "/app/" + url.PathEscape(l.app)
	source := ""
	if l.source != "" {
		var src struct{ ID string }
		if err := l.c.call(ctx, http.MethodGet, base+"/source/"+url.PathEscape(l.source), nil, &src); err != nil {
			return l.c.advised(err, "there is no such source or application")
		}
		source = src.ID
	}
	var newest page[struct{}]
	if err := l.c.call(ctx, http.MethodGet, base+"/msg?limit=1&order=descending&with_content=false", nil, &newest); err != nil {
		return l.c.advised(err, unknownApplication)
	}
	query := url.Values{"limit": {"50"}, "order": {"ascending"}}
	if len(l.eventTypes) > 0 {
		query["event_types"] = l.eventTypes
	}
	iterator, lost := newest.Iterator, false
	fmt.Fprintf(l.s.Err, "observing %s; Ctrl-C ends it\n", l.app)
	for pause := time.Second; ; {
		if iterator != "" {
			query.Set("iterator", iterator)
		}
		var p page[copied]
		err := l.c.call(ctx, http.MethodGet, base+"/msg?"+query.Encode(), nil, &p)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !passing(err):
			return l.c.advised(err, unknownApplication)
		case err != nil && !lost:
			fmt.Fprintf(l.s.Err, "the server does not answer, trying again: %v\n", err)
		}
		if lost = err != nil; lost {
			pause = min(2*pause, listenPause)
		} else {
			pause = time.Second
		}
		for _, m := range p.Data {
			if source == "" || m.Source == source {
				_ = l.forwarded(ctx, m.frame()) // its answer has no effect
			}
		}
		if p.Iterator != "" {
			iterator = p.Iterator
		}
		if len(p.Data) > 0 && !p.Done {
			continue
		}
		if wait(ctx, pause) != nil {
			return nil
		}
	}
}

// copied is a message of the list.
type copied struct {
	ID, EventType, Source string
	Payload               json.RawMessage
}

// observeTimeout is how long a copy may take; those behind it wait.
const observeTimeout = 15 * time.Second

func (m copied) frame() app.ListenFrame {
	return app.ListenFrame{
		Method: http.MethodPost, Body: m.Payload, TimeoutMs: observeTimeout.Milliseconds(),
		Header: http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {m.ID}, "Waypost-Event-Type": {url.PathEscape(m.EventType)}},
	}
}
