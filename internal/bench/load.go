package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waypost/waypost/dialect"
)

// Job is a load: how many messages, of which kind, where to and how fast.
type Job struct {
	ID      uint32           `json:"id"`
	Count   int              `json:"count"`
	URL     string           `json:"url"`
	Dialect string           `json:"dialect"` // which signs; "" = publish through the API
	Sending dialect.Settings `json:"sending"`
	Header  http.Header      `json:"header"` // further headers of every request, such as a token
	Workers int              `json:"workers"`
	Rate    int              `json:"rate"`  // a second, whatever the answers take; 0 = every worker sends when it has its answer
	Kinds   int              `json:"kinds"` // event types that the messages have in turn; 0 = those of the examples
	Judge   bool             `json:"judge"` // an acknowledgement is what the dialect takes for one; false = any 2xx
	Limit   time.Duration    `json:"limit"` // a closed loop ends then, even if messages are left
}

// Pushed is what a load saw of its answers. Times count from when a request was sent, or was due at a fixed rate.
type Pushed struct {
	Acknowledged int           `json:"acknowledged"`
	Failed       int           `json:"failed"`
	Error        string        `json:"error,omitempty"` // of one that failed
	Took         time.Duration `json:"took_ns"`         // from the first request to the last answer
	Ack          Times         `json:"ack"`
}

// Reckoned is what became of the acknowledged messages, by what the sink noted.
type Reckoned struct {
	Missing  int           `json:"missing"` // acknowledged and not arrived, by endpoint
	Altered  int           `json:"altered"` // arrived with another body
	Took     time.Duration `json:"took_ns"` // from the first request to the last arrival
	EndToEnd Times         `json:"endToEnd"`
}

// Reckoning asks for a Reckoned.
type Reckoning struct {
	Sink      string `json:"sink"`
	Endpoints int    `json:"endpoints"` // each gets every message; 0 = 1
	Wire      bool   `json:"wire"`      // the request's own body arrives; false = the payload
	Ignore    []int  `json:"ignore"`    // event types whose endpoint takes nothing
}

// Loader is the load generator. It is driven over HTTP, so that the one who drives it can look at the processes between
// making a load and sending it: POST /prepare (Job), POST /run → Pushed, POST /reckon (Reckoning) → Reckoned.
type Loader struct {
	Dialects map[string]*dialect.Dialect

	job      Job
	messages []message
	began    time.Time
}

// message is a request that is made before the load begins: what signing costs is not measured.
type message struct {
	header     http.Header
	query      string
	body       []byte
	wire       uint32 // CRC-32 of the body, and of the payload
	payload    uint32
	start, ack int64 // Unix ns; 0 = not sent, not acknowledged
}

// Handler serves the loader. One request at a time.
func (l *Loader) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /prepare", func(w http.ResponseWriter, r *http.Request) {
		var j Job
		err := json.NewDecoder(r.Body).Decode(&j)
		if err == nil {
			err = l.prepare(j)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /run", func(w http.ResponseWriter, r *http.Request) {
		out, err := l.run(r.Context())
		answer(w, out, err)
	})
	mux.HandleFunc("POST /reckon", func(w http.ResponseWriter, r *http.Request) {
		var how Reckoning
		err := json.NewDecoder(r.Body).Decode(&how)
		var out Reckoned
		if err == nil {
			out, err = l.reckon(r.Context(), how)
		}
		answer(w, out, err)
	})
	return mux
}

func answer(w http.ResponseWriter, out any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(out)
}

// prepare makes the messages of a job on all processors.
func (l *Loader) prepare(j Job) error {
	d := l.Dialects[j.Dialect]
	if d == nil && j.Dialect != "" {
		return fmt.Errorf("there is no dialect %q", j.Dialect)
	}
	if j.Count < 1 || j.Workers < 1 || j.Rate < 0 {
		return errors.New("a job needs messages and workers")
	}
	l.job, l.messages = j, make([]message, j.Count)
	const part = 500
	errs := make(chan error, j.Count/part+1)
	slots := make(chan struct{}, 2)
	parts := 0
	for from := 0; from < j.Count; from += part {
		parts++
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			errs <- l.makeSome(d, from, min(from+part, j.Count))
		}()
	}
	var err error
	for range parts {
		err = errors.Join(err, <-errs)
	}
	return err
}

func (l *Loader) makeSome(d *dialect.Dialect, from, to int) error {
	var examples []dialect.Example
	if d != nil {
		examples = d.Examples
	}
	b := newBodies(uint64(l.job.ID)<<32|uint64(from), examples, l.job.Kinds)
	for n := from; n < to; n++ {
		e := b.next(l.job.ID, n)
		m := &l.messages[n]
		if d == nil {
			m.body = fmt.Appendf(nil, `{"eventType":%q,"eventId":%q,"payload":%s}`, e.EventType, mark(l.job.ID, n), e.Payload)
			m.header = http.Header{"Content-Type": {"application/json"}}
		} else {
			req, err := b.sign(d, l.job.Sending, e)
			if err != nil {
				return err
			}
			m.header, m.query, m.body = req.Header, req.Query, req.Body
		}
		for name, values := range l.job.Header {
			m.header[name] = values
		}
		m.wire, m.payload = crc32.Checksum(m.body, castagnoli), crc32.Checksum(e.Payload, castagnoli)
	}
	return nil
}

// run sends what was prepared.
func (l *Loader) run(ctx context.Context) (Pushed, error) {
	j := l.job
	target, err := url.Parse(j.URL)
	if err != nil || len(l.messages) == 0 {
		return Pushed{}, errors.Join(errors.New("nothing is prepared"), err)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: j.Workers, MaxIdleConns: j.Workers, DisableCompression: true}}
	defer client.CloseIdleConnections()
	shots := l.shots(ctx)
	var failed atomic.Int64
	var anError atomic.Pointer[string]
	var all sync.WaitGroup
	l.began = time.Now()
	for range j.Workers {
		all.Go(func() {
			for {
				n, start, ok := shots()
				if !ok {
					return
				}
				m := &l.messages[n]
				m.start = start.UnixNano()
				if err := l.post(ctx, client, target, m); err != nil {
					failed.Add(1)
					text := err.Error()
					anError.Store(&text)
					continue
				}
				m.ack = time.Now().UnixNano()
			}
		})
	}
	all.Wait()
	out := Pushed{Failed: int(failed.Load()), Took: time.Since(l.began)}
	if text := anError.Load(); text != nil {
		out.Error = *text
	}
	var took []time.Duration
	for i := range l.messages {
		if m := &l.messages[i]; m.ack != 0 {
			took = append(took, time.Duration(m.ack-m.start))
		}
	}
	out.Acknowledged, out.Ack = len(took), timesOf(took)
	return out, ctx.Err()
}

// shots hands out the messages: in a closed loop to whoever asks, at a fixed rate when each is due.
func (l *Loader) shots(ctx context.Context) func() (n int, start time.Time, ok bool) {
	if l.job.Rate == 0 {
		var next atomic.Int64
		end := time.Now().Add(l.job.Limit)
		return func() (int, time.Time, bool) {
			n, now := int(next.Add(1))-1, time.Now()
			return n, now, n < len(l.messages) && now.Before(end) && ctx.Err() == nil
		}
	}
	type shot struct {
		n   int
		due time.Time
	}
	due := make(chan shot, len(l.messages)) // never full: when all workers are busy a message starts late, and counts from when it was due
	go func() {
		defer close(due)
		start := time.Now()
		for n := range l.messages {
			at := start.Add(time.Duration(n) * time.Second / time.Duration(l.job.Rate))
			for wait := time.Until(at); wait > 0; wait = time.Until(at) {
				sleep(wait)
			}
			if ctx.Err() != nil {
				return
			}
			due <- shot{n, at}
		}
	}()
	return func() (int, time.Time, bool) {
		s, ok := <-due
		return s.n, s.due, ok
	}
}

func (l *Loader) post(ctx context.Context, client *http.Client, target *url.URL, m *message) error {
	to := *target
	if m.query != "" {
		to.RawQuery = m.query
	}
	req := (&http.Request{
		Method: http.MethodPost, URL: &to, Host: to.Host, Header: m.header, ContentLength: int64(len(m.body)),
		Body: io.NopCloser(bytes.NewReader(m.body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	ok := resp.StatusCode/100 == 2
	if l.job.Judge {
		d := l.Dialects[l.job.Dialect]
		ok = d.Judge(l.job.Sending, dialect.Response{Status: resp.StatusCode, Header: resp.Header, Body: text}).Kind == dialect.Accepted
	}
	if !ok {
		return fmt.Errorf("answered %s: %.200s", resp.Status, text)
	}
	return nil
}

// reckon compares what was acknowledged with what the sink has.
func (l *Loader) reckon(ctx context.Context, how Reckoning) (out Reckoned, err error) {
	how.Endpoints = max(1, how.Endpoints)
	arrivals, err := fetch(ctx, how.Sink+"/arrivals")
	if err != nil {
		return out, err
	}
	if want := len(l.messages) * how.Endpoints * arrivalSize; len(arrivals) != want {
		return out, fmt.Errorf("the sink told of %d bytes of arrivals, not %d", len(arrivals), want)
	}
	var took []time.Duration
	last := l.began.UnixNano()
	for e := range how.Endpoints {
		for n := range l.messages {
			m := &l.messages[n]
			if m.ack == 0 || ignored(l.job.Kinds, how.Ignore, n) {
				continue
			}
			at := arrivals[(e*len(l.messages)+n)*arrivalSize:]
			when, sum := int64(binary.LittleEndian.Uint64(at)), binary.LittleEndian.Uint32(at[8:])
			if when == 0 {
				out.Missing++
				continue
			}
			if how.Wire && sum != m.wire || !how.Wire && sum != m.payload {
				out.Altered++
			}
			took = append(took, time.Duration(when-m.start))
			last = max(last, when)
		}
	}
	out.Took, out.EndToEnd = time.Duration(last-l.began.UnixNano()), timesOf(took)
	return out, nil
}

// ignored says whether nothing is to arrive of a message.
func ignored(kinds int, ignore []int, n int) bool {
	return kinds > 0 && slices.Contains(ignore, n%kinds)
}

func fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %.300s", address, resp.Status, body)
	}
	return body, err
}
