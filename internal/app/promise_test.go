package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waypost/waypost/internal/hook"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/store/sqlite"
)

// answers posts one new message by every way and returns the statuses.
func (s *station) answers(round string) map[string]int {
	s.t.Helper()
	out := map[string]int{}
	for _, w := range s.around.Ways {
		key := round + w.Name
		payload := fmt.Appendf(nil, `{"key":%q}`, key)
		s.ledger.Sent(key, w.Name, w.Endpoint, payload)
		req, err := w.Request(s.t.Context(), key, payload)
		if err != nil {
			s.t.Fatal(err)
		}
		resp, err := s.client.Do(req)
		if err != nil {
			s.t.Fatalf("%s: %v", w.Name, err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		out[w.Name] = resp.StatusCode
		if w.Accepted(resp.StatusCode, body) {
			s.ledger.Acknowledged(key)
		}
	}
	return out
}

// TestAStoreThatTakesNothingIsAnswered5xx: a platform repeats after a 5xx. After a 4xx it may give up, and after a 2xx it
// will.
func TestAStoreThatTakesNothingIsAnswered5xx(t *testing.T) {
	t.Parallel()
	s := newStation(t, 1, Faults{})
	defer s.abandon()
	want := func(round string, is func(status int) bool) {
		t.Helper()
		for way, status := range s.answers(round) {
			if !is(status) {
				t.Errorf("%s: %s was answered %d", round, way, status)
			}
		}
	}
	fine := func(status int) bool { return status/100 == 2 }
	unavailable := func(status int) bool { return status == http.StatusServiceUnavailable }
	want("before", fine)
	s.disk.SetFree(0)
	time.Sleep(150 * time.Millisecond) // free space is asked for at most every 100 ms
	want("full", unavailable)
	s.disk.SetFree(-1)
	time.Sleep(150 * time.Millisecond)
	want("again", fine)
	if v := s.settle(30 * time.Second); !v.OK() {
		t.Error(v)
	}
	s.disk.Cut()
	want("broken", unavailable)
}

// TestWhatIsPostedIsWhatIsSignedAndSent: spacing, order, spelling of numbers and escapes stay, and the signature is over
// these bytes.
func TestWhatIsPostedIsWhatIsSignedAndSent(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	for i, odd := range []string{
		"{ \"key\" : %q ,\n\t\"n\":1.500, \"big\":12345678901234567890, \"e\":1E+2 }",
		`{"z":1,"key":%q,"a":"\u4e2d\/文<&>","dup":1,"dup":2}`,
	} {
		key := fmt.Sprint("odd-", i)
		payload := fmt.Appendf(nil, odd, key)
		for _, w := range s.around.Ways {
			if w.Name != "api-to-standard" {
				continue
			}
			s.ledger.Sent(key, w.Name, w.Endpoint, payload)
			req, err := w.Request(t.Context(), key, payload)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusAccepted {
				t.Fatalf("answered %s", resp.Status)
			}
			s.ledger.Acknowledged(key)
		}
	}
	if v := s.settle(30 * time.Second); !v.OK() || v.Delivered != 2 {
		t.Error(v)
	}
}

// publish posts one message for an endpoint of the sending application.
func (s *station) publish(key, eventType, endpoint string) {
	s.t.Helper()
	w := s.around.API(eventType, eventType, endpoint)
	p := &proof.Producers{Ledger: s.ledger, Client: s.client}
	p.Post(s.t.Context(), &w, key, false)
}

func (s *station) mayAdd(name string, extra map[string]any) {
	s.t.Helper()
	extra["filterTypes"] = []string{name}
	if err := s.around.Endpoint(proof.SendingApp, name, "pandapon", extra); err != nil {
		s.t.Fatal(err)
	}
}

// TestAManualResendThatFailsDoesNotEndTheSchedule and comes beside it.
func TestAManualResendThatFailsDoesNotEndTheSchedule(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	var came atomic.Int64
	s.failed = func(key string, n int) bool {
		if key != "resent" {
			return false
		}
		came.Store(int64(n))
		return n < 3
	}
	s.mayAdd("patient", map[string]any{"retrySchedule": []float64{1, 0.1}})
	s.publish("resent", "patient", "patient")
	s.await(func() bool { return came.Load() == 1 && len(s.attempts("resent")) == 1 })
	s.ledger.Resent("resent")
	if status, body := s.call(http.MethodPost, "/app/shop/msg/resent/endpoint/patient/resend", map[string]any{}); status != http.StatusAccepted {
		t.Fatalf("resend: %d %s", status, body)
	}
	s.await(func() bool { return came.Load() == 2 && len(s.attempts("resent")) == 2 })
	if d := s.deliveries("resent"); d[0].State != "pending" || d[0].Attempts != 1 {
		t.Errorf("after the resend: %+v", d)
	}
	if v := s.settle(30 * time.Second); !v.OK() || v.Delivered != 1 {
		t.Error(v)
	}
}

func (s *station) await(is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("it did not come to that")
		}
	}
}

// TestWhatCannotBeDeliveredFailsInSight: every acknowledged message ends as delivered or as failed with its attempts, and
// never has more of them than the schedule gives.
func TestWhatCannotBeDeliveredFailsInSight(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	s.failed = func(key string, _ int) bool { return strings.HasPrefix(key, "hopeless") }
	s.mayAdd("hopeless", map[string]any{"retrySchedule": []float64{0.02, 0.03}})
	for i := range 20 {
		s.publish(fmt.Sprint("hopeless-", i), "hopeless", "hopeless")
	}
	for i := range 20 {
		key := fmt.Sprint("hopeless-", i)
		s.await(func() bool { return s.deliveries(key)[0].State == "failed" })
		if n := len(s.attempts(key)); n != 3 {
			t.Errorf("%s: %d attempts", key, n)
		}
		s.ledger.Failed(key)
	}
	if v := s.ledger.Verdict(); !v.OK() || v.Failed != 20 || v.Arrivals != 60 {
		t.Errorf("%v, %d arrivals", v, v.Arrivals)
	}
}

// TestNothingIsSentAfterItWasForbidden: not after disable, pause or delete has answered, under a load of retries.
func TestNothingIsSentAfterItWasForbidden(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	for _, name := range []string{"disabled", "paused", "deleted"} {
		s.mayAdd(name, map[string]any{"retrySchedule": []float64{0.01, 0.01, 0.01, 0.01, 0.01, 0.1, 0.1, 0.1, 0.1, 0.1, 1, 1, 1, 1, 1, 1}})
	}
	s.failed = func(_ string, n int) bool { return n < 8 }
	ctx, stop := context.WithCancel(t.Context())
	p := &proof.Producers{Ledger: s.ledger, Client: s.client, Pause: 2 * time.Millisecond, Ways: []proof.Way{
		s.around.API("disabled", "disabled", "disabled"), s.around.API("paused", "paused", "paused"), s.around.API("deleted", "deleted", "deleted"),
	}}
	var load sync.WaitGroup
	load.Go(func() { p.Run(ctx) })
	for s.ledger.Count() < 60 {
		time.Sleep(time.Millisecond)
	}
	forbidden := map[string]time.Time{}
	do := func(method, name string, in any) {
		t.Helper()
		if status, body := s.call(method, "/app/shop/endpoint/"+name, in); status/100 != 2 {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		s.ledger.Closed(name)
		forbidden[name] = time.Now()
	}
	do(http.MethodPatch, "disabled", map[string]any{"disabled": true})
	do(http.MethodPatch, "paused", map[string]any{"paused": true})
	do(http.MethodDelete, "deleted", nil)
	time.Sleep(600 * time.Millisecond)
	stop()
	load.Wait()
	time.Sleep(300 * time.Millisecond)
	if v := s.ledger.Verdict(); len(v.Late)+len(v.Early)+len(v.Again)+len(v.TooMany)+len(v.Unsigned)+len(v.Altered) > 0 {
		t.Error(v)
	}
	// The ledger gives requests time to arrive. The server's own books leave no doubt about when attempts began.
	for _, name := range []string{"disabled", "paused"} {
		begun := s.begun(name)
		if len(begun) == 0 {
			t.Errorf("%s: no attempt was ever made", name)
		}
		for _, at := range begun {
			if at.After(forbidden[name]) {
				t.Errorf("%s: an attempt began %v after the answer", name, at.Sub(forbidden[name]))
			}
		}
	}
	s.ledger.Opened("paused")
	if status, body := s.call(http.MethodPatch, "/app/shop/endpoint/paused", map[string]any{"paused": false}); status/100 != 2 {
		t.Fatalf("resume: %d %s", status, body)
	}
	s.await(func() bool {
		for _, key := range s.ledger.Unsettled() {
			if strings.HasPrefix(key, "paused") {
				return false
			}
		}
		return true
	})
}

// begun returns when the latest attempts to an endpoint of the sending application began.
func (s *station) begun(endpoint string) (times []time.Time) {
	s.t.Helper()
	var page struct {
		Data []struct{ Timestamp time.Time }
	}
	s.app.get(s.t, "/api/v1/app/shop/attempt/endpoint/"+endpoint+"?limit=250", &page)
	for _, a := range page.Data {
		times = append(times, a.Timestamp)
	}
	return times
}

// TestAHeaderThatIsNoTextDoesNotHideAnAnswer: bytes outside of UTF-8 in a receiver's header, and in a platform's.
func TestAHeaderThatIsNoTextDoesNotHideAnAnswer(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	url := misbehave(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Name: caf\xe9 \xff\xfe\r\nContent-Type: text/plain; charset=\xe9\r\nContent-Length: 3\r\n\r\n\xff\xfeA")
	})
	s.mayAdd("latin", map[string]any{"url": url})
	s.publish("latin-1", "latin", "latin")
	s.await(func() bool { return s.deliveries("latin-1")[0].State == "delivered" })
	if a := s.attempts("latin-1"); len(a) != 1 || a[0].ResponseStatusCode != 200 {
		t.Errorf("attempts: %+v", a)
	}
	for _, w := range s.around.Ways {
		if w.Name != "pandapon" {
			continue
		}
		payload := []byte(`{"key":"odd-header"}`)
		s.ledger.Sent("odd-header", w.Name, w.Endpoint, payload)
		req, err := w.Request(t.Context(), "odd-header", payload)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X-Name"] = []string{"caf\xe9 \xff\xfe"}
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("answered %s", resp.Status)
		}
		s.ledger.Acknowledged("odd-header")
	}
	s.await(func() bool { return s.ledger.Missing() <= 1 })
	var list struct{ Data []struct{ ID string } }
	s.app.get(t, "/api/v1/app/erp/msg", &list)
	if len(list.Data) != 1 {
		t.Fatalf("messages: %+v", list)
	}
	s.app.get(t, "/api/v1/app/erp/msg/"+list.Data[0].ID, nil)
}

// TestOneOfManyAtOnceIsAccepted: many publishers of one event id at the same time make one message and one delivery, and
// none is told so before it is stored.
func TestOneOfManyAtOnceIsAccepted(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	w := s.around.API("once", "to.standard", "to-standard")
	payload := []byte(`{"key":"once"}`)
	s.ledger.Sent("once", "once", "to-standard", payload)
	var all sync.WaitGroup
	var accepted, conflicts atomic.Int64
	for range 100 {
		all.Go(func() {
			req, err := w.Request(t.Context(), "once", payload)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := s.client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusAccepted:
				accepted.Add(1)
			case http.StatusConflict:
				conflicts.Add(1)
			}
		})
	}
	all.Wait()
	s.ledger.Acknowledged("once")
	if accepted.Load() != 1 || conflicts.Load() != 99 {
		t.Errorf("%d accepted, %d conflicts", accepted.Load(), conflicts.Load())
	}
	if v := s.settle(30 * time.Second); !v.OK() {
		t.Error(v)
	}
}

// TestOneRequestManyTimesAtOnceIsOneMessage: a push of each platform, and a publication under one Idempotency-Key, come a
// hundred times at the same time. Each is answered as the first, and delivered once.
func TestOneRequestManyTimesAtOnceIsOneMessage(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	defer s.abandon()
	ways := []proof.Way{keyed(s.around.API("keyed", "to.standard", "to-standard"))}
	for _, w := range s.around.Ways {
		if w.Endpoint == proof.ServiceName {
			ways = append(ways, w)
		}
	}
	var all sync.WaitGroup
	for _, w := range ways {
		key := "once-" + w.Name
		payload := fmt.Appendf(nil, `{"key":%q}`, key)
		s.ledger.Sent(key, w.Name, w.Endpoint, payload)
		for range 100 {
			all.Go(func() {
				req, err := w.Request(t.Context(), key, payload)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := s.client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = resp.Body.Close() }()
				if body, err := io.ReadAll(resp.Body); err != nil || !w.Accepted(resp.StatusCode, body) {
					t.Errorf("%s: answered %s %s, %v", w.Name, resp.Status, body, err)
				}
			})
		}
		all.Wait() // one way after another: one client may have only so many connections
		s.ledger.Acknowledged(key)
	}
	// What would be delivered twice is on its way by now: one more message of each way follows it.
	for _, w := range ways {
		p := &proof.Producers{Ledger: s.ledger, Client: s.client}
		p.Post(t.Context(), &w, "after-"+w.Name, false)
	}
	if v := s.settle(30 * time.Second); !v.OK() || v.Delivered != 2*len(ways) {
		t.Error(v)
	}
	var stored struct{ Data []struct{ ID string } }
	s.app.get(t, "/api/v1/app/"+proof.ReceivingApp+"/msg?limit=250", &stored)
	if want := 2 * (len(ways) - 1); len(stored.Data) != want {
		t.Errorf("%d messages are stored, want %d", len(stored.Data), want)
	}
}

// keyed has a way of the API repeat by the header and not by the event id; then an answer that is no 202 is wrong.
func keyed(w proof.Way) proof.Way {
	w.Request = func(inner func(context.Context, string, []byte) (*http.Request, error)) func(context.Context, string, []byte) (*http.Request, error) {
		return func(ctx context.Context, key string, payload []byte) (*http.Request, error) {
			req, err := inner(ctx, key, payload)
			if err != nil {
				return nil, err
			}
			body := fmt.Appendf(nil, `{"eventType":"to.standard","payload":%s}`, payload)
			req.Body, req.ContentLength, req.GetBody = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
			req.Header.Set("Idempotency-Key", key)
			return req, nil
		}
	}(w.Request)
	w.Accepted = func(status int, _ []byte) bool { return status == http.StatusAccepted }
	return w
}

// TestAClockThatWentBack: the server before had a clock that was an hour ahead. Ids do not go back, new messages are
// delivered at once, and a retry that was planned by the other clock is not made early.
func TestAClockThatWentBack(t *testing.T) {
	t.Parallel()
	s := newPlainStation(t)
	s.mayAdd("later", map[string]any{})
	var app, ep struct{ ID string }
	for path, out := range map[string]any{"/api/v1/app/shop": &app, "/api/v1/app/shop/endpoint/later": &ep} {
		s.app.get(t, path, out)
	}
	s.abandon()
	ahead := time.Now().Add(time.Hour)
	s.ledger.Sent("planned", "store", "later", []byte(`{"key":"planned"}`))
	old := s.planned(app.ID, "planned", "later", ahead)
	s.start()
	defer s.abandon()
	s.publish("now", "later", "later")
	s.await(func() bool { return s.ledger.Missing() == 0 })
	var made struct{ ID string }
	s.app.get(t, "/api/v1/app/shop/msg/now", &made)
	id, err := hook.ParseID[hook.MessageID](made.ID)
	if err != nil || id <= old {
		t.Errorf("the new message has the id %v, the old one %v (%v)", made.ID, old, err)
	}
	time.Sleep(100 * time.Millisecond)
	if v := s.ledger.Verdict(); !v.OK() || v.Arrivals != 1 {
		t.Errorf("%v, %d arrivals", v, v.Arrivals)
	}
}

// planned puts a message into the store of a server that is stopped.
func (s *station) planned(appID, key, eventType string, at time.Time) hook.MessageID {
	s.t.Helper()
	fatal := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	db, _, err := openStore(s.t.Context(), Options{Data: s.dir}.Defaults(), sqlite.Options{LowWater: 1 << 20})
	fatal(err)
	id, err := hook.ParseID[hook.ApplicationID](appID)
	fatal(err)
	payload, err := json.Marshal(map[string]string{"key": key})
	fatal(err)
	m := hook.Message{ID: hook.NewID[hook.MessageID](hook.NewGenerator(0, 0), at), App: id, EventType: eventType, EventID: key, Payload: payload, CreatedAt: at}
	_, err = db.Accept(s.t.Context(), []hook.Accept{{Message: m}})
	fatal(err)
	fatal(db.Close())
	return m.ID
}
