package bench

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/waypost/waypost/dialect"
	"github.com/waypost/waypost/dialect/pandapon"
	"github.com/waypost/waypost/dialect/standard"
	"github.com/waypost/waypost/internal/proof"
	"github.com/waypost/waypost/internal/simulate"
)

func TestMarksAreFoundInWhateverSurroundsThem(t *testing.T) {
	t.Parallel()
	for _, job := range []uint32{0, 1, 0xdeadbeef, 1<<32 - 1} {
		for _, n := range []int{0, 7, 99_999_999} {
			for _, around := range []string{"%s", `{"a":"%s"}`, `body=%%7B%s%%7D`, "wpb%s", `\"%s\"`} {
				gotJob, gotN, ok := findMark(fmt.Appendf(nil, around, mark(job, n)))
				if !ok || gotJob != job || gotN != n {
					t.Errorf("%q: found %x, %d, %v in %q", mark(job, n), gotJob, gotN, ok, around)
				}
			}
		}
	}
	for _, no := range []string{"", "wpb-", "wpb-0000000g-00000000", "wpb-00000000-0000000a", "wpb-00000000x00000000", mark(1, 1)[:markLength-1]} {
		if _, _, ok := findMark([]byte(no)); ok {
			t.Errorf("a mark was found in %q", no)
		}
	}
}

// What compresses bodies must not be flattered: they are not one template.
func TestBodiesAreOfRealVariety(t *testing.T) {
	t.Parallel()
	const count = 2000
	b := newBodies(1, standard.Dialect.Examples, 0)
	var all bytes.Buffer
	var deflated countingWriter
	squeeze, _ := flate.NewWriter(&deflated, flate.DefaultCompression)
	for n := range count {
		e := b.next(3, n)
		if !json.Valid(e.Payload) {
			t.Fatalf("no JSON: %s", e.Payload)
		}
		if len(e.Payload) < smallest-32 || len(e.Payload) > largest+256 {
			t.Errorf("a body has %d bytes", len(e.Payload))
		}
		if job, got, ok := findMark(e.Payload); !ok || job != 3 || got != n {
			t.Fatalf("the mark of %d is not found in %s", n, e.Payload)
		}
		all.Write(e.Payload)
	}
	if mean := all.Len() / count; mean < 980 || mean > 1070 {
		t.Errorf("bodies have %d bytes on average, not about 1 KiB", mean)
	}
	_, _ = squeeze.Write(all.Bytes())
	_ = squeeze.Close()
	if share := float64(deflated) / float64(all.Len()); share < 0.30 || share > 0.55 {
		t.Errorf("all together compress to %.2f of their size: not like real traffic, which does to a third or a half", share)
	}
}

func TestIdsOfTheExamplesAreOtherOnesInEachBody(t *testing.T) {
	t.Parallel()
	b := newBodies(1, pandapon.Dialect.Examples[:1], 0)
	seen := map[string]bool{}
	for n := range 100 {
		var body struct{ OrderID, OrderNo string }
		if err := json.Unmarshal(b.next(1, n).Payload, &body); err != nil || seen[body.OrderID] || seen[body.OrderNo] {
			t.Fatalf("%+v came before, or: %v", body, err)
		}
		seen[body.OrderID], seen[body.OrderNo] = true, true
	}
}

type countingWriter int

func (w *countingWriter) Write(p []byte) (int, error) {
	*w += countingWriter(len(p))
	return len(p), nil
}

// rig is a loader and a sink with something between them.
type rig struct {
	t            *testing.T
	loader, sink *httptest.Server
	job          Job
}

func newRig(t *testing.T) *rig {
	sending, _, err := simulate.Keys(&standard.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, job: Job{ID: 7, Count: 200, Dialect: "standard", Sending: sending, Workers: 8, Limit: time.Minute}}
	r.loader = httptest.NewServer((&Loader{Dialects: map[string]*dialect.Dialect{"standard": &standard.Dialect}}).Handler())
	t.Cleanup(r.loader.Close)
	r.sink = httptest.NewServer((&Sink{}).Handler())
	t.Cleanup(r.sink.Close)
	return r
}

func (r *rig) call(address string, in, out any) {
	r.t.Helper()
	if err := call(r.t.Context(), http.MethodPost, address, "", in, out); err != nil {
		r.t.Fatal(err)
	}
}

// run sends the job to an address.
func (r *rig) run(to string, endpoints int) (p Pushed) {
	r.t.Helper()
	r.job.URL = to
	r.call(r.loader.URL+"/prepare", r.job, nil)
	r.call(fmt.Sprintf("%s/expect?job=%d&count=%d&endpoints=%d", r.sink.URL, r.job.ID, r.job.Count, endpoints), nil, nil)
	r.call(r.loader.URL+"/run", nil, &p)
	return p
}

func (r *rig) reckon(how Reckoning) (out Reckoned) {
	r.t.Helper()
	how.Sink = r.sink.URL
	r.call(r.loader.URL+"/reckon", how, &out)
	return out
}

func (r *rig) seen() (s Seen) {
	r.t.Helper()
	if err := call(r.t.Context(), http.MethodGet, r.sink.URL+"/seen", "", nil, &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestTheLoadArrivesAndIsReckoned(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]int{"closed loop": 0, "at a rate": 2000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.job.Rate = rate
			p := r.run(r.sink.URL+"/d/0", 1)
			if p.Acknowledged != 200 || p.Failed != 0 || p.Ack.Count != 200 || p.Ack.P50 <= 0 || p.Ack.P99 < p.Ack.P50 {
				t.Errorf("pushed %+v", p)
			}
			if s := r.seen(); s.Arrived != 200 || s.Again != 0 || s.Strange != 0 || s.First == 0 {
				t.Errorf("seen %+v", s)
			}
			got := r.reckon(Reckoning{Wire: true})
			if got.Missing != 0 || got.Altered != 0 || got.EndToEnd.Count != 200 || got.Took <= 0 || got.EndToEnd.P50 <= 0 {
				t.Errorf("reckoned %+v", got)
			}
		})
	}
}

// between is a gateway that does as it likes with the body before it forwards it, and always says that it has it.
func (r *rig) between(change func(n int, body []byte) [][]byte) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		_, n, _ := findMark(body)
		for _, b := range change(n, body) {
			resp, err := http.Post(r.sink.URL+"/d/0", "application/json", bytes.NewReader(b))
			if err != nil {
				r.t.Error(err)
				return
			}
			_ = resp.Body.Close()
		}
	}))
	r.t.Cleanup(s.Close)
	return s
}

func TestWhatIsLostAlteredOrRepeatedIsSeen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(n int, body []byte) [][]byte
		want   Reckoned
		seen   Seen
	}{
		"one of four is acknowledged and forgotten": {func(n int, b []byte) [][]byte {
			if n%4 == 0 {
				return nil
			}
			return [][]byte{b}
		}, Reckoned{Missing: 50}, Seen{Arrived: 150}},
		"one of ten is written anew": {func(n int, b []byte) [][]byte {
			if n%10 == 0 {
				return [][]byte{append(b, '\n')}
			}
			return [][]byte{b}
		}, Reckoned{Altered: 20}, Seen{Arrived: 200}},
		"one of five comes twice": {func(n int, b []byte) [][]byte {
			if n%5 == 0 {
				return [][]byte{b, b}
			}
			return [][]byte{b}
		}, Reckoned{}, Seen{Arrived: 200, Again: 40}},
		"some come without a mark": {func(n int, b []byte) [][]byte {
			if n < 3 {
				return [][]byte{[]byte("{}")}
			}
			return [][]byte{b}
		}, Reckoned{Missing: 3}, Seen{Arrived: 197, Strange: 3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if p := r.run(r.between(c.change).URL, 1); p.Acknowledged != 200 {
				t.Fatalf("pushed %+v", p)
			}
			if got := r.reckon(Reckoning{Wire: true}); got.Missing != c.want.Missing || got.Altered != c.want.Altered {
				t.Errorf("reckoned %+v, want %+v", got, c.want)
			}
			seen := r.seen()
			seen.First = 0
			if seen != c.seen {
				t.Errorf("seen %+v, want %+v", seen, c.seen)
			}
		})
	}
}

func TestARefusedLoadIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the disk is full", http.StatusServiceUnavailable)
	}))
	defer s.Close()
	if p := r.run(s.URL, 1); p.Failed != 200 || p.Acknowledged != 0 || !strings.Contains(p.Error, "503") || !strings.Contains(p.Error, "the disk is full") {
		t.Errorf("pushed %+v", p)
	}
	if got := r.reckon(Reckoning{Wire: true}); got.Missing != 0 || got.EndToEnd.Count != 0 {
		t.Errorf("what was never acknowledged is not owed: %+v", got)
	}
}

func TestTheSinkRefusesAShareOfTheMessagesOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.run(r.sink.URL+"/fail/50/0", 1)
	if p.Failed < 60 || p.Failed > 140 {
		t.Errorf("%d of 200 were refused, not about half", p.Failed)
	}
	first := r.seen()
	if int(first.Refused) != p.Failed || int(first.Arrived) != p.Acknowledged {
		t.Errorf("seen %+v, pushed %+v", first, p)
	}
	again := Pushed{}
	r.call(r.loader.URL+"/run", nil, &again)
	if s := r.seen(); again.Failed != 0 || s.Arrived != 200 || s.Refused != first.Refused {
		t.Errorf("after a repeat: pushed %+v, seen %+v", again, s)
	}
}

func TestFanOutIsCountedByEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if p := r.run(r.sink.URL+"/d/1", 2); p.Acknowledged != 200 {
		t.Fatalf("pushed %+v", p)
	}
	if got := r.reckon(Reckoning{Wire: true, Endpoints: 2}); got.Missing != 200 {
		t.Errorf("one of two endpoints got nothing: %+v", got)
	}
	r.call(r.loader.URL+"/prepare", r.job, nil)
	for _, bad := range []string{"/d/2", "/d/-1", "/d/x"} { // no such endpoint
		resp, err := http.Post(r.sink.URL+bad, "application/json", strings.NewReader(mark(7, 0)))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if s := r.seen(); s.Strange != 3 {
		t.Errorf("seen %+v", s)
	}
}

func TestWhatIsAskedWronglyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for address, in := range map[string]any{
		r.loader.URL + "/run":                                    nil,
		r.loader.URL + "/reckon":                                 "x",
		r.loader.URL + "/prepare":                                Job{Count: 1, Workers: 1, Dialect: "nobody's"},
		r.loader.URL + "/prepare?":                               Job{Dialect: "standard"},
		r.sink.URL + "/expect?job=1&count=x&endpoints=1":         nil,
		r.sink.URL + "/expect?job=1&count=-1&endpoints=1":        nil,
		r.sink.URL + "/expect?job=1&count=99999&endpoints=99999": nil,
	} {
		if err := call(t.Context(), http.MethodPost, address, "", in, nil); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := ReadHop("{}"); err == nil || !strings.Contains(err.Error(), "waypost bench") {
		t.Errorf("a hop without a sink: %v", err)
	}
	if _, err := ReverseProxy("nowhere"); err == nil {
		t.Error("a proxy to nowhere was made")
	}
}

func TestTheHopsForwardVerifyAndDeliver(t *testing.T) {
	t.Parallel()
	t.Run("the proxy forwards the same bytes", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		h, err := ReverseProxy(r.sink.URL)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httptest.NewServer(h)
		defer proxy.Close()
		if p := r.run(proxy.URL+"/d/0", 1); p.Acknowledged != 200 {
			t.Errorf("pushed %+v", p)
		}
		if got := r.reckon(Reckoning{Wire: true}); got.Missing+got.Altered != 0 {
			t.Errorf("reckoned %+v", got)
		}
	})
	t.Run("the bare handler verifies", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.job.Judge = true
		right := httptest.NewServer(BareHandler(&standard.Dialect, r.job.Sending))
		defer right.Close()
		if p := r.run(right.URL, 1); p.Acknowledged != 200 {
			t.Errorf("pushed %+v", p)
		}
		_, others, _ := simulate.Keys(&standard.Dialect)
		wrong := httptest.NewServer(BareHandler(&standard.Dialect, others))
		defer wrong.Close()
		if p := r.run(wrong.URL, 1); p.Failed != 200 || !strings.Contains(p.Error, "401") {
			t.Errorf("forged ones: %+v", p)
		}
	})
	t.Run("the pipe verifies, signs and delivers", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.job.Judge = true
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h, err := NewPipe(ctx, &standard.Dialect, &standard.Dialect, r.job.Sending, r.job.Sending, r.sink.URL+"/d/0")
		if err != nil {
			t.Fatal(err)
		}
		pipe := httptest.NewServer(h)
		defer pipe.Close()
		if p := r.run(pipe.URL+"/in/bench", 1); p.Acknowledged != 200 {
			t.Errorf("pushed %+v", p)
		}
		for r.seen().Arrived < 200 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if got := r.reckon(Reckoning{}); got.Missing+got.Altered != 0 {
			t.Errorf("reckoned %+v", got)
		}
	})
}

func TestGoalsCompareTheSameRounds(t *testing.T) {
	t.Parallel()
	var r Report
	for i, rates := range [][2]float64{{100, 50}, {10, 10}, {300, 100}} { // a disturbed round disturbs both
		r.add("flow", "", Sample{Rate: rates[0], GatewayCPU: float64(90 + 10*i), LoaderCPU: 50, SinkCPU: 50})
		r.add("proxy", "", Sample{Rate: rates[1], GatewayCPU: float64(140 + 10*i), LoaderCPU: 30, SinkCPU: 20})
	}
	r.figure("disk", 0.9)
	r.conclude()
	got := map[string]Outcome{}
	for _, g := range r.Goals {
		got[g.Title] = g
	}
	if len(got) != 3 {
		t.Errorf("goals without a measurement are left out: %v", got)
	}
	if g := got["end to end against ReverseProxy"]; g.Measured != (Spread{2, 1, 3}) || !g.Reached || g.Work == nil || *g.Work != (Spread{1, 1, 1}) {
		t.Errorf("ratio %+v", g)
	}
	if g := got["gateway CPU a message, µs"]; g.Measured != (Spread{100, 90, 110}) || !g.Reached {
		t.Errorf("processor time %+v", g)
	}
	if g := got["disk a message delivered once, KiB"]; !g.Reached || g.Aim != 0.8 {
		t.Errorf("disk %+v", g)
	}
	r.figure("disk", 1.4)
	r.conclude()
	for _, g := range r.Goals {
		if g.AtMost && g.Measured.Median == 1.4 && g.Reached {
			t.Errorf("a goal that was missed is called reached: %+v", g)
		}
	}
	var text strings.Builder
	if err := r.Print(&text); err != nil || !strings.Contains(text.String(), "missed") || !strings.Contains(text.String(), "2.00 (1.00–3.00)") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestQuantilesAndSpreads(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for i := range 1000 {
		took = append(took, time.Duration(1000-i))
	}
	if got := timesOf(took); got != (Times{1000, 501, 991, 1000, 1000}) {
		t.Errorf("quantiles %+v", got)
	}
	if got := timesOf(nil); got != (Times{}) {
		t.Errorf("of nothing: %+v", got)
	}
	if got := spreadOf([]float64{4, 1, 3, 2}); got != (Spread{2.5, 1, 4}) {
		t.Errorf("spread %+v", got)
	}
	if thousands(1234567) != "1,234,567" || thousands(12) != "12" {
		t.Error("thousands")
	}
}

func TestOnlyKnownCasesAreChosen(t *testing.T) {
	t.Parallel()
	if all, err := choose(nil); err != nil || len(all) != len(cases()) {
		t.Errorf("%d, %v", len(all), err)
	}
	got, err := choose([]string{"flow", "loop"})
	if err != nil || len(got) != 2 || got[0].name != "loop" || got[1].name != "flow" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := choose([]string{"flow", "flaw"}); err == nil || !strings.Contains(err.Error(), `"flaw"`) || !strings.Contains(err.Error(), "ReverseProxy") {
		t.Errorf("an unknown case: %v", err)
	}
}

// TestALossEndsTheRun has a gateway acknowledge a message and forget it, or deliver another one.
func TestALossEndsTheRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(n int, body []byte) [][]byte
		want   LostError
	}{
		"forgotten": {func(n int, b []byte) [][]byte {
			if n == 7 {
				return nil
			}
			return [][]byte{b}
		}, LostError{Owed: 200, Missing: 1}},
		"altered": {func(n int, b []byte) [][]byte { return [][]byte{bytes.Replace(b, []byte(`":"`), []byte(`": "`), 1)} }, LostError{Owed: 200, Altered: 200}},
		"whole":   {func(_ int, b []byte) [][]byte { return [][]byte{b} }, LostError{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			beside, err := proof.Start(os.Args[0], []string{"-test.run", "^$"}) // a process to look at
			if err != nil {
				t.Fatal(err)
			}
			beside.Wait()
			b := &Bench{loader: &part{beside, r.loader.URL}, sink: &part{beside, r.sink.URL}, patience: 200 * time.Millisecond}
			r.job.URL = r.between(c.change).URL
			err = b.take(t.Context(), &turn{name: "x", job: r.job, how: Reckoning{Wire: true}}, 0)
			var lost *LostError
			if c.want == (LostError{}) {
				if err != nil || b.report.row("x").Samples[0].EndToEnd.Count != 200 {
					t.Errorf("nothing is lost, but: %v", err)
				}
			} else if !errors.As(err, &lost) || *lost != c.want {
				t.Errorf("got %v, want %v", err, &c.want)
			}
		})
	}
}
